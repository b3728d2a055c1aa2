/* crash.c: named places where a crash test ends the process.
 *
 * kill -9 from outside hits a random instruction; the interesting ones (after the append and before
 * the flush, between the decision and its marker) are a few instructions wide. A crash test instead
 * sets WEIR_CRASH_AT=name:N and the N-th passing of that place leaves with _exit(137): no atexit
 * handler, no stdio flush, no destructor runs, exactly what SIGKILL would leave behind (137 = 128 +
 * SIGKILL).
 *
 * The test driver (weir_test_kill_at) has a second way to die, inside a process that lives on: its
 * hook hears of each passing and refuses, from the one it waits for on, every call that would
 * change a file (io_set_fault).
 *
 * The environment is read at the first passing of any place. From then on an unset variable costs
 * one load and a branch. Threads may pass at the same time; the count is atomic, so that exactly
 * one of them is the N-th. */
#include "runtime/base/io.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum crash_state { CRASH_UNREAD, CRASH_OFF, CRASH_ARMED };

enum { CRASH_EXIT_CODE = 137, CRASH_NAME_BYTES = 128 };

static void (*_Atomic passed_hook)(void *context, const char *name);
static void *_Atomic passed_context;
static _Atomic int state;
static atomic_flag reading = ATOMIC_FLAG_INIT;
static char armed_name[CRASH_NAME_BYTES];
static atomic_long passings_left;

/* Reads name:N; the :N may be missing and then is 1. */
static int parse_environment(void)
{
    const char *text = getenv("WEIR_CRASH_AT");
    armed_name[0] = '\0';
    if (text == NULL || text[0] == '\0')
        return CRASH_OFF;
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    char *end = NULL;
    long count = colon != NULL ? strtol(colon + 1, &end, 10) : 1;
    if (length == 0 || length >= sizeof armed_name || count < 1 || (end != NULL && *end != '\0')) {
        /* A crash test that cannot crash would pass for the wrong reason. */
        log_line('E', "WEIR_CRASH_AT=%s is not name:N", text);
        _exit(2);
    }
    memcpy(armed_name, text, length);
    armed_name[length] = '\0';
    atomic_store(&passings_left, count);
    return CRASH_ARMED;
}

/* A hook keeps the places armed, also where the environment names none. */
static int read_environment(void)
{
    while (atomic_flag_test_and_set(&reading))
        ; /* another thread reads at this moment, which takes a microsecond */
    int now = atomic_load(&state);
    if (now == CRASH_UNREAD) {
        now = parse_environment();
        if (now == CRASH_OFF && atomic_load(&passed_hook) != NULL)
            now = CRASH_ARMED;
        atomic_store(&state, now);
    }
    atomic_flag_clear(&reading);
    return now;
}

static void pass_to_hook(const char *name)
{
    void (*passed)(void *, const char *) = atomic_load(&passed_hook);
    if (passed != NULL)
        passed(atomic_load(&passed_context), name);
}

void crash_point(const char *name)
{
    int now = atomic_load_explicit(&state, memory_order_acquire);
    if (__builtin_expect(now == CRASH_OFF, 1))
        return;
    if (now == CRASH_UNREAD)
        now = read_environment();
    if (now == CRASH_OFF)
        return;
    pass_to_hook(name);
    if (strcmp(name, armed_name) == 0 && atomic_fetch_sub(&passings_left, 1) == 1)
        syscall(SYS_exit_group,
                CRASH_EXIT_CODE); /* not _exit: a sanitizer would look at what is left */
}

void crash_hook(void (*passed)(void *context, const char *name), void *context)
{
    atomic_store(&passed_context, context);
    atomic_store(&passed_hook, passed);
    crash_point_rearm();
}

void crash_point_rearm(void)
{
    atomic_store(&state, CRASH_UNREAD);
}
