/* plan_within.c: compiles joins of two streams within a bound of time (see plan.h).
 *
 * Each way from a source to the join is an arm that ends there: an operator computes what the join
 * needs of its rows, their key and the columns that results have, and what leaves is written to one
 * topic for both sides. What stands behind the join is compiled once, as a view that begins with
 * those columns (struct view.joined): it reads that topic and writes the sink.
 *
 * Keys are compared by value, in a form that knows few types: a number, a text. So both sides need
 * one type, or two whose equal values have one form: bigint and numeric, and uncast JSON values with
 * what they can hold. */
#include <stdlib.h>
#include <string.h>

#include "runtime/format.h"
#include "runtime/plan_compile.h"

static const char what[] = "weir_join_within";

static struct within_params *params_of(const struct view *view)
{
    return (struct within_params *)(uintptr_t)view->within;
}

/* ---- a side ---- */

/* A view that begins at the lead's join. */
int compile_begin_joined(struct view *lead, struct diag *diag)
{
    static char no_topic[] = "";
    struct view *joined = lead->joined = calloc(1, sizeof *joined);
    struct weir_stream *source = calloc(1, sizeof *source);
    if (joined == NULL || source == NULL) {
        free(source);
        return compile_no_memory(diag);
    }
    source->kind = NODE_SOURCE;
    source->text = no_topic;
    source->format = &format_json;
    joined->sink = lead->sink;
    joined->lead = lead;
    joined->source = source;
    joined->upstream = joined->event_time_field = -1;
    return 0;
}

/* The view behind the join, with the first arm that comes there. */
static int begin_joined(struct view *lead, const struct weir_stream *node, struct diag *diag)
{
    if (lead->joined != NULL)
        return 0;
    struct within_params *params = calloc(1, sizeof *params);
    struct compile c = {.diag = diag};
    TRY(compile_begin_joined(lead, diag));
    c.view = lead->joined;
    TRY(compile_add_op(&c, "join_within", params));
    params->before_ms = node->before_ms;
    params->after_ms = node->after_ms;
    params->keeps_unmatched = node->number_ms == WEIR_JOIN_LEFT;
    ((struct weir_stream *)(uintptr_t)c.view->source)->number_ms = -within_lag_ms(params);
    c.view->within = params;
    return 0;
}

/* All columns that the rows have: "a", "b". */
static int list_columns(struct compile *c, const char *step, struct buf *text)
{
    if (c->columns.names == NULL)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: %s: the rows of %s have any field of their JSON: say which "
                        "columns results get of them%s",
                        c->view->sink->topic, step, c->view->source->text,
                        c->view->keyed != NULL ? ", with weir_map behind weir_latest" : "");
    for (uint32_t i = 0; i < c->columns.count; i++)
        buf_printf(text, i > 0 ? ", \"%s\"" : "\"%s\"", c->columns.names[i]);
    buf_u8(text, 0);
    return buf_ok(text) ? 0 : compile_no_memory(c->diag);
}

int compile_side_columns(struct compile *c, const char *step, const char *columns,
                         struct expr_list **list)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = columns == NULL ? list_columns(c, step, &text) : 0;
    if (rc == 0)
        rc = compile_in_context(c->diag,
                                expr_parse_list(columns != NULL ? columns : (const char *)text.data,
                                                &c->scope, list, c->diag),
                                c->view, step);
    buf_deinit(&text);
    return rc;
}

int compile_types_of(const struct expr_list *list, enum col_type **types, struct diag *diag)
{
    *types = calloc(list->count + 1, sizeof **types);
    for (uint32_t i = 0; *types != NULL && i < list->count; i++)
        (*types)[i] = expr_type(list->exprs[i]);
    return *types != NULL ? 0 : compile_no_memory(diag);
}

/* Several arms of one side have the same columns, since they have been merged. */
static int set_types(struct compile *c, const struct within_side_params *side)
{
    struct within_params *join = params_of(c->view);
    const struct expr_list *list = side->columns;
    if (join->types[side->side] == NULL) {
        join->column_counts[side->side] = list->count;
        return compile_types_of(list, &join->types[side->side], c->diag);
    }
    must(list->count == join->column_counts[side->side]);
    for (uint32_t i = 0; i < list->count; i++)
        must(expr_type(list->exprs[i]) == join->types[side->side][i]);
    return 0;
}

/* Whether equal values of the two have one form as keys. */
bool compile_are_comparable(enum col_type a, enum col_type b)
{
    enum col_type other = a == COL_VARIANT ? b : a;
    bool is_number = other == COL_BIGINT || other == COL_NUMERIC;
    if (a == b)
        return true;
    if (a == COL_VARIANT || b == COL_VARIANT)
        return is_number || other == COL_TEXT || other == COL_BOOLEAN;
    return (a == COL_BIGINT || a == COL_NUMERIC) && (b == COL_BIGINT || b == COL_NUMERIC);
}

static int set_key(struct compile *c, const struct expr_list *key)
{
    struct within_params *join = params_of(c->view);
    if (join->key_types == NULL) {
        join->key_count = key->count;
        join->key_names = json_names_create((const char *const *)key->names, key->count);
        return join->key_names != NULL ? compile_types_of(key, &join->key_types, c->diag)
                                       : compile_no_memory(c->diag);
    }
    if (key->count != join->key_count)
        return diag_set(c->diag, ERR_INVALID,
                        "stream to %s: %s: %u columns of the left side are compared with %u of the "
                        "right one",
                        c->view->sink->topic, what, join->key_count, key->count);
    for (uint32_t i = 0; i < key->count; i++) {
        enum col_type left = join->key_types[i], right = expr_type(key->exprs[i]);
        if (!compile_are_comparable(left, right))
            return diag_set(c->diag, ERR_INVALID,
                            "stream to %s: %s: \"%s\" of the right side is %s, and what is "
                            "compared with it is %s: cast one of them",
                            c->view->sink->topic, what, key->names[i], col_type_name(right),
                            col_type_name(left));
        if (left != right)
            join->key_types[i] = COL_VARIANT;
    }
    return 0;
}

static int mark_times(struct compile *c, const struct expr_list *columns)
{
    uint32_t index;
    bool *times = c->view->is_time = calloc(columns->count + 1, sizeof *times);
    if (times == NULL)
        return compile_no_memory(c->diag);
    for (uint32_t i = 0; i < columns->count; i++)
        times[i] = (expr_is_column(columns->exprs[i], &index) ||
                    expr_is_cast_of_column(columns->exprs[i], COL_TIMESTAMPTZ, &index)) &&
                   compile_is_time(c, index);
    return 0;
}

int compile_side(struct compile *c, const struct arm_chain *chain)
{
    if (chain->steps[chain->within]->kind == NODE_JOIN_TABLES)
        return compile_table_side(c, chain);
    struct view *lead = (struct view *)(uintptr_t)c->view->lead;
    const struct weir_stream *node = chain->steps[chain->within];
    bool is_left = chain->side == WITHIN_LEFT;
    TRY(begin_joined(lead, node, c->diag));
    c->view->within = lead->joined->within;
    struct within_side_params *params = calloc(1, sizeof *params);
    TRY(compile_add_op(c, "join_side", params));
    params->join = c->view->within;
    params->side = chain->side;
    TRY(compile_in_context(
        c->diag,
        expr_parse_list(is_left ? node->text : node->name, &c->scope, &params->key, c->diag),
        c->view, what));
    TRY(compile_side_columns(c, what, is_left ? node->extra : node->right_columns,
                             &params->columns));
    TRY(set_types(c, params));
    TRY(set_key(c, params->key));
    return mark_times(c, params->columns);
}

/* ---- behind the join ---- */

static const struct within_side_params *side_of(const struct view *arm)
{
    return arm->ops[arm->op_count - 1].params;
}

/* A column is an event time when it is that of all arms of its side. */
static void spread_times(struct compile *c, const struct view *lead)
{
    uint32_t left = c->view->within->column_counts[WITHIN_LEFT];
    for (uint32_t i = 0; i < c->columns.count; i++)
        c->is_time[i] = true;
    for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm) {
        unsigned side = side_of(arm)->side;
        bool *times = c->is_time + (side == WITHIN_LEFT ? 0 : left);
        for (uint32_t i = 0; i < c->view->within->column_counts[side]; i++)
            times[i] = times[i] && arm->is_time[i];
    }
}

static int add_columns(struct compile *c, const struct view *lead)
{
    struct within_params *join = params_of(c->view);
    const struct view *right = lead;
    uint32_t first;
    while (side_of(right)->side == WITHIN_LEFT)
        right = right->next_arm;
    const struct within_side_params *sides[] = {side_of(lead), side_of(right)};
    for (unsigned side = 0; side < 2; side++)
        TRY(compile_add_columns(c, what, (const char *const *)sides[side]->columns->names,
                                join->types[side], join->column_counts[side], &first));
    spread_times(c, lead);
    join->result_names = json_names_create(c->columns.names, c->columns.count);
    return join->result_names != NULL ? 0 : compile_no_memory(c->diag);
}

/* Results have timestamps that are event times when those of both sides are. */
static void set_event_time(struct view *joined)
{
    static char by_field[] = "";
    struct weir_stream *source = (struct weir_stream *)(uintptr_t)joined->source;
    for (const struct view *arm = joined->lead; arm != NULL; arm = arm->next_arm)
        if (arm->source->extra != NULL)
            source->extra = by_field;
}

static int compile_joined_streams(struct compile *c, struct view *lead)
{
    set_event_time(c->view);
    return add_columns(c, lead);
}

int compile_joined(struct view *lead, const struct arm_chain *chain, struct diag *diag)
{
    struct view *joined = lead->joined;
    struct compile c = {.view = joined, .diag = diag};
    joined->is_mapped = true;
    int rc = joined->join_tables != NULL ? compile_joined_tables(&c, lead)
                                         : compile_joined_streams(&c, lead);
    for (uint32_t i = chain->within + 1; rc == 0 && i < chain->count; i++)
        rc = compile_row_step(&c, chain->steps[i]);
    if (rc == 0)
        rc = compile_rows_out(&c);
    if (rc == 0)
        rc = compile_table_out(&c);
    for (struct view *arm = lead; arm != NULL; arm = arm->next_arm)
        arm->format = joined->format;
    compile_columns_destroy(&c);
    return rc;
}

void compile_joined_destroy(struct view *lead)
{
    if (lead->joined == NULL)
        return;
    compile_view_deinit(lead->joined);
    free((void *)(uintptr_t)lead->joined->source);
    free(lead->joined);
}
