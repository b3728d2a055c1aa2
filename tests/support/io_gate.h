/* io_gate.h: holds flushes back until a test lets them through, so that the time between a write and its flush can be looked at.
 *
 * io_set_fault(io_gate_hook, NULL) puts the gate in front of all calls of io.h; every kind is let through until it is closed. */
#ifndef WEIR_TESTS_IO_GATE_H
#define WEIR_TESTS_IO_GATE_H

#include "runtime/base/io.h"

#include <pthread.h>

struct io_gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;      /* told of each change; tests may tell it of theirs */
    bool closed[IO_COMMIT + 1];
    int held[IO_COMMIT + 1];   /* calls that wait now */
    int passed[IO_COMMIT + 1]; /* calls so far */
};
extern struct io_gate io_gate;

int io_gate_hook(void *context, enum io_call call, const char *path, int fd, size_t *size);
void io_gate_set(enum io_call call, bool closed);
/* Until such a call waits at the closed gate. */
void io_gate_wait_held(enum io_call call);
int io_gate_passed(enum io_call call);

#endif
