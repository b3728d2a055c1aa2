/* verify_rows.c: a view of rows: its output topic's records, one by one (see verify_parts.h).
 *
 * The records of the output are listed first, by partition: of each a hash of key, value and headers,
 * and the offset. Then each row that the steps let through is looked for in the partition where it belongs.
 * Two things are asked: whether there are as many such records as such rows, and whether the rows of
 * one source partition stand there in their order. Where a partition has one writer, the two together
 * say that it is the same sequence; where several writers meet, nothing more can be said, since
 * the order in which they came is nobody's promise.
 *
 * Left out of the hash: the record's timestamp, which a topic may set by itself
 * (message.timestamp.type), and the header weir.time, which belongs to the writer. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/task.h"
#include "runtime/verify/verify_parts.h"

enum { ROW_MAX_BYTES = 128 << 20 }; /* of a value that a stage writes */

struct listed {
    uint64_t hash;
    int64_t offset;
};
struct listing {
    struct listed *items; /* by hash, then offset */
    uint32_t *claims;     /* of the first of each hash: rows that it was looked for by */
    size_t count, capacity;
};
struct writer {
    const struct stage *stage;
    int32_t partition;
    int64_t *last; /* by output partition: the offset where its last row was found */
};
struct rows_check {
    struct listing *listings;
    int32_t count;
    struct writer writer; /* the present one */
};

/* ---- what a record is known by ---- */

static struct bytes without_time(struct bytes headers)
{
    struct bytes left = headers, name;
    int64_t size;
    if (take_varint(&left, &size) < 0 || size != sizeof TIME_HEADER - 1 ||
        take_bytes(&left, (size_t)size, &name) < 0 ||
        memcmp(name.data, TIME_HEADER, name.size) != 0 || take_varint(&left, &size) < 0)
        return headers;
    return size < 0 || take_bytes(&left, (size_t)size, &name) == 0 ? left : headers;
}

static void put_part(struct buf *all, struct bytes part)
{
    buf_be64(all, part.data == NULL ? UINT64_MAX : part.size);
    buf_append_bytes(all, part);
}

static int hash_of(struct verify *v, struct bytes key, struct bytes value, struct bytes headers,
                   uint64_t *hash)
{
    buf_clear(&v->scratch);
    put_part(&v->scratch, key);
    put_part(&v->scratch, value);
    buf_append_bytes(&v->scratch, without_time(headers));
    *hash = hash64(v->scratch.data, v->scratch.size);
    return buf_ok(&v->scratch) ? 0 : verify_no_memory(v);
}

/* ---- the output ---- */

struct listing_of {
    struct verify *v;
    struct listing *listing;
};

static int list_record(void *context, const struct source_row *record)
{
    struct listing_of *of = context;
    struct listing *listing = of->listing;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity > 0 ? listing->capacity * 2 : 1024;
        struct listed *grown = realloc(listing->items, capacity * sizeof *grown);
        if (grown == NULL)
            return verify_no_memory(of->v);
        listing->items = grown;
        listing->capacity = capacity;
    }
    struct listed *item = &listing->items[listing->count++];
    item->offset = record->offset;
    of->v->report->records++;
    return hash_of(of->v, record->key, record->value, record->headers, &item->hash);
}

static int compare_listed(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

int verify_rows_open(struct verify *v)
{
    struct rows_check *rows = calloc(1, sizeof *rows);
    v->rows = rows;
    if (rows == NULL)
        return verify_no_memory(v);
    rows->count = v->final->output_partitions;
    rows->listings = calloc((size_t)rows->count + 1, sizeof *rows->listings);
    rows->writer.last = calloc((size_t)rows->count + 1, sizeof *rows->writer.last);
    if (rows->listings == NULL || rows->writer.last == NULL)
        return verify_no_memory(v);
    for (int32_t p = 0; p < rows->count; p++) {
        struct listing *listing = &rows->listings[p];
        struct listing_of of = {v, listing};
        struct port_range range;
        TRY(verify_output_range(v, p, &range));
        TRY(verify_read(v, v->final->output_topic, p, range.start, range.stable, list_record, &of));
        listing->claims = calloc(listing->count + 1, sizeof *listing->claims);
        if (listing->claims == NULL)
            return verify_no_memory(v);
        if (listing->count > 0)
            qsort(listing->items, listing->count, sizeof *listing->items, compare_listed);
    }
    return 0;
}

void verify_rows_close(struct verify *v)
{
    struct rows_check *rows = v->rows;
    if (rows == NULL)
        return;
    for (int32_t p = 0; rows->listings != NULL && p < rows->count; p++) {
        free(rows->listings[p].items);
        free(rows->listings[p].claims);
    }
    free(rows->listings);
    free(rows->writer.last);
    free(rows);
}

/* The first item that is not before (hash, offset). */
static size_t seek(const struct listing *listing, uint64_t hash, int64_t offset)
{
    struct listed wanted = {hash, offset};
    size_t low = 0, high = listing->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_listed(&listing->items[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_hash(const struct listing *listing, size_t at, uint64_t hash)
{
    return at < listing->count && listing->items[at].hash == hash;
}

/* ---- rows ---- */

/* Rows that keep their key keep their partition when both topics have as many; else the key decides,
 * and rows without one follow their source. */
static int32_t partition_of(const struct verify_row *row, struct bytes key)
{
    const struct stage *stage = row->source->stage;
    int32_t count = stage->output_partitions;
    if (row->source->arm->rekey != NULL)
        return murmur2_partition(key.data, key.size, count);
    if (count == stage->partitions || key.data == NULL)
        return row->source->partition % count;
    return murmur2_partition(key.data, key.size, count);
}

static int make_key(struct verify *v, const struct verify_row *row, struct bytes *key)
{
    const struct view *arm = row->source->arm;
    *key = row->record->key;
    if (arm->rekey == NULL)
        return 0;
    const struct column *keys = &row->batch->columns[row->batch->column_count - arm->rekey->count];
    buf_clear(&v->key);
    if (arm->rekey->count == 1 && keys->type == COL_BYTEA && !column_is_null(keys, 0))
        buf_append_bytes(&v->key, keys->text[column_at(keys, 0)]);
    else
        json_encode_key(&v->key, arm->key_names, keys, 0, false);
    *key = bytes_of(v->key.data != NULL ? (const void *)v->key.data : "", v->key.size);
    return buf_ok(&v->key) ? 0 : verify_no_memory(v);
}

/* False: the row cannot be written and is a dead letter. */
static int make_value(struct verify *v, const struct verify_row *row, struct bytes *value,
                      bool *is_good)
{
    const struct view *arm = row->source->arm;
    struct encoding encoding = {.view = arm,
                                .columns = row->batch->columns + arm->first_value,
                                .count = arm->column_count - arm->first_value,
                                .arena = &row->source->arena,
                                .out = &v->value};
    *is_good = true;
    *value = row->record->value;
    if (row->source->stage->output == OUTPUT_PASS)
        return 0;
    buf_clear(&v->value);
    int rc = arm->format->encode(&encoding, 0);
    *is_good = rc != ERR_INVALID && v->value.size <= ROW_MAX_BYTES;
    if (!*is_good)
        return 0;
    if (rc < 0 || !buf_ok(&v->value))
        return verify_no_memory(v);
    *value = encoding.is_null ? (struct bytes){NULL, 0}
                              : bytes_of(v->value.data != NULL ? (const void *)v->value.data : "",
                                         v->value.size);
    return 0;
}

static struct writer *writer_of(struct verify *v, const struct verify_row *row)
{
    struct writer *writer = &v->rows->writer;
    if (writer->stage == row->source->stage && writer->partition == row->source->partition)
        return writer;
    writer->stage = row->source->stage;
    writer->partition = row->source->partition;
    for (int32_t p = 0; p < v->rows->count; p++)
        writer->last[p] = -1;
    return writer;
}

int verify_rows_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    struct bytes key, value;
    uint64_t hash;
    bool is_good;
    *fate = FATE_DEAD;
    TRY(make_key(v, row, &key));
    TRY(make_value(v, row, &value, &is_good));
    if (!is_good)
        return 0;
    *fate = FATE_APPLIED;
    int32_t p = partition_of(row, key);
    TRY(hash_of(v, key, value, row->record->headers, &hash));
    struct writer *writer = writer_of(v, row);
    struct listing *listing = &v->rows->listings[p];
    size_t first = seek(listing, hash, INT64_MIN);
    size_t behind = seek(listing, hash, writer->last[p] + 1);
    char text[400];
    if (!is_hash(listing, first, hash) || !is_hash(listing, first + listing->claims[first], hash)) {
        snprintf(text, sizeof text, "of the record at offset %lld of %s-%d",
                 (long long)row->record->offset, row->source->stage->input_topic,
                 (int)row->source->partition);
        verify_tell_output(v, "missing", p, -1, key, value, (struct bytes){NULL, 0}, text);
        return 0;
    }
    listing->claims[first]++;
    if (!is_hash(listing, behind, hash)) {
        snprintf(text, sizeof text,
                 "it stands in front of a row that comes before it in %s-%d, where it is at %lld",
                 row->source->stage->input_topic, (int)row->source->partition,
                 (long long)row->record->offset);
        verify_tell_output(v, "order", p, listing->items[first].offset, key, value, value, text);
        return 0;
    }
    writer->last[p] = listing->items[behind].offset;
    v->report->compared++;
    return 0;
}

/* ---- records that no row asked for ---- */

struct surplus {
    struct verify *v;
    int32_t partition;
    bool is_second; /* a row of the same content was found */
};

static int tell_surplus(void *context, const struct source_row *record)
{
    const struct surplus *surplus = context;
    verify_tell_output(surplus->v, surplus->is_second ? "second" : "unknown", surplus->partition,
                       record->offset, record->key, (struct bytes){NULL, 0}, record->value,
                       surplus->is_second ? "the row stands here more often than in the sources"
                                          : "no row of the sources becomes this record");
    return 1;
}

int verify_rows_finish(struct verify *v)
{
    for (int32_t p = 0; p < v->rows->count; p++) {
        const struct listing *listing = &v->rows->listings[p];
        size_t next;
        for (size_t first = 0; first < listing->count; first = next) {
            uint64_t hash = listing->items[first].hash;
            for (next = first; is_hash(listing, next, hash); next++)
                ;
            for (size_t i = first + listing->claims[first]; i < next; i++) {
                struct surplus surplus = {v, p, listing->claims[first] > 0};
                TRY(verify_read(v, v->final->output_topic, p, listing->items[i].offset,
                                listing->items[i].offset + 1, tell_surplus, &surplus));
            }
        }
    }
    return 0;
}
