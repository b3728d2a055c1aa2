/* http_cursor.c: cursors that are places among keys: "P.HEX", a partition and bytes.
 *
 * Bytes are those of the last row that a page showed, so that a page goes on behind it whatever came or went before. Keys of stores may be longer than an address can be, and those
 * that share their first STATE_ORDERED_BYTES lie in no order: so a cursor has that many at most, and a page never ends between two rows with the same cursor. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/http/http_internal.h"

void http_cursor_put(struct json *json, const char *name, int32_t partition, struct bytes place)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%d.", (int)partition);
    for (size_t i = 0; i < place.size; i++)
        buf_printf(&text, "%02x", place.data[i]);
    json_name(json, name);
    json_bytes(json, text.data, text.size);
    json->text->failed |= !buf_ok(&text);
    buf_deinit(&text);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_place(const char *text, int32_t *partition, struct buf *place)
{
    char *rest;
    unsigned long number = strtoul(text, &rest, 10);
    if (text[0] < '0' || text[0] > '9' || number > INT32_MAX || *rest++ != '.')
        return false;
    *partition = (int32_t)number;
    for (; rest[0] != '\0'; rest += 2) {
        int high = digit_of(rest[0]), low = high < 0 ? -1 : digit_of(rest[1]);
        if (low < 0)
            return false;
        buf_u8(place, (uint8_t)(high << 4 | low));
    }
    return true;
}

bool http_argument_cursor(struct http_exchange *exchange, int32_t *partition, struct buf *place)
{
    const char *text = http_argument(exchange, "cursor");
    *partition = -1;
    buf_clear(place);
    if (text == NULL)
        return true;
    if (read_place(text, partition, place) && buf_ok(place))
        return true;
    http_fail(exchange, 400, NULL, "cursor is next_cursor of the page before, not '%.100s'", text);
    return false;
}
