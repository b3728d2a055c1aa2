#!/bin/sh
# Makes a golden archive of the format as it is now: tests/golden/make.sh NAME [BUILD_DIR]
#
# Writes NAME.tar.gz (the data directory), NAME.facts (what make_golden was asked for beside the records) and NAME.ndjson.gz (the records, as
# tests/support/kafka_files.py decodes them from the files, with nothing of weir's). An archive that exists is not made again.
set -eu
cd "$(dirname "$0")/../.."
name=${1:?usage: tests/golden/make.sh NAME [BUILD_DIR]}
build=${2:-build/release}
out=tests/golden/$name
[ ! -e "$out.tar.gz" ] || { echo "$out.tar.gz exists; golden archives stay as they are" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/golden/make_golden" "$work/data" >"$out.facts"
PYTHONPATH=tests/support python3 -c '
import pathlib, sys, kafka_files
print("\n".join(kafka_files.directory_lines(pathlib.Path(sys.argv[1]))))
' "$work/data/topics" | gzip -9n >"$out.ndjson.gz"
tar --create --sparse --sort=name --owner=0 --group=0 --numeric-owner --directory "$work" data | gzip -9n >"$out.tar.gz"
ls -l "$out".*
