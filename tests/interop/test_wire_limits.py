#!/usr/bin/env python3
"""What one client, or one address, may take of what all share: connections, descriptors, memory, time. Whoever takes more is refused, closed with a reason or waits; a client
that behaves, here always at 127.0.0.1, notices nothing of the others at 127.0.0.2 and further."""
import concurrent.futures
import os
import random
import resource
import select
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from kafka_files import crc32c
from wire_server import LIMIT_S, WEIR, Case, Wire, environment, request, string

PRODUCE, FETCH, METADATA, JOIN, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 0, 1, 3, 11, 17, 18, 36
SANITIZED = bool(os.environ.get("WEIR_SANITIZE"))
ANY_TOPICS = struct.pack(">i", 0)


def ask(wire, key=API_VERSIONS, version=0, body=b"", correlation=7):
    """Its response's body; and how long it took."""
    began = time.monotonic()
    wire.send(request(key, version, body, correlation=correlation))
    got, answer = wire.response()
    assert got == correlation, (got, correlation)
    return answer, time.monotonic() - began


def produce_body(records, topic=b"t"):
    """Produce version 3, acks 1, one partition."""
    return struct.pack(">hhi", -1, 1, 30000) + struct.pack(">i", 1) + string(topic) + struct.pack(">iii", 1, 0, len(records)) + records


class Limited(Case):
    def connect_from(self, host):
        wire = Wire.__new__(Wire)
        wire.socket = socket.socket()
        wire.socket.settimeout(LIMIT_S)
        wire.socket.bind((host, 0))
        wire.socket.connect(("127.0.0.1", self.server.port))
        self.addCleanup(wire.socket.close)
        return wire

    def make_topics(self):
        names = [b"topic-with-a-long-name-%03d" % i for i in range(300)]
        ask(self.connect(), METADATA, 1, struct.pack(">i", len(names)) + b"".join(map(string, names)))

    def ask_and_read_nothing(self, wire):
        """For as long as the server takes requests."""
        wire.socket.setblocking(False)
        try:
            while True:
                wire.socket.send(request(METADATA, 1, struct.pack(">i", -1)) * 50)
        except BlockingIOError:
            pass

    def memory(self, what):
        with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(what + ":")) << 10

    def wait_said(self, text):
        end = time.monotonic() + LIMIT_S
        while text not in self.server.said():
            self.assertIsNone(self.server.process.poll())
            self.assertLess(time.monotonic(), end, f"{text!r} is not in {self.server.said()!r}")


class Silence(Limited):
    def test_the_system_asks_for_the_client(self):
        """A client that is gone without a word, while its request waits: the connection has the kernel's timer for that (2 in the column tr)."""
        wire = self.connect()
        ask(wire)
        ends = f":{self.server.port:04X}", f":{wire.socket.getsockname()[1]:04X}"
        end, timer = time.monotonic() + LIMIT_S, None
        while timer != "02":
            self.assertLess(time.monotonic(), end, timer)
            with open("/proc/net/tcp", encoding="ascii") as file:
                for row in map(str.split, file):
                    if row[1].endswith(ends[0]) and row[2].endswith(ends[1]):
                        timer = row[5][:2]


class Addresses(Limited):
    flags = ("--connections", "20", "--connections-per-address", "3")

    def test_each_has_its_own(self):
        wires = [self.connect_from("127.0.0.2") for _ in range(3)]
        for wire in wires:
            ask(wire)
        self.assertTrue(self.connect_from("127.0.0.2").is_closed())
        self.wait_said("its address has as many connections as it may have")
        ask(self.connect_from("127.0.0.3"))
        wires[0].socket.close()
        for _ in range(1000):  # the server sees that it has gone
            again = self.connect_from("127.0.0.2")
            again.send(request(API_VERSIONS, 0, b""))
            if not again.is_closed():
                return
        self.fail("a connection that has gone still counts")


class Many(Limited):
    COUNT = 10000
    flags = ("--connections", str(COUNT + 1), "--connections-per-address", "2500")

    def start(self, **how):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = 2 * self.COUNT
        if hard != resource.RLIM_INFINITY and hard < needed:
            self.skipTest(f"{self.COUNT} connections need a limit of {needed} open files, and it is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        return super().start(**how)

    def test_ten_thousand(self):
        """Five thousand have asked for something and are idle, five thousand have not; one more client produces and is as quick as alone."""
        good = self.connect_from("127.0.0.1")
        ask(good, METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        wires = []
        for i in range(self.COUNT):
            wires.append(self.connect_from(f"127.0.0.{2 + i % 4}"))
            if i % 2:
                ask(wires[-1])
        self.assertTrue(self.connect_from("127.0.0.7").is_closed())
        self.wait_said("there are as many connections as there may be")
        times = sorted(ask(good, METADATA, 1, struct.pack(">i", 1) + string(b"t"), correlation=i)[1] for i in range(300))
        ask(wires[1])
        ask(wires[self.COUNT - 1])
        if not SANITIZED:
            self.assertLess(self.memory("VmRSS"), 100 << 20)
            self.assertLess(times[len(times) * 99 // 100], 1)
        self.assertEqual(self.server.stop(), 0)


class Descriptors(Limited):
    def test_none_is_left(self):
        """The listener outlives it, and so do those who are connected; there is room again when the limit is what it was."""
        good = self.connect()
        ask(good)
        pid = self.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 3, before[1]))
        wires = [self.connect_from("127.0.0.2") for _ in range(50)]
        closed = sum(wire.is_closed() for wire in wires[10:])
        self.assertEqual(closed, 40)
        ask(good)
        began, used = time.monotonic(), self.seconds_used()
        while time.monotonic() - began < 1:
            ask(good)
            time.sleep(0.02)  # how busy the server is beside this
        if not SANITIZED:
            self.assertLess(self.seconds_used() - used, 0.5)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        ask(self.connect())

    def seconds_used(self):
        with open(f"/proc/{self.server.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Memory(Limited):
    def test_an_address_does_not_take_all(self):
        """A hundred promises of 50 MiB from one address: another one's large request is read all the same, and nobody was cut off for it."""
        ask(self.connect(), METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        wires = [self.connect_from("127.0.0.2") for _ in range(100)]
        for wire in wires:
            wire.send(struct.pack(">i", 50 << 20) + b"\0" * 20000)
        answer, _ = ask(self.connect_from("127.0.0.3"), PRODUCE, 3, produce_body(b"x" * (60 << 20)))
        self.assertEqual(struct.unpack(">i", answer[:4])[0], 1)
        self.assertEqual(self.server.said(), "")

    def test_responses_that_nobody_takes(self):
        """Clients of one address that ask for much and read nothing: those of another one are answered."""
        self.make_topics()
        for _ in range(20):
            self.ask_and_read_nothing(self.connect_from("127.0.0.2"))
        answer, _ = ask(self.connect(), METADATA, 1, struct.pack(">i", -1))
        self.assertEqual(answer.count(b"topic-with-a-long-name-"), 300)
        if not SANITIZED:
            self.assertLess(self.memory("VmHWM"), 400 << 20)


def zigzag(number):
    number = number << 1 ^ number >> 63
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def batch(value_size):
    """One record."""
    record = b"\0\0\0" + zigzag(-1) + zigzag(value_size) + b"v" * value_size + zigzag(0)
    rest = struct.pack(">hiqqqhii", 0, 0, 1700000000000, 1700000000000, -1, -1, -1, 1) + zigzag(len(record)) + record
    return struct.pack(">qiib", 0, 9 + len(rest), -1, 2) + struct.pack(">I", crc32c(rest)) + rest


def fetch_body(offset, wait_ms, most=1 << 20):
    """Fetch version 4, one partition."""
    return struct.pack(">iiiibi", -1, wait_ms, 1, most, 0, 1) + string(b"t") + struct.pack(">iiqi", 1, 0, offset, most)


def join_body(group):
    """JoinGroup version 0, which waits for other members, or for nobody."""
    return string(group) + struct.pack(">i", 6000) + string(b"") + string(b"consumer") + struct.pack(">i", 1) + string(b"range") + struct.pack(">i", 0)


class Waiting(Limited):
    def test_who_waits_for_something_else_is_not_in_the_way(self):
        """Room for responses is there again; those of the same address that wait for room for their requests, which is not, keep nobody from it."""
        wire = self.connect()
        ask(wire, METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        large = produce_body(batch(1000000))
        for _ in range(55):
            ask(wire, PRODUCE, 3, large)
        while len(ask(wire, FETCH, 4, fetch_body(0, 100, 50 << 20))[0]) < 49 << 20:
            self.assertIsNone(self.server.process.poll()) # until all is flushed
        for host in ("127.0.0.2", "127.0.0.3"): # they promise three quarters of what there is
            self.connect_from(host).send(struct.pack(">i", 95 << 20) + b"\0" * 20000)
        slow = [self.connect() for _ in range(3)]
        for each in slow: # more than half of the other budget
            each.send(request(FETCH, 4, fetch_body(0, 0, 50 << 20)))
            select.select([each.socket], [], [], LIMIT_S)
        waiting = [self.connect() for _ in range(20)]
        for each in waiting:
            each.send(struct.pack(">i", 95 << 20) + b"\0" * 20000)
        wires = [self.connect() for _ in range(3)]
        for each in wires:
            each.send(request(API_VERSIONS, 0, b""))
        self.assertEqual(select.select([each.socket for each in wires], [], [], 1)[0], [])
        for each in slow:
            self.assertGreater(len(each.response()[1]), 49 << 20)
        began = time.monotonic()
        for each in wires:
            each.response()
        self.assertLess(time.monotonic() - began, 20)


class Aborted(Limited):
    """Connections that end at any moment: with a request half sent, at a worker, parked, or with its response half taken."""
    SECONDS, COUNT = 4, 100

    def setUp(self):
        super().setUp()
        ask(self.connect(), METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        self.begin = time.monotonic()
        self.count = self.answered = 0
        large = batch(300000)
        self.requests = [
            request(PRODUCE, 3, produce_body(batch(10))), request(PRODUCE, 3, produce_body(large)), request(PRODUCE, 3, produce_body(b"x" * 70000)),
            request(PRODUCE, 3, produce_body(batch(10))) * 20, request(FETCH, 4, fetch_body(0, 100)), request(FETCH, 4, fetch_body(1 << 40, 100)),
            request(FETCH, 4, fetch_body(0, 100)) * 30, request(FETCH, 4, fetch_body(100, 60000)), request(METADATA, 1, struct.pack(">i", -1)) * 40,
            request(JOIN, 0, join_body(b"g")), request(JOIN, 0, join_body(b"h")), request(PRODUCE, 3, produce_body(large)) * 3, b"\0\0\0\1",
            struct.pack(">i", 90 << 20) + b"\0" * 30000,
        ]

    def goes_on(self):
        """For some seconds, and on a slow machine until enough has happened."""
        seconds = time.monotonic() - self.begin
        return seconds < self.SECONDS or (seconds < LIMIT_S and min(self.count, self.answered) <= self.COUNT)

    def abort_many(self, seed):
        chance = random.Random(seed)
        while self.goes_on():
            wire = socket.socket()
            wire.settimeout(LIMIT_S)
            wire.bind((f"127.0.0.{2 + chance.randrange(4)}", 0))
            wire.connect(("127.0.0.1", self.server.port))
            try:
                for _ in range(chance.randrange(1, 5)):
                    data = chance.choice(self.requests)
                    wire.sendall(data[:chance.choice((len(data), chance.randrange(len(data)), len(data)))])
                    if chance.randrange(3) == 0 and select.select([wire], [], [], 0.05)[0]:
                        wire.recv(chance.choice((3, 5000, 1 << 20)))
            except (ConnectionError, socket.timeout):
                pass # of what it does not like, the server does not wait for the rest
            if chance.randrange(2) == 0:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
            self.count += 1

    def behave(self):
        """Whose responses come in order, and whose records are all there."""
        wire, last = self.connect_from("127.0.0.9"), -1
        kinds = [(PRODUCE, 3, produce_body(batch(20))), (METADATA, 1, struct.pack(">i", 1) + string(b"t")), (PRODUCE, 3, produce_body(batch(20))),
                 (FETCH, 4, fetch_body(0, 0)), (API_VERSIONS, 0, b""), (PRODUCE, 3, produce_body(batch(30)))]
        while self.goes_on():
            wire.send(b"".join(request(*kinds[i % 6], correlation=self.answered + i) for i in range(24)))
            for i in range(24):
                got, answer = wire.response()
                assert got == self.answered + i, (got, self.answered + i)
                if kinds[i % 6][0] == PRODUCE:
                    error, offset = struct.unpack(">hq", answer[15:25])
                    assert error == 0 and offset > last, (error, offset, last)
                    last = offset
            self.answered += 24

    def test_in_all_ways(self):
        """Who behaves notices nothing, and nothing stays booked: the server looks when the last connection of an address has ended."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            aborts = [pool.submit(self.abort_many, seed) for seed in range(6)]
            pool.submit(self.behave).result()
            for each in aborts:
                each.result()
        self.assertGreater(self.answered, self.COUNT)
        self.assertGreater(self.count, self.COUNT)
        for host in range(2, 6): # all of the budget is free for each
            answer, _ = ask(self.connect_from(f"127.0.0.{host}"), PRODUCE, 3, produce_body(b"x" * (95 << 20)))
            self.assertEqual(struct.unpack(">i", answer[:4])[0], 1)
        self.assertEqual(self.server.stop(), 0)


class Strangers(Limited):
    COUNT = 300
    flags = ("--handshake-timeout", "600000")  # a slow machine needs more than 30 s for all of them

    def start(self, **how):
        subprocess.run([WEIR, "user", "add", "alice", "--iterations", "16384", "--data", self.data], input="secret\n", text=True, check=True,
                       capture_output=True, env=environment())
        return super().start(**how)

    def log_in(self, wire, password):
        token = b"\0alice\0" + password
        wire.send(request(SASL_HANDSHAKE, 1, string(b"PLAIN")) + request(SASL_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token))

    def answered(self, wires):
        return len(select.select(wires, [], [], 0)[0])

    def test_passwords_wait_for_nobody_else(self):
        """Hundreds of guesses from one address, a second's work and more: who has logged in is answered, and who logs in from another address is let in, before half of them are through."""
        good, late = self.connect(), self.connect()
        self.log_in(good, b"secret")
        good.response(), good.response()
        wires = [self.connect_from("127.0.0.2") for _ in range(self.COUNT)]
        for wire in wires:
            wire.send(request(SASL_HANDSHAKE, 1, string(b"PLAIN")))
            wire.response()
        for wire in wires:
            token = b"\0alice\0guess"
            wire.send(request(SASL_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token))
        ask(good)
        self.log_in(late, b"secret")
        late.response()
        self.assertEqual(late.response()[1][:2], b"\0\0")
        self.assertLess(self.answered([wire.socket for wire in wires]), self.COUNT // 2)
        for wire in wires:
            self.assertEqual(wire.response()[1][:2], struct.pack(">h", 58))


class Times(Limited):
    flags = ("--idle-timeout", "1000", "--request-timeout", "1500", "--handshake-timeout", "700")

    def in_time(self):
        """A connection that has asked for something before the time for that was over; and how many had not, on a slow machine."""
        for late in range(LIMIT_S):
            wire = self.connect()
            try:
                ask(wire)
                return wire, late
            except (EOFError, ConnectionResetError, BrokenPipeError):
                pass
        return self.fail("no connection asks for anything in time")

    def test_silent(self):
        """One that connects and says nothing, and one that says something and then nothing."""
        began = time.monotonic()
        silent = self.connect()
        idle, late = self.in_time()
        while not silent.is_closed():
            pass
        self.assertGreater(time.monotonic() - began, 0.5)
        self.wait_said("it asked for nothing")
        while not idle.is_closed():
            pass
        self.assertEqual(self.server.said().count("closed the connection"), 1 + late)

    def test_slow_senders(self):
        """A byte from time to time does not make the time longer; one within the size, one within the request."""
        wires = [self.connect() for _ in range(2)]
        whole = request(METADATA, 1, ANY_TOPICS)
        wires[1].send(whole[:8])
        began, sent = time.monotonic(), 0
        for wire in wires:
            wire.socket.settimeout(0.1)
        open_ones = list(wires)
        while open_ones:
            for wire in list(open_ones):
                try:
                    if sent < 3:
                        wire.send(whole[sent:sent + 1] if wire is wires[0] else b"\0")
                    if wire.socket.recv(1) == b"":
                        open_ones.remove(wire)
                except socket.timeout:
                    pass
                except (ConnectionResetError, BrokenPipeError):
                    open_ones.remove(wire)
            sent += 1
            self.assertLess(time.monotonic() - began, LIMIT_S)
        self.assertGreater(time.monotonic() - began, 1.2)
        self.wait_said("a request did not arrive whole in time")

    def test_slow_readers(self):
        self.make_topics()
        self.ask_and_read_nothing(self.connect())
        self.wait_said("it does not take its responses")
        self.in_time()


class SlowLine(Limited):
    flags = ("--request-timeout", "3000")

    def test_a_large_response_on_a_slow_line(self):
        """It takes longer than the time for a response, and comes."""
        ask(self.connect(), METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        wire, count, size = self.connect(), 48, 1_000_000
        records = batch(size)
        for _ in range(count):
            answer, _ = ask(wire, PRODUCE, 3, produce_body(records))
            self.assertEqual(answer[11:13], b"\0\0")
        ask(wire, FETCH, 4, fetch_body(count - 1, 30000))              # until the last one is flushed
        wire.send(request(FETCH, 4, struct.pack(">iiiib", -1, 1000, 1, 60 << 20, 0) + struct.pack(">i", 1) + string(b"t") + struct.pack(">iiqi", 1, 0, 0, 60 << 20)))
        began, got, whole = time.monotonic(), 0, None
        while whole is None or got < whole:
            part = 0
            while part < 6_000_000 and (whole is None or got < whole):
                data = wire.socket.recv(1 << 20)
                self.assertTrue(data, self.server.said())
                if whole is None:
                    whole = 4 + int.from_bytes(data[:4], "big")
                got, part = got + len(data), part + len(data)
            select.select([], [], [], 0.8)
        self.assertGreater(got, count * size)
        self.assertGreater(time.monotonic() - began, 4)


class Bombs(Limited):
    """Small requests that promise much, of every API in every version: an answer or the end, and memory that grows with what was sent alone."""

    BODIES = [b"\x7f\xff\xff\xff" * 16, b"\xff\xff\xff\xff" * 16, b"\x80\x00\x00\x00" * 16, b"\xff\xff\xff\xff\x0f" * 12, b"\xff\xff\xff\xff\x07" * 12,
              b"\x00" * 64, b"\x00\x00\x00\x01" * 16, b"\x02" * 64, b"\x00\x05" * 30, b""]

    TAGS = [b"\0", b"\xff\xff\xff\xff\x0f", b"\x01\x00\xff\xff\xff\xff\x07", b"\xff\xff\x03\x00\x00"]

    def apis(self):
        body, _ = ask(self.connect())
        count, = struct.unpack(">i", body[2:6])
        return [struct.unpack(">hhh", body[6 + 6 * i:12 + 6 * i]) for i in range(count)]

    def outcome(self, data):
        """Of one request on a connection of its own: whether it was answered, or (Produce with acks 0) the one behind it; else the connection has ended."""
        wire = self.connect()
        try:
            wire.send(data + request(API_VERSIONS, 0, b"", correlation=8))
            return wire.response()[0] in (7, 8)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return False
        finally:
            wire.socket.close()

    def test_every_api(self):
        apis = self.apis()
        before = self.memory("VmHWM")
        answered = {}
        for key, low, high in apis:
            for version in range(low, high + 1):
                requests = [request(key, version, body) for body in self.BODIES]
                requests += [request(key, version, b"\0" * 64, tags=tags) for tags in self.TAGS]
                answered[key] = sum(map(self.outcome, requests)) + answered.get(key, 0)
        self.assertGreater(sum(1 for count in answered.values() if count), 10)
        if not SANITIZED:
            self.assertLess(self.memory("VmHWM") - before, 64 << 20)
        ask(self.connect())

    def test_unknown_versions(self):
        for key, low, high in self.apis():
            for version in (-32768, low - 1, high + 1, 32767):
                self.assertEqual(self.outcome(request(key, version, b"\0" * 40)), key == API_VERSIONS, (key, version))
        ask(self.connect())

    def test_large_and_empty(self):
        """A request of 32 MiB that is nothing but counts: memory is at most eight times as much."""
        size = 32 << 20
        before = self.memory("VmHWM")
        for body in (struct.pack(">i", size // 2 - 64) + b"\0" * size, struct.pack(">i", 1) + string(b"t") * 1000000):
            self.outcome(request(METADATA, 1, body[:size]))
        if not SANITIZED:
            self.assertLess(self.memory("VmHWM") - before, (64 << 20) + 8 * size)
        ask(self.connect())


if __name__ == "__main__":
    unittest.main()
