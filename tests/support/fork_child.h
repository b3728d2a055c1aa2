/* fork_child.h: fork() with no thread beside the one that forks. The parser keeps its threads (operators/expr.h), and a child of a process
 * with several threads may not start any under ThreadSanitizer. */
#ifndef WEIR_TESTS_FORK_CHILD_H
#define WEIR_TESTS_FORK_CHILD_H

#include "operators/expr.h"

#include <stdio.h>
#include <unistd.h>

/* NULL in programs that are linked without the parser. */
extern __typeof__(expr_large_stacks_end) expr_large_stacks_end __attribute__((weak));

static inline pid_t fork_child(void)
{
    if (expr_large_stacks_end != NULL)
        expr_large_stacks_end();
    fflush(NULL);
    return fork();
}

#endif
