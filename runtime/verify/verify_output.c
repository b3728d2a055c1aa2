/* verify_output.c: a grouped view's output topic against its results (see verify_parts.h).
 *
 * Final results are a stream: each closed window that is shown has one record, with its value, in the
 * partition of its group, and there is nothing else. Changes are a table: what counts is the last
 * record of each key; a key that nothing ought to be under is a tombstone or is not there.
 *
 * Of a record the place and a hash are kept. One that differs is read again to be shown. */
#include <stdlib.h>

#include "runtime/verify/verify_parts.h"

struct stray {
    int32_t partition;
    int64_t offset;
    bool is_null;
};
struct output {
    struct verify *v;
    int32_t partition;
    struct verify_map strays; /* changes: last records of keys that nothing is known of */
    struct arena arena;
};

static const struct bytes nothing = {NULL, 0};

/* ---- one record ---- */

static int misplaced(struct output *output, const struct source_row *record,
                     struct verify_group *group)
{
    struct verify_result result;
    if (output->partition == group->partition || group->is_misplaced)
        return 0;
    group->is_misplaced = true;
    TRY(verify_group_render(output->v, group, &result));
    verify_tell_output(output->v, "partition", output->partition, record->offset, record->key,
                       result.value, record->value,
                       "the record lies in another partition than its group belongs to");
    return 0;
}

static int take_final(struct output *output, const struct source_row *record,
                      struct verify_group *group)
{
    struct verify *v = output->v;
    struct verify_result result;
    const char *text = NULL, *kind = NULL;
    if (group->is_undecided) {
        group->is_in_output = true;
        return 0;
    }
    TRY(verify_group_render(v, group, &result));
    if (group->is_in_output) {
        kind = "second";
        text = "the window has a final result already";
    } else if (group->status == GROUP_OPEN) {
        kind = "open";
        text = "a final result of a window that has not closed";
    } else if (result.is_expressible && !result.is_shown) {
        kind = "unknown";
        text = "the condition on results does not let this one through";
    } else if (result.is_expressible && !verify_same(v, true, result.value, record->value)) {
        kind = "value";
        text = "the recomputation gives another value";
    }
    if (kind != NULL)
        verify_tell_output(v, kind, output->partition, record->offset, record->key, result.value,
                           record->value, text);
    else if (result.is_expressible)
        v->report->compared++;
    group->is_in_output = true;
    return 0;
}

static void take_change(struct output *output, const struct source_row *record,
                        struct verify_group *group)
{
    group->is_in_output = true;
    group->offset = record->offset;
    group->found_partition = output->partition;
    group->found_null = record->value.data == NULL;
    group->found_hash = hash64(record->value.data, record->value.size);
}

static int take_stray(struct output *output, const struct source_row *record)
{
    struct verify *v = output->v;
    struct hash128 name = v->view->is_windowed ? verify_key_name(record->key)
                                               : hash128(record->key.data, record->key.size);
    if (verify_map_find(&v->undecided, name) != NULL)
        return 0;
    if (v->view->group->emit_final) {
        verify_tell_output(v, "unknown", output->partition, record->offset, record->key, nothing,
                           record->value, "no row of the sources belongs to this result");
        return 0;
    }
    /* A session of a group that has more rows to come may begin elsewhere by then; a group over a
     * table whose last row is gone stands here until the task behind the re-keying knows. */
    if (verify_map_find(&v->waiting, name) != NULL)
        return 0;
    struct verify_entry *entry =
        verify_map_at(&output->strays, hash128(record->key.data, record->key.size));
    if (entry != NULL && entry->value == NULL)
        entry->value = arena_alloc(&output->arena, sizeof(struct stray));
    if (entry == NULL || entry->value == NULL)
        return verify_no_memory(v);
    *(struct stray *)entry->value =
        (struct stray){output->partition, record->offset, record->value.data == NULL};
    return 0;
}

static int take_record(void *context, const struct source_row *record)
{
    struct output *output = context;
    struct verify *v = output->v;
    v->report->records++;
    struct verify_entry *entry =
        record->key.data != NULL
            ? verify_map_find(&v->by_key, hash128(record->key.data, record->key.size))
            : NULL;
    if (entry == NULL)
        return take_stray(output, record);
    TRY(misplaced(output, record, entry->value));
    if (v->view->group->emit_final)
        return take_final(output, record, entry->value);
    take_change(output, record, entry->value);
    return 0;
}

/* ---- the table of changes ---- */

struct again {
    struct verify *v;
    const struct verify_group *group; /* NULL: a stray */
    int32_t partition;
};

/* The last record of a key, read once more. */
static int look_again(void *context, const struct source_row *record)
{
    struct again *again = context;
    struct verify *v = again->v;
    struct verify_result result = {.is_expressible = true};
    if (again->group == NULL) {
        verify_tell_output(v, "unknown", again->partition, record->offset, record->key, nothing,
                           record->value, "no row of the sources belongs to this result");
        return 1;
    }
    TRY(verify_group_render(v, again->group, &result));
    if (!result.is_shown)
        verify_tell_output(v, "unknown", again->partition, record->offset, record->key, nothing,
                           record->value, "the condition on results does not let this one through");
    else if (!verify_same(v, true, result.value, record->value))
        verify_tell_output(v, "value", again->partition, record->offset, record->key, result.value,
                           record->value, "the recomputation gives another value");
    else
        v->report->compared++;
    return 1;
}

static int read_again(struct verify *v, const struct verify_group *group, int32_t partition,
                      int64_t offset)
{
    struct again again = {v, group, partition};
    return verify_read(v, v->final->output_topic, partition, offset, offset + 1, look_again,
                       &again);
}

static int judge_table_row(struct verify *v, const struct verify_group *group)
{
    struct verify_result result;
    TRY(verify_group_render(v, group, &result));
    if (!result.is_expressible || group->is_waiting || group->is_undecided)
        return 0;
    bool wants_none = !result.is_shown || result.value.data == NULL;
    if (!group->is_in_output) {
        if (wants_none)
            v->report->compared++;
        else
            verify_tell_output(v, "missing", group->partition, -1, result.key, result.value,
                               nothing, "the output topic has no record of this key");
        return 0;
    }
    bool is_same = wants_none
                       ? group->found_null
                       : !group->found_null &&
                             hash64(result.value.data, result.value.size) == group->found_hash;
    if (!is_same)
        return read_again(v, group, group->found_partition, group->offset);
    v->report->compared++;
    return 0;
}

static int judge_table(struct output *output)
{
    struct verify *v = output->v;
    for (size_t i = 0; i < v->list_count; i++) {
        TRY(judge_table_row(v, v->list[i]));
        TRY(verify_look(v));
    }
    for (size_t i = 0; i < output->strays.capacity; i++) {
        const struct stray *stray = output->strays.slots[i].value;
        if (stray != NULL && !stray->is_null)
            TRY(read_again(v, NULL, stray->partition, stray->offset));
    }
    return 0;
}

/* ---- what the output lacks ---- */

static int tell_missing(struct verify *v)
{
    for (size_t i = 0; i < v->list_count; i++) {
        const struct verify_group *group = v->list[i];
        struct verify_result result;
        if (group->is_in_output || group->is_undecided || group->status != GROUP_CLOSED)
            continue;
        TRY(verify_group_render(v, group, &result));
        if (result.is_expressible && result.is_shown)
            verify_tell_output(v, "missing", group->partition, -1, result.key, result.value,
                               nothing, "the output topic has no final result of this window");
        else
            v->report->compared += result.is_expressible;
    }
    return 0;
}

static int read_output(struct output *output)
{
    struct verify *v = output->v;
    struct port_range range;
    for (int32_t p = 0; p < v->final->output_partitions; p++) {
        output->partition = p;
        TRY(verify_output_range(v, p, &range));
        TRY(verify_read(v, v->final->output_topic, p, range.start, range.stable, take_record,
                        output));
    }
    return v->view->group->emit_final ? tell_missing(v) : judge_table(output);
}

int verify_output(struct verify *v)
{
    struct output output = {.v = v};
    arena_init(&output.arena, 0);
    int rc = read_output(&output);
    verify_map_deinit(&output.strays);
    arena_deinit(&output.arena);
    for (size_t i = 0; i < v->list_count && rc == 0; i++) {
        struct verify_result result;
        rc = verify_group_render(v, v->list[i], &result);
        v->report->inexpressible += rc == 0 && !result.is_expressible;
        v->report->waiting += v->list[i]->is_waiting && v->list[i]->status != GROUP_CLOSED;
    }
    return rc;
}
