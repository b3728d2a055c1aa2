/* test_promises.c: one test, at least, for each promise of the architecture, P1 to P9; each fails
 * when its promise is broken.
 *
 * Faults are injected where they would happen: the hook of io.h fails a flush, crash points end a
 * child in the middle of a commit or checkpoint, bytes of a segment are flipped or cut, directories
 * are removed or exchanged. What must hold afterwards is read back through the log and the store,
 * never asked of the engine that is under test. The long, random version of P2 to P5 is
 * test_kill.c. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/bytes.h"
#include "runtime/base/io.h"
#include "runtime/state/state.h"
#include "tests/support/accounts.h"
#include "tests/support/fork_child.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/memory_sampler.h"
#include "tests/support/scratch_dir.h"

enum { CRASH_EXIT = 137, ROWS = 4000 };

/* ---- shared ---- */

static void small_job(struct job *job)
{
    memset(job, 0, sizeof *job);
    job->app = KILL_APP;
    job_add(job, JOB_SOURCE, "in", "ts", 0);
    job_add(job, JOB_CHECK, "amount >= 0", "negative", 0);
    job_add(job, JOB_TO, "valid", NULL, 0);
    job_add(job, JOB_SOURCE, "in", "ts", 0);
    job_add(job, JOB_FILTER, "amount >= 0", NULL, 0);
    job_add(job, JOB_GROUP, "region, \"user\"", NULL, 0);
    job_add(job, JOB_AGGREGATE, "count(*) AS n", NULL, 0);
    job_add(job, JOB_TO, "sums", NULL, 0);
}

static void make_input(const char *dir, uint64_t seed, int rows)
{
    struct chance chance = {seed};
    struct kill_input input;
    struct log *log = topic_log_open(dir);
    kill_input_create(log, &input);
    kill_input_append(log, &input, &chance, rows);
    log_close(log);
}

static int run(const char *dir, void (*make)(struct job *), const weir_options *changes,
               weir_progress *progress, char *error, size_t size)
{
    struct job job;
    weir_options options = changes != NULL ? *changes : (weir_options){.threads = 2};
    options.data = dir;
    options.until_end = true;
    make(&job);
    return job_run(&job, &options, progress, error, size);
}

/* A run of the job in a child that may die at a crash point. Returns its exit code. */
static int run_child(const char *dir, bool is_small, const char *crash_at)
{
    pid_t child = fork_child();
    must(child >= 0);
    if (child == 0) {
        if (crash_at != NULL)
            setenv("WEIR_CRASH_AT", crash_at, 1);
        execl("/proc/self/exe", "test_promises", "child", dir, is_small ? "small" : "kill",
              (char *)NULL);
        _exit(127);
    }
    int status;
    must(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child_main(char **argv)
{
    char error[1024] = "";
    weir_options options = {
        .threads = 2, .batch_rows = 64, .commit_interval_ms = 2, .checkpoint_interval_ms = 5};
    int rc = run(argv[2], strcmp(argv[3], "small") == 0 ? small_job : kill_job, &options, NULL,
                 error, sizeof error);
    if (rc < 0)
        fprintf(stderr, "%s\n", error);
    return rc < 0;
}

static int64_t json_number(struct bytes value, const char *name)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const uint8_t *at = memmem(value.data, value.size, pattern, strlen(pattern));
    return at == NULL ? INT64_MIN : strtoll((const char *)at + strlen(pattern), NULL, 10);
}

/* The latest progress record of a task; .value.data NULL when there is none. */
static struct topic_row progress_of(const struct topic_rows *latest, const char *stage,
                                    int partition)
{
    char key[64];
    snprintf(key, sizeof key, "%s/%d", stage, partition);
    for (size_t i = 0; i < latest->count; i++)
        if (bytes_equal(latest->items[i].key, bytes_text(key)))
            return latest->items[i];
    return (struct topic_row){0};
}

static size_t rows_of(struct log *log, const char *topic, int partition)
{
    struct topic_rows rows;
    struct topic_info info;
    topic_rows_init(&rows);
    if (topic_describe(log, topic, &info, NULL) == 0)
        topic_rows_read_partition(log, topic, partition, 0, READ_COMMITTED, &rows, NULL);
    size_t count = rows.count;
    topic_rows_deinit(&rows);
    return count;
}

/* Rows of a dead-letter or late topic that a stage took from one partition. */
static size_t kept_rows(struct log *log, const char *topic, const char *stage, int partition)
{
    struct topic_rows rows;
    size_t count = 0;
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    for (size_t i = 0; i < rows.count; i++)
        count += bytes_equal(topic_row_header(&rows.items[i], "weir.stage"), bytes_text(stage)) &&
                 topic_row_header_i64(&rows.items[i], "weir.source.partition") == partition;
    topic_rows_deinit(&rows);
    return count;
}

/* ---- P1 durable ---- */

static bool is_segment(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    return size > 4 && memcmp(path + size - 4, ".log", 4) == 0;
}

struct disk_order {
    atomic_long now, written, flushed, created, entered;
};
static int note_order(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct disk_order *order = context;
    long now = atomic_fetch_add(&order->now, 1) + 1;
    (void)size;
    if (call == IO_PWRITE && is_segment(fd))
        atomic_store(&order->written, now);
    if (call == IO_FDATASYNC)
        atomic_store(&order->flushed, now);
    if (call == IO_OPEN && path != NULL && strstr(path, ".log") != NULL)
        atomic_store(&order->created, now);
    if (call == IO_FSYNC_DIR)
        atomic_store(&order->entered, now);
    return 0;
}

static void p1_acknowledged_means_flushed_and_entered(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct disk_order order = {0};
    struct log *log = topic_log_open(dir);
    struct sender *sender;
    struct bytes none = {NULL, 0};
    io_set_fault(note_order, &order);
    assert_int_equal(topic_create(log, "t", 1, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "t", NULL, &sender, NULL), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(
            sender_send(sender, 0, INT64_MIN, none, bytes_text("value"), none, 0, NULL), 0);
        assert_int_equal(sender_flush(sender, true, NULL), 0);
        assert_true(atomic_load(&order.written) > 0);
        assert_true(atomic_load(&order.flushed) > atomic_load(&order.written));
        assert_true(atomic_load(&order.entered) > atomic_load(&order.created));
    }
    io_set_fault(NULL, NULL);
    sender_close(sender);
    log_close(log);
    scratch_dir_remove(dir);
}

static int fail_flushes(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)path;
    (void)fd;
    (void)size;
    if (call != IO_FDATASYNC)
        return 0;
    atomic_fetch_add((atomic_int *)context, 1);
    return EIO;
}

static void p1_nobody_reads_what_is_not_flushed(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = topic_log_open(dir);
    struct sender *sender;
    struct partition *partition;
    struct partition_offsets offsets;
    struct bytes none = {NULL, 0};
    struct fetch fetch;
    atomic_int failures = 0;
    assert_int_equal(topic_create(log, "t", 1, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "t", NULL, &sender, NULL), 0);
    assert_int_equal(partition_get(log, "t", 0, &partition, NULL), 0);
    io_set_fault(fail_flushes, &failures);
    sender_send(sender, 0, INT64_MIN, none, bytes_text("lost"), none, 0, NULL);
    assert_true(sender_flush(sender, true, NULL) < 0);
    assert_true(failures > 0);
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.high_watermark, 0);
    assert_int_equal(offsets.stable, 0);
    fetch_init(&fetch);
    for (int isolation = READ_COMMITTED; isolation <= READ_UNCOMMITTED; isolation++) {
        assert_int_equal(
            partition_fetch(partition, 0, (enum isolation)isolation, 1 << 20, &fetch, NULL), 0);
        assert_int_equal(fetch.next_offset, 0);
    }
    fetch_deinit(&fetch);
    /* P9: the writer is stopped, also when the disk would answer again. */
    io_set_fault(NULL, NULL);
    assert_true(log_status(log, NULL) < 0);
    sender_send(sender, 0, INT64_MIN, none, bytes_text("after"), none, 0, NULL);
    assert_true(sender_flush(sender, true, NULL) < 0);
    sender_close(sender);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- P2 atomic ---- */

/* Positions, outputs, dead letters and changelog of whatever was committed must agree with each
 * other. */
static void assert_commit_is_whole(const char *dir)
{
    struct log *log = topic_log_open(dir);
    struct topic_rows progress, sums, changelog;
    int64_t results = 0, logged = 0;
    topic_rows_init(&progress);
    topic_rows_init(&sums);
    topic_rows_init(&changelog);
    topic_rows_read(log, KILL_APP "-progress", READ_COMMITTED, &progress);
    topic_rows_latest(&progress);
    for (int p = 0; p < KILL_PARTITIONS; p++) {
        struct topic_row record = progress_of(&progress, "valid", p);
        int64_t position = record.value.data != NULL ? json_number(record.value, "position") : 0;
        assert_int_equal(position,
                         rows_of(log, "valid", p) + kept_rows(log, KILL_APP ".dlq", "valid", p));
    }
    topic_rows_read(log, "sums", READ_COMMITTED, &sums);
    topic_rows_latest(&sums);
    for (size_t i = 0; i < sums.count; i++)
        results += json_number(sums.items[i].value, "n");
    topic_rows_read(log, KILL_APP "-sums-changelog", READ_COMMITTED, &changelog);
    topic_rows_latest(&changelog);
    for (size_t i = 0; i < changelog.count; i++) {
        struct bytes value = changelog.items[i].value;
        uint8_t version;
        uint64_t rows;
        assert_int_equal(take_u8(&value, &version), 0);
        assert_int_equal(take_uvarint(&value, &rows), 0);
        logged += (int64_t)rows;
    }
    assert_int_equal(changelog.count, sums.count);
    assert_int_equal(logged, results);
    topic_rows_deinit(&progress);
    topic_rows_deinit(&sums);
    topic_rows_deinit(&changelog);
    log_close(log);
}

static void p2_a_commit_counts_whole_or_not_at_all(void **state)
{
    (void)state;
    static const char *const points[] = {
        "commit_before_append",
        "append.written",
        "commit_between_outputs",
        "commit_before_progress",
        "commit_started",
        "flush.before",
        "flush.done",
        "decide.before",
        "decide.done",
        "decide.stable",
        "marker.commit",
        "decide.finished",
        "commit_decided",
    };
    int crashes = 0;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        char *dir = scratch_dir_create();
        make_input(dir, i + 1, ROWS);
        for (int pass = 1; pass <= 7; pass += 3) {
            char crash_at[64];
            snprintf(crash_at, sizeof crash_at, "%s:%d", points[i], pass);
            int code = run_child(dir, true, crash_at);
            assert_true(code == CRASH_EXIT || code == 0);
            crashes += code == CRASH_EXIT;
            assert_commit_is_whole(dir);
        }
        assert_int_equal(run_child(dir, true, NULL), 0);
        assert_commit_is_whole(dir);
        scratch_dir_remove(dir);
    }
    assert_true(crashes >= (int)(sizeof points / sizeof points[0]));
}

/* ---- P3 state follows ---- */

/* Every store is a prefix of its committed changelog: what it holds is the changelog below its
 * position, and that is committed. Returns how many there are. */
static int assert_stores_are_prefixes(const char *dir)
{
    static const char *const stages[] = {"totals", "finals", "rollup"};
    struct log *log = topic_log_open(dir);
    int stores = 0;
    for (int s = 0; s < 3; s++)
        for (int p = 0; p < KILL_PARTITIONS; p++) {
            char topic[64], *path = scratch_path(dir, "state/%s/%s-%d", KILL_APP, stages[s], p);
            struct topic_rows rows;
            struct pairs stored, replayed;
            struct state_position position;
            struct partition *partition;
            struct partition_offsets offsets;
            snprintf(topic, sizeof topic, "%s-%s-changelog", KILL_APP, stages[s]);
            topic_rows_init(&rows);
            pairs_init(&stored);
            pairs_init(&replayed);
            if (pairs_add_store(&stored, path, &position)) {
                stores++;
                assert_int_equal(partition_get(log, topic, p, &partition, NULL), 0);
                partition_offsets(partition, &offsets);
                assert_true(position.offset <= offsets.stable);
                topic_rows_read_partition(log, topic, p, 0, READ_COMMITTED, &rows, NULL);
                while (rows.count > 0 && rows.items[rows.count - 1].offset >= position.offset)
                    rows.count--;
                topic_rows_latest(&rows);
                pairs_add_rows(&replayed, &rows);
                assert_true(pairs_same(path, &replayed, &stored));
            }
            topic_rows_deinit(&rows);
            pairs_deinit(&stored);
            pairs_deinit(&replayed);
            free(path);
        }
    log_close(log);
    return stores;
}

static void p3_a_store_is_a_prefix_of_its_changelog(void **state)
{
    (void)state;
    static const char *const points[] = {"checkpoint_slice", "state_before_commit",
                                         "state_after_commit", "decide.before", "commit_decided"};
    int stores = 0;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        char *dir = scratch_dir_create();
        make_input(dir, i + 100, ROWS);
        for (int pass = 3; pass <= 30; pass += 9) {
            char crash_at[64];
            snprintf(crash_at, sizeof crash_at, "%s:%d", points[i], pass);
            int code = run_child(dir, false, crash_at);
            assert_true(code == CRASH_EXIT || code == 0);
            stores += assert_stores_are_prefixes(dir);
        }
        scratch_dir_remove(dir);
    }
    assert_true(stores > 0);
}

/* The log of yesterday with the stores of today: the log has lost what it had acknowledged, and no
 * guess makes that good. */
static void p3_a_store_ahead_of_its_changelog_is_refused(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), error[1024] = "";
    char *now = scratch_path(dir, "now"), *before = scratch_path(dir, "before"),
         *state_now = scratch_path(dir, "now/state"),
         *state_before = scratch_path(dir, "before/state");
    struct chance chance = {7};
    struct kill_input input;
    struct log *log = topic_log_open(now);
    kill_input_create(log, &input);
    kill_input_append(log, &input, &chance, 500);
    log_close(log);
    assert_int_equal(run(now, kill_job, NULL, NULL, error, sizeof error), 0);
    scratch_copy(now, before);
    log = topic_log_open(now);
    kill_input_append(log, &input, &chance, 500);
    log_close(log);
    assert_int_equal(run(now, kill_job, NULL, NULL, error, sizeof error), 0);
    assert_int_equal(io_remove_tree(state_before, NULL), 0);
    scratch_copy(state_now, state_before);
    assert_int_equal(run(before, kill_job, NULL, NULL, error, sizeof error), WEIR_ECORRUPT);
    assert_non_null(strstr(error, "ahead of its changelog"));
    assert_non_null(strstr(error, "before/state/" KILL_APP "/"));
    free(now);
    free(before);
    free(state_now);
    free(state_before);
    scratch_dir_remove(dir);
}

/* ---- P4 rebuildable ---- */

static void read_stores(const char *dir, struct pairs *pairs)
{
    static const char *const stages[] = {"totals", "finals", "rollup"};
    for (int s = 0; s < 3; s++)
        for (int p = 0; p < KILL_PARTITIONS; p++) {
            char *path = scratch_path(dir, "state/%s/%s-%d", KILL_APP, stages[s], p);
            assert_true(pairs_add_store(pairs, path, NULL));
            free(path);
        }
}

static void p4_a_removed_store_comes_back_the_same(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), error[1024] = "", *state_dir = scratch_path(dir, "state");
    struct pairs before, after;
    pairs_init(&before);
    pairs_init(&after);
    make_input(dir, 4, ROWS);
    assert_int_equal(run(dir, kill_job, NULL, NULL, error, sizeof error), 0);
    read_stores(dir, &before);
    assert_true(before.count > 0);
    assert_int_equal(io_remove_tree(state_dir, NULL), 0);
    assert_int_equal(run(dir, kill_job, NULL, NULL, error, sizeof error), 0);
    read_stores(dir, &after);
    assert_true(pairs_same("stores", &before, &after));
    pairs_deinit(&before);
    pairs_deinit(&after);
    free(state_dir);
    scratch_dir_remove(dir);
}

/* ---- P5 accounted ---- */

static void p5_every_row_is_accounted_for(void **state)
{
    (void)state;
    static const char *const stages[] = {"valid", "totals-repartition", "finals-repartition"};
    static const char *const inputs[] = {"in", "valid", "valid"};
    char *dir = scratch_dir_create(), error[1024] = "";
    weir_progress sums;
    make_input(dir, 5, ROWS);
    assert_int_equal(run_child(dir, false, "decide.done:9"), CRASH_EXIT);
    assert_int_equal(run(dir, kill_job, NULL, &sums, error, sizeof error), 0);
    assert_int_equal(sums.rows_in + sums.rows_made,
                     sums.rows_applied + sums.rows_filtered + sums.rows_late + sums.rows_duplicate +
                         sums.rows_dead);
    assert_int_equal(sums.lag, 0);
    struct log *log = topic_log_open(dir);
    struct topic_rows progress;
    topic_rows_init(&progress);
    topic_rows_read(log, KILL_APP "-progress", READ_COMMITTED, &progress);
    topic_rows_latest(&progress);
    for (int s = 0; s < 3; s++)
        for (int p = 0; p < KILL_PARTITIONS; p++) {
            struct bytes value = progress_of(&progress, stages[s], p).value;
            assert_non_null(value.data);
            assert_int_equal(json_number(value, "in"), rows_of(log, inputs[s], p));
        }
    assert_true(accounts_close(log, KILL_APP, false));
    topic_rows_deinit(&progress);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- P6 deterministic ---- */

static void read_results(const char *dir, struct pairs *pairs)
{
    static const char *const topics[] = {"totals", "finals", "rollup"};
    struct log *log = topic_log_open(dir);
    for (int t = 0; t < 3; t++) {
        struct topic_rows rows;
        topic_rows_init(&rows);
        topic_rows_read(log, topics[t], READ_COMMITTED, &rows);
        if (t != 1)
            topic_rows_latest(&rows);
        pairs_add_rows(pairs, &rows);
        topic_rows_deinit(&rows);
    }
    log_close(log);
}

static void p6_cuts_do_not_change_results(void **state)
{
    (void)state;
    static const weir_options ways[] = {
        {.threads = 1, .batch_rows = 4096, .close_windows = true},
        {.threads = 2, .batch_rows = 1, .commit_interval_ms = 1, .close_windows = true},
        {.threads = 3,
         .batch_rows = 97,
         .commit_interval_ms = 3,
         .checkpoint_interval_ms = 2,
         .close_windows = true},
    };
    char *dir = scratch_dir_create(), error[1024] = "", *origin = scratch_path(dir, "origin");
    struct pairs first;
    pairs_init(&first);
    make_input(origin, 6, ROWS);
    for (int i = 0; i < 3; i++) {
        char *copy = scratch_path(dir, "copy-%d", i);
        struct pairs results;
        pairs_init(&results);
        scratch_copy(origin, copy);
        assert_int_equal(run(copy, kill_job, &ways[i], NULL, error, sizeof error), 0);
        read_results(copy, i == 0 ? &first : &results);
        if (i > 0)
            assert_true(pairs_same("results", &first, &results));
        pairs_deinit(&results);
        free(copy);
    }
    assert_true(first.count > 0);
    pairs_deinit(&first);
    free(origin);
    scratch_dir_remove(dir);
}

/* ---- P7 nothing silent ---- */

static void p7_what_does_not_pass_is_kept_whole(void **state)
{
    (void)state;
    static const char *const values[] = {
        "{\"id\":1,\"user\":\"u01\",\"region\":\"r1\",\"amount\":-1.00,\"ts\":1600000000000}",
        "not json",
        "",
        "{\"id\":2,\"amount\":\"many\",\"ts\":1600000000000}",
        "{\"id\":3,\"amount\":1}",
    };
    enum { COUNT = sizeof values / sizeof values[0] };
    char *dir = scratch_dir_create(), error[1024] = "";
    struct log *log = topic_log_open(dir);
    struct kill_input input;
    struct sender *sender;
    struct buf headers;
    weir_progress sums;
    buf_init(&headers, 0);
    headers_add(&headers, "trace", bytes_text("abc\x01"));
    headers_add(&headers, "empty", (struct bytes){NULL, 0});
    kill_input_create(log, &input);
    assert_int_equal(sender_open(log, "in", NULL, &sender, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(sender_send(sender, 1, 1700000000000 + i, bytes_text("key"),
                                     bytes_text(values[i]), bytes_of(headers.data, headers.size), 2,
                                     NULL),
                         0);
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
    assert_int_equal(run(dir, kill_job, NULL, &sums, error, sizeof error), 0);
    assert_int_equal(sums.rows_dead, COUNT);
    log = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(log, KILL_APP ".dlq", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, COUNT);
    for (size_t i = 0; i < rows.count; i++) {
        const struct topic_row *row = &rows.items[i];
        int64_t offset = topic_row_header_i64(row, "weir.source.offset");
        assert_in_range(offset, 0, COUNT - 1);
        assert_true(bytes_equal(row->key, bytes_text("key")) &&
                    bytes_equal(row->value, bytes_text(values[offset])));
        assert_true(row->headers.size > headers.size &&
                    memcmp(row->headers.data, headers.data, headers.size) == 0);
        assert_int_equal(topic_row_header_i64(row, "weir.source.timestamp"),
                         1700000000000 + offset);
        assert_int_equal(topic_row_header_i64(row, "weir.source.partition"), 1);
        assert_true(bytes_equal(topic_row_header(row, "weir.source.topic"), bytes_text("in")));
        assert_true(topic_row_header(row, "weir.error.class").size > 0 &&
                    topic_row_header(row, "weir.error.message").size > 0);
    }
    topic_rows_deinit(&rows);
    log_close(log);
    buf_deinit(&headers);
    scratch_dir_remove(dir);
}

/* ---- P8 bounded ---- */

static void many_groups_job(struct job *job)
{
    memset(job, 0, sizeof *job);
    job->app = "bounded";
    job_add(job, JOB_SOURCE, "many", NULL, 0);
    job_add(job, JOB_GROUP, "g", NULL, 0);
    job_add(job, JOB_AGGREGATE, "count(*) AS n, sum(x) AS total", NULL, 0);
    job_add(job, JOB_TO, "groups", NULL, 0);
}

static void make_many_groups(const char *dir, int groups, int rounds)
{
    struct log *log = topic_log_open(dir);
    struct sender *sender;
    struct bytes none = {NULL, 0};
    assert_int_equal(topic_create(log, "many", 1, NULL, 0, NULL), 0);
    assert_int_equal(sender_open(log, "many", NULL, &sender, NULL), 0);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < groups; i++) {
            char text[96];
            int size = snprintf(text, sizeof text, "{\"g\":\"group-%08d-%032d\",\"x\":%d}",
                                (int)((int64_t)i * 7919 % groups), i % 10, round);
            assert_int_equal(sender_send(sender, 0, INT64_MIN, none, bytes_of(text, (size_t)size),
                                         none, 0, NULL),
                             0);
        }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

/* The peak of a run with a 16 MiB budget, in MB, measured in a process of its own. */
static double peak_of_run(const char *dir)
{
    int ends[2];
    double peak = -1;
    must(pipe(ends) == 0);
    pid_t child = fork_child();
    must(child >= 0);
    if (child == 0) {
        char error[1024] = "";
        struct memory_sampler sampler;
        weir_options options = {
            .threads = 1, .memory_bytes = 16 << 20, .checkpoint_interval_ms = 200};
        alarm(120);
        memory_sampler_start(&sampler);
        int rc = run(dir, many_groups_job, &options, NULL, error, sizeof error);
        memory_sampler_stop(&sampler);
        if (rc < 0)
            fprintf(stderr, "%s\n", error);
        must(write(ends[1], &sampler.peak_anonymous_mb, sizeof sampler.peak_anonymous_mb) > 0);
        _exit(rc < 0);
    }
    int status;
    must(waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0
             ? read(ends[0], &peak, sizeof peak) == sizeof peak
             : true);
    close(ends[0]);
    close(ends[1]);
    return peak;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

/* Sixteen times the groups, the same budget: the peak stays within budget, buffers and a fixed
 * part, and every group is there. */
static void p8_memory_does_not_grow_with_the_groups(void **state)
{
    (void)state;
    /* A sanitizer's own memory drowns the figure, and its time is dear: fewer groups, no limit. */
    static const int groups[] = {IS_SANITIZED ? 5000 : 50000, IS_SANITIZED ? 40000 : 800000};
    double peaks[2];
    for (int i = 0; i < 2; i++) {
        char *dir = scratch_dir_create();
        make_many_groups(dir, groups[i], 2);
        peaks[i] = peak_of_run(dir);
        assert_true(peaks[i] > 0);
        struct log *log = topic_log_open(dir);
        struct topic_rows rows;
        topic_rows_init(&rows);
        topic_rows_read(log, "groups", READ_COMMITTED, &rows);
        topic_rows_latest(&rows);
        assert_int_equal(rows.count, groups[i]);
        for (size_t r = 0; r < rows.count; r++)
            assert_int_equal(json_number(rows.items[r].value, "n"), 2);
        topic_rows_deinit(&rows);
        log_close(log);
        scratch_dir_remove(dir);
    }
    fprintf(stderr, "peak %.1f MB with %d groups, %.1f MB with %d, budget 16.8 MB\n", peaks[0],
            groups[0], peaks[1], groups[1]);
    if (!IS_SANITIZED)
        assert_true(peaks[1] < 110);
}

/* ---- P9 stop, not guess ---- */

static int fail_flush_number(void *context, enum io_call call, const char *path, int fd,
                             size_t *size)
{
    (void)path;
    (void)fd;
    (void)size;
    return call == IO_FDATASYNC && atomic_fetch_sub((atomic_int *)context, 1) == 1 ? EIO : 0;
}

/* One flush fails, once, in the middle of a job: the job ends with an error, and the next start is
 * exact. */
static void p9_a_failed_flush_stops_the_job(void **state)
{
    (void)state;
    for (int flush = 1; flush <= 40; flush += 6) {
        char *dir = scratch_dir_create(), error[1024] = "";
        struct kill_expected expected;
        struct pairs results;
        weir_options options = {.threads = 2, .batch_rows = 64, .commit_interval_ms = 2};
        make_input(dir, (uint64_t)flush, ROWS);
        atomic_int left = flush;
        io_set_fault(fail_flush_number, &left);
        int rc = run(dir, kill_job, &options, NULL, error, sizeof error);
        io_set_fault(NULL, NULL);
        assert_true(atomic_load(&left) > 0 || rc < 0);
        if (rc < 0)
            assert_true(error[0] != '\0');
        options.close_windows = true;
        assert_int_equal(run(dir, kill_job, &options, NULL, error, sizeof error), 0);
        struct log *log = topic_log_open(dir);
        kill_expected_build(log, true, &expected);
        log_close(log);
        pairs_init(&results);
        read_results(dir, &results);
        struct pairs *parts[] = {&expected.finals, &expected.rollup};
        for (int i = 0; i < 2; i++)
            for (size_t r = 0; r < parts[i]->count; r++)
                pairs_add(&expected.totals, parts[i]->items[r].key, parts[i]->items[r].value);
        assert_true(pairs_same("results", &expected.totals, &results));
        pairs_deinit(&results);
        kill_expected_free(&expected);
        scratch_dir_remove(dir);
    }
}

/* Flips a bit of the CRC of the first batch at or after from. Batches are as long as their records'
 * times make them, so a place in the file is now here and now there in a batch; and what the leader
 * epoch of a batch is, its CRC does not say. */
static void damage_batch(int fd, off_t from)
{
    uint8_t header[21];
    off_t at = 0;
    do {
        assert_int_equal(pread(fd, header, sizeof header, at), sizeof header);
        at += 12 + (off_t)load_be32(header + 8);
    } while (at < from);
    assert_int_equal(pread(fd, header, sizeof header, at), sizeof header);
    header[20] ^= 0x10;
    assert_int_equal(pwrite(fd, header + 20, 1, at + 20), 1);
}

static void p9_damage_below_the_flushed_end_stops_the_partition(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), error[1024] = "",
         *path = scratch_path(dir, "topics/in-1/00000000000000000000.log");
    make_input(dir, 9, ROWS);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    damage_batch(fd, 20000);
    close(fd);
    assert_int_equal(run(dir, kill_job, NULL, NULL, error, sizeof error), WEIR_ECORRUPT);
    assert_non_null(strstr(error, "in-1"));
    assert_non_null(strstr(error, "offset"));
    /* The neighbour works on. */
    struct log *log = topic_log_open(dir);
    assert_true(rows_of(log, "in", 0) > 0);
    log_close(log);
    free(path);
    scratch_dir_remove(dir);
}

static void p9_a_torn_tail_is_trimmed_and_nothing_else(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(),
         *path = scratch_path(dir, "topics/in-0/00000000000000000000.log");
    make_input(dir, 10, ROWS);
    struct log *log = topic_log_open(dir);
    size_t before = rows_of(log, "in", 0);
    log_close(log);
    int fd = open(path, O_RDWR | O_APPEND);
    static const char torn[] = "\0\0\0\0\0\0\x0f\xff\0\0\1\0half a batch";
    assert_true(fd >= 0 && write(fd, torn, sizeof torn) == sizeof torn);
    close(fd);
    log = topic_log_open(dir);
    assert_int_equal(rows_of(log, "in", 0), before);
    struct partition *partition;
    assert_int_equal(partition_get(log, "in", 0, &partition, NULL), 0);
    assert_int_equal(partition_status(partition, NULL), 0);
    log_close(log);
    free(path);
    scratch_dir_remove(dir);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child_main(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p1_acknowledged_means_flushed_and_entered),
        cmocka_unit_test(p1_nobody_reads_what_is_not_flushed),
        cmocka_unit_test(p2_a_commit_counts_whole_or_not_at_all),
        cmocka_unit_test(p3_a_store_is_a_prefix_of_its_changelog),
        cmocka_unit_test(p3_a_store_ahead_of_its_changelog_is_refused),
        cmocka_unit_test(p4_a_removed_store_comes_back_the_same),
        cmocka_unit_test(p5_every_row_is_accounted_for),
        cmocka_unit_test(p6_cuts_do_not_change_results),
        cmocka_unit_test(p7_what_does_not_pass_is_kept_whole),
        cmocka_unit_test(p8_memory_does_not_grow_with_the_groups),
        cmocka_unit_test(p9_a_failed_flush_stops_the_job),
        cmocka_unit_test(p9_damage_below_the_flushed_end_stops_the_partition),
        cmocka_unit_test(p9_a_torn_tail_is_trimmed_and_nothing_else),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
