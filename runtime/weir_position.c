/* weir_position.c: where a consumer stands: its partitions, positions and commits, through weir.h.
 */
#include "runtime/weir_consumer.h"

#include <stdlib.h>
#include <string.h>

void weir_consumer_wake(weir_consumer *consumer)
{
    if (consumer != NULL)
        consumer_wake(consumer->inner);
}

int weir_consumer_fd(weir_consumer *consumer)
{
    return consumer != NULL ? consumer_fd(consumer->inner) : ERR_INVALID;
}

/* ---- commits ---- */

int weir_commit(weir_consumer *consumer)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "consumer", consumer));
    TRY(consumer_refuse_while_pending(consumer));
    return consumer_result(consumer, consumer_commit(consumer->inner, NULL, 0, &diag), &diag);
}

int weir_commit_offsets(weir_consumer *consumer, const weir_offset *offsets, size_t count)
{
    struct diag diag = {.code = 0};
    struct group_offset *translated;
    TRY(consumer_need(consumer, "offsets", offsets));
    int rc = offsets_translate(offsets, count, &translated, &diag);
    if (rc == 0)
        rc = consumer_commit(consumer->inner, translated, count, &diag);
    free(translated);
    return consumer_result(consumer, rc, &diag);
}

int weir_committed(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *offset,
                   const char **metadata)
{
    struct diag diag = {.code = 0};
    struct group_offset found;
    TRY(consumer_need(consumer, "topic", topic));
    TRY(consumer_need(consumer, "offset", offset));
    *offset = -1;
    if (metadata != NULL)
        *metadata = "";
    int rc =
        consumer_committed(consumer->inner, topic, partition, &found, &consumer->metadata, &diag);
    if (rc == 0) {
        buf_u8(&consumer->metadata, 0);
        if (!buf_ok(&consumer->metadata))
            rc = diag_set(&diag, ERR_NOMEM, "no memory for the metadata of an offset");
    }
    if (rc == 0) {
        *offset = found.offset;
        if (metadata != NULL)
            *metadata = (const char *)consumer->metadata.data;
    }
    return consumer_result(consumer, rc, &diag);
}

/* ---- positions ---- */

int weir_assignment(weir_consumer *consumer, const weir_topic_partition **partitions, size_t *count)
{
    struct diag diag = {.code = 0};
    const struct topic_partition *assigned;
    size_t assigned_count;
    TRY(consumer_need(consumer, "partitions", partitions));
    TRY(consumer_need(consumer, "count", count));
    *partitions = NULL;
    *count = 0;
    consumer_assignment(consumer->inner, &assigned, &assigned_count);
    if (partition_list_copy(assigned, assigned_count, &consumer->assignment) < 0)
        return consumer_result(consumer, diag_set(&diag, ERR_NOMEM, "no memory for an assignment"),
                               &diag);
    *partitions = consumer->assignment.partitions;
    *count = assigned_count;
    return consumer_result(consumer, 0, &diag);
}

int weir_position(weir_consumer *consumer, const char *topic, int32_t partition, int64_t *offset)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "topic", topic));
    TRY(consumer_need(consumer, "offset", offset));
    *offset = -1;
    TRY(consumer_refuse_while_pending(consumer));
    return consumer_result(
        consumer, consumer_position(consumer->inner, topic, partition, offset, &diag), &diag);
}

int weir_seek(weir_consumer *consumer, const char *topic, int32_t partition, int64_t offset)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "topic", topic));
    TRY(consumer_refuse_while_pending(consumer));
    return consumer_result(consumer,
                           consumer_seek(consumer->inner, topic, partition, offset, &diag), &diag);
}

int weir_seek_time(weir_consumer *consumer, const char *topic, int32_t partition,
                   int64_t timestamp_ms)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "topic", topic));
    TRY(consumer_refuse_while_pending(consumer));
    return consumer_result(
        consumer, consumer_seek_time(consumer->inner, topic, partition, timestamp_ms, &diag),
        &diag);
}

int weir_pause(weir_consumer *consumer, const char *topic, int32_t partition)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "topic", topic));
    return consumer_result(consumer, consumer_pause(consumer->inner, topic, partition, &diag),
                           &diag);
}

int weir_resume(weir_consumer *consumer, const char *topic, int32_t partition)
{
    struct diag diag = {.code = 0};
    TRY(consumer_need(consumer, "topic", topic));
    return consumer_result(consumer, consumer_resume(consumer->inner, topic, partition, &diag),
                           &diag);
}

int consumer_positions(weir_consumer *consumer, struct group_offset **offsets, size_t *count,
                       struct diag *diag)
{
    const struct topic_partition *assigned;
    size_t assigned_count;
    consumer_assignment(consumer->inner, &assigned, &assigned_count);
    struct group_offset *list = calloc(assigned_count + 1, sizeof *list);
    *offsets = NULL;
    *count = 0;
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu positions", assigned_count);
    for (size_t i = 0; i < assigned_count; i++) {
        struct group_offset *offset = &list[*count];
        int rc = consumer_position(consumer->inner, assigned[i].topic, assigned[i].partition,
                                   &offset->offset, diag);
        if (rc == ERR_NOT_FOUND ||
            rc == ERR_RANGE) /* deleted; nowhere yet, with WEIR_RESET_ERROR */
            continue;
        if (rc < 0) {
            free(list);
            return rc;
        }
        memcpy(offset->topic, assigned[i].topic, strlen(assigned[i].topic) + 1);
        offset->partition = assigned[i].partition;
        (*count)++;
    }
    *offsets = list;
    return 0;
}

/* The partition's committed offset, or where reset says without one. */
static int rewind_one(weir_consumer *consumer, const struct topic_partition *place,
                      struct diag *diag)
{
    struct group_offset committed = {.offset = -1};
    if (consumer->group != NULL)
        TRY(consumer_committed(consumer->inner, place->topic, place->partition, &committed, NULL,
                               diag));
    int64_t reset = consumer->reset == WEIR_RESET_LATEST ? CONSUMER_END : CONSUMER_BEGINNING;
    return consumer_seek(consumer->inner, place->topic, place->partition,
                         committed.offset >= 0 ? committed.offset : reset, diag);
}

int weir_consumer_rewind(weir_consumer *consumer)
{
    struct diag diag = {.code = 0};
    const struct topic_partition *assigned;
    size_t count;
    TRY(consumer_need(consumer, "consumer", consumer));
    consumer->pending_count = 0; /* it is read again */
    consumer_assignment(consumer->inner, &assigned, &count);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = rewind_one(consumer, &assigned[i], &diag);
    return consumer_result(consumer, rc, &diag);
}
