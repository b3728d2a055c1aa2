#!/bin/sh
# Fills tests/unit/runtime/data/copy.tsv with what PostgreSQL 15 reads out of files.
#
# The file holds one small file a line, tab-separated: the options that it is copied with (a number, see OPTIONS below and test_copy_syntax.c), its bytes in
# hexadecimal, and what a table of two text columns then holds: = and the rows, apart by ";", fields by ",", each in hexadecimal or - for NULL; or ! when
# COPY fails. Files are drawn from the characters that mean something, by a generator that always starts alike.
#
# With --check the file stays as it is, and an answer that differs from it is an error: what ./tests/run.sh --ci asks.
#
# Needs: postgresql-15 (apt).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
table=$here/../unit/runtime/data/copy.tsv
. "$here/postgres_server.sh"

python3 - "$dir" >"$dir/run.sql" <<'PY'
import os, random, re, sys
OPTIONS = ["FORMAT csv", "FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\'", "FORMAT csv, NULL 'N'", "FORMAT text", "FORMAT text, DELIMITER ',', NULL ''",
           "FORMAT csv, ESCAPE '\\'", "FORMAT csv, FORCE_NULL (a), FORCE_NOT_NULL (b)"]
random.seed(15)
print("\\pset format unaligned\n\\pset tuples_only on\nSET client_min_messages = error;")
print("CREATE TABLE t (a text, b text);")
print("""CREATE FUNCTION try(path text, options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    TRUNCATE t;
    EXECUTE format('COPY t FROM %L (%s)', path, options);
    SELECT string_agg(coalesce(encode(convert_to(a, 'UTF8'), 'hex'), '-') || ',' || coalesce(encode(convert_to(b, 'UTF8'), 'hex'), '-'), ';' ORDER BY ctid) INTO result FROM t;
    RETURN '=' || coalesce(result, '');
EXCEPTION WHEN OTHERS THEN
    RETURN '!';
END $$;""")
os.mkdir(sys.argv[1] + "/files")
os.chmod(sys.argv[1], 0o755)
for number in range(4000):
    options = number % len(OPTIONS)
    is_text = "text" in OPTIONS[options]
    delimiter, quote = "\t,"[options == 4] if is_text else ",;"[options == 1], '"\''[options == 1]
    letters = [delimiter] * 4 + ["\n"] * 3 + (["\\", "\\", "N", "n", "0", "1", "7", "x", "4", "a", "t", "é"] if is_text else [quote] * 4 + ["\\", "N", "a", " ", "é", "\\" + quote])
    text = ""
    for _ in range(random.choice([0, 2, 4, 6, 9, 14, 20])):
        text += random.choice(letters)
        if text[-1:] == "\n" and random.random() < 0.04 and text.count(quote) % 2 == 0 and text[-2:] != "\\\n":
            text += "\\.\n"
    if random.random() < 0.5:  # mostly rows that are some: lines of one delimiter
        lines = [line if line == "\\." else line.replace(delimiter, "", max(0, line.count(delimiter) - 1)) if delimiter in line else line + delimiter for line in text.split("\n")[:-1]]
        text = "\n".join(lines) + ("\n" if lines else "")
    if random.random() < 0.15:
        text = text.replace("\n", "\r\n")
    if is_text and "\\\r" in text:
        continue  # what that is depends on how the first line ends
    path = "%s/files/%d" % (sys.argv[1], number)
    open(path, "w", newline="", encoding="utf-8").write(text)
    print("SELECT '%d' || E'\\t' || '%s' || E'\\t' || try('%s', '%s');" % (options, text.encode().hex(), path, OPTIONS[options].replace("'", "''")))
PY
chmod -R a+rX "$dir/files"
ask <"$dir/run.sql" >"$dir/copy.tsv"
if [ "${1-}" = --check ]; then
    diff "$table" "$dir/copy.tsv" >&2
    echo "PostgreSQL reads the same out of $(wc -l <"$table") files"
    exit 0
fi
cat "$dir/copy.tsv" >"$table"
echo "$(wc -l <"$table") files, $(grep -c '!$' "$table") with errors" >&2
