/* kafka_describe_acls.c: DescribeAcls (key 29, versions 1 to 3): the bindings that a filter fits.
 *
 *   request   type i8, name (nullable), pattern i8, principal (nullable), host (nullable), operation i8, permission i8, tags
 *   response  throttle time i32, error i16, error message (nullable), resources {type i8, name, pattern i8, bindings {principal, host, operation i8,
 *             permission i8, tags}, tags}, tags
 *
 * Bindings lie sorted by resource, so that those of one come together. */
#include "log/kafka/kafka_acl.h"
#include "log/kafka/kafka_handlers.h"

static bool same_resource(const struct acl_binding *a, const struct acl_binding *b)
{
    return a->resource == b->resource && a->pattern == b->pattern && strcmp(a->name, b->name) == 0;
}

/* The next one from i on that the filter fits, or the number of all. */
static size_t next_match(const struct acl_rules *rules, const struct acl_binding *filter, size_t i)
{
    while (i < acl_rules_count(rules) && !acl_filter_matches(filter, acl_rules_at(rules, i)))
        i++;
    return i;
}

/* Those of the resource that the binding at i is of: where the next resource's begin; *count of them match. */
static size_t count_resource(const struct acl_rules *rules, const struct acl_binding *filter,
                             size_t i, int32_t *count)
{
    const struct acl_binding *first = acl_rules_at(rules, i);
    *count = 0;
    while (i < acl_rules_count(rules) && same_resource(first, acl_rules_at(rules, i))) {
        ++*count;
        i = next_match(rules, filter, i + 1);
    }
    return i;
}

static void write_resources(struct kafka_request *request, const struct acl_rules *rules,
                            const struct acl_binding *filter)
{
    struct wire_writer *w = &request->writer;
    size_t total = acl_rules_count(rules), first = next_match(rules, filter, 0);
    int32_t resources = 0, count;
    for (size_t i = first; i < total; i = count_resource(rules, filter, i, &count))
        resources++;
    wire_write_array(w, resources);
    for (size_t i = first, next; i < total; i = next) {
        next = count_resource(rules, filter, i, &count);
        kafka_write_acl_resource(w, acl_rules_at(rules, i));
        wire_write_array(w, count);
        for (; i < next; i = next_match(rules, filter, i + 1)) {
            kafka_write_acl_entry(w, acl_rules_at(rules, i));
            wire_write_tags(w);
        }
        wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_describe_acls(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct acl_binding filter = kafka_read_acl(request, true);
    wire_read_tags(&request->in);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    struct kafka_acl_refusal refusal = kafka_acl_refuse(request);
    if (refusal.error == KAFKA_NONE && acl_filter_check(&filter, NULL) < 0)
        refusal = (struct kafka_acl_refusal){KAFKA_INVALID_REQUEST,
                                             "a filter of kinds that there are not"};
    wire_write_i32(w, 0);
    wire_write_i16(w, (int16_t)refusal.error);
    wire_write_text(w, refusal.message);
    if (refusal.error == KAFKA_NONE) {
        struct acl_rules *rules = acl_rules_take(request->log);
        write_resources(request, rules, &filter);
        acl_rules_give_back(rules);
    } else {
        wire_write_array(w, 0);
    }
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
