#!/usr/bin/env python3
"""weir dlq list, show and replay. What is expected is computed here, from the rows that are produced; letters of every kind are also written by hand,
as docs/formats-engine.md says they look."""
import base64
import collections
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, ROOT, WEIR, Case, environment, ndjson, partition_of

RETAIL = os.path.join(ROOT, "examples/data/online-retail.ndjson.gz")
NOTES = "weir.dlq-replayed"
JOB = """CREATE TABLE orders (id bigint NOT NULL, quantity bigint CONSTRAINT positive CHECK (quantity > 0), ts timestamptz)
  WITH (event_time = 'ts', lateness = '10 seconds');
CREATE MATERIALIZED VIEW sums WITH (topic = 'sums') AS
SELECT window_start, count(*) AS n, sum(quantity) AS total FROM tumble(orders, ts, INTERVAL '1 minute') GROUP BY window_start;
"""
SALES = """CREATE TABLE raw_orders (
    stock_code  text,
    quantity    integer CONSTRAINT quantity_is_positive CHECK (quantity > 0),
    unit_price  numeric(12,3) CONSTRAINT price_is_positive CHECK (unit_price > 0),
    customer_id text NOT NULL,
    ts          timestamptz
) WITH (topic = 'online-retail', event_time = 'ts');
CREATE TABLE validated_orders (stock_code text, amount numeric(18,3)) WITH (topic = 'validated-orders');
INSERT INTO validated_orders SELECT stock_code, quantity * unit_price FROM raw_orders;
"""
# Every place that is passed while a replay writes: the command's own, and the log's on the way to a decision and after it.
PLACES = ("replay_before", "topic.create.recorded", "producer.open.before", "producer.open.fenced", "producer.open.after", "participants.before",
          "participants.after", "append.written", "append.written:2", "append.written:3", "replay_written", "replay_noted", "flush.before", "flush.done",
          "decide.prepared", "decide.before", "decide.done", "decide.stable", "marker.commit", "marker.commit:2", "decide.finished", "replay_committed")


def letter(value, source=None, key=None, headers=(), error=None, late=None, element=None, taken=None, stage="s", time=7):
    """A line for 'weir topic import': what the engine writes for the record (topic, partition, offset) of source."""
    added = []
    if source is not None:
        added += [["weir.source.topic", source[0]], ["weir.source.partition", str(source[1])], ["weir.source.offset", str(source[2])],
                  ["weir.source.timestamp", str(time)]]
    if element is not None:
        added.append(["weir.source.element", element])
    added.append(["weir.stage", stage])
    if late is not None:
        added += [["weir.window.start", late[0]], ["weir.window.end", late[1]], ["weir.lateness_ms", str(late[2])]]
        if taken is not None:
            added.append(["weir.windows.taken", str(taken)])
    else:
        added += [["weir.error.class", (error or ("bad", "it is bad"))[0]], ["weir.error.message", (error or ("bad", "it is bad"))[1]]]
    return {"timestamp": time, "key": key, "value": value, "headers": [*headers, *added]}


class Dlq(Case):
    def setUp(self):
        """In memory, where there is some: hundreds of commands run here, and a kill ends a process, not a machine."""
        super().setUp()
        if os.access("/dev/shm", os.W_OK):
            self.home = tempfile.mkdtemp(prefix="weir-test-", dir="/dev/shm")
            self.addCleanup(shutil.rmtree, self.home)
            self.dir = os.path.join(self.home, "data")

    def load(self, topic, lines, *flags):
        path = os.path.join(self.home, "lines")
        with open(path, "wb") as file:
            file.write(ndjson(lines))
        self.ok("topic", "import", topic, "--from", path, *flags)

    def list(self, *flags):
        return [json.loads(line) for line in self.ok("dlq", "list", *flags).stdout.splitlines()]

    def show(self, name, *flags):
        return [json.loads(line) for line in self.ok("dlq", "show", name, *flags).stdout.splitlines()]

    def replay(self, name, *flags, env=None):
        """What was written, or would be: {(topic, partition): records}, and the totals."""
        lines = [json.loads(line) for line in self.ok("dlq", "replay", name, "--format", "json", *flags, env=env).stdout.splitlines()]
        executed = "--execute" in flags
        self.assertEqual({line["executed"] for line in lines[:-1]} | {lines[-1]["totals"].pop("executed")}, {executed})
        return {(line["to"], line["partition"]): line["records"] for line in lines[:-1]}, lines[-1]["totals"]

    def exported(self, topic):
        """Partition, timestamp, key, value and headers of each record, in order."""
        lines = self.ok("topic", "export", topic, "--to", "-").stdout.splitlines()
        return [tuple(json.dumps(line.get(k, [])) for k in ("partition", "timestamp", "key", "value", "headers")) for line in map(json.loads, lines)]

    def topics(self):
        return self.ok("topic", "list").stdout.decode().split()

    def sql(self, text, name="job.sql"):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Retail(Dlq):
    """The sample of a shop: what is no sale, and why, counted here."""

    @staticmethod
    def reason(row):
        if row["customer_id"] is None:
            return "not_null"
        if not row["quantity"] > 0:
            return "quantity_is_positive"
        return None if row["unit_price"] > 0 else "price_is_positive"

    def run_sample(self, most=None):
        with gzip.open(RETAIL, "rb") as file:
            data = b"".join(file.readlines()[:most])
        self.ok("produce", "online-retail", "--key", "country", "--timestamp", "ts", "--partitions", "3", stdin=data)
        self.ok("run", self.sql(SALES, "orders.sql"), "--until-end")
        self.sources = [r for r in self.records("online-retail")]
        self.bad = [r for r in self.sources if self.reason(r["value"]) is not None]

    def expected(self, records):
        groups = collections.defaultdict(list)
        for record in records:
            groups[self.reason(record["value"])].append(record)
        rows = [{"topic": "orders.dlq", "stage": "validated-orders", "class": reason, "source": "online-retail",
                 "partitions": sorted({r["partition"] for r in found}), "records": len(found), "replayed": 0,
                 "first": min(r["timestamp"] for r in found), "last": max(r["timestamp"] for r in found)} for reason, found in groups.items()]
        return sorted(rows, key=lambda row: -row["records"])

    def test_list_show_and_filters(self):
        self.run_sample()
        self.assertEqual(collections.Counter(self.reason(r["value"]) for r in self.bad),
                         {"not_null": 6653, "quantity_is_positive": 230, "price_is_positive": 1})
        self.assertEqual(self.list(), self.expected(self.bad))
        self.assertEqual(self.list("--app", "orders"), self.expected(self.bad))
        self.assertEqual(self.list("--max", "1"), self.expected(self.bad)[:1])
        self.assertEqual(self.list("--stage", "nobody"), [])
        middle = sorted(r["timestamp"] for r in self.bad)[len(self.bad) // 2]
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle // 1000)) + f".{middle % 1000:03d}Z"
        for flags, keeps in ((("--class", "not_null"), lambda r: self.reason(r["value"]) == "not_null"),
                             (("--from", f"@{middle}"), lambda r: r["timestamp"] >= middle), (("--until", iso), lambda r: r["timestamp"] < middle),
                             (("--from", iso, "--until", f"@{middle + 1}"), lambda r: r["timestamp"] == middle),
                             (("--partition", "2", "--topic", "online-retail"), lambda r: r["partition"] == 2),
                             (("--topic", "online"), lambda r: False)):
            wanted = [r for r in self.bad if keeps(r)]
            self.assertEqual(self.list(*flags), self.expected(wanted), flags)
            shown = self.show("orders", *flags)
            self.assertEqual([(s["source"]["partition"], s["source"]["offset"], s["timestamp"], s["key"], s["value"], s["headers"], s["class"])
                              for s in sorted(shown, key=lambda s: (s["source"]["partition"], s["source"]["offset"]))],
                             [(r["partition"], r["offset"], r["timestamp"], r["key"], r["value"], r["headers"], self.reason(r["value"]))
                              for r in wanted], flags)
            self.assertEqual({s["replayed_to"] for s in shown}, {None} if wanted else set())
        self.assertEqual(self.show("orders.dlq", "--max", "3"), self.show("orders")[:3])
        text = self.ok("dlq", "list", "--format", "text").stdout.decode()
        self.assertIn("PARTITIONS", text.splitlines()[0])
        self.assertRegex(text, r"orders\.dlq +validated-orders +quantity_is_positive +online-retail +0-2 +230 +0 +20")

    def test_a_replay_after_a_fix(self):
        """The rows without a customer are taken by a job that does not ask for one; they are written back, once."""
        self.run_sample(4000)
        lost = sum(self.reason(r["value"]) == "not_null" for r in self.bad)
        self.assertGreater(lost, 500)
        before = self.exported("online-retail")
        wanted = collections.Counter(r["partition"] for r in self.bad if self.reason(r["value"]) == "not_null")
        rows, totals = self.replay("orders", "--class", "not_null")
        self.assertEqual(rows, {("online-retail", p): n for p, n in wanted.items()})
        self.assertEqual((totals["matched"], totals["records"]), (lost, lost))
        self.assertNotIn(NOTES, self.topics())
        self.assertEqual(self.exported("online-retail"), before)
        done = self.ok("dlq", "replay", "orders", "--class", "not_null")
        self.assertIn(b"%d records to write, of %d letters" % (lost, lost), done.stdout)
        self.assertIn(b"online-retail is read by app orders: ", done.stderr)
        self.assertIn(b"--execute", done.stderr)
        self.assertEqual(self.replay("orders", "--class", "not_null", "--execute"), (rows, totals))
        self.assertEqual({row["class"]: row["replayed"] for row in self.list() if row["replayed"] > 0}, {"not_null": lost})
        # Each of them stands once more behind what was there, and is what it was.
        again = self.exported("online-retail")
        extra = collections.Counter(again) - collections.Counter(before)
        originals = [line for line, r in zip(before, self.sources) if self.reason(r["value"]) == "not_null"]
        self.assertEqual(extra, collections.Counter(originals))
        self.assertEqual(self.replay("orders", "--class", "not_null", "--execute")[0], {})
        self.assertEqual(self.exported("online-retail"), again)
        # The job's view of it: the same rows, rejected once more; they are others now, and these can be replayed.
        self.ok("run", self.sql(SALES, "orders.sql"), "--until-end")
        self.assertEqual({row["class"]: (row["records"], row["replayed"]) for row in self.list()}["not_null"], (2 * lost, lost))
        self.assertEqual(self.replay("orders")[1]["records"], len(self.bad))
        self.assertEqual(self.ok("topic", "verify", "--all").returncode, 0)


class Letters(Dlq):
    """Letters of every kind, written by hand."""

    def sources(self, count, partitions=3):
        """A topic of records with keys and without, text and bytes, and headers of all kinds; as lines of an export."""
        draw = random.Random(7)
        lines = []
        for i in range(count):
            headers = [["h", "v"], ["h", None], ["weir.stage", "user's"]][:draw.randrange(4)]
            if draw.randrange(4) == 0:  # it was itself a dead letter that somebody reads
                headers = letter("", ("far", 1, 2), headers=[["x", "y"]])["headers"]
            value = draw.choice((f'{{"n":{i}}}', f"text {i}", {"base64": base64.b64encode(bytes([255, i])).decode()}, None))
            lines.append({"partition": draw.randrange(partitions), "timestamp": 1_000_000 + i, "key": draw.choice((None, f"k{i}", f"k{i % 5}")),
                          "value": value, "headers": headers})
        self.load("src", lines, "--partitions", str(partitions))
        out = self.ok("topic", "export", "src", "--to", "-").stdout.splitlines()
        return [json.loads(line) for line in out]

    @staticmethod
    def letter_of(line, **more):
        return letter(line["value"], ("src", line["partition"], line["offset"]), line["key"], line.get("headers", []), time=line["timestamp"], **more)

    def test_what_is_shown(self):
        own = [["a", "1"], ["weir.stage", "mine"], ["a", {"base64": "/w=="}]]
        lines = [letter('{"n": 1}', ("t", 0, 5), "k", own, ("cast_failed", "not a number: 'x'"), stage="st", time=1000),
                 letter({"base64": "/wA="}, ("t", 2, 6), {"base64": "/g=="}, late=("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z", 17), taken=2),
                 letter(None, ("t", 1, 9), element="2.0"), letter('{"k":"g"}', None, error=("numeric_out_of_range", "too long")),
                 {"timestamp": 3, "key": None, "value": "x", "headers": [["weir.stage", "s"], ["weir.error.class", "c"], ["weir.error.message", "m"], ["z", "z"]]},
                 letter("v", ("t", 0, 7), headers=letter("", ("u", 3, 4), headers=own)["headers"]),
                 {"timestamp": 4, "key": None, "value": "x", "headers": [["weir.source.topic", "t"], ["weir.source.partition", "-1"]]}]
        self.load("app.dlq", lines)
        shown = self.show("app")
        self.assertEqual(shown[0], {"topic": "app.dlq", "partition": 0, "offset": 0, "timestamp": 1000, "key": "k", "value": {"n": 1},
                                    "headers": {"a": ["1", {"base64": "/w=="}], "weir.stage": "mine"}, "stage": "st", "class": "cast_failed",
                                    "message": "not a number: 'x'", "source": {"topic": "t", "partition": 0, "offset": 5}, "replayed_to": None})
        self.assertEqual(shown[1], {"topic": "app.dlq", "partition": 0, "offset": 1, "timestamp": 7, "key": "/g==", "value": "/wA=", "headers": {},
                                    "encoding": "base64", "key_encoding": "base64", "stage": "s", "class": "late",
                                    "source": {"topic": "t", "partition": 2, "offset": 6},
                                    "window": {"start": "2026-01-01T00:00:00.000Z", "end": "2026-01-01T00:01:00.000Z"}, "lateness_ms": 17,
                                    "windows_taken": 2, "replayed_to": None})
        self.assertEqual((shown[2]["source"], shown[2]["value"]), ({"topic": "t", "partition": 1, "offset": 9, "element": "2.0"}, None))
        self.assertEqual((shown[3]["class"], shown[3]["value"], "source" in shown[3]), ("numeric_out_of_range", {"k": "g"}, False))
        # More behind what was added, or something that no engine writes: then all of it is the record's.
        for i in (4, 6):
            self.assertEqual((shown[i]["class"], shown[i]["stage"], len(shown[i]["headers"])), (None, None, len(lines[i]["headers"])))
        self.assertEqual((shown[5]["source"]["topic"], shown[5]["headers"]["weir.source.topic"], len(shown[5]["headers"])), ("t", "u", 8))
        self.assertEqual(sum(row["records"] for row in self.list()), len(lines))
        text = self.ok("dlq", "show", "app", "--format", "text").stdout.decode()
        for part in ("app.dlq-0 0", "1970-01-01T00:00:01.000Z  cast_failed", "not a number: 'x'", "t-0 5", "weir.stage: mine", "t-1 9, row 2.0",
                     "closed 17 ms before; 2 other windows took the row", "not written by weir", '"/wA="'):
            self.assertIn(part, text)

    def test_everything_goes_back_as_it_was(self):
        lines = self.sources(200)
        before = self.exported("src")
        self.load("app.dlq", [self.letter_of(line) for line in lines], "--partitions", "2")
        rows, totals = self.replay("app", "--execute")
        self.assertEqual(totals["records"], 200)
        self.assertEqual(rows, {("src", p): n for p, n in collections.Counter(line["partition"] for line in lines).items()})
        self.assertEqual(collections.Counter(self.exported("src")), collections.Counter(before + before))
        self.assertEqual({s["replayed_to"] for s in self.show("app")}, {"src"})

    def test_another_topic(self):
        lines = self.sources(100)
        self.load("app.dlq", [self.letter_of(line) for line in lines])
        self.ok("topic", "create", "wide", "--partitions", "5")
        self.ok("topic", "create", "narrow", "--partitions", "2")
        for to, count in (("wide", 5), ("narrow", 2)):
            self.replay("app", "--to", to, "--execute")
            place = lambda line: partition_of(line["key"].encode(), count) if line["key"] is not None else line["partition"] % count
            expected = [tuple(json.dumps(x) for x in (place(line), line["timestamp"], line["key"], line["value"], line.get("headers", []))) for line in lines]
            self.assertEqual(collections.Counter(self.exported(to)), collections.Counter(expected), to)
        self.assertEqual(self.replay("app", "--execute")[1]["replayed_elsewhere"], 100)
        # By the key in the source topic, too, when that is asked for.
        self.replay("app", "--to", "wide", "--execute")
        self.ok("topic", "delete", "wide")
        self.ok("topic", "create", "wide", "--partitions", "3")
        self.assertEqual(self.replay("app", "--to", "wide", "--max", "7", "--execute")[1]["records"], 7, "it is another topic now")
        self.assertEqual(self.replay("app", "--to", "wide", "--execute")[1]["records"], 93)
        self.assertEqual(len(self.exported("wide")), 100)

    def test_by_key(self):
        lines = self.sources(60)
        self.load("app.dlq", [self.letter_of(line) for line in lines])
        rows, _ = self.replay("app", "--by-key")
        place = lambda line: partition_of(line["key"].encode(), 3) if line["key"] is not None else line["partition"]
        self.assertEqual(rows, {("src", p): n for p, n in collections.Counter(map(place, lines)).items()})

    def test_one_record_of_several_letters(self):
        lines = self.sources(10)
        letters = [self.letter_of(line, stage=stage) for stage in ("a", "b") for line in lines]
        self.load("app.dlq", letters + [self.letter_of(line, late=("x", "y", 1)) for line in lines])
        self.load("other.dlq", letters)
        self.load("v.late", [self.letter_of(line, late=("x", "y", 1)) for line in lines])
        totals = self.replay("app")[1]
        self.assertEqual((totals["matched"], totals["records"], totals["repeated"]), (30, 10, 20))
        self.replay("app", "--stage", "b", "--max", "4", "--execute")
        totals = self.replay("app", "--execute")[1]
        self.assertEqual((totals["records"], totals["replayed_before"], totals["repeated"]), (6, 12, 12))
        for name in ("app", "other", "v"):
            self.assertEqual(self.replay(name, "--execute")[1]["records"], 0, name)
        self.assertEqual(len(self.exported("src")), 20)

    def test_the_same_place_of_another_record(self):
        """A topic that was made anew has records at the same offsets; a letter of the old one says nothing of the new one."""
        self.ok("topic", "create", "src")
        self.load("app.dlq", [letter("old", ("src", 0, 0)), letter("new", ("src", 0, 0)), letter("old", ("src", 0, 0), time=8)])
        self.assertEqual(self.replay("app", "--execute")[1]["records"], 3)
        self.assertEqual(sorted(r["value"] for r in self.records("src")), ["new", "old", "old"])

    def test_what_is_left_out(self):
        self.ok("topic", "create", "src")
        window = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z", 17)
        self.load("app.dlq", [letter("a", ("src", 0, 0), element="1"), letter("a", ("src", 0, 0), element="3"),
                              letter("b", ("src", 0, 1), late=window, taken=1), letter("c", ("src", 0, 2), late=window),
                              letter("{}", None), {"value": "foreign"}])
        rows, totals = self.replay("app", "--execute")
        self.assertEqual((rows, totals["partly_applied"], totals["without_source"], totals["foreign"]), ({("src", 0): 1}, 3, 1, 1))
        self.assertIn(b"late again", self.ok("dlq", "replay", "app", "--partly-applied").stderr)
        rows, totals = self.replay("app", "--partly-applied", "--execute")
        self.assertEqual((rows, totals["repeated"], totals["replayed_before"]), ({("src", 0): 2}, 1, 1))
        self.assertEqual([r["value"] for r in self.records("src")], ["c", "a", "b"])

    def test_any_filters_in_any_order(self):
        """Random replays, dry runs between them: what was never asked for is never written, what was is there once."""
        lines = self.sources(120)
        draw = random.Random(3)
        classes = [draw.choice(("a", "b", "c")) for _ in lines]
        self.load("app.dlq", [self.letter_of(line, error=(c, "m")) for line, c in zip(lines, classes)], "--partitions", "3")
        written = set()
        for _ in range(12):
            flags, keeps = [], lambda i: True
            chosen = draw.choice(("a", "b", "c", None))
            if chosen is not None:
                flags += ["--class", chosen]
            low = draw.randrange(120)
            if draw.randrange(2):
                flags += ["--from", f"@{1_000_000 + low}"]
            else:
                low = 0
            keeps = {i for i in range(120) if (chosen is None or classes[i] == chosen) and lines[i]["timestamp"] - 1_000_000 >= low}
            new = keeps - written
            most = draw.choice((None, 5))
            if most is not None:
                flags += ["--max", str(most)]
            self.assertEqual(self.replay("app", *flags)[1]["records"], min(len(new), most or 999))
            if most is None and draw.randrange(3):
                self.assertEqual(self.replay("app", *flags, "--execute")[1]["records"], len(new))
                written |= new
            self.assertEqual(len(self.exported("src")), 120 + len(written))
        self.assertEqual(self.replay("app", "--execute")[1]["records"], 120 - len(written))
        doubled = collections.Counter(tuple(json.dumps(line.get(k, [])) for k in ("partition", "timestamp", "key", "value", "headers")) for line in lines * 2)
        self.assertEqual(collections.Counter(self.exported("src")), doubled)

    def test_a_second_reader_of_the_notes(self):
        """Notes survive compaction; those that cannot be read stop the replay."""
        lines = self.sources(50)
        self.load("app.dlq", [self.letter_of(line) for line in lines])
        for most in ("10", "20", "5"):
            self.replay("app", "--max", most, "--execute")
        self.ok("topic", "clean", NOTES)
        self.assertEqual(self.replay("app", "--execute")[1]["records"], 15)
        self.refused(2, "produce", NOTES, stdin=b"x\n", says="internal")
        self.refused(2, "dlq", "replay", "app", "--to", NOTES, says="internal")

    def test_what_cannot_be_replayed(self):
        self.refused(1, "dlq", "list", says="there is no data directory")
        self.load("app.dlq", [letter("a", ("src", 0, 0)), letter("b", ("gone", 0, 0))])
        self.ok("topic", "create", "src")
        self.refused(1, "dlq", "replay", "app", "--execute", says=["gone", "weir topic create", "nothing was written"])
        self.assertEqual(self.records("src"), [])
        self.assertEqual(self.replay("app", "--topic", "src", "--execute")[1]["records"], 1)
        self.refused(1, "dlq", "replay", "app", "--to", "nowhere", says="nowhere")
        self.refused(2, "dlq", "replay", "app", "--to", "app.dlq", says="itself")
        self.refused(1, "dlq", "show", "nobody", says=["nobody.dlq", "weir dlq list"])
        self.refused(2, "dlq", "show", "src", says="neither dead letters nor late rows")
        self.refused(1, "dlq", "list", "--app", "nobody", says="never ran here")
        self.refused(2, "dlq", "show", "app", "--from", "yesterday", says="ISO 8601")
        self.refused(2, "dlq", "show", "app", "--partition", "x", says="--partition")
        self.refused(2, "dlq", "replay", says="argument is missing")
        # The log says no to a record: nothing is written, the notes are as they were.
        self.ok("topic", "create", "table", "--config", "cleanup.policy=compact")
        self.refused(2, "dlq", "replay", "app", "--to", "table", "--execute", says="key")
        self.ok("topic", "alter", "table", "--config", "cleanup.policy=delete")
        self.assertEqual(self.replay("app", "--to", "table", "--execute")[1]["records"], 2)


class Killed(Dlq):
    def setUp(self):
        super().setUp()
        draw = random.Random(5)
        self.load("src", [{"partition": draw.randrange(3), "timestamp": 1000 + i, "key": f"k{i}", "value": f"v{i}"} for i in range(600)],
                  "--partitions", "3")
        self.lines = [json.loads(line) for line in self.ok("topic", "export", "src", "--to", "-").stdout.splitlines()]
        self.load("app.dlq", [Letters.letter_of(line, error=("even" if line["timestamp"] % 2 == 0 else "odd", "m")) for line in self.lines])
        self.counts = collections.Counter(self.values("src").split())

    def written(self):
        """How often each value was written back; read as a reader of committed records does."""
        now = collections.Counter(self.values("src").split())
        return now - self.counts

    def check(self, place, died):
        """All of a replay counts, or nothing of it; and the next one writes the rest."""
        even = {f"v{line['timestamp'] - 1000}".encode(): 1 for line in self.lines if line["timestamp"] % 2 == 0}
        found = self.written()
        self.assertIn(dict(found), ({}, even), place)
        if not died:
            self.assertEqual(dict(found), even, place)
        totals = self.replay("app", "--class", "even", "--execute")[1]
        self.assertEqual(totals["records"], 0 if found else 300, place)
        self.assertEqual(self.replay("app", "--execute")[1]["records"], 300, place)
        self.assertEqual(self.written(), self.counts, place)

    def fresh(self):
        """The directory as it was before any replay."""
        copy = os.path.join(self.home, "copy")
        if not os.path.exists(copy):
            subprocess.run(["cp", "-r", self.dir, copy], check=True)
        subprocess.run(["rm", "-rf", self.dir], check=True)
        subprocess.run(["cp", "-r", copy, self.dir], check=True)

    def test_at_each_place(self):
        passed = []
        for place in PLACES:
            self.fresh()
            done = self.weir("dlq", "replay", "app", "--class", "even", "--execute", env={"WEIR_CRASH_AT": place})
            self.assertIn(done.returncode, (0, 137), (place, done.stderr))
            if done.returncode == 137:
                passed.append(place)
            self.check(place, done.returncode == 137)
        self.assertEqual(set(PLACES) - set(passed), set(), "places that a replay does not pass any more")

    def test_at_any_time(self):
        draw = random.Random(11)
        self.fresh()
        for _ in range(12):
            process = subprocess.Popen([WEIR, "dlq", "replay", "app", "--class", "even", "--execute", "--data", self.dir], env=environment(),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                process.communicate(timeout=draw.random() * 0.03)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate(timeout=LIMIT_S)
            self.assertLessEqual(max(self.written().values(), default=0), 1)
        self.check("any time", True)


class Late(Dlq):
    def test_late_rows(self):
        path = self.sql(JOB)
        rows = [{"id": i, "quantity": i, "ts": 1_000_000_000 + t} for i, t in enumerate((0, 5_000, 200_000, 7_000, 201_000, 8_000), start=1)]
        self.produce("orders", ndjson(rows))
        self.ok("run", path, "--until-end")
        late = [row for row in rows if row["ts"] in (1_000_007_000, 1_000_008_000)]
        self.assertEqual([s["value"] for s in self.show("sums.late")], late)
        self.assertEqual(self.show("sums.late"), self.show("sums"))
        shown = self.show("sums", "--class", "late")[0]
        # 1,000,007,000 lies in the minute from 960,000 to 1,020,000 of that million; the watermark was 1,000,200,000 less ten seconds.
        start = 1_000_007_000 // 60_000 * 60_000
        iso = lambda ms: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(ms // 1000))
        self.assertEqual((shown["window"], shown["lateness_ms"]),
                         ({"start": iso(start), "end": iso(start + 60_000)}, 1_000_190_000 - (start + 60_000)))
        self.assertEqual([(r["topic"], r["class"], r["records"]) for r in self.list("--app", "job")], [("sums.late", "late", 2)])
        self.assertIn(b"late rows are late again", self.ok("dlq", "replay", "sums").stderr)
        # And so they are.
        self.replay("sums", "--execute")
        self.ok("run", path, "--until-end")
        self.assertEqual([(r["records"], r["replayed"]) for r in self.list("--topic", "orders")], [(4, 2)])
        # A job of their own, from a topic of their own, takes them: the first two, and those that were written back, are rows of it.
        self.ok("topic", "create", "orders-late")
        self.replay("sums", "--to", "orders-late", "--execute")
        self.ok("run", self.sql(JOB.replace("event_time", "topic = 'orders-late', event_time").replace("'sums'", "'late-sums'"), "late.sql"), "--until-end")
        latest = {record["key"]: record["value"] for record in self.records("late-sums")}
        totals = collections.Counter()
        for row in late + late:
            totals[row["ts"] // 60_000 * 60_000] += row["quantity"]
        self.assertEqual({r["window_start"]: r["total"] for r in latest.values()}, {iso(ms): n for ms, n in totals.items()})


if __name__ == "__main__":
    unittest.main()
