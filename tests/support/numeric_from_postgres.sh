#!/bin/bash
# Writes tests/unit/operators/data/numeric.tsv: what PostgreSQL 15 answers to a few thousand operations on numeric.
#
# test_numeric.c holds our arithmetic against this table; running the test needs no PostgreSQL, only changing the cases does:
#     apt install postgresql-15; tests/support/numeric_from_postgres.sh
# With --check the table stays as it is, and an answer that differs from it is an error: what ./tests/run.sh --ci asks.
#
# A line: operation, left, right, answer, separated by tabs. Operations of one operand leave the right side empty; a list is separated
# by spaces. Answers that need more than 38 digits or a scale over 38 are left out, because ours end there.
set -euo pipefail
cd "$(dirname "$0")/../.."
table=$PWD/tests/unit/operators/data/numeric.tsv
. tests/support/postgres_server.sh

ask -At -F "$(printf '\t')" >"$dir/numeric.tsv" <<'SQL'
create function pg_temp.fits(n numeric) returns boolean immutable language sql as
    $$ select scale(n) <= 38 and length(translate(n::text, '-.', '')) <= 38 $$;
create temp table v(t text);
insert into v values
    ('0'), ('0.00'), ('1'), ('-1'), ('2'), ('3'), ('-7'), ('10'), ('0.1'), ('0.5'), ('-0.05'), ('1.50'), ('2.5'), ('9.99'),
    ('100'), ('9999'), ('10000'), ('10001'), ('0.0001'), ('0.00009999'), ('123456.789'), ('-99999.99'),
    ('9223372036854775807'), ('-9223372036854775808'), ('18446744073709551616'), ('12345678901234567890.12345'),
    ('0.0000000000000000001'), ('99999999999999999999999999999999999999'), ('3.14159265358979323846264338327'),
    ('1000000000000000000000'), ('0.3333333333333333'), ('7919.000000');

select 'add', a.t, b.t, r from v a, v b, lateral (select a.t::numeric + b.t::numeric) x(r) where pg_temp.fits(r);
select 'subtract', a.t, b.t, r from v a, v b, lateral (select a.t::numeric - b.t::numeric) x(r) where pg_temp.fits(r);
select 'multiply', a.t, b.t, r from v a, v b, lateral (select a.t::numeric * b.t::numeric) x(r) where pg_temp.fits(r);
select 'divide', a.t, b.t, r from v a, v b,
    lateral (select a.t::numeric / nullif(b.t::numeric, 0)) x(r) where pg_temp.fits(r);
select 'divide', a.t, b.t, 'division by zero' from v a, v b where b.t::numeric = 0 and a.t in ('0', '1');
select 'modulo', a.t, b.t, r from v a, v b,
    lateral (select a.t::numeric % nullif(b.t::numeric, 0)) x(r) where pg_temp.fits(r);
select 'compare', a.t, b.t, case when a.t::numeric < b.t::numeric then -1 when a.t::numeric > b.t::numeric then 1 else 0 end
    from v a, v b;
select 'negate', t, '', -t::numeric from v;
select 'round', t, s, r from v, generate_series(-6, 8) s, lateral (select round(t::numeric, s)) x(r) where pg_temp.fits(r);
select 'truncate', t, s, r from v, generate_series(-6, 8) s, lateral (select trunc(t::numeric, s)) x(r) where pg_temp.fits(r);
select 'floor', t, '', floor(t::numeric) from v;
select 'ceil', t, '', ceil(t::numeric) from v;
select 'canonical', t, '', trim_scale(t::numeric) from v;
select 'to_double', t, '', t::numeric::float8 from v;

create temp table h(t text);
insert into h values ('0.5'), ('1.5'), ('-0.5'), ('-1.5'), ('2.4999'), ('-2.5001'), ('0.05'), ('0.045'), ('-0.055'), ('949.9'), ('99.5'), ('5'), ('-45'), ('55');
select 'round', t, s, round(t::numeric, s) from h, generate_series(-3, 3) s;
select 'to_i64', t, '', t::numeric::int8 from h;
select 'to_i64', t, '', t::numeric::int8 from v where t::numeric between -9223372036854775808 and 9223372036854775807;
select 'to_i64', t, '', 'out of range' from v where t::numeric not between -9223372036854775808 and 9223372036854775807;

create function pg_temp.fit(t text, p int, s int) returns text language plpgsql as $$
declare r text;
begin
    execute format('select %L::numeric(%s,%s)::text', t, p, s) into r;
    return r;
exception when numeric_value_out_of_range then return 'out of range';
end $$;
select 'fit', t, p || ' ' || s, pg_temp.fit(t, p, s) from v, (values (1, 0), (5, 2), (10, 4), (38, 0), (3, -2), (2, 4)) f(p, s);

create temp table e(t text);
insert into e values ('1e3'), ('1.5e3'), ('1.50e1'), ('1.5e-3'), ('-2E+2'), ('0e10'), ('0e-3'), ('123.4500e1'), ('007'), ('+5'), ('-0'), ('-0.00'),
    ('12e-12'), ('1e37'), ('1e-38'), ('0.00000e5'), ('99999999999999999999.999999999999999999'), ('1234567890123456789'),
    ('123456789012345678.90'), ('1e18'), ('1.000000000000000000000');
select 'parse', t, '', t::numeric from e;
select 'parse', t, '', t::numeric from v;

create temp table f(t text);
insert into f values ('0'), ('1'), ('-1'), ('0.1'), ('0.30000000000000004'), ('1e15'), ('1e20'), ('123456789.123456789'), ('-2.5'), ('1e-7'),
    ('4.35'), ('100000000000000000'), ('9007199254740993'), ('1234567890123456'), ('3.141592653589793'), ('-1e-20'), ('1e37'), ('0.1e-15');
select 'from_double', t, '', t::float8::numeric from f;

create temp table l(t text);
insert into l values ('1 2'), ('1 2 3'), ('0.1 0.2 0.3'), ('1 1 2'), ('10 10.00 11'), ('-1 -2 -4'), ('99999999999999999999999999999999999999 1'),
    ('99999999999999999999999999999999999999 99999999999999999999999999999999999999'), ('0 0 0'), ('0.00 0.0'), ('12.50 17.85 6 339.75'),
    ('0.0001 0.0002 0.0004'), ('9223372036854775807 9223372036854775807 5'), ('5 -5 1'), ('1000000 1 1'), ('0.5'), ('7'), ('7.10 7.2 7.345');
select 'sum', t, '', r from l, lateral (select sum(x::numeric) from unnest(string_to_array(t, ' ')) x) s(r) where pg_temp.fits(r);
select 'average', t, '', r from l, lateral (select avg(x::numeric) from unnest(string_to_array(t, ' ')) x) s(r) where pg_temp.fits(r);
SQL
if [ "${1-}" = --check ]; then
    diff "$table" "$dir/numeric.tsv" >&2
    echo "PostgreSQL says the same in $(wc -l <"$table") cases"
    exit 0
fi
cat "$dir/numeric.tsv" >"$table"
echo "$(wc -l <"$table") cases in $table"
