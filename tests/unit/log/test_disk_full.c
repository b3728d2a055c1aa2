/* test_disk_full.c: a disk without room refuses what needs room and nothing else, and all goes on when room is back.
 *
 * The real thing: a child takes a mount namespace of its own and mounts a small tmpfs, which a ballast file fills to the
 * last byte. Where that is not permitted these tests are skipped and say why; the ones that inject ENOSPC always run. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { VALUE_BYTES = 1000, NOT_PERMITTED = 77 };

static const struct log_options quiet = {.keeper_interval_ms = -1};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* ---- a small file system ---- */

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

static int own_namespace(void)
{
    unsigned user = (unsigned)geteuid(), group = (unsigned)getegid();
    char map[64];
    if (user == 0)
        return unshare(CLONE_NEWNS);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
        write_text("/proc/self/setgroups", "deny") != 0)
        return -1;
    snprintf(map, sizeof map, "0 %u 1", user);
    if (write_text("/proc/self/uid_map", map) != 0)
        return -1;
    snprintf(map, sizeof map, "0 %u 1", group);
    return write_text("/proc/self/gid_map", map);
}

/* The rest of this process sees a tmpfs of so many MiB at dir. */
static bool mount_small(const char *dir, int mebibytes)
{
    char size[32];
    snprintf(size, sizeof size, "size=%dm", mebibytes);
    if (own_namespace() == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", dir, "tmpfs", 0, size) == 0)
        return true;
    print_message("no small file system: %s\n", strerror(errno));
    return false;
}

/* Leaves not a byte. */
static void fill_disk(const char *dir, const char *name)
{
    char *path = scratch_path(dir, "%s", name);
    static const char zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    must(fd >= 0);
    for (size_t size = sizeof zeros; size > 0;) {
        ssize_t written = write(fd, zeros, size);
        if (written <= 0)
            size /= 2;
    }
    close(fd);
    free(path);
}

static void give_back(const char *dir, const char *name)
{
    char *path = scratch_path(dir, "%s", name);
    must(unlink(path) == 0);
    free(path);
}

/* ---- the scenarios; each runs in a child with a disk of its own ---- */

struct scene {
    const char *mount;
    char dir[256];
    int (*play)(struct scene *scene);
    int stage; /* for children of the child */
};

static int run_scene(void *context)
{
    struct scene *scene = context;
    if (!mount_small(scene->mount, 24))
        return NOT_PERMITTED;
    snprintf(scene->dir, sizeof scene->dir, "%s/data", scene->mount);
    return scene->play(scene);
}

static void play(int (*fn)(struct scene *scene))
{
    char *mount_point = scratch_dir_create();
    struct scene scene = {.mount = mount_point, .play = fn};
    int status = fixture_child(run_scene, &scene, NULL);
    scratch_dir_remove(mount_point);
    if (status == NOT_PERMITTED)
        skip();
    assert_int_equal(status, 0);
}

static int append_ok(struct partition *p, int from, int count)
{
    for (int i = from; i < from + count; i++)
        CHECK(fixture_append_sized(p, i, 1, VALUE_BYTES, clock_wall_ms()) == i);
    return partition_wait(p, from + count, 10000);
}

/* Appends until there is no room: the values written are from, from + 1 …; returns the next one. */
static int append_until_full(struct partition *p, int from)
{
    int64_t base;
    while ((base = fixture_append_sized(p, from, 1, VALUE_BYTES, clock_wall_ms())) == from)
        from++;
    return base == ERR_FULL ? from : -1;
}

static int check_values(struct partition *p, int64_t start, int64_t end)
{
    struct fixture_record *records;
    int64_t count = fixture_read(p, start, READ_COMMITTED, 100000, &records);
    CHECK(count == end - start);
    for (int64_t i = 0; i < count; i++)
        CHECK(records[i].offset == start + i && records[i].value == start + i);
    free(records);
    return 0;
}

/* bug class 9: the log goes on with all but writing, and with writing when there is room. */
static int play_full_and_resume(struct scene *scene)
{
    struct log *log = fixture_open_options(scene->dir, &quiet);
    struct diag diag = {0};
    struct producer *producer;
    struct partition_files files;
    fixture_topic(log, "t", 1, "50000");
    fixture_topic(log, "gone", 2, "50000");
    struct partition *p = fixture_partition(log, "t", 0);
    CHECK(append_ok(p, 0, 200) == 0);
    CHECK(append_ok(fixture_partition(log, "gone", 1), 0, 100) == 0);
    CHECK(producer_open(log, "x", &producer, &diag) == 0);
    fill_disk(scene->mount, "ballast");
    int end = append_until_full(p, 200);
    CHECK(end >= 200);
    /* Refused again and again, always with the reason; nobody was stopped. */
    for (int i = 0; i < 20; i++)
        CHECK(fixture_append_sized(p, end, 1, VALUE_BYTES, clock_wall_ms()) == ERR_FULL);
    CHECK(log_status(log, &diag) == 0 && partition_status(p, &diag) == 0);
    /* Reading goes on, and what was written before is acknowledged. */
    CHECK(partition_wait(p, end, 10000) == 0);
    CHECK(check_values(p, 0, end) == 0);
    partition_files(p, &files);
    CHECK(files.segments >= 4);
    CHECK(txn_begin(producer, &diag) == 0);
    CHECK(fixture_txn_append(producer, fixture_partition(log, "gone", 0), 1, 1) == ERR_FULL);
    CHECK(txn_abort(producer, &diag) == 0);
    /* The ways out. */
    int rc = partition_purge(p, 100, &diag);
    if (rc < 0)
        print_error("purge: %s\n", diag.text);
    CHECK(rc == 0);
    fill_disk(scene->mount, "ballast");
    CHECK(topic_delete(log, "gone", &diag) == 0);
    fill_disk(scene->mount, "ballast");
    CHECK(check_values(p, 100, end) == 0);
    CHECK(fixture_append_sized(p, end, 1, VALUE_BYTES, clock_wall_ms()) == ERR_FULL);
    /* Room is back: in the same life. */
    give_back(scene->mount, "ballast");
    CHECK(append_ok(p, end, 50) == 0);
    CHECK(txn_begin(producer, &diag) == 0);
    CHECK(fixture_txn_append(producer, p, end + 50, 1) == end + 50);
    CHECK(txn_commit(producer, &diag) == 0);
    CHECK(topic_create(log, "new", 3, NULL, 0, &diag) == 0);
    producer_close(producer);
    log_close(log);
    log = fixture_open_options(scene->dir, &quiet);
    CHECK(check_values(fixture_partition(log, "t", 0), 100, end + 51) == 0);
    log_close(log);
    return 0;
}
static void bug_09_a_full_disk_refuses_writes_and_nothing_else(void **state)
{
    (void)state;
    play(play_full_and_resume);
}

/* The keeper is woken by what was refused, and makes room by what the topic's retention allows. */
static int play_retention(struct scene *scene)
{
    struct log_options options = {.keeper_interval_ms = 3600 * 1000};
    struct log *log = fixture_open_options(scene->dir, &options);
    struct config_entry limit = {"retention.bytes", "60000"};
    struct diag diag = {0};
    fixture_topic(log, "t", 1, "50000");
    struct partition *p = fixture_partition(log, "t", 0);
    CHECK(append_ok(p, 0, 1000) == 0);
    fill_disk(scene->mount, "ballast");
    int end = append_until_full(p, 1000);
    CHECK(end >= 1000);
    CHECK(topic_alter(log, "t", &limit, 1, &diag) == 0 || diag.code == ERR_FULL);
    if (diag.code == ERR_FULL) {
        /* A configuration is no clean-up: make room for it, and fill up again. */
        give_back(scene->mount, "ballast");
        CHECK(topic_alter(log, "t", &limit, 1, &diag) == 0);
        fill_disk(scene->mount, "ballast");
    }
    /* Each refusal wakes the keeper; what is appended meanwhile fits into the last page's rest. */
    struct partition_offsets offsets = {0};
    int64_t base = ERR_FULL;
    for (int i = 0; i < 5000 && (base < 0 || offsets.start == 0); i++) {
        base = fixture_append_sized(p, end, 1, VALUE_BYTES, clock_wall_ms());
        CHECK(base == end || base == ERR_FULL);
        if (base == end)
            end++;
        else
            usleep(2000);
        partition_offsets(p, &offsets);
    }
    CHECK(base == end - 1 && offsets.start > 0);
    CHECK(partition_wait(p, end, 10000) == 0);
    log_close(log);
    return 0;
}
static void test_retention_makes_room(void **state)
{
    (void)state;
    play(play_retention);
}

/* One record whose batch ends with a page: not a byte is left for a marker. */
static int txn_append_to_page_end(struct producer *producer, struct partition *p, int64_t value)
{
    for (size_t width = 1; width < 4096; width++) {
        size_t size;
        uint8_t *batch = fixture_batch(value, 1, width, clock_wall_ms(), &size);
        int rc = 1;
        if ((atomic_load(&p->active->size_bytes) + (int64_t)size) % 4096 == 0)
            rc = txn_append(producer, p, batch, size, NULL, NULL);
        free(batch);
        if (rc <= 0)
            return rc;
    }
    return 1;
}

/* A life that ends without a word; stage 0: nothing open, 1: a transaction is, 2: and its marker finds no room. */
static int live_and_die(void *context)
{
    struct scene *scene = context;
    struct log *log = fixture_open_options(scene->dir, &quiet);
    struct producer *producer;
    fixture_topic(log, "t", 1, "50000");
    struct partition *p = fixture_partition(log, "t", 0);
    CHECK(append_ok(p, 0, 100) == 0);
    if (scene->stage > 0) {
        CHECK(producer_open(log, "x", &producer, NULL) == 0);
        CHECK(txn_begin(producer, NULL) == 0);
        if (scene->stage == 1)
            CHECK(fixture_txn_append(producer, p, 100, 1) == 100);
        else
            CHECK(txn_append_to_page_end(producer, p, 100) == 0);
        CHECK(partition_wait(p, 101, 10000) == 0);
    }
    fill_disk(scene->mount, "ballast");
    _exit(137);
}

static int play_crash_and_open(struct scene *scene)
{
    for (scene->stage = 0; scene->stage < 3; scene->stage++) {
        struct diag diag = {0};
        struct producer *producer;
        struct partition_offsets offsets;
        CHECK(fixture_child(live_and_die, scene, NULL) == 137);
        fill_disk(scene->mount, "ballast");
        struct log *log = fixture_open_options(scene->dir, &quiet);
        CHECK(log_status(log, &diag) == 0);
        struct partition *p = fixture_partition(log, "t", 0);
        partition_offsets(p, &offsets);
        CHECK(offsets.end == (scene->stage == 0 ? 100 : 102)); /* the abort's marker found room */
        CHECK(offsets.stable == offsets.end);
        CHECK(check_values(p, 0, 100) == 0);
        give_back(scene->mount, "ballast");
        CHECK(fixture_append(p, offsets.end, 1) == offsets.end);
        CHECK(producer_open(log, "x", &producer, &diag) == 0);
        producer_close(producer);
        CHECK(topic_delete(log, "t", &diag) == 0);
        log_close(log);
    }
    return 0;
}
static void test_a_crash_on_a_full_disk(void **state)
{
    (void)state;
    play(play_crash_and_open);
}

/* The reserve is gone too: what is there can be read. */
static int play_without_reserve(struct scene *scene)
{
    struct diag diag = {0};
    struct partition_offsets offsets;
    char *reserve = scratch_path(scene->dir, "RESERVE");
    scene->stage = 2;
    CHECK(fixture_child(live_and_die, scene, NULL) == 137);
    CHECK(truncate(reserve, 0) == 0);
    free(reserve);
    fill_disk(scene->mount, "ballast");
    struct log *log = fixture_open_options(scene->dir, &quiet);
    CHECK(log_status(log, &diag) == ERR_READ_ONLY);
    struct partition *p = fixture_partition(log, "t", 0);
    partition_offsets(p, &offsets);
    CHECK(offsets.stable == 100 && offsets.end == 101); /* undecided: it holds the readers */
    CHECK(check_values(p, 0, 100) == 0);
    CHECK(fixture_append(p, 1, 1) == ERR_READ_ONLY);
    log_close(log);
    give_back(scene->mount, "ballast");
    log = fixture_open_options(scene->dir, &quiet);
    CHECK(log_status(log, &diag) == 0);
    CHECK(check_values(fixture_partition(log, "t", 0), 0, 100) == 0);
    log_close(log);
    return 0;
}
static void test_without_the_reserve_it_is_read_only(void **state)
{
    (void)state;
    play(play_without_reserve);
}

/* ---- the reserve itself ---- */

static int64_t blocks_of(const char *dir)
{
    char *path = scratch_path(dir, "RESERVE");
    struct stat info;
    int rc = stat(path, &info);
    free(path);
    return rc == 0 ? (int64_t)info.st_blocks * 512 : -1;
}

static void test_the_reserve_comes_back(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open_options(dir, &quiet);
    assert_true(blocks_of(dir) >= RESERVE_BYTES); /* real blocks */
    assert_true(reserve_release(log));
    assert_int_equal(blocks_of(dir), 0);
    assert_false(reserve_release(log)); /* once */
    assert_int_equal(log_keep_house(log, 0, NULL, NULL), 0);
    assert_true(blocks_of(dir) >= RESERVE_BYTES);
    log_close(log);
    assert_true(blocks_of(dir) >= RESERVE_BYTES);
    scratch_dir_remove(dir);
}

/* ---- injected: runs everywhere ---- */

struct fault {
    atomic_bool full;
};
static int no_room(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fault *fault = context;
    (void)path;
    (void)fd;
    if (!atomic_load(&fault->full))
        return 0;
    if (call == IO_PWRITE) {
        *size /= 2; /* a part is written, then there is no room */
        return ENOSPC;
    }
    return call == IO_RESERVE || call == IO_OPEN ? ENOSPC : 0;
}

static void bug_09_injected(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct fault fault = {.full = false};
    struct producer *producer;
    struct log *log = fixture_open_options(dir, &quiet);
    fixture_topic(log, "t", 1, "5000");
    struct partition *p = fixture_partition(log, "t", 0);
    io_set_fault(no_room, &fault);
    assert_int_equal(append_ok(p, 0, 12), 0);
    assert_int_equal(producer_open(log, "x", &producer, NULL), 0);
    for (int round = 0; round < 3; round++) {
        int64_t end = 12 + 5 * round;
        atomic_store(&fault.full, true);
        for (int i = 0; i < 6; i++) /* in the middle of a file, and where a new one is due */
            assert_int_equal(fixture_append_sized(p, end, 1, i % 2 == 0 ? VALUE_BYTES : 4000, 5),
                             ERR_FULL);
        assert_int_equal(check_values(p, 0, end), 0);
        assert_int_equal(log_status(log, NULL), 0);
        assert_int_equal(partition_status(p, NULL), 0);
        atomic_store(&fault.full, false);
        assert_int_equal(append_ok(p, (int)end, 5), 0);
        assert_int_equal(check_values(p, 0, end + 5), 0);
    }
    /* A commit that finds no room for its markers is an abort, and says why. */
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, p, 27, 1), 27);
    atomic_store(&fault.full, true);
    assert_int_equal(txn_commit(producer, NULL), ERR_FULL);
    assert_int_equal(check_values(p, 0, 27), 0);
    assert_int_equal(log_status(log, NULL), 0);
    atomic_store(&fault.full, false);
    /* The abort is finished when there is room. */
    struct partition_offsets offsets;
    do {
        usleep(1000);
        partition_offsets(p, &offsets);
    } while (offsets.stable != 29 && offsets.stable < 30);
    assert_int_equal(offsets.end, 29);
    assert_int_equal(check_values(p, 0, 27), 0);
    producer_close(producer);
    log_close(log);
    io_set_fault(NULL, NULL);
    scratch_dir_remove(dir);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bug_09_a_full_disk_refuses_writes_and_nothing_else),
        cmocka_unit_test(test_retention_makes_room),
        cmocka_unit_test(test_a_crash_on_a_full_disk),
        cmocka_unit_test(test_without_the_reserve_it_is_read_only),
        cmocka_unit_test(test_the_reserve_comes_back),
        cmocka_unit_test(bug_09_injected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
