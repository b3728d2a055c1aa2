/* weir_linger.c: the thread of a producer that writes what has waited long enough.
 *
 * weir_send itself writes a batch when it is full; without this thread a record that nothing
 * follows would stay in memory until somebody calls weir_flush. The thread is started by the first
 * record, sleeps while nothing is collected, and wakes when the oldest batch is linger_ms old. A
 * producer of transactions has none: nothing of it is seen before the commit, which writes all.
 *
 * Its failures have no caller. What they lose is counted for weir_send and weir_flush to tell; what
 * they keep is tried again, not sooner than RETRY_MS, and told as well. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/thread.h"
#include "runtime/weir_producer.h"

enum { RETRY_MS = 100 };
#define NS_OF_MS(ms) ((int64_t)(ms)*1000000)

static void append_due(weir_producer *producer)
{
    struct diag diag = {.code = 0};
    int64_t now_ns = clock_mono_ns(), oldest_ns;
    int rc = producer_append(producer, now_ns - NS_OF_MS(producer->linger_ms), &oldest_ns, &diag);
    if (rc < 0)
        producer->delayed = diag;
    if (oldest_ns == INT64_MAX)
        producer->deadline_ns = INT64_MAX;
    else
        producer->deadline_ns = oldest_ns + NS_OF_MS(producer->linger_ms);
    if (rc < 0 && producer->deadline_ns < now_ns + NS_OF_MS(RETRY_MS))
        producer->deadline_ns = now_ns + NS_OF_MS(RETRY_MS);
}

static void *linger_main(void *argument)
{
    weir_producer *producer = argument;
    pthread_mutex_lock(&producer->mutex);
    while (!producer->is_closing) {
        int64_t at = producer->deadline_ns;
        if (at == INT64_MAX) {
            pthread_cond_wait(&producer->wake, &producer->mutex);
        } else if (clock_mono_ns() < at) {
            clock_cond_wait(&producer->wake, &producer->mutex, at);
        } else {
            append_due(producer);
        }
    }
    pthread_mutex_unlock(&producer->mutex);
    return NULL;
}

int linger_note(weir_producer *producer)
{
    bool is_driven = log_is_driven(producer->log->log);
    if (producer->linger_ms < 0 || (producer->deadline_ns != INT64_MAX && !is_driven))
        return 0;
    if (is_driven) { /* no thread: the first weir_send after its time writes it, or weir_flush */
        if (producer->deadline_ns == INT64_MAX)
            producer->deadline_ns = clock_mono_ns() + NS_OF_MS(producer->linger_ms);
        else if (clock_mono_ns() >= producer->deadline_ns)
            append_due(producer);
        return 0;
    }
    if (!producer->has_thread) {
        int code = thread_start(&producer->thread, linger_main, producer);
        if (code != 0)
            return diag_set(&producer->delayed, ERR_NOMEM,
                            "cannot start the thread that writes batches: %s", strerror(code));
        producer->has_thread = true;
    }
    producer->deadline_ns = clock_mono_ns() + NS_OF_MS(producer->linger_ms);
    pthread_cond_signal(&producer->wake);
    return 0;
}

void linger_stop(weir_producer *producer)
{
    if (!producer->has_thread)
        return;
    pthread_mutex_lock(&producer->mutex);
    producer->is_closing = true;
    pthread_cond_signal(&producer->wake);
    pthread_mutex_unlock(&producer->mutex);
    pthread_join(producer->thread, NULL);
    producer->has_thread = false;
}
