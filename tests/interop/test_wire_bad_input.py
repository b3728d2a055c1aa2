#!/usr/bin/env python3
"""What no client should send, and clients that are slow or gone: each connection gets the documented error or is closed with a reason on stderr, and no other
client notices."""
import os
import signal
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import LIMIT_S, WEIR, Case, environment, request, string

import subprocess

METADATA, API_VERSIONS = 3, 18
ALL_TOPICS_V1 = struct.pack(">i", -1)


class BadInput(Case):
    def assert_closed(self, data, reason):
        wire = self.connect()
        wire.send(data)
        self.assertTrue(wire.is_closed())
        self.assert_serves()
        self.assertIn(reason, self.server.said())

    def assert_serves(self):
        wire = self.connect()
        wire.send(request(METADATA, 1, ALL_TOPICS_V1))
        self.assertEqual(wire.response()[0], 7)

    def test_sizes(self):
        for size in (-1, 0, 7, 104857601, 2147483647, -2147483648):
            self.assert_closed(struct.pack(">i", size), f"a request of {size} bytes")

    def test_http(self):
        self.assert_closed(b"GET / HTTP/1.1\r\n\r\n", "a request of 1195725856 bytes")

    def test_a_size_is_not_believed(self):
        """A hundred connections that promise 100 MiB each, and send nothing of it: they take no memory, and nobody waits for them."""
        wires = [self.connect() for _ in range(100)]
        for wire in wires:
            wire.send(struct.pack(">i", 100 << 20) + b"\0" * 1000)
        self.assert_serves()
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
            anonymous = next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))
        if not os.environ.get("WEIR_SANITIZE"):
            self.assertLess(anonymous, 100 << 10)

    def test_unknown_keys_and_versions(self):
        self.assert_closed(request(999, 0, b""), "API key 999 is not served")
        self.assert_closed(request(-1, 0, b""), "API key -1 is not served")
        self.assert_closed(request(METADATA, 99, b""), "Metadata version 99 is not served: 0 to 12 are")
        self.assert_closed(request(METADATA, -1, b""), "Metadata version -1 is not served")

    def test_bodies(self):
        self.assert_closed(request(METADATA, 1, b""), "Metadata version 1: the request ends early")
        self.assert_closed(request(METADATA, 1, struct.pack(">i", 2147483647)), "a count is larger than the request")
        self.assert_closed(request(METADATA, 1, struct.pack(">i", -2)), "a count is larger than the request")
        self.assert_closed(request(METADATA, 1, struct.pack(">ih", 1, 30000)), "the request ends early")
        self.assert_closed(request(METADATA, 1, struct.pack(">ih", 1, -1)), "null where there must be a value")
        self.assert_closed(request(METADATA, 9, b"\xff\xff\xff\xff\xff\xff", tags=b"\0"), "a number is over 32 bits")
        self.assert_closed(struct.pack(">ihhih", 10, METADATA, 1, 7, 500), "the header of a Metadata request")

    def test_newest_api_versions(self):
        """Of a version that is unknown the answer is error 35 in version 0, with the versions that there are."""
        wire = self.connect()
        wire.send(request(API_VERSIONS, 77, b"anything"))
        correlation, body = wire.response()
        self.assertEqual((correlation, body), (7, struct.pack(">hihhh", 35, 1, API_VERSIONS, 0, 4)))
        wire.send(request(API_VERSIONS, 0, b"", correlation=8))
        correlation, body = wire.response()
        self.assertEqual((correlation, body[:2]), (8, b"\0\0"))
        count, = struct.unpack(">i", body[2:6])
        entries = [struct.unpack(">hhh", body[6 + 6 * i:12 + 6 * i]) for i in range(count)]
        self.assertEqual(len(body), 6 + 6 * count)
        self.assertTrue(all(low <= high for _, low, high in entries))
        self.assertIn((METADATA, 0, 12), entries)

    def test_bad_names(self):
        wire = self.connect()
        names = [b"a b", b"..", b"x" * 250, b"zero\0byte", "ü".encode(), b"ok"]
        wire.send(request(METADATA, 1, struct.pack(">i", len(names)) + b"".join(map(string, names))))
        _, body = wire.response()
        self.assertEqual(body.count(struct.pack(">h", 17)), 5)
        self.assertNotIn(b"zero\0byte\0\0\0\0\0\1", body)

    def test_order_and_pipelining(self):
        """More requests in one go than a connection may have unanswered, byte by byte and at once: answered in order."""
        wire = self.connect()
        pipelined = b"".join(request(METADATA if i % 3 else API_VERSIONS, 0, struct.pack(">i", 0) if i % 3 else b"", correlation=i) for i in range(500))
        wire.send(pipelined)
        self.assertEqual([wire.response()[0] for _ in range(500)], list(range(500)))
        for byte in request(METADATA, 1, ALL_TOPICS_V1, correlation=501):
            wire.send(bytes([byte]))
        self.assertEqual(wire.response()[0], 501)

    def test_half_a_request(self):
        wire = self.connect()
        wire.send(request(METADATA, 1, ALL_TOPICS_V1)[:-1])
        wire.socket.close()
        self.assert_serves()
        while "it ended within a request" not in self.server.said():
            self.assert_serves()

    def test_a_client_that_does_not_read(self):
        """Its responses are not made while it has not taken those before; others are served, and a stop does not wait for it."""
        reader = self.connect()
        names = [b"t%03d" % i for i in range(200)]
        reader.send(request(METADATA, 1, struct.pack(">i", len(names)) + b"".join(map(string, names))))
        reader.response()
        wire = self.connect()
        wire.socket.setblocking(False)
        try:
            while True:
                wire.socket.send(b"".join(request(METADATA, 1, ALL_TOPICS_V1) for _ in range(50)))
        except BlockingIOError:
            pass
        self.assert_serves()
        self.assertEqual(self.server.stop(), 0)

    def test_many_connections_come_and_go(self):
        for _ in range(20):
            wires = [self.connect() for _ in range(50)]
            for wire in wires:
                wire.send(request(API_VERSIONS, 0, b""))
            for wire in wires[::2]:
                wire.response()
            for wire in wires:
                wire.socket.close()
        self.assert_serves()


class Limits(Case):
    flags = ("--connections", "5")

    def test_one_too_many(self):
        wires = [self.connect() for _ in range(5)]
        for wire in wires:
            wire.send(request(API_VERSIONS, 0, b""))
            wire.response()
        self.assertTrue(self.connect().is_closed())
        end = time.monotonic() + LIMIT_S
        while "there are as many connections as there may be" not in self.server.said():
            self.assertLess(time.monotonic(), end)
        wires[0].send(request(API_VERSIONS, 0, b"", correlation=3))
        self.assertEqual(wires[0].response()[0], 3)


class Command(unittest.TestCase):
    def serve(self, *words):
        done = subprocess.run([WEIR, "serve", "--data", "/nonexistent/data", *words], capture_output=True, text=True, timeout=LIMIT_S, env=environment())
        return done.returncode, done.stderr

    def test_addresses(self):
        for words, said in ((("--kafka", "0.0.0.0:9092"), "there is no authentication"), (("--kafka", "nowhere"), "--kafka is HOST:PORT"),
                            (("--kafka", "127.0.0.1:99999"), "--kafka is HOST:PORT"), (("--kafka", "example.org:1"), "numeric address"),
                            (("--kafka", "127.0.0.1:0", "--advertise", "x:0"), "--advertise is HOST:PORT")):
            code, stderr = self.serve(*words)
            self.assertEqual(code, 2, stderr)
            self.assertIn(said, stderr)


class Taken(Case):
    def test_the_port_is_taken(self):
        done = subprocess.run([WEIR, "serve", "--data", os.path.join(self.home, "other"), "--kafka", self.server.address], capture_output=True,
                              text=True, timeout=LIMIT_S, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn("address already in use", done.stderr)

    def test_both_signals_end_it_well(self):
        self.server.process.send_signal(signal.SIGINT)
        self.assertEqual(self.server.process.wait(LIMIT_S), 0)
        self.server.process.stdout.close()


if __name__ == "__main__":
    unittest.main()
