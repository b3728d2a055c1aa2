/* thread.h: threads that a library starts in somebody else's process. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>

/* pthread_create for a thread on which no signal is ever handled: all are blocked. So a signal that is sent to the
 * process reaches one of the program's own threads, which its handlers were written for. 0, or an errno value. */
int thread_start(pthread_t *thread, void *(*run)(void *context), void *context);

#endif
