/* served_letters.h: dead letters and late rows of a directory that a server holds: what runtime/records finds in one that nobody holds. One thread. */
#ifndef WEIR_CLI_SERVED_LETTERS_H
#define WEIR_CLI_SERVED_LETTERS_H

#include "runtime/cli/http_client.h"
#include "runtime/records/letter_list.h"
#include "runtime/records/letter_replay.h"

/* Each: 0 or an exit code after a message. */
/* Adds what is counted of app (NULL: all) to list. */
int served_letters_count(struct http_client *client, const char *app, const struct letter_filter *filter, struct letter_list *list);
/* Calls each for the letters of what NAME means, page by page; it ends the walk with 1. */
int served_letters_show(struct http_client *client, const char *name, const struct letter_filter *filter, letter_fn each, void *context);
/* Has the server do what letter_replay_run does, with the same results in replay. */
int served_letters_replay(struct http_client *client, const char *name, struct letter_replay *replay);

#endif
