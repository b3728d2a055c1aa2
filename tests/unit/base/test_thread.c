/* test_thread.c: a thread that was started handles no signals, and who started it as before. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/thread.h"

static void *read_mask(void *context)
{
    pthread_sigmask(SIG_SETMASK, NULL, context);
    return NULL;
}

static void test_a_started_thread(void **state)
{
    (void)state;
    sigset_t theirs, before, after;
    pthread_t thread;
    sigemptyset(&theirs);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(&thread, read_mask, &theirs), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&theirs, SIGTERM), 1);
    assert_int_equal(sigismember(&theirs, SIGUSR1), 1);
    for (int number = 1; number < 32; number++)
        assert_int_equal(sigismember(&after, number), sigismember(&before, number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_started_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
