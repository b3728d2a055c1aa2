/* group_reset.c: offsets that somebody else than a member sets or removes: reset, delete, expiry.
 *
 * A reset is worked out for all its partitions and then written as one; a dry run is the same without the
 * write. What was asked for and what becomes of it are both in the rows: an offset outside what exists becomes the
 * nearer end.
 *
 * Expiry: an offset is forgotten offsets_retention_ms after its group became empty, or after it was
 * committed if that was later, or if the group never had members. Those of a weir app stay: an app that
 * stands still for a month goes on where it was. A group that had members when its process died counts
 * as empty from the first pass that finds it so. A group is first looked over without any lock; what is due is read
 * again under groups_mutex, which whoever commits takes too, so that nothing goes that has just been committed
 * anew. */
#include "log/consumer_protocol.h"
#include "log/group.h"
#include "log/log_internal.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reset ---- */

struct resetting {
    struct log *log;
    const char *group;
    const struct group_reset *reset;
    struct group_offset *offsets; /* as they are */
    size_t offset_count;
    bool of_app;
    struct group_reset_row *rows;
    size_t row_count, row_capacity;
};

static int64_t shifted(int64_t offset, int64_t by)
{
    int64_t sum;
    return __builtin_add_overflow(offset, by, &sum) ? (by > 0 ? INT64_MAX : INT64_MIN) : sum;
}

int group_reset_place(const char *group, const struct group_reset *reset, int64_t start,
                      int64_t end, int64_t found, struct group_reset_row *row, struct diag *diag)
{
    switch (reset->to) {
    case GROUP_RESET_EARLIEST:
        row->wanted_offset = start;
        break;
    case GROUP_RESET_LATEST:
        row->wanted_offset = end;
        break;
    case GROUP_RESET_OFFSET:
        row->wanted_offset = reset->number;
        break;
    case GROUP_RESET_TIME:
        row->wanted_offset = found >= 0 ? found : end;
        break;
    case GROUP_RESET_SHIFT:
        if (row->old_offset < 0)
            return diag_set(diag, ERR_STATE,
                            "group %s has no offset of %s-%d that could be shifted: name a "
                            "partition, or an offset to go to",
                            group, row->topic, (int)row->partition);
        row->wanted_offset = shifted(row->old_offset, reset->number);
        break;
    }
    row->new_offset = row->wanted_offset;
    if (row->new_offset > end)
        row->new_offset = end;
    if (row->new_offset < start)
        row->new_offset = start;
    return 0;
}

static int work_out(struct resetting *r, struct partition *partition, struct group_reset_row *row,
                    struct diag *diag)
{
    struct partition_offsets offsets;
    int64_t found = -1, found_ms;
    partition_offsets(partition, &offsets);
    if (r->reset->to == GROUP_RESET_TIME)
        TRY(partition_find_time(partition, r->reset->number, &found, &found_ms, diag));
    return group_reset_place(r->group, r->reset, offsets.start, offsets.high_watermark, found, row,
                             diag);
}

static int reset_partition(struct resetting *r, const char *topic, int32_t index, struct diag *diag)
{
    struct partition *partition;
    TRY(partition_get(r->log, topic, index, &partition, diag));
    if (r->row_count == r->row_capacity) {
        size_t capacity = r->row_capacity == 0 ? 16 : r->row_capacity * 2;
        struct group_reset_row *rows = realloc(r->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for %zu partitions", capacity);
        r->rows = rows;
        r->row_capacity = capacity;
    }
    struct group_reset_row *row = &r->rows[r->row_count++];
    const struct group_offset *old = group_offsets_find(r->offsets, r->offset_count, topic, index);
    *row =
        (struct group_reset_row){.partition = index, .old_offset = old != NULL ? old->offset : -1};
    snprintf(row->topic, sizeof row->topic, "%s", topic);
    return work_out(r, partition, row, diag);
}

static int reset_topic(struct resetting *r, const char *topic, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(r->log, topic, &info, diag));
    if (r->reset->partition >= info.partitions)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d", topic,
                        info.partitions - 1, r->reset->partition);
    for (int32_t p = 0; p < info.partitions; p++)
        if (r->reset->partition < 0 || r->reset->partition == p)
            TRY(reset_partition(r, topic, p, diag));
    return 0;
}

static int reset_rows(struct resetting *r, struct diag *diag)
{
    int rc = group_describe(r->log, r->group, &r->offsets, &r->offset_count);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return diag_set(diag, rc, "cannot read group %s: %s", r->group, error_text(rc));
    for (size_t i = 0; i < r->offset_count; i++)
        r->of_app |= r->offsets[i].of_app;
    if (r->reset->topic != NULL)
        return reset_topic(r, r->reset->topic, diag);
    if (r->offset_count == 0)
        return diag_set(diag, ERR_NOT_FOUND, "group %s has no offsets", r->group);
    for (size_t i = 0; i < r->offset_count; i++)
        if (i == 0 || strcmp(r->offsets[i].topic, r->offsets[i - 1].topic) != 0)
            TRY(reset_topic(r, r->offsets[i].topic, diag));
    return 0;
}

static int write_rows(const struct resetting *r, struct diag *diag)
{
    struct group_offset *offsets = calloc(r->row_count + 1, sizeof *offsets);
    struct meta_batch batch;
    meta_batch_init(&batch);
    int rc = offsets != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for offsets");
    for (size_t i = 0; rc == 0 && i < r->row_count; i++) {
        memcpy(offsets[i].topic, r->rows[i].topic, sizeof offsets[i].topic);
        offsets[i].partition = r->rows[i].partition;
        offsets[i].offset = r->rows[i].new_offset;
        offsets[i].of_app = r->of_app;
    }
    if (rc == 0)
        rc = group_collect(r->log, r->group, offsets, r->row_count, &batch, diag);
    if (rc == 0)
        rc = log_meta_apply(r->log, &batch, diag);
    meta_batch_deinit(&batch);
    free(offsets);
    return rc;
}

static int reset_and_write(void *context, struct diag *diag)
{
    struct resetting *r = context;
    TRY(reset_rows(r, diag));
    return write_rows(r, diag);
}

static int reset_dry(struct resetting *r, struct diag *diag)
{
    TRY(group_name_check(r->group, diag));
    if (coordinator_has_members(r->log->coordinator, r->group))
        return diag_set(diag, ERR_BUSY, "group %s has members: stop them first", r->group);
    return reset_rows(r, diag);
}

int group_reset_offsets(struct log *log, const char *group, const struct group_reset *reset,
                        struct group_reset_row **rows, size_t *count, struct diag *diag)
{
    struct resetting r = {.log = log, .group = group, .reset = reset};
    *rows = NULL;
    *count = 0;
    int rc = reset->execute ? group_standalone(log, group, reset_and_write, &r, diag)
                            : reset_dry(&r, diag);
    free(r.offsets);
    if (rc < 0) {
        free(r.rows);
        return rc;
    }
    *rows = r.rows;
    *count = r.row_count;
    return 0;
}

/* ---- offsets of a topic ---- */

static bool subscribes_to(const struct member_view *member, const char *topic)
{
    struct subscription subscription;
    bool found = false;
    if (subscription_decode(member->metadata, &subscription) < 0)
        return true; /* who knows what it reads */
    for (size_t i = 0; i < subscription.topic_count; i++)
        found |= bytes_equal(subscription.topics[i], bytes_text(topic));
    subscription_deinit(&subscription);
    return found;
}

static int check_unread(void *context, const struct group_view *view)
{
    for (size_t i = 0; i < view->member_count; i++)
        if (subscribes_to(&view->members[i], context))
            return ERR_BUSY;
    return 0;
}

static int collect_deletes(struct log *log, const char *group, const char *topic, int32_t partition,
                           struct meta_batch *batch, struct diag *diag)
{
    struct group_offset *offsets;
    size_t count;
    struct topic_info info;
    TRY(topic_describe(log, topic, &info, diag));
    int rc = group_describe(log, group, &offsets, &count);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        struct meta_place place = {info.id, offsets[i].partition};
        if (strcmp(offsets[i].topic, topic) == 0 &&
            (partition < 0 || partition == offsets[i].partition))
            meta_delete_offset(batch, group, &place);
    }
    free(offsets);
    return batch->count > 0 ? 0 : ERR_NOT_FOUND;
}

int group_delete_offsets(struct log *log, const char *group, const char *topic, int32_t partition,
                         struct diag *diag)
{
    struct meta_batch batch;
    TRY(log_status(log, diag));
    TRY(group_name_check(group, diag));
    TRY(topic_describe(log, topic, NULL, diag));
    int rc = coordinator_view(log->coordinator, group, check_unread, (void *)(uintptr_t)topic);
    if (rc == ERR_BUSY)
        return diag_set(diag, rc, "a member of group %s reads topic %s: stop it first", group,
                        topic);
    meta_batch_init(&batch);
    pthread_mutex_lock(&log->groups_mutex);
    rc = collect_deletes(log, group, topic, partition, &batch, diag);
    if (rc == ERR_NOT_FOUND)
        diag_set(diag, rc, "group %s has no offsets of topic %s", group, topic);
    if (rc == 0)
        rc = log_meta_apply_cleanup(log, &batch, diag);
    pthread_mutex_unlock(&log->groups_mutex);
    meta_batch_deinit(&batch);
    return rc;
}

/* ---- expiry ---- */

struct expiry {
    struct log *log;
    int64_t now_ms;
    struct buf names; /* groups to look at, each with its zero byte */
    size_t last;      /* where the last name begins */
    /* of the group that is looked at */
    const char *group;
    struct group_stored stored;
    bool is_stored;
    struct meta_batch batch;
    size_t kept, removed;
};

static void note_name(struct expiry *e, struct bytes group)
{
    const char *last = (const char *)e->names.data + e->last;
    if (e->names.size > 0 && strlen(last) == group.size &&
        memcmp(last, group.data, group.size) == 0)
        return;
    e->last = e->names.size;
    buf_append_bytes(&e->names, group);
    buf_u8(&e->names, 0);
}

static bool is_over(const struct expiry *e, int64_t since_ms)
{
    return since_ms <= e->now_ms - e->log->options.offsets_retention_ms;
}

/* Groups that have an offset old enough to go. */
static int find_old(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct expiry *e = context;
    struct meta_place place;
    struct meta_offset offset;
    struct bytes group;
    (void)diag;
    TRY(meta_read_offset_key(key, &group, &place));
    TRY(meta_read_offset(value, &offset));
    if (!offset.of_app && is_over(e, offset.commit_time_ms))
        note_name(e, group);
    return buf_ok(&e->names) ? 0 : ERR_NOMEM;
}

/* Groups whose record may go, or does not say since when they are empty. */
static int find_records(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct expiry *e = context;
    struct meta_group record;
    (void)diag;
    TRY(meta_read_group(value, &record));
    if (record.empty_since_ms < 0 || is_over(e, record.empty_since_ms))
        note_name(e, key);
    return buf_ok(&e->names) ? 0 : ERR_NOMEM;
}

static int expire_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct expiry *e = context;
    struct meta_offset offset;
    (void)diag;
    TRY(meta_read_offset(value, &offset));
    int64_t since = offset.commit_time_ms;
    if (e->is_stored && e->stored.empty_since_ms > since)
        since = e->stored.empty_since_ms;
    if (offset.of_app || !is_over(e, since)) {
        e->kept++;
        return 0;
    }
    meta_delete(&e->batch, META_OFFSETS, key);
    e->removed++;
    return 0;
}

/* It had members when its process ended: from now on it is empty. */
static void note_empty(struct expiry *e)
{
    struct meta_group record = {e->stored.generation, e->now_ms,
                                bytes_text(e->stored.protocol_type),
                                bytes_text(e->stored.protocol)};
    meta_put_group(&e->batch, e->group, &record);
}

/* Nobody is a member of the group, and nobody commits: group_standalone holds both off. */
static int expire_group(void *context, struct diag *diag)
{
    struct expiry *e = context;
    meta_batch_clear(&e->batch);
    e->kept = e->removed = 0;
    e->stored = (struct group_stored){0};
    e->is_stored = groups_load(e->log, e->group, &e->stored) == 0;
    if (e->is_stored && e->stored.empty_since_ms < 0) {
        note_empty(e);
        e->kept = 1;
    } else {
        struct bytes prefix = bytes_of(e->group, strlen(e->group) + 1);
        TRY(meta_scan(e->log->meta, META_OFFSETS, prefix, expire_one, e, diag));
        if (e->kept == 0 && e->is_stored && is_over(e, e->stored.empty_since_ms))
            meta_delete_group(&e->batch, e->group);
    }
    if (e->batch.count == 0)
        return 0;
    return log_meta_apply_cleanup(e->log, &e->batch, diag);
}

static int expire_names(struct expiry *e, size_t *removed, struct diag *diag)
{
    for (size_t at = 0; at < e->names.size; at += strlen(e->group) + 1) {
        e->group = (const char *)e->names.data + at;
        int rc = group_standalone(e->log, e->group, expire_group, e, diag);
        if (rc == ERR_BUSY)
            continue; /* it has members */
        TRY(rc);
        *removed += e->removed;
        coordinator_delete(e->log->coordinator,
                           e->group); /* what it holds in memory is read again */
        if (e->removed > 0)
            log_line('I', "group %s: %zu offsets expired", e->group, e->removed);
    }
    return 0;
}

int groups_expire(struct log *log, int64_t now_ms, size_t *removed, struct diag *diag)
{
    struct expiry e = {.log = log, .now_ms = now_ms};
    *removed = 0;
    TRY(log_status(log, diag));
    TRY(groups_store(log, diag));
    meta_batch_init(&e.batch);
    int rc = meta_scan(log->meta, META_OFFSETS, bytes_of(NULL, 0), find_old, &e, diag);
    if (rc == 0)
        rc = meta_scan(log->meta, META_GROUPS, bytes_of(NULL, 0), find_records, &e, diag);
    if (rc == 0)
        rc = expire_names(&e, removed, diag);
    meta_batch_deinit(&e.batch);
    buf_deinit(&e.names);
    return rc;
}
