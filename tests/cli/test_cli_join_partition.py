#!/usr/bin/env python3
"""Joins with tables that are read by partition (join = 'partitioned'), against SQLite.

    test_cli_join_partition.py                            some directories that are drawn
    WEIR_PARTITION_JOINS=FROM-TO test_cli_join_partition.py   those of these seeds

The same questions are asked with the table whole in each task and with the table by partition, of a stream that lies by the table's key, of one that lies
anyhow and so is re-keyed by itself, and of views of both. Rows come in turns: changes and deletions of the table, rows of the streams, all in the order of their times; a
turn is a run to the end, before some of them one that is killed. A stream that lies anyhow has one partition when the table changes beside it, since the order in which rows of several come
together is no order of time.
"""
import json
import os
import random
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import Case, WEIR, environment, ndjson, weir

STREAM = "CREATE TABLE %s (id bigint, k text, v bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour'%s);\n"
TABLE = "CREATE TABLE tab (k text PRIMARY KEY, w bigint, m text, ts timestamptz) WITH (event_time = 'ts'%s);\n"
# name, is it grouped, the question; [x,u]: u's row stood at x's time
QUESTIONS = (
    ("met", False, "SELECT x.id AS i, x.v AS vv, u.w, u.m FROM lies x LEFT JOIN tab u ON u.k = x.k AND [x,u]"),
    ("inner_met", False, "SELECT x.id AS i, u.w FROM lies x JOIN tab u ON u.k = x.k AND [x,u] WHERE x.v < 6 AND u.w > 0"),
    ("per", True, "SELECT u.m AS m, count(*) AS n, sum(x.v) AS s FROM anyhow x JOIN tab u ON x.k = u.k AND [x,u] GROUP BY u.m"),
    ("seen", False, "SELECT x.i, u.w AS a, t.w AS b FROM few x LEFT JOIN tab u ON u.k = x.kk AND [x,u] LEFT JOIN high t ON t.k = u.m AND [x,t]"),
)
VIEWS = "CREATE VIEW few AS SELECT id AS i, k AS kk, v, ts FROM anyhow WHERE v <> 3;\n"
HIGH = "CREATE VIEW high AS SELECT k, w + 1 AS w%s FROM tab WHERE w > 0;\n"


def bare(text):
    for pair in ("[x,u]", "[x,t]"):
        text = text.replace(" AND " + pair, "")
    return text


def timed(text):
    for alias in "ut":
        text = text.replace(f"[x,{alias}]", f"x.ts >= {alias}.since AND x.ts < {alias}.until")
    return text


class Partitioned(Case):
    def file(self, text, name="job.sql"):
        path = os.path.join(self.home, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def job(self, how):
        text = TABLE % f", join = '{how}'" + STREAM % ("lies", ", partitioned_by = 'k'") + STREAM % ("anyhow", "") + VIEWS + HIGH % ""
        for name, is_grouped, question in QUESTIONS:
            text += f"{f'CREATE MATERIALIZED VIEW {name} AS' if is_grouped else f'INSERT INTO {name}'} {bare(question)};\n"
        return self.file(text)

    def draw(self, seed):
        draw = random.Random(seed)
        self.partitions = draw.choice([1, 2, 3])
        self.topics = {"tab": self.partitions, "lies": self.partitions, "anyhow": 1}
        now, count, turns = 1_700_000_000_000, 0, []
        for _ in range(draw.choice([1, 2, 3])):
            turn = {topic: [] for topic in self.topics}
            for _ in range(draw.choice([10, 60])):
                now += draw.choice([0, 1, 40])
                count += 1
                topic = draw.choice(["tab", "tab", "lies", "anyhow", "lies", "anyhow"])
                row = {"id": count, "k": draw.choice([*"pqrst", None]), "v": draw.randrange(9), "ts": now}
                if topic == "tab":
                    row = {"k": draw.choice("pqrs"), "w": draw.randrange(4), "m": draw.choice("pqt"), "ts": now, "is_gone": draw.random() < .2}
                turn[topic].append(row)
            now += 1
            turns.append(turn)
        return draw, turns

    def send(self, turn):
        for topic in ("lies", "anyhow"):
            self.produce(topic, ndjson(turn[topic]), *(["--key", "k"] if topic == "lies" else []))
        lines = b""
        for row in turn["tab"]:  # a deletion has the time of its record, which is now: so the row is written as one that the views leave out
            lines += row["k"].encode() + b"\t" + ndjson([{n: row[n] for n in ("k", "w", "m", "ts")}])
        self.produce("tab", lines, "--key-separator", "\\t")

    def base(self, turns):
        base = sqlite3.connect(":memory:")
        for topic in ("lies", "anyhow"):
            base.execute(f"CREATE TABLE {topic} (id, k, v, ts)")
            base.executemany(f"INSERT INTO {topic} VALUES (:id, :k, :v, :ts)", [row for turn in turns for row in turn[topic]])
        base.execute("CREATE TABLE tab (k, w, m, since, until)")
        next_ms = {}
        for row in reversed([row for turn in turns for row in turn["tab"]]):
            base.execute("INSERT INTO tab VALUES (?, ?, ?, ?, ?)", [row["k"], row["w"], row["m"], row["ts"], next_ms.get(row["k"], 1 << 60)])
            next_ms[row["k"]] = row["ts"]
        base.executescript(VIEWS + HIGH % ", since, until")
        return base

    def values_of(self, name, is_grouped):
        last = {}
        for i, record in enumerate(self.records(name)):
            last[record["key"] if is_grouped else i] = record["value"]
        return [json.loads(value) if isinstance(value, str) else value for value in last.values() if value is not None]

    def run_killed(self, job, after_ms):
        run = subprocess.Popen([WEIR, "run", job, "--data", self.dir, "--until-end"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        try:
            run.wait(after_ms / 1000)  # to be somewhere by then
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()

    def check(self, seed):
        draw, turns = self.draw(seed)
        job = self.job("partitioned")
        for topic, partitions in self.topics.items():
            self.ok("topic", "create", topic, "--partitions", str(partitions))
        for turn in turns:
            self.send(turn)
            if draw.random() < .4:
                self.run_killed(job, draw.randrange(60))
            self.ok("run", job, "--until-end")
        base = self.base(turns)
        for name, is_grouped, question in QUESTIONS:
            asked = base.execute(timed(question))
            columns = [column[0] for column in asked.description]
            expected = [dict(zip(columns, row)) for row in asked]
            as_text = lambda rows: sorted(json.dumps(row, sort_keys=True) for row in rows)
            self.assertEqual(as_text(self.values_of(name, is_grouped)), as_text(expected), (seed, name))
            totals = json.loads(self.ok("verify", name).stdout.splitlines()[-1])["totals"]
            self.assertEqual(totals["differences"], 0, (seed, name))

    def test_drawn(self):
        first, last = map(int, os.environ.get("WEIR_PARTITION_JOINS", "1-3").split("-"))
        for seed in range(first, last + 1):
            if seed > first:
                self.setUp()
            self.check(seed)

    def fill(self, partitions, keyed=True):
        for topic in ("tab", "lies", "anyhow"):
            self.ok("topic", "create", topic, "--partitions", str(partitions))
        rows = [{"id": i, "k": f"k{i % 40}", "v": i % 7, "ts": 1_700_000_000_000 + i} for i in range(200)]
        table = [{"k": f"k{i}", "w": i, "m": "p", "ts": 1_600_000_000_000 + i} for i in range(30)]
        for topic in ("lies", "anyhow"):
            self.produce(topic, ndjson(rows), *(["--key", "k"] if keyed and topic == "lies" else []))
        self.produce("tab", ndjson(table), "--key", "k")
        return rows, table

    def test_anyhow_of_many_partitions(self):
        """Beside a table that stands, rows of any partition meet what they should."""
        rows, table = self.fill(3)
        self.ok("run", self.job("partitioned"), "--until-end")
        expected = {"p": (sum(row["k"] in {t["k"] for t in table} for row in rows), sum(row["v"] for row in rows if int(row["k"][1:]) < 30))}
        found = self.values_of("per", True)
        self.assertEqual({row["m"]: (row["n"], row["s"]) for row in found}, expected)
        self.assertEqual(len(self.describe("per-rekeyed")["partitions"]), 3)
        for name in ("per", "per-rekeyed", "met", "seen"):
            self.assertEqual(json.loads(self.ok("verify", name).stdout.splitlines()[-1])["totals"]["differences"], 0, name)

    def test_what_lies_elsewhere_is_a_dead_letter(self):
        """Of the stream, and of the table. The row of its key stays what it was."""
        rows, table = self.fill(3, keyed=False)
        self.produce("tab", b"".join(f"k{i}\t".encode() + ndjson([{"k": "k1", "w": 77, "m": "p", "ts": 1_600_000_001_000}]) for i in range(9)), "--key-separator", "\\t")
        self.ok("run", self.job("partitioned"), "--until-end")
        letters = [r for r in self.records("job.dlq") if dict(r["headers"]).get("weir.error.class") == "misplaced"]
        topics = {dict(r["headers"])["weir.source.topic"] for r in letters}
        self.assertEqual(topics, {"lies", "tab"})
        met = self.values_of("met", False)
        self.assertLess(len(met), len(rows))
        tell = {t["k"]: t["w"] for t in table} | {"k1": 77}
        by_id = {row["id"]: row["k"] for row in rows}
        for row in met:
            self.assertEqual(row["w"], tell.get(by_id[row["i"]]))
        self.assertEqual(json.loads(self.ok("verify", "met").stdout.splitlines()[-1])["totals"]["differences"], 0)

    def test_a_change_is_a_rebuild(self):
        self.fill(3)
        self.ok("run", self.job("broadcast"), "--until-end")
        before = sorted(json.dumps(row) for row in self.values_of("met", False))
        self.refused(2, "run", self.job("partitioned"), "--until-end", says=["met: must be rebuilt", "per: must be rebuilt", "seen: must be rebuilt"])
        self.ok("run", self.job("partitioned"), "--until-end", "--rebuild", "all")
        self.assertEqual(sorted(json.dumps(row) for row in self.values_of("met", False)), before)
        self.assertEqual(json.loads(self.ok("verify", "met").stdout.splitlines()[-1])["totals"]["differences"], 0)

    def test_refusals(self):
        rows, table = self.fill(3)
        self.ok("topic", "create", "four", "--partitions", "4")
        job = self.file(TABLE % ", join = 'partitioned', topic = 'four'" + STREAM % ("lies", ", partitioned_by = 'k'") +
                        "INSERT INTO o SELECT x.id, u.w FROM lies x JOIN tab u ON u.k = x.k;\n")
        self.refused(2, "run", job, "--until-end", says=["topic lies has 3 partitions, and four has 4"])
        for text, says in (
                (STREAM % ("x", ", join = 'partitioned'"), "x is a stream"),
                ("CREATE TABLE t (k bigint PRIMARY KEY, w bigint) WITH (join = 'partitioned');\n", "one text column"),
                ("CREATE TABLE t (k text, j text, PRIMARY KEY (k, j)) WITH (join = 'partitioned');\n", "one text column"),
                (TABLE % ", join = 'merged'", "'broadcast' or 'partitioned'"),
                (TABLE % ", join = 'partitioned'" + STREAM % ("lies", "") + "INSERT INTO o SELECT u.w FROM lies x JOIN tab u ON u.k = lower(x.k);\n", "text column of a view")):
            self.refused(2, "check", self.file(text), says=says)

    def test_explain(self):
        done = weir("explain", self.job("partitioned"))
        lines = done.stdout.decode().splitlines()
        self.assertIn("  left join tab by k: w, m, by partition", lines)
        self.assertIn("  table tab: each task keeps its own partition of it", lines)
        self.assertIn("per-rekeyed", lines)
        self.assertNotIn("met-rekeyed", lines)
        plan = json.loads(weir("explain", self.job("partitioned"), "--format", "json").stdout)
        joins = [step for pipeline in plan["pipelines"] for step in pipeline["rows"]["steps"] if step["step"] == "join"]
        self.assertTrue(joins and all(step["by_partition"] for step in joins))
        plan = json.loads(weir("explain", self.job("broadcast"), "--format", "json").stdout)
        joins = [step for pipeline in plan["pipelines"] for step in pipeline["rows"]["steps"] if step["step"] == "join"]
        self.assertFalse(any("by_partition" in step for step in joins))
        self.assertIn("  table tab: each task keeps all of it", weir("explain", self.job("broadcast")).stdout.decode().splitlines())


if __name__ == "__main__":
    unittest.main()
