"""faust_peer.py: the workloads as a Faust app: faust_peer.py BOOTSTRAP WORKLOAD PARTITIONS COMMIT_MS DIRECTORY NUMBER

One worker, exactly_once (a transaction per topic group and partition, committed with the offsets), a tumbling table in RocksDB, orjson for the documents. The
results are the table's changelog: it is the one thing that a job writes which Faust's transactions cover, since what is sent to any other topic that the job
does not read goes out beside them. user-counts is keyed by the user already; ysb goes through the topic of group_by. Says "started MS" when the program
begins and "running MS" when Faust starts its tasks.
"""
import sys
import time

print("started", int(time.time() * 1000), flush=True)

import faust  # noqa: E402

BOOTSTRAP, WORKLOAD, PARTITIONS, COMMIT_MS, DIRECTORY, NUMBER = sys.argv[1:]
YSB = WORKLOAD == "ysb"

app = faust.App(
    "peer", broker=f"kafka://{BOOTSTRAP}", store="rocksdb://", processing_guarantee="exactly_once", topic_partitions=int(PARTITIONS),
    topic_replication_factor=1, broker_commit_interval=int(COMMIT_MS) / 1000, datadir=f"{DIRECTORY}/faust-{NUMBER}", web_enabled=False,
    consumer_auto_offset_reset="earliest", producer_compression_type="lz4", topic_disable_leader=True)
events = app.topic("events", key_type=bytes, key_serializer="raw", value_serializer="json")


def event_time(event):
    return int(event.value["event_time" if YSB else "ts"]) / 1000


counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=int(PARTITIONS)).tumbling(10.0 if YSB else 300.0).relative_to(
    event_time)


def campaign(document):
    return document["ad_id"][:8]


@app.agent(events)
async def count(stream):
    if YSB:
        views = stream.filter(lambda document: document["event_type"] == "view")
        async for document in views.group_by(campaign, name="campaign", partitions=int(PARTITIONS)):
            counts[campaign(document)] += 1
    else:
        async for document in stream:
            counts[document["user"]] += 1


@app.task
async def say_running():
    print("running", int(time.time() * 1000), flush=True)


faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()
