#!/usr/bin/env python3
"""weir top: what it makes of metrics files that are written here, of a job that runs, of a directory that nobody holds, and of a terminal (a pty)."""
import collections
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, WEIR, Case, environment, ndjson, partition_of

JOB = """CREATE TABLE clicks (team text NOT NULL, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE MATERIALIZED VIEW counts AS
SELECT team, window_start, count(*) AS clicks FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY team, window_start;
"""
EDGES = ("0.001", "0.01", "0.1", "+Inf")


def metrics(tasks, commits=(0, 0, 0, 0), app="shop", memory=(1000, 200, 30)):
    """OpenMetrics text of {(stage, partition): {family: value}}; commits: how many took at most each of EDGES."""
    lines = []
    for family in sorted({name for values in tasks.values() for name in values}):
        name, _, fate = family.partition("/")
        lines += [f"# TYPE {name} gauge", f"# HELP {name} Something."]
        for (stage, partition), values in tasks.items():
            if family in values:
                more = f',fate="{fate}"' if fate else ""
                lines.append(f'{name}{{app="{app}",stage="{stage}",topic="in",partition="{partition}"{more}}} {values[family]}')
    lines += [f'weir_commit_latency_seconds_bucket{{app="{app}",le="{edge}"}} {n}' for edge, n in zip(EDGES, commits)]
    lines += [f'weir_commit_latency_seconds_count{{app="{app}"}} {commits[-1]}', f'weir_unheard_of{{app="{app}"}} 5', "other_metric 1.5 1000"]
    lines += [f'weir_memory_bytes{{app="{app}",kind="{kind}"}} {n}' for kind, n in zip(("tables", "partials", "pending"), memory)]
    lines += [f'weir_memory_budget_bytes{{app="{app}"}} 268435456', f'weir_app_info{{app="{app}",version="0.1.0"}} 1', "# EOF", ""]
    return "\n".join(lines)


class Top(Case):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.home, "weir.prom")

    def write(self, text, at_ns):
        """Replaces the file as an app does, written at this time of the wall clock."""
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(self.file + ".new", ns=(at_ns, at_ns))
        os.replace(self.file + ".new", self.file)

    def follow(self, *flags):
        process = subprocess.Popen([WEIR, "top", "--metrics", self.file, "--interval", "100", *flags], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        self.addCleanup(self.end, process)
        return process

    def reading(self, process):
        """The lines of one reading, up to its totals."""
        lines = []
        while not lines or lines[-1]["kind"] != "total":
            lines.append(json.loads(process.stdout.readline()))
        return lines

    def once(self, *flags):
        return [json.loads(line) for line in self.ok("top", "--once", *flags).stdout.splitlines()]


class Readings(Top):
    def test_rates_are_what_lies_between_two_readings(self):
        now = time.time_ns() + LIMIT_S * 1_000_000_000  # so that it is new however slow this goes
        task = lambda rows, out, busy, **more: {"weir_rows_in_total": rows, "weir_records_out_total": out, "weir_busy_seconds_total": busy,
                                                "weir_rows_total/late": 3, "weir_rows_total/dead": 2, "weir_rows_total/unmatched": 4, "weir_lag_records": 7, **more}
        self.write(metrics({("a", 0): task(100, 10, 1.0, weir_watermark_seconds=5000), ("a", 1): task(50, 5, 2.0, weir_watermark_seconds=4000),
                            ("b", 0): {"weir_records_out_total": 900}}, (10, 20, 20, 20)), now - 2_000_000_000)
        process = self.follow()
        first = self.reading(process)
        self.assertEqual([(r["kind"], r.get("stage"), r.get("rows_in_per_s")) for r in first],
                         [("stage", "a", 0), ("stage", "b", 0), ("app", None, None), ("total", None, 0)])
        self.assertFalse(first[-1]["live"])
        # Of the process so far: half of 20 commits within the first edge; 99 % at 9.8 of the 10 in the second.
        self.assertAlmostEqual(first[2]["commit_p50_s"], 0.001)
        self.assertAlmostEqual(first[2]["commit_p99_s"], 0.001 + 0.009 * 0.98)
        # Two seconds later. b/0 was reset meanwhile: what went back has no rate.
        self.write(metrics({("a", 0): task(600, 30, 2.0, weir_watermark_seconds=5000), ("a", 1): task(150, 5, 2.5), ("b", 0): {"weir_records_out_total": 4}},
                           (10, 40, 60, 60)), now)
        a, b, app, total = self.reading(process)
        self.assertEqual((a["partitions"], a["rows_in"], a["records_out"], a["late"], a["dead"], a["unmatched"], a["lag"]), (2, 750, 35, 6, 4, 8, 14))
        self.assertEqual((a["rows_in_per_s"], a["records_out_per_s"], a["busy"]), ((500 + 100) / 2, 20 / 2, (1.0 + 0.5) / 2))
        self.assertEqual((a["watermark"], a["without_watermark"]), (5_000_000, 1))
        self.assertAlmostEqual(a["watermark_delay_s"], time.time() - 5000, delta=LIMIT_S)
        self.assertEqual((b["records_out_per_s"], b["rows_in"], b["lag"], b["watermark"]), (0, None, None, None))
        self.assertEqual((app["app"], app["commits"], app["commits_per_s"], app["memory_bytes"], app["memory_budget_bytes"]),
                         ("shop", 60, 20.0, 1230, 268435456))
        # Of those 40 commits 20 took up to 0.01 and 20 up to 0.1.
        self.assertAlmostEqual(app["commit_p50_s"], 0.01)
        self.assertAlmostEqual(app["commit_p99_s"], 0.01 + 0.09 * (39.6 - 20) / 20)
        self.assertEqual((total["live"], total["partitions"], total["rows_in"], total["records_out"], total["rows_in_per_s"]), (True, 3, 750, 39, 300))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT_S), 130)

    def test_partitions_sorting_and_apps(self):
        old = time.time_ns() - 3600_000_000_000
        tasks = {(stage, p): {"weir_rows_in_total": 1, "weir_lag_records": lag, "weir_store_bytes": 1 << p} for stage, lags in
                 (("x", (5, 90)), ("y", (40, 41)), ("w", (0, 0))) for p, lag in enumerate(lags)}
        self.write(metrics(tasks), old)
        rows = lambda *flags: [(r["stage"], r.get("partition")) for r in self.once("--metrics", self.file, *flags) if "stage" in r]
        self.assertEqual(rows(), [("w", None), ("x", None), ("y", None)])
        self.assertEqual(rows("--sort", "lag"), [("x", None), ("y", None), ("w", None)])
        self.assertEqual(rows("--partitions", "--sort", "lag"), [("x", 1), ("y", 1), ("y", 0), ("x", 0), ("w", 0), ("w", 1)])
        self.assertEqual(rows("--partitions"), [(s, p) for s in "wxy" for p in (0, 1)])
        self.assertEqual(rows("--app", "other"), [])
        total = self.once("--metrics", self.file)[-1]
        self.assertEqual((total["live"], total["rows_in_per_s"], total["lag"], total["store_bytes"]), (False, 0, 176, 9))
        self.refused(2, "top", "--metrics", self.file, "--sort", "size", says="name, rate, lag, busy or state")

    def test_files_that_are_none(self):
        self.refused(1, "top", "--metrics", self.file, says=["cannot read", "--metrics FILE"])
        self.refused(1, "top", "--once", "--metrics", self.home, says="cannot be read")
        for text, says in (("", "no metrics of a weir app"), ("# EOF\n", "no metrics"), ("up 1\n", "no metrics"), ("weir_x{app=\"a\n", "line 1"),
                           ("# HELP x y\nhello world\n", "line 2"), ("x 1\n# EOF\nx 2\n", "line 3"), ('weir_x{app="a"} \n', "line 1"),
                           ("x{" + ",".join(f'l{i}="v"' for i in range(17)) + "} 1\n", "line 1"), ("\0\1\2", "line 1")):
            self.write(text, time.time_ns())
            done = self.weir("top", "--once", "--metrics", self.file)
            self.assertIn(done.returncode, (1, 2), text)
            self.assertIn(says, done.stderr.decode(), text)
            self.assertEqual(done.stdout, b"")
        # Numbers that no app writes are numbers, or none.
        self.write(metrics({("a", p): {"weir_watermark_seconds": n, "weir_rows_in_total": n} for p, n in enumerate(("-1e300", "NaN", "+Inf", "1e18"))}), 1)
        self.assertEqual([r["rows_in"] for r in self.once("--metrics", self.file, "--partitions") if "stage" in r], [-1e300, None, None, 1e18])
        self.ok("top", "--once", "--metrics", self.file, "--partitions", "--format", "text")
        self.refused(2, "top", "-b", "localhost:1", says="it does not take -b")


class Jobs(Top):
    """Records are keyed by who and grouped by team, so that there are two stages: one reads clicks, the other one has the groups."""

    def events(self, count):
        return [{"who": f"u{i % 40}", "team": f"t{i % 7}", "n": i, "ts": 1_000_000_000 + i * 100} for i in range(count)]

    def job(self):
        path = os.path.join(self.home, "job.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(JOB)
        return path

    def test_a_job_that_runs(self):
        rows = self.events(3000)
        self.produce("clicks", ndjson([*rows, {"who": "u1", "team": "t1", "n": "many", "ts": rows[1]["ts"]}]), "--key", "who", "--partitions", "3")
        process = self.start("run", self.job(), "--metrics", self.file)
        self.wait_held(process)
        follower = None
        deadline = time.monotonic() + LIMIT_S
        while follower is None and time.monotonic() < deadline:  # until the first file is there
            if os.path.exists(self.file):
                follower = self.follow()
        seen = self.reading(follower)
        while (seen[-1]["rows_in"], seen[-1]["lag"], seen[-1]["live"]) != (3001, 0, True) and time.monotonic() < deadline:
            seen = self.reading(follower)
        app, total = seen[-2:]
        stage = next(r for r in seen if r.get("topic") == "clicks")
        self.assertEqual((stage["app"], stage["stage"], stage["partitions"], stage["rows_in"]), ("job", "counts-repartition", 3, 3001))
        self.assertEqual((total["applied"], total["dead"], total["late"], total["unmatched"]), (3000, 1, 0, 0))
        # The slowest of three partitions: its latest event less the lateness.
        latest = collections.defaultdict(int)
        for row in rows:
            place = partition_of(row["who"].encode(), 3)
            latest[place] = max(latest[place], row["ts"])
        self.assertEqual(stage["watermark"], min(latest.values()) - 3_600_000)
        self.assertGreater(app["commits"], 0)
        self.assertGreater(app["commit_p99_s"], 0)
        # The directory is held: its name leads to the file.
        self.refused(1, "top", says=[f"process {process.pid}", "weir top --metrics FILE"])
        once = self.once("--metrics", self.file)[-1]
        while not once["live"] and time.monotonic() < deadline:  # it waits for a new file for three seconds
            once = self.once("--metrics", self.file)[-1]
        self.assertEqual((once["live"], once["rows_in"]), (True, 3001))
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)

    def test_a_directory_that_nobody_holds(self):
        rows = self.events(2000)
        bad = [{"who": "u1", "team": "t1", "n": "many", "ts": 1_000_000_000}] * 7
        self.produce("clicks", ndjson(rows + bad), "--key", "who", "--partitions", "3")
        self.ok("run", self.job(), "--until-end")
        self.produce("clicks", ndjson(rows[:11]), "--key", "who")
        lines = self.once("--partitions")
        by_place = collections.defaultdict(list)
        for row in rows:
            by_place[partition_of(row["who"].encode(), 3)].append(row)
        tasks = {r["partition"]: r for r in lines if r.get("topic") == "clicks"}
        stores = {r["partition"]: r for r in lines if r.get("stage") == "counts"}
        for p, mine in by_place.items():
            groups = {(r["team"], r["ts"] // 60_000) for r in rows if partition_of(r["team"].encode(), 3) == p}
            self.assertEqual((tasks[p]["applied"], tasks[p]["watermark"], stores[p]["store_entries"], tasks[p]["store_entries"], stores[p]["rows_in"]),
                             (len(mine), max(r["ts"] for r in mine) - 3_600_000, len(groups), None, None), p)
            self.assertEqual(tasks[p]["lag"], sum(partition_of(r["who"].encode(), 3) == p for r in rows[:11]), p)
        total = lines[-1]
        self.assertEqual((total["rows_in"], total["dead"], total["lag"], total["store_lag"], total["rows_in_per_s"], total["live"]),
                         (2007, 7, 11, 0, 0, False))
        listed = [json.loads(line) for line in self.ok("state", "list").stdout.splitlines()]
        self.assertEqual(total["store_bytes"], sum(store["bytes"] for store in listed))
        self.assertEqual(lines[-2], {"kind": "app", "app": "job", "commits": None, "commits_per_s": 0, "commit_p50_s": None, "commit_p99_s": None,
                                     "memory_bytes": None, "memory_budget_bytes": None})
        text = self.ok("top", "--format", "text").stdout.decode()
        self.assertIn("app job  does not run", text)
        self.assertRegex(text, r"total +6 +0 +0 +2\.01k")
        self.refused(1, "top", "--app", "nobody", says="never ran here")


class Screen(Top):
    """A terminal of a size: what is on it, and that it is given back."""

    OPEN, CLOSE = b"\033[?1049h\033[?25l", b"\033[?25h\033[?1049l"

    def open(self, width, height, *flags, term="xterm"):
        self.master, self.slave = pty.openpty()
        self.addCleanup(os.close, self.slave)
        self.addCleanup(os.close, self.master)
        self.resize(width, height)
        self.modes = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen([WEIR, "top", "--metrics", self.file, "--interval", "100", *flags], stdin=self.slave, stdout=self.slave,
                                        stderr=subprocess.PIPE, env=environment({"TERM": term}))
        self.addCleanup(self.end, self.process)

    def resize(self, width, height):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self):
        readable, _, _ = select.select([self.master], [], [], LIMIT_S)
        self.assertTrue(readable, self.seen)
        self.seen += os.read(self.master, 65536)

    def pictures(self):
        """The screens so far, each as its lines without colours."""
        found = re.findall(rb"\033\[H(.*?)\033\[J", self.seen, re.S)
        return [[re.sub(r"\033\[[0-9;]*[mK]|\r", "", line) for line in picture.decode().split("\n")] for picture in found]

    def until(self, holds):
        """The first picture that holds(lines)."""
        while True:
            for picture in self.pictures():
                if holds(picture):
                    return picture
            self.read()

    def close(self, code):
        self.assertEqual(self.process.wait(LIMIT_S), code, self.seen)
        while self.CLOSE not in self.seen:
            self.read()
        self.assertTrue(self.seen.startswith(self.OPEN), self.seen[:40])
        self.assertTrue(self.seen.endswith(self.CLOSE), self.seen[-40:])
        self.assertEqual(termios.tcgetattr(self.slave), self.modes)

    def fits(self, picture, width, height):
        self.assertLessEqual(len(picture), height, picture)
        for line in picture:
            self.assertLessEqual(len(line), width, picture)

    def shop(self, stages=3, partitions=2):
        self.write(metrics({(f"stage-number-{s}", p): {"weir_rows_in_total": 1500 * (s + 1), "weir_records_out_total": 20, "weir_lag_records": s,
                                                       "weir_rows_total/dead": 12345, "weir_store_bytes": 5 << 20}
                            for s in range(stages) for p in range(partitions)}), time.time_ns())

    def test_wide_and_narrow(self):
        self.shop()
        self.open(200, 40)
        picture = self.until(lambda lines: len(lines) > 5)
        self.assertEqual(picture[2].split()[:4], ["STAGE", "PART", "IN/S", "OUT/S"])
        self.assertEqual(picture[2].split()[-2:], ["BEHIND", "BUSY"])
        row = dict(zip(picture[2].split(), picture[3].split()))
        self.assertEqual((row["STAGE"], row["PART"], row["ROWS-IN"], row["DEAD"], row["STATE"], row["WATERMARK"]),
                         ("stage-number-0", "2", "3.00k", "24.7k", "10.0MiB", "-"))
        self.assertEqual([line.split()[0] for line in picture[3:]], ["stage-number-0", "stage-number-1", "stage-number-2", "total"])
        for width, height in ((70, 40), (40, 20), (24, 6), (10, 5)):
            self.resize(width, height)
            self.seen = self.OPEN
            self.process.send_signal(signal.SIGWINCH)
            self.until(lambda lines: len(lines) <= height and all(len(line) <= width for line in lines))
            self.seen = self.OPEN
            picture = self.until(lambda lines: True)
            self.fits(picture, width, height)
            self.assertRegex(picture[-1], r"^total" if width > 10 else r"^t ")
        self.resize(70, 6)
        self.until(lambda lines: any("2 more" in line for line in lines))
        os.write(self.master, b"q")
        self.close(0)

    def test_keys(self):
        self.shop()
        self.open(120, 40)
        self.until(lambda lines: len(lines) == 7)
        os.write(self.master, b"p")
        picture = self.until(lambda lines: len(lines) == 10)
        self.assertEqual([line.split()[1] for line in picture[3:]], ["0", "1"] * 3 + ["6"])
        os.write(self.master, b"pss")  # back to stages; by rate, by lag
        picture = self.until(lambda lines: len(lines) == 7 and "number-2" in lines[3])
        self.assertEqual([line.split()[0][-1] for line in picture[3:6]], ["2", "1", "0"])
        os.write(self.master, b"\x04")
        self.close(0)

    def test_signals_give_the_terminal_back(self):
        self.shop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.open(100, 30)
            self.until(lambda lines: True)
            self.process.send_signal(number)
            self.close(130)

    def test_a_new_file_and_none(self):
        self.shop()
        self.open(150, 30)
        self.until(lambda lines: "stage-number-0" in lines[3])
        os.unlink(self.file)
        self.until(lambda lines: "cannot read the metrics file" in lines[-1])
        self.shop(stages=1, partitions=5)
        picture = self.until(lambda lines: len(lines) == 5)
        self.assertEqual(picture[3].split()[:2], ["stage-number-0", "5"])
        os.write(self.master, b"q")
        self.close(0)

    def test_a_terminal_without_a_screen(self):
        self.shop()
        self.open(100, 30, term="dumb")
        while self.seen.count(b"total") < 1:
            self.read()
        self.assertNotIn(b"\033", self.seen)
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(LIMIT_S), 130)


if __name__ == "__main__":
    unittest.main()
