/* test_retention.c: what grows old goes, and nothing else: against a naive model with a moved
 * clock, with open transactions, with readers inside, with a crash at every step. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { HOUR_MS = 3600 * 1000, SEGMENT_BYTES = 1000, VALUE_BYTES = 200 };

/* The wall clock of these tests. */
static _Atomic int64_t wall_ms;
static int64_t test_clock(void)
{
    return atomic_load(&wall_ms);
}

static int set_clock(void **state)
{
    (void)state;
    atomic_store(&wall_ms, INT64_C(1700000000000));
    clock_wall_replace(test_clock);
    return 0;
}
static int reset_clock(void **state)
{
    (void)state;
    clock_wall_replace(NULL);
    return 0;
}

struct setup {
    char *dir;
    struct log *log;
    struct partition *p;
};

static const struct log_options no_keeper = {.keeper_interval_ms = -1};

static void open_it(struct setup *s)
{
    s->log = fixture_open_options(s->dir, &no_keeper);
}

static void alter(struct log *log, const char *key, const char *value)
{
    struct config_entry entry = {key, value};
    struct diag diag = {0};
    if (topic_alter(log, "t", &entry, 1, &diag) < 0)
        fail_msg("topic_alter: %s", diag.text);
}

static void begin(struct setup *s, const char *retention_ms, const char *retention_bytes)
{
    s->dir = scratch_dir_create();
    open_it(s);
    fixture_topic(s->log, "t", 1, "1000");
    s->p = fixture_partition(s->log, "t", 0);
    alter(s->log, "retention.ms", retention_ms);
    alter(s->log, "retention.bytes", retention_bytes);
}

static void reopen(struct setup *s)
{
    log_close(s->log);
    open_it(s);
    s->p = fixture_partition(s->log, "t", 0);
}

static void end(struct setup *s)
{
    log_close(s->log);
    scratch_dir_remove(s->dir);
}

static void append(struct setup *s, int64_t value)
{
    assert_int_equal(fixture_append_sized(s->p, value, 1, VALUE_BYTES, wall_ms), value);
}

static void settle(struct setup *s)
{
    struct partition_offsets offsets;
    partition_offsets(s->p, &offsets);
    assert_int_equal(partition_wait(s->p, offsets.end, 10000), 0);
}

static struct keeper_report keep_house(struct setup *s)
{
    struct keeper_report report = {0};
    struct diag diag = {0};
    if (log_keep_house(s->log, 0, &report, &diag) < 0)
        fail_msg("log_keep_house: %s", diag.text);
    return report;
}

static int64_t start_of(struct setup *s)
{
    struct partition_offsets offsets;
    partition_offsets(s->p, &offsets);
    return offsets.start;
}

/* Files of the partition's directory whose names end so. */
static int files_with(const struct setup *s, const char *suffix)
{
    char *path = scratch_path(s->dir, "topics/t-0");
    DIR *stream = opendir(path);
    int count = 0;
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name), wanted = strlen(suffix);
        count += length > wanted && strcmp(entry->d_name + length - wanted, suffix) == 0;
    }
    closedir(stream);
    free(path);
    return count;
}

/* ---- the rules, one by one ---- */

/* A batch of these is 272 bytes or so: three a segment. One segment an hour. */
static void fill_hours(struct setup *s, int hours)
{
    for (int i = 0; i < hours; i++) {
        for (int k = 0; k < 3; k++)
            append(s, 3 * i + k);
        atomic_fetch_add(&wall_ms, HOUR_MS);
    }
    settle(s);
}

static void test_by_time(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files files;
    begin(&s, "18000000", "-1"); /* five hours */
    fill_hours(&s, 10);          /* segments written 10, 9 … 1 hours ago */
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 10);
    struct keeper_report report = keep_house(&s);
    assert_int_equal(report.segments_deleted, 5); /* 10 to 6; not the one of exactly five hours */
    assert_int_equal(start_of(&s), 15);
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 5);
    assert_int_equal(files_with(&s, ".log"), 5);
    assert_int_equal(files_with(&s, ".deleted"), 0);
    assert_int_equal(keep_house(&s).segments_deleted, 0);
    for (int i = 0; i < 2; i++) {
        struct fixture_record *records;
        assert_int_equal(fixture_read(s.p, 15, READ_COMMITTED, 1000, &records), 15);
        assert_int_equal(records[0].value, 15);
        free(records);
        reopen(&s);
    }
    end(&s);
}

static void test_by_size(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files all, files;
    begin(&s, "-1", "-1");
    fill_hours(&s, 10);
    assert_int_equal(keep_house(&s).segments_deleted, 0); /* -1: for ever */
    partition_files(s.p, &all);
    int64_t segment = all.bytes / 10;
    char limit[32];
    /* Kafka's rule: the oldest goes as long as what remains is not less than the limit. */
    snprintf(limit, sizeof limit, "%" PRId64, 4 * segment);
    alter(s.log, "retention.bytes", limit);
    keep_house(&s);
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 4);
    snprintf(limit, sizeof limit, "%" PRId64, 4 * segment - 1);
    alter(s.log, "retention.bytes", limit);
    assert_int_equal(keep_house(&s).segments_deleted, 0);
    snprintf(limit, sizeof limit, "%" PRId64, 3 * segment);
    alter(s.log, "retention.bytes", limit); /* altered in a living log */
    struct keeper_report report = keep_house(&s);
    assert_int_equal(report.segments_deleted, 1);
    assert_int_equal(report.bytes_deleted, segment);
    end(&s);
}

static void test_only_where_the_policy_says_so(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "1", "-1");
    fill_hours(&s, 3);
    alter(s.log, "cleanup.policy", "compact");
    assert_int_equal(keep_house(&s).segments_deleted, 0);
    assert_int_equal(start_of(&s), 0);
    alter(s.log, "cleanup.policy", "compact,delete");
    keep_house(&s);
    assert_int_equal(start_of(&s), 9);
    end(&s);
}

/* now_ms moves the clock by which ages are taken, without waiting. */
static void test_moved_time(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "7200000", "-1");
    append(&s, 0);
    settle(&s);
    assert_int_equal(log_keep_house(s.log, wall_ms + 7200000, NULL, NULL), 0);
    assert_int_equal(start_of(&s), 0);
    assert_int_equal(log_keep_house(s.log, wall_ms + 7200001, NULL, NULL), 0);
    assert_int_equal(start_of(&s), 1);
    end(&s);
}

/* The clock went back: ages are negative, nothing goes. */
static void test_a_clock_that_went_back(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "1000", "-1");
    append(&s, 0);
    settle(&s);
    assert_int_equal(log_keep_house(s.log, 1, NULL, NULL), 0);
    assert_int_equal(start_of(&s), 0);
    end(&s);
}

/* The age of a segment outlives restarts, those of the active one too, and closing is no writing.
 */
static void test_ages_survive_restarts(void **state)
{
    (void)state;
    struct setup s;
    clock_wall_replace(NULL); /* the age of the active segment's file is the system's */
    begin(&s, "3600000", "-1");
    struct producer *producer;
    assert_int_equal(producer_open(s.log, "x", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, s.p, 0, 1), 0);
    assert_int_equal(txn_commit(producer, NULL), 0); /* reserves room: closing will cut it off */
    producer_close(producer);
    settle(&s);
    int64_t written = s.p->active->last_write_ms;
    usleep(30000);
    for (int i = 0; i < 3; i++) {
        reopen(&s);
        assert_true(llabs(s.p->active->last_write_ms - written) <= 20);
    }
    assert_int_equal(log_keep_house(s.log, written + 3600000 - 1000, NULL, NULL), 0);
    assert_int_equal(start_of(&s), 0);
    assert_int_equal(log_keep_house(s.log, written + 3600000 + 1000, NULL, NULL), 0);
    assert_int_equal(start_of(&s), 2);
    end(&s);
}

/* ---- named classes of faults ---- */

static void damage_time_indexes(const struct setup *s, bool zeros)
{
    char *path = scratch_path(s->dir, "topics/t-0");
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strstr(entry->d_name, ".timeindex") == NULL)
            continue;
        char *file = scratch_path(path, "%s", entry->d_name);
        FILE *out = fopen(file, "r+b");
        assert_non_null(out);
        for (int i = 0; i < 240; i++)
            fputc(zeros ? 0 : i * 37 % 251, out);
        fclose(out);
        free(file);
    }
    closedir(stream);
    free(path);
}

/* Kafka took a time index's last entry for the age of its segment: zeros after a crash made it old.
 */
static void bug_03_a_damaged_time_index_deletes_nothing(void **state)
{
    (void)state;
    for (int zeros = 0; zeros < 2; zeros++) {
        struct setup s;
        begin(&s, "36000000", "-1"); /* ten hours */
        fill_hours(&s, 5);
        log_close(s.log);
        damage_time_indexes(&s, zeros == 1);
        open_it(&s);
        s.p = fixture_partition(s.log, "t", 0);
        assert_int_equal(keep_house(&s).segments_deleted, 0);
        struct fixture_record *records;
        assert_int_equal(fixture_read(s.p, 0, READ_COMMITTED, 1000, &records), 15);
        free(records);
        end(&s);
    }
}

/* Records from long ago are as young as their writing. */
static void test_a_replay_does_not_delete_itself(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "3600000", "-1");
    for (int i = 0; i < 20; i++)
        assert_int_equal(fixture_append_sized(s.p, i, 1, VALUE_BYTES, 1000 + i), i); /* 1970 */
    settle(&s);
    assert_int_equal(keep_house(&s).segments_deleted, 0);
    assert_int_equal(start_of(&s), 0);
    end(&s);
}

/* A timestamp from the future kept a segment, and all after it, for ever. */
static void bug_12_future_timestamps_do_not_block_deletion(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "3600000", "-1");
    alter(s.log, "message.timestamp.after.max.ms", "9223372036854775807");
    int64_t future = INT64_C(32503680000000); /* the year 3000 */
    for (int i = 0; i < 12; i++)
        assert_int_equal(fixture_append_sized(s.p, i, 1, VALUE_BYTES, i == 1 ? future : wall_ms),
                         i);
    settle(&s);
    atomic_fetch_add(&wall_ms, 2 * HOUR_MS);
    keep_house(&s);
    assert_int_equal(start_of(&s), 12);
    end(&s);
}

/* The last segment is closed before it goes: what is appended next has a file to go to. */
static void bug_13_the_active_segment_is_rolled_first(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files files;
    struct partition_offsets offsets;
    begin(&s, "3600000", "-1");
    append(&s, 0);
    append(&s, 1);
    settle(&s);
    atomic_fetch_add(&wall_ms, 2 * HOUR_MS);
    assert_int_equal(keep_house(&s).segments_deleted, 1);
    partition_files(s.p, &files);
    assert_int_equal(files.segments, 1);
    assert_int_equal(files.bytes, 0);
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.start, 2);
    assert_int_equal(offsets.end, 2);
    assert_int_equal(keep_house(&s).segments_deleted, 0); /* an empty one stays */
    for (int i = 0; i < 2; i++) {
        reopen(&s);
        assert_int_equal(partition_status(s.p, NULL), 0);
        partition_offsets(s.p, &offsets);
        assert_int_equal(offsets.end, 2);
    }
    append(&s, 2);
    settle(&s);
    struct fixture_record *records;
    assert_int_equal(fixture_read(s.p, 2, READ_COMMITTED, 1000, &records), 1);
    free(records);
    end(&s);
}

/* After a roll nothing is acknowledged before the directory, which names the new file, was flushed.
 */
struct order {
    atomic_bool armed, directory_flushed;
    atomic_int too_early;
    struct partition *p;
    int64_t rolled_at;
};
static int watch_order(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct order *order = context;
    (void)fd;
    (void)size;
    if (!atomic_load(&order->armed) || call != IO_FSYNC_DIR || path == NULL ||
        strstr(path, "topics/t-0") == NULL)
        return 0;
    if (partition_high_watermark(order->p) > order->rolled_at)
        atomic_fetch_add(&order->too_early, 1);
    atomic_store(&order->directory_flushed, true);
    return 0;
}
static void bug_01_no_acknowledgement_before_the_directory_is_flushed(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "-1", "-1");
    struct order order = {.p = s.p};
    int64_t value = 0;
    for (int round = 0; round < 3; round++) {
        append(&s, value++);
        settle(&s);
        order.rolled_at = value;
        atomic_store(&order.directory_flushed, false);
        io_set_fault(watch_order, &order);
        atomic_store(&order.armed, true);
        assert_int_equal(partition_roll(s.p, NULL), 0);
        append(&s, value++);
        assert_int_equal(partition_wait(s.p, value, 10000), 0);
        atomic_store(&order.armed, false);
        assert_true(atomic_load(&order.directory_flushed));
        assert_int_equal(atomic_load(&order.too_early), 0);
    }
    log_close(s.log);
    io_set_fault(NULL, NULL);
    scratch_dir_remove(s.dir);
}

/* ---- transactions ---- */

static void test_an_open_transaction_keeps_its_records(void **state)
{
    (void)state;
    struct setup s;
    struct producer *producer;
    begin(&s, "3600000", "-1");
    for (int i = 0; i < 6; i++)
        append(&s, i);
    assert_int_equal(producer_open(s.log, "x", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, s.p, 6, 1), 6);
    for (int i = 7; i < 20; i++)
        append(&s, i);
    settle(&s);
    atomic_fetch_add(&wall_ms, 5 * HOUR_MS);
    keep_house(&s);
    assert_int_equal(start_of(&s), 3); /* the second segment holds its first record */
    assert_int_equal(txn_abort(producer, NULL), 0);
    settle(&s);
    atomic_fetch_add(&wall_ms, 5 * HOUR_MS);
    keep_house(&s);
    assert_int_equal(start_of(&s), 21); /* its marker too */
    assert_int_equal(s.p->aborted_count, 0);
    producer_close(producer);
    reopen(&s);
    assert_int_equal(s.p->aborted_count, 0);
    assert_int_equal(partition_status(s.p, NULL), 0);
    end(&s);
}

/* What is not durable yet is above the last stable offset. */
static int no_flush(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)path;
    (void)fd;
    (void)size;
    if (call == IO_FDATASYNC)
        while (atomic_load((atomic_bool *)context))
            usleep(1000);
    return 0;
}
static void test_unflushed_records_stay(void **state)
{
    (void)state;
    struct setup s;
    atomic_bool hold = true;
    begin(&s, "0", "-1");
    io_set_fault(no_flush, &hold);
    for (int i = 0; i < 8; i++)
        append(&s, i);
    atomic_fetch_add(&wall_ms, HOUR_MS);
    assert_int_equal(keep_house(&s).segments_deleted, 0);
    assert_int_equal(start_of(&s), 0);
    atomic_store(&hold, false);
    settle(&s);
    atomic_fetch_add(&wall_ms, HOUR_MS);
    keep_house(&s);
    assert_int_equal(start_of(&s), 8);
    log_close(s.log);
    io_set_fault(NULL, NULL);
    scratch_dir_remove(s.dir);
}

/* ---- against a naive model ---- */

struct naive_segment {
    int64_t base, end, bytes, written_ms;
};
struct naive {
    struct naive_segment segments[4096];
    int count;
    int64_t end, start;
    int64_t open_from; /* first record of the open transaction; -1 */
};

static void naive_write(struct naive *n, int64_t bytes, bool is_marker)
{
    struct naive_segment *last = n->count > 0 ? &n->segments[n->count - 1] : NULL;
    if (last == NULL || (!is_marker && last->bytes > 0 && last->bytes + bytes > SEGMENT_BYTES)) {
        assert_true(n->count < 4096);
        last = &n->segments[n->count++];
        *last = (struct naive_segment){n->end, n->end, 0, wall_ms};
    }
    last->bytes += bytes;
    last->end = ++n->end;
    last->written_ms = wall_ms;
}

static void naive_retain(struct naive *n, int64_t ms, int64_t bytes)
{
    int64_t stable = n->open_from >= 0 ? n->open_from : n->end, total = 0;
    int gone = 0;
    for (int i = 0; i < n->count; i++)
        total += n->segments[i].bytes;
    for (; gone < n->count; gone++) {
        const struct naive_segment *segment = &n->segments[gone];
        bool old = ms >= 0 && wall_ms - segment->written_ms > ms;
        bool large = bytes >= 0 && total - segment->bytes >= bytes;
        if ((!old && !large) || segment->end > stable || segment->bytes == 0)
            break;
        total -= segment->bytes;
        n->start = segment->end;
    }
    if (gone == n->count && gone > 0) /* all went: the next append begins an empty one */
        n->segments[n->count++] = (struct naive_segment){n->end, n->end, 0, wall_ms};
    memmove(n->segments, n->segments + gone, (size_t)(n->count - gone) * sizeof *n->segments);
    n->count -= gone;
}

static void compare(struct setup *s, const struct naive *n)
{
    struct partition_files files;
    struct partition_offsets offsets;
    int64_t bytes = 0;
    for (int i = 0; i < n->count; i++)
        bytes += n->segments[i].bytes;
    partition_files(s->p, &files);
    partition_offsets(s->p, &offsets);
    assert_int_equal(offsets.start, n->start);
    assert_int_equal(offsets.end, n->end);
    assert_int_equal(files.bytes, bytes);
    assert_int_equal(files.segments, n->count);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void naive_sequence(uint32_t seed)
{
    struct setup s;
    struct producer *producer = NULL;
    struct naive *n = calloc(1, sizeof *n);
    assert_non_null(n);
    n->open_from = -1;
    begin(&s, "-1", "-1");
    assert_int_equal(producer_open(s.log, "x", &producer, NULL), 0);
    int64_t ms = -1, bytes = -1;
    for (int step = 0; step < 80; step++) {
        uint32_t what = next_random(&seed) % 20;
        size_t size;
        char text[32];
        uint8_t *batch;
        if (what < 11) {
            batch = fixture_batch(n->end, 1, 1 + next_random(&seed) % 400, 5, &size);
            assert_int_equal(partition_append(s.p, batch, size, NULL, NULL), 0);
            naive_write(n, (int64_t)size, false);
            free(batch);
        } else if (what < 13) {
            if (n->open_from < 0) {
                assert_int_equal(txn_begin(producer, NULL), 0);
                n->open_from = n->end;
            }
            batch = fixture_batch(n->end, 1, 50, 5, &size);
            assert_int_equal(txn_append(producer, s.p, batch, size, NULL, NULL), 0);
            naive_write(n, (int64_t)size, false);
            free(batch);
        } else if (what < 15 && n->open_from >= 0) {
            if (what == 13)
                assert_int_equal(txn_commit(producer, NULL), 0);
            else
                assert_int_equal(txn_abort(producer, NULL), 0);
            naive_write(n, 78, true);
            n->open_from = -1;
        } else if (what == 15) {
            ms = (int64_t)(next_random(&seed) % 6) * HOUR_MS - HOUR_MS;
            ms = ms < 0 ? -1 : ms;
            snprintf(text, sizeof text, "%" PRId64, ms);
            alter(s.log, "retention.ms", text);
        } else if (what == 16) {
            bytes = (int64_t)(next_random(&seed) % 5) * 1000 - 1000;
            bytes = bytes < 0 ? -1 : bytes;
            snprintf(text, sizeof text, "%" PRId64, bytes);
            alter(s.log, "retention.bytes", text);
        } else {
            atomic_fetch_add(&wall_ms, (int64_t)(next_random(&seed) % 3) * HOUR_MS);
        }
        settle(&s);
        if (next_random(&seed) % 4 == 0) {
            keep_house(&s);
            naive_retain(n, ms, bytes);
        }
        compare(&s, n);
    }
    producer_close(producer);
    end(&s);
    free(n);
}

static void test_against_a_naive_model(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 25; seed++)
        naive_sequence(seed);
}

/* ---- with readers inside ---- */

struct reading {
    struct partition *p;
    atomic_bool stop;
    atomic_int reads, refused, wrong;
};

/* Reads from where the log begins, again and again: whole runs of the right values, or ERR_RANGE.
 */
static void *read_on(void *context)
{
    struct reading *reading = context;
    struct fetch fetch;
    fetch_init(&fetch);
    while (!atomic_load(&reading->stop)) {
        struct partition_offsets offsets;
        partition_offsets(reading->p, &offsets);
        int64_t at = offsets.start;
        for (int i = 0; i < 50 && at < offsets.stable; i++) {
            struct diag diag = {0};
            int rc = partition_fetch(reading->p, at, READ_COMMITTED, 600, &fetch, &diag);
            if (rc == ERR_RANGE) {
                atomic_fetch_add(&reading->refused, 1);
                break;
            }
            if (rc < 0 || fetch.next_offset <= at) {
                print_error("offset %" PRId64 ": %s\n", at, diag.text);
                atomic_fetch_add(&reading->wrong, 1);
                break;
            }
            struct fetch_reader reader;
            struct record record;
            fetch_reader_init(&reader);
            fetch_reader_start(&reader, &fetch, at);
            while (fetch_reader_next(&reader, &record) == 1)
                if (strtoll((const char *)record.value.data, NULL, 10) != record.offset)
                    atomic_fetch_add(&reading->wrong, 1);
            fetch_reader_deinit(&reader);
            atomic_fetch_add(&reading->reads, 1);
            at = fetch.next_offset;
        }
    }
    fetch_deinit(&fetch);
    return NULL;
}

static void test_with_readers_inside(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "-1", "3000");
    s.log->fds.limit = 4; /* descriptors come and go under the readers */
    pthread_t threads[3];
    struct reading reading = {.p = s.p};
    for (int i = 0; i < 30; i++)
        append(&s, i);
    settle(&s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    int64_t value = 30;
    for (int round = 0; round < 150 || (atomic_load(&reading.reads) < 500 && round < 5000);
         round++) {
        for (int i = 0; i < 6; i++)
            append(&s, value++);
        settle(&s);
        keep_house(&s);
    }
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&reading.wrong), 0);
    assert_true(atomic_load(&reading.reads) > 0);
    assert_int_equal(partition_status(s.p, NULL), 0);
    assert_true(start_of(&s) > 0);
    end(&s);
}

/* A reader holds records of an aborted transaction when a purge forgets that it was aborted. */
static void test_purges_do_not_show_aborted_records(void **state)
{
    (void)state;
    enum { TRANSACTIONS = 400 };
    struct setup s;
    struct producer *producer;
    pthread_t threads[2];
    begin(&s, "-1", "-1");
    assert_int_equal(producer_open(s.log, "x", &producer, NULL), 0);
    for (int i = 0; i < TRANSACTIONS; i++) {
        assert_int_equal(txn_begin(producer, NULL), 0);
        for (int k = 0; k < 8; k++) /* some segments each, so that a purge takes a while */
            assert_int_equal(fixture_txn_append(producer, s.p, 1000000, 1), 9 * i + k);
        assert_int_equal(txn_abort(producer, NULL), 0);
    }
    append(&s, 9 * TRANSACTIONS);
    settle(&s);
    struct reading reading = {.p = s.p};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    for (int i = 1; i <= TRANSACTIONS; i++)
        assert_int_equal(partition_purge(s.p, 9 * i, NULL), 0);
    atomic_store(&reading.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&reading.wrong), 0);
    assert_int_equal(start_of(&s), 9 * TRANSACTIONS);
    producer_close(producer);
    end(&s);
}

/* ---- a crash at each step ---- */

/* Later than any write, by the test's clock and by the system's, which dates the active file. */
static int64_t far_from_now(void)
{
    return (int64_t)time(NULL) * 1000 + 5 * HOUR_MS;
}

static int retain_in_child(void *context)
{
    struct setup *s = context;
    open_it(s);
    s->p = fixture_partition(s->log, "t", 0);
    int rc = log_keep_house(s->log, far_from_now(), NULL, NULL);
    log_close(s->log);
    return rc == 0 ? 0 : 1;
}

static void test_crash_at_each_step(void **state)
{
    (void)state;
    static const struct {
        const char *at;
        bool gone; /* the new start offset was durable */
    } points[] = {
        {"roll.created:1", false},    {"roll.done:1", false},       {"retention.rolled:1", false},
        {"purge.begin:1", false},     {"purge.recorded:1", true},   {"segment.renamed:1", true},
        {"segment.renamed:2", true},  {"segment.renamed:3", true},  {"segment.unlinked:1", true},
        {"segment.unlinked:2", true}, {"segment.unlinked:3", true}, {"purge.removed:1", true},
        {"segment.renamed:5", true},  {"purge.removed:2", true}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct setup s;
        struct fixture_record *records;
        struct partition_offsets offsets;
        begin(&s, "3600000", "-1");
        for (int k = 0; k < 8; k++)
            append(&s, k); /* 0-2, 3-5, 6-7 */
        settle(&s);
        log_close(s.log);
        s.log = NULL;
        if (fixture_child(retain_in_child, &s, points[i].at) != 137)
            fail_msg("no crash at %s", points[i].at);
        open_it(&s);
        s.p = fixture_partition(s.log, "t", 0);
        assert_int_equal(partition_status(s.p, NULL), 0);
        assert_int_equal(files_with(&s, ".deleted"), 0);
        partition_offsets(s.p, &offsets);
        assert_int_equal(offsets.end, 8);
        assert_int_equal(offsets.start, points[i].gone ? 8 : 0);
        assert_int_equal(fixture_read(s.p, offsets.start, READ_COMMITTED, 1000, &records),
                         8 - offsets.start);
        free(records);
        /* The next pass does what is left. */
        assert_int_equal(log_keep_house(s.log, far_from_now(), NULL, NULL), 0);
        assert_int_equal(start_of(&s), 8);
        assert_int_equal(files_with(&s, ".log"), 1);
        assert_int_equal(fixture_append(s.p, 8, 1), 8);
        end(&s);
    }
}

/* A purge's last steps can be lost with the power: whole files below the start come back, indexes
 * without their segment too. */
static void test_left_overs_are_removed(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, "-1", "-1");
    for (int k = 0; k < 8; k++)
        append(&s, k);
    settle(&s);
    assert_int_equal(partition_purge(s.p, 6, NULL), 0);
    log_close(s.log);
    static const char *const names[] = {"00000000000000000000.log",
                                        "00000000000000000003.log.deleted",
                                        "00000000000000000003.index",
                                        "00000000000000000003.timeindex",
                                        "00000000000000000000.index.deleted",
                                        "00000000000000000006.snapshot.tmp",
                                        "notes.txt",
                                        "notes.deleted"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = scratch_path(s.dir, "topics/t-0/%s", names[i]);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs("left over", file);
        fclose(file);
        free(path);
    }
    open_it(&s);
    s.p = fixture_partition(s.log, "t", 0);
    assert_int_equal(partition_status(s.p, NULL), 0);
    assert_int_equal(files_with(&s, ".log"), 1);
    assert_int_equal(files_with(&s, ".log.deleted"), 0);
    assert_int_equal(files_with(&s, ".index.deleted"), 0);
    assert_int_equal(files_with(&s, "3.index"), 0);
    assert_int_equal(files_with(&s, "3.timeindex"), 0);
    assert_int_equal(files_with(&s, ".tmp"), 0);
    assert_int_equal(files_with(&s, "es.txt"), 1); /* not ours */
    assert_int_equal(files_with(&s, "es.deleted"), 1);
    end(&s);
}

/* A segment that lies below the start offset when it is closed goes with the next purge. */
static void test_a_roll_after_a_purge_gives_the_space_back(void **state)
{
    (void)state;
    struct setup s;
    struct partition_files files;
    begin(&s, "-1", "-1");
    append(&s, 0);
    append(&s, 1);
    settle(&s);
    assert_int_equal(partition_purge(s.p, 2, NULL), 0);
    partition_files(s.p, &files);
    assert_true(files.bytes > 0);
    assert_int_equal(partition_roll(s.p, NULL), 0);
    settle(&s);
    assert_int_equal(partition_purge(s.p, 2, NULL), 0);
    partition_files(s.p, &files);
    assert_int_equal(files.bytes, 0);
    assert_int_equal(files.segments, 1);
    end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_clock, reset_clock)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_by_time),
        TEST(test_by_size),
        TEST(test_only_where_the_policy_says_so),
        TEST(test_moved_time),
        TEST(test_a_clock_that_went_back),
        TEST(test_ages_survive_restarts),
        TEST(bug_03_a_damaged_time_index_deletes_nothing),
        TEST(test_a_replay_does_not_delete_itself),
        TEST(bug_12_future_timestamps_do_not_block_deletion),
        TEST(bug_13_the_active_segment_is_rolled_first),
        TEST(bug_01_no_acknowledgement_before_the_directory_is_flushed),
        TEST(test_an_open_transaction_keeps_its_records),
        TEST(test_unflushed_records_stay),
        TEST(test_against_a_naive_model),
        TEST(test_with_readers_inside),
        TEST(test_purges_do_not_show_aborted_records),
        TEST(test_crash_at_each_step),
        TEST(test_left_overs_are_removed),
        TEST(test_a_roll_after_a_purge_gives_the_space_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
