/* kill_ledger.c: see the header.
 *
 * The model shares nothing with the engine: it reads the input log through log.h, takes rows apart
 * with sscanf, judges lateness with one variable per partition, and aggregates by sorting facts and
 * walking them. What it prints is compared byte for byte. */
#include "tests/support/kill_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { WINDOW_MS = 10000, LATENESS_MS = 2000, USERS = 20, REGIONS = 5 };
#define T0_MS INT64_C(1600000000000)

void kill_job(struct job *job)
{
    memset(job, 0, sizeof *job);
    job->app = KILL_APP;
    job_add(job, JOB_SOURCE, "in", "ts", 0);
    job_add(job, JOB_CHECK, "amount >= 0", "negative", 0);
    job_add(job, JOB_TO, "valid", NULL, 0);
    job_add(job, JOB_SOURCE, "valid", "ts", 0);
    job_add(job, JOB_LATENESS, NULL, NULL, LATENESS_MS);
    job_add(job, JOB_GROUP, "region", NULL, 0);
    job_add(job, JOB_WINDOW, NULL, NULL, WINDOW_MS);
    job_add(job, JOB_AGGREGATE,
            "count(*) AS n, sum(id) AS ids, sum(amount) AS total, min(id) AS low, max(id) AS high",
            NULL, 0);
    job_add(job, JOB_TO, "totals", NULL, 0);
    job_add(job, JOB_SOURCE, "valid", "ts", 0);
    job_add(job, JOB_LATENESS, NULL, NULL, LATENESS_MS);
    job_add(job, JOB_GROUP, "\"user\"", NULL, 0);
    job_add(job, JOB_WINDOW, NULL, NULL, WINDOW_MS);
    job_add(job, JOB_AGGREGATE,
            "count(*) AS n, sum(id) AS ids, sum(amount) AS total, min(id) AS low, max(id) AS high",
            NULL, 0);
    job_add(job, JOB_EMIT_FINAL, NULL, NULL, 0);
    job_add(job, JOB_TO, "finals", NULL, 0);
    job_add(job, JOB_SOURCE, "finals", "window_start", 0);
    job_add(job, JOB_GROUP, "\"user\"", NULL, 0);
    job_add(job, JOB_AGGREGATE, "count(*) AS windows, sum(n) AS n, sum(total) AS total", NULL, 0);
    job_add(job, JOB_TO, "rollup", NULL, 0);
}

uint64_t chance_next(struct chance *chance)
{
    uint64_t n = chance->state += 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
}

int64_t chance_below(struct chance *chance, int64_t limit)
{
    return (int64_t)(chance_next(chance) % (uint64_t)limit);
}

const char *kill_place(struct chance *chance)
{
    /* The others are of calls that jobs do not make: topics that are deleted or cut, groups, resets. */
    static const char *const of_jobs[] = {"commit_",  "checkpoint_", "restore_",  "close_",
                                          "state_",   "append.",     "flush.",    "decide.",
                                          "decision", "marker.",     "roll.",     "purge.",
                                          "compact.", "swap.",       "recovery.", "producer.open."};
    const char *const *points = weir_test_points();
    int64_t count = 0;
    while (points[count] != NULL)
        count++;
    for (;;) {
        const char *point = points[chance_below(chance, count)];
        for (size_t i = 0; i < sizeof of_jobs / sizeof of_jobs[0]; i++)
            if (strncmp(point, of_jobs[i], strlen(of_jobs[i])) == 0)
                return point;
    }
}

/* ---- input ---- */

void kill_input_create(struct log *log, struct kill_input *input)
{
    struct diag diag;
    must(topic_create(log, "in", KILL_PARTITIONS, NULL, 0, &diag) == 0);
    input->next_id = 1;
    for (int p = 0; p < KILL_PARTITIONS; p++)
        input->time_ms[p] = T0_MS;
}

static size_t make_row(struct kill_input *input, struct chance *chance, int partition, char *text,
                       size_t size)
{
    input->time_ms[partition] += chance_below(chance, 40);
    int64_t ts = input->time_ms[partition] - chance_below(chance, LATENESS_MS / 2);
    int64_t kind = chance_below(chance, 200), cents = chance_below(chance, 10000);
    if (kind < 3)
        ts -= 60000;
    const char *sign = kind >= 3 && kind < 8 ? "-" : "";
    int written = snprintf(
        text, size,
        "{\"id\":%lld,\"user\":\"u%02d\",\"region\":\"r%d\",\"amount\":%s%lld.%02lld,\"ts\":%lld%s",
        (long long)input->next_id++, (int)chance_below(chance, USERS),
        (int)chance_below(chance, REGIONS), sign, (long long)cents / 100 + 1,
        (long long)cents % 100, (long long)ts, kind == 8 ? "" : "}");
    must(written > 0 && (size_t)written < size);
    return (size_t)written;
}

void kill_input_append(struct log *log, struct kill_input *input, struct chance *chance, int rows)
{
    struct sender *sender;
    struct diag diag;
    /* Small batches, so that an index has something to find and a fetch something to cut. */
    struct sender_options options = {.batch_bytes = 4096};
    must(sender_open(log, "in", &options, &sender, &diag) == 0);
    for (int i = 0; i < rows; i++) {
        char text[256];
        int partition = (int)chance_below(chance, KILL_PARTITIONS);
        size_t size = make_row(input, chance, partition, text, sizeof text);
        must(sender_send(sender, partition, INT64_MIN, (struct bytes){NULL, 0},
                         bytes_of(text, size), (struct bytes){NULL, 0}, 0, &diag) == 0);
    }
    must(sender_flush(sender, true, &diag) == 0);
    sender_close(sender);
}

/* ---- the model ---- */

struct fact {
    int group;
    int64_t window_ms, id, cents;
};
struct facts {
    struct fact *items;
    size_t count, capacity;
};

static void add_fact(struct facts *facts, struct fact fact)
{
    if (facts->count == facts->capacity) {
        facts->capacity = facts->capacity ? facts->capacity * 2 : 1024;
        facts->items = realloc(facts->items, facts->capacity * sizeof *facts->items);
        must(facts->items != NULL);
    }
    facts->items[facts->count++] = fact;
}

static int compare_facts(const void *left, const void *right)
{
    const struct fact *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return a->window_ms < b->window_ms ? -1 : a->window_ms > b->window_ms;
}

struct row {
    int64_t id, cents, ts;
    int user, region;
    bool is_negative;
};

static bool parse_row(struct bytes value, struct row *row)
{
    char text[256], end[2] = "";
    long long id, whole, hundredths, ts;
    must(value.data != NULL && value.size < sizeof text);
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    int fields = sscanf(
        text,
        "{\"id\":%lld,\"user\":\"u%d\",\"region\":\"r%d\",\"amount\":%lld.%2lld,\"ts\":%lld%1[}]",
        &id, &row->user, &row->region, &whole, &hundredths, &ts, end);
    if (fields != 7)
        return false;
    /* No amount is between -1 and 0, so the sign is with the whole part. */
    *row = (struct row){id, whole * 100 + hundredths, ts, row->user, row->region, whole < 0};
    return true;
}

static void print_cents(char *text, size_t size, int64_t cents)
{
    snprintf(text, size, "%lld.%02lld", (long long)cents / 100, (long long)cents % 100);
}

/* One group and window: the pair as the topic has it. Returns the number of facts taken. */
static size_t fold(const struct facts *facts, size_t at, const char *column, const char *prefix,
                   char *key, char *value, size_t size)
{
    const struct fact *first = &facts->items[at];
    int64_t n = 0, ids = 0, cents = 0, low = INT64_MAX, high = 0;
    size_t next = at;
    for (; next < facts->count && compare_facts(first, &facts->items[next]) == 0; next++) {
        const struct fact *fact = &facts->items[next];
        n++;
        ids += fact->id;
        cents += fact->cents;
        low = fact->id < low ? fact->id : low;
        high = fact->id > high ? fact->id : high;
    }
    char start[40], end[40], total[40];
    start[time_format_iso(first->window_ms, start)] = '\0';
    end[time_format_iso(first->window_ms + WINDOW_MS, end)] = '\0';
    print_cents(total, sizeof total, cents);
    snprintf(key, size, "{\"%s\":\"%s%0*d\",\"window_start\":\"%s\"}", column, prefix,
             prefix[0] == 'u' ? 2 : 1, first->group, start);
    snprintf(value, size,
             "{\"%s\":\"%s%0*d\",\"window_start\":\"%s\",\"window_end\":\"%s\",\"n\":%lld,\"ids\":%"
             "lld,\"total\":%s,\"low\":%lld,\"high\":%lld}",
             column, prefix, prefix[0] == 'u' ? 2 : 1, first->group, start, end, (long long)n,
             (long long)ids, total, (long long)low, (long long)high);
    return next - at;
}

/* [window start, sign flipped, big-endian][5, length, text]: docs/formats-state.md. */
static void add_open(struct pairs *pairs, int64_t window_ms, const char *prefix, int group,
                     const char *value)
{
    uint8_t key[32];
    store_be64(key, (uint64_t)window_ms ^ (UINT64_C(1) << 63));
    int size = snprintf((char *)key + 10, sizeof key - 10, "%s%0*d", prefix,
                        prefix[0] == 'u' ? 2 : 1, group);
    key[8] = 5;
    key[9] = (uint8_t)size;
    pairs_add(pairs, bytes_of(key, 10 + (size_t)size), bytes_text(value));
}

static void build_rollup(const struct facts *facts, int64_t closed_before_ms, struct pairs *rollup)
{
    int64_t windows[USERS] = {0}, n[USERS] = {0}, cents[USERS] = {0};
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (fact->window_ms + WINDOW_MS > closed_before_ms)
            continue;
        windows[fact->group] += i == 0 || compare_facts(&facts->items[i - 1], fact) != 0;
        n[fact->group]++;
        cents[fact->group] += fact->cents;
    }
    for (int user = 0; user < USERS; user++) {
        char key[8], value[160], total[40];
        if (n[user] == 0)
            continue;
        print_cents(total, sizeof total, cents[user]);
        snprintf(key, sizeof key, "u%02d", user);
        snprintf(value, sizeof value,
                 "{\"user\":\"u%02d\",\"windows\":%lld,\"n\":%lld,\"total\":%s}", user,
                 (long long)windows[user], (long long)n[user], total);
        pairs_add_text(rollup, key, value);
    }
}

static void build_windows(struct facts *facts, const char *column, const char *prefix,
                          int64_t closed_before_ms, bool only_closed, struct pairs *results,
                          struct pairs *open)
{
    if (facts->count > 0)
        qsort(facts->items, facts->count, sizeof *facts->items, compare_facts);
    for (size_t i = 0; i < facts->count;) {
        char key[256], value[256];
        const struct fact *first = &facts->items[i];
        bool is_closed = first->window_ms + WINDOW_MS <= closed_before_ms;
        i += fold(facts, i, column, prefix, key, value, sizeof key);
        if (is_closed || !only_closed)
            pairs_add_text(results, key, value);
        if (!is_closed)
            add_open(open, first->window_ms, prefix, first->group, value);
    }
}

static void read_partition(struct log *log, int partition, struct kill_expected *expected,
                           struct facts *regions, struct facts *users, int64_t *watermark_ms)
{
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read_partition(log, "in", partition, 0, READ_COMMITTED, &rows, NULL);
    for (size_t i = 0; i < rows.count; i++) {
        struct row row;
        struct bytes value = rows.items[i].value, none = {NULL, 0};
        bool is_row = parse_row(value, &row);
        expected->rows_in++;
        if (!is_row || row.is_negative) {
            pairs_add(&expected->dead, bytes_text(is_row ? "negative" : "json_malformed"), value);
            continue;
        }
        pairs_add(&expected->valid[partition], none, value);
        if (row.ts - LATENESS_MS > *watermark_ms)
            *watermark_ms = row.ts - LATENESS_MS;
        int64_t window = row.ts - row.ts % WINDOW_MS;
        if (window + WINDOW_MS <= *watermark_ms) {
            pairs_add(&expected->late, none, value);
            continue;
        }
        add_fact(regions, (struct fact){row.region, window, row.id, row.cents});
        add_fact(users, (struct fact){row.user, window, row.id, row.cents});
    }
    topic_rows_deinit(&rows);
}

void kill_expected_build(struct log *log, bool closed, struct kill_expected *expected)
{
    struct facts regions = {0}, users = {0};
    int64_t lowest = INT64_MAX;
    memset(expected, 0, sizeof *expected);
    struct pairs *all[] = {&expected->totals,      &expected->finals,   &expected->rollup,
                           &expected->late,        &expected->dead,     &expected->open_totals,
                           &expected->open_finals, &expected->valid[0], &expected->valid[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        pairs_init(all[i]);
    for (int p = 0; p < KILL_PARTITIONS; p++) {
        int64_t watermark = INT64_MIN;
        read_partition(log, p, expected, &regions, &users, &watermark);
        lowest = watermark < lowest ? watermark : lowest;
    }
    int64_t closed_before = closed ? INT64_MAX : lowest;
    build_windows(&regions, "region", "r", closed_before, false, &expected->totals,
                  &expected->open_totals);
    build_windows(&users, "user", "u", closed_before, true, &expected->finals,
                  &expected->open_finals);
    build_rollup(&users, closed_before, &expected->rollup);
    free(regions.items);
    free(users.items);
}

void kill_expected_free(struct kill_expected *expected)
{
    struct pairs *all[] = {&expected->totals,      &expected->finals,   &expected->rollup,
                           &expected->late,        &expected->dead,     &expected->open_totals,
                           &expected->open_finals, &expected->valid[0], &expected->valid[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        pairs_deinit(all[i]);
}
