#!/usr/bin/env python3
"""Commands on topics, records and groups, three ways: on a directory that nobody holds, on one that is served, and with -b. What they print, say and answer must be
the same each way, but for what Kafka's protocol does not tell. And what only a server can do to a command: end, refuse, hold a transaction open."""
import base64
import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from tls_files import Authority
from wire_server import LIMIT_S, PYTHON, WEIR, Server, environment

HAS_CONFLUENT = subprocess.run([PYTHON, "-c", "import confluent_kafka"], capture_output=True).returncode == 0
SLOW = 10 if os.environ.get("WEIR_SANITIZE") else 1
# What differs from run to run, and what a server does not tell.
BLURS = [(r'"seconds":[0-9.]+,"records_per_s":[0-9]+', '"seconds":S'), (r'"timestamp":1[6-9][0-9]{11}', '"timestamp":T'), (r'"id":("[^"]*"|null)', '"id":I'),
         (r'"(bytes|segments|end_offset)":([0-9]+|null)(?=[,}])', r'"\1":N'), (r"(?<=allows up to )[0-9]+", "T"), (r"(there is no topic \S+); did you mean .*", r"\1"),
         (r"(?<=shows the topics of ).*", "X"), (r"(?<=topic users has 5 partitions and ).*", "cannot"),
         (r"(a record for [a-z]+)-[0-9]+", r"\1"), (r"(a timestamp of [0-9]+ for [a-z]+)-[0-9]+", r"\1")]


def blurred(text):
    for pattern, by in BLURS:
        text = re.sub(pattern, by, text)
    return text


class Way:
    """A home with a directory, and how commands get there."""

    def __init__(self, case):
        self.case = case
        self.home = tempfile.mkdtemp(prefix="weir-remote-")
        case.addCleanup(shutil.rmtree, self.home)
        self.data = os.path.join(self.home, "data")
        self.server = None

    def reach(self):
        return ["--data", self.data]

    def begin(self):
        pass

    def serve(self, *flags, **how):
        self.server = Server(self.data, *flags, **how)
        self.case.addCleanup(self.server.end)

    def apart(self, *words, stdin=""):
        """On the directory, before it is served."""
        done = subprocess.run([WEIR, *words, "--data", self.data], input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
        self.case.assertEqual(done.returncode, 0, done.stderr)

    def ask(self, *words, stdin="", env=None):
        """(exit code, stdout, stderr), in bytes where it is not UTF-8."""
        done = subprocess.run([WEIR, *words, *self.reach()], input=stdin.encode() if isinstance(stdin, str) else stdin, capture_output=True, timeout=LIMIT_S,
                              env={**environment(), **(env or {})})
        said = done.stderr.decode().replace(self.data, "DATA")
        return done.returncode, done.stdout, said

    def start(self, *words, **how):
        process = subprocess.Popen([WEIR, *words, *self.reach()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), **how)
        self.case.addCleanup(lambda: (process.kill(), process.communicate()))
        return process


class Far:
    """The way to a server that is milliseconds away: what comes from either side goes on so much later."""

    def __init__(self, case, address, delay_s):
        host, port = address.split(":")
        self.there = (host, int(port))
        self.delay_s = delay_s
        self.door = socket.create_server(("127.0.0.1", 0))
        self.sockets = [self.door]
        self.address = f"127.0.0.1:{self.door.getsockname()[1]}"
        case.addCleanup(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.door.accept()[0]
                far = socket.create_connection(self.there)
                self.sockets += [near, far]
                for ends in ((near, far), (far, near)):
                    pieces = queue.Queue()
                    threading.Thread(target=self.take, args=(ends[0], pieces), daemon=True).start()
                    threading.Thread(target=self.give, args=(ends[1], pieces), daemon=True).start()

    def take(self, end, pieces):
        piece = b"-"
        while piece:
            try:
                piece = end.recv(1 << 16)
            except OSError:
                piece = b""
            pieces.put((time.monotonic() + self.delay_s, piece))

    def give(self, end, pieces):
        with contextlib.suppress(OSError):
            while True:
                due_s, piece = pieces.get()
                time.sleep(max(0, due_s - time.monotonic()))
                if not piece:
                    return end.shutdown(socket.SHUT_WR)
                end.sendall(piece)


class Apart(Way):
    pass


class Served(Way):
    def begin(self):
        self.serve()


class Broker(Served):
    def reach(self):
        return ["-b", self.server.address]


class Guarded(Way):
    """With a user, over TLS."""
    more = []

    def begin(self):
        password = os.path.join(self.home, "password")
        with open(password, "w", encoding="utf-8") as file:
            file.write("a good secret\n")
        self.apart("user", "add", "alice", "--password-file", password)
        authority = Authority(self.home)
        certificate, key = authority.sign("server", "/CN=server")
        self.serve("--tls-cert", certificate, "--tls-key", key)
        self.flags = ["--user", "alice", "--password-file", password, "--tls-ca", authority.pem]

    def reach(self):
        return ["--data", self.data, *self.flags]


class GuardedBroker(Guarded):
    def reach(self):
        return ["-b", self.server.address, *self.flags, "--sasl-mechanism", "PLAIN"]


FEW_WAYS = [Apart, Served, GuardedBroker]
WAYS = FEW_WAYS if SLOW > 1 else [Apart, Served, Broker, Guarded, GuardedBroker]


class Same(unittest.TestCase):
    maxDiff = 3000

    def run_all(self, commands, prepare=None, ways=None):
        """The results of commands (words, or (words, stdin)) the first way, which the others must have, too."""
        results = []
        for kind in ways or WAYS:
            way = kind(self)
            if prepare is not None:
                prepare(way)
            way.begin()
            results.append([])
            for words in commands:
                words, stdin = words if isinstance(words, tuple) else (words, "")
                code, out, said = way.ask(*words.split(" "), stdin=stdin)
                results[-1].append((words, code, out, said))
            if way.server is not None:
                self.assertEqual(way.server.stop(), 0, way.server.said())
            for (words, *expected), (_, *actual) in zip(results[0], results[-1]):
                shown = [[r[0], blurred(r[1].decode("latin-1")), blurred(r[2])] for r in (expected, actual)]
                self.assertEqual(shown[1], shown[0], f"{kind.__name__}: weir {words}")
        return results[0]

    def codes(self, results):
        return [code for _, code, _, _ in results]

    def test_topics(self):
        results = self.run_all([
            "topic create orders --partitions 3 --config retention.ms=86400000", "topic create orders", "topic create users --config cleanup.policy=compact --config segment.ms=100000",
            "topic create bad/name", "topic create wrong --config nix=1", "topic create wrong --config retention.ms=soon", "topic list", "topic list --format json",
            "topic describe orders users", "topic describe nobody", "topic alter orders --config max.message.bytes=2000 --config segment.bytes=1000000", "topic describe orders",
            "topic alter orders --unset retention.ms --config segment.bytes=2000000", "topic describe orders", "topic alter orders --config nix=1", "topic alter users --partitions 5",
            "topic alter users --partitions 1 --config segment.ms=5", "topic describe users", "topic alter nobody --partitions 5", "topic delete orders nobody", "topic list",
            "topic delete orders users", "topic list", "topic delete orders"])
        self.assertEqual(self.codes(results), [0, 1, 0, 2, 2, 2, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 2, 0, 1, 1, 0, 0, 0, 1])
        self.assertEqual([out for _, _, out, _ in results][-2:], [b"", b""])

    def test_lines(self):
        orders = "".join('{"k":"a%d","v":%d,"ts":%d}\n' % (i % 17, i, 1772356000000 + i) for i in range(500))
        results = self.run_all([
            ("produce orders --key k --timestamp ts --partitions 3", orders), "consume orders --until-end", "topic describe orders",
            ("produce orders --key k", '{"k":"x"}\n\n{"k":"z"}\n{"k":1}\nbad\n{"k":"y"}\n'), "consume orders --until-end --partition 1 --format key-value", "topic describe orders",
            ("produce orders --partitions 4", "x\n"), ("produce users --key-separator \\t --tombstones", "a\tb\nc\t\nd\te e\n"), "consume users --until-end",
            ("produce users --key-separator \\t", "a\tb\nc\t\nno separator\nz\tz\n"), "consume users --until-end --format value",
            ("produce orders --timestamp ts", '{"ts":99999999999999}\n'), "topic create small --config max.message.bytes=2000",
            ("produce small", "ok\n" + 3000 * "x" + "\nnever\n"), "consume small --until-end --format value", "topic create compacted --config cleanup.policy=compact",
            ("produce compacted", "no key\n"), ("produce empty", ""), "consume empty --until-end", ("produce bad/name", "x\n"),
            ("produce codecs --compression zstd", "a\n"), ("produce codecs --compression gzip", "b\n"), ("produce codecs --compression snappy", "c\n"),
            ("produce codecs --compression none", "d\n"), "consume codecs --until-end --format value"])
        self.assertEqual(self.codes(results), [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0])
        rows = [json.loads(line) for line in results[1][2].splitlines()]
        self.assertEqual(sorted(row["value"]["v"] for row in rows), list(range(500)))
        self.assertEqual([row["partition"] for row in rows], sorted(row["partition"] for row in rows), "partition after partition")
        self.assertIn('"weir.partitioned.by"', json.dumps(json.loads(results[2][2])["config_set"]))
        self.assertNotIn('"weir.partitioned.by"', json.dumps(json.loads(results[5][2])["config_set"]))
        self.assertIn("line 5: ", results[3][3])

    def test_records(self):
        """Binary keys and values, headers, tombstones, times, empty partitions, a large record."""
        encoded = lambda data: {"base64": base64.b64encode(data).decode()}
        lines = [{"key": encoded(b"\xff\x00"), "value": encoded(bytes(range(256)))}, {"key": None, "value": None}, {"key": "", "value": ""},
                 {"key": "h", "value": "{\"a\": [1, 2]}", "headers": [["x", "1"], ["x", None], ["y", encoded(b"\xfe")], ["", ""]]}, {"key": "tab\tbed", "value": "two\nlines"}]
        lines += [{"key": f"k{i}", "value": f"v{i}", "timestamp": 1772356000000 + 1000 * i, "partition": 1 + i % 4} for i in range(100)]
        text = "".join(json.dumps({"partition": 0, "timestamp": 1772356000000, **line}) + "\n" for line in lines)

        def prepare(way):
            way.apart("topic", "create", "wide", "--partitions", "50")
            way.apart("topic", "import", "wide", "--from", "-", stdin=text)
            way.apart("topic", "create", "empty", "--partitions", "50")

        large = "x" * 3_000_000
        results = self.run_all([
            "consume wide --until-end", "consume wide --until-end --format value", "consume wide --until-end --format key-value", "consume wide --max 7",
            "consume wide --until-end --from 3", "consume wide --until-end --from @1772356050000", "consume wide --until-end --from @9999999999999", "consume wide --until-end --from end",
            "consume wide --until-end --from 9 --partition 3", "consume wide --until-end --partition 49", "consume wide --partition 50", "consume empty --until-end", "consume wide --max 0",
            "consume nobody --until-end", "consume wide --until-end --uncommitted --max 2", "consume wide --from soon", "topic describe empty --format json",
            ("produce large", large + "\n"), "consume large --until-end --format value", "topic export wide --to -", "topic export wide --to - --partition 3",
            "topic export large --to -", "topic export empty --to -", "topic export nobody --to -", "topic export wide --to - --partition 50",
            "topic export wide --to /nowhere/file"], prepare, FEW_WAYS)
        self.assertEqual([code for code in self.codes(results) if code], [1, 1, 2, 1, 1, 1])
        exported = [{"headers": [], **{name: row[name] for name in row if name != "offset"}} for row in map(json.loads, results[19][2].splitlines())]
        given = [{"partition": 0, "timestamp": 1772356000000, "headers": [], **line} for line in lines]
        self.assertEqual([json.dumps(row, sort_keys=True) for row in exported], [json.dumps(row, sort_keys=True) for row in sorted(given, key=lambda row: row["partition"])])
        self.assertEqual(len(results[0][2].splitlines()), 105)
        self.assertEqual(results[18][2].decode(), large + "\n")

    def test_deleting_records(self):
        """The oldest records go, and no others: by offset, by time, all of them."""
        text = "".join(json.dumps({"partition": i % 4, "timestamp": 1772356000000 + 1000 * i, "value": f"v{i}"}) + "\n" for i in range(80))

        def prepare(way):
            way.apart("topic", "create", "orders", "--partitions", "4")
            way.apart("topic", "import", "orders", "--from", "-", stdin=text)
            way.apart("topic", "create", "table", "--config", "cleanup.policy=compact")

        results = self.run_all([
            "topic delete-records orders --before 5", "topic delete-records orders --before 5 --partition 3", "topic delete-records orders --before 5 --partition 3 --execute",
            "topic delete-records orders --before 3 --partition 3", "topic delete-records orders --before @1772356030000 --format json",
            "topic delete-records orders --before @1772356030000 --execute", "consume orders --until-end --format value", "topic delete-records orders --before 21 --partition 1",
            "topic delete-records orders --before 20 --partition 4", "topic delete-records nobody --before end", "topic delete-records table --before end",
            "topic delete-records orders --before @9999999999999 --partition 0 --execute --format json", "topic delete-records orders --before end --execute",
            "consume orders --until-end", "topic delete-records orders --before soon", "topic delete-records orders --before -1"], prepare, FEW_WAYS)
        self.assertEqual(self.codes(results), [2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 0, 0, 0, 2, 2])
        self.assertEqual(sorted(results[6][2].split()), sorted(f"v{i}".encode() for i in range(30, 80)))
        self.assertEqual([json.loads(line)["new_start_offset"] for line in results[4][2].splitlines()], [8, 8, 7, 7])
        self.assertEqual(results[13][2], b"")

    def test_groups(self):
        orders = "".join('{"k":"a%d","ts":%d}\n' % (i, 1772356000000 + 1000 * i) for i in range(60))
        results = self.run_all([
            ("produce orders --key k --timestamp ts --partitions 3", orders), ("produce second", "1\n2\n"), "group list", "group describe nobody",
            "consume orders --group report --until-end --max 5 --format value", "group list", "group list --format json", "group describe report", "group describe report --format json",
            "consume orders --group report --until-end", "consume orders --group report --until-end", "group describe report",
            "consume second --group report --until-end", "group describe report", "consume orders --group single --partition 2 --until-end --format value", "group describe single report",
            "group reset report --topic orders --to beginning", "group describe report", "group reset report --topic orders --to beginning --execute", "group describe report",
            "group reset report --topic orders --to end --partition 1 --execute", "group reset report --topic orders --to 5 --execute --format json",
            "group reset report --topic orders --to 999 --execute", "group reset report --topic orders --to -3 --execute", "group reset report --topic orders --to +1 --partition 0 --execute",
            "group reset report --topic orders --to @1772356030000 --execute", "group reset report --topic orders --to @9999999999999", "group reset report --all-topics --to -1 --execute",
            "group describe report", "group reset report --topic nobody --to end", "group reset report --topic orders --to end --partition 3", "group reset fresh --topic orders --to 2 --execute",
            "group reset fresh --topic second --to -1", "group reset nobody --all-topics --to end", "group describe fresh", "group delete-offsets report --topic orders --partition 1",
            "group describe report", "group delete-offsets report --topic orders", "group delete-offsets report --topic orders", "group delete-offsets report --topic nobody",
            "group describe report", "group delete report fresh", "group delete report", "group list"], ways=FEW_WAYS)
        self.assertEqual([(words, code) for words, code, _, _ in results if code],
                         [("group describe nobody", 1), ("group reset report --topic nobody --to end", 1), ("group reset report --topic orders --to end --partition 3", 1),
                          ("group reset fresh --topic second --to -1", 1), ("group reset nobody --all-topics --to end", 1), ("group delete-offsets report --topic orders", 1),
                          ("group delete-offsets report --topic nobody", 1), ("group delete report", 1)])
        self.assertEqual(len(results[4][2].splitlines()) + len(results[9][2].splitlines()), 60)
        self.assertEqual(results[10][2], b"")
        self.assertEqual(results[-1][2], b"single\n")


class Live(unittest.TestCase):
    """What needs a server."""

    def way(self, kind=Served, **how):
        way = kind(self)
        if kind is Served:
            way.serve(**how)
        else:
            way.begin()
        return way

    def wait_for(self, what, condition):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def test_a_follower_sees_records_as_they_come_and_stops(self):
        for flags in ([], ["--group", "readers"]):
            way = self.way()
            self.assertEqual(way.ask("topic", "create", "orders", "--partitions", "3")[0], 0)
            reader = way.start("consume", "orders", "--format", "value", *flags)
            for i in range(20):
                self.assertEqual(way.ask("produce", "orders", stdin=f"{i}\n")[0], 0)
                self.assertEqual(reader.stdout.readline(), f"{i}\n")
            reader.send_signal(signal.SIGINT)
            self.assertEqual((reader.wait(LIMIT_S), reader.stderr.read()), (130, ""))
            if flags:
                rows = [json.loads(line) for line in way.ask("group", "describe", "readers", "--format", "json")[1].splitlines()]
                self.assertEqual(sum(row["current_offset"] or 0 for row in rows), 20)

    def test_members_share_and_are_described(self):
        way = self.way()
        way.ask("topic", "create", "orders", "--partitions", "4")
        readers = [way.start("consume", "orders", "--format", "value", "--group", "pair") for _ in range(2)]

        def owners():
            rows = [json.loads(line) for line in way.ask("group", "describe", "pair", "--format", "json")[1].splitlines()]
            return {row["consumer_id"] for row in rows if row["state"] == "Stable"}, rows

        self.wait_for("both members have partitions", lambda: len(owners()[0] - {None}) == 2)
        _, rows = owners()
        self.assertEqual({(row["host"], row["client_id"]) for row in rows}, {("/127.0.0.1", "weir-consume")})
        table = way.ask("group", "describe", "pair")[1].decode().splitlines()
        self.assertEqual(table[0].split(), ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"])
        self.assertEqual(table[-1], "pair: Stable, 2 members, total lag 0")
        code, _, said = way.ask("group", "reset", "pair", "--topic", "orders", "--to", "end", "--execute")
        self.assertEqual((code, said), (1, "weir: group pair has members: stop them first\n"))
        self.assertEqual(way.ask("group", "delete", "pair")[::2], (1, "weir: group pair has members: stop them first\n"))
        way.ask("produce", "orders", "--key-separator", ":", stdin="".join(f"{i}:{i}\n" for i in range(100)))
        readers[0].send_signal(signal.SIGTERM)
        self.assertEqual(readers[0].wait(LIMIT_S), 130)
        self.wait_for("the other has all", lambda: len(owners()[0]) == 1 and None not in owners()[0])
        way.ask("produce", "orders", "--key-separator", ":", stdin="".join(f"{i}:{i}\n" for i in range(100, 200)))
        self.wait_for("all is committed", lambda: sum(row["current_offset"] or 0 for row in owners()[1]) == 200)
        readers[1].send_signal(signal.SIGINT)
        shown = readers[0].stdout.read() + readers[1].communicate(timeout=LIMIT_S)[0]
        self.assertEqual(sorted(map(int, shown.split())), list(range(200)))

    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_transactions(self):
        way = self.way()
        way.ask("topic", "create", "orders")
        script = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "t"})
producer.init_transactions()
for kind, end in (("committed", producer.commit_transaction), ("aborted", producer.abort_transaction), ("open", sys.stdin.readline)):
    producer.begin_transaction()
    for i in range(3):
        producer.produce("orders", f"{kind} {i}")
    producer.flush()
    print(kind, flush=True)
    end()
producer.abort_transaction()
"""
        producer = subprocess.Popen([PYTHON, "-c", script, way.server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
        self.addCleanup(lambda: (producer.kill(), producer.wait(), producer.stdout.close()))
        self.wait_for("the open transaction", lambda: producer.stdout.readline() == "open\n")
        committed, more = [f"committed {i}" for i in range(3)], [f"{kind} {i}" for kind in ("aborted", "open") for i in range(3)]
        for flags, expected in (([], committed), (["--uncommitted"], committed + more), (["--group", "g"], committed)):
            code, out, said = way.ask("consume", "orders", "--until-end", "--format", "value", *flags)
            self.assertEqual((code, out.decode().splitlines(), said), (0, expected, ""))
        exported = lambda: [json.loads(line)["value"] for line in way.ask("topic", "export", "orders", "--to", "-")[1].splitlines()]
        self.assertEqual(exported(), committed)
        row = json.loads(way.ask("topic", "describe", "orders")[1])["partitions"][0]
        self.assertEqual((row["last_stable_offset"], row["high_watermark"]), (8, 11))
        producer.stdin.write("\n")
        producer.stdin.close()
        self.assertEqual(producer.wait(LIMIT_S), 0)
        self.assertEqual(way.ask("consume", "orders", "--until-end", "--format", "value")[1].decode().splitlines(), committed)
        self.assertEqual(exported(), committed)
        self.assertEqual(way.ask("consume", "orders", "--group", "g", "--until-end")[:2], (0, b""))

    def test_jobs_make_topics_that_others_do_not_write(self):
        way = Served(self)
        job = os.path.join(way.home, "job.sql")
        with open(job, "w", encoding="utf-8") as file:
            file.write("CREATE TABLE sales (region text, amount numeric);\n"
                       "CREATE MATERIALIZED VIEW revenue AS SELECT region, sum(amount) AS revenue FROM sales GROUP BY region;\n")
        way.serve(job)
        self.assertEqual(way.ask("produce", "sales", stdin='{"region":"north","amount":1.5}\n{"region":"north","amount":2}\n')[0], 0)
        reader = way.start("consume", "revenue", "--format", "value")
        self.wait_for("the view", lambda: json.loads(reader.stdout.readline())["revenue"] == 3.5)
        topics = [json.loads(line) for line in way.ask("topic", "list", "--format", "json")[1].splitlines()]
        internal = [topic["topic"] for topic in topics if topic["internal"]]
        self.assertIn("job-progress", internal)
        self.assertNotIn("sales", internal)
        code, _, said = way.ask("produce", "job-progress", stdin="x\n")
        self.assertEqual(code, 2)
        self.assertIn("is internal", said)

    def test_the_server_is_killed(self):
        way = self.way()
        way.ask("topic", "create", "orders", "--partitions", "2")
        reader = way.start("consume", "orders", "--timeout", "4000")
        writer = way.start("produce", "orders", "--timeout", "4000", stdin=subprocess.PIPE)
        writer.stdin.write("one\n")
        writer.stdin.flush()
        self.assertEqual(json.loads(reader.stdout.readline())["value"], "one")
        address = way.server.address
        way.server.process.kill()
        way.server.process.wait()
        said = reader.communicate(timeout=LIMIT_S)[1]
        self.assertEqual(reader.returncode, 3, said)
        self.assertRegex(said, f"weir: (cannot reach|no answer from) {way.data}, which process {way.server.process.pid} serves on {address}")
        said = writer.communicate("two\n", timeout=LIMIT_S)[1]
        self.assertEqual(writer.returncode, 3, said)
        self.assertRegex(said, "weir: line 2 is not stored: (cannot reach|no answer from)")
        # Nobody holds it any more: the commands open it themselves again.
        self.assertEqual(way.ask("consume", "orders", "--until-end", "--format", "value")[1], b"one\n")

    def test_the_server_of_a_group_is_killed(self):
        """While members have something to commit, and while they have not."""
        way = self.way()
        way.ask("produce", "orders", stdin=f"{'x' * 1000}\n" * 1000)
        way.ask("produce", "few", stdin="one\n")
        busy = way.start("consume", "orders", "--group", "g", "--format", "value", "--timeout", "5000")
        idle = way.start("consume", "few", "--group", "h", "--format", "value", "--timeout", "5000")
        asked = way.start("consume", "few", "--group", "i", "--format", "value", "--timeout", str(LIMIT_S * 1000))
        self.assertEqual([len(busy.stdout.readline()), idle.stdout.readline(), asked.stdout.readline()], [1001, "one\n", "one\n"])
        self.wait_for("it is committed", lambda: all(way.ask("group", "describe", group, "--format", "json")[1].find(b'"current_offset":1,') > 0 for group in "hi"))
        way.server.process.kill()
        way.server.process.wait()
        for reader in (busy, idle):
            said = reader.communicate(timeout=LIMIT_S)[1]
            self.assertEqual(reader.returncode, 3, said)
            self.assertRegex(said, "weir: (cannot reach|no answer from) ")
        asked.send_signal(signal.SIGINT)
        asked.communicate(timeout=LIMIT_S)
        self.assertEqual(asked.returncode, 130)

    def test_the_server_comes_back(self):
        way = self.way()
        port = way.server.port
        way.ask("topic", "create", "orders")
        reader = way.start("consume", "orders", "--format", "value", "--timeout", str(LIMIT_S * 1000))
        way.ask("produce", "orders", stdin="one\n")
        self.assertEqual(reader.stdout.readline(), "one\n")
        self.assertEqual(way.server.stop(), 0)
        way.serve(kafka=f"127.0.0.1:{port}")
        way.ask("produce", "orders", stdin="two\n")
        self.assertEqual(reader.stdout.readline(), "two\n")

    def test_who_cannot_be_reached(self):
        way = Way(self)
        for words in (["topic", "list"], ["group", "list"], ["consume", "t"], ["produce", "t"], ["topic", "create", "t"]):
            # Several at once: librdkafka's threads tell of what happened in one order or the other.
            begin = time.monotonic()
            several = [subprocess.Popen([WEIR, *words, "-b", "127.0.0.1:1", "--timeout", str(LIMIT_S * 1000)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment()) for _ in range(20)]
            for process in several:
                said = process.communicate("x\n", timeout=2 * LIMIT_S)[1]
                self.assertEqual(process.returncode, 3, said)
                self.assertRegex(said, "^weir: cannot reach 127.0.0.1:1: .*Connection refused.*\nhint: is it running")
            self.assertLess(time.monotonic() - begin, LIMIT_S - 1)
        way.serve()
        code, _, said = self.run_weir("topic", "list", "-b", f"127.0.0.1:1,{way.server.address}")
        self.assertEqual((code, said), (0, ""))

    def test_a_server_that_is_far_away(self):
        way = self.way()
        far = Far(self, way.server.address, 0.08)
        way.server.stop()
        way.serve("--advertise", far.address, kafka=way.server.address)
        for words, stdin, expected in ((["topic", "create", "orders"], "", ""), (["produce", "orders"], "one\n", ""), (["topic", "list"], "", "orders\n"),
                                       (["consume", "orders", "--until-end", "--format", "value"], "", "one\n")):
            done = subprocess.run([WEIR, *words, "-b", far.address], input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
            self.assertEqual((done.returncode, done.stdout), (0, expected), (words, done.stderr))

    def run_weir(self, *words, env=None):
        done = subprocess.run([WEIR, *words], input="", capture_output=True, text=True, timeout=LIMIT_S, env={**environment(), **(env or {})}, cwd=tempfile.gettempdir())
        return done.returncode, done.stdout, done.stderr

    def test_which_way(self):
        way = self.way()
        way.ask("topic", "create", "orders")
        broker, nowhere = way.server.address, os.path.join(way.home, "nowhere")
        for words, env, expected in ((["-b", broker], {}, 0), ([], {"WEIR_BOOTSTRAP": broker}, 0), ([], {"WEIR_DATA": way.data}, 0),
                                     (["-b", broker], {"WEIR_DATA": nowhere}, 0), (["--data", way.data], {"WEIR_BOOTSTRAP": "127.0.0.1:1"}, 0),
                                     (["-b", broker, "--data", way.data], {}, 2), ([], {"WEIR_BOOTSTRAP": broker, "WEIR_DATA": way.data}, 2), (["-b", ""], {}, 2),
                                     (["-b", "a,,b"], {}, 2), (["-b", broker + ","], {}, 2),
                                     (["-b", "127.0.0.1:99999"], {}, 2), (["-b", "127.0.0.1:x"], {}, 2), (["-b", "127.0.0.1:"], {}, 2), (["-b", "::1"], {}, 2), (["-b", "[::1"], {}, 2),
                                     (["-b", f"[::1]:1,{broker}"], {}, 0), (["-b", broker, "--client-cert", "x"], {}, 2), (["-b", broker, "--tls-ca", nowhere], {}, 2),
                                     (["-b", broker, "--user", "x", "--sasl-mechanism", "GSSAPI", "--password-file", "x"], {}, 2), (["-b", broker, "--timeout", "0"], {}, 2)):
            code, out, said = self.run_weir("topic", "list", *words, env=env)
            self.assertEqual((code, out), (expected, "orders\n" if expected == 0 else ""), (words, env, said))
        self.assertFalse(os.path.exists(nowhere))
        code, _, said = way.ask("topic", "verify", "orders")
        self.assertEqual(code, 1)
        self.assertIn(f"which serves it to Kafka clients on {broker}", said)

    def test_a_directory_that_a_job_holds(self):
        way = Way(self)
        way.apart("topic", "create", "orders")
        writer = way.start("produce", "orders", stdin=subprocess.PIPE)
        lock = os.path.join(way.data, "LOCK")

        def held():
            with open(lock, encoding="utf-8") as file:
                return file.read()

        self.wait_for("the directory is held", lambda: held().startswith(f"pid {writer.pid}\n"))
        code, _, said = way.ask("topic", "list")
        self.assertEqual((code, said.splitlines()[0]), (1, f"weir: DATA is in use by process {writer.pid}"))
        writer.communicate("", timeout=LIMIT_S)
        # What a server left that was killed means nothing.
        way.serve()
        way.server.process.kill()
        way.server.process.wait()
        self.assertIn("\nkafka 127.0.0.1:", held())
        self.assertEqual(way.ask("topic", "list")[:2], (0, b"orders\n"))

    def test_users(self):
        way = self.way(Guarded)
        served, broker = ["--data", way.data], ["-b", way.server.address]
        authority, password = way.flags[5], way.flags[3]
        wrong = os.path.join(way.home, "wrong")
        with open(wrong, "w", encoding="utf-8") as file:
            file.write("a guess\n")
        for words, code, says in (([*served], 2, "lets in users alone"), ([*served, "--user", "alice"], 2, "no terminal to ask for the password of alice"),
                                  ([*served, "--user", "alice", "--password-file", wrong, "--tls-ca", authority], 1, "wrong user name or password"),
                                  ([*served, "--user", "bob", "--password-file", password, "--tls-ca", authority], 1, "wrong user name or password"),
                                  ([*served, "--user", "alice", "--password-file", password], 3, "certificate verify failed"),
                                  ([*broker], 3, "--tls for a server that speaks TLS"), ([*broker, "--tls-ca", authority], 3, "--user"),
                                  ([*broker, "--user", "alice", "--password-file", password], 3, "--tls"),
                                  ([*broker, *way.flags, "--sasl-mechanism", "SCRAM-SHA-512"], 0, "")):
            done = subprocess.run([WEIR, "topic", "list", *words, "--timeout", str(LIMIT_S * 500)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S,
                                  env=environment(), start_new_session=True)
            self.assertEqual(done.returncode, code, (words, done.stderr))
            self.assertIn(says, done.stderr)
            if code:
                self.assertIn("\nhint: ", done.stderr)

    def test_certificates_of_clients(self):
        way = Way(self)
        authority = Authority(way.home)
        certificate, key = authority.sign("server", "/CN=server")
        mine, my_key = authority.sign("client", "/CN=client")
        way.serve("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", authority.pem)
        way.flags = ["--tls-ca", authority.pem]
        self.assertEqual(way.ask("topic", "list", *way.flags, "--client-cert", mine, "--client-key", my_key)[0], 0)
        code, _, said = way.ask("topic", "list", *way.flags, "--timeout", str(LIMIT_S * 500))
        self.assertEqual(code, 3)
        self.assertIn("--client-cert", said)


if __name__ == "__main__":
    if os.environ.get("WEIR_SANITIZE") == "thread":
        print("skipped: librdkafka starts its threads by thrd_create, which ThreadSanitizer does not see")
        sys.exit(77)
    unittest.main()
