/* drawn_print.c: drawn files as the text that weir compiles (see drawn_sql.h). */
#include <stdio.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/drawn_sql.h"

const char *const declared_names[DECLARED_TYPES] = {
    "bigint", "integer", "smallint", "numeric", "numeric(8,2)", "text", "boolean", "timestamptz"};

enum datum_type declared_datum_type(enum declared_type type)
{
    switch (type) {
    case DECLARED_BIGINT:
    case DECLARED_INTEGER:
    case DECLARED_SMALLINT:
        return DATUM_BIGINT;
    case DECLARED_NUMERIC:
    case DECLARED_MONEY:
        return DATUM_NUMERIC;
    case DECLARED_TEXT:
        return DATUM_TEXT;
    case DECLARED_BOOLEAN:
        return DATUM_BOOLEAN;
    case DECLARED_TIME:
    case DECLARED_TYPES:
        break;
    }
    return DATUM_TIME;
}

static void add_owner(struct drawn_scope *scope, const struct drawn_relation *relation,
                      const char *owner)
{
    for (int i = 0; i < relation->column_count; i++) {
        must(scope->count < DRAWN_SCOPE_MAX);
        scope->types[scope->count] = relation->columns[i].type;
        scope->names[scope->count] = relation->columns[i].name;
        scope->owners[scope->count++] = owner;
    }
}

void drawn_scope_of(const struct drawn_relation *base, const struct drawn_relation *table,
                    struct drawn_scope *scope)
{
    scope->count = 0;
    add_owner(scope, base, table != NULL ? "s" : NULL);
    if (table != NULL)
        add_owner(scope, table, "k");
}

static void print_expr(const struct drawn_expr *expr, const struct drawn_scope *scope,
                       struct buf *out)
{
    drawn_expr_print(expr, scope, out);
}

static void print_interval(int64_t span_ms, struct buf *out)
{
    buf_printf(out, "INTERVAL '%lld seconds'", (long long)(span_ms / 1000));
}

/* ---- tables ---- */

static void print_columns(const struct drawn_relation *table, struct buf *out)
{
    struct drawn_scope scope;
    drawn_scope_of(table, NULL, &scope);
    for (int i = 0; i < table->column_count; i++) {
        const struct drawn_declared *declared = &table->declared[i];
        buf_printf(out, "%s\n  %s %s", i > 0 ? "," : "", table->columns[i].name,
                   declared_names[declared->type]);
        if (declared->is_nested)
            buf_printf(out, " OPTIONS (path 'o.%s')", table->columns[i].name);
        if (i == table->key_column)
            buf_printf(out, " PRIMARY KEY");
        if (declared->not_null)
            buf_printf(out, " NOT NULL");
        if (declared->check == NULL)
            continue;
        if (declared->check_class != NULL)
            buf_printf(out, " CONSTRAINT %s", declared->check_class);
        buf_printf(out, " CHECK (");
        print_expr(declared->check, &scope, out);
        buf_printf(out, ")");
    }
}

static void print_table(const struct drawn_relation *table, struct buf *out)
{
    buf_printf(out, "CREATE TABLE %s (", table->name);
    print_columns(table, out);
    buf_printf(out, "\n) WITH (topic = '%s', on_error = '%s'", table->topic,
               table->nulls_bad ? "null" : "dlq");
    if (table->has_event_time)
        buf_printf(out, ", event_time = '%s'", table->columns[table->time_column].name);
    if (!table->is_table && table->lateness_ms >= 0)
        buf_printf(out, ", lateness = '%lld seconds'", (long long)(table->lateness_ms / 1000));
    buf_printf(out, ");\n");
}

/* ---- SELECT ---- */

static void print_select(const struct drawn_relation *relation, struct buf *out);

static void print_from(const struct drawn_relation *base, const char *alias, struct buf *out)
{
    if (base->place == PLACE_SUBSELECT) {
        buf_printf(out, "(");
        print_select(base, out);
        buf_printf(out, ") AS %s", alias != NULL ? alias : base->name);
        return;
    }
    buf_printf(out, "%s", base->name);
    if (alias != NULL)
        buf_printf(out, " AS %s", alias);
}

static void print_distinct(const struct drawn_relation *relation, struct buf *out)
{
    buf_printf(out, "DISTINCT ON (");
    for (int i = 0; i < relation->distinct_count; i++)
        buf_printf(out, "%s%s", i > 0 ? ", " : "",
                   relation->base->columns[relation->distinct_columns[i]].name);
    buf_printf(out, ") ");
}

static void print_values(const struct drawn_relation *relation, const struct drawn_scope *scope,
                         struct buf *out)
{
    if (relation->is_star)
        buf_printf(out, "*");
    for (int i = 0; i < relation->column_count && !relation->is_star; i++) {
        buf_printf(out, i > 0 ? ", " : "");
        print_expr(relation->values[i], scope, out);
        buf_printf(out, " AS %s", relation->columns[i].name);
    }
}

static void print_join(const struct drawn_relation *relation, const struct drawn_scope *scope,
                       struct buf *out)
{
    const struct drawn_relation *table = relation->table;
    buf_printf(out, "%sJOIN %s AS k ON k.%s = ", relation->is_left ? " LEFT " : " ", table->name,
               table->columns[table->key_column].name);
    print_expr(relation->on, scope, out);
    if (relation->also == NULL)
        return;
    buf_printf(out, " AND (");
    print_expr(relation->also, scope, out);
    buf_printf(out, ")");
}

static void print_select(const struct drawn_relation *relation, struct buf *out)
{
    struct drawn_scope scope;
    if (relation->form == FORM_UNION) {
        print_select(relation->arms[0], out);
        buf_printf(out, "\n  UNION ALL ");
        print_select(relation->arms[1], out);
        return;
    }
    drawn_scope_of(relation->base, relation->table, &scope);
    buf_printf(out, "SELECT ");
    if (relation->within_ms > 0)
        print_distinct(relation, out);
    print_values(relation, &scope, out);
    buf_printf(out, " FROM ");
    print_from(relation->base, relation->table != NULL ? "s" : NULL, out);
    if (relation->table != NULL)
        print_join(relation, &scope, out);
    if (relation->where != NULL) {
        buf_printf(out, " WHERE ");
        print_expr(relation->where, &scope, out);
    }
}

static void print_cte(const struct drawn_relation *cte, struct buf *out)
{
    buf_printf(out, "WITH %s AS (", cte->name);
    print_select(cte, out);
    buf_printf(out, ")\n  ");
}

/* The SELECTs that a statement names first: one at most is drawn. */
static void print_with(const struct drawn_relation *relation, struct buf *out)
{
    if (relation->place == PLACE_CTE)
        print_cte(relation, out);
    else if (relation->form == FORM_SELECT && relation->base->place == PLACE_CTE)
        print_cte(relation->base, out);
}

static void print_within(const struct drawn_relation *relation, struct buf *out)
{
    if (relation->within_ms > 0)
        buf_printf(out, " WITH (within = '%lld seconds')", (long long)relation->within_ms / 1000);
}

static void print_view(const struct drawn_relation *view, struct buf *out)
{
    buf_printf(out, "CREATE VIEW %s", view->name);
    print_within(view, out);
    buf_printf(out, " AS\n  ");
    print_with(view, out);
    print_select(view, out);
    buf_printf(out, ";\n");
}

/* ---- results ---- */

static void print_rows(const struct drawn_result *result, struct buf *out)
{
    if (result->is_view) {
        buf_printf(out, "CREATE MATERIALIZED VIEW %s", result->name);
        print_within(result->rows, out);
        buf_printf(out, " AS\n  ");
    } else {
        buf_printf(out, "INSERT INTO %s\n  ", result->name);
    }
    print_with(result->rows, out);
    print_select(result->rows, out);
    buf_printf(out, ";\n");
}

static void print_call(const struct drawn_call *call, const struct drawn_scope *scope,
                       struct buf *out)
{
    static const char *const forms[] = {[CALL_COUNT_ALL] = "count(*",
                                        [CALL_COUNT] = "count(",
                                        [CALL_SUM] = "sum(",
                                        [CALL_AVG] = "avg(",
                                        [CALL_MIN] = "min(",
                                        [CALL_MAX] = "max(",
                                        [CALL_COUNT_DISTINCT] = "count(DISTINCT ",
                                        [CALL_FIRST] = "first(",
                                        [CALL_LAST] = "last("};
    buf_printf(out, "%s", forms[call->kind]);
    if (call->arg != NULL)
        print_expr(call->arg, scope, out);
    buf_printf(out, ")");
    if (call->filter == NULL)
        return;
    buf_printf(out, " FILTER (WHERE ");
    print_expr(call->filter, scope, out);
    buf_printf(out, ")");
}

static void print_outputs(const struct drawn_result *result, const struct drawn_scope *scope,
                          struct buf *out)
{
    const char *comma = "";
    for (int i = 0; i < result->group_count; i++, comma = ", ") {
        buf_printf(out, "%s", comma);
        print_expr(result->groups[i], scope, out);
        buf_printf(out, " AS %s", result->group_names[i]);
    }
    for (int i = 0; i < result->call_count; i++, comma = ", ") {
        buf_printf(out, "%s", comma);
        print_call(&result->calls[i], scope, out);
        buf_printf(out, " AS %s", result->calls[i].name);
    }
    if (result->shows_start)
        buf_printf(out, "%swindow_start AS started", comma);
    if (result->shows_end)
        buf_printf(out, ", window_end AS ended");
}

static void print_grouping(const struct drawn_result *result, const struct drawn_scope *scope,
                           struct buf *out)
{
    const char *comma = " GROUP BY ";
    for (int i = 0; i < result->group_count; i++, comma = ", ") {
        buf_printf(out, "%s", comma);
        if (result->group_style[i] == 0)
            buf_printf(out, "%d", i + 1);
        else if (result->group_style[i] == 1)
            buf_printf(out, "%s", result->group_names[i]);
        else
            print_expr(result->groups[i], scope, out);
    }
    if (result->window != WINDOW_NONE)
        buf_printf(out, "%swindow_start%s", comma, result->shows_end ? ", window_end" : "");
}

static void print_windows(const struct drawn_result *result, struct buf *out)
{
    static const char *const names[] = {"", "tumble(", "hop(", "session("};
    const struct drawn_relation *rows = result->rows;
    if (result->window == WINDOW_NONE) {
        print_from(rows, NULL, out);
        return;
    }
    buf_printf(out, "%s%s, %s, ", names[result->window], rows->name,
               rows->columns[rows->time_column].name);
    if (result->window == WINDOW_HOP) {
        print_interval(result->hop_ms, out);
        buf_printf(out, ", ");
    }
    print_interval(result->size_ms, out);
    buf_printf(out, ")");
}

static void print_grouped(const struct drawn_result *result, struct buf *out)
{
    struct drawn_scope scope;
    drawn_scope_of(result->rows, NULL, &scope);
    buf_printf(out, "CREATE MATERIALIZED VIEW %s%s AS\n  ", result->name,
               result->emit_final ? " WITH (emit = 'final')" : "");
    if (result->rows->place == PLACE_CTE)
        print_cte(result->rows, out);
    buf_printf(out, "SELECT ");
    print_outputs(result, &scope, out);
    buf_printf(out, " FROM ");
    print_windows(result, out);
    if (result->where != NULL) {
        buf_printf(out, " WHERE ");
        print_expr(result->where, &scope, out);
    }
    print_grouping(result, &scope, out);
    if (result->having >= 0) {
        buf_printf(out, " HAVING ");
        print_call(&result->calls[result->having], &scope, out);
        buf_printf(out, " > %lld", (long long)result->having_above);
    }
    buf_printf(out, ";\n");
}

static void print_results(const struct drawn_file *file, int from, int to, struct buf *out)
{
    for (int i = 0; i < file->result_count; i++) {
        const struct drawn_result *result = file->results[i];
        if (result->after <= from || result->after > to)
            continue;
        if (result->is_grouped)
            print_grouped(result, out);
        else
            print_rows(result, out);
    }
}

void drawn_file_print(struct drawn_file *file)
{
    struct buf *out = &file->sql;
    buf_clear(out);
    for (int i = 0; i < file->relation_count; i++) {
        const struct drawn_relation *relation = file->relations[i];
        if (relation->form == FORM_TABLE && relation->is_declared)
            print_table(relation, out);
        else if (relation->form != FORM_TABLE && relation->place == PLACE_STATEMENT)
            print_view(relation, out);
        print_results(file, i, i + 1, out);
    }
    must(buf_ok(out));
}

static void describe_input(const struct drawn_relation *table, const struct drawn_input *input)
{
    fprintf(stderr, "  run %d, %s-%d, at %lld%s%s: %s\n", input->round, table->topic,
            input->partition, (long long)input->timestamp_ms, input->key[0] != '\0' ? ", key " : "",
            input->key, input->is_tombstone ? "(null)" : input->text);
}

void drawn_file_describe(const struct drawn_file *file)
{
    fprintf(stderr, "%.*s%d partition(s)\n", (int)file->sql.size, (const char *)file->sql.data,
            file->partitions);
    for (int i = 0; i < file->relation_count; i++)
        for (int n = 0; n < file->relations[i]->input_count; n++)
            if (file->relations[i]->writer == NULL)
                describe_input(file->relations[i], &file->relations[i]->inputs[n]);
}
