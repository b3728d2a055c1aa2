/* naive_group.c: the naive evaluator's groups (see naive.h): aggregates, a value at a time, and the results as text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "tests/support/drawn_expr.h"
#include "tests/support/naive_model.h"

static const char *const aggregate_names[AGGREGATES] = {
    "c", "cn", "sn", "sa", "low", "high", "cp", "mean", "fn", "la", "fk", "dn", "da", "dg"};

struct naive_group *naive_find_group(struct naive_groups *groups, char k, int64_t g,
                                     int64_t start_ms, int partition)
{
    for (int i = 0; i < groups->count; i++) {
        struct naive_group *group = groups->items[i];
        if (group->k == k && group->g == g && group->start_ms == start_ms)
            return group;
    }
    if ((groups->count & (groups->count - 1)) == 0) {
        size_t room = groups->count == 0 ? 1 : (size_t)groups->count * 2;
        groups->items = realloc(groups->items, room * sizeof *groups->items);
    }
    struct naive_group *group = calloc(1, sizeof *group);
    must(group != NULL && groups->items != NULL);
    groups->items[groups->count++] = group;
    group->k = k;
    group->g = g;
    group->start_ms = start_ms;
    group->partition = partition;
    return group;
}

void naive_groups_deinit(struct naive_groups *groups)
{
    for (int i = 0; i < groups->count; i++) {
        free(groups->items[i]->distinct_n.items);
        free(groups->items[i]->distinct_a.items);
        free(groups->items[i]->distinct_g.items);
        free(groups->items[i]);
    }
    free(groups->items);
    *groups = (struct naive_groups){0};
}

static void see(struct naive_values *values, int64_t value)
{
    for (int i = 0; i < values->count; i++)
        if (values->items[i] == value)
            return;
    values->items = realloc(values->items, (size_t)(values->count + 1) * sizeof *values->items);
    must(values->items != NULL);
    values->items[values->count++] = value;
}

/* By event time, then partition, then order in it. */
static bool is_earlier(const struct naive_row *a, const struct naive_row *b)
{
    if (a->ts != b->ts)
        return a->ts < b->ts;
    return a->partition != b->partition ? a->partition < b->partition : a->order < b->order;
}

static void keep_first(struct naive_row *kept, bool *has, const struct naive_row *row)
{
    if (!*has || is_earlier(row, kept))
        *kept = *row;
    *has = true;
}

static void add_n(struct naive_group *group, const struct naive_row *row)
{
    enum { TEXT = 1000000, BOOL };
    if (row->n_kind == VALUE_NULL || row->n_kind == VALUE_MISSING)
        return;
    group->cn++;
    see(&group->distinct_n, row->n_kind == VALUE_TEXT   ? TEXT
                            : row->n_kind == VALUE_BOOL ? BOOL
                                                        : row->n);
    keep_first(&group->first_n, &group->has_first_n, row);
    if (row->n_kind != VALUE_INT)
        return;
    group->sn += row->n;
    group->cp += row->n > 0;
    group->low = !group->has_n || row->n < group->low ? row->n : group->low;
    group->high = !group->has_n || row->n > group->high ? row->n : group->high;
    group->has_n = true;
}

void naive_add_row(struct naive_group *group, const struct naive_row *row)
{
    int64_t a = row->a;
    group->c++;
    add_n(group, row);
    if (row->k != 0)
        keep_first(&group->first_k, &group->has_first_k, row);
    if (row->a_kind != VALUE_INT)
        return;
    for (int scale = row->a_scale; scale < 2; scale++)
        a *= 10;
    group->sa += a;
    group->sa_scale = row->a_scale > group->sa_scale ? row->a_scale : group->sa_scale;
    group->has_a = true;
    see(&group->distinct_a, a);
    if (row->a > 0)
        see(&group->distinct_g, row->g);
    if (!group->has_last_a || is_earlier(&group->last_a, row))
        group->last_a = *row;
    group->has_last_a = true;
}

/* ---- printing ---- */

static void print_columns(const struct naive_plan *plan, const struct naive_group *group,
                          bool with_g, struct buf *out)
{
    buf_printf(out, "{");
    if (plan->grouping != BY_G_MODULO && group->k != 0)
        buf_printf(out, "\"k\":\"%c\"", group->k);
    else if (plan->grouping != BY_G_MODULO)
        buf_printf(out, "\"k\":null");
    if (plan->grouping == BY_K_AND_G && with_g)
        buf_printf(out, ",\"g\":%lld", (long long)group->g);
    else if (plan->grouping == BY_G_MODULO)
        buf_printf(out, "\"h\":%lld", (long long)group->g);
}

static void print_window(struct buf *out, const char *name, int64_t time_ms)
{
    char iso[40];
    iso[time_format_iso(time_ms, iso)] = '\0';
    buf_printf(out, ",\"%s\":\"%s\"", name, iso);
}

static void print_mean(struct buf *out, int64_t sum, int64_t count)
{
    struct datum mean = datum_mean(sum, count);
    datum_print_number(mean.n, mean.scale, out);
}

static void print_sum_a(struct buf *out, const struct naive_group *group)
{
    int64_t value = group->sa;
    for (int scale = group->sa_scale; scale < 2; scale++)
        value /= 10;
    naive_print_decimal(out, value, group->sa_scale);
}

static bool aggregate_is_null(enum aggregate aggregate, const struct naive_group *group)
{
    switch (aggregate) {
    case SUM_A:
    case LAST_A:
        return !group->has_a;
    case SUM_N:
    case MIN_N:
    case MAX_N:
    case AVG_N:
        return !group->has_n;
    case FIRST_N:
        return !group->has_first_n;
    case FIRST_K:
        return !group->has_first_k;
    default:
        return false;
    }
}

static void print_aggregate(struct buf *out, enum aggregate aggregate,
                            const struct naive_group *group)
{
    const int64_t values[AGGREGATES] = {[COUNT_ALL] = group->c,
                                        [COUNT_N] = group->cn,
                                        [SUM_N] = group->sn,
                                        [MIN_N] = group->low,
                                        [MAX_N] = group->high,
                                        [COUNT_POSITIVE] = group->cp,
                                        [DISTINCT_N] = group->distinct_n.count,
                                        [DISTINCT_A] = group->distinct_a.count,
                                        [DISTINCT_G] = group->distinct_g.count};
    buf_printf(out, ",\"%s\":", aggregate_names[aggregate]);
    if (aggregate_is_null(aggregate, group))
        buf_printf(out, "null");
    else if (aggregate == SUM_A)
        print_sum_a(out, group);
    else if (aggregate == AVG_N)
        print_mean(out, group->sn, group->cn);
    else if (aggregate == FIRST_N)
        naive_print_value(out, group->first_n.n_kind, group->first_n.n);
    else if (aggregate == FIRST_K)
        buf_printf(out, "\"%c\"", group->first_k.k);
    else if (aggregate == LAST_A)
        naive_print_decimal(out, group->last_a.a, group->last_a.a_scale);
    else
        buf_printf(out, "%lld", (long long)values[aggregate]);
}

static void add_pair(struct pairs *pairs, struct buf *key, struct buf *value)
{
    must(buf_ok(key) && buf_ok(value));
    pairs_add(pairs, bytes_of(key->data, key->size), bytes_of(value->data, value->size));
    buf_deinit(key);
    buf_deinit(value);
}

void naive_print_group(const struct naive_plan *plan, const struct naive_group *group,
                       struct pairs *outputs)
{
    struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    if (plan->grouping == BY_K && plan->windows == NO_WINDOWS && group->k != 0) {
        buf_printf(&key, "%c", group->k);
    } else {
        print_columns(plan, group, true, &key);
        if (plan->windows != NO_WINDOWS)
            print_window(&key, "window_start", group->start_ms);
        buf_printf(&key, "}");
    }
    print_columns(plan, group, true, &value);
    if (plan->windows != NO_WINDOWS) {
        print_window(&value, "window_start", group->start_ms);
        print_window(&value, "window_end", group->end_ms);
    }
    for (int i = 0; i < plan->aggregate_count; i++)
        print_aggregate(&value, plan->aggregates[i], group);
    buf_printf(&value, "}");
    add_pair(outputs, &key, &value);
}

/* ---- the rollup ---- */

struct rollup {
    const struct naive_group *group;
    struct naive_values starts;
    int64_t windows, newest;
};

void naive_roll_up(const struct naive_plan *plan, const struct naive_group *const *closed,
                   int count, struct naive_result *result)
{
    struct rollup *rollups = calloc((size_t)count + 1, sizeof *rollups);
    int rollup_count = 0;
    must(rollups != NULL);
    for (int i = 0; i < count; i++) {
        const struct naive_group *group = closed[i];
        int at = 0;
        while (at < rollup_count &&
               (rollups[at].group->k != group->k ||
                (plan->grouping == BY_G_MODULO && rollups[at].group->g != group->g)))
            at++;
        struct rollup *rollup = &rollups[at];
        if (at == rollup_count) {
            rollup_count++;
            *rollup = (struct rollup){.group = group, .newest = group->start_ms};
        }
        rollup->windows++;
        see(&rollup->starts, group->start_ms);
        rollup->newest = group->start_ms > rollup->newest ? group->start_ms : rollup->newest;
        result->rollup.in++;
        result->rollup.applied++;
    }
    for (int i = 0; i < rollup_count; i++) {
        struct buf key, value;
        const struct naive_group *group = rollups[i].group;
        buf_init(&key, 0);
        buf_init(&value, 0);
        if (plan->grouping != BY_G_MODULO && group->k != 0) {
            buf_printf(&key, "%c", group->k);
        } else {
            print_columns(plan, group, false, &key);
            buf_printf(&key, "}");
        }
        print_columns(plan, group, false, &value);
        buf_printf(&value, ",\"windows\":%lld,\"starts\":%d", (long long)rollups[i].windows,
                   rollups[i].starts.count);
        print_window(&value, "newest", rollups[i].newest);
        buf_printf(&value, "}");
        add_pair(&result->rollups, &key, &value);
        free(rollups[i].starts.items);
    }
    free(rollups);
}
