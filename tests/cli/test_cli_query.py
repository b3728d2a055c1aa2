#!/usr/bin/env python3
"""weir query. What it shows is compared with two things that it does not know of: the latest rows by key in the view's topic, and what
the events come to when they are counted here."""
import collections
import datetime
import json
import os
import random
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, Case, partition_of, weir

MINUTE = 60_000
START = 1_772_352_000_000  # 2026-03-01T08:00:00Z

JOB = """CREATE TABLE clicks (who text NOT NULL, n bigint, page text, ts timestamptz) WITH (event_time = 'ts', lateness = '2 minutes');
CREATE MATERIALIZED VIEW per_minute WITH (topic = 'clicks-per-minute') AS
SELECT who, window_start, window_end, count(*) AS clicks, sum(n) AS total FROM tumble(clicks, ts, INTERVAL '1 minute')
GROUP BY who, window_start, window_end;
CREATE MATERIALIZED VIEW hops AS
SELECT window_start, page, avg(n) AS mean, count(*) * 2 AS twice FROM hop(clicks, ts, INTERVAL '1 minute', INTERVAL '3 minutes')
GROUP BY page, who, window_start HAVING count(*) > 1;
CREATE MATERIALIZED VIEW visits AS
SELECT who, window_start, window_end, count(*) AS clicks FROM session(clicks, ts, INTERVAL '20 seconds')
GROUP BY who, window_start, window_end HAVING count(*) > 2;
CREATE MATERIALIZED VIEW people AS
SELECT who, count(*) AS clicks, count(DISTINCT page) AS pages, max(ts) AS seen, sum(n) AS total FROM clicks GROUP BY who HAVING sum(n) > 0;
CREATE MATERIALIZED VIEW closing WITH (emit = 'final') AS
SELECT upper(who) AS name, count(*) AS clicks FROM tumble(clicks, ts, INTERVAL '2 minutes') GROUP BY who, window_start;
"""
VIEWS = {"per_minute": "clicks-per-minute", "hops": "hops", "visits": "visits", "people": "people"}


def events(count, seed, start=START, step=700):
    """Rows whose time goes on, and back by less than the lateness."""
    draw, now, rows = random.Random(seed), start, []
    for _ in range(count):
        now += draw.randrange(step)
        rows.append({"who": f"u{draw.randrange(17)}", "n": draw.randrange(-60, 100), "page": draw.choice(["/", "/a", "/b", None]),
                     "ts": now - draw.randrange(30_000)})
    return rows


def iso(time_ms):
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def minutes(rows):
    table = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        cell = table[row["who"], row["ts"] // MINUTE * MINUTE]
        cell[0] += 1
        cell[1] += row["n"]
    return {key: tuple(cell) for key, cell in table.items()}


def sessions(rows, gap=20_000):
    """(who, start) → (end, count) of runs of rows at most a gap apart."""
    table = {}
    for who in {row["who"] for row in rows}:
        times = sorted(row["ts"] for row in rows if row["who"] == who)
        first = last = times[0]
        count = 0
        for time in times + [times[-1] + 2 * gap]:
            if time - last > gap:
                table[who, first] = (last + gap, count)
                first, count = time, 0
            last = time
            count += 1
    return table


def plain(rows):
    """Rows that can be compared as a bag."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


class Query(Case):
    def file(self, text, name="job.sql"):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def send(self, rows):
        self.produce("clicks", "".join(json.dumps(row) + "\n" for row in rows).encode(), "--key", "who")

    def job(self, rows, partitions=3, text=JOB):
        self.ok("topic", "create", "clicks", "--partitions", partitions)
        self.send(rows)
        path = self.file(text)
        self.ok("run", path, "--until-end")
        return path

    def ask(self, sql, *flags):
        return [json.loads(line) for line in self.ok("query", sql, *flags).stdout.splitlines()]

    def explained(self, sql):
        return self.ok("query", sql, "--explain").stdout.decode()

    def latest(self, topic):
        latest = {}
        for record in self.records(topic):
            latest[record["key"]] = record["value"]
        return [row for row in latest.values() if row is not None]

    def without_mark(self, rows):
        return [{key: value for key, value in row.items() if key != "window_open"} for row in rows]

    def compare(self, rows):
        """All views with their topics, and with what the rows come to."""
        for view, topic in VIEWS.items():
            with self.subTest(view=view):
                self.assertEqual(plain(self.without_mark(self.ask(f"SELECT * FROM {view}"))), plain(self.latest(topic)))
        shown = self.ask("SELECT * FROM per_minute")
        self.assertEqual({(row["who"], row["window_start"]): (row["clicks"], row["total"]) for row in shown},
                         {(who, iso(start)): cell for (who, start), cell in minutes(rows).items()})
        self.assertEqual({(row["who"], row["window_start"]): (row["window_end"], row["clicks"]) for row in self.ask("SELECT * FROM visits")},
                         {(who, iso(start)): (iso(end), count) for (who, start), (end, count) in sessions(rows).items() if count > 2})
        closed = self.ask("SELECT * FROM closing WHERE NOT window_open")
        self.assertEqual(plain(self.without_mark(closed)), plain(record["value"] for record in self.records("closing")))
        finals = collections.Counter((row["who"], row["ts"] // (2 * MINUTE) * 2 * MINUTE) for row in rows)
        self.assertEqual({(row["name"], row["window_start"]): row["clicks"] for row in self.ask("SELECT *, window_start FROM closing")},
                         {(who.upper(), iso(start)): count for (who, start), count in finals.items()})

    def watermarks(self, rows, partitions=3, lateness=2 * MINUTE):
        marks = {}
        for row in rows:
            at = partition_of(row["who"].encode(), partitions)
            marks[at] = max(marks.get(at, 0), row["ts"] - lateness)
        return marks

    # ---- what it shows ----

    def test_shows_what_topics_show(self):
        rows = events(2000, 1)
        path = self.job(rows)
        self.compare(rows)
        more = events(1500, 2, start=rows[-1]["ts"] + 60_000)
        self.send(more)
        self.ok("run", path, "--until-end")
        rows += more
        self.compare(rows)
        # Each partition has time of its own; the source is partitioned by the group, so that it says what has closed there.
        marks = self.watermarks(rows)
        shown = self.ask("SELECT who, window_end, window_open FROM per_minute")
        self.assertEqual({row["window_open"] for row in shown}, {True, False})
        for row in shown:
            end = datetime.datetime.fromisoformat(row["window_end"].replace("Z", "+00:00")).timestamp() * 1000
            self.assertEqual(row["window_open"], end > marks[partition_of(row["who"].encode(), 3)], row)
        self.ok("run", path, "--until-end", "--close-windows")
        self.compare(rows)
        self.assertEqual(self.ask("SELECT count(*) AS n FROM per_minute WHERE window_open"), [{"n": 0}])
        self.assertEqual(self.ask("SELECT count(*) AS n FROM closing WHERE window_open"), [{"n": 0}])

    def test_one_partition(self):
        rows = events(600, 3)
        self.job(rows, partitions=1)
        self.compare(rows)

    def test_a_session_that_goes_on_for_long(self):
        """Its first cells have closed, and it is in those that are left."""
        rows = [{"who": who, "n": 1, "page": None, "ts": START + at * 15_000} for at in range(60) for who in ("a", "b")]
        path = self.job(rows, partitions=1)
        self.send([{"who": "c", "n": 1, "page": None, "ts": START + 59 * 15_000 + 130_000}])
        self.ok("run", path, "--until-end")
        expected = [{"who": who, "window_start": iso(START), "window_end": iso(START + 59 * 15_000 + 20_000), "clicks": 60, "window_open": is_open}
                    for who, is_open in (("a", True), ("b", True))]
        self.assertEqual(self.ask("SELECT * FROM visits ORDER BY who"), expected)
        self.assertEqual(self.ask(f"SELECT * FROM visits WHERE who = 'a' AND window_start = '{iso(START)}'"), expected[:1])
        self.assertEqual(self.ask("SELECT * FROM visits WHERE who = 'a' AND window_start = '2026-03-01T08:00:01Z'"), [])

    def test_a_store_that_is_behind(self):
        rows = events(1200, 4)
        path = self.job(rows)
        state = os.path.join(self.dir, "state")
        kept = os.path.join(self.home, "state-before")
        shutil.copytree(state, kept)
        more = events(900, 5, start=rows[-1]["ts"])
        self.send(more)
        self.ok("run", path, "--until-end")
        rows += more
        shutil.rmtree(state)  # as a power cut leaves it: an older state of the stores, and the whole changelog
        shutil.copytree(kept, state)
        before = self.ok("state", "list").stdout
        self.compare(rows)
        self.assertEqual(self.ok("state", "list").stdout, before, "it was only read")
        self.assertGreater(max(json.loads(line)["behind"] for line in before.splitlines()), 0)
        who = rows[-1]["who"]
        self.assertEqual(self.ask(f"SELECT clicks FROM people WHERE who = '{who}'"),
                         [{"clicks": sum(row["who"] == who for row in rows)}])
        for view in ("people-0", "clicks-per-minute-1", "visits-2"):
            os.remove(os.path.join(state, "job", view, "data.mdb"))
            os.remove(os.path.join(state, "job", view, "lock.mdb"))
        self.compare(rows)

    def test_after_a_kill(self):
        rows = events(1200, 6)
        path = self.job(rows)
        more = events(900, 7, start=rows[-1]["ts"])
        self.send(more)
        done = self.weir("run", path, "--until-end", env={"WEIR_CRASH_AT": "checkpoint_slice:5"})
        self.assertEqual(done.returncode, 137, done.stderr)
        for view, topic in VIEWS.items():
            self.assertEqual(plain(self.without_mark(self.ask(f"SELECT * FROM {view}"))), plain(self.latest(topic)), view)
        self.ok("run", path, "--until-end")
        self.compare(rows + more)

    def test_after_a_reset(self):
        rows = events(800, 8)
        path = self.job(rows)
        self.ok("app", "reset", "job", "--to", "beginning", "--outputs", "clear", "--execute")
        done = self.weir("query", "SELECT * FROM people")
        self.assertIn(done.returncode, (1, 2))
        self.assertIn(b"run", done.stderr)
        self.assertEqual(done.stdout, b"")
        self.ok("run", path, "--until-end")
        self.compare(rows)

    def test_topics_of_other_forms(self):
        """Closed windows are read from records of CSV, and from those whose times are numbers; of two sources; behind a join."""
        rows = events(700, 15)
        text = JOB.split("CREATE MATERIALIZED", 1)[0] + """CREATE TABLE plans (who text PRIMARY KEY, plan text);
CREATE MATERIALIZED VIEW commas WITH (format = 'csv') AS SELECT page, window_start, count(*) AS clicks, max(n) AS most, min(who) AS who
FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY page, window_start;
CREATE MATERIALIZED VIEW numbers WITH (timestamps = 'epoch_ms') AS SELECT who, window_start, max(ts) AS seen
FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY who, window_start;
CREATE MATERIALIZED VIEW planned AS SELECT p.plan, c.window_start, count(*) AS clicks
FROM tumble(clicks, ts, INTERVAL '1 minute') c LEFT JOIN plans p ON p.who = c.who GROUP BY p.plan, c.window_start;
"""
        for who, plan in (("u1", "free"), ("u2", "gold")):
            self.produce("plans", (json.dumps({"who": who, "plan": plan, "ts": 1}) + "\n").encode(), "--key", "who")
        path = self.job(rows, text=text)
        self.assertGreater(self.ask("SELECT count(*) AS n FROM commas WHERE NOT window_open")[0]["n"], 3)
        cells = collections.defaultdict(list)
        for row in rows:
            cells[row["page"], iso(row["ts"] // MINUTE * MINUTE)].append(row)
        self.assertEqual({(row["page"], row["window_start"]): (row["clicks"], row["most"], row["who"]) for row in self.ask("SELECT * FROM commas")},
                         {key: (len(cell), max(row["n"] for row in cell), min(row["who"] for row in cell)) for key, cell in cells.items()})
        seen = collections.defaultdict(int)
        for row in rows:
            key = row["who"], iso(row["ts"] // MINUTE * MINUTE)
            seen[key] = max(seen[key], row["ts"])
        self.assertEqual({(row["who"], row["window_start"]): row["seen"] for row in self.ask("SELECT * FROM numbers")},
                         {key: iso(time) for key, time in seen.items()})
        plans = collections.Counter(({"u1": "free", "u2": "gold"}.get(row["who"]), iso(row["ts"] // MINUTE * MINUTE)) for row in rows)
        self.assertEqual({(row["plan"], row["window_start"]): row["clicks"] for row in self.ask("SELECT * FROM planned")}, dict(plans))
        self.ok("run", path, "--until-end", "--close-windows")
        self.assertEqual({(row["plan"], row["window_start"]): row["clicks"] for row in self.ask("SELECT * FROM planned WHERE NOT window_open")}, dict(plans))

    # ---- what it understands ----

    def test_conditions(self):
        """Whatever is looked up instead of scanned for: the same rows as the same condition on all of them, here."""
        rows = events(1500, 9)
        self.job(rows)
        table = self.ask("SELECT * FROM per_minute")
        starts = sorted({row["window_start"] for row in table})
        first, middle, last = starts[0], starts[len(starts) // 2], starts[-1]
        conditions = [
            ("who = 'u3'", lambda r: r["who"] == "u3"),
            ("'u3' = who AND clicks > 2", lambda r: r["who"] == "u3" and r["clicks"] > 2),
            ("who IN ('u1', 'u2', 'nobody', 'u1')", lambda r: r["who"] in ("u1", "u2")),
            ("who = 'u1' OR who = 'u2'", lambda r: r["who"] in ("u1", "u2")),
            ("NOT who = 'u1'", lambda r: r["who"] != "u1"),
            ("who NOT IN ('u1', 'u2')", lambda r: r["who"] not in ("u1", "u2")),
            ("who = 'u1' AND who = 'u2'", lambda r: False),
            ("who IS NULL", lambda r: False),
            ("who > 'u3'", lambda r: r["who"] > "u3"),
            ("who LIKE '%5'", lambda r: r["who"].endswith("5")),
            (f"window_start = '{middle}'", lambda r: r["window_start"] == middle),
            (f"window_start = '{middle}' AND who IN ('u4', 'u5')", lambda r: r["window_start"] == middle and r["who"] in ("u4", "u5")),
            (f"window_start >= '{middle}'", lambda r: r["window_start"] >= middle),
            (f"window_start > '{middle}' AND window_start < '{last}'", lambda r: middle < r["window_start"] < last),
            (f"window_start BETWEEN '{first}' AND '{middle}' AND who = 'u7'", lambda r: r["window_start"] <= middle and r["who"] == "u7"),
            (f"window_start IN ('{first}', '{last}')", lambda r: r["window_start"] in (first, last)),
            (f"window_end <= TIMESTAMPTZ '{middle}'", lambda r: r["window_end"] <= middle),
            (f"window_end > TIMESTAMPTZ '{middle}' + INTERVAL '1 minute'", lambda r: r["window_start"] > middle),
            (f"'{middle}' < window_start", lambda r: r["window_start"] > middle),
            (f"window_start > '{last}'", lambda r: False),
            (f"window_start > '{last}' AND window_start < '{first}'", lambda r: False),
            ("window_open", lambda r: r["window_open"]),
            ("window_open IS NOT TRUE", lambda r: not r["window_open"]),
            ("NOT window_open AND who = 'u2'", lambda r: not r["window_open"] and r["who"] == "u2"),
            ("window_open = false", lambda r: not r["window_open"]),
            ("window_open = (who = 'u2')", lambda r: r["window_open"] == (r["who"] == "u2")),
            ("total % 2 = 0 AND clicks IN (1, 3)", lambda r: r["total"] % 2 == 0 and r["clicks"] in (1, 3)),
        ]
        for text, holds in conditions:
            with self.subTest(where=text):
                self.assertEqual(plain(self.ask(f"SELECT * FROM per_minute WHERE {text}")), plain(row for row in table if holds(row)))

    def test_keys_of_every_type(self):
        self.ok("topic", "create", "mixed", "--partitions", 4)
        values = [
            {"b": True, "i": 5, "d": 0.5, "m": 1.50, "t": "x", "ts": START, "j": 7},
            {"b": False, "i": -5, "d": -2.25, "m": 2, "t": "", "ts": START + 1, "j": "7"},
            {"b": None, "i": None, "d": None, "m": None, "t": None, "ts": None, "j": None},
            {"b": True, "i": 2**62, "d": 1e300, "m": -0.001, "t": "{\"", "ts": START - 10**12, "j": True},
            {"b": False, "i": 0, "d": 0.0, "m": 10, "t": "é\u0000ß".replace("\u0000", " "), "ts": 0, "j": 2.50},
        ]
        self.produce("mixed", "".join(json.dumps(row) + "\n" for row in values * 3).encode())
        self.ok("run", self.file("""CREATE TABLE mixed (b boolean, i bigint, d double precision, m numeric, t text, ts timestamptz, j jsonb);
CREATE MATERIALIZED VIEW keyed AS SELECT b, i, d, m, t, ts, j, count(*) AS n FROM mixed GROUP BY b, i, d, m, t, ts, j;
CREATE MATERIALIZED VIEW by_i AS SELECT i, count(*) AS n FROM mixed GROUP BY i;
CREATE MATERIALIZED VIEW by_ts AS SELECT ts, t, count(*) AS n FROM mixed GROUP BY ts, t;
""", "mixed.sql"), "--until-end")
        table = self.ask("SELECT * FROM keyed")
        self.assertEqual(plain(table), plain(self.latest("keyed")))
        self.assertEqual(len(table), len(values))
        full = ("b = true AND i = 5.0 AND d = 0.5 AND m = 1.5 AND t = 'x' AND ts = '2026-03-01 08:00:00+00' AND j = 7")
        self.assertEqual([row["t"] for row in self.ask(f"SELECT * FROM keyed WHERE {full}")], ["x"])
        self.assertIn("point read, 1 key", self.explained(f"SELECT * FROM keyed WHERE {full}"))
        nulls = " AND ".join(f"{name} IS NULL" for name in "b i d m t ts j".split())
        self.assertEqual([row["n"] for row in self.ask(f"SELECT * FROM keyed WHERE {nulls}")], [3])
        self.assertIn("point read, 1 key", self.explained(f"SELECT * FROM keyed WHERE {nulls}"))
        prefix = "b = false AND i = -5"
        self.assertEqual([row["d"] for row in self.ask(f"SELECT * FROM keyed WHERE {prefix}")], [-2.25])
        self.assertIn("range", self.explained(f"SELECT * FROM keyed WHERE {prefix}"))
        for text, expected in [("i > -5", [0, 5, 2**62]), ("i >= -5 AND i < 5", [-5, 0]), ("i <= 0", [-5, 0]), ("i BETWEEN 1 AND 6", [5]), ("i > 5 AND i < 5", []),
                               ("i < 0.5", [-5, 0]), ("i = 5::double precision", [5]), ("i IN (5, 0, 4)", [0, 5]), ("i < 9223372036854775807", [-5, 0, 5, 2**62])]:
            with self.subTest(where=text):
                self.assertEqual([row["i"] for row in self.ask(f"SELECT i FROM by_i WHERE {text} ORDER BY i")], expected)
        self.assertIn("range", self.explained("SELECT i FROM by_i WHERE i > -5"))
        self.assertIn("scan", self.explained("SELECT i FROM by_i WHERE i < 0.5"))
        self.assertEqual([row["ts"] for row in self.ask("SELECT ts FROM by_ts WHERE ts > '2020-01-01' ORDER BY ts")], [iso(START), iso(START + 1)])
        self.assertIn("range", self.explained("SELECT ts FROM by_ts WHERE ts >= '2020-01-01' AND ts < '2030-01-01'"))

    def test_select(self):
        rows = events(900, 10)
        self.job(rows)
        table = self.ask("SELECT * FROM per_minute")
        self.assertEqual(self.ask("SELECT who, clicks FROM per_minute ORDER BY clicks DESC, who, window_start LIMIT 5 OFFSET 2"),
                         [{"who": r["who"], "clicks": r["clicks"]} for r in sorted(table, key=lambda r: (-r["clicks"], r["who"], r["window_start"]))[2:7]])
        self.assertEqual([r["t"] for r in self.ask("SELECT total + 1 AS t FROM per_minute ORDER BY t")], sorted(r["total"] + 1 for r in table))
        self.assertEqual([r["total"] for r in self.ask("SELECT total, upper(who) FROM per_minute ORDER BY 2, total DESC")],
                         [r["total"] for r in sorted(table, key=lambda r: (r["who"], -r["total"]))])
        groups = collections.defaultdict(list)
        for row in table:
            groups[row["who"]].append(row)
        self.assertEqual(
            self.ask("SELECT who, sum(clicks) AS clicks, max(total) AS most, count(*) FILTER (WHERE window_open) AS open FROM per_minute p "
                     "GROUP BY p.who HAVING sum(clicks) > 20 ORDER BY sum(total), who"),
            [{"who": who, "clicks": sum(r["clicks"] for r in group), "most": max(r["total"] for r in group), "open": sum(r["window_open"] for r in group)}
             for who, group in sorted(groups.items(), key=lambda item: (sum(r["total"] for r in item[1]), item[0]))
             if sum(r["clicks"] for r in group) > 20])
        self.assertEqual(self.ask("SELECT count(*), count(DISTINCT who) AS people, min(who), avg(clicks) > 0 AS some FROM per_minute"),
                         [{"count": len(table), "people": len(groups), "min": min(groups), "some": True}])
        self.assertEqual(self.ask("SELECT count(*), max(who) FROM per_minute WHERE who = 'nobody'"), [{"count": 0, "max": None}])
        self.assertEqual(self.ask("SELECT who, count(*) FROM per_minute WHERE who = 'nobody' GROUP BY who"), [])
        self.assertEqual(len(self.ask("SELECT 1 FROM per_minute LIMIT 7")), 7)
        self.assertEqual(self.ask("SELECT * FROM per_minute LIMIT 0"), [])
        self.assertEqual(len(self.ask("SELECT * FROM per_minute LIMIT ALL OFFSET 3")), len(table) - 3)
        # What the records do not have and the key has; * does not show it.
        self.assertEqual(set(self.ask("SELECT * FROM hops LIMIT 1")[0]), {"window_start", "page", "mean", "twice", "window_open"})
        one = self.ask("SELECT who, window_end, * FROM hops WHERE who = 'u1' ORDER BY window_start LIMIT 1")[0]
        self.assertEqual(one["who"], "u1")
        self.assertIn("window_end", one)
        # NULLs come last, or first where rows go down, as in PostgreSQL.
        pages = [row["page"] for row in self.ask("SELECT page, count(*) AS n FROM hops GROUP BY page ORDER BY page")]
        self.assertEqual(pages, ["/", "/a", "/b", None])
        self.assertEqual([row["page"] for row in self.ask("SELECT page FROM hops GROUP BY page ORDER BY page DESC")], [None, "/b", "/a", "/"])
        self.assertEqual([row["page"] for row in self.ask("SELECT page FROM hops GROUP BY page ORDER BY page NULLS FIRST")], [None, "/", "/a", "/b"])

    def test_names(self):
        self.job(events(300, 11))
        other = """CREATE TABLE clicks (who text, ts timestamptz) WITH (event_time = 'ts');
CREATE MATERIALIZED VIEW per_minute WITH (topic = 'others') AS SELECT who, count(*) AS clicks FROM clicks GROUP BY who;
"""
        self.ok("run", self.file(other, "other.sql"), "--until-end")
        self.assertEqual(self.ask('SELECT * FROM "clicks-per-minute"'), self.ask("SELECT * FROM per_minute", "--app", "job"))
        self.assertEqual(self.ask("SELECT * FROM others"), self.ask("SELECT * FROM per_minute", "--app", "other"))
        self.refused(2, "query", "SELECT * FROM per_minute", says=("is in several apps", "job", "other", "--app"))
        self.refused(2, "query", "SELECT * FROM per_minutes", says=('there is no view "per_minutes"', "per_minute"))
        self.refused(2, "query", "SELECT * FROM people", "--app", "other", says=('there is no view "people"', "app other"))
        self.refused(2, "query", "SELECT * FROM clicks", says=("clicks is a topic", "weir consume"))

    def test_explain(self):
        self.job(events(300, 12))
        self.assertEqual(self.explained("SELECT * FROM people WHERE who = 'u1'"),
                         "view people of app job\nstate: point read, 1 key, 1 of 3 partitions\nfilter: who = 'u1'\n")
        self.assertIn("state: scan, 3 of 3 partitions\n", self.explained("SELECT * FROM people WHERE clicks > 3"))
        open_window = self.ask("SELECT max(window_start) AS w FROM per_minute")[0]["w"]
        one = self.explained(f"SELECT * FROM per_minute WHERE who = 'u1' AND window_start = '{open_window}'")
        self.assertIn(f"state: point read, 1 key, window {open_window}, 1 of 3 partitions\n", one)
        self.assertIn("closed windows: none is meant\n", one)
        self.assertIn("closed windows: scan of topic clicks-per-minute, 1 of 3 partitions\n", self.explained("SELECT * FROM per_minute WHERE who = 'u1'"))
        self.assertNotIn("closed windows", self.explained("SELECT * FROM per_minute WHERE window_open"))
        self.assertIn("state: what is being closed, scan, 3 of 3 partitions\n", self.explained("SELECT * FROM per_minute WHERE NOT window_open"))
        self.assertIn("nothing is read", self.explained("SELECT * FROM per_minute WHERE window_start > '2020-01-01' AND window_start < '2019-01-01'"))
        text = self.explained("SELECT who, count(*) FROM per_minute GROUP BY who ORDER BY 2 LIMIT 3")
        for part in ("group in memory: who", "aggregate: count(*)", "sort in memory", "limit: 3"):
            self.assertIn(part, text)

    def test_a_table_for_people(self):
        self.ok("topic", "create", "clicks")
        self.send([{"who": "a", "n": 5, "ts": START}, {"who": "bob", "n": 12, "ts": START}])
        self.ok("run", self.file(JOB), "--until-end")
        self.assertEqual(self.ok("query", "SELECT who, total, seen, clicks > 1 AS often FROM people ORDER BY who", "--format", "text").stdout.decode(),
                         "who  total  seen                      often\n"
                         "a        5  2026-03-01T08:00:00.000Z  false\n"
                         "bob     12  2026-03-01T08:00:00.000Z  false\n")
        self.assertEqual(self.ok("query", "SELECT total, who FROM people ORDER BY who").stdout, b'{"total":5,"who":"a"}\n{"total":12,"who":"bob"}\n')

    # ---- what it refuses ----

    def test_places_of_errors(self):
        self.job(events(200, 13))
        errors = [
            ("SELECT", 1, 1, "needs columns"),
            ("SELECT whoo FROM people", 1, 8, "column \"whoo\" does not exist"),
            ("SELECT *\nFROM people\nWHERE clicks = 'many'", 3, 16, "bigint"),
            ("SELECT who FROM people WHERE clicks", 1, 30, "boolean"),
            ("SELECT count(*) FROM people WHERE count(*) > 1", 1, 35, "WHERE"),
            ("SELECT who, count(*) FROM people", 1, 8, "not grouped by"),
            ("SELECT first(who) FROM people", 1, 8, "event time"),
            ("SELECT who FROM people ORDER BY 3", 1, 33, "position 3"),
            ("SELECT who FROM people ORDER BY nothing", 1, 33, "does not exist"),
            ("SELECT who FROM people LIMIT -1", 1, 30, "LIMIT"),
            ("SELECT who FROM people LIMIT 'x'", 1, 30, "LIMIT"),
            ("SELECT DISTINCT who FROM people", 1, 1, "DISTINCT"),
            ("SELECT p.who FROM people p JOIN people q ON p.who = q.who", None, None, "JOIN"),
            ("SELECT who FROM people, per_minute", None, None, "join"),
            ("SELECT who FROM people UNION ALL SELECT who FROM people", None, None, "UNION ALL"),
            ("WITH x AS (SELECT who FROM people) SELECT * FROM x", 1, 6, "WITH"),
            ("SELECT who FROM (SELECT * FROM people) x", None, None, "SELECT in FROM"),
            ("SELECT who FROM tumble(people, seen, INTERVAL '1 hour')", 1, 17, "window_start"),
            ("SELECT who, row_number() OVER () FROM people", None, None, "OVER"),
            ("SELECT who FROM people FOR UPDATE", None, None, "FOR UPDATE"),
            ("SELECT (SELECT 1) FROM people", None, None, "subquery"),
            ("SELECT who FROM people; SELECT who FROM people", None, None, "one statement"),
            ("DELETE FROM people", None, None, "no SELECT"),
            ("SELECT who FROM other.people", None, None, "schema"),
            ("SELECT * FROM clicks-per-minute", 1, 21, "double quotes"),
            ("SELECT window_open FROM people", 1, 8, "window_open"),
            ("", None, None, "one statement"),
        ]
        for sql, line, column, words in errors:
            with self.subTest(sql=sql):
                done = self.weir("query", sql)
                text = done.stderr.decode()
                self.assertEqual((done.returncode, done.stdout), (2, b""), text)
                self.assertIn(words, text)
                if line is not None:
                    self.assertIn(f"line {line}, column {column}:\n  {sql.splitlines()[line - 1]}\n", text)
        self.refused(1, "query", "SELECT clicks / (clicks - clicks) AS x FROM people", says=("division by zero",))
        self.refused(1, "query", "SELECT who::bigint FROM people", says=("bigint",))

    def test_limits(self):
        rows = [{"who": "w" * 2000 + str(i), "n": 1, "page": "/", "ts": START} for i in range(3000)]
        self.job(rows, partitions=1)
        self.refused(1, "query", "SELECT who FROM people ORDER BY clicks", "--memory", 1, says=("ORDER BY", "1 MB", "LIMIT"))
        self.refused(1, "query", "SELECT who, count(*) FROM people GROUP BY who", "--memory", 1, says=("GROUP BY", "1 MB"))
        self.assertEqual(len(self.ask("SELECT who FROM people ORDER BY clicks LIMIT 10", "--memory", 5)), 10)
        self.assertEqual(len(self.ask("SELECT who FROM people", "--memory", 1)), 3000)
        for name in os.listdir(os.path.join(self.dir, "state", "job", "people-0")):
            if name.endswith(".mdb"):
                os.remove(os.path.join(self.dir, "state", "job", "people-0", name))
        self.refused(1, "query", "SELECT who FROM people", "--memory", 1, says=("changelog", "run the job once"))
        self.assertEqual(len(self.ask("SELECT who FROM people")), 3000)

    def test_a_directory_that_is_held(self):
        self.job(events(100, 14))
        process = self.start("consume", "people", "--from", "end")
        self.wait_held(process)
        done = self.weir("query", "SELECT * FROM people")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(f"{process.pid}".encode(), done.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
        self.assertNotEqual(self.ask("SELECT * FROM people"), [])

    def test_no_state(self):
        self.ok("topic", "create", "clicks")
        self.refused(2, "query", "SELECT * FROM people", says=("no state of any view", "job has run"))
        done = weir("query", "SELECT 1 FROM x", "--data", os.path.join(self.home, "none"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"there is no data directory", done.stderr)


if __name__ == "__main__":
    unittest.main()
