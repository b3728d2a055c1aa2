/* waker.c: how one thread wakes another that waits with a limit (see waker.h).
 *
 * A flag under a mutex, and a condition on the monotonic clock, so that setting the wall clock neither
 * prolongs nor cuts a wait. The flag stays set until somebody waits: a wake that comes between two
 * waits is not lost.
 *
 * The condition is signalled after the mutex was let go, since the woken thread runs at once and would
 * wait for it. A count of those who are about to signal keeps waker_deinit until they have. */
#include "runtime/waker.h"

#include <errno.h>
#include <sched.h>

#include "runtime/base/clock.h"

void waker_init(struct waker *waker)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&waker->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waker->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    waker->is_set = false;
    atomic_init(&waker->signalling, 0);
}

void waker_deinit(struct waker *waker)
{
    /* Whoever is about to leave waker_answer leaves it first. */
    pthread_mutex_lock(&waker->mutex);
    pthread_mutex_unlock(&waker->mutex);
    while (atomic_load(&waker->signalling) > 0)
        sched_yield();
    pthread_cond_destroy(&waker->cond);
    pthread_mutex_destroy(&waker->mutex);
}

/* The mutex is held, and is not afterwards. */
static void set_and_unlock(struct waker *waker)
{
    waker->is_set = true;
    atomic_fetch_add(&waker->signalling, 1);
    pthread_mutex_unlock(&waker->mutex);
    pthread_cond_signal(&waker->cond);
    atomic_fetch_sub(&waker->signalling, 1);
}

void waker_wake(void *context)
{
    struct waker *waker = context;
    pthread_mutex_lock(&waker->mutex);
    set_and_unlock(waker);
}

void waker_answer(struct waker *waker, atomic_int *answer, int value)
{
    pthread_mutex_lock(&waker->mutex);
    atomic_store(answer, value);
    set_and_unlock(waker);
}

bool waker_take(struct waker *waker)
{
    pthread_mutex_lock(&waker->mutex);
    bool was_set = waker->is_set;
    waker->is_set = false;
    pthread_mutex_unlock(&waker->mutex);
    return was_set;
}

void waker_wait(struct waker *waker, int64_t timeout_ms)
{
    int64_t until_ns = clock_mono_ns() + timeout_ms * 1000000;
    pthread_mutex_lock(&waker->mutex);
    while (!waker->is_set)
        if (clock_cond_wait(&waker->cond, &waker->mutex, until_ns) == ETIMEDOUT)
            break;
    waker->is_set = false;
    pthread_mutex_unlock(&waker->mutex);
}
