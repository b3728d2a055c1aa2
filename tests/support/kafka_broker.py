"""kafka_broker.py: Apache Kafka for tests and benchmarks: jars from Maven Central through Maven, and a broker (KRaft, one node) with a life as short as the
test's.

fetch_jars(pom, …) copies what a pom names, once, into a folder under build/; compile_java compiles beside it what is older than its source. Both raise
Unavailable, whose text says why, where there is no JDK, no Maven or no network: a caller skips then. A Broker listens on free ports of 127.0.0.1, keeps its
data under the directory that it is given, and is ended by stop(). Processes that start_process starts are also ended by the kernel when the process that
started them dies, whatever it died of.
"""
import ctypes
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SMALL_JVM = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # starts soon and takes little
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "num.partitions": 1,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
}
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


class Failed(Exception):
    """Something that must work did not; the text says what."""


class Unavailable(Exception):
    """What is needed is not here and cannot be got; the text says what."""


def need_java():
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            raise Unavailable(f"there is no {program} here (Debian: default-jdk-headless, maven)")


def fetch_jars(pom, jars, properties):
    """Copies the jars that the pom names, with these properties (its versions), into the folder jars, unless it holds them already."""
    if not (jars / "complete").exists():
        shutil.rmtree(jars, ignore_errors=True)
        jars.mkdir(parents=True)
        versions = [f"-D{name}={value}" for name, value in properties.items()]
        result = subprocess.run(["mvn", "-B", "-q", "-f", str(pom), *versions, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
                                capture_output=True, timeout=600)
        if result.returncode != 0:
            shutil.rmtree(jars)
            reason = (result.stdout + result.stderr).decode(errors="replace").strip().splitlines()
            raise Unavailable(f"Maven cannot get {' '.join(versions)}: {reason[0] if reason else '?'}")
        (jars / "complete").touch()
    return jars


def compile_java(sources, class_path, classes):
    """Compiles those sources whose class is older, into the folder classes."""
    stale = [s for s in sources if not (classes / f"{s.stem}.class").exists() or (classes / f"{s.stem}.class").stat().st_mtime < s.stat().st_mtime]
    if stale:
        done = subprocess.run(["javac", "-cp", f"{classes}:{class_path}", "-d", str(classes), *map(str, stale)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"javac {stale[0].name}: {(done.stderr + done.stdout)[-3000:]}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_process(command, **options):
    """A process in a session of its own (a terminal's Ctrl-C does not reach it: who started it ends it) that does not outlive its parent."""
    return subprocess.Popen([str(c) for c in command], start_new_session=True,
                            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), **options)


def stop_process(process, seconds=30):
    """SIGTERM, and SIGKILL to what is still there after so many seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Broker:
    """One node, formatted by Kafka's own tool. class_path has kafka_2.13 and what it needs; settings are added to PROPERTIES."""

    def __init__(self, class_path, work, jvm, settings):
        self.port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.data = work / "kafka"
        own = {"controller.quorum.voters": f"1@127.0.0.1:{controller}", "log.dirs": self.data, "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
               "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}"}
        properties = work / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in {**PROPERTIES, **own, **settings}.items()))
        done = subprocess.run(["java", *SMALL_JVM, "-cp", class_path, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"the broker's directory cannot be formatted: {(done.stderr + done.stdout)[-3000:]}")
        self.output = open(work / "broker.log", "wb")
        self.command = ["java", *jvm, "-cp", class_path, "kafka.Kafka", properties]
        self.start()

    def start(self):
        """Once more, on the same data, when it has ended."""
        self.process = start_process(self.command, stdout=self.output, stderr=subprocess.STDOUT)

    def wait(self, every_seconds=0.1):
        """Until it listens."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed("the broker ended: " + Path(self.output.name).read_text()[-3000:])
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(every_seconds)
        raise Failed("the broker did not listen within 60 s")

    def end(self):
        """SIGTERM; it may be started again."""
        stop_process(self.process)

    def stop(self):
        self.end()
        self.output.close()
