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
    int64_t *last; /* by task that wrote and output partition: where its last row was found */
};
/* A row that may be there or not, and the others of its cluster (verify_cross.c). */
struct undecided {
    uint64_t hash;
    int64_t time_ms;
    int32_t partition;
    uint32_t cluster;
    bool is_there;
};
struct rows_check {
    struct listing *listings;
    int32_t count;
    struct writer writer;        /* the present one */
    struct undecided *undecided; /* clusters lie in one piece once they are sorted */
    size_t undecided_count, undecided_capacity;
    struct verify_map same; /* by hash of an undecided row: how many have it */
};

/* ---- what a record is known by ---- */

struct bytes verify_headers(struct bytes headers)
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
    buf_append_bytes(&v->scratch, verify_headers(headers));
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
        struct listed *grown = verify_grow(listing->items, listing->capacity * sizeof *grown,
                                           capacity * sizeof *grown);
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

/* Rows of one source partition keep their order as long as one task has had them. */
static size_t tasks_between(const struct verify *v)
{
    return v->crossed != NULL ? (size_t)v->crossed->partitions : 1;
}

int verify_rows_open(struct verify *v)
{
    struct rows_check *rows = calloc(1, sizeof *rows);
    v->rows = rows;
    if (rows == NULL)
        return verify_no_memory(v);
    rows->count = v->final->output_partitions;
    rows->listings = calloc((size_t)rows->count + 1, sizeof *rows->listings);
    rows->writer.last =
        calloc((size_t)rows->count * tasks_between(v) + 1, sizeof *rows->writer.last);
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
        if (rows->listings[p].items != NULL)
            verify_let_go(rows->listings[p].capacity * sizeof(struct listed));
        free(rows->listings[p].items);
        free(rows->listings[p].claims);
    }
    free(rows->listings);
    free(rows->writer.last);
    if (rows->undecided != NULL)
        verify_let_go(rows->undecided_capacity * sizeof *rows->undecided);
    free(rows->undecided);
    verify_map_deinit(&rows->same);
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

/* Rows that keep their key keep their partition when both topics have as many, unless another key
 * brought them where they are; else the key decides,
 * and rows without one follow their source. */
static int32_t partition_of(const struct verify_row *row, struct bytes key)
{
    const struct stage *stage = row->stage;
    int32_t count = stage->output_partitions;
    if (row->source->arm->rekey != NULL)
        return murmur2_partition(key.data, key.size, count);
    bool stays = count == stage->partitions && stage->input != INPUT_CROSSED;
    if (stays || key.data == NULL)
        return row->partition % count;
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

int verify_row_value(struct verify *v, const struct verify_row *row, struct bytes *value,
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
    if (!arm->is_mapped && row->stage->output != OUTPUT_ROWS && row->stage->input != INPUT_SIDES)
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

/* Where the row before this one was found, of its source partition and the task that wrote it. */
static int64_t *last_of(struct verify *v, const struct verify_row *row, int32_t partition)
{
    struct writer *writer = &v->rows->writer;
    size_t tasks = tasks_between(v), task = tasks > 1 ? (size_t)row->partition : 0;
    if (writer->stage != row->source->stage || writer->partition != row->source->partition) {
        writer->stage = row->source->stage;
        writer->partition = row->source->partition;
        for (size_t i = 0; i < tasks * (size_t)v->rows->count; i++)
            writer->last[i] = -1;
    }
    return &writer->last[task * (size_t)v->rows->count + (size_t)partition];
}

static int leave_undecided(struct verify *v, const struct verify_row *row, int32_t partition,
                           uint64_t hash)
{
    struct rows_check *rows = v->rows;
    if (rows->undecided_count == rows->undecided_capacity) {
        size_t capacity = rows->undecided_capacity > 0 ? rows->undecided_capacity * 2 : 64;
        struct undecided *grown = verify_grow(
            rows->undecided, rows->undecided_capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL)
            return verify_no_memory(v);
        rows->undecided = grown;
        rows->undecided_capacity = capacity;
    }
    rows->undecided[rows->undecided_count++] =
        (struct undecided){hash, row->time_ms, partition, row->cluster, false};
    return 0;
}

int verify_rows_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    struct bytes key, value;
    uint64_t hash;
    bool is_good;
    *fate = FATE_DEAD;
    TRY(make_key(v, row, &key));
    TRY(verify_row_value(v, row, &value, &is_good));
    if (!is_good)
        return 0;
    *fate = FATE_APPLIED;
    int32_t p = partition_of(row, key);
    TRY(hash_of(v, key, value, row->record->headers, &hash));
    if (row->is_undecided)
        return leave_undecided(v, row, p, hash);
    int64_t *last = last_of(v, row, p);
    struct listing *listing = &v->rows->listings[p];
    size_t first = seek(listing, hash, INT64_MIN);
    size_t behind = seek(listing, hash, *last + 1);
    char text[400];
    if (!is_hash(listing, first, hash) || !is_hash(listing, first + listing->claims[first], hash)) {
        snprintf(text, sizeof text, "of the record at offset %lld of %s-%d",
                 (long long)row->record->offset, row->source->stage->input_topic,
                 (int)row->source->partition);
        verify_tell_output(v, "missing", p, -1, key, value, (struct bytes){NULL, 0}, text);
        return 0;
    }
    listing->claims[first]++;
    if (row->is_anyones) {
        v->report->compared++;
        return 0;
    }
    if (!is_hash(listing, behind, hash)) {
        snprintf(text, sizeof text,
                 "it stands in front of a row that comes before it in %s-%d, where it is at %lld",
                 row->source->stage->input_topic, (int)row->source->partition,
                 (long long)row->record->offset);
        verify_tell_output(v, "order", p, listing->items[first].offset, key, value, value, text);
        return 0;
    }
    *last = listing->items[behind].offset;
    v->report->compared++;
    return 0;
}

/* ---- rows of which any may have been the first ---- */

static int compare_undecided(const void *a, const void *b)
{
    const struct undecided *x = a, *y = b;
    return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

static bool has_unclaimed(const struct listing *listing, uint64_t hash, size_t *first)
{
    *first = seek(listing, hash, INT64_MIN);
    return is_hash(listing, *first, hash) &&
           is_hash(listing, *first + listing->claims[*first], hash);
}

static struct hash128 row_name(uint64_t hash)
{
    return (struct hash128){hash, 1};
}

/* Whether the output says of each row of the cluster whether it was kept: no other record, and no
 * other row, is the same, and none went away behind the de-duplication. */
static bool is_told(const struct verify *v, const struct undecided *rows, size_t count)
{
    const struct rows_check *check = v->rows;
    if (rows->cluster == VERIFY_NO_CLUSTER)
        return false;
    if (count != verify_cross_cluster(v, rows->cluster))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct listing *listing = &check->listings[rows[i].partition];
        size_t first = seek(listing, rows[i].hash, INT64_MIN);
        if (is_hash(listing, first, rows[i].hash) && (listing->claims[first] > rows[i].is_there ||
                                                      is_hash(listing, first + 1, rows[i].hash)))
            return false;
        const struct verify_entry *same = verify_map_find(&check->same, row_name(rows[i].hash));
        if (same == NULL || (uintptr_t)same->value != 1)
            return false;
    }
    return true;
}

/* Whatever the order was: no two that were kept are near each other, and what was dropped is near
 * one that was kept. */
static void judge_undecided(struct verify *v, const struct undecided *rows, size_t count)
{
    int64_t within_ms = v->view->distinct->within_ms;
    for (size_t i = 0; i < count; i++) {
        size_t near = 0;
        for (size_t j = 0; j < count; j++)
            near += j != i && rows[j].is_there && rows[j].time_ms - rows[i].time_ms <= within_ms &&
                    rows[i].time_ms - rows[j].time_ms <= within_ms;
        if (rows[i].is_there != (near > 0))
            continue;
        const struct listing *listing = &v->rows->listings[rows[i].partition];
        int64_t offset =
            rows[i].is_there ? listing->items[seek(listing, rows[i].hash, INT64_MIN)].offset : -1;
        verify_tell_output(v, rows[i].is_there ? "second" : "missing", rows[i].partition, offset,
                           (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                           (struct bytes){NULL, 0},
                           rows[i].is_there ? "the row repeats another one that was kept"
                                            : "a row was dropped that repeats none that was kept");
    }
}

static int judge_all_undecided(struct verify *v)
{
    struct rows_check *check = v->rows;
    struct undecided *all = check->undecided;
    if (check->undecided_count == 0)
        return 0;
    qsort(all, check->undecided_count, sizeof *all, compare_undecided);
    for (size_t i = 0; i < check->undecided_count; i++) {
        size_t first;
        struct listing *listing = &check->listings[all[i].partition];
        struct verify_entry *same = verify_map_at(&check->same, row_name(all[i].hash));
        if (same == NULL)
            return verify_no_memory(v);
        same->value = (void *)((uintptr_t)same->value + 1);
        all[i].is_there = has_unclaimed(listing, all[i].hash, &first);
        listing->claims[first] += all[i].is_there;
        v->report->compared += all[i].is_there;
    }
    for (size_t from = 0, to; from < check->undecided_count; from = to) {
        for (to = from; to < check->undecided_count && all[to].cluster == all[from].cluster; to++)
            ;
        if (is_told(v, all + from, to - from))
            judge_undecided(v, all + from, to - from);
    }
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
    TRY(judge_all_undecided(v));
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
