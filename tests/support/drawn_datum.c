/* drawn_datum.c: values of drawn expressions (see drawn_expr.h): their order, their rounding, and how
 * results print them. Numbers are 128-bit integers with a scale. */
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "tests/support/drawn_expr.h"

struct datum datum_null(enum datum_type type)
{
    return (struct datum){.type = type, .is_null = true};
}

struct datum datum_number(enum datum_type type, drawn_wide n, int scale)
{
    return (struct datum){.type = type, .n = n, .scale = scale};
}

struct datum datum_text(const char *text)
{
    struct datum cell = {.type = DATUM_TEXT};
    must(strlen(text) < sizeof cell.text);
    snprintf(cell.text, sizeof cell.text, "%s", text);
    return cell;
}

drawn_wide datum_digits(const struct datum *cell, int scale)
{
    drawn_wide n = cell->n;
    for (int s = cell->scale; s < scale; s++)
        n *= 10;
    return n;
}

int datum_scale(const struct datum *a, const struct datum *b)
{
    return a->scale > b->scale ? a->scale : b->scale;
}

int datum_compare(const struct datum *a, const struct datum *b)
{
    int scale = datum_scale(a, b);
    drawn_wide x = datum_digits(a, scale), y = datum_digits(b, scale);
    return a->type == DATUM_TEXT ? strcmp(a->text, b->text) : (x > y) - (x < y);
}

bool datum_same(const struct datum *a, const struct datum *b)
{
    return a->is_null == b->is_null && (a->is_null || datum_compare(a, b) == 0);
}

struct datum datum_round(const struct datum *cell, int scale)
{
    struct datum rounded = *cell;
    if (cell->is_null)
        return rounded;
    rounded.n = datum_digits(cell, scale);
    drawn_wide unit = 1;
    for (int s = cell->scale; s > scale; s--)
        unit *= 10;
    drawn_wide rest = rounded.n % unit;
    rounded.n /= unit;
    rounded.n += 2 * rest >= unit && unit > 1 ? 1 : -2 * rest >= unit && unit > 1 ? -1 : 0;
    rounded.scale = scale;
    return rounded;
}

struct datum datum_mean(drawn_wide sum, int64_t count)
{
    drawn_wide head = sum < 0 ? -sum : sum, unit = 1;
    int weight = 0;
    must(count < 10000);
    for (; head >= 10000; head /= 10000)
        weight++;
    if (head <= count)
        weight--;
    int scale = 16 - 4 * weight;
    must(scale >= 0);
    for (int i = 0; i < scale; i++)
        unit *= 10;
    drawn_wide n = sum * unit, half = n < 0 ? -count : count;
    return datum_number(DATUM_NUMERIC, (2 * n + half) / (2 * count), scale);
}

void datum_print_number(drawn_wide n, int scale, struct buf *out)
{
    char digits[64];
    int at = sizeof digits;
    bool is_negative = n < 0;
    for (int i = 0; i <= scale || n != 0; i++) {
        int digit = (int)(n % 10);
        if (i == scale && scale > 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (digit < 0 ? -digit : digit));
        n /= 10;
    }
    if (is_negative)
        digits[--at] = '-';
    buf_append(out, digits + at, sizeof digits - (size_t)at);
}

void datum_print_time(drawn_wide time_ms, struct buf *out)
{
    char iso[40];
    iso[time_format_iso((int64_t)time_ms, iso)] = '\0';
    buf_printf(out, "%s", iso);
}

void datum_print_json(const struct datum *cell, struct buf *out)
{
    if (cell->is_null)
        buf_printf(out, "null");
    else if (cell->type == DATUM_BOOLEAN)
        buf_printf(out, cell->n != 0 ? "true" : "false");
    else if (cell->type == DATUM_TEXT)
        buf_printf(out, "\"%s\"", cell->text);
    else if (cell->type != DATUM_TIME)
        datum_print_number(cell->n, cell->scale, out);
    else {
        buf_printf(out, "\"");
        datum_print_time(cell->n, out);
        buf_printf(out, "\"");
    }
}
