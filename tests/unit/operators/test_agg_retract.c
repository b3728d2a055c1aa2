/* test_agg_retract.c: accumulators of rows that are taken back, against those that never saw them.
 *
 * Rows come with weights, each is taken back at most once and after it came, and all of it reaches one
 * row of accumulators by partials, cut anywhere. What is left must give what accumulators give that
 * were fed what is left and nothing else (aggregate.h, plans without weights): the same values, to
 * the digits behind the point. Encodings come back the same, and damaged ones are refused or taken,
 * but nothing worse. */
#include "operators/aggregate.h"
#include "tests/support/draw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 64, CALLS = 8 };

static const char list_text[] =
    "count(*) AS a, count(*) FILTER (WHERE flag) AS b, count(number) AS c, sum(number) AS d, "
    "avg(number) AS e, sum(whole) AS f, sum(json) AS g, count(json) AS h";

struct fixture {
    struct agg_list *list;
    struct agg_plan *plain, *net;
    struct arena arena;
    struct column columns[4];
};

static void open_fixture(struct fixture *f)
{
    static const char *const names[] = {"number", "whole", "json", "flag"};
    static const enum col_type types[] = {COL_NUMERIC, COL_BIGINT, COL_VARIANT, COL_BOOLEAN};
    struct named_columns columns = {names, types, 4};
    struct scope scope = named_columns_scope(&columns);
    static const struct named_columns none = {0};
    struct diag diag = {.code = 0};
    assert_int_equal(expr_parse_aggregates(list_text, &scope, &none, false, &f->list, &diag), 0);
    assert_int_equal(f->list->call_count, CALLS);
    assert_int_equal(agg_plan_create(f->list->calls, CALLS, &f->plain, &diag), 0);
    assert_int_equal(agg_plan_create_net(f->list->calls, CALLS, &f->net, &diag), 0);
    arena_init(&f->arena, 0);
    for (int c = 0; c < 4; c++)
        assert_int_equal(
            column_alloc(&f->columns[c], types[c], ROWS, types[c] != COL_VARIANT, &f->arena), 0);
}

static void close_fixture(struct fixture *f)
{
    agg_plan_destroy(f->plain);
    agg_plan_destroy(f->net);
    agg_list_destroy(f->list);
    arena_deinit(&f->arena);
}

static void fill_rows(struct fixture *f)
{
    static const char *const tokens[] = {"1.5", "-2.25", "1e3", "0.00000000000000000000000001",
                                         "99999999999999999999"};
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t scale = draw(6) == 0 ? 20 + draw(19) : draw(5);
        int64_t value = draw(3) == 0 ? 0 : (int64_t)draw(2000000) - 1000000;
        f->columns[0].numeric[i] = (struct numeric){value, (int32_t)scale};
        f->columns[0].nulls[i] = draw(5) == 0;
        f->columns[1].i64[i] = draw(9) == 0 ? INT64_MAX - (int64_t)draw(3) : value;
        f->columns[1].nulls[i] = draw(5) == 0;
        f->columns[3].boolean[i] = (uint8_t)draw(2);
        f->columns[3].nulls[i] = draw(5) == 0;
        struct variant *json = &f->columns[2].variant[i];
        const char *token = tokens[draw(5)];
        if (draw(4) == 0)
            *json = (struct variant){.kind = VARIANT_NULL};
        else if (draw(2))
            *json = (struct variant){.i64 = value, .kind = VARIANT_INT};
        else
            *json = (struct variant){.data = (const uint8_t *)token,
                                     .size = (uint32_t)strlen(token),
                                     .kind = VARIANT_NUMBER};
    }
}

/* Rows [from, to) of an order, with weights, into a row of accumulators. */
static void update(struct fixture *f, const struct agg_plan *plan, void *row, const uint16_t *order,
                   const int8_t *weights, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int8_t by_row[ROWS] = {0};
        uint16_t selection = order[i];
        struct column arguments[CALLS] = {0}, filters[CALLS] = {0};
        struct reject_list rejects = {.arena = &f->arena};
        struct batch batch = {.row_count = ROWS,
                              .selection = &selection,
                              .selected_count = 1,
                              .columns = f->columns,
                              .column_count = 4,
                              .weights = weights != NULL ? by_row : NULL,
                              .arena = &f->arena};
        by_row[selection] = weights != NULL ? weights[i] : 0;
        for (uint32_t c = 0; c < CALLS; c++) {
            const struct agg_call *call = &f->list->calls[c];
            if (call->argument != NULL)
                assert_int_equal(expr_eval(call->argument, &batch, &arguments[c], &rejects), 0);
            if (call->filter != NULL)
                assert_int_equal(expr_eval(call->filter, &batch, &filters[c], &rejects), 0);
        }
        assert_int_equal(agg_check(plan, &batch, arguments, filters, &rejects), 0);
        assert_int_equal(rejects.count, 0);
        assert_int_equal(agg_update(plan, &batch, arguments, filters, &row), 0);
    }
}

static void results(struct fixture *f, const struct agg_plan *plan, const void *row,
                    struct column *out, int *rc)
{
    for (uint32_t c = 0; c < CALLS; c++)
        assert_int_equal(column_alloc(&out[c], f->list->calls[c].result_type, 1, true, &f->arena),
                         0);
    *rc = agg_result(plan, row, out, 0);
}

static void assert_same(struct fixture *f, const void *net, const void *plain)
{
    struct column is[CALLS], want[CALLS];
    int rc, wanted_rc;
    results(f, f->net, net, is, &rc);
    results(f, f->plain, plain, want, &wanted_rc);
    assert_int_equal(rc, wanted_rc);
    assert_int_equal(agg_row_count(net), agg_row_count(plain));
    for (uint32_t c = 0; c < CALLS; c++) {
        assert_int_equal(is[c].nulls[0], want[c].nulls[0]);
        if (is[c].nulls[0])
            continue;
        if (is[c].type == COL_BIGINT)
            assert_int_equal(is[c].i64[0], want[c].i64[0]);
        else
            assert_true(is[c].numeric[0].coefficient == want[c].numeric[0].coefficient &&
                        is[c].numeric[0].scale == want[c].numeric[0].scale);
    }
}

/* Each row comes; some go again, at any time behind that. Returns how many steps there are. */
static uint32_t draw_steps(uint16_t *order, int8_t *weights, bool *stays)
{
    uint32_t count = 0;
    uint16_t present[ROWS];
    uint32_t present_count = 0;
    for (uint16_t i = 0; i < ROWS; i++) {
        stays[i] = true;
        present[present_count++] = i;
        order[count] = i;
        weights[count++] = 1;
        while (present_count > 0 && draw(2) == 0) {
            uint32_t at = draw(present_count);
            order[count] = present[at];
            weights[count++] = -1;
            stays[present[at]] = false;
            present[at] = present[--present_count];
        }
    }
    return count;
}

static void merge_partial(struct fixture *f, void *whole, void *part)
{
    struct buf encoded, again;
    void *copy = calloc(1, agg_plan_row_bytes(f->net));
    void *other = calloc(1, agg_plan_row_bytes(f->plain));
    buf_init(&encoded, 0);
    buf_init(&again, 0);
    agg_encode(f->net, part, &encoded);
    assert_int_equal(agg_merge_encoded(f->net, whole, bytes_of(encoded.data, encoded.size)), 0);
    assert_int_equal(agg_decode(f->net, copy, bytes_of(encoded.data, encoded.size)), 0);
    agg_encode(f->net, copy, &again);
    assert_true(
        bytes_equal(bytes_of(encoded.data, encoded.size), bytes_of(again.data, again.size)));
    assert_int_equal(agg_decode(f->plain, other, bytes_of(encoded.data, encoded.size)),
                     ERR_CORRUPT);
    for (uint32_t i = 0; i < encoded.size; i++) {
        uint8_t before = encoded.data[i];
        encoded.data[i] = (uint8_t)draw(256);
        (void)agg_decode(f->net, copy, bytes_of(encoded.data, i % 2 ? encoded.size : i));
        encoded.data[i] = before;
    }
    agg_row_release(f->net, copy);
    free(copy);
    free(other);
    buf_deinit(&encoded);
    buf_deinit(&again);
}

static void what_is_left_is_what_counts(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        struct fixture f;
        uint16_t order[2 * ROWS], left[ROWS];
        int8_t weights[2 * ROWS];
        bool stays[ROWS];
        uint32_t left_count = 0;
        seed = round;
        open_fixture(&f);
        fill_rows(&f);
        void *whole = calloc(1, agg_plan_row_bytes(f.net));
        void *plain = calloc(1, agg_plan_row_bytes(f.plain));
        uint32_t count = draw_steps(order, weights, stays);
        for (uint32_t from = 0, to; from < count; from = to) {
            void *part = calloc(1, agg_plan_row_bytes(f.net));
            to = from + 1 + draw(count - from);
            update(&f, f.net, part, order + from, weights + from, to - from);
            merge_partial(&f, whole, part);
            agg_row_release(f.net, part);
            free(part);
        }
        for (uint16_t i = 0; i < ROWS; i++)
            if (stays[i])
                left[left_count++] = i;
        update(&f, f.plain, plain, left, NULL, left_count);
        assert_same(&f, whole, plain);
        agg_row_release(f.net, whole);
        agg_row_release(f.plain, plain);
        free(whole);
        free(plain);
        close_fixture(&f);
    }
}

static void what_forgets_is_refused(void **state)
{
    (void)state;
    static const char *const lists[] = {"first(x) AS a", "last(x) AS a", "sum(d) AS a",
                                        "avg(d) AS a"};
    static const char *const names[] = {"x", "d"};
    static const enum col_type types[] = {COL_BIGINT, COL_DOUBLE};
    struct named_columns columns = {names, types, 2};
    struct scope scope = named_columns_scope(&columns);
    static const struct named_columns none = {0};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct agg_list *list;
        struct agg_plan *plan;
        struct diag diag = {.code = 0};
        assert_int_equal(expr_parse_aggregates(lists[i], &scope, &none, false, &list, &diag), 0);
        assert_int_equal(agg_plan_create_net(list->calls, list->call_count, &plan, &diag),
                         ERR_UNSUPPORTED);
        assert_non_null(strstr(diag.text, "over a table"));
        agg_list_destroy(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_what_counts),
        cmocka_unit_test(what_forgets_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
