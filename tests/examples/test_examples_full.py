#!/usr/bin/env python3
"""The three examples on the whole data sets, when they are there: next to the project in ../shared/data, or where WEIR_DATASET points.

Skipped otherwise, and under sanitizers, which the samples serve as well.
"""
import ctypes
import datetime
import functools
import json
import os
import sys
import unittest
from collections import Counter
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import oracle
from jobs import BUILD, ROOT, SKIPPED, Log, full_data, read_bytes

DATA = full_data()
TO_THE_END = ("--until-end", "--close-windows")


class Options(ctypes.Structure):
    """weir_options of weir.h."""
    _fields_ = [("data", ctypes.c_char_p), ("threads", ctypes.c_int), ("durability", ctypes.c_int), ("commit_interval_ms", ctypes.c_int64),
                ("checkpoint_interval_ms", ctypes.c_int64), ("keeper_interval_ms", ctypes.c_int64), ("memory_bytes", ctypes.c_size_t),
                ("until_end", ctypes.c_bool), ("close_windows", ctypes.c_bool), ("on_change", ctypes.c_int), ("from_beginning", ctypes.c_bool),
                ("batch_rows", ctypes.c_int32), ("progress", ctypes.c_void_p), ("progress_context", ctypes.c_void_p), ("metrics", ctypes.c_char_p),
                ("log", ctypes.c_void_p)]


def run_sessions(directory, emit, threads):
    """The job of examples/user-counts with sessions in place of windows, by the shared library."""
    weir = ctypes.CDLL(str(BUILD / "libweir.so"))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64

    def call(name, *arguments, gives=pointer):
        function = getattr(weir, name)
        function.restype, function.argtypes = gives, [kind for kind, _ in arguments]
        return function(*(value for _, value in arguments))

    options = Options(data=directory.encode(), threads=threads, until_end=True, close_windows=True)
    app = call("weir_app_open", (text, b"sessions"), (pointer, ctypes.addressof(options)))
    stream = call("weir_source", (pointer, app), (text, b"incident-events"), (ctypes.c_int, 1), (text, b"ts"))
    stream = call("weir_lateness", (pointer, stream), (number, 400 * oracle.DAY_MS))
    stream = call("weir_group_by", (pointer, stream), (text, b'"user"'))
    stream = call("weir_session", (pointer, stream), (number, 30 * oracle.MINUTE_MS))
    stream = call("weir_aggregate", (pointer, stream), (text, b"count(*) AS events"))
    call("weir_to", (pointer, call("weir_emit", (pointer, stream), (ctypes.c_int, emit))), (text, b"sessions"), gives=ctypes.c_int)
    if call("weir_app_run", (pointer, app), gives=ctypes.c_int) < 0:
        raise AssertionError(call("weir_app_error", (pointer, app), gives=text))
    call("weir_app_close", (pointer, app), gives=None)


@functools.cache
def expected_rows(job, data):
    return sorted(map(oracle.text_of, oracle.JOBS[job](oracle.read_rows(DATA / data))))


class FullData(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.retail = read_bytes(DATA / "online-retail.ndjson.gz")
        cls.events = read_bytes(DATA / "incident-events.ndjson.gz")

    def assert_rows(self, table, job, data):
        self.assertEqual(sorted(oracle.text_of(record["value"]) for record in table.values()), expected_rows(job, data))

    def assert_totals(self, table, windows):
        rows = [record["value"] for record in table.values()]
        self.assertEqual((len(rows), sum(row["orders"] for row in rows), sum(row["revenue"] for row in rows)),
                         (windows, 397884, Decimal("8911407.904")))

    def test_revenue(self):
        for key, partitions, threads in ((None, 1, 1), ("country", 3, 2)):
            with self.subTest(key=key, partitions=partitions), Log() as log:
                log.produce("online-retail", self.retail, key=key, partitions=partitions)
                log.run("revenue", *TO_THE_END, "--threads", threads)
                table = log.table("hourly-revenue")
                self.assert_totals(table, 4474)
                self.assert_rows(table, "revenue", "online-retail.ndjson.gz")

    def test_pipeline(self):
        with Log() as log:
            log.produce("raw-orders", self.retail, key="customer_id", partitions=3)
            log.run("pipeline", *TO_THE_END, "--threads", "2")
            table = log.table("orders-by-country")
            self.assert_totals(table, 1523)
            self.assert_rows(table, "pipeline-windows", "online-retail.ndjson.gz")
            self.assertEqual(len(log.records("validated-orders")), 397884)
            classes = Counter(record["headers"]["weir.error.class"] for record in log.records("pipeline.dlq"))
            self.assertEqual(classes, {"customer_missing": 135080, "quantity_not_positive": 8905, "price_not_positive": 40})

    def test_user_counts(self):
        for key in ("user", None):
            for partitions, threads in ((1, 1), (3, 1), (3, 2)):
                with self.subTest(key=key, partitions=partitions, threads=threads), Log() as log:
                    log.produce("incident-events", self.events, key=key, partitions=partitions)
                    log.run("user-counts", *TO_THE_END, "--threads", threads)
                    self.assert_rows(log.table("user-counts"), "user-counts", "incident-events.ndjson.gz")

    def test_sessions(self):
        """Each event is a row far behind or ahead of the others: sessions are begun, grown and joined in any order."""
        changes, final = 0, 1
        for key, partitions, emit, threads in (("user", 1, changes, 1), (None, 3, changes, 2), (None, 3, final, 1), ("user", 3, final, 2)):
            with self.subTest(key=key, partitions=partitions, emit=emit, threads=threads), Log() as log:
                log.produce("incident-events", self.events, key=key, partitions=partitions)
                run_sessions(log.dir, emit, threads)
                if emit == final:
                    self.assertEqual(len(log.records("sessions")), 24082)
                table = log.table("sessions")
                self.assertEqual(len(table), 24082)
                self.assert_rows(table, "user-sessions", "incident-events.ndjson.gz")

    def run_sql(self, log, name, text=None, *arguments):
        if text is None:
            log.run("weir", "run", ROOT / "examples/sql" / f"{name}.sql", "--until-end", *arguments)
        else:
            log.run("weir", "run", "-", "--until-end", "--app", name, *arguments, stdin=text.encode())

    def test_sql_orders(self):
        with Log() as log:
            log.produce("online-retail", self.retail, key="country", partitions=3)
            self.run_sql(log, "orders")
            rows = [record["value"] for record in log.table("revenue-per-day").values()]
            self.assertEqual((len(rows), sum(row["lines"] for row in rows), sum(row["revenue"] for row in rows)), (1523, 397884, Decimal("8911407.904")))
            classes = Counter(record["headers"]["weir.error.class"] for record in log.records("orders.dlq"))
            self.assertEqual(classes, {"not_null": 135080, "quantity_is_positive": 8905, "price_is_positive": 40})
            self.assertEqual(len(log.records("validated-orders")), 397884)
            distinct = [json.dumps(record["value"], sort_keys=True, default=str) for record in log.records("distinct-orders")]
            self.assertEqual((len(distinct), len(set(distinct))), (392692, 392692))
            self.assertEqual(log.records("distinct-orders.late"), [])
            self.check_enriched(log)

    def check_enriched(self, log):
        """The same in Python: good lines once, the region of their country, revenue per region and day, orders per customer and five minutes."""
        countries = {row["country"]: row for row in map(json.loads, (ROOT / "examples/data/countries.ndjson").read_text().splitlines())}
        seen, regions, customers = set(), Counter(), {}
        for line in self.retail.splitlines():
            row = json.loads(line, parse_float=Decimal)
            if row["customer_id"] is None or row["quantity"] <= 0 or row["unit_price"] <= 0 or line in seen:
                continue
            seen.add(line)
            country = countries[row["country"]]
            amount = row["quantity"] * Decimal(row["unit_price"])
            regions[country["region"], country["currency"], row["ts"] // oracle.DAY_MS] += amount
            orders = customers.setdefault((row["customer_id"], row["ts"] // (5 * oracle.MINUTE_MS)), [set(), 0])
            orders[0].add(row["invoice"])
            orders[1] += amount
        self.assertEqual(len(seen), 392692)
        self.assertEqual(len(log.records("enriched-orders")), 392692)

        def millis(text):
            return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)

        rows = [record["value"] for record in log.table("revenue-per-region").values()]
        self.assertEqual({(row["region"], row["currency"], millis(row["day"]) // oracle.DAY_MS): row["revenue"] for row in rows}, dict(regions))
        rows = [record["value"] for record in log.table("orders-per-customer").values()]
        self.assertEqual({(row["customer_id"], millis(row["window_start"]) // (5 * oracle.MINUTE_MS)): [row["orders"], row["amount"]] for row in rows},
                         {key: [len(invoices), amount] for key, (invoices, amount) in customers.items()})

    def test_sql_sessions(self):
        with Log() as log:
            log.produce("incident-events", self.events, key="user", partitions=3)
            self.run_sql(log, "sessions", None, "--threads", 2)
            self.assertEqual(len(log.table("sessions")), 24082)

    def test_sql_flights(self):
        """A lateness that covers the longest delay loses nothing; with a shorter one what is late is counted and kept."""
        flights = read_bytes(DATA / "flights.ndjson.gz")
        expected = Counter()
        for line in flights.splitlines():
            row = json.loads(line)
            expected[row["origin"], row["carrier"], oracle.iso(row["ts"] // oracle.HOUR_MS * oracle.HOUR_MS)] += 1
        text = (ROOT / "examples/sql/flights.sql").read_text(encoding="utf-8")
        with Log() as log:
            log.produce("flights", flights)
            self.run_sql(log, "flights", None, "--close-windows")
            rows = [record["value"] for record in log.records("departures-per-hour")]
            self.assertEqual(len(rows), len(expected))
            self.assertEqual({(row["origin"], row["carrier"], row["hour"]): row["flights"] for row in rows}, expected)
        with Log() as log:
            log.produce("flights", flights)
            self.run_sql(log, "short", text.replace("22 hours", "1 hour"), "--close-windows")
            counted = sum(record["value"]["flights"] for record in log.records("departures-per-hour"))
            late = len(log.records("departures-per-hour.late"))
            self.assertGreater(late, 0)
            self.assertEqual(counted + late, 328521)


if __name__ == "__main__":
    if DATA is None or os.environ.get("WEIR_SANITIZE"):
        print("skipped: no whole data set here, or a build with sanitizers")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
