/* verify_set.c: a hash table whose keys are 128-bit hashes (see verify_parts.h).
 *
 * Open addressing, at most half full, never shrinking. What is named is not kept: two names of the
 * same 128 bits would be taken for one, which among a thousand million results happens once in 10^20
 * runs. In return a name of any length costs 24 bytes, and nothing here is shared with the tables
 * of the engine, which this is there to check. */
#include <stdlib.h>

#include "runtime/verify/verify_parts.h"

void verify_map_deinit(struct verify_map *map)
{
    if (map->slots != NULL)
        verify_let_go(map->capacity * sizeof *map->slots);
    free(map->slots);
    *map = (struct verify_map){0};
}

static bool is_free(const struct verify_entry *slot)
{
    return slot->name.low == 0 && slot->name.high == 0;
}

/* The slot of a name, or the free one where it would go. */
static struct verify_entry *seek(const struct verify_map *map, struct hash128 name)
{
    size_t at = (size_t)name.low & (map->capacity - 1);
    while (!is_free(&map->slots[at]) &&
           (map->slots[at].name.low != name.low || map->slots[at].name.high != name.high))
        at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

static int grow(struct verify_map *map)
{
    struct verify_map larger = {.capacity = map->capacity > 0 ? map->capacity * 2 : 64,
                                .count = map->count};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < map->capacity; i++)
        if (!is_free(&map->slots[i]))
            *seek(&larger, map->slots[i].name) = map->slots[i];
    if (map->slots != NULL)
        verify_let_go(map->capacity * sizeof *map->slots);
    verify_hold(larger.capacity * sizeof *larger.slots);
    free(map->slots);
    *map = larger;
    return 0;
}

static struct hash128 never_free(struct hash128 name)
{
    if (name.low == 0 && name.high == 0)
        name.low = 1;
    return name;
}

struct verify_entry *verify_map_at(struct verify_map *map, struct hash128 name)
{
    name = never_free(name);
    if (map->count * 2 >= map->capacity && grow(map) < 0)
        return NULL;
    struct verify_entry *slot = seek(map, name);
    if (is_free(slot)) {
        *slot = (struct verify_entry){name, NULL};
        map->count++;
    }
    return slot;
}

struct verify_entry *verify_map_find(const struct verify_map *map, struct hash128 name)
{
    if (map->count == 0)
        return NULL;
    struct verify_entry *slot = seek(map, never_free(name));
    return is_free(slot) ? NULL : slot;
}
