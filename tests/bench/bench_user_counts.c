/* bench_user_counts.c: events per user in five-minute windows, where the topic is already
 * partitioned by the user.
 *
 * The documents and the check are those of tests/support/bench_users.c: 195 bytes, 100,000 users
 * drawn uniformly, thirty events of each in a window, and every commit changes most of the users it
 * can reach. The record's key is the user and the topic says so (weir.partitioned.by), so nothing is
 * re-keyed. */
#include "tests/support/bench_users.h"

enum { USERS = 100000 };

static void user_event(const struct bench_workload *workload, int64_t n, struct bench_event *event)
{
    bench_user_event((uint32_t)workload->variant, false, n, event);
}

int main(int argc, char **argv)
{
    static const struct bench_workload user_counts = {
        .name = "user-counts",
        .app = "user-counts",
        .topic = "events",
        .output = "user-counts",
        .partitioned_by = "user",
        .fields = {"user", "ts"},
        .variant_name = "keys",
        .variant = USERS,
        .events = 15000000,
        .event = user_event,
        .build = bench_user_counts_build,
        .sql = bench_user_counts_sql,
        .sql_output = BENCH_USER_COUNTS_SQL_OUTPUT,
        .check_open = bench_user_counts_open,
        .check_row = bench_user_counts_row,
        .check_close = bench_user_counts_close,
    };
    return bench_main(&user_counts, 1, argc, argv);
}
