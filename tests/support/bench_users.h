/* bench_users.h: what users do, in documents of 195 bytes: the events of several benchmarks, and the job that counts them. */
#ifndef WEIR_TESTS_BENCH_USERS_H
#define WEIR_TESTS_BENCH_USERS_H

#include "tests/support/bench_harness.h"

/* Document n of `users` users drawn uniformly: event_id (12 digits of n), user ("user-" and 8 digits), ts (T0 + n/10 ms), action, page, duration_ms
 * (10,000 to 26,383), agent. The record's key is the user, or the event_id when by_event. */
void bench_user_event(uint32_t users, bool by_event, int64_t n, struct bench_event *event);
uint32_t bench_user_of(uint32_t users, int64_t n);
int64_t bench_user_duration_ms(int64_t n);
/* Reads "user-00000042": the number. */
bool bench_take_user(struct bytes text, uint32_t users, int64_t *user);

/* Events per user and five minutes, written to "user-counts", with its check: every (user, window) must be there with exactly its count, and
 * no other. The variant of the workload is the number of users. */
void bench_user_counts_build(weir_app *app);
extern const char bench_user_counts_sql[]; /* to BENCH_USER_COUNTS_SQL_OUTPUT */
#define BENCH_USER_COUNTS_SQL_OUTPUT "sql-counts"
void *bench_user_counts_open(const struct bench_workload *workload, int64_t events);
bool bench_user_counts_row(void *check, int32_t partition, struct bytes key, struct bytes value, char *why, size_t why_size);
bool bench_user_counts_close(void *check, char *why, size_t why_size);

#endif
