#!/usr/bin/python3
"""Large responses of Fetch, whose records go from the file to the socket through pipes: byte for byte what Fetch version 4 answers, which has them in memory. With sessions, with
clients that read slowly, not at all, or hang up in the middle, and with more of them than there are pipes."""
import contextlib
import os
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_files import Cursor
from wire_server import LIMIT_S, Case, request, string

FETCH, MIB = 1, 1 << 20
PARTITIONS = 130  # as a compact length two bytes, where few of them have news one
FULL = [0, 5, 77, 129]


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


class Body(Cursor):
    """A response's fields, one after the other."""

    def __init__(self, data, flexible):
        super().__init__(data)
        self.flexible = flexible

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))[0]

    def length(self):
        if not self.flexible:
            return self.number("i")
        number = self.varint()  # which takes it for a signed one
        return (2 * number if number >= 0 else -2 * number - 1) - 1

    def tags(self):
        if self.flexible:
            assert self.take(1) == b"\0"


def fetch(version, asked, most=MIB, session=(0, -1), least=1, total=50 * MIB, wait_ms=500):
    """A request for {partition: offset} of the topic t: most bytes of each, total of all."""
    flexible = version >= 12
    count = (lambda n: varint(n + 1)) if flexible else (lambda n: struct.pack(">i", n))
    end = b"\0" if flexible else b""
    body = struct.pack(">iiiib", -1, wait_ms, least, total, 0)
    if version >= 7:
        body += struct.pack(">ii", *session)
    body += count(1 if asked else 0)
    if asked:
        body += (varint(2) + b"t") if flexible else string(b"t")
        body += count(len(asked))
        for index, offset in asked.items():
            body += struct.pack(">i", index) + (struct.pack(">i", -1) if version >= 9 else b"") + struct.pack(">q", offset)
            body += (struct.pack(">i", -1) if version >= 12 else b"") + (struct.pack(">q", -1) if version >= 5 else b"") + struct.pack(">i", most) + end
        body += end
    if version >= 7:
        body += count(0)
    if version >= 11:
        body += varint(1) if flexible else string(b"")
    return request(FETCH, version, body + end, tags=end)


def records_of(version, data, errors=None):
    """{partition: records} and the session of a response; into errors those of partitions, which there are not else."""
    body = Body(data, version >= 12)
    body.tags()
    body.number("i")
    session = 0
    if version >= 7:
        assert body.number("h") == 0
        session = body.number("i")
    found = {}
    for _ in range(body.length()):
        body.take(body.length() if body.flexible else body.number("h"))
        for _ in range(body.length()):
            index = body.number("i")
            error = body.number("h")
            assert error == 0 or errors is not None
            if error != 0:
                errors[index] = error
            body.take(16 + (8 if version >= 5 else 0))
            assert body.length() <= 0
            if version >= 11:
                body.number("i")
            found[index] = body.take(max(body.length(), 0))
            body.tags()
        body.tags()
    body.tags()
    assert body.at == len(data), (body.at, len(data))
    return found, session


class Pipes(Case):
    def setUp(self):
        super().setUp()
        admin = AdminClient({"bootstrap.servers": self.server.address})
        admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result()
        self.produce(FULL, 6000)

    def produce(self, partitions, count):
        """Of so many records, in batches of some 10 kB."""
        producer = Producer({"bootstrap.servers": self.server.address, "batch.num.messages": 20, "linger.ms": 5, "acks": "all"})
        for i in range(count):
            for partition in partitions:
                producer.produce("t", b"%d-%d" % (partition, i) + b"x" * 500, partition=partition)
            producer.poll(0)
        self.assertEqual(producer.flush(LIMIT_S), 0)

    def ask(self, wire, version, *what, **how):
        wire.send(fetch(version, *what, **how))
        return records_of(version, wire.response()[1])

    def pipe_count(self):
        folder, count = f"/proc/{self.server.process.pid}/fd", 0
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                count += os.readlink(f"{folder}/{name}").startswith("pipe:")
        return count

    def expected(self, most):
        found, _ = self.ask(self.connect(), 4, dict.fromkeys(FULL, 0), most=most)
        self.assertTrue(all(len(records) > most - 20000 for records in found.values()))
        return found

    def test_the_same_bytes(self):
        most = 700_000
        want, before = self.expected(most), self.pipe_count()
        for version in (10, 11, 12):
            got, _ = self.ask(self.connect(), version, dict.fromkeys(FULL, 0), most=most)
            self.assertEqual(got, want)
        self.assertGreater(self.pipe_count(), before)

    def test_a_session(self):
        """The number of partitions stands before them, and is known, and shorter, when they are there."""
        wire = self.connect()
        first, session = self.ask(wire, 12, dict.fromkeys(range(PARTITIONS), 0), most=100_000, session=(0, 0))
        self.assertEqual(len(first), PARTITIONS)
        self.assertGreater(session, 0)
        got, _ = self.ask(wire, 12, {}, session=(session, 1))
        want, _ = self.ask(self.connect(), 4, dict.fromkeys(FULL, 0), most=100_000)
        self.assertEqual(got, want)
        self.assertEqual({index: first[index] for index in FULL}, want)

    def test_slow_and_gone_and_many(self):
        most = 1_000_000
        want = self.expected(most)
        wires = [self.connect() for _ in range(12)]
        for wire in wires:
            for _ in range(3):  # one behind the other
                wire.send(fetch(12, dict.fromkeys(FULL, 0), most=most))
        for wire in wires[::3]:
            wire.read(300_000)
            wire.socket.close()
        for wire in [wire for i, wire in enumerate(wires) if i % 3]:
            for _ in range(3):
                self.assertEqual(records_of(12, wire.response()[1])[0], want)
        # Those that were left in the middle have given theirs back: all are there again.
        end = time.monotonic() + LIMIT_S
        while self.pipe_count() < 8:
            self.assertEqual(self.ask(self.connect(), 12, dict.fromkeys(FULL, 0), most=most)[0], want)
            self.assertLess(time.monotonic(), end)
        self.assertLessEqual(self.pipe_count(), 2 * 16 + 8)

    def test_waits_for_more(self):
        """What was brought, and was too little, is brought anew."""
        wire = self.connect()
        offset = 5800  # some 100 kB are left
        wire.send(fetch(12, {5: offset}, least=150_000, most=900_000))
        self.produce([5], 200)
        got, _ = records_of(12, wire.response()[1])
        found, _ = self.ask(self.connect(), 4, {5: offset}, most=900_000)
        self.assertTrue(found[5].startswith(got[5]))
        self.assertGreater(len(got[5]), 90_000)

    def test_after_a_restart(self):
        """The first reader checks, the next ones need not."""
        want = self.expected(600_000)
        self.server.stop()
        self.server = self.start()
        before = self.pipe_count()
        for _ in range(3):
            got, _ = self.ask(self.connect(), 12, dict.fromkeys(FULL, 0), most=600_000)
            self.assertEqual(got, want)
        self.assertGreater(self.pipe_count(), before)


class Over(Case):
    """More partitions with records than the bytes of one response: those that have no turn are not read, either."""

    COUNT, SIZE = 24, 900_000

    def setUp(self):
        super().setUp()
        admin = AdminClient({"bootstrap.servers": self.server.address})
        admin.create_topics([NewTopic("t", self.COUNT, 1)])["t"].result()
        producer = Producer({"bootstrap.servers": self.server.address, "acks": "all"})
        for partition in range(self.COUNT):
            producer.produce("t", os.urandom(self.SIZE), partition=partition)
        self.assertEqual(producer.flush(LIMIT_S), 0)

    def read_bytes(self):
        """So many the server has read of files and sockets, by the kernel's count."""
        try:
            with open(f"/proc/{self.server.process.pid}/io", encoding="ascii") as file:
                return int(next(line for line in file if line.startswith("rchar:")).split()[1])
        except (OSError, StopIteration):
            self.skipTest("the system does not count what a process reads")

    def test_no_more_is_read(self):
        wire = self.connect()
        for version in (4, 12):
            for total in (MIB, self.SIZE // 2):
                before, errors = self.read_bytes(), {}
                wire.send(fetch(version, {**dict.fromkeys(range(self.COUNT), 0), self.COUNT - 1: 2}, total=total))
                found, _ = records_of(version, wire.response()[1], errors)
                self.assertEqual([index for index, records in found.items() if records], [0])
                self.assertEqual(set(found), set(range(self.COUNT)))
                self.assertEqual(errors, {self.COUNT - 1: 1})
                self.assertLess(self.read_bytes() - before, 4 * self.SIZE)

    def test_waits_for_nothing(self):
        """Who wants more at least than there is room for gets what there is."""
        wire = self.connect()
        wire.send(fetch(12, dict.fromkeys(range(self.COUNT), 0), total=MIB, least=MIB, wait_ms=60 * LIMIT_S * 1000))
        found, _ = records_of(12, wire.response()[1])
        self.assertGreater(len(found[0]), self.SIZE)

    def test_all_have_their_turn(self):
        wire, offsets = self.connect(), dict.fromkeys(range(self.COUNT), 0)
        for _ in range(self.COUNT):
            wire.send(fetch(12, offsets, total=MIB))
            found, _ = records_of(12, wire.response()[1])
            got, = [index for index, records in found.items() if records]
            del offsets[got]
        self.assertEqual(offsets, {})


if __name__ == "__main__":
    unittest.main()
