/* http_json.c: JSON as it is written, value after value, into one buffer (see http_internal.h).
 *
 * Answers are long lists of small objects, so that they go out as they come and no tree is built. All that a writer must remember is whether
 * a comma is due. Texts that others chose (client ids, messages) need not be UTF-8, and an answer must be: what is not becomes
 * U+FFFD. */
#include <math.h>

#include "operators/json_encode.h"
#include "runtime/base/clock.h"
#include "runtime/base/utf8.h"
#include "runtime/http/http_internal.h"

static void begin_value(struct json *json)
{
    if (json->needs_comma)
        buf_u8(json->text, ',');
    json->needs_comma = true;
}

void json_begin(struct json *json, char bracket)
{
    begin_value(json);
    buf_u8(json->text, (uint8_t)bracket);
    json->needs_comma = false;
}

void json_end(struct json *json, char bracket)
{
    buf_u8(json->text, (uint8_t)bracket);
    json->needs_comma = true;
}

void json_name(struct json *json, const char *name)
{
    begin_value(json);
    json_escape(json->text, bytes_text(name));
    buf_u8(json->text, ':');
    json->needs_comma = false;
}

void json_bytes(struct json *json, const void *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    begin_value(json);
    if (size == 0 || utf8_check(text)) {
        json_escape(json->text, bytes_of(size > 0 ? data : "", size));
        return;
    }
    struct buf clean = {0};
    utf8_repair(&clean, text);
    if (buf_ok(&clean))
        json_escape(json->text, bytes_of(clean.data, clean.size));
    else
        json->text->failed = true;
    buf_deinit(&clean);
}

void json_text(struct json *json, const char *text)
{
    if (text == NULL)
        json_null(json);
    else
        json_bytes(json, text, strlen(text));
}

void json_int(struct json *json, int64_t number)
{
    begin_value(json);
    buf_printf(json->text, "%lld", (long long)number);
}

void json_double(struct json *json, double number)
{
    begin_value(json);
    buf_printf(json->text, isfinite(number) ? "%.6g" : "null", number);
}

void json_bool(struct json *json, bool truth)
{
    begin_value(json);
    buf_printf(json->text, "%s", truth ? "true" : "false");
}

void json_null(struct json *json)
{
    begin_value(json);
    buf_printf(json->text, "null");
}

void json_time(struct json *json, int64_t time_ms)
{
    char text[40];
    time_format_iso(time_ms, text);
    json_text(json, text);
}

void json_raw(struct json *json, const void *data, size_t size)
{
    begin_value(json);
    buf_append(json->text, data, size);
}

void json_member_text(struct json *json, const char *name, const char *text)
{
    json_name(json, name);
    json_text(json, text);
}

void json_member_int(struct json *json, const char *name, int64_t number)
{
    json_name(json, name);
    json_int(json, number);
}

void json_member_bool(struct json *json, const char *name, bool truth)
{
    json_name(json, name);
    json_bool(json, truth);
}

void json_member_time(struct json *json, const char *name, int64_t time_ms, int64_t none)
{
    json_name(json, name);
    if (time_ms == none)
        json_null(json);
    else
        json_time(json, time_ms);
}
