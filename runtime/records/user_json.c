/* user_json.c: see user_json.h. What is read may come from anybody: it is checked to be JSON, and every size before a byte is copied. */
#include "runtime/records/user_json.h"

#include "operators/bytea.h"
#include "operators/json_encode.h"
#include "runtime/records/integer_text.h"
#include "runtime/records/json_check.h"

#include <stdio.h>

enum { READ_BYTES = 1 << 20 };

/* ---- as it is shown ---- */

void user_put_json(struct buf *out, const char *name, const struct user *user)
{
    const char *comma = "";
    buf_printf(out, "{\"user\":");
    json_escape(out, bytes_text(name));
    buf_printf(out, ",\"mechanisms\":[");
    for (int i = 0; i < SCRAM_MECHANISMS; i++) {
        if (user->credentials[i].iterations == 0)
            continue;
        buf_printf(out, "%s{\"mechanism\":\"%s\",\"iterations\":%d}", comma,
                   scram_name((enum scram_mechanism)(i + 1)), user->credentials[i].iterations);
        comma = ",";
    }
    buf_printf(out, "]}");
}

/* ---- as it is sent ---- */

static void put_member(struct buf *out, const char *name, const uint8_t *data, size_t size)
{
    uint8_t text[SCRAM_KEY_BYTES * 2];
    must(bytea_base64_bytes(size) <= sizeof text);
    bytea_base64(bytes_of(data, size), text);
    buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < bytea_base64_bytes(size); i++)
        if (text[i] != '\n')
            buf_u8(out, text[i]);
    buf_u8(out, '"');
}

void user_put_credentials(struct buf *out, const struct user *user)
{
    const char *comma = "";
    buf_printf(out, "{\"credentials\":[");
    for (int i = 0; i < SCRAM_MECHANISMS; i++) {
        const struct scram_credential *credential = &user->credentials[i];
        if (credential->iterations == 0)
            continue;
        buf_printf(out, "%s{\"mechanism\":\"%s\",\"iterations\":%d", comma,
                   scram_name((enum scram_mechanism)(i + 1)), credential->iterations);
        put_member(out, "salt", credential->salt, credential->salt_size);
        put_member(out, "stored_key", credential->stored_key, credential->key_size);
        put_member(out, "server_key", credential->server_key, credential->key_size);
        buf_u8(out, '}');
        comma = ",";
    }
    buf_printf(out, "]}");
}

/* ---- as it is read ---- */

/* A text without escapes, which names of mechanisms and base 64 need none of. */
static bool take_text(struct bytes object, const char *name, struct bytes *text)
{
    struct bytes value;
    if (!json_find_member(object, name, &value) || value.size < 2 || value.data[0] != '"' ||
        memchr(value.data, '\\', value.size) != NULL)
        return false;
    *text = bytes_of(value.data + 1, value.size - 2);
    return true;
}

static bool take_iterations(struct bytes object, int32_t *iterations)
{
    struct bytes value;
    char text[16];
    int64_t number = 0;
    if (!json_find_member(object, "iterations", &value) || value.size >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
    if (parse_integer(text, &number) < 0 || number < SCRAM_ITERATIONS ||
        number > SCRAM_ITERATIONS_MAX)
        return false;
    *iterations = (int32_t)number;
    return true;
}

/* min to max bytes in base 64. */
static bool take_bytes_of(struct bytes object, const char *name, size_t min, size_t max,
                          struct arena *arena, uint8_t *data, size_t *size)
{
    struct bytes text, value;
    if (!take_text(object, name, &text) || bytea_parse_base64(text, arena, &value) < 0)
        return false;
    bool is_good = value.size >= min && value.size <= max;
    if (is_good) {
        memcpy(data, value.data, value.size);
        *size = value.size;
    }
    explicit_bzero((void *)(uintptr_t)value.data, value.size);
    return is_good;
}

static int read_credential(struct bytes object, struct arena *arena, struct user *user,
                           struct diag *diag)
{
    struct bytes name;
    int mechanism = SCRAM_MECHANISMS;
    bool is_named = take_text(object, "mechanism", &name);
    while (is_named && mechanism > 0 &&
           !bytes_equal(name, bytes_text(scram_name((enum scram_mechanism)mechanism))))
        mechanism--;
    if (!is_named || mechanism == 0)
        return diag_set(diag, ERR_INVALID, "a mechanism is SCRAM-SHA-256 or SCRAM-SHA-512");
    struct scram_credential *credential = &user->credentials[mechanism - 1];
    size_t size = scram_key_size((enum scram_mechanism)mechanism);
    if (credential->iterations != 0)
        return diag_set(diag, ERR_INVALID, "a mechanism has one credential");
    if (take_iterations(object, &credential->iterations) &&
        take_bytes_of(object, "salt", 1, SCRAM_SALT_BYTES, arena, credential->salt,
                      &credential->salt_size) &&
        take_bytes_of(object, "stored_key", size, size, arena, credential->stored_key,
                      &credential->key_size) &&
        take_bytes_of(object, "server_key", size, size, arena, credential->server_key,
                      &credential->key_size))
        return 0;
    return diag_set(diag, ERR_INVALID,
                    "a credential has %d to %d iterations, a salt of 1 to %d bytes and two keys of "
                    "%d",
                    SCRAM_ITERATIONS, SCRAM_ITERATIONS_MAX, SCRAM_SALT_BYTES, (int)size);
}

int user_read_credentials(struct bytes json, struct user *user, struct diag *diag)
{
    struct bytes list = bytes_of("", 0), object;
    struct arena arena;
    int code = 0, count = 0;
    *user = (struct user){.credentials = {{0}}};
    if (json.size == 0 || !json_check(json) || !json_find_member(json, "credentials", &list) ||
        list.data[0] != '[')
        list = bytes_of("", 0);
    arena_init(&arena, READ_BYTES);
    struct json_list rest = {.rest = list};
    for (; code == 0 && json_list_next(&rest, &object); count++)
        code = read_credential(object, &arena, user, diag);
    arena_deinit(&arena);
    return code == 0 && count == 0 ? diag_set(diag, ERR_INVALID,
                                              "a JSON object with a list of "
                                              "credentials is missing")
                                   : code;
}
