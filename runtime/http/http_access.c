/* http_access.c: what who asks may have: the rights that the log's access lists give (docs/security.md), the same as over the Kafka protocol.
 *
 * The table of routes says for each what it needs: a right on the cluster, on the topic or the group that is its first parameter, or none but to have a user. What lists
 * things, or finds out on its way what it is about, is HTTP_SIFTED, and its handler asks. A route that says nothing is refused to everybody. What may not be had is
 * answered as it would be if it were not there: 403 before anybody looks. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "runtime/http/http_internal.h"

bool http_may(const struct http_exchange *exchange, enum http_thing thing, const char *name,
              enum http_action action)
{
    const struct http *http = exchange->http;
    return http->may == NULL ||
           http->may(http->may_enter_context, exchange->user[0] != '\0' ? exchange->user : NULL,
                     exchange->peer, thing, name, action);
}

void http_refuse(struct http_exchange *exchange, const char *what, const char *name)
{
    http_fail(exchange, 403, "'weir acl list' shows who may do what", "%.255s may not %s%s%.250s",
              exchange->user[0] != '\0' ? exchange->user : "who is nobody", what,
              name != NULL ? " " : "", name != NULL ? name : "");
}

static bool is_allowed(struct http_exchange *exchange, enum http_thing thing)
{
    static const char *const words[] = {[HTTP_DESCRIBE] = "describe",
                                        [HTTP_DESCRIBE_CONFIGS] = "describe the configs of",
                                        [HTTP_READ] = "read",
                                        [HTTP_ALTER] = "alter"};
    static const char *const things[] = {
        [HTTP_CLUSTER] = "the cluster", [HTTP_TOPIC] = "topic", [HTTP_GROUP] = "group"};
    enum http_action action = exchange->route->action;
    const char *name = thing == HTTP_CLUSTER ? NULL : exchange->parameters[0];
    char what[64];
    if (http_may(exchange, thing, name, action))
        return true;
    snprintf(what, sizeof what, "%s %s", words[action], things[thing]);
    http_refuse(exchange, what, name);
    return false;
}

bool http_is_allowed(struct http_exchange *exchange)
{
    switch (exchange->route->access) {
    case HTTP_OPEN:
    case HTTP_KNOWN:
    case HTTP_SIFTED:
        return true;
    case HTTP_OF_CLUSTER:
        return is_allowed(exchange, HTTP_CLUSTER);
    case HTTP_OF_TOPIC:
        return is_allowed(exchange, HTTP_TOPIC);
    case HTTP_OF_GROUP:
        return is_allowed(exchange, HTTP_GROUP);
    case HTTP_UNSAID:
        break;
    }
    http_refuse(exchange, "have this", NULL);
    return false;
}

void http_name_peer(struct http_exchange *exchange, const struct sockaddr *address)
{
    const void *at = NULL;
    if (address->sa_family == AF_INET)
        at = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        at = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (at != NULL)
        inet_ntop(address->sa_family, at, exchange->peer, sizeof exchange->peer);
}
