/* kafka_internal.h: the server's own structures: loop, connections, workers, parked requests. Handlers never see it.
 *
 * Threads, and what each may touch:
 *
 *   the loop      one thread, all of libuv: sockets, timers, connections, the order of responses, which request waits for what
 *   workers       run handlers: between kafka_workers_push and the request's return to the loop it is a worker's alone
 *   strangers'    check passwords and do TLS handshakes: a session of TLS is theirs while connection->shake is there
 *   others        flushers and the decider (watchers), whoever completes a group's generation (callbacks): they put something on a
 *                 list and wake the loop, nothing more
 *
 * Locks: workers.mutex, strangers.mutex and server.done_mutex, each held over a few pointers, each taken last and alone (a callback of the coordinator takes done_mutex
 * under the coordinator's). Transactional producers have locks of their own (kafka_txn.c): of each of them one, taken before all locks of the log; txns.mutex, over
 * pointers; txns.end_mutex, over a response that is written, before done_mutex. The list of moved partitions is lock-free: watchers push, the loop takes all of it. */
#ifndef WEIR_KAFKA_INTERNAL_H
#define WEIR_KAFKA_INTERNAL_H

#include "log/kafka/kafka_request.h"
#include "log/kafka/kafka_session.h"
#include "log/kafka/kafka_tls.h"

#include <pthread.h>
#include <uv.h>

enum {
    READ_BUFFER_BYTES = 64 << 10,
    SCRATCH_KEEP_BYTES = 8 << 20,       /* of a worker's buffer between two requests */
    FRAME_FREE_BYTES = 16 << 10,        /* of a request that arrives, before room in the server's budget is taken for all of it */
    FRAME_SMALLEST_BYTES = 8,           /* key, version, correlation id: what a request needs to be one at all */
    CONNECTION_REQUESTS = 128,          /* unanswered ones of a connection; then it is not read */
    CONNECTION_BYTES = 32 << 20,        /* the same of their bytes; one larger request is taken alone */
    CHAIN_REQUESTS = 16,                /* of Produce that a worker runs one after the other without asking the loop */
    CHAIN_BYTES = 256 << 10,            /* of them together: what is larger costs more than waking a worker */
    CONNECTION_OUT_BYTES = 1 << 20,     /* responses that the client has not taken: above this nothing is begun for it */
    FIRST_REQUEST_MS = 30000,           /* a connection that never asks for anything */
    FRAME_MS = 60000,                   /* a request that does not arrive */
    AUTHENTICATION_MS = 30000,          /* where users are required, from the connection's beginning */
    STRANGER_FRAME_BYTES = 16 << 10,    /* largest request of who has not authenticated, where users are required */
    STRANGER_REQUESTS = 4,              /* unanswered ones */
    WRITE_MS = 60000,                   /* a client that does not take a response … */
    WRITE_LEAST_BYTES = 4 << 20,        /* … nor so much of a large one */
    TLS_HANDSHAKE_MS = 10000,           /* from the connection's beginning */
    TLS_WORDS_BYTES = 64 << 10,         /* of TLS's own (not responses) that the client has not taken */
    TLS_HELLO_BYTES = 16 << 10,         /* that are read at a time before the handshake is over */
    HANDSHAKES = 1000,                  /* of TLS that are under way, of all */
    IDLE_MS = 600000,                   /* connections.max.idle.ms of Kafka */
    TEND_MS = 60000,                    /* between two looks for transactional ids that nobody uses */
    STOP_MS = 2000,                     /* what a stop waits for answers and for clients to take them */
    FLUSH_LOOK_MS = 200,                /* how often one who waits for a flush looks whether the writer has stopped */
    SPARE_COUNT = 16,                   /* large buffers that nobody uses and that are kept */
    SPARE_LEAST_BYTES = 64 << 10,       /* of one; a smaller one costs little to have anew */
    SPARE_BYTES = 16 << 20,             /* of all */
    SPARE_FETCH_BYTES = 1 << 20,        /* what a response to Fetch begins with, when there is a spare one */
    COMPLAINTS_PER_S = 20,              /* lines on stderr about connections that were ended */
};

/* ---- addresses (kafka_peers.c); loop thread, but for chores ---- */
enum { PEER_KEY_BYTES = 16, PEER_BUCKETS = 1024 };
enum kafka_share { SHARE_REQUESTS, SHARE_RESPONSES, KAFKA_SHARES }; /* of the budget of memory, half of it each */
enum { WAIT_HANDSHAKE = KAFKA_SHARES, KAFKA_WAITS };                /* what a connection may wait for: a share, or that */
struct kafka_peer {
    uint8_t key[PEER_KEY_BYTES];
    struct kafka_peer *next; /* in its bucket */
    int32_t connection_count, handshake_count;
    int64_t used_bytes[KAFKA_SHARES]; /* of the server's budget */
    struct kafka_connection *first_waiting, *last_waiting;
    int32_t waiting_count[KAFKA_WAITS];
    struct kafka_peer *next_waiting;
    bool is_waiting;         /* on the server's list */
    /* strangers.mutex */
    struct kafka_chore *first_chore, *last_chore;
    struct kafka_peer *next_turn;
};
/* connection->peer is the address's entry from then on. False: no memory. */
bool kafka_peer_enter(struct kafka_connection *connection, const struct sockaddr_storage *address);
void kafka_peer_leave(struct kafka_connection *connection);
/* Whether the connection's address may have a request of so many bytes more. */
bool kafka_peer_may_ask(const struct kafka_connection *connection, size_t bytes);
/* Whether it may have more responses. */
bool kafka_peer_may_be_answered(const struct kafka_connection *connection);
void kafka_peer_use(struct kafka_connection *connection, enum kafka_share share, int64_t bytes); /* negative: gives back */
/* The same of TLS handshakes. False: there are too many. */
bool kafka_peer_begin_handshake(struct kafka_connection *connection);
void kafka_peer_end_handshake(struct kafka_connection *connection);
/* The connection takes its next step when something was given back. what: a share, or WAIT_HANDSHAKE. */
void kafka_peer_wait(struct kafka_connection *connection, int what);
void kafka_peer_stop_waiting(struct kafka_connection *connection);
void kafka_peers_step(struct kafka_server *server);

/* ---- strangers' work (kafka_strangers.c) ---- */
enum { STRANGERS_THREADS = 4 }; /* at most; half as many as there are processors */
struct kafka_strangers {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct kafka_peer *first_turn, *last_turn; /* addresses with chores; by next_turn */
    bool stopping, is_there;
    pthread_t threads[STRANGERS_THREADS];
    int thread_count;
};
int kafka_strangers_start(struct kafka_strangers *strangers, struct diag *diag);
void kafka_strangers_stop(struct kafka_strangers *strangers);
/* chore->peer and chore->run are set. */
void kafka_strangers_push(struct kafka_strangers *strangers, struct kafka_chore *chore);

/* ---- workers (kafka_workers.c) ---- */
struct kafka_lane { /* a queue, and who takes from it */
    struct kafka_server *server;
    pthread_cond_t work;
    struct kafka_request *first, *last;
    int64_t tends_at_ns; /* INT64_MAX: there is nothing to tend */
};
struct kafka_workers {
    pthread_mutex_t mutex;
    struct kafka_lane lanes[KAFKA_LANES]; /* that of strangers is not used */
    struct kafka_strangers strangers;
    bool stopping;
    pthread_t *threads;
    int32_t thread_count;
};
int kafka_workers_start(struct kafka_server *server, int32_t count, struct diag *diag);
/* Waits for what runs; what is queued is run, too. */
void kafka_workers_stop(struct kafka_workers *workers);
void kafka_workers_push(struct kafka_workers *workers, struct kafka_request *request);
/* Nobody waits for the answer of a request that runs any more. Loop thread. */
void kafka_request_abandon(struct kafka_request *request);
/* The request goes back to the loop. Any thread. */
void kafka_server_take_back(struct kafka_server *server, struct kafka_request *request);

/* ---- parked requests (kafka_park.c) ---- */
struct kafka_watched { /* a partition that somebody waited for once; it stays until the server ends */
    struct kafka_server *server;
    struct partition *partition;
    int watch_id;
    struct kafka_wait *waits;          /* loop thread */
    atomic_int wait_count;
    atomic_bool moved;                 /* it is on the list */
    struct kafka_watched *next_moved;
    struct kafka_watched *next;        /* in its bucket */
};
enum { WATCHED_BUCKETS = 1024 };
/* Begins to wait for what stands in request->park. False: it has come already. Loop thread, as all that follow. */
bool kafka_park_begin(struct kafka_server *server, struct kafka_request *request);
void kafka_park_end(struct kafka_request *request);
/* Looks at the partitions that moved and gives back, linked by queue_next, the requests for which that is enough; they do not wait any more. */
struct kafka_request *kafka_park_take_ready(struct kafka_server *server);
void kafka_park_deinit(struct kafka_server *server);

/* ---- connections (kafka_connection.c) ---- */
enum kafka_request_state { REQUEST_WAITS, REQUEST_RUNS, REQUEST_PARKED, REQUEST_ANSWERED, REQUEST_BEING_SENT };
struct kafka_connection {
    struct kafka_server *server;
    struct kafka_connection *previous, *next; /* of the server's */
    uv_tcp_t socket;
    uv_timer_t timer;
    int handles;                        /* open ones; at 0, without requests and handshake, it is freed */
    struct kafka_peer *peer;            /* its address */
    struct kafka_connection *previous_waiting, *next_waiting; /* of its address's */
    unsigned waits_for;                 /* one bit for each thing; 0: it does not wait */
    struct kafka_session session;       /* its handlers', while one of them runs; what the loop needs of it stands in the next lines */
    bool is_known;                      /* it has authenticated */
    bool takes_tokens;                  /* frames are SASL tokens without a header */
    bool ends_when_sent;                /* nothing more is read or begun */
    int64_t session_expires_ms;
    char end_reason[320];
    struct kafka_tls_session *tls;      /* NULL: plain, or nothing has come yet; while shake is there, another thread's */
    struct kafka_shake *shake;          /* a piece of the handshake that is being worked on */
    bool has_handshake;                 /* one of those that there may be is its */
    bool is_secure;                     /* the handshake is over */
    size_t words_bytes;                 /* of TLS's own that are being sent; they are in out_bytes, too */
    char peer_name[64], peer_host[48];
    char local_host[48];
    int32_t local_port;

    uint8_t size_bytes[4];              /* of the request that arrives */
    size_t size_have;
    size_t frame_size;                  /* 0: between requests */
    struct buf frame;
    bool frame_is_booked;               /* its size stands in the server's budget */
    bool waits_for_budget;
    int64_t frame_deadline_ms;
    struct buf backlog;                 /* read and not looked at: a limit was reached in the middle */

    struct kafka_request *first, *last; /* in the order of arrival */
    int32_t request_count;              /* those in the list, and those whose response is being sent */
    struct kafka_request *sending;      /* whose response has pieces and is under way; NULL: none */
    size_t in_bytes, out_bytes;
    bool reading, closing, had_request;
    int64_t opened_ms, used_ms, sent_ms;
    size_t left_bytes;                  /* that were to be sent at sent_ms */
    int64_t timer_at_ms;                /* INT64_MAX: it is not set */
};
/* The connection ends; reason NULL: the client's own wish, or nothing worth a line. Loop thread, as all that follow. */
void kafka_connection_close(struct kafka_connection *connection, const char *reason);
/* Goes on with whatever can go on: reading, beginning requests, sending responses. */
void kafka_connection_step(struct kafka_connection *connection);
/* What waits for records is answered with what there is: the server stops. */
void kafka_connection_answer_parked(struct kafka_connection *connection);
/* A request is back from the workers, or from where it was parked. */
void kafka_connection_took_back(struct kafka_request *request);
/* A parked request goes back to a worker. */
void kafka_connection_run_again(struct kafka_request *request);
/* A request whose flush has come is answered, here and now: that takes less than waking a worker for it. */
void kafka_connection_answer_flushed(struct kafka_request *request);
/* The frame that arrives is whole. False: the connection is closed. */
bool kafka_connection_take_request(struct kafka_connection *connection);
/* A request that is in no list is over. */
void kafka_connection_free_request(struct kafka_request *request);
/* It is closed, and frees itself when nothing is under way any more. */
void kafka_connection_free_when_over(struct kafka_connection *connection);
/* It must say who it is before anything else. */
bool kafka_connection_is_stranger(const struct kafka_connection *connection);

/* ---- their beginning (kafka_accept.c), bytes (kafka_frames.c) and times (kafka_deadlines.c) ---- */
void kafka_accept(struct kafka_server *server);
/* libuv could not take one: error is its code. */
void kafka_accept_failed(struct kafka_server *server, int error);
/* Reads, or stops reading, as the connection's limits say. */
void kafka_frames_step(struct kafka_connection *connection);
/* Takes what it can of bytes that have arrived; the rest waits. */
void kafka_frames_take(struct kafka_connection *connection, struct bytes bytes);
/* What has arrived of a request is thrown away. */
void kafka_frames_forget(struct kafka_connection *connection);
/* Something was sent, or begins to be: the time for what is left begins anew. */
void kafka_deadlines_sent(struct kafka_connection *connection);
/* Sets the timer to what comes first. */
void kafka_deadlines_set(struct kafka_connection *connection);

/* ---- large buffers between two uses (kafka_spare.c); loop thread ---- */
/* Keeps the buffer's memory for the next one, or leaves the buffer as it is. */
void kafka_spare_give(struct kafka_server *server, struct buf *buf);
/* The smallest one of at least and at most so much takes the buffer's place, with its bytes; where there is none nothing happens. */
void kafka_spare_take(struct kafka_server *server, size_t least_bytes, size_t most_bytes, struct buf *buf);
/* What is booked of a response is its size: it holds no much larger buffer while the client takes its time. */
void kafka_spare_fit(struct kafka_server *server, struct buf *buf);
void kafka_spare_deinit(struct kafka_server *server);

/* ---- pipes between two uses (kafka_pipe.c); responses with pieces (kafka_stream.c) ---- */
enum { PIPES = 16 };
struct kafka_pipes {
    pthread_mutex_t mutex;
    struct kafka_pipe spares[PIPES];
    int count, spare_count; /* of all; of those that nobody uses */
    bool refused;           /* the system gave none: it is not asked again */
};
void kafka_pipes_init(struct kafka_pipes *pipes);
void kafka_pipes_deinit(struct kafka_pipes *pipes); /* all of them were given back */
/* Begins to send the response of a request that was taken off the connection's list, and takes the request over; nothing is being sent. False: the connection is closed. */
bool kafka_stream_begin(struct kafka_connection *connection, struct kafka_request *request);

/* ---- TLS (kafka_transport.c) ---- */
/* Whether more may be read: no piece of a handshake is being worked on, and there are not too many. False: the connection takes a step when that changes. */
bool kafka_transport_may_read(struct kafka_connection *connection);
/* What the bytes from the socket say; borrowed until the next call of any connection. Empty: nothing yet, or the connection is closed. */
struct bytes kafka_transport_open(struct kafka_connection *connection, struct bytes sealed);
/* Puts in place of a response what goes to the socket. False: no memory. */
bool kafka_transport_seal(struct kafka_connection *connection, struct buf *response);
/* Nothing is left to do before requests: the handshake is over, or there is no TLS. */
bool kafka_transport_is_ready(const struct kafka_connection *connection);
/* Handshakes that were worked on meanwhile. */
void kafka_transport_take_back(struct kafka_server *server);
/* The socket is about to be closed. */
void kafka_transport_end(struct kafka_connection *connection);

/* How long a connection may take for what, in milliseconds: the options', or what stands above. */
struct kafka_times {
    int64_t tls_handshake, first_request, authentication; /* from its beginning */
    int64_t frame, write, idle;
};

struct kafka_server {
    struct log *log;
    struct kafka_txns *txns;
    struct kafka_fetch_sessions *fetch_sessions;
    struct kafka_pipes pipes;
    struct kafka_server_options options;
    struct kafka_tls *tls;                 /* NULL: connections are plain */
    char host[48], advertised_host[256];
    int32_t port;
    pthread_t thread;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t stop_timer;
    uv_timer_t group_timer;                /* when the coordinator wants to be called */
    uv_signal_t hangup;                    /* with TLS: the files of the certificate are read again */
    int32_t connection_limit, connection_limit_per_address;
    struct kafka_times times;

    struct kafka_workers workers;
    pthread_mutex_t done_mutex;
    struct kafka_request *done;            /* done_mutex; by queue_next, the newest first */
    _Atomic(struct kafka_watched *) moved; /* by next_moved */
    struct kafka_shake *shaken;            /* done_mutex; the newest first */
    atomic_bool stop_asked;
    atomic_bool groups_moved;              /* a request may have changed when that is */

    /* loop thread */
    struct kafka_connection *connections;
    int32_t connection_count, handshake_count;
    int64_t budget_bytes, used_bytes[KAFKA_SHARES]; /* of booked requests and responses */
    struct kafka_peer *peers[PEER_BUCKETS];
    struct kafka_peer *first_waiting, *last_waiting; /* for a part of the budget, or a handshake */
    bool stopping;
    uv_tcp_t rejected;                     /* a connection for which there is no memory */
    bool rejects, reject_waits;            /* it is being closed; another one waits for that */
    struct kafka_watched *watched[WATCHED_BUCKETS];
    uint8_t read_buffer[READ_BUFFER_BYTES];
    struct buf plain;                      /* what TLS makes of it */
    struct buf spares[SPARE_COUNT];
    size_t spare_bytes;
    int64_t complaints_second;
    int32_t complaints, complaints_held_back;
};
/* A line on stderr, unless there were too many in this second. */
void kafka_server_complain(struct kafka_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
