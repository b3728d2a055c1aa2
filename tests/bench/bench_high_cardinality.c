/* bench_high_cardinality.c: count and sum per user without a window, over more users than memory
 * holds.
 *
 * The documents of user-counts; the topic is partitioned by the user. With so many users nearly every
 * event of a commit has a user of its own: nothing is saved by counting before writing, and each
 * event costs a changelog record and a result. At 10,000,000 users the table does not fit the
 * memory budget (256 MiB, the default), so that most users are read from the store when they come
 * up again; anonymous memory must stay inside the budget and 64 MiB for everything else.
 *
 * The check recounts: every user must be there with its last count and sum, and no other. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/error.h"
#include "tests/support/bench_users.h"

#define MEMORY_LIMIT_MB ((256 + 64) * 1.048576)

static void user_event(const struct bench_workload *workload, int64_t n, struct bench_event *event)
{
    bench_user_event((uint32_t)workload->variant, false, n, event);
}

static void build(weir_app *app)
{
    weir_stream *users = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "\"user\"");
    weir_to(weir_aggregate(users, "count(*) AS events, sum(duration_ms::bigint) AS total_ms"),
            "user-totals");
}

struct totals {
    int64_t total_ms;
    uint32_t events;
};

struct check {
    int64_t events;
    uint32_t users;
    struct totals *seen; /* by user: the latest of the output */
};

static void *check_open(const struct bench_workload *workload, int64_t events)
{
    struct check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    check->users = (uint32_t)workload->variant;
    check->seen = calloc(check->users, sizeof *check->seen);
    must(check->seen != NULL);
    return check;
}

static bool check_row(void *context, int32_t partition, struct bytes key, struct bytes value,
                      char *why, size_t why_size)
{
    struct check *check = context;
    struct bytes rest = value, name;
    int64_t user, key_user, events, total_ms;
    (void)partition;
    if (!bench_take_text(&rest, "{\"user\":") || !bench_take_quoted(&rest, &name) ||
        !bench_take_user(name, check->users, &user) ||
        !bench_take_user(key, check->users, &key_user) || user != key_user ||
        !bench_take_text(&rest, ",\"events\":") || !bench_take_number(&rest, &events) ||
        !bench_take_text(&rest, ",\"total_ms\":") || !bench_take_number(&rest, &total_ms) ||
        !bench_take_text(&rest, "}") || rest.size > 0 || events > UINT32_MAX) {
        snprintf(why, why_size, "unexpected row %.*s", (int)(value.size < 160 ? value.size : 160),
                 (const char *)value.data);
        return false;
    }
    check->seen[user] = (struct totals){total_ms, (uint32_t)events};
    return true;
}

static bool check_close(void *context, char *why, size_t why_size)
{
    struct check *check = context;
    struct totals *expected = calloc(check->users, sizeof *expected);
    must(expected != NULL);
    for (int64_t n = 0; n < check->events; n++) {
        struct totals *totals = &expected[bench_user_of(check->users, n)];
        totals->events++;
        totals->total_ms += bench_user_duration_ms(n);
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < check->users; i++)
        if (expected[i].events != check->seen[i].events ||
            expected[i].total_ms != check->seen[i].total_ms) {
            snprintf(why, why_size, "user %u: %u events, %lld ms, expected %u, %lld", i,
                     check->seen[i].events, (long long)check->seen[i].total_ms, expected[i].events,
                     (long long)expected[i].total_ms);
            ok = false;
        }
    free(expected);
    free(check->seen);
    free(check);
    return ok;
}

#define VARIANT(user_count, event_count)                                                           \
    {                                                                                              \
        .name = "high-cardinality", .app = "user-totals", .topic = "events",                       \
        .output = "user-totals", .partitioned_by = "user", .fields = {"user", "duration_ms"},      \
        .variant_name = "keys", .variant = (user_count), .events = (event_count),                  \
        .memory_limit_mb = MEMORY_LIMIT_MB, .event = user_event, .build = build,                   \
        .check_open = check_open, .check_row = check_row, .check_close = check_close,              \
    }

int main(int argc, char **argv)
{
    static const struct bench_workload variants[] = {
        VARIANT(1000000, 15000000),
        VARIANT(10000000, 30000000),
    };
    return bench_main(variants, sizeof variants / sizeof variants[0], argc, argv);
}
