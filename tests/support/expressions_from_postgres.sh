#!/bin/sh
# Fills tests/unit/operators/data/expressions.tsv with what PostgreSQL 15 says.
#
# The file holds one table and one expression a line, tab-separated:
#   #column  name  type  value of row 1 … value of row 8        (\N is NULL)
#   expression     result in row 1 … result in row 8            (\N is NULL, !22012 an error by its SQLSTATE)
# To add an expression, append a line with it alone and run this script: it keeps the first field of each line and
# asks PostgreSQL for the others. Results are PostgreSQL's text form with TimeZone = UTC and the locale C.UTF-8.
#
# With --check the file stays as it is, and an answer that differs from it is an error: what ./tests/run.sh --ci asks.
#
# Needs: postgresql-15 (apt). Starts a server of its own in a temporary directory; run as root it uses the account postgres.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
table=$here/../unit/operators/data/expressions.tsv
bin=${PG_BIN:-/usr/lib/postgresql/15/bin}
dir=$(mktemp -d /tmp/expressions.XXXXXX)
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as="runuser -u postgres --"
fi
cleanup() {
    $as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap cleanup EXIT

$as "$bin/initdb" -D "$dir/data" -A trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
$as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$dir -c timezone=UTC -c fsync=off" start >/dev/null

python3 - "$table" > "$dir/run.sql" <<'PY'
import sys
columns, expressions = [], []
for line in open(sys.argv[1], encoding='utf-8'):
    fields = line.rstrip('\n').split('\t')
    if fields[0] == '#column':
        columns.append(fields[1:])
    elif fields[0]:
        expressions.append(fields[0])
def quote(text):
    return 'NULL' if text == '\\N' else "'" + text.replace("'", "''") + "'"
print('\\set ON_ERROR_STOP on\n\\pset format unaligned\n\\pset tuples_only on')
print("SET client_min_messages = error;")
print('CREATE TABLE rows (id int, %s);' % ', '.join('%s %s' % (c[0], c[1]) for c in columns))
for row in range(8):
    print('INSERT INTO rows VALUES (%d, %s);' % (row + 1, ', '.join(quote(c[2 + row]) for c in columns)))
print("""CREATE FUNCTION try(expression text, row_id int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE 'SELECT (' || expression || ')::text FROM rows WHERE id = ' || row_id INTO result;
    RETURN coalesce(result, E'\\\\N');
EXCEPTION WHEN OTHERS THEN
    RETURN '!' || SQLSTATE;
END $$;""")
for c in columns:
    print("SELECT %s;" % quote('\t'.join(['#column'] + c)))
for e in expressions:
    print("SELECT %s || E'\\t' || %s;" % (quote(e), " || E'\\t' || ".join("try(%s, %d)" % (quote(e), r + 1) for r in range(8))))
PY
$as "$bin/psql" -X -q -h "$dir" -d postgres -f - < "$dir/run.sql" > "$dir/out.tsv"
if [ "${1-}" = --check ]; then
    diff "$table" "$dir/out.tsv" >&2
    echo "PostgreSQL $("$bin/postgres" -V | awk '{print $3}') says the same of $(grep -vc '^#' "$table") expressions"
    exit 0
fi
cat "$dir/out.tsv" > "$table"
echo "$(grep -vc '^#' "$table") expressions, $(grep -c '!' "$table") lines with errors" >&2
