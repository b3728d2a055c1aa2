/* bench_filter_map.c: a condition on one field, then three fields of what is left: rows in, rows out,
 * no state.
 *
 * The documents of user-counts without keys. 1 %: one row in a hundred is kept, so that decoding is
 * what counts. 100 %: the condition is true for every row, and each is written again as a new
 * document into lz4 batches. The condition is computed in both.
 *
 * The check: of each partition the rows must come in the order of their events, each must be exactly
 * the document that its event gives, and in all there must be as many as the condition keeps. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/error.h"
#include "tests/support/bench_users.h"

enum { USERS = 100000, PARTITIONS_MAX = 1024 };

static void user_event(const struct bench_workload *workload, int64_t n, struct bench_event *event)
{
    (void)workload;
    bench_user_event(USERS, false, n, event);
    event->key_size = 0;
}

static void build(weir_app *app, const char *condition)
{
    weir_stream *events = weir_source(app, "events", WEIR_JSON, NULL);
    weir_to(weir_map(weir_filter(events, condition),
                     "event_id, \"user\", duration_ms::bigint AS duration_ms"),
            "kept");
}
static void build_1(weir_app *app)
{
    build(app, "duration_ms::bigint % 100 = 0");
}
static void build_100(weir_app *app)
{
    build(app, "duration_ms::bigint % 100 < 100");
}

static bool is_kept(int64_t percent, int64_t n)
{
    return bench_user_duration_ms(n) % 100 < percent;
}

struct check {
    int64_t events, percent, rows;
    int64_t last[PARTITIONS_MAX]; /* by partition: the event of the last row, and 1; 0: none */
};

static void *check_open(const struct bench_workload *workload, int64_t events)
{
    struct check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    check->percent = workload->variant;
    return check;
}

static bool check_row(void *context, int32_t partition, struct bytes key, struct bytes value,
                      char *why, size_t why_size)
{
    struct check *check = context;
    struct bytes rest = value, id, user_text;
    int64_t n, user, duration_ms;
    bool ok = key.data == NULL && partition < PARTITIONS_MAX &&
              bench_take_text(&rest, "{\"event_id\":") && bench_take_quoted(&rest, &id) &&
              id.size == 12 && bench_take_number(&id, &n) && id.size == 0 &&
              bench_take_text(&rest, ",\"user\":") && bench_take_quoted(&rest, &user_text) &&
              bench_take_user(user_text, USERS, &user) &&
              bench_take_text(&rest, ",\"duration_ms\":") &&
              bench_take_number(&rest, &duration_ms) && bench_take_text(&rest, "}") &&
              rest.size == 0 && n < check->events && user == bench_user_of(USERS, n) &&
              duration_ms == bench_user_duration_ms(n) && is_kept(check->percent, n) &&
              n >= check->last[partition];
    if (!ok) {
        snprintf(why, why_size, "unexpected row %.*s after event %lld of partition %d",
                 (int)(value.size < 160 ? value.size : 160), (const char *)value.data,
                 (long long)check->last[partition] - 1, (int)partition);
        return false;
    }
    check->last[partition] = n + 1;
    check->rows++;
    return true;
}

static bool check_close(void *context, char *why, size_t why_size)
{
    struct check *check = context;
    int64_t expected = 0;
    for (int64_t n = 0; n < check->events; n++)
        expected += is_kept(check->percent, n);
    bool ok = check->rows == expected;
    if (!ok)
        snprintf(why, why_size, "%lld rows, expected %lld", (long long)check->rows,
                 (long long)expected);
    free(check);
    return ok;
}

#define VARIANT(kept, event_count)                                                                 \
    {                                                                                              \
        .name = "filter-map", .app = "filter-map", .topic = "events", .output = "kept",            \
        .fields = {"event_id", "user", "duration_ms"}, .variant_name = "percent",                  \
        .variant = (kept), .events = (event_count), .event = user_event, .build = build_##kept,    \
        .check_open = check_open, .check_row = check_row, .check_close = check_close,              \
    }

int main(int argc, char **argv)
{
    static const struct bench_workload variants[] = {
        VARIANT(1, 30000000),
        VARIANT(100, 15000000),
    };
    return bench_main(variants, sizeof variants / sizeof variants[0], argc, argv);
}
