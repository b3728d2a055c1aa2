/* test_read_only.c: a log is opened where nothing can be written: what is shown, what is refused,
 * and that no byte and no time stamp of the directory changes. Each directory is looked at twice:
 * with options.read_only, and by somebody who may not write there (a child that is nobody). What a
 * writer makes of a copy of it is the reference. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

/* ---- everything that a directory holds, as one number ---- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static uint64_t hash_tree(const char *dir)
{
    char *const paths[] = {(char *)(uintptr_t)dir, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    uint64_t sum = 0;
    assert_non_null(tree);
    for (FTSENT *entry; (entry = fts_read(tree)) != NULL;) {
        if (entry->fts_info == FTS_DP)
            continue;
        struct {
            uint64_t before, name, content;
            int64_t size, seconds, nanoseconds, mode;
        } all = {.before = sum, .name = hash64(entry->fts_path, strlen(entry->fts_path))};
        all.size = (int64_t)entry->fts_statp->st_size;
        all.seconds = (int64_t)entry->fts_statp->st_mtim.tv_sec;
        all.nanoseconds = (int64_t)entry->fts_statp->st_mtim.tv_nsec;
        all.mode = (int64_t)entry->fts_statp->st_mode;
        if (entry->fts_info == FTS_F) {
            char *data;
            size_t size;
            assert_int_equal(io_read_file(entry->fts_accpath, (size_t)1 << 30, &data, &size, NULL),
                             0);
            all.content = hash64(data, size);
            free(data);
        }
        sum = hash64(&all, sizeof all);
    }
    fts_close(tree);
    return sum;
}

/* ---- what a reader must find ---- */

struct expected {
    const char *dir;
    const char *committed, *uncommitted; /* values of t-0 */
    int64_t stable, end;
};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* Every call that writes says the same. */
static int check_refused(struct log *log, struct partition *p)
{
    struct diag diag = {0};
    struct producer *producer = NULL;
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 1};
    struct config_entry entry = {"retention.ms", "1"};
    struct keeper_report report;
    CHECK(log_status(log, &diag) == ERR_READ_ONLY && strstr(diag.text, "reading only") != NULL);
    CHECK(fixture_append(p, 1, 1) == ERR_READ_ONLY);
    CHECK(partition_purge(p, 1, &diag) == ERR_READ_ONLY);
    CHECK(partition_roll(p, &diag) == ERR_READ_ONLY);
    CHECK(topic_create(log, "new", 1, NULL, 0, &diag) == ERR_READ_ONLY);
    CHECK(topic_alter(log, "t", &entry, 1, &diag) == ERR_READ_ONLY);
    CHECK(topic_delete(log, "t", &diag) == ERR_READ_ONLY);
    CHECK(producer_open(log, "x", &producer, &diag) == ERR_READ_ONLY && producer == NULL);
    CHECK(producer_open(log, NULL, &producer, &diag) == ERR_READ_ONLY);
    CHECK(group_commit(log, "g", &offset, 1, &diag) == ERR_READ_ONLY);
    CHECK(group_delete(log, "g", &diag) == ERR_READ_ONLY);
    CHECK(log_keep_house(log, 0, &report, &diag) == ERR_READ_ONLY);
    CHECK(partition_wait(p, 1000, 50) == ERR_READ_ONLY);
    return 0;
}

static int check_shown(struct log *log, const struct expected *e)
{
    struct partition *p;
    struct partition_offsets offsets;
    struct topic_info *topics;
    struct group_offset offset;
    size_t count;
    int64_t found;
    char value[64];
    CHECK(partition_get(log, "t", 0, &p, NULL) == 0);
    CHECK(partition_status(p, NULL) == 0);
    partition_offsets(p, &offsets);
    CHECK(offsets.stable == e->stable);
    CHECK(offsets.end == e->end && offsets.high_watermark == e->end);
    CHECK(strcmp(fixture_values(p, READ_COMMITTED), e->committed) == 0);
    CHECK(strcmp(fixture_values(p, READ_UNCOMMITTED), e->uncommitted) == 0);
    CHECK(partition_find_time(p, 0, &found, NULL, NULL) == 0 && found == 0);
    CHECK(topic_list(log, &topics, &count) == 0 && count == 1);
    free(topics);
    CHECK(topic_config_get(log, "t", "segment.bytes", value, sizeof value) == 0);
    CHECK(group_fetch(log, "g", "t", 0, &offset) == 0 && offset.offset == 2);
    return check_refused(log, p);
}

static int look(struct log *log, void *context)
{
    return check_shown(log, context);
}

/* Opens as somebody who may not write: 0 when all is as expected. */
static int as_nobody(void *context)
{
    const struct expected *e = context;
    struct log_options options = {.must_exist = true};
    struct log *log, *second;
    struct diag diag = {0};
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        return 2;
    int rc = log_open(e->dir, &options, &log, &diag);
    if (rc < 0) {
        print_error("log_open: %s\n", diag.text);
        return 3;
    }
    CHECK(log_open(e->dir, &options, &second, &diag) == 0); /* readers share */
    log_close(second);
    rc = look(log, context);
    log_close(log);
    return rc;
}

static void set_writable(const char *dir, bool writable)
{
    char *command = scratch_path("chmod -R", "%s %s", writable ? "u+w" : "a-w,a+rX", dir);
    /* scratch_path joins with a slash: "chmod -R/…" is no command. */
    memmove(strchr(command, '/'), " ", 1);
    assert_int_equal(system(command), 0);
    free(command);
}

static void check_both_ways(struct expected *e)
{
    struct log_options options = {.read_only = true};
    struct log *log;
    struct diag diag = {0};
    if (geteuid() != 0)
        set_writable(e->dir, false);
    else
        assert_int_equal(chmod(e->dir, 0755), 0);
    uint64_t before = hash_tree(e->dir);
    if (log_open(e->dir, &options, &log, &diag) < 0)
        fail_msg("log_open: %s", diag.text);
    assert_int_equal(look(log, e), 0);
    log_close(log);
    assert_true(hash_tree(e->dir) == before);
    assert_int_equal(fixture_child(as_nobody, e, NULL), 0);
    assert_true(hash_tree(e->dir) == before);
    if (geteuid() != 0)
        set_writable(e->dir, true);
}

/* ---- directories ---- */

static const struct log_options quiet = {.keeper_interval_ms = -1};

/* 1 2 3 in two segments, and a group's offset. */
static struct log *make(const char *dir)
{
    struct log *log = fixture_open_options(dir, &quiet);
    struct group_offset offset = {.topic = "t", .partition = 0, .offset = 2};
    fixture_topic(log, "t", 1, "300");
    struct partition *p = fixture_partition(log, "t", 0);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(fixture_append_sized(p, i, 1, 100, clock_wall_ms()), i - 1);
    assert_int_equal(partition_wait(p, 3, 10000), 0);
    assert_int_equal(group_commit(log, "g", &offset, 1, NULL), 0);
    return log;
}

static void test_clean(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    log_close(make(dir));
    struct expected e = {dir, "1 2 3", "1 2 3", 3, 3};
    check_both_ways(&e);
    scratch_dir_remove(dir);
}

static void append_file(const char *dir, const char *name, const char *bytes, size_t size)
{
    char *path = scratch_path(dir, "topics/t-0/%s", name);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(path);
}

/* The end is torn: not shown, not cut. Left-overs of a removal and foreign files stay too. */
static void test_torn_tail_and_left_overs(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    log_close(make(dir));
    append_file(dir, "00000000000000000002.log", "half a batch", 12);
    append_file(dir, "00000000000000000000.log.deleted", "x", 1);
    append_file(dir, "notes.txt", "x", 1);
    struct expected e = {dir, "1 2 3", "1 2 3", 3, 3};
    check_both_ways(&e);
    /* A writer cuts it. */
    struct log *log = fixture_open_options(dir, &quiet);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "1 2 3");
    log_close(log);
    scratch_dir_remove(dir);
}

struct crash {
    const char *dir;
    bool commit, first_aborted;
};

/* A transaction of 4 and 5, then 6 of nobody's. The crash is in the transaction, or when it is
 * decided. */
static int live_and_crash(void *context)
{
    struct crash *crash = context;
    struct producer *producer;
    struct log *log = make(crash->dir);
    struct partition *p = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "x", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, p, 4, 2), 3);
    assert_int_equal(fixture_append(p, 6, 1), 5);
    assert_int_equal(partition_wait(p, 6, 10000), 0);
    if (crash->commit)
        (void)txn_commit(producer, NULL);
    _exit(137);
}

static void test_undecided(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct crash crash = {.dir = dir};
    assert_int_equal(fixture_child(live_and_crash, &crash, NULL), 137);
    struct expected e = {dir, "1 2 3", "1 2 3 4 5 6", 3, 6};
    check_both_ways(&e);
    /* The next writer aborts it. */
    struct log *log = fixture_open_options(dir, &quiet);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "1 2 3 6");
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_decided_without_marker(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct crash crash = {.dir = dir, .commit = true};
    assert_int_equal(fixture_child(live_and_crash, &crash, "decide.stable:1"), 137);
    struct expected e = {dir, "1 2 3 4 5 6", "1 2 3 4 5 6", 6, 6};
    check_both_ways(&e);
    struct log *log = fixture_open_options(dir, &quiet);
    assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED),
                        "1 2 3 4 5 6");
    log_close(log);
    scratch_dir_remove(dir);
}

static int live_and_abort(void *context)
{
    struct crash *crash = context;
    struct producer *producer;
    struct log *log = make(crash->dir);
    struct partition *p = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "x", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, p, 4, 2), 3);
    (void)txn_abort(producer, NULL);
    return 0;
}

/* The abort's marker is in the file, its range is not in meta. */
static void test_aborted_without_record(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct crash crash = {.dir = dir};
    assert_int_equal(fixture_child(live_and_abort, &crash, "marker.abort:1"), 137);
    struct log_options options = {.read_only = true};
    struct log *log = fixture_open_options(dir, &options);
    struct partition *p = fixture_partition(log, "t", 0);
    struct partition_offsets offsets;
    partition_offsets(p, &offsets);
    assert_int_equal(offsets.stable, 6); /* nothing is open: the marker ended it */
    assert_string_equal(fixture_values(p, READ_COMMITTED), "1 2 3");
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_writers_and_readers_exclude_each_other(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log_options options = {.read_only = true};
    struct diag diag;
    struct log *reader, *second, *writer = make(dir);
    assert_int_equal(log_open(dir, &options, &reader, &diag), ERR_BUSY);
    log_close(writer);
    assert_int_equal(log_open(dir, &options, &reader, &diag), 0);
    assert_int_equal(log_open(dir, &options, &second, &diag), 0);
    assert_int_equal(log_open(dir, &quiet, &writer, &diag), ERR_BUSY);
    log_close(reader);
    log_close(second);
    assert_int_equal(log_open(dir, &quiet, &writer, &diag), 0);
    log_close(writer);
    scratch_dir_remove(dir);
}

static void test_nothing_to_read(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *none = scratch_path(dir, "none");
    struct log_options options = {.read_only = true};
    struct diag diag;
    struct log *log;
    assert_int_equal(log_open(none, &options, &log, &diag), ERR_NOT_FOUND);
    assert_int_equal(access(none, F_OK), -1);
    assert_int_equal(log_open(dir, &options, &log, &diag), ERR_NOT_FOUND);
    assert_int_equal(rmdir(dir), 0); /* nothing was made in it */
    free(none);
    free(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_torn_tail_and_left_overs),
        cmocka_unit_test(test_undecided),
        cmocka_unit_test(test_decided_without_marker),
        cmocka_unit_test(test_aborted_without_record),
        cmocka_unit_test(test_writers_and_readers_exclude_each_other),
        cmocka_unit_test(test_nothing_to_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
