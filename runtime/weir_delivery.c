/* weir_delivery.c: the order in which a producer's records are reported.
 *
 * A sender turns records into batches; a record has no offset before its batch is appended, and is
 * not acknowledged before the high watermark has passed it. So batches that left wait here with the
 * tags of their records. They are looked at from the front alone: batches are acknowledged by
 * rounds of group commit that cover all partitions, so that one that is behind holds up the others
 * for a moment at most, and the look costs one comparison when there is nothing to report. A
 * partition's records are reported in the order of their offsets.
 *
 * In a transaction nothing is reported before it ends: deliveries_finish then reports all of it. */
#include "runtime/weir_delivery.h"

void deliveries_deinit(struct deliveries *deliveries)
{
    while (deliveries->first != NULL) {
        struct sent_batch *sent = deliveries->first;
        deliveries->first = sent->next;
        sent_batch_free(sent);
    }
    deliveries->last = NULL;
}

void deliveries_note(struct deliveries *deliveries, struct sent_batch *sent)
{
    sent->next = NULL;
    if (deliveries->last != NULL)
        deliveries->last->next = sent;
    else
        deliveries->first = sent;
    deliveries->last = sent;
}

static void report_first(struct deliveries *deliveries, int code, const char *topic)
{
    struct sent_batch *sent = deliveries->first;
    deliveries->first = sent->next;
    if (deliveries->first == NULL)
        deliveries->last = NULL;
    code = sent->code < 0 ? sent->code : code;
    deliveries->in_callback = true;
    for (int32_t i = 0; i < sent->record_count; i++) {
        weir_delivery delivery = {.tag = sent->tags[i],
                                  .topic = topic,
                                  .partition = sent->index,
                                  .code = code,
                                  .offset = code < 0 ? -1 : sent->base_offset + i};
        deliveries->delivered(deliveries->context, &delivery);
    }
    deliveries->in_callback = false;
    sent_batch_free(sent);
}

static bool is_settled(const struct sent_batch *sent)
{
    struct partition_offsets offsets;
    if (sent->code < 0)
        return true;
    partition_offsets(sent->partition, &offsets);
    return offsets.high_watermark >= sent->base_offset + sent->record_count;
}

void deliveries_report(struct deliveries *deliveries, const char *(*topic_of)(const void *context))
{
    while (deliveries->first != NULL && is_settled(deliveries->first))
        report_first(deliveries, 0, topic_of(deliveries->first->context));
}

void deliveries_finish(struct deliveries *deliveries, int code,
                       const char *(*topic_of)(const void *context))
{
    while (deliveries->first != NULL)
        report_first(deliveries, code, topic_of(deliveries->first->context));
}
