#!/usr/bin/env python3
"""The HTTP side of a weir serve whose directory has users: who is asked, for what, and what stays open."""
import base64
import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import Server, weir


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

    def test_a_body_is_not_read(self):
        server = self.serve()
        self.assertEqual(server.ask("POST", "/api/v1/query", body="SELECT 1" * 1000)[0], 401)

    def test_nobody_is_asked(self):
        server = self.serve("--no-auth")
        self.assertEqual(server.ask("GET", "/readyz")[0], 200)


if __name__ == "__main__":
    unittest.main()
