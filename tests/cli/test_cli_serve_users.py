#!/usr/bin/env python3
"""The HTTP side of a weir serve whose directory has users: who is asked, for what, and what stays open."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, WEIR, Server, environment, weir


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


def derived(mechanism, password, iterations=4096, salt=b"salt of a test", **other):
    """What is stored of a password, by RFC 5802 and Python's own cryptography."""
    kind = "sha" + mechanism[-3:]
    salted = hashlib.pbkdf2_hmac(kind, password.encode(), salt, iterations)
    keys = {"stored_key": hashlib.new(kind, hmac.digest(salted, b"Client Key", kind)).digest(), "server_key": hmac.digest(salted, b"Server Key", kind), "salt": salt}
    return {"mechanism": mechanism, "iterations": iterations, **{name: base64.b64encode(key).decode() for name, key in keys.items()}, **other}


class Changes(unittest.TestCase):
    """Users that come and go while the directory is served."""

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-users-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data = os.path.join(self.home, "data")
        self.secret = os.path.join(self.home, "secret")
        with open(self.secret, "w", encoding="utf-8") as file:
            file.write("secret\n")

    def serve(self, *words, users=("boss", "mallory")):
        weir("topic", "create", "orders", data=self.data)
        for name in users:
            weir("user", "add", name, data=self.data, stdin="secret\n")
        self.server = Server(self.data, *words)
        self.addCleanup(self.server.end)

    def user(self, *words, by="boss", stdin="", env=None, data=True):
        """(exit code, stdout, stderr)."""
        own = "--user-password-file" if words[0] in ("add", "password") else "--password-file"
        where = ("--data", self.data) if data else ("--server", self.server.http_address)
        done = subprocess.run([WEIR, "user", *words, *where, *(("--user", by, own, self.secret) if by else ())], input=stdin, capture_output=True, text=True,
                              timeout=LIMIT_S, env={**environment(), **(env or {})})
        return done.returncode, done.stdout, done.stderr

    def enters(self, name, password):
        """Whether a password lets in, over HTTP and by kcat, with both mechanisms, and with the password itself."""
        seen = {self.server.ask("GET", "/readyz", headers=basic(name, password))[0] == 200}
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN") if shutil.which("kcat") else ():
            done = subprocess.run(["kcat", "-b", self.server.address, "-P", "-t", "orders", "-X", "security.protocol=SASL_PLAINTEXT", "-X", f"sasl.mechanisms={mechanism}",
                                   "-X", f"sasl.username={name}", "-X", f"sasl.password={password}"], input="x\n", capture_output=True, text=True, timeout=LIMIT_S)
            seen.add(done.returncode == 0)
            if done.returncode != 0:
                self.assertIn("wrong user name or password", done.stderr)
        self.assertEqual(len(seen), 1, (name, seen))
        return seen.pop()

    def test_they_come_and_go(self):
        self.serve()
        carol = "carol ä/%"
        self.assertFalse(self.enters(carol, "pass:wörd"))
        self.assertEqual(self.user("add", carol, "--iterations", "5000", stdin="pass:wörd\nnot this\n"), (0, "", ""))
        self.assertTrue(self.enters(carol, "pass:wörd"))
        self.assertEqual(self.user("list"), (0, f"boss\n{carol}\nmallory\n", ""))
        mechanisms = [{"mechanism": f"SCRAM-SHA-{bits}", "iterations": 5000} for bits in (256, 512)]
        self.assertIn({"user": carol, "mechanisms": mechanisms}, [json.loads(line) for line in self.user("list", "--format", "json")[1].splitlines()])
        self.assertEqual(self.user("password", carol, stdin="another\n")[0], 0)
        self.assertEqual((self.enters(carol, "pass:wörd"), self.enters(carol, "another")), (False, True))
        for words, code, says in ((("add", carol), 1, f"there is a user {carol}\nhint: 'weir user password"), (("password", "nobody"), 1, "there is no user nobody\nhint: 'weir user add nobody'"),
                                  (("delete", "nobody"), 1, "there is no user nobody\nhint: 'weir user list'"), (("add", "a:b"), 2, "no ':'"), (("delete", "a:b"), 2, "no ':'"),
                                  (("add", "x", "--iterations", "100"), 2, "--iterations")):
            got, out, said = self.user(*words, stdin="x\n")
            self.assertEqual((got, out, says in said), (code, "", True), said)
        served = [self.user("list", "--format", form) for form in ("text", "json")]
        self.assertEqual([self.user("list", "--format", form, data=False) for form in ("text", "json")], served)
        self.assertEqual(self.user("delete", carol, "mallory"), (0, "", ""))
        self.assertEqual((self.enters(carol, "another"), self.enters("mallory", "secret"), self.enters("boss", "secret")), (False, False, True))
        served = self.user("list", "--format", "json")
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.user("list", "--format", "json"), served)

    def test_rights(self):
        """Whoever may alter the cluster changes them, whoever may describe it sees them; the others are told what they may not."""
        weir("acl", "add", "eve", "--allow", "describe", "--cluster", data=self.data)
        self.serve("--super-user", "boss", users=("boss", "mallory", "eve"))
        for by, words, code, says in (("mallory", ("list",), 1, "mallory may not describe the cluster"), ("mallory", ("delete", "boss"), 1, "mallory may not alter the cluster"),
                                      ("mallory", ("add", "carol"), 1, "mallory may not"), ("eve", ("list",), 0, ""), ("eve", ("add", "carol"), 1, "eve may not alter the cluster"),
                                      ("eve", ("password", "boss"), 1, "eve may not alter the cluster"), ("eve", ("delete", "mallory"), 1, "eve may not alter the cluster"),
                                      (None, ("list",), 2, "lets in users alone"), ("boss", ("add", "carol"), 0, "")):
            got, _, said = self.user(*words, by=by, stdin="secret\n")
            self.assertEqual((got, says in said), (code, True), (by, words, said))
        self.assertEqual(self.user("list")[1], "boss\ncarol\neve\nmallory\n")

    def test_whose_password_a_variable_names(self):
        """The one of who asks: not that of who is made."""
        self.serve()
        env = {"WEIR_USER": "boss", "WEIR_PASSWORD_FILE": self.secret}
        self.assertEqual(self.user("add", "carol", by=None, stdin="hers\n", env=env)[0], 0)
        his = os.path.join(self.home, "his")
        with open(his, "w", encoding="utf-8") as file:
            file.write("his\n")
        self.assertEqual(self.user("add", "dave", "--password-file", his, by=None, env=env)[0], 0)
        self.assertEqual([self.enters(*who) for who in (("carol", "secret"), ("carol", "hers"), ("dave", "his"))], [False, True, True])

    def test_the_first_one(self):
        """A server that asks nobody is told of a user, and asks when it is started again."""
        self.serve(users=())
        code, _, said = self.user("add", "alice", by=None, stdin="secret\n")
        self.assertEqual(code, 0)
        self.assertIn("asks nobody who he is until it is started again", said)
        self.assertEqual(self.server.ask("GET", "/readyz")[0], 200)
        self.assertEqual(self.server.stop(), 0)
        self.server = Server(self.data)
        self.addCleanup(self.server.end)
        self.assertEqual((self.server.ask("GET", "/readyz")[0], self.enters("alice", "secret")), (401, True))

    def test_what_is_sent(self):
        """What is made of a password elsewhere is taken, and what makes no sense is not."""
        self.serve()
        put = lambda body, target="carol?new=true": self.server.ask("PUT", "/api/v1/users/" + target, body if isinstance(body, str) else json.dumps(body), headers=basic("boss", "secret"))
        good = [derived("SCRAM-SHA-256", "hers"), derived("SCRAM-SHA-512", "hers", 16384)]
        for body in ("", "x", "[]", "{}", '{"credentials":{}}', {"credentials": []}, {"credentials": [1]}, {"credentials": [good[0], good[0]]},
                     *({"credentials": [good[1], {**good[0], **wrong}]} for wrong in (
                         {"mechanism": "SCRAM-SHA-1"}, {"mechanism": 1}, {"iterations": 4095}, {"iterations": 16385}, {"iterations": "4096"}, {"iterations": 4096.5}, {"iterations": 10**30},
                         {"salt": ""}, {"salt": "A" * 88}, {"salt": "!"}, {"salt": None}, {"stored_key": good[1]["stored_key"]}, {"server_key": "QQ=="}, {"server_key": "\\u0041"}))):
            status, _, text = put(body)
            self.assertEqual(status, 400, (body, text))
        self.assertEqual(put({"credentials": good}, "carol?new=false")[0], 404)
        self.assertEqual(put({"credentials": good}, "a%3Ab")[0], 400)
        self.assertFalse(self.enters("carol", "hers"))
        status, _, text = put({"credentials": good})
        self.assertEqual((status, json.loads(text)["mechanisms"][1]), (200, {"mechanism": "SCRAM-SHA-512", "iterations": 16384}))
        self.assertTrue(self.enters("carol", "hers"))
        self.assertEqual((put({"credentials": good})[0], put({"credentials": good}, "carol")[0]), (409, 200))
        names, cursor = [], ""
        while cursor is not None:
            status, _, text = self.server.ask("GET", f"/api/v1/users?limit=2{cursor and '&cursor=' + cursor}", headers=basic("boss", "secret"))
            page = json.loads(text)
            names, cursor = names + [user["user"] for user in page["users"]], page["next_cursor"]
        self.assertEqual((names, status), (["boss", "carol", "mallory"], 200))
        self.assertNotIn("key", text)


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
        """What is read is what was asked about: a name that could be two is refused, and what is called otherwise is read by who may read its topic."""
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
            found = [(status, json.loads(text).get("rows")) for status, _, text in answers]
            self.assertEqual(found[0], found[1])
            return found[0]

        a, secret = (200, [{"k": "x", "n": 1}]), (200, [{"v": 4711, "n": 1}])
        self.assertEqual([rows("boss", view) for view in ("a", "b", "secret")], [a, (400, None), secret])
        self.assertEqual([rows("alice", view) for view in ("a", "b", "secret")], [a, (400, None), (403, None)])

    def test_who_asks_in_vain_learns_of_nothing_else(self):
        """A name that is no view's, that of views of two apps, and that of a topic, too: what is told names no view, app or topic that may not be seen."""
        home = tempfile.mkdtemp(prefix="weir-http-vain-")
        self.addCleanup(shutil.rmtree, home)
        data = os.path.join(home, "data")
        for user in ("alice", "boss"):
            weir("user", "add", user, data=data, stdin="secret\n")
        weir("topic", "create", "o", data=data)
        weir("produce", "o", data=data, stdin='{"k":"x","v":4711}\n')
        for app, views in {"one": (("my-both", "hidden-1"), ("hidden-view", "my-twice"), ("my-twice", "hidden-2")), "other": (("my-both", "hidden-3"),)}.items():
            path = os.path.join(home, f"{app}.sql")
            with open(path, "w", encoding="utf-8") as file:
                file.write("CREATE TABLE o (k text, v bigint);" + "".join(
                    f"""CREATE MATERIALIZED VIEW "{view}" WITH (topic = '{topic}') AS SELECT k, count(*) AS n FROM o GROUP BY k;""" for view, topic in views))
            weir("run", path, "--until-end", data=data)
        weir("acl", "add", "alice", "--allow", "read", "--topic", "my-", "--prefixed", data=data)
        server = Server(data, "--super-user", "boss")
        self.addCleanup(server.end)

        def told(user, view):
            found = [server.ask("GET", f"/api/v1/views/{view}", headers=basic(user, "secret")), server.ask("GET", f"/api/v1/views/{view}/rows", headers=basic(user, "secret")),
                     server.ask("POST", "/api/v1/query", f'SELECT * FROM "{view}"', basic(user, "secret"))]
            self.assertEqual(len({(status, text) for status, _, text in found}), 1, found)
            return found[0][0], found[0][2]

        for view, status, others in (("my-botj", 404, "my-both"), ("my-both", 400, "one, other"), ("my-twice", 400, "hidden-view")):
            code, text = told("boss", view)
            self.assertEqual((code, others in text.replace("other, one", "one, other")), (status, True), text)
            code, text = told("alice", view)
            self.assertEqual((code, json.loads(text)["hint"]), (status, "GET /api/v1/views lists those that you may read"), text)
            self.assertEqual([word for word in ("hidden", "both" if view != "my-both" else "one", "other") if word in text], [], text)



if __name__ == "__main__":
    unittest.main()
