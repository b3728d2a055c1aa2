/* json_token.c: the rarer forms of JSON tokens, and the positions for error messages.
 *
 * Nothing here is on the fast path: short integers are read inline (json_token.h) and strings
 * without a backslash are borrowed as they stand. The functions follow RFC 8259 to the letter. A
 * lone surrogate (\ud800 without its other half) has no UTF-8 form, so that a string with one is
 * malformed rather than quietly changed; \u0000 is an ordinary character.
 *
 * The json_find_ functions run once per rejected document. They repeat, byte by byte, what
 * simdjson's stage 1 checks with vector instructions, because it only says that something is wrong,
 * not where. */
#include "operators/json_token.h"

/* Not the quote: for simdjson 1"x" is one token. */
const uint8_t json_delimiters[256] = {
    [' '] = 1, ['\n'] = 1, ['\r'] = 1, ['\t'] = 1, [','] = 1,
    [':'] = 1, ['{'] = 1,  ['}'] = 1,  ['['] = 1,  [']'] = 1,
};

/* ---- numbers ---- */

static const uint8_t *digits_end(const uint8_t *p)
{
    while ((uint8_t)(*p - '0') < 10)
        p++;
    return p;
}

size_t json_number_size(const uint8_t *text)
{
    const uint8_t *p = text + (*text == '-'), *first = p;
    p = digits_end(p);
    if (p == first || (*first == '0' && p - first > 1))
        return 0;
    if (*p == '.') {
        first = ++p;
        p = digits_end(p);
        if (p == first)
            return 0;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        first = p;
        p = digits_end(p);
        if (p == first)
            return 0;
    }
    return json_is_delimiter(*p) ? (size_t)(p - text) : 0;
}

bool json_number_take_long(const uint8_t *text, struct variant *value)
{
    size_t size = json_number_size(text);
    if (size == 0)
        return false;
    bool negative = *text == '-';
    if (size - negative == 19 && digits_end(text + negative) == text + size) {
        uint64_t magnitude = 0; /* 19 digits fit 64 bits without a sign */
        for (const uint8_t *p = text + negative; p < text + size; p++)
            magnitude = magnitude * 10 + (uint64_t)(*p - '0');
        if (magnitude <= (uint64_t)INT64_MAX + negative) {
            value->i64 = (int64_t)(negative ? -magnitude : magnitude);
            value->kind = VARIANT_INT;
            return true;
        }
    }
    value->data = text;
    value->size = (uint32_t)size;
    value->kind = VARIANT_NUMBER;
    return true;
}

/* ---- strings ---- */

static int32_t hex_digit(uint8_t byte)
{
    if ((uint8_t)(byte - '0') < 10)
        return byte - '0';
    byte |= 0x20;
    return (uint8_t)(byte - 'a') < 6 ? byte - 'a' + 10 : -1;
}

/* The four hex digits of \uXXXX; −1 when they are not. */
static int32_t hex_code(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4)
        return -1;
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int32_t digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* Reads the code point of the \u escape whose digits start at *p, with its second half when it is a
 * surrogate; −1 when malformed. */
static int32_t escape_code_point(const uint8_t **p, const uint8_t *end)
{
    int32_t code = hex_code(*p, end);
    if (code < 0)
        return -1;
    *p += 4;
    if (code < 0xD800 || code > 0xDFFF)
        return code;
    if (code > 0xDBFF || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return -1;
    int32_t low = hex_code(*p + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    *p += 6;
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

static int utf8_encode(int32_t code, uint8_t utf8[4])
{
    if (code < 0x80) {
        utf8[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        utf8[0] = (uint8_t)(0xC0 | code >> 6);
        utf8[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        utf8[0] = (uint8_t)(0xE0 | code >> 12);
        utf8[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        utf8[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    utf8[0] = (uint8_t)(0xF0 | code >> 18);
    utf8[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    utf8[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    utf8[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* The escape behind a backslash at *p as UTF-8; its length, or −1. */
static int escape_take(const uint8_t **p, const uint8_t *end, uint8_t utf8[4])
{
    static const uint8_t simple[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    if (*p == end)
        return -1;
    uint8_t letter = *(*p)++;
    if (letter == 'u') {
        int32_t code = escape_code_point(p, end);
        return code < 0 ? -1 : utf8_encode(code, utf8);
    }
    utf8[0] = simple[letter];
    return utf8[0] != 0 ? 1 : -1;
}

ptrdiff_t json_unescape(const uint8_t *text, size_t size, uint8_t *out)
{
    const uint8_t *p = text, *end = text + size;
    ptrdiff_t length = 0;
    while (p < end) {
        const uint8_t *backslash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((backslash ? backslash : end) - p);
        if (out != NULL)
            memcpy(out + length, p, plain);
        length += (ptrdiff_t)plain;
        p += plain;
        if (backslash == NULL)
            break;
        uint8_t utf8[4];
        p++;
        int count = escape_take(&p, end, utf8);
        if (count < 0)
            return -1;
        if (out != NULL)
            memcpy(out + length, utf8, (size_t)count);
        length += count;
    }
    return length;
}

/* ---- positions ---- */

/* The length of the valid UTF-8 sequence at p, or 0 (RFC 3629: no overlong forms, no surrogates, at
 * most U+10FFFF). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t size = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : 0;
    if (p[0] >= 0xF0 && p[0] <= 0xF4)
        size = 4;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool outside = (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF4 && p[1] > 0x8F);
    return overlong || outside ? 0 : size;
}

size_t json_find_bad_utf8(const uint8_t *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t step = utf8_sequence(text + at, size - at);
        if (step == 0)
            break;
        at += step;
    }
    return at;
}

/* Walks the strings of a document; *control receives the first raw control character inside one,
 * *open the quote of a string that does not end, or size each. A backslash counts outside of
 * strings too, as it does for simdjson. */
static void scan_strings(const uint8_t *text, size_t size, size_t *control, size_t *open)
{
    bool inside = false;
    *control = *open = size;
    for (size_t at = 0; at < size; at++) {
        uint8_t byte = text[at];
        if (inside && byte < 0x20 && *control == size)
            *control = at;
        if (byte == '\\') {
            at++;
            if (inside && at < size && text[at] < 0x20 && *control == size)
                *control = at;
        } else if (byte == '"') {
            inside = !inside;
            *open = inside ? at : size;
        }
    }
}

size_t json_find_control(const uint8_t *text, size_t size)
{
    size_t control, open;
    scan_strings(text, size, &control, &open);
    return control;
}

size_t json_find_unclosed(const uint8_t *text, size_t size)
{
    size_t control, open;
    scan_strings(text, size, &control, &open);
    return open;
}
