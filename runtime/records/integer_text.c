/* integer_text.c: a whole text as a whole number: flags, headers, keys of notes. */
#include "runtime/records/integer_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

int parse_integer(const char *text, int64_t *value)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (!isdigit((unsigned char)digits[0]))
        return ERR_INVALID;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*end != '\0')
        return ERR_INVALID;
    if (errno == ERANGE)
        return ERR_RANGE;
    *value = number;
    return 0;
}
