/* task_output.c: where rows go when they leave the operators: outputs, partials, changelog, late
 * rows, dead letters.
 *
 * Everything is encoded into the task's outs and nothing reaches the log before the commit sends
 * them. Record timestamps: a row that still has a source row keeps that record's timestamp; results
 * and partials take the wall clock of the commit. */
#include <stdio.h>

#include "operators/group_key.h"
#include "operators/row_table.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"
#include "runtime/task.h"

static int add(struct task *task, struct port_out *out, int64_t timestamp_ms, struct bytes key,
               struct bytes value, struct bytes headers, int32_t header_count)
{
    task->pending_bytes += key.size + value.size + headers.size + 16;
    return task->port->ops->out_add(out, timestamp_ms, key, value, headers, header_count,
                                    task->diag);
}

static struct bytes view_of(const struct buf *buf)
{
    return bytes_of(buf->data != NULL ? (const void *)buf->data : "", buf->size);
}

static int no_memory(struct task *task)
{
    return diag_set(task->diag, ERR_NOMEM, "no memory for output of stage %s", task->stage->name);
}

static struct port_out *out_of(struct task *task, int32_t partition)
{
    return task->single_out ? task->outs[0] : task->outs[partition];
}

/* Rows that keep their key keep their partition when both topics have as many, unless another key
 * brought them there; else the key decides, and null keys follow their source partition. */
static int32_t row_partition(const struct task *task, const struct source_row *row)
{
    int32_t count = task->stage->output_partitions;
    if (task->single_out ||
        (count == task->stage->partitions && task->stage->input != INPUT_CROSSED))
        return task->partition % count;
    if (row->key.data == NULL)
        return task->partition % count;
    return murmur2_partition(row->key.data, row->key.size, count);
}

int task_add_row(struct task *task, int32_t partition, int64_t timestamp_ms, struct bytes key,
                 struct bytes value)
{
    return add(task, out_of(task, partition), timestamp_ms, key, value, (struct bytes){NULL, 0}, 0);
}

/* Adds a row under its own key, or under the one that weir_rekey gave it: the text decides the
 * partition, as for groups. */
static int add_row(struct task *task, const struct batch *batch, uint32_t at, struct bytes value)
{
    const struct view *view = task->stage->view;
    const struct source_row *row = batch_source(batch, at);
    struct bytes key = row->key;
    int32_t partition = 0;
    if (view->rekey != NULL) {
        const struct column *keys = &batch->columns[batch->column_count - view->rekey->count];
        buf_clear(&task->key);
        if (view->rekey->count == 1 && keys->type == COL_BYTEA && !column_is_null(keys, at))
            buf_append_bytes(&task->key, keys->text[column_at(keys, at)]);
        else
            json_encode_key(&task->key, view->key_names, keys, at, false);
        if (!buf_ok(&task->key))
            return no_memory(task);
        key = view_of(&task->key);
        partition = murmur2_partition(key.data, key.size, task->stage->output_partitions);
    } else {
        partition = row_partition(task, row);
    }
    struct bytes headers = row->headers;
    int32_t header_count = row->header_count;
    if (__builtin_expect(task->stage->tells_time, 0) &&
        task_tell_time(task, row, batch->watermark_ms[at], &headers, &header_count) < 0)
        return no_memory(task);
    return add(task, out_of(task, partition), row->timestamp_ms, key, value, headers, header_count);
}

static int sink_pass(struct task *task, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t at = batch_row(batch, i);
        TRY(add_row(task, batch, at, batch_source(batch, at)->value));
    }
    return 0;
}

static struct encoding begin_values(struct task *task, const struct batch *batch)
{
    const struct view *view = task->stage->view;
    return (struct encoding){.view = view,
                             .columns = batch->columns + view->first_value,
                             .count = view->column_count - view->first_value,
                             .arena = &task->chain.arena,
                             .out = &task->value};
}

/* The value of one row's record, by the view's format. ERR_INVALID: it has none, and
 * encoding->problem says why. */
static int encode_value(struct task *task, struct encoding *encoding, uint32_t row,
                        struct bytes *value)
{
    buf_clear(&task->value);
    encoding->is_null = false;
    int rc = encoding->view->format->encode(encoding, row);
    if (__builtin_expect(rc == ERR_INVALID, 0))
        return rc;
    if (rc < 0 || !buf_ok(&task->value))
        return no_memory(task);
    *value = encoding->is_null ? (struct bytes){NULL, 0} : view_of(&task->value);
    return 0;
}

static int sink_rows(struct task *task, const struct batch *batch)
{
    struct encoding encoding = begin_values(task, batch);
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t at = batch_row(batch, i);
        struct bytes value;
        int rc = encode_value(task, &encoding, at, &value);
        if (rc == ERR_INVALID) {
            TRY(reject_add(&task->chain.rejects, at, "encode", "%s", encoding.problem));
            continue;
        }
        TRY(rc);
        if (task->value.size > TASK_ROW_MAX_BYTES) {
            TRY(reject_add(&task->chain.rejects, at, "row_too_long",
                           "the new row takes %zu bytes; the limit is %d", task->value.size,
                           TASK_ROW_MAX_BYTES));
            continue;
        }
        task->counts.applied += task->stage->input != INPUT_SIDES;
        task->counts.out++;
        TRY(add_row(task, batch, at, value));
    }
    return 0;
}

enum { ROW_SHOWN = 1, ROW_REJECTED = 2, ROW_COUNTED = 4 };

/* What became of the rows that changes are about, by row. */
static int mark_rows(struct task *task, const struct batch *batch, uint8_t **marks)
{
    const struct reject_list *rejects = &task->chain.rejects;
    must(batch->changes != NULL);
    *marks = arena_zalloc(batch->arena, (size_t)batch->row_count + 1);
    if (*marks == NULL)
        return no_memory(task);
    for (uint32_t i = 0; i < batch->selected_count; i++)
        (*marks)[batch_row(batch, i)] = ROW_SHOWN;
    for (uint32_t i = 0; i < rejects->count; i++)
        (*marks)[rejects->items[i].row] = ROW_REJECTED;
    return 0;
}

/* A row of a table is applied once, whatever number of keys it names; those that a condition left out
 * were counted there. Results of a join have no row. */
static void count_change(struct task *task, const struct table_change *change, uint8_t *mark)
{
    bool counts = change->is_removal || (*mark & ROW_SHOWN) != 0;
    task->counts.applied += task->stage->input == INPUT_ROWS && counts && !(*mark & ROW_COUNTED);
    *mark |= ROW_COUNTED;
}

/* The record key of a change, and the partition that it decides. */
static int table_key(struct task *task, const struct batch *batch,
                     const struct table_change *change, int32_t *partition)
{
    const struct view *view = task->stage->view;
    const struct expr_list *list = view->keyed->key;
    struct column *columns = arena_alloc(batch->arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(column_alloc(&columns[i], expr_type(list->exprs[i]), 1, true, batch->arena));
    int rc = group_key_decode(change->key, columns, list->count, 0, batch->arena);
    must(rc != ERR_CORRUPT); /* it has just been made */
    TRY(rc);
    buf_clear(&task->key);
    json_encode_key(&task->key, view->key_names, columns, 0, false);
    if (!buf_ok(&task->key))
        return no_memory(task);
    *partition = murmur2_partition(task->key.data, task->key.size, task->stage->output_partitions);
    return 0;
}

/* What a change makes of its key's record: a value, or none (a tombstone). ERR_INVALID: it cannot be
 * written, and the record that was stands. */
static int table_value(struct task *task, struct encoding *encoding, const struct batch *batch,
                       uint32_t row, bool is_shown, struct bytes *value)
{
    *value = (struct bytes){NULL, 0};
    if (!is_shown)
        return 0;
    if (!task->stage->view->is_mapped) {
        *value = batch_source(batch, row)->value;
        return 0;
    }
    int rc = encode_value(task, encoding, row, value);
    if (rc == ERR_INVALID)
        TRY(reject_add(&task->chain.rejects, row, "encode", "%s", encoding->problem));
    if (rc == 0 && task->value.size > TASK_ROW_MAX_BYTES) {
        TRY(reject_add(&task->chain.rejects, row, "row_too_long",
                       "the new row takes %zu bytes; the limit is %d", task->value.size,
                       TASK_ROW_MAX_BYTES));
        return ERR_INVALID;
    }
    return rc;
}

static int sink_change(struct task *task, struct encoding *encoding, const struct batch *batch,
                       const struct table_change *change, uint8_t *mark)
{
    const struct source_row *row = batch_source(batch, change->row);
    bool is_shown = !change->is_removal && (*mark & ROW_SHOWN) != 0;
    struct bytes value;
    int32_t partition = 0;
    int rc = table_value(task, encoding, batch, change->row, is_shown, &value);
    if (rc == ERR_INVALID)
        return 0;
    TRY(rc);
    TRY(table_key(task, batch, change, &partition));
    count_change(task, change, mark);
    task->counts.out++;
    return add(task, out_of(task, partition), row->timestamp_ms, view_of(&task->key), value,
               row->headers, row->header_count);
}

/* Every change of the table, in the order of its topic. */
static int sink_table(struct task *task, const struct batch *batch)
{
    struct encoding encoding = begin_values(task, batch);
    uint8_t *marks;
    TRY(mark_rows(task, batch, &marks));
    for (uint32_t i = 0; i < batch->changes->count; i++) {
        const struct table_change *change = &batch->changes->items[i];
        if (!(marks[change->row] & ROW_REJECTED))
            TRY(sink_change(task, &encoding, batch, change, &marks[change->row]));
    }
    return 0;
}

/* A change on its way to where the table is joined with another one: murmur2 of the key's bytes. */
static int send_change(struct task *task, const struct batch *batch,
                       const struct table_change *change, uint8_t *mark)
{
    bool is_shown = !change->is_removal && (*mark & ROW_SHOWN) != 0;
    int32_t partition =
        murmur2_partition(change->key.data, change->key.size, task->stage->output_partitions);
    buf_clear(&task->value);
    table_side_encode(&task->value, task->stage->view->arm, is_shown ? batch->columns : NULL,
                      batch->column_count, change->row);
    if (!buf_ok(&task->value))
        return no_memory(task);
    if (task->value.size > JOIN_TABLES_ROW_MAX_BYTES)
        return reject_add(&task->chain.rejects, change->row, "row_too_long",
                          "what is joined of the row takes %zu bytes; the limit is %d",
                          task->value.size, JOIN_TABLES_ROW_MAX_BYTES);
    if (change->key.size >= ROW_KEY_MAX_BYTES) /* its side is part of it there */
        return reject_add(&task->chain.rejects, change->row, "key_too_long",
                          "the row's key takes %zu bytes; the limit is %d", change->key.size,
                          ROW_KEY_MAX_BYTES - 1);
    count_change(task, change, mark);
    return task_add_row(task, partition, batch_source(batch, change->row)->timestamp_ms,
                        change->key, view_of(&task->value));
}

static int sink_table_sides(struct task *task, const struct batch *batch)
{
    uint8_t *marks;
    TRY(mark_rows(task, batch, &marks));
    for (uint32_t i = 0; i < batch->changes->count; i++) {
        const struct table_change *change = &batch->changes->items[i];
        if (!(marks[change->row] & ROW_REJECTED))
            TRY(send_change(task, batch, change, &marks[change->row]));
    }
    return 0;
}

static int sink_partials(struct task *task, const struct batch *batch)
{
    const struct bytes none = {NULL, 0};
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t at = batch_row(batch, i);
        struct bytes group = batch->columns[0].text[at];
        struct bytes placed = group;
        size_t group_bytes; /* a pair goes where its group goes */
        if (group_value_is_pair(batch->columns[2].text[at], &group_bytes))
            placed.size = group_bytes;
        int32_t partition =
            group_partition(task->stage->view->group, placed, task->stage->output_partitions,
                            batch->arena, &task->text);
        buf_clear(&task->key);
        group_store_key(&task->key, batch->columns[1].i64[at], group);
        if (!buf_ok(&task->key))
            return no_memory(task);
        TRY(add(task, out_of(task, partition), task->now_ms, view_of(&task->key),
                batch->columns[2].text[at], none, 0));
    }
    return 0;
}

/* Rows on their way to where they are joined: murmur2 of the key's text, as of a group's. Those that
 * have none go where their partition says, so that they are spread. */
static int sink_sides(struct task *task, const struct batch *batch)
{
    const struct op_spec *last = &task->stage->ops[task->stage->op_count - 1];
    const struct within_side_params *params = last->params;
    int32_t partitions = task->stage->output_partitions;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t at = batch_row(batch, i);
        struct bytes key = batch->columns[0].text[at];
        int32_t partition = task->partition % partitions;
        buf_clear(&task->text);
        buf_clear(&task->value);
        if (column_is_null(&batch->columns[0], at))
            key = (struct bytes){NULL, 0};
        else if (partitions > 1) {
            must(within_key_text(params->join, key, batch->arena, &task->text) != ERR_CORRUPT);
            partition = murmur2_partition(task->text.data, task->text.size, partitions);
        }
        within_row_encode(&task->value, params, batch->columns + 1, at, batch->event_time_ms[at]);
        if (!buf_ok(&task->text) || !buf_ok(&task->value))
            return no_memory(task);
        if (task->value.size > TASK_ROW_MAX_BYTES) {
            TRY(reject_add(&task->chain.rejects, at, "row_too_long",
                           "what is joined of the row takes %zu bytes; the limit is %d",
                           task->value.size, TASK_ROW_MAX_BYTES));
            continue;
        }
        task->counts.applied++;
        TRY(add(task, out_of(task, partition), batch_source(batch, at)->timestamp_ms, key,
                view_of(&task->value), (struct bytes){NULL, 0}, 0));
    }
    return 0;
}

/* The partition of a result: murmur2 of its group's text, which is where its task lies unless the
 * output topic has another count or rows were placed by another text of the same group. */
static int32_t result_partition(struct task *task, const struct batch *batch, uint32_t row)
{
    if (task->single_out)
        return 0;
    buf_clear(&task->text);
    json_encode_key(&task->text, task->stage->view->group->key_names, batch->columns, row, false);
    must(buf_ok(&task->text));
    return murmur2_partition(task->text.data, task->text.size, task->stage->output_partitions);
}

/* Tombstones: of sessions that others swallowed, of groups whose last row went. */
static int sink_gone(struct task *task, const struct batch *batch)
{
    const struct view *view = task->stage->view;
    const struct bytes none = {NULL, 0};
    task->counts.out += batch->selected_count;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        buf_clear(&task->key);
        json_encode_key(&task->key, view->key_names, batch->columns, row, view->is_windowed);
        if (!buf_ok(&task->key))
            return no_memory(task);
        TRY(add(task, out_of(task, result_partition(task, batch, row)), task->now_ms,
                view_of(&task->key), none, none, 0));
    }
    return 0;
}

static int sink_results(struct task *task, const struct batch *batch)
{
    const struct view *view = task->stage->view;
    const struct bytes none = {NULL, 0};
    struct encoding encoding = begin_values(task, batch);
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        struct bytes value = none; /* a tombstone */
        int rc = group_is_shown(view->group, batch, row)
                     ? encode_value(task, &encoding, row, &value)
                     : 0;
        if (rc == ERR_INVALID) {
            const struct reject reject = {
                .row = row, .error_class = "encode", .message = encoding.problem};
            TRY(task_reject_result(task, batch, &reject));
            continue;
        }
        TRY(rc);
        buf_clear(&task->key);
        json_encode_key(&task->key, view->key_names, batch->columns, row, view->is_windowed);
        if (!buf_ok(&task->key))
            return no_memory(task);
        task->counts.out++;
        TRY(add(task, out_of(task, result_partition(task, batch, row)), task->now_ms,
                view_of(&task->key), value, none, 0));
    }
    return 0;
}

int task_sink(void *context, const struct batch *batch)
{
    struct task *task = context;
    switch (task->stage->output) {
    case OUTPUT_PASS:
        task->counts.applied += batch->selected_count;
        task->counts.out += batch->selected_count;
        return sink_pass(task, batch);
    case OUTPUT_ROWS:
        return sink_rows(task, batch);
    case OUTPUT_TABLE:
        return sink_table(task, batch);
    case OUTPUT_PARTIALS:
        return sink_partials(task, batch);
    case OUTPUT_CROSSING:
        return task_sink_crossing(task, batch);
    case OUTPUT_SIDES:
        return task->stage->view->join_tables != NULL ? sink_table_sides(task, batch)
                                                      : sink_sides(task, batch);
    case OUTPUT_VIEW:
        return batch->is_gone ? sink_gone(task, batch) : sink_results(task, batch);
    }
    return 0;
}

int task_changelog(void *context, struct bytes key, struct bytes value)
{
    struct task *task = context;
    return add(task, task->changelog, task->now_ms, key, value, (struct bytes){NULL, 0}, 0);
}

/* ---- what is kept beside the results ---- */

static int add_number(struct buf *headers, const char *name, int64_t value)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%lld", (long long)value);
    port_header_add(headers, name, bytes_of(text, (size_t)size));
    return 1;
}

static int add_text(struct buf *headers, const char *name, const char *text)
{
    port_header_add(headers, name, bytes_text(text));
    return 1;
}

static int add_iso(struct buf *headers, const char *name, int64_t time_ms)
{
    char text[40];
    size_t size = time_format_iso(time_ms, text);
    port_header_add(headers, name, bytes_of(text, size));
    return 1;
}

/* The row's own headers, byte for byte, then where it came from. Returns how many were added. */
static int32_t begin_headers(struct task *task, const struct source_row *row, const char *element)
{
    int added = 0;
    buf_clear(&task->headers);
    if (row != NULL) {
        buf_append_bytes(&task->headers, row->headers);
        added += add_text(&task->headers, "weir.source.topic", task->source_topic);
        added += add_number(&task->headers, "weir.source.partition", task->source_partition);
        added += add_number(&task->headers, "weir.source.offset", row->offset);
        added += add_number(&task->headers, "weir.source.timestamp", row->timestamp_ms);
    }
    if (element != NULL)
        added += add_text(&task->headers, "weir.source.element", element);
    added += add_text(&task->headers, "weir.stage", task->stage->name);
    return added;
}

/* A letter about a row of the task's input waits for the commit, as do all others then, so that they
 * stay in their order. */
static int keep_letter(struct task *task, const struct source_row *row, const struct reject *reject,
                       struct bytes value, int32_t header_count)
{
    bool is_shared = row != NULL && task->source_topic == task->stage->input_topic &&
                     reject->step < task->front_count;
    const struct letter letter = {.front = is_shared ? task->fronts[reject->step] : NULL,
                                  .header_count = header_count,
                                  .offset = row != NULL ? row->offset : 0,
                                  .timestamp_ms = row != NULL ? row->timestamp_ms : task->now_ms};
    int rc = task_keep_letter(task, letter, row != NULL ? row->key : (struct bytes){NULL, 0}, value,
                              view_of(&task->headers));
    return rc < 0 ? no_memory(task) : 0;
}

int task_dead_letter(struct task *task, const struct source_row *row, const struct reject *reject)
{
    int32_t added = begin_headers(task, row, reject->element);
    added += add_text(&task->headers, "weir.error.class", reject->error_class);
    added += add_text(&task->headers, "weir.error.message", reject->message);
    if (!buf_ok(&task->headers))
        return no_memory(task);
    task->counts.dead += row != NULL;
    if (__builtin_expect(task->front_count > 0, 0))
        return keep_letter(task, row, reject, row != NULL ? row->value : view_of(&task->value),
                           (row != NULL ? row->header_count : 0) + added);
    return add(task, task->dead, row != NULL ? row->timestamp_ms : task->now_ms,
               row != NULL ? row->key : (struct bytes){NULL, 0},
               row != NULL ? row->value : view_of(&task->value), view_of(&task->headers),
               (row != NULL ? row->header_count : 0) + added);
}

int task_leave_out(struct task *task, const struct source_row *row, const char *reason)
{
    task->counts.rows_in += task->stage->input != INPUT_PARTIALS;
    return task_dead_letter(
        task, row,
        &(struct reject){.error_class = "failed", .message = reason, .step = STEP_OF_NONE});
}

int task_late_row(struct task *task, const struct source_row *row, const struct late_row *late)
{
    int32_t added = begin_headers(task, row, late->element);
    added += add_iso(&task->headers, "weir.window.start", late->window_start_ms);
    added += add_iso(&task->headers, "weir.window.end", late->window_end_ms);
    added += add_number(&task->headers, "weir.lateness_ms", late->lateness_ms);
    if (late->taken > 0)
        added += add_number(&task->headers, "weir.windows.taken", late->taken);
    if (!buf_ok(&task->headers))
        return no_memory(task);
    task->counts.late += late->counts;
    return add(task, task->late, row->timestamp_ms, row->key, row->value, view_of(&task->headers),
               row->header_count + added);
}

/* A result that cannot be expressed (a sum of more than 38 digits): its group's columns are the
 * dead letter's value; of a join's result all that it had. */
int task_reject_result(void *context, const struct batch *batch, const struct reject *reject)
{
    struct task *task = context;
    const struct view *view = task->stage->view;
    buf_clear(&task->value);
    const struct json_names *names = view->within != NULL        ? view->within->result_names
                                     : view->join_tables != NULL ? view->join_tables->result_names
                                                                 : NULL;
    if (names != NULL)
        json_encode_row(&task->value, names, batch->columns, reject->row, false);
    else
        json_encode_key(&task->value, view->key_names, batch->columns, reject->row, true);
    if (!buf_ok(&task->value))
        return no_memory(task);
    if (names != NULL && view->sink->fails_on_bad_row)
        return diag_set(task->diag, ERR_INVALID, "stage %s: a joined row is a bad row (%s: %s)",
                        task->stage->name, reject->error_class, reject->message);
    return task_dead_letter(task, NULL, reject);
}
