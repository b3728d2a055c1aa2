/* topology_join.c: the builder functions of tables and joins (weir.h). Like topology.c they only record what was asked for. */
#include <string.h>

#include "runtime/app.h"

static bool is_table(const weir_stream *stream)
{
    for (; stream != NULL; stream = stream->parent)
        if (stream->kind == NODE_KEYED)
            return true;
    return false;
}

/* What may come before a table, or be done to its rows: steps that give one row for one. */
static bool keeps_rows(const weir_stream *stream, const char *what)
{
    for (; stream != NULL; stream = stream->parent) {
        static const char *const refused[] = {
            [NODE_UNNEST] = "weir_unnest",      [NODE_FLAT_MAP_FN] = "weir_flat_map_fn",
            [NODE_MERGE] = "weir_merge",        [NODE_JOIN] = "weir_join",
            [NODE_REKEY] = "weir_rekey",        [NODE_DISTINCT] = "weir_distinct",
            [NODE_WITHIN] = "weir_join_within", [NODE_JOIN_TABLES] = "weir_join"};
        if (stream->kind >= sizeof refused / sizeof *refused || refused[stream->kind] == NULL)
            continue;
        topology_fail(stream->app, ERR_UNSUPPORTED,
                      "%s: a table's rows come from its topic one by one, and not from %s: write "
                      "that to a topic with weir_to, and read the topic",
                      what, refused[stream->kind]);
        return false;
    }
    return true;
}

weir_stream *weir_latest(weir_stream *rows, const char *key)
{
    if (rows == NULL || !keeps_rows(rows, "weir_latest"))
        return NULL;
    if (is_table(rows)) {
        topology_fail(rows->app, ERR_STATE, "weir_latest: the stream is a table already");
        return NULL;
    }
    return topology_add_step(rows, NODE_KEYED, "weir_latest", key, NULL);
}

weir_stream *weir_table(weir_app *app, const char *topic, weir_format format, const char *key)
{
    return weir_latest(weir_source(app, topic, format, NULL), key);
}

weir_stream *weir_table_partitioned(weir_stream *table)
{
    weir_stream *at = table;
    if (table == NULL)
        return NULL;
    while (at != NULL && at->kind != NODE_KEYED)
        at = at->parent;
    if (at == NULL) {
        topology_fail(table->app, ERR_STATE,
                      "weir_table_partitioned belongs on a table: name it with weir_table, or say "
                      "with weir_latest what its key is");
        return NULL;
    }
    at->is_partitioned = true;
    return table;
}

static bool are_joinable(const weir_stream *stream, const weir_stream *table)
{
    struct weir_app *app = stream->app;
    if (table->app != app)
        topology_fail(app, ERR_INVALID,
                      "weir_join: the table is of app %s and not of app %s: read its topic with "
                      "weir_table",
                      table->app->name, app->name);
    else if (!is_table(table))
        topology_fail(app, ERR_STATE,
                      "weir_join takes a table second: name it with weir_table, or say with "
                      "weir_latest what its key is");
    else
        return keeps_rows(table, "weir_join");
    return false;
}

/* What is asked of a join with a table; false: an error was kept. */
static bool is_said(struct weir_app *app, weir_join_kind kind, weir_join_kind last,
                    const char *columns)
{
    if ((int)kind < WEIR_JOIN_INNER || kind > last)
        topology_fail(app, ERR_INVALID, "weir_join: kind %d is not WEIR_JOIN_INNER%s", (int)kind,
                      last == WEIR_JOIN_FULL ? ", WEIR_JOIN_LEFT or WEIR_JOIN_FULL"
                                             : " or WEIR_JOIN_LEFT");
    else if (columns == NULL || columns[0] == '\0')
        topology_fail(app, ERR_INVALID,
                      "weir_join needs the columns of the table that rows get, for example \"plan, "
                      "country AS home\"");
    return app->error == 0;
}

/* Two tables meet by their keys. */
static weir_stream *join_tables(weir_stream *left, weir_stream *right, weir_join_kind kind,
                                const char *on, const char *columns)
{
    struct weir_app *app = left->app;
    if (!keeps_rows(left, "weir_join") || !is_said(app, kind, WEIR_JOIN_FULL, columns))
        return NULL;
    if (on != NULL) {
        topology_fail(app, ERR_UNSUPPORTED,
                      "weir_join: two tables are joined by their keys, so that on is NULL: give "
                      "weir_latest the columns that are to be equal");
        return NULL;
    }
    if (!topology_gives_rows(left, NODE_JOIN_TABLES, "weir_join") ||
        !topology_gives_rows(right, NODE_JOIN_TABLES, "weir_join"))
        return NULL;
    weir_stream *node = topology_add_node(app, left, NODE_JOIN_TABLES, NULL, columns);
    if (node == NULL)
        return NULL;
    node->table = right;
    node->number_ms = kind;
    return node;
}

weir_stream *weir_join(weir_stream *stream, weir_stream *table, weir_join_kind kind, const char *on,
                       const char *columns)
{
    if (stream == NULL || table == NULL || !are_joinable(stream, table))
        return NULL;
    if (is_table(stream))
        return join_tables(stream, table, kind, on, columns);
    if (!is_said(stream->app, kind, WEIR_JOIN_LEFT, columns))
        return NULL;
    weir_stream *node = topology_add_step(stream, NODE_JOIN, "weir_join", on, columns);
    if (node == NULL)
        return NULL;
    node->table = table;
    node->number_ms = kind;
    return node;
}

/* ---- two streams ---- */

static bool is_span(int64_t span_ms)
{
    return span_ms >= 0 && span_ms <= WEIR_DAYS(366);
}

/* A side is rows of a source, whatever was done to each by itself. */
static bool is_side(const weir_stream *stream, const char *side)
{
    const weir_stream *at = stream;
    while (at != NULL && at->kind != NODE_DISTINCT)
        at = at->parent;
    if (at != NULL)
        topology_fail(stream->app, ERR_UNSUPPORTED,
                      "weir_join_within cannot follow weir_distinct directly: write the distinct "
                      "rows to a topic with weir_to, and read that with weir_source");
    else if (is_table(stream))
        topology_fail(
            stream->app, ERR_UNSUPPORTED,
            "weir_join_within: the %s stream is a table: join with it by weir_join, or read "
            "its topic with weir_source",
            side);
    else
        return topology_gives_rows(stream, NODE_WITHIN, "weir_join_within");
    return false;
}

static bool are_sides(const weir_stream *left, const weir_stream *right)
{
    struct weir_app *app = left->app;
    if (right->app != app)
        topology_fail(
            app, ERR_INVALID,
            "weir_join_within: the right stream is of app %s and not of app %s: write it to a "
            "topic with weir_to, and read that with weir_source",
            right->app->name, app->name);
    else
        return is_side(left, "left") && is_side(right, "right");
    return false;
}

static bool is_bounded(struct weir_app *app, const weir_within *within)
{
    for (size_t i = 0; i < sizeof within->reserved / sizeof *within->reserved; i++)
        if (within->reserved[i] != 0) {
            topology_fail(app, ERR_INVALID, "weir_within: reserved words are not zero");
            return false;
        }
    if (within->kind != WEIR_JOIN_INNER && within->kind != WEIR_JOIN_LEFT)
        topology_fail(app, ERR_INVALID,
                      "weir_join_within: kind %d is not WEIR_JOIN_INNER or WEIR_JOIN_LEFT",
                      (int)within->kind);
    else if (within->on_left == NULL || within->on_left[0] == '\0' || within->on_right == NULL ||
             within->on_right[0] == '\0')
        topology_fail(app, ERR_INVALID,
                      "weir_join_within needs on_left and on_right, what must be equal: \"id\" and "
                      "\"order_id\"");
    else if (!is_span(within->before_ms) || !is_span(within->after_ms))
        topology_fail(
            app, ERR_INVALID,
            "weir_join_within: a right row may be 0 to 366 days before or after a left one, "
            "not %lld ms before to %lld ms after it",
            (long long)within->before_ms, (long long)within->after_ms);
    else
        return true;
    return false;
}

static char *copy_of(struct weir_app *app, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
    return copy;
}

weir_stream *weir_join_within(weir_stream *left, weir_stream *right, const weir_within *within)
{
    if (left == NULL || right == NULL || within == NULL || !are_sides(left, right) ||
        !is_bounded(left->app, within))
        return NULL;
    struct weir_app *app = left->app;
    weir_stream *node =
        topology_add_node(app, left, NODE_WITHIN, within->on_left, within->columns_left);
    if (node == NULL)
        return NULL;
    node->table = right;
    node->number_ms = within->kind;
    node->before_ms = within->before_ms;
    node->after_ms = within->after_ms;
    node->name = copy_of(app, within->on_right);
    node->right_columns = copy_of(app, within->columns_right);
    return app->error == 0 ? node : NULL;
}
