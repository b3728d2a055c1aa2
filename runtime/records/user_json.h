/* user_json.h: users of a log as JSON: as a list shows them, and what is stored of a password as it is sent to a server. Any thread. */
#ifndef WEIR_RECORDS_USER_JSON_H
#define WEIR_RECORDS_USER_JSON_H

#include "log/user.h"

/* {"user":…,"mechanisms":[{"mechanism":…,"iterations":…},…]} */
void user_put_json(struct buf *out, const char *name, const struct user *user);
/* {"credentials":[{"mechanism":"SCRAM-SHA-256","iterations":4096,"salt":"…","stored_key":"…","server_key":"…"},…]}, bytes in base 64. */
void user_put_credentials(struct buf *out, const struct user *user);
/* Reads that back, whoever has sent it; each mechanism once, at least one. ERR_INVALID with what is wrong. */
int user_read_credentials(struct bytes json, struct user *user, struct diag *diag);

#endif
