#!/usr/bin/env python3
"""Runs the workloads user-counts and ysb in other systems, on the input that weir gets; tests/bench/run.sh WORKLOAD --peers calls it.

    peers.py --workload user-counts --bench build/release/bench/bench_user_counts [--peers kafka-streams,flink,faust]

Per system and thread count: a broker of Apache Kafka starts, the bench program prints its events, PeerTopics loads them (lz4, as many partitions as
threads), the job runs, PeerTopics checks what it committed against counts taken from the printed events. One JSON line each on standard output, all else on
standard error. README.md says what is measured and how each system is set; docs/benchmarks.md what the fields mean.

The clock starts just before the job's process does, and stops when the output's committed end (what a read_committed consumer can see) stops moving for
good: then it covers the last event, or the check fails. CPU and memory are those of the job's and the broker's processes, from /proc.
"""
import argparse
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "support"))
sys.path.insert(0, str(HERE))
from kafka_broker import Broker, Failed, Unavailable, need_java, start_process, stop_process
from sampler import Sampler
import systems

# The events' times lie in the past: nothing is to be deleted for its age.
BROKER_SETTINGS = {"log.retention.ms": -1, "log.retention.check.interval.ms": 86_400_000, "log.initial.task.delay.ms": 86_400_000}
TOPIC = "events"
KEYS = {"user-counts": 100_000, "ysb": 100}  # groups (per window), where nobody says which variant
QUIET_SECONDS = 3  # the output has ended: all input is committed and nothing was written for so long
STUCK_SECONDS = 60
LONGEST_SECONDS = 1200


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def follow(process, lines):
    """Puts the process's lines of standard output, as lists of words, into the queue."""
    def run():
        for line in process.stdout:
            words = line.decode(errors="replace").split()
            if words:
                lines.put(words)
    threading.Thread(target=run, daemon=True).start()


class Run:
    """One system, one variant, one thread count, in a directory and with a broker of its own."""

    def __init__(self, system, options, keys, threads, work):
        self.system, self.options, self.keys, self.threads, self.work = system, options, keys, threads, work
        self.events = options.peer_events or min(options.events or sys.maxsize, system.events[options.workload])
        self.processes = contextlib.ExitStack()
        self.jars = systems.kafka_classes()

    def topics(self, *arguments):
        return ["java", *systems.LOGGING, "-Xmx1g", "-cp", self.jars, "PeerTopics", arguments[0], self.broker.bootstrap, *arguments[1:]]

    def load(self):
        self.expected = self.work / "expected"
        events = start_process([self.options.bench, "--print", "--keys", self.keys, "--events", self.events], stdout=subprocess.PIPE)
        self.processes.callback(stop_process, events)
        loader = start_process(self.topics("load", self.options.workload, TOPIC, self.system.output, self.threads, self.expected,
                                           self.system.tail), stdin=events.stdout, stdout=sys.stderr)
        self.processes.callback(stop_process, loader)
        events.stdout.close()
        if loader.wait() != 0 or events.wait() != 0:
            raise Failed("the events could not be loaded")

    def start_watcher(self, lines):
        watcher = start_process(self.topics("watch", self.system.output, self.system.group, TOPIC), stdout=subprocess.PIPE)
        self.processes.callback(stop_process, watcher)
        follow(watcher, lines)
        lines.get(timeout=60)  # it looks already

    def start_job(self, lines):
        jobs = []
        for command in self.system.commands(self.broker.bootstrap, self.options, self.threads, self.work):
            jobs.append(start_process(command, cwd=self.work, stdout=subprocess.PIPE))
            self.processes.callback(stop_process, jobs[-1])
            follow(jobs[-1], lines)
        return jobs

    def wait(self, jobs, lines, begin):
        """Until the output has ended; what was seen: when main began, when all tasks ran, when the last commit became visible."""
        seen, left, moved = {"started": [], "running": []}, None, begin
        while True:
            with contextlib.suppress(queue.Empty):
                words = lines.get(timeout=0.1)
                if words[0] == "output":
                    moved = seen["end"] = int(words[1]) / 1000
                    seen.setdefault("first", seen["end"])
                elif words[0] == "input":
                    if left != int(words[2]):
                        moved = max(moved, int(words[1]) / 1000)
                    left = int(words[2])
                elif words[0] in seen:
                    seen[words[0]].append(int(words[1]) / 1000)
                continue
            codes = [job.poll() for job in jobs]
            if any(code not in (None, 0) for code in codes):
                raise Failed(f"the job ended with {codes}")
            quiet = time.time() - moved
            if "end" in seen and quiet > QUIET_SECONDS and (left == 0 or all(code == 0 for code in codes)):
                return seen
            if quiet > STUCK_SECONDS or time.time() - begin > LONGEST_SECONDS:
                raise Failed(f"stuck: {left} events are not committed, nothing moved for {quiet:.0f} s")

    def check(self):
        done = subprocess.run([str(c) for c in self.topics("check", self.system.output, self.expected)], stdout=subprocess.PIPE, text=True)
        words = done.stdout.strip()
        if done.returncode != 0 or not words.startswith("ok "):
            raise Failed(words or "the results could not be read")
        return int(words.split()[1])

    def measure(self):
        with self.processes:
            self.broker = Broker(self.jars, self.work, systems.BROKER_JVM, BROKER_SETTINGS)
            self.processes.callback(self.broker.stop)
            self.broker.wait()
            say(f"{self.system.name}: loading {self.events} events, {self.threads} partition(s), data in {self.work}")
            self.load()
            lines = queue.Queue()
            self.start_watcher(lines)
            say(f"{self.system.name}: running")
            sampler, begin = Sampler({"broker": [self.broker.process.pid]}), time.time()
            with sampler:
                jobs = self.start_job(lines)
                sampler.add("job", [job.pid for job in jobs])
                seen = self.wait(jobs, lines, begin)
            for job in jobs:
                stop_process(job)
            return self.figures(seen, begin, sampler, self.check())

    def figures(self, seen, begin, sampler, rows_out):
        seconds, million = seen["end"] - begin, self.events / 1e6
        running = max(seen["running"]) - begin if seen["running"] else None
        job, broker = (sampler.cpu_until(name, seen["end"]) / million for name in ("job", "broker"))
        return {
            "events": self.events, "seconds": round(seconds, 3), "events_per_s": round(self.events / seconds),
            "program_start_s": round(max(seen["started"]) - begin, 3) if seen["started"] else None,
            "start_s": round(running, 3) if running is not None else None,
            "started_events_per_s": round(self.events / (seconds - running)) if running is not None and running < seconds else None,
            "cpu_s_per_million": round(job + broker, 4), "job_cpu_s_per_million": round(job, 4), "broker_cpu_s_per_million": round(broker, 4),
            "peak_rss_mb": round(sampler.peak_mb(), 1), "job_peak_rss_mb": round(sampler.peak_mb("job"), 1),
            "broker_peak_rss_mb": round(sampler.peak_mb("broker"), 1), "rows_out": rows_out,
        }


def run_one(system, options, keys, threads):
    """One line; the exit code."""
    line = {"workload": options.workload, "system": system.name, "threads": threads, "keys": keys}
    work = Path(tempfile.mkdtemp(prefix=f"weir-peer-{system.name}-", dir=options.data))
    try:
        run = Run(system, options, keys, threads, work)
        try:
            line |= run.measure() | {"check": "ok"}
        except Failed as failure:
            say(f"{system.name}: {failure}")
            line |= {"events": run.events, "check": f"failed: {failure}"}
        line |= {"load": round(os.getloadavg()[0], 2), "versions": system.versions(), "settings": system.settings(options, threads)}
        print(json.dumps(line, ensure_ascii=False), flush=True)
        return 0 if line["check"] == "ok" else 4
    finally:
        if options.keep:
            say(f"kept {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def run_system(system, options):
    try:
        need_java()
        systems.prepare_kafka()
        system.prepare()
    except (Unavailable, subprocess.TimeoutExpired) as reason:
        print(json.dumps({"workload": options.workload, "system": system.name, "skipped": str(reason)}, ensure_ascii=False), flush=True)
        return 0
    return max(run_one(system, options, keys, threads) for keys in options.keys for threads in options.threads)


def key_counts(text):
    return [int(part) for part in text.split(",")]


def thread_counts(text):
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1 or max(counts) > 64:
        raise ValueError(text)
    return counts


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", required=True, choices=["user-counts", "ysb"])
    parser.add_argument("--bench", required=True, type=Path, help="the bench program, which prints the events")
    parser.add_argument("--peers", default=",".join(systems.SYSTEMS), help="which systems, in this order")
    parser.add_argument("--events", type=int, default=int(os.environ.get("WEIR_BENCH_EVENTS") or 0), help="at most so many; a slow system has fewer of its own")
    parser.add_argument("--peer-events", type=int, default=0, help="exactly so many, for every system")
    parser.add_argument("--keys", type=key_counts, help="variants of the workload; which ones there are, the bench program knows")
    parser.add_argument("--threads", type=thread_counts, default=os.environ.get("WEIR_BENCH_THREADS") or "1")
    parser.add_argument("--commit-interval", type=int, default=100)
    parser.add_argument("--durability", choices=["commit", "os"], help="weir's alone: a broker never flushes for a commit")
    parser.add_argument("--data", default=os.environ.get("TMPDIR") or "/var/tmp")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    options.keys = options.keys or [KEYS[options.workload]]
    options.peers = options.peers.split(",")
    for name in options.peers:
        if name not in systems.SYSTEMS:
            parser.error(f"there is no peer {name}; there are {', '.join(systems.SYSTEMS)}")
    return options


def on_signal(number, frame):
    raise KeyboardInterrupt


def main():
    options = parse()
    signal.signal(signal.SIGTERM, on_signal)
    try:
        return max(run_system(systems.SYSTEMS[name], options) for name in options.peers)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
