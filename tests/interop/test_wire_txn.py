#!/usr/bin/env python3
"""Transactions on the wire: each API's bytes and errors in every version; fencing; timeouts; what a killed server leaves; and confluent-kafka's producer, held to
the one rule that counts: a reader of committed records sees what was committed, once, and nothing else."""
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import LIMIT_S, PYTHON, WEIR, Case, environment, request, string
from test_wire_clients import HAS_CONFLUENT
from test_wire_records import BATCH, fetch, patched

PRODUCE, METADATA, OFFSET_FETCH, JOIN, INIT, ADD_PARTITIONS, ADD_OFFSETS, END, OFFSETS, DESCRIBE, LIST = 0, 3, 9, 11, 22, 24, 25, 26, 28, 65, 66
FLEXIBLE = {INIT: 2, ADD_PARTITIONS: 3, ADD_OFFSETS: 3, END: 3, OFFSETS: 3, DESCRIBE: 0, LIST: 0}
NULL = struct.pack(">h", -1)
NEW_EPOCH_SINCE = {INIT: 4, ADD_PARTITIONS: 2, ADD_OFFSETS: 2, END: 2}


def text(value, flexible):
    if value is None:
        return b"\0" if flexible else NULL
    return bytes([len(value) + 1]) + value if flexible else string(value)


def array(items, flexible):
    return (bytes([len(items) + 1]) if flexible else struct.pack(">i", len(items))) + b"".join(items)


class Producer:
    """A transactional producer by hand: what it sends, and the error that it gets."""

    def __init__(self, case, name=b"tx", wire=None):
        self.case, self.name, self.wire = case, name, wire or case.connect()
        self.id, self.epoch, self.sequence = -1, -1, {}

    def who(self, flexible):
        return text(self.name, flexible) + struct.pack(">qh", self.id, self.epoch)

    def ask(self, key, version, make):
        """The body of the answer behind the header, to a body that make(flexible) gives."""
        flexible = version >= FLEXIBLE[key]
        self.wire.send(request(key, version, make(flexible) + (b"\0" if flexible else b""), tags=b"\0" if flexible else b""))
        body = self.wire.response()[1]
        return body[1:-1] if flexible else body

    def init(self, version=0, timeout_ms=60000, present=(-1, -1)):
        body = self.ask(INIT, version, lambda f: text(self.name, f) + struct.pack(">i", timeout_ms) + (struct.pack(">qh", *present) if version >= 3 else b""))
        throttle, error, producer, epoch = struct.unpack(">ihqh", body)
        self.case.assertEqual(throttle, 0)
        if error == 0:
            self.id, self.epoch, self.sequence = producer, epoch, {}
        return error

    def add(self, *partitions, version=0):
        """Errors, one for each (topic, index)."""
        def body(f):
            tags = b"\0" if f else b""
            return self.who(f) + array([text(t, f) + array([struct.pack(">i", i)], f) + tags for t, i in partitions], f)
        f = version >= FLEXIBLE[ADD_PARTITIONS]
        answer = self.ask(ADD_PARTITIONS, version, body)
        errors, at = [], 4 + (1 if f else 4)
        for topic, index in partitions:
            head = text(topic, f) + array([struct.pack(">i", index)], f)
            self.case.assertEqual(answer[at:at + len(head)], head)
            errors += struct.unpack(">h", answer[at + len(head):at + len(head) + 2])
            at += len(head) + 2 + (2 if f else 0)
        self.case.assertEqual(len(answer), at)
        return errors

    def add_offsets(self, group=b"g", version=0):
        return struct.unpack(">ih", self.ask(ADD_OFFSETS, version, lambda f: self.who(f) + text(group, f)))[1]

    def offsets(self, offset, topic=b"t", partition=0, group=b"g", version=0, member=(-1, b"", None), metadata=b"note"):
        def body(f):
            tags = b"\0" if f else b""
            mine = struct.pack(">i", member[0]) + text(member[1], f) + text(member[2], f) if version >= 3 else b""
            one = struct.pack(">iq", partition, offset) + (struct.pack(">i", -1) if version >= 2 else b"") + text(metadata, f) + tags
            return text(self.name, f) + text(group, f) + struct.pack(">qh", self.id, self.epoch) + mine + array([text(topic, f) + array([one], f) + tags], f)
        f = version >= FLEXIBLE[OFFSETS]
        answer = self.ask(OFFSETS, version, body)
        head = struct.pack(">i", 0) + (b"\x02" if f else struct.pack(">i", 1)) + text(topic, f) + array([struct.pack(">i", partition)], f)
        self.case.assertEqual(answer[:len(head)], head)
        self.case.assertEqual(answer[len(head) + 2:], b"\0\0" if f else b"")
        return struct.unpack(">h", answer[len(head):len(head) + 2])[0]

    def end(self, commit, version=0):
        return struct.unpack(">ih", self.ask(END, version, lambda f: self.who(f) + bytes([commit])))[1]

    def produce(self, topic=b"t", partition=0, name=b"", epoch=None, sequence=None, attributes=0x10):
        """Two records. Error and base offset."""
        next_one = self.sequence.get((topic, partition), 0) if sequence is None else sequence
        batch = patched(21, struct.pack(">h", attributes), patched(43, struct.pack(">qhi", self.id, self.epoch if epoch is None else epoch, next_one)))
        named = NULL if name is None else string(name or self.name)
        self.wire.send(request(PRODUCE, 3, named + struct.pack(">hii", -1, 60000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch))
        error, base = struct.unpack(">hq", self.wire.response()[1][4 + 2 + len(topic) + 8:][:10])
        if error == 0:
            self.sequence[topic, partition] = next_one + 2
        return error, base


class ByHand(Case):
    """What the tests with requests by hand share."""
    flags = ("--partitions", "2")

    def setUp(self):
        super().setUp()
        self.wire = self.connect()
        self.wire.send(request(METADATA, 1, struct.pack(">i", 2) + string(b"t") + string(b"u")))
        self.wire.response()
        self.producer = Producer(self)

    def seen(self, topic=b"t", partition=0, isolation=1):
        """High watermark, last stable offset, aborted transactions, base offsets of data batches that they leave."""
        self.wire.send(fetch(0, topic=topic, partition=partition, isolation=isolation))
        body = self.wire.response()[1]
        at = 4 + 4 + 2 + len(topic) + 4
        _, error, high, stable, count = struct.unpack(">ihqqi", body[at:at + 26])
        self.assertEqual(error, 0)
        at += 26
        aborted = [struct.unpack(">qq", body[at + 16 * i:at + 16 * i + 16]) for i in range(max(count, 0))]
        at += 16 * len(aborted) + 4
        bases, out = [], list(aborted)
        while at < len(body):
            base, size = struct.unpack(">qi", body[at:at + 12])
            attributes, = struct.unpack(">h", body[at + 21:at + 23])
            producer, = struct.unpack(">q", body[at + 43:at + 51])
            within = [a for a in out if a[0] == producer and a[1] <= base]
            if attributes & 0x20:
                out = [a for a in out if a not in within] if body[at + 61:][:12].find(b"\0\0\0\0") >= 0 else out
            elif not within:
                bases.append(base)
            at += 12 + size
        return high, stable, aborted, bases

    def seen_up_to(self, end, **where):
        """When the marker is flushed, which is soon, and not what EndTxn waits for."""
        until = time.monotonic() + LIMIT_S
        while self.seen(**where)[0] < end:
            self.assertLess(time.monotonic(), until)
        return self.seen(**where)

    def fetched_offset(self, stable=False, group=b"g"):
        """Offset and error of t-0, of version 7."""
        body = text(group, True) + b"\x02\x02t\x02" + struct.pack(">i", 0) + b"\0" + bytes([stable]) + b"\0"
        self.wire.send(request(OFFSET_FETCH, 7, body, tags=b"\0"))
        body = self.wire.response()[1][1 + 4 + 1 + 2 + 1 + 4:]
        offset, = struct.unpack(">q", body[:8])
        size = body[12]
        return offset, struct.unpack(">h", body[12 + max(size, 1):][:2])[0]

    def kill(self, **how):
        self.server.process.kill()
        self.server.process.wait()
        self.restart(**how)

    def restart(self, **how):
        self.server = self.start(**how)
        self.wire = self.connect()

    def again(self, p):
        """The same producer on a new connection."""
        other = Producer(self, p.name)
        other.id, other.epoch, other.sequence = p.id, p.epoch, p.sequence
        return other

    def described(self, *names):
        p = self.producer
        answer = p.ask(DESCRIBE, 0, lambda f: array([text(n, f) for n in names], f))
        self.assertEqual(answer[:5], struct.pack(">i", 0) + bytes([len(names) + 1]))
        return answer[5:]

    def listed(self, states=(), ids=(), version=0, duration=-1):
        """Unknown states; names with their states."""
        make = lambda f: array([text(s, f) for s in states], f) + array([struct.pack(">q", i) for i in ids], f) + (struct.pack(">q", duration) if version else b"")
        answer = self.producer.ask(LIST, version, make)
        self.assertEqual(answer[:6], struct.pack(">ih", 0, 0))
        at, unknown, found = 7, [], {}
        for _ in range(answer[6] - 1):
            unknown.append(answer[at + 1:at + answer[at]])
            at += answer[at]
        count, at = answer[at] - 1, at + 1
        for _ in range(count):
            name, at = answer[at + 1:at + answer[at]], at + answer[at] + 8
            found[name], at = answer[at + 1:at + answer[at]], at + answer[at] + 1
        self.assertEqual(at, len(answer))
        return unknown, found


class Requests(ByHand):
    def test_a_life_in_every_version(self):
        p = self.producer
        end, committed = {0: 0, 1: 0}, []
        for version in range(6):
            of = lambda key: min(version, {ADD_PARTITIONS: 3}.get(key, 4))
            self.assertEqual(p.init(version), 0)
            self.assertEqual(p.epoch, version)
            for commit in (True, False):
                self.assertEqual(p.add((b"t", 0), (b"t", 1), version=of(ADD_PARTITIONS)), [0, 0])
                self.assertEqual([p.produce(b"t", 0), p.produce(b"t", 1)], [(0, end[0]), (0, end[1])])
                self.assertEqual(p.produce(b"t", 0), (0, end[0] + 2))
                # Nothing of it is stable; who reads all sees it once it is flushed.
                self.assertEqual(self.seen()[1], end[0])
                before = self.fetched_offset()[0]
                self.assertEqual(p.add_offsets(version=of(ADD_OFFSETS)), 0)
                self.assertEqual(p.offsets(end[0] + 4, version=of(OFFSETS)), 0)
                self.assertEqual([self.fetched_offset(), self.fetched_offset(stable=True)], [(before, 0), (-1, 88)])
                self.assertEqual(p.end(commit, version=of(END)), 0)
                # What was decided already may be asked for again, and its opposite not.
                self.assertEqual([p.end(commit, version=of(END)), p.end(not commit, version=of(END))], [0, 48])
                self.assertEqual(self.fetched_offset(stable=True), (end[0] + 4 if commit else before, 0))
                if commit:
                    committed += [end[0], end[0] + 2]
                high, stable, aborted, bases = self.seen_up_to(end[0] + 5)
                self.assertEqual((high, stable), (end[0] + 5, end[0] + 5))
                self.assertEqual(bases, committed)
                self.assertEqual(len(aborted), version + (not commit))
                end = {0: end[0] + 5, 1: end[1] + 3}
        self.assertEqual(self.server.said(), "")

    def test_errors_of_init(self):
        p = self.producer
        self.assertEqual([p.init(timeout_ms=0), p.init(timeout_ms=-1), p.init(timeout_ms=900001)], [50, 50, 50])
        self.assertEqual([Producer(self, b"").init(), Producer(self, b"x" * 395).init(), Producer(self, b"a\0b").init()], [42, 42, 42])
        self.assertEqual(Producer(self, b"x" * 394).init(timeout_ms=900000), 0)
        self.assertEqual([p.init(4, present=(5, -1)), p.init(4, present=(-1, 3))], [42, 42])
        # Nobody has this id any more, so that nobody else has come: a new one. Then there is somebody.
        self.assertEqual((p.init(4, present=(5 + (1 << 40), 7)), p.epoch), (0, 0))
        self.assertEqual([p.init(3, present=(p.id + 1, 0)), p.init(4, present=(p.id, 1))], [47, 90])

    def test_a_new_epoch_for_the_old_one(self):
        """KIP-360: who presents the newest epoch gets the next; sent again it is answered again; who was overtaken is fenced."""
        p = self.producer
        self.assertEqual(p.init(4), 0)
        first = (p.id, p.epoch)
        self.assertEqual((p.init(4, present=first), p.id, p.epoch), (0, first[0], 1))
        self.assertEqual((p.init(4, present=first), p.id, p.epoch), (0, first[0], 2))
        self.assertEqual(p.add((b"t", 0)), [0])
        self.assertEqual([p.init(4, present=first), p.init(4, present=(first[0], 1)), p.init(4, present=(first[0] + 1, 2)), p.init(3, present=first)],
                         [90, 90, 90, 47])
        self.assertEqual((p.init(4, present=(p.id, p.epoch)), p.epoch), (0, 3))
        other = Producer(self)
        self.assertEqual((other.init(4), other.epoch), (0, 4))
        self.assertEqual(p.init(4, present=(p.id, p.epoch)), 90)

    def test_errors(self):
        p = self.producer
        for version in range(5):
            of = lambda key: min(version, {ADD_PARTITIONS: 3}.get(key, 4))
            nobody = Producer(self, b"nobody", p.wire)
            nobody.id = nobody.epoch = 0
            self.assertEqual([nobody.add((b"t", 0), version=of(ADD_PARTITIONS)), nobody.add_offsets(version=version), nobody.end(True, version)], [[49], 49, 49])
            self.assertEqual([nobody.offsets(1, version=version), nobody.produce()[0]], [25, 49])
            self.assertEqual(p.init(), 0)
            old = Producer(self, p.name, p.wire)
            old.id, old.epoch = p.id, p.epoch - 1
            fenced = lambda key: [47, 90][of(key) >= NEW_EPOCH_SINCE[key]]
            self.assertEqual(old.add((b"t", 0), (b"u", 1), version=of(ADD_PARTITIONS)), [fenced(ADD_PARTITIONS)] * 2)
            self.assertEqual([old.add_offsets(version=version), old.end(False, version)], [fenced(ADD_OFFSETS), fenced(END)])
            self.assertEqual([old.offsets(1, version=version), old.produce()[0]], [47, 47])
            old.epoch, old.id = p.epoch, p.id + 1
            self.assertEqual([old.add((b"t", 0), version=of(ADD_PARTITIONS)), old.end(True, version)], [[49], 49])
            # No transaction.
            self.assertEqual([p.end(True, version), p.end(False, version), p.produce()[0], p.offsets(1, version=version)], [48, 48, 48, 48])
            # All of them or none.
            self.assertEqual(p.add((b"t", 0), (b"none", 0), (b"t", 2), version=of(ADD_PARTITIONS)), [55, 3, 3])
            self.assertEqual(p.add((b"t", 0), version=of(ADD_PARTITIONS)), [0])
            # The other partition was not added; nor the group.
            self.assertEqual([p.produce(partition=1)[0], p.offsets(1, version=version)], [48, 48])
            self.assertEqual([p.add_offsets(b"", version), p.offsets(1, group=b"", version=version)], [24, 24])
            self.assertEqual(p.add_offsets(version=version), 0)
            self.assertEqual([p.offsets(1, topic=b"none", version=version), p.offsets(1, partition=7, version=version), p.offsets(-1, version=version)], [3, 3, 42])
            self.assertEqual(p.offsets(1, group=b"other", version=version), 48)
            if version >= 3:
                self.assertEqual([p.offsets(1, version=version, member=(1, b"who", None)), p.offsets(1, version=version, member=(1, b"who", b"i"))], [25, 25])
            else:
                self.assertEqual(p.offsets(1, metadata=b"x" * 4097, version=version), 12)
            # Named by nobody, or by another.
            self.assertEqual([p.produce(name=None)[0], p.produce(name=b"nobody")[0]], [53, 49])
            first = p.produce()
            self.assertEqual((first[0], p.produce(sequence=0), p.produce(sequence=6)[0]), (0, first, 45))
            # What is no part of the transaction waits for its end, where the transaction has records.
            self.assertEqual(p.produce(attributes=0)[0], 48)
            self.assertEqual(p.end(False, version), 0)
            # A batch that comes late is not the next transaction's.
            self.assertEqual(p.produce()[0], 48)
            self.assertEqual(p.add((b"u", 0), version=of(ADD_PARTITIONS)), [0])
            self.assertEqual(p.produce()[0], 48)
            self.assertEqual(p.end(True, version), 0)
        self.assertEqual(self.seen()[3], [])

    def test_nothing_of_a_request_that_cannot_be_read_is_done(self):
        p = self.producer
        p.init()
        one = string(b"t") + struct.pack(">ii", 1, 0)
        for key, body in ((ADD_PARTITIONS, p.who(False) + struct.pack(">i", 2) + one), (ADD_PARTITIONS, p.who(False) + struct.pack(">i", 1) + one[:-1]),
                          (ADD_PARTITIONS, p.who(False) + struct.pack(">i", 1 << 30)), (ADD_OFFSETS, p.who(False) + struct.pack(">h", 9)),
                          (ADD_OFFSETS, p.who(False) + string(b"zero\0byte")), (END, p.who(False)), (END, p.who(False)[:-1]), (INIT, string(b"tx") + b"\0\0"),
                          (OFFSETS, string(b"tx") + string(b"g") + struct.pack(">qhi", p.id, p.epoch, 3)), (OFFSETS, NULL), (DESCRIBE, b"\xff"), (LIST, b"\x01\x09")):
            wire = self.connect()
            wire.send(request(key, 0, body, tags=b"\0" if key in (DESCRIBE, LIST) else b""))
            self.assertTrue(wire.is_closed(), (key, body))
        self.assertEqual([p.end(True), p.epoch], [48, 0])

    def test_a_newer_producer_fences(self):
        old, new = self.producer, Producer(self)
        old.init()
        self.assertEqual(old.add((b"t", 0)), [0])
        self.assertEqual(old.produce(), (0, 0))
        self.assertEqual((new.init(), new.id, new.epoch), (0, old.id, 1))
        # What it left open is aborted before the newer one has its epoch.
        self.assertEqual(self.seen_up_to(3), (3, 3, [(old.id, 0)], []))
        self.assertEqual([old.produce()[0], old.add((b"t", 0), version=2), old.end(True, 2), old.add_offsets(version=2)], [47, [90], 90, 90])
        self.assertEqual(new.add((b"t", 0)), [0])
        self.assertEqual(new.produce(), (0, 3))
        self.assertEqual([old.produce()[0], new.end(True)], [47, 0])
        self.assertEqual(self.seen_up_to(6), (6, 6, [(old.id, 0)], [3]))

    def test_a_transaction_that_nobody_ends(self):
        p = self.producer
        self.assertEqual(p.init(timeout_ms=1), 0)
        self.assertIn(p.add((b"t", 0)), ([0], [47])) # its time may be over before it has its partition
        end = time.monotonic() + LIMIT_S
        while p.produce()[0] == 0 or self.seen()[1] != self.seen()[0]:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.seen()[3], [])
        self.assertEqual([p.end(True, 2), p.end(False, 2), p.add((b"t", 0), version=2), p.init(4, present=(p.id, p.epoch))], [90, 90, [90], 90])
        self.assertEqual((p.init(), p.epoch), (0, 2))
        self.assertIn("was open longer than its timeout of 1 ms", self.server.said())

    def test_the_engines_own_ids_are_others(self):
        """A client that calls itself as a program inside does is another producer."""
        p = Producer(self, b"weir.dlq-replayed")
        self.assertEqual((p.init(), p.epoch), (0, 0))

    def test_describe_and_list(self):
        a, b, c = Producer(self, b"a"), Producer(self, b"b"), Producer(self, b"c")
        for p in (a, b, c):
            p.init(timeout_ms=50000)
        begin = int(time.time() * 1000)
        self.assertEqual(a.add((b"u", 1), (b"t", 0), (b"t", 1)), [0, 0, 0])
        b.add((b"t", 0))
        b.end(True)
        answer = self.described(b"a", b"nobody")
        head = struct.pack(">h", 0) + b"\x02a\x08Ongoing" + struct.pack(">i", 50000)
        self.assertEqual(answer[:len(head)], head)
        self.assertTrue(begin - 1000 <= struct.unpack(">q", answer[len(head):len(head) + 8])[0] <= time.time() * 1000 + 1000)
        rest = struct.pack(">qh", a.id, 0) + b"\x03\x02t\x03" + struct.pack(">ii", 0, 1) + b"\0\x02u\x02" + struct.pack(">i", 1) + b"\0\0"
        rest += struct.pack(">h", 105) + b"\x07nobody\x01" + struct.pack(">iqqh", 0, -1, -1, -1) + b"\x01\0"
        self.assertEqual(answer[len(head) + 8:], rest)
        self.assertEqual(self.described(b"c"), struct.pack(">h", 0) + b"\x02c\x06Empty" + struct.pack(">iqqh", 50000, -1, c.id, 0) + b"\x01\0")
        states = {b"a": b"Ongoing", b"b": b"CompleteCommit", b"c": b"Empty"}
        self.assertEqual(self.listed(), ([], states))
        self.assertEqual(self.listed([b"Ongoing", b"Sleeping", b"Empty"]), ([b"Sleeping"], {b"a": b"Ongoing", b"c": b"Empty"}))
        self.assertEqual(self.listed([b"Sleeping"]), ([b"Sleeping"], {}))
        self.assertEqual(self.listed(ids=[b.id, 999]), ([], {b"b": b"CompleteCommit"}))
        self.assertEqual(self.listed([b"Ongoing", b"Ongoing", b"Dead"], [999, c.id, a.id, -1]), ([], {b"a": b"Ongoing"}))
        self.assertEqual(self.listed(version=1), ([], states))
        self.assertEqual([self.listed(version=1, duration=0)[1], self.listed(version=1, duration=1 << 40)[1]], [{b"a": b"Ongoing"}, {}])
        a.end(False)
        self.kill()
        self.producer = Producer(self)
        self.assertEqual(self.listed(), ([], {**states, b"a": b"CompleteAbort"}))


class WithClient(Case):
    """A client with confluent-kafka, and how it reads a topic."""
    flags = ("--partitions", "3")

    READ = """
import sys
from confluent_kafka import Consumer, TopicPartition
def read(address, topic, isolation="read_committed"):
    \"\"\"Values of all partitions, up to the ends as of now.\"\"\"
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False, "isolation.level": isolation, "enable.partition.eof": True,
                         "auto.offset.reset": "earliest"})
    partitions = sorted(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, i, 0) for i in partitions])
    values, open_ones = [], set(partitions)
    while open_ones:
        message = consumer.poll(60)
        assert message is not None, (topic, open_ones)
        if message.error() is None:
            values.append(message.value().decode())
        else:
            assert message.error().code() == -191, message.error()
            open_ones.discard(message.partition())
    consumer.close()
    return values
"""

    def python(self, script, *arguments):
        return self.run_client(PYTHON, "-c", self.READ + script, self.server.address, *arguments)


@unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
class Clients(WithClient):
    def test_commits_aborts_and_a_newer_one(self):
        self.assertEqual(self.python("""
from confluent_kafka import KafkaException, Producer
make = lambda: Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "tx", "linger.ms": 1})
producer = make()
producer.init_transactions(60)
for number in range(20):
    producer.begin_transaction()
    for i in range(30):
        producer.produce("t", f"{number}", partition=i % 3)
    if number % 3:
        producer.commit_transaction(60)
    else:
        producer.flush(60)
        producer.abort_transaction(60)
values = read(sys.argv[1], "t")
print(sorted(values) == sorted(str(n) for n in range(20) if n % 3 for _ in range(30)), len(read(sys.argv[1], "t", "read_uncommitted")))
producer.begin_transaction()
producer.produce("t", "late")
producer.flush(60)
make().init_transactions(60)
try:
    producer.commit_transaction(60)
except KafkaException as error:
    print(error.args[0].fatal(), error.args[0].name())
print("late" in read(sys.argv[1], "t"))
"""), "True 600\nTrue _FENCED\nFalse\n")
        self.assertEqual(self.server.said(), "")

    # Reads numbers from `in` in a group, writes them to `out` with their offsets in transactions, of which it aborts some; goes on after whatever it may go on after.
    TRANSFORM = """
import random, sys
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
address, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
made = 0
SOON = {"bootstrap.servers": address, "reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 20, "retry.backoff.ms": 10}
def fresh():
    global made
    while True:
        producer = Producer({**SOON, "transactional.id": "transform", "linger.ms": 1, "transaction.timeout.ms": 60000})
        made += 1
        try:
            producer.init_transactions(60)
            return producer
        except KafkaException as error:
            assert error.args[0].retriable() or error.args[0].fatal(), error
def finish(producer, commit):
    \"\"\"Whether it was committed; None: the producer is of no use any more.\"\"\"
    while True:
        try:
            producer.commit_transaction(60) if commit else producer.abort_transaction(60)
            return commit
        except KafkaException as error:
            error = error.args[0]
            if error.fatal():
                return None
            if error.txn_requires_abort():
                commit = False
consumer = Consumer({**SOON, "group.id": "transformers", "enable.auto.commit": False, "isolation.level": "read_committed"})
places = [TopicPartition("in", i) for i in range(3)]
def rewind():
    while True:
        try:
            committed = consumer.committed(places, timeout=60)
            break
        except KafkaException as error:
            assert error.args[0].retriable() or error.args[0].code() < 0, error
    for place in committed:
        place.offset = max(place.offset, 0)
    consumer.assign(committed)
    return {place.partition: place.offset for place in committed}
producer, at = fresh(), rewind()
while sum(at.values()) < count:
    batch = [m for m in consumer.consume(draw.randrange(1, 60), 0.2) if m.error() is None]
    batch = [m for m in batch if m.offset() >= at[m.partition()]]
    if not batch:
        continue
    commit, next_one = draw.random() < 0.8, dict(at)
    try:
        producer.begin_transaction()
        for m in batch:
            producer.produce("out", m.value(), partition=draw.randrange(3))
            next_one[m.partition()] = max(next_one[m.partition()], m.offset() + 1)
        producer.send_offsets_to_transaction([TopicPartition("in", p, o) for p, o in next_one.items()], consumer.consumer_group_metadata(), 60)
    except KafkaException as error:
        commit = False
        if error.args[0].fatal():
            producer, at = fresh(), rewind()
            continue
    done = finish(producer, commit)
    if done:
        at = next_one
    else:
        producer = fresh() if done is None else producer
        at = rewind()
    print("-", flush=True)
consumer.close()
print("done", made, flush=True)
"""

    def fill(self, count):
        self.python("""
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
for i in range(int(sys.argv[2])):
    producer.produce("in", str(i), partition=i % 3)
assert producer.flush(60) == 0
""", str(count))

    def check(self, count):
        values = self.python("""print(*read(sys.argv[1], "out"))""").split()
        self.assertEqual(sorted(map(int, values)), list(range(count)))

    def test_consume_transform_produce(self):
        self.fill(600)
        self.assertTrue(self.python(self.TRANSFORM, "600", "1").endswith("done 1\n"))
        self.check(600)

    def test_consume_transform_produce_with_a_server_that_dies(self):
        """Killed while transactions are at any step: what comes out is what went in, once."""
        count = 900
        self.fill(count)
        errors = tempfile.TemporaryFile("w+")
        self.addCleanup(errors.close)
        client = subprocess.Popen([PYTHON, "-c", self.TRANSFORM, self.server.address, str(count), "2"], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment())
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.kill)
        address, line, kills = self.server.address, "", 0
        for line in client.stdout:
            if line.startswith("done"):
                break
            if kills < 6 and kills % 2 == 0:
                self.server.process.kill()
            elif kills < 6: # in the middle of what comes next
                self.server.stop()
            else:
                continue
            kills += 1
            self.server.process.wait()
            self.server = self.start(kafka=address)
        errors.seek(0)
        self.assertEqual(client.wait(LIMIT_S), 0, errors.read()[-3000:] + self.server.said())
        self.assertTrue(line.startswith("done"), line)
        self.assertEqual(kills, 6)
        self.check(count)


if __name__ == "__main__":
    unittest.main()
