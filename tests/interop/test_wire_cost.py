#!/usr/bin/python3
"""What clients cost that ask for nothing, and how long they wait for a server that starts: bounds that hold on a loaded machine. Figures: tests/bench/run.sh
wire-idle and wire-ready."""
import os
import resource
import ssl
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from confluent_kafka.admin import AdminClient, NewTopic
from tls_files import Authority
from wire_server import Case, request

CONNECTIONS, PARTITIONS = 400, 1000
API_VERSIONS, METADATA = request(18, 0, b""), request(3, 1, struct.pack(">i", -1))


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * 1024


class Idle(Case):
    """Memory of connections that have asked for ApiVersions and Metadata and wait."""

    def hold(self, count, context=None):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * count)), hard))
        held = []
        for _ in range(count):
            wire = self.connect()
            if context is not None:
                wire.socket = context.wrap_socket(wire.socket, server_hostname="127.0.0.1")
                self.addCleanup(wire.socket.close)
            for asked in (API_VERSIONS, METADATA):
                wire.send(asked)
                wire.response()
            held.append(wire)
        return held

    def bytes_each(self, context=None):
        self.hold(50, context)  # what is taken once is there
        before = rss_bytes(self.server.process.pid)
        self.hold(CONNECTIONS, context)
        return (rss_bytes(self.server.process.pid) - before) / CONNECTIONS

    def test_a_connection(self):
        self.assertLess(self.bytes_each(), 20_000)


class IdleTls(Idle):
    def setUp(self):
        self.authority = None
        super().setUp()

    def start(self, **how):
        self.authority = self.authority or Authority(self.home)
        certificate, key = self.authority.sign("server", "/CN=server")
        self.flags = ("--tls-cert", certificate, "--tls-key", key)
        return super().start(**how)

    def test_a_connection(self):
        self.assertLess(self.bytes_each(ssl.create_default_context(cafile=self.authority.pem)), 60_000)


class Ready(Case):
    """Twenty times what it takes on a machine with nothing else to do."""

    def test_a_thousand_partitions(self):
        admin = AdminClient({"bootstrap.servers": self.server.address})
        for future in admin.create_topics([NewTopic("many", PARTITIONS, 1)]).values():
            future.result()
        for end in (lambda: self.server.stop(), lambda: self.server.end()):
            took = []
            while not took or (took[-1] >= 2 and len(took) < 5):  # what others do meanwhile is not in all of them
                end()
                self.server.end()
                begin = time.monotonic()
                self.server = self.start()
                took.append(time.monotonic() - begin)
            self.assertLess(took[-1], 2, took)


if __name__ == "__main__":
    if os.environ.get("WEIR_SANITIZE"):
        print("skipped: memory and time are those of a build without sanitizers")
        sys.exit(77)
    unittest.main()
