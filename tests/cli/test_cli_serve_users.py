#!/usr/bin/env python3
"""The HTTP side of a weir serve whose directory has users: who is asked, for what, and what stays open."""
import base64
import json
import os
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, Server, weir


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Users(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="weir-http-users-")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.data = os.path.join(cls.home, "data")
        weir("user", "add", "alice", data=cls.data, stdin="pass:wörd\n")

    def serve(self, *words):
        server = Server(self.data, *words)
        self.addCleanup(server.end)
        return server

    def test_every_route(self):
        """Whatever there is, and what there is not, is for users, but for /livez."""
        server = self.serve()
        _, _, index = server.ask("GET", "/", headers=basic("alice", "pass:wörd"))
        routes = [line.split() for line in json.loads(index)["routes"]] + [["GET", "/nothing"], ["DELETE", "/metrics"]]
        self.assertGreater(len(routes), 14)
        for method, path in routes:
            target = path.replace("{topic}", "t").replace("{group}", "g")
            status, headers, text = server.ask(method, target, headers={})
            if path == "/livez":
                self.assertEqual(status, 200)
                continue
            self.assertEqual((status, headers["WWW-Authenticate"]), (401, 'Basic realm="weir", charset="UTF-8"'), (method, path))
            self.assertIn("this server asks who you are", text)
            self.assertNotEqual(server.ask(method, target, headers=basic("alice", "pass:wörd"))[0], 401, (method, path))

    def test_right_and_wrong(self):
        server = self.serve()
        self.assertEqual(server.ask("GET", "/readyz", headers=basic("alice", "pass:wörd"))[0], 200)
        self.assertEqual(server.ask("HEAD", "/metrics", headers=basic("alice", "pass:wörd"))[0], 200)
        said = set()
        for name, password in (("alice", "pass"), ("alice", ""), ("alice", "pass:wörd "), ("nobody", "pass:wörd"), ("", "pass:wörd"), ("Alice", "pass:wörd")):
            status, headers, text = server.ask("GET", "/readyz", headers=basic(name, password))
            self.assertIsNotNone(headers["WWW-Authenticate"])
            said.add((status, text))
        self.assertEqual(said, {(401, '{"error":"wrong user name or password","hint":"the users are those of Kafka clients: \'weir user add\'"}')})
        for header in ("Basic", "Basic !", "Bearer x", "Basic " + "QQ" * 3000, "Basic YQ=="):
            self.assertEqual(server.ask("GET", "/readyz", headers={"Authorization": header})[0], 401, header)

    def test_who_guesses_is_seen(self):
        """Once a second, from where, and not with what."""
        server = self.serve()
        complaint = "http: wrong user name or password from 127.0.0.1\n"
        before = server.said().count(complaint)  # of the servers of other tests, in the same file
        began = time.monotonic()
        for _ in range(12):
            self.assertEqual(server.ask("GET", "/readyz", headers=basic("alice", "a guess"))[0], 401)
        seconds = time.monotonic() - began
        self.assertEqual(server.ask("GET", "/readyz", headers={})[0], 401)
        said = server.said().count(complaint) - before
        self.assertTrue(1 <= said <= seconds + 2, (said, seconds))
        self.assertNotIn("guess", server.said())

    def test_a_body_is_not_read(self):
        server = self.serve()
        self.assertEqual(server.ask("POST", "/api/v1/query", body="SELECT 1" * 1000)[0], 401)

    def test_nobody_is_asked(self):
        server = self.serve("--no-auth")
        self.assertEqual(server.ask("GET", "/readyz")[0], 200)


JOB = """CREATE TABLE clicks (id text, page text, ts timestamptz) WITH (event_time = 'ts');
CREATE VIEW once WITH (within = '1 hour') AS SELECT DISTINCT ON (id) * FROM clicks;
CREATE MATERIALIZED VIEW pages AS SELECT page, count(*) AS n FROM once GROUP BY page;
CREATE TABLE orders (id bigint, card text, ts timestamptz) WITH (event_time = 'ts');
CREATE TABLE payments (id bigint, ts timestamptz) WITH (event_time = 'ts');
CREATE MATERIALIZED VIEW paid AS SELECT o.id AS id FROM orders o JOIN payments p ON o.id = p.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '1 hour';
"""


class Stores(unittest.TestCase):
    """Who may read a view's results may not read the rows that a step before it keeps."""

    def test_rows_of_steps(self):
        home = tempfile.mkdtemp(prefix="weir-http-stores-")
        self.addCleanup(shutil.rmtree, home)
        data, path = os.path.join(home, "data"), os.path.join(home, "job.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(JOB)
        for user in ("alice", "carol", "boss"):
            weir("user", "add", user, data=data, stdin="secret\n")
        for topic, row in (("clicks", '{"id":"one visitor","page":"/","ts":1}'), ("orders", '{"id":1,"card":"4111","ts":1}'), ("payments", '{"id":2,"ts":1}')):
            weir("topic", "create", topic, data=data)
            weir("produce", topic, data=data, stdin=row + "\n")
        for topic in ("pages", "paid"):
            weir("acl", "add", "alice", "--allow", "read", "--topic", topic, data=data)
        weir("acl", "add", "carol", "--allow", "read", "--topic", "job-pages-repartition-changelog", data=data)
        server = Server(data, path, "--super-user", "boss")
        self.addCleanup(server.end)

        def get(user, store):
            status, _, text = server.ask("GET", "/api/v1/state" + store, headers=basic(user, "secret"))
            return status, json.loads(text)

        until = time.monotonic() + LIMIT_S             # a checkpoint brings what was committed
        wanted = {"pages", "pages-repartition", "paid"}
        while wanted - {store["store"] for store in get("boss", "")[1]["stores"] if store.get("entries")}:
            self.assertLess(time.monotonic(), until, get("boss", ""))
            time.sleep(0.2)
        self.assertEqual(get("alice", "/job/pages")[1]["rows"], [{"page": "/", "n": 1}])
        self.assertEqual(get("boss", "/job/pages-repartition")[1]["rows"][0]["id"], "one visitor")
        for store in ("pages-repartition", "paid"):
            self.assertEqual(get("alice", "/job/" + store), (403, {"error": f"alice may not read the state of {store}", "hint": "'weir acl list' shows who may do what"}))
        self.assertEqual([get("carol", "/job/" + store)[0] for store in ("pages-repartition", "pages")], [200, 403])
        status, answer = get("boss", "/job/paid")
        self.assertEqual(status, 400)
        self.assertIn("join of two streams", answer["error"])

    def test_a_view_that_is_called_as_the_topic_of_another(self):
        """What is read is what was asked about: by name, and not by the topic of what has the name."""
        home = tempfile.mkdtemp(prefix="weir-http-names-")
        self.addCleanup(shutil.rmtree, home)
        data, path = os.path.join(home, "data"), os.path.join(home, "job.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write("""CREATE TABLE o (k text, v bigint);
CREATE MATERIALIZED VIEW a WITH (topic = 'b') AS SELECT k, count(*) AS n FROM o GROUP BY k;
CREATE MATERIALIZED VIEW b WITH (topic = 'secret') AS SELECT v, count(*) AS n FROM o GROUP BY v;
""")
        for user in ("alice", "boss"):
            weir("user", "add", user, data=data, stdin="secret\n")
        weir("topic", "create", "o", data=data)
        weir("produce", "o", data=data, stdin='{"k":"x","v":4711}\n')
        weir("run", path, "--until-end", data=data)
        weir("acl", "add", "alice", "--allow", "read", "--topic", "b", data=data)
        server = Server(data, path, "--super-user", "boss")
        self.addCleanup(server.end)
        until = time.monotonic() + LIMIT_S
        while server.ask("GET", "/readyz", headers=basic("boss", "secret"))[0] != 200:
            self.assertLess(time.monotonic(), until)

        def rows(user, view):
            answers = [server.ask("GET", f"/api/v1/views/{view}/rows", headers=basic(user, "secret")),
                       server.ask("POST", "/api/v1/query", f"SELECT * FROM {view}", basic(user, "secret"))]
            self.assertEqual(answers[0][0], answers[1][0], answers)
            found = [json.loads(text).get("rows") for _, _, text in answers]
            self.assertEqual(found[0], found[1])
            return found[0]

        self.assertEqual(rows("boss", "a"), [{"k": "x", "n": 1}])
        self.assertEqual(rows("boss", "b"), [{"v": 4711, "n": 1}])
        self.assertEqual((rows("alice", "a"), rows("alice", "b")), ([{"k": "x", "n": 1}], None))


if __name__ == "__main__":
    unittest.main()
