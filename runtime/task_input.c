/* task_input.c: from a topic to the operators: read, decode, push.
 *
 * A poll reads one batch, decodes it, lets task_time.c give each row its event time and the
 * watermark at its own place, and pushes it through the chain; what did not pass goes to the
 * late and dead-letter topics. Where a batch was cut never changes what becomes of a row. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/shared_read.h"
#include "runtime/task.h"

/* A batch that takes longer than this keeps the other tasks of its worker waiting: the next one has
 * fewer rows. */
#define BATCH_LONG_NS (50 * INT64_C(1000000))

/* Records without a value have no columns, and so are none of a table's rows that steps look at. */
static int leave_removals(struct batch *batch)
{
    uint16_t *kept = arena_alloc(batch->arena, ((size_t)batch->row_count + 1) * sizeof *kept);
    uint32_t count = 0;
    if (kept == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        kept[count] = (uint16_t)row;
        count += batch->source[row].value.data != NULL;
    }
    batch->is_table = true;
    batch->selection = kept;
    batch->selected_count = count;
    return 0;
}

static void mark_rejected(const struct reject_list *rejects, uint8_t *gone)
{
    for (uint32_t i = 0; i < rejects->count; i++)
        gone[rejects->items[i].row] = 1;
}

static int compare_made(const void *a, const void *b)
{
    const struct reject *x = *(const struct reject *const *)a;
    const struct reject *y = *(const struct reject *const *)b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return strcmp(x->element, y->element);
}

/* The rejected ones among rows that operators made, in the order of the rows they came from:
 * operators cut batches of them elsewhere. */
static int sort_made(struct task *task, const struct reject ***made, uint32_t *count)
{
    const struct reject_list *rejects = &task->chain.rejects;
    *made = arena_alloc(&task->chain.arena, (rejects->count + 1) * sizeof **made);
    *count = 0;
    if (*made == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rejects->count; i++)
        if (rejects->items[i].element != NULL)
            (*made)[(*count)++] = &rejects->items[i];
    if (*count > 1)
        qsort(*made, *count, sizeof **made, compare_made);
    return 0;
}

/* The first of them, in offset order, is why the stage fails (weir_on_bad_row). */
static int fail_on_bad_row(struct task *task, const struct source_row *rows,
                           const struct reject **first, const struct reject *made)
{
    uint32_t row = 0;
    const char *element = NULL;
    while (first[row] == NULL && (made == NULL || made->row != row))
        row++;
    const struct reject *reject = first[row] != NULL ? first[row] : made;
    if (task->crossed != NULL)
        TRY(task_point_to_origin(task, row, &element));
    return diag_set(
        task->diag, ERR_INVALID,
        "stage %s: the record at offset %lld of %s, partition %d, is a bad row (%s: %s)",
        task->stage->name, (long long)rows[row].offset, task->source_topic,
        (int)task->source_partition, reject->error_class, reject->message);
}

static int keep_dead(struct task *task, const struct source_row *rows, const struct reject *reject)
{
    struct reject told = *reject;
    if (task->crossed != NULL)
        TRY(task_point_to_origin(task, told.row, &told.element));
    return task_dead_letter(task, &rows[told.row], &told);
}

/* Rows that did not pass: each once to its topic, in offset order however batches were cut, under
 * the first thing that was wrong with it. */
static int keep_the_rest(struct task *task, const struct source_row *rows, uint32_t count)
{
    const struct reject_list *rejects = &task->chain.rejects;
    const struct reject **made;
    uint32_t made_count, at = 0;
    if (rejects->count == 0 && task->chain.call.late_count == 0)
        return 0;
    const struct reject **first = arena_zalloc(&task->chain.arena, (count + 1) * sizeof *first);
    if (first == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rejects->count; i++)
        if (first[rejects->items[i].row] == NULL && rejects->items[i].element == NULL)
            first[rejects->items[i].row] = &rejects->items[i];
    TRY(sort_made(task, &made, &made_count));
    if (task->stage->view->sink->fails_on_bad_row && rejects->count > 0)
        return fail_on_bad_row(task, rows, first, made_count > 0 ? made[0] : NULL);
    for (uint32_t row = 0; row < count; row++) {
        if (first[row] != NULL)
            TRY(keep_dead(task, rows, first[row]));
        for (; at < made_count && made[at]->row == row; at++)
            TRY(keep_dead(task, rows, made[at]));
    }
    for (uint32_t i = 0; i < task->chain.call.late_count; i++) {
        struct late_row late = task->chain.call.late[i];
        if (task->crossed != NULL)
            TRY(task_point_to_origin(task, late.row, &late.element));
        TRY(task_late_row(task, &rows[late.row], &late));
    }
    return 0;
}

/* The batch comes in pieces: before each, what tables have up to the time of its first row. */
static int push_by_time(struct task *task, const struct batch *batch)
{
    uint16_t *rows = arena_alloc(batch->arena, ((size_t)batch->selected_count + 1) * sizeof *rows);
    if (rows == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < batch->selected_count; i++)
        rows[i] = (uint16_t)batch_row(batch, i);
    for (uint32_t from = 0, to; from < batch->selected_count; from = to) {
        uint32_t row = rows[from];
        struct batch piece = *batch;
        task->tables->has_failed = true; /* unless it has not */
        TRY(task_tables_follow(task, batch->event_time_ms[row], task->rows[row].timestamp_ms));
        task->tables->has_failed = false;
        to = from + 1;
        while (to < batch->selected_count &&
               !task_tables_wait(task->tables, batch->event_time_ms[rows[to]],
                                 task->rows[rows[to]].timestamp_ms))
            to++;
        piece.selection = rows + from;
        piece.selected_count = to - from;
        TRY(chain_push(&task->chain, &piece));
    }
    return 0;
}

int task_push_rows(struct task *task, const struct batch *batch)
{
    if (__builtin_expect(task->tables == NULL, 1))
        return chain_push(&task->chain, batch);
    task_tables_close_turn(task);
    return task_tables_by_time(task) ? push_by_time(task, batch) : chain_push(&task->chain, batch);
}

void task_begin_rows(struct task *task)
{
    struct op_call *call = &task->chain.call;
    call->applied_rows = call->made_rows = call->unmatched_rows = call->duplicate_rows = 0;
    task->chain.filtered_rows = 0;
}

int task_end_rows(struct task *task, const struct source_row *rows, uint32_t count)
{
    const struct op_call *call = &task->chain.call;
    task->counts.rows_in += count;
    task->counts.rows_made += (int64_t)call->made_rows;
    task->counts.applied += (int64_t)call->applied_rows;
    task->counts.filtered += task->chain.filtered_rows;
    task->counts.unmatched += (int64_t)call->unmatched_rows;
    task->counts.duplicate += (int64_t)call->duplicate_rows;
    TRY(keep_the_rest(task, rows, count));
    must(counts_add_up(&task->counts)); /* P5 */
    return 0;
}

static int decode_rows(const struct decoding *decoding)
{
    struct decoding d = *decoding;
    return __builtin_expect(d.view->keyed == NULL, 1) ? format_decode(&d) : format_decode_table(&d);
}

int task_decode(const struct view *view, void *decoder, const struct source_row *rows,
                uint32_t count, struct chain *chain, struct column **columns, uint8_t **gone)
{
    *columns = arena_alloc(&chain->arena, format_room(view) * sizeof **columns);
    *gone = arena_zalloc(&chain->arena, count + 1);
    if (*columns == NULL || *gone == NULL)
        return ERR_NOMEM;
    const struct decoding decoding = {.view = view,
                                      .state = decoder,
                                      .rows = rows,
                                      .count = count,
                                      .arena = &chain->arena,
                                      .columns = *columns,
                                      .rejects = &chain->rejects};
    TRY(decode_rows(&decoding));
    mark_rejected(&chain->rejects, *gone);
    for (uint32_t i = 0; view->keyed != NULL && i < count; i++)
        (*gone)[i] |= rows[i].value.data == NULL;
    return 0;
}

int task_batch_rows(struct chain *chain, const struct view *view, struct batch *batch)
{
    batch->column_count = format_column_count(view);
    batch->selected_count = batch->row_count;
    batch->arena = &chain->arena;
    TRY(batch_drop_rejected(batch, &chain->rejects, 0, &chain->arena));
    return __builtin_expect(view->keyed != NULL, 0) ? leave_removals(batch) : 0;
}

static uint64_t origin_of(const struct task *task)
{
    return (uint64_t)task->stage->view->arm << 32 | (uint32_t)task->partition;
}

static int process_rows(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    const struct view *view = task->stage->view;
    struct column *columns;
    uint8_t *gone;
    TRY(chain_begin(chain, task->diag));
    int64_t *times = arena_alloc(&chain->arena, (count + 1) * sizeof *times);
    int64_t *watermarks = arena_alloc(&chain->arena, (count + 1) * sizeof *watermarks);
    if (times == NULL || watermarks == NULL)
        return ERR_NOMEM;
    TRY(task_decode(view, task->decoder, task->rows, count, chain, &columns, &gone));
    TRY(task_assign_times(task, columns, gone, count, times, watermarks));
    struct batch batch = {.row_count = count,
                          .columns = columns,
                          .event_time_ms = times,
                          .watermark_ms = watermarks,
                          .source = task->rows,
                          .origin = origin_of(task)};
    TRY(task_batch_rows(chain, view, &batch));
    task_begin_rows(task);
    TRY(task_push_rows(task, &batch));
    return task_end_rows(task, task->rows, count);
}

/* What was wrong with rows on the shared way stays where it lies; the list goes on behind it. */
static int take_rejects(struct chain *chain, const struct reject_list *from)
{
    struct reject_list *rejects = &chain->rejects;
    if (from->count == 0)
        return 0;
    rejects->items = arena_alloc(&chain->arena, from->count * sizeof *rejects->items);
    if (rejects->items == NULL)
        return ERR_NOMEM;
    memcpy(rejects->items, from->items, from->count * sizeof *rejects->items);
    rejects->count = rejects->capacity = from->count;
    return 0;
}

/* Rows that came a part of the way together with those of other tasks: from there on as alone. The
 * watermark is each task's own. */
static int process_shared(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    const struct shared_read *read = task->shared;
    TRY(chain_begin(chain, task->diag));
    TRY(take_rejects(chain, &read->chain.rejects));
    int64_t *watermarks = arena_alloc(&chain->arena, (count + 1) * sizeof *watermarks);
    if (watermarks == NULL)
        return ERR_NOMEM;
    TRY(task_assign_times(task, NULL, read->gone, count, read->times, watermarks));
    struct batch batch = read->batch;
    batch.watermark_ms = watermarks;
    batch.origin = origin_of(task);
    batch.arena = &chain->arena;
    task_begin_rows(task);
    chain->filtered_rows = read->chain.filtered_rows;
    chain->first = read->chain.count;
    int rc = task_push_rows(task, &batch);
    chain->first = 0;
    TRY(rc);
    return task_end_rows(task, task->rows, count);
}

/* Partials: record key = window and group, value = accumulators. */
static int process_partials(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    TRY(chain_begin(chain, task->diag));
    struct column *columns = arena_alloc(&chain->arena, 3 * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    TRY(column_alloc(&columns[0], COL_TEXT, count, false, &chain->arena));
    TRY(column_alloc(&columns[1], COL_BIGINT, count, false, &chain->arena));
    TRY(column_alloc(&columns[2], COL_TEXT, count, false, &chain->arena));
    for (uint32_t i = 0; i < count; i++) {
        if (group_store_key_split(task->rows[i].key, task->stage->view->is_windowed,
                                  &columns[1].i64[i], &columns[0].text[i]) < 0)
            return diag_set(task->diag, ERR_CORRUPT,
                            "the record at offset %lld of %s-%d is not a partial aggregate",
                            (long long)task->rows[i].offset, task->stage->input_topic,
                            (int)task->partition);
        columns[2].text[i] = task->rows[i].value;
    }
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = 3,
                          .arena = &chain->arena};
    return chain_push(chain, &batch);
}

/* Rows of both sides of a join, which the operator takes as they are. */
static int process_sides(struct task *task, uint32_t count)
{
    struct chain *chain = &task->chain;
    struct batch batch = {.row_count = count, .selected_count = count, .source = task->rows};
    TRY(chain_begin(chain, task->diag));
    return chain_push(chain, &batch);
}

/* Whether a partial, or a row of a join, decodes: asked of one that failed alone. */
static bool partial_is_sound(const struct task *task, const struct source_row *row)
{
    if (task->stage->input == INPUT_SIDES && task->stage->view->join_tables != NULL) {
        struct table_side_row side;
        return row->key.data != NULL && table_side_decode(row->value, &side) == 0;
    }
    if (task->stage->input == INPUT_SIDES) {
        struct within_row side;
        return within_row_decode(row->value, &side) == 0;
    }
    const struct agg_plan *plan = task->stage->view->group->plan;
    struct bytes group;
    int64_t window;
    if (group_store_key_split(row->key, task->stage->view->is_windowed, &window, &group) < 0)
        return false;
    void *scratch = malloc(agg_plan_row_bytes(plan));
    if (scratch == NULL)
        return true;
    agg_row_init(plan, scratch);
    bool is_sound = agg_decode(plan, scratch, row->value) == 0;
    agg_row_release(plan, scratch);
    free(scratch);
    return is_sound;
}

bool task_at_end(const struct task *task)
{
    return task->position >= atomic_load(&task->end_target) &&
           (task->tables == NULL || task_tables_at_end(task));
}

/* A row of hopping windows can leave as many late records as it has windows, and a partial changes
 * as many groups: what one batch does stays bounded whatever the windows are. */
uint32_t task_most_rows(const struct task *task)
{
    enum { WINDOWS_PER_BATCH = 65536 };
    const struct group_params *group = task->stage->view->group;
    uint32_t most = (uint32_t)task->plan->app->options.batch_rows;
    uint32_t windows = group != NULL ? group->window.per_row : 0;
    return windows > 0 && most > WINDOWS_PER_BATCH / windows ? WINDOWS_PER_BATCH / windows : most;
}

void task_pace(struct task *task, int64_t took_ns)
{
    uint32_t most = task_most_rows(task);
    if (took_ns > BATCH_LONG_NS) {
        int64_t rows = (int64_t)task->batch_rows * (BATCH_LONG_NS / 4) / took_ns;
        task->batch_rows = rows > 1 ? (uint32_t)rows : 1;
    } else if (task->batch_rows < most && took_ns < BATCH_LONG_NS / 4) {
        task->batch_rows = task->batch_rows * 2 < most ? task->batch_rows * 2 : most;
    }
}

/* The row of this offset is one that the pipeline leaves out; its reason, or NULL. */
static const char *reason_to_skip(const struct task *task, int64_t offset)
{
    for (uint32_t i = 0; i < task->fate.skip_count; i++)
        if (task->fate.skips[i].offset == offset)
            return task->fate.skips[i].reason;
    return NULL;
}

/* Whether a failure is the row's own: it would fail again, anywhere, and other rows would not. What
 * is short, broken or stopped around it is not. */
static bool is_of_the_row(const struct task *task, int code)
{
    if (code == ERR_TOO_LARGE || code == ERR_INVALID || code == ERR_RANGE ||
        code == ERR_UNSUPPORTED)
        return true;
    if (code != ERR_CORRUPT || task->stage->input == INPUT_ROWS)
        return false;
    if (!task->fate.row_is_alone)
        return true;
    return task->stage->input == INPUT_CROSSED ? !task_crossed_is_sound(task)
                                               : !partial_is_sound(task, &task->rows[0]);
}

static int process(struct task *task, uint32_t count, int64_t next)
{
    struct task_fate *fate = &task->fate;
    const char *reason = __builtin_expect(fate->skip_count > 0, 0) && count == 1
                             ? reason_to_skip(task, task->rows[0].offset)
                             : NULL;
    if (reason != NULL)
        return task_leave_out(task, &task->rows[0], reason);
    int rc = __builtin_expect(task->shared != NULL, 0) ? process_shared(task, count)
             : task->stage->input == INPUT_ROWS        ? process_rows(task, count)
             : task->stage->input == INPUT_PARTIALS    ? process_partials(task, count)
             : task->stage->input == INPUT_SIDES       ? process_sides(task, count)
                                                       : task_process_crossed(task, count);
    if (__builtin_expect(rc < 0, 0)) {
        fate->failed_from = task->rows[0].offset;
        fate->failed_to = next;
        fate->row_is_alone = count == 1;
        fate->row_failed =
            is_of_the_row(task, rc) && (task->tables == NULL || !task->tables->has_failed);
    }
    return rc;
}

/* Nothing comes because a pipeline that this one lives on, directly or not, is paused: that is not
 * being idle. */
static bool upstream_is_paused(const struct plan *plan, const struct stage *stage)
{
    for (uint32_t i = 0; i < stage->upstream_count; i++) {
        const struct stage *upstream = &plan->stages[(uint32_t)stage->upstream + i];
        if (atomic_load(&upstream->view->sink->is_paused) || upstream_is_paused(plan, upstream))
            return true;
    }
    return false;
}

static int found_nothing(struct task *task)
{
    if (task->tables != NULL)
        task->tables->has_targets = false; /* they may have more by now */
    if (!upstream_is_paused(task->plan, task->stage))
        return task_idle(task);
    task->idle_since_ms = TIME_NONE;
    return 0;
}

/* What comes before the stream: as task_tables_poll. */
static int poll_tables(struct task *task, int64_t *target, struct diag *diag)
{
    int64_t limit;
    int rc = task_tables_poll(task, *target, &limit, diag);
    if (rc < 0)
        task->fate.row_failed = false;
    if (limit < *target)
        *target = limit;
    return rc;
}

int task_begin_poll(struct task *task, int64_t *target, struct diag *diag)
{
    *target = atomic_load(&task->end_target);
    if (__builtin_expect(task->tables != NULL, 0)) {
        int rc = poll_tables(task, target, diag);
        if (rc != 0)
            return rc == TABLES_WAIT ? 0 : rc;
    }
    if (__builtin_expect(task->meet_at > 0, 0) && task->meet_at < *target)
        *target = task->meet_at;
    if (task->position >= *target)
        return 0;
    task->diag = diag;
    task->now_ms = clock_wall_ms();
    return POLL_ROWS;
}

/* A task whose rows came by a shared read has none of its own. */
static int open_reader(struct task *task)
{
    return task->port->ops->reader_open(task->port, task->stage->input_topic, task->partition,
                                        task->position, &task->reader, task->diag);
}

static void close_reader(struct task *task)
{
    task->port->ops->reader_close(task->reader);
    task->reader = NULL;
}

/* The rows of a read that went up to next; those at or above target are left for later. */
static int take_rows(struct task *task, uint32_t count, int64_t next, int64_t target)
{
    struct diag *diag = task->diag;
    int rc = 0;
    while (count > 0 && task->rows[count - 1].offset >= target)
        count--;
    if (count > 0) {
        rc = process(task, count, next);
        task->has_pending = true;
        task->rows_end = task->rows[count - 1].offset + 1;
        task->idle_since_ms = TIME_NONE;
    }
    if (rc < 0)
        return diag != NULL && diag->code == rc
                   ? rc
                   : diag_set(diag, rc, "stage %s, %s-%d at offset %lld: %s", task->stage->name,
                              task->stage->input_topic, (int)task->partition,
                              (long long)task->position, error_text(rc));
    task->position = next < target ? next : target;
    task->moved = true;
    task_apply_markers(task);
    task_apply_marks(task);
    return 1;
}

int task_poll(struct task *task, struct diag *diag)
{
    uint32_t count;
    int64_t next, target;
    int rc = task_begin_poll(task, &target, diag);
    if (rc != POLL_ROWS)
        return rc;
    if (__builtin_expect(task->reader == NULL, 0))
        TRY(open_reader(task));
    bool careful = __builtin_expect(task->position < task->fate.careful_until, 0);
    rc = task->port->ops->reader_read(task->reader, task->rows, careful ? 1 : task->batch_rows,
                                      &count, &next, diag);
    if (rc == ERR_RANGE)
        return task_lost_records(task,
                                 diag); /* retention overtook us: nothing is skipped in silence */
    TRY(rc);
    if (next == task->position)
        return found_nothing(task);
    TRY(take_rows(task, count, next, target));
    if (__builtin_expect(next > target, 0))
        close_reader(task); /* what was read beyond is read again, when there is an again */
    return 1;
}

int task_found_nothing(struct task *task, struct diag *diag)
{
    task->diag = diag;
    return found_nothing(task);
}

int task_take_read(struct task *task, const struct shared_read *read, struct diag *diag)
{
    struct source_row *own = task->rows;
    close_reader(task);
    task->diag = diag;
    task->rows = read->rows;
    task->shared = read;
    int rc = take_rows(task, read->count, read->next, INT64_MAX);
    task->rows = own;
    task->shared = NULL;
    return rc;
}
