/* weir_log.c: opening and closing a log through weir.h, and the texts of what went wrong on it.
 *
 * A weir_log is a struct log with a count of what is open on it, so that closing it under a
 * producer's feet is refused and not a crash. All else is log/'s.
 *
 * Texts. Any thread may use the handle, so a text that lay in the handle would be some other
 * thread's. It lies in the thread instead, as errno does, always at the same place: in
 * check(weir_flush(…), weir_log_error()) it does not matter which is evaluated first. */
#include "runtime/weir_handle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_error[sizeof((struct diag *)NULL)->text];

int handle_result(int rc, const struct diag *diag)
{
    if (rc >= 0)
        return rc;
    const char *text = diag != NULL && diag->text[0] != '\0' ? diag->text : error_text(rc);
    snprintf(last_error, sizeof last_error, "%s", text);
    return rc;
}

int handle_need(const weir_log *log, const char *name, const void *argument)
{
    struct diag diag;
    if (log != NULL && argument != NULL)
        return 0;
    return handle_result(diag_set(&diag, ERR_INVALID, "%s is NULL", log == NULL ? "log" : name),
                         &diag);
}

int handle_need_log(const weir_log *log)
{
    return handle_need(log, "log", log);
}

int reserved_check(const uint64_t reserved[4], const char *what, struct diag *diag)
{
    for (int i = 0; i < 4; i++)
        if (reserved[i] != 0)
            return diag_set(diag, ERR_INVALID,
                            "%s: reserved words are not zero: zero-initialise the struct; a value "
                            "in them needs a newer library than this %s",
                            what, weir_version());
    return 0;
}

const char *block_text(char **cursor, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*cursor, text, size);
    *cursor += size;
    return copy;
}

void weir_free(void *results)
{
    free(results);
}

const char *weir_log_error(void)
{
    return last_error;
}

/* ---- opening and closing ---- */

static int translate_options(const weir_log_options *from, struct log_options *to,
                             struct diag *diag)
{
    *to = (struct log_options){0};
    if (from == NULL)
        return 0;
    TRY(reserved_check(from->reserved, "weir_log_options", diag));
    if (from->durability != WEIR_DURABILITY_COMMIT && from->durability != WEIR_DURABILITY_OS)
        return diag_set(diag, ERR_INVALID,
                        "durability must be WEIR_DURABILITY_COMMIT or WEIR_DURABILITY_OS, not %d",
                        (int)from->durability);
    if (from->segment_bytes < 0 || from->segment_bytes > INT32_MAX || from->segment_ms < 0 ||
        from->keeper_interval_ms < -1 || from->cleaner_memory_bytes < 0 ||
        from->cleaner_bytes_per_s < -1 || from->offsets_retention_ms < 0 ||
        from->producer_expiry_ms < 0)
        return diag_set(diag, ERR_INVALID,
                        "weir_log_options: a number is negative, or segment_bytes over 2147483647");
    *to = (struct log_options){
        .must_exist = from->must_exist,
        .read_only = from->read_only,
        .durability = from->durability == WEIR_DURABILITY_OS ? DURABILITY_OS : DURABILITY_COMMIT,
        .segment_bytes = from->segment_bytes,
        .segment_ms = from->segment_ms,
        .keeper_interval_ms = from->keeper_interval_ms,
        .cleaner_memory_bytes = from->cleaner_memory_bytes,
        .cleaner_bytes_per_s = from->cleaner_bytes_per_s,
        .offsets_retention_ms = from->offsets_retention_ms,
        .producer_expiry_ms = from->producer_expiry_ms,
    };
    return 0;
}

int weir_log_open(const char *dir, const weir_log_options *options, weir_log **log)
{
    struct log_options translated;
    struct diag diag = {.code = 0};
    if (log == NULL)
        return handle_result(diag_set(&diag, ERR_INVALID, "log is NULL"), &diag);
    *log = NULL;
    int rc = translate_options(options, &translated, &diag);
    return rc < 0 ? handle_result(rc, &diag) : handle_open(dir, &translated, log);
}

int handle_open(const char *dir, const struct log_options *options, weir_log **log)
{
    struct diag diag = {.code = 0};
    *log = NULL;
    weir_log *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return handle_result(ERR_NOMEM, NULL);
    int rc = log_open(dir, options, &opened->log, &diag);
    if (rc < 0) {
        free(opened);
        return handle_result(rc, &diag);
    }
    pthread_mutex_init(&opened->mutex, NULL);
    pthread_mutex_init(&opened->views_mutex, NULL);
    *log = opened;
    return 0;
}

int weir_log_close(weir_log *log)
{
    struct diag diag;
    if (log == NULL)
        return 0;
    int producers = atomic_load(&log->producers), consumers = atomic_load(&log->consumers);
    int apps = atomic_load(&log->apps), queries = atomic_load(&log->queries);
    if (producers + consumers + apps + queries > 0)
        return handle_result(
            diag_set(&diag, ERR_BUSY,
                     "%s is in use in this process (producers: %d, consumers: %d, apps: %d, "
                     "queries: %d): close them first",
                     log_dir(log->log), producers, consumers, apps, queries),
            &diag);
    log_close(log->log);
    pthread_mutex_destroy(&log->mutex);
    pthread_mutex_destroy(&log->views_mutex);
    free(log);
    return 0;
}

const char *weir_log_dir(const weir_log *log)
{
    return log != NULL ? log_dir(log->log) : "";
}

int weir_log_status(weir_log *log)
{
    struct diag diag = {.code = 0};
    TRY(handle_need_log(log));
    return handle_result(log_status(log->log, &diag), &diag);
}

int weir_log_clean(weir_log *log, const char *topic, weir_clean_report *report)
{
    struct diag diag = {.code = 0};
    struct keeper_report done = {.segments_deleted = 0};
    if (report != NULL)
        *report = (weir_clean_report){.segments_deleted = 0};
    TRY(handle_need_log(log));
    int rc = topic != NULL ? topic_clean(log->log, topic, 0, &done, &diag)
                           : log_keep_house(log->log, 0, &done, &diag);
    if (report != NULL)
        *report = (weir_clean_report){
            .segments_deleted = done.segments_deleted,
            .bytes_deleted = done.bytes_deleted,
            .partitions_compacted = done.partitions_compacted,
            .bytes_read = done.bytes_read,
            .bytes_written = done.bytes_written,
            .records_kept = done.records_kept,
            .records_removed = done.records_removed,
            .tombstones_removed = done.tombstones_removed,
            .markers_removed = done.markers_removed,
            .keyless_removed = done.keyless_removed,
            .duration_ns = done.duration_ns,
        };
    return handle_result(rc, &diag);
}

/* ---- apps that run on it ---- */

struct running_app {
    struct running_app *next;
    char name[];
};

static struct running_app **find_app(weir_log *log, const char *name)
{
    struct running_app **link = &log->running;
    while (*link != NULL && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

int handle_app_begin(weir_log *log, const char *name, struct diag *diag)
{
    size_t size = strlen(name) + 1;
    struct running_app *app = malloc(sizeof *app + size);
    if (app == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to run app %s", name);
    memcpy(app->name, name, size);
    pthread_mutex_lock(&log->mutex);
    bool is_taken = *find_app(log, name) != NULL;
    if (!is_taken) {
        app->next = log->running;
        log->running = app;
    }
    pthread_mutex_unlock(&log->mutex);
    if (!is_taken)
        return 0;
    free(app);
    return diag_set(diag, ERR_BUSY, "app %s runs on this log already", name);
}

void handle_app_end(weir_log *log, const char *name)
{
    pthread_mutex_lock(&log->mutex);
    struct running_app **link = find_app(log, name);
    struct running_app *app = *link;
    if (app != NULL)
        *link = app->next;
    pthread_mutex_unlock(&log->mutex);
    free(app);
}
