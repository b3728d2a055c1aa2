/* port_log.c: the door's first implementation: the embedded log.
 *
 * A reader fetches up to FETCH_BYTES of whole batches at a time and hands their records out in runs
 * of up to max_rows, across batch borders, so that many small batches still make one large run.
 * Plain (decompressed) bytes of the batches of one run live in a small pool of buffers: a run ends
 * early when the pool is used up.
 *
 * An out encodes records into lz4 batches of BATCH_PLAIN_BYTES as they come, on the worker's own
 * thread, and keeps the finished bytes until the commit appends them. Nothing reaches the log
 * before that. */
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "runtime/base/clock.h"
#include "runtime/port.h"
#include "runtime/weir_handle.h"

enum {
    FETCH_BYTES = 1 << 20,
    BATCH_PLAIN_BYTES = 256 << 10,
    POOL_BUFFERS = 64,
    POOL_BYTES = 3 << 20,
    SETTLE_MS = 30000
};

struct port_log {
    struct port port;
    struct log *log;
    struct weir_log *shared; /* whose log it is; NULL: ours */
    const char *app;
};
static struct log *log_of(struct port *port)
{
    return ((struct port_log *)port)->log;
}

/* ---- topics ---- */

static int port_topic_describe(struct port *port, const char *topic, struct port_topic *info,
                               struct diag *diag)
{
    struct topic_info found;
    TRY(topic_describe(log_of(port), topic, &found, diag));
    memcpy(info->id, found.id.bytes, sizeof info->id);
    info->partitions = found.partitions;
    info->internal = found.internal;
    if (topic_config_get(log_of(port), topic, "weir.partitioned.by", info->partitioned_by,
                         sizeof info->partitioned_by) < 0)
        info->partitioned_by[0] = '\0';
    return 0;
}

static int port_topic_name(struct port *port, const uint8_t id[16], char name[250],
                           struct diag *diag)
{
    struct topic_info *topics = NULL;
    size_t count = 0;
    TRY(topic_list(log_of(port), &topics, &count));
    int rc = ERR_NOT_FOUND;
    for (size_t i = 0; i < count && rc != 0; i++)
        if (memcmp(topics[i].id.bytes, id, 16) == 0) {
            memcpy(name, topics[i].name, sizeof topics[i].name);
            rc = 0;
        }
    free(topics);
    return rc == 0 ? 0 : diag_set(diag, rc, "no topic has this id (any more)");
}

static int port_topic_create(struct port *port, const char *topic, int32_t partitions,
                             const struct port_setting *settings, size_t setting_count,
                             struct diag *diag)
{
    struct config_entry config[8];
    must(setting_count <= 8);
    for (size_t i = 0; i < setting_count; i++)
        config[i] = (struct config_entry){settings[i].key, settings[i].value};
    return topic_create(log_of(port), topic, partitions, config, setting_count, diag);
}

static int port_topic_delete(struct port *port, const char *topic, struct diag *diag)
{
    return topic_delete(log_of(port), topic, diag);
}

static int port_range(struct port *port, const char *topic, int32_t partition,
                      struct port_range *range, struct diag *diag)
{
    struct partition *handle;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    TRY(partition_status(handle, diag));
    struct partition_offsets offsets;
    partition_offsets(handle, &offsets);
    range->start = offsets.start;
    range->stable = offsets.stable;
    range->complete_from = partition_tombstone_horizon(handle);
    range->compacted_to = partition_compacted_to(handle);
    return 0;
}

static void port_keep_deletions(struct port *port, const char *topic, int32_t partition,
                                int64_t offset)
{
    struct partition *handle;
    if (partition_get(log_of(port), topic, partition, &handle, NULL) == 0)
        partition_keep_tombstones(handle, offset);
}

static int port_settled_range(struct port *port, const char *topic, int32_t partition,
                              struct port_range *range, struct diag *diag)
{
    struct partition *handle;
    struct partition_offsets offsets;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    partition_offsets(handle, &offsets);
    int rc = partition_wait(handle, offsets.end, SETTLE_MS);
    if (rc < 0)
        return diag_set(diag, rc, "%s-%d was not flushed within %d ms: %s", topic, (int)partition,
                        SETTLE_MS, error_text(rc));
    return port_range(port, topic, partition, range, diag);
}

static int port_offset_at(struct port *port, const char *topic, int32_t partition, int64_t time_ms,
                          int64_t *offset, struct diag *diag)
{
    struct partition *handle;
    int64_t found_ms;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    return partition_find_time(handle, time_ms, offset, &found_ms, diag);
}

static int port_watch(struct port *port, const char *topic, int32_t partition, void (*wake)(void *),
                      void *context, struct diag *diag)
{
    struct partition *handle;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    return partition_watch_committed(handle, wake, context);
}

static void port_unwatch(struct port *port, const char *topic, int32_t partition, int watch_id)
{
    struct partition *handle;
    if (partition_get(log_of(port), topic, partition, &handle, NULL) == 0)
        partition_unwatch(handle, watch_id);
}

static int port_purge(struct port *port, const char *topic, int32_t partition, int64_t offset,
                      struct diag *diag)
{
    struct partition *handle;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    return partition_purge(handle, offset, diag);
}

static int port_position(struct port *port, const char *group, const char *topic, int32_t partition,
                         int64_t *offset, struct diag *diag)
{
    struct group_offset found;
    int rc = group_fetch(log_of(port), group, topic, partition, &found);
    *offset = rc == 0 ? found.offset : -1;
    return rc == ERR_NOT_FOUND ? 0
           : rc < 0            ? diag_set(diag, rc, "cannot read the offsets of group %s", group)
                               : 0;
}

static bool has_position(struct log *log, const char *group, const char *topic, int32_t partitions,
                         bool *of_app)
{
    struct group_offset found;
    for (int32_t p = 0; p < partitions; p++)
        if (group_fetch(log, group, topic, p, &found) == 0 && found.offset >= 0) {
            *of_app = found.of_app;
            return true;
        }
    return false;
}

static int port_readers(struct port *port, const char *topic,
                        int (*each)(void *context, const char *group, bool of_app), void *context,
                        struct diag *diag)
{
    struct topic_info info;
    char **groups = NULL;
    size_t count = 0;
    TRY(topic_describe(log_of(port), topic, &info, diag));
    int rc = group_list(log_of(port), &groups, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool of_app = false;
        if (has_position(log_of(port), groups[i], topic, info.partitions, &of_app))
            rc = each(context, groups[i], of_app);
    }
    free(groups);
    return rc < 0 ? diag_set(diag, rc, "cannot list the readers of %s: %s", topic, error_text(rc))
                  : 0;
}

void port_header_add(struct buf *headers, const char *key, struct bytes value)
{
    headers_add(headers, key, value);
}

/* ---- reading ---- */

struct port_reader {
    struct partition *partition;
    struct fetch fetch;
    struct fetch_reader walk; /* over the batches of fetch */
    struct buf pool[POOL_BUFFERS];
    uint32_t pool_used;
    struct record_reader records; /* of the batch that is being handed out */
    bool in_batch, in_fetch;
    int64_t position;
};

static int port_reader_open(struct port *port, const char *topic, int32_t partition, int64_t offset,
                            struct port_reader **result, struct diag *diag)
{
    struct partition *handle;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    struct port_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a reader of %s-%d", topic, (int)partition);
    reader->partition = handle;
    reader->position = offset;
    fetch_init(&reader->fetch);
    fetch_reader_init(&reader->walk);
    for (size_t i = 0; i < POOL_BUFFERS; i++)
        buf_init(&reader->pool[i], 0);
    *result = reader;
    return 0;
}

static void port_reader_close(struct port_reader *reader)
{
    if (reader == NULL)
        return;
    fetch_deinit(&reader->fetch);
    fetch_reader_deinit(&reader->walk);
    for (size_t i = 0; i < POOL_BUFFERS; i++)
        buf_deinit(&reader->pool[i]);
    free(reader);
}

/* Of plain batches that the run in progress holds: a small batch takes a whole lz4 block's buffer, so that their number says little. */
static size_t pool_bytes(const struct port_reader *reader)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < reader->pool_used; i++)
        bytes += reader->pool[i].capacity;
    return bytes;
}

/* The batch in progress keeps its plain bytes in pool[0] when a new run starts. */
static void start_run(struct port_reader *reader)
{
    if (reader->in_batch && reader->pool_used > 1) {
        struct buf swap = reader->pool[0];
        reader->pool[0] = reader->pool[reader->pool_used - 1];
        reader->pool[reader->pool_used - 1] = swap;
    }
    reader->pool_used = reader->in_batch ? 1 : 0;
}

/* 1: records is open on the next data batch; 0: the fetch is used up. */
static int next_batch(struct port_reader *reader, struct diag *diag)
{
    struct bytes batch;
    struct batch_header header;
    int rc = fetch_reader_next_batch(&reader->walk, &batch, &header);
    if (rc <= 0)
        return rc < 0 ? diag_set(diag, rc, "a fetched batch is damaged") : 0;
    TRY(record_reader_open(&reader->records, batch, BATCH_PLAIN_LIMIT_BYTES,
                           &reader->pool[reader->pool_used], diag));
    reader->pool_used++;
    reader->in_batch = true;
    return 1;
}

/* Takes records of the open batch; the batch is closed when it has no more. */
static int take_records(struct port_reader *reader, struct source_row *rows, uint32_t max_rows,
                        uint32_t *count, struct diag *diag)
{
    struct record record;
    while (*count < max_rows) {
        int rc = record_reader_next(&reader->records, &record);
        if (rc < 0)
            return diag_set(diag, rc, "the batch at offset %lld does not decode",
                            (long long)reader->records.header.base_offset);
        if (rc == 0) {
            reader->in_batch = false;
            return 0;
        }
        if (record.offset < reader->position)
            continue;
        rows[(*count)++] =
            (struct source_row){record.offset, record.timestamp_ms, record.key,
                                record.value,  record.headers,      record.header_count};
        reader->position = record.offset + 1;
    }
    return 0;
}

/* 1: something was fetched. */
static int fetch_more(struct port_reader *reader, struct diag *diag)
{
    TRY(partition_fetch(reader->partition, reader->position, READ_COMMITTED, FETCH_BYTES,
                        &reader->fetch, diag));
    if (reader->fetch.next_offset == reader->position)
        return 0;
    fetch_reader_start(&reader->walk, &reader->fetch, reader->position);
    reader->in_fetch = true;
    return 1;
}

static int port_reader_read(struct port_reader *reader, struct source_row *rows, uint32_t max_rows,
                            uint32_t *count, int64_t *next, struct diag *diag)
{
    *count = 0;
    start_run(reader);
    while (*count < max_rows) {
        if (reader->in_batch) {
            TRY(take_records(reader, rows, max_rows, count, diag));
            continue;
        }
        if (reader->in_fetch) {
            if (reader->pool_used == POOL_BUFFERS ||
                (*count > 0 && pool_bytes(reader) >= POOL_BYTES))
                break;
            int rc = next_batch(reader, diag);
            if (rc < 0)
                return rc;
            if (rc == 0) {
                reader->in_fetch = false;
                reader->position = reader->fetch.next_offset;
            }
            continue;
        }
        if (*count > 0)
            break; /* rows borrow from the fetch that is used up: the next run starts a new one */
        int rc = fetch_more(reader, diag);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
    }
    *next = reader->position;
    return 0;
}

/* ---- writing ---- */

struct port_out {
    struct partition *partition;
    struct batch_builder builder;
    struct buf batches; /* finished batches, one after the other */
    size_t batch_bytes; /* of a batch, before compression */
    bool gives_back;
    int64_t records;
};

static int port_out_open(struct port *port, const char *topic, int32_t partition,
                         struct port_out **result, struct diag *diag)
{
    struct partition *handle;
    TRY(partition_get(log_of(port), topic, partition, &handle, diag));
    struct port_out *out = calloc(1, sizeof *out);
    if (out == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the output %s-%d", topic, (int)partition);
    out->partition = handle;
    batch_builder_init(&out->builder, CODEC_LZ4);
    /* Results are made of few different texts: 7 % more bytes, half of the time. */
    out->builder.is_fast = true;
    buf_init(&out->batches, 0);
    out->batch_bytes = BATCH_PLAIN_BYTES;
    *result = out;
    return 0;
}

static int finish_batch(struct port_out *out, struct diag *diag)
{
    if (out->builder.record_count == 0)
        return 0;
    int rc = batch_builder_finish_to(&out->builder, &out->batches);
    if (rc < 0)
        return diag_set(diag, rc, "cannot encode an output batch: %s", error_text(rc));
    batch_builder_reset(&out->builder);
    return 0;
}

static int port_out_add(struct port_out *out, int64_t timestamp_ms, struct bytes key,
                        struct bytes value, struct bytes headers, int32_t header_count,
                        struct diag *diag)
{
    /* A large record travels alone, so that it is no larger here than where it came from. */
    if (batch_builder_bytes(&out->builder) > 0 &&
        key.size + value.size + headers.size > out->batch_bytes)
        TRY(finish_batch(out, diag));
    int rc = batch_builder_add(&out->builder, timestamp_ms, key, value, headers, header_count);
    if (rc < 0)
        return diag_set(diag, rc, "cannot add an output record: %s", error_text(rc));
    out->records++;
    return batch_builder_bytes(&out->builder) >= out->batch_bytes ? finish_batch(out, diag) : 0;
}

static void port_out_is_one_of_many(struct port_out *out, size_t batch_bytes)
{
    out->batch_bytes = batch_bytes;
    out->gives_back = true;
}

static size_t port_out_bytes(const struct port_out *out)
{
    return out->batches.size + batch_builder_bytes(&out->builder);
}
static int64_t port_out_records(const struct port_out *out)
{
    return out->records;
}

static void port_out_close(struct port_out *out)
{
    if (out == NULL)
        return;
    batch_builder_deinit(&out->builder);
    buf_deinit(&out->batches);
    free(out);
}

struct port_txn {
    struct producer *producer;
    struct partition *
        *partitions; /* named by txn_participate; given to the log in the first transaction */
    size_t partition_count;
    bool is_named;
};

static int port_txn_open(struct port *port, const char *id, struct port_txn **result,
                         struct diag *diag)
{
    struct port_txn *txn = calloc(1, sizeof *txn);
    if (txn == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a transaction");
    int rc = producer_open(log_of(port), id, &txn->producer, diag);
    if (rc < 0) {
        free(txn);
        return rc;
    }
    *result = txn;
    return 0;
}

static int port_txn_participate(struct port_txn *txn, struct port_out *const *outs, size_t count,
                                struct diag *diag)
{
    struct partition **partitions =
        realloc(txn->partitions, (count + 1) * sizeof(struct partition *));
    if (partitions == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the participants");
    txn->partitions = partitions;
    txn->is_named = false;
    for (size_t i = 0; i < count; i++)
        txn->partitions[i] = outs[i]->partition;
    txn->partition_count = count;
    return 0;
}

static int port_txn_begin(struct port_txn *txn, struct diag *diag)
{
    TRY(txn_begin(txn->producer, diag));
    if (txn->is_named || txn->partitions == NULL)
        return 0;
    int rc = txn_participate(txn->producer, txn->partitions, txn->partition_count, diag);
    txn->is_named = rc == 0;
    if (rc < 0)
        (void)txn_abort(txn->producer, NULL);
    return rc;
}

static int port_txn_send(struct port_txn *txn, struct port_out *out, int64_t *end,
                         struct diag *diag)
{
    TRY(finish_batch(out, diag));
    struct bytes rest = bytes_of(out->batches.data, out->batches.size);
    while (rest.size > 0) {
        struct batch_header header;
        TRY(batch_parse_header(rest, &header, diag));
        int64_t base;
        TRY(txn_append(txn->producer, out->partition,
                       out->batches.data + (out->batches.size - rest.size),
                       (size_t)header.size_bytes, &base, diag));
        *end = base + header.last_offset_delta + 1;
        rest = bytes_of(rest.data + header.size_bytes, rest.size - (size_t)header.size_bytes);
    }
    buf_clear(&out->batches);
    if (out->gives_back) {
        buf_deinit(&out->batches); /* the limits stay */
        buf_deinit(&out->builder.records);
    }
    out->records = 0;
    return 0;
}

static int port_txn_positions(struct port_txn *txn, const char *group,
                              const struct port_position *positions, size_t count,
                              struct diag *diag)
{
    struct group_offset *offsets = calloc(count + 1, sizeof *offsets);
    if (offsets == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for positions");
    for (size_t i = 0; i < count; i++) {
        memcpy(offsets[i].topic, positions[i].topic, sizeof offsets[i].topic);
        offsets[i].partition = positions[i].partition;
        offsets[i].offset = positions[i].offset;
        offsets[i].of_app = true;
    }
    int rc = txn_add_offsets(txn->producer, group, offsets, count, diag);
    free(offsets);
    return rc;
}

static int port_txn_commit(struct port_txn *txn, void (*done)(void *, int), void *context,
                           struct diag *diag)
{
    return txn_commit_start(txn->producer, done, context, diag);
}
static int port_txn_abort(struct port_txn *txn, struct diag *diag)
{
    return txn_abort(txn->producer, diag);
}
static void port_txn_close(struct port_txn *txn)
{
    if (txn == NULL)
        return;
    producer_close(txn->producer);
    free(txn->partitions);
    free(txn);
}

static void port_log_close(struct port *port)
{
    struct port_log *closed = (struct port_log *)port;
    if (closed->app != NULL)
        handle_app_end(closed->shared, closed->app);
    if (closed->shared == NULL)
        log_close(closed->log);
    free(closed);
}

static bool port_drive(struct port *port)
{
    if (!log_is_driven(log_of(port)))
        return false;
    if (!log_drive(log_of(port)))
        clock_virtual_advance(1); /* the disk is full, and the decision is tried again */
    return true;
}

static const struct port_ops port_log_ops = {
    .topic_describe = port_topic_describe,
    .topic_name = port_topic_name,
    .topic_create = port_topic_create,
    .topic_delete = port_topic_delete,
    .range = port_range,
    .settled_range = port_settled_range,
    .offset_at = port_offset_at,
    .watch = port_watch,
    .unwatch = port_unwatch,
    .purge = port_purge,
    .keep_deletions = port_keep_deletions,
    .position = port_position,
    .readers = port_readers,
    .reader_open = port_reader_open,
    .reader_read = port_reader_read,
    .reader_close = port_reader_close,
    .out_open = port_out_open,
    .out_add = port_out_add,
    .out_is_one_of_many = port_out_is_one_of_many,
    .out_bytes = port_out_bytes,
    .out_records = port_out_records,
    .out_close = port_out_close,
    .txn_open = port_txn_open,
    .txn_participate = port_txn_participate,
    .txn_begin = port_txn_begin,
    .txn_send = port_txn_send,
    .txn_positions = port_txn_positions,
    .txn_commit = port_txn_commit,
    .txn_abort = port_txn_abort,
    .drive = port_drive,
    .txn_close = port_txn_close,
    .close = port_log_close,
};

int port_log_open(const char *dir, const struct port_log_options *options, struct port **port,
                  struct diag *diag)
{
    struct port_log *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to open %s", dir);
    opened->port.ops = &port_log_ops;
    struct log_options set = {.durability = DURABILITY_COMMIT};
    if (options != NULL) {
        set.durability = options->os_durability ? DURABILITY_OS : DURABILITY_COMMIT;
        set.keeper_interval_ms = (int32_t)options->keeper_interval_ms;
        set.cleaner_memory_bytes = options->cleaner_memory_bytes;
        set.must_exist = options->must_exist;
    }
    int rc = log_open(dir, &set, &opened->log, diag);
    if (rc < 0) {
        free(opened);
        return rc;
    }
    *port = &opened->port;
    return 0;
}

/* ---- a log that is open already ---- */

void port_log_hold(struct weir_log *log)
{
    if (log != NULL)
        atomic_fetch_add(&log->apps, 1);
}

void port_log_release(struct weir_log *log)
{
    if (log != NULL)
        atomic_fetch_sub(&log->apps, 1);
}

int port_log_share(struct weir_log *log, const char *name, struct port **port, struct diag *diag)
{
    struct port_log *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to use a log");
    int rc = name != NULL ? handle_app_begin(log, name, diag) : 0;
    if (rc < 0) {
        free(opened);
        return rc;
    }
    *opened = (struct port_log){{&port_log_ops}, log->log, log, name};
    *port = &opened->port;
    return 0;
}
