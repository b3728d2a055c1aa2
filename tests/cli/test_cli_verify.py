#!/usr/bin/env python3
"""weir verify: views that are as they ought to be, killed or not, and what was planted to be found."""
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, Server
from test_cli import Case, partition_of, weir

JOB = """
CREATE TABLE visits (
    id bigint NOT NULL, who text, page text OPTIONS (path 'place.page') NOT NULL, amount numeric(10,2) CHECK (amount >= 0),
    score double precision, extra jsonb, ts timestamptz
) WITH (topic = 'visits', event_time = 'ts', lateness = '20 seconds');
CREATE TABLE calls (id bigint NOT NULL, who text, amount numeric(10,2), ts timestamptz) WITH (event_time = 'ts', lateness = '1 minute');
CREATE VIEW good AS SELECT * FROM visits WHERE amount IS NULL OR amount < 900;
CREATE VIEW all_of_them AS SELECT id, who, ts FROM visits UNION ALL SELECT id, who, ts FROM calls;

CREATE MATERIALIZED VIEW totals AS
SELECT who, count(*) AS n, sum(amount) AS amount, avg(amount) AS mean, min(amount) AS low, max(page) AS high, count(extra) AS extras,
       sum(score) AS score FROM good GROUP BY who;
CREATE MATERIALIZED VIEW minutes AS
SELECT who, window_start, window_end, count(*) AS n, first(id) AS first_id, last(page) AS last_page, count(DISTINCT page) AS pages,
       sum(amount) FILTER (WHERE page <> 'a') AS rest
FROM tumble(good, ts, INTERVAL '1 minute') GROUP BY who, window_start, window_end HAVING count(*) > 1;
CREATE MATERIALIZED VIEW finals WITH (emit = 'final') AS
SELECT page, window_start, window_end, count(*) AS n, sum(amount) AS amount, min(extra) AS extra, sum(score) AS score
FROM tumble(visits, ts, INTERVAL '1 minute') GROUP BY page, window_start, window_end;
CREATE MATERIALIZED VIEW hops AS
SELECT page, amount > 100 AS dear, window_start, count(*) AS n FROM hop(good, ts, INTERVAL '20 seconds', INTERVAL '1 minute')
GROUP BY page, amount > 100, window_start;
CREATE MATERIALIZED VIEW final_hops WITH (emit = 'final') AS
SELECT page, window_start, count(*) AS n, count(DISTINCT who) AS people FROM hop(good, ts, INTERVAL '15 seconds', INTERVAL '1 minute')
GROUP BY page, window_start;
CREATE MATERIALIZED VIEW sittings AS
SELECT who, window_start, window_end, count(*) AS n, last(page) AS last_page FROM session(good, ts, INTERVAL '4 seconds')
GROUP BY who, window_start, window_end;
CREATE MATERIALIZED VIEW final_sittings WITH (emit = 'final') AS
SELECT who, window_start, window_end, count(*) AS n, sum(amount) AS amount FROM session(good, ts, INTERVAL '4 seconds')
GROUP BY who, window_start, window_end;
CREATE MATERIALIZED VIEW joint WITH (emit = 'final') AS
SELECT who, window_start, count(*) AS n, first(id) AS id FROM tumble(all_of_them, ts, INTERVAL '1 minute') GROUP BY who, window_start;
CREATE MATERIALIZED VIEW per_page AS SELECT page, count(*) AS windows, sum(n) AS n FROM finals GROUP BY page;
INSERT INTO dear SELECT id, upper(page) AS page, amount * 2 AS amount FROM good WHERE amount > 500;
INSERT INTO people SELECT id, who FROM all_of_them;
"""
VIEWS = ["totals", "minutes", "finals", "hops", "final_hops", "sittings", "final_sittings", "joint", "per_page", "dear", "people"]
FINAL = ["finals", "final_hops", "final_sittings", "joint"]
PLACES = ["commit_before_append:3", "commit_between_outputs:12", "commit_started:2", "commit_decided:3", "restore_before:3", "close_before:10"]

# What is tested is computed, not durable: flushes cost nothing in memory (as scratch_dir_in_memory in C).
if "TMPDIR" not in os.environ and os.path.isdir("/dev/shm"):
    tempfile.tempdir = "/dev/shm"


def events(count, seed, start_ms=1_700_000_000_000):
    draw, ts = random.Random(seed), start_ms
    for i in range(count):
        ts += draw.randrange(400)
        row = {"id": i, "who": draw.choice(["ann", "bob", "cy", None]), "place": {"page": draw.choice("abcde")},
               "amount": None if draw.randrange(20) == 0 else round(draw.uniform(-20, 1000), draw.randrange(3)), "score": draw.uniform(-1e6, 1e6),
               "extra": draw.choice([None, 1, 2.50, "x", True, [1, 2]]), "ts": ts - draw.choice([0, 0, 0, 3000, 30000, 200000])}
        if draw.randrange(40) == 0:
            row["place"] = draw.choice([None, {}, {"page": None}])
        if draw.randrange(60) == 0:
            row["ts"] = draw.choice([None, "soon", ts + 10**9 * 10**6])
        yield "nonsense" if draw.randrange(80) == 0 else json.dumps(row)


class Verify(Case):
    partitions = 3

    def setUp(self):
        super().setUp()
        self.write_job(*VIEWS)
        for topic, count in ("visits", self.partitions), ("calls", 2):
            self.ok("topic", "create", topic, "--partitions", count)

    def write_job(self, *views):
        """The tables, and these of the views: each begins a line of its own, and what it needs stands before it."""
        first, *rest = re.split(r"^(?=CREATE MATERIALIZED|INSERT)", JOB, flags=re.M)
        named = {re.match(r"(?:CREATE MATERIALIZED VIEW|INSERT INTO) (\w+)", text).group(1): text for text in rest}
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(first + "".join(named[view] for view in views))

    def send(self, count, seed, start_ms=1_700_000_000_000):
        """Rows without a key of their own, over all partitions."""
        for topic, partitions in ("visits", self.partitions), ("calls", 2):
            draw = random.Random(seed)
            lines = [json.dumps({"partition": draw.randrange(partitions), "timestamp": start_ms + 10**9, "key": None, "value": text})
                     for text in events(count, f"{seed} {topic}", start_ms)]
            self.ok("topic", "import", topic, "--from", "-", stdin="\n".join(lines).encode())

    def run_job(self, *flags, env=None, code=0):
        done = self.weir("run", self.job, "--until-end", *flags, env=env)
        self.assertEqual(done.returncode, code, done.stderr.decode())

    def verify(self, view, *flags):
        done = self.weir("verify", view, *flags)
        self.assertIn(done.returncode, (0, 4), done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        totals = lines.pop()["totals"]
        self.assertEqual(done.returncode, 4 if totals["differences"] else 0)
        return lines, totals

    def forget_stores(self):
        for name in os.listdir(os.path.join(self.dir, "state", "job")):
            path = os.path.join(self.dir, "state", "job", name)
            for file in os.listdir(path) if os.path.isdir(path) else []:
                os.remove(os.path.join(path, file))

    def identical(self, views=VIEWS):
        """All views are; their totals by name."""
        totals = {}
        for view in views:
            lines, totals[view] = self.verify(view)
            self.assertEqual((view, lines), (view, []))
        return totals

    def plant(self, topic, **record):
        self.ok("topic", "import", topic, "--from", "-", stdin=json.dumps(record).encode())

    def found(self, view, kind, where="output", count=1):
        """The differences of a view are these alone; the first of them."""
        lines, totals = self.verify(view)
        self.assertEqual([(line["difference"], line["where"]) for line in lines], [(kind, where)] * count, lines)
        self.assertEqual(totals["differences"], count)
        return lines[0]


class Identical(Verify):
    def test_every_kind_of_view(self):
        self.send(3000, 1)
        self.run_job()
        totals = self.identical()
        for view in ("minutes", "finals", "final_hops", "final_sittings", "joint"):
            self.assertGreater(totals[view]["closed"], 20, view)
            self.assertGreater(totals[view]["open"], 0, view)
        for view in VIEWS:
            self.assertGreater(totals[view]["compared"], 0, view)
        for view in VIEWS[:-2]:
            self.assertGreater(totals[view]["states"], 0, view)
        rows = self.records("dear")
        self.assertEqual((totals["dear"]["records"], totals["dear"]["compared"]), (len(rows), len(rows)))
        self.assertEqual(totals["finals"]["records"], len(self.records("finals")))
        late = [r for r in self.records("finals.late")]
        self.assertEqual(totals["finals"]["late"], len(late))
        # Time goes on, windows are closed at an end, and later rows are late for them.
        self.run_job("--close-windows")
        closed = self.identical()
        self.assertEqual([closed[view]["open"] for view in FINAL], [0, 0, 0, 0])
        self.send(1000, 2, 1_700_000_400_000)
        self.run_job()
        late_now = self.identical()
        self.assertGreater(late_now["finals"]["late"], closed["finals"]["late"])
        self.run_job("--close-windows", "--threads", "2")
        self.identical()

    def test_killed_at_named_places(self):
        killed = "totals", "finals", "sittings", "joint", "people"
        self.write_job(*killed)
        for number, place in enumerate(PLACES):
            self.send(700, 10 + number, 1_700_000_000_000 + number * 200_000)
            self.run_job("--threads", "2", env={"WEIR_CRASH_AT": place}, code=137)
            self.identical(killed)
        self.run_job()
        self.identical(killed)

    def test_groups_that_lie_where_they_belong(self):
        with open(self.job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE clicks (who text, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '5 seconds');\n"
                       "CREATE MATERIALIZED VIEW counts WITH (emit = 'final') AS SELECT who, window_start, sum(n) AS n\n"
                       "FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY who, window_start;\n"
                       "CREATE MATERIALIZED VIEW sums AS SELECT who, sum(n) AS n, count(DISTINCT n) AS different FROM clicks GROUP BY who;\n")
        draw = random.Random(5)
        rows = "".join(json.dumps({"who": f"u{draw.randrange(40)}", "n": draw.randrange(9), "ts": 1_000_000 + i * 50}) + "\n"
                       for i in range(5000))
        self.produce("clicks", rows.encode(), "--key", "who", "--partitions", "4")
        self.run_job()
        totals = self.identical(["counts", "sums"])
        self.assertIn(b"weir.partitioned.by", self.ok("topic", "describe", "clicks").stdout)
        self.assertEqual((totals["counts"]["rows_read"], totals["sums"]["compared"], totals["sums"]["states"]), (5000, 40, 40))
        self.assertGreater(totals["counts"]["closed"], 100)

    def test_without_a_store(self):
        self.write_job("totals")
        self.send(500, 3)
        self.run_job()
        self.forget_stores()
        self.assertGreater(self.identical(["totals"])["totals"]["states"], 0)  # the changelog says it all


REPEATS = """
CREATE TABLE clicks (id text NOT NULL, page text, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '10 seconds');
CREATE MATERIALIZED VIEW firsts WITH (within = '5 seconds') AS SELECT DISTINCT ON (id, page) * FROM clicks WHERE n < 95;
CREATE VIEW numbers WITH (within = '2 seconds') AS SELECT DISTINCT ON (id, n) page, n, ts FROM clicks;
CREATE MATERIALIZED VIEW pages WITH (emit = 'final') AS
SELECT page, window_start, count(*) AS n, sum(n) AS total FROM tumble(numbers, ts, INTERVAL '10 seconds') GROUP BY page, window_start;
"""


class Repeats(Verify):
    """De-duplications: rows of a key in one partition or in several, some the same in all columns."""

    def setUp(self):
        Case.setUp(self)
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(REPEATS)

    def send_clicks(self, partitions, count, keyed, seed, start=0):
        draw, ts, lines = random.Random(seed), start, []
        for _ in range(count):
            ts += draw.choice([0, 100, 500])
            row = {"id": draw.choice("abcdefghij"), "page": draw.choice(["x", "y", None]), "n": draw.randrange(100),
                   "ts": ts - draw.choice([0, 0, 1000, 5000, 16000])}
            partition = ord(row["id"]) % partitions if keyed else draw.randrange(partitions)
            for _ in range(draw.choice([1, 1, 2])):
                lines.append(json.dumps({"partition": partition, "timestamp": start + 10**9, "key": None, "value": json.dumps(row)}))
                partition = partition if keyed else draw.randrange(partitions)
        self.ok("topic", "import", "clicks", "--from", "-", stdin="\n".join(lines).encode())

    def firsts(self):
        """As the statement says it, of one partition's rows: a list that never forgets."""
        kept, rows, watermark, counts = {}, [], -10**18, {"late": 0, "duplicate": 0}
        for record in self.records("clicks"):
            row = record["value"]
            watermark = max(watermark, row["ts"] - 10000)
            if row["n"] >= 95:
                continue
            times = kept.setdefault((row["id"], row["page"]), [])
            if row["ts"] + 5000 <= watermark:
                counts["late"] += 1
            elif any(abs(row["ts"] - time) <= 5000 for time in times):
                counts["duplicate"] += 1
            else:
                times.append(row["ts"])
                rows.append(row["n"])
        return rows, counts

    def test_in_one_partition(self):
        self.ok("topic", "create", "clicks")
        for seed in range(4):
            self.send_clicks(1, 500, True, seed, seed * 90_000)  # the times of one run reach into the next one's
            self.run_job(env={"WEIR_CRASH_AT": "commit_decided:2"}, code=137) if seed % 2 else self.run_job()
        self.run_job("--close-windows")
        totals = self.identical(["firsts", "pages"])
        rows, counts = self.firsts()
        self.assertEqual([record["value"]["n"] for record in self.records("firsts")], rows)
        self.assertEqual((totals["firsts"]["late"], totals["firsts"]["duplicate"]), (counts["late"], counts["duplicate"]))
        self.assertEqual((totals["firsts"]["compared"], totals["firsts"]["undecided"]), (len(rows), 0))
        self.assertGreater(counts["late"], 20)
        self.assertGreater(totals["pages"]["closed"], 10)

    def test_rows_that_meet_in_another_partition(self):
        self.ok("topic", "create", "clicks", "--partitions", "3")
        self.send_clicks(3, 2000, True, 9)
        self.run_job("--close-windows", "--threads", "2")
        totals = self.identical(["firsts", "pages"])
        self.assertEqual(totals["firsts"]["undecided"], 0)  # one partition has all rows of an id
        self.assertGreater(totals["firsts"]["duplicate"], 100)
        self.assertGreater(totals["pages"]["compared"], 0)

    def test_rows_of_many_partitions(self):
        """Which of two rows was first is not known, but that one was, and not both."""
        self.ok("topic", "create", "clicks", "--partitions", "3")
        for seed in range(3):
            self.send_clicks(3, 400, False, seed, seed * 120_000)
            self.run_job("--threads", "2", env={"WEIR_CRASH_AT": "commit_before_append:2"} if seed == 1 else None, code=137 if seed == 1 else 0)
        self.run_job("--close-windows")
        totals = self.identical(["firsts", "pages"])
        self.assertGreater(totals["firsts"]["undecided"], 100)
        self.assertGreater(totals["firsts"]["duplicate"], 0)
        self.assertEqual(totals["firsts"]["compared"], len(self.records("firsts")))
        copy = self.records("firsts")[7]
        self.plant("firsts", partition=copy["partition"], key=None, value=json.dumps({**copy["value"], "ts": 10**12}))
        self.found("firsts", "unknown")


TABLES = """
CREATE TABLE users (id text PRIMARY KEY, plan text, score numeric(10,2), ts timestamptz) WITH (event_time = 'ts');
CREATE TABLE shops (shop text PRIMARY KEY, city text);
CREATE TABLE sales (shop text, who text, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '10 seconds');
CREATE VIEW members AS SELECT * FROM users WHERE plan <> 'none';
INSERT INTO met SELECT s.n, s.who, u.plan, u.score FROM sales s JOIN members u ON u.id = s.who WHERE s.n > 2;
INSERT INTO placed SELECT s.n, s.shop, p.city, u.plan FROM sales s LEFT JOIN shops p ON p.shop = s.shop LEFT JOIN users u ON u.id = s.who;
CREATE VIEW planned AS SELECT s.n, s.ts, u.plan FROM sales s JOIN users u ON u.id = s.who;
CREATE MATERIALIZED VIEW per_plan WITH (emit = 'final') AS
SELECT plan, window_start, count(*) AS sales, sum(n) AS n FROM tumble(planned, ts, INTERVAL '10 seconds') GROUP BY plan, window_start;
CREATE MATERIALIZED VIEW plans AS SELECT plan, count(*) AS n, sum(score) AS score, avg(score) AS mean, count(score) AS scored FROM members GROUP BY plan;
CREATE MATERIALIZED VIEW sizes AS SELECT n, count(*) AS plans, sum(score) AS score FROM plans GROUP BY n;
CREATE MATERIALIZED VIEW gold AS SELECT id, score * 2 AS twice FROM users WHERE plan = 'gold';
"""


class Tables(Verify):
    """Joins with tables, and aggregates over them: rows that change, that are taken away, that a condition hides."""
    views = ["met", "placed", "per_plan", "plans", "sizes", "gold"]

    def setUp(self):
        Case.setUp(self)
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(TABLES)
        for topic, partitions in ("users", 2), ("shops", 1), ("sales", 3):
            self.ok("topic", "create", topic, "--partitions", partitions)
        self.now, self.users = 1_700_000_000_000, {}

    def send_lines(self, topic, rows):
        lines = [json.dumps({"partition": partition, "timestamp": at, "key": key, "value": None if row is None else json.dumps(row)})
                 for partition, at, key, row in rows]
        self.ok("topic", "import", topic, "--from", "-", stdin="\n".join(lines).encode())

    def send_all(self, count, seed):
        """What was sent to users stands in self.users; a few rows are bad."""
        draw, sales, users, shops = random.Random(seed), [], [], []
        for _ in range(count):
            self.now += draw.choice([0, 100, 250])
            kind, who = draw.randrange(10), f"u{draw.randrange(8)}"
            if kind < 2:
                row = {"id": who, "plan": draw.choice(["gold", "free", "none"]), "score": draw.choice([None, 1, 2.5, 7.25, "x"]), "ts": self.now}
                row = None if draw.randrange(4) == 0 else row
                users.append((ord(who[1]) % 2, self.now, who, row))
                if row is None:
                    self.users.pop(who, None)
                elif row["score"] != "x":
                    self.users[who] = row
            elif kind == 2:
                shop = draw.choice("abc")
                shops.append((0, self.now, shop, draw.choice([None, {"shop": shop, "city": draw.choice(["kiel", "ulm"])}])))
            else:
                row = {"shop": draw.choice(["a", "b", "c", None]), "who": who, "n": draw.randrange(9),
                       "ts": self.now - draw.choice([0, 0, 3000, 15000])}
                sales.append((draw.randrange(3), self.now, None, row))
        for topic, rows in ("users", users), ("shops", shops), ("sales", sales):
            self.send_lines(topic, rows)

    def test_through_kills(self):
        for seed, place in enumerate([None, "commit_decided:2", None, "commit_between_outputs:4", "commit_before_append:1", None]):
            self.send_all(300, seed)
            self.run_job("--threads", "2", env={"WEIR_CRASH_AT": place} if place else None, code=137 if place else 0)
            totals = self.identical(self.views)
        self.run_job("--close-windows")
        totals = self.identical(self.views)
        self.assertGreater(totals["met"]["unmatched"], 20)
        self.assertGreater(totals["per_plan"]["closed"], 10)
        self.assertEqual(totals["plans"]["compared"], len({row["plan"] for row in self.users.values()} - {"none"}))
        self.assertGreaterEqual(totals["gold"]["compared"], sum(row["plan"] == "gold" for row in self.users.values()))
        for view in self.views:
            self.assertGreater(totals[view]["compared"], 0, view)

    def test_a_group_that_ends_between_two_tasks(self):
        """The last row of a group is gone, and the task behind the re-keying has not read that: not compared until then."""
        self.send_lines("users", [(0, self.now, "u0", {"id": "u0", "plan": "gold", "score": 1, "ts": self.now})])
        self.run_job()
        self.send_lines("users", [(0, self.now, "u0", None)])
        ends = []
        for decided in range(1, 8):
            shutil.rmtree(self.dir + ".before", ignore_errors=True)
            shutil.copytree(self.dir, self.dir + ".before")
            done = self.weir("run", self.job, "--until-end", "--threads", "1", env={"WEIR_CRASH_AT": f"commit_decided:{decided}"})
            self.assertIn(done.returncode, (0, 137))
            self.identical(["plans", "gold", "sizes"])
            ends.append(self.records("plans")[-1]["value"] is None)
            shutil.rmtree(self.dir)
            os.rename(self.dir + ".before", self.dir)
        self.assertEqual(set(ends), {False, True})

    def test_what_is_planted(self):
        self.send_all(300, 7)
        self.run_job()
        self.identical(self.views)
        record = next(r for r in self.records("met") if r["value"]["plan"] == "free")
        self.plant("met", partition=record["partition"], key=None, value=json.dumps({**record["value"], "plan": "gold"}))
        self.found("met", "unknown")
        self.plant("gold", partition=0, key="u99", value='{"id":"u99","twice":2}')
        self.found("gold", "unknown")
        who = next(who for who, row in self.users.items() if row["plan"] == "gold")
        self.plant("gold", partition=partition_of(who.encode(), 2), key=who, value=None)
        self.assertIn("missing", {line["difference"] for line in self.verify("gold")[0]})
        last = {record["key"]: record for record in self.records("plans")}
        record = next(record for record in last.values() if record["value"] is not None)
        self.plant("plans", partition=record["partition"], key=record["key"], value=None)
        self.assertEqual(self.verify("plans")[1]["differences"], 1)

    def test_a_table_that_was_compacted(self):
        """What newer rows replaced is gone: what stands now can be counted, what others met then cannot."""
        self.send_all(300, 8)
        self.run_job()
        self.ok("topic", "alter", "users", "--config", "cleanup.policy=compact")
        self.ok("topic", "clean", "users")
        self.identical(["plans", "gold", "sizes"])
        self.refused(1, "verify", "met", says=["users-", "compacted"])


STREAMS = """
CREATE TABLE orders (id bigint, who text, ts timestamptz) WITH (event_time = 'ts', lateness = '5 seconds');
CREATE TABLE paid (id bigint, who text, at timestamptz) WITH (event_time = 'at', lateness = '5 seconds');
INSERT INTO met SELECT o.id, p.id AS payment FROM orders o JOIN paid p ON p.who = o.who
AND p.at BETWEEN o.ts - INTERVAL '1 second' AND o.ts + INTERVAL '3 seconds' WHERE p.id % 7 <> 0;
INSERT INTO unpaid SELECT o.id, o.who, p.id AS payment FROM orders o LEFT JOIN paid p ON p.who = o.who
AND p.at BETWEEN o.ts AND o.ts + INTERVAL '1 second';
"""


PAIRS = """
CREATE TABLE people (id text PRIMARY KEY, name text, n numeric);
CREATE TABLE plans (id text PRIMARY KEY, plan text, since timestamptz);
CREATE MATERIALIZED VIEW booked AS SELECT p.id, p.name, q.plan, q.since FROM people p JOIN plans q ON q.id = p.id;
CREATE MATERIALIZED VIEW open AS SELECT p.id, p.n + 1 AS more, q.plan FROM people p LEFT JOIN plans q ON q.id = p.id WHERE q.plan IS NULL OR q.plan <> 'none';
CREATE MATERIALIZED VIEW everyone AS SELECT coalesce(p.id, q.id) AS id, p.name, q.plan, 12 / p.n AS part FROM people p FULL JOIN plans q ON q.id = p.id;
"""


class Pairs(Verify):
    """Joins of two tables: what is written, and what is kept of both."""
    views = ["booked", "open", "everyone"]

    def setUp(self):
        Case.setUp(self)
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(PAIRS)
        for topic, partitions in ("people", 2), ("plans", 3):
            self.ok("topic", "create", topic, "--partitions", partitions)

    def send_all(self, count, seed, gone=.25):
        draw = random.Random(seed)
        for topic in "people", "plans":
            lines = []
            for i in range(count):
                who = f"u{draw.randrange(12)}"
                row = {"id": who, "name": draw.choice(["ann", "eve"]), "n": draw.choice([0, 1, 2.5, None])}
                if topic == "plans":
                    row = {"id": who, "plan": draw.choice(["gold", "none", None]), "since": 1_700_000_000_000 + draw.randrange(3)}
                lines.append(f"{who}\t{'' if draw.random() < gone else json.dumps(row)}\n")
            self.produce(topic, "".join(lines).encode(), "--key-separator", "\\t", "--tombstones")

    def test_through_kills(self):
        """Also with changes that have been sent and not been read: those keys are not compared."""
        for seed, place in enumerate([None, "commit_decided:2", "commit_decided:3", "commit_between_outputs:4", "commit_before_append:2", None]):
            self.send_all(80, seed)
            self.run_job("--threads", "2", env={"WEIR_CRASH_AT": place} if place else None, code=137 if place else 0)
            totals = self.identical(self.views)
        for view in self.views:
            self.assertGreater(totals[view]["compared"], 2, view)

    def test_without_a_store(self):
        self.send_all(80, 1)
        self.run_job()
        self.forget_stores()
        for view, total in self.identical(self.views).items():
            self.assertGreater(total["states"], 12, view)  # rows of both

    def test_what_is_planted_in_the_output(self):
        self.send_all(80, 2)
        self.run_job()
        self.identical(self.views)
        last = {record["key"]: record for record in self.records("booked")}
        record = next(record for record in last.values() if record["value"] is not None)
        self.plant("booked", partition=record["partition"], key=record["key"], value=json.dumps({**record["value"], "name": "bob"}, separators=(",", ":")))
        self.found("booked", "value")
        self.plant("booked", partition=record["partition"], key=record["key"], value=None)
        self.found("booked", "missing")
        self.plant("everyone", partition=0, key="zoe", value=json.dumps({"id": "zoe"}))
        self.found("everyone", "unknown")

    def test_what_is_planted_in_the_store(self):
        """Each task has the other one's rows: of its own none are kept."""
        self.send_all(80, 3, gone=0)
        self.run_job()
        self.identical(self.views)
        stores = [os.path.join(self.dir, "state", "job", f"booked-{partition}") for partition in range(2)]
        os.rename(stores[0], stores[0] + ".other")
        os.rename(stores[1], stores[0])
        os.rename(stores[0] + ".other", stores[1])
        kinds = {(line["difference"], line["where"]) for line in self.verify("booked", "--max", "1000")[0]}
        self.assertEqual(kinds, {("partition", "store"), ("missing", "store")})


class Streams(Verify):
    """Joins of two streams."""

    def setUp(self):
        Case.setUp(self)
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(STREAMS)
        self.ok("topic", "create", "orders", "--partitions", 2)
        self.ok("topic", "create", "paid", "--partitions", 3)
        self.now = 1_700_000_000_000

    def send_all(self, count, seed):
        draw, rows = random.Random(seed), {"orders": [], "paid": []}
        for i in range(count):
            self.now += draw.choice([0, 100, 500])
            topic, time, partitions = draw.choice([("orders", "ts", 2), ("paid", "at", 3)])
            row = {"id": i, "who": draw.choice(["a", "b", "c", "d", None]), time: self.now - draw.choice([0, 0, 1000, 9000])}
            rows[topic].append(json.dumps({"partition": draw.randrange(partitions), "timestamp": self.now, "key": None, "value": json.dumps(row)}))
        for topic, lines in rows.items():
            self.ok("topic", "import", topic, "--from", "-", stdin="\n".join(lines).encode())

    def test_through_kills(self):
        for seed, place in enumerate([None, "commit_decided:2", "commit_between_outputs:2", "commit_before_append:1", None]):
            self.send_all(400, seed)
            self.run_job("--threads", "2", env={"WEIR_CRASH_AT": place} if place else None, code=137 if place else 0)
            self.identical(["met", "unpaid"])
        self.run_job("--close-windows")
        totals = self.identical(["met", "unpaid"])
        for view in "met", "unpaid":
            self.assertEqual(totals[view]["compared"], len(self.records(view)))
            self.assertGreater(totals[view]["late"], 10)
        self.assertGreater(totals["met"]["unmatched"], 10)
        self.assertGreater(sum(record["value"]["payment"] is None for record in self.records("unpaid")), 50)
        record = self.records("met")[3]
        self.plant("met", partition=record["partition"], key=record["key"], value=json.dumps(record["value"], separators=(",", ":")))
        self.found("met", "second")
        self.ok("topic", "delete-records", "unpaid", "--partition", "1", "--before", "2", "--execute")
        self.assertEqual({line["difference"] for line in self.verify("unpaid")[0]}, {"missing"})


class Planted(Verify):
    """Each test changes a copy of the directory that one run has left."""
    partitions = 2
    views = "totals", "finals", "final_sittings", "dear", "people"
    kept = None

    def setUp(self):
        if Planted.kept is None:
            super().setUp()
            self.write_job(*self.views)
            self.send(1200, 7)
            self.run_job("--close-windows")
            self.identical(self.views)
            Planted.kept = tempfile.mkdtemp(prefix="weir-test-")
            self.addClassCleanup(shutil.rmtree, Planted.kept)
            shutil.copytree(self.dir, os.path.join(Planted.kept, "data"))
        else:
            Case.setUp(self)
            shutil.copytree(os.path.join(Planted.kept, "data"), self.dir)

    def first(self, topic):
        return next(record for record in self.records(topic) if record["value"] is not None)

    def test_a_wrong_value(self):
        record = self.first("totals")
        value = {**record["value"], "n": 1}
        self.plant("totals", partition=record["partition"], key=record["key"], value=json.dumps(value, separators=(",", ":")))
        line = self.found("totals", "value")
        self.assertEqual((line["topic"], line["partition"], line["key"]), ("totals", record["partition"], record["key"]))
        self.assertEqual((json.loads(line["found"])["n"], json.loads(line["expected"])["n"]), (1, self.count_of(record["key"])))
        self.assertEqual(line["offset"], max(r["offset"] for r in self.records("totals") if r["partition"] == record["partition"]))

    def count_of(self, key):
        """From the events: what passes the table's and the view's conditions."""
        count = 0
        for record in self.records("visits"):
            row = record["value"]
            if isinstance(row, dict) and isinstance(row["ts"], int) and row["ts"] < 10**13 and row["place"] and row["place"].get("page") \
                    and (row["amount"] is None or 0 <= row["amount"] < 900):
                count += (row["who"] if row["who"] is not None else '{"who":null}') == key
        return count

    def test_an_unknown_key(self):
        for view, key in ("totals", "zoe"), ("finals", '{"page":"z","window_start":"2023-11-14T22:13:00.000Z"}'):
            self.plant(view, partition=0, key=key, value=json.dumps(self.first(view)["value"]))
            self.assertEqual(self.found(view, "unknown")["key"], key)
        self.plant("totals", partition=0, key="zoe", value=None)
        self.identical(["totals"])  # a table's key that was taken back is not there

    def test_a_second_final(self):
        record = self.first("final_sittings")
        self.plant("final_sittings", partition=record["partition"], key=record["key"], value=json.dumps(record["value"]))
        self.found("final_sittings", "second")

    def test_a_wrong_partition(self):
        record = self.first("finals")
        self.ok("topic", "alter", "finals", "--config", "retention.ms=-1")
        self.plant("finals", partition=1 - record["partition"], key=record["key"], value=json.dumps(record["value"]))
        lines, _ = self.verify("finals")
        self.assertEqual({line["difference"] for line in lines} - {"second"}, {"partition"})
        record = self.first("totals")
        self.plant("totals", partition=1 - record["partition"], key=record["key"], value=json.dumps(record["value"]))
        lines, _ = self.verify("totals")
        self.assertIn("partition", {line["difference"] for line in lines})

    def test_missing_rows(self):
        gone = sum(r["partition"] == 0 and r["offset"] < 5 for r in self.records("finals"))
        self.ok("topic", "delete-records", "finals", "--partition", "0", "--before", "5", "--execute")
        self.found("finals", "missing", count=gone)
        gone = sum(r["partition"] == 1 and r["offset"] < 3 for r in self.records("dear"))
        self.ok("topic", "delete-records", "dear", "--partition", "1", "--before", "3", "--execute")
        self.found("dear", "missing", count=gone)

    def test_rows_one_by_one(self):
        record = self.first("dear")
        self.plant("dear", partition=record["partition"], key=None, value=json.dumps(record["value"], separators=(",", ":")).replace("A", "B"))
        self.assertEqual(self.found("dear", "unknown")["partition"], record["partition"])

    def test_a_row_that_stands_twice(self):
        record = self.first("people")
        self.plant("people", partition=record["partition"], key=None, value=json.dumps(record["value"], separators=(",", ":")))
        self.found("people", "second")


class Refusals(Verify):
    def test_what_cannot_be_verified(self):
        self.write_job("totals")
        self.send(300, 4)
        self.refused(1, "verify", "totals", says=["no app", "totals"])
        self.run_job()
        self.refused(1, "verify", "nothing", says="no app")
        self.refused(1, "verify", "totals", "--app", "other", says="views.json")
        self.refused(1, "verify", "nothing", "--app", "job", says="has no view nothing")
        self.run_job("--app", "second")
        self.refused(2, "verify", "totals", says=["job", "second", "--app"])
        self.ok("topic", "delete-records", "visits", "--partition", "0", "--before", "5", "--execute")
        self.refused(1, "verify", "totals", "--app", "job", says=["visits-0 starts at offset 5", "cannot be recomputed"])

    def test_more_than_may_be_held(self):
        with open(self.job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE calls (id text, ts timestamptz) WITH (event_time = 'ts');\n"
                       "CREATE MATERIALIZED VIEW ids AS SELECT id, count(*) AS n FROM calls GROUP BY id;\n")
        self.produce("calls", b"".join(b'{"id":"number %d","ts":1700000000000}\n' % i for i in range(6000)))
        self.run_job()
        self.refused(1, "verify", "ids", "--memory", "1", says=["1 MiB", "--memory"])
        self.identical(["ids"])
        self.refused(2, "verify", "ids", "--memory", "0", says="--memory")

    def test_a_directory_that_is_held(self):
        self.send(10, 1)
        process = self.start("consume", "visits", "--group", "g")
        self.wait_held(process)
        self.refused(1, "verify", "totals", says=str(process.pid))

    def test_most_differences_are_counted_and_few_shown(self):
        self.write_job("finals")
        self.send(600, 9)
        self.run_job("--close-windows")
        self.ok("topic", "delete-records", "finals", "--before", "end", "--execute")
        lines, totals = self.verify("finals")
        self.assertEqual(len(lines), 10)
        self.assertGreater(totals["differences"], 10)
        self.assertEqual(len(self.verify("finals", "--max", "3")[0]), 3)
        text = self.weir("verify", "finals", "--format", "text")
        self.assertEqual(text.returncode, 4)
        self.assertIn(b"finals: %d differences" % totals["differences"], text.stdout)


class Names(Case):
    """A view is named as its statement calls it, or by its topic: verify, query and HTTP mean the same one, and what could be two is told."""
    SQL = """CREATE TABLE rows (k text, v bigint);
CREATE MATERIALIZED VIEW a WITH (topic = 'b') AS SELECT k, count(*) AS n FROM rows GROUP BY k;
CREATE MATERIALIZED VIEW b WITH (topic = 'c') AS SELECT v, count(*) AS n FROM rows GROUP BY v;
CREATE MATERIALIZED VIEW d WITH (topic = 'e') AS SELECT v, k, count(*) AS n FROM rows GROUP BY v, k;
CREATE MATERIALIZED VIEW e WITH (topic = 'd') AS SELECT k, v, count(*) AS n FROM rows GROUP BY k, v;
"""

    def setUp(self):
        super().setUp()
        self.job = os.path.join(self.home, "job.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(self.SQL)
        self.ok("topic", "create", "rows")
        self.ok("produce", "rows", stdin=b'{"k":"x","v":1}\n{"k":"y","v":1}\n')
        self.assertEqual(self.weir("run", self.job, "--until-end").returncode, 0)

    def check(self):
        for name, topic, rows in ("a", "b", [{"k": "x", "n": 1}, {"k": "y", "n": 1}]), ("c", "c", [{"v": 1, "n": 2}]):
            lines = self.ok("query", f"SELECT * FROM {name}", "--format", "json").stdout.splitlines()
            self.assertEqual([json.loads(line) for line in lines], rows)
            self.assertEqual(self.ok("verify", name, "--format", "text").stdout.splitlines()[-1], f"{topic}: identical".encode())
        for words in ("query", "SELECT * FROM b"), ("verify", "b"), ("verify", "b", "--app", "job"):
            self.refused(2, *words, says=('"b" is one view\'s name and the topic of another', 'hint: "c", its topic, is the former; "a", its name, the latter'))
        for words in ("query", "SELECT * FROM d"), ("verify", "d"):
            self.refused(2, *words, says=('"d" is one view\'s name and the topic of "e", and the other way round', "hint: give one of them another topic"))

    def test_of_a_directory(self):
        self.check()

    def test_of_a_server(self):
        server = Server(self.dir, self.job)
        self.addCleanup(server.end)
        until = time.monotonic() + LIMIT_S
        while server.get("/readyz")[0] != 200:
            self.assertLess(time.monotonic(), until)
        self.check()
        for method, target, body in ("GET", "/api/v1/views/b", None), ("GET", "/api/v1/views/b/rows", None), ("POST", "/api/v1/query", "SELECT * FROM b"), \
                ("POST", "/api/v1/pipelines/b/verify", None):
            status, _, text = server.ask(method, target, body)
            self.assertEqual((status, json.loads(text)), (400, {"error": '"b" is one view\'s name and the topic of another',
                                                                "hint": '"c", its topic, is the former; "a", its name, the latter'}), target)


if __name__ == "__main__":
    unittest.main()
