/* http_accept.c: which of two representations an Accept header wants (RFC 9110, 12.5.1).
 *
 * The header is a list of media ranges with a quality each. A type has the quality of the range that says most about it ("text/plain" more than "text/" and a star, that more
 * than two stars), the highest where several say as much, and none where no range names it. A range that names a version fits a type that is offered in this version; what
 * else it names (charset, escaping) does not matter to what is written here. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "runtime/http/http_internal.h"

struct range {
    const char *type; /* with its slash, not ended */
    size_t size;
    char version[16];
    int quality; /* of 1000 */
};

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t");
}

/* Up to one of the ends, which a quoted text does not have. */
static size_t length_until(const char *at, const char *ends)
{
    size_t size = 0;
    bool is_quoted = false;
    for (; at[size] != '\0' && (is_quoted || strchr(ends, at[size]) == NULL); size++) {
        if (at[size] == '"')
            is_quoted = !is_quoted;
        else if (at[size] == '\\' && is_quoted && at[size + 1] != '\0')
            size++;
    }
    return size;
}

/* "1", "0.5", "0.875". What is none is 0, which is not to be sent. */
static int read_quality(const char *text, size_t size)
{
    int quality = size > 0 && text[0] == '1' ? 1000 : 0;
    if (size < 2 || text[0] != '0' || text[1] != '.')
        return quality;
    for (size_t i = 2, weight = 100; i < size && i < 5 && text[i] >= '0' && text[i] <= '9'; i++) {
        quality += (text[i] - '0') * (int)weight;
        weight /= 10;
    }
    return quality;
}

static void take_parameter(const char *text, size_t size, struct range *range)
{
    size_t name = strcspn(text, "=");
    if (name >= size)
        return;
    const char *value = text + name + 1;
    size_t value_size = size - name - 1;
    while (value_size > 0 && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t'))
        value_size--;
    if (value_size >= 2 && value[0] == '"') {
        value++;
        value_size -= 2;
    }
    if (name == 1 && (text[0] == 'q' || text[0] == 'Q'))
        range->quality = read_quality(value, value_size);
    if (name == 7 && strncasecmp(text, "version", 7) == 0)
        snprintf(range->version, sizeof range->version, "%.*s",
                 (int)(value_size < 15 ? value_size : 15), value);
}

/* The next range of a list; false at its end. */
static bool next_range(const char **at, struct range *range)
{
    const char *text = *at + strspn(*at, " \t,");
    if (*text == '\0')
        return false;
    *range = (struct range){.type = text, .size = strcspn(text, " \t,;"), .quality = 1000};
    text = skip_spaces(text + range->size);
    while (*text == ';') {
        text = skip_spaces(text + 1);
        size_t size = length_until(text, ",;");
        take_parameter(text, size, range);
        text += size;
    }
    *at = text + length_until(text, ",");
    return true;
}

/* How much a range says of a type: 0 nothing, 3 all. */
static int fit(const struct range *range, const struct http_media *media)
{
    size_t size = strlen(media->type), major = strcspn(media->type, "/") + 1;
    if (range->version[0] != '\0' && !http_has_word(media->versions, range->version))
        return 0;
    if (range->size == size && strncasecmp(range->type, media->type, size) == 0)
        return 3;
    if (range->size == major + 1 && range->type[major] == '*' &&
        strncasecmp(range->type, media->type, major) == 0)
        return 2;
    return range->size == 3 && strncmp(range->type, "*/*", 3) == 0 ? 1 : 0;
}

static int quality_of(const char *accept, const struct http_media *media)
{
    struct range range;
    int best = 0, quality = 0;
    while (next_range(&accept, &range)) {
        int fits = fit(&range, media);
        if (fits > best || (fits == best && fits > 0 && range.quality > quality))
            quality = range.quality;
        best = fits > best ? fits : best;
    }
    return quality;
}

bool http_prefers(const char *accept, const struct http_media *wanted,
                  const struct http_media *other)
{
    return accept != NULL && quality_of(accept, wanted) > quality_of(accept, other);
}
