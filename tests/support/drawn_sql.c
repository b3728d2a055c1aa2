/* drawn_sql.c: draws files of SQL (see drawn_sql.h): what there is to read, what is made of it, what is written.
 *
 * Restrictions keep what is drawn within what has one right answer: of repeats the first one counts,
 * so DISTINCT ON is drawn where rows of a key lie in one partition; windows are drawn where it is
 * known which rows of one partition came before which. */
#include "tests/support/drawn_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"

static int64_t below(struct drawn_file *file, int64_t limit)
{
    return chance_below(&file->chance, limit);
}

static bool one_in(struct drawn_file *file, int64_t n)
{
    return below(file, n) == 0;
}

static void draw_name(struct drawn_file *file, char *name, const char *kind)
{
    snprintf(name, DRAWN_NAME_BYTES, "%s%d_%d", kind, file->number, file->name_count++);
}

static struct drawn_relation *add_relation(struct drawn_file *file, enum relation_form form,
                                           const char *kind)
{
    struct drawn_relation *relation = arena_zalloc(&file->arena, sizeof *relation);
    must(relation != NULL && file->relation_count < DRAWN_RELATIONS_MAX);
    file->relations[file->relation_count++] = relation;
    relation->form = form;
    relation->time_column = relation->key_column = -1;
    relation->leaves = 1;
    draw_name(file, relation->name, kind);
    return relation;
}

/* ---- tables ---- */

static void add_column(struct drawn_file *file, struct drawn_relation *table,
                       enum declared_type type, bool may_nest)
{
    int i = table->column_count++;
    table->declared[i] = (struct drawn_declared){
        .type = type, .is_nested = may_nest && one_in(file, 5), .not_null = one_in(file, 6)};
    table->columns[i].type = declared_datum_type(type);
    draw_name(file, table->columns[i].name, "c");
}

static void draw_checks(struct drawn_file *file, struct drawn_relation *table)
{
    static const char *const classes[] = {NULL, "too_small", "odd"};
    struct drawn_scope scope;
    drawn_scope_of(table, NULL, &scope);
    struct drawer drawer = {&file->chance, &file->arena, &scope, false};
    for (int i = 0; i < table->column_count; i++)
        if (i != table->key_column && one_in(file, 6)) {
            table->declared[i].check = drawn_expr_draw(&drawer, DATUM_BOOLEAN, 2);
            table->declared[i].check_class = classes[below(file, 3)];
        }
}

static int64_t draw_lateness(struct drawn_file *file)
{
    static const int64_t spans[] = {0, 5000, 20000, 600000, -1};
    return spans[below(file, 5)];
}

static struct drawn_relation *draw_stream(struct drawn_file *file, bool is_input)
{
    static const enum declared_type first[] = {DECLARED_TEXT, DECLARED_BIGINT, DECLARED_TIME};
    struct drawn_relation *table = add_relation(file, FORM_TABLE, is_input ? "t" : "d");
    int count = 1 + (int)below(file, 3);
    bool has_time = !one_in(file, 5);
    for (int i = 0; i < 2 + (int)has_time; i++)
        add_column(file, table, first[i], true);
    for (int i = 0; i < count; i++)
        add_column(file, table, (enum declared_type)below(file, DECLARED_TYPES), true);
    table->has_event_time = has_time;
    if (has_time)
        table->time_column = 2;
    table->is_declared = true;
    table->nulls_bad = one_in(file, 4);
    table->lateness_ms = draw_lateness(file);
    table->is_placed = is_input && one_in(file, 3);
    snprintf(table->topic, sizeof table->topic, "%s", table->name);
    draw_checks(file, table);
    return table;
}

static struct drawn_relation *draw_keyed(struct drawn_file *file)
{
    struct drawn_relation *table = add_relation(file, FORM_TABLE, "k");
    add_column(file, table, DECLARED_TEXT, false);
    add_column(file, table, DECLARED_BIGINT, true);
    add_column(file, table, DECLARED_TEXT, true);
    if (one_in(file, 2))
        add_column(file, table, (enum declared_type)below(file, DECLARED_TYPES), true);
    table->declared[0].not_null = false;
    table->key_column = 0;
    table->is_declared = table->is_table = true;
    snprintf(table->topic, sizeof table->topic, "%s", table->name);
    draw_checks(file, table);
    return table;
}

/* ---- SELECT ---- */

static void take_columns(struct drawn_file *file, struct drawn_relation *out,
                         const struct drawn_scope *scope)
{
    int base_count = out->base->column_count;
    for (int i = 0; i < out->column_count; i++) {
        int column = drawn_expr_column(out->values[i]);
        out->columns[i].type = drawn_expr_type(out->values[i]);
        if (column >= 0 && (out->is_star || one_in(file, 2))) {
            snprintf(out->columns[i].name, DRAWN_NAME_BYTES, "%s", scope->names[column]);
            for (int before = 0; before < i; before++)
                if (strcmp(out->columns[before].name, out->columns[i].name) == 0)
                    draw_name(file, out->columns[i].name, "c");
        } else {
            draw_name(file, out->columns[i].name, "c");
        }
        if (column < 0 || column >= base_count)
            continue;
        if (column == out->base->time_column)
            out->time_column = i;
        if (out->base->is_table && column == out->base->key_column)
            out->key_column = i;
        if (out->base->is_placed && column == out->base->placed_column) {
            out->is_placed = true;
            out->placed_column = i;
        }
    }
}

static void inherit(struct drawn_relation *out, const struct drawn_relation *base)
{
    out->is_table = base->is_table;
    out->leaves = base->leaves;
    out->is_mixed = base->is_mixed;
    out->is_distinct = base->is_distinct;
    out->reads_written = base->reads_written;
}

static bool is_base(const struct drawn_relation *relation)
{
    return relation->place == PLACE_STATEMENT && !relation->is_table;
}

/* A stream that a name stands for. */
static struct drawn_relation *any_stream(struct drawn_file *file)
{
    struct drawn_relation *found[DRAWN_RELATIONS_MAX];
    int count = 0;
    for (int i = 0; i < file->relation_count; i++)
        if (is_base(file->relations[i]))
            found[count++] = file->relations[i];
    return found[below(file, count)];
}

/* A table with a key, or a view of one. */
static struct drawn_relation *any_table(struct drawn_file *file)
{
    struct drawn_relation *found[DRAWN_RELATIONS_MAX];
    int count = 0;
    for (int i = 0; i < file->relation_count; i++)
        if (file->relations[i]->is_table && file->relations[i]->key_column >= 0 &&
            file->relations[i]->place == PLACE_STATEMENT)
            found[count++] = file->relations[i];
    return count > 0 ? found[below(file, count)] : NULL;
}

static void draw_join(struct drawn_file *file, struct drawn_relation *out)
{
    struct drawn_scope scope;
    struct drawn_relation *table = any_table(file);
    /* By time, a row meets what the rows read before it have let in; where rows of several partitions have met, nobody wrote down in which order. */
    if (table == NULL || (file->is_timed && (out->base->reads_written || out->base->is_distinct)))
        return;
    drawn_scope_of(out->base, NULL, &scope);
    struct drawer drawer = {&file->chance, &file->arena, &scope, true};
    out->table = table;
    out->is_left = one_in(file, 2);
    out->on = drawn_expr_draw(&drawer, DATUM_TEXT, one_in(file, 3) ? 1 : 0);
    if (drawn_expr_column(out->on) < 0) { /* a constant is no join: the key meets a column */
        for (int i = 0; i < scope.count; i++)
            if (scope.types[i] == DATUM_TEXT)
                out->on = drawn_column_of(&drawer, i);
        if (drawn_expr_column(out->on) < 0)
            out->table = NULL;
    }
    drawn_scope_of(out->base, out->table, &scope);
    if (out->table == NULL || !one_in(file, 3))
        return;
    struct drawn_scope right = scope; /* of a LEFT JOIN the table's columns alone */
    if (out->is_left)
        for (int i = 0; i < out->base->column_count; i++)
            right.types[i] = DATUM_TYPES;
    drawer.scope = &right;
    out->also = drawn_expr_draw(&drawer, DATUM_BOOLEAN, 1);
    if (!drawn_expr_reads(out->also))
        out->also = NULL; /* no condition of the table */
}

static bool names_differ(const struct drawn_scope *scope)
{
    for (int i = 0; i < scope->count; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(scope->names[i], scope->names[j]) == 0)
                return false;
    return true;
}

/* All columns, or some and expressions; time and placement, when the base has them, most of the time. */
static void draw_values(struct drawn_file *file, struct drawn_relation *out,
                        const struct drawn_scope *scope, bool keeps_key)
{
    struct drawer drawer = {&file->chance, &file->arena, scope, keeps_key};
    if (scope->count <= DRAWN_COLUMNS_MAX && names_differ(scope) && one_in(file, 3)) {
        out->is_star = true;
        for (int i = 0; i < scope->count; i++)
            out->values[out->column_count++] = drawn_column_of(&drawer, i);
        return;
    }
    int kept[] = {keeps_key ? out->base->key_column : -1,
                  one_in(file, 6) ? -1 : out->base->time_column,
                  out->base->is_placed ? out->base->placed_column : -1};
    for (int i = 0; i < 3; i++)
        if (kept[i] >= 0)
            out->values[out->column_count++] = drawn_column_of(&drawer, kept[i]);
    out->values[out->column_count++] = drawn_expr_draw(&drawer, DATUM_TEXT, (int)below(file, 2));
    out->values[out->column_count++] = drawn_expr_draw(&drawer, DATUM_BIGINT, (int)below(file, 3));
    for (int64_t more = below(file, 3); more > 0; more--)
        out->values[out->column_count++] = drawn_expr_draw(
            &drawer, (enum datum_type)below(file, DATUM_TYPES), (int)below(file, 3));
}

static bool can_be_distinct(const struct drawn_file *file, const struct drawn_relation *base)
{
    return !base->is_table && base->leaves == 1 && !base->is_distinct && !base->is_mixed &&
           (file->partitions == 1 || base->is_placed);
}

static void draw_distinct(struct drawn_file *file, struct drawn_relation *out)
{
    static const int64_t spans[] = {2000, 10000, 300000};
    out->within_ms = spans[below(file, 3)];
    out->distinct_columns[out->distinct_count++] =
        out->base->is_placed ? out->base->placed_column : 0;
    int more = (int)below(file, out->base->column_count);
    if (one_in(file, 2) && more != out->distinct_columns[0] &&
        out->base->columns[more].type != DATUM_NUMERIC)
        out->distinct_columns[out->distinct_count++] = more;
    out->is_distinct = true;
}

enum select_use { USE_STREAM = 0, USE_TABLE = 1, MAY_JOIN = 2, MAY_BE_DISTINCT = 4 };

static struct drawn_relation *draw_select(struct drawn_file *file, struct drawn_relation *base,
                                          enum relation_place place, int use)
{
    struct drawn_scope scope;
    struct drawn_relation *out = add_relation(file, FORM_SELECT, "v");
    out->place = place;
    out->base = base;
    inherit(out, base);
    if ((use & MAY_JOIN) != 0 && one_in(file, 2))
        draw_join(file, out);
    else if ((use & MAY_BE_DISTINCT) != 0 && can_be_distinct(file, base) && one_in(file, 2))
        draw_distinct(file, out);
    drawn_scope_of(base, out->table, &scope);
    struct drawer drawer = {&file->chance, &file->arena, &scope, (use & USE_TABLE) != 0};
    draw_values(file, out, &scope, (use & USE_TABLE) != 0);
    drawer.is_safe |= out->table != NULL; /* parts of it hold before the join, whatever meets */
    if (!one_in(file, out->table != NULL ? 2 : 3))
        out->where = drawn_expr_draw(&drawer, DATUM_BOOLEAN, 1 + (int)below(file, 2));
    take_columns(file, out, &scope);
    return out;
}

/* A name's rows, or those of a SELECT in the statement itself. */
static struct drawn_relation *draw_base(struct drawn_file *file)
{
    struct drawn_relation *base = any_stream(file);
    if (!one_in(file, 4))
        return base;
    return draw_select(file, base, one_in(file, 2) ? PLACE_CTE : PLACE_SUBSELECT, MAY_JOIN);
}

/* An arm whose columns have the types of the first one's, and its time where that is. */
static struct drawn_relation *draw_arm(struct drawn_file *file, const struct drawn_relation *like)
{
    struct drawn_scope scope;
    struct drawn_relation *out = add_relation(file, FORM_SELECT, "v");
    out->place = PLACE_SUBSELECT;
    out->base = any_stream(file);
    inherit(out, out->base);
    drawn_scope_of(out->base, NULL, &scope);
    struct drawer drawer = {&file->chance, &file->arena, &scope, false};
    for (int i = 0; i < like->column_count; i++)
        out->values[i] = i == like->time_column && out->base->time_column >= 0
                             ? drawn_column_of(&drawer, out->base->time_column)
                             : drawn_expr_draw(&drawer, like->columns[i].type, (int)below(file, 2));
    out->column_count = like->column_count;
    if (one_in(file, 2))
        out->where = drawn_expr_draw(&drawer, DATUM_BOOLEAN, 1);
    take_columns(file, out, &scope);
    return out;
}

static struct drawn_relation *draw_union(struct drawn_file *file, enum relation_place place)
{
    struct drawn_relation *first = draw_select(file, any_stream(file), PLACE_SUBSELECT, 0);
    struct drawn_relation *second = draw_arm(file, first);
    if (first->leaves + second->leaves > 8 || first->is_distinct || second->is_distinct) {
        first->place = place; /* not that many, and what is distinct stays alone */
        return first;
    }
    struct drawn_relation *out = add_relation(file, FORM_UNION, "v");
    out->place = place;
    out->arms[0] = first;
    out->arms[1] = second;
    memcpy(out->columns, first->columns, sizeof out->columns);
    out->column_count = first->column_count;
    out->time_column = first->time_column == second->time_column ? first->time_column : -1;
    out->leaves = first->leaves + second->leaves;
    out->is_mixed = first->is_mixed || second->is_mixed;
    out->reads_written = first->reads_written || second->reads_written;
    return out;
}

static void draw_view(struct drawn_file *file)
{
    struct drawn_relation *table = any_table(file);
    if (table != NULL && one_in(file, 4))
        draw_select(file, table, PLACE_STATEMENT, USE_TABLE);
    else if (one_in(file, 4))
        draw_union(file, PLACE_STATEMENT);
    else
        draw_select(file, draw_base(file), PLACE_STATEMENT, MAY_JOIN | MAY_BE_DISTINCT);
}

/* ---- results ---- */

static struct drawn_result *add_result(struct drawn_file *file)
{
    struct drawn_result *result = arena_zalloc(&file->arena, sizeof *result);
    must(result != NULL && file->result_count < DRAWN_RESULTS_MAX);
    file->results[file->result_count++] = result;
    draw_name(file, result->name, "r");
    result->having = -1;
    return result;
}

/* The relation that reads a topic under the result's name. */
static struct drawn_relation *add_reader(struct drawn_file *file, struct drawn_result *result)
{
    struct drawn_relation *reader = add_relation(file, FORM_TABLE, "x");
    snprintf(reader->name, sizeof reader->name, "%s", result->name);
    snprintf(reader->topic, sizeof reader->topic, "%s", result->name);
    reader->lateness_ms = -1;
    reader->writer = result;
    reader->reads_written = true;
    result->reader = reader;
    return reader;
}

/* Whether rows of several partitions come together in one of the topic. */
static bool comes_mixed(const struct drawn_relation *rows)
{
    return rows->is_mixed || rows->is_distinct || rows->leaves > 1;
}

static void read_rows(struct drawn_file *file, struct drawn_result *result)
{
    const struct drawn_relation *rows = result->rows;
    if (rows->is_table)
        return;
    struct drawn_relation *reader = add_reader(file, result);
    memcpy(reader->columns, rows->columns, sizeof reader->columns);
    reader->column_count = rows->column_count;
    reader->time_column = rows->time_column;
    reader->has_event_time = rows->time_column >= 0;
    reader->is_mixed = comes_mixed(rows);
}

/* A table whose columns take the rows'. */
static void draw_target(struct drawn_file *file, struct drawn_result *result)
{
    static const enum declared_type types[DATUM_TYPES] = {
        DECLARED_BOOLEAN, DECLARED_BIGINT, DECLARED_NUMERIC, DECLARED_TEXT, DECLARED_TIME};
    const struct drawn_relation *rows = result->rows;
    struct drawn_relation *table = add_relation(file, FORM_TABLE, "d");
    for (int i = 0; i < rows->column_count; i++) {
        enum declared_type type = types[rows->columns[i].type];
        if (type == DECLARED_BIGINT)
            type = (enum declared_type)below(file, DECLARED_TEXT);
        else if (type == DECLARED_NUMERIC && one_in(file, 2))
            type = DECLARED_MONEY;
        add_column(file, table, type, false);
    }
    table->is_declared = true;
    table->nulls_bad = one_in(file, 4);
    table->lateness_ms = draw_lateness(file);
    table->writer = result;
    table->reads_written = true;
    table->is_mixed = comes_mixed(rows);
    table->time_column = rows->time_column;
    table->has_event_time = rows->time_column >= 0;
    snprintf(table->topic, sizeof table->topic, "%s", table->name);
    draw_checks(file, table);
    result->into = table;
    snprintf(result->name, sizeof result->name, "%s", table->name);
}

static void draw_rows(struct drawn_file *file)
{
    struct drawn_relation *table = any_table(file);
    struct drawn_result *result = add_result(file);
    result->is_view = one_in(file, 3);
    if (table != NULL && one_in(file, 6)) {
        result->is_view = true; /* a table's rows are written as a table */
        result->rows = draw_select(file, table, PLACE_SUBSELECT, USE_TABLE);
        return;
    }
    result->rows = one_in(file, 4)
                       ? draw_union(file, PLACE_SUBSELECT)
                       : draw_select(file, draw_base(file), PLACE_SUBSELECT,
                                     MAY_JOIN | (result->is_view ? MAY_BE_DISTINCT : 0));
    if (!result->is_view && one_in(file, 2))
        draw_target(file, result);
    else
        read_rows(file, result);
}

static void draw_window(struct drawn_file *file, struct drawn_result *result)
{
    static const int64_t sizes[] = {5000, 10000, 60000};
    const struct drawn_relation *rows = result->rows;
    if (rows->is_table || rows->time_column < 0 || rows->is_mixed ||
        rows->place == PLACE_SUBSELECT || one_in(file, 4))
        return;
    result->window = (enum drawn_window)(1 + below(file, 3));
    result->hop_ms = result->size_ms = sizes[below(file, 3)];
    if (result->window == WINDOW_HOP)
        result->size_ms *= 1 + below(file, 3);
    result->emit_final = one_in(file, 2);
    result->shows_start = one_in(file, 2);
    result->shows_end = one_in(file, 3);
}

static void draw_call(struct drawn_file *file, struct drawn_result *result,
                      const struct drawer *drawer)
{
    static const enum datum_type types[] = {
        [CALL_COUNT_ALL] = DATUM_BIGINT,     [CALL_COUNT] = DATUM_TYPES, [CALL_SUM] = DATUM_NUMERIC,
        [CALL_AVG] = DATUM_BIGINT,           [CALL_MIN] = DATUM_TYPES,   [CALL_MAX] = DATUM_TYPES,
        [CALL_COUNT_DISTINCT] = DATUM_TYPES, [CALL_FIRST] = DATUM_TYPES, [CALL_LAST] = DATUM_TYPES};
    const struct drawn_relation *rows = result->rows;
    bool is_table =
        rows->is_table; /* which of a stream's rows is first: where they came one by one */
    bool is_ordered =
        rows->leaves == 1 && !rows->is_mixed && !rows->is_distinct && !rows->reads_written;
    struct drawn_call *call = &result->calls[result->call_count++];
    call->kind = (enum drawn_call_kind)below(file, is_table     ? CALL_MIN
                                                   : is_ordered ? CALL_LAST + 1
                                                                : CALL_FIRST);
    if (call->kind == CALL_COUNT_DISTINCT && result->window == WINDOW_SESSION)
        call->kind = CALL_COUNT; /* sessions do not take it */
    enum datum_type type = types[call->kind];
    if (type == DATUM_TYPES)
        type = (enum datum_type)(call->kind == CALL_MIN || call->kind == CALL_MAX
                                     ? DATUM_BIGINT + below(file, 4)
                                     : below(file, DATUM_TYPES));
    if (call->kind == CALL_SUM && one_in(file, 2))
        type = DATUM_BIGINT;
    if (call->kind != CALL_COUNT_ALL)
        call->arg = drawn_expr_draw(drawer, type, call->kind == CALL_AVG ? 0 : (int)below(file, 2));
    if (one_in(file, 3))
        call->filter = drawn_expr_draw(drawer, DATUM_BOOLEAN, 1);
    draw_name(file, call->name, "a");
}

static void draw_groups(struct drawn_file *file, struct drawn_result *result,
                        const struct drawer *drawer)
{
    static const enum datum_type types[] = {DATUM_TEXT, DATUM_TEXT, DATUM_BIGINT, DATUM_BOOLEAN};
    result->group_count = (int)below(file, DRAWN_GROUPS_MAX + 1);
    for (int i = 0; i < result->group_count; i++) {
        struct drawer safe = *drawer;
        safe.is_safe = true;
        do /* a constant, or the same twice, is no group of its own */
            result->groups[i] = drawn_expr_draw(&safe, types[below(file, 4)], (int)below(file, 2));
        while (!drawn_expr_reads(result->groups[i]) ||
               (i > 0 && drawn_expr_same(result->groups[0], result->groups[1])));
        result->group_style[i] = (int)below(file, 3);
        draw_name(file, result->group_names[i], "g");
    }
}

/* Results that are read on, as a stream of closed windows or as a table that changes. */
static void read_groups(struct drawn_file *file, struct drawn_result *result)
{
    int count = 0;
    bool is_whole = result->window == WINDOW_NONE || result->shows_start;
    if (!is_whole || (!result->emit_final && result->group_count == 0))
        return;
    struct drawn_relation *reader = add_reader(file, result);
    for (int i = 0; i < result->group_count; i++) {
        snprintf(reader->columns[count].name, DRAWN_NAME_BYTES, "%s", result->group_names[i]);
        reader->columns[count++].type = drawn_expr_type(result->groups[i]);
    }
    for (int i = 0; i < result->call_count; i++) {
        const struct drawn_call *call = &result->calls[i];
        snprintf(reader->columns[count].name, DRAWN_NAME_BYTES, "%s", call->name);
        reader->columns[count++].type = call->kind == CALL_COUNT_ALL || call->kind == CALL_COUNT ||
                                                call->kind == CALL_COUNT_DISTINCT
                                            ? DATUM_BIGINT
                                        : call->kind == CALL_SUM || call->kind == CALL_AVG
                                            ? DATUM_NUMERIC
                                            : drawn_expr_type(call->arg);
    }
    for (int i = 0; i < 2; i++)
        if (i == 0 ? result->shows_start : result->shows_end) {
            snprintf(reader->columns[count].name, DRAWN_NAME_BYTES, i == 0 ? "started" : "ended");
            reader->columns[count++].type = DATUM_TIME;
        }
    reader->column_count = count;
    reader->is_table = !result->emit_final;
    reader->is_mixed = true;
}

static void draw_grouped(struct drawn_file *file)
{
    struct drawn_scope scope;
    struct drawn_result *result = add_result(file);
    struct drawn_relation *tables[DRAWN_RELATIONS_MAX];
    int count = 0;
    for (int i = 0; i < file->relation_count; i++)
        if (file->relations[i]->is_table && file->relations[i]->place == PLACE_STATEMENT)
            tables[count++] = file->relations[i];
    result->is_grouped = true;
    result->rows = count > 0 && one_in(file, 3) ? tables[below(file, count)] : draw_base(file);
    drawn_scope_of(result->rows, NULL, &scope);
    struct drawer drawer = {&file->chance, &file->arena, &scope, result->rows->is_table};
    draw_window(file, result);
    draw_groups(file, result, &drawer);
    for (int64_t i = below(file, 3); i >= 0; i--)
        draw_call(file, result, &drawer);
    if (one_in(file, 2))
        result->where = drawn_expr_draw(&drawer, DATUM_BOOLEAN, 1);
    for (int i = 0; i < result->call_count && result->having < 0 && one_in(file, 2); i++)
        if (result->calls[i].kind <= CALL_SUM) {
            result->having = i;
            result->having_above = below(file, 4);
        }
    read_groups(file, result);
}

void drawn_file_draw(struct drawn_file *file, uint64_t seed, int number, int rounds, bool is_timed)
{
    memset(file, 0, sizeof *file);
    *file = (struct drawn_file){
        .number = number, .rounds = rounds, .is_timed = is_timed, .chance = {seed}};
    arena_init(&file->arena, 0);
    buf_init(&file->sql, 0);
    file->partitions = 1 + (int)below(file, one_in(file, 3) ? DRAWN_PARTITIONS_MAX : 2);
    draw_stream(file, true);
    if (one_in(file, 2))
        draw_stream(file, true);
    if (!one_in(file, 3))
        draw_keyed(file);
    for (int64_t views = below(file, 3); views > 0; views--)
        draw_view(file);
    for (int64_t results = 1 + below(file, 3); results > 0; results--) {
        if (one_in(file, 2))
            draw_rows(file);
        else
            draw_grouped(file);
        file->results[file->result_count - 1]->after = file->relation_count;
        if (one_in(file, 4))
            draw_view(file);
    }
    for (int i = 0; i < file->relation_count; i++)
        if (file->relations[i]->form == FORM_TABLE && file->relations[i]->writer == NULL)
            drawn_rows_draw(file, file->relations[i]);
    drawn_file_print(file);
}

void drawn_file_free(struct drawn_file *file)
{
    for (int i = 0; i < file->result_count; i++)
        free(file->results[i]->outputs);
    buf_deinit(&file->sql);
    arena_deinit(&file->arena);
}
