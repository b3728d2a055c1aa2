"""A `weir serve` for tests: started on a port of the system's choice, and raw requests to it, written by hand from the protocol's tables."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

BUILD = os.environ.get("WEIR_BUILD_DIR") or os.path.join(os.path.dirname(__file__), "../../build/release")
WEIR = os.path.join(BUILD, "weir")
LIMIT_S = 120
# Debian's python3, for which its packages of clients are installed.
PYTHON = "/usr/bin/python3"


def environment():
    return {**{k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}, "LC_ALL": "C.UTF-8", "WEIR_HTTP": "127.0.0.1:0"}


class Server:
    def __init__(self, directory, *flags, kafka="127.0.0.1:0", crash_at=None):
        more = {"WEIR_CRASH_AT": crash_at} if crash_at else {}
        self.errors = open(os.path.join(os.path.dirname(directory), "stderr"), "a+", encoding="utf-8")
        self.process = subprocess.Popen([WEIR, "serve", "--data", directory, "--kafka", kafka, *flags], stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env={**environment(), **more})
        line = self.process.stdout.readline()
        assert line.startswith(("listening on 127.0.0.1:", "listening on [::]:")), f"{line!r}; {self.said()}"
        self.port = int(line.rsplit(":", 1)[1])
        self.address = f"127.0.0.1:{self.port}"

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        return code

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


class Case(unittest.TestCase):
    flags = ()

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-wire-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data = os.path.join(self.home, "data")
        self.server = self.start()

    def start(self, **how):
        server = Server(self.data, *self.flags, **how)
        self.addCleanup(server.end)
        return server

    def run_client(self, *command, stdin=None):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}\n{self.server.said()}")
        return done.stdout

    def connect(self):
        return Wire(self, self.server.port)


class Wire:
    """A connection on which a test says exactly what it wants."""

    def __init__(self, case, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        case.addCleanup(self.socket.close)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def response(self):
        """The correlation id and what follows it."""
        size, = struct.unpack(">i", self.read(4))
        body = self.read(size)
        return struct.unpack(">i", body[:4])[0], body[4:]

    def is_closed(self):
        """Waits for the server to hang up."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def request(key, version, body, correlation=7, client=b"test", tags=b""):
    header = struct.pack(">hhih", key, version, correlation, len(client)) + client + tags
    return struct.pack(">i", len(header) + len(body)) + header + body


def string(text):
    return struct.pack(">h", len(text)) + text
