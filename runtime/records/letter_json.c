/* letter_json.c: a letter as a JSON object: for 'weir dlq show', a line of it, and over HTTP. */
#include "runtime/records/letter_json.h"

#include "operators/json_encode.h"
#include "runtime/base/utf8.h"
#include "runtime/records/consume_format.h"

#include <inttypes.h>

void letter_json_text(struct buf *out, const char *text)
{
    struct buf clean = {0};
    if (text == NULL) {
        buf_printf(out, "null");
        return;
    }
    utf8_repair(&clean, bytes_text(text));
    json_escape(out, bytes_of(clean.size > 0 ? clean.data : (const uint8_t *)"", clean.size));
    out->failed = out->failed || clean.failed;
    buf_deinit(&clean);
}

static void put_member(struct buf *out, const char *name, struct bytes bytes)
{
    buf_printf(out, ",\"%s\":", name);
    consume_put_bytes(out, bytes);
}

static void put_source(struct buf *out, const struct dead_letter *letter)
{
    buf_printf(out, ",\"source\":{\"topic\":");
    consume_put_bytes(out, letter->source_topic);
    buf_printf(out, ",\"partition\":%d,\"offset\":%" PRId64, letter->source_partition,
               letter->source_offset);
    if (letter->element.data != NULL)
        put_member(out, "element", letter->element);
    buf_printf(out, "}");
}

static void put_window(struct buf *out, const struct dead_letter *letter)
{
    buf_printf(out, ",\"window\":{\"start\":");
    consume_put_bytes(out, letter->window_start);
    put_member(out, "end", letter->window_end);
    buf_printf(out, "},\"lateness_ms\":%" PRId64, letter->lateness_ms);
    if (letter->windows_taken > 0)
        buf_printf(out, ",\"windows_taken\":%" PRId64, letter->windows_taken);
}

void letter_json_put(struct buf *out, const struct found_letter *found)
{
    const struct dead_letter *letter = found->letter;
    const struct record source = letter_source(found->record, letter);
    buf_printf(
        out, "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%" PRId64 ",\"timestamp\":%" PRId64 ",",
        found->place->topic, found->place->partition, found->record->offset, source.timestamp_ms);
    consume_put_content(out, &source);
    put_member(out, "stage", letter->stage);
    put_member(out, "class", letter->error_class);
    if (letter->kind == LETTER_DEAD || letter->kind == LETTER_RESULT)
        put_member(out, "message", letter->error_message);
    if (letter_has_source(letter))
        put_source(out, letter);
    if (letter->kind == LETTER_LATE)
        put_window(out, letter);
    buf_printf(out, ",\"replayed_to\":");
    letter_json_text(out, found->target);
    buf_printf(out, "}");
}

void letter_json_put_lossless(struct buf *out, const struct found_letter *found)
{
    buf_printf(out, "{\"replayed_to\":");
    letter_json_text(out, found->target);
    buf_printf(out, ",\"record\":");
    consume_put_lossless(out, found->place->partition, found->record);
    if (buf_ok(out) && out->data[out->size - 1] == '\n')
        out->size--;
    buf_printf(out, "}");
}
