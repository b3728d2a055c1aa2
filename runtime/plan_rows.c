/* plan_rows.c: compiles the steps of a stream that work on rows one by one: filter, check, map,
 * users' functions, unnest (see plan.h).
 *
 * Each step becomes one operator with its parameters, and may change what later names mean: over a
 * source every name is a JSON field; after a step that makes columns only those exist, and they are
 * what the stream's records hold. A function's declared columns may be narrower than what a column
 * holds (integer, numeric(10,2)); the casts that see to it are a map of their own behind the
 * function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan_compile.h"

enum { COLUMNS_MAX = 1024 };

int compile_no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory for the plan");
}

int compile_in_context(struct diag *diag, int rc, const struct view *view, const char *what)
{
    if (rc < 0 && diag != NULL) {
        char text[sizeof diag->text];
        memcpy(text, diag->text, sizeof text);
        snprintf(diag->text, sizeof diag->text, "stream to %s: %s: %.800s", view->sink->topic, what,
                 text[0] != '\0' ? text : error_text(rc));
        diag->code = rc;
    }
    return rc;
}

int compile_add_op(struct compile *c, const char *name, const void *params)
{
    if (params == NULL)
        return compile_no_memory(c->diag);
    if (c->view->op_count == PLAN_MAX_OPS) {
        free((void *)(uintptr_t)params);
        return diag_set(c->diag, ERR_TOO_LARGE, "stream to %s: more than %d steps",
                        c->view->sink->topic, PLAN_MAX_OPS);
    }
    c->view->ops[c->view->op_count++] = (struct op_spec){op_type_find(name), params};
    return 0;
}

void compile_columns_destroy(struct compile *c)
{
    free((void *)(uintptr_t)c->columns.names);
    free((void *)(uintptr_t)c->columns.types);
    free(c->is_time);
    free(c->origins);
    c->columns = (struct named_columns){0};
    c->is_time = NULL;
    c->origins = NULL;
}

/* 1 + the source's column whose text, which decides where rows lie, an expression gives; 0: it is
 * another's. */
static uint32_t origin_of(const struct compile *c, const struct expr *expr)
{
    uint32_t index;
    if (!expr_is_column(expr, &index)) {
        if (!expr_is_cast_of_column(expr, COL_TEXT, &index))
            return 0;
        enum col_type type = c->columns.names != NULL ? c->columns.types[index] : COL_VARIANT;
        if (type != COL_TEXT && type != COL_VARIANT)
            return 0; /* a number's text is not what a key of numbers holds */
    }
    if (!c->view->is_mapped)
        return index + 1;
    return c->origins != NULL ? c->origins[index] : 0;
}

bool compile_is_time(const struct compile *c, uint32_t column)
{
    if (c->columns.names != NULL)
        return c->is_time != NULL && c->is_time[column];
    return (int)column == c->view->event_time_field;
}

/* From here on these columns, and nothing else, exist. Names are borrowed, the arrays copied. */
static int set_columns(struct compile *c, const char *const *names, const enum col_type *types,
                       uint32_t count)
{
    const char **own_names = calloc(count + 1, sizeof *own_names);
    enum col_type *own_types = calloc(count + 1, sizeof *own_types);
    if (own_names == NULL || own_types == NULL) {
        free(own_names);
        free(own_types);
        return compile_no_memory(c->diag);
    }
    if (count > 0) {
        memcpy(own_names, names, count * sizeof *own_names);
        memcpy(own_types, types, count * sizeof *own_types);
    }
    compile_columns_destroy(c);
    c->columns = (struct named_columns){own_names, own_types, count};
    c->scope = named_columns_scope(&c->columns);
    c->view->is_mapped = true;
    return 0;
}

static int compile_condition(struct compile *c, const struct weir_stream *node)
{
    bool is_check = node->kind == NODE_CHECK;
    const char *what = is_check ? "weir_check" : "weir_filter";
    struct filter_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, is_check ? "check" : "filter", params));
    params->text = node->text;
    params->error_class = node->extra;
    TRY(compile_in_context(c->diag,
                           expr_parse_condition(node->text, &c->scope, &params->condition, c->diag),
                           c->view, what));
    return 0;
}

static int set_map_columns(struct compile *c, const struct expr_list *list)
{
    enum col_type *types = calloc(list->count + 1, sizeof *types);
    bool *times = calloc(list->count + 1, sizeof *times);
    uint32_t *origins = calloc(list->count + 1, sizeof *origins);
    uint32_t index;
    int rc = types == NULL || times == NULL || origins == NULL ? compile_no_memory(c->diag) : 0;
    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        const struct expr *expr = list->exprs[i];
        types[i] = expr_type(expr);
        times[i] = (expr_is_column(expr, &index) ||
                    expr_is_cast_of_column(expr, COL_TIMESTAMPTZ, &index)) &&
                   compile_is_time(c, index);
        origins[i] = origin_of(c, expr);
    }
    if (rc == 0)
        rc = set_columns(c, (const char *const *)list->names, types, list->count);
    free(types);
    if (rc < 0) {
        free(times);
        free(origins);
        return rc;
    }
    c->is_time = times;
    c->origins = origins;
    return 0;
}

static int find_time_fields(struct compile *c, struct map_params *params)
{
    uint32_t index;
    if (c->columns.names != NULL)
        return 0; /* not of the record's own fields */
    params->time_fields = calloc(params->list->count + 1, sizeof *params->time_fields);
    if (params->time_fields == NULL)
        return compile_no_memory(c->diag);
    for (uint32_t i = 0; i < params->list->count; i++)
        if (expr_is_cast_of_column(params->list->exprs[i], COL_TIMESTAMPTZ, &index) &&
            compile_is_time(c, index))
            params->time_fields[i] = index + 1;
    return 0;
}

static int compile_map(struct compile *c, const struct weir_stream *node)
{
    struct map_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, "map", params));
    TRY(compile_in_context(c->diag, expr_parse_list(node->text, &c->scope, &params->list, c->diag),
                           c->view, "weir_map"));
    TRY(find_time_fields(c, params));
    return set_map_columns(c, params->list);
}

static int add_casts(struct compile *c, struct column_list *list)
{
    if (list->casts == NULL)
        return 0;
    struct map_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, "map", params));
    params->list = list->casts;
    list->casts = NULL;
    return 0;
}

/* Finds the column of event times. One that holds text, a number of milliseconds or a time will do. */
static int find_time_column(struct compile *c)
{
    struct view *view = c->view;
    const char *time = view->source->extra;
    view->time_column = -1;
    if (time == NULL)
        return 0;
    for (uint32_t i = 0; i < view->declared->count; i++)
        if (strcmp(view->declared->names[i], time) == 0)
            view->time_column = (int)i;
    if (view->time_column < 0)
        return diag_set(c->diag, ERR_NOT_FOUND,
                        "stream to %s: weir_source: the event time's column \"%s\" is not declared",
                        view->sink->topic, time);
    enum col_type type = view->declared->types[view->time_column];
    if (!view->source->format->is_text && type != COL_TEXT && type != COL_VARIANT &&
        type != COL_BIGINT && type != COL_TIMESTAMPTZ)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_source: the event time's column \"%s\" is %s, and not "
                        "timestamptz, bigint or text",
                        view->sink->topic, time, col_type_name(type));
    view->event_time_field = (int)view->declared->count;
    return 0;
}

int compile_declared_source(struct compile *c)
{
    struct view *view = c->view;
    const struct format *format = view->source->format;
    const char *columns = format->columns != NULL ? format->columns : view->source->name;
    TRY(compile_in_context(c->diag,
                           column_list_parse(columns, format->is_text, &view->declared, c->diag),
                           view, "weir_source"));
    TRY(find_time_column(c));
    TRY(add_casts(c, view->declared));
    TRY(set_columns(c, (const char *const *)view->declared->names, view->declared->types,
                    view->declared->count));
    view->is_mapped = false; /* rows that pass keep their bytes */
    return 0;
}

static int compile_function(struct compile *c, const struct weir_stream *node)
{
    static const char *const words[][2] = {
        [NODE_FILTER_FN] = {"filter_fn", "weir_filter_fn"},
        [NODE_MAP_FN] = {"map_fn", "weir_map_fn"},
        [NODE_FLAT_MAP_FN] = {"flat_map_fn", "weir_flat_map_fn"},
        [NODE_PEEK] = {"peek", "weir_peek"},
    };
    const char *what = words[node->kind][1];
    struct function_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, words[node->kind][0], params));
    params->name = node->name;
    topology_set_invoke(params, node);
    TRY(compile_in_context(c->diag,
                           expr_parse_list(node->text, &c->scope, &params->arguments, c->diag),
                           c->view, what));
    if (node->extra == NULL)
        return 0;
    TRY(compile_in_context(
        c->diag, column_list_parse(node->extra, false, &params->results, c->diag), c->view, what));
    TRY(set_columns(c, (const char *const *)params->results->names, params->results->types,
                    params->results->count));
    return add_casts(c, params->results);
}

/* Over a source any name is a field, but for those of columns that operators add. */
static int resolve_source(void *context, const struct field_path *path, enum col_type *type,
                          struct diag *diag)
{
    struct compile *c = context;
    for (uint32_t i = c->made_count; i > 0; i--) {
        const struct made_column *made = &c->made[i - 1];
        if (strcmp(made->name, path->parts[0]) != 0)
            continue;
        if (path->count > 1)
            return diag_set(diag, ERR_NOT_FOUND,
                            "\"%s\" is a column of its own and has no column \"%s\"\nhint: "
                            "write %s ->> '%s'",
                            made->name, path->parts[1], made->name, path->parts[1]);
        *type = made->type;
        return (int)made->column;
    }
    struct scope fields = field_set_scope(c->view->fields);
    return fields.resolve(fields.context, path, type, diag);
}

void compile_source_scope(struct compile *c)
{
    c->scope = (struct scope){.resolve = resolve_source, .context = c};
}

static int add_made(struct compile *c, const char *what, const char *const *names,
                    const enum col_type *types, uint32_t count, uint32_t *first)
{
    if (count > COMPILE_MADE_MAX - c->made_count)
        return diag_set(c->diag, ERR_TOO_LARGE,
                        "stream to %s: %s: more than %d columns are added to a source's fields",
                        c->view->sink->topic, what, COMPILE_MADE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int column = field_set_add_made(c->view->fields, c->diag);
        if (column < 0)
            return compile_in_context(c->diag, column, c->view, what);
        if (i == 0)
            *first = (uint32_t)column;
        c->made[c->made_count++] = (struct made_column){names[i], (uint32_t)column, types[i]};
    }
    return 0;
}

/* What has not been said to be the event time is not. */
static int keep_times(struct compile *c, uint32_t old_count, uint32_t count, bool **times)
{
    *times = calloc(count + 1, sizeof **times);
    if (*times == NULL)
        return compile_no_memory(c->diag);
    for (uint32_t i = 0; i < old_count && c->is_time != NULL; i++)
        (*times)[i] = c->is_time[i];
    return 0;
}

static int add_behind(struct compile *c, const char *what, const char *const *new_names,
                      const enum col_type *new_types, uint32_t new_count, uint32_t *first)
{
    const char *names[COLUMNS_MAX];
    enum col_type types[COLUMNS_MAX];
    bool *times;
    uint32_t count = c->columns.count;
    if (new_count > COLUMNS_MAX || count > COLUMNS_MAX - new_count)
        return diag_set(c->diag, ERR_TOO_LARGE, "stream to %s: more than %d columns",
                        c->view->sink->topic, COLUMNS_MAX);
    *first = count;
    for (uint32_t i = 0; i < count; i++) {
        names[i] = c->columns.names[i];
        types[i] = c->columns.types[i];
        for (uint32_t n = 0; n < new_count; n++)
            if (strcmp(names[i], new_names[n]) == 0)
                return diag_set(c->diag, ERR_EXISTS,
                                "stream to %s: %s: there is a column \"%s\" already: give the "
                                "other one another name with AS",
                                c->view->sink->topic, what, names[i]);
    }
    for (uint32_t n = 0; n < new_count; n++, count++) {
        names[count] = new_names[n];
        types[count] = new_types[n];
    }
    TRY(keep_times(c, *first, count, &times));
    int rc = set_columns(c, names, types, count);
    c->is_time = times;
    return rc;
}

int compile_add_columns(struct compile *c, const char *what, const char *const *names,
                        const enum col_type *types, uint32_t count, uint32_t *first)
{
    return c->view->is_mapped || c->view->declared != NULL
               ? add_behind(c, what, names, types, count, first)
               : add_made(c, what, names, types, count, first);
}

static int compile_unnest(struct compile *c, const struct weir_stream *node)
{
    struct unnest_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, "unnest", params));
    struct expr_list *list = NULL;
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "(%s) AS element", node->text);
    buf_u8(&text, 0);
    int rc = buf_ok(&text) ? expr_parse_list((const char *)text.data, &c->scope, &list, c->diag)
                           : ERR_NOMEM;
    buf_deinit(&text);
    TRY(compile_in_context(c->diag, rc, c->view, "weir_unnest"));
    params->array = list->exprs[0];
    bool is_one = list->count == 1;
    list->exprs[0] = NULL;
    expr_list_destroy(list);
    if (!is_one || expr_type(params->array) != COL_VARIANT)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_unnest: \"%s\" is not a JSON array but %s",
                        c->view->sink->topic, node->text, col_type_name(expr_type(params->array)));
    c->view->is_remade = true;
    const char *name = node->extra;
    const enum col_type type = COL_VARIANT;
    return compile_add_columns(c, "weir_unnest", &name, &type, 1, &params->column);
}

/* Whoever reads the topic and groups by that field finds its groups in one partition, when the text
 * that decided is the same there: the name is, and the type one that JSON does not change. */
static int find_rekey_field(struct compile *c, const struct expr_list *list)
{
    struct view *view = c->view;
    uint32_t index;
    if (list->count != 1 || !expr_is_column(list->exprs[0], &index))
        return 0;
    if (!view->is_mapped) {
        TRY(compile_find_field(c, list, &view->rekey_field));
    } else {
        enum col_type type = expr_type(list->exprs[0]);
        const char *name = c->columns.names[index];
        if (strchr(name, '.') != NULL ||
            (type != COL_TEXT && type != COL_VARIANT && type != COL_BIGINT))
            return 0;
        view->rekey_field = strdup(name);
        if (view->rekey_field == NULL)
            return compile_no_memory(c->diag);
    }
    if (view->rekey_field == NULL)
        return 0;
    const char *last = strrchr(view->rekey_field, '.');
    if (strcmp(last != NULL ? last + 1 : view->rekey_field, list->names[0]) != 0) {
        free((void *)(uintptr_t)view->rekey_field);
        view->rekey_field = NULL;
    }
    return 0;
}

static int compile_rekey(struct compile *c, const struct weir_stream *node)
{
    struct view *view = c->view;
    struct map_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, "rekey", params));
    TRY(compile_in_context(c->diag, expr_parse_list(node->text, &c->scope, &params->list, c->diag),
                           view, "weir_rekey"));
    view->rekey = params->list;
    view->key_names =
        json_names_create((const char *const *)params->list->names, params->list->count);
    return view->key_names != NULL ? find_rekey_field(c, params->list) : compile_no_memory(c->diag);
}

/* NULL is a value here, so that any row has a key. */
static int compile_distinct(struct compile *c, const struct weir_stream *node)
{
    if (c->view->keyed != NULL)
        return diag_set(c->diag, ERR_UNSUPPORTED,
                        "stream to %s: weir_distinct: a table has one row for each key already",
                        c->view->sink->topic);
    struct distinct_params *params = calloc(1, sizeof *params);
    c->view->distinct_op = c->view->op_count;
    TRY(compile_add_op(c, "distinct", params));
    params->within_ms = node->number_ms;
    TRY(compile_in_context(c->diag,
                           expr_parse_list(node->text, &c->scope, &params->key.list, c->diag),
                           c->view, "weir_distinct"));
    c->view->distinct = params;
    c->view->is_distinct_over_fields = !c->view->is_mapped && c->view->declared == NULL;
    return 0;
}

int compile_row_step(struct compile *c, const struct weir_stream *node)
{
    TRY(compile_after_keyed(c, node));
    switch (node->kind) {
    case NODE_FILTER:
    case NODE_CHECK:
        return compile_condition(c, node);
    case NODE_MAP:
        return compile_map(c, node);
    case NODE_FILTER_FN:
    case NODE_MAP_FN:
    case NODE_FLAT_MAP_FN:
    case NODE_PEEK:
        return compile_function(c, node);
    case NODE_UNNEST:
        return compile_unnest(c, node);
    case NODE_REKEY:
        return compile_rekey(c, node);
    case NODE_DISTINCT:
        return compile_distinct(c, node);
    case NODE_JOIN:
        return compile_join(c, node);
    case NODE_KEYED:
        return compile_keyed(c, node);
    default:
        return 0;
    }
}

/* ---- destroy ---- */

static void destroy_filter(void *params)
{
    struct filter_params *filter = params;
    if (filter->condition != NULL)
        expr_destroy(filter->condition);
}

static void destroy_map(void *params)
{
    struct map_params *map = params;
    expr_list_destroy(map->list);
    free(map->time_fields);
}

static void destroy_join(void *params)
{
    expr_list_destroy(((struct join_params *)params)->on);
}

static void destroy_keyed(void *params)
{
    struct keyed_params *keyed = params;
    expr_list_destroy(keyed->key);
    expr_list_destroy(keyed->record_key);
}

static void destroy_latest(void *params)
{
    struct latest_params *latest = params;
    expr_list_destroy(latest->list);
    free(latest->types);
}

static void destroy_distinct(void *params)
{
    destroy_map(&((struct distinct_params *)params)->key);
}

static void destroy_side(void *params)
{
    struct within_side_params *side = params;
    expr_list_destroy(side->key);
    expr_list_destroy(side->columns);
}

static void destroy_within(void *params)
{
    struct within_params *within = params;
    if (within->key_names != NULL)
        json_names_destroy(within->key_names);
    if (within->result_names != NULL)
        json_names_destroy(within->result_names);
    free(within->key_types);
    free(within->types[0]);
    free(within->types[1]);
}

static void destroy_join_tables(void *params)
{
    struct join_tables_params *join = params;
    if (join->result_names != NULL)
        json_names_destroy(join->result_names);
    free(join->types[0]);
    free(join->types[1]);
}

static void destroy_unnest(void *params)
{
    struct unnest_params *unnest = params;
    if (unnest->array != NULL)
        expr_destroy(unnest->array);
}

static void destroy_function(void *params)
{
    struct function_params *function = params;
    expr_list_destroy(function->arguments);
    column_list_destroy(function->results);
}

void compile_row_step_destroy(const struct op_spec *spec)
{
    static const struct {
        const char *name;
        void (*destroy)(void *params);
    } forms[] = {{"filter", destroy_filter},
                 {"check", destroy_filter},
                 {"map", destroy_map},
                 {"rekey", destroy_map},
                 {"distinct", destroy_distinct},
                 {"join", destroy_join},
                 {"join_side", destroy_side},
                 {"join_within", destroy_within},
                 {"join_tables", destroy_join_tables},
                 {"keyed", destroy_keyed},
                 {"latest", destroy_latest},
                 {"filter_fn", destroy_function},
                 {"map_fn", destroy_function},
                 {"flat_map_fn", destroy_function},
                 {"unnest", destroy_unnest},
                 {"peek", destroy_function}};
    void *params = (void *)(uintptr_t)spec->params;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(spec->type->name, forms[i].name) == 0)
            forms[i].destroy(params);
    free(params);
}
