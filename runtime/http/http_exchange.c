/* http_exchange.c: from a request to its answer, and what handlers share on the way (see http_internal.h).
 *
 * Nothing here knows of sockets, so that a test can ask as a client would. An answer that fails takes back what was written before: who reads it
 * gets all of an answer, or an error as JSON and the status that belongs to it. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"

void http_fail(struct http_exchange *exchange, int status, const char *hint, const char *format,
               ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buf_deinit(&exchange->out); /* what it was going to be may be large */
    http_leave_room(exchange);
    exchange->json = (struct json){.text = &exchange->out};
    exchange->status = status;
    exchange->content_type = "application/json";
    json_begin(&exchange->json, '{');
    json_member_text(&exchange->json, "error", text);
    json_member_text(&exchange->json, "hint", hint);
    json_end(&exchange->json, '}');
}

static int status_of(int code)
{
    switch (code) {
    case WEIR_EINVALID:
    case WEIR_EUNSUPPORTED:
    case WEIR_ERANGE:
    case WEIR_ETOOLARGE:
        return 400;
    case WEIR_ENOTFOUND:
        return 404;
    case WEIR_EBUSY:
    case WEIR_ESTATE:
    case WEIR_EEXISTS:
        return 409;
    case WEIR_ENOMEM:
    case WEIR_ETIMEOUT:
    case WEIR_ESTOPPED:
    case WEIR_EFULL:
        return 503;
    default:
        return 500;
    }
}

void http_fail_code(struct http_exchange *exchange, int code, const char *text)
{
    static const char mark[] = "\nhint: ";
    const char *hint = strstr(text, mark);
    size_t size = hint != NULL ? (size_t)(hint - text) : strlen(text);
    http_fail(exchange, status_of(code), hint != NULL ? hint + sizeof mark - 1 : NULL, "%.*s",
              (int)size, size > 0 ? text : weir_strerror(code));
}

/* ---- arguments ---- */

const char *http_argument(const struct http_exchange *exchange, const char *name)
{
    for (int i = 0; i < exchange->target.argument_count; i++)
        if (strcmp(exchange->target.arguments[i].name, name) == 0)
            return exchange->target.arguments[i].value;
    return NULL;
}

/* A whole number in decimal digits, with a minus perhaps: nothing before, nothing behind. */
static bool read_number(const char *text, int64_t *number)
{
    char *end;
    size_t sign = text[0] == '-';
    if (text[sign] < '0' || text[sign] > '9' || strlen(text) > 20)
        return false;
    long long value = strtoll(text, &end, 10);
    *number = value;
    return *end == '\0' && value != INT64_MAX && value != INT64_MIN;
}

bool http_argument_number(struct http_exchange *exchange, const char *name, int64_t min,
                          int64_t max, int64_t fallback, int64_t *number)
{
    const char *text = http_argument(exchange, name);
    *number = fallback;
    if (text == NULL || (read_number(text, number) && *number >= min && *number <= max))
        return true;
    http_fail(exchange, 400, NULL, "%s is a whole number from %lld to %lld, not '%.100s'", name,
              (long long)min, (long long)max, text);
    return false;
}

bool http_argument_truth(struct http_exchange *exchange, const char *name, bool fallback,
                         bool *truth)
{
    const char *text = http_argument(exchange, name);
    *truth = text != NULL ? strcmp(text, "true") == 0 : fallback;
    if (text == NULL || *truth || strcmp(text, "false") == 0)
        return true;
    http_fail(exchange, 400, NULL, "%s is true or false, not '%.100s'", name, text);
    return false;
}

bool http_argument_limit(struct http_exchange *exchange, int64_t *limit)
{
    return http_argument_number(exchange, "limit", 1, HTTP_PAGE_MAX, HTTP_PAGE, limit);
}

bool http_is_over(const struct http_exchange *exchange)
{
    return atomic_load(&exchange->http->is_stopping) || clock_mono_ns() > exchange->until_ns;
}

bool http_is_gone(const struct http_exchange *exchange)
{
    struct pollfd peer = {exchange->socket, POLLRDHUP, 0};
    return exchange->socket >= 0 && poll(&peer, 1, 0) > 0;
}

/* ---- the answer ---- */

bool http_has_word(const char *words, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += size)
        if ((at == words || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
            return true;
    return false;
}

/* A misspelt argument would silently ask for something else. */
static bool check_arguments(struct http_exchange *exchange)
{
    const char *known = exchange->route->arguments;
    for (int i = 0; i < exchange->target.argument_count; i++) {
        const char *name = exchange->target.arguments[i].name;
        char hint[256];
        if (strchr(name, ' ') == NULL && http_has_word(known, name))
            continue;
        snprintf(hint, sizeof hint, "there is: %s", known);
        http_fail(exchange, 400, known[0] != '\0' ? hint : NULL, "%s takes no argument %.100s",
                  exchange->route->path, name);
        return false;
    }
    return true;
}

void http_answer(struct http_exchange *exchange, const char *method)
{
    exchange->status = 200;
    exchange->content_type = "application/json";
    exchange->json = (struct json){.text = &exchange->out};
    exchange->until_ns = clock_mono_ns() + (int64_t)HTTP_ANSWER_MS * 1000000;
    exchange->route =
        http_route_find(method, &exchange->target, exchange->parameters, exchange->allow);
    if (exchange->route != NULL) {
        if (check_arguments(exchange) && http_is_allowed(exchange))
            exchange->route->handle(exchange);
    } else if (exchange->allow[0] != '\0') {
        http_fail(exchange, 405, NULL, "%.20s is not for this address: it takes %s", method,
                  exchange->allow);
    } else {
        http_fail(exchange, 404, "GET / lists the addresses there are",
                  "there is nothing at this address");
    }
    struct diag diag = {.code = 0};
    if (!buf_ok(&exchange->out))
        http_fail(exchange, 503, NULL, "no memory for this answer");
    else if (http_take_room(exchange, &diag) < 0)
        http_fail_code(exchange, diag.code, diag.text);
    http_settle_room(exchange);
}
