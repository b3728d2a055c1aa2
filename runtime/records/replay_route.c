/* replay_route.c: the topics that a replay writes to.
 *
 * A record goes back to the very partition that it lay in: whatever put it there (a key, a partitioner
 * of somebody's own, weir.partitioned.by) is not asked again, and records of one partition keep
 * their order among themselves. Only where that partition means nothing, in another topic, the key
 * decides, as producers would. */
#include "runtime/records/replay_route.h"

#include "runtime/base/hash.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH_BYTES = 256 << 10,
    COLLECTED_BYTES = 64 << 20,  /* of all routes: then what is collected is appended */
    RECORD_OVERHEAD_BYTES = 128, /* a record's framing in a batch of its own, with room */
};

/* ---- who reads the topic ---- */

static int add_reader(struct replay_route *route, const char *group, bool of_app)
{
    struct replay_reader *grown =
        realloc(route->readers, (route->reader_count + 1) * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    route->readers = grown;
    grown[route->reader_count] = (struct replay_reader){.of_app = of_app};
    snprintf(grown[route->reader_count++].group, sizeof grown->group, "%s", group);
    return 0;
}

/* Groups that have committed a position in the topic. */
static int find_readers(struct log *log, struct replay_route *route)
{
    char **groups = NULL;
    size_t group_count = 0;
    int code = group_list(log, &groups, &group_count);
    for (size_t g = 0; code == 0 && g < group_count; g++) {
        struct group_offset *offsets = NULL;
        size_t count = 0, i = 0;
        code = group_describe(log, groups[g], &offsets, &count);
        while (code == 0 && i < count && strcmp(offsets[i].topic, route->topic.name) != 0)
            i++;
        if (code == 0 && i < count)
            code = add_reader(route, groups[g], offsets[i].of_app);
        free(offsets);
        code = code == ERR_NOT_FOUND ? 0 : code; /* it has members and no positions */
    }
    free(groups);
    return code;
}

/* ---- routes ---- */

static void route_close(struct replay_route *route)
{
    must(route->sender == NULL);
    free(route->records);
    free(route->readers);
    free(route);
}

static int route_open(struct replay_routes *routes, const char *topic, struct replay_route **opened,
                      struct diag *diag)
{
    struct replay_route *route = calloc(1, sizeof *route);
    if (route == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a topic's partitions");
    int code = topic_describe(routes->log, topic, &route->topic, diag);
    if (code == 0 && route->topic.internal)
        code = diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, and records that are not "
                        "its own would break its state",
                        topic);
    if (code == 0) {
        route->records = calloc((size_t)route->topic.partitions, sizeof *route->records);
        code = route->records != NULL ? find_readers(routes->log, route) : ERR_NOMEM;
        if (code < 0)
            diag_set(diag, code, "cannot tell who reads topic %s: %s", topic, error_text(code));
    }
    if (code < 0)
        route_close(route);
    else
        *opened = route;
    return code;
}

int replay_route_find(struct replay_routes *routes, const char *topic, struct replay_route **route,
                      struct diag *diag)
{
    for (size_t i = 0; i < routes->count; i++)
        if (strcmp(routes->items[i]->topic.name, topic) == 0) {
            *route = routes->items[i];
            return 0;
        }
    struct replay_route **grown =
        realloc(routes->items, (routes->count + 1) * sizeof(struct replay_route *));
    if (grown == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the topics of a replay");
    routes->items = grown;
    TRY(route_open(routes, topic, route, diag));
    routes->items[routes->count++] = *route;
    return 0;
}

int32_t replay_route_partition(const struct replay_route *route, const struct record *record,
                               const struct dead_letter *letter, bool by_key)
{
    int32_t count = route->topic.partitions;
    bool is_home = bytes_equal(bytes_text(route->topic.name), letter->source_topic);
    if (is_home && letter->source_partition < count && !(by_key && record->key.data != NULL))
        return letter->source_partition;
    if (record->key.data != NULL)
        return murmur2_partition(record->key.data, record->key.size, count);
    return letter->source_partition % count;
}

/* ---- sending ---- */

static int open_sender(struct replay_routes *routes, struct replay_route *route, struct diag *diag)
{
    char text[32];
    struct sender_options options = {.batch_bytes = BATCH_BYTES, .producer = routes->producer};
    int rc =
        topic_config_get(routes->log, route->topic.name, "max.message.bytes", text, sizeof text);
    int64_t room = rc == 0 ? strtoll(text, NULL, 10) - RECORD_OVERHEAD_BYTES : BATCH_BYTES;
    if (room > 0 && room < BATCH_BYTES)
        options.batch_bytes = (size_t)room; /* a whole batch must fit, too */
    return sender_open(routes->log, route->topic.name, &options, &route->sender, diag);
}

int replay_routes_flush(struct replay_routes *routes, struct diag *diag)
{
    for (size_t i = 0; i < routes->count; i++)
        if (routes->items[i]->sender != NULL)
            TRY(sender_flush(routes->items[i]->sender, false, diag));
    return 0;
}

int replay_route_send(struct replay_routes *routes, struct replay_route *route, int32_t partition,
                      const struct record *record, const struct dead_letter *letter,
                      struct diag *diag)
{
    size_t collected = 0;
    must(routes->producer != NULL);
    if (route->sender == NULL)
        TRY(open_sender(routes, route, diag));
    TRY(sender_send(route->sender, partition, letter->source_timestamp_ms, record->key,
                    record->value, letter->headers, letter->header_count, diag));
    for (size_t i = 0; i < routes->count; i++)
        if (routes->items[i]->sender != NULL)
            collected += sender_collected_bytes(routes->items[i]->sender);
    return collected < COLLECTED_BYTES ? 0 : replay_routes_flush(routes, diag);
}

void replay_routes_close_senders(struct replay_routes *routes)
{
    for (size_t i = 0; i < routes->count; i++) {
        if (routes->items[i]->sender != NULL)
            sender_close(routes->items[i]->sender);
        routes->items[i]->sender = NULL;
    }
    routes->producer = NULL;
}

void replay_routes_deinit(struct replay_routes *routes)
{
    for (size_t i = 0; i < routes->count; i++)
        route_close(routes->items[i]);
    free(routes->items);
    routes->items = NULL;
    routes->count = 0;
}
