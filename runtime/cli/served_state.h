/* served_state.h: stores of a directory that a server holds. One thread. */
#ifndef WEIR_CLI_SERVED_STATE_H
#define WEIR_CLI_SERVED_STATE_H

#include "runtime/cli/http_client.h"
#include "runtime/store_look.h"

/* Each: 0 or an exit code after a message. */
/* Calls each for every store, in order; one that cannot be read is said instead, and makes the result EXIT_FAILED. */
int served_state_list(struct http_client *client,
                      void (*each)(void *context, const struct store_name *name, const struct store_description *store), void *context);
struct served_store {
    const char *what;  /* APP/STORE */
    int64_t partition; /* -1: all */
};
/* Prints the row of a key. */
int served_state_get(struct http_client *client, const struct served_store *store, const char *key);
/* Prints all rows, at most so many. */
int served_state_scan(struct http_client *client, const struct served_store *store, int64_t max);

#endif
