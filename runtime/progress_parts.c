/* progress_parts.c: see progress_parts.h. */
#include "runtime/progress_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void progress_put_id(struct buf *value, const char *name, const uint8_t id[16])
{
    buf_printf(value, ",\"%s\":\"", name);
    for (int i = 0; i < 16; i++)
        buf_printf(value, "%02x", id[i]);
    buf_u8(value, '"');
}

int progress_get_id(const json_t *object, const char *name, uint8_t id[16])
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || strlen(text) != 32)
        return ERR_CORRUPT;
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return ERR_CORRUPT;
        id[i] = (uint8_t)byte;
    }
    return 0;
}

void progress_put_tables(struct buf *value, const struct progress_table *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(value, "%s{\"table\":%u", i == 0 ? ",\"tables\":[" : ",", tables[i].number);
        progress_put_id(value, "input", tables[i].id);
        buf_printf(value, ",\"partition\":%d,\"position\":%lld}", (int)tables[i].partition,
                   (long long)tables[i].position);
    }
    if (count > 0)
        buf_u8(value, ']');
}

int progress_get_tables(const json_t *object, struct progress_table **tables, uint32_t *count)
{
    const json_t *list = json_object_get(object, "tables");
    size_t size = json_array_size(list);
    *tables = calloc(size + 1, sizeof **tables);
    *count = 0;
    if (*tables == NULL)
        return ERR_NOMEM;
    for (; *count < size; (*count)++) {
        const json_t *item = json_array_get(list, *count);
        struct progress_table *table = &(*tables)[*count];
        TRY(progress_get_id(item, "input", table->id));
        table->number = (uint32_t)json_integer_value(json_object_get(item, "table"));
        table->partition = (int32_t)json_integer_value(json_object_get(item, "partition"));
        table->position = json_integer_value(json_object_get(item, "position"));
    }
    return 0;
}

bool progress_place_is(struct bytes key, const char *prefix)
{
    size_t size = strlen(prefix);
    return key.data != NULL && key.size >= size && memcmp(key.data, prefix, size) == 0;
}

void progress_put_place(struct buf *key, const char *prefix, const char *stage, int32_t partition,
                        int64_t offset)
{
    buf_printf(key, "%s%s/%d/%lld", prefix, stage, (int)partition, (long long)offset);
}

int progress_get_place(struct bytes key, const char *prefix, char stage[STAGE_NAME_BYTES],
                       int32_t *partition, int64_t *offset)
{
    char text[STAGE_NAME_BYTES + 64];
    char *end;
    if (!progress_place_is(key, prefix) || key.size >= sizeof text)
        return ERR_CORRUPT;
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    char *name = text + strlen(prefix), *number = strchr(name, '/');
    char *place = number != NULL ? strchr(number + 1, '/') : NULL;
    if (place == NULL || number == name || number - name >= STAGE_NAME_BYTES)
        return ERR_CORRUPT;
    *number++ = *place++ = '\0';
    long value = strtol(number, &end, 10);
    if (end == number || *end != '\0' || value < 0 || value > INT32_MAX)
        return ERR_CORRUPT;
    *partition = (int32_t)value;
    *offset = strtoll(place, &end, 10);
    if (end == place || *end != '\0' || *offset < 0)
        return ERR_CORRUPT;
    memcpy(stage, name, strlen(name) + 1);
    return 0;
}
