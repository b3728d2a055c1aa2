"""Faust against a server, for wire_clients.py: counts by a new key and in windows, in tables that a second life restores from their changelogs.

    wire_faust.py HOST:PORT FOLDER     drives; prints "faust: N checks"
    wire_faust.py --app HOST:PORT      the application, until SIGTERM

The application re-keys clicks (group_by: a repartition topic), counts them in a table, counts them by user in tumbling windows of ten seconds, and sends each new
count on. It keeps its tables in memory, so that all it knows after a restart is what it has read from its changelogs. What must come out is counted here with a few loops; it is
read by aiokafka, from the changelogs and from the topic of the counts.
"""
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

PARTITIONS = 3
CLICKS = 1500  # of each life
PAGES, USERS = 11, 7
WINDOW_S = 10
BEGIN_MS = 1760000000000
LIMIT_S = 120
checks = 0


def application(address):
    import faust

    class Click(faust.Record, serializer="json"):
        user: str
        page: str

    app = faust.App("clicks-app", broker=f"kafka://{address}", store="memory://", topic_partitions=PARTITIONS, web_enabled=False, broker_commit_interval=0.2,
                    broker_session_timeout=10, broker_heartbeat_interval=1, stream_wait_empty=False, table_key_index_size=1000)
    clicks = app.topic("clicks", key_type=str, key_serializer="raw", value_type=Click, partitions=PARTITIONS)
    counts = app.topic("page-counts", key_type=str, key_serializer="raw", value_type=int, value_serializer="json", partitions=PARTITIONS)
    by_page = app.Table("by-page", default=int, partitions=PARTITIONS)
    by_user = app.Table("by-user", default=int, partitions=PARTITIONS).tumbling(WINDOW_S)

    @app.agent(clicks)
    async def count_pages(stream):
        async for click in stream.group_by(Click.page):
            by_page[click.page] += 1
            await counts.send(key=click.page, value=by_page[click.page])

    @app.agent(clicks)
    async def count_users(stream):
        async for click in stream:
            by_user[click.user] += 1

    sys.argv = ["clicks-app", "worker", "-l", "warn"]
    app.main()


def check(condition, what):
    global checks
    if not condition:
        raise SystemExit(what)
    checks += 1


def draw(life):
    """(user, page, time): in order, so that no window is over when one of its clicks comes."""
    one = random.Random(life)
    return [(f"user-{one.randrange(USERS)}", f"page-{one.randrange(PAGES)}", BEGIN_MS + 100 * (life * CLICKS + i)) for i in range(CLICKS)]


async def create(address):
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in ("clicks", "page-counts")])
    await admin.close()


async def state(address):
    """The names of topics, and what the group has committed."""
    from aiokafka.admin import AIOKafkaAdminClient
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    there, committed = set(await admin.list_topics()), await admin.list_consumer_group_offsets("clicks-app")
    await admin.close()
    return there, {(place.topic, place.partition): offset.offset for place, offset in committed.items()}


async def write(address, clicks):
    from aiokafka import AIOKafkaProducer
    async with AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
        for sent in [await producer.send("clicks", json.dumps({"user": user, "page": page}).encode(), key=user.encode(), timestamp_ms=at) for user, page, at in clicks]:
            await sent


async def read(address, *topics):
    """{topic: {key: [values]}} up to the ends as of now."""
    from aiokafka import AIOKafkaConsumer, TopicPartition
    values, lasts = {topic: {} for topic in topics}, {}
    async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", isolation_level="read_committed") as consumer:
        places = [TopicPartition(topic, i) for topic in topics for i in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        lasts.update({(place.topic, place.partition): end for place, end in ends.items()})
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    values[place.topic].setdefault(record.key.decode(), []).append(json.loads(record.value) if record.value else None)
    return values, lasts


TOPICS = ("clicks-app-by-page-changelog", "clicks-app-by-user-changelog", "page-counts")


def wanted(clicks):
    """Of each topic the last value of each key."""
    pages, windows = Counter(page for _, page, _ in clicks), Counter()
    for user, _, at in clicks:
        start = at / 1000 // WINDOW_S * WINDOW_S
        windows[json.dumps([user, [start, start + WINDOW_S - 0.1]], separators=(",", ":"))] += 1
    return {TOPICS[0]: {json.dumps(page): n for page, n in pages.items()}, TOPICS[1]: dict(windows), TOPICS[2]: dict(pages)}


def last(values):
    return {topic: {key: of_key[-1] for key, of_key in keys.items()} for topic, keys in values.items()}


def differences(got, expected):
    return [(topic, key, got.get(topic, {}).get(key), n) for topic, keys in expected.items() for key, n in keys.items() if got.get(topic, {}).get(key) != n]


def life(address, folder, number, clicks, so_far):
    """One process of the application: reads these clicks, and ends when their results are there."""
    asyncio.run(write(address, clicks))
    with open(os.path.join(folder, f"faust-{number}.log"), "w", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, __file__, "--app", address], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    said = lambda: open(log.name, encoding="utf-8").read()[-3000:]
    try:
        deadline, values, lasts, committed = time.monotonic() + LIMIT_S, {}, {}, None
        while last(values) != wanted(so_far) or any(committed.get(place) != end for place, end in lasts.items() if end > 0):
            if process.poll() is not None:
                raise SystemExit(f"the application ended: {said()}")
            if time.monotonic() > deadline:
                raise SystemExit(f"after {LIMIT_S} s there is\n{differences(last(values), wanted(so_far))}\n{lasts}\n{committed}\n{said()}")
            there, committed = asyncio.run(state(address))
            values = asyncio.run(read(address, *TOPICS))[0] if there >= set(TOPICS) else {}
            lasts = asyncio.run(read(address, "clicks", *(topic for topic in there if topic.endswith("-repartition"))))[1]
        check(True, "results")
        process.send_signal(signal.SIGTERM)
        check(process.wait(LIMIT_S) is not None, "the application does not end")
        return values
    finally:
        process.kill()
        process.wait()


def drive(address, folder):
    so_far = []
    asyncio.run(create(address))
    for number in range(3):
        clicks = draw(number)
        so_far += clicks
        values = life(address, folder, number, clicks, so_far)
        # The application ended well each time, so that it counted on: no step is missing, none there twice.
        for page, counts in values["page-counts"].items():
            check(counts == list(range(1, len(counts) + 1)), f"life {number}: {page} has {counts}")
    print(f"faust: {checks} checks")


if __name__ == "__main__":
    if sys.argv[1] == "--app":
        application(sys.argv[2])
    else:
        drive(sys.argv[1], sys.argv[2])
