/* source.c: see source.h: opening one, and the records of the embedded log, by a consumer (log/consumer.h).
 *
 * A consumer's polls take turns among its partitions; who prints wants one after the other. So all are paused but the one whose turn it is. */
#include "runtime/cli/source.h"

#include <stdlib.h>

enum { SESSION_MS = 24 * 3600 * 1000 /* a pager may hold our output as long as it likes */ };

struct log_source {
    struct source base;
    struct log *log;
    struct consumer *consumer;
    struct record *records; /* of the last read */
    size_t record_capacity;
};

static struct log_source *of(struct source *source)
{
    return (struct log_source *)source;
}

void source_close(struct source *source)
{
    if (source != NULL)
        source->ops->close(source);
}

/* ---- partitions come and go ---- */

static void pass_on(struct log_source *s, source_partitions_fn fn,
                    const struct topic_partition *partitions, size_t count)
{
    int32_t *numbers = malloc((count + 1) * sizeof *numbers);
    must(numbers != NULL);
    for (size_t i = 0; i < count; i++)
        numbers[i] = partitions[i].partition;
    fn(s->base.options.context, &s->base, numbers, count);
    free(numbers);
}

static void on_assigned(void *context, struct consumer *consumer,
                        const struct topic_partition *partitions, size_t count)
{
    struct log_source *s = context;
    s->consumer = consumer;
    pass_on(s, s->base.options.assigned, partitions, count);
}

static void on_revoked(void *context, struct consumer *consumer,
                       const struct topic_partition *partitions, size_t count)
{
    struct log_source *s = context;
    (void)consumer;
    pass_on(s, s->base.options.revoked, partitions, count);
}

static void on_lost(void *context, struct consumer *consumer,
                    const struct topic_partition *partitions, size_t count)
{
    struct log_source *s = context;
    (void)consumer;
    pass_on(s, s->base.options.lost, partitions, count);
}

/* ---- where to begin ---- */

static int bounds(struct source *source, int32_t index, int64_t *start, int64_t *end,
                  struct diag *diag)
{
    struct partition *partition;
    struct partition_offsets offsets;
    TRY(partition_get(of(source)->log, source->options.topic, index, &partition, diag));
    partition_offsets(partition, &offsets);
    *start = offsets.start;
    *end = source->options.isolation == READ_COMMITTED ? offsets.stable : offsets.high_watermark;
    return 0;
}

static int find_time(struct source *source, int32_t index, int64_t timestamp_ms, int64_t *offset,
                     struct diag *diag)
{
    struct partition *partition;
    int64_t found_ms;
    TRY(partition_get(of(source)->log, source->options.topic, index, &partition, diag));
    return partition_find_time(partition, timestamp_ms, offset, &found_ms, diag);
}

static int committed(struct source *source, int32_t index, int64_t *offset, struct diag *diag)
{
    struct group_offset found = {.offset = -1};
    TRY(consumer_committed(of(source)->consumer, source->options.topic, index, &found, NULL, diag));
    *offset = found.offset;
    return 0;
}

static int begin(struct source *source, int32_t index, int64_t offset, struct diag *diag)
{
    struct log_source *s = of(source);
    TRY(consumer_pause(s->consumer, source->options.topic, index, diag));
    return consumer_seek(s->consumer, source->options.topic, index, offset, diag);
}

/* ---- reading ---- */

static int take_records(struct log_source *s, const struct consumer_record *from, size_t count,
                        const struct record **records, struct diag *diag)
{
    if (count > s->record_capacity) {
        struct record *grown = realloc(s->records, count * sizeof *grown);
        if (grown == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for %zu records", count);
        s->records = grown;
        s->record_capacity = count;
    }
    for (size_t i = 0; i < count; i++)
        s->records[i] = (struct record){from[i].offset, from[i].timestamp_ms, from[i].key,
                                        from[i].value,  from[i].headers,      from[i].header_count};
    *records = s->records;
    return 0;
}

static int64_t read_records(struct source *source, int32_t index, int64_t position,
                            const struct record **records, int64_t *next, struct diag *diag)
{
    struct log_source *s = of(source);
    const char *topic = source->options.topic;
    const struct consumer_record *polled;
    struct partition *partition;
    int64_t start, end;
    *next = position;
    TRY(bounds(source, index, &start, &end, diag));
    TRY(partition_get(s->log, topic, index, &partition, diag));
    if (position >= end) /* nothing new; but a stopped partition will never have any */
        return partition_status(partition, diag);
    TRY(consumer_resume(s->consumer, topic, index, diag));
    int64_t count = consumer_poll(s->consumer, 0, &polled, diag);
    struct diag unused;
    consumer_pause(s->consumer, topic, index, &unused); /* it may have gone during the poll */
    if (count > 0)
        TRY(take_records(s, polled, (size_t)count, records, diag));
    if (count == 0 && consumer_position(s->consumer, topic, index, next, &unused) < 0)
        *next = position;
    return count;
}

static int take_part(struct source *source, struct diag *diag)
{
    const struct consumer_record *records;
    int64_t code = consumer_poll(of(source)->consumer, 0, &records, diag);
    return code < 0 ? (int)code : 0;
}

static int commit(struct source *source, const struct group_offset *offsets, size_t count,
                  struct diag *diag)
{
    return consumer_commit(of(source)->consumer, offsets, count, diag);
}

static int fd_of(const struct source *source)
{
    return consumer_fd(((const struct log_source *)source)->consumer);
}

static void close_source(struct source *source)
{
    struct log_source *s = of(source);
    consumer_close(s->consumer);
    free(s->records);
    free(s);
}

static const struct source_ops log_source_ops = {
    .bounds = bounds,
    .find_time = find_time,
    .committed = committed,
    .begin = begin,
    .read = read_records,
    .take_part = take_part,
    .commit = commit,
    .fd = fd_of,
    .close = close_source,
};

static int open_consumer(struct log_source *s, struct diag *diag)
{
    const struct source_options *o = &s->base.options;
    struct topic_partition partition = {o->topic, o->only};
    struct consumer_options options = {.group = o->group,
                                       .client_id = "weir-consume",
                                       .isolation = o->isolation,
                                       .session_timeout_ms = SESSION_MS,
                                       .assigned = on_assigned,
                                       .revoked = on_revoked,
                                       .lost = on_lost,
                                       .context = s};
    if (o->only >= 0) {
        options.partitions = &partition;
        options.partition_count = 1;
    } else {
        options.topics = &o->topic;
        options.topic_count = 1;
    }
    return consumer_open(s->log, &options, &s->consumer, diag);
}

int source_open(struct door *door, const struct source_options *options, struct source **source,
                struct diag *diag)
{
    struct door_topic topic;
    *source = NULL;
    TRY(door->ops->topic_find(door, options->topic, &topic, diag));
    if (options->only >= topic.partitions)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d", options->topic,
                        topic.partitions - 1, options->only);
    if (door->remote != NULL)
        return remote_source_open(door->remote, options, topic.partitions, source, diag);
    struct log_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a consumer");
    s->base = (struct source){&log_source_ops, *options};
    s->log = door->log;
    int code = open_consumer(s, diag);
    if (code == 0)
        *source = &s->base;
    else
        close_source(&s->base);
    return code;
}
