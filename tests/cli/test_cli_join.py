#!/usr/bin/env python3
"""Joins of streams in SQL, against SQLite.

    test_cli_join.py                      some pipelines that are drawn, and what can be said of one that is not
    WEIR_JOINS=FROM-TO test_cli_join.py   the pipelines of these seeds

Pipelines are drawn: streams, views over them, unions, joins of two and three streams with bounds in every spelling and conditions of all
kinds, with a table behind, rows or groups or windows on top. Rows come in turns, to topics of several partitions, so far out of order that some are late.
Each turn is a run to the end, and before some of them one that is killed. SQLite is asked the same of the rows that were in time, by their own partition.
"""
import collections
import datetime
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import Case, ROOT, WEIR, environment, ndjson, weir
from test_cli_sql import differences

LATENESS_MS = 5000
WINDOW_MS = 3000
TOPICS = ("a", "b", "c")
COLUMNS = ("id", "k", "g", "v", "ts")
TABLE = [{"k": "p", "w": 1}, {"k": "q", "w": 2}, {"k": "P", "w": None}]


def in_weir(text):
    """Intervals stand in braces, in milliseconds."""
    return re.sub(r"\{(\d+)\}", r"INTERVAL '\1 milliseconds'", text)


def in_sqlite(text):
    return re.sub(r"\{(\d+)\}", r"\1", text)


def as_number(value):
    """Times are numbers in SQLite."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return round(datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
    return value


class Drawn:
    """A job: statements for weir, views for SQLite, and (topic, is grouped, question for SQLite) of what is written."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.sql = [f"CREATE TABLE {t} (id bigint, k text, g bigint, v bigint, ts timestamptz) "
                    f"WITH (event_time = 'ts', lateness = '{LATENESS_MS} milliseconds')" for t in TOPICS]
        self.sql.append("CREATE TABLE tab (k text PRIMARY KEY, w bigint)")
        self.views, self.results = [], []
        for number in range(self.draw.choice([1, 1, 2, 3])):
            self.add_result(number)
        self.partitions = {t: self.draw.choice([1, 1, 2, 3]) for t in TOPICS}
        self.turns = self.draw_rows()

    def bounds(self, l, r, is_left):
        draw = self.draw
        b, a = draw.choice([0, 1000, 3000, 10000]), draw.choice([0, 500, 4000, 20000])
        if not is_left and draw.random() < .25:  # that do not hold the row's own time
            low = draw.choice([1, 1000, 2000])
            high = low + draw.choice([0, 1, 3000, 9000])
            return draw.choice([f"{r} - {l} >= {{{low}}} AND {r} <= {l} + {{{high}}}", f"{l} BETWEEN {r} + {{{low}}} AND {r} + {{{high}}}"])
        return draw.choice([f"{r} BETWEEN {l} - {{{b}}} AND {l} + {{{a}}}",
                            f"{l} - {{{b}}} <= {r} AND {r} - {{{a}}} <= {l}",
                            f"{l} BETWEEN {r} - {{{a}}} AND {r} + {{{b}}}",
                            f"{r} > {l} - {{{b + 1}}} AND {r} < {l} + {{{a + 1}}}",
                            f"{l} < {r} + {{{b + 1}}} AND {r} - {l} <= {{{a}}}",
                            f"({r} >= {l} - {{{b}}}) AND NOT false AND {l} + {{{a}}} >= {r} - {{0}}",
                            f"{r} = {l}"])

    def on(self, l, r, is_left):
        draw = self.draw
        parts = draw.choice([[f"{l}.k = {r}.k"], [f"{r}.g = {l}.g"], [f"{l}.k = {r}.k"], [f"lower({l}.k) = {r}.k"],
                             [f"{l}.k = {r}.k", f"{l}.g + 1 = {r}.g + 1"]])[:]
        parts.append(self.bounds(f"{l}.ts", f"{r}.ts", is_left))
        if draw.random() < .3:
            parts.append(f"{r}.v > {draw.randrange(5)}")
        if draw.random() < .3:
            parts.append(f"{l}.v <> {draw.randrange(9)}")
        if not is_left and draw.random() < .3:
            parts.append(f"{l}.v <= {r}.v + 3")
        draw.shuffle(parts)
        return " AND ".join(parts)

    def add_view(self, name, text):
        self.views.append(f"CREATE VIEW {name} AS {in_sqlite(text)}")
        self.sql.append(f"CREATE VIEW {name} AS {in_weir(text)}")
        return name

    def side(self):
        draw = self.draw
        topic, other, kind = draw.choice(TOPICS), draw.choice(TOPICS), draw.random()
        name = f"w{len(self.views)}"
        if kind < .45:
            return topic
        if kind < .52:
            self.sql.append(f"CREATE MATERIALIZED VIEW {name} WITH (emit = 'final') AS SELECT min(id) AS id, k, max(g) AS g, count(*) AS v, window_start AS ts "
                            f"FROM tumble({topic}, ts, {in_weir('{%d}' % WINDOW_MS)}) GROUP BY k, window_start")
            self.views.append(f"CREATE VIEW {name} AS SELECT min(id) AS id, k, max(g) AS g, count(*) AS v, ts - ts % {WINDOW_MS} AS ts "
                              f"FROM {topic}_windows GROUP BY k, 5")
            return name
        if kind < .6:
            return self.add_view(name, f"SELECT s.id, s.k, u.w AS g, s.v, s.ts FROM {topic} s {draw.choice(['', 'LEFT '])}JOIN tab u ON u.k = s.k")
        if kind < .7:
            return self.add_view(name, f"SELECT id, k, g, v + 1 AS v, ts FROM {topic} WHERE v IS NULL OR v <> {draw.randrange(9)}")
        if kind < .85:
            return self.add_view(name, f"SELECT * FROM {topic} UNION ALL SELECT id + 1000, k, g, v, ts FROM {other}")
        is_left = draw.random() < .4
        return self.add_view(name, "SELECT p.id + coalesce(q.id, 0) * 7 AS id, p.k, p.g, coalesce(q.v, -1) AS v, p.ts FROM "
                             f"{topic} p {'LEFT ' if is_left else ''}JOIN {other} q ON {self.on('p', 'q', is_left)}")

    def source(self):
        draw = self.draw
        is_left = draw.random() < .4
        text = f"{self.side()} x {'LEFT ' if is_left else ''}JOIN {self.side()} y ON {self.on('x', 'y', is_left)}"
        more = ""
        if draw.random() < .15:
            text += f" JOIN {self.side()} z ON {self.on('x', 'z', False)}"
            more = ", z.id AS zid"
        if draw.random() < .2:
            text += f" {draw.choice(['', 'LEFT '])}JOIN tab u ON u.k = {draw.choice('xy')}.k"
            more += ", u.w"
        if draw.random() < .4:
            text += " WHERE " + draw.choice(["x.v < 6", "y.v < 6", "x.v + y.v > 3", "x.g = 1 AND y.g IS NOT NULL",
                                             "y.v IS NULL OR y.v < x.v", "x.ts < y.ts"])
        return text, more, is_left

    def add_result(self, number):
        draw, name = self.draw, f"out{number}"
        source, more, is_left = self.source()
        kind = draw.choice(["rows", "groups", "windows", "rows", "once", "more rows"])
        if kind == "rows":
            items = draw.choice(["x.id AS xid, y.id AS yid, x.k, y.g, x.ts, y.ts AS yts", "x.id + 0 AS xid, y.id AS yid, coalesce(y.v, 0) + x.v AS s"])
            text = f"SELECT {items}{more} FROM {source}"
            self.sql.append(f"{draw.choice(['INSERT INTO ' + name, f'CREATE MATERIALIZED VIEW {name} AS'])} {in_weir(text)}")
        elif kind == "once":
            self.sql.append(f"CREATE MATERIALIZED VIEW {name} WITH (within = '366 days') AS SELECT DISTINCT ON (k, g) x.k, y.g FROM {in_weir(source)}")
            text = f"SELECT DISTINCT x.k, y.g FROM {source}"
        elif kind == "more rows":
            text = f"WITH j AS (SELECT x.id, y.id AS other, x.k FROM {source}) SELECT id, other, k FROM j WHERE id % 3 <> 1 UNION ALL SELECT id, v, k FROM "
            topic = draw.choice(TOPICS)
            self.sql.append(f"INSERT INTO {name} {in_weir(text + topic)}")
            text += topic + "_all"
        elif kind == "groups":
            groups = draw.choice(["x.k", "y.g", "x.g, y.k", "x.k, y.k", "x.v % 3"])
            named = ", ".join(f"{group} AS g{i}" for i, group in enumerate(groups.split(", ")))
            text = (f"SELECT {named}, count(*) AS n, sum(y.v) AS s, count(y.id) AS c, min(x.id) AS m FROM {source} GROUP BY {groups}"
                    f"{draw.choice(['', '', ' HAVING count(*) > 1'])}")
            self.sql.append(f"CREATE MATERIALIZED VIEW {name} AS {in_weir(text)}")
        else:
            size = draw.choice([1000, 5000, 60000])
            time = "y.ts" if not is_left and more == "" and draw.random() < .3 else "x.ts"
            view = self.add_view(f"v{number}", f"SELECT x.id AS xid, x.k, y.g, y.v, {time} AS at FROM {source}")
            text = f"SELECT k, at - at % {size} AS w, count(*) AS n, sum(v) AS s, max(g) AS m FROM {view} GROUP BY 1, 2"
            self.sql.append(f"CREATE MATERIALIZED VIEW {name} WITH (emit = '{draw.choice(['changes', 'final'])}') AS SELECT k, window_start, count(*) AS n, "
                            f"sum(v) AS s, max(g) AS m FROM tumble({view}, at, {in_weir('{%d}' % size)}) GROUP BY k, window_start")
        self.results.append((name, kind in ("groups", "windows"), in_sqlite(text)))

    def draw_rows(self):
        draw, now, turns, count = self.draw, 1_000_000_000, [], 0
        for _ in range(draw.choice([1, 2, 3, 4])):
            turn = []
            for _ in range(draw.choice([3, 20, 60])):
                now += draw.choice([0, 0, 100, 500, 3000])
                count += 1
                turn.append((draw.choice(TOPICS), {"id": count, "k": draw.choice(["p", "q", "r", "P", None]), "g": draw.choice([0, 1, 2, None]),
                                                   "v": draw.choice([None, *range(9)]), "ts": now - draw.choice([0, 0, 100, 1000, 4000, 8000]),
                                                   "place": f"{draw.randrange(50)}"}))
            turns.append(turn)
        return turns


class DrawnCase(Case):
    """Runs what is drawn. A drawn job has sql, partitions, turns, and for SQLite views and results."""

    def file(self, text):
        path = os.path.join(self.home, "job.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_killed(self, path, drawn):
        """A run that is killed after its drawn share of a second, or has ended by then."""
        process = subprocess.Popen([WEIR, "run", path, "--until-end", "--data", self.dir], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=environment())
        try:
            process.wait(drawn.draw.choice([.01, .03, .1]))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run_turns(self, drawn, *last_flags):
        path = self.file(";\n".join(drawn.sql) + ";\n")
        for topic, count in drawn.partitions.items():
            self.ok("topic", "create", topic, "--partitions", str(count))
        for turn in drawn.turns:
            self.send(drawn, turn)
            if drawn.draw.random() < .3:
                self.run_killed(path, drawn)
            self.ok("run", path, "--until-end", "--threads", drawn.draw.choice("12"), *(last_flags if turn is drawn.turns[-1] else []))

    def written(self, name, is_grouped):
        records = self.records(name, "--format", "json")
        if is_grouped:
            records = {record["key"]: record for record in records}.values()
        return collections.Counter(tuple(as_number(value) for value in record["value"].values()) for record in records if record["value"] is not None)

    def compare(self, seed, drawn, tell):
        """tell: gives SQLite the rows."""
        base = sqlite3.connect(":memory:")
        self.addCleanup(base.close)
        tell(base)
        for view in drawn.views:
            base.execute(view)
        for name, is_grouped, question in drawn.results:
            wanted, came = collections.Counter(base.execute(question)), self.written(name, is_grouped)
            self.assertEqual((list((wanted - came).items())[:5], list((came - wanted).items())[:5]), ([], []),
                             f"seed {seed}: missing, more of {name}\n" + "\n".join(drawn.sql))
        self.assertEqual(self.records("job.dlq"), [])

    def each_seed(self, variable, default):
        first, last = map(int, os.environ.get(variable, default).split("-"))
        for seed in range(first, last + 1):
            with self.subTest(seed=seed):
                self.dir = os.path.join(self.home, f"data-{seed}")
                self.check_drawn(seed)


class Joins(DrawnCase):
    def send(self, drawn, turn):
        for topic in TOPICS:
            self.produce(topic, ndjson([row for to, row in turn if to == topic]), "--key", "place")

    def rows_in_time(self, topic, window_ms):
        """Those that a join takes, that windows of this size take, or with one that has no end all."""
        newest = collections.defaultdict(int)
        for record in self.records(topic, "--format", "json"):
            row, place = record["value"], record["partition"]
            newest[place] = max(newest[place], row["ts"])
            end = row["ts"] // window_ms * window_ms + window_ms
            if end > newest[place] - LATENESS_MS:
                yield tuple(row[column] for column in COLUMNS)

    def tell(self, base):
        for topic in TOPICS:
            for table, window_ms in ((topic, 1), (topic + "_windows", WINDOW_MS), (topic + "_all", 1 << 60)):
                base.execute(f"CREATE TABLE {table} ({', '.join(COLUMNS)})")
                base.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", self.rows_in_time(topic, window_ms))
        base.execute("CREATE TABLE tab (k, w)")
        base.executemany("INSERT INTO tab VALUES (:k, :w)", TABLE)

    def check_drawn(self, seed):
        drawn = Drawn(seed)
        self.produce("tab", ndjson(TABLE), "--key", "k")
        self.run_turns(drawn, "--close-windows")
        self.compare(seed, drawn, self.tell)

    def test_drawn(self):
        self.each_seed("WEIR_JOINS", "1-4")

    JOB = """CREATE TABLE c (id bigint, k text, ts timestamptz) WITH (event_time = 'ts');
CREATE TABLE o (id bigint, k text, ts timestamptz) WITH (event_time = 'ts');
CREATE VIEW v AS SELECT c.id, o.id AS oid, c.ts FROM c JOIN o ON o.k = c.k AND o.ts BETWEEN c.ts - INTERVAL '1 second' AND c.ts + INTERVAL '10 seconds';
CREATE MATERIALIZED VIEW pairs AS SELECT id, oid FROM v WHERE id > 0;
CREATE MATERIALIZED VIEW counts AS SELECT id, count(*) AS n FROM v GROUP BY id;
"""

    def test_explain(self):
        path = self.file(self.JOB)
        told = weir("explain", path, "--format", "json")
        self.assertEqual(told.returncode, 0, told.stderr)
        told = json.loads(told.stdout)
        with open(os.path.join(ROOT, "docs/explain.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        self.assertEqual(list(differences(told, schema, schema, "$")), [])
        told = {pipeline["name"]: pipeline for pipeline in told["pipelines"]}
        self.assertEqual(sorted(told), ["counts", "pairs", "v-joined"])
        pairs = told["pairs"]
        join = next(step for step in pairs["rows"]["steps"] if step["step"] == "join_within")
        self.assertEqual((join["kind"], join["text"], join["right_text"], join["before_ms"], join["after_ms"], join["right"]["source"]["topic"]),
                         ("inner", "k", "k", 1000, 10000, "o"))
        self.assertEqual((pairs["repartition"]["topic"], pairs["repartition"]["when"], pairs["state"], pairs["late"]),
                         ("job-pairs-repartition", "always", True, "pairs.late"))
        source = told["counts"]["rows"]["source"]
        self.assertEqual((source["topic"], source["event_time"], source["lateness_ms"]), ("v-joined", "ts", 0))
        text = weir("explain", path).stdout.decode()
        for line in ("  join_within o by k = k, 1000 ms before to 10000 ms after, with id, ts and id AS o_id of:", "    source o by ts",
                     "  rows of both sides cross job-pairs-repartition, by what is equal; each is kept until nothing can meet it"):
            self.assertIn(line, text.splitlines())
        early = self.JOB.replace("'10 seconds';", "'10 seconds' WHERE o.id < 9 AND c.id <> o.id;")
        text = weir("explain", "-", stdin=early).stdout.decode().splitlines()
        self.assertIn("    filter id < 9", text)  # of the right side, before rows meet
        self.assertIn("  filter id <> o_id", text)
        dot = weir("explain", path, "--format", "dot").stdout.decode()
        for edge in ('"topic c" -> "view pairs"', '"topic o" -> "view pairs"', '"topic v-joined" -> "view counts"'):
            self.assertIn(edge, dot)
        self.produce("c", b'{"id":1,"k":"a","ts":1000}\n')
        self.produce("o", b'{"id":7,"k":"a","ts":2000}\n')
        self.ok("run", path, "--until-end")
        names = self.ok("topic", "list").stdout.decode().split()
        for pipeline in told.values():
            for topic in (pipeline["output"]["topic"], pipeline["late"]):
                self.assertIn(topic, names + [None])
        self.assertIn("job-pairs-repartition", names)

    def changes(self, text):
        done = self.weir("check", self.file(text))
        return dict(re.findall(r"^(?:weir: )?([\w-]+): (unchanged|must be rebuilt|new)", (done.stdout + done.stderr).decode(), re.M))

    def test_a_changed_file(self):
        self.produce("c", ndjson([{"id": n, "k": "a", "ts": 1000 * n} for n in range(1, 4)]))
        self.produce("o", ndjson([{"id": 7, "k": "a", "ts": 3000}, {"id": 8, "k": "a", "ts": 13000}]))
        path = self.file(self.JOB)
        self.ok("run", path, "--until-end")
        same = {"pairs": "unchanged", "v-joined": "unchanged", "counts": "unchanged"}
        rebuilt = dict.fromkeys(same, "must be rebuilt")
        self.assertEqual(self.changes(self.JOB), same)
        other = self.JOB.replace("o.k = c.k", "c.k = o.k").replace("o.ts BETWEEN c.ts - INTERVAL '1 second' AND c.ts + INTERVAL '10 seconds'",
                                                                   "o.ts > c.ts - INTERVAL '1.001 seconds' AND o.ts - c.ts <= INTERVAL '10 seconds'")
        self.assertEqual(self.changes(other), same)  # what it says is the same
        wider = self.JOB.replace("'10 seconds'", "'11 seconds'")
        self.assertEqual(self.changes(wider), rebuilt)
        self.assertEqual(self.changes(self.JOB.replace(" JOIN o", " LEFT JOIN o")), rebuilt)
        self.assertEqual(self.changes(self.JOB.replace("id > 0", "id > 1")), {**same, "pairs": "must be rebuilt"})
        self.refused(2, "run", self.file(wider), "--until-end", "--rebuild", "pairs", says="--rebuild v-joined")
        self.ok("run", self.file(wider), "--until-end", "--rebuild", "all")
        latest = {record["key"]: record["value"] for record in self.records("counts", "--format", "json")}
        self.assertEqual(sorted((row["id"], row["n"]) for row in latest.values()), [(1, 1), (2, 2), (3, 2)])

    def test_query(self):
        path = self.file(self.JOB)
        self.produce("c", b'{"id":1,"k":"a","ts":1000}\n')
        self.produce("o", b'{"id":7,"k":"a","ts":2000}\n')
        self.ok("run", path, "--until-end")
        self.assertEqual(self.ok("query", "SELECT * FROM counts").stdout, b'{"id":1,"n":1}\n')
        self.refused(2, "query", "SELECT * FROM pairs", says="'weir consume pairs' prints its records")


if __name__ == "__main__":
    unittest.main()
