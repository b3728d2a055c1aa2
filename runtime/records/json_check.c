/* json_check.c: a strict JSON validator that only looks.
 *
 * consume embeds a value as JSON when it is JSON, whole and well-formed, since one bad value would
 * break the line for whoever parses it. simdjson's On-Demand parser skips what nobody asks for, so
 * it cannot say that; this one reads every byte once, without recursion (a bit per open bracket),
 * and takes no memory. A table of the bytes that need no look inside a string keeps the usual case,
 * plain ASCII text, at about a byte a cycle. */
#include "runtime/records/json_check.h"

struct cursor {
    const uint8_t *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static bool is_digit(const struct cursor *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool skip_digits(struct cursor *c)
{
    if (!is_digit(c))
        return false;
    while (is_digit(c))
        c->at++;
    return true;
}

static bool skip_number(struct cursor *c)
{
    if (*c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0')
        c->at++;
    else if (!skip_digits(c))
        return false;
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!skip_digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        return skip_digits(c);
    }
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u; -1 when they are none. */
static int32_t take_hex4(struct cursor *c)
{
    if (c->end - c->at < 4)
        return -1;
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(c->at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    c->at += 4;
    return code;
}

/* At the byte after a backslash. */
static bool skip_escape(struct cursor *c)
{
    if (c->at >= c->end)
        return false;
    uint8_t letter = *c->at++;
    if (letter == 'u')
        return take_hex4(c) >= 0;
    return letter != '\0' && strchr("\"\\/bfnrt", letter) != NULL;
}

/* Printable ASCII but " and \ : bytes inside a string that need no further look. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* At the opening quote; ends behind the closing one. */
static bool skip_string(struct cursor *c)
{
    if (c->at >= c->end || *c->at != '"')
        return false;
    for (c->at++; c->at < c->end;) {
        if (is_plain(*c->at)) {
            c->at++;
        } else if (*c->at == '"') {
            c->at++;
            return true;
        } else if (*c->at == '\\') {
            c->at++;
            if (!skip_escape(c))
                return false;
        } else {
            size_t length = *c->at < 0x20 ? 0 : utf8_sequence(c->at, (size_t)(c->end - c->at));
            if (length == 0)
                return false;
            c->at += length;
        }
    }
    return false;
}

static bool skip_word(struct cursor *c, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size) != 0)
        return false;
    c->at += size;
    return true;
}

/* "name": of an object's member, white space around it allowed. */
static bool skip_name(struct cursor *c)
{
    skip_space(c);
    if (!skip_string(c))
        return false;
    skip_space(c);
    return c->at < c->end && *c->at++ == ':';
}

/* Open brackets, a bit each: 1 is an object. */
struct nest {
    uint8_t bits[JSON_CHECK_DEPTH / 8 + 1];
    int depth;
};

static void nest_push(struct nest *nest, bool object)
{
    uint8_t bit = (uint8_t)(1u << (nest->depth % 8)), *byte = &nest->bits[nest->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    nest->depth++;
}

static bool nest_is_object(const struct nest *nest)
{
    int top = nest->depth - 1;
    return (nest->bits[top / 8] >> (top % 8) & 1) != 0;
}

enum step { STEP_BAD, STEP_OPENED, STEP_ENDED };

/* At a value: goes into a bracket that is not empty (OPENED: at its first value), or over anything
 * else (ENDED). */
static enum step enter_value(struct cursor *c, struct nest *nest)
{
    skip_space(c);
    if (c->at >= c->end)
        return STEP_BAD;
    bool ok = false;
    switch (*c->at) {
    case '{':
    case '[': {
        if (nest->depth == JSON_CHECK_DEPTH)
            return STEP_BAD;
        bool object = *c->at++ == '{';
        skip_space(c);
        if (c->at < c->end && *c->at == (object ? '}' : ']')) {
            c->at++;
            return STEP_ENDED;
        }
        nest_push(nest, object);
        return !object || skip_name(c) ? STEP_OPENED : STEP_BAD;
    }
    case '"':
        ok = skip_string(c);
        break;
    case 't':
        ok = skip_word(c, "true");
        break;
    case 'f':
        ok = skip_word(c, "false");
        break;
    case 'n':
        ok = skip_word(c, "null");
        break;
    default:
        ok = (*c->at == '-' || is_digit(c)) && skip_number(c);
    }
    return ok ? STEP_ENDED : STEP_BAD;
}

/* Behind a value: closes brackets up to the next comma (OPENED: at the next value) or the outermost
 * (ENDED). */
static enum step leave_value(struct cursor *c, struct nest *nest)
{
    while (nest->depth > 0) {
        skip_space(c);
        if (c->at >= c->end)
            return STEP_BAD;
        bool object = nest_is_object(nest);
        uint8_t byte = *c->at++;
        if (byte == ',')
            return !object || skip_name(c) ? STEP_OPENED : STEP_BAD;
        if (byte != (object ? '}' : ']'))
            return STEP_BAD;
        nest->depth--;
    }
    return STEP_ENDED;
}

static bool skip_value(struct cursor *c)
{
    struct nest nest;
    nest.depth = 0;
    for (;;) {
        enum step step = enter_value(c, &nest);
        if (step == STEP_ENDED)
            step = leave_value(c, &nest);
        if (step != STEP_OPENED)
            return step == STEP_ENDED;
    }
}

bool json_check(struct bytes text)
{
    if (text.data == NULL)
        return false;
    struct cursor c = {text.data, text.data + text.size};
    if (!skip_value(&c))
        return false;
    skip_space(&c);
    return c.at == c.end;
}

void json_put_one_line(struct buf *out, struct bytes text)
{
    struct cursor c = {text.data, text.data + text.size};
    while (c.at < c.end) {
        skip_space(&c);
        const uint8_t *from = c.at;
        while (c.at < c.end && *c.at != '"' && *c.at > ' ')
            c.at++;
        if (c.at < c.end && *c.at == '"' && !skip_string(&c))
            return;
        buf_append(out, from, (size_t)(c.at - from));
    }
}

/* Appends code as UTF-8; returns its size. */
static size_t put_utf8(uint8_t out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(lead[length] | code);
    return length;
}

/* At the byte after a backslash of a valid string: what the escape stands for. */
static size_t take_escape(struct cursor *c, uint8_t out[4])
{
    uint8_t letter = *c->at++;
    if (letter != 'u') {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *found = strchr(from, letter);
        out[0] = found != NULL ? (uint8_t)to[found - from] : letter;
        return 1;
    }
    uint32_t code = (uint32_t)take_hex4(c);
    if (code >= 0xd800 && code < 0xdc00 && c->end - c->at >= 6 && c->at[0] == '\\' &&
        c->at[1] == 'u') {
        struct cursor second = {c->at + 2, c->end};
        int32_t low = take_hex4(&second);
        if (low >= 0xdc00 && low < 0xe000) {
            c->at = second.at;
            code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        }
    }
    return put_utf8(out, code);
}

/* Whether a valid string, quotes included, stands for name. */
static bool string_is(struct bytes string, const char *name)
{
    struct cursor c = {string.data + 1, string.data + string.size - 1};
    size_t left = strlen(name);
    while (c.at < c.end) {
        uint8_t bytes[4] = {*c.at++};
        size_t size = bytes[0] == '\\' ? take_escape(&c, bytes) : 1;
        if (size > left || memcmp(bytes, name, size) != 0)
            return false;
        name += size;
        left -= size;
    }
    return left == 0;
}

/* Moves to the value of the first member called name of the object at the cursor. */
static bool find_member(struct cursor *c, const char *name)
{
    skip_space(c);
    if (c->at >= c->end || *c->at != '{')
        return false;
    do {
        c->at++;
        skip_space(c);
        const uint8_t *from = c->at;
        if (!skip_string(c))
            return false;
        struct bytes string = bytes_of(from, (size_t)(c->at - from));
        skip_space(c);
        if (c->at >= c->end || *c->at++ != ':')
            return false;
        if (string_is(string, name))
            return true;
        if (!skip_value(c))
            return false;
        skip_space(c);
    } while (c->at < c->end && *c->at == ',');
    return false;
}

bool json_has_field(struct bytes object, const struct field_path *path)
{
    struct cursor c = {object.data, object.data + object.size};
    for (uint32_t i = 0; i < path->count; i++)
        if (!find_member(&c, path->parts[i]))
            return false;
    return true;
}

/* ---- parts of a valid value ---- */

bool json_find_member(struct bytes object, const char *name, struct bytes *value)
{
    struct cursor c = {object.data, object.data + object.size};
    if (!find_member(&c, name))
        return false;
    skip_space(&c);
    const uint8_t *from = c.at;
    if (!skip_value(&c))
        return false;
    *value = bytes_of(from, (size_t)(c.at - from));
    return true;
}

bool json_list_next(struct json_list *list, struct bytes *value)
{
    struct cursor c = {list->rest.data, list->rest.data + list->rest.size};
    skip_space(&c);
    if (c.at >= c.end || (*c.at != '[' && *c.at != '{' && *c.at != ','))
        return false;
    list->is_object |= *c.at == '{';
    c.at++;
    skip_space(&c);
    if (list->is_object && (!skip_string(&c) || (skip_space(&c), c.at >= c.end || *c.at++ != ':')))
        return false;
    skip_space(&c);
    const uint8_t *from = c.at;
    if (c.at >= c.end || *c.at == ']' || !skip_value(&c))
        return false;
    *value = bytes_of(from, (size_t)(c.at - from));
    list->rest = bytes_of(c.at, (size_t)(c.end - c.at));
    return true;
}
