/* topology_merge.c: weir_merge, the one builder function that takes several streams.
 *
 * It only records them, like the others. Everything that can be known from the topology alone is
 * refused here: streams of other apps, a stream with itself, groups. Whether the rows have the same
 * columns is known when expressions are compiled (plan_arms.c). */
#include <stdlib.h>
#include <string.h>

#include "runtime/app.h"

enum { MERGE_MAX = 32 };

static struct weir_app *app_of(weir_stream *const *streams, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (streams[i] != NULL)
            return streams[i]->app;
    return NULL;
}

/* Rows come together, not groups. */
static bool is_good(const weir_stream *stream, size_t number)
{
    bool is_grouped = stream->kind == NODE_GROUP || stream->kind == NODE_WINDOW;
    if (topology_is_distinct(stream)) {
        topology_fail(stream->app, ERR_UNSUPPORTED,
                      "weir_merge: stream %zu is distinct: merge the rows first, then "
                      "weir_distinct once behind the merge; or write it to a topic with weir_to, "
                      "and read the topic",
                      number);
        return false;
    }
    if (!is_grouped && stream->kind != NODE_REKEY)
        return topology_gives_rows(stream, NODE_MERGE, "weir_merge");
    topology_fail(stream->app, ERR_STATE,
                  is_grouped ? "weir_merge: stream %zu is grouped: merge the rows first, then "
                               "weir_group_by once behind the merge"
                             : "weir_merge: stream %zu is re-keyed: merge the rows first, then "
                               "weir_rekey once behind the merge",
                  number);
    return false;
}

static void check_streams(struct weir_app *app, weir_stream *const *streams, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (streams[i] == NULL) {
            topology_fail(app, ERR_STATE,
                          "weir_merge: stream %zu is NULL: the call that should "
                          "have made it failed",
                          i + 1);
            return;
        }
        if (streams[i]->app != app) {
            topology_fail(app, ERR_INVALID,
                          "weir_merge: stream %zu is of app %s and not of app %s: write it to a "
                          "topic with weir_to, and read that with weir_source",
                          i + 1, streams[i]->app->name, app->name);
            return;
        }
        for (size_t j = 0; j < i; j++)
            if (streams[j] == streams[i]) {
                topology_fail(app, ERR_INVALID,
                              "weir_merge: streams %zu and %zu are the same: each of its rows "
                              "would come twice",
                              j + 1, i + 1);
                return;
            }
        if (!is_good(streams[i], i + 1))
            return;
    }
}

weir_stream *weir_merge(weir_stream *const *streams, size_t count)
{
    struct weir_app *app = streams != NULL && count <= MERGE_MAX ? app_of(streams, count) : NULL;
    if (app == NULL && streams != NULL && count > 0 && streams[0] != NULL)
        topology_fail(streams[0]->app, ERR_TOO_LARGE, "weir_merge takes 2 to %d streams",
                      MERGE_MAX);
    if (app == NULL)
        return NULL;
    if (count < 2)
        topology_fail(app, ERR_INVALID, "weir_merge takes 2 to %d streams", MERGE_MAX);
    else
        check_streams(app, streams, count);
    struct weir_stream *node = topology_add_node(app, NULL, NODE_MERGE, NULL, NULL);
    if (node == NULL)
        return NULL;
    node->merged = malloc(count * sizeof(weir_stream *));
    if (node->merged == NULL) {
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return NULL;
    }
    memcpy(node->merged, streams, count * sizeof(weir_stream *));
    node->merged_count = (uint32_t)count;
    return node;
}
