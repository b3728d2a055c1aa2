#!/usr/bin/env python3
"""Runs what the documents tell people to type.

    test_docs.py             README.md, docs/guide.md, docs/sql.md, docs/testing-your-jobs.md, docs/log.md, docs/log-api.md, docs/configuration.md, docs/kafka.md, docs/security.md and the examples' READMEs against the build directory
    test_docs.py --by-hand   their blocks that start with cmake, in a fresh clone, with a clean rebuild in under two minutes

In each document, in order: a ```c block must compile without a warning, and is saved under the name that its first line gives
(/* name.c …); one that begins with /* from PATH */ stands in that file, to the letter. The ```sh blocks run as one bash session with -euo pipefail, in a directory that holds build/release and examples as
a clone does. A ```text block right after a ```sh block is what it prints on stdout, to the letter.

Blocks that install packages or build (./examples/run.sh, ./tests/run.sh, cmake) do not run here: the scripts are what .ci/run
runs, which is checked, and the cmake blocks are what --by-hand runs.
"""
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from jobs import BUILD, ROOT

DOCUMENTS = ["README.md", "docs/guide.md", "docs/sql.md", "docs/testing-your-jobs.md", "docs/log.md", "docs/operations.md", "docs/http.md", "docs/log-api.md", "docs/configuration.md", "docs/kafka.md",
             "docs/security.md",
             *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/README.md"))]
CC = os.environ.get("CC", "cc")
SCRIPTS = re.compile(r"\./(examples|tests)/run\.sh")
REBUILD_LIMIT_SECONDS = 120


def blocks(document):
    """(line number, language, text, output) of each fenced block; output is the text block that follows, or None."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fences = list(re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S))
    for at, fence in enumerate(fences):
        after = fences[at + 1] if at + 1 < len(fences) else None
        output = after.group(2) if after and after.group(1) == "text" and not text[fence.end():after.start()].strip() else None
        yield text.count("\n", 0, fence.start()) + 1, fence.group(1), fence.group(2), output


def builds(text):
    return text.lstrip().startswith("cmake ") and "--install" not in text


def compile_block(place, text, directory):
    quoted = re.match(r"/\* from (\S+) \*/\n", text)
    if quoted:
        source = (ROOT / quoted.group(1)).read_text(encoding="utf-8")
        return [] if text[quoted.end():] in source else [f"{place}: this does not stand in {quoted.group(1)}"]
    name = re.match(r"/\* ([\w.-]+\.c)\b", text)
    path = directory / (name.group(1) if name else "block.c")
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([CC, "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/runtime", "-fsyntax-only", str(path)],
                          capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"{place}: does not compile:\n{done.stderr}"]


def run_session(document, shell_blocks, directory):
    """One bash for all blocks of a document; each block's stdout goes to a file of its own."""
    script = ["set -euo pipefail"]
    for number, (line, text, _) in enumerate(shell_blocks):
        script += [f"echo {shlex.quote(f'{document}:{line}')} >.place", "{", text.rstrip("\n"), f"}} >.out-{number}"]
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=directory, capture_output=True, text=True, timeout=550,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode:
        return [f"{(directory / '.place').read_text().strip()}: exit {done.returncode}:\n{done.stderr}"]
    failures = []
    for number, (line, _, output) in enumerate(shell_blocks):
        printed = (directory / f".out-{number}").read_text(encoding="utf-8")
        if output is not None and printed != output:
            failures.append(f"{document}:{line}: prints\n{printed}and the document says\n{output}")
    return failures


def check_waits(document, shell_blocks):
    """What a command in the background writes is waited for, so that no file of that name may lie there from another block: it is emptied a moment later."""
    failures, written = [], set()
    for line, text, _ in shell_blocks:
        for command in (command for command in text.splitlines() if command.endswith(" &")):
            names = re.findall(r">([\w.-]+)", command)
            failures += [f"{document}:{line}: another command has written {name}" for name in written.intersection(names)]
            written.update(names)
    return failures


def check_document(document):
    failures, shell_blocks = [], []
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="weir-docs-") as name:
        directory = Path(name)
        (directory / "build").mkdir()
        (directory / "build/release").symlink_to(BUILD)
        (directory / "examples").symlink_to(ROOT / "examples")
        for line, language, text, output in blocks(document):
            if language == "c":
                failures += compile_block(f"{document}:{line}", text, directory)
            elif language == "sh" and SCRIPTS.search(text):
                for command in filter(None, (part.split("#")[0].strip() for part in text.splitlines())):
                    if command not in ci and not command.endswith(("--full", "--setup")):
                        failures.append(f"{document}:{line}: .ci/run does not run {command}")
            elif language == "sh" and not builds(text):
                shell_blocks.append((line, text, output))
        failures += check_waits(document, shell_blocks) or run_session(document, shell_blocks, directory)
    print(f"{'FAIL' if failures else 'ok  '} {document}: {len(shell_blocks)} blocks of commands")
    return failures


def processor_seconds():
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build_by_hand():
    """The cmake blocks of all documents, each distinct one once, in a clone without any build."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="weir-by-hand-") as name:
        subprocess.run(["git", "clone", "-q", str(ROOT), name], check=True)
        texts = dict.fromkeys(text for document in DOCUMENTS for _, language, text, _ in blocks(document)
                              if language == "sh" and builds(text))
        for text in texts:
            begin, used = time.monotonic(), processor_seconds()
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=name, capture_output=True, text=True)
            # What a machine with something else to do spends on that does not count.
            seconds = min(time.monotonic() - begin, (processor_seconds() - used) / len(os.sched_getaffinity(0)))
            print(f"{seconds:6.1f} s  {' && '.join(text.strip().splitlines())}")
            if done.returncode:
                failures.append(f"{text}exit {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
            elif seconds > REBUILD_LIMIT_SECONDS:
                failures.append(f"{text}took {seconds:.0f} s, more than {REBUILD_LIMIT_SECONDS} s")
        for program in ("weir", "user-counts", "revenue", "pipeline", "billing"):
            if not list(Path(name).glob(f"build/*/{program}")):
                failures.append(f"the build by hand leaves no {program} at the top of its directory")
    return failures


def main():
    if sys.argv[1:] == ["--by-hand"]:
        failures = build_by_hand()
    else:
        failures = [failure for document in DOCUMENTS for failure in check_document(document)]
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
