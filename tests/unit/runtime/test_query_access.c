/* Tests of query_access.c: which conditions become look-ups and ranges, and that none of them leaves a row out for which
 * it is true. Keys are written out here by the format's description (docs/formats-engine.md), and the second half asks the
 * engine's own filter about rows that were drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/group_key.h"
#include "runtime/query.h"
#include "runtime/query_access.h"

struct asked {
    weir_app *app;
    struct plan *plan;
    const struct view *view;
};

/* Grouped by a bigint and a text, in hours. */
static struct asked open_hours(void)
{
    struct asked asked = {.app = weir_app_open("asked", NULL)};
    struct diag diag = {0};
    weir_stream *rows = weir_map(weir_source(asked.app, "rows", WEIR_JSON, "ts"),
                                 "i::bigint AS i, t::text AS t, n::bigint AS n");
    weir_to(weir_aggregate(weir_tumbling(weir_group_by(rows, "i, t"), WEIR_HOURS(1)),
                           "count(*) AS rows, sum(n) AS n"),
            "hours");
    if (plan_compile(asked.app, &asked.plan, &diag) < 0)
        fail_msg("%s", diag.text);
    asked.view = &asked.plan->views[0];
    return asked;
}

/* By one column of a type, without windows. */
static struct asked open_by(const char *type)
{
    struct asked asked = {.app = weir_app_open("asked", NULL)};
    struct diag diag = {0};
    char group[64];
    snprintf(group, sizeof group, "%s AS k", type);
    weir_to(weir_aggregate(weir_group_by(weir_source(asked.app, "rows", WEIR_JSON, NULL), group),
                           "count(*) AS rows"),
            "by");
    if (plan_compile(asked.app, &asked.plan, &diag) < 0)
        fail_msg("%s", diag.text);
    asked.view = &asked.plan->views[0];
    return asked;
}

static void close_asked(struct asked *asked)
{
    plan_destroy(asked->plan);
    weir_app_close(asked->app);
}

static struct query *ask(const struct asked *asked, const char *where)
{
    char text[1024];
    struct query *query;
    struct diag diag = {0};
    snprintf(text, sizeof text, "SELECT * FROM v%s%s", where[0] != '\0' ? " WHERE " : "", where);
    if (query_create(text, strlen(text), &query, &diag) < 0 ||
        query_compile(query, asked->view, &diag) < 0)
        fail_msg("%s: %s", where, diag.text);
    return query;
}

static void put_hex(struct bytes bytes, char *text)
{
    for (size_t i = 0; i < bytes.size; i++)
        text += sprintf(text, "%02x", bytes.data[i]);
    *text = '\0';
}

/* "points A B", "range A to B", "all", "nothing"; then windows, as hours since 1970, and the part. */
static const char *access_text(const struct view_access *access)
{
    static char text[4096];
    char hex[600], *at = text;
    if (access->is_empty)
        return "nothing";
    if (access->points != NULL) {
        at += sprintf(at, "points");
        for (uint32_t i = 0; i < access->point_count; i++) {
            put_hex(access->points[i], hex);
            at += sprintf(at, " %s", hex);
        }
    } else if (access->low.size > 0 || access->high.data != NULL) {
        put_hex(access->low, hex);
        at += sprintf(at, "range %s", hex);
        put_hex(access->high, hex);
        at += sprintf(at, " to %s", hex);
    } else {
        at += sprintf(at, "all");
    }
    if (access->window_from_ms != INT64_MIN)
        at += sprintf(at, " from %g", (double)access->window_from_ms / 3600e3);
    if (access->window_to_ms != INT64_MAX)
        at += sprintf(at, " until %g", (double)access->window_to_ms / 3600e3);
    if (access->part != WINDOWS_ALL)
        sprintf(at, access->part == WINDOWS_OPEN ? " open" : " closed");
    return text;
}

static void expect(const struct asked *asked, const char *where, const char *expected)
{
    struct query *query = ask(asked, where);
    const char *text = access_text(query_access(query));
    if (strcmp(text, expected) != 0)
        fail_msg("%s: %s, expected %s", where, text, expected);
    query_destroy(query);
}

#define I(n)         "0380000000000000" n /* a small bigint, two digits */
#define T(size, hex) "05" size hex

static void test_conditions(void **state)
{
    (void)state;
    struct asked hours = open_hours();
    static const struct {
        const char *where, *expected;
    } cases[] = {
        {"", "all"},
        {"i = 5 AND t = 'ab'", "points " I("05") T("02", "6162")},
        {"'ab' = t AND rows > 1 AND 5 = i", "points " I("05") T("02", "6162")},
        {"i IN (1, 2) AND t = ''", "points " I("01") T("00", "") " " I("02") T("00", "")},
        {"i IN (1, 1, 1) AND t IN ('x')", "points " I("01") T("01", "78")},
        {"i = 2 + 3 AND t = upper('a') || 'b'", "points " I("05") T("02", "4162")},
        {"i = '5' AND t = 'x'", "points " I("05") T("01", "78")},
        {"i = 5.0 AND t = 'x'", "points " I("05") T("01", "78")},
        {"i IS NULL AND t IS NULL", "points 0000"},
        {"i = 5", "range " I("05") " to " I("06")},
        {"i = -1", "range 037fffffffffffffff to 0380"},
        {"i = 5 AND t > 'x'", "range " I("05") " to " I("06")},
        {"i > 5", "range " I("06") " to 04"},
        {"i >= 5 AND i < 7", "range " I("05") " to " I("07")},
        {"i BETWEEN 5 AND 6", "range " I("05") " to " I("07")},
        {"5 >= i", "range 030000000000000000 to " I("06")},
        {"i > 5 AND i < 5", "nothing"},
        {"i = 5::double precision", "all"},
        {"i < 5.5", "all"},
        {"i NOT IN (1, 2)", "all"},
        {"i NOT BETWEEN 1 AND 2", "all"},
        {"i BETWEEN SYMMETRIC 2 AND 1", "all"},
        {"i <> 5", "all"},
        {"i = 5 OR t = 'x'", "all"},
        {"NOT (i = 5)", "all"},
        {"t = 'x'", "all"},
        {"i = rows", "all"},
        {"i = 1 / 0", "all"},
        {"i = NULL", "all"},
        {"rows = 5", "all"},
        {"window_start = '1970-01-01T05:00:00Z'", "all from 5 until 5"},
        {"window_start > TIMESTAMPTZ '1970-01-01T05:00:00Z' - INTERVAL '1 hour' AND window_start "
         "<= "
         "'1970-01-02'",
         "all from 4 until 24"},
        {"window_end <= '1970-01-01T05:00:00Z'", "all until 4"},
        {"window_end = '1970-01-01T05:00:00Z' AND i = 1 AND t = 'x'",
         "points " I("01") T("01", "78") " from 4 until 4"},
        {"window_start BETWEEN '1970-01-01' AND '1970-01-02' AND i = 5",
         "range " I("05") " to " I("06") " from 0 until 24"},
        {"window_start IN ('1970-01-01T07:00:00Z', '1970-01-01T02:00:00Z')", "all from 2 until 7"},
        {"window_start > '1970-01-02' AND window_start < '1970-01-01'", "nothing"},
        {"window_open", "all open"},
        {"NOT window_open", "all closed"},
        {"window_open IS TRUE", "all open"},
        {"window_open IS FALSE", "all closed"},
        {"window_open IS NOT FALSE", "all"},
        {"window_open IS UNKNOWN", "all"},
        {"window_open = false AND i = 5", "range " I("05") " to " I("06") " closed"},
        {"window_open OR i = 5", "all"},
        {"window_open = (i = 5)", "all"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(&hours, cases[i].where, cases[i].expected);
    close_asked(&hours);
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *type, *where, *expected;
    } cases[] = {
        {"k", "k = 5", "points " I("05")},
        {"k", "k = 5.50",
         "points 0401"
         "00000000000000000000000000000037"},
        {"k", "k = 'x'", "points " T("01", "78")},
        {"k", "k = true", "points 02"},
        {"k", "k > 5", "all"},
        {"k::numeric", "k = 5", "points " I("05")},
        {"k::numeric", "k = 1.50",
         "points 0401"
         "0000000000000000000000000000000f"},
        {"k::numeric", "k < 5", "all"},
        {"k::double precision", "k = 1", "points 063ff0000000000000"},
        {"k::double precision", "k = -0.0", "points 060000000000000000"},
        {"k::boolean", "k = false", "points 01"},
        {"k::boolean", "k", "all"},
        {"k::timestamptz", "k = '1970-01-01T00:00:00.005Z'", "points 078000000000000005"},
        {"k::timestamptz", "k >= '1970-01-01T00:00:00.005Z'", "range 078000000000000005 to 08"},
        {"k::interval", "k = INTERVAL '5 milliseconds'", "points " I("05")},
        {"k::bytea", "k = '\\x6162'", "points 09026162"},
        {"k::text", "k = '5'", "points " T("01", "35")},
        {"k::text", "k IN ('a', 'b', 'a')", "points " T("01", "61") " " T("01", "62")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked by = open_by(cases[i].type);
        expect(&by, cases[i].where, cases[i].expected);
        close_asked(&by);
    }
}

/* More combinations than are looked up one by one: what is left is the columns in front. */
static void test_many_points(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        int texts;
        uint32_t points;
        const char *access; /* without points */
    } cases[] = {{"i = 1", 1000, 1000, NULL},
                 {"i = 1", 1001, 0, "range " I("01") " to " I("02")},
                 {"i IN (1, 2)", 500, 1000, NULL},
                 {"i IN (1, 2)", 501, 0, "all"}};
    struct asked hours = open_hours();
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        char text[9000], *at = text;
        struct query *query;
        struct diag diag = {0};
        at += sprintf(at, "SELECT * FROM v WHERE %s AND t IN ('0'", cases[c].first);
        for (int i = 1; i < cases[c].texts; i++)
            at += sprintf(at, ",'%d'", i);
        strcpy(at, ")");
        assert_int_equal(query_create(text, strlen(text), &query, &diag), 0);
        assert_int_equal(query_compile(query, hours.view, &diag), 0);
        assert_int_equal(query_access(query)->point_count, cases[c].points);
        if (cases[c].access != NULL)
            assert_string_equal(access_text(query_access(query)), cases[c].access);
        query_destroy(query);
    }
    close_asked(&hours);
}

/* ---- no row is left out ---- */

static uint32_t draw_state = 1;
static uint32_t draw(uint32_t below)
{
    draw_state = draw_state * 1664525 + 1013904223;
    return (draw_state >> 8) % below;
}

static void draw_part(char *text)
{
    static const char *const parts[] = {
        "i = %d",
        "i > %d",
        "%d >= i",
        "i IN (%d, 2, -1)",
        "i BETWEEN %d AND 3",
        "i IS NULL",
        "t = 'x%d'",
        "t IN ('x1', 'x%d', '')",
        "t IS NULL",
        "NOT i = %d",
        "window_start = to_timestamp(3600 * %d)",
        "window_start > to_timestamp(3600 * %d)",
        "window_end <= to_timestamp(3600 * %d)",
        "window_start BETWEEN to_timestamp(3600) AND to_timestamp(3600 * %d)",
        "window_start IN (to_timestamp(7200), to_timestamp(3600 * %d))",
        "(i = %d OR t = 'x1')",
        "i + 1 = %d",
        "i = %d.0",
        "window_open",
        "NOT window_open",
    };
    sprintf(text, parts[draw(sizeof parts / sizeof parts[0])], (int)draw(7) - 2);
}

enum { ROWS = 600 };

/* Rows of the view's columns: i, t, window_start, window_end, rows, n, window_open. */
static void draw_rows(struct arena *arena, struct batch *batch, int64_t *starts, struct bytes *keys)
{
    static const enum col_type types[] = {COL_BIGINT, COL_TEXT,    COL_TIMESTAMPTZ, COL_TIMESTAMPTZ,
                                          COL_BIGINT, COL_NUMERIC, COL_BOOLEAN};
    struct column *columns = arena_alloc(arena, 7 * sizeof *columns);
    for (int c = 0; c < 7; c++)
        assert_int_equal(column_alloc(&columns[c], types[c], ROWS, true, arena), 0);
    for (uint32_t r = 0; r < ROWS; r++) {
        char text[8];
        columns[0].nulls[r] = draw(8) == 0;
        columns[0].i64[r] = (int64_t)draw(8) - 3;
        columns[1].nulls[r] = draw(8) == 0;
        unsigned number = draw(7);
        snprintf(text, sizeof text, "x%u", number);
        if (number == 6)
            text[0] = '\0';
        columns[1].text[r] = arena_copy(arena, bytes_text(text));
        starts[r] = columns[2].i64[r] = ((int64_t)draw(8) - 3) * 3600000;
        columns[3].i64[r] = starts[r] + 3600000;
        columns[4].i64[r] = 1;
        columns[5].numeric[r] = numeric_from_i64(1);
        columns[6].boolean[r] = starts[r] >= 3600000;
        struct buf key = {0};
        group_key_encode(&key, columns, 2, r);
        keys[r] = arena_copy(arena, bytes_of(key.data, key.size));
        buf_deinit(&key);
    }
    *batch = (struct batch){.row_count = ROWS,
                            .selected_count = ROWS,
                            .columns = columns,
                            .column_count = 7,
                            .arena = arena};
}

static void test_no_row_is_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"i",    "t", "window_start", "window_end",
                                        "rows", "n", "window_open"};
    struct asked hours = open_hours();
    struct arena arena;
    struct batch batch;
    static int64_t starts[ROWS];
    static struct bytes keys[ROWS];
    uint32_t taken = 0, narrowed = 0;
    arena_init(&arena, 0);
    draw_rows(&arena, &batch, starts, keys);
    enum col_type types[7];
    for (int c = 0; c < 7; c++)
        types[c] = batch.columns[c].type;
    struct named_columns columns = {names, types, 7};
    struct scope scope = named_columns_scope(&columns);
    for (int round = 0; round < 400; round++) {
        char where[600] = "", part[128];
        for (uint32_t n = 1 + draw(4); n > 0; n--) {
            draw_part(part);
            sprintf(where + strlen(where), "%s%s", where[0] != '\0' ? " AND " : "", part);
        }
        struct query *query = ask(&hours, where);
        const struct view_access *access = query_access(query);
        struct expr *condition;
        struct diag diag = {0};
        struct reject_list rejects = {.arena = &arena};
        uint16_t selection[ROWS];
        uint32_t count;
        assert_int_equal(expr_parse_condition(where, &scope, &condition, &diag), 0);
        assert_int_equal(expr_filter(condition, &batch, selection, &count, &rejects), 0);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t row = selection[k];
            bool is_open = batch.columns[6].boolean[row] != 0;
            if (access->is_empty || !view_access_takes(access, keys[row], starts[row], true) ||
                access->part == (is_open ? WINDOWS_CLOSED : WINDOWS_OPEN))
                fail_msg("%s: leaves out row %u (%s)", where, row, access_text(access));
        }
        taken += count;
        narrowed += strcmp(access_text(access), "all") != 0;
        expr_destroy(condition);
        query_destroy(query);
    }
    assert_true(taken > 1000);
    assert_true(narrowed > 200);
    arena_deinit(&arena);
    close_asked(&hours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_many_points),
        cmocka_unit_test(test_no_row_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
