/* topic_segments.c: a topic as directories of segments.
 *
 * Out: DIR/<topic>-<partition>/, as Kafka lays them out; DIR is made, or empty. In: DIR holds such
 * directories of one topic, whatever its name, numbered from 0 without a hole; or .log files itself,
 * then it is partition 0.
 *
 * The import is made by opening the log again (log/transfer.c says why), which happens at once. */
#include "runtime/cli/topic_segments.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTITIONS_MOST = 10000 };

static void put_summary(const char *topic, const struct transfer *t, const char *done)
{
    fprintf(stderr,
            "%s: %" PRId64 " segments %s: %" PRId64 " batches, %" PRId64 " records, %" PRId64
            " bytes\n",
            topic, t->segments, done, t->batches, t->records, t->bytes);
    if (t->aborted > 0)
        fprintf(stderr, "%s: %" PRId64 " transactions were open at the end and are aborted\n",
                topic, t->aborted);
}

/* ---- out ---- */

/* Made, or there and empty. */
static int begin_directory(const char *directory, bool *made, struct diag *diag)
{
    *made = mkdir(directory, 0755) == 0;
    if (*made)
        return 0;
    if (errno != EEXIST)
        return diag_errno(diag, "cannot make %s", directory);
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", directory);
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(stream)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(stream);
    return empty ? 0 : diag_set(diag, ERR_EXISTS, "%s exists and is not empty", directory);
}

static char *partition_path(const char *directory, const char *topic, int32_t index)
{
    char *path;
    return asprintf(&path, "%s/%s-%d", directory, topic, index) < 0 ? NULL : path;
}

static int export_partitions(struct log *log, const char *topic, const char *directory,
                             int32_t *written, struct transfer *transfer, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(log, topic, &info, diag));
    for (*written = 0; *written < info.partitions; ++*written) {
        struct partition *partition;
        TRY(partition_get(log, topic, *written, &partition, diag));
        char *path = partition_path(directory, topic, *written);
        int code = path == NULL ? diag_set(diag, ERR_NOMEM, "no memory for a path")
                                : partition_export_segments(partition, path, transfer, diag);
        free(path);
        TRY(code);
    }
    return io_fsync_dir(directory, diag);
}

int topic_segments_export(struct cli *cli, const char *directory)
{
    struct log *log;
    struct diag diag = {0};
    struct transfer transfer = {0};
    const char *topic = cli->arguments[0];
    bool made = false;
    int32_t written = 0;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    int code = topic_describe(log, topic, NULL, &diag);
    if (code == 0)
        code = begin_directory(directory, &made, &diag);
    if (code == 0) {
        code = export_partitions(log, topic, directory, &written, &transfer, &diag);
        for (int32_t i = 0; code < 0 && i < written; i++) {
            char *path = partition_path(directory, topic, i);
            if (path != NULL)
                (void)io_remove_tree(path, NULL);
            free(path);
        }
        if (code < 0 && made)
            (void)rmdir(directory);
    }
    log_close(log);
    if (code < 0)
        return failed(code, &diag);
    put_summary(topic, &transfer, "exported");
    return EXIT_OK;
}

/* ---- in ---- */

struct sources {
    char *paths[PARTITIONS_MOST];
    int32_t count; /* the largest number + 1 */
    char prefix[256];
};

static void sources_free(struct sources *sources)
{
    for (int32_t i = 0; sources != NULL && i < sources->count; i++)
        free(sources->paths[i]);
    free(sources);
}

/* "name-7" → 7; -1 for any other name. */
static int64_t partition_number(const char *name)
{
    const char *dash = strrchr(name, '-');
    int64_t number;
    if (dash == NULL || dash == name || dash[1] < '0' || dash[1] > '9' ||
        parse_integer(dash + 1, &number) < 0 || number >= PARTITIONS_MOST)
        return -1;
    return number;
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int add_source(struct sources *sources, const char *directory, const char *name,
                      struct diag *diag)
{
    int64_t number = partition_number(name);
    int prefix = number < 0 ? 0 : (int)(strrchr(name, '-') - name);
    char *path;
    if (number < 0)
        return 0;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a path");
    bool other = sources->count > 0 && (strncmp(sources->prefix, name, (size_t)prefix) != 0 ||
                                        sources->prefix[prefix] != '\0');
    if (!is_directory(path) || other || sources->paths[number] != NULL) {
        int code = !is_directory(path)
                       ? 0
                       : diag_set(diag, ERR_INVALID, "%s holds more than one topic: %s and %s",
                                  directory, sources->prefix, name);
        free(path);
        return code;
    }
    snprintf(sources->prefix, sizeof sources->prefix, "%.*s", prefix, name);
    sources->paths[number] = path;
    if (number >= sources->count)
        sources->count = (int32_t)number + 1;
    return 0;
}

static int find_sources(struct sources *sources, const char *directory, struct diag *diag)
{
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", directory);
    int code = 0;
    bool has_logs = false;
    for (struct dirent *entry; code == 0 && (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name);
        has_logs = has_logs || (length > 4 && strcmp(entry->d_name + length - 4, ".log") == 0);
        code = add_source(sources, directory, entry->d_name, diag);
    }
    closedir(stream);
    TRY(code);
    if (sources->count == 0 && has_logs && (sources->paths[0] = strdup(directory)) != NULL)
        sources->count = 1;
    if (sources->count == 0)
        return diag_set(diag, ERR_NOT_FOUND,
                        "%s holds neither directories <topic>-<partition> nor .log files",
                        directory);
    for (int32_t i = 0; i < sources->count; i++)
        if (sources->paths[i] == NULL)
            return diag_set(diag, ERR_NOT_FOUND, "%s has no directory %s-%d", directory,
                            sources->prefix, i);
    return 0;
}

/* The topic, made with as many partitions where there is none. */
static int open_topic(struct log *log, const char *topic, int32_t partitions, bool *made,
                      struct diag *diag)
{
    struct topic_info info;
    if (topic_describe(log, topic, &info, NULL) == ERR_NOT_FOUND) {
        TRY(topic_create(log, topic, partitions, NULL, 0, diag));
        *made = true;
        return 0;
    }
    TRY(topic_describe(log, topic, &info, diag));
    if (info.internal)
        return diag_set(diag, ERR_INVALID, "topic %s is internal: a job made it for itself", topic);
    return 0;
}

static int import_sources(struct log *log, const char *topic, struct sources *sources,
                          struct transfer *transfer, struct diag *diag)
{
    bool made = false;
    TRY(open_topic(log, topic, sources->count, &made, diag));
    int code = topic_import_segments(log, topic, (const char *const *)sources->paths,
                                     sources->count, transfer, diag);
    if (code < 0 && made)
        (void)topic_delete(log, topic, NULL);
    return code;
}

/* Opening gives the segments their names; whether the partitions run is looked at. */
static int check_again(struct cli *cli, const char *topic)
{
    struct log *log;
    struct diag diag = {0};
    struct topic_info info;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    int code = topic_describe(log, topic, &info, &diag);
    for (int32_t i = 0; code == 0 && i < info.partitions; i++) {
        struct partition *partition;
        code = partition_get(log, topic, i, &partition, &diag);
        if (code == 0)
            code = partition_status(partition, &diag);
    }
    log_close(log);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

int topic_segments_import(struct cli *cli, const char *directory)
{
    const char *topic = cli->arguments[0];
    struct diag diag = {0};
    struct transfer transfer = {0};
    struct log *log;
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL)
        return failed(ERR_NOMEM, NULL);
    int code = topic_name_check(topic, &diag);
    if (code == 0)
        code = find_sources(sources, directory, &diag);
    if (code < 0) {
        sources_free(sources);
        return failed(code, &diag);
    }
    int exit_code = data_open(cli, DATA_MAY_CREATE, &log);
    if (exit_code == 0) {
        code = import_sources(log, topic, sources, &transfer, &diag);
        log_close(log);
        exit_code = code < 0 ? failed(code, &diag) : check_again(cli, topic);
    }
    if (exit_code == 0)
        put_summary(topic, &transfer, "imported");
    sources_free(sources);
    return exit_code;
}
