/* kafka_stats.c: counts of requests by API and version, and their lines in /metrics. A counter is there once it is not zero: what no client has asked for has no
 * line. One add without an order is all that a request pays. */
#include "log/kafka/kafka_stats.h"
#include "log/kafka/kafka_request.h"

#include <inttypes.h>

void kafka_stats_count(struct kafka_stats *stats, int16_t key, int16_t version)
{
    must(key >= 0 && key < KAFKA_STATS_KEYS);
    if (version >= 0 && version < KAFKA_STATS_VERSIONS) /* of ApiVersions any may come */
        atomic_fetch_add_explicit(&stats->requests[key][version], 1, memory_order_relaxed);
}

void kafka_stats_text(void *context, struct buf *out)
{
    struct kafka_stats *stats = context;
    const struct kafka_api *api;
    buf_printf(out, "# TYPE weir_kafka_requests counter\n"
                    "# HELP weir_kafka_requests Requests of Kafka clients, by API and version.\n");
    for (size_t i = 0; (api = kafka_api_at(i)) != NULL; i++) {
        must(api->key < KAFKA_STATS_KEYS && api->max < KAFKA_STATS_VERSIONS);
        for (int16_t version = 0; version <= api->max; version++) {
            uint64_t count =
                atomic_load_explicit(&stats->requests[api->key][version], memory_order_relaxed);
            if (count > 0)
                buf_printf(out,
                           "weir_kafka_requests_total{api=\"%s\",version=\"%d\"} %" PRIu64 "\n",
                           api->name, version, count);
        }
    }
}
