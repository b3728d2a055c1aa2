/* fuzz_aggregate.c: any bytes as an encoded partial.
 *
 * The plan has every kind of accumulator. Whatever is accepted must survive the way that real
 * partials go: encode, decode to the same bytes, merge into a second row, result. Whatever is
 * refused must leave the row as it was. */
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
enum { CALLS = sizeof calls / sizeof *calls };

static struct agg_plan *plan;
static struct arena arena;
static struct column results[CALLS];

static void set_up(void)
{
    must(agg_plan_create(calls, CALLS, &plan, NULL) == 0);
    arena_init(&arena, 0);
    for (int c = 0; c < CALLS; c++)
        must(column_alloc(&results[c], calls[c].result_type, 1, calls[c].result_type != COL_VARIANT,
                          &arena) == 0);
}

static void *row_create(void)
{
    void *row = malloc(agg_plan_row_bytes(plan));
    must(row != NULL);
    agg_row_init(plan, row);
    return row;
}

static struct bytes encoded(struct buf *buf, const void *row)
{
    buf_clear(buf);
    agg_encode(plan, row, buf);
    must(buf_ok(buf));
    return bytes_of(buf->data, buf->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (plan == NULL)
        set_up();
    void *row = row_create(), *other = row_create();
    struct buf first = {0}, second = {0};
    if (agg_decode(plan, row, bytes_of(data, size)) == 0) {
        struct bytes once = encoded(&first, row);
        must(agg_decode(plan, other, once) == 0);
        must(bytes_equal(once, encoded(&second, other)));
        int rc = agg_merge_encoded(plan, other, bytes_of(data, size));
        must(rc == 0 || rc == ERR_CORRUPT);
        if (rc == ERR_CORRUPT) /* the row counts do not add up: unchanged */
            must(bytes_equal(once, encoded(&second, other)));
        rc = agg_result(plan, other, results, 0);
        must(rc == 0 || rc == ERR_RANGE);
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
