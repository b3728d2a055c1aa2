/* weir_test_read.c: what weir_test_read gives out: a topic's committed records, read by an ordinary
 * consumer from where the last call ended.
 *
 * The consumer hands out partitions in turn; what is given out is sorted by partition and offset,
 * and is one block: records, their headers, then the bytes and names that they point to. */
#include "runtime/weir_test.h"

#include <stdlib.h>
#include <string.h>

/* Records as the consumer borrowed them, copied one by one. */
struct gathered {
    weir_record **items;
    size_t count, capacity, block_bytes;
};

static size_t bytes_of_record(const weir_record *record)
{
    size_t bytes = record->key_size + record->value_size;
    for (size_t i = 0; i < record->header_count; i++)
        bytes += sizeof *record->headers + strlen(record->headers[i].key) + 1 +
                 record->headers[i].value_size;
    return bytes;
}

static const void *put(char **cursor, const void *data, size_t size)
{
    if (data == NULL)
        return NULL;
    void *copy = size > 0 ? memcpy(*cursor, data, size) : *cursor;
    *cursor += size;
    return copy;
}

/* headers: where its headers go; cursor: where bytes go. */
static void copy_record(weir_record *to, const weir_record *from, const char *topic,
                        weir_header *headers, char **cursor)
{
    *to = *from;
    to->topic = topic;
    to->key = put(cursor, from->key, from->key_size);
    to->value = put(cursor, from->value, from->value_size);
    to->headers = from->header_count > 0 ? headers : NULL;
    for (size_t i = 0; i < from->header_count; i++) {
        headers[i] = from->headers[i];
        headers[i].key = put(cursor, from->headers[i].key, strlen(from->headers[i].key) + 1);
        headers[i].value = put(cursor, from->headers[i].value, from->headers[i].value_size);
    }
}

static int gather(struct gathered *all, const weir_record *record)
{
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 64 : all->capacity * 2;
        weir_record **items = realloc(all->items, capacity * sizeof *items);
        if (items == NULL)
            return ERR_NOMEM;
        all->items = items;
        all->capacity = capacity;
    }
    size_t bytes = sizeof *record + bytes_of_record(record);
    weir_record *copy = malloc(bytes);
    if (copy == NULL)
        return ERR_NOMEM;
    weir_header *headers = (weir_header *)(copy + 1);
    char *cursor = (char *)(headers + record->header_count);
    copy_record(copy, record, NULL, headers, &cursor);
    all->items[all->count++] = copy;
    all->block_bytes += bytes;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const weir_record *left = *(weir_record *const *)a, *right = *(weir_record *const *)b;
    if (left->partition != right->partition)
        return left->partition < right->partition ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* One block of all: records, headers, bytes, the topic's name. */
static weir_record *join(const struct gathered *all, const char *topic)
{
    size_t headers_count = 0;
    for (size_t i = 0; i < all->count; i++)
        headers_count += all->items[i]->header_count;
    weir_record *block = malloc(all->block_bytes + strlen(topic) + 1);
    if (block == NULL)
        return NULL;
    weir_header *headers = (weir_header *)(block + all->count);
    char *cursor = (char *)(headers + headers_count);
    const char *name = put(&cursor, topic, strlen(topic) + 1);
    for (size_t i = 0; i < all->count; i++) {
        copy_record(&block[i], all->items[i], name, headers, &cursor);
        headers += all->items[i]->header_count;
    }
    return block;
}

static int gather_all(weir_consumer *consumer, struct test_cursor *cursor, struct gathered *all)
{
    const weir_record *records;
    size_t count;
    do {
        int rc = weir_poll(consumer, 0, &records, &count);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < count; i++) {
            if (gather(all, &records[i]) < 0)
                return ERR_NOMEM;
            cursor->positions[records[i].partition] = records[i].offset + 1;
        }
    } while (count > 0);
    return 0;
}

static int seek_all(weir_consumer *consumer, const struct test_cursor *cursor)
{
    int rc = 0;
    for (int32_t p = 0; rc == 0 && p < cursor->partitions; p++)
        if (cursor->positions[p] > 0)
            rc = weir_seek(consumer, cursor->topic, p, cursor->positions[p]);
    return rc;
}

int read_topic(weir_test *test, struct test_cursor *cursor, weir_record **records, size_t *count,
               struct diag *diag)
{
    struct gathered all = {.items = NULL};
    weir_consumer *consumer;
    const char *topic = cursor->topic;
    int rc = weir_consumer_open(
        test->log,
        &(weir_consumer_options){.topics = &topic, .topic_count = 1, .max_records = 100000},
        &consumer);
    if (rc < 0)
        return diag_set(diag, rc, "%s", weir_log_error());
    rc = seek_all(consumer, cursor);
    if (rc == 0)
        rc = gather_all(consumer, cursor, &all);
    if (rc < 0)
        diag_set(diag, rc, "%s",
                 rc == ERR_NOMEM ? "no memory for what was read" : weir_consumer_error(consumer));
    weir_consumer_close(consumer);
    if (rc == 0 && all.count > 0) {
        qsort(all.items, all.count, sizeof *all.items, by_place);
        *records = join(&all, topic);
        *count = all.count;
        if (*records == NULL)
            rc = diag_set(diag, ERR_NOMEM, "no memory for what was read");
    }
    for (size_t i = 0; i < all.count; i++)
        free(all.items[i]);
    free(all.items);
    if (rc < 0)
        *count = 0;
    return rc;
}
