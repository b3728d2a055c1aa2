/* http.h: the HTTP server of a process that holds a log: health, metrics and the JSON API. All that a program needs which wants to serve; what
 * it is made of: README.md. */
#ifndef WEIR_HTTP_HTTP_H
#define WEIR_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/weir.h"

enum {
    HTTP_PORT = 9644,
    HTTP_QUESTION_MB = 64,  /* at most of a question to a view, and unless it says less */
    HTTP_VERIFY_MIB = 1024, /* the same of a verification */
    HTTP_ANSWERS_MIB = 256, /* of answers together, unless http_options says otherwise */
};

/* What may be allowed to somebody and not to others. */
enum http_thing { HTTP_CLUSTER, HTTP_TOPIC, HTTP_GROUP };
enum http_action { HTTP_NOTHING, HTTP_DESCRIBE, HTTP_DESCRIBE_CONFIGS, HTTP_READ, HTTP_ALTER };

struct http_options {
    const char *host;             /* a numeric address, or localhost; NULL: 127.0.0.1 */
    int32_t port;                 /* 0: the system chooses; http_port tells */
    bool is_remote_allowed;       /* an address beyond loopback is ERR_INVALID without this: there is no authentication */
    /* Whether a name and a password are somebody's who may ask; any thread, and it may take its time. NULL: nobody is asked who they are. */
    bool (*may_enter)(void *context, const char *name, const char *password);
    /* Whether who has entered (user NULL: nobody was asked) from an address may do this; the cluster has no name (NULL); any thread. NULL: everybody may do everything. */
    bool (*may)(void *context, const char *user, const char *host, enum http_thing thing, const char *name, enum http_action action);
    void *may_enter_context;      /* of both */
    int64_t answer_limit_bytes;   /* of all answers of more than 1 MiB that are being made, or that clients have not taken yet; 0: HTTP_ANSWERS_MIB */
    weir_log *log;                /* that is shown; outlives the server */
    weir_app *app;                /* whose pipelines are shown; outlives the server. NULL: none */
    /* Appends whole families to /metrics, from any thread; NULL: there are no more. */
    void (*metrics)(void *context, struct buf *out);
    void *metrics_context;
};
struct http;

/* Listens and answers from now on, in threads of its own, on which all signals are blocked. The app may be started, stopped and started
 * again meanwhile. ERR_INVALID: an address that is none, or may not be; ERR_BUSY: it is taken; ERR_IO, ERR_NOMEM. */
int http_start(const struct http_options *options, struct http **http, struct diag *diag);
/* The port it listens on. */
int32_t http_port(const struct http *http);
/* Takes no more requests, waits for those in work (a question to a view is given up) and frees it. NULL is allowed. */
void http_stop(struct http *http);

#endif
