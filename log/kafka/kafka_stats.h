/* kafka_stats.h: how often clients have asked for which version of which API: what an operator looks at before clients or the server are replaced. */
#ifndef WEIR_KAFKA_STATS_H
#define WEIR_KAFKA_STATS_H

#include "log/log.h"

#include <stdatomic.h>

enum { KAFKA_STATS_KEYS = 96, KAFKA_STATS_VERSIONS = 24 }; /* above all that the table has: kafka_stats.c makes sure */

/* All zero at first. The caller owns it; it outlives the server that counts in it. Counted by one thread, read by any. */
struct kafka_stats {
    _Atomic uint64_t requests[KAFKA_STATS_KEYS][KAFKA_STATS_VERSIONS];
};

/* A request whose header was read and whose version is served. */
void kafka_stats_count(struct kafka_stats *stats, int16_t key, int16_t version);
/* Appends the family weir_kafka_requests in OpenMetrics' text format. context is a struct kafka_stats. */
void kafka_stats_text(void *context, struct buf *out);

#endif
