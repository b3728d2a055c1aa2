/* zone.c: TZif files (RFC 8536) as a list of spans.
 *
 * A file lists the instants at which a zone's offset changes and ends in a rule for the time after,
 * in the notation of POSIX's TZ. The rule is written out for 400 years and three: the Gregorian
 * calendar repeats after 400 years to the day of the week, so a later time is moved back by
 * multiples of 400 years, and one binary search answers every question. Changes of the
 * abbreviation alone are left out.
 *
 *     offset  file                       64-bit block (version 2 and later), all big-endian
 *     0       "TZif"                     4
 *     4       version: 0, '2', '3', '4'  1
 *     5       unused                     15
 *     20      counts: isut, isstd, leap, time, type, char     4 each
 *     44      time × 8   instants, seconds, ascending (version 1's block: × 4)
 *             time × 1   type of each
 *             type × 6   offset in seconds (4), is daylight saving (1), abbreviation (1)
 *             char, leap × 12 (version 1's block: × 8), isstd, isut
 *             "\n" rule "\n"
 *
 * A file of version 2 holds the version 1 block first, which is skipped. Files that count leap
 * seconds ("right/…") are refused: their instants are not those of anybody's event times. Every
 * count is checked against what is left before it is used. */
#include "operators/zone.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/hash.h"
#include "runtime/base/io.h"

enum {
    HEADER_BYTES = 44,
    FILE_MAX_BYTES = 1 << 20,
    NAME_MAX_BYTES = 100,
    RULE_MAX_BYTES = 256,
    CYCLE_YEARS = 400,
};
#define CYCLE_MS (INT64_C(146097) * 86400000)
#define OLDEST_S (-(INT64_C(1) << 50)) /* before any event time */

struct change {
    int64_t at_ms, offset_ms; /* from then on */
};

struct zone {
    int64_t first_offset_ms;
    int64_t cycle_end_ms; /* from here on times are moved back by CYCLE_MS; INT64_MAX: never */
    uint32_t count, capacity;
    struct change *changes;
};

/* ---- the calendar ---- */

int64_t zone_days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void zone_date_of(int64_t days, int64_t *year, int *month)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

static int64_t year_of(int64_t time_ms)
{
    int64_t year, days = time_ms / 86400000 - (time_ms % 86400000 < 0);
    int month;
    zone_date_of(days, &year, &month);
    return year;
}

/* ---- changes ---- */

static int add_change(struct zone *zone, int64_t at_ms, int64_t offset_ms)
{
    if (zone->count == zone->capacity) {
        uint32_t capacity = zone->capacity > 0 ? zone->capacity * 2 : 256;
        struct change *grown = realloc(zone->changes, capacity * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        zone->changes = grown;
        zone->capacity = capacity;
    }
    zone->changes[zone->count++] = (struct change){at_ms, offset_ms};
    return 0;
}

/* ---- the rule behind the last change ---- */

struct rule_date {
    char kind; /* 'M' month, week, day of the week; 'J' day 1 to 365 without 29 February; 'D' day
                  0 to 365 */
    int month, week, day;
    int64_t time_s;
};
struct rule {
    int64_t standard_s, saving_s; /* east of UTC */
    bool has_saving;
    struct rule_date begin, end;
};

static bool take_number(const char **at, int least, int most, int *number)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    long value = strtol(*at, &end, 10);
    *at = end;
    *number = (int)value;
    return value >= least && value <= most;
}

static bool take_abbreviation(const char **at)
{
    const char *from = *at;
    if (*from == '<') {
        const char *end = strchr(from, '>');
        *at = end != NULL ? end + 1 : from;
        return end != NULL;
    }
    while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z'))
        ++*at;
    return *at - from >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool take_clock(const char **at, int most_hours, int64_t *seconds)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes = 0, rest = 0;
    if (**at == '-' || **at == '+')
        ++*at;
    if (!take_number(at, 0, most_hours, &hours))
        return false;
    if (**at == ':') {
        ++*at;
        if (!take_number(at, 0, 59, &minutes))
            return false;
        if (**at == ':') {
            ++*at;
            if (!take_number(at, 0, 59, &rest))
                return false;
        }
    }
    *seconds = sign * (INT64_C(3600) * hours + 60 * minutes + rest);
    return true;
}

static bool take_point(const char **at)
{
    return *(*at)++ == '.';
}

static bool take_date(const char **at, struct rule_date *date)
{
    *date = (struct rule_date){.kind = 'D', .time_s = 7200};
    if (*(*at)++ != ',')
        return false;
    if (**at == 'M') {
        ++*at;
        date->kind = 'M';
        if (!take_number(at, 1, 12, &date->month) || !take_point(at) ||
            !take_number(at, 1, 5, &date->week) || !take_point(at) ||
            !take_number(at, 0, 6, &date->day))
            return false;
    } else if (**at == 'J') {
        ++*at;
        date->kind = 'J';
        if (!take_number(at, 1, 365, &date->day))
            return false;
    } else if (!take_number(at, 0, 365, &date->day)) {
        return false;
    }
    if (**at != '/')
        return true;
    ++*at;
    return take_clock(at, 167, &date->time_s);
}

static bool parse_rule(const char *text, struct rule *rule)
{
    memset(rule, 0, sizeof *rule);
    if (!take_abbreviation(&text) || !take_clock(&text, 24, &rule->standard_s))
        return false;
    rule->standard_s = -rule->standard_s;
    if (*text == '\0')
        return true;
    rule->has_saving = true;
    rule->saving_s = rule->standard_s + 3600;
    if (!take_abbreviation(&text))
        return false;
    if (*text != ',') {
        if (!take_clock(&text, 24, &rule->saving_s))
            return false;
        rule->saving_s = -rule->saving_s;
    }
    return take_date(&text, &rule->begin) && take_date(&text, &rule->end) && *text == '\0';
}

/* The wall clock at which a date of the rule comes in a year, in seconds. */
static int64_t rule_wall_s(const struct rule_date *date, int64_t year)
{
    int64_t days;
    if (date->kind == 'M') {
        int64_t first = zone_days_of(year, date->month, 1);
        int weekday = (int)(((first + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
        days = first + (date->day - weekday + 7) % 7 + 7 * (date->week - 1);
        int64_t next = date->month == 12 ? zone_days_of(year + 1, 1, 1)
                                         : zone_days_of(year, date->month + 1, 1);
        while (days >= next)
            days -= 7;
    } else {
        bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        days = zone_days_of(year, 1, 1) + date->day;
        if (date->kind == 'J')
            days -= !(is_leap && date->day >= 60);
    }
    return days * 86400 + date->time_s;
}

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static int write_out_rule(struct zone *zone, const struct rule *rule)
{
    uint32_t listed = zone->count;
    int64_t last_ms = listed > 0 ? zone->changes[listed - 1].at_ms : INT64_MIN;
    int64_t year = last_ms < zone_days_of(1900, 1, 1) * 86400000 ? 1900 : year_of(last_ms);
    if (!rule->has_saving)
        return 0;
    for (int64_t y = year; y < year + CYCLE_YEARS + 3; y++) {
        int64_t end = rule_wall_s(&rule->end, y) - rule->saving_s;
        int64_t begin = rule_wall_s(&rule->begin, y) - rule->standard_s;
        if (end * 1000 > last_ms)
            TRY(add_change(zone, end * 1000, rule->standard_s * 1000));
        if (begin * 1000 > last_ms)
            TRY(add_change(zone, begin * 1000, rule->saving_s * 1000));
    }
    /* Where saving never ends, the end of one year and the beginning of the next are one instant;
     * they were added in that order, which a stable sort keeps. */
    for (uint32_t i = listed + 1; i < zone->count; i++)
        for (uint32_t at = i;
             at > listed && compare_changes(&zone->changes[at - 1], &zone->changes[at]) > 0; at--) {
            struct change swap = zone->changes[at];
            zone->changes[at] = zone->changes[at - 1];
            zone->changes[at - 1] = swap;
        }
    zone->cycle_end_ms = zone_days_of(year + CYCLE_YEARS + 2, 1, 1) * 86400000;
    return 0;
}

/* Of changes at one instant the last counts; those that change nothing go. */
static void drop_idle_changes(struct zone *zone)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < zone->count; i++) {
        if (i + 1 < zone->count && zone->changes[i + 1].at_ms == zone->changes[i].at_ms)
            continue;
        int64_t before = kept > 0 ? zone->changes[kept - 1].offset_ms : zone->first_offset_ms;
        if (zone->changes[i].offset_ms != before)
            zone->changes[kept++] = zone->changes[i];
    }
    zone->count = kept;
}

/* ---- the file ---- */

struct block {
    uint32_t isut, isstd, leap, time, type, chars;
    size_t time_bytes;
};

static int take_header(struct bytes *in, uint8_t *version, struct block *block)
{
    struct bytes magic, unused;
    TRY(take_bytes(in, 4, &magic));
    TRY(take_u8(in, version));
    TRY(take_bytes(in, 15, &unused));
    if (memcmp(magic.data, "TZif", 4) != 0)
        return ERR_CORRUPT;
    uint32_t *const counts[] = {&block->isut, &block->isstd, &block->leap,
                                &block->time, &block->type,  &block->chars};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        TRY(take_be32(in, counts[i]));
    return 0;
}

static size_t block_bytes(const struct block *b)
{
    return (size_t)b->time * (b->time_bytes + 1) + (size_t)b->type * 6 + b->chars +
           (size_t)b->leap * (b->time_bytes + 4) + b->isstd + b->isut;
}

static int64_t time_at(const uint8_t *data, size_t bytes)
{
    return bytes == 8 ? (int64_t)load_be64(data) : (int32_t)load_be32(data);
}

static int take_offset(const uint8_t *types, uint32_t type, int64_t *offset_ms)
{
    *offset_ms = (int64_t)(int32_t)load_be32(types + (size_t)type * 6) * 1000;
    return *offset_ms > -ZONE_OFFSET_MAX_MS && *offset_ms < ZONE_OFFSET_MAX_MS ? 0 : ERR_CORRUPT;
}

static int take_block(struct zone *zone, struct bytes *in, const struct block *block)
{
    struct bytes data;
    TRY(take_bytes(in, block_bytes(block), &data));
    if (block->type == 0 || block->type > 256)
        return ERR_CORRUPT;
    const uint8_t *indices = data.data + (size_t)block->time * block->time_bytes;
    const uint8_t *types = indices + block->time;
    TRY(take_offset(types, 0, &zone->first_offset_ms));
    for (uint32_t i = 0; i < block->time; i++) {
        int64_t at = time_at(data.data + (size_t)i * block->time_bytes, block->time_bytes), offset;
        if (indices[i] >= block->type || at > -OLDEST_S)
            return ERR_CORRUPT;
        TRY(take_offset(types, indices[i], &offset));
        at = (at < OLDEST_S ? OLDEST_S : at) * 1000;
        if (zone->count > 0 && at < zone->changes[zone->count - 1].at_ms)
            return ERR_CORRUPT;
        TRY(add_change(zone, at, offset));
    }
    return 0;
}

static int take_rule(struct zone *zone, struct bytes in)
{
    char text[RULE_MAX_BYTES];
    struct rule rule;
    const uint8_t *end = in.size > 1 ? memchr(in.data + 1, '\n', in.size - 1) : NULL;
    if (in.size == 0 || in.data[0] != '\n' || end == NULL)
        return ERR_CORRUPT;
    size_t size = (size_t)(end - in.data) - 1;
    if (size == 0)
        return 0;
    if (size >= sizeof text || memchr(in.data + 1, 0, size) != NULL)
        return ERR_CORRUPT;
    memcpy(text, in.data + 1, size);
    text[size] = '\0';
    if (!parse_rule(text, &rule))
        return ERR_CORRUPT;
    return write_out_rule(zone, &rule);
}

static int parse(struct zone *zone, struct bytes in, struct diag *diag)
{
    uint8_t version;
    struct block block = {.time_bytes = 4};
    struct bytes skipped;
    TRY(take_header(&in, &version, &block));
    if (version >= '2') {
        TRY(take_bytes(&in, block_bytes(&block), &skipped));
        TRY(take_header(&in, &version, &block));
        block.time_bytes = 8;
    }
    if (block.leap > 0)
        return diag_set(diag, ERR_UNSUPPORTED, "the zone counts leap seconds (right/…)");
    TRY(take_block(zone, &in, &block));
    if (version >= '2')
        TRY(take_rule(zone, in));
    drop_idle_changes(zone);
    return 0;
}

int zone_parse(struct bytes file, struct zone **result, struct diag *diag)
{
    struct zone *zone = calloc(1, sizeof *zone);
    *result = NULL;
    if (zone == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a time zone");
    zone->cycle_end_ms = INT64_MAX;
    int rc = parse(zone, file, diag);
    if (rc < 0) {
        zone_close(zone);
        if (rc == ERR_CORRUPT)
            diag_set(diag, rc, "not a time zone file (TZif)");
        return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory for a time zone") : rc;
    }
    *result = zone;
    return 0;
}

void zone_close(struct zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->changes);
    free(zone);
}

/* ---- names ---- */

static const char *zone_dir(void)
{
    const char *dir = getenv("TZDIR");
    return dir != NULL && dir[0] != '\0' ? dir : "/usr/share/zoneinfo";
}

/* Words of letters, digits, '_', '+' and '-', parted by single slashes. */
static bool name_is_good(const char *name)
{
    size_t size = name != NULL ? strlen(name) : 0;
    if (size == 0 || size > NAME_MAX_BYTES || name[size - 1] == '/')
        return false;
    for (size_t i = 0; i < size; i++) {
        bool is_word = (name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= 'a' && name[i] <= 'z') ||
                       (name[i] >= '0' && name[i] <= '9') || strchr("_+-", name[i]) != NULL;
        if (!is_word && (name[i] != '/' || i == 0 || name[i - 1] == '/'))
            return false;
    }
    return true;
}

/* Letters without case, '_' as a blank: how many of them must change. */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[NAME_MAX_BYTES + 1];
    size_t n = strlen(b);
    for (uint32_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        uint32_t corner = row[0];
        row[0]++;
        for (size_t j = 0; j < n; j++) {
            bool same = (a[i] | 32) == (b[j] | 32) || (strchr("_ -", a[i]) && strchr("_ -", b[j]));
            uint32_t best = corner + !same;
            corner = row[j + 1];
            best = best < corner + 1 ? best : corner + 1;
            row[j + 1] = best < row[j] + 1 ? best : row[j] + 1;
        }
    }
    return row[n];
}

struct closest {
    const char *wanted;
    char name[NAME_MAX_BYTES + 1];
    uint32_t distance;
};

/* "Berlin" is as near to Europe/Berlin as to itself. */
static void consider(struct closest *closest, const char *name)
{
    const char *city = strrchr(name, '/');
    uint32_t away = distance(closest->wanted, name);
    if (city != NULL && strchr(closest->wanted, '/') == NULL) {
        uint32_t of_city = distance(closest->wanted, city + 1);
        away = of_city < away ? of_city : away;
    }
    if (away < closest->distance) {
        closest->distance = away;
        snprintf(closest->name, sizeof closest->name, "%s", name);
    }
}

static void walk(struct closest *closest, const char *folder, int depth)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", zone_dir(), folder);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char name[600];
        struct stat info;
        snprintf(name, sizeof name, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", entry->d_name);
        int size = snprintf(path, sizeof path, "%s/%s", zone_dir(), name);
        if (entry->d_name[0] < 'A' || entry->d_name[0] > 'Z' || strlen(name) > NAME_MAX_BYTES ||
            size >= (int)sizeof path || stat(path, &info) < 0)
            continue;
        if (S_ISDIR(info.st_mode) && depth < 3)
            walk(closest, name, depth + 1);
        else if (S_ISREG(info.st_mode) && name_is_good(name))
            consider(closest, name);
    }
    if (dir != NULL)
        closedir(dir);
}

static int unknown_zone(const char *name, struct diag *diag)
{
    struct closest closest = {.wanted = name, .distance = (uint32_t)strlen(name) / 3 + 1};
    struct stat info;
    if (stat(zone_dir(), &info) < 0)
        return diag_set(diag, ERR_NOT_FOUND,
                        "there is no zone database in %s\nhint: install the package tzdata, or set "
                        "TZDIR",
                        zone_dir());
    walk(&closest, "", 0);
    if (closest.name[0] == '\0')
        return diag_set(diag, ERR_NOT_FOUND,
                        "time zone \"%s\" is not known\nhint: names are like Europe/Berlin; %s "
                        "holds them",
                        name, zone_dir());
    return diag_set(diag, ERR_NOT_FOUND,
                    "time zone \"%s\" is not known\nhint: did you mean \"%s\"?", name,
                    closest.name);
}

int zone_open(const char *name, struct zone **zone, struct diag *diag)
{
    char path[1024], *file = NULL;
    size_t size = 0;
    struct stat info;
    *zone = NULL;
    if (!name_is_good(name)) {
        bool fits = name != NULL && strlen(name) <= NAME_MAX_BYTES && name[0] != '\0';
        return fits ? unknown_zone(name, diag)
                    : diag_set(diag, ERR_INVALID, "a time zone's name is like Europe/Berlin");
    }
    snprintf(path, sizeof path, "%s/%s", zone_dir(), name);
    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return unknown_zone(name, diag);
    TRY(io_read_file(path, FILE_MAX_BYTES, &file, &size, diag));
    int rc = zone_parse(bytes_of(file, size), zone, diag);
    free(file);
    return rc;
}

/* ---- asking ---- */

struct zone_span zone_span_at(const struct zone *zone, int64_t time_ms)
{
    int64_t moved_ms = 0;
    if (time_ms >= zone->cycle_end_ms) {
        moved_ms = ((time_ms - zone->cycle_end_ms) / CYCLE_MS + 1) * CYCLE_MS;
        time_ms -= moved_ms;
    }
    uint32_t low = 0, high = zone->count; /* changes[0 … low) are at or before the time */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_ms <= time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    struct zone_span span = {INT64_MIN, INT64_MAX, zone->first_offset_ms};
    if (low > 0) {
        span.from_ms = zone->changes[low - 1].at_ms + moved_ms;
        span.offset_ms = zone->changes[low - 1].offset_ms;
    }
    if (low < zone->count &&
        __builtin_add_overflow(zone->changes[low].at_ms, moved_ms, &span.to_ms))
        span.to_ms = INT64_MAX;
    return span;
}

uint64_t zone_hash(const struct zone *zone)
{
    uint64_t hash = hash64(&zone->first_offset_ms, sizeof zone->first_offset_ms);
    /* How far a rule is written out depends on the last change that the file lists. */
    int64_t end_ms = zone_days_of(2300, 1, 1) * 86400000;
    for (uint32_t i = 0; i < zone->count && zone->changes[i].at_ms < end_ms; i++) {
        uint64_t part[3] = {hash, (uint64_t)zone->changes[i].at_ms,
                            (uint64_t)zone->changes[i].offset_ms};
        hash = hash64(part, sizeof part);
    }
    return hash;
}
