/* test_verify.c: verify finds what is wrong, and nothing where all is well.
 *
 * The property: in a small partition every byte of every .log file is flipped, one at a time; each
 * time verify must find it. Nothing in a .log is there for no purpose, so there is no byte that may
 * change without a finding. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct found {
    int count[4]; /* by kind */
    int total;
    char first[512], file[512];
    int64_t position, offset;
};

static void note(void *context, const struct verify_finding *finding)
{
    struct found *found = context;
    found->count[finding->kind]++;
    if (found->total++ == 0) {
        snprintf(found->first, sizeof found->first, "%s", finding->text);
        snprintf(found->file, sizeof found->file, "%s", finding->file);
        found->position = finding->position;
        found->offset = finding->offset;
    }
}

static struct found verify(struct partition *partition)
{
    struct found found = {.position = -2};
    struct diag diag = {0};
    if (partition_verify(partition, note, &found, NULL, &diag) < 0)
        fail_msg("partition_verify: %s", diag.text);
    return found;
}

static void assert_clean(struct partition *partition)
{
    struct found found = verify(partition);
    if (found.total != 0)
        fail_msg("%d findings; %s, byte %lld: %s", found.total, found.file,
                 (long long)found.position, found.first);
}

static char *file_of(const char *dir, const char *name)
{
    return scratch_path(dir, "topics/t-0/%s", name);
}

static void write_at(const char *path, int64_t position, const void *data, size_t size)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, position, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void flip(const char *path, int64_t position)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, position, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, position, SEEK_SET), 0);
    fputc(byte ^ (1 << position % 8), file);
    fclose(file);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

/* ---- all is well ---- */

/* Transactions committed and aborted, plain records, several segments; and all of it again after a
 * restart and a purge. */
static void test_healthy(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct producer *producer;
    struct verify_report report = {0};
    fixture_topic(log, "t", 1, "1048576");
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_clean(partition);
    assert_int_equal(producer_open(log, "p", &producer, NULL), 0);
    int64_t batches = 0, records = 0;
    for (int64_t i = 0; i < 600; i++) {
        assert_true(fixture_append_sized(partition, i, 4, 2000, 1000 + i * 7 % 500) >= 0);
        batches++, records += 4;
        if (i % 10 != 0)
            continue;
        assert_int_equal(txn_begin(producer, NULL), 0);
        assert_true(fixture_txn_append(producer, partition, i, 2) >= 0);
        assert_true(fixture_txn_append(producer, partition, i, 2) >= 0);
        assert_int_equal(i % 20 == 0 ? txn_abort(producer, NULL) : txn_commit(producer, NULL), 0);
        batches += 3, records += 5;
    }
    /* the last markers are on their way */
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(partition_wait(partition, offsets.end, 10000), 0);
    assert_clean(partition);
    producer_close(producer);
    log_close(log);
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    struct found found = {0};
    assert_int_equal(partition_verify(partition, note, &found, &report, NULL), 0);
    assert_string_equal(found.first, "");
    assert_int_equal(report.batches, batches);
    assert_int_equal(report.records, records);
    assert_true(report.segments > 3);
    struct partition_files files;
    partition_files(partition, &files);
    assert_int_equal(report.bytes, files.bytes);
    assert_int_equal(partition_purge(partition, offsets.end / 2, NULL), 0);
    assert_clean(partition);
    log_close(log);
    log = fixture_open(dir);
    assert_clean(fixture_partition(log, "t", 0));
    log_close(log);
    scratch_dir_remove(dir);
}

struct writer {
    struct partition *partition;
    atomic_bool stop;
};

static void *write_meanwhile(void *context)
{
    struct writer *writer = context;
    struct partition_offsets offsets;
    for (int64_t i = 0; !atomic_load(&writer->stop); i++) {
        if (fixture_append_sized(writer->partition, i, 2, 3000, 1000 + i) < 0)
            return writer;
        partition_offsets(writer->partition, &offsets);
        if (i % 100 == 99 && offsets.stable > 400 && /* some 1 MiB stays */
            partition_purge(writer->partition, offsets.stable - 400, NULL) < 0)
            return writer;
    }
    return NULL;
}

static void test_beside_appends_and_purges(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, "1048576");
    struct writer writer = {.partition = fixture_partition(log, "t", 0)};
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, write_meanwhile, &writer), 0);
    for (int i = 0; i < 40; i++)
        assert_clean(writer.partition);
    atomic_store(&writer.stop, true);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_clean(writer.partition);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- flipped bytes ---- */

/* Two closed segments' worth would need 2 MiB; one file of a few batches, a transaction among them.
 */
static void test_every_flipped_byte_is_found(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct producer *producer;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "p", &producer, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(fixture_append(partition, i, 3) >= 0);
        assert_int_equal(txn_begin(producer, NULL), 0);
        assert_true(fixture_txn_append(producer, partition, i, 2) >= 0);
        assert_int_equal(i == 1 ? txn_abort(producer, NULL) : txn_commit(producer, NULL), 0);
    }
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(partition_wait(partition, offsets.end, 10000), 0);
    assert_clean(partition);
    char *path = file_of(dir, "00000000000000000000.log");
    int64_t size = size_of(path);
    for (int64_t i = 0; i < size; i++) {
        flip(path, i);
        struct found found = verify(partition);
        if (found.total == 0)
            fail_msg("a flipped bit in byte %lld was not found", (long long)i);
        if (found.position > i)
            fail_msg("byte %lld was flipped, the finding is at %lld", (long long)i,
                     (long long)found.position);
        flip(path, i);
    }
    assert_clean(partition);
    producer_close(producer);
    log_close(log);
    free(path);
    scratch_dir_remove(dir);
}

/* ---- closed segments: their indexes, their records in meta, their files ---- */

/* Three segments of 1 MiB, all flushed and recorded; closed again, so that the files stand still.
 */
static struct log *three_segments(const char *dir, int64_t bases[3])
{
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, "1048576");
    struct partition *partition = fixture_partition(log, "t", 0);
    struct partition_description d;
    for (int64_t i = 0; i < 110; i++)
        assert_int_equal(fixture_append_sized(partition, i * 8, 8, 3000, 1000 + i), i * 8);
    assert_int_equal(partition_wait(partition, 110 * 8, 10000), 0);
    assert_int_equal(partition_describe(partition, &d, NULL), 0);
    assert_int_equal(d.segment_count, 3);
    for (int i = 0; i < 3; i++)
        bases[i] = d.segments[i].base_offset;
    partition_description_deinit(&d);
    log_close(log);
    return fixture_open(dir);
}

static void test_indexes(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    int64_t bases[3];
    struct log *log = three_segments(dir, bases);
    struct partition *partition = fixture_partition(log, "t", 0);
    char name[64];
    static const char *const suffixes[] = {"index", "timeindex"};
    static const int entry_bytes[] = {8, 12};
    assert_clean(partition);
    for (int s = 0; s < 2; s++) {
        snprintf(name, sizeof name, "%020lld.%s", (long long)bases[1], suffixes[s]);
        char *path = file_of(dir, name), *kept = scratch_path(dir, "kept");
        int64_t size = size_of(path);
        assert_true(size > 20 * entry_bytes[s]);
        scratch_copy(path, kept);
        for (int64_t i = 0; i < size; i += i < 48 ? 1 : 17) { /* any byte */
            flip(path, i);
            struct found found = verify(partition);
            assert_true(found.count[VERIFY_INDEX] > 0);
            assert_int_equal(found.count[VERIFY_INDEX], found.total);
            assert_string_equal(found.file, path);
            flip(path, i);
        }
        assert_clean(partition);
        uint8_t zeros[48] = {0};
        write_at(path, size, zeros, 4 * (size_t)entry_bytes[s]); /* as preallocated files have */
        assert_int_equal(verify(partition).count[VERIFY_INDEX], 4);
        assert_int_equal(truncate(path, size + 5), 0);
        assert_true(verify(partition).count[VERIFY_INDEX] > 0);
        assert_int_equal(truncate(path, size - 3 * entry_bytes[s]), 0); /* its end is lost */
        assert_true(verify(partition).count[VERIFY_INDEX] > 0);
        assert_int_equal(unlink(path), 0);
        assert_true(verify(partition).count[VERIFY_INDEX] > 0);
        assert_int_equal(rename(kept, path), 0);
        assert_clean(partition);
        free(path);
        free(kept);
    }
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_files(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), name[64];
    int64_t bases[3];
    struct log *log = three_segments(dir, bases);
    struct partition *partition = fixture_partition(log, "t", 0);
    snprintf(name, sizeof name, "%020lld.log", (long long)bases[1]);
    char *middle = file_of(dir, name), *aside = scratch_path(dir, "aside"),
         *extra = file_of(dir, "notes.txt");
    /* a foreign file */
    fclose(fopen(extra, "w"));
    struct found found = verify(partition);
    assert_int_equal(found.count[VERIFY_FILES], 1);
    assert_string_equal(found.file, extra);
    unlink(extra);
    /* a segment that is none of it */
    free(extra);
    extra = file_of(dir, "00000000000000099999.log");
    fclose(fopen(extra, "w"));
    assert_true(verify(partition).count[VERIFY_FILES] > 0);
    unlink(extra);
    /* a missing segment is named, and so is the hole */
    assert_int_equal(rename(middle, aside), 0);
    found = verify(partition);
    assert_true(found.count[VERIFY_FILES] >= 2);
    assert_string_equal(found.file, middle);
    assert_int_equal(rename(aside, middle), 0);
    assert_clean(partition);
    /* bytes behind the end of a closed one, and too few of them */
    int64_t size = size_of(middle);
    write_at(middle, size, "garbage", 7);
    found = verify(partition);
    assert_true(found.count[VERIFY_RECORDS] > 0 && found.count[VERIFY_META] > 0);
    assert_int_equal(found.position, size);
    assert_int_equal(truncate(middle, size), 0);
    assert_clean(partition);
    assert_int_equal(truncate(middle, size - 1), 0);
    assert_true(verify(partition).count[VERIFY_RECORDS] > 0);
    log_close(log);
    free(middle);
    free(aside);
    free(extra);
    scratch_dir_remove(dir);
}

/* Damage in the middle: everything behind it is still looked at. */
static void test_goes_on_behind_damage(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), name[64];
    int64_t bases[3];
    struct log *log = three_segments(dir, bases);
    struct partition *partition = fixture_partition(log, "t", 0);
    uint8_t zeros[30000] = {0};
    struct found found = {0};
    struct verify_report report = {0};
    snprintf(name, sizeof name, "%020lld.log", (long long)bases[0]);
    char *first = file_of(dir, name);
    snprintf(name, sizeof name, "%020lld.log", (long long)bases[2]);
    char *last = file_of(dir, name);
    write_at(first, 50000, zeros, sizeof zeros);
    flip(last, size_of(last) - 1);
    assert_int_equal(partition_verify(partition, note, &found, &report, NULL), 0);
    assert_int_equal(found.total, report.findings);
    assert_int_equal(found.count[VERIFY_RECORDS], 2);
    assert_int_equal(found.total, 2);
    assert_true(report.batches >= 110 - 4);
    log_close(log);
    /* now it is stopped, since the flushed end is damaged: still all of it is found */
    log = fixture_open(dir);
    partition = fixture_partition(log, "t", 0);
    assert_int_equal(partition_status(partition, NULL), ERR_CORRUPT);
    struct found again = verify(partition);
    assert_int_equal(again.count[VERIFY_RECORDS], 2);
    log_close(log);
    free(first);
    free(last);
    scratch_dir_remove(dir);
}

/* A whole batch, well-formed in itself, that does not belong where it stands. */
static void test_batches_that_do_not_continue(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(fixture_append(partition, i, 1), i);
    assert_int_equal(partition_wait(partition, 5, 10000), 0);
    char *path = file_of(dir, "00000000000000000000.log"), *data;
    size_t size;
    assert_int_equal(io_read_file(path, 1 << 20, &data, &size, NULL), 0);
    size_t each = size / 5;
    write_at(path, (int64_t)(2 * each), data + each, each); /* the third is the second again */
    struct found found = verify(partition);
    assert_int_equal(found.count[VERIFY_RECORDS], 1);
    assert_int_equal(found.position, 2 * each);
    assert_int_equal(found.offset, 2);
    write_at(path, (int64_t)(2 * each), data + 2 * each, each);
    assert_clean(partition);
    /* a wrong maximal timestamp, with a right CRC */
    batch_set_time((uint8_t *)data + each, false, 5);
    write_at(path, (int64_t)each, data + each, each);
    found = verify(partition);
    assert_true(found.count[VERIFY_RECORDS] > 0);
    assert_non_null(strstr(found.first, "timestamp"));
    log_close(log);
    free(data);
    free(path);
    scratch_dir_remove(dir);
}

static void test_deleted_topic(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    assert_int_equal(partition_verify(partition, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),
        cmocka_unit_test(test_beside_appends_and_purges),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_indexes),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_goes_on_behind_damage),
        cmocka_unit_test(test_batches_that_do_not_continue),
        cmocka_unit_test(test_deleted_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
