/* bench_ysb.c: the Yahoo streaming benchmark, catch-up mode.
 *
 * Events as the benchmark's own generator writes them (yahoo/streaming-benchmarks,
 * data/src/setup/core.clj): user_id, page_id and ad_id are UUIDs, ad_type one of five, event_type
 * view, click or purchase, event_time epoch milliseconds as a text; 253 bytes on average, 254 with
 * a line feed. 100 campaigns of 10 ads. Event n has type n mod 3 and time T0 + n/100 ms.
 *
 * The job keeps views, finds the campaign of each ad and counts per campaign and 10 seconds. The
 * original looks the campaign up in a table; there are no joins yet, so here an ad's id begins with
 * its campaign (the first 8 hexadecimal digits), which a SQL expression can take: the work per
 * event is a text function instead of a probe into 1,000 rows.
 *
 * The check recounts from the generator's arithmetic: every (campaign, window) must be there with
 * exactly its count, and no other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"
#include "tests/support/bench_harness.h"

enum {
    CAMPAIGNS = 100,
    ADS_PER_CAMPAIGN = 10,
    ADS = CAMPAIGNS * ADS_PER_CAMPAIGN,
    TYPES = 3,
    WINDOW_MS = 10000,
    EVENTS_PER_MS = 100
};
#define T0_MS INT64_C(1700000000000) /* on a window's start */

static const char digits[] = "0123456789abcdef";

static char *put_hex(char *out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--)
        *out++ = digits[value >> (4 * i) & 15];
    return out;
}

/* first: the 8 digits of the first group. */
static char *put_uuid(char *out, uint32_t first, uint64_t seed)
{
    uint64_t rest = bench_mix(seed);
    out = put_hex(out, first, 8);
    *out++ = '-';
    out = put_hex(out, rest >> 48, 4);
    out = bench_put_text(out, "-4");
    out = put_hex(out, rest >> 36 & 0xfff, 3);
    *out++ = '-';
    out = put_hex(out, 0x8000 | (rest >> 20 & 0x3fff), 4);
    *out++ = '-';
    return put_hex(out, rest ^ rest << 24, 12);
}

static uint32_t campaign_id(uint32_t campaign)
{
    return (uint32_t)(bench_mix(campaign + 77) >> 32);
}
static uint32_t ad_of(int64_t n)
{
    return (uint32_t)(bench_mix((uint64_t)n * 8 + 1) >> 33) % ADS;
}

static void ysb_event(const struct bench_workload *workload, int64_t n, struct bench_event *event)
{
    (void)workload;
    static const char *const ad_types[] = {"banner", "modal", "sponsored-search", "mail", "mobile"};
    static const char *const event_types[TYPES] = {"view", "click", "purchase"};
    uint64_t chance = (uint64_t)n * 8;
    uint32_t ad = ad_of(n);
    event->timestamp_ms = T0_MS + n / EVENTS_PER_MS;
    char *out = bench_put_text(event->text, "{\"user_id\": \"");
    out = put_uuid(out, (uint32_t)bench_mix(chance + 2), chance + 3);
    out = bench_put_text(out, "\", \"page_id\": \"");
    out = put_uuid(out, (uint32_t)bench_mix(chance + 4), chance + 5);
    out = bench_put_text(out, "\", \"ad_id\": \"");
    out = put_uuid(out, campaign_id(ad / ADS_PER_CAMPAIGN), ad);
    out = bench_put_text(out, "\", \"ad_type\": \"");
    out = bench_put_text(out, ad_types[bench_mix(chance + 6) % 5]);
    out = bench_put_text(out, "\", \"event_type\": \"");
    out = bench_put_text(out, event_types[n % TYPES]);
    out = bench_put_text(out, "\", \"event_time\": \"");
    out += sprintf(out, "%lld", (long long)event->timestamp_ms);
    out = bench_put_text(out, "\", \"ip_address\": \"1.2.3.4\"}");
    event->size = (size_t)(out - event->text);
    event->key_size = 0;
}

static void ysb_build(weir_app *app)
{
    weir_stream *events = weir_source(app, "ad-events", WEIR_JSON, "event_time");
    weir_stream *views = weir_filter(events, "event_type = 'view'");
    weir_stream *campaigns = weir_group_by(views, "substr(ad_id, 1, 8) AS campaign");
    weir_to(weir_aggregate(weir_tumbling(campaigns, WINDOW_MS), "count(*) AS views"),
            "campaign-views");
}

struct ysb_check {
    int64_t events;
    size_t windows;
    int64_t *seen; /* [window][campaign]: the latest count of the output; 0: none */
};

static void *ysb_check_open(const struct bench_workload *workload, int64_t events)
{
    (void)workload;
    struct ysb_check *check = calloc(1, sizeof *check);
    must(check != NULL);
    check->events = events;
    check->windows = (size_t)((events - 1) / EVENTS_PER_MS / WINDOW_MS + 1);
    check->seen = calloc(check->windows * CAMPAIGNS, sizeof *check->seen);
    must(check->seen != NULL);
    return check;
}

static int find_campaign(struct bytes text)
{
    char id[9];
    for (uint32_t i = 0; i < CAMPAIGNS; i++) {
        *put_hex(id, campaign_id(i), 8) = '\0';
        if (bytes_equal(text, bytes_text(id)))
            return (int)i;
    }
    return -1;
}

static bool ysb_check_row(void *context, int32_t partition, struct bytes key, struct bytes value,
                          char *why, size_t why_size)
{
    (void)partition;
    struct ysb_check *check = context;
    struct bytes campaign, rest = value, key_rest = key, key_campaign;
    int64_t start, end, views, key_start;
    int index;
    bool ok = bench_take_text(&rest, "{\"campaign\":") && bench_take_quoted(&rest, &campaign) &&
              bench_take_text(&rest, ",\"window_start\":") && bench_take_time(&rest, &start) &&
              bench_take_text(&rest, ",\"window_end\":") && bench_take_time(&rest, &end) &&
              bench_take_text(&rest, ",\"views\":") && bench_take_number(&rest, &views) &&
              bench_take_text(&rest, "}") && rest.size == 0 &&
              bench_take_text(&key_rest, "{\"campaign\":") &&
              bench_take_quoted(&key_rest, &key_campaign) &&
              bench_take_text(&key_rest, ",\"window_start\":") &&
              bench_take_time(&key_rest, &key_start) && bench_take_text(&key_rest, "}") &&
              key_rest.size == 0 && bytes_equal(campaign, key_campaign) && key_start == start &&
              end == start + WINDOW_MS && start >= T0_MS && (start - T0_MS) % WINDOW_MS == 0 &&
              (uint64_t)(start - T0_MS) / WINDOW_MS < check->windows &&
              (index = find_campaign(campaign)) >= 0;
    if (!ok) {
        snprintf(why, why_size, "unexpected row %.*s", (int)(value.size < 160 ? value.size : 160),
                 (const char *)value.data);
        return false;
    }
    check->seen[(size_t)(start - T0_MS) / WINDOW_MS * CAMPAIGNS + (size_t)index] = views;
    return true;
}

static bool ysb_check_close(void *context, char *why, size_t why_size)
{
    struct ysb_check *check = context;
    int64_t *expected = calloc(check->windows * CAMPAIGNS, sizeof *expected);
    must(expected != NULL);
    for (int64_t n = 0; n < check->events; n += TYPES)
        expected[(size_t)(n / EVENTS_PER_MS / WINDOW_MS) * CAMPAIGNS +
                 ad_of(n) / ADS_PER_CAMPAIGN]++;
    bool ok = true;
    for (size_t i = 0; ok && i < check->windows * CAMPAIGNS; i++)
        if (expected[i] != check->seen[i]) {
            snprintf(why, why_size, "window %zu campaign %zu: %lld views, expected %lld",
                     i / CAMPAIGNS, i % CAMPAIGNS, (long long)check->seen[i],
                     (long long)expected[i]);
            ok = false;
        }
    free(expected);
    free(check->seen);
    free(check);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct bench_workload ysb = {
        .name = "ysb",
        .app = "ysb",
        .topic = "ad-events",
        .output = "campaign-views",
        .fields = {"ad_id", "event_type", "event_time"},
        .variant_name = "keys",
        .variant = CAMPAIGNS,
        .events = 30000000,
        .event = ysb_event,
        .build = ysb_build,
        .sql = "CREATE TABLE events (ad_id text, event_type text, event_time timestamptz)"
               " WITH (topic = 'ad-events', event_time = 'event_time');"
               "CREATE MATERIALIZED VIEW campaign_views WITH (topic = 'sql-views') AS"
               " SELECT substr(ad_id, 1, 8) AS campaign, window_start, window_end,"
               " count(*) AS views FROM tumble(events, event_time, INTERVAL '10 seconds')"
               " WHERE event_type = 'view' GROUP BY campaign, window_start, window_end;",
        .sql_output = "sql-views",
        .check_open = ysb_check_open,
        .check_row = ysb_check_row,
        .check_close = ysb_check_close,
    };
    return bench_main(&ysb, 1, argc, argv);
}
