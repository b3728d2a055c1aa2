#!/usr/bin/env python3
"""weir serve over HTTP, with Python's own client and with raw sockets. What is told is compared with what was produced and committed before the server
began, with the document that it serves of itself, and with Prometheus' own parser."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, WEIR, Server, environment, weir
from wire_server import PYTHON

START = 1_772_352_000_000  # 2026-03-01T08:00:00Z
JOB = """CREATE TABLE orders (shop text NOT NULL, amount numeric(10,2), ts timestamptz)
WITH (event_time = 'ts', partitions = 3, lateness = '1 minute');
CREATE MATERIALIZED VIEW hourly WITH (topic = 'hourly-revenue') AS
SELECT shop, window_start, sum(amount) AS revenue, count(*) AS orders
FROM tumble(orders, ts, INTERVAL '1 hour') WHERE amount > 0 GROUP BY shop, window_start;
"""
ROWS = [{"shop": f"s{i % 4}", "amount": i % 5, "ts": START + i * 1000} for i in range(200)] + [{"amount": 1, "ts": START}]
DEAD = 1                                                   # the one without a shop
FILTERED = sum(row["amount"] == 0 for row in ROWS)
# Prometheus' own parser, in the interpreter that it is installed for: a line for each family.
PARSER = """
import json, sys
from prometheus_client import parser
if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics import parser
for family in parser.text_string_to_metric_families(sys.stdin.read()):
    print(json.dumps([family.name, family.documentation, [[s.name, s.labels, s.value] for s in family.samples]]))
"""


class Case(unittest.TestCase):
    files = True

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="weir-http-")
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.data, cls.job = os.path.join(cls.home, "data"), os.path.join(cls.home, "shop.sql")
        with open(cls.job, "w", encoding="utf-8") as file:
            file.write(JOB)
        weir("topic", "create", "orders", "--partitions", "3", data=cls.data)
        weir("produce", "orders", "--key", "shop", data=cls.data, stdin="".join(json.dumps(row) + "\n" for row in ROWS[:-1]))
        weir("produce", "orders", data=cls.data, stdin=json.dumps(ROWS[-1]) + "\n")
        weir("consume", "orders", "--group", "audit", "--max", "50", data=cls.data)
        cls.log = [json.loads(line) for line in weir("log", "describe", "--format", "json", data=cls.data).splitlines()][:-1]
        cls.lags = [json.loads(line) for line in weir("group", "describe", "audit", "--format", "json", data=cls.data).splitlines()]
        cls.before()
        cls.server = cls.start()
        while cls.server.get("/readyz")[0] != 200:
            pass

    @classmethod
    def before(cls):
        """What is to be done in the directory before the server holds it."""

    @classmethod
    def start(cls, *flags):
        server = Server(cls.data, *([cls.job] if cls.files else []), *flags)
        cls.addClassCleanup(server.end)
        return server

    def get(self, target, status=200):
        told, body = self.server.get(target)
        self.assertEqual(told, status, (target, body))
        return body

    def wait_for(self, target, is_there):
        """Asks until the answer is as it will be: what a commit brings comes when it comes."""
        until = time.monotonic() + LIMIT_S
        while True:
            body = self.server.get(target)[1]
            if is_there(body):
                return body
            self.assertLess(time.monotonic(), until, body)

    def pages(self, target, items):
        found, cursor = [], None
        while True:
            page = self.get(target + (f"&cursor={cursor}" if cursor is not None else ""))
            self.assertLessEqual(len(page[items]), 2)
            found += page[items]
            cursor = page["next_cursor"]
            if cursor is None:
                return found
            self.assertEqual(len(page[items]), 2)


class Log(Case):
    files = False

    def test_topics(self):
        topics = self.get("/api/v1/topics")["topics"]
        self.assertEqual([(t["name"], t["partitions"], t["internal"]) for t in topics], [("orders", 3, False)])
        orders = self.get("/api/v1/topics/orders")
        self.assertEqual(orders["id"], topics[0]["id"])
        self.assertEqual(orders["config"]["retention.ms"], {"value": "604800000", "is_set": False})
        self.assertEqual([(p["partition"], p["high_watermark"], p["segments"]) for p in orders["partitions"]],
                         [(p["partition"], p["high_watermark"], p["segments"]) for p in self.log])
        self.assertEqual(sum(p["end_offset"] for p in orders["partitions"]), len(ROWS))

    def test_pages(self):
        self.assertEqual([p["partition"] for p in self.pages("/api/v1/topics/orders?limit=2", "partitions")], [0, 1, 2])
        self.assertEqual([p["partition"] for p in self.pages("/api/v1/groups/audit?limit=2", "partitions")], [0, 1, 2])

    def test_groups(self):
        group, = self.get("/api/v1/groups")["groups"]
        self.assertEqual((group["name"], group["state"], group["members"], group["of_app"]), ("audit", "Empty", 0, False))
        audit = self.get("/api/v1/groups/audit")
        self.assertEqual([(row["topic"], row["partition"], row["committed_offset"], row["lag"]) for row in audit["partitions"]],
                         [(row["topic"], row["partition"], row["current_offset"], row["lag"]) for row in self.lags])
        self.assertEqual(audit["lag"], sum(row["lag"] or 0 for row in self.lags))

    def test_a_server_without_pipelines_is_ready(self):
        self.assertEqual(self.get("/readyz"), {"restoring": [], "status": "ready", "tasks": 0, "open": 0})
        self.assertEqual(self.get("/api/v1/pipelines"), {"app": None, "pipelines": []})

    def test_a_view_is_not_asked_without_a_job(self):
        self.assertEqual(self.server.ask("POST", "/api/v1/query", "SELECT * FROM hourly")[0], 404)

    def test_what_is_not_there(self):
        for target in ("/api/v1/topics/ordres", "/api/v1/groups/nobody", "/api/v1/pipelines/hourly-revenue", "/api/v2/topics", "/api/v1", "/livez/x"):
            self.assertTrue(self.get(target, 404)["error"], target)
        self.assertIn("orders", self.get("/api/v1/topics/ordres", 404)["error"])


class Pipelines(Case):
    def test_rows_by_fate(self):
        pipeline = self.wait_for("/api/v1/pipelines/hourly-revenue", lambda body: body["rows"]["in"] == len(ROWS))
        rows = pipeline["rows"]
        self.assertEqual((rows["dead"], rows["filtered"], rows["late"]), (DEAD, FILTERED, 0))
        self.assertEqual(rows["applied"], len(ROWS) - DEAD - FILTERED)
        self.assertEqual((pipeline["state"], pipeline["failure"], pipeline["lag"]), ("running", None, 0))
        sources = [task for task in pipeline["partitions"] if task["topic"] == "orders"]
        self.assertEqual(sorted(task["position"] for task in sources), sorted(p["high_watermark"] for p in self.log))
        ready = self.get("/readyz")
        self.assertEqual((ready["status"], ready["tasks"]), ("ready", len(pipeline["partitions"])))

    def test_a_view_of_a_job_that_runs_here(self):
        want = {f"s{i}": [row["amount"] for row in ROWS[i:-1:4] if row["amount"] > 0] for i in range(4)}
        until, rows = time.monotonic() + LIMIT_S, []
        while sum(row["orders"] for row in rows) < sum(map(len, want.values())):   # in one commit or in several
            self.assertLess(time.monotonic(), until, rows)
            status, _, text = self.server.ask("POST", "/api/v1/query", "SELECT * FROM hourly ORDER BY shop")
            rows = json.loads(text)["rows"] if status == 200 else []
        self.assertEqual({row["shop"]: (row["revenue"], row["orders"], row["window_open"]) for row in rows},
                         {shop: (sum(amounts), len(amounts), True) for shop, amounts in want.items()})
        self.wait_for("/api/v1/pipelines/hourly-revenue", lambda body: body["rows"]["out"] >= 4 and all(task["lag"] == 0 for task in body["partitions"]))
        self.assertIn("point read", self.explain("SELECT * FROM hourly WHERE shop = 's1' AND window_open"))

    def explain(self, sql):
        return json.loads(self.server.ask("POST", "/api/v1/query?explain=true", sql)[2])["explain"]

    def test_rates_lie_between_two_looks(self):
        self.wait_for("/api/v1/pipelines", lambda body: body["pipelines"][0]["rows"]["in"] == len(ROWS))
        self.wait_for("/api/v1/pipelines", lambda body: body["pipelines"][0]["rows_per_s"] is not None)
        self.wait_for("/api/v1/pipelines", lambda body: body["pipelines"][0]["rows_per_s"] == 0)  # nothing comes any more

    def test_pause_and_resume(self):
        for verb, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running")):
            status, _, text = self.server.ask("POST", f"/api/v1/pipelines/hourly-revenue/{verb}")
            self.assertEqual((status, json.loads(text)["state"]), (200, state))
            self.assertEqual(self.get("/api/v1/pipelines")["pipelines"][0]["state"], state)
        self.assertEqual(self.server.ask("POST", "/api/v1/pipelines/nothing/pause")[0], 404)
        status, headers, _ = self.server.ask("GET", "/api/v1/pipelines/hourly-revenue/pause")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))
        status, headers, _ = self.server.ask("POST", "/api/v1/pipelines")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))


class Metrics(Case):
    def samples(self, accept=None):
        status, headers, text = self.server.ask("GET", "/metrics", headers={"Accept": accept} if accept else {})
        self.assertEqual(status, 200, text)
        kind = "text" if accept == "text/plain" else "openmetrics"
        self.assertEqual(headers["Content-Type"], {"openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8", "text": "text/plain; version=0.0.4; charset=utf-8"}[kind])
        self.assertEqual(text.count("# EOF\n"), kind == "openmetrics")
        done = subprocess.run([PYTHON, "-c", PARSER, kind], input=text, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
        if "No module named" in done.stderr:
            self.skipTest("python3-prometheus-client is not installed")
        self.assertEqual(done.returncode, 0, done.stderr)
        families = [json.loads(line) for line in done.stdout.splitlines()]
        names = [name for name, _, _ in families]
        self.assertEqual(len(names), len(set(names)))
        for name, documentation, _ in families:
            self.assertTrue(documentation, name)
        return {(name, tuple(sorted(labels.items()))): value for _, _, samples in families for name, labels, value in samples}

    def test_the_log_is_told_as_kafka_exporter_does(self):
        samples = self.samples()
        told = lambda name, **labels: samples[name, tuple(sorted(labels.items()))]
        self.assertEqual(told("kafka_brokers"), 1)
        self.assertEqual(told("kafka_topic_partitions", topic="orders"), 3)
        for partition in self.log:
            place = {"topic": "orders", "partition": str(partition["partition"])}
            self.assertEqual(told("kafka_topic_partition_current_offset", **place), partition["high_watermark"])
            self.assertEqual(told("kafka_topic_partition_oldest_offset", **place), partition["start_offset"])
            self.assertEqual(told("kafka_topic_partition_leader", **place), 0)
        committed = [row for row in self.lags if row["current_offset"] is not None]
        self.assertTrue(committed)
        for row in self.lags:
            place = {"consumergroup": "audit", "topic": "orders", "partition": str(row["partition"])}
            key = ("kafka_consumergroup_lag", tuple(sorted(place.items())))
            if row["current_offset"] is None:
                self.assertNotIn(key, samples)
                continue
            self.assertEqual(samples[key], row["lag"])
            self.assertEqual(told("kafka_consumergroup_current_offset", **place), row["current_offset"])
        self.assertEqual(told("kafka_consumergroup_lag_sum", consumergroup="audit", topic="orders"), sum(row["lag"] for row in committed))
        self.assertEqual(told("kafka_consumergroup_current_offset_sum", consumergroup="audit", topic="orders"),
                         sum(row["current_offset"] for row in committed))
        self.assertEqual(told("kafka_consumergroup_members", consumergroup="audit"), 0)

    def test_the_older_format_has_the_same_samples(self):
        """Prometheus says by its Accept header what it reads (here that of 2.42); what is told of one family is told of the same in both."""
        self.wait_for("/api/v1/pipelines", lambda body: body["pipelines"][0]["rows"]["in"] == len(ROWS))
        prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        lasting = lambda samples: {key: value for key, value in samples.items() if key[0].startswith("kafka_") or key[0] == "weir_rows_total"}
        until, after, old = time.monotonic() + LIMIT_S, self.samples(prometheus), {}
        before = {}
        while (set(before), lasting(before)) != (set(after), lasting(after)):   # until no commit lies between them
            self.assertLess(time.monotonic(), until)
            before, old = after, self.samples("text/plain")
            after = self.samples(prometheus)
        self.assertEqual(set(old), set(after))
        self.assertEqual(lasting(old), lasting(after))

    def test_pipelines_are_told_beside_it(self):
        self.wait_for("/api/v1/pipelines", lambda body: body["pipelines"][0]["rows"]["in"] == len(ROWS))
        samples = self.samples()
        fates = {}
        for (name, labels), value in samples.items():
            if name == "weir_rows_total":
                fates[dict(labels)["fate"]] = fates.get(dict(labels)["fate"], 0) + value
        self.assertEqual(sum(fates.values()), len(ROWS))
        self.assertEqual((fates["dead"], fates["filtered"]), (DEAD, FILTERED))
        names = {name for name, _ in samples}
        for name in ("weir_commit_latency_seconds_bucket", "weir_watermark_delay_seconds", "weir_restored_ratio", "weir_stage_commit_latency_seconds_bucket",
                     "weir_stage_flush_seconds_bucket", "weir_stage_watermark_delay_seconds_bucket", "weir_stage_restore_seconds_bucket"):
            self.assertIn(name, names)
        of_stage = tuple(sorted({"app": "shop", "stage": "hourly-revenue", "topic": "shop-hourly-revenue-repartition"}.items()))
        self.assertEqual(samples["weir_stage_restore_seconds_count", of_stage], 3)     # its partitions
        until = time.monotonic() + LIMIT_S
        while self.samples()["weir_stage_commit_latency_seconds_count", of_stage] == 0:
            self.assertLess(time.monotonic(), until)


class Document(Case):
    """docs/openapi.json and the server hold each other."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        status, cls.document = cls.server.get("/api/v1/openapi.json")
        assert status == 200

    def operations(self):
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def target(self, path):
        return path.replace("{topic}", "hourly-revenue" if "pipelines" in path else "orders").replace("{group}", "audit").replace("{name}", "shop") \
            .replace("{app}", "shop").replace("{store}", "hourly-revenue").replace("{view}", "hourly").replace("{user}", "alice")

    def check(self, value, schema, place):
        """A JSON value against the part of JSON Schema that the document uses."""
        if "$ref" in schema:
            return self.check(value, self.document["components"]["schemas"][schema["$ref"].split("/")[-1]], place)
        if value is None and schema.get("nullable"):
            return None
        for part in schema.get("allOf", ()):
            self.check(value, part, place)
        kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
        if "type" in schema:
            self.assertIsInstance(value, kinds[schema["type"]], place)
        if "enum" in schema:
            self.assertIn(value, schema["enum"], place)
        if schema.get("format") == "date-time":
            self.assertRegex(value, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", place)
        if isinstance(value, dict):
            for name in schema.get("required", ()):
                self.assertIn(name, value, place)
            known, rest = schema.get("properties", {}), schema.get("additionalProperties")
            for name, member in value.items():
                if name in known:
                    self.check(member, known[name], f"{place}.{name}")
                elif rest:
                    self.check(member, rest, f"{place}.{name}")
                elif known and "allOf" not in schema and not place.endswith(" of several"):
                    self.fail(f"{place}: {name} is not documented")
        if isinstance(value, list) and "items" in schema:
            for item in value:
                self.check(item, schema["items"], place + "[]")
        return None

    def test_it_is_the_one_of_the_tree(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/openapi.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), self.document)
        self.assertRegex(self.document["openapi"], r"^3\.")

    def test_every_route_is_documented_and_no_other(self):
        routes = set(self.get("/")["routes"])
        self.assertEqual(routes, {f"{method} {path}" for method, path, _ in self.operations()})

    def test_arguments_are_the_documented_ones(self):
        for method, path, operation in self.operations():
            parameters = operation.get("parameters", [])
            self.assertEqual([p["name"] for p in parameters if p["in"] == "path"], re.findall(r"{(\w+)}", path))
            status, _, text = self.server.ask(method, self.target(path) + "?zzz=1")
            self.assertEqual(status, 400, path)
            hint = json.loads(text)["hint"] or "there is: "
            self.assertEqual(sorted(hint[len("there is: "):].split()), sorted(p["name"] for p in parameters if p["in"] == "query"), path)

    def test_answers_are_what_it_says(self):
        for method, path, operation in self.operations():
            if "requestBody" in operation and method == "POST":  # Query's
                continue
            body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"]) if method == "PUT" else None
            for kind, content in operation["responses"]["200"]["content"].items():
                status, headers, text = self.server.ask(method, self.target(path), body, headers={"Accept": kind})
                self.assertEqual(status, 200, (path, text))
                self.assertTrue(headers["Content-Type"].startswith(kind), path)
                if kind == "application/json" and path != "/api/v1/openapi.json":
                    schema = content["schema"]
                    several = " of several" if "allOf" in schema else ""
                    self.check(json.loads(text), schema, path + several)


class Query(Document):
    """Views of a job that has run here, asked while no job runs."""
    files = False

    @classmethod
    def before(cls):
        weir("run", cls.job, "--until-end", data=cls.data)
        cls.rows = [json.loads(line) for line in weir("query", "SELECT * FROM hourly ORDER BY shop", data=cls.data).splitlines()]

    def select(self, sql, target="/api/v1/query", status=200):
        told, _, text = self.server.ask("POST", target, sql)
        self.assertEqual(told, status, text)
        return json.loads(text)

    def test_answers_are_what_it_says(self):
        answer = self.select("SELECT * FROM hourly ORDER BY shop")
        operation = self.document["paths"]["/api/v1/query"]["post"]
        self.check(answer, operation["responses"]["200"]["content"]["application/json"]["schema"], "query")
        self.assertEqual(answer["rows"], self.rows)
        self.assertEqual(len(answer["rows"]), 4)
        self.assertEqual(answer["columns"], list(self.rows[0]))
        self.assertEqual(answer["types"], ["text", "timestamptz", "numeric", "bigint", "boolean"])
        self.assertEqual((answer["left_out"], answer["next_cursor"]), (0, None))
        self.assertEqual(sum(row["orders"] for row in answer["rows"]), len(ROWS) - DEAD - FILTERED)

    def test_numbers_are_exact(self):
        text = self.server.ask("POST", "/api/v1/query", "SELECT sum(revenue) + 0.10 AS r FROM \"hourly-revenue\"")[2]
        self.assertIn('"r":%d.10' % sum(row["amount"] for row in ROWS[:-1]), text)

    def test_pages_of_rows(self):
        found, cursor = [], 0
        while cursor is not None:
            page = self.select("SELECT * FROM hourly ORDER BY shop", f"/api/v1/query?limit=3&cursor={cursor}")
            self.assertLessEqual(len(page["rows"]), 3)
            found, cursor = found + page["rows"], page["next_cursor"]
        self.assertEqual(found, self.rows)

    def test_what_is_no_question(self):
        for sql, status, said in (("", 400, "a SELECT is missing"), ("SELEC 1", 400, "line 1"), ("SELECT * FROM hourli", 404, "no view"),
                                  ("SELECT nothing FROM hourly", 400, "nothing"), ("SELECT 1/0 AS x FROM hourly", 400, "division by zero"),
                                  ("DELETE FROM hourly", 400, "SELECT"), ("SELECT '\xff' FROM hourly\0", 400, ""), ("SELECT " + "(" * 40000, 400, "")):
            error = self.select(sql.encode("latin-1"), status=status)["error"]
            self.assertIn(said, error, sql[:50])
        self.assertIn("hourly", self.select("SELECT * FROM hourli", status=404)["hint"])
        self.select("SELECT * FROM hourly", "/api/v1/query?app=nobody", status=404)


class BadInput(Case):
    files = False

    def raw(self, data, half=False):
        """What comes back for these bytes until the server hangs up; half: nothing more will be sent."""
        with socket.create_connection(("127.0.0.1", self.server.http_port), timeout=LIMIT_S) as wire:
            try:
                wire.sendall(data)
                if half:
                    wire.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := wire.recv(65536):
                    answer += piece
                return answer
            except (ConnectionResetError, BrokenPipeError):
                return b""

    def status(self, target, method="GET", head=b"Host: localhost\r\n", body=b""):
        answer = self.raw(method.encode() + b" " + target + b" HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n" + body)
        found = re.match(rb"HTTP/1\.1 (\d+) ", answer)
        return int(found.group(1)) if found else None

    def tearDown(self):
        self.assertEqual(self.get("/livez"), {"status": "alive"})

    def test_targets(self):
        for target, status in ((b"/livez", 200), (b"/livez/", 200), (b"/%6Civez", 200), (b"/livez?", 200), (b"/livez?&", 200), (b"/livez%", 400),
                               (b"/livez%0", 400), (b"/livez%zz", 400), (b"/livez%00", 400), (b"/livez%0a", 400), (b"/%ff", 400), (b"/%c0%af", 400),
                               (b"//livez", 400), (b"/a//b", 400), (b"/livez?=1", 400), (b"/api/v1/topics?limit=1&limit=2", 400),
                               (b"/api/v1/topics?limit=0", 400), (b"/api/v1/topics?limit=1001", 400), (b"/api/v1/topics?limit=", 400),
                               (b"/api/v1/topics?limit=%31", 200), (b"/api/v1/topics?limit=99999999999999999999999", 400),
                               (b"/api/v1/topics?limit=-1", 400), (b"/api/v1/topics?internal=yes", 400), (b"/api/v1/topics?cursor=%FF", 400),
                               (b"/api/v1/topics?cursor=a+b%20c", 200), (b"/api/v1/topics/..", 404), (b"/api/v1/topics/..%2f..%2fetc", 404),
                               (b"/api/v1/topics/orders%2F", 404), (b"/a" * 9, 414), (b"/" + b"a" * 8192, 414),
                               (b"/livez?" + b"&".join(b"a%d=1" % i for i in range(17)), 414), (b"/api/v1/topics/orders?cursor=7", 200)):
            self.assertEqual(self.status(target), status, target[:60])

    def test_heads(self):
        self.assertEqual(self.status(b"/livez", head=b""), 400)                   # HTTP/1.1 without Host
        self.assertIn(self.status(b"/livez", head=b"Host: localhost\r\n" + b"X: " + b"y" * 40000 + b"\r\n"), (431, 413, 400, None))
        for host, status in ((b"localhost", 200), (b"LOCALHOST:1", 200), (b"127.0.0.1:9644", 200), (b"[::1]:9644", 200), (b"10.1.2.3", 200),
                             (b"evil.example", 403), (b"127.0.0.1.evil.example", 403), (b"localhost.evil.example:9644", 403), (b"[::1", 403),
                             (b"localhost:80:80", 403), (b"a" * 300, 403), (b"localhost:x", 403)):
            self.assertEqual(self.status(b"/livez", head=b"Host: " + host + b"\r\n"), status, host)

    def test_methods(self):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            self.assertEqual(self.status(b"/livez", method=method), 405, method)
        status, headers, text = self.server.ask("HEAD", "/livez")
        self.assertEqual((status, text, headers["Content-Length"]), (200, "", str(len('{"status":"alive"}'))))

    def test_pages_of_other_servers_may_not_post(self):
        target, own = "/api/v1/pipelines/x/pause", f"http://127.0.0.1:{self.server.http_port}"
        self.assertEqual(self.server.ask("POST", target, headers={"Origin": "http://evil.example"})[0], 403)
        self.assertEqual(self.server.ask("POST", target, headers={"Origin": "null"})[0], 403)
        self.assertEqual(self.server.ask("POST", target, headers={"Origin": own})[0], 404)
        for method in ("PUT", "DELETE"):
            self.assertEqual(self.server.ask(method, "/api/v1/users/x", headers={"Origin": "http://evil.example"})[0], 403)
        self.assertEqual(self.server.ask("DELETE", "/api/v1/users/x", headers={"Origin": own})[0], 404)

    def test_bodies(self):
        target = b"/api/v1/pipelines/x/pause"
        length = lambda size: b"Host: localhost\r\nContent-Length: %d\r\n" % size
        self.assertEqual(self.status(target, "POST", length(65536), b"x" * 65536), 404)
        self.assertEqual(self.status(target, "POST", length(65537), b"x" * 65537), 413)
        self.assertEqual(self.status(target, "POST", b"Host: localhost\r\nContent-Length: 99999999999999999999\r\n"), 413)
        chunks = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(5)) + b"0\r\n\r\n"
        self.assertEqual(self.status(target, "POST", b"Host: localhost\r\nTransfer-Encoding: chunked\r\n", chunks), 413)
        self.assertIn(self.status(target, "POST", b"Host: localhost\r\nTransfer-Encoding: chunked\r\n", b"zz\r\n\r\n"), (400, None))
        self.assertIn(self.status(target, "POST", b"Host: localhost\r\nContent-Length: -1\r\n"), (400, 413, None))

    def test_noise(self):
        draw = random.Random(9644)
        seeds = [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /api/v1/pipelines/x/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
                 b"GET /api/v1/topics?limit=1&cursor=a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n"]
        for _ in range(300):
            data = bytearray(draw.choice(seeds))
            for _ in range(draw.randrange(1, 5)):
                at = draw.randrange(len(data))
                what = draw.randrange(3)
                if what == 0:
                    data[at] = draw.randrange(256)
                elif what == 1:
                    del data[at:at + draw.randrange(9)]
                else:
                    data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(9)))
                data = data or bytearray(b"x")
            self.raw(bytes(data), half=True)

    def test_many_at_once(self):
        wires = [socket.create_connection(("127.0.0.1", self.server.http_port), timeout=LIMIT_S) for _ in range(100)]
        for wire in wires:
            wire.sendall(b"GET /livez HT")
        self.assertEqual(self.get("/livez"), {"status": "alive"})
        for wire in wires:
            wire.sendall(b"TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for wire in wires:
            with wire:
                self.assertTrue(wire.recv(100).startswith(b"HTTP/1.1 200"))


class Command(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-http-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data = os.path.join(self.home, "data")

    def file(self, text):
        path = os.path.join(self.home, "shop.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def refused(self, code, said, *words):
        done = subprocess.run([WEIR, "serve", "--data", self.data, "--kafka", "127.0.0.1:0", *words], capture_output=True, text=True, timeout=LIMIT_S,
                              env=environment())
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(said, done.stderr)

    def start(self, *words):
        server = Server(self.data, *words)
        self.addCleanup(server.end)
        return server

    def test_addresses(self):
        self.refused(2, "there is no authentication", "--http", "0.0.0.0:0")
        self.refused(2, "--http is HOST:PORT", "--http", "nowhere")
        self.refused(2, "numeric address", "--http", "example.org:1")
        server = self.start()
        self.data += "-other"
        self.refused(1, "already in use", "--http", server.http_address)

    def test_a_hangup_ends_nothing(self):
        server = self.start()
        for count in (1, 2):
            server.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + LIMIT_S
            while server.said().count("SIGHUP, and there is nothing to read again: this server has no certificate; it goes on") < count:
                self.assertIsNone(server.process.poll(), server.said())
                self.assertLess(time.monotonic(), until)
        self.assertEqual(server.get("/livez")[0], 200)
        self.assertEqual(server.stop(), 0)

    def test_files_are_judged_before_anything_listens(self):
        self.refused(2, "line 1, column 8", self.file("CREATE TABEL x (a text);"))
        self.refused(2, "nothing to run", self.file("CREATE TABLE x (a text);"))
        self.refused(2, "cannot read", os.path.join(self.home, "none.sql"))

    def test_missing_sources_are_made_and_positions_outlive_the_server(self):
        job = self.file(JOB)
        server = self.start(job)
        self.assertEqual(server.get("/api/v1/topics/orders")[1]["partition_count"], 3)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(json.loads(server.said().splitlines()[-1])["rows_in"], 0)
        weir("produce", "orders", data=self.data, stdin="".join(json.dumps(row) + "\n" for row in ROWS))
        server = self.start(job)
        while server.get("/api/v1/pipelines")[1]["pipelines"][0]["rows"]["in"] < len(ROWS):
            pass
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(LIMIT_S), 0)
        server.process.stdout.close()
        server = self.start(job)
        while server.get("/readyz")[0] != 200:
            pass
        self.assertEqual(server.get("/api/v1/pipelines")[1]["pipelines"][0]["rows"]["in"], len(ROWS))

    def test_a_missing_source_is_an_error_when_nothing_may_be_made(self):
        server = self.start("--no-auto-create")
        self.assertEqual(server.stop(), 0)
        done = subprocess.run([WEIR, "serve", self.file(JOB), "--data", self.data, "--kafka", "127.0.0.1:0", "--no-auto-create"], capture_output=True,
                              text=True, timeout=LIMIT_S, env=environment())
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("source topic orders does not exist", done.stderr)


if __name__ == "__main__":
    unittest.main()
