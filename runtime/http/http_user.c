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

#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"

enum { WRONG_NS = 100000000 };

static int digit_of(char letter)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = letter != '\0' ? strchr(digits, letter) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Whole base64 with its padding into text, which has room for three quarters of it. False: it is none. */
static bool decode(const char *coded, uint8_t *text, size_t *size)
{
    size_t length = strlen(coded), padding = 0, count = 0;
    while (padding < 2 && length > padding && coded[length - 1 - padding] == '=')
        padding++;
    if (length % 4 != 0)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 4; j++) {
            int digit = j >= length - padding ? 0 : digit_of(coded[j]);
            if (digit < 0)
                return false;
            bits = bits << 6 | (uint32_t)digit;
        }
        for (int shift = 16; shift >= 0; shift -= 8)
            text[count++] = (uint8_t)(bits >> shift);
    }
    *size = count - padding;
    return true;
}

bool http_user_read(const char *header, struct http_user *user)
{
    static const char scheme[] = "Basic ";
    size_t size = 0;
    user->name = user->password = NULL;
    if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
        return false;
    header += strspn(header + sizeof scheme - 1, " ") + sizeof scheme - 1;
    if (strlen(header) / 4 * 3 >= sizeof user->text ||
        !decode(header, (uint8_t *)user->text, &size) || memchr(user->text, 0, size) != NULL)
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
