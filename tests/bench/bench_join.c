/* bench_join.c: each row gets two columns of a table of 100,000 rows, and is written with them: raw → enriched.
 *
 * The documents of user-counts without keys, joined by user with a topic of upserts that was written
 * before them; every user has a row. The table is read into the task's store in the measured time.
 *
 * The check: of each partition the rows must come in the order of their events, each must be exactly
 * the document that its event and its user's row give, and all must be there. */
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

static void user_row(int64_t n, struct bench_event *row)
{
    row->timestamp_ms = 0;
    row->key_size = (size_t)snprintf(row->key, sizeof row->key, "user-%08lld", (long long)n);
    row->size = (size_t)snprintf(row->text, sizeof row->text,
                                 "{\"id\":\"user-%08lld\",\"plan\":\"plan-%lld\",\"score\":%lld,"
                                 "\"country\":\"nowhere\"}",
                                 (long long)n, (long long)(n % 7), (long long)(n * 3));
}

static void build(weir_app *app)
{
    weir_stream *events = weir_source(app, "events", WEIR_JSON, NULL);
    weir_stream *users = weir_table(app, "users", WEIR_JSON, "id::text AS id");
    weir_stream *joined =
        weir_join(events, users, WEIR_JOIN_INNER, "\"user\"", "plan, score::bigint AS score");
    weir_to(weir_map(joined, "event_id, \"user\", plan, score"), "enriched");
}

struct check {
    int64_t events, rows;
    int64_t last[PARTITIONS_MAX]; /* by partition: the event of the last row, and 1; 0: none */
};

static void *check_open(const struct bench_workload *workload, int64_t events)
{
    struct check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    (void)workload;
    return check;
}

static bool check_row(void *context, int32_t partition, struct bytes key, struct bytes value,
                      char *why, size_t why_size)
{
    struct check *check = context;
    struct bytes rest = value, id, user_text;
    int64_t n, user, plan, score;
    bool ok = key.data == NULL && partition < PARTITIONS_MAX &&
              bench_take_text(&rest, "{\"event_id\":") && bench_take_quoted(&rest, &id) &&
              id.size == 12 && bench_take_number(&id, &n) && id.size == 0 &&
              bench_take_text(&rest, ",\"user\":") && bench_take_quoted(&rest, &user_text) &&
              bench_take_user(user_text, USERS, &user) &&
              bench_take_text(&rest, ",\"plan\":\"plan-") && bench_take_number(&rest, &plan) &&
              bench_take_text(&rest, "\",\"score\":") && bench_take_number(&rest, &score) &&
              bench_take_text(&rest, "}") && rest.size == 0 && n < check->events &&
              user == bench_user_of(USERS, n) && plan == user % 7 && score == user * 3 &&
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
    bool ok = check->rows == check->events;
    if (!ok)
        snprintf(why, why_size, "%lld rows, expected %lld", (long long)check->rows,
                 (long long)check->events);
    free(check);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct bench_workload workload = {
        .name = "join",
        .app = "join",
        .topic = "events",
        .output = "enriched",
        .fields = {"event_id", "user"},
        .variant_name = "table_rows",
        .variant = USERS,
        .table = "users",
        .table_rows = USERS,
        .table_row = user_row,
        .events = 15000000,
        .event = user_event,
        .build = build,
        .check_open = check_open,
        .check_row = check_row,
        .check_close = check_close,
    };
    return bench_main(&workload, 1, argc, argv);
}
