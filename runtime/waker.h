/* waker.h: one thread waits, with a limit, until others wake it. All but init and deinit may be called from any thread. */
#ifndef WEIR_RUNTIME_WAKER_H
#define WEIR_RUNTIME_WAKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct waker {
    pthread_mutex_t mutex;
    pthread_cond_t cond;              /* on the monotonic clock */
    bool is_set;
    atomic_int signalling;            /* threads that have set it and still signal cond */
};
void waker_init(struct waker *waker);
void waker_deinit(struct waker *waker);
void waker_wake(void *waker);
/* The same, after storing an answer. Whoever sees the answer may call waker_deinit, which waits until this has left. */
void waker_answer(struct waker *waker, atomic_int *answer, int value);
/* Whether it was woken since the last wait or take; from now on it was not. */
bool waker_take(struct waker *waker);
/* Returns at once when it was woken since the last wait, else after timeout_ms at the latest. */
void waker_wait(struct waker *waker, int64_t timeout_ms);

#endif
