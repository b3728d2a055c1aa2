/* weir_handle.h: what the files behind weir_log_… in weir.h share: the log's handle, and how failures reach their texts.
 *
 * A weir_log is used by many threads, so the text of a failure on it belongs to the thread that failed, as errno does. Producers and
 * consumers have one owner and carry their own. */
#ifndef WEIR_RUNTIME_WEIR_HANDLE_H
#define WEIR_RUNTIME_WEIR_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "log/log.h"
#include "runtime/weir.h"

struct weir_log {
    struct log *log;
    atomic_int producers, consumers, apps, queries; /* that are open on it */
    pthread_mutex_t mutex;                     /* of the list; taken alone */
    struct running_app *running;
    pthread_mutex_t views_mutex;               /* of views; taken before mutex */
    struct shared_source *views;               /* weir_view.c: that questions are asked of … */
    struct shared_port *view_ports;            /* … names of apps that do not run and are kept from it … */
    struct shared_app *view_apps;              /* … and apps that run on it, whose views are read beside them */
};

/* weir_log_open with the log's own options. */
int handle_open(const char *dir, const struct log_options *options, weir_log **log);

/* An app runs: its name is taken on this log until the matching end. ERR_BUSY when it is. Stores are open once in a process, so that fencing
 * comes too late here. */
int handle_app_begin(weir_log *log, const char *name, struct diag *diag);
void handle_app_end(weir_log *log, const char *name);

/* Keeps a failure for weir_log_error in this thread and returns rc; 0 and more pass through. */
int handle_result(int rc, const struct diag *diag);
/* WEIR_EINVALID with a text when the log, or an argument of this name, is NULL. */
int handle_need(const weir_log *log, const char *name, const void *argument);
/* The same for a log alone. */
int handle_need_log(const weir_log *log);
/* ERR_INVALID when a reserved word is not zero. */
int reserved_check(const uint64_t reserved[4], const char *what, struct diag *diag);

/* What exists of a partition, from memory alone: weir_partition_describe looks into its files. Failures: weir_log_error. */
int handle_partition_range(weir_log *log, const char *topic, int32_t partition, int64_t *start, int64_t *high_watermark);

/* The caller's offsets as the log wants them; *translated is malloc'ed and borrows the metadata. */
int offsets_translate(const weir_offset *offsets, size_t count, struct group_offset **translated, struct diag *diag);

/* Copies text to *cursor, moves the cursor behind it and returns the copy: for results that are one block. */
const char *block_text(char **cursor, const char *text);

#endif
