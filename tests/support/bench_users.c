/* bench_users.c: documents about users and the job that counts them; see bench_users.h.
 *
 * Documents of exactly 195 bytes, users drawn uniformly, time T0 + n/10 ms: 10,000 events a second,
 * so that a window of five minutes holds three million events. The check recounts from the
 * generator's arithmetic. */
#include "tests/support/bench_users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"

enum {
    EVENT_BYTES = 195,
    USER_DIGITS = 8,
    USER_BYTES = 5 + USER_DIGITS,
    ID_BYTES = 12,
    WINDOW_MS = 300000,
    EVENTS_PER_MS = 10,
};
#define T0_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z, on a window's start */

uint32_t bench_user_of(uint32_t users, int64_t n)
{
    return (uint32_t)(bench_mix((uint64_t)n) >> 32) % users;
}

static uint64_t chance_of(int64_t n)
{
    return bench_mix((uint64_t)n + (UINT64_C(1) << 40));
}

int64_t bench_user_duration_ms(int64_t n)
{
    return 10000 + (int64_t)(chance_of(n) >> 32 & 0x3fff);
}

void bench_user_event(uint32_t users, bool by_event, int64_t n, struct bench_event *event)
{
    static const char *const actions[] = {"view", "click", "search", "purchase"};
    uint64_t chance = chance_of(n);
    char user[USER_BYTES], id[ID_BYTES];
    bench_put_digits(bench_put_text(user, "user-"), bench_user_of(users, n), USER_DIGITS);
    bench_put_digits(id, (uint64_t)n, ID_BYTES);
    event->key_size = by_event ? sizeof id : sizeof user;
    memcpy(event->key, by_event ? id : user, event->key_size);
    event->timestamp_ms = T0_MS + n / EVENTS_PER_MS;
    char *out = bench_put_text(event->text, "{\"event_id\":\"");
    memcpy(out, id, sizeof id);
    out += sizeof id;
    out = bench_put_text(out, "\",\"user\":\"");
    memcpy(out, user, sizeof user);
    out = bench_put_text(out + sizeof user, "\",\"ts\":");
    out = bench_put_digits(out, (uint64_t)event->timestamp_ms, 13);
    out = bench_put_text(out, ",\"action\":\"");
    out = bench_put_text(out, actions[chance & 3]);
    out = bench_put_text(out, "\",\"page\":\"/products/");
    out = bench_put_digits(out, chance >> 8 & 0xffff, 5);
    out = bench_put_text(out, "\",\"duration_ms\":");
    out = bench_put_digits(out, (uint64_t)bench_user_duration_ms(n), 5);
    out = bench_put_text(out, ",\"agent\":\"");
    /* The last field fills the document to its size. */
    static const char agent[] =
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 and more";
    size_t fill = EVENT_BYTES - (size_t)(out - event->text) - 2;
    must(fill < sizeof agent);
    memcpy(out, agent, fill);
    out = bench_put_text(out + fill, "\"}");
    event->size = (size_t)(out - event->text);
    must(event->size == EVENT_BYTES);
}

bool bench_take_user(struct bytes text, uint32_t users, int64_t *user)
{
    return text.size == USER_BYTES && bench_take_text(&text, "user-") &&
           bench_take_number(&text, user) && text.size == 0 && *user < users;
}

/* ---- events per user and window ---- */

void bench_user_counts_build(weir_app *app)
{
    weir_stream *events = weir_source(app, "events", WEIR_JSON, "ts");
    weir_stream *users = weir_tumbling(weir_group_by(events, "\"user\""), WINDOW_MS);
    weir_to(weir_aggregate(users, "count(*) AS events"), "user-counts");
}

const char bench_user_counts_sql[] =
    "CREATE TABLE events (\"user\" text, ts timestamptz) WITH (event_time = 'ts');"
    "CREATE MATERIALIZED VIEW counts WITH (topic = '" BENCH_USER_COUNTS_SQL_OUTPUT "') AS"
    " SELECT \"user\", window_start, window_end, count(*) AS events"
    " FROM tumble(events, ts, INTERVAL '5 minutes') GROUP BY \"user\", window_start, window_end;";

struct user_check {
    int64_t events;
    uint32_t users;
    size_t windows;
    uint32_t *seen; /* [window][user]: the latest count of the output; 0: none */
};

void *bench_user_counts_open(const struct bench_workload *workload, int64_t events)
{
    struct user_check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    check->users = (uint32_t)workload->variant;
    check->windows = (size_t)((events - 1) / EVENTS_PER_MS / WINDOW_MS + 1);
    check->seen = calloc(check->windows * check->users, sizeof *check->seen);
    must(check->seen != NULL);
    return check;
}

static bool take_quoted_user(struct bytes *in, uint32_t users, int64_t *user)
{
    struct bytes text;
    return bench_take_quoted(in, &text) && bench_take_user(text, users, user);
}

bool bench_user_counts_row(void *context, int32_t partition, struct bytes key, struct bytes value,
                           char *why, size_t why_size)
{
    (void)partition;
    struct user_check *check = context;
    struct bytes rest = value, key_rest = key;
    int64_t user, start, end, events, key_user, key_start;
    bool ok =
        bench_take_text(&rest, "{\"user\":") && take_quoted_user(&rest, check->users, &user) &&
        bench_take_text(&rest, ",\"window_start\":") && bench_take_time(&rest, &start) &&
        bench_take_text(&rest, ",\"window_end\":") && bench_take_time(&rest, &end) &&
        bench_take_text(&rest, ",\"events\":") && bench_take_number(&rest, &events) &&
        bench_take_text(&rest, "}") && rest.size == 0 && bench_take_text(&key_rest, "{\"user\":") &&
        take_quoted_user(&key_rest, check->users, &key_user) &&
        bench_take_text(&key_rest, ",\"window_start\":") &&
        bench_take_time(&key_rest, &key_start) && bench_take_text(&key_rest, "}") &&
        key_rest.size == 0 && key_user == user && key_start == start && end == start + WINDOW_MS &&
        start >= T0_MS && (start - T0_MS) % WINDOW_MS == 0 &&
        (uint64_t)(start - T0_MS) / WINDOW_MS < check->windows && events <= UINT32_MAX;
    if (!ok) {
        snprintf(why, why_size, "unexpected row %.*s", (int)(value.size < 160 ? value.size : 160),
                 (const char *)value.data);
        return false;
    }
    check->seen[(size_t)(start - T0_MS) / WINDOW_MS * check->users + (size_t)user] =
        (uint32_t)events;
    return true;
}

bool bench_user_counts_close(void *context, char *why, size_t why_size)
{
    struct user_check *check = context;
    uint32_t *expected = calloc(check->windows * check->users, sizeof *expected);
    must(expected != NULL);
    for (int64_t n = 0; n < check->events; n++)
        expected[(size_t)(n / EVENTS_PER_MS / WINDOW_MS) * check->users +
                 bench_user_of(check->users, n)]++;
    bool ok = true;
    for (size_t i = 0; ok && i < check->windows * check->users; i++)
        if (expected[i] != check->seen[i]) {
            snprintf(why, why_size, "window %zu user %zu: %u events, expected %u", i / check->users,
                     i % check->users, check->seen[i], expected[i]);
            ok = false;
        }
    free(expected);
    free(check->seen);
    free(check);
    return ok;
}
