"""wire_python.py: what Python's Kafka clients do with a server, for wire_clients.py:

    wire_python.py confluent-kafka|kafka-python|aiokafka HOST:PORT

One scenario, and for each client the dozen calls that it is made of. The newest versions of PyPI are meant; the first thing that is not as it should be ends it with an exception.
"""
import asyncio
import sys
import threading
import time

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LIMIT_S = 120
TIME = 1700000000000
checks = 0


def same(got, expected, what):
    global checks
    assert got == expected, f"{what}: {got!r} instead of {expected!r}"
    checks += 1


def until(condition, members, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        for member in members:
            if member.failure:
                raise member.failure
        assert time.monotonic() < deadline, f"{what}: did not happen; {[(m.assigned, len(m.seen)) for m in members]}"
        time.sleep(0.02)


class Member(threading.Thread):
    """Reads a topic in a group, commits what it has read, until it is told to end."""

    def __init__(self, client, group, topic, seen):
        super().__init__(daemon=True)
        self.client, self.group, self.topic, self.seen = client, group, topic, seen
        self.assigned, self.ends, self.failure = 0, False, None
        self.start()

    def run(self):
        try:
            self.client.member(self)
        except Exception as error:
            self.failure = error


class Confluent:
    def __init__(self, address):
        import confluent_kafka
        import confluent_kafka.admin
        self.kafka, self.address = confluent_kafka, address
        self.admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": address})

    def create(self, topic, partitions):
        for future in self.admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1)]).values():
            future.result(LIMIT_S)

    def produce(self, topic, codec, records):
        """(key, value, headers, partition) each; idempotent."""
        failures = []
        producer = self.kafka.Producer({"bootstrap.servers": self.address, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5, "message.max.bytes": 10 << 20})
        for n, (key, value, headers, partition) in enumerate(records):
            producer.produce(topic, value, key, partition=partition, headers=headers, timestamp=TIME + n, on_delivery=lambda error, _: failures.append(error) if error else None)
            producer.poll(0)
        same((producer.flush(LIMIT_S), failures), (0, []), f"producing in {codec}")

    def consumer(self, **more):
        return self.kafka.Consumer({"bootstrap.servers": self.address, "group.id": "none", "auto.offset.reset": "earliest", "enable.auto.commit": False, **more})

    def read(self, topic, count, offset=0):
        consumer = self.consumer()
        consumer.assign([self.kafka.TopicPartition(topic, 0, offset)])
        got = []
        while len(got) < count:
            message = consumer.poll(1)
            if message is not None:
                assert not message.error(), message.error()
                got.append((message.key(), message.value(), message.headers() or [], message.timestamp()[1]))
        consumer.close()
        return got

    def at_time(self, topic, timestamp):
        consumer = self.consumer()
        found = consumer.offsets_for_times([self.kafka.TopicPartition(topic, 0, timestamp)], LIMIT_S)[0].offset
        consumer.close()
        return found

    def committed(self, group, topic, partitions):
        consumer = self.consumer(**{"group.id": group})
        offsets = consumer.committed([self.kafka.TopicPartition(topic, p) for p in range(partitions)], LIMIT_S)
        consumer.close()
        return sum(o.offset for o in offsets)

    def is_missing(self, topic):
        consumer = self.consumer(**{"allow.auto.create.topics": False})
        consumer.subscribe([topic])
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None:
                consumer.close()
                return message.error().code() == self.kafka.KafkaError.UNKNOWN_TOPIC_OR_PART
        return False

    def member(self, member):
        consumer = self.consumer(**{"group.id": member.group, "partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 500})
        consumer.subscribe([member.topic])
        while not member.ends:
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                member.seen.add((message.partition(), message.offset()))
                try:
                    consumer.commit(message, asynchronous=False)
                except self.kafka.KafkaException as error: # the partition may have gone to another member
                    assert error.args[0].code() in (22, 25, 27, -172, -142), error
            member.assigned = len(consumer.assignment())
        consumer.close()

    def administer(self, group):
        describe = self.admin.describe_consumer_groups([group])[group].result(LIMIT_S)
        same((describe.state.name, describe.members), ("EMPTY", []), "the group at its end")
        listed = self.admin.list_consumer_groups().result(LIMIT_S)
        same(group in [g.group_id for g in listed.valid], True, "listed groups")
        same(self.admin.delete_consumer_groups([group])[group].result(LIMIT_S), None, "deleting a group")
        Resource, Entry = self.kafka.admin.ConfigResource, self.kafka.admin.ConfigEntry
        change = Resource(Resource.Type.TOPIC, "python-none", incremental_configs=[Entry("retention.ms", "86400000", incremental_operation=self.kafka.admin.AlterConfigOpType.SET)])
        self.admin.incremental_alter_configs([change])[change].result(LIMIT_S)
        resource = Resource(Resource.Type.TOPIC, "python-none")
        same(self.admin.describe_configs([resource])[resource].result(LIMIT_S)["retention.ms"].value, "86400000", "an altered config")
        for future in self.admin.delete_records([self.kafka.TopicPartition("python-none", 0, 10)]).values():
            future.result(LIMIT_S)
        offsets = self.admin.list_offsets({self.kafka.TopicPartition("python-none", 0): self.kafka.admin.OffsetSpec.earliest()})
        same([future.result(LIMIT_S).offset for future in offsets.values()], [10], "the first offset after delete_records")
        same(len(self.admin.describe_cluster().result(LIMIT_S).nodes), 1, "brokers")


class KafkaPython:
    def __init__(self, address):
        import kafka
        import kafka.admin
        self.kafka, self.address = kafka, address

    def create(self, topic, partitions):
        admin = self.kafka.KafkaAdminClient(bootstrap_servers=self.address)
        admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1)])
        admin.close()

    def produce(self, topic, codec, records):
        producer = self.kafka.KafkaProducer(bootstrap_servers=self.address, compression_type=None if codec == "none" else codec, linger_ms=5, max_request_size=10 << 20)
        futures = [producer.send(topic, key=key, value=value, headers=headers, partition=partition, timestamp_ms=TIME + n)
                   for n, (key, value, headers, partition) in enumerate(records)]
        producer.flush(LIMIT_S)
        for future in futures:
            future.get(LIMIT_S)
        producer.close()

    def consumer(self, **more):
        return self.kafka.KafkaConsumer(bootstrap_servers=self.address, auto_offset_reset="earliest", enable_auto_commit=False, **more)

    def read(self, topic, count, offset=0):
        consumer, place = self.consumer(), self.kafka.TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, offset)
        got = []
        while len(got) < count:
            for records in consumer.poll(1000).values():
                got += [(r.key, r.value, [tuple(h) for h in r.headers], r.timestamp) for r in records]
        consumer.close()
        return got[:count]

    def at_time(self, topic, timestamp):
        consumer, place = self.consumer(), self.kafka.TopicPartition(topic, 0)
        found = consumer.offsets_for_times({place: timestamp})[place].offset
        consumer.close()
        return found

    def committed(self, group, topic, partitions):
        consumer = self.consumer(group_id=group)
        total = sum(consumer.committed(self.kafka.TopicPartition(topic, p)) or 0 for p in range(partitions))
        consumer.close()
        return total

    def is_missing(self, topic):
        consumer = self.consumer()
        missing = topic not in consumer.topics()
        consumer.close()
        return missing

    def member(self, member):
        consumer = self.consumer(group_id=member.group, heartbeat_interval_ms=500, session_timeout_ms=30000)
        consumer.topics() # 3.0.12 shares out nothing, for good, when it leads the group before it knows the topic
        consumer.subscribe([member.topic])
        errors = self.kafka.errors
        while not member.ends:
            for records in consumer.poll(100).values():
                member.seen.update((r.partition, r.offset) for r in records)
            try:
                consumer.commit()
            except (errors.CommitFailedError, errors.RebalanceInProgressError, errors.IllegalGenerationError):
                pass
            member.assigned = len(consumer.assignment())
        consumer.close()

    def administer(self, group):
        admin = self.kafka.KafkaAdminClient(bootstrap_servers=self.address)
        same("python-none" in admin.list_topics(), True, "listed topics")
        admin.delete_topics(["python-gzip"])
        same("python-gzip" in admin.list_topics(), False, "a topic that was deleted")
        admin.close()


class AioKafka:
    def __init__(self, address):
        import aiokafka
        import aiokafka.admin
        self.kafka, self.address = aiokafka, address

    def create(self, topic, partitions):
        async def create():
            admin = self.kafka.admin.AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            await admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1)])
            await admin.close()
        asyncio.run(create())

    def produce(self, topic, codec, records):
        async def produce():
            producer = self.kafka.AIOKafkaProducer(bootstrap_servers=self.address, compression_type=None if codec == "none" else codec, linger_ms=5,
                                                   enable_idempotence=True, max_request_size=10 << 20)
            await producer.start()
            futures = [await producer.send(topic, key=key, value=value, headers=headers, partition=partition, timestamp_ms=TIME + n)
                       for n, (key, value, headers, partition) in enumerate(records)]
            await asyncio.gather(*futures)
            await producer.stop()
        asyncio.run(produce())

    async def started(self, **more):
        consumer = self.kafka.AIOKafkaConsumer(bootstrap_servers=self.address, auto_offset_reset="earliest", enable_auto_commit=False, **more)
        await consumer.start()
        return consumer

    def read(self, topic, count, offset=0):
        async def read():
            consumer, place, got = await self.started(), self.kafka.TopicPartition(topic, 0), []
            consumer.assign([place])
            consumer.seek(place, offset)
            while len(got) < count:
                message = await consumer.getone()
                got.append((message.key, message.value, list(message.headers), message.timestamp))
            await consumer.stop()
            return got
        return asyncio.run(read())

    def at_time(self, topic, timestamp):
        async def find():
            consumer, place = await self.started(), self.kafka.TopicPartition(topic, 0)
            found = (await consumer.offsets_for_times({place: timestamp}))[place].offset
            await consumer.stop()
            return found
        return asyncio.run(find())

    def committed(self, group, topic, partitions):
        async def find():
            consumer = await self.started(group_id=group)
            offsets = [await consumer.committed(self.kafka.TopicPartition(topic, p)) for p in range(partitions)]
            await consumer.stop()
            return sum(offset or 0 for offset in offsets)
        return asyncio.run(find())

    def is_missing(self, topic):
        async def look():
            consumer = await self.started()
            missing = topic not in await consumer.topics()
            await consumer.stop()
            return missing
        return asyncio.run(look())

    def member(self, member):
        async def take_part():
            consumer = self.kafka.AIOKafkaConsumer(member.topic, bootstrap_servers=self.address, auto_offset_reset="earliest", enable_auto_commit=False,
                                                   group_id=member.group, heartbeat_interval_ms=500)
            await consumer.start()
            while not member.ends:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    member.seen.update((r.partition, r.offset) for r in records)
                try:
                    await consumer.commit()
                except self.kafka.errors.KafkaError:
                    pass # the group is sharing its partitions anew: what is not committed comes again
                member.assigned = len(consumer.assignment())
            await consumer.stop()
        asyncio.run(take_part())

    def administer(self, group):
        async def administer():
            admin = self.kafka.admin.AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            same("python-none" in await admin.list_topics(), True, "listed topics")
            same(group in [g[0] for g in await admin.list_consumer_groups()], True, "listed groups")
            await admin.delete_topics(["python-gzip"])
            same("python-gzip" in await admin.list_topics(), False, "a topic that was deleted")
            await admin.close()
        asyncio.run(administer())


def records(client):
    for codec in CODECS:
        sent = [(None if n % 3 == 0 else b"key-%d" % n, None if n % 6 == 1 else b"%d" % n * (n % 100), [("n", b"%d" % n), ("empty", b""), ("n", b"again")] if n % 5 == 0 else [], 0)
                for n in range(500)] + [(b"large", bytes(900000), [], 0)]
        client.produce(f"python-{codec}", codec, sent)
        same(client.read(f"python-{codec}", len(sent)), [(key, value, headers, TIME + n) for n, (key, value, headers, _) in enumerate(sent)], f"records in {codec}")
    same(client.read("python-none", 1, 250)[0][3], TIME + 250, "the record at offset 250")
    same([client.at_time("python-none", TIME + n) for n in (0, 77, 500)], [0, 77, 500], "offsets by time")
    same(client.is_missing("python-missing"), True, "a missing topic")


def group(client):
    topic, name, sent, seen, members = "python-group", "python-readers", 0, set(), []
    client.create(topic, 6)
    for step in (1, 2, 3, 2, 1):
        while len(members) < step:
            members.append(Member(client, name, topic, seen))
        while len(members) > step:
            last = members.pop(0)
            last.ends = True
            last.join(LIMIT_S)
            assert not last.failure and not last.is_alive(), last.failure
        until(lambda: [m.assigned for m in members] == [6 // step] * step, members, f"{step} members share 6 partitions")
        client.produce(topic, "none", [(None, b"%d" % n, [], n % 6) for n in range(60)])
        sent += 60
        until(lambda: len(seen) == sent, members, f"{step} members have read everything")
    until(lambda: client.committed(name, topic, 6) == sent, members, "what was read is committed")
    members[0].ends = True
    members[0].join(LIMIT_S)
    assert not members[0].failure, members[0].failure
    client.administer(name)


def main():
    client = {"confluent-kafka": Confluent, "kafka-python": KafkaPython, "aiokafka": AioKafka}[sys.argv[1]](sys.argv[2])
    records(client)
    group(client)
    print(f"{sys.argv[1]}: {checks} checks")


if __name__ == "__main__":
    main()
