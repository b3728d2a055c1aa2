/* group.c: the committed offsets of consumer groups, and who may commit them.
 *
 * An offset is stored under group, topic id and partition, durably, in meta. It refers to the
 * topic's id: when a topic is deleted its offsets go with it, and a new topic of the same name
 * starts without any. group_commit writes at once; txn_add_offsets adds the same puts to the
 * decision of a transaction.
 *
 * Offsets are not checked against the partition: a group may commit what it likes, as in Kafka. Who
 * commits is checked: a member of the group's current generation, or anybody while the group has no
 * members. coordinator_commit_begin and _end around the write keep the next generation from
 * beginning in between. Writers stand one behind the other (groups_mutex), as they would before
 * LMDB, so that what expires is not what is being committed.
 *
 * Beside its offsets a group has a record: its generation and since when it is empty. The
 * coordinator says when it changed, groups_store writes it, groups_load brings it back. */
#include "log/group.h"
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <stdlib.h>
#include <string.h>

int group_name_check(const char *group, struct diag *diag)
{
    size_t length = group != NULL ? strlen(group) : 0;
    if (length == 0 || length > META_GROUP_BYTES)
        return diag_set(diag, ERR_INVALID, "a group's name has 1 to %d bytes, not %zu",
                        META_GROUP_BYTES, length);
    return 0;
}

struct coordinator *log_coordinator(struct log *log)
{
    return log->coordinator;
}

static int find_place(struct log *log, const char *name, int32_t partition,
                      struct meta_place *place, struct diag *diag)
{
    int rc = 0;
    pthread_mutex_lock(&log->topics_mutex);
    struct topic *topic = topic_find(log, name);
    if (topic == NULL)
        rc = topic_not_found(log, name, diag);
    else if (partition < 0 || partition >= topic->partition_count)
        rc = diag_set(diag, ERR_NOT_FOUND, "topic %s has partitions 0 to %d, not %d", name,
                      topic->partition_count - 1, partition);
    else
        *place = (struct meta_place){topic->id, partition};
    pthread_mutex_unlock(&log->topics_mutex);
    return rc;
}

int group_collect(struct log *log, const char *group, const struct group_offset *offsets,
                  size_t count, struct meta_batch *batch, struct diag *diag)
{
    TRY(group_name_check(group, diag));
    for (size_t i = 0; i < count; i++) {
        struct meta_place place;
        TRY(find_place(log, offsets[i].topic, offsets[i].partition, &place, diag));
        if (offsets[i].metadata.size > GROUP_METADATA_BYTES)
            return diag_set(diag, ERR_TOO_LARGE,
                            "group %s: metadata of %s-%d has %zu bytes; the limit is %d", group,
                            offsets[i].topic, offsets[i].partition, offsets[i].metadata.size,
                            GROUP_METADATA_BYTES);
        if (offsets[i].offset < 0)
            return diag_set(diag, ERR_INVALID, "group %s: offset %lld of %s-%d is negative", group,
                            (long long)offsets[i].offset, offsets[i].topic, offsets[i].partition);
        struct meta_offset offset = {offsets[i].offset,
                                     offsets[i].commit_time_ms != 0 ? offsets[i].commit_time_ms
                                                                    : clock_wall_ms(),
                                     offsets[i].metadata, offsets[i].of_app};
        meta_put_offset(batch, group, &place, &offset);
    }
    return buf_ok(&batch->operations) ? 0
                                      : diag_set(diag, ERR_NOMEM, "no memory for group offsets");
}

static int refused(const char *group, enum group_error error, struct diag *diag)
{
    int code = group_error_code(error);
    if (code == 0)
        return 0;
    return diag_set(
        diag, code, "group %s refuses the offsets: %s", group,
        error == GROUP_UNKNOWN_MEMBER_ID
            ? "the committer is no member of it (a group with members takes only theirs)"
            : group_error_text(error));
}

int group_commit_member(struct log *log, const char *group, const struct group_member *member,
                        const struct group_offset *offsets, size_t count, struct diag *diag)
{
    struct meta_batch batch;
    TRY(log_status(log, diag));
    meta_batch_init(&batch);
    int rc = group_collect(log, group, offsets, count, &batch, diag);
    if (rc == 0)
        rc = refused(group, coordinator_commit_begin(log->coordinator, group, member), diag);
    if (rc == 0) {
        crash_point("group.commit.before");
        pthread_mutex_lock(&log->groups_mutex);
        rc = log_meta_apply(log, &batch, diag);
        pthread_mutex_unlock(&log->groups_mutex);
        crash_point("group.commit.done");
        coordinator_commit_end(log->coordinator, group);
    }
    meta_batch_deinit(&batch);
    return rc;
}

int group_commit(struct log *log, const char *group, const struct group_offset *offsets,
                 size_t count, struct diag *diag)
{
    return group_commit_member(log, group, NULL, offsets, count, diag);
}

int txn_add_offsets_member(struct producer *producer, const char *group,
                           const struct group_member *member, const struct group_offset *offsets,
                           size_t count, struct diag *diag)
{
    struct coordinator *coordinator = producer->log->coordinator;
    if (member == NULL || (member->generation < 0 && member->member_id[0] == '\0'))
        return txn_add_offsets(producer, group, offsets, count, diag);
    TRY(group_name_check(group, diag));
    TRY(refused(group, coordinator_txn_commit_begin(coordinator, group, member), diag));
    int rc = txn_add_offsets(producer, group, offsets, count, diag);
    coordinator_commit_end(coordinator, group);
    return rc;
}

static bool is_added(struct producer *producer, struct bytes key)
{
    pthread_mutex_lock(&producer->mutex);
    bool added =
        producer->state != TXN_NONE && meta_batch_names(&producer->offsets, META_OFFSETS, key);
    pthread_mutex_unlock(&producer->mutex);
    return added;
}

int group_offset_pending(struct log *log, const char *group, const char *topic, int32_t partition)
{
    struct meta_place place;
    struct buf key = {0};
    bool pending = false;
    TRY(find_place(log, topic, partition, &place, NULL));
    if (atomic_load(&log->offset_producers) == 0)
        return 0;
    meta_encode_offset_key(&key, group, &place);
    int rc = buf_ok(&key) ? 0 : ERR_NOMEM;
    pthread_mutex_lock(&log->producers_mutex);
    for (struct producer *p = log->producers; rc == 0 && p != NULL && !pending; p = p->next)
        pending = is_added(p, bytes_of(key.data, key.size));
    pthread_mutex_unlock(&log->producers_mutex);
    buf_deinit(&key);
    return rc < 0 ? rc : pending;
}

int group_standalone(struct log *log, const char *group,
                     int (*fn)(void *context, struct diag *diag), void *context, struct diag *diag)
{
    TRY(log_status(log, diag));
    TRY(group_name_check(group, diag));
    enum group_error error = coordinator_commit_begin(log->coordinator, group, NULL);
    if (error != GROUP_OK)
        return diag_set(diag, error == GROUP_UNKNOWN_MEMBER_ID ? ERR_BUSY : group_error_code(error),
                        "group %s has members: stop them first", group);
    pthread_mutex_lock(&log->groups_mutex);
    int rc = fn(context, diag);
    pthread_mutex_unlock(&log->groups_mutex);
    coordinator_commit_end(log->coordinator, group);
    return rc;
}

/* ---- the group's record ---- */

static void copy_text(char out[256], struct bytes text)
{
    size_t size = text.size < 255 ? text.size : 255;
    memcpy(out, text.data, size);
    out[size] = '\0';
}

int groups_load(void *context, const char *group, struct group_stored *stored)
{
    struct log *log = context;
    struct meta_group record;
    struct buf value = {0};
    int rc = group_name_check(group, NULL) < 0
                 ? ERR_NOT_FOUND
                 : meta_get(log->meta, META_GROUPS, bytes_text(group), &value, NULL);
    if (rc == 0)
        rc = meta_read_group(bytes_of(value.data, value.size), &record);
    if (rc == 0) {
        stored->generation = record.generation;
        stored->empty_since_ms = record.empty_since_ms;
        copy_text(stored->protocol_type, record.protocol_type);
        copy_text(stored->protocol, record.assignor);
    }
    buf_deinit(&value);
    return rc;
}

struct changes {
    struct meta_batch batch;
    struct buf names; /* each with its zero byte */
};

static struct bytes at_most_255(const char *text)
{
    return bytes_of(text, strnlen(text, 255));
}

static int put_change(void *context, const struct group_view *view)
{
    struct changes *changes = context;
    struct meta_group record = {view->generation, view->empty_since_ms,
                                at_most_255(view->protocol_type), at_most_255(view->protocol)};
    if (group_name_check(view->name, NULL) < 0)
        return 0; /* no offset can be committed under such a name either */
    meta_put_group(&changes->batch, view->name, &record);
    buf_append(&changes->names, view->name, strlen(view->name) + 1);
    return buf_ok(&changes->names) && buf_ok(&changes->batch.operations) ? 0 : ERR_NOMEM;
}

int groups_store(struct log *log, struct diag *diag)
{
    struct changes changes = {0};
    if (!coordinator_has_changes(log->coordinator))
        return 0;
    pthread_mutex_lock(&log->groups_mutex);
    meta_batch_init(&changes.batch);
    int rc = coordinator_take_changes(log->coordinator, put_change, &changes);
    if (changes.batch.count > 0) {
        int applied = log_meta_apply(log, &changes.batch, diag);
        const char *name = (const char *)changes.names.data;
        for (size_t left = changes.names.size; left > 0;) {
            size_t size = strlen(name) + 1;
            coordinator_settle(log->coordinator, name, applied == 0);
            name += size;
            left -= size;
        }
        rc = applied < 0 ? applied : rc;
    }
    pthread_mutex_unlock(&log->groups_mutex);
    meta_batch_deinit(&changes.batch);
    buf_deinit(&changes.names);
    return rc;
}

/* ---- reading ---- */

static void fill_offset(struct group_offset *out, const char *topic, int32_t partition,
                        const struct meta_offset *offset)
{
    memset(out, 0, sizeof *out);
    memcpy(out->topic, topic, strnlen(topic, sizeof out->topic - 1));
    out->partition = partition;
    out->offset = offset->offset;
    out->commit_time_ms = offset->commit_time_ms;
    out->of_app = offset->of_app;
    out->metadata = offset->metadata;
}

int group_fetch_metadata(struct log *log, const char *group, const char *topic, int32_t partition,
                         struct group_offset *out, struct buf *metadata)
{
    struct meta_place place;
    struct meta_offset offset = {.offset = -1};
    struct buf key, value;
    buf_clear(metadata);
    fill_offset(out, topic, partition, &offset);
    TRY(group_name_check(group, NULL));
    TRY(find_place(log, topic, partition, &place, NULL));
    buf_init(&key, 0);
    buf_init(&value, 0);
    meta_encode_offset_key(&key, group, &place);
    int rc = buf_ok(&key)
                 ? meta_get(log->meta, META_OFFSETS, bytes_of(key.data, key.size), &value, NULL)
                 : ERR_NOMEM;
    if (rc == 0)
        rc = meta_read_offset(bytes_of(value.data, value.size), &offset);
    if (rc == 0 && offset.metadata.size > 0) {
        buf_append_bytes(metadata, offset.metadata);
        rc = buf_ok(metadata) ? 0 : ERR_NOMEM;
    }
    if (rc == 0) {
        offset.metadata =
            offset.metadata.size > 0 ? bytes_of(metadata->data, metadata->size) : bytes_of(NULL, 0);
        fill_offset(out, topic, partition, &offset);
    }
    buf_deinit(&key);
    buf_deinit(&value);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int group_fetch(struct log *log, const char *group, const char *topic, int32_t partition,
                struct group_offset *out)
{
    struct buf metadata = {0};
    int rc = group_fetch_metadata(log, group, topic, partition, out, &metadata);
    out->metadata = bytes_of(NULL, 0);
    buf_deinit(&metadata);
    return rc;
}

/* ---- a whole group ---- */

struct describe {
    struct buf entries; /* struct stored_offset each */
    struct buf texts;   /* their metadata, one after the other */
};
struct stored_offset {
    struct meta_place place;
    struct meta_offset offset; /* metadata: only the size */
    size_t text;               /* where the metadata begins in texts */
};

static int describe_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct describe *describe = context;
    struct stored_offset stored = {.text = describe->texts.size};
    struct bytes group;
    (void)diag;
    TRY(meta_read_offset_key(key, &group, &stored.place));
    TRY(meta_read_offset(value, &stored.offset));
    buf_append_bytes(&describe->texts, stored.offset.metadata);
    stored.offset.metadata.data = NULL;
    buf_append(&describe->entries, &stored, sizeof stored);
    return buf_ok(&describe->entries) && buf_ok(&describe->texts) ? 0 : ERR_NOMEM;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct group_offset *left = a, *right = b;
    int order = strcmp(left->topic, right->topic);
    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

const struct group_offset *group_offsets_find(const struct group_offset *offsets, size_t count,
                                              const char *topic, int32_t partition)
{
    struct group_offset key = {.partition = partition};
    memcpy(key.topic, topic, strnlen(topic, sizeof key.topic - 1));
    return count > 0 ? bsearch(&key, offsets, count, sizeof key, compare_offsets) : NULL;
}

/* Topics by name; offsets of topics that are gone are left out. texts: the metadata's copy. */
static size_t resolve(struct log *log, const struct describe *describe, struct group_offset *out,
                      const uint8_t *texts)
{
    size_t count = 0, stored_count = describe->entries.size / sizeof(struct stored_offset);
    pthread_mutex_lock(&log->topics_mutex);
    for (size_t i = 0; i < stored_count; i++) {
        struct stored_offset stored;
        memcpy(&stored, describe->entries.data + i * sizeof stored, sizeof stored);
        struct topic *topic = topic_find_id(log, &stored.place.topic);
        if (topic == NULL)
            continue;
        if (stored.offset.metadata.size > 0)
            stored.offset.metadata.data = texts + stored.text;
        fill_offset(&out[count++], topic->name, stored.place.partition, &stored.offset);
    }
    pthread_mutex_unlock(&log->topics_mutex);
    return count;
}

/* Group and the zero byte after it, so that no longer name matches. */
static struct bytes group_prefix(const char *group)
{
    return bytes_of(group, strlen(group) + 1);
}

int group_describe(struct log *log, const char *group, struct group_offset **offsets, size_t *count)
{
    struct describe describe = {0};
    *offsets = NULL;
    *count = 0;
    TRY(group_name_check(group, NULL));
    int rc = meta_scan(log->meta, META_OFFSETS, group_prefix(group), describe_one, &describe, NULL);
    size_t stored_count = describe.entries.size / sizeof(struct stored_offset);
    if (rc == 0 && stored_count > 0) {
        *offsets = malloc(stored_count * sizeof **offsets + describe.texts.size);
        if (*offsets == NULL) {
            rc = ERR_NOMEM;
        } else {
            uint8_t *texts = (uint8_t *)(*offsets + stored_count);
            if (describe.texts.size > 0)
                memcpy(texts, describe.texts.data, describe.texts.size);
            *count = resolve(log, &describe, *offsets, texts);
        }
    }
    buf_deinit(&describe.entries);
    buf_deinit(&describe.texts);
    if (rc == 0 && *count == 0) {
        free(*offsets);
        *offsets = NULL;
        return ERR_NOT_FOUND;
    }
    if (rc == 0)
        qsort(*offsets, *count, sizeof **offsets, compare_offsets);
    return rc;
}

/* ---- names ---- */

struct name_list {
    struct buf texts; /* each with its zero byte */
    size_t count;
    size_t last; /* where the last name begins */
};

static int list_name(struct name_list *list, struct bytes group)
{
    if (list->count > 0 && strlen((const char *)list->texts.data + list->last) == group.size &&
        memcmp(list->texts.data + list->last, group.data, group.size) == 0)
        return 0;
    list->last = list->texts.size;
    buf_append_bytes(&list->texts, group);
    buf_u8(&list->texts, 0);
    list->count++;
    return buf_ok(&list->texts) ? 0 : ERR_NOMEM;
}

static int list_offset(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct meta_place place;
    struct bytes group;
    (void)value;
    (void)diag;
    TRY(meta_read_offset_key(key, &group, &place));
    return list_name(context, group);
}

static int list_live(void *context, const struct group_view *view)
{
    return view->member_count > 0 ? list_name(context, bytes_text(view->name)) : 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once. */
static size_t sort_names(char **names, size_t count)
{
    size_t kept = 0;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    names[kept] = NULL;
    return kept;
}

int group_list(struct log *log, char ***groups, size_t *count)
{
    struct name_list list = {0};
    *groups = NULL;
    *count = 0;
    int rc = meta_scan(log->meta, META_OFFSETS, bytes_of(NULL, 0), list_offset, &list, NULL);
    if (rc == 0)
        rc = coordinator_view_all(log->coordinator, list_live, &list);
    if (rc == 0) {
        char **pointers = malloc((list.count + 1) * sizeof *pointers + list.texts.size);
        if (pointers == NULL)
            rc = ERR_NOMEM;
        else {
            char *text = (char *)(pointers + list.count + 1);
            if (list.texts.size > 0)
                memcpy(text, list.texts.data, list.texts.size);
            for (size_t i = 0; i < list.count; i++, text += strlen(text) + 1)
                pointers[i] = text;
            *count = sort_names(pointers, list.count);
            *groups = pointers;
        }
    }
    buf_deinit(&list.texts);
    return rc;
}

/* ---- deletion ---- */

struct delete_scan {
    struct meta_batch *batch;
    const struct uuid *topic; /* NULL: all */
};

static int delete_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct delete_scan *scan = context;
    struct meta_place place;
    struct bytes group;
    (void)value;
    (void)diag;
    TRY(meta_read_offset_key(key, &group, &place));
    if (scan->topic == NULL || memcmp(scan->topic, &place.topic, sizeof place.topic) == 0)
        meta_delete(scan->batch, META_OFFSETS, key);
    return 0;
}

int group_collect_topic_deletes(struct log *log, const struct uuid *topic, struct meta_batch *batch,
                                struct diag *diag)
{
    struct delete_scan scan = {batch, topic};
    return meta_scan(log->meta, META_OFFSETS, bytes_of(NULL, 0), delete_one, &scan, diag);
}

struct deletion {
    struct log *log;
    const char *group;
};

static int delete_group(void *context, struct diag *diag)
{
    const struct deletion *deletion = context;
    struct log *log = deletion->log;
    struct meta_batch batch;
    struct delete_scan scan = {&batch, NULL};
    struct group_stored stored;
    meta_batch_init(&batch);
    int rc =
        meta_scan(log->meta, META_OFFSETS, group_prefix(deletion->group), delete_one, &scan, diag);
    bool known = batch.count > 0 || groups_load(log, deletion->group, &stored) == 0;
    if (rc == 0 && !known)
        rc = diag_set(diag, ERR_NOT_FOUND, "there is no group %s", deletion->group);
    if (rc == 0) {
        meta_delete_group(&batch, deletion->group);
        rc = log_meta_apply_cleanup(log, &batch, diag);
    }
    meta_batch_deinit(&batch);
    return rc;
}

int group_delete(struct log *log, const char *group, struct diag *diag)
{
    struct deletion deletion = {log, group};
    groups_store(log, NULL);
    TRY(group_standalone(log, group, delete_group, &deletion, diag));
    coordinator_delete(log->coordinator, group); /* unless somebody has joined it since */
    return 0;
}
