#!/usr/bin/env python3
"""The weir command where the disk is full or must not be written, and topic clean.

Small and read-only file systems are mounted in a mount namespace of their own (unshare); where that is not permitted these tests are skipped
and say so.
"""
import json
import os
import shlex
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, WEIR, Case, environment

NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]


def inside(script, stdin=b""):
    """Runs a shell script in a mount namespace of its own."""
    return subprocess.run([*NAMESPACE, "sh", "-ec", script], input=stdin, capture_output=True, timeout=LIMIT_S, env=environment())


def may_mount():
    try:
        return inside("mount -t tmpfs -o size=1m none /mnt").returncode == 0
    except OSError:
        return False


def tree(path):
    """Every file of a directory with its bytes and times."""
    found = {}
    for folder, _, files in os.walk(path):
        for name in files:
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                found[os.path.relpath(full, path)] = (file.read(), os.stat(full).st_mtime_ns)
    return found


class Clean(Case):
    def clean(self, *names):
        return [json.loads(line) for line in self.ok("topic", "clean", *names).stdout.splitlines()]

    def test_retention_now(self):
        self.ok("topic", "create", "kept")
        self.ok("topic", "create", "old", "--config", "segment.bytes=1000")
        for i in range(10):
            self.produce("old", b"x" * 600 + b"\n", "--compression", "none")
            self.produce("kept", b"x\n")
        self.assertEqual([r["segments_deleted"] for r in self.clean()], [0, 0])
        self.ok("topic", "alter", "old", "--config", "retention.bytes=2000")
        sizes = [os.path.getsize(os.path.join(self.dir, "topics/old-0", f))
                 for f in sorted(os.listdir(os.path.join(self.dir, "topics/old-0"))) if f.endswith(".log")]
        gone = 0
        while sum(sizes[gone:]) - sizes[gone] >= 2000:
            gone += 1
        self.assertGreater(gone, 3)
        [row] = self.clean("old")
        self.assertEqual((row["topic"], row["segments_deleted"], row["bytes_deleted"]), ("old", gone, sum(sizes[:gone])))
        self.assertEqual(len(self.records("old")), 10 - gone)
        self.assertEqual(len(self.records("kept")), 10)
        text = self.ok("topic", "clean", "--format", "text").stdout.decode().splitlines()
        self.assertEqual([line.split()[0] for line in text], ["TOPIC", "kept", "old"])

    def test_unknown_topic(self):
        self.ok("topic", "create", "orders")
        self.refused(1, "topic", "clean", "order", says="did you mean orders")


@unittest.skipUnless(may_mount(), "mounting is not permitted here: unshare and mount are needed")
class FullDisk(Case):
    def fill(self, partitions, keys, *flags, server="", reason="No space left on device"):
        """Produces 60,000 numbered lines into 16 MiB that hold less; the script's output is what was stored. server: a command before."""
        lines = [b"key%d %06d %s" % (i % 100, i, b"x" * 300) if keys else b"%06d %s" % (i, b"x" * 300) for i in range(1, 60001)]
        weir, home = shlex.quote(WEIR), shlex.quote(self.home)
        done = inside(f"""
            mount -t tmpfs -o size=16m none {home}
            {weir} topic create t --partitions {partitions} --data {home}/d >/dev/null
            {server}
            {weir} produce t --compression none {' '.join(flags)} --data {home}/d && exit 99
            {weir} consume t --until-end --format value --data {home}/d""", b"\n".join(lines) + b"\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stderr.decode()
        stored = {int(line[:6]) for line in done.stdout.splitlines()}
        first = next(n for n in range(1, 60002) if n not in stored)
        self.assertLess(first, 60001)
        self.assertIn(reason, text)
        self.assertIn(f"weir: line {first} is not stored: ", text)
        return stored, first

    def test_the_first_line_that_is_not_stored_is_named(self):
        stored, first = self.fill(1, False)
        self.assertEqual(stored, set(range(1, first)))

    def test_with_partitions(self):
        stored, first = self.fill(4, True, "--key-separator", "' '")
        self.assertGreaterEqual(len(stored), first - 1)

    @unittest.skipIf(os.environ.get("WEIR_SANITIZE") == "thread", "librdkafka starts its threads by thrd_create, which ThreadSanitizer does not see")
    def test_through_a_server(self):
        weir, home = shlex.quote(WEIR), shlex.quote(self.home)
        stored, first = self.fill(1, False, "--timeout", "6000", reason="is not stored: t: Broker: ", server=f"""
            {weir} serve --data {home}/d --kafka 127.0.0.1:0 --http 127.0.0.1:0 >{home}/said 2>{home}/errors &
            trap "kill $!; wait" EXIT
            until grep -q '^http on' {home}/said; do kill -0 $!; done""")
        self.assertEqual(stored, set(range(1, first)))


@unittest.skipUnless(may_mount(), "mounting is not permitted here: unshare and mount are needed")
class ReadOnly(Case):
    def read_only(self, *arguments, stdin=b""):
        path = shlex.quote(self.dir)
        command = shlex.join([WEIR, *arguments, "--data", self.dir])
        return inside(f"mount --bind {path} {path}; mount -o remount,bind,ro {path}; exec {command}", stdin)

    def test_what_reads_works_and_what_writes_is_refused(self):
        self.produce("t", b"one\ntwo\nthree\n")
        self.ok("consume", "t", "--group", "g", "--max", "2")
        before = tree(self.dir)
        reads = [(("consume", "t", "--until-end", "--format", "value"), b"one\ntwo\nthree\n"),
                 (("topic", "list"), b"t\n"), (("topic", "describe", "t"), None), (("topic", "verify", "t"), None),
                 (("topic", "export", "t", "--to", "-"), None), (("log", "describe"), None),
                 (("group", "list"), b"g\n"), (("group", "describe", "g"), None)]
        for arguments, expected in reads:
            with self.subTest(arguments):
                done = self.read_only(*arguments)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(b"opened for reading only", done.stderr)
                if expected is not None:
                    self.assertEqual(done.stdout, expected)
        writes = [("produce", "t"), ("topic", "create", "new"), ("topic", "alter", "t", "--config", "retention.ms=1"), ("topic", "delete", "t"),
                  ("topic", "clean"), ("topic", "delete-records", "t", "--before", "1", "--execute"), ("group", "delete", "g"),
                  ("consume", "t", "--group", "g", "--until-end")]
        for arguments in writes:
            with self.subTest(arguments):
                done = self.read_only(*arguments, stdin=b"line\n")
                self.assertEqual(done.returncode, 1, (done.stdout, done.stderr))
                self.assertIn(b"open for reading only", done.stderr)
        self.assertEqual(tree(self.dir), before)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
