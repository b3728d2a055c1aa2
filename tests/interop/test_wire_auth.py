#!/usr/bin/env python3
"""Users of weir serve: every mechanism by real clients and by hand (SCRAM's arithmetic is Python's hashlib here), wrong passwords, what may be asked before, sessions that
end, users over the wire."""
import base64
import hashlib
import hmac
import os
import pty
import random
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from tls_files import Authority
from wire_server import LIMIT_S, PYTHON, WEIR, Case, Server, Server, environment, request, string

METADATA, HANDSHAKE, API_VERSIONS, AUTHENTICATE, DESCRIBE_SCRAM, ALTER_SCRAM = 3, 17, 18, 36, 50, 51
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
ALL_TOPICS = struct.pack(">i", -1)
UNSUPPORTED, ILLEGAL_STATE, FAILED = 33, 34, 58


def can_import(module):
    return os.path.exists(PYTHON) and subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


def user(data, *words, stdin=None):
    done = subprocess.run([WEIR, "user", *words, "--data", data], input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
    return done.returncode, done.stdout, done.stderr


def plain(name, password, other=""):
    return "\0".join((other, name, password)).encode()


def setUpModule():
    """What takes 30 seconds begins before the other tests and is looked at behind them: half a request, and nothing more."""
    home = tempfile.mkdtemp(prefix="weir-late-")
    unittest.addModuleCleanup(shutil.rmtree, home)
    data = os.path.join(home, "data")
    assert user(data, "add", "alice", stdin="secret\n")[0] == 0
    Within30Seconds.server = Server(data)
    unittest.addModuleCleanup(Within30Seconds.server.end)
    Within30Seconds.stranger = socket.create_connection(("127.0.0.1", Within30Seconds.server.port), timeout=LIMIT_S)
    unittest.addModuleCleanup(Within30Seconds.stranger.close)
    Within30Seconds.stranger.sendall(b"\0")


class Scram:
    """A client's side."""

    def __init__(self, mechanism, name, password, header="n,,"):
        self.hash, self.password, self.header = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism], password.encode(), header
        self.nonce = base64.b64encode(random.randbytes(18)).decode()
        self.bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"

    def hmac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def first(self):
        return (self.header + self.bare).encode()

    def last(self, server_first):
        fields = dict(field.split("=", 1) for field in server_first.decode().split(","))
        assert fields["r"].startswith(self.nonce) and int(fields["i"]) >= 4096, fields
        self.salt, self.iterations = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, self.salt, self.iterations)
        key = self.hmac(salted, b"Client Key")
        bare = f"c={base64.b64encode(self.header.encode()).decode()},r={fields['r']}"
        message = ",".join((self.bare, server_first.decode(), bare)).encode()
        signature = self.hmac(hashlib.new(self.hash, key).digest(), message)
        self.expected = b"v=" + base64.b64encode(self.hmac(self.hmac(salted, b"Server Key"), message))
        return (bare + ",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()).encode()


class Users(Case):
    users = {"alice": "secret", "b,o=b": "pa,ss=wört"}

    def start(self):
        for name, password in self.users.items():
            if name not in user(self.data, "list")[1].split("\n"):
                self.assertEqual(user(self.data, "add", name, stdin=password + "\n")[0], 0)
        return super().start()

    def wait_said(self, text):
        while text not in self.server.said():
            self.assertIsNone(self.server.process.poll())

    def handshake(self, wire, mechanism, version=1):
        wire.send(request(HANDSHAKE, version, string(mechanism.encode())))
        _, body = wire.response()
        return struct.unpack(">h", body[:2])[0], [name for name in MECHANISMS if string(name.encode()) in body[6:]]

    def authenticate(self, wire, token, version=1):
        """The error, the message and the server's token, and how long the session lasts."""
        wire.send(request(AUTHENTICATE, version, struct.pack(">i", len(token)) + token))
        _, body = wire.response()
        error, size = struct.unpack(">hh", body[:4])
        at = 4 + max(size, 0)
        length, = struct.unpack(">i", body[at:at + 4])
        rest = body[at + 4 + length:]
        return error, body[4:at].decode(), body[at + 4:at + 4 + length], struct.unpack(">q", rest)[0] if rest else None

    def log_in(self, wire, name="alice", password="secret", mechanism="SCRAM-SHA-256"):
        self.assertEqual(self.handshake(wire, mechanism)[0], 0)
        if mechanism == "PLAIN":
            return self.authenticate(wire, plain(name, password))
        scram = Scram(mechanism, name, password)
        error, message, first, _ = self.authenticate(wire, scram.first())
        self.assertEqual((error, message), (0, ""))
        answer = self.authenticate(wire, scram.last(first))
        if answer[0] == 0:
            self.assertEqual(answer[2], scram.expected)
        return answer

    def assert_serves(self, wire):
        wire.send(request(METADATA, 1, ALL_TOPICS, correlation=77))
        self.assertEqual(wire.response()[0], 77)


class Exchange(Users):
    def test_right(self):
        for mechanism in MECHANISMS:
            for name, password in self.users.items():
                wire = self.connect()
                self.assertEqual(self.log_in(wire, name, password, mechanism)[0], 0, (mechanism, name))
                self.assert_serves(wire)

    def test_wrong(self):
        """Whoever it is that is wrong, and whatever, the answer is the same, and then the connection ends."""
        said = set()
        for mechanism in MECHANISMS:
            for name, password in (("alice", "Secret"), ("alice", "secret "), ("nobody", "secret"), ("b,o=b", "secret")):
                wire = self.connect()
                error, message, token, _ = self.log_in(wire, name, password, mechanism)
                said.add((error, message, token))
                self.assertTrue(wire.is_closed())
                self.wait_said(f"{mechanism} of user '{name}' failed: wrong user name or password")
        self.assertEqual(said, {(FAILED, "Authentication failed: wrong user name or password", b"")})

    def test_names_that_a_terminal_would_obey(self):
        for name in (b"a\x1b[2J", "a\u009b2J".encode(), b"a\x9b2J\xff"):
            wire = self.connect()
            self.handshake(wire, "PLAIN")
            self.assertEqual(self.authenticate(wire, b"\0" + name + b"\0secret")[0], FAILED)
            self.assertTrue(wire.is_closed())
        for shown in ("a?[2J", "a??2J", "a?2J?"):
            self.wait_said(f"PLAIN of user '{shown}' failed: wrong user name or password")

    def test_nobody_looks_like_somebody(self):
        """The salt of a user that does not exist is the same each time, after a restart, too."""
        def salt(name):
            wire, scram = self.connect(), Scram("SCRAM-SHA-512", name, "x")
            self.handshake(wire, "SCRAM-SHA-512")
            scram.last(self.authenticate(wire, scram.first())[2])
            return scram.salt, scram.iterations

        before = [salt(name) for name in ("nobody", "alice", "other")]
        self.assertEqual(len({one[0] for one in before}), 3)
        self.assertEqual({(len(one), count) for one, count in before}, {(24, 4096)})
        self.assertEqual(self.server.stop(), 0)
        self.server = self.start()
        self.assertEqual([salt(name) for name in ("nobody", "alice", "other")], before)

    def test_before(self):
        """What may be asked by who has not said who it is."""
        wire = self.connect()
        wire.send(request(API_VERSIONS, 0, b""))
        self.assertEqual(wire.response()[1][:2], b"\0\0")
        wire.send(request(METADATA, 1, ALL_TOPICS))
        self.assertTrue(wire.is_closed())
        self.wait_said("it did not authenticate")
        # In the middle, and with the right words behind it in one piece.
        wire = self.connect()
        self.handshake(wire, "PLAIN")
        token = plain("alice", "secret")
        wire.send(request(METADATA, 1, ALL_TOPICS) + request(AUTHENTICATE, 1, struct.pack(">i", len(token)) + token))
        self.assertTrue(wire.is_closed())
        wire = self.connect()
        wire.send(struct.pack(">i", 20000) + bytes(20000))
        self.assertTrue(wire.is_closed())
        self.wait_said("a request of 20000 bytes: 8 to 16384 are taken")

    def test_pipelined(self):
        wire, token = self.connect(), plain("alice", "secret")
        wire.send(request(API_VERSIONS, 0, b"", correlation=1) + request(HANDSHAKE, 1, string(b"PLAIN"), correlation=2) +
                  request(AUTHENTICATE, 0, struct.pack(">i", len(token)) + token, correlation=3) + request(METADATA, 1, ALL_TOPICS, correlation=4))
        self.assertEqual([wire.response()[0] for _ in range(4)], [1, 2, 3, 4])

    def test_order(self):
        wire = self.connect()
        self.assertEqual(self.authenticate(wire, plain("alice", "secret"))[0], ILLEGAL_STATE)
        self.assertTrue(wire.is_closed())
        wire = self.connect()
        self.handshake(wire, "PLAIN")
        self.assertEqual(self.handshake(wire, "PLAIN")[0], ILLEGAL_STATE)
        self.assertTrue(wire.is_closed())
        wire = self.connect()
        self.assertEqual(self.handshake(wire, "GSSAPI"), (UNSUPPORTED, list(MECHANISMS)))
        self.assertTrue(wire.is_closed())

    def test_tokens_that_make_no_sense(self):
        for mechanism, token in [("PLAIN", t) for t in (b"", b"alice", b"\0alice", b"\0alice\0", b"\0\0secret", b"\0alice\0secret\0", b"bob\0alice\0secret",
                                                        b"\0" + b"x" * 5000 + b"\0secret")] + \
                [("SCRAM-SHA-256", t) for t in (b"", b"n", b"n,,", b"n,,n=alice", b"p=tls-unique,,n=alice,r=x", b"n,a=bob,n=alice,r=x", bytes(range(256)))]:
            wire = self.connect()
            self.handshake(wire, mechanism)
            self.assertEqual(self.authenticate(wire, token)[0], FAILED, (mechanism, token))
            self.assertTrue(wire.is_closed())

    def test_drawn_tokens(self):
        """Right messages with something changed never authenticate; the seed is printed."""
        seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
        draw = random.Random(seed)
        for _ in range(40):
            mechanism = draw.choice(MECHANISMS[1:])
            wire, scram = self.connect(), Scram(mechanism, "alice", "secret")
            self.handshake(wire, mechanism)
            last = bytearray(scram.last(self.authenticate(wire, scram.first())[2]))
            at = draw.randrange(len(last))
            last[at:at + 1] = draw.choice((b"", bytes([last[at] ^ 1 << draw.randrange(8)])))
            self.assertEqual(self.authenticate(wire, bytes(last))[0], FAILED, f"SEED={seed}")

    def test_raw_tokens(self):
        """After version 0 of SaslHandshake tokens have a size and nothing else."""
        def token(wire, data):
            wire.send(struct.pack(">i", len(data)) + data)
            return wire.read(struct.unpack(">i", wire.read(4))[0])

        wire = self.connect()
        self.assertEqual(self.handshake(wire, "PLAIN", 0)[0], 0)
        self.assertEqual(token(wire, plain("alice", "secret", "alice")), b"")
        self.assert_serves(wire)
        wire, scram = self.connect(), Scram("SCRAM-SHA-512", "alice", "secret")
        self.handshake(wire, "SCRAM-SHA-512", 0)
        self.assertEqual(token(wire, scram.last(token(wire, scram.first()))), scram.expected)
        self.assert_serves(wire)
        for data in (plain("alice", "wrong"), b"x"):
            wire = self.connect()
            self.handshake(wire, "PLAIN", 0)
            wire.send(struct.pack(">i", len(data)) + data)
            self.assertTrue(wire.is_closed())
        wire = self.connect()
        self.handshake(wire, "PLAIN", 0)
        wire.send(struct.pack(">i", 0))
        self.assertTrue(wire.is_closed())

    def test_sessions(self):
        self.assertEqual(self.log_in(self.connect())[3], 0)

    def test_a_flood_of_guesses(self):
        """Each waits for its answer, and nobody else does."""
        wires = [self.connect() for _ in range(100)]
        token = plain("alice", "guess")
        for wire in wires:
            wire.send(request(HANDSHAKE, 1, string(b"PLAIN")) + request(AUTHENTICATE, 1, struct.pack(">i", len(token)) + token))
        good = self.connect()
        self.assertEqual(self.log_in(good)[0], 0)
        self.assert_serves(good)
        for wire in wires:
            wire.response()
            self.assertEqual(wire.response()[1][:2], struct.pack(">h", FAILED))
            self.assertTrue(wire.is_closed())


class Lifetime(Users):
    flags = ("--session-lifetime", "4000")

    def test_it_ends(self):
        """Who authenticates again in time stays; who does not is closed at the next request."""
        stays, goes = self.connect(), self.connect()
        for wire in (stays, goes):
            self.assertEqual(self.log_in(wire)[3], 4000)
        until = time.monotonic() + 4.1
        self.assertEqual(self.log_in(stays, mechanism="SCRAM-SHA-256")[0], 0)
        while time.monotonic() < until:
            self.assertEqual(self.log_in(stays)[0], 0)
            time.sleep(0.3)
        self.assert_serves(stays)
        goes.send(request(METADATA, 1, ALL_TOPICS))
        self.assertTrue(goes.is_closed())
        self.wait_said("its session is over, and it did not authenticate again")

    def test_it_stays_who_it_is(self):
        wire = self.connect()
        self.log_in(wire)
        self.assertEqual(self.handshake(wire, "SCRAM-SHA-512")[0], ILLEGAL_STATE)
        wire = self.connect()
        self.log_in(wire)
        self.assertEqual(self.log_in(wire, "b,o=b", self.users["b,o=b"])[:2], (FAILED, "A session cannot become another user's"))
        self.assertTrue(wire.is_closed())


class Clients(Users):
    def flags_of(self, mechanism, password="secret"):
        return ("-X", "security.protocol=SASL_PLAINTEXT", "-X", f"sasl.mechanisms={mechanism}", "-X", "sasl.username=alice", "-X", f"sasl.password={password}")

    @unittest.skipUnless(shutil.which("kcat"), "kcat is not installed")
    def test_kcat(self):
        for mechanism in MECHANISMS:
            self.run_client("kcat", "-P", "-b", self.server.address, "-t", mechanism, *self.flags_of(mechanism), stdin="a\nb\n")
            self.assertEqual(self.run_client("kcat", "-C", "-b", self.server.address, "-t", mechanism, "-o", "beginning", "-e", "-q",
                                             *self.flags_of(mechanism)), "a\nb\n")
            done = subprocess.run(["kcat", "-P", "-b", self.server.address, "-t", "t", *self.flags_of(mechanism, "wrong")], input="x", capture_output=True,
                                  text=True, timeout=LIMIT_S)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("Authentication failed: wrong user name or password", done.stderr)

    @unittest.skipUnless(can_import("confluent_kafka"), "python3-confluent-kafka is not installed")
    def test_confluent_kafka(self):
        script = """
import sys
from confluent_kafka import Consumer, Producer
for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
    own = {"bootstrap.servers": sys.argv[1], "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.username": "alice", "sasl.password": "secret"}
    producer = Producer(own)
    producer.produce(mechanism, b"x")
    assert producer.flush(60) == 0
    consumer = Consumer({**own, "group.id": "g" + mechanism, "auto.offset.reset": "earliest"})
    consumer.subscribe([mechanism])
    got = []
    while not got: got = consumer.consume(1, 1)
    assert got[0].value() == b"x"
    consumer.close()
"""
        self.run_client(PYTHON, "-c", script, self.server.address)

    @unittest.skipUnless(can_import("kafka"), "python3-kafka is not installed")
    def test_kafka_python(self):
        script = """
import sys
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import AuthenticationFailedError, KafkaError
for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
    own = dict(bootstrap_servers=sys.argv[1], security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, sasl_plain_username="alice", sasl_plain_password="secret")
    patient = {**own, "api_version_auto_timeout_ms": 100000}
    producer = KafkaProducer(**patient)
    producer.send(mechanism, b"x").get(60)
    got = [m.value for _, m in zip(range(1), KafkaConsumer(mechanism, auto_offset_reset="earliest", **patient))]
    assert got == [b"x"], got
    try:
        KafkaProducer(**{**own, "sasl_plain_password": "wrong"})
        raise SystemExit("a wrong password was right")
    except KafkaError as error:
        pass
"""
        self.run_client(PYTHON, "-c", script, self.server.address)


class Secure(Users):
    """SASL inside TLS."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="weir-auth-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.ca = Authority(cls.folder)
        certificate, key = cls.ca.sign("server", "/CN=server")
        cls.flags = ("--tls-cert", certificate, "--tls-key", key, "--auth")

    @unittest.skipUnless(shutil.which("kcat"), "kcat is not installed")
    def test_kcat(self):
        for mechanism in MECHANISMS:
            own = ("-X", "security.protocol=SASL_SSL", "-X", f"ssl.ca.location={self.ca.pem}", "-X", f"sasl.mechanisms={mechanism}", "-X", "sasl.username=alice")
            self.run_client("kcat", "-P", "-b", self.server.address, "-t", "t", *own, "-X", "sasl.password=secret", stdin=mechanism)
            done = subprocess.run(["kcat", "-P", "-b", self.server.address, "-t", "t", *own, "-X", "sasl.password=wrong"], input="x", capture_output=True,
                                  text=True, timeout=LIMIT_S)
            self.assertIn("Authentication failed: wrong user name or password", done.stderr)
        self.assertEqual(self.run_client("kcat", "-C", "-b", self.server.address, "-t", "t", "-o", "beginning", "-e", "-q", *own, "-X", "sasl.password=secret"),
                         "".join(f"{mechanism}\n" for mechanism in MECHANISMS))


class Wire(Users):
    """Users over the wire: flexible versions, so that lengths and counts are one more than they are."""

    def alter(self, wire, deletions=(), upsertions=()):
        body = bytes([len(deletions) + 1]) + b"".join(self.compact(n) + bytes([m, 0]) for n, m in deletions) + bytes([len(upsertions) + 1])
        for name, mechanism, iterations, salt, salted in upsertions:
            body += self.compact(name) + struct.pack(">bi", mechanism, iterations) + self.compact(salt) + self.compact(salted) + b"\0"
        wire.send(request(ALTER_SCRAM, 0, body + b"\0", tags=b"\0"))
        _, body = wire.response()
        self.assertEqual(body[:5], bytes(5))
        at, results = 6, {}
        for _ in range(body[5] - 1):
            size = body[at] - 1
            name = body[at + 1:at + 1 + size].decode()
            at += 1 + size
            results[name], = struct.unpack(">h", body[at:at + 2])
            at += 2 + 1 + max(body[at + 2] - 1, 0) + 1
        self.assertEqual(body[at:], b"\0")
        return results

    @staticmethod
    def compact(data):
        data = data.encode() if isinstance(data, str) else data
        return bytes([len(data) + 1]) + data

    def describe(self, wire, *names, everybody=b"\0"):
        body = bytes([len(names) + 1]) + b"".join(self.compact(n) + b"\0" for n in names) if names else everybody
        wire.send(request(DESCRIBE_SCRAM, 0, body + b"\0", tags=b"\0"))
        _, body = wire.response()
        self.assertEqual(body[:8], bytes(8))
        at, results = 9, {}
        for _ in range(body[8] - 1):
            size = body[at] - 1
            name = body[at + 1:at + 1 + size].decode()
            at += 1 + size
            error, = struct.unpack(">h", body[at:at + 2])
            at += 2 + 1 + max(body[at + 2] - 1, 0)
            credentials = [struct.unpack(">bi", body[at + 1 + 6 * i:at + 6 + 6 * i]) for i in range(body[at] - 1)]
            at += 1 + 6 * len(credentials) + 1
            results[name] = (error, credentials)
        self.assertEqual(body[at:], b"\0")
        return results

    def test_life(self):
        wire = self.connect()
        self.log_in(wire)
        both = (0, [(1, 4096), (2, 4096)])
        self.assertEqual(self.describe(wire), {"alice": both, "b,o=b": both})
        self.assertEqual(self.describe(wire, everybody=b"\1"), {"alice": both, "b,o=b": both}) # an empty list, as kafka-configs says it
        salted = hashlib.pbkdf2_hmac("sha512", b"fresh", b"saltsalt", 5000)
        self.assertEqual(self.alter(wire, [], [("carol", 2, 5000, b"saltsalt", salted)]), {"carol": 0})
        self.assertEqual(self.describe(wire, "carol", "nobody", "alice", "alice"), {"alice": (92, []), "carol": (0, [(2, 5000)]), "nobody": (91, [])})
        for mechanism, error in (("SCRAM-SHA-512", 0), ("PLAIN", 0), ("SCRAM-SHA-256", FAILED)):
            self.assertEqual(self.log_in(self.connect(), "carol", "fresh", mechanism)[0], error)
        self.assertEqual(self.alter(wire, [("carol", 2), ("alice", 1)]), {"alice": 0, "carol": 0})
        self.assertEqual(self.describe(wire), {"alice": (0, [(2, 4096)]), "b,o=b": both})
        self.assertEqual(self.log_in(self.connect(), "carol", "fresh", "SCRAM-SHA-512")[0], FAILED)
        # After a restart, too.
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(user(self.data, "list")[1], "alice\nb,o=b\n")

    def test_errors(self):
        wire = self.connect()
        self.log_in(wire)
        good = bytes(32)
        for deletions, upsertions, expected in (
                ([("alice", 3)], [], {"alice": 33}), ([("nobody", 1)], [], {"nobody": 91}), ([("alice", 1), ("alice", 1)], [], {"alice": 92}),
                ([], [("x", 1, 4095, b"s", good)], {"x": 93}), ([], [("x", 1, 16385, b"s", good)], {"x": 93}), ([], [("x", 1, 4096, b"", good)], {"x": 93}),
                ([], [("x", 1, 4096, b"s", good + b"\0")], {"x": 93}), ([], [("", 1, 4096, b"s", good)], {"": 93}), ([], [("a:b", 1, 4096, b"s", good)], {"a:b": 93}),
                ([("alice", 1)], [("alice", 1, 4096, b"s", good), ("b,o=b", 9, 4096, b"s", good)], {"alice": 92, "b,o=b": 33})):
            self.assertEqual(self.alter(wire, deletions, upsertions), expected)
        both = (0, [(1, 4096), (2, 4096)])
        self.assertEqual(self.describe(wire), {"alice": both, "b,o=b": both})


class Internal(Case):
    """A topic that a job made for itself is not written to from outside, by records or by a transaction."""

    @unittest.skipUnless(can_import("confluent_kafka"), "python3-confluent-kafka is not installed")
    def test_internal(self):
        self.assertEqual(self.server.stop(), 0)
        for name in ("mine", "open"):
            subprocess.run([WEIR, "topic", "create", name, "--data", self.data] + (["--config", "weir.internal=true"] if name == "mine" else []), check=True,
                           env=environment())
        self.server = self.start()
        script = """
import sys
from confluent_kafka import KafkaException, Producer
said = {}
for name in ("mine", "open"):
    producer = Producer({"bootstrap.servers": sys.argv[1]})
    producer.produce(name, b"x", on_delivery=lambda error, message: said.update({message.topic(): error and error.code()}))
    assert producer.flush(60) == 0
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "t"})
producer.init_transactions(60)
producer.begin_transaction()
producer.produce("mine", b"x", on_delivery=lambda error, message: said.update(transaction=error is not None))
producer.flush(60)
try:
    producer.commit_transaction(60)
    said["committed"] = True
except KafkaException:
    pass
print(sorted(said.items()))
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "[('mine', 17), ('open', None), ('transaction', True)]\n")
        self.assertEqual(self.server.stop(), 0)
        done = subprocess.run([WEIR, "consume", "mine", "--until-end", "--uncommitted", "--data", self.data], capture_output=True, text=True, env=environment())
        self.assertEqual((done.returncode, done.stdout), (0, ""))


class Command(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-user-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data = os.path.join(self.home, "data")

    def test_user(self):
        self.assertEqual(user(self.data, "add", "alice", stdin="secret\nnot this\n"), (0, "", ""))
        code, _, stderr = user(self.data, "add", "alice", stdin="x\n")
        self.assertEqual((code, "there is a user alice" in stderr, "weir user password alice" in stderr), (1, True, True))
        path = os.path.join(self.home, "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("secret\r\n")
        self.assertEqual(user(self.data, "add", "bob", "--password-file", path, "--iterations", "8000")[0], 0)
        self.assertEqual(user(self.data, "list"), (0, "alice\nbob\n", ""))
        self.assertIn('{"user":"bob","mechanisms":[{"mechanism":"SCRAM-SHA-256","iterations":8000},', user(self.data, "list", "--format", "json")[1])
        self.assertEqual(user(self.data, "password", "bob", stdin="other")[0], 0)
        self.assertEqual(user(self.data, "delete", "alice"), (0, "", ""))
        self.assertEqual(user(self.data, "list")[1], "bob\n")
        for words, stdin, code, said in ((("add", "x"), "", 2, "there is no password"), (("add", "x"), "\n", 2, "there is no password"),
                                         (("add", "a:b"), "x", 2, "no ':'"), (("delete", "alice"), "", 1, "there is no user alice"),
                                         (("password", "alice"), "x", 1, "'weir user add alice'"), (("add", "x", "--iterations", "100"), "x", 2, "--iterations"),
                                         (("add", "x", "--password-file", "/nowhere"), "", 1, "cannot read /nowhere"), (("add", "x"), "x" * 1001, 2, "1 to 1000 bytes")):
            got, _, stderr = user(self.data, *words, stdin=stdin)
            self.assertEqual((got, said in stderr), (code, True), stderr)
        with open(os.path.join(self.data, "meta", "data.mdb"), "rb") as file:
            self.assertNotIn(b"secret", file.read())

    def test_terminal(self):
        """It asks twice, and shows nothing of the answers."""
        for answers, name, code, said in (("secret\nsecret\n", "u", 0, ""), ("wrong\x15secx\x7fü\bret\nsecret\n", "keys", 0, ""),
                                          ("secret\nSecret\n", "v", 2, "these are two passwords"), ("sec\3", "w", 130, "")):
            ours, theirs = pty.openpty()
            process = subprocess.Popen([WEIR, "user", "add", name, "--data", self.data], stdin=theirs, stderr=subprocess.PIPE, env=environment())
            stderr = b""
            for line in answers.splitlines(keepends=True):
                while stderr.count(b": ") == 0:
                    stderr += os.read(process.stderr.fileno(), 1000)
                os.write(ours, line.encode())
                if line.endswith("\n"):
                    rest = stderr.split(b": ", 1)[1]
                    stderr = rest
            stderr += process.stderr.read()
            self.assertEqual(process.wait(LIMIT_S), code, stderr)
            self.assertIn(said.encode(), stderr)
            os.set_blocking(ours, False)
            try:
                shown = os.read(ours, 1000)
            except (BlockingIOError, OSError):
                shown = b""
            self.assertNotIn(b"ecret", shown)
            process.stderr.close()
            os.close(ours)
            os.close(theirs)

    def test_serve(self):
        def serve(*words):
            done = subprocess.run([WEIR, "serve", "--data", self.data, "--kafka", "127.0.0.1:0", *words], capture_output=True, text=True, timeout=LIMIT_S,
                                  env=environment())
            return done.returncode, done.stderr

        for words, said in ((("--auth",), "has no users: nobody could connect"), (("--auth", "--no-auth"), "do not go together"),
                            (("--auth", "--kafka", "0.0.0.0:0"), "--tls-cert, --tls-key and --auth")):
            code, stderr = serve(*words)
            self.assertEqual((code, said in stderr), (2, True), stderr)


    def test_the_directory_is_its_owners(self):
        """A new one is; of one that everybody may look into it is said."""
        self.assertEqual(user(self.data, "add", "alice", stdin="secret\n")[0], 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.data).st_mode), 0o700)
        for mode, says in ((0o700, False), (0o755, True)):
            os.chmod(self.data, mode)
            server = Server(self.data)
            self.addCleanup(server.end)
            self.assertEqual(server.stop(), 0)
            self.assertEqual("everybody on this machine may look into it" in server.said(), says)
        self.assertEqual(stat.S_IMODE(os.stat(self.data).st_mode), 0o755)


class Open(Users):
    flags = ("--no-auth",)

    def test_nobody_is_asked(self):
        wire = self.connect()
        self.assert_serves(wire)
        self.assertEqual(self.log_in(wire)[0], 0)
        self.assert_serves(wire)


class Within30Seconds(unittest.TestCase):
    def test_half_a_request(self):
        """Its sender has not authenticated by then; the time for a request would be over later."""
        self.assertEqual(self.stranger.recv(1), b"")
        while "closed the connection" not in self.server.said():
            self.assertIsNone(self.server.process.poll())
        self.assertIn("it did not authenticate in time", self.server.said())


if __name__ == "__main__":
    unittest.main()
