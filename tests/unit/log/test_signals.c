/* test_signals.c: a signal that is sent to the process reaches no thread of the log's: with the program's own threads blocking it, it
 * stays pending. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

static volatile sig_atomic_t handled;
static void on_signal(int number)
{
    (void)number;
    handled = 1;
}

static void test_the_threads_of_a_log(void **state)
{
    (void)state;
    sigset_t usr1, pending, before;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 3, "1000000");
    for (int p = 0; p < 3; p++) /* files enough for the helpers that flush */
        fixture_append_sized(fixture_partition(log, "t", p), 0, 1, 10, 1);
    for (int p = 0; p < 3; p++)
        assert_int_equal(partition_wait(fixture_partition(log, "t", p), 1, 10000), 0);
    struct sigaction action = {.sa_handler = on_signal}, old;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigaction(SIGUSR1, &action, &old);
    pthread_sigmask(SIG_BLOCK, &usr1, &before);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    /* Whoever may take it takes it while the log goes on working. */
    for (int i = 0; i < 20; i++) {
        fixture_append_sized(fixture_partition(log, "t", 0), 1, 1, 10, 1);
        assert_int_equal(partition_wait(fixture_partition(log, "t", 0), 2 + i, 10000), 0);
    }
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGUSR1), 1);
    assert_int_equal(handled, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(handled, 1);
    sigaction(SIGUSR1, &old, NULL);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_threads_of_a_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
