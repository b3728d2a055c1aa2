/* job_functions.c: users' functions for jobs that are written as data (see job.h). They are what a
 * user would write, and a few things that a user should not. */
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/job.h"

static int even(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    if (count != 1 || values[0].type == WEIR_NULL)
        return 0;
    if (values[0].type != WEIR_BIGINT)
        return WEIR_EINVALID;
    if (values[0].i64 < 0)
        weir_call_error(call, "negative numbers are odd");
    return values[0].i64 < 0 ? -1 : values[0].i64 % 2 == 0;
}

static int echo(void *context, weir_call *call, const weir_value *values, size_t count,
                weir_value *results)
{
    (void)context;
    (void)call;
    memcpy(results, values, count * sizeof *values);
    return 0;
}

static int repeat(void *context, weir_call *call, const weir_value *values, size_t count)
{
    (void)context;
    int64_t times = values[0].type == WEIR_BIGINT ? values[0].i64 : 0;
    for (int64_t i = 0; i < (times < 0 ? -times : times); i++) {
        weir_value row[2] = {{.type = WEIR_BIGINT, .i64 = i}, values[count - 1]};
        int rc = weir_call_give(call, row);
        if (rc < 0)
            return 0; /* who forgets to say that something went wrong */
    }
    weir_call_error(call, "half way");
    return times < 0 ? -1 : 0;
}

/* The third value plus one; what is no bigint stays as it is. */
static int nudge(void *context, weir_call *call, const weir_value *values, size_t count,
                 weir_value *results)
{
    (void)context;
    (void)call;
    for (size_t i = 0; i < count; i++) /* what is not set is NULL */
        if (values[i].type != WEIR_NULL)
            results[i] = values[i];
    if (values[2].type == WEIR_BIGINT)
        results[2].i64++;
    return values[2].type == WEIR_BIGINT && values[2].i64 == 13 ? -1 : 0;
}

static int fan(void *context, weir_call *call, const weir_value *values, size_t count)
{
    weir_value row[8];
    bool is_int = values[2].type == WEIR_BIGINT;
    (void)context;
    memcpy(row, values, count * sizeof *values);
    for (int64_t i = 0; i < values[1].i64; i++) {
        row[1].i64 = i;
        if (is_int)
            row[2].i64 = values[2].i64 + i;
        int rc = weir_call_give(call, row);
        if (rc < 0)
            return rc;
    }
    return is_int && values[2].i64 == 13 ? -1 : 0;
}

static void look(void *context, const weir_value *values, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++)
        must(values[i].type >= WEIR_NULL && values[i].type <= WEIR_JSON_VALUE);
}

weir_filter_function job_filter_function(const char *name)
{
    return strcmp(name, "even") == 0 ? even : NULL;
}

weir_map_function job_map_function(const char *name)
{
    return strcmp(name, "echo") == 0 ? echo : strcmp(name, "nudge") == 0 ? nudge : NULL;
}

weir_flat_map_function job_flat_map_function(const char *name)
{
    return strcmp(name, "repeat") == 0 ? repeat : strcmp(name, "fan") == 0 ? fan : NULL;
}

weir_peek_function job_peek_function(const char *name)
{
    return strcmp(name, "look") == 0 ? look : NULL;
}

/* ---- aggregates ---- */

struct span {
    int64_t rows, values, sum, least, greatest;
};

static int span_add(void *context, weir_call *call, void *state, const weir_value *values,
                    size_t count)
{
    struct span *span = state;
    (void)context;
    span->rows++; /* undone by weir when the row is refused */
    if (count != 1 || values[0].type == WEIR_NULL)
        return 0;
    if (values[0].type != WEIR_BIGINT)
        return WEIR_EINVALID;
    int64_t n = values[0].i64;
    span->least = span->values == 0 || n < span->least ? n : span->least;
    span->greatest = span->values == 0 || n > span->greatest ? n : span->greatest;
    span->values++;
    span->sum += n;
    if (n == 7)
        weir_call_error(call, "no sevens");
    return n == 7 ? -1 : 0;
}

static void span_merge(void *context, void *state, const void *other)
{
    struct span *span = state;
    const struct span *more = other;
    (void)context;
    if (more->values > 0 && (span->values == 0 || more->least < span->least))
        span->least = more->least;
    if (more->values > 0 && (span->values == 0 || more->greatest > span->greatest))
        span->greatest = more->greatest;
    span->rows += more->rows;
    span->values += more->values;
    span->sum += more->sum;
}

static int span_result(void *context, weir_call *call, const void *state, weir_value *results)
{
    const struct span *span = state;
    (void)context;
    (void)call;
    results[0] = (weir_value){.type = WEIR_BIGINT, .i64 = span->rows};
    if (span->values == 0)
        return 0;
    results[1] = (weir_value){.type = WEIR_BIGINT, .i64 = span->sum};
    results[2] = (weir_value){.type = WEIR_BIGINT, .i64 = span->least};
    results[3] = (weir_value){.type = WEIR_BIGINT, .i64 = span->greatest};
    return 0;
}

static int wary_result(void *context, weir_call *call, const void *state, weir_value *results)
{
    const struct span *span = state;
    span_result(context, call, state, results);
    if (span->sum < 0)
        weir_call_error(call, "a sum below zero");
    return span->sum < 0 ? -1 : 0;
}

/* A leading byte, so that it is not the memory as it is. */
static size_t packed_encode(void *context, const void *state, void *bytes, size_t room)
{
    (void)context;
    if (room < 1 + sizeof(struct span))
        return room + 1;
    *(char *)bytes = 'p';
    memcpy((char *)bytes + 1, state, sizeof(struct span));
    return 1 + sizeof(struct span);
}

static int packed_decode(void *context, void *state, const void *bytes, size_t size)
{
    (void)context;
    if (size != 1 + sizeof(struct span) || *(const char *)bytes != 'p')
        return -1;
    memcpy(state, (const char *)bytes + 1, sizeof(struct span));
    return 0;
}

const weir_aggregate_functions *job_aggregate_functions(const char *name)
{
    static const weir_aggregate_functions span = {.state_size = sizeof(struct span),
                                                  .add = span_add,
                                                  .merge = span_merge,
                                                  .result = span_result};
    static const weir_aggregate_functions packed = {.state_size = sizeof(struct span),
                                                    .add = span_add,
                                                    .merge = span_merge,
                                                    .result = span_result,
                                                    .encode = packed_encode,
                                                    .decode = packed_decode};
    static const weir_aggregate_functions wary = {.state_size = sizeof(struct span),
                                                  .add = span_add,
                                                  .merge = span_merge,
                                                  .result = wary_result};
    return strcmp(name, "span") == 0     ? &span
           : strcmp(name, "packed") == 0 ? &packed
           : strcmp(name, "wary") == 0   ? &wary
                                         : NULL;
}
