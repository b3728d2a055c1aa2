/* test_recovery_files.c: what else lies in a data directory: foreign files and directories are named once and left alone;
 * missing ones are named, or made again where they can be. */
#include "log/log_internal.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct log_options quiet = {.keeper_interval_ms = -1};

/* What a log says on stderr while it is opened; malloc'ed. */
static struct log *open_and_hear(const char *dir, char **said)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    struct log *log = fixture_open_options(dir, &quiet);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    *said = calloc(1, (size_t)size + 1);
    assert_non_null(*said);
    rewind(file);
    assert_int_equal(fread(*said, 1, (size_t)size, file), size);
    fclose(file);
    return log;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static void put_file(const char *dir, const char *name)
{
    char *path = scratch_path(dir, "%s", name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("somebody's", file);
    fclose(file);
    free(path);
}

static bool exists(const char *dir, const char *name)
{
    char *path = scratch_path(dir, "%s", name);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

/* 60 records in segments of five or so. */
static char *make(void)
{
    char *dir = scratch_dir_create();
    struct log *log = fixture_open_options(dir, &quiet);
    fixture_topic(log, "t", 2, "20000");
    for (int32_t p = 0; p < 2; p++) {
        struct partition *partition = fixture_partition(log, "t", p);
        for (int i = 0; i < 60; i++)
            assert_int_equal(fixture_append_sized(partition, i, 1, 3000, 5), i);
        assert_int_equal(partition_wait(partition, 60, 10000), 0);
    }
    log_close(log);
    return dir;
}

static void test_foreign_files(void **state)
{
    (void)state;
    char *dir = make(), *said;
    static const char *const names[] = {"topics/t-1/notes.txt",
                                        "topics/t-1/00000000000000000000.log.bak",
                                        "topics/t-1/123.log", "topics/stranger.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_file(dir, names[i]);
    char *folder = scratch_path(dir, "topics/nobody-0");
    assert_int_equal(mkdir(folder, 0755), 0);
    for (int round = 0; round < 2; round++) {
        struct log *log = open_and_hear(dir, &said);
        assert_int_equal(count_of(said, "topics/t-1/"), 1); /* one line, however many there are */
        assert_non_null(strstr(said, "(and 2 more): no file of this partition; it is left alone"));
        assert_int_equal(count_of(said, "topics/nobody-0 belongs to no topic"), 1);
        assert_int_equal(count_of(said, "topics/stranger.txt belongs to no topic"), 1);
        assert_int_equal(count_of(said, "topics/t-0"), 0);
        free(said);
        assert_int_equal(partition_status(fixture_partition(log, "t", 1), NULL), 0);
        log_close(log);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            assert_true(exists(dir, names[i]));
        assert_true(exists(dir, "topics/nobody-0"));
    }
    free(folder);
    scratch_dir_remove(dir);
}

static void test_half_written_files_are_removed(void **state)
{
    (void)state;
    char *dir = make(), *said;
    static const char *const names[] = {"topics/t-0/00000000000000000000.index.tmp",
                                        "topics/t-0/00000000000000000060.snapshot.tmp",
                                        "topics/t-0/leader-epoch-checkpoint.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put_file(dir, names[i]);
    log_close(open_and_hear(dir, &said));
    assert_string_equal(said, "");
    free(said);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(exists(dir, names[i]));
    scratch_dir_remove(dir);
}

/* An index without its segment, above the start: somebody took the segment. */
static void test_index_without_its_segment(void **state)
{
    (void)state;
    char *dir = make(), *said;
    put_file(dir, "topics/t-0/00000000000000000077.index");
    struct log *log = open_and_hear(dir, &said);
    assert_non_null(strstr(said, "00000000000000000077.index: no file of this partition"));
    free(said);
    log_close(log);
    assert_true(exists(dir, "topics/t-0/00000000000000000077.index"));
    scratch_dir_remove(dir);
}

/* Indexes can be made from the batches: those of closed segments when somebody searches in them. */
static void test_missing_indexes_are_built_again(void **state)
{
    (void)state;
    char *dir = make(), *said;
    char *command = scratch_path(dir, "topics/t-0");
    char line[4200];
    snprintf(line, sizeof line, "rm -f %s/*.index %s/*.timeindex", command, command);
    assert_int_equal(system(line), 0);
    struct log *log = open_and_hear(dir, &said);
    free(said);
    struct partition *p = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(p, NULL), 0);
    struct fixture_record *records;
    for (int64_t from = 59; from >= 0; from -= 7) { /* jumps, so that the index is asked */
        assert_int_equal(fixture_read(p, from, READ_COMMITTED, 4096, &records), 60 - from);
        assert_int_equal(records[0].value, from);
        free(records);
    }
    assert_true(exists(dir, "topics/t-0/00000000000000000000.index"));
    log_close(log);
    free(command);
    scratch_dir_remove(dir);
}

/* Missing ones stop their partition, which names them; the other partition goes on. */
static void test_missing_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *remove, *named;
    } cases[] = {{"topics/t-0/00000000000000000000.log", "00000000000000000000.log"},
                 {"topics/t-0", "topics/t-0"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = make(), *said;
        char line[4200];
        struct diag diag = {0};
        snprintf(line, sizeof line, "rm -r %s/%s", dir, cases[i].remove);
        assert_int_equal(system(line), 0);
        struct log *log = open_and_hear(dir, &said);
        assert_int_equal(partition_status(fixture_partition(log, "t", 0), &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.text, cases[i].named));
        assert_non_null(strstr(diag.text, "missing"));
        assert_int_equal(count_of(said, diag.text), 1);
        free(said);
        assert_int_equal(partition_status(fixture_partition(log, "t", 1), NULL), 0);
        assert_int_equal(fixture_append_sized(fixture_partition(log, "t", 1), 60, 1, 10, 5), 60);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_half_written_files_are_removed),
        cmocka_unit_test(test_index_without_its_segment),
        cmocka_unit_test(test_missing_indexes_are_built_again),
        cmocka_unit_test(test_missing_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
