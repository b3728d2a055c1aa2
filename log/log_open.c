/* log_open.c: opening and closing a log, and stopping its writer.
 *
 * The order of opening is the order in which things may be trusted: lock (nobody else writes),
 * FORMAT (we can read it), meta (what is known), topics, tails of the partitions against what is
 * known, transactions, and only then the flusher and callers. Closing goes back: open transactions
 * of this process are aborted, the flusher's last rounds flush and record everything, files are
 * closed.
 *
 * log_stop is the end of writing: after a failed flush nothing that this process says about
 * durability can be believed, so that it says no more. Readers go on with what was flushed before.
 */
#include "log/acl.h"
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DIR_LIMIT_BYTES = 3000, /* leaves room for the longest topic's files */
    FLUSH_INTERVAL_MS = 5,
    FLUSH_INTERVAL_OS_MS = 1000
};
#define SEGMENT_BYTES_DEFAULT        (INT64_C(1) << 30)
#define SEGMENT_MS_DEFAULT           (INT64_C(7) * 24 * 3600 * 1000)
#define PRODUCER_EXPIRY_MS_DEFAULT   (INT64_C(24) * 3600 * 1000)
#define OFFSETS_RETENTION_MS_DEFAULT (INT64_C(7) * 24 * 3600 * 1000)

const char *log_dir(const struct log *log)
{
    return log->dir;
}

int log_status(struct log *log, struct diag *diag)
{
    int code = atomic_load(&log->status);
    if (code == 0)
        return 0;
    pthread_mutex_lock(&log->status_mutex);
    if (diag != NULL)
        *diag = log->stop_reason;
    pthread_mutex_unlock(&log->status_mutex);
    return code;
}

int log_stop(struct log *log, int code, const struct diag *diag)
{
    pthread_mutex_lock(&log->status_mutex);
    bool first = atomic_load(&log->status) == 0;
    if (first) {
        if (diag != NULL)
            log->stop_reason = *diag;
        log->stop_reason.code = code;
        atomic_store(&log->status, code);
    }
    pthread_mutex_unlock(&log->status_mutex);
    if (first)
        log_line('E', "%s: the writer is stopped: %s", log->dir, log->stop_reason.text);
    return code;
}

int log_meta_apply(struct log *log, const struct meta_batch *batch, struct diag *diag)
{
    struct diag why = {0};
    int rc = meta_apply(log->meta, batch, &why);
    if (rc < 0 && diag != NULL)
        *diag = why;
    if (rc == ERR_IO || rc == ERR_CORRUPT)
        log_stop(log, rc, &why);
    if (rc == ERR_FULL)
        keeper_wake(log);
    return rc;
}

int log_meta_apply_cleanup(struct log *log, const struct meta_batch *batch, struct diag *diag)
{
    int rc = log_meta_apply(log, batch, diag);
    return rc == ERR_FULL && reserve_release(log) ? log_meta_apply(log, batch, diag) : rc;
}

static struct log *log_new(const char *dir, const struct log_options *options)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    log->dir = strdup(dir);
    if (log->dir == NULL) {
        free(log);
        return NULL;
    }
    /* "a/" and "a" name the same directory; paths in messages look better without. */
    for (size_t n = strlen(log->dir); n > 1 && log->dir[n - 1] == '/'; n--)
        log->dir[n - 1] = '\0';
    if (options != NULL)
        log->options = *options;
    struct log_options *set = &log->options;
    if (set->segment_bytes <= 0 || set->segment_bytes > INT32_MAX)
        set->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (set->segment_ms <= 0)
        set->segment_ms = SEGMENT_MS_DEFAULT;
    if (set->producer_expiry_ms <= 0)
        set->producer_expiry_ms = PRODUCER_EXPIRY_MS_DEFAULT;
    if (set->offsets_retention_ms <= 0)
        set->offsets_retention_ms = OFFSETS_RETENTION_MS_DEFAULT;
    if (set->flush_interval_ms <= 0)
        set->flush_interval_ms =
            set->durability == DURABILITY_OS ? FLUSH_INTERVAL_OS_MS : FLUSH_INTERVAL_MS;
    log->lock_fd = -1;
    log->dir_fd = -1;
    pthread_mutex_init(&log->topics_mutex, NULL);
    pthread_mutex_init(&log->open_mutex, NULL);
    pthread_mutex_init(&log->groups_mutex, NULL);
    pthread_mutex_init(&log->acl_change_mutex, NULL);
    pthread_mutex_init(&log->acl_mutex, NULL);
    pthread_mutex_init(&log->producers_mutex, NULL);
    pthread_mutex_init(&log->status_mutex, NULL);
    fd_cache_init(&log->fds);
    log->coordinator =
        coordinator_create(&(struct coordinator_options){.load = groups_load, .context = log});
    keeper_init(log);
    reserve_init(log);
    return log;
}

static void free_topics(struct log *log)
{
    for (size_t i = 0; i < log->topic_count; i++)
        topic_free(log->topics[i]);
    free(log->topics);
    while (log->deleted_topics != NULL) {
        struct topic *topic = log->deleted_topics;
        log->deleted_topics = topic->next_deleted;
        topic_free(topic);
    }
}

static void log_free(struct log *log)
{
    while (log->producers != NULL) {
        atomic_store(&log->producers->references, 1); /* handles end with their log */
        producer_release(log->producers);
    }
    free_topics(log);
    fd_cache_deinit(&log->fds);
    meta_close(log->meta);
    lock_release(log->lock_fd);
    if (log->dir_fd >= 0)
        io_close(log->dir_fd);
    pthread_mutex_destroy(&log->topics_mutex);
    pthread_mutex_destroy(&log->open_mutex);
    pthread_mutex_destroy(&log->groups_mutex);
    acl_unload(log);
    pthread_mutex_destroy(&log->acl_change_mutex);
    pthread_mutex_destroy(&log->acl_mutex);
    coordinator_destroy(log->coordinator);
    pthread_mutex_destroy(&log->producers_mutex);
    pthread_mutex_destroy(&log->status_mutex);
    keeper_deinit(log);
    reserve_deinit(log);
    free(log->dir);
    free(log);
}

/* ---- opening ---- */

/* meta/ is made before the first topic is. Topics without it were robbed of it: a new, empty one
 * would say that they do not exist. */
static int check_meta(const char *dir, const char *topics, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    struct stat info;
    snprintf(path, sizeof path, "%s/meta/data.mdb", dir);
    if (stat(path, &info) == 0 ? info.st_size > 0 : errno != ENOENT)
        return 0;
    DIR *stream = opendir(topics);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", topics);
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(stream)) != NULL;)
        found = entry->d_name[0] != '.';
    closedir(stream);
    return !found ? 0
                  : diag_set(diag, ERR_CORRUPT,
                             "%s is missing or empty, but %s holds topics: put it back from a copy "
                             "of the whole directory",
                             path, topics);
}

/* Whether everything that a writer touches first could be written; false with the reason. What is
 * not there does not count. */
static bool can_write(const char *dir, struct diag *why)
{
    static const char *const names[] = {"",      "/LOCK",          "/topics",
                                        "/meta", "/meta/data.mdb", "/meta/lock.mdb"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[LOG_PATH_BYTES];
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 &&
            (errno == EACCES || errno == EROFS || errno == EPERM)) {
            diag_errno(why, "%s cannot be written", path);
            return false;
        }
    }
    return true;
}

/* From here on nothing is written, and everybody who asks learns why. */
static void set_read_only(struct log *log, const char *why)
{
    log->read_only = true;
    diag_set(&log->stop_reason, ERR_READ_ONLY, "%s is open for reading only: %s", log->dir, why);
    atomic_store(&log->status, ERR_READ_ONLY);
}

static int prepare_reading(struct log *log, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    TRY(format_precheck(log->dir, false, diag));
    TRY(lock_take_shared(log->dir, &log->lock_fd, diag));
    TRY(format_check(log->dir, false, diag));
    snprintf(path, sizeof path, "%s/topics", log->dir);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return diag_set(diag, ERR_NOT_FOUND, "%s has no topics yet, and is open for reading only",
                        log->dir);
    TRY(check_meta(log->dir, path, diag));
    snprintf(path, sizeof path, "%s/meta", log->dir);
    return meta_open_read_only(path, &log->meta, diag);
}

static int prepare_directory(struct log *log, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    bool may_create = !log->options.must_exist;
    struct stat info;
    bool is_new = stat(log->dir, &info) != 0;
    if (is_new && !may_create)
        return diag_set(diag, ERR_NOT_FOUND, "there is no data directory %s", log->dir);
    if (may_create)
        TRY(io_mkdirs(log->dir, diag));
    /* Records and what passwords are checked against are nobody else's to read. A file system that has no such modes has no say. */
    if (is_new && chmod(log->dir, S_IRWXU) != 0)
        errno = 0;
    TRY(format_precheck(log->dir, may_create, diag));
    TRY(lock_take(log->dir, &log->lock_fd, diag));
    TRY(io_open(log->dir, O_RDONLY | O_DIRECTORY, 0, &log->dir_fd, diag));
    TRY(format_check(log->dir, may_create, diag));
    snprintf(path, sizeof path, "%s/topics", log->dir);
    TRY(io_mkdir(path, diag));
    TRY(check_meta(log->dir, path, diag));
    snprintf(path, sizeof path, "%s/meta", log->dir);
    return meta_open(path, 0, &log->meta, diag);
}

static int open_all(struct log *log, struct diag *diag)
{
    TRY(log->read_only ? prepare_reading(log, diag) : prepare_directory(log, diag));
    TRY(acl_load(log, diag));
    TRY(topics_load(log, diag));
    TRY(recover_truncations(log, diag));
    TRY(recover_partitions(log, diag));
    TRY(recover_transactions(log, diag));
    if (log->read_only)
        return 0;
    reserve_take(log);
    TRY(flusher_start(log, diag));
    return keeper_start(log, diag);
}

static int open_as(const char *dir, const struct log_options *options, const char *read_only,
                   struct log **out, struct diag *diag)
{
    struct log *log = log_new(dir, options);
    if (log == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to open %s", dir);
    if (read_only != NULL)
        set_read_only(log, read_only);
    int rc = log->coordinator == NULL ? diag_set(diag, ERR_NOMEM, "no memory for groups")
                                      : flusher_init(log, diag);
    if (rc == 0)
        rc = open_all(log, diag);
    if (rc < 0) {
        keeper_stop(log);
        flusher_stop(log);
        log_free(log);
        return rc;
    }
    *out = log;
    return 0;
}

int log_open(const char *dir, const struct log_options *options, struct log **out,
             struct diag *diag)
{
    struct diag why = {0};
    char format[LOG_PATH_BYTES];
    *out = NULL;
    if (dir == NULL || dir[0] == '\0' || strlen(dir) > DIR_LIMIT_BYTES)
        return diag_set(diag, ERR_INVALID, "a data directory's path has 1 to %d bytes",
                        DIR_LIMIT_BYTES);
    if (options != NULL && options->read_only)
        return open_as(dir, options, "asked for", out, diag);
    snprintf(format, sizeof format, "%s/FORMAT", dir);
    if (access(format, F_OK) == 0 && !can_write(dir, &why)) {
        log_line('W', "%s; it is opened for reading only", why.text);
        return open_as(dir, options, why.text, out, diag);
    }
    int rc = open_as(dir, options, NULL, out, &why);
    if (rc == ERR_FULL) {
        log_line('W', "%s; %s is opened for reading only", why.text, dir);
        return open_as(dir, options, why.text, out, diag);
    }
    if (rc < 0 && diag != NULL)
        *diag = why;
    return rc;
}

bool log_drive(struct log *log)
{
    bool any = false, again = true;
    int64_t next_ms;
    must(log->options.driven);
    while (again) {
        again = flusher_drive(&log->flusher, &next_ms);
        again |= keeper_drive(&log->keeper);
        any |= again;
    }
    (void)coordinator_tick(log->coordinator);
    return any;
}

bool log_is_driven(const struct log *log)
{
    return log->options.driven;
}

/* ---- closing ---- */

/* Cutting counts as writing to the file; but a segment's age counts from its last record. */
static void cut_quietly(struct segment *active)
{
    char path[LOG_PATH_BYTES];
    struct diag diag;
    struct timespec times[2] = {
        {0, UTIME_OMIT}, {active->last_write_ms / 1000, active->last_write_ms % 1000 * 1000000}};
    if (segment_cut(active, &diag) < 0) {
        log_line('W', "%s", diag.text);
        return;
    }
    segment_path(active, "log", path);
    (void)utimensat(AT_FDCWD, path, times, 0);
}

/* What a clean stop leaves behind: whole indexes and no spare room. None of it is needed to open
 * again. */
static void tidy_partition(struct partition *partition)
{
    struct segment *active = partition->active;
    struct diag diag;
    if (active == NULL || partition->log->read_only || partition_readable(partition, NULL) < 0)
        return;
    if (log_status(partition->log, NULL) == 0 &&
        snapshot_take(partition, SNAPSHOT_CLOSE_BYTES, &diag) < 0)
        log_line('W', "%s", diag.text);
    if (active->index->pending_count > 0 || active->index->time_pending_count > 0)
        index_write_pending(active);
    if (active->reserved_bytes > atomic_load(&active->size_bytes) || active->cut_needed)
        cut_quietly(active);
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    keeper_stop(log);
    producers_abort_all(log);
    if (log_status(log, NULL) == 0)
        groups_store(log, NULL);
    flusher_stop(log);
    survivors_note_close(log);
    for (size_t t = 0; t < log->topic_count; t++)
        for (int32_t i = 0; i < log->topics[t]->partition_count; i++)
            tidy_partition(log->topics[t]->partitions[i]);
    log_free(log);
}
