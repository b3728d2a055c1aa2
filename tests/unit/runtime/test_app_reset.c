/* test_app_reset.c: weir_app_reset: pipelines that begin again at an offset, a time, the beginning.
 *
 * A shop's orders are copied, the copies counted per region (re-keyed), and the orders summed per
 * region and window. Numbers are written by hand; test_random_reset.c compares random jobs
 * with the naive evaluator. A reset must be whole whatever point it is killed at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weir_handle.h"
#include "tests/support/job.h"
#include "tests/support/log_fixture.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

#define BASE_MS INT64_C(1700000000000) /* record timestamps: this + the amount */

struct fixture {
    char *dir;
    const char *source; /* of copy and sums */
    bool merges;        /* copy has the rows of another topic beside them */
    weir_app_reset_options options;
    weir_offset offsets[8];
    char error[1024];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = scratch_dir_create();
    f->source = "orders";
    *state = f;
    return 0;
}
static int tear_down(void **state)
{
    struct fixture *f = *state;
    scratch_dir_remove(f->dir);
    free(f);
    return 0;
}

/* ---- input, job ---- */

static void append_to(const struct fixture *f, const char *topic, int32_t partition,
                      const char *region, int first, int count)
{
    struct sender *sender;
    struct log *log = topic_log_open(f->dir);
    if (topic_describe(log, topic, NULL, NULL) == ERR_NOT_FOUND)
        assert_int_equal(topic_create(log, topic, 3, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, topic, NULL, &sender, NULL), 0);
    for (int i = first; i < first + count; i++) {
        char value[128];
        int size = snprintf(value, sizeof value, "{\"region\":\"%s\",\"amount\":%d,\"ts\":%d}",
                            region, i, 100 * i);
        assert_int_equal(sender_send(sender, partition, BASE_MS + i, (struct bytes){NULL, 0},
                                     bytes_of(value, (size_t)size), (struct bytes){NULL, 0}, 0,
                                     NULL),
                         0);
    }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}
static void append(const struct fixture *f, int32_t partition, const char *region, int first,
                   int count)
{
    append_to(f, "orders", partition, region, first, count);
}

static int run(void *context)
{
    struct fixture *f = context;
    struct job job = {.app = "shop"};
    weir_options options = {.data = f->dir, .until_end = true};
    if (f->merges) {
        job_add(&job, JOB_SOURCE, "others", "ts", 0);
        job_add(&job, JOB_KEEP, "others", NULL, 0);
    }
    job_add(&job, JOB_SOURCE, f->source, "ts", 0);
    if (f->merges)
        job_add(&job, JOB_MERGE, "others", NULL, 0);
    job_add(&job, JOB_FILTER, "amount >= 0", NULL, 0);
    job_add(&job, JOB_TO, "copy", NULL, 0);
    job_add(&job, JOB_SOURCE, "copy", "ts", 0);
    job_add(&job, JOB_GROUP, "region", NULL, 0);
    job_add(&job, JOB_AGGREGATE, "sum(amount::bigint) AS total, count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "counts", NULL, 0);
    job_add(&job, JOB_SOURCE, f->source, "ts", 0);
    job_add(&job, JOB_GROUP, "region", NULL, 0);
    job_add(&job, JOB_WINDOW, NULL, NULL, 1000);
    job_add(&job, JOB_AGGREGATE, "count(*) AS n", NULL, 0);
    job_add(&job, JOB_TO, "hourly", NULL, 0);
    return job_run(&job, &options, NULL, f->error, sizeof f->error);
}
static void run_well(struct fixture *f)
{
    int rc = run(f);
    if (rc < 0)
        print_error("%s\n", f->error);
    assert_int_equal(rc, 0);
}
/* orders-0: 1 … 10 north; orders-1: 11 … 14 south; orders-2 is empty. 55 and 50. */
static void run_first(struct fixture *f)
{
    append(f, 0, "north", 1, 10);
    append(f, 1, "south", 11, 4);
    run_well(f);
}

/* ---- resetting ---- */

static int reset(struct fixture *f, weir_app_reset_plan **plan)
{
    weir_log *log = weir_fixture_open(f->dir);
    int rc = weir_app_reset(log, "shop", &f->options, plan);
    snprintf(f->error, sizeof f->error, "%s", rc < 0 ? weir_log_error() : "");
    assert_int_equal(weir_log_close(log), 0);
    return rc;
}
static int reset_in_child(void *context)
{
    return reset(context, NULL) == 0 ? 0 : 1;
}
static void reset_well(struct fixture *f)
{
    f->options.execute = true;
    int rc = reset(f, NULL);
    if (rc < 0)
        print_error("%s\n", f->error);
    assert_int_equal(rc, 0);
}
static void refused(struct fixture *f, int code, const char *part)
{
    weir_app_reset_plan *plan;
    for (int execute = 0; execute < 2; execute++) {
        f->options.execute = execute != 0;
        assert_int_equal(reset(f, &plan), code);
        assert_null(plan);
        assert_says(f->error, part);
    }
}
/* orders-0 … orders-2. */
static void to_offsets(struct fixture *f, weir_outputs outputs, int64_t a, int64_t b, int64_t c)
{
    const int64_t offsets[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        f->offsets[i] = (weir_offset){"orders", i, offsets[i], NULL};
    f->options = (weir_app_reset_options){
        .to = WEIR_RESET_TO_OFFSET, .offsets = f->offsets, .offset_count = 3, .outputs = outputs};
}

/* ---- output ---- */

#define ROW(region, total, n) "{\"region\":\"" region "\",\"total\":" total ",\"n\":" n "}"

static void read_latest(const struct fixture *f, const char *topic, struct pairs *pairs)
{
    struct topic_rows rows;
    struct log *log = topic_log_open(f->dir);
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    topic_rows_latest(&rows);
    pairs_init(pairs);
    pairs_add_rows(pairs, &rows);
    topic_rows_deinit(&rows);
    log_close(log);
}
static void assert_counts(const struct fixture *f, const char *north, const char *south)
{
    struct pairs expected, actual;
    read_latest(f, "counts", &actual);
    pairs_init(&expected);
    if (north != NULL)
        pairs_add_text(&expected, "north", north);
    if (south != NULL)
        pairs_add_text(&expected, "south", south);
    assert_true(pairs_same("counts", &expected, &actual));
    pairs_deinit(&expected);
    pairs_deinit(&actual);
}
/* The n of each window, as "north 0:9 1:1" would be: by key. */
static void assert_hourly(const struct fixture *f, const char *expected)
{
    struct pairs actual, none;
    char text[512] = "";
    read_latest(f, "hourly", &actual);
    pairs_init(&none);
    for (size_t i = 0; i < actual.count; i++) {
        char region[16], start[32];
        const char *key = (const char *)actual.items[i].key.data;
        const char *n = strstr((const char *)actual.items[i].value.data, "\"n\":");
        assert_int_equal(
            sscanf(key, "{\"region\":\"%15[a-z]\",\"window_start\":\"%31[^\"]", region, start), 2);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%c:%c:%d", i > 0 ? " " : "",
                 region[0], start[18], atoi(n + 4));
    }
    assert_string_equal(text, expected);
    pairs_deinit(&actual);
    pairs_deinit(&none);
}
/* ---- what it says ---- */

static void test_a_dry_run_changes_nothing(void **state)
{
    struct fixture *f = *state;
    weir_app_reset_plan *plan;
    run_first(f);
    size_t progress = topic_rows_count(f->dir, "shop-progress");
    to_offsets(f, WEIR_OUTPUTS_UNSAID, 4, 1, 0);
    assert_int_equal(reset(f, &plan), 0);
    int found = 0;
    assert_int_equal(plan->row_count, 9); /* three pipelines, three partitions */
    for (size_t i = 0; i < plan->row_count; i++) {
        const weir_app_reset_row *row = &plan->rows[i];
        if (strcmp(row->topic, "counts") == 0) {
            assert_string_equal(row->source, "copy");
            assert_says(row->note, "first row of the new life");
            continue;
        }
        static const int64_t old[] = {10, 4, -1}, new[] = {4, 1, 0}, end[] = {10, 4, 0};
        assert_string_equal(row->source, "orders");
        assert_int_equal(row->old_offset, old[row->partition]);
        assert_int_equal(row->new_offset, new[row->partition]);
        assert_int_equal(row->start_offset, 0);
        assert_int_equal(row->end_offset, end[row->partition]);
        assert_string_equal(row->note, "");
        found++;
    }
    assert_int_equal(found, 6);
    char kinds[1024] = "";
    for (size_t i = 0; i < plan->effect_count; i++)
        snprintf(kinds + strlen(kinds), sizeof kinds - strlen(kinds), "%s %s, ",
                 plan->effects[i].kind, plan->effects[i].name);
    assert_says(kinds, "state state/shop/counts, changelog shop-counts-changelog, repartition "
                       "shop-counts-repartition, output counts, ");
    assert_says(kinds, "output copy, ");
    assert_says(kinds, "changelog shop-hourly-changelog, ");
    weir_free(plan);
    assert_int_equal(topic_rows_count(f->dir, "shop-progress"), progress);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    assert_int_equal(topic_rows_count(f->dir, "shop-progress"), progress);
}

static void test_what_is_refused(void **state)
{
    struct fixture *f = *state;
    weir_app_reset_plan *plan;
    append(f, 0, "north", 1, 10);
    refused(f, WEIR_ENOTFOUND, "never ran");
    append(f, 1, "south", 11, 4);
    run_well(f);
    f->options.topic = "sums";
    refused(f, WEIR_ENOTFOUND, "sums");
    f->options = (weir_app_reset_options){.to = WEIR_RESET_BY_SHIFT};
    refused(f, WEIR_EUNSUPPORTED, "beginning");
    f->options = (weir_app_reset_options){.to = WEIR_RESET_TO_OFFSET};
    refused(f, WEIR_EINVALID, "offsets");
    f->options = (weir_app_reset_options){.reserved = {0, 0, 0, 1}};
    refused(f, WEIR_EINVALID, "reserved");
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 11, 0, 0);
    refused(f, WEIR_ERANGE, "orders-0 ends at offset 10, before 11");
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 1, 0, 0);
    f->options.offset_count = 2;
    refused(f, WEIR_EINVALID, "orders-2");
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 1, 0, 0);
    f->offsets[3] = (weir_offset){"copy", 0, 1, NULL};
    f->options.offset_count = 4;
    refused(f, WEIR_EINVALID, "copy-0");
    f->options = (weir_app_reset_options){
        .to = WEIR_RESET_TO_TIME, .number = BASE_MS + 15, .outputs = WEIR_OUTPUTS_CLEAR};
    refused(f, WEIR_ERANGE, "no source has a record");
    f->options = (weir_app_reset_options){.execute = true};
    assert_int_equal(reset(f, &plan), WEIR_EINVALID);
    assert_says(f->error, "cleared or kept");
    struct log *log = topic_log_open(f->dir);
    assert_int_equal(partition_purge(fixture_partition(log, "orders", 0), 3, NULL), 0);
    log_close(log);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 2, 0, 0);
    refused(f, WEIR_ERANGE, "orders-0 starts at offset 3");
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    assert_counts(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
}

static void test_refused_while_the_app_runs(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    weir_log *log = weir_fixture_open(f->dir);
    f->options.outputs = WEIR_OUTPUTS_CLEAR;
    assert_int_equal(handle_app_begin(log, "shop", NULL), 0);
    assert_int_equal(weir_app_reset(log, "shop", &f->options, NULL), WEIR_EBUSY);
    handle_app_end(log, "shop");
    assert_int_equal(weir_app_reset(log, "shop", &f->options, NULL), 0);
    assert_int_equal(weir_log_close(log), 0);
}

/* Other apps and consumers that have read what a pipeline wrote are told of: nothing can be done about them. */
static void test_readers_of_the_output(void **state)
{
    struct fixture *f = *state;
    weir_app_reset_plan *plan;
    run_first(f);
    struct job job = {.app = "other"};
    weir_options options = {.data = f->dir, .until_end = true};
    job_add(&job, JOB_SOURCE, "copy", "ts", 0);
    job_add(&job, JOB_TO, "copy-of-copy", NULL, 0);
    assert_int_equal(job_run(&job, &options, NULL, f->error, sizeof f->error), 0);
    weir_log *log = weir_fixture_open(f->dir);
    const char *topics[] = {"hourly"};
    weir_consumer *consumer = weir_fixture_consumer(
        log, &(weir_consumer_options){.group = "report", .topics = topics, .topic_count = 1});
    const weir_record *records;
    size_t count = 0;
    while (count == 0)
        assert_works(weir_poll(consumer, 1000, &records, &count), weir_consumer_error(consumer));
    assert_works(weir_commit(consumer), weir_consumer_error(consumer));
    weir_consumer_close(consumer);
    assert_int_equal(weir_app_reset(log, "shop", &f->options, &plan), 0);
    char readers[256] = "";
    for (size_t i = 0; i < plan->effect_count; i++)
        if (strcmp(plan->effects[i].kind, "reader") == 0)
            snprintf(readers + strlen(readers), sizeof readers - strlen(readers), "%s: %s %.9s, ",
                     plan->effects[i].topic, plan->effects[i].name, plan->effects[i].effect);
    weir_free(plan);
    assert_says(readers, "copy: other an app: r, ");
    assert_says(readers, "hourly: report a consume, ");
    assert_null(strstr(readers, "shop"));
    assert_int_equal(weir_log_close(log), 0);
}

/* ---- what comes of it ---- */

/* 5 … 10 = 45; 12 … 14 = 39. Windows of ten amounts: those of 1 to 4 and of 11 are gone. */
static void assert_from_offsets(struct fixture *f)
{
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 9);
    assert_counts(f, ROW("north", "45", "6"), ROW("south", "39", "3"));
    assert_hourly(f, "n:0:5 n:1:1 s:1:3");
    append(f, 0, "north", 20, 1);
    append(f, 2, "south", 30, 1);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 11);
    assert_counts(f, ROW("north", "65", "7"), ROW("south", "69", "4"));
}
static void test_to_offsets(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    assert_hourly(f, "n:0:9 n:1:1 s:1:4");
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
    reset_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 0);
    assert_counts(f, NULL, NULL);
    weir_log *log = weir_fixture_open(f->dir);
    assert_int_equal(weir_fixture_committed(log, "shop", "orders", 0), 4);
    assert_int_equal(weir_fixture_committed(log, "shop", "orders", 1), 1);
    assert_int_equal(weir_log_close(log), 0);
    assert_from_offsets(f);
}
/* orders-2 had no rows when the app last committed: it must not be read from its beginning for that. */
static void test_to_a_time(void **state)
{
    struct fixture *f = *state;
    weir_app_reset_plan *plan;
    run_first(f);
    append(f, 2, "south", 1, 14);
    f->options = (weir_app_reset_options){.to = WEIR_RESET_TO_TIME,
                                          .number = BASE_MS + 12,
                                          .outputs = WEIR_OUTPUTS_CLEAR,
                                          .topic = "copy",
                                          .execute = true};
    assert_int_equal(reset(f, &plan), 0);
    static const int64_t new[] = {10, 1, 11};
    size_t noted = 0;
    for (size_t i = 0; i < plan->row_count; i++) {
        const weir_app_reset_row *row = &plan->rows[i];
        assert_string_not_equal(row->topic, "hourly");
        if (strcmp(row->topic, "counts") == 0)
            continue;
        assert_int_equal(row->new_offset, new[row->partition]);
        noted += strstr(row->note, "no record is as new") != NULL;
    }
    assert_int_equal(noted, 1);
    weir_free(plan);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 6);
    assert_counts(f, NULL, ROW("south", "78", "6")); /* 2 × (12 + 13 + 14) */
}
static void test_to_the_beginning_and_to_the_end(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->options = (weir_app_reset_options){.outputs = WEIR_OUTPUTS_CLEAR};
    reset_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    assert_counts(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
    f->options.to = WEIR_RESET_TO_LATEST;
    reset_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 0);
    assert_counts(f, NULL, NULL);
    append(f, 2, "south", 30, 1);
    run_well(f);
    run_well(f);
    assert_counts(f, NULL, ROW("south", "30", "1"));
}
/* The pipelines before it are not touched; its own source's rows are counted again from there. */
static void test_from_one_pipeline_on(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    for (int i = 0; i < 3; i++)
        f->offsets[i] = (weir_offset){"copy", i, i == 0 ? 5 : 0, NULL};
    f->options = (weir_app_reset_options){.topic = "counts",
                                          .to = WEIR_RESET_TO_OFFSET,
                                          .offsets = f->offsets,
                                          .offset_count = 3,
                                          .outputs = WEIR_OUTPUTS_CLEAR};
    reset_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
    assert_hourly(f, "n:0:9 n:1:1 s:1:4");
    assert_counts(f, ROW("north", "40", "5"), ROW("south", "50", "4")); /* 6 … 10 */
}
static void test_kept_outputs(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    to_offsets(f, WEIR_OUTPUTS_KEEP, 10, 1, 0);
    reset_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 14 + 3);
    assert_counts(f, ROW("north", "55", "10"), ROW("south", "39", "3"));
    assert_hourly(f, "n:0:9 n:1:1 s:1:3");
}
/* Where a task is to begin is not lost by runs in which it has nothing to do, nor by another reset. */
static void test_resets_in_a_row(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 2, 2, 0);
    reset_well(f);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 10, 4, 0);
    reset_well(f);
    run_well(f);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 0);
    append(f, 1, "south", 30, 1);
    run_well(f);
    assert_counts(f, NULL, ROW("south", "30", "1"));
    append(f, 0, "north", 20, 1);
    run_well(f);
    assert_counts(f, ROW("north", "20", "1"), ROW("south", "30", "1"));
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0); /* one partition has committed since, one has not */
    reset_well(f);
    run_well(f);
    assert_counts(f, ROW("north", "65", "7"), ROW("south", "69", "4"));
}
static void test_another_source_than_the_one_that_was_reset(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    append_to(f, "others", 0, "north", 1, 20);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
    reset_well(f);
    f->source = "others";
    assert_int_equal(run(f), WEIR_ESTATE);
    assert_says(f->error, "offsets of another topic");
    f->source = "orders";
    assert_from_offsets(f);
}

/* Both sources need their offsets; counts reads what comes of both. */
static void test_a_pipeline_with_two_sources(void **state)
{
    struct fixture *f = *state;
    f->merges = true;
    append_to(f, "others", 0, "west", 1, 5);
    run_first(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 19);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
    refused(f, WEIR_EINVALID, "others-0");
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
    for (int i = 0; i < 3; i++)
        f->offsets[3 + i] = (weir_offset){"others", i, i == 0 ? 3 : 0, NULL};
    f->options.offset_count = 6;
    reset_well(f);
    append_to(f, "others", 2, "west", 6, 1);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 9 + 3);
    f->options.offset_count = 0; /* from here on */
    f->options = (weir_app_reset_options){
        .topic = "counts", .to = WEIR_RESET_TO_LATEST, .outputs = WEIR_OUTPUTS_CLEAR};
    reset_well(f);
    append_to(f, "others", 1, "south", 7, 1);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 9 + 4);
    assert_counts(f, NULL, ROW("south", "7", "1"));
}
/* State is refused where its keys may lie in two places; begun again it is dealt anew. */
static void test_a_source_that_has_grown(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    struct log *log = topic_log_open(f->dir);
    assert_int_equal(topic_grow(log, "orders", 5, NULL), 0);
    log_close(log);
    assert_int_equal(run(f), WEIR_ESTATE);
    f->options = (weir_app_reset_options){.outputs = WEIR_OUTPUTS_CLEAR};
    reset_well(f);
    append(f, 4, "north", 20, 1);
    run_well(f);
    assert_int_equal(topic_rows_count(f->dir, "copy"), 15);
    assert_counts(f, ROW("north", "75", "11"), ROW("south", "50", "4"));
    assert_hourly(f, "n:0:9 n:1:1 n:2:1 s:1:4");
}

/* ---- killed ---- */

static void test_killed_anywhere(void **state)
{
    static const struct {
        const char *point;
        bool begun;
    } kills[] = {{"reset_before", false},         {"decide.before", false},
                 {"reset_begun", true},           {"reset_forgotten", true},
                 {"reset_forgotten:3", true},     {"reset_cleared", true},
                 {"topic.delete.recorded", true}, {"reset_before_end", true},
                 {"decide.before:2", true},       {"reset_ended", true}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof kills / sizeof *kills; i++) {
        run_first(f);
        to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
        f->options.execute = true;
        assert_int_equal(fixture_child(reset_in_child, f, kills[i].point), 137);
        if (!kills[i].begun) {
            run_well(f);
            assert_int_equal(topic_rows_count(f->dir, "copy"), 14);
            assert_counts(f, ROW("north", "55", "10"), ROW("south", "50", "4"));
            reset_well(f);
        }
        assert_from_offsets(f);
        scratch_dir_remove(f->dir);
        f->dir = scratch_dir_create();
    }
}
/* What one reset left is ended by the next one, before it looks. */
static void test_killed_and_asked_for_something_else(void **state)
{
    struct fixture *f = *state;
    run_first(f);
    f->options =
        (weir_app_reset_options){.topic = "copy", .outputs = WEIR_OUTPUTS_CLEAR, .execute = true};
    assert_int_equal(fixture_child(reset_in_child, f, "reset_begun"), 137);
    to_offsets(f, WEIR_OUTPUTS_CLEAR, 4, 1, 0);
    reset_well(f);
    assert_from_offsets(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_a_dry_run_changes_nothing),
        TEST(test_what_is_refused),
        TEST(test_refused_while_the_app_runs),
        TEST(test_readers_of_the_output),
        TEST(test_to_offsets),
        TEST(test_to_a_time),
        TEST(test_to_the_beginning_and_to_the_end),
        TEST(test_from_one_pipeline_on),
        TEST(test_kept_outputs),
        TEST(test_resets_in_a_row),
        TEST(test_another_source_than_the_one_that_was_reset),
        TEST(test_a_pipeline_with_two_sources),
        TEST(test_a_source_that_has_grown),
        TEST(test_killed_anywhere),
        TEST(test_killed_and_asked_for_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
