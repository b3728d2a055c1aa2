/* kafka_list_groups.c: ListGroups (key 16, versions 0 to 5).
 *
 *   request   v4+: states [string]; v5+: types [string]; tags
 *   response  v1+: throttle time i32, error i16, groups {group, protocol type, v4+: state, v5+: type, tags}, tags
 *
 * A group is one with members, or with offsets. No states, or no types, are all of them; letters may be small or large. Every group here is of type
 * "classic". Who may not describe the cluster is told of those that he may describe. Before version 4 there is no way to leave any out. */
#include "log/group.h"
#include "log/kafka/kafka_handlers.h"

#include <stdlib.h>
#include <strings.h>

#define GROUP_TYPE "classic"

struct filter {
    struct wire_reader words; /* at the first of count */
    int32_t count;            /* 0: all pass */
};

static struct filter read_filter(struct wire_reader *in)
{
    struct filter filter = {.count = wire_read_array(in, 1)};
    filter.words = *in;
    for (int32_t i = 0; i < filter.count && wire_read_ok(in); i++)
        wire_read_string(in);
    return filter;
}

static bool passes(const struct filter *filter, const char *text)
{
    struct wire_reader words = filter->words;
    for (int32_t i = 0; i < filter->count; i++) {
        struct bytes word = wire_read_string(&words);
        if (word.size == strlen(text) && strncasecmp((const char *)word.data, text, word.size) == 0)
            return true;
    }
    return filter->count == 0;
}

/* The groups go to the worker's buffer: one that is gone when its turn comes is not there, so that their number is known behind them. */
static int32_t list_groups(struct kafka_request *request, char **names, size_t count,
                           const struct filter *states)
{
    struct wire_writer w = {request->scratch, request->writer.flexible};
    int32_t written = 0;
    bool sees_all = kafka_check_cluster(request) == KAFKA_NONE;
    bool asked_for[GROUP_DEAD + 1]; /* looked up once: there may be a million words */
    for (int state = GROUP_EMPTY; state <= GROUP_DEAD; state++)
        asked_for[state] = passes(states, group_state_text((enum group_state)state));
    for (size_t i = 0; i < count && buf_ok(request->scratch); i++) {
        struct group_info info;
        if (!sees_all && kafka_check_group(request, names[i]) != KAFKA_NONE)
            continue;
        if (group_info(request->log, names[i], &info, NULL) < 0 || !asked_for[info.state])
            continue;
        wire_write_text(&w, names[i]);
        wire_write_text(&w, info.protocol_type);
        if (request->version >= 4)
            wire_write_text(&w, group_state_text(info.state));
        if (request->version >= 5)
            wire_write_text(&w, GROUP_TYPE);
        wire_write_tags(&w);
        written++;
    }
    if (!buf_ok(request->scratch))
        request->out.failed = true;
    return written;
}

enum kafka_result kafka_handle_list_groups(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *w = &request->writer;
    struct filter states = {.count = 0}, types = {.count = 0};
    char **names = NULL;
    size_t count = 0;
    if (request->version >= 4)
        states = read_filter(in);
    if (request->version >= 5)
        types = read_filter(in);
    wire_read_tags(in);
    if (!wire_read_ok(in))
        return KAFKA_CLOSE;
    buf_clear(request->scratch);
    int code = group_list(request->log, &names, &count);
    int32_t written =
        code == 0 && passes(&types, GROUP_TYPE) ? list_groups(request, names, count, &states) : 0;
    free(names);
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_i16(w, code < 0 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
    wire_write_array(w, written);
    buf_append(&request->out, request->scratch->data, request->scratch->size);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
