/* expr_bytea.c: the functions on bytes, and the casts from and to them, which are always written.
 *
 * PostgreSQL's, by its names: encode and decode between bytes and texts that spell them, convert_from
 * and convert_to between bytes and the text that they are. Positions count bytes, from 1 in substr
 * and from 0 in get_byte. A form or an encoding is a literal, so that a misspelt one is found before
 * anything runs. Parts share the bytes of their argument. */
#include "operators/expr_nodes.h"

#include <strings.h>

#include "operators/bytea.h"
#include "operators/json_token.h"

enum { FORM_HEX, FORM_BASE64, FORM_ESCAPE };

int bytea_name_find(const char *name, char letter)
{
    static const char *const forms[] = {"hex", "base64", "escape"};
    if (letter == 'u')
        return strcasecmp(name, "utf8") == 0 || strcasecmp(name, "utf-8") == 0 ? 0 : -1;
    for (int i = 0; i < 3; i++)
        if (strcasecmp(name, forms[i]) == 0)
            return i;
    return -1;
}

static int bytea_length(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->i64 = (int64_t)args[0].text.size;
    return SCALAR_VALUE;
}

/* Room for a text of at most 16 MiB. */
static int new_text(struct row_call *call, size_t size, uint8_t **text)
{
    if (size > EXPR_VALUE_BYTES_MAX)
        return scalar_fail(call, "out_of_range", "a text is longer than %d bytes",
                           EXPR_VALUE_BYTES_MAX);
    *text = arena_alloc_aligned(call->eval->run->arena, size + 1, 1);
    return *text != NULL ? SCALAR_VALUE : ERR_NOMEM;
}

/* Bytes above 127 and zero as \ooo, a backslash twice, the rest as it is. */
static int encode_escape(struct row_call *call, struct bytes value, struct bytes *out)
{
    uint8_t *text = NULL;
    size_t size = 0;
    for (size_t i = 0; i < value.size; i++)
        size += value.data[i] == 0 || value.data[i] > 127 ? 4 : value.data[i] == '\\' ? 2 : 1;
    int rc = new_text(call, size, &text);
    if (rc != SCALAR_VALUE)
        return rc;
    *out = bytes_of(text, size);
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];
        bool is_octal = byte == 0 || byte > 127;
        if (is_octal || byte == '\\')
            *text++ = '\\';
        if (is_octal) {
            *text++ = (uint8_t)('0' + (byte >> 6));
            *text++ = (uint8_t)('0' + (byte >> 3 & 7));
            byte = (uint8_t)('0' + (byte & 7));
        }
        *text++ = byte;
    }
    return SCALAR_VALUE;
}

static int bytea_encode(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes value = args[0].text;
    uint8_t *text = NULL;
    if (args[1].i64 == FORM_ESCAPE)
        return encode_escape(call, value, &result->text);
    bool is_hex = args[1].i64 == FORM_HEX;
    size_t size = is_hex ? 2 * value.size : bytea_base64_bytes(value.size);
    int rc = new_text(call, size, &text);
    if (rc != SCALAR_VALUE)
        return rc;
    if (is_hex)
        bytea_hex(value, text);
    else
        bytea_base64(value, text);
    result->text = bytes_of(text, size);
    return SCALAR_VALUE;
}

static bool begins_with_hex(struct bytes text)
{
    return text.size >= 2 && text.data[0] == '\\' && text.data[1] == 'x';
}

static int bytea_decode(struct row_call *call, const union scalar *args, union scalar *result)
{
    static const char *const names[] = {"hexadecimal digits", "base 64", "escaped bytes"};
    struct arena *arena = call->eval->run->arena;
    struct bytes text = args[0].text;
    int rc = args[1].i64 == FORM_HEX      ? bytea_parse_hex(text, arena, &result->text)
             : args[1].i64 == FORM_BASE64 ? bytea_parse_base64(text, arena, &result->text)
             : begins_with_hex(text)      ? ERR_INVALID
                                          : bytea_parse(text, arena, &result->text);
    if (rc == ERR_INVALID)
        return scalar_fail(call, "invalid_argument", "the text is not %s: \"%.*s\"",
                           names[args[1].i64], clip(text, 40), (const char *)text.data);
    return rc;
}

static int bytea_convert_from(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes value = args[0].text;
    size_t bad = json_find_bad_utf8(value.data, value.size);
    if (bad < value.size)
        return scalar_fail(call, "invalid_argument",
                           "the bytes are not valid UTF-8, at byte %zu of %zu", bad, value.size);
    result->text = value;
    return SCALAR_VALUE;
}

static int bytea_convert_to(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->text = args[0].text;
    return SCALAR_VALUE;
}

static int bytea_substr(struct row_call *call, const union scalar *args, union scalar *result)
{
    int64_t size = (int64_t)args[0].text.size, first = args[1].i64, end = INT64_MAX;
    if (call->node->arg_count == 3) {
        if (args[2].i64 < 0)
            return scalar_fail(call, "invalid_argument", "negative substring length not allowed");
        if (__builtin_add_overflow(first, args[2].i64, &end))
            end = INT64_MAX;
    }
    first = first < 1 ? 1 : first > size + 1 ? size + 1 : first;
    end = end > size + 1 ? size + 1 : end < first ? first : end;
    result->text = bytes_of(args[0].text.data + first - 1, (size_t)(end - first));
    return SCALAR_VALUE;
}

static int bytea_get_byte(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes value = args[0].text;
    if (args[1].i64 < 0 || args[1].i64 >= (int64_t)value.size)
        return scalar_fail(call, "invalid_argument", "index %lld out of valid range, 0..%lld",
                           (long long)args[1].i64, (long long)value.size - 1);
    result->i64 = value.data[args[1].i64];
    return SCALAR_VALUE;
}

/* ---- casts ---- */

int text_to_bytea(struct row_call *call, const union scalar *args, union scalar *result)
{
    struct bytes text = args[0].text;
    int rc = bytea_parse(text, call->eval->run->arena, &result->text);
    if (rc == ERR_INVALID)
        return scalar_fail(call, "cast_failed", "invalid input syntax for type bytea: \"%.*s\"",
                           clip(text, 40), (const char *)text.data);
    return rc;
}

/* JSON has no bytes; a text of it may spell them. */
int variant_to_bytea(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    char what[80];
    if (v->kind != VARIANT_TEXT)
        return scalar_fail(call, "cast_failed", "cannot cast %s to bytea",
                           variant_describe(v, what));
    const union scalar text = {.text = bytes_of(v->data, v->size)};
    return text_to_bytea(call, &text, result);
}

int bytea_to_text(struct row_call *call, const union scalar *args, union scalar *result)
{
    uint8_t *text = NULL;
    size_t size = bytea_text_bytes(args[0].text.size);
    int rc = new_text(call, size, &text);
    if (rc != SCALAR_VALUE)
        return rc;
    bytea_print(args[0].text, text);
    result->text = bytes_of(text, size);
    return SCALAR_VALUE;
}

const struct function bytea_functions[] = {
    {"length", "i:y", bytea_length, false},
    {"octet_length", "i:y", bytea_length, false},
    {"encode", "t:yh", bytea_encode, false},
    {"decode", "y:th", bytea_decode, false},
    {"convert_from", "t:yu", bytea_convert_from, false},
    {"convert_to", "y:tu", bytea_convert_to, false},
    {"substr", "y:yi", bytea_substr, false},
    {"substr", "y:yii", bytea_substr, false},
    {"substring", "y:yi", bytea_substr, false},
    {"substring", "y:yii", bytea_substr, false},
    {"get_byte", "i:yi", bytea_get_byte, false},
    {NULL, NULL, NULL, false},
};
