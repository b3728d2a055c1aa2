/* error.c: the sentence that travels with an error code, log lines on stderr, and the end of
 * must().
 *
 * A diag is filled where the failure is seen, by whoever knows the file, the topic or the offset;
 * it is read once, where the failure is handled. Layers in between may wrap it: diag_set(diag, rc,
 * "opening %s: %s", dir, diag->text) is allowed, because the sentence is formatted into a buffer of
 * its own before the old text is overwritten.
 *
 * errno is kept by every function here. Callers report first and look at errno (ENOENT, say)
 * afterwards, and a report that destroyed the reason it reports would be a trap.
 *
 * A log line is formatted whole and handed to one write(2): lines of different threads never mix,
 * no lock is held, and the function is usable from a failing path. Lines over the buffer are cut,
 * never split.
 *
 * Depends on libc and clock.h. */
#include "runtime/base/error.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/base/clock.h"

enum { LOG_LINE_BYTES = 2048 };

static atomic_bool verbose;
static atomic_bool mute;


static const char *errno_text(int number, char *text, size_t size)
{
    /* The GNU strerror_r, which may return a constant text instead of filling the buffer. */
    return strerror_r(number, text, size);
}

static void diag_store(struct diag *diag, int code, const char *format, va_list arguments)
{
    char text[sizeof diag->text];
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    diag->code = code;
    memcpy(diag->text, text, sizeof text);
}

int diag_set(struct diag *diag, int code, const char *format, ...)
{
    if (diag == NULL)
        return code;
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    diag_store(diag, code, format, arguments);
    va_end(arguments);
    errno = saved;
    return code;
}

static int code_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case ENOMEM:
    case EMFILE: /* limits of the process, and of the system */
    case ENFILE:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

int diag_errno(struct diag *diag, const char *format, ...)
{
    int saved = errno;
    int code = code_of_errno(saved);
    if (diag == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    diag_store(diag, code, format, arguments);
    va_end(arguments);
    char reason[128];
    size_t length = strlen(diag->text);
    snprintf(diag->text + length, sizeof diag->text - length, ": %s%s",
             errno_text(saved, reason, sizeof reason),
             saved == EMFILE ? " (raise the limit: ulimit -n)" : "");
    errno = saved;
    return code;
}

const char *error_text(int code)
{
    static const char *const texts[] = {
        [-ERR_OK] = "ok",
        [-ERR_NOMEM] = "out of memory",
        [-ERR_IO] = "input/output error",
        [-ERR_CORRUPT] = "corrupt data",
        [-ERR_INVALID] = "invalid",
        [-ERR_NOT_FOUND] = "not found",
        [-ERR_EXISTS] = "already exists",
        [-ERR_BUSY] = "busy",
        [-ERR_FENCED] = "fenced by a newer owner",
        [-ERR_RANGE] = "out of range",
        [-ERR_TOO_LARGE] = "too large",
        [-ERR_UNSUPPORTED] = "not supported",
        [-ERR_STOPPED] = "stopped",
        [-ERR_TIMEOUT] = "timed out",
        [-ERR_STATE] = "called out of order",
        [-ERR_FULL] = "disk or map full",
        [-ERR_READ_ONLY] = "read-only",
        [-ERR_SEQUENCE] = "out of sequence",
        [-ERR_REBALANCE] = "the group is rebalancing",
        [-ERR_MEMBER] = "unknown member or stale generation",
    };
    if (code > 0 || code < -(int)(sizeof texts / sizeof texts[0] - 1))
        return "unknown error";
    return texts[-code];
}

static void write_stderr(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* a closed stderr is no reason to fail */
        text += written;
        size -= (size_t)written;
    }
}

void log_line_verbose(bool on)
{
    atomic_store_explicit(&verbose, on, memory_order_relaxed);
}

void log_line_mute(bool on)
{
    atomic_store_explicit(&mute, on, memory_order_relaxed);
}

void log_line(char level, const char *format, ...)
{
    if (atomic_load_explicit(&mute, memory_order_relaxed))
        return;
    if (level == 'I' && !atomic_load_explicit(&verbose, memory_order_relaxed))
        return;
    int saved = errno;
    char line[LOG_LINE_BYTES];
    size_t length = time_format_iso(clock_wall_ms(), line);
    line[length++] = ' ';
    line[length++] = level;
    line[length++] = ' ';
    va_list arguments;
    va_start(arguments, format);
    /* One byte is kept for the line's end. */
    int wanted = vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    va_end(arguments);
    if (wanted > 0) {
        size_t room = sizeof line - length - 2;
        length += (size_t)wanted < room ? (size_t)wanted : room;
    }
    line[length++] = '\n';
    write_stderr(line, length);
    errno = saved;
}

void must_failed(const char *file, int line, const char *condition)
{
    log_line_mute(false);
    log_line('E', "%s:%d: must(%s) failed: this is a bug in weir", file, line, condition);
    abort();
}
