/* Exact decimals against two independent witnesses: a table that PostgreSQL 15 wrote
 * (data/numeric.tsv, made by tests/support/numeric_from_postgres.sh), and a naive implementation on
 * strings of digits, fed with random values. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/numeric.h"

static struct numeric parsed(const char *text)
{
    struct numeric value;
    if (numeric_parse(bytes_text(text), &value) != 0)
        fail_msg("numeric_parse(%s)", text);
    return value;
}

static const char *printed(struct numeric value)
{
    static char text[4][NUMERIC_TEXT_BYTES + 1];
    static int turn;
    char *at = text[turn++ % 4];
    at[numeric_print(value, at)] = 0;
    return at;
}

/* ---- the table ---- */

struct answer {
    int rc;
    struct numeric value;
    char text[64]; /* used instead of value when it is not empty */
};

static void answer_two(const char *operation, const char *left, const char *right,
                       struct answer *answer)
{
    struct numeric a = parsed(left), b = parsed(right);
    if (strcmp(operation, "add") == 0)
        answer->rc = numeric_add(a, b, &answer->value);
    else if (strcmp(operation, "subtract") == 0)
        answer->rc = numeric_subtract(a, b, &answer->value);
    else if (strcmp(operation, "multiply") == 0)
        answer->rc = numeric_multiply(a, b, &answer->value);
    else if (strcmp(operation, "divide") == 0)
        answer->rc = numeric_divide(a, b, &answer->value);
    else if (strcmp(operation, "modulo") == 0)
        answer->rc = numeric_modulo(a, b, &answer->value);
    else if (strcmp(operation, "compare") == 0)
        snprintf(answer->text, sizeof(answer->text), "%d", numeric_compare(a, b));
    else if (strcmp(operation, "round") == 0)
        answer->rc = numeric_round(a, atoi(right), &answer->value);
    else if (strcmp(operation, "truncate") == 0)
        answer->rc = numeric_truncate(a, atoi(right), &answer->value);
    else
        fail_msg("no such operation: %s", operation);
}

static void answer_one(const char *operation, const char *operand, struct answer *answer)
{
    struct numeric a = parsed(operand);
    int64_t integer = 0;
    if (strcmp(operation, "parse") == 0)
        answer->value = a;
    else if (strcmp(operation, "negate") == 0)
        answer->value = numeric_negate(a);
    else if (strcmp(operation, "canonical") == 0)
        answer->value = numeric_canonical(a);
    else if (strcmp(operation, "floor") == 0)
        answer->rc = numeric_floor(a, &answer->value);
    else if (strcmp(operation, "ceil") == 0)
        answer->rc = numeric_ceil(a, &answer->value);
    else if (strcmp(operation, "to_i64") == 0) {
        answer->rc = numeric_to_i64(a, &integer);
        answer->value = numeric_from_i64(integer);
    } else
        fail_msg("no such operation: %s", operation);
}

static void answer_list(const char *operation, const char *list, struct answer *answer)
{
    char text[256], *rest = text;
    snprintf(text, sizeof(text), "%s", list);
    struct numeric_sum sum = {0};
    int64_t count = 0;
    for (char *item; (item = strtok_r(rest, " ", &rest)) != NULL; count++)
        assert_int_equal(0, numeric_sum_add(&sum, parsed(item)));
    if (strcmp(operation, "sum") == 0)
        answer->rc = numeric_sum_value(&sum, &answer->value);
    else
        answer->rc = numeric_sum_average(&sum, count, &answer->value);
}

static void check_line(char *line)
{
    char *operation = strsep(&line, "\t"), *left = strsep(&line, "\t"),
         *right = strsep(&line, "\t");
    const char *expected = line;
    struct answer answer = {0};
    int precision, scale;
    if (strcmp(operation, "sum") == 0 || strcmp(operation, "average") == 0) {
        answer_list(operation, left, &answer);
    } else if (strcmp(operation, "fit") == 0) {
        assert_int_equal(2, sscanf(right, "%d %d", &precision, &scale));
        answer.rc = numeric_fit(parsed(left), precision, scale, &answer.value);
    } else if (strcmp(operation, "to_double") == 0) {
        if (numeric_to_double(parsed(left)) != strtod(expected, NULL))
            fail_msg("to_double(%s) is %.17g, not %s", left, numeric_to_double(parsed(left)),
                     expected);
        return;
    } else if (strcmp(operation, "from_double") == 0) {
        answer.rc = numeric_from_double(strtod(left, NULL), &answer.value);
    } else if (right[0] == 0) {
        answer_one(operation, left, &answer);
    } else {
        answer_two(operation, left, right, &answer);
    }
    if (answer.rc != 0)
        snprintf(answer.text, sizeof(answer.text), "%s",
                 answer.rc == ERR_INVALID ? "division by zero" : "out of range");
    else if (answer.text[0] == 0)
        snprintf(answer.text, sizeof(answer.text), "%s", printed(answer.value));
    if (strcmp(answer.text, expected) != 0)
        fail_msg("%s(%s, %s) is %s, PostgreSQL says %s", operation, left, right, answer.text,
                 expected);
}

static void postgresql_agrees(void **state)
{
    (void)state;
    char path[4096], line[512];
    snprintf(path, sizeof(path), "%.*s/data/numeric.tsv", (int)(strrchr(__FILE__, '/') - __FILE__),
             __FILE__);
    FILE *table = fopen(path, "r");
    if (table == NULL)
        fail_msg("cannot open %s", path);
    int count = 0;
    for (; fgets(line, sizeof(line), table) != NULL; count++) {
        line[strcspn(line, "\n")] = 0;
        check_line(line);
    }
    fclose(table);
    assert_true(count > 300);
}

/* ---- text ---- */

static void parse_refuses_what_is_no_number(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "-",
        "+",
        ".",
        "1.",
        ".5",
        "1..2",
        "1.2.3",
        "e5",
        "1e",
        "1e+",
        "1e1.5",
        " 1",
        "1 ",
        "x",
        "1x",
        "--1",
        "+-1",
        "0x1",
        "NaN",
        "Infinity",
        "1e5x",
        "1,5",
        "12345678901234567890x",
        "12345678901234567890.",
        "0.00000000000000000000000000000000000000000e",
        "\xD9\xA1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct numeric value;
        if (numeric_parse(bytes_text(texts[i]), &value) != ERR_INVALID)
            fail_msg("\"%s\" was taken for a number", texts[i]);
    }
    struct numeric value;
    assert_int_equal(ERR_INVALID, numeric_parse(bytes_of(NULL, 0), &value));
    assert_int_equal(ERR_INVALID, numeric_parse(bytes_of("1\0", 2), &value));
}

static void parse_reports_what_does_not_fit(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "100000000000000000000000000000000000000",
        "1e38",
        "-1e38",
        "1e-39",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "1.00000000000000000000000000000000000001",
        "0.000000000000000000000000000000000000001",
        "123456789012345678901234567890123456789",
        "12345678901234567890.12345678901234567891",
    };
    struct numeric value;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_int_equal(ERR_RANGE, numeric_parse(bytes_text(texts[i]), &value));
}

static void parse_keeps_values_whose_zeros_do_not_fit(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"1.0000000000000000000000000000000000000000000000",
         "1.0000000000000000000000000000000000000"},
        {"0e-100", "0.00000000000000000000000000000000000000"},
        {"0e999999999999", "0"},
        {"12000000000000000000000000000000000000e-50", "0.00000000000012000000000000000000000000"},
        {"99999999999999999999999999999999999999.000", "99999999999999999999999999999999999999"},
        {"000000000000000000000000000000000000000000000000000000012.5", "12.5"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        assert_string_equal(pairs[i][1], printed(parsed(pairs[i][0])));
}

/* ---- the naive witness: magnitudes as decimal digits, the last one first ---- */

enum { BIG_DIGITS = 240 };
struct big {
    uint8_t digit[BIG_DIGITS];
    int count; /* without leading zeros; 0 is zero */
};

static struct big big_of_digits(const char *digits)
{
    struct big big = {.count = 0};
    int length = (int)strlen(digits);
    for (int i = length - 1; i >= 0; i--)
        if (digits[i] != '-' && digits[i] != '.')
            big.digit[big.count++] = (uint8_t)(digits[i] - '0');
    while (big.count > 0 && big.digit[big.count - 1] == 0)
        big.count--;
    return big;
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->digit[i] != b->digit[i])
            return a->digit[i] < b->digit[i] ? -1 : 1;
    return 0;
}

static struct big big_shift(const struct big *a, int zeros)
{
    struct big shifted = {.count = a->count == 0 ? 0 : a->count + zeros};
    assert_true(shifted.count <= BIG_DIGITS);
    for (int i = 0; i < a->count; i++)
        shifted.digit[i + zeros] = a->digit[i];
    return shifted;
}

static struct big big_add(const struct big *a, const struct big *b)
{
    struct big sum = {.count = 0};
    int carry = 0, longer = a->count > b->count ? a->count : b->count;
    for (int i = 0; i < longer || carry; i++) {
        int digit = (i < a->count ? a->digit[i] : 0) + (i < b->count ? b->digit[i] : 0) + carry;
        sum.digit[sum.count++] = (uint8_t)(digit % 10);
        carry = digit / 10;
    }
    return sum;
}

/* a − b for a ≥ b. */
static struct big big_subtract(const struct big *a, const struct big *b)
{
    struct big rest = *a;
    int borrow = 0;
    for (int i = 0; i < a->count; i++) {
        int digit = a->digit[i] - (i < b->count ? b->digit[i] : 0) - borrow;
        borrow = digit < 0;
        rest.digit[i] = (uint8_t)(digit + 10 * borrow);
    }
    while (rest.count > 0 && rest.digit[rest.count - 1] == 0)
        rest.count--;
    return rest;
}

static struct big big_multiply(const struct big *a, const struct big *b)
{
    struct big product = {.count = 0};
    for (int i = 0; i < b->count; i++)
        for (int times = 0; times < b->digit[i]; times++) {
            struct big shifted = big_shift(a, i);
            product = big_add(&product, &shifted);
        }
    return product;
}

static struct big big_divide(const struct big *a, const struct big *b, struct big *rest)
{
    struct big quotient = {.count = a->count};
    *rest = (struct big){.count = 0};
    for (int i = a->count - 1; i >= 0; i--) {
        *rest = big_shift(rest, 1);
        rest->digit[0] = a->digit[i];
        if (rest->count == 0 && a->digit[i] != 0)
            rest->count = 1;
        while (big_compare(rest, b) >= 0) {
            *rest = big_subtract(rest, b);
            quotient.digit[i]++;
        }
    }
    while (quotient.count > 0 && quotient.digit[quotient.count - 1] == 0)
        quotient.count--;
    return quotient;
}

/* A signed value with a scale, as text like numeric_print's. */
static void big_print(const struct big *big, bool negative, int scale, char *text)
{
    if (negative && big->count > 0)
        *text++ = '-';
    int digits = big->count > scale ? big->count : scale + 1;
    for (int i = digits - 1; i >= 0; i--) {
        *text++ = (char)('0' + (i < big->count ? big->digit[i] : 0));
        if (i == scale && scale > 0)
            *text++ = '.';
    }
    *text = 0;
}

/* ---- random values ---- */

static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 11) % limit;
}

/* A number as text: up to max_digits digits with a point somewhere; many digits are 0 or 9, to
 * reach carries. */
static void random_number(char *text, uint32_t max_digits)
{
    uint32_t digits = 1 + random_below(max_digits),
             scale = random_below(3) ? random_below(digits) : 0;
    if (random_below(4) == 0)
        digits = digits < 8 ? digits : 8, scale = scale < digits ? scale : digits - 1;
    if (random_below(2))
        *text++ = '-';
    for (uint32_t i = 0; i < digits; i++) {
        if (i > 0 && i == digits - scale)
            *text++ = '.';
        uint32_t kind = random_below(4);
        *text++ = (char)(kind == 0 ? '0' : kind == 1 ? '9' : '0' + random_below(10));
    }
    *text = 0;
}

struct sample {
    char text[64];
    struct numeric value;
    struct big big;
    bool negative;
    int scale;
};

static struct sample random_sample(uint32_t max_digits)
{
    struct sample sample;
    random_number(sample.text, max_digits);
    sample.value = parsed(sample.text);
    sample.big = big_of_digits(sample.text);
    sample.negative = sample.text[0] == '-';
    const char *point = strchr(sample.text, '.');
    sample.scale = point ? (int)strlen(point + 1) : 0;
    return sample;
}

static void expect(const char *operation, const struct sample *a, const struct sample *b, int rc,
                   struct numeric value, const struct big *big, bool negative, int scale)
{
    char expected[BIG_DIGITS + 4] = "out of range";
    bool fits = big->count <= NUMERIC_MAX_DIGITS && scale <= NUMERIC_MAX_DIGITS;
    if (fits)
        big_print(big, negative, scale, expected);
    const char *text = rc == 0           ? printed(value)
                       : rc == ERR_RANGE ? "out of range"
                                         : "another error";
    if (strcmp(text, expected) != 0)
        fail_msg("%s(%s, %s) is %s, not %s", operation, a->text, b->text, text, expected);
}

/* a + b when signs are equal, else the difference with the larger one's sign. */
static struct big signed_sum(const struct big *a, bool a_negative, const struct big *b,
                             bool b_negative, bool *negative)
{
    *negative = a_negative;
    if (a_negative == b_negative)
        return big_add(a, b);
    if (big_compare(a, b) >= 0)
        return big_subtract(a, b);
    *negative = b_negative;
    return big_subtract(b, a);
}

static void sums_products_and_order_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 60000; i++) {
        struct sample a = random_sample(38), b = random_sample(38);
        struct numeric value = {0};
        int scale = a.scale > b.scale ? a.scale : b.scale;
        struct big wide_a = big_shift(&a.big, scale - a.scale),
                   wide_b = big_shift(&b.big, scale - b.scale);
        bool negative;

        struct big sum = signed_sum(&wide_a, a.negative, &wide_b, b.negative, &negative);
        int rc = numeric_add(a.value, b.value, &value);
        expect("add", &a, &b, rc, value, &sum, negative, scale);

        struct big difference = signed_sum(&wide_a, a.negative, &wide_b, !b.negative, &negative);
        rc = numeric_subtract(a.value, b.value, &value);
        expect("subtract", &a, &b, rc, value, &difference, negative, scale);
        int order = difference.count == 0 ? 0 : negative ? -1 : 1;
        assert_int_equal(order, numeric_compare(a.value, b.value));

        struct big product = big_multiply(&a.big, &b.big);
        rc = numeric_multiply(a.value, b.value, &value);
        expect("multiply", &a, &b, rc, value, &product, a.negative != b.negative,
               a.scale + b.scale);

        if (b.big.count > 0) {
            struct big rest;
            big_divide(&wide_a, &wide_b, &rest);
            rc = numeric_modulo(a.value, b.value, &value);
            expect("modulo", &a, &b, rc, value, &rest, a.negative, scale);
        }
    }
}

/* The base-10000 digits of a number as PostgreSQL stores it: weight and value of the first one that
 * is not 0. */
static void first_digit(const struct big *big, int scale, int *weight, int *digit)
{
    *weight = *digit = 0;
    if (big->count == 0)
        return;
    int top = big->count - 1 - scale; /* exponent of the first decimal digit */
    *weight = (int)floor(top / 4.0);
    for (int exponent = 4 * *weight + 3; exponent >= 4 * *weight; exponent--) {
        int index = exponent + scale;
        *digit = *digit * 10 + (index >= 0 && index < big->count ? big->digit[index] : 0);
    }
}

static int postgresql_scale(const struct big *a, int a_scale, const struct big *b, int b_scale)
{
    int a_weight, a_digit, b_weight, b_digit;
    first_digit(a, a_scale, &a_weight, &a_digit);
    first_digit(b, b_scale, &b_weight, &b_digit);
    int weight = a_weight - b_weight - (a_digit <= b_digit ? 1 : 0), scale = 16 - 4 * weight;
    scale = scale < a_scale ? a_scale : scale;
    scale = scale < b_scale ? b_scale : scale;
    return scale < 0 ? 0 : scale;
}

static struct big rounded_quotient(const struct big *a, int a_scale, const struct big *b,
                                   int b_scale, int scale)
{
    int shift = scale + b_scale - a_scale;
    struct big dividend = big_shift(a, shift > 0 ? shift : 0),
               divisor = big_shift(b, shift < 0 ? -shift : 0), rest;
    struct big quotient = big_divide(&dividend, &divisor, &rest), twice = big_add(&rest, &rest),
               one = {.digit = {1}, .count = 1};
    return big_compare(&twice, &divisor) >= 0 ? big_add(&quotient, &one) : quotient;
}

/* The quotient at PostgreSQL's scale, or at the largest one at which it has 38 digits. */
static struct big expected_quotient(const struct big *a, int a_scale, const struct big *b,
                                    int b_scale, int *scale)
{
    *scale = postgresql_scale(a, a_scale, b, b_scale);
    if (*scale > NUMERIC_MAX_DIGITS)
        *scale = NUMERIC_MAX_DIGITS;
    struct big quotient = rounded_quotient(a, a_scale, b, b_scale, *scale);
    while (quotient.count > NUMERIC_MAX_DIGITS && *scale > 0)
        quotient = rounded_quotient(a, a_scale, b, b_scale, --*scale);
    return quotient;
}

static void quotients_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct sample a = random_sample(38), b = random_sample(38);
        struct numeric value = {0};
        if (b.big.count == 0) {
            assert_int_equal(ERR_INVALID, numeric_divide(a.value, b.value, &value));
            continue;
        }
        int scale;
        struct big quotient = expected_quotient(&a.big, a.scale, &b.big, b.scale, &scale);
        int rc = numeric_divide(a.value, b.value, &value);
        expect("divide", &a, &b, rc, value, &quotient, a.negative != b.negative, scale);
    }
}

static void rounding_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 40000; i++) {
        struct sample a = random_sample(38);
        int scale = (int)random_below(48) - 8;
        char text[16];
        struct sample shown = {.value = {0}};
        snprintf(text, sizeof(text), "%d", scale);
        memcpy(shown.text, text, sizeof(text));
        struct big one = {.digit = {1}, .count = 1};
        struct big quotient = rounded_quotient(&a.big, a.scale, &one, 0, scale);
        if (scale < 0)
            quotient = big_shift(&quotient, -scale);
        struct numeric value = {0};
        int rc = numeric_round(a.value, scale, &value);
        expect("round", &a, &shown, rc, value, &quotient, a.negative, scale < 0 ? 0 : scale);
    }
}

static void text_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 50000; i++) {
        struct sample a = random_sample(38);
        char expected[80];
        big_print(&a.big, a.negative, a.scale, expected);
        assert_string_equal(expected, printed(a.value));
        double near = numeric_to_double(a.value);
        assert_true(near == strtod(a.text, NULL));
        struct numeric canonical = numeric_canonical(a.value);
        assert_int_equal(0, numeric_compare(canonical, a.value));
        assert_true(canonical.scale == 0 || canonical.coefficient % 10 != 0);
    }
}

static void doubles_keep_15_digits(void **state)
{
    (void)state;
    struct numeric value;
    assert_int_equal(ERR_INVALID, numeric_from_double((double)NAN, &value));
    assert_int_equal(ERR_INVALID, numeric_from_double((double)INFINITY, &value));
    assert_int_equal(ERR_INVALID, numeric_from_double(-(double)INFINITY, &value));
    assert_int_equal(ERR_RANGE, numeric_from_double(1e38, &value));
    assert_int_equal(ERR_RANGE, numeric_from_double(1e300, &value));
    assert_int_equal(ERR_RANGE, numeric_from_double(1.5e-38, &value));
    assert_int_equal(ERR_RANGE, numeric_from_double(DBL_TRUE_MIN, &value));
    for (int i = 0; i < 20000; i++) {
        double number =
            ((double)random_below(UINT32_MAX) - 2e9) * pow(10, (double)random_below(30) - 20);
        char text[64];
        snprintf(text, sizeof(text), "%.15g", number);
        assert_int_equal(0, numeric_from_double(number, &value));
        assert_int_equal(0, numeric_compare(value, parsed(text)));
    }
}

static void integers_keep_their_range(void **state)
{
    (void)state;
    int64_t value;
    assert_int_equal(0, numeric_to_i64(parsed("9223372036854775807.4"), &value));
    assert_true(value == INT64_MAX);
    assert_int_equal(0, numeric_to_i64(parsed("-9223372036854775808.4"), &value));
    assert_true(value == INT64_MIN);
    assert_int_equal(ERR_RANGE, numeric_to_i64(parsed("9223372036854775807.5"), &value));
    assert_int_equal(ERR_RANGE, numeric_to_i64(parsed("-9223372036854775808.5"), &value));
    assert_string_equal("-9223372036854775808", printed(numeric_from_i64(INT64_MIN)));
}

/* ---- sums ---- */

enum { ADDENDS = 500 };

static void sum_of_order(const struct sample *samples, const uint32_t *order,
                         struct numeric_sum *sum)
{
    struct numeric_sum halves[2] = {0};
    for (int i = 0; i < ADDENDS; i++) {
        const struct sample *sample = &samples[order[i]];
        struct numeric_sum *half = &halves[random_below(2)];
        int64_t integer;
        if (sample->scale == 0 && numeric_to_i64(sample->value, &integer) == 0 && random_below(2))
            numeric_sum_add_i64(half, integer);
        else
            assert_int_equal(0, numeric_sum_add(half, sample->value));
    }
    *sum = (struct numeric_sum){0};
    assert_int_equal(0, numeric_sum_merge(sum, &halves[0]));
    assert_int_equal(0, numeric_sum_merge(sum, &halves[1]));
}

static void sums_do_not_depend_on_order(void **state)
{
    (void)state;
    static struct sample samples[ADDENDS];
    uint32_t order[ADDENDS];
    for (int round = 0; round < 40; round++) {
        struct big total = {.count = 0};
        bool negative = false;
        int scale = 0;
        for (uint32_t i = 0; i < ADDENDS; i++) {
            samples[i] = random_sample(round % 2 ? 18 : 30);
            order[i] = i;
            scale = samples[i].scale > scale ? samples[i].scale : scale;
        }
        for (uint32_t i = 0; i < ADDENDS; i++) {
            struct big addend = big_shift(&samples[i].big, scale - samples[i].scale);
            total = signed_sum(&total, negative, &addend, samples[i].negative, &negative);
        }
        struct numeric_sum first, again;
        sum_of_order(samples, order, &first);
        for (int shuffle = 0; shuffle < 5; shuffle++) {
            for (uint32_t i = ADDENDS - 1; i > 0; i--) {
                uint32_t j = random_below(i + 1), held = order[i];
                order[i] = order[j];
                order[j] = held;
            }
            sum_of_order(samples, order, &again);
            assert_memory_equal(&first, &again, sizeof(first));
        }
        struct sample shown = {.text = "…"};
        struct numeric value = {0};
        int rc = numeric_sum_value(&first, &value);
        expect("sum", &shown, &shown, rc, value, &total, negative, scale);

        struct big count = big_of_digits("500");
        int average_scale;
        struct big average = expected_quotient(&total, scale, &count, 0, &average_scale);
        rc = numeric_sum_average(&first, ADDENDS, &value);
        expect("average", &shown, &shown, rc, value, &average, negative, average_scale);
    }
}

static void sums_are_checked_on_leaving(void **state)
{
    (void)state;
    struct numeric nines = parsed("99999999999999999999999999999999999999"), value;
    struct numeric_sum sum = {0}, opposite;
    assert_int_equal(0, numeric_sum_add(&sum, nines));
    numeric_sum_add_i64(&sum, 1);
    assert_int_equal(ERR_RANGE, numeric_sum_value(&sum, &value));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(0, numeric_sum_add(&sum, nines));
    opposite = sum;
    assert_int_equal(0, numeric_sum_negate(&opposite));
    assert_int_equal(0, numeric_sum_add(&opposite, parsed("7.25")));
    assert_int_equal(0, numeric_sum_merge(&sum, &opposite));
    assert_int_equal(0, numeric_sum_value(&sum, &value));
    assert_string_equal("7.25", printed(value));
}

/* Values of both extremes in one sum end in an error, never in a wrong figure. */
static void sums_of_extremes_overflow_loudly(void **state)
{
    (void)state;
    struct numeric large = parsed("9e37"), fine = parsed("1e-38"), value;
    struct numeric_sum sum = {0};
    int added = 0;
    assert_int_equal(0, numeric_sum_add(&sum, fine));
    while (numeric_sum_add(&sum, large) == 0)
        assert_true(++added < 100);
    assert_true(added >= 6);
    struct numeric_sum before = sum;
    assert_int_equal(ERR_RANGE, numeric_sum_add(&sum, large));
    assert_memory_equal(&before, &sum, sizeof(sum));
    assert_int_equal(ERR_RANGE, numeric_sum_value(&sum, &value));

    struct numeric_sum wide = {0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(0, numeric_sum_add(&wide, large));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(0, numeric_sum_add(&wide, large));
    before = wide;
    assert_int_equal(ERR_RANGE, numeric_sum_add(&wide, fine));
    assert_memory_equal(&before, &wide, sizeof(wide));
}

static void an_integer_that_overflows_is_remembered(void **state)
{
    (void)state;
    /* 2^255 − 1 at scale 38, as only corrupt or absurd input could leave it. */
    struct numeric_sum sum = {.limb = {UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MAX}, .scale = 38};
    struct numeric value;
    numeric_sum_add_i64(&sum, 1);
    numeric_sum_add_i64(&sum, -1);
    assert_int_equal(ERR_RANGE, numeric_sum_value(&sum, &value));
    assert_int_equal(ERR_RANGE, numeric_sum_average(&sum, 2, &value));
    struct numeric_sum other = {0};
    assert_int_equal(0, numeric_sum_merge(&sum, &other));
    assert_int_equal(ERR_RANGE, numeric_sum_value(&sum, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgresql_agrees),
        cmocka_unit_test(parse_refuses_what_is_no_number),
        cmocka_unit_test(parse_reports_what_does_not_fit),
        cmocka_unit_test(parse_keeps_values_whose_zeros_do_not_fit),
        cmocka_unit_test(sums_products_and_order_agree),
        cmocka_unit_test(quotients_agree),
        cmocka_unit_test(rounding_agrees),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(doubles_keep_15_digits),
        cmocka_unit_test(integers_keep_their_range),
        cmocka_unit_test(sums_do_not_depend_on_order),
        cmocka_unit_test(sums_are_checked_on_leaving),
        cmocka_unit_test(sums_of_extremes_overflow_loudly),
        cmocka_unit_test(an_integer_that_overflows_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
