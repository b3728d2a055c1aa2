/* http_user.c: who asks: HTTP's Basic authentication (RFC 7617), where the server has users.
 *
 *     Authorization: Basic base64(name:password)
 *
 * The name ends at the first colon, which no name has. What is right is the owner's of the server to say (http_options.may_enter); it may take milliseconds, since a
 * password is hashed thousands of times. A wrong one is answered WRONG_NS after the question, so that how long the check took does not show, in the thread of its connection, of which
 * there are HTTP_CONNECTIONS. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "operators/bytea.h"
#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"

enum { WRONG_NS = 100000000 };

/* Whole base64 with its padding into text. False: it is none, or too long. */
static bool decode(const char *coded, char *text, size_t room, size_t *size)
{
    struct arena arena;
    struct bytes decoded;
    arena_init(&arena, 0);
    bool is_good = strpbrk(coded, " \t\r\n\v\f") == NULL && strlen(coded) / 4 * 3 < room &&
                   bytea_parse_base64(bytes_text(coded), &arena, &decoded) == 0;
    if (is_good) {
        *size = decoded.size;
        memcpy(text, decoded.data, decoded.size);
        explicit_bzero((void *)(uintptr_t)decoded.data, decoded.size);
    }
    arena_deinit(&arena);
    return is_good;
}

bool http_user_read(const char *header, struct http_user *user)
{
    static const char scheme[] = "Basic ";
    size_t size = 0;
    user->name = user->password = NULL;
    if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
        return false;
    header += strspn(header + sizeof scheme - 1, " ") + sizeof scheme - 1;
    if (!decode(header, user->text, sizeof user->text, &size) ||
        memchr(user->text, 0, size) != NULL)
        return false;
    user->text[size] = '\0';
    char *colon = strchr(user->text, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    user->name = user->text;
    user->password = colon + 1;
    return true;
}

/* Who guesses is to be seen, and is not to fill the log. */
static void complain(struct http_exchange *exchange)
{
    int64_t second = clock_mono_ms() / 1000;
    if (atomic_exchange(&exchange->http->complained_s, second) != second)
        log_line('W', "http: wrong user name or password from %s", exchange->peer);
}

bool http_user_may_ask(struct http_exchange *exchange, const char *header)
{
    const struct http *http = exchange->http;
    int64_t began_ns = clock_mono_ns();
    struct http_user user;
    if (http->may_enter == NULL ||
        (exchange->route != NULL && exchange->route->access == HTTP_OPEN))
        return true;
    bool is_told = http_user_read(header, &user);
    bool may = is_told && http->may_enter(http->may_enter_context, user.name, user.password);
    if (may)
        snprintf(exchange->user, sizeof exchange->user, "%s", user.name);
    explicit_bzero(&user, sizeof user);
    if (may)
        return true;
    if (is_told) {
        complain(exchange);
        clock_sleep_until(began_ns + WRONG_NS);
    }
    http_fail(exchange, 401, "the users are those of Kafka clients: 'weir user add'", "%s",
              is_told ? "wrong user name or password" : "this server asks who you are");
    return false;
}
