"""A `weir serve` for tests of its HTTP side: started on ports of the system's choice, and asked with Python's own client."""
import http.client
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire_server
from wire_server import LIMIT_S, WEIR, environment


class Server(wire_server.Server):
    def __init__(self, directory, *words):
        super().__init__(directory, *words)
        line = self.process.stdout.readline()
        assert line.startswith("http on 127.0.0.1:"), f"{line!r}; {self.said()}"
        self.http_address = line.split()[-1]
        self.http_port = int(self.http_address.split(":")[1])

    def end(self):
        """Ends as an operator would, and then has nothing to complain of: what sanitizers find, they say with another exit code."""
        code = self.stop() if self.process.poll() is None else 0
        said = self.said()
        super().end()
        assert code == 0, f"exit code {code}: {said}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=LIMIT_S)

    def ask(self, method, target, body=None, headers=None):
        """(status, headers, text)."""
        connection = self.connect()
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def get(self, target):
        """(status, what the JSON says)."""
        status, headers, text = self.ask("GET", target)
        assert headers["Content-Type"] == "application/json", (target, headers["Content-Type"], text)
        return status, json.loads(text)


def weir(*words, data, stdin=""):
    done = subprocess.run([WEIR, *words, "--data", data], input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout
