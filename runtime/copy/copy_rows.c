/* copy_rows.c: see copy_rows.h.
 *
 * The steps are operators like those of any task, and the chain drives them; what a task does around its chain is done here for rows that no topic holds. Fields
 * become columns of text, which the pipeline's casts read; a row of JSON is decoded as a record's value is. What leaves the last step is encoded by the
 * output's format, under the key that the last columns are.
 *
 * A bad row becomes a dead letter: the row's bytes, its file and line, and what was wrong. It has no source record, so that nothing will ever write it back: who mends it
 * copies it again.
 *
 * Rows without a key go to the partitions in turn, by their number in the file: whoever reads it again puts each where it was. */
#include "runtime/copy/copy_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/topic_use.h"

static int no_memory(struct copy_rows *rows)
{
    return diag_set(rows->diag, ERR_NOMEM, "no memory to copy %s", rows->job->path);
}

static struct bytes view_of(const struct buf *buf)
{
    return bytes_of(buf->data != NULL ? (const void *)buf->data : "", buf->size);
}

/* What failed, at the row that it failed for. */
static int fail_at(struct copy_rows *rows, const struct copy_row *row, int code)
{
    char why[sizeof rows->diag->text];
    snprintf(why, sizeof why, "%s", rows->diag->text);
    return diag_set(rows->diag, code, "%s, line %" PRId64 ": %s", rows->job->path, row->line, why);
}

/* ---- bad rows ---- */

static int open_dead(struct copy_rows *rows)
{
    struct port_topic info;
    const char *topic = rows->plan->dlq_topic;
    TRY(topic_ensure(rows->port, topic, rows->partitions, USE_ASIDE, NULL, NULL, &info,
                     rows->diag));
    TRY(rows->port->ops->out_open(rows->port, topic, 0, &rows->dead, rows->diag));
    rows->outs_changed = true;
    return 0;
}

static void add_header(struct copy_rows *rows, const char *name, const char *text)
{
    port_header_add(&rows->headers, name, bytes_text(text));
}

static int keep_bad_row(struct copy_rows *rows, const struct copy_row *row, const char *error_class,
                        const char *message)
{
    enum { HEADERS = 5 };
    char line[24], stage[TOPIC_NAME_BYTES + 8];
    rows->bad_rows++;
    if (rows->job->fails_on_bad_row) {
        diag_set(rows->diag, ERR_INVALID, "a bad row (%s: %s)", error_class, message);
        return fail_at(rows, row, ERR_INVALID);
    }
    if (rows->dead == NULL)
        TRY(open_dead(rows));
    snprintf(line, sizeof line, "%" PRId64, row->line);
    snprintf(stage, sizeof stage, "copy:%s", rows->job->topic);
    buf_clear(&rows->headers);
    add_header(rows, "weir.copy.file", rows->job->file);
    add_header(rows, "weir.copy.line", line);
    add_header(rows, "weir.stage", stage);
    add_header(rows, "weir.error.class", error_class);
    add_header(rows, "weir.error.message", message);
    if (!buf_ok(&rows->headers))
        return no_memory(rows);
    rows->pending_bytes += row->text.size + rows->headers.size;
    return rows->port->ops->out_add(rows->dead, rows->now_ms, (struct bytes){NULL, 0}, row->text,
                                    view_of(&rows->headers), HEADERS, rows->diag);
}

/* Of several things that are wrong with a row the first counts; letters in the order of the file. */
static int keep_bad_rows(struct copy_rows *rows)
{
    const struct reject_list *rejects = &rows->chain.rejects;
    if (rejects->count == 0)
        return 0;
    const struct reject **first =
        arena_zalloc(&rows->chain.arena, rows->current_count * sizeof *first);
    if (first == NULL)
        return no_memory(rows);
    for (uint32_t i = 0; i < rejects->count; i++)
        if (first[rejects->items[i].row] == NULL)
            first[rejects->items[i].row] = &rejects->items[i];
    for (uint32_t row = 0; row < rows->current_count; row++)
        if (first[row] != NULL)
            TRY(keep_bad_row(rows, &rows->current[row], first[row]->error_class,
                             first[row]->message));
    return 0;
}

/* ---- good rows ---- */

/* The event time when the row has one, as a record's timestamp can say it. */
static int64_t time_of(const struct copy_rows *rows, const struct batch *batch, uint32_t row)
{
    int32_t at = rows->job->time_column;
    if (at < 0 || column_is_null(&batch->columns[at], row))
        return rows->time_ms;
    int64_t time_ms = batch->columns[at].i64[column_at(&batch->columns[at], row)];
    return time_ms < 0 ? 0 : time_ms > rows->now_ms ? rows->now_ms : time_ms;
}

/* The record's key and the partition that it decides. */
static int place_row(struct copy_rows *rows, const struct batch *batch, uint32_t row,
                     struct bytes *key, int32_t *partition)
{
    const struct view *view = rows->view;
    *key = (struct bytes){NULL, 0};
    if (view->rekey == NULL) {
        *partition = (int32_t)((rows->rows + rows->bad_rows + row) % rows->partitions);
        return 0;
    }
    buf_clear(&rows->key);
    json_encode_key(&rows->key, view->key_names,
                    &batch->columns[batch->column_count - view->rekey->count], row, false);
    if (!buf_ok(&rows->key))
        return no_memory(rows);
    *key = view_of(&rows->key);
    *partition = murmur2_partition(key->data, key->size, rows->partitions);
    return 0;
}

/* The record's value. ERR_INVALID: it has none, and encoding->problem says why. */
static int encode_row(struct copy_rows *rows, struct encoding *encoding, uint32_t row,
                      struct bytes *value)
{
    *value = rows->current[row].text;
    if (rows->job->passes_rows)
        return 0;
    buf_clear(&rows->value);
    encoding->is_null = false;
    int rc = rows->view->format->encode(encoding, row);
    if (rc == ERR_INVALID)
        return rc;
    if (rc < 0 || !buf_ok(&rows->value))
        return no_memory(rows);
    *value = encoding->is_null ? (struct bytes){NULL, 0} : view_of(&rows->value);
    return 0;
}

static int take_row(struct copy_rows *rows, const struct batch *batch, struct encoding *encoding,
                    uint32_t row)
{
    struct bytes key, value;
    int32_t partition = 0;
    int rc = encode_row(rows, encoding, row, &value);
    if (rc == ERR_INVALID)
        return reject_add(&rows->chain.rejects, row, "encode", "%s", encoding->problem);
    TRY(rc);
    TRY(place_row(rows, batch, row, &key, &partition));
    rows->pending_bytes += key.size + value.size + 16;
    rc = rows->port->ops->out_add(rows->outs[partition], time_of(rows, batch, row), key, value,
                                  (struct bytes){NULL, 0}, 0, rows->diag);
    return rc < 0 ? fail_at(rows, &rows->current[row], rc) : 0;
}

static int take_rows(void *context, const struct batch *batch)
{
    struct copy_rows *rows = context;
    const struct view *view = rows->view;
    struct encoding encoding = {.view = view,
                                .columns = batch->columns + view->first_value,
                                .count = view->column_count - view->first_value,
                                .arena = &rows->chain.arena,
                                .out = &rows->value};
    for (uint32_t i = 0; i < batch->selected_count; i++)
        TRY(take_row(rows, batch, &encoding, batch_row(batch, i)));
    return 0;
}

/* ---- rows to columns ---- */

/* Each field a column of text; a row that has no fields is rejected. */
static int split_rows(struct copy_rows *rows, struct column *columns)
{
    const struct copy_syntax *syntax = &rows->job->syntax;
    struct arena *arena = &rows->chain.arena;
    struct bytes *fields = arena_alloc(arena, (syntax->column_count + 1) * sizeof *fields);
    if (fields == NULL)
        return no_memory(rows);
    for (uint32_t c = 0; c < syntax->column_count; c++)
        if (column_alloc(&columns[c], COL_TEXT, rows->current_count, true, arena) < 0)
            return no_memory(rows);
    for (uint32_t row = 0; row < rows->current_count; row++) {
        struct copy_problem problem;
        int rc = copy_row_fields(syntax, rows->current[row].text, arena, fields, &problem);
        bool is_good = rc == 0;
        if (rc == ERR_INVALID)
            rc = reject_add(&rows->chain.rejects, row, problem.error_class, "%s", problem.message);
        if (rc < 0)
            return no_memory(rows);
        for (uint32_t c = 0; c < syntax->column_count; c++) {
            columns[c].text[row] = is_good ? fields[c] : (struct bytes){NULL, 0};
            columns[c].nulls[row] = columns[c].text[row].data == NULL;
        }
    }
    return 0;
}

static int decode_rows(struct copy_rows *rows, const struct source_row *sources,
                       struct column *columns)
{
    for (uint32_t row = 0; row < rows->current_count; row++) {
        struct copy_problem problem;
        if (copy_row_check(rows->current[row].text, &problem) < 0 &&
            reject_add(&rows->chain.rejects, row, problem.error_class, "%s", problem.message) < 0)
            return no_memory(rows);
    }
    struct decoding decoding = {.view = rows->view,
                                .state = rows->decoder,
                                .rows = sources,
                                .count = rows->current_count,
                                .arena = &rows->chain.arena,
                                .columns = columns,
                                .rejects = &rows->chain.rejects};
    return format_decode(&decoding) < 0 ? no_memory(rows) : 0;
}

static int push_rows(struct copy_rows *rows)
{
    struct chain *chain = &rows->chain;
    uint32_t count = rows->current_count;
    TRY(chain_begin(chain, rows->diag));
    struct column *columns = arena_zalloc(&chain->arena, format_room(rows->view) * sizeof *columns);
    struct source_row *sources = arena_zalloc(&chain->arena, count * sizeof *sources);
    if (columns == NULL || sources == NULL)
        return no_memory(rows);
    for (uint32_t row = 0; row < count; row++)
        sources[row] = (struct source_row){.offset = rows->current[row].line,
                                           .timestamp_ms = rows->time_ms,
                                           .value = rows->current[row].text};
    TRY(rows->job->syntax.format == COPY_JSON ? decode_rows(rows, sources, columns)
                                              : split_rows(rows, columns));
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = format_column_count(rows->view),
                          .source = sources,
                          .arena = &chain->arena};
    TRY(batch_drop_rejected(&batch, &chain->rejects, 0, &chain->arena));
    return chain_push(chain, &batch);
}

int copy_rows_add(struct copy_rows *rows, const struct copy_row *from, uint32_t count,
                  struct diag *diag)
{
    int64_t bad_rows = rows->bad_rows;
    must(count <= BATCH_ROWS);
    rows->current = from;
    rows->current_count = count;
    rows->diag = diag;
    int rc = push_rows(rows);
    if (rc == 0)
        rc = keep_bad_rows(rows);
    rows->rows += count - (rows->bad_rows - bad_rows);
    return rc;
}

/* ---- life ---- */

static int open_outs(struct copy_rows *rows, int32_t partitions, struct diag *diag)
{
    rows->outs = calloc((size_t)partitions, sizeof *rows->outs);
    if (rows->outs == NULL)
        return no_memory(rows);
    for (; rows->partitions < partitions; rows->partitions++)
        TRY(rows->port->ops->out_open(rows->port, rows->job->topic, rows->partitions,
                                      &rows->outs[rows->partitions], diag));
    rows->outs_changed = true;
    return 0;
}

int copy_rows_open(struct copy_rows *rows, const struct copy_job *job, struct port *port,
                   int32_t partitions, struct diag *diag)
{
    *rows = (struct copy_rows){.job = job, .port = port, .diag = diag, .now_ms = clock_wall_ms()};
    buf_init(&rows->key, 0);
    buf_init(&rows->value, 0);
    buf_init(&rows->headers, 0);
    TRY(plan_compile(job->app, &rows->plan, diag));
    rows->view = &rows->plan->views[0];
    rows->env =
        (struct op_env){.partition_count = 1, .closed_before_ms = INT64_MIN, .context = rows};
    rows->chain.sink = take_rows;
    rows->chain.context = rows;
    TRY(format_open(rows->view, &rows->decoder, diag));
    TRY(chain_open(&rows->chain, rows->view->ops, rows->view->op_count, &rows->env, diag));
    return open_outs(rows, partitions, diag);
}

void copy_rows_close(struct copy_rows *rows)
{
    for (int32_t p = 0; p < rows->partitions; p++)
        rows->port->ops->out_close(rows->outs[p]);
    if (rows->dead != NULL)
        rows->port->ops->out_close(rows->dead);
    free(rows->outs);
    chain_close(&rows->chain);
    if (rows->view != NULL)
        format_close(rows->view, rows->decoder);
    plan_destroy(rows->plan);
    buf_deinit(&rows->key);
    buf_deinit(&rows->value);
    buf_deinit(&rows->headers);
}
