/* test_lock.c: one process at a time; the format of a directory. */
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"
#include "runtime/base/io.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int open_code(const char *dir, bool must_exist, struct diag *diag)
{
    struct log *log;
    struct log_options options = {.must_exist = must_exist};
    int rc = log_open(dir, &options, &log, diag);
    if (rc == 0)
        log_close(log);
    return rc;
}

static void test_busy_names_pid(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "log");
    int ready[2], finish[2];
    char byte, text[64];
    assert_int_equal(pipe(ready) + pipe(finish), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct log *log;
        if (log_open(path, NULL, &log, NULL) < 0 || write(ready[1], "r", 1) != 1 ||
            read(finish[0], &byte, 1) != 1)
            _exit(1);
        log_close(log);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct diag diag = {0};
    assert_int_equal(open_code(path, false, &diag), ERR_BUSY);
    snprintf(text, sizeof text, "process %ld", (long)pid);
    assert_non_null(strstr(diag.text, text));
    assert_int_equal(write(finish[1], "f", 1), 1);
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(open_code(path, true, &diag), 0);
    free(path);
    scratch_dir_remove(dir);
}

/* Also within one process: LMDB must not be opened twice. */
static void test_twice_in_one_process(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    assert_int_equal(open_code(dir, false, NULL), ERR_BUSY);
    log_close(log);
    assert_int_equal(open_code(dir, false, NULL), 0);
    scratch_dir_remove(dir);
}

static void test_must_exist(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "none");
    struct stat info;
    struct diag diag = {0};
    assert_int_equal(open_code(path, true, &diag), ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, path));
    assert_int_not_equal(stat(path, &info), 0); /* and nothing was made */
    assert_int_equal(open_code(dir, true, NULL), ERR_NOT_FOUND);
    free(path);
    scratch_dir_remove(dir);
}

static void test_foreign_directory(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *file = scratch_path(dir, "thesis.txt"),
         *lock = scratch_path(dir, "LOCK");
    struct diag diag = {0};
    assert_int_equal(io_write_file(file, "x", 1, NULL), 0);
    assert_int_equal(open_code(dir, false, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "thesis.txt"));
    assert_int_not_equal(access(lock, F_OK), 0);
    free(file);
    free(lock);
    scratch_dir_remove(dir);
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *said;
    } cases[] = {
        {"weir 1\nfeatures 0000000000000000\n", 0, ""},
        {"weir 1\nfeatures 0000000000000004\n", ERR_UNSUPPORTED, "0x4"},
        {"weir 2\nfeatures 0000000000000000\n", ERR_UNSUPPORTED, "version 2"},
        {"weir 2\nfeatures 0000000000000000\nmore\n", ERR_UNSUPPORTED, "version 2"},
        {"weir 1\n", ERR_CORRUPT, "FORMAT"},
        {"", ERR_CORRUPT, "FORMAT"},
        {"weir 1\nfeatures 0000000000000000\ntrailing", ERR_CORRUPT, "FORMAT"},
    };
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "FORMAT"), *text;
    size_t size;
    assert_int_equal(open_code(dir, false, NULL), 0);
    assert_int_equal(io_read_file(path, 100, &text, &size, NULL), 0);
    assert_string_equal(text, cases[0].text);
    free(text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag diag = {0};
        assert_int_equal(io_write_file(path, cases[i].text, strlen(cases[i].text), NULL), 0);
        assert_int_equal(open_code(dir, false, &diag), cases[i].code);
        assert_non_null(strstr(diag.text, cases[i].said));
    }
    free(path);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_names_pid), cmocka_unit_test(test_twice_in_one_process),
        cmocka_unit_test(test_must_exist),     cmocka_unit_test(test_foreign_directory),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
