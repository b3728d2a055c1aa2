/* group_lag.c: what a group is and how far behind it reads.
 *
 * Offsets come from meta, members from the coordinator, ends from the partitions: three looks one after the
 * other, so that a group at work is shown as it was at slightly different moments. A lag is never
 * negative: an offset that was committed after the end was looked at counts as the end.
 *
 * A result is one block of memory: rows, then the texts that they point to. While rows are collected
 * texts are known by where they begin, because the buffer that holds them moves as it grows. */
#include "log/consumer_protocol.h"
#include "log/group.h"
#include "log/log_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_TEXT SIZE_MAX

/* ---- members ---- */

struct owner { /* of a partition; texts by their place */
    char topic[250];
    int32_t partition;
    size_t member_id, client_id, host;
};
struct owners {
    struct buf list; /* struct owner each */
    struct buf texts;
};

static size_t put_text(struct buf *texts, const char *text)
{
    size_t at = texts->size;
    buf_append(texts, text, strlen(text) + 1);
    return at;
}

static int take_member(struct owners *owners, const struct member_view *view)
{
    struct member_assignment assignment;
    struct owner owner = {.member_id = put_text(&owners->texts, view->member_id),
                          .client_id = put_text(&owners->texts, view->client_id),
                          .host = put_text(&owners->texts, view->host)};
    int rc = member_assignment_decode(view->assignment, &assignment);
    if (rc == ERR_CORRUPT)
        return 0; /* nothing that we understand is assigned to it */
    TRY(rc);
    for (size_t i = 0; i < assignment.partition_count; i++) {
        struct bytes topic = assignment.partitions[i].topic;
        if (topic.size >= sizeof owner.topic)
            continue;
        memcpy(owner.topic, topic.data, topic.size);
        owner.topic[topic.size] = '\0';
        owner.partition = assignment.partitions[i].partition;
        buf_append(&owners->list, &owner, sizeof owner);
    }
    member_assignment_deinit(&assignment);
    return buf_ok(&owners->list) && buf_ok(&owners->texts) ? 0 : ERR_NOMEM;
}

/* 1: there are members. */
static int take_members(void *context, const struct group_view *view)
{
    bool readable = strcmp(view->protocol_type, CONSUMER_PROTOCOL_TYPE) == 0;
    for (size_t i = 0; readable && i < view->member_count; i++)
        TRY(take_member(context, &view->members[i]));
    return view->member_count > 0;
}

static int compare_owners(const void *a, const void *b)
{
    const struct owner *left = a, *right = b;
    int order = strcmp(left->topic, right->topic);
    return order != 0 ? order
                      : (left->partition > right->partition) - (left->partition < right->partition);
}

/* ---- rows ---- */

struct lag {
    struct log *log;
    struct group_offset *offsets; /* committed; sorted */
    size_t offset_count;
    struct owners owners;
    struct owner *owner_list; /* sorted */
    size_t owner_count;
    struct group_lag *rows;
    size_t row_count, row_capacity;
    size_t *texts; /* four of each row: metadata, member id, client id, host */
};

static int grow_rows(struct lag *lag)
{
    if (lag->row_count < lag->row_capacity)
        return 0;
    size_t capacity = lag->row_capacity == 0 ? 16 : lag->row_capacity * 2;
    struct group_lag *rows = realloc(lag->rows, capacity * sizeof *rows);
    if (rows != NULL)
        lag->rows = rows;
    size_t *texts = realloc(lag->texts, 4 * capacity * sizeof *texts);
    if (texts != NULL)
        lag->texts = texts;
    if (rows == NULL || texts == NULL)
        return ERR_NOMEM;
    lag->row_capacity = capacity;
    return 0;
}

static int add_row(struct lag *lag, const char *topic, int32_t index)
{
    struct partition *partition;
    struct partition_offsets offsets;
    if (partition_get(lag->log, topic, index, &partition, NULL) < 0)
        return 0; /* deleted in between */
    partition_offsets(partition, &offsets);
    TRY(grow_rows(lag));
    size_t *texts = &lag->texts[4 * lag->row_count];
    struct group_lag *row = &lag->rows[lag->row_count++];
    *row = (struct group_lag){.partition = index,
                              .committed = -1,
                              .start = offsets.start,
                              .end = offsets.high_watermark,
                              .lag = -1};
    snprintf(row->topic, sizeof row->topic, "%s", topic);
    texts[0] = texts[1] = texts[2] = texts[3] = NO_TEXT;
    const struct group_offset *offset =
        group_offsets_find(lag->offsets, lag->offset_count, topic, index);
    if (offset != NULL) {
        row->committed = offset->offset;
        row->commit_time_ms = offset->commit_time_ms;
        row->lag = row->end > offset->offset ? row->end - offset->offset : 0;
        row->metadata.size = offset->metadata.size;
        texts[0] = offset->metadata.data != NULL ? lag->owners.texts.size : NO_TEXT;
        buf_append_bytes(&lag->owners.texts, offset->metadata);
    }
    struct owner key = {.partition = index}, *owner = NULL;
    memcpy(key.topic, row->topic, sizeof key.topic);
    if (lag->owner_count > 0)
        owner = bsearch(&key, lag->owner_list, lag->owner_count, sizeof key, compare_owners);
    if (owner != NULL) {
        texts[1] = owner->member_id;
        texts[2] = owner->client_id;
        texts[3] = owner->host;
    }
    return buf_ok(&lag->owners.texts) ? 0 : ERR_NOMEM;
}

/* Every partition of every topic that is committed or assigned; both lists are sorted. */
static int add_rows(struct lag *lag)
{
    size_t o = 0, w = 0;
    while (o < lag->offset_count || w < lag->owner_count) {
        char topic[250];
        struct topic_info info;
        bool from_offsets =
            w == lag->owner_count ||
            (o < lag->offset_count && strcmp(lag->offsets[o].topic, lag->owner_list[w].topic) <= 0);
        memcpy(topic, from_offsets ? lag->offsets[o].topic : lag->owner_list[w].topic,
               sizeof topic);
        while (o < lag->offset_count && strcmp(lag->offsets[o].topic, topic) == 0)
            o++;
        while (w < lag->owner_count && strcmp(lag->owner_list[w].topic, topic) == 0)
            w++;
        if (topic_describe(lag->log, topic, &info, NULL) < 0)
            continue;
        for (int32_t p = 0; p < info.partitions; p++)
            TRY(add_row(lag, topic, p));
    }
    return 0;
}

static const char *text_at(const char *texts, size_t place)
{
    return place == NO_TEXT ? NULL : texts + place;
}

/* Rows and texts as one block. */
static struct group_lag *join_block(const struct lag *lag)
{
    size_t bytes = lag->row_count * sizeof *lag->rows;
    struct group_lag *rows = malloc(bytes + lag->owners.texts.size + 1);
    if (rows == NULL)
        return NULL;
    char *texts = (char *)rows + bytes;
    if (bytes > 0)
        memcpy(rows, lag->rows, bytes);
    if (lag->owners.texts.size > 0)
        memcpy(texts, lag->owners.texts.data, lag->owners.texts.size);
    for (size_t i = 0; i < lag->row_count; i++) {
        const size_t *places = &lag->texts[4 * i];
        rows[i].metadata.data = (const uint8_t *)text_at(texts, places[0]);
        rows[i].member_id = text_at(texts, places[1]);
        rows[i].client_id = text_at(texts, places[2]);
        rows[i].host = text_at(texts, places[3]);
    }
    return rows;
}

int group_lag(struct log *log, const char *group, struct group_lag **rows, size_t *count,
              int64_t *total_lag, struct diag *diag)
{
    struct lag lag = {.log = log};
    *rows = NULL;
    *count = 0;
    *total_lag = 0;
    TRY(group_name_check(group, diag));
    int rc = group_describe(log, group, &lag.offsets, &lag.offset_count);
    bool has_offsets = rc == 0;
    if (rc == 0 || rc == ERR_NOT_FOUND)
        rc = coordinator_view(log->coordinator, group, take_members, &lag.owners);
    if (rc >= 0 || rc == ERR_NOT_FOUND)
        rc = has_offsets || rc > 0 ? 0 : ERR_NOT_FOUND;
    if (rc == 0) {
        lag.owner_list = (struct owner *)(void *)lag.owners.list.data;
        lag.owner_count = lag.owners.list.size / sizeof(struct owner);
        if (lag.owner_count > 0)
            qsort(lag.owner_list, lag.owner_count, sizeof(struct owner), compare_owners);
        rc = add_rows(&lag);
    }
    if (rc == 0) {
        *rows = join_block(&lag);
        rc = *rows != NULL ? 0 : ERR_NOMEM;
        *count = rc == 0 ? lag.row_count : 0;
    }
    for (size_t i = 0; i < *count; i++)
        *total_lag += lag.rows[i].lag > 0 ? lag.rows[i].lag : 0;
    free(lag.offsets);
    free(lag.rows);
    free(lag.texts);
    buf_deinit(&lag.owners.list);
    buf_deinit(&lag.owners.texts);
    if (rc == ERR_NOT_FOUND)
        return diag_set(diag, rc, "there is no group %s", group);
    return rc < 0 ? diag_set(diag, rc, "cannot read group %s: %s", group, error_text(rc)) : 0;
}

/* ---- the group itself ---- */

static int take_state(void *context, const struct group_view *view)
{
    struct group_info *info = context;
    info->state = view->state;
    info->generation = view->generation;
    info->empty_since_ms = view->empty_since_ms;
    info->member_count = view->member_count;
    snprintf(info->protocol_type, sizeof info->protocol_type, "%s", view->protocol_type);
    snprintf(info->assignor, sizeof info->assignor, "%s", view->protocol);
    return 0;
}

int group_info(struct log *log, const char *group, struct group_info *info, struct diag *diag)
{
    struct group_offset *offsets = NULL;
    *info = (struct group_info){.state = GROUP_DEAD, .empty_since_ms = -1};
    TRY(group_name_check(group, diag));
    int known = coordinator_view(log->coordinator, group, take_state, info);
    int rc = group_describe(log, group, &offsets, &info->offset_count);
    for (size_t i = 0; i < info->offset_count; i++)
        info->of_app |= offsets[i].of_app;
    free(offsets);
    if (rc == 0 && known == ERR_NOT_FOUND)
        info->state = GROUP_EMPTY;
    if (rc == ERR_NOT_FOUND && info->member_count == 0)
        return diag_set(diag, rc, "there is no group %s", group);
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (rc == 0 && known != ERR_NOT_FOUND)
        rc = known;
    return rc < 0 ? diag_set(diag, rc, "cannot read group %s: %s", group, error_text(rc)) : 0;
}
