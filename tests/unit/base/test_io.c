/* test_io.c: each call on a real directory, then with the fault hook: the N-th call fails, a write
 * is cut short. The rule checked throughout: a reported error leaves either the old file or the
 * whole new one. crash_point runs in forked children.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/io.h"

static char directory[256];

static int make_directory(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/weir-io-XXXXXX", parent != NULL ? parent : "/tmp");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    io_set_fault(NULL, NULL);
    return io_remove_tree(directory, NULL);
}

/* directory/name in one of a few rotating buffers. */
static const char *path_of(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static void expect_content(const char *path, const char *expected)
{
    char *data;
    size_t size;
    assert_int_equal(io_read_file(path, 1 << 20, &data, &size, NULL), 0);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

/* ---- plain use ---- */

static void positioned_writes_and_reads(void **state)
{
    (void)state;
    int fd;
    struct diag diag = {0};
    const char *path = path_of("positioned");
    assert_int_equal(io_open(path, O_RDWR | O_CREAT, 0600, &fd, &diag), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(io_pwrite(fd, "world", 5, 6, &diag), 0);
    assert_int_equal(io_pwrite(fd, "hello ", 6, 0, &diag), 0);
    assert_int_equal(io_pwrite(fd, NULL, 0, 100, &diag), 0);
    char read_back[32];
    size_t got;
    assert_int_equal(io_pread(fd, read_back, sizeof read_back, 0, &got, &diag), 0);
    assert_int_equal(got, 11); /* short at the end of the file only */
    assert_memory_equal(read_back, "hello world", 11);
    assert_int_equal(io_pread(fd, read_back, 5, 6, &got, &diag), 0);
    assert_int_equal(got, 5);
    assert_int_equal(io_pread(fd, read_back, 5, 11, &got, &diag), 0);
    assert_int_equal(got, 0);
    int64_t size;
    assert_int_equal(io_file_size(fd, &size, &diag), 0);
    assert_int_equal(size, 11);
    assert_int_equal(io_truncate(fd, 5, &diag), 0);
    assert_int_equal(io_fdatasync(fd, &diag), 0);
    assert_int_equal(io_syncfs(fd, &diag), 0);
    io_close(fd);
    expect_content(path, "hello");
}

static void reserving_keeps_the_size(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(io_open(path_of("reserved"), O_RDWR | O_CREAT, 0600, &fd, NULL), 0);
    int rc = io_reserve(fd, 0, 1 << 20, NULL);
    assert_true(rc == 0 || rc == ERR_UNSUPPORTED);
    int64_t size;
    assert_int_equal(io_file_size(fd, &size, NULL), 0);
    assert_int_equal(size, 0);
    struct stat info;
    assert_int_equal(fstat(fd, &info), 0);
    assert_true(rc != 0 || info.st_blocks * 512 >= 1 << 20);
    io_close(fd);
}

static void errors_name_the_path_and_keep_errno(void **state)
{
    (void)state;
    struct diag diag = {0};
    int fd = 77;
    errno = 0;
    assert_int_equal(io_open(path_of("missing"), O_RDONLY, 0, &fd, &diag), ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(diag.text, "/missing"));
    assert_non_null(strstr(diag.text, strerror(ENOENT)));

    assert_int_equal(io_write_file(path_of("readonly"), "x", 1, NULL), 0);
    assert_int_equal(io_open(path_of("readonly"), O_RDONLY, 0, &fd, NULL), 0);
    assert_int_equal(io_pwrite(fd, "y", 1, 0, &diag), ERR_IO);
    assert_int_equal(errno, EBADF);
    assert_non_null(strstr(diag.text, "/readonly")); /* found through the descriptor */
    io_close(fd);
    assert_int_equal(io_unlink(path_of("missing"), &diag), ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(io_rename(path_of("missing"), path_of("other"), &diag), ERR_IO);
    assert_non_null(strstr(diag.text, "/other"));
    assert_int_equal(io_fsync_dir(path_of("missing"), &diag), ERR_IO);
    assert_non_null(strstr(diag.text, "/missing"));
    int64_t size;
    assert_int_equal(io_file_size(-1, &size, &diag), ERR_IO);
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(io_mkdir(path_of("one"), NULL), 0);
    assert_int_equal(io_mkdir(path_of("one"), NULL), 0);
    assert_int_equal(io_mkdir(path_of("one/two//"), NULL), 0);
    assert_int_equal(io_mkdir(path_of("two/three"), NULL), ERR_IO);
    assert_int_equal(io_mkdirs(path_of("a//b/c/d/"), NULL), 0);
    assert_int_equal(stat(path_of("a/b/c/d"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(io_mkdirs(path_of("a/b/c/d"), NULL), 0);
    assert_int_equal(io_write_file(path_of("file"), "x", 1, NULL), 0);
    struct diag diag = {0};
    assert_int_equal(io_mkdir(path_of("file"), &diag), ERR_IO);
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(io_mkdirs(path_of("file/below"), &diag), ERR_IO);
    assert_int_equal(io_mkdirs("/", NULL), 0);
    assert_int_equal(io_mkdirs("", NULL), ERR_IO);
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(io_mkdirs("relative/path", NULL), 0);
    assert_true(exists(path_of("relative/path")));
}

static void whole_files_are_replaced(void **state)
{
    (void)state;
    const char *path = path_of("whole");
    assert_int_equal(io_write_file(path, "first", 5, NULL), 0);
    expect_content(path, "first");
    assert_int_equal(io_write_file(path, "2", 1, NULL), 0);
    expect_content(path, "2");
    assert_int_equal(io_write_file(path, NULL, 0, NULL), 0);
    expect_content(path, "");
    assert_false(exists(path_of("whole.tmp")));
}

static void reading_respects_the_limit(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    static char content[SIZE];
    memset(content, 'z', SIZE);
    const char *path = path_of("limited");
    assert_int_equal(io_write_file(path, content, SIZE, NULL), 0);
    char *data;
    size_t size;
    struct diag diag = {0};
    assert_int_equal(io_read_file(path, SIZE - 1, &data, &size, &diag), ERR_TOO_LARGE);
    assert_non_null(strstr(diag.text, "/limited"));
    assert_int_equal(io_read_file(path, 0, &data, &size, &diag), ERR_TOO_LARGE);
    assert_int_equal(io_read_file(path, SIZE, &data, &size, &diag), 0);
    assert_int_equal(size, SIZE);
    assert_memory_equal(data, content, SIZE);
    assert_int_equal(data[SIZE], 0);
    free(data);
    assert_int_equal(io_read_file("/proc/self/stat", SIZE, &data, &size, &diag), 0);
    assert_true(size > 10); /* although fstat says 0 */
    free(data);
    assert_int_equal(io_read_file(directory, SIZE, &data, &size, &diag), ERR_IO);
}

static void a_tree_is_removed_and_links_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(io_mkdirs(path_of("tree/x/y/z"), NULL), 0);
    assert_int_equal(io_mkdirs(path_of("outside"), NULL), 0);
    assert_int_equal(io_write_file(path_of("outside/keep"), "k", 1, NULL), 0);
    assert_int_equal(io_write_file(path_of("tree/x/file"), "f", 1, NULL), 0);
    assert_int_equal(symlink(path_of("outside"), path_of("tree/x/link")), 0);
    assert_int_equal(symlink("nowhere", path_of("tree/dangling")), 0);
    assert_int_equal(io_remove_tree(path_of("tree"), NULL), 0);
    assert_false(exists(path_of("tree")));
    expect_content(path_of("outside/keep"), "k");
    assert_int_equal(io_remove_tree(path_of("tree"), NULL), 0);         /* nothing there is fine */
    assert_int_equal(io_remove_tree(path_of("outside/keep"), NULL), 0); /* a file too */
    assert_false(exists(path_of("outside/keep")));
}

/* ---- faults ---- */

struct fault {
    int fail_at;       /* the N-th call of the kind, from 1; 0: none */
    int kind;          /* an io_call, or -1 for any */
    int number;        /* errno reported; 0: only shorten */
    size_t shorten_to; /* for IO_PWRITE; SIZE_MAX: not */
    int seen;
    enum io_call calls[64];
};

static int inject(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct fault *fault = context;
    assert_true((path != NULL) != (fd >= 0)); /* one of them names the file */
    assert_true((size != NULL) == (call == IO_PWRITE));
    if (fault->kind >= 0 && (int)call != fault->kind)
        return 0;
    assert_true(fault->seen < 64);
    fault->calls[fault->seen++] = call;
    if (fault->seen != fault->fail_at)
        return 0;
    if (size != NULL && fault->shorten_to < *size)
        *size = fault->shorten_to;
    return fault->number;
}

static void a_cut_write_is_resumed(void **state)
{
    (void)state;
    struct fault fault = {.fail_at = 1, .kind = IO_PWRITE, .shorten_to = 3};
    int fd;
    assert_int_equal(io_open(path_of("cut"), O_RDWR | O_CREAT, 0600, &fd, NULL), 0);
    io_set_fault(inject, &fault);
    assert_int_equal(io_pwrite(fd, "0123456789", 10, 0, NULL), 0);
    io_set_fault(NULL, NULL);
    assert_int_equal(fault.seen, 2);
    io_close(fd);
    expect_content(path_of("cut"), "0123456789");
}

static void a_cut_write_may_fail_and_leave_its_beginning(void **state)
{
    (void)state;
    struct fault fault = {.fail_at = 1, .kind = IO_PWRITE, .number = ENOSPC, .shorten_to = 4};
    struct diag diag = {0};
    int fd;
    assert_int_equal(io_open(path_of("torn"), O_RDWR | O_CREAT, 0600, &fd, NULL), 0);
    io_set_fault(inject, &fault);
    assert_int_equal(io_pwrite(fd, "0123456789", 10, 0, &diag), ERR_FULL);
    assert_int_equal(errno, ENOSPC);
    assert_non_null(strstr(diag.text, "/torn"));
    io_set_fault(NULL, NULL);
    io_close(fd);
    expect_content(path_of("torn"), "0123");
}

static void a_failed_flush_is_asked_for_once(void **state)
{
    (void)state;
    struct fault fault = {
        .fail_at = 1, .kind = IO_FDATASYNC, .number = EINTR, .shorten_to = SIZE_MAX};
    int fd;
    assert_int_equal(io_open(path_of("flushed"), O_RDWR | O_CREAT, 0600, &fd, NULL), 0);
    io_set_fault(inject, &fault);
    assert_int_equal(io_fdatasync(fd, NULL), ERR_IO); /* not even EINTR is retried */
    io_set_fault(NULL, NULL);
    assert_int_equal(fault.seen, 1);
    io_close(fd);
}

static void each_kind_of_call_can_fail(void **state)
{
    (void)state;
    struct fault fault = {.fail_at = 1, .kind = -1, .number = EIO, .shorten_to = SIZE_MAX};
    int fd, other;
    assert_int_equal(io_open(path_of("victim"), O_RDWR | O_CREAT, 0600, &fd, NULL), 0);
    io_set_fault(inject, &fault);
    const char *victim = path_of("victim"), *moved = path_of("moved");
#define EXPECT_FAULT(call, kind_of_call)                                                           \
    do {                                                                                           \
        fault.seen = 0;                                                                            \
        errno = 0;                                                                                 \
        assert_int_equal(call, ERR_IO);                                                            \
        assert_int_equal(errno, EIO);                                                              \
        assert_int_equal(fault.seen, 1);                                                           \
        assert_int_equal(fault.calls[0], kind_of_call);                                            \
    } while (0)
    EXPECT_FAULT(io_open(moved, O_RDWR | O_CREAT, 0600, &other, NULL), IO_OPEN);
    EXPECT_FAULT(io_pwrite(fd, "x", 1, 0, NULL), IO_PWRITE);
    EXPECT_FAULT(io_fdatasync(fd, NULL), IO_FDATASYNC);
    EXPECT_FAULT(io_syncfs(fd, NULL), IO_FDATASYNC);
    EXPECT_FAULT(io_fsync_dir(directory, NULL), IO_FSYNC_DIR);
    EXPECT_FAULT(io_truncate(fd, 100, NULL), IO_TRUNCATE);
    EXPECT_FAULT(io_reserve(fd, 0, 100, NULL), IO_RESERVE);
    EXPECT_FAULT(io_rename(victim, moved, NULL), IO_RENAME);
    EXPECT_FAULT(io_unlink(victim, NULL), IO_UNLINK);
    EXPECT_FAULT(io_remove_tree(victim, NULL), IO_UNLINK);
    fault.number = EOPNOTSUPP;
    fault.seen = 0;
    struct diag diag = {0};
    assert_int_equal(io_reserve(fd, 0, 100, &diag), ERR_UNSUPPORTED);
    assert_int_equal(diag.code, ERR_UNSUPPORTED);
    fault.seen = 0;
    fault.number = EIO;
    assert_int_equal(io_open(victim, O_RDWR, 0, &other, NULL), 0); /* not asked: creates nothing */
    io_close(other);
#undef EXPECT_FAULT
    io_set_fault(NULL, NULL);
    io_close(fd);
    expect_content(victim, "");
    assert_false(exists(moved));
}

/* Whatever call fails, the file holds the old content or the new one, and an error before the
 * rename means the old. */
static void replacing_a_file_is_atomic_at_every_failure(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/atomic", directory);
    for (int cut = 0; cut < 2; cut++) {
        for (int n = 1;; n++) {
            assert_int_equal(io_write_file(path, "old content", 11, NULL), 0);
            struct fault fault = {
                .fail_at = n, .kind = -1, .number = EIO, .shorten_to = cut != 0 ? 3 : SIZE_MAX};
            io_set_fault(inject, &fault);
            int rc = io_write_file(path, "new", 3, NULL);
            io_set_fault(NULL, NULL);
            if (fault.seen < n) {
                assert_int_equal(rc, 0);
                static const enum io_call order[] = {IO_OPEN, IO_PWRITE, IO_FDATASYNC, IO_RENAME,
                                                     IO_FSYNC_DIR};
                assert_int_equal(fault.seen, 5);
                assert_memory_equal(fault.calls, order, sizeof order);
                expect_content(path, "new");
                break;
            }
            assert_int_equal(rc, ERR_IO);
            assert_int_equal(errno, EIO);
            expect_content(path, fault.calls[n - 1] == IO_FSYNC_DIR ? "new" : "old content");
            assert_false(exists(path_of("atomic.tmp")));
        }
    }
}

static void removing_a_tree_stops_at_the_first_failure(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        assert_int_equal(io_mkdirs(path_of("doomed/a"), NULL), 0);
        assert_int_equal(io_write_file(path_of("doomed/a/file"), "x", 1, NULL), 0);
        struct fault fault = {
            .fail_at = n, .kind = IO_UNLINK, .number = EBUSY, .shorten_to = SIZE_MAX};
        struct diag diag = {0};
        io_set_fault(inject, &fault);
        int rc = io_remove_tree(path_of("doomed"), &diag);
        io_set_fault(NULL, NULL);
        if (fault.seen < n) {
            assert_int_equal(rc, 0);
            assert_int_equal(fault.seen, 3); /* the file and two directories */
            break;
        }
        assert_int_equal(rc, ERR_IO);
        assert_int_equal(errno, EBUSY);
        assert_int_equal(fault.seen, n);
        assert_non_null(strstr(diag.text, "/doomed"));
    }
    assert_false(exists(path_of("doomed")));
}

static void making_a_directory_flushes_its_parent(void **state)
{
    (void)state;
    struct fault fault = {.fail_at = 0, .kind = -1};
    io_set_fault(inject, &fault);
    assert_int_equal(io_mkdirs(path_of("p/q"), NULL), 0);
    assert_int_equal(fault.seen, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fault.calls[i], i % 2 == 0 ? IO_MKDIR : IO_FSYNC_DIR);
    fault.seen = 0;
    assert_int_equal(io_mkdirs(path_of("p/q"), NULL), 0);
    assert_int_equal(fault.seen, 0);
    io_set_fault(NULL, NULL);
}

static void without_flushing_nothing_is_flushed_and_all_is_asked(void **state)
{
    (void)state;
    struct fault fault = {.fail_at = 0, .kind = -1};
    int pipe_fds[2]; /* fdatasync of a pipe fails: whether it was called shows */
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(io_fdatasync(pipe_fds[1], NULL), ERR_IO);
    io_set_flushing(false);
    assert_false(io_flushing());
    io_set_fault(inject, &fault);
    assert_int_equal(io_fdatasync(pipe_fds[1], NULL), 0);
    assert_int_equal(fault.seen, 1);
    assert_int_equal(io_ask(IO_COMMIT, "store"), 0);
    fault = (struct fault){.fail_at = 1, .kind = -1, .number = EIO, .shorten_to = SIZE_MAX};
    assert_int_equal(io_fdatasync(pipe_fds[1], NULL), ERR_IO);
    fault = (struct fault){.fail_at = 1, .kind = -1, .number = EDQUOT, .shorten_to = SIZE_MAX};
    assert_int_equal(io_ask(IO_COMMIT, "store"), EDQUOT);
    io_set_fault(NULL, NULL);
    io_set_flushing(true);
    assert_int_equal(io_fdatasync(pipe_fds[1], NULL), ERR_IO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* ---- crash points ---- */

static void note_passing(void *context, const char *name)
{
    strcat(context, name);
}

static void a_hook_hears_of_each_passing(void **state)
{
    (void)state;
    char passed[16] = "";
    crash_point("x");
    crash_hook(note_passing, passed);
    crash_point("a");
    crash_point("b");
    crash_hook(NULL, NULL);
    crash_point("c");
    assert_string_equal(passed, "ab");
}

static void *pass_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++)
        crash_point("threads");
    return NULL;
}

/* The exit code of a child that runs with WEIR_CRASH_AT=spec: passes a, b, a, b, a, then leaves
 * with 5. */
static int run_child(const char *spec, bool threads)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        if (spec != NULL)
            setenv("WEIR_CRASH_AT", spec, 1);
        else
            unsetenv("WEIR_CRASH_AT");
        crash_point_rearm();
        if (threads) {
            pthread_t other[4];
            for (int i = 0; i < 4; i++)
                pthread_create(&other[i], NULL, pass_many, NULL);
            for (int i = 0; i < 4; i++)
                pthread_join(other[i], NULL);
            _exit(5);
        }
        crash_point("a");
        crash_point("b");
        crash_point("a");
        crash_point("b");
        crash_point("a");
        _exit(5);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_crash_point_ends_the_process_at_its_nth_passing(void **state)
{
    (void)state;
    assert_int_equal(run_child(NULL, false), 5);
    assert_int_equal(run_child("", false), 5);
    assert_int_equal(run_child("a", false), 137);
    assert_int_equal(run_child("a:1", false), 137);
    assert_int_equal(run_child("a:3", false), 137);
    assert_int_equal(run_child("a:4", false), 5);
    assert_int_equal(run_child("b:2", false), 137);
    assert_int_equal(run_child("b:3", false), 5);
    assert_int_equal(run_child("c:1", false), 5);
    assert_int_equal(run_child("threads:4000", true), 137);
    assert_int_equal(run_child("threads:4001", true), 5);
}

static void a_broken_crash_request_is_not_ignored(void **state)
{
    (void)state;
    assert_int_equal(run_child("a:0", false), 2);
    assert_int_equal(run_child("a:x", false), 2);
    assert_int_equal(run_child("a:2x", false), 2);
    assert_int_equal(run_child("a:-1", false), 2);
    assert_int_equal(run_child(":1", false), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positioned_writes_and_reads),
        cmocka_unit_test(reserving_keeps_the_size),
        cmocka_unit_test(errors_name_the_path_and_keep_errno),
        cmocka_unit_test(directories_are_made_with_their_parents),
        cmocka_unit_test(whole_files_are_replaced),
        cmocka_unit_test(reading_respects_the_limit),
        cmocka_unit_test(a_tree_is_removed_and_links_are_not_followed),
        cmocka_unit_test(a_cut_write_is_resumed),
        cmocka_unit_test(a_cut_write_may_fail_and_leave_its_beginning),
        cmocka_unit_test(a_failed_flush_is_asked_for_once),
        cmocka_unit_test(each_kind_of_call_can_fail),
        cmocka_unit_test(replacing_a_file_is_atomic_at_every_failure),
        cmocka_unit_test(removing_a_tree_stops_at_the_first_failure),
        cmocka_unit_test(making_a_directory_flushes_its_parent),
        cmocka_unit_test(without_flushing_nothing_is_flushed_and_all_is_asked),
        cmocka_unit_test(a_hook_hears_of_each_passing),
        cmocka_unit_test(a_crash_point_ends_the_process_at_its_nth_passing),
        cmocka_unit_test(a_broken_crash_request_is_not_ignored),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
