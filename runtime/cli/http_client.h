/* http_client.h: questions to the HTTP side of a server, and what it answers. One thread. */
#ifndef WEIR_CLI_HTTP_CLIENT_H
#define WEIR_CLI_HTTP_CLIENT_H

#include "runtime/cli/reach.h"
#include "runtime/records/json_check.h"

struct http_client;

/* Decides which way the command goes (reach_find). *client NULL: it opens the directory itself. 0 or an exit code after a message; http_leave in any case. */
int http_reach(const struct cli *cli, enum data_need need, struct reach *reach, struct http_client **client);
void http_leave(struct reach *reach, struct http_client *client);

/* No connection is made yet. reach outlives the client. 0 or an exit code after a message; close in any case. */
int http_client_open(const struct reach *reach, struct http_client **client);
void http_client_close(struct http_client *client);

/* Begins an address: "/api/v1/topics/a%20b?limit=10" is a path of parts and arguments. A NULL value adds nothing. */
void http_path(struct buf *target, const char *format, ...) __attribute__((format(printf, 2, 3)));
void http_path_part(struct buf *target, const char *text); /* a slash and text, percent signs where they are needed */
void http_path_argument(struct buf *target, const char *name, const char *text);
void http_path_number(struct buf *target, const char *name, int64_t number);

enum http_patience {
    HTTP_SOON,  /* an answer comes within seconds */
    HTTP_LATER, /* it may take as long as it wants, as long as the server lives; Ctrl-C ends it there, too */
};
/* Asks, and waits; interrupt_install came before. body data NULL: GET, else POST. 0: *answer is a valid JSON value, or with /metrics text, and the client's until the next
 * question. Otherwise an exit code, after the server's message and hint: EXIT_UNREACHABLE, EXIT_INTERRUPTED, EXIT_USAGE for a question that is none,
 * EXIT_FAILED. */
int http_client_ask(struct http_client *client, const struct buf *target, struct bytes body, enum http_patience patience, struct bytes *answer);
/* The next question has this method ("PUT") in place of GET or POST. A constant text. */
void http_client_method(struct http_client *client, const char *method);
/* From now on what goes wrong is said in diag instead of on stderr: ERR_TIMEOUT for EXIT_UNREACHABLE, ERR_INVALID for EXIT_USAGE, else ERR_IO. NULL: on stderr again. */
void http_client_tell(struct http_client *client, struct diag *diag);
/* Whether the question is answered with 200; nothing is said. */
bool http_client_can(struct http_client *client, const struct buf *target, struct bytes body);
/* The status of the last answer; 0: there was none. */
int http_client_status(const struct http_client *client);
/* The last answer was that there is no such thing, and its hint, of an address to GET, was not shown: the caller has a better one. */
bool http_client_missed(const struct http_client *client);

/* Members of an answer. NULL, or fallback: it is not there, or is none of the kind. The text is malloc'ed. */
char *http_answer_text(struct bytes object, const char *name);
int64_t http_answer_number(struct bytes object, const char *name, int64_t fallback);
bool http_answer_truth(struct bytes object, const char *name);
/* What member name of the object holds; empty where there is none. */
struct json_list http_answer_list(struct bytes object, const char *name);

#endif
