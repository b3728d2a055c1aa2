/* import_line.c: a line of weir topic export, read back into a record.
 *
 * Members: partition, timestamp, key, value, headers, offset. Only value must be there (null: a
 * tombstone); offset is what the record had and is not used; topic is passed over, so that lines
 * may be put together by hand. Any other member is an error: it would be lost.
 *
 * Texts are the record's bytes: a string is taken as it is (\u0000 too), null is null, and
 * {"base64":"…"} stands for what is not UTF-8; strictly: RFC 4648 with padding and without stray
 * bits, so that one record has one line. */
#include "runtime/cli/import_line.h"

#include <jansson.h>
#include <limits.h>
#include <stdint.h>

enum { READ_FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };

void import_line_init(struct import_line *line)
{
    *line = (struct import_line){.partition = -1};
    buf_init(&line->headers, 0);
    buf_init(&line->text, 0);
}

void import_line_deinit(struct import_line *line)
{
    buf_deinit(&line->headers);
    buf_deinit(&line->text);
}

static int digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static int decode_base64(const char *text, size_t size, struct buf *out)
{
    if (size % 4 != 0)
        return ERR_INVALID;
    size_t padding = size > 0 && text[size - 1] == '=' ? 1 + (text[size - 2] == '=') : 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < size - padding; i++) {
        int six = digit(text[i]);
        if (six < 0)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 > 0)
            buf_u8(out, (uint8_t)(bits >> (6 - i % 4 * 2)));
    }
    /* The bits that the padding leaves over are zero. */
    uint32_t left_over = padding == 2 ? bits & 15 : padding == 1 ? bits & 3 : 0;
    return left_over == 0 ? 0 : ERR_INVALID;
}

/* A string or a base64 object, appended to out; null gives *is_null. */
static int read_bytes(const json_t *json, const char *what, struct buf *out, bool *is_null,
                      struct diag *diag)
{
    *is_null = json_is_null(json);
    const json_t *base64 = json_is_object(json) ? json_object_get(json, "base64") : NULL;
    if (json_is_string(json)) {
        buf_append(out, json_string_value(json), json_string_length(json));
    } else if (json_is_string(base64) && json_object_size(json) == 1) {
        if (decode_base64(json_string_value(base64), json_string_length(base64), out) < 0)
            return diag_set(diag, ERR_INVALID, "%s is no base64", what);
    } else if (!*is_null) {
        return diag_set(diag, ERR_INVALID, "%s is neither a string, null nor {\"base64\":\"…\"}",
                        what);
    }
    return buf_ok(out) ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a record");
}

static int read_number(const json_t *object, const char *name, int64_t min, int64_t max,
                       int64_t *number, struct diag *diag)
{
    const json_t *json = json_object_get(object, name);
    if (json == NULL)
        return 0;
    if (!json_is_integer(json) || json_integer_value(json) < min || json_integer_value(json) > max)
        return diag_set(diag, ERR_INVALID, "%s is no integer from %lld to %lld", name,
                        (long long)min, (long long)max);
    *number = json_integer_value(json);
    return 0;
}

static int read_header(struct import_line *line, const json_t *pair, struct diag *diag)
{
    struct buf name = {0}, value = {0};
    bool no_name = false, no_value = false;
    int rc = 0;
    if (!json_is_array(pair) || json_array_size(pair) != 2)
        rc = diag_set(diag, ERR_INVALID, "a header is no [name, value]");
    if (rc == 0)
        rc = read_bytes(json_array_get(pair, 0), "a header's name", &name, &no_name, diag);
    if (rc == 0 && no_name)
        rc = diag_set(diag, ERR_INVALID, "a header's name is null");
    if (rc == 0)
        rc = read_bytes(json_array_get(pair, 1), "a header's value", &value, &no_value, diag);
    if (rc == 0) {
        buf_varint(&line->headers, (int64_t)name.size);
        buf_append(&line->headers, name.data, name.size);
        buf_varint(&line->headers, no_value ? -1 : (int64_t)value.size);
        buf_append(&line->headers, value.data, value.size);
        line->header_count++;
    }
    buf_deinit(&name);
    buf_deinit(&value);
    return rc;
}

static int read_headers(struct import_line *line, const json_t *list, struct diag *diag)
{
    if (list == NULL)
        return 0;
    if (!json_is_array(list))
        return diag_set(diag, ERR_INVALID, "headers is no array");
    for (size_t i = 0; i < json_array_size(list); i++)
        TRY(read_header(line, json_array_get(list, i), diag));
    return buf_ok(&line->headers) ? 0 : diag_set(diag, ERR_NOMEM, "no memory for headers");
}

static int check_members(json_t *object, struct diag *diag)
{
    static const char *const known[] = {"partition", "timestamp", "key",  "value",
                                        "headers",   "offset",    "topic"};
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found = found || strcmp(name, known[i]) == 0;
        if (!found)
            return diag_set(diag, ERR_INVALID, "the member \"%.60s\" has no place in a record",
                            name);
    }
    if (json_object_get(object, "value") == NULL)
        return diag_set(diag, ERR_INVALID, "there is no value");
    return 0;
}

static struct bytes part(const struct buf *text, size_t from, size_t to, bool is_null)
{
    static const uint8_t nothing;
    if (is_null)
        return bytes_of(NULL, 0);
    return from == to ? bytes_of(&nothing, 0) : bytes_of(text->data + from, to - from);
}

static int read_object(struct import_line *line, json_t *object, struct diag *diag)
{
    int64_t partition = -1, offset = 0;
    bool no_key = true, no_value;
    TRY(check_members(object, diag));
    TRY(read_number(object, "partition", 0, 9999, &partition, diag));
    TRY(read_number(object, "timestamp", INT64_MIN + 1, INT64_MAX, &line->timestamp_ms, diag));
    TRY(read_number(object, "offset", 0, INT64_MAX, &offset, diag));
    const json_t *key = json_object_get(object, "key");
    if (key != NULL)
        TRY(read_bytes(key, "key", &line->text, &no_key, diag));
    size_t key_size = line->text.size;
    TRY(read_bytes(json_object_get(object, "value"), "value", &line->text, &no_value, diag));
    line->partition = (int32_t)partition;
    line->key = part(&line->text, 0, key_size, no_key);
    line->value = part(&line->text, key_size, line->text.size, no_value);
    return read_headers(line, json_object_get(object, "headers"), diag);
}

int import_line_read(struct import_line *line, struct bytes text, struct diag *diag)
{
    json_error_t error;
    buf_clear(&line->text);
    buf_clear(&line->headers);
    line->header_count = 0;
    line->timestamp_ms = INT64_MIN;
    json_t *object = json_loadb((const char *)text.data, text.size, READ_FLAGS, &error);
    if (object == NULL)
        return diag_set(
            diag, json_error_code(&error) == json_error_out_of_memory ? ERR_NOMEM : ERR_INVALID,
            "no JSON: %s at byte %d", error.text, error.position);
    int rc = json_is_object(object) ? read_object(line, object, diag)
                                    : diag_set(diag, ERR_INVALID, "no JSON object");
    json_decref(object);
    return rc;
}
