/* http_users.c: the users of the directory: listed, made, given another password, deleted; what Kafka's APIs 50 and 51 do, for 'weir user'.
 *
 * A password does not come here: who sets one salts and hashes it where it was typed, and sends what is stored (log/user.h), of which nobody can make what logs in.
 *
 *     {"credentials":[{"mechanism":"SCRAM-SHA-256","iterations":4096,"salt":"…","stored_key":"…","server_key":"…"},…]}      in base 64
 *
 * They take the place of all that the user had. Whoever authenticates from then on is checked against them; connections that are open stay open. */
#include <stdio.h>
#include <stdlib.h>

#include "log/kafka/kafka_scram.h"
#include "operators/bytea.h"
#include "runtime/http/http_internal.h"
#include "runtime/records/integer_text.h"
#include "runtime/records/json_check.h"
#include "runtime/weir_handle.h"

enum { BODY_ARENA_BYTES = 1 << 20 };

/* ---- the list ---- */

static void put_user(struct json *json, const char *name, const struct user *user)
{
    json_begin(json, '{');
    json_member_text(json, "user", name);
    json_name(json, "mechanisms");
    json_begin(json, '[');
    for (int i = 0; i < SCRAM_MECHANISMS; i++) {
        if (user->credentials[i].iterations == 0)
            continue;
        json_begin(json, '{');
        json_member_text(json, "mechanism", scram_name((enum scram_mechanism)(i + 1)));
        json_member_int(json, "iterations", user->credentials[i].iterations);
        json_end(json, '}');
    }
    json_end(json, ']');
    json_end(json, '}');
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
            put_user(&exchange->json, names[i], &user);
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

/* ---- what is sent of a password ---- */

/* A text without escapes, which names of mechanisms and base 64 need none of. */
static bool take_text(struct bytes object, const char *name, struct bytes *text)
{
    struct bytes value;
    if (!json_find_member(object, name, &value) || value.size < 2 || value.data[0] != '"' ||
        memchr(value.data, '\\', value.size) != NULL)
        return false;
    *text = bytes_of(value.data + 1, value.size - 2);
    return true;
}

static bool take_iterations(struct bytes object, int32_t *iterations)
{
    struct bytes value;
    char text[16];
    int64_t number = 0;
    if (!json_find_member(object, "iterations", &value) || value.size >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
    if (parse_integer(text, &number) < 0 || number < SCRAM_ITERATIONS ||
        number > SCRAM_ITERATIONS_MAX)
        return false;
    *iterations = (int32_t)number;
    return true;
}

/* min to max bytes in base 64. */
static bool take_bytes_of(struct bytes object, const char *name, size_t min, size_t max,
                          struct arena *arena, uint8_t *data, size_t *size)
{
    struct bytes text, value;
    if (!take_text(object, name, &text) || bytea_parse_base64(text, arena, &value) < 0 ||
        value.size < min || value.size > max)
        return false;
    memcpy(data, value.data, value.size);
    *size = value.size;
    return true;
}

/* The mechanism that it is of, 0 after http_fail. */
static int take_credential(struct http_exchange *exchange, struct bytes object, struct arena *arena,
                           struct user *user)
{
    struct bytes name;
    int mechanism = SCRAM_MECHANISMS;
    bool is_named = take_text(object, "mechanism", &name);
    while (is_named && mechanism > 0 &&
           !bytes_equal(name, bytes_text(scram_name((enum scram_mechanism)mechanism))))
        mechanism--;
    if (!is_named || mechanism == 0) {
        http_fail(exchange, 400, NULL, "a mechanism is SCRAM-SHA-256 or SCRAM-SHA-512");
        return 0;
    }
    struct scram_credential *credential = &user->credentials[mechanism - 1];
    size_t size = scram_key_size((enum scram_mechanism)mechanism);
    if (credential->iterations != 0) {
        http_fail(exchange, 400, NULL, "a mechanism has one credential");
        return 0;
    }
    if (take_iterations(object, &credential->iterations) &&
        take_bytes_of(object, "salt", 1, SCRAM_SALT_BYTES, arena, credential->salt,
                      &credential->salt_size) &&
        take_bytes_of(object, "stored_key", size, size, arena, credential->stored_key,
                      &credential->key_size) &&
        take_bytes_of(object, "server_key", size, size, arena, credential->server_key,
                      &credential->key_size))
        return mechanism;
    http_fail(exchange, 400, NULL,
              "a credential has %d to %d iterations, a salt of 1 to %d bytes and two keys of %d",
              SCRAM_ITERATIONS, SCRAM_ITERATIONS_MAX, SCRAM_SALT_BYTES, (int)size);
    return 0;
}

static bool take_user(struct http_exchange *exchange, struct user *user)
{
    struct bytes body = bytes_of(exchange->body.data, exchange->body.size), list, object;
    struct arena arena;
    bool is_there = body.size > 0 && json_check(body) &&
                    json_find_member(body, "credentials", &list) && list.data[0] == '[';
    int count = 0, mechanism = 1;
    *user = (struct user){.credentials = {{0}}};
    arena_init(&arena, BODY_ARENA_BYTES);
    struct json_list rest = {.rest = is_there ? list : bytes_of("", 0)};
    for (; mechanism > 0 && json_list_next(&rest, &object); count++)
        mechanism = take_credential(exchange, object, &arena, user);
    arena_deinit(&arena);
    if (mechanism > 0 && count == 0)
        http_fail(exchange, 400, "docs/http.md shows one",
                  "the body is a JSON object with a list of credentials");
    return mechanism > 0 && count > 0;
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
    if (!http_argument_truth(exchange, "new", false, &wish.is_new) ||
        !take_user(exchange, &wish.user))
        return;
    int code = user_change(exchange->http->log->log, wish.name, grant, &wish, &diag);
    if (code < 0)
        http_fail_code(exchange, code, diag.text);
    else
        put_user(&exchange->json, wish.name, &wish.user);
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
