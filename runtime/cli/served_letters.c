/* served_letters.c: see served_letters.h.
 *
 * What the server answers becomes the very structures that a walk through a directory makes, and the same code prints
 * them. Letters come as they lie in their topic (lossless), and are taken apart here. Counts and letters come in pages; a page
 * ends early when it takes long, so that there is no end to how much can be asked for. */
#include "runtime/cli/served_letters.h"

#include "runtime/cli/import_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 500 };

static int no_memory(void)
{
    return failed(ERR_NOMEM, NULL);
}

static void put_time(struct buf *target, const char *name, int64_t time_ms, int64_t none)
{
    char text[24];
    snprintf(text, sizeof text, "@%" PRId64, time_ms);
    http_path_argument(target, name, time_ms != none ? text : NULL);
}

static void put_filter(struct buf *target, const struct letter_filter *filter)
{
    http_path_argument(target, "class", filter->error_class);
    http_path_argument(target, "stage", filter->stage);
    http_path_argument(target, "topic", filter->topic);
    if (filter->partition >= 0)
        http_path_number(target, "partition", filter->partition);
    put_time(target, "from", filter->from_ms, INT64_MIN);
    put_time(target, "until", filter->until_ms, INT64_MAX);
}

static struct bytes text_bytes(const char *text)
{
    return text != NULL ? bytes_text(text) : bytes_of(NULL, 0);
}

/* ---- counted ---- */

static int add_partitions(struct letter_group *group, struct bytes object)
{
    struct json_list list = http_answer_list(object, "partitions");
    struct bytes number;
    while (json_list_next(&list, &number)) {
        char text[16];
        snprintf(text, sizeof text, "%.*s", (int)number.size, (const char *)number.data);
        letter_group_add_partition(group, atoi(text));
    }
    return 0;
}

static int add_group(struct letter_list *list, struct bytes object)
{
    char *topic = http_answer_text(object, "topic"), *stage = http_answer_text(object, "stage");
    char *class = http_answer_text(object, "class"), *source = http_answer_text(object, "source");
    struct letter_group *group = letter_list_take(list, text_bytes(topic), text_bytes(stage),
                                                  text_bytes(class), text_bytes(source));
    if (group != NULL) {
        int64_t first_ms = http_answer_number(object, "first", INT64_MAX);
        int64_t last_ms = http_answer_number(object, "last", INT64_MIN);
        group->records += http_answer_number(object, "records", 0);
        group->replayed += http_answer_number(object, "replayed", 0);
        group->first_ms = first_ms < group->first_ms ? first_ms : group->first_ms;
        group->last_ms = last_ms > group->last_ms ? last_ms : group->last_ms;
        add_partitions(group, object);
    }
    free(topic);
    free(stage);
    free(class);
    free(source);
    return group != NULL ? 0 : no_memory();
}

int served_letters_count(struct http_client *client, const char *app,
                         const struct letter_filter *filter, struct letter_list *list)
{
    char *cursor = NULL;
    int exit_code = 0;
    do {
        struct buf target = {0};
        struct bytes answer, group;
        http_path(&target, "/api/v1/dead-letters");
        http_path_argument(&target, "app", app);
        put_filter(&target, filter);
        http_path_argument(&target, "cursor", cursor);
        free(cursor);
        cursor = NULL;
        exit_code = http_client_ask(client, &target, bytes_of(NULL, 0), HTTP_SOON, &answer);
        buf_deinit(&target);
        if (exit_code != 0)
            break;
        struct json_list groups = http_answer_list(answer, "dead_letters");
        while (exit_code == 0 && json_list_next(&groups, &group))
            exit_code = add_group(list, group);
        cursor = http_answer_text(answer, "next_cursor");
    } while (exit_code == 0 && cursor != NULL);
    free(cursor);
    return exit_code;
}

/* ---- shown ---- */

struct showing {
    const char *topic;
    struct import_line line;
    letter_fn each;
    void *context;
};

/* 1: it is enough; 2: an exit code is in *exit_code. */
static int show_letter(struct showing *showing, struct bytes object, int *exit_code)
{
    struct diag diag = {0};
    struct bytes text = bytes_of(NULL, 0);
    struct dead_letter letter;
    (void)json_find_member(object, "record", &text);
    int code = import_line_read(&showing->line, text, &diag);
    if (code < 0) {
        *exit_code = failed(code, &diag);
        return 2;
    }
    struct record record = {.offset = http_answer_number(text, "offset", 0),
                            .timestamp_ms = showing->line.timestamp_ms,
                            .key = showing->line.key,
                            .value = showing->line.value,
                            .headers =
                                bytes_of(showing->line.headers.data, showing->line.headers.size),
                            .header_count = showing->line.header_count};
    struct scan_place place = {showing->topic, showing->line.partition};
    char *target = http_answer_text(object, "replayed_to");
    dead_letter_read(&record, &letter);
    const struct found_letter found = {&place, &record, &letter, target};
    code = showing->each(showing->context, &found, &diag);
    free(target);
    if (code < 0)
        *exit_code = failed(code, &diag);
    return code < 0 ? 2 : code;
}

static int show_page(struct showing *showing, struct bytes answer, int *exit_code)
{
    struct json_list letters = http_answer_list(answer, "letters");
    struct bytes object;
    char *topic = http_answer_text(answer, "topic");
    int code = 0;
    showing->topic = topic != NULL ? topic : "";
    while (code == 0 && json_list_next(&letters, &object))
        code = show_letter(showing, object, exit_code);
    free(topic);
    return code;
}

int served_letters_show(struct http_client *client, const char *name,
                        const struct letter_filter *filter, letter_fn each, void *context)
{
    struct showing showing = {.each = each, .context = context};
    char *cursor = NULL;
    int exit_code = 0, code = 0;
    import_line_init(&showing.line);
    do {
        struct buf target = {0};
        struct bytes answer;
        http_path(&target, "/api/v1/dead-letters");
        http_path_part(&target, name);
        put_filter(&target, filter);
        http_path_argument(&target, "lossless", "true");
        http_path_number(&target, "limit", PAGE);
        http_path_argument(&target, "cursor", cursor);
        free(cursor);
        cursor = NULL;
        exit_code = http_client_ask(client, &target, bytes_of(NULL, 0), HTTP_SOON, &answer);
        buf_deinit(&target);
        if (exit_code != 0)
            break;
        code = show_page(&showing, answer, &exit_code);
        cursor = http_answer_text(answer, "next_cursor");
    } while (code == 0 && cursor != NULL);
    free(cursor);
    import_line_deinit(&showing.line);
    if (exit_code != 0 && http_client_missed(client))
        hint("'weir dlq list' shows what there is");
    return exit_code;
}

/* ---- written back ---- */

static int add_readers(struct replay_route *route, struct bytes object)
{
    struct json_list list = http_answer_list(object, "readers");
    struct bytes reader;
    while (json_list_next(&list, &reader)) {
        struct replay_reader *grown =
            realloc(route->readers, (route->reader_count + 1) * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        route->readers = grown;
        char *group = http_answer_text(reader, "group");
        grown[route->reader_count] =
            (struct replay_reader){.of_app = http_answer_truth(reader, "app")};
        snprintf(grown[route->reader_count++].group, sizeof grown->group, "%s",
                 group != NULL ? group : "");
        free(group);
    }
    return 0;
}

static int fill_route(struct replay_route *route, struct bytes object)
{
    struct json_list list = http_answer_list(object, "partitions");
    struct bytes partition;
    int64_t count = http_answer_number(object, "partition_count", 0);
    char *name = http_answer_text(object, "to");
    snprintf(route->topic.name, sizeof route->topic.name, "%s", name != NULL ? name : "");
    free(name);
    route->topic.partitions = count > 0 && count <= LETTER_PARTITIONS_MAX ? (int32_t)count : 0;
    route->records = calloc((size_t)route->topic.partitions + 1, sizeof *route->records);
    if (route->records == NULL)
        return ERR_NOMEM;
    while (json_list_next(&list, &partition)) {
        int64_t number = http_answer_number(partition, "partition", -1);
        if (number >= 0 && number < route->topic.partitions)
            route->records[number] = http_answer_number(partition, "records", 0);
    }
    return add_readers(route, object);
}

static int add_route(struct replay_routes *routes, struct bytes object)
{
    struct replay_route *route = calloc(1, sizeof *route);
    struct replay_route **grown =
        realloc(routes->items, (routes->count + 1) * sizeof(struct replay_route *));
    if (grown != NULL)
        routes->items = grown;
    if (route == NULL || grown == NULL) {
        free(route);
        return ERR_NOMEM;
    }
    routes->items[routes->count++] = route;
    return fill_route(route, object);
}

static int take_answer(struct letter_replay *replay, struct bytes answer)
{
    struct replay_counts *counts = &replay->counts;
    struct bytes totals = bytes_of("", 0), object;
    struct json_list routes = http_answer_list(answer, "routes");
    char *from = http_answer_text(answer, "from");
    snprintf(replay->letters.name, sizeof replay->letters.name, "%s", from != NULL ? from : "");
    free(from);
    (void)json_find_member(answer, "totals", &totals);
    *counts = (struct replay_counts){
        .matched = http_answer_number(totals, "matched", 0),
        .records = http_answer_number(totals, "records", 0),
        .late = http_answer_number(totals, "late", 0),
        .before = http_answer_number(totals, "replayed_before", 0),
        .repeated = http_answer_number(totals, "repeated", 0),
        .parts = http_answer_number(totals, "partly_applied", 0),
        .without_source = http_answer_number(totals, "without_source", 0),
        .foreign = http_answer_number(totals, "foreign", 0),
        .elsewhere = http_answer_number(totals, "replayed_elsewhere", 0),
    };
    while (json_list_next(&routes, &object))
        if (add_route(&replay->routes, object) < 0)
            return no_memory();
    return 0;
}

int served_letters_replay(struct http_client *client, const char *name,
                          struct letter_replay *replay)
{
    struct buf target = {0};
    struct bytes answer;
    http_path(&target, "/api/v1/dead-letters");
    http_path_part(&target, name);
    http_path(&target, "/replay");
    http_path_argument(&target, "to", replay->to);
    put_filter(&target, &replay->filter);
    if (replay->left != INT64_MAX)
        http_path_number(&target, "max", replay->left);
    http_path_argument(&target, "by_key", replay->by_key ? "true" : NULL);
    http_path_argument(&target, "partly_applied", replay->partly_applied ? "true" : NULL);
    http_path_argument(&target, "execute", replay->execute ? "true" : NULL);
    int exit_code = http_client_ask(client, &target, bytes_of("", 0), HTTP_LATER, &answer);
    buf_deinit(&target);
    if (exit_code != 0 && http_client_missed(client))
        hint("'weir dlq list' shows what there is");
    return exit_code != 0 ? exit_code : take_answer(replay, answer);
}
