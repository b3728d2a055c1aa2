/* weir_producer.c: producers through weir.h: records in, batches out, outcomes told.
 *
 * A producer has a sender (log/) for each topic that it writes to; the sender collects, chooses
 * partitions and appends. What this file adds is what somebody who does not look at each return
 * value needs: that no failure is forgotten. There are two kinds:
 *
 *   lost     the log refused a batch for what it is, or its topic is gone. Told by the call in
 *            which it happens or, for the thread of weir_linger.c, by the next weir_send; and
 *            always by the next weir_flush, which vouches for all records since the one before.
 *   delayed  a full disk, a partition that is stopped. The batch is kept and tried again by each of
 *            weir_send, weir_flush and the thread. It is told, but when a later try succeeds it
 *            never happened.
 *
 * In a transaction any failure makes its commit an abort (weir_txn.c).
 *
 * A batch is written once: the log either has it whole, or it is kept here. There is no wire
 * between the two on which an answer could be lost, so producers without transactions need no
 * sequence numbers to be idempotent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/weir_producer.h"

enum {
    LINGER_MS = 5,
    MEMORY_BYTES = 32 << 20,
    REFRESH_MS = 1000,
    HEADERS_MAX = 1 << 20,
    RECORD_MAX_BYTES = 1 << 30
};

/* ---- calls ---- */

static void diag_clear(struct diag *diag)
{
    diag->code = 0;
    diag->text[0] = '\0';
}

int producer_enter(weir_producer *producer)
{
    if (producer == NULL)
        return ERR_INVALID;
    if (producer->deliveries.in_callback)
        return ERR_STATE;
    pthread_mutex_lock(&producer->mutex);
    diag_clear(&producer->diag);
    return 0;
}

int producer_leave(weir_producer *producer, int rc, const struct diag *diag)
{
    if (rc < 0 && diag != NULL && diag->text[0] != '\0')
        producer->diag = *diag;
    else if (rc < 0)
        diag_set(&producer->diag, rc, "%s", error_text(rc));
    pthread_mutex_unlock(&producer->mutex);
    return rc;
}

const char *weir_producer_error(const weir_producer *producer)
{
    return producer != NULL ? producer->diag.text : "producer is NULL";
}

/* ---- outlets ---- */

static void note_lost(weir_producer *producer, int32_t record_count, const struct diag *reason)
{
    size_t used = strlen(producer->lost.diag.text);
    if (producer->lost.record_count == 0)
        producer->lost.diag.code = reason->code;
    snprintf(producer->lost.diag.text + used, sizeof producer->lost.diag.text - used, "%s%s",
             used > 0 ? "; " : "", reason->text);
    producer->lost.record_count += record_count;
    producer->lost.is_told = false;
    if (producer->in_txn && producer->txn_failure.code == 0)
        producer->txn_failure = *reason;
}

/* The sender's report; in whichever thread appends, under the mutex. */
static void on_appended(void *context, struct sent_batch *sent, const struct diag *reason)
{
    struct outlet *outlet = context;
    weir_producer *producer = outlet->producer;
    producer->has_appended = true;
    if (reason != NULL) {
        struct diag text;
        diag_set(&text, reason->code, "%d records for %s-%d: %s", sent->record_count, outlet->topic,
                 sent->index, reason->text);
        note_lost(producer, sent->record_count, &text);
    }
    if (producer->deliveries.delivered != NULL)
        deliveries_note(&producer->deliveries, sent);
    else
        sent_batch_free(sent);
}

const char *outlet_topic(const void *outlet)
{
    return ((const struct outlet *)outlet)->topic;
}

static void outlet_close(struct outlet *outlet)
{
    sender_close(outlet->sender);
    free(outlet);
}

static int outlet_open(weir_producer *producer, const char *topic, struct outlet **out,
                       struct diag *diag)
{
    struct outlet *outlet = calloc(1, sizeof *outlet);
    if (outlet == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a producer's topic");
    outlet->producer = producer;
    struct sender_options options = producer->sending;
    options.context = outlet;
    int rc = sender_open(producer->log->log, topic, &options, &outlet->sender, diag);
    if (rc < 0) {
        outlet_close(outlet);
        return rc;
    }
    memcpy(outlet->topic, topic, strlen(topic) + 1); /* the log knows no longer names */
    *out = outlet;
    return 0;
}

/* Where the topic is in the list, or belongs. */
static size_t outlet_place(const weir_producer *producer, const char *topic, bool *is_there)
{
    size_t low = 0, high = producer->outlet_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(producer->outlets[middle]->topic, topic);
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *is_there = false;
    return low;
}

static int outlet_find(weir_producer *producer, const char *topic, struct outlet **outlet,
                       struct diag *diag)
{
    bool is_there;
    if (producer->outlet_count > 0 &&
        strcmp(producer->outlets[producer->last_outlet]->topic, topic) == 0) {
        *outlet = producer->outlets[producer->last_outlet];
        return 0;
    }
    size_t at = outlet_place(producer, topic, &is_there);
    if (!is_there && producer->outlet_count == producer->outlet_capacity) {
        size_t capacity = producer->outlet_capacity * 2 + 4;
        struct outlet **outlets = realloc(producer->outlets, capacity * sizeof *outlets);
        if (outlets == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a producer's topic");
        producer->outlets = outlets;
        producer->outlet_capacity = capacity;
    }
    if (!is_there) {
        struct outlet *opened = NULL;
        TRY(outlet_open(producer, topic, &opened, diag));
        memmove(producer->outlets + at + 1, producer->outlets + at,
                (producer->outlet_count - at) * sizeof(struct outlet *));
        producer->outlets[at] = opened;
        producer->outlet_count++;
    }
    producer->last_outlet = at;
    *outlet = producer->outlets[at];
    return 0;
}

void producer_refresh(weir_producer *producer)
{
    /* A topic that is gone is found out when its records are appended. */
    for (size_t i = 0; i < producer->outlet_count; i++)
        (void)sender_refresh(producer->outlets[i]->sender, NULL);
    producer->has_appended = false;
    producer->next_refresh_ms = clock_mono_ms() + REFRESH_MS;
}

/* ---- appending ---- */

static int outlet_append(struct outlet *outlet, int64_t before_ns, int64_t *oldest_ns,
                         struct diag *diag)
{
    struct sender *sender = outlet->sender;
    int rc = sender_append_older(sender, before_ns, oldest_ns, diag);
    if (rc == ERR_NOT_FOUND) { /* deleted, and perhaps made anew */
        rc = sender_refresh(sender, diag);
        if (rc == ERR_NOT_FOUND)
            sender_discard(sender, diag);
        else if (rc == 0)
            rc = sender_append_older(sender, before_ns, oldest_ns, diag);
        if (rc == ERR_NOT_FOUND)
            *oldest_ns = INT64_MAX;
    }
    bool is_lost = rc == ERR_TOO_LARGE || rc == ERR_INVALID || rc == ERR_NOT_FOUND;
    return is_lost ? 0 : rc; /* on_appended has counted them */
}

int producer_append(weir_producer *producer, int64_t before_ns, int64_t *oldest_ns,
                    struct diag *diag)
{
    int first = 0;
    *oldest_ns = INT64_MAX;
    producer->collected_bytes = 0;
    for (size_t i = 0; i < producer->outlet_count; i++) {
        struct diag why = {.code = 0};
        int64_t oldest = INT64_MAX;
        int rc = outlet_append(producer->outlets[i], before_ns, &oldest, &why);
        if (rc < 0 && first == 0)
            first = diag_set(diag, rc, "%s", why.text);
        if (oldest < *oldest_ns)
            *oldest_ns = oldest;
        producer->collected_bytes += sender_collected_bytes(producer->outlets[i]->sender);
    }
    return first;
}

void producer_discard(weir_producer *producer, const struct diag *reason)
{
    int64_t record_count = producer->lost.record_count;
    struct diag diag = producer->lost.diag;
    for (size_t i = 0; i < producer->outlet_count; i++)
        sender_discard(producer->outlets[i]->sender, reason);
    producer->collected_bytes = 0;
    producer->lost.record_count = record_count;
    producer->lost.diag = diag;
}

/* ---- sending ---- */

static int check_record(const weir_record *record, struct diag *diag)
{
    if (record == NULL || record->topic == NULL)
        return diag_set(diag, ERR_INVALID, "%s is NULL",
                        record == NULL ? "record" : "the record's topic");
    if ((record->key == NULL && record->key_size > 0) ||
        (record->value == NULL && record->value_size > 0) ||
        (record->headers == NULL && record->header_count > 0))
        return diag_set(diag, ERR_INVALID,
                        "a record for %s has a size or count without a key, value or headers",
                        record->topic);
    if (record->key_size > RECORD_MAX_BYTES || record->value_size > RECORD_MAX_BYTES ||
        record->header_count > HEADERS_MAX)
        return diag_set(diag, ERR_TOO_LARGE,
                        "a record for %s is over 1 GiB, or has over %d headers", record->topic,
                        HEADERS_MAX);
    if ((record->flags & ~(uint32_t)WEIR_HAS_TIMESTAMP) != 0)
        return diag_set(diag, ERR_INVALID, "a record for %s: flags 0x%x are not known",
                        record->topic, record->flags);
    return reserved_check(record->reserved, "weir_record", diag);
}

static int encode_headers(weir_producer *producer, const weir_record *record, struct diag *diag)
{
    buf_clear(&producer->headers);
    for (size_t i = 0; i < record->header_count; i++) {
        const weir_header *header = &record->headers[i];
        if (header->key == NULL || (header->value == NULL && header->value_size > 0))
            return diag_set(diag, ERR_INVALID,
                            "header %zu of a record for %s has no key, or a size without a value",
                            i, record->topic);
        size_t key_size = header->key_size != 0 ? header->key_size : strlen(header->key);
        if (key_size > RECORD_MAX_BYTES || header->value_size > RECORD_MAX_BYTES)
            return diag_set(diag, ERR_TOO_LARGE, "header %zu of a record for %s is over 1 GiB", i,
                            record->topic);
        buf_varint(&producer->headers, (int64_t)key_size);
        buf_append(&producer->headers, header->key, key_size);
        buf_varint(&producer->headers, header->value != NULL ? (int64_t)header->value_size : -1);
        if (header->value_size > 0)
            buf_append(&producer->headers, header->value, header->value_size);
    }
    return buf_ok(&producer->headers)
               ? 0
               : diag_set(diag, ERR_NOMEM, "no memory for the headers of a record for %s",
                          record->topic);
}

/* What happened before comes first. */
static int report_earlier(weir_producer *producer, struct diag *diag)
{
    if (producer->lost.record_count > 0 && !producer->lost.is_told) {
        producer->lost.is_told = true;
        return diag_set(diag, producer->lost.diag.code, "%lld earlier records are lost: %s",
                        (long long)producer->lost.record_count, producer->lost.diag.text);
    }
    if (producer->delayed.code != 0) {
        *diag = producer->delayed;
        producer->delayed.code = 0;
        return diag->code;
    }
    if (producer->collected_bytes >= producer->memory_bytes) {
        int64_t oldest_ns;
        TRY(producer_append(producer, INT64_MAX, &oldest_ns, diag));
        if (producer->lost.record_count > 0 && !producer->lost.is_told)
            return report_earlier(producer, diag);
    }
    return 0;
}

static int send_record(weir_producer *producer, int32_t partition, const weir_record *record,
                       struct diag *diag)
{
    struct outlet *outlet = NULL;
    TRY(check_record(record, diag));
    if (producer->transactional != NULL && !producer->in_txn)
        return diag_set(diag, ERR_STATE,
                        "a transactional producer sends inside weir_txn_begin and weir_txn_commit");
    TRY(report_earlier(producer, diag));
    TRY(outlet_find(producer, record->topic, &outlet, diag));
    if (producer->has_appended && clock_mono_ms() >= producer->next_refresh_ms)
        producer_refresh(producer);
    TRY(encode_headers(producer, record, diag));
    struct bytes key = bytes_of(record->key, record->key_size);
    bool has_timestamp = record->timestamp_ms != 0 || (record->flags & WEIR_HAS_TIMESTAMP) != 0;
    size_t before = sender_collected_bytes(outlet->sender);
    int rc = sender_send_tagged(outlet->sender, partition,
                                has_timestamp ? record->timestamp_ms : INT64_MIN, key,
                                bytes_of(record->value, record->value_size),
                                bytes_of(producer->headers.data, producer->headers.size),
                                (int32_t)record->header_count, record->tag, diag);
    producer->collected_bytes += sender_collected_bytes(outlet->sender) - before;
    if (producer->lost.record_count > 0 && rc < 0)
        producer->lost.is_told = true;
    TRY(rc);
    return producer->transactional == NULL ? linger_note(producer) : 0;
}

static int send_to(weir_producer *producer, int32_t partition, const weir_record *record)
{
    struct diag diag;
    diag_clear(&diag); /* and not its kilobyte of text, for each record */
    TRY(producer_enter(producer));
    if (producer->transactional == NULL)
        deliveries_report(&producer->deliveries, outlet_topic);
    int rc = send_record(producer, partition, record, &diag);
    if (rc < 0 && producer->in_txn && producer->txn_failure.code == 0)
        producer->txn_failure = diag;
    return producer_leave(producer, rc, &diag);
}

int weir_send(weir_producer *producer, const weir_record *record)
{
    return send_to(producer, -1, record);
}

int weir_send_to(weir_producer *producer, int32_t partition, const weir_record *record)
{
    struct diag diag;
    if (partition >= 0)
        return send_to(producer, partition, record);
    TRY(producer_enter(producer));
    return producer_leave(
        producer, diag_set(&diag, ERR_INVALID, "%d is not the number of a partition", partition),
        &diag);
}

/* ---- flushing ---- */

static int wait_all(weir_producer *producer, int32_t timeout_ms, struct diag *diag)
{
    int64_t until_ms = timeout_ms < 0 ? INT64_MAX : clock_mono_ms() + timeout_ms;
    int first = 0;
    for (size_t i = 0; i < producer->outlet_count; i++) {
        struct diag why = {.code = 0};
        int64_t left_ms = timeout_ms < 0 ? -1 : until_ms - clock_mono_ms();
        int rc = sender_wait(producer->outlets[i]->sender,
                             timeout_ms >= 0 && left_ms < 0 ? 0 : (int32_t)left_ms, &why);
        if (rc < 0 && first == 0)
            first = diag_set(diag, rc, "%s", why.text);
    }
    return first;
}

/* What weir_flush answers: losses first, they are final. */
static int flush_outcome(weir_producer *producer, int rc, const struct diag *kept,
                         struct diag *diag)
{
    if (producer->lost.record_count > 0) {
        int code = diag_set(diag, producer->lost.diag.code, "%lld records are lost: %s%s%s",
                            (long long)producer->lost.record_count, producer->lost.diag.text,
                            rc < 0 ? "; and: " : "", rc < 0 ? kept->text : "");
        producer->lost.record_count = 0;
        producer->lost.diag = (struct diag){.code = 0};
        return code;
    }
    if (rc < 0)
        *diag = *kept;
    return rc;
}

int producer_flush(weir_producer *producer, int32_t timeout_ms, struct diag *diag)
{
    struct diag kept = {.code = 0};
    int64_t oldest_ns;
    producer->delayed.code = 0; /* it is tried again now */
    producer_refresh(producer);
    int rc = producer_append(producer, INT64_MAX, &oldest_ns, &kept);
    int wait_rc = wait_all(producer, timeout_ms, rc == 0 ? &kept : NULL);
    rc = rc < 0 ? rc : wait_rc;
    if (producer->transactional == NULL)
        deliveries_report(&producer->deliveries, outlet_topic);
    return flush_outcome(producer, rc, &kept, diag);
}

int weir_flush(weir_producer *producer, int32_t timeout_ms)
{
    struct diag diag = {.code = 0};
    TRY(producer_enter(producer));
    int rc = timeout_ms >= -1
                 ? producer_flush(producer, timeout_ms, &diag)
                 : diag_set(&diag, ERR_INVALID, "timeout_ms %d is below -1", timeout_ms);
    return producer_leave(producer, rc, &diag);
}

/* ---- opening and closing ---- */

static int translate_options(const weir_producer_options *from, weir_producer *producer,
                             struct diag *diag)
{
    static const enum codec codecs[] = {CODEC_LZ4,    CODEC_NONE, CODEC_GZIP,
                                        CODEC_SNAPPY, CODEC_LZ4,  CODEC_ZSTD};
    TRY(reserved_check(from->reserved, "weir_producer_options", diag));
    if ((int)from->codec < 0 || (size_t)from->codec >= sizeof codecs / sizeof *codecs)
        return diag_set(diag, ERR_INVALID, "codec %d is not one of enum weir_codec",
                        (int)from->codec);
    if (from->linger_ms < -1 || from->transaction_timeout_ms < 0 ||
        from->batch_bytes > RECORD_MAX_BYTES)
        return diag_set(diag, ERR_INVALID,
                        "weir_producer_options: linger_ms or transaction_timeout_ms is negative, "
                        "or batch_bytes over 1 GiB");
    producer->sending.codec = codecs[from->codec];
    producer->sending.codec_is_set = from->codec != WEIR_CODEC_DEFAULT;
    producer->sending.batch_bytes = from->batch_bytes;
    producer->sending.keep_tags = from->delivered != NULL;
    producer->linger_ms = from->linger_ms != 0 ? from->linger_ms : LINGER_MS;
    producer->memory_bytes = from->memory_bytes != 0 ? from->memory_bytes : MEMORY_BYTES;
    producer->deliveries.delivered = from->delivered;
    producer->deliveries.context = from->context;
    return 0;
}

static void producer_destroy(weir_producer *producer)
{
    for (size_t i = 0; i < producer->outlet_count; i++)
        outlet_close(producer->outlets[i]);
    free(producer->outlets);
    deliveries_deinit(&producer->deliveries);
    buf_deinit(&producer->headers);
    pthread_cond_destroy(&producer->wake);
    pthread_mutex_destroy(&producer->mutex);
    free(producer);
}

static weir_producer *producer_new(weir_log *log)
{
    weir_producer *producer = calloc(1, sizeof *producer);
    pthread_condattr_t attributes;
    if (producer == NULL)
        return NULL;
    producer->log = log;
    producer->sending.appended = on_appended;
    producer->deadline_ns = INT64_MAX;
    pthread_mutex_init(&producer->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&producer->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    buf_init(&producer->headers, 0);
    return producer;
}

int weir_producer_open(weir_log *log, const weir_producer_options *options,
                       weir_producer **producer)
{
    static const weir_producer_options defaults;
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "producer", producer));
    *producer = NULL;
    options = options != NULL ? options : &defaults;
    int rc = log_status(log->log, &diag);
    weir_producer *opened = rc == 0 ? producer_new(log) : NULL;
    if (rc == 0 && opened == NULL)
        rc = ERR_NOMEM;
    if (rc == 0)
        rc = translate_options(options, opened, &diag);
    if (rc == 0 && options->transactional_id != NULL)
        rc = txn_attach(opened, options, &diag);
    if (rc < 0) {
        if (opened != NULL)
            producer_destroy(opened);
        return handle_result(rc, &diag);
    }
    atomic_fetch_add(&log->producers, 1);
    *producer = opened;
    return 0;
}

int weir_producer_close(weir_producer *producer)
{
    struct diag diag = {.code = 0};
    if (producer == NULL)
        return 0;
    if (producer->deliveries.in_callback)
        return ERR_STATE;
    linger_stop(producer);
    pthread_mutex_lock(&producer->mutex);
    int rc = 0;
    if (producer->transactional != NULL)
        txn_detach(producer);
    else
        rc = producer_flush(producer, -1, &diag);
    if (rc < 0) {
        producer_discard(producer, &diag);
        deliveries_finish(&producer->deliveries, rc, outlet_topic);
    }
    pthread_mutex_unlock(&producer->mutex);
    weir_log *log = producer->log;
    producer_destroy(producer);
    atomic_fetch_sub(&log->producers, 1);
    return handle_result(rc, &diag);
}
