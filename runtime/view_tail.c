/* view_tail.c: sorted runs of a changelog's last changes (see view_tail.h).
 *
 * A run is one block of memory: a count of who has it, entries in the order of keys, and behind them the bytes that those are of. Adding a
 * run merges those behind it in the list whose size is less than twice its own, newest to oldest, so that each change is copied a logarithm of times and
 * the sizes of the runs that stay at least double: 2^40 changes would be needed to fill the list. */
#include "runtime/view_tail.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_FIRST = 256, HELD_KEEP_BYTES = 1 << 20 };

struct tail_run {
    atomic_uint users;
    size_t count, bytes; /* bytes: all of it */
    int64_t last_offset; /* the highest */
    struct tail_entry entries[];
};

static void run_release(struct tail_run *run)
{
    if (run != NULL && atomic_fetch_sub(&run->users, 1) == 1)
        free(run);
}

/* ---- making runs ---- */

static struct tail_run *run_create(size_t entries, size_t bytes, uint8_t **at)
{
    size_t size = sizeof(struct tail_run) + entries * sizeof(struct tail_entry) + bytes;
    struct tail_run *run = malloc(size);
    if (run == NULL)
        return NULL;
    atomic_init(&run->users, 1);
    run->count = 0;
    run->bytes = size;
    run->last_offset = -1;
    *at = (uint8_t *)&run->entries[entries];
    return run;
}

static struct bytes put(uint8_t **at, struct bytes source)
{
    uint8_t *to = *at;
    if (source.data == NULL)
        return source;
    if (source.size > 0)
        memcpy(to, source.data, source.size);
    *at += source.size;
    return bytes_of(to, source.size);
}

static void run_add(struct tail_run *run, uint8_t **at, const struct tail_entry *entry)
{
    run->entries[run->count++] =
        (struct tail_entry){put(at, entry->key), put(at, entry->value), entry->offset};
    if (entry->offset > run->last_offset)
        run->last_offset = entry->offset;
}

static int compare_entries(const void *a, const void *b)
{
    const struct tail_entry *x = a, *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sorted entries of one or two sources, of which the second is newer: of each key the last one, without what is below stored. */
struct both {
    const struct tail_entry *old, *fresh;
    size_t old_count, fresh_count;
    int64_t stored;
    size_t i, j;
};

static const struct tail_entry *next_of(struct both *both)
{
    while (both->i < both->old_count || both->j < both->fresh_count) {
        const struct tail_entry *old = &both->old[both->i], *fresh = &both->fresh[both->j];
        int order = both->i == both->old_count     ? 1
                    : both->j == both->fresh_count ? -1
                                                   : bytes_compare(old->key, fresh->key);
        both->i += order <= 0;
        both->j += order >= 0;
        const struct tail_entry *entry = order < 0 ? old : fresh;
        bool is_last = order < 0 || both->j == both->fresh_count ||
                       !bytes_equal(entry->key, both->fresh[both->j].key);
        if (is_last && entry->offset >= both->stored)
            return entry;
    }
    return NULL;
}

/* Twice over: how much it is, and then into memory of that size, so that runs are no larger than what is in them. */
static struct tail_run *run_of(struct both *both)
{
    const struct tail_entry *entry;
    size_t entries = 0, bytes = 0;
    uint8_t *at;
    while ((entry = next_of(both)) != NULL) {
        entries++;
        bytes += entry->key.size + entry->value.size;
    }
    struct tail_run *run = run_create(entries, bytes, &at);
    both->i = both->j = 0;
    while (run != NULL && (entry = next_of(both)) != NULL)
        run_add(run, &at, entry);
    return run;
}

/* Of the first `count` of what is held. */
static struct tail_run *run_of_held(struct view_tail *tail, size_t count, int64_t stored)
{
    if (count > 1)
        qsort(tail->held, count, sizeof *tail->held, compare_entries);
    static const struct tail_entry none;
    struct both held = {.old = &none,
                        .fresh = count > 0 ? tail->held : &none,
                        .fresh_count = count,
                        .stored = stored};
    return run_of(&held);
}

static struct tail_run *merge(const struct tail_run *old, const struct tail_run *fresh,
                              int64_t stored)
{
    struct both both = {.old = old->entries,
                        .fresh = fresh->entries,
                        .old_count = old->count,
                        .fresh_count = fresh->count,
                        .stored = stored};
    return run_of(&both);
}

/* ---- the tail ---- */

void view_tail_deinit(struct view_tail *tail)
{
    tail_runs_give_back(&tail->runs);
    free(tail->held);
    if (tail->held_capacity > 0)
        arena_deinit(&tail->arena);
    *tail = (struct view_tail){.held = NULL};
}

int view_tail_hold(struct view_tail *tail, struct bytes key, struct bytes value, int64_t offset)
{
    if (tail->held_count == tail->held_capacity) {
        size_t capacity = tail->held_capacity > 0 ? tail->held_capacity * 2 : HELD_FIRST;
        struct tail_entry *held = realloc(tail->held, capacity * sizeof *held);
        if (held == NULL)
            return ERR_NOMEM;
        if (tail->held_capacity == 0)
            arena_init(&tail->arena, 0);
        tail->held = held;
        tail->held_capacity = capacity;
    }
    struct tail_entry entry = {arena_copy(&tail->arena, key), arena_copy(&tail->arena, value),
                               offset};
    if (entry.key.data == NULL || (entry.value.data == NULL && value.data != NULL))
        return ERR_NOMEM;
    tail->held[tail->held_count++] = entry;
    return 0;
}

/* Those behind the first `count` stay, in memory of their own. */
static int keep_held(struct view_tail *tail, size_t count)
{
    struct view_tail rest = {.held = NULL};
    for (size_t i = count; i < tail->held_count; i++)
        if (view_tail_hold(&rest, tail->held[i].key, tail->held[i].value, tail->held[i].offset) <
            0) {
            view_tail_deinit(&rest);
            return ERR_NOMEM;
        }
    rest.runs = tail->runs;
    tail->runs.count = 0;
    view_tail_deinit(tail);
    *tail = rest;
    return 0;
}

/* Takes the run over. */
static int add_run(struct view_tail *tail, struct tail_run *run, int64_t stored, bool whole)
{
    struct tail_runs *runs = &tail->runs;
    while (runs->count > 0) {
        struct tail_run *last = runs->items[runs->count - 1];
        if (last->last_offset >= stored) {
            if (!whole && last->count >= 2 * run->count && runs->count < TAIL_RUNS_MAX)
                break;
            struct tail_run *both = merge(last, run, stored);
            if (both == NULL) {
                run_release(run);
                return ERR_NOMEM;
            }
            run_release(run);
            run = both;
        }
        run_release(last);
        runs->count--;
    }
    if (run->count > 0)
        runs->items[runs->count++] = run;
    else
        run_release(run);
    return 0;
}

int view_tail_settle(struct view_tail *tail, int64_t end, int64_t stored, bool whole)
{
    size_t count = 0, dropped = 0;
    struct tail_runs *runs = &tail->runs;
    while (dropped < runs->count && runs->items[dropped]->last_offset < stored)
        run_release(runs->items[dropped++]); /* the oldest ones: nothing of them is needed */
    runs->count -= (uint32_t)dropped;
    memmove(runs->items, runs->items + dropped, runs->count * sizeof runs->items[0]);
    while (count < tail->held_count && tail->held[count].offset < end)
        count++;
    if (count == 0 && !whole)
        return 0;
    struct tail_run *run = run_of_held(tail, count, stored);
    if (run == NULL)
        return ERR_NOMEM;
    int rc = keep_held(tail, count);
    if (rc < 0) {
        run_release(run);
        return rc;
    }
    return add_run(tail, run, stored, whole);
}

size_t view_tail_bytes(const struct view_tail *tail)
{
    size_t bytes = tail->held_capacity * sizeof *tail->held;
    if (tail->held_capacity > 0)
        bytes += tail->arena.held_bytes;
    for (uint32_t i = 0; i < tail->runs.count; i++)
        bytes += tail->runs.items[i]->bytes;
    return bytes;
}

/* ---- reading ---- */

void tail_runs_take(const struct view_tail *tail, struct tail_runs *runs)
{
    *runs = tail->runs;
    for (uint32_t i = 0; i < runs->count; i++)
        atomic_fetch_add(&runs->items[i]->users, 1);
}

void tail_runs_give_back(struct tail_runs *runs)
{
    for (uint32_t i = 0; i < runs->count; i++)
        run_release(runs->items[i]);
    runs->count = 0;
}

/* The first entry that is not below key. */
static size_t run_find(const struct tail_run *run, struct bytes key)
{
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(run->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct tail_entry *tail_runs_find(const struct tail_runs *runs, struct bytes key)
{
    for (uint32_t i = runs->count; i-- > 0;) {
        const struct tail_run *run = runs->items[i];
        size_t at = run_find(run, key);
        if (at < run->count && bytes_equal(run->entries[at].key, key))
            return &run->entries[at];
    }
    return NULL;
}

/* The lowest key that is next in a run, as the newest run has it. */
static void find_entry(struct tail_walk *walk)
{
    walk->entry = NULL;
    for (uint32_t i = walk->runs->count; i-- > 0;) {
        const struct tail_run *run = walk->runs->items[i];
        if (walk->next[i] < run->count &&
            (walk->entry == NULL ||
             bytes_compare(run->entries[walk->next[i]].key, walk->entry->key) < 0))
            walk->entry = &run->entries[walk->next[i]];
    }
}

void tail_walk_begin(struct tail_walk *walk, const struct tail_runs *runs, struct bytes from)
{
    walk->runs = runs;
    for (uint32_t i = 0; i < runs->count; i++)
        walk->next[i] = run_find(runs->items[i], from);
    find_entry(walk);
}

void tail_walk_next(struct tail_walk *walk)
{
    struct bytes key = walk->entry->key;
    for (uint32_t i = 0; i < walk->runs->count; i++) {
        const struct tail_run *run = walk->runs->items[i];
        if (walk->next[i] < run->count && bytes_equal(run->entries[walk->next[i]].key, key))
            walk->next[i]++;
    }
    find_entry(walk);
}
