/* fuzz_aggregate.c: any bytes as an encoded partial.
 *
 * The plans have every kind of accumulator: of rows that come, and, when the first byte says so, of
 * rows that may be taken back. Whatever is accepted must survive the way that real partials go:
 * encode, decode to the same bytes, merge into a second row, result. Whatever is refused must leave
 * the row as it was. */
#include <stdlib.h>
#include "operators/aggregate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct agg_call calls[] = {
    {.func = AGG_COUNT_STAR, .result_type = COL_BIGINT},
    {.func = AGG_COUNT, .argument_type = COL_TEXT, .result_type = COL_BIGINT},
    {.func = AGG_SUM, .argument_type = COL_BIGINT, .result_type = COL_NUMERIC},
    {.func = AGG_AVG, .argument_type = COL_NUMERIC, .result_type = COL_NUMERIC},
    {.func = AGG_SUM, .argument_type = COL_VARIANT, .result_type = COL_NUMERIC},
    {.func = AGG_SUM, .argument_type = COL_DOUBLE, .result_type = COL_DOUBLE},
    {.func = AGG_MIN, .argument_type = COL_BIGINT, .result_type = COL_BIGINT},
    {.func = AGG_MAX, .argument_type = COL_BOOLEAN, .result_type = COL_BOOLEAN},
    {.func = AGG_MIN, .argument_type = COL_DOUBLE, .result_type = COL_DOUBLE},
    {.func = AGG_MAX, .argument_type = COL_NUMERIC, .result_type = COL_NUMERIC},
    {.func = AGG_MIN, .argument_type = COL_TEXT, .result_type = COL_TEXT},
    {.func = AGG_MAX, .argument_type = COL_VARIANT, .result_type = COL_VARIANT},
    {.func = AGG_FIRST, .argument_type = COL_BIGINT, .result_type = COL_BIGINT},
    {.func = AGG_LAST, .argument_type = COL_BOOLEAN, .result_type = COL_BOOLEAN},
    {.func = AGG_FIRST, .argument_type = COL_DOUBLE, .result_type = COL_DOUBLE},
    {.func = AGG_LAST, .argument_type = COL_NUMERIC, .result_type = COL_NUMERIC},
    {.func = AGG_FIRST, .argument_type = COL_TEXT, .result_type = COL_TEXT},
    {.func = AGG_LAST, .argument_type = COL_VARIANT, .result_type = COL_VARIANT},
    {.func = AGG_COUNT_DISTINCT, .argument_type = COL_TEXT, .result_type = COL_BIGINT},
};
enum { CALLS = sizeof calls / sizeof *calls, NET_VERSION = 3 };

/* A plan with room for its results. */
struct subject {
    struct agg_plan *plan;
    struct column results[CALLS];
};
static struct subject plain, net;
static struct arena arena;

static void set_up(struct subject *subject, bool takes_back)
{
    struct agg_call taken[CALLS];
    uint32_t count = 0;
    for (int c = 0; c < CALLS; c++) {
        bool is_sum = calls[c].func == AGG_SUM || calls[c].func == AGG_AVG;
        bool forgets = calls[c].func == AGG_FIRST || calls[c].func == AGG_LAST ||
                       (is_sum && calls[c].argument_type == COL_DOUBLE);
        if (!takes_back || !forgets)
            taken[count++] = calls[c];
    }
    for (uint32_t c = 0; c < count; c++)
        must(column_alloc(&subject->results[c], taken[c].result_type, 1,
                          taken[c].result_type != COL_VARIANT, &arena) == 0);
    must((takes_back ? agg_plan_create_net : agg_plan_create)(taken, count, &subject->plan, NULL) ==
         0);
}

static void *row_create(const struct agg_plan *plan)
{
    void *row = malloc(agg_plan_row_bytes(plan));
    must(row != NULL);
    agg_row_init(plan, row);
    return row;
}

static struct bytes encoded(const struct agg_plan *plan, struct buf *buf, const void *row)
{
    buf_clear(buf);
    agg_encode(plan, row, buf);
    must(buf_ok(buf));
    return bytes_of(buf->data, buf->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (plain.plan == NULL) {
        arena_init(&arena, 0);
        set_up(&plain, false);
        set_up(&net, true);
    }
    struct subject *subject = size > 0 && data[0] == NET_VERSION ? &net : &plain;
    const struct agg_plan *plan = subject->plan;
    void *row = row_create(plan), *other = row_create(plan);
    struct buf first = {0}, second = {0};
    if (agg_decode(plan, row, bytes_of(data, size)) == 0) {
        struct bytes once = encoded(plan, &first, row);
        must(agg_decode(plan, other, once) == 0);
        must(bytes_equal(once, encoded(plan, &second, other)));
        int rc = agg_merge_encoded(plan, other, bytes_of(data, size));
        must(rc == 0 || rc == ERR_CORRUPT);
        if (rc == ERR_CORRUPT && subject == &plain) /* the row counts do not add up: unchanged */
            must(bytes_equal(once, encoded(plan, &second, other)));
        rc = agg_result(plan, other, subject->results, 0);
        must(rc == 0 || rc == ERR_RANGE || (rc == ERR_CORRUPT && subject == &net));
    } else {
        must(agg_row_count(row) == 0);
    }
    buf_deinit(&first);
    buf_deinit(&second);
    agg_row_release(plan, row);
    agg_row_release(plan, other);
    free(row);
    free(other);
    return 0;
}
