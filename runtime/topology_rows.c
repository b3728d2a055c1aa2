/* topology_rows.c: the builder functions of weir.h for steps that work on rows one by one beyond
 * filter, check and map: users' functions, unnest, rekey, branch.
 *
 * Like topology.c they only record what was asked for. What is called with a function is an adapter
 * below, which knows that a weir_value is a struct value (topology.c holds the two together) and
 * that a weir_call is a struct function_call. */
#include <stdlib.h>
#include <string.h>

#include "operators/function.h"
#include "runtime/app.h"
#include "runtime/plan_compile.h"

enum { FUNCTION_NAME_MAX = 100, COLUMN_NAME_MAX = 59, BRANCHES_MAX = 32 };
#define WITHIN_MAX_MS WEIR_DAYS(3650)

/* ---- what functions call ---- */

void weir_call_error(weir_call *call, const char *message)
{
    if (call != NULL)
        function_fail((struct function_call *)call, message);
}

int weir_call_give(weir_call *call, const weir_value *values)
{
    if (call == NULL || values == NULL)
        return ERR_INVALID;
    return function_give((struct function_call *)call, (const struct value *)values);
}

int64_t weir_call_event_time(const weir_call *call)
{
    return call != NULL ? ((const struct function_call *)call)->event_time_ms : INT64_MIN;
}

/* ---- adapters ---- */

static const struct user_function *function_of(const struct function_params *params)
{
    return params->function_and_context;
}

static int invoke_filter(const struct function_params *params, struct function_call *call,
                         const struct value *values, struct value *results)
{
    const struct user_function *function = function_of(params);
    (void)results;
    return function->filter(function->context, (weir_call *)call, (const weir_value *)values,
                            params->arguments->count);
}

static int invoke_map(const struct function_params *params, struct function_call *call,
                      const struct value *values, struct value *results)
{
    const struct user_function *function = function_of(params);
    return function->map(function->context, (weir_call *)call, (const weir_value *)values,
                         params->arguments->count, (weir_value *)results);
}

static int invoke_flat_map(const struct function_params *params, struct function_call *call,
                           const struct value *values, struct value *results)
{
    const struct user_function *function = function_of(params);
    (void)results;
    return function->flat_map(function->context, (weir_call *)call, (const weir_value *)values,
                              params->arguments->count);
}

static int invoke_peek(const struct function_params *params, struct function_call *call,
                       const struct value *values, struct value *results)
{
    const struct user_function *function = function_of(params);
    (void)call;
    (void)results;
    function->peek(function->context, (const weir_value *)values, params->arguments->count);
    return 0;
}

void topology_set_invoke(struct function_params *params, const struct weir_stream *node)
{
    params->function_and_context = (void *)(uintptr_t)&node->function;
    params->invoke = node->kind == NODE_FILTER_FN     ? invoke_filter
                     : node->kind == NODE_MAP_FN      ? invoke_map
                     : node->kind == NODE_FLAT_MAP_FN ? invoke_flat_map
                                                      : invoke_peek;
}

/* ---- builders ---- */

bool topology_function_name_is_good(const char *name)
{
    size_t size = name != NULL ? strlen(name) : 0;
    for (size_t i = 0; i < size; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return size > 0 && size <= FUNCTION_NAME_MAX;
}

static struct weir_stream *add_function(struct weir_stream *stream, enum node_kind kind,
                                        const char *what, const char *name, const char *list,
                                        const char *columns, struct user_function function)
{
    struct weir_stream *node = topology_add_step(stream, kind, what, list, columns);
    if (node == NULL)
        return NULL;
    if (!topology_function_name_is_good(name)) {
        topology_fail(node->app, ERR_INVALID,
                      "%s: a function's name is 1 to %d printable ASCII characters, such as "
                      "\"score-1\"",
                      what, FUNCTION_NAME_MAX);
        return NULL;
    }
    if (function.filter == NULL && function.map == NULL && function.flat_map == NULL &&
        function.peek == NULL) {
        topology_fail(node->app, ERR_INVALID, "%s %s needs a function", what, name);
        return NULL;
    }
    node->function = function;
    node->name = strdup(name);
    if (node->name == NULL) {
        topology_fail(node->app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    return node;
}

weir_stream *weir_filter_fn(weir_stream *stream, const char *name, const char *select_list,
                            weir_filter_function function, void *context)
{
    return add_function(stream, NODE_FILTER_FN, "weir_filter_fn", name, select_list, NULL,
                        (struct user_function){.filter = function, .context = context});
}

weir_stream *weir_map_fn(weir_stream *stream, const char *name, const char *select_list,
                         const char *columns, weir_map_function function, void *context)
{
    return add_function(stream, NODE_MAP_FN, "weir_map_fn", name, select_list,
                        columns != NULL ? columns : "",
                        (struct user_function){.map = function, .context = context});
}

weir_stream *weir_flat_map_fn(weir_stream *stream, const char *name, const char *select_list,
                              const char *columns, weir_flat_map_function function, void *context)
{
    return add_function(stream, NODE_FLAT_MAP_FN, "weir_flat_map_fn", name, select_list,
                        columns != NULL ? columns : "",
                        (struct user_function){.flat_map = function, .context = context});
}

weir_stream *weir_unnest(weir_stream *stream, const char *array, const char *column)
{
    if (stream == NULL)
        return NULL;
    size_t size = column != NULL ? strlen(column) : 0;
    if (size == 0 || size > COLUMN_NAME_MAX || (column[0] >= '0' && column[0] <= '9') ||
        strspn(column, "abcdefghijklmnopqrstuvwxyz_0123456789") != size) {
        topology_fail(stream->app, ERR_INVALID,
                      "weir_unnest: '%s' cannot name the elements' column: 1 to %d characters of "
                      "[a-z0-9_], not a digit first",
                      column ? column : "", COLUMN_NAME_MAX);
        return NULL;
    }
    return topology_add_step(stream, NODE_UNNEST, "weir_unnest", array, column);
}

weir_stream *weir_peek(weir_stream *stream, const char *select_list, weir_peek_function function,
                       void *context)
{
    return add_function(stream, NODE_PEEK, "weir_peek", "peek", select_list, NULL,
                        (struct user_function){.peek = function, .context = context});
}

bool topology_is_distinct(const weir_stream *stream)
{
    for (; stream != NULL; stream = stream->parent) {
        if (stream->kind == NODE_DISTINCT)
            return true;
        for (uint32_t i = 0; i < stream->merged_count; i++)
            if (topology_is_distinct(stream->merged[i]))
                return true;
    }
    return false;
}

weir_stream *weir_distinct(weir_stream *stream, const char *columns, int64_t within_ms)
{
    struct weir_stream *node =
        topology_add_step(stream, NODE_DISTINCT, "weir_distinct", columns, NULL);
    if (node == NULL)
        return NULL;
    if (within_ms < 1 || within_ms > WITHIN_MAX_MS) {
        topology_fail(
            node->app, ERR_INVALID, "weir_distinct: within is 1 ms to 3650 days, not %lld ms%s",
            (long long)within_ms,
            within_ms == 0 ? "\nhint: without a bound the keys of all rows would be kept for ever: "
                             "say how far apart repeats may be, such as WEIR_DAYS(1)"
                           : "");
        return NULL;
    }
    if (topology_is_distinct(stream)) {
        topology_fail(node->app, ERR_UNSUPPORTED,
                      "weir_distinct: the stream is distinct already: write it to a topic with "
                      "weir_to, and read the topic");
        return NULL;
    }
    node->number_ms = within_ms;
    return node;
}

weir_stream *weir_rekey(weir_stream *stream, const char *select_list)
{
    return topology_add_step(stream, NODE_REKEY, "weir_rekey", select_list, NULL);
}

/* The condition of one branch: its place among those whose conditions are asked in turn. Each stands
 * on a line of its own, so that a comment in it ends there. */
static int branch_text(struct buf *text, const char *const *conditions, size_t count, size_t branch)
{
    buf_printf(text, "CASE");
    for (size_t i = 0; i < count; i++)
        buf_printf(text, " WHEN (%s\n) THEN %zu", conditions[i], i);
    buf_printf(text, " ELSE %zu END = %zu", count, branch);
    buf_u8(text, 0);
    return buf_ok(text) ? 0 : ERR_NOMEM;
}

int weir_branch(weir_stream *stream, const char *const *conditions, size_t count,
                weir_stream **branches)
{
    for (size_t i = 0; branches != NULL && i <= count && count <= BRANCHES_MAX; i++)
        branches[i] = NULL;
    if (stream == NULL)
        return ERR_STATE;
    if (conditions == NULL || branches == NULL || count == 0 || count > BRANCHES_MAX)
        return topology_fail(stream->app, ERR_INVALID,
                             "weir_branch takes 1 to %d conditions and gives a stream more",
                             BRANCHES_MAX);
    for (size_t i = 0; i < count; i++)
        if (conditions[i] == NULL || conditions[i][0] == '\0')
            return topology_fail(stream->app, ERR_INVALID, "weir_branch: condition %zu is empty",
                                 i + 1);
    for (size_t i = 0; i <= count; i++) {
        struct buf text;
        buf_init(&text, 0);
        int rc = branch_text(&text, conditions, count, i);
        if (rc == 0)
            branches[i] = topology_add_step(stream, NODE_FILTER, "weir_branch",
                                            (const char *)text.data, NULL);
        buf_deinit(&text);
        if (rc < 0)
            return topology_fail(stream->app, rc, "no memory for the topology");
        if (branches[i] == NULL)
            return stream->app->error;
    }
    return 0;
}
