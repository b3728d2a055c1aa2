"""wire_python.py: what Python's Kafka clients do with a server, for wire_clients.py:

    wire_python.py confluent-kafka|kafka-python|aiokafka HOST:PORT GUARDED_HOST:PORT       the second server asks who one is
    wire_python.py confluent-kafka|kafka-python|aiokafka HOST:PORT member GROUP TOPIC      a member of a group until SIGTERM

One scenario, and for each client the calls that it is made of. The newest versions of PyPI are meant, and those that Debian has; what the latter cannot do is left out, and said. The first thing
that is not as it should be ends it with an exception.
"""
import asyncio
import concurrent.futures
import signal
import sys
import threading
import time

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LIMIT_S = 120
TIME = 1700000000000
USER, PASSWORD = "alice", "a good secret"
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
        self.assigned, self.ends, self.failure, self.session_ms = 0, False, None, 30000
        self.start()

    def read(self, partition, offset):
        self.seen.add((partition, offset))

    def has(self, partitions):
        self.assigned = len(set(partitions))

    def run(self):
        try:
            self.client.member(self)
        except Exception as error:
            self.failure = error


class Printer:
    """A member that is the process: what it does and prints is said in wire_clients.py."""

    def __init__(self, client, group, topic):
        self.client, self.group, self.topic, self.session_ms, self.ends, self.partitions = client, group, topic, 6000, False, None
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ends", True))

    def read(self, partition, offset):
        print("read", partition, offset, flush=True)

    def has(self, partitions):
        partitions = set(partitions)
        if partitions == self.partitions:
            return
        print("has", len(partitions), flush=True)
        new, self.partitions = partitions - (self.partitions or set()), partitions
        if new:
            records = [(None, b"%d" % n, [], partition) for partition in new for n in range(10)]
            with concurrent.futures.ThreadPoolExecutor(1) as other: # this thread may be in a loop of asyncio
                for partition, offset in other.submit(self.client.produce, self.topic, "none", records).result():
                    print("sent", partition, offset, flush=True)


class Confluent:
    transactional = True

    def __init__(self, address, login=None):
        import confluent_kafka
        import confluent_kafka.admin
        self.kafka, self.address = confluent_kafka, address
        self.base = {"bootstrap.servers": address}
        if login:
            self.base.update({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": login[0], "sasl.username": USER, "sasl.password": login[1]})
        self.admin = confluent_kafka.admin.AdminClient(self.base)

    def create(self, topic, partitions, **config):
        for future in self.admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1, config=config)]).values():
            future.result(LIMIT_S)

    def produce(self, topic, codec, records):
        """(key, value, headers, partition) each; idempotent."""
        places = []

        def take(error, message):
            if error:
                raise self.kafka.KafkaException(error)
            places.append((message.partition(), message.offset()))

        producer = self.kafka.Producer({**self.base, "compression.type": codec, "enable.idempotence": True, "linger.ms": 5, "message.max.bytes": 10 << 20})
        for n, (key, value, headers, partition) in enumerate(records):
            producer.produce(topic, value, key, partition=partition, headers=headers, timestamp=TIME + n, on_delivery=take)
            producer.poll(0)
        same((producer.flush(LIMIT_S), len(places)), (0, len(records)), f"producing in {codec}")
        return places

    def transaction(self, topic, name, commit, values, offsets=None):
        producer = self.kafka.Producer({**self.base, "transactional.id": name})
        producer.init_transactions(LIMIT_S)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        producer.flush(LIMIT_S)
        if offsets:
            group, source, offset = offsets
            consumer = self.consumer(**{"group.id": group})
            producer.send_offsets_to_transaction([self.kafka.TopicPartition(source, 0, offset)], consumer.consumer_group_metadata(), LIMIT_S)
            consumer.close()
        producer.commit_transaction(LIMIT_S) if commit else producer.abort_transaction(LIMIT_S)

    def fenced(self, topic, name):
        first = self.kafka.Producer({**self.base, "transactional.id": name})
        first.init_transactions(LIMIT_S)
        first.begin_transaction()
        first.produce(topic, b"never committed")
        first.flush(LIMIT_S)
        self.transaction(topic, name, True, [b"e"])
        try:
            first.commit_transaction(LIMIT_S)
        except self.kafka.KafkaException as error:
            return error.args[0].code() in (self.kafka.KafkaError._FENCED, self.kafka.KafkaError.INVALID_PRODUCER_EPOCH)

    def refused(self):
        errors = []
        client = self.kafka.Producer({**self.base, "error_cb": errors.append})
        until(lambda: client.poll(0.05) >= 0 and any(e.code() == self.kafka.KafkaError._AUTHENTICATION for e in errors), [], "an error of authentication")
        return True

    def consumer(self, **more):
        return self.kafka.Consumer({**self.base, "group.id": "none", "auto.offset.reset": "earliest", "enable.auto.commit": False, **more})

    def read(self, topic, count, offset=0, isolation="read_committed"):
        consumer = self.consumer(**{"isolation.level": isolation})
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
        consumer = self.consumer(**{"group.id": member.group, "partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 500,
                                    "session.timeout.ms": member.session_ms})
        consumer.subscribe([member.topic])
        while not member.ends:
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                member.read(message.partition(), message.offset())
                try:
                    consumer.commit(message, asynchronous=False)
                except self.kafka.KafkaException as error: # the partition may have gone to another member
                    assert error.args[0].code() in (22, 25, 27, -172, -142), error
            member.has(place.partition for place in consumer.assignment())
        consumer.close()

    def administer(self, group):
        if not hasattr(self.admin, "describe_consumer_groups"):
            print(f"confluent-kafka {self.kafka.__version__} does not administer groups and offsets")
            return
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
    def __init__(self, address, login=None):
        import kafka
        import kafka.admin
        self.kafka, self.base = kafka, {"bootstrap_servers": address}
        self.transactional = "transactional_id" in kafka.KafkaProducer.DEFAULT_CONFIG
        if login:
            self.base.update(security_protocol="SASL_PLAINTEXT", sasl_mechanism=login[0], sasl_plain_username=USER, sasl_plain_password=login[1])

    def create(self, topic, partitions, **config):
        admin = self.kafka.KafkaAdminClient(**self.base)
        admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1, topic_configs=config)])
        admin.close()

    def produce(self, topic, codec, records):
        producer = self.kafka.KafkaProducer(**self.base, compression_type=None if codec == "none" else codec, linger_ms=5, max_request_size=10 << 20)
        futures = [producer.send(topic, key=key, value=value, headers=headers, partition=partition, timestamp_ms=TIME + n)
                   for n, (key, value, headers, partition) in enumerate(records)]
        producer.flush(LIMIT_S)
        try:
            return [(at.partition, at.offset) for at in [future.get(LIMIT_S) for future in futures]]
        finally:
            producer.close()

    def writer(self, name):
        producer = self.kafka.KafkaProducer(**self.base, transactional_id=name)
        producer.init_transactions()
        producer.begin_transaction()
        return producer

    def transaction(self, topic, name, commit, values, offsets=None):
        producer = self.writer(name)
        for value in values:
            producer.send(topic, value).get(LIMIT_S)
        if offsets:
            group, source, offset = offsets
            producer.send_offsets_to_transaction({self.kafka.TopicPartition(source, 0): self.kafka.structs.OffsetAndMetadata(offset, "", -1)}, group)
        producer.commit_transaction() if commit else producer.abort_transaction()
        producer.close()

    def fenced(self, topic, name):
        first = self.writer(name)
        first.send(topic, b"never committed").get(LIMIT_S)
        self.transaction(topic, name, True, [b"e"])
        try:
            first.send(topic, b"too late").get(LIMIT_S)
            first.commit_transaction()
        except self.kafka.errors.KafkaError as error:
            return "Fenced" in type(error).__name__ or "Epoch" in type(error).__name__
        finally:
            first.close(0)

    def refused(self):
        try:
            soon = {name: 10000 for name in ("bootstrap_timeout_ms", "api_version_auto_timeout_ms") if name in self.kafka.KafkaAdminClient.DEFAULT_CONFIG}
            self.kafka.KafkaAdminClient(**self.base, **soon).list_topics()
        except self.kafka.errors.KafkaError as error:
            return error
        return None

    def consumer(self, **more):
        return self.kafka.KafkaConsumer(**self.base, auto_offset_reset="earliest", enable_auto_commit=False, **more)

    def read(self, topic, count, offset=0, isolation=None):
        consumer, place = self.consumer(**({"isolation_level": isolation} if isolation else {})), self.kafka.TopicPartition(topic, 0)
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
        consumer = self.consumer(group_id=member.group, heartbeat_interval_ms=500, session_timeout_ms=member.session_ms)
        consumer.topics() # 3.0.12 shares out nothing, for good, when it leads the group before it knows the topic
        consumer.subscribe([member.topic])
        errors = self.kafka.errors
        while not member.ends:
            for records in consumer.poll(100).values():
                for r in records:
                    member.read(r.partition, r.offset)
            try:
                consumer.commit()
            except (errors.CommitFailedError, errors.RebalanceInProgressError, errors.IllegalGenerationError):
                pass
            member.has(place.partition for place in consumer.assignment())
        consumer.close()

    def administer(self, group):
        admin = self.kafka.KafkaAdminClient(**self.base)
        same("python-none" in admin.list_topics(), True, "listed topics")
        admin.delete_topics(["python-gzip"])
        same("python-gzip" in admin.list_topics(), False, "a topic that was deleted")
        admin.close()


class AioKafka:
    transactional = True

    def __init__(self, address, login=None):
        import aiokafka
        import aiokafka.admin
        self.kafka, self.base = aiokafka, {"bootstrap_servers": address}
        if login:
            self.base.update(security_protocol="SASL_PLAINTEXT", sasl_mechanism=login[0], sasl_plain_username=USER, sasl_plain_password=login[1])

    def create(self, topic, partitions, **config):
        async def create():
            admin = self.kafka.admin.AIOKafkaAdminClient(**self.base)
            await admin.start()
            await admin.create_topics([self.kafka.admin.NewTopic(topic, partitions, 1, topic_configs=config)])
            await admin.close()
        asyncio.run(create())

    def produce(self, topic, codec, records):
        async def produce():
            producer = self.kafka.AIOKafkaProducer(**self.base, compression_type=None if codec == "none" else codec, linger_ms=5,
                                                   enable_idempotence=True, max_request_size=10 << 20)
            await producer.start()
            futures = [await producer.send(topic, key=key, value=value, headers=headers, partition=partition, timestamp_ms=TIME + n)
                       for n, (key, value, headers, partition) in enumerate(records)]
            try:
                return [(at.partition, at.offset) for at in await asyncio.gather(*futures)]
            finally:
                await producer.stop()
        return asyncio.run(produce())

    async def writer(self, name):
        producer = self.kafka.AIOKafkaProducer(**self.base, transactional_id=name)
        await producer.start()
        await producer.begin_transaction()
        return producer

    async def transact(self, topic, name, commit, values, offsets):
        producer = await self.writer(name)
        for value in values:
            await producer.send_and_wait(topic, value)
        if offsets:
            group, source, offset = offsets
            await producer.send_offsets_to_transaction({self.kafka.TopicPartition(source, 0): offset}, group)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        await producer.stop()

    def transaction(self, topic, name, commit, values, offsets=None):
        asyncio.run(self.transact(topic, name, commit, values, offsets))

    def fenced(self, topic, name):
        async def fence():
            first = await self.writer(name)
            await first.send_and_wait(topic, b"never committed")
            await self.transact(topic, name, True, [b"e"], None)
            try:
                await first.send_and_wait(topic, b"too late")
                await first.commit_transaction()
            except self.kafka.errors.ProducerFenced:
                return True
            finally:
                await first.stop()
        return asyncio.run(fence())

    def refused(self):
        async def start():
            client = self.kafka.AIOKafkaProducer(**self.base)
            try:
                await client.start()
            except self.kafka.errors.KafkaError as error:
                return error
            finally:
                await client.stop()
        return asyncio.run(start())

    async def started(self, **more):
        consumer = self.kafka.AIOKafkaConsumer(**self.base, auto_offset_reset="earliest", enable_auto_commit=False, **more)
        await consumer.start()
        return consumer

    def read(self, topic, count, offset=0, isolation="read_uncommitted"):
        async def read():
            consumer, place, got = await self.started(isolation_level=isolation), self.kafka.TopicPartition(topic, 0), []
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
            consumer = self.kafka.AIOKafkaConsumer(member.topic, **self.base, auto_offset_reset="earliest", enable_auto_commit=False,
                                                   group_id=member.group, heartbeat_interval_ms=500, session_timeout_ms=member.session_ms)
            await consumer.start()
            while not member.ends:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for r in records:
                        member.read(r.partition, r.offset)
                try:
                    await consumer.commit()
                except self.kafka.errors.KafkaError:
                    pass # the group is sharing its partitions anew: what is not committed comes again
                member.has(place.partition for place in consumer.assignment())
            await consumer.stop()
        asyncio.run(take_part())

    def administer(self, group):
        async def administer():
            admin = self.kafka.admin.AIOKafkaAdminClient(**self.base)
            await admin.start()
            same("python-none" in await admin.list_topics(), True, "listed topics")
            same(group in [g[0] for g in await admin.list_consumer_groups()], True, "listed groups")
            await admin.delete_topics(["python-gzip"])
            same("python-gzip" in await admin.list_topics(), False, "a topic that was deleted")
            await admin.close()
        asyncio.run(administer())


def codecs_of(client):
    """Those whose libraries are here: the Debian package of kafka-python brings some of them."""
    if not isinstance(client, KafkaPython):
        return CODECS
    import kafka.codec
    here = [codec for codec in CODECS if codec == "none" or getattr(kafka.codec, f"has_{codec}")()]
    print("codecs:", *here)
    return here


def records(client):
    for codec in codecs_of(client):
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


def sizes(client):
    """A batch is 61 bytes; a record of it without a key has 3 of length, attributes, time, offset and key with 1 each, 3 of its value's length, 1 of headers."""
    most = 100000 - 61 - 3 - 4 - 3 - 1
    client.create("python-sizes", 1, **{"max.message.bytes": "100000"})
    client.produce("python-sizes", "none", [(None, bytes(most), [], 0)])
    try:
        client.produce("python-sizes", "none", [(None, bytes(most + 1), [], 0)])
        raise AssertionError("a batch of one byte too many was taken")
    except Exception as error:
        text = f"{type(error).__name__} {error}".lower().replace(" ", "")
        assert "toolarge" in text or "msg_size" in text, error
    client.produce("python-sizes", "none", [(None, b"", [], 0)])
    same([len(value) for _, value, _, _ in client.read("python-sizes", 2)], [most, 0], "sizes")


def transactions(client):
    if not client.transactional:
        print("it knows no transactions")
        return
    values = lambda topic, count, isolation: [value for _, value, _, _ in client.read(topic, count, isolation=isolation)]
    client.transaction("python-txn", "python-writer", True, [b"a", b"b"])
    client.transaction("python-txn", "python-writer", False, [b"c"])
    client.transaction("python-txn", "python-other", True, [b"d"])
    same(values("python-txn", 3, "read_committed"), [b"a", b"b", b"d"], "what was committed")
    same(values("python-txn", 4, "read_uncommitted"), [b"a", b"b", b"c", b"d"], "what was written")
    same(client.fenced("python-txn", "python-fenced"), True, "a producer is fenced by the next one of its id")
    same(values("python-txn", 4, "read_committed"), [b"a", b"b", b"d", b"e"], "what the fenced one wrote does not count")
    client.transaction("python-moved", "python-mover", True, [b"1"], ("python-movers", "python-txn", 3))
    client.transaction("python-moved", "python-mover", False, [b"2"], ("python-movers", "python-txn", 7))
    same(client.committed("python-movers", "python-txn", 1), 3, "the offset that was committed in a transaction")
    same(values("python-moved", 1, "read_committed"), [b"1"], "what went with it")


def passwords(kind, guarded):
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        client, topic = kind(guarded, (mechanism, PASSWORD)), f"python-{mechanism.lower()}"
        client.create(topic, 1)
        client.produce(topic, "gzip", [(b"key", b"said by alice", [], 0)])
        same(client.read(topic, 1)[0][1], b"said by alice", f"a user's record by {mechanism}")
        same(bool(kind(guarded, (mechanism, "a guess")).refused()), True, f"a wrong password by {mechanism}")


def main():
    name, address, guarded = sys.argv[1:4]
    kind = {"confluent-kafka": Confluent, "kafka-python": KafkaPython, "aiokafka": AioKafka}[name]
    client = kind(address)
    if guarded == "member":
        client.member(Printer(client, *sys.argv[4:6]))
        return
    records(client)
    sizes(client)
    transactions(client)
    group(client)
    passwords(kind, guarded)
    print(f"{name}: {checks} checks")


if __name__ == "__main__":
    main()
