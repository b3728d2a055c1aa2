#!/usr/bin/env python3
"""Holds what reviewers would otherwise have to remember about the tree.

  - who may include whom, and which library belongs to which folder (the table RULES below);
  - headers compile alone, in C11, and weir.h also as strict C11 and as C++;
  - names of C files are unique, each opens with a comment, and the top level holds the agreed entries only;
  - libweir.so exports exactly the functions that weir.h marks WEIR_API, and carries its SONAME;
  - relative links in the documentation lead somewhere, and shell scripts parse.

Each check is a generator of sentences; a sentence is a failure. Reads WEIR_SOURCE_DIR, WEIR_BUILD_DIR, CC and CXX; without a
built library the export check fails, since CTest runs after the build.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("WEIR_SOURCE_DIR") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or ROOT / "build/release")
CC = os.environ.get("CC", "cc")
CXX = os.environ.get("CXX", "c++")

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE",
             "runtime", "log", "operators", "examples", "tests", "docs"}
C_SUFFIXES = {".c", ".h", ".cc"}

# Folder: the folders whose headers its files may include. The longest matching folder counts.
RULES = {
    "runtime/base": {"runtime/base"},
    "runtime/state": {"runtime/state", "runtime/base"},
    "log": {"log", "runtime/base"},
    "log/kafka": {"log/kafka", "log", "runtime/base"},
    "operators": {"operators", "runtime/state", "runtime/base"},
    "runtime": {"runtime", "runtime/base", "runtime/state", "runtime/sql", "runtime/records", "runtime/http", "runtime/cli", "operators", "log", "log/kafka"},
    "runtime/cli": {"runtime", "runtime/base", "runtime/state", "runtime/sql", "runtime/records", "runtime/http", "runtime/cli", "operators", "log", "log/kafka"},
    "runtime/sql": {"runtime", "runtime/base", "runtime/sql", "operators"},
    "runtime/records": {"runtime", "runtime/base", "runtime/records", "operators", "log"},
    "runtime/http": {"runtime", "runtime/base", "runtime/records", "runtime/http", "operators"},
}
# The engine reaches the log through port.h: these alone may include the log's headers inside runtime/. weir_*.c are the log's own
# part of weir.h, which the engine does not use.
LOG_DOOR = re.compile(r"runtime/(port[a-z_]*\.[ch]|weir_[a-z_]+\.[ch]|records/.*|cli/.*)$")

# Header of a library: where it may be included. tests/ may use every library.
LIBRARIES = {
    r"lmdb\.h": r"runtime/state/.*|log/meta\.c",
    r"jansson\.h": r"runtime/.*",
    r"uv\.h": r"log/kafka/.*|runtime/[^/]*|runtime/http/.*",
    r"microhttpd\.h": r"runtime/http/.*",
    r"curl/.*": r"runtime/cli/.*",
    r"openssl/.*": r"log/kafka/.*",
    r"simdjson\.h": r"operators/[^/]*\.cc",
    r"re2/.*": r"operators/regex\.cc",
    r"(pg_query|protobuf).*": r"operators/.*|runtime/sql/.*",
    r"(lz4|zstd|zlib|snappy).*": r"log/.*",
    r"(isa-l|isal)/.*": r"runtime/base/.*",
    r"xxhash\.h": r"runtime/base/.*",
}


def tracked():
    """Files that git knows, else (a source archive) all files outside build directories and dot directories."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if done.returncode == 0:
        return sorted(name for name in done.stdout.splitlines() if (ROOT / name).is_file())
    skip = re.compile(r"(^|/)(\.|build)")
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*")
                  if path.is_file() and not skip.search(str(path.relative_to(ROOT))))


FILES = tracked()
SOURCES = [name for name in FILES if Path(name).suffix in C_SUFFIXES]


def folder_of(name):
    """The longest folder of RULES that holds the file, or None (examples, tests)."""
    parent = str(Path(name).parent)
    while parent != ".":
        if parent in RULES:
            return parent
        parent = str(Path(parent).parent)
    return None


def includes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
        yield text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def check_includes():
    for name in SOURCES:
        top = name.split("/")[0]
        for line, mark, header in includes(name):
            place = f"{name}:{line}"
            own = (ROOT / header).exists() and header.endswith(".h")
            shared = top == "examples" and header.split("/")[0] in ("common", name.split("/")[1]) and (ROOT / "examples" / header).exists()
            if mark == '"' and not own and not shared:
                yield f'{place}: "{header}" is not a path from the root of the tree'
            if top == "examples":
                if own or (mark == '"' and not shared):
                    yield f"{place}: examples see <weir.h>, common/ and their own folder alone, not {header}"
                continue
            if top == "tests":
                continue
            if own:
                folder, target = folder_of(name), folder_of(header)
                if header.startswith(("tests/", "examples/")):
                    yield f"{place}: the product does not include {header}"
                elif target not in RULES.get(folder, set()):
                    yield f"{place}: {folder} may not include {header}"
                elif folder == "runtime" and target in ("log", "log/kafka") and not LOG_DOOR.match(name):
                    yield f"{place}: the engine reaches the log through runtime/port.h, not through {header}"
            for pattern, allowed in LIBRARIES.items():
                if not own and re.fullmatch(pattern, header) and not re.fullmatch(allowed, name):
                    yield f"{place}: {header} belongs to {allowed}"


def check_names():
    seen = {}
    for name in SOURCES:
        base = Path(name).name
        if base in seen:
            yield f"{name}: the name is taken by {seen[base]}; C files have unique names"
        seen[base] = name
    for name in FILES:
        top = name.split("/")[0]
        if top not in TOP_LEVEL and not top.startswith("."):
            yield f"{top}: not one of the agreed entries of the top level"


def check_openings():
    for name in SOURCES:
        if not (ROOT / name).read_text(encoding="utf-8").startswith("/*"):
            yield f"{name}: does not open with a comment that says what it is"


def check_headers():
    def compile_alone(job):
        name, command = job
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=f'#include "{name}"\n')
        error = next((line for line in done.stderr.splitlines() if "error:" in line), done.stderr.strip())
        return None if done.returncode == 0 else f"{name}: does not compile alone: {error}"

    warnings = ["-Wall", "-Wextra", "-fsyntax-only", "-I."]
    jobs = [(name, [CC, "-std=c11", "-D_GNU_SOURCE", *warnings, "-x", "c", "-"])
            for name in SOURCES if name.endswith(".h") and not name.startswith(("tests/", "examples/"))]
    public = "runtime/weir.h"
    jobs += [(public, [CC, "-std=c11", "-pedantic", "-Werror", *warnings, "-x", "c", "-"]),
             (public, [CXX, "-std=c++11", "-pedantic", "-Werror", *warnings, "-x", "c++", "-"])]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        yield from filter(None, pool.map(compile_alone, jobs))


def check_exports():
    library = BUILD / "libweir.so"
    if not library.exists():
        yield f"{library}: not built"
        return
    text = (ROOT / "runtime/weir.h").read_text(encoding="utf-8")
    promised = set(re.findall(r"^WEIR_API\b[^;(]*?\b(weir_\w+)\(", text, re.M))
    out = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    for name in sorted(promised - exported):
        yield f"libweir.so: weir.h promises {name}, the library does not export it"
    for name in sorted(exported - promised):
        yield f"libweir.so: exports {name}, which weir.h does not declare"
    archive = subprocess.run(["nm", "-g", "--defined-only", str(BUILD / "libweir.a")], capture_output=True, text=True, check=True).stdout
    for kind, name in re.findall(r"^[0-9a-f]+ (\S) (\S+)$", archive, re.M):
        if kind not in "WVu" and name not in promised:
            yield f"libweir.a: {name} is visible to the programs that link it"
    dynamic = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True).stdout
    if "[libweir.so.0]" not in dynamic:
        yield "libweir.so: its SONAME is not libweir.so.0"


def check_documents():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for name in FILES:
        if re.fullmatch(r"docs/[^/]+\.md", name) and name != "docs/README.md" and f"({Path(name).name})" not in index:
            yield f"{name}: docs/README.md does not lead to it"
    for name in FILES:
        path = ROOT / name
        if name.endswith(".md"):
            text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                    yield f"{name}: the link {target} leads nowhere"
        elif name.endswith(".sh") or name == ".ci/run":
            done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
            if done.returncode:
                yield f"{name}: {done.stderr.strip()}"
        if name.endswith((".sh", ".py")) and not os.access(path, os.X_OK) and path.read_text(encoding="utf-8").startswith("#!"):
            yield f"{name}: not executable"


def main():
    failures = 0
    for check in (check_includes, check_names, check_openings, check_headers, check_exports, check_documents):
        found = list(check())
        failures += len(found)
        print(f"{'ok  ' if not found else 'FAIL'} {check.__name__}")
        for sentence in found:
            print(f"     {sentence}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
