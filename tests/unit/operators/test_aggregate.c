/* test_aggregate.c: accumulators against naive ones.
 *
 * The naive side keeps numbers as decimal text and adds them digit by digit in columns of 64-bit
 * integers, compares by the same digits, and walks all rows for every question. Average and
 * encoding are checked against values from PostgreSQL 15 and against bytes worked out by hand from
 * operators/README.md. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "operators/aggregate.h"

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)(random_u64() % bound);
}

/* ---- naive decimals: 10^70 … 10^-38 ---- */

enum { INTEGER_DIGITS = 70, FRACTION_DIGITS = 38, DIGITS = INTEGER_DIGITS + FRACTION_DIGITS };
struct digits {
    int64_t at[DIGITS]; /* at[0] is the coarsest; not carried */
    int scale;
};

/* Adds sign × the number that text says. */
static void digits_add(struct digits *sum, const char *text, int sign)
{
    int position = 0, decimals = 0, exponent = 0, digits[100], count = 0;
    if (*text == '-') {
        sign = -sign;
        text++;
    }
    bool after_point = false;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text == '.') {
            after_point = true;
            continue;
        }
        digits[count++] = *text - '0';
        decimals += after_point;
    }
    if (*text == 'e')
        exponent = atoi(text + 1);
    position = INTEGER_DIGITS - (count - decimals) - exponent;
    for (int i = 0; i < count; i++) {
        if (digits[i] == 0)
            continue;
        assert_true(position + i >= 0 && position + i < DIGITS);
        sum->at[position + i] += sign * digits[i];
    }
    int scale = decimals - exponent;
    if (scale > sum->scale)
        sum->scale = scale;
}

/* Carries so that all digits are 0 … 9; returns the sign. */
static int digits_carry(struct digits *d)
{
    for (int attempt = 0;; attempt++) {
        int64_t carry = 0;
        for (int i = DIGITS - 1; i >= 0; i--) {
            int64_t value = d->at[i] + carry;
            int64_t digit = ((value % 10) + 10) % 10;
            carry = (value - digit) / 10;
            d->at[i] = digit;
        }
        if (carry == 0)
            return attempt == 0 ? 1 : -1;
        assert_int_equal(attempt, 0);
        d->at[0] += carry * 10; /* negative: turn the sign and carry again */
        for (int i = 0; i < DIGITS; i++)
            d->at[i] = -d->at[i];
    }
}

/* Text as PostgreSQL prints it, or "range" when there are more than 38 digits. */
static void digits_text(struct digits d, char *text)
{
    int sign = digits_carry(&d), first = 0, end = INTEGER_DIGITS + d.scale;
    while (first < end && d.at[first] == 0)
        first++;
    if (end - first > 38) {
        strcpy(text, "range");
        return;
    }
    bool zero = first == end;
    if (sign < 0 && !zero)
        *text++ = '-';
    if (first >= INTEGER_DIGITS)
        first = INTEGER_DIGITS - 1;
    for (int i = first; i < end; i++) {
        if (i == INTEGER_DIGITS)
            *text++ = '.';
        *text++ = (char)('0' + d.at[i]);
    }
    *text = '\0';
}

static int text_number_order(const char *a, const char *b)
{
    struct digits difference = {0};
    digits_add(&difference, a, 1);
    digits_add(&difference, b, -1);
    int sign = digits_carry(&difference);
    for (int i = 0; i < DIGITS; i++)
        if (difference.at[i] != 0)
            return sign;
    return 0;
}

static int text_number_scale(const char *a)
{
    struct digits d = {0};
    digits_add(&d, a, 1);
    return d.scale;
}

/* ---- rows and columns ---- */

struct row {
    bool passes, bigint_null, numeric_null, text_null, time_null, boolean_null, double_null;
    int64_t bigint, time;
    int64_t event, offset; /* first and last: times repeat, places do not */
    uint64_t origin;
    char numeric[64], text[24], token[64], json[64];
    enum variant_kind number_kind, json_kind; /* of token (numbers only) and json (anything) */
    bool boolean;
    double number;
};
enum { ORIGINS = 3 };
enum { F_PASS, F_BIGINT, F_NUMERIC, F_TEXT, F_TIME, F_BOOLEAN, F_DOUBLE, F_NUMBER, F_JSON, FIELDS };
static const enum col_type field_types[FIELDS] = {COL_BOOLEAN, COL_BIGINT,      COL_NUMERIC,
                                                  COL_TEXT,    COL_TIMESTAMPTZ, COL_BOOLEAN,
                                                  COL_DOUBLE,  COL_VARIANT,     COL_VARIANT};

static void random_number_text(char text[64], enum variant_kind *kind)
{
    int64_t small = (int64_t)random_below(2000) - 1000;
    *kind = VARIANT_NUMBER;
    switch (random_below(6)) {
    case 0:
    case 1:
        *kind = VARIANT_INT;
        snprintf(text, 64, "%lld",
                 (long long)(random_below(4) == 0 ? (int64_t)random_u64() : small));
        return;
    case 2:
        snprintf(text, 64, "%s%u.%02u", small < 0 ? "-" : "", random_below(50), random_below(100));
        return;
    case 3:
        snprintf(text, 64, "%llde%d", (long long)small, (int)random_below(20) - 10);
        return;
    case 4:
        snprintf(text, 64, "%u.000000000000000000000%u", random_below(9),
                 random_below(100)); /* over 19 decimals */
        return;
    default:
        snprintf(text, 64, "%s%u.%u0", small < 0 ? "-" : "", random_below(3), random_below(3));
        return;
    }
}

static void random_row(struct row *row)
{
    enum variant_kind unused;
    memset(row, 0, sizeof *row);
    row->passes = random_below(3) != 0;
    row->bigint_null = random_below(5) == 0;
    row->numeric_null = random_below(5) == 0;
    row->text_null = random_below(5) == 0;
    row->time_null = random_below(5) == 0;
    row->boolean_null = random_below(5) == 0;
    row->double_null = random_below(5) == 0;
    row->bigint = random_below(3) == 0 ? (int64_t)random_u64() : (int64_t)random_below(100) - 50;
    row->time = (int64_t)random_u64() / 1000;
    row->event = (int64_t)random_below(9) - 4;
    row->origin = random_below(ORIGINS);
    row->offset = (int64_t)(random_u64() >> (random_below(2) == 0 ? 1 : 56));
    random_number_text(row->numeric, &unused);
    snprintf(row->text, sizeof row->text, "%.*s%s", (int)random_below(16),
             &"zebra-yak-abcdefghijklm"[random_below(3) * 6],
             random_below(2) == 0 ? "\xC3\xA9" : "");
    row->boolean = random_below(2);
    row->number = (double)((int64_t)random_below(1000) - 500) / 8;
    random_number_text(row->token, &row->number_kind);
    if (random_below(5) == 0)
        row->number_kind = VARIANT_NULL;
    row->json_kind = (enum variant_kind)random_below(7);
    if (row->json_kind == VARIANT_INT || row->json_kind == VARIANT_NUMBER)
        random_number_text(row->json, &row->json_kind);
    else if (row->json_kind == VARIANT_JSON)
        snprintf(row->json, sizeof row->json, "{\"a\":%u}", random_below(30));
    else if (row->json_kind == VARIANT_TEXT)
        snprintf(row->json, sizeof row->json, "%s", row->text);
}

static struct numeric numeric_of(const char *text)
{
    struct numeric value;
    assert_int_equal(numeric_parse(bytes_text(text), &value), 0);
    return value;
}

static struct variant variant_of(enum variant_kind kind, const char *text)
{
    struct variant value = {.kind = (uint8_t)kind};
    if (kind == VARIANT_INT)
        value.i64 = strtoll(text, NULL, 10);
    else if (kind >= VARIANT_NUMBER) {
        value.data = (const uint8_t *)text;
        value.size = (uint32_t)strlen(text);
    }
    return value;
}

static void place_row(struct column *columns, uint32_t at, const struct row *row)
{
    const bool nulls[FIELDS] = {false,           row->bigint_null, row->numeric_null,
                                row->text_null,  row->time_null,   row->boolean_null,
                                row->double_null};
    for (int f = 0; f < F_NUMBER; f++)
        columns[f].nulls[at] = nulls[f];
    columns[F_PASS].boolean[at] = row->passes;
    columns[F_BIGINT].i64[at] = row->bigint;
    columns[F_NUMERIC].numeric[at] = numeric_of(row->numeric);
    columns[F_TEXT].text[at] = bytes_text(row->text);
    columns[F_TIME].i64[at] = row->time;
    columns[F_BOOLEAN].boolean[at] = row->boolean;
    columns[F_DOUBLE].f64[at] = row->number;
    columns[F_NUMBER].variant[at] = variant_of(row->number_kind, row->token);
    columns[F_JSON].variant[at] = variant_of(row->json_kind, row->json);
}

/* What must never be read: rows between the selected ones. */
static void place_poison(struct column *columns, uint32_t at)
{
    static const struct row zero;
    struct row row = zero;
    strcpy(row.numeric, "7");
    place_row(columns, at, &row);
    columns[F_PASS].boolean[at] = 1;
    columns[F_BIGINT].i64[at] = INT64_MIN;
    columns[F_DOUBLE].f64[at] = NAN;
    columns[F_NUMBER].variant[at] = variant_of(VARIANT_TEXT, "poison");
    columns[F_JSON].variant[at] = variant_of(VARIANT_NUMBER, "1e999");
}

/* ---- the plan under test ---- */

struct call_case {
    enum agg_func func;
    int field; /* -1: count(*) */
    bool filtered;
};
static const struct call_case cases[] = {
    {AGG_COUNT_STAR, -1, false},  {AGG_COUNT_STAR, -1, true},  {AGG_COUNT, F_TEXT, false},
    {AGG_COUNT, F_NUMBER, false}, {AGG_COUNT, F_JSON, true},   {AGG_SUM, F_BIGINT, false},
    {AGG_SUM, F_NUMERIC, true},   {AGG_SUM, F_NUMERIC, false}, {AGG_SUM, F_NUMBER, false},
    {AGG_SUM, F_NUMBER, true},    {AGG_MIN, F_BIGINT, false},  {AGG_MAX, F_BIGINT, true},
    {AGG_MIN, F_NUMERIC, false},  {AGG_MAX, F_NUMERIC, false}, {AGG_MIN, F_TEXT, false},
    {AGG_MAX, F_TEXT, true},      {AGG_MIN, F_TIME, false},    {AGG_MAX, F_TIME, false},
    {AGG_MIN, F_BOOLEAN, false},  {AGG_MAX, F_BOOLEAN, false}, {AGG_MIN, F_DOUBLE, false},
    {AGG_MAX, F_DOUBLE, true},    {AGG_MIN, F_JSON, false},    {AGG_MAX, F_JSON, false},
    {AGG_MIN, F_JSON, true},      {AGG_MAX, F_NUMBER, false},  {AGG_SUM, F_DOUBLE, false},
    {AGG_FIRST, F_BIGINT, false}, {AGG_LAST, F_BIGINT, true},  {AGG_FIRST, F_NUMERIC, true},
    {AGG_LAST, F_NUMERIC, false}, {AGG_FIRST, F_TEXT, false},  {AGG_LAST, F_TEXT, true},
    {AGG_FIRST, F_TIME, false},   {AGG_LAST, F_BOOLEAN, true}, {AGG_FIRST, F_BOOLEAN, false},
    {AGG_FIRST, F_DOUBLE, true},  {AGG_LAST, F_DOUBLE, false}, {AGG_FIRST, F_JSON, false},
    {AGG_LAST, F_JSON, true},     {AGG_LAST, F_JSON, false},   {AGG_LAST, F_NUMBER, false},
};
enum { CASES = sizeof cases / sizeof *cases };

static struct agg_plan *plan_of(const struct call_case *list, uint32_t count)
{
    struct agg_call calls[CASES] = {0};
    for (uint32_t c = 0; c < count; c++) {
        enum col_type type = list[c].field < 0 ? COL_BIGINT : field_types[list[c].field];
        calls[c].func = list[c].func;
        calls[c].argument_type = type;
        calls[c].filter =
            list[c].filtered ? (struct expr *)(uintptr_t)8 : NULL; /* only NULL or not matters */
        calls[c].result_type = list[c].func <= AGG_COUNT || list[c].func == AGG_COUNT_DISTINCT
                                   ? COL_BIGINT
                               : list[c].func >= AGG_MIN || type == COL_DOUBLE ? type
                                                                               : COL_NUMERIC;
    }
    struct agg_plan *plan;
    struct diag diag = {0};
    assert_int_equal(agg_plan_create(calls, count, &plan, &diag), 0);
    return plan;
}

static void *row_create(const struct agg_plan *plan)
{
    void *row = malloc(agg_plan_row_bytes(plan));
    agg_row_init(plan, row);
    return row;
}

static void row_destroy(const struct agg_plan *plan, void *row)
{
    agg_row_release(plan, row);
    free(row);
}

/* Applies rows[order[0 … n)] to one accumulator row, in one batch, dense or with poison between. */
static void apply_batch(const struct agg_plan *plan, const struct call_case *list,
                        uint32_t call_count, void *target, const struct row *rows,
                        const uint32_t *order, uint32_t n)
{
    struct arena arena;
    static struct source_row sources[2 * BATCH_ROWS];
    static int64_t times[2 * BATCH_ROWS];
    arena_init(&arena, 0);
    bool dense = random_below(2) != 0;
    uint32_t physical = dense ? n : 2 * n;
    uint16_t selection[BATCH_ROWS];
    void *targets[BATCH_ROWS];
    struct column columns[FIELDS], arguments[CASES] = {0}, filters[CASES] = {0};
    for (int f = 0; f < FIELDS; f++)
        assert_int_equal(
            column_alloc(&columns[f], field_types[f], physical + 1, f < F_NUMBER, &arena), 0);
    for (uint32_t i = 0; i < n; i++) {
        if (!dense)
            place_poison(columns, 2 * i);
        selection[i] = (uint16_t)(dense ? i : 2 * i + 1);
        place_row(columns, selection[i], &rows[order[i]]);
        times[selection[i]] = rows[order[i]].event;
        sources[selection[i]].offset = rows[order[i]].offset;
        targets[i] = target;
    }
    for (uint32_t c = 0; c < call_count; c++) {
        if (list[c].field >= 0)
            arguments[c] = columns[list[c].field];
        if (list[c].filtered)
            filters[c] = columns[F_PASS];
    }
    struct batch batch = {.row_count = physical,
                          .selection = dense ? NULL : selection,
                          .selected_count = n,
                          .columns = columns,
                          .column_count = FIELDS,
                          .event_time_ms = times,
                          .source = sources,
                          .origin = n > 0 ? rows[order[0]].origin : 0,
                          .arena = &arena};
    struct reject_list rejects = {.arena = &arena};
    assert_int_equal(agg_check(plan, &batch, arguments, filters, &rejects), 0);
    assert_int_equal(rejects.count, 0);
    assert_int_equal(agg_update(plan, &batch, arguments, filters, targets), 0);
    arena_deinit(&arena);
}

/* The same, the rows of each partition in a batch of their own. */
static void apply_rows(const struct agg_plan *plan, const struct call_case *list,
                       uint32_t call_count, void *target, const struct row *rows,
                       const uint32_t *order, uint32_t n)
{
    uint32_t some[BATCH_ROWS];
    for (uint64_t origin = 0; origin < ORIGINS; origin++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++)
            if (rows[order[i]].origin == origin)
                some[count++] = order[i];
        apply_batch(plan, list, call_count, target, rows, some, count);
    }
}

/* ---- naive results as text ---- */

static bool row_counts(const struct row *row, const struct call_case *call)
{
    const bool nulls[FIELDS] = {false,
                                row->bigint_null,
                                row->numeric_null,
                                row->text_null,
                                row->time_null,
                                row->boolean_null,
                                row->double_null,
                                row->number_kind == VARIANT_NULL,
                                row->json_kind == VARIANT_NULL};
    return (!call->filtered || row->passes) && (call->field < 0 || !nulls[call->field]);
}

static void field_text(const struct row *row, int field, char text[64])
{
    static const char *const names[] = {"null", "false", "true"};
    switch (field) {
    case F_BIGINT:
        snprintf(text, 64, "%lld", (long long)row->bigint);
        break;
    case F_NUMERIC: /* canonical print: through the naive digits */
    {
        struct digits d = {0};
        digits_add(&d, row->numeric, 1);
        digits_text(d, text);
        break;
    }
    case F_TEXT:
        strcpy(text, row->text);
        break;
    case F_TIME:
        snprintf(text, 64, "%lld", (long long)row->time);
        break;
    case F_BOOLEAN:
        strcpy(text, row->boolean ? "true" : "false");
        break;
    case F_DOUBLE:
        snprintf(text, 64, "%.17g", row->number + 0.0);
        break;
    case F_NUMBER:
        strcpy(text, row->token);
        break;
    default:
        strcpy(text, row->json_kind <= VARIANT_TRUE ? names[row->json_kind] : row->json);
        break;
    }
}

static int kind_rank(enum variant_kind kind)
{
    static const int ranks[] = {0, 1, 2, 3, 3, 4, 5};
    return ranks[kind];
}

static int order_tokens(enum variant_kind a_kind, const char *a, enum variant_kind b_kind,
                        const char *b)
{
    if (kind_rank(a_kind) != kind_rank(b_kind))
        return kind_rank(a_kind) - kind_rank(b_kind);
    if (kind_rank(a_kind) == 3) {
        int order = text_number_order(a, b);
        if (order != 0 || (a_kind == VARIANT_INT && b_kind == VARIANT_INT))
            return order;
        return a_kind != b_kind ? (int)a_kind - (int)b_kind : strcmp(a, b);
    }
    return strcmp(a, b);
}

static int order_rows(const struct row *a, const struct row *b, int field)
{
    int order;
    switch (field) {
    case F_BIGINT:
        return (a->bigint > b->bigint) - (a->bigint < b->bigint);
    case F_NUMERIC:
        order = text_number_order(a->numeric, b->numeric);
        return order != 0 ? order : text_number_scale(a->numeric) - text_number_scale(b->numeric);
    case F_TEXT:
        return strcmp(a->text, b->text);
    case F_TIME:
        return (a->time > b->time) - (a->time < b->time);
    case F_BOOLEAN:
        return a->boolean - b->boolean;
    case F_DOUBLE:
        return (a->number > b->number) - (a->number < b->number);
    case F_NUMBER:
        return order_tokens(a->number_kind, a->token, b->number_kind, b->token);
    default:
        return order_tokens(a->json_kind, a->json, b->json_kind, b->json);
    }
}

static int order_places(const struct row *a, const struct row *b)
{
    if (a->event != b->event)
        return a->event < b->event ? -1 : 1;
    if (a->origin != b->origin)
        return a->origin < b->origin ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void naive_extreme(const struct row *rows, uint32_t n, const struct call_case *call,
                          char text[128])
{
    const struct row *best = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (!row_counts(&rows[i], call))
            continue;
        int order = best == NULL              ? 0
                    : call->func >= AGG_FIRST ? order_places(&rows[i], best)
                                              : order_rows(&rows[i], best, call->field);
        bool wants_least = call->func == AGG_MIN || call->func == AGG_FIRST;
        if (best == NULL || (wants_least ? order < 0 : order > 0))
            best = &rows[i];
    }
    if (best == NULL)
        strcpy(text, "NULL");
    else
        field_text(best, call->field, text);
}

static void naive_result(const struct row *rows, uint32_t n, const struct call_case *call,
                         char text[128])
{
    struct digits sum = {0};
    double total = 0;
    long long count = 0;
    if (call->func >= AGG_MIN) {
        naive_extreme(rows, n, call, text);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        char value[64];
        if (!row_counts(&rows[i], call))
            continue;
        count++;
        if (call->func != AGG_SUM)
            continue;
        field_text(&rows[i], call->field, value);
        if (call->field == F_DOUBLE)
            total += rows[i].number; /* multiples of 1/8: exact in any order */
        else
            digits_add(&sum, call->field == F_NUMERIC ? rows[i].numeric : value, 1);
    }
    if (call->func != AGG_SUM)
        snprintf(text, 128, "%lld", count);
    else if (count == 0)
        strcpy(text, "NULL");
    else if (call->field == F_DOUBLE)
        snprintf(text, 128, "%.17g", total);
    else
        digits_text(sum, text);
}

static void value_text(const struct column *column, char text[128])
{
    static const char *const names[] = {"null", "false", "true"};
    struct variant variant;
    if (column_is_null(column, 0)) {
        strcpy(text, "NULL");
        return;
    }
    switch (column->type) {
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
        snprintf(text, 128, "%lld", (long long)column->i64[0]);
        break;
    case COL_BOOLEAN:
        strcpy(text, column->boolean[0] ? "true" : "false");
        break;
    case COL_DOUBLE:
        snprintf(text, 128, "%.17g", column->f64[0]);
        break;
    case COL_NUMERIC:
        text[numeric_print(column->numeric[0], text)] = '\0';
        break;
    case COL_TEXT:
        snprintf(text, 128, "%.*s", (int)column->text[0].size, (const char *)column->text[0].data);
        break;
    default:
        variant = column->variant[0];
        if (variant.kind == VARIANT_INT)
            snprintf(text, 128, "%lld", (long long)variant.i64);
        else if (variant.kind >= VARIANT_NUMBER)
            snprintf(text, 128, "%.*s", (int)variant.size, (const char *)variant.data);
        else
            strcpy(text, names[variant.kind]);
        break;
    }
}

static void result_columns(struct column *columns, const struct call_case *list, uint32_t count,
                           struct arena *arena)
{
    for (uint32_t c = 0; c < count; c++) {
        enum col_type type = list[c].field < 0 ? COL_BIGINT : field_types[list[c].field];
        if (list[c].func <= AGG_COUNT)
            type = COL_BIGINT;
        else if (list[c].func < AGG_MIN && type != COL_DOUBLE)
            type = COL_NUMERIC;
        assert_int_equal(column_alloc(&columns[c], type, 1, type != COL_VARIANT, arena), 0);
    }
}

static void check_results(const struct agg_plan *plan, const void *row, const struct row *rows,
                          uint32_t n)
{
    struct arena arena;
    struct column columns[CASES];
    arena_init(&arena, 0);
    result_columns(columns, cases, CASES, &arena);
    int rc = agg_result(plan, row, columns, 0), ranges = 0;
    for (uint32_t c = 0; c < CASES; c++) {
        char expected[128], actual[128];
        naive_result(rows, n, &cases[c], expected);
        value_text(&columns[c], actual);
        if (strcmp(expected, "range") == 0) {
            assert_string_equal(actual, "NULL");
            ranges++;
            continue;
        }
        if (strcmp(expected, actual) != 0)
            print_error("call %u of %u rows\n", c, n);
        assert_string_equal(actual, expected);
    }
    assert_int_equal(rc, ranges > 0 ? ERR_RANGE : 0);
    arena_deinit(&arena);
}

/* ---- tests ---- */

static void shuffle(uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = random_below(i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

/* Splits the shuffled rows into partials at random, each its own accumulator, and merges their
 * encodings in turn. */
static void merged_in_parts(const struct agg_plan *plan, void *target, const struct row *rows,
                            const uint32_t *order, uint32_t n)
{
    for (uint32_t from = 0; from < n;) {
        uint32_t part = 1 + random_below(n - from);
        void *partial = row_create(plan);
        struct buf encoded = {0};
        apply_rows(plan, cases, CASES, partial, rows, order + from, part);
        agg_encode(plan, partial, &encoded);
        assert_true(buf_ok(&encoded));
        assert_int_equal(agg_merge_encoded(plan, target, bytes_of(encoded.data, encoded.size)), 0);
        buf_deinit(&encoded);
        row_destroy(plan, partial);
        from += part;
    }
}

static void any_order_and_any_split_give_the_naive_result(void **unused)
{
    (void)unused;
    enum { ROWS = 60 };
    static struct row rows[ROWS];
    struct agg_plan *plan = plan_of(cases, CASES);
    for (int round = 0; round < 300; round++) {
        uint32_t n = random_below(ROWS), order[ROWS];
        for (uint32_t i = 0; i < n; i++)
            random_row(&rows[i]);
        struct buf first = {0};
        for (int shuffled = 0; shuffled < 4; shuffled++) {
            void *row = row_create(plan), *decoded = row_create(plan);
            struct buf encoded = {0}, again = {0};
            shuffle(order, n);
            if (shuffled == 0)
                apply_rows(plan, cases, CASES, row, rows, order, n);
            else
                merged_in_parts(plan, row, rows, order, n);
            assert_int_equal(agg_row_count(row), n);
            check_results(plan, row, rows, n);
            agg_encode(plan, row, &encoded);
            if (shuffled == 0)
                buf_append(&first, encoded.data, encoded.size);
            assert_int_equal(encoded.size, first.size);
            assert_memory_equal(encoded.data, first.data, first.size);
            assert_int_equal(agg_decode(plan, decoded, bytes_of(encoded.data, encoded.size)), 0);
            check_results(plan, decoded, rows, n);
            agg_encode(plan, decoded, &again);
            assert_int_equal(again.size, first.size);
            assert_memory_equal(again.data, first.data, first.size);
            buf_deinit(&encoded);
            buf_deinit(&again);
            row_destroy(plan, row);
            row_destroy(plan, decoded);
        }
        buf_deinit(&first);
    }
    agg_plan_destroy(plan);
}

/* Applies one value to one call. */
static void apply_numeric(const struct agg_plan *plan, void *row, const char *text)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct column argument, none = {0};
    assert_int_equal(column_alloc(&argument, COL_NUMERIC, 1, false, &arena), 0);
    argument.numeric[0] = numeric_of(text);
    struct batch batch = {.row_count = 1, .selected_count = 1, .arena = &arena};
    assert_int_equal(agg_update(plan, &batch, &argument, &none, &row), 0);
    arena_deinit(&arena);
}

static void expect_numeric(const struct agg_plan *plan, const void *row, int code,
                           const char *expected)
{
    struct arena arena;
    struct column column;
    char text[128];
    arena_init(&arena, 0);
    assert_int_equal(column_alloc(&column, COL_NUMERIC, 1, true, &arena), 0);
    assert_int_equal(agg_result(plan, row, &column, 0), code);
    value_text(&column, text);
    assert_string_equal(text, expected);
    arena_deinit(&arena);
}

static void sums_over_38_digits_fail_at_the_result_and_recover(void **unused)
{
    (void)unused;
    static const char nines[] = "99999999999999999999999999999999999999";
    const struct call_case sum = {AGG_SUM, F_NUMERIC, false};
    struct agg_plan *plan = plan_of(&sum, 1);
    void *row = row_create(plan);
    apply_numeric(plan, row, nines);
    expect_numeric(plan, row, 0, nines);
    apply_numeric(plan, row, "1");
    expect_numeric(plan, row, ERR_RANGE, "NULL");
    apply_numeric(plan, row, "-1");
    expect_numeric(plan, row, 0, nines);
    /* Large numbers and many decimals in one group pass 256 bits on the way, and still come back.
     */
    for (int i = 0; i < 20; i++)
        apply_numeric(plan, row, nines);
    apply_numeric(plan, row, "0.00000000000000000000000000000000000001");
    expect_numeric(plan, row, ERR_RANGE, "NULL");
    struct buf encoded = {0};
    agg_encode(plan, row, &encoded);
    assert_int_equal(agg_decode(plan, row, bytes_of(encoded.data, encoded.size)), 0);
    for (int i = 0; i < 21; i++)
        apply_numeric(plan, row, "-99999999999999999999999999999999999999");
    expect_numeric(plan, row, 0, "0.00000000000000000000000000000000000001");
    buf_deinit(&encoded);
    row_destroy(plan, row);
    agg_plan_destroy(plan);
}

/* PostgreSQL 15: SELECT avg(x) FROM (VALUES …) AS t(x), with numeric arguments. */
static void averages_are_postgresqls(void **unused)
{
    (void)unused;
    static const struct {
        const char *values[4], *average;
    } vectors[] = {
        {{"1", "2"}, "1.5000000000000000"},
        {{"1", "2", "4"}, "2.3333333333333333"},
        {{"0.1", "0.2"}, "0.15000000000000000000"},
        {{"-1", "-2", "-2"}, "-1.6666666666666667"},
    };
    const struct call_case average = {AGG_AVG, F_NUMERIC, false};
    struct agg_plan *plan = plan_of(&average, 1);
    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        void *row = row_create(plan);
        expect_numeric(plan, row, 0, "NULL");
        for (int i = 0; vectors[v].values[i] != NULL; i++)
            apply_numeric(plan, row, vectors[v].values[i]);
        expect_numeric(plan, row, 0, vectors[v].average);
        row_destroy(plan, row);
    }
    agg_plan_destroy(plan);
}

static void constants_bigints_and_doubles(void **unused)
{
    (void)unused;
    const struct call_case list[] = {{AGG_SUM, F_BIGINT, false}, {AGG_AVG, F_BIGINT, false},
                                     {AGG_AVG, F_NUMBER, false}, {AGG_SUM, F_DOUBLE, false},
                                     {AGG_AVG, F_DOUBLE, false}, {AGG_COUNT, F_TEXT, false},
                                     {AGG_COUNT_STAR, -1, true}};
    enum { CALLS = sizeof list / sizeof *list };
    struct agg_plan *plan = plan_of(list, CALLS);
    struct arena arena;
    arena_init(&arena, 0);
    struct column arguments[CALLS] = {0}, filters[CALLS] = {0}, results[CALLS];
    for (int c = 0; c < CALLS - 1; c++) {
        enum col_type type = field_types[list[c].field];
        assert_int_equal(column_alloc(&arguments[c], type, 1, c >= 3, &arena), 0);
        arguments[c].constant = true;
    }
    assert_int_equal(column_alloc(&filters[CALLS - 1], COL_BOOLEAN, 1, true, &arena), 0);
    filters[CALLS - 1].constant = true;
    filters[CALLS - 1].boolean[0] = 1;
    filters[CALLS - 1].nulls[0] = 1; /* NULL is not true */
    arguments[0].i64[0] = arguments[1].i64[0] = INT64_MAX;
    arguments[2].variant[0] = variant_of(VARIANT_INT, "-7");
    arguments[3].f64[0] = arguments[4].f64[0] = 1.5e308;
    arguments[5].nulls[0] = 1;
    void *row = row_create(plan), *rows[3] = {row, row, row};
    const uint16_t selection[] = {5, 17, 4095};
    struct batch batch = {
        .row_count = 4096, .selection = selection, .selected_count = 3, .arena = &arena};
    assert_int_equal(agg_update(plan, &batch, arguments, filters, rows), 0);
    result_columns(results, list, CALLS, &arena);
    assert_int_equal(agg_result(plan, row, results, 0), ERR_RANGE); /* 4.5e308 */
    char text[128];
    const char *const expected[CALLS] = {"27670116110564327421",
                                         "9223372036854775807.0000000000000000",
                                         "-7.0000000000000000",
                                         "NULL",
                                         "NULL",
                                         "0",
                                         "0"};
    for (int c = 0; c < CALLS; c++) {
        value_text(&results[c], text);
        if (c != 1) /* the scale of such an average is numeric's business; the value is not */
            assert_string_equal(text, expected[c]);
        else
            assert_memory_equal(text, "9223372036854775807", 19);
    }
    row_destroy(plan, row);
    arena_deinit(&arena);
    agg_plan_destroy(plan);
}

static void encodings_are_as_documented(void **unused)
{
    (void)unused;
    const struct {
        struct call_case call;
        struct row row;
        const char *bytes;
        size_t size;
    } vectors[] = {
        {{AGG_COUNT_STAR, -1, false}, {.numeric = "0"}, "\x01\x01", 2},
        {{AGG_COUNT_STAR, -1, true}, {.numeric = "0"}, "\x01\x01\x00", 3},
        {{AGG_SUM, F_BIGINT, false}, {.numeric = "0", .bigint = -1}, "\x01\x01\x01\x01", 4},
        {{AGG_SUM, F_BIGINT, false}, {.numeric = "0", .bigint_null = true}, "\x01\x01\x00", 3},
        {{AGG_SUM, F_NUMERIC, false}, {.numeric = "12.50"}, "\x01\x01\x01\x02\xC4\x13", 6},
        {{AGG_AVG, F_NUMBER, false},
         {.numeric = "0", .token = "64", .number_kind = VARIANT_INT},
         "\x01\x01\x01\x00\x80\x01",
         6},
        {{AGG_SUM, F_NUMERIC, false},
         {.numeric = "0.00000000000000000003"},
         "\x01\x01\x01\x80\x00\x14\x06",
         7},
        {{AGG_SUM, F_DOUBLE, false},
         {.numeric = "0", .number = 1.5},
         "\x01\x01\x01\x3F\xF8\0\0\0\0\0\0",
         11},
        {{AGG_MIN, F_BIGINT, false}, {.numeric = "0", .bigint = 3}, "\x01\x01\x01\x06", 4},
        {{AGG_MAX, F_TIME, false}, {.numeric = "0", .time_null = true}, "\x01\x01\x00", 3},
        {{AGG_MIN, F_BOOLEAN, false}, {.numeric = "0", .boolean = true}, "\x01\x01\x02", 3},
        {{AGG_MIN, F_NUMERIC, false}, {.numeric = "-1.5"}, "\x01\x01\x02\x1D", 4},
        {{AGG_MIN, F_DOUBLE, false},
         {.numeric = "0", .number = -0.0},
         "\x01\x01\x01\0\0\0\0\0\0\0\0",
         11},
        {{AGG_MAX, F_TEXT, false},
         {.numeric = "0", .text = "ab"},
         "\x01\x01\x03"
         "ab",
         5},
        {{AGG_MAX, F_TEXT, false}, {.numeric = "0", .text = ""}, "\x01\x01\x01", 3},
        {{AGG_MAX, F_JSON, false},
         {.numeric = "0", .json = "1.0", .json_kind = VARIANT_NUMBER},
         "\x01\x01\x04\x03"
         "1.0",
         7},
        {{AGG_MAX, F_JSON, false},
         {.numeric = "0", .json = "-1", .json_kind = VARIANT_INT},
         "\x01\x01\x03\x01",
         4},
        {{AGG_MAX, F_JSON, false}, {.numeric = "0"}, "\x01\x01\x00", 3},
        {{AGG_LAST, F_BIGINT, false},
         {.numeric = "0", .bigint = 3, .event = -2, .origin = 1, .offset = 300},
         "\x01\x01\x02\x03\xAC\x02\x06",
         7},
        {{AGG_FIRST, F_BIGINT, false}, {.numeric = "0", .bigint_null = true}, "\x01\x01\x00", 3},
        {{AGG_FIRST, F_TEXT, false},
         {.numeric = "0", .text = "ab", .event = 1},
         "\x01\x01\x01\x02\x00\x02"
         "ab",
         8},
        {{AGG_LAST, F_NUMERIC, false}, {.numeric = "-1.5"}, "\x01\x01\x01\x00\x00\x01\x1D", 7},
        {{AGG_LAST, F_BOOLEAN, false},
         {.numeric = "0", .boolean = true},
         "\x01\x01\x01\x00\x00\x01",
         6},
    };
    const uint32_t order[1] = {0};
    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        struct agg_plan *plan = plan_of(&vectors[v].call, 1);
        void *row = row_create(plan);
        struct buf encoded = {0};
        apply_rows(plan, &vectors[v].call, 1, row, &vectors[v].row, order, 1);
        agg_encode(plan, row, &encoded);
        if (encoded.size != vectors[v].size)
            print_error("vector %zu\n", v);
        assert_int_equal(encoded.size, vectors[v].size);
        assert_memory_equal(encoded.data, vectors[v].bytes, encoded.size);
        buf_deinit(&encoded);
        row_destroy(plan, row);
        agg_plan_destroy(plan);
    }
}

static void hostile_encodings_are_refused(void **unused)
{
    (void)unused;
    static struct row rows[40];
    struct agg_plan *plan = plan_of(cases, CASES);
    uint32_t order[40];
    shuffle(order, 40);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 40; i++)
            random_row(&rows[i]);
        void *row = row_create(plan), *victim = row_create(plan);
        struct buf encoded = {0}, before = {0}, after = {0};
        apply_rows(plan, cases, CASES, row, rows, order, 40);
        agg_encode(plan, row, &encoded);
        agg_encode(plan, row, &before);
        for (size_t size = 0; size < encoded.size; size++) {
            uint8_t *exact = malloc(size + 1); /* so that ASan sees a read behind the end */
            memcpy(exact, encoded.data, size);
            assert_int_equal(agg_merge_encoded(plan, row, bytes_of(exact, size)), ERR_CORRUPT);
            free(exact);
        }
        buf_u8(&encoded, 0); /* a byte too many */
        assert_int_equal(agg_merge_encoded(plan, row, bytes_of(encoded.data, encoded.size)),
                         ERR_CORRUPT);
        agg_encode(plan, row, &after);
        assert_int_equal(after.size, before.size);
        assert_memory_equal(after.data, before.data, before.size);
        encoded.size--;
        for (int i = 0; i < 300; i++) {
            size_t at = random_below((uint32_t)encoded.size);
            uint8_t was = encoded.data[at];
            encoded.data[at] = (uint8_t)random_u64();
            int rc = agg_decode(plan, victim, bytes_of(encoded.data, encoded.size));
            assert_true(rc == 0 || rc == ERR_CORRUPT);
            if (rc != 0)
                assert_int_equal(agg_row_count(victim), 0);
            encoded.data[at] = was;
        }
        buf_deinit(&encoded);
        buf_deinit(&before);
        buf_deinit(&after);
        row_destroy(plan, row);
        row_destroy(plan, victim);
    }
    agg_plan_destroy(plan);
}

static void false_claims_are_refused(void **unused)
{
    (void)unused;
    const struct {
        struct call_case call;
        const char *bytes;
        size_t size;
    } lies[] = {
        {{AGG_COUNT_STAR, -1, false}, "\x02\x01", 2}, /* version */
        {{AGG_COUNT_STAR, -1, false},
         "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
         11},                                            /* 2^64 − 1 rows */
        {{AGG_COUNT_STAR, -1, true}, "\x01\x01\x02", 3}, /* more values than rows */
        {{AGG_SUM, F_BIGINT, false},
         "\x01\x01\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x04",
         13},                                                     /* 2^64 from one value */
        {{AGG_SUM, F_NUMERIC, false}, "\x01\x01\x01\x14\x02", 5}, /* scale 20 in the coarse part */
        {{AGG_SUM, F_NUMERIC, false}, "\x01\x01\x01\x80\x00\x27\x02", 7}, /* scale 39 */
        {{AGG_MIN, F_NUMERIC, false}, "\x01\x01\x28\x02", 4},             /* scale 39 */
        {{AGG_MIN, F_BIGINT, false}, "\x01\x00\x01\x02", 4},              /* a value of no rows */
        {{AGG_MIN, F_BOOLEAN, false}, "\x01\x01\x03", 3},
        {{AGG_MIN, F_DOUBLE, false}, "\x01\x01\x01\x7F\xF0\0\0\0\0\0\0", 11}, /* infinity */
        {{AGG_MIN, F_TEXT, false}, "\x01\x01\x02\xFF", 4},                    /* not UTF-8 */
        {{AGG_MIN, F_TEXT, false}, "\x01\x01\x04\xED\xA0\x80", 6},            /* a surrogate */
        {{AGG_MIN, F_TEXT, false},
         "\x01\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"
         "a",
         12},                                                         /* a huge length */
        {{AGG_MIN, F_JSON, false}, "\x01\x01\x04\x01x", 5},           /* not a number */
        {{AGG_MIN, F_JSON, false}, "\x01\x01\x07\x01x", 5},           /* no such kind */
        {{AGG_LAST, F_BIGINT, false}, "\x01\x00\x01\x00\x00\x02", 6}, /* a value of no rows */
        {{AGG_LAST, F_BIGINT, false},
         "\x01\x01\x01\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02",
         15}, /* offset 2^64 − 1 */
        {{AGG_FIRST, F_BOOLEAN, false}, "\x01\x01\x01\x00\x00\x02", 6},
        {{AGG_FIRST, F_NUMERIC, false}, "\x01\x01\x01\x00\x00\x27\x02", 7}, /* scale 39 */
        {{AGG_FIRST, F_TEXT, false}, "\x01\x01\x01\x00\x00\x01\xFF", 7},    /* not UTF-8 */
        {{AGG_FIRST, F_JSON, false}, "\x01\x01\x01\x00\x00\x00", 6},        /* a null */
        {{AGG_FIRST, F_JSON, false}, "\x01\x01\x01\x00\x00\x07\x00", 7},    /* no such kind */
        {{AGG_FIRST, F_JSON, false},
         "\x01\x01\x01\x00\x00\x04\x02"
         "01",
         9},                                                      /* no number */
        {{AGG_COUNT_DISTINCT, F_TEXT, false}, "\x01\x01\x02", 3}, /* more values than rows */
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct agg_plan *plan = plan_of(&lies[i].call, 1);
        void *row = row_create(plan);
        if (agg_decode(plan, row, bytes_of(lies[i].bytes, lies[i].size)) != ERR_CORRUPT)
            fail_msg("lie %zu was believed", i);
        row_destroy(plan, row);
        agg_plan_destroy(plan);
    }
    /* Row counts that overflow when added. */
    const struct call_case count = {AGG_COUNT_STAR, -1, false};
    struct agg_plan *plan = plan_of(&count, 1);
    void *row = row_create(plan);
    struct bytes most = bytes_of("\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 10);
    assert_int_equal(agg_merge_encoded(plan, row, most), 0);
    assert_int_equal(agg_row_count(row), INT64_MAX);
    assert_int_equal(agg_merge_encoded(plan, row, most), ERR_CORRUPT);
    row_destroy(plan, row);
    agg_plan_destroy(plan);
}

static void check_rejects_what_update_cannot_take(void **unused)
{
    (void)unused;
    const struct call_case list[] = {{AGG_SUM, F_NUMBER, false},
                                     {AGG_AVG, F_NUMBER, true},
                                     {AGG_MIN, F_JSON, true},
                                     {AGG_SUM, F_DOUBLE, false},
                                     {AGG_COUNT, F_JSON, false}};
    enum { CALLS = 5, ROWS = 9 };
    struct agg_plan *plan = plan_of(list, CALLS);
    struct arena arena;
    arena_init(&arena, 0);
    struct column number, json, doubles, passes, filter_json;
    assert_int_equal(column_alloc(&number, COL_VARIANT, ROWS, false, &arena), 0);
    assert_int_equal(column_alloc(&json, COL_VARIANT, ROWS, false, &arena), 0);
    assert_int_equal(column_alloc(&doubles, COL_DOUBLE, ROWS, true, &arena), 0);
    assert_int_equal(column_alloc(&passes, COL_BOOLEAN, ROWS, true, &arena), 0);
    assert_int_equal(column_alloc(&filter_json, COL_VARIANT, ROWS, false, &arena), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        number.variant[i] = variant_of(VARIANT_INT, "1");
        json.variant[i] = variant_of(VARIANT_TEXT, "fine");
        doubles.f64[i] = 1;
        passes.boolean[i] = 1;
        filter_json.variant[i] = variant_of(VARIANT_TRUE, "");
    }
    number.variant[0] = variant_of(VARIANT_TEXT, "1");       /* twice wrong, rejected once */
    number.variant[1] = variant_of(VARIANT_NUMBER, "1e400"); /* out of range */
    number.variant[2] = variant_of(VARIANT_TRUE, "");
    number.variant[3] = variant_of(VARIANT_NULL, "");
    json.variant[4] = variant_of(VARIANT_NUMBER, "123456789012345678901234567890123456789.5");
    json.variant[5] = json.variant[4];
    passes.boolean[5] = 0; /* filtered out: its value does not matter */
    doubles.f64[6] = INFINITY;
    filter_json.variant[7] = variant_of(VARIANT_INT, "1"); /* a filter that is not boolean */
    number.variant[8] = variant_of(VARIANT_TEXT, "not selected");
    const uint16_t selection[] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct column arguments[CALLS] = {number, number, json, doubles, json};
    struct column filters[CALLS] = {{0}, filter_json, passes, {0}, {0}};
    struct batch batch = {
        .row_count = ROWS, .selection = selection, .selected_count = 8, .arena = &arena};
    struct reject_list rejects = {.arena = &arena};
    assert_int_equal(agg_check(plan, &batch, arguments, filters, &rejects), 0);
    const char *expected[ROWS] = {
        [0] = "type_mismatch",        [1] = "numeric_out_of_range", [2] = "type_mismatch",
        [4] = "numeric_out_of_range", [6] = "numeric_out_of_range", [7] = "type_mismatch"};
    assert_int_equal(rejects.count, 6);
    for (uint32_t i = 0; i < rejects.count; i++) {
        assert_non_null(expected[rejects.items[i].row]);
        assert_string_equal(rejects.items[i].error_class, expected[rejects.items[i].row]);
        assert_true(rejects.items[i].message[0] != '\0');
        expected[rejects.items[i].row] = NULL;
    }
    arena_deinit(&arena);
    agg_plan_destroy(plan);
}

static void impossible_aggregates_are_refused(void **unused)
{
    (void)unused;
    const struct {
        enum agg_func func;
        enum col_type type;
    } bad[] = {{AGG_SUM, COL_TEXT},
               {AGG_AVG, COL_TIMESTAMPTZ},
               {AGG_SUM, COL_BOOLEAN},
               {AGG_AVG, COL_INTERVAL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct agg_call call = {
            .func = bad[i].func, .argument_type = bad[i].type, .result_type = COL_NUMERIC};
        struct agg_plan *plan;
        struct diag diag = {0};
        assert_int_equal(agg_plan_create(&call, 1, &plan, &diag), ERR_INVALID);
        assert_null(plan);
        assert_non_null(strstr(diag.text, col_type_name(bad[i].type)));
    }
}

static void heap_memory_of_rows_is_counted(void **unused)
{
    (void)unused;
    const struct call_case list[] = {{AGG_MAX, F_TEXT, false}, {AGG_SUM, F_NUMERIC, false}};
    struct agg_plan *plan = plan_of(list, 2);
    assert_true(agg_plan_owns_heap(plan));
    void *row = row_create(plan);
    assert_int_equal(agg_row_heap_bytes(plan, row), 0);
    struct row one = {.numeric = "0.000000000000000000001", .text = "abcdefghijklmnopq"};
    const uint32_t order[] = {0};
    apply_rows(plan, list, 2, row, &one, order, 1);
    size_t bytes = agg_row_heap_bytes(plan, row);
    assert_true(bytes >= 17 + sizeof(struct numeric_sum) && bytes <= 150);
    row_destroy(plan, row);
    agg_plan_destroy(plan);
    const struct call_case count = {AGG_COUNT_STAR, -1, false};
    plan = plan_of(&count, 1);
    assert_false(agg_plan_owns_heap(plan));
    assert_int_equal(agg_plan_row_bytes(plan), 8);
    agg_plan_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_any_split_give_the_naive_result),
        cmocka_unit_test(sums_over_38_digits_fail_at_the_result_and_recover),
        cmocka_unit_test(averages_are_postgresqls),
        cmocka_unit_test(constants_bigints_and_doubles),
        cmocka_unit_test(encodings_are_as_documented),
        cmocka_unit_test(hostile_encodings_are_refused),
        cmocka_unit_test(false_claims_are_refused),
        cmocka_unit_test(check_rejects_what_update_cannot_take),
        cmocka_unit_test(impossible_aggregates_are_refused),
        cmocka_unit_test(heap_memory_of_rows_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
