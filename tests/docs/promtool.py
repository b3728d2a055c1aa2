#!/usr/bin/env python3
"""Prometheus's promtool over what weir tells Prometheus.

    tests/docs/promtool.py [BUILD_DIR]         build/release unless said otherwise

check rules   docs/operations/alerts.yml
test rules    alerts_test.yml: when each alert fires, and when it does not. Then each rule is changed in one thing after the other (its number, its comparison, its time, its
              labels, its text; left out), and promtool must notice every time
check metrics what a server with a pipeline and a group tells at /metrics to who asks as Prometheus did before OpenMetrics

promtool is the one on the PATH, else that of Debian's package, taken out of it into build/promtool: installing the package would start a Prometheus. Exit code: 0, 1, or 77
with the reason when it cannot be got.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "release").resolve()
os.environ["WEIR_BUILD_DIR"] = str(BUILD)
sys.path.insert(0, str(HERE.parent / "support"))
from http_server import Server, weir

LIMIT_S = 120
JOB = """CREATE TABLE orders (shop text NOT NULL, amount bigint, ts timestamptz) WITH (event_time = 'ts');
CREATE MATERIALIZED VIEW hourly AS SELECT shop, sum(amount) AS revenue FROM tumble(orders, ts, INTERVAL '1 hour') GROUP BY shop, window_start;
"""
# kafka_exporter's spelling, which is older than the rule that it is against.
SPELT_OTHERWISE = {f'kafka_consumergroup_{what}_sum non-histogram and non-summary metrics should not have "_sum" suffix' for what in ("current_offset", "lag")}


def say(text):
    print(f"promtool: {text}", flush=True)


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=LIMIT_S, **options)


def get_promtool():
    """Its path, or None after having said why."""
    found = shutil.which("promtool")
    folder = ROOT / "build" / "promtool"
    ours = folder / "usr" / "bin" / "promtool"
    if found or ours.exists():
        return found or ours
    if shutil.which("apt-get") is None:
        return say("skipped: there is no promtool, and no apt-get to get Debian's package prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    download = run("apt-get", "download", "-q", "prometheus", cwd=folder)
    if download.returncode != 0 and run("apt-get", "update", "-q").returncode == 0:
        download = run("apt-get", "download", "-q", "prometheus", cwd=folder)
    packages = list(folder.glob("prometheus_*.deb"))
    if download.returncode != 0 or not packages:
        return say(f"skipped: apt-get cannot get Debian's package prometheus: {(download.stderr.strip() or '?').splitlines()[-1]}")
    unpacked = subprocess.run(f"dpkg-deb --fsys-tarfile '{packages[0]}' | tar -xf - -C '{folder}' ./usr/bin/promtool", shell=True, capture_output=True, text=True, timeout=LIMIT_S)
    packages[0].unlink()
    return ours if ours.exists() else say(f"skipped: {packages[0].name} has no promtool: {unpacked.stderr.strip()}")


# ---- rules ----


def mutants(rules):
    """(what was changed, the rules with it)."""
    head, *alerts = re.split(r"(?m)^(?=      - alert: )", rules)
    for i, alert in enumerate(alerts):
        name = re.match(r"\s*- alert: (\w+)", alert)[1]
        with_one = lambda changed: head + "".join(alerts[:i] + [changed] + alerts[i + 1:])
        yield f"{name} is left out", with_one("")
        expr = re.search(r"(?m)^        expr: .*$", alert)[0]
        # The last comparison with a number, its number, and every time range.
        for match in re.finditer(r" (>|<|==) ([\d.]+)", expr):
            operator, number = match[1], match[2]
            other = {">": "<=", "<": ">=", "==": "!="}[operator]
            place = lambda text: with_one(alert.replace(expr, expr[:match.start()] + text + expr[match.end():]))
            yield f"{name}: {operator} becomes {other}", place(f" {other} {number}")
            yield f"{name}: {number} is another number", place(f" {operator} {float(number) * 2 + 1 if operator == '>' else float(number) / 3 - 1}")
        wait = re.search(r"(?m)^        for: (\d+)m$", alert)
        if wait:
            yield f"{name}: waits longer", with_one(alert.replace(wait[0], f"        for: {int(wait[1]) + 1}m"))
            yield f"{name}: waits less", with_one(alert.replace(wait[0], f"        for: {int(wait[1]) - 1}m"))
        for old, new in (("severity: ", "severity: not-"), ('summary: "', 'summary: "not '), ("by (app, stage", "by (app, topic"), ("by (consumergroup, topic", "by (consumergroup, partition"),
                         ("max by", "min by"), ("min by", "max by"), ('fate="dead"', 'fate="late"'), ("histogram_quantile(0.99", "histogram_quantile(0.9"), ("(app, le)", "(le)")):
            if old in alert:
                yield f"{name}: {old} becomes {new}", with_one(alert.replace(old, new, 1))


def check_rules(promtool):
    path = ROOT / "docs" / "operations" / "alerts.yml"
    done = run(promtool, "check", "rules", path)
    rules = path.read_text(encoding="utf-8")
    count = len(re.findall(r"(?m)^      - alert: ", rules))
    if done.returncode != 0 or f"{count} rules found" not in done.stdout:
        return say(f"FAILED: check rules: {done.stdout}{done.stderr}") or 1
    done = run(promtool, "test", "rules", HERE / "alerts_test.yml")
    if done.returncode != 0:
        return say(f"FAILED: test rules: {done.stdout}{done.stderr}") or 1
    tests = (HERE / "alerts_test.yml").read_text(encoding="utf-8")
    failed = noticed = 0
    with tempfile.TemporaryDirectory(prefix="weir-promtool-") as name:
        folder = Path(name)
        (folder / "test.yml").write_text(tests.replace("../../docs/operations/alerts.yml", "alerts.yml"), encoding="utf-8")
        for what, changed in mutants(rules):
            (folder / "alerts.yml").write_text(changed, encoding="utf-8")
            if run(promtool, "check", "rules", folder / "alerts.yml").returncode != 0:
                say(f"FAILED: {what}: that is no rule any more")
            elif run(promtool, "test", "rules", folder / "test.yml").returncode == 0:
                say(f"FAILED: {what}, and no test notices")
            else:
                noticed += 1
                continue
            failed += 1
    say(f"{count} rules hold, and {noticed} changed ones do not")
    return 1 if failed else 0


# ---- metrics ----


def check_metrics(promtool):
    home = tempfile.mkdtemp(prefix="weir-promtool-")
    try:
        data, job = os.path.join(home, "data"), os.path.join(home, "shop.sql")
        Path(job).write_text(JOB, encoding="utf-8")
        weir("produce", "orders", data=data, stdin='{"shop":"a","amount":1,"ts":1772352000000}\n{"amount":1}\n')
        weir("consume", "orders", "--group", 'audit "1"', "--max", "1", data=data)
        server, text = Server(data, job), ""
        try:
            while "weir_watermark_seconds{" not in text:      # there once a row was committed
                status, _, text = server.ask("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4"})
                if status != 200:
                    return say(f"FAILED: /metrics is {status}: {text}") or 1
        finally:
            server.end()
    finally:
        shutil.rmtree(home)
    done = run(promtool, "check", "metrics", input=text)
    said = {line for line in (done.stdout + done.stderr).splitlines() if line}
    if done.returncode not in (0, 3) or said != SPELT_OTHERWISE:
        return say(f"FAILED: check metrics ends with {done.returncode}: {said ^ SPELT_OTHERWISE}") or 1
    broken = run(promtool, "check", "metrics", input=text.replace("# TYPE weir_rows_total counter", "# TYPE weir_rows_total gauge"))
    if "weir_rows_total non-counter metrics" not in broken.stdout + broken.stderr:
        return say("FAILED: check metrics takes a gauge for a counter") or 1
    families = len(re.findall(r"(?m)^# TYPE ", text))
    say(f"{families} families of /metrics are what they have to be")
    return 0


def main():
    promtool = get_promtool()
    if promtool is None:
        return 77
    return check_rules(promtool) | check_metrics(promtool)


if __name__ == "__main__":
    sys.exit(main())
