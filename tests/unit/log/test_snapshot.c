/* test_snapshot.c: retries across restarts, crashes and purges; the files that make them work. The
 * bytes of the format are Kafka's own (a vector its broker's classes wrote). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

struct place {
    char *dir;
    struct log *log;
    struct partition *partition;
};

static const struct log_options OPTIONS = {.keeper_interval_ms = -1};

static void open_place(struct place *place)
{
    place->log = fixture_open_options(place->dir, &OPTIONS);
    if (topic_describe(place->log, "t", NULL, NULL) < 0)
        fixture_topic(place->log, "t", 1, NULL);
    place->partition = fixture_partition(place->log, "t", 0);
}

static void reopen(struct place *place)
{
    log_close(place->log);
    open_place(place);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->dir = scratch_dir_create();
    open_place(place);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    log_close(place->log);
    scratch_dir_remove(place->dir);
    free(place);
    return 0;
}

/* Sends count records; their values are their sequence numbers. The base offset, or the error. */
static int64_t send_sized(struct partition *partition, int64_t id, int16_t epoch, int32_t sequence,
                          int32_t count, size_t value_bytes)
{
    size_t size;
    int64_t offset = -1;
    uint8_t *batch = fixture_batch(sequence, count, value_bytes, 1000, &size);
    batch_set_producer(batch, id, epoch, sequence, false);
    int rc = partition_append(partition, batch, size, &offset, NULL);
    if (rc == 0)
        assert_int_equal(load_be64(batch), offset);
    free(batch);
    return rc < 0 ? rc : offset;
}

static int64_t send(struct partition *partition, int64_t id, int16_t epoch, int32_t sequence,
                    int32_t count)
{
    return send_sized(partition, id, epoch, sequence, count, 0);
}

static int64_t end_of(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.end;
}

static void flush(struct partition *partition)
{
    assert_int_equal(partition_wait(partition, end_of(partition), -1), 0);
}

/* Next offsets of the snapshot files, as text: "0 12". */
static const char *snapshots(const struct place *place)
{
    static char text[400];
    int64_t found[16];
    size_t count = 0, length = 0;
    char *path = scratch_path(place->dir, "topics/t-0");
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name + (strlen(entry->d_name) > 20 ? 20 : 0), ".snapshot") == 0) {
            size_t at = count++;
            int64_t offset = strtoll(entry->d_name, NULL, 10);
            for (; at > 0 && found[at - 1] > offset; at--)
                found[at] = found[at - 1];
            found[at] = offset;
        }
    if (stream != NULL)
        closedir(stream);
    free(path);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%" PRId64,
                                   i > 0 ? " " : "", found[i]);
    return text;
}

static char *snapshot_file(const struct place *place, int64_t offset)
{
    return scratch_path(place->dir, "topics/t-0/%020" PRId64 ".snapshot", offset);
}

/* ---- the format ---- */

static const char VECTOR[] =
    "0001d06bc478000000010000000000000fa00002000000040000000000000068000000040000018bcfe56800"
    "ffffffff0000000000000064";

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return size;
}

static void the_format_is_kafkas(void **state)
{
    struct place *place = *state;
    uint8_t bytes[100];
    size_t size = unhex(VECTOR, bytes), count;
    struct producer_info *list;
    assert_int_equal(snapshot_decode(place->partition, bytes_of(bytes, size), 105, NULL), 0);
    assert_int_equal(partition_producers(place->partition, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].producer_id, 4000);
    assert_int_equal(list[0].epoch, 2);
    assert_int_equal(list[0].last_sequence, 4);
    assert_int_equal(list[0].last_write_ms, 1700000000000);
    assert_int_equal(list[0].coordinator_epoch, -1);
    assert_int_equal(list[0].txn_first_offset, 100);
    free(list);
    struct batch_header retry = {.producer_id = 4000,
                                 .producer_epoch = 2,
                                 .base_sequence = 0,
                                 .last_offset_delta = 4,
                                 .record_count = 5};
    int64_t offset;
    assert_int_equal(producer_state_check(place->partition, &retry, &offset, NULL), 1);
    assert_int_equal(offset, 100);
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(snapshot_encode(place->partition, &out), 0);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, bytes, size);
    buf_deinit(&out);
}

static void no_damaged_snapshot_is_believed(void **state)
{
    struct place *place = *state;
    uint8_t bytes[100], copy[100];
    size_t size = unhex(VECTOR, bytes);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(snapshot_decode(place->partition, bytes_of(bytes, cut), 105, NULL),
                         ERR_CORRUPT);
    for (size_t bit = 0; bit < size * 8; bit++) {
        memcpy(copy, bytes, size);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(snapshot_decode(place->partition, bytes_of(copy, size), 105, NULL),
                         ERR_CORRUPT);
    }
    /* Offsets that its name does not allow. */
    assert_int_equal(snapshot_decode(place->partition, bytes_of(bytes, size), 104, NULL),
                     ERR_CORRUPT);
    assert_int_equal(place->partition->producers.count, 0);
}

/* ---- restarts ---- */

static void a_partition_without_numbered_batches_has_no_snapshot(void **state)
{
    struct place *place = *state;
    assert_int_equal(fixture_append(place->partition, 0, 10), 0);
    reopen(place);
    assert_string_equal(snapshots(place), "");
    assert_int_equal(send(place->partition, 7, 0, 0, 1), 10);
    assert_string_equal(snapshots(place), "10");
}

static void retries_are_known_after_a_restart(void **state)
{
    struct place *place = *state;
    int64_t offsets[7];
    for (int i = 0; i < 7; i++) {
        assert_true(fixture_append(place->partition, 0, 1) >= 0);
        offsets[i] = send(place->partition, 7, 3, i * 2, 2);
        assert_true(offsets[i] >= 0);
    }
    for (int lives = 0; lives < 3; lives++) {
        reopen(place);
        int64_t end = end_of(place->partition);
        for (int i = 2; i < 7; i++)
            assert_int_equal(send(place->partition, 7, 3, i * 2, 2), offsets[i]);
        assert_int_equal(send(place->partition, 7, 3, 2, 2), ERR_SEQUENCE);
        assert_int_equal(send(place->partition, 7, 3, 15, 1), ERR_SEQUENCE);
        assert_int_equal(send(place->partition, 7, 2, 14, 1), ERR_FENCED);
        assert_int_equal(end_of(place->partition), end);
    }
    int64_t end = end_of(place->partition);
    assert_int_equal(send(place->partition, 7, 3, 14, 1), end);
}

/* A snapshot holds one batch of each producer; the four before it are read from the log. */
static void the_window_reaches_back_beyond_the_snapshot(void **state)
{
    struct place *place = *state;
    int64_t offsets[7];
    for (int i = 0; i < 7; i++) {
        assert_true(send_sized(place->partition, 8, 0, i * 1000, 1000, 900) >=
                    0); /* far more than what is read */
        offsets[i] = i < 2 ? send_sized(place->partition, 7, 0, i, 1, 10) : -1;
    }
    for (int i = 2; i < 7; i++)
        offsets[i] = send_sized(place->partition, 7, 0, i, 1, 10);
    assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    int64_t end = end_of(place->partition);
    reopen(place);
    for (int i = 2; i < 7; i++)
        assert_int_equal(send_sized(place->partition, 7, 0, i, 1, 10), offsets[i]);
    assert_int_equal(end_of(place->partition), end);
}

static void snapshots_supersede_each_other(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
        flush(place->partition);
        assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    }
    assert_string_equal(snapshots(place), "9 10");
    assert_int_equal(snapshot_take(place->partition, 1, NULL), 0); /* nothing new */
    assert_string_equal(snapshots(place), "9 10");
    reopen(place);
    assert_int_equal(send(place->partition, 7, 0, 9, 1), 9);
}

static void a_roll_asks_for_a_snapshot(void **state)
{
    struct place *place = *state;
    const struct config_entry small = {"segment.bytes", "1000"};
    assert_int_equal(topic_alter(place->log, "t", &small, 1, NULL), 0);
    assert_int_equal(send_sized(place->partition, 7, 0, 0, 1, 600), 0);
    assert_int_equal(snapshot_take(place->partition, SNAPSHOT_BYTES, NULL), 0);
    assert_string_equal(snapshots(place), "0");
    assert_int_equal(send_sized(place->partition, 7, 0, 1, 1, 600), 1);
    assert_int_equal(snapshot_take(place->partition, SNAPSHOT_BYTES, NULL), 0);
    assert_string_equal(snapshots(place), "0 2");
}

static void the_damaged_newest_gives_way_to_the_one_before(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
        flush(place->partition);
        assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    }
    log_close(place->log);
    char *path = snapshot_file(place, 3);
    FILE *file = fopen(path, "r+b");
    assert_int_equal(fseek(file, 20, SEEK_SET), 0);
    fputc('!', file);
    fclose(file);
    free(path);
    open_place(place);
    assert_string_equal(snapshots(place), "2");
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
    assert_int_equal(send(place->partition, 7, 0, 3, 1), 3);
}

static void with_all_damaged_the_whole_log_is_read(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
    assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    log_close(place->log);
    char *paths[] = {snapshot_file(place, 0), snapshot_file(place, 4)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(truncate(paths[i], 5), 0);
        free(paths[i]);
    }
    open_place(place);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
    assert_int_equal(send(place->partition, 7, 0, 9, 1), ERR_SEQUENCE);
}

/* ---- the state is never ahead of the log ---- */

/* Nothing is flushed in this life: all of it may be lost, but for what the snapshots say. */
static int write_and_die(void *context)
{
    struct place *place = context;
    static const struct log_options lazy = {.keeper_interval_ms = -1, .flush_interval_ms = 600000};
    place->log = fixture_open_options(place->dir, &lazy);
    place->partition = fixture_partition(place->log, "t", 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
        assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    }
    _exit(0); /* nothing is closed */
}

static void bug_18_after_a_torn_tail_lost_batches_are_new_again(void **state)
{
    struct place *place = *state;
    log_close(place->log);
    assert_int_equal(fixture_child(write_and_die, place, NULL), 0);
    /* Of those above the flushed end any may turn out to be ahead. */
    assert_string_equal(snapshots(place), "0 3 4");
    /* The power cut took the last two batches. */
    char *segment = scratch_path(place->dir, "topics/t-0/%020d.log", 0);
    struct stat info;
    assert_int_equal(stat(segment, &info), 0);
    assert_int_equal(truncate(segment, info.st_size / 2 + 10), 0);
    free(segment);
    open_place(place);
    assert_string_equal(snapshots(place), "0");
    assert_int_equal(end_of(place->partition), 2);
    assert_int_equal(send(place->partition, 7, 0, 1, 1), 1);
    assert_int_equal(send(place->partition, 7, 0, 2, 1), 2); /* not a retry: it is gone */
    assert_int_equal(send(place->partition, 7, 0, 3, 1), 3);
    flush(place->partition);
    assert_string_equal(fixture_values(place->partition, READ_UNCOMMITTED), "0 1 2 3");
}

struct crash {
    struct place place;
    const char *ledger;
};

/* Sends batches and writes down which were acknowledged, then is killed somewhere. */
static int send_until_crash(void *context)
{
    struct crash *crash = context;
    open_place(&crash->place);
    struct partition *partition = crash->place.partition;
    FILE *ledger = fopen(crash->ledger, "w");
    for (int32_t i = 0; i < 12; i++) {
        int64_t offset = send(partition, 7, 0, i, 1);
        if (offset < 0 || partition_wait(partition, offset + 1, -1) < 0)
            return 1;
        fprintf(ledger, "%" PRId64 "\n", offset);
        fflush(ledger);
        if (i == 2 || i == 5 || i == 8)
            (void)snapshot_take(partition, 0, NULL);
    }
    log_close(crash->place.log);
    fclose(ledger);
    return 0;
}

/* Whatever the moment: a batch that is sent again after the crash has its offset from before. */
static void bug_18_a_retry_after_kill_gets_the_first_offset(void **state)
{
    static const char *const points[] = {
        "append.written:1",   "append.written:7",   "flush.before:3",     "flush.done:9",
        "snapshot.written:1", "snapshot.renamed:1", "snapshot.done:1",    "snapshot.written:3",
        "snapshot.renamed:3", "snapshot.done:4",    "snapshot.removed:1", NULL};
    (void)state;
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        struct crash crash = {.place.dir = scratch_dir_create()};
        char *path = scratch_path(crash.place.dir, "ledger");
        crash.ledger = path;
        assert_int_equal(fixture_child(send_until_crash, &crash, points[p]),
                         points[p] == NULL ? 0 : 137);
        open_place(&crash.place);
        struct partition *partition = crash.place.partition;
        int64_t acknowledged[12], end = end_of(partition);
        int count = 0;
        FILE *ledger = fopen(path, "r");
        while (ledger != NULL && count < 12 &&
               fscanf(ledger, "%" SCNd64, &acknowledged[count]) == 1)
            count++;
        if (ledger != NULL)
            fclose(ledger);
        assert_true(end >= count);
        for (int i = count > 5 ? count - 4 : 0; i < count; i++)
            assert_int_equal(send(partition, 7, 0, i, 1), acknowledged[i]);
        assert_int_equal(end_of(partition), end);
        /* What was under way was written or not; sent again it is there once. */
        for (int i = count; i < 12; i++)
            assert_int_equal(send(partition, 7, 0, i, 1), i);
        flush(partition);
        assert_string_equal(fixture_values(partition, READ_UNCOMMITTED),
                            "0 1 2 3 4 5 6 7 8 9 10 11");
        log_close(crash.place.log);
        free(path);
        scratch_dir_remove(crash.place.dir);
    }
}

/* ---- purge, deletion, expiry ---- */

static void a_purge_does_not_take_the_state_along(void **state)
{
    struct place *place = *state;
    const struct config_entry small = {"segment.bytes", "1000"};
    assert_int_equal(topic_alter(place->log, "t", &small, 1, NULL), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_sized(place->partition, 7, 0, i, 1, 600), i);
    flush(place->partition);
    assert_int_equal(partition_purge(place->partition, 5, NULL), 0);
    reopen(place);
    assert_int_equal(send_sized(place->partition, 7, 0, 6, 1, 600), ERR_SEQUENCE);
    assert_int_equal(send_sized(place->partition, 7, 0, 4, 1, 600), 4);
    assert_int_equal(send_sized(place->partition, 7, 0, 5, 1, 600), 5);
}

/* Without a snapshot above the start nothing certain is known: any sequence is right. */
static void a_snapshot_below_the_start_is_not_trusted(void **state)
{
    struct place *place = *state;
    const struct config_entry small = {"segment.bytes", "1000"};
    assert_int_equal(topic_alter(place->log, "t", &small, 1, NULL), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_sized(place->partition, 7, 0, i, 1, 600), i);
    flush(place->partition);
    assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    for (int i = 5; i < 8; i++)
        assert_int_equal(send_sized(place->partition, 7, 0, i, 1, 600), i);
    assert_int_equal(fixture_append(place->partition, 0, 1), 8);
    flush(place->partition);
    assert_int_equal(partition_purge(place->partition, 8, NULL), 0);
    log_close(place->log);
    char *path = snapshot_file(place, 9);
    assert_int_equal(unlink(path), 0);
    free(path);
    open_place(place);
    assert_string_equal(snapshots(place), "5");
    assert_int_equal(send(place->partition, 7, 0, 8, 1), 9);
}

static int fail_creating(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)fd;
    (void)size;
    return call == IO_OPEN && path != NULL && strstr(path, ".snapshot") != NULL ? 28 /* ENOSPC */
                                                                                : 0;
}

static void a_full_disk_refuses_the_first_and_forgives_the_others(void **state)
{
    struct place *place = *state;
    io_set_fault(fail_creating, NULL);
    assert_int_equal(send(place->partition, 7, 0, 0, 1), ERR_FULL);
    assert_int_equal(end_of(place->partition), 0);
    io_set_fault(NULL, NULL);
    assert_int_equal(send(place->partition, 7, 0, 0, 1), 0);
    io_set_fault(fail_creating, NULL);
    assert_int_equal(send(place->partition, 7, 0, 1, 1), 1);
    assert_int_equal(snapshot_take(place->partition, 0, NULL), ERR_FULL);
    flush(place->partition);
    assert_int_equal(partition_purge(place->partition, 2, NULL), 0);
    io_set_fault(NULL, NULL);
    assert_int_equal(log_status(place->log, NULL), 0);
    assert_int_equal(snapshot_take(place->partition, 1, NULL), 0); /* still due */
    assert_string_equal(snapshots(place), "0 2");
}

static int fail_directory(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)fd;
    (void)size;
    return call == IO_FSYNC_DIR && path != NULL && strstr(path, "t-0") != NULL ? 5 /* EIO */ : 0;
}

static void a_failed_flush_of_the_directory_stops_the_writer(void **state)
{
    struct place *place = *state;
    assert_int_equal(fixture_append(place->partition, 0, 1), 0);
    flush(place->partition);
    io_set_fault(fail_directory, NULL);
    assert_int_equal(send(place->partition, 7, 0, 0, 1), ERR_IO);
    io_set_fault(NULL, NULL);
    assert_int_equal(log_status(place->log, NULL), ERR_IO);
}

static void deleting_the_topic_removes_them(void **state)
{
    struct place *place = *state;
    assert_int_equal(send(place->partition, 7, 0, 5, 1), 0);
    struct partition *gone = place->partition;
    assert_int_equal(topic_delete(place->log, "t", NULL), 0);
    fixture_topic(place->log, "t", 1, NULL);
    place->partition = fixture_partition(place->log, "t", 0);
    assert_string_equal(snapshots(place), "");
    assert_int_equal(send(gone, 7, 0, 6, 1), ERR_NOT_FOUND);
    assert_int_equal(snapshot_take(gone, 0, NULL), ERR_NOT_FOUND);
    assert_string_equal(snapshots(place), "");
    assert_int_equal(send(place->partition, 7, 0, 9, 1), 0); /* knows nobody */
}

static int64_t test_now;

static int64_t moved_clock(void)
{
    return test_now;
}

static void bug_18_expiry_goes_by_the_clock_and_not_by_records(void **state)
{
    struct place *place = *state;
    const int64_t day = INT64_C(24) * 3600 * 1000;
    test_now = 1800000000000;
    clock_wall_replace(moved_clock);
    /* The records say 1970: that is no reason to forget their producer. */
    assert_int_equal(send(place->partition, 7, 0, 0, 1), 0);
    test_now += day - 1;
    assert_int_equal(
        producer_state_expire(place->partition, test_now, place->log->options.producer_expiry_ms),
        0);
    assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    reopen(place);
    assert_int_equal(send(place->partition, 7, 0, 5, 1), ERR_SEQUENCE);
    log_close(place->log);
    test_now += 1;
    open_place(place);
    assert_int_equal(send(place->partition, 7, 0, 5, 1), 1);
    clock_wall_replace(NULL);
}

/* ---- house-keeping, and a log that is only read ---- */

static void the_keeper_makes_them_and_lets_producers_expire(void **state)
{
    struct place *place = *state;
    int32_t sequence = 0;
    assert_int_equal(send(place->partition, 8, 0, 0, 1), 0);
    for (int64_t bytes = 0; bytes < SNAPSHOT_BYTES - 2000000; bytes += 900000, sequence += 300)
        assert_true(send_sized(place->partition, 7, 0, sequence, 300, 3000) >= 0);
    assert_int_equal(log_keep_house(place->log, 0, NULL, NULL), 0);
    assert_string_equal(snapshots(place), "0");
    for (int i = 0; i < 4; i++, sequence += 300)
        assert_true(send_sized(place->partition, 7, 0, sequence, 300, 3000) >= 0);
    assert_int_equal(log_keep_house(place->log, 0, NULL, NULL), 0);
    char expected[64];
    snprintf(expected, sizeof expected, "0 %d", sequence + 1);
    assert_string_equal(snapshots(place), expected);
    int64_t expiry_ms = place->log->options.producer_expiry_ms;
    assert_int_equal(log_keep_house(place->log, clock_wall_ms() + expiry_ms / 2, NULL, NULL), 0);
    assert_int_equal(place->partition->producers.count, 2);
    assert_int_equal(log_keep_house(place->log, clock_wall_ms() + expiry_ms, NULL, NULL), 0);
    assert_int_equal(place->partition->producers.count, 0);
}

enum { SENDERS = 3, SENDS = 200 };

struct sender_thread {
    struct partition *partition;
    int64_t id;
    int wrong;
    pthread_t thread;
};

static void *send_all_twice(void *context)
{
    struct sender_thread *sender = context;
    for (int32_t i = 0; i < SENDS; i++) {
        int64_t first = send(sender->partition, sender->id, 0, i * 2, 2);
        if (first < 0 || send(sender->partition, sender->id, 0, i * 2, 2) != first)
            sender->wrong++;
    }
    return NULL;
}

/* The partition's first numbered batches come from all at once, and snapshots are made under way. */
static void threads_send_while_snapshots_are_made(void **state)
{
    struct place *place = *state;
    struct sender_thread senders[SENDERS];
    struct producer_info *list;
    size_t count;
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender_thread){.partition = place->partition, .id = 50 + i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all_twice, &senders[i]), 0);
    }
    while (end_of(place->partition) < SENDERS * SENDS * 2) {
        assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
        assert_int_equal(log_keep_house(place->log, 0, NULL, NULL), 0);
        assert_int_equal(partition_producers(place->partition, &list, &count, NULL), 0);
        assert_true(count <= SENDERS);
        free(list);
        sched_yield();
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].wrong, 0);
    }
    assert_int_equal(end_of(place->partition), SENDERS * SENDS * 2);
    reopen(place);
    for (int i = 0; i < SENDERS; i++)
        assert_true(send(place->partition, 50 + i, 0, (SENDS - 1) * 2, 2) >= 0);
    assert_int_equal(end_of(place->partition), SENDERS * SENDS * 2);
}

static void reading_only_changes_no_snapshot(void **state)
{
    struct place *place = *state;
    static const struct log_options reading = {.read_only = true, .must_exist = true};
    struct producer_info *list;
    size_t count;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(send(place->partition, 7, 0, i, 1), i);
        flush(place->partition);
        assert_int_equal(snapshot_take(place->partition, 0, NULL), 0);
    }
    log_close(place->log);
    char *path = snapshot_file(place, 2);
    assert_int_equal(truncate(path, 11), 0);
    free(path);
    place->log = fixture_open_options(place->dir, &reading);
    place->partition = fixture_partition(place->log, "t", 0);
    assert_int_equal(partition_producers(place->partition, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].last_sequence, 1);
    free(list);
    assert_int_equal(send(place->partition, 7, 0, 2, 1), ERR_READ_ONLY);
    log_close(place->log);
    assert_string_equal(snapshots(place), "1 2");
    open_place(place);
    assert_string_equal(snapshots(place), "1");
}

/* ---- transactions of the engine ---- */

static void transactions_count_once_the_partition_tracks(void **state)
{
    struct place *place = *state;
    struct producer *producer;
    struct producer_info *list;
    size_t count;
    assert_int_equal(producer_open(place->log, "app", &producer, NULL), 0);
    assert_int_equal(send(place->partition, 70000, 0, 0, 1), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, place->partition, 10, 3), 1);
    assert_int_equal(partition_producers(place->partition, &list, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[1].producer_id, producer_id(producer));
    assert_int_equal(list[1].last_sequence, 2);
    assert_int_equal(list[1].txn_first_offset, 1);
    free(list);
    assert_int_equal(txn_commit(producer, NULL), 0);
    producer_close(producer);
    flush(place->partition);
    reopen(place);
    assert_int_equal(partition_producers(place->partition, &list, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[1].txn_first_offset, -1);
    assert_int_equal(list[1].last_sequence, 2);
    free(list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_format_is_kafkas),
        TEST(no_damaged_snapshot_is_believed),
        TEST(a_partition_without_numbered_batches_has_no_snapshot),
        TEST(retries_are_known_after_a_restart),
        TEST(the_window_reaches_back_beyond_the_snapshot),
        TEST(snapshots_supersede_each_other),
        TEST(a_roll_asks_for_a_snapshot),
        TEST(the_damaged_newest_gives_way_to_the_one_before),
        TEST(with_all_damaged_the_whole_log_is_read),
        TEST(bug_18_after_a_torn_tail_lost_batches_are_new_again),
        TEST(a_purge_does_not_take_the_state_along),
        TEST(a_snapshot_below_the_start_is_not_trusted),
        TEST(a_full_disk_refuses_the_first_and_forgives_the_others),
        TEST(a_failed_flush_of_the_directory_stops_the_writer),
        TEST(deleting_the_topic_removes_them),
        TEST(bug_18_expiry_goes_by_the_clock_and_not_by_records),
        TEST(the_keeper_makes_them_and_lets_producers_expire),
        TEST(threads_send_while_snapshots_are_made),
        TEST(reading_only_changes_no_snapshot),
        TEST(transactions_count_once_the_partition_tracks),
        cmocka_unit_test(bug_18_a_retry_after_kill_gets_the_first_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
