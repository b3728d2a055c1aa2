/* remote_source.c: records of a topic behind a server (source.h), through librdkafka.
 *
 * librdkafka fetches all partitions at once and hands their messages over in whatever order they come; who prints wants one partition after the
 * other. So each partition is read from its own queue, which is not forwarded to the consumer's. An end-of-partition event says that what was there has been read: the position in it is past markers and
 * aborted records, which are never handed over.
 *
 * A server's damaged partition, like one that has no leader, is one that librdkafka asks for again and again: when nothing has come
 * for reach.timeout_ms, neither records nor the end, that is an error.
 *
 * Where to begin is asked through the other handle: an answer here would wait behind a fetch that waits for records. */
#include "runtime/base/clock.h"
#include "runtime/cli/remote.h"
#include "runtime/cli/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    MESSAGES_MAX = 1000,  /* of one read */
    SLICE_MS = 100,       /* how long a wait lasts before errors and signals are looked at */
    AHEAD_KB = 256 << 10, /* of all partitions: what is fetched before it is asked for */
    AHEAD_KB_MIN = 1 << 10,
};

struct part {
    rd_kafka_queue_t *queue; /* NULL: not assigned */
    bool is_started;         /* its fetches are ours to stop */
    bool has_ended;          /* it came to an end once: what follows is not waited for any more */
    int64_t end_position;    /* where it did so last */
    int64_t begin;           /* where the assignment begins */
    int64_t start, end, high_watermark;
};
struct remote_source {
    struct source base;
    struct remote *remote;
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    int event_fd;
    bool is_member, is_closing;
    bool is_deserted; /* the group's coordinator did not answer in time */
    struct part *parts;
    int32_t part_count;
    rd_kafka_message_t *messages[MESSAGES_MAX];
    size_t message_count;
    struct record records[MESSAGES_MAX];
    size_t header_places[MESSAGES_MAX];
    struct buf headers;
    int callback_code; /* of a callback that failed */
    struct diag callback_diag;
};

static struct remote_source *of(struct source *source)
{
    return (struct remote_source *)source;
}

/* ---- where to begin ---- */

static int64_t *start_of(struct part *part)
{
    return &part->start;
}
static int64_t *end_of(struct part *part)
{
    return &part->end;
}
static int64_t *high_watermark_of(struct part *part)
{
    return &part->high_watermark;
}

static int ask_offsets(struct remote_source *s, enum isolation isolation, int64_t which,
                       int64_t *(*place)(struct part *part), struct diag *diag)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(s->part_count);
    for (int32_t i = 0; i < s->part_count; i++)
        rd_kafka_topic_partition_list_add(list, s->base.options.topic, i)->offset = which;
    int code = remote_offsets(s->remote, isolation, list, diag);
    for (int i = 0; i < list->cnt && code == 0; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        char what[300];
        snprintf(what, sizeof what, "%s-%d", one->topic, one->partition);
        *place(&s->parts[one->partition]) = one->offset;
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            code = remote_error(s->remote, one->err, what, NULL, diag);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

/* Of all partitions, by one request each. */
static int ask_bounds(struct remote_source *s, struct diag *diag)
{
    TRY(ask_offsets(s, READ_UNCOMMITTED, RD_KAFKA_OFFSET_BEGINNING, start_of, diag));
    TRY(ask_offsets(s, READ_UNCOMMITTED, RD_KAFKA_OFFSET_END, high_watermark_of, diag));
    return ask_offsets(s, s->base.options.isolation, RD_KAFKA_OFFSET_END, end_of, diag);
}

static int bounds(struct source *source, int32_t index, int64_t *start, int64_t *end,
                  struct diag *diag)
{
    const struct part *part = &of(source)->parts[index];
    (void)diag;
    *start = part->start;
    *end = part->end;
    return 0;
}

/* The offset of one partition that a request puts into list. Takes list. */
static int take_one(struct remote_source *s, rd_kafka_topic_partition_list_t *list,
                    rd_kafka_resp_err_t error, int64_t *offset, struct diag *diag)
{
    char what[300];
    snprintf(what, sizeof what, "%s-%d", list->elems[0].topic, list->elems[0].partition);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = list->elems[0].err;
    *offset = list->elems[0].offset >= 0 ? list->elems[0].offset : -1;
    rd_kafka_topic_partition_list_destroy(list);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? 0
                                               : remote_error(s->remote, error, what, NULL, diag);
}

static rd_kafka_topic_partition_list_t *list_of_one(const char *topic, int32_t index,
                                                    int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, index)->offset = offset;
    return list;
}

static int find_time(struct source *source, int32_t index, int64_t timestamp_ms, int64_t *offset,
                     struct diag *diag)
{
    struct remote_source *s = of(source);
    rd_kafka_topic_partition_list_t *list =
        list_of_one(source->options.topic, index, timestamp_ms < 0 ? 0 : timestamp_ms);
    int code = remote_offsets(s->remote, READ_UNCOMMITTED, list, diag);
    if (code < 0) {
        rd_kafka_topic_partition_list_destroy(list);
        return code;
    }
    return take_one(s, list, RD_KAFKA_RESP_ERR_NO_ERROR, offset, diag);
}

static int committed(struct source *source, int32_t index, int64_t *offset, struct diag *diag)
{
    struct remote_source *s = of(source);
    rd_kafka_topic_partition_list_t *list =
        list_of_one(source->options.topic, index, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t error = rd_kafka_committed(s->handle, list, s->remote->reach.timeout_ms);
    return take_one(s, list, error, offset, diag);
}

/* ---- a partition begins and ends ---- */

/* Events of a queue make the descriptor readable. */
static void signal_events(const struct remote_source *s, rd_kafka_queue_t *queue)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, s->event_fd, &one, sizeof one);
}

static int begin(struct source *source, int32_t index, int64_t offset, struct diag *diag)
{
    struct remote_source *s = of(source);
    struct part *part = &s->parts[index];
    /* From beyond the end nothing can be fetched: read leaves out what comes before it. */
    part->begin = offset < part->high_watermark ? offset : part->high_watermark;
    part->has_ended = false;
    part->queue = rd_kafka_queue_get_partition(s->handle, source->options.topic, index);
    rd_kafka_queue_forward(part->queue, NULL);
    signal_events(s, part->queue);
    if (s->is_member) /* the assignment starts it */
        return 0;
    if (rd_kafka_consume_start(s->topic, index, part->begin) != 0)
        return remote_error(s->remote, rd_kafka_last_error(), source->options.topic, NULL, diag);
    part->is_started = true;
    return 0;
}

static void drop_messages(struct remote_source *s)
{
    for (size_t i = 0; i < s->message_count; i++)
        rd_kafka_message_destroy(s->messages[i]);
    s->message_count = 0;
}

static void end_part(struct remote_source *s, int32_t index)
{
    struct part *part = &s->parts[index];
    if (part->is_started)
        rd_kafka_consume_stop(s->topic, index);
    if (part->queue != NULL)
        rd_kafka_queue_destroy(part->queue);
    part->queue = NULL;
    part->is_started = false;
}

/* ---- the group ---- */

static int32_t *numbers_of(const rd_kafka_topic_partition_list_t *list)
{
    int32_t *numbers = malloc(((size_t)list->cnt + 1) * sizeof *numbers);
    must(numbers != NULL);
    for (int i = 0; i < list->cnt; i++)
        numbers[i] = list->elems[i].partition;
    return numbers;
}

/* The topic has grown since it was looked at. */
static int grow_parts(struct remote_source *s, const rd_kafka_topic_partition_list_t *list)
{
    int32_t count = s->part_count;
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].partition >= count)
            count = list->elems[i].partition + 1;
    if (count == s->part_count)
        return 0;
    struct part *parts = realloc(s->parts, (size_t)count * sizeof *parts);
    if (parts == NULL)
        return ERR_NOMEM;
    memset(parts + s->part_count, 0, (size_t)(count - s->part_count) * sizeof *parts);
    s->parts = parts;
    s->part_count = count;
    return 0;
}

static void take_assignment(struct remote_source *s, rd_kafka_topic_partition_list_t *list)
{
    const struct source_options *options = &s->base.options;
    int code = grow_parts(s, list);
    if (code == 0)
        code = ask_bounds(s, &s->callback_diag);
    if (code == 0) {
        int32_t *numbers = numbers_of(list);
        options->assigned(options->context, &s->base, numbers, (size_t)list->cnt);
        free(numbers);
        for (int i = 0; i < list->cnt; i++)
            list->elems[i].offset = s->parts[list->elems[i].partition].begin;
    }
    s->callback_code = code;
    rd_kafka_assign(s->handle, code == 0 ? list : NULL);
}

static void give_up_assignment(struct remote_source *s, const rd_kafka_topic_partition_list_t *list)
{
    const struct source_options *options = &s->base.options;
    int32_t *numbers = numbers_of(list);
    drop_messages(s);
    if (rd_kafka_assignment_lost(s->handle))
        options->lost(options->context, &s->base, numbers, (size_t)list->cnt);
    else
        options->revoked(options->context, &s->base, numbers, (size_t)list->cnt);
    free(numbers);
    rd_kafka_assign(s->handle, NULL);
    for (int i = 0; i < list->cnt; i++)
        end_part(s, list->elems[i].partition);
}

static void on_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t event,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct remote *remote = opaque;
    struct remote_source *s = remote->source;
    (void)handle;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !s->is_closing)
        take_assignment(s, list);
    else
        give_up_assignment(s, list);
}

/* Errors that come by themselves; those that librdkafka gets over by itself are none. */
static int take_error(struct remote_source *s, const rd_kafka_message_t *message, struct diag *diag)
{
    static const rd_kafka_resp_err_t serious[] = {
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
        RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED,     RD_KAFKA_RESP_ERR__FATAL,
    };
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return diag_set(diag, ERR_STATE, "a record came outside of its partition's queue");
    for (size_t i = 0; i < sizeof serious / sizeof *serious; i++)
        if (message->err == serious[i])
            return remote_error(s->remote, message->err, s->base.options.topic,
                                rd_kafka_message_errstr(message), diag);
    return 0;
}

static int take_part(struct source *source, struct diag *diag)
{
    struct remote_source *s = of(source);
    rd_kafka_message_t *message;
    uint64_t count;
    ssize_t taken = read(s->event_fd, &count, sizeof count);
    (void)taken;
    while (s->is_member && (message = rd_kafka_consumer_poll(s->handle, 0)) != NULL) {
        int code = take_error(s, message, diag);
        rd_kafka_message_destroy(message);
        TRY(code);
    }
    if (s->callback_code < 0) {
        *diag = s->callback_diag;
        return s->callback_code;
    }
    return remote_check(s->remote, s->handle, diag);
}

/* Of a group's coordinator that has gone librdkafka waits for the answer until it is back. A command does not: s is deserted then. */
static rd_kafka_event_t *wait_for_commit(struct remote_source *s, rd_kafka_queue_t *answers)
{
    int64_t until_ms = clock_mono_ms() + s->remote->reach.timeout_ms;
    rd_kafka_event_t *answer;
    while ((answer = rd_kafka_queue_poll(answers, SLICE_MS)) == NULL && clock_mono_ms() < until_ms)
        rd_kafka_poll(s->handle, 0); /* it says why */
    s->is_deserted = answer == NULL;
    return answer;
}

static rd_kafka_resp_err_t commit_list(struct remote_source *s,
                                       const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_queue_t *answers = rd_kafka_queue_new(s->handle);
    rd_kafka_resp_err_t error = rd_kafka_commit_queue(s->handle, list, answers, NULL, NULL);
    rd_kafka_event_t *answer = NULL;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        answer = wait_for_commit(s, answers);
        error = answer != NULL ? rd_kafka_event_error(answer) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    const rd_kafka_topic_partition_list_t *each =
        answer != NULL ? rd_kafka_event_topic_partition_list(answer) : NULL;
    for (int i = 0; each != NULL && i < each->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        error = each->elems[i].err;
    if (answer != NULL)
        rd_kafka_event_destroy(answer);
    rd_kafka_queue_destroy(answers);
    return error;
}

static int commit(struct source *source, const struct group_offset *offsets, size_t count,
                  struct diag *diag)
{
    struct remote_source *s = of(source);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, offsets[i].topic, offsets[i].partition)->offset =
            offsets[i].offset;
    rd_kafka_resp_err_t error = commit_list(s, list);
    rd_kafka_topic_partition_list_destroy(list);
    /* A rebalance has begun, or the partitions are gone already: who gets them prints these records again. */
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
        error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
        (s->is_member && error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID))
        return 0;
    return remote_error(s->remote, error, source->options.group, NULL, diag);
}

/* ---- reading ---- */

static void take_headers(struct remote_source *s, rd_kafka_message_t *message, size_t index)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size, count = 0;
    s->header_places[index] = s->headers.size;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (; rd_kafka_header_get_all(headers, count, &name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR;
             count++)
            headers_add(&s->headers, name, bytes_of(value, size));
    s->records[index].header_count = (int32_t)count;
    s->records[index].headers.size = s->headers.size - s->header_places[index];
}

static void take_record(struct remote_source *s, rd_kafka_message_t *message, size_t index)
{
    rd_kafka_timestamp_type_t type;
    s->records[index] = (struct record){
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = bytes_of(message->key, message->key_len),
        .value = bytes_of(message->payload, message->len),
    };
    take_headers(s, message, index);
}

/* An event of the partition's queue that is no record. 0 at the end; else what is wrong with it. */
static int take_event(struct remote_source *s, struct part *part, const rd_kafka_message_t *message,
                      struct diag *diag)
{
    if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return remote_error(s->remote, message->err, s->base.options.topic,
                            rd_kafka_message_errstr(message), diag);
    part->has_ended = true;
    part->end_position = message->offset;
    return 0;
}

/* Sorts what the queue gave into records and the event that ends them, if any. What comes after an event stays for the next read. */
static int64_t sort_out(struct remote_source *s, struct part *part, int64_t position, int64_t *next,
                        struct diag *diag)
{
    size_t kept = 0;
    int code = 0;
    buf_clear(&s->headers);
    for (size_t i = 0; i < s->message_count; i++) {
        rd_kafka_message_t *message = s->messages[i];
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (code == 0)
                code = take_event(s, part, message, diag);
            continue;
        }
        if (message->offset >= position)
            take_record(s, message, kept++);
    }
    if (!buf_ok(&s->headers))
        return diag_set(diag, ERR_NOMEM, "no memory for headers");
    for (size_t i = 0; i < kept; i++)
        s->records[i].headers.data =
            s->headers.data != NULL ? s->headers.data + s->header_places[i] : NULL;
    if (part->has_ended && part->end_position > *next)
        *next = part->end_position;
    return kept > 0 ? (int64_t)kept : code; /* an error comes again */
}

/* Fills messages. Waits for the first until the partition has been at its end. 0, or why it does not wait any longer. The first is taken by itself: that
 * lets the queue make the descriptor readable again, which taking many does not. */
static int fill(struct remote_source *s, int32_t index, struct diag *diag)
{
    int64_t until_ms = clock_mono_ms() + s->remote->reach.timeout_ms;
    drop_messages(s);
    for (;;) {
        struct part *part = &s->parts[index]; /* a rebalance may move or end it */
        if (part->queue == NULL)
            return 0;
        s->messages[0] = rd_kafka_consume_queue(part->queue, part->has_ended ? 0 : SLICE_MS);
        if (s->messages[0] != NULL) {
            ssize_t count =
                rd_kafka_consume_batch_queue(part->queue, 0, s->messages + 1, MESSAGES_MAX - 1);
            s->message_count = 1 + (count > 0 ? (size_t)count : 0);
            return 0;
        }
        if (part->has_ended || interrupted())
            return 0;
        TRY(take_part(&s->base, diag));
        if (clock_mono_ms() >= until_ms)
            return remote_error(s->remote, RD_KAFKA_RESP_ERR__TIMED_OUT, s->base.options.topic,
                                NULL, diag);
    }
}

static int64_t read_records(struct source *source, int32_t index, int64_t position,
                            const struct record **records, int64_t *next, struct diag *diag)
{
    struct remote_source *s = of(source);
    *next = position;
    *records = s->records;
    TRY(fill(s, index, diag));
    return s->parts[index].queue != NULL ? sort_out(s, &s->parts[index], position, next, diag) : 0;
}

static int fd_of(const struct source *source)
{
    return ((const struct remote_source *)source)->event_fd;
}

/* ---- open and close ---- */

static void close_source(struct source *source)
{
    struct remote_source *s = of(source);
    s->is_closing = true;
    drop_messages(s);
    /* With a commit that waits for its coordinator librdkafka neither leaves the group nor ends: that is left to the process's end,
     * and the membership to its session's. */
    if (s->handle != NULL && s->is_member && !s->is_deserted)
        rd_kafka_consumer_close(s->handle);
    for (int32_t i = 0; i < s->part_count; i++)
        end_part(s, i);
    if (s->topic != NULL)
        rd_kafka_topic_destroy(s->topic);
    if (s->handle != NULL && !s->is_deserted)
        rd_kafka_destroy(s->handle);
    if (s->event_fd >= 0)
        close(s->event_fd);
    buf_deinit(&s->headers);
    s->remote->source = NULL;
    free(s->parts);
    free(s);
}

static const struct source_ops remote_source_ops = {
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

static int create_handle(struct remote_source *s, struct diag *diag)
{
    char ahead_kb[16];
    const struct source_options *options = &s->base.options;
    rd_kafka_conf_t *conf = remote_conf(s->remote, diag);
    int kb = AHEAD_KB / (s->part_count > 0 ? s->part_count : 1);
    if (conf == NULL)
        return ERR_INVALID;
    snprintf(ahead_kb, sizeof ahead_kb, "%d", kb > AHEAD_KB_MIN ? kb : AHEAD_KB_MIN);
    remote_set(conf, "client.id", "weir-consume");
    remote_set(conf, "enable.auto.commit", "false");
    remote_set(conf, "enable.auto.offset.store", "false");
    remote_set(conf, "enable.partition.eof", "true");
    remote_set(conf, "auto.offset.reset", "error");
    remote_set(conf, "check.crcs", "true");
    remote_set(conf, "receive.message.max.bytes", "2147483647"); /* a record may be that large */
    remote_set(conf, "queued.min.messages", "10000000");
    remote_set(conf, "queued.max.messages.kbytes", ahead_kb);
    remote_set(conf, "max.poll.interval.ms", "86400000"); /* a pager may hold our output */
    remote_set(conf, "isolation.level",
               options->isolation == READ_COMMITTED ? "read_committed" : "read_uncommitted");
    if (options->group != NULL)
        remote_set(conf, "group.id", options->group);
    if (s->is_member)
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    return remote_create(RD_KAFKA_CONSUMER, conf, &s->handle, diag);
}

static int join_group(struct remote_source *s, struct diag *diag)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(s->handle);
    signal_events(s, queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, s->base.options.topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(s->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR
               ? 0
               : remote_error(s->remote, error, s->base.options.group, NULL, diag);
}

static int assign_all(struct remote_source *s)
{
    const struct source_options *options = &s->base.options;
    s->topic = rd_kafka_topic_new(s->handle, options->topic, NULL);
    int32_t *numbers = malloc((size_t)(s->part_count + 1) * sizeof *numbers);
    if (numbers == NULL || s->topic == NULL) {
        free(numbers);
        return ERR_NOMEM;
    }
    for (int32_t i = 0; i < s->part_count; i++)
        numbers[i] = i;
    if (options->only >= 0)
        options->assigned(options->context, &s->base, &options->only, 1);
    else
        options->assigned(options->context, &s->base, numbers, (size_t)s->part_count);
    free(numbers);
    return 0;
}

int remote_source_open(struct remote *remote, const struct source_options *options,
                       int32_t partitions, struct source **source, struct diag *diag)
{
    struct remote_source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a consumer");
    s->base = (struct source){&remote_source_ops, *options};
    s->remote = remote;
    s->is_member = options->group != NULL && options->only < 0;
    s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->parts = calloc((size_t)partitions + 1, sizeof *s->parts);
    s->part_count = s->parts != NULL ? partitions : 0;
    remote->source = s;
    int code = s->event_fd >= 0 && s->parts != NULL
                   ? create_handle(s, diag)
                   : diag_set(diag, ERR_NOMEM, "no memory for a consumer");
    if (code == 0)
        code = ask_bounds(s, diag);
    if (code == 0)
        code = s->is_member ? join_group(s, diag) : assign_all(s);
    if (code == 0)
        *source = &s->base;
    else
        close_source(&s->base);
    return code;
}
