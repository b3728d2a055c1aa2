#!/usr/bin/env python3
"""Views of jobs that run in a server, asked over HTTP while a Kafka client writes. The source has one partition and is not re-keyed, so a state is one that was committed if and only if
it is what the first so many rows give: every answer is compared with that, for windows that are open, closing and closed too, through pauses, kill -9 and a rebuild of the state."""
import collections
import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, Server, environment, weir
from wire_server import PYTHON, WEIR

START = 1_772_352_000_000  # 2026-03-01T08:00:00Z
GAP = 20_000
JOB = """CREATE TABLE moves (account text NOT NULL, amount bigint NOT NULL, ts timestamptz)
WITH (event_time = 'ts', partitions = 1, partitioned_by = 'account', lateness = '1 second');
CREATE MATERIALIZED VIEW totals AS SELECT account, count(*) AS n, sum(amount) AS s FROM moves GROUP BY account;
CREATE MATERIALIZED VIEW minutes AS SELECT account, window_start, count(*) AS n FROM tumble(moves, ts, INTERVAL '1 minute') GROUP BY account, window_start;
CREATE MATERIALIZED VIEW finals WITH (emit = 'final') AS
SELECT account, window_start, count(*) AS n FROM tumble(moves, ts, INTERVAL '1 minute') GROUP BY account, window_start;
CREATE MATERIALIZED VIEW visits AS
SELECT account, window_start, window_end, count(*) AS n FROM session(moves, ts, INTERVAL '20 seconds') GROUP BY account, window_start, window_end;
CREATE TABLE latest (account text PRIMARY KEY, amount bigint NOT NULL) WITH (topic = 'moves');
CREATE MATERIALIZED VIEW levels AS SELECT amount, count(*) AS n FROM latest GROUP BY amount;
"""
ROWS = [{"account": f"a{i // 4 % 6}", "amount": i * i % 13, "ts": START + i * 3000} for i in range(900)]
WINDOWED = ("minutes", "finals", "visits")
# Writes so many rows as stdin says, each time, and says when all are acknowledged.
WRITER = """
import json, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 1, "enable.idempotence": True})
rows, at = json.load(open(sys.argv[2])), int(sys.argv[3])
for line in sys.stdin:
    for row in rows[at:at + int(line)]:
        producer.produce("moves", json.dumps(row), key=row["account"], partition=0)
        at += 1
    assert producer.flush(100) == 0
    print(at, flush=True)
"""


def iso(time_ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000)) + ".%03dZ" % (time_ms % 1000)


def states(view):
    """What the view is after 0, 1, 2 … rows."""
    groups, last, amounts = {}, {}, {}
    found = [frozenset()]
    for row in ROWS:
        account, time_ms = row["account"], row["ts"]
        if view == "totals":
            n, total = groups.get((account,), (0, 0))
            groups[account,] = (n + 1, total + row["amount"])
        elif view == "visits":
            start, n, before = last.get(account, (time_ms, 0, time_ms))
            if time_ms - before > GAP:
                start, n = time_ms, 0
            last[account] = (start, n + 1, time_ms)
            groups[account, iso(start)] = (iso(time_ms + GAP), n + 1)
        elif view == "levels":
            amounts[account] = row["amount"]
            groups = {(amount,): (n,) for amount, n in collections.Counter(amounts.values()).items()}
        else:
            key = account, iso(time_ms // 60_000 * 60_000)
            groups[key] = (groups.get(key, (0,))[0] + 1,)
        found.append(frozenset(key + value for key, value in groups.items()))
    return found


STATES = {view: states(view) for view in ("totals", "levels", *WINDOWED)}


class Case(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-views-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data, self.job, self.rows = (os.path.join(self.home, name) for name in ("data", "bank.sql", "rows.json"))
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB)
        with open(self.rows, "w", encoding="utf-8") as file:
            json.dump(ROWS, file)
        self.seen = collections.defaultdict(int)   # view: of how many rows its last answer was
        self.different = collections.defaultdict(set)
        self.serve()

    def serve(self):
        self.server = Server(self.data, self.job)
        self.addCleanup(self.server.end)

    def writer(self, at=0):
        process = subprocess.Popen([PYTHON, "-c", WRITER, self.server.address, self.rows, str(at)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env=environment())
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process

    def write(self, writer, count):
        writer.stdin.write(f"{count}\n")
        writer.stdin.flush()

    def select(self, sql, target="/api/v1/query?limit=1000"):
        status, _, text = self.server.ask("POST", target, sql)
        self.assertIn(status, (200, 503), text)
        return json.loads(text) if status == 200 else None

    def get(self, target, status=200, **arguments):
        told, body = self.server.get(target + ("?" + urllib.parse.urlencode(arguments) if arguments else ""))
        self.assertEqual(told, status, (target, arguments, body))
        return body

    def rows_of(self, answer, view):
        names = {"totals": ("account", "n", "s"), "visits": ("account", "window_start", "window_end", "n"), "levels": ("amount", "n")}
        rows = [tuple(row[name] for name in names.get(view, ("account", "window_start", "n"))) for row in answer["rows"]]
        self.assertEqual(len(rows), len(set(rows)), rows)
        return frozenset(rows)

    def check(self, view):
        """Of how many rows the view is now. Where the state's windows end and the topic's begin must not show."""
        answer = self.select(f"SELECT * FROM {view}")
        if answer is None:
            return None
        found = self.rows_of(answer, view)
        count = sum(row["n"] for row in answer["rows"])
        self.assertEqual(found, STATES[view][count], (view, count))
        self.assertGreaterEqual(count, self.seen[view], view)
        self.seen[view] = count
        self.different[view].add(count)
        return count

    def check_all(self, views=("totals", *WINDOWED)):
        for view in views:
            self.check(view)

    def wait_all(self, count, views=("totals", *WINDOWED)):
        until = time.monotonic() + LIMIT_S
        for view in views:
            while self.check(view) != count:
                self.assertLess(time.monotonic(), until, (view, count, self.seen[view]))
        while self.rows_of(self.select("SELECT * FROM levels"), "levels") != STATES["levels"][count]:
            self.assertLess(time.monotonic(), until, count)

    def wait_ready(self):
        until = time.monotonic() + LIMIT_S
        while self.server.get("/readyz")[0] != 200:
            self.assertLess(time.monotonic(), until)


class Committed(Case):
    def test_answers_are_states_that_were_committed(self):
        self.wait_ready()
        writer = self.writer()
        for number in range(1, 31):
            self.write(writer, 20)
            self.check_all()
            writer.stdout.readline()
            self.check_all()
            if number % 2 == 0:                            # so that there are many states, on a slow machine, too
                self.wait_all(20 * number)
        for view in ("totals", *WINDOWED):
            self.assertGreater(len(self.different[view]), 10, view)
        told = {view: self.rows_of(self.select(f"SELECT * FROM {view}"), view) for view in STATES}
        self.assertEqual(self.server.stop(), 0)
        for view, rows in told.items():                    # the same question of the directory
            lines = weir("query", f"SELECT * FROM {view}", "--format", "json", data=self.data).splitlines()
            self.assertEqual(self.rows_of({"rows": [json.loads(line) for line in lines]}, view), rows)

    def test_what_was_shown_outlives_kill_9(self):
        at = 0
        for round_number in range(4):
            writer = self.writer(at)
            self.wait_ready()
            for _ in range(4):
                self.write(writer, 25)
                writer.stdout.readline()
                self.check_all()
            self.write(writer, 25)
            self.check_all()
            self.server.process.kill()
            self.server.process.wait()
            writer.kill()
            if round_number == 2:                          # and the state comes back from the log alone
                shutil.rmtree(os.path.join(self.data, "state"))
                self.seen.clear()                          # its views are not known before their stores are there
            self.serve()
            if round_number == 2:
                self.wait_ready()
            at = self.get("/api/v1/topics/moves")["partitions"][0]["high_watermark"]
            for _ in range(10):
                self.check_all()
        self.wait_all(at)

    def test_a_view_whose_pipeline_is_paused_stays(self):
        self.wait_ready()
        writer = self.writer()
        self.write(writer, 100)
        writer.stdout.readline()
        self.wait_all(100)
        self.server.ask("POST", "/api/v1/pipelines/totals/pause")
        self.write(writer, 100)
        writer.stdout.readline()
        self.wait_all(200, WINDOWED)
        self.assertEqual(self.check("totals"), 100)
        self.server.ask("POST", "/api/v1/pipelines/totals/resume")
        self.wait_all(200)


class Rows(Case):
    def pages(self, view, limit, between=lambda: None, **arguments):
        found, cursor = [], {}
        while cursor is not None:
            page = self.get(f"/api/v1/views/{view}/rows", limit=limit, **arguments, **cursor)
            self.assertLessEqual(len(page["rows"]), limit)
            found += page["rows"]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] is not None else None
            between()
        return found

    def setUp(self):
        super().setUp()
        self.wait_ready()
        self.process = self.writer()
        self.write(self.process, 400)
        self.process.stdout.readline()
        self.wait_all(400)

    def test_views_are_listed(self):
        views = {view["topic"]: view for view in self.get("/api/v1/views")["views"]}
        self.assertEqual(set(views), {"totals", "minutes", "finals", "visits", "levels"})
        self.assertTrue(all(view["running"] and view["app"] == "bank" and view["error"] is None for view in views.values()))
        self.assertEqual((views["totals"]["window"], views["minutes"]["window"]["kind"], views["visits"]["window"]["kind"]), (None, "tumbling", "session"))
        self.assertEqual((views["finals"]["emit"], views["minutes"]["emit"]), ("final", "changes"))
        self.assertEqual([column["name"] for column in views["minutes"]["key"]], ["account", "window_start"])
        self.assertEqual([(c["name"], c["type"]) for c in views["totals"]["columns"]], [("account", "text"), ("n", "bigint"), ("s", "numeric")])
        self.assertEqual(self.get("/api/v1/views/minutes"), views["minutes"])
        self.assertIn("minutes", self.get("/api/v1/views/minuets", 404)["hint"])
        listed, cursor = [], {}
        while cursor is not None:
            page = self.get("/api/v1/views", limit=2, **cursor)
            listed += [view["topic"] for view in page["views"]]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
        self.assertEqual(listed, sorted(views))

    def test_pages_are_all_rows_once(self):
        for view in STATES:
            want = self.select(f"SELECT * FROM {view}")["rows"]
            for limit in (3, 64, 1000):
                self.assertEqual(self.pages(view, limit), want, (view, limit))

    def test_pages_while_rows_come(self):
        """Rows that are there throughout are shown once, whatever comes between two pages."""
        def write():
            self.write(self.process, 40)
            self.process.stdout.readline()
        accounts = [row["account"] for row in self.pages("totals", 1, write)]
        self.assertEqual(sorted(accounts), sorted({row["account"] for row in ROWS}))
        closed = [tuple(row.values()) for row in self.pages("minutes", 100, write, open="false")]
        self.assertEqual(len(set(closed)), len({row[:2] for row in closed}))   # what is being closed may be shown, and again as it closed

    def test_by_key_and_by_range(self):
        minutes = self.select("SELECT * FROM minutes")["rows"]
        mine = [row for row in minutes if row["account"] == "a3"]
        self.assertEqual(self.pages("minutes", 1000, key="a3"), mine)
        self.assertEqual(self.pages("minutes", 2, key='{"account":"a3"}'), mine)
        for row in (mine[0], mine[-1]):
            key = json.dumps({"account": "a3", "window_start": row["window_start"]})
            self.assertEqual(self.pages("minutes", 10, key=key), [row])
        begin, end = START + 300_000, START + 600_000
        some = [row for row in minutes if iso(begin) <= row["window_start"] < iso(end)]
        self.assertEqual(len(some), 5 * 5)             # minutes, and accounts that move in each
        self.assertEqual(self.pages("minutes", 7, **{"from": begin, "to": iso(end)}), some)
        self.assertEqual(self.pages("minutes", 7, open="true") + self.pages("minutes", 7, open="false"), minutes)
        self.assertTrue(all(row["window_open"] for row in self.pages("finals", 7, open="true")))
        levels = {row["amount"]: row for row in self.select("SELECT * FROM levels")["rows"]}
        self.assertEqual({row["amount"]: row for row in self.pages("levels", 2, key_from=3, key_to='{"amount":10}')},
                         {amount: row for amount, row in levels.items() if 3 <= amount < 10})
        self.assertEqual(self.pages("totals", 9, key="nobody"), [])

    def test_what_is_no_address(self):
        for arguments, said in (({"key": "{"}, "JSON"), ({"key": '{"n":1}'}, "no column of the view's key"), ({"key": '{"account":1.5}'}, "as a text"),
                                ({"from": "yesterday"}, "ISO 8601"), ({"open": "1"}, "true or false"), ({"cursor": "x"}, "next_cursor"), ({"cursor": "0.02"}, "next_cursor"),
                                ({"key_from": '{"account":"a","window_start":1}'}, "one column"), ({"limit": 0}, "limit")):
            self.assertIn(said, self.get("/api/v1/views/minutes/rows", 400, **arguments)["error"], arguments)
        self.assertIn("views with windows", self.get("/api/v1/views/totals/rows", 400, open="true")["error"])
        self.assertIn("rows", self.get("/api/v1/views/minutes/rows", key="'; DROP TABLE x --"))
        self.get("/api/v1/views/nothing/rows", 404)

    def test_stores(self):
        stores = self.get("/api/v1/state/bank")["stores"]
        self.assertEqual({"totals", "minutes", "finals", "visits", "levels"} - {store["store"] for store in stores}, set())
        self.assertEqual(self.get("/api/v1/state")["stores"][0]["app"], "bank")
        self.assertEqual(self.get("/api/v1/state/nobody")["stores"], [])
        until = time.monotonic() + LIMIT_S                 # a checkpoint brings what was committed
        while self.get("/api/v1/state/bank/totals", limit=9)["rows"] != self.select("SELECT * FROM totals")["rows"]:
            self.assertLess(time.monotonic(), until)
        rows, cursor = [], {}
        while cursor is not None:
            page = self.get("/api/v1/state/bank/totals", limit=4, **cursor)
            rows += page["rows"]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
        self.assertEqual([row["account"] for row in rows], [f"a{i}" for i in range(6)])
        self.assertEqual(self.get("/api/v1/state/bank/totals", key="a2")["rows"], [rows[2]])
        self.assertIn("no entry zz", self.get("/api/v1/state/bank/totals", 404, key="zz")["error"])
        self.get("/api/v1/state/bank/nothing", 404)
        told = self.get("/api/v1/state/bank/minutes", limit=1000)["rows"]
        self.assertEqual(self.server.stop(), 0)
        printed = [json.loads(line) for line in weir("state", "scan", "bank/totals", data=self.data).splitlines()]
        self.assertEqual(printed, rows)
        self.assertTrue(told)


class Large(unittest.TestCase):
    """Rows of 100 KB: a page ends by its bytes, and answers that nobody takes are not kept without end."""
    COUNT, SIZE, PAGE, ROOM_MIB, IDLE_S = 260, 100_000, 16 << 20, 256, 15
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="weir-pages-")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        data, job = os.path.join(cls.home, "data"), os.path.join(cls.home, "notes.sql")
        with open(job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE notes (id bigint, note text); CREATE MATERIALIZED VIEW latest AS SELECT id, max(note) AS note FROM notes GROUP BY id;")
        weir("topic", "create", "notes", data=data)
        weir("produce", "notes", data=data, stdin="".join(json.dumps({"id": i, "note": chr(97 + i % 26) * cls.SIZE}) + "\n" for i in range(cls.COUNT)))
        weir("run", job, "--until-end", data=data)
        cls.server = Server(data, job, *cls.flags)
        cls.addClassCleanup(cls.server.end)
        until = time.monotonic() + LIMIT_S
        while cls.server.get("/readyz")[0] != 200:
            assert time.monotonic() < until

    def ask_and_not_take(self):
        """A client that takes no more than the first line."""
        connection = socket.create_connection(("127.0.0.1", self.server.http_port), timeout=LIMIT_S)
        self.addCleanup(connection.close)
        connection.sendall(b"GET /api/v1/views/latest/rows?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection, connection.recv(12).decode()

    def fill(self):
        """Asks until there is no room: what was asked, of which the last one was refused."""
        until, asked = time.monotonic() + LIMIT_S, []
        while not asked or asked[-1][1] == "HTTP/1.1 200":
            began = time.monotonic() if not asked else began
            asked.append(self.ask_and_not_take())
            self.assertLess(len(asked), 40)
            if time.monotonic() - began > self.IDLE_S - 3 and time.monotonic() < until:   # a slow machine: the first ones would be dropped for being idle
                for connection, _ in asked:
                    connection.close()
                asked = []
        # Who begins needs room for 17 MiB; a page is a row more than 16.
        self.assertEqual((len(asked), asked[-1][1]), (self.ROOM_MIB // 17 + 1, "HTTP/1.1 503"))
        return asked

    def page(self, target, body=None, cursor=None):
        target += f"limit=1000{'&cursor=' + urllib.parse.quote(str(cursor)) if cursor is not None else ''}"
        status, until = 503, time.monotonic() + LIMIT_S
        while status == 503 and time.monotonic() < until:     # they have ten seconds, in which a slow machine may not make them
            status, _, text = self.server.ask("POST" if body else "GET", target, body)
        self.assertEqual(status, 200, text[:1000])
        self.assertLess(len(text), self.PAGE + 2 * self.SIZE)
        return json.loads(text)

    def test_pages(self):
        for target, body in (("/api/v1/views/latest/rows?", None), ("/api/v1/state/notes/latest?", None), ("/api/v1/query?", "SELECT * FROM latest")):
            first = self.page(target, body)
            second = self.page(target, body, first["next_cursor"])
            self.assertIsNone(second["next_cursor"], target)
            self.assertEqual(sorted(row["id"] for row in first["rows"] + second["rows"]), list(range(self.COUNT)), target)

    def outcome(self, done):
        self.assertEqual(done.stdout, "")
        return done.returncode, done.stderr

    def until_in_time(self, ask):
        """An answer has ten seconds, which on a busy machine may be over first."""
        until = time.monotonic() + LIMIT_S
        while "takes longer than 10 s" in (told := ask())[1]:
            self.assertLess(time.monotonic(), until)
        return told

    @unittest.skipIf(os.environ.get("WEIR_SANITIZE"), "it is about memory")
    def test_questions_that_take_too_much(self):
        """They are refused with what to do, the memory is given back, and others are answered meanwhile."""
        def memory_mb(name):
            with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
                return next(int(line.split()[1]) >> 10 for line in file if line.startswith(name))

        def others():
            while not is_over.is_set():
                answers.append(self.server.get("/api/v1/views/latest/rows?limit=1")[0])

        with open(f"/proc/{self.server.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")                                # VmHWM begins anew
        before_mb, answers, is_over = memory_mb("VmRSS"), [], threading.Event()
        other = threading.Thread(target=others)
        other.start()
        try:
            for sql, error, hint in (("SELECT note || note || note AS x FROM latest ORDER BY id", "ORDER BY of so many rows takes more than 64 MB", "LIMIT makes it fewer rows"),
                                     ("SELECT id, max(note || note || note) AS x FROM latest GROUP BY id", "GROUP BY of so many rows takes more than 64 MB", "fewer groups"),
                                     (f"SELECT {' || '.join(['note'] * 60)} AS x FROM latest", "the expressions of a few rows take more than 128 MB", "shorter texts"),
                                     (f"SELECT id FROM latest WHERE {' || '.join(['note'] * 60)} = 'x'", "the expressions of a few rows take more than 128 MB", "shorter texts")):
                for _ in range(2):
                    status, text = self.until_in_time(lambda: self.server.ask("POST", "/api/v1/query", sql)[::2])
                    self.assertEqual((status, json.loads(text)["error"]), (503, error), sql)
                    self.assertIn(hint, json.loads(text)["hint"])
                command = [WEIR, "query", sql, "--data", os.path.join(self.home, "data")]
                code, text = self.until_in_time(lambda: self.outcome(subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment())))
                self.assertEqual(code, 3, text)
                self.assertIn(error, text)
        finally:
            is_over.set()
            other.join()
        self.assertIn(200, answers)
        self.assertLessEqual(set(answers), {200, 503})         # a busy machine may be out of time
        self.assertLess(memory_mb("VmHWM") - before_mb, 400)

    @unittest.skipIf(os.environ.get("WEIR_SANITIZE"), "it takes a quarter of a gigabyte")
    def test_answers_that_nobody_takes(self):
        asked = self.fill()
        rest = b""
        while not rest.endswith(b"}"):
            rest += asked[-1][0].recv(4096)
        self.assertIn(b"\r\nRetry-After: 1\r\n", rest)
        self.assertIn(b"answers that are being made, or that clients have not taken yet, have 256 MiB together", rest)
        self.assertEqual(self.server.get("/api/v1/views/latest/rows?limit=1")[0], 200)   # small ones are always there
        for connection, _ in asked:
            connection.close()
        until = time.monotonic() + LIMIT_S
        while self.ask_and_not_take()[1] != "HTTP/1.1 200":
            self.assertLess(time.monotonic(), until)


@unittest.skipIf(os.environ.get("WEIR_SANITIZE"), "it is of memory, and pages of 16 MiB take long")
class Room(Large):
    """The same with room for two pages: who asks together gets no more than that at a time."""
    ROOM_MIB = 40
    flags = ("--answer-memory", "40")
    STATE, TOGETHER = "/api/v1/state/notes/latest?limit=1000", 8
    test_pages = test_questions_that_take_too_much = test_answers_that_nobody_takes = None

    def ask_together(self, target, done):
        """Each asks until done(status, headers, text) is true of its answer."""
        def ask():
            until = time.monotonic() + LIMIT_S
            while not done(*self.server.ask("GET", target)):
                self.assertLess(time.monotonic(), until)

        with concurrent.futures.ThreadPoolExecutor(self.TOGETHER) as pool:
            for one in [pool.submit(ask) for _ in range(self.TOGETHER)]:
                one.result()

    def is_refused(self, status, headers, text):
        if status != 503 or "longer than" in text:         # the machine is busy
            return status == 503
        self.assertEqual((headers["Retry-After"], json.loads(text)),
                         ("1", {"error": "answers that are being made, or that clients have not taken yet, have 40 MiB together",
                                "hint": "ask again, or for a smaller page"}))
        return True

    def peak_mib(self):
        with open(f"/proc/{self.server.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) >> 10

    def test_all_get_their_page_in_the_end(self):
        page = self.server.ask("GET", self.STATE)[2]
        self.assertGreater(len(page), self.PAGE)
        before, peaks = self.peak_mib(), []

        def has_page(status, headers, text):
            peaks.append(self.peak_mib())
            if self.is_refused(status, headers, text):
                return False
            self.assertEqual((status, text == page), (200, True))
            return True

        self.ask_together(self.STATE, has_page)
        # The pages, a MiB and a row for each, and what the allocator keeps.
        self.assertLess(max(peaks) - before, self.ROOM_MIB + 2 * self.TOGETHER + 32)

    def test_who_comes_when_it_is_full_is_told(self):
        asked = self.fill()
        # On a slow machine those that do not take are dropped meanwhile, for being idle.
        self.ask_together(self.STATE, lambda *answer: self.is_refused(*answer) or answer[0] == 200)
        for target in ("/api/v1/state/notes/latest?limit=5", "/readyz", "/metrics"):
            self.assertEqual(self.server.ask("GET", target)[0], 200)
        for connection, _ in asked:
            connection.close()
        until = time.monotonic() + LIMIT_S
        while self.server.ask("GET", self.STATE)[0] != 200:
            self.assertLess(time.monotonic(), until)


@unittest.skipIf(os.environ.get("WEIR_SANITIZE"), "it is about memory")
class Rest(unittest.TestCase):
    """What a changelog holds beyond its store is kept up to 64 MiB: a question that finds more is refused until a checkpoint has come, which it asks for; other views are answered."""
    COUNT, SIZE = 180, 500_000

    def test_over_the_limit(self):
        home = tempfile.mkdtemp(prefix="weir-rest-")
        self.addCleanup(shutil.rmtree, home)
        data, job = os.path.join(home, "data"), os.path.join(home, "notes.sql")
        with open(job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE notes (id bigint, note text); CREATE MATERIALIZED VIEW latest AS SELECT id, max(note) AS note FROM notes GROUP BY id;"
                       "CREATE MATERIALIZED VIEW small AS SELECT id, count(*) AS n FROM notes GROUP BY id;")
        weir("topic", "create", "notes", data=data)
        weir("produce", "notes", data=data, stdin="".join(json.dumps({"id": i, "note": "x" * self.SIZE}) + "\n" for i in range(self.COUNT)))
        server = Server(data, job)
        self.addCleanup(server.end)
        until, is_refused, is_ready, before = time.monotonic() + LIMIT_S, False, False, {"latest": 0, "small": 0}
        while before != {"latest": self.COUNT, "small": self.COUNT}:
            self.assertLess(time.monotonic(), until, before)
            is_ready = is_ready or server.get("/readyz")[0] == 200
            for view in before if is_ready else ():
                status, _, text = server.ask("POST", "/api/v1/query", f"SELECT count(*) AS n FROM {view}")
                answer = json.loads(text)
                if status == 503 and answer["error"].startswith("what the changelog"):
                    self.assertEqual((view, answer["error"], answer["hint"]), ("latest", "what the changelog notes-latest-changelog-0 holds beyond its store takes more than 64 MB",
                                                                               "ask again after the next checkpoint, or for a part of it"))
                    is_refused = True
                elif status != 503:                        # not now, on a busy machine
                    self.assertEqual(status, 200, text)
                    self.assertGreaterEqual(answer["rows"][0]["n"], before[view])
                    before[view] = answer["rows"][0]["n"]
        if not is_refused:
            self.skipTest("a checkpoint came before there was too much")


if __name__ == "__main__":
    unittest.main()
