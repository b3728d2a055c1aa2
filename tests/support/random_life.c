/* random_life.c: lives of random jobs (see random_life.h).
 *
 * Half of the lives are runs of weir_app_run with until_end, with threads and the clock of the
 * machine; in some of them the disk takes no writes to outputs for a moment, and pipelines try again. The others are driven by weir_test: the clock moves when the life says so, partitions fall
 * idle, pipelines are paused, and the engine is killed between two steps or at one of its places.
 * A few of both kinds are replayed from the beginning at their end, which must give all of it once
 * more. */
#include "tests/support/random_life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "tests/support/accounts.h"
#include "tests/support/drawn_kills.h"
#include "tests/support/failing_disk.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/verified.h"

#define YEAR_2026_MS INT64_C(1767225600000)
enum { DAY_MS = 86400000, SLOW_STEP_MS = 1500000 };

/* ---- drawing ---- */

static void draw_engine(struct life_run *run, struct chance *chance)
{
    static const int batch_rows[] = {1, 2, 7, 100, 4096};
    *run = (struct life_run){
        .threads = 1 + (int)chance_below(chance, 3),
        .batch_rows = batch_rows[chance_below(chance, 5)],
        .commit_interval_ms = 1 + (int)chance_below(chance, 20),
        .checkpoint_interval_ms = 1 + (int)chance_below(chance, 50),
        .memory_bytes = chance_below(chance, 3) == 0 ? 4 << 20 : 0,
        .loses_stores = chance_below(chance, 4) == 0,
        .writes = (int)chance_below(chance, 40),
        .failing_writes = chance_below(chance, 4) == 0 ? 1 + (int)chance_below(chance, 6) : 0,
    };
}

static void draw_driven(struct life *life, struct life_run *run, struct naive_round *round,
                        struct chance *chance)
{
    int64_t unit_ms = life->setting.step_ms > 2000 ? 60000 : 1000;
    run->ends = chance_below(chance, 4) == 0;
    run->begin = (enum life_begin)chance_below(chance, 3);
    run->loses_stores &= run->begin == IS_KILLED;
    if (!life->setting.may_idle && chance_below(chance, 2) == 0) {
        run->kill_at = kill_place(chance);
        run->kill_number = 1 + chance_below(chance, chance_below(chance, 2) == 0 ? 3 : 30);
    }
    run->steps = (int)chance_below(chance, 12);
    run->new_threads = (int)chance_below(chance, 4);
    round->has_clock = true;
    round->clock_count = (int)chance_below(chance, NAIVE_CLOCKS_MAX + 1);
    for (int i = 0; i < round->clock_count; i++)
        run->advances_ms[i] =
            (1 + chance_below(chance, chance_below(chance, 2) == 0 ? 4 : 90)) * unit_ms;
}

static void draw_setting(struct naive_setting *setting, struct chance *chance)
{
    *setting = (struct naive_setting){.rounds = 1 + (int)chance_below(chance, NAIVE_ROUNDS_MAX),
                                      .is_driven = chance_below(chance, 2) == 0,
                                      .is_replayed = chance_below(chance, 5) == 0,
                                      .may_idle = chance_below(chance, 2) == 0};
    if (!setting->is_driven)
        return;
    bool is_slow = chance_below(chance, 3) == 0;
    setting->step_ms = is_slow ? SLOW_STEP_MS : 1 + chance_below(chance, 2000);
    setting->now_ms = is_slow
                          ? naive_near_a_change(chance, naive_draw_zone(chance), 30 * SLOW_STEP_MS)
                          : YEAR_2026_MS + chance_below(chance, DAY_MS);
}

void life_draw(struct life *life, uint64_t seed)
{
    struct chance chance = {seed};
    struct naive_setting setting;
    draw_setting(&setting, &chance);
    life_draw_for(life, seed, &setting);
}

void life_draw_for(struct life *life, uint64_t seed, const struct naive_setting *setting)
{
    struct chance chance = {seed ^ 0x9e3779b97f4a7c15};
    memset(life, 0, sizeof *life);
    life->seed = seed;
    life->setting = *setting;
    if (setting->is_driven && setting->now_ms == 0)
        life->setting.now_ms = YEAR_2026_MS;
    for (int i = 0; i < life->setting.rounds; i++) {
        struct naive_round *round = &life->rounds[i];
        bool is_last = i == life->setting.rounds - 1;
        draw_engine(&life->runs[i], &chance);
        if (life->setting.is_driven)
            draw_driven(life, &life->runs[i], round, &chance);
        life->runs[i].ends |= is_last || !life->setting.is_driven;
        round->close_windows = life->runs[i].ends && chance_below(&chance, is_last ? 2 : 6) == 0;
    }
    life->case_count = LIFE_CASES;
    for (int i = 0; i < LIFE_CASES; i++) {
        life->cases[i] = malloc(sizeof *life->cases[i]);
        must(life->cases[i] != NULL);
        naive_draw(life->cases[i], chance_next(&chance), i, &life->setting);
    }
}

void life_free(struct life *life)
{
    for (int i = 0; i < LIFE_CASES; i++)
        free(life->cases[i]);
}

void life_describe(const struct life *life)
{
    fprintf(stderr, "%d run(s)%s%s", life->setting.rounds,
            life->setting.is_driven ? ", driven" : "",
            life->setting.is_replayed ? ", replayed" : "");
    for (int i = 0; i < life->setting.rounds; i++) {
        const struct naive_round *round = &life->rounds[i];
        const struct life_run *run = &life->runs[i];
        fprintf(stderr, "\n  run %d:%s%s%s", i,
                run->begin == GOES_ON    ? ""
                : run->begin == RESTARTS ? " restarted,"
                                         : " killed before,",
                run->ends ? " to the end," : "", round->close_windows ? " windows closed," : "");
        if (run->failing_writes > 0 && !life->setting.is_driven)
            fprintf(stderr, " %d writes fail after %d,", run->failing_writes, run->writes);
        if (run->kill_at != NULL)
            fprintf(stderr, " killed at %s (%lld),", run->kill_at, (long long)run->kill_number);
        fprintf(stderr, " %d threads, %d rows a batch", run->threads, run->batch_rows);
        if (run->new_threads > 0)
            fprintf(stderr, ", %d threads after %d steps", run->new_threads, run->steps);
        if (round->has_clock)
            fprintf(stderr, ", sent at %lld", (long long)round->send_clock_ms);
        for (int c = 0; c < round->clock_count; c++)
            fprintf(stderr, ", then %lld", (long long)round->clocks_ms[c]);
    }
    fprintf(stderr, "\n");
}

static weir_options options_of(const struct life_run *run)
{
    return (weir_options){.threads = run->threads,
                          .batch_rows = run->batch_rows,
                          .commit_interval_ms = run->commit_interval_ms,
                          .checkpoint_interval_ms = run->checkpoint_interval_ms,
                          .keeper_interval_ms = DAY_MS,
                          .memory_bytes = (size_t)run->memory_bytes};
}

/* Away from the data directory: while an engine is dead, base/io.h removes nothing. */
static void lose_stores(const char *dir)
{
    static int number;
    char *state = scratch_path(dir, "state"), *lost = scratch_path(dir, "../lost-%d", number++);
    if (access(state, F_OK) == 0)
        must(rename(state, lost) == 0);
    free(state);
    free(lost);
}

/* Without a keeper: what a driven life wrote in the past of its own clock is old for this one, and
 * retention would remove it from whoever looks for more than some seconds. */
static struct log *open_log(const char *dir)
{
    struct log_options options = {.durability = DURABILITY_COMMIT, .keeper_interval_ms = -1};
    struct log *log = NULL;
    must(log_open(dir, &options, &log, NULL) == 0);
    return log;
}

/* ---- runs of weir_app_run ---- */

static void send_arm(const struct naive_plan *plan, int arm, struct log *log, int round)
{
    struct diag diag;
    struct config_entry config = {"weir.partitioned.by", "k"};
    const char *topic = arm == 0 ? plan->source : plan->second_source;
    if (round == 0)
        must(topic_create(log, topic, plan->partitions, &config, plan->is_direct, &diag) == 0);
    struct sender *sender;
    struct sender_options options = {.batch_bytes = 1024};
    must(sender_open(log, topic, &options, &sender, &diag) == 0);
    for (int i = 0; i < plan->row_count; i++) {
        const struct naive_row *row = &plan->rows[i];
        struct bytes none = {NULL, 0};
        if (row->round == round && row->arm == arm)
            must(sender_send(sender, row->partition, row->timestamp_ms, none, bytes_text(row->text),
                             none, 0, &diag) == 0);
    }
    must(sender_flush(sender, true, &diag) == 0);
    sender_close(sender);
}

static void send_round(const struct life *life, const char *dir, int round)
{
    struct log *log = open_log(dir);
    for (int i = 0; i < life->case_count; i++)
        for (int arm = 0; arm < life->cases[i]->arms; arm++)
            send_arm(life->cases[i], arm, log, round);
    log_close(log);
}

/* Every pipeline tries again what fails, however often, and nothing else of its results changes. */
static int run_on_failing_disk(const struct job *job, const weir_options *options,
                               const struct life_run *run, char *error, size_t error_size)
{
    static struct failing_disk disk; /* threads of a log may look at it until the log is closed */
    const weir_failure_options again = {
        .policy = WEIR_FAILURE_RETRY, .retries = -1, .backoff_ms = 1, .backoff_max_ms = 20};
    weir_app *app = weir_app_open(job->app, options);
    must(app != NULL);
    job_build(job, app);
    int rc = weir_on_failure(app, NULL, &again);
    failing_disk_start(&disk, run->writes, run->failing_writes);
    if (rc == 0)
        rc = weir_app_run(app);
    failing_disk_stop();
    snprintf(error, error_size, "%s", weir_app_error(app));
    weir_app_close(app);
    return rc;
}

static bool run_app(const struct life *life, const struct job *job, const char *dir, int round,
                    bool is_replay)
{
    char error[1024] = "";
    weir_options options = options_of(&life->runs[round]);
    options.data = dir;
    options.until_end = true;
    options.from_beginning = is_replay;
    options.close_windows = life->rounds[round].close_windows && !is_replay;
    const struct life_run *run = &life->runs[round];
    bool fails = run->failing_writes > 0 && !is_replay; /* a reset that fails ends its run */
    int rc = fails ? run_on_failing_disk(job, &options, run, error, sizeof error)
                   : job_run(job, &options, NULL, error, sizeof error);
    if (rc < 0)
        fprintf(stderr, "run %d failed: %s (%d)\n", round, error, rc);
    return rc >= 0;
}

static bool run_with_threads(struct life *life, const struct job *job, const char *dir)
{
    for (int round = 0; round < life->setting.rounds; round++) {
        if (life->runs[round].loses_stores)
            lose_stores(dir);
        send_round(life, dir, round);
        if (!run_app(life, job, dir, round, false))
            return false;
    }
    return true;
}

/* ---- lives that are driven ---- */

struct drive {
    struct life *life;
    const struct job *job;
    const char *dir;
    weir_app *app;
    weir_test *test;
};

static weir_app *make_app(const struct drive *drive, int round, bool from_beginning)
{
    weir_options options = options_of(&drive->life->runs[round]);
    options.from_beginning = from_beginning;
    weir_app *app = weir_app_open(drive->job->app, &options);
    must(app != NULL);
    job_build(drive->job, app);
    return app;
}

static bool restart_with(struct drive *drive, weir_app *app)
{
    int rc = weir_test_restart(drive->test, app);
    if (rc != 0)
        fprintf(stderr, "restart: %s (%d)\n", weir_test_error(drive->test), rc);
    weir_app_close(drive->app);
    drive->app = app;
    return rc == 0;
}

static bool call(struct drive *drive, enum driven_call what)
{
    return call_through_kills(drive->test, what, &drive->life->kills);
}

static bool begin(struct drive *drive, int round)
{
    const struct life_run *run = &drive->life->runs[round];
    struct naive_round *now = &drive->life->rounds[round];
    now->restarts = round == 0 || drive->life->runs[round - 1].ends || run->begin != GOES_ON;
    if (round == 0 || run->begin == GOES_ON)
        return true;
    if (run->begin == IS_KILLED)
        must(weir_test_kill(drive->test) == 0);
    if (run->loses_stores)
        lose_stores(drive->dir);
    return restart_with(drive, make_app(drive, round, false));
}

/* Whole seconds, and not before any event that is sent now without a timestamp. */
static bool move_clock_to_rows(struct drive *drive, int round)
{
    struct life *life = drive->life;
    int64_t now_ms = weir_test_now(drive->test), to_ms = now_ms;
    for (int c = 0; c < life->case_count; c++)
        for (int i = 0; i < life->cases[c]->row_count; i++) {
            const struct naive_row *row = &life->cases[c]->rows[i];
            if (row->round == round && row->ts > to_ms)
                to_ms = row->ts;
        }
    to_ms += (1000 - to_ms % 1000) % 1000;
    must(weir_test_advance(drive->test, to_ms - now_ms) == 0);
    life->rounds[round].send_clock_ms = to_ms;
    return call(drive, DRIVEN_RUN);
}

static void pause_cases(struct drive *drive, int round, bool is_paused)
{
    for (int c = 0; c < drive->life->case_count; c++) {
        const struct naive_plan *plan = drive->life->cases[c];
        if (plan->is_paused[round])
            must((is_paused ? weir_app_pause : weir_app_resume)(drive->app, plan->out) == 0);
    }
}

/* Of a paused pipeline nothing of what was sent has been read. */
static bool pauses_hold(struct drive *drive, int round)
{
    weir_stage_info *stages;
    size_t count;
    bool ok = true;
    must(weir_app_stages(drive->app, &stages, &count) == 0);
    for (int c = 0; c < drive->life->case_count; c++) {
        const struct naive_plan *plan = drive->life->cases[c];
        int64_t sent = 0;
        for (int i = 0; i < plan->row_count; i++)
            sent += plan->rows[i].round == round;
        for (size_t s = 0; s < count; s++)
            if (plan->is_paused[round] && plan->middle == MIDDLE_NONE &&
                strcmp(stages[s].topic, plan->out) == 0 && stages[s].lag != sent) {
                fprintf(stderr, "%s is paused, and %lld of %lld rows are left\n", plan->out,
                        (long long)stages[s].lag, (long long)sent);
                ok = false;
            }
    }
    weir_free(stages);
    return ok;
}

static void send_rows(struct drive *drive, int round)
{
    for (int c = 0; c < drive->life->case_count; c++) {
        const struct naive_plan *plan = drive->life->cases[c];
        for (int i = 0; i < plan->row_count; i++) {
            const struct naive_row *row = &plan->rows[i];
            int64_t time_ms = row->timestamp_ms == INT64_MIN ? 0 : row->timestamp_ms;
            weir_record record = {.topic = naive_source(plan, row),
                                  .value = row->text,
                                  .value_size = strlen(row->text),
                                  .timestamp_ms = time_ms};
            if (row->round == round)
                must(weir_test_send_record(drive->test, row->partition, &record) == 0);
        }
    }
    must(weir_test_flush(drive->test) == 0);
}

static bool drive_round(struct drive *drive, int round)
{
    const struct life_run *run = &drive->life->runs[round];
    struct naive_round *now = &drive->life->rounds[round];
    if (!begin(drive, round) || !move_clock_to_rows(drive, round))
        return false;
    pause_cases(drive, round, true);
    send_rows(drive, round);
    must(weir_test_kill_at(drive->test, run->kill_at, run->kill_number) == 0);
    bool ok = true;
    for (int i = 0; ok && run->new_threads > 0 && i < run->steps; i++)
        ok = call(drive, DRIVEN_STEP);
    if (run->new_threads > 0)
        must(weir_app_set_threads(drive->app, run->new_threads) == 0);
    ok = ok && call(drive, DRIVEN_RUN) && pauses_hold(drive, round);
    pause_cases(drive, round, false);
    ok = ok && call(drive, DRIVEN_RUN);
    for (int i = 0; ok && i < now->clock_count; i++) {
        ok = weir_test_advance(drive->test, run->advances_ms[i]) == 0 && call(drive, DRIVEN_RUN);
        now->clocks_ms[i] = weir_test_now(drive->test);
    }
    if (ok && run->ends)
        ok = call(drive, now->close_windows ? DRIVEN_CLOSE : DRIVEN_FINISH);
    must(weir_test_kill_at(drive->test, NULL, 0) == 0);
    return ok;
}

static void make_sources(struct drive *drive)
{
    weir_config config = {"weir.partitioned.by", "k"};
    for (int c = 0; c < drive->life->case_count; c++) {
        const struct naive_plan *plan = drive->life->cases[c];
        for (int arm = 0; arm < plan->arms; arm++)
            must(weir_topic_create(weir_test_log(drive->test),
                                   arm == 0 ? plan->source : plan->second_source, plan->partitions,
                                   &config, plan->is_direct) == 0);
    }
}

static bool start_driving(struct drive *drive)
{
    int64_t start_ms = drive->life->setting.now_ms;
    drive->app = make_app(drive, 0, false);
    weir_test_options options = {.data = drive->dir, .start_ms = start_ms - start_ms % 1000};
    if (weir_test_open(drive->app, &options, &drive->test) < 0) {
        fprintf(stderr, "driven: %s\n", weir_log_error());
        return false;
    }
    make_sources(drive);
    return true;
}

static bool stop_driving(struct drive *drive)
{
    bool ok = weir_test_close(drive->test) == 0;
    weir_app_close(drive->app);
    return ok;
}

static bool run_driven(struct life *life, const struct job *job, const char *dir)
{
    struct drive drive = {.life = life, .job = job, .dir = dir};
    bool ok = start_driving(&drive);
    for (int round = 0; ok && round < life->setting.rounds; round++)
        ok = drive_round(&drive, round);
    return stop_driving(&drive) && ok;
}

static bool replay(struct life *life, const struct job *job, const char *dir)
{
    int last = life->setting.rounds - 1;
    if (!life->setting.is_driven)
        return run_app(life, job, dir, last, true);
    struct drive drive = {.life = life, .job = job, .dir = dir};
    weir_test_options options = {.data = dir, .start_ms = life->rounds[last].send_clock_ms};
    drive.app = make_app(&drive, last, true);
    bool ok = weir_test_open(drive.app, &options, &drive.test) == 0 && call(&drive, DRIVEN_FINISH);
    return stop_driving(&drive) && ok;
}

/* ---- comparing ---- */

/* The topic holds what is expected so many times. Which records: all of them, or those that came from
 * one source topic; under which key: their own, none (""), or a header. */
struct wanted {
    const char *topic, *header, *source, *second_source;
    bool is_upsert;
    int times;
};

static bool same_topic(struct log *log, struct wanted wanted, const struct pairs *expected)
{
    struct topic_rows rows;
    struct pairs actual, repeated;
    topic_rows_init(&rows);
    pairs_init(&actual);
    pairs_init(&repeated);
    topic_rows_read(log, wanted.topic, READ_COMMITTED, &rows);
    if (wanted.is_upsert)
        topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++) {
        struct topic_row *row = &rows.items[i];
        struct bytes source = topic_row_header(row, "weir.source.topic");
        if (wanted.source != NULL && !bytes_equal(source, bytes_text(wanted.source)) &&
            !bytes_equal(source, bytes_text(wanted.second_source)))
            continue;
        struct bytes key = wanted.header == NULL      ? row->key
                           : wanted.header[0] == '\0' ? bytes_text("")
                                                      : topic_row_header(row, wanted.header);
        pairs_add(&actual, key, row->value);
    }
    for (int i = 0; i < (wanted.is_upsert ? 1 : wanted.times); i++)
        for (size_t p = 0; p < expected->count; p++)
            pairs_add(&repeated, expected->items[p].key, expected->items[p].value);
    bool same = pairs_same(wanted.topic, &repeated, &actual);
    pairs_deinit(&repeated);
    pairs_deinit(&actual);
    topic_rows_deinit(&rows);
    return same;
}

static bool same_accounts(const struct topic_rows *progress, const char *view,
                          const struct naive_stage *expected)
{
    static const char *const names[] = {"in", "made", "applied", "filtered", "late", "dead"};
    struct account_sum sum;
    bool same = true;
    accounts_of(progress, view, &sum);
    const int64_t is[] = {sum.in, sum.made, sum.applied, sum.filtered, sum.late, sum.dead};
    const int64_t wanted[] = {expected->in,       expected->made, expected->applied,
                              expected->filtered, expected->late, expected->dead};
    for (size_t i = 0; i < sizeof is / sizeof is[0]; i++)
        if (is[i] != wanted[i]) {
            fprintf(stderr, "accounts of %s: %s %lld (%lld)\n", view, names[i], (long long)is[i],
                    (long long)wanted[i]);
            same = false;
        }
    return same;
}

static bool same_middle(const struct naive_plan *plan, struct log *log,
                        const struct topic_rows *progress, const struct naive_result *want)
{
    bool ok = same_topic(
        log,
        (struct wanted){plan->middle_topic, plan->rekey != NULL ? NULL : "", NULL, NULL, false, 1},
        &want->middle_rows);
    ok = same_topic(log,
                    (struct wanted){"random.dlq", "weir.error.class", plan->source,
                                    plan->second_source, false, 1},
                    &want->middle.dead_rows) &&
         ok;
    return same_accounts(progress, plan->middle_topic, &want->middle) && ok;
}

static bool same_case(const struct life *life, const struct naive_plan *plan, struct log *log,
                      const struct topic_rows *progress, int times)
{
    struct naive_result want;
    const char *source = plan->middle != MIDDLE_NONE ? plan->middle_topic : plan->source;
    const char *second = plan->middle != MIDDLE_NONE ? source : plan->second_source;
    bool ok = true;
    naive_evaluate(plan, life->rounds, life->setting.rounds, &want);
    if (plan->middle != MIDDLE_NONE)
        ok = same_middle(plan, log, progress, &want);
    struct wanted out = {plan->out, plan->is_rows ? "" : NULL,         NULL,
                         NULL,      !plan->is_rows && !plan->is_final, times};
    ok = same_topic(log, out, &want.outputs) && ok;
    ok = same_topic(log, (struct wanted){plan->late, "", NULL, NULL, false, times},
                    &want.late_rows) &&
         ok;
    ok = same_topic(log,
                    (struct wanted){"random.dlq", "weir.error.class", source, second, false, times},
                    &want.main.dead_rows) &&
         ok;
    ok = same_accounts(progress, plan->out, &want.main) && ok;
    if (plan->has_rollup) {
        ok = same_topic(log, (struct wanted){plan->rollup_topic, NULL, NULL, NULL, true, 1},
                        &want.rollups) &&
             ok;
        ok = same_accounts(progress, plan->rollup_topic, &want.rollup) && ok;
    }
    naive_result_deinit(&want);
    return ok;
}

/* times: how often its rows were processed from the beginning. */
static unsigned compare(const struct life *life, const char *dir, int times)
{
    unsigned failed = 0;
    struct log *log = open_log(dir);
    struct topic_rows progress;
    accounts_read(log, "random", &progress);
    for (int i = 0; i < life->case_count; i++)
        if (!same_case(life, life->cases[i], log, &progress, times))
            failed |= 1u << i;
    if (!accounts_close(log, "random", times > 1) && failed == 0)
        failed = (1u << life->case_count) - 1;
    topic_rows_deinit(&progress);
    log_close(log);
    if (failed != 0 && times > 1)
        fprintf(stderr, "as it was replayed from the beginning\n");
    return failed;
}

/* What `weir verify` says: a second evaluator, of the records themselves. */
static unsigned verify(const struct life *life, const char *dir)
{
    unsigned failed = 0;
    for (int i = 0; i < life->case_count; i++) {
        const struct naive_plan *plan = life->cases[i];
        bool ok = view_is_verified(dir, "random", plan->out);
        if (plan->middle != MIDDLE_NONE)
            ok = view_is_verified(dir, "random", plan->middle_topic) && ok;
        if (plan->has_rollup)
            ok = view_is_verified(dir, "random", plan->rollup_topic) && ok;
        failed |= ok ? 0 : 1u << i;
    }
    return failed;
}

unsigned life_run(struct life *life)
{
    struct job job = {.app = "random"};
    unsigned all = (1u << life->case_count) - 1;
    char *root = scratch_dir_create(), *dir = scratch_path(root, "data");
    must(mkdir(dir, 0700) == 0);
    for (int i = 0; i < life->case_count; i++)
        naive_add_job(life->cases[i], &job);
    bool ok =
        life->setting.is_driven ? run_driven(life, &job, dir) : run_with_threads(life, &job, dir);
    unsigned failed = ok ? compare(life, dir, 1) | verify(life, dir) : all;
    if (failed == 0 && life->setting.is_replayed)
        failed = replay(life, &job, dir) ? compare(life, dir, 2) | verify(life, dir) : all;
    free(dir);
    scratch_dir_remove(root);
    return failed;
}
