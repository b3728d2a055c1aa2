#!/usr/bin/env python3
"""How soon a row that a Kafka client writes is seen in a question to a view over HTTP, while the job runs; tests/bench/run.sh views calls it.

    views.py [--load ROWS_PER_S] [--keys N] [--probes N] [--no-questions]

One `weir serve` with one view: count and sum for each key. A load of ROWS_PER_S rows over N keys comes in all the time, in its own process, and beside it probes: a row of a key of its own is written, and the view asked for
that key over one connection, again and again, until it is there. One JSON line: `acked`, from the write to the client's acknowledgement; `visible`, from the write to the answer that has it; `question`, one request; `first`, the
first question of all, which reads what came since the last checkpoint; the server's processor time per second and its largest resident memory. --no-questions: the same time without a question, for what asking costs the job.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("WEIR_BUILD_DIR", str(HERE.parents[1] / "build/release"))
sys.path.insert(0, str(HERE.parent / "support"))
from confluent_kafka import Producer
from http_server import Server

JOB = """CREATE TABLE events (key text NOT NULL, n bigint) WITH (partitions = 2, partitioned_by = 'key');
CREATE MATERIALIZED VIEW counts AS SELECT key, count(*) AS n, sum(n) AS total FROM events GROUP BY key;
"""
FIRST_S, SLICE_S = 8, 0.01


def producer_of(address):
    return Producer({"bootstrap.servers": address, "linger.ms": 0, "partitioner": "murmur2_random", "queue.buffering.max.messages": 1000000})


def load(address, per_s, keys):
    """Until it is killed."""
    producer, draw, sent, began = producer_of(address), random.Random(1), 0, time.monotonic()
    while True:
        while sent < (time.monotonic() - began) * per_s:
            key = f"k{draw.randrange(keys)}"
            try:
                producer.produce("events", json.dumps({"key": key, "n": 1}), key=key)
                sent += 1
            except BufferError:
                producer.poll(SLICE_S)
        producer.poll(SLICE_S)


def percentiles(seconds):
    ordered = sorted(seconds)
    return {f"p{part}": round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1000, 2) for part in (50, 90, 99)}


class Asking:
    def __init__(self, server):
        self.connection = server.connect()

    def count_of(self, key):
        """How often the view has it, and how long the question took."""
        began = time.perf_counter()
        self.connection.request("POST", "/api/v1/query", f"SELECT n FROM counts WHERE key = '{key}'")
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        return (answer["rows"][0]["n"] if answer["rows"] else 0), time.perf_counter() - began


def probe(producer, asking, key, told):
    acked = []
    began = time.perf_counter()
    producer.produce("events", json.dumps({"key": key, "n": 1}), key=key, on_delivery=lambda error, _: acked.append((error, time.perf_counter())))
    while True:
        producer.poll(0)
        count, took = asking.count_of(key)
        told["question"].append(took)
        if count == 1:
            break
    told["visible"].append(time.perf_counter() - began)
    producer.flush()
    assert acked[0][0] is None
    told["acked"].append(acked[0][1] - began)


def cpu_s(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows_in(server):
    return server.get("/api/v1/pipelines")[1]["pipelines"][0]["rows"]["in"]


def largest_mb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))


def measure(server, options, told):
    producer, asking = producer_of(server.address), Asking(server)
    time.sleep(FIRST_S if options.load else 0)
    began, cpu, rows = time.monotonic(), cpu_s(server.process), rows_in(server)
    if options.no_questions:
        time.sleep(options.probes / 50)
    else:
        told["first"] = round(asking.count_of("nobody")[1] * 1000, 2)
        for number in range(options.probes):
            probe(producer, asking, f"probe{number}", told)
            time.sleep(SLICE_S)
    took = time.monotonic() - began
    told["cpu_per_s"] = round((cpu_s(server.process) - cpu) / took, 3)
    told["rows_per_s"] = round((rows_in(server) - rows) / took)
    told["largest_mb"] = largest_mb(server.process)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--keys", type=int, default=100000)
    parser.add_argument("--probes", type=int, default=500)
    parser.add_argument("--no-questions", action="store_true")
    parser.add_argument("--as-load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_load:
        load(options.as_load[0], int(options.as_load[1]), int(options.as_load[2]))
    home = tempfile.mkdtemp(prefix="weir-views-")
    job = os.path.join(home, "job.sql")
    with open(job, "w", encoding="utf-8") as file:
        file.write(JOB)
    server, loader = Server(os.path.join(home, "data"), job), None
    told = {"workload": "views", "load": options.load, "keys": options.keys, "acked": [], "visible": [], "question": []}
    try:
        while server.get("/readyz")[0] != 200:
            time.sleep(SLICE_S)
        if options.load:
            loader = subprocess.Popen([sys.executable, __file__, "--as-load", server.address, str(options.load), str(options.keys)])
        measure(server, options, told)
    finally:
        if loader is not None:
            loader.kill()
            loader.wait()
        server.end()
        shutil.rmtree(home)
    for name in ("acked", "visible", "question"):
        told[name] = percentiles(told[name]) if told[name] else None
    print(json.dumps(told))


if __name__ == "__main__":
    main()
