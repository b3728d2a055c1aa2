/* aggregate_fn.c: weir_aggregate_fn, from the builder's call to the accumulator that operators know.
 *
 * The function's arguments are a select list over the stream, its results declared columns. In the
 * plan it is one aggregate that spans as many calls as it has arguments or results, so that what
 * evaluates arguments and gives out results needs to know nothing new (agg_function.h). A narrower
 * type than a column holds (integer, numeric(10,2)) is a cast over the results.
 *
 * Adapters turn the calls of operators/ into those of weir.h: a weir_value is a struct value
 * (topology.c holds the two together), a weir_call a struct function_call. */
#include <stdlib.h>
#include <string.h>

#include "operators/agg_function.h"
#include "runtime/app.h"
#include "runtime/plan_compile.h"

/* ---- adapters ---- */

static const weir_aggregate_functions *functions_of(const struct agg_function *function)
{
    return function->functions;
}

static void call_init(const struct agg_function *function, void *state)
{
    functions_of(function)->init(function->context, state);
}

static int call_add(const struct agg_function *function, struct function_call *call, void *state,
                    const struct value *values)
{
    return functions_of(function)->add(function->context, (weir_call *)call, state,
                                       (const weir_value *)values, function->argument_count);
}

static void call_merge(const struct agg_function *function, void *state, const void *other)
{
    functions_of(function)->merge(function->context, state, other);
}

static int call_result(const struct agg_function *function, struct function_call *call,
                       const void *state, struct value *results)
{
    return functions_of(function)->result(function->context, (weir_call *)call, state,
                                          (weir_value *)results);
}

static size_t call_encode(const struct agg_function *function, const void *state, void *bytes,
                          size_t room)
{
    return functions_of(function)->encode(function->context, state, bytes, room);
}

static int call_decode(const struct agg_function *function, void *state, const void *bytes,
                       size_t size)
{
    return functions_of(function)->decode(function->context, state, bytes, size);
}

/* ---- the builder ---- */

static int check_functions(struct weir_app *app, const char *name,
                           const weir_aggregate_functions *functions)
{
    if (functions == NULL || functions->add == NULL || functions->merge == NULL ||
        functions->result == NULL)
        return topology_fail(app, ERR_INVALID,
                             "weir_aggregate_fn %s needs the functions add, merge and result",
                             name);
    if ((functions->encode == NULL) != (functions->decode == NULL))
        return topology_fail(app, ERR_INVALID,
                             "weir_aggregate_fn %s: encode and decode come together, or neither "
                             "does",
                             name);
    if (functions->state_size == 0 || functions->state_size > AGG_STATE_MAX_BYTES)
        return topology_fail(app, ERR_INVALID,
                             "weir_aggregate_fn %s: a state of %zu bytes; 1 to %d are allowed",
                             name, functions->state_size, AGG_STATE_MAX_BYTES);
    return 0;
}

weir_stream *weir_aggregate_fn(weir_stream *grouped, const char *name, const char *select_list,
                               const char *columns, const weir_aggregate_functions *functions,
                               void *context)
{
    if (grouped == NULL)
        return NULL;
    struct weir_app *app = grouped->app;
    if (grouped->kind != NODE_GROUP && grouped->kind != NODE_WINDOW) {
        topology_fail(app, ERR_STATE, "weir_aggregate_fn follows weir_group_by or a window");
        return NULL;
    }
    if (!topology_function_name_is_good(name)) {
        topology_fail(app, ERR_INVALID,
                      "weir_aggregate_fn: a function's name is printable ASCII characters, such as "
                      "\"quantiles-1\"");
        return NULL;
    }
    if (select_list == NULL || select_list[0] == '\0' || columns == NULL || columns[0] == '\0') {
        topology_fail(app, ERR_INVALID,
                      "weir_aggregate_fn %s needs a select list, for example \"amount\", and "
                      "columns, for example \"median numeric\"",
                      name);
        return NULL;
    }
    if (check_functions(app, name, functions) < 0)
        return NULL;
    struct weir_stream *node =
        topology_add_node(app, grouped, NODE_AGGREGATE, select_list, columns);
    if (node == NULL)
        return NULL;
    node->name = strdup(name);
    if (node->name == NULL) {
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    node->aggregate = *functions;
    node->function.context = context;
    return node;
}

/* ---- the plan ---- */

void compile_aggregate_fn_destroy(struct agg_function *function)
{
    if (function == NULL)
        return;
    if (function->params != NULL)
        column_list_destroy(function->params->results);
    free(function->params);
    free(function);
}

static struct agg_function *make_function(const struct weir_stream *node)
{
    struct agg_function *function = calloc(1, sizeof *function);
    struct function_params *params = calloc(1, sizeof *params);
    if (function == NULL || params == NULL) {
        free(function);
        free(params);
        return NULL;
    }
    params->name = node->name;
    *function = (struct agg_function){
        .state_bytes = node->aggregate.state_size,
        .params = params,
        .init = node->aggregate.init != NULL ? call_init : NULL,
        .add = call_add,
        .merge = call_merge,
        .result = call_result,
        .encode = node->aggregate.encode != NULL ? call_encode : NULL,
        .decode = node->aggregate.decode != NULL ? call_decode : NULL,
        .functions = &node->aggregate,
        .context = node->function.context,
    };
    return function;
}

/* The declared columns as they are, when no cast is needed. */
static int parse_columns(const struct column_list *list, struct expr_list **outputs,
                         struct diag *diag)
{
    struct named_columns columns = {(const char *const *)list->names, list->types, list->count};
    struct scope scope = named_columns_scope(&columns);
    struct buf sql;
    buf_init(&sql, 0);
    for (uint32_t i = 0; i < list->count; i++) {
        buf_printf(&sql, i > 0 ? ", \"" : "\"");
        for (const char *c = list->names[i]; *c != '\0'; c++) {
            if (*c == '"')
                buf_u8(&sql, '"');
            buf_u8(&sql, (uint8_t)*c);
        }
        buf_u8(&sql, '"');
    }
    buf_u8(&sql, 0);
    int rc = buf_ok(&sql) ? expr_parse_list((const char *)sql.data, &scope, outputs, diag)
                          : compile_no_memory(diag);
    buf_deinit(&sql);
    return rc;
}

/* Moves what two lists hold into an agg_list, whose calls are the function's. */
static int fill_list(struct agg_list *list, struct agg_function *function,
                     struct expr_list *arguments, struct expr_list *outputs)
{
    const struct column_list *results = function->params->results;
    uint32_t count = arguments->count > results->count ? arguments->count : results->count;
    list->calls = calloc(count, sizeof *list->calls);
    list->outputs = calloc(results->count, sizeof(struct expr *));
    list->names = calloc(results->count, sizeof(char *));
    if (list->calls == NULL || list->outputs == NULL || list->names == NULL)
        return ERR_NOMEM;
    list->call_count = count;
    list->output_count = results->count;
    for (uint32_t i = 0; i < count; i++) {
        struct agg_call *call = &list->calls[i];
        *call =
            (struct agg_call){.func = AGG_FUNCTION,
                              .function = i == 0 ? function : NULL,
                              .result_type = i < results->count ? results->types[i] : COL_BIGINT};
        if (i >= arguments->count)
            continue;
        call->argument = arguments->exprs[i];
        call->argument_type = expr_type(call->argument);
        arguments->exprs[i] = NULL;
    }
    for (uint32_t i = 0; i < results->count; i++) {
        list->outputs[i] = outputs->exprs[i];
        outputs->exprs[i] = NULL;
        list->names[i] = strdup(results->names[i]);
        if (list->names[i] == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

int compile_aggregate_fn(struct compile *c, const struct weir_stream *node,
                         struct group_params *group)
{
    struct expr_list *arguments = NULL, *outputs = NULL;
    struct agg_function *function = group->function = make_function(node);
    group->aggregates = calloc(1, sizeof *group->aggregates);
    if (function == NULL || group->aggregates == NULL)
        return compile_no_memory(c->diag);
    struct column_list **results = &function->params->results;
    int rc = expr_parse_list(node->text, &c->scope, &arguments, c->diag);
    if (rc == 0)
        rc = column_list_parse(node->extra, false, results, c->diag);
    if (rc == 0 && (*results)->casts != NULL) {
        outputs = (*results)->casts;
        (*results)->casts = NULL;
    } else if (rc == 0) {
        rc = parse_columns(*results, &outputs, c->diag);
    }
    if (rc == 0) {
        function->argument_count = arguments->count;
        rc = fill_list(group->aggregates, function, arguments, outputs);
    }
    expr_list_destroy(arguments);
    expr_list_destroy(outputs);
    return rc == ERR_NOMEM ? compile_no_memory(c->diag) : rc;
}
