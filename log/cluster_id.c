/* cluster_id.c: the id by which clients know this log again, whatever address it is reached at.
 *
 * Sixteen random bytes, made when somebody asks for the first time and kept in meta as two counters, so that a directory that
 * is moved or copied back keeps its id. Kafka's clients and tools want one that is not null. A log that cannot be written
 * and has none gets none: what would be made up would be another one each time. */
#include "log/log_internal.h"

#include <sys/random.h>

static const char *const counters[2] = {"cluster_id_high", "cluster_id_low"};

static int make_id(struct log *log, int64_t halves[2], struct diag *diag)
{
    struct meta_batch batch;
    if (getrandom(halves, 2 * sizeof *halves, 0) != (ssize_t)(2 * sizeof *halves))
        return diag_errno(diag, "cannot make an id for %s", log->dir);
    meta_batch_init(&batch);
    for (int i = 0; i < 2; i++)
        meta_put_counter(&batch, counters[i], halves[i]);
    int rc = log_status(log, diag);
    if (rc == 0)
        rc = log_meta_apply(log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

int log_cluster_id(struct log *log, struct uuid *id, struct diag *diag)
{
    int64_t halves[2] = {0, 0};
    int rc = 0;
    pthread_mutex_lock(&log->producers_mutex); /* which guards the other counter */
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = meta_get_counter(log->meta, counters[i], &halves[i], diag);
    if (rc == 0 && halves[0] == 0 && halves[1] == 0 && !log->read_only)
        rc = make_id(log, halves, diag);
    pthread_mutex_unlock(&log->producers_mutex);
    for (int i = 0; i < 2; i++)
        store_be64(id->bytes + 8 * i, (uint64_t)halves[i]);
    return rc;
}
