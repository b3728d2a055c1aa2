#!/usr/bin/env python3
"""Joins of tables in SQL, against SQLite.

    test_cli_join_tables.py                       some pipelines that are drawn
    WEIR_JOINS=FROM-TO test_cli_join_tables.py    the pipelines of these seeds

Pipelines are drawn: tables, views that filter or map them, inner, left and full joins of two of them by a key of one column or two, conditions beside it, joins of what is
joined, groups over it. Rows come, change and are deleted in turns, in topics of several partitions. Each turn is a run to the end, and before some of them one that is killed. SQLite is
asked the same of the rows that stand.
"""
import collections
import json
import os
import random
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import Case, WEIR, environment

TOPICS = ("a", "b", "c")
COLUMNS = {"k": "text", "n": "bigint", "g": "text", "v": "bigint"}


class Drawn:
    """A job: statements for weir, views for SQLite, and (topic, question for SQLite) of what is written."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.key = self.draw.choice([("k",), ("k", "n")])
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self.sql = [f"CREATE TABLE {topic} ({columns}, PRIMARY KEY ({', '.join(self.key)}))" for topic in TOPICS]
        self.views, self.results = [], []
        for number in range(self.draw.choice([1, 2, 3])):
            self.add_result(number)
        self.turns = [self.draw_turn() for _ in range(self.draw.choice([1, 2, 3]))]

    def add_view(self, text):
        name = f"w{len(self.views)}"
        self.views.append(f"CREATE VIEW {name} AS {text}")
        self.sql.append(self.views[-1])
        return name

    def side(self):
        draw, topic = self.draw, self.draw.choice(TOPICS)
        if draw.random() < .5:
            return topic
        if draw.random() < .6:
            return self.add_view(f"SELECT k, n, g, v + 1 AS v FROM {topic} WHERE v IS NULL OR v <> {draw.randrange(5)}")
        return self.add_view(f"SELECT x.k, x.n, y.g, coalesce(x.v, 0) + coalesce(y.v, 0) AS v FROM {topic} x LEFT JOIN {draw.choice(TOPICS)} y ON {self.on()}")

    def on(self):
        return " AND ".join(self.draw.choice([f"x.{name} = y.{name}", f"y.{name} = x.{name}"]) for name in self.key)

    def joined(self):
        draw, kind = self.draw, self.draw.choice(["", "LEFT ", "FULL "])
        on = self.on()
        if kind != "FULL " and draw.random() < .3:
            on += f" AND y.v > {draw.randrange(4)}"
        if kind == "" and draw.random() < .3:
            on += " AND x.g <> y.g"
        keys = ", ".join(f"coalesce(x.{name}, y.{name}) AS {name}" if kind == "FULL " else f"x.{name}" for name in self.key)
        where = ""
        if draw.random() < .4:
            where = " WHERE " + draw.choice(["x.v < 4", "y.v IS NULL", "x.v + y.v > 3", "x.g = 'g1' OR y.g = 'g2'", "x.g IS NOT NULL"])
        return f"SELECT {keys}, x.g, y.g AS h, x.v, coalesce(y.v, 0) + coalesce(x.v, 0) AS s FROM {self.side()} x {kind}JOIN {self.side()} y ON {on}{where}"

    def add_result(self, number):
        name, text = f"out{number}", self.joined()
        if self.draw.random() < .5:
            view = self.add_view(text)
            text = f"SELECT {self.draw.choice(['g', 'h'])} AS word, count(*) AS c, sum(s) AS s, count(v) AS w FROM {view} GROUP BY 1"
        self.sql.append(f"CREATE MATERIALIZED VIEW {name} AS {text}")
        self.results.append((name, text))

    def draw_turn(self):
        """(topic, key, row or None)"""
        draw, turn = self.draw, []
        for _ in range(draw.choice([3, 20, 60])):
            row = {"k": f"k{draw.randrange(6)}", "n": draw.randrange(2), "g": draw.choice(["g1", "g2", None]), "v": draw.choice([None, *range(6)])}
            turn.append((draw.choice(TOPICS), tuple(row[name] for name in self.key), row if draw.random() < .8 else None))
        return turn


def line_of(key, row):
    """As weir produce takes it: record key, a tab, value."""
    text = key[0] if len(key) == 1 else '{"k":"%s","n":%d}' % key
    values = [f'"{name}":' + ("null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)) for name, value in (row or {}).items()]
    return f"{text}\t{'{' + ','.join(values) + '}' if row else ''}\n"


class Joins(Case):
    def run_killed(self, path, drawn):
        """A run that is killed after its drawn share of a second, or has ended by then."""
        process = subprocess.Popen([WEIR, "run", path, "--until-end", "--data", self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        try:
            process.wait(drawn.draw.choice([.01, .03, .1]))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def asked(self, drawn, tables):
        base = sqlite3.connect(":memory:")
        self.addCleanup(base.close)
        for topic in TOPICS:
            base.execute(f"CREATE TABLE {topic} ({', '.join(COLUMNS)})")
            base.executemany(f"INSERT INTO {topic} VALUES (:k, :n, :g, :v)", tables[topic].values())
        for view in drawn.views:
            base.execute(view)
        return {name: collections.Counter(base.execute(question)) for name, question in drawn.results}

    def written(self, name):
        records = {record["key"]: record["value"] for record in self.records(name, "--format", "json")}
        return collections.Counter(tuple(value.values()) for value in records.values() if value is not None)

    def check_drawn(self, seed):
        drawn, tables = Drawn(seed), {topic: {} for topic in TOPICS}
        path = os.path.join(self.home, "job.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(";\n".join(drawn.sql) + ";\n")
        for topic in TOPICS:
            self.ok("topic", "create", topic, "--partitions", drawn.draw.choice("123"))
        for turn in drawn.turns:
            for topic in TOPICS:
                lines = [line_of(key, row) for to, key, row in turn if to == topic]
                self.produce(topic, "".join(lines).encode(), "--key-separator", "\\t", "--tombstones")
            for topic, key, row in turn:
                tables[topic].pop(key, None)
                if row is not None:
                    tables[topic][key] = row
            if drawn.draw.random() < .3:
                self.run_killed(path, drawn)
            self.ok("run", path, "--until-end", "--threads", drawn.draw.choice("12"))
            wanted = self.asked(drawn, tables)
            for name, _ in drawn.results:
                totals = json.loads(self.ok("verify", name).stdout.splitlines()[-1])["totals"]
                self.assertEqual((totals["differences"], totals["waiting"]), (0, 0), f"seed {seed}: {name}\n" + "\n".join(drawn.sql))
                came = self.written(name)
                self.assertEqual((list((wanted[name] - came).items())[:5], list((came - wanted[name]).items())[:5]), ([], []),
                                 f"seed {seed}: missing, more of {name}\n" + "\n".join(drawn.sql))
        self.assertEqual(self.records("job.dlq"), [])

    def test_drawn(self):
        first, last = map(int, os.environ.get("WEIR_JOINS", "1-4").split("-"))
        for seed in range(first, last + 1):
            with self.subTest(seed=seed):
                self.dir = os.path.join(self.home, f"data-{seed}")
                self.check_drawn(seed)


if __name__ == "__main__":
    unittest.main()
