/* io.c: the system calls behind every durable byte, with a place to make them fail.
 *
 * Rules kept here so that nobody has to remember them:
 *   - EINTR and partial transfers are retried; fdatasync is not. After a failed flush the kernel
 * may have dropped the dirty pages and marked them clean: a second call that succeeds proves
 * nothing. The caller stops the writer.
 *   - A new name is durable only when its directory was fsynced. io_mkdir and io_write_file do that
 * themselves; after io_rename, io_unlink or io_open with O_CREAT the caller decides when (many
 * files, one io_fsync_dir).
 *   - close is not retried on EINTR: on Linux the descriptor is gone either way.
 *   - Failures name the path. Functions that get only a descriptor ask /proc/self/fd for it, on the
 * failing path alone.
 *   - errno of the failing call is what the caller finds afterwards, whatever the clean-up did.
 *
 * The fault hook is asked before each call that changes something on disk. It is one pointer, read
 * with one load; a test sets it while no other thread is inside.
 *
 * A failed system call is ERR_IO (ERR_FULL, ERR_NOMEM), with errno to tell ENOENT from the rest. */
#include "runtime/base/io.h"
#include "runtime/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0755, FILE_MODE = 0644, READ_FIRST_BYTES = 4096 };

static _Atomic(io_fault_fn) fault_hook;
static void *_Atomic fault_context;
static atomic_bool skips_flushes;

void io_set_fault(io_fault_fn hook, void *context)
{
    atomic_store(&fault_hook, NULL);
    atomic_store(&fault_context, context);
    atomic_store(&fault_hook, hook);
}

/* 0, or -1 with errno set as if the call had failed. */
static int fault_check(enum io_call call, const char *path, int fd, size_t *size)
{
    io_fault_fn hook = atomic_load_explicit(&fault_hook, memory_order_acquire);
    if (__builtin_expect(hook == NULL, 1))
        return 0;
    int number = hook(atomic_load(&fault_context), call, path, fd, size);
    if (number == 0)
        return 0;
    errno = number;
    return -1;
}

int io_ask(enum io_call call, const char *path)
{
    return fault_check(call, path, -1, NULL) == 0 ? 0 : errno;
}

void io_set_flushing(bool on)
{
    atomic_store_explicit(&skips_flushes, !on, memory_order_release);
}

bool io_flushing(void)
{
    return !atomic_load_explicit(&skips_flushes, memory_order_acquire);
}

/* The name behind a descriptor, for messages. */
static const char *fd_path(int fd, char *path, size_t size)
{
    int saved = errno;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0)
        snprintf(path, size, "file descriptor %d", fd);
    else
        path[length] = '\0';
    errno = saved;
    return path;
}

static int fail_fd(struct diag *diag, const char *what, int fd)
{
    char path[PATH_MAX];
    return diag_errno(diag, "cannot %s %s", what, fd_path(fd, path, sizeof path));
}

/* ---- descriptors ---- */

int io_open(const char *path, int flags, mode_t mode, int *fd, struct diag *diag)
{
    int opened = -1;
    if ((flags & O_CREAT) == 0 || fault_check(IO_OPEN, path, -1, NULL) == 0) {
        do
            opened = open(path, flags | O_CLOEXEC, mode);
        while (opened < 0 && errno == EINTR);
    }
    *fd = opened;
    return opened >= 0 ? 0 : diag_errno(diag, "cannot open %s", path);
}

void io_close(int fd)
{
    int saved = errno;
    must(close(fd) == 0 || errno != EBADF);
    errno = saved;
}

/* One pwrite, which a fault may cut or fail: the bytes written, or -1. */
static ssize_t pwrite_once(int fd, const void *data, size_t size, int64_t position)
{
    size_t allowed = size;
    bool failed = fault_check(IO_PWRITE, NULL, fd, &allowed) != 0;
    int number = errno;
    must(allowed <= size);
    if (failed && allowed == size)
        return -1;
    ssize_t written;
    do
        written = pwrite(fd, data, allowed, (off_t)position);
    while (written < 0 && errno == EINTR);
    if (failed) {
        errno = number;
        return -1;
    }
    return written;
}

/* Ages of files are taken by our clock: under the virtual one the kernel's is another. */
static void set_file_time(int fd)
{
    int64_t now_ms = clock_wall_ms();
    int64_t second = now_ms >= 0 ? now_ms / 1000 : -((999 - now_ms) / 1000);
    struct timespec now = {.tv_sec = second, .tv_nsec = (now_ms - second * 1000) * 1000000};
    (void)futimens(fd, (struct timespec[]){now, now}); /* no reason to fail a write */
}

int io_pwrite(int fd, const void *data, size_t size, int64_t position, struct diag *diag)
{
    const uint8_t *from = data;
    while (size > 0) {
        ssize_t written = pwrite_once(fd, from, size, position);
        if (written == 0) {
            errno = EIO; /* a file that takes nothing without saying why would loop for ever */
            written = -1;
        }
        if (written < 0)
            return fail_fd(diag, "write to", fd);
        from += written;
        size -= (size_t)written;
        position += written;
    }
    if (clock_is_virtual())
        set_file_time(fd);
    return 0;
}

int io_pread(int fd, void *data, size_t size, int64_t position, size_t *read_bytes,
             struct diag *diag)
{
    size_t done = 0;
    *read_bytes = 0;
    while (done < size) {
        ssize_t got =
            pread(fd, (uint8_t *)data + done, size - done, (off_t)(position + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_fd(diag, "read", fd);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *read_bytes = done;
    return 0;
}

int io_splice(int fd, int64_t position, size_t size, int pipe_fd, size_t *moved_bytes,
              struct diag *diag)
{
    size_t done = 0;
    off_t at = (off_t)position;
    *moved_bytes = 0;
    while (done < size) {
        ssize_t moved = splice(fd, &at, pipe_fd, NULL, size - done, SPLICE_F_NONBLOCK);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0 && errno != EAGAIN)
            return fail_fd(diag, "read", fd);
        if (moved <= 0)
            break;
        done += (size_t)moved;
        *moved_bytes = done;
    }
    return 0;
}

int io_fdatasync(int fd, struct diag *diag)
{
    if (fault_check(IO_FDATASYNC, NULL, fd, NULL) != 0 || (io_flushing() && fdatasync(fd) != 0))
        return fail_fd(diag, "flush", fd);
    return 0;
}

int io_syncfs(int fd, struct diag *diag)
{
    if (fault_check(IO_FDATASYNC, NULL, fd, NULL) != 0 || (io_flushing() && syncfs(fd) != 0))
        return fail_fd(diag, "flush the file system of", fd);
    return 0;
}

int io_truncate(int fd, int64_t size, struct diag *diag)
{
    int rc = fault_check(IO_TRUNCATE, NULL, fd, NULL);
    while (rc == 0 && (rc = ftruncate(fd, (off_t)size)) != 0 && errno == EINTR)
        rc = 0;
    return rc != 0 ? fail_fd(diag, "truncate", fd) : 0;
}

int io_reserve(int fd, int64_t position, int64_t size, struct diag *diag)
{
    int rc = fault_check(IO_RESERVE, NULL, fd, NULL);
    while (rc == 0 &&
           (rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)position, (off_t)size)) != 0 &&
           errno == EINTR)
        rc = 0;
    if (rc == 0)
        return 0;
    bool unsupported = errno == EOPNOTSUPP || errno == ENOSYS;
    int code = fail_fd(diag, "reserve space in", fd);
    if (!unsupported)
        return code;
    if (diag != NULL)
        diag->code = ERR_UNSUPPORTED;
    return ERR_UNSUPPORTED;
}

int io_file_size(int fd, int64_t *size, struct diag *diag)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_fd(diag, "stat", fd);
    *size = info.st_size;
    return 0;
}

/* ---- names ---- */

int io_fsync_dir(const char *path, struct diag *diag)
{
    if (fault_check(IO_FSYNC_DIR, path, -1, NULL) != 0)
        return diag_errno(diag, "cannot flush directory %s", path);
    int fd;
    TRY(io_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, diag));
    int rc =
        !io_flushing() || fsync(fd) == 0 ? 0 : diag_errno(diag, "cannot flush directory %s", path);
    io_close(fd);
    return rc;
}

int io_rename(const char *from, const char *to, struct diag *diag)
{
    if (fault_check(IO_RENAME, from, -1, NULL) != 0 || rename(from, to) != 0)
        return diag_errno(diag, "cannot rename %s to %s", from, to);
    return 0;
}

int io_unlink(const char *path, struct diag *diag)
{
    if (fault_check(IO_UNLINK, path, -1, NULL) != 0 || unlink(path) != 0)
        return diag_errno(diag, "cannot remove %s", path);
    return 0;
}

/* The directory that holds path's last component, malloc'ed. */
static char *parent_of(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length == 0 ? strdup(".") : strndup(path, length);
}

static int fsync_parent(const char *path, struct diag *diag)
{
    char *parent = parent_of(path);
    if (parent == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for the path %s", path);
    int rc = io_fsync_dir(parent, diag);
    int saved = errno;
    free(parent);
    errno = saved;
    return rc;
}

int io_mkdir_new(const char *path, struct diag *diag)
{
    if (fault_check(IO_MKDIR, path, -1, NULL) != 0 || mkdir(path, DIRECTORY_MODE) != 0)
        return diag_errno(diag, "cannot create directory %s", path);
    return 0;
}

int io_rmdir(const char *path, struct diag *diag)
{
    if (fault_check(IO_UNLINK, path, -1, NULL) != 0 || rmdir(path) != 0)
        return diag_errno(diag, "cannot remove directory %s", path);
    return 0;
}

int io_mkdir(const char *path, struct diag *diag)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return 0;
    if (fault_check(IO_MKDIR, path, -1, NULL) != 0)
        return diag_errno(diag, "cannot create directory %s", path);
    if (mkdir(path, DIRECTORY_MODE) == 0)
        return fsync_parent(path, diag);
    if (errno == EEXIST && stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return 0;
        errno = ENOTDIR;
    }
    return diag_errno(diag, "cannot create directory %s", path);
}

int io_mkdirs(const char *path, struct diag *diag)
{
    char *prefix = strdup(path);
    if (prefix == NULL)
        return diag_set(diag, ERR_NOMEM, "out of memory for the path %s", path);
    int rc = 0;
    for (size_t i = 1; rc == 0 && prefix[0] != '\0' && prefix[i] != '\0'; i++) {
        if (prefix[i] != '/' || prefix[i - 1] == '/')
            continue;
        prefix[i] = '\0';
        rc = io_mkdir(prefix, diag);
        prefix[i] = '/';
    }
    if (rc == 0)
        rc = io_mkdir(path, diag);
    int saved = errno;
    free(prefix);
    errno = saved;
    return rc;
}

/* ---- whole files ---- */

/* Reads to the end of the file, whatever fstat says its size is, so that files of /proc work too.
 */
static int read_all(int fd, const char *path, size_t limit, char **data, size_t *size,
                    struct diag *diag)
{
    size_t capacity = READ_FIRST_BYTES, used = 0;
    char *memory = malloc(capacity);
    while (memory != NULL) {
        size_t got;
        int rc = io_pread(fd, memory + used, capacity - 1 - used, (int64_t)used, &got, diag);
        if (rc == 0 && used + got > limit)
            rc = diag_set(diag, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, limit);
        if (rc < 0) {
            int saved = errno;
            free(memory);
            errno = saved;
            return rc;
        }
        used += got;
        if (used < capacity - 1) {
            memory[used] = '\0';
            *data = memory;
            *size = used;
            return 0;
        }
        char *larger = realloc(memory, capacity * 2);
        if (larger == NULL)
            free(memory);
        memory = larger;
        capacity *= 2;
    }
    return diag_set(diag, ERR_NOMEM, "out of memory reading %s", path);
}

int io_read_file(const char *path, size_t limit, char **data, size_t *size, struct diag *diag)
{
    int fd;
    TRY(io_open(path, O_RDONLY, 0, &fd, diag));
    int rc = read_all(fd, path, limit, data, size, diag);
    io_close(fd);
    return rc;
}

static int write_flushed(const char *path, const void *data, size_t size, struct diag *diag)
{
    int fd;
    TRY(io_open(path, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE, &fd, diag));
    int rc = io_pwrite(fd, data, size, 0, diag);
    if (rc == 0)
        rc = io_fdatasync(fd, diag);
    io_close(fd);
    return rc;
}

int io_write_file(const char *path, const void *data, size_t size, struct diag *diag)
{
    char *temporary;
    if (asprintf(&temporary, "%s.tmp", path) < 0)
        return diag_set(diag, ERR_NOMEM, "out of memory for the path %s", path);
    int rc = write_flushed(temporary, data, size, diag);
    if (rc == 0)
        rc = io_rename(temporary, path, diag);
    int saved = errno;
    if (rc < 0)
        (void)io_unlink(temporary, NULL); /* may not exist; a left-over is overwritten next time */
    free(temporary);
    errno = saved;
    return rc < 0 ? rc : fsync_parent(path, diag);
}

/* ---- trees ---- */

static int remove_entry(const FTSENT *entry, struct diag *diag)
{
    switch (entry->fts_info) {
    case FTS_D:
        return 0; /* it comes again, as FTS_DP, when it is empty */
    case FTS_DP:
        return io_rmdir(entry->fts_path, diag);
    case FTS_NS:
        if (entry->fts_errno == ENOENT && entry->fts_level == FTS_ROOTLEVEL)
            return 0; /* nothing there is what was asked for */
        /* fall through */
    case FTS_DNR:
    case FTS_ERR:
        errno = entry->fts_errno;
        return diag_errno(diag, "cannot read %s", entry->fts_path);
    default:
        return io_unlink(entry->fts_path, diag);
    }
}

int io_remove_tree(const char *path, struct diag *diag)
{
    /* Physical: a symbolic link is removed, never followed. */
    char *const roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (tree == NULL)
        return diag_errno(diag, "cannot read %s", path);
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        FTSENT *entry = fts_read(tree);
        if (entry == NULL) {
            rc = errno != 0 ? diag_errno(diag, "cannot read %s", path) : 0;
            break;
        }
        rc = remove_entry(entry, diag);
    }
    int saved = errno;
    fts_close(tree);
    errno = saved;
    return rc;
}
