/* kafka_server.h: the log, for Kafka clients, on a TCP port. This is all that a program needs which wants to serve; what it is made of:
 * README.md. */
#ifndef WEIR_KAFKA_SERVER_H
#define WEIR_KAFKA_SERVER_H

#include "log/kafka/kafka_tls.h"
#include "log/kafka/kafka_stats.h"

struct kafka_server_options {
    const char *host;               /* a numeric address; NULL: 127.0.0.1 */
    int32_t port;                   /* 0: the system chooses; kafka_server_port tells */
    const char *advertised_host;    /* where clients are sent; NULL: the address at which each client has reached us */
    int32_t advertised_port;        /* 0: the port */
    bool refuses_new_topics;        /* false: a topic that a client names and that is missing is created */
    int32_t new_topic_partitions;   /* of those; 0: 1 */
    int32_t rebalance_delay_ms;     /* how long an empty group waits for more members after the first; 0: not at all */
    int32_t workers;                /* threads that call the log; 0: 4 */
    int32_t connections;            /* at most so many at once; 0: 10,000, or what the limit of open files leaves */
    int32_t connections_per_address; /* 0: seven eighths of those */
    int64_t idle_ms;                /* a connection that asks for nothing ends; 0: 10 minutes */
    int64_t request_ms;             /* in which a request that has begun must arrive, and a response be taken; 0: 60 s */
    int64_t handshake_ms;           /* from a connection's beginning to the end of the TLS handshake, to the first request, and to a user's name where there must be one; 0:
                                     * 10 s, 30 s, 30 s */
    bool requires_users;            /* who has not authenticated (SASL) may ask for nothing */
    const char *const *super_users; /* principals ("User:alice") that may do everything, whatever the access lists say */
    size_t super_user_count;        /* with one, what no binding allows is forbidden also while there are none */
    int64_t session_lifetime_ms;    /* a client must authenticate again before it is over; 0: never */
    struct kafka_tls_options tls;   /* certificate NULL: connections are plain */
    struct kafka_stats *stats;      /* outlives the server; NULL: nothing is counted */
    int64_t memory_bytes;           /* of requests and responses of all connections; 0: 512 MiB; at least 128 MiB */
};
struct kafka_server;

/* Listens and answers from now on, in threads of its own. The log must outlive the server. ERR_INVALID: an address that is none, or a file for TLS that cannot be
 * used; ERR_BUSY: the
 * port is taken; ERR_IO, ERR_NOMEM. */
int kafka_server_start(struct log *log, const struct kafka_server_options *options, struct kafka_server **server, struct diag *diag);
/* The port it listens on. */
int32_t kafka_server_port(const struct kafka_server *server);
/* Takes no more requests, answers those that it has (two seconds at most), closes everything and frees it. */
void kafka_server_stop(struct kafka_server *server);

#endif
