/* store.h: a task's store and the changelog that it follows. Checkpoint and restore are the same act: apply the committed
 * changelog from the store's own position. store_follow may be called by one thread at a time, beside the task's thread, which reads
 * through state.h. */
#ifndef WEIR_RUNTIME_STORE_H
#define WEIR_RUNTIME_STORE_H

#include <pthread.h>

#include "runtime/memory.h"
#include "runtime/metrics.h"
#include "runtime/plan.h"

struct store {
    struct state *state;
    struct port *port;
    char topic[TOPIC_NAME_BYTES];     /* the changelog */
    uint8_t topic_id[16];
    int32_t partition;
    size_t dirty_limit_bytes;         /* of pages in one LMDB transaction */
    size_t restore_bytes;             /* of changes collected while no table holds anything */
    int64_t applied_offset;           /* the next changelog offset to apply; guarded by following */
    struct task_gauges *gauges;       /* of who looks on; NULL: nobody */
    pthread_mutex_t following;        /* one store_follow at a time */
};

/* Opens DIR/state/<app>/<stage>-<partition>, checks it against its changelog and brings it up to the changelog's end. A store of
 * another changelog or plan is discarded and rebuilt (said with log_line); one that is ahead of its changelog is refused. */
int store_open(struct store *store, struct port *port, const struct plan *plan, const struct stage *stage, int32_t partition,
               struct diag *diag);
/* Collects as many changes as memory has room for at the time (NULL: what one worker may use to restore) before it writes them. */
int store_follow(struct store *store, const struct memory *memory, bool durable, struct diag *diag);
void store_close(struct store *store);
/* Where it lies. */
int store_path(const char *data, const char *app, const char *stage, int32_t partition, char *path, size_t size, struct diag *diag);
/* Removes the directory of a closed store. */
int store_remove(const char *data, const char *app, const char *stage, int32_t partition, struct diag *diag);

#endif
