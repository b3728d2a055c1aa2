/* agg_table.c: an open-addressing hash table over entries in slabs.
 *
 * Slots. 8 bytes: 32 bits of the hash (the tag) and a 32-bit reference to an entry (0: empty), in
 * the order of the tag's upper bits, collisions in the next slot. The tag answers nearly every
 * comparison without touching the entry, and it is all that moving a slot needs: growing is one
 * sequential pass over the old slots that writes the new ones nearly in order, and no entry is read
 * (measured: 2 ms at 100,000 groups, 20 ms at 800,000). That is why growth is not spread over
 * calls. Deleting moves later slots back, so there are no tombstones. At most 3 of 4 slots are
 * full.
 *
 * Entries. A reference counts 8-byte units across slabs of 256 KiB, so the table reaches 32 GiB,
 * which is its limit. Entries never move: struct, accumulators, then the key, unless it is long
 * (KEY_INLINE_MAX_BYTES), when it has its own block. A freed entry goes on the list of its size and
 * the next one of that size takes it; an emptied table starts over at the first slab. Per group: 48
 * bytes, the row, the key, 11 to 21 bytes of slots, and 8 to 16 for its place in the list of
 * changes: 83 to 109 for a count with a key of 10 bytes. Slots and the slabs of larger tables lie in
 * large pages (pages.h): with 200,000 groups a probe otherwise waits for translations as much as
 * for memory.
 *
 * Probe. A batch is worked off in blocks of 64: hash all keys and prefetch their slots; then find
 * the slots and prefetch the entries; then compare keys. Three short loops keep some ten cache
 * misses in flight where a row-by-row lookup waits for two in turn. Room for a whole block is made
 * before it starts, so that slots do not move inside a block.
 *
 * Windows. Each entry hangs in the list of its window (window_index.c), linked both ways, so that
 * closing a window touches its entries and nothing else. Entries without a window are in no list:
 * they never close, and unlinking would touch two others for each one that is forgotten.
 *
 * Changes. Marked entries are listed in an array and not in a chain: a commit takes them in marking
 * order, which is the order of keys in the input and so a random one in memory, and an array says
 * early which lines to fetch (100 ns a group where a chain took 350, on a busy machine).
 *
 * Memory. Freed entries are reused before new memory is taken, so what is held is what was needed
 * at most; agg_table_bytes counts what is in use. Text accumulators grow outside the table's sight.
 * The entries of the last probe are remembered, and their rows are measured when the next call asks
 * or probes; plans without heap memory skip this. */
#include "operators/agg_table.h"

#include <stddef.h>
#include <stdlib.h>
#include "operators/agg_kind.h"
#include "operators/window_index.h"
#include "runtime/base/hash.h"
#include "runtime/base/pages.h"

enum {
    SLOTS_FIRST_LOG2 = 8,
    SLOTS_MAX_LOG2 = 32,
    SLAB_BYTES = 256 << 10,
    UNIT_BYTES = 8,
    SLAB_UNITS = SLAB_BYTES / UNIT_BYTES,
    SLABS_SINGLE = 8, /* a table that is larger takes its slabs from large pages */
    SLABS_TOGETHER = (int)(PAGES_MIN_BYTES / SLAB_BYTES),
    PROBE_BLOCK = 64,
    KEY_INLINE_MAX_BYTES = 512,
    KEY_WORDS_MAX_BYTES = 40,
    KEY_USUAL_BYTES = 16,
    ROW_HOT_MAX_BYTES = 88, /* with the head and the key: what three lines hold */
    LINE_BYTES = 64,
    DIRTY_FIRST = 4096,
    TAKE_AHEAD = 16, /* entries between the one that is taken and the one that is fetched */
    REMOVE_AHEAD = 8,
    WALK_AHEAD_BYTES = 1024,
};

struct slot {
    uint32_t tag;
    uint32_t reference; /* 0: empty */
};

/* Marked entries in marking order; those before `next` have been taken. */
struct dirty_list {
    struct agg_entry **entries;
    size_t next, count, capacity;
};

struct agg_table {
    const struct agg_plan *plan;
    size_t row_bytes, pair_bytes, hot_bytes;
    struct slot *slots;
    uint32_t slots_log2;
    size_t count, live_units;
    uint8_t **slabs;
    uint32_t slab_count, slab_capacity;
    uint32_t next_unit; /* first unused unit of slabs[current_slab] */
    uint32_t current_slab;
    uint32_t *slab_end;               /* per slab: units in use, for walking */
    struct agg_entry **free_by_units; /* lists through next_in_window */
    uint32_t free_classes;
    struct dirty_list dirty;
    struct window_index windows;
    size_t key_bytes;          /* of keys with their own block */
    struct heap_account *heap; /* NULL when the plan's rows own no heap */
};

/* What rows own outside the table. Behind a pointer, because looking it up may have to measure
 * first. */
struct heap_account {
    size_t bytes;
    uint32_t touched_count;
    struct agg_entry *touched[BATCH_ROWS]; /* handed out since; may repeat */
};

/* ---- create, destroy ---- */

static int free_lists_create(struct agg_table *table)
{
    size_t row_max = table->row_bytes > table->pair_bytes ? table->row_bytes : table->pair_bytes;
    size_t entry_max = sizeof(struct agg_entry) + row_max + KEY_INLINE_MAX_BYTES;
    table->free_classes = (uint32_t)((entry_max + UNIT_BYTES - 1) / UNIT_BYTES) + 1;
    if (table->free_classes > UINT16_MAX)
        return ERR_TOO_LARGE;
    table->free_by_units = calloc(table->free_classes, sizeof(struct agg_entry *));
    return table->free_by_units != NULL ? 0 : ERR_NOMEM;
}

int agg_table_create(const struct agg_plan *plan, struct agg_table **out)
{
    struct agg_table *table = calloc(1, sizeof *table);
    *out = NULL;
    if (table == NULL)
        return ERR_NOMEM;
    table->plan = plan;
    table->row_bytes = agg_plan_row_bytes(plan);
    table->pair_bytes = (agg_plan_takes_back(plan) ? 2 : 1) * sizeof(uint64_t);
    table->hot_bytes =
        sizeof(struct agg_entry) - offsetof(struct agg_entry, window_start_ms) +
        (table->row_bytes < ROW_HOT_MAX_BYTES ? table->row_bytes : ROW_HOT_MAX_BYTES) +
        KEY_USUAL_BYTES;
    table->slots_log2 = SLOTS_FIRST_LOG2;
    table->next_unit = 1; /* reference 0 means empty */
    table->slots = pages_alloc(sizeof *table->slots << table->slots_log2);
    int rc = table->slots != NULL ? free_lists_create(table) : ERR_NOMEM;
    if (rc == 0 && agg_plan_owns_heap(plan)) {
        table->heap = malloc(sizeof *table->heap);
        if (table->heap == NULL)
            rc = ERR_NOMEM;
        else
            table->heap->bytes = table->heap->touched_count = 0;
    }
    if (rc < 0) {
        agg_table_destroy(table);
        return rc;
    }
    *out = table;
    return 0;
}

void agg_table_destroy(struct agg_table *table)
{
    if (table == NULL)
        return;
    agg_table_clear(table);
    for (uint32_t i = 0; i < table->slab_count; i++) {
        if (i < SLABS_SINGLE)
            free(table->slabs[i]);
        else if ((i - SLABS_SINGLE) % SLABS_TOGETHER == 0)
            pages_free(table->slabs[i], PAGES_MIN_BYTES);
    }
    free(table->slabs);
    free(table->slab_end);
    free(table->free_by_units);
    free(table->dirty.entries);
    pages_free(table->slots, sizeof *table->slots << table->slots_log2);
    free(table->heap);
    window_index_deinit(&table->windows);
    free(table);
}

/* ---- entries in slabs ---- */

static inline struct agg_entry *entry_at(const struct agg_table *table, uint32_t reference)
{
    return (struct agg_entry *)(void *)(table->slabs[reference / SLAB_UNITS] +
                                        (size_t)(reference % SLAB_UNITS) * UNIT_BYTES);
}

/* What a probe compares and an update changes: up to three lines. */
static inline void entry_prefetch(const struct agg_table *table, const struct agg_entry *entry)
{
    const uint8_t *hot = (const uint8_t *)&entry->window_start_ms;
    __builtin_prefetch(hot);
    if (table->hot_bytes > LINE_BYTES)
        __builtin_prefetch(hot + LINE_BYTES);
    __builtin_prefetch(hot + table->hot_bytes - 1);
}

/* The place of a tag when there are no collisions: its upper bits, so that growing keeps the order.
 */
static inline uint32_t slot_home(const struct agg_table *table, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag >> (32 - table->slots_log2));
}

static inline uint32_t slot_mask(const struct agg_table *table)
{
    return (uint32_t)(((uint64_t)1 << table->slots_log2) - 1);
}

static int slab_add(struct agg_table *table)
{
    if (table->slab_count == table->slab_capacity) {
        uint32_t capacity = table->slab_capacity == 0 ? 8 : table->slab_capacity * 2;
        uint8_t **slabs = realloc(table->slabs, capacity * sizeof *slabs);
        if (slabs == NULL)
            return ERR_NOMEM;
        table->slabs = slabs;
        uint32_t *ends = realloc(table->slab_end, capacity * sizeof *ends);
        if (ends == NULL)
            return ERR_NOMEM;
        table->slab_end = ends;
        table->slab_capacity = capacity;
    }
    if ((uint64_t)(table->slab_count + 1) * SLAB_UNITS > UINT32_MAX)
        return ERR_NOMEM; /* 32 GiB in one table */
    uint32_t place = (table->slab_count - SLABS_SINGLE) % SLABS_TOGETHER;
    uint8_t *slab = table->slab_count < SLABS_SINGLE ? malloc(SLAB_BYTES)
                    : place == 0                     ? pages_alloc(PAGES_MIN_BYTES)
                                 : table->slabs[table->slab_count - 1] + SLAB_BYTES;
    if (slab == NULL)
        return ERR_NOMEM;
    table->slab_end[table->slab_count] = 0;
    table->slabs[table->slab_count++] = slab;
    return 0;
}

/* Takes units from the free list of that size or from the end; *reference is only known for new
 * ones, so freed entries keep theirs in previous_in_window. */
static struct agg_entry *entry_take(struct agg_table *table, uint32_t units, uint32_t *reference)
{
    struct agg_entry *entry = table->free_by_units[units];
    if (entry != NULL) {
        table->free_by_units[units] = entry->next_in_window;
        *reference = entry->previous_in_window;
        return entry;
    }
    if (table->slab_count == 0 && slab_add(table) < 0)
        return NULL;
    if (table->next_unit + units > SLAB_UNITS) {
        if (table->current_slab + 1 == table->slab_count && slab_add(table) < 0)
            return NULL;
        table->current_slab++;
        table->next_unit = 0;
    }
    *reference = table->current_slab * SLAB_UNITS + table->next_unit;
    table->next_unit += units;
    table->slab_end[table->current_slab] = table->next_unit;
    return entry_at(table, *reference);
}

static void window_link(struct window *window, struct agg_entry *entry, uint32_t reference)
{
    if (window == NULL)
        return;
    struct agg_entry *first = window->first;
    entry->next_in_window = first;
    entry->previous_in_window = 0;
    if (first != NULL)
        first->previous_in_window = reference;
    window->first = entry;
}

static struct agg_entry *entry_create(struct agg_table *table, int64_t window_start_ms,
                                      struct bytes key, uint32_t tag, bool is_pair,
                                      uint32_t *reference)
{
    bool outside = key.size > KEY_INLINE_MAX_BYTES, windowed = window_start_ms != WINDOW_NONE;
    size_t row_bytes = is_pair ? table->pair_bytes : table->row_bytes;
    size_t size = sizeof(struct agg_entry) + row_bytes + (outside ? sizeof(void *) : key.size);
    uint32_t units = (uint32_t)((size + UNIT_BYTES - 1) / UNIT_BYTES);
    must(key.size <= UINT32_MAX);
    struct window *window = windowed ? window_index_get(&table->windows, window_start_ms) : NULL;
    uint8_t *own_key = outside ? malloc(key.size) : NULL;
    struct agg_entry *entry = (window != NULL || !windowed) && (!outside || own_key != NULL)
                                  ? entry_take(table, units, reference)
                                  : NULL;
    if (entry == NULL) {
        free(own_key);
        if (window != NULL && window->first == NULL)
            window_index_remove(&table->windows, window);
        return NULL;
    }
    *entry = (struct agg_entry){.window_start_ms = window_start_ms,
                                .tag = tag,
                                .key_bytes = (uint32_t)key.size,
                                .changelog_offset = -1,
                                .is_new = 1,
                                .units = (uint16_t)units,
                                .row_units = (uint16_t)(row_bytes / UNIT_BYTES),
                                .is_live = 1,
                                .key_is_outside = outside,
                                .is_pair = is_pair};
    if (outside)
        memcpy(entry->row + entry->row_units, &own_key, sizeof own_key);
    if (key.size > 0)
        memcpy((void *)(uintptr_t)agg_entry_key(entry).data, key.data, key.size);
    if (is_pair)
        memset(entry->row, 0, row_bytes);
    else
        agg_row_init(table->plan, entry->row);
    window_link(window, entry, *reference);
    table->key_bytes += outside ? agg_block_bytes(key.size) : 0;
    table->live_units += units;
    table->count++;
    return entry;
}

/* ---- slots ---- */

static inline uint32_t tag_of(int64_t window_start_ms, struct bytes key)
{
    uint64_t hash = hash64(key.data, key.size) ^ (uint64_t)window_start_ms * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 32;
    return (uint32_t)(hash * 0xD6E8FEB86659FD93ULL >> 32); /* the upper half: all bits reach it */
}

static int slots_grow(struct agg_table *table)
{
    if (table->slots_log2 == SLOTS_MAX_LOG2)
        return ERR_NOMEM;
    size_t old_count = (size_t)1 << table->slots_log2;
    struct slot *old = table->slots, *slots = pages_alloc(old_count * 2 * sizeof *slots);
    if (slots == NULL)
        return ERR_NOMEM;
    table->slots = slots;
    table->slots_log2++;
    uint32_t mask = slot_mask(table);
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].reference == 0)
            continue;
        uint32_t at = slot_home(table, old[i].tag);
        while (slots[at].reference != 0)
            at = (at + 1) & mask;
        slots[at] = old[i];
    }
    pages_free(old, old_count * sizeof *old);
    return 0;
}

/* Room for `more` entries without moving slots. */
static int slots_reserve(struct agg_table *table, size_t more)
{
    while ((table->count + more) * 4 > ((size_t)3 << table->slots_log2))
        TRY(slots_grow(table));
    return 0;
}

/* From at on, the first slot that is empty or has the tag. */
static inline uint32_t slot_seek(const struct agg_table *table, uint32_t at, uint32_t tag)
{
    uint32_t mask = slot_mask(table);
    while (table->slots[at].reference != 0 && table->slots[at].tag != tag)
        at = (at + 1) & mask;
    return at;
}

/* memcmp without the call for keys of the usual size, which nearly always are equal here: words,
 * the last one overlapping the one before. */
static inline bool same_key(struct bytes a, struct bytes b)
{
    uint64_t x, y;
    if (a.size != b.size)
        return false;
    if (a.size < sizeof x || a.size > KEY_WORDS_MAX_BYTES)
        return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
    for (size_t at = 0; at < a.size; at += sizeof x) {
        size_t from = at + sizeof x <= a.size ? at : a.size - sizeof x;
        memcpy(&x, a.data + from, sizeof x);
        memcpy(&y, b.data + from, sizeof y);
        if (x != y)
            return false;
    }
    return true;
}

static inline bool entry_matches(const struct agg_entry *entry, int64_t window_start_ms,
                                 struct bytes key)
{
    return entry->window_start_ms == window_start_ms && same_key(agg_entry_key(entry), key);
}

/* From at on (a slot that slot_seek gave), the entry or the empty slot where it would be. */
static struct agg_entry *slot_match(const struct agg_table *table, uint32_t *at,
                                    int64_t window_start_ms, struct bytes key, uint32_t tag)
{
    uint32_t mask = slot_mask(table);
    while (table->slots[*at].reference != 0) {
        struct agg_entry *entry = entry_at(table, table->slots[*at].reference);
        if (entry_matches(entry, window_start_ms, key))
            return entry;
        *at = slot_seek(table, (*at + 1) & mask, tag);
    }
    return NULL;
}

static uint32_t slot_of_entry(const struct agg_table *table, const struct agg_entry *entry)
{
    uint32_t tag = entry->tag, mask = slot_mask(table);
    uint32_t at = slot_seek(table, slot_home(table, tag), tag);
    while (table->slots[at].reference != 0 && entry_at(table, table->slots[at].reference) != entry)
        at = slot_seek(table, (at + 1) & mask, tag);
    must(table->slots[at].reference != 0);
    return at;
}

static void slot_erase(struct agg_table *table, uint32_t hole)
{
    uint32_t mask = slot_mask(table);
    for (uint32_t at = (hole + 1) & mask; table->slots[at].reference != 0; at = (at + 1) & mask) {
        uint32_t home = slot_home(table, table->slots[at].tag);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (struct slot){0};
}

/* ---- memory of rows ---- */

static void heap_measure(const struct agg_table *table, struct agg_entry *entry)
{
    size_t now = entry->is_pair ? 0 : agg_row_heap_bytes(table->plan, entry->row);
    if (now > UINT32_MAX)
        now = UINT32_MAX;
    table->heap->bytes = table->heap->bytes - entry->heap_bytes + now;
    entry->heap_bytes = (uint32_t)now;
}

/* Measures the rows that may have changed since they were handed out. */
static void heap_look(const struct agg_table *table)
{
    for (uint32_t i = 0; table->heap != NULL && i < table->heap->touched_count; i++)
        heap_measure(table, table->heap->touched[i]);
}

/* The same, and forgets them: they are about to be handed out again or to go away. */
static void heap_settle(struct agg_table *table)
{
    heap_look(table);
    if (table->heap != NULL)
        table->heap->touched_count = 0;
}

static void heap_touch(struct agg_table *table, struct agg_entry *const *entries, uint32_t count)
{
    if (table->heap == NULL)
        return;
    must(table->heap->touched_count + count <= BATCH_ROWS);
    memcpy(table->heap->touched + table->heap->touched_count, entries, count * sizeof *entries);
    table->heap->touched_count += count;
}

/* ---- finding ---- */

static int probe_block(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms,
                       const struct bytes *keys, bool pairs, struct agg_entry **entries)
{
    uint32_t tags[PROBE_BLOCK], places[PROBE_BLOCK];
    TRY(slots_reserve(table, n));
    for (uint32_t i = 0; i < n; i++) {
        tags[i] = tag_of(window_starts_ms != NULL ? window_starts_ms[i] : WINDOW_NONE, keys[i]);
        places[i] = slot_home(table, tags[i]);
        __builtin_prefetch(&table->slots[places[i]]);
    }
    for (uint32_t i = 0; i < n; i++) {
        places[i] = slot_seek(table, places[i], tags[i]);
        uint32_t reference = table->slots[places[i]].reference;
        if (reference != 0)
            entry_prefetch(table, entry_at(table, reference));
    }
    for (uint32_t i = 0; i < n; i++) {
        int64_t start = window_starts_ms != NULL ? window_starts_ms[i] : WINDOW_NONE;
        uint32_t at = places[i], reference;
        struct agg_entry *entry = slot_match(table, &at, start, keys[i], tags[i]);
        if (entry == NULL) {
            entry = entry_create(table, start, keys[i], tags[i], pairs, &reference);
            if (entry == NULL)
                return ERR_NOMEM;
            table->slots[at] = (struct slot){tags[i], reference};
        }
        entries[i] = entry;
    }
    return 0;
}

static int probe(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms,
                 const struct bytes *keys, bool pairs, struct agg_entry **entries)
{
    heap_settle(table);
    for (uint32_t from = 0; from < n; from += PROBE_BLOCK) {
        uint32_t count = n - from < PROBE_BLOCK ? n - from : PROBE_BLOCK;
        TRY(probe_block(table, count, window_starts_ms != NULL ? window_starts_ms + from : NULL,
                        keys + from, pairs, entries + from));
        if (table->heap != NULL && table->heap->touched_count + count > BATCH_ROWS)
            heap_settle(table);
        heap_touch(table, entries + from, count);
    }
    return 0;
}

int agg_table_probe(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms,
                    const struct bytes *keys, struct agg_entry **entries)
{
    return probe(table, n, window_starts_ms, keys, false, entries);
}

int agg_table_probe_pairs(struct agg_table *table, uint32_t n, const int64_t *window_starts_ms,
                          const struct bytes *keys, struct agg_entry **entries)
{
    return probe(table, n, window_starts_ms, keys, true, entries);
}

struct agg_entry *agg_table_find(struct agg_table *table, int64_t window_start_ms, struct bytes key)
{
    uint32_t tag = tag_of(window_start_ms, key);
    uint32_t at = slot_seek(table, slot_home(table, tag), tag);
    struct agg_entry *entry = slot_match(table, &at, window_start_ms, key, tag);
    if (entry != NULL)
        agg_table_touch(table, entry);
    return entry;
}

void agg_table_touch(struct agg_table *table, struct agg_entry *entry)
{
    if (table->heap != NULL && table->heap->touched_count == BATCH_ROWS)
        heap_settle(table);
    heap_touch(table, &entry, 1);
}

/* ---- removing ---- */

static void entry_release(struct agg_table *table, struct agg_entry *entry)
{
    if (!entry->is_pair)
        agg_row_release(table->plan, entry->row);
    if (entry->key_is_outside) {
        table->key_bytes -= agg_block_bytes(entry->key_bytes);
        free((void *)(uintptr_t)agg_entry_key(entry).data);
    }
    table->live_units -= entry->units;
    entry->is_live = 0;
}

static void window_unlink(struct agg_table *table, struct agg_entry *entry)
{
    struct agg_entry *next = entry->next_in_window;
    uint32_t previous = entry->previous_in_window;
    if (entry->window_start_ms == WINDOW_NONE)
        return;
    if (next != NULL)
        next->previous_in_window = previous;
    if (previous != 0) {
        entry_at(table, previous)->next_in_window = next;
        return;
    }
    struct window *window = window_index_find(&table->windows, entry->window_start_ms);
    must(window != NULL && window->first == entry);
    window->first = next;
    if (next == NULL)
        window_index_remove(&table->windows, window);
}

/* An emptied table starts over at its first slab, so that sizes no longer asked for do not pile up
 * on free lists. */
static void slabs_start_over(struct agg_table *table)
{
    for (uint32_t i = 0; i < table->slab_count; i++)
        table->slab_end[i] = 0;
    table->current_slab = 0;
    table->next_unit = 1;
    memset(table->free_by_units, 0, table->free_classes * sizeof(struct agg_entry *));
}

static void remove_entry(struct agg_table *table, struct agg_entry *entry)
{
    must(entry->is_live);
    if (table->heap != NULL)
        table->heap->bytes -= entry->heap_bytes;
    uint32_t at = slot_of_entry(table, entry), reference = table->slots[at].reference;
    slot_erase(table, at);
    window_unlink(table, entry);
    entry_release(table, entry);
    entry->previous_in_window = reference;
    entry->next_in_window = table->free_by_units[entry->units];
    table->free_by_units[entry->units] = entry;
    if (--table->count == 0)
        slabs_start_over(table);
}

void agg_table_remove(struct agg_table *table, struct agg_entry *entry)
{
    heap_settle(table);
    remove_entry(table, entry);
}

void agg_table_remove_many(struct agg_table *table, struct agg_entry *const *entries, size_t count)
{
    heap_settle(table);
    for (size_t i = 0; i < count; i++) {
        if (i + REMOVE_AHEAD < count) {
            uint32_t tag = entries[i + REMOVE_AHEAD]->tag;
            __builtin_prefetch(&table->slots[slot_home(table, tag)], 1);
        }
        remove_entry(table, entries[i]);
    }
}

/* The next entry at or after the cursor, which moves behind it; NULL at the end. */
static struct agg_entry *walk_next(const struct agg_table *table, size_t *cursor)
{
    if (*cursor == 0)
        *cursor = 1;
    for (;;) {
        size_t slab = *cursor / SLAB_UNITS;
        if (slab >= table->slab_count)
            return NULL;
        if (*cursor % SLAB_UNITS >= table->slab_end[slab]) {
            *cursor = (slab + 1) * SLAB_UNITS;
            continue;
        }
        struct agg_entry *entry = entry_at(table, (uint32_t)*cursor);
        *cursor += entry->units;
        __builtin_prefetch(&entry->changelog_offset + WALK_AHEAD_BYTES / sizeof(int64_t));
        if (entry->is_live)
            return entry;
    }
}

void agg_table_each(struct agg_table *table, size_t *cursor,
                    bool (*fn)(void *context, struct agg_entry *entry), void *context)
{
    struct agg_entry *entry;
    do
        entry = walk_next(table, cursor);
    while (entry != NULL && fn(context, entry));
}

void agg_table_clear(struct agg_table *table)
{
    size_t cursor = 0;
    if (agg_plan_owns_heap(table->plan) || table->key_bytes > 0)
        for (struct agg_entry *entry; (entry = walk_next(table, &cursor)) != NULL;)
            entry_release(table, entry);
    if (table->heap != NULL)
        table->heap->bytes = table->heap->touched_count = 0;
    if (table->slots != NULL && table->count > 0)
        memset(table->slots, 0, sizeof *table->slots << table->slots_log2);
    table->count = table->live_units = 0;
    table->dirty.next = table->dirty.count = 0;
    window_index_clear(&table->windows);
    if (table->free_by_units != NULL)
        slabs_start_over(table);
}

/* ---- marks, windows, sizes ---- */

static int dirty_reserve(struct dirty_list *dirty, size_t more)
{
    if (dirty->capacity - dirty->count >= more)
        return 0;
    size_t capacity = dirty->capacity < DIRTY_FIRST ? DIRTY_FIRST : dirty->capacity * 2;
    while (capacity - dirty->count < more)
        capacity *= 2;
    struct agg_entry **entries = realloc(dirty->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return ERR_NOMEM;
    dirty->entries = entries;
    dirty->capacity = capacity;
    return 0;
}

int agg_table_mark(struct agg_table *table, struct agg_entry *const *entries, uint32_t n)
{
    struct dirty_list *dirty = &table->dirty;
    TRY(dirty_reserve(dirty, n));
    size_t count = dirty->count;
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i]->is_dirty)
            continue;
        entries[i]->is_dirty = 1;
        dirty->entries[count++] = entries[i];
    }
    dirty->count = count;
    return 0;
}

uint32_t agg_table_take_dirty(struct agg_table *table, struct agg_entry **entries, uint32_t room)
{
    struct dirty_list *dirty = &table->dirty;
    size_t left = dirty->count - dirty->next;
    uint32_t n = left < room ? (uint32_t)left : room;
    if (n == 0)
        return 0;
    struct agg_entry *const *from = dirty->entries + dirty->next;
    for (uint32_t i = 0; i < n; i++) {
        if (i + TAKE_AHEAD < n) {
            __builtin_prefetch(&from[i + TAKE_AHEAD]->changelog_offset, 1);
            entry_prefetch(table, from[i + TAKE_AHEAD]);
        }
        entries[i] = from[i];
        entries[i]->is_dirty = 0;
    }
    dirty->next += n;
    if (dirty->next == dirty->count)
        dirty->next = dirty->count = 0;
    return n;
}

bool agg_table_first_window(const struct agg_table *table, int64_t *window_start_ms)
{
    return window_index_first(&table->windows, window_start_ms);
}

struct agg_entry *agg_table_window(const struct agg_table *table, int64_t window_start_ms)
{
    const struct window *window = window_index_peek(&table->windows, window_start_ms);
    return window != NULL ? window->first : NULL;
}

size_t agg_table_count(const struct agg_table *table)
{
    return table->count;
}

size_t agg_table_bytes(const struct agg_table *table)
{
    heap_look(table);
    return sizeof *table + (sizeof *table->slots << table->slots_log2) +
           table->live_units * UNIT_BYTES + table->key_bytes + table->windows.bytes +
           (table->free_classes + table->dirty.capacity) * sizeof(struct agg_entry *) +
           (table->heap != NULL ? sizeof *table->heap + table->heap->bytes : 0);
}
