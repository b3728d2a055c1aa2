#!/usr/bin/env python3
"""Consumer groups on the wire: real clients that share partitions, come, go and take over; and each API's errors, by hand."""
import os
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import PYTHON, Case, environment, request, string
from test_wire_clients import HAS_CONFLUENT, HAS_KAFKA_PYTHON, HAS_KCAT, codecs_on_disk

METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC = 3, 8, 9, 10, 11, 12, 13, 14
NULL = struct.pack(">h", -1)


class Clients(Case):
    flags = ("--partitions", "4")

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_kcat_goes_on_where_its_group_stopped(self):
        read = lambda: self.run_client("kcat", "-b", self.server.address, "-G", "g", "-e", "-q", "-X", "auto.offset.reset=earliest", "t")
        write = lambda first, last: self.run_client("kcat", "-P", "-b", self.server.address, "-t", "t", "-z", "lz4", "-X", "linger.ms=300",
                                                    stdin="".join(f"a value that compresses {i}\n" for i in range(first, last)))
        write(0, 1000)
        self.assertEqual(sorted(read().splitlines()), sorted(f"a value that compresses {i}" for i in range(1000)))
        write(1000, 1010)
        self.assertEqual(sorted(read().splitlines()), [f"a value that compresses {i}" for i in range(1000, 1010)])
        # librdkafka uses lz4 with a broker that looks after groups. It may leave out a partition.
        partitions = [os.path.join(self.data, "topics", f"t-{i}") for i in range(4)]
        self.assertIn(3, [codec for partition in partitions if any(name.endswith(".log") for name in os.listdir(partition)) for codec in codecs_on_disk(partition)])
        # Across a restart, and in the command.
        self.assertEqual(self.server.stop(), 0)
        self.server = self.start()
        self.assertEqual(read(), "")

    SHARING = """
import sys, time
from confluent_kafka import Consumer, Producer, TopicPartition
address, strategy = sys.argv[1:]
producer = Producer({"bootstrap.servers": address})
for i in range(400):
    producer.produce("t", str(i), partition=i % 4)
assert producer.flush(60) == 0
def member():
    consumer = Consumer({"bootstrap.servers": address, "group.id": "g-" + strategy, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "partition.assignment.strategy": strategy, "heartbeat.interval.ms": 100, "session.timeout.ms": 30000})
    consumer.subscribe(["t"])
    return consumer
def poll(consumers, seen, until):
    end = time.monotonic() + 100
    while not until():
        assert time.monotonic() < end, [c.assignment() for c in consumers]
        for consumer in consumers:
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                seen.append((message.partition(), message.offset()))
def leave(consumer):
    # close() of librdkafka before 2.4 waits for ever when an assignment has come that poll() has not given yet, and the group lets go of the member
    # before that is answered (confluentinc/librdkafka#4527).
    consumer.unsubscribe()
    while consumer.assignment():
        consumer.poll(0.05)
    consumer.close()
sizes = lambda: sorted(len(c.assignment()) for c in consumers)
seen, consumers = [], [member()]
poll(consumers, seen, lambda: len(seen) == 400)
print(sizes(), len(set(seen)))
consumers[0].commit(asynchronous=False)
consumers.append(member())
poll(consumers, seen, lambda: sizes() == [2, 2])
consumers.append(member())
poll(consumers, seen, lambda: sizes() == [1, 1, 2])
leave(consumers.pop(0))
poll(consumers, seen, lambda: sizes() == [2, 2])
before = len(seen)
for i in range(40):
    producer.produce("t", str(i), partition=i % 4)
assert producer.flush(60) == 0
poll(consumers, seen, lambda: len(seen) >= before + 40)
print(len(seen) - before, len(set(seen)))
print([p.offset for p in consumers[0].committed([TopicPartition("t", i) for i in range(4)], timeout=60)] >= [100] * 4)
for consumer in consumers:
    leave(consumer)
"""

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_members_share_eagerly(self):
        self.assertEqual(self.run_client(PYTHON, "-c", self.SHARING, self.server.address, "roundrobin"), "[4] 400\n40 440\nTrue\n")

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_members_share_cooperatively(self):
        self.assertEqual(self.run_client(PYTHON, "-c", self.SHARING, self.server.address, "cooperative-sticky"), "[4] 400\n40 440\nTrue\n")

    @unittest.skipUnless(HAS_KAFKA_PYTHON, "python3-kafka is not installed")
    def test_kafka_python_in_a_group(self):
        script = """
import sys
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
own = dict(bootstrap_servers=sys.argv[1], api_version_auto_timeout_ms=100000)
producer = KafkaProducer(**own)
for i in range(100):
    producer.send("t", b"%d" % i, partition=i % 4)
producer.flush(60)
consumer = KafkaConsumer("t", **own, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False)
got = [next(consumer) for _ in range(100)]
print(sorted(int(r.value) for r in got) == list(range(100)), len(consumer.assignment()))
consumer.commit({TopicPartition("t", 1): OffsetAndMetadata(7, "why")})
print(consumer.committed(TopicPartition("t", 1), metadata=True), consumer.committed(TopicPartition("t", 0)))
consumer.close()
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "True 4\nOffsetAndMetadata(offset=7, metadata='why') None\n")

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_a_stop_with_members(self):
        """Members that wait for one another do not keep the server."""
        wire = self.connect()
        wire.send(request(METADATA, 1, struct.pack(">i", 1) + string(b"t")))
        wire.response()
        members = [subprocess.Popen(["kcat", "-b", self.server.address, "-G", "g", "-q", "t"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    env=environment()) for _ in range(3)]
        for member in members:
            self.addCleanup(member.wait)
            self.addCleanup(member.kill)
        # As soon as there is a member, a commit of nobody is refused.
        commit = request(OFFSET_COMMIT, 2, string(b"g") + struct.pack(">i", -1) + string(b"") + struct.pack(">qi", -1, 1) + string(b"t") +
                         struct.pack(">iiq", 1, 0, 0) + NULL)
        wire.send(commit)
        while wire.response()[1].endswith(struct.pack(">h", 0)):
            wire.send(commit)
        self.assertEqual(self.server.stop(), 0)


class ByHand(Case):
    def setUp(self):
        super().setUp()
        self.wire = self.connect()
        self.ask(METADATA, 1, struct.pack(">i", 1) + string(b"t"))

    def ask(self, key, version, body, wire=None, tags=b""):
        wire = wire or self.wire
        wire.send(request(key, version, body, tags=tags))
        return wire.response()[1]

    def join_body(self, member=b"", group=b"g", session_ms=10000, protocols=(b"range",), protocol_type=b"consumer", rebalance_ms=60000):
        return (string(group) + struct.pack(">ii", session_ms, rebalance_ms) + string(member) + string(protocol_type) + struct.pack(">i", len(protocols)) +
                b"".join(string(p) + struct.pack(">i", 3) + b"sub" for p in protocols))

    def parsed_join(self, body):
        """Of version 2 to 4: error, generation, protocol, leader, member, how many members."""
        _, error, generation = struct.unpack(">ihi", body[:10])
        texts, at = [], 10
        for _ in range(3):
            size, = struct.unpack(">h", body[at:at + 2])
            texts.append(body[at + 2:at + 2 + size])
            at += 2 + size
        return (error, generation, *texts, struct.unpack(">i", body[at:at + 4])[0])

    def join(self, *arguments, version=2, **more):
        return self.parsed_join(self.ask(JOIN, version, self.join_body(*arguments, **more)))

    def sync(self, generation, member, assignments, version=1):
        body = self.ask(SYNC, version, string(b"g") + struct.pack(">i", generation) + string(member) + struct.pack(">i", len(assignments)) +
                        b"".join(string(m) + struct.pack(">i", len(a)) + a for m, a in assignments))
        error, size = struct.unpack(">hi", body[4:10])
        return error, body[10:10 + size]

    def heartbeat(self, generation, member):
        return struct.unpack(">ih", self.ask(HEARTBEAT, 1, string(b"g") + struct.pack(">i", generation) + string(member)))[1]

    def commit(self, generation=-1, member=b"", group=b"g", topic=b"t", partition=0, offset=5, metadata=b"note"):
        body = self.ask(OFFSET_COMMIT, 3, string(group) + struct.pack(">i", generation) + string(member) + struct.pack(">qi", -1, 1) + string(topic) +
                        struct.pack(">iiq", 1, partition, offset) + string(metadata))
        return struct.unpack(">h", body[-2:])[0]

    def fetch(self, topics, group=b"g", version=2):
        body = string(group) + (struct.pack(">i", -1) if topics is None else struct.pack(">i", len(topics)) + b"".join(
            string(t) + struct.pack(">ii", 1, p) for t, p in topics))
        return self.ask(OFFSET_FETCH, version, body)

    def test_a_life_of_a_member(self):
        error, generation, protocol, leader, member, count = self.join()
        self.assertEqual((error, generation, protocol, leader == member, count), (0, 1, b"range", True, 1))
        self.assertTrue(member.startswith(b"test-"))
        self.assertEqual(self.commit(1, member), 27)
        self.assertEqual(self.sync(1, member, [(member, b"mine")]), (0, b"mine"))
        self.assertEqual([self.heartbeat(1, member), self.heartbeat(0, member), self.heartbeat(1, b"x")], [0, 22, 25])
        self.assertEqual([self.commit(1, member), self.commit(2, member), self.commit(1, b"x"), self.commit()], [0, 22, 25, 25])
        self.assertEqual(self.sync(1, b"x", [])[0], 25)
        self.assertEqual(self.ask(LEAVE, 1, string(b"g") + string(member)), struct.pack(">ih", 0, 0))
        self.assertEqual(self.ask(LEAVE, 1, string(b"g") + string(member)), struct.pack(">ih", 0, 25))
        self.assertEqual([self.heartbeat(1, member), self.commit()], [25, 0])

    def test_errors_of_join(self):
        self.assertEqual(self.join(group=b"")[0], 24)
        self.assertEqual(self.join(group=b"x" * 401)[0], 24)
        self.assertEqual(self.join(session_ms=10)[0], 26)
        self.assertEqual(self.join(member=b"unknown")[0], 25)
        self.assertEqual(self.join(protocols=())[0], 23)
        self.assertEqual(self.join(protocol_type=b"")[0], 23)
        error, _, _, _, member, _ = self.join(version=4)
        self.assertEqual(error, 79)
        self.assertEqual(self.join(member=member, version=4)[:2], (0, 1))
        self.assertEqual(self.parsed_join(self.ask(JOIN, 2, self.join_body(protocols=(b"other",)), self.connect()))[0], 23)

    def test_a_vanished_connection(self):
        """Another one comes, waits for the first, and its connection goes: nobody waits for it."""
        first = self.join()
        self.sync(1, first[4], [(first[4], b"all")])
        gone = self.connect()
        gone.send(request(JOIN, 2, self.join_body()))
        while self.heartbeat(1, first[4]) == 0:
            pass
        gone.socket.close()
        begin = time.monotonic()
        self.assertEqual(self.join(member=first[4])[:2], (0, 2))
        self.assertLess(time.monotonic() - begin, 50)

    def test_two_members(self):
        first = self.join()
        self.sync(1, first[4], [(first[4], b"all")])
        other = self.connect()
        other.send(request(JOIN, 2, self.join_body()))
        while self.heartbeat(1, first[4]) == 0:
            pass
        leader = self.join(member=first[4])
        follower = self.parsed_join(other.response()[1])
        self.assertEqual((leader[0], follower[0], leader[1], follower[1], leader[5], follower[5]), (0, 0, 2, 2, 2, 0))
        # The follower's sync waits for the leader's.
        other.send(request(SYNC, 1, string(b"g") + struct.pack(">i", 2) + string(follower[4]) + struct.pack(">i", 0)))
        self.assertEqual(self.sync(2, leader[4], [(leader[4], b"one"), (follower[4], b"two")]), (0, b"one"))
        self.assertEqual(other.response()[1], struct.pack(">ihi", 0, 0, 3) + b"two")

    def test_offsets(self):
        self.assertEqual([self.commit(), self.commit(group=b""), self.commit(topic=b"none"), self.commit(partition=1), self.commit(metadata=b"x" * 4097),
                          self.commit(offset=-1)], [0, 24, 3, 3, 12, 42])
        none = struct.pack(">iq", 0, -1) + string(b"") + struct.pack(">h", 0)
        mine = struct.pack(">iq", 0, 5) + string(b"note") + struct.pack(">h", 0)
        one = lambda topic, entry: struct.pack(">i", 1) + string(topic) + struct.pack(">i", 1) + entry
        self.assertEqual(self.fetch([(b"t", 0)]), one(b"t", mine) + struct.pack(">h", 0))
        self.assertEqual(self.fetch([(b"t", 0)], version=1), one(b"t", mine))
        self.assertEqual(self.fetch([(b"none", 0)]), one(b"none", none) + struct.pack(">h", 0))
        self.assertEqual(self.fetch([(b"t", 0)], group=b"nobody"), one(b"t", none) + struct.pack(">h", 0))
        self.assertEqual(self.fetch(None), one(b"t", mine) + struct.pack(">h", 0))
        self.assertEqual(self.fetch(None, group=b"nobody"), struct.pack(">ih", 0, 0))
        # Version 8: groups {g, null topics}, require stable, tags; answered with topic, partition 0, offset, epoch, metadata, error.
        body = self.ask(OFFSET_FETCH, 8, b"\x02\x02g\0\0\x01\0", tags=b"\0")
        self.assertEqual(body, b"\0" + struct.pack(">i", 0) + b"\x02\x02g\x02\x02t\x02" + struct.pack(">iqi", 0, 5, -1) + b"\x05note\0\0\0" + b"\0" +
                         b"\0\0\0" + b"\0")

    def test_more_offsets_than_fit_at_once(self):
        """Topics that exist and others in turn, over 512 of them, in one request: each its own answer."""
        entry = lambda topic: string(topic) + struct.pack(">iiq", 1, 0, 9) + NULL
        body = self.ask(OFFSET_COMMIT, 2, string(b"g") + struct.pack(">i", -1) + string(b"") + struct.pack(">qi", -1, 2000) +
                        b"".join(entry(b"t" if i % 2 else b"n") for i in range(2000)))
        answer = lambda topic, error: string(topic) + struct.pack(">iih", 1, 0, error)
        self.assertEqual(body, struct.pack(">i", 2000) + b"".join(answer(b"t", 0) if i % 2 else answer(b"n", 3) for i in range(2000)))

    def test_find_coordinator(self):
        host, port = self.server.address.split(":")
        place = struct.pack(">i", 0) + string(host.encode()) + struct.pack(">i", int(port))
        self.assertEqual(self.ask(FIND_COORDINATOR, 0, string(b"g")), struct.pack(">h", 0) + place)
        self.assertEqual(self.ask(FIND_COORDINATOR, 1, string(b"g") + b"\0"), struct.pack(">ih", 0, 0) + NULL + place)
        self.assertEqual(self.ask(FIND_COORDINATOR, 1, string(b"g") + b"\7")[:6], struct.pack(">ih", 0, 42))

    def test_what_cannot_be_read_changes_nothing(self):
        for key, version, body in ((JOIN, 2, self.join_body()[:-1]), (JOIN, 2, self.join_body(group=b"zero\0byte")), (LEAVE, 3, string(b"g") + struct.pack(">i", 9)),
                                   (OFFSET_COMMIT, 2, string(b"g") + struct.pack(">i", -1) + string(b"") + struct.pack(">qi", -1, 2) + string(b"t") +
                                    struct.pack(">iiq", 1, 0, 77) + NULL)):
            wire = self.connect()
            wire.send(request(key, version, body))
            self.assertTrue(wire.is_closed())
        self.assertEqual(self.fetch(None), struct.pack(">ih", 0, 0))


class Delay(ByHand):
    flags = ("--rebalance-delay", "2000")  # within which the second one comes, on a slow machine, too
    test_a_life_of_a_member = test_errors_of_join = test_a_vanished_connection = test_two_members = test_offsets = None
    test_more_offsets_than_fit_at_once = test_find_coordinator = test_what_cannot_be_read_changes_nothing = None

    def test_a_group_waits_for_its_members(self):
        begin = time.monotonic()
        other = self.connect()
        other.send(request(JOIN, 2, self.join_body()))
        answers = [self.join(), self.parsed_join(other.response()[1])]
        self.assertGreaterEqual(time.monotonic() - begin, 1.99)
        self.assertEqual(sorted(a[5] for a in answers), [0, 2])
        self.assertEqual([a[1] for a in answers], [1, 1])


if __name__ == "__main__":
    unittest.main()
