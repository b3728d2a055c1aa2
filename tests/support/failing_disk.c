/* failing_disk.c: see failing_disk.h. Writes to the topics of random jobs (o…, m…, r… and what the app
 * random makes for itself) fail, records and markers alike; not those of inputs, and nothing while a log is opened: what a run
 * does about that is to end. */
#include "tests/support/failing_disk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/io.h"

static bool is_output(int fd)
{
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0)
        return false;
    name[length] = '\0';
    const char *topic = strstr(name, "/topics/");
    return topic != NULL && strchr("omr", topic[strlen("/topics/")]) != NULL &&
           strstr(topic, ".log") != NULL;
}

static int refuse(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    struct failing_disk *disk = context;
    if (call != IO_PWRITE || path != NULL || atomic_load(&disk->fails) <= 0 || !is_output(fd) ||
        atomic_fetch_sub(&disk->passes, 1) > 0 || atomic_fetch_sub(&disk->fails, 1) <= 0)
        return 0;
    atomic_fetch_add(&disk->failed, 1);
    *size = 0;
    return ENOSPC;
}

void failing_disk_start(struct failing_disk *disk, int passes, int fails)
{
    atomic_store(&disk->passes, passes);
    atomic_store(&disk->fails, fails);
    io_set_fault(refuse, disk);
}

void failing_disk_stop(void)
{
    io_set_fault(NULL, NULL);
}
