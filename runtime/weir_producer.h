/* weir_producer.h: the inside of a producer, for weir_producer.c (records), weir_linger.c (its thread) and weir_txn.c (transactions). */
#ifndef WEIR_RUNTIME_WEIR_PRODUCER_H
#define WEIR_RUNTIME_WEIR_PRODUCER_H

#include <pthread.h>

#include "runtime/weir_delivery.h"
#include "runtime/weir_handle.h"

/* A topic that records were sent to. */
struct outlet {
    weir_producer *producer;
    char topic[sizeof((struct topic_info *)NULL)->name];
    struct sender *sender;
};

struct weir_producer {
    weir_log *log;
    struct producer *transactional; /* NULL: no transactions */
    struct sender_options sending;
    int32_t linger_ms;              /* -1: no thread */
    size_t memory_bytes;
    struct diag diag;               /* of the last call */
    int64_t next_refresh_ms;
    struct buf headers;

    /* The owner and the lingering thread: under mutex. */
    pthread_mutex_t mutex;
    struct outlet **outlets; /* by topic */
    size_t outlet_count, outlet_capacity, last_outlet;
    struct deliveries deliveries;
    size_t collected_bytes;         /* of all outlets */
    bool has_appended;              /* since the last refresh */
    struct {
        int64_t record_count;       /* since the last weir_flush */
        struct diag diag;           /* code of the first, reasons of all */
        bool is_told;
    } lost;
    struct diag delayed;            /* a failure in the background that lost nothing; code 0: none */
    bool in_txn;
    struct diag txn_failure;        /* why the open transaction cannot be committed; code 0: it can */

    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread, is_closing;
    int64_t deadline_ns;            /* when the thread has something to append; INT64_MAX: nothing */
};

/* For the reports: the topic of a batch that this producer sent. */
const char *outlet_topic(const void *outlet);

/* Begins a call: takes the mutex, forgets the last text. ERR_STATE inside a delivered callback, ERR_INVALID for NULL; the mutex is not held then. */
int producer_enter(weir_producer *producer);
/* Ends it: remembers the text of a failure, releases the mutex, returns rc. */
int producer_leave(weir_producer *producer, int rc, const struct diag *diag);

/* Appends batches whose first record came at before_ns or earlier, of all topics; *oldest_ns as sender_append_older. The first failure after which the records
 * are kept; lost ones are counted in lost. Records of a topic that is gone are lost. */
int producer_append(weir_producer *producer, int64_t before_ns, int64_t *oldest_ns, struct diag *diag);
/* Forgets what is collected, as lost to reason; lost itself is left as it was. */
void producer_discard(weir_producer *producer, const struct diag *reason);
/* Learns about grown topics. */
void producer_refresh(weir_producer *producer);

/* weir_flush with the mutex held. */
int producer_flush(weir_producer *producer, int32_t timeout_ms, struct diag *diag);

/* weir_txn.c: opens the transactional id; aborts what is open and closes it (mutex held). */
int txn_attach(weir_producer *producer, const weir_producer_options *options, struct diag *diag);
void txn_detach(weir_producer *producer);

/* weir_linger.c; mutex held. The thread appends what has waited for linger_ms. */
int linger_note(weir_producer *producer); /* a record was taken */
void linger_stop(weir_producer *producer); /* mutex not held */

#endif
