#!/usr/bin/env python3
"""Looking after a log with the weir command: describe, grow, delete records. What is expected is computed here, or read from the files."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import Case, ndjson, partition_of


class Admin(Case):
    def path(self, name):
        return os.path.join(self.dir, "topics", name)

    def lines(self, *arguments):
        return [json.loads(line) for line in self.ok(*arguments).stdout.splitlines()]

    def log_describe(self, *arguments):
        rows = self.lines("log", "describe", *arguments, "--format", "json")
        return rows[:-1], rows[-1]["totals"]

    def damage(self, name, at, value=b"\xff"):
        with open(self.path(name), "r+b") as file:
            file.seek(at)
            file.write(value)


class Describe(Admin):
    def test_figures_are_those_of_the_files(self):
        self.produce("orders", ndjson({"at": 1000 + i} for i in range(10)), "--timestamp", "at")
        self.ok("topic", "create", "empty", "--partitions", "2")
        rows, totals = self.log_describe()
        by_name = {(r["topic"], r["partition"]): r for r in rows}
        self.assertEqual(list(by_name), [("empty", 0), ("empty", 1), ("orders", 0)])
        orders, files = by_name["orders", 0], os.listdir(self.path("orders-0"))
        size = sum(os.path.getsize(self.path("orders-0/" + f)) for f in files if f.endswith(".log"))
        self.assertEqual((orders["status"], orders["reason"], orders["bytes"], orders["segments"]), ("ok", None, size, 1))
        self.assertEqual((orders["start_offset"], orders["high_watermark"], orders["end_offset"]), (0, 10, 10))
        self.assertEqual((orders["first_timestamp"], orders["last_timestamp"]), (1000, 1009))
        self.assertEqual((by_name["empty", 0]["first_timestamp"], by_name["empty", 0]["last_write"]), (None, None))
        self.assertEqual((totals["topics"], totals["partitions"], totals["stopped"], totals["bytes"]), (2, 3, 0, size))
        text = self.ok("log", "describe", "orders").stdout.decode()
        self.assertIn("1970-01-01T00:00:01.009Z", text)
        self.assertNotIn("empty", text)
        [segment] = self.log_describe("orders", "--segments")[0][0]["segment_list"]
        self.assertEqual((segment["base_offset"], segment["end_offset"], segment["active"]), (0, 10, True))
        self.assertIn("00000000000000000000.log (active)", self.ok("log", "describe", "--segments").stdout.decode())

    def test_damage_is_shown_with_file_and_byte(self):
        self.produce("bad", b"".join(b"line %d\n" % i for i in range(50)), "--compression", "none")
        self.produce("good", b"fine\n")
        self.damage("bad-0/" + "0" * 20 + ".log", 100)
        rows, totals = self.log_describe()
        self.assertEqual([(r["topic"], r["status"]) for r in rows], [("bad", "stopped"), ("good", "ok")])
        self.assertIn("0" * 20 + ".log: damaged at byte 0", rows[0]["reason"])
        self.assertEqual(totals["stopped"], 1)
        text = self.ok("log", "describe").stdout.decode()
        self.assertIn("STOPPED", text)
        self.assertIn("bad-0 is stopped: ", text)

    def test_refusals(self):
        self.produce("orders", b"x\n")
        self.refused(1, "log", "describe", "order", says="did you mean orders")
        self.refused(1, "log", "describe", "orders", "nothing", says="nothing")
        self.refused(2, "log", "describe", "--format", "xml")


class Verify(Admin):
    LOG = "0" * 20 + ".log"

    def verify(self, code, *arguments):
        done = self.weir("topic", "verify", *arguments, "--format", "json")
        self.assertEqual(done.returncode, code, done.stderr)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return rows[:-1], rows[-1]["totals"]

    def test_all_is_well(self):
        self.produce("a", ndjson({"k": f"k{i}"} for i in range(1000)), "--key", "k", "--partitions", "3")
        self.produce("b", b"x\n")
        findings, totals = self.verify(0, "--all")
        size = sum(os.path.getsize(self.path(f"{name}/{self.LOG}")) for name in ("a-0", "a-1", "a-2", "b-0"))
        self.assertEqual((findings, totals["partitions"], totals["records"], totals["bytes"]), ([], 4, 1001, size))
        self.assertRegex(self.ok("topic", "verify", "a").stdout.decode(),
                         r"^partitions 3, segments 3, batches \d+, records 1000, bytes \d+: findings 0  \([\d.]+ s, \d+ MB/s\)\n$")

    def test_damage(self):
        self.produce("a", b"".join(b"line %d\n" % i for i in range(50)), "--compression", "none")
        self.produce("b", b"x\n")
        self.damage("a-0/" + self.LOG, 100)
        open(self.path("b-0/core"), "w").close()
        [bad], totals = self.verify(4, "a")
        self.assertEqual((bad["topic"], bad["partition"], bad["kind"], bad["byte"], bad["offset"]), ("a", 0, "records", 0, 0))
        self.assertEqual(bad["file"], os.path.join(self.dir, "topics/a-0", self.LOG))
        self.assertIn("CRC", bad["text"])
        findings, totals = self.verify(4, "--all")
        self.assertEqual([f["kind"] for f in findings], ["records", "files"])
        self.assertEqual(totals["findings"], 2)
        done = self.weir("topic", "verify", "b")
        self.assertEqual(done.returncode, 4)
        self.assertIn(f"b-0  files  {self.path('b-0/core')}: ", done.stdout.decode())
        self.assertEqual(self.values("b"), b"x\n")

    def test_refusals(self):
        self.produce("a", b"x\n")
        self.refused(2, "topic", "verify", says="--all")
        self.refused(2, "topic", "verify", "a", "--all", says="--all")
        self.refused(1, "topic", "verify", "a", "nothing")


class Grow(Admin):
    def test_grows_and_warns(self):
        rows = [{"user": f"u{i}"} for i in range(40)]
        self.produce("t", ndjson(rows), "--key", "user", "--partitions", "2")
        self.assertEqual(self.describe("t")["config"]["weir.partitioned.by"], "user")
        done = self.ok("topic", "alter", "t", "--partitions", "5")
        self.assertIn(b"keys move", done.stderr)
        self.assertIn(b"weir.partitioned.by=user", done.stderr)
        topic = self.describe("t")
        self.assertEqual(len(topic["partitions"]), 5)
        self.assertNotIn("weir.partitioned.by", topic["config_set"])
        self.produce("t", ndjson(rows), "--key", "user")
        expected = sorted([(partition_of(r["user"].encode(), n), r["user"]) for n in (2, 5) for r in rows])
        self.assertEqual(sorted((r["partition"], r["key"]) for r in self.records("t")), expected)

    def test_an_empty_topic_warns_of_nothing(self):
        self.ok("topic", "create", "t")
        self.assertEqual(self.ok("topic", "alter", "t", "--partitions", "3", "--config", "segment.bytes=2097152").stderr, b"")
        self.assertEqual(self.describe("t")["config"]["segment.bytes"], "2097152")
        self.assertEqual(len(self.describe("t")["partitions"]), 3)

    def test_refusals(self):
        self.ok("topic", "create", "t", "--partitions", "3")
        self.refused(2, "topic", "alter", "t", "--partitions", "3", says="3 partitions already")
        self.refused(2, "topic", "alter", "t", "--partitions", "2", "--config", "segment.bytes=2097152",
                     says="partitions cannot be taken away")
        self.assertEqual(self.describe("t")["config_set"], [], "a refused alteration set something")
        for wrong in ("0", "-1", "10001", "many"):
            self.refused(2, "topic", "alter", "t", "--partitions", wrong)
        self.refused(2, "topic", "alter", "t", "--partitions", "4", "--config", "segment.byte=1")
        self.refused(1, "topic", "alter", "u", "--partitions", "4", says="there is no topic u")
        self.assertEqual(len(self.describe("t")["partitions"]), 3)


class DeleteRecords(Admin):
    def test_dry_run_then_real(self):
        self.produce("t", ndjson({"at": 1000 + i} for i in range(10)), "--timestamp", "at")
        for where, start in (("4", 4), ("@1006", 6), ("end", 10), ("@9999", 10), ("0", 0)):
            [row] = self.lines("topic", "delete-records", "t", "--before", where, "--format", "json")
            self.assertEqual((row["start_offset"], row["new_start_offset"], row["executed"]), (0, start, False), where)
        self.assertEqual(len(self.records("t")), 10)
        done = self.ok("topic", "delete-records", "t", "--before", "@1006", "--execute")
        self.assertEqual(done.stderr, b"")
        self.assertEqual([r["offset"] for r in self.records("t")], [6, 7, 8, 9])
        self.ok("topic", "delete-records", "t", "--before", "3", "--execute")
        self.assertEqual([r["offset"] for r in self.records("t")], [6, 7, 8, 9], "what is gone stays gone")
        self.ok("topic", "delete-records", "t", "--before", "end", "--execute")
        self.assertEqual(self.records("t"), [])
        self.produce("t", b"more\n")
        self.assertEqual([r["offset"] for r in self.records("t")], [10])

    def test_one_partition(self):
        self.produce("t", ndjson({"k": f"k{i}"} for i in range(50)), "--key", "k", "--partitions", "3")
        ends = [p["end_offset"] for p in self.describe("t")["partitions"]]
        self.refused(2, "topic", "delete-records", "t", "--before", "1", says="add --partition")
        self.ok("topic", "delete-records", "t", "--before", "end", "--partition", "1", "--execute")
        self.assertEqual([p["start_offset"] for p in self.describe("t")["partitions"]], [0, ends[1], 0])

    def test_refusals(self):
        self.produce("t", b"1\n2\n")
        self.ok("topic", "create", "table", "--config", "cleanup.policy=compact")
        self.refused(2, "topic", "delete-records", "t", says="--before is missing")
        for wrong in ("beginning", "-1", "1.5", "@", ""):
            self.refused(2, "topic", "delete-records", "t", "--before", wrong)
        self.refused(1, "topic", "delete-records", "t", "--before", "3", "--execute", says="last stable offset is 2")
        self.refused(1, "topic", "delete-records", "t", "--before", "1", "--partition", "1", says="0 to 0")
        self.refused(2, "topic", "delete-records", "t", "--before", "1", "--partition", "-1")
        self.refused(1, "topic", "delete-records", "u", "--before", "1")
        self.refused(2, "topic", "delete-records", "table", "--before", "end", says="cleanup.policy=compact")
        self.assertEqual(len(self.records("t")), 2)


if __name__ == "__main__":
    unittest.main()
