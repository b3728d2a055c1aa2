/* bytea.c: bytes as text (see bytea.h).
 *
 * PostgreSQL writes \x and hexadecimal digits (bytea_output = hex) and reads that and the escape
 * form; so does everybody who reads our results, so these are the forms here. Reading decides by the
 * first two bytes, as PostgreSQL does: \x begins digits, anything else is the escape form, in which
 * a text without backslashes is its own bytes. */
#include "operators/bytea.h"

static const char hex_digits[] = "0123456789abcdef";

void bytea_hex(struct bytes value, uint8_t *digits)
{
    for (size_t i = 0; i < value.size; i++) {
        digits[2 * i] = (uint8_t)hex_digits[value.data[i] >> 4];
        digits[2 * i + 1] = (uint8_t)hex_digits[value.data[i] & 15];
    }
}

void bytea_print(struct bytes value, uint8_t *text)
{
    text[0] = '\\';
    text[1] = 'x';
    bytea_hex(value, text + 2);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    uint8_t letter = digit | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int bytea_parse_hex(struct bytes digits, struct arena *arena, struct bytes *value)
{
    uint8_t *out = arena_alloc_aligned(arena, digits.size / 2 + 1, 1);
    size_t size = 0;
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < digits.size; i++) {
        if (is_blank(digits.data[i]))
            continue;
        int high = hex_value(digits.data[i]);
        int low = ++i < digits.size ? hex_value(digits.data[i]) : -1;
        if (high < 0 || low < 0)
            return ERR_INVALID;
        out[size++] = (uint8_t)(high << 4 | low);
    }
    *value = bytes_of(out, size);
    return 0;
}

/* The byte after a backslash at text.data[*at]; false: it is none. */
static bool take_escaped(struct bytes text, size_t *at, uint8_t *byte)
{
    size_t left = text.size - *at;
    const uint8_t *p = text.data + *at;
    if (left >= 2 && p[1] == '\\') {
        *byte = '\\';
        *at += 2;
        return true;
    }
    if (left < 4 || p[1] < '0' || p[1] > '3' || p[2] < '0' || p[2] > '7' || p[3] < '0' ||
        p[3] > '7')
        return false;
    *byte = (uint8_t)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
    *at += 4;
    return true;
}

int bytea_parse(struct bytes text, struct arena *arena, struct bytes *value)
{
    if (text.size >= 2 && text.data[0] == '\\' && text.data[1] == 'x')
        return bytea_parse_hex(bytes_of(text.data + 2, text.size - 2), arena, value);
    *value = text;
    if (text.size == 0 || memchr(text.data, '\\', text.size) == NULL)
        return 0;
    uint8_t *out = arena_alloc_aligned(arena, text.size, 1);
    size_t size = 0;
    if (out == NULL)
        return ERR_NOMEM;
    for (size_t at = 0; at < text.size;) {
        if (text.data[at] != '\\')
            out[size++] = text.data[at++];
        else if (!take_escaped(text, &at, &out[size++]))
            return ERR_INVALID;
    }
    *value = bytes_of(out, size);
    return 0;
}

/* ---- base 64 ---- */

enum { LINE_CHARACTERS = 76 };
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t bytea_base64_bytes(size_t size)
{
    size_t characters = (size + 2) / 3 * 4;
    return characters + (characters > 0 ? (characters - 1) / LINE_CHARACTERS : 0);
}

void bytea_base64(struct bytes value, uint8_t *text)
{
    size_t characters = 0;
    for (size_t i = 0; i < value.size; i += 3) {
        size_t left = value.size - i;
        uint32_t three = (uint32_t)value.data[i] << 16 |
                         (left > 1 ? (uint32_t)value.data[i + 1] << 8 : 0) |
                         (left > 2 ? value.data[i + 2] : 0u);
        if (characters > 0 && characters % LINE_CHARACTERS == 0)
            *text++ = '\n';
        *text++ = (uint8_t)base64_digits[three >> 18];
        *text++ = (uint8_t)base64_digits[three >> 12 & 63];
        *text++ = left > 1 ? (uint8_t)base64_digits[three >> 6 & 63] : '=';
        *text++ = left > 2 ? (uint8_t)base64_digits[three & 63] : '=';
        characters += 4;
    }
}

/* The bytes as far as the text makes sense, into out, which has room for those of all of it. */
static int decode_base64(struct bytes text, uint8_t *out, struct bytes *value)
{
    uint32_t four = 0, count = 0, padding = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (is_blank(c))
            continue;
        const char *digit = c != 0 ? strchr(base64_digits, c) : NULL;
        bool is_padding = c == '=' && count >= 2;
        if ((digit == NULL && !is_padding) || (padding > 0 && !is_padding))
            return ERR_INVALID; /* behind padding comes nothing else */
        padding += is_padding;
        four = four << 6 | (digit != NULL ? (uint32_t)(digit - base64_digits) : 0);
        if (++count < 4)
            continue;
        out[size++] = (uint8_t)(four >> 16);
        if (padding < 2)
            out[size++] = (uint8_t)(four >> 8);
        if (padding < 1)
            out[size++] = (uint8_t)four;
        four = count = 0;
    }
    *value = bytes_of(out, size);
    return count == 0 ? 0 : ERR_INVALID;
}

int bytea_parse_base64(struct bytes text, struct arena *arena, struct bytes *value)
{
    size_t room = text.size / 4 * 3 + 4;
    uint8_t *out = arena_alloc_aligned(arena, room, 1);
    if (out == NULL)
        return ERR_NOMEM;
    int rc = decode_base64(text, out, value);
    if (rc < 0)
        explicit_bzero(out, room); /* it may have been a password */
    return rc;
}
