/* expr_number.c: numbers as tokens and as text: what is in a JSON number, the spellings SQL takes,
 * doubles printed as PostgreSQL prints them.
 *
 * The record path reads most numbers through token_fast: up to 18 digits and a point, straight into
 * a 64-bit coefficient and a scale, with no call into the exact parser. Everything else (long
 * tokens, exponents) takes numeric_parse. */
#include "operators/expr_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUOTED_BYTES = 40 };

bool token_fast(const uint8_t *data, uint32_t size, int64_t *coefficient, int32_t *scale)
{
    const uint8_t *p = data, *end = data + size;
    bool negative = p < end && *p == '-';
    p += negative;
    if (end - p > 19 || p == end)
        return false;
    uint64_t value = 0;
    const uint8_t *point = NULL;
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit <= 9) {
            value = value * 10 + digit;
        } else if (*p == '.' && point == NULL) {
            point = p + 1;
        } else {
            return false;
        }
    }
    *scale = point != NULL ? (int32_t)(end - point) : 0;
    if (value > INT64_MAX)
        return false;
    *coefficient = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

int variant_number(const struct variant *variant, struct numeric *value)
{
    int64_t coefficient;
    if (variant->kind == VARIANT_INT) {
        *value = numeric_from_i64(variant->i64);
        return 1;
    }
    if (variant->kind != VARIANT_NUMBER)
        return 0;
    if (token_fast(variant->data, variant->size, &coefficient, &value->scale)) {
        value->coefficient = coefficient;
        return 2;
    }
    return numeric_parse(bytes_of(variant->data, variant->size), value) == 0 ? 2 : ERR_RANGE;
}

const char *variant_describe(const struct variant *variant, char *text)
{
    static const char *const kinds[] = {[VARIANT_NULL] = "null",
                                        [VARIANT_FALSE] = "a boolean (false)",
                                        [VARIANT_TRUE] = "a boolean (true)",
                                        [VARIANT_INT] = "a number",
                                        [VARIANT_NUMBER] = "a number",
                                        [VARIANT_TEXT] = "a text",
                                        [VARIANT_JSON] = "a JSON object or array"};
    const char *kind = kinds[variant->kind];
    if (variant->kind == VARIANT_INT)
        snprintf(text, 80, "%s (%lld)", kind, (long long)variant->i64);
    else if (variant->kind == VARIANT_NUMBER || variant->kind == VARIANT_TEXT)
        snprintf(text, 80, variant->kind == VARIANT_TEXT ? "%s ('%.*s')" : "%s (%.*s)", kind,
                 clip(bytes_of(variant->data, variant->size), QUOTED_BYTES),
                 (const char *)variant->data);
    else
        snprintf(text, 80, "%s", kind);
    return text;
}

/* numeric_parse, and the forms ".5" and "5." that SQL also takes. */
int number_parse(struct bytes text, struct numeric *value)
{
    enum { LONGEST = 100 };
    char copy[LONGEST + 2];
    const uint8_t *point = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    int rc = numeric_parse(text, value);
    if (rc != ERR_INVALID || point == NULL || text.size > LONGEST)
        return rc;
    size_t head = (size_t)(point - text.data), tail = text.size - head - 1;
    bool digit_before = head > 0 && point[-1] >= '0' && point[-1] <= '9';
    bool digit_after = tail > 0 && point[1] >= '0' && point[1] <= '9';
    if (digit_before == digit_after)
        return ERR_INVALID;
    memcpy(copy, text.data, head);
    copy[head] = digit_before ? '.' : '0';
    if (digit_after)
        copy[++head] = '.';
    else
        copy[++head] = '0';
    memcpy(copy + head + 1, point + 1, tail);
    rc = numeric_parse(bytes_of(copy, head + 1 + tail), value);
    return rc != 0 || digit_after ? rc : numeric_round(*value, value->scale - 1, value);
}

size_t double_print(double value, char *text)
{
    char digits[40];
    int precision = 0;
    if (isnan(value) || isinf(value))
        return (size_t)sprintf(text, "%s",
                               isnan(value) ? "NaN"
                               : value < 0  ? "-Infinity"
                                            : "Infinity");
    do
        snprintf(digits, sizeof digits, "%.*e", precision, value);
    while (strtod(digits, NULL) != value && ++precision < 17);
    char *mark = strchr(digits, 'e'), *out = text, *d = digits;
    int exponent = atoi(mark + 1);
    if (*d == '-')
        *out++ = *d++;
    char significant[24];
    size_t count = 0;
    for (; d < mark; d++) {
        if (*d >= '0' && *d <= '9')
            significant[count++] = *d;
    }
    while (count > 1 && significant[count - 1] == '0')
        count--;
    if (exponent < -4 || exponent >= 15) {
        *out++ = significant[0];
        if (count > 1)
            out += sprintf(out, ".%.*s", (int)count - 1, significant + 1);
        out += sprintf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        out += sprintf(out, "0.%.*s%.*s", -exponent - 1, "0000", (int)count, significant);
    } else {
        for (int i = 0; i <= exponent; i++)
            *out++ = (size_t)i < count ? significant[i] : '0';
        if (count > (size_t)exponent + 1)
            out += sprintf(out, ".%.*s", (int)count - exponent - 1, significant + exponent + 1);
    }
    *out = '\0';
    return (size_t)(out - text);
}
