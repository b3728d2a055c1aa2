#!/usr/bin/env python3
"""Commands given a directory that is served: they go through the server, and say what they say of the same directory once nobody holds it."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, WEIR, Server, environment, weir

START = 1_772_352_000_000  # 2026-03-01T08:00:00Z
JOB = """CREATE TABLE orders (id bigint NOT NULL, shop text NOT NULL, amount numeric(10,2) CONSTRAINT positive CHECK (amount > 0), ts timestamptz)
WITH (event_time = 'ts', partitions = 3, lateness = '1 minute');
CREATE MATERIALIZED VIEW hourly WITH (topic = 'hourly-revenue') AS
SELECT shop, window_start, sum(amount) AS revenue, count(*) AS orders
FROM tumble(orders, ts, INTERVAL '1 hour') GROUP BY shop, window_start;
CREATE MATERIALIZED VIEW per_shop AS SELECT shop, count(*) AS n, max(amount) AS dearest FROM orders GROUP BY shop;
"""
ROWS = [{"id": i, "shop": f"s{i % 7} \u00e4\"", "amount": i % 11, "ts": START + i * 60000} for i in range(300)]
BAD = [{"id": 1000 + i, "amount": 1, "note": "line\nbreak", "ts": START} for i in range(9)] + [{"id": 2000, "shop": "late", "amount": 5, "ts": START}]
DEAD = sum(row["amount"] == 0 for row in ROWS) + 9


class Case(unittest.TestCase):
    users = False

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-served-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data, self.job = os.path.join(self.home, "data"), os.path.join(self.home, "shop.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB)
        weir("topic", "create", "orders", "--partitions", "3", data=self.data)
        self.produce(ROWS)
        self.produce(BAD)

    def produce(self, rows, *flags):
        weir("produce", "orders", "--key", "id", *flags, data=self.data, stdin="".join(json.dumps(row) + "\n" for row in rows))

    def serve(self, *words):
        server = Server(self.data, *words)
        self.addCleanup(server.end)
        return server

    def ask(self, *words, data=None, env=None, code=None):
        """(exit code, stdout, stderr) of a command."""
        done = subprocess.run([WEIR, *words, *([] if data == "" else ["--data", data or self.data])], capture_output=True, text=True,
                              timeout=LIMIT_S, env={**environment(), **(env or {})})
        if code is not None:
            self.assertEqual(done.returncode, code, (words, done.stderr))
        return done.returncode, done.stdout, done.stderr

    def objects(self, *words):
        return [json.loads(line) for line in self.ask(*words, code=0)[1].splitlines()]

    def wait_for(self, what, is_there):
        until = time.monotonic() + LIMIT_S
        while True:
            found = what()
            if is_there(found):
                return found
            self.assertLess(time.monotonic(), until, found)

    def merged(self, server, topic, count):
        """Waits until the view of a topic has all rows that its pipeline has read: what is re-keyed is merged in a later commit. count: the SELECT of how many it has."""
        def look():
            rows = server.get(f"/api/v1/pipelines/{topic}")[1]["rows"]
            told = json.loads(server.ask("POST", "/api/v1/query", count)[2])
            return rows["applied"], told["rows"][0]["n"] if told.get("rows") else told
        self.wait_for(look, lambda found: found[0] == (found[1] or 0))

    def settle(self, server, rows):
        """Waits until both pipelines have read so many rows, and are through with them."""
        def read():
            told = [server.get(f"/api/v1/pipelines/{topic}")[1] for topic in ("hourly-revenue", "per_shop")]
            return [(pipeline.get("rows", {}).get("in"), pipeline.get("lag")) for pipeline in told]
        self.wait_for(read, lambda found: found == [(rows, 0)] * 2)
        self.merged(server, "hourly-revenue", "SELECT sum(orders) AS n FROM hourly")
        self.merged(server, "per_shop", "SELECT sum(n) AS n FROM per_shop")


LETTERS = [
    ["dlq", "list"], ["dlq", "list", "--app", "shop", "--class", "positive"], ["dlq", "list", "--max", "1"], ["dlq", "list", "--app", "nobody"],
    ["dlq", "show", "shop"], ["dlq", "show", "shop.dlq", "--max", "3"], ["dlq", "show", "shop", "--class", "not_null", "--partition", "1"],
    ["dlq", "show", "hourly-revenue"], ["dlq", "show", "shop", "--from", f"@{START + 1}", "--until", f"@{START + 5 * 10**6}"],
    ["dlq", "show", "shop", "--stage", "a b&c=d%"], ["dlq", "show", "nothing"], ["dlq", "show", "orders"], ["dlq", "show", "a/b?c"],
    ["dlq", "replay", "shop"], ["dlq", "replay", "shop", "--class", "positive", "--max", "2", "--by-key"], ["dlq", "replay", "shop", "--to", "nowhere"],
    ["dlq", "replay", "shop", "--to", "shop-progress"], ["dlq", "replay", "nothing"],
]


class Letters(Case):
    def test_what_is_said(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        commands = [[*words, "--format", form] for words in LETTERS for form in ("text", "json")] + LETTERS
        served = [self.ask(*words) for words in commands]
        addressed = [self.ask(*words, "--server", server.http_address, data="") for words in commands]
        self.assertEqual(server.stop(), 0)
        for words, here, there in zip(commands, served, addressed):
            self.assertEqual(here, self.ask(*words), words)
            self.assertEqual(there, here, words)
        self.assertEqual(sum(group["records"] for group in self.objects("dlq", "list", "--app", "shop")), DEAD + 1)
        self.assertEqual(len(self.objects("dlq", "show", "shop")), DEAD)

    def test_many_letters(self):
        """More than a page of them, with values that are no text."""
        lines = [{"timestamp": i, "key": None if i % 3 else {"base64": "gIGC"}, "value": {"base64": "/w=="} if i % 2 else f"[{i},\n 1.50]",
                  "headers": [["a", None], ["b", {"base64": "gA=="}]]} for i in range(1300)]
        weir("topic", "create", "other.dlq", "--partitions", "2", data=self.data)
        weir("topic", "import", "other.dlq", "--from", "-", data=self.data, stdin="".join(json.dumps(line) + "\n" for line in lines))
        commands = [["dlq", "show", "other", "--format", form] for form in ("text", "json")] + [["dlq", "list"], ["dlq", "show", "other", "--max", "777"]]
        server = self.serve()
        served = [self.ask(*words, code=0) for words in commands]
        found, cursor = [], ""
        while cursor is not None:
            page = server.get(f"/api/v1/dead-letters/other?limit=400{cursor and '&cursor=' + cursor}")[1]
            self.assertLessEqual(len(page["letters"]), 400)
            found, cursor = found + page["letters"], page["next_cursor"]
        self.assertEqual(server.stop(), 0)
        self.assertEqual(served, [self.ask(*words) for words in commands])
        self.assertEqual(found, [json.loads(line) for line in served[1][1].splitlines()])
        self.assertEqual(len(found), 1300)

    def test_bad_cursors(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        for cursor in ("x", "1", "1:", ":1", "1:2:3", "-1:0", "0:-1", "99999999999:0", "0:0x", "shop.dlq:0:0"):
            self.assertEqual(server.get(f"/api/v1/dead-letters/shop?cursor={cursor}")[0], 400, cursor)
        for cursor in ("x", "0:0", "shop.dlq:0", "shop.dlq:0:0:0", ":0:0x", "shop.dlq::"):
            self.assertEqual(server.get(f"/api/v1/dead-letters?cursor={cursor}")[0], 400, cursor)
        self.assertEqual(server.get("/api/v1/dead-letters/shop?cursor=900:0")[1]["letters"], [])

    def test_replayed_records_are_processed_once(self):
        """Letters of a rule that was too strict go, while pipelines run, to where another one without the rule reads them, whoever asks, and how often."""
        with open(self.job, "a", encoding="utf-8") as file:
            file.write("CREATE TABLE again (shop text, amount numeric) WITH (partitions = 2);\n"
                       "CREATE MATERIALIZED VIEW mended AS SELECT shop, count(*) AS n FROM again GROUP BY shop;\n")
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        zeros = sum(row["amount"] == 0 for row in ROWS)
        outcomes = []
        def replay():
            outcomes.append(self.ask("dlq", "replay", "shop", "--class", "positive", "--to", "again", "--execute", "--format", "json"))
        threads = [threading.Thread(target=replay) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.wait_for(lambda: replay() or outcomes[-1], lambda outcome: outcome[0] == 0)
        written = [json.loads(text.splitlines()[-1])["totals"]["records"] for code, text, _ in outcomes if code == 0]
        self.assertEqual(sum(written), zeros, outcomes)
        for code, _, said in outcomes:
            self.assertIn(code, (0, 3), said)
        self.wait_for(lambda: server.get("/api/v1/pipelines/mended")[1], lambda told: told["rows"]["in"] == zeros and told["lag"] == 0)
        self.assertEqual(sum(group["replayed"] for group in self.objects("dlq", "list")), zeros)
        self.assertEqual(server.stop(), 0)
        rows = self.objects("query", "SELECT sum(n) AS n FROM mended")
        self.assertEqual(rows, [{"n": zeros}])


def timeless(outcome):
    """An outcome of verify without how long it took."""
    code, out, said = outcome
    return code, re.sub(r'"seconds":[0-9.]+', "", out), said


class Verify(Case):
    def plant(self):
        """A record in the output that no row yields, and one whose value is another one."""
        record = next(record for record in self.objects("consume", "per_shop", "--until-end"))
        lines = [{"partition": record["partition"], "timestamp": 1, "key": record["key"], "value": json.dumps({**record["value"], "n": 10**6}, separators=(",", ":"))},
                 {"partition": 0, "timestamp": 1, "key": "zo\u00eb\n", "value": '{"shop":"zo\u00eb\\n","n":1,"dearest":1.00}'}]
        weir("topic", "import", "per_shop", "--from", "-", data=self.data, stdin="".join(json.dumps(line) + "\n" for line in lines))

    def test_what_is_said(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        self.assertEqual(server.stop(), 0)
        self.plant()
        commands = [["verify", *words, *form] for form in ([], ["--format", "text"])
                    for words in (["hourly"], ["hourly-revenue", "--app", "shop"], ["per_shop"], ["per_shop", "--max", "1"], ["per_shop", "--max", "0"],
                                  ["nothing"], ["hourly", "--app", "nobody"], ["a/b?c"], ["hourly", "--memory", "2000"])]
        apart = [timeless(self.ask(*words)) for words in commands]
        self.assertEqual([code for code, _, _ in apart[:9]], [0, 0, 4, 4, 4, 1, 1, 1, 0])
        for files in ([self.job], []):                     # while the job runs, and while nothing does
            server = self.serve(*files)
            if files:
                self.settle(server, len(ROWS) + len(BAD))
            self.assertEqual([timeless(self.ask(*words)) for words in commands], apart)
            self.assertEqual([timeless(self.ask(*words, "--server", server.http_address, data="")) for words in commands], apart)
            self.assertEqual(server.stop(), 0)
        self.assertEqual({json.loads(line)["difference"] for line in apart[2][1].splitlines()[:-1]}, {"value", "unknown"})

    def test_while_rows_come_in(self):
        """Each verification is of one moment, however the writer and the pipelines go on around it, and none keeps them from going on."""
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        broker, ended, sent = server.address, threading.Event(), []
        def write():
            while not ended.is_set() and len(sent) < 200:
                lines = "".join(json.dumps({"id": len(sent) * 50 + i, "shop": f"s{i % 9}", "amount": 1 + i, "ts": START + len(sent) * 500000 + i}) + "\n"
                                for i in range(50))
                subprocess.run(["kcat", "-P", "-b", broker, "-t", "orders", "-X", "topic.partitioner=random"], input=lines, text=True, check=True, timeout=LIMIT_S)
                sent.append(50)
        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(ended.set)
        read = []
        for _ in range(12):
            for view in ("hourly", "per_shop"):
                code, out, said = self.wait_for(lambda: self.ask("verify", view), lambda told: (told[0], "ask again" in told[2]) != (3, True)) # no rest within 10 s
                self.assertEqual(code, 0, out + said)
                totals = json.loads(out.splitlines()[-1])["totals"]
                self.assertEqual(totals["differences"], 0)
                read.append(totals["rows_read"])
        self.wait_for(lambda: len(sent), lambda count: count > 1)
        ended.set()
        writer.join()
        self.assertGreater(read[-1], len(ROWS))
        self.settle(server, len(ROWS) + len(BAD) + sum(sent))
        self.assertEqual(self.ask("verify", "per_shop")[0], 0)

    def test_who_goes_away_lets_the_pipelines_go_on(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        for _ in range(5):
            asking = subprocess.Popen([WEIR, "verify", "hourly", "--data", self.data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
            asking.kill()
            asking.wait()
        codes = []
        def four():
            threads = [threading.Thread(target=lambda: codes.append(self.ask("verify", "hourly")[0])) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertLessEqual(set(codes), {0, 3})
            return codes
        self.wait_for(four, lambda codes: 0 in codes)      # one at a time, of those who have gone as well: the others are told to ask again
        subprocess.run(["kcat", "-P", "-b", server.address, "-t", "orders"], input=json.dumps({**ROWS[1], "id": 5000}), text=True, check=True, timeout=LIMIT_S)
        self.settle(server, len(ROWS) + len(BAD) + 1)
        asking = subprocess.Popen([WEIR, "verify", "hourly", "--data", self.data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        self.assertEqual(server.stop(), 0)                 # whatever it is at
        self.assertIn(asking.wait(LIMIT_S), (0, 1, 3))


QUERIES = [
    "SELECT * FROM hourly ORDER BY shop, window_start", "SELECT shop, window_open, revenue / 3.0::double precision AS x, NULL AS y FROM \"hourly-revenue\" WHERE orders > 1 ORDER BY 3, 1 LIMIT 5",
    "SELECT shop, n, dearest FROM per_shop WHERE shop = 's1 \u00e4\"'", "SELECT count(*) AS n, sum(n) AS rows FROM per_shop", "SELECT * FROM per_shop WHERE n < 0",
    "SELECT * FROM orders", "SELECT * FROM nothing", "SELECT nothing FROM hourly", "SELEC", "SELECT 1 / 0 AS x FROM hourly", "DELETE FROM hourly",
]


class Views(Case):
    def test_what_is_said(self):
        commands = [["query", sql, *flags] for sql in QUERIES for flags in ([], ["--format", "text"], ["--explain"], ["--app", "shop"], ["--app", "nobody"])]
        commands += [["query", QUERIES[0], "--memory", mb] for mb in ("1", "256", "0")]
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        running = [self.ask(*words) for words in commands]
        addressed = [self.ask(*words, "--server", server.http_address, data="") for words in commands]
        self.assertEqual(server.stop(), 0)
        server = self.serve()
        resting = [self.ask(*words) for words in commands]
        self.assertEqual(server.stop(), 0)
        for words, *served in zip(commands, running, addressed, resting):
            apart = self.ask(*words)
            self.assertEqual(served, [apart] * 3, words)
        self.assertEqual(self.objects(*commands[15])[0]["rows"], len(ROWS) - DEAD + 9 + 1) # the late one is not late there

    def test_many_rows(self):
        """More than a page: none is missing, none is there twice."""
        rows = [{"id": i, "shop": "x" * 600 + str(i), "amount": 1, "ts": START} for i in range(30000)]
        with open(self.job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE orders (id bigint, shop text, amount numeric) WITH (partitions = 3);\n"
                       "CREATE MATERIALIZED VIEW ids AS SELECT id, max(shop) AS shop, count(*) AS n FROM orders GROUP BY id;\n")
        self.produce(rows)
        server = self.serve(self.job)
        self.wait_for(lambda: server.get("/api/v1/pipelines/ids")[1], lambda told: told["rows"]["in"] == len(ROWS) + len(BAD) + len(rows) and told["lag"] == 0)
        self.merged(server, "ids", "SELECT sum(n) AS n FROM ids")
        found = self.objects("query", "SELECT id FROM ids WHERE length(shop) > 100")
        self.assertEqual(sorted(row["id"] for row in found), [row["id"] for row in rows])
        found = self.objects("query", "SELECT * FROM ids WHERE length(shop) > 100")
        self.assertEqual(sorted((row["id"], row["shop"]) for row in found), [(row["id"], row["shop"]) for row in rows])


class State(Case):
    def stores(self):
        return {(store["app"], store["store"], store["partition"]): store for store in self.objects("state", "list")}

    def test_what_is_said(self):
        """What the stores hold once they hold all, while the job runs, while none does, and of the directory itself."""
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        running = self.stores()
        self.assertEqual(server.stop(), 0)
        self.assertEqual(set(running), set(self.stores()))
        server = self.serve(self.job)                      # restored: the stores are what they were
        self.settle(server, len(ROWS) + len(BAD))
        row = self.objects("state", "scan", "shop/per_shop", "--max", "1")[0]
        commands = [["state", *words] for words in (
            ["scan", "shop/per_shop"], ["scan", "shop/hourly-revenue"], ["scan", "shop/hourly-revenue", "--max", "3"], ["scan", "shop/hourly-revenue", "--max", "0"],
            ["scan", "shop/per_shop", "--partition", "1"], ["scan", "shop/per_shop", "--partition", "7"], ["scan", "shop/nothing"], ["scan", "nothing"], ["scan", "a/b/c"],
            ["get", "shop/per_shop", row["shop"]], ["get", "shop/per_shop", "no such shop"], ["get", "shop/nothing", "x"], ["get", "shop/hourly-revenue", "x"],
            ["get", "shop/hourly-revenue", json.dumps({"shop": ROWS[-1]["shop"], "window_start": "2026-03-01T12:00:00.000Z"})],
            ["get", "shop/per_shop", row["shop"], "--partition", "0"])]
        served = [self.ask(*words) for words in commands]
        addressed = [self.ask(*words, "--server", server.http_address, data="") for words in commands]
        self.assertEqual(server.stop(), 0)
        server = self.serve()
        lists = [self.ask("state", "list", *flags) for flags in ([], ["--format", "text"])]
        resting = [self.ask(*words) for words in commands]
        self.assertEqual(server.stop(), 0)
        self.assertEqual(lists, [self.ask("state", "list", *flags) for flags in ([], ["--format", "text"])])
        for words, *told in zip(commands, served, addressed, resting):
            self.assertEqual(told, [self.ask(*words)] * 3, words)
        self.assertEqual([code for code, _, _ in served], [0] * 5 + [1, 1, 2, 2, 0, 1, 1] + [served[12][0], 0, served[14][0]])

    def test_many_rows(self):
        """More than a page, with keys that are longer than LMDB's."""
        rows = [{"id": i, "shop": ("y" * 700 if i % 2 else "x") + str(i), "amount": 1, "ts": START} for i in range(2600)]
        self.produce(rows)
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD) + len(rows))
        self.assertEqual(server.stop(), 0)
        apart = self.ask("state", "scan", "shop/per_shop", code=0)
        self.assertGreater(len(apart[1].splitlines()), len(rows))
        server = self.serve()
        self.assertEqual(self.ask("state", "scan", "shop/per_shop"), apart)
        self.assertEqual(server.stop(), 0)


class Top(Case):
    def test_a_server(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        def look(*words, data=None):
            lines = [json.loads(line) for line in self.ask("top", *words, "--format", "json", data=data, code=0)[1].splitlines()]
            return {(line["kind"], line.get("stage")): line for line in lines}
        wanted = ("app", "topic", "partitions", "rows_in", "applied", "filtered", "late", "duplicate", "dead", "unmatched", "records_out", "lag", "watermark")
        served = look("--once", "--interval", "200")
        self.assertEqual(served, {**look("--once", "--interval", "200", "--server", server.http_address, data=""), **served})
        self.assertIsNotNone(served[("app", None)]["memory_bytes"])
        self.assertEqual(server.stop(), 0)
        apart = look()
        self.assertEqual({stage for kind, stage in served if kind == "stage"}, {stage for kind, stage in apart if kind == "stage"})
        for name, line in apart.items():
            if name[0] == "stage" and name[1].endswith("-repartition"):
                self.assertEqual([served[name][field] for field in wanted if field != "partitions"], [line[field] for field in wanted if field != "partitions"])
        self.assertIn("http://", self.ask("top", "--once", "--server", server.http_address, data="", code=3)[2])

    def test_readings_go_on_until_the_server_ends(self):
        server = self.serve(self.job)
        self.settle(server, len(ROWS) + len(BAD))
        looking = subprocess.Popen([WEIR, "top", "--data", self.data, "--interval", "100", "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment())
        totals = 0
        while totals < 5:
            totals += json.loads(looking.stdout.readline())["kind"] == "total"
        server.process.kill()
        server.process.wait()
        _, said = looking.communicate(timeout=LIMIT_S)
        self.assertEqual(looking.returncode, 3, said)
        self.assertIn("does not answer", said)

    def test_a_server_without_pipelines(self):
        server = self.serve()
        self.assertEqual(self.objects("top", "--once", "--interval", "100", "--format", "json")[-1]["kind"], "total")
        self.assertEqual(self.ask("top", "--once", "--interval", "100", "--format", "text", code=0)[1][:8], "weir top")
        self.assertEqual(server.stop(), 0)


class Errors(Case):
    def test_users(self):
        weir("user", "add", "alice", data=self.data, stdin="secret\n")
        right, wrong = (os.path.join(self.home, name) for name in ("right", "wrong"))
        for path, password in ((right, "secret"), (wrong, "Secret")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(password + "\n")
        server = self.serve(self.job)
        flags = ["--user", "alice", "--password-file", right]
        self.wait_for(lambda: self.ask("dlq", "list", *flags), lambda said: said[1] != "")
        self.assertEqual(self.ask("dlq", "list", "--user", "alice", "--password-file", wrong)[::2],
                         (1, "weir: wrong user name or password\nhint: the users are those of Kafka clients: 'weir user add'\n"))
        code, _, said = self.ask("dlq", "list")
        self.assertEqual(code, 2, said)
        self.assertIn("lets in users alone", said)
        self.assertEqual(self.ask("dlq", "list", *flags, "--server", server.http_address, data="")[0], 0)
        code, _, said = self.ask("dlq", "list", "--server", server.http_address, data="")
        self.assertEqual(code, 1, said)
        self.assertIn("this server asks who you are", said)

    def test_a_directory_of_others(self):
        """Whoever can write LOCK could have put an address of his own there: what the environment says of everything is not said to it."""
        weir("user", "add", "alice", data=self.data, stdin="secret\n")
        password = os.path.join(self.home, "password")
        with open(password, "w", encoding="utf-8") as file:
            file.write("secret\n")
        self.serve(self.job)
        env = {"WEIR_USER": "alice", "WEIR_PASSWORD_FILE": password}
        self.wait_for(lambda: self.ask("dlq", "list", env=env), lambda said: said[0] == 0)
        os.chmod(self.data, 0o770)
        code, _, said = self.ask("dlq", "list", env=env)
        self.assertEqual(code, 2, said)
        self.assertIn("the name and password of the environment are not said", said)
        self.ask("dlq", "list", "--user", "alice", env=env, code=0)
        os.chmod(self.data, 0o700)
        if os.geteuid() == 0:
            os.chown(self.data, 65534, -1)
            self.ask("dlq", "list", env=env, code=2)

    def test_nobody_is_there(self):
        server = self.serve()
        address = server.http_address
        self.assertEqual(server.stop(), 0)
        code, _, said = self.ask("dlq", "list", "--server", address, data="")
        self.assertEqual(code, 3, said)
        self.assertIn(f"http://{address} does not answer", said)
        for words in (["--server", "a/b"], ["--server", ""], ["--server", ":1"], ["--server", "x:99999"], ["--server", "x:y"], ["--server", "x", "--data", "y"]):
            self.assertEqual(self.ask("dlq", "list", *words, data="")[0], 2, words)

    def test_a_server_that_is_killed_or_stands_still(self):
        server = self.serve()
        server.process.send_signal(signal.SIGSTOP)
        code, _, said = self.interrupt("dlq", "list")
        self.assertEqual(code, 130, said)
        asking = self.start("dlq", "replay", "shop")
        server.process.kill()
        server.process.wait()
        _, said = asking.communicate(timeout=LIMIT_S)
        self.assertIn(asking.returncode, (1, 3), said)     # 1: it found the directory free already

    def start(self, *words):
        return subprocess.Popen([WEIR, *words, "--data", self.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def interrupt(self, *words):
        asking = self.start(*words)
        with open(f"/proc/{asking.pid}/status", encoding="utf-8") as file:
            self.wait_for(lambda: file.seek(0) or [line for line in file if line.startswith("SigCgt")],
                          lambda lines: lines and int(lines[0].split()[1], 16) >> (signal.SIGINT - 1) & 1)
        asking.send_signal(signal.SIGINT)
        out, said = asking.communicate(timeout=LIMIT_S)
        return asking.returncode, out, said


if __name__ == "__main__":
    unittest.main()
