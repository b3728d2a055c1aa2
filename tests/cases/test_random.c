/* test_random.c: random jobs on random input against a naive evaluator (tests/support/naive.h).
 *
 * A case is a pipeline (a stage in front or none; filters, checks, a map; rows, or groups with or
 * without a window, aggregates of all kinds, changes or final; a rollup behind it), its input, and
 * the way it runs: partitions 1 to 3, direct or re-keyed, lateness. Several cases share a life: one
 * directory and one app with all their pipelines, run one to four times with more input before each
 * run, stores removed in between, workers 1 to 3, rows a batch, commit interval and memory drawn
 * for each run, windows closed at the end or not. Opening logs and starting threads is what a short
 * run consists of, so that sharing it makes a case five times cheaper, and apps with many views are
 * tried beside.
 *
 * What the evaluator prints is compared byte for byte with the read-committed topics, and its
 * counts with the progress records, stage by stage and to the row; beyond that the accounts of
 * every stage and partition must close against the log (accounts.h).
 *
 * A case that differs is run again alone, and made smaller while it still differs: rows,
 * aggregates, runs. What is left is printed with the seed.
 *
 * WEIR_RANDOM_CASES (200), WEIR_RANDOM_SEED (drawn from the clock), WEIR_RANDOM_LIFE (run this life
 * only, and say more), WEIR_RANDOM_JOBS (processes that share the cases: 1). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <malloc.h>

#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/accounts.h"
#include "tests/support/job.h"
#include "tests/support/naive.h"
#include "tests/support/scratch_dir.h"

enum {
    CASES = 200,
    CASES_A_LIFE = 8,
    ROUNDS_MAX = 4,
    FAILURES_MAX = 5,
    LIFE_LIMIT_S = 120,
    SHRINK_ATTEMPTS = 150,
    JOBS_MAX = 64,
};

/* How one run of the app is made. */
struct run {
    int threads, batch_rows, commit_interval_ms, checkpoint_interval_ms;
    int64_t memory_bytes;
    bool loses_stores;
};
struct life {
    uint64_t seed;
    int rounds, case_count;
    bool close_windows;
    struct run runs[ROUNDS_MAX];
    struct naive_plan *cases[CASES_A_LIFE];
};

/* ---- drawing ---- */

static void draw_life(struct life *life, uint64_t seed)
{
    static const int batch_rows[] = {1, 2, 7, 100, 4096};
    struct chance chance = {seed};
    memset(life, 0, sizeof *life);
    life->seed = seed;
    life->rounds = 1 + (int)chance_below(&chance, ROUNDS_MAX);
    life->close_windows = chance_below(&chance, 2) == 0;
    for (int i = 0; i < life->rounds; i++)
        life->runs[i] = (struct run){
            .threads = 1 + (int)chance_below(&chance, 3),
            .batch_rows = batch_rows[chance_below(&chance, 5)],
            .commit_interval_ms = 1 + (int)chance_below(&chance, 20),
            .checkpoint_interval_ms = 1 + (int)chance_below(&chance, 50),
            .memory_bytes = chance_below(&chance, 3) == 0 ? 4 << 20 : 0,
            .loses_stores = chance_below(&chance, 4) == 0,
        };
    life->case_count = CASES_A_LIFE;
    for (int i = 0; i < CASES_A_LIFE; i++) {
        life->cases[i] = malloc(sizeof *life->cases[i]);
        must(life->cases[i] != NULL);
        naive_draw(life->cases[i], chance_next(&chance), i, life->rounds);
    }
}

static void free_life(struct life *life)
{
    for (int i = 0; i < CASES_A_LIFE; i++)
        free(life->cases[i]);
}

/* ---- running ---- */

static void send_case(const struct naive_plan *plan, struct log *log, int round)
{
    struct diag diag;
    struct config_entry config = {"weir.partitioned.by", "k"};
    if (round == 0)
        must(topic_create(log, plan->source, plan->partitions, &config, plan->is_direct, &diag) ==
             0);
    struct sender *sender;
    struct sender_options options = {.batch_bytes = 1024};
    must(sender_open(log, plan->source, &options, &sender, &diag) == 0);
    for (int i = 0; i < plan->row_count; i++) {
        const struct naive_row *row = &plan->rows[i];
        struct bytes none = {NULL, 0};
        if (row->round == round)
            must(sender_send(sender, row->partition, INT64_MIN, none, bytes_text(row->text), none,
                             0, &diag) == 0);
    }
    must(sender_flush(sender, true, &diag) == 0);
    sender_close(sender);
}

static void send_round(const struct life *life, const char *dir, int round)
{
    struct log *log = topic_log_open(dir);
    for (int i = 0; i < life->case_count; i++)
        send_case(life->cases[i], log, round);
    log_close(log);
}

static bool run_round(const struct life *life, const struct job *job, const char *dir, int round)
{
    const struct run *run = &life->runs[round];
    char error[1024] = "", *state = scratch_path(dir, "state");
    struct diag diag;
    if (run->loses_stores && access(state, F_OK) == 0)
        must(io_remove_tree(state, &diag) == 0);
    free(state);
    weir_options options = {
        .data = dir,
        .threads = run->threads,
        .batch_rows = run->batch_rows,
        .commit_interval_ms = run->commit_interval_ms,
        .checkpoint_interval_ms = run->checkpoint_interval_ms,
        .memory_bytes = (size_t)run->memory_bytes,
        .until_end = true,
        .close_windows = life->close_windows && round == life->rounds - 1,
    };
    int rc = job_run(job, &options, NULL, error, sizeof error);
    if (rc < 0)
        fprintf(stderr, "run %d failed: %s (%d)\n", round, error, rc);
    return rc >= 0;
}

/* ---- comparing ---- */

/* Which records of a topic: all of it, or those that came from one source topic. */
static bool same_topic(struct log *log, const char *topic, const char *header, const char *source,
                       bool is_upsert, struct pairs *expected)
{
    struct topic_rows rows;
    struct pairs actual;
    topic_rows_init(&rows);
    pairs_init(&actual);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    if (is_upsert)
        topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++) {
        struct topic_row *row = &rows.items[i];
        if (source != NULL &&
            !bytes_equal(topic_row_header(row, "weir.source.topic"), bytes_text(source)))
            continue;
        struct bytes key = header == NULL      ? row->key
                           : header[0] == '\0' ? bytes_text("")
                                               : topic_row_header(row, header);
        pairs_add(&actual, key, row->value);
    }
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
    if (sum.in == expected->in && sum.applied == expected->applied &&
        sum.filtered == expected->filtered && sum.late == expected->late &&
        sum.dead == expected->dead)
        return true;
    fprintf(stderr,
            "accounts of %s: in %lld (%lld), applied %lld (%lld), filtered %lld (%lld), late %lld "
            "(%lld), dead %lld (%lld)\n",
            view, (long long)sum.in, (long long)expected->in, (long long)sum.applied,
            (long long)expected->applied, (long long)sum.filtered, (long long)expected->filtered,
            (long long)sum.late, (long long)expected->late, (long long)sum.dead,
            (long long)expected->dead);
    return false;
}

static bool same_case(const struct life *life, const struct naive_plan *plan, struct log *log,
                      const struct topic_rows *progress)
{
    struct naive_result want;
    const char *dead = "random.dlq", *class = "weir.error.class";
    const char *main_source = plan->source;
    bool ok = true;
    naive_evaluate(plan, life->close_windows, &want);
    if (plan->middle != MIDDLE_NONE) {
        main_source = plan->middle_topic;
        ok = same_topic(log, plan->middle_topic, "", NULL, false, &want.middle_rows);
        ok = same_topic(log, dead, class, plan->source, false, &want.middle.dead_rows) && ok;
        ok = same_accounts(progress, plan->middle_topic, &want.middle) && ok;
    }
    ok = same_topic(log, plan->out, plan->is_rows ? "" : NULL, NULL,
                    !plan->is_rows && !plan->is_final, &want.outputs) &&
         ok;
    ok = same_topic(log, plan->late, "", NULL, false, &want.late_rows) && ok;
    ok = same_topic(log, dead, class, main_source, false, &want.main.dead_rows) && ok;
    ok = same_accounts(progress, plan->out, &want.main) && ok;
    if (plan->has_rollup) {
        ok = same_topic(log, plan->rollup_topic, NULL, NULL, true, &want.rollups) && ok;
        ok = same_accounts(progress, plan->rollup_topic, &want.rollup) && ok;
    }
    naive_result_deinit(&want);
    return ok;
}

/* A job that does not come to its end is a failure too, and the life must be known. */
static volatile uint64_t running_seed;
static void give_up(int number)
{
    char text[96];
    (void)number;
    int size = snprintf(text, sizeof text, "no end after %d s: WEIR_RANDOM_LIFE=%llu\n",
                        LIFE_LIMIT_S, (unsigned long long)running_seed);
    must(write(STDERR_FILENO, text, (size_t)size) == size);
    abort();
}

/* How many of its cases differ, as bits; all of them when the app failed or its accounts do not
 * close. */
static unsigned run_life(const struct life *life)
{
    running_seed = life->seed;
    alarm(LIFE_LIMIT_S);
    struct job job = {.app = "random"};
    char *dir = scratch_dir_create();
    unsigned all = (1u << life->case_count) - 1, failed = 0;
    for (int i = 0; i < life->case_count; i++)
        naive_add_job(life->cases[i], &job);
    for (int round = 0; round < life->rounds && failed == 0; round++) {
        send_round(life, dir, round);
        failed = run_round(life, &job, dir, round) ? 0 : all;
    }
    if (failed == 0) {
        struct log *log = topic_log_open(dir);
        struct topic_rows progress;
        accounts_read(log, "random", &progress);
        for (int i = 0; i < life->case_count; i++)
            if (!same_case(life, life->cases[i], log, &progress))
                failed |= 1u << i;
        if (!accounts_close(log, "random", false))
            failed = failed != 0 ? failed : all;
        topic_rows_deinit(&progress);
        log_close(log);
    }
    scratch_dir_remove(dir);
    return failed;
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
    fprintf(stderr, "case %d of WEIR_RANDOM_LIFE=%llu differs, %d run(s)%s\n", plan->number,
            (unsigned long long)life->seed, life->rounds,
            life->close_windows ? ", windows closed" : "");
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

static int try_life(uint64_t seed)
{
    struct life life;
    draw_life(&life, seed);
    unsigned failed = run_life(&life);
    for (int i = 0; i < life.case_count; i++)
        if ((failed & 1u << i) != 0)
            report(&life, life.cases[i]);
    free_life(&life);
    return failed != 0;
}

/* ---- tests ---- */

static int try_lives(uint64_t seed, long lives)
{
    struct chance chance = {seed};
    int failures = 0;
    for (long i = 0; i < lives && failures < FAILURES_MAX; i++)
        failures += try_life(chance_next(&chance) >> 1);
    return failures;
}

static long number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static void random_jobs_match_the_naive_evaluator(void **state)
{
    (void)state;
    const char *only = getenv("WEIR_RANDOM_LIFE"), *seed_text = getenv("WEIR_RANDOM_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_wall_ms();
    if (only != NULL) {
        assert_int_equal(try_life(strtoull(only, NULL, 10)), 0);
        return;
    }
    long cases = number_from("WEIR_RANDOM_CASES", CASES), jobs = number_from("WEIR_RANDOM_JOBS", 1);
    assert_true(jobs >= 1 && jobs <= JOBS_MAX);
    long lives = (cases + CASES_A_LIFE * jobs - 1) / (CASES_A_LIFE * jobs);
    fprintf(stderr, "WEIR_RANDOM_SEED=%llu, %ld cases\n", (unsigned long long)seed,
            lives * jobs * CASES_A_LIFE);
    pid_t children[JOBS_MAX];
    for (long job = 1; job < jobs; job++) {
        children[job] = fork();
        assert_true(children[job] >= 0);
        if (children[job] == 0)
            _exit(try_lives(seed + (uint64_t)job * 1000003, lives) != 0);
    }
    int failures = try_lives(seed, lives);
    for (long job = 1; job < jobs; job++) {
        int status;
        assert_int_equal(waitpid(children[job], &status, 0), children[job]);
        failures += status != 0;
    }
    assert_int_equal(failures, 0);
}

int main(void)
{
    scratch_dir_in_memory();
    /* Each opening of LMDB asks for 2 MiB of zeros and touches little of them: as a mapping they
     * cost nothing, from the heap they are cleared each time, which was a third of all. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    signal(SIGALRM, give_up);
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_jobs_match_the_naive_evaluator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
