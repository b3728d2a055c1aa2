#!/usr/bin/env python3
"""What the visits example must write, computed from the CSV alone: sessions, hopping windows, quantiles, words, cancelled lines.

    visits_oracle.py visits|line-values|words|cancellations FILE.csv[.gz]     prints the expected records, sorted, one a line

Shares nothing with weir: rows are read with Python's csv and decimal modules, and a quantile is found by sorting. examples/visits/expected.csv comes from here.
"""
import csv
import gzip
import io
import json
import re
import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def read_rows(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield {"invoice": row["InvoiceNo"], "description": row["Description"] or None, "quantity": int(row["Quantity"]),
                   "at": datetime.strptime(row["InvoiceDate"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc),
                   "price": Decimal(row["UnitPrice"]), "customer": row["CustomerID"].split(".")[0] or None, "country": row["Country"]}


def iso(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def is_cancelled(row):
    return row["invoice"].startswith("C")


def sold(rows):
    return [row for row in rows if not is_cancelled(row) and row["quantity"] > 0 and row["price"] > 0]


def csv_line(values):
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def visits(rows):
    """One customer's rows, each at most half an hour behind the one before."""
    gap, by_customer = 30 * MINUTE, defaultdict(list)
    for row in sold(rows):
        if row["customer"] is not None:
            by_customer[row["customer"]].append(row)
    for customer, bought in by_customer.items():
        session = []
        for row in sorted(bought, key=lambda r: r["at"]) + [None]:
            if session and (row is None or row["at"] - session[-1]["at"] > gap):
                yield csv_line([customer, iso(session[0]["at"]), iso(session[-1]["at"] + gap), len(session),
                                sum(r["quantity"] for r in session), sum(r["quantity"] * r["price"] for r in session)])
                session = []
            session.append(row)


def quantile(pence, percent):
    """The lower end of the histogram's bucket that holds the smallest amount up to which so many percent of all lie."""
    amount = sorted(pence)[-(-len(pence) * percent // 100) - 1]
    width = 1 << max(amount.bit_length() - 4, 0)
    return f"{amount // width * width / 100:.2f}"


def line_values(rows):
    size, hop, windows = 120 * MINUTE, 30 * MINUTE, defaultdict(list)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for row in sold(rows):
        start = row["at"] - (row["at"] - epoch) % hop
        while start > row["at"] - size:
            pence = (row["quantity"] * row["price"] * 100).quantize(Decimal(1), ROUND_HALF_UP)
            windows[row["country"], start].append(int(pence))
            start -= hop
    for (country, start), pence in windows.items():
        yield (f'{{"country":{json.dumps(country)},"window_start":"{iso(start)}","window_end":"{iso(start + size)}",'
               f'"lines":{len(pence)},"median":{quantile(pence, 50)},"most":{quantile(pence, 90)}}}')


def words(rows):
    london, days = ZoneInfo("Europe/London"), defaultdict(list)
    for row in sold(rows):
        day = row["at"].astimezone(london).replace(hour=0, minute=0, second=0)
        for word in re.findall("[A-Za-z]+", row["description"] or ""):
            if len(word) >= 4:
                days[word.lower(), day].append(row["quantity"])
    for (word, day), quantities in days.items():
        yield (f'{{"word":"{word}","window_start":"{iso(day)}","window_end":"{iso(day + timedelta(days=1))}",'
               f'"lines":{len(quantities)},"pieces":{sum(quantities)}}}')


def cancellations(rows):
    for row in rows:
        if is_cancelled(row):
            what = "something" if row["description"] is None else row["description"].strip(" ")
            yield f'{row["invoice"]}: {-row["quantity"]} x {what}'


TOPICS = {"visits": visits, "line-values": line_values, "words": words, "cancellations": cancellations}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in TOPICS:
        sys.exit(__doc__.split("\n\n")[1])
    for line in sorted(TOPICS[sys.argv[1]](list(read_rows(sys.argv[2])))):
        print(line)


if __name__ == "__main__":
    main()
