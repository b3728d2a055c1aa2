/* test_memory_budget.c: a process stays inside memory_bytes and 64 MiB for all else, however many
 * groups, partitions and stages there are.
 *
 * Two stages over 16 partitions: groups are re-keyed, so that sixteen tasks count and send partials
 * and sixteen keep state; their buffers take most of the budget, and the groups do not fit what is
 * left. Anonymous memory of this process is sampled while the job runs. The results are added up:
 * nothing is lost on the way to the store and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weir.h"
#include "tests/support/bench_text.h"
#include "tests/support/memory_sampler.h"
#include "tests/support/scratch_dir.h"

enum {
    PARTITIONS = 16,
    ROUNDS = 2,
    BUDGET_MIB = 192,
    NARROW_GROUPS = 300000,
    WIDE_GROUPS = 80000,
    WIDE_BYTES = 200
};
#define MIB 1.048576 /* in MB, which the sampler counts in */

/* What the groups of a job look like: "group-000042" and then so many more letters. */
struct shape {
    int groups, more_bytes;
};

static void send_events(weir_log *log, const struct shape *shape)
{
    weir_producer *producer;
    assert_int_equal(weir_topic_create(log, "events", PARTITIONS, NULL, 0), 0);
    assert_int_equal(weir_producer_open(log, NULL, &producer), 0);
    char more[WIDE_BYTES + 1];
    memset(more, 'x', sizeof more);
    for (int64_t n = 0; n < (int64_t)shape->groups * ROUNDS; n++) {
        char value[64 + WIDE_BYTES];
        int size = snprintf(value, sizeof value, "{\"group\":\"group-%06d%.*s\",\"n\":1}",
                            (int)(n * 7919 % shape->groups), shape->more_bytes, more);
        weir_record record = {.topic = "events", .value = value, .value_size = (size_t)size};
        assert_int_equal(weir_send_to(producer, (int32_t)(n / 64 % PARTITIONS), &record), 0);
    }
    assert_int_equal(weir_producer_close(producer), 0);
}

static void run_job(weir_log *log, struct memory_sampler *sampler)
{
    weir_app *app = weir_app_open("budget", &(weir_options){.log = log,
                                                            .threads = 2,
                                                            .memory_bytes = BUDGET_MIB << 20,
                                                            .until_end = true});
    weir_stream *groups = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "\"group\"");
    weir_to(weir_aggregate(groups, "sum(n::bigint) AS n"), "totals");
    memory_sampler_start(sampler);
    int rc = weir_app_run(app);
    memory_sampler_stop(sampler);
    if (rc < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
}

static void check_totals(weir_log *log, const struct shape *shape)
{
    const char *topic = "totals";
    weir_consumer *consumer;
    uint8_t *last = calloc((size_t)shape->groups, 1);
    const weir_record *records;
    size_t count = 1;
    int64_t group, n;
    assert_non_null(last);
    assert_int_equal(
        weir_consumer_open(
            log, &(weir_consumer_options){.topics = &topic, .topic_count = 1, .max_records = 10000},
            &consumer),
        0);
    while (count > 0) {
        assert_int_equal(weir_poll(consumer, 200, &records, &count), 0);
        for (size_t i = 0; i < count; i++) {
            struct bytes value = bytes_of(records[i].value, records[i].value_size);
            assert_true(bench_take_text(&value, "{\"group\":\"group-") &&
                        bench_take_number(&value, &group) && group < shape->groups &&
                        value.size > (size_t)shape->more_bytes);
            value =
                bytes_of(value.data + shape->more_bytes, value.size - (size_t)shape->more_bytes);
            assert_true(bench_take_text(&value, "\",\"n\":") && bench_take_number(&value, &n));
            last[group] = (uint8_t)n;
        }
    }
    for (int i = 0; i < shape->groups; i++)
        assert_int_equal(last[i], ROUNDS);
    free(last);
    weir_consumer_close(consumer);
}

static void stays_inside(const struct shape *shape)
{
    char *dir = scratch_dir_create();
    struct memory_sampler sampler;
    weir_log *log;
    assert_int_equal(weir_log_open(dir, NULL, &log), 0);
    send_events(log, shape);
    run_job(log, &sampler);
    check_totals(log, shape);
    printf("%.1f MB of anonymous memory\n", sampler.peak_anonymous_mb);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* they keep a book of every block */
    assert_true(sampler.peak_anonymous_mb < (BUDGET_MIB + 64) * MIB);
#endif
    assert_int_equal(weir_log_close(log), 0);
    scratch_dir_remove(dir);
}

static void with_many_groups(void **state)
{
    (void)state;
    stays_inside(&(struct shape){NARROW_GROUPS, 0});
}

/* Sixteen tasks write sixteen partitions each: what waits in their batches must not add up. */
static void with_wide_groups(void **state)
{
    (void)state;
    stays_inside(&(struct shape){WIDE_GROUPS, WIDE_BYTES});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(with_many_groups),
                                       cmocka_unit_test(with_wide_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
