/* json_value.c: JSON text as a value (see json_value.h).
 *
 * A recursive reader over [at, end): each function takes one construct off the front and leaves `at`
 * behind it, or returns false. It is not the decoder: that one finds the tokens of a whole batch
 * with vector instructions and looks at the asked fields of a document only. What arrives here is a
 * value that an expression, an unnest or a user's function holds, once, so that plain code with a
 * check at every byte is the right tool, and the same code can check what a user's function made.
 *
 * The grammar is RFC 8259's: no leading zeros, no trailing commas, no raw control characters in
 * strings. Duplicate keys are allowed and the first one counts, as in the decoder. Depth is bounded
 * as there, which bounds the recursion. */
#include "operators/json_value.h"

#include "operators/json_token.h"

enum { DEPTH_MAX = 1024 }; /* as the decoder's (json_walk.h) */

struct reader {
    const uint8_t *at, *end;
};

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool take_byte(struct reader *r, uint8_t byte)
{
    skip_space(r);
    if (r->at == r->end || *r->at != byte)
        return false;
    r->at++;
    return true;
}

static bool take_word(struct reader *r, const char *word, size_t size)
{
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
        return false;
    r->at += size;
    return true;
}

/* The inside of the string whose quote is at `at`. */
static bool take_string(struct reader *r, struct bytes *inside)
{
    const uint8_t *first = ++r->at;
    bool escaped = false;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if (*r->at < 0x20)
            return false;
        if (*r->at == '\\') {
            escaped = true;
            if (++r->at == r->end)
                return false;
        }
    }
    if (r->at == r->end)
        return false;
    *inside = bytes_of(first, (size_t)(r->at - first));
    r->at++;
    return !escaped || json_unescape(inside->data, inside->size, NULL) >= 0;
}

static size_t digits(struct reader *r)
{
    const uint8_t *first = r->at;
    while (r->at < r->end && (uint8_t)(*r->at - '0') < 10)
        r->at++;
    return (size_t)(r->at - first);
}

static bool take_number(struct reader *r)
{
    if (*r->at == '-')
        r->at++;
    const uint8_t *first = r->at;
    size_t whole = digits(r);
    if (whole == 0 || (whole > 1 && *first == '0'))
        return false;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (digits(r) == 0)
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (digits(r) == 0)
            return false;
    }
    return true;
}

static bool take_value(struct reader *r, uint32_t depth);

static bool take_items(struct reader *r, bool is_object, uint32_t depth)
{
    uint8_t close = is_object ? '}' : ']';
    struct bytes key;
    r->at++;
    if (take_byte(r, close))
        return true;
    do {
        skip_space(r);
        if (is_object &&
            (r->at == r->end || *r->at != '"' || !take_string(r, &key) || !take_byte(r, ':')))
            return false;
        if (!take_value(r, depth + 1))
            return false;
    } while (take_byte(r, ','));
    return take_byte(r, close);
}

static bool take_value(struct reader *r, uint32_t depth)
{
    struct bytes inside;
    skip_space(r);
    if (r->at == r->end || depth >= DEPTH_MAX)
        return false;
    switch (*r->at) {
    case '{':
    case '[':
        return take_items(r, *r->at == '{', depth);
    case '"':
        return take_string(r, &inside);
    case 't':
        return take_word(r, "true", 4);
    case 'f':
        return take_word(r, "false", 5);
    case 'n':
        return take_word(r, "null", 4);
    default:
        return take_number(r);
    }
}

static bool take_token(struct reader *r, struct bytes *token)
{
    skip_space(r);
    const uint8_t *first = r->at;
    if (!take_value(r, 0))
        return false;
    *token = bytes_of(first, (size_t)(r->at - first));
    return true;
}

static struct reader reader_of(struct bytes text)
{
    return text.data != NULL ? (struct reader){text.data, text.data + text.size}
                             : (struct reader){(const uint8_t *)"", (const uint8_t *)""};
}

bool json_value_check(struct bytes text)
{
    struct reader r = reader_of(text);
    struct bytes token;
    if (!take_token(&r, &token))
        return false;
    skip_space(&r);
    return r.at == r.end && json_find_bad_utf8(text.data, text.size) == text.size;
}

static int read_string(struct bytes inside, struct arena *arena, struct variant *value)
{
    if (memchr(inside.data, '\\', inside.size) != NULL) {
        uint8_t *out = arena_alloc_aligned(arena, inside.size, 1);
        if (out == NULL)
            return ERR_NOMEM;
        ptrdiff_t size = json_unescape(inside.data, inside.size, out);
        if (size < 0)
            return ERR_INVALID;
        inside = bytes_of(out, (size_t)size);
    }
    value->kind = VARIANT_TEXT;
    value->data = inside.data;
    value->size = (uint32_t)inside.size;
    return 0;
}

static void read_number(struct bytes token, struct variant *value)
{
    bool negative = token.data[0] == '-';
    int64_t number = 0;
    size_t i = negative;
    for (; i < token.size; i++) {
        unsigned digit = (unsigned)token.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, (int64_t)10, &number) ||
            __builtin_sub_overflow(number, (int64_t)digit, &number))
            break;
    }
    if (i == token.size && (negative || number != INT64_MIN)) {
        value->kind = VARIANT_INT;
        value->i64 = negative ? number : -number;
        return;
    }
    value->kind = VARIANT_NUMBER;
    value->data = token.data;
    value->size = (uint32_t)token.size;
}

int json_value_read(struct bytes text, struct arena *arena, struct variant *value)
{
    struct reader r = reader_of(text), inner;
    struct bytes token, inside;
    *value = (struct variant){.kind = VARIANT_NULL};
    if (text.size > UINT32_MAX || !take_token(&r, &token))
        return ERR_INVALID;
    switch (token.data[0]) {
    case '{':
    case '[':
        value->kind = VARIANT_JSON;
        value->data = token.data;
        value->size = (uint32_t)token.size;
        return 0;
    case '"':
        inner = reader_of(token);
        must(take_string(&inner, &inside));
        return read_string(inside, arena, value);
    case 't':
    case 'f':
        value->kind = token.data[0] == 't' ? VARIANT_TRUE : VARIANT_FALSE;
        return 0;
    case 'n':
        return 0;
    default:
        read_number(token, value);
        return 0;
    }
}

int json_elements_begin(struct json_elements *elements, struct bytes array)
{
    struct reader r = reader_of(array);
    if (!take_byte(&r, '['))
        return ERR_INVALID;
    *elements = (struct json_elements){r.at, r.end, true};
    return 0;
}

int json_elements_next(struct json_elements *elements, struct bytes *element)
{
    struct reader r = {elements->at, elements->end};
    if (take_byte(&r, ']'))
        return 0;
    if (!elements->is_first && !take_byte(&r, ','))
        return ERR_INVALID;
    if (!take_token(&r, element))
        return ERR_INVALID;
    *elements = (struct json_elements){r.at, r.end, false};
    return 1;
}

static int key_equals(struct bytes inside, struct bytes key, struct arena *arena)
{
    if (memchr(inside.data, '\\', inside.size) == NULL)
        return bytes_equal(inside, key);
    uint8_t *out = arena_alloc_aligned(arena, inside.size, 1);
    if (out == NULL)
        return ERR_NOMEM;
    ptrdiff_t size = json_unescape(inside.data, inside.size, out);
    return size >= 0 ? bytes_equal(bytes_of(out, (size_t)size), key) : ERR_INVALID;
}

int json_value_member(struct bytes object, struct bytes key, struct arena *arena,
                      struct bytes *value)
{
    struct reader r = reader_of(object);
    if (!take_byte(&r, '{') || take_byte(&r, '}'))
        return 0;
    do {
        struct bytes inside;
        skip_space(&r);
        if (r.at == r.end || *r.at != '"' || !take_string(&r, &inside) || !take_byte(&r, ':') ||
            !take_token(&r, value))
            return ERR_INVALID;
        int rc = key_equals(inside, key, arena);
        if (rc != 0)
            return rc;
    } while (take_byte(&r, ','));
    return 0;
}

int json_value_element(struct bytes array, int64_t index, struct bytes *value)
{
    struct json_elements elements;
    if (json_elements_begin(&elements, array) < 0)
        return 0;
    if (index < 0) {
        int64_t count = 0;
        for (int rc; (rc = json_elements_next(&elements, value)) != 0; count++)
            TRY(rc);
        index += count;
        if (index < 0)
            return 0;
        TRY(json_elements_begin(&elements, array));
    }
    for (;;) {
        int rc = json_elements_next(&elements, value);
        if (rc <= 0 || index-- == 0)
            return rc;
    }
}
