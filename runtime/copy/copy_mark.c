/* copy_mark.c: see copy_mark.h. */
#include "runtime/copy/copy_mark.h"

#include <inttypes.h>
#include <stdio.h>

#include "runtime/progress_parts.h"

static const char prefix[] = "copy/";

/* A stage may be called copy: its records are "copy/<partition>", and no topic's name has a '/'. */
bool copy_mark_is_key(struct bytes key)
{
    size_t size = sizeof prefix - 1;
    return key.size > size && memcmp(key.data, prefix, size) == 0 &&
           memchr(key.data + size, '/', key.size - size) != NULL;
}

void copy_mark_key(struct buf *key, const char *topic, const char *file)
{
    buf_printf(key, "%s%s/", prefix, topic);
    buf_append(key, file, strlen(file));
}

static void put_hash(struct buf *value, const char *name, struct hash128 hash)
{
    buf_printf(value, ",\"%s\":\"%016" PRIx64 "%016" PRIx64 "\"", name, hash.high, hash.low);
}

void copy_mark_encode(struct buf *value, const struct copy_mark *mark)
{
    buf_printf(value, "{\"version\":1,\"done\":%s", mark->is_done ? "true" : "false");
    progress_put_id(value, "topic", mark->topic_id);
    buf_printf(value, ",\"statement\":\"%016" PRIx64 "\"", mark->meaning);
    buf_printf(value, ",\"size\":%" PRId64 ",\"mtime_ns\":%" PRId64 ",\"position\":%" PRId64,
               mark->stamp.size, mark->stamp.mtime_ns, mark->position);
    put_hash(value, "hash", mark->hash);
    buf_printf(value,
               ",\"lines\":%" PRId64 ",\"rows\":%" PRId64 ",\"dead\":%" PRId64 ",\"time\":%" PRId64
               "}",
               mark->lines, mark->rows, mark->dead, mark->time_ms);
}

static int get_number(const json_t *object, const char *name, int64_t *number)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return ERR_CORRUPT;
    *number = json_integer_value(value);
    return 0;
}

/* `digits` hexadecimal digits from `at` on. */
static int get_hex(const json_t *object, const char *name, size_t at, size_t whole,
                   uint64_t *number)
{
    const char *text = json_string_value(json_object_get(object, name));
    char part[17];
    if (text == NULL || strlen(text) != whole || strspn(text, "0123456789abcdef") != whole)
        return ERR_CORRUPT;
    memcpy(part, text + at, 16);
    part[16] = '\0';
    return sscanf(part, "%" SCNx64, number) == 1 ? 0 : ERR_CORRUPT;
}

static int decode_value(const json_t *object, struct copy_mark *mark)
{
    int64_t version;
    TRY(get_number(object, "version", &version));
    if (version != 1)
        return ERR_CORRUPT;
    mark->is_there = true;
    mark->is_done = json_is_true(json_object_get(object, "done"));
    TRY(progress_get_id(object, "topic", mark->topic_id));
    TRY(get_hex(object, "statement", 0, 16, &mark->meaning));
    TRY(get_hex(object, "hash", 0, 32, &mark->hash.high));
    TRY(get_hex(object, "hash", 16, 32, &mark->hash.low));
    TRY(get_number(object, "size", &mark->stamp.size));
    mark->stamp.mtime_ns = json_integer_value(json_object_get(object, "mtime_ns"));
    TRY(get_number(object, "position", &mark->position));
    TRY(get_number(object, "lines", &mark->lines));
    TRY(get_number(object, "rows", &mark->rows));
    TRY(get_number(object, "dead", &mark->dead));
    return get_number(object, "time", &mark->time_ms);
}

int copy_mark_decode(struct bytes key, struct bytes value, struct copy_mark *mark,
                     struct diag *diag)
{
    json_error_t error;
    *mark = (struct copy_mark){.is_there = false};
    if (value.data == NULL)
        return 0; /* forgotten */
    json_t *object = json_loadb((const char *)value.data, value.size, 0, &error);
    int rc = object != NULL ? decode_value(object, mark) : ERR_CORRUPT;
    json_decref(object);
    return rc == 0 ? 0
                   : diag_set(diag, rc,
                              "the mark of a COPY does not decode, or a newer version wrote it "
                              "(key %.*s)",
                              (int)(key.size < 200 ? key.size : 200), (const char *)key.data);
}
