/* json_limit.cc: the fastest that simdjson's public interface alone can walk the asked fields.
 *
 * Benchmarks divide by this figure, so it is made as fast as On-Demand's documentation allows:
 * streaming mode over one buffer, one thread, find_field in the order in which the first document
 * lists the fields (no key is ever looked at twice), raw_json_token, which neither parses nor
 * copies a value. Nothing is written but a checksum. A document whose fields come in another order
 * is read once more, unordered.
 *
 * The window is 128 KiB, which is measured to be as fast as any size up to simdjson's default of 1
 * MB; a larger document makes the walk start over with a window that holds everything. */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <simdjson.h>

extern "C" {
#include "operators/json_decode.h"
}

namespace
{

using namespace simdjson;

enum : size_t { WINDOW_BYTES = 128 << 10, MAX_PATHS = 64 };

struct fields {
    const struct field_path *path[MAX_PATHS];
    uint32_t count;
};

/* Follows the path from its second part on and touches the value. */
inline uint64_t touch(ondemand::value value, const struct field_path *path)
{
    for (uint32_t i = 1; i < path->count; i++) {
        ondemand::object object;
        if (value.get_object().get(object) || object.find_field(path->parts[i]).get(value))
            return 0;
    }
    return value.raw_json_token().size();
}

/* False when a field is not found behind the one before it. */
inline bool touch_in_order(ondemand::object &object, const struct fields *fields, uint64_t *sum)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        ondemand::value value;
        if (object.find_field(fields->path[i]->parts[0]).get(value))
            return false;
        seen += touch(value, fields->path[i]);
    }
    *sum += seen;
    return true;
}

void touch_in_any_order(ondemand::object &object, const struct fields *fields, uint64_t *sum)
{
    if (object.reset().error())
        return;
    for (uint32_t i = 0; i < fields->count; i++) {
        ondemand::value value;
        if (!object.find_field_unordered(fields->path[i]->parts[0]).get(value))
            *sum += touch(value, fields->path[i]);
    }
}

/* Where the first document names a field; far behind when it does not. */
size_t place_of(std::string_view document, const struct field_path *path)
{
    size_t size = strlen(path->parts[0]), at = 0;
    while ((at = document.find(path->parts[0], at)) != std::string_view::npos) {
        if (at > 0 && document[at - 1] == '"' && at + size < document.size() &&
            document[at + size] == '"')
            break;
        at++;
    }
    return at;
}

void order_fields(struct fields *fields, const uint8_t *ndjson, size_t size)
{
    const void *line_end = memchr(ndjson, '\n', size);
    size_t line =
        line_end ? static_cast<size_t>(static_cast<const uint8_t *>(line_end) - ndjson) : size;
    std::string_view document(reinterpret_cast<const char *>(ndjson), line);
    std::sort(fields->path, fields->path + fields->count,
              [document](const struct field_path *a, const struct field_path *b) {
                  return place_of(document, a) < place_of(document, b);
              });
}

/* Documents seen; *error says why the stream ended early. */
int64_t walk(ondemand::parser &parser, const struct fields *fields, const uint8_t *ndjson,
             size_t size, size_t window, uint64_t *sum, error_code *error)
{
    ondemand::document_stream stream;
    int64_t count = 0;
    *error = parser.iterate_many(ndjson, size, window).get(stream);
    if (*error)
        return 0;
    for (auto at = stream.begin(); at != stream.end(); ++at) {
        auto document = *at;
        ondemand::object object;
        *error = document.error();
        if (*error)
            break;
        if (document.get_object().get(object))
            continue;
        if (!touch_in_order(object, fields, sum))
            touch_in_any_order(object, fields, sum);
        count++;
    }
    return count;
}

} // namespace

int64_t json_parse_limit(const struct field_path *const *paths, uint32_t path_count,
                         const uint8_t *ndjson, size_t size, uint64_t *sum)
{
    must(path_count <= MAX_PATHS);
    struct fields fields;
    fields.count = path_count;
    std::copy(paths, paths + path_count, fields.path);
    order_fields(&fields, ndjson, size);

    ondemand::parser parser;
#ifdef SIMDJSON_THREADS_ENABLED
    parser.threaded = false;
#endif
    error_code error = SUCCESS;
    uint64_t seen = 0;
    int64_t count = walk(parser, &fields, ndjson, size, WINDOW_BYTES, &seen, &error);
    if (error == CAPACITY) {
        seen = 0;
        count = walk(parser, &fields, ndjson, size, size, &seen, &error);
    }
    *sum += seen;
    return count;
}
