/* io.h: every durable write goes through here, so that a test can fail the N-th call, cut it short or record it.
 *
 * All functions return 0 or a negative ERR_ code with errno kept and diag filled (path named). They retry EINTR and
 * partial transfers. A missing file is ERR_IO with errno ENOENT. No writable mmap anywhere. Thread-safe; the fault hook is
 * process-wide and for tests. */
#ifndef WEIR_BASE_IO_H
#define WEIR_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "runtime/base/error.h"

int io_open(const char *path, int flags, mode_t mode, int *fd, struct diag *diag); /* O_CLOEXEC added; *fd = -1 on failure */
void io_close(int fd);
int io_pwrite(int fd, const void *data, size_t size, int64_t position, struct diag *diag); /* all or error */
int io_pread(int fd, void *data, size_t size, int64_t position, size_t *read_bytes, struct diag *diag); /* short only at EOF */
/* Bytes of a file into a pipe, without copying them: what the pipe has room for. */
int io_splice(int fd, int64_t position, size_t size, int pipe_fd, size_t *moved_bytes, struct diag *diag);
int io_fdatasync(int fd, struct diag *diag);        /* never retried: see P9 */
int io_syncfs(int fd, struct diag *diag);           /* the whole file system of fd; asked about as IO_FDATASYNC; never retried */
int io_fsync_dir(const char *path, struct diag *diag);
int io_truncate(int fd, int64_t size, struct diag *diag);
int io_reserve(int fd, int64_t position, int64_t size, struct diag *diag); /* fallocate KEEP_SIZE; ERR_UNSUPPORTED where it cannot */
int io_rename(const char *from, const char *to, struct diag *diag);
int io_unlink(const char *path, struct diag *diag);
int io_mkdir(const char *path, struct diag *diag);  /* existing directory is fine; the parent is fsynced when it was made */
int io_mkdirs(const char *path, struct diag *diag); /* with parents */
int io_mkdir_new(const char *path, struct diag *diag); /* must not exist (errno EEXIST); not durable: flush the parent when all are made */
int io_rmdir(const char *path, struct diag *diag);  /* an empty directory */
int io_file_size(int fd, int64_t *size, struct diag *diag);
/* Reads a whole small file (limit bytes at most) into a malloc'ed, NUL-terminated buffer the caller frees. */
int io_read_file(const char *path, size_t limit, char **data, size_t *size, struct diag *diag);
/* Writes path.tmp, fsyncs, renames over path, fsyncs the directory. */
int io_write_file(const char *path, const void *data, size_t size, struct diag *diag);
int io_remove_tree(const char *path, struct diag *diag);

/* Fault injection. The hook is asked before each write-side call (pwrite, fdatasync, fsync_dir, truncate, reserve,
 * rename, unlink and rmdir, mkdir, open with O_CREAT): it returns 0 to let the call run, or an errno value to fail it; for IO_PWRITE it
 * may first lower *size (a short write happens, then the error is reported). LMDB writes by itself: who uses it asks with io_ask before it
 * opens an environment to write (IO_MAP) and before each commit (IO_COMMIT). */
enum io_call { IO_OPEN, IO_PWRITE, IO_FDATASYNC, IO_FSYNC_DIR, IO_TRUNCATE, IO_RESERVE, IO_RENAME, IO_UNLINK, IO_MKDIR, IO_MAP, IO_COMMIT };
typedef int (*io_fault_fn)(void *context, enum io_call call, const char *path_or_null, int fd, size_t *size);
void io_set_fault(io_fault_fn hook, void *context);
/* 0, or the errno value that the call is to fail with. */
int io_ask(enum io_call call, const char *path);

/* false: fdatasync, syncfs and fsync of directories are not called and count as done; so does who else flushes, when io_flushing says so. What
 * was written survives the process all the same, and not the machine: for the test driver, which ends processes and no machines. [true] */
void io_set_flushing(bool on);
bool io_flushing(void);

/* Crash points: named places where a crash test kills the process. With the environment variable
 * WEIR_CRASH_AT=name:N the N-th passing of that name ends the process at once (_exit(137), nothing flushed).
 * Costs one load and a branch when unset. */
void crash_point(const char *name);
/* Tests: the next crash_point reads the environment again (it is read once otherwise). */
void crash_point_rearm(void);
/* Test driver: passed(context, name) is called by each passing from now on, before the environment's point is looked at; NULL: no more. Set while
 * no other thread is inside the library. */
void crash_hook(void (*passed)(void *context, const char *name), void *context);

#endif
