/* expr_record.c: record_key(), record_partition(), record_offset(), record_timestamp(), record_headers(): what a row's record has beside
 * its value.
 *
 * A row that came from a topic knows its record; rows that an aggregate made know none, and a call there is a row error. Nothing is
 * read of a record before one of these asks. Headers are Kafka's: for each a length and the bytes of its name, then of
 * its value, with −1 for none; as JSON an object of texts, the last of those with one name. */
#include "operators/expr_nodes.h"

#include "operators/json_encode.h"
#include "operators/json_token.h"

#include <string.h>

enum record_part { PART_KEY, PART_PARTITION, PART_OFFSET, PART_TIMESTAMP, PART_HEADERS };
static const struct {
    const char *name;
    uint8_t type;
} parts[] = {
    [PART_KEY] = {"record_key", COL_TEXT},
    [PART_PARTITION] = {"record_partition", COL_BIGINT},
    [PART_OFFSET] = {"record_offset", COL_BIGINT},
    [PART_TIMESTAMP] = {"record_timestamp", COL_TIMESTAMPTZ},
    [PART_HEADERS] = {"record_headers", COL_VARIANT},
};

/* ---- headers ---- */

static bool take_text(struct bytes *in, struct bytes *text)
{
    int64_t size;
    *text = (struct bytes){NULL, 0};
    if (take_varint(in, &size) < 0 || size < -1 || size > (int64_t)in->size)
        return false;
    if (size < 0)
        return true;
    *text = bytes_of(in->data, (size_t)size);
    in->data += size;
    in->size -= (size_t)size;
    return true;
}

/* The header at *in, which moves behind it; false: there are no more. */
static bool take_header(struct bytes *in, struct bytes *name, struct bytes *value)
{
    return in->size > 0 && take_text(in, name) && name->data != NULL && take_text(in, value);
}

static bool is_utf8(struct bytes text)
{
    return text.size == 0 || json_find_bad_utf8(text.data, text.size) == text.size;
}

/* Bytes that are no text stand as PostgreSQL writes bytea. */
static void put_text(struct buf *out, struct bytes text)
{
    if (text.data == NULL) {
        buf_printf(out, "null");
        return;
    }
    if (is_utf8(text)) {
        json_escape(out, text);
        return;
    }
    buf_printf(out, "\"\\\\x");
    for (size_t i = 0; i < text.size; i++)
        buf_printf(out, "%02x", text.data[i]);
    buf_printf(out, "\"");
}

static bool comes_again(struct bytes rest, struct bytes name)
{
    struct bytes other, value;
    while (take_header(&rest, &other, &value))
        if (bytes_equal(other, name))
            return true;
    return false;
}

static int headers_json(const struct source_row *record, struct arena *arena,
                        struct variant *variant)
{
    struct buf json;
    struct bytes rest = record->headers, name, value;
    bool is_first = true;
    buf_init(&json, 0);
    buf_u8(&json, '{');
    while (take_header(&rest, &name, &value)) {
        if (comes_again(rest, name))
            continue;
        if (!is_first)
            buf_u8(&json, ',');
        is_first = false;
        put_text(&json, name);
        buf_u8(&json, ':');
        put_text(&json, value);
    }
    buf_u8(&json, '}');
    uint8_t *copy = buf_ok(&json) ? arena_alloc(arena, json.size) : NULL;
    if (copy != NULL) {
        memcpy(copy, json.data, json.size);
        *variant =
            (struct variant){.data = copy, .size = (uint32_t)json.size, .kind = VARIANT_JSON};
    }
    buf_deinit(&json);
    return copy != NULL ? 0 : ERR_NOMEM;
}

/* ---- evaluation ---- */

static int put_key(struct eval *eval, const struct source_row *record, struct column *out,
                   uint32_t row)
{
    out->text[row] = record->key;
    if (record->key.data == NULL)
        out->nulls[row] = 1;
    else if (!is_utf8(record->key))
        return eval_fail(eval, out, row, "text_utf8", "the record's key is not valid UTF-8");
    return 0;
}

static int put_part(struct eval *eval, enum record_part part, const struct source_row *record,
                    struct column *out, uint32_t row)
{
    switch (part) {
    case PART_KEY:
        return put_key(eval, record, out, row);
    case PART_PARTITION:
        out->i64[row] = (int64_t)(eval->run->batch->origin & UINT32_MAX);
        return 0;
    case PART_OFFSET:
        out->i64[row] = record->offset;
        return 0;
    case PART_TIMESTAMP:
        out->i64[row] = record->timestamp_ms;
        return 0;
    case PART_HEADERS:
        return headers_json(record, eval->run->arena, &out->variant[row]);
    }
    return 0;
}

int eval_record(const struct node *node, struct eval *eval, struct column *out)
{
    const struct batch *batch = eval->run->batch;
    TRY(eval_alloc(eval, out, node->type, true));
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        TRY(batch->source == NULL
                ? eval_fail(eval, out, row, "no_record", "%s(): the row is of no record",
                            node->name)
                : put_part(eval, (enum record_part)node->op, batch_source(batch, row), out, row));
    }
    return 0;
}

bool is_record_function(const char *name)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].name, name) == 0)
            return true;
    return false;
}

int bind_record(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    uint8_t part = 0;
    while (strcmp(parts[part].name, syntax->text) != 0)
        part++;
    if (syntax->arg_count > 0)
        return source_error(&binder->source, ERR_INVALID, syntax->at, NULL,
                            "%s() takes no arguments", syntax->text);
    *out = node_new(binder, eval_record, parts[part].type, syntax->at, 0);
    if (*out == NULL)
        return ERR_NOMEM;
    (*out)->op = part;
    (*out)->name = parts[part].name;
    return 0;
}
