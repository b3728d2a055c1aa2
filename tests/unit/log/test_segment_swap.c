/* test_segment_swap.c: a compaction that is interrupted: by a crash at each of its steps, by a
 * failure of each of its writes, by damage before recovery; and one among readers, writers and
 * purges. Whatever happens, the partition holds the old or the new content, and reads the same. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/compact_model.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory with some segments, part of them cleaned before, and more to clean. */
static void prepare(struct world *world, uint64_t seed)
{
    *world = (struct world){.dir = scratch_dir_create()};
    model_start(seed, seed % 2 == 0 ? 14 : 60);
    world_make_topic(world->dir, "1500", "1000");
    world_open(world);
    world_open_producers(world);
    for (int round = 0; round < 3; round++) {
        world_write(world, 25);
        for (int p = 0; p < PRODUCERS; p++)
            world_end_txn(world, p, model_below(2) == 0);
        if (round < 2) {
            world_clean(world);
            model->now_ms += 600;
        }
    }
    world_close(world);
    model->now_ms += 600;
}

/* ---- crashes ---- */

static int child_clean(void *context)
{
    struct world *world = context;
    struct log_options options = {.keeper_interval_ms = -1, .cleaner_bytes_per_s = -1};
    struct log *log;
    if (log_open(world->dir, &options, &log, NULL) < 0 ||
        topic_clean(log, "t", model->now_ms, NULL, NULL) < 0)
        return 3;
    log_close(log);
    return 0;
}

static int child_open(void *context)
{
    struct world *world = context;
    struct log_options options = {.keeper_interval_ms = -1};
    struct log *log;
    if (log_open(world->dir, &options, &log, NULL) < 0)
        return 3;
    log_close(log);
    return 0;
}

static void expect_no_leftovers(const char *dir)
{
    char *path = scratch_path(dir, "topics/t-0");
    DIR *stream = opendir(path);
    struct dirent *entry;
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        if (strstr(entry->d_name, ".cleaned") != NULL || strstr(entry->d_name, ".deleted") != NULL)
            fail_msg("%s is left over", entry->d_name);
    closedir(stream);
    free(path);
}

/* Opened after an interruption: right at once, and exact after the next pass. */
static void expect_recovered(struct world *world)
{
    world_open(world);
    expect_no_leftovers(world->dir);
    assert_int_equal(partition_status(world->partition, NULL), 0);
    world_verify(world->partition, false, true);
    world_clean(world);
    world_verify(world->partition, true, false);
    world_verify_times(world->partition);
    world_close(world);
    world_open(world);
    world_verify(world->partition, true, false);
    world_close(world);
}

static void test_a_crash_at_each_step(void **state)
{
    (void)state;
    static const char *const points[] = {"compact.written", "swap.begin",   "swap.recorded",
                                         "swap.renamed",    "swap.removed", "swap.flushed",
                                         "swap.done"};
    for (uint64_t seed = 1; seed <= 2; seed++)
        for (size_t i = 0; i < sizeof points / sizeof *points; i++)
            for (int at = 1; at <= 3; at++) {
                struct world world;
                char point[64];
                prepare(&world, seed);
                snprintf(point, sizeof point, "%s:%d", points[i], at);
                int status = fixture_child(child_clean, &world, point);
                assert_true(status == 137 || (at > 1 && status == 0));
                /* and again while it is opened, when there is something to finish */
                snprintf(point, sizeof point, "recovery.swap:%d",
                         1 + (int)(seed + (uint64_t)at) % 4);
                status = fixture_child(child_open, &world, point);
                assert_true(status == 137 || status == 0);
                expect_recovered(&world);
                scratch_dir_remove(world.dir);
            }
}

/* ---- bug 2 ---- */

static int64_t sum_of_files(const char *dir, const char *suffix, int32_t *count)
{
    char *path = scratch_path(dir, "topics/t-0");
    DIR *stream = opendir(path);
    struct dirent *entry;
    int64_t bytes = 0;
    *count = 0;
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        size_t length = strlen(entry->d_name), wanted = strlen(suffix);
        struct stat info;
        if (length < wanted || strcmp(entry->d_name + length - wanted, suffix) != 0)
            continue;
        assert_int_equal(fstatat(dirfd(stream), entry->d_name, &info, 0), 0);
        bytes += info.st_size;
        ++*count;
    }
    closedir(stream);
    free(path);
    return bytes;
}

/* The replacement is damaged after its record was written: neither is it cut to what is whole, nor
 * do the files go that it was made from. The partition stops and says which file it is. */
static void bug_02_a_damaged_replacement_costs_nothing(void **state)
{
    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        struct world world;
        int32_t logs, logs_before, cleaned;
        prepare(&world, 5);
        assert_int_equal(fixture_child(child_clean, &world, "swap.recorded:1"), 137);
        int64_t before = sum_of_files(world.dir, ".log", &logs_before);
        char *path = scratch_path(world.dir, "topics/t-0/%020d.log.cleaned", 0);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_true(info.st_size > 100);
        if (damage == 0) {
            assert_int_equal(truncate(path, info.st_size - 1), 0);
        } else {
            int fd;
            uint8_t byte;
            size_t got;
            assert_int_equal(io_open(path, O_RDWR, 0, &fd, NULL), 0);
            assert_int_equal(io_pread(fd, &byte, 1, info.st_size - 1, &got, NULL), 0);
            byte ^= 1;
            assert_int_equal(io_pwrite(fd, &byte, 1, info.st_size - 1, NULL), 0);
            io_close(fd);
        }
        for (int life = 0; life < 2; life++) {
            struct log_options options = {.keeper_interval_ms = -1};
            struct diag diag;
            struct log *log = fixture_open_options(world.dir, &options);
            assert_int_equal(partition_status(fixture_partition(log, "t", 0), &diag), ERR_CORRUPT);
            assert_non_null(strstr(diag.text, "00000000000000000000.log"));
            assert_non_null(strstr(diag.text, ".cleaned"));
            log_close(log);
            assert_int_equal(sum_of_files(world.dir, ".log", &logs), before);
            assert_int_equal(logs, logs_before);
            sum_of_files(world.dir, ".log.cleaned", &cleaned);
            assert_int_equal(cleaned, 1);
        }
        free(path);
        scratch_dir_remove(world.dir);
    }
}

/* ---- bug 1 and failing calls ---- */

struct calls {
    int fail_at, error, seen;
    pthread_t thread;
    int renames, unflushed_renames, flushed_files, flushed_directories;
    int directories_before_rename;
};

static int on_call(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct calls *calls = context;
    (void)path;
    (void)fd;
    (void)size;
    if (!pthread_equal(pthread_self(), calls->thread) || call == IO_COMMIT)
        return 0; /* a failed commit of meta does stop the writer */
    if (++calls->seen == calls->fail_at)
        return calls->error;
    if (call == IO_RENAME && strstr(path, ".cleaned") != NULL) {
        if (calls->renames++ == 0)
            calls->directories_before_rename = calls->flushed_directories;
        calls->unflushed_renames++;
    }
    if (call == IO_FDATASYNC)
        calls->flushed_files++;
    if (call == IO_FSYNC_DIR) {
        calls->flushed_directories++;
        calls->unflushed_renames = 0;
    }
    return 0;
}

/* The names of the new files are durable before meta speaks of them, and their last names before
 * their records say that the swap is over. */
static void bug_01_swaps_flush_the_directory(void **state)
{
    (void)state;
    struct world world;
    struct calls calls = {.thread = pthread_self()};
    prepare(&world, 8);
    world_open(&world);
    io_set_fault(on_call, &calls);
    world_clean(&world);
    io_set_fault(NULL, NULL);
    assert_true(calls.renames >= 3);
    assert_true(calls.flushed_files >= 3);
    assert_true(calls.directories_before_rename > 0);
    assert_int_equal(calls.unflushed_renames, 0);
    pthread_mutex_lock(&world.partition->list_mutex);
    for (int32_t i = 0; i < world.partition->segment_count; i++)
        assert_false(world.partition->segments[i]->swapping);
    pthread_mutex_unlock(&world.partition->list_mutex);
    world_close(&world);
    scratch_dir_remove(world.dir);
}

/* The N-th call of a pass fails, for each N: the old segments go on, or the new ones; nothing
 * stops the writer; the next opening, or already the next pass, brings it to its end. */
static void test_each_call_may_fail(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC};
    bool reached = true;
    for (int fail_at = 1; reached; fail_at++) {
        struct world world;
        struct calls calls = {
            .fail_at = fail_at, .error = errors[fail_at % 2], .thread = pthread_self()};
        struct diag diag;
        prepare(&world, 3);
        world_open(&world);
        io_set_fault(on_call, &calls);
        int rc = topic_clean(world.log, "t", model->now_ms, NULL, &diag);
        io_set_fault(NULL, NULL);
        reached = calls.seen >= fail_at;
        assert_true(reached || rc == 0);
        assert_int_equal(log_status(world.log, NULL), 0);
        assert_int_equal(partition_status(world.partition, NULL), 0);
        world_verify(world.partition, false, false);
        (void)topic_clean(world.log, "t", model->now_ms, NULL, NULL);
        world_verify(world.partition, false, true);
        /* what else needs the list of segments waits for no one */
        assert_int_equal(partition_purge(world.partition, 0, NULL), 0);
        world_append(&world, false);
        world_close(&world);
        expect_recovered(&world);
        scratch_dir_remove(world.dir);
    }
}

/* A rename that fails after meta has the swap: it stays pending, and a purge finishes it first. */
static int fail_renames(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    int *left = context;
    (void)fd;
    (void)size;
    return call == IO_RENAME && strstr(path, ".log.cleaned") != NULL && (*left)-- > 0 ? EIO : 0;
}

static void test_a_pending_swap_is_finished_first(void **state)
{
    (void)state;
    for (int settled = 0; settled < 2; settled++) {
        struct world world;
        int left = 1000;
        prepare(&world, 4);
        world_open(&world);
        io_set_fault(fail_renames, &left);
        assert_int_equal(topic_clean(world.log, "t", model->now_ms, NULL, NULL), ERR_IO);
        assert_non_null(world.partition->pending_swap);
        world_verify(world.partition, false, true);
        int64_t start = model->facts[3].offset;
        assert_int_equal(partition_purge(world.partition, start, NULL), ERR_IO);
        io_set_fault(NULL, NULL);
        if (settled == 1) {
            assert_int_equal(partition_purge(world.partition, 0, NULL), 0);
            assert_int_equal(topic_clean(world.log, "t", model->now_ms, NULL, NULL), 0);
            assert_null(world.partition->pending_swap);
        }
        world_verify(world.partition, false, true);
        world_close(&world);
        expect_recovered(&world);
        scratch_dir_remove(world.dir);
    }
}

/* ---- among others ---- */

enum { SHARED_KEYS = 40, SHARED_ROUNDS = 300 };
struct shared {
    struct log *log;
    struct partition *partition;
    struct producer *producer;
    atomic_bool stop;
    atomic_int passes;
};

static void shared_batch(struct shared *shared, int64_t round, bool poison,
                         struct producer *producer)
{
    struct batch_builder builder;
    struct bytes batch;
    batch_builder_init(&builder, round % 2 == 0 ? CODEC_LZ4 : CODEC_NONE);
    for (int i = 0; i < 8; i++) {
        char key[16], value[32];
        snprintf(key, sizeof key, "%" PRId64, (round * 8 + i) % SHARED_KEYS);
        snprintf(value, sizeof value, "%s%" PRId64, poison ? "bad" : "", round);
        must(batch_builder_add(&builder, clock_wall_ms(), bytes_text(key), bytes_text(value),
                               bytes_of("", 0), 0) == 0);
    }
    must(batch_builder_finish(&builder, &batch) == 0);
    int rc =
        producer != NULL
            ? txn_append(producer, shared->partition, builder.batch.data, batch.size, NULL, NULL)
            : partition_append(shared->partition, builder.batch.data, batch.size, NULL, NULL);
    must(rc == 0);
    batch_builder_deinit(&builder);
}

static void *shared_write(void *context)
{
    struct shared *shared = context;
    for (int64_t round = 0; round < SHARED_ROUNDS; round++) {
        if (round % 3 == 0) {
            bool commit = round % 2 == 0;
            must(txn_begin(shared->producer, NULL) == 0);
            shared_batch(shared, round, !commit, shared->producer);
            must((commit ? txn_commit(shared->producer, NULL)
                         : txn_abort(shared->producer, NULL)) == 0);
        } else {
            shared_batch(shared, round, false, NULL);
        }
    }
    atomic_store(&shared->stop, true);
    return NULL;
}

/* Per key the values ascend, offsets ascend, nothing aborted is seen. */
static void shared_read_once(struct shared *shared, struct fetch *fetch,
                             struct fetch_reader *reader)
{
    int64_t newest[SHARED_KEYS], last = -1;
    struct partition_offsets offsets;
    struct record record;
    struct diag diag = {0};
    for (int i = 0; i < SHARED_KEYS; i++)
        newest[i] = -1;
    partition_offsets(shared->partition, &offsets);
    for (int64_t at = offsets.start;; at = fetch->next_offset) {
        int rc = partition_fetch(shared->partition, at, READ_COMMITTED, 3000, fetch, &diag);
        if (rc == ERR_RANGE)
            return; /* purged */
        must(rc == 0);
        if (fetch->next_offset == at)
            return;
        fetch_reader_start(reader, fetch, at);
        while ((rc = fetch_reader_next(reader, &record)) == 1) {
            char text[32] = {0};
            must(record.key.size < 16 && record.value.size < 16);
            memcpy(text, record.key.data, record.key.size);
            int key = atoi(text);
            memset(text, 0, sizeof text);
            memcpy(text, record.value.data, record.value.size);
            must(text[0] != 'b');
            must(record.offset > last && atoll(text) > newest[key]);
            last = record.offset;
            newest[key] = atoll(text);
        }
        must(rc == 0);
    }
}

static void *shared_read(void *context)
{
    struct shared *shared = context;
    struct fetch fetch;
    struct fetch_reader reader;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    while (!atomic_load(&shared->stop)) {
        int64_t offset, timestamp;
        shared_read_once(shared, &fetch, &reader);
        must(partition_find_time(shared->partition, clock_wall_ms() - 50, &offset, &timestamp,
                                 NULL) == 0);
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return NULL;
}

static void *shared_clean(void *context)
{
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        struct keeper_report report = {0};
        must(topic_clean(shared->log, "t", clock_wall_ms() + 10000 * atomic_load(&shared->passes),
                         &report, NULL) == 0);
        if (report.partitions_compacted > 0)
            atomic_fetch_add(&shared->passes, 1);
    }
    return NULL;
}

static void *shared_purge(void *context)
{
    struct shared *shared = context;
    int64_t purged = 0;
    while (!atomic_load(&shared->stop)) {
        struct partition_offsets offsets;
        partition_offsets(shared->partition, &offsets);
        if (offsets.stable > purged + 700) {
            purged = offsets.stable - 300;
            must(partition_purge(shared->partition, purged, NULL) == 0);
        }
        sched_yield();
    }
    return NULL;
}

static void test_among_readers_writers_and_purges(void **state)
{
    (void)state;
    struct world world = {.dir = scratch_dir_create()};
    struct shared shared = {.passes = 0};
    pthread_t threads[5];
    static void *(*const mains[5])(void *) = {shared_write, shared_read, shared_read, shared_clean,
                                              shared_purge};
    model_start(1, 1);
    world_make_topic(world.dir, "2000", "1000");
    world_open(&world);
    shared.log = world.log;
    shared.partition = world.partition;
    world.log->fds.limit = 1; /* files are opened again and again, by their names */
    assert_int_equal(producer_open(world.log, "p", &shared.producer, NULL), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mains[i], &shared), 0);
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&shared.passes) > 0);
    struct fetch fetch;
    struct fetch_reader reader;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    shared_read_once(&shared, &fetch, &reader);
    producer_close(shared.producer);
    world_close(&world);
    world_open(&world);
    shared.partition = world.partition;
    shared_read_once(&shared, &fetch, &reader);
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    assert_int_equal(partition_status(world.partition, NULL), 0);
    world_close(&world);
    scratch_dir_remove(world.dir);
}

/* A reader that holds an old segment reads it through its open descriptor; closed, it cannot be
 * opened again under a name that is another file's now. */
static void test_replaced_segments_are_not_opened_again(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct world world;
        int fd;
        prepare(&world, 6);
        world_open(&world);
        pthread_mutex_lock(&world.partition->list_mutex);
        struct segment *held = world.partition->segments[0];
        held->references++;
        pthread_mutex_unlock(&world.partition->list_mutex);
        int64_t size = atomic_load(&held->size_bytes), size_now;
        assert_int_equal(segment_pin(held, &fd, NULL), 0);
        if (open == 0) {
            segment_unpin(held);
            segment_forget_fd(held);
            world.log->fds.limit = 1;
        }
        assert_int_equal(topic_clean(world.log, "t", model->now_ms, NULL, NULL), 0);
        assert_ptr_not_equal(world.partition->segments[0], held);
        if (open == 0) {
            segment_forget_fd(held); /* the pass itself had it open */
            assert_int_equal(segment_pin(held, &fd, NULL), ERR_STATE);
        } else {
            assert_int_equal(io_file_size(fd, &size_now, NULL), 0);
            assert_int_equal(size_now, size);
            segment_unpin(held);
        }
        segment_release(held);
        world_close(&world);
        scratch_dir_remove(world.dir);
    }
}

/* A topic that is deleted in the middle of its compaction takes all of it along. */
struct deletion {
    struct log *log;
    pthread_t thread;
    int calls_left;
};

static int delete_at(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct deletion *deletion = context;
    (void)fd;
    (void)size;
    /* where a compaction makes its files it holds no lock */
    if (pthread_equal(pthread_self(), deletion->thread) && call == IO_OPEN &&
        strstr(path, ".cleaned") != NULL && deletion->calls_left-- == 0) {
        io_set_fault(NULL, NULL);
        assert_int_equal(topic_delete(deletion->log, "t", NULL), 0);
    }
    return 0;
}

static void test_a_topic_is_deleted_meanwhile(void **state)
{
    (void)state;
    for (int at = 0; at < 6;
         at++) { /* three files before the first swap, three before the second */
        struct world world;
        struct partition *partition;
        prepare(&world, 6);
        world_open(&world);
        struct deletion deletion = {world.log, pthread_self(), at};
        io_set_fault(delete_at, &deletion);
        assert_int_equal(topic_clean(world.log, "t", model->now_ms, NULL, NULL), 0);
        io_set_fault(NULL, NULL);
        assert_int_equal(partition_get(world.log, "t", 0, &partition, NULL), ERR_NOT_FOUND);
        world_close(&world);
        world_make_topic(world.dir, "1500", "1000"); /* of the same name: empty */
        world_open(&world);
        struct partition_offsets offsets;
        partition_offsets(world.partition, &offsets);
        assert_int_equal(offsets.end, 0);
        world_close(&world);
        scratch_dir_remove(world.dir);
    }
}

/* ---- a pass that ended early ---- */

static const struct log_options no_keeper = {.keeper_interval_ms = -1};

static int append_keyed(struct partition *partition, const char *key, size_t value_bytes)
{
    struct batch_builder builder;
    struct bytes batch;
    int64_t offset;
    char *value = malloc(value_bytes);
    if (value == NULL)
        return ERR_NOMEM;
    memset(value, key[0], value_bytes);
    batch_builder_init(&builder, CODEC_NONE);
    int rc = batch_builder_add(&builder, 1000, bytes_text(key), bytes_of(value, value_bytes),
                               bytes_of("", 0), 0);
    if (rc == 0)
        rc = batch_builder_finish(&builder, &batch);
    if (rc == 0)
        rc = partition_append(partition, (uint8_t *)(uintptr_t)batch.data, batch.size, &offset,
                              NULL);
    batch_builder_deinit(&builder);
    free(value);
    return rc < 0 ? rc : partition_wait(partition, offset + 1, 10000);
}

/* The disk is full when the second group's file is made. */
static int fail_second_file(void *context, enum io_call call, const char *path, int fd,
                            size_t *size)
{
    (void)context;
    (void)fd;
    (void)size;
    return call == IO_OPEN && path != NULL &&
                   strstr(path, "00000000000000000002.log.cleaned") != NULL
               ? ENOSPC
               : 0;
}

/* Two groups, of which the first is swapped; then a second pass that would change it again. */
static int clean_twice(void *context)
{
    struct keeper_report report = {0};
    struct log *log = fixture_open_options(context, &no_keeper);
    struct partition *partition = fixture_partition(log, "t", 0);
    if (append_keyed(partition, "a", 100000) < 0 || append_keyed(partition, "x", 600000) < 0 ||
        partition_roll(partition, NULL) < 0 || append_keyed(partition, "a", 600000) < 0)
        return 1;
    io_set_fault(fail_second_file, NULL);
    if (topic_clean(log, "t", 0, &report, NULL) != ERR_FULL || report.partitions_compacted != 0)
        return 2;
    io_set_fault(NULL, NULL);
    if (append_keyed(partition, "x", 10) < 0)
        return 3;
    return topic_clean(log, "t", 0, &report, NULL) == 0 ? 0 : 4;
}

static void expect_keys(const char *dir, const char *keys)
{
    struct log *log = fixture_open_options(dir, &no_keeper);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct diag diag = {0};
    struct fetch fetch;
    char found[16] = "";
    int64_t offset = 0;
    assert_int_equal(partition_status(partition, NULL), 0);
    fetch_init(&fetch);
    do {
        assert_int_equal(partition_fetch(partition, offset, READ_COMMITTED, 1 << 20, &fetch, &diag),
                         0);
        struct bytes rest = bytes_of(fetch.bytes.data, fetch.bytes.size);
        while (rest.size > 0) {
            struct record_reader reader;
            struct record record;
            assert_int_equal(record_reader_open(&reader, rest, 0, NULL, NULL), 0);
            while (record_reader_next(&reader, &record) == 1)
                strncat(found, (const char *)record.key.data, 1);
            rest.data += reader.header.size_bytes;
            rest.size -= (size_t)reader.header.size_bytes;
        }
        offset = fetch.next_offset;
    } while (offset < fetch.offsets.end);
    assert_string_equal(found, keys);
    fetch_deinit(&fetch);
    log_close(log);
}

/* The first pass left a swap whose record still has its flag. The file that the second one writes
 * has the name that recovery looks for then. */
static void test_crash_in_the_pass_after_one_that_ended_early(void **state)
{
    (void)state;
    static const struct {
        const char *crash_at, *keys;
    } cases[] = {{NULL, "ax"}, {"compact.written:2", "xax"}, {"swap.recorded:2", "ax"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = scratch_dir_create();
        struct config_entry config[] = {{"cleanup.policy", "compact"},
                                        {"segment.bytes", "1048576"}};
        struct log *log = fixture_open_options(dir, &no_keeper);
        assert_int_equal(topic_create(log, "t", 1, config, 2, NULL), 0);
        log_close(log);
        assert_int_equal(fixture_child(clean_twice, dir, cases[i].crash_at),
                         cases[i].crash_at != NULL ? 137 : 0);
        for (int opened = 0; opened < 2; opened++)
            expect_keys(dir, cases[i].keys);
        scratch_dir_remove(dir);
    }
}

int main(void)
{
    scratch_dir_in_memory();
    model = mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crash_at_each_step),
        cmocka_unit_test(test_crash_in_the_pass_after_one_that_ended_early),
        cmocka_unit_test(bug_01_swaps_flush_the_directory),
        cmocka_unit_test(bug_02_a_damaged_replacement_costs_nothing),
        cmocka_unit_test(test_each_call_may_fail),
        cmocka_unit_test(test_a_pending_swap_is_finished_first),
        cmocka_unit_test(test_among_readers_writers_and_purges),
        cmocka_unit_test(test_replaced_segments_are_not_opened_again),
        cmocka_unit_test(test_a_topic_is_deleted_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
