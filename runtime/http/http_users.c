/* http_users.c: the users of the directory: listed, made, given another password, deleted; what Kafka's APIs 50 and 51 do, for 'weir user'.
 *
 * A password does not come here: who sets one salts and hashes it where it was typed, and sends what is stored (log/user.h), of which nobody can make what logs in.
 * It takes the place of all that the user had. Whoever authenticates from then on is checked against them; connections that are open stay open. */
#include <stdlib.h>

#include "runtime/http/http_internal.h"
#include "runtime/records/user_json.h"
#include "runtime/weir_handle.h"

/* ---- the list ---- */

static void put_user(struct http_exchange *exchange, const char *name, const struct user *user)
{
    struct buf text = {0};
    user_put_json(&text, name, user);
    if (buf_ok(&text))
        json_raw(&exchange->json, text.data, text.size);
    else
        exchange->out.failed = true;
    buf_deinit(&text);
}

/* Of the names behind the cursor (NULL: all), or of one alone (only; NULL: any). 0 or a code; *next is the last name of a page that is not the last. */
static int put_page(struct http_exchange *exchange, char **names, size_t count, int64_t limit,
                    const char **next, struct diag *diag)
{
    const char *cursor = http_argument(exchange, "cursor"), *only = http_argument(exchange, "user");
    const char *last = NULL;
    for (size_t i = 0; i < count; i++) {
        struct user user;
        if ((cursor != NULL && strcmp(names[i], cursor) <= 0) ||
            (only != NULL && strcmp(names[i], only) != 0))
            continue;
        if (limit-- == 0) {
            *next = last;
            return 0;
        }
        int code = user_get(exchange->http->log->log, names[i], &user, diag);
        if (code < 0 && code != ERR_NOT_FOUND)
            return code;
        if (code == 0) /* nobody has deleted it meanwhile */
            put_user(exchange, names[i], &user);
        last = names[i];
    }
    return 0;
}

void http_get_users(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    struct diag diag = {0};
    const char *only = http_argument(exchange, "user"), *next = NULL;
    char **names = NULL;
    size_t count = 0;
    int64_t limit;
    if (!http_argument_limit(exchange, &limit))
        return;
    json_begin(json, '{');
    json_name(json, "users");
    json_begin(json, '[');
    int code = only != NULL ? user_name_check(only, &diag) : 0;
    if (code == 0)
        code = user_list(exchange->http->log->log, &names, &count, &diag);
    if (code == 0)
        code = put_page(exchange, names, count, limit, &next, &diag);
    json_end(json, ']');
    json_member_text(json, "next_cursor", next);
    json_end(json, '}');
    free(names);
    if (code < 0)
        http_fail_code(exchange, code, diag.text);
}

/* ---- changes ---- */

struct wish {
    const char *name;
    struct user user;
    bool asks, is_new; /* it is to be a new one; it is to be there */
    struct diag *diag;
};

static int grant(void *context, struct user *user)
{
    struct wish *wish = context;
    bool is_there = false;
    for (int i = 0; i < SCRAM_MECHANISMS; i++)
        is_there |= user->credentials[i].iterations > 0;
    if (wish->asks && wish->is_new && is_there)
        return diag_set(wish->diag, ERR_EXISTS, "there is a user %s", wish->name);
    if (wish->asks && !wish->is_new && !is_there)
        return diag_set(wish->diag, ERR_NOT_FOUND, "there is no user %s", wish->name);
    *user = wish->user;
    return 0;
}

void http_put_user(struct http_exchange *exchange)
{
    struct diag diag = {0};
    struct wish wish = {.name = exchange->parameters[0],
                        .asks = http_argument(exchange, "new") != NULL,
                        .diag = &diag};
    if (!http_argument_truth(exchange, "new", false, &wish.is_new))
        return;
    int code = user_read_credentials(bytes_of(exchange->body.data, exchange->body.size), &wish.user,
                                     &diag);
    if (code == 0)
        code = user_change(exchange->http->log->log, wish.name, grant, &wish, &diag);
    if (code < 0)
        http_fail_code(exchange, code, diag.text);
    else
        put_user(exchange, wish.name, &wish.user);
    explicit_bzero(&wish.user, sizeof wish.user);
    if (exchange->body.size > 0)
        explicit_bzero(exchange->body.data, exchange->body.size);
}

void http_delete_user(struct http_exchange *exchange)
{
    struct diag diag = {0};
    int code = user_delete(exchange->http->log->log, exchange->parameters[0], &diag);
    if (code < 0) {
        http_fail_code(exchange, code, diag.text);
        return;
    }
    json_begin(&exchange->json, '{');
    json_member_text(&exchange->json, "user", exchange->parameters[0]);
    json_end(&exchange->json, '}');
}
