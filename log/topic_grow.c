/* topic_grow.c: more partitions for a topic that exists.
 *
 * Order, as in creation: the record in meta first, then the directories, then the table in memory.
 * The record is the truth, and opening makes a directory that is missing and never held a flushed
 * record; so a crash in between leaves the topic grown, and one before it as it was. A failure
 * takes both back.
 *
 * The array of partitions is replaced, never lengthened in place: whoever walks the old one, with
 * the old count, goes on. Partitions themselves do not move, so handles stay valid.
 *
 * Growth changes where keys belong: murmur2(key) mod N has another N. Records that are there stay
 * where they are, so the promise of weir.partitioned.by ends with the same write to meta.
 *
 * There is no way to fewer partitions. Their records would need new offsets in other partitions,
 * and every committed offset, transaction and stored position that names the old ones would lie. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct growth {
    struct topic *topic;
    struct partition **partitions; /* the new array */
    int32_t before, after;
    struct config_set config; /* without the promise; swapped with the topic's own */
};

static int refuse(const struct topic *topic, int32_t partitions, struct diag *diag)
{
    if (partitions > PARTITION_LIMIT)
        return diag_set(diag, ERR_INVALID, "topic %s: at most %d partitions, not %d", topic->name,
                        PARTITION_LIMIT, partitions);
    if (partitions == topic->partition_count)
        return diag_set(diag, ERR_INVALID, "topic %s has %d partition%s already", topic->name,
                        partitions, partitions == 1 ? "" : "s");
    return diag_set(diag, ERR_INVALID,
                    "topic %s has %d partition%s and cannot have %d: records keep their partition "
                    "and offset, so partitions cannot be taken away. Make a new topic and copy "
                    "what it should hold (weir topic export, weir topic import)",
                    topic->name, topic->partition_count, topic->partition_count == 1 ? "" : "s",
                    partitions);
}

static int prepare(struct growth *growth, struct diag *diag)
{
    static const struct config_entry no_promise = {"weir.partitioned.by", NULL};
    struct topic *topic = growth->topic;
    TRY(config_set_copy(&topic->config, &growth->config));
    TRY(config_set_merge(&growth->config, &no_promise, 1, diag));
    struct partition ***outgrown =
        realloc(topic->outgrown, ((size_t)topic->outgrown_count + 1) * sizeof *outgrown);
    if (outgrown == NULL)
        return ERR_NOMEM;
    topic->outgrown = outgrown;
    growth->partitions = calloc((size_t)growth->after, sizeof *growth->partitions);
    if (growth->partitions == NULL)
        return ERR_NOMEM;
    memcpy(growth->partitions, topic->partitions, (size_t)growth->before * sizeof(void *));
    for (int32_t i = growth->before; i < growth->after; i++)
        if ((growth->partitions[i] = partition_new(topic, i)) == NULL)
            return ERR_NOMEM;
    return 0;
}

/* What is in the growth and what is in the topic change places. */
static void swap(struct growth *growth)
{
    struct topic *topic = growth->topic;
    struct partition **partitions = topic->partitions;
    struct config_set config = topic->config;
    topic->partitions = growth->partitions;
    topic->config = growth->config;
    growth->partitions = partitions;
    growth->config = config;
}

static int make_directories(const struct growth *growth, int32_t *made, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    for (*made = growth->before; *made < growth->after; ++*made) {
        partition_directory(growth->topic->partitions[*made], path);
        int rc = io_mkdir_new(path, diag);
        if (rc < 0)
            return errno == EEXIST
                       ? diag_set(diag, ERR_EXISTS, "%s exists, but belongs to no topic", path)
                       : rc;
        crash_point("topic.grow.directory");
    }
    snprintf(path, sizeof path, "%s/topics", growth->topic->log->dir);
    return io_fsync_dir(path, diag);
}

/* The directories made so far, and the record, as they were. The first failure is reported. */
static void undo(struct growth *growth, int32_t made)
{
    char path[LOG_PATH_BYTES];
    struct diag why = {0};
    for (int32_t i = growth->before; i < made; i++) {
        partition_directory(growth->topic->partitions[i], path);
        (void)io_rmdir(path, NULL);
    }
    swap(growth);
    growth->topic->partition_count = growth->before;
    if (topic_write_record(growth->topic, META_TOPIC_LIVE, &why) < 0)
        log_line('E', "topic %s is recorded with %d partitions, which opening will make: %s",
                 growth->topic->name, growth->after, why.text);
}

static int grow_locked(struct growth *growth, struct diag *diag)
{
    struct topic *topic = growth->topic;
    int32_t made = growth->before;
    crash_point("topic.grow.begin");
    swap(growth);
    topic->partition_count = growth->after;
    int rc = topic_write_record(topic, META_TOPIC_LIVE, diag);
    if (rc < 0) {
        swap(growth);
        topic->partition_count = growth->before;
        return rc;
    }
    crash_point("topic.grow.recorded");
    rc = make_directories(growth, &made, diag);
    if (rc < 0) {
        undo(growth, made);
        return rc;
    }
    topic->outgrown[topic->outgrown_count++] = growth->partitions;
    growth->partitions = NULL;
    topic_apply_config(topic);
    return 0;
}

/* What a growth that did not happen had made. */
static void discard(struct growth *growth)
{
    for (int32_t i = growth->before; growth->partitions != NULL && i < growth->after; i++)
        partition_free(growth->partitions[i]);
    free(growth->partitions);
    config_set_deinit(&growth->config);
}

int topic_grow(struct log *log, const char *name, int32_t partitions, struct diag *diag)
{
    TRY(log_status(log, diag));
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    int rc = topic == NULL ? topic_not_found(log, name, diag) : 0;
    if (rc == 0 && (partitions <= topic->partition_count || partitions > PARTITION_LIMIT))
        rc = refuse(topic, partitions, diag);
    if (rc == 0) {
        struct growth growth = {
            .topic = topic, .before = topic->partition_count, .after = partitions};
        rc = prepare(&growth, diag);
        if (rc == ERR_NOMEM)
            diag_set(diag, rc, "no memory for the partitions of topic %s", name);
        if (rc == 0)
            rc = grow_locked(&growth, diag);
        discard(&growth);
    }
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}
