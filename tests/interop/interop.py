#!/usr/bin/env python3
"""Apache Kafka's own code reads weir's files, and weir's decoders read files that an Apache Kafka broker wrote.

    tests/interop/interop.py [BUILD_DIR]        build/release unless said otherwise

1. interop_write fills a data directory and prints what it asked for. Kafka's dump tool (kafka.tools.DumpLogSegments; deep iteration, index
   verification, index sanity checks) and Kafka's FileRecords (KafkaSide.java dump: headers and raw bytes, which the tool does not print) read the
   .log, .index, .timeindex and .snapshot files; both must show exactly what was asked for, and of a compacted topic what compaction has to leave.
2. A broker (KRaft, one node, storage formatted by Kafka's own tool) runs; Kafka's producers and its console producer write to it: every codec, two
   transactional producers that commit, abort and leave a transaction open, a compacted topic over which the broker's cleaner went. Kafka's consumer prints
   what it sees, committed and not. interop_read then reads the segment files, once as they are while the broker runs (which is what a crash leaves:
   indexes preallocated), once after a clean stop; and weir topic import --segments takes the former over.

Both with each of VERSIONS. The jars come from Maven Central through Maven and are kept in build/interop. Exit code: 0, 1, or 77 with the reason
when there is no JDK, no Maven, or no way to get the jars. The last line on success is "interop: N checks passed".
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from kafka_broker import SMALL_JVM, Broker, Failed, Unavailable, compile_java, fetch_jars, need_java

SOURCE = HERE.parent.parent
CACHE = SOURCE / "build" / "interop"
VERSIONS = {  # version → main class of the console producer: it moved
    "3.9.1": "kafka.tools.ConsoleProducer",
    "4.1.0": "org.apache.kafka.tools.ConsoleProducer",
}
DUMP_TOOL = "kafka.tools.DumpLogSegments"  # of both
checks = 0


def say(text):
    print(text, flush=True)


def skip(reason):
    say(f"interop: skipped: {reason}")
    sys.exit(77)


def check(condition, text):
    global checks
    if not condition:
        raise Failed(text)
    checks += 1


def same(got, expected, what):
    """Equal lists, or the first difference."""
    for i, (left, right) in enumerate(zip(got, expected)):
        if left != right:
            raise Failed(f"{what}: entry {i} is\n  {left}\ninstead of\n  {right}")
    check(len(got) == len(expected), f"{what}: {len(got)} entries instead of {len(expected)}")


def run(command, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, **options)
    if result.returncode != 0:
        text = (result.stderr + result.stdout).decode(errors="replace")[-3000:]
        raise Failed(f"{command[0]} … {command[-1]} ended with {result.returncode}:\n{text}")
    return result.stdout


def lines_of(output):
    return [json.loads(line) for line in output.splitlines()]


# ---- Kafka's jars ----


def fetch(version):
    """The folder with the jars of a version and the compiled KafkaSide."""
    try:
        jars = fetch_jars(HERE / "pom.xml", CACHE / f"kafka-{version}", {"kafka.version": version})
    except Unavailable as reason:
        skip(reason)
    compile_java([HERE / "KafkaSide.java"], f"{jars}/*", jars / "classes")
    return jars


def class_path(jars):
    return f"{jars}/classes:{jars}/*"


def java(jars, main_class, *arguments, **options):
    command = ["java", *SMALL_JVM, "-cp", class_path(jars), main_class]
    return run(command + [str(a) for a in arguments], **options)


# ---- our files, their tools ----

BATCH = re.compile(
    r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) baseSequence: (-?\d+) lastSequence: -?\d+ producerId: (-?\d+) producerEpoch: (-?\d+) "
    r"partitionLeaderEpoch: 0 isTransactional: (true|false) isControl: (true|false) deleteHorizonMs: \S+ position: (\d+) CreateTime: \d+ "
    r"size: (\d+) magic: 2 compresscodec: (\w+) crc: \d+ isvalid: (true|false)$")
RECORD = re.compile(
    r"\| offset: (\d+) CreateTime: (\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: (-?\d+) headerKeys: \[(.*?)\](?: key: (\S*?))?(?: payload: (.*))?$")
MARKER = re.compile(r"\| offset: (\d+) CreateTime: \d+ keySize: 4 valueSize: 6 sequence: -1 headerKeys: \[\] endTxnMarker: (COMMIT|ABORT) coordinatorEpoch: 0$")


def partition_files(directory, suffix):
    """{(topic, partition): [files in offset order]}. Kafka calls what it is about to remove TOPIC-PARTITION.ID-delete."""
    files = {}
    for path in sorted(directory.glob(f"*/*{suffix}")):
        topic, _, partition = path.parent.name.rpartition("-")
        if partition != "delete":
            files.setdefault((topic, int(partition)), []).append(path)
    return files


def text_of(hexadecimal):
    return None if hexadecimal is None else bytes.fromhex(hexadecimal).decode()


def expected_events(expected):
    """What was asked for, per partition, markers with the offset they must have."""
    events = {}
    for line in expected:
        partition = events.setdefault((line["topic"], line["partition"]), [])
        if line["kind"] == "marker":
            line["offset"] = partition[-1]["offset"] + 1
        partition.append(line)
    return events


def fates(events):
    """Offsets of records whose transaction was aborted."""
    aborted, open_of = set(), {}
    for event in events:
        if event["kind"] == "record" and event["transactional"]:
            open_of.setdefault(event["producer_id"], []).append(event["offset"])
        elif event["kind"] == "marker":
            offsets = open_of.pop(event["producer_id"], [])
            aborted.update([] if event["commit"] else offsets)
    return aborted


def compact(events, below):
    """What compaction leaves of a partition's events, of which those below the offset were closed: of each key the newest that counts, tombstones
    (their time has not come), and every marker."""
    aborted = fates(events)
    newest = {e["key"]: e["offset"] for e in events if e["kind"] == "record" and e["offset"] < below and e["offset"] not in aborted}
    return [e for e in events if e["kind"] == "marker" or e["offset"] >= below or newest.get(e["key"]) == e["offset"]]


def after_compaction(events, topics):
    """Takes out what compaction removed."""
    for place, lines in events.items():
        if lines[-1]["kind"] != "cleaned":
            continue
        removed = lines.pop()["removed"]
        files = partition_files(topics, ".log")[place]
        left = compact(lines, int(files[-1].stem))
        check(removed == len(lines) - len(left) and removed > 1000, f"compaction says it removed {removed} records of {len(lines)}, not {len(lines) - len(left)}")
        for event in left:
            event["any_codec"] = True  # a batch of which little is left may be shorter without one
        events[place] = left


def as_dumped(event):
    """An event as the dump tool can show it."""
    writer = (event["producer_id"], event["epoch"])
    if event["kind"] == "marker":
        return ("marker", event["offset"], "COMMIT" if event["commit"] else "ABORT", writer)
    key, value = event["key"], event["value"]
    return ("record", event["offset"], event["timestamp"], text_of(key), text_of(value), -1 if key is None else len(key) // 2,
            -1 if value is None else len(value) // 2, [name for name, _ in event["headers"]], event["sequence"], event["codec"].lower(),
            event["transactional"], writer)


def parse_dump(output):
    """The dump tool's text as {file: [events]}; unknown lines fail."""
    files, batch, at = {}, None, 0
    for line in output.decode().splitlines():
        if line.startswith("Dumping "):
            events, at = files.setdefault(line[len("Dumping "):], []), 0
            continue
        if line.startswith("Log starting offset: "):
            continue
        if found := BATCH.match(line):
            base, last, count, sequence, producer, epoch, transactional, control, position, size, codec, valid = found.groups()
            check(int(position) == at and valid == "true", f"not where the batch before ends, or invalid: {line}")
            at += int(size)
            batch = {"codec": codec, "writer": (int(producer), int(epoch)), "transactional": transactional == "true"}
        elif found := MARKER.match(line):
            events.append(("marker", int(found[1]), found[2], batch["writer"]))
        elif found := RECORD.match(line):
            offset, timestamp, key_size, value_size, sequence, headers, key, value = found.groups()
            events.append(("record", int(offset), int(timestamp), key, value, int(key_size), int(value_size), headers.split(",") if headers else [],
                           int(sequence), batch["codec"], batch["transactional"], batch["writer"]))
        else:
            raise Failed(f"the dump tool says: {line}")
    return files


def dump_with_tool(jars, directory, events):
    logs = partition_files(directory, ".log")
    names = ",".join(str(f) for files in logs.values() for f in files)
    dumped = parse_dump(java(jars, DUMP_TOOL, "--deep-iteration", "--print-data-log", "--files", names))
    for place, files in logs.items():
        got = [event for f in files for event in dumped[str(f)]]
        asked = events.get(place, [])
        for i, event in enumerate(asked):
            if event.get("any_codec") and event["kind"] == "record" and i < len(got) and got[i][0] == "record":
                event["codec"] = got[i][9]
        same(got, [as_dumped(event) for event in asked], f"{DUMP_TOOL} of {place[0]}-{place[1]}")
    segments = sum(len(files) for files in logs.values())
    say(f"  {DUMP_TOOL} --deep-iteration: {segments} segments of {len(logs)} partitions show what was written")


def check_indexes(jars, directory):
    names = [f for suffix in (".index", ".timeindex") for files in partition_files(directory, suffix).values() for f in files]
    entries = sum(f.stat().st_size for f in names if f.suffix == ".index") // 8
    check(entries > 100, f"only {entries} index entries to check")
    joined = ",".join(str(f) for f in names)
    verified = java(jars, DUMP_TOOL, "--verify-index-only", "--files", joined).decode().splitlines()
    fine = {f"Dumping {f}" for f in names} | {f"{f} is empty." for f in names if f.stat().st_size == 0}
    found = [line for line in verified if line not in fine]
    check(found == [], f"--verify-index-only: {found[:10]}")
    sane = java(jars, DUMP_TOOL, "--index-sanity-check", "--files", joined).decode().splitlines()
    same([line for line in sane if not line.startswith("Dumping ") and line not in fine],
         [f"{f} passed sanity check." for f in names if f"{f} is empty." not in sane], "--index-sanity-check")
    say(f"  --verify-index-only, --index-sanity-check: {len(names)} index files with {entries} entries are in order")


def dump_with_records(jars, directory, events):
    logs = partition_files(directory, ".log")
    output = lines_of(java(jars, "KafkaSide", "dump", *[f for files in logs.values() for f in files]))
    by_file = {}
    for line in output:
        if line["kind"] == "record":
            by_file.setdefault(line["file"], []).append(line)
    keys = ("offset", "timestamp", "key", "value", "headers", "sequence")
    for place, files in logs.items():
        got = [{k: line[k] for k in keys} for f in files for line in by_file.get(str(f), [])]
        markers = {event["offset"] for event in events.get(place, []) if event["kind"] == "marker"}
        expected = [{k: event[k] for k in keys} for event in events.get(place, []) if event["kind"] == "record"]
        same([line for line in got if line["offset"] not in markers], expected, f"FileRecords of {place[0]}-{place[1]}")
    say(f"  FileRecords: {sum(len(v) for v in by_file.values())} records with headers, byte for byte")


SNAPSHOT = re.compile(
    r"producerId: (\d+) producerEpoch: (\d+) coordinatorEpoch: -1 currentTxnFirstOffset: (?:None|OptionalLong.empty) lastTimestamp: \d+ "
    r"firstSequence: (\d+) lastSequence: (\d+) lastOffset: (\d+) offsetDelta: (\d+) timestamp: \d+$")


def dump_snapshots(jars, directory, events):
    """The newest .snapshot of the numbered topic has each producer's last batch."""
    newest = partition_files(directory, ".snapshot")[("numbered", 0)][-1]
    lines = java(jars, DUMP_TOOL, "--files", newest).decode().splitlines()
    found = {}
    for line in lines[1:]:
        match = SNAPSHOT.match(line)
        check(match is not None, f"the dump tool says of a snapshot: {line}")
        producer, epoch, first, last, offset, delta = (int(n) for n in match.groups())
        check(last - first == delta, line)
        found[producer] = (epoch, last, offset)
    records = events[("numbered", 0)]
    check(int(newest.stem) == records[-1]["offset"] + 1, f"{newest.name} is not that of the end")
    expected = {e["producer_id"]: (e["epoch"], e["sequence"], e["offset"]) for e in records}
    check(found == expected, f"{newest}: {found} instead of {expected}")
    say(f"  {DUMP_TOOL} of a .snapshot: {len(found)} producers with their last sequence and offset")


def read_ours(jars, build, work):
    directory = work / "weir"
    events = expected_events(lines_of(run([build / "interop" / "interop_write", directory])))
    topics = directory / "topics"
    after_compaction(events, topics)
    dump_with_tool(jars, topics, events)
    check_indexes(jars, topics)
    dump_with_records(jars, topics, events)
    dump_snapshots(jars, topics, events)
    shutil.rmtree(directory)


# ---- their files, our decoders ----

SHOWN = ("offset", "timestamp", "key", "value", "headers")


def shown(lines):
    return [{k: line[k] for k in SHOWN} for line in lines]


def read_theirs(build, directory, consumed, what):
    """interop_read over a copy of the broker's directory against what Kafka's consumer saw."""
    records = 0
    for place, files in partition_files(directory, ".log").items():
        if not place[0].startswith("kafka-"):
            continue
        lines = lines_of(run([build / "interop" / "interop_read", *files]))
        records += len(lines)
        name = f"{what}: {place[0]}-{place[1]}"
        same(shown(lines), shown(consumed[("read_uncommitted", *place)]), f"{name}, uncommitted")
        committed = [line for line in lines if line["fate"] in ("plain", "committed")]
        same(shown(committed), shown(consumed[("read_committed", *place)]), f"{name}, committed")
        fates = {line["fate"] for line in lines}
        if place == ("kafka-transactions", 0):
            check(fates == {"committed", "aborted", "open"}, f"{name}: {fates}")
    check(records > 20000, f"{what}: only {records} records")
    say(f"  interop_read, {what}: {records} records of every codec, transactional and compacted, are those that Kafka's consumer saw")


def import_theirs(build, directory, consumed, work):
    """weir topic import --segments takes a copy of each topic's directories, and then shows what Kafka's consumer saw of it: same offsets, what is committed."""
    data, records, topics = work / "imported", 0, {}
    for topic, partition in partition_files(directory, ".log"):
        if topic.startswith("kafka-"):
            topics.setdefault(topic, []).append(partition)
    for topic, partitions in sorted(topics.items()):
        source = work / "one-topic"
        source.mkdir()
        for partition in partitions:
            run(["cp", "-a", "--sparse=always", directory / f"{topic}-{partition}", source])
        config = ["--config", "cleanup.policy=compact"] if topic == "kafka-compacted" else []
        run([build / "weir", "topic", "create", topic, "--partitions", len(partitions), "--data", data, *config])
        run([build / "weir", "topic", "import", topic, "--segments", source, "--data", data])
        run([build / "weir", "topic", "verify", topic, "--data", data])
        lines = lines_of(run([build / "weir", "consume", topic, "--until-end", "--data", data]))
        records += len(lines)
        for partition in partitions:
            got = [(line["offset"], line["timestamp"]) for line in lines if line["partition"] == partition]
            asked = [(line["offset"], line["timestamp"]) for line in consumed[("read_committed", topic, partition)]]
            same(got, asked, f"imported {topic}-{partition}")
            files = sorted((data / "topics" / f"{topic}-{partition}").glob("*.log"))
            ours = lines_of(run([build / "interop" / "interop_read", *files]))
            same(shown(line for line in ours if line["fate"] in ("plain", "committed")), shown(consumed[("read_committed", topic, partition)]),
                 f"imported {topic}-{partition}, its files")
            check(all(line["fate"] != "open" for line in ours), f"imported {topic}-{partition}: a transaction is open")
        shutil.rmtree(source)
    shutil.rmtree(data)
    say(f"  weir topic import --segments: {len(topics)} topics with {records} records, verified, read with their offsets and times")


def check_sent(sent, consumed):
    """Kafka's consumer, which is the reference here, saw all that was sent, or the latest of each key."""
    by_place = {}
    for line in sent:
        by_place.setdefault((line["topic"], line["partition"]), []).append(line)
    for place, lines in by_place.items():
        got = shown(consumed[("read_uncommitted", *place)])
        if place[0] == "kafka-compacted":
            check(len(got) < len(lines) // 2, f"the cleaner left {len(got)} of {len(lines)}")
        else:
            same(got, shown(sorted(lines, key=lambda line: line["offset"])), f"{place[0]}-{place[1]} as sent")


def console_lines():
    return "".join(f"key-{n}:value number {n}\n" for n in range(200)).encode()


# ---- our command, their broker ----

def described(text):
    """The rows of 'group describe' or of kafka-consumer-groups, as words: titles, then by partition. weir has a row for each partition of the topic, also
    where nothing is committed."""
    rows = [line.split() for line in text.splitlines() if line.startswith(("command ", "GROUP "))]
    rows = [row for row in rows if row[3] != "-"]
    return rows[:1] + sorted(rows[1:], key=lambda row: (row[1], int(row[2])))


def the_command(jars, build, bootstrap):
    """weir -b on Apache Kafka: what it writes Kafka's group tool sees, and says in the same columns."""
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

    def weir(*words, **options):
        return run([build / "weir", *words, "-b", bootstrap], **options).decode()

    lines = "".join(f'{{"k":"key-{n % 7}","n":{n}}}\n' for n in range(300))
    weir("topic", "create", "weir-topic", "--partitions", "3", "--config", "retention.ms=86400000")
    weir("topic", "alter", "weir-topic", "--config", "segment.bytes=2000000", "--unset", "retention.ms")
    same(json.loads(weir("topic", "describe", "weir-topic"))["config_set"], ["segment.bytes"], "configuration of a topic of Kafka")
    weir("produce", "weir-topic", "--key", "k", "--compression", "zstd", input=lines.encode())
    weir("produce", "weir-made", "--key", "k", input=lines.encode())
    check("weir-topic" in weir("topic", "list").split(), "topic list of Kafka")
    read = [json.loads(line) for line in weir("consume", "weir-topic", "--until-end").splitlines()]
    same(sorted(r["value"]["n"] for r in read), list(range(300)), "consume from Kafka")
    same([r["partition"] for r in read], sorted(r["partition"] for r in read), "partition after partition")
    weir("consume", "weir-topic", "--until-end", "--group", "command", "--max", "100")
    theirs = lambda: described(java(jars, tool, "--bootstrap-server", bootstrap, "--describe", "--group", "command").decode())
    same(described(weir("group", "describe", "command")), theirs(), "group describe beside kafka-consumer-groups")
    check(sum(int(row[3]) for row in theirs()[1:]) == 100, "what was committed")
    weir("group", "reset", "command", "--topic", "weir-topic", "--to", "-5", "--partition", theirs()[1][2], "--execute")
    weir("group", "reset", "command", "--topic", "weir-topic", "--to", "7", "--execute")
    same(described(weir("group", "describe", "command")), theirs(), "group describe after group reset")
    check({row[3] for row in theirs()[1:]} == {"7"}, "group reset")
    weir("group", "delete", "command")
    check("command" not in weir("group", "list").split(), "group delete")
    weir("topic", "alter", "weir-topic", "--partitions", "5")
    check(len(json.loads(weir("topic", "describe", "weir-topic"))["partitions"]) == 5, "partitions after topic alter")
    weir("topic", "delete", "weir-topic", "weir-made")
    say("  weir -b: topics, records and groups of Kafka; group describe has kafka-consumer-groups' columns")


def with_broker(jars, build, work, console_producer):
    broker = Broker(class_path(jars), work, SMALL_JVM, {"log.cleaner.backoff.ms": 200, "log.cleaner.dedupe.buffer.size": 8388608})
    try:
        broker.wait()
        bootstrap = f"127.0.0.1:{broker.port}"
        sent = lines_of(java(jars, "KafkaSide", "produce", bootstrap))
        java(jars, console_producer, "--bootstrap-server", bootstrap, "--topic", "kafka-console", "--property", "parse.key=true",
             "--property", "key.separator=:", input=console_lines())
        java(jars, "KafkaSide", "wait-cleaned", broker.data)
        consumed = {}
        for line in lines_of(java(jars, "KafkaSide", "consume", bootstrap)):
            consumed.setdefault((line["kind"], line["topic"], line["partition"]), []).append(line)
        check_sent(sent, consumed)
        same([(text_of(r["key"]), text_of(r["value"])) for r in consumed[("read_committed", "kafka-console", 0)]],
             [tuple(line.split(":", 1)) for line in console_lines().decode().splitlines()], "kafka-console")
        running = work / "running"
        run(["cp", "-a", "--sparse=always", broker.data, running])
        the_command(jars, build, bootstrap)
    finally:
        broker.stop()
    read_theirs(build, running, consumed, "a running broker's files")
    # A clean stop flushes and trims; the open transaction stays open.
    read_theirs(build, broker.data, consumed, "a stopped broker's files")
    import_theirs(build, running, consumed, work)
    check(any(f.stat().st_size == 10 << 20 for f in running.glob("*/*.index")), "the running broker's indexes are not preallocated")
    shutil.rmtree(running)
    shutil.rmtree(broker.data)


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE / "build" / "release").resolve()
    try:
        need_java()
    except Unavailable as reason:
        skip(reason)
    begin = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="weir-interop-"))
    try:
        for version, console_producer in VERSIONS.items():
            jars = fetch(version)
            say(f"Apache Kafka {version}")
            read_ours(jars, build, work)
            with_broker(jars, build, work, console_producer)
    except Failed as failure:
        say(f"interop: FAILED: {failure}")
        return 1
    finally:
        if os.environ.get("WEIR_KEEP"):
            say(f"kept {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    say(f"interop: {checks} checks passed, {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
