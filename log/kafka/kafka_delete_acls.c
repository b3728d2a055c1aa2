/* kafka_delete_acls.c: DeleteAcls (key 31, versions 1 to 3): the bindings that filters fit go.
 *
 *   request   filters {type i8, name (nullable), pattern i8, principal (nullable), host (nullable), operation i8, permission i8, tags}, tags
 *   response  throttle time i32, results {error i16, error message (nullable), bindings {error i16, error message (nullable), type i8, name, pattern i8, principal, host,
 *             operation i8, permission i8, tags}, tags}, tags
 *
 * Each filter is answered with what it fitted: one change for all of them, durable when it is answered. */
#include "log/kafka/kafka_acl.h"
#include "log/kafka/kafka_handlers.h"

struct deletion {
    struct acl_binding *filters;
    int32_t count;
    struct acl_rules *before;
};

static struct acl_binding *read_filters(struct kafka_request *request, int32_t *count)
{
    struct wire_reader *in = &request->in;
    *count = wire_read_array(in, in->flexible ? 8 : 10);
    struct acl_binding *filters =
        arena_zalloc(&request->arena, ((size_t)*count + 1) * sizeof *filters);
    if (filters == NULL || *count > KAFKA_ACLS_MOST) {
        wire_read_fail(in, "more filters than a request may have");
        return NULL;
    }
    for (int32_t i = 0; i < *count && wire_read_ok(in); i++) {
        filters[i] = kafka_read_acl(request, true);
        wire_read_tags(in);
    }
    wire_read_tags(in);
    return filters;
}

static enum kafka_error delete_them(struct kafka_request *request, struct deletion *deletion,
                                    const char **message)
{
    struct acl_binding *good =
        arena_alloc(&request->arena, ((size_t)deletion->count + 1) * sizeof *good);
    struct acl_change change = {.filters = good, .agrees = kafka_acl_agrees, .context = request};
    if (good == NULL)
        return kafka_acl_error_of(ERR_NOMEM, message);
    for (int32_t i = 0; i < deletion->count; i++)
        if (acl_filter_check(&deletion->filters[i], NULL) == 0)
            good[change.filter_count++] = deletion->filters[i];
    return kafka_acl_error_of(acl_change(request->log, &change, &deletion->before, NULL), message);
}

static void write_deleted(struct kafka_request *request, const struct deletion *deletion,
                          const struct acl_binding *filter)
{
    struct wire_writer *w = &request->writer;
    int32_t count = 0;
    for (size_t i = 0; i < acl_rules_count(deletion->before); i++)
        count += acl_filter_matches(filter, acl_rules_at(deletion->before, i));
    wire_write_array(w, count);
    for (size_t i = 0; i < acl_rules_count(deletion->before) && buf_ok(w->out); i++) {
        const struct acl_binding *binding = acl_rules_at(deletion->before, i);
        if (!acl_filter_matches(filter, binding))
            continue;
        wire_write_i16(w, KAFKA_NONE);
        wire_write_text(w, NULL);
        kafka_write_acl_resource(w, binding);
        kafka_write_acl_entry(w, binding);
        wire_write_tags(w);
    }
}

enum kafka_result kafka_handle_delete_acls(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    struct deletion deletion = {.before = NULL};
    deletion.filters = read_filters(request, &deletion.count);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    struct kafka_acl_refusal refusal = kafka_acl_refuse(request);
    if (refusal.error == KAFKA_NONE)
        refusal.error = delete_them(request, &deletion, &refusal.message);
    wire_write_i32(w, 0);
    wire_write_array(w, deletion.count);
    for (int32_t i = 0; i < deletion.count && buf_ok(w->out); i++) {
        bool makes_sense = acl_filter_check(&deletion.filters[i], NULL) == 0;
        bool is_refused = refusal.error != KAFKA_NONE;
        wire_write_i16(w, (int16_t)(is_refused    ? refusal.error
                                    : makes_sense ? KAFKA_NONE
                                                  : KAFKA_INVALID_REQUEST));
        wire_write_text(w, is_refused    ? refusal.message
                           : makes_sense ? NULL
                                         : "a filter of kinds that there are not");
        if (!is_refused && makes_sense)
            write_deleted(request, &deletion, &deletion.filters[i]);
        else
            wire_write_array(w, 0);
        wire_write_tags(w);
    }
    wire_write_tags(w);
    acl_rules_give_back(deletion.before);
    return KAFKA_ANSWER;
}
