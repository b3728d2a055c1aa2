/* job_functions.c: users' functions for jobs that are written as data (see job.h). They are what a
 * user would write, and a few things that a user should not. */
#include <string.h>

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

weir_filter_function job_filter_function(const char *name)
{
    return strcmp(name, "even") == 0 ? even : NULL;
}

weir_map_function job_map_function(const char *name)
{
    return strcmp(name, "echo") == 0 ? echo : NULL;
}

weir_flat_map_function job_flat_map_function(const char *name)
{
    return strcmp(name, "repeat") == 0 ? repeat : NULL;
}
