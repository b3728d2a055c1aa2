/* test_expr_parse.c: what is refused, with which code and which words; hostile input; and that no
 * node of PostgreSQL's is passed over. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>
#include <limits.h>
#include <pthread.h>

#include "operators/expr_parse.h"
#include "operators/syntax.h"
#include "tests/support/expression_rows.h"

static int compile(const char *sql, struct diag *diag)
{
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct expr *expr;
    *diag = (struct diag){0};
    int rc = expr_parse_condition(sql, &scope, &expr, diag);
    assert_true((rc == 0) == (expr != NULL));
    assert_int_equal(rc, diag->code);
    expr_destroy(expr);
    field_set_destroy(fields);
    return rc;
}

static void messages(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int code;
        const char *text;
    } cases[] = {
        {"x > 1 + foo(y)", ERR_INVALID,
         "function foo does not exist, line 1, column 9:\n  x > 1 + foo(y)\n          ^"},
        {"flor(x) = 1", ERR_INVALID,
         "function flor does not exist, line 1, column 1:\n  flor(x) = 1\n  ^\nhint: did you mean "
         "\"floor\"?"},
        {"x = 'é' AND\n\tupper(y) ~~~ 'z'", ERR_UNSUPPORTED,
         "operator ~~~ is not supported, line 2, column 11:\n   upper(y) ~~~ 'z'\n            "
         "^\n"
         "hint: LIKE, ILIKE and the regular expressions of ~ and ~* match patterns"},
        {"x = 'é' AND\n\tupper(y) ~ '(z'", ERR_INVALID,
         "the regular expression is wrong: missing ): (z, line 2, column 13:\n   upper(y) ~ "
         "'(z'\n              ^"},
        {"x #>> '{a'", ERR_INVALID,
         "operator #>> takes a path, a text in braces, line 1, column 7:\n  x #>> '{a'\n        "
         "^\nhint: write value #>> '{customer,address,0}'"},
        {"'é' = )", ERR_INVALID,
         "syntax error at or near \")\", line 1, column 7:\n  'é' = )\n        ^"},
        {"x =", ERR_INVALID, "syntax error at end of input, line 1, column 4:\n  x =\n     ^"},
        {"x", 0, ""},
        {"1", ERR_INVALID,
         "a condition must be boolean, not bigint, line 1, column 1:\n  1\n  ^\n"
         "hint: compare it with something, as in x <> 0"},
        {"", ERR_INVALID, "the expression is empty"},
        {" \n\t", ERR_INVALID, "the expression is empty"},
        {"/* nothing */", ERR_INVALID, "the expression is empty"},
        {"x > 1, y > 2", ERR_INVALID,
         "one condition is expected, not a list, line 1, column 8:\n  x > 1, y > 2\n         ^\n"
         "hint: join conditions with AND"},
        {"substr(x) = 'a'", ERR_INVALID,
         "function substr does not take (json), line 1, column 1:\n  substr(x) = 'a'\n  ^\n"
         "hint: substr(text, bigint) or substr(text, bigint, bigint) or substr(bytea, bigint) or "
         "substr(bytea, bigint, bigint)"},
        {"x::bigint = 'abc'", ERR_INVALID,
         "invalid input syntax for type bigint: \"abc\", line 1, column 13:\n  x::bigint = 'abc'\n"
         "              ^"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct diag diag;
        int rc = compile(cases[i].sql, &diag);
        if (rc != cases[i].code || strcmp(diag.text, cases[i].text) != 0)
            print_error("%s: %d\n%s\n", cases[i].sql, rc, diag.text);
        assert_int_equal(rc, cases[i].code);
        assert_string_equal(diag.text, cases[i].text);
    }
}

static void refused_forms(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int code;
        const char *word;
    } cases[] = {
        {"true; true", ERR_INVALID, "syntax error"},
        {"true; SELECT true", ERR_INVALID, "several statements"},
        {"true FROM t", ERR_UNSUPPORTED, "FROM"},
        {"true WHERE false", ERR_UNSUPPORTED, "WHERE"},
        {"true GROUP BY x", ERR_UNSUPPORTED, "GROUP BY"},
        {"true HAVING true", ERR_UNSUPPORTED, "HAVING"},
        {"true ORDER BY 1", ERR_UNSUPPORTED, "ORDER BY"},
        {"true LIMIT 1", ERR_UNSUPPORTED, "LIMIT"},
        {"true OFFSET 1", ERR_UNSUPPORTED, "OFFSET"},
        {"true UNION SELECT true", ERR_UNSUPPORTED, "UNION"},
        {"true INTO t", ERR_UNSUPPORTED, "INTO"},
        {"true FOR UPDATE", ERR_UNSUPPORTED, "FOR UPDATE"},
        {"DISTINCT x", ERR_UNSUPPORTED, "DISTINCT"},
        {"x AS y", ERR_INVALID, "has no name"},
        {"*", ERR_UNSUPPORTED, "*"},
        {"t.*", ERR_UNSUPPORTED, "*"},
        {"(SELECT true)", ERR_UNSUPPORTED, "subquery"},
        {"EXISTS (SELECT 1)", ERR_UNSUPPORTED, "subquery"},
        {"x IN (SELECT 1)", ERR_UNSUPPORTED, "subquery"},
        {"x = ANY (ARRAY[1])", ERR_UNSUPPORTED, "ANY"},
        {"x = ANY ('{1}')", ERR_UNSUPPORTED, "ANY"},
        {"ARRAY[1] = x", ERR_UNSUPPORTED, "ARRAY"},
        {"ROW(1, 2) = ROW(1, 2)", ERR_UNSUPPORTED, "row"},
        {"(1, 2) = (1, 2)", ERR_UNSUPPORTED, "row"},
        {"x[1] = 1", ERR_UNSUPPORTED, "subscript"},
        {"(x).y = 1", ERR_UNSUPPORTED, "subscript or field"},
        {"$1 = x", ERR_UNSUPPORTED, "parameter"},
        {"x COLLATE \"C\" = 'a'", ERR_UNSUPPORTED, "COLLATE"},
        {"sum(x) OVER () > 1", ERR_UNSUPPORTED, "window function"},
        {"lower(VARIADIC x) = 'a'", ERR_UNSUPPORTED, "VARIADIC"},
        {"lower(a => x) = 'a'", ERR_UNSUPPORTED, "named argument"},
        {"lower(x ORDER BY y) = 'a'", ERR_UNSUPPORTED, "ORDER BY"},
        {"lower(DISTINCT x) = 'a'", ERR_INVALID, "not an aggregate"},
        {"lower(*) = 'a'", ERR_INVALID, "not an aggregate"},
        {"lower(x) FILTER (WHERE true) = 'a'", ERR_INVALID, "not an aggregate"},
        {"count(*) > 1", ERR_INVALID, "not allowed here"},
        {"pg_sleep(1) = x", ERR_INVALID, "does not exist"},
        {"public.lower(x) = 'a'", ERR_UNSUPPORTED, "schema"},
        {"x OPERATOR(pg_catalog.=) 1", ERR_UNSUPPORTED, "OPERATOR"},
        {"x SIMILAR TO 'a'", ERR_UNSUPPORTED, "SIMILAR"},
        {"x LIKE 'a' ESCAPE 'b'", ERR_UNSUPPORTED, "like_escape"},
        {"x ~~~ 'a'", ERR_UNSUPPORTED, "~~~"},
        {"x #- '{a}' = 'b'", ERR_UNSUPPORTED, "#-"},
        {"x @> 'a'", ERR_UNSUPPORTED, "@>"},
        {"x ^ 2 = 4", ERR_UNSUPPORTED, "^"},
        {"x & 1 = 1", ERR_UNSUPPORTED, "&"},
        {"@ x = 1", ERR_UNSUPPORTED, "@"},
        {"x IS DOCUMENT", ERR_UNSUPPORTED, "XML"},
        {"GROUPING(x) = 1", ERR_UNSUPPORTED, "GROUPING"},
        {"current_user = 'a'", ERR_UNSUPPORTED, "session"},
        {"now() > x", ERR_UNSUPPORTED, "now"},
        {"random() > x", ERR_UNSUPPORTED, "random"},
        {"B'101' = x", ERR_UNSUPPORTED, "bit string"},
        {"x = 123456789012345678901234567890123456789", ERR_INVALID, "38 digits"},
        {"x = 1e400", ERR_INVALID, "38 digits"},
        {"a.b.c.d.e.f.g.h.i = 1", ERR_TOO_LARGE, "parts"},
        {"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij = 1", ERR_TOO_LARGE,
         "59 bytes"},
        {"x IN (1, 'a')", ERR_INVALID, "one type"},
        {"x = 1 = 'maybe'", ERR_INVALID, "syntax error"},
        {"1 + 'a' = 2", ERR_INVALID, "bigint"},
        {"NULL + NULL = 1", ERR_INVALID, "unknown"},
        {"true > 1", ERR_INVALID, "does not compare"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct diag diag;
        int rc = compile(cases[i].sql, &diag);
        if (rc != cases[i].code || strstr(diag.text, cases[i].word) == NULL)
            print_error("%s: %d\n%s\n", cases[i].sql, rc, diag.text);
        assert_int_equal(rc, cases[i].code);
        assert_non_null(strstr(diag.text, cases[i].word));
    }
}

static char *repeated(const char *head, const char *unit, size_t count, const char *tail)
{
    size_t size = strlen(unit);
    char *text = malloc(strlen(head) + size * count + strlen(tail) + 1), *at = stpcpy(text, head);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, unit);
    stpcpy(at, tail);
    return text;
}

static int compile_repeated(const char *head, const char *unit, size_t count, const char *tail)
{
    struct diag diag;
    char *sql = repeated(head, unit, count, tail);
    int rc = compile(sql, &diag);
    assert_true(strlen(diag.text) < sizeof diag.text);
    free(sql);
    return rc;
}

static void depth_and_size(void **state)
{
    (void)state;
    assert_int_equal(compile_repeated("", "(", 100000, ""), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("", "(", 20000, "x"), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("", "((((((((((", 300, "x"), ERR_INVALID);
    assert_int_equal(compile_repeated("", "NOT ", 900, "x"), 0);
    assert_int_equal(compile_repeated("", "NOT ", 8000, "x"), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("x = 1", "+1", 900, ""), 0);
    assert_int_equal(compile_repeated("x = 1", "+1", 16000, ""), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("x = 1", "+y", 900, ""), 0);
    assert_int_equal(compile_repeated("x", " IS NULL", 4000, ""), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("x = y", "::int", 6000, ""), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("x[1", "][1", 8000, "]"), ERR_UNSUPPORTED);
    assert_int_equal(compile_repeated("x = 1", " AND x = 1", 3000, ""), 0);
    assert_int_equal(compile_repeated("x = 1", " OR x = 1", 3000, ""), 0);
    assert_int_equal(compile_repeated("x IN (1", ",1", 16000, ")"), 0);
    assert_int_equal(compile_repeated("x IN (1", ",y", 10000, ")"), 0);
    assert_int_equal(compile_repeated("x = '", "a", 32 * 1024, "'"), ERR_TOO_LARGE);
    assert_int_equal(compile_repeated("CASE", " WHEN x THEN y", 2000, " END"), 0);
    assert_int_equal(compile_repeated("", "CASE WHEN x THEN ", 900, "x"), ERR_INVALID);
    assert_int_equal(compile_repeated("f(", "f(", 9000, "1"), ERR_TOO_LARGE);
    /* The operand of BETWEEN is evaluated once: doubling at each level would never end. */
    assert_int_equal(
        compile_repeated("((((((((((((((((((((((((((((((x", " BETWEEN false AND true)", 30, ""), 0);
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x = '\xff'",    "x = '\xc0\xaf'", "x = '\xed\xa0\x80'",    "x = '\xf4\x90\x80\x80'",
        "x = '\xe2\x82", "\x80",           "x = '\xf0\x80\x80\xaf'"};
    struct diag diag;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(compile(bad[i], &diag), ERR_INVALID);
        assert_non_null(strstr(diag.text, "UTF-8"));
    }
    assert_int_equal(compile("x = 'a\0' AND false", &diag), ERR_INVALID);
    assert_int_equal(compile("x = E'\\000'", &diag), ERR_INVALID);
    assert_int_equal(compile("x = E'\\xff'", &diag), ERR_INVALID);
    assert_int_equal(compile("x = U&'\\0000'", &diag), ERR_INVALID);
    assert_int_equal(compile("x = '\xf0\x9f\x98\x80'", &diag), 0);
    assert_int_equal(compile("x /* open", &diag), ERR_INVALID);
    assert_int_equal(compile("x -- comment", &diag), 0);
    assert_int_equal(compile("x;", &diag), 0);
}

static const PgQuery__Node__NodeCase handled[] = {
    PG_QUERY__NODE__NODE_A_CONST,      PG_QUERY__NODE__NODE_COLUMN_REF,
    PG_QUERY__NODE__NODE_A_EXPR,       PG_QUERY__NODE__NODE_BOOL_EXPR,
    PG_QUERY__NODE__NODE_NULL_TEST,    PG_QUERY__NODE__NODE_BOOLEAN_TEST,
    PG_QUERY__NODE__NODE_CASE_EXPR,    PG_QUERY__NODE__NODE_COALESCE_EXPR,
    PG_QUERY__NODE__NODE_MIN_MAX_EXPR, PG_QUERY__NODE__NODE_TYPE_CAST,
    PG_QUERY__NODE__NODE_FUNC_CALL,
};

static bool is_handled(uint32_t id)
{
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        if ((uint32_t)handled[i] == id)
            return true;
    }
    return false;
}

/* One node of each of PostgreSQL's types, without content, given to the walk. */
static void every_node_type(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *descriptor = &pg_query__node__descriptor;
    uint32_t refused_count = 0;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const ProtobufCMessageDescriptor *inner = field->descriptor;
        struct diag diag = {0};
        struct syntax *syntax;
        struct arena arena;
        if (is_handled(field->id))
            continue;
        ProtobufCMessage *message = calloc(1, inner->sizeof_message);
        protobuf_c_message_init(inner, message);
        PgQuery__Node node = PG_QUERY__NODE__INIT;
        node.node_case = (PgQuery__Node__NodeCase)field->id;
        node.alias = (PgQuery__Alias *)message;
        arena_init(&arena, 0);
        struct parse parse = {.source = {"x", &diag}, .arena = &arena, .near = 0};
        assert_int_equal(syntax_from_node(&parse, &node, &syntax), ERR_UNSUPPORTED);
        assert_non_null(strstr(diag.text, "is not supported"));
        assert_null(syntax);
        arena_deinit(&arena);
        free(message);
        refused_count++;
    }
    assert_int_equal(refused_count + sizeof handled / sizeof handled[0], descriptor->n_fields);
}

static void names_of_outputs(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *names;
    } cases[] = {
        {"a, b AS x, a.b.c", "a x c "},
        {"lower(a), b::bigint, (lower(c)::text) AS d", "lower b d "},
        {"coalesce(a, 1), nullif(a, 1), greatest(a, 1), least(a, 1)",
         "coalesce nullif greatest least "},
        {"CASE WHEN a THEN b END, CASE WHEN a THEN 1 ELSE c END", "case c "},
        {"extract(year FROM a::timestamptz), substring('abc' FROM 2)", "extract substring "},
        {"\"Quoted Name\"", "Quoted Name "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct field_set *fields = field_set_create();
        struct scope scope = field_set_scope(fields);
        struct expr_list *list;
        struct diag diag;
        char names[200] = "";
        assert_int_equal(expr_parse_list(cases[i].sql, &scope, &list, &diag), 0);
        for (uint32_t k = 0; k < list->count; k++) {
            strcat(names, list->names[k]);
            strcat(names, " ");
        }
        assert_string_equal(names, cases[i].names);
        expr_list_destroy(list);
        field_set_destroy(fields);
    }
    expect("1), (a + 1", "", "?-4");
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct expr_list *list;
    struct diag diag;
    assert_int_equal(expr_parse_list("a, a + 1", &scope, &list, &diag), ERR_INVALID);
    assert_string_equal(diag.text,
                        "this expression has no name, line 1, column 4:\n  a, a + 1\n     ^\n"
                        "hint: give it a name with AS");
    assert_int_equal(expr_parse_list("a, b AS a", &scope, &list, &diag), ERR_EXISTS);
    field_set_destroy(fields);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MAPS_MUCH
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPS_MUCH /* a sanitizer: address space cannot be limited */
#endif

#ifndef MAPS_MUCH
static int64_t mapped_bytes(void)
{
    long long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* From here on nobody gets another stack for the parser. */
static void parse_without_room(void *context)
{
    struct rlimit had, tight;
    struct diag diag;
    assert_int_equal(getrlimit(RLIMIT_AS, &had), 0);
    tight = had;
    tight.rlim_cur = (rlim_t)mapped_bytes() + (64 << 20);
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    for (int i = 0; i < 100; i++)
        *(int *)context = compile("a > 1 AND b < (2 + a)", &diag);
    assert_int_equal(setrlimit(RLIMIT_AS, &had), 0);
}

static void one_thread_for_many_texts(void **state)
{
    (void)state;
    int rc = 1;
    struct diag diag;
    assert_int_equal(expr_on_large_stack(parse_without_room, &rc, &diag), 0);
    assert_int_equal(rc, 0);
    rc = 1;
    parse_without_room(&rc); /* the thread is there, and used again */
    assert_int_equal(rc, 0);
    assert_int_equal(compile("a > 1", &diag), 0);
}

/* Thread-specific keys that a process can still have. */
static int free_keys(void)
{
    static pthread_key_t keys[PTHREAD_KEYS_MAX];
    int count = 0;
    while (count < PTHREAD_KEYS_MAX && pthread_key_create(&keys[count], NULL) == 0)
        count++;
    for (int i = 0; i < count; i++)
        pthread_key_delete(keys[i]);
    return count;
}

/* As a thread that answers one request does. */
static void *parse_and_print(void *context)
{
    struct buf out = {0};
    struct diag diag;
    *(int *)context += compile("a > 1", &diag);
    syntax_print_name("plain", &out);
    syntax_print_name("select", &out);
    *(int *)context += !bytes_equal(bytes_of(out.data, out.size), bytes_text("plain\"select\""));
    buf_deinit(&out);
    return NULL;
}

/* libpg_query keeps a key for each thread that calls it. */
static void keys_are_not_used_up(void **state)
{
    (void)state;
    pthread_t thread;
    int failed = 0;
    parse_and_print(&failed);
    int before = free_keys();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pthread_create(&thread, NULL, parse_and_print, &failed), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(failed, 0);
    assert_int_equal(free_keys(), before);
}
#else
static void keys_are_not_used_up(void **state)
{
    (void)state;
    skip();
}
static void one_thread_for_many_texts(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(refused_forms),
        cmocka_unit_test(depth_and_size),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(every_node_type),
        cmocka_unit_test(names_of_outputs),
        cmocka_unit_test(one_thread_for_many_texts),
        cmocka_unit_test(keys_are_not_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
