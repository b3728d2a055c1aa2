/* bench_user_counts.c: events per user in five-minute windows, where the topic is already
 * partitioned by the user.
 *
 * Documents of exactly 195 bytes, 100,000 users drawn uniformly, time T0 + n/10 ms: 10,000 events a
 * second, so that a window holds three million events and thirty of each user, and every commit
 * changes most of the users it can reach. The record's key is the user and the topic says so
 * (weir.partitioned.by), so nothing is re-keyed.
 *
 * The check recounts from the generator's arithmetic: every (user, window) must be there with
 * exactly its count, and no other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/bench_harness.h"

enum { USERS = 100000, EVENT_BYTES = 195, WINDOW_MS = 300000, EVENTS_PER_MS = 10 };
#define T0_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z, on a window's start */

static uint32_t user_of(int64_t n)
{
    return (uint32_t)(bench_mix((uint64_t)n) >> 32) % USERS;
}

static char *put_digits(char *out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + count;
}

static char *put_text(char *out, const char *text)
{
    size_t size = strlen(text);
    memcpy(out, text, size);
    return out + size;
}

static void user_event(int64_t n, struct bench_event *event)
{
    static const char *const actions[] = {"view", "click", "search", "purchase"};
    uint64_t chance = bench_mix((uint64_t)n + (UINT64_C(1) << 40));
    event->timestamp_ms = T0_MS + n / EVENTS_PER_MS;
    char *key_end = put_digits(put_text(event->key, "user-"), user_of(n), 6);
    event->key_size = (size_t)(key_end - event->key);
    char *out = put_text(event->text, "{\"event_id\":\"");
    out = put_digits(out, (uint64_t)n, 12);
    out = put_text(out, "\",\"user\":\"");
    memcpy(out, event->key, event->key_size);
    out = put_text(out + event->key_size, "\",\"ts\":");
    out = put_digits(out, (uint64_t)event->timestamp_ms, 13);
    out = put_text(out, ",\"action\":\"");
    out = put_text(out, actions[chance & 3]);
    out = put_text(out, "\",\"page\":\"/products/");
    out = put_digits(out, chance >> 8 & 0xffff, 5);
    out = put_text(out, "\",\"duration_ms\":");
    out = put_digits(out, 10000 + (chance >> 32 & 0x3fff), 5);
    out = put_text(out, ",\"agent\":\"");
    /* The last field fills the document to its size. */
    static const char agent[] =
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 and more";
    size_t fill = EVENT_BYTES - (size_t)(out - event->text) - 2;
    must(fill < sizeof agent);
    memcpy(out, agent, fill);
    out = put_text(out + fill, "\"}");
    event->size = (size_t)(out - event->text);
    must(event->size == EVENT_BYTES);
}

static void user_build(weir_app *app)
{
    weir_stream *events = weir_source(app, "events", WEIR_JSON, "ts");
    weir_stream *users = weir_tumbling(weir_group_by(events, "\"user\""), WINDOW_MS);
    weir_to(weir_aggregate(users, "count(*) AS events"), "user-counts");
}

struct user_check {
    int64_t events;
    size_t windows;
    uint32_t *seen; /* [window][user]: the latest count of the output; 0: none */
};

static void *user_check_open(int64_t events)
{
    struct user_check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    check->windows = (size_t)((events - 1) / EVENTS_PER_MS / WINDOW_MS + 1);
    check->seen = calloc(check->windows * USERS, sizeof *check->seen);
    must(check->seen != NULL);
    return check;
}

static bool take_user(struct bytes *in, int64_t *user)
{
    struct bytes text;
    return bench_take_quoted(in, &text) && text.size == 11 && bench_take_text(&text, "user-") &&
           bench_take_number(&text, user) && text.size == 0 && *user < USERS;
}

static bool user_check_row(void *context, struct bytes key, struct bytes value, char *why,
                           size_t why_size)
{
    struct user_check *check = context;
    struct bytes rest = value, key_rest = key;
    int64_t user, start, end, events, key_user, key_start;
    bool ok = bench_take_text(&rest, "{\"user\":") && take_user(&rest, &user) &&
              bench_take_text(&rest, ",\"window_start\":") && bench_take_time(&rest, &start) &&
              bench_take_text(&rest, ",\"window_end\":") && bench_take_time(&rest, &end) &&
              bench_take_text(&rest, ",\"events\":") && bench_take_number(&rest, &events) &&
              bench_take_text(&rest, "}") && rest.size == 0 &&
              bench_take_text(&key_rest, "{\"user\":") && take_user(&key_rest, &key_user) &&
              bench_take_text(&key_rest, ",\"window_start\":") &&
              bench_take_time(&key_rest, &key_start) && bench_take_text(&key_rest, "}") &&
              key_rest.size == 0 && key_user == user && key_start == start &&
              end == start + WINDOW_MS && start >= T0_MS && (start - T0_MS) % WINDOW_MS == 0 &&
              (uint64_t)(start - T0_MS) / WINDOW_MS < check->windows && events <= UINT32_MAX;
    if (!ok) {
        snprintf(why, why_size, "unexpected row %.*s", (int)(value.size < 160 ? value.size : 160),
                 (const char *)value.data);
        return false;
    }
    check->seen[(size_t)(start - T0_MS) / WINDOW_MS * USERS + (size_t)user] = (uint32_t)events;
    return true;
}

static bool user_check_close(void *context, char *why, size_t why_size)
{
    struct user_check *check = context;
    uint32_t *expected = calloc(check->windows * USERS, sizeof *expected);
    must(expected != NULL);
    for (int64_t n = 0; n < check->events; n++)
        expected[(size_t)(n / EVENTS_PER_MS / WINDOW_MS) * USERS + user_of(n)]++;
    bool ok = true;
    for (size_t i = 0; ok && i < check->windows * USERS; i++)
        if (expected[i] != check->seen[i]) {
            snprintf(why, why_size, "window %zu user %zu: %u events, expected %u", i / USERS,
                     i % USERS, check->seen[i], expected[i]);
            ok = false;
        }
    free(expected);
    free(check->seen);
    free(check);
    return ok;
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
        .keys = USERS,
        .events = 15000000,
        .event = user_event,
        .build = user_build,
        .check_open = user_check_open,
        .check_row = user_check_row,
        .check_close = user_check_close,
    };
    return bench_main(&user_counts, argc, argv);
}
