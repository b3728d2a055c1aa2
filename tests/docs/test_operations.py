#!/usr/bin/env python3
"""The dashboard and the alert rules of docs/operations: every metric and every label that they name is told by a server that runs a job."""
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from http_server import Server, weir

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
JOB = """CREATE TABLE orders (shop text NOT NULL, amount bigint, ts timestamptz) WITH (event_time = 'ts');
CREATE MATERIALIZED VIEW hourly AS SELECT shop, sum(amount) AS revenue FROM tumble(orders, ts, INTERVAL '1 hour') GROUP BY shop, window_start;
"""
WORDS = {"sum", "by", "max", "min", "rate", "increase", "deriv", "changes", "histogram_quantile", "and", "or", "on", "label_values"}


def expressions():
    """(place, PromQL) of both documents."""
    with open(os.path.join(ROOT, "docs/operations/grafana.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    with open(os.path.join(ROOT, "docs/operations/alerts.yml"), encoding="utf-8") as file:
        alert = None
        for line in file:
            found = re.match(r"\s*(?:- )?(alert|expr): (.*)$", line)
            if found and found[1] == "alert":
                alert = found[2]
            elif found:
                yield alert, found[2]


def names(expression):
    """The metrics of an expression, and the labels that it groups by or asks for."""
    bare = re.sub(r'"[^"]*"', '""', re.sub(r"\[[^]]*\]", "", expression))
    labels = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", bare) for label in group.split(",")}
    labels |= {label for matcher in re.findall(r"{([^}]*)}", bare) for label in re.findall(r"(\w+) *=~?", matcher)}
    bare = re.sub(r"\bby \([^)]*\)|{[^}]*}", "", bare)
    if bare.startswith("label_values"):
        labels |= set(re.findall(r", (\w+)\)", bare))
        bare = re.sub(r", \w+\)", ")", bare)
    return {word for word in re.findall(r"[a-zA-Z_]\w+", bare) if word not in WORDS}, labels


class Operations(unittest.TestCase):
    def test_what_is_named_is_told(self):
        home = tempfile.mkdtemp(prefix="weir-operations-")
        self.addCleanup(shutil.rmtree, home)
        data, job = os.path.join(home, "data"), os.path.join(home, "shop.sql")
        with open(job, "w", encoding="utf-8") as file:
            file.write(JOB)
        weir("produce", "orders", data=data, stdin='{"shop":"a","amount":1,"ts":1772352000000}\n{"amount":1}\n')
        weir("consume", "orders", "--group", "audit", "--max", "1", data=data)
        server = Server(data, job)
        self.addCleanup(server.end)
        told = {}
        while "weir_watermark_seconds" not in told:        # there once a row was committed
            told = {}
            for name, labels in re.findall(r"^(\w+)(?:{(.*)})? \S+$", server.ask("GET", "/metrics")[2], re.M):
                told.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
        seen = 0
        for place, expression in expressions():
            metrics, labels = names(expression)
            self.assertTrue(metrics, place)
            for metric in metrics:
                self.assertIn(metric, told, place)
                self.assertLessEqual(labels, told[metric], (place, metric))
                seen += 1
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    unittest.main()
