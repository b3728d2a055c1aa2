/* http_target.c: the target of a request, taken apart (see http_internal.h).
 *
 *   target   = path ["?" query]        path = 1*("/" segment)        query = [name "=" value] *("&" …)
 *
 * A target is what anybody may send, so that it is judged before anything is made of it: it has a length, segments and arguments
 * in numbers; each percent sign stands before two hexadecimal digits; what comes out is UTF-8 without control characters, zero
 * bytes above all, which C would take for an end. Segments are cut first and decoded afterwards: "%2F" is a slash in a name and
 * no boundary. "." and ".." are names like any other: nothing here is a path of files. In a query "+" is a space. An empty
 * segment is an error and not passed over, but for one slash at the end. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/utf8.h"
#include "runtime/http/http_internal.h"

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes in place. */
static int decode(char *text, bool is_query, struct diag *diag)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (*from != '%') {
            *to = is_query && *from == '+' ? ' ' : *from;
            from++;
            continue;
        }
        int high = digit_of(from[1]), low = high < 0 ? -1 : digit_of(from[2]);
        if (low < 0)
            return diag_set(diag, ERR_INVALID,
                            "a %% in the address stands for a byte: %%XX in hexadecimal digits");
        *to = (char)(high << 4 | low);
        from += 3;
        if (*to == '\0')
            return diag_set(diag, ERR_INVALID, "the address has a zero byte in it");
    }
    *to = '\0';
    for (const char *c = text; c < to; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return diag_set(diag, ERR_INVALID, "the address has a control character in it");
    if (!utf8_check(bytes_of(text, (size_t)(to - text))))
        return diag_set(diag, ERR_INVALID, "the address is not UTF-8");
    return 0;
}

static int take_path(char *path, struct http_target *target, struct diag *diag)
{
    if (path[0] != '/')
        return diag_set(diag, ERR_INVALID, "the address is no path: it begins with a slash");
    for (char *at = path + 1; *at != '\0';) {
        char *slash = strchr(at, '/'), *next = slash != NULL ? slash + 1 : at + strlen(at);
        if (slash != NULL)
            *slash = '\0';
        if (at[0] == '\0')
            return diag_set(diag, ERR_INVALID, "the address has an empty part between slashes");
        if (target->segment_count == HTTP_SEGMENTS_MAX)
            return diag_set(diag, ERR_TOO_LARGE, "the address has more than %d parts",
                            HTTP_SEGMENTS_MAX);
        TRY(decode(at, false, diag));
        target->segments[target->segment_count++] = at;
        at = next;
    }
    return 0;
}

static int take_argument(char *text, struct http_target *target, struct diag *diag)
{
    char *equals = strchr(text, '=');
    if (equals != NULL)
        *equals = '\0';
    char *value = equals != NULL ? equals + 1 : text + strlen(text);
    TRY(decode(text, true, diag));
    TRY(decode(value, true, diag));
    if (text[0] == '\0')
        return diag_set(diag, ERR_INVALID, "an argument of the address has no name");
    for (int i = 0; i < target->argument_count; i++)
        if (strcmp(target->arguments[i].name, text) == 0)
            return diag_set(diag, ERR_INVALID, "the argument %.100s is there twice", text);
    if (target->argument_count == HTTP_ARGUMENTS_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "the address has more than %d arguments",
                        HTTP_ARGUMENTS_MAX);
    target->arguments[target->argument_count++] = (struct http_argument){text, value};
    return 0;
}

static int take_query(char *query, struct http_target *target, struct diag *diag)
{
    while (*query != '\0') {
        char *end = strchr(query, '&'), *next = end != NULL ? end + 1 : query + strlen(query);
        if (end != NULL)
            *end = '\0';
        if (query[0] != '\0')
            TRY(take_argument(query, target, diag));
        query = next;
    }
    return 0;
}

int http_target_parse(const char *text, struct http_target *target, struct diag *diag)
{
    *target = (struct http_target){.segment_count = 0};
    if (strnlen(text, HTTP_TARGET_BYTES + 1) > HTTP_TARGET_BYTES)
        return diag_set(diag, ERR_TOO_LARGE, "the address is longer than %d bytes",
                        HTTP_TARGET_BYTES);
    target->memory = strdup(text);
    if (target->memory == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a request");
    char *query = strchr(target->memory, '?');
    if (query != NULL)
        *query++ = '\0';
    int rc = take_path(target->memory, target, diag);
    if (rc == 0 && query != NULL)
        rc = take_query(query, target, diag);
    return rc;
}

void http_target_deinit(struct http_target *target)
{
    free(target->memory);
    *target = (struct http_target){.segment_count = 0};
}
