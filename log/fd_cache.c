/* fd_cache.c: at most so many segment files are open at a time.
 *
 * A log of a thousand partitions has thousands of segments, and a process has a limit of
 * descriptors. Files are opened when first used and closed, least recently used first, when the
 * limit is reached. Pinned ones stay open: somebody reads or writes through the descriptor right
 * now. Ones with bytes that were not flushed are closed last, and not before they were flushed: an
 * error of a write-back is only reported for sure through a descriptor that was open when it
 * happened. That costs a wait for the disk, which only a process with very few descriptors and very
 * many partitions ever sees.
 *
 * A segment that compaction replaces goes on through its open descriptor; but its name leads to
 * another file from then on, so that it cannot be opened again: its readers look for the new one.
 *
 * The limit is three quarters of RLIMIT_NOFILE, whose soft value is first raised to the hard one
 * (at most 65536); a server of many connections asks for more of it than the rest (log_leave_files). When every open file is pinned the limit is passed; then the system's own limit
 * decides. What finds no descriptor there closes cached files and tries again (log_open_file); when
 * none can be closed it is ERR_NOMEM with a text that names ulimit -n, and stops nothing.
 *
 * One mutex guards all of it; it is held over open and close, which do not wait for the disk, and over
 * the flush of a file that must make room. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

enum { SOFT_LIMIT_WANTED = 65536, LIMIT_LEAST = 16 };

void fd_cache_init(struct fd_cache *cache)
{
    *cache = (struct fd_cache){.limit = 768};
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_mutex_init(&cache->everything_mutex, NULL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = limit.rlim_max < SOFT_LIMIT_WANTED ? limit.rlim_max : SOFT_LIMIT_WANTED;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {wanted, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    rlim_t cur = limit.rlim_cur < SOFT_LIMIT_WANTED ? limit.rlim_cur : SOFT_LIMIT_WANTED;
    cache->limit = (int32_t)(cur / 4 * 3);
    if (cache->limit < LIMIT_LEAST)
        cache->limit = LIMIT_LEAST;
}

void fd_cache_leave(struct fd_cache *cache, int64_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SOFT_LIMIT_WANTED)
        return;
    int64_t all = (int64_t)limit.rlim_cur, left = all - count;
    left = left < all / 4 ? all / 4 : left > all / 4 * 3 ? all / 4 * 3 : left;
    pthread_mutex_lock(&cache->mutex);
    cache->limit = (int32_t)(left < LIMIT_LEAST ? LIMIT_LEAST : left);
    pthread_mutex_unlock(&cache->mutex);
}

void log_leave_files(struct log *log, int64_t count)
{
    fd_cache_leave(&log->fds, count);
}

void fd_cache_deinit(struct fd_cache *cache)
{
    must(cache->open_count == 0);
    pthread_mutex_destroy(&cache->mutex);
    pthread_mutex_destroy(&cache->everything_mutex);
}

static void unlink_segment(struct fd_cache *cache, struct segment *segment)
{
    if (segment->newer != NULL)
        segment->newer->older = segment->older;
    else
        cache->newest = segment->older;
    if (segment->older != NULL)
        segment->older->newer = segment->newer;
    else
        cache->oldest = segment->newer;
    segment->newer = segment->older = NULL;
}

static void link_newest(struct fd_cache *cache, struct segment *segment)
{
    segment->older = cache->newest;
    segment->newer = NULL;
    if (cache->newest != NULL)
        cache->newest->newer = segment;
    else
        cache->oldest = segment;
    cache->newest = segment;
}

static void close_one(struct fd_cache *cache, struct segment *segment)
{
    unlink_segment(cache, segment);
    io_close(segment->fd);
    segment->fd = -1;
    cache->open_count--;
}

static bool is_flushed(const struct segment *segment)
{
    return atomic_load(&segment->flushed_bytes) >= atomic_load(&segment->size_bytes);
}

/* What cannot be closed unflushed is flushed: nobody has it pinned, so no write is under way. */
static bool flush_one(struct segment *segment)
{
    struct diag why;
    int64_t size = atomic_load(&segment->size_bytes);
    int rc = io_fdatasync(segment->fd, &why);
    if (rc < 0) {
        log_stop(segment->partition->log, rc, &why);
        return false;
    }
    if (atomic_load(&segment->flushed_bytes) < size)
        atomic_store(&segment->flushed_bytes, size);
    return true;
}

/* Closes the one that was used least recently: a flushed one if there is any. False: all are in use. */
static bool close_oldest(struct fd_cache *cache)
{
    for (struct segment *segment = cache->oldest; segment != NULL; segment = segment->newer)
        if (segment->pins == 0 && is_flushed(segment)) {
            close_one(cache, segment);
            return true;
        }
    for (struct segment *segment = cache->oldest; segment != NULL; segment = segment->newer)
        if (segment->pins == 0) {
            if (!flush_one(segment))
                return false;
            close_one(cache, segment);
            return true;
        }
    return false;
}

static void make_room(struct fd_cache *cache)
{
    while (cache->open_count >= cache->limit && close_oldest(cache))
        continue;
}

static bool lacks_descriptor(int rc)
{
    return rc == ERR_NOMEM && (errno == EMFILE || errno == ENFILE);
}

/* Opens with cache->mutex held. */
static int open_with_room(struct fd_cache *cache, const char *path, int flags, int *fd,
                          struct diag *diag)
{
    for (;;) {
        int rc = io_open(path, flags, 0644, fd, diag);
        int saved = errno;
        if (!lacks_descriptor(rc) || !close_oldest(cache)) {
            errno = saved;
            return rc;
        }
    }
}

int log_open_file(struct log *log, const char *path, int flags, int *fd, struct diag *diag)
{
    int rc = io_open(path, flags, 0644, fd, diag);
    if (!lacks_descriptor(rc))
        return rc;
    pthread_mutex_lock(&log->fds.mutex);
    rc = open_with_room(&log->fds, path, flags, fd, diag);
    int saved = errno;
    pthread_mutex_unlock(&log->fds.mutex);
    errno = saved;
    return rc;
}

int log_flush_directory(struct log *log, const char *path, struct diag *diag)
{
    for (;;) {
        int rc = io_fsync_dir(path, diag);
        if (!lacks_descriptor(rc))
            return rc;
        pthread_mutex_lock(&log->fds.mutex);
        bool closed = close_oldest(&log->fds);
        pthread_mutex_unlock(&log->fds.mutex);
        if (!closed)
            return log_flush_everything(log, diag);
    }
}

static int flush_file_system(struct log *log, struct diag *diag)
{
    int fd;
    int rc = log_open_file(log, log->dir, O_RDONLY | O_DIRECTORY, &fd, diag);
    if (lacks_descriptor(rc))
        return io_syncfs(log->dir_fd, diag);
    TRY(rc);
    rc = io_syncfs(fd, diag);
    io_close(fd);
    return rc;
}

int log_flush_everything(struct log *log, struct diag *diag)
{
    /* A failed write-back of any file is told to one of two such flushes. So they come one after the other, and after
     * one that failed there is none. */
    pthread_mutex_lock(&log->fds.everything_mutex);
    int rc = log_status(log, diag);
    if (rc == 0) {
        rc = flush_file_system(log, diag);
        if (rc < 0)
            log_stop(log, rc, diag);
    }
    pthread_mutex_unlock(&log->fds.everything_mutex);
    return rc;
}

int segment_pin(struct segment *segment, int *fd, struct diag *diag)
{
    struct fd_cache *cache = &segment->partition->log->fds;
    int rc = 0;
    pthread_mutex_lock(&cache->mutex);
    if (segment->fd < 0 && atomic_load(&segment->replaced)) {
        rc = diag_set(diag, ERR_STATE, "a segment was replaced by compaction");
    } else if (segment->fd < 0) {
        char path[LOG_PATH_BYTES];
        make_room(cache);
        segment_path(segment, "log", path);
        rc = open_with_room(cache, path, segment->partition->log->read_only ? O_RDONLY : O_RDWR,
                            &segment->fd, diag);
        if (rc == 0) {
            cache->open_count++;
            link_newest(cache, segment);
        }
    } else if (cache->newest != segment) {
        unlink_segment(cache, segment);
        link_newest(cache, segment);
    }
    if (rc == 0) {
        segment->pins++;
        *fd = segment->fd;
    }
    pthread_mutex_unlock(&cache->mutex);
    return rc;
}

void segment_unpin(struct segment *segment)
{
    struct fd_cache *cache = &segment->partition->log->fds;
    pthread_mutex_lock(&cache->mutex);
    must(segment->pins > 0);
    segment->pins--;
    pthread_mutex_unlock(&cache->mutex);
}

void segment_set_replaced(struct segment *segment, bool replaced)
{
    struct fd_cache *cache = &segment->partition->log->fds;
    pthread_mutex_lock(&cache->mutex);
    atomic_store(&segment->replaced, replaced);
    pthread_mutex_unlock(&cache->mutex);
}

void segment_forget_fd(struct segment *segment)
{
    struct fd_cache *cache = &segment->partition->log->fds;
    pthread_mutex_lock(&cache->mutex);
    must(segment->pins == 0);
    if (segment->fd >= 0)
        close_one(cache, segment);
    pthread_mutex_unlock(&cache->mutex);
}
