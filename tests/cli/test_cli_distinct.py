#!/usr/bin/env python3
"""DISTINCT ON from end to end: over partitions, through a kill and a restart, what is kept, a reset. Expected rows are computed here, from the events."""
import json
import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, Case

WITHIN_MS = 60_000
ONCE = """CREATE TABLE clicks (id text, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '10 minutes');
CREATE VIEW once WITH (within = '1 minute') AS SELECT DISTINCT ON (id) * FROM clicks;
CREATE MATERIALIZED VIEW firsts AS SELECT * FROM once;
CREATE MATERIALIZED VIEW minutes AS SELECT window_start, count(*) AS n, sum(n) AS total FROM tumble(once, ts, INTERVAL '1 minute') GROUP BY window_start;
"""


def events(count, seed):
    """In the order of one partition: rows with one id lie together there, and no row is later than the lateness allows."""
    draw = random.Random(seed)
    return [{"id": f"e{draw.randrange(count // 3)}", "n": i, "ts": 1_000_000 + i * 20 + draw.randrange(-300_000, 300_000)} for i in range(count)]


def first_ones(rows):
    kept, out = {}, []
    for row in rows:
        times = kept.setdefault(row["id"], [])
        if all(abs(row["ts"] - ts) > WITHIN_MS for ts in times):
            times.append(row["ts"])
            out.append(row["n"])
    return sorted(out)


class Distinct(Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.home, "job.sql")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(ONCE)

    def send(self, rows):
        self.produce("clicks", "".join(json.dumps(row) + "\n" for row in rows).encode(), "--key", "id", "--partitions", "3")

    def firsts(self):
        return sorted(record["value"]["n"] for record in self.records("firsts"))

    def minutes(self):
        latest = {record["key"]: record["value"] for record in self.records("minutes")}
        return sum(row["n"] for row in latest.values()), sum(row["total"] for row in latest.values())

    def assert_all(self, rows):
        want = first_ones(rows)
        self.assertLess(len(want), len(rows))
        self.assertEqual(self.firsts(), want)
        self.assertEqual(self.minutes(), (len(want), sum(want)))

    def written(self, topic):
        size = 0
        for name in os.listdir(os.path.join(self.dir, "topics")):
            if name.rpartition("-")[0] == topic:
                path = os.path.join(self.dir, "topics", name)
                size += sum(os.path.getsize(os.path.join(path, file)) for file in os.listdir(path) if file.endswith(".log"))
        return size

    def kill_in_the_middle(self):
        """As soon as rows have crossed."""
        before = self.written("job-firsts-distinct")
        process = self.start("run", self.path)
        self.wait_held(process)
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and process.poll() is None and self.written("job-firsts-distinct") == before:
            pass
        process.kill()
        process.wait(LIMIT_S)

    def test_kills(self):
        rows = events(30_000, 1)
        for part in range(3):
            self.send(rows[part * 10_000:(part + 1) * 10_000])
            self.kill_in_the_middle()
        self.ok("run", self.path, "--until-end")
        self.assert_all(rows)

    def test_what_is_kept(self):
        rows = [{"id": "a", "n": 1, "ts": 1000}, {"id": "b", "n": 2, "ts": 2000}, {"id": "a", "n": 3, "ts": 61_000}, {"id": "a", "n": 4, "ts": 61_001}]
        self.send(rows)
        self.ok("run", self.path, "--until-end")
        stores = {(line["store"], line["partition"]): line["entries"] for line in map(json.loads, self.ok("state", "list").stdout.splitlines())}
        self.assertEqual(sum(entries for (store, _), entries in stores.items() if store == "firsts"), 3)
        kept = sorted(self.ok("state", "scan", "job/firsts").stdout.decode().splitlines())
        self.assertEqual(kept, ['{"operator":"distinct","id":"a","event_time":"1970-01-01T00:00:01.000Z"}',
                                '{"operator":"distinct","id":"a","event_time":"1970-01-01T00:01:01.001Z"}',
                                '{"operator":"distinct","id":"b","event_time":"1970-01-01T00:00:02.000Z"}'])
        self.assertEqual(sorted(self.ok("state", "scan", "job/minutes-repartition").stdout.decode().splitlines()), kept)
        self.refused(1, "state", "get", "job/firsts", "a", says=("weir state scan",))
        self.assertEqual(len(self.ok("state", "scan", "job/minutes").stdout.splitlines()), 2)

    def test_forgotten(self):
        """What nothing can be near any more goes: the watermark has passed it by twice the time."""
        rows = [{"id": f"e{i}", "n": i, "ts": 1_000_000 + i * 1000} for i in range(3000)]
        self.produce("clicks", "".join(json.dumps(row) + "\n" for row in rows).encode())
        self.ok("run", self.path, "--until-end")
        kept = len(self.ok("state", "scan", "job/firsts").stdout.splitlines())
        self.assertGreaterEqual(kept, 600 + 120)  # ten minutes of lateness, and two of the bound
        self.assertLessEqual(kept, 600 + 120 + 60)
        self.assertEqual(self.firsts(), list(range(3000)))

    def test_reset(self):
        rows = events(3000, 2)
        self.send(rows)
        self.ok("run", self.path, "--until-end")
        self.assert_all(rows)
        plan = self.ok("app", "reset", "job", "--to", "beginning", "--outputs", "clear", "--format", "text").stdout.decode()
        for name in ("job-firsts-distinct", "job-firsts-changelog", "job-minutes-repartition-changelog", "job-minutes-distinct", "state/job/minutes-repartition"):
            self.assertIn(name, plan)
        self.ok("app", "reset", "job", "--to", "beginning", "--outputs", "clear", "--execute")
        topics = self.ok("topic", "list").stdout.decode().split()
        self.assertEqual([topic for topic in topics if topic.startswith("job-") and topic != "job-progress"], [])
        self.ok("run", self.path, "--until-end")
        self.assert_all(rows)


if __name__ == "__main__":
    unittest.main()
