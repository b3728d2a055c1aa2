/* expr_time.c: times: extract, date_trunc, to_timestamp, and how timestamps and intervals read and
 * print.
 *
 * A timestamptz is epoch milliseconds, an interval a number of milliseconds; both live in UTC,
 * where a day is always 24 hours. Months and years are therefore no intervals. Calendar arithmetic
 * is proleptic Gregorian on days since 1970-01-01 (the civil-from-days algorithm in eras of 400
 * years), exact for every int64. Text forms are PostgreSQL's with TimeZone = UTC. */
#include "operators/expr_internal.h"

#include "runtime/base/clock.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MS_SECOND = 1000, MS_MINUTE = 60000, MS_HOUR = 3600000, MS_DAY = 86400000 };

/* ---- Calendar ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
static int64_t floor_mod(int64_t a, int64_t b)
{
    return a % b + (a % b < 0 ? b : 0);
}

struct civil {
    int64_t year;       /* astronomical: 0 is 1 BC */
    int32_t month, day; /* from 1 */
};

static struct civil civil_from_days(int64_t days)
{
    days += 719468;
    int64_t era = floor_div(days, 146097), day = days - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    return (struct civil){.year = year + era * 400 + (month >= 10),
                          .month = (int32_t)(month < 10 ? month + 3 : month - 9),
                          .day = (int32_t)(day_of_year - (153 * month + 2) / 5 + 1)};
}

static int64_t days_from_civil(int64_t year, int32_t month, int32_t day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400), year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* Monday is 1. */
static int64_t iso_weekday(int64_t days)
{
    return floor_mod(days + 3, 7) + 1;
}

/* The ISO year of a day, and the Monday its first week starts with. */
static int64_t iso_year(int64_t days, int64_t *first_monday)
{
    int64_t thursday = days - iso_weekday(days) + 4;
    int64_t year = civil_from_days(thursday).year, fourth = days_from_civil(year, 1, 4);
    *first_monday = fourth - iso_weekday(fourth) + 1;
    return year;
}

/* ---- Fields ---- */

enum field {
    FIELD_MICROSECONDS,
    FIELD_MILLISECONDS,
    FIELD_SECOND,
    FIELD_MINUTE,
    FIELD_HOUR,
    FIELD_DAY,
    FIELD_WEEK,
    FIELD_MONTH,
    FIELD_QUARTER,
    FIELD_YEAR,
    FIELD_DECADE,
    FIELD_CENTURY,
    FIELD_MILLENNIUM,
    FIELD_TRUNC_COUNT,
    FIELD_EPOCH = FIELD_TRUNC_COUNT,
    FIELD_DOW,
    FIELD_ISODOW,
    FIELD_DOY,
    FIELD_ISOYEAR,
    FIELD_TIMEZONE,
};

static const struct {
    const char *name, *plural;
    enum field field;
} fields[] = {
    {"microseconds", "microsecond", FIELD_MICROSECONDS},
    {"milliseconds", "millisecond", FIELD_MILLISECONDS},
    {"second", "seconds", FIELD_SECOND},
    {"minute", "minutes", FIELD_MINUTE},
    {"hour", "hours", FIELD_HOUR},
    {"day", "days", FIELD_DAY},
    {"week", "weeks", FIELD_WEEK},
    {"month", "months", FIELD_MONTH},
    {"quarter", NULL, FIELD_QUARTER},
    {"year", "years", FIELD_YEAR},
    {"decade", "decades", FIELD_DECADE},
    {"century", "centuries", FIELD_CENTURY},
    {"millennium", "millennia", FIELD_MILLENNIUM},
    {"epoch", NULL, FIELD_EPOCH},
    {"dow", NULL, FIELD_DOW},
    {"isodow", NULL, FIELD_ISODOW},
    {"doy", NULL, FIELD_DOY},
    {"isoyear", NULL, FIELD_ISOYEAR},
    {"timezone", NULL, FIELD_TIMEZONE},
    {"timezone_hour", NULL, FIELD_TIMEZONE},
    {"timezone_minute", NULL, FIELD_TIMEZONE},
};

int time_field_find(const char *name, char letter)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcasecmp(fields[i].name, name) != 0 &&
            (fields[i].plural == NULL || strcasecmp(fields[i].plural, name) != 0))
            continue;
        if ((letter == 'g' && fields[i].field >= FIELD_TRUNC_COUNT) ||
            (letter == 'e' && fields[i].field != FIELD_EPOCH))
            return -1;
        return (int)fields[i].field;
    }
    return -1;
}

/* ---- date_trunc ---- */

static int64_t trunc_year(int64_t year, enum field field)
{
    switch (field) {
    case FIELD_DECADE:
        return floor_div(year, 10) * 10;
    case FIELD_CENTURY:
        return floor_div(year - 1, 100) * 100 + 1;
    case FIELD_MILLENNIUM:
        return floor_div(year - 1, 1000) * 1000 + 1;
    default:
        return year;
    }
}

static int64_t trunc_days(int64_t days, enum field field)
{
    struct civil date = civil_from_days(days);
    switch (field) {
    case FIELD_DAY:
        return days;
    case FIELD_WEEK:
        return days - iso_weekday(days) + 1;
    case FIELD_MONTH:
        return days_from_civil(date.year, date.month, 1);
    case FIELD_QUARTER:
        return days_from_civil(date.year, (date.month - 1) / 3 * 3 + 1, 1);
    default:
        return days_from_civil(trunc_year(date.year, field), 1, 1);
    }
}

static int time_trunc(struct row_call *call, const union scalar *args, union scalar *result)
{
    static const int64_t units[] = {1, 1, MS_SECOND, MS_MINUTE, MS_HOUR};
    enum field field = (enum field)args[0].i64;
    int64_t ms = args[1].i64;
    if (field <= FIELD_HOUR) {
        int64_t rest = floor_mod(ms, units[field]);
        if (__builtin_sub_overflow(ms, rest, &result->i64))
            return scalar_fail(call, "out_of_range", "timestamptz out of range");
        return SCALAR_VALUE;
    }
    if (__builtin_mul_overflow(trunc_days(floor_div(ms, MS_DAY), field), (int64_t)MS_DAY,
                               &result->i64))
        return scalar_fail(call, "out_of_range", "timestamptz out of range");
    return SCALAR_VALUE;
}

/* ---- extract ---- */

static int64_t years_without_zero(int64_t year)
{
    return year > 0 ? year : year - 1;
}

static int64_t extract_date(int64_t days, enum field field)
{
    struct civil date = civil_from_days(days);
    int64_t monday, year;
    switch (field) {
    case FIELD_DAY:
        return date.day;
    case FIELD_WEEK:
        iso_year(days, &monday);
        return (days - monday) / 7 + 1;
    case FIELD_MONTH:
        return date.month;
    case FIELD_QUARTER:
        return (date.month - 1) / 3 + 1;
    case FIELD_YEAR:
        return years_without_zero(date.year);
    case FIELD_DECADE:
        return floor_div(date.year, 10);
    case FIELD_CENTURY:
        year = floor_div(date.year - 1, 100);
        return date.year > 0 ? year + 1 : year;
    case FIELD_MILLENNIUM:
        year = floor_div(date.year - 1, 1000);
        return date.year > 0 ? year + 1 : year;
    case FIELD_DOW:
        return iso_weekday(days) % 7;
    case FIELD_ISODOW:
        return iso_weekday(days);
    case FIELD_DOY:
        return days - days_from_civil(date.year, 1, 1) + 1;
    case FIELD_ISOYEAR:
        return years_without_zero(iso_year(days, &monday));
    default:
        return 0;
    }
}

static struct numeric extract(int64_t ms, enum field field)
{
    int64_t of_day = floor_mod(ms, MS_DAY);
    switch (field) {
    case FIELD_MICROSECONDS:
        return (struct numeric){of_day % MS_MINUTE * 1000, 0};
    case FIELD_MILLISECONDS:
        return (struct numeric){of_day % MS_MINUTE * 1000, 3};
    case FIELD_SECOND:
        return (struct numeric){of_day % MS_MINUTE * 1000, 6};
    case FIELD_MINUTE:
        return (struct numeric){of_day % MS_HOUR / MS_MINUTE, 0};
    case FIELD_HOUR:
        return (struct numeric){of_day / MS_HOUR, 0};
    case FIELD_EPOCH:
        return (struct numeric){(int128)ms * 1000, 6};
    default:
        return (struct numeric){extract_date(floor_div(ms, MS_DAY), field), 0};
    }
}

static int time_extract(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->numeric = extract(args[1].i64, (enum field)args[0].i64);
    return SCALAR_VALUE;
}

static int time_date_part(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->f64 = numeric_to_double(extract(args[1].i64, (enum field)args[0].i64));
    return SCALAR_VALUE;
}

/* ---- to_timestamp ---- */

static int time_from_numeric(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct numeric ms = args[0].numeric;
    int rc = numeric_round(ms, 3, &ms);
    if (rc == 0)
        rc = numeric_multiply(ms, numeric_from_i64(1000), &ms);
    if (rc == 0)
        rc = numeric_to_i64(ms, &result->i64);
    return rc == 0 ? SCALAR_VALUE : scalar_fail(call, "out_of_range", "timestamptz out of range");
}

static int time_from_double(struct row_call *call, const union scalar *args, union scalar *result)
{
    double ms = rint(args[0].f64 * 1000.0);
    if (!(ms >= -9223372036854775808.0 && ms < 9223372036854775808.0))
        return scalar_fail(call, "out_of_range", "timestamptz out of range");
    result->i64 = (int64_t)ms;
    return SCALAR_VALUE;
}

const struct function time_functions[] = {
    {"date_trunc", "z:gz", time_trunc, false},
    {"extract", "n:fz", time_extract, false},
    {"extract", "n:ev", time_extract, false},
    {"date_part", "d:fz", time_date_part, false},
    {"date_part", "d:ev", time_date_part, false},
    {"to_timestamp", "z:n", time_from_numeric, false},
    {"to_timestamp", "z:d", time_from_double, false},
    {NULL, NULL, NULL, false},
};

/* ---- Text forms ---- */

/* .5 for 500 ms; nothing for 0. */
static size_t print_fraction(int64_t ms, char *text)
{
    if (ms == 0)
        return 0;
    size_t size = (size_t)sprintf(text, ".%03d", (int)ms);
    while (text[size - 1] == '0')
        text[--size] = '\0';
    return size;
}

static size_t print_clock(int64_t ms, char *text)
{
    size_t size =
        (size_t)sprintf(text, "%02lld:%02d:%02d", (long long)(ms / MS_HOUR),
                        (int)(ms % MS_HOUR / MS_MINUTE), (int)(ms % MS_MINUTE / MS_SECOND));
    return size + print_fraction(ms % MS_SECOND, text + size);
}

size_t timestamp_print(int64_t ms, char *text)
{
    struct civil date = civil_from_days(floor_div(ms, MS_DAY));
    bool bc = date.year <= 0;
    size_t size =
        (size_t)sprintf(text, "%04lld-%02d-%02d ", (long long)(bc ? 1 - date.year : date.year),
                        date.month, date.day);
    size += print_clock(floor_mod(ms, MS_DAY), text + size);
    return size + (size_t)sprintf(text + size, "+00%s", bc ? " BC" : "");
}

size_t interval_print(int64_t ms, char *text)
{
    int64_t days = ms / MS_DAY, rest = ms % MS_DAY;
    size_t size = 0;
    if (days != 0)
        size = (size_t)sprintf(text, "%lld day%s%s", (long long)days, days == 1 ? "" : "s",
                               rest != 0 ? " " : "");
    if (rest == 0 && days != 0)
        return size;
    if (rest < 0)
        text[size++] = '-';
    return size + print_clock(rest < 0 ? -rest : rest, text + size);
}

int timestamp_parse(struct bytes text, int64_t *ms)
{
    size_t i = text.size > 0 && text.data[0] == '-';
    int64_t value = 0;
    bool digits = i < text.size;
    for (size_t k = i; k < text.size && digits; k++) {
        unsigned digit = (unsigned)text.data[k] - '0';
        digits = digit <= 9;
        if (digits && (__builtin_mul_overflow(value, (int64_t)10, &value) ||
                       __builtin_sub_overflow(value, (int64_t)digit, &value)))
            return ERR_INVALID;
    }
    if (!digits)
        return time_parse_iso(text, ms);
    if (i == 1) {
        *ms = value;
        return 0;
    }
    return __builtin_sub_overflow((int64_t)0, value, ms) ? ERR_INVALID : 0;
}

/* ---- Reading intervals ---- */

static const struct {
    const char *names[7];
    int64_t us; /* 0: of varying length */
} units[] = {
    {{"microsecond", "microseconds", "us", "usec", "usecs", "usecond", "useconds"}, 1},
    {{"millisecond", "milliseconds", "ms", "msec", "msecs", "msecond", "mseconds"}, 1000},
    {{"second", "seconds", "s", "sec", "secs"}, 1000000},
    {{"minute", "minutes", "m", "min", "mins"}, 60000000},
    {{"hour", "hours", "h", "hr", "hrs"}, 3600000000},
    {{"day", "days", "d"}, 86400000000},
    {{"week", "weeks", "w"}, 604800000000},
    {{"month", "months", "mon", "mons"}, 0},
    {{"year", "years", "y", "yr", "yrs"}, 0},
    {{"decade", "decades"}, 0},
    {{"century", "centuries"}, 0},
};

struct interval_text {
    const char *at;
    int128 us; /* sum so far */
};

static void skip_blanks(struct interval_text *in)
{
    in->at += strspn(in->at, " \t\n\r,");
}

/* digits[.digits] × unit_us, rounded to whole microseconds. */
static int take_amount(struct interval_text *in, int64_t unit_us, const char *start, int128 *us)
{
    int128 whole = 0, fraction = 0, scale = 1;
    const char *p = start;
    for (; isdigit((unsigned char)*p); p++) {
        whole = whole * 10 + (*p - '0');
        if (whole > INT64_MAX)
            return ERR_RANGE;
    }
    if (*p == '.') {
        for (p++; isdigit((unsigned char)*p); p++) {
            if (scale < 1000000000000) {
                fraction = fraction * 10 + (*p - '0');
                scale *= 10;
            }
        }
    }
    in->at = p;
    *us = whole * unit_us + (fraction * unit_us + scale / 2) / scale;
    return 0;
}

/* [HH:]MM:SS[.fraction] or HH:MM, without sign. */
static int take_clock(struct interval_text *in, int128 *us)
{
    int128 hours, minutes, seconds = 0;
    TRY(take_amount(in, 3600000000, in->at, &hours));
    if (*in->at != ':' || !isdigit((unsigned char)in->at[1]))
        return ERR_INVALID;
    TRY(take_amount(in, 60000000, in->at + 1, &minutes));
    if (minutes >= 3600000000 || in->at[-1] == '.')
        return ERR_INVALID;
    if (*in->at == ':') {
        if (!isdigit((unsigned char)in->at[1]))
            return ERR_INVALID;
        TRY(take_amount(in, 1000000, in->at + 1, &seconds));
        if (seconds > 60000000)
            return ERR_INVALID;
    }
    *us = hours + minutes + seconds;
    return 0;
}

static int find_unit(const char *word, size_t size, int64_t *us)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        for (size_t k = 0; k < 7 && units[i].names[k] != NULL; k++) {
            if (strlen(units[i].names[k]) == size &&
                strncasecmp(units[i].names[k], word, size) == 0) {
                *us = units[i].us;
                return *us != 0 ? 0 : ERR_UNSUPPORTED;
            }
        }
    }
    return ERR_INVALID;
}

/* A number's unit: a word; days when a clock follows; seconds at the end. */
static int take_unit(struct interval_text *in, const char *number_end, int64_t *unit_us)
{
    in->at = number_end;
    skip_blanks(in);
    size_t letters = 0;
    while (isalpha((unsigned char)in->at[letters]))
        letters++;
    if (letters > 0 && strncasecmp(in->at, "ago", letters) != 0) {
        const char *word = in->at;
        in->at += letters;
        return find_unit(word, letters, unit_us);
    }
    const char *next = in->at + (*in->at == '+' || *in->at == '-');
    size_t digits = strspn(next, "0123456789");
    bool clock_follows = digits > 0 && next[digits] == ':';
    if (!clock_follows && *in->at != '\0' && letters == 0)
        return ERR_INVALID;
    *unit_us = clock_follows ? 86400000000 : 1000000;
    return 0;
}

static int take_part(struct interval_text *in)
{
    bool negative = *in->at == '-';
    int128 us;
    in->at += *in->at == '+' || *in->at == '-';
    size_t digits = strspn(in->at, "0123456789");
    if (digits == 0 && !(in->at[0] == '.' && isdigit((unsigned char)in->at[1])))
        return ERR_INVALID;
    if (in->at[digits] == ':') {
        TRY(take_clock(in, &us));
    } else {
        const char *start = in->at, *end;
        int64_t unit_us;
        TRY(take_amount(in, 0, start, &us));
        TRY(take_unit(in, in->at, &unit_us));
        end = in->at;
        TRY(take_amount(in, unit_us, start, &us));
        in->at = end;
    }
    in->us += negative ? -us : us;
    return in->us > (int128)INT64_MAX * 1000 || in->us < (int128)INT64_MIN * 1000 ? ERR_RANGE : 0;
}

/* What stands behind the P of an ISO 8601 duration ("P1DT2H3M4.5S"), as results hold intervals: amounts, each with a sign of its own and its
 * unit behind it. */
static int take_iso(struct interval_text *in)
{
    bool is_time = false;
    if (*in->at == '\0')
        return ERR_INVALID;
    while (*in->at != '\0') {
        if (*in->at == 'T') {
            is_time = true;
            in->at++;
            continue;
        }
        bool negative = *in->at == '-';
        const char *start = in->at + negative;
        size_t digits = strspn(start, "0123456789");
        int128 us;
        if (digits == 0 && !(start[0] == '.' && isdigit((unsigned char)start[1])))
            return ERR_INVALID;
        TRY(take_amount(in, 0, start, &us));
        const char *letters = is_time ? "HMS" : "WDYM";
        static const int64_t of_time[] = {3600000000, 60000000, 1000000},
                             of_date[] = {604800000000, 86400000000, 0, 0};
        const char *found = *in->at == '\0' ? NULL : strchr(letters, *in->at);
        if (found == NULL)
            return ERR_INVALID;
        int64_t unit_us = is_time ? of_time[found - letters] : of_date[found - letters];
        if (unit_us == 0)
            return ERR_UNSUPPORTED;
        const char *end = in->at + 1;
        TRY(take_amount(in, unit_us, start, &us));
        in->at = end;
        in->us += negative ? -us : us;
        if (in->us > (int128)INT64_MAX * 1000 || in->us < (int128)INT64_MIN * 1000)
            return ERR_RANGE;
    }
    return 0;
}

static int take_parts(struct interval_text *in, const char *begin)
{
    if (*in->at == '@')
        in->at++;
    for (skip_blanks(in); *in->at != '\0'; skip_blanks(in)) {
        if (in->at != begin && strcasecmp(in->at, "ago") == 0) {
            in->us = -in->us;
            return 0;
        }
        TRY(take_part(in));
    }
    return 0;
}

int interval_parse(struct bytes text, int64_t *ms)
{
    enum { LONGEST = 200 };
    char copy[LONGEST + 1];
    if (text.size == 0 || text.size > LONGEST || memchr(text.data, 0, text.size) != NULL)
        return ERR_INVALID;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    struct interval_text in = {.at = copy};
    skip_blanks(&in);
    if (*in.at == 'P') {
        in.at++;
        TRY(take_iso(&in));
    } else {
        TRY(take_parts(&in, copy));
    }
    int128 rounded = (in.us + (in.us < 0 ? -500 : 500)) / 1000;
    if (rounded > INT64_MAX || rounded < INT64_MIN)
        return ERR_RANGE;
    *ms = (int64_t)rounded;
    return 0;
}
