/* topic_rows.c: reads topics whole, through the log's own read path (partition_fetch, CRCs
 * checked), and copies what it sees, so that a test can close the log and compare at leisure.
 * Everything it relies on is log.h; nothing comes from the engine. */
#include "tests/support/topic_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FETCH_BYTES = 1 << 20 };

static void fail(const char *what, const char *topic, const struct diag *diag)
{
    fprintf(stderr, "%s %s: %s\n", what, topic, diag->text);
    exit(2);
}

struct log *topic_log_open(const char *dir)
{
    struct log_options options = {.durability = DURABILITY_COMMIT};
    struct log *log = NULL;
    struct diag diag = {0};
    if (log_open(dir, &options, &log, &diag) < 0)
        fail("log", dir, &diag);
    return log;
}

void topic_rows_init(struct topic_rows *rows)
{
    memset(rows, 0, sizeof *rows);
    arena_init(&rows->arena, 0);
}

void topic_rows_deinit(struct topic_rows *rows)
{
    free(rows->items);
    arena_deinit(&rows->arena);
    memset(rows, 0, sizeof *rows);
}

static void add_row(struct topic_rows *rows, int32_t partition, const struct record *record)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 256;
        rows->items = realloc(rows->items, rows->capacity * sizeof *rows->items);
        must(rows->items != NULL);
    }
    rows->items[rows->count++] = (struct topic_row){
        .partition = partition,
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
        .key = arena_copy(&rows->arena, record->key),
        .value = arena_copy(&rows->arena, record->value),
        .headers = arena_copy(&rows->arena, record->headers),
        .header_count = record->header_count,
    };
}

void topic_rows_read_partition(struct log *log, const char *topic, int32_t partition, int64_t from,
                               enum isolation isolation, struct topic_rows *rows, int64_t *next)
{
    struct diag diag = {0};
    struct partition *handle;
    if (partition_get(log, topic, partition, &handle, &diag) < 0)
        fail("partition of", topic, &diag);
    struct partition_offsets offsets;
    partition_offsets(handle, &offsets);
    int64_t offset = from < offsets.start ? offsets.start : from;
    struct fetch fetch;
    struct fetch_reader reader;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    for (;;) {
        if (partition_fetch(handle, offset, isolation, FETCH_BYTES, &fetch, &diag) < 0)
            fail("fetch of", topic, &diag);
        if (fetch.next_offset == offset)
            break;
        struct record record;
        int rc;
        fetch_reader_start(&reader, &fetch, offset);
        while ((rc = fetch_reader_next(&reader, &record)) == 1)
            add_row(rows, partition, &record);
        must(rc == 0);
        offset = fetch.next_offset;
    }
    if (next != NULL)
        *next = offset;
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
}

void topic_rows_read(struct log *log, const char *topic, enum isolation isolation,
                     struct topic_rows *rows)
{
    struct topic_info info;
    struct diag diag = {0};
    int rc = topic_describe(log, topic, &info, &diag);
    if (rc == ERR_NOT_FOUND)
        return;
    if (rc < 0)
        fail("topic", topic, &diag);
    for (int32_t partition = 0; partition < info.partitions; partition++)
        topic_rows_read_partition(log, topic, partition, 0, isolation, rows, NULL);
}

/* A null sorts before an empty range. */
static int compare_nullable(struct bytes a, struct bytes b)
{
    if ((a.data == NULL) != (b.data == NULL))
        return a.data == NULL ? -1 : 1;
    return a.data == NULL ? 0 : bytes_compare(a, b);
}

static int compare_place(const struct topic_row *a, const struct topic_row *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static int compare_by_key(const void *left, const void *right)
{
    const struct topic_row *a = left, *b = right;
    int order = compare_nullable(a->key, b->key);
    return order != 0 ? order : compare_place(a, b);
}

static int compare_by_content(const void *left, const void *right)
{
    const struct topic_row *a = left, *b = right;
    int order = compare_nullable(a->key, b->key);
    if (order == 0)
        order = compare_nullable(a->value, b->value);
    return order != 0 ? order : compare_place(a, b);
}

void topic_rows_sort(struct topic_rows *rows)
{
    if (rows->count > 0)
        qsort(rows->items, rows->count, sizeof *rows->items, compare_by_content);
}

void topic_rows_latest(struct topic_rows *rows)
{
    if (rows->count == 0)
        return;
    qsort(rows->items, rows->count, sizeof *rows->items, compare_by_key);
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        bool is_last = i + 1 == rows->count ||
                       compare_nullable(rows->items[i].key, rows->items[i + 1].key) != 0;
        /* Keys live in one partition each: the order of offsets is the order of versions. */
        must(is_last || rows->items[i].partition == rows->items[i + 1].partition);
        if (is_last && rows->items[i].value.data != NULL)
            rows->items[kept++] = rows->items[i];
    }
    rows->count = kept;
}

struct bytes topic_row_header(const struct topic_row *row, const char *name)
{
    struct bytes rest = row->headers;
    for (int32_t i = 0; i < row->header_count; i++) {
        struct header header;
        must(header_take(&rest, &header) == 0);
        if (bytes_equal(header.key, bytes_text(name)))
            return header.value;
    }
    return (struct bytes){NULL, 0};
}

int64_t topic_row_header_i64(const struct topic_row *row, const char *name)
{
    struct bytes value = topic_row_header(row, name);
    char text[32], *end;
    if (value.data == NULL || value.size == 0 || value.size >= sizeof text) {
        fprintf(stderr, "header %s is missing or no number\n", name);
        exit(2);
    }
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    int64_t number = strtoll(text, &end, 10);
    if (*end != '\0') {
        fprintf(stderr, "header %s is no number: %s\n", name, text);
        exit(2);
    }
    return number;
}

size_t topic_rows_count(const char *dir, const char *topic)
{
    struct topic_rows rows;
    struct log *log = topic_log_open(dir);
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    size_t count = rows.count;
    topic_rows_deinit(&rows);
    log_close(log);
    return count;
}
