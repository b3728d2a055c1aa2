/* consumer_source.c: a consumer's partitions: where it reads, and bringing records.
 *
 * Sources stand by topic and partition. One fetch is held at a time: its records are handed out over
 * as many polls as they fill, then the next source has its turn. So a consumer of a thousand
 * partitions needs the memory of one fetch, and none of them starves.
 *
 * A batch that is compressed is unpacked into one of CONSUMER_PLAIN_BUFFERS buffers, because the records
 * of a poll may span batches; a poll ends when they are used up. The buffer of a batch that is not used
 * up becomes the first of the next poll.
 *
 * A position is looked up when it is first needed: the committed offset, or what the reset policy
 * says. It moves with the records that are handed out, and over control records and aborted ones when the
 * fetch is used up.
 * While an undecided transaction adds an offset for the partition, the committed one is not believed: it is asked for again
 * until the transaction is decided, so that what an owner did in its last transaction is not done twice. */
#include "log/consumer_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

static int compare(const char *topic, int32_t index, const struct source *source)
{
    int order = strcmp(topic, source->topic);
    return order != 0 ? order : (index > source->index) - (index < source->index);
}

/* Where it stands, or would stand. */
static size_t place_of(const struct sources *sources, const char *topic, int32_t index)
{
    size_t low = 0, high = sources->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(topic, index, sources->items[middle]) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct source *sources_find(const struct sources *sources, const char *topic, int32_t index)
{
    size_t at = place_of(sources, topic, index);
    return at < sources->count && compare(topic, index, sources->items[at]) == 0
               ? sources->items[at]
               : NULL;
}

static void wake_by_records(void *context)
{
    consumer_signal(context);
}

static int watch(struct consumer *consumer, struct partition *partition)
{
    return consumer->options.isolation == READ_COMMITTED
               ? partition_watch_committed(partition, wake_by_records, consumer)
               : partition_watch(partition, wake_by_records, consumer);
}

/* For one more source, and for the lists of all of them. */
static int make_room(struct consumer *consumer, struct diag *diag)
{
    struct sources *sources = &consumer->sources;
    if (sources->count < sources->capacity)
        return 0;
    size_t capacity = sources->capacity == 0 ? 8 : sources->capacity * 2;
    struct source **items = realloc(sources->items, capacity * sizeof(struct source *));
    if (items != NULL)
        sources->items = items;
    struct topic_partition *lists =
        realloc(consumer->assignment, 2 * capacity * sizeof *consumer->assignment);
    if (lists != NULL)
        consumer->assignment = lists;
    if (items == NULL || lists == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu partitions", capacity);
    sources->capacity = capacity;
    return 0;
}

int consumer_add_source(struct consumer *consumer, const char *topic, int32_t index,
                        struct source **out, struct diag *diag)
{
    struct sources *sources = &consumer->sources;
    struct partition *partition;
    TRY(partition_get(consumer->log, topic, index, &partition, diag));
    TRY(make_room(consumer, diag));
    struct source *source = calloc(1, sizeof *source);
    const char *name = consumer_intern(consumer, topic, strlen(topic));
    if (source == NULL || name == NULL) {
        free(source);
        return diag_set(diag, ERR_NOMEM, "no memory for %s-%d", topic, (int)index);
    }
    *source = (struct source){.topic = name,
                              .index = index,
                              .partition = partition,
                              .position = NO_POSITION,
                              .committed = NO_POSITION,
                              .watch_id = watch(consumer, partition)};
    size_t at = place_of(sources, topic, index);
    memmove(sources->items + at + 1, sources->items + at,
            (sources->count - at) * sizeof(struct source *));
    sources->items[at] = source;
    sources->count++;
    *out = source;
    return 0;
}

void consumer_forget_fetch(struct consumer *consumer, const struct source *source)
{
    if (consumer->reading != source)
        return;
    consumer->reading = NULL;
    consumer->in_batch = false;
}

void consumer_drop_sources(struct consumer *consumer)
{
    struct sources *sources = &consumer->sources;
    size_t kept = 0;
    for (size_t i = 0; i < sources->count; i++) {
        struct source *source = sources->items[i];
        if (source->keep) {
            sources->items[kept++] = source;
            continue;
        }
        consumer_forget_fetch(consumer, source);
        if (source->watch_id >= 0)
            partition_unwatch(source->partition, source->watch_id);
        free(source);
    }
    sources->count = kept;
}

void consumer_sources_changed(struct consumer *consumer)
{
    for (size_t i = 0; i < consumer->sources.count; i++)
        consumer->assignment[i] = (struct topic_partition){consumer->sources.items[i]->topic,
                                                           consumer->sources.items[i]->index};
    consumer->next_source = 0;
}

/* ---- positions ---- */

int64_t source_end(const struct consumer *consumer, const struct source *source)
{
    struct partition_offsets offsets;
    partition_offsets(source->partition, &offsets);
    return consumer->options.isolation == READ_COMMITTED ? offsets.stable : offsets.high_watermark;
}

static int64_t policy_position(const struct consumer *consumer, const struct source *source)
{
    struct partition_offsets offsets;
    partition_offsets(source->partition, &offsets);
    bool latest = consumer->options.reset == RESET_LATEST && !source->from_start;
    return latest ? source_end(consumer, source) : offsets.start;
}

int source_locate(struct consumer *consumer, struct source *source, struct diag *diag)
{
    if (source->position != NO_POSITION)
        return 0;
    struct group_offset committed = {.offset = -1};
    int pending = 0;
    if (consumer->options.group != NULL)
        TRY(pending = group_offset_pending(consumer->log, consumer->options.group, source->topic,
                                           source->index));
    consumer->waits_for_offset |= pending > 0;
    if (pending > 0)
        return diag_set(diag, ERR_BUSY, "a transaction that commits an offset of %s-%d is open",
                        source->topic, (int)source->index);
    if (consumer->options.group != NULL)
        TRY(group_fetch(consumer->log, consumer->options.group, source->topic, source->index,
                        &committed));
    if (committed.offset >= 0) {
        source->position = source->committed = committed.offset;
        return 0;
    }
    if (consumer->options.reset == RESET_ERROR && !source->from_start)
        return diag_set(diag, ERR_RANGE,
                        "%s-%d: %s has no committed offset, and the reset policy is "
                        "error",
                        source->topic, (int)source->index,
                        consumer->options.group != NULL ? consumer->options.group
                                                        : "a reader without a group");
    source->position = source->committed = policy_position(consumer, source);
    return 0;
}

/* The position lies outside what exists. */
static int reset_position(struct consumer *consumer, struct source *source, struct diag *diag)
{
    int64_t from = source->position;
    if (consumer->options.reset == RESET_ERROR)
        return ERR_RANGE; /* diag: the fetch's */
    (void)diag;
    source->position = policy_position(consumer, source);
    struct topic_partition name = {source->topic, source->index};
    if (consumer->options.was_reset != NULL)
        consumer->options.was_reset(consumer->options.context, &name, from, source->position);
    else
        log_line('W', "%s-%d: offset %lld does not exist: reading goes on at %lld", source->topic,
                 (int)source->index, (long long)from, (long long)source->position);
    return 0;
}

/* ---- records ---- */

/* The next record of the fetch into *out: 1, 0 at its end or when the buffers are used up (then more
 * is true), ERR_CORRUPT. */
static int next_record(struct consumer *c, struct consumer_record *out, bool *more)
{
    struct record record;
    *more = false;
    for (;;) {
        while (c->in_batch) {
            int rc = record_reader_next(&c->records, &record);
            TRY(rc);
            c->in_batch = rc > 0;
            if (rc == 0 || record.offset < c->read_from)
                continue;
            *out = (struct consumer_record){c->reading->topic,   c->reading->index,  record.offset,
                                            record.timestamp_ms, record.key,         record.value,
                                            record.headers,      record.header_count};
            return 1;
        }
        if (c->plain_used == CONSUMER_PLAIN_BUFFERS) {
            *more = true;
            return 0;
        }
        struct bytes batch;
        struct batch_header header;
        int rc = fetch_reader_next_batch(&c->batches, &batch, &header);
        if (rc <= 0)
            return rc;
        struct diag why;
        TRY(record_reader_open(&c->records, batch, BATCH_PLAIN_LIMIT_BYTES,
                               &c->plain[c->plain_used], &why));
        c->plain_used += (header.attributes & BATCH_ATTR_CODEC) != 0;
        c->in_batch = true;
    }
}

/* The buffer of the batch that is being read is the first one of the new poll. */
static void recycle_buffers(struct consumer *c)
{
    if (c->plain_used == 0)
        return;
    if (c->in_batch) {
        struct buf last = c->plain[c->plain_used - 1];
        c->plain[c->plain_used - 1] = c->plain[0];
        c->plain[0] = last;
    }
    c->plain_used = c->in_batch ? 1 : 0;
}

/* Up to max_records of the fetch that is held. */
static int64_t drain_fetch(struct consumer *c)
{
    struct source *source = c->reading;
    size_t count = 0;
    bool more = false;
    int rc = 1;
    while (count < c->options.max_records && (rc = next_record(c, &c->out[count], &more)) > 0)
        source->position = c->out[count++].offset + 1;
    if (rc < 0 && count == 0) {
        consumer_forget_fetch(c, source);
        return rc;
    }
    if (rc == 0 && !more) { /* also over what is not for readers */
        if (c->fetch.next_offset > source->position)
            source->position = c->fetch.next_offset;
        consumer_forget_fetch(c, source);
    }
    return (int64_t)count; /* what is damaged after it comes with the next poll */
}

/* Brings bytes. 1: there are some; 0: nothing new; or the error. */
static int fetch_source(struct consumer *c, struct source *source, struct diag *diag)
{
    int located = source_locate(c, source, diag);
    if (located < 0)
        return located == ERR_BUSY ? 0 : located; /* busy: a later poll asks again */
    struct partition_offsets offsets;
    partition_offsets(source->partition, &offsets);
    int64_t bound =
        c->options.isolation == READ_COMMITTED ? offsets.stable : offsets.high_watermark;
    bool exists = source->position >= offsets.start && source->position <= offsets.end;
    if (exists && source->position >= bound)
        return partition_readable(source->partition,
                                  diag); /* a stopped one will never bring more */
    int rc = partition_fetch(source->partition, source->position, c->options.isolation,
                             c->options.max_bytes, &c->fetch, diag);
    if (rc == ERR_RANGE) {
        TRY(reset_position(c, source, diag));
        return 1;
    }
    if (rc < 0)
        return rc;
    c->reading = source;
    c->read_from = source->position;
    c->in_batch = false;
    fetch_reader_start(&c->batches, &c->fetch, source->position);
    return c->fetch.next_offset > source->position;
}

static int64_t read_source(struct consumer *c, struct source *source, struct diag *diag)
{
    for (;;) {
        if (c->reading == NULL) {
            int rc = fetch_source(c, source, diag);
            if (rc <= 0) {
                c->reading = NULL;
                return rc;
            }
            if (c->reading == NULL)
                continue; /* the position was reset */
        }
        int64_t count = drain_fetch(c);
        if (count != 0)
            return count;
    }
}

static int fail_source(struct source *source, int code, struct diag *diag)
{
    source->status = code;
    if (diag->text[0] == '\0')
        diag_set(diag, code, "%s-%d at offset %lld: %s", source->topic, (int)source->index,
                 (long long)source->position, error_text(code));
    source->why = *diag;
    source->why.code = code;
    return code;
}

int64_t consumer_collect(struct consumer *c, struct diag *diag)
{
    struct diag why = {0};
    size_t count = c->sources.count;
    c->waits_for_offset = false;
    recycle_buffers(c);
    if (c->reading != NULL && c->reading->paused)
        consumer_forget_fetch(c, c->reading);
    for (size_t tried = 0; tried <= count && count > 0; tried++) {
        struct source *source =
            c->reading != NULL ? c->reading : c->sources.items[c->next_source++ % count];
        if (source->paused || source->status != 0)
            continue;
        why.text[0] = '\0';
        int64_t rc = read_source(c, source, &why);
        if (rc > 0)
            return rc;
        if (rc < 0) {
            consumer_forget_fetch(c, source);
            fail_source(source, (int)rc, &why);
            if (diag != NULL)
                *diag = source->why;
            return rc;
        }
    }
    return 0;
}
