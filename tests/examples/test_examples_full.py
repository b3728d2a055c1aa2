#!/usr/bin/env python3
"""The three examples on the whole data sets, when they are there: next to the project in ../shared/data, or where WEIR_DATASET points.

Skipped otherwise, and under sanitizers, which the samples serve as well.
"""
import functools
import os
import sys
import unittest
from collections import Counter
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import oracle
from jobs import SKIPPED, Log, full_data, read_bytes

DATA = full_data()
TO_THE_END = ("--until-end", "--close-windows")


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


if __name__ == "__main__":
    if DATA is None or os.environ.get("WEIR_SANITIZE"):
        print("skipped: no whole data set here, or a build with sanitizers")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
