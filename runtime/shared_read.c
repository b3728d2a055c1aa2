/* shared_read.c: see shared_read.h.
 *
 * The steps in common are operators without state (filter, check, map), so that the instances of this
 * chain do for every task what its own would do. The operators are those of the first task's plan:
 * equal verdicts mean equal texts over equal columns. The chain ends in a sink that keeps the batch.
 *
 * A failure of any kind closes the read: the next one begins anew, and until then each task reads,
 * and fails, by itself. */
#include "runtime/shared_read.h"

#include <stdlib.h>

#include "runtime/task.h"

static int keep_batch(void *context, const struct batch *batch)
{
    struct shared_read *read = context;
    read->batch = *batch;
    return 0;
}

static int open_parts(struct shared_read *read, struct diag *diag)
{
    const struct view *view = read->stage->view;
    read->is_open = true;
    read->rows = malloc(BATCH_ROWS * sizeof *read->rows);
    read->env =
        (struct op_env){.partition = read->partition, .partition_count = read->stage->partitions};
    TRY(chain_open(&read->chain, view->ops, read->stage->read_ops, &read->env, diag));
    read->chain.sink = keep_batch;
    read->chain.context = read;
    return read->rows != NULL ? format_open(view, &read->decoder, diag) : ERR_NOMEM;
}

void shared_read_close(struct shared_read *read)
{
    if (read->reader != NULL)
        read->port->ops->reader_close(read->reader);
    read->reader = NULL;
    if (!read->is_open)
        return;
    if (read->decoder != NULL)
        format_close(read->stage->view, read->decoder);
    chain_close(&read->chain);
    free(read->rows);
    read->chain = (struct chain){.count = 0};
    read->decoder = NULL;
    read->rows = NULL;
    read->is_open = false;
}

/* The reader stands at the offset. */
static int seek(struct shared_read *read, int64_t from, struct diag *diag)
{
    const struct port_ops *ops = read->port->ops;
    if (read->reader != NULL && read->position == from)
        return 0;
    if (read->reader != NULL)
        ops->reader_close(read->reader);
    read->reader = NULL;
    read->position = from;
    return ops->reader_open(read->port, read->stage->input_topic, read->partition, from,
                            &read->reader, diag);
}

/* All that is the same for every task: columns, times, and the steps in common. */
static int process(struct shared_read *read, struct diag *diag)
{
    const struct view *view = read->stage->view;
    struct chain *chain = &read->chain;
    struct column *columns;
    uint32_t count = read->count;
    TRY(chain_begin(chain, diag));
    chain->filtered_rows = 0;
    read->times = arena_alloc(&chain->arena, (count + 1) * sizeof *read->times);
    if (read->times == NULL)
        return ERR_NOMEM;
    TRY(task_decode(view, read->decoder, read->rows, count, chain, &columns, &read->gone));
    TRY(task_read_times(view, read->rows, columns, read->gone, count, read->times,
                        &chain->rejects));
    struct batch batch = {
        .row_count = count, .columns = columns, .event_time_ms = read->times, .source = read->rows};
    TRY(task_batch_rows(chain, view, &batch));
    read->batch = batch;
    read->batch.selected_count = 0; /* unless some are left */
    return chain_push(chain, &batch);
}

static int read_rows(struct shared_read *read, int64_t from, uint32_t max_rows, int64_t target,
                     struct diag *diag)
{
    if (!read->is_open)
        TRY(open_parts(read, diag));
    TRY(seek(read, from, diag));
    TRY(read->port->ops->reader_read(read->reader, read->rows, max_rows, &read->count, &read->next,
                                     diag));
    read->position = read->next;
    if (read->next == from)
        return 0;
    while (read->count > 0 && read->rows[read->count - 1].offset >= target)
        read->count--;
    if (read->next > target) {
        read->next = target;
        read->position = -1; /* what lies beyond is read again */
    }
    if (read->count > 0)
        TRY(process(read, diag));
    return 1;
}

int shared_read_next(struct shared_read *read, int64_t from, uint32_t max_rows, int64_t target,
                     struct diag *diag)
{
    int rc = read_rows(read, from, max_rows, target, diag);
    if (rc < 0)
        shared_read_close(read);
    return rc;
}
