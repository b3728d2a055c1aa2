/* consume_format.c: a record as a line of text.
 *
 *   json
 * {"topic":"t","partition":0,"offset":7,"timestamp":1291191960000,"key":"17850","value":{…},"headers":{}}
 *   value      the value's bytes; a tombstone is null
 *   key-value  key, tab, value; a null key is null
 *
 * In json a value that is JSON stands as it is (on one line: line breaks between its tokens are
 * left out), a null value is null, other UTF-8 is a string, and anything else a string of base64
 * with "encoding":"base64" behind it ("key_encoding" for a key). Headers are an object from name to
 * string, null, or {"base64":"…"}; a name that occurs several times has an array. */
#include "runtime/records/consume_format.h"

#include "operators/json_encode.h"
#include "runtime/records/json_check.h"

static void put_text(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

static void put_number(struct buf *out, int64_t number)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        *--at = '-';
    buf_append(out, at, (size_t)(digits + sizeof digits - at));
}

static void put_base64(struct buf *out, struct bytes bytes)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *to = buf_reserve(out, (bytes.size + 2) / 3 * 4 + 2);
    if (to == NULL)
        return;
    uint8_t *at = to;
    *at++ = '"';
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        three |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        three |= left > 2 ? bytes.data[i + 2] : 0;
        *at++ = (uint8_t)letters[three >> 18];
        *at++ = (uint8_t)letters[three >> 12 & 63];
        *at++ = left > 1 ? (uint8_t)letters[three >> 6 & 63] : '=';
        *at++ = left > 2 ? (uint8_t)letters[three & 63] : '=';
    }
    *at++ = '"';
    out->size += (size_t)(at - to);
}

/* A string or null; true when it had to be base64. */
static bool put_string(struct buf *out, struct bytes bytes)
{
    if (bytes.data == NULL) {
        put_text(out, "null");
    } else if (utf8_check(bytes)) {
        json_escape(out, bytes);
    } else {
        put_base64(out, bytes);
        return true;
    }
    return false;
}

static bool put_value(struct buf *out, struct bytes value)
{
    if (value.data == NULL || !json_check(value))
        return put_string(out, value);
    /* Control characters cannot stand inside a valid string, so these are between tokens. */
    if (memchr(value.data, '\n', value.size) != NULL ||
        memchr(value.data, '\r', value.size) != NULL)
        json_put_one_line(out, value);
    else
        buf_append_bytes(out, value);
    return false;
}

void consume_put_bytes(struct buf *out, struct bytes value)
{
    if (value.data != NULL && !utf8_check(value)) {
        put_text(out, "{\"base64\":");
        put_base64(out, value);
        put_text(out, "}");
    } else {
        put_string(out, value);
    }
}

/* The i-th header from the front; false past the end. Headers are few, so they are read again
 * rather than kept. */
static bool header_at(const struct record *record, int32_t index, struct header *header)
{
    struct bytes rest = record->headers;
    for (int32_t i = 0; i <= index; i++)
        if (i >= record->header_count || header_take(&rest, header) < 0)
            return false;
    return true;
}

/* How many headers from..count carry this name. */
static int32_t headers_named(const struct record *record, int32_t from, int32_t to,
                             struct bytes name)
{
    int32_t found = 0;
    struct header header;
    for (int32_t i = from; i < to && header_at(record, i, &header); i++)
        found += bytes_equal(header.key, name);
    return found;
}

static void put_header(struct buf *out, const struct record *record, int32_t index,
                       const struct header *first)
{
    put_string(out, first->key);
    put_text(out, ":");
    if (headers_named(record, index + 1, record->header_count, first->key) == 0) {
        consume_put_bytes(out, first->value);
        return;
    }
    put_text(out, "[");
    consume_put_bytes(out, first->value);
    struct header header;
    for (int32_t i = index + 1; i < record->header_count && header_at(record, i, &header); i++)
        if (bytes_equal(header.key, first->key)) {
            put_text(out, ",");
            consume_put_bytes(out, header.value);
        }
    put_text(out, "]");
}

static void put_headers(struct buf *out, const struct record *record)
{
    put_text(out, "{");
    bool first = true;
    struct header header;
    for (int32_t i = 0; i < record->header_count && header_at(record, i, &header); i++) {
        if (headers_named(record, 0, i, header.key) > 0)
            continue;
        if (!first)
            put_text(out, ",");
        first = false;
        put_header(out, record, i, &header);
    }
    put_text(out, "}");
}

void consume_put_content(struct buf *out, const struct record *record)
{
    put_text(out, "\"key\":");
    bool key_encoded = put_string(out, record->key);
    put_text(out, ",\"value\":");
    bool value_encoded = put_value(out, record->value);
    put_text(out, ",\"headers\":");
    put_headers(out, record);
    if (value_encoded)
        put_text(out, ",\"encoding\":\"base64\"");
    if (key_encoded)
        put_text(out, ",\"key_encoding\":\"base64\"");
}

static void put_json(struct buf *out, const char *topic_json, int32_t partition,
                     const struct record *record)
{
    put_text(out, "{\"topic\":");
    put_text(out, topic_json);
    put_text(out, ",\"partition\":");
    put_number(out, partition);
    put_text(out, ",\"offset\":");
    put_number(out, record->offset);
    put_text(out, ",\"timestamp\":");
    put_number(out, record->timestamp_ms);
    put_text(out, ",");
    consume_put_content(out, record);
    put_text(out, "}\n");
}

static void put_lossless_headers(struct buf *out, const struct record *record)
{
    struct bytes rest = record->headers;
    struct header header;
    put_text(out, ",\"headers\":[");
    for (int32_t i = 0; i < record->header_count && header_take(&rest, &header) == 0; i++) {
        put_text(out, i > 0 ? ",[" : "[");
        consume_put_bytes(out, header.key);
        put_text(out, ",");
        consume_put_bytes(out, header.value);
        put_text(out, "]");
    }
    put_text(out, "]");
}

void consume_put_lossless(struct buf *out, int32_t partition, const struct record *record)
{
    put_text(out, "{\"partition\":");
    put_number(out, partition);
    put_text(out, ",\"offset\":");
    put_number(out, record->offset);
    put_text(out, ",\"timestamp\":");
    put_number(out, record->timestamp_ms);
    put_text(out, ",\"key\":");
    consume_put_bytes(out, record->key);
    put_text(out, ",\"value\":");
    consume_put_bytes(out, record->value);
    if (record->header_count > 0)
        put_lossless_headers(out, record);
    put_text(out, "}\n");
}

static void put_bytes(struct buf *out, struct bytes bytes)
{
    if (bytes.data == NULL)
        put_text(out, "null");
    else
        buf_append_bytes(out, bytes);
}

void consume_put(struct buf *out, enum consume_format format, const char *topic_json,
                 int32_t partition, const struct record *record)
{
    if (format == CONSUME_JSON) {
        put_json(out, topic_json, partition, record);
        return;
    }
    if (format == CONSUME_KEY_VALUE) {
        put_bytes(out, record->key);
        buf_u8(out, '\t');
    }
    put_bytes(out, record->value);
    buf_u8(out, '\n');
}
