/* random_json.c: random JSON text, and random damage to it.
 *
 * Values lean towards what is hard: integers around 2^63, exponents, strings with every escape,
 * empty containers, odd white space. Damage prefers the bytes that mean something to a parser. */
#include "tests/support/random_json.h"

#include <stdio.h>

uint32_t random_json_below(struct random_json *random, uint32_t limit)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (uint32_t)(random->state >> 16) % limit;
}

static void put(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

static void space(struct random_json *random, struct buf *out)
{
    static const char *const spaces[] = {" ", "\t", "\r\n", "  \n "};
    if (random_json_below(random, 8) == 0)
        put(out, spaces[random_json_below(random, 4)]);
}

void random_json_string(struct random_json *random, struct buf *out)
{
    static const char *const pieces[] = {
        "a",
        "xyz",
        " ",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\b\\f",
        "\\r\\t",
        "\\u0041",
        "\\u00e9",
        "\\u20AC",
        "\\u0000",
        "\xC3\xA9",
        "\xE2\x82\xAC",
        "\xF0\x9F\x98\x80",
        "\\ud83d\\ude00",
        "{",
        "]",
        ",",
        ":",
        "plain text that is longer than a vector register of 64 bytes, so that it spans"};
    put(out, "\"");
    for (uint32_t i = random_json_below(random, 6); i > 0; i--)
        put(out, pieces[random_json_below(random, sizeof(pieces) / sizeof(*pieces))]);
    put(out, "\"");
}

static void number(struct random_json *random, struct buf *out)
{
    static const char *const hard[] = {
        "0",
        "-0",
        "9223372036854775807",
        "-9223372036854775808",
        "999999999999999999",
        "-999999999999999999",
        "1000000000000000000",
        "0.1",
        "-1.50",
        "1e3",
        "1E+2",
        "2.5e-3",
        "12345678",
        "1234567812345678",
        "0e0",
    };
    if (random_json_below(random, 2))
        put(out, hard[random_json_below(random, sizeof(hard) / sizeof(*hard))]);
    else
        buf_printf(out, "%d", (int)random_json_below(random, 2000000) - 1000000);
}

static void container(struct random_json *random, struct buf *out, int depth)
{
    bool object = random_json_below(random, 2);
    put(out, object ? "{" : "[");
    uint32_t count = random_json_below(random, 4);
    for (uint32_t i = 0; i < count; i++) {
        space(random, out);
        if (i > 0)
            put(out, ",");
        space(random, out);
        if (object)
            buf_printf(out, "\"%c%u\":", 'a' + (int)random_json_below(random, 4), i);
        random_json_value(random, out, depth - 1);
    }
    space(random, out);
    put(out, object ? "}" : "]");
}

void random_json_value(struct random_json *random, struct buf *out, int depth)
{
    static const char *const literals[] = {"true", "false", "null"};
    space(random, out);
    switch (random_json_below(random, depth > 0 ? 7 : 5)) {
    case 0:
        put(out, literals[random_json_below(random, 3)]);
        break;
    case 1:
    case 2:
        number(random, out);
        break;
    case 3:
    case 4:
        random_json_string(random, out);
        break;
    default:
        container(random, out, depth);
    }
    space(random, out);
}

/* A key as it is or with one letter as \u00XX. */
static void put_key(struct random_json *random, struct buf *out, const char *key)
{
    size_t escaped = random_json_below(random, 8) == 0
                         ? random_json_below(random, (uint32_t)strlen(key))
                         : SIZE_MAX;
    put(out, "\"");
    for (size_t i = 0; key[i] != 0; i++) {
        if (i == escaped && (uint8_t)key[i] < 0x80)
            buf_printf(out, "\\u%04x", key[i]);
        else
            buf_u8(out, (uint8_t)key[i]);
    }
    put(out, "\"");
}

void random_json_object(struct random_json *random, struct buf *out, const char *const *keys,
                        uint32_t key_count)
{
    uint32_t order[32];
    for (uint32_t i = 0; i < key_count; i++)
        order[i] = i;
    if (random_json_below(random, 4) == 0)
        for (uint32_t i = key_count - 1; i > 0; i--) {
            uint32_t j = random_json_below(random, i + 1), held = order[i];
            order[i] = order[j];
            order[j] = held;
        }
    bool first = true;
    space(random, out);
    put(out, "{");
    for (uint32_t i = 0; i < key_count; i++) {
        if (random_json_below(random, 8) == 0)
            continue;
        space(random, out);
        put(out, first ? "" : ",");
        first = false;
        space(random, out);
        put_key(random, out, keys[order[i]]);
        space(random, out);
        put(out, ":");
        random_json_value(random, out, 3);
    }
    space(random, out);
    put(out, "}");
    space(random, out);
}

void random_json_damage(struct random_json *random, struct buf *text, size_t first)
{
    static const char bytes[] = "{}[]\",:\\ \n0123456789-+.eEtfnu\x01\xC3\xFF";
    for (uint32_t i = 1 + random_json_below(random, 3); i > 0 && text->size > first; i--) {
        size_t at = first + random_json_below(random, (uint32_t)(text->size - first));
        char byte = bytes[random_json_below(random, sizeof(bytes))];
        switch (random_json_below(random, 3)) {
        case 0:
            text->data[at] = (uint8_t)byte;
            break;
        case 1:
            memmove(text->data + at, text->data + at + 1, text->size - at - 1);
            text->size--;
            break;
        default:
            buf_u8(text, 0);
            memmove(text->data + at + 1, text->data + at, text->size - at - 1);
            text->data[at] = (uint8_t)byte;
        }
    }
}
