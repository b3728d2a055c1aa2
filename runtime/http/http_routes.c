/* http_routes.c: what the server knows, as one table, and the way from a request to one line of it.
 *
 * A pattern is compared segment by segment; one in braces stands for any. docs/openapi.json describes the same routes, and a test holds
 * the two together: a route that is not documented fails it, as does one that is documented and missing. */
#include <stdio.h>

#include "runtime/http/http_internal.h"

const struct http_route http_routes[] = {
    /* method, path, arguments, handler, who may have it (http_access.c), what he must be allowed to do */
    {"GET", "/", "", http_get_index, HTTP_KNOWN, HTTP_NOTHING},
    {"GET", "/livez", "", http_get_live, HTTP_OPEN, HTTP_NOTHING},
    {"GET", "/readyz", "", http_get_ready, HTTP_KNOWN, HTTP_NOTHING},
    {"GET", "/metrics", "", http_get_metrics, HTTP_OF_CLUSTER, HTTP_DESCRIBE},
    {"GET", "/api/v1/openapi.json", "", http_get_openapi, HTTP_KNOWN, HTTP_NOTHING},
    {"GET", "/api/v1/topics", "limit cursor internal", http_get_topics, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/topics/{topic}", "limit cursor", http_get_topic, HTTP_OF_TOPIC, HTTP_DESCRIBE},
    {"GET", "/api/v1/groups", "limit cursor", http_get_groups, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/groups/{group}", "limit cursor", http_get_group, HTTP_OF_GROUP, HTTP_DESCRIBE},
    {"GET", "/api/v1/pipelines", "", http_get_pipelines, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/pipelines/{topic}", "", http_get_pipeline, HTTP_OF_TOPIC, HTTP_DESCRIBE},
    {"POST", "/api/v1/pipelines/{topic}/pause", "", http_post_pause, HTTP_OF_CLUSTER, HTTP_ALTER},
    {"POST", "/api/v1/pipelines/{topic}/resume", "", http_post_resume, HTTP_OF_CLUSTER, HTTP_ALTER},
    {"POST", "/api/v1/pipelines/{topic}/verify", "app max memory", http_post_verify,
     HTTP_OF_CLUSTER, HTTP_ALTER},
    {"GET", "/api/v1/dead-letters", "app class stage topic partition from until cursor",
     http_get_letters, HTTP_OF_CLUSTER, HTTP_DESCRIBE},
    {"GET", "/api/v1/dead-letters/{name}",
     "class stage topic partition from until lossless limit cursor", http_get_letters_of,
     HTTP_SIFTED, HTTP_NOTHING},
    {"POST", "/api/v1/dead-letters/{name}/replay",
     "to class stage topic partition from until max by_key partly_applied execute",
     http_post_replay, HTTP_OF_CLUSTER, HTTP_ALTER},
    {"POST", "/api/v1/query", "app limit cursor memory explain", http_post_query, HTTP_SIFTED,
     HTTP_NOTHING},
    {"GET", "/api/v1/views", "limit cursor", http_get_views, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/views/{view}", "app", http_get_view, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/views/{view}/rows", "app key key_from key_to from to open limit cursor",
     http_get_rows, HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/state", "limit cursor", http_get_state, HTTP_OF_CLUSTER, HTTP_DESCRIBE},
    {"GET", "/api/v1/state/{app}", "limit cursor", http_get_state_of_app, HTTP_OF_CLUSTER,
     HTTP_DESCRIBE},
    {"GET", "/api/v1/state/{app}/{store}", "key partition limit cursor", http_get_store,
     HTTP_SIFTED, HTTP_NOTHING},
    {"GET", "/api/v1/users", "user limit cursor", http_get_users, HTTP_OF_CLUSTER, HTTP_DESCRIBE},
    {"PUT", "/api/v1/users/{user}", "new", http_put_user, HTTP_OF_CLUSTER, HTTP_ALTER},
    {"DELETE", "/api/v1/users/{user}", "", http_delete_user, HTTP_OF_CLUSTER, HTTP_ALTER},
    {NULL, NULL, NULL, NULL, HTTP_UNSAID, HTTP_NOTHING},
};

/* One segment of a pattern: its size; *pattern moves behind it and its slash. */
static size_t take_part(const char **pattern)
{
    size_t size = strcspn(*pattern, "/");
    *pattern += (*pattern)[size] == '/' ? size + 1 : size;
    return size;
}

static bool path_matches(const char *pattern, const struct http_target *target,
                         const char **parameters)
{
    int count = 0;
    const char *rest = pattern + 1;
    for (int i = 0; i < target->segment_count; i++) {
        const char *part = rest, *segment = target->segments[i];
        size_t size = take_part(&rest);
        if (size == 0)
            return false;
        if (part[0] == '{')
            parameters[count++] = segment;
        else if (strlen(segment) != size || memcmp(segment, part, size) != 0)
            return false;
    }
    return rest[0] == '\0';
}

const struct http_route *http_route_find(const char *method, const struct http_target *target,
                                         const char **parameters, char allow[HTTP_ALLOW_BYTES])
{
    const char *get = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t size = 0;
    allow[0] = '\0';
    for (const struct http_route *route = http_routes; route->method != NULL; route++) {
        if (!path_matches(route->path, target, parameters))
            continue;
        if (strcmp(route->method, get) == 0)
            return route;
        size +=
            (size_t)snprintf(allow + size, HTTP_ALLOW_BYTES - size, "%s%s", size > 0 ? ", " : "",
                             strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
        must(size < HTTP_ALLOW_BYTES); /* a path has each method once */
    }
    return NULL;
}

void http_get_index(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    json_begin(json, '{');
    json_member_text(json, "name", "weir");
    json_member_text(json, "version", weir_version());
    json_name(json, "routes");
    json_begin(json, '[');
    for (const struct http_route *route = http_routes; route->method != NULL; route++) {
        char line[128];
        snprintf(line, sizeof line, "%s %s", route->method, route->path);
        json_text(json, line);
    }
    json_end(json, ']');
    json_end(json, '}');
}
