/* kafka_create_acls.c: CreateAcls (key 30, versions 1 to 3).
 *
 *   request   creations {type i8, name, pattern i8, principal, host, operation i8, permission i8, tags}, tags
 *   response  throttle time i32, results {error i16, error message (nullable), tags}, tags
 *
 * What makes no sense is refused by itself (42); the rest is one change. One that is there already is no error. Durable, and in force for the next request of anybody,
 * when it is answered. */
#include "log/kafka/kafka_acl.h"
#include "log/kafka/kafka_handlers.h"

struct creation {
    struct acl_binding binding;
    struct diag diag; /* code 0: it makes sense */
};

static struct creation *read_creations(struct kafka_request *request, int32_t *count)
{
    struct wire_reader *in = &request->in;
    *count = wire_read_array(in, in->flexible ? 8 : 10);
    struct creation *list = arena_zalloc(&request->arena, ((size_t)*count + 1) * sizeof *list);
    if (list == NULL || *count > KAFKA_ACLS_MOST) {
        wire_read_fail(in, "more bindings than a request may have");
        return NULL;
    }
    for (int32_t i = 0; i < *count && wire_read_ok(in); i++) {
        list[i].binding = kafka_read_acl(request, false);
        wire_read_tags(in);
    }
    wire_read_tags(in);
    return list;
}

/* Those that make sense, as one change. */
static enum kafka_error create(struct kafka_request *request, struct creation *list, int32_t count,
                               const char **message)
{
    struct acl_binding *good = arena_alloc(&request->arena, ((size_t)count + 1) * sizeof *good);
    struct acl_change change = {.add = good, .agrees = kafka_acl_agrees, .context = request};
    if (good == NULL)
        return kafka_acl_error_of(ERR_NOMEM, message);
    for (int32_t i = 0; i < count; i++)
        if (acl_binding_check(&list[i].binding, &list[i].diag) == 0)
            good[change.add_count++] = list[i].binding;
    return kafka_acl_error_of(acl_change(request->log, &change, NULL, NULL), message);
}

enum kafka_result kafka_handle_create_acls(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    int32_t count;
    struct creation *list = read_creations(request, &count);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    struct kafka_acl_refusal refusal = kafka_acl_refuse(request);
    if (refusal.error == KAFKA_NONE)
        refusal.error = create(request, list, count, &refusal.message);
    wire_write_i32(w, 0);
    wire_write_array(w, count);
    for (int32_t i = 0; i < count; i++) {
        bool makes_sense = list[i].diag.code == 0;
        wire_write_i16(w, (int16_t)(makes_sense ? refusal.error : KAFKA_INVALID_REQUEST));
        wire_write_text(w, makes_sense ? refusal.message : list[i].diag.text);
        wire_write_tags(w);
    }
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
