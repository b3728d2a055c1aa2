#!/usr/bin/env python3
"""The expected results of the examples, computed from the input lines alone.

    oracle.py user-counts|user-sessions|revenue|pipeline-windows|pipeline-bad FILE.ndjson[.gz]     prints the expected rows, sorted, one a line

Shares nothing with weir: rows are read with Python's json and decimal modules, windows are integer arithmetic. Values print as
weir prints them (ISO 8601 in UTC with milliseconds; a decimal sum with the largest number of decimals among its terms, as in
PostgreSQL, which is also what Python's decimal does). The examples' expected files come from here.
"""
import gzip
import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal, getcontext

getcontext().prec = 60
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def read_rows(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line, parse_float=Decimal)


def iso(ms):
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def windows(rows, key, size_ms):
    """{(key, window start): [row…]}"""
    groups = {}
    for row in rows:
        groups.setdefault((row[key], row["ts"] - row["ts"] % size_ms), []).append(row)
    return groups


def user_counts(rows):
    return [{"user": user, "window_start": iso(start), "window_end": iso(start + 5 * MINUTE_MS), "events": len(group)}
            for (user, start), group in windows(rows, "user", 5 * MINUTE_MS).items()]


def user_sessions(rows, gap_ms=30 * MINUTE_MS):
    """Runs of a user's events of which each comes at most the gap after the one before."""
    times = {}
    for row in rows:
        times.setdefault(row["user"], []).append(row["ts"])
    for user, moments in times.items():
        moments.sort()
        starts = [i for i, at in enumerate(moments) if i == 0 or at - moments[i - 1] > gap_ms]
        for start, end in zip(starts, starts[1:] + [len(moments)]):
            yield {"user": user, "window_start": iso(moments[start]), "window_end": iso(moments[end - 1] + gap_ms), "events": end - start}


def error_class(row):
    """The first rule that a retail line breaks, or None."""
    if row["customer_id"] is None:
        return "customer_missing"
    if row["quantity"] <= 0:
        return "quantity_not_positive"
    if row["unit_price"] <= 0:
        return "price_not_positive"
    return None


def country_windows(rows, size_ms):
    good = (row for row in rows if error_class(row) is None)
    for (country, start), group in windows(good, "country", size_ms).items():
        times = {"country": country, "window_start": iso(start), "window_end": iso(start + size_ms)}
        yield times, sum(row["quantity"] * row["unit_price"] for row in group), len(group)


def revenue(rows):
    return [{**times, "revenue": total, "orders": count} for times, total, count in country_windows(rows, HOUR_MS)]


def pipeline_windows(rows):
    return [{**times, "orders": count, "revenue": total} for times, total, count in country_windows(rows, DAY_MS)]


def pipeline_bad(rows):
    bad = Counter(error_class(row) for row in rows)
    del bad[None]
    return [{"error_class": name, "rows": count} for name, count in bad.items()]


def text_of(row):
    """One JSON line with numbers exactly as computed."""
    parts = (f"{json.dumps(key)}:{value if isinstance(value, (int, Decimal)) else json.dumps(value, ensure_ascii=False)}"
             for key, value in row.items())
    return "{" + ",".join(parts) + "}"


JOBS = {"user-counts": user_counts, "user-sessions": user_sessions, "revenue": revenue, "pipeline-windows": pipeline_windows, "pipeline-bad": pipeline_bad}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in JOBS:
        sys.exit(__doc__.split("\n\n")[1])
    for line in sorted(text_of(row) for row in JOBS[sys.argv[1]](read_rows(sys.argv[2]))):
        print(line)


if __name__ == "__main__":
    main()
