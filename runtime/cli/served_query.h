/* served_query.h: a question to a view of a directory that a server holds. One thread. */
#ifndef WEIR_CLI_SERVED_QUERY_H
#define WEIR_CLI_SERVED_QUERY_H

#include "runtime/cli/http_client.h"

struct served_query {
    const char *sql, *view, *app; /* view: that the SELECT names; app NULL: the only one that has it */
    int64_t memory_mb;            /* 0: what the server gives */
    bool is_json, explains;
};
/* Prints the rows, or how they would be found. The command's exit code. */
int served_query(struct http_client *client, const struct served_query *query);

#endif
