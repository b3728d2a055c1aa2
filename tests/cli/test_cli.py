#!/usr/bin/env python3
"""The weir command as a user meets it: every command, every flag, what goes to stdout and stderr, and the exit codes.

Expected values come from Python: its json and base64 modules, and a murmur2 written here after Kafka's. The command is WEIR_BIN, else the
first argument, else weir in WEIR_BUILD_DIR. Nothing sleeps to wait: a test reads what the command prints, or its end.
"""
import base64
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
    WEIR = sys.argv.pop(1)
else:
    WEIR = os.path.join(os.environ.get("WEIR_BUILD_DIR", os.path.join(ROOT, "build/release")), "weir")
WEIR = os.path.abspath(os.environ.get("WEIR_BIN", WEIR))
LIMIT_S = 120


def environment(extra=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_") and k != "NO_COLOR"}
    return {**kept, **(extra or {})}


def weir(*arguments, stdin=b"", env=None, cwd=None):
    if isinstance(stdin, str):
        stdin = stdin.encode()
    return subprocess.run([WEIR, *map(str, arguments)], input=stdin, capture_output=True, timeout=LIMIT_S,
                          env=environment(env), cwd=cwd)


def murmur2(data):
    """Kafka's Utils.murmur2."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for i in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    tail = data[len(data) - len(data) % 4:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, count):
    return (murmur2(key) & 0x7FFFFFFF) % count


def ndjson(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def content(path):
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


class Case(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-test-")
        self.addCleanup(shutil.rmtree, self.home)
        self.dir = os.path.join(self.home, "data")

    def weir(self, *arguments, stdin=b"", env=None):
        return weir(*arguments, "--data", self.dir, stdin=stdin, env=env)

    def ok(self, *arguments, stdin=b"", env=None):
        done = self.weir(*arguments, stdin=stdin, env=env)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr))
        return done

    def refused(self, code, *arguments, stdin=b"", says=(), env=None):
        """The command fails with this exit code, nothing on stdout, and a message that holds each of says."""
        done = self.weir(*arguments, stdin=stdin, env=env)
        text = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, (arguments, text))
        self.assertEqual(done.stdout, b"", arguments)
        self.assertTrue(text.startswith("weir: "), text)
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, text)
        return text

    def summary(self, done):
        return json.loads(done.stderr.decode().splitlines()[-1])

    def produce(self, topic, data, *flags):
        return self.summary(self.ok("produce", topic, *flags, stdin=data))

    def records(self, topic, *flags):
        out = self.ok("consume", topic, "--until-end", *flags).stdout.decode()
        return [json.loads(line) for line in out.splitlines()]

    def values(self, topic, *flags):
        return self.ok("consume", topic, "--until-end", "--format", "value", *flags).stdout

    def describe(self, topic):
        return json.loads(self.ok("topic", "describe", topic).stdout)

    def start(self, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
        process = subprocess.Popen([WEIR, *map(str, arguments), "--data", self.dir], stdin=stdin, stdout=stdout,
                                   stderr=subprocess.PIPE, env=environment())
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
        process.wait(LIMIT_S)

    def wait_held(self, process):
        """Until the process holds the directory. Asking with a command would compete for the lock; the holder writes its pid into it."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and process.poll() is None:
            if b"pid %d\n" % process.pid in content(os.path.join(self.dir, "LOCK")):
                return
            select.select([], [], [], 0.01)
        self.fail("the directory was never held")


class Help(Case):
    def test_no_arguments_show_examples_first(self):
        done = weir()
        self.assertEqual(done.returncode, 0)
        text = done.stdout.decode()
        self.assertLess(text.index("Examples"), text.index("Commands"))
        for word in ("produce", "consume", "topic create", "group describe", "state scan", "serve", "version"):
            self.assertIn(word, text)
        self.assertEqual(weir("--help").stdout, done.stdout)
        self.assertEqual(weir("help").stdout, done.stdout)
        self.assertEqual(weir("help", "help").stdout, done.stdout)

    def test_each_command_has_help_in_every_spelling(self):
        text = weir("help").stdout.decode()
        listed = re.search(r"Commands\n(.*?)\n\n", text, re.S).group(1)
        names = [re.match(r"  ((?:[a-z-]+ )*?[a-z-]+)(?= +[A-Z\[]|  )", line).group(1) for line in listed.splitlines()]
        self.assertIn("topic create", names)
        for name in names:
            words = name.split()
            if words[0] == "help":
                continue
            one = weir("help", *words)
            self.assertEqual((one.returncode, one.stderr), (0, b""), name)
            self.assertEqual(weir(*words, "--help").stdout, one.stdout)
            self.assertEqual(weir(*words, "-h").stdout, one.stdout)
            page = one.stdout.decode()
            self.assertLess(page.index("Examples"), page.index("Flags"))
            for flag in re.findall(r"--[a-z-]+", page[page.index("Flags"):].split("\n\n")[0]):
                if flag != "--help":
                    self.assertIn("WEIR_" + flag[2:].upper().replace("-", "_"), page, name)

    def test_noun_alone(self):
        done = weir("topic")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"weir topic create", done.stderr)
        done = weir("topic", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"weir topic delete", done.stdout)

    def test_slips(self):
        for words, meant in ((["prodcue", "t"], "produce"), (["consum"], "consume"), (["topics", "list"], "topic"),
                             (["topic", "lsit"], "topic list"), (["topic", "desc", "t"], "topic describe"),
                             (["group", "decsribe", "g"], "group describe"), (["help", "vresion"], "version"),
                             (["topic", "craete", "--help"], "topic create")):
            done = weir(*words)
            self.assertEqual((done.returncode, done.stdout), (2, b""), words)
            self.assertIn(f"did you mean 'weir {meant}'?", done.stderr.decode(), words)

    def test_unknown_words_list_what_there_is(self):
        for words in (["yyyyyy"], ["zzzzzz"]):
            done = weir(*words)
            self.assertEqual((done.returncode, done.stdout), (2, b""), words)
            self.assertIn("is not a weir command", done.stderr.decode())
            self.assertRegex(done.stderr.decode(), r"hint: (there is: .*produce|did you mean)")
        self.assertIn(b"create", weir("topic", "xyzzy").stderr)

    def test_flags_that_are_none(self):
        self.refused(2, "produce", "t", "--keys", "user", says="did you mean '--key'")
        self.refused(2, "consume", "t", "--untilend", says="did you mean '--until-end'")
        self.refused(2, "topic", "list", "--zzzzzzzz", says="unknown flag '--zzzzzzzz'")
        self.refused(2, "consume", "t", "-x", says="unknown flag '-x'")
        self.refused(2, "consume", "t", "--max", says="--max needs a value")
        self.refused(2, "produce", "t", "--key", "--partitions", "2", says="--key needs a value")
        self.refused(2, "consume", "t", "--until-end=maybe", says="switch")
        self.refused(2, "consume", says="argument is missing")
        self.refused(2, "consume", "a", "b", says="unexpected argument 'b'")
        self.refused(2, "topic", "list", "--color", "blue", says="--color")
        self.assertFalse(os.path.exists(self.dir))

    def test_standard_descriptors_that_are_closed(self):
        """What would be written there goes into no file of the directory."""
        for words, code in (("produce t --data d 2>&- <in", 0), ("produce t --data d <&-", 1), ("topic list --data d >&-", 1), ("topic describe t --data d <&- >&- 2>&-", 1),
                            ("consume nothing --data d 2>&-", 1), ("produce t --data d <&- >&- 2>&-", 1), ("consume t --until-end --data d <&-", 0)):
            with tempfile.TemporaryDirectory() as home:
                with open(os.path.join(home, "in"), "w", encoding="ascii") as file:
                    file.write("one\n")
                for line, expected in ((f"{WEIR} produce t --data d <in", 0), (f"{WEIR} {words}", code)):
                    done = subprocess.run(["sh", "-c", line], cwd=home, capture_output=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
                    self.assertEqual(done.returncode, expected, (line, done.stderr))
                with open(os.path.join(home, "d/LOCK"), "rb") as file:
                    self.assertRegex(file.read(), rb"\Apid [0-9]+\n\Z", words)

    def test_commands_on_files_take_no_bootstrap(self):
        for words in (["topic", "verify", "t"], ["topic", "export", "t", "--segments", "x"], ["topic", "import", "t", "--from", "-"], ["state", "list"], ["log", "describe"]):
            done = weir(*words, "-b", "localhost:9092")
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"it does not take -b", done.stderr)
            self.assertEqual(b"--server HOST:PORT" in done.stderr, words[0] == "state")
        self.assertEqual(weir("topic", "verify", "t", env={"WEIR_BOOTSTRAP": "x:1"}).returncode, 2)

    def test_version(self):
        done = weir("version")
        self.assertRegex(done.stdout.decode(), r"^weir \d+\.\d+\.\d+\n$")
        self.assertEqual(weir("--version").stdout, done.stdout)
        more = weir("version", "--verbose").stdout.decode()
        self.assertTrue(more.startswith(done.stdout.decode()))
        self.assertIn("compiler", more)
        self.assertEqual(weir("version", env={"WEIR_VERBOSE": "1"}).stdout.decode(), more)
        self.assertEqual(weir("version", "x").returncode, 2)


class Flags(Case):
    def test_spellings_and_places(self):
        self.ok("topic", "create", "--partitions=3", "a")
        self.assertEqual(weir("--data", self.dir, "topic", "list").stdout, b"a\n")
        self.assertEqual(weir(f"--data={self.dir}", "topic", "list", "--color", "never").stdout, b"a\n")
        self.assertEqual(weir("--color", "never", "topic", "--data", self.dir, "list").stdout, b"a\n")
        self.assertEqual(len(self.describe("a")["partitions"]), 3)
        self.assertEqual(weir("--data", self.dir, "topic", "create", "--", "-dash").returncode, 0)
        self.assertEqual(self.ok("topic", "list").stdout, b"-dash\na\n")

    def test_variables(self):
        env = {"WEIR_DATA": self.dir, "WEIR_PARTITIONS": "4", "WEIR_CONFIG": "segment.bytes=1048576 cleanup.policy=compact"}
        self.assertEqual(weir("topic", "create", "a", env=env).returncode, 0)
        topic = self.describe("a")
        self.assertEqual((len(topic["partitions"]), topic["config"]["segment.bytes"], topic["config"]["cleanup.policy"]),
                         (4, "1048576", "compact"))
        # The command line wins, an empty variable is unset.
        self.assertEqual(weir("topic", "create", "b", "--partitions", "2", env=env).returncode, 0)
        self.assertEqual(len(self.describe("b")["partitions"]), 2)
        self.produce("c", b"1\n2\n3\n")
        done = weir("consume", "c", env={"WEIR_DATA": self.dir, "WEIR_UNTIL_END": "yes", "WEIR_FORMAT": "value", "WEIR_MAX": ""})
        self.assertEqual(done.stdout, b"1\n2\n3\n")
        done = weir("consume", "c", env={"WEIR_DATA": self.dir, "WEIR_MAX": "1", "WEIR_FORMAT": "value"})
        self.assertEqual(done.stdout, b"1\n")
        done = weir("consume", "c", env={"WEIR_DATA": self.dir, "WEIR_UNTIL_END": "perhaps"})
        self.assertEqual(done.returncode, 2)

    def test_default_directory(self):
        done = weir("produce", "t", stdin=b"x\n", cwd=self.home)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.isdir(os.path.join(self.home, "weir-data")))

    def test_color(self):
        self.produce("t", b"x\n")
        piped = self.ok("topic", "list", "--format", "text")
        self.assertNotIn(b"\033", piped.stdout)
        self.assertIn(b"\033[", self.ok("topic", "list", "--format", "text", "--color", "always").stdout)
        self.assertIn(b"\033[", weir("nonsense").stderr + weir("topic", "list", "--data", "/nonexistent", "--color", "always").stderr)
        self.assertIn(b"\033[", self.ok("topic", "list", "--format", "text", env={"WEIR_COLOR": "always"}).stdout)
        self.assertNotIn(b"\033", self.ok("topic", "list", "--format", "text", env={"NO_COLOR": "1"}).stdout)


class Topics(Case):
    def test_create_list_describe_alter_delete(self):
        self.assertEqual(self.ok("topic", "create", "b", "--partitions", "2").stdout, b"")
        self.ok("topic", "create", "a", "--config", "segment.bytes=1048576", "--config", "cleanup.policy=compact")
        self.assertEqual(self.ok("topic", "list").stdout, b"a\nb\n")
        rows = [json.loads(line) for line in self.ok("topic", "list", "--format", "json").stdout.splitlines()]
        self.assertEqual([(r["topic"], r["partitions"], r["records"]) for r in rows], [("a", 1, 0), ("b", 2, 0)])
        topic = self.describe("a")
        self.assertEqual(topic["config"]["cleanup.policy"], "compact")
        self.assertEqual(sorted(topic["config_set"]), ["cleanup.policy", "segment.bytes"])
        self.assertEqual(len(topic["id"]), 22)
        self.ok("topic", "alter", "a", "--config", "segment.bytes=2097152", "--unset", "cleanup.policy")
        self.assertEqual(self.describe("a")["config_set"], ["segment.bytes"])
        self.assertEqual(self.describe("a")["config"]["segment.bytes"], "2097152")
        self.produce("b", b"1\n2\n3\n")
        self.assertEqual(sum(p["high_watermark"] for p in self.describe("b")["partitions"]), 3)
        text = self.ok("topic", "describe", "a", "b", "--format", "text").stdout.decode()
        self.assertIn("HIGH-WATERMARK", text)
        self.assertIn("segment.bytes=2097152", text)
        self.ok("topic", "delete", "a", "b")
        self.assertEqual(self.ok("topic", "list").stdout, b"")
        self.assertEqual([name for name in os.listdir(os.path.join(self.dir, "topics"))], [])

    def configs(self, form="json"):
        before = os.listdir(self.home)
        done = weir("topic", "configs", "--format", form, cwd=self.home)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(os.listdir(self.home), before)
        return done.stdout

    def test_configs(self):
        """The keys, from the table that values are checked against; no data directory is looked for."""
        keys = {line["key"]: line for line in map(json.loads, self.configs().splitlines())}
        # Kafka's own defaults, where nothing else is said.
        for key, value in {"cleanup.policy": "delete", "compression.type": "producer", "delete.retention.ms": "86400000",
                           "max.compaction.lag.ms": "9223372036854775807", "message.timestamp.before.max.ms": "9223372036854775807",
                           "message.timestamp.type": "CreateTime", "min.cleanable.dirty.ratio": "0.5", "min.compaction.lag.ms": "0",
                           "retention.bytes": "-1", "retention.ms": "604800000", "segment.bytes": "1073741824",
                           "segment.index.bytes": "10485760", "segment.ms": "604800000"}.items():
            self.assertEqual((keys[key]["role"], keys[key]["default"]), ("acts", value), key)
        self.assertIn("1048588", keys["max.message.bytes"]["differs"])
        self.assertIn("last write", keys["retention.ms"]["differs"])
        self.assertEqual([keys[k]["role"] for k in ("min.insync.replicas", "message.format.version")], ["fixed", "refused"])
        # Each default can be set, and is what an untouched topic has.
        self.ok("topic", "create", "plain")
        config = self.describe("plain")["config"]
        self.assertEqual(config, {k: line["default"] for k, line in keys.items() if line["default"] is not None})
        setting = [word for k, line in keys.items() if line["default"] is not None for word in ("--config", f"{k}={line['default']}")]
        self.ok("topic", "create", "set", *setting)
        self.assertEqual(sorted(self.describe("set")["config_set"]), sorted(config))
        text = self.ok("topic", "describe", "plain", "--format", "text").stdout.decode()
        self.assertIn("retention.ms=604800000  (default)", text)
        self.assertNotIn("min.insync.replicas", text)
        text = self.configs("text").decode()
        for key in keys:
            self.assertIn(f"  {key}", text)
        self.assertIn(b"text, json or markdown", weir("topic", "configs", "--format", "xml").stderr)

    def test_document_of_the_keys(self):
        with open(os.path.join(ROOT, "docs/configuration.md"), "rb") as file:
            self.assertEqual(self.configs("markdown"), file.read(),
                             "renew it: weir topic configs --format markdown >docs/configuration.md")

    def test_refused_configuration(self):
        self.ok("topic", "create", "a")
        for entry, says in (("min.insync.replicas=2", ["only 1 is possible", "one copy"]), ("retenton.ms=5", ["retention.ms"]),
                            ("preallocate=true", ["only false"]), ("message.format.version=3.0", ["version 2"]),
                            ("min.cleanable.dirty.ratio=2", ["number from 0 to 1"]), ("compression.type=brotli", ["zstd"]),
                            ("retention.ms=-2", ["whole number from -1", "ms"])):
            self.refused(2, "topic", "create", "b", "--config", entry, says=says)
            self.refused(2, "topic", "alter", "a", "--config", entry, says=says)
        self.assertEqual(self.ok("topic", "list").stdout, b"a\n")
        self.assertEqual(self.describe("a")["config_set"], [])

    def test_compacted_topic_wants_keys(self):
        self.ok("topic", "create", "users", "--config", "cleanup.policy=compact")
        self.refused(1, "produce", "users", stdin=b'{"id":"1"}\n', says=["line 1", "no key"])
        # The lines before a bad one are stored.
        lines = b'{"id":"1"}\n{"id":"2"}\n{"id":null}\n{"id":"4"}\n'
        self.refused(1, "produce", "users", "--key", "id", stdin=lines, says=["line 3", "no key"])
        self.assertEqual(self.describe("users")["partitions"][0]["high_watermark"], 2)

    def test_records_from_long_ago(self):
        self.ok("topic", "create", "fresh", "--config", "message.timestamp.before.max.ms=3600000")
        lines = b'{"ts":%d}\n{"ts":1000}\n' % int(time.time() * 1000)
        self.refused(1, "produce", "fresh", "--timestamp", "ts", stdin=lines, says=["line 2", "message.timestamp.before.max.ms"])
        self.assertEqual(self.describe("fresh")["partitions"][0]["high_watermark"], 1)
        self.ok("topic", "alter", "fresh", "--config", "message.timestamp.type=LogAppendTime")
        self.ok("produce", "fresh", "--timestamp", "ts", stdin=lines)

    def test_records_from_the_future(self):
        lines = b'{"ts":%d}\n' % int(time.time() * 1000 + 2 * 3600000)
        self.ok("topic", "create", "t")
        self.refused(1, "produce", "t", "--timestamp", "ts", stdin=lines, says=["line 1"])
        for number, entry in enumerate(("message.timestamp.after.max.ms=9223372036854775807", "message.timestamp.type=LogAppendTime")):
            self.ok("topic", "create", f"t{number}", "--config", entry)
            self.ok("produce", f"t{number}", "--timestamp", "ts", stdin=lines)
        (record,) = map(json.loads, self.ok("consume", "t1", "--until-end").stdout.splitlines())
        self.assertLess(abs(record["timestamp"] - time.time() * 1000), 60000)

    def test_refusals(self):
        self.ok("topic", "create", "a")
        self.refused(1, "topic", "create", "a", says="a")
        for name in ("a/b", ".", "..", "a b", "ä", "x" * 250, ""):
            self.refused(2, "topic", "create", name)
            self.refused(2, "produce", name, stdin=b"x\n")
            self.refused(2, "consume", name, "--until-end")
        self.refused(2, "topic", "create", "b", "--partitions", "0", says="--partitions")
        self.refused(2, "topic", "create", "b", "--partitions", "10001", says="10000")
        self.refused(2, "topic", "create", "b", "--partitions", "two", says="two")
        self.refused(2, "topic", "create", "b", "--config", "segment.byte=1", says="segment.bytes")
        self.refused(2, "topic", "create", "b", "--config", "segment.bytes", says="KEY=VALUE")
        self.refused(2, "topic", "create", "b", "--config", "=1", says="KEY=VALUE")
        self.refused(2, "topic", "create", "b", "--config", "segment.bytes=lots")
        self.refused(2, "topic", "alter", "a", says="nothing to alter")
        self.refused(2, "topic", "alter", "a", "--unset", "nonsense.key")
        for verb in ("describe", "delete"):
            self.refused(1, "topic", verb, "orders")
        self.refused(1, "topic", "alter", "orders", "--config", "segment.bytes=1048576")
        self.refused(1, "topic", "delete", "a", "orders")
        self.assertEqual(self.ok("topic", "list").stdout, b"a\n", "a topic went although the other is missing")
        self.refused(2, "topic", "list", "--format", "xml", says="text or json")

    def test_closest_name(self):
        self.ok("topic", "create", "user-events")
        self.refused(1, "consume", "user-event", "--until-end", says="user-events")
        self.ok("topic", "create", "dup")
        for far in ("nope", "x", "dog"):
            self.assertNotIn("did you mean", self.refused(1, "topic", "delete", far, says=f"no topic {far}"))


class Directories(Case):
    def test_missing_directory(self):
        for words in (["topic", "list"], ["topic", "describe", "t"], ["topic", "alter", "t", "--unset", "segment.bytes"],
                      ["topic", "delete", "t"], ["consume", "t"], ["group", "list"], ["group", "describe", "g"],
                      ["group", "reset", "g", "--topic", "t", "--to", "end"], ["group", "delete", "g"], ["state", "list"],
                      ["state", "get", "a/b", "k"], ["state", "scan", "a/b"]):
            text = self.refused(1, *words, says=[self.dir, "--data"])
            self.assertIn("hint:", text)
            self.assertFalse(os.path.exists(self.dir))

    def test_not_a_data_directory(self):
        with open(self.dir, "w"):
            pass
        self.refused(1, "topic", "list", says="not a directory")
        self.refused(1, "produce", "t", stdin=b"x\n", says="not a directory")
        os.unlink(self.dir)
        os.mkdir(self.dir)
        with open(os.path.join(self.dir, "letter.txt"), "w"):
            pass
        self.assertIn("hint: name the directory", self.refused(1, "topic", "list"))
        self.assertIn("hint: name the directory", self.refused(2, "topic", "create", "t"))
        self.assertEqual(os.listdir(self.dir), ["letter.txt"])

    def test_damaged_meta_says_what_to_do(self):
        self.produce("t", b"x\n")
        with open(os.path.join(self.dir, "meta", "data.mdb"), "r+b") as file:
            file.write(b"\xff" * 8192)
        self.assertIn("hint: the whole log depends on it", self.refused(1, "topic", "list", says="meta"))

    def test_newer_format_is_refused(self):
        self.produce("t", b"x\n")
        path = os.path.join(self.dir, "FORMAT")
        with open(path, "rb") as file:
            before = file.read()
        newer = re.sub(rb"\d+", lambda m: b"99", before, count=1)
        self.assertNotEqual(newer, before)
        with open(path, "wb") as file:
            file.write(newer)
        self.refused(1, "topic", "list", says="FORMAT")
        self.refused(1, "produce", "t", stdin=b"y\n")
        with open(path, "wb") as file:
            file.write(before)
        self.assertEqual(self.values("t"), b"x\n")

    def test_held_directory_names_the_pid(self):
        self.produce("t", b"x\n")
        holder = self.start("consume", "t")
        self.assertIn(b'"value":"x"', holder.stdout.readline())
        for words in (["topic", "list"], ["produce", "t"], ["consume", "t", "--until-end"], ["group", "list"]):
            self.refused(1, *words, says=str(holder.pid))
        holder.send_signal(signal.SIGINT)
        self.assertEqual(holder.wait(LIMIT_S), 130)
        self.assertEqual(self.values("t"), b"x\n")


class Produce(Case):
    def test_lines_as_they_are(self):
        lines = [b"plain", b'{"a":1}', b"  spaces  ", b"not { json", b"\xff\xfe\x00binary", "\u00e4\u20ac".encode(), b"null"]
        summary = self.produce("t", b"\n".join(lines) + b"\n")
        self.assertEqual((summary["topic"], summary["records"], summary["bytes"], summary["blank"]),
                         ("t", len(lines), sum(map(len, lines)), 0))
        self.assertGreaterEqual(summary["seconds"], 0)
        self.assertIn("records_per_s", summary)
        self.assertEqual(self.values("t"), b"\n".join(lines) + b"\n")
        self.assertEqual(len(self.describe("t")["partitions"]), 1)

    def test_line_ends(self):
        summary = self.produce("t", b"a\r\nb\n\n\r\nc\rd\n\ne")
        self.assertEqual((summary["records"], summary["blank"]), (4, 3))
        self.assertEqual(self.values("t"), b"a\nb\nc\rd\ne\n")
        self.assertEqual(self.produce("t", b"")["records"], 0)
        self.assertEqual(self.produce("t", b"\n")["blank"], 1)
        self.assertEqual(self.produce("t", b"last")["records"], 1)
        self.assertTrue(self.values("t").endswith(b"e\nlast\n"))

    def test_empty_input_makes_the_topic(self):
        self.produce("t", b"", "--partitions", "3")
        self.assertEqual(len(self.describe("t")["partitions"]), 3)

    def test_keys(self):
        rows = [{"user": f"u{i}", "n": i} for i in range(500)]
        rows += [{"user": ""}, {"user": "\u00e4\u20ac\U0001f600"}, {"user": 'q"\\\n'}, {"user": 17}, {"user": -5}, {"user": True},
                 {"user": False}, {"user": None}]
        raw = ndjson(rows) + b'{"user":12345678901234567890123}\n{"user":1.50}\n{"user":1e3}\n{"us\\u0065r":"\\u0061\\ud83d\\ude00"}\n'
        raw += b' {"n":{"user":"inner"},"user":"first","user":"second"} \n'
        keys = [r["user"] if isinstance(r["user"], str) else None if r["user"] is None else json.dumps(r["user"]) for r in rows]
        keys += ["12345678901234567890123", "1.50", "1e3", "a\U0001f600", "first"]
        self.assertEqual(self.produce("t", raw, "--key", "user", "--partitions", "5")["records"], len(keys))
        by_key = {}
        for record in self.records("t"):
            by_key[record["key"]] = record
            if record["key"] is not None:
                self.assertEqual(record["partition"], partition_of(record["key"].encode(), 5), record["key"])
        self.assertEqual(set(by_key), set(keys))
        self.assertEqual(by_key["u7"]["value"], {"user": "u7", "n": 7})

    def test_nested_key(self):
        self.produce("t", b'{"a":{"b":{"c":"x"}}}\n{"a":{"b":{"c":null}}}\n', "--key", "a.b.c")
        self.assertEqual([r["key"] for r in self.records("t")], ["x", None])
        self.refused_line(1, b'{"a":{"b":5}}\n', "--key", "a.b.c", says="a.b.c")

    def refused_line(self, number, data, *flags, says=(), topic="bad", left=0):
        done = self.weir("produce", topic, *flags, stdin=data)
        text = done.stderr.decode(errors="replace")
        self.assertEqual((done.returncode, done.stdout), (1, b""), text)
        self.assertIn(f"line {number}:", text.splitlines()[0])
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, text)
        self.assertEqual(self.summary(done)["records"], left, text)
        return text

    def test_a_bad_line_ends_the_run_and_earlier_lines_stay(self):
        good = b'{"user":"a","ts":1}\n'
        bad = [(b'{"n":1}', "no field 'user'"), (b"{", ""), (b"[1]", ""), (b"5", ""), (b"text", ""), (b'{"user":"x"} trailing', ""),
               (b'{"user":"x"}{"user":"y"}', ""), (b'{"user":{"a":1}}', "object or array"), (b'{"user":["a"]}', "object or array"),
               (b'{"user":"\xff"}', ""), (b'{"user":"a', ""), (b'{"user":01}', ""), (b'{"user":1.2.3}', ""), (b"   ", "")]
        for i, (line, says) in enumerate(bad):
            with self.subTest(line):
                topic = f"bad{i}"
                self.refused_line(5, good + b"\n" + good * 2 + line + b"\n" + good, "--key", "user", says=says, topic=topic, left=3)
                self.assertEqual(self.values(topic), good * 3)

    def test_a_bad_line_deep_in_the_input(self):
        for place in (4095, 4096, 4097, 20000):
            rows = [b'{"user":"u%d"}\n' % i for i in range(25000)]
            rows[place] = b'{"nobody":1}\n'
            self.refused_line(place + 1, b"".join(rows), "--key", "user", topic=f"deep{place}", left=place)
            self.assertEqual(self.values(f"deep{place}"), b"".join(rows[:place]))

    def test_key_separator(self):
        summary = self.produce("t", b"k1\tv1\n\tv2\nk3\t\nk4\ta\tb\n", "--key-separator", "\\t", "--partitions", "3")
        self.assertEqual((summary["records"], summary["bytes"]), (4, 7))
        records = sorted((r["key"], r["value"], r["partition"]) for r in self.records("t"))
        self.assertEqual(records, sorted((k, v, partition_of(k.encode(), 3))
                                         for k, v in (("k1", "v1"), ("", "v2"), ("k3", ""), ("k4", "a\tb"))))
        self.produce("u", b'k::{"ts":5}\n', "--key-separator", "::", "--timestamp", "ts")
        record = self.records("u")[0]
        self.assertEqual((record["key"], record["value"], record["timestamp"]), ("k", {"ts": 5}, 5))
        self.refused_line(2, b"a=b\nab\nc=d\n", "--key-separator", "=", left=1, says="separator")
        self.refused(2, "produce", "t", "--key-separator", "=", "--key", "k", stdin=b"a=b\n", says="exclude")
        self.refused(2, "produce", "t", "--key-separator", "", stdin=b"a=b\n", says="empty")

    def test_tombstones(self):
        self.produce("t", b"a\tx\na\t\n", "--key-separator", "\\t", "--tombstones")
        self.assertEqual([r["value"] for r in self.records("t")], ["x", None])
        self.assertEqual(self.values("t"), b"x\nnull\n")
        self.assertEqual(self.ok("consume", "t", "--until-end", "--format", "key-value").stdout, b"a\tx\na\tnull\n")
        self.refused(2, "produce", "t", "--tombstones", stdin=b"a\n", says="--key-separator")

    def test_timestamps(self):
        cases = [(b"1291191960000", 1291191960000), (b'"1291191960001"', 1291191960001), (b"0", 0),
                 (b'"2010-12-01T08:26:00Z"', 1291191960000), (b'"2010-12-01 08:26:00.123"', 1291191960123),
                 (b'"2010-12-01T09:26:00+01:00"', 1291191960000), (b'"2010-12-01"', 1291161600000),
                 (b"1.2911919600005e12", 1291191960000), (b"1291191960000.9", 1291191960000)]
        self.produce("t", b"".join(b'{"t":{"s":%s}}\n' % text for text, _ in cases), "--timestamp", "t.s")
        self.assertEqual([r["timestamp"] for r in self.records("t")], [ms for _, ms in cases])
        future = int(time.time() * 1000) + 7200 * 1000
        for text in (b"null", b"true", b"{}", b"[]", b'"yesterday"', b'""', b'"2010-13-01"', b"-1", b'"1969-12-31"', b"1e300",
                     b"99999999999999999999", b'"99999999999999999999999999"', b"%d" % future):
            with self.subTest(text):
                self.refused_line(2, b'{"s":1}\n{"s":%s}\n{"s":2}\n' % text, "--timestamp", "s", topic=f"n{abs(hash(text))}", left=1)
        self.refused_line(1, b'{"x":1}\n', "--timestamp", "s", says="not there")
        before = int(time.time() * 1000)
        self.produce("now", b"x\n")
        self.assertTrue(before <= self.records("now")[0]["timestamp"] <= int(time.time() * 1000))

    def test_partitions(self):
        self.produce("t", b"x\n", "--partitions", "2")
        self.produce("t", b"y\n", "--partitions", "2")
        self.refused(1, "produce", "t", "--partitions", "3", stdin=b"z\n", says="2 partitions, not 3")
        self.refused(2, "produce", "t", "--partitions", "-1", stdin=b"z\n")
        rows = b"".join(b"%d\n" % i for i in range(100000))
        self.produce("many", rows, "--partitions", "4")
        counts = [p["high_watermark"] for p in self.describe("many")["partitions"]]
        self.assertEqual(sum(counts), 100000)
        self.assertGreater(min(counts), 0, "records without keys stick to one partition for ever")

    def test_partitioned_by(self):
        def now(topic="t"):
            return self.describe(topic)["config"].get("weir.partitioned.by") or None
        keyed = b'{"user":"a","other":"b"}\n'
        self.produce("t", keyed, "--key", "user", "--partitions", "2")
        self.assertEqual(now(), "user")
        self.produce("t", keyed, "--key", "user")
        self.produce("t", b"", "--key", "other")
        self.assertEqual(now(), "user", "nothing was appended")
        self.produce("t", keyed, "--key", "other")
        self.assertIsNone(now())
        self.produce("t", keyed, "--key", "user")
        self.assertIsNone(now(), "older records are still partitioned by something else")
        for i, (data, flags) in enumerate(((b"x\n", ()), (b"a\tb\n", ("--key-separator", "\\t")), (b'{"user":null}\n', ("--key", "user")),
                                           (b'{"user":7}\n', ("--key", "user")), (b'{"user":"{x"}\n', ("--key", "user")))):
            topic = f"c{i}"
            self.produce(topic, keyed, "--key", "user")
            self.assertEqual(now(topic), "user")
            self.produce(topic, data, *flags)
            self.assertIsNone(now(topic), data)
        self.ok("topic", "create", "made", "--partitions", "2")
        self.produce("made", keyed, "--key", "user")
        self.assertEqual(now("made"), "user", "an empty topic has no other records")
        self.produce("none", b"x\n")
        self.assertIsNone(now("none"))

    def test_long_lines(self):
        line = b'{"user":"u","pad":"' + b"x" * (1 << 20) + b'"}'
        self.produce("t", (line + b"\n") * 5, "--key", "user")
        self.assertEqual(self.values("t"), (line + b"\n") * 5)
        self.ok("topic", "create", "small", "--config", "max.message.bytes=1000")
        rows = b"".join(b'{"n":%d}\n' % i for i in range(3000))
        self.produce("small", rows)
        self.assertEqual(self.values("small"), rows)
        for size, flags in ((1001, ()), (3 << 20, ()), (1001, ("--key", "user"))):
            text = self.refused_line(3, rows[:9] * 2 + b"y" * size + b"\nz\n" if not flags else
                                     b'{"user":"a"}\n' * 2 + b'{"user":"' + b"y" * size + b'"}\n', *flags, topic="small", left=2)
            self.assertIn("max.message.bytes", text)
        self.refused_line(1, b"y" * 5000, topic="small")

    def test_compression(self):
        data = b"".join(b'{"user":"u%d","text":"the same words again"}\n' % (i % 9) for i in range(20000))
        sizes = {}
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            self.produce(codec, data, "--compression", codec)
            self.assertEqual(self.values(codec), data)
            sizes[codec] = self.describe(codec)["partitions"][0]["bytes"]
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            self.assertLess(sizes[codec], sizes["none"] / 3)
        self.produce("default", data)
        self.assertAlmostEqual(self.describe("default")["partitions"][0]["bytes"], sizes["lz4"], delta=sizes["lz4"] / 100)
        self.refused(2, "produce", "t", "--compression", "brotli", says="zstd")

    def test_big_input(self):
        rows = [b'{"user":"u%d","ts":%d,"n":%d,"pad":"%s"}\n' % (i % 1000, 1700000000000 + i, i, b"p" * (i % 90)) for i in range(300000)]
        summary = self.produce("t", b"".join(rows), "--key", "user", "--timestamp", "ts", "--partitions", "3")
        self.assertEqual(summary["records"], len(rows))
        expected = [[], [], []]
        for row in rows:
            user = row.split(b'"')[3]
            expected[partition_of(user, 3)].append(row)
        self.assertEqual(self.values("t"), b"".join(b"".join(part) for part in expected))

    def test_input_that_pauses_is_stored_meanwhile(self):
        process = self.start("produce", "t", stdin=subprocess.PIPE)
        process.stdin.write(b"one\ntwo\nthr")
        process.stdin.flush()
        log = os.path.join(self.dir, "topics", "t-0", "0" * 20 + ".log")
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and b"two" not in content(log):
            select.select([], [], [], 0.01)
        self.assertIn(b"two", content(log))
        process.stdin.write(b"ee")
        process.stdin.close()
        self.assertEqual(process.wait(LIMIT_S), 0)
        self.assertEqual(self.values("t"), b"one\ntwo\nthree\n")

    def test_interrupt_keeps_what_was_read(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            topic = f"t{int(number)}"
            process = self.start("produce", topic, stdin=subprocess.PIPE)
            process.stdin.write(b"one\ntwo\nhalf a li")
            process.stdin.flush()
            self.wait_held(process)
            log = os.path.join(self.dir, "topics", f"{topic}-0", "0" * 20 + ".log")
            deadline = time.monotonic() + LIMIT_S
            while time.monotonic() < deadline and content(log) == b"":
                select.select([], [], [], 0.01)
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT_S), 130)
            self.assertEqual(json.loads(process.stderr.read().splitlines()[-1])["records"], 2)
            self.assertEqual(self.values(topic), b"one\ntwo\n")

    def test_a_signal_that_comes_twice_is_one(self):
        self.produce("t", b"one\n")
        for i in range(5):
            process = self.start("consume", "t", "--group", f"g{i}", "--format", "value")
            self.assertEqual(process.stdout.readline(), b"one\n")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(LIMIT_S), 130)
            self.assertEqual(self.values("t", "--group", f"g{i}"), b"")

    def test_closed_input(self):
        done = subprocess.run([WEIR, "produce", "t", "--data", self.dir], stdin=subprocess.DEVNULL, capture_output=True, env=environment(),
                              timeout=LIMIT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        directory = os.open(self.home, os.O_RDONLY)
        self.addCleanup(os.close, directory)
        done = subprocess.run([WEIR, "produce", "t", "--data", self.dir], stdin=directory, capture_output=True, env=environment(),
                              timeout=LIMIT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot read the input", done.stderr)


class Consume(Case):
    def test_json_form(self):
        self.produce("t", b'{"b":1,"a":[1.50,null]}\n', "--timestamp", "b")
        self.assertEqual(self.ok("consume", "t", "--until-end").stdout,
                         b'{"topic":"t","partition":0,"offset":0,"timestamp":1,"key":null,"value":{"b":1,"a":[1.50,null]},"headers":{}}\n')

    def test_values_of_every_kind(self):
        random.seed(1)
        values = [b'{"a":1}', b"[1, 2]", b"12.50", b"true", b"null", b'"text"', b" {} ", b"plain text", b'{"a":1', b"01", b"NaN", b"{'a':1}",
                  "\u00e4 \U0001f600 \u2028".encode(), b'quote " back \\ tab \t', b"\x00\x01\x7f", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80",
                  b'"\xff"', b'"\\ud83d\\ude00"', b"[" * 200 + b"]" * 200, b"[" * 5000 + b"]" * 5000, b"9" * 400, b"-", b"\xef\xbb\xbf{}"]
        for _ in range(300):
            values.append(bytes(random.choice([random.randrange(256), ord("a"), ord('"'), ord("{")]) for _ in range(random.randint(1, 40)))
                          .replace(b"\n", b"").replace(b"\r", b"") or b"x")
        self.assertEqual(self.produce("t", b"\n".join(values))["records"], len(values))

        def is_json(value):
            try:
                json.loads(value.decode("utf-8"), parse_constant=lambda name: 1 / 0)
                return not value.startswith(b"\xef\xbb\xbf")
            except (ValueError, ZeroDivisionError, RecursionError):
                return False
        out = self.ok("consume", "t", "--until-end").stdout.splitlines()
        self.assertEqual(len(out), len(values))
        for line, value in zip(out, values):
            record = json.loads(line)
            if "encoding" in record:
                self.assertEqual(record["encoding"], "base64")
                self.assertEqual(base64.b64decode(record["value"], validate=True), value)
                with self.assertRaises(UnicodeDecodeError):
                    value.decode()
            elif is_json(value) and not value.startswith(b"[" * 250):
                self.assertIn(b'"value":' + value + b',"headers"', line)
            else:
                self.assertEqual(record["value"], value.decode())
        self.assertEqual(self.values("t"), b"\n".join(values) + b"\n")

    def test_json_or_text_agrees_with_python(self):
        """Random documents, most of them damaged in a byte or two: embedded exactly when Python's parser takes them."""
        random.seed(7)

        def document(depth=0):
            if depth > 4 or random.random() < 0.35:
                return random.choice([0, -1, 1.5, 1e30, True, None, "x", "\u00e9\u2028\U0001f600", 'a"b\\\n\t\x01', 10 ** 30])
            if random.random() < 0.5:
                return {random.choice("abc\u00e9"): document(depth + 1) for _ in range(random.randrange(5))}
            return [document(depth + 1) for _ in range(random.randrange(5))]
        values = []
        for _ in range(8000):
            text = json.dumps(document(), ensure_ascii=random.random() < 0.5, separators=random.choice([(",", ":"), (" , ", "\t: \r")]))
            value = bytearray(text.encode())
            for _ in range(random.choice([0, 0, 1, 2])):
                place = random.randrange(len(value))
                value[place:place + random.randrange(2)] = bytes([random.choice(b' \t\r"\\{}[]:,0123eE+-.ault\x00\xff\xed\xa0\x80\xc3')])
            values.append(bytes(value).rstrip(b"\r") or b"x")
        self.produce("t", b"\n".join(values))
        lines = self.ok("consume", "t", "--until-end").stdout.splitlines()
        self.assertEqual(len(lines), len(values))
        embedded = 0
        for line, value in zip(lines, values):
            raw = re.search(rb'"value":(.*),"headers":\{\}', line, re.S).group(1)
            try:
                text = value.decode()
                expected = json.loads(text, parse_constant=lambda name: 1 / 0)
                embedded += 1
                self.assertEqual(json.loads(raw), expected)
                if b"\r" not in value:
                    self.assertEqual(raw, value)
            except UnicodeDecodeError:
                self.assertEqual(base64.b64decode(json.loads(raw)), value)
            except (ValueError, ZeroDivisionError):
                self.assertEqual(json.loads(raw), text)
        self.assertTrue(1000 < embedded < 7000, embedded)

    def test_key_forms(self):
        self.produce("t", b"\xff\xfe:1\n:2\n\xc3\xa4:3\n", "--key-separator", ":")
        records = self.records("t")
        self.assertEqual(records[0]["key_encoding"], "base64")
        self.assertEqual(base64.b64decode(records[0]["key"]), b"\xff\xfe")
        self.assertEqual([r["key"] for r in records[1:]], ["", "\u00e4"])
        self.assertEqual(self.ok("consume", "t", "--until-end", "--format", "key-value").stdout, b"\xff\xfe\t1\n\t2\n\xc3\xa4\t3\n")

    def test_from(self):
        rows = b"".join(b'{"ts":%d}\n' % (1000 + 10 * i) for i in range(100))
        self.produce("t", rows, "--timestamp", "ts")
        lines = rows.splitlines(True)
        self.assertEqual(self.values("t", "--from", "beginning"), rows)
        self.assertEqual(self.values("t", "--from", "end"), b"")
        self.assertEqual(self.values("t", "--from", "0"), rows)
        self.assertEqual(self.values("t", "--from", "97"), b"".join(lines[97:]))
        self.assertEqual(self.values("t", "--from", "100"), b"")
        self.assertEqual(self.values("t", "--from", "1000"), b"")
        self.assertEqual(self.values("t", "--from", "@1500"), b"".join(lines[50:]))
        self.assertEqual(self.values("t", "--from", "@1501"), b"".join(lines[51:]))
        self.assertEqual(self.values("t", "--from", "@0"), rows)
        self.assertEqual(self.values("t", "--from", "@-5"), rows)
        self.assertEqual(self.values("t", "--from", "@99999"), b"")
        for bad in ("middle", "-1", "@", "@x", "1.5", ""):
            self.refused(2, "consume", "t", "--from=" + bad, "--until-end", says="--from")

    def test_max_and_partition(self):
        self.produce("t", b"".join(b"k%d=%d\n" % (i % 7, i) for i in range(1000)), "--key-separator", "=", "--partitions", "3")
        everything = self.records("t")
        self.assertEqual([r["partition"] for r in everything], sorted(r["partition"] for r in everything))
        for part in range(3):
            mine = [r for r in everything if r["partition"] == part]
            self.assertEqual([r["offset"] for r in mine], list(range(len(mine))))
            self.assertEqual(self.records("t", "--partition", part), mine)
        for count in (0, 1, 5, 999):
            self.assertEqual(self.records("t", "--max", count), everything[:count])
            done = self.ok("consume", "t", "--max", count)
            self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], everything[:count])
        self.assertEqual(self.records("t", "--max", 5000), everything)
        self.refused(1, "consume", "t", "--partition", "3", "--until-end", says="0 to 2")
        self.refused(2, "consume", "t", "--max", "-1")
        self.refused(2, "consume", "t", "--format", "xml", "--until-end", says="key-value")
        self.refused(1, "consume", "nothing", "--until-end", says="nothing")

    def test_groups(self):
        self.produce("t", b"".join(b"k%d=%d\n" % (i % 7, i) for i in range(1000)), "--key-separator", "=", "--partitions", "3")
        everything = self.ok("consume", "t", "--until-end").stdout.splitlines()
        self.assertEqual(self.ok("group", "list").stdout, b"")
        seen = []
        for count in (1, 10, 0, 400, 5000):
            seen += self.ok("consume", "t", "--group", "g", "--until-end", "--max", count).stdout.splitlines()
            self.assertEqual(seen, everything[:len(seen)])
        self.assertEqual(seen, everything)
        self.assertEqual(self.ok("consume", "t", "--group", "g", "--until-end").stdout, b"")
        self.produce("t", b"k1=new\n", "--key-separator", "=")
        self.assertEqual(self.values("t", "--group", "g"), b"new\n")
        self.assertEqual(self.values("t", "--group", "late", "--from", "end"), b"")
        self.assertEqual(self.ok("group", "list").stdout, b"g\n")
        # --from is for partitions without an offset; what was committed wins.
        self.assertEqual(self.values("t", "--group", "g", "--from", "beginning"), b"")
        self.refused(2, "consume", "t", "--group", "", "--until-end", says="--group")

    def test_uncommitted_reads_the_same_without_transactions(self):
        self.produce("t", b"1\n2\n")
        self.assertEqual(self.values("t", "--uncommitted"), b"1\n2\n")

    def test_following_ends_with_130_and_commits(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            group = f"g{int(number)}"
            if not os.path.exists(self.dir):
                self.produce("t", b"one\ntwo\n")
            process = self.start("consume", "t", "--group", group, "--format", "value")
            self.assertEqual([process.stdout.readline() for _ in range(2)], [b"one\n", b"two\n"])
            self.assertIsNone(process.poll())
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT_S), 130)
            self.assertEqual((process.stdout.read(), process.stderr.read()), (b"", b""))
            self.assertEqual(self.values("t", "--group", group), b"")

    def test_following_an_empty_topic_can_be_interrupted(self):
        self.ok("topic", "create", "t")
        process = self.start("consume", "t")
        self.wait_held(process)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT_S), 130)

    def test_a_reader_that_goes_away(self):
        self.produce("t", b"".join(b"%d\n" % i for i in range(200000)))
        for flags in (["--until-end"], []):
            process = self.start("consume", "t", "--format", "value", *flags)
            self.assertEqual([process.stdout.readline() for _ in range(3)], [b"0\n", b"1\n", b"2\n"])
            process.stdout.close()
            self.assertEqual(process.wait(LIMIT_S), 0)
            self.assertEqual(process.stderr.read(), b"")

    def test_a_reader_that_goes_away_while_following(self):
        self.produce("t", b"only\n")
        process = self.start("consume", "t", "--format", "value")
        self.assertEqual(process.stdout.readline(), b"only\n")
        process.stdout.close()
        self.assertEqual(process.wait(LIMIT_S), 0)

    def test_an_output_that_is_full(self):
        self.produce("t", b"x\n")
        with open("/dev/full", "wb") as full:
            process = self.start("consume", "t", "--until-end", "--group", "g", stdout=full)
            self.assertEqual(process.wait(LIMIT_S), 1)
            self.assertIn(b"cannot write", process.stderr.read())
            process = self.start("topic", "list", stdout=full)
            self.assertEqual(process.wait(LIMIT_S), 1)
        self.assertEqual(self.values("t", "--group", "g"), b"x\n", "committed what was never written")

    def test_produce_cannot_write_while_it_is_consumed(self):
        self.produce("t", b"x\n")
        process = self.start("consume", "t", "--format", "value")
        self.assertEqual(process.stdout.readline(), b"x\n")
        self.refused(1, "produce", "t", stdin=b"y\n", says=str(process.pid))
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)
        self.produce("t", b"y\n")
        self.assertEqual(self.values("t"), b"x\ny\n")

    def test_damage_names_the_place(self):
        self.produce("t", b"".join(b"line %d\n" % i for i in range(50)), "--compression", "none")
        self.produce("other", b"fine\n")
        log = os.path.join(self.dir, "topics", "t-0", "0" * 20 + ".log")
        with open(log, "r+b") as file:
            data = file.read()
            file.seek(data.index(b"line 25"))
            file.write(b"LINE")
        done = self.weir("consume", "t", "--until-end")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"t-0", done.stderr)
        self.assertEqual(done.stderr.count(b"hint: 'weir topic verify t'"), 1)
        for words in (["topic", "export", "t", "--to", "-"], ["produce", "t"]):
            done = self.weir(*words, stdin=b"x\n")
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"weir topic verify t", done.stderr)
        self.assertEqual(self.values("other"), b"fine\n")


class Groups(Case):
    def setUp(self):
        super().setUp()
        self.produce("t", b"".join(b'{"ts":%d,"k":"k%d"}\n' % (1000 + i, i % 11) for i in range(100)), "--timestamp", "ts", "--key", "k",
                     "--partitions", "2")
        self.ends = [p["high_watermark"] for p in self.describe("t")["partitions"]]

    def rows(self, *arguments):
        return [json.loads(line) for line in self.ok(*arguments, "--format", "json").stdout.splitlines()]

    def test_describe(self):
        self.ok("consume", "t", "--group", "g", "--partition", "0", "--max", "5")
        alone = {"consumer_id": None, "host": None, "client_id": None, "state": "Empty", "total_lag": self.ends[0] - 5}
        self.assertEqual(self.rows("group", "describe", "g"), [
            {"group": "g", "topic": "t", "partition": 0, "current_offset": 5, "log_end_offset": self.ends[0], "lag": self.ends[0] - 5, **alone},
            {"group": "g", "topic": "t", "partition": 1, "current_offset": None, "log_end_offset": self.ends[1], "lag": None, **alone}])
        lines = self.ok("group", "describe", "g").stdout.decode().splitlines()
        self.assertEqual(lines[0].split(), ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG",
                                            "CONSUMER-ID", "HOST", "CLIENT-ID"])
        self.assertEqual(lines[1].split(), ["g", "t", "0", "5", str(self.ends[0]), str(self.ends[0] - 5), "-", "-", "-"])
        self.assertEqual(lines[2].split(), ["g", "t", "1", "-", str(self.ends[1]), "-", "-", "-", "-"])
        self.assertEqual(lines[3:], ["", f"g: Empty, 0 members, total lag {self.ends[0] - 5}"])
        self.ok("consume", "t", "--group", "g", "--until-end")
        self.assertEqual([row["lag"] for row in self.rows("group", "describe", "g")], [0, 0])
        self.assertEqual(self.rows("group", "list"), [{"group": "g"}])

    def test_a_name_with_control_characters_keeps_lines_and_terminals_whole(self):
        name = "a\nb\x1b[31m\x7f"
        self.ok("consume", "t", "--group", name, "--max", "1")
        self.assertEqual(self.ok("group", "list").stdout, b"a\\x0ab\\x1b[31m\\x7f\n")
        self.assertEqual(self.rows("group", "list"), [{"group": name}])
        shown = self.ok("group", "describe", name).stdout.decode().splitlines()
        self.assertEqual(len(shown), 5)
        for line in shown[1:3] + shown[4:]:
            self.assertTrue(line.startswith("a\\x0ab\\x1b[31m\\x7f"), line)
        text = self.refused(1, "group", "describe", "no\x1b[2J", says="no\\x1b[2J")
        self.assertNotIn("\x1b", text)

    def test_missing_group(self):
        self.refused(1, "group", "describe", "nobody", says="nobody")
        self.refused(1, "group", "delete", "nobody", says="nobody")

    def test_reset(self):
        self.ok("consume", "t", "--group", "g", "--until-end")
        before = self.rows("group", "describe", "g")
        plan = self.rows("group", "reset", "g", "--topic", "t", "--to", "beginning")
        self.assertEqual([(r["new_offset"], r["executed"]) for r in plan], [(0, False), (0, False)])
        self.assertEqual(self.rows("group", "describe", "g"), before, "a dry run changed something")
        self.ok("group", "reset", "g", "--topic", "t", "--to", "beginning", "--execute")
        self.assertEqual([r["current_offset"] for r in self.rows("group", "describe", "g")], [0, 0])
        self.ok("group", "reset", "g", "--topic", "t", "--to", "3", "--partition", "1", "--execute")
        self.assertEqual([r["current_offset"] for r in self.rows("group", "describe", "g")], [0, 3])
        self.ok("group", "reset", "g", "--topic", "t", "--to", "100000", "--execute")
        self.assertEqual([r["current_offset"] for r in self.rows("group", "describe", "g")], self.ends)
        self.ok("group", "reset", "g", "--topic", "t", "--to", "@1090", "--execute")
        left = self.records("t", "--group", "g")
        self.assertEqual(sorted(r["timestamp"] for r in left), list(range(1090, 1100)))
        self.ok("group", "reset", "fresh", "--topic", "t", "--to", "end", "--execute")
        self.assertEqual([r["lag"] for r in self.rows("group", "describe", "fresh")], [0, 0])
        header = self.ok("group", "reset", "g", "--topic", "t", "--to", "end").stdout.decode().splitlines()[0].split()
        self.assertEqual(header, ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "NEW-OFFSET"])
        self.refused(2, "group", "reset", "g", "--topic", "t", says="--to")
        self.refused(2, "group", "reset", "g", "--to", "end", says="--topic")
        self.refused(2, "group", "reset", "g", "--topic", "t", "--to", "somewhere", says="somewhere")
        self.refused(1, "group", "reset", "g", "--topic", "nothing", "--to", "end")
        self.refused(1, "group", "reset", "g", "--topic", "t", "--to", "end", "--partition", "7")

    def test_reset_by_shift(self):
        current = lambda: [r["current_offset"] for r in self.rows("group", "describe", "g")]
        self.refused(1, "group", "reset", "g", "--topic", "t", "--to", "+1", says="no offset of t-0")
        self.ok("group", "reset", "g", "--topic", "t", "--to", "10", "--execute")
        self.ok("group", "reset", "g", "--topic", "t", "--to", "+5", "--partition", "0", "--execute")
        self.assertEqual(current(), [15, 10])
        self.ok("group", "reset", "g", "--all-topics", "--to", "-4", "--execute")
        self.assertEqual(current(), [11, 6])
        done = self.ok("group", "reset", "g", "--topic", "t", "--to", "-7", "--execute")
        self.assertEqual(current(), [4, 0])
        self.assertEqual(done.stderr.decode(), "weir: t-1 has no offset -1: the nearest that exists is 0\n")
        self.refused(2, "group", "reset", "g", "--topic", "t", "--to", "+-1", says="+-1")
        self.refused(2, "group", "reset", "g", "--topic", "t", "--all-topics", "--to", "end", says="go together")
        self.refused(2, "group", "reset", "g", "--all-topics", "--partition", "1", "--to", "end", says="--partition")
        self.refused(1, "group", "reset", "nobody", "--all-topics", "--to", "end", says="nobody")

    def test_delete_offsets(self):
        self.ok("consume", "t", "--group", "g", "--until-end")
        self.ok("group", "delete-offsets", "g", "--topic", "t", "--partition", "0")
        self.assertEqual([r["current_offset"] for r in self.rows("group", "describe", "g")], [None, self.ends[1]])
        self.ok("group", "delete-offsets", "g", "--topic", "t")
        self.refused(1, "group", "describe", "g", says="no group")
        self.refused(1, "group", "delete-offsets", "g", "--topic", "t", says="no offsets")
        self.refused(1, "group", "delete-offsets", "g", "--topic", "nothing", says="nothing")
        self.refused(2, "group", "delete-offsets", "g", says="--topic")

    def test_delete(self):
        self.ok("consume", "t", "--group", "g", "--until-end")
        self.ok("group", "delete", "g")
        self.assertEqual(self.ok("group", "list").stdout, b"")
        self.refused(1, "group", "describe", "g")

    def test_a_topic_of_the_same_name_is_another_topic(self):
        self.ok("consume", "t", "--group", "g", "--until-end")
        self.ok("topic", "delete", "t")
        self.produce("t", b"new\n")
        self.assertEqual(self.values("t", "--group", "g"), b"new\n")


@unittest.skipUnless(os.path.exists(os.path.join(os.path.dirname(WEIR), "user-counts")), "no job to make a store")
class Stores(Case):
    """The store of the user-counts example against counts made here."""

    def setUp(self):
        super().setUp()
        random.seed(3)
        rows = [{"user": random.choice(["ann", "bob", "\u00e4", 'q"'])} | {"ts": 1700000000000 + random.randrange(40) * 60000}
                for _ in range(2000)]
        self.expected = {}
        for row in rows:
            key = (row["user"], row["ts"] // 300000 * 300000)
            self.expected[key] = self.expected.get(key, 0) + 1
        self.produce("incident-events", ndjson(rows), "--key", "user", "--partitions", "2")
        job = subprocess.run([os.path.join(os.path.dirname(WEIR), "user-counts"), "--data", self.dir, "--until-end"], capture_output=True,
                             env=environment(), timeout=LIMIT_S)
        self.assertEqual(job.returncode, 0, job.stderr)

    def scan(self, *flags):
        return [json.loads(line) for line in self.ok("state", "scan", "user-counts/user-counts", *flags).stdout.splitlines()]

    @staticmethod
    def iso(ms):
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(ms // 1000))

    def test_list(self):
        rows = [json.loads(line) for line in self.ok("state", "list").stdout.splitlines()]
        self.assertEqual([(r["app"], r["store"], r["partition"], r["changelog"]) for r in rows],
                         [("user-counts", "user-counts", i, "user-counts-user-counts-changelog") for i in range(2)])
        self.assertEqual(sum(r["entries"] for r in rows), len(self.expected))
        self.assertEqual([r["behind"] for r in rows], [0, 0])
        text = self.ok("state", "list", "--format", "text").stdout.decode().splitlines()
        self.assertEqual(text[0].split(), ["APP", "STORE", "PARTITION", "ENTRIES", "BYTES", "CHANGELOG", "POSITION", "BEHIND"])

    def test_scan(self):
        rows = self.scan()
        self.assertEqual({(r["user"], r["window_start"]): r["events"] for r in rows},
                         {(user, self.iso(start)): count for (user, start), count in self.expected.items()})
        self.assertEqual(self.scan("--max", "3"), rows[:3])
        self.assertEqual(self.scan("--max", "0"), [])
        self.assertEqual(self.scan("--partition", "0") + self.scan("--partition", "1"), rows)

    def test_get(self):
        for (user, start), count in list(self.expected.items())[:10]:
            key = json.dumps({"user": user, "window_start": self.iso(start)}, ensure_ascii=False)
            row = json.loads(self.ok("state", "get", "user-counts/user-counts", key).stdout)
            self.assertEqual((row["user"], row["window_start"], row["events"]), (user, self.iso(start), count))
        self.refused(1, "state", "get", "user-counts/user-counts", json.dumps({"user": "nobody", "window_start": self.iso(0)}), says="nobody")
        self.refused(2, "state", "get", "user-counts/user-counts", "ann", says="JSON object")
        self.refused(2, "state", "get", "user-counts/user-counts")

    def test_what_is_not_there(self):
        for verb, more in (("get", ["k"]), ("scan", [])):
            self.refused(1, "state", verb, "user-counts/nothing", *more, says="state list")
            self.refused(1, "state", verb, "nothing/user-counts", *more)
            self.refused(1, "state", verb, "user-counts/user-counts", *more, "--partition", "9", says="9")
            for name in ("user-counts", "/x", "x/", "a/b/c", ""):
                self.refused(2, "state", verb, name, *more, says="APP/STORE")

    def test_internal_topics_are_not_produced_to(self):
        for topic in ("user-counts-progress", "user-counts-user-counts-changelog"):
            self.assertTrue(self.describe(topic)["internal"])
            self.refused(2, "produce", topic, stdin=b"{}\n", says=[topic, "internal"])
        for topic in ("user-counts", "user-counts.dlq", "user-counts.late"):
            self.assertFalse(self.describe(topic)["internal"])

    def test_a_damaged_store(self):
        path = os.path.join(self.dir, "state", "user-counts", "user-counts-0", "data.mdb")
        with open(path, "r+b") as file:
            file.write(b"\xff" * 4096 * 2)
        done = self.weir("state", "list")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([json.loads(line)["partition"] for line in done.stdout.splitlines()], [1])
        self.assertIn(b"user-counts-0", done.stderr)


class Terminal(Case):
    """What changes when a person watches: a pseudo-terminal is the stream under test."""

    def on_terminal(self, *arguments, stdin=b"", stdout=False, stderr=False, env=None):
        master, slave = pty.openpty()
        process = subprocess.Popen([WEIR, *map(str, arguments), "--data", self.dir], stdin=subprocess.PIPE,
                                   stdout=slave if stdout else subprocess.DEVNULL, stderr=slave if stderr else subprocess.DEVNULL,
                                   env=environment({"TERM": "xterm", **(env or {})}))
        os.close(slave)
        feeder = threading.Thread(target=lambda: (process.stdin.write(stdin), process.stdin.close()))
        feeder.start()
        seen = b""
        try:
            while chunk := os.read(master, 65536):
                seen += chunk
        except OSError:  # the last writer closed the terminal
            pass
        os.close(master)
        feeder.join()
        self.assertEqual(process.wait(LIMIT_S), 0, seen)
        return seen.decode()

    def test_tables(self):
        self.produce("orders", b"x\n", "--partitions", "2")
        text = self.on_terminal("topic", "list", stdout=True)
        self.assertIn("PARTITIONS", text)
        self.assertIn("\033[1m", text)
        self.assertNotIn("\033", self.on_terminal("topic", "list", stdout=True, env={"NO_COLOR": "1"}))
        self.assertNotIn("\033", self.on_terminal("topic", "list", "--color", "never", stdout=True))
        self.assertIn("HIGH-WATERMARK", self.on_terminal("topic", "describe", "orders", stdout=True))

    def test_progress_and_summary(self):
        rows = b"".join(b'{"user":"u%d"}\n' % i for i in range(200000))
        text = self.on_terminal("produce", "t", "--key", "user", stdin=rows, stderr=True)
        self.assertIn("200,000 records", text)
        self.assertNotIn("{", text)


if __name__ == "__main__":
    unittest.main()
