/* difference_json.c: what a verification found, as a JSON object: a line of 'weir verify', and over HTTP. */
#include "runtime/records/difference_json.h"

#include "runtime/records/letter_json.h"

#include <inttypes.h>

static void put_bytes(struct buf *out, const char *name, struct bytes bytes)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_bytes(&text, bytes);
    buf_u8(&text, '\0');
    buf_printf(out, ",\"%s\":", name);
    letter_json_text(out, bytes.data != NULL && buf_ok(&text) ? (const char *)text.data : NULL);
    buf_deinit(&text);
}

void difference_json_put(struct buf *out, const struct verify_difference *difference)
{
    buf_printf(out, "{\"difference\":\"%s\",\"where\":\"%s\",\"topic\":", difference->kind,
               difference->where);
    letter_json_text(out, difference->topic);
    buf_printf(out, ",\"partition\":%d,\"offset\":", (int)difference->partition);
    if (difference->offset >= 0)
        buf_printf(out, "%" PRId64, difference->offset);
    else
        buf_printf(out, "null");
    put_bytes(out, "key", difference->key);
    put_bytes(out, "expected", difference->expected);
    put_bytes(out, "found", difference->found);
    buf_printf(out, ",\"text\":");
    letter_json_text(out, difference->text);
    buf_u8(out, '}');
}
