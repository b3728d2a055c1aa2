/* expr_large_stack.c: threads to parse on.
 *
 * PostgreSQL's parser and protobuf-c recurse as deep as a text nests: here they have a stack that the longest
 * text permitted (32 KiB, hence at most so many levels) cannot exhaust. Going to such a thread costs more than
 * parsing a usual text on it, so that a topology is compiled inside one, and its texts are parsed right there.
 *
 * The threads stay: libpg_query takes a thread-specific key for each thread that parses and never gives it back,
 * and a process has 1,024 of them. So there are as many as ever worked at once, and what a deep text has touched
 * of a stack is given back after it. */
#include "operators/expr.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { STACK_BYTES = 193 * 1024 * 1024 }; /* the last MiB is for what calls the parser there */
enum { STACK_KEPT_BYTES = 256 * 1024 };

struct large_stack {
    struct large_stack *next; /* of those without work */
    pthread_t thread;
    pthread_cond_t changed;
    void (*work)(void *job); /* NULL: none, or it is done */
    void *job;
    bool ends;
};
static _Thread_local bool has_large_stack;
static pthread_mutex_t large_stacks_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct large_stack *idle_large_stacks;

/* Gives back what a deeply nested text has touched: what lies well below this frame. Above it is the thread's own storage. */
static void trim_stack(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)0xffff;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0 &&
        here > (uintptr_t)low + STACK_KEPT_BYTES)
        (void)madvise(low, here - STACK_KEPT_BYTES - (uintptr_t)low, MADV_DONTNEED);
    pthread_attr_destroy(&attributes);
}

static void *large_stack_main(void *context)
{
    struct large_stack *own = context;
    has_large_stack = true;
    pthread_mutex_lock(&large_stacks_mutex);
    for (;;) {
        while (own->work == NULL && !own->ends)
            pthread_cond_wait(&own->changed, &large_stacks_mutex);
        if (own->ends)
            break;
        pthread_mutex_unlock(&large_stacks_mutex);
        own->work(own->job);
        trim_stack();
        pthread_mutex_lock(&large_stacks_mutex);
        own->work = NULL;
        pthread_cond_broadcast(&own->changed);
    }
    pthread_mutex_unlock(&large_stacks_mutex);
    return NULL;
}

void expr_large_stacks_end(void)
{
    pthread_mutex_lock(&large_stacks_mutex);
    while (idle_large_stacks != NULL) {
        struct large_stack *stack = idle_large_stacks;
        idle_large_stacks = stack->next;
        stack->ends = true;
        pthread_cond_broadcast(&stack->changed);
        pthread_mutex_unlock(&large_stacks_mutex);
        pthread_join(stack->thread, NULL);
        pthread_cond_destroy(&stack->changed);
        free(stack);
        pthread_mutex_lock(&large_stacks_mutex);
    }
    pthread_mutex_unlock(&large_stacks_mutex);
}

/* A child process has none of its parent's threads. */
static void forget_large_stacks(void)
{
    pthread_mutex_init(&large_stacks_mutex, NULL);
    idle_large_stacks = NULL;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_large_stacks);
}

static int start_large_stack(struct large_stack **started)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct large_stack *stack = calloc(1, sizeof *stack);
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_once(&once, watch_forks);
    if (stack == NULL || pthread_attr_init(&attributes) != 0) {
        free(stack);
        return ENOMEM;
    }
    pthread_cond_init(&stack->changed, NULL);
    int failed = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all); /* as thread_start does */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failed == 0)
        failed = pthread_create(&stack->thread, &attributes, large_stack_main, stack);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        pthread_cond_destroy(&stack->changed);
        free(stack);
        return failed;
    }
    *started = stack;
    return 0;
}

int expr_on_large_stack(void (*work)(void *job), void *job, struct diag *diag)
{
    if (has_large_stack) {
        work(job);
        return 0;
    }
    pthread_mutex_lock(&large_stacks_mutex);
    struct large_stack *stack = idle_large_stacks;
    int failed = 0;
    if (stack != NULL)
        idle_large_stacks = stack->next;
    else
        failed = start_large_stack(&stack);
    if (failed == 0) {
        stack->job = job;
        stack->work = work;
        pthread_cond_broadcast(&stack->changed);
        while (stack->work != NULL)
            pthread_cond_wait(&stack->changed, &large_stacks_mutex);
        stack->next = idle_large_stacks;
        idle_large_stacks = stack;
    }
    pthread_mutex_unlock(&large_stacks_mutex);
    return failed == 0 ? 0
                       : diag_set(diag, ERR_NOMEM, "a parser thread cannot be started: %s",
                                  strerror(failed));
}
