#!/usr/bin/env python3
"""Kafka clients as they are published, against 'weir serve': Apache Kafka's Java clients and tools; kcat; confluent-kafka, kafka-python, aiokafka and Faust of PyPI; kafkajs;
franz-go, sarama and kafka_exporter.

    tests/interop/wire_clients.py [--page] [BUILD_DIR [CLIENT…]]       build/release and all clients unless said otherwise

Each client gets two servers of its own, one of which knows users and asks for them, and does what applications do: produces with and without keys in every codec, headers, sizes at
the limit; commits, seeks, replays by time; names topics that there are not; commits and aborts transactions; says right and wrong passwords; administers. The programs stand beside this
file and compare what they read with what they wrote. A group of three is processes that share_a_group starts, ends and kills. After each the servers must have said nothing on stderr but
who gave a wrong password, and /metrics tells which APIs they were asked for in which versions: a page of that goes to build/interop/kafka-clients.md, and with --page to docs/kafka-clients.md.

What is missing is fetched once into build/interop: jars by Maven, wheels by pip, packages by npm, modules by go. A client that cannot be got, or whose toolchain is too old, prints
"skipped: why". Exit code: 0; 1 when one failed; 77 when all were skipped.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from wire_group import Member, share_a_group
from wire_run import check, fetch, need, run, same, say, until, LIMIT_S
from kafka_broker import SMALL_JVM, Failed, Unavailable, compile_java, fetch_jars, free_port, need_java, start_process, stop_process

SOURCE = HERE.parent.parent
CACHE = SOURCE / "build" / "interop"
USER, PASSWORD = "alice", "a good secret"  # the programs say them, too
REFUSED = re.compile(r"\S+ W kafka: closed the connection of \S+: (?:a SASL token version 0: )?(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512) of user 'alice' failed: wrong user name or password")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Server:
    def __init__(self, build, work, name, asks=False):
        self.weir, self.data = build / "weir", work / name
        data = self.data
        if asks:
            run([build / "weir", "user", "add", USER, "--data", data], input=PASSWORD + "\n")
        self.asks = asks
        self.errors = open(work / f"{name}-stderr", "w+", encoding="utf-8")
        self.process = start_process([build / "weir", "serve", "--data", data, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", *(("--super-user", USER) if asks else ())],
                                     stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.address = self.process.stdout.readline().split()[-1]
        self.http = self.process.stdout.readline().split()[-1]

    def metrics(self):
        request = urllib.request.Request(f"http://{self.http}/metrics")
        if self.asks:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
        return urllib.request.urlopen(request, timeout=60).read().decode()

    def add_versions(self, asked):
        """To {api: {version}} those of the requests so far."""
        for api, version in re.findall(r'^weir_kafka_requests_total\{api="(\w+)",version="(\d+)"\}', self.metrics(), re.M):
            asked.setdefault(api, set()).add(int(version))

    def stop(self):
        """The lines that it said."""
        stop_process(self.process, 60)
        self.process.stdout.close()
        self.errors.seek(0)
        said = self.errors.read().splitlines()
        self.errors.close()
        return said


class Servers:
    """One for everybody, and one that is guarded: it asks who its clients are."""

    def __init__(self, build, work, prepare):
        run([build / "weir", "topic", "create", "three", "--partitions", "6", "--data", work / "open"])
        prepare(build, work / "open")
        self.open, self.guarded = Server(build, work, "open"), Server(build, work, "guarded", asks=True)
        self.address = self.open.address

    def versions(self):
        asked = {}
        for server in (self.open, self.guarded):
            server.add_versions(asked)
        return asked

    def stop(self, mechanisms):
        """What they said must be the clients' fault: a wrong password in each of the mechanisms, and nothing else."""
        same(self.open.stop(), [], "the server's stderr")
        said = self.guarded.stop()
        same([line for line in said if not REFUSED.fullmatch(line)], [], "the guarded server's stderr")
        same({REFUSED.fullmatch(line)[1] for line in said}, set(mechanisms), "wrong passwords")

    def kill(self):
        for server in (self.open, self.guarded):
            server.process.kill()


# ---- Java ----

TOOLS = {  # by version where they have moved
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}
MOVED = {
    "3.9.1": {"kafka-console-producer": "kafka.tools.ConsoleProducer", "kafka-broker-api-versions": "kafka.admin.BrokerApiVersionsCommand",
              "kafka-acls": "kafka.admin.AclCommand"},
    "4.1.0": {"kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer", "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
              "kafka-acls": "org.apache.kafka.tools.AclCommand"},
}


class Java:
    def __init__(self, version):
        need_java()
        self.version = version
        self.jars = fetch_jars(HERE / "pom.xml", CACHE / f"kafka-{version}", {"kafka.version": version})
        compile_java([HERE / name for name in ("WireSide.java", "WireMembers.java", "WireTransactions.java")], f"{self.jars}/*", self.jars / "classes")
        self.command = ["java", *SMALL_JVM, "-cp", f"{self.jars}/classes:{self.jars}/*"]

    def use(self, server, work):
        parts = ("records", "groups", "statics", "admin", "transactions", "passwords")
        said = run([*self.command, "WireSide", server.address, server.guarded.address, *parts]).splitlines()
        for part in parts:
            check(any(re.fullmatch(part + r": \d+ checks", line) for line in said), f"WireSide {part} says {said}")
        share_a_group(lambda: Member([*self.command, "WireSide", server.address, "member", "three", "three"]))
        self.tools(server.address, work)
        self.open_transactions(server.address)
        self.access(server.guarded, work)

    def tool(self, name, address, *arguments, **options):
        main = {**TOOLS, **MOVED[self.version]}[name]
        return run([*self.command, main, "--bootstrap-server", address, *arguments], **options)

    def tools(self, address, work):
        tool = lambda name, *arguments, **options: self.tool(name, address, *arguments, **options)
        tool("kafka-topics", "--create", "--topic", "tools", "--partitions", "2", "--config", "retention.ms=86400000")
        tool("kafka-topics", "--alter", "--topic", "tools", "--partitions", "3")
        described = tool("kafka-topics", "--describe", "--topic", "tools")
        for words in (r"PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=86400000", r"Topic: tools\s+Partition: 2\s+Leader: 0\s+Replicas: 0\s+Isr: 0"):
            check(re.search(words, described), f"kafka-topics --describe: {described}")
        check("tools" in tool("kafka-topics", "--list").split(), "kafka-topics --list")
        lines = "".join(f"k{i}:v{i}\n" for i in range(60))
        tool("kafka-console-producer", "--topic", "tools", "--property", "parse.key=true", "--property", "key.separator=:", "--compression-codec", "zstd", input=lines)
        read = tool("kafka-console-consumer", "--topic", "tools", "--from-beginning", "--max-messages", "60", "--group", "console", "--property", "print.key=true",
                    "--property", "key.separator=:")
        same(sorted(read.split()), sorted(lines.split()), "kafka-console-consumer")
        ends = dict(re.findall(r"^tools:(\d):(\d+)$", tool("kafka-get-offsets", "--topic", "tools"), re.M))
        same(sum(map(int, ends.values())), 60, "kafka-get-offsets")
        self.groups(tool, ends)
        tool("kafka-configs", "--alter", "--topic", "tools", "--add-config", "max.message.bytes=100000", "--delete-config", "retention.ms")
        configs = tool("kafka-configs", "--describe", "--topic", "tools")
        check("max.message.bytes=100000" in configs and "retention.ms" not in configs, f"kafka-configs: {configs}")
        check("num.partitions=1" in tool("kafka-configs", "--describe", "--broker", "0", "--all"), "kafka-configs --broker")
        offsets = work / "offsets.json"
        offsets.write_text(json.dumps({"partitions": [{"topic": "tools", "partition": 0, "offset": 2}], "version": 1}))
        check(re.search(r"partition: tools-0\s+low_watermark: 2", tool("kafka-delete-records", "--offset-json-file", offsets)), "kafka-delete-records")
        same(tool("kafka-get-offsets", "--topic", "tools", "--partitions", "0", "--time", "earliest").strip(), "tools:0:2", "the first offset after kafka-delete-records")
        check(re.search(r"^\s*Fetch\(1\): \d+ to \d+ \[usable: \d+\]", tool("kafka-broker-api-versions"), re.M), "kafka-broker-api-versions")
        check('"partition":"tools-2"' in tool("kafka-log-dirs", "--describe", "--topic-list", "tools"), "kafka-log-dirs")
        tool("kafka-topics", "--delete", "--topic", "tools")
        check("tools" not in tool("kafka-topics", "--list").split(), "kafka-topics --delete")

    def open_transactions(self, address):
        """kafka-transactions says who holds readers back: a producer that was killed, until its time is over or a newer one comes."""
        tool = lambda *arguments: self.tool("kafka-transactions", address, *arguments)
        holder = start_process([*self.command, "WireSide", address, "open", "java-open", "held"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            same(holder.stdout.readline(), "open\n", "a transaction is open")
        finally:
            holder.kill()
            holder.communicate()
        row = re.search(r"^java-open\s+0\s+(\d+)\s+Ongoing\s*$", tool("list"), re.M)
        check(row is not None, f"kafka-transactions list: {tool('list')}")
        described = tool("describe", "--transactional-id", "java-open")
        check(re.search(rf"^0\s+java-open\s+{row[1]}\s+\d+\s+Ongoing\s+600000\s+\d+\s+\d+\s+held-0\s*$", described, re.M), f"kafka-transactions describe: {described}")
        producers = tool("describe-producers", "--topic", "held", "--partition", "0")
        check(re.search(rf"^{row[1]}\s+\d+\s+-?\d+\s+0\s+\d+\s+\d+\s*$", producers, re.M), f"kafka-transactions describe-producers: {producers}")
        # What the coordinator knows of does not hang; with weir nothing else is ever open.
        check("java-open" not in tool("find-hanging", "--broker-id", "0", "--max-transaction-timeout", "0"), "kafka-transactions find-hanging")
        same(self.tool("kafka-console-consumer", address, "--topic", "held", "--from-beginning", "--timeout-ms", "3000", "--isolation-level", "read_committed", "--group", "held").strip(), "",
             "what is not committed")

    def access(self, server, work):
        """kafka-acls, as the super user of a server that asks who its clients are; a user without rights is told what he may not."""
        configs = {}
        for user in (USER, "mallory"):
            configs[user] = work / f"{user}.properties"
            configs[user].write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=org.apache.kafka.common.security.scram."
                                     f'ScramLoginModule required username="{user}" password="{PASSWORD}";\n')
        tool = lambda name, *arguments: self.tool(name, server.address, "--command-config", configs[USER], *arguments)
        tool("kafka-configs", "--alter", "--entity-type", "users", "--entity-name", "mallory", "--add-config", f"SCRAM-SHA-256=[password={PASSWORD}]")
        password = work / "password"
        password.write_text(PASSWORD + "\n")
        served = lambda *words: run([server.weir, "user", *words, "--data", server.data, "--user", USER, "--user-password-file" if words[0] == "add" else "--password-file", password],
                                    input="hers\n")
        served("add", "carol", "--iterations", "8192")
        listed = tool("kafka-configs", "--describe", "--entity-type", "users")
        for words in ("'mallory' are SCRAM-SHA-256=iterations=4096", "'carol' are SCRAM-SHA-256=iterations=8192, SCRAM-SHA-512=iterations=8192"):
            check(words in listed, f"kafka-configs of users: {listed}")
        same(served("list").split(), [USER, "carol", "mallory"], "weir user list of a server")
        tool("kafka-topics", "--create", "--topic", "seen")
        tool("kafka-topics", "--create", "--topic", "hidden")
        tool("kafka-acls", "--add", "--allow-principal", "User:mallory", "--operation", "Describe", "--topic", "se", "--resource-pattern-type", "prefixed")
        tool("kafka-acls", "--add", "--allow-principal", "User:mallory", "--producer", "--topic", "seen", "--transactional-id", "x", "--idempotent")
        tool("kafka-acls", "--add", "--deny-principal", "User:mallory", "--deny-host", "10.0.0.1", "--operation", "Read", "--topic", "*", "--group", "g")
        listed = tool("kafka-acls", "--list")
        for words in (r"resourceType=TOPIC, name=se, patternType=PREFIXED\)`:\s+\(principal=User:mallory, host=\*, operation=DESCRIBE, permissionType=ALLOW\)",
                      r"resourceType=TRANSACTIONAL_ID, name=x, patternType=LITERAL\)`", r"resourceType=CLUSTER, name=kafka-cluster",
                      r"resourceType=GROUP, name=g, patternType=LITERAL\)`:\s+\(principal=User:mallory, host=10\.0\.0\.1, operation=READ, permissionType=DENY\)"):
            check(re.search(words, listed), f"kafka-acls --list: {listed}")
        seen = self.tool("kafka-topics", server.address, "--command-config", configs["mallory"], "--list")
        same(seen.split(), ["seen"], "kafka-topics of a user who may describe one")
        tool("kafka-acls", "--remove", "--force", "--allow-principal", "User:mallory", "--operation", "Describe", "--topic", "se", "--resource-pattern-type", "prefixed")
        tool("kafka-acls", "--remove", "--force", "--topic", "*", "--resource-pattern-type", "any")
        left = tool("kafka-acls", "--list", "--principal", "User:mallory")
        check("PREFIXED" not in left and "name=*" not in left and "name=seen" in left, f"kafka-acls --list after --remove: {left}")

    def groups(self, tool, ends):
        check("console" in tool("kafka-consumer-groups", "--list").split(), "kafka-consumer-groups --list")
        row = r"^console\s+tools\s+(\d)\s+(\d+)\s+(\d+)\s+(\d+)\s+-\s+-\s+-\s*$"
        rows = re.findall(row, tool("kafka-consumer-groups", "--describe", "--group", "console"), re.M)
        same(sorted(rows), [(p, end, end, "0") for p, end in sorted(ends.items()) if end != "0"], "kafka-consumer-groups --describe")
        tool("kafka-consumer-groups", "--reset-offsets", "--group", "console", "--topic", "tools", "--to-earliest", "--execute")
        rows = re.findall(row, tool("kafka-consumer-groups", "--describe", "--group", "console"), re.M)
        same(sorted(rows), [(p, "0", end, end) for p, end in sorted(ends.items())], "kafka-consumer-groups after --reset-offsets")
        check("Empty" in tool("kafka-consumer-groups", "--describe", "--group", "console", "--state"), "kafka-consumer-groups --state")
        tool("kafka-consumer-groups", "--delete-offsets", "--group", "console", "--topic", "tools")
        tool("kafka-consumer-groups", "--reset-offsets", "--group", "console", "--topic", "tools", "--to-latest", "--execute")
        tool("kafka-consumer-groups", "--delete", "--group", "console")
        check("console" not in tool("kafka-consumer-groups", "--list").split(), "kafka-consumer-groups --delete")


# ---- of PyPI and npm ----


class Python:
    """The newest version; pip gets it from where pip is told to."""

    def __init__(self, package):
        self.package = package
        self.python = CACHE / "python" / "bin" / "python"
        if not self.python.exists():
            fetch("a virtual environment", [sys.executable, "-m", "venv", CACHE / "python"])
        fetch(package, [self.python, "-m", "pip", "install", "-q", "--upgrade", package, "lz4", "python-snappy", "zstandard", "cramjam"])

    def use(self, server, work):
        program = [self.python, HERE / "wire_python.py", self.package, server.address]
        said = run([*program, server.guarded.address])
        check(re.search(self.package + r": \d+ checks", said), f"wire_python.py says {said}")
        share_a_group(lambda: Member([*program, "member", "three", "three"]))


class DebianPython(Python):
    """The version that Debian's package has, for Debian's python3."""

    def __init__(self, package, module):
        self.package, self.python = package, "/usr/bin/python3"
        if not os.path.exists(self.python) or subprocess.run([self.python, "-c", f"import {module}"], capture_output=True).returncode != 0:
            raise Unavailable(f"Debian's {package} is not here (python3-{package.removesuffix('-python')})")


class Faust:
    """Of PyPI, with an environment of its own: it says which aiokafka it wants."""

    mechanisms = ()

    def __init__(self):
        self.python = CACHE / "faust" / "bin" / "python"
        if not self.python.exists():
            fetch("a virtual environment", [sys.executable, "-m", "venv", CACHE / "faust"])
        fetch("faust-streaming", [self.python, "-m", "pip", "install", "-q", "--upgrade", "faust-streaming"])

    def use(self, server, work):
        said = run([self.python, HERE / "wire_faust.py", server.address, work])
        check(re.search(r"faust: \d+ checks", said), f"wire_faust.py says {said}")


class Kafkajs:
    """With codecs of others: it has gzip alone."""

    MODULES = ("kafkajs", "kafkajs-snappy", "lz4js", "@bokuweb/zstd-wasm")

    def __init__(self):
        need("node", "npm")
        self.modules = CACHE / "node"
        self.modules.mkdir(parents=True, exist_ok=True)
        if not all((self.modules / "node_modules" / module).exists() for module in self.MODULES):
            fetch("kafkajs", ["npm", "install", "--prefix", self.modules, "--no-audit", "--no-fund", *self.MODULES])

    def use(self, server, work):
        program, node = ["node", HERE / "wire_kafkajs.js", server.address], {**os.environ, "NODE_PATH": str(self.modules / "node_modules")}
        said = run([*program, server.guarded.address], env=node)
        check(re.search(r"kafkajs: \d+ checks", said), f"wire_kafkajs.js says {said}")
        share_a_group(lambda: Member([*program, "member", "three", "three"], env=node))


class KcatMember(Member):
    """kcat says in words of its own what it is given, and another one writes for it."""

    def __init__(self, address):
        self.address = address
        super().__init__(["kcat", "-b", address, "-G", "three", "-u", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500",
                          "-X", "topic.metadata.refresh.interval.ms=1000", "-f", "%p %o\n", "three"])

    def take(self, line):
        super().take("read " + line)

    def hear(self):
        for line in self.process.stderr:
            self.complaints.append(line)
            if found := re.search(r"rebalanced \(.*\): (assigned|revoked): (.*)", line):
                places = re.findall(r"\[(\d+)\]", found[2]) if found[1] == "assigned" else []
                for place in places:
                    self.write(place)
                self.has = len(places)

    def write(self, place):
        run(["kcat", "-P", "-b", self.address, "-t", "three", "-p", place], input="".join(f"{n}\n" for n in range(10)))
        end = int(run(["kcat", "-Q", "-b", self.address, "-t", f"three:{place}:-1"]).split()[-1])
        self.sent |= {(int(place), offset) for offset in range(end - 10, end)}


class Kcat:
    def __init__(self):
        need("kcat")

    def use(self, server, work):
        kcat = lambda *arguments, **options: run(["kcat", "-b", server.address, *arguments], **options)
        lines = "".join(f"k{n}:{'v' * (n % 500)}{n}\n" for n in range(2000))
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            kcat("-P", "-t", f"kcat-{codec}", "-K:", "-z", codec, "-H", "h=1", "-X", "enable.idempotence=true", input=lines)
            same(kcat("-C", "-t", f"kcat-{codec}", "-K:", "-e", "-q"), lines, f"records in {codec}")
        same(kcat("-C", "-t", "kcat-none", "-f", "%o %h %T\n", "-o", "-2", "-e", "-q").split()[:2], ["1998", "h=1"], "the last two records")
        same(kcat("-G", "kcat-readers", "-X", "auto.offset.reset=earliest", "-e", "-q", "kcat-gzip", "-f", "%s\n").count("\n"), 2000, "records in a group")
        kcat("-P", "-t", "kcat-gzip", input="one more\n")
        same(kcat("-G", "kcat-readers", "-e", "-q", "kcat-gzip"), "one more\n", "a group goes on")
        same(re.search(r'topic "kcat-zstd" with 1 partitions', kcat("-L")) is not None, True, "kcat -L")
        self.times_and_sizes(kcat, work)
        missing = subprocess.run(["kcat", "-C", "-b", server.address, "-t", "kcat-missing", "-e", "-X", "allow.auto.create.topics=false"], capture_output=True, text=True, timeout=LIMIT_S)
        check(missing.returncode != 0 and "Unknown topic" in missing.stderr, f"a missing topic: {missing.stderr}")
        self.transactions(server, kcat)
        self.passwords(server.guarded.address)
        share_a_group(lambda: KcatMember(server.address))

    def times_and_sizes(self, kcat, work):
        first, second = (kcat("-C", "-t", "kcat-gzip", "-f", "%T\n", "-o", place, "-c", "1", "-q").strip() for place in ("0", "2000"))
        same(kcat("-C", "-t", "kcat-gzip", "-o", f"s@{second}", "-e", "-q"), "one more\n", "from a time on")
        same(kcat("-Q", "-t", f"kcat-gzip:0:{first}"), "kcat-gzip [0] offset 0\n", "the offset of a time")
        large = work / "large"
        for size in (900000, 3 << 20):
            large.write_bytes(b"x" * size)
            kcat("-P", "-t", "kcat-large", "-X", "message.max.bytes=10000000", large)
        same(kcat("-C", "-t", "kcat-large", "-f", "%S\n", "-e", "-q"), f"900000\n{3 << 20}\n", "sizes of large records")

    def transactions(self, server, kcat):
        read = lambda isolation: kcat("-C", "-t", "kcat-txn", "-e", "-q", "-X", f"isolation.level={isolation}")
        kcat("-P", "-t", "kcat-txn", "-X", "transactional.id=kcat", input="a\nb\n")
        open_one = start_process(["kcat", "-P", "-b", server.address, "-t", "kcat-txn", "-X", "transactional.id=kcat-other"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        open_one.stdin.write("c\n" * 20000)  # it reads in blocks
        open_one.stdin.flush()
        until(lambda: "c\n" in read("read_uncommitted"), lambda: "a record of an open transaction")
        same(read("read_committed"), "a\nb\n", "before an open transaction")
        open_one.kill()
        open_one.wait()
        open_one.stdin.close()
        kcat("-P", "-t", "kcat-txn", "-X", "transactional.id=kcat-other", input="d\n")  # the next of its id aborts what it left
        same(read("read_committed"), "a\nb\nd\n", "what was committed")
        same(re.sub("(c\n)+", "c\n", read("read_uncommitted")), "a\nb\nc\nd\n", "what was written")

    def passwords(self, guarded):
        for mechanism in MECHANISMS:
            login = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", f"sasl.mechanisms={mechanism}", "-X", f"sasl.username={USER}", "-X"]
            kcat = lambda *arguments, **options: run(["kcat", "-b", guarded, *arguments, *login, f"sasl.password={PASSWORD}"], **options)
            kcat("-P", "-t", f"kcat-{mechanism}", input="said by alice\n")
            same(kcat("-C", "-t", f"kcat-{mechanism}", "-e", "-q"), "said by alice\n", f"a user's record by {mechanism}")
            done = subprocess.run(["kcat", "-b", guarded, "-L", "-m", "5", *login, "sasl.password=a guess"], capture_output=True, text=True, timeout=LIMIT_S)
            check(done.returncode != 0 and "wrong user name or password" in done.stderr, f"a wrong password by {mechanism}: {done.stderr}")


# ---- Go ----


class Go:
    """The module beside this file, whose go.mod names the versions; a go that is too old for them says so."""

    def __init__(self, client, *ways):
        need("go")
        has, wanted = re.search(r"go(\d+)\.(\d+)", run(["go", "version"])), re.search(r"^go (\d+)\.(\d+)", (HERE / "go" / "go.mod").read_text(), re.M)
        if tuple(map(int, has.groups())) < tuple(map(int, wanted.groups())):
            raise Unavailable(f"{has[0]} is here, and {client} wants go {'.'.join(wanted.groups())} (Debian 12 has 1.19)")
        self.client, self.ways, self.program = client, ways or (client,), CACHE / f"wire_{client}"
        go = {"cwd": HERE / "go", "env": {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}}
        fetch(client, ["go", "mod", "download"], **go)
        run(["go", "build", "-o", self.program, "."], **go)

    def use(self, server, work):
        for n, way in enumerate(self.ways):
            said = run([self.program, way, server.address, server.guarded.address, f"go{n}"])
            check(re.search(re.escape(way) + r": \d+ checks", said), f"wire_go says {said}")
        share_a_group(lambda: Member([self.program, f"member-{self.client}", server.address, "three", "three"]))


class Exporter:
    """kafka_exporter, of PATH or of the module proxy, over the broker: what it measures is what the server's own /metrics says under the same names and labels."""

    MODULE = "github.com/danielqsj/kafka_exporter@v1.9.0"
    ELSEWHERE = {"kafka_broker_info", "kafka_exporter_build_info"}  # families that the server does not have
    mechanisms = ()

    def __init__(self):
        here = CACHE / "bin"
        self.program = shutil.which("kafka_exporter", path=f"{os.environ['PATH']}:{here}")
        if self.program is None:
            need("go")
            fetch("kafka_exporter", ["go", "install", self.MODULE], cwd=CACHE, env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOBIN": str(here)})
            self.program = here / "kafka_exporter"

    def prepare(self, build, data):
        """Two topics, and a group that has read all of one and lags behind on both partitions of the other. The command does it: the exporter's requests are to be the only ones."""
        weir = lambda *arguments, **options: run([build / "weir", *arguments, "--data", data], **options)
        lines = "".join(f"k{n}\t{n}\n" for n in range(100))
        for topic, partitions in (("one", 1), ("two", 2)):
            weir("topic", "create", topic, "--partitions", partitions)
            weir("produce", topic, "--key-separator", "\t", input=lines)
            weir("consume", topic, "--group", "readers", "--until-end")
        weir("produce", "two", "--key-separator", "\t", input=lines)

    def use(self, server, work):
        port = free_port()
        process = start_process([self.program, f"--kafka.server={server.address}", f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            ours = self.series(server.open.metrics())
            theirs = {}

            def agree():  # now and then it loses the last series of a scrape
                theirs.clear()
                theirs.update({name: value for name, value in self.series(self.scrape(port)).items() if name[0] not in self.ELSEWHERE})
                return theirs == ours
            until(agree, lambda: f"kafka_exporter and the server measure the same: {sorted(set(theirs.items()) ^ set(ours.items()))}")
        finally:
            stop_process(process)
        check(ours[("kafka_consumergroup_lag_sum", (("consumergroup", "readers"), ("topic", "two")))] == 100 and len(ours) > 30, f"what was measured: {ours}")

    @staticmethod
    def scrape(port):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
        except OSError:
            return ""

    @staticmethod
    def series(text):
        """{(family, labels): value} of what is Kafka's."""
        return {(name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels)))): float(value) for name, labels, value in re.findall(r"^(kafka_\w+)(?:\{(.*)\})? (\S+)$", text, re.M)}


# ---- the run ----

CLIENTS = {
    "Java 3.9.1": lambda: Java("3.9.1"),
    "Java 4.1.0": lambda: Java("4.1.0"),
    "kcat": Kcat,
    "confluent-kafka": lambda: Python("confluent-kafka"),
    "kafka-python": lambda: Python("kafka-python"),
    "aiokafka": lambda: Python("aiokafka"),
    "confluent-kafka of Debian": lambda: DebianPython("confluent-kafka", "confluent_kafka"),
    "kafka-python of Debian": lambda: DebianPython("kafka-python", "kafka"),
    "Faust": Faust,
    "kafkajs": Kafkajs,
    "franz-go": lambda: Go("franz-go"),
    "sarama": lambda: Go("sarama", "sarama@2.1.0", "sarama", "sarama@max"),
    "kafka_exporter": Exporter,
}


fetching = threading.Lock()
AT_ONCE = 4  # they wait more than they compute


def try_client(name, build):
    """What it asked for, or None: it was skipped."""
    begin = time.monotonic()
    try:
        with fetching: # they share folders
            client = CLIENTS[name]()
    except Unavailable as reason:
        say(f"{name}: skipped: {reason}")
        return None
    work = Path(tempfile.mkdtemp(prefix="weir-wire-"))
    server = Servers(build, work, getattr(client, "prepare", lambda build, data: None))
    try:
        client.use(server, work)
        asked = server.versions()
        server.stop(getattr(client, "mechanisms", MECHANISMS))
    finally:
        server.kill()
        shutil.rmtree(work, ignore_errors=True)
    say(f"{name}: ok, {time.monotonic() - begin:.0f} s, {len(asked)} APIs")
    return asked


def ranges(versions):
    numbers = sorted(versions)
    return f"{numbers[0]}" if len(numbers) == 1 else ", ".join(map(str, numbers))


def page(asked):
    """APIs by clients: the versions that each asked for."""
    table = (SOURCE / "log/kafka/kafka_api.c").read_text()
    served = re.findall(r'\{(\d+), "(\w+)", (\d+), (\d+), (\d+),', table)
    lines = ["# Which client asks for what", "",
             "Made by `tests/interop/wire_clients.py --page`, from what the server counted (`weir_kafka_requests_total`) while each client ran its tests against it: the versions",
             "that it asked for. What there is no number for it did not use there.", "",
             "| API | served | " + " | ".join(asked) + " |", "|---" * (2 + len(asked)) + "|"]
    for _, api, _, low, high in served:
        cells = [ranges(client[api]) if api in client else "" for client in asked.values()]
        lines.append(f"| {api} | {low}–{high} | " + " | ".join(cells) + " |" if low != high else f"| {api} | {low} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--page"]
    build = Path(arguments[0] if arguments else SOURCE / "build" / "release").resolve()
    names = arguments[1:] or list(CLIENTS)
    asked, failed = {}, 0
    CACHE.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(try_client, name, build) for name in names}
    for name, result in running.items():
        try:
            if result.result() is not None:
                asked[name] = result.result()
        except Failed as failure:
            failed += 1
            say(f"{name}: FAILED: {failure}")
    if asked:
        (CACHE / "kafka-clients.md").write_text(page(asked), encoding="utf-8")
        if "--page" in sys.argv:
            (SOURCE / "docs" / "kafka-clients.md").write_text(page(asked), encoding="utf-8")
    say(f"wire clients: {len(asked)} passed, {failed} failed, {len(names) - len(asked) - failed} skipped")
    return 1 if failed else 0 if asked else 77


if __name__ == "__main__":
    sys.exit(main())
