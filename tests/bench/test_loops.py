#!/usr/bin/env python3
"""Counts the instructions of the engine's inner loops (bench_loops.c) and fails when one takes more than before.

Callgrind's counts do not depend on how busy a machine is. They do depend on the compiler, so loops.json has them by compiler and
major version; a compiler that is not in it is a reason to skip, and so are other build types, other processors and a missing
valgrind. A loop may take up to 5 % more (minor versions of compilers and libraries); one that takes 5 % less is reported, so that
it gets recorded: test_loops.py --record writes the present counts for the present compiler.

simdjson and libc choose their kernels by the processor: simdjson is told to take its westmere kernel, which every x86-64 of the
last ten years has, and libc to do without AVX2.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_SOURCE_DIR") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or ROOT / "build/release")
RECORDED = ROOT / "tests/bench/loops.json"
LOOPS = ("unpack", "decode", "filter", "group", "flush", "pack")
TOLERANCE = 0.05
SKIP = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def compiler():
    """The compiler that built BUILD, as "gcc-12"."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    kind = re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w*)$", cache, re.M)
    if kind is None or kind.group(1) != "Release":
        skip("counts are those of a Release build")
    if re.search(r"^WEIR_SANITIZE:\w+=\w", cache, re.M):
        skip("counts are those of a build without sanitizers")
    cc = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache, re.M).group(1)
    text = subprocess.run([cc, "--version"], capture_output=True, text=True, check=True).stdout
    name = "clang" if "clang" in text else "gcc"
    major = re.search(r"(\d+)\.\d+", text).group(1)
    return f"{name}-{major}"


def build():
    program = BUILD / "bench/bench_loops"
    subprocess.run(["cmake", "--build", str(BUILD), "--target", "bench_loops"], check=True, stdout=subprocess.DEVNULL)
    return program


def inclusive_counts(profile):
    """{loop: instructions} of what callgrind wrote: each loop_… with all that it called."""
    text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", profile],
                          capture_output=True, text=True, check=True).stdout
    counts = {}
    for number, name in re.findall(r"^ *([\d,]+) \([^)]*\) +\S*:loop_([a-z]+)", text, re.M):
        counts[name] = int(number.replace(",", ""))
    return counts


def measure(program):
    """Instructions per row of each loop."""
    environment = dict(os.environ, SIMDJSON_FORCE_IMPLEMENTATION="westmere", LC_ALL="C",
                       GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS")
    with tempfile.TemporaryDirectory() as directory:
        profile = os.path.join(directory, "profile")
        run = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=loop_*",
                              f"--callgrind-out-file={profile}", str(program)],
                             capture_output=True, text=True, env=environment)
        if run.returncode != 0:
            sys.exit(f"callgrind failed:\n{run.stderr}")
        counts = inclusive_counts(profile)
    rows = {name: int(number) for name, number in (line.split() for line in run.stdout.splitlines())}
    if set(counts) != set(LOOPS) or set(rows) != set(LOOPS):
        sys.exit(f"the profile has the loops {sorted(counts)}, the program {sorted(rows)}, expected {sorted(LOOPS)}")
    return {name: round(counts[name] / rows[name], 1) for name in LOOPS}


def compare(recorded, now):
    failures = []
    for name in LOOPS:
        change = now[name] / recorded[name] - 1
        print(f"{name:8} {now[name]:8.1f} instructions a row, recorded {recorded[name]:8.1f} ({change:+.1%})")
        if change > TOLERANCE:
            failures.append(f"{name} takes {change:.1%} more instructions a row than recorded")
        elif change < -TOLERANCE:
            print(f"  {name} got faster: record it with tests/bench/test_loops.py --record")
    return failures


def main():
    if os.uname().machine != "x86_64":
        skip("counts are those of x86-64")
    name = compiler()
    every = json.loads(RECORDED.read_text())
    recording = sys.argv[1:] == ["--record"]
    if name not in every and not recording:
        skip(f"no counts are recorded for {name}")
    try:
        subprocess.run(["valgrind", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        skip("valgrind is not installed")
    now = measure(build())
    if recording:
        every[name] = now
        RECORDED.write_text(json.dumps(every, indent=2, sort_keys=True) + "\n")
    failures = compare(every[name], now)
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
