/* bench_rekey.c: the job of user-counts over a topic that is keyed by something else.
 *
 * Documents, job and check are those of user-counts, but the record's key is the event's id, so that
 * a user's events lie in all partitions: each task counts what it read since the last commit, sends
 * one partial per user and commit through the repartition topic, and a second stage merges them. A
 * topic of one partition would need no re-keying; there are two for each thread. */
#include "tests/support/bench_users.h"

enum { USERS = 100000 };

static void user_event(const struct bench_workload *workload, int64_t n, struct bench_event *event)
{
    bench_user_event((uint32_t)workload->variant, true, n, event);
}

int main(int argc, char **argv)
{
    static const struct bench_workload rekey = {
        .name = "rekey",
        .app = "user-counts",
        .topic = "events",
        .output = "user-counts",
        .fields = {"user", "ts"},
        .variant_name = "keys",
        .variant = USERS,
        .events = 10000000,
        .partitions_per_thread = 2,
        .event = user_event,
        .build = bench_user_counts_build,
        .sql = bench_user_counts_sql,
        .sql_output = BENCH_USER_COUNTS_SQL_OUTPUT,
        .check_open = bench_user_counts_open,
        .check_row = bench_user_counts_row,
        .check_close = bench_user_counts_close,
    };
    return bench_main(&rekey, 1, argc, argv);
}
