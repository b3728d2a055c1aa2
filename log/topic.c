/* topic.c: topics: names, creation, configuration, deletion.
 *
 * A topic is a record in meta (id, partition count, configuration) and a directory per partition.
 * The record is the truth: it is written before the directories are made, and a live topic whose
 * directory is missing, and that never had a flushed record, gets it made when the log is opened.
 * So a crash during creation leaves a whole topic or none.
 *
 * Deletion marks the record "being deleted", renames the directories to <id>-<partition>.deleted,
 * removes the record with everything that refers to the topic's id, and then removes the
 * directories; log_open takes it up wherever a crash left it. Ids are random, so a topic that is
 * created again under the same name shares nothing with the old one.
 *
 * The handles of a deleted topic's partitions stay valid until log_close, and answer ERR_NOT_FOUND.
 */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { NAME_LIMIT_BYTES = 249, NAME_DISTANCE_LIMIT = 3 };
#define DELETED_SUFFIX ".deleted"

void uuid_text(struct uuid id, char text[23])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int held = 0, out = 0;
    for (int i = 0; i < 16; i++) {
        bits = bits << 8 | id.bytes[i];
        held += 8;
        for (; held >= 6; held -= 6)
            text[out++] = digits[bits >> (held - 6) & 63];
    }
    text[out++] = digits[bits << (6 - held) & 63];
    text[out] = '\0';
}

int topic_name_check(const char *name, struct diag *diag)
{
    size_t length = name != NULL ? strlen(name) : 0;
    if (length == 0)
        return diag_set(diag, ERR_INVALID, "a topic needs a name");
    if (length > NAME_LIMIT_BYTES)
        return diag_set(diag, ERR_INVALID, "the topic name %.40s… has %zu bytes; %d are allowed",
                        name, length, NAME_LIMIT_BYTES);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return diag_set(diag, ERR_INVALID, "the topic name %s is not allowed: it names a directory",
                        name);
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' &&
            c != '_' && c != '-')
            return diag_set(
                diag, ERR_INVALID,
                "the topic name %s is not allowed: byte %zu is none of A-Z a-z 0-9 . _ -", name,
                i + 1);
    }
    return 0;
}

/* ---- the table ---- */

static size_t lower_bound(const struct log *log, const char *name)
{
    size_t low = 0, high = log->topic_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(log->topics[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct topic *topic_find(struct log *log, const char *name)
{
    size_t at = lower_bound(log, name);
    return at < log->topic_count && strcmp(log->topics[at]->name, name) == 0 ? log->topics[at]
                                                                             : NULL;
}

struct topic *topic_find_id(struct log *log, const struct uuid *id)
{
    for (size_t i = 0; i < log->topic_count; i++)
        if (memcmp(&log->topics[i]->id, id, sizeof *id) == 0)
            return log->topics[i];
    return NULL;
}

struct partition *log_find_place(struct log *log, const struct meta_place *place)
{
    struct topic *topic = topic_find_id(log, &place->topic);
    if (topic == NULL || place->partition < 0 || place->partition >= topic->partition_count)
        return NULL;
    return topic->partitions[place->partition];
}

static int table_insert(struct log *log, struct topic *topic)
{
    if (log->topic_count == log->topic_capacity) {
        size_t capacity = log->topic_capacity == 0 ? 16 : log->topic_capacity * 2;
        struct topic **topics = realloc(log->topics, capacity * sizeof *topics);
        if (topics == NULL)
            return ERR_NOMEM;
        log->topics = topics;
        log->topic_capacity = capacity;
    }
    size_t at = lower_bound(log, topic->name);
    memmove(log->topics + at + 1, log->topics + at, (log->topic_count - at) * sizeof *log->topics);
    log->topics[at] = topic;
    log->topic_count++;
    return 0;
}

static void table_remove(struct log *log, struct topic *topic)
{
    size_t at = lower_bound(log, topic->name);
    must(at < log->topic_count && log->topics[at] == topic);
    log->topic_count--;
    memmove(log->topics + at, log->topics + at + 1, (log->topic_count - at) * sizeof *log->topics);
}

int topic_not_found(struct log *log, const char *name, struct diag *diag)
{
    const struct topic *closest = NULL;
    size_t limit = edit_distance_limit(name);
    size_t best = (limit < NAME_DISTANCE_LIMIT ? limit : NAME_DISTANCE_LIMIT) + 1;
    for (size_t i = 0; strlen(name) <= NAME_LIMIT_BYTES && i < log->topic_count; i++) {
        size_t distance = edit_distance(name, log->topics[i]->name);
        if (distance < best) {
            best = distance;
            closest = log->topics[i];
        }
    }
    if (closest != NULL)
        return diag_set(diag, ERR_NOT_FOUND, "there is no topic %s; did you mean %s?", name,
                        closest->name);
    return diag_set(diag, ERR_NOT_FOUND, "there is no topic %s", name);
}

/* ---- one topic in memory ---- */

bool partition_is_internal(const struct partition *partition)
{
    return atomic_load(&partition->topic->internal);
}

void topic_apply_config(struct topic *topic)
{
    struct topic_config config;
    config_effective(&topic->config, &topic->log->options, &config);
    atomic_store(&topic->segment_bytes, config.segment_bytes);
    atomic_store(&topic->segment_ms, config.segment_ms);
    atomic_store(&topic->segment_index_bytes, config.segment_index_bytes);
    atomic_store(&topic->max_message_bytes, config.max_message_bytes);
    atomic_store(&topic->timestamp_before_max_ms, config.timestamp_before_max_ms);
    atomic_store(&topic->timestamp_after_max_ms, config.timestamp_after_max_ms);
    atomic_store(&topic->retention_ms, config.retention_ms);
    atomic_store(&topic->retention_bytes, config.retention_bytes);
    atomic_store(&topic->min_compaction_lag_ms, config.min_compaction_lag_ms);
    atomic_store(&topic->max_compaction_lag_ms, config.max_compaction_lag_ms);
    atomic_store(&topic->delete_retention_ms, config.delete_retention_ms);
    atomic_store(&topic->min_cleanable_dirty_ratio, config.min_cleanable_dirty_ratio);
    atomic_store(&topic->compression, config.compression);
    atomic_store(&topic->log_append_time, config.log_append_time);
    atomic_store(&topic->deletes, config.deletes);
    atomic_store(&topic->compacted, config.compacted);
    atomic_store(&topic->internal, config.internal);
}

static struct topic *topic_new(struct log *log, const char *name, int32_t partitions)
{
    struct topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return NULL;
    topic->log = log;
    snprintf(topic->name, sizeof topic->name, "%s", name);
    topic->partition_count = partitions;
    topic->partitions = calloc((size_t)partitions, sizeof *topic->partitions);
    bool ok = topic->partitions != NULL;
    for (int32_t i = 0; ok && i < partitions; i++) {
        topic->partitions[i] = partition_new(topic, i);
        ok = topic->partitions[i] != NULL;
    }
    if (!ok) {
        topic_free(topic);
        return NULL;
    }
    return topic;
}

void topic_free(struct topic *topic)
{
    if (topic == NULL)
        return;
    for (int32_t i = 0; topic->partitions != NULL && i < topic->partition_count; i++)
        partition_free(topic->partitions[i]);
    free(topic->partitions);
    for (int32_t i = 0; i < topic->outgrown_count; i++)
        free(topic->outgrown[i]);
    free(topic->outgrown);
    config_set_deinit(&topic->config);
    free(topic);
}

static int put_record(const struct topic *topic, enum meta_topic_state state,
                      struct meta_batch *batch, struct diag *diag)
{
    struct buf config;
    buf_init(&config, 0);
    int rc = config_set_encode(&topic->config, &config);
    struct meta_topic record = {topic->id,
                                state,
                                topic->partition_count,
                                topic->created_ms,
                                (uint16_t)topic->config.count,
                                bytes_of(config.data, config.size)};
    if (rc == 0)
        meta_put_topic(batch, topic->name, &record);
    else
        diag_set(diag, rc, "no memory for a topic's configuration");
    buf_deinit(&config);
    return rc;
}

int topic_write_record(struct topic *topic, enum meta_topic_state state, struct diag *diag)
{
    struct meta_batch batch;
    meta_batch_init(&batch);
    int rc = put_record(topic, state, &batch, diag);
    if (rc == 0)
        rc = state == META_TOPIC_DELETING ? log_meta_apply_cleanup(topic->log, &batch, diag)
                                          : log_meta_apply(topic->log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

static int topics_directory(const struct log *log, char path[LOG_PATH_BYTES])
{
    return snprintf(path, LOG_PATH_BYTES, "%s/topics", log->dir);
}

/* ---- creation ---- */

/* One flush of the parent for all of them. */
static int make_directories(struct topic *topic, struct diag *diag)
{
    char path[LOG_PATH_BYTES];
    for (int32_t i = 0; i < topic->partition_count; i++) {
        partition_directory(topic->partitions[i], path);
        int rc = io_mkdir_new(path, diag);
        if (rc < 0)
            return errno == EEXIST
                       ? diag_set(diag, ERR_EXISTS, "%s exists, but belongs to no topic", path)
                       : rc;
        crash_point("topic.create.directory");
    }
    topics_directory(topic->log, path);
    return io_fsync_dir(path, diag);
}

static void undo_creation(struct topic *topic)
{
    struct meta_batch batch;
    char path[LOG_PATH_BYTES];
    for (int32_t i = 0; i < topic->partition_count; i++) {
        partition_directory(topic->partitions[i], path);
        (void)io_rmdir(path, NULL); /* only an empty one goes */
    }
    meta_batch_init(&batch);
    meta_delete_topic(&batch, topic->name);
    (void)log_meta_apply(topic->log, &batch, NULL);
    meta_batch_deinit(&batch);
}

static int create_locked(struct log *log, struct topic *topic, struct diag *diag)
{
    if (topic_find(log, topic->name) != NULL)
        return diag_set(diag, ERR_EXISTS, "topic %s exists", topic->name);
    TRY(topic_write_record(topic, META_TOPIC_LIVE, diag));
    crash_point("topic.create.recorded");
    int rc = make_directories(topic, diag);
    if (rc == 0 && table_insert(log, topic) < 0)
        rc = diag_set(diag, ERR_NOMEM, "no memory for a topic");
    if (rc < 0)
        undo_creation(topic);
    return rc;
}

int topic_create(struct log *log, const char *name, int32_t partitions,
                 const struct config_entry *config, size_t config_count, struct diag *diag)
{
    TRY(log_status(log, diag));
    TRY(topic_name_check(name, diag));
    if (partitions < 1 || partitions > PARTITION_LIMIT)
        return diag_set(diag, ERR_INVALID, "topic %s: 1 to %d partitions, not %d", name,
                        PARTITION_LIMIT, partitions);
    struct topic *topic = topic_new(log, name, partitions);
    if (topic == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a topic");
    int rc = config_set_merge(&topic->config, config, config_count, diag);
    if (rc == 0 && getrandom(topic->id.bytes, 16, 0) != 16)
        rc = diag_errno(diag, "cannot make an id for topic %s", name);
    if (rc == 0) {
        topic->created_ms = clock_wall_ms();
        topic_apply_config(topic);
        pthread_mutex_lock(&log->topics_mutex);
        rc = create_locked(log, topic, diag);
        pthread_mutex_unlock(&log->topics_mutex);
    }
    if (rc < 0)
        topic_free(topic);
    return rc;
}

int topic_alter(struct log *log, const char *name, const struct config_entry *config,
                size_t config_count, struct diag *diag)
{
    TRY(log_status(log, diag));
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    struct config_set merged = {0};
    int rc = topic == NULL ? topic_not_found(log, name, diag) : 0;
    if (rc == 0 && (rc = config_set_copy(&topic->config, &merged)) < 0)
        diag_set(diag, rc, "no memory for a topic's configuration");
    if (rc == 0)
        rc = config_set_merge(&merged, config, config_count, diag);
    if (rc == 0) {
        struct config_set before = topic->config;
        topic->config = merged;
        merged = before;
        rc = topic_write_record(topic, META_TOPIC_LIVE, diag);
        if (rc < 0) {
            merged = topic->config;
            topic->config = before;
        } else {
            topic_apply_config(topic);
        }
    }
    config_set_deinit(&merged);
    pthread_mutex_unlock(&log->topics_mutex);
    if (rc == 0)
        keeper_wake(log); /* what is kept may have changed */
    return rc;
}

/* ---- deletion ---- */

static void deleted_path(const struct partition *partition, char path[LOG_PATH_BYTES])
{
    char id[23];
    uuid_text(partition->topic->id, id);
    int length = snprintf(path, LOG_PATH_BYTES, "%s/topics/%s-%d" DELETED_SUFFIX,
                          partition->log->dir, id, partition->index);
    must(length > 0 && length < LOG_PATH_BYTES);
}

/* From here on handles answer ERR_NOT_FOUND, and nobody writes. */
static void mark_deleted(struct topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct partition *partition = topic->partitions[i];
        pthread_mutex_lock(&partition->snapshot_mutex); /* none is being written after this */
        pthread_mutex_lock(&partition->mutex);
        atomic_store(&partition->deleted, true);
        partition->active = NULL;
        pthread_mutex_unlock(&partition->mutex);
        pthread_mutex_unlock(&partition->snapshot_mutex);
    }
}

/* Closes the files, so that their space is free once they are removed. Readers that are inside keep
 * theirs. */
static void drop_segments(struct partition *partition)
{
    pthread_mutex_lock(&partition->list_mutex);
    struct segment **segments = partition->segments;
    int32_t count = partition->segment_count;
    partition->segments = NULL;
    partition->segment_count = partition->segment_capacity = 0;
    memset(partition->hints, 0, sizeof partition->hints);
    pthread_mutex_unlock(&partition->list_mutex);
    for (int32_t i = 0; i < count; i++)
        segment_release(segments[i]);
    free(segments);
}

static int rename_directories(struct topic *topic, struct diag *diag)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    for (int32_t i = 0; i < topic->partition_count; i++) {
        partition_directory(topic->partitions[i], from);
        deleted_path(topic->partitions[i], to);
        struct stat info;
        if (stat(from, &info) != 0 && errno == ENOENT)
            continue; /* a deletion that a crash interrupted got this far */
        int rc = io_rename(from, to, diag);
        if (rc == ERR_FULL && reserve_release(topic->log)) /* a longer name in a full directory */
            rc = io_rename(from, to, diag);
        TRY(rc);
        crash_point("topic.delete.renamed");
    }
    topics_directory(topic->log, from);
    return io_fsync_dir(from, diag);
}

struct collect_keys {
    struct meta_batch *batch;
    enum meta_table table;
};

static int collect_key(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct collect_keys *collect = context;
    (void)value;
    (void)diag;
    meta_delete(collect->batch, collect->table, key);
    return 0;
}

/* Everything that meta knows about the topic, in one transaction. */
static int remove_records(struct topic *topic, struct diag *diag)
{
    static const enum meta_table tables[] = {META_PARTITIONS, META_STARTS,  META_SEGMENTS,
                                             META_ABORTED,    META_CLEANED, META_TRUNCATIONS};
    struct log *log = topic->log;
    struct meta_batch batch;
    meta_batch_init(&batch);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++) {
        struct collect_keys collect = {&batch, tables[i]};
        rc = meta_scan(log->meta, tables[i], bytes_of(topic->id.bytes, 16), collect_key, &collect,
                       diag);
    }
    if (rc == 0)
        rc = group_collect_topic_deletes(log, &topic->id, &batch, diag);
    if (rc == 0) {
        meta_delete_topic(&batch, topic->name);
        rc = log_meta_apply_cleanup(log, &batch, diag);
    }
    meta_batch_deinit(&batch);
    return rc;
}

static void remove_directories(struct topic *topic)
{
    char path[LOG_PATH_BYTES];
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct diag diag;
        deleted_path(topic->partitions[i], path);
        if (io_remove_tree(path, &diag) < 0)
            log_line('W', "%s; log_open will try again", diag.text);
        crash_point("topic.delete.removed");
    }
}

static int delete_locked(struct log *log, struct topic *topic, struct diag *diag)
{
    crash_point("topic.delete.begin");
    TRY(topic_write_record(topic, META_TOPIC_DELETING, diag));
    crash_point("topic.delete.recorded");
    mark_deleted(topic);
    table_remove(log, topic);
    topic->next_deleted = log->deleted_topics;
    log->deleted_topics = topic;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        /* A purge that began before is let end: it removes files by their names, and the next topic
         * may have the same. */
        pthread_mutex_lock(&topic->partitions[i]->purge_mutex);
        drop_segments(topic->partitions[i]);
        pthread_mutex_unlock(&topic->partitions[i]->purge_mutex);
    }
    TRY(rename_directories(topic, diag));
    return remove_records(topic, diag);
}

int topic_delete(struct log *log, const char *name, struct diag *diag)
{
    TRY(log_status(log, diag));
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    int rc = topic == NULL ? topic_not_found(log, name, diag) : delete_locked(log, topic, diag);
    pthread_mutex_unlock(&log->topics_mutex);
    if (rc == 0)
        remove_directories(topic);
    /* Whoever waits for the topic's offsets is told. */
    pthread_mutex_lock(&log->flusher.mutex);
    pthread_cond_broadcast(&log->flusher.progress);
    pthread_mutex_unlock(&log->flusher.mutex);
    return rc;
}

/* ---- asking ---- */

static void fill_info(const struct topic *topic, struct topic_info *info)
{
    memset(info, 0, sizeof *info);
    memcpy(info->name, topic->name, sizeof info->name);
    info->id = topic->id;
    info->partitions = topic->partition_count;
    info->internal = atomic_load(&topic->internal);
}

int topic_describe(struct log *log, const char *name, struct topic_info *info, struct diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    if (topic == NULL)
        rc = topic_not_found(log, name, diag);
    else if (info != NULL)
        fill_info(topic, info);
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}

int topic_describe_id(struct log *log, struct uuid id, struct topic_info *info, struct diag *diag)
{
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find_id(log, &id);
    if (topic != NULL)
        fill_info(topic, info);
    pthread_mutex_unlock(&log->topics_mutex);
    return topic != NULL ? 0 : diag_set(diag, ERR_NOT_FOUND, "no topic has this id");
}

int topic_list(struct log *log, struct topic_info **topics, size_t *count)
{
    pthread_mutex_lock(&log->topics_mutex);
    *count = log->topic_count;
    *topics = malloc((log->topic_count + 1) * sizeof **topics);
    for (size_t i = 0; *topics != NULL && i < log->topic_count; i++)
        fill_info(log->topics[i], &(*topics)[i]);
    pthread_mutex_unlock(&log->topics_mutex);
    return *topics != NULL ? 0 : ERR_NOMEM;
}

int topic_config_get(struct log *log, const char *name, const char *key, char *value,
                     size_t value_size)
{
    bool is_set;
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    int rc = topic == NULL
                 ? ERR_NOT_FOUND
                 : config_text(&topic->config, &log->options, key, value, value_size, &is_set);
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}

int topic_config_each(struct log *log, const char *name,
                      void (*fn)(void *context, const char *key, const char *value, bool is_set),
                      void *context)
{
    struct config_set copy = {0};
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    int rc = topic == NULL ? ERR_NOT_FOUND : config_set_copy(&topic->config, &copy);
    pthread_mutex_unlock(&log->topics_mutex);
    const struct config_key *key;
    for (size_t i = 0; rc == 0 && (key = config_key_at(i)) != NULL; i++) {
        char value[8192];
        bool is_set;
        if (config_text(&copy, &log->options, key->name, value, sizeof value, &is_set) == 0)
            fn(context, key->name, value, is_set);
    }
    config_set_deinit(&copy);
    return rc;
}

/* ---- loading ---- */

static int load_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct log *log = context;
    struct meta_topic record;
    char name[250];
    TRY(meta_read_topic(key, value, name, &record));
    if (topic_name_check(name, NULL) < 0 || record.partitions > PARTITION_LIMIT)
        return ERR_CORRUPT;
    struct topic *topic = topic_new(log, name, record.partitions);
    if (topic == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for topic %s", name);
    topic->id = record.id;
    topic->created_ms = record.created_ms;
    int rc = config_set_decode(record.config, record.config_count, &topic->config);
    if (rc < 0) {
        topic_free(topic);
        return rc;
    }
    topic_apply_config(topic);
    if (record.state == META_TOPIC_DELETING) {
        topic->next_deleted = log->deleted_topics;
        log->deleted_topics = topic;
        return 0;
    }
    rc = table_insert(log, topic);
    if (rc < 0) {
        topic_free(topic);
        return diag_set(diag, rc, "no memory for topic %s", name);
    }
    return 0;
}

static int finish_deletions(struct log *log, struct diag *diag)
{
    if (log->read_only)
        return 0; /* they are in no list */
    while (log->deleted_topics != NULL) {
        struct topic *topic = log->deleted_topics;
        int rc = rename_directories(topic, diag);
        if (rc == 0)
            rc = remove_records(topic, diag);
        TRY(rc);
        log->deleted_topics = topic->next_deleted;
        topic_free(topic);
    }
    return 0;
}

/* Whether a directory's name is <topic>-<partition> of a topic that exists. */
static bool belongs(struct log *log, const char *entry)
{
    const char *dash = strrchr(entry, '-');
    char name[250], again[300];
    if (dash == NULL || (size_t)(dash - entry) >= sizeof name)
        return false;
    memcpy(name, entry, (size_t)(dash - entry));
    name[dash - entry] = '\0';
    struct topic *topic = topic_find(log, name);
    long index = strtol(dash + 1, NULL, 10);
    snprintf(again, sizeof again, "%s-%ld", name, index);
    return topic != NULL && index >= 0 && index < topic->partition_count &&
           strcmp(again, entry) == 0;
}

static int sweep_directory(struct log *log, struct diag *diag)
{
    char directory[LOG_PATH_BYTES], path[LOG_PATH_BYTES];
    topics_directory(log, directory);
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return diag_errno(diag, "cannot read %s", directory);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        size_t length = strlen(entry->d_name), suffix = strlen(DELETED_SUFFIX);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            belongs(log, entry->d_name))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= (int)sizeof path)
            continue;
        if (length > suffix && strcmp(entry->d_name + length - suffix, DELETED_SUFFIX) == 0)
            rc = log->read_only ? 0 : io_remove_tree(path, diag);
        else
            log_line('W', "%s belongs to no topic; it is left alone", path);
    }
    closedir(stream);
    return rc;
}

int topics_load(struct log *log, struct diag *diag)
{
    TRY(meta_scan(log->meta, META_TOPICS, bytes_of(NULL, 0), load_one, log, diag));
    TRY(finish_deletions(log, diag));
    return sweep_directory(log, diag);
}
