"""jobs.py: runs the weir command and the examples from the build directory, for the tests that are written in Python.

A Log is a data directory of its own under $TMPDIR; records come back as the dictionaries of `weir consume --format json`, with
decimals kept exactly.
"""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_SOURCE_DIR") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or ROOT / "build/release").resolve()
SAMPLES = ROOT / "examples/data"
SKIPPED = 77  # what CTest takes for "skipped"


def full_data():
    """The directory of the whole data sets, or None: they are no part of the project."""
    for place in (os.environ.get("WEIR_DATASET"), ROOT.parent / "shared/data"):
        if place and (Path(place) / "online-retail.ndjson.gz").exists():
            return Path(place)
    return None


def run(program, *arguments, stdin=None, check=True):
    """Runs a program of the build directory; the CompletedProcess, with text in stdout and stderr."""
    done = subprocess.run([str(BUILD / program), *map(str, arguments)], input=stdin, capture_output=True, timeout=280)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    if check and done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return done


def read_bytes(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


class Log:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def run(self, program, *arguments, **options):
        return run(program, *arguments, "--data", self.dir, **options)

    def produce(self, topic, data, *, key=None, partitions=1):
        keyed = ["--key", key] if key else []
        return self.run("weir", "produce", topic, "--partitions", partitions, "--timestamp", "ts", *keyed, stdin=data)

    def records(self, topic):
        out = self.run("weir", "consume", topic, "--until-end", "--format", "json").stdout
        return [json.loads(line, parse_float=Decimal) for line in out.splitlines()]

    def table(self, topic):
        """The last record of each key, without those that a tombstone ended. A key lives in one partition."""
        last = {}
        for record in self.records(topic):
            place = last.setdefault(record["key"], record)
            if place["partition"] != record["partition"]:
                raise AssertionError(f"{topic}: key {record['key']} in partitions {place['partition']} and {record['partition']}")
            last[record["key"]] = record
        return {key: record for key, record in last.items() if record["value"] is not None}


def murmur2(data):
    """Kafka's hash of keys, after org.apache.kafka.common.utils.Utils.murmur2."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(text, partitions):
    return (murmur2(text.encode()) & 0x7FFFFFFF) % partitions


sys.path.insert(0, str(Path(__file__).parent))
