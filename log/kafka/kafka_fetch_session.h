/* kafka_fetch_session.h: fetch sessions (KIP-227): the partitions that a reader asks for, kept here, so that it sends and hears only what has changed.
 *
 * A session is in one request's hands at a time: from begin or take until it is given back, which who has it must do however the request ends.
 *
 * Threads: workers; kafka_fetch_session_give_back also the loop's thread. The sessions' mutex is held over pointers and taken last. */
#ifndef WEIR_KAFKA_FETCH_SESSION_H
#define WEIR_KAFKA_FETCH_SESSION_H

#include "log/kafka/kafka_request.h"

struct kafka_fetch_sessions;
struct kafka_fetch_sessions *kafka_fetch_sessions_create(void); /* NULL: no memory */
void kafka_fetch_sessions_destroy(struct kafka_fetch_sessions *sessions);

struct kafka_asked_partition {
    struct bytes topic; /* its name, or its id: 16 bytes */
    int32_t index, leader_epoch, max_bytes;
    int64_t offset;
};
struct kafka_fetched { /* a partition of a session */
    struct kafka_asked_partition asked;
    struct partition *partition;             /* NULL: it was not found yet */
    int64_t sent_high_watermark, sent_start; /* what the client knows; -1: nothing */

    /* of the response that is being made */
    int64_t high_watermark, start;           /* -1: an error */
    bool is_in_response, has_records;

    struct kafka_fetched *previous, *next;   /* in the order in which they are read */
    struct kafka_fetched *chain;
    uint8_t topic_bytes[];
};
struct kafka_fetch_session {
    int32_t id;
    int32_t epoch; /* the one that the next request must have */
    bool by_id;    /* topics are ids: Fetch from version 13 on */
    struct kafka_fetched *first, *last;
    size_t count;
    struct kafka_wait *waits; /* room for one of each */
    /* kafka_fetch_session.c */
    struct kafka_fetch_sessions *sessions;
    struct kafka_fetched **chains;
    size_t chain_count, wait_capacity;
    bool in_hands;
    int64_t used_ms;
    struct kafka_fetch_session *next;
};

/* A new one, in the caller's hands. NULL: there are as many as there may be, none of them idle for long; the client is answered without. */
struct kafka_fetch_session *kafka_fetch_session_begin(struct kafka_fetch_sessions *sessions, bool by_id);
/* The one with this id, and its epoch raised. KAFKA_FETCH_SESSION_ID_NOT_FOUND, KAFKA_INVALID_FETCH_SESSION_EPOCH (or another request has it), KAFKA_FETCH_SESSION_TOPIC_ID_ERROR. */
enum kafka_error kafka_fetch_session_take(struct kafka_fetch_sessions *sessions, int32_t id, int32_t epoch, bool by_id, struct kafka_fetch_session **session);
void kafka_fetch_session_give_back(struct kafka_fetch_session *session);
/* In the caller's hands: it ends. */
void kafka_fetch_session_end(struct kafka_fetch_session *session);
/* Ends the one with this id, when there is one and no request has it. */
void kafka_fetch_sessions_close(struct kafka_fetch_sessions *sessions, int32_t id);

/* Adds a partition, or changes what is asked of it. False: no memory, more partitions than sessions may have, or a name that no topic can have. */
bool kafka_fetch_session_put(struct kafka_fetch_session *session, const struct kafka_asked_partition *asked);
void kafka_fetch_session_remove(struct kafka_fetch_session *session, struct bytes topic, int32_t index);
/* The response goes out: what it says is known, and those that had records are read last the next time. */
void kafka_fetch_session_sent(struct kafka_fetch_session *session);

#endif
