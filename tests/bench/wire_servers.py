"""wire_servers.py: the two servers that wire.py loads: `weir serve` of the build, and Apache Kafka from Maven Central beside it. One process each, whose
processor time and memory come from /proc.

    server.address    HOST:PORT
    server.cpu_s()    user and system time of all its threads since it was started
    server.rss_mb()   resident memory, that of mapped files included; MB are 10^6 bytes
    server.settings   what it runs with, for the JSON line

Kafka is set as its own start scripts and its own defaults set it; what differs stands in KAFKA_SETTINGS. Neither has a password or TLS, unless a bench says so.
"""
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE / "peers"))
import systems
from kafka_broker import Broker, need_java
from wire_server import Server

TICKS = os.sysconf("SC_CLK_TCK")
KAFKA_SETTINGS = {"log.segment.delete.delay.ms": 100}  # what a load has written is gone before the next one


class Process:
    def cpu_s(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self):
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


class Weir(Process):
    name = "weir"
    settings = {"acks=1": "written", "acks=all": "flushed (fdatasync, group commit)"}

    def __init__(self, directory, *flags):
        directory.mkdir(exist_ok=True)
        self.data, self.flags = directory / "data", flags
        self.start()

    def start(self):
        """Seconds from before its start to its word that it listens."""
        begin = time.monotonic()
        self.server = Server(str(self.data), *self.flags)
        seconds = time.monotonic() - begin
        self.address, self.port, self.pid = self.server.address, self.server.port, self.server.process.pid
        return seconds

    def kill(self):
        self.server.end()

    def stop(self):
        if self.server.process.poll() is None:
            self.server.stop()
        self.server.end()


class Kafka(Process):
    name = "kafka"
    settings = {"version": systems.KAFKA_VERSION, "mode": "KRaft, one node", "jvm": " ".join(systems.BROKER_JVM), "acks=1, acks=all": "written (page cache)",
                **KAFKA_SETTINGS}

    def __init__(self, directory):
        need_java()
        systems.prepare_kafka()
        directory.mkdir(exist_ok=True)
        self.broker = Broker(systems.kafka_classes(), directory, systems.BROKER_JVM, KAFKA_SETTINGS)
        self.broker.wait()
        self.address, self.port, self.pid = self.broker.bootstrap, self.broker.port, self.broker.process.pid

    def start(self):
        """Once more: seconds until it takes a connection."""
        begin = time.monotonic()
        self.broker.start()
        self.broker.wait(0.005)
        self.pid = self.broker.process.pid
        return time.monotonic() - begin

    def kill(self):
        self.broker.process.kill()
        self.broker.process.wait()

    def stop(self):
        self.broker.end()
