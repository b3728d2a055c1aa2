#!/usr/bin/env python3
"""Real clients against weir serve: kcat, confluent-kafka-python and kafka-python as Debian ships them."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import PYTHON, WEIR, Case, environment

SKIPPED = 77
HAS_KCAT = shutil.which("kcat") is not None


def can_import(module):
    return os.path.exists(PYTHON) and subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


HAS_CONFLUENT, HAS_KAFKA_PYTHON = can_import("confluent_kafka"), can_import("kafka")


class Metadata(Case):
    def weir(self, *words):
        return subprocess.run([WEIR, *words, "--data", self.data], capture_output=True, text=True, env=environment())

    def kcat_list(self, *flags):
        return json.loads(self.run_client("kcat", "-L", "-J", "-b", self.server.address, *flags))

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_kcat_lists_and_creates(self):
        listed = self.kcat_list()
        self.assertEqual((listed["topics"], listed["brokers"]), ([], [{"id": 0, "name": self.server.address}]))
        self.assertEqual(listed["controllerid"], 0)
        # A topic that is named and missing is there at once, with one partition, and for everybody.
        self.assertEqual([(t["topic"], len(t["partitions"])) for t in self.kcat_list("-t", "orders")["topics"]], [("orders", 1)])
        self.assertEqual([(t["topic"], t["partitions"]) for t in self.kcat_list()["topics"]],
                         [("orders", [{"partition": 0, "leader": 0, "replicas": [{"id": 0}], "isrs": [{"id": 0}]}])])
        self.assertEqual(self.server.stop(), 0)
        self.assertIn('"topic":"orders"', self.weir("topic", "describe", "orders").stdout.replace(" ", ""))
        self.assertEqual(self.server.said(), "")

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_topics_of_the_command_are_seen_by_clients(self):
        self.assertEqual(self.server.stop(), 0)
        self.weir("topic", "create", "wide", "--partitions", "40")
        self.server = self.start()
        self.assertEqual([(t["topic"], len(t["partitions"])) for t in self.kcat_list()["topics"]], [("wide", 40)])

    def test_the_directory_is_held_and_says_where(self):
        done = self.weir("log", "describe")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"which serves it to Kafka clients on {self.server.address}", done.stderr)

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_confluent_kafka_lists(self):
        script = """
import sys
from confluent_kafka.admin import AdminClient
listed = AdminClient({"bootstrap.servers": sys.argv[1]}).list_topics("made", timeout=60)
print(sorted(listed.topics), len(listed.topics["made"].partitions), listed.cluster_id)
"""
        first = self.run_client(PYTHON, "-c", script, self.server.address)
        self.assertRegex(first, r"^\['made'\] 1 [A-Za-z0-9_-]{22}\n$")
        # The cluster's id survives.
        self.assertEqual(self.server.stop(), 0)
        self.server = self.start()
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), first)

    @unittest.skipUnless(HAS_KAFKA_PYTHON, "python3-kafka is not installed")
    def test_kafka_python_lists(self):
        script = """
import sys
from kafka import KafkaAdminClient
client = KafkaAdminClient(bootstrap_servers=sys.argv[1], api_version_auto_timeout_ms=100000)
print(client._client.config["api_version"] >= (0, 10), client.list_topics())
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "True []\n")


def codecs_on_disk(directory):
    """The codec of each batch of a partition, from its segment."""
    with open(os.path.join(directory, "00000000000000000000.log"), "rb") as file:
        data = file.read()
    codecs, at = [], 0
    while at < len(data):
        codecs.append(data[at + 22] & 7)
        at += 12 + int.from_bytes(data[at + 8:at + 12], "big")
    return codecs


class Records(Case):
    LINES = "".join(f"key{i % 10}:value of record {i}\n" for i in range(5000))

    def produce(self, topic, lines, *flags):
        # A long linger, so that records share batches however slowly they are read.
        self.run_client("kcat", "-P", "-b", self.server.address, "-t", topic, "-K:", "-X", "linger.ms=500", *flags, stdin=lines)

    def consume(self, topic, *flags):
        return self.run_client("kcat", "-C", "-q", "-b", self.server.address, "-t", topic, "-e", "-f", "%k:%s\n", *flags)

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_kcat_in_every_codec(self):
        for number, codec in enumerate(("none", "gzip", "snappy", "zstd")):
            codec_number = 4 if codec == "zstd" else number
            self.produce(codec, self.LINES, "-z", codec)
            self.assertEqual(self.consume(codec), self.LINES)
            codecs = codecs_on_disk(os.path.join(self.data, "topics", f"{codec}-0"))
            # librdkafka leaves a batch plain that does not shrink; the long ones do.
            self.assertIn(codec_number, codecs)
            self.assertLessEqual(set(codecs), {0, codec_number})

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_kcat_places(self):
        self.produce("t", self.LINES)
        lines = self.LINES.splitlines(keepends=True)
        self.assertEqual(self.consume("t", "-o", "-5"), "".join(lines[-5:]))
        self.assertEqual(self.consume("t", "-o", "4321"), "".join(lines[4321:]))
        self.assertEqual(self.consume("t", "-o", "s@0"), self.LINES)
        self.assertEqual(self.run_client("kcat", "-Q", "-b", self.server.address, "-t", "t:0:-1", "-t", "t:0:-2").count("offset"), 2)

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_kcat_headers_keys_and_nulls(self):
        self.run_client("kcat", "-P", "-b", self.server.address, "-t", "t", "-H", "a=1", "-H", "b=two", "-k", "key", stdin="value\n")
        self.run_client("kcat", "-P", "-b", self.server.address, "-t", "t", "-K:", "-Z", stdin="k:\n")
        printed = self.run_client("kcat", "-C", "-J", "-q", "-e", "-b", self.server.address, "-t", "t")
        records = [json.loads(line) for line in printed.splitlines()]
        self.assertEqual([(r["key"], r["payload"], r.get("headers")) for r in records], [("key", "value", ["a", "1", "b", "two"]), ("k", None, None)])

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_a_reader_sees_what_a_writer_writes(self):
        self.produce("t", "a:1\n")
        reader = subprocess.Popen(["kcat", "-C", "-q", "-u", "-b", self.server.address, "-t", "t", "-c", "3"], stdout=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(reader.stdout.close)
        self.addCleanup(reader.kill)
        self.assertEqual(reader.stdout.readline(), "1\n")
        for value in ("2", "3"):
            self.produce("t", f"a:{value}\n")
            self.assertEqual(reader.stdout.readline(), value + "\n")
        self.assertEqual(reader.wait(), 0)

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_records_of_clients_and_of_the_command_are_the_same(self):
        self.produce("t", self.LINES, "-z", "snappy")
        self.assertEqual(self.server.stop(), 0)
        command = lambda *words, **more: subprocess.run([WEIR, *words, "--data", self.data], capture_output=True, text=True, env=environment(), **more)
        self.assertEqual(command("consume", "t", "--until-end", "--format", "key-value").stdout.replace("\t", ":"), self.LINES)
        self.assertEqual(command("produce", "t", "--key-separator", ":", input=self.LINES).returncode, 0)
        self.assertEqual(command("topic", "verify", "t").returncode, 0)
        self.server = self.start()
        self.assertEqual(self.consume("t"), self.LINES * 2)

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_confluent_kafka_produces(self):
        script = '''
import sys
from confluent_kafka import Producer
errors = []
producer = Producer({"bootstrap.servers": sys.argv[1], "acks": "all", "linger.ms": 5, "compression.type": "zstd"})
for i in range(20000):
    producer.produce("t", key=str(i % 7), value=str(i), headers={"n": str(i)}, on_delivery=lambda e, m: errors.append(e) if e else None)
    producer.poll(0)
print(producer.flush(60), errors[:1])
producer.produce("t", value=b"x" * 900000)
print(producer.flush(60))
'''
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "0 []\n0\n")
        self.assertEqual(self.run_client("kcat", "-C", "-q", "-b", self.server.address, "-t", "t", "-e", "-f", "%s %h\n").count("\n"), 20001)

    @unittest.skipUnless(HAS_KAFKA_PYTHON, "python3-kafka is not installed")
    def test_kafka_python_both_ways(self):
        script = '''
import sys
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
own = dict(bootstrap_servers=sys.argv[1], api_version_auto_timeout_ms=100000)
producer = KafkaProducer(**own, acks="all", compression_type="gzip", linger_ms=20)
sent = [producer.send("t", key=b"k%d" % (i % 3), value=b"v%d" % i, headers=[("h", b"%d" % i)]) for i in range(500)]
print([future.get(60).offset for future in sent] == list(range(500)))
consumer = KafkaConsumer(**own, enable_auto_commit=False)
partition = TopicPartition("t", 0)
consumer.assign([partition])
consumer.seek_to_beginning()
got = [next(consumer) for _ in range(500)]
print([(r.offset, r.key, r.value, r.headers) for r in got] == [(i, b"k%d" % (i % 3), b"v%d" % i, [("h", b"%d" % i)]) for i in range(500)])
print(consumer.end_offsets([partition])[partition], consumer.beginning_offsets([partition])[partition],
      consumer.offsets_for_times({partition: got[7].timestamp})[partition].offset <= 7)
'''
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "True\nTrue\n500 0 True\n")


class NoAutoCreate(Case):
    flags = ("--no-auto-create",)

    @unittest.skipUnless(HAS_KCAT, "kcat is not installed")
    def test_a_missing_topic_is_an_error(self):
        listed = json.loads(self.run_client("kcat", "-L", "-J", "-b", self.server.address, "-t", "orders"))
        self.assertEqual([(t["topic"], t["error"]) for t in listed["topics"]], [("orders", "Broker: Unknown topic or partition")])


if __name__ == "__main__":
    if not (HAS_KCAT or HAS_CONFLUENT or HAS_KAFKA_PYTHON):
        print("skipped: neither kcat nor python3-confluent-kafka nor python3-kafka is installed")
        sys.exit(SKIPPED)
    unittest.main()
