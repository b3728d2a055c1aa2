/* test_sql_errors.c: what is wrong in a file of SQL, where, and what to write instead; that each statement with an error is told of
 * once, in the file's order; that nothing of PostgreSQL's grammar is passed over in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/sql/sql.h"

struct told {
    char text[16384];
    int count;
};

static void tell(void *context, const char *text)
{
    struct told *told = context;
    size_t used = strlen(told->text);
    snprintf(told->text + used, sizeof told->text - used, "%s%s", told->count > 0 ? "\n" : "",
             text);
    told->count++;
}

static int compile(const char *text, size_t size, struct told *told)
{
    struct sql_program *program;
    *told = (struct told){.count = 0};
    int rc = sql_compile(text, size, tell, told, &program);
    if (program != NULL)
        assert_int_equal(program->error_count, told->count);
    assert_true((rc == 0) == (told->count == 0));
    sql_program_destroy(program);
    return rc;
}

#define TABLE                                                                                      \
    "CREATE TABLE t (a text, n bigint, ts timestamptz, j jsonb) WITH (event_time = 'ts');\n"

static void messages(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *text; /* behind TABLE */
    } cases[] = {
        {"CREATE VIEW v AS SELECT b, an FROM t;",
         "column \"b\" does not exist in t, line 2, column 25:\n"
         "  CREATE VIEW v AS SELECT b, an FROM t;\n                          ^"},
        {"CREATE VIEW v AS SELECT a FROM tt;",
         "table or view \"tt\" does not exist, line 2, column 32:\n"
         "  CREATE VIEW v AS SELECT a FROM tt;\n                                 ^\nhint: did you "
         "mean \"t\"?"},
        {"CREATE VIEW v AS SELECT x.a FROM t;",
         "there is no table \"x\" in FROM, line 2, column 25:\n"
         "  CREATE VIEW v AS SELECT x.a FROM t;\n                          ^\n"
         "hint: a field of a jsonb column is written as column -> 'field' or column ->> 'field'"},
        {"CREATE VIEW v AS\n  SELECT a\n  FROM t\n  WHERE é > 'é' AND a > 1;",
         "column \"é\" does not exist in t, line 5, column 9:\n    WHERE é > 'é' AND a > 1;\n      "
         "    ^"},
        {"CREATE VIEW v AS SELECT a FROM t WHERE a > 1;",
         "operator > does not compare text with bigint, line 2, column 42:\n"
         "  CREATE VIEW v AS SELECT a FROM t WHERE a > 1;\n"
         "                                           ^\n"
         "hint: write a cast, as in value::numeric"},
        {"CREATE VIEW v AS SELECT a, a FROM t;",
         "two columns are named \"a\", line 2, column 28:\n"
         "  CREATE VIEW v AS SELECT a, a FROM t;\n                             ^\n"
         "hint: give one of them another name with AS"},
        {"CREATE VIEW v AS SELECT n + 1 FROM t;",
         "this expression has no name, line 2, column 25:\n"
         "  CREATE VIEW v AS SELECT n + 1 FROM t;\n                          ^\nhint: give it a "
         "name with AS"},
        {"CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS c FROM t GROUP BY n;",
         "column \"a\" is not grouped by and not inside an aggregate, line 2, column 38:\n"
         "  CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS c FROM t GROUP BY n;\n"
         "                                       ^\nhint: group by it, or write min(…) or max(…) "
         "around it"},
        /* A group's name is not a column of the input: a here is upper(a) only where the whole is. */
        {"CREATE VIEW v AS SELECT upper(a) AS a, a AS b FROM t GROUP BY upper(a);",
         "column \"a\" is not grouped by and not inside an aggregate, line 2, column 40:\n"
         "  CREATE VIEW v AS SELECT upper(a) AS a, a AS b FROM t GROUP BY upper(a);\n"
         "                                         ^\n"
         "hint: group by it, or write min(…) or max(…) around it"},
        {"CREATE MATERIALIZED VIEW v AS SELECT sum(count(*)) AS c FROM t;",
         "aggregates cannot be nested, line 2, column 42:\n"
         "  CREATE MATERIALIZED VIEW v AS SELECT sum(count(*)) AS c FROM t;\n"
         "                                           ^\nhint: aggregate in one view, and again in "
         "the next"},
        {"CREATE TABLE u (a text CHECK (b > 1));",
         "column \"b\" does not exist in u, line 2, column 31:\n"
         "  CREATE TABLE u (a text CHECK (b > 1));\n                                ^"},
        {"CREATE TABLE u (a text OPTIONS (pfad 'x'));",
         "a column has no option pfad, line 2, column 33:\n"
         "  CREATE TABLE u (a text OPTIONS (pfad 'x'));\n                                  ^\n"
         "hint: OPTIONS (path 'properties.page')"},
        {"CREATE TABLE u (a text) WITH (event_time = 'b');",
         "the event time \"b\" is not a column of u, line 2, column 31:\n"
         "  CREATE TABLE u (a text) WITH (event_time = 'b');\n                                ^"},
        {"CREATE TABLE u (a text) WITH (event_time = 'a');",
         "the event time a must be a timestamptz, not text, line 2, column 17:\n"
         "  CREATE TABLE u (a text) WITH (event_time = 'a');\n                  ^\nhint: declare "
         "it as timestamptz"},
        {"CREATE TABLE u (a text) WITH (topic = x);",
         "the value of topic must be a text in quotes or a whole number, line 2, column 31:\n"
         "  CREATE TABLE u (a text) WITH (topic = x);\n                                ^\n"
         "hint: write it as emit = 'changes'"},
        {"INSERT INTO t SELECT a, n, ts, j FROM t;",
         "t would read what it writes (topic t), line 2, column 13:\n"
         "  INSERT INTO t SELECT a, n, ts, j FROM t;\n              ^"},
        {"CREATE TABLE t (a text);", "\"t\" is defined twice, line 2, column 14:\n"
                                     "  CREATE TABLE t (a text);\n               ^"},
        {"CREATE MATERIALIZED VIEW v WITH (emit = 'final') AS SELECT count(*) AS c FROM t;",
         "emit = 'final' needs windows: a group without one never ends, line 2, column 34:\n"
         "  CREATE MATERIALIZED VIEW v WITH (emit = 'final') AS SELECT count(*) AS c FROM t;\n"
         "                                   ^\nhint: FROM tumble(t, ts, INTERVAL '5 minutes') "
         "gives rows windows"},
        {"CREATE VIEW v AS SELECT a, n FROM t UNION ALL\nSELECT n, n FROM t;",
         "column 1 of UNION ALL is text (\"a\") in the first SELECT, bigint in this one, line 3, "
         "column 8:\n  SELECT n, n FROM t;\n         ^\nhint: write a cast"},
        {"CREATE VIEW v AS SELECT a, n FROM t UNION ALL\nSELECT a FROM t;",
         "the first SELECT of UNION ALL has 2 columns, this one 1, line 3, column 8:\n"
         "  SELECT a FROM t;\n         ^"},
        {"CREATE VIEW v AS SELECT a FROM t UNION ALL\nSELECT a FROM t GROUP BY a;",
         "UNION ALL of a grouped SELECT is not supported, line 3, column 8:\n"
         "  SELECT a FROM t GROUP BY a;\n         ^\n"
         "hint: CREATE MATERIALIZED VIEW it, with emit = 'final'"},
        {"CREATE TABLE u (a text); INSERT INTO u SELECT a FROM t; CREATE VIEW w AS SELECT a FROM "
         "u;\n"
         "INSERT INTO t (a) SELECT a FROM w;",
         "t would read what it writes (topic t), line 3, column 13:\n"
         "  INSERT INTO t (a) SELECT a FROM w;\n              ^"},
        {"CREATE MATERIALIZED VIEW m WITH (emit = 'final') AS SELECT window_start, count(*) AS c "
         "FROM "
         "tumble(t, ts, INTERVAL '1 min') GROUP BY window_start;\n"
         "CREATE VIEW v AS SELECT count(*) AS c FROM tumble(m, window_start, INTERVAL '1 h') "
         "GROUP BY window_start;",
         "column \"window_start\" of m would be ambiguous in windows, line 3, column 44:\n"
         "  CREATE VIEW v AS SELECT count(*) AS c FROM tumble(m, window_start, INTERVAL '1 h') "
         "GROUP BY "
         "window_s\n                                             ^\n"
         "hint: give it another name there: window_start AS minute"},
        {"CREATE VIEW v AS SELECT a FROM w;\nCREATE VIEW w AS SELECT a FROM t;",
         "table or view \"w\" does not exist yet: it is made in line 3, line 2, column 32:\n"
         "  CREATE VIEW v AS SELECT a FROM w;\n                                 ^\n"
         "hint: a statement sees what stands before it: move that one up"},
        {"CREATE VIEW v AS SELECT v.a FROM v;",
         "\"v\" reads itself, line 2, column 34:\n"
         "  CREATE VIEW v AS SELECT v.a FROM v;\n                                   ^"},
        {"CREATE VIEW v AS SELECT 1 + count(DISTINCT a) AS n FROM session(t, ts, INTERVAL '1 min') "
         "GROUP BY window_start;",
         "count(DISTINCT …) over sessions is not supported, line 2, column 29:\n"
         "  CREATE VIEW v AS SELECT 1 + count(DISTINCT a) AS n FROM session(t, ts, INTERVAL '1 "
         "min') GROUP BY wi\n"
         "                              ^\nhint: tumble and hop have it"},
        {"SELECT a, COUNT(*) FROM t WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a EMIT CHANGES;",
         "syntax error at or near \"(\", line 2, column 43:\n"
         "  SELECT a, COUNT(*) FROM t WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a EMIT "
         "CHANGES;\n"
         "                                            ^\nhint: SELECT …, window_start FROM "
         "tumble(t, ts, INTERVAL "
         "'5 minutes') GROUP BY …, window_start"},
        {"SELECT a, COUNT(*) FROM t WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a;",
         "syntax error at or near \"(\", line 2, column 43:\n"
         "  SELECT a, COUNT(*) FROM t WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a;\n"
         "                                            ^\nhint: SELECT …, window_start FROM "
         "tumble(t, ts, INTERVAL "
         "'5 minutes') GROUP BY …, window_start"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        struct told told;
        snprintf(text, sizeof text, "%s%s", TABLE, cases[i].sql);
        assert_int_equal(compile(text, strlen(text), &told), ERR_INVALID);
        assert_string_equal(told.text, cases[i].text);
    }
}

/* Every statement by itself, in the file's order; what reads a broken one is not told of. */
static void each_error_once(void **state)
{
    (void)state;
    struct told told;
    const char *text = TABLE "CREATE VIEW v AS SELECT b FROM t;\n"
                             "CREATE VIEW w AS SELECT c FROM v;\n"
                             "CREATE STREAM s AS SELECT;\n"
                             "CREATE TABLE u (a varchar);\n"
                             "INSERT INTO x SELECT a FROM u;\n"
                             "INSERT INTO y SELECT z FROM t;\n";
    assert_int_equal(compile(text, strlen(text), &told), ERR_INVALID);
    assert_int_equal(told.count, 4);
    const char *first = strstr(told.text, "line 2,"), *second = strstr(told.text, "line 4,"),
               *third = strstr(told.text, "line 5,"), *fourth = strstr(told.text, "line 7,");
    assert_true(first != NULL && second > first && third > second && fourth > third);
}

/* What goes, and what stays because it is there. */
static void names_that_go(void **state)
{
    (void)state;
    struct told told;
    static const struct {
        const char *sql, *error; /* NULL: none */
    } cases[] = {
        {"DROP TABLE t; CREATE TABLE t (b text); INSERT INTO o SELECT b FROM t;", NULL},
        {"DROP TABLE t; INSERT INTO o SELECT a FROM t;", "table or view \"t\" does not exist"},
        {"CREATE VIEW v AS SELECT a FROM t; INSERT INTO o SELECT a FROM v; DROP VIEW v; DROP TABLE "
         "IF EXISTS t, w;",
         NULL},
        {"DROP TABLE IF EXISTS x; DROP VIEW IF EXISTS x;", NULL},
        {"DROP MATERIALIZED VIEW x;", "hint: a view that ran before ends when"},
        {"CREATE MATERIALIZED VIEW m AS SELECT a FROM t; DROP MATERIALIZED VIEW m; INSERT INTO m "
         "SELECT n FROM t;",
         NULL},
        {"CREATE MATERIALIZED VIEW m AS SELECT a FROM t; DROP VIEW m;",
         "\"m\" was made by CREATE MATERIALIZED VIEW"},
        {"CREATE MATERIALIZED VIEW m AS SELECT a FROM t; INSERT INTO o SELECT a FROM m; DROP "
         "MATERIALIZED VIEW m;",
         "m cannot be dropped: o reads it"},
        {"INSERT INTO o SELECT a FROM t; DROP TABLE o;", "\"o\" was made by INSERT INTO"},
        {"CREATE OR REPLACE VIEW v AS SELECT a FROM t; CREATE OR REPLACE VIEW v AS SELECT n FROM "
         "t; INSERT INTO o SELECT n FROM v;",
         NULL},
        {"CREATE VIEW v AS SELECT a FROM t; CREATE OR REPLACE VIEW v AS SELECT n FROM t; INSERT "
         "INTO o SELECT a FROM v;",
         "column \"a\" does not exist in v"},
        {"CREATE TABLE IF NOT EXISTS t (z text); INSERT INTO o SELECT a FROM t;", NULL},
        {"CREATE TABLE IF NOT EXISTS u (z text); INSERT INTO o SELECT z FROM u;", NULL},
        {"CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT a FROM t; CREATE MATERIALIZED VIEW IF "
         "NOT EXISTS m AS SELECT n FROM t; INSERT INTO o SELECT a FROM m;",
         NULL},
        {"INSERT INTO o SELECT a FROM x; CREATE TABLE y (a text); DROP TABLE y;",
         "table or view \"x\" does not exist, line 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", TABLE, cases[i].sql);
        int rc = compile(text, strlen(text), &told);
        if (cases[i].error == NULL ? rc != 0
                                   : told.count != 1 || strstr(told.text, cases[i].error) == NULL)
            fail_msg("%s\n%s", cases[i].sql, told.text);
    }
    /* A dropped view's pipeline is gone. */
    struct sql_program *program;
    const char *text =
        TABLE "CREATE MATERIALIZED VIEW m AS SELECT a FROM t; INSERT INTO o SELECT a "
              "FROM t; DROP MATERIALIZED VIEW m;";
    assert_int_equal(sql_compile(text, strlen(text), NULL, NULL, &program), 0);
    int results = 0;
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        results += r->kind == RELATION_RESULT;
    assert_int_equal(results, 1);
    sql_program_destroy(program);
}

/* Each waits for the other, and no order would do. */
static void cycles_of_views(void **state)
{
    (void)state;
    struct told told;
    const char *text =
        TABLE "CREATE VIEW x AS WITH q AS (SELECT a FROM y) SELECT a FROM q;\n"
              "CREATE VIEW y AS SELECT a FROM t UNION ALL SELECT a FROM (SELECT a FROM z) b;\n"
              "CREATE VIEW z AS SELECT a FROM x;\n";
    assert_int_equal(compile(text, strlen(text), &told), ERR_INVALID);
    assert_int_equal(told.count, 2); /* z reads what is broken */
    const char *first =
                   strstr(told.text, "\"x\" and \"y\" read each other (\"y\" is made in line 3)"),
               *second =
                   strstr(told.text, "\"y\" and \"z\" read each other (\"z\" is made in line 4)");
    assert_true(first != NULL && second > first);
}

/* A view that reads the one before it twice doubles at each step. */
static void unions_of_unions(void **state)
{
    (void)state;
    struct told told;
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, TABLE "CREATE VIEW v0 AS SELECT a FROM t;");
    for (int i = 1; i <= 100; i++)
        buf_printf(&text, "CREATE VIEW v%d AS SELECT a FROM v%d UNION ALL SELECT a FROM v%d;", i,
                   i - 1, i - 1);
    buf_u8(&text, 0);
    assert_int_equal(compile((const char *)text.data, text.size - 1, &told), ERR_INVALID);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.text, "UNION ALL of more than 64 sources"));
    buf_deinit(&text);
}

#define TABLES                                                                                     \
    "CREATE TABLE k (id text PRIMARY KEY, v bigint, w text); CREATE TABLE k2 (a text, b bigint, "  \
    "v text, PRIMARY KEY (a, b)); "                                                                \
    "CREATE VIEW less AS SELECT v FROM k; CREATE MATERIALIZED VIEW m AS SELECT a, count(*) AS c "  \
    "FROM t GROUP BY a, n;\n"

struct refused {
    const char *sql, *text, *hint; /* text begins the message; hint is in it */
};

static void check_refused(const char *tables, const struct refused *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[2048];
        struct told told;
        snprintf(text, sizeof text, "%s%sCREATE MATERIALIZED VIEW x AS %s;", TABLE, tables,
                 cases[i].sql);
        int rc = compile(text, strlen(text), &told);
        if (rc != ERR_INVALID || told.count != 1 ||
            strncmp(told.text, cases[i].text, strlen(cases[i].text)) != 0 ||
            strstr(told.text, cases[i].hint) == NULL || strstr(told.text, "line 3, column") == NULL)
            fail_msg("%d errors for %s\n%s", told.count, cases[i].sql, told.text);
    }
}

/* Tables left of JOIN. */
static void joins_of_tables(void **state)
{
    (void)state;
    static const char tables[] =
        "CREATE TABLE k (id text PRIMARY KEY, v bigint, w text); CREATE TABLE o (id text PRIMARY "
        "KEY, x bigint, at timestamptz); CREATE TABLE p (a text, b bigint, n bigint, PRIMARY KEY "
        "(a, b)); CREATE TABLE q (b bigint, a text, m bigint, PRIMARY KEY (b, a)); CREATE TABLE i "
        "(id bigint PRIMARY KEY); CREATE TABLE n (id numeric PRIMARY KEY, c numeric); CREATE VIEW "
        "less AS SELECT v, o.x FROM k JOIN o ON o.id = k.id;\n";
    static const struct refused cases[] = {
        {"SELECT k.id FROM k JOIN o ON o.id = k.w",
         "two tables are joined by their keys: \"id\" of o must equal \"id\" of k, line 3",
         "ON …id = …id"},
        {"SELECT k.id FROM k JOIN o ON o.id = lower(k.id)", "two tables are joined by their keys",
         "ON …id = …id"},
        {"SELECT k.id FROM k JOIN o ON o.x = k.v",
         "a join goes by the table's key, and ON does not say what \"id\" of o equals", "ON o.id"},
        {"SELECT k.id FROM k JOIN p ON p.a = k.id AND p.b = k.v",
         "two tables are joined by their keys, and that of k has 1 columns, that of p 2",
         "one key"},
        {"SELECT p.a, p.b FROM p JOIN q ON q.a = p.a AND q.b = p.b",
         "two tables are joined by their keys: \"b\" of q must equal \"a\" of p",
         "in the order of both keys"},
        {"SELECT k.v FROM k JOIN o ON o.id = k.id",
         "x is a table whose key is \"id\", which is not among its columns", "select it"},
        {"SELECT o.id FROM k JOIN o ON o.id = k.id",
         "x is a table whose key is \"id\", which is not among its columns", "select it"},
        {"SELECT k.id FROM k FULL JOIN o ON o.id = k.id",
         "x is a table whose key is \"id\", which is not among its columns", "select it"},
        {"SELECT coalesce(k.id, o.id) AS id FROM k FULL JOIN o ON o.id = k.id AND o.x > 1",
         "of a FULL JOIN, ON says what the keys equal and nothing else", "WHERE"},
        {"SELECT coalesce(i.id, n.id) AS id FROM i FULL JOIN n ON n.id = i.id",
         "in a FULL JOIN \"id\" of i is bigint, and \"id\" of n numeric", "one type"},
        {"SELECT k.id FROM k LEFT JOIN o ON o.id = k.id AND k.v > 1",
         "of a LEFT JOIN, conditions beside the key may be on columns of o only", "WHERE"},
        {"SELECT k.w, count(*) AS c FROM k JOIN o ON o.id = k.id GROUP BY k.w",
         "groups over two tables that are joined in the same SELECT are not supported",
         "CREATE VIEW the joined rows"},
        {"SELECT k.id FROM k JOIN o ON o.id = k.id JOIN o AS z ON z.id = k.id",
         "a SELECT joins two tables, and no third one", "CREATE VIEW the first two"},
        {"SELECT v, count(*) AS c FROM less GROUP BY v",
         "view less does not have the key of its table, by which its rows are read", "keep it"},
        {"SELECT k.id FROM k JOIN t ON t.a = k.id", "a table left of JOIN and a stream right of it",
         "stream JOIN table"},
    };
    check_refused(tables, cases, sizeof cases / sizeof *cases);
}

/* Each way to join that there is not, with its place and what to write instead. */
static void joins(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {"SELECT a FROM t RIGHT JOIN k ON k.id = t.a",
         "RIGHT JOIN is not supported, line 3, column 58", "stream LEFT JOIN table"},
        {"SELECT a FROM t FULL JOIN k ON k.id = t.a", "FULL JOIN of a stream is not supported",
         "LEFT JOIN keeps"},
        {"SELECT a FROM t CROSS JOIN k", "CROSS JOIN is not supported", "ON u.user_id"},
        {"SELECT a FROM t NATURAL JOIN k", "NATURAL JOIN is not supported", "ON u.user_id"},
        {"SELECT a FROM t JOIN k USING (id)", "JOIN … USING is not supported", "ON u.user_id"},
        {"SELECT a FROM t, k WHERE k.id = t.a", "a list in FROM (a join) is not supported",
         "JOIN users u ON"},
        {"SELECT a FROM t JOIN (SELECT * FROM k) x ON x.id = t.a",
         "this right of JOIN is not supported", "CREATE VIEW"},
        {"SELECT a FROM t JOIN (k JOIN k2 ON k2.v = k.w) ON k.id = t.a",
         "this right of JOIN is not supported", "CREATE VIEW"},
        {"SELECT v FROM k2 JOIN k2 AS k3 ON k3.a = k2.a AND k3.b = k2.b",
         "column \"v\" is ambiguous", "k2.v or k3.v"},
        {"SELECT a FROM t JOIN k ON k.v = t.n",
         "a join goes by the table's key, and ON does not say what \"id\" of k equals, line 3, "
         "column 61",
         "ON k.id = …"},
        {"SELECT t.a FROM t JOIN k2 ON k2.a = t.a",
         "a join goes by the table's key, and ON does not say what \"b\" of k2", "ON k2.b = …"},
        {"SELECT a FROM t JOIN k ON k.id > t.a", "a join goes by the table's key", "ON k.id = …"},
        {"SELECT a FROM t JOIN k ON k.id = t.a OR k.v = t.n", "a join goes by the table's key",
         "ON k.id = …"},
        {"SELECT a FROM t JOIN k ON k.id = k.w", "a join goes by the table's key", "ON k.id = …"},
        {"SELECT a FROM t JOIN k ON k.id = t.n",
         "\"id\" of k is text, and what it equals is bigint, line 3, column 64", "write a cast"},
        {"SELECT a FROM t JOIN k ON k.id = t.a AND n", "a condition must be boolean", "compare"},
        {"SELECT a FROM t JOIN k ON k.id = min(t.a)", "aggregates are not allowed in ON", ""},
        {"SELECT a FROM t LEFT JOIN k ON k.id = t.a AND t.n > 1",
         "of a LEFT JOIN, conditions beside the key may be on columns of k only, line 3, column 81",
         "WHERE"},
        {"SELECT a FROM t LEFT JOIN k ON k.id = t.a AND k.v = t.n",
         "of a LEFT JOIN, conditions beside the key", "WHERE"},
        {"SELECT a FROM t JOIN k ON k.id = t.a AND k.id = t.j ->> 'x' JOIN k ON k.id = t.a",
         "\"k\" stands twice in FROM", "AS other"},
        {"SELECT a FROM t JOIN less ON less.v = t.n",
         "view less does not have the key of its table", "keep it"},
        {"SELECT t.a FROM t JOIN m ON m.a = t.a",
         "m cannot be joined: its columns do not hold the key of its results", "select its groups"},
        {"SELECT a FROM t JOIN nothing ON nothing.id = t.a",
         "table or view \"nothing\" does not exist", "CREATE TABLE nothing"},
        {"SELECT a, k.x FROM t JOIN k ON k.id = t.a", "column \"x\" does not exist in FROM", ""},
        {"SELECT a FROM t JOIN k ON k.id = t.a WHERE z.v > 1", "there is no table \"z\" in FROM",
         ""},
        {"SELECT * FROM t JOIN k2 ON k2.a = t.a AND k2.b = t.n", "two columns are named \"a\"",
         "AS"},
        {"SELECT v, w FROM k", "x is a table whose key is \"id\", which is not among its columns",
         "select it"},
        {"SELECT w, 1 + first(v) AS c FROM k GROUP BY w",
         "first over a table: its rows are those that stand, whichever came first, and one that "
         "changes comes again. min and max of a column, of a time for example, follow the rows "
         "that stand, line 3, column 45",
         ""},
        {"SELECT w, count(*) AS c FROM k GROUP BY w HAVING last(v) > 1", "last over a table", ""},
        {"SELECT sum(v::double precision) AS s FROM k", "sum(double precision) over a table",
         "sum(x::numeric)"},
        {"SELECT count(*) AS n, window_start FROM tumble(k, v, INTERVAL '1 hour') GROUP BY "
         "window_start",
         "k has no event time", ""},
        {"SELECT c FROM m", "m cannot be read: its results change", "select its groups"},
        {"SELECT a FROM t UNION ALL SELECT w FROM k",
         "UNION ALL of a table of the latest rows is not supported", ""},
    };
    check_refused(TABLES, cases, sizeof cases / sizeof cases[0]);
}

#define STREAMS                                                                                    \
    "CREATE TABLE c (id text, n bigint, d double precision, ts timestamptz, due timestamptz) "     \
    "WITH (event_time = 'ts'); CREATE TABLE o (id text, n bigint, at timestamptz) WITH "           \
    "(event_time = 'at'); CREATE TABLE timeless (id text, ts timestamptz); CREATE TABLE k (id "    \
    "text PRIMARY KEY, v bigint); CREATE VIEW without AS SELECT id, n FROM o; CREATE VIEW once "   \
    "WITH (within = '1 hour') AS SELECT DISTINCT ON (id) * FROM o;\n"
#define NEAR "o.at BETWEEN c.ts - INTERVAL '1 second' AND c.ts + INTERVAL '1 second'"

/* Two streams: what a join of them needs, and what it cannot have. */
static void joins_of_streams(void **state)
{
    (void)state;
    static const char form[] =
        "ON … AND o.at BETWEEN c.ts - INTERVAL '5 minutes' AND c.ts + INTERVAL '1 hour'";
    static const struct refused cases[] = {
        {"SELECT c.id FROM c JOIN o ON o.id = c.id",
         "two streams are joined within a bound of time, as rows of a stream cannot all be kept: "
         "ON does not say how far o may be from c, line 3, column 65",
         form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND o.at >= c.ts",
         "two streams are joined within a bound of time, as rows of a stream cannot all be kept: "
         "ON does not say how far o may be after c",
         form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND o.at < c.ts + INTERVAL '1 hour'",
         "two streams are joined within a bound of time, as rows of a stream cannot all be kept: "
         "ON does not say how far o may be before c",
         form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND o.at BETWEEN c.due AND c.due + INTERVAL '1 "
         "hour'",
         "two streams are joined within a bound of time", form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id OR " NEAR,
         "two streams are joined within a bound of time", form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND NOT (" NEAR ")",
         "two streams are joined within a bound of time", form},
        {"SELECT c.id FROM c JOIN o ON " NEAR,
         "two streams are joined by something that is equal in both, and ON does not say what",
         "ON o.… = c.… AND …"},
        {"SELECT c.id FROM c JOIN o ON o.id < c.id AND " NEAR,
         "two streams are joined by something that is equal in both, and ON does not say what",
         "ON o.… = c.… AND …"},
        {"SELECT c.id FROM c JOIN o ON o.id = 'x' AND c.id = 'x' AND " NEAR,
         "two streams are joined by something that is equal in both", "ON o.…"},
        {"SELECT c.id FROM c JOIN o ON o.at = c.ts",
         "two streams are joined by something that is equal in both", "ON o.…"},
        {"SELECT c.id FROM c JOIN o ON o.n = c.d AND " NEAR,
         "rows meet by what is equal in both, and this is double precision on the left and bigint "
         "on the right, line 3, column 64",
         "write a cast"},
        {"SELECT c.id FROM c JOIN o ON o.n = c.id AND " NEAR,
         "operator = does not compare bigint with text", "write a cast"},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND o.at BETWEEN c.ts + INTERVAL '2 s' AND c.ts "
         "- INTERVAL '2 s'",
         "the bounds of time in ON exclude each other", form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND c.ts < o.at AND o.at < c.ts + INTERVAL "
         "'0.001 s'",
         "the bounds of time in ON exclude each other", form},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND o.at BETWEEN c.ts AND c.ts + INTERVAL '367 "
         "days'",
         "rows of two streams may be 366 days apart and no more", form},
        {"SELECT c.id FROM c LEFT JOIN o ON o.id = c.id AND o.at BETWEEN c.ts + INTERVAL '1 s' AND "
         "c.ts + INTERVAL '2 s'",
         "the bounds of time of a LEFT JOIN must hold the row's own time", form},
        {"SELECT c.id FROM c LEFT JOIN o ON o.id = c.id AND " NEAR " AND o.n > c.n",
         "of a LEFT JOIN of two streams, conditions on both beside what is equal and the bounds of "
         "time are not supported",
         "CASE in the select list"},
        {"SELECT c.id FROM c RIGHT JOIN o ON o.id = c.id AND " NEAR, "RIGHT JOIN is not supported",
         "the other way round"},
        {"SELECT c.id FROM c FULL JOIN o ON o.id = c.id AND " NEAR,
         "FULL JOIN of a stream is not supported", "two LEFT JOINs"},
        {"SELECT c.id FROM c JOIN timeless x ON x.id = c.id AND x.ts = c.ts",
         "two streams meet by their event times, and x has none, line 3, column 55",
         "WITH (event_time = 'ts')"},
        {"SELECT x.id FROM timeless x JOIN c ON x.id = c.id AND x.ts = c.ts",
         "two streams meet by their event times, and x has none", "WITH (event_time = 'ts')"},
        {"SELECT c.id FROM c JOIN without w ON w.id = c.id AND w.n = c.n",
         "two streams meet by their event times, and w has none among its columns", "as it is"},
        {"SELECT k.id FROM k JOIN c ON c.id = k.id",
         "a table left of JOIN and a stream right of it", "stream JOIN table"},
        {"SELECT c.id FROM c JOIN once ON once.id = c.id AND once.at = c.ts",
         "a join of two streams over rows of a DISTINCT ON is not supported", "INSERT INTO"},
        {"SELECT c.id FROM c JOIN o ON min(o.id) = c.id AND " NEAR,
         "aggregates are not allowed in ON", ""},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND " NEAR " AND o.what = 1",
         "column \"what\" does not exist", ""},
        {"SELECT c.id FROM c JOIN o ON id = c.id AND " NEAR, "column \"id\" is ambiguous",
         "c.id or o.id"},
        {"SELECT id FROM c JOIN o ON o.id = c.id AND " NEAR, "column \"id\" is ambiguous",
         "c.id or o.id"},
        {"SELECT c.id FROM c JOIN c ON c.id = c.id AND " NEAR, "\"c\" stands twice in FROM",
         "AS other"},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND " NEAR " AND n", "column \"n\" is ambiguous",
         ""},
        {"SELECT c.id FROM c JOIN o ON o.id = c.id AND " NEAR " AND c.n",
         "a value of type boolean is needed here, not bigint", ""},
        {"SELECT c.id, o.at FROM c JOIN x ON x.id = c.id AND " NEAR, "\"x\" reads itself", ""},
    };
    check_refused(STREAMS, cases, sizeof cases / sizeof cases[0]);
}

/* What a statement behind a join makes, and how much may come together. */
static void topics_of_joins(void **state)
{
    (void)state;
    static const char tables[] =
        "CREATE TABLE c (id text, ts timestamptz) WITH (event_time = 'ts'); "
        "CREATE VIEW \"café\" AS SELECT c.id, c.ts FROM c JOIN c o ON o.id = c.id AND o.ts = c.ts; "
        "CREATE VIEW u AS SELECT id, ts FROM c UNION ALL SELECT id, ts FROM c; CREATE "
        "VIEW u2 AS SELECT * FROM u UNION ALL SELECT * FROM u UNION ALL SELECT * FROM u "
        "UNION ALL SELECT * FROM u; CREATE VIEW u3 AS SELECT * FROM u2 UNION ALL SELECT * "
        "FROM u2 UNION ALL SELECT * FROM u2 UNION ALL SELECT * FROM u2; CREATE VIEW u4 AS "
        "SELECT * FROM u3 UNION ALL SELECT * FROM u3;\n";
    static const struct refused cases[] = {
        {"SELECT count(*) AS n FROM \"café\"",
         "rows are written to a topic of their own here, and 'café-joined' "
         "cannot name one",
         "letters"},
        {"SELECT x.id FROM u4 x JOIN c ON c.id = x.id AND c.ts = x.ts",
         "a join of more than 64 sources, counted through UNION ALL", "INSERT INTO"},
    };
    check_refused(tables, cases, sizeof cases / sizeof cases[0]);
}

static uint32_t count_pipelines(const char *sql, const char *name)
{
    struct told told = {.count = 0};
    struct sql_program *program;
    char text[2048];
    uint32_t count = 0;
    snprintf(text, sizeof text, "%s%s%s", TABLE, STREAMS, sql);
    int rc = sql_compile(text, strlen(text), tell, &told, &program);
    if (rc != 0)
        fail_msg("%s\n%s", sql, told.text);
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        count += r->kind == RELATION_RESULT && (name == NULL || strcmp(r->name, name) == 0);
    sql_program_destroy(program);
    return count;
}

/* A join is written to a topic when something behind it wants one, once for all who read a view, and gone with
 * the last of them. */
static void own_topics(void **state)
{
    (void)state;
#define JOINED      "SELECT c.id, c.ts FROM c JOIN o ON o.id = c.id AND " NEAR
#define JOINED_VIEW "CREATE VIEW v AS " JOINED "; "
    static const struct {
        const char *sql, *name;
        uint32_t count, named;
    } cases[] = {
        {JOINED_VIEW, "v-joined", 0, 0},
        {JOINED_VIEW "INSERT INTO a SELECT * FROM v WHERE id > 'x'; INSERT INTO b " JOINED,
         "v-joined", 2, 0},
        {JOINED_VIEW "CREATE MATERIALIZED VIEW a AS SELECT id, count(*) AS n FROM v GROUP BY id; "
                     "CREATE VIEW w AS SELECT * FROM v WHERE id < 'y'; "
                     "CREATE MATERIALIZED VIEW b AS SELECT count(*) AS n FROM w; INSERT INTO d "
                     "SELECT id FROM v UNION ALL SELECT id FROM c",
         "v-joined", 4, 1},
        {"CREATE MATERIALIZED VIEW a AS SELECT c.id, count(*) AS n FROM c JOIN o ON o.id = c.id "
         "AND " NEAR " GROUP BY c.id; CREATE MATERIALIZED VIEW b WITH (within = '1 hour') AS WITH "
         "x AS (" JOINED ") SELECT DISTINCT ON (id) * FROM x",
         "b-joined", 4, 1},
        {"INSERT INTO a SELECT c.id, k.v FROM c JOIN o ON o.id = c.id AND " NEAR
         " JOIN o p ON p.id = o.id AND p.at = c.ts LEFT JOIN k ON k.id = p.id",
         "a-joined-2", 3, 1},
        {"CREATE VIEW v AS SELECT c.id FROM c JOIN o ON o.id = c.id AND " NEAR
         " JOIN k ON k.id = c.id; INSERT INTO a SELECT * FROM v; INSERT INTO b SELECT * FROM v",
         "v-joined", 3, 1},
        {"CREATE VIEW v AS SELECT c.id FROM c JOIN o ON o.id = c.id AND " NEAR
         " JOIN k ON k.id = c.id",
         "v-joined", 0, 0},
        {"CREATE MATERIALIZED VIEW a AS SELECT count(*) AS n FROM c JOIN o ON o.id = c.id AND " NEAR
         "; DROP MATERIALIZED VIEW a",
         "a-joined", 0, 0},
        {JOINED_VIEW
         "CREATE MATERIALIZED VIEW a AS SELECT count(*) AS n FROM v; DROP VIEW v; CREATE "
         "VIEW v AS SELECT id FROM c",
         "v-joined", 2, 1},
        {JOINED_VIEW "CREATE MATERIALIZED VIEW a AS SELECT count(*) AS n FROM v; CREATE OR REPLACE "
                     "VIEW v AS " JOINED " AND o.n > 1; CREATE MATERIALIZED VIEW b AS SELECT "
                     "count(*) AS n FROM v",
         "v-joined-2", 4, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t count = count_pipelines(cases[i].sql, NULL);
        uint32_t named = count_pipelines(cases[i].sql, cases[i].name);
        if (count != cases[i].count || named != cases[i].named)
            fail_msg("%u pipelines, %u of %s: %s", count, named, cases[i].name, cases[i].sql);
    }
}

static void tell_file(void *context, const char *name, const char *text)
{
    char whole[2048];
    snprintf(whole, sizeof whole, "%s: %s", name, text);
    tell(context, whole);
}

static int compile_files(const struct sql_text *files, uint32_t count, struct told *told)
{
    struct sql_program *program;
    *told = (struct told){.count = 0};
    int rc = sql_compile_files(files, count, tell_file, told, &program);
    sql_program_destroy(program);
    return rc;
}

/* Each file sees those before it; a message names the file that it is about, and shows its line. */
static void several_files(void **state)
{
    (void)state;
    static const char *const texts[] = {
        ("\n\n" TABLE), "CREATE VIEW v AS SELECT a FROM t",
        "-- long enough to hold the places of the others\nINSERT INTO o SELECT a FROM v;"};
    struct sql_text files[3];
    struct told told;
    for (int i = 0; i < 3; i++)
        files[i] = (struct sql_text){i == 0   ? "one"
                                     : i == 1 ? "two"
                                              : "three",
                                     texts[i], strlen(texts[i])};
    assert_int_equal(compile_files(files, 3, &told), 0);
    assert_int_equal(compile_files(&files[1], 2, &told), ERR_INVALID);
    assert_int_equal(told.count, 1);
    assert_non_null(
        strstr(told.text, "two: table or view \"t\" does not exist, line 1, column 32"));
    struct sql_text turned[] = {files[1], files[0]};
    assert_int_equal(compile_files(turned, 2, &told), ERR_INVALID);
    assert_non_null(strstr(told.text, "two: table or view \"t\" does not exist yet: it is made in "
                                      "line 3 of one, line 1, column 32"));
    struct sql_text writers[] = {
        files[0],
        files[1],
        files[2],
        {"four", "INSERT INTO p SELECT n FROM t;\nINSERT INTO o SELECT n FROM t;", 61}};
    assert_int_equal(compile_files(writers, 4, &told), ERR_INVALID);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.text, "four: two statements write topic o, line 2, column 13"));
    /* One that cannot be read is the only one that is told of. */
    files[0].text = "'";
    files[0].size = 1;
    assert_int_equal(compile_files(files, 3, &told), ERR_INVALID);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.text, "one: unterminated quoted string"));
}

/* One of each of PostgreSQL 15's statements, and of the clauses of those that weir has. None but the plain forms may pass. */
static void statements_of_postgresql(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "ALTER EVENT TRIGGER x DISABLE",
        "ALTER COLLATION x REFRESH VERSION",
        "ALTER DATABASE x SET y = 1",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x",
        "ALTER DOMAIN x DROP DEFAULT",
        "ALTER TYPE x ADD VALUE 'y'",
        "ALTER EXTENSION x UPDATE",
        "ALTER FOREIGN DATA WRAPPER x OPTIONS (a 'b')",
        "ALTER SERVER x VERSION '1'",
        "ALTER FUNCTION x(int) IMMUTABLE",
        "ALTER GROUP x ADD USER y",
        "ALTER INDEX x DEPENDS ON EXTENSION y",
        "ALTER SCHEMA x RENAME TO y",
        "ALTER TABLE t SET SCHEMA y",
        "ALTER OPERATOR + (int, int) OWNER TO x",
        "ALTER POLICY x ON t USING (true)",
        "ALTER SEQUENCE x RESTART",
        "ALTER SYSTEM SET a = 1",
        "ALTER TABLE t ADD COLUMN x int",
        "ALTER TABLESPACE x RESET (a)",
        "ALTER PUBLICATION x SET (a = 1)",
        "ALTER SUBSCRIPTION x ENABLE",
        "ALTER STATISTICS x SET STATISTICS 1",
        "ALTER TEXT SEARCH CONFIGURATION x DROP MAPPING FOR y",
        "ALTER USER MAPPING FOR x SERVER y OPTIONS (a 'b')",
        "ANALYZE t",
        "CALL x()",
        "CHECKPOINT",
        "CLOSE x",
        "CLUSTER t",
        "COMMENT ON TABLE t IS 'x'",
        "SET CONSTRAINTS ALL DEFERRED",
        "COPY t FROM STDIN",
        "CREATE ACCESS METHOD x TYPE INDEX HANDLER y",
        "CREATE TABLE x AS SELECT a FROM t",
        "CREATE CAST (int AS text) WITHOUT FUNCTION",
        "CREATE CONVERSION x FOR 'a' TO 'b' FROM y",
        "CREATE DATABASE x",
        "CREATE DOMAIN x AS text",
        "CREATE TYPE x AS ENUM ('a')",
        "CREATE EXTENSION x",
        "CREATE FOREIGN DATA WRAPPER x",
        "CREATE SERVER x FOREIGN DATA WRAPPER y",
        "CREATE FOREIGN TABLE x (a int) SERVER y",
        "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'select 1'",
        "CREATE GROUP x",
        "CREATE OPERATOR CLASS x FOR TYPE int USING btree AS OPERATOR 1 <",
        "CREATE OPERATOR FAMILY x USING btree",
        "CREATE PUBLICATION x",
        "CREATE POLICY x ON t",
        "CREATE LANGUAGE x",
        "CREATE SCHEMA x",
        "CREATE SEQUENCE x",
        "CREATE STATISTICS x ON a, n FROM t",
        "CREATE SUBSCRIPTION x CONNECTION 'y' PUBLICATION z",
        "CREATE TABLESPACE x LOCATION 'y'",
        "CREATE TRANSFORM FOR int LANGUAGE x (FROM SQL WITH FUNCTION y(int))",
        "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION y()",
        "CREATE EVENT TRIGGER x ON y EXECUTE FUNCTION z()",
        "CREATE ROLE x",
        "CREATE USER x",
        "CREATE USER MAPPING FOR x SERVER y",
        "CREATE INDEX ON t (a)",
        "CREATE RULE x AS ON INSERT TO t DO NOTHING",
        "CREATE AGGREGATE x (int) (sfunc = y, stype = int)",
        "CREATE OPERATOR ## (procedure = x, leftarg = int)",
        "CREATE COLLATION x FROM \"C\"",
        "CREATE TEXT SEARCH PARSER x (a = b)",
        "DEALLOCATE x",
        "DECLARE x CURSOR FOR SELECT 1",
        "DELETE FROM t",
        "DISCARD ALL",
        "DO 'x'",
        "DROP CAST (int AS text)",
        "DROP TABLE x",
        "DROP VIEW t",
        "DROP TABLE s.t",
        "DROP TABLE t CASCADE",
        "DROP TABLE t, t",
        "DROP INDEX x",
        "DROP OPERATOR CLASS x USING btree",
        "DROP OWNED BY x",
        "DROP SUBSCRIPTION x",
        "DROP TABLESPACE x",
        "DROP TRANSFORM FOR int LANGUAGE x",
        "DROP ROLE x",
        "DROP USER MAPPING FOR x SERVER y",
        "DROP DATABASE x",
        "DROP VIEW x",
        "DROP MATERIALIZED VIEW x",
        "EXECUTE x",
        "EXPLAIN ANALYZE SELECT a FROM t",
        "EXPLAIN (BUFFERS) SELECT a FROM t",
        "EXPLAIN (FORMAT xml) SELECT a FROM t",
        "EXPLAIN (FORMAT) SELECT a FROM t",
        "EXPLAIN SELECT b FROM t",
        "EXPLAIN DELETE FROM t",
        "EXPLAIN CREATE TABLE x AS SELECT a FROM t",
        "FETCH x",
        "GRANT SELECT ON t TO x",
        "GRANT x TO y",
        "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z",
        "LISTEN x",
        "REFRESH MATERIALIZED VIEW x",
        "LOAD 'x'",
        "LOCK t",
        "MERGE INTO t USING t AS u ON true WHEN MATCHED THEN DELETE",
        "NOTIFY x",
        "PREPARE x AS SELECT 1",
        "REASSIGN OWNED BY x TO y",
        "REINDEX TABLE t",
        "REVOKE SELECT ON t FROM x",
        "REVOKE x FROM y",
        "ALTER TABLE t RENAME TO x",
        "SECURITY LABEL ON TABLE t IS 'x'",
        "SELECT a FROM t",
        "TABLE t",
        "VALUES (1)",
        "SELECT a INTO x FROM t",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "PREPARE TRANSACTION 'x'",
        "TRUNCATE t",
        "UNLISTEN x",
        "UPDATE t SET a = 'x'",
        "VACUUM t",
        "RESET x",
        "SET x = 1",
        "SHOW x",
        /* CREATE TABLE */
        "CREATE TEMP TABLE x (a text)",
        "CREATE UNLOGGED TABLE x (a text)",
        "CREATE TABLE s.x (a text)",
        "CREATE TABLE x ()",
        "CREATE TABLE x OF y",
        "CREATE TABLE x (LIKE t)",
        "CREATE TABLE x (a text) INHERITS (t)",
        "CREATE TABLE x (a text) PARTITION BY LIST (a)",
        "CREATE TABLE x PARTITION OF t DEFAULT",
        "CREATE TABLE x (a text) USING y",
        "CREATE TABLE x (a text) TABLESPACE y",
        "CREATE TEMP TABLE x (a text) ON COMMIT DROP",
        "CREATE TABLE x (a text) WITH (a.b = 'c')",
        "CREATE TABLE x (a text DEFAULT 'x')",
        "CREATE TABLE x (a text UNIQUE)",
        "CREATE TABLE x (a text REFERENCES t)",
        "CREATE TABLE x (a text COLLATE \"C\")",
        "CREATE TABLE x (a bigint GENERATED ALWAYS AS IDENTITY)",
        "CREATE TABLE x (a bigint, b bigint GENERATED ALWAYS AS (a) STORED)",
        "CREATE TABLE x (a text COMPRESSION lz4)",
        "CREATE TABLE x (a text, UNIQUE (a))",
        "CREATE TABLE x (a text, FOREIGN KEY (a) REFERENCES t (a))",
        "CREATE TABLE x (a text, EXCLUDE USING gist (a WITH =))",
        "CREATE TABLE x (a text CHECK (a <> '') NO INHERIT)",
        "CREATE TABLE x (a text[])",
        "CREATE TABLE x (a SETOF text)",
        "CREATE TABLE x (a pg_catalog.t.a)",
        "CREATE TABLE x (a char(3))",
        "CREATE TABLE x (a date)",
        "CREATE TABLE x (_a text)",
        "CREATE TABLE x (a text, a text)",
        "CREATE TABLE x (a text OPTIONS (path 'a..b'))",
        "CREATE TABLE x (a text) WITH (topic = 'a/b')",
        "CREATE TABLE x (a timestamptz) WITH (lateness = 'soon')",
        "CREATE TABLE x (a text) WITH (topic = 'x', topic = 'y')",
        "CREATE TABLE x (a text) WITH (nothing = 1)",
        "CREATE TABLE x (a text) WITH (on_error = 'ignore')",
        "CREATE TABLE x (a text) WITH (partitions = 0)",
        "CREATE TABLE x (a text) WITH (partitions = 10001)",
        "CREATE TABLE x (a text) WITH (partitions = 'two')",
        "CREATE TABLE x (a text) WITH (partitioned_by = 'b')",
        "CREATE TABLE x (a bigint) WITH (partitioned_by = 'a')",
        "CREATE TABLE x (a text) WITH (format = 'avro')",
        "CREATE TABLE x (a jsonb) WITH (format = 'csv')",
        "CREATE TABLE x (a text OPTIONS (path 'b')) WITH (format = 'csv')",
        "CREATE TABLE x (a text) WITH (format = 'text')",
        "CREATE TABLE x (value text OPTIONS (path 'value.b')) WITH (format = 'raw')",
        "CREATE TABLE x (a text) WITH (timestamps = 'iso')",
        "CREATE TABLE x (a text) WITH (timestamps = 'seconds')",
        "CREATE TABLE x (a text) WITH (format = 'csv', timestamps = 'epoch_ms')",
        "CREATE TABLE x (a text) WITH (retention = '7 days')",
        "CREATE MATERIALIZED VIEW x WITH (retention = '0 days') AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW x WITH (format = 'text') AS SELECT a, n FROM t",
        "CREATE MATERIALIZED VIEW x WITH (format = 'raw') AS SELECT n FROM t",
        "CREATE MATERIALIZED VIEW x WITH (on_error = 'null') AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW x WITH (partitioned_by = 'a') AS SELECT a FROM t",
        "CREATE TABLE x (a text OPTIONS (path 'f'), b text OPTIONS (path 'f'), PRIMARY KEY (a, b))",
        "CREATE TABLE x (a jsonb PRIMARY KEY)",
        "CREATE TABLE x (a double precision PRIMARY KEY)",
        "CREATE TABLE x (a text PRIMARY KEY, b text) WITH (partitioned_by = 'b')",
        "CREATE TABLE x (a text, PRIMARY KEY (b))",
        "CREATE TABLE x (a text CONSTRAINT \"A b\" CHECK (a <> ''))",
        /* views */
        "CREATE OR REPLACE VIEW t AS SELECT a FROM t",
        "CREATE TEMP VIEW x AS SELECT a FROM t",
        "CREATE RECURSIVE VIEW x (a) AS SELECT a FROM t",
        "CREATE VIEW x AS SELECT a FROM t WITH CHECK OPTION",
        "CREATE VIEW x WITH (security_barrier) AS SELECT a FROM t",
        "CREATE VIEW x (a, b) AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW x AS SELECT a FROM t WITH NO DATA",
        "CREATE MATERIALIZED VIEW x USING y AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW x TABLESPACE y AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW x AS VALUES (1)",
        /* SELECT */
        "CREATE VIEW x AS SELECT DISTINCT a FROM t",
        "CREATE VIEW x AS SELECT DISTINCT ON (a) a FROM t",
        "CREATE VIEW x WITH (within = '0 hours') AS SELECT DISTINCT ON (a) a FROM t",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT a FROM t",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT DISTINCT ON (2) a FROM t",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT DISTINCT ON (missing) a FROM t",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT DISTINCT ON (a) a FROM t GROUP BY a",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT DISTINCT ON (a) a FROM (SELECT DISTINCT "
        "ON (a) a FROM t) y",
        "CREATE VIEW x WITH (within = '1 hour') AS SELECT a FROM t UNION ALL SELECT DISTINCT ON "
        "(a) a FROM t",
        "CREATE MATERIALIZED VIEW x WITH (within = '1 hour') AS SELECT DISTINCT ON (a) count(*) AS "
        "n FROM t",
        "CREATE TABLE x (a text) WITH (within = '1 hour')",
        "CREATE VIEW x AS SELECT FROM t",
        "CREATE VIEW x AS SELECT 1 AS a",
        "CREATE VIEW x AS SELECT t.a FROM t, t AS u",
        "CREATE VIEW x AS SELECT t.a FROM t JOIN t AS u USING (a)",
        "CREATE VIEW x AS SELECT a FROM LATERAL (SELECT a FROM t) y",
        "CREATE VIEW x AS SELECT a FROM t TABLESAMPLE SYSTEM (1)",
        "CREATE VIEW x AS SELECT a FROM ONLY t",
        "CREATE VIEW x AS SELECT b FROM t AS u (b)",
        "CREATE VIEW x AS SELECT a FROM generate_series(1, 2) a",
        "CREATE VIEW x AS SELECT a FROM ROWS FROM (tumble(t, ts, INTERVAL '1 h'))",
        "CREATE VIEW x AS SELECT a FROM tumble(t, ts, INTERVAL '1 h') WITH ORDINALITY",
        "CREATE VIEW x AS SELECT a FROM tumble(t, ts)",
        "CREATE VIEW x AS SELECT a FROM tumble('t', ts, INTERVAL '1 h')",
        "CREATE VIEW x AS SELECT a FROM tumble(t, ts, INTERVAL '-1 h') GROUP BY a, window_start",
        "CREATE VIEW x AS SELECT a FROM t GROUP BY GROUPING SETS ((a))",
        "CREATE VIEW x AS SELECT a FROM t GROUP BY DISTINCT a",
        "CREATE VIEW x AS SELECT a FROM t GROUP BY 2",
        "CREATE VIEW x AS SELECT a FROM t GROUP BY a, count(*)",
        "CREATE VIEW x AS SELECT a FROM t HAVING a",
        "CREATE VIEW x AS SELECT count(*) OVER () AS c FROM t",
        "CREATE VIEW x AS SELECT count(*) OVER w AS c FROM t WINDOW w AS ()",
        "CREATE VIEW x AS SELECT a FROM t ORDER BY a",
        "CREATE VIEW x AS SELECT a FROM t LIMIT 1",
        "CREATE VIEW x AS SELECT a FROM t OFFSET 1",
        "CREATE VIEW x AS SELECT a FROM t FETCH FIRST 1 ROW WITH TIES",
        "CREATE VIEW x AS SELECT a FROM t FOR UPDATE",
        "CREATE VIEW x AS SELECT a FROM t UNION SELECT a FROM t",
        "CREATE VIEW x AS SELECT a FROM t UNION ALL SELECT a FROM t ORDER BY a",
        "CREATE VIEW x AS SELECT a FROM t EXCEPT SELECT a FROM t",
        "CREATE VIEW x AS WITH RECURSIVE y AS (SELECT a FROM t) SELECT a FROM y",
        "CREATE VIEW x AS WITH y (b) AS (SELECT a FROM t) SELECT b FROM y",
        "CREATE VIEW x AS WITH y AS MATERIALIZED (SELECT a FROM t) SELECT a FROM y",
        "CREATE VIEW x AS WITH y AS (DELETE FROM t RETURNING a) SELECT a FROM y",
        "CREATE VIEW x AS SELECT (SELECT a FROM t) AS a FROM t",
        "CREATE VIEW x AS SELECT a FROM t WHERE EXISTS (SELECT a FROM t)",
        "CREATE VIEW x AS SELECT (t).a FROM t",
        "CREATE VIEW x AS SELECT now() AS a FROM t",
        "CREATE VIEW x AS SELECT current_date AS a FROM t",
        "CREATE VIEW x AS SELECT s.t.a FROM t",
        "CREATE VIEW x AS SELECT ARRAY[a] AS b FROM t",
        "CREATE VIEW x AS SELECT ROW(a) AS b FROM t",
        "CREATE VIEW x AS SELECT $1 AS b FROM t",
        "CREATE VIEW x AS SELECT a[1] AS b FROM t",
        /* INSERT */
        "INSERT INTO x VALUES (1)",
        "INSERT INTO x DEFAULT VALUES",
        "INSERT INTO x SELECT a FROM t ON CONFLICT DO NOTHING",
        "INSERT INTO x SELECT a FROM t RETURNING a",
        "INSERT INTO x OVERRIDING USER VALUE SELECT a FROM t",
        "INSERT INTO x AS y SELECT a FROM t JOIN t u ON true",
        "INSERT INTO x (a) SELECT a FROM t",
        "WITH y AS (SELECT a FROM t) INSERT INTO x SELECT a FROM y",
        "INSERT INTO x SELECT a, count(*) AS c FROM t GROUP BY a",
        "INSERT INTO x (a[1]) SELECT a FROM t",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[1024];
        struct told told;
        snprintf(text, sizeof text, "%s%s", TABLE, texts[i]);
        compile(text, strlen(text), &told);
        if (told.count != 1)
            fail_msg("%d errors for %s\n%s", told.count, texts[i], told.text);
        if (strstr(told.text, "line 2, column ") == NULL || strstr(told.text, "^") == NULL)
            fail_msg("no place for %s\n%s", texts[i], told.text);
        if (strstr(told.text, "syntax error") != NULL &&
            strncmp(texts[i], "CREATE VIEW x WITH", 18) != 0)
            fail_msg("%s is no statement of PostgreSQL's\n%s", texts[i], told.text);
    }
}

static void hostile(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "x",
        "(",
        ")",
        "(;",
        "CREATE TABLE u (a text",
        "$$;$$",
        "$x$",
        "'",
        "\"",
        "/*",
        "E'\\",
        "CREATE VIEW a AS SELECT (",
        ";;x;;",
        "\xff",
        "\xc3",
        "CREATE TABLE u (\"\" text);",
        "CREATE VIEW \"\" AS SELECT a FROM t;",
    };
    struct told told;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", TABLE, texts[i]);
        compile(text, strlen(text), &told);
        if (told.count == 0)
            fail_msg("no error for %s", texts[i]);
    }
    assert_int_equal(compile("CREATE\0TABLE", 12, &told), ERR_INVALID);
    assert_non_null(strstr(told.text, "NUL"));
    static const char *const nothing[] = {"",        ";", ";;;", " \n\t", "-- x", "/* /* x */ */",
                                          ";-- x\n;"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
        assert_int_equal(compile(nothing[i], strlen(nothing[i]), &told), 0);
    assert_int_equal(compile(TABLE, strlen(TABLE), &told), 0);
    /* Without a semicolon behind the last one. */
    assert_int_equal(compile(TABLE, strlen(TABLE) - 2, &told), 0);
}

static void large(void **state)
{
    (void)state;
    struct told told;
    struct buf text;
    buf_init(&text, 0);
    for (int i = 0; i < 2 * 1024 * 1024; i++)
        buf_u8(&text, ' ');
    buf_u8(&text, 0);
    assert_int_equal(compile((const char *)text.data, text.size - 1, &told), ERR_TOO_LARGE);
    static const struct {
        const char *before, *part, *after;
        int count;
        const char *error;
    } cases[] = {
        {"CREATE VIEW v AS SELECT n ", "+1", " AS x FROM t", 14000,
         "nested deeper than 1000 levels"},
        {"CREATE VIEW v AS SELECT n ", "+1", " AS x FROM t", 100000, "longer than 32768 bytes"},
        {"CREATE VIEW v AS SELECT ", "(", "", 32000, "nested too deeply"},
        {"CREATE VIEW v AS SELECT a FROM ", "(SELECT a FROM ", "", 1000, "syntax error"},
        {"", ";", "x", 100000, "syntax error"},
        {"", "CREATE TABLE u (a text);", "", 1001, "at most 1000 statements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&text);
        buf_printf(&text, "%s%s", TABLE, cases[i].before);
        for (int k = 0; k < cases[i].count; k++)
            buf_printf(&text, "%s", cases[i].part);
        buf_printf(&text, "%s", cases[i].after);
        buf_u8(&text, 0);
        assert_true(compile((const char *)text.data, text.size - 1, &told) < 0);
        assert_int_equal(told.count, 1);
        if (strstr(told.text, cases[i].error) == NULL)
            fail_msg("case %zu: %s", i, told.text);
    }
    /* As deep as SELECTs may be, and one more. */
    for (int depth = 30; depth <= 33; depth++) {
        buf_clear(&text);
        buf_printf(&text, "%sCREATE VIEW v AS SELECT a FROM ", TABLE);
        for (int k = 1; k < depth; k++)
            buf_printf(&text, "(SELECT a FROM ");
        buf_printf(&text, "t");
        for (int k = 1; k < depth; k++)
            buf_printf(&text, ") x");
        buf_u8(&text, 0);
        assert_true((compile((const char *)text.data, text.size - 1, &told) == 0) == (depth <= 32));
    }
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cycles_of_views), cmocka_unit_test(unions_of_unions),
        cmocka_unit_test(several_files),   cmocka_unit_test(joins),
        cmocka_unit_test(joins_of_tables), cmocka_unit_test(joins_of_streams),
        cmocka_unit_test(topics_of_joins), cmocka_unit_test(own_topics),
        cmocka_unit_test(names_that_go),   cmocka_unit_test(messages),
        cmocka_unit_test(each_error_once), cmocka_unit_test(statements_of_postgresql),
        cmocka_unit_test(hostile),         cmocka_unit_test(large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
