/* plan.c: compiles the topology's texts into views (see plan.h).
 *
 * Names resolve through scopes: over a source every name is a JSON field and becomes a column of
 * variants; after a map only the map's columns exist. So the set of fields that the decoder must
 * find is known when the last expression is compiled, and nothing else of an event is ever looked
 * at.
 *
 * Two hashes say whether a view is still what it was. The plan hash is of the texts: when it is
 * equal, nothing has changed. The state hash is of what decides what the state means: source,
 * conditions, groups, window, aggregate calls. A view whose state hash is equal goes on with its
 * state; with any other, it is rebuilt or refused, never mixed (evolve.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/syntax.h"
#include "runtime/base/hash.h"
#include "runtime/plan_compile.h"

enum { FIELD_TEXT_BYTES = 1024 };

static int add_column(struct view *view, const char *name, enum col_type type, struct diag *diag)
{
    for (uint32_t i = view->first_value; i < view->column_count; i++)
        if (strcmp(view->column_names[i], name) == 0)
            return diag_set(
                diag, ERR_INVALID,
                "stream to %s: two output columns are named \"%s\": give one another name with AS",
                view->sink->topic, name);
    char *copy = strdup(name);
    if (copy == NULL)
        return compile_no_memory(diag);
    view->column_names[view->column_count] = copy;
    view->column_types[view->column_count++] = type;
    return 0;
}

static int name_columns(struct view *view, uint32_t most, struct diag *diag)
{
    view->column_names = calloc(most + 1, sizeof *view->column_names);
    view->column_types = calloc(most + 1, sizeof *view->column_types);
    return view->column_names == NULL || view->column_types == NULL ? compile_no_memory(diag) : 0;
}

static int finish_names(struct view *view, struct diag *diag)
{
    view->value_names =
        json_names_create((const char *const *)view->column_names + view->first_value,
                          view->column_count - view->first_value);
    return view->value_names == NULL ? compile_no_memory(diag) : 0;
}

static int name_group_columns(struct compile *c)
{
    struct view *view = c->view;
    struct group_params *group = view->group;
    uint32_t count = group->groups->count;
    TRY(name_columns(view, count + 2 + group->aggregates->output_count, c->diag));
    for (uint32_t i = 0; i < count; i++)
        TRY(add_column(view, group->groups->names[i], group->group_types[i], c->diag));
    if (view->is_windowed) {
        TRY(add_column(view, "window_start", COL_TIMESTAMPTZ, c->diag));
        TRY(add_column(view, "window_end", COL_TIMESTAMPTZ, c->diag));
    }
    for (uint32_t i = 0; i < group->aggregates->output_count; i++)
        TRY(add_column(view, group->aggregates->names[i], expr_type(group->aggregates->outputs[i]),
                       c->diag));
    const char *const *names = (const char *const *)view->column_names;
    view->key_names = json_names_create(names, count + (view->is_windowed ? 1 : 0));
    group->key_names = json_names_create(names, count);
    view->result_names = json_names_create(names, view->column_count);
    return view->key_names == NULL || group->key_names == NULL || view->result_names == NULL
               ? compile_no_memory(c->diag)
               : 0;
}

/* A step on results: which are shown, and what their values hold. */
static int compile_result_step(struct compile *c, const struct weir_stream *node)
{
    struct view *view = c->view;
    struct named_columns results = {(const char *const *)view->column_names, view->column_types,
                                    view->column_count};
    struct scope scope = named_columns_scope(&results);
    if (node->kind == NODE_FILTER)
        return compile_in_context(
            c->diag, expr_parse_condition(node->text, &scope, &view->group->having, c->diag), view,
            "weir_filter");
    TRY(compile_in_context(c->diag,
                           expr_parse_list(node->text, &scope, &view->group->select, c->diag), view,
                           "weir_map"));
    const struct expr_list *select = view->group->select;
    char **names =
        realloc(view->column_names, (view->column_count + select->count + 1) * sizeof *names);
    if (names != NULL)
        view->column_names = names;
    enum col_type *types =
        realloc(view->column_types, (view->column_count + select->count + 1) * sizeof *types);
    if (types != NULL)
        view->column_types = types;
    if (names == NULL || types == NULL)
        return compile_no_memory(c->diag);
    view->first_value = view->column_count;
    for (uint32_t i = 0; i < select->count; i++)
        TRY(add_column(view, select->names[i], expr_type(select->exprs[i]), c->diag));
    return 0;
}

/* Of declared columns those are fields whose text, which decides where rows lie, is the same for
 * everybody. */
static int find_declared(struct compile *c, uint32_t index, const char **field)
{
    enum col_type type = c->view->declared->types[index];
    const char *name = c->view->declared->names[index];
    if ((type != COL_TEXT && type != COL_BIGINT) || strchr(name, '.') != NULL)
        return 0;
    *field = strdup(name);
    return *field != NULL ? 0 : compile_no_memory(c->diag);
}

/* When the only column of a list is a plain field of the source, or its text, its dotted name. */
int compile_find_field(struct compile *c, const struct expr_list *list, const char **field)
{
    uint32_t index;
    struct view *view = c->view;
    if (list->count != 1 || !expr_is_column(list->exprs[0], &index))
        return 0;
    if (view->is_mapped) {
        uint32_t origin = c->origins != NULL ? c->origins[index] : 0;
        if (origin == 0)
            return 0;
        index = origin - 1;
    }
    if (view->declared != NULL)
        return find_declared(c, index, field);
    const struct field_path *path = field_set_path(view->fields, index);
    if (path->count == 0)
        return 0; /* an element of an array */
    struct buf name;
    buf_init(&name, 0);
    for (uint32_t i = 0; i < path->count; i++)
        buf_printf(&name, i > 0 ? ".%s" : "%s", path->parts[i]);
    buf_u8(&name, 0);
    if (!buf_ok(&name))
        return compile_no_memory(c->diag);
    *field = (const char *)name.data;
    return 0;
}

static int compile_window(struct compile *c, const struct weir_stream *window)
{
    struct group_params *group = c->view->group;
    struct window_spec *spec = &group->window;
    if (window->window == WINDOW_LOCAL) {
        group->local.unit = (enum local_unit)window->hop_ms;
        group->local.count = (int32_t)window->number_ms;
        TRY(compile_in_context(c->diag, zone_open(window->text, &group->local.zone, c->diag),
                               c->view, "weir_tumbling_in"));
        *spec = window_local(&group->local);
    } else if (window->window == WINDOW_HOPPING)
        *spec = window_hopping(window->number_ms, window->hop_ms);
    else if (window->window == WINDOW_SESSION)
        *spec = window_session(window->number_ms);
    else
        *spec = window_tumbling(window->number_ms);
    return 0;
}

static int compile_select_list(struct compile *c, const struct weir_stream *aggregate,
                               struct group_params *group)
{
    struct named_columns columns = {group->group_names, group->group_types, group->groups->count};
    return compile_in_context(c->diag,
                              expr_parse_aggregates(aggregate->text, &c->scope, &columns,
                                                    c->view->is_windowed, &group->aggregates,
                                                    c->diag),
                              c->view, "weir_aggregate");
}

static int create_plan(struct compile *c, struct group_params *group)
{
    const struct agg_list *list = group->aggregates;
    return c->view->keyed != NULL
               ? agg_plan_create_net(list->calls, list->call_count, &group->plan, c->diag)
               : agg_plan_create(list->calls, list->call_count, &group->plan, c->diag);
}

static int compile_aggregate(struct compile *c, const struct weir_stream *aggregate)
{
    const struct weir_stream *window =
        aggregate->parent->kind == NODE_WINDOW ? aggregate->parent : NULL;
    const struct weir_stream *by = window != NULL ? window->parent : aggregate->parent;
    struct group_params *group = calloc(1, sizeof *group);
    if (group == NULL)
        return compile_no_memory(c->diag);
    c->view->group = group;
    c->view->is_windowed = window != NULL;
    if (c->view->keyed != NULL)
        TRY(compile_check_net(c, aggregate));
    if (window != NULL)
        TRY(compile_window(c, window));
    group->emit_final = aggregate->emit == WEIR_EMIT_FINAL;
    TRY(compile_in_context(c->diag, expr_parse_list(by->text, &c->scope, &group->groups, c->diag),
                           c->view, "weir_group_by"));
    group->group_names = (const char *const *)group->groups->names;
    group->group_types = calloc(group->groups->count + 1, sizeof *group->group_types);
    if (group->group_types == NULL)
        return compile_no_memory(c->diag);
    for (uint32_t i = 0; i < group->groups->count; i++)
        group->group_types[i] = expr_type(group->groups->exprs[i]);
    if (aggregate->name != NULL)
        TRY(compile_in_context(c->diag, compile_aggregate_fn(c, aggregate, group), c->view,
                               "weir_aggregate_fn"));
    else
        TRY(compile_select_list(c, aggregate, group));
    if (group->window.kind == WINDOW_SESSION)
        TRY(compile_in_context(
            c->diag, group_session_calls(group->aggregates, &group->session_call, c->diag), c->view,
            "weir_aggregate"));
    TRY(compile_in_context(c->diag, create_plan(c, group), c->view, "weir_aggregate"));
    if (c->view->keyed != NULL)
        TRY(compile_latest(c));
    else /* re-keying may then be skipped */
        TRY(compile_find_field(c, group->groups, &c->view->group_field));
    return name_group_columns(c);
}

static void hash_text(struct buf *all, const char *text)
{
    buf_uvarint(all, text != NULL ? strlen(text) + 1 : 0);
    if (text != NULL)
        buf_append(all, text, strlen(text));
}

/* Tumbling windows are hashed as they always were: what was written before there were others stays
 * usable. The rules of a zone are part of what local windows mean: when a new zone database changes
 * them, windows of both kinds must not stand in one store. */
static void hash_window(struct buf *all, const struct weir_stream *window,
                        const struct group_params *group)
{
    buf_varint(all, window->number_ms);
    if (window->window == WINDOW_TUMBLING)
        return;
    buf_u8(all, (uint8_t)window->window);
    buf_varint(all, window->hop_ms);
    if (window->window == WINDOW_LOCAL)
        buf_be64(all, zone_hash(group->local.zone));
}

/* JSON and CSV are hashed as they always were: the second one is known by its declared columns. */
static void hash_format(struct buf *all, const struct format *format)
{
    if (format != NULL && format->number != WEIR_JSON && format->number != WEIR_CSV)
        hash_text(all, format->name);
}

int compile_chain_of(const struct weir_stream *last, struct weir_stream *chain[COMPILE_CHAIN_MAX],
                     uint32_t *count)
{
    uint32_t at = 0;
    for (const struct weir_stream *node = last; node != NULL; node = node->parent)
        at++;
    if (at > COMPILE_CHAIN_MAX)
        return ERR_TOO_LARGE;
    *count = at;
    for (const struct weir_stream *node = last; node != NULL; node = node->parent)
        chain[--at] = (struct weir_stream *)(uintptr_t)node;
    return 0;
}

/* Of a join: its kind, and what its table is. */
static int hash_table(struct buf *all, const struct view *view, const struct weir_stream *join,
                      int (*hash)(struct buf *, const struct view *, struct weir_stream *const *,
                                  uint32_t, struct diag *),
                      struct diag *diag)
{
    struct weir_stream *chain[COMPILE_CHAIN_MAX];
    uint32_t count;
    TRY(compile_chain_of(join->table, chain, &count));
    buf_varint(all, join->number_ms);
    for (uint32_t i = 0; i < count; i++)
        if (chain[i]->is_partitioned)
            hash_text(all, "by partition"); /* stores have parts of the table */
    buf_uvarint(all, count);
    return hash(all, view, chain, count, diag);
}

/* Of a join of two streams what other nodes have not. */
static void hash_within(struct buf *all, const struct weir_stream *join)
{
    hash_text(all, join->right_columns);
    buf_varint(all, join->number_ms);
    buf_varint(all, join->before_ms);
    buf_varint(all, join->after_ms);
}

int compile_hash_texts(struct buf *all, const struct view *view, struct weir_stream *const *chain,
                       uint32_t count, struct diag *diag)
{
    for (uint32_t i = 0; i < count; i++) {
        if (chain[i]->kind == NODE_PEEK)
            continue; /* who looks on changes nothing */
        buf_u8(all, (uint8_t)chain[i]->kind);
        hash_text(all, chain[i]->text);
        hash_text(all, chain[i]->kind == NODE_CHECK ? NULL : chain[i]->extra);
        if (chain[i]->name != NULL)
            hash_text(all, chain[i]->name);
        hash_format(all, chain[i]->format);
        if (chain[i]->kind == NODE_AGGREGATE && chain[i]->name != NULL)
            buf_uvarint(all, chain[i]->aggregate.state_size);
        if (chain[i]->kind == NODE_WINDOW)
            hash_window(all, chain[i], view->group);
        if (chain[i]->kind == NODE_DISTINCT)
            buf_varint(all, chain[i]->number_ms);
        if (chain[i]->kind == NODE_JOIN)
            TRY(hash_table(all, view, chain[i], compile_hash_texts, diag));
        if (chain[i]->kind == NODE_WITHIN)
            hash_within(all, chain[i]);
        if (chain[i]->kind == NODE_JOIN_TABLES)
            buf_varint(all, chain[i]->number_ms);
    }
    return 0;
}

static int hash_plan(struct view *view, struct weir_stream *const *chain, uint32_t count,
                     struct diag *diag)
{
    struct buf all;
    buf_init(&all, 0);
    int rc = compile_hash_texts(&all, view, chain, count, diag);
    if (view->sink->format != NULL)
        hash_text(&all, view->sink->format->name);
    bool ok = buf_ok(&all);
    view->plan_hash = hash64(all.data, all.size);
    buf_deinit(&all);
    return rc < 0 ? rc : ok ? 0 : compile_no_memory(diag);
}

/* What decides what the state of a view means, and nothing else: conditions and select lists by
 * what they say, of aggregates the calls alone. Not how often results are emitted, how their columns
 * are computed from the calls, what a rejected row is called, how late a row may be. */
static int hash_meaning(struct buf *all, const struct view *view, const struct weir_stream *node,
                        struct diag *diag)
{
    buf_u8(all, (uint8_t)node->kind);
    hash_text(all, node->name);
    hash_format(all, node->format);
    switch (node->kind) {
    case NODE_JOIN:
        TRY(hash_table(all, view, node, compile_hash_meanings, diag));
        break;
    case NODE_DISTINCT:
        buf_varint(all, node->number_ms);
        return expr_canonical(node->text, false, all, diag);
    case NODE_WITHIN:
        hash_within(all, node);
        break;
    case NODE_JOIN_TABLES:
        buf_varint(all, node->number_ms);
        break;
    case NODE_FILTER:
    case NODE_CHECK:
    case NODE_MAP:
    case NODE_GROUP:
    case NODE_AGGREGATE:
        if (node->kind == NODE_AGGREGATE && node->name != NULL)
            buf_uvarint(all, node->aggregate.state_size); /* in C: texts of other forms */
        else if (node->extra == NULL || node->kind == NODE_CHECK)
            return expr_canonical(node->text, node->kind == NODE_AGGREGATE, all, diag);
        break;
    case NODE_WINDOW:
        hash_window(all, node, view->group);
        break;
    default:
        break;
    }
    hash_text(all, node->text);
    hash_text(all, node->extra);
    return 0;
}

int compile_hash_meanings(struct buf *all, const struct view *view,
                          struct weir_stream *const *chain, uint32_t count, struct diag *diag)
{
    bool is_result = false; /* a map of results changes how they look, a filter which there are */
    for (uint32_t i = 0; i < count; i++) {
        if (chain[i]->kind != NODE_PEEK && !(is_result && chain[i]->kind == NODE_MAP))
            TRY(hash_meaning(all, view, chain[i], diag));
        is_result |= chain[i]->kind == NODE_AGGREGATE;
    }
    return 0;
}

/* Rows that cross to a distinct operator hold the fields that the chain reads, as columns. */
static void hash_fields(struct buf *all, const struct field_set *fields)
{
    char text[FIELD_TEXT_BYTES];
    buf_uvarint(all, field_set_count(fields));
    for (uint32_t i = 0; i < field_set_count(fields); i++) {
        path_print(field_set_path(fields, i), text, sizeof text);
        hash_text(all, text);
    }
}

static int hash_state(struct view *view, struct weir_stream *const *chain, uint32_t count,
                      struct diag *diag)
{
    struct buf all;
    buf_init(&all, 0);
    int rc = compile_hash_meanings(&all, view, chain, count, diag);
    if (view->is_distinct_over_fields)
        hash_fields(&all, view->fields);
    bool ok = buf_ok(&all);
    view->state_hash = hash64(all.data, all.size) | 1; /* 0 says that none is known */
    buf_deinit(&all);
    return rc < 0 ? rc : ok ? 0 : compile_no_memory(diag);
}

static int compile_step(struct compile *c, const struct weir_stream *node)
{
    if (c->view->group != NULL && (node->kind == NODE_FILTER || node->kind == NODE_MAP))
        return compile_result_step(c, node);
    switch (node->kind) {
    case NODE_AGGREGATE:
        return compile_aggregate(c, node);
    default:
        return compile_row_step(c, node);
    }
}

int compile_source(struct compile *c)
{
    struct view *view = c->view;
    view->fields = field_set_create();
    if (view->fields == NULL)
        return compile_no_memory(c->diag);
    compile_source_scope(c);
    view->event_time_field = -1;
    if (!view->source->format->has_fields)
        return compile_declared_source(c);
    if (view->source->extra == NULL)
        return 0;
    int index = field_set_add(view->fields, view->source->extra, c->diag);
    view->event_time_field = index;
    return index < 0 ? compile_in_context(c->diag, index, view, "event time") : 0;
}

/* Text and raw bytes have room for one column. */
static int check_output_columns(struct compile *c)
{
    const struct view *view = c->view;
    uint32_t count = view->column_count - view->first_value;
    enum col_type type = count == 1 ? view->column_types[view->first_value] : COL_TEXT;
    if (view->format->is_single && count != 1)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_to_as: a record of format %s holds one column, and "
                        "there are %u: say with weir_map which",
                        view->sink->topic, view->format->name, count);
    if (view->format->is_bytes && type != COL_BYTEA && type != COL_TEXT)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_to_as: a record of format %s holds bytea or text, and "
                        "column \"%s\" is %s",
                        view->sink->topic, view->format->name,
                        view->column_names[view->first_value], col_type_name(type));
    return 0;
}

static int compile_columns_out(struct compile *c)
{
    struct view *view = c->view;
    if (view->group == NULL) {
        TRY(name_columns(view, c->columns.count, c->diag));
        for (uint32_t i = 0; i < c->columns.count; i++)
            TRY(add_column(view, c->columns.names[i], c->columns.types[i], c->diag));
        view->is_time = c->is_time;
        c->is_time = NULL;
    }
    TRY(check_output_columns(c));
    return finish_names(view, c->diag);
}

/* Rows that were only filtered keep their bytes, unless another format was asked for: then they are
 * written anew from their columns. */
static int compile_passing_rows(struct compile *c)
{
    struct view *view = c->view;
    const struct format *wanted = view->sink->format, *given = view->source->format;
    view->format = given;
    if (wanted == NULL || wanted == given)
        return 0;
    if (view->declared == NULL)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: weir_to_as: these are whole JSON records, which have no "
                        "columns: say with weir_map what to write as %s",
                        view->sink->topic, wanted->name);
    view->format = wanted;
    view->is_mapped = true;
    return compile_columns_out(c);
}

int compile_rows_out(struct compile *c)
{
    struct view *view = c->view;
    if (view->group == NULL && view->is_remade && !view->is_mapped)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: the rows that weir_unnest and weir_join make of whole JSON "
                        "records have no form of their own: say with weir_map which columns to "
                        "write",
                        view->sink->topic);
    view->format = view->sink->format != NULL ? view->sink->format : &format_json;
    if (view->group == NULL && !view->is_mapped)
        return compile_passing_rows(c);
    return compile_columns_out(c);
}

static int compile_chain(struct view *view, const struct arm_chain *chain,
                         struct arm_chains *chains, struct diag *diag)
{
    struct compile c = {.view = view, .diag = diag};
    uint32_t op_ends[COMPILE_CHAIN_MAX] = {0};
    view->source = chain->steps[0];
    int rc = compile_source(&c);
    uint32_t count = chain->within > 0 ? chain->within : chain->count;
    op_ends[0] = view->op_count;
    for (uint32_t i = 1; rc == 0 && i < count; i++) {
        rc = chain->steps[i]->kind == NODE_MERGE && view->keyed == NULL
                 ? arm_chains_pass_merge(chains, &c, chain->steps[i])
                 : compile_step(&c, chain->steps[i]);
        op_ends[i] = view->op_count;
    }
    if (rc == 0)
        rc = chain->within > 0 ? compile_side(&c, chain) : compile_rows_out(&c);
    if (rc == 0)
        rc = compile_table_out(&c);
    if (rc == 0)
        rc = hash_plan(view, chain->steps, chain->count, diag);
    if (rc == 0)
        rc = hash_state(view, chain->steps, chain->count, diag);
    if (rc == 0)
        compile_verdicts(view, chain, op_ends);
    compile_columns_destroy(&c);
    return rc;
}

/* Rows of several sources that cross to one distinct operator have the same columns. */
static int check_distinct(const struct view *lead, struct diag *diag)
{
    if (lead->arm_count > 1 && lead->distinct != NULL && lead->is_distinct_over_fields)
        return diag_set(
            diag, ERR_UNSUPPORTED,
            "stream to %s: weir_distinct: whole JSON records of several sources have "
            "no columns in common: say with weir_map, before the merge, which they have",
            lead->sink->topic);
    return 0;
}

static int compile_view(struct view *lead, struct diag *diag)
{
    struct arm_chains chains = {0};
    int rc = arm_chains_find(lead->sink, &chains, diag);
    for (uint32_t i = 0; rc == 0 && i < chains.count; i++) {
        struct view *arm;
        rc = plan_arm_add(lead, i, &arm, diag);
        if (rc == 0)
            rc = compile_chain(arm, &chains.items[i], &chains, diag);
    }
    if (rc == 0 && lead->joined != NULL)
        rc = compile_joined(lead, &chains.items[0], diag);
    arm_chains_deinit(&chains);
    TRY(rc);
    TRY(check_distinct(lead, diag));
    return plan_arms_finish(lead, diag);
}

static bool is_internal_name(const struct plan *plan, const struct view *of, const char *topic)
{
    static const struct {
        bool has_app;
        const char *suffix;
    } forms[] = {{false, ".late"},
                 {true, "-changelog"},
                 {true, "-repartition"},
                 {false, "-repartition"},
                 {true, "-distinct"},
                 {false, "-distinct"},
                 {true, "-repartition-changelog"},
                 {true, "-distinct-changelog"}};
    char name[2 * TOPIC_NAME_BYTES];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        snprintf(name, sizeof name, "%s%s%s%s", forms[i].has_app ? plan->app->name : "",
                 forms[i].has_app ? "-" : "", of->sink->topic, forms[i].suffix);
        if (strcmp(name, topic) == 0)
            return true;
    }
    return strcmp(topic, plan->progress_topic) == 0 || strcmp(topic, plan->dlq_topic) == 0;
}

/* An output may not be named as a topic, or a stage, that the app makes for itself. */
static int check_names(const struct plan *plan, struct diag *diag)
{
    for (uint32_t i = 0; i < plan->view_count; i++)
        for (uint32_t j = 0; j < plan->view_count; j++)
            if (is_internal_name(plan, &plan->views[j], plan->views[i].sink->topic))
                return diag_set(diag, ERR_INVALID,
                                "stream to %s: app %s uses that name itself, for the stream to %s: "
                                "choose another",
                                plan->views[i].sink->topic, plan->app->name,
                                plan->views[j].sink->topic);
    return 0;
}

/* A stage reads what the one before it writes: another format there would make dead letters of all
 * its rows. Bytes and text can be anything. */
static int check_formats(const struct plan *plan, const struct view *arm, struct diag *diag)
{
    const struct format *read = arm->source->format;
    const struct format *written = arm->upstream >= 0 ? plan->views[arm->upstream].format : read;
    if (read == written || read->is_single || written->is_single)
        return 0;
    return diag_set(diag, ERR_INVALID, "stream to %s reads %s as %s, which is written as %s",
                    arm->sink->topic, arm->source->text, read->name, written->name);
}

/* Which view of the app writes what this one reads. The keys of a table that it writes are those of
 * its rows, whatever is in them. */
static void link_writer(const struct plan *plan, struct view *reader)
{
    for (uint32_t i = 0; i < plan->view_count; i++)
        if (strcmp(plan->views[i].sink->topic, reader->source->text) == 0)
            reader->upstream = (int)i;
    if (reader->keyed != NULL && reader->upstream >= 0)
        reader->keyed->takes_nulls = plan_gives_changes(&plan->views[reader->upstream]);
}

static int link_tables(struct plan *plan, struct view *arm, struct diag *diag)
{
    for (uint32_t t = 0; t < arm->table_count; t++) {
        struct view *table = &arm->tables[t]->rows;
        link_writer(plan, table);
        if (strcmp(arm->sink->topic, table->source->text) == 0)
            return diag_set(diag, ERR_INVALID, "stream to %s joins with the topic that it writes",
                            arm->sink->topic);
        TRY(check_formats(plan, table, diag));
    }
    return 0;
}

/* A view that emits changes is a table, and reading it as a stream would count every change as an
 * event. */
static int link_arm(struct plan *plan, struct view *arm, struct diag *diag)
{
    TRY(link_tables(plan, arm, diag));
    link_writer(plan, arm);
    if (strcmp(arm->sink->topic, arm->source->text) == 0)
        return diag_set(diag, ERR_INVALID, "stream to %s reads the topic that it writes",
                        arm->sink->topic);
    const struct view *upstream = arm->upstream >= 0 ? &plan->views[arm->upstream] : NULL;
    if (upstream != NULL && plan_gives_changes(upstream) && arm->keyed == NULL)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "stream to %s reads %s, which emits changes: that topic is an upsert "
                        "table, not a stream. Read it with weir_latest, or %s",
                        arm->sink->topic, upstream->sink->topic,
                        upstream->group != NULL ? "use weir_emit(…, WEIR_EMIT_FINAL) on it"
                                                : "what it is made of");
    return check_formats(plan, arm, diag);
}

/* A view is a level below the lowest one that it reads; in a circle levels grow without end. */
static int lower(const struct plan *plan, uint32_t *levels, uint32_t view, int upstream,
                 bool *moved, struct diag *diag)
{
    if (upstream < 0 || levels[upstream] < levels[view])
        return 0;
    levels[view] = levels[upstream] + 1;
    *moved = true;
    if (levels[view] < plan->view_count)
        return 0;
    return diag_set(diag, ERR_INVALID,
                    "the streams of app %s read each other in a circle, through %s",
                    plan->app->name, plan->views[view].sink->topic);
}

static int check_circles(const struct plan *plan, uint32_t *levels, struct diag *diag)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < plan->view_count; i++)
            for (const struct view *arm = &plan->views[i]; arm != NULL; arm = arm->next_arm) {
                TRY(lower(plan, levels, i, arm->upstream, &moved, diag));
                for (uint32_t t = 0; t < arm->table_count; t++)
                    TRY(lower(plan, levels, i, arm->tables[t]->rows.upstream, &moved, diag));
            }
    }
    return 0;
}

static int link_views(struct plan *plan, struct diag *diag)
{
    for (uint32_t i = 0; i < plan->view_count; i++)
        for (struct view *arm = &plan->views[i]; arm != NULL; arm = arm->next_arm)
            TRY(link_arm(plan, arm, diag));
    uint32_t *levels = calloc(plan->view_count + 1, sizeof *levels);
    if (levels == NULL)
        return compile_no_memory(diag);
    int rc = check_circles(plan, levels, diag);
    free(levels);
    return rc;
}

static int compile_plan(const struct weir_app *app, struct plan **result, struct diag *diag)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return compile_no_memory(diag);
    plan->app = app;
    snprintf(plan->progress_topic, sizeof plan->progress_topic, "%s-progress", app->name);
    snprintf(plan->dlq_topic, sizeof plan->dlq_topic, "%s.dlq", app->name);
    for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
        plan->view_count++;
    plan->views = calloc(plan->view_count + 1, sizeof *plan->views);
    int rc = plan->views == NULL ? compile_no_memory(diag) : 0;
    if (rc == 0 && plan->view_count == 0)
        rc = diag_set(diag, ERR_STATE, "app %s writes nothing: end a stream with weir_to",
                      app->name);
    uint32_t i = 0;
    if (rc == 0)
        for (const struct sink *sink = app->sinks; sink != NULL; sink = sink->next)
            plan->views[i++].sink = sink;
    for (i = 0; rc == 0 && i < plan->view_count; i++)
        rc = compile_view(&plan->views[i], diag);
    if (rc == 0)
        rc = check_names(plan, diag);
    if (rc == 0)
        rc = link_views(plan, diag);
    if (rc < 0) {
        plan_destroy(plan);
        return rc;
    }
    *result = plan;
    return 0;
}

struct compile_job {
    const struct weir_app *app;
    struct plan **plan;
    struct diag *diag;
    int rc;
};

static void compile_all(void *context)
{
    struct compile_job *job = context;
    job->rc = compile_plan(job->app, job->plan, job->diag);
}

/* All texts are parsed on one large stack. */
int plan_compile(const struct weir_app *app, struct plan **result, struct diag *diag)
{
    struct compile_job job = {app, result, diag, 0};
    TRY(expr_on_large_stack(compile_all, &job, diag));
    return job.rc;
}

static void destroy_group(struct group_params *group)
{
    if (group == NULL)
        return;
    if (group->plan != NULL)
        agg_plan_destroy(group->plan);
    if (group->aggregates != NULL)
        agg_list_destroy(group->aggregates);
    compile_aggregate_fn_destroy(group->function);
    expr_list_destroy(group->select);
    if (group->having != NULL)
        expr_destroy(group->having);
    if (group->groups != NULL)
        expr_list_destroy(group->groups);
    if (group->key_names != NULL)
        json_names_destroy(group->key_names);
    zone_close(group->local.zone);
    free(group->group_types);
    free(group);
}

void compile_view_deinit(struct view *view)
{
    for (uint32_t op = 0; op < view->op_count; op++)
        compile_row_step_destroy(&view->ops[op]);
    destroy_group(view->group);
    compile_tables_destroy(view);
    for (uint32_t c = 0; c < view->column_count; c++)
        free(view->column_names[c]);
    free(view->column_names);
    free(view->column_types);
    if (view->value_names != NULL)
        json_names_destroy(view->value_names);
    if (view->key_names != NULL)
        json_names_destroy(view->key_names);
    if (view->result_names != NULL)
        json_names_destroy(view->result_names);
    column_list_destroy(view->declared);
    free(view->is_time);
    free((void *)(uintptr_t)view->group_field);
    free((void *)(uintptr_t)view->rekey_field);
    if (view->fields != NULL)
        field_set_destroy(view->fields);
}

void plan_destroy(struct plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; plan->views != NULL && i < plan->view_count; i++) {
        compile_joined_destroy(&plan->views[i]);
        compile_view_deinit(&plan->views[i]);
        for (struct view *arm = plan->views[i].next_arm, *next; arm != NULL; arm = next) {
            next = arm->next_arm;
            compile_view_deinit(arm);
            free(arm);
        }
    }
    free(plan->views);
    free(plan->stages);
    free(plan);
}
