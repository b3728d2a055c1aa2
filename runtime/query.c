/* query.c: runs a question (see query.h).
 *
 *   view_scan ─▶ WHERE ─┬─▶ select list ─────────────────┬─▶ (ORDER BY) ─▶ OFFSET, LIMIT
 *                       └─▶ GROUP BY, HAVING, select list ┘
 *
 * Everything between is the engine's: expressions, and for GROUP BY the aggregate operator itself, with a table in memory and
 * no store. Rows flow in batches into one arena, which is reset before each; what must outlive a batch is kept by the sorter
 * or by the operator's table, and both are asked after each batch whether they are within the memory they may have.
 *
 * A row for which an expression fails (a cast, a division by zero) ends the question with its reason, as it does in
 * PostgreSQL: an answer is whole or an error. */
#include "runtime/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/group_key.h"
#include "runtime/query_access.h"
#include "runtime/query_sort.h"
#include "runtime/view_reader.h"
#include "runtime/sql/sql_query.h"

/* ROWS_BYTES: what the rows of a batch may take beside what is kept, with all that their expressions make on the way. */
enum { ROOM_FIRST = 64, ROOM_MOST = 1024, ROWS_BYTES = 64 << 20 };

struct query {
    struct sql_program program; /* its arena holds all that is compiled */
    char *text;
    struct query_statement statement;
    struct view_reader *reader;
    const struct view *view;
    size_t memory_bytes;
    struct view_columns columns;
    struct query_steps steps;
    struct view_access access;
    const char **names; /* of the view's columns, and their types */
    enum col_type *types;
    enum col_type *output_types; /* of what the steps give */
    struct sort_key *sort_keys;

    struct expr *where; /* compiled steps */
    struct expr_list *list;
    bool is_grouped;
    struct group_params group;

    struct arena arena; /* of a batch */
    struct view_scan *scan;
    uint32_t room;
    struct op *op; /* GROUP BY, while rows go in */
    struct op_env env;
    bool is_collected; /* all rows are in the operator or in the sorter */
    bool has_rows, is_flushed;
    struct query_sort *sort;
    int64_t skip, left; /* OFFSET, LIMIT */
    struct batch batch;
};

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory for a question");
}

/* ---- text ---- */

int query_create(const char *sql, size_t size, struct query **result, struct diag *diag)
{
    struct query *query = calloc(1, sizeof *query);
    *result = NULL;
    if (query == NULL || (query->text = malloc(size + 1)) == NULL) {
        free(query);
        return no_memory(diag);
    }
    memcpy(query->text, sql, size);
    query->text[size] = '\0';
    arena_init(&query->program.arena, 0);
    arena_init(&query->arena, 0);
    int rc = sql_parse_query(query->text, size, &query->program.arena, &query->statement, diag);
    if (rc < 0) {
        query_destroy(query);
        return rc;
    }
    *result = query;
    return 0;
}

const char *query_view(const struct query *query)
{
    return query->statement.select->from.relation.text;
}

static void stop(struct query *query)
{
    view_scan_close(query->scan);
    query_sort_destroy(query->sort);
    if (query->op != NULL)
        op_destroy(query->op);
    query->scan = NULL;
    query->sort = NULL;
    query->op = NULL;
}

/* Texts that grow from expression to expression, row for row: what one question may take is bounded whatever it says. */
static int no_room(const struct query *query, struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM,
                    "the expressions of a few rows take more than %zu MB\n"
                    "hint: make shorter texts of them, or ask for fewer columns",
                    query->arena.limit_bytes >> 20);
}

void query_destroy(struct query *query)
{
    if (query == NULL)
        return;
    stop(query);
    if (query->where != NULL)
        expr_destroy(query->where);
    expr_list_destroy(query->list);
    struct group_params *group = &query->group;
    if (group->plan != NULL)
        agg_plan_destroy(group->plan);
    agg_list_destroy(group->aggregates);
    expr_list_destroy(group->select);
    if (group->having != NULL)
        expr_destroy(group->having);
    expr_list_destroy(group->groups);
    free(group->group_types);
    arena_deinit(&query->arena);
    arena_deinit(&query->program.arena);
    free(query->text);
    free(query);
}

/* ---- names and types ---- */

static int list_columns(struct query *query, struct query_columns *columns)
{
    struct arena *arena = &query->program.arena;
    uint32_t count = query->columns.count;
    *columns = (struct query_columns){
        .name = query_view(query),
        .columns = arena_zalloc(arena, (count + 1) * sizeof *columns->columns),
        .count = count,
        .hidden = query->columns.hidden};
    query->names = arena_alloc(arena, (count + 1) * sizeof *query->names);
    query->types = arena_alloc(arena, (count + 1) * sizeof *query->types);
    if (columns->columns == NULL || query->names == NULL || query->types == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct view_column *column = &query->columns.items[i];
        query->names[i] = column->name;
        query->types[i] = column->type;
        columns->columns[i] = (struct relation_column){
            .name = column->name, .type = column->type, .type_name = col_type_name(column->type)};
    }
    return 0;
}

static int list_outputs(struct query *query)
{
    struct arena *arena = &query->program.arena;
    const struct relation *out = query->steps.relation;
    uint32_t keys = query->statement.order_count;
    query->output_types = arena_alloc(arena, (out->column_count + 1) * sizeof(enum col_type));
    query->sort_keys = arena_alloc(arena, (keys + 1) * sizeof *query->sort_keys);
    if (query->output_types == NULL || query->sort_keys == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < out->column_count; i++)
        query->output_types[i] = out->columns[i].type;
    for (uint32_t i = 0; i < keys; i++)
        query->sort_keys[i] =
            (struct sort_key){query->steps.order[i], query->statement.order[i].is_descending,
                              query->statement.order[i].nulls_first};
    return 0;
}

/* ---- steps ---- */

/* The operator's columns behind the aggregate: groups, then calls. */
static int compile_results(struct query *query, const struct step *step, struct diag *diag)
{
    struct group_params *group = &query->group;
    uint32_t groups = group->groups->count, count = groups + group->aggregates->output_count;
    struct arena *arena = &query->program.arena;
    const char **names = arena_alloc(arena, (count + 1) * sizeof *names);
    enum col_type *types = arena_alloc(arena, (count + 1) * sizeof *types);
    if (names == NULL || types == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = i < groups ? group->groups->names[i] : group->aggregates->names[i - groups];
        types[i] =
            i < groups ? group->group_types[i] : expr_type(group->aggregates->outputs[i - groups]);
    }
    struct named_columns columns = {names, types, count};
    struct scope scope = named_columns_scope(&columns);
    return step->kind == STEP_FILTER
               ? expr_parse_condition(step->text, &scope, &group->having, diag)
               : expr_parse_list(step->text, &scope, &group->select, diag);
}

static int compile_groups(struct query *query, const struct step *step, const struct scope *scope,
                          struct diag *diag)
{
    struct group_params *group = &query->group;
    query->is_grouped = true;
    TRY(expr_parse_list(step->text, scope, &group->groups, diag));
    group->group_names = (const char *const *)group->groups->names;
    group->group_types = calloc(group->groups->count + 1, sizeof *group->group_types);
    if (group->group_types == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < group->groups->count; i++)
        group->group_types[i] = expr_type(group->groups->exprs[i]);
    return 0;
}

static int compile_aggregates(struct query *query, const struct step *step,
                              const struct scope *scope, struct diag *diag)
{
    struct group_params *group = &query->group;
    struct named_columns groups = {group->group_names, group->group_types, group->groups->count};
    TRY(expr_parse_aggregates(step->text, scope, &groups, false, &group->aggregates, diag));
    return agg_plan_create(group->aggregates->calls, group->aggregates->call_count, &group->plan,
                           diag);
}

static int compile_step(struct query *query, const struct step *step, const struct scope *scope,
                        struct diag *diag)
{
    switch (step->kind) {
    case STEP_GROUP:
        return compile_groups(query, step, scope, diag);
    case STEP_AGGREGATE:
        return compile_aggregates(query, step, scope, diag);
    case STEP_FILTER:
        return query->is_grouped ? compile_results(query, step, diag)
                                 : expr_parse_condition(step->text, scope, &query->where, diag);
    case STEP_MAP:
        return query->is_grouped ? compile_results(query, step, diag)
                                 : expr_parse_list(step->text, scope, &query->list, diag);
    default:
        return diag_set(diag, ERR_UNSUPPORTED, "a step that a question does not have");
    }
}

struct bind {
    struct query *query;
    struct diag *diag;
    int rc;
};

static int bind_query(struct query *query, struct diag *diag)
{
    struct query_columns columns;
    struct arena *arena = &query->program.arena;
    if (view_columns_make(query->view, arena, &query->columns) < 0 ||
        list_columns(query, &columns) < 0)
        return no_memory(diag);
    TRY(sql_plan_query(&query->program, query->text, &query->statement, &columns, &query->steps,
                       diag));
    if (list_outputs(query) < 0)
        return no_memory(diag);
    TRY(query_access_find(query->view, &query->columns, query->steps.where, arena, &query->access,
                          diag));
    struct named_columns named = {query->names, query->types, query->columns.count};
    struct scope scope = named_columns_scope(&named);
    for (const struct step *step = query->steps.relation->steps; step != NULL; step = step->next)
        TRY(compile_step(query, step, &scope, diag));
    return 0;
}

/* Several texts are parsed: one stack for all of them. */
static void bind_job(void *argument)
{
    struct bind *bind = argument;
    bind->rc = bind_query(bind->query, bind->diag);
}

int query_compile(struct query *query, const struct view *view, struct diag *diag)
{
    struct bind bind = {.query = query, .diag = diag};
    query->view = view;
    TRY(expr_on_large_stack(bind_job, &bind, diag));
    return bind.rc;
}

int query_bind(struct query *query, struct view_reader *reader, size_t memory_bytes,
               struct diag *diag)
{
    query->reader = reader;
    query->memory_bytes = memory_bytes;
    return query_compile(query, view_reader_view(reader), diag);
}

const struct view_access *query_access(const struct query *query)
{
    return &query->access;
}

uint32_t query_column_count(const struct query *query)
{
    return query->steps.shown;
}

const char *query_column_name(const struct query *query, uint32_t column)
{
    return query->steps.relation->columns[column].name;
}

enum col_type query_column_type(const struct query *query, uint32_t column)
{
    return query->output_types[column];
}

/* ---- rows in ---- */

static int ignore_change(void *context, struct bytes key, struct bytes value)
{
    (void)context;
    (void)key;
    (void)value;
    return 0;
}

int query_start(struct query *query, struct diag *diag)
{
    stop(query);
    view_reader_renew(query->reader);
    query->room = ROOM_FIRST;
    query->arena.limit_bytes = query->memory_bytes + ROWS_BYTES;
    query->is_collected = query->has_rows = query->is_flushed = false;
    query->skip = query->statement.offset;
    query->left = query->statement.limit >= 0 ? query->statement.limit : INT64_MAX;
    if (query->statement.order_count > 0) {
        int64_t keep = query->statement.limit;
        if (keep < 0 || __builtin_add_overflow(keep, query->skip, &keep) || keep > INT64_MAX / 4)
            keep = -1;
        if (query_sort_create(query->output_types, query->steps.relation->column_count,
                              query->sort_keys, query->statement.order_count, keep,
                              &query->sort) < 0)
            return no_memory(diag);
    }
    if (query->is_grouped) {
        query->env = (struct op_env){.changelog = ignore_change,
                                     .partition_count = 1,
                                     .closed_before_ms = INT64_MIN,
                                     .store_max_window_ms = INT64_MIN};
        TRY(op_create(op_type_find("aggregate"), &query->group, &query->env, &query->op, diag));
    }
    return view_scan_open(query->reader, &query->columns, &query->access, query->memory_bytes,
                          &query->scan, diag);
}

static int row_failed(const struct reject_list *rejects, struct diag *diag)
{
    return rejects->count == 0 ? 0
                               : diag_set(diag, ERR_INVALID, "%s (%s)", rejects->items[0].message,
                                          rejects->items[0].error_class);
}

/* 1: rows of the view for which WHERE is true (perhaps none of this batch); 0: the end. */
static int next_rows(struct query *query, struct batch *rows, struct diag *diag)
{
    struct reject_list rejects = {.arena = &query->arena};
    arena_reset(&query->arena);
    int rc = view_scan_next(query->scan, query->room, &query->arena, rows, diag);
    if (query->room < ROOM_MOST)
        query->room *= 2;
    if (rc <= 0 || query->where == NULL || rows->selected_count == 0)
        return rc;
    uint16_t *selection =
        arena_alloc(&query->arena, (rows->selected_count + 1) * sizeof *selection);
    uint32_t count;
    if (selection == NULL || expr_filter(query->where, rows, selection, &count, &rejects) < 0)
        return no_room(query, diag);
    TRY(row_failed(&rejects, diag));
    rows->selection = selection;
    rows->selected_count = count;
    return 1;
}

/* The select list. */
static int map_rows(struct query *query, struct batch *rows, struct diag *diag)
{
    struct reject_list rejects = {.arena = &query->arena};
    if (query->list == NULL)
        return 0;
    struct column *columns = arena_alloc(&query->arena, (query->list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < query->list->count; i++)
        if (expr_eval(query->list->exprs[i], rows, &columns[i], &rejects) < 0)
            return no_room(query, diag);
    TRY(row_failed(&rejects, diag));
    rows->columns = columns;
    rows->column_count = query->list->count;
    return 0;
}

static int over_memory(const struct query *query, const char *what, const char *hint,
                       struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "%s of so many rows takes more than %zu MB\nhint: %s", what,
                    query->memory_bytes >> 20, hint);
}

static int group_failed(const struct query *query, int rc, struct diag *diag)
{
    if (diag->text[0] != '\0')
        return rc;
    return rc == ERR_NOMEM ? no_room(query, diag) : diag_set(diag, rc, "GROUP BY failed");
}

static int group_rows(struct query *query, const struct batch *rows, struct diag *diag)
{
    struct reject_list rejects = {.arena = &query->arena};
    struct op_call call = {.arena = &query->arena, .rejects = &rejects, .diag = diag};
    struct batch none;
    query->has_rows |= rows->selected_count > 0;
    int rc = query->op->type->process(query->op, &call, rows, &none);
    if (rc < 0)
        return group_failed(query, rc, diag);
    TRY(row_failed(&rejects, diag));
    return op_group_bytes(query->op) > query->memory_bytes
               ? over_memory(query, "GROUP BY", "a condition makes it fewer groups", diag)
               : 0;
}

/* ---- groups out ---- */

/* Without GROUP BY there is one group, even of no rows. */
static int empty_group(struct query *query, struct op_call *call, struct batch *results)
{
    const struct group_params *group = &query->group;
    uint32_t count = group->groups->count;
    struct batch one = {.row_count = 1, .selected_count = 1, .arena = &query->arena};
    void *row = arena_alloc(&query->arena, agg_plan_row_bytes(group->plan));
    struct column *columns = arena_alloc(&query->arena, (count + 1) * sizeof *columns);
    struct bytes key;
    if (row == NULL || columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) /* what stands for the whole is a constant */
        TRY(expr_eval(group->groups->exprs[i], &one, &columns[i], call->rejects));
    TRY(group_key_encode_batch(&one, columns, count, &key));
    agg_row_init(group->plan, row);
    struct group_item item = {WINDOW_NONE, key, row};
    int rc = group_build_results(group, call, &item, 1, results);
    agg_row_release(group->plan, row); /* of no rows: nothing in the results is its */
    return rc;
}

/* Groups that HAVING shows, in the columns of the answer. */
static int arrange_groups(struct query *query, struct batch *results, struct diag *diag)
{
    const struct group_params *group = &query->group;
    uint16_t *selection =
        arena_alloc(&query->arena, (results->selected_count + 1) * sizeof *selection);
    uint32_t shown = 0;
    if (selection == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < results->selected_count; i++) {
        uint32_t row = batch_row(results, i);
        if (group_is_shown(group, results, row))
            selection[shown++] = (uint16_t)row;
    }
    results->selection = selection;
    results->selected_count = shown;
    if (group->select != NULL)
        results->columns += group_result_columns(group);
    return 0;
}

static int next_groups(struct query *query, struct batch *results, struct diag *diag)
{
    struct reject_list rejects = {.arena = &query->arena};
    struct op_call call = {.arena = &query->arena, .rejects = &rejects, .diag = diag};
    if (query->is_flushed)
        return 0;
    arena_reset(&query->arena);
    int rc;
    if (!query->has_rows) {
        query->is_flushed = true;
        if (query->statement.select->group_count > 0)
            return 0;
        rc = empty_group(query, &call, results);
        rc = rc < 0 ? rc : OP_MORE;
    } else {
        rc = query->op->type->flush(query->op, &call, results);
    }
    if (rc < 0)
        return group_failed(query, rc, diag);
    query->is_flushed |= rc == OP_DONE;
    if (rc == OP_DONE)
        return 0;
    TRY(row_failed(&rejects, diag));
    TRY(arrange_groups(query, results, diag));
    return 1;
}

static int collect_groups(struct query *query, struct diag *diag)
{
    struct batch rows;
    int rc;
    while ((rc = next_rows(query, &rows, diag)) == 1)
        if (rows.selected_count > 0)
            TRY(group_rows(query, &rows, diag));
    return rc;
}

/* ---- rows out ---- */

/* Rows of the answer before ORDER BY: 1 (perhaps none of this batch); 0: the end. */
static int next_outputs(struct query *query, struct batch *rows, struct diag *diag)
{
    if (!query->is_grouped) {
        int rc = next_rows(query, rows, diag);
        if (rc == 1 && rows->selected_count > 0)
            TRY(map_rows(query, rows, diag));
        return rc;
    }
    if (!query->is_collected)
        TRY(collect_groups(query, diag));
    query->is_collected = true;
    return next_groups(query, rows, diag);
}

static int collect_sorted(struct query *query, struct diag *diag)
{
    struct batch rows;
    int rc;
    while ((rc = next_outputs(query, &rows, diag)) == 1) {
        if (rows.selected_count == 0)
            continue;
        if (query_sort_add(query->sort, &rows) < 0)
            return no_memory(diag);
        if (query_sort_bytes(query->sort) > query->memory_bytes)
            return over_memory(query, "ORDER BY",
                               "a condition or a LIMIT makes it fewer rows; or sort what comes out",
                               diag);
    }
    return rc;
}

static int next_batch(struct query *query, struct batch *rows, struct diag *diag)
{
    if (query->sort == NULL)
        return next_outputs(query, rows, diag);
    if (query->room > 0)
        TRY(collect_sorted(query, diag));
    query->room = 0;
    arena_reset(&query->arena);
    int rc = query_sort_next(query->sort, &query->arena, rows);
    return rc < 0 ? no_memory(diag) : rc;
}

/* OFFSET and LIMIT. */
static int cut(struct query *query, struct batch *rows, struct diag *diag)
{
    uint32_t count = rows->selected_count;
    uint32_t first = query->skip < count ? (uint32_t)query->skip : count;
    uint32_t kept = count - first;
    if (kept > query->left)
        kept = (uint32_t)query->left;
    query->skip -= first;
    query->left -= kept;
    if (first == 0 && kept == count)
        return 0;
    uint16_t *selection = arena_alloc(&query->arena, (kept + 1u) * sizeof *selection);
    if (selection == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < kept; i++)
        selection[i] = (uint16_t)batch_row(rows, first + i);
    rows->selection = selection;
    rows->selected_count = kept;
    return 0;
}

int query_next(struct query *query, const struct batch **batch, struct diag *diag)
{
    *batch = &query->batch;
    for (;;) {
        if (query->left == 0)
            return 0;
        int rc = next_batch(query, &query->batch, diag);
        if (rc <= 0)
            return rc;
        if (query->batch.selected_count > 0)
            TRY(cut(query, &query->batch, diag));
        if (query->batch.selected_count > 0)
            return 1;
    }
}

bool query_has_marks(const struct query *query)
{
    return !query->is_grouped && query->statement.order_count == 0;
}

int query_begin_behind(struct query *query, const struct view_mark *mark)
{
    return view_scan_begin_behind(query->scan, mark);
}

int query_mark(const struct query *query, uint32_t row, struct view_mark *mark)
{
    return view_scan_mark(query->scan, batch_row(&query->batch, row), mark);
}

uint64_t query_left_out(const struct query *query, const char **reason)
{
    *reason = "";
    return query->scan != NULL ? view_scan_left_out(query->scan, reason) : 0;
}

/* ---- explain ---- */

int query_explain(struct query *query, struct buf *out, struct diag *diag)
{
    const struct store_view_names *names = view_reader_names(query->reader);
    const struct relation *relation = query->steps.relation;
    buf_printf(out, "view %s of app %s\n", names->name[0] != '\0' ? names->name : names->topic,
               names->app);
    arena_reset(&query->arena);
    TRY(query_access_explain(query->reader, &query->access, &query->arena, out, diag));
    bool is_grouped = false;
    for (const struct step *step = relation->steps; step != NULL; step = step->next) {
        is_grouped |= step->kind == STEP_GROUP;
        if (step->kind == STEP_FILTER)
            buf_printf(out, "%s: %s\n", is_grouped ? "having" : "filter", step->text);
        else if (step->kind == STEP_GROUP)
            buf_printf(out, "group in memory: %s\n",
                       query->statement.select->group_count > 0 ? step->text : "all rows");
        else if (step->kind == STEP_AGGREGATE)
            buf_printf(out, "aggregate: %s\n", step->text);
    }
    if (query->statement.order_count > 0)
        buf_printf(out, "sort in memory\n");
    if (query->statement.limit >= 0)
        buf_printf(out, "limit: %lld\n", (long long)query->statement.limit);
    return buf_ok(out) ? 0 : no_memory(diag);
}
