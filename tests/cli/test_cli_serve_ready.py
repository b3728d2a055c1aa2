#!/usr/bin/env python3
"""weir serve while it restores: its stores were removed, so that all is read from the changelogs again. /readyz is 503 meanwhile and says how far each partition is;
Kafka clients and the other routes are served; once it is 200 the view counts on from what it had."""
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import LIMIT_S, Server, weir
from wire_server import Wire, request, string

JOB = """CREATE TABLE visits (page text NOT NULL) WITH (partitions = 2);
CREATE MATERIALIZED VIEW visits_per_page AS SELECT page, count(*) AS visits FROM visits GROUP BY page;
"""
LIST_OFFSETS = 2
PAGES = 20000
ROUNDS = 6  # each has twice the pages of the one before, until a restore is long enough to be seen


class Ready(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="weir-ready-")
        self.addCleanup(shutil.rmtree, self.home)
        self.data, self.job = os.path.join(self.home, "data"), os.path.join(self.home, "shop.sql")
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB)
        self.pages = 0

    def produce(self, first, end):
        weir("produce", "visits", "--key", "page", "--partitions", "2", data=self.data, stdin="".join(f'{{"page":"page-{i}"}}\n' for i in range(first, end)))

    def grow(self):
        """More pages, each visited once, and no store."""
        more = max(self.pages, PAGES)
        self.produce(self.pages, self.pages + more)
        self.pages += more
        weir("run", self.job, "--until-end", data=self.data)
        stores = os.path.join(self.data, "state", "shop")
        self.assertTrue(os.path.isdir(stores), os.listdir(self.data))
        shutil.rmtree(stores)

    def end_offset(self, wire):
        """Of both partitions together, as a Kafka client asks for it."""
        body = struct.pack(">ii", -1, 1) + string(b"visits") + struct.pack(">iiqiq", 2, 0, -1, 1, -1)
        wire.send(request(LIST_OFFSETS, 1, body))
        answer = wire.response()[1][4 + 2 + len(b"visits") + 4:]
        ends = [struct.unpack(">ihqq", answer[22 * i:22 * i + 22]) for i in range(2)]
        self.assertEqual([(place, error) for place, error, _, _ in ends], [(0, 0), (1, 0)])
        return sum(end for _, _, _, end in ends)

    def watch(self, server):
        """What /readyz told until it was 200: lists of (partition, restored). Between two of its answers a Kafka client gets one, too."""
        wire, told, until = Wire(self, server.port), [], time.monotonic() + LIMIT_S
        while True:
            status, body = server.get("/readyz")
            if status == 200:
                self.assertEqual(body, {"restoring": [], "status": "ready", "tasks": 2, "open": 2})
                return told
            self.assertEqual(status, 503)
            self.assertLess(time.monotonic(), until, body)
            if body["status"] == "restoring":
                self.assertEqual({(part["pipeline"], part["stage"]) for part in body["restoring"]}, {("visits_per_page", "visits_per_page")})
                self.assertEqual((body["tasks"], body["open"]), (2, 2 - len(body["restoring"])))
                told.append([(part["partition"], part["restored"]) for part in body["restoring"]])
            self.assertEqual(self.end_offset(wire), self.pages)
            self.assertEqual(server.get("/livez")[0], 200)
            self.assertEqual(server.get("/api/v1/topics/visits")[0], 200)

    def check(self, told):
        """What is restored only grows, and lies between nothing and all."""
        last = {}
        for parts in told:
            for partition, restored in parts:
                self.assertTrue(0 <= restored <= 1, told)
                self.assertGreaterEqual(restored, last.get(partition, 0), told)
                last[partition] = restored

    def test_while_it_restores(self):
        for _ in range(ROUNDS):
            self.grow()
            server = Server(self.data, self.job)
            self.addCleanup(server.end)
            told = self.watch(server)
            self.check(told)
            seen = any(0 < restored < 1 for parts in told for _, restored in parts)
            if seen:
                break
            self.assertEqual(server.stop(), 0)
        self.assertTrue(seen, told)
        self.goes_on(server)

    def watch_unnamed(self, server):
        """How often /readyz said that something is restored until it was 200; it never said what."""
        count, until = 0, time.monotonic() + LIMIT_S
        while True:
            status, body = server.get("/readyz")
            self.assertEqual(body["restoring"], [])
            if status == 200:
                return count
            self.assertLess(time.monotonic(), until, body)
            count += body["status"] == "restoring" and body["open"] < body["tasks"] == 2

    def test_names_are_for_who_may_know_them(self):
        self.produce(0, 1)
        weir("acl", "add", "*", "--allow", "describe", "--topic", "visits", data=self.data)
        for _ in range(ROUNDS):
            self.grow()
            server = Server(self.data, self.job)
            self.addCleanup(server.end)
            count = self.watch_unnamed(server)
            if count > 0:
                return
            self.assertEqual(server.stop(), 0)
        self.fail("no restore took long enough to be seen")

    def goes_on(self, server):
        """One more visit of each of some pages: the second, which only who has restored the first can know."""
        self.assertEqual(server.stop(), 0)
        self.produce(0, 50)
        weir("run", self.job, "--until-end", data=self.data)
        rows = [json.loads(line) for line in weir("consume", "visits_per_page", "--until-end", "--format", "value", data=self.data).splitlines()]
        counts = {}
        for row in rows:
            counts[row["page"]] = max(row["visits"], counts.get(row["page"], 0))
        self.assertEqual(counts, {f"page-{i}": 2 if i < 50 else 1 for i in range(self.pages)})


if __name__ == "__main__":
    unittest.main()
