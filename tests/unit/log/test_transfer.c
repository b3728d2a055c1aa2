/* test_transfer.c: segments out and in: the same records at the same offsets, or nothing at all. */
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Committed, aborted and plain records over several segments; 1 MiB each. */
static void fill(struct log *log, struct partition *partition, int64_t batches)
{
    struct producer *producer;
    assert_int_equal(producer_open(log, "p", &producer, NULL), 0);
    for (int64_t i = 0; i < batches; i++) {
        assert_true(fixture_append_sized(partition, i, 8, 3000, 1000 + i) >= 0);
        if (i % 9 != 0)
            continue;
        assert_int_equal(txn_begin(producer, NULL), 0);
        assert_true(fixture_txn_append(producer, partition, 10000 + i, 2) >= 0);
        assert_int_equal(i % 2 == 0 ? txn_abort(producer, NULL) : txn_commit(producer, NULL), 0);
    }
    producer_close(producer);
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(partition_wait(partition, offsets.end, 10000), 0);
}

static void assert_same(struct partition *a, struct partition *b, enum isolation isolation)
{
    struct fixture_record *left, *right;
    struct partition_offsets at, bt;
    partition_offsets(a, &at);
    partition_offsets(b, &bt);
    assert_int_equal(at.start, bt.start);
    assert_int_equal(at.end, bt.end);
    int64_t count = fixture_read(a, at.start, isolation, 1 << 20, &left);
    assert_true(count > 0);
    assert_int_equal(fixture_read(b, bt.start, isolation, 1 << 20, &right), count);
    assert_memory_equal(left, right, (size_t)count * sizeof *left);
    free(left);
    free(right);
}

static void assert_clean(struct partition *partition)
{
    struct verify_report report = {0};
    assert_int_equal(partition_verify(partition, NULL, NULL, &report, NULL), 0);
    assert_int_equal(report.findings, 0);
}

static void import_one(struct log *log, const char *topic, const char *directory)
{
    struct transfer transfer = {0};
    struct diag diag = {0};
    fixture_topic(log, topic, 1, "1048576");
    if (topic_import_segments(log, topic, &directory, 1, &transfer, &diag) < 0)
        fail_msg("topic_import_segments: %s", diag.text);
}

static void test_round_trip(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
         *data = scratch_path(dir, "data");
    struct log *log = fixture_open(data);
    fixture_topic(log, "a", 1, "1048576");
    struct partition *a = fixture_partition(log, "a", 0);
    fill(log, a, 120);
    struct transfer out = {0}, in = {0};
    assert_int_equal(partition_export_segments(a, copy, &out, NULL), 0);
    assert_true(out.segments >= 3);
    assert_int_equal(partition_export_segments(a, copy, &out, NULL), ERR_EXISTS);
    fixture_topic(log, "b", 1, "1048576");
    const char *from = copy;
    assert_int_equal(topic_import_segments(log, "b", &from, 1, &in, NULL), 0);
    assert_int_equal(in.batches, out.batches);
    assert_int_equal(in.bytes, out.bytes);
    assert_int_equal(in.aborted, 0);
    assert_int_equal(fixture_append(fixture_partition(log, "b", 0), 1, 1), ERR_STOPPED);
    log_close(log);
    for (int i = 0; i < 2; i++) {
        log = fixture_open(data);
        a = fixture_partition(log, "a", 0);
        struct partition *b = fixture_partition(log, "b", 0);
        assert_int_equal(partition_status(b, NULL), 0);
        assert_clean(b);
        assert_same(a, b, READ_COMMITTED);
        assert_same(a, b, READ_UNCOMMITTED);
        int64_t at, bt, time;
        assert_int_equal(partition_find_time(a, 1050, &at, &time, NULL), 0);
        assert_int_equal(partition_find_time(b, 1050, &bt, &time, NULL), 0);
        assert_int_equal(at, bt);
        assert_true(fixture_append(a, 5, 1) >= 0); /* both go on at the same offset */
        assert_true(fixture_append(b, 5, 1) >= 0);
        log_close(log);
    }
    free(copy);
    free(data);
    scratch_dir_remove(dir);
}

/* A beginning that was purged away does not come back. */
static void test_start_offset(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
         *data = scratch_path(dir, "data");
    struct log *log = fixture_open(data);
    struct transfer out = {0};
    fixture_topic(log, "a", 1, "1048576");
    struct partition *a = fixture_partition(log, "a", 0);
    fill(log, a, 120);
    assert_int_equal(partition_purge(a, 500, NULL), 0);
    assert_int_equal(partition_export_segments(a, copy, &out, NULL), 0);
    import_one(log, "b", copy);
    log_close(log);
    log = fixture_open(data);
    struct partition *b = fixture_partition(log, "b", 0);
    struct partition_offsets offsets;
    partition_offsets(b, &offsets);
    assert_true(offsets.start <= 500 && offsets.start > 490); /* the batch that holds it */
    assert_clean(b);
    struct fixture_record *records;
    assert_true(fixture_read(b, 500, READ_COMMITTED, 1 << 20, &records) > 0);
    assert_int_equal(records[0].offset, 500);
    free(records);
    log_close(log);
    free(copy);
    free(data);
    scratch_dir_remove(dir);
}

/* Raw files of a producer that never came back: its records are aborted. */
static int die_within_transaction(void *context)
{
    struct log *log = fixture_open(context);
    struct producer *producer;
    fixture_topic(log, "a", 1, NULL);
    struct partition *partition = fixture_partition(log, "a", 0);
    if (producer_open(log, "p", &producer, NULL) < 0 || txn_begin(producer, NULL) < 0 ||
        fixture_append(partition, 1, 1) != 0 ||
        fixture_txn_append(producer, partition, 2, 1) != 1 || fixture_append(partition, 3, 1) != 2)
        return 1;
    return partition_wait(partition, 3, 10000) < 0;
}

static void test_open_transaction_is_aborted(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *data = scratch_path(dir, "data"),
         *source = scratch_path(dir, "source"), *files = scratch_path(source, "topics/a-0");
    assert_int_equal(fixture_child(die_within_transaction, source, NULL), 0);
    struct log *log = fixture_open(data);
    struct transfer in = {0};
    const char *from = files;
    fixture_topic(log, "b", 1, NULL);
    assert_int_equal(topic_import_segments(log, "b", &from, 1, &in, NULL), 0);
    assert_int_equal(in.aborted, 1);
    log_close(log);
    log = fixture_open(data);
    struct partition *b = fixture_partition(log, "b", 0);
    assert_string_equal(fixture_values(b, READ_COMMITTED), "1 3");
    assert_string_equal(fixture_values(b, READ_UNCOMMITTED), "1 2 3");
    assert_clean(b);
    log_close(log);
    free(data);
    free(source);
    free(files);
    scratch_dir_remove(dir);
}

struct bad {
    const char *what;
    int code;
    const char *says;
};

static char *name_of(const char *directory, int index)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort), seen = 0;
    char *found = NULL;
    for (int i = 0; i < count; i++) {
        size_t length = strlen(entries[i]->d_name);
        if (length > 4 && strcmp(entries[i]->d_name + length - 4, ".log") == 0 && seen++ == index)
            found = scratch_path(directory, "%s", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    assert_non_null(found);
    return found;
}

static void spoil(const char *copy, const char *what)
{
    char *first = name_of(copy, 0), *middle = name_of(copy, 1);
    struct stat info;
    assert_int_equal(stat(middle, &info), 0);
    if (strcmp(what, "hole") == 0) {
        assert_int_equal(unlink(middle), 0);
    } else if (strcmp(what, "cut") == 0) {
        assert_int_equal(truncate(middle, info.st_size - 1), 0);
    } else if (strcmp(what, "garbage") == 0) {
        FILE *file = fopen(middle, "ab");
        fputs("garbage", file);
        fclose(file);
    } else {
        FILE *file = fopen(first, "r+b");
        bool old = strcmp(what, "old") == 0;
        assert_int_equal(fseek(file, old ? 16 : 5000, SEEK_SET), 0);
        fputc(old ? 1 : 0xff, file);
        fclose(file);
    }
    free(first);
    free(middle);
}

static int64_t files_in(const char *directory)
{
    int64_t count = 0;
    DIR *stream = opendir(directory);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

/* Nothing comes in, the topic stays usable, and no file is left. */
static void test_bad_sources(void **state)
{
    (void)state;
    static const struct bad bads[] = {{"hole", ERR_CORRUPT, "a segment is missing"},
                                      {"cut", ERR_CORRUPT, "before the end"},
                                      {"garbage", ERR_CORRUPT, "less than a batch header"},
                                      {"flip", ERR_CORRUPT, "CRC"},
                                      {"old", ERR_UNSUPPORTED, "0.11"}};
    char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
         *data = scratch_path(dir, "data"), *files = scratch_path(data, "topics/b-0");
    struct log *log = fixture_open(data);
    struct transfer transfer = {0};
    struct diag diag;
    fixture_topic(log, "a", 1, "1048576");
    fixture_topic(log, "b", 1, NULL);
    fill(log, fixture_partition(log, "a", 0), 120);
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const char *from = copy;
        assert_int_equal(
            partition_export_segments(fixture_partition(log, "a", 0), copy, &transfer, NULL), 0);
        spoil(copy, bads[i].what);
        transfer = (struct transfer){0};
        assert_int_equal(topic_import_segments(log, "b", &from, 1, &transfer, &diag), bads[i].code);
        if (strstr(diag.text, bads[i].says) == NULL || strstr(diag.text, copy) == NULL)
            fail_msg("%s: %s", bads[i].what, diag.text);
        assert_int_equal(transfer.batches, 0);
        assert_int_equal(files_in(files), 0);
        assert_int_equal(io_remove_tree(copy, NULL), 0);
    }
    assert_int_equal(fixture_append(fixture_partition(log, "b", 0), 1, 1), 0);
    const char *from = copy, *two[2] = {copy, copy};
    assert_int_equal(topic_import_segments(log, "b", &from, 1, &transfer, &diag), ERR_STATE);
    assert_int_equal(topic_import_segments(log, "b", two, 2, &transfer, &diag), ERR_INVALID);
    assert_int_equal(topic_import_segments(log, "c", &from, 1, &transfer, &diag), ERR_NOT_FOUND);
    fixture_topic(log, "d", 1, NULL);
    assert_int_equal(topic_import_segments(log, "d", &from, 1, &transfer, &diag), ERR_NOT_FOUND);
    log_close(log);
    free(copy);
    free(data);
    free(files);
    scratch_dir_remove(dir);
}

/* What compaction left out is no hole in a topic that is compacted. */
static void test_gaps_of_a_compacted_topic(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
         *data = scratch_path(dir, "data");
    struct log *log = fixture_open(data);
    struct transfer transfer = {0};
    const struct config_entry compact = {"cleanup.policy", "compact"};
    const char *from = copy;
    fixture_topic(log, "a", 1, "1048576");
    struct partition *a = fixture_partition(log, "a", 0);
    fill(log, a, 120);
    assert_int_equal(partition_export_segments(a, copy, &transfer, NULL), 0);
    char *middle = name_of(copy, 1);
    assert_int_equal(unlink(middle), 0);
    assert_int_equal(topic_create(log, "b", 1, &compact, 1, NULL), 0);
    assert_int_equal(topic_import_segments(log, "b", &from, 1, &transfer, NULL), 0);
    log_close(log);
    struct log_options quiet = {.keeper_interval_ms = -1};
    log = fixture_open_options(data, &quiet);
    struct partition *b = fixture_partition(log, "b", 0);
    assert_int_equal(partition_status(b, NULL), 0);
    assert_clean(b);
    struct fixture_record *records;
    int64_t count = fixture_read(b, 0, READ_COMMITTED, 1 << 20, &records);
    assert_true(count > 300 && count < 960);
    free(records);
    log_close(log);
    free(copy);
    free(data);
    free(middle);
    scratch_dir_remove(dir);
}

struct paths {
    const char *data, *copy;
};

static int import_and_close(void *context)
{
    struct paths *paths = context;
    struct log *log = fixture_open(paths->data);
    struct transfer transfer = {0};
    const char *from[2] = {paths->copy, paths->copy};
    int rc = topic_import_segments(log, "b", from, 2, &transfer, NULL);
    log_close(log);
    return rc < 0;
}

static int open_and_close(void *context)
{
    struct paths *paths = context;
    log_close(fixture_open(paths->data));
    return 0;
}

/* Before the write to meta: nothing. After it: all, in both partitions, wherever opening is interrupted. */
static void test_crash(void **state)
{
    (void)state;
    static const char *const during[] = {"import.written:1", "import.recorded:1"};
    for (int i = 0; i < 2; i++) {
        char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
             *data = scratch_path(dir, "data"), *files = scratch_path(data, "topics/b-1");
        struct paths paths = {data, copy};
        struct log *log = fixture_open(data);
        struct transfer transfer = {0};
        fixture_topic(log, "a", 1, "1048576");
        fixture_topic(log, "b", 2, NULL);
        fill(log, fixture_partition(log, "a", 0), 80);
        assert_int_equal(
            partition_export_segments(fixture_partition(log, "a", 0), copy, &transfer, NULL), 0);
        log_close(log);
        assert_int_equal(fixture_child(import_and_close, &paths, during[i]), 137);
        for (int n = 1; i == 1 && n <= 9; n += 4) {
            char point[32];
            snprintf(point, sizeof point, "recovery.swap:%d", n);
            assert_int_equal(fixture_child(open_and_close, &paths, point), 137);
        }
        log = fixture_open(data);
        for (int p = 0; p < 2; p++) {
            struct partition *b = fixture_partition(log, "b", p);
            assert_int_equal(partition_status(b, NULL), 0);
            assert_clean(b);
            if (i == 1)
                assert_same(fixture_partition(log, "a", 0), b, READ_COMMITTED);
            assert_true(fixture_append(b, 1, 1) >= 0);
        }
        if (i == 0)
            assert_int_equal(files_in(files), 1);
        log_close(log);
        free(copy);
        free(data);
        free(files);
        scratch_dir_remove(dir);
    }
}

static int no_space(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    int *left = context;
    (void)path;
    (void)fd;
    (void)size;
    return call == IO_PWRITE && --*left < 0 ? 28 : 0; /* ENOSPC */
}

static void test_full_disk(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *copy = scratch_path(dir, "copy"),
         *data = scratch_path(dir, "data"), *files = scratch_path(data, "topics/b-0");
    struct log *log = fixture_open(data);
    struct transfer transfer = {0};
    const char *from = copy;
    fixture_topic(log, "a", 1, "1048576");
    fixture_topic(log, "b", 1, NULL);
    fill(log, fixture_partition(log, "a", 0), 80);
    int left = 2;
    io_set_fault(no_space, &left);
    int rc = partition_export_segments(fixture_partition(log, "a", 0), copy, &transfer, NULL);
    io_set_fault(NULL, NULL);
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(access(copy, F_OK), -1);
    assert_int_equal(
        partition_export_segments(fixture_partition(log, "a", 0), copy, &transfer, NULL), 0);
    left = 2;
    io_set_fault(no_space, &left);
    rc = topic_import_segments(log, "b", &from, 1, &transfer, NULL);
    io_set_fault(NULL, NULL);
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(files_in(files), 0);
    assert_int_equal(topic_import_segments(log, "b", &from, 1, &transfer, NULL), 0);
    log_close(log);
    free(copy);
    free(data);
    free(files);
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_start_offset),
        cmocka_unit_test(test_open_transaction_is_aborted),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_gaps_of_a_compacted_topic),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
