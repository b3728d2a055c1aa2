/* json_token.h: single JSON tokens: numbers, the inside of strings, literals; and where in a
 * document the bytes go wrong.
 *
 * The decoder finds tokens with simdjson's structural index and has them read here. Every function
 * relies on what stage 1 has established for a string (valid UTF-8, a closing quote, no raw control
 * characters) or on a delimiter behind a number (records are followed by a line feed), so that
 * scanning needs no length. Numbers may read 8 bytes beyond their end: the decoder's buffer is
 * padded. */
#ifndef WEIR_OPERATORS_JSON_TOKEN_H
#define WEIR_OPERATORS_JSON_TOKEN_H

#include "operators/column.h"

/* What ends a number or a literal: white space and what is a token of one byte. */
extern const uint8_t json_delimiters[256];
static inline bool json_is_delimiter(uint8_t byte)
{
    return json_delimiters[byte];
}

/* The length of the number that starts at text, by JSON's grammar and followed by a delimiter; 0:
 * not a number. */
size_t json_number_size(const uint8_t *text);

/* Numbers that json_number_take does not finish: fractions, exponents, over 18 digits, and what is
 * no number (false). */
bool json_number_take_long(const uint8_t *text, struct variant *value);

/* Eight ASCII digits in one word, first digit in the low byte. */
static inline bool json_eight_digits(uint64_t word)
{
    return ((word & UINT64_C(0xF0F0F0F0F0F0F0F0)) |
            (((word + UINT64_C(0x0606060606060606)) & UINT64_C(0xF0F0F0F0F0F0F0F0)) >> 4)) ==
           UINT64_C(0x3333333333333333);
}
static inline uint64_t json_eight_digits_value(uint64_t word)
{
    word -= UINT64_C(0x3030303030303030);
    word = word * 10 + (word >> 8);
    return (((word & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064) +
             ((word >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001)) >>
            32);
}

/* Reads the number at text: VARIANT_INT when it is an integer that fits int64, else VARIANT_NUMBER
 * with the raw token. False: not a number. */
static inline bool json_number_take(const uint8_t *text, struct variant *value)
{
    const uint8_t *p = text;
    bool negative = *p == '-';
    p += negative;
    const uint8_t *first = p;
    uint64_t magnitude = 0, word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (json_eight_digits(word)) {
        magnitude = json_eight_digits_value(word);
        p += 8;
    }
#endif
    for (uint8_t digit; (digit = (uint8_t)(*p - '0')) < 10; p++)
        magnitude = magnitude * 10 + digit;
    size_t count = (size_t)(p - first);
    if (__builtin_expect(count - 1 < 18 && json_is_delimiter(*p) && (*first != '0' || count == 1),
                         1)) {
        value->i64 = negative ? -(int64_t)magnitude : (int64_t)magnitude;
        value->kind = VARIANT_INT;
        return true;
    }
    return json_number_take_long(text, value);
}

/* Replaces the escapes in text[0 … size), the inside of a string, and writes it to out (room for
 * size bytes, or NULL: only check). Returns the length, or −1 for an unknown escape, bad hex digits
 * or half a surrogate pair. */
ptrdiff_t json_unescape(const uint8_t *text, size_t size, uint8_t *out);

/* Where the bytes of a document go wrong, for messages; size when they do not: the first byte of an
 * invalid UTF-8 sequence; the first raw control character inside a string; the quote of the string
 * that is never closed. */
size_t json_find_bad_utf8(const uint8_t *text, size_t size);
size_t json_find_control(const uint8_t *text, size_t size);
size_t json_find_unclosed(const uint8_t *text, size_t size);

#endif
