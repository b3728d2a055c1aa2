#!/usr/bin/env python3
"""Looking after a log with the weir command: describe, grow, delete records. What is expected is computed here, or read from the files."""
import base64
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import WEIR, Case, content, environment, ndjson, partition_of


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
        self.assertEqual([f for f in os.listdir(self.path("t-0")) if f.endswith(".log")], ["%020d.log" % 10], "no space came back")
        self.produce("t", b"more\n")
        self.assertEqual([r["offset"] for r in self.records("t")], [10])
        self.assertEqual(self.weir("topic", "verify", "t").returncode, 0)

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


class Truncate(Admin):
    def setUp(self):
        super().setUp()
        for i in range(6):  # a batch each
            self.produce("t", f"line {i}\n".encode(), "--compression", "none")

    def test_way_out_of_damage(self):
        data = content(self.path("t-0/" + "0" * 20 + ".log"))
        at = data.index(b"line 3")
        self.damage("t-0/" + "0" * 20 + ".log", at, b"LINE")
        self.assertEqual(self.weir("consume", "t", "--until-end").returncode, 1)
        done = self.weir("topic", "truncate", "t", "--partition", 0, "--to", 5)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"The last right batch ends at offset 3", done.stderr)
        done = self.ok("topic", "truncate", "t", "--partition", 0, "--to", 3, "--format", "json")
        plan = json.loads(done.stdout)
        self.assertEqual((plan["new_end_offset"], plan["batches"], plan["leader_epoch"], plan["executed"]), (3, 2, 1, False))
        self.assertEqual(self.weir("consume", "t", "--until-end").returncode, 1, "a dry run changed something")
        self.ok("topic", "truncate", "t", "--partition", 0, "--to", 3, "--execute")
        self.assertEqual(self.values("t"), b"line 0\nline 1\nline 2\n")
        self.produce("t", b"new 3\n")
        self.assertEqual([(r["offset"], r["value"]) for r in self.records("t")][3:], [(3, "new 3")])
        self.assertEqual(self.weir("topic", "verify", "t").returncode, 0)
        self.assertEqual(content(self.path("t-0/leader-epoch-checkpoint")), b"0\n2\n0 0\n1 3\n")

    def test_groups_beyond_the_end_are_named(self):
        self.ok("consume", "t", "--group", "late", "--until-end")
        self.ok("consume", "t", "--group", "early", "--max", "1")
        text = self.ok("topic", "truncate", "t", "--partition", "0", "--to", "2").stdout.decode()
        self.assertIn("end 6 → 2  batches gone 4", text)
        self.assertIn("group late committed offset 6", text)
        self.assertNotIn("early", text)
        plan = json.loads(self.ok("topic", "truncate", "t", "--partition", "0", "--to", "2", "--execute", "--format", "json").stdout)
        self.assertEqual((plan["groups"], plan["executed"]), ([{"group": "late", "offset": 6}], True))
        self.assertEqual(self.values("t"), b"line 0\nline 1\n")

    def test_refusals(self):
        self.refused(2, "topic", "truncate", "t", "--to", "1", says="--partition is missing")
        self.refused(2, "topic", "truncate", "t", "--partition", "0", says="--to is missing")
        self.refused(2, "topic", "truncate", "t", "--partition", "0", "--to", "-1")
        self.refused(1, "topic", "truncate", "t", "--partition", "0", "--to", "7", "--execute", says="it ends at 6")
        self.refused(1, "topic", "truncate", "t", "--partition", "1", "--to", "1", "--execute", says="0 to 0")
        self.refused(1, "topic", "truncate", "u", "--partition", "0", "--to", "1", "--execute")
        self.ok("topic", "truncate", "t", "--partition", "0", "--to", "6", "--execute")
        self.assertEqual(len(self.records("t")), 6)


def text_of(data):
    """Bytes as weir topic export writes them."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class Transfer(Admin):
    def export(self, topic, *flags):
        done = self.ok("topic", "export", topic, "--to", "-", *flags)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    def imports(self, topic, rows, *flags):
        data = "".join(json.dumps(row) + "\n" for row in rows)
        return self.ok("topic", "import", topic, "--from", "-", *flags, stdin=data).stderr.decode()

    def random_rows(self, count, partitions):
        """Records with everything that could get lost on the way."""
        rng = random.Random(7)

        def some_bytes():
            kind = rng.randrange(7)
            if kind == 0:
                return None
            if kind == 1:
                return b""
            if kind == 2:
                return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
            return rng.choice([b"plain", "\u00e4\U0001f600".encode(), b'{"a": [1,\n 2]}', b"\x00\x01\x7f\n\r\t\"\\", b'"text"', b"null",
                               b"\xed\xa0\x80", b"\xff", b"\xc0\x80"])

        rows = []
        for _ in range(count):
            row = {"partition": rng.randrange(partitions), "timestamp": rng.choice([-1, -12345, 0, 1, 1291191960000]),
                   "key": text_of(some_bytes()), "value": text_of(some_bytes())}
            if headers := [[text_of(some_bytes() or b"h"), text_of(some_bytes())] for _ in range(rng.randrange(4))]:
                row["headers"] = headers
            rows.append(row)
        return rows

    def test_nothing_gets_lost(self):
        rows = self.random_rows(500, 3)
        self.assertEqual(self.imports("a", rows, "--partitions", "3"), "a: 500 records imported\n")
        exported, message = self.export("a")
        self.assertEqual(message, "a: 500 records exported\n")
        expected, next_offset = [], [0, 0, 0]
        for row in sorted(rows, key=lambda r: r["partition"]):  # stable: offset order within a partition
            expected.append({"partition": row["partition"], "offset": next_offset[row["partition"]],
                             **{k: v for k, v in row.items() if k != "partition"}})
            next_offset[row["partition"]] += 1
        self.assertEqual(exported, expected)
        one = self.ok("topic", "export", "a", "--to", "-").stdout
        self.ok("topic", "import", "b", "--from", "-", "--partitions", "3", stdin=one)
        self.assertEqual(self.ok("topic", "export", "b", "--to", "-").stdout, one)
        self.assertEqual(self.export("a", "--partition", "1")[0], [r for r in expected if r["partition"] == 1])
        self.assertEqual(self.weir("topic", "verify", "--all").returncode, 0)

    def test_what_consume_sees(self):
        rows = [{"value": "x\u0000y", "key": "k", "headers": [["h", "1"], ["h", None], ["g", ""]], "timestamp": 5},
                {"value": None}, {"value": ""}, {"value": {"base64": "/w=="}, "key": ""}]
        self.imports("t", rows)
        seen = self.records("t")
        self.assertEqual([(r["key"], r["value"]) for r in seen], [("k", "x\0y"), (None, None), (None, ""), ("", "/w==")])
        self.assertEqual(seen[0]["headers"], {"h": ["1", None], "g": ""})
        self.assertEqual(seen[0]["timestamp"], 5)

    def test_files(self):
        self.produce("t", b"1\n2\n")
        path = os.path.join(self.home, "out.ndjson")
        self.ok("topic", "export", "t", "--to", path)
        self.assertEqual(os.listdir(self.home).count("out.ndjson.partial"), 0)
        self.refused(1, "topic", "export", "t", "--to", path, says="exists already")
        self.ok("topic", "import", "u", "--from", path)
        self.assertEqual(self.values("u"), b"1\n2\n")
        self.refused(1, "topic", "export", "t", "--to", os.path.join(self.home, "no/where"))
        self.refused(1, "topic", "import", "u", "--from", os.path.join(self.home, "no/where"), says="No such file")
        self.damage("t-0/" + "0" * 20 + ".log", 70)
        broken = os.path.join(self.home, "broken.ndjson")
        done = self.weir("topic", "export", "t", "--to", broken)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"weir: " + self.path("t-0/").encode(), done.stderr)
        self.assertEqual([name for name in os.listdir(self.home) if name.startswith("broken")], [])

    def test_a_full_disk(self):
        self.produce("t", b"x" * 1000 + b"\n")
        done = self.weir("topic", "export", "t", "--to", "-")
        self.assertEqual(done.returncode, 0)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([WEIR, "topic", "export", "t", "--to", "-", "--data", self.dir], stdout=full,
                                  stderr=subprocess.PIPE, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)

    def test_by_key(self):
        rows = [{"partition": 9, "key": f"k{i}", "value": str(i)} for i in range(50)]
        self.imports("t", rows, "--repartition", "--partitions", "4")
        self.assertEqual(sorted((r["partition"], r["key"]) for r in self.export("t")[0]),
                         sorted((partition_of(r["key"].encode(), 4), r["key"]) for r in rows))

    def test_the_promise_of_keys_ends(self):
        self.produce("t", ndjson([{"user": "u1"}]), "--key", "user", "--partitions", "2")
        self.imports("t", [{"partition": 0, "key": "zzz", "value": "1"}])
        self.assertNotIn("weir.partitioned.by", self.describe("t")["config_set"])

    def test_bad_lines(self):
        good = '{"value":"1"}'
        bad = {"{": "no JSON", "[]": "no JSON object", "{}": "there is no value", '{"value":1}': "value is neither", '{"value":"1","key":{}}': "key is",
               '{"value":"1","keys":"k"}': '"keys"', '{"value":"1","value":"2"}': "no JSON", '{"value":"1","partition":-1}': "partition is no integer",
               '{"value":"1","partition":1.0}': "partition is no integer", '{"value":"1","timestamp":"now"}': "timestamp is no integer",
               '{"value":{"base64":"="}}': "no base64", '{"value":{"base64":"/x=="}}': "no base64", '{"value":{"base64":"AA==AA=="}}': "no base64",
               '{"value":{"base64":"A A="}}': "no base64", '{"value":"1","headers":{}}': "headers is no array",
               '{"value":"1","headers":[["a"]]}': "[name, value]", '{"value":"1","headers":[[null,"a"]]}': "name is null",
               '{"value":"1","partition":1}': "--repartition", '{"value":"\\ud800"}': "no JSON"}
        for line, says in bad.items():
            text = self.refused(1, "topic", "import", "new", "--from", "-", stdin=f"{good}\n\n{line}\n{good}\n", says=["line 3: ", says])
            self.assertIn("the topic was not made", text)
        self.assertEqual(self.ok("topic", "list").stdout, b"")
        self.imports("old", [{"value": "0"}])
        text = self.refused(1, "topic", "import", "old", "--from", "-", stdin=f"{good}\n{{\n{good}\n")
        self.assertIn("line 2: no JSON", text)
        self.assertIn("keeps the records of the lines before", text)
        self.assertEqual(self.values("old"), b"0\n1\n")

    def test_refusals(self):
        self.produce("t", b"1\n")
        self.refused(2, "topic", "export", "t", says="--to is missing")
        self.refused(2, "topic", "import", "t", says="--from is missing")
        self.refused(1, "topic", "export", "u", "--to", "-", says="there is no topic u")
        self.refused(1, "topic", "export", "t", "--to", "-", "--partition", "1", says="0 to 0")
        self.refused(2, "topic", "import", "a/b", "--from", "-")
        self.refused(1, "topic", "import", "t", "--from", "-", "--partitions", "2", says="has 1 partition")


class Segments(Admin):
    def setUp(self):
        super().setUp()
        self.produce("t", ndjson({"k": f"k{i}"} for i in range(300)), "--key", "k", "--partitions", "3")
        self.copy = os.path.join(self.home, "copy")

    def test_round_trip(self):
        self.ok("topic", "delete-records", "t", "--before", "end", "--partition", "2", "--execute")
        before = self.records("t")
        done = self.ok("topic", "export", "t", "--segments", self.copy)
        self.assertIn(f"{sum(len(self.records('t', '--partition', p)) for p in range(3))} records", done.stderr.decode())
        self.assertEqual(sorted(os.listdir(self.copy)), ["t-0", "t-1", "t-2"])
        # what Kafka keeps beside its segments is passed over
        for name in ("t-0/partition.metadata", "t-0/00000000000000000010.snapshot", "t-0/00000000000000000000.txnindex", "meta.properties"):
            with open(os.path.join(self.copy, name), "wb") as file:
                file.write(b"version: 0")
        self.ok("topic", "import", "u", "--segments", self.copy)
        after = self.records("u")
        self.assertEqual([{**r, "topic": "t"} for r in after], before)
        self.assertEqual(self.weir("topic", "verify", "--all").returncode, 0)
        self.produce("u", ndjson([{"k": "k1"}]), "--key", "k")
        self.assertEqual(len(self.records("u")), len(before) + 1)
        self.refused(1, "topic", "import", "u", "--segments", self.copy, says="holds records")
        one = os.path.join(self.copy, "t-1")
        self.ok("topic", "import", "one", "--segments", one)
        self.assertEqual(self.values("one"), self.values("t", "--partition", "1"))

    def test_refusals(self):
        self.ok("topic", "export", "t", "--segments", self.copy)
        self.refused(1, "topic", "export", "t", "--segments", self.copy, says="is not empty")
        self.refused(1, "topic", "export", "t", "--segments", os.path.join(self.home, "no/where"), says="No such file")
        self.refused(1, "topic", "export", "x", "--segments", os.path.join(self.home, "x"))
        self.assertFalse(os.path.exists(os.path.join(self.home, "x")))
        self.refused(2, "topic", "export", "t", "--segments", "x", "--to", "-")
        self.refused(2, "topic", "import", "t", "--segments", "x", "--from", "-")
        self.refused(1, "topic", "import", "u", "--segments", self.home, says="neither directories")
        self.refused(1, "topic", "import", "u", "--segments", os.path.join(self.home, "none"), says="cannot read")
        log = os.path.join(self.copy, "t-1", "0" * 20 + ".log")
        with open(log, "r+b") as file:
            file.truncate(os.path.getsize(log) - 1)
        self.refused(1, "topic", "import", "u", "--segments", self.copy, says=log)
        self.refused(1, "topic", "import", "u", "--from", "-", stdin="{", says="the topic was not made")
        self.assertEqual(self.ok("topic", "list").stdout, b"t\n", "a refused import made its topic")
        os.rename(os.path.join(self.copy, "t-1"), os.path.join(self.copy, "t-3"))
        self.refused(1, "topic", "import", "u", "--segments", self.copy, says="has no directory t-1")
        os.rename(os.path.join(self.copy, "t-3"), os.path.join(self.copy, "other-1"))
        self.refused(2, "topic", "import", "u", "--segments", self.copy, says="more than one topic")

    def test_damage_is_not_copied(self):
        self.damage("t-1/" + "0" * 20 + ".log", 100)
        done = self.weir("topic", "export", "t", "--segments", self.copy)
        self.assertEqual(done.returncode, 1)
        self.assertFalse(os.path.exists(self.copy))


class AppReset(Admin):
    """The job is an example: events per user and five minutes."""
    JOB = os.path.join(os.path.dirname(WEIR), "user-counts")

    def events(self, *users):
        self.produce("incident-events", ndjson({"user": u, "ts": 1767225600000 + 1000 * i} for i, u in enumerate(users)), "--timestamp", "ts")

    def run_job(self):
        subprocess.run([self.JOB, "--data", self.dir, "--until-end"], check=True, capture_output=True, env=environment(), timeout=120)

    def counts(self):
        latest = {}
        for record in self.records("user-counts"):
            latest[json.loads(record["key"])["user"]] = record["value"]
        return {user: value["events"] for user, value in latest.items() if value is not None}

    def test_begins_again_where_it_is_told(self):
        self.events("a", "b", "a", "c")
        self.run_job()
        self.assertEqual(self.counts(), {"a": 2, "b": 1, "c": 1})
        reset = ["app", "reset", "user-counts", "--offset", "incident-events-0=2"]
        rows = self.lines(*reset, "--format", "json")
        self.assertEqual([(r["pipeline"], r["source"], r["current_offset"], r["new_offset"], r["executed"]) for r in rows if "source" in r],
                         [("user-counts", "incident-events", 4, 2, False)])
        self.assertEqual([(r["kind"], r["name"]) for r in rows if "kind" in r],
                         [("state", "state/user-counts/user-counts"), ("changelog", "user-counts-user-counts-changelog"), ("output", "user-counts")])
        self.run_job()
        self.assertEqual(self.counts(), {"a": 2, "b": 1, "c": 1})
        self.ok(*reset, "--outputs", "clear", "--execute")
        self.assertEqual(self.counts(), {})
        self.run_job()
        self.assertEqual(self.counts(), {"a": 1, "c": 1})
        self.ok("app", "reset", "user-counts", "--to", "@1767225601000", "--topic", "user-counts", "--outputs", "keep", "--execute")
        self.run_job()
        self.assertEqual(self.counts(), {"b": 1, "a": 1, "c": 1})

    def test_refuses(self):
        self.events("a", "b")
        reset = ["app", "reset", "user-counts"]
        self.refused(1, *reset, "--to", "beginning", says="never ran")
        self.run_job()
        self.refused(1, *reset, "--to", "beginning", "--execute", says="cleared or kept")
        self.refused(1, *reset, "--to", "@1767225609000", says="reset to the end")
        self.refused(1, *reset, "--offset", "incident-events-0=3", says="ends at offset 2")
        self.refused(1, *reset, "--to", "end", "--topic", "other", says="other")
        self.refused(2, *reset, says="--to")
        self.refused(2, *reset, "--to", "12", says="@EPOCH_MS")
        self.refused(2, *reset, "--to", "end", "--offset", "incident-events-0=1", says="--offset")
        self.refused(2, *reset, "--to", "end", "--outputs", "burn", says="clear")
        for offset in ["incident-events=1", "incident-events-0", "-0=1", "incident-events-0=-1", "incident-events-x=1", "incident-events-10000=1"]:
            self.refused(2, *reset, "--offset", offset, says="TOPIC-PARTITION=OFFSET")
        self.assertEqual(self.counts(), {"a": 1, "b": 1})


if __name__ == "__main__":
    unittest.main()
