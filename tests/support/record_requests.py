#!/usr/bin/env python3
"""record_requests.py: between clients and a broker, keeps what real clients ask for: the corpus of tests/fuzz/fuzz_kafka_request.c.

    tests/support/record_requests.py CORPUS [COMMAND WORD...]      each COMMAND is a client; {} in a word is where it connects

Starts a `weir serve` that sends its clients to this proxy, runs the clients, and writes the frames (without their sizes) that say something new: of each API, version and client the
shortest and the longest under LARGEST_BYTES, as CORPUS/real-API-VERSION-N. Without a command the clients are those that stand below.
"""
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire_server import PYTHON, Server, environment

LARGEST_BYTES = 700
CONFLUENT = """
import sys
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
where = {"bootstrap.servers": sys.argv[1]}
admin = AdminClient(where)
for result in admin.create_topics([NewTopic("made", 2, 1, config={"retention.ms": "100000"})]).values(): result.result()
for result in admin.create_partitions([NewPartitions("made", 3)]).values(): result.result()
resource = ConfigResource("topic", "made", set_config={"retention.ms": "200000"})
for result in admin.alter_configs([resource]).values(): result.result()
for result in admin.describe_configs([ConfigResource("topic", "made")]).values(): result.result()
admin.list_groups(timeout=10)
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    producer = Producer({**where, "compression.type": codec, "enable.idempotence": codec == "lz4"})
    for i in range(20): producer.produce("made", b"value %d" % i, key=b"key %d" % i, headers={"a": b"b"})
    producer.flush(30)
producer = Producer({**where, "transactional.id": "tx"})
producer.init_transactions()
consumer = Consumer({**where, "group.id": "g", "auto.offset.reset": "earliest", "isolation.level": "read_committed", "partition.assignment.strategy": "cooperative-sticky"})
consumer.subscribe(["made"])
seen = 0
while seen < 20: seen += len(consumer.consume(20, 1))
for commits in (True, False):
    producer.begin_transaction()
    producer.produce("made", b"x")
    producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
    producer.commit_transaction() if commits else producer.abort_transaction()
consumer.commit(asynchronous=False)
consumer.committed(consumer.assignment())
consumer.offsets_for_times([TopicPartition("made", 0, 1)])
consumer.get_watermark_offsets(TopicPartition("made", 0))
consumer.close()
for result in admin.delete_topics(["made"]).values(): result.result()
"""
KAFKA_PYTHON = """
import sys
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
where = {"bootstrap_servers": sys.argv[1]}
admin = KafkaAdminClient(**where)
admin.create_topics([NewTopic("kp", 1, 1)])
admin.create_partitions({"kp": NewPartitions(2)})
admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "kp")])
admin.describe_topics(["kp"]); admin.describe_cluster()
producer = KafkaProducer(**where, compression_type="gzip")
for i in range(20): producer.send("kp", b"%d" % i, key=b"k", headers=[("h", b"v")])
producer.flush(30)
consumer = KafkaConsumer("kp", group_id="kp", auto_offset_reset="earliest", consumer_timeout_ms=3000, **where)
for message in consumer: pass
consumer.commit()
consumer.offsets_for_times({TopicPartition("kp", 0): 1}); consumer.end_offsets([TopicPartition("kp", 0)])
admin.list_consumer_groups(); admin.describe_consumer_groups(["kp"]); admin.list_consumer_group_offsets("kp")
consumer.close()
admin.delete_consumer_groups(["kp"]); admin.delete_topics(["kp"])
"""
CLIENTS = ([PYTHON, "-c", CONFLUENT, "{}"], [PYTHON, "-c", KAFKA_PYTHON, "{}"], ["kcat", "-L", "-b", "{}"],
           ["sh", "-c", "printf 'k:v\\n' | kcat -P -b {} -t kc -K:"], ["kcat", "-C", "-b", "{}", "-t", "kc", "-e", "-q"], ["kcat", "-Q", "-b", "{}", "-t", "kc:0:-1"])


class Proxy:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.broker = None
        self.frames = {}  # (API, version, client): frames
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            broker = socket.create_connection(self.broker)
            threading.Thread(target=self.requests, args=(client, broker), daemon=True).start()
            threading.Thread(target=self.responses, args=(broker, client), daemon=True).start()

    def responses(self, broker, client):
        try:
            while data := broker.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        client.close()

    def requests(self, client, broker):
        held = b""
        try:
            while data := client.recv(65536):
                held = self.keep(held + data)
                broker.sendall(data)
        except OSError:
            pass
        broker.close()

    def keep(self, held):
        """What is left after the whole frames."""
        while len(held) >= 4 and len(held) - 4 >= (size := struct.unpack(">i", held[:4])[0]):
            frame, held = held[4:4 + size], held[4 + size:]
            key, version, _, name = struct.unpack(">hhih", frame[:10])
            with self.lock:
                self.frames.setdefault((key, version, frame[10:10 + max(name, 0)][:6]), set()).add(frame)
        return held

    def chosen(self):
        for (key, version, _), frames in sorted(self.frames.items()):
            few = sorted((f for f in frames if len(f) <= LARGEST_BYTES), key=len)
            for frame in few[:1] + few[-1:] if len(few) > 1 else few:
                yield key, version, frame


def main():
    corpus, commands = sys.argv[1], [sys.argv[2:]] if len(sys.argv) > 2 else CLIENTS
    home = tempfile.mkdtemp(prefix="weir-record-")
    proxy = Proxy()
    server = Server(os.path.join(home, "data"), "--advertise", proxy.address)
    proxy.broker = ("127.0.0.1", server.port)
    for command in commands:
        done = subprocess.run([word.replace("{}", proxy.address) for word in command], env=environment(), stdout=subprocess.DEVNULL, check=False, timeout=120)
        print(" ".join(command)[:60].replace("\n", " "), "→", done.returncode, file=sys.stderr)
    server.stop()
    shutil.rmtree(home)
    numbers = {}
    for key, version, frame in proxy.chosen():
        number = numbers[key, version] = numbers.get((key, version), 0) + 1
        with open(os.path.join(corpus, f"real-{key}-{version}-{number}"), "wb") as file:
            file.write(frame)
    print(f"{sum(numbers.values())} requests of {len({key for key, _ in numbers})} APIs, {len(numbers)} versions", file=sys.stderr)


if __name__ == "__main__":
    main()
