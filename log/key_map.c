/* key_map.c: the newest offset of each key, in memory of a fixed size.
 *
 * Keys are known by their XXH3-128 and nothing else: 24 bytes a key, whatever its length. Two keys
 * that meet in 128 bits would cost one of them its value; among the two million that fit into the
 * usual 64 MiB the odds are below 1 in 10^25.
 *
 * Open addressing with linear probing; the table is never more than three quarters full, so a
 * search ends after a few neighbours, mostly in the cache line where it began. Nothing is deleted.
 * Which slot a hash begins at is its upper bits by multiplication, so that the number of slots need
 * not be a power of two: all the memory that is given is used. A table of this size lies in no
 * cache, so callers hash a handful of keys and prefetch their slots before they look. */
#include "log/compact_internal.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { LEAST_SLOTS = 64, HUGE_PAGE_BYTES = 2 << 20 };

int key_map_init(struct key_map *map, size_t memory_bytes, uint64_t key_count)
{
    uint64_t slots = memory_bytes / sizeof(struct key_slot);
    if (key_count < slots / 4 * 3)
        slots = key_count + key_count / 3 + 2;
    if (slots < LEAST_SLOTS)
        slots = LEAST_SLOTS;
    size_t size = slots * sizeof(struct key_slot);
    *map = (struct key_map){.slot_count = slots, .limit = slots / 4 * 3};
    if (size < HUGE_PAGE_BYTES) {
        map->slots = calloc(slots, sizeof(struct key_slot));
        return map->slots != NULL ? 0 : ERR_NOMEM;
    }
    /* One lookup is one page of the table: large pages spare the translation its own miss. */
    map->slots = aligned_alloc(HUGE_PAGE_BYTES,
                               (size + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES);
    if (map->slots == NULL)
        return ERR_NOMEM;
    (void)madvise(map->slots, size, MADV_HUGEPAGE);
    memset(map->slots, 0, size);
    return 0;
}

void key_map_deinit(struct key_map *map)
{
    free(map->slots);
    *map = (struct key_map){0};
}

/* The key's slot, or the empty one where it belongs. */
static struct key_slot *find(const struct key_map *map, struct hash128 hash)
{
    struct key_slot *slot = key_map_home(map, hash), *end = map->slots + map->slot_count;
    while (slot->next_offset != 0 && (slot->hash.low != hash.low || slot->hash.high != hash.high))
        if (++slot == end)
            slot = map->slots;
    return slot;
}

bool key_map_put(struct key_map *map, struct hash128 hash, int64_t offset)
{
    struct key_slot *slot = find(map, hash);
    if (slot->next_offset == 0) {
        if (map->used >= map->limit)
            return false;
        map->used++;
        slot->hash = hash;
    }
    slot->next_offset = offset + 1;
    return true;
}

void key_map_mark(const struct key_map *map, int64_t base, uint64_t *bits, uint64_t bit_count)
{
    for (uint64_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].next_offset == 0)
            continue;
        uint64_t at = (uint64_t)(map->slots[i].next_offset - 1 - base);
        if (at < bit_count)
            bits[at / 64] |= UINT64_C(1) << (at % 64);
    }
}

int64_t key_map_get(const struct key_map *map, struct hash128 hash)
{
    return find(map, hash)->next_offset - 1;
}
