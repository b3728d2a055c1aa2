/* http_internal.h: what the files of this folder share: a request taken apart, the answer that a handler makes, the table of routes, JSON.
 *
 * Each request is one exchange, which belongs to the thread of its connection. What exchanges share is in struct http: the log and the app, whose
 * functions may be called from any thread, and atomics. */
#ifndef WEIR_HTTP_INTERNAL_H
#define WEIR_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/base/bytes.h"
#include "runtime/http/http.h"

enum {
    HTTP_SEGMENTS_MAX = 8,
    HTTP_ALLOW_BYTES = 40,
    HTTP_ARGUMENTS_MAX = 16,
    HTTP_TARGET_BYTES = 8192,     /* path and query as they are sent */
    HTTP_HEAD_BYTES = 32768,      /* request line and headers together */
    HTTP_BODY_BYTES = 65536,
    HTTP_CONNECTIONS = 128,
    HTTP_CONNECTIONS_PER_ADDRESS = 112,
    HTTP_IDLE_S = 15,             /* without a byte in either direction */
    HTTP_REQUEST_MS = 15000,      /* from a request's first byte to its last */
    HTTP_ANSWER_MS = 10000,       /* for making the rows of an answer */
    HTTP_REPLAY_MS = 60000,       /* for writing dead letters back */
    HTTP_PAGE = 100, HTTP_PAGE_MAX = 1000,
    HTTP_PAGE_BYTES = 16 << 20,   /* of rows: behind the one that passes it a page ends */
    HTTP_SMALL_BYTES = 1 << 20,   /* of an answer, which it may have in any case */
    HTTP_QUESTIONS = 4,           /* to views, at once */
};

/* ---- http_target.c: "/api/v1/topics/a%20b?limit=10" taken apart ---- */
struct http_argument {
    const char *name, *value;
};
struct http_target {
    char *memory;                 /* that the texts below lie in; http_target_deinit frees it */
    const char *segments[HTTP_SEGMENTS_MAX]; /* of the path, decoded; "/" has none */
    int segment_count;
    struct http_argument arguments[HTTP_ARGUMENTS_MAX]; /* of the query, decoded; no name twice */
    int argument_count;
};
/* Percent signs are decoded after the path was cut at its slashes, so that a decoded slash is part of a name. What is decoded is UTF-8 without
 * control characters. 0; ERR_INVALID, ERR_TOO_LARGE with a sentence; ERR_NOMEM. deinit in any case. */
int http_target_parse(const char *text, struct http_target *target, struct diag *diag);
void http_target_deinit(struct http_target *target);

/* ---- http_json.c: JSON as it is written ---- */
struct json {
    struct buf *text;
    bool needs_comma;
};
void json_begin(struct json *json, char bracket);                 /* { or [ */
void json_end(struct json *json, char bracket);                   /* } or ] */
void json_name(struct json *json, const char *name);
void json_text(struct json *json, const char *text);              /* NULL: null; bytes that are not UTF-8 come out as U+FFFD */
void json_bytes(struct json *json, const void *data, size_t size); /* the same of so many bytes */
void json_int(struct json *json, int64_t number);
void json_double(struct json *json, double number);
void json_bool(struct json *json, bool truth);
void json_null(struct json *json);
void json_time(struct json *json, int64_t time_ms);               /* ISO 8601 */
void json_raw(struct json *json, const void *data, size_t size);  /* one value that is JSON already */
/* A member of an object. */
void json_member_text(struct json *json, const char *name, const char *text);
void json_member_int(struct json *json, const char *name, int64_t number);
void json_member_bool(struct json *json, const char *name, bool truth);
void json_member_time(struct json *json, const char *name, int64_t time_ms, int64_t none);  /* null when it is none */

/* ---- an exchange ---- */
struct http_route;
struct http_exchange {
    struct http *http;
    struct http_target target;
    const struct http_route *route;
    const char *parameters[HTTP_SEGMENTS_MAX]; /* the segments in braces, in the order of the path */
    char user[256];                /* who asks; "": nobody knows */
    char peer[64];                /* from which address */
    struct buf body;              /* of a POST, a PUT */
    int socket;                   /* of its connection; -1: there is none */
    int64_t until_ns;             /* by then the answer is to be made (monotonic clock) */

    int status;                   /* 200 unless the handler says otherwise */
    const char *content_type;     /* application/json unless the handler says otherwise */
    char allow[HTTP_ALLOW_BYTES]; /* of a 405 */
    const char *accept;           /* the Accept header; NULL: there was none */
    struct buf out;
    int64_t room_bytes;           /* that it has of http's answer_bytes; http_room.c's */
    struct json json;             /* writes to out */
};
/* Answers with a status and {"error":…,"hint":…}, in place of what was written; hint may be NULL. */
void http_fail(struct http_exchange *exchange, int status, const char *hint, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same for a code of weir.h: its status, and its sentence, of which a line "hint: …" is the hint. */
void http_fail_code(struct http_exchange *exchange, int code, const char *text);
/* NULL: the query does not have it. */
const char *http_argument(const struct http_exchange *exchange, const char *name);
/* A whole number from min to max; fallback when it is not there. false after http_fail. */
bool http_argument_number(struct http_exchange *exchange, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *number);
/* "true" or "false". false after http_fail. */
bool http_argument_truth(struct http_exchange *exchange, const char *name, bool fallback, bool *truth);
/* limit, of all that have pages. */
bool http_argument_limit(struct http_exchange *exchange, int64_t *limit);
/* http_query.c: the names of a bound question's columns, for its rows; NULL: no memory. The caller destroys them. */
struct query;
struct json_names *http_query_names(const struct query *query);
/* http_views.c: view_find, as far as who asks may read its topic: what cannot be found may not be read either, unless its name as a topic may, so that nobody learns
 * what there is; other names are told, with an error, to who may describe the cluster. 1: it was answered. */
struct view_place;
int http_find_view(struct http_exchange *exchange, const char *name, struct view_place *place, struct diag *diag);
/* The same, opened to be read, by whom asks: the caller closes it, whatever was returned. */
struct shared_view;
int http_open_view(struct http_exchange *exchange, const char *name, size_t memory_bytes, struct shared_view **view, struct diag *diag);
/* Whether words, apart by single spaces, have this one. */
bool http_has_word(const char *words, const char *word);
/* http_cursor.c: a place among keys, of stores and views. partition -1: there is no cursor. false after http_fail. */
bool http_argument_cursor(struct http_exchange *exchange, int32_t *partition, struct buf *place);
void http_cursor_put(struct json *json, const char *name, int32_t partition, struct bytes place);
/* http_room.c: room for what was written to out so far, which may have to be waited for, for a second. ERR_NOMEM, with a sentence: there is none, and the answer is to be given up. */
int http_take_room(struct http_exchange *exchange, struct diag *diag);
/* The answer is ready: gives back what it does not need. */
void http_settle_room(struct http_exchange *exchange);
/* Gives back all of it: the answer is gone, or taken. */
void http_leave_room(struct http_exchange *exchange);
/* A long answer is to be given up: the server stops, or its time is over. */
bool http_is_over(const struct http_exchange *exchange);
/* Who asked has closed the connection: nobody waits for the answer. */
bool http_is_gone(const struct http_exchange *exchange);

/* ---- http_access.c: who may have what ---- */
enum http_access {
    HTTP_UNSAID,                  /* nobody: a route says who may have it */
    HTTP_OPEN,                    /* everybody, also where the server has users */
    HTTP_KNOWN,                   /* whoever the server knows, where it has users */
    HTTP_SIFTED,                  /* the same, and the handler asks about what it finds: http_may */
    HTTP_OF_CLUSTER, HTTP_OF_TOPIC, HTTP_OF_GROUP, /* who may do the route's action to the cluster; to the topic, to the group, that is the first parameter */
};
struct sockaddr;
/* Whether who asks may do this. */
bool http_may(const struct http_exchange *exchange, enum http_thing thing, const char *name, enum http_action action);
/* 403: "alice may not WHAT NAME"; name may be NULL. */
void http_refuse(struct http_exchange *exchange, const char *what, const char *name);
/* Whether who asks may have exchange->route, as far as the table knows. false after http_fail. */
bool http_is_allowed(struct http_exchange *exchange);
/* Sets exchange->peer. */
void http_name_peer(struct http_exchange *exchange, const struct sockaddr *address);

/* ---- http_routes.c: the table ---- */
typedef void http_handler(struct http_exchange *exchange);
struct http_route {
    const char *method;           /* GET answers HEAD too */
    const char *path;             /* "/api/v1/topics/{topic}" */
    const char *arguments;        /* that the query may have, apart by spaces */
    http_handler *handle;
    enum http_access access;
    enum http_action action;      /* with HTTP_OF_… */
};
extern const struct http_route http_routes[]; /* ended by a NULL method */
/* The route of a method and a target, with its parameters. NULL: none; allow then names the methods that the path has ("GET, HEAD"), or is "". */
const struct http_route *http_route_find(const char *method, const struct http_target *target, const char **parameters, char allow[HTTP_ALLOW_BYTES]);

http_handler http_get_live, http_get_ready;                        /* http_health.c */
http_handler http_get_metrics;                                     /* http_metrics.c */
http_handler http_get_topics, http_get_topic;                      /* http_topics.c */
http_handler http_get_groups, http_get_group;                      /* http_groups.c */
http_handler http_get_pipelines, http_get_pipeline, http_post_pause, http_post_resume; /* http_pipelines.c */
http_handler http_get_letters, http_get_letters_of;                /* http_letters.c */
http_handler http_post_verify;                                     /* http_verify.c */
http_handler http_post_replay;                                     /* http_replay.c */
http_handler http_post_query;                                      /* http_query.c */
http_handler http_get_views, http_get_view;                        /* http_views.c */
http_handler http_get_rows;                                        /* http_rows.c */
http_handler http_get_state, http_get_state_of_app, http_get_store; /* http_state.c */
http_handler http_get_users, http_put_user, http_delete_user;      /* http_users.c */
http_handler http_get_openapi;                                     /* http_openapi.c */
http_handler http_get_index;                                       /* http_routes.c: what there is */

/* Answers the exchange, whose target and body are there: http_server.c calls it, and tests. */
void http_answer(struct http_exchange *exchange, const char *method);

/* ---- http_user.c: who asks ---- */
struct http_user {
    char text[2048];              /* that the others lie in */
    const char *name, *password;
};
/* Takes an Authorization header apart; NULL: there was none. false: it names nobody. */
bool http_user_read(const char *header, struct http_user *user);
/* Whether who sent this Authorization header may have exchange->route (NULL: none). false after http_fail. */
bool http_user_may_ask(struct http_exchange *exchange, const char *header);

/* ---- http_accept.c: what kind of answer is wanted ---- */
struct http_media {
    const char *type;             /* "text/plain" */
    const char *versions;         /* "0.0.4", several apart by spaces */
};
/* Whether an Accept header (NULL: there is none) wants one type rather than the other. */
bool http_prefers(const char *accept, const struct http_media *wanted, const struct http_media *other);

/* ---- http_metrics_text.c ---- */
/* Appends OpenMetrics text, of which the samples have neither times nor exemplars, in Prometheus' text format 0.0.4. */
void http_metrics_as_text(struct bytes openmetrics, struct buf *out);

/* ---- the server ---- */
enum { HTTP_RATES_MAX = 256 };
struct http {
    weir_log *log;
    weir_app *app;
    void (*metrics)(void *context, struct buf *out);
    void *metrics_context;
    atomic_bool is_stopping;
    atomic_int questions;         /* that are being answered */
    _Atomic int64_t complained_s;  /* of a wrong password: the second of the clock in which that was last written to the log */
    pthread_mutex_t room_mutex;   /* of answer_bytes; taken alone */
    pthread_cond_t room_left;     /* some was given back */
    int64_t answer_bytes;         /* of large answers, until clients have taken them */
    int64_t answer_limit_bytes;
    atomic_bool is_replaying;     /* dead letters are being written back */
    atomic_bool is_verifying;     /* a view is being verified */
    struct http_listener *listener; /* http_server.c */
    int32_t port;
    bool is_remote_allowed;
    bool (*may_enter)(void *context, const char *name, const char *password); /* NULL: everybody may */
    void *may_enter_context;
    bool (*may)(void *context, const char *user, const char *host, enum http_thing thing, const char *name, enum http_action action); /* NULL: everything */
    char host[64];                /* of the address that it listens on */
    pthread_mutex_t rates_mutex;  /* of rates; taken alone */
    struct http_rate {            /* http_pipelines.c: a pipeline's rows when it was last looked at */
        char topic[250];
        int64_t rows, taken_ns;
        double rows_per_s;        /* negative: not known yet */
    } rates[HTTP_RATES_MAX];
    int rate_count;
};

/* The document that http_openapi.c serves; CMake makes it of docs/openapi.json. */
extern const char http_openapi_text[];
extern const size_t http_openapi_size;

#endif
