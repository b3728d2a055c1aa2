#!/usr/bin/env python3
"""Loads `weir serve` and Apache Kafka through the wire protocol, in the same run and in turn; tests/bench/run.sh wire-WHAT calls it.

    wire.py produce|consume|latency|idle|ready [--repeat N] [--only TEXT] [--scale PERCENT] [--servers weir,kafka] [--clients N] [--data DIR] [--keep]

Both servers run all the time on the same disk, and the load goes to one of them, then to the other, as often as --repeat says; before that each gets one
load that is not counted (the JVM compiles meanwhile). The client is wire_load.c, the same program with the same settings for both; what consume reads is
compared byte for byte. One JSON line for each load, then one for each case with the ratios; all else goes to standard error. docs/benchmarks.md
says what the fields mean.

Memory first: in a virtual machine memory that the host has not given yet costs whoever touches it first more than all else that a server does with
it. So WARM_BYTES are touched before a case, and a topic is deleted when its load is over, so that the next one finds its pages in use before.

Processor time is that of the server's process from just before a load to SETTLE_S after it, so that what it does afterwards (a flush, a collection)
is in it. The servers do not run at the same time in any sense that matters: who has no load takes some 1 % of a core (Kafka) or nothing.
"""
import argparse
import contextlib
import json
import mmap
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from confluent_kafka.admin import AdminClient
from kafka_broker import Failed, Unavailable
from wire_idle import run_idle, run_ready
from wire_servers import Kafka, Weir

BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or HERE.parents[1] / "build/release")
LOAD = BUILD / "bench/wire_load"
SETTLE_S = 1
WARM_BYTES = 4 << 30
PARTITIONS = 4
BIG = {"linger.ms": 5, "batch.size": 1_000_000, "batch.num.messages": 10_000}  # librdkafka's own values
SMALL = {"linger.ms": 5, "batch.size": 1_000_000, "batch.num.messages": 50}
NO_LINGER, SOME_LINGER = {"linger.ms": 0}, {"linger.ms": 1}
RATE = 10_000
FLUSH_EVERY_S = 0.005
FLUSHED = {"weir": "-", "kafka": "flush.messages=1"}


def say(text):
    print(f"wire: {text}", file=sys.stderr, flush=True)


def put(line):
    print(json.dumps(line, ensure_ascii=False), flush=True)


class Case:
    """One load: its name, what wire_load is told, and what is wanted of the ratios (None: nothing)."""

    def __init__(self, name, count, size, acks, settings, *, bars=True, create=None, rate=None):
        self.name, self.count, self.size, self.rate, self.bars = name, count, size, rate, bars
        self.settings = {"acks": acks, "compression.type": "none", **settings}
        self.create = create or {"weir": "-", "kafka": "-"}

    def words(self, mode, server, topic, count):
        words = [LOAD, mode, "-b", server.address, "-t", topic, "--count", count, "--size", self.size, "--partitions", PARTITIONS if mode != "latency" else 1]
        if mode != "consume":
            words += ["--create", self.create[server.name]]
            words += [word for name, value in self.settings.items() for word in ("-X", f"{name}={value}")]
        return [str(word) for word in (words + ["--rate", self.rate] if self.rate else words)]


PRODUCE = [
    Case("100-acks1", 5_000_000, 100, 1, BIG), Case("100-all", 5_000_000, 100, "all", BIG),
    Case("1024-acks1", 1_000_000, 1024, 1, BIG), Case("1024-all", 1_000_000, 1024, "all", BIG),
    Case("100-acks1-batches-of-50", 1_000_000, 100, 1, SMALL, bars=False), Case("100-all-batches-of-50", 1_000_000, 100, "all", SMALL, bars=False),
]
CONSUME = [Case("100", 5_000_000, 100, 1, BIG), Case("1024", 1_000_000, 1024, 1, BIG), Case("100-batches-of-50", 1_000_000, 100, 1, SMALL, bars=False)]
LATENCY = [
    Case("no-linger", 60_000, 100, "all", NO_LINGER, create=FLUSHED, rate=RATE), Case("linger-1ms", 60_000, 100, "all", SOME_LINGER, create=FLUSHED, rate=RATE),
]


class Bench:
    """A directory, the servers in it, and topics that get a new name each time."""

    def __init__(self, options):
        self.options, self.topics = options, 0
        self.work = Path(tempfile.mkdtemp(prefix="weir-wire-", dir=options.data))
        self.servers = []
        self.load_program = LOAD

    def __enter__(self):
        return self

    def start(self):
        for kind in (Weir, Kafka):
            if kind.name in self.options.servers:
                self.servers.append(kind(self.work / kind.name))
        return self.servers

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        if self.options.keep:
            say(f"kept {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)

    def new_topic(self):
        self.topics += 1
        return f"load-{self.topics}"

    def count(self, case):
        return max(case.count * self.options.scale // 100, 3 * (case.rate or 0), 1000)

    def load(self, server, mode, case, topics, count):
        """One load by as many clients as topics; its line without a name."""
        before, begin = server.cpu_s(), time.monotonic()
        clients = [subprocess.Popen(case.words(mode, server, topic, count), stdout=subprocess.PIPE, text=True) for topic in topics]
        said = [client.communicate()[0] for client in clients]
        wall = time.monotonic() - begin
        lines = [json.loads(text) if text.strip() else {"check": "failed: the client said nothing"} for text in said]
        check = next((line["check"] for line in lines if line["check"] != "ok"), "ok")
        if check != "ok":
            return {"check": check}
        time.sleep(SETTLE_S)
        records, seconds = sum(line["records"] for line in lines), max(line["seconds"] for line in lines)
        line = {"records": records, "seconds": round(seconds, 3), "records_per_s": round(records / seconds), "cpu_s_per_million": round((server.cpu_s() - before) / records * 1e6, 4),
                "client_cpu_s_per_million": round(sum(one["client_cpu_s"] for one in lines) / records * 1e6, 4), "rss_mb": round(server.rss_mb(), 1),
                "wall_s": round(wall, 3), "check": "ok"}
        return line | {name: value for name, value in lines[0].items() if name.endswith("_ms")}


def warm_memory():
    piece = bytes(1 << 20)
    with mmap.mmap(-1, WARM_BYTES) as memory:
        for _ in range(WARM_BYTES // len(piece)):
            memory.write(piece)


def delete_topics(server, topics):
    admin = AdminClient({"bootstrap.servers": server.address})
    for future in admin.delete_topics(topics).values():
        future.result()


def ratio(of, to):
    return round(of / to, 3) if to else None


def ratios(name, case, runs):
    """The medians of both and how they compare, run by run; reached: what the bars say."""
    line = {"bench": name, "case": case.name, "runs": len(runs["weir"])}
    for field in ("records_per_s", "cpu_s_per_million", "p99_ms"):
        pairs = [(ours[field], theirs[field]) for ours, theirs in zip(runs["weir"], runs["kafka"]) if field in ours and field in theirs]
        if pairs:
            line |= {f"weir_{field}": statistics.median(p[0] for p in pairs), f"kafka_{field}": statistics.median(p[1] for p in pairs),
                     f"{field}_to_kafka": statistics.median(ratio(*p) for p in pairs)}
    return line


class Flushes:
    """While it is entered: how long a write of 4 KB at a file's end and its fdatasync take, every FLUSH_EVERY_S, on the disk that the servers use."""

    def __init__(self, directory):
        self.fd = os.open(directory / "flush-times", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.times, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.wait(FLUSH_EVERY_S):
            os.write(self.fd, bytes(4096))
            begin = time.monotonic_ns()
            os.fdatasync(self.fd)
            self.times.append((time.monotonic_ns() - begin) / 1e6)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        os.close(self.fd)

    def figures(self):
        times = sorted(self.times)
        return {f"flush_{name}_ms": round(times[min(int(len(times) * part), len(times) - 1)], 3) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))}


def run_loads(bench, name, mode, cases):
    options, failed = bench.options, False
    servers = bench.start()
    for case in cases:
        if options.only and options.only not in case.name:
            continue
        warm_memory()
        runs = {"weir": [], "kafka": []}
        topics = {}
        for turn in range(-1, options.repeat):  # the first one is not counted
            for server in servers:
                count = bench.count(case)
                if mode == "consume":
                    if server.name not in topics:
                        topics[server.name] = [bench.new_topic() for _ in range(options.clients)]
                        filled = bench.load(server, "produce", case, topics[server.name], count)["check"]
                        if filled != "ok":
                            raise Failed(f"{server.name} did not take the records to consume: {filled}")
                    line = bench.load(server, mode, case, topics[server.name], count)
                else:
                    fresh = [bench.new_topic() for _ in range(options.clients)]
                    with Flushes(bench.work) if mode == "latency" else contextlib.nullcontext() as flushes:
                        line = bench.load(server, mode, case, fresh, count)
                    if flushes is not None:
                        line |= flushes.figures()
                    delete_topics(server, fresh)
                failed |= line["check"] != "ok"
                if turn < 0 and line["check"] == "ok":
                    continue
                put({"bench": name, "case": case.name, "system": server.name, "run": turn + 1, **line, "load": round(os.getloadavg()[0], 2)})
                if line["check"] == "ok":
                    runs[server.name].append(line)
        for server in servers:
            if server.name in topics:
                delete_topics(server, topics[server.name])
        if runs["weir"] and runs["kafka"]:
            put(ratios(name, case, runs) | {"settings": {"client": case.settings, "partitions": PARTITIONS if mode != "latency" else 1, "clients": options.clients, "topic": case.create,
                                                        **{server.name: server.settings for server in servers}}})
    return 4 if failed else 0


def run(bench):
    return {
        "produce": lambda: run_loads(bench, "wire-produce", "produce", PRODUCE),
        "consume": lambda: run_loads(bench, "wire-consume", "consume", CONSUME),
        "latency": lambda: run_loads(bench, "wire-latency", "latency", LATENCY),
        "idle": lambda: run_idle(bench, put),
        "ready": lambda: run_ready(bench, put),
    }[bench.options.what]()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["produce", "consume", "latency", "idle", "ready"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", help="cases whose names contain it")
    parser.add_argument("--scale", type=int, default=100, help="percent of the usual work")
    parser.add_argument("--servers", default="weir,kafka")
    parser.add_argument("--clients", type=int, default=1, help="processes that load at the same time, each a topic of its own")
    parser.add_argument("--data", default=os.environ.get("TMPDIR") or "/var/tmp")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    options.servers = options.servers.split(",")
    return options


def on_signal(number, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, on_signal)
    try:
        with Bench(parse()) as bench:
            try:
                return run(bench)
            except (Unavailable, subprocess.TimeoutExpired) as reason:
                put({"bench": f"wire-{bench.options.what}", "skipped": str(reason)})
                return 0
            except Failed as failure:
                put({"bench": f"wire-{bench.options.what}", "check": f"failed: {failure}"})
                return 4
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
