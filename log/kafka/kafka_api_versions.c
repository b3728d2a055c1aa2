/* kafka_api_versions.c: ApiVersions (key 18, versions 0 to 4): which APIs are served, in which versions.
 *
 *   request   v0–2: nothing; v3+: client software name, version
 *   response  error i16, array of {key i16, lowest i16, highest i16, tags}, v1+: throttle time i32, tags
 *
 * A version above ours is answered with error 35 in version 0's layout and the one entry that tells which versions of ApiVersions there are; the
 * client asks again with that. */
#include "log/kafka/kafka_handlers.h"

static void write_entry(struct wire_writer *w, const struct kafka_api *api)
{
    wire_write_i16(w, api->key);
    wire_write_i16(w, api->min_advertised);
    wire_write_i16(w, api->max);
    wire_write_tags(w);
}

static enum kafka_result refuse(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    w->flexible = false;
    wire_write_i16(w, KAFKA_UNSUPPORTED_VERSION);
    wire_write_array(w, 1);
    write_entry(w, request->api);
    return KAFKA_ANSWER;
}

enum kafka_result kafka_handle_api_versions(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    if (request->version < 0 || request->version > request->api->max)
        return refuse(request);
    if (request->version >= 3) {
        wire_read_string(&request->in);
        wire_read_string(&request->in);
        wire_read_tags(&request->in);
        if (!wire_read_ok(&request->in))
            return KAFKA_CLOSE;
    }
    int32_t count = 0;
    while (kafka_api_at((size_t)count) != NULL)
        count++;
    wire_write_i16(w, KAFKA_NONE);
    wire_write_array(w, count);
    for (int32_t i = 0; i < count; i++)
        write_entry(w, kafka_api_at((size_t)i));
    if (request->version >= 1)
        wire_write_i32(w, 0);
    wire_write_tags(w);
    return KAFKA_ANSWER;
}
