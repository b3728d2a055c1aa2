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
        done = self.weir("topic", "list")
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
client = KafkaAdminClient(bootstrap_servers=sys.argv[1])
print(client._client.config["api_version"] >= (0, 10), client.list_topics())
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address), "True []\n")


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
