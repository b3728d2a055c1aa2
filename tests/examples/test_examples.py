#!/usr/bin/env python3
"""The three examples on their samples: exact results for every keying and partition count, and how they start, stop and go on."""
import json
import os
import pty
import re
import signal
import subprocess
import sys
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import oracle
from jobs import BUILD, ROOT, SAMPLES, Log, partition_of, read_bytes, run

TO_THE_END = ("--until-end", "--close-windows")
RETAIL = read_bytes(SAMPLES / "online-retail.ndjson.gz")
EVENTS = read_bytes(SAMPLES / "incident-events.ndjson.gz")
EXPECTED = {
    "user-counts": read_bytes(ROOT / "examples/user-counts/expected.ndjson.gz").decode().splitlines(),
    "hourly-revenue": (ROOT / "examples/revenue/expected.ndjson").read_text().splitlines(),
    "orders-by-country": (ROOT / "examples/pipeline/expected.ndjson").read_text().splitlines(),
}
GROUP_COLUMN = {"user-counts": "user", "hourly-revenue": "country", "orders-by-country": "country"}


class Examples(unittest.TestCase):
    maxDiff = 2000

    def assert_result(self, log, topic, partitions=None):
        table = log.table(topic)
        self.assertEqual(sorted(oracle.text_of(record["value"]) for record in table.values()), EXPECTED[topic])
        group = GROUP_COLUMN[topic]
        for key, record in table.items():
            row = record["value"]
            self.assertEqual(key, oracle.text_of({group: row[group], "window_start": row["window_start"]}))
            if partitions:
                self.assertEqual(record["partition"], partition_of(row[group], partitions))
        self.assert_verified(log, topic)

    def assert_verified(self, log, view):
        done = log.run("weir", "verify", view, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_expected_files_are_the_oracles(self):
        for job, data, topic in (("user-counts", "incident-events", "user-counts"), ("revenue", "online-retail", "hourly-revenue"),
                                 ("pipeline-windows", "online-retail", "orders-by-country")):
            rows = oracle.JOBS[job](oracle.read_rows(SAMPLES / f"{data}.ndjson.gz"))
            self.assertEqual(sorted(map(oracle.text_of, rows)), EXPECTED[topic])

    def test_any_keying_and_partition_count(self):
        jobs = (("user-counts", "incident-events", EVENTS, ("user", "incident", None), "user-counts"),
                ("revenue", "online-retail", RETAIL, ("country", "customer_id", None), "hourly-revenue"),
                ("pipeline", "raw-orders", RETAIL, ("country", "invoice", None), "orders-by-country"))
        for program, source, data, keys, result in jobs:
            for key in keys:
                for partitions, threads in ((1, 1), (3, 1), (3, 2)):
                    with self.subTest(program=program, key=key, partitions=partitions, threads=threads), Log() as log:
                        log.produce(source, data, key=key, partitions=partitions)
                        log.run(program, *TO_THE_END, "--threads", threads)
                        self.assert_result(log, result, partitions)

    def test_a_run_goes_on_where_the_last_one_stopped(self):
        lines = RETAIL.splitlines(keepends=True)
        with Log() as log:
            for begin, end in ((0, 7000), (7000, 7001), (7001, 20000)):
                log.produce("online-retail", b"".join(lines[begin:end]), key="country", partitions=2)
                done = log.run("revenue", "--until-end")
                self.assertRegex(done.stderr, rf"^revenue: {end - begin} rows in ")
            done = log.run("revenue", *TO_THE_END)
            self.assertRegex(done.stderr, r"^revenue: 0 rows in ")
            self.assert_result(log, "hourly-revenue")

    def test_pipeline_passes_good_rows_untouched_and_keeps_bad_ones(self):
        with Log() as log:
            log.produce("raw-orders", RETAIL, key="invoice", partitions=3)
            log.run("pipeline", *TO_THE_END)
            raw = log.records("raw-orders")
            classes = {(r["partition"], r["offset"]): oracle.error_class(r["value"]) for r in raw}

            def identity(record):
                return record["partition"], record["key"], json.dumps(record["value"], default=str), record["timestamp"]

            good = [identity(r) for r in raw if classes[r["partition"], r["offset"]] is None]
            self.assertEqual([identity(r) for r in log.records("validated-orders")], good)
            self.assert_verified(log, "validated-orders")

            by_place = {(r["partition"], r["offset"]): r for r in raw}
            dead = log.records("pipeline.dlq")
            self.assertEqual(Counter(r["headers"]["weir.error.class"] for r in dead),
                             {row["error_class"]: row["rows"] for row in
                              map(json.loads, (ROOT / "examples/pipeline/expected-bad.ndjson").read_text().splitlines())})
            for record in dead:
                headers = record["headers"]
                self.assertEqual(headers["weir.source.topic"], "raw-orders")
                place = int(headers["weir.source.partition"]), int(headers["weir.source.offset"])
                self.assertEqual(headers["weir.error.class"], classes[place])
                self.assertEqual((record["key"], record["value"]), (by_place[place]["key"], by_place[place]["value"]))

    def test_stages_alone_and_again(self):
        with Log() as log:
            log.produce("raw-orders", RETAIL, partitions=2)
            log.run("pipeline", "--stage", "validate", *TO_THE_END)
            self.assertNotIn("orders-by-country", log.run("weir", "topic", "list").stdout.split())
            log.run("pipeline", "--stage", "aggregate", *TO_THE_END)
            self.assert_result(log, "orders-by-country")
            good = len(log.records("validated-orders"))
            again = log.run("pipeline", "--stage", "aggregate", "--from-beginning", *TO_THE_END)
            self.assertRegex(again.stderr, rf"^pipeline: {good} rows in ")
            self.assert_result(log, "orders-by-country")
            self.assertEqual(len(log.records("validated-orders")), good)

    def test_missing_source_topic_names_the_command(self):
        for program, source in (("user-counts", "incident-events"), ("revenue", "online-retail"), ("pipeline", "raw-orders")):
            with self.subTest(program=program), Log() as log:
                done = log.run(program, "--until-end", check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"weir produce {source}", done.stderr)

    def test_mistakes_on_the_command_line(self):
        for arguments in (("--treads", "2"), ("--threads",), ("--threads", "0"), ("--threads", "two"), ("--close-windows",), ("now",),
                          ("--stage", "validate")):
            done = run("revenue", *arguments, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertIn("usage: revenue", done.stderr)
        self.assertEqual(run("pipeline", "--stage", "enrich", check=False).returncode, 2)
        self.assertIn("--from-beginning", run("pipeline", "--help").stdout)

    def test_a_signal_stops_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number), Log() as log:
                log.produce("online-retail", RETAIL, partitions=2)
                reader, terminal = pty.openpty()
                job = subprocess.Popen([BUILD / "revenue", "--data", log.dir, "--threads", "2"], stderr=terminal)
                os.close(terminal)
                seen = b""
                while b"revenue: 20000 rows" not in seen:  # the progress line that a terminal gets
                    seen = seen[-200:] + os.read(reader, 4096)
                job.send_signal(number)
                self.assertEqual(job.wait(timeout=60), 130)
                os.close(reader)
                done = log.run("revenue", *TO_THE_END)
                self.assertTrue(re.match(r"revenue: 0 rows in ", done.stderr), done.stderr)
                self.assert_result(log, "hourly-revenue")


if __name__ == "__main__":
    unittest.main(verbosity=2)
