/* naive_rows.c: the naive evaluator's rows (see naive.h): conditions, the steps that work on rows one by one, and the text of
 * new rows. A step that makes several rows of one calls itself for each of them. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/naive_model.h"

/* ---- conditions ---- */

static enum truth truth_of(bool value)
{
    return value ? YES : NO;
}

enum truth naive_n_usable(const struct naive_row *row)
{
    if (row->n_kind == VALUE_NULL || row->n_kind == VALUE_MISSING)
        return UNKNOWN;
    return row->n_kind == VALUE_INT ? YES : TYPE_MISMATCH;
}

static int64_t a_in_hundredths(const struct naive_row *row)
{
    int64_t a = row->a;
    for (int scale = row->a_scale; scale < 2; scale++)
        a *= 10;
    return a;
}

static enum truth evaluate(enum condition condition, int64_t x, const struct naive_row *row)
{
    enum truth n = naive_n_usable(row);
    switch (condition) {
    case N_GREATER:
        return n == YES ? truth_of(row->n > x) : n;
    case K_IS_B:
        return row->k == 0 ? UNKNOWN : truth_of(row->k == 'b');
    case N_MODULO:
        return n == YES ? truth_of(row->n % 3 == x % 3) : n;
    case K_OR_G:
        return truth_of(row->k != 0 || row->g > x % 4);
    case A_AT_LEAST:
        return row->a_kind == VALUE_INT
                   ? truth_of(a_in_hundredths(row) >= (x < 0 ? -x : x) * 100 + 50)
                   : UNKNOWN;
    case DIVIDED:
        if (n != YES)
            return n;
        return row->n == 0 ? DIVISION_BY_ZERO : truth_of(12 / row->n > x % 5);
    case AND_NOT:
        if (row->g == 2)
            return NO;
        return n == YES ? truth_of(row->n >= x) : n;
    case CONDITIONS:
        break;
    }
    return NO;
}

/* Of a branch: which of the three it is, or why that cannot be said. */
static int branch_of(const struct naive_step *step, const struct naive_row *row, enum truth *why)
{
    enum condition conditions[] = {step->condition, step->second};
    for (int i = 0; i < 2; i++) {
        *why = evaluate(conditions[i], step->number, row);
        if (*why == YES || *why == TYPE_MISMATCH || *why == DIVISION_BY_ZERO)
            return i;
    }
    return 2;
}

/* ---- texts ---- */

void naive_print_decimal(struct buf *out, int64_t value, int scale)
{
    int64_t unit = scale == 0 ? 1 : scale == 1 ? 10 : 100, whole = value < 0 ? -value : value;
    buf_printf(out, "%s%lld", value < 0 ? "-" : "", (long long)(whole / unit));
    if (scale > 0)
        buf_printf(out, ".%0*lld", scale, (long long)(whole % unit));
}

void naive_print_value(struct buf *out, enum value_kind kind, int64_t n)
{
    if (kind == VALUE_INT)
        buf_printf(out, "%lld", (long long)n);
    else
        buf_printf(out, kind == VALUE_TEXT ? "\"x\"" : kind == VALUE_BOOL ? "true" : "null");
}

void naive_print_mapped(struct naive_row *row)
{
    struct buf out;
    buf_init(&out, 0);
    if (row->k != 0)
        buf_printf(&out, "{\"k\":\"%c\"", row->k);
    else
        buf_printf(&out, "{\"k\":null");
    buf_printf(&out, ",\"g\":%lld,\"n\":", (long long)row->g);
    naive_print_value(&out, row->n_kind, row->n);
    buf_printf(&out, ",\"a\":");
    if (row->a_kind == VALUE_INT)
        naive_print_decimal(&out, row->a, row->a_scale);
    else
        buf_printf(&out, "null");
    buf_printf(&out, ",\"ts\":%s}", row->ts_token);
    must(buf_ok(&out) && out.size < sizeof row->text);
    memcpy(row->text, out.data, out.size);
    row->text[out.size] = '\0';
    buf_deinit(&out);
}

/* ---- steps ---- */

bool naive_maps(const struct naive_plan *plan, int from, int to)
{
    if (plan->is_text && from == 0)
        return true; /* what takes the text apart */
    for (int i = from; i < to; i++) {
        enum step_kind kind = plan->steps[i].kind;
        if (kind == STEP_MAP || kind == STEP_MAP_FN || kind == STEP_FLAT_MAP_FN)
            return true;
    }
    return false;
}

bool naive_n_is_numeric(const struct naive_plan *plan, int steps)
{
    bool is_numeric = false;
    for (int i = 0; i < steps; i++) {
        enum step_kind kind = plan->steps[i].kind;
        if (kind == STEP_MAP)
            is_numeric = true;
        else if (kind == STEP_MAP_FN || kind == STEP_FLAT_MAP_FN)
            is_numeric = false;
    }
    return is_numeric;
}

void naive_die(struct naive_stage *stage, const char *source, const char *error_class)
{
    stage->dead++;
    pairs_add_text(&stage->dead_rows, error_class, source);
}

static void die_of(struct naive_walk *walk, enum truth why)
{
    naive_die(walk->stage, walk->source,
              why == DIVISION_BY_ZERO ? "division_by_zero" : "type_mismatch");
}

static void condition_step(struct naive_walk *walk, struct naive_row *row, int at)
{
    const struct naive_step *step = &walk->plan->steps[at];
    enum truth truth;
    if (step->kind == STEP_BRANCH) {
        int branch = branch_of(step, row, &truth);
        if (truth != TYPE_MISMATCH && truth != DIVISION_BY_ZERO)
            truth = truth_of(branch == step->branch);
    } else {
        truth = evaluate(step->condition, step->number, row);
    }
    if (truth == TYPE_MISMATCH || truth == DIVISION_BY_ZERO)
        die_of(walk, truth);
    else if (step->kind == STEP_CHECK && truth == NO)
        naive_die(walk->stage, walk->source, "violated");
    else if (step->kind != STEP_CHECK && truth != YES)
        walk->stage->filtered++;
    else
        naive_walk(walk, row, at + 1);
}

static void filter_function_step(struct naive_walk *walk, struct naive_row *row, int at)
{
    enum truth n = naive_n_usable(row);
    if (n == TYPE_MISMATCH || (n == YES && row->n < 0))
        naive_die(walk->stage, walk->source, "function");
    else if (n == UNKNOWN || row->n % 2 != 0)
        walk->stage->filtered++;
    else
        naive_walk(walk, row, at + 1);
}

/* nudge adds one to n; fan makes g rows of one, and both refuse thirteen. */
static void map_function_step(struct naive_walk *walk, struct naive_row *row, int at)
{
    bool is_int = row->n_kind == VALUE_INT, is_fan = walk->plan->steps[at].kind == STEP_FLAT_MAP_FN;
    if (is_int && row->n == 13) {
        naive_die(walk->stage, walk->source, "function");
        return;
    }
    if (!is_fan) {
        row->n += is_int;
        naive_walk(walk, row, at + 1);
        return;
    }
    int64_t n = row->n, count = row->g;
    walk->stage->made += count > 0 ? count - 1 : 0;
    walk->stage->filtered += count == 0;
    for (int64_t i = 0; i < count; i++) {
        struct naive_row one = *row;
        one.g = i;
        one.n = n + i;
        naive_walk(walk, &one, at + 1);
    }
}

static void unnest_step(struct naive_walk *walk, const struct naive_row *row, int at)
{
    int count = row->xs_kind == ARRAY ? row->x_count : 0;
    if (row->xs_kind == ARRAY_NOT) {
        naive_die(walk->stage, walk->source, "unnest_not_array");
        return;
    }
    walk->stage->made += count > 0 ? count - 1 : 0;
    walk->stage->filtered += count == 0;
    for (int i = 0; i < count; i++) {
        struct naive_row one = *row;
        one.n_kind = row->xs[i].kind;
        one.n = row->xs[i].n;
        naive_walk(walk, &one, at + 1);
    }
}

static void map_step(struct naive_walk *walk, struct naive_row *row, int at)
{
    enum truth n = naive_n_usable(row);
    if (n == TYPE_MISMATCH) {
        die_of(walk, n);
        return;
    }
    row->n *= 2;
    naive_walk(walk, row, at + 1);
}

void naive_walk(struct naive_walk *walk, const struct naive_row *row, int from)
{
    struct naive_row copy = *row;
    if (from >= walk->to) {
        copy.order = row->order + walk->made_count++;
        walk->end(walk->context, &copy, walk->source);
        return;
    }
    switch (walk->plan->steps[from].kind) {
    case STEP_FILTER:
    case STEP_CHECK:
    case STEP_BRANCH:
        condition_step(walk, &copy, from);
        break;
    case STEP_MAP:
        map_step(walk, &copy, from);
        break;
    case STEP_FILTER_FN:
        filter_function_step(walk, &copy, from);
        break;
    case STEP_MAP_FN:
    case STEP_FLAT_MAP_FN:
        map_function_step(walk, &copy, from);
        break;
    case STEP_UNNEST:
        unnest_step(walk, &copy, from);
        break;
    case STEP_PEEK:
    case STEPS:
        naive_walk(walk, &copy, from + 1);
        break;
    }
}
