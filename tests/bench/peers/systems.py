"""systems.py: the peers: what each needs, how its job is started, which settings it runs with.

A System has a name, its default event counts (ten seconds and more of steady running on a slow machine), the consumer group whose committed offsets say how
far it is, the topic of its results, a tail (so many unchecked events more in each partition, without which its last results would stay invisible), prepare()
(fetches and compiles; raises Unavailable), commands() (one process each), versions() and settings(), which go into the JSON line.
"""
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parents[1] / "support"))
from kafka_broker import Unavailable, compile_java, fetch_jars

CACHE = ROOT / "build" / "peers"
KAFKA_VERSION, JACKSON_VERSION = "4.3.1", "2.21.2"
FLINK_VERSION, CONNECTOR_VERSION = "2.2.1", "5.0.0-2.2"
KAFKA_JARS, KAFKA_CLASSES = CACHE / f"kafka-{KAFKA_VERSION}", CACHE / "classes-kafka"
FLINK_JARS, FLINK_CLASSES = CACHE / f"flink-{FLINK_VERSION}", CACHE / "classes-flink"
LOGGING = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
BROKER_JVM = [*LOGGING, "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"]  # of kafka-server-start.sh
SHARED_SOURCES = [HERE / "PeerEvent.java", HERE / "PeerTopics.java"]


def kafka_classes():
    """Class path of the broker, of PeerTopics and of the Streams job."""
    return f"{KAFKA_CLASSES}:{KAFKA_JARS}/*"


def prepare_kafka():
    fetch_jars(HERE / "kafka-streams" / "pom.xml", KAFKA_JARS, {"kafka.version": KAFKA_VERSION, "jackson.version": JACKSON_VERSION})
    compile_java([*SHARED_SOURCES, HERE / "kafka-streams" / "StreamsPeer.java"], f"{KAFKA_JARS}/*", KAFKA_CLASSES)


class KafkaStreams:
    name = "kafka-streams"
    group = "peer"
    output = "results"
    tail = 0
    events = {"user-counts": 1_000_000, "ysb": 2_000_000}
    heap = ["-Xms1g", "-Xmx1g"]

    def prepare(self):
        """prepare_kafka did it."""

    def commands(self, bootstrap, options, threads, work):
        return [["java", *LOGGING, *self.heap, "-cp", kafka_classes(), "StreamsPeer", bootstrap, options.workload, threads, options.commit_interval, work / "state"]]

    def versions(self):
        return {"kafka": KAFKA_VERSION, "kafka-streams": KAFKA_VERSION, "jackson": JACKSON_VERSION}

    def settings(self, options, threads):
        return {"processing.guarantee": "exactly_once_v2", "commit.interval.ms": options.commit_interval, "num.stream.threads": threads,
                "statestore.cache.max.bytes": 256 << 20, "topology.optimization": "all", "compression.type": "lz4", "store": "RocksDB",
                "jvm": " ".join(self.heap)}


class Flink:
    name = "flink"
    group = "peer"
    output = "results"
    tail = 0
    events = {"user-counts": 3_000_000, "ysb": 6_000_000}
    checkpoint_ms = 1000  # what Flink's page about checkpointing sets in its example
    heap = ["-Xms1g", "-Xmx1g"]
    # What Flink's own configuration opens for its serializers (env.java.opts.all).
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in (
        "java.util", "java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util.concurrent",
        "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.net.util")]

    def prepare(self):
        versions = {"flink.version": FLINK_VERSION, "connector.version": CONNECTOR_VERSION, "jackson.version": JACKSON_VERSION}
        fetch_jars(HERE / "flink" / "pom.xml", FLINK_JARS, versions)
        compile_java([HERE / "PeerEvent.java", HERE / "flink" / "FlinkPeer.java"], f"{FLINK_JARS}/*", FLINK_CLASSES)

    def commands(self, bootstrap, options, threads, work):
        return [["java", *LOGGING, *self.heap, *self.opens, f"-Djava.io.tmpdir={work}", "-cp", f"{FLINK_CLASSES}:{FLINK_JARS}/*", "FlinkPeer", bootstrap,
                 options.workload, threads, self.checkpoint_ms, work]]

    def versions(self):
        return {"kafka": KAFKA_VERSION, "flink": FLINK_VERSION, "flink-connector-kafka": CONNECTOR_VERSION, "jackson": JACKSON_VERSION}

    def settings(self, options, threads):
        return {"checkpointing": "exactly once", "checkpoint_interval_ms": self.checkpoint_ms, "incremental": True, "state.backend.type": "rocksdb",
                "sink": "KafkaSink EXACTLY_ONCE", "parallelism": threads, "taskmanager.memory.managed.size": "256mb", "pipeline.object-reuse": True,
                "compression.type": "lz4", "jvm": " ".join(self.heap)}


class Faust:
    name = "faust"
    group = "peer"
    output = "peer-counts-changelog"  # of its table: the only thing that Faust's transactions cover
    events = {"user-counts": 30_000, "ysb": 60_000}
    tail = 500
    requirements = HERE / "faust" / "requirements.txt"

    def venv(self):
        return CACHE / f"faust-{self.versions()['faust-streaming']}"

    def prepare(self):
        venv = self.venv()
        if (venv / "complete").exists():
            return
        for command in ([sys.executable, "-m", "venv", "--clear", venv], [venv / "bin" / "pip", "install", "-q", "-r", self.requirements]):
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                reason = (done.stderr + done.stdout).strip().splitlines()
                raise Unavailable(f"{command[-1].name} cannot be installed: {reason[-1] if reason else '?'}")
        (venv / "complete").touch()

    def commands(self, bootstrap, options, threads, work):
        return [[self.venv() / "bin" / "python", HERE / "faust" / "faust_peer.py", bootstrap, options.workload, threads, options.commit_interval, work, number]
                for number in range(threads)]

    def versions(self):
        return {"kafka": KAFKA_VERSION, **dict(line.split("==") for line in self.requirements.read_text().split())}

    def settings(self, options, threads):
        return {"processing_guarantee": "exactly_once", "broker_commit_interval_ms": options.commit_interval, "store": "rocksdb (rocksdict)", "json": "orjson",
                "workers": threads, "producer_compression_type": "lz4", "results": "the table's changelog"}


SYSTEMS = {system.name: system for system in (KafkaStreams(), Flink(), Faust())}
