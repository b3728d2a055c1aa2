/* view_source.c: stores, and the rest of their changelogs (see view_source.h).
 *
 * A commit is one transaction: the changelog's records and the progress record that says where the changelog ends with it. Readers see it
 * topic by topic, within microseconds and in no order that could be relied on. So a part is cut at what a progress record says:
 *
 *   1. a snapshot of the store. It holds the changelog up to its position, and perhaps of some keys more (a checkpoint that
 *      is being written in slices), but nothing beyond `seen`, where the changelog's committed end is after it was taken;
 *   2. the changelog from where the tail ends to `seen`;
 *   3. the latest progress record of the task, which says `end`. As long as there is a change at or above `end` and below `seen`, its
 *      commit's progress is not there yet, and as long as `end` is above what was read, neither is all of the changelog: again from 2;
 *   4. the tail below `end` over the snapshot is the state as of that record.
 *
 * What is read is committed, so durable, and whole; the job that writes it takes no part. The tail is kept, and the next part reads what came since.
 *
 * Compaction removes a record when its key came again, and could take one from below `end` for one above it. So `seen` is at least
 * where compaction has come to.
 *
 * A store that cannot be used, because it is another changelog's, or has missed deletions, or is not there, is left alone and the whole changelog
 * read, when its job does not run: what a restart would rebuild it from (store.c has the same rules). */
#include "runtime/view_source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/progress.h"
#include "runtime/store.h"

enum { TAIL_ROWS = 1024, POLL_NS = 200000 };

/* The latest progress record of one partition's task. */
struct told_progress {
    struct buf key, value; /* value: as it was read; empty: none */
    bool is_new;           /* and not decoded yet */
    int64_t end, position;
    struct view_time time;
};

struct source_part {
    pthread_mutex_t mutex; /* of making parts of it; taken before the progress' */
    bool is_begun;
    struct state *own; /* of a job that does not run */
    char path[4096];
    struct view_tail tail;
    int64_t from, next; /* changelog offsets: the tail has what lies between */
};

struct view_source {
    struct port *port;
    const char *data;
    bool runs;
    struct store_view_names names;
    struct store_view *store_view;
    char changelog[TOPIC_NAME_BYTES], progress_topic[TOPIC_NAME_BYTES];
    uint8_t changelog_id[16];
    int32_t partition_count;
    struct source_part *parts;
    size_t memory_bytes;
    atomic_size_t used_bytes;
    atomic_bool wants_checkpoint;
    pthread_mutex_t mutex; /* of what is below */
    int64_t progress_next; /* −1: nothing was read */
    struct told_progress *told;
};

const struct view *view_source_view(const struct view_source *source)
{
    return store_view_plan(source->store_view);
}

const struct store_view_names *view_source_names(const struct view_source *source)
{
    return &source->names;
}

struct port *view_source_port(const struct view_source *source)
{
    return source->port;
}

int32_t view_source_partitions(const struct view_source *source)
{
    return source->partition_count;
}

bool view_source_runs(const struct view_source *source)
{
    return source->runs;
}

/* ---- opening ---- */

static int make_parts(struct view_source *source, struct diag *diag)
{
    size_t count = (size_t)source->partition_count;
    source->parts = calloc(count, sizeof *source->parts);
    source->told = calloc(count, sizeof *source->told);
    if (source->parts == NULL || source->told == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a view of %d partitions",
                        (int)source->partition_count);
    for (int32_t i = 0; i < source->partition_count; i++)
        pthread_mutex_init(&source->parts[i].mutex, NULL);
    for (int32_t i = 0; i < source->partition_count; i++) {
        struct progress task = {.partition = i};
        struct told_progress *told = &source->told[i];
        snprintf(task.stage, sizeof task.stage, "%s", source->names.topic);
        progress_key(&task, &told->key);
        told->time = (struct view_time){TIME_NONE, INT64_MIN};
        told->position = -1;
        if (!buf_ok(&told->key))
            return diag_set(diag, ERR_NOMEM, "no memory to read a view");
        TRY(store_path(source->data, source->names.app, source->names.topic, i,
                       source->parts[i].path, sizeof source->parts[i].path, diag));
    }
    return 0;
}

static int find_changelog(struct view_source *source, struct diag *diag)
{
    struct port_topic info;
    TRY(plan_changelog_name(source->names.app, source->names.topic, source->changelog, diag));
    snprintf(source->progress_topic, sizeof source->progress_topic, "%.200s-progress",
             source->names.app);
    int rc = source->port->ops->topic_describe(source->port, source->changelog, &info, diag);
    if (rc == ERR_NOT_FOUND)
        return diag_set(diag, ERR_STATE,
                        "the state of view %s is gone: there is no topic %s\nhint: the job was "
                        "reset, or the topic deleted; run it again",
                        source->names.topic, source->changelog);
    TRY(rc);
    source->partition_count = info.partitions;
    memcpy(source->changelog_id, info.id, sizeof source->changelog_id);
    return make_parts(source, diag);
}

int view_source_open(struct port *port, const char *data, const struct view_place *place, bool runs,
                     size_t memory_bytes, struct view_source **result, struct diag *diag)
{
    struct view_source *source = calloc(1, sizeof *source);
    *result = NULL;
    if (source == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    source->port = port;
    source->data = data;
    source->runs = runs;
    source->names = place->names;
    source->memory_bytes = memory_bytes;
    source->progress_next = -1;
    pthread_mutex_init(&source->mutex, NULL);
    int rc = store_view_open(place->dir, &source->store_view, diag);
    if (rc == 0)
        rc = find_changelog(source, diag);
    if (rc < 0) {
        view_source_close(source);
        return rc;
    }
    *result = source;
    return 0;
}

void view_source_close(struct view_source *source)
{
    if (source == NULL)
        return;
    for (int32_t i = 0; source->parts != NULL && i < source->partition_count; i++) {
        state_close(source->parts[i].own);
        view_tail_deinit(&source->parts[i].tail);
        pthread_mutex_destroy(&source->parts[i].mutex);
    }
    for (int32_t i = 0; source->told != NULL && i < source->partition_count; i++) {
        buf_deinit(&source->told[i].key);
        buf_deinit(&source->told[i].value);
    }
    free(source->parts);
    free(source->told);
    store_view_close(source->store_view);
    pthread_mutex_destroy(&source->mutex);
    free(source);
}

/* ---- progress ---- */

/* Of one record in many: only the latest of a task is worth decoding. */
static int note_progress(struct view_source *source, const struct source_row *row)
{
    for (int32_t i = 0; i < source->partition_count; i++) {
        struct told_progress *told = &source->told[i];
        if (!bytes_equal(row->key, bytes_of(told->key.data, told->key.size)))
            continue;
        buf_clear(&told->value);
        buf_append_bytes(&told->value, row->value);
        told->is_new = true;
        return buf_ok(&told->value) ? 0 : ERR_NOMEM;
    }
    return 0;
}

static int read_progress_rows(struct view_source *source, struct port_reader *reader,
                              struct source_row *rows, struct diag *diag)
{
    for (;;) {
        uint32_t count;
        int64_t next;
        TRY(source->port->ops->reader_read(reader, rows, TAIL_ROWS, &count, &next, diag));
        for (uint32_t i = 0; i < count; i++)
            if (note_progress(source, &rows[i]) < 0)
                return diag_set(diag, ERR_NOMEM, "no memory to read progress");
        if (next == source->progress_next)
            return 0;
        source->progress_next = next;
    }
}

/* To its end, from where it was read last. */
static int read_progress(struct view_source *source, struct diag *diag)
{
    const struct port_ops *ops = source->port->ops;
    struct port_reader *reader;
    struct port_range range;
    TRY(ops->range(source->port, source->progress_topic, 0, &range, diag));
    if (source->progress_next < range.start)
        source->progress_next = range.start;
    if (source->progress_next >= range.stable)
        return 0;
    TRY(ops->reader_open(source->port, source->progress_topic, 0, source->progress_next, &reader,
                         diag));
    struct source_row *rows = malloc(TAIL_ROWS * sizeof *rows);
    int rc = rows != NULL ? read_progress_rows(source, reader, rows, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to read progress");
    free(rows);
    ops->reader_close(reader);
    return rc;
}

static int decode_progress(struct told_progress *told, struct diag *diag)
{
    struct progress task;
    told->is_new = false;
    told->end = 0;
    told->position = -1;
    told->time = (struct view_time){TIME_NONE, INT64_MIN};
    if (told->value.size == 0) /* a tombstone: the stage was started anew */
        return 0;
    TRY(progress_decode(bytes_of(told->key.data, told->key.size),
                        bytes_of(told->value.data, told->value.size), &task, diag));
    if (!task.is_reset && !task.is_begin) {
        told->end = task.changelog_end;
        told->position = task.position;
        told->time = (struct view_time){task.watermark_ms, task.closed_before_ms};
    }
    progress_deinit(&task);
    return 0;
}

/* The task's latest record; part: its time and position. */
static int ask_progress(struct view_source *source, int32_t partition, int64_t *end,
                        struct view_part *part, struct diag *diag)
{
    struct told_progress *told = &source->told[partition];
    pthread_mutex_lock(&source->mutex);
    int rc = read_progress(source, diag);
    if (rc == 0 && told->is_new)
        rc = decode_progress(told, diag);
    *end = told->end;
    part->time = told->time;
    part->position = told->position;
    pthread_mutex_unlock(&source->mutex);
    return rc;
}

/* ---- the store ---- */

/* Of a job that does not run: the store when it is one that can be gone on from. */
static int open_own(struct view_source *source, struct source_part *own, int32_t number,
                    const struct port_range *range, struct diag *diag)
{
    static const uint8_t none[16];
    struct state_options options = {.must_exist = true, .read_only = true};
    struct state_position position;
    const struct store_view *view = source->store_view;
    int rc = state_open(own->path, store_view_state_hash(view), &options, &own->own, diag);
    if (rc == ERR_STATE)
        rc = state_open(own->path, store_view_plan_hash(view), &options, &own->own, diag);
    if (rc == ERR_STATE || rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
        return 0;
    TRY(rc);
    state_position(own->own, &position);
    state_release(own->own);
    if (memcmp(position.topic_id, none, sizeof none) == 0)
        return 0;
    bool is_other = memcmp(position.topic_id, source->changelog_id, sizeof none) != 0;
    bool has_missed = position.offset < range->start ||
                      (position.offset > range->start && position.offset < range->complete_from);
    if (is_other || has_missed) {
        state_close(own->own);
        own->own = NULL;
        return 0;
    }
    if (position.offset > range->stable)
        return diag_set(diag, ERR_CORRUPT,
                        "store %s is ahead of its changelog: it holds %s-%d up to offset %lld, but "
                        "the committed changelog ends at %lld",
                        own->path, source->changelog, (int)number, (long long)position.offset,
                        (long long)range->stable);
    return 0;
}

static void forget(struct view_source *source, struct source_part *own)
{
    atomic_fetch_sub(&source->used_bytes, view_tail_bytes(&own->tail));
    view_tail_deinit(&own->tail);
    own->is_begun = false;
}

static int not_open(const struct view_source *source, int32_t number, struct diag *diag)
{
    return diag_set(diag, ERR_STOPPED,
                    "partition %d of view %s is not open: its state is being restored, or its "
                    "pipeline is stopped\nhint: /readyz and /api/v1/pipelines/%s say which",
                    (int)number, source->names.topic, source->names.topic);
}

/* A snapshot of the store, if there is one; *stored: the changelog below it is in there. */
static int take_store(struct view_source *source, int32_t number, struct view_part *part,
                      int64_t *stored, struct diag *diag)
{
    static const uint8_t none[16];
    struct source_part *own = &source->parts[number];
    struct port_range range;
    TRY(source->port->ops->range(source->port, source->changelog, number, &range, diag));
    *stored = range.start;
    if (!source->runs && !own->is_begun && own->own == NULL)
        TRY(open_own(source, own, number, &range, diag));
    if (!source->runs && own->own == NULL)
        return 0;
    int rc = state_reader_open(own->path, &part->state, diag);
    if (rc == ERR_NOT_FOUND)
        return not_open(source, number, diag);
    TRY(rc);
    struct state_position position = state_reader_position(part->state);
    if (memcmp(position.topic_id, none, sizeof none) == 0)
        return 0;
    if (memcmp(position.topic_id, source->changelog_id, sizeof none) != 0)
        return not_open(source, number, diag);
    if (position.offset > range.start)
        *stored = position.offset;
    return 0;
}

/* ---- the changelog ---- */

bool view_source_wants_checkpoint(struct view_source *source)
{
    return atomic_exchange(&source->wants_checkpoint, false);
}

static int no_room(struct view_source *source, int32_t partition, struct diag *diag)
{
    atomic_store(&source->wants_checkpoint, true);
    const char *hint = source->runs ? "ask again after the next checkpoint, or for a part of it"
                                    : "run the job once, which brings its stores up to their "
                                      "changelogs, or give the question more memory";
    return diag_set(diag, ERR_NOMEM,
                    "what the changelog %s-%d holds beyond its store takes more than %zu MB\n"
                    "hint: %s",
                    source->changelog, (int)partition, source->memory_bytes >> 20, hint);
}

/* The tail counts against the source's memory; when that is full, what newer changes have replaced is thrown away. */
static int account(struct view_source *source, int32_t number, size_t before, int64_t end,
                   int64_t stored, struct diag *diag)
{
    struct view_tail *tail = &source->parts[number].tail;
    size_t now = view_tail_bytes(tail);
    atomic_fetch_add(&source->used_bytes, now - before);
    if (atomic_load(&source->used_bytes) <= source->memory_bytes)
        return 0;
    int rc = view_tail_settle(tail, end, stored, true);
    atomic_fetch_add(&source->used_bytes, view_tail_bytes(tail) - now);
    /* So much less that it is not to be done again after the next few. */
    return rc == 0 && atomic_load(&source->used_bytes) <= source->memory_bytes / 8 * 7
               ? 0
               : no_room(source, number, diag);
}

/* No memory in the middle of a change to the tail: what it has come to counts, and is forgotten as a whole. */
static int give_up(struct view_source *source, int32_t number, size_t before, struct diag *diag)
{
    atomic_fetch_add(&source->used_bytes, view_tail_bytes(&source->parts[number].tail) - before);
    return no_room(source, number, diag);
}

/* Reads to `until`, or to what is there. settled: below it the tail may throw away what was replaced. */
static int read_rows(struct view_source *source, int32_t number, struct port_reader *reader,
                     struct source_row *rows, int64_t until, int64_t settled, int64_t stored,
                     struct diag *diag)
{
    struct source_part *own = &source->parts[number];
    while (own->next < until) {
        uint32_t count;
        int64_t next;
        size_t before = view_tail_bytes(&own->tail);
        TRY(source->port->ops->reader_read(reader, rows, TAIL_ROWS, &count, &next, diag));
        if (count == 0 && next == own->next)
            return 0;
        for (uint32_t i = 0; i < count; i++)
            if (view_tail_hold(&own->tail, rows[i].key, rows[i].value, rows[i].offset) < 0)
                return give_up(source, number, before, diag);
        own->next = next;
        TRY(account(source, number, before, settled < next ? settled : next, stored, diag));
    }
    return 0;
}

static int read_changelog(struct view_source *source, int32_t number, int64_t until,
                          int64_t settled, int64_t stored, struct diag *diag)
{
    const struct port_ops *ops = source->port->ops;
    struct source_part *own = &source->parts[number];
    struct port_reader *reader;
    if (own->next >= until)
        return 0;
    TRY(ops->reader_open(source->port, source->changelog, number, own->next, &reader, diag));
    struct source_row *rows = malloc(TAIL_ROWS * sizeof *rows);
    int rc = rows != NULL ? read_rows(source, number, reader, rows, until, settled, stored, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to read %s", source->changelog);
    free(rows);
    ops->reader_close(reader);
    return rc;
}

/* The tail goes on from where it ended, unless the store is another one than it was. */
static void begin_tail(struct view_source *source, struct source_part *own, int64_t stored)
{
    if (own->is_begun && own->from <= stored && stored <= own->next)
        return;
    if (own->is_begun)
        forget(source, own);
    own->is_begun = true;
    own->from = own->next = stored;
}

/* Of what was held and is not in a run: whether a change at or above end lies below seen. */
static bool is_behind(const struct source_part *own, int64_t end, int64_t seen)
{
    for (size_t i = own->tail.held_count; i-- > 0 && own->tail.held[i].offset >= end;)
        if (own->tail.held[i].offset < seen)
            return true;
    return false;
}

/* Until the tail and the progress record are of one commit: *end. */
static int catch_up(struct view_source *source, int32_t number, struct view_part *part,
                    int64_t stored, int64_t *end, struct diag *diag)
{
    struct source_part *own = &source->parts[number];
    int64_t until_ns = clock_mono_ns() + (int64_t)VIEW_SETTLE_MS * 1000000;
    struct port_range range;
    TRY(source->port->ops->range(source->port, source->changelog, number, &range, diag));
    int64_t seen = range.stable;
    TRY(ask_progress(source, number, end, part, diag));
    for (;;) {
        TRY(read_changelog(source, number, seen, *end, stored, diag));
        TRY(ask_progress(source, number, end, part, diag));
        TRY(read_changelog(source, number, *end, *end, stored, diag));
        TRY(source->port->ops->range(source->port, source->changelog, number, &range, diag));
        if (range.compacted_to > seen)
            seen = range.compacted_to;
        if (own->next >= *end && own->next >= seen && !is_behind(own, *end, seen))
            return 0;
        if (clock_mono_ns() > until_ns)
            return diag_set(diag, ERR_TIMEOUT,
                            "what was committed to %s-%d is not all to be seen after %d ms",
                            source->changelog, (int)number, VIEW_SETTLE_MS);
        clock_sleep_until(clock_mono_ns() + POLL_NS);
    }
}

/* The same of a job that does not run: to the end of its changelog, once. */
static int read_all(struct view_source *source, int32_t number, struct view_part *part,
                    int64_t stored, int64_t *end, struct diag *diag)
{
    struct port_range range;
    TRY(source->port->ops->range(source->port, source->changelog, number, &range, diag));
    TRY(read_changelog(source, number, range.stable, INT64_MAX, stored, diag));
    TRY(ask_progress(source, number, end, part, diag));
    *end = INT64_MAX;
    return 0;
}

/* ---- parts ---- */

static int take(struct view_source *source, int32_t number, struct view_part *part,
                struct diag *diag)
{
    struct source_part *own = &source->parts[number];
    int64_t stored, end;
    TRY(take_store(source, number, part, &stored, diag));
    begin_tail(source, own, stored);
    TRY(source->runs ? catch_up(source, number, part, stored, &end, diag)
                     : read_all(source, number, part, stored, &end, diag));
    size_t before = view_tail_bytes(&own->tail);
    if (view_tail_settle(&own->tail, end, stored, false) < 0)
        return give_up(source, number, before, diag);
    TRY(account(source, number, before, end, stored, diag));
    own->from = stored; /* what is below it may have been dropped */
    tail_runs_take(&own->tail, &part->rest);
    return 0;
}

int view_source_take(struct view_source *source, int32_t number, struct view_part *part,
                     struct diag *diag)
{
    struct source_part *own = &source->parts[number];
    *part = (struct view_part){.state = NULL};
    pthread_mutex_lock(&own->mutex);
    int rc = take(source, number, part, diag);
    if (rc < 0 && rc != ERR_STOPPED)
        forget(source, own); /* the next one begins anew */
    pthread_mutex_unlock(&own->mutex);
    if (rc < 0)
        view_part_release(part);
    return rc;
}

void view_part_release(struct view_part *part)
{
    state_reader_close(part->state);
    tail_runs_give_back(&part->rest);
    *part = (struct view_part){.state = NULL};
}
