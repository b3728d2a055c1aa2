/* weir_delivery.h: what became of each record that a producer took. One owner; the producer's mutex guards it. */
#ifndef WEIR_RUNTIME_WEIR_DELIVERY_H
#define WEIR_RUNTIME_WEIR_DELIVERY_H

#include "log/log.h"
#include "runtime/weir.h"

struct deliveries { /* batches that left, in that order */
    void (*delivered)(void *context, const weir_delivery *delivery);
    void *context;
    struct sent_batch *first, *last;
    bool in_callback;
};

/* Frees what was not reported. */
void deliveries_deinit(struct deliveries *deliveries);
/* Takes sent over. */
void deliveries_note(struct deliveries *deliveries, struct sent_batch *sent);
/* Reports from the front: batches that are lost or below their partition's high watermark. topic_of names the topic of a batch's context. */
void deliveries_report(struct deliveries *deliveries, const char *(*topic_of)(const void *context));
/* Reports all: those without a code of their own with this one. */
void deliveries_finish(struct deliveries *deliveries, int code, const char *(*topic_of)(const void *context));

#endif
