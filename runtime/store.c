/* store.c: stores follow changelogs (see store.h).
 *
 * The store is a materialised prefix of its changelog partition, so there is one way to change it:
 * read committed changelog records from its position and apply them, in slices, each slice with the
 * position after it in the same LMDB transaction. A checkpoint is that act in the background every
 * few seconds; restoring after a crash is the same act for the tail; rebuilding a deleted store is
 * the same act from the start. Nothing hands memory from the worker to the checkpoint, and a store
 * cannot be newer than the committed changelog because only committed records can be read
 * (docs/decisions/checkpoint-follows-the-changelog.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/io.h"
#include "runtime/store.h"
#include "runtime/store_view.h"

enum { FOLLOW_ROWS = 1024 };

int store_path(const char *data, const char *app, const char *stage, int32_t partition, char *path,
               size_t size, struct diag *diag)
{
    int length = snprintf(path, size, "%s/state/%s/%s-%d", data, app, stage, (int)partition);
    return length > 0 && (size_t)length < size
               ? 0
               : diag_set(diag, ERR_TOO_LARGE, "the path of the data directory is too long: %s",
                          data);
}

/* The directory of a closed store, with the view that lies beside it. */
static int remove_directory(const char *path, struct diag *diag)
{
    TRY(store_view_remove(path, diag));
    return state_destroy(path, diag);
}

int store_remove(const char *data, const char *app, const char *stage, int32_t partition,
                 struct diag *diag)
{
    char path[4096];
    TRY(store_path(data, app, stage, partition, path, sizeof path, diag));
    return remove_directory(path, diag);
}

/* A store is marked with what its state means; older ones are marked with the texts of their plan. */
static int open_state(struct store *store, const char *path, const struct stage *stage,
                      struct diag *diag)
{
    struct state_options options = {.dirty_limit_bytes = store->dirty_limit_bytes};
    int rc = state_open(path, stage->state_hash, &options, &store->state, diag);
    if (rc == ERR_STATE)
        rc = state_open(path, stage->plan_hash, &options, &store->state, diag);
    if (rc != ERR_STATE && rc != ERR_CORRUPT)
        return rc;
    log_line('W', "store %s is rebuilt from %s-%d: %s", path, store->topic, (int)store->partition,
             diag != NULL ? diag->text : error_text(rc));
    TRY(remove_directory(path, diag));
    return state_open(path, stage->state_hash, &options, &store->state, diag);
}

/* 1: fine; 0: the store belongs to another changelog, or starts before what is left of it, or may
 * have missed deletions: rebuild; negative: refuse. */
static int check_position(struct store *store, const char *path, struct diag *diag)
{
    static const uint8_t none[16];
    struct state_position position;
    struct port_range range;
    state_position(store->state, &position);
    /* First: what is there after this stays there. */
    store->port->ops->keep_deletions(store->port, store->topic, store->partition, position.offset);
    TRY(store->port->ops->range(store->port, store->topic, store->partition, &range, diag));
    if (memcmp(position.topic_id, none, 16) == 0)
        return 1;
    store->applied_offset = position.offset;
    if (memcmp(position.topic_id, store->topic_id, 16) != 0 || position.offset < range.start) {
        log_line('W', "store %s follows another changelog than the present %s-%d: it is rebuilt",
                 path, store->topic, (int)store->partition);
        return 0;
    }
    if (position.offset > range.start && position.offset < range.complete_from) {
        log_line('W',
                 "store %s holds %s-%d up to offset %lld, and compaction has removed deletions up "
                 "to %lld since: it is rebuilt",
                 path, store->topic, (int)store->partition, (long long)position.offset,
                 (long long)range.complete_from);
        return 0;
    }
    if (position.offset > range.stable)
        return diag_set(
            diag, ERR_CORRUPT,
            "store %s is ahead of its changelog: it holds %s-%d up to offset %lld, but "
            "the committed changelog ends at %lld. "
            "The log lost records that were acknowledged, or its end was cut off. Start "
            "the stage anew with from_beginning; or delete the store's directory to "
            "rebuild it from what is left",
            path, store->topic, (int)store->partition, (long long)position.offset,
            (long long)range.stable);
    return 1;
}

int store_open(struct store *store, struct port *port, const struct plan *plan,
               const struct stage *stage, int32_t partition, struct diag *diag)
{
    char path[4096];
    memset(store, 0, sizeof *store);
    pthread_mutex_init(&store->following, NULL);
    store->port = port;
    store->partition = partition;
    store->restore_bytes =
        memory_restore_bytes(plan->app->options.memory_bytes, (uint32_t)plan->app->options.threads);
    store->dirty_limit_bytes = memory_dirty_bytes(plan->app->options.memory_bytes);
    store->gauges = metrics_gauges(plan->app->metrics, plan, stage, partition);
    memcpy(store->topic, stage->changelog_topic, sizeof store->topic);
    memcpy(store->topic_id, stage->changelog_id, sizeof store->topic_id);
    TRY(store_path(plan->app->data, plan->app->name, stage->name, partition, path, sizeof path,
                   diag));
    TRY(open_state(store, path, stage, diag));
    int rc = check_position(store, path, diag);
    if (rc == 0) {
        state_close(store->state);
        store->state = NULL;
        store->applied_offset = 0;
        port->ops->keep_deletions(port, store->topic, partition, 0);
        TRY(remove_directory(path, diag));
        TRY(open_state(store, path, stage, diag));
    }
    if (rc < 0)
        return rc;
    TRY(stage->output != OUTPUT_VIEW && plan_keeps_rows(stage->view)
            ? store_view_write_rows(path, plan->app, stage, diag)
            : store_view_write(path, plan->app, stage->view, diag));
    crash_point("restore_before");
    return store_follow(store, NULL, false, diag);
}

static int apply_slice(struct store *store, int64_t next, bool durable, struct diag *diag)
{
    struct state_position position = {.offset = next};
    memcpy(position.topic_id, store->topic_id, sizeof position.topic_id);
    crash_point("checkpoint_slice");
    TRY(state_apply_commit(store->state, &position, durable, diag));
    store->applied_offset = next;
    if (store->gauges != NULL)
        atomic_store(&store->gauges->store_offset, next);
    return 0;
}

static int collect(struct store *store, const struct source_row *rows, uint32_t count,
                   struct diag *diag)
{
    struct state_change changes[FOLLOW_ROWS];
    for (uint32_t i = 0; i < count; i++)
        changes[i] = (struct state_change){rows[i].key, rows[i].value};
    return state_apply_puts(store->state, changes, count, diag);
}

static size_t collect_bytes(const struct store *store, const struct memory *memory)
{
    return memory != NULL ? memory_checkpoint_bytes(memory) : store->restore_bytes;
}

/* Reads the changelog from reader to its committed end. */
static int apply_changelog(struct store *store, struct port_reader *reader, int64_t from,
                           const struct memory *memory, bool durable, struct diag *diag)
{
    const struct port_ops *ops = store->port->ops;
    struct source_row *rows = malloc(FOLLOW_ROWS * sizeof *rows);
    int rc = rows != NULL ? state_apply_begin(store->state, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to follow %s", store->topic);
    int64_t next = from, applied = from;
    bool in_slice = rc == 0;
    while (rc == 0) {
        uint32_t count;
        int64_t before = next;
        rc = ops->reader_read(reader, rows, FOLLOW_ROWS, &count, &next, diag);
        if (rc == 0)
            rc = collect(store, rows, count, diag);
        if (store->gauges != NULL)
            atomic_store_explicit(&store->gauges->store_read, next, memory_order_relaxed);
        bool is_end = rc == 0 && count == 0 && next == before;
        if (rc == 0 && next > applied &&
            (is_end || state_apply_bytes(store->state) >= collect_bytes(store, memory))) {
            in_slice = false;
            rc = apply_slice(store, next, durable && is_end, diag);
            applied = next;
            if (rc == 0 && !is_end) {
                rc = state_apply_begin(store->state, diag);
                in_slice = rc == 0;
            }
        }
        if (is_end)
            break;
    }
    if (in_slice)
        state_apply_abort(store->state);
    free(rows);
    return rc;
}

int store_follow(struct store *store, const struct memory *memory, bool durable, struct diag *diag)
{
    const struct port_ops *ops = store->port->ops;
    struct port_reader *reader = NULL;
    struct port_range range;
    crash_point("checkpoint_before");
    pthread_mutex_lock(&store->following);
    int rc = ops->range(store->port, store->topic, store->partition, &range, diag);
    int64_t from = store->applied_offset > range.start ? store->applied_offset : range.start;
    if (rc == 0 && store->gauges != NULL && !atomic_load(&store->gauges->is_restored)) {
        atomic_store(&store->gauges->store_from, from);
        atomic_store(&store->gauges->store_offset, from);
        atomic_store(&store->gauges->store_read, from);
        atomic_store(&store->gauges->store_end, range.stable);
    }
    if (rc == 0 && from < range.stable)
        rc = ops->reader_open(store->port, store->topic, store->partition, from, &reader, diag);
    if (rc == 0 && reader != NULL)
        rc = apply_changelog(store, reader, from, memory, durable, diag);
    if (reader != NULL)
        ops->reader_close(reader);
    ops->keep_deletions(store->port, store->topic, store->partition, store->applied_offset);
    pthread_mutex_unlock(&store->following);
    return rc;
}

void store_close(struct store *store)
{
    if (store->state != NULL)
        state_close(store->state);
    store->state = NULL;
    if (store->port == NULL)
        return;
    store->port->ops->keep_deletions(store->port, store->topic, store->partition, INT64_MAX);
    pthread_mutex_destroy(&store->following);
}
