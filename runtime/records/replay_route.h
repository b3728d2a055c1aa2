/* replay_route.h: where the records of a replay go: the topics, their partitions, and who reads them. One thread. */
#ifndef WEIR_RECORDS_REPLAY_ROUTE_H
#define WEIR_RECORDS_REPLAY_ROUTE_H

#include "log/log.h"
#include "runtime/records/dead_letter.h"

struct replay_reader {
    char group[250];
    bool of_app;
};
struct replay_route {
    struct topic_info topic;
    struct sender *sender;     /* NULL until replay_route_send */
    int64_t *records;          /* by partition */
    struct replay_reader *readers;
    size_t reader_count;
};
struct replay_routes {
    struct log *log;
    struct producer *producer; /* whose open transaction takes what is sent; NULL: nothing may be sent */
    struct replay_route **items;
    size_t count;
};

/* The route to a topic; the first asking looks the topic and its readers up. ERR_NOT_FOUND: there is no such topic; ERR_INVALID: a job made it for itself. */
int replay_route_find(struct replay_routes *routes, const char *topic, struct replay_route **route, struct diag *diag);
/* Where the letter's record goes. To the topic that it came from, the partition that it had there; to another one, and where that partition does not exist (any
 * more), and with by_key: that of its key, as producers choose it; without a key the number it had, modulo the partitions. */
int32_t replay_route_partition(const struct replay_route *route, const struct record *record, const struct dead_letter *letter, bool by_key);
/* Sends the source record: key, value, own headers, its timestamp. */
int replay_route_send(struct replay_routes *routes, struct replay_route *route, int32_t partition, const struct record *record,
                      const struct dead_letter *letter, struct diag *diag);
/* Appends all that was sent. */
int replay_routes_flush(struct replay_routes *routes, struct diag *diag);
/* Before the producer is closed: nothing can be sent after it. What was not appended is forgotten. */
void replay_routes_close_senders(struct replay_routes *routes);
void replay_routes_deinit(struct replay_routes *routes);

#endif
