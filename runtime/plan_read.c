/* plan_read.c: which stages read their topic alike, and how many of their first steps are the same.
 *
 * Stages share a read (shared_read.h) when what they would decode is the same: topic, format, declared
 * columns, fields in the same order, event time and how far ahead it may be. That is verdict 0 of
 * plan_verdict.c, and the order of the fields. What differs between them may be lateness, idle time,
 * partitions of the output: all that comes behind.
 *
 * In common are then the steps that all of them begin with, by the names of their verdicts, as long as
 * they are filters, checks and maps: what keeps nothing, and gives one batch for one. Statements in
 * SQL over one declared table have its casts, NOT NULL and CHECK in common, and what a view over it
 * does that they all read. */
#include <string.h>

#include "runtime/plan_compile.h"

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_path(const struct field_path *a, const struct field_path *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = strcmp(a->parts[i], b->parts[i]) == 0;
    return same;
}

static bool same_fields(const struct field_set *a, const struct field_set *b)
{
    bool same = field_set_count(a) == field_set_count(b);
    for (uint32_t i = 0; same && i < field_set_count(a); i++)
        same = same_path(field_set_path(a, i), field_set_path(b, i));
    return same;
}

bool plan_reads_alike(const struct view *a, const struct view *b)
{
    const struct weir_stream *x = a->source, *y = b->source;
    return a->verdict_count > 0 && b->verdict_count > 0 && a->verdicts[0] == b->verdicts[0] &&
           x->format == y->format && same_text(x->text, y->text) && same_text(x->name, y->name) &&
           same_text(x->extra, y->extra) && x->skew_ms == y->skew_ms &&
           a->event_time_field == b->event_time_field && same_fields(a->fields, b->fields);
}

static bool keeps_nothing(const struct op_type *type)
{
    static const char *const names[] = {"filter", "check", "map"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (type == op_type_find(names[i]))
            return true;
    return false;
}

uint32_t plan_common_ops(const struct view *a, const struct view *b, uint32_t most)
{
    uint32_t count = 0;
    while (count < most && count + 1 < a->verdict_count && count + 1 < b->verdict_count &&
           a->verdicts[count + 1] == b->verdicts[count + 1] &&
           a->ops[count].type == b->ops[count].type && keeps_nothing(a->ops[count].type))
        count++;
    return count;
}

static bool shares(const struct stage *a, const struct stage *b)
{
    return a->input == INPUT_ROWS && b->input == INPUT_ROWS && a->partitions == b->partitions &&
           strcmp(a->input_topic, b->input_topic) == 0 && plan_reads_alike(a->view, b->view);
}

/* All that share with the first of them, which nobody has found before. */
static void settle_group(struct plan *plan, uint32_t first)
{
    struct stage *stage = &plan->stages[first];
    uint32_t common = stage->op_count, found = 0;
    for (uint32_t s = first + 1; s < plan->stage_count; s++) {
        struct stage *other = &plan->stages[s];
        if (!shares(stage, other))
            continue;
        uint32_t most = common < other->op_count ? common : other->op_count;
        common = plan_common_ops(stage->view, other->view, most);
        other->read_group = (int)first;
        found++;
    }
    if (found == 0)
        return;
    stage->read_group = (int)first;
    for (uint32_t s = first; s < plan->stage_count; s++)
        if (plan->stages[s].read_group == (int)first)
            plan->stages[s].read_ops = common;
}

void plan_settle_reads(struct plan *plan)
{
    for (uint32_t s = 0; s < plan->stage_count; s++)
        plan->stages[s].read_group = -1;
    for (uint32_t s = 0; s < plan->stage_count; s++)
        if (plan->stages[s].read_group < 0)
            settle_group(plan, s);
}
