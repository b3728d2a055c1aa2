#!/usr/bin/python3
"""Kafka Streams under exactly_once_v2 against 'weir serve', while processes of both sides are killed.

    tests/interop/streams.py [BUILD_DIR [VERSION…]]        build/release and all of VERSIONS unless said otherwise

StreamsSide.java counts words (a repartition topic, a compacted store), lines in windows (a store that is compacted and deleted, suppressed until the windows
close) and lines by city (joined with a table). What it reads comes from librdkafka; what it must write is computed here, from the same lines, by a few loops over
lists. Without a cache each word gives one update, so that what readers of committed records see of a word must be 1, 2, 3, … and its count: a step that is missing, or
there twice, is an input that was lost or counted twice.

Meanwhile lines keep coming, and each time some results of the last share of them are there and a transaction is open,

    the application is killed, and starts again without its state directory: it is restored from the changelogs
    a second instance joins, and takes over half of the tasks
    the server is told to end, and starts again on its port
    the server is killed, and starts again
    the second instance is killed: the first has everything again

WEIR_STREAMS_ROUNDS=N draws N more of these at the end (WEIR_STREAMS_SEED says how).

Then TxnSide.java copies records in transactions, as Kafka's documentation says how, while the server is killed and stopped with them open.

Kafka Streams checks and configures its topics; what it asked for is held to what the server says of them. Records that were repartitioned are deleted behind it.

The jars come from Maven Central through Maven and are kept in build/interop. Exit code: 0, 1, or 77 with the reason when there is no JDK, no Maven, or no way to
get the jars. Set WEIR_KEEP=1 to keep the directory with the logs.
"""
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE / "build" / "release").resolve()
os.environ["WEIR_BUILD_DIR"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "support"))
from kafka_broker import SMALL_JVM, Failed, Unavailable, compile_java, fetch_jars, need_java, start_process
from wire_server import Server

CACHE = SOURCE / "build" / "interop"
VERSIONS = ("3.9.1", "4.1.0")
LIMIT_S = 240
PARTITIONS = 3
WORDS = ["and", "bread", "cheese", "dill", "egg", "fig", "grape", "honey", "ice", "jam", "kale", "leek", "mint", "nut", "oat", "pear"]
CITIES = ["Ghent", "Lyon", "Porto", "Turin"]
USERS = 40
BEGIN_MS = 1760000000000
WINDOW_MS = 10000
EVENTS = ("restart_first", "join_second", "end_server", "kill_server", "kill_second")
LINES = 1200  # before each
RECORDS, RESTARTS = 1500, 8
TIMEOUT = re.compile(r" W a transaction of producer kafka:streams-\S+ is aborted: it was open longer than its timeout of 5000 ms$")
OUTPUTS = ("word-counts", "window-counts", "city-counts")


def say(text):
    print(text, flush=True)


def check(condition, what):
    if not condition:
        raise Failed(what)


# ---- what goes in, and what must come out ----


def draw(count, seed):
    """(key, line, time): times are out of order by less than the grace."""
    random_one = random.Random(seed)
    return [(f"user-{random_one.randrange(USERS)}", " ".join(random_one.choice(WORDS) for _ in range(random_one.randrange(1, 6))),
             BEGIN_MS + 60 * i - random_one.randrange(4000)) for i in range(count)]


def city_of(user):
    """Every fourth user lives nowhere."""
    number = int(user.split("-")[1])
    return CITIES[number % 7 % 4] if number % 4 else None


def expected(lines, closing):
    """Of each topic: every key with the values that it must have, in order."""
    words, windows, cities = collections.Counter(), collections.Counter(), collections.Counter()
    for user, line, at in lines:
        words.update(line.split(" "))
        windows[f"{user}@{at - at % WINDOW_MS}"] += 1
        if city_of(user):
            cities[city_of(user)] += 1
    words.update(closing)
    steps = lambda counts: {key: [str(n) for n in range(1, count + 1)] for key, count in counts.items()}
    return {"word-counts": steps(words), "window-counts": {key: [str(count)] for key, count in windows.items()}, "city-counts": steps(cities)}


# ---- clients ----


class Writer:
    """librdkafka, with the partitioner of Kafka's own clients, which Kafka Streams relies on in joins."""

    def __init__(self, address):
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "linger.ms": 5, "enable.idempotence": True,
                                  "reconnect.backoff.max.ms": 200, "message.timeout.ms": 1000 * LIMIT_S})
        self.failed, self.feeding = [], None

    def write(self, topic, records, partition=-1):
        for n, (key, value, at) in enumerate(records):
            self.producer.produce(topic, key=key, value=value, timestamp=at, partition=partition, on_delivery=lambda error, _: error and self.failed.append(error))
            self.producer.poll(0.005 if n % 10 == 0 else 0) # some come while others are read

    def feed(self, lines):
        """Writes lines from a thread of its own, after those of the last call."""
        self.flush()
        self.feeding = threading.Thread(target=self.write, args=("lines", lines), daemon=True)
        self.feeding.start()

    def flush(self):
        if self.feeding:
            self.feeding.join(LIMIT_S)
        check(self.producer.flush(LIMIT_S) == 0 and not self.failed, f"records were not written: {self.failed[:3]}")


class Reader:
    """Reads the committed records of all outputs in a thread of its own, through whatever happens to the server."""

    def __init__(self, address, isolation="read_committed"):
        from confluent_kafka import Consumer, TopicPartition
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": "reader-" + isolation, "enable.auto.commit": False, "isolation.level": isolation,
                                  "auto.offset.reset": "error", "reconnect.backoff.max.ms": 200, "fetch.wait.max.ms": 50})
        self.consumer.assign([TopicPartition(topic, i, 0) for topic in OUTPUTS for i in range(PARTITIONS)])
        self.seen = {topic: {} for topic in OUTPUTS}
        self.count, self.done, self.failure = 0, False, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.done:
            for message in self.consumer.consume(1000, 0.05):
                if message.error() is None:
                    self.seen[message.topic()].setdefault(message.key().decode(), []).append(message.value().decode())
                    self.count += 1
                elif message.error().fatal() or message.error().code() >= 0:
                    self.failure = message.error()
        self.consumer.close()

    def stop(self):
        self.done = True
        self.thread.join(LIMIT_S)


class Application:
    """A process with a state directory of its own."""

    def __init__(self, java, address, work, number):
        self.log = work / f"streams-{number}.log"
        self.state = work / f"state-{number}"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = start_process([*java, "StreamsSide", address, self.state, "streams"], stdout=log, stderr=subprocess.STDOUT)

    def said(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)

    def end(self):
        """As an operator would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT_S)


# ---- one version ----


def java_of(version):
    """The command that runs a class of this folder."""
    jars = fetch_jars(HERE / "pom-streams.xml", CACHE / f"kafka-streams-{version}", {"kafka.version": version})
    compile_java([HERE / "StreamsSide.java", HERE / "TxnSide.java"], f"{jars}/*", jars / "classes")
    return ["java", *SMALL_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", f"{jars}/classes:{jars}/*"]


class Run:
    def __init__(self, version, work):
        self.java = java_of(version)
        self.work, self.applications, self.hits, self.begin = work, [], 0, time.monotonic()
        self.data = str(work / "data")
        self.server = Server(self.data)
        self.address = self.server.address

    def tell(self, text):
        if "WEIR_KEEP" in os.environ:
            say(f"{time.monotonic() - self.begin:6.1f} s: {text}")

    def until(self, condition, what):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            check(time.monotonic() < deadline, f"{what}: did not happen within {LIMIT_S} s")
            for one in self.applications:
                check(one.process.poll() is None, f"an application ended by itself: {one.said()[-3000:]}")
            check(self.reader.failure is None, f"the reader: {self.reader.failure}")
            time.sleep(0.02)
        self.tell(what)

    def start(self):
        self.applications.append(Application(self.java, self.address, self.work, f"{len(list(self.work.glob('streams-*.log')))}"))
        return self.applications[-1]

    def kill(self, one):
        self.applications.remove(one)
        one.kill()

    def server_again(self):
        self.server.end()
        self.server = Server(self.data, kafka=self.address)

    def create_topics(self):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.address})
        topics = [NewTopic(topic, PARTITIONS, 1) for topic in ("lines", *OUTPUTS)] + [NewTopic("users", PARTITIONS, 1, config={"cleanup.policy": "compact"})]
        for future in admin.create_topics(topics).values():
            future.result()

    def feed_and_wait(self, lines, done):
        """Lines begin to come; back when a quarter of their results is there, so that what is done next happens in the middle."""
        before = self.reader.count
        self.writer.feed(lines)
        self.until(lambda: self.reader.count > before + len(lines), done)

    def transaction_is_open(self):
        """Records of an output wait for the end of theirs."""
        from confluent_kafka import TopicPartition
        return any(self.lasts[0].get_watermark_offsets(TopicPartition("word-counts", i), timeout=60)[1] <
                   self.lasts[1].get_watermark_offsets(TopicPartition("word-counts", i), timeout=60)[1] for i in range(PARTITIONS))

    def restart_first(self):
        self.kill(self.applications[0])
        self.start()

    def join_second(self):
        self.start()
        self.until(lambda: self.members() == 2, "both are members")

    def kill_second(self):
        self.kill(self.applications[-1])

    def end_server(self):
        check(self.server.stop() == 0, f"the server ended badly: {self.server.said()[-3000:]}")
        self.server_again()

    def kill_server(self):
        self.server.process.kill()
        self.server.process.wait()
        self.server_again()

    def go(self, shares):
        from confluent_kafka import Consumer
        self.create_topics()
        self.writer, self.reader = Writer(self.address), Reader(self.address)
        self.lasts = [Consumer({"bootstrap.servers": self.address, "group.id": "lasts", "isolation.level": level}) for level in ("read_committed", "read_uncommitted")]
        users = [(f"user-{i}", city_of(f"user-{i}"), BEGIN_MS - 60000) for i in range(USERS)]
        self.writer.write("users", [user for user in users if user[1]])
        self.writer.flush()
        self.start()
        for event, lines in shares:
            self.feed_and_wait(lines, "results")
            self.hits += any(self.transaction_is_open() for _ in range(50))
            getattr(self, event)()
            self.tell(event)
        self.writer.flush()
        for partition in range(PARTITIONS):
            self.writer.write("lines", [(f"closing-{partition}", "end", BEGIN_MS + 10**9)], partition)
        self.writer.flush()
        self.compare(expected([line for _, lines in shares for line in lines], ["end"] * PARTITIONS))
        self.topics()
        for one in self.applications:
            one.end()
            check(re.search(r"state NOT_RUNNING\s*$", one.said(), re.M), f"the application did not end well: {one.said()[-3000:]}")

    def members(self):
        from confluent_kafka.admin import AdminClient
        groups = [group for group in AdminClient({"bootstrap.servers": self.address}).list_groups("streams", timeout=60)]
        return sum(len(group.members) for group in groups if group.state == "Stable")

    def compare(self, wanted):
        total = sum(len(values) for keys in wanted.values() for values in keys.values())
        self.until(lambda: self.reader.count >= total, f"{total} results")
        for topic in OUTPUTS:
            got = self.reader.seen[topic]
            if got != wanted[topic]:
                key = next(key for key in sorted({*got, *wanted[topic]}) if got.get(key) != wanted[topic].get(key))
                raise Failed(f"{topic}: {key} has {got.get(key)}\ninstead of {wanted[topic].get(key)}")

    def topics(self):
        """As Kafka Streams asked for them."""
        from confluent_kafka.admin import AdminClient, ConfigResource
        admin = AdminClient({"bootstrap.servers": self.address})
        own = sorted(topic for topic in admin.list_topics(timeout=60).topics if topic.startswith("streams-"))
        changelogs = ["city-store", "window-buffer-store", "window-store", "word-store"]
        check(own == sorted([f"streams-{name}-changelog" for name in changelogs + ["user-store"]] + ["streams-cities-repartition", "streams-words-repartition"]), f"topics: {own}")
        for topic, future in admin.describe_configs([ConfigResource("topic", topic) for topic in own]).items():
            config = {name: entry.value for name, entry in future.result().items()}
            if topic.name.endswith("-repartition"):
                wanted = {"cleanup.policy": "delete", "segment.bytes": "52428800", "retention.ms": "-1", "message.timestamp.type": "CreateTime"}
            elif "window-store" in topic.name:
                wanted = {"cleanup.policy": {"compact,delete", "delete,compact"}, "retention.ms": str(24 * 3600 * 1000 + WINDOW_MS + 5000), "message.timestamp.type": "CreateTime"}
            else:
                wanted = {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}
            for name, value in wanted.items():
                check(config[name] == value or config[name] in value, f"{topic.name}: {name} is {config[name]} instead of {value}")
        self.until(lambda: self.purged("streams-words-repartition"), "repartitioned records are deleted")

    def purged(self, topic):
        """Nothing is left that the application has not read."""
        from confluent_kafka import TopicPartition
        low_and_high = [self.reader.consumer.get_watermark_offsets(TopicPartition(topic, i), timeout=60) for i in range(PARTITIONS)]
        return all(low > 0 for low, high in low_and_high if high > 0)

    def stop(self):
        for one in self.applications:
            one.process.kill()
            one.process.wait()
        if hasattr(self, "reader"):
            self.reader.stop()
        code = self.server.stop()
        said = self.server.said()
        self.server.end()
        return code, said


# ---- a producer without Streams ----


def copy_in_transactions(version, work):
    """TxnSide, while the server is killed and stopped in turn: what comes out is what went in, once."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic
    work.mkdir()
    data = str(work / "data")
    server = Server(data)
    address = server.address
    try:
        admin = AdminClient({"bootstrap.servers": address})
        for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in ("in", "out")]).values():
            future.result()
        producer = Producer({"bootstrap.servers": address})
        for i in range(RECORDS):
            producer.produce("in", str(i), partition=i % PARTITIONS)
        check(producer.flush(LIMIT_S) == 0, "records were not written")
        with open(work / "log", "w", encoding="utf-8") as log:
            process = start_process([*java_of(version), "TxnSide", address, RECORDS, 1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        watch = threading.Timer(LIMIT_S, process.kill)
        watch.start()
        go = lambda: print(file=process.stdin, flush=True)
        ends, said = 0, []
        for line in process.stdout:
            if line != "open\n":
                said.append(line)
                continue
            restarts, waits = ends < RESTARTS, ends % 4 < 2 # else its end is on the way
            if not (restarts and waits):
                go()
            if restarts:
                server.process.kill() if ends % 2 == 0 else server.stop()
                server.process.wait()
                server.end()
                server = Server(data, kafka=address)
                ends += 1
            if restarts and waits:
                go()
        watch.cancel()
        check(process.wait(LIMIT_S) == 0, f"TxnSide ended with {process.returncode}: {(work / 'log').read_text()[-3000:]}")
        check(ends == RESTARTS, f"it was done after {ends} restarts")
        values = sorted(map(int, committed_values(address, "out")))
        check(values == list(range(RECORDS)), f"out has {len(values)} records: {collections.Counter(values).most_common(3)}")
        return "".join(said)
    finally:
        server.end()


def committed_values(address, topic):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": address, "group.id": "all", "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(topic, i, 0) for i in range(PARTITIONS)])
    values, waiting, deadline = [], set(range(PARTITIONS)), time.monotonic() + LIMIT_S
    while waiting:
        check(time.monotonic() < deadline, f"{topic} has no end")
        for message in consumer.consume(1000, 0.1):
            if message.error() is None:
                values.append(message.value().decode())
            else:
                waiting.discard(message.partition())
    consumer.close()
    return values


# ---- all of it ----


def draw_shares():
    """What happens, and the lines that come before it."""
    events = list(EVENTS)
    random_one = random.Random(int(os.environ.get("WEIR_STREAMS_SEED", "1")))
    two = False
    for _ in range(int(os.environ.get("WEIR_STREAMS_ROUNDS", "0"))):
        events.append(random_one.choice(["restart_first", "end_server", "kill_server", "kill_server", "kill_second" if two else "join_second"]))
        two = two if "second" not in events[-1] else not two
    lines = draw(LINES * len(events), 1)
    return [(event, lines[i * LINES:(i + 1) * LINES]) for i, event in enumerate(events)]


def try_version(version, shares):
    work = Path(tempfile.mkdtemp(prefix="weir-streams-"))
    begin = time.monotonic()
    try:
        run = Run(version, work)
        try:
            run.go(shares)
        finally:
            code, said = run.stop()
        left = [line for line in said.splitlines() if not TIMEOUT.search(line)] # by the ones that were killed
        check((code, left) == (0, []), f"the server ended with {code} and said: {left[-3000:]}")
        say(f"Kafka Streams {version}: ok, {time.monotonic() - begin:.0f} s, {run.reader.count} results; a transaction was open at {run.hits} of {len(shares)} times")
        begin = time.monotonic()
        said = copy_in_transactions(version, work / "copy")
        done = re.search(r"^done: (\d+) producers, (\d+) aborted$", said, re.M)
        check(done is not None and int(done[1]) == 1 and int(done[2]) <= RESTARTS // 4, f"TxnSide's transactions did not go on: {said}")
        say(f"a transactional producer of {version}: ok, {time.monotonic() - begin:.0f} s, {RECORDS} records over {RESTARTS} restarts, {done[0]}")
    finally:
        if "WEIR_KEEP" in os.environ:
            say(f"{work} is kept")
        else:
            shutil.rmtree(work, ignore_errors=True)


def main():
    versions = sys.argv[2:] or VERSIONS
    try:
        need_java()
        import confluent_kafka # of Debian, as is the interpreter
    except (Unavailable, ImportError) as reason:
        say(f"Kafka Streams: skipped: {reason}")
        return 77
    shares, failed, skipped = draw_shares(), 0, 0
    for version in versions:
        try:
            try_version(version, shares)
        except Unavailable as reason:
            say(f"Kafka Streams {version}: skipped: {reason}")
            skipped += 1
        except Failed as failure:
            say(f"Kafka Streams {version}: FAILED: {failure}")
            failed += 1
    say(f"Kafka Streams: {len(versions) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 77 if skipped == len(versions) else 0


if __name__ == "__main__":
    sys.exit(main())
