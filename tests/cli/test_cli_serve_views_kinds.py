#!/usr/bin/env python3
"""Views of every kind, of jobs that run in a server, while a Kafka client writes in steps: whole, by key, by range and in small pages, through a pause and a kill -9. What they have to be is
computed here, row by row, from what was acknowledged. Where a view reads one topic of one partition, every answer is what the first so many rows give."""
import collections
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, Server, environment, weir
from wire_server import PYTHON

START = 1_772_352_000_000  # 2026-03-01T08:00:00Z
LATENESS, GAP, HOP, MINUTE = 1100, 20_000, 20_000, 60_000
BIGINT_MAX = 2**63 - 1


def iso(time_ms):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + ".%03dZ" % (time_ms % 1000)


# ---- rows ----

# Texts with what separates elsewhere, two that are longer than what a store orders by, and none.
LABELS = ["plain", "with space", "", "ä/ö?&=%", "x|y", "it's \"so\"", "{brace}", "line\nbreak", "tab\tand\u0001", "日本", "😀", "back\\slash", "k" * 600 + "1", "k" * 600 + "2", None]
NUMS = [-5, 0, 3, -BIGINT_MAX - 1, BIGINT_MAX, 2**53 + 1, None, -6]
PRICES = ["1", "1.0", "-0.5", "12345678901234567890.123", None, "0", "1.00"]
TIMES = [0, -1, -3_155_760_000_000, START + 123, None]
SCORES = ["0.5", "-0.5", "-0.0", None, "0"]
FLAGS = [True, False, None]
# Of a table that stands before the job begins: which of a table's changes an event meets is a matter of when the job reads them.
MEMBERS = {-5: ("gold", 2), 0: ("free", 1), 3: ("gold", -1), BIGINT_MAX: (None, 7)}


def event(i):
    if i % 10 == 1:  # once more
        return {**event(i - 1), "ts": START + i * 3000}
    return {"id": i, "label": LABELS[i // 4 % len(LABELS)], "num": NUMS[i % len(NUMS)], "price": PRICES[i % len(PRICES)],
            "at": TIMES[i % len(TIMES)], "flag": FLAGS[i % len(FLAGS)], "score": SCORES[i % len(SCORES)], "ts": START + i * 3000}


def rows_of_step(step):
    """(topic, number of the row, key, row), in the order in which they are written; a row of a table that is None deletes it."""
    for i in range(step * 12, step * 12 + 12):
        uid, who = i * 5 % 7, i * 3 % 9
        yield "people", uid, str(uid), None if i % 6 == 5 else {"id": uid, "plan": ["free", "gold", None][i * i % 5 % 3], "points": i % 4 - 1}
        yield "booked", who, str(who), None if i % 5 == 4 else {"uid": who, "seats": i % 6}
    for i in range(step * 60, step * 60 + 60):
        yield "events", i, None, event(i)
    for i in range(step * 12, step * 12 + 12):
        yield "clicks", i, None, {"who": i % 5, "ts": START + i * 5000}
        yield "buys", i, None, {"who": i * 2 % 5, "amount": i % 4, "ts": START + i * 5000 + 700}


def text_of(row):
    """JSON, with numbers as they stand above."""
    fields = {name: iso(value) if name == "at" and value is not None else value for name, value in row.items()}
    return "{" + ",".join(f'"{name}":{"null" if value is None else value if name in ("price", "score") else json.dumps(value)}' for name, value in fields.items()) + "}"


# Writes what each line of stdin lists, and says when all of it is acknowledged.
WRITER = """
import json, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 1, "enable.idempotence": True})
for line in sys.stdin:
    records = json.loads(line)
    for topic, partition, key, value in records:
        producer.produce(topic, value, key=key, partition=partition)
    assert producer.flush(100) == 0
    print("written", flush=True)
"""


# ---- what views have to be ----

def shown(name, value):
    return value if value is None else iso(value) if name == "at" else Decimal(value) if name in ("price", "score") else value


def by(*names):
    return lambda row: [tuple(shown(name, row[name]) for name in names)]


def by_window(size, hop):
    """The label, and each window that begins less than its size before the row."""
    return lambda row: [(row["label"], iso(start)) for start in range((row["ts"] - size) // hop * hop + hop, row["ts"] + 1, hop)]


class Model:
    """Rows are added one after another, and rows() is the view. of: the topics that it reads."""
    of = ("events",)

    def __init__(self):
        self.groups = {}
        self.tables = collections.defaultdict(dict)

    def count(self, key, value):
        n, total = self.groups.get(key, (0, None))
        self.groups[key] = n + 1, total if value is None else value + (total or 0)

    def rows(self):
        return {key: key + values for key, values in self.groups.items()}

    def people(self):
        plans = collections.defaultdict(list)
        for uid, row in self.tables["people"].items():
            if row is not None:
                plans[row["plan"]].append((row["points"], (self.tables["booked"].get(uid) or {}).get("seats")))
        return plans


class Grouped(Model):
    def __init__(self, keys):
        super().__init__()
        self.keys = keys

    def add(self, topic, number, row):
        for key in self.keys(row):
            self.count(key, row["num"])


class Sessions(Model):
    def __init__(self):
        super().__init__()
        self.last = {}

    def add(self, topic, number, row):
        start, last, n = self.last.get(row["label"], (row["ts"], row["ts"], 0))
        if row["ts"] - last > GAP:
            start, n = row["ts"], 0
        self.last[row["label"]] = start, row["ts"], n + 1
        self.groups[row["label"], iso(start)] = iso(row["ts"] + GAP), n + 1


class Once(Model):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def add(self, topic, number, row):
        if row["id"] not in self.seen:
            self.count((row["label"],), row["num"])
        self.seen.add(row["id"])


class Plans(Model):
    of = ("people",)

    def add(self, topic, number, row):
        self.tables[topic][number] = row

    def rows(self):
        return {(plan,): (plan, len(rows), sum(p for p, _ in rows), min(rows)[0], max(p for p, _ in rows), len({p for p, _ in rows}))
                for plan, rows in ((plan, sorted(rows, key=lambda r: r[0])) for plan, rows in self.people().items())}


class Sizes(Plans):
    def rows(self):
        return {(n,): (n, plans) for n, plans in collections.Counter(len(rows) for rows in self.people().values()).items()}


class Seats(Plans):
    of = ("people", "booked")

    def rows(self):
        found = {}
        for plan, rows in self.people().items():
            seats = [s for _, s in rows if s is not None]
            found[plan,] = plan, len(rows), sum(seats) if seats else None
        return found


class ByPlan(Model):
    def add(self, topic, number, row):
        if row["num"] in MEMBERS:
            plan, points = MEMBERS[row["num"]]
            self.count((plan,), points)


class Pairs(Model):
    of = ("clicks", "buys")

    def add(self, topic, number, row):
        self.tables[topic][number] = row

    def pairs(self):
        for click in self.tables["clicks"].values():
            for buy in self.tables["buys"].values():
                if buy["who"] == click["who"] and -10_000 <= buy["ts"] - click["ts"] <= 20_000:
                    yield click, buy

    def rows(self):
        self.groups = {}
        for click, buy in self.pairs():
            self.count((click["who"],), buy["amount"])
        return super().rows()


class PairMinutes(Pairs):
    def rows(self):
        counts = collections.Counter((click["who"], iso(click["ts"] // MINUTE * MINUTE)) for click, _ in self.pairs())
        return {key: key + (n,) for key, n in counts.items()}


class View:
    def __init__(self, model, key, values, select, final=False):
        """key: the columns of the key, which stand first; values: those behind them."""
        self.model, self.key, self.columns, self.select, self.final = model, key.split(), (key + " " + values).split(), select, final
        self.is_windowed = "window_start" in self.key


def plain(names):
    columns = names.replace(" ", ", ")
    return View(lambda: Grouped(by(*names.split())), names, "n s", f"SELECT {columns}, count(*) AS n, sum(num) AS s FROM events GROUP BY {columns}")


def windowed(model, call, final, end=""):
    return View(model, "label window_start", "window_end n" if end else "n s",
                f"SELECT label, window_start{end}, count(*) AS n{'' if end else ', sum(num) AS s'} FROM {call} GROUP BY label, window_start{end}", final)


VIEWS = {
    "by_label": plain("label"), "by_num": plain("num"), "by_price": plain("price"), "by_at": plain("at"), "by_flag": plain("flag"), "by_score": plain("score"),
    "by_many": plain("flag label at"), "by_two": plain("num at"),
    "firsts": View(Once, "label", "n s", "SELECT label, count(*) AS n, sum(num) AS s FROM once GROUP BY label"),
    "plans": View(Plans, "plan", "n s low high d",
                  "SELECT plan, count(*) AS n, sum(points) AS s, min(points) AS low, max(points) AS high, count(DISTINCT points) AS d FROM people GROUP BY plan"),
    "sizes": View(Sizes, "n", "plans", "SELECT n, count(*) AS plans FROM plans GROUP BY n"),
    "seats": View(Seats, "plan", "n s", "SELECT plan, count(*) AS n, sum(seats) AS s FROM seated GROUP BY plan"),
    "by_plan": View(ByPlan, "plan", "n s", "SELECT p.plan, count(*) AS n, sum(p.points) AS s FROM events e JOIN members p ON p.id = e.num GROUP BY p.plan"),
    "pairs": View(Pairs, "who", "n s", "SELECT who, count(*) AS n, sum(amount) AS s FROM met GROUP BY who"),
    "pair_minutes": View(PairMinutes, "who window_start", "n",
                         "SELECT who, window_start, count(*) AS n FROM tumble(met, ts, INTERVAL '1 minute') GROUP BY who, window_start"),
}
for _prefix, _final in ("", False), ("final_", True):
    VIEWS[_prefix + "minutes"] = windowed(lambda: Grouped(by_window(MINUTE, MINUTE)), "tumble(events, ts, INTERVAL '1 minute')", _final)
    VIEWS[_prefix + "hops"] = windowed(lambda: Grouped(by_window(MINUTE, HOP)), "hop(events, ts, INTERVAL '20 seconds', INTERVAL '1 minute')", _final)
    VIEWS[_prefix + "sittings"] = windowed(Sessions, "session(events, ts, INTERVAL '20 seconds')", _final, ", window_end")
JOB = """CREATE TABLE events (id bigint NOT NULL, label text, num bigint, price numeric, at timestamptz, flag boolean, score double precision, ts timestamptz)
WITH (event_time = 'ts', lateness = '1100 milliseconds', partitions = {p});
CREATE TABLE people (id bigint PRIMARY KEY, plan text, points bigint) WITH (partitions = {p});
CREATE TABLE members (id bigint PRIMARY KEY, plan text, points bigint) WITH (partitions = {p});
CREATE TABLE booked (uid bigint PRIMARY KEY, seats bigint) WITH (partitions = {p});
CREATE TABLE clicks (who bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1100 milliseconds', partitions = {p});
CREATE TABLE buys (who bigint, amount bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1100 milliseconds', partitions = {p});
CREATE VIEW once WITH (within = '1 hour') AS SELECT DISTINCT ON (id) * FROM events;
CREATE VIEW seated AS SELECT p.id, p.plan, b.seats FROM people p LEFT JOIN booked b ON b.uid = p.id;
CREATE VIEW met AS SELECT c.who, c.ts, b.amount FROM clicks c JOIN buys b
ON b.who = c.who AND b.ts BETWEEN c.ts - INTERVAL '10 seconds' AND c.ts + INTERVAL '20 seconds';
""" + "".join(f"CREATE MATERIALIZED VIEW {name}{' WITH (emit = $$final$$)' if view.final else ''} AS {view.select};\n".replace("$$", "'") for name, view in VIEWS.items())


class Kinds(unittest.TestCase):
    partitions = 1

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-kinds-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data, self.job = os.path.join(self.home, "data"), os.path.join(self.home, "kinds.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB.format(p=self.partitions))
        self.models = {name: view.model() for name, view in VIEWS.items()}
        self.states = {name: [frozenset()] for name in VIEWS}  # after each row of the topic that is read, where it is one
        self.seen = collections.defaultdict(int)               # the first of these that an answer may be
        self.step = 0
        weir("produce", "members", "--key", "id", "--partitions", str(self.partitions), data=self.data,
             stdin="".join(json.dumps({"id": number, "plan": plan, "points": points}) + "\n" for number, (plan, points) in MEMBERS.items()))
        self.serve()

    # ---- writing ----

    def serve(self):
        self.server = Server(self.data, self.job)
        self.addCleanup(self.server.end)
        until = time.monotonic() + LIMIT_S
        while self.server.get("/readyz")[0] != 200:
            self.assertLess(time.monotonic(), until)
        self.http = self.server.connect()
        self.addCleanup(self.http.close)
        self.writer = subprocess.Popen([PYTHON, "-c", WRITER, self.server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(self.end_writer)

    def end_writer(self):
        self.writer.stdin.close()
        self.writer.stdout.close()
        self.writer.wait()

    def follows(self, name):
        """Whether each answer has to be of the first so many rows."""
        return self.partitions == 1 and len(self.models[name].of) == 1 and name != "sizes"

    def write(self, is_awaited=True):
        records = []
        for topic, number, key, row in rows_of_step(self.step):
            records.append((topic, number % self.partitions, key, text_of(row) if row is not None else None))
            for name, model in self.models.items():
                if topic in model.of:
                    model.add(topic, number, row)
                    if self.follows(name):
                        self.states[name].append(frozenset(model.rows().values()))
        self.step += 1
        self.writer.stdin.write(json.dumps(records) + "\n")
        self.writer.stdin.flush()
        if is_awaited:
            self.await_written()

    def await_written(self):
        self.assertEqual(self.writer.stdout.readline(), "written\n")

    # ---- asking ----

    def ask(self, method, target, body=None):
        """Again while it is not now: a machine may be too busy for an answer in time."""
        until = time.monotonic() + LIMIT_S
        while True:
            self.http.request(method, target, body)
            response = self.http.getresponse()
            text = response.read().decode()
            if response.status != 503:
                break
            self.assertLess(time.monotonic(), until, text)
        self.assertEqual(response.status, 200, (target, body, text))
        return json.loads(text, parse_float=Decimal)

    def select(self, sql):
        return self.ask("POST", "/api/v1/query?limit=100000", sql.encode())["rows"]

    def pages(self, name, limit, between=lambda: None, **arguments):
        found, cursor = [], {}
        while cursor is not None:
            page = self.ask("GET", f"/api/v1/views/{name}/rows?" + urllib.parse.urlencode({"limit": limit, **arguments, **cursor}))
            is_long = any(isinstance(value, str) and len(value) > 479 for row in page["rows"] for value in row.values())
            self.assertLessEqual(len(page["rows"]), limit + is_long)  # long ones are never parted
            self.assertEqual(page["left_out"], 0)
            found += page["rows"]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] is not None else None
            between()
        return found

    def rows_of(self, name, rows):
        found = [tuple(row[column] for column in VIEWS[name].columns) for row in rows]
        self.assertEqual(len(found), len({row[:len(VIEWS[name].key)] for row in found}), (name, found))
        return frozenset(found)

    def look(self, name):
        """Where it follows its rows: that it is what some number of them gives, and no fewer than before."""
        found = self.rows_of(name, self.select(f"SELECT * FROM {name}"))
        if self.follows(name):
            at = next((i for i in range(self.seen[name], len(self.states[name])) if self.states[name][i] == found), None)
            self.assertIsNotNone(at, f"{name} from {self.seen[name]} rows on: {sorted(found, key=str)}; of all: {sorted(self.states[name][-1], key=str)}")
            self.seen[name] = at
        return found

    def await_all(self, names=VIEWS):
        """Until each has all rows that were acknowledged."""
        until = time.monotonic() + LIMIT_S
        for name in names:
            want = frozenset(self.models[name].rows().values())
            while (found := self.look(name)) != want:
                self.assertLess(time.monotonic(), until, f"{name}: {sorted(found ^ want, key=str)}")

    # ---- checking ----

    def order(self, value):
        return value.encode() if isinstance(value, str) else value

    def spelled(self, value):
        return str(value) if isinstance(value, Decimal) else value

    def check(self, name, want, **arguments):
        self.assertEqual(self.rows_of(name, self.pages(name, len(want) // 2 + 1, **arguments)), frozenset(want), (name, arguments))

    def check_keys(self, name, rows):
        view = VIEWS[name]
        for row in sorted(rows, key=str)[::len(rows) // 3 + 1]:
            key = dict(zip(view.key, map(self.spelled, row)))
            self.check(name, [row], key=json.dumps(key))
            first = {view.key[0]: key[view.key[0]]}
            mine = [other for other in rows if other[0] == row[0]]
            self.check(name, mine, key=json.dumps(first, ensure_ascii=False))
            text = row[0] if isinstance(row[0], str) else json.dumps(first[view.key[0]])
            if len(view.key) - view.is_windowed == 1 and row[0] is not None and text[:1] != "{" and (text == "" or text.isprintable()):
                self.check(name, mine, key=text.strip('"') if isinstance(row[0], Decimal) else text)

    def check_ranges(self, name, rows):
        for at, column in enumerate(VIEWS[name].key):
            among = sorted({row[at] for row in rows if row[at] is not None}, key=self.order)
            low, high = among[len(among) // 3], among[len(among) * 2 // 3]
            from_low = [row for row in rows if row[at] is not None and self.order(row[at]) >= self.order(low)]
            self.check(name, from_low, key_from=json.dumps({column: self.spelled(low)}))
            self.check(name, [row for row in from_low if self.order(row[at]) < self.order(high)], key_from=json.dumps({column: self.spelled(low)}),
                       key_to=json.dumps({column: self.spelled(high)}))
            if column == "window_start":
                self.check(name, [row for row in from_low if row[at] < high], **{"from": low, "to": high})

    def check_all(self, names=VIEWS):
        """Once nothing comes any more."""
        for name in names:
            rows = frozenset(self.models[name].rows().values())
            self.assertEqual(self.pages(name, len(rows) // 5 + 1), self.select(f"SELECT * FROM {name}"), name)
            self.check_keys(name, rows)
            self.check_ranges(name, rows)
            if VIEWS[name].is_windowed:
                halves = [self.rows_of(name, self.pages(name, len(rows) // 3 + 1, open=text)) for text in ("true", "false")]
                self.assertEqual((halves[0] | halves[1], halves[0] & halves[1]), (rows, frozenset()), name)

    def check_open(self):
        """Which windows time has passed: it is the last event's, less the lateness."""
        if self.partitions > 1:
            return
        now = iso(START + (self.step * 60 - 1) * 3000 - LATENESS)
        for name, size in ("minutes", MINUTE), ("hops", MINUTE), ("sittings", GAP):
            for name in (name, "final_" + name):
                for row in self.select(f"SELECT * FROM {name}"):
                    begin = row["window_end"] if "window_end" in row else row["window_start"]
                    end = datetime.datetime.fromisoformat(begin[:-1]) + datetime.timedelta(milliseconds=size)
                    self.assertEqual(row["window_open"], now < end.isoformat(timespec="milliseconds") + "Z", (name, now, row))

    def test_kinds(self):
        for _ in range(3):
            self.write(is_awaited=False)
            for name in VIEWS:
                self.look(name)
            self.await_written()
            self.await_all()
            self.check_open()
        if self.partitions == 1:
            self.check_all()
        self.end_writer()
        self.server.process.kill()
        self.server.process.wait()
        self.serve()
        for name in VIEWS:
            self.look(name)
        self.await_all()
        self.check_all()
        self.pause()
        self.while_rows_come()
        self.as_a_command()

    def pause(self):
        paused = ("by_many", "final_hops", "sittings", "plans", "pairs")
        told = {name: frozenset(self.models[name].rows().values()) for name in paused}
        for name in paused:
            self.ask("POST", f"/api/v1/pipelines/{name}/pause")
        self.write()
        self.await_all([name for name in VIEWS if name not in paused and name != "sizes"])
        for name in paused:
            self.assertEqual(self.look(name), told[name], name)
            self.check(name, told[name])
            self.check_keys(name, told[name])
        for name in paused:
            self.ask("POST", f"/api/v1/pipelines/{name}/resume")
        self.await_all()

    def while_rows_come(self):
        """A row that is there throughout is shown once, as it was at some time from the first page to the last."""
        names = [name for name in VIEWS if self.follows(name) and name not in ("plans", "sittings", "final_sittings")]
        before = {name: self.models[name].rows() for name in names}
        begin = {name: len(self.states[name]) - 1 for name in names}
        self.write(is_awaited=False)
        for name in names:
            found = self.pages(name, 5)
            keys = [tuple(row[column] for column in VIEWS[name].key) for row in found]
            if not VIEWS[name].is_windowed:
                self.assertEqual(len(keys), len(set(keys)), name)
            self.assertLessEqual(set(before[name]), set(keys), name)
            may_be = frozenset().union(*self.states[name][begin[name]:])
            self.assertLessEqual({tuple(row[column] for column in VIEWS[name].columns) for row in found}, may_be, name)
        self.await_written()
        self.await_all()

    def as_a_command(self):
        """What `weir query` says of the served directory, and of the same one when the server has ended."""
        self.end_writer()
        names = [name for name in VIEWS if name.startswith(("by_two", "final", "seats", "firsts"))]
        want = {name: frozenset(self.models[name].rows().values()) for name in names}
        for _ in range(2):
            for name in names:
                lines = weir("query", f"SELECT * FROM {name}", "--format", "json", data=self.data).splitlines()
                self.assertEqual(self.rows_of(name, [json.loads(line, parse_float=Decimal) for line in lines]), want[name], name)
            if self.server.process.poll() is None:
                self.assertEqual(self.server.stop(), 0)


class ThreePartitions(Kinds):
    partitions = 3


if __name__ == "__main__":
    unittest.main()
