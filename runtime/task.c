/* task.c: a task's life and its part of a commit (see task.h).
 *
 * A task that opens stands exactly where its last committed progress record says: position,
 * watermark, closing cursor, counts; its store has been brought to the end of its changelog, which
 * the same commit wrote. Whatever does not fit together (another plan, another topic under the same
 * name, a position beyond the end) is refused with what to do, never guessed. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/task.h"

/* A task begins with small batches, in case its functions are slow, and takes larger ones as long as
 * they are quick. */
enum { BATCH_ROWS_FIRST = 256 };

/* Records of changelog behind which a store is brought up without waiting for the interval: what a
 * restart after a kill has to replay, some tenths of a second. */
enum { CHECKPOINT_RECORDS = 500000 };

/* Open batches of a task that writes many partitions; they are part of its buffers (memory.c). */
enum { OUTS_FEW = 4, OUTS_BATCH_BYTES = 512 << 10, OUT_BATCH_LEAST_BYTES = 16 << 10 };

/* ---- open ---- */

static int check_progress(const struct task *task, const struct progress *progress,
                          struct diag *diag)
{
    const struct stage *stage = task->stage;
    static const uint8_t none[16];
    if (progress->plan_hash != stage->plan_hash && progress->state_hash != stage->state_hash)
        return diag_set(diag, ERR_STATE,
                        "stage %s of app %s has changed since it last ran%s. Start it anew with "
                        "from_beginning, or under another app name",
                        stage->name, task->plan->app->name,
                        stage->view->group != NULL && stage->view->group->local.zone != NULL
                            ? " (or the zone database has: its windows follow local time)"
                            : "");
    for (uint32_t i = 0; stage->input != INPUT_ROWS && i < stage->upstream_count; i++) {
        const struct stage *upstream = &task->plan->stages[(uint32_t)stage->upstream + i];
        if (memcmp(progress->input_id, upstream->input_id, 16) != 0)
            continue;
        return diag_set(
            diag, ERR_STATE,
            "topic %s is no longer partitioned by the group of stage %s (records came with other "
            "keys), so the stage must be re-keyed. Start it anew with from_beginning",
            upstream->input_topic, stage->name);
    }
    if (memcmp(progress->input_id, stage->input_id, 16) != 0)
        return diag_set(diag, ERR_STATE,
                        "topic %s was deleted and created again since stage %s last read it. Start "
                        "the stage anew with from_beginning",
                        stage->input_topic, stage->name);
    if (stage->changelog_topic[0] != '\0' && memcmp(progress->changelog_id, none, 16) != 0 &&
        memcmp(progress->changelog_id, stage->changelog_id, 16) != 0)
        return diag_set(diag, ERR_STATE,
                        "changelog %s was deleted since stage %s last ran, and its state with it. "
                        "Start the stage anew with from_beginning",
                        stage->changelog_topic, stage->name);
    return 0;
}

int task_lost_records(const struct task *task, struct diag *diag)
{
    struct port_range range = {0};
    const struct stage *stage = task->stage;
    TRY(task->port->ops->range(task->port, stage->input_topic, task->partition, &range, diag));
    return diag_set(
        diag, ERR_RANGE,
        "%s-%d starts at offset %lld: the records from %lld to %lld were removed (retention.ms, "
        "retention.bytes or delete-records) before stage %s read them. Start it anew with "
        "from_beginning to go on without them, and give the topic a longer retention: weir topic "
        "alter %s --config retention.ms=…",
        stage->input_topic, (int)task->partition, (long long)range.start, (long long)task->position,
        (long long)range.start - 1, stage->name, stage->input_topic);
}

static int check_range(const struct task *task, struct diag *diag)
{
    struct port_range range;
    const struct stage *stage = task->stage;
    TRY(task->port->ops->range(task->port, stage->input_topic, task->partition, &range, diag));
    if (task->position > range.stable)
        return diag_set(diag, ERR_CORRUPT,
                        "%s-%d ends at offset %lld, before the committed position %lld of stage "
                        "%s: the log lost records that were acknowledged, or its end was cut off. "
                        "Start the stage anew with from_beginning",
                        stage->input_topic, (int)task->partition, (long long)range.stable,
                        (long long)task->position, stage->name);
    if (stage->view->keyed != NULL && stage->input == INPUT_ROWS && task->position > range.start &&
        task->position < range.complete_from)
        return diag_set(diag, ERR_RANGE,
                        "%s-%d: deletions behind offset %lld were removed by compaction before "
                        "stage %s read them: its table may have missed some. Start the stage anew "
                        "with from_beginning",
                        stage->input_topic, (int)task->partition, (long long)task->position,
                        stage->name);
    return task->position < range.start ? task_lost_records(task, diag) : 0;
}

/* Keys of a table move when its topic grows, and their old rows would stay where they were: each such key would stand twice. */
static int check_output(const struct task *task, const struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    bool is_table = (stage->output == OUTPUT_VIEW || stage->output == OUTPUT_TABLE) &&
                    plan_gives_changes(stage->view);
    if (!is_table || progress->output_partitions == 0 ||
        progress->output_partitions == stage->output_partitions)
        return 0;
    return diag_set(
        diag, ERR_STATE,
        "topic %s has %d partitions, but stage %s wrote it with %d: keys would stand in "
        "two of them. Delete the topic and start the stage anew with from_beginning",
        stage->output_topic, (int)stage->output_partitions, stage->name,
        (int)progress->output_partitions);
}

/* The stage was reset to this offset. */
static int begin_anew(struct task *task, const struct progress *progress, struct diag *diag)
{
    task->position = task->first_position = progress->position;
    if (memcmp(progress->input_id, task->stage->input_id, 16) == 0)
        return check_range(task, diag);
    return diag_set(diag, ERR_STATE,
                    "stage %s was reset to offset %lld of another topic than the present %s. Start "
                    "it anew with from_beginning",
                    task->stage->name, (long long)progress->position, task->stage->input_topic);
}

/* What a record does not say, since nobody asked when it was written, is as far as the topic goes. */
static int restore_ends(struct task *task, const struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    struct port_range range;
    for (int32_t i = 0; stage->tells_ends && i < stage->output_partitions; i++) {
        if ((uint32_t)i < progress->end_count) {
            task->ends[i] = progress->ends[i];
            continue;
        }
        TRY(task->port->ops->range(task->port, stage->output_topic, i, &range, diag));
        task->ends[i] = range.stable;
    }
    return 0;
}

static int make_output_from(struct task *task, struct diag *diag)
{
    size_t count = (size_t)task->stage->output_partitions;
    if (task->output_from == NULL)
        task->output_from = calloc(count + 1, sizeof *task->output_from);
    return task->output_from != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a task");
}

/* The stage is started for the first time, or anew: what lies in a stream that it writes is another
 * life's, or somebody else's. In a table its own rows replace what is there. */
static int mark_output(struct task *task, struct diag *diag)
{
    const struct stage *stage = task->stage;
    const struct group_params *group = stage->view->group;
    struct port_range range;
    if (stage->output == OUTPUT_PARTIALS || (group != NULL && !group->emit_final))
        return 0;
    for (int32_t i = 0; i < stage->output_partitions; i++) {
        TRY(task->port->ops->range(task->port, stage->output_topic, i, &range, diag));
        if (range.stable == 0)
            continue;
        TRY(make_output_from(task, diag));
        task->output_from[i] = range.stable;
    }
    return 0;
}

static int restore_output_from(struct task *task, const struct progress *progress,
                               struct diag *diag)
{
    if (progress->from_count != (uint32_t)task->stage->output_partitions)
        return 0;
    TRY(make_output_from(task, diag));
    memcpy(task->output_from, progress->output_from,
           progress->from_count * sizeof *task->output_from);
    return 0;
}

static int begin_at_start(struct task *task, struct diag *diag)
{
    struct port_range range;
    TRY(task->port->ops->range(task->port, task->stage->input_topic, task->partition, &range,
                               diag));
    task->position = task->first_position = range.start;
    return 0;
}

static int restore_position(struct task *task, const struct progress *progress, struct diag *diag)
{
    task->watermark_ms = task->max_event_ms = task->given_before_ms = TIME_NONE;
    task->env.closed_before_ms = task->env.store_max_window_ms = TIME_NONE;
    if (progress == NULL || progress->is_begin)
        TRY(mark_output(task, diag));
    if (progress == NULL || (progress->is_begin && progress->position < 0))
        return begin_at_start(task, diag);
    if (progress->is_begin)
        return begin_anew(task, progress, diag);
    TRY(check_progress(task, progress, diag));
    TRY(check_output(task, progress, diag));
    task->position = progress->position;
    task->first_position = progress->first;
    task->watermark_ms = progress->watermark_ms;
    task->max_event_ms = progress->max_event_ms;
    task->env.closed_before_ms = task->given_before_ms = progress->closed_before_ms;
    task->env.store_max_window_ms = progress->max_window_ms;
    task->changelog_end = progress->changelog_end;
    task->counts = progress->counts;
    TRY(restore_ends(task, progress, diag));
    TRY(restore_output_from(task, progress, diag));
    return check_range(task, diag);
}

static int open_store(struct task *task, struct diag *diag)
{
    struct state_statistics statistics;
    if (task->stage->changelog_topic[0] == '\0')
        return 0;
    TRY(store_open(&task->store, task->port, task->plan, task->stage, task->partition, diag));
    task->has_store = true;
    task->env.state = task->store.state;
    TRY(state_renew(task->store.state, diag));
    TRY(state_stat(task->store.state, &statistics, diag));
    task->env.store_may_have = statistics.entries > 0;
    if (!task->stage->view->is_windowed)
        task->env.store_max_window_ms = INT64_MAX;
    return 0;
}

static int open_reader(struct task *task, struct diag *diag)
{
    const struct view *view = task->stage->view;
    TRY(task->port->ops->reader_open(task->port, task->stage->input_topic, task->partition,
                                     task->position, &task->reader, diag));
    return task->stage->input == INPUT_ROWS ? format_open(view, &task->decoder, diag) : 0;
}

/* What the open batches of all outs take together does not depend on how many they are, until each
 * is small. */
static size_t out_batch_bytes(int32_t outs)
{
    size_t bytes = (size_t)OUTS_BATCH_BYTES / (size_t)outs;
    return bytes > OUT_BATCH_LEAST_BYTES ? bytes : OUT_BATCH_LEAST_BYTES;
}

static int open_outs(struct task *task, struct diag *diag)
{
    const struct stage *stage = task->stage;
    const struct port_ops *ops = task->port->ops;
    task->single_out = stage_only_output(stage, task->partition) >= 0;
    task->out_count = task->single_out ? 1 : stage->output_partitions;
    task->outs = calloc((size_t)task->out_count + 1, sizeof *task->outs);
    if (task->outs == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for outputs");
    for (int32_t i = 0; i < task->out_count; i++) {
        int32_t partition = task->single_out ? task->partition % stage->output_partitions : i;
        TRY(ops->out_open(task->port, stage->output_topic, partition, &task->outs[i], diag));
        if (task->out_count > OUTS_FEW)
            ops->out_is_one_of_many(task->outs[i], out_batch_bytes(task->out_count));
    }
    if (task->has_store)
        TRY(ops->out_open(task->port, stage->changelog_topic, task->partition, &task->changelog,
                          diag));
    if (stage->late_topic[0] != '\0') {
        struct port_topic late;
        TRY(ops->topic_describe(task->port, stage->late_topic, &late, diag));
        task->late_partition = task->partition % late.partitions;
        TRY(ops->out_open(task->port, stage->late_topic, task->late_partition, &task->late, diag));
    }
    TRY(ops->out_open(task->port, task->plan->dlq_topic,
                      task->partition % task->plan->dlq_partitions, &task->dead, diag));
    return task_check_outs(task, diag);
}

/* Nothing was read before. */
static bool is_anew(const struct progress *progress)
{
    return progress == NULL || progress->is_begin;
}

int task_open(struct task *task, const struct plan *plan, struct port *port,
              const struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    int64_t began_ns = clock_mono_ns();
    task->plan = plan;
    task->port = port;
    task->source_topic = stage->input_topic;
    task->source_partition = task->partition;
    task->batch_rows = task_most_rows(task);
    if (task->batch_rows > BATCH_ROWS_FIRST)
        task->batch_rows = BATCH_ROWS_FIRST;
    task->env = (struct op_env){.changelog = task_changelog,
                                .context = task,
                                .partition = task->partition,
                                .partition_count = stage->partitions,
                                .check_placement = stage->check_placement};
    task->rows = malloc(BATCH_ROWS * sizeof *task->rows);
    task->ends = malloc(((size_t)stage->output_partitions + 1) * sizeof *task->ends);
    if (task->rows == NULL || task->ends == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a task");
    for (int32_t i = 0; i < stage->output_partitions; i++)
        task->ends[i] = -1;
    TRY(restore_position(task, progress, diag));
    task->rows_end = task->position;
    task->idle_since_ms = TIME_NONE;
    TRY(open_store(task, diag));
    TRY(open_reader(task, diag));
    TRY(open_outs(task, diag));
    TRY(task_open_marks(task, diag));
    task->chain.sink = task_sink;
    task->chain.reject = task_reject_result;
    task->chain.context = task;
    TRY(chain_open(&task->chain, stage->ops, stage->op_count, &task->env, diag));
    TRY(task_tables_open(task, is_anew(progress) ? NULL : progress, diag));
    task->committed_watermark_ms = task->watermark_ms;
    metrics_task(task);
    if (task->has_store)
        metrics_observe(task, STAGE_RESTORE, (double)(clock_mono_ns() - began_ns) / 1e9);
    if (task->gauges != NULL)
        atomic_store(&task->gauges->is_restored, true);
    atomic_store(&task->is_open, true);
    return 0;
}

static void close_parts(struct task *task)
{
    const struct port_ops *ops = task->port->ops;
    if (task->memory != NULL)
        memory_table_holds(task->memory, &task->table_held_bytes, 0);
    task_tables_close(task);
    chain_close(&task->chain);
    ops->reader_close(task->reader);
    if (task->stage->input == INPUT_ROWS)
        format_close(task->stage->view, task->decoder);
    for (int32_t i = 0; task->outs != NULL && i < task->out_count; i++)
        ops->out_close(task->outs[i]);
    ops->out_close(task->changelog);
    ops->out_close(task->late);
    ops->out_close(task->dead);
    store_close(&task->store);
    for (uint32_t i = 0; i < task->mark_count; i++)
        free(task->marks[i].items);
    free(task->marks);
    time_markers_deinit(&task->time_markers);
    free(task->outs);
    free(task->rows);
    free(task->ends);
    free(task->output_from);
    free(task->commit_ends);
    letters_deinit(&task->letters);
    buf_deinit(&task->key);
    buf_deinit(&task->value);
    buf_deinit(&task->headers);
    buf_deinit(&task->text);
}

void task_close(struct task *task)
{
    if (task->port == NULL)
        return;
    atomic_store(&task->is_open, false);
    pthread_mutex_lock(&task->following);
    close_parts(task);
    const size_t from = offsetof(struct task, plan), to = offsetof(struct task, following);
    memset((char *)task + from, 0, to - from);
    atomic_store(&task->store_failure, 0);
    pthread_mutex_unlock(&task->following);
}

void task_deinit(struct task *task)
{
    for (uint32_t i = 0; i < task->fate.skip_count; i++)
        free(task->fate.skips[i].reason);
    free(task->fate.skips);
    task->fate = (struct task_fate){.is_stopped = false};
}

int task_check_outs(const struct task *task, struct diag *diag)
{
    const struct stage *stage = task->stage;
    const struct port_ops *ops = task->port->ops;
    struct port_range range;
    for (int32_t i = 0; i < task->out_count; i++)
        TRY(ops->range(task->port, stage->output_topic,
                       task->single_out ? task->partition % stage->output_partitions : i, &range,
                       diag));
    if (task->changelog != NULL)
        TRY(ops->range(task->port, stage->changelog_topic, task->partition, &range, diag));
    if (task->late != NULL)
        TRY(ops->range(task->port, stage->late_topic, task->late_partition, &range, diag));
    return ops->range(task->port, task->plan->dlq_topic,
                      task->partition % task->plan->dlq_partitions, &range, diag);
}

int task_skip_row(struct task *task, const char *reason, struct diag *diag)
{
    struct task_fate *fate = &task->fate;
    if (fate->skip_count == SKIPPED_ROWS_MAX)
        return diag_set(diag, ERR_TOO_LARGE,
                        "stage %s: more than %d records of %s-%d failed between two commits; the "
                        "last: %.600s",
                        task->stage->name, SKIPPED_ROWS_MAX, task->stage->input_topic,
                        (int)task->partition, reason);
    struct skipped_row *grown = realloc(fate->skips, (fate->skip_count + 1) * sizeof *grown);
    char *copy = strdup(reason);
    if (grown != NULL)
        fate->skips = grown;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return diag_set(diag, ERR_NOMEM, "no memory for a record that is left out");
    }
    grown[fate->skip_count++] = (struct skipped_row){fate->failed_from, copy};
    return 0;
}

size_t task_out_count(const struct task *task)
{
    return (size_t)task->out_count + 3;
}

size_t task_outs(struct task *task, struct port_out **outs)
{
    size_t count = 0;
    for (int32_t i = 0; i < task->out_count; i++)
        outs[count++] = task->outs[i];
    struct port_out *others[] = {task->changelog, task->late, task->dead};
    for (size_t i = 0; i < 3; i++)
        if (others[i] != NULL)
            outs[count++] = others[i];
    return count;
}

/* ---- commit ---- */

int task_flush(struct task *task, int64_t commit_number, struct diag *diag)
{
    task->diag = diag;
    task->now_ms = clock_wall_ms();
    task->is_closing = false;
    int rc = chain_commit(&task->chain, commit_number, task->watermark_ms, diag);
    task->is_closing = rc == OP_AGAIN;
    if (rc == OP_DONE)
        task->given_before_ms = task->watermark_ms;
    return rc < 0 ? rc : 0;
}

static int remember_commit_end(struct task *task, int64_t number, int64_t end, struct diag *diag)
{
    if (task->commit_end_count == task->commit_end_capacity) {
        uint32_t capacity = task->commit_end_capacity ? task->commit_end_capacity * 2 : 64;
        struct commit_end *grown = realloc(task->commit_ends, capacity * sizeof *grown);
        if (grown == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a commit");
        task->commit_ends = grown;
        task->commit_end_capacity = capacity;
    }
    task->commit_ends[task->commit_end_count++] = (struct commit_end){number, end};
    return 0;
}

/* Sends one out if it holds anything; *end is left alone otherwise. */
static int send_out(struct task *task, struct port_txn *txn, struct port_out *out, int64_t *end,
                    struct diag *diag)
{
    if (out == NULL || task->port->ops->out_records(out) == 0)
        return 0;
    crash_point("commit_between_outputs");
    return task->port->ops->txn_send(txn, out, end, diag);
}

int task_send(struct task *task, struct port_txn *txn, int64_t commit_number, struct diag *diag)
{
    int64_t ignored, before = task->changelog_end;
    task->diag = diag;
    TRY(send_out(task, txn, task->changelog, &task->changelog_end, diag));
    if (task->changelog_end != before)
        TRY(remember_commit_end(task, commit_number, task->changelog_end, diag));
    for (int32_t i = 0; i < task->out_count; i++) {
        int32_t partition = task->single_out ? task->partition % task->stage->output_partitions : i;
        TRY(send_out(task, txn, task->outs[i], &task->ends[partition], diag));
    }
    TRY(send_out(task, txn, task->late, &ignored, diag));
    TRY(task_give_letters(task));
    TRY(send_out(task, txn, task->dead, &ignored, diag));
    task->pending_bytes = 0;
    task->committed_counts = task->counts;
    task->committed_position = task->position;
    task->committed_watermark_ms = task->watermark_ms;
    if (task->tables != NULL)
        task_tables_next_commit(task);
    return 0;
}

int task_progress(struct task *task, struct progress *progress, struct diag *diag)
{
    const struct stage *stage = task->stage;
    const struct op *group = chain_group(&task->chain);
    memset(progress, 0, sizeof *progress);
    memcpy(progress->stage, stage->name, sizeof progress->stage);
    snprintf(progress->view, sizeof progress->view, "%s", stage->view->sink->topic);
    progress->reads_partials = stage->input != INPUT_ROWS;
    progress->partition = task->partition;
    progress->plan_hash = stage->plan_hash;
    progress->state_hash = stage->state_hash;
    progress->is_table = stage->output == OUTPUT_TABLE;
    progress->is_final = plan_is_final(stage->view);
    memcpy(progress->input_id, stage->input_id, 16);
    memcpy(progress->changelog_id, stage->changelog_id, 16);
    progress->position = task->position;
    progress->first = task->first_position;
    progress->watermark_ms = task->watermark_ms;
    progress->max_event_ms = task->max_event_ms;
    progress->closed_before_ms = group != NULL                 ? op_group_closed_before(group)
                                 : stage->input == INPUT_SIDES ? task->given_before_ms
                                                               : TIME_NONE;
    progress->max_window_ms = group != NULL ? op_group_max_window(group) : TIME_NONE;
    progress->changelog_end = task->changelog_end;
    progress->counts = task->counts;
    progress->output_partitions = stage->output_partitions;
    progress->ends = task->ends;
    progress->end_count = stage->tells_ends ? (uint32_t)stage->output_partitions : 0;
    progress->output_from = task->output_from;
    progress->from_count = task->output_from != NULL ? (uint32_t)stage->output_partitions : 0;
    if (task->tables != NULL && task_tables_progress(task, &task->text, progress) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a progress record");
    return 0;
}

/* Learns how far the store has come; then forgets what it holds, down to three quarters of the
 * budget. */
int task_trim(struct task *task, bool *want_checkpoint, struct diag *diag)
{
    *want_checkpoint = false;
    if (!task->has_store)
        return 0;
    TRY(state_renew(task->store.state, diag));
    struct state_position position;
    state_position(task->store.state, &position);
    uint32_t held = 0;
    while (held < task->commit_end_count && task->commit_ends[held].end <= position.offset)
        task->stored_commit = task->commit_ends[held++].number;
    if (held > 0) {
        memmove(task->commit_ends, task->commit_ends + held,
                (task->commit_end_count - held) * sizeof *task->commit_ends);
        task->commit_end_count -= held;
    }
    size_t entries, bytes = chain_held(&task->chain, &entries),
                    budget_bytes = memory_table_budget(task->memory, task->table_held_bytes);
    if (bytes > budget_bytes || (held > 0 && task->chain.keeps_rows))
        chain_evict(&task->chain, task->stored_commit,
                    bytes > budget_bytes ? budget_bytes / 4 * 3 : SIZE_MAX);
    bytes = chain_held(&task->chain, &entries);
    memory_table_holds(task->memory, &task->table_held_bytes, bytes);
    *want_checkpoint =
        bytes > budget_bytes || task->changelog_end - position.offset > CHECKPOINT_RECORDS;
    return 0;
}

void task_forget_groups(struct task *task)
{
    if (task->port != NULL)
        chain_close(&task->chain);
    memory_table_holds(task->memory, &task->table_held_bytes, 0);
}
