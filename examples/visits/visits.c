/* visits.c: what the customers of an online shop do, from its books as they were exported: CSV.
 *
 *     retail-lines ──branch──▶ cancelled lines ─────────────▶ cancellations   plain text
 *                    │
 *                    └──▶ sold lines ──sessions───────────▶ visits          CSV
 *                            ├──hopping windows──▶ line-values     JSON: quantiles
 *                            └──words, days──────▶ words           JSON
 *
 * A visit is what one customer buys with pauses of at most half an hour: a session window. The
 * values of lines are looked at in windows of two hours, every half hour, and what SQL has no
 * aggregate for, a median that never keeps the rows, is one in C: a histogram whose buckets are at
 * most an eighth of their value wide, in plain memory that weir stores, merges and sends between
 * partitions.
 * The words of what was sold are taken apart by a flat-map in C, and counted by days in London.
 *
 * All of it reads one topic and commits as one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/example_job.h"

/* ---- the words of a description ---- */

enum { WORD_BYTES_MIN = 4, WORD_BYTES_MAX = 31 };

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* One row for each word of at least four letters, in lower case: its text and the quantity. */
static int split_words(void *context, weir_call *call, const weir_value *values, size_t count)
{
    const char *text = values[0].text.data;
    size_t size = values[0].type == WEIR_TEXT ? values[0].text.size : 0;
    (void)context;
    (void)count;
    for (size_t i = 0; i < size;) {
        char word[WORD_BYTES_MAX];
        size_t letters = 0;
        for (; i < size && is_letter(text[i]); i++)
            if (letters < sizeof word)
                word[letters++] = (char)(text[i] | 0x20);
        i += i < size && !is_letter(text[i]);
        const weir_value row[] = {{.type = WEIR_TEXT, .text = {word, letters}}, values[1]};
        if (letters >= WORD_BYTES_MIN && weir_call_give(call, row) < 0)
            return WEIR_EINVALID;
    }
    return 0;
}

/* ---- quantiles ---- */

/* Counts of amounts in pence. Buckets are one penny wide below 16, then eight to each doubling. */
enum { SUB = 8, BUCKETS = SUB * 40 };
struct histogram {
    uint64_t rows;
    uint32_t counts[BUCKETS];
};

static size_t bucket_of(uint64_t pence)
{
    unsigned doublings = 0;
    for (; pence >= 2 * SUB; pence /= 2)
        doublings++;
    return doublings * SUB + (size_t)pence;
}

/* The smallest amount that lies in the bucket. */
static uint64_t bucket_floor(size_t bucket)
{
    if (bucket < 2 * SUB)
        return bucket;
    return (uint64_t)(bucket % SUB + SUB) << (bucket / SUB - 1);
}

static int add_amount(void *context, weir_call *call, void *state, const weir_value *values,
                      size_t count)
{
    struct histogram *histogram = state;
    (void)context;
    (void)count;
    if (values[0].type != WEIR_BIGINT || values[0].i64 < 0 || values[0].i64 > INT64_C(1) << 40) {
        weir_call_error(call, "an amount is 0 to 2^40 pence");
        return WEIR_EINVALID;
    }
    histogram->rows++;
    histogram->counts[bucket_of((uint64_t)values[0].i64)]++;
    return 0;
}

static void merge_histograms(void *context, void *state, const void *other)
{
    struct histogram *histogram = state;
    const struct histogram *more = other;
    (void)context;
    histogram->rows += more->rows;
    for (size_t i = 0; i < BUCKETS; i++)
        histogram->counts[i] += more->counts[i];
}

/* The lower end of the bucket up to which so many percent of the rows lie, in pounds. */
static weir_value quantile(const struct histogram *histogram, uint64_t percent, char text[32])
{
    uint64_t seen = 0;
    size_t bucket = 0;
    while (bucket < BUCKETS &&
           (seen += histogram->counts[bucket]) * 100 < histogram->rows * percent)
        bucket++;
    uint64_t pence = bucket_floor(bucket);
    int size = snprintf(text, 32, "%" PRIu64 ".%02" PRIu64, pence / 100, pence % 100);
    return (weir_value){.type = WEIR_NUMERIC, .text = {text, (size_t)size}};
}

/* The texts of results must outlive the function, which several threads may be in. */
static int histogram_result(void *context, weir_call *call, const void *state, weir_value *results)
{
    static _Thread_local char median[32], most[32];
    const struct histogram *histogram = state;
    (void)context;
    (void)call;
    results[0] = (weir_value){.type = WEIR_BIGINT, .i64 = (int64_t)histogram->rows};
    results[1] = quantile(histogram, 50, median);
    results[2] = quantile(histogram, 90, most);
    return 0;
}

/* ---- the job ---- */

static void write_visits(weir_stream *sold)
{
    weir_stream *known = weir_filter(sold, "customer IS NOT NULL");
    weir_stream *visits = weir_aggregate(
        weir_session(weir_group_by(known, "customer"), WEIR_MINUTES(30)),
        "count(*) AS lines, sum(quantity) AS pieces, sum(quantity * price) AS spent");
    weir_to_as(weir_emit(visits, WEIR_EMIT_FINAL), "visits", WEIR_CSV);
}

static void write_line_values(weir_stream *sold)
{
    static const weir_aggregate_functions quantiles = {
        .state_size = sizeof(struct histogram),
        .add = add_amount,
        .merge = merge_histograms,
        .result = histogram_result,
    };
    weir_stream *hours =
        weir_hopping(weir_group_by(sold, "country"), WEIR_HOURS(2), WEIR_MINUTES(30));
    weir_stream *values =
        weir_aggregate_fn(hours, "quantiles-1", "(quantity * price * 100)::bigint AS pence",
                          "lines bigint, median numeric, most numeric", &quantiles, NULL);
    weir_to(weir_emit(values, WEIR_EMIT_FINAL), "line-values");
}

static void write_words(weir_stream *sold)
{
    weir_stream *words = weir_flat_map_fn(sold, "words-1", "description, quantity",
                                          "word text, quantity bigint", split_words, NULL);
    weir_stream *days =
        weir_tumbling_in(weir_group_by(words, "word"), 1, WEIR_DAY, "Europe/London");
    weir_stream *counted = weir_aggregate(days, "count(*) AS lines, sum(quantity) AS pieces");
    weir_to(weir_emit(counted, WEIR_EMIT_FINAL), "words");
}

int main(int argc, char **argv)
{
    static const struct job_about about = {
        .name = "visits",
        .summary = "retail-lines (CSV) -> visits, line-values, words, cancellations",
    };
    static const char *const conditions[] = {"invoice LIKE 'C%'", "quantity > 0 AND price > 0"};
    struct job job = job_begin(argc, argv, &about);
    weir_app *app = weir_app_open("visits", &job.options);
    weir_stream *branches[3] = {NULL};

    weir_stream *lines = weir_source_csv(app, "retail-lines",
                                         "invoice text, stock_code text, description text, "
                                         "quantity integer, at timestamptz, price numeric, "
                                         "customer text, country text",
                                         "at");
    /* Customers stand as 17850.0 in the export. */
    lines = weir_map(lines, "invoice, description, quantity, price, country, "
                            "split_part(customer, '.', 1) AS customer");
    weir_branch(lines, conditions, 2, branches); /* the rest are write-offs and gifts */
    weir_to_as(weir_map(branches[0], "invoice || ': ' || -quantity || ' x ' || "
                                     "coalesce(trim(description), 'something') AS line"),
               "cancellations", WEIR_PLAIN_TEXT);
    write_visits(branches[1]);
    write_line_values(branches[1]);
    write_words(branches[1]);

    return job_run(&job, app);
}
