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
# Needs: postgresql-15 (apt).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
table=$here/../unit/operators/data/expressions.tsv
. "$here/postgres_server.sh"

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
print('\\pset format unaligned\n\\pset tuples_only on')
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
ask < "$dir/run.sql" > "$dir/out.tsv"
if [ "${1-}" = --check ]; then
    diff "$table" "$dir/out.tsv" >&2
    echo "PostgreSQL $("$bin/postgres" -V | awk '{print $3}') says the same of $(grep -vc '^#' "$table") expressions"
    exit 0
fi
cat "$dir/out.tsv" > "$table"
echo "$(grep -vc '^#' "$table") expressions, $(grep -c '!' "$table") lines with errors" >&2
