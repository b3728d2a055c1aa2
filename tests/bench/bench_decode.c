/* bench_decode.c: what decoding JSON costs, next to the fastest that simdjson alone can walk the
 * same fields.
 *
 * Two kinds of events, as the engine's benchmarks use them: 195-byte events with a user (fields
 * user and ts asked), and the 254-byte advertising events of the Yahoo streaming benchmark (ad_id,
 * event_type and event_time asked). Batches of 4096 lie in memory like the values of a fetched
 * batch: apart from each other, not padded. The limit reads the same documents as one NDJSON
 * buffer. Both are run in turns, so that a busy machine slows both alike; the best of all turns
 * counts. Prints one line of JSON per kind: ns per event of the limit and of json_decode, and limit
 * ÷ decode. */
#include <stdio.h>
#include <stdlib.h>

#include "operators/expr.h"
#include "operators/json_decode.h"
#include "runtime/base/clock.h"

enum { TURNS = 400, EVENT_BYTES = 512, GAP_BYTES = 12 };

struct workload {
    const char *name;
    void (*event)(char *text, uint32_t n);
    struct field_path paths[3];
    uint32_t path_count;
};

static uint32_t random_state = 1;

static uint32_t random_next(void)
{
    return random_state = random_state * 1664525 + 1013904223;
}

static void uuid(char text[37])
{
    for (int i = 0; i < 36; i++)
        text[i] =
            i == 8 || i == 13 || i == 18 || i == 23 ? '-' : "0123456789abcdef"[random_next() >> 28];
    text[36] = 0;
}

static void user_event(char *text, uint32_t n)
{
    char id[37];
    uuid(id);
    snprintf(text, EVENT_BYTES,
             "{\"event_id\":\"%s\",\"user\":\"user-%06u\",\"ts\":%llu,\"amount\":%u.%02u,"
             "\"page\":\"/products/%02u/item-%05u?ref=newsletter-2024\",\"country\":\"France\","
             "\"action\":\"click\"}",
             id, random_next() % 100000, 1700000000000ULL + n, 10 + random_next() % 90, n % 100,
             n % 100, n % 100000);
}

static void ysb_event(char *text, uint32_t n)
{
    static const char *const ads[] = {"banner", "modal", "sponsored-search", "mail", "mobile"};
    static const char *const types[] = {"view", "click", "purchase"};
    char user[37], page[37], ad[37];
    uuid(user);
    uuid(page);
    uuid(ad);
    snprintf(
        text, EVENT_BYTES,
        "{\"user_id\":\"%s\",\"page_id\":\"%s\",\"ad_id\":\"%s\",\"ad_type\":\"%s\","
        "\"event_type\":\"%s\",\"event_time\":\"%llu\",\"ip_address\":\"2001:db8::203:113:254\"}",
        user, page, ad, ads[n % 5], types[n % 3], 1700000000000ULL + n * 10ULL);
}

struct input {
    struct bytes docs[BATCH_ROWS];
    char *values, *ndjson;
    size_t ndjson_bytes;
};

static void input_make(struct input *input, const struct workload *workload)
{
    size_t room = BATCH_ROWS * (size_t)EVENT_BYTES;
    input->values = calloc(1, room);
    input->ndjson = calloc(1, room);
    must(input->values != NULL && input->ndjson != NULL);
    char *value = input->values;
    for (uint32_t n = 0; n < BATCH_ROWS; n++) {
        workload->event(value, n);
        size_t size = strlen(value);
        input->docs[n] = bytes_of(value, size);
        memcpy(input->ndjson + input->ndjson_bytes, value, size);
        input->ndjson_bytes += size;
        input->ndjson[input->ndjson_bytes++] = '\n';
        value += size + GAP_BYTES;
    }
}

static void run(const struct workload *workload)
{
    const struct field_path *paths[3];
    for (uint32_t i = 0; i < workload->path_count; i++)
        paths[i] = &workload->paths[i];
    struct input *input = calloc(1, sizeof(*input));
    struct json_decoder *decoder;
    struct diag diag;
    must(input != NULL && json_decoder_create(paths, workload->path_count, &decoder, &diag) == 0);
    input_make(input, workload);

    int64_t limit_ns = INT64_MAX, decode_ns = INT64_MAX;
    uint64_t sum = 0;
    struct arena arena;
    arena_init(&arena, 0);
    for (int turn = 0; turn < TURNS; turn++) {
        int64_t start = clock_mono_ns();
        int64_t count = json_parse_limit(paths, workload->path_count,
                                         (const uint8_t *)input->ndjson, input->ndjson_bytes, &sum);
        int64_t middle = clock_mono_ns();
        struct column columns[3];
        struct reject_list rejects = {.arena = &arena};
        int rc = json_decode(decoder, input->docs, BATCH_ROWS, false, &arena, columns, &rejects);
        int64_t end = clock_mono_ns();
        must(count == BATCH_ROWS && rc == 0 && rejects.count == 0);
        must(columns[0].variant[BATCH_ROWS - 1].kind == VARIANT_TEXT);
        limit_ns = middle - start < limit_ns ? middle - start : limit_ns;
        decode_ns = end - middle < decode_ns ? end - middle : decode_ns;
        arena_reset(&arena);
    }
    printf("{\"workload\":\"decode\",\"events\":\"%s\",\"event_bytes\":%zu,\"limit_ns\":%.1f,"
           "\"decode_ns\":%.1f,"
           "\"ratio\":%.2f}\n",
           workload->name, input->ndjson_bytes / BATCH_ROWS - 1, (double)limit_ns / BATCH_ROWS,
           (double)decode_ns / BATCH_ROWS, (double)limit_ns / (double)decode_ns);
    arena_deinit(&arena);
    json_decoder_destroy(decoder);
    free(input->values);
    free(input->ndjson);
    free(input);
}

int main(void)
{
    static const struct workload workloads[] = {
        {"user-events", user_event, {{{"user"}, 1}, {{"ts"}, 1}}, 2},
        {"ysb", ysb_event, {{{"ad_id"}, 1}, {{"event_type"}, 1}, {{"event_time"}, 1}}, 3},
    };
    for (size_t i = 0; i < sizeof(workloads) / sizeof(*workloads); i++)
        run(&workloads[i]);
    return 0;
}
