/* zone.h: named time zones: the offset of local clocks from UTC at any instant.
 *
 * Rules come from the system's zone database (TZif files, RFC 8536) in $TZDIR or /usr/share/zoneinfo and are read once, when a zone is
 * opened. A zone is immutable and shared by threads. Times are milliseconds since 1970-01-01 UTC; the wall clock is a time of the same kind,
 * as if local were UTC. */
#ifndef WEIR_OPERATORS_ZONE_H
#define WEIR_OPERATORS_ZONE_H

#include <stdint.h>

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

#define ZONE_OFFSET_MAX_MS (26 * INT64_C(3600000)) /* no clock is further from UTC */

struct zone;
/* ERR_NOT_FOUND with a suggestion, ERR_CORRUPT, ERR_NOMEM, ERR_IO. */
int zone_open(const char *name, struct zone **zone, struct diag *diag);
/* The same from the bytes of a TZif file. */
int zone_parse(struct bytes file, struct zone **zone, struct diag *diag);
void zone_close(struct zone *zone);

/* A span of time with one offset: [from_ms, to_ms), INT64_MIN and INT64_MAX at the ends. Neighbours have different offsets. */
struct zone_span {
    int64_t from_ms, to_ms, offset_ms;
};
struct zone_span zone_span_at(const struct zone *zone, int64_t time_ms);
/* Of all offsets and the instants at which they change: equal for equal rules, however they were written down. */
uint64_t zone_hash(const struct zone *zone);

/* Days since 1970-01-01 in the proleptic Gregorian calendar, month 1 to 12; and back. */
int64_t zone_days_of(int64_t year, int month, int day);
void zone_date_of(int64_t days, int64_t *year, int *month);

#endif
