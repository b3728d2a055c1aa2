/* reserve.c: a few megabytes that are kept free for the day when the disk is full.
 *
 * On a full disk the ways out are deletions: retention, delete-records, deleting a topic. Each of
 * them has to write a little before it may remove anything: the new start offset, the topic's
 * "being deleted". LMDB writes changed pages to new places, so even a deletion needs pages.
 * DIR/RESERVE is a file of 4 MiB with real blocks that hold nothing; when such a write finds no
 * room the file is cut to nothing and the write is tried again (log_meta_apply_cleanup, recovery).
 * Ordinary writes, a commit's decision among them, never get it: it would be gone when it is
 * needed.
 *
 * The keeper takes the space again once there is room for it and as much again, so that the reserve
 * is not what fills the disk. A file system that cannot allocate blocks ahead gets zeros written.
 *
 * The name stays when the space is given: opening a log on a full disk must not have to make a
 * file. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { ZERO_BYTES = 64 << 10 };

void reserve_init(struct log *log)
{
    log->reserve = (struct reserve){0};
    pthread_mutex_init(&log->reserve.mutex, NULL);
}

void reserve_deinit(struct log *log)
{
    pthread_mutex_destroy(&log->reserve.mutex);
}

static bool has_blocks(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && (int64_t)info.st_blocks * 512 >= RESERVE_BYTES;
}

static bool has_room(const struct log *log)
{
    struct statvfs info;
    return statvfs(log->dir, &info) == 0 &&
           (uint64_t)info.f_bavail * info.f_frsize >= 2 * (uint64_t)RESERVE_BYTES;
}

static int write_zeros(int fd, struct diag *diag)
{
    uint8_t *zeros = calloc(1, ZERO_BYTES);
    int rc = zeros != NULL ? 0 : ERR_NOMEM;
    for (int64_t at = 0; rc == 0 && at < RESERVE_BYTES; at += ZERO_BYTES)
        rc = io_pwrite(fd, zeros, ZERO_BYTES, at, diag);
    free(zeros);
    return rc;
}

static int open_file(const struct log *log, int flags, int *fd)
{
    char path[LOG_PATH_BYTES];
    struct diag ignored;
    snprintf(path, sizeof path, "%s/RESERVE", log->dir);
    return io_open(path, flags, 0644, fd, &ignored);
}

void reserve_take(struct log *log)
{
    struct diag ignored;
    int fd;
    if (log->options.driven)
        return; /* a test's log, which would be little else */
    pthread_mutex_lock(&log->reserve.mutex);
    if (!log->reserve.held && open_file(log, O_RDWR | O_CREAT, &fd) == 0) {
        bool held = has_blocks(fd); /* from the last time */
        if (!held && has_room(log)) {
            int rc = io_reserve(fd, 0, RESERVE_BYTES, &ignored);
            if (rc == ERR_UNSUPPORTED)
                rc = write_zeros(fd, &ignored);
            if (rc == 0)
                rc = io_truncate(fd, RESERVE_BYTES, &ignored);
            held = rc == 0 && has_blocks(fd);
            if (!held)
                (void)io_truncate(fd, 0, &ignored); /* half a reserve is none */
        }
        log->reserve.held = held;
        io_close(fd);
    }
    pthread_mutex_unlock(&log->reserve.mutex);
}

bool reserve_release(struct log *log)
{
    struct diag diag;
    int fd;
    bool given = false;
    pthread_mutex_lock(&log->reserve.mutex);
    /* Also when this life never took it: recovery needs it before that. */
    if (open_file(log, O_RDWR, &fd) == 0) {
        struct stat info;
        if (fstat(fd, &info) == 0 && info.st_blocks > 0) {
            /* The flush makes file systems with a journal give the blocks out again. */
            given = io_truncate(fd, 0, &diag) == 0;
            if (given)
                (void)io_fdatasync(fd, &diag);
            log_line('W', "%s: the disk is full; the reserve of %d MiB was given to clean up",
                     log->dir, RESERVE_BYTES >> 20);
        }
        io_close(fd);
    }
    log->reserve.held = false;
    pthread_mutex_unlock(&log->reserve.mutex);
    return given;
}
