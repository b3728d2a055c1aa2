#!/usr/bin/env python3
"""Reads a metrics file with Prometheus' own OpenMetrics parser and compares it with the table of names in the documentation.

    openmetrics.py FILE docs/operations.md      prints "name type {labels} value" of each sample; 77: the parser is not installed
"""
import re
import sys

try:
    from prometheus_client.openmetrics import parser
except ImportError:
    sys.exit(77)


def documented(path):
    """name -> type, from the rows | `weir_…` | type | …"""
    rows = re.findall(r"^\| `(weir_\w+)` \| (\w+) \|", open(path, encoding="utf-8").read(), re.M)
    assert len(rows) == len(dict(rows)), "a name is documented twice"
    return dict(rows)


def main(path, docs):
    text = open(path, encoding="utf-8").read()
    told = {}
    for family in parser.text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        told[name] = family.type
        assert family.documentation, f"{name} has no help"
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            print(f"{sample.name} {family.type} {{{labels}}} {float(sample.value)!r}")
    wanted = documented(docs)
    if told != wanted:
        missing, extra = sorted(set(wanted.items()) - set(told.items())), sorted(set(told.items()) - set(wanted.items()))
        sys.exit(f"{docs} and the metrics differ: only documented {missing}, only told {extra}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
