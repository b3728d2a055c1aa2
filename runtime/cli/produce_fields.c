/* produce_fields.c: record key and timestamp out of fields of JSON lines, a batch of lines at a
 * time.
 *
 * The fields are decoded by the decoder that jobs use (json_decode.h), so a key is the text that a
 * job sees. A decoded field cannot tell null from missing, which matters here: null gives a null
 * key, a missing field is an error. Only such rows are looked at again, with json_has_field.
 *
 * A job that groups by the key field may read the topic without re-keying when every record lies in
 * the partition of its field's text: murmur2 of the record key. That holds for a text that does not
 * start with '{' (such a text, null, and other types are grouped by their JSON form). groups_by_key
 * tells the caller, who keeps the topic's weir.partitioned.by true. */
#include "runtime/cli/produce_fields.h"

#include "operators/json_decode.h"
#include "runtime/base/clock.h"
#include "runtime/records/json_check.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct field_reader {
    struct field_set *fields;
    struct json_decoder *decoder;
    const char *key_path, *timestamp_path; /* the caller's */
    int key_index, timestamp_index;        /* -1: not asked for */
    struct arena arena;                    /* of one read */
};

void field_reader_destroy(struct field_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->decoder != NULL)
        json_decoder_destroy(reader->decoder);
    if (reader->fields != NULL)
        field_set_destroy(reader->fields);
    arena_deinit(&reader->arena);
    free(reader);
}

static int add_path(struct field_reader *reader, const char *path, struct diag *diag)
{
    if (path == NULL)
        return -1;
    return field_set_add(reader->fields, path, diag);
}

static int reader_open(struct field_reader *reader, struct diag *diag)
{
    reader->fields = field_set_create();
    if (reader->fields == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read fields");
    reader->key_index = add_path(reader, reader->key_path, diag);
    if (reader->key_path != NULL)
        TRY(reader->key_index);
    reader->timestamp_index = add_path(reader, reader->timestamp_path, diag);
    if (reader->timestamp_path != NULL)
        TRY(reader->timestamp_index);
    const struct field_path *paths[2];
    uint32_t count = field_set_count(reader->fields);
    for (uint32_t i = 0; i < count; i++)
        paths[i] = field_set_path(reader->fields, i);
    return json_decoder_create(paths, count, &reader->decoder, diag);
}

int field_reader_create(const char *key_path, const char *timestamp_path,
                        struct field_reader **reader, struct diag *diag)
{
    struct field_reader *made = calloc(1, sizeof *made);
    if (made == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to read fields");
    made->key_path = key_path;
    made->timestamp_path = timestamp_path;
    arena_init(&made->arena, 0);
    int code = reader_open(made, diag);
    if (code < 0) {
        field_reader_destroy(made);
        return code;
    }
    *reader = made;
    return 0;
}

static bool is_missing(const struct field_reader *reader, struct bytes line, int index)
{
    return !json_has_field(line, field_set_path(reader->fields, (uint32_t)index));
}

static struct bytes integer_text(struct arena *arena, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    return arena_copy(arena, bytes_of(text, (size_t)size));
}

static int read_key(struct field_reader *reader, struct bytes line, const struct variant *value,
                    struct line_fields *fields, struct diag *diag)
{
    fields->groups_by_key = false;
    switch ((enum variant_kind)value->kind) {
    case VARIANT_NULL:
        if (is_missing(reader, line, reader->key_index))
            return diag_set(diag, ERR_INVALID, "there is no field '%s' for the key",
                            reader->key_path);
        fields->key = bytes_of(NULL, 0);
        return 0;
    case VARIANT_FALSE:
        fields->key = bytes_text("false");
        return 0;
    case VARIANT_TRUE:
        fields->key = bytes_text("true");
        return 0;
    case VARIANT_INT:
        fields->key = integer_text(&reader->arena, value->i64);
        return fields->key.data != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a key");
    case VARIANT_NUMBER:
        fields->key = bytes_of(value->data, value->size);
        return 0;
    case VARIANT_TEXT:
        fields->key = bytes_of(value->size > 0 ? value->data : (const uint8_t *)"", value->size);
        fields->groups_by_key = value->size == 0 || value->data[0] != '{';
        return 0;
    case VARIANT_JSON:
        break;
    }
    return diag_set(diag, ERR_INVALID,
                    "field '%s' is an object or array: a key is a text, a number, true or false",
                    reader->key_path);
}

/* Epoch milliseconds of a number that is no integer token: a fraction is cut towards minus
 * infinity. */
static bool number_ms(struct bytes token, int64_t *timestamp_ms)
{
    char text[64];
    if (token.size >= sizeof text)
        return false;
    memcpy(text, token.data, token.size);
    text[token.size] = '\0';
    double number = floor(strtod(text, NULL));
    if (!(number >= -9e15 && number <= 9e15))
        return false;
    *timestamp_ms = (int64_t)number;
    return true;
}

/* Text of digits is epoch milliseconds, other text ISO 8601. */
static bool text_ms(struct bytes text, int64_t *timestamp_ms)
{
    char copy[24];
    if (text.size > 0 && text.size < sizeof copy) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        size_t sign = copy[0] == '-' ? 1 : 0;
        if (text.size > sign && strspn(copy + sign, "0123456789") == text.size - sign) {
            char *end;
            *timestamp_ms = strtoll(copy, &end, 10);
            return true;
        }
    }
    return time_parse_iso(text, timestamp_ms) == 0;
}

static int read_timestamp(struct field_reader *reader, struct bytes line,
                          const struct variant *value, int64_t latest_ms, int64_t *timestamp_ms,
                          struct diag *diag)
{
    const char *path = reader->timestamp_path;
    bool ok = false;
    struct bytes shown = {0};
    switch ((enum variant_kind)value->kind) {
    case VARIANT_NULL:
        return diag_set(diag, ERR_INVALID, "field '%s' for the timestamp is %s", path,
                        is_missing(reader, line, reader->timestamp_index) ? "not there" : "null");
    case VARIANT_INT:
        *timestamp_ms = value->i64;
        ok = true;
        break;
    case VARIANT_NUMBER:
        shown = bytes_of(value->data, value->size);
        ok = number_ms(shown, timestamp_ms);
        break;
    case VARIANT_TEXT:
        shown = bytes_of(value->size > 0 ? value->data : (const uint8_t *)"", value->size);
        ok = text_ms(shown, timestamp_ms);
        break;
    default:
        break;
    }
    if (!ok)
        return diag_set(diag, ERR_INVALID,
                        "field '%s' is no timestamp (epoch milliseconds or ISO 8601)%s%.*s", path,
                        shown.size > 0 ? ": " : "", (int)(shown.size < 40 ? shown.size : 40),
                        shown.size > 0 ? (const char *)shown.data : "");
    if (*timestamp_ms < 0)
        return diag_set(diag, ERR_INVALID,
                        "field '%s' is before 1970 (%lld): record timestamps cannot be negative",
                        path, (long long)*timestamp_ms);
    if (*timestamp_ms > latest_ms)
        return diag_set(diag, ERR_INVALID,
                        "field '%s' is too far in the future (%lld): "
                        "message.timestamp.after.max.ms of the topic allows "
                        "up to %lld now",
                        path, (long long)*timestamp_ms, (long long)latest_ms);
    return 0;
}

/* The reject of a row, if any: they come in no promised order. */
static const struct reject *reject_of(const struct reject_list *rejects, uint32_t row)
{
    for (uint32_t i = 0; i < rejects->count; i++)
        if (rejects->items[i].row == row)
            return &rejects->items[i];
    return NULL;
}

static int read_row(struct field_reader *reader, struct bytes line, const struct column *columns,
                    uint32_t row, int64_t latest_ms, struct line_fields *fields, struct diag *diag)
{
    *fields = (struct line_fields){.timestamp_ms = INT64_MIN};
    if (reader->key_index >= 0) {
        const struct column *column = &columns[reader->key_index];
        TRY(read_key(reader, line, &column->variant[column_at(column, row)], fields, diag));
    }
    if (reader->timestamp_index >= 0) {
        const struct column *column = &columns[reader->timestamp_index];
        TRY(read_timestamp(reader, line, &column->variant[column_at(column, row)], latest_ms,
                           &fields->timestamp_ms, diag));
    }
    return 0;
}

int field_reader_read(struct field_reader *reader, const struct bytes *lines, uint32_t count,
                      int64_t latest_ms, struct line_fields *fields, struct diag *diag)
{
    arena_reset(&reader->arena);
    struct column columns[2];
    struct reject_list rejects = {.arena = &reader->arena};
    int code = json_decode(reader->decoder, lines, count, false, &reader->arena, columns, &rejects);
    if (code < 0)
        return diag_set(diag, code, "no memory to read %u lines", count);
    for (uint32_t row = 0; row < count; row++) {
        const struct reject *reject = rejects.count > 0 ? reject_of(&rejects, row) : NULL;
        if (reject != NULL) {
            diag_set(diag, ERR_INVALID, "%s (%s)", reject->message, reject->error_class);
            return (int)row;
        }
        code = read_row(reader, lines[row], columns, row, latest_ms, &fields[row], diag);
        if (code == ERR_NOMEM)
            return code;
        if (code < 0)
            return (int)row;
    }
    return (int)count;
}
