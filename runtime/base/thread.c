/* thread.c: starting a thread with its signals blocked: see the header.
 *
 * A new thread has the mask of the one that makes it, so that mask is changed for as long as that takes. */
#include "runtime/base/thread.h"

#include <signal.h>

int thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code != 0)
        return code;
    code = pthread_create(thread, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}
