/* weir_consumer.c: consumers through weir.h, over log/consumer.h.
 *
 * What is added to the log's consumer: headers that are taken apart, with keys that end in a zero
 * as C texts do, and callbacks that get the handle they know. Both live in buffers of the handle
 * that are used again by the next poll, which is how long the log's records are valid as well.
 *
 * A callback runs inside weir_poll or weir_consumer_close and may commit, seek, pause and ask;
 * polling and closing from there would pull the floor from under the call that it came from and are
 * refused. */
#include "runtime/weir_consumer.h"

#include <stdlib.h>
#include <string.h>

#define SAME(a, b) _Static_assert((int)(a) == (int)(b), #a)
SAME(WEIR_READ_COMMITTED, READ_COMMITTED);
SAME(WEIR_READ_UNCOMMITTED, READ_UNCOMMITTED);
SAME(WEIR_RESET_EARLIEST, RESET_EARLIEST);
SAME(WEIR_RESET_LATEST, RESET_LATEST);
SAME(WEIR_RESET_ERROR, RESET_ERROR);
SAME(WEIR_ASSIGN_NONE, ASSIGN_NONE);
SAME(WEIR_ASSIGN_RANGE, ASSIGN_RANGE);
SAME(WEIR_ASSIGN_ROUND_ROBIN, ASSIGN_ROUND_ROBIN);
SAME(WEIR_ASSIGN_STICKY, ASSIGN_STICKY);
SAME(WEIR_ASSIGN_COOPERATIVE_STICKY, ASSIGN_COOPERATIVE_STICKY);
SAME(WEIR_BEGINNING, CONSUMER_BEGINNING);
SAME(WEIR_END, CONSUMER_END);
enum { ASSIGNORS = sizeof((weir_consumer_options *)NULL)->assignors / sizeof(weir_assignor) };
SAME(ASSIGNORS, ASSIGNORS_MAX);

int consumer_result(weir_consumer *consumer, int rc, const struct diag *diag)
{
    if (rc < 0)
        diag_set(&consumer->diag, rc, "%s", diag->text[0] != '\0' ? diag->text : error_text(rc));
    else
        consumer->diag.text[0] = '\0';
    return rc;
}

const char *weir_consumer_error(const weir_consumer *consumer)
{
    return consumer != NULL ? consumer->diag.text : "consumer is NULL";
}

/* What could not be handed out has moved the positions: nothing may be said of them before it is.
 */
int consumer_refuse_while_pending(weir_consumer *consumer)
{
    struct diag diag;
    if (consumer->pending_count == 0)
        return 0;
    return consumer_result(
        consumer, diag_set(&diag, ERR_STATE, "the last weir_poll had no memory: poll again first"),
        &diag);
}

int consumer_need(weir_consumer *consumer, const char *name, const void *argument)
{
    struct diag diag;
    if (consumer == NULL)
        return ERR_INVALID;
    if (argument == NULL)
        return consumer_result(consumer, diag_set(&diag, ERR_INVALID, "%s is NULL", name), &diag);
    return 0;
}

static int refuse_in_callback(weir_consumer *consumer, const char *what)
{
    struct diag diag;
    if (consumer->callback_depth == 0)
        return 0;
    return consumer_result(
        consumer,
        diag_set(&diag, ERR_STATE, "%s cannot be called inside a callback of its consumer", what),
        &diag);
}

/* ---- lists of partitions ---- */

/* *list grows as needed; the names are borrowed. */
int partition_list_copy(const struct topic_partition *from, size_t count,
                        struct partition_list *list)
{
    if (count > list->capacity) {
        weir_topic_partition *grown = realloc(list->partitions, count * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        list->partitions = grown;
        list->capacity = count;
    }
    for (size_t i = 0; i < count; i++)
        list->partitions[i] = (weir_topic_partition){from[i].topic, from[i].partition};
    return 0;
}

static void call_back(weir_consumer *consumer, weir_partitions_fn fn,
                      const struct topic_partition *partitions, size_t count)
{
    struct partition_list list = {.capacity = 0};
    if (fn == NULL)
        return;
    if (partition_list_copy(partitions, count, &list) < 0) {
        log_line('W', "no memory to tell a consumer of its partitions");
        return;
    }
    consumer->callback_depth++;
    fn(consumer->context, consumer, list.partitions, count);
    consumer->callback_depth--;
    free(list.partitions);
}

static void on_assigned(void *context, struct consumer *inner,
                        const struct topic_partition *partitions, size_t count)
{
    weir_consumer *consumer = context;
    (void)inner;
    call_back(consumer, consumer->assigned, partitions, count);
}

static void on_revoked(void *context, struct consumer *inner,
                       const struct topic_partition *partitions, size_t count)
{
    weir_consumer *consumer = context;
    (void)inner;
    call_back(consumer, consumer->revoked, partitions, count);
}

static void on_lost(void *context, struct consumer *inner, const struct topic_partition *partitions,
                    size_t count)
{
    weir_consumer *consumer = context;
    (void)inner;
    call_back(consumer, consumer->lost, partitions, count);
}

/* ---- opening and closing ---- */

static int check_options(const weir_consumer_options *options, struct diag *diag)
{
    TRY(reserved_check(options->reserved, "weir_consumer_options", diag));
    if ((options->topics == NULL && options->topic_count > 0) ||
        (options->partitions == NULL && options->partition_count > 0))
        return diag_set(diag, ERR_INVALID, "a count of topics or partitions without the list");
    if (options->topic_count + options->partition_count == 0 ||
        (options->topic_count > 0 && options->partition_count > 0))
        return diag_set(diag, ERR_INVALID,
                        "a consumer reads topics or partitions: name some of "
                        "either");
    for (size_t i = 0; i < options->topic_count; i++)
        if (options->topics[i] == NULL)
            return diag_set(diag, ERR_INVALID, "topic %zu is NULL", i);
    for (size_t i = 0; i < options->partition_count; i++)
        if (options->partitions[i].topic == NULL)
            return diag_set(diag, ERR_INVALID, "the topic of partition %zu is NULL", i);
    if ((int)options->reset < 0 || options->reset > WEIR_RESET_ERROR ||
        (options->isolation != WEIR_READ_COMMITTED && options->isolation != WEIR_READ_UNCOMMITTED))
        return diag_set(diag, ERR_INVALID, "reset %d or isolation %d is not one of its enum",
                        (int)options->reset, (int)options->isolation);
    for (int i = 0; i < ASSIGNORS; i++)
        if ((int)options->assignors[i] < 0 ||
            options->assignors[i] > WEIR_ASSIGN_COOPERATIVE_STICKY)
            return diag_set(diag, ERR_INVALID, "assignor %d is not one of enum weir_assignor",
                            (int)options->assignors[i]);
    if (options->session_timeout_ms < 0 || options->rebalance_timeout_ms < 0 ||
        options->heartbeat_interval_ms < 0 || options->initial_rebalance_delay_ms < 0)
        return diag_set(diag, ERR_INVALID, "weir_consumer_options: a time is negative");
    return 0;
}

static int open_inner(weir_consumer *consumer, const weir_consumer_options *from, struct diag *diag)
{
    struct topic_partition *partitions = calloc(from->partition_count + 1, sizeof *partitions);
    if (partitions == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a consumer");
    for (size_t i = 0; i < from->partition_count; i++)
        partitions[i] =
            (struct topic_partition){from->partitions[i].topic, from->partitions[i].partition};
    struct consumer_options options = {
        .group = from->group,
        .client_id = from->client_id,
        .instance_id = from->instance_id,
        .topics = from->topics,
        .topic_count = from->topic_count,
        .partitions = partitions,
        .partition_count = from->partition_count,
        .reset = (enum reset_policy)from->reset,
        .isolation = (enum isolation)from->isolation,
        .session_timeout_ms = from->session_timeout_ms,
        .rebalance_timeout_ms = from->rebalance_timeout_ms,
        .heartbeat_interval_ms = from->heartbeat_interval_ms,
        .initial_rebalance_delay_ms = from->initial_rebalance_delay_ms,
        .max_bytes = from->max_bytes,
        .max_records = from->max_records,
        .assigned = on_assigned,
        .revoked = on_revoked,
        .lost = on_lost,
        .context = consumer,
    };
    for (int i = 0; i < ASSIGNORS; i++)
        options.assignors[i] = (enum assignor)from->assignors[i];
    int rc = consumer_open(consumer->log->log, &options, &consumer->inner, diag);
    free(partitions);
    return rc;
}

static void consumer_destroy(weir_consumer *consumer)
{
    free(consumer->records);
    free(consumer->headers);
    free(consumer->header_keys);
    free(consumer->assignment.partitions);
    free(consumer->group);
    buf_deinit(&consumer->metadata);
    free(consumer);
}

int weir_consumer_open(weir_log *log, const weir_consumer_options *options,
                       weir_consumer **consumer)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "consumer", consumer));
    *consumer = NULL;
    TRY(handle_need(log, "options", options));
    int rc = check_options(options, &diag);
    weir_consumer *opened = rc == 0 ? calloc(1, sizeof *opened) : NULL;
    if (rc == 0 && opened == NULL)
        rc = ERR_NOMEM;
    if (rc == 0) {
        opened->log = log;
        opened->assigned = options->assigned;
        opened->revoked = options->revoked;
        opened->lost = options->lost;
        opened->context = options->context;
        opened->group = options->group != NULL ? strdup(options->group) : NULL;
        opened->reset = options->reset;
        buf_init(&opened->metadata, 0);
        if (options->group != NULL && opened->group == NULL)
            rc = ERR_NOMEM;
    }
    if (rc == 0)
        rc = open_inner(opened, options, &diag);
    if (rc < 0) {
        if (opened != NULL)
            consumer_destroy(opened);
        return handle_result(rc, &diag);
    }
    atomic_fetch_add(&log->consumers, 1);
    *consumer = opened;
    return 0;
}

int weir_consumer_close(weir_consumer *consumer)
{
    if (consumer == NULL)
        return 0;
    TRY(refuse_in_callback(consumer, "weir_consumer_close"));
    weir_log *log = consumer->log;
    consumer_close(consumer->inner);
    consumer_destroy(consumer);
    atomic_fetch_sub(&log->consumers, 1);
    return 0;
}

/* ---- records ---- */

static int grow(void **array, size_t *capacity, size_t needed, size_t element_size)
{
    if (needed <= *capacity)
        return 0;
    void *grown = realloc(*array, needed * element_size);
    if (grown == NULL)
        return ERR_NOMEM;
    *array = grown;
    *capacity = needed;
    return 0;
}

/* Room for the records, their headers and the headers' keys, so that nothing moves while they are
 * filled in. */
static int make_room(weir_consumer *consumer, const struct consumer_record *records, size_t count)
{
    size_t header_count = 0, key_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct bytes rest = records[i].headers;
        struct header header;
        for (int32_t h = 0; h < records[i].header_count; h++) {
            must(header_take(&rest, &header) == 0); /* the log gives out whole ones */
            header_count++;
            key_bytes += header.key.size + 1;
        }
    }
    TRY(grow((void **)&consumer->records, &consumer->record_capacity, count,
             sizeof *consumer->records));
    TRY(grow((void **)&consumer->headers, &consumer->header_capacity, header_count,
             sizeof *consumer->headers));
    return grow((void **)&consumer->header_keys, &consumer->header_keys_capacity, key_bytes, 1);
}

/* Moves *header and *key behind what it writes. */
static void fill_record(const struct consumer_record *from, weir_record *to, weir_header **header,
                        char **key)
{
    *to = (weir_record){.topic = from->topic,
                        .partition = from->partition,
                        .offset = from->offset,
                        .timestamp_ms = from->timestamp_ms,
                        .flags = WEIR_HAS_TIMESTAMP,
                        .key = from->key.data,
                        .key_size = from->key.size,
                        .value = from->value.data,
                        .value_size = from->value.size,
                        .headers = from->header_count > 0 ? *header : NULL,
                        .header_count = (size_t)from->header_count};
    struct bytes rest = from->headers;
    struct header taken;
    for (int32_t h = 0; h < from->header_count; h++) {
        must(header_take(&rest, &taken) == 0);
        **header = (weir_header){*key, taken.key.size, taken.value.data, taken.value.size};
        (*header)++;
        if (taken.key.size > 0)
            memcpy(*key, taken.key.data, taken.key.size);
        *key += taken.key.size;
        *(*key)++ = '\0';
    }
}

int weir_poll(weir_consumer *consumer, int32_t timeout_ms, const weir_record **records,
              size_t *count)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "records", records));
    TRY(consumer_need(consumer, "count", count));
    *records = NULL;
    *count = 0;
    TRY(refuse_in_callback(consumer, "weir_poll"));
    if (timeout_ms < -1)
        return consumer_result(
            consumer, diag_set(&diag, ERR_INVALID, "timeout_ms %d is below -1", timeout_ms), &diag);
    if (consumer->pending_count == 0) {
        int64_t found = consumer_poll(consumer->inner, timeout_ms, &consumer->pending, &diag);
        if (found < 0)
            return consumer_result(consumer, (int)found, &diag);
        consumer->pending_count = (size_t)found;
    }
    const struct consumer_record *polled = consumer->pending;
    size_t found = consumer->pending_count;
    if (make_room(consumer, polled, found) < 0)
        return consumer_result(consumer,
                               diag_set(&diag, ERR_NOMEM,
                                        "no memory for %zu records; the next poll brings them",
                                        found),
                               &diag);
    consumer->pending_count = 0;
    weir_header *header = consumer->headers;
    char *key = consumer->header_keys;
    for (size_t i = 0; i < found; i++)
        fill_record(&polled[i], &consumer->records[i], &header, &key);
    *records = consumer->records;
    *count = found;
    return consumer_result(consumer, 0, &diag);
}
