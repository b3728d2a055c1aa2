/* failing_disk.h: a disk that takes no writes to outputs of an app for a moment, by the fault hook of io.h. One at a time in the process. */
#ifndef WEIR_TESTS_FAILING_DISK_H
#define WEIR_TESTS_FAILING_DISK_H

#include <stdatomic.h>

/* Lives as long as the log that writes: threads of it may look at it until they have ended. */
struct failing_disk {
    atomic_int passes;  /* so many writes go through first */
    atomic_int fails;   /* then so many fail: ENOSPC, nothing is written */
    atomic_int failed;  /* that have */
};
/* Of the topics that random jobs write (naive.h), and of what their app makes for itself. */
void failing_disk_start(struct failing_disk *disk, int passes, int fails);
void failing_disk_stop(void);

#endif
