/* served_users.h: the users of a directory that is served: asked of, and changed by, the process that serves it. All return 0 or an exit code after a message. One thread. */
#ifndef WEIR_CLI_SERVED_USERS_H
#define WEIR_CLI_SERVED_USERS_H

#include "log/user.h"
#include "runtime/cli/http_client.h"

int served_user_find(struct http_client *client, const char *name, bool *is_there);
/* Sends the credentials, of which nobody can make what logs in. It fails when the user is there, or is not (is_new), whoever made or deleted it meanwhile. */
int served_user_put(struct http_client *client, const char *name, const struct user *user, bool is_new);
int served_user_delete(struct http_client *client, const char *name);
/* Prints what a directory's list prints. */
int served_user_list(struct http_client *client, bool json);

#endif
