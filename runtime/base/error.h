/* error.h: error codes, the diagnostic that travels with them, and must().
 *
 * Three kinds of wrong (docs/decisions are the long form):
 *   our bug          must() prints where and aborts, in release builds too;
 *   the environment  a function returns a negative ERR_ code and, where the caller can use it, fills
 *                    a struct diag with one sentence: what, where (file, topic, offset), and a hint;
 *   a bad record     is data: it never becomes an error code, it becomes a dead letter.
 *
 * Depends on libc alone. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numeric values are public (weir.h repeats them) and never change. */
enum {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* memory or a configured memory limit */
    ERR_IO = -2,          /* a system call failed; the diag carries its errno text */
    ERR_CORRUPT = -3,     /* bytes on disk or from a peer are not what they claim */
    ERR_INVALID = -4,     /* an argument, expression, configuration or name is wrong */
    ERR_NOT_FOUND = -5,   /* topic, partition, group, key */
    ERR_EXISTS = -6,      /* already there */
    ERR_BUSY = -7,        /* held by another process or handle */
    ERR_FENCED = -8,      /* a newer producer epoch or owner exists */
    ERR_RANGE = -9,       /* an offset or number is outside what exists */
    ERR_TOO_LARGE = -10,  /* over a named limit */
    ERR_UNSUPPORTED = -11,/* understood, and not supported (format bit, codec, SQL) */
    ERR_STOPPED = -12,    /* the object was stopped, by request or by an earlier failure */
    ERR_TIMEOUT = -13,
    ERR_STATE = -14,      /* a call that is out of order */
    ERR_FULL = -15,       /* disk or map full */
    ERR_READ_ONLY = -16,  /* the directory, or the handle, takes no writes */
    ERR_SEQUENCE = -17,   /* an idempotent producer's batch does not continue where its last one ended */
    ERR_REBALANCE = -18,  /* the group is sharing its partitions anew: join again */
    ERR_MEMBER = -19,     /* no such member in the group, or of an older generation */
};

/* One sentence about the last failure. The caller owns it; every function that takes one accepts NULL. */
struct diag {
    int code;
    char text[1024];
};

/* Stores code and the formatted sentence (cut at the buffer's end) and returns code. diag may be NULL. */
int diag_set(struct diag *diag, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Like diag_set with ": <strerror(errno)>" appended; maps ENOSPC/EDQUOT to ERR_FULL, ENOMEM, EMFILE and ENFILE to
 * ERR_NOMEM, else ERR_IO. */
int diag_errno(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A short constant text for a code: "not found". Never NULL. */
const char *error_text(int code);

/* One log line on stderr: time, level, text. Thread-safe. The level is 'E', 'W' or 'I'; LOG lines of level 'I' are
 * printed only after log_line_verbose(true). */
void log_line(char level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_line_verbose(bool on);
/* Test driver: nothing is printed while an engine that counts as killed is taken down. */
void log_line_mute(bool on);

void must_failed(const char *file, int line, const char *condition) __attribute__((noreturn));
#define must(condition)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            must_failed(__FILE__, __LINE__, #condition);                                           \
    } while (0)

/* The one macro that hides control flow: leaves the function with a negative code. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        int try_rc_ = (expression);                                                                \
        if (__builtin_expect(try_rc_ < 0, 0))                                                      \
            return try_rc_;                                                                        \
    } while (0)

#endif
