/* clock.h: the wall clock in epoch milliseconds and a monotonic clock. Tests may replace the wall clock, or let both stand still and move
 * them by hand. */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "runtime/base/bytes.h"

int64_t clock_wall_ms(void);
int64_t clock_mono_ns(void);
static inline int64_t clock_mono_ms(void) { return clock_mono_ns() / 1000000; }
/* Tests: from now on clock_wall_ms returns what now() returns; NULL restores the system's clock. */
void clock_wall_replace(int64_t (*now)(void));

/* The virtual clock, of the whole process: from start on the wall clock shows wall_ms and the monotonic clock some time after its beginning,
 * and both stand still but for clock_virtual_advance (milliseconds >= 0) and for waits: who waits with a limit has waited at once, and the
 * clock shows when. It is for engines that one thread drives; start, advance and stop belong to that thread. */
void clock_virtual_start(int64_t wall_ms);
void clock_virtual_advance(int64_t ms);
void clock_virtual_stop(void);
bool clock_is_virtual(void);
/* Waits on a condition of the monotonic clock until clock_mono_ns shows until_ns (INT64_MAX: without limit). 0, or ETIMEDOUT. */
int clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);
void clock_sleep_until(int64_t until_ns);

/* Epoch milliseconds ↔ ISO 8601 in UTC. Format: 2026-01-01T00:00:00.000Z (24 bytes for years 0000–9999; years outside
 * print with a sign and as many digits as needed, ISO 8601 expanded form). text holds at least 40 bytes; returns the length. */
size_t time_format_iso(int64_t epoch_ms, char *text);
/* Accepts YYYY-MM-DD, YYYY-MM-DD[T ]HH:MM[:SS[.fraction]] with Z, ±HH, ±HH:MM, ±HHMM or nothing (= UTC), proleptic Gregorian;
 * digits beyond milliseconds are cut towards minus infinity. Returns 0 or ERR_INVALID. */
int time_parse_iso(struct bytes text, int64_t *epoch_ms);

#endif
