#!/usr/bin/env python3
"""TLS on the port of Kafka clients: real clients, certificates that are wrong, and handshakes that go nowhere."""
import hashlib
import os
import shutil
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from tls_files import Authority
from wire_server import LIMIT_S, PYTHON, WEIR, Case, Wire, environment, request, string

METADATA, API_VERSIONS = 3, 18
HALF_OPEN = 300


def can_import(module):
    return os.path.exists(PYTHON) and subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


class Tls(Case):
    client_ca = False

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="weir-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.ca = Authority(cls.folder)
        cls.certificate, cls.key = cls.ca.sign("server", "/CN=server")
        cls.flags = ("--tls-cert", cls.certificate, "--tls-key", cls.key) + (("--tls-client-ca", cls.ca.pem) if cls.client_ca else ())

    def kcat(self, *words, **options):
        return self.run_client("kcat", "-b", self.server.address, "-X", "security.protocol=SSL", "-X", f"ssl.ca.location={self.ca.pem}", *words, **options)

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.ca.pem)
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def secure(self, certificate=None):
        wire = self.connect()
        wire.socket = self.context(certificate).wrap_socket(wire.socket, server_hostname="127.0.0.1")
        self.addCleanup(wire.socket.close)
        return wire

    def wait_said(self, text):
        while text not in self.server.said():
            self.assertIsNone(self.server.process.poll())

    def assert_serves(self, certificate=None):
        wire = self.secure(certificate)
        wire.send(request(API_VERSIONS, 0, b"", correlation=99))
        self.assertEqual(wire.response()[0], 99)


class Clients(Tls):
    @unittest.skipUnless(shutil.which("kcat"), "kcat is not installed")
    def test_kcat(self):
        """Small records, and ones that are larger than a TLS record and than what is read at once."""
        small = "".join(f"{i}\n" for i in range(50000))
        self.kcat("-P", "-t", "small", stdin=small)
        self.assertEqual(self.kcat("-C", "-t", "small", "-o", "beginning", "-e", "-q"), small)
        large = "".join(hashlib.sha256(str(i).encode()).hexdigest() * 12000 + "\n" for i in range(5))
        self.kcat("-P", "-t", "large", stdin=large)
        self.assertEqual(self.kcat("-C", "-t", "large", "-o", "beginning", "-e", "-q"), large)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.server.said(), "")

    @unittest.skipUnless(can_import("confluent_kafka"), "python3-confluent-kafka is not installed")
    def test_confluent_kafka(self):
        script = """
import sys
from confluent_kafka import Consumer, Producer
secure = {"bootstrap.servers": sys.argv[1], "security.protocol": "SSL", "ssl.ca.location": sys.argv[2]}
producer = Producer(secure)
for i in range(100): producer.produce("t", b"%d" % i)
assert producer.flush(60) == 0
consumer = Consumer({**secure, "group.id": "g", "auto.offset.reset": "earliest"})
consumer.subscribe(["t"])
got = []
while len(got) < 100: got += [m.value() for m in consumer.consume(100, 1)]
consumer.close()
assert got == [b"%d" % i for i in range(100)], got
"""
        self.run_client(PYTHON, "-c", script, self.server.address, self.ca.pem)

    @unittest.skipUnless(can_import("kafka"), "python3-kafka is not installed")
    def test_kafka_python(self):
        script = """
import sys
from kafka import KafkaConsumer, KafkaProducer
secure = {"bootstrap_servers": sys.argv[1], "security_protocol": "SSL", "ssl_cafile": sys.argv[2], "api_version_auto_timeout_ms": 100000}
producer = KafkaProducer(**secure)
for i in range(100): producer.send("t", b"%d" % i)
producer.flush(60)
got = [m.value for _, m in zip(range(100), KafkaConsumer("t", auto_offset_reset="earliest", **secure))]
assert got == [b"%d" % i for i in range(100)], got
"""
        self.run_client(PYTHON, "-c", script, self.server.address, self.ca.pem)

    def test_requests_in_order(self):
        """Many requests in one piece, then one byte in each TLS record."""
        wire = self.secure()
        wire.send(b"".join(request(METADATA, 1, struct.pack(">i", 1) + string(b"t%d" % i), correlation=i) for i in range(400)))
        self.assertEqual([wire.response()[0] for _ in range(400)], list(range(400)))
        for byte in request(API_VERSIONS, 0, b"", correlation=500):
            wire.send(bytes([byte]))
        self.assertEqual(wire.response()[0], 500)

    def test_byte_by_byte(self):
        """The handshake and a request, each byte of TLS alone."""
        wire, into, out = self.connect(), ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context().wrap_bio(into, out, server_hostname="127.0.0.1")

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    for byte in out.read():
                        wire.send(bytes([byte]))
                    into.write(wire.socket.recv(16384))

        until_done(client.do_handshake)
        client.write(request(API_VERSIONS, 0, b"", correlation=5))
        answer = until_done(lambda: client.read(8))
        self.assertEqual(answer[4:8], struct.pack(">i", 5))

    def test_a_plain_client(self):
        wire = self.connect()
        wire.send(request(API_VERSIONS, 0, b""))
        self.assertTrue(wire.is_closed())
        self.wait_said("it does not speak TLS, and this port does")
        self.assert_serves()

    def test_noise(self):
        """What begins like a handshake, and what comes after a good one and is no record."""
        wire = self.connect()
        wire.send(b"\x16\x03\x01\x02\x00" + bytes(range(256)) * 2)
        while wire.socket.recv(4096):
            pass
        wire = self.secure()
        wire.send(request(API_VERSIONS, 0, b""))
        wire.response()
        os.write(wire.socket.fileno(), b"\x17\x03\x03\x00\x40" + bytes(64))
        with self.assertRaises((ssl.SSLError, EOFError, ConnectionResetError)):
            wire.read(1)
        self.wait_said("TLS failed: ")
        self.assert_serves()

    def test_an_old_version(self):
        done = subprocess.run(["openssl", "s_client", "-connect", self.server.address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_S)
        self.assertIn("alert protocol version", done.stdout + done.stderr)

    def test_handshakes_that_go_nowhere(self):
        """Nothing, half a hello, a whole one: others are served, memory stays small, and they are cut off in time."""
        hello = ssl.MemoryBIO()
        client = self.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = hello.read()
        self.assert_serves()
        before = self.resident_bytes()
        wires = [self.connect() for _ in range(HALF_OPEN)]
        for i, wire in enumerate(wires):
            wire.send((b"", hello[:100], hello)[i % 3])
        self.assert_serves()
        if not os.environ.get("WEIR_SANITIZE"):  # they keep a book of every block
            self.assertLess(self.resident_bytes() - before, HALF_OPEN * 100000)
        for wire in wires:
            while not wire.is_closed():
                pass
        self.wait_said("the TLS handshake was not over in time")
        self.assert_serves()

    def resident_bytes(self):
        with open(f"/proc/{self.server.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Reload(Tls):
    """SIGHUP: new connections get the certificate that is in the files now; what cannot be used changes nothing; who is connected notices nothing."""

    def setUp(self):
        super().setUp()
        self.files = [self.ca.path("reloaded.pem"), self.ca.path("reloaded.key")]
        self.put(self.certificate, self.key)
        self.flags = ("--tls-cert", self.files[0], "--tls-key", self.files[1])
        self.data += "-reloaded"
        self.server = self.start()

    def put(self, *sources):
        for source, file in zip(sources, self.files):
            shutil.copy(source, file)

    def shown(self):
        """The certificate that a new connection gets."""
        return self.secure().socket.getpeercert()["serialNumber"]

    def hang_up(self, said):
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + LIMIT_S
        while said not in self.server.said():
            self.assertIsNone(self.server.process.poll())
            self.assertLess(time.monotonic(), end)

    def test_it_is_read_again(self):
        old, first = self.secure(), self.shown()
        other = self.ca.sign("second", "/CN=server")
        self.put(*other)
        self.assertEqual(self.shown(), first)
        self.hang_up("new connections get the certificate that is in")
        second = self.shown()
        self.assertNotEqual(second, first)
        self.put(self.certificate)  # with the other's key
        self.hang_up("reloaded.key: ")
        self.assertEqual(self.shown(), second)
        os.unlink(self.files[0])
        self.hang_up("No such file")
        self.assertEqual(self.shown(), second)
        old.send(request(API_VERSIONS, 0, b""))
        old.response()
        self.assertEqual(self.server.stop(), 0)


class Certificates(Tls):
    client_ca = True

    def refused(self, certificate, why):
        """TLS 1.3 tells a client only when it reads that its certificate is refused."""
        with self.assertRaises((ssl.SSLError, EOFError, ConnectionResetError, BrokenPipeError)):
            wire = self.secure(certificate)
            wire.send(request(API_VERSIONS, 0, b""))
            wire.response()
        self.wait_said(why)

    def test_of_clients(self):
        good = self.ca.sign("client", "/O=shop/CN=app")
        self.assert_serves(good)
        self.refused(None, "it showed no certificate, and every client must")
        self.refused(self.ca.sign("expired", "/CN=late", days=-1), "its certificate is refused: certificate has expired")
        stranger = Authority(self.folder, "stranger").sign("forged", "/O=shop/CN=app")
        self.refused(stranger, "its certificate is refused: ")
        self.assert_serves(good)

    @unittest.skipUnless(shutil.which("kcat"), "kcat is not installed")
    def test_kcat(self):
        pem, key = self.ca.sign("client", "/CN=app")
        own = ("-X", f"ssl.certificate.location={pem}", "-X", f"ssl.key.location={key}")
        self.kcat("-P", "-t", "t", *own, stdin="a\nb\n")
        self.assertEqual(self.kcat("-C", "-t", "t", "-o", "beginning", "-e", "-q", *own), "a\nb\n")


class Plain(Case):
    def test_a_client_with_tls(self):
        wire = self.connect()
        with self.assertRaises((ssl.SSLError, OSError)):
            ssl.create_default_context().wrap_socket(wire.socket, server_hostname="127.0.0.1")
        while "it speaks TLS, and this port does not" not in self.server.said():
            pass


class Command(Tls):
    def serve(self, *words):
        done = subprocess.run([WEIR, "serve", "--data", self.data + "2", "--kafka", "127.0.0.1:0", *words], capture_output=True, text=True,
                              timeout=LIMIT_S, env=environment())
        return done.returncode, done.stderr

    def test_files(self):
        """What cannot work is said before anything listens."""
        other, other_key = self.ca.sign("other", "/CN=other")
        locked = self.ca.path("locked.key")
        subprocess.run(["openssl", "ec", "-in", self.key, "-aes128", "-passout", "pass:secret", "-out", locked], check=True, capture_output=True)
        for words, said in (
                (("--tls-cert", self.certificate), "--tls-cert and --tls-key go together"),
                (("--tls-client-ca", self.ca.pem), "--tls-client-ca needs --tls-cert"),
                (("--tls-cert", "/nowhere", "--tls-key", self.key), "the certificate /nowhere: No such file"),
                (("--tls-cert", self.key, "--tls-key", self.key), "the certificate " + self.key),
                (("--tls-cert", self.certificate, "--tls-key", other_key), other_key),
                (("--tls-cert", self.certificate, "--tls-key", locked), "the private key " + locked),
                (("--tls-cert", other, "--tls-key", other_key, "--tls-client-ca", "/nowhere"), "the client CA /nowhere: No such file")):
            got, stderr = self.serve(*words)
            self.assertEqual(got, 2, stderr)
            self.assertIn(said, stderr)


if __name__ == "__main__":
    unittest.main()
