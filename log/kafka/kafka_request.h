/* kafka_request.h: one request, as the handler of its API sees it, and the handler's contract.
 *
 * A handler reads the body from request->in, calls the log, writes the response's body to request->writer and returns what is to become of it. It runs
 * in a worker: it may block for a write to meta or a read of the disk, not for other clients. It knows nothing of sockets. What waits for others (new
 * records, a flush, members of a group) parks, and costs no thread.
 *
 *     handle ─┬─ KAFKA_ANSWER    the response goes out, in the order of the connection's requests
 *             ├─ KAFKA_LAST      the same, and then the connection ends, for request->reason
 *             ├─ KAFKA_SILENT    there is no response (Produce with acks=0)
 *             ├─ KAFKA_CLOSE     the connection ends, request->reason goes to stderr: a request that cannot be read
 *             ├─ KAFKA_PARK      resume() is called, in a worker, when what stands in request->park has come, or its time is over
 *             └─ KAFKA_CALLBACK  somebody calls kafka_request_called() once: then the response, which is written by then, goes out
 *
 * A reader that fails needs no code in the handler but one question (wire_read_ok) before anything is changed: KAFKA_CLOSE and no reason
 * means the reader's.
 *
 * Memory: request->arena lives as long as the request, at most a fixed part and 8 times the request's bytes. request->out grows up to
 * KAFKA_RESPONSE_BYTES; over it the connection ends with a reason. */
#ifndef WEIR_KAFKA_REQUEST_H
#define WEIR_KAFKA_REQUEST_H

#include "log/kafka/kafka_access.h"
#include "log/kafka/kafka_error.h"
#include "log/kafka/kafka_server.h"
#include "log/kafka/wire_read.h"
#include "log/kafka/wire_write.h"
#include "runtime/base/arena.h"

#include <stdatomic.h>

enum {
    KAFKA_NODE_ID = 0,                      /* ours, the only one: leader of everything */
    KAFKA_FRAME_BYTES = 104857600,          /* largest request: socket.request.max.bytes of Kafka */
    KAFKA_RESPONSE_BYTES = 128 << 20,       /* largest response */
    KAFKA_TOPIC_PARTITIONS = 10000,         /* most of a topic: topic_create */
    KAFKA_ARENA_FIXED_BYTES = 64 << 10,
};

/* A part of a response that stays in the kernel (kafka_pipe.c). */
enum { KAFKA_PIPE_BYTES = 1 << 20, KAFKA_PIECES = 8 };
struct kafka_pipe { int read_fd, write_fd; };
struct kafka_pipes;
/* An empty pipe that takes KAFKA_PIPE_BYTES, and never waits. False: there is none. Any thread, as the next two. */
bool kafka_pipe_take(struct kafka_pipes *pipes, struct kafka_pipe *pipe);
void kafka_pipe_give(struct kafka_pipes *pipes, const struct kafka_pipe *pipe, bool is_empty);
struct kafka_piece {
    struct kafka_pipe pipe;
    size_t at;   /* in request->out: it goes out before the byte that stands there */
    size_t size; /* in the pipe */
};
struct kafka_stream { /* kafka_stream.c: how far it has gone */
    size_t at;            /* in request->out */
    size_t piece;         /* the next one */
    size_t size;          /* of all */
    size_t unnoted_bytes; /* since the client's time began anew */
};

enum { KAFKA_OPERATIONS_NOT_ASKED = INT32_MIN };

enum kafka_result { KAFKA_ANSWER, KAFKA_LAST, KAFKA_SILENT, KAFKA_CLOSE, KAFKA_PARK, KAFKA_CALLBACK };

/* Who runs a handler. */
enum kafka_lane_name {
    KAFKA_QUICK,     /* the workers */
    KAFKA_PRODUCERS, /* a thread of its own: it waits for the end of what another producer left open, and cannot park */
    KAFKA_TOPICS,    /* a thread of its own: it may make thousands of directories */
    KAFKA_STRANGERS, /* kafka_strangers.c: it costs much, and anybody may ask for it */
    KAFKA_LANES,
};

struct kafka_request;
typedef enum kafka_result (*kafka_handler)(struct kafka_request *request);
/* Which operation (enum acl_operation) an API needs on the resources that a request names; 0: it names none of that kind. */
struct kafka_rights {
    uint8_t topic, group, txn, cluster;
    bool is_open; /* anybody may, authenticated or not */
};
struct kafka_api {
    int16_t key;
    const char *name;
    int16_t min_advertised; /* may be lower than what is served: some clients look only there (README.md) */
    int16_t min_served, max;
    int16_t first_flexible; /* KAFKA_NEVER_FLEXIBLE: none */
    kafka_handler handle;
    bool moves_groups;      /* afterwards the coordinator may want to be called at another time */
    enum kafka_lane_name lane;
    struct kafka_rights rights; /* kafka_access.h */
};
enum { KAFKA_NEVER_FLEXIBLE = INT16_MAX };
enum { KAFKA_PRODUCE = 0, KAFKA_FETCH = 1, KAFKA_SASL_HANDSHAKE = 17, KAFKA_API_VERSIONS = 18, KAFKA_SASL_AUTHENTICATE = 36, KAFKA_SASL_TOKEN = -1 }; /* keys that are looked at by name */
extern const struct kafka_api kafka_sasl_token; /* what has no header: bytes of SASL alone */
/* The table (kafka_api.c): one line for each API that is served. NULL after the last. */
const struct kafka_api *kafka_api_at(size_t i);
const struct kafka_api *kafka_api_find(int16_t key); /* NULL: not served */

/* What a parked request waits for: offsets of partitions. */
struct kafka_watched;
struct kafka_wait {
    struct partition *partition;
    int64_t high_watermark, stable; /* has come when either is reached; INT64_MAX: not looked at */
    /* kafka_park.c */
    struct kafka_watched *watched;
    struct kafka_request *request;
    struct kafka_wait *previous, *next; /* of the same partition */
};
struct kafka_park {
    struct kafka_wait *waits; /* in the arena */
    size_t wait_count;
    bool needs_all;           /* false: one of them is enough */
    bool lets_pass;           /* requests behind it on its connection are begun; their responses still go out after this one's */
    bool is_flush;            /* it ends when the writer has stopped, too; resume is short and may run in the loop's thread */
    int64_t deadline_ms;      /* clock_mono_ms; INT64_MAX: none */
    kafka_handler resume;
};

struct kafka_connection;
struct kafka_peer;
struct kafka_session;
struct kafka_txns;
struct kafka_fetch_sessions;
struct kafka_chore { /* kafka_strangers.c */
    struct kafka_chore *next;
    struct kafka_peer *peer;
    void (*run)(struct kafka_chore *chore, struct buf *scratch);
};
struct kafka_request {
    const struct kafka_server_options *options;
    struct log *log;
    struct kafka_txns *txns;     /* kafka_txn.h */
    struct kafka_session *session; /* who asks: kafka_session.h */
    struct kafka_fetch_sessions *fetch_sessions; /* kafka_fetch_session.h */
    struct kafka_access access;  /* what who asks may do */
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation_id;
    struct bytes client_id;      /* data NULL: none was given */
    const char *peer_host;       /* "127.0.0.1"; valid as long as the request */
    const char *advertised_host; /* for who asks where the broker is */
    int32_t advertised_port;
    struct bytes frame;          /* the whole request without its size; may be written to */
    struct wire_reader in;       /* over the body */
    struct wire_writer writer;   /* to out, behind the header */
    struct buf out;              /* size, header, body, but for: */
    struct kafka_piece pieces[KAFKA_PIECES]; /* in the order in which they go out */
    size_t piece_count, pieces_bytes;
    struct kafka_pipes *pipes;   /* NULL: there are no pieces (TLS needs all bytes in memory) */
    struct arena arena;
    const char *reason;          /* with KAFKA_CLOSE and KAFKA_LAST: why */
    struct buf *scratch;         /* of the worker: a buffer for the handler's run, used again by the next one */
    void *state;                 /* the handler's, between handle and resume */
    bool stopping;               /* the server stops: do not park again */
    struct kafka_park park;
    /* With KAFKA_CALLBACK: makes sure that nobody calls back any more (coordinator_orphan). From any thread, set before the call that may call
     * back, and together with state not changed after it. */
    void (*forget)(struct kafka_request *request);

    /* Called when the request ends, however it does, from a worker or the loop's thread: gives back what the handler holds beyond its run. */
    void (*release)(struct kafka_request *request);

    /* the server's (kafka_connection.c, kafka_workers.c) */
    struct kafka_connection *connection;
    struct kafka_request *next;       /* on its connection */
    struct kafka_request *queue_next; /* in the workers' queue, or done */
    struct kafka_request *chain;      /* the next one of its connection, which the same worker runs after it */
    bool was_left;                    /* by the worker, unrun: the one before it on the chain must be over first */
    struct kafka_chore chore;
    struct buf frame_memory;
    struct kafka_stream stream;       /* while a response with pieces is being sent */
    bool is_booked;                   /* its size stands in the server's budget */
    int state_of_work;                /* enum kafka_request_state; loop thread */
    enum kafka_result result;
    atomic_bool called, abandoned, is_parked;
    atomic_int holds;
    size_t waits_left;
};

/* The request with this frame (whose memory it takes over: *frame is empty afterwards), its header read. Loop thread or test. 0; ERR_CORRUPT,
 * ERR_UNSUPPORTED with the reason in diag: the connection must end; ERR_NOMEM. */
int kafka_request_create(struct buf *frame, struct kafka_request **request, struct diag *diag);
/* The same of a frame that is a SASL token alone. 0; ERR_NOMEM. */
int kafka_request_create_token(struct buf *frame, struct kafka_request **request);
void kafka_request_free(struct kafka_request *request);
/* Gives back the pipes of its response. */
void kafka_request_drop_pieces(struct kafka_request *request);
/* Runs the handler, or resume when it was parked, and completes the response. True: somebody else will answer (KAFKA_CALLBACK), or has done so. */
bool kafka_request_run(struct kafka_request *request);
/* Begins the response anew: what was written to the body is forgotten. */
void kafka_request_begin_response(struct kafka_request *request);
/* Its size is known now. One that did not fit becomes KAFKA_CLOSE. */
void kafka_request_complete(struct kafka_request *request);
/* From done callbacks, first and last: true: the callback may write the response; it then calls kafka_request_called. False: the
 * request is gone for the callback, which returns. */
bool kafka_request_take_call(struct kafka_request *request);
void kafka_request_called(struct kafka_request *request);

/* ---- what handlers share (kafka_request.c) ---- */
/* Text with a zero byte at its end, in the arena. NULL: no memory, or a zero byte inside it. */
char *kafka_request_text(struct kafka_request *request, struct bytes text);
/* A topic's name into name. 0; KAFKA_INVALID_TOPIC. */
enum kafka_error kafka_topic_name(struct bytes text, char name[250]);
/* 0; KAFKA_UNKNOWN_TOPIC_ID. */
enum kafka_error kafka_topic_by_id(struct kafka_request *request, struct uuid id, struct topic_info *info);
/* A handle on a partition, or the error that says why there is none; first of all, that the client may not do to the topic what the API does. An API without a right of
 * topics has asked for one on the cluster. */
enum kafka_error kafka_partition(struct kafka_request *request, struct bytes topic, int32_t index, struct partition **partition);
/* The same of one that the client wants to write to: a topic that a job made for itself is KAFKA_INVALID_TOPIC, as Kafka's own internal topics are. */
enum kafka_error kafka_partition_for_writing(struct kafka_request *request, struct bytes topic, int32_t index, struct partition **partition);
/* The epoch that a client believes a partition's leader to have, -1: it does not say. NONE, FENCED or UNKNOWN. */
enum kafka_error kafka_check_leader_epoch(struct partition *partition, int32_t epoch);

#endif
