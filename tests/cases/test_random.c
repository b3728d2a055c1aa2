/* test_random.c: random jobs on random input against a naive evaluator (tests/support/naive.h).
 *
 * A case is a pipeline (a stage in front or none, perhaps with a new key; filters, checks, branches,
 * maps, unnest, functions in C; rows, or groups with windows of each kind or none, aggregates of all
 * kinds, changes or final; a rollup behind it), its input (JSON, CSV, text or raw bytes), and the way it runs:
 * partitions 1 to 3, direct or re-keyed, lateness, idle time, future skew. Several cases share a life
 * (tests/support/random_life.h): one directory and one app with all their pipelines, run one to four
 * times with more input before each run, stores removed in between, workers 1 to 3, rows a batch,
 * commit interval and memory drawn for each run, windows closed at ends or not; on threads, or driven
 * by weir_test with a virtual clock, pauses and kills. Opening logs and starting threads is what a
 * short run consists of, so that sharing it makes a case five times cheaper, and apps with many views
 * are tried beside.
 *
 * What the evaluator prints is compared byte for byte with the read-committed topics, and its
 * counts with the progress records, stage by stage and to the row; beyond that the accounts of
 * every stage and partition must close against the log (accounts.h). Then some lives are replayed
 * from the beginning, and must give the same once more.
 *
 * A case that differs is run again alone, and made smaller while it still differs: rows,
 * aggregates, runs. What is left is printed with the seed.
 *
 * WEIR_RANDOM_CASES (200), WEIR_RANDOM_SEED (drawn from the clock), WEIR_RANDOM_LIFE (run this life
 * only, and say more), WEIR_RANDOM_JOBS (processes that share the cases: 1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/error.h"
#include "tests/support/random_life.h"
#include "tests/support/random_lives.h"

enum {
    CASES = 200,
    FAILURES_MAX = 5,
    SHRINK_ATTEMPTS = 150,
};

static int try_life(uint64_t seed, long tried);
static const struct random_lives lives = {.cases_name = "WEIR_RANDOM_CASES",
                                          .life_name = "WEIR_RANDOM_LIFE",
                                          .cases = CASES,
                                          .cases_a_life = LIFE_CASES,
                                          .failures_max = FAILURES_MAX,
                                          .try_life = try_life};

static unsigned run_life(struct life *life)
{
    random_life_begins(&lives, life->seed);
    return life_run(life);
}

/* ---- making a case smaller ---- */

struct shrink {
    struct life life; /* with one case */
    struct naive_plan *best;
    int attempts;
};

/* Takes the changed case when it still differs. */
static bool keeps_failing(struct shrink *shrink, struct naive_plan *changed)
{
    if (shrink->attempts == 0 || !naive_is_sound(changed))
        return false;
    shrink->attempts--;
    naive_print(changed);
    shrink->life.cases[0] = changed;
    bool fails = run_life(&shrink->life) != 0;
    shrink->life.cases[0] = shrink->best;
    if (fails)
        *shrink->best = *changed;
    return fails;
}

static void shrink_rows(struct shrink *shrink, struct naive_plan *scratch)
{
    for (int size = shrink->best->row_count / 2; size > 0; size /= 2)
        for (int from = 0; from + size <= shrink->best->row_count;) {
            *scratch = *shrink->best;
            memmove(&scratch->rows[from], &scratch->rows[from + size],
                    (size_t)(scratch->row_count - from - size) * sizeof scratch->rows[0]);
            scratch->row_count -= size;
            if (!keeps_failing(shrink, scratch))
                from += size;
        }
}

static void shrink_pipeline(struct shrink *shrink, struct naive_plan *scratch)
{
    for (int i = 0; i < shrink->best->aggregate_count && shrink->best->aggregate_count > 1;) {
        *scratch = *shrink->best;
        memmove(&scratch->aggregates[i], &scratch->aggregates[i + 1],
                (size_t)(scratch->aggregate_count - i - 1) * sizeof scratch->aggregates[0]);
        scratch->aggregate_count--;
        if (!keeps_failing(shrink, scratch))
            i++;
    }
    *scratch = *shrink->best;
    scratch->has_rollup = false;
    if (shrink->best->has_rollup)
        keeps_failing(shrink, scratch);
    *scratch = *shrink->best;
    for (int i = 0; i < scratch->row_count; i++)
        scratch->rows[i].round = 0;
    keeps_failing(shrink, scratch);
}

/* Says what is left of a case that differs; a case that agrees when it runs alone stays as it is. */
static void report(const struct life *life, const struct naive_plan *plan)
{
    struct shrink shrink = {
        .life = *life, .best = malloc(sizeof *plan), .attempts = SHRINK_ATTEMPTS};
    struct naive_plan *scratch = malloc(sizeof *plan);
    must(shrink.best != NULL && scratch != NULL);
    *shrink.best = *scratch = *plan;
    shrink.life.case_count = 1;
    fprintf(stderr, "case %d of WEIR_RANDOM_LIFE=%llu differs; ", plan->number,
            (unsigned long long)life->seed);
    life_describe(life);
    if (keeps_failing(&shrink, scratch)) {
        shrink_rows(&shrink, scratch);
        shrink_pipeline(&shrink, scratch);
        fprintf(stderr, "the smallest of it that still differs, when it runs alone:\n");
    } else {
        fprintf(stderr, "it agrees when it runs alone\n");
    }
    naive_describe(shrink.best);
    free(shrink.best);
    free(scratch);
}

/* tried: how many cases have been, with these. */
static int try_life(uint64_t seed, long tried)
{
    struct life life;
    life_draw(&life, seed);
    unsigned failed = run_life(&life);
    if (failed != 0)
        fprintf(stderr, "a difference among the first %ld cases\n", tried);
    for (int i = 0; i < life.case_count; i++)
        if ((failed & 1u << i) != 0)
            report(&life, life.cases[i]);
    life_free(&life);
    return failed != 0;
}

/* ---- tests ---- */

static void random_jobs_match_the_naive_evaluator(void **state)
{
    (void)state;
    assert_int_equal(random_lives_run(&lives), 0);
}

int main(void)
{
    random_lives_prepare();
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_jobs_match_the_naive_evaluator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
