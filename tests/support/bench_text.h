/* bench_text.h: what the benchmarks' generators write documents with, and their checks read results with. */
#ifndef WEIR_TESTS_BENCH_TEXT_H
#define WEIR_TESTS_BENCH_TEXT_H

#include "runtime/base/bytes.h"

/* A fixed 64-bit mix of n (splitmix64): the generators' only source of chance. */
uint64_t bench_mix(uint64_t n);
/* Both return the end of what they wrote; put_digits writes the last count digits of value. */
char *bench_put_text(char *out, const char *text);
char *bench_put_digits(char *out, uint64_t value, int count);
/* Reads text at the front of in: true and advanced when in starts with it. */
bool bench_take_text(struct bytes *in, const char *text);
/* Reads a non-negative integer at the front of in. */
bool bench_take_number(struct bytes *in, int64_t *number);
/* Reads a quoted text without escapes. */
bool bench_take_quoted(struct bytes *in, struct bytes *text);
/* Reads "2026-01-01T00:00:00.000Z" with its quotes. */
bool bench_take_time(struct bytes *in, int64_t *epoch_ms);

#endif
