/* sql_join_plan.c: FROM stream [LEFT] JOIN table ON …: what equals the table's key, and what else is asked of a match.
 *
 * A join looks a row up by the table's whole key, so ON must name each column of it once, equal to something of the rows that stand
 * left. Whatever else ON says is a condition: of an inner join on the rows that have met, of a left one on the table's rows, and
 * there it may speak of nothing else, since a row without a match is kept. Rows get the columns that the SELECT uses and no
 * others, under names that are free (sql_scope.c).
 *
 * A table that is read by partition (join = 'partitioned') meets rows that lie as it does. Whether they do is decided by what
 * the file says, and by nothing that a directory may say otherwise tomorrow: by partitioned_by of the stream's table, as far as views pass that column on. All others
 * go through a topic of their own, re-keyed (sql_own_topic.c). */
#include "runtime/sql/sql_scope.h"

#include <stdio.h>
#include <string.h>

/* One join on its way to a step. */
struct joining {
    struct compile_file *file;
    struct select_scope *scope;
    const struct join_item *item;
    const struct relation *table;
    const struct select *select;
    uint32_t number;        /* among the joins of the SELECT */
    uint32_t first;         /* the table's first column in the scope */
    struct syntax **equals; /* by column of the key; NULL: not said yet */
    struct syntax **others; /* the other conditions */
    uint32_t other_count;
};

/* Which column of the key it is; UINT32_MAX: none. */
static uint32_t key_of(const struct joining *j, const struct syntax *syntax)
{
    if (syntax->kind != SYNTAX_COLUMN)
        return UINT32_MAX;
    for (uint32_t k = 0; k < j->table->key_count; k++)
        if (j->table->keys[k] != UINT32_MAX &&
            strcmp(j->scope->names[j->first + j->table->keys[k]], syntax->path.parts[0]) == 0)
            return k;
    return UINT32_MAX;
}

/* ---- ON ---- */

static bool take_equality(struct joining *j, const struct syntax *syntax)
{
    if (syntax->kind != SYNTAX_OPERATOR || syntax->arg_count != 2 || strcmp(syntax->text, "=") != 0)
        return false;
    for (int side = 0; side < 2; side++) {
        uint32_t k = key_of(j, syntax->args[side]);
        struct syntax *other = syntax->args[1 - side];
        if (k == UINT32_MAX || j->equals[k] != NULL ||
            (scope_sides(j->scope, j->first, other) & 2) != 0)
            continue;
        j->equals[k] = other;
        return true;
    }
    return false;
}

static uint32_t count_conditions(const struct syntax *syntax)
{
    uint32_t count = 0;
    if (syntax->kind != SYNTAX_AND)
        return 1;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        count += count_conditions(syntax->args[i]);
    return count;
}

static void take_conditions(struct joining *j, struct syntax *syntax)
{
    if (syntax->kind == SYNTAX_AND)
        for (uint32_t i = 0; i < syntax->arg_count; i++)
            take_conditions(j, syntax->args[i]);
    else if (!take_equality(j, syntax))
        j->others[j->other_count++] = syntax;
}

static int missing_key(const struct joining *j, uint32_t k)
{
    const char *alias = j->scope->owners[j->scope->owner_count - 1].alias;
    uint32_t column = j->table->keys[k];
    char hint[200];
    if (column == UINT32_MAX)
        return source_error(&j->file->source, ERR_UNSUPPORTED, j->item->relation.at,
                            "keep it in the view's columns",
                            "view %s does not have the key of its table, which a join goes by",
                            j->table->name);
    snprintf(hint, sizeof hint, "ON %.60s.%.60s = …", alias, j->table->columns[column].name);
    return source_error(
        &j->file->source, ERR_UNSUPPORTED, j->item->on->at, hint,
        "a join goes by the table's key, and ON does not say what \"%s\" of %s equals",
        j->table->columns[column].name, alias);
}

static bool is_exact_number(enum col_type type)
{
    return type == COL_BIGINT || type == COL_NUMERIC;
}

/* What equals a column of the key: an expression of the rows that stand left, of its type. */
static int check_equal(const struct joining *j, uint32_t k)
{
    struct named_columns columns = {j->scope->names, j->scope->types, j->first};
    struct scope input = named_columns_scope(&columns);
    const struct relation_column *key = &j->table->columns[j->table->keys[k]];
    struct expr *expr;
    const struct syntax *aggregate = syntax_find_aggregate(j->equals[k]);
    if (aggregate != NULL)
        return source_error(&j->file->source, ERR_INVALID, aggregate->at, NULL,
                            "aggregates are not allowed in ON");
    TRY(expr_of_syntax(j->equals[k], false, &j->file->source, &input, &expr));
    enum col_type type = expr_type(expr);
    expr_destroy(expr);
    if (type == key->type || type == COL_VARIANT || key->type == COL_VARIANT ||
        (is_exact_number(type) && is_exact_number(key->type)))
        return 0;
    return source_error(&j->file->source, ERR_INVALID, j->equals[k]->at, "write a cast",
                        "\"%s\" of %s is %s, and what it equals is %s", key->name, j->table->name,
                        key->type_name, col_type_name(type));
}

static int check_condition(const struct joining *j, const struct syntax *condition)
{
    struct named_columns columns = {j->scope->names, j->scope->types, j->scope->count};
    struct scope input = named_columns_scope(&columns);
    struct expr *expr;
    const struct syntax *aggregate = syntax_find_aggregate(condition);
    if (aggregate != NULL)
        return source_error(&j->file->source, ERR_INVALID, aggregate->at, NULL,
                            "aggregates are not allowed in ON");
    TRY(expr_of_syntax(condition, true, &j->file->source, &input, &expr));
    expr_destroy(expr);
    if (j->item->is_full)
        return source_error(&j->file->source, ERR_UNSUPPORTED, condition->at,
                            "filter the tables in views of their own, or the result with WHERE",
                            "of a FULL JOIN, ON says what the keys equal and nothing else");
    if (j->item->is_left && (scope_sides(j->scope, j->first, condition) & 1) != 0)
        return source_error(
            &j->file->source, ERR_UNSUPPORTED, condition->at,
            "WHERE, or CASE in the select list, says what becomes of rows that met",
            "of a LEFT JOIN, conditions beside the key may be on columns of %s only",
            j->table->name);
    return 0;
}

/* ---- steps ---- */

struct relation *relation_over(struct arena *arena, const struct relation *base)
{
    struct relation *over = arena_zalloc(arena, sizeof *over);
    if (over == NULL)
        return NULL;
    over->kind = RELATION_VIEW;
    over->name = base->name;
    over->columns = base->columns;
    over->column_count = base->column_count;
    over->hidden_count = base->hidden_count;
    over->keys = base->keys;
    over->key_names = base->key_names;
    over->key_count = base->key_count;
    over->time_column = base->time_column;
    over->placed_column = base->placed_column;
    over->base = base;
    return over;
}

/* The table without the rows that a left join is not to find. */
static int filter_table(const struct joining *j, const struct relation **table)
{
    struct arena *arena = &j->file->program->arena;
    *table = j->table;
    if (!j->item->is_left || j->other_count == 0)
        return 0;
    struct relation *filtered = relation_over(arena, j->table);
    if (filtered == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < j->other_count; i++) {
        struct syntax *condition = syntax_copy(arena, j->others[i]);
        if (condition == NULL)
            return ERR_NOMEM;
        scope_use_own_names(j->scope, j->first, condition);
        TRY(add_step(j->file, filtered, STEP_FILTER, text_of_syntax(arena, condition), NULL));
    }
    *table = filtered;
    return 0;
}

static int add_join(const struct joining *j, struct relation *out)
{
    struct arena *arena = &j->file->program->arena;
    struct step *step;
    struct target_list on = {.items =
                                 arena_zalloc(arena, (j->table->key_count + 1) * sizeof *on.items),
                             .count = j->table->key_count};
    if (on.items == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < on.count; k++)
        on.items[k] = (struct target){j->equals[k], j->table->columns[j->table->keys[k]].name, -1};
    TRY(add_step(j->file, out, STEP_JOIN, text_of_targets(arena, &on), &step));
    step->is_left = j->item->is_left;
    step->owner = j->scope->owner_count - 1;
    step->is_full = j->item->is_full;
    step->is_of_tables = j->scope->relation->key_count > 0;
    TRY(filter_table(j, &step->table));
    for (uint32_t i = 0; i < j->other_count && !j->item->is_left; i++)
        TRY(add_step(j->file, out, STEP_FILTER, text_of_syntax(arena, j->others[i]), NULL));
    return 0;
}

/* What ON alone looks at is looked at in the table: rows need not have it. */
static void forget_use(const struct joining *j)
{
    for (uint32_t i = j->first; i < j->scope->count; i++)
        j->scope->columns[i].is_used = false;
    for (uint32_t i = 0; i < j->other_count && !j->item->is_left; i++)
        scope_mark_used(j->scope, j->others[i]);
}

/* ---- tables that are read by partition ---- */

bool relation_is_by_partition(const struct relation *table)
{
    while (table->base != NULL)
        table = table->base;
    return table->by_partition;
}

/* Whether the rows lie by what the key equals. */
static bool lies_right(const struct joining *j)
{
    const struct syntax *equal = j->equals[0];
    return equal->kind == SYNTAX_COLUMN && j->scope->placed != NULL &&
           strcmp(equal->path.parts[0], j->scope->placed) == 0;
}

/* What is written on the way has the columns that the SELECT names from there on. */
static int write_rows(struct joining *j, struct select_scope *scope, const char *by,
                      struct relation *out)
{
    struct select rest = *j->select;
    bool has_star = false;
    rest.from.joins += j->number;
    rest.from.join_count -= j->number;
    for (uint32_t i = 0; i < rest.item_count; i++)
        has_star |= rest.items[i].syntax == NULL;
    for (uint32_t i = 0; i < scope->count; i++) {
        struct scope_column *column = &scope->columns[i];
        column->is_used |= (has_star && !column->is_hidden) ||
                           select_names(&rest, scope->owners[column->owner].alias, column->shown) ||
                           (by != NULL && strcmp(scope->names[i], by) == 0);
    }
    TRY(plan_join_columns(j->file, scope, out));
    const struct relation *table = j->table;
    while (table->base != NULL)
        table = table->base;
    return by != NULL ? own_topic_by(j->file, scope, by, table->topic, out)
                      : own_topic_of_rows(j->file, scope, out);
}

/* The rows go through a topic in which they lie as the table's do. */
static int rekey_rows(struct joining *j, struct relation *out)
{
    const struct syntax *equal = j->equals[0];
    struct select_scope left = *j->scope;
    enum col_type type = COL_VARIANT;
    left.owner_count--;
    left.count = left.row_count = j->first;
    for (uint32_t i = 0; i < j->first && equal->kind == SYNTAX_COLUMN; i++)
        if (strcmp(left.names[i], equal->path.parts[0]) == 0)
            type = left.types[i];
    if (left.relation->time_column >= 0) /* rows go by it behind the topic too */
        left.columns[left.relation->time_column].is_used = true;
    if (type != COL_TEXT)
        return source_error(&j->file->source, ERR_UNSUPPORTED, equal->at,
                            "make it a text column of a view, and join that",
                            "%s is joined by partition, so that rows must lie by a text column, "
                            "and this is none",
                            j->table->name);
    TRY(write_rows(j, &left, equal->path.parts[0], out));
    j->scope->placed = equal->path.parts[0];
    return 0;
}

static int plan_join(struct joining *j, struct relation *out)
{
    struct arena *arena = &j->file->program->arena;
    j->first = j->scope->count;
    TRY(scope_join(j->scope, j->table, j->item->alias, j->item->relation.at));
    TRY(scope_resolve(j->scope, j->item->on));
    j->equals = arena_zalloc(arena, (j->table->key_count + 1) * sizeof(struct syntax *));
    j->others = arena_zalloc(arena, count_conditions(j->item->on) * sizeof(struct syntax *));
    if (j->equals == NULL || j->others == NULL)
        return ERR_NOMEM;
    take_conditions(j, j->item->on);
    for (uint32_t k = 0; k < j->table->key_count; k++)
        TRY(j->equals[k] == NULL ? missing_key(j, k) : check_equal(j, k));
    if (j->scope->relation->key_count > 0)
        TRY(check_joined_tables(j->scope, j->item, j->first, j->equals));
    for (uint32_t i = 0; i < j->other_count; i++)
        TRY(check_condition(j, j->others[i]));
    forget_use(j);
    if (relation_is_by_partition(j->table) && !lies_right(j))
        TRY(rekey_rows(j, out));
    return add_join(j, out);
}

/* ---- columns ---- */

/* Those of one table that are used; its last when none is, as there must be one. */
static int list_columns(struct compile_file *file, const struct select_scope *scope, uint32_t owner,
                        const char **text)
{
    struct arena *arena = &file->program->arena;
    struct target_list columns = {
        .items = arena_zalloc(arena, (scope->count + 1) * sizeof *columns.items)};
    if (columns.items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < scope->count; i++) {
        const struct scope_column *column = &scope->columns[i];
        if (column->owner != owner)
            continue;
        bool is_last = i + 1 == scope->count || scope->columns[i + 1].owner != owner;
        if (!column->is_used && !(is_last && columns.count == 0))
            continue;
        columns.items[columns.count++] =
            (struct target){syntax_column(arena, column->shown, -1), scope->names[i], -1};
        if (columns.items[columns.count - 1].syntax == NULL)
            return ERR_NOMEM;
    }
    *text = text_of_targets(arena, &columns);
    return *text != NULL ? 0 : ERR_NOMEM;
}

/* Of a join of two streams, the used columns of all that stands left. */
static int list_left_columns(struct compile_file *file, const struct select_scope *scope,
                             struct step *step)
{
    struct arena *arena = &file->program->arena;
    struct target_list columns = {
        .items = arena_zalloc(arena, (scope->count + 1) * sizeof *columns.items)};
    if (columns.items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < scope->count && scope->columns[i].owner < step->owner; i++) {
        if (!scope->columns[i].is_used)
            continue;
        columns.items[columns.count] =
            (struct target){syntax_column(arena, scope->names[i], -1), scope->names[i], -1};
        if (columns.items[columns.count++].syntax == NULL)
            return ERR_NOMEM;
    }
    step->left_columns = text_of_targets(arena, &columns);
    return step->left_columns != NULL ? 0 : ERR_NOMEM;
}

/* Of two tables the left one, too, is sent without the columns that nobody uses. */
static int map_left(struct compile_file *file, const struct select_scope *scope,
                    struct step **place)
{
    struct step *map = arena_zalloc(&file->program->arena, sizeof *map);
    if (map == NULL)
        return ERR_NOMEM;
    *map = (struct step){.kind = STEP_MAP, .next = *place};
    *place = map;
    return list_columns(file, scope, 0, &map->text);
}

int plan_join_columns(struct compile_file *file, const struct select_scope *scope,
                      struct relation *out)
{
    for (struct step **place = &out->steps; *place != NULL; place = &(*place)->next) {
        struct step *step = *place;
        if (step->kind == STEP_WITHIN)
            TRY(list_left_columns(file, scope, step));
        if (step->kind == STEP_WITHIN || step->kind == STEP_JOIN)
            TRY(list_columns(file, scope, step->owner, &step->columns));
        if (step->kind != STEP_JOIN || !step->is_of_tables)
            continue;
        TRY(map_left(file, scope, place));
        place = &(*place)->next;
    }
    return 0;
}

/* ---- all of a SELECT ---- */

int plan_joins(struct compile_file *file, const struct select *select,
               const struct relation *const *joined, struct select_scope *scope,
               struct relation *out)
{
    TRY(check_tables_of(file, select, scope->relation));
    for (uint32_t i = 0; i < select->from.join_count; i++) {
        struct joining joining = {.file = file,
                                  .scope = scope,
                                  .item = &select->from.joins[i],
                                  .table = joined[i],
                                  .select = select,
                                  .number = i};
        if (rows_have_met(out)) { /* what stands behind them reads them from a topic */
            TRY(write_rows(&joining, scope, NULL, out));
            scope->placed = NULL;
        }
        TRY(joined[i]->key_count > 0
                ? plan_join(&joining, out)
                : plan_within(file, &select->from.joins[i], joined[i], scope, out));
    }
    return 0;
}
