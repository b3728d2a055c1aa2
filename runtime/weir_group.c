/* weir_group.c: groups through weir.h: who is in them, how far behind they are, where they go on.
 * Results are laid out as one block each: rows first, then the texts that they point to. */
#include "log/group.h"
#include "runtime/weir_handle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int offsets_translate(const weir_offset *offsets, size_t count, struct group_offset **translated,
                      struct diag *diag)
{
    *translated = NULL;
    if (count > 0 && offsets == NULL)
        return diag_set(diag, ERR_INVALID, "offsets is NULL, count is %zu", count);
    struct group_offset *list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu offsets", count);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (offsets[i].topic == NULL || strlen(offsets[i].topic) >= sizeof list[i].topic)
            rc = diag_set(diag, ERR_INVALID, "offset %zu of %zu names no topic", i, count);
        else
            memcpy(list[i].topic, offsets[i].topic, strlen(offsets[i].topic) + 1);
        list[i].partition = offsets[i].partition;
        list[i].offset = offsets[i].offset;
        list[i].metadata = bytes_text(offsets[i].metadata);
    }
    if (rc < 0) {
        free(list);
        return rc;
    }
    *translated = list;
    return 0;
}

/* ---- describing ---- */

static size_t text_size(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *put_text(char **cursor, const char *text)
{
    return text != NULL ? block_text(cursor, text) : NULL;
}

static const char *put_bytes(char **cursor, struct bytes bytes)
{
    char *copy = *cursor;
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = '\0';
    *cursor += bytes.size + 1;
    return copy;
}

static int lay_out_lag(const struct group_lag *from, size_t count, weir_group_lag **rows)
{
    size_t text_bytes = 0;
    for (size_t i = 0; i < count; i++)
        text_bytes += text_size(from[i].topic) + from[i].metadata.size + 1 +
                      text_size(from[i].member_id) + text_size(from[i].client_id);
    *rows = malloc((count + 1) * sizeof **rows + text_bytes);
    if (*rows == NULL)
        return ERR_NOMEM;
    char *text = (char *)(*rows + count + 1);
    for (size_t i = 0; i < count; i++)
        (*rows)[i] = (weir_group_lag){.topic = put_text(&text, from[i].topic),
                                      .partition = from[i].partition,
                                      .committed_offset = from[i].committed,
                                      .start_offset = from[i].start,
                                      .end_offset = from[i].end,
                                      .lag = from[i].lag,
                                      .commit_time_ms = from[i].commit_time_ms,
                                      .metadata = put_bytes(&text, from[i].metadata),
                                      .member_id = put_text(&text, from[i].member_id),
                                      .client_id = put_text(&text, from[i].client_id)};
    return 0;
}

static int describe_one(weir_log *log, const char *group, weir_group_info *info,
                        weir_group_lag **rows, size_t *count, struct diag *diag)
{
    struct group_info found;
    struct group_lag *lag = NULL;
    size_t lag_count;
    int64_t total_lag;
    TRY(group_info(log->log, group, &found, diag));
    TRY(group_lag(log->log, group, &lag, &lag_count, &total_lag, diag));
    int rc = 0;
    if (info != NULL) {
        snprintf(info->name, sizeof info->name, "%s", group);
        snprintf(info->state, sizeof info->state, "%s", group_state_text(found.state));
        snprintf(info->assignor, sizeof info->assignor, "%s", found.assignor);
        info->generation = found.generation;
        info->members = (int32_t)found.member_count;
        info->offsets = (int64_t)found.offset_count;
        info->lag = total_lag;
        info->of_app = found.of_app;
    }
    if (rows != NULL) {
        rc = lay_out_lag(lag, lag_count, rows);
        *count = rc == 0 ? lag_count : 0;
    }
    free(lag);
    return rc;
}

int weir_group_describe(weir_log *log, const char *group, weir_group_info *info,
                        weir_group_lag **rows, size_t *count)
{
    struct diag diag = {.code = 0};
    if (info != NULL)
        *info = (weir_group_info){.members = 0};
    TRY(handle_need(log, "group", group));
    if (rows != NULL) {
        TRY(handle_need(log, "count", count));
        *rows = NULL;
        *count = 0;
    }
    return handle_result(describe_one(log, group, info, rows, count, &diag), &diag);
}

int weir_group_list(weir_log *log, weir_group_info **groups, size_t *count)
{
    struct diag diag = {.code = 0};
    char **names = NULL;
    size_t name_count = 0, kept = 0;
    TRY(handle_need(log, "groups", groups));
    TRY(handle_need(log, "count", count));
    *groups = NULL;
    *count = 0;
    int rc = group_list(log->log, &names, &name_count);
    weir_group_info *list = rc == 0 ? calloc(name_count + 1, sizeof *list) : NULL;
    if (rc == 0 && list == NULL)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < name_count; i++) {
        rc = describe_one(log, names[i], &list[kept], NULL, NULL, &diag);
        kept += rc == 0;
        rc = rc == ERR_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
    }
    free(names);
    if (rc < 0) {
        free(list);
        return handle_result(rc, &diag);
    }
    *groups = list;
    *count = kept;
    return 0;
}

/* ---- changing ---- */

static int lay_out_reset(const struct group_reset_row *from, size_t count,
                         weir_group_reset_row **rows)
{
    size_t text_bytes = 0;
    for (size_t i = 0; i < count; i++)
        text_bytes += strlen(from[i].topic) + 1;
    *rows = malloc((count + 1) * sizeof **rows + text_bytes);
    if (*rows == NULL)
        return ERR_NOMEM;
    char *text = (char *)(*rows + count + 1);
    for (size_t i = 0; i < count; i++)
        (*rows)[i] =
            (weir_group_reset_row){block_text(&text, from[i].topic), from[i].partition,
                                   from[i].old_offset, from[i].wanted_offset, from[i].new_offset};
    return 0;
}

static int translate_reset(const weir_group_reset_options *from, struct group_reset *to,
                           struct diag *diag)
{
    static const enum group_reset_to targets[] = {GROUP_RESET_EARLIEST, GROUP_RESET_LATEST,
                                                  GROUP_RESET_OFFSET, GROUP_RESET_TIME,
                                                  GROUP_RESET_SHIFT};
    TRY(reserved_check(from->reserved, "weir_group_reset_options", diag));
    if ((int)from->to < 0 || (size_t)from->to >= sizeof targets / sizeof *targets)
        return diag_set(diag, ERR_INVALID, "to %d is not one of enum weir_reset_to", (int)from->to);
    if (from->one_partition && (from->topic == NULL || from->partition < 0))
        return diag_set(diag, ERR_INVALID, "one_partition needs a topic and a partition");
    *to = (struct group_reset){.topic = from->topic,
                               .partition = from->one_partition ? from->partition : -1,
                               .to = targets[from->to],
                               .number = from->number,
                               .execute = from->execute};
    return 0;
}

int weir_group_reset(weir_log *log, const char *group, const weir_group_reset_options *options,
                     weir_group_reset_row **rows, size_t *count)
{
    struct diag diag = {.code = 0};
    struct group_reset reset;
    struct group_reset_row *done = NULL;
    size_t done_count = 0;
    TRY(handle_need(log, "group", group));
    TRY(handle_need(log, "options", options));
    if (rows != NULL) {
        TRY(handle_need(log, "count", count));
        *rows = NULL;
        *count = 0;
    }
    int rc = translate_reset(options, &reset, &diag);
    if (rc == 0)
        rc = group_reset_offsets(log->log, group, &reset, &done, &done_count, &diag);
    if (rc == 0 && rows != NULL) {
        rc = lay_out_reset(done, done_count, rows);
        *count = rc == 0 ? done_count : 0;
    }
    free(done);
    return handle_result(rc, &diag);
}

int weir_group_delete(weir_log *log, const char *group)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "group", group));
    return handle_result(group_delete(log->log, group, &diag), &diag);
}

int weir_group_delete_offsets(weir_log *log, const char *group, const char *topic,
                              int32_t partition)
{
    struct diag diag = {.code = 0};
    TRY(handle_need(log, "group", group));
    TRY(handle_need(log, "topic", topic));
    return handle_result(group_delete_offsets(log->log, group, topic, partition, &diag), &diag);
}
