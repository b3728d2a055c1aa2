#!/usr/bin/env python3
"""weir check, explain and run. Expected results are computed here, from the events."""
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_cli import LIMIT_S, ROOT, Case, content, weir

COUNTS = """CREATE TABLE clicks (who text NOT NULL, n bigint, ts timestamptz) WITH (event_time = 'ts', lateness = '1 hour');
CREATE MATERIALIZED VIEW counts WITH (topic = 'counts-per-minute') AS
SELECT who, window_start, count(*) AS clicks, sum(n) AS total FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY who, window_start;
"""


def events(count, seed=1):
    draw = random.Random(seed)
    return [{"who": f"u{draw.randrange(50)}", "n": draw.randrange(-5, 100), "ts": 1_000_000 + draw.randrange(600_000)} for _ in range(count)]


def per_minute(rows):
    table = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        cell = table[row["who"], row["ts"] // 60000 * 60000]
        cell[0] += 1
        cell[1] += row["n"]
    return {key: tuple(cell) for key, cell in table.items()}


class Sql(Case):
    def file(self, text, name="job.sql"):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def send(self, topic, rows, *flags):
        self.produce(topic, "".join(json.dumps(row) + "\n" for row in rows).encode(), "--key", "who", *flags)

    def table(self, topic="counts-per-minute"):
        latest = {}
        for record in self.records(topic):
            latest[record["key"]] = record["value"]
        return {(row["who"], int(time_ms(row["window_start"]))): (row["clicks"], row["total"]) for row in latest.values() if row is not None}

    def test_check(self):
        path = self.file(COUNTS)
        done = weir("check", path)
        self.assertEqual((done.returncode, done.stdout.decode(), done.stderr), (0, f"{path}: ok, 1 pipeline\n", b""))
        done = weir("check", "-", stdin=COUNTS.encode())
        self.assertEqual((done.returncode, done.stdout), (0, b"-: ok, 1 pipeline\n"))
        done = weir("check", self.file(COUNTS.replace("count(*)", "cuont(*)").replace("who text", "who txt")))
        text = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertEqual(text.count("weir: "), 1, text)  # what reads the broken table is not told of
        self.assertIn("txt", text)
        self.assertIn("line 1, column 26:", text)
        done = weir("check", os.path.join(self.home, "none.sql"))
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"No such file", done.stderr)
        done = weir("check", self.home)
        self.assertEqual(done.returncode, 2)
        done = weir("check", "-", stdin=b"CREATE TABLE t (a text); CREATE MATERIALIZED VIEW v AS\n"
                                        b"SELECT count(DISTINCT a) AS n FROM session(t, a, INTERVAL '1 hour') GROUP BY window_start;")
        self.assertEqual(done.returncode, 2, done.stderr)

    def test_several_files(self):
        table, view = COUNTS.split("\n", 1)
        paths = [self.file(table, "tables.sql"), self.file(view, "views.sql")]
        done = weir("check", *paths)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, f"{paths[0]}, {paths[1]}: ok, 1 pipeline\n"), done.stderr)
        done = weir("check", *paths[::-1])
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"weir: {paths[1]}: table or view \"clicks\" does not exist yet: it is made in line 1 of {paths[0]}", done.stderr.decode())
        self.assertEqual(weir("check", paths[0], paths[0]).returncode, 2)
        rows = events(200)
        self.send("clicks", rows)
        self.ok("run", *paths, "--until-end")
        self.assertEqual(self.table(), per_minute(rows))
        self.assertEqual(self.ok("group", "list").stdout.split(), [b"tables"])

    def test_flags_from_the_environment(self):
        rows, metrics = events(50), os.path.join(self.home, "prom")
        self.send("clicks", rows)
        told = self.summary(self.ok("run", self.file(COUNTS), env={
            "WEIR_APP": "named", "WEIR_UNTIL_END": "1", "WEIR_CLOSE_WINDOWS": "yes", "WEIR_THREADS": "2", "WEIR_METRICS": metrics}))
        self.assertEqual(told["rows_in"], 50)
        self.assertEqual(self.ok("group", "list").stdout.split(), [b"named"])
        self.assertIn(b"# EOF", content(metrics))
        self.send("clicks", rows)  # the windows were closed
        self.assertEqual(self.summary(self.ok("run", self.file(COUNTS), "--until-end", "--app", "named"))["late"], 50)

    def test_verify_by_either_name(self):
        self.send("clicks", events(50))
        self.ok("run", self.file(COUNTS), "--until-end")
        for name in ("counts", "counts-per-minute"):
            totals = json.loads(self.ok("verify", name).stdout)["totals"]
            self.assertEqual((totals["view"], totals["rows_read"], totals["differences"]), ("counts-per-minute", 50, 0))

    def test_explain(self):
        done = weir("explain", self.file(COUNTS))
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in ("counts", "  source clicks by ts, lateness 3600000 ms", "  group who", "  tumbling 60000 ms",
                     "  aggregate count(*) AS clicks, sum(n) AS total, emit changes", "  map who, window_start, clicks, total"):
            self.assertIn(line, done.stdout.decode().splitlines())

    def test_explain_in_a_file(self):
        """EXPLAIN of a statement tells what weir explain tells of the statement, and the statement does nothing: its name stays free."""
        rows = "CREATE TABLE rows (who text, ts timestamptz) WITH (topic = 'clicks');\n"
        table, view = COUNTS.split(";\n", 1)
        insert = "INSERT INTO copies SELECT who FROM rows;\n"
        explain = rows + table + ";\nEXPLAIN " + view + "EXPLAIN (FORMAT json) " + insert + "EXPLAIN (FORMAT dot) " + insert
        self.send("clicks", events(50))
        data = ("--app", "job", "--data", self.dir)
        alone = [self.ok("explain", self.file(table + ";\n" + view, "a.sql"), *data).stdout,
                 self.ok("explain", self.file(rows + insert, "b.sql"), *data, "--format", "json").stdout,
                 self.ok("explain", self.file(rows + insert, "c.sql"), *data, "--format", "dot").stdout]
        done = self.ok("run", self.file(explain))
        self.assertEqual((done.stdout, done.stderr), (alone[0] + b"\n" + alone[1] + alone[2], b""))
        self.assertEqual(len(self.ok("topic", "list").stdout.splitlines()), 1)

        both = self.file(explain + view + "EXPLAIN SELECT who, clicks FROM counts WHERE clicks > 1;\n")
        checked = self.ok("check", both).stdout.decode()
        self.assertIn(f"  bad rows to job.dlq\n{both}: ok, 1 pipeline\n", checked)
        self.assertIn("select\n  source counts-per-minute by window_start\n", checked)
        self.assertIn("  filter clicks > 1\n  map who, clicks\n  gives (who text, clicks bigint)\n", checked)
        done = self.ok("run", both, "--until-end")
        self.assertTrue(done.stdout.startswith(alone[0]))
        self.assertEqual(self.table(), per_minute(events(50)))
        self.refused(2, "check", self.file(explain + "INSERT INTO x SELECT who FROM copies;\n"), says="copies")

    def explained(self, *arguments):
        done = weir("explain", *arguments, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        with open(os.path.join(ROOT, "docs/explain.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        self.assertEqual(list(differences(told, schema, schema, "$")), [])
        return told

    def test_explain_for_programs(self):
        sql = COUNTS + """CREATE TABLE people (who text PRIMARY KEY, age integer) WITH (format = 'csv');
CREATE TABLE copies (who text, "n\\" bigint CONSTRAINT small CHECK ("n\\" < 9)) WITH (partitioned_by = 'who', partitions = 4, on_error = 'fail');
INSERT INTO copies SELECT c.who, c.n FROM clicks c LEFT JOIN people p ON p.who = c.who WHERE p.age > 1 UNION ALL SELECT who, 1 FROM clicks;
CREATE MATERIALIZED VIEW once WITH (within = '1 hour') AS SELECT DISTINCT ON (who) * FROM clicks;
CREATE MATERIALIZED VIEW hops WITH (emit = 'final', format = 'csv') AS
SELECT who, count(*) AS c FROM hop(clicks, ts, INTERVAL '1 minute', INTERVAL '1 hour') GROUP BY who, window_start;
"""
        path = self.file(sql)
        told = {pipeline["name"]: pipeline for pipeline in self.explained(path)["pipelines"]}
        counts, copies = told["counts"], told["copies"]
        self.assertEqual((counts["repartition"], counts["late"], counts["bad_rows"]),
                         ({"when": "unless_placed", "topic": "job-counts-per-minute-repartition", "field": "who"}, "counts-per-minute.late", "job.dlq"))
        self.assertEqual(counts["rows"]["source"]["partitions"], None)
        self.assertEqual([step["step"] for step in counts["rows"]["steps"]], ["map", "check", "group", "tumbling", "aggregate", "map"])
        self.assertEqual((len(copies["rows"]["merge"]), copies["bad_rows"], copies["output"]["partitions"]), (2, None, 4))
        self.assertEqual(copies["rows"]["merge"][0]["steps"][2]["table"]["source"]["format"], "csv")
        self.send("clicks", events(100), "--partitions", "3")
        self.produce("people", b"u1,2\n")
        placed = {pipeline["name"]: pipeline for pipeline in self.explained(path, "--data", self.dir)["pipelines"]}
        source = placed["counts"]["rows"]["source"]
        self.assertEqual((source["partitions"], source["records"], source["partitioned_by"]), (3, 100, "who"))
        self.assertGreater(source["bytes"], 1000)
        self.assertEqual(placed["counts"]["repartition"]["when"], "never")
        self.ok("run", path, "--until-end")
        names = self.ok("topic", "list").stdout.decode().split()
        self.assertNotIn("job-counts-per-minute-repartition", names)  # as it was told
        for pipeline in placed.values():
            for topic in (pipeline["output"]["topic"], pipeline["late"], pipeline["bad_rows"], pipeline["repartition"]["topic"]):
                self.assertIn(topic, names + [None])
        dot = weir("explain", path, "--format", "dot").stdout.decode()
        self.assertEqual(dot.count("shape=box"), 4)
        if shutil.which("dot"):
            drawn = subprocess.run(["dot", "-Tplain"], input=dot.encode(), capture_output=True, timeout=LIMIT_S, check=True)
            self.assertEqual(drawn.stderr, b"")
        self.assertEqual(dot.replace('\\\\', "").replace('\\"', "").count('"') % 2, 0)
        self.refused(2, "explain", path, "--format", "xml", says="format")

    def test_run_to_the_end_and_on(self):
        path, rows = self.file(COUNTS), events(3000)
        self.send("clicks", rows[:2000], "--partitions", "3")
        done = self.ok("run", path, "--until-end", "--threads", "2")
        self.assertEqual(done.stdout, b"")
        told = self.summary(done)
        self.assertEqual(self.table(), per_minute(rows[:2000]))
        self.assertEqual((told["rows_in"], told["dead"], told["late"], told["lag"]), (2000, 0, 0, 0))
        again = self.summary(self.ok("run", path, "--until-end"))
        self.assertEqual((again["rows_in"], again["rows_out"]), (0, 0))  # of this run
        self.send("clicks", rows[2000:])
        self.ok("run", path, "--until-end", "--metrics", os.path.join(self.home, "prom"))
        self.assertEqual(self.table(), per_minute(rows))
        self.assertIn(b"# EOF", content(os.path.join(self.home, "prom")))

    def test_standard_input_and_names(self):
        self.send("clicks", events(10))
        self.ok("run", "-", "--until-end", stdin=COUNTS.encode())
        self.ok("run", self.file(COUNTS, "a b.sql"), "--until-end", "--from-beginning", "--app", "named")
        groups = self.ok("group", "list").stdout.decode().split()
        self.assertEqual(sorted(groups), ["named", "weir"])

    def test_killed_and_run_again(self):
        path, rows = self.file(COUNTS), events(20000)
        self.send("clicks", rows, "--partitions", "3")
        for _ in range(4):
            process = self.start("run", path, "--commit-interval", "5")
            self.wait_held(process)
            self.wait_for_results(process)
            process.kill()
            process.wait(LIMIT_S)
        self.ok("run", path, "--until-end")
        self.assertEqual(self.table(), per_minute(rows))

    def wait_for_results(self, process):
        """Until the job has written something in this life, or there is nothing left to do."""
        path = os.path.join(self.dir, "topics")
        size = lambda: sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names
                           if "counts-per-minute-" in folder and name.endswith(".log"))
        before, deadline = size(), time.monotonic() + 2
        while time.monotonic() < deadline and process.poll() is None and size() == before:
            time.sleep(0.002)

    def test_signal(self):
        self.send("clicks", events(500))
        process = self.start("run", self.file(COUNTS))
        self.wait_held(process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("rows_in", json.loads(stderr.decode().splitlines()[-1]))

    def test_what_cannot_run(self):
        path = self.file(COUNTS)
        self.refused(1, "run", path, says="there is no data directory")
        self.send("others", events(1))
        self.refused(1, "run", path, "--until-end", says="weir produce clicks")
        self.refused(2, "run", self.file("CREATE TABLE t (a text);", "t.sql"), says="nothing to run")
        self.refused(2, "run", self.file("CREATE TABEL t (a text);", "u.sql"), says="line 1, column 8")
        self.refused(2, "run", path, "--close-windows", says="--until-end")
        self.refused(2, "run", path, "--threads", "0", says="threads")
        self.refused(2, "run", path, "--app", "a/b", says="cannot name an app")

    def test_a_changed_file(self):
        path, rows = self.file(COUNTS), events(300)
        self.send("clicks", rows)
        self.ok("run", path, "--until-end")
        path = self.file(COUNTS.replace("NOT NULL", "NOT NULL CHECK (who <> 'u1')"))
        self.refused(2, "run", path, "--until-end", says=["counts: must be rebuilt: its source, conditions", "--rebuild counts"])
        self.refused(2, "run", path, "--until-end", "--rebuild", "cuonts", says=["there is no view cuonts", "did you mean counts?"])
        self.assertEqual(self.table(), per_minute(rows))
        self.ok("run", path, "--until-end", "--rebuild", "counts")
        left = {key: value for key, value in per_minute(rows).items() if key[0] != "u1"}
        self.assertEqual(self.table(), left)
        again = self.summary(self.ok("run", path, "--until-end", env={"WEIR_REBUILD": "all"}))  # nothing more to do
        self.assertEqual(again["rows_in"], 0)

    def test_what_has_changed(self):
        """Of each view: new, unchanged, its state used on, to be rebuilt by itself or with what it reads, refused."""
        sql = """CREATE TABLE clicks (who text NOT NULL, n bigint, ts timestamptz) WITH (event_time = 'ts');
CREATE MATERIALIZED VIEW a AS SELECT who, count(*) AS c FROM clicks GROUP BY who;
CREATE MATERIALIZED VIEW b WITH (topic = 'b-topic', emit = 'final') AS
SELECT window_start AS minute, sum(n) AS s FROM tumble(clicks, ts, INTERVAL '1 minute') GROUP BY window_start;
INSERT INTO d SELECT minute FROM b;
"""
        self.send("clicks", events(100))

        def changes(text, *flags):
            path = self.file(text)
            done = self.weir("check", path, *flags)
            lines = done.stdout.decode().splitlines()[1:] + [line[6:] for line in done.stderr.decode().splitlines() if line.startswith("weir: ")]
            return done.returncode, dict(line.split(": ", 1) for line in lines)

        self.assertEqual(changes(sql), (0, {"a": "new", "b-topic": "new", "d": "new"}))
        self.ok("run", self.file(sql), "--until-end", "--close-windows")
        before = self.records("b-topic")
        self.assertEqual(changes(sql), (0, {"a": "unchanged", "b-topic": "unchanged", "d": "unchanged"}))
        code, told = changes(sql.replace("SELECT who, count(*) AS c", "SELECT who, count(*) + 1 AS c"))
        self.assertEqual((code, told["b-topic"], told["d"]), (0, "unchanged", "unchanged"))
        self.assertIn("changed, and its state is used on: ", told["a"])
        other = sql.replace("sum(n)", "sum(n * 2)")
        code, told = changes(other)
        self.assertEqual((code, told["a"]), (2, "unchanged"))
        self.assertIn("must be rebuilt: its source", told["b"])
        self.assertIn("must be rebuilt: it reads the rows of b-topic", told["d"])
        self.assertEqual(changes(other, "--rebuild", "d")[0], 2)
        code, told = changes(other, "--rebuild", "b-topic")
        self.assertEqual(code, 0)
        self.assertIn("is rebuilt: it reads", told["d"])
        self.assertEqual(self.records("b-topic"), before)  # looking changes nothing
        self.ok("run", self.file(other), "--until-end", "--close-windows", "--rebuild", "b")
        self.assertEqual(len(self.records("b-topic")), len(before))
        self.assertNotEqual([r["value"] for r in self.records("b-topic")], [r["value"] for r in before])
        self.ok("topic", "delete-records", "clicks", "--before", "50", "--execute")
        code, told = changes(sql)
        self.assertEqual(code, 2)
        self.assertIn("refused: its source", told["b"])
        self.assertIn("lost its beginning", told["b"])
        self.refused(2, "run", self.file(sql), "--until-end", "--rebuild", "all", says="--from-beginning")

    def test_a_bad_row_that_ends_the_run(self):
        rows = events(300)
        self.send("clicks", rows[:200])
        path = self.file(COUNTS.replace("lateness", "on_error = 'fail', lateness"))
        self.ok("run", path, "--until-end")
        self.produce("clicks", b'{"who":"a","n":1,"ts":1000000}\n{"who":"a","n":"x","ts":1000000}\n')
        self.send("clicks", rows[200:])
        text = self.refused(1, "run", path, "--until-end", says=["offset 201 of clicks, partition 0", "cast_failed"])
        self.assertEqual(self.refused(1, "run", path, "--until-end"), text)
        self.assertEqual(self.records("job.dlq"), [])
        self.assertEqual(self.table(), per_minute(rows[:200]))
        told = self.summary(self.ok("run", self.file(COUNTS), "--until-end"))
        self.assertEqual((told["dead"], told["rows_in"]), (1, 102))
        self.assertEqual(self.table(), per_minute(rows + [{"who": "a", "n": 1, "ts": 1000000}]))

    def test_topics_as_asked(self):
        self.send("clicks", events(100), "--partitions", "3")
        sql = COUNTS.replace("topic = ", "partitions = 5, retention = '3 days', topic = ")
        self.ok("run", self.file(sql), "--until-end")
        told = json.loads(self.ok("topic", "describe", "counts-per-minute", "--format", "json").stdout.splitlines()[0])
        self.assertEqual(len(told["partitions"]), 5, told)
        self.assertEqual((told["config"]["retention.ms"], told["config"]["cleanup.policy"]), ("259200000", "compact,delete"))
        self.refused(2, "run", self.file(sql.replace("= 5", "= 4")), "--until-end", says="topic counts-per-minute has 5 partitions, and its pipeline says 4")
        self.refused(2, "run", self.file(sql.replace("lateness", "partitions = 2, lateness")), "--until-end",
                     says="topic clicks has 3 partitions, and its pipeline says 2")

    def test_rows_that_lie_where_they_belong(self):
        """A column cast to text lies where the topic says: no repartition topic."""
        rows = events(300)
        self.send("clicks", rows, "--partitions", "3")
        self.ok("run", self.file(COUNTS), "--until-end")
        self.assertEqual(self.table(), per_minute(rows))
        self.assertNotIn(b"repartition", self.ok("topic", "list").stdout)
        self.produce("foreign", "".join(json.dumps(row) + "\n" for row in rows).encode(), "--partitions", "3")
        sql = COUNTS.replace("(event_time", "(topic = 'foreign', partitioned_by = 'who', event_time")
        told = self.summary(self.ok("run", self.file(sql), "--until-end", "--app", "wrong"))
        self.assertGreater(told["dead"], 0)  # nobody had placed them
        self.assertEqual({record["headers"]["weir.error.class"] for record in self.records("wrong.dlq")}, {"misplaced"})

    def test_bad_rows(self):
        self.produce("clicks", b'{"n":1,"ts":1}\n{"who":"a","n":"x","ts":1}\n{"who":"a","n":2,"ts":1}\nnonsense\n')
        told = self.summary(self.ok("run", self.file(COUNTS), "--until-end"))
        self.assertEqual((told["rows_in"], told["applied"], told["dead"]), (4, 1, 3))
        classes = [record["headers"]["weir.error.class"] for record in self.records("job.dlq")]
        self.assertEqual(sorted(classes), ["cast_failed", "json_malformed", "not_null"])


KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}


def differences(value, schema, root, place):
    """What of a value does not fit a JSON Schema, of the words that ours uses; a word that is not known is a difference too."""
    known = {"$schema", "$defs", "title", "description", "$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "minimum",
             "minItems", "oneOf"}
    if set(schema) - known:
        yield f"{place}: the schema has {set(schema) - known}"
    if "$ref" in schema:
        yield from differences(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, place)
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(isinstance(value, KINDS[kind]) and not (kind == "integer" and isinstance(value, bool)) for kind in kinds):
            yield f"{place}: {value!r} is no {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, int) and value < schema.get("minimum", value):
        yield f"{place}: {value} is too small"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{place}: {len(value)} items"
        for number, item in enumerate(value):
            yield from differences(item, schema.get("items", {}), root, f"{place}[{number}]")
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                yield f"{place}: {name} is missing"
        for name, item in value.items():
            if name in schema.get("properties", {}):
                yield from differences(item, schema["properties"][name], root, f"{place}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{place}: {name} is not in the schema"
        if "oneOf" in schema and sum(not list(differences(value, one, root, place)) for one in schema["oneOf"]) != 1:
            yield f"{place}: not one of {schema['oneOf']}"


def time_ms(text):
    return time_of(text).timestamp() * 1000


def time_of(text):
    import datetime
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


if __name__ == "__main__":
    unittest.main()
