/* wire_read.c: Kafka's primitive types, read.
 *
 *   type              not flexible              flexible
 *   string            i16 length, -1 null       uvarint length + 1, 0 null
 *   bytes             i32 length, -1 null       uvarint length + 1, 0 null
 *   array             i32 count, -1 null        uvarint count + 1, 0 null
 *   end of a struct   -                         uvarint count, then {uvarint tag, uvarint size, bytes}, tags ascending
 *
 * bool, integers (big-endian) and uuids are the same in both. A length is compared with what remains before anything is
 * done with it, and a length of -2 or less, which no client writes, fails like one that is too long. */
#include "log/kafka/wire_read.h"

void wire_read_fail(struct wire_reader *reader, const char *reason)
{
    if (reader->reason == NULL)
        reader->reason = reason;
    reader->rest.size = 0;
}

static const uint8_t *take(struct wire_reader *reader, size_t size)
{
    if (reader->rest.size < size) {
        wire_read_fail(reader, "the request ends early");
        return NULL;
    }
    const uint8_t *at = reader->rest.data;
    reader->rest.data += size;
    reader->rest.size -= size;
    return at;
}

int8_t wire_read_i8(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 1);
    return at == NULL ? 0 : (int8_t)*at;
}

int16_t wire_read_i16(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 2);
    return at == NULL ? 0 : (int16_t)load_be16(at);
}

int32_t wire_read_i32(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 4);
    return at == NULL ? 0 : (int32_t)load_be32(at);
}

int64_t wire_read_i64(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 8);
    return at == NULL ? 0 : (int64_t)load_be64(at);
}

bool wire_read_bool(struct wire_reader *reader)
{
    return wire_read_i8(reader) != 0;
}

uint32_t wire_read_uvarint(struct wire_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t *at = take(reader, 1);
        if (at == NULL)
            return 0;
        value |= (uint64_t)(*at & 0x7f) << shift;
        if ((*at & 0x80) != 0)
            continue;
        if (value <= UINT32_MAX)
            return (uint32_t)value;
        break;
    }
    wire_read_fail(reader, "a number is over 32 bits");
    return 0;
}

struct uuid wire_read_uuid(struct wire_reader *reader)
{
    struct uuid id = {{0}};
    const uint8_t *at = take(reader, sizeof id.bytes);
    if (at != NULL)
        memcpy(id.bytes, at, sizeof id.bytes);
    return id;
}

/* ---- what has a length ---- */

/* -1: null. Anything that a length or a count can be fits. */
static int64_t read_length(struct wire_reader *reader, bool is_short)
{
    if (reader->flexible)
        return (int64_t)wire_read_uvarint(reader) - 1;
    return is_short ? wire_read_i16(reader) : wire_read_i32(reader);
}

static struct bytes read_sized(struct wire_reader *reader, int64_t length)
{
    if (!wire_read_ok(reader) || length == -1)
        return (struct bytes){NULL, 0};
    if (length < 0) {
        wire_read_fail(reader, "a length is negative");
        return (struct bytes){NULL, 0};
    }
    const uint8_t *at = take(reader, (size_t)length);
    return at == NULL ? (struct bytes){NULL, 0} : bytes_of(at, (size_t)length);
}

static struct bytes not_null(struct wire_reader *reader, struct bytes value)
{
    if (value.data == NULL)
        wire_read_fail(reader, "null where there must be a value");
    return value;
}

struct bytes wire_read_nullable_string(struct wire_reader *reader)
{
    return read_sized(reader, read_length(reader, true));
}

struct bytes wire_read_string(struct wire_reader *reader)
{
    return not_null(reader, wire_read_nullable_string(reader));
}

struct bytes wire_read_nullable_bytes(struct wire_reader *reader)
{
    return read_sized(reader, read_length(reader, false));
}

struct bytes wire_read_bytes(struct wire_reader *reader)
{
    return not_null(reader, wire_read_nullable_bytes(reader));
}

struct bytes wire_read_client_id(struct wire_reader *reader)
{
    return read_sized(reader, wire_read_i16(reader));
}

int32_t wire_read_nullable_array(struct wire_reader *reader, size_t item_bytes)
{
    must(item_bytes > 0);
    int64_t count = read_length(reader, false);
    if (!wire_read_ok(reader))
        return 0;
    if (count < -1 || (count > 0 && (uint64_t)count > reader->rest.size / item_bytes)) {
        wire_read_fail(reader, "a count is larger than the request");
        return 0;
    }
    return (int32_t)count;
}

int32_t wire_read_array(struct wire_reader *reader, size_t item_bytes)
{
    int32_t count = wire_read_nullable_array(reader, item_bytes);
    if (count >= 0)
        return count;
    wire_read_fail(reader, "null where there must be an array");
    return 0;
}

void wire_read_tags(struct wire_reader *reader)
{
    if (!reader->flexible)
        return;
    uint32_t count = wire_read_uvarint(reader);
    for (uint32_t i = 0; i < count && wire_read_ok(reader); i++) {
        wire_read_uvarint(reader); /* a tag that we do not know: none is known yet */
        take(reader, wire_read_uvarint(reader));
    }
}
