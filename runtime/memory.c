/* memory.c: one budget for the process (memory_bytes, 256 MiB unless said otherwise).
 *
 *   buffers      5 MiB for each task beyond six; the rest is dealt out in sixteenths
 *   tables       8 for the groups of all tasks with a store, together; 9 for a while
 *   partials     2, when groups are re-keyed, and as much less for tables: what source tasks count
 *                between two commits
 *   checkpoint   4, or what the tables leave of 12: changes on their way into a store
 *   pending      2 for output that waits for its commit, over all workers
 *   pages        1 for the pages of the one LMDB transaction that is open
 *
 * Beside the budget, as everything else that the log holds: two sixteenths for the compaction of changelogs, which with
 * millions of groups runs all the time.
 *
 * Tables borrow from each other: a task whose partition is busy keeps more groups while others hold
 * little, and each may always keep its equal share. So sixteen partitions of which one is busy do as
 * well as one partition, and all of them together stay inside. A table over its budget forgets the
 * groups that its store holds; one that is over the most waits for the checkpoint to take them. A
 * checkpoint that may collect much writes each page of a store once for many changes: with ten
 * million groups in a store, 64 MiB of changes instead of 16 write a fifth as much and made the job
 * three times as fast, on a disk that others used too. So the checkpoint's part is its own, and no
 * table ever takes it.
 *
 * Stores are opened by workers at the same time, while tables are empty: restoring may use what the
 * tables will. */
#include "runtime/memory.h"

/* A task's reader, decoder, batch and builders take some 5 MiB (measured with 32 tasks); those of six
 * tasks are no part of the budget. */
enum { SHARE_MIN_BYTES = 1 << 20, TASK_BYTES = 5 << 20, TASKS_BESIDE = 6 };

enum {
    PARTS = 16,
    TABLES_PARTS = 8,
    PARTIALS_PARTS = 2,
    CHECKPOINT_PARTS = 4,
    PENDING_PARTS = 2,
    PAGES_PARTS = 1,
    CLEANER_PARTS = 2,
};

static size_t share(size_t bytes, uint32_t owners)
{
    bytes /= owners > 0 ? owners : 1;
    return bytes > SHARE_MIN_BYTES ? bytes : SHARE_MIN_BYTES;
}

/* Many partitions take much for their buffers alone; a quarter of the budget is left in any case. */
static size_t without_buffers(size_t budget_bytes, uint32_t tasks)
{
    size_t buffers = tasks > TASKS_BESIDE ? (size_t)(tasks - TASKS_BESIDE) * TASK_BYTES : 0;
    size_t most = budget_bytes / 4 * 3;
    return budget_bytes - (buffers < most ? buffers : most);
}

void memory_init(struct memory *memory, size_t budget_bytes, uint32_t workers, uint32_t tasks,
                 uint32_t stores, uint32_t preaggregating)
{
    budget_bytes = without_buffers(budget_bytes, tasks);
    size_t part = budget_bytes / PARTS, partials = preaggregating > 0 ? PARTIALS_PARTS : 0;
    memory->budget_bytes = budget_bytes;
    memory->tables_bytes = part * (TABLES_PARTS - partials);
    memory->tables_most_bytes = part * (TABLES_PARTS + 1 - partials);
    memory->table_share_bytes = share(memory->tables_bytes, stores);
    memory->partials_bytes = share(part * PARTIALS_PARTS, preaggregating);
    memory_set_workers(memory, workers);
    memory->checkpoint_bytes = share(part * CHECKPOINT_PARTS, 1);
    memory->collected_bytes = memory->tables_bytes + memory->checkpoint_bytes;
    atomic_init(&memory->tables_held_bytes, 0);
}

void memory_set_workers(struct memory *memory, uint32_t workers)
{
    memory->pending_bytes = share(memory->budget_bytes / PARTS * PENDING_PARTS, workers);
}

void memory_table_holds(struct memory *memory, size_t *said, size_t now_bytes)
{
    if (now_bytes == *said)
        return;
    atomic_fetch_add(&memory->tables_held_bytes, now_bytes - *said); /* may wrap on its way */
    *said = now_bytes;
}

/* What is left of limit for a table that holds own_bytes itself, and at least least_bytes. */
static size_t left_for(const struct memory *memory, size_t limit, size_t own_bytes,
                       size_t least_bytes)
{
    size_t all = atomic_load(&memory->tables_held_bytes);
    size_t others = all > own_bytes ? all - own_bytes : 0;
    size_t left = limit > others ? limit - others : 0;
    return left > least_bytes ? left : least_bytes;
}

size_t memory_table_budget(const struct memory *memory, size_t own_bytes)
{
    return left_for(memory, memory->tables_bytes, own_bytes, memory->table_share_bytes);
}

size_t memory_table_most(const struct memory *memory, size_t own_bytes)
{
    return left_for(memory, memory->tables_most_bytes, own_bytes,
                    memory->table_share_bytes / 8 * 9);
}

size_t memory_checkpoint_bytes(const struct memory *memory)
{
    return left_for(memory, memory->collected_bytes, 0, memory->checkpoint_bytes);
}

size_t memory_restore_bytes(size_t budget_bytes, uint32_t workers)
{
    return share(budget_bytes / 2, workers);
}

size_t memory_cleaner_bytes(size_t budget_bytes)
{
    return share(budget_bytes / PARTS * CLEANER_PARTS, 1);
}

size_t memory_dirty_bytes(size_t budget_bytes)
{
    return share(budget_bytes / PARTS * PAGES_PARTS, 1);
}
