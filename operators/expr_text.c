/* expr_text.c: the functions on text.
 *
 * Text is UTF-8 that was validated on its way in, so positions and lengths count characters by
 * counting bytes that do not continue one. Case mapping is ours, so that it does not depend on the
 * process's locale: ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic, one character to one
 * character (ß stays ß); others stay as they are. Results that are parts of an argument share its
 * bytes. */
#include "operators/expr_text.h"

#include <stdio.h>

/* ---- Characters ---- */

static bool starts_character(uint8_t byte)
{
    return (byte & 0xC0) != 0x80;
}

static int64_t character_count(struct bytes text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += starts_character(text.data[i]);
    return count;
}

/* The byte where character number n (from 0) starts; the size when there are fewer. */
static size_t character_offset(struct bytes text, int64_t n)
{
    size_t i = 0;
    for (; i < text.size; i++) {
        if (starts_character(text.data[i]) && n-- == 0)
            break;
    }
    return i;
}

size_t utf8_size(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

static uint32_t case_map(uint32_t c, bool upper)
{
    if (c >= 0x100 && c <= 0x17F) {
        if (c == 0x130 || c == 0x131 || c == 0x138 || c == 0x149 || c == 0x17F)
            return c;
        if (c == 0x178)
            return upper ? c : 0xFF;
        /* Pairs start at even code points, but at odd ones in two stretches. */
        bool odd_first = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
        bool is_upper = ((c & 1) != 0) == odd_first;
        return is_upper == upper ? c : upper ? c - 1 : c + 1;
    }
    if (upper) {
        if (c == 0xFF)
            return 0x178;
        if ((c >= 0xE0 && c <= 0xFE && c != 0xF7) || (c >= 0x3B1 && c <= 0x3CB && c != 0x3C2) ||
            (c >= 0x430 && c <= 0x44F))
            return c - 32;
        return c == 0x3C2                 ? 0x3A3
               : c == 0x3AC               ? 0x386
               : c >= 0x3AD && c <= 0x3AF ? c - 37
               : c == 0x3CC               ? 0x38C
               : c == 0x3CD || c == 0x3CE ? c - 63
               : c >= 0x450 && c <= 0x45F ? c - 80
                                          : c;
    }
    if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
        (c >= 0x410 && c <= 0x42F))
        return c + 32;
    return c == 0x386                 ? 0x3AC
           : c >= 0x388 && c <= 0x38A ? c + 37
           : c == 0x38C               ? 0x3CC
           : c == 0x38E || c == 0x38F ? c + 63
           : c >= 0x400 && c <= 0x40F ? c + 80
                                      : c;
}

/* All mapped characters have two bytes before and after. */
int text_change_case(struct arena *arena, struct bytes text, bool upper, struct bytes *out)
{
    uint8_t *copy = arena_alloc_aligned(arena, text.size + 1, 1);
    if (copy == NULL)
        return ERR_NOMEM;
    uint8_t first = upper ? 'a' : 'A';
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < 0xC3 || c > 0xD1 || i + 1 >= text.size) {
            copy[i] = (uint8_t)(c - first) < 26 ? c ^ 0x20 : c;
            continue;
        }
        uint32_t mapped = case_map(((c & 0x1Fu) << 6) | (text.data[i + 1] & 0x3Fu), upper);
        copy[i] = (uint8_t)(0xC0 | (mapped >> 6));
        copy[++i] = (uint8_t)(0x80 | (mapped & 0x3F));
    }
    *out = bytes_of(copy, text.size);
    return 0;
}

static int text_lower(struct row_call *call, const union scalar *args, union scalar *result)
{
    return text_change_case(call->eval->run->arena, args[0].text, false, &result->text);
}

static int text_upper(struct row_call *call, const union scalar *args, union scalar *result)
{
    return text_change_case(call->eval->run->arena, args[0].text, true, &result->text);
}

static int text_length(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->i64 = character_count(args[0].text);
    return SCALAR_VALUE;
}

static int text_octet_length(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->i64 = (int64_t)args[0].text.size;
    return SCALAR_VALUE;
}

/* ---- Parts ---- */

/* Characters first (from 0, not negative) up to but not including `end`. */
static struct bytes part(struct bytes text, int64_t first, int64_t end)
{
    size_t from = character_offset(text, first);
    struct bytes rest = bytes_of(text.data + from, text.size - from);
    rest.size = end > first ? character_offset(rest, end - first) : 0;
    return rest;
}

static int text_substr(struct row_call *call, const union scalar *args, union scalar *result)
{
    int64_t first = args[1].i64, end = INT64_MAX;
    if (call->node->arg_count == 3) {
        if (args[2].i64 < 0)
            return scalar_fail(call, "invalid_argument", "negative substring length not allowed");
        if (__builtin_add_overflow(first, args[2].i64, &end))
            end = INT64_MAX;
    }
    first = first < 1 ? 1 : first;
    result->text = part(args[0].text, first - 1, end < first ? first - 1 : end - 1);
    return SCALAR_VALUE;
}

static int text_left(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    int64_t n = args[1].i64;
    if (n < 0) {
        int64_t count = character_count(args[0].text);
        n = n < -count ? 0 : count + n;
    }
    result->text = part(args[0].text, 0, n);
    return SCALAR_VALUE;
}

static int text_right(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    int64_t n = args[1].i64, count = character_count(args[0].text);
    int64_t skip = n < 0 ? (n < -count ? count : -n) : n > count ? 0 : count - n;
    result->text = part(args[0].text, skip, INT64_MAX);
    return SCALAR_VALUE;
}

static const uint8_t *find(const uint8_t *from, const uint8_t *end, struct bytes what)
{
    size_t left = (size_t)(end - from);
    return what.size == 1 ? memchr(from, what.data[0], left)
                          : memmem(from, left, what.data, what.size);
}

static int text_split_part(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes text = args[0].text, separator = args[1].text;
    int64_t n = args[2].i64, fields = 1;
    const uint8_t *end = text.data + text.size, *at = text.data, *next;
    if (n == 0)
        return scalar_fail(call, "invalid_argument", "field position must not be zero");
    result->text = bytes_of("", 0);
    if (separator.size == 0 || text.size == 0) {
        if (n == 1 || n == -1)
            result->text = text;
        return SCALAR_VALUE;
    }
    if (n < 0) {
        for (const uint8_t *p = at; (p = find(p, end, separator)) != NULL; p += separator.size)
            fields++;
        if (n < -fields)
            return SCALAR_VALUE;
        n = fields + n + 1;
    }
    for (; (next = find(at, end, separator)) != NULL && n > 1; n--)
        at = next + separator.size;
    if (n == 1)
        result->text = bytes_of(at, (size_t)((next != NULL ? next : end) - at));
    return SCALAR_VALUE;
}

/* ---- Search ---- */

static int text_strpos(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    struct bytes text = args[0].text, what = args[1].text;
    const uint8_t *at = what.size == 0 ? text.data : find(text.data, text.data + text.size, what);
    result->i64 =
        at == NULL ? 0 : 1 + character_count(bytes_of(text.data, (size_t)(at - text.data)));
    return SCALAR_VALUE;
}

static int text_starts_with(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    struct bytes text = args[0].text, head = args[1].text;
    result->boolean = text.size >= head.size && memcmp(text.data, head.data, head.size) == 0;
    return SCALAR_VALUE;
}

/* ---- trim ---- */

static bool set_contains(struct bytes set, const uint8_t *character, size_t size)
{
    for (size_t i = 0; i < set.size; i += utf8_size(set.data[i])) {
        if (utf8_size(set.data[i]) == size && size <= set.size - i &&
            memcmp(set.data + i, character, size) == 0)
            return true;
    }
    return false;
}

static struct bytes trim(struct bytes text, struct bytes set, bool left, bool right)
{
    while (left && text.size > 0) {
        size_t size = utf8_size(text.data[0]);
        if (size > text.size || !set_contains(set, text.data, size))
            break;
        text.data += size;
        text.size -= size;
    }
    while (right && text.size > 0) {
        size_t size = 1;
        while (size < text.size && !starts_character(text.data[text.size - size]))
            size++;
        if (!set_contains(set, text.data + text.size - size, size))
            break;
        text.size -= size;
    }
    return text;
}

static int trim_call(struct row_call *call, const union scalar *args, union scalar *result,
                     bool left, bool right)
{
    struct bytes set = call->node->arg_count == 2 ? args[1].text : bytes_text(" ");
    result->text = trim(args[0].text, set, left, right);
    return SCALAR_VALUE;
}

static int text_btrim(struct row_call *call, const union scalar *args, union scalar *result)
{
    return trim_call(call, args, result, true, true);
}

static int text_ltrim(struct row_call *call, const union scalar *args, union scalar *result)
{
    return trim_call(call, args, result, true, false);
}

static int text_rtrim(struct row_call *call, const union scalar *args, union scalar *result)
{
    return trim_call(call, args, result, false, true);
}

/* ---- New texts ---- */

static int new_text(struct row_call *call, size_t size, uint8_t **text)
{
    if (size > EXPR_VALUE_BYTES_MAX)
        return scalar_fail(call, "out_of_range", "a text is longer than %d bytes",
                           EXPR_VALUE_BYTES_MAX);
    *text = arena_alloc_aligned(call->eval->run->arena, size + 1, 1);
    return *text != NULL ? SCALAR_VALUE : ERR_NOMEM;
}

static int text_replace(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes text = args[0].text, from = args[1].text, to = args[2].text;
    const uint8_t *at = text.data, *end = text.data + text.size, *next;
    size_t count = 0;
    uint8_t *copy = NULL;
    result->text = text;
    if (from.size == 0)
        return SCALAR_VALUE;
    for (const uint8_t *p = at; (p = find(p, end, from)) != NULL; p += from.size)
        count++;
    if (count == 0)
        return SCALAR_VALUE;
    size_t size = text.size - count * from.size + count * to.size;
    int rc = new_text(call, size, &copy);
    if (rc != SCALAR_VALUE)
        return rc;
    result->text = bytes_of(copy, size);
    while ((next = find(at, end, from)) != NULL) {
        memcpy(copy, at, (size_t)(next - at));
        copy += next - at;
        memcpy(copy, to.data, to.size);
        copy += to.size;
        at = next + from.size;
    }
    memcpy(copy, at, (size_t)(end - at));
    return SCALAR_VALUE;
}

static int text_concat(struct row_call *call, const union scalar *args, union scalar *result)
{
    size_t size = 0;
    uint8_t *copy = NULL;
    for (uint32_t i = 0; i < call->node->arg_count; i++)
        size += call->arg_nulls[i] ? 0 : args[i].text.size;
    int rc = new_text(call, size, &copy);
    if (rc != SCALAR_VALUE)
        return rc;
    result->text = bytes_of(copy, size);
    for (uint32_t i = 0; i < call->node->arg_count; i++) {
        if (call->arg_nulls[i])
            continue;
        memcpy(copy, args[i].text.data, args[i].text.size);
        copy += args[i].text.size;
    }
    return SCALAR_VALUE;
}

const struct function text_functions[] = {
    {"lower", "t:t", text_lower, false},
    {"upper", "t:t", text_upper, false},
    {"length", "i:t", text_length, false},
    {"char_length", "i:t", text_length, false},
    {"character_length", "i:t", text_length, false},
    {"octet_length", "i:t", text_octet_length, false},
    {"substr", "t:ti", text_substr, false},
    {"substr", "t:tii", text_substr, false},
    {"substring", "t:ti", text_substr, false},
    {"substring", "t:tii", text_substr, false},
    {"left", "t:ti", text_left, false},
    {"right", "t:ti", text_right, false},
    {"split_part", "t:tti", text_split_part, false},
    {"strpos", "i:tt", text_strpos, false},
    {"position", "i:tt", text_strpos, false},
    {"starts_with", "b:tt", text_starts_with, false},
    {"btrim", "t:t", text_btrim, false},
    {"btrim", "t:tt", text_btrim, false},
    {"ltrim", "t:t", text_ltrim, false},
    {"ltrim", "t:tt", text_ltrim, false},
    {"rtrim", "t:t", text_rtrim, false},
    {"rtrim", "t:tt", text_rtrim, false},
    {"replace", "t:ttt", text_replace, false},
    {"concat", "t:*", text_concat, true},
    {NULL, NULL, NULL, false},
};
