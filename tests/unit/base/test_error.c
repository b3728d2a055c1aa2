/* test_error.c: diag sentences (formatting, cutting, wrapping themselves, errno kept), code texts,
 * log lines as they arrive on stderr, and must() in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/base/error.h"

static void diag_set_stores_code_and_sentence(void **state)
{
    (void)state;
    struct diag diag = {0};
    assert_int_equal(diag_set(&diag, ERR_CORRUPT, "topic %s offset %d", "clicks", 7), ERR_CORRUPT);
    assert_int_equal(diag.code, ERR_CORRUPT);
    assert_string_equal(diag.text, "topic clicks offset 7");
    assert_int_equal(diag_set(NULL, ERR_FULL, "%s", "nobody listens"), ERR_FULL);
}

static void diag_set_cuts_at_the_end(void **state)
{
    (void)state;
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct diag diag = {0};
    diag_set(&diag, ERR_INVALID, "%s", longer);
    assert_int_equal(strlen(diag.text), sizeof diag.text - 1);
    errno = ENOENT;
    assert_int_equal(diag_errno(&diag, "%s", longer), ERR_IO);
    assert_int_equal(strlen(diag.text), sizeof diag.text - 1);
}

static void diag_set_may_wrap_its_own_text(void **state)
{
    (void)state;
    struct diag diag = {0};
    diag_set(&diag, ERR_IO, "disk on fire");
    diag_set(&diag, ERR_IO, "opening %s: %s", "/data", diag.text);
    assert_string_equal(diag.text, "opening /data: disk on fire");
}

static void diag_errno_maps_and_keeps_errno(void **state)
{
    (void)state;
    static const struct {
        int number, code;
    } cases[] = {{ENOSPC, ERR_FULL}, {EDQUOT, ERR_FULL}, {ENOMEM, ERR_NOMEM},
                 {ENOENT, ERR_IO},   {EIO, ERR_IO},      {EACCES, ERR_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct diag diag = {0};
        char expected[256];
        snprintf(expected, sizeof expected, "cannot open x: %s", strerror(cases[i].number));
        errno = cases[i].number;
        assert_int_equal(diag_errno(&diag, "cannot open %s", "x"), cases[i].code);
        assert_int_equal(errno, cases[i].number);
        assert_int_equal(diag.code, cases[i].code);
        assert_string_equal(diag.text, expected);
        assert_int_equal(diag_errno(NULL, "no diag"), cases[i].code);
    }
}

static void every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int code = ERR_OK; code >= ERR_MEMBER; code--) {
        assert_string_not_equal(error_text(code), "unknown error");
        for (int other = code + 1; other <= ERR_OK; other++)
            assert_string_not_equal(error_text(code), error_text(other));
    }
    assert_string_equal(error_text(ERR_MEMBER - 1), "unknown error");
    assert_string_equal(error_text(1), "unknown error");
    assert_string_equal(error_text(INT32_MIN), "unknown error");
}

static int fail_if(int rc)
{
    TRY(rc);
    return 42;
}

static void try_leaves_on_negative_codes_only(void **state)
{
    (void)state;
    assert_int_equal(fail_if(ERR_BUSY), ERR_BUSY);
    assert_int_equal(fail_if(0), 42);
    assert_int_equal(fail_if(1), 42);
}

static char captured[8192];

/* What body() writes to stderr. */
static const char *capture(void (*body)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    body();
    dup2(saved, STDERR_FILENO);
    close(saved);
    size_t size = 0;
    ssize_t got;
    while ((got = read(ends[0], captured + size, sizeof captured - 1 - size)) > 0)
        size += (size_t)got;
    captured[size] = '\0';
    close(ends[0]);
    return captured;
}

static void write_three_levels(void)
{
    errno = EPERM;
    log_line('E', "topic %s", "a");
    log_line('W', "topic %s", "b");
    log_line('I', "topic %s", "c");
    assert_int_equal(errno, EPERM);
}

static void log_lines_have_time_level_and_text(void **state)
{
    (void)state;
    int year, month, day, used = 0;
    const char *text = capture(write_three_levels);
    assert_int_equal(
        sscanf(text, "%4d-%2d-%2dT%*2d:%*2d:%*2d.%*3dZ E topic a\n%n", &year, &month, &day, &used),
        3);
    assert_true(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
    assert_non_null(strstr(text, "Z W topic b\n"));
    assert_null(strstr(text, "topic c"));
    log_line_verbose(true);
    assert_non_null(strstr(capture(write_three_levels), "Z I topic c\n"));
    log_line_verbose(false);
}

static void write_long_line(void)
{
    char longer[5000];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    log_line('E', "%s", longer);
}

static void long_log_lines_are_cut_and_end_in_a_newline(void **state)
{
    (void)state;
    const char *text = capture(write_long_line);
    size_t size = strlen(text);
    assert_true(size > 1000 && size < 5000);
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
}

static void must_names_the_place_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        must(1 + 1 == 2);
        must(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char text[1024] = "";
    ssize_t got = read(ends[0], text, sizeof text - 1);
    assert_true(got > 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "test_error.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diag_set_stores_code_and_sentence),
        cmocka_unit_test(diag_set_cuts_at_the_end),
        cmocka_unit_test(diag_set_may_wrap_its_own_text),
        cmocka_unit_test(diag_errno_maps_and_keeps_errno),
        cmocka_unit_test(every_code_has_a_text_of_its_own),
        cmocka_unit_test(try_leaves_on_negative_codes_only),
        cmocka_unit_test(log_lines_have_time_level_and_text),
        cmocka_unit_test(long_log_lines_are_cut_and_end_in_a_newline),
        cmocka_unit_test(must_names_the_place_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
