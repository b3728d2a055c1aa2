/* query_access.c: from conditions to keys (see query_access.h).
 *
 * Looked at are the parts of WHERE that AND joins: what compares a column of the key with a constant. A constant is any
 * expression without columns; it is computed as the engine would and turned into the bytes that the key has for it
 * (group_key.h), which are the same for all numbers that are equal. Where SQL would compare in another type than the key's (a
 * bigint column with a double), nothing is made of it. Whatever is not understood is left to the filter, which judges every
 * row again: so this file may only ever leave out rows for which the condition cannot be true.
 *
 *   all columns of the group fixed       points: one look-up each, in the partition where the group lies
 *   the first columns fixed              a range of keys (of each window)
 *   and a range of the column behind     narrows it: times and integers lie in their order
 *   a range of window_start, or _end     windows outside are not looked at */
#include "runtime/query_access.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/group_key.h"
#include "runtime/base/clock.h"
#include "runtime/view_closed.h"

/* What is known of one column of the group. */
struct bound {
    struct bytes *values; /* it is one of these, as keys have them; NULL: not known */
    uint32_t value_count;
    int64_t from, to; /* inclusive; of columns that lie in the order of numbers */
};

struct finding {
    const struct view *view;
    const struct view_columns *columns;
    struct arena *arena;
    struct bound *bounds; /* by column of the group */
    struct view_access *access;
};

/* ---- constants ---- */

static bool is_constant(const struct syntax *syntax)
{
    if (syntax == NULL)
        return true;
    if (syntax->kind == SYNTAX_COLUMN || syntax->kind == SYNTAX_AGGREGATE)
        return false;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        if (!is_constant(syntax->args[i]))
            return false;
    return true;
}

static bool fits(enum col_type key, enum col_type constant)
{
    bool is_exact = constant == COL_BIGINT || constant == COL_NUMERIC;
    switch (key) {
    case COL_BIGINT:
    case COL_NUMERIC:
        return is_exact;
    case COL_VARIANT:
        return is_exact || constant == COL_TEXT || constant == COL_BOOLEAN;
    default:
        return key == constant;
    }
}

static int no_resolve(void *context, const struct field_path *path, enum col_type *type,
                      struct diag *diag)
{
    (void)context;
    (void)path;
    (void)type;
    return diag_set(diag, ERR_NOT_FOUND, "a constant has no columns");
}

/* A value of its own: a literal's lives in the expression. 1, 0, ERR_NOMEM. */
static int keep_value(const struct column *from, struct arena *arena, struct column *column)
{
    if (from->type == COL_VARIANT) /* no constant is one */
        return 0;
    TRY(column_alloc(column, from->type, 1, false, arena));
    memcpy(column->data, from->data, col_type_bytes(from->type));
    if (from->type != COL_TEXT && from->type != COL_BYTEA)
        return 1;
    column->text[0] = arena_copy(arena, column->text[0]);
    return column->text[0].data != NULL ? 1 : ERR_NOMEM;
}

/* Computes a tree without columns: one value in *column. 1; 0: it has none that is of use. */
static int compute(const struct syntax *syntax, struct arena *arena, struct column *column)
{
    struct diag diag = {0};
    struct source source = {"", &diag};
    struct scope scope = {.resolve = no_resolve};
    struct expr *expr;
    struct syntax copy = *syntax;
    if (expr_of_syntax(&copy, false, &source, &scope, &expr) < 0)
        return 0;
    struct reject_list rejects = {.arena = arena};
    struct batch batch = {.row_count = 1, .selected_count = 1, .arena = arena};
    struct column found;
    int rc = expr_eval(expr, &batch, &found, &rejects);
    if (rc == 0 && rejects.count == 0 && !column_is_null(&found, 0))
        rc = keep_value(&found, arena, column);
    expr_destroy(expr);
    return rc;
}

static const struct sql_type cast_types[COL_TYPE_COUNT] = {
    [COL_BOOLEAN] = {.type = COL_BOOLEAN, .name = "boolean"},
    [COL_BIGINT] = {.type = COL_BIGINT, .integer_bytes = 8, .name = "bigint"},
    [COL_DOUBLE] = {.type = COL_DOUBLE, .name = "double precision"},
    [COL_NUMERIC] = {.type = COL_NUMERIC, .name = "numeric"},
    [COL_TIMESTAMPTZ] = {.type = COL_TIMESTAMPTZ, .name = "timestamp with time zone"},
    [COL_INTERVAL] = {.type = COL_INTERVAL, .name = "interval"},
    [COL_BYTEA] = {.type = COL_BYTEA, .name = "bytea"},
};

/* The constant as a value of the key column's type, where comparing with it means comparing such
 * values. 1, 0, ERR_NOMEM. */
static int constant_of(const struct finding *f, struct syntax *syntax, enum col_type key,
                       struct column *column)
{
    if (!is_constant(syntax))
        return 0;
    struct syntax *args[1] = {syntax};
    struct syntax cast = {.kind = SYNTAX_CAST,
                          .at = syntax->at,
                          .type = cast_types[key],
                          .args = args,
                          .arg_count = 1};
    /* An untyped literal has the type of the other side. */
    bool is_literal = syntax->kind == SYNTAX_STRING && cast_types[key].name != NULL;
    int rc = compute(is_literal ? &cast : syntax, f->arena, column);
    if (rc == 1 && key == COL_DOUBLE && (column->type == COL_BIGINT || column->type == COL_NUMERIC))
        rc = compute(&cast, f->arena, column);
    return rc == 1 ? fits(key, column->type) : rc;
}

/* ---- one comparison ---- */

static const struct view_column *column_of(const struct finding *f, const struct syntax *syntax)
{
    if (syntax == NULL || syntax->kind != SYNTAX_COLUMN || syntax->path.count != 1)
        return NULL;
    for (uint32_t i = 0; i < f->columns->count; i++)
        if (strcmp(f->columns->items[i].name, syntax->path.parts[0]) == 0)
            return &f->columns->items[i];
    return NULL;
}

/* A value as the group's key has it. */
static int encode(const struct finding *f, const struct column *column, struct bytes *key)
{
    struct buf buf;
    buf_init(&buf, 0);
    group_key_encode(&buf, column, 1, 0);
    *key =
        buf_ok(&buf) ? arena_copy(f->arena, bytes_of(buf.data, buf.size)) : (struct bytes){NULL, 0};
    buf_deinit(&buf);
    return key->data != NULL ? 0 : ERR_NOMEM;
}

/* The column is one of these constants; when one of them cannot be used, nothing is known. */
static int note_values(struct finding *f, uint32_t group, struct syntax *const *constants,
                       uint32_t count)
{
    struct bound *bound = &f->bounds[group];
    if (bound->values != NULL || count > QUERY_POINTS_MAX)
        return 0;
    struct bytes *values = arena_alloc(f->arena, (count + 1) * sizeof *values);
    uint32_t kept = 0;
    if (values == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct column value;
        int rc = constant_of(f, constants[i], f->view->group->group_types[group], &value);
        if (rc <= 0)
            return rc;
        TRY(encode(f, &value, &values[kept]));
        bool is_new = true;
        for (uint32_t k = 0; k < kept; k++)
            is_new &= !bytes_equal(values[k], values[kept]);
        kept += is_new;
    }
    bound->values = values;
    bound->value_count = kept;
    return 0;
}

static bool is_ordered(enum col_type type)
{
    return type == COL_BIGINT || type == COL_TIMESTAMPTZ || type == COL_INTERVAL;
}

enum comparison { EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, NO_COMPARISON };

static enum comparison comparison_of(const char *text, bool is_flipped)
{
    static const char *const names[] = {"=", "<", "<=", ">", ">="};
    static const enum comparison flipped[] = {EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL};
    for (int i = 0; i < 5; i++)
        if (strcmp(names[i], text) == 0)
            return is_flipped ? flipped[i] : (enum comparison)i;
    return NO_COMPARISON;
}

/* Narrows [*from, *to] by a comparison with value; empty when from > to. */
static void narrow(int64_t *from, int64_t *to, enum comparison comparison, int64_t value)
{
    int64_t low = INT64_MIN, high = INT64_MAX;
    if (comparison == EQUAL || comparison == GREATER_EQUAL)
        low = value;
    if (comparison == EQUAL || comparison == LESS_EQUAL)
        high = value;
    if (comparison == GREATER)
        low = value < INT64_MAX ? value + 1 : value;
    if (comparison == LESS)
        high = value > INT64_MIN ? value - 1 : value;
    *from = low > *from ? low : *from;
    *to = high < *to ? high : *to;
}

static int note_window(struct finding *f, int key, enum comparison comparison,
                       struct syntax *constant)
{
    const struct window_spec *window = &f->view->group->window;
    struct column value;
    bool has_size = window->kind == WINDOW_TUMBLING || window->kind == WINDOW_HOPPING;
    if (key == KEY_WINDOW_END && !has_size)
        return 0;
    int rc = constant_of(f, constant, COL_TIMESTAMPTZ, &value);
    if (rc <= 0)
        return rc;
    int64_t time_ms = value.i64[0];
    if (key == KEY_WINDOW_END && __builtin_sub_overflow(time_ms, window->size_ms, &time_ms))
        return 0;
    narrow(&f->access->window_from_ms, &f->access->window_to_ms, comparison, time_ms);
    return 0;
}

static int note_comparison(struct finding *f, const struct view_column *column,
                           enum comparison comparison, struct syntax *constant)
{
    if (column == NULL || comparison == NO_COMPARISON)
        return 0;
    if (column->is_open_mark) {
        struct column value;
        int rc = comparison == EQUAL ? constant_of(f, constant, COL_BOOLEAN, &value) : 0;
        if (rc == 1)
            f->access->part = value.boolean[0] ? WINDOWS_OPEN : WINDOWS_CLOSED;
        return rc < 0 ? rc : 0;
    }
    if (column->key == KEY_WINDOW_START || column->key == KEY_WINDOW_END)
        return note_window(f, column->key, comparison, constant);
    if (column->key < 0)
        return 0;
    uint32_t group = (uint32_t)column->key;
    if (comparison == EQUAL)
        return note_values(f, group, &constant, 1);
    struct column value;
    enum col_type type = f->view->group->group_types[group];
    int rc = is_ordered(type) ? constant_of(f, constant, type, &value) : 0;
    if (rc == 1 && value.type == type)
        narrow(&f->bounds[group].from, &f->bounds[group].to, comparison, value.i64[0]);
    return rc < 0 ? rc : 0;
}

/* ---- WHERE ---- */

static void note_part(struct finding *f, const struct syntax *syntax, bool is_true)
{
    const struct view_column *column = column_of(f, syntax);
    if (column != NULL && column->is_open_mark)
        f->access->part = is_true ? WINDOWS_OPEN : WINDOWS_CLOSED;
}

static int note_in(struct finding *f, const struct syntax *in)
{
    const struct view_column *column = column_of(f, in->args[0]);
    if (in->negated || column == NULL)
        return 0;
    if (column->key >= 0)
        return note_values(f, (uint32_t)column->key, in->args + 1, in->arg_count - 1);
    if (column->key != KEY_WINDOW_START || column->is_open_mark)
        return 0;
    int64_t from = INT64_MAX, to = INT64_MIN; /* from the first of them to the last */
    for (uint32_t i = 1; i < in->arg_count; i++) {
        struct column value;
        int rc = constant_of(f, in->args[i], COL_TIMESTAMPTZ, &value);
        if (rc <= 0)
            return rc;
        from = value.i64[0] < from ? value.i64[0] : from;
        to = value.i64[0] > to ? value.i64[0] : to;
    }
    narrow(&f->access->window_from_ms, &f->access->window_to_ms, GREATER_EQUAL, from);
    narrow(&f->access->window_from_ms, &f->access->window_to_ms, LESS_EQUAL, to);
    return 0;
}

static int note_null(struct finding *f, const struct syntax *test)
{
    static const uint8_t null_key[] = {GROUP_KEY_NULL};
    const struct view_column *column = column_of(f, test->args[0]);
    if (test->negated || column == NULL || column->key < 0 || f->bounds[column->key].values != NULL)
        return 0;
    struct bytes *values = arena_alloc(f->arena, sizeof *values);
    if (values == NULL)
        return ERR_NOMEM;
    values[0] = bytes_of(null_key, sizeof null_key);
    f->bounds[column->key].values = values;
    f->bounds[column->key].value_count = 1;
    return 0;
}

static int note_condition(struct finding *f, const struct syntax *where)
{
    if (where == NULL)
        return 0;
    switch (where->kind) {
    case SYNTAX_AND:
        for (uint32_t i = 0; i < where->arg_count; i++)
            TRY(note_condition(f, where->args[i]));
        return 0;
    case SYNTAX_OPERATOR:
        if (where->arg_count != 2)
            return 0;
        TRY(note_comparison(f, column_of(f, where->args[0]), comparison_of(where->text, false),
                            where->args[1]));
        return note_comparison(f, column_of(f, where->args[1]), comparison_of(where->text, true),
                               where->args[0]);
    case SYNTAX_BETWEEN:
        if (where->negated || where->symmetric)
            return 0;
        TRY(note_comparison(f, column_of(f, where->args[0]), GREATER_EQUAL, where->args[1]));
        return note_comparison(f, column_of(f, where->args[0]), LESS_EQUAL, where->args[2]);
    case SYNTAX_IN:
        return note_in(f, where);
    case SYNTAX_NULL_TEST:
        return note_null(f, where);
    case SYNTAX_COLUMN:
        note_part(f, where, true);
        return 0;
    case SYNTAX_NOT:
        note_part(f, where->args[0], false);
        return 0;
    case SYNTAX_BOOLEAN_TEST:
        if (!where->negated && where->test != TEST_UNKNOWN)
            note_part(f, where->args[0], where->test == TEST_TRUE);
        return 0;
    default:
        return 0;
    }
}

/* ---- keys ---- */

static int join(struct arena *arena, struct bytes a, struct bytes b, struct bytes *both)
{
    uint8_t *data = arena_alloc_aligned(arena, a.size + b.size + 1, 1);
    if (data == NULL)
        return ERR_NOMEM;
    if (a.size > 0)
        memcpy(data, a.data, a.size);
    if (b.size > 0)
        memcpy(data + a.size, b.data, b.size);
    *both = bytes_of(data, a.size + b.size);
    return 0;
}

static int compare_points(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Every combination of the columns' values; *count 0: some column is not fixed, or there are too many. */
static int make_points(struct finding *f, uint32_t *count)
{
    uint32_t groups = f->view->group->groups->count;
    uint64_t total = 1;
    *count = 0;
    for (uint32_t i = 0; i < groups; i++) {
        if (f->bounds[i].values == NULL)
            return 0;
        total *= f->bounds[i].value_count;
        if (total > QUERY_POINTS_MAX)
            return 0;
    }
    struct bytes *points = arena_alloc(f->arena, (total + 1) * sizeof *points);
    if (points == NULL)
        return ERR_NOMEM;
    for (uint64_t p = 0; p < total; p++) {
        uint64_t rest = p;
        points[p] = bytes_of("", 0);
        for (uint32_t i = 0; i < groups; i++) {
            const struct bound *bound = &f->bounds[i];
            TRY(join(f->arena, points[p], bound->values[rest % bound->value_count], &points[p]));
            rest /= bound->value_count;
        }
    }
    qsort(points, total, sizeof *points, compare_points); /* the order of the state */
    f->access->points = points;
    f->access->point_count = *count = (uint32_t)total;
    return 0;
}

/* The first bytes that are above everything which begins with prefix; .data NULL: nothing is. */
static int above(struct arena *arena, struct bytes prefix, struct bytes *next)
{
    struct bytes copy = arena_copy(arena, prefix);
    if (copy.data == NULL)
        return ERR_NOMEM;
    uint8_t *data = (uint8_t *)(uintptr_t)copy.data;
    for (size_t size = copy.size; size > 0; size--)
        if (data[size - 1] != 0xff) {
            data[size - 1]++;
            *next = bytes_of(data, size);
            return 0;
        }
    *next = (struct bytes){NULL, 0};
    return 0;
}

static int ordered_key(const struct finding *f, uint32_t group, int64_t value, struct bytes *key)
{
    struct column column = {.type = f->view->group->group_types[group], .i64 = &value};
    return encode(f, &column, key);
}

/* The first columns as far as each has one value, and a range of the one behind. */
static int make_range(struct finding *f)
{
    uint32_t groups = f->view->group->groups->count, at = 0;
    struct bytes prefix = bytes_of("", 0), low, high;
    for (; at < groups && f->bounds[at].values != NULL && f->bounds[at].value_count == 1; at++)
        TRY(join(f->arena, prefix, f->bounds[at].values[0], &prefix));
    f->access->low = prefix;
    if (prefix.size > 0)
        TRY(above(f->arena, prefix, &f->access->high));
    if (at == groups || f->bounds[at].values != NULL ||
        (f->bounds[at].from == INT64_MIN && f->bounds[at].to == INT64_MAX))
        return 0;
    TRY(ordered_key(f, at, f->bounds[at].from, &low));
    TRY(ordered_key(f, at, f->bounds[at].to, &high));
    TRY(join(f->arena, prefix, low, &f->access->low));
    TRY(join(f->arena, prefix, high, &high));
    return above(f->arena, high, &f->access->high);
}

int query_access_find(const struct view *view, const struct view_columns *columns,
                      const struct syntax *where, struct arena *arena, struct view_access *access,
                      struct diag *diag)
{
    uint32_t groups = view->group->groups->count, points;
    struct finding finding = {.view = view,
                              .columns = columns,
                              .arena = arena,
                              .bounds = arena_zalloc(arena, (groups + 1) * sizeof(struct bound)),
                              .access = access};
    *access = (struct view_access){
        .low = bytes_of("", 0), .window_from_ms = INT64_MIN, .window_to_ms = INT64_MAX};
    int rc = finding.bounds != NULL ? 0 : ERR_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < groups; i++) {
        finding.bounds[i].from = INT64_MIN;
        finding.bounds[i].to = INT64_MAX;
    }
    if (rc == 0)
        rc = note_condition(&finding, where);
    for (uint32_t i = 0; rc == 0 && i < groups; i++)
        access->is_empty |= finding.bounds[i].from > finding.bounds[i].to;
    access->is_empty |= access->window_from_ms > access->window_to_ms;
    if (rc == 0)
        rc = make_points(&finding, &points);
    if (rc == 0 && points == 0)
        rc = make_range(&finding);
    return rc < 0 ? diag_set(diag, rc, "no memory to plan a question") : 0;
}

/* ---- explain ---- */

static void explain_windows(const struct view_access *access, struct buf *out)
{
    char from[40] = "the first", to[40] = "the last";
    if (access->window_from_ms != INT64_MIN)
        from[time_format_iso(access->window_from_ms, from)] = '\0';
    if (access->window_to_ms != INT64_MAX)
        to[time_format_iso(access->window_to_ms, to)] = '\0';
    if (access->window_from_ms == access->window_to_ms)
        buf_printf(out, ", window %s", from);
    else
        buf_printf(out, ", windows from %s to %s", from, to);
}

static bool is_whole(const struct view_access *access)
{
    return access->points == NULL && access->low.size == 0 && access->high.data == NULL;
}

/* How many partitions hold the groups that are meant, when those are known; else all. */
static int32_t partitions_of(const struct view *view, const struct view_access *access,
                             int32_t partitions, struct arena *arena)
{
    struct buf scratch;
    int32_t count = 0;
    if (access->points == NULL || partitions == 0)
        return partitions;
    bool *seen = arena_zalloc(arena, (size_t)partitions * sizeof *seen);
    if (seen == NULL)
        return partitions;
    buf_init(&scratch, 0);
    for (uint32_t i = 0; i < access->point_count; i++) {
        int32_t at = group_partition(view->group, access->points[i], partitions, arena, &scratch);
        count += !seen[at];
        seen[at] = true;
    }
    buf_deinit(&scratch);
    return count;
}

static void explain_state(struct view_reader *reader, const struct view_access *access,
                          struct arena *arena, struct buf *out)
{
    const struct view *view = view_reader_view(reader);
    bool is_one_window = access->window_from_ms == access->window_to_ms;
    bool has_windows = access->window_from_ms != INT64_MIN || access->window_to_ms != INT64_MAX;
    int32_t all = view_reader_partitions(reader);
    buf_printf(out, "state: ");
    if (access->part == WINDOWS_CLOSED)
        buf_printf(out, "what is being closed, ");
    if (access->points != NULL)
        buf_printf(out, "point read, %u key%s", access->point_count,
                   access->point_count == 1 ? "" : "s");
    else if (!is_whole(access) || has_windows)
        buf_printf(out, "range");
    else
        buf_printf(out, "scan");
    if (view->is_windowed && has_windows)
        explain_windows(access, out);
    else if (view->is_windowed && !is_whole(access))
        buf_printf(out, " in each open window");
    if (view->is_windowed && is_one_window && access->points == NULL && is_whole(access))
        buf_printf(out, ", all groups");
    buf_printf(out, ", %d of %d partition%s\n", (int)partitions_of(view, access, all, arena),
               (int)all, all == 1 ? "" : "s");
}

int query_access_explain(struct view_reader *reader, const struct view_access *access,
                         struct arena *arena, struct buf *out, struct diag *diag)
{
    const struct view *view = view_reader_view(reader);
    struct bytes none = {NULL, 0};
    int32_t partition, count;
    struct buf scratch;
    if (access->is_empty) {
        buf_printf(out, "nothing is read: no row can match\n");
        return 0;
    }
    explain_state(reader, access, arena, out);
    if (!view->is_windowed || access->part == WINDOWS_OPEN)
        return 0;
    buf_init(&scratch, 0);
    int rc = view_closed_partition(reader, none, arena, &scratch, &partition, &count, diag);
    buf_deinit(&scratch);
    TRY(rc);
    const char *topic = view_reader_names(reader)->topic;
    int needed = view_closed_is_needed(reader, access, diag);
    TRY(needed);
    if (needed == 0)
        buf_printf(out, "closed windows: none is meant\n");
    else
        buf_printf(out, "closed windows: scan of topic %s, %d of %d partition%s\n", topic,
                   (int)partitions_of(view, access, count, arena), (int)count,
                   count == 1 ? "" : "s");
    return 0;
}
