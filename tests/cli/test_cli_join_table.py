#!/usr/bin/env python3
"""Joins of streams with tables in SQL, against SQLite.

    test_cli_join_table.py                            some pipelines that are drawn
    WEIR_TABLE_JOINS=FROM-TO test_cli_join_table.py   those of these seeds

Streams, and views, unions and joins over them, meet tables of one key column and of two, and views of them that leave rows out, up to three in a row;
behind them are rows, groups, or another stream. What a row meets is the table as of its own time. So SQLite has each row of a table with the time from which and to
which it stood, and is asked the same with that as a condition more: in the questions here [x,u] stands for "u's row stood at x's time".
"""
import collections
import os
import random
import re
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_cli_join
from test_cli import ndjson
from test_cli_join import in_sqlite, in_weir

STREAMS = ("a", "b")
TOPICS = (*STREAMS, "tab", "two")
TABLES = {"tab": (("k",), ("k", "w", "m")), "two": (("k", "g"), ("k", "g", "w"))}


def for_weir(text):
    return re.sub(r" AND \[\w+,\w+\]", "", in_weir(text))


def for_sqlite(text):
    return re.sub(r"\[(\w+),(\w+)\]", r"\1.ts >= \2.since AND \1.ts < \2.until", in_sqlite(text))


class Drawn:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.sql = [f"CREATE TABLE {t} (id bigint, k text, g bigint, v bigint, ts timestamptz) WITH (event_time = 'ts')" for t in STREAMS]
        self.sql.append("CREATE TABLE tab (k text PRIMARY KEY, w bigint, m text, ts timestamptz) WITH (event_time = 'ts')")
        self.sql.append("CREATE TABLE two (k text, g bigint, w bigint, ts timestamptz, PRIMARY KEY (k, g)) WITH (event_time = 'ts')")
        self.views, self.results = [], []
        for number in range(self.draw.choice([1, 2, 3])):
            self.add_result(f"out{number}")
        self.partitions = {t: self.draw.choice([1, 2, 3]) for t in TOPICS}
        self.turns = self.draw_rows()

    def add_view(self, text, more=""):
        """more: columns that the view has for SQLite alone."""
        name = f"w{len(self.views)}"
        self.sql.append(f"CREATE VIEW {name} AS {for_weir(text % '')}")
        self.views.append(f"CREATE VIEW {name} AS {for_sqlite(text % more)}")
        return name

    def table(self):
        draw = self.draw
        if draw.random() < .5:
            return "tab"
        return self.add_view(f"SELECT k, w + 1 AS w, m%s FROM tab WHERE w {draw.choice(['>', '<', '<>'])} {draw.randrange(3)}", ", since, until")

    def stream(self):
        draw = self.draw
        kind, topic = draw.random(), draw.choice(STREAMS)
        if kind < .5:
            return topic
        if kind < .7:
            return self.add_view(f"SELECT id, k, g, v + 1 AS v, ts%s FROM {topic} WHERE v <> 3")
        if kind < .85:
            return self.add_view(f"SELECT *%s FROM a UNION ALL SELECT id + 1000, k, g, v, ts FROM {topic}")
        return self.add_view(f"SELECT s.id, u.m AS k, s.g, s.v + u.w AS v, s.ts%s FROM {topic} s {draw.choice(['', 'LEFT '])}JOIN {self.table()} u "
                             "ON u.k = s.k AND [s,u]")

    def source(self):
        draw, columns, met = self.draw, "", []
        text = f"{self.stream()} x"
        for i in range(draw.choice([1, 1, 2, 3])):
            left = draw.choice(["", "LEFT "])
            if draw.random() < .3:
                text += f" {left}JOIN two z{i} ON z{i}.k = x.k AND x.g = z{i}.g AND [x,z{i}]"
                columns += f", z{i}.w AS w{i}"
                continue
            key = draw.choice(["x.k", "x.k", "lower(x.k)", *(f"{alias}.m" for alias in met)])
            condition = draw.choice([f"u{i}.k = {key}", f"{key} = u{i}.k"])
            if draw.random() < .3:
                condition += f" AND u{i}.w > 1"
            if left == "" and draw.random() < .3:
                condition += f" AND u{i}.w <= x.v"
            text += f" {left}JOIN {self.table()} u{i} ON {condition} AND [x,u{i}]"
            columns += f", u{i}.w AS w{i}"
            met.append(f"u{i}")
        text += draw.choice(["", " WHERE x.v < 6", " WHERE x.g = 1 OR x.v IS NULL", *(f" WHERE {alias}.w IS NULL OR {alias}.w > 1" for alias in met[:1])])
        return text, columns

    def add_result(self, name):
        source, columns = self.source()
        kind = self.draw.choice(["rows", "rows", "groups", "streams"])
        if kind == "rows":
            text = f"SELECT x.id AS i, x.v AS vv{columns} FROM {source}"
        elif kind == "groups":
            text = f"SELECT x.g AS gg, count(*) AS n, sum(x.v) AS s, min(x.id) AS m FROM {source} GROUP BY x.g"
        else:
            view = self.add_view(f"SELECT x.id, x.k, x.v, x.ts%s FROM {source}")
            text = f"SELECT p.id AS i, q.id AS j FROM {view} p JOIN {self.stream()} q ON q.k = p.k AND q.ts BETWEEN p.ts - {{500}} AND p.ts + {{2000}}"
        verb = f"CREATE MATERIALIZED VIEW {name} AS" if kind == "groups" else f"INSERT INTO {name}"
        self.sql.append(f"{verb} {for_weir(text)}")
        self.results.append((name, kind == "groups", for_sqlite(text)))

    def draw_rows(self):
        """Turns of rows by topic, all in the order of their times."""
        draw, now, count, turns = self.draw, 1_000_000, 0, []
        for _ in range(draw.choice([1, 2, 4])):
            turn = collections.defaultdict(list)
            for _ in range(draw.choice([5, 30, 80])):
                now += draw.choice([0, 0, 1, 50, 1000])
                count += 1
                topic = draw.choice(["a", "b", "a", "tab", "tab", "two"])
                row = {"id": count, "k": draw.choice(["p", "q", "r", None]), "g": draw.choice([0, 1, 2, None]), "v": draw.choice([None, *range(9)]),
                       "place": str(draw.randrange(50))}
                if topic == "tab":
                    row = {"k": draw.choice("pqrs"), "w": draw.choice([None, 0, 1, 2, 3]), "m": draw.choice(["p", "q", None])}
                elif topic == "two":
                    row = {"k": draw.choice("pq"), "g": draw.choice([0, 1]), "w": draw.choice([1, 2])}
                turn[topic].append({**row, "ts": now})
            now += 1  # what comes later is later
            turns.append(turn)
        return turns


class TableJoins(test_cli_join.DrawnCase):
    def tell(self, base, drawn):
        rows = {topic: [row for turn in drawn.turns for row in turn[topic]] for topic in TOPICS}
        for topic in STREAMS:
            base.execute(f"CREATE TABLE {topic} (id, k, g, v, ts)")
            base.executemany(f"INSERT INTO {topic} VALUES (:id, :k, :g, :v, :ts)", rows[topic])
        for table, (key, columns) in TABLES.items():
            base.execute(f"CREATE TABLE {table} ({', '.join(columns)}, since, until)")
            next_ms = {}
            for row in reversed(rows[table]):
                of = tuple(row[column] for column in key)
                values = [row[column] for column in columns]
                base.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))}, ?, ?)", [*values, row["ts"], next_ms.get(of, 1 << 60)])
                next_ms[of] = row["ts"]

    def send(self, drawn, turn):
        for topic in STREAMS:
            self.produce(topic, ndjson(turn[topic]), "--key", "place")
        self.produce("tab", ndjson(turn["tab"]), "--key", "k")
        two = b"".join(ndjson([{"k": row["k"], "g": row["g"]}]).strip() + b"\t" + ndjson([row]) for row in turn["two"])
        self.produce("two", two, "--key-separator", "\t")

    def check_drawn(self, seed):
        drawn = Drawn(seed)
        self.run_turns(drawn)
        self.compare(seed, drawn, lambda base: self.tell(base, drawn))

    def test_drawn(self):
        self.each_seed("WEIR_TABLE_JOINS", "1-4")


if __name__ == "__main__":
    unittest.main()
