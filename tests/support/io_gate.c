/* io_gate.c: see io_gate.h. One gate for the process, as there is one fault hook. */
#include "tests/support/io_gate.h"

struct io_gate io_gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

int io_gate_hook(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    (void)context;
    (void)path;
    (void)fd;
    (void)size;
    pthread_mutex_lock(&io_gate.mutex);
    io_gate.held[call]++;
    pthread_cond_broadcast(&io_gate.moved);
    while (io_gate.closed[call])
        pthread_cond_wait(&io_gate.moved, &io_gate.mutex);
    io_gate.held[call]--;
    io_gate.passed[call]++;
    pthread_mutex_unlock(&io_gate.mutex);
    return 0;
}

void io_gate_set(enum io_call call, bool closed)
{
    pthread_mutex_lock(&io_gate.mutex);
    io_gate.closed[call] = closed;
    pthread_cond_broadcast(&io_gate.moved);
    pthread_mutex_unlock(&io_gate.mutex);
}

void io_gate_wait_held(enum io_call call)
{
    pthread_mutex_lock(&io_gate.mutex);
    while (io_gate.held[call] == 0)
        pthread_cond_wait(&io_gate.moved, &io_gate.mutex);
    pthread_mutex_unlock(&io_gate.mutex);
}

int io_gate_passed(enum io_call call)
{
    pthread_mutex_lock(&io_gate.mutex);
    int passed = io_gate.passed[call];
    pthread_mutex_unlock(&io_gate.mutex);
    return passed;
}
