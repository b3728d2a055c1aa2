/* sql_within_plan.c: FROM stream [LEFT] JOIN stream ON …: which columns are equal in both, how far apart in time two rows may be, and
 * what else is asked of a pair.
 *
 * ON is a list of conditions that AND joins, and each is one of these:
 *   a bound    BETWEEN or a comparison of the two event times, with intervals added: o.ts <= c.ts + INTERVAL '1 hour',
 *              o.ts - c.ts < INTERVAL '1 hour', c.ts = o.ts. All of them together say between which two distances the right row's
 *              time less the left one's must be. Times are whole milliseconds, so < and > are bounds as exact as <= and >=.
 *   an equality of something of the left rows with something of the right ones: a column of the join's key.
 *   a condition on one side: rows of it are filtered before they meet. A left join keeps left rows for which such a condition does not
 *              hold, without a match: there the condition makes their key NULL, which equals nothing.
 *   any other  condition: a filter of the pairs; an outer join cannot have it, since it would have to know of a row whose pairs
 *              all fail that it has none.
 *
 * The engine's window (weir_join_within) holds the row's own time. Bounds that do not are met by a wider window and the bounds
 * themselves as a filter, which a left join cannot have either. */
#include "runtime/sql/sql_scope.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum condition_kind { OF_TIME, OF_LEFT, OF_RIGHT, OF_PAIRS, CONDITION_KINDS };

struct conditions {
    struct syntax **items;
    uint32_t count;
};

/* One join on its way to a step. */
struct meeting {
    struct compile_file *file;
    struct select_scope *scope;
    const struct join_item *item;
    const struct relation *right;
    uint32_t first;                     /* its first column in the scope */
    const char *left_time, *right_time; /* the event times, as rows call them */
    int64_t low_ms, high_ms;            /* of the right row's time less the left one's */
    bool has_low, has_high;
    struct target_list on_left, on_right;
    struct conditions of[CONDITION_KINDS];
};

static const char *alias_of(const struct meeting *m, bool is_right)
{
    return m->scope->owners[is_right ? m->scope->owner_count - 1 : 0].alias;
}

static int fail_at(const struct meeting *m, int code, int32_t at, const char *hint,
                   const char *sentence)
{
    return source_error(&m->file->source, code, at, hint, "%s", sentence);
}

/* What ON looks like, with the names of this one. */
static const char *bounds_hint(const struct meeting *m)
{
    const char *l = alias_of(m, false), *r = alias_of(m, true);
    const char *lt = m->scope->relation->columns[m->scope->relation->time_column].name;
    const char *rt = m->right->columns[m->right->time_column].name;
    char hint[700];
    snprintf(hint, sizeof hint,
             "ON … AND %.60s.%.60s BETWEEN %.60s.%.60s - INTERVAL '5 minutes' AND %.60s.%.60s + "
             "INTERVAL '1 hour'",
             r, rt, l, lt, l, lt);
    return arena_text(&m->file->program->arena, hint);
}

/* ---- bounds ---- */

/* left × the left time + right × the right time + ms */
struct distance {
    int64_t left, right, ms;
};

static bool read_distance(const struct meeting *m, const struct syntax *syntax,
                          struct distance *distance);

static bool add_distances(const struct meeting *m, const struct syntax *syntax,
                          struct distance *sum)
{
    struct distance a, b;
    bool is_minus = strcmp(syntax->text, "-") == 0;
    if ((!is_minus && strcmp(syntax->text, "+") != 0) || syntax->arg_count > 2 ||
        !read_distance(m, syntax->args[syntax->arg_count - 1], &b))
        return false;
    if (is_minus) {
        b = (struct distance){-b.left, -b.right, b.ms};
        if (__builtin_sub_overflow(INT64_C(0), b.ms, &b.ms))
            return false;
    }
    if (syntax->arg_count == 1) {
        *sum = b;
        return true;
    }
    if (!read_distance(m, syntax->args[0], &a))
        return false;
    sum->left = a.left + b.left;
    sum->right = a.right + b.right;
    return !__builtin_add_overflow(a.ms, b.ms, &sum->ms);
}

/* Whether a tree is made of the two event times and intervals alone. */
static bool read_distance(const struct meeting *m, const struct syntax *syntax,
                          struct distance *distance)
{
    *distance = (struct distance){0};
    if (syntax->kind == SYNTAX_COLUMN) {
        distance->left = strcmp(syntax->path.parts[0], m->left_time) == 0;
        distance->right = strcmp(syntax->path.parts[0], m->right_time) == 0;
        return distance->left + distance->right == 1;
    }
    if (syntax->kind == SYNTAX_OPERATOR)
        return add_distances(m, syntax, distance);
    if (syntax->kind != SYNTAX_CAST)
        return false;
    if (syntax->type.type == COL_TIMESTAMPTZ && syntax->args[0]->kind == SYNTAX_COLUMN)
        return read_distance(m, syntax->args[0], distance);
    return syntax->type.type == COL_INTERVAL && syntax->args[0]->kind == SYNTAX_STRING &&
           interval_parse(bytes_text(syntax->args[0]->text), &distance->ms) == 0;
}

static void set_low(struct meeting *m, int64_t ms)
{
    m->low_ms = m->has_low && m->low_ms > ms ? m->low_ms : ms;
    m->has_low = true;
}
static void set_high(struct meeting *m, int64_t ms)
{
    m->high_ms = m->has_high && m->high_ms < ms ? m->high_ms : ms;
    m->has_high = true;
}

/* a compare b, as a bound of the distance. */
static bool take_comparison(struct meeting *m, const struct syntax *a, const char *compare,
                            const struct syntax *b)
{
    struct distance x, y;
    int64_t ms, step = compare[1] == '\0' && compare[0] != '=';
    if (!read_distance(m, a, &x) || !read_distance(m, b, &y))
        return false;
    /* right - left compare ms, or with the sides turned round left - right compare ms */
    bool is_turned = x.left - y.left == 1 && x.right - y.right == -1;
    if ((!is_turned && (x.left - y.left != -1 || x.right - y.right != 1)) ||
        __builtin_sub_overflow(is_turned ? x.ms : y.ms, is_turned ? y.ms : x.ms, &ms) ||
        ms < -INT64_MAX / 2 || ms > INT64_MAX / 2)
        return false;
    bool is_less = compare[0] == '<', is_equal = compare[0] == '=';
    if (is_equal || is_less == is_turned)
        set_low(m, ms + step);
    if (is_equal || is_less != is_turned)
        set_high(m, ms - step);
    return true;
}

static bool is_comparison(const char *text)
{
    static const char *const known[] = {"=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i]) == 0)
            return true;
    return false;
}

static bool take_bound(struct meeting *m, const struct syntax *syntax)
{
    if (syntax->kind == SYNTAX_OPERATOR && syntax->arg_count == 2 && is_comparison(syntax->text))
        return take_comparison(m, syntax->args[0], syntax->text, syntax->args[1]);
    if (syntax->kind != SYNTAX_BETWEEN || syntax->negated || syntax->symmetric)
        return false;
    struct meeting before = *m;
    if (take_comparison(m, syntax->args[0], ">=", syntax->args[1]) &&
        take_comparison(m, syntax->args[0], "<=", syntax->args[2]))
        return true;
    *m = before;
    return false;
}

/* ---- what is equal ---- */

static int type_of(const struct meeting *m, const struct syntax *syntax, enum col_type *type)
{
    struct named_columns columns = scope_columns(m->scope);
    struct scope input = named_columns_scope(&columns);
    struct expr *expr;
    TRY(expr_of_syntax(syntax, false, &m->file->source, &input, &expr));
    *type = expr_type(expr);
    expr_destroy(expr);
    return 0;
}

/* Equal values have one form as keys (plan_within.c). */
static bool are_comparable(enum col_type a, enum col_type b)
{
    enum col_type other = a == COL_VARIANT ? b : a;
    bool are_numbers =
        (a == COL_BIGINT || a == COL_NUMERIC) && (b == COL_BIGINT || b == COL_NUMERIC);
    bool is_plain =
        other == COL_BIGINT || other == COL_NUMERIC || other == COL_TEXT || other == COL_BOOLEAN;
    return a == b || are_numbers || ((a == COL_VARIANT || b == COL_VARIANT) && is_plain);
}

static bool has_target(const struct target_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return true;
    return false;
}

/* Results have the key as their record key, under the left side's names. */
static const char *key_name(const struct meeting *m, const struct syntax *left)
{
    char name[24];
    const char *own = left->kind == SYNTAX_COLUMN ? left->path.parts[0] : NULL;
    if (own != NULL && !has_target(&m->on_left, own))
        return own;
    for (uint32_t i = m->on_left.count + 1;; i++) {
        snprintf(name, sizeof name, "key_%u", i);
        if (!has_target(&m->on_left, name))
            return arena_text(&m->file->program->arena, name);
    }
}

static int take_equality(struct meeting *m, struct syntax *syntax, bool *is_taken)
{
    *is_taken = false;
    if (syntax->kind != SYNTAX_OPERATOR || syntax->arg_count != 2 || strcmp(syntax->text, "=") != 0)
        return 0;
    unsigned first = scope_sides(m->scope, m->first, syntax->args[0]);
    unsigned second = scope_sides(m->scope, m->first, syntax->args[1]);
    if (first + second != 3 || first == 0 || second == 0)
        return 0;
    struct syntax *left = syntax->args[first == 1 ? 0 : 1];
    struct syntax *right = syntax->args[first == 1 ? 1 : 0];
    enum col_type left_type, right_type;
    TRY(type_of(m, left, &left_type));
    TRY(type_of(m, right, &right_type));
    if (!are_comparable(left_type, right_type))
        return source_error(&m->file->source, ERR_INVALID, syntax->at, "write a cast",
                            "rows meet by what is equal in both, and this is %s on the left and %s "
                            "on the right",
                            col_type_name(left_type), col_type_name(right_type));
    const char *name = key_name(m, left);
    if (name == NULL)
        return ERR_NOMEM;
    m->on_left.items[m->on_left.count++] = (struct target){left, name, -1};
    m->on_right.items[m->on_right.count++] = (struct target){right, name, -1};
    *is_taken = true;
    return 0;
}

/* ---- ON ---- */

static int take_condition(struct meeting *m, struct syntax *syntax)
{
    bool is_taken;
    enum condition_kind kind = OF_TIME;
    if (!take_bound(m, syntax)) {
        TRY(take_equality(m, syntax, &is_taken));
        if (is_taken)
            return 0;
        unsigned sides = scope_sides(m->scope, m->first, syntax);
        kind = sides == 3 ? OF_PAIRS : sides == 1 ? OF_LEFT : OF_RIGHT;
    }
    m->of[kind].items[m->of[kind].count++] = syntax;
    return 0;
}

static int take_conditions(struct meeting *m, struct syntax *syntax)
{
    if (syntax->kind != SYNTAX_AND)
        return take_condition(m, syntax);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(take_conditions(m, syntax->args[i]));
    return 0;
}

static uint32_t count_conditions(const struct syntax *syntax)
{
    uint32_t count = 0;
    for (uint32_t i = 0; syntax->kind == SYNTAX_AND && i < syntax->arg_count; i++)
        count += count_conditions(syntax->args[i]);
    return syntax->kind == SYNTAX_AND ? count : 1;
}

static int read_on(struct meeting *m)
{
    struct arena *arena = &m->file->program->arena;
    struct syntax *on = m->item->on;
    struct named_columns columns = scope_columns(m->scope);
    struct scope input = named_columns_scope(&columns);
    struct expr *expr;
    const struct syntax *aggregate = syntax_find_aggregate(on);
    if (aggregate != NULL)
        return fail_at(m, ERR_INVALID, aggregate->at, NULL, "aggregates are not allowed in ON");
    TRY(expr_of_syntax(on, true, &m->file->source, &input, &expr));
    expr_destroy(expr);
    uint32_t most = count_conditions(on) + 1;
    m->on_left.items = arena_zalloc(arena, most * sizeof *m->on_left.items);
    m->on_right.items = arena_zalloc(arena, most * sizeof *m->on_right.items);
    if (m->on_left.items == NULL || m->on_right.items == NULL)
        return ERR_NOMEM;
    for (int kind = 0; kind < CONDITION_KINDS; kind++) {
        m->of[kind].items = arena_zalloc(arena, most * sizeof(struct syntax *));
        if (m->of[kind].items == NULL)
            return ERR_NOMEM;
    }
    return take_conditions(m, on);
}

/* ---- what cannot be ---- */

static int check_side(const struct meeting *m, const struct relation *relation, bool is_right)
{
    if (relation->time_column >= 0)
        return 0;
    bool is_view = relation->kind == RELATION_VIEW;
    return source_error(&m->file->source, ERR_INVALID, m->item->relation.at,
                        is_view ? "a view has the event time that it selects, as it is"
                                : "WITH (event_time = 'ts') on the table says which column it is",
                        "two streams meet by their event times, and %s has none%s",
                        alias_of(m, is_right), is_view ? " among its columns" : "");
}

static int check_sides(const struct meeting *m)
{
    const struct relation *left = m->scope->relation;
    if (left->key_count > 0)
        return source_error(&m->file->source, ERR_UNSUPPORTED, m->item->relation.at,
                            "the stream stands on the left: stream JOIN table",
                            "a table left of JOIN and a stream right of it: %s has the latest row "
                            "per key and no rows that come; it is not supported",
                            left->name);
    TRY(check_side(m, left, false));
    TRY(check_side(m, m->right, true));
    if (relation_source_count(left) + relation_source_count(m->right) > UNION_SOURCES_MAX)
        return source_error(&m->file->source, ERR_TOO_LARGE, m->item->relation.at,
                            "INSERT INTO a topic brings rows together once for all readers",
                            "a join of more than %d sources, counted through UNION ALL",
                            UNION_SOURCES_MAX);
    TRY(distinct_once(m->file, left, "a join of two streams", m->item->relation.at));
    return distinct_once(m->file, m->right, "a join of two streams", m->item->relation.at);
}

static int check_span(const struct meeting *m)
{
    static const int64_t most_ms = WEIR_DAYS(366);
    int32_t at = m->item->on->at;
    const char *hint = bounds_hint(m);
    if (hint == NULL)
        return ERR_NOMEM;
    if (!m->has_low || !m->has_high)
        return source_error(
            &m->file->source, ERR_UNSUPPORTED, at, hint,
            "two streams are joined within a bound of time, as rows of a stream cannot all be "
            "kept: ON does not say how far %s may be %s %s",
            alias_of(m, true),
            m->has_low    ? "after"
            : m->has_high ? "before"
                          : "from",
            alias_of(m, false));
    if (m->low_ms > m->high_ms)
        return fail_at(m, ERR_INVALID, at, hint,
                       "the bounds of time in ON exclude each other: nothing would ever meet");
    if (m->low_ms < -most_ms || m->high_ms > most_ms)
        return fail_at(m, ERR_UNSUPPORTED, at, hint,
                       "rows of two streams may be 366 days apart and no more");
    return 0;
}

static int check_left_join(const struct meeting *m)
{
    if (!m->item->is_left)
        return 0;
    if (m->of[OF_PAIRS].count > 0)
        return fail_at(m, ERR_UNSUPPORTED, m->of[OF_PAIRS].items[0]->at,
                       "WHERE, or CASE in the select list, says what becomes of rows that met",
                       "of a LEFT JOIN of two streams, conditions on both beside what is equal and "
                       "the bounds of time are not supported");
    if (m->low_ms > 0 || m->high_ms < 0)
        return fail_at(m, ERR_UNSUPPORTED, m->of[OF_TIME].items[0]->at, bounds_hint(m),
                       "the bounds of time of a LEFT JOIN must hold the row's own time");
    return 0;
}

static int check_on(const struct meeting *m)
{
    char hint[200];
    TRY(check_span(m));
    if (m->on_left.count == 0) {
        snprintf(hint, sizeof hint, "ON %.60s.… = %.60s.… AND …", alias_of(m, true),
                 alias_of(m, false));
        return fail_at(m, ERR_UNSUPPORTED, m->item->on->at, hint,
                       "two streams are joined by something that is equal in both, and ON does not "
                       "say what");
    }
    return check_left_join(m);
}

/* ---- steps ---- */

static int add_filters(const struct meeting *m, enum condition_kind kind, struct relation *out)
{
    for (uint32_t i = 0; i < m->of[kind].count; i++)
        TRY(add_step(m->file, out, STEP_FILTER,
                     text_of_syntax(&m->file->program->arena, m->of[kind].items[i]), NULL));
    return 0;
}

/* The right stream without the rows that ON leaves out. */
static int filter_right(const struct meeting *m, const struct relation **right)
{
    struct arena *arena = &m->file->program->arena;
    const struct conditions *conditions = &m->of[OF_RIGHT];
    *right = m->right;
    if (conditions->count == 0)
        return 0;
    struct relation *filtered = relation_over(arena, m->right);
    if (filtered == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < conditions->count; i++)
        scope_use_own_names(m->scope, m->first, conditions->items[i]);
    TRY(add_filters(m, OF_RIGHT, filtered));
    *right = filtered;
    return 0;
}

static struct syntax *new_syntax(const struct meeting *m, enum syntax_kind kind,
                                 struct syntax **args, uint32_t count)
{
    struct arena *arena = &m->file->program->arena;
    struct syntax *syntax = arena_zalloc(arena, sizeof *syntax);
    struct syntax **copy = arena_alloc(arena, count * sizeof(struct syntax *));
    if (syntax == NULL || copy == NULL)
        return NULL;
    memcpy(copy, args, count * sizeof(struct syntax *));
    *syntax = (struct syntax){.kind = kind, .at = -1, .args = copy, .arg_count = count};
    return syntax;
}

/* Left rows that ON leaves out are kept by a left join and meet nothing: the first column of their key is NULL. */
static int hide_left(struct meeting *m)
{
    struct conditions *conditions = &m->of[OF_LEFT];
    struct syntax *all = conditions->items[0];
    if (conditions->count > 1)
        all = new_syntax(m, SYNTAX_AND, conditions->items, conditions->count);
    struct syntax *args[] = {NULL, all, m->on_left.items[0].syntax, NULL};
    struct syntax *key = all != NULL ? new_syntax(m, SYNTAX_CASE, args, 4) : NULL;
    if (key == NULL)
        return ERR_NOMEM;
    m->on_left.items[0].syntax = key;
    return 0;
}

static int filter_pairs(const struct meeting *m, enum condition_kind kind, struct relation *out)
{
    for (uint32_t i = 0; i < m->of[kind].count; i++)
        scope_mark_used(m->scope, m->of[kind].items[i]);
    return add_filters(m, kind, out);
}

static int add_within(struct meeting *m, struct relation *out)
{
    struct arena *arena = &m->file->program->arena;
    bool is_wider = m->low_ms > 0 || m->high_ms < 0;
    struct step *step;
    if (!m->item->is_left)
        TRY(add_filters(m, OF_LEFT, out));
    else if (m->of[OF_LEFT].count > 0)
        TRY(hide_left(m));
    for (uint32_t i = 0; i < m->on_right.count; i++)
        scope_use_own_names(m->scope, m->first, m->on_right.items[i].syntax);
    TRY(add_step(m->file, out, STEP_WITHIN, text_of_targets(arena, &m->on_left), &step));
    step->is_left = m->item->is_left;
    step->owner = m->scope->owner_count - 1;
    step->before_ms = m->low_ms < 0 ? -m->low_ms : 0;
    step->after_ms = m->high_ms > 0 ? m->high_ms : 0;
    step->right_text = text_of_targets(arena, &m->on_right);
    if (step->right_text == NULL)
        return ERR_NOMEM;
    TRY(filter_right(m, &step->table));
    if (is_wider)
        TRY(filter_pairs(m, OF_TIME, out));
    return filter_pairs(m, OF_PAIRS, out);
}

static bool names_column(const struct syntax *syntax, const char *name)
{
    if (syntax == NULL)
        return false;
    if (syntax->kind == SYNTAX_COLUMN && strcmp(syntax->path.parts[0], name) == 0)
        return true;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        if (names_column(syntax->args[i], name))
            return true;
    return names_column(syntax->filter, name);
}

/* What ON alone looks at is looked at before rows meet: pairs need not have it, but tables joined before must bring it. The event time
 * goes on with the rows. */
static int resolve_on(const struct meeting *m)
{
    struct select_scope *scope = m->scope;
    TRY(scope_resolve_unused(scope, m->item->on));
    for (uint32_t i = scope->relation->column_count; i < m->first; i++)
        scope->columns[i].is_used |= names_column(m->item->on, scope->names[i]);
    scope->columns[scope->relation->time_column].is_used = true;
    return 0;
}

int plan_within(struct compile_file *file, const struct join_item *item,
                const struct relation *right, struct select_scope *scope, struct relation *out)
{
    struct meeting m = {
        .file = file, .scope = scope, .item = item, .right = right, .first = scope->count};
    TRY(scope_join(scope, right, item->alias, item->relation.at));
    TRY(check_sides(&m));
    m.left_time = scope->names[scope->relation->time_column];
    m.right_time = scope->names[m.first + (uint32_t)right->time_column];
    TRY(resolve_on(&m));
    TRY(read_on(&m));
    TRY(check_on(&m));
    return add_within(&m, out);
}

/* ---- WHERE ---- */

/* Whether a tree reads columns of this relation of FROM, and of no other. */
static bool reads_only(const struct select_scope *scope, uint32_t owner,
                       const struct syntax *syntax)
{
    uint32_t first = 0, end;
    while (scope->columns[first].owner != owner)
        first++;
    end = first + scope->owners[owner].relation->column_count;
    return scope_sides(scope, first, syntax) == 2 && scope_sides(scope, end, syntax) == 1;
}

int within_take_where(struct compile_file *file, const struct select_scope *scope,
                      const struct syntax *condition, struct relation *out, bool *is_taken)
{
    struct arena *arena = &file->program->arena;
    struct step *step = out->steps;
    while (step != NULL && (step->kind != STEP_WITHIN || step->is_left ||
                            !reads_only(scope, step->owner, condition)))
        step = step->next;
    *is_taken = step != NULL;
    if (step == NULL)
        return 0;
    struct relation *filtered = relation_over(arena, step->table);
    struct syntax *own = syntax_copy(arena, condition);
    if (filtered == NULL || own == NULL)
        return ERR_NOMEM;
    scope_use_own_names(scope, 0, own);
    step->table = filtered;
    return add_step(file, filtered, STEP_FILTER, text_of_syntax(arena, own), NULL);
}
