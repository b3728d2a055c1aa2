/* job_formats.c: a user's format for jobs that are written as data (see job.h): "a=1;b=text". It is
 * what a user would write, and a few things that a user should not. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/job.h"

/* The text behind "name=" up to the next semicolon. */
static bool find_pair(const weir_value *value, const char *name, weir_value *text)
{
    const char *at = value->text.data, *end = at + value->text.size;
    size_t name_size = strlen(name);
    while (at < end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        const char *stop = semicolon != NULL ? semicolon : end;
        if ((size_t)(stop - at) > name_size && memcmp(at, name, name_size) == 0 &&
            at[name_size] == '=') {
            text->type = WEIR_TEXT;
            text->text.data = at + name_size + 1;
            text->text.size = (size_t)(stop - text->text.data);
            return true;
        }
        at = stop + 1;
    }
    return false;
}

static int take_number(weir_call *call, weir_value *value)
{
    char digits[24] = "", *end;
    memcpy(digits, value->text.data, value->text.size < 20 ? value->text.size : 20);
    int64_t number = strtoll(digits, &end, 10);
    if (end == digits || *end != '\0') {
        weir_call_error(call, "a number was expected");
        return -1;
    }
    *value = (weir_value){.type = WEIR_BIGINT, .i64 = number};
    return 0;
}

/* A column "k" is the record's key, "time" its timestamp; of a record without a value there is nothing
 * else. Whatever is no number goes as text, also where the column takes none. */
static int decode_pairs(void *context, weir_call *call, const weir_value *key,
                        const weir_value *value, const weir_column *columns, size_t count,
                        weir_value *results)
{
    (void)context;
    if (value->type == WEIR_BYTEA && value->text.size > 0 &&
        memchr(value->text.data, '=', value->text.size) == NULL)
        return WEIR_EINVALID; /* without a word */
    for (size_t i = 0; i < count; i++) {
        if (strcmp(columns[i].name, "time") == 0)
            results[i] = (weir_value){.type = WEIR_TIMESTAMP, .i64 = weir_call_event_time(call)};
        else if (strcmp(columns[i].name, "k") == 0)
            results[i] = *key;
        else if (value->type == WEIR_BYTEA && find_pair(value, columns[i].name, &results[i]) &&
                 columns[i].type == WEIR_BIGINT && take_number(call, &results[i]) < 0)
            return -1;
        if (strcmp(columns[i].name, "confused") == 0)
            (void)(weir_call_write(call, "x", 1) == 0 || weir_call_give(call, results) == 0);
    }
    return 0;
}

static int encode_pairs(void *context, weir_call *call, const weir_column *columns, size_t count,
                        const weir_value *values)
{
    size_t written = 0;
    (void)context;
    for (size_t i = 0; i < count; i++) {
        if (values[i].type == WEIR_NULL)
            continue;
        if (values[i].type != WEIR_TEXT && values[i].type != WEIR_NUMERIC)
            return -1; /* without a word */
        if (memchr(values[i].text.data, ';', values[i].text.size) != NULL) {
            weir_call_error(call, "a semicolon cannot be written");
            return -1;
        }
        if (written++ > 0)
            weir_call_write(call, ";", 1);
        weir_call_write(call, columns[i].name, strlen(columns[i].name));
        weir_call_write(call, "=", 1);
        for (int64_t n = strcmp(columns[i].name, "huge") == 0 ? 1 << 20 : 1; n > 0; n--)
            weir_call_write(call, values[i].text.data, values[i].text.size);
    }
    return written == 0;
}

weir_format job_add_pairs(weir_app *app)
{
    const weir_format_functions functions = {.decode = decode_pairs, .encode = encode_pairs};
    return weir_format_add(app, "pairs-1", &functions, NULL);
}
