/* http_replay.c: POST /api/v1/dead-letters/{name}/replay: what 'weir dlq replay' does, on the log that pipelines run on.
 *
 * What is written is one transaction, as any producer's: readers see all of it or nothing, and a pipeline reads the records as it reads others. While
 * it is open, readers of committed records wait at its first one; so it has HTTP_REPLAY_MS, and is undone when those are over, when the
 * server stops, or when who asked has gone. What is more goes in portions: max, and the next replay goes on behind them. One at a time: a
 * second would end the first one's transaction. */
#include <stdatomic.h>

#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"
#include "runtime/http/http_letters.h"
#include "runtime/records/letter_replay.h"
#include "runtime/weir_handle.h"

static bool is_over(void *exchange)
{
    return http_is_over(exchange) || http_is_gone(exchange);
}

static bool read_arguments(struct http_exchange *exchange, struct letter_replay *replay)
{
    replay->log = exchange->http->log->log;
    replay->to = http_argument(exchange, "to");
    return http_letter_filter(exchange, &replay->filter) &&
           http_argument_number(exchange, "max", 0, INT64_MAX - 1, INT64_MAX, &replay->left) &&
           http_argument_truth(exchange, "by_key", false, &replay->by_key) &&
           http_argument_truth(exchange, "partly_applied", false, &replay->partly_applied) &&
           http_argument_truth(exchange, "execute", false, &replay->execute);
}

static void put_readers(struct json *json, const struct replay_route *route)
{
    json_name(json, "readers");
    json_begin(json, '[');
    for (size_t i = 0; i < route->reader_count; i++) {
        json_begin(json, '{');
        json_member_text(json, "group", route->readers[i].group);
        json_member_bool(json, "app", route->readers[i].of_app);
        json_end(json, '}');
    }
    json_end(json, ']');
}

static void put_route(struct json *json, const struct replay_route *route)
{
    json_begin(json, '{');
    json_member_text(json, "to", route->topic.name);
    json_member_int(json, "partition_count", route->topic.partitions);
    json_name(json, "partitions");
    json_begin(json, '[');
    for (int32_t p = 0; p < route->topic.partitions; p++) {
        if (route->records[p] == 0)
            continue;
        json_begin(json, '{');
        json_member_int(json, "partition", p);
        json_member_int(json, "records", route->records[p]);
        json_end(json, '}');
    }
    json_end(json, ']');
    put_readers(json, route);
    json_end(json, '}');
}

static void put_counts(struct json *json, const struct replay_counts *counts)
{
    json_name(json, "totals");
    json_begin(json, '{');
    json_member_int(json, "matched", counts->matched);
    json_member_int(json, "records", counts->records);
    json_member_int(json, "late", counts->late);
    json_member_int(json, "replayed_before", counts->before);
    json_member_int(json, "repeated", counts->repeated);
    json_member_int(json, "partly_applied", counts->parts);
    json_member_int(json, "without_source", counts->without_source);
    json_member_int(json, "foreign", counts->foreign);
    json_member_int(json, "replayed_elsewhere", counts->elsewhere);
    json_end(json, '}');
}

static void put_replay(struct http_exchange *exchange, const struct letter_replay *replay)
{
    struct json *json = &exchange->json;
    json_begin(json, '{');
    json_member_text(json, "from", replay->letters.name);
    json_member_bool(json, "executed", replay->execute);
    json_name(json, "routes");
    json_begin(json, '[');
    for (size_t i = 0; i < replay->routes.count; i++)
        put_route(json, replay->routes.items[i]);
    json_end(json, ']');
    put_counts(json, &replay->counts);
    json_end(json, '}');
}

static void fail(struct http_exchange *exchange, const struct letter_replay *replay, int code,
                 const char *text)
{
    if (code == ERR_STOPPED)
        http_fail(exchange, 503, "write portions: max=N, again and again",
                  "the replay takes longer than %d s: nothing was written", HTTP_REPLAY_MS / 1000);
    else if (code == ERR_NOT_FOUND && replay->letters.name[0] != '\0')
        http_fail(exchange, 404,
                  "nothing was written: make the topic ('weir topic create'), or choose other "
                  "letters or another target",
                  "%s", text);
    else
        http_fail_letters(exchange, code, text);
}

void http_post_replay(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct letter_replay replay = {.log = NULL};
    const struct scan_stop stop = {is_over, exchange};
    struct diag diag = {.code = 0};
    if (!read_arguments(exchange, &replay))
        return;
    if (atomic_exchange(&http->is_replaying, true)) {
        http_fail(exchange, 503, "ask again", "another replay is being answered");
        return;
    }
    exchange->until_ns = clock_mono_ns() + (int64_t)HTTP_REPLAY_MS * 1000000;
    replay.stop = &stop;
    int code = letter_replay_run(&replay, exchange->parameters[0], &diag);
    atomic_store(&http->is_replaying, false);
    if (code < 0)
        fail(exchange, &replay, code, diag.text);
    else
        put_replay(exchange, &replay);
    letter_replay_deinit(&replay);
}
