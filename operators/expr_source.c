/* expr_source.c: what the compiler says about the text it was given.
 *
 * Every complaint has the same four parts, so that people and tests can rely on it:
 *
 *   function foo does not exist, line 1, column 10:
 *     sum(x) + foo(y)
 *              ^
 *   hint: did you mean "floor"?
 *
 * The column counts characters, not bytes. Long lines are shown around the place only, so that the
 * whole fits a diag. Tabs are shown as one blank, so the caret stands where it should. */
#include "operators/expr_internal.h"

#include <stdio.h>

enum { SHOWN_BYTES = 100 };

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

int clip(struct bytes text, size_t max)
{
    if (text.size <= max)
        return (int)text.size;
    while (max > 0 && (text.data[max] & 0xC0) == 0x80)
        max--;
    return (int)max;
}

/* The line around `at`, its number, the column, and how much of it is shown. */
struct place {
    uint32_t line, column;
    const char *start, *end; /* shown part */
    uint32_t caret;          /* characters before the caret */
};

static struct place find_place(const char *sql, size_t at)
{
    struct place place = {.line = 1, .column = 1};
    const char *start = sql, *mark = sql + at;
    for (const char *c = sql; c < mark; c++) {
        if (*c == '\n') {
            place.line++;
            start = c + 1;
        }
    }
    const char *end = mark;
    while (*end != '\0' && *end != '\n')
        end++;
    for (const char *c = start; c < mark; c++)
        place.column += !is_continuation(*c);
    if (mark - start > SHOWN_BYTES / 2) {
        start = mark - SHOWN_BYTES / 2;
        while (is_continuation(*start))
            start++;
    }
    if (end - start > SHOWN_BYTES) {
        end = start + SHOWN_BYTES;
        while (end > mark && is_continuation(*end))
            end--;
    }
    for (const char *c = start; c < mark; c++)
        place.caret += !is_continuation(*c);
    place.start = start;
    place.end = end;
    return place;
}

int source_error(const struct source *source, int code, int32_t at, const char *hint,
                 const char *format, ...)
{
    char sentence[512], line[SHOWN_BYTES + 8];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    const char *hint_head = hint != NULL ? "\nhint: " : "";
    if (hint == NULL)
        hint = "";
    if (at < 0)
        return diag_set(source->diag, code, "%s%s%s", sentence, hint_head, hint);
    size_t size = strlen(source->sql);
    struct place place = find_place(source->sql, (size_t)at < size ? (size_t)at : size);
    size_t shown = (size_t)(place.end - place.start);
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)place.start[i];
        line[i] = c < ' ' || c == 0x7F ? ' ' : (char)c;
    }
    line[shown] = '\0';
    return diag_set(source->diag, code, "%s, line %u, column %u:\n  %s\n  %*s^%s%s", sentence,
                    place.line, place.column, line, (int)place.caret, "", hint_head, hint);
}

/* Levenshtein distance of short names; longer ones are never close. */
static uint32_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t m = strlen(a), n = strlen(b);
    if (m >= LONGEST || n >= LONGEST)
        return LONGEST;
    uint32_t row[LONGEST + 1];
    for (uint32_t j = 0; j <= n; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= m; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= n; j++) {
            uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *closest_name(const char *name, const char *const *names, uint32_t count)
{
    const char *best = NULL;
    uint32_t best_distance = (uint32_t)strlen(name) / 3 + 1;
    if (best_distance < 2)
        best_distance = 2;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t distance = edit_distance(name, names[i]);
        if (distance < best_distance && distance < strlen(name)) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}
