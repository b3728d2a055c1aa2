/* view_reader.c: stores and the rest of their changelogs (see view_reader.h).
 *
 * The rest of a changelog is read once, when its partition is first asked: its records in the order of keys, of each key the
 * last one. A scan walks store and rest side by side; where both have a key the rest is right, and a null value there says
 * that the store's is gone. A store that cannot be used, because it is another changelog's, or has missed deletions, or is not
 * there, is left alone and the whole changelog read: what a restart would rebuild it from (store.c has the same rules).
 *
 * Memory. The rest is bounded by the caller. When it is full, what newer records have replaced is thrown away; when that is
 * not enough, the question is refused with what to do about it. */
#include "runtime/view_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/progress.h"

enum { TAIL_ROWS = 1024 };

struct tail_entry {
    struct bytes key, value; /* value.data NULL: it is gone */
    uint64_t number;         /* later ones are right */
};
struct tail {
    struct arena arena;
    struct tail_entry *items;
    size_t count, capacity;
};

struct partition_state {
    atomic_bool is_ready;
    struct state *state; /* NULL: the tail has everything */
    struct tail tail;
    struct view_time time;
};

struct view_reader {
    struct port *port;
    const char *data;
    struct store_view_names names;
    struct store_view *store_view;
    char changelog[TOPIC_NAME_BYTES];
    uint8_t changelog_id[16];
    int32_t partition_count;
    struct partition_state *partitions;
    size_t memory_bytes, used_bytes;
    pthread_mutex_t mutex; /* of making partitions ready */
};

const struct view *view_reader_view(const struct view_reader *reader)
{
    return store_view_plan(reader->store_view);
}

const struct store_view_names *view_reader_names(const struct view_reader *reader)
{
    return &reader->names;
}

struct port *view_reader_port(const struct view_reader *reader)
{
    return reader->port;
}

int32_t view_reader_partitions(const struct view_reader *reader)
{
    return reader->partition_count;
}

struct view_time view_reader_time(const struct view_reader *reader, int32_t partition)
{
    return reader->partitions[partition].time;
}

/* ---- opening ---- */

static int load_times(struct view_reader *reader, struct diag *diag)
{
    char topic[TOPIC_NAME_BYTES];
    struct progress_set set = {0};
    for (int32_t i = 0; i < reader->partition_count; i++)
        reader->partitions[i].time = (struct view_time){TIME_NONE, INT64_MIN};
    if (!view_reader_view(reader)->is_windowed)
        return 0;
    snprintf(topic, sizeof topic, "%.200s-progress", reader->names.app);
    int rc = progress_load(reader->port, topic, &set, diag);
    for (uint32_t i = 0; rc == 0 && i < set.count; i++) {
        const struct progress *task = &set.items[i];
        if (strcmp(task->stage, reader->names.topic) == 0 && !task->is_reset && !task->is_begin &&
            task->partition < reader->partition_count)
            reader->partitions[task->partition].time =
                (struct view_time){task->watermark_ms, task->closed_before_ms};
    }
    progress_set_deinit(&set);
    return rc;
}

static int find_changelog(struct view_reader *reader, struct diag *diag)
{
    struct port_topic info;
    TRY(plan_changelog_name(reader->names.app, reader->names.topic, reader->changelog, diag));
    int rc = reader->port->ops->topic_describe(reader->port, reader->changelog, &info, diag);
    if (rc == ERR_NOT_FOUND)
        return diag_set(diag, ERR_STATE,
                        "the state of view %s is gone: there is no topic %s\nhint: the job was "
                        "reset, or the topic deleted; run it again",
                        reader->names.topic, reader->changelog);
    TRY(rc);
    reader->partition_count = info.partitions;
    memcpy(reader->changelog_id, info.id, sizeof reader->changelog_id);
    reader->partitions = calloc((size_t)info.partitions, sizeof *reader->partitions);
    return reader->partitions != NULL
               ? load_times(reader, diag)
               : diag_set(diag, ERR_NOMEM, "no memory for a view of %d partitions",
                          (int)info.partitions);
}

int view_reader_open(struct port *port, const char *data, const struct view_place *place,
                     size_t memory_bytes, struct view_reader **result, struct diag *diag)
{
    struct view_reader *reader = calloc(1, sizeof *reader);
    *result = NULL;
    if (reader == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read a view");
    *reader = (struct view_reader){
        .port = port, .data = data, .names = place->names, .memory_bytes = memory_bytes};
    pthread_mutex_init(&reader->mutex, NULL);
    int rc = store_view_open(place->dir, &reader->store_view, diag);
    if (rc == 0)
        rc = find_changelog(reader, diag);
    if (rc < 0) {
        view_reader_close(reader);
        return rc;
    }
    *result = reader;
    return 0;
}

void view_reader_close(struct view_reader *reader)
{
    if (reader == NULL)
        return;
    for (int32_t i = 0; reader->partitions != NULL && i < reader->partition_count; i++) {
        struct partition_state *partition = &reader->partitions[i];
        if (partition->state != NULL)
            state_close(partition->state);
        free(partition->tail.items);
        if (partition->is_ready)
            arena_deinit(&partition->tail.arena);
    }
    free(reader->partitions);
    store_view_close(reader->store_view);
    pthread_mutex_destroy(&reader->mutex);
    free(reader);
}

/* ---- the rest of a changelog ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct tail_entry *x = a, *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* In the order of keys, of each the last one. */
static void sort_tail(struct tail *tail)
{
    size_t kept = 0;
    if (tail->count > 1)
        qsort(tail->items, tail->count, sizeof *tail->items, compare_entries);
    for (size_t i = 0; i < tail->count; i++)
        if (i + 1 == tail->count || !bytes_equal(tail->items[i].key, tail->items[i + 1].key))
            tail->items[kept++] = tail->items[i];
    tail->count = kept;
}

static int copy_entry(struct arena *arena, struct tail_entry *entry)
{
    entry->key = arena_copy(arena, entry->key);
    entry->value = arena_copy(arena, entry->value);
    return entry->key.data == NULL || (entry->value.data == NULL && entry->value.size > 0)
               ? ERR_NOMEM
               : 0;
}

/* Gives back the memory of what later records have replaced. */
static int compact_tail(struct tail *tail)
{
    struct arena fresh;
    arena_init(&fresh, 0);
    sort_tail(tail);
    for (size_t i = 0; i < tail->count; i++)
        if (copy_entry(&fresh, &tail->items[i]) < 0) {
            arena_deinit(&fresh);
            tail->count = 0;
            return ERR_NOMEM;
        }
    arena_deinit(&tail->arena);
    tail->arena = fresh;
    return 0;
}

static size_t tail_bytes(const struct tail *tail)
{
    return tail->arena.held_bytes + tail->capacity * sizeof *tail->items;
}

static int no_room(const struct view_reader *reader, int32_t partition, struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM,
                    "what the changelog %s-%d holds beyond its store takes more than %zu MB\n"
                    "hint: run the job once, which brings its stores up to their changelogs, or "
                    "give the question more memory",
                    reader->changelog, (int)partition, reader->memory_bytes >> 20);
}

static int grow_tail(struct tail *tail)
{
    size_t capacity = tail->capacity > 0 ? tail->capacity * 2 : TAIL_ROWS;
    struct tail_entry *items = realloc(tail->items, capacity * sizeof *items);
    if (items == NULL)
        return ERR_NOMEM;
    tail->items = items;
    tail->capacity = capacity;
    return 0;
}

static int add_rows(struct tail *tail, const struct source_row *rows, uint32_t count,
                    uint64_t *number)
{
    for (uint32_t i = 0; i < count; i++) {
        if (tail->count == tail->capacity)
            TRY(grow_tail(tail));
        struct tail_entry *entry = &tail->items[tail->count];
        *entry = (struct tail_entry){rows[i].key, rows[i].value, (*number)++};
        TRY(copy_entry(&tail->arena, entry));
        tail->count++;
    }
    return 0;
}

static int fill_tail(struct view_reader *reader, int32_t partition, struct port_reader *from,
                     int64_t stable, struct source_row *rows, struct diag *diag)
{
    struct tail *tail = &reader->partitions[partition].tail;
    size_t limit =
        reader->memory_bytes > reader->used_bytes ? reader->memory_bytes - reader->used_bytes : 0;
    uint64_t number = 0;
    int64_t next = 0;
    while (next < stable) {
        uint32_t count;
        int64_t before = next;
        TRY(reader->port->ops->reader_read(from, rows, TAIL_ROWS, &count, &next, diag));
        if (count == 0 && next == before)
            break;
        if (add_rows(tail, rows, count, &number) < 0)
            return no_room(reader, partition, diag);
        if (tail_bytes(tail) > limit && (compact_tail(tail) < 0 || tail_bytes(tail) > limit / 2))
            return no_room(reader, partition, diag);
    }
    sort_tail(tail);
    reader->used_bytes += tail_bytes(tail);
    return 0;
}

static int read_tail(struct view_reader *reader, int32_t partition, int64_t from, int64_t stable,
                     struct diag *diag)
{
    const struct port_ops *ops = reader->port->ops;
    struct port_reader *changelog;
    if (from >= stable)
        return 0;
    TRY(ops->reader_open(reader->port, reader->changelog, partition, from, &changelog, diag));
    struct source_row *rows = malloc(TAIL_ROWS * sizeof *rows);
    int rc = rows != NULL ? fill_tail(reader, partition, changelog, stable, rows, diag)
                          : diag_set(diag, ERR_NOMEM, "no memory to read %s", reader->changelog);
    free(rows);
    ops->reader_close(changelog);
    return rc;
}

/* ---- a partition ---- */

/* The store when it is one that can be gone on from; *from: where its changelog goes on. */
static int open_store(struct view_reader *reader, int32_t number, const struct port_range *range,
                      int64_t *from, struct diag *diag)
{
    static const uint8_t none[16];
    struct partition_state *partition = &reader->partitions[number];
    struct state_options options = {.must_exist = true, .read_only = true};
    struct state_position position;
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/state/%s/%s-%d", reader->data, reader->names.app,
                          reader->names.topic, (int)number);
    *from = range->start;
    if (length >= (int)sizeof path)
        return diag_set(diag, ERR_TOO_LARGE, "the path of the data directory is too long");
    const struct store_view *view = reader->store_view;
    int rc = state_open(path, store_view_state_hash(view), &options, &partition->state, diag);
    if (rc == ERR_STATE)
        rc = state_open(path, store_view_plan_hash(view), &options, &partition->state, diag);
    if (rc == ERR_STATE || rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
        return 0;
    TRY(rc);
    state_position(partition->state, &position);
    if (memcmp(position.topic_id, none, sizeof none) == 0)
        return 0;
    bool is_other = memcmp(position.topic_id, reader->changelog_id, sizeof none) != 0;
    bool has_missed = position.offset < range->start ||
                      (position.offset > range->start && position.offset < range->complete_from);
    if (is_other || has_missed) {
        state_close(partition->state);
        partition->state = NULL;
        return 0;
    }
    if (position.offset > range->stable)
        return diag_set(diag, ERR_CORRUPT,
                        "store %s is ahead of its changelog: it holds %s-%d up to offset %lld, but "
                        "the committed changelog ends at %lld",
                        path, reader->changelog, (int)number, (long long)position.offset,
                        (long long)range->stable);
    *from = position.offset;
    return 0;
}

static int prepare(struct view_reader *reader, int32_t number, struct diag *diag)
{
    struct partition_state *partition = &reader->partitions[number];
    struct port_range range;
    int64_t from;
    TRY(reader->port->ops->range(reader->port, reader->changelog, number, &range, diag));
    arena_init(&partition->tail.arena, 0);
    int rc = open_store(reader, number, &range, &from, diag);
    if (rc == 0)
        rc = read_tail(reader, number, from, range.stable, diag);
    if (rc == 0) {
        atomic_store_explicit(&partition->is_ready, true, memory_order_release);
        return 0;
    }
    if (partition->state != NULL)
        state_close(partition->state);
    partition->state = NULL;
    free(partition->tail.items);
    arena_deinit(&partition->tail.arena);
    memset(&partition->tail, 0, sizeof partition->tail);
    return rc;
}

int view_reader_prepare(struct view_reader *reader, int32_t partition, struct diag *diag)
{
    atomic_bool *is_ready = &reader->partitions[partition].is_ready;
    /* Without the mutex, which is taken before a store's: a scan, which holds that, may ask for more. */
    if (atomic_load_explicit(is_ready, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&reader->mutex);
    int rc = atomic_load(is_ready) ? 0 : prepare(reader, partition, diag);
    pthread_mutex_unlock(&reader->mutex);
    return rc;
}

/* ---- reading ---- */

/* The first entry that is not below key. */
static size_t tail_find(const struct tail *tail, struct bytes key)
{
    size_t low = 0, high = tail->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(tail->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct tail_entry *tail_entry_of(const struct tail *tail, struct bytes key)
{
    size_t at = tail_find(tail, key);
    return at < tail->count && bytes_equal(tail->items[at].key, key) ? &tail->items[at] : NULL;
}

int view_reader_get(struct view_reader *reader, int32_t number, struct bytes key,
                    struct arena *arena, struct bytes *value, struct diag *diag)
{
    TRY(view_reader_prepare(reader, number, diag));
    const struct partition_state *partition = &reader->partitions[number];
    const struct tail_entry *entry = tail_entry_of(&partition->tail, key);
    if (entry != NULL) {
        *value = entry->value; /* lives as long as the reader */
        return entry->value.data != NULL;
    }
    return partition->state != NULL ? state_get(partition->state, key, arena, value, diag) : 0;
}

struct merge {
    const struct tail *tail;
    size_t next; /* entry that was not given out */
    struct bytes to;
    int (*fn)(void *context, struct bytes key, struct bytes value);
    void *context;
};

/* Entries below a key (NULL: up to the end of the scan). */
static int give_entries(struct merge *merge, const struct bytes *below)
{
    for (; merge->next < merge->tail->count; merge->next++) {
        const struct tail_entry *entry = &merge->tail->items[merge->next];
        if ((below != NULL && bytes_compare(entry->key, *below) >= 0) ||
            (merge->to.data != NULL && bytes_compare(entry->key, merge->to) >= 0))
            return 0;
        int answer =
            entry->value.data != NULL ? merge->fn(merge->context, entry->key, entry->value) : 0;
        if (answer != 0)
            return answer;
    }
    return 0;
}

static int give_stored(void *context, struct bytes key, struct bytes value)
{
    struct merge *merge = context;
    int answer = give_entries(merge, &key);
    if (answer != 0 || tail_entry_of(merge->tail, key) != NULL)
        return answer;
    return merge->fn(merge->context, key, value);
}

int view_reader_scan(struct view_reader *reader, int32_t number, struct bytes from, struct bytes to,
                     int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                     struct diag *diag)
{
    TRY(view_reader_prepare(reader, number, diag));
    const struct partition_state *partition = &reader->partitions[number];
    if (partition->tail.count == 0)
        return partition->state != NULL ? state_scan(partition->state, from, to, fn, context, diag)
                                        : 0;
    struct merge merge = {.tail = &partition->tail,
                          .next = tail_find(&partition->tail, from),
                          .to = to,
                          .fn = fn,
                          .context = context};
    int answer = partition->state != NULL
                     ? state_scan(partition->state, from, to, give_stored, &merge, diag)
                     : 0;
    return answer != 0 ? answer : give_entries(&merge, NULL);
}
