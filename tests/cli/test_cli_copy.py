#!/usr/bin/env python3
"""COPY … FROM in SQL files: what comes into the topic is what a reader of the file's format written here says, once, through kills and second runs. What INSERT writes
of the same rows is the measure of keys, partitions and values."""
import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import request, string
from test_cli import Case, ndjson, partition_of, weir

# Every place that is passed while a file is copied: COPY's own, and the log's on the way to a decision and after it.
PLACES = ("topic.create.recorded", "copy_before_append", "copy_written", "copy_marked", "copy_committed", "append.written", "append.written:2", "flush.done",
          "decide.prepared", "decide.before", "decide.done", "decide.stable", "marker.commit", "decide.finished")
PEOPLE = "CREATE TABLE people (id text PRIMARY KEY, name text, age integer CHECK (age >= 0), seen timestamptz);\n"
ROWS = 24000  # more than one transaction holds


def field(rng, value, delimiter=",", quote='"', escape='"'):
    """A CSV field as PostgreSQL reads it: NULL is nothing, an empty text is quoted; quotes where they must be, or where chance says."""
    if value is None:
        return ""
    must = value == "" or any(c in value for c in (delimiter, quote, escape, "\n", "\r")) or value == "\\."
    if not must and rng.random() < 0.7:
        return value
    inner = value.replace(escape, escape * 2)
    return quote + (inner if quote == escape else inner.replace(quote, escape + quote)) + quote


def escaped(rng, value):
    """A field of the text format: every byte that means something, and some that do not, behind a backslash in one of its forms."""
    if value is None:
        return b"\\N"
    out = b""
    for character in value:
        code = ord(character)
        names = {8: b"b", 9: b"t", 10: b"n", 11: b"v", 12: b"f", 13: b"r"}
        if code in names:
            out += b"\\" + rng.choice([names[code], b"%03o" % code])
        elif code == 92 or rng.random() < 0.05:  # all bytes of a character, since the line must be UTF-8
            form = rng.choice(["\\%03o", "\\x%02x"] + (["\\\\"] if code == 92 else []))
            out += "".join(form % byte if "%" in form else form for byte in character.encode()).encode()
        else:
            out += character.encode()
    return out


def values(rng, columns):
    pool = ["", "a", "b,c", 'd"e', 'f""', "g\nh", "i\tj", "k\\l", "\\N", "ü€😀", " m ", "n\r\no", "'", "NULL", None]
    return [rng.choice(pool) if rng.random() < 0.6 else "".join(rng.choices('ab,;"\\\n\tü \'', k=rng.randint(0, 6))) for _ in range(columns)]


class Copy(Case):
    def setUp(self):
        """In memory, where there is some: a kill ends a process, not a machine."""
        super().setUp()
        if os.access("/dev/shm", os.W_OK):
            self.home = tempfile.mkdtemp(prefix="weir-test-", dir="/dev/shm")
            self.addCleanup(shutil.rmtree, self.home)
            self.dir = os.path.join(self.home, "data")

    def file(self, name, data):
        path = os.path.join(self.home, name)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def job(self, text, name="job.sql"):
        return self.file(name, text)

    def run_job(self, path, *flags, **options):
        return self.ok("run", path, "--until-end", *flags, **options)

    def rows(self, topic):
        return [record["value"] for record in self.records(topic)]

    def letters(self, app="job"):
        """Of bad rows: line, class and bytes."""
        return [(int(r["headers"]["weir.copy.line"]), r["headers"]["weir.error.class"], r["value"]) for r in self.records(app + ".dlq")]

    def copied(self, options, data, columns="a text, b text, c text", where=""):
        path = self.job(f"CREATE TABLE t ({columns}) {where};\nCOPY t FROM 'rows' {options};\n")
        self.file("rows", data)
        self.run_job(path)
        return self.rows("t")


class Formats(Copy):
    def test_csv(self):
        for seed, (options, marks) in enumerate((("(FORMAT csv)", (",", '"', '"')), ("WITH (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\')", (";", "'", "\\")),
                                                 ("CSV HEADER", (",", '"', '"')), ("(FORMAT 'csv', DELIMITER E'\\t', ESCAPE '\\', HEADER on)", ("\t", '"', "\\")))):
            rng = random.Random(seed)
            given = [values(rng, 3) for _ in range(500)]
            end = rng.choice(["\n", "\r\n"])
            text = "".join(marks[0].join(field(rng, v, *marks) for v in row) + end for row in given)
            if marks[2] == marks[1]:
                read = csv.reader(io.StringIO(text, newline=""), delimiter=marks[0], quotechar=marks[1])
                self.assertEqual([[v or "" for v in row] for row in given], list(read), "the file is what was meant")
            self.dir = os.path.join(self.home, "data%d" % seed)
            header = "a%sb%sc%s" % (marks[0], marks[0], end) if "HEADER" in options else ""
            self.assertEqual(self.copied(options, header + text), [dict(zip("abc", row)) for row in given], options)

    def test_text(self):
        rng = random.Random(7)
        given = [values(rng, 3) for _ in range(500)]
        text = b"".join(b"\t".join(escaped(rng, v) for v in row) + b"\n" for row in given)
        self.assertEqual(self.copied("", text), [dict(zip("abc", row)) for row in given])

    def test_nulls_and_quotes_where_they_are(self):
        rows = self.copied("(FORMAT csv, NULL 'NIL', FORCE_NULL (b), FORCE_NOT_NULL (c))", 'NIL,"NIL",NIL\n"NIL",x"y"z,\n')
        self.assertEqual(rows, [{"a": None, "b": None, "c": "NIL"}, {"a": "NIL", "b": "xyz", "c": ""}])

    def test_ends(self):
        """A byte order mark, the last line without its end, an end that is written."""
        self.assertEqual(self.copied("(FORMAT csv)", b"\xef\xbb\xbfa,b,c"), [{"a": "a", "b": "b", "c": "c"}])
        self.dir += "2"
        self.assertEqual(self.copied("", "a\tb\tc\n\\.\nnothing of this\n"), [{"a": "a", "b": "b", "c": "c"}])
        self.run_job(os.path.join(self.home, "job.sql"))
        self.assertEqual(len(self.rows("t")), 1)
        self.dir += "3"
        self.assertEqual(self.copied("", ""), [])

    def test_columns(self):
        path = self.job("CREATE TABLE t (a text, n integer, b text OPTIONS (path 'B'));\nCOPY t (b, a) FROM 'rows' (FORMAT csv, HEADER match);\n")
        self.file("rows", "b,a\n1,2\n")
        self.run_job(path)
        self.assertEqual(self.rows("t"), [{"a": "2", "n": None, "B": "1"}])
        self.dir += "2"
        self.file("rows", "a,b\n1,2\n")
        self.refused(1, "run", path, says=['column 1 of the header is "a", and "b" is copied', "line 2, column 20"])

    def test_types(self):
        rows = self.copied("(FORMAT csv)", "1,2.50,t,2026-03-01 10:00:00+01,1.5e3\n", "i bigint, n numeric(10,2), b boolean, ts timestamptz, d double precision")
        self.assertEqual(rows, [{"i": 1, "n": 2.50, "b": True, "ts": "2026-03-01T09:00:00.000Z", "d": 1500}])

    def test_json_is_kept_as_it_is(self):
        lines = ['{"id":"x",  "deep":{"n":1},"more":[1, 2]}', '{"id":"y","deep":{"n":2.50}}']
        path = self.job("CREATE TABLE t (id text NOT NULL, n numeric OPTIONS (path 'deep.n'), v jsonb OPTIONS (path 'deep')) WITH (partitions = 4, partitioned_by = 'id');\n"
                        "COPY t FROM 'rows' (FORMAT json);\n")
        self.file("rows", "\n".join([lines[0], "", "  ", '{"n":1}', "{", lines[1]]) + "\n")
        self.run_job(path)
        records = sorted(self.records("t"), key=lambda r: r["key"])
        self.assertEqual([(r["key"], r["partition"]) for r in records], [("x", partition_of(b"x", 4)), ("y", partition_of(b"y", 4))])
        self.assertEqual(sorted(self.values("t").decode().splitlines()), sorted(lines))
        self.assertEqual([(line, kind) for line, kind, _ in self.letters()], [(4, "not_null"), (5, "json_malformed")])

    def test_csv_topic(self):
        self.assertEqual(self.copied("", "x\t1\n\\N\t2\n", "a text, n integer", "WITH (format = 'csv')"), ["x,1", ",2"])


class Meaning(Copy):
    def test_keys_are_those_of_insert(self):
        """The same rows through INSERT and through COPY: the same keys, values and partitions."""
        rng = random.Random(3)
        rows = [{"shop": rng.choice(["a", "{b", "ü"]) + str(i % 7), "day": i % 5, "n": i} for i in range(200)]
        for key in ("PRIMARY KEY (shop, day)", "PRIMARY KEY (shop)", "PRIMARY KEY (day)"):
            self.dir += "x"
            self.ok("topic", "create", "source", "--partitions", "1")
            self.produce("source", ndjson(rows))
            self.file("rows.csv", "".join("%s,%d,%d\n" % (row["shop"], row["day"], row["n"]) for row in rows))
            self.run_job(self.job("CREATE TABLE source (shop text, day integer, n integer);\n"
                                  f"CREATE TABLE inserted (shop text OPTIONS (path 'Shop'), day integer, n integer, {key}) WITH (partitions = 3);\n"
                                  f"CREATE TABLE copied (shop text OPTIONS (path 'Shop'), day integer, n integer, {key}) WITH (partitions = 3);\n"
                                  "INSERT INTO inserted SELECT * FROM source;\nCOPY copied FROM 'rows.csv' (FORMAT csv);\n"))
            self.assertEqual([(r["partition"], r["key"], r["value"]) for r in self.records("inserted")],
                             [(r["partition"], r["key"], r["value"]) for r in self.records("copied")])
            for name in ("cleanup.policy", "weir.partitioned.by"):
                self.assertEqual(self.describe("inserted")["config"].get(name), self.describe("copied")["config"].get(name))

    def test_rows_without_a_key_take_turns(self):
        rows = self.copied("", "".join("%d\n" % i for i in range(10)), "n integer", "WITH (partitions = 3)")
        self.assertEqual(len(rows), 10)
        for record in self.records("t"):
            self.assertEqual(record["value"]["n"] % 3, record["partition"])

    def test_timestamps_are_event_times(self):
        self.copied("(FORMAT csv)", "a,2020-01-01 00:00:01+00\nb,1960-01-01 00:00:00+00\n", "a text, ts timestamptz", "WITH (event_time = 'ts')")
        self.assertEqual([record["timestamp"] for record in self.records("t")], [1577836801000, 0])

    def test_a_table_is_there_before_the_rows_that_meet_it(self):
        """Rows that were produced long before the file is copied meet all of it."""
        self.produce("orders", ndjson([{"id": str(i), "country": "c%d" % (i % 5)} for i in range(100)]))
        self.file("countries.csv", "country,region\n" + "".join("c%d,r%d\n" % (i, i) for i in range(4)))
        self.run_job(self.job("CREATE TABLE orders (id text, country text);\nCREATE TABLE countries (country text PRIMARY KEY, region text);\n"
                              "COPY countries FROM 'countries.csv' CSV HEADER;\n"
                              "INSERT INTO placed SELECT o.id, c.region FROM orders o LEFT JOIN countries c ON c.country = o.country;\n"))
        self.assertEqual(self.rows("placed"), [{"id": str(i), "region": "r%d" % (i % 5) if i % 5 < 4 else None} for i in range(100)])

    def test_names_are_beside_the_sql(self):
        os.mkdir(os.path.join(self.home, "sub"))
        self.file("sub/rows", "1\n")
        path = self.file("sub/job.sql", "CREATE TABLE t (n integer);\nCOPY t FROM 'rows';\n")
        self.run_job(path)
        self.assertEqual(self.rows("t"), [{"n": 1}])
        other = self.file("other.sql", f"CREATE TABLE u (n integer);\nCOPY u FROM '{self.home}/sub/rows';\n")
        self.run_job(other)
        self.assertEqual(self.rows("u"), [{"n": 1}])

    def test_insert_and_copy_into_one_table(self):
        self.produce("more", ndjson([{"n": 2}]))
        self.file("rows", "1\n")
        path = self.job("CREATE TABLE more (n integer);\nCREATE TABLE t (n integer) WITH (retention = 'forever');\nCOPY t FROM 'rows';\n"
                        "INSERT INTO t SELECT n FROM more;\nCREATE MATERIALIZED VIEW s AS SELECT 1 AS k, sum(n) AS n FROM t GROUP BY 1;\n")
        self.run_job(path)
        self.assertEqual(self.rows("t"), [{"n": 1}, {"n": 2}])
        self.assertEqual(self.rows("s")[-1]["n"], 3)
        self.assertEqual(self.describe("t")["config"]["retention.ms"], "-1")

    def test_a_topic_whose_records_lie_by_a_field(self):
        self.produce("t", ndjson([{"a": "x"}]), "--key", "a")
        path = self.job("CREATE TABLE t (a text);\nCOPY t FROM 'rows';\n")
        self.file("rows", "y\n")
        self.refused(2, "run", path, says="declare the table with partitioned_by")
        self.assertEqual(len(self.rows("t")), 1)


class BadRows(Copy):
    def test_letters(self):
        """One bad row each for its own reason, between good ones; every line of the file is accounted for."""
        bad = [(b"x,1,2026-01-01", "copy_columns"), (b"x,1,2,3,4", "copy_columns"), (b"x,y,-1,", "check"), (b",n,1,", "not_null"), (b"x,n,many,", "cast_failed"),
               (b"x,\xff,1,", "copy_utf8"), (b"x,\0,1,", "copy_utf8"), (b"x,a\rb,1,", "copy_malformed"), (b"x,n,1,yesterday", "cast_failed"),
               (b"x,n,99999999999,", None)]
        data, expected = b"", []
        for number, (line, kind) in enumerate(bad):
            data += b"good%d,n,1,\n" % number + line + b"\n"
            expected.append((2 * number + 2, kind))
        self.file("people.csv", data)
        path = self.job(PEOPLE + "COPY people FROM 'people.csv' (FORMAT csv);\n")
        done = self.run_job(path)
        self.assertIn(b"people: 10 rows of people.csv copied, 10 bad ones in job.dlq", done.stderr)
        self.assertEqual([row["id"] for row in self.rows("people")], ["good%d" % i for i in range(10)])
        letters = self.letters()
        self.assertEqual([letter[0] for letter in letters], [line for line, _ in expected])
        for (line, kind, _), (_, wanted) in zip(letters, expected):
            if wanted is not None:
                self.assertEqual(kind, wanted, line)
        shown = [json.loads(line) for line in self.ok("dlq", "show", "job").stdout.splitlines()]
        self.assertEqual({(s["stage"], s["headers"]["weir.copy.file"]) for s in shown}, {("copy:people", "people.csv")})
        listed = [json.loads(line) for line in self.ok("dlq", "list").stdout.splitlines()]
        self.assertEqual(sum(group["records"] for group in listed), 10)
        self.assertEqual(self.run_job(path).stderr.count(b"copied"), 0)
        self.assertEqual(len(self.letters()), 10)

    def test_lines_are_those_of_the_file(self):
        """Rows of several lines, and a header, are counted by their lines."""
        self.file("people.csv", 'id,name,age,seen\nx,"a\nb\n",1,\nbad\ny,"c\n",-1,\n')
        self.run_job(self.job(PEOPLE + "COPY people FROM 'people.csv' CSV HEADER;\n"))
        self.assertEqual([(line, kind) for line, kind, _ in self.letters()], [(5, "copy_columns"), (6, "check")])

    def test_fail_and_null(self):
        self.file("rows", "1\nx\n3\n")
        path = self.job("CREATE TABLE t (n integer) WITH (on_error = 'fail');\nCOPY t FROM 'rows';\n")
        self.refused(1, "run", path, says=["rows, line 2: a bad row (cast_failed", "line 2, column 13"])
        self.assertEqual(self.rows("t"), [])
        self.file("rows", "1\n2\n3\n")
        self.run_job(path)
        self.assertEqual([row["n"] for row in self.rows("t")], [1, 2, 3])
        self.dir += "2"
        self.file("rows", "1\nx\n3\n")
        self.run_job(self.job("CREATE TABLE t (n integer) WITH (on_error = 'null');\nCOPY t FROM 'rows';\n"))
        self.assertEqual([row["n"] for row in self.rows("t")], [1, None, 3])

    def test_what_is_no_row(self):
        path = self.job("CREATE TABLE t (a text, b text);\nCOPY t FROM 'rows' (FORMAT csv);\n")
        self.file("rows", 'a,b\nc,"d\ne,f\n')
        self.refused(1, "run", path, says=["ends inside of quotes, which the row in line 2 opens"])
        self.file("rows", b"a,b\n" + b"x" * (17 << 20))
        self.refused(1, "run", path, says=["the row in line 2 of", "is longer than 16777216 bytes"])
        self.file("rows", b'a,b\n"' + b"x" * (17 << 20))
        self.refused(1, "run", path, says="is a quote missing?")
        self.file("rows", b"a,b\n" + b"x" * (15 << 20) + b",y\n")
        self.run_job(path)
        self.assertEqual([len(row["a"]) for row in self.rows("t")], [1, 15 << 20])

    def test_what_is_no_file(self):
        path = self.job("CREATE TABLE t (n integer);\nCOPY t FROM 'rows';\n")
        says = ["line 2, column 13:", "  COPY t FROM 'rows';", "              ^"]
        self.refused(2, "run", path, says=["No such file or directory", *says])
        done = weir("check", path)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        for word in ("No such file or directory", *says):
            self.assertIn(word, done.stderr.decode())
        os.mkdir(os.path.join(self.home, "rows"))
        self.refused(2, "run", path, says=["is a directory and not a file", *says[:2]])
        os.rmdir(os.path.join(self.home, "rows"))
        os.mkfifo(os.path.join(self.home, "rows"))
        self.refused(2, "run", path, says=["is a pipe or a device and not a file", *says[:2]])
        os.unlink(os.path.join(self.home, "rows"))
        self.file("rows", "1\n")
        self.run_job(path)
        os.unlink(os.path.join(self.home, "rows"))
        self.run_job(path)  # it was copied, and nobody needs it
        self.assertEqual(self.rows("t"), [{"n": 1}])


class Once(Copy):
    JOB = "CREATE TABLE t (n integer, s text) WITH (partitions = 2);\nCOPY t FROM 'rows' (FORMAT csv);\nCREATE MATERIALIZED VIEW sums AS SELECT s, sum(n) AS n FROM t GROUP BY s;\n"

    def big(self, count=ROWS):
        self.file("rows", "".join("%d,s%d\n" % (i, i % 3) if i % 1000 else "bad\n" for i in range(count)))

    def check_big(self, count=ROWS):
        values = [json.loads(line)["n"] for line in self.values("t").splitlines()]
        for remainder in (0, 1):
            self.assertEqual([n for n in values if n % 2 == remainder], [i for i in range(count) if i % 1000 and i % 2 == remainder])
        self.assertEqual([line for line, _, _ in self.letters()], [i + 1 for i in range(0, count, 1000)])

    def test_killed(self):
        """Killed at each place, and then run to its end: every row once, each partition in the file's order."""
        path = self.job(self.JOB)
        self.big()
        for place in [*PLACES, *(f"copy_{at}:2" for at in ("before_append", "written", "marked", "committed"))]:
            self.dir = os.path.join(self.home, "data-" + place.replace(":", "-"))
            with self.subTest(place):
                done = self.weir("run", path, "--until-end", env={"WEIR_CRASH_AT": place})
                self.assertEqual(done.returncode, 137, done.stderr)
                done = self.run_job(path)
                self.check_big()
                wanted = {"s%d" % k: sum(i for i in range(ROWS) if i % 1000 and i % 3 == k) for k in range(3)}
                self.assertEqual({row["s"]: row["n"] for row in self.rows("sums")}, wanted)
        self.assertNotIn(b"copied", self.run_job(path).stderr)
        self.check_big()

    def test_killed_before_the_end_that_is_written(self):
        """A transaction that ends just before it: what is behind it is no row for the run that goes on, either."""
        path = self.job("CREATE TABLE t (n integer);\nCOPY t FROM 'rows';\n")
        self.file("rows", "".join("%d\n" % i for i in range(20100)) + "\\.\n7\n8\n")
        for place in ("copy_committed", "copy_marked:2"):
            self.dir = os.path.join(self.home, place.replace(":", "-"))
            self.assertEqual(self.weir("run", path, "--until-end", env={"WEIR_CRASH_AT": place}).returncode, 137)
            self.run_job(path)
            self.assertEqual([row["n"] for row in self.rows("t")], list(range(20100)))

    def test_interrupted(self):
        """A signal while a file is copied: what is committed stays, and the rest comes with the next run."""
        self.big(150000)
        path = self.job("CREATE TABLE t (n integer, s text) WITH (partitions = 2);\nCOPY t FROM 'rows' (FORMAT csv);\n")
        process = self.start("run", path)
        self.wait_held(process)
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(60), (0, 130))  # 0: it was done before
        self.run_job(path)
        self.check_big(150000)

    def test_a_file_that_changes(self):
        path = self.job(self.JOB)
        self.file("rows", "1,a\n2,b\n")
        self.run_job(path)
        self.file("rows", "1,a\n3,b\n")
        os.utime(os.path.join(self.home, "rows"), (1, 1))
        for flags in ((), ("--changed-copy", "refuse")):
            self.refused(2, "run", path, *flags, says=["its file has changed since it was copied: it had 8 bytes, and has 8 others", "--changed-copy keep", "line 2, column 13"])
        checked = self.weir("check", path)
        self.assertEqual((checked.returncode, b"has changed since it was copied" in checked.stderr), (2, True))
        self.assertIn(b"what was copied stays", self.run_job(path, "--changed-copy", "keep").stderr)
        self.assertEqual(len(self.rows("t")), 2)
        self.run_job(path, "--changed-copy", "again")
        self.assertEqual(sorted(row["n"] for row in self.rows("t")), [1, 1, 2, 3])
        self.assertNotIn(b"copied", self.run_job(path).stderr)
        self.file("rows", "1,a\n3,b\n")  # the same bytes, written again
        os.utime(os.path.join(self.home, "rows"), (2, 2))
        self.run_job(path)
        self.assertEqual(len(self.rows("t")), 4)

    def test_a_statement_that_changes(self):
        self.file("rows", "1,a\n2,b\n")
        self.run_job(self.job(self.JOB))
        path = self.job(self.JOB.replace("FORMAT csv", "FORMAT csv, HEADER"))
        self.refused(2, "run", path, says="the statement has changed since its file was copied")
        self.run_job(path, "--changed-copy", "again", env={})
        self.assertEqual(sorted(row["n"] for row in self.rows("t")), [1, 2, 2])

    def test_a_file_that_changes_in_the_middle(self):
        path = self.job(self.JOB)
        self.big()
        for change in ("kept", "grown", "other"):
            self.dir = os.path.join(self.home, change)
            self.big()
            self.assertEqual(self.weir("run", path, "--until-end", env={"WEIR_CRASH_AT": "copy_committed"}).returncode, 137)
            self.assertIn(b"copied in part", self.ok("check", path).stdout)
            with open(os.path.join(self.home, "rows"), "r+b") as file:
                file.seek(0, os.SEEK_END if change == "grown" else os.SEEK_SET)
                if change != "kept":
                    file.write(b"7,x\n")
            if change == "other":
                self.refused(2, "run", path, "--until-end", says="its file has changed while it was copied, after line ")
                self.run_job(path, "--changed-copy", "keep")
                self.assertLess(len(self.values("t").splitlines()), ROWS)
                continue
            self.run_job(path)
            self.assertEqual(len(self.values("t").splitlines()), ROWS * 999 // 1000 + (change == "grown"))

    def test_a_topic_that_was_deleted(self):
        path = self.job("CREATE TABLE t (n integer);\nCOPY t FROM 'rows';\n")
        self.file("rows", "1\n")
        for _ in range(2):
            self.run_job(path)
            self.assertEqual(self.rows("t"), [{"n": 1}])
            self.ok("topic", "delete", "t")

    def test_from_the_beginning(self):
        """The rows are in the topic, and are read from it again; another app copies for itself."""
        path = self.job(self.JOB)
        self.file("rows", "1,a\n2,a\n")
        self.run_job(path)
        self.run_job(path, "--from-beginning")
        self.assertEqual(len(self.rows("t")), 2)
        self.assertEqual(self.rows("sums")[-1], {"s": "a", "n": 3})
        self.run_job(self.job("CREATE TABLE t (n integer, s text);\nCOPY t FROM 'rows' (FORMAT csv);\n", "other.sql"))
        self.assertEqual(len(self.rows("t")), 4)

    def test_check(self):
        path = self.job(self.JOB)
        self.file("rows", "1,a\nbad\n")
        self.assertEqual(weir("check", path).stdout.decode(), f"{path}: ok, 1 pipeline, 1 copy\n")
        self.run_job(path)
        lines = self.ok("check", path).stdout.decode().splitlines()
        self.assertEqual(lines[:2], [f"{path}: ok, 1 pipeline, 1 copy", "t: rows: copied, 1 row"])


class Serve(Copy):
    def test_serve(self):
        """Topics have the server's partitions, tables are compacted, pipelines see the rows; a second start copies nothing."""
        self.file("people.csv", "x,n,1,\ny,n,2,\n")
        self.file("events", "a\nb\n")
        path = self.job(PEOPLE + "CREATE TABLE events (e text);\nCOPY people FROM 'people.csv' CSV;\nCOPY events FROM 'events';\n"
                        "CREATE MATERIALIZED VIEW ages AS SELECT age, count(*) AS n FROM people GROUP BY age;\n")
        for _ in range(2):
            process = self.start("serve", path, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--partitions", "3")
            lines = [process.stdout.readline() for _ in range(2)]
            self.assertTrue(lines[1].startswith(b"http on "), lines)
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, told)
            self.run_job(path)
            self.assertEqual(sorted(row["id"] for row in self.rows("people")), ["x", "y"])
            self.assertEqual(len(self.describe("events")["partitions"]), 3)
            self.assertEqual(self.describe("people")["config"]["cleanup.policy"], "compact")
            self.assertEqual(len(self.rows("events")), 2)


    def serve_and_delete(self, path):
        """A server that copies, and a client that deletes the topic as soon as it can; what the server says up to the end of the copy that stays."""
        process = self.start("serve", path, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0")
        port = int(process.stdout.readline().split(b":")[-1])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(request(20, 1, struct.pack(">i", 1) + string(b"t") + struct.pack(">i", 30000)))
            self.assertEqual(client.recv(4096)[-2:], b"\0\0")
        told = [process.stderr.readline()]
        while b"2000000 rows of rows copied" not in told[-1]:
            self.assertTrue(told[-1], told)
            told.append(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        return b"".join(told)

    def test_its_topic_is_deleted_meanwhile(self):
        """By a client, while rows come: the server goes on, makes the topic again and copies once more."""
        self.file("rows", "".join(f"{n},a\n" for n in range(2000000)))
        for attempt in range(10):  # until the client is quicker than the copy
            told = self.serve_and_delete(self.job("CREATE TABLE t (n integer, s text);\nCOPY t FROM 'rows' (FORMAT csv);\n", f"{attempt}.sql"))
            if b"topic t was deleted" in told:
                self.assertIn(b"tried again", told)
                return
        self.fail("no copy was under way when its topic was deleted")


class Refused(Copy):
    def test_sentences(self):
        """Each with its place, and what to do."""
        table = "CREATE TABLE t (a text, j jsonb, b text OPTIONS (path 'x.y')); CREATE TABLE w (x text, y text OPTIONS (path 'x'));\nCREATE VIEW v AS SELECT a FROM t;\n"
        for statement, *says in (("COPY t TO 'f'", "COPY … TO is not supported", "weir consume"), ("COPY (SELECT 1) TO 'f'", "COPY of a query"),
                                 ("COPY t FROM STDIN", "COPY … FROM STDIN", "weir produce"), ("COPY t FROM PROGRAM 'ls'", "FROM PROGRAM"),
                                 ("COPY t (a) FROM 'f' WHERE a = 'x'", "WHERE in COPY"), ("COPY nothing FROM 'f'", 'table "nothing" does not exist', "CREATE TABLE"),
                                 ("COPY v FROM 'f'", "v is no table"), ("COPY t (a, zz) FROM 'f'", 'column "zz" does not exist'), ("COPY t (a, a) FROM 'f'", 'column "a" is copied twice'),
                                 ("COPY t FROM 'f'", 'column "j" is jsonb', "FORMAT json"), ("COPY t (a) FROM 'f'", "is a nested field"),
                                 ("COPY t (a) FROM 'f' (FORMAT json)", "a list of columns is not for FORMAT json"),
                                 ("COPY t (a) FROM 'f' (FORMAT binary)", 'format "binary"', "csv, text, or json"), ("COPY t (a) FROM 'f' (FORMAT csv, DELIMITER 'xx')", "single one-byte"),
                                 ("COPY t (a) FROM 'f' (DELIMITER 'a')", "cannot be this character"), ("COPY t (a) FROM 'f' (FORMAT csv, DELIMITER '\"')", "must differ"),
                                 ("COPY t (a) FROM 'f' (QUOTE 'x')", "quote is for FORMAT csv"), ("COPY t (a) FROM 'f' (FREEZE)", "freeze is not supported"),
                                 ("COPY t (a) FROM 'f' (FORMAT csv, FORMAT csv)", "given twice"), ("COPY t (a) FROM 'f' (ENCODING 'latin1')", "encoding 'latin1'", "iconv"),
                                 ("COPY t (a) FROM 'f' (FORMAT csv, FORCE_NULL (b))", "not among those that are copied"), ("COPY t (a) FROM 'f' (speed 'high')", "COPY has no option speed"),
                                 ("COPY t (a) FROM 'f' (NULL E'\\n')", "line end"), ("COPY t (a) FROM 'f' (FORMAT csv, NULL ',')", "the delimiter cannot stand in null"),
                                 ("COPY t (a) FROM 'f' (HEADER maybe)", "true, false or match"), ("COPY w FROM 'f'", 'two columns of w are the field "x"')):
            done = weir("check", self.job(table + statement + ";\n"))
            text = done.stderr.decode()
            self.assertEqual((done.returncode, done.stdout), (2, b""), statement)
            for word in says:
                self.assertIn(word, text, statement)
            self.assertIn(", line 3, column ", text, statement)
            self.assertIn("\n  " + statement, text)
        done = weir("check", self.job("CREATE TABLE u (a text);\nCOPY u FROM 'f';\nCOPY u FROM 'f';\n"))
        self.assertIn("'f' is copied into topic u twice, line 3, column 13", done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
