/* decimal_text.h: integers and doubles as decimal text, quickly and without the locale.
 *
 * Two digits come from a table per division by 100, written from the end backwards, so that nobody
 * has to count digits first. */
#ifndef WEIR_OPERATORS_DECIMAL_TEXT_H
#define WEIR_OPERATORS_DECIMAL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DECIMAL_I64_BYTES = 20, DECIMAL_DOUBLE_BYTES = 32 };

static const char decimal_pairs[] = "00010203040506070809101112131415161718192021222324"
                                    "25262728293031323334353637383940414243444546474849"
                                    "50515253545556575859606162636465666768697071727374"
                                    "75767778798081828384858687888990919293949596979899";

/* Writes value so that it ends before `end`, with at least min_digits digits (0: nothing for the
 * value 0); returns its first byte. */
static inline char *decimal_backwards(uint64_t value, int min_digits, char *end)
{
    char *p = end;
    while (value >= 100) {
        p -= 2;
        memcpy(p, decimal_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        p -= 2;
        memcpy(p, decimal_pairs + value * 2, 2);
    } else if (value > 0) {
        *--p = (char)('0' + value);
    }
    while (end - p < min_digits)
        *--p = '0';
    return p;
}

/* Writes value to text (room for DECIMAL_I64_BYTES); returns the length. */
static inline size_t decimal_i64(int64_t value, char *text)
{
    char digits[DECIMAL_I64_BYTES], *end = digits + sizeof(digits);
    char *first = decimal_backwards(value < 0 ? -(uint64_t)value : (uint64_t)value, 1, end);
    if (value < 0)
        *--first = '-';
    size_t size = (size_t)(end - first);
    memcpy(text, first, size);
    return size;
}

/* The shortest text that reads back as the same double, which is finite; plain for 1e-4 ≤ |value| <
 * 1e15, else with an exponent, as PostgreSQL prints it: 0.1, 1500, 1e+20. Room for
 * DECIMAL_DOUBLE_BYTES; returns the length. */
size_t decimal_double(double value, char *text);

#endif
