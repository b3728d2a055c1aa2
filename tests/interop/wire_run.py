"""wire_run.py: programs of clients, run within limits, and what they must have done; for wire_clients.py and what it includes."""
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from kafka_broker import Failed, Unavailable

LIMIT_S = 200
FETCH_S = 600


def say(text):
    print(text, flush=True)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Unavailable(f"there is no {program} here")


def run(command, **options):
    """What it prints; Failed with its last words."""
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=LIMIT_S, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} … {command[-1]} took longer than {LIMIT_S} s")
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(c) for c in command)[-300:]} ended with {done.returncode}:\n{(done.stderr + done.stdout)[-3000:]}")
    return done.stdout


def fetch(what, command, **options):
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=FETCH_S, **options)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} did not come within {FETCH_S} s")
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise Unavailable(f"cannot get {what}: {lines[-1] if lines else '?'}")
    return done.stdout


def same(got, expected, what):
    if got != expected:
        raise Failed(f"{what}:\n{got}\ninstead of\n{expected}")


def check(condition, what):
    if not condition:
        raise Failed(what)


def until(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() >= deadline:
            raise Failed(f"did not happen within {LIMIT_S} s: {what()}")
        time.sleep(0.05)
