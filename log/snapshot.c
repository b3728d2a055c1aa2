/* snapshot.c: what a partition knows about its producers, on disk.
 *
 * <next offset, 20 digits>.snapshot beside the segments, in Kafka's format: the state of all
 * producers after the batches below that offset.
 *
 *   0   2  version 1
 *   2   4  CRC-32C of what follows
 *   6   4  count
 *   10  …  each, 46 bytes:
 *     0  8 producer id         14 8 last offset; -1: none        34 4 coordinator epoch; -1: none
 *     8  2 epoch               22 4 offset delta of the batch    38 8 first offset of the open
 *     10 4 last sequence       26 8 time of the last write            transaction; -1: none
 *
 * A partition begins to keep track of its producers with the first numbered batch that it gets, and
 * says so by an empty snapshot that is durable before that batch is written. Without one there is
 * nothing to remember, and opening reads no more than before. Later snapshots are made by the
 * keeper (after SNAPSHOT_BYTES, and after a roll), before a purge takes the batches away, and at a
 * clean close.
 *
 * Opening takes the newest snapshot that is whole and not ahead of the log, and reads the headers
 * from there on. The file has one batch per producer, and a retry may be of any of the last five:
 * so the headers of the LOOK_BACK_BYTES before the snapshot are read as well, and fill up the
 * windows of those producers whose last batch is the one in the file.
 *
 * A power cut may take records away that a snapshot covers. Such a snapshot is removed when the log
 * is opened (later the offset would exist again, with other records), and to have one that is not
 * ahead, the newest at or below the flushed end stays whatever else is there.
 *
 * A snapshot below the start of the log lacks the batches between: of the producers that do not
 * appear after it nothing certain is known, and they are forgotten. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 10,
    ENTRY_BYTES = 46,
    VERSION = 1,
    KEEP_NEWEST = 2,
    LOOK_BACK_BYTES = 256 << 10,
    SNAPSHOT_LIMIT_BYTES = 1 << 28 /* of a file that is read: six million producers */
};

/* ---- the format ---- */

static void encode_entry(struct buf *out, const struct producer_entry *entry)
{
    const struct producer_batch *batch =
        entry->batch_count > 0 ? &entry->batches[entry->newest] : NULL;
    int32_t delta =
        batch == NULL
            ? 0
            : (int32_t)(((uint32_t)batch->last_sequence - (uint32_t)batch->first_sequence) &
                        INT32_MAX);
    buf_be64(out, (uint64_t)entry->producer_id);
    buf_be16(out, (uint16_t)entry->epoch);
    buf_be32(out, batch == NULL ? UINT32_MAX : (uint32_t)batch->last_sequence);
    buf_be64(out, batch == NULL ? UINT64_MAX : (uint64_t)batch->last_offset);
    buf_be32(out, (uint32_t)delta);
    buf_be64(out, (uint64_t)entry->last_write_ms);
    buf_be32(out, (uint32_t)entry->coordinator_epoch);
    buf_be64(out, (uint64_t)entry->txn_first_offset);
}

int snapshot_encode(const struct partition *partition, struct buf *out)
{
    const struct producer_entry *entry = NULL;
    buf_be16(out, VERSION);
    buf_be32(out, 0);
    buf_be32(out, (uint32_t)partition->producers.count);
    while ((entry = producer_state_each(partition, entry)) != NULL)
        encode_entry(out, entry);
    if (!buf_ok(out))
        return ERR_NOMEM;
    store_be32(out->data + 2, crc32c(out->data + 6, out->size - 6));
    return 0;
}

static int decode_entry(const uint8_t *in, int64_t next_offset, struct producer_entry *entry)
{
    int32_t last_sequence = (int32_t)load_be32(in + 10), delta = (int32_t)load_be32(in + 22);
    int64_t last_offset = (int64_t)load_be64(in + 14);
    *entry = (struct producer_entry){.producer_id = (int64_t)load_be64(in),
                                     .epoch = (int16_t)load_be16(in + 8),
                                     .last_write_ms = (int64_t)load_be64(in + 26),
                                     .coordinator_epoch = (int32_t)load_be32(in + 34),
                                     .txn_first_offset = (int64_t)load_be64(in + 38)};
    if (entry->producer_id < 0 || entry->epoch < -1 || delta < 0 || last_offset < -1 ||
        last_offset >= next_offset || entry->txn_first_offset < -1 ||
        entry->txn_first_offset >= next_offset)
        return ERR_CORRUPT;
    if (last_sequence < 0 || last_offset < 0)
        return 0; /* nothing in this epoch yet */
    entry->batch_count = 1;
    entry->batches[0] =
        (struct producer_batch){(int32_t)(((uint32_t)last_sequence - (uint32_t)delta) & INT32_MAX),
                                last_sequence, last_offset};
    return 0;
}

static int by_last_write(const void *a, const void *b)
{
    int64_t left = (int64_t)load_be64(*(const uint8_t *const *)a + 26);
    int64_t right = (int64_t)load_be64(*(const uint8_t *const *)b + 26);
    return (left > right) - (left < right);
}

int snapshot_decode(struct partition *partition, struct bytes in, int64_t next_offset,
                    struct diag *diag)
{
    if (in.size < HEAD_BYTES)
        return diag_set(diag, ERR_CORRUPT, "it has only %zu bytes", in.size);
    if (load_be16(in.data) != VERSION)
        return diag_set(diag, ERR_CORRUPT, "version %u is not known", load_be16(in.data));
    if (load_be32(in.data + 2) != crc32c(in.data + 6, in.size - 6))
        return diag_set(diag, ERR_CORRUPT, "its checksum is wrong");
    size_t count = load_be32(in.data + 6);
    if ((in.size - HEAD_BYTES) % ENTRY_BYTES != 0 || (in.size - HEAD_BYTES) / ENTRY_BYTES != count)
        return diag_set(diag, ERR_CORRUPT, "%zu producers do not take %zu bytes", count, in.size);
    /* Kafka writes them in no order; ours stand by their last write. */
    const uint8_t **order = malloc((count + 1) * sizeof *order); /* never malloc(0) */
    if (order == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu producers", count);
    for (size_t i = 0; i < count; i++)
        order[i] = in.data + HEAD_BYTES + i * ENTRY_BYTES;
    qsort(order, count, sizeof *order, by_last_write);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct producer_entry entry;
        rc = decode_entry(order[i], next_offset, &entry);
        if (rc == 0)
            rc = producer_state_load(partition, &entry);
        if (rc < 0)
            diag_set(diag, rc,
                     rc == ERR_NOMEM ? "no memory for %" PRId64 " and other producers"
                                     : "producer %" PRId64 " is damaged in it",
                     entry.producer_id);
    }
    free(order);
    return rc;
}

/* ---- writing ---- */

static void snapshot_path(const struct partition *partition, int64_t next_offset,
                          const char *suffix, char path[LOG_PATH_BYTES])
{
    char directory[LOG_PATH_BYTES];
    partition_directory(partition, directory);
    int length = snprintf(path, LOG_PATH_BYTES, "%s/%020" PRId64 ".snapshot%s", directory,
                          next_offset, suffix);
    must(length > 0 && length < LOG_PATH_BYTES);
}

static int write_temporary(const char *path, struct bytes content, struct diag *diag)
{
    int fd;
    TRY(io_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, diag));
    int rc = io_pwrite(fd, content.data, content.size, 0, diag);
    if (rc == 0)
        rc = io_fdatasync(fd, diag);
    io_close(fd);
    return rc;
}

/* A deleted topic's directory is gone: no failure of the disk. */
static int failed(struct partition *partition, int rc, bool may_stop, struct diag *diag)
{
    if (atomic_load(&partition->deleted))
        return diag_set(diag, ERR_NOT_FOUND, "topic %s was deleted", partition->topic->name);
    return may_stop && rc == ERR_IO ? log_stop(partition->log, rc, diag) : rc;
}

static int write_file(struct partition *partition, int64_t next_offset, struct bytes content,
                      struct diag *diag)
{
    char path[LOG_PATH_BYTES], temporary[LOG_PATH_BYTES], directory[LOG_PATH_BYTES];
    struct diag why = {0}, ignored;
    snapshot_path(partition, next_offset, "", path);
    snapshot_path(partition, next_offset, ".tmp", temporary);
    partition_directory(partition, directory);
    bool renamed = false;
    int rc = write_temporary(temporary, content, &why);
    crash_point("snapshot.written");
    if (rc == 0) {
        rc = io_rename(temporary, path, &why);
        renamed = rc == 0;
        crash_point("snapshot.renamed");
    }
    if (rc < 0)
        (void)io_unlink(temporary, &ignored);
    if (rc == 0)
        rc = io_fsync_dir(directory, &why);
    crash_point("snapshot.done");
    /* A flush that failed may have been the one of a segment's name as well (P9). */
    if (rc < 0)
        rc = failed(partition, rc, renamed, &why);
    if (rc < 0 && diag != NULL)
        *diag = why;
    return rc;
}

static void forget_offset(struct partition *partition, int32_t at)
{
    partition->snapshot_count--;
    memmove(&partition->snapshots[at], &partition->snapshots[at + 1],
            (size_t)(partition->snapshot_count - at) * sizeof *partition->snapshots);
}

/* The newest KEEP_NEWEST stay, and the newest that no power cut can put ahead of the log. */
static void prune(struct partition *partition)
{
    int64_t flushed = atomic_load(&partition->flushed_end);
    int32_t safe = partition->snapshot_count - 1;
    while (safe > 0 && partition->snapshots[safe] > flushed)
        safe--;
    for (int32_t i = partition->snapshot_count - KEEP_NEWEST - 1; i >= 0; i--) {
        char path[LOG_PATH_BYTES];
        struct diag diag;
        if (i == safe)
            continue;
        snapshot_path(partition, partition->snapshots[i], "", path);
        if (io_unlink(path, &diag) < 0 && !atomic_load(&partition->deleted) && errno != ENOENT) {
            log_line('W', "%s", diag.text);
            continue; /* tried again with the next snapshot */
        }
        forget_offset(partition, i);
        crash_point("snapshot.removed");
    }
}

static int grow_list(struct partition *partition)
{
    if (partition->snapshot_count < partition->snapshot_capacity)
        return 0;
    int32_t capacity = partition->snapshot_capacity + 4;
    int64_t *list = realloc(partition->snapshots, (size_t)capacity * sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    partition->snapshots = list;
    partition->snapshot_capacity = capacity;
    return 0;
}

/* The file and the list; snapshot_mutex held. */
static int put(struct partition *partition, int64_t next_offset, const struct buf *content,
               struct diag *diag)
{
    if (grow_list(partition) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a snapshot of %s-%d",
                        partition->topic->name, partition->index);
    TRY(write_file(partition, next_offset, bytes_of(content->data, content->size), diag));
    int32_t count = partition->snapshot_count;
    if (count == 0 || partition->snapshots[count - 1] != next_offset)
        partition->snapshots[partition->snapshot_count++] = next_offset;
    prune(partition);
    return 0;
}

int snapshot_begin(struct partition *partition, struct diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&partition->snapshot_mutex);
    if (!atomic_load(&partition->tracks_producers)) {
        /* Nothing was noted yet, and what is not flushed yet holds no numbered batch. */
        struct buf content;
        buf_init(&content, 0);
        rc = partition_writable(partition, diag);
        if (rc == 0 && snapshot_encode(partition, &content) < 0)
            rc = diag_set(diag, ERR_NOMEM, "no memory for a snapshot");
        if (rc == 0)
            rc = put(partition, atomic_load(&partition->flushed_end), &content, diag);
        if (rc == 0)
            atomic_store(&partition->tracks_producers, true);
        buf_deinit(&content);
    }
    pthread_mutex_unlock(&partition->snapshot_mutex);
    return rc;
}

static bool is_due(struct partition *partition, int64_t bytes)
{
    pthread_mutex_lock(&partition->mutex);
    bool due = partition->snapshot_bytes >= bytes || partition->snapshot_rolled;
    pthread_mutex_unlock(&partition->mutex);
    return due;
}

/* snapshot_mutex held. */
static int take(struct partition *partition, struct diag *diag)
{
    struct buf content;
    buf_init(&content, 0);
    pthread_mutex_lock(&partition->mutex);
    int rc = partition_writable(partition, diag);
    int64_t next_offset = atomic_load(&partition->end_offset), bytes = partition->snapshot_bytes;
    bool rolled = partition->snapshot_rolled;
    if (rc == 0 && snapshot_encode(partition, &content) < 0)
        rc = diag_set(diag, ERR_NOMEM, "no memory for a snapshot");
    if (rc == 0) {
        partition->snapshot_bytes = 0;
        partition->snapshot_rolled = false;
    }
    pthread_mutex_unlock(&partition->mutex);
    if (rc == 0) {
        rc = put(partition, next_offset, &content, diag);
        if (rc < 0) {
            pthread_mutex_lock(&partition->mutex);
            partition->snapshot_bytes += bytes;
            partition->snapshot_rolled = partition->snapshot_rolled || rolled;
            pthread_mutex_unlock(&partition->mutex);
        }
    }
    buf_deinit(&content);
    return rc;
}

int snapshot_take(struct partition *partition, int64_t after_bytes, struct diag *diag)
{
    int rc = 0;
    if (!atomic_load(&partition->tracks_producers))
        return 0;
    pthread_mutex_lock(&partition->snapshot_mutex);
    if (is_due(partition, after_bytes))
        rc = take(partition, diag);
    pthread_mutex_unlock(&partition->snapshot_mutex);
    return rc;
}

int snapshot_before_purge(struct partition *partition, int64_t offset, struct diag *diag)
{
    int rc = 0;
    if (!atomic_load(&partition->tracks_producers))
        return 0;
    pthread_mutex_lock(&partition->snapshot_mutex);
    int32_t count = partition->snapshot_count;
    if (count == 0 || partition->snapshots[count - 1] < offset)
        rc = take(partition, diag);
    pthread_mutex_unlock(&partition->snapshot_mutex);
    return rc;
}

/* ---- opening ---- */

/* 20 digits and ".snapshot" (0), or that with ".tmp" (1); -1: something else. */
static int parse_name(const char *name, int64_t *next_offset)
{
    uint64_t value = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || value > (uint64_t)INT64_MAX / 10)
            return -1;
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    if (value > (uint64_t)INT64_MAX)
        return -1;
    *next_offset = (int64_t)value;
    return strcmp(name + 20, ".snapshot") == 0       ? 0
           : strcmp(name + 20, ".snapshot.tmp") == 0 ? 1
                                                     : -1;
}

static void remove_snapshot(struct partition *partition, int64_t next_offset, const char *suffix)
{
    char path[LOG_PATH_BYTES];
    struct diag diag;
    if (partition->log->read_only)
        return;
    snapshot_path(partition, next_offset, suffix, path);
    if (io_unlink(path, &diag) < 0)
        log_line('W', "%s", diag.text);
}

static int compare_offsets(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Fills partition->snapshots, ascending. What was being written is removed. */
static int list_snapshots(struct partition *partition, struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    partition_directory(partition, directory);
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", directory);
    struct dirent *entry;
    int rc = 0;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        int64_t next_offset;
        int kind = parse_name(entry->d_name, &next_offset);
        if (kind == 1)
            remove_snapshot(partition, next_offset, ".tmp");
        if (kind != 0)
            continue;
        if (grow_list(partition) < 0)
            rc = diag_set(diag, ERR_NOMEM, "no memory to list %s", directory);
        else
            partition->snapshots[partition->snapshot_count++] = next_offset;
    }
    closedir(stream);
    if (partition->snapshot_count > 1)
        qsort(partition->snapshots, (size_t)partition->snapshot_count, sizeof *partition->snapshots,
              compare_offsets);
    return rc;
}

/* Loads one snapshot into the empty table. ERR_CORRUPT: it cannot be used. */
static int load_one(struct partition *partition, int64_t next_offset, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    char *data = NULL;
    size_t size = 0;
    snapshot_path(partition, next_offset, "", path);
    int rc = io_read_file(path, SNAPSHOT_LIMIT_BYTES, &data, &size, diag);
    if (rc == 0)
        rc = snapshot_decode(partition, bytes_of(data, size), next_offset, diag);
    free(data);
    if (rc < 0)
        producer_table_deinit(&partition->producers);
    return rc == ERR_NOMEM ? rc : rc < 0 ? ERR_CORRUPT : 0;
}

/* The newest that is whole and not ahead of the log; the others above it are removed. Gives the
 * offset to read from, -1: none of them can be used. */
static int load_newest(struct partition *partition, int64_t *next_offset, struct diag *diag)
{
    int64_t end = atomic_load(&partition->end_offset);
    while (partition->snapshot_count > 0) {
        char path[LOG_PATH_BYTES];
        struct diag why = {0};
        *next_offset = partition->snapshots[partition->snapshot_count - 1];
        int rc = *next_offset > end
                     ? diag_set(&why, ERR_CORRUPT, "the log ends at offset %" PRId64, end)
                     : load_one(partition, *next_offset, &why);
        if (rc == ERR_NOMEM)
            return diag_set(diag, rc, "%s", why.text);
        if (rc == 0)
            return 0;
        snapshot_path(partition, *next_offset, "", path);
        log_line('W', "%s cannot be used%s: %s", path,
                 partition->log->read_only ? "" : " and is removed", why.text);
        remove_snapshot(partition, *next_offset, "");
        forget_offset(partition, partition->snapshot_count - 1);
    }
    *next_offset = -1;
    return 0;
}

struct replay {
    struct partition *partition;
    const struct segment *segment; /* that the last batch lay in */
    int64_t until;
    bool drop_unseen;
    int64_t began_ms;
    int64_t bytes;
};

/* When the batch was written, as well as it is known: not from its records. */
static int64_t written_ms(struct replay *replay, int64_t offset)
{
    const struct partition *partition = replay->partition;
    if (replay->segment == NULL ||
        (replay->segment->end_offset >= 0 && offset >= replay->segment->end_offset)) {
        int32_t at = partition->segment_count - 1;
        while (at > 0 && partition->segments[at]->base_offset > offset)
            at--;
        replay->segment = partition->segments[at];
    }
    int64_t last = replay->segment->last_write_ms;
    return last < replay->began_ms ? last : replay->began_ms;
}

static int replay_batch(void *context, const struct batch_header *header)
{
    struct replay *replay = context;
    if (header->base_offset >= replay->until)
        return 1;
    replay->bytes += header->size_bytes;
    if (header->producer_id < 0)
        return 0;
    TRY(producer_state_reserve(replay->partition));
    producer_state_note(replay->partition, header, written_ms(replay, header->base_offset));
    return 0;
}

static int replay_range(struct replay *replay, int64_t from, int64_t until, struct diag *diag)
{
    replay->until = until;
    replay->segment = NULL;
    replay->bytes = 0;
    int rc = from < until ? partition_walk(replay->partition, from, replay_batch, replay, diag) : 0;
    if (rc == ERR_NOMEM)
        return diag_set(diag, rc, "no memory for the producers of %s-%d",
                        replay->partition->topic->name, replay->partition->index);
    return rc < 0 ? rc : 0;
}

/* An offset some LOOK_BACK_BYTES before next_offset, by the mean density of its segment. */
static int64_t look_back_from(const struct partition *partition, int64_t next_offset)
{
    int64_t from = next_offset, bytes = LOOK_BACK_BYTES;
    for (int32_t i = partition->segment_count - 1; i >= 0 && bytes > 0; i--) {
        const struct segment *segment = partition->segments[i];
        int64_t base = segment->base_offset, end = segment->end_offset;
        if (base >= next_offset)
            continue;
        if (end < 0)
            end = atomic_load(&partition->end_offset);
        int64_t last = next_offset < end ? next_offset : end;
        double density = (double)atomic_load(&segment->size_bytes) / (double)(end - base);
        double below = density * (double)(last - base);
        if (below > (double)bytes)
            return last - (int64_t)((double)bytes / density) - 1;
        from = base;
        bytes -= (int64_t)below;
    }
    return from;
}

/* Gives each producer of the snapshot its earlier batches, where they were seen just before it. */
static void widen(struct producer_table *loaded, const struct producer_table *seen)
{
    for (int32_t at = loaded->count == 0 ? -1 : loaded->oldest; at >= 0;
         at = loaded->entries[at].newer) {
        struct producer_entry *entry = &loaded->entries[at];
        const struct producer_entry *wide = producer_table_find(seen, entry->producer_id);
        if (wide == NULL || wide->epoch != entry->epoch || wide->batch_count == 0 ||
            entry->batch_count == 0 ||
            memcmp(&wide->batches[wide->newest], &entry->batches[entry->newest],
                   sizeof wide->batches[0]) != 0)
            continue;
        entry->batch_count = wide->batch_count;
        entry->newest = wide->newest;
        memcpy(entry->batches, wide->batches, sizeof entry->batches);
    }
}

static int replay_around(struct partition *partition, int64_t next_offset, struct diag *diag)
{
    struct replay replay = {.partition = partition, .began_ms = clock_wall_ms()};
    int64_t start = atomic_load(&partition->start_offset),
            end = atomic_load(&partition->end_offset);
    if (next_offset < start) {
        producer_table_deinit(&partition->producers); /* see the essay */
        next_offset = start;
    } else if (partition->producers.count > 0) {
        int64_t from = look_back_from(partition, next_offset);
        struct producer_table loaded = partition->producers;
        partition->producers = (struct producer_table){0};
        int rc = replay_range(&replay, from > start ? from : start, next_offset, diag);
        struct producer_table seen = partition->producers;
        partition->producers = loaded;
        if (rc == 0)
            widen(&partition->producers, &seen);
        producer_table_deinit(&seen);
        TRY(rc);
    }
    TRY(replay_range(&replay, next_offset, end, diag));
    partition->snapshot_bytes = replay.bytes;
    producer_state_expire(partition, replay.began_ms, partition->log->options.producer_expiry_ms);
    return 0;
}

int recover_producers(struct partition *partition, struct diag *diag)
{
    int64_t next_offset;
    producer_table_deinit(&partition->producers);
    partition->snapshot_count = 0;
    TRY(list_snapshots(partition, diag));
    if (partition->snapshot_count == 0)
        return 0;
    atomic_store(&partition->tracks_producers, true);
    TRY(load_newest(partition, &next_offset, diag));
    int rc = replay_around(partition, next_offset, diag);
    return rc == ERR_CORRUPT ? 0 : rc; /* the partition is stopped, and says why */
}
