/* test_weir_test_kill.c: what a kill of the test driver leaves is what kill -9 leaves, and a job
 * goes on from it.
 *
 * The proof: one life, which passes as many places as one life can, is cut at each place, twice: in
 * a child process that really ends there (WEIR_CRASH_AT, _exit), and by weir_test_kill_at. Both
 * directories are compared, names and bytes; LOCK (a pid) and LMDB's lock files (of the living)
 * are left out. Topic ids are random; here they are not, since this program's getrandom comes
 * before libc's.
 *
 * Then a job is killed at each place, at the first, a middle and the last passing, restarted, fed
 * with what is missing in its source, and has to give the same results as one that was let be. */
#include "runtime/base/io.h"
#include "tests/support/fork_child.h"
#include "tests/support/scratch_dir.h"
#include "runtime/weir.h"

#include <fcntl.h>
#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define START INT64_C(1772442000000) /* 2026-03-02T09:00:00Z */

static uint64_t next_random;

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    uint8_t *to = bytes;
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        next_random = next_random * 6364136223846793005u + 1442695040888963407u;
        to[i] = (uint8_t)(next_random >> 56);
    }
    return (ssize_t)size;
}

/* ---- the job: groups by a field that is not the key, final windows, and a stage behind ---- */

static weir_app *build_job(void)
{
    weir_app *app = weir_app_open(
        "job",
        &(weir_options){.threads = 2, .checkpoint_interval_ms = 1000, .keeper_interval_ms = 1000});
    weir_stream *rows = weir_source(app, "in", WEIR_JSON, "ts");
    weir_stream *windows = weir_tumbling(weir_group_by(rows, "who"), WEIR_MINUTES(1));
    weir_stream *counted = weir_aggregate(windows, "count(*) AS n, sum(v) AS v");
    weir_emit(counted, WEIR_EMIT_FINAL);
    weir_to(counted, "per-minute");
    weir_to(weir_filter(weir_source(app, "per-minute", WEIR_JSON, NULL), "n > 1"), "often");
    return app;
}

enum { ROWS = 120, PARTITIONS = 2 };

static int send_row(weir_test *test, int i)
{
    char key[16], value[128];
    snprintf(key, sizeof key, "k%d", i % 7);
    snprintf(value, sizeof value, "{\"i\":%d,\"who\":\"w%d\",\"ts\":%lld,\"v\":%d}", i, i % 5,
             (long long)(START + i * 3000), i);
    return weir_test_send(test, "in", i % PARTITIONS, 0, key, value);
}

static weir_test *open_test(weir_app *app, const char *dir)
{
    weir_test *test;
    weir_test_options options = {.data = dir, .start_ms = START, .partitions = PARTITIONS};
    if (weir_test_open(app, &options, &test) < 0)
        fail_msg("%s", weir_log_error());
    return test;
}

/* ---- one life that passes many places ---- */

#define STEP(expression)                                                                           \
    do {                                                                                           \
        int step_rc_ = (expression);                                                               \
        if (step_rc_ != 0)                                                                         \
            return step_rc_;                                                                       \
    } while (0)

static int use_consumer(weir_log *log)
{
    weir_consumer *consumer;
    const weir_record *records;
    size_t count;
    const char *topic = "side";
    STEP(weir_consumer_open(
        log, &(weir_consumer_options){.group = "g", .topics = &topic, .topic_count = 1},
        &consumer));
    int rc = 0;
    for (int i = 0; rc == 0 && i < 5; i++)
        rc = weir_poll(consumer, 100, &records, &count);
    if (rc == 0)
        rc = weir_commit(consumer);
    weir_consumer_close(consumer);
    return rc;
}

static int use_producer(weir_log *log)
{
    static char value[3000];
    memset(value, 'x', sizeof value);
    weir_producer *producer;
    STEP(weir_producer_open(log, &(weir_producer_options){.linger_ms = -1}, &producer));
    int rc = 0;
    for (int i = 0; rc == 0 && i < 12; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i % 3);
        rc = weir_send_to(producer, 0,
                          &(weir_record){.topic = "side",
                                         .key = key,
                                         .key_size = 1,
                                         .value = value,
                                         .value_size = sizeof value});
        if (rc == 0)
            rc = weir_flush(producer, -1);
    }
    (void)weir_producer_close(producer);
    return rc;
}

/* A transaction that is open for longer than its timeout. */
static int use_timeout(weir_test *test)
{
    weir_producer *producer;
    STEP(weir_producer_open(
        weir_test_log(test),
        &(weir_producer_options){.transactional_id = "slow", .transaction_timeout_ms = 2000},
        &producer));
    int rc = weir_txn_begin(producer);
    if (rc == 0)
        rc = weir_send_to(
            producer, 0,
            &(weir_record){
                .topic = "side", .key = "t", .key_size = 1, .value = "t", .value_size = 1});
    if (rc == 0)
        rc = weir_flush(producer, -1);
    if (rc == 0)
        rc = weir_test_advance(test, 3000);
    if (rc == 0)
        rc = weir_test_run(test);
    (void)weir_producer_close(producer);
    return rc;
}

/* After a call on the log that failed: the test says whether it died. */
static int told(weir_test *test, int rc)
{
    if (rc == WEIR_TEST_KILLED)
        return rc;
    if (rc < 0 && weir_test_log(test) != NULL)
        fprintf(stderr, "%s %s\n", weir_test_error(test), weir_log_error());
    int flushed = weir_test_flush(test);
    return flushed != 0 ? flushed : rc;
}

static int use_topics(weir_test *test)
{
    weir_log *log = weir_test_log(test);
    const weir_config side[] = {{"segment.bytes", "8192"},
                                {"cleanup.policy", "compact"},
                                {"compression.type", "uncompressed"},
                                {"min.cleanable.dirty.ratio", "0.01"}};
    STEP(told(test, weir_topic_create(log, "side", 1, side, 4)));
    STEP(told(test, weir_topic_create(log, "gone", 2, NULL, 0)));
    STEP(told(test, use_producer(log)));
    STEP(told(test, use_consumer(log)));
    STEP(told(test, use_timeout(test)));
    STEP(told(test, weir_log_clean(log, "side", NULL)));
    const weir_config kept[] = {{"cleanup.policy", "delete"}, {"retention.ms", "60000"}};
    STEP(told(test, weir_topic_alter(log, "side", kept, 2)));
    STEP(told(test, weir_delete_records(log, "side", 0, 6)));
    STEP(told(test, weir_topic_grow(log, "gone", 3)));
    STEP(told(test, weir_topic_delete(log, "gone")));
    STEP(weir_test_advance(test, WEIR_MINUTES(10)));
    return weir_test_run(test);
}

/* 0 at its end, WEIR_TEST_KILLED, or a failure. */
static int live(weir_test *test)
{
    for (int i = 0; i < ROWS / 2; i++) {
        STEP(send_row(test, i));
        if (i % 20 == 19) {
            STEP(weir_test_run(test));
            STEP(weir_test_advance(test, 1500));
        }
    }
    STEP(weir_test_restart(test, NULL));
    STEP(use_topics(test));
    for (int i = ROWS / 2; i < ROWS; i++)
        STEP(send_row(test, i));
    STEP(weir_test_run(test));
    return weir_test_finish(test, true);
}

/* ---- two directories ---- */

static bool is_left_out(const char *name)
{
    return strcmp(name, "LOCK") == 0 || strcmp(name, "lock.mdb") == 0;
}

static char *slurp(const char *path, size_t *size)
{
    char *data;
    assert_int_equal(io_read_file(path, (size_t)1 << 30, &data, size, NULL), 0);
    return data;
}

/* Each entry of left is in right, with the same bytes. The number of entries. */
static int compare_trees(const char *left, const char *right, const char *point)
{
    char *const roots[] = {(char *)(uintptr_t)left, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    int count = 0;
    while ((entry = fts_read(tree)) != NULL) {
        char other[4096];
        struct stat info;
        if (entry->fts_info == FTS_DP || is_left_out(entry->fts_name))
            continue;
        count++;
        snprintf(other, sizeof other, "%s%s", right, entry->fts_path + strlen(left));
        if (lstat(other, &info) != 0)
            fail_msg("%s: %s is there, %s is not", point, entry->fts_path, other);
        assert_int_equal(info.st_mode & S_IFMT, entry->fts_statp->st_mode & S_IFMT);
        if (entry->fts_info != FTS_F)
            continue;
        size_t size, other_size;
        char *data = slurp(entry->fts_path, &size), *other_data = slurp(other, &other_size);
        if (size != other_size || memcmp(data, other_data, size) != 0)
            fail_msg("%s: %s differs (%zu and %zu bytes)", point, entry->fts_path, size,
                     other_size);
        free(data);
        free(other_data);
    }
    fts_close(tree);
    return count;
}

/* The exit status of a child that lives in dir and really ends at the place. */
static int live_in_child(const char *dir, const char *point, int64_t n)
{
    char at[128];
    snprintf(at, sizeof at, "%s:%lld", point, (long long)n);
    pid_t child = fork_child();
    assert_true(child >= 0);
    if (child == 0) {
        next_random = 1;
        setenv("WEIR_CRASH_AT", at, 1);
        weir_test *test = open_test(build_job(), dir);
        _exit(live(test) == 0 ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void compare_deaths(const char *base, const char *point, int64_t n)
{
    char *dir = scratch_path(base, "data"), *dead = scratch_path(base, "dead");
    assert_int_equal(live_in_child(dir, point, n), 137);
    assert_int_equal(rename(dir, dead), 0);
    next_random = 1;
    weir_app *app = build_job();
    weir_test *test = open_test(app, dir);
    /* the places that opening passes were counted by the child as well */
    int64_t before = weir_test_passings(test, point);
    assert_true(before < n);
    assert_int_equal(weir_test_kill_at(test, point, n - before), 0);
    assert_int_equal(live(test), WEIR_TEST_KILLED);
    int count = compare_trees(dead, dir, point);
    assert_int_equal(compare_trees(dir, dead, point), count);
    assert_true(count >= 5); /* the directory, FORMAT, topics, meta and its data */
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    io_remove_tree(dir, NULL);
    io_remove_tree(dead, NULL);
    free(dir);
    free(dead);
}

static void a_kill_leaves_what_kill_9_leaves(void **state)
{
    (void)state;
    char *base = scratch_dir_create(), *dir = scratch_path(base, "data");
    weir_app *app = build_job();
    weir_test *test = open_test(app, dir);
    const char *const *points = weir_test_points();
    int64_t opened[128], passed[128];
    int covered = 0;
    for (int i = 0; points[i] != NULL; i++)
        opened[i] = weir_test_passings(test, points[i]);
    int rc = live(test);
    if (rc != 0)
        fail_msg("%d: %s", rc, weir_test_error(test));
    for (int i = 0; points[i] != NULL; i++)
        passed[i] = weir_test_passings(test, points[i]);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    io_remove_tree(dir, NULL);
    for (int i = 0; points[i] != NULL; i++) {
        if (passed[i] <= opened[i]) {
            if (getenv("WEIR_VERBOSE") != NULL)
                fprintf(stderr, "not passed: %s\n", points[i]);
            continue;
        }
        covered++;
        compare_deaths(base, points[i], opened[i] + 1);
        if (passed[i] > opened[i] + 1)
            compare_deaths(base, points[i], passed[i]);
    }
    assert_true(covered >= 40);
    free(dir);
    scratch_dir_remove(base);
}

/* ---- a job that is killed ---- */

/* "partition:key=value" of all records of a topic, without repeats' order mattering between partitions. */
static char *all_of(weir_test *test, const char *topic)
{
    weir_record *records;
    size_t count, size = 1;
    assert_int_equal(weir_test_rewind(test, topic), 0);
    assert_int_equal(weir_test_read(test, topic, &records, &count), 0);
    for (size_t i = 0; i < count; i++)
        size += records[i].key_size + records[i].value_size + 32;
    char *text = malloc(size), *at = text;
    assert_non_null(text);
    *at = '\0';
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%d:%.*s=%.*s\n", records[i].partition, (int)records[i].key_size,
                      (const char *)records[i].key, (int)records[i].value_size,
                      (const char *)records[i].value);
    weir_free(records);
    return text;
}

/* Sends the rows that the source does not hold yet: a death may have taken some along. */
static int send_missing(weir_test *test, int end)
{
    weir_record *records;
    size_t count;
    bool is_there[ROWS] = {false};
    int rc = weir_topic_describe(weir_test_log(test), "in", NULL);
    if (rc == 0) {
        STEP(weir_test_rewind(test, "in"));
        STEP(weir_test_read(test, "in", &records, &count));
        for (size_t i = 0; i < count; i++)
            is_there[strtol((const char *)records[i].value + 5, NULL, 10)] = true;
        weir_free(records);
    }
    for (int i = 0; i < end; i++)
        if (!is_there[i])
            STEP(send_row(test, i));
    return 0;
}

static int work(weir_test *test)
{
    for (int end = ROWS / 4; end <= ROWS; end += ROWS / 4) {
        STEP(send_missing(test, end));
        STEP(weir_test_run(test));
        STEP(weir_test_advance(test, 1200));
    }
    return weir_test_finish(test, true);
}

/* With point NULL nothing kills it. passings (may be NULL): of each point in the end. */
static char *results_of(const char *point, int64_t n, int64_t *passings)
{
    weir_app *app = build_job();
    weir_test *test = open_test(app, NULL);
    int rc = weir_test_kill_at(test, point, n);
    assert_int_equal(rc, 0);
    int kills = 0;
    while ((rc = work(test)) == WEIR_TEST_KILLED) {
        kills++;
        while ((rc = weir_test_restart(test, NULL)) == WEIR_TEST_KILLED)
            kills++;
        assert_int_equal(rc, 0);
    }
    if (rc != 0)
        fail_msg("after %s: %d: %s", point != NULL ? point : "nothing", rc, weir_test_error(test));
    assert_int_equal(kills, point != NULL ? 1 : 0);
    for (int i = 0; passings != NULL && weir_test_points()[i] != NULL; i++)
        passings[i] = weir_test_passings(test, weir_test_points()[i]);
    char *per_minute = all_of(test, "per-minute"), *often = all_of(test, "often");
    char *results = malloc(strlen(per_minute) + strlen(often) + 1);
    assert_non_null(results);
    strcpy(results, per_minute);
    strcat(results, often);
    free(per_minute);
    free(often);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    return results;
}

/* The first, a middle and the last of the passings that come after opening. */
static int kill_at_some(const char *point, int64_t passings, const char *expected)
{
    const int64_t picks[] = {1, passings / 2 + 1, passings};
    int kills = 0;
    for (int i = 0; i < 3; i++) {
        if (picks[i] < 1 || picks[i] > passings || (i > 0 && picks[i] == picks[i - 1]))
            continue;
        char *results = results_of(point, picks[i], NULL);
        if (strcmp(results, expected) != 0)
            fail_msg("killed at %s:%lld:\n%s\ninstead of\n%s", point, (long long)picks[i], results,
                     expected);
        free(results);
        kills++;
    }
    return kills;
}

static void a_job_survives_a_kill_at_every_place(void **state)
{
    (void)state;
    int64_t passings[128], opened[128];
    const char *const *points = weir_test_points();
    char *expected = results_of(NULL, 1, passings);
    assert_true(strlen(expected) > 1000);
    weir_app *app = build_job();
    weir_test *test = open_test(app, NULL);
    for (int i = 0; points[i] != NULL; i++)
        opened[i] = weir_test_passings(test, points[i]);
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
    int kills = 0;
    for (int i = 0; points[i] != NULL; i++)
        kills += kill_at_some(points[i], passings[i] - opened[i], expected);
    assert_true(kills >= 60);
    free(expected);
}

/* ---- the list ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every place in the library's sources, and no other, is in the list. */
static void the_list_is_that_of_the_sources(void **state)
{
    (void)state;
    const char *root = getenv("WEIR_SOURCE_DIR");
    char command[4096], line[256];
    const char *listed[128], *found[128];
    size_t listed_count = 0, found_count = 0;
    if (root == NULL)
        skip();
    while (weir_test_points()[listed_count] != NULL) {
        listed[listed_count] = weir_test_points()[listed_count];
        listed_count++;
    }
    snprintf(command, sizeof command,
             "grep -rhoE 'crash_point\\(\"[^\"]+\"' --include=*.c --exclude-dir=cli "
             "--exclude-dir=copy --exclude-dir=records %s/log %s/runtime "
             "%s/operators | "
             "cut -d'\"' -f2 | LC_ALL=C sort -u",
             root, root, root);
    FILE *stream = popen(command, "r");
    assert_non_null(stream);
    while (found_count < 128 && fgets(line, sizeof line, stream) != NULL)
        found[found_count++] = strndup(line, strcspn(line, "\n"));
    pclose(stream);
    qsort(listed, listed_count, sizeof *listed, compare_names);
    for (size_t i = 0; i < found_count && i < listed_count; i++)
        assert_string_equal(listed[i], found[i]);
    assert_int_equal(listed_count, found_count);
    for (size_t i = 0; i < found_count; i++)
        free((char *)(uintptr_t)found[i]);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_that_of_the_sources),
        cmocka_unit_test(a_kill_leaves_what_kill_9_leaves),
        cmocka_unit_test(a_job_survives_a_kill_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
