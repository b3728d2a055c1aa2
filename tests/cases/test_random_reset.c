/* test_random_reset.c: random jobs (tests/support/naive.h) that are reset to random offsets.
 *
 * Several jobs share an app. They read a first part of their input; the app is reset with its outputs
 * cleared; then they read on, in one run or two, with other numbers of workers. What stands in
 * their topics, and what their accounts say, is what the naive evaluator makes of the rows from the
 * offsets on.
 *
 * WEIR_RESET_LIFE: run this life only; a failure prints its number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "tests/support/accounts.h"
#include "tests/support/job.h"
#include "tests/support/log_fixture.h"
#include "tests/support/naive.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/weir_fixture.h"

enum { CASES = 6, LIVES = 10, ROUNDS = 2 };
struct life {
    struct naive_plan *cases[CASES];
    int64_t starts[CASES][NAIVE_PLACES_MAX];
    weir_offset offsets[CASES * NAIVE_PLACES_MAX];
    size_t offset_count;
};

static const char *source_of(const struct naive_plan *plan, int arm)
{
    return arm == 0 ? plan->source : plan->second_source;
}
static void send_rows(const struct naive_plan *plan, struct log *log, int round)
{
    struct config_entry config = {"weir.partitioned.by", "k"};
    for (int arm = 0; arm < plan->arms; arm++) {
        const char *topic = source_of(plan, arm);
        struct sender *sender;
        if (round == 0)
            assert_int_equal(
                topic_create(log, topic, plan->partitions, &config, plan->is_direct, NULL), 0);
        assert_int_equal(sender_open(log, topic, NULL, &sender, NULL), 0);
        for (int i = 0; i < plan->row_count; i++)
            if (plan->rows[i].round == round && plan->rows[i].arm == arm)
                assert_int_equal(sender_send(sender, plan->rows[i].partition,
                                             plan->rows[i].timestamp_ms, (struct bytes){NULL, 0},
                                             bytes_text(plan->rows[i].text),
                                             (struct bytes){NULL, 0}, 0, NULL),
                                 0);
        assert_int_equal(sender_flush(sender, true, NULL), 0);
        sender_close(sender);
    }
}
static void send_round(const struct life *life, const char *dir, int round)
{
    struct log *log = topic_log_open(dir);
    for (int i = 0; i < CASES; i++)
        send_rows(life->cases[i], log, round);
    log_close(log);
}
static void run_life(const struct life *life, const char *dir, bool close_windows, int threads)
{
    struct job job = {.app = "random"};
    char error[1024] = "";
    weir_options options = {.data = dir,
                            .threads = threads,
                            .batch_rows = 7,
                            .commit_interval_ms = 3,
                            .until_end = true,
                            .close_windows = close_windows};
    for (int i = 0; i < CASES; i++)
        naive_add_job(life->cases[i], &job);
    if (job_run(&job, &options, NULL, error, sizeof error) < 0)
        fail_msg("%s", error);
}

/* Of one place, or of all of them (-1). */
static int64_t first_rows(const struct naive_plan *plan, int place)
{
    int64_t rows = 0;
    for (int i = 0; i < plan->row_count; i++)
        rows +=
            (place < 0 || naive_place(plan, &plan->rows[i]) == place) && plan->rows[i].round == 0;
    return rows;
}
/* A target in what the first run has read: rows before it are rows that the model never sees. A
 * pipeline, or a source of it, that has had no rows is not known, and has nothing to forget. */
static void draw_targets(struct life *life, struct chance *chance)
{
    life->offset_count = 0;
    for (int c = 0; c < CASES; c++) {
        const struct naive_plan *plan = life->cases[c];
        for (int place = 0; place < naive_places(plan); place++) {
            int arm = place / plan->partitions;
            int64_t of_arm = 0;
            for (int p = 0; p < plan->partitions; p++)
                of_arm += first_rows(plan, arm * plan->partitions + p);
            life->starts[c][place] = chance_below(chance, first_rows(plan, place) + 1);
            if (of_arm > 0)
                life->offsets[life->offset_count++] = (weir_offset){
                    source_of(plan, arm), place % plan->partitions, life->starts[c][place], NULL};
        }
    }
}
static void drop_rows(struct naive_plan *plan, const int64_t *starts)
{
    int64_t at[NAIVE_PLACES_MAX] = {0};
    int kept = 0;
    for (int i = 0; i < plan->row_count; i++) {
        int place = naive_place(plan, &plan->rows[i]);
        if (at[place]++ >= starts[place])
            plan->rows[kept++] = plan->rows[i];
    }
    plan->row_count = kept;
}
static void reset_life(const struct life *life, const char *dir)
{
    weir_log *log = weir_fixture_open(dir);
    weir_app_reset_options options = {.to = WEIR_RESET_TO_OFFSET,
                                      .offsets = life->offsets,
                                      .offset_count = life->offset_count,
                                      .outputs = WEIR_OUTPUTS_CLEAR,
                                      .execute = true};
    assert_works(weir_app_reset(log, "random", &options, NULL), weir_log_error());
    assert_int_equal(weir_log_close(log), 0);
}

static bool same_topic(struct log *log, const char *topic, bool has_key, bool is_upsert,
                       struct pairs *expected)
{
    struct topic_rows rows;
    struct pairs actual;
    topic_rows_init(&rows);
    pairs_init(&actual);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    if (is_upsert)
        topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++)
        pairs_add(&actual, has_key ? rows.items[i].key : bytes_text(""), rows.items[i].value);
    bool same = pairs_same(topic, expected, &actual);
    pairs_deinit(&actual);
    topic_rows_deinit(&rows);
    return same;
}
static bool same_accounts(const struct topic_rows *progress, const char *view,
                          const struct naive_stage *expected)
{
    struct account_sum sum;
    accounts_of(progress, view, &sum);
    return sum.in == expected->in && sum.applied == expected->applied &&
           sum.filtered == expected->filtered && sum.late == expected->late &&
           sum.dead == expected->dead;
}
static bool same_case(struct log *log, const struct naive_plan *plan, bool close_windows)
{
    struct naive_round rounds[ROUNDS] = {[ROUNDS - 1] = {.close_windows = close_windows}};
    struct naive_result want;
    struct topic_rows progress;
    bool ok = true;
    naive_evaluate(plan, rounds, ROUNDS, &want);
    accounts_read(log, "random", &progress);
    if (plan->middle != MIDDLE_NONE)
        ok = same_topic(log, plan->middle_topic, plan->rekey != NULL, false, &want.middle_rows) &&
             same_accounts(&progress, plan->middle_topic, &want.middle);
    ok = same_topic(log, plan->out, !plan->is_rows, !plan->is_rows && !plan->is_final,
                    &want.outputs) &&
         same_accounts(&progress, plan->out, &want.main) && ok;
    if (plan->has_rollup)
        ok = same_topic(log, plan->rollup_topic, true, true, &want.rollups) &&
             same_accounts(&progress, plan->rollup_topic, &want.rollup) && ok;
    topic_rows_deinit(&progress);
    naive_result_deinit(&want);
    return ok;
}

static void live(uint64_t seed)
{
    struct chance chance = {seed};
    struct life *life = calloc(1, sizeof *life);
    char *dir = scratch_dir_create();
    bool close_windows = chance_below(&chance, 2) == 0;
    assert_non_null(life);
    for (int i = 0; i < CASES; i++) {
        life->cases[i] = malloc(sizeof *life->cases[i]);
        assert_non_null(life->cases[i]);
        naive_draw(life->cases[i], chance_next(&chance), i,
                   &(struct naive_setting){.rounds = ROUNDS});
    }
    send_round(life, dir, 0);
    run_life(life, dir, false, 1 + (int)chance_below(&chance, 3));
    draw_targets(life, &chance);
    reset_life(life, dir);
    if (chance_below(&chance, 2) == 0)
        run_life(life, dir, false, 1 + (int)chance_below(&chance, 3));
    send_round(life, dir, 1);
    run_life(life, dir, close_windows, 1 + (int)chance_below(&chance, 3));
    struct log *log = topic_log_open(dir);
    for (int i = 0; i < CASES; i++) {
        drop_rows(life->cases[i], life->starts[i]);
        if (!same_case(log, life->cases[i], close_windows)) {
            naive_describe(life->cases[i]);
            fail_msg("WEIR_RESET_LIFE=%llu, case %d", (unsigned long long)seed, i);
        }
        free(life->cases[i]);
    }
    log_close(log);
    scratch_dir_remove(dir);
    free(life);
}
static void test_random_jobs_against_the_model(void **state)
{
    const char *only = getenv("WEIR_RESET_LIFE");
    uint64_t seed = only != NULL ? strtoull(only, NULL, 10) : (uint64_t)clock_wall_ms();
    (void)state;
    for (uint64_t i = 0; i < (only != NULL ? 1 : LIVES); i++)
        live(seed + i);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_jobs_against_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
