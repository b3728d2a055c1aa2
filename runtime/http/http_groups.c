/* http_groups.c: consumer groups, those of apps among them: who is in them and how far behind they are. */
#include "runtime/http/http_internal.h"

static void put_group(struct json *json, const weir_group_info *group)
{
    json_member_text(json, "name", group->name);
    json_member_text(json, "state", group->state);
    json_member_text(json, "assignor", group->assignor);
    json_member_int(json, "generation", group->generation);
    json_member_int(json, "members", group->members);
    json_member_int(json, "offsets", group->offsets);
    json_member_int(json, "lag", group->lag);
    json_member_bool(json, "of_app", group->of_app);
}

static bool is_shown(const struct http_exchange *exchange, const weir_group_info *group)
{
    return http_may(exchange, HTTP_CLUSTER, NULL, HTTP_DESCRIBE) ||
           http_may(exchange, HTTP_GROUP, group->name, HTTP_DESCRIBE);
}

/* Rows of topics that who asks may know of, and the sums of these alone. */
static size_t keep_allowed(const struct http_exchange *exchange, weir_group_info *group,
                           weir_group_lag *rows, size_t count)
{
    size_t kept = 0;
    group->offsets = group->lag = 0;
    for (size_t i = 0; i < count; i++) {
        if (!http_may(exchange, HTTP_TOPIC, rows[i].topic, HTTP_DESCRIBE))
            continue;
        group->offsets += rows[i].committed_offset >= 0;
        group->lag += rows[i].lag > 0 ? rows[i].lag : 0;
        rows[kept++] = rows[i];
    }
    return kept;
}

/* Where there are rights; one that is gone meanwhile has nothing. */
static void sum_allowed(const struct http_exchange *exchange, weir_group_info *group)
{
    weir_group_lag *rows = NULL;
    size_t count = 0;
    if (exchange->http->may == NULL)
        return;
    if (weir_group_describe(exchange->http->log, group->name, NULL, &rows, &count) < 0)
        count = 0;
    keep_allowed(exchange, group, rows, count);
    weir_free(rows);
}

/* The page after the cursor, which is the name that the last one ended with. */
void http_get_groups(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    weir_group_info *groups;
    size_t count, i = 0;
    int64_t limit;
    const char *cursor = http_argument(exchange, "cursor"), *last = NULL;
    if (!http_argument_limit(exchange, &limit))
        return;
    int rc = weir_group_list(exchange->http->log, &groups, &count);
    if (rc < 0) {
        http_fail_code(exchange, rc, weir_log_error());
        return;
    }
    json_begin(json, '{');
    json_name(json, "groups");
    json_begin(json, '[');
    for (; i < count && limit > 0; i++) {
        if ((cursor != NULL && strcmp(groups[i].name, cursor) <= 0) ||
            !is_shown(exchange, &groups[i]))
            continue;
        sum_allowed(exchange, &groups[i]);
        json_begin(json, '{');
        put_group(json, &groups[i]);
        json_end(json, '}');
        last = groups[i].name;
        limit--;
    }
    while (i < count && !is_shown(exchange, &groups[i]))
        i++;
    json_end(json, ']');
    json_member_text(json, "next_cursor", i < count ? last : NULL);
    json_end(json, '}');
    weir_free(groups);
}

static void put_row(struct json *json, const weir_group_lag *row)
{
    json_begin(json, '{');
    json_member_text(json, "topic", row->topic);
    json_member_int(json, "partition", row->partition);
    json_name(json, "committed_offset");
    if (row->committed_offset >= 0)
        json_int(json, row->committed_offset);
    else
        json_null(json);
    json_member_int(json, "start_offset", row->start_offset);
    json_member_int(json, "end_offset", row->end_offset);
    json_name(json, "lag");
    if (row->lag >= 0)
        json_int(json, row->lag);
    else
        json_null(json);
    json_member_time(json, "commit_time", row->commit_time_ms, 0);
    json_member_text(json, "metadata", row->metadata);
    json_member_text(json, "member_id", row->member_id);
    json_member_text(json, "client_id", row->client_id);
    json_end(json, '}');
}

/* The cursor is the number of the row that comes next. */
void http_get_group(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    weir_group_info info;
    weir_group_lag *rows;
    size_t count;
    int64_t limit, from;
    if (!http_argument_limit(exchange, &limit) ||
        !http_argument_number(exchange, "cursor", 0, INT32_MAX, 0, &from))
        return;
    int rc =
        weir_group_describe(exchange->http->log, exchange->parameters[0], &info, &rows, &count);
    if (rc < 0) {
        http_fail_code(exchange, rc, weir_log_error());
        return;
    }
    count = keep_allowed(exchange, &info, rows, count);
    int64_t end = from + limit < (int64_t)count ? from + limit : (int64_t)count;
    json_begin(json, '{');
    put_group(json, &info);
    json_name(json, "partitions");
    json_begin(json, '[');
    for (int64_t i = from; i < end; i++)
        put_row(json, &rows[i]);
    json_end(json, ']');
    json_name(json, "next_cursor");
    if (end < (int64_t)count)
        json_int(json, end);
    else
        json_null(json);
    json_end(json, '}');
    weir_free(rows);
}
