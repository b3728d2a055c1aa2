#!/usr/bin/env python3
"""Topics made and deleted by clients, ids of idempotent producers: with real clients, and each answer by hand."""
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import PYTHON, Case, request, string
from test_wire_clients import HAS_CONFLUENT, HAS_KAFKA_PYTHON

METADATA, CREATE, DELETE, INIT_PRODUCER_ID = 3, 19, 20, 22
NULL = struct.pack(">h", -1)


class Clients(Case):
    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_confluent_kafka_administers(self):
        script = """
import sys
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
def results(futures):
    for name, future in futures.items():
        try:
            print(name, future.result(60))
        except Exception as error:
            print(name, error.args[0].code())
results(admin.create_topics([NewTopic("a", 3, 1, config={"retention.ms": "1000"}), NewTopic("b", 1, 2), NewTopic("c", 1, 1, config={"nonsense": "1"}),
                             NewTopic("a b", 1, 1), NewTopic("d", 2, replica_assignment=[[0], [0]])]))
results(admin.create_topics([NewTopic("a", 3, 1), NewTopic("e", 1, 1)], validate_only=True))
print({name: len(topic.partitions) for name, topic in sorted(admin.list_topics(timeout=60).topics.items())})
results(admin.delete_topics(["a", "zz"]))
print(sorted(admin.list_topics(timeout=60).topics))
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address),
                         "a None\nb 38\nc 40\na b 17\nd None\na 36\ne None\n{'a': 3, 'd': 2}\na None\nzz 3\n['d']\n")

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_an_idempotent_producer(self):
        script = """
import sys
from confluent_kafka import KafkaException, Producer
offsets = []
producer = Producer({"bootstrap.servers": sys.argv[1], "enable.idempotence": True, "linger.ms": 1})
for i in range(5000):
    producer.produce("t", str(i), on_delivery=lambda error, message: offsets.append(None if error else message.offset()))
    producer.poll(0)
print(producer.flush(60), offsets == list(range(5000)))
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "0 True\n")

    @unittest.skipUnless(HAS_KAFKA_PYTHON, "python3-kafka is not installed")
    def test_kafka_python_administers(self):
        script = """
import sys
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
admin = KafkaAdminClient(bootstrap_servers=sys.argv[1], api_version_auto_timeout_ms=100000)
print(admin.create_topics([NewTopic("k", 2, 1)]).topic_errors, admin.list_topics())
print(admin.delete_topics(["k"]).topic_error_codes, admin.list_topics())
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "[('k', 0, None)] ['k']\n[('k', 0)] []\n")


class ByHand(Case):
    flags = ("--partitions", "7")

    def setUp(self):
        super().setUp()
        self.wire = self.connect()

    def ask(self, key, version, body, tags=b""):
        self.wire.send(request(key, version, body, tags=tags))
        return self.wire.response()[1]

    def create(self, name, partitions=1, replication=1, assignments=(), configs=()):
        """The error of version 0."""
        body = struct.pack(">i", 1) + string(name) + struct.pack(">ihi", partitions, replication, len(assignments))
        body += b"".join(struct.pack(">ii", index, len(brokers)) + b"".join(struct.pack(">i", b) for b in brokers) for index, brokers in assignments)
        body += struct.pack(">i", len(configs)) + b"".join(string(k) + (NULL if v is None else string(v)) for k, v in configs) + struct.pack(">i", 1000)
        answer = self.ask(CREATE, 0, body)
        self.assertEqual(answer[:-2], struct.pack(">i", 1) + string(name))
        return struct.unpack(">h", answer[-2:])[0]

    def partitions(self, name):
        """Of version 4, which does not create it; -1: the topic is unknown."""
        body = self.ask(METADATA, 4, struct.pack(">i", 1) + string(name) + b"\0")
        at = body.rindex(string(name))
        error, = struct.unpack(">h", body[at - 2:at])
        return struct.unpack(">i", body[at + 2 + len(name) + 1:at + 2 + len(name) + 5])[0] if error == 0 else -1

    def test_create(self):
        self.assertEqual([self.create(b"a", 3), self.create(b"a", 3), self.create(b"..")], [0, 36, 17])
        self.assertEqual([self.create(b"b", n) for n in (0, -2, 10001)], [37, 37, 37])
        self.assertEqual([self.create(b"b", 1, n) for n in (0, 2, -2)], [38, 38, 38])
        self.assertEqual(self.create(b"b", 1, 1, [(0, [0])]), 39)
        self.assertEqual([self.create(b"b", -1, -1, a) for a in ([(1, [0])], [(0, [1])], [(0, [0, 0])], [(0, [0]), (0, [0])], [(0, [])],
                                                                 [(0, [0]), (0, [0]), (3, [0]), (3, [0])])], [39] * 6)
        self.assertEqual([self.create(b"b", 1, 1, (), [(b"retention.ms", v)]) for v in (b"soon", b"zero\0byte")], [40, 40])
        self.assertEqual(self.partitions(b"b"), -1)
        self.assertEqual(self.create(b"b", -1, -1, [(1, [0]), (0, [0])], [(b"retention.ms", None), (b"cleanup.policy", b"compact")]), 0)
        self.assertEqual(self.create(b"c", -1, -1), 0)
        self.assertEqual([self.partitions(name) for name in (b"a", b"b", b"c")], [3, 2, 7])

    def test_create_tells_what_it_made(self):
        """Version 7: id, counts and configs; the id finds the topic and deletes it."""
        topic = b"\x02t" + struct.pack(">ih", 2, -1) + b"\x01" + b"\x02\x0dretention.ms\x0612345\0" + b"\0"
        body = self.ask(CREATE, 7, b"\x02" + topic + struct.pack(">i", 1000) + b"\0\0", tags=b"\0")
        at = 1 + 4 + 1
        self.assertEqual(body[at:at + 2], b"\x02t")
        topic_id = body[at + 2:at + 18]
        self.assertNotEqual(topic_id, bytes(16))
        self.assertEqual(body[at + 18:at + 27], struct.pack(">h", 0) + b"\0" + struct.pack(">ih", 2, 1))
        self.assertIn(b"\x0dretention.ms\x0612345\0\x01\0\0", body)
        self.assertIn(b"\x0fcleanup.policy\x07delete\0\x05\0\0", body)
        by_id = lambda i: self.ask(DELETE, 6, b"\x02\0" + i + b"\0" + struct.pack(">i", 1000) + b"\0", tags=b"\0")
        self.assertEqual(by_id(topic_id), b"\0" + struct.pack(">i", 0) + b"\x02\x02t" + topic_id + struct.pack(">h", 0) + b"\0\0\0")
        self.assertEqual(by_id(topic_id)[:7 + 16 + 2], b"\0" + struct.pack(">i", 0) + b"\x02\0" + topic_id + struct.pack(">h", 100))

    def test_what_cannot_be_read_changes_nothing(self):
        self.create(b"a")
        one = string(b"b") + struct.pack(">ihii", 1, 1, 0, 0)
        for key, body in ((CREATE, struct.pack(">i", 2) + one + one[:-2]), (CREATE, struct.pack(">i", 1) + one), (DELETE, struct.pack(">i", 1) + string(b"a"))):
            wire = self.connect()
            wire.send(request(key, 0, body))
            self.assertTrue(wire.is_closed())
        self.assertEqual([self.partitions(b"a"), self.partitions(b"b")], [1, -1])

    def test_producer_ids(self):
        """Each its own, also after a restart."""
        ids = []
        for version in (0, 1, 2, 3, 4, 5, 0):
            flexible = version >= 2
            body = (b"\0" if flexible else NULL) + struct.pack(">i", 1000) + (struct.pack(">qh", 5, 3) if version >= 3 else b"") + (b"\0" if flexible else b"")
            answer = self.ask(INIT_PRODUCER_ID, version, body, tags=b"\0" if flexible else b"")
            _, error, producer, epoch = struct.unpack(">ihqh", answer[1 if flexible else 0:][:16])
            self.assertEqual((error, epoch), (0, 0))
            ids.append(producer)
            if version == 5:
                self.assertEqual(self.server.stop(), 0)
                self.server = self.start()
                self.wire = self.connect()
        self.assertEqual(len(set(ids)), len(ids))


if __name__ == "__main__":
    unittest.main()
