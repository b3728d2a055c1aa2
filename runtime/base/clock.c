/* clock.c: the two clocks, and epoch milliseconds as ISO 8601 text and back.
 *
 * libc's gmtime/timegm are not used: they know nothing of milliseconds, their year is an int,
 * strptime depends on the locale, and this runs once per row for a timestamp column. The calendar
 * is the proleptic Gregorian one over the whole range of int64 milliseconds (years -292275055 to
 * 292278994); civil dates and day numbers are converted with whole 400-year eras of 146097 days,
 * the year beginning in March so that the leap day comes last.
 *
 * All arithmetic is floor arithmetic: 1969-12-31T23:59:59.999Z is -1.
 *
 * The replaced wall clock and the virtual clock are process-wide and for tests. A clock per log or app
 * would have to be handed through every function that reads one, down to segments and waits, for
 * the sake of two engines in one process with different times, which nobody has asked for; and a
 * place that was forgotten would show as a test that now and then fails. One switch here cannot be
 * forgotten: nothing else in the tree reads a clock. It costs a load and a branch that is always
 * predicted.
 *
 * Under the virtual clock nothing waits. A condition with a limit cannot be signalled by the one
 * thread that there is, so that the wait is over at once and the clock shows its end: what would
 * have taken a minute takes no time and is a minute later. */
#include "runtime/base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include "runtime/base/error.h"

#define MS_PER_DAY   INT64_C(86400000)
#define DAYS_PER_ERA INT64_C(146097)
/* From 0000-03-01, the first day of era 0, to 1970-01-01. */
#define EPOCH_DAY INT64_C(719468)

enum { DATE_BYTES = 16 /* "+292278994-08-17" */, TIME_BYTES = 40 /* that callers have room for */ };

/* Where the virtual monotonic clock begins: an age of some days can be subtracted from it. */
#define VIRTUAL_MONO_NS (INT64_C(100000000) * 1000000000)

static int64_t (*_Atomic replaced_now)(void);
static atomic_bool is_virtual;
static _Atomic int64_t virtual_wall_ms; /* at VIRTUAL_MONO_NS */
static _Atomic int64_t virtual_ns;      /* since then */

static int64_t read_clock_ns(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_wall_ms(void)
{
    int64_t (*now)(void) = atomic_load_explicit(&replaced_now, memory_order_acquire);
    if (now != NULL)
        return now();
    if (clock_is_virtual())
        return atomic_load(&virtual_wall_ms) + atomic_load(&virtual_ns) / 1000000;
    return read_clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_mono_ns(void)
{
    return clock_is_virtual() ? VIRTUAL_MONO_NS + atomic_load(&virtual_ns)
                              : read_clock_ns(CLOCK_MONOTONIC);
}

void clock_wall_replace(int64_t (*now)(void))
{
    atomic_store_explicit(&replaced_now, now, memory_order_release);
}

/* ---- the virtual clock ---- */

void clock_virtual_start(int64_t wall_ms)
{
    atomic_store(&virtual_wall_ms, wall_ms);
    atomic_store(&virtual_ns, 0);
    atomic_store_explicit(&is_virtual, true, memory_order_release);
}

void clock_virtual_advance(int64_t ms)
{
    must(ms >= 0);
    atomic_fetch_add(&virtual_ns, ms * 1000000);
}

void clock_virtual_stop(void)
{
    atomic_store_explicit(&is_virtual, false, memory_order_release);
}

bool clock_is_virtual(void)
{
    return __builtin_expect(atomic_load_explicit(&is_virtual, memory_order_acquire), 0);
}

static void show(int64_t mono_ns)
{
    int64_t ahead_ns = mono_ns - clock_mono_ns();
    if (ahead_ns > 0)
        atomic_fetch_add(&virtual_ns, ahead_ns);
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
    if (until_ns == INT64_MAX)
        return pthread_cond_wait(cond, mutex);
    if (clock_is_virtual()) {
        show(until_ns);
        return ETIMEDOUT;
    }
    struct timespec until = timespec_of(until_ns);
    return pthread_cond_timedwait(cond, mutex, &until);
}

void clock_sleep_until(int64_t until_ns)
{
    if (clock_is_virtual()) {
        show(until_ns);
        return;
    }
    struct timespec until = timespec_of(until_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* ---- days and dates ---- */

struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
};

static struct civil civil_of_day(int64_t day)
{
    day += EPOCH_DAY;
    int64_t era = (day >= 0 ? day : day - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    unsigned day_of_era = (unsigned)(day - era * DAYS_PER_ERA);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153; /* 0 = March */
    struct civil civil = {
        .year = (int64_t)year_of_era + era * 400,
        .month = march_month < 10 ? march_month + 3 : march_month - 9,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
    };
    if (civil.month <= 2)
        civil.year++;
    return civil;
}

static int64_t day_of_civil(int64_t year, unsigned month, unsigned day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned march_month = month > 2 ? month - 3 : month + 9;
    unsigned day_of_year = (153 * march_month + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - EPOCH_DAY;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* ---- printing ---- */

static inline char *put_pair(char *at, unsigned value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
    return at + 2;
}

static char *put_year(char *at, int64_t year)
{
    if (year >= 0 && year <= 9999)
        return put_pair(put_pair(at, (unsigned)year / 100), (unsigned)year % 100);
    uint64_t magnitude = (uint64_t)(year < 0 ? -year : year);
    if (year < 0)
        *at++ = '-';
    else if (year > 9999)
        *at++ = '+';
    int digits = 4;
    for (uint64_t rest = magnitude / 10000; rest != 0; rest /= 10)
        digits++;
    for (int i = digits - 1; i >= 0; i--, magnitude /= 10)
        at[i] = (char)('0' + magnitude % 10);
    return at + digits;
}

/* What this thread printed lately. Timestamps that are printed one after the other are mostly of one
 * day, and the calendar is what takes long; and mostly they are few, such as the bounds of the
 * windows of many groups. */
struct printed_day {
    int64_t day;
    size_t size; /* 0: none yet */
    char text[DATE_BYTES];
};

struct printed_time {
    int64_t epoch_ms;
    size_t size; /* 0: none yet */
    char text[TIME_BYTES];
};

static void print_day(struct printed_day *printed, int64_t day)
{
    struct civil civil = civil_of_day(day);
    char *at = put_year(printed->text, civil.year);
    *at++ = '-';
    at = put_pair(at, civil.month);
    *at++ = '-';
    at = put_pair(at, civil.day);
    printed->day = day;
    printed->size = (size_t)(at - printed->text);
}

static size_t print_time(int64_t epoch_ms, char *text)
{
    static _Thread_local struct printed_day last;
    int64_t day = epoch_ms / MS_PER_DAY;
    int64_t ms = epoch_ms % MS_PER_DAY;
    if (ms < 0) {
        ms += MS_PER_DAY;
        day--;
    }
    struct printed_day *printed = &last;
    if (printed->day != day || printed->size == 0)
        print_day(printed, day);
    memcpy(text, printed->text, sizeof printed->text);
    char *at = text + printed->size;
    unsigned ms_of_day = (unsigned)ms, seconds = ms_of_day / 1000, minutes = seconds / 60;
    *at++ = 'T';
    at = put_pair(at, minutes / 60);
    *at++ = ':';
    at = put_pair(at, minutes % 60);
    *at++ = ':';
    at = put_pair(at, seconds % 60);
    *at++ = '.';
    *at++ = (char)('0' + ms_of_day % 1000 / 100);
    at = put_pair(at, ms_of_day % 100);
    *at++ = 'Z';
    *at = '\0';
    return (size_t)(at - text);
}

size_t time_format_iso(int64_t epoch_ms, char *text)
{
    static _Thread_local struct printed_time lately[4];
    struct printed_time *printed = &lately[(uint64_t)epoch_ms * 0x9E3779B97F4A7C15ULL >> 62];
    if (printed->epoch_ms != epoch_ms || printed->size == 0) {
        printed->size = print_time(epoch_ms, printed->text);
        printed->epoch_ms = epoch_ms;
    }
    memcpy(text, printed->text, sizeof printed->text);
    return printed->size;
}

/* ---- parsing ---- */

/* Takes exactly count digits off the front. */
static bool take_digits(struct bytes *in, size_t count, unsigned *value)
{
    if (in->size < count)
        return false;
    unsigned result = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = (unsigned)in->data[i] - '0';
        if (digit > 9)
            return false;
        result = result * 10 + digit;
    }
    in->data += count;
    in->size -= count;
    *value = result;
    return true;
}

static bool take_char(struct bytes *in, char wanted)
{
    if (in->size == 0 || in->data[0] != (uint8_t)wanted)
        return false;
    in->data++;
    in->size--;
    return true;
}

/* Four digits, or, as time_format_iso prints them, a sign and four to nine. */
static bool take_year(struct bytes *in, int64_t *year)
{
    unsigned magnitude;
    bool negative = take_char(in, '-');
    if (!negative && !take_char(in, '+')) {
        if (!take_digits(in, 4, &magnitude))
            return false;
        *year = magnitude;
        return true;
    }
    size_t digits = 0;
    while (digits < in->size && digits < 10 && (unsigned)in->data[digits] - '0' <= 9)
        digits++;
    if (digits < 4 || digits > 9 || !take_digits(in, digits, &magnitude))
        return false;
    *year = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static bool take_date(struct bytes *in, int64_t *day_number)
{
    int64_t year;
    unsigned month, day;
    if (!take_year(in, &year) || !take_char(in, '-') || !take_digits(in, 2, &month) ||
        !take_char(in, '-') || !take_digits(in, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *day_number = day_of_civil(year, month, day);
    return true;
}

/* The digits after the point, cut to milliseconds: cutting a fraction that is added to a floored
 * second is floor. */
static bool take_fraction(struct bytes *in, unsigned *ms)
{
    unsigned scale = 100;
    size_t digits = 0;
    *ms = 0;
    for (; digits < in->size; digits++, scale /= 10) {
        unsigned digit = (unsigned)in->data[digits] - '0';
        if (digit > 9)
            break;
        *ms += digit * scale;
    }
    in->data += digits;
    in->size -= digits;
    return digits > 0;
}

static bool take_time(struct bytes *in, int64_t *ms_of_day)
{
    unsigned hour, minute, second = 0, ms = 0;
    if (!take_digits(in, 2, &hour) || !take_char(in, ':') || !take_digits(in, 2, &minute))
        return false;
    if (take_char(in, ':')) {
        if (!take_digits(in, 2, &second))
            return false;
        if (take_char(in, '.') && !take_fraction(in, &ms))
            return false;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *ms_of_day = ((int64_t)hour * 60 + minute) * 60000 + (int64_t)second * 1000 + ms;
    return true;
}

/* Z, ±HH, ±HH:MM, ±HHMM, or nothing. */
static bool take_zone(struct bytes *in, int64_t *east_ms)
{
    *east_ms = 0;
    if (in->size == 0 || take_char(in, 'Z'))
        return true;
    bool west = take_char(in, '-');
    if (!west && !take_char(in, '+'))
        return false;
    unsigned hours, minutes = 0;
    if (!take_digits(in, 2, &hours))
        return false;
    if (in->size > 0) {
        (void)take_char(in, ':');
        if (!take_digits(in, 2, &minutes))
            return false;
    }
    if (hours > 23 || minutes > 59)
        return false;
    *east_ms = ((int64_t)hours * 60 + minutes) * 60000;
    if (west)
        *east_ms = -*east_ms;
    return true;
}

int time_parse_iso(struct bytes text, int64_t *epoch_ms)
{
    int64_t day, ms = 0, east_ms = 0;
    if (!take_date(&text, &day))
        return ERR_INVALID;
    if (text.size > 0) {
        if (!take_char(&text, 'T') && !take_char(&text, ' '))
            return ERR_INVALID;
        if (!take_time(&text, &ms) || !take_zone(&text, &east_ms) || text.size > 0)
            return ERR_INVALID;
    }
    /* The day's start may lie below INT64_MIN while the sum does not. */
    __int128 sum = (__int128)day * MS_PER_DAY + ms - east_ms;
    if (sum < INT64_MIN || sum > INT64_MAX)
        return ERR_INVALID;
    *epoch_ms = (int64_t)sum;
    return 0;
}
