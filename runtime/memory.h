/* memory.h: one budget (memory_bytes) for the whole process, and who may use how much of it. */
#ifndef WEIR_RUNTIME_MEMORY_H
#define WEIR_RUNTIME_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
    size_t budget_bytes;              /* what is left of memory_bytes when every task has its buffers */
    size_t tables_bytes;              /* what all tables of groups together may hold and keep: above it they forget */
    size_t tables_most_bytes;         /* above it nothing more is read before they have forgotten */
    size_t table_share_bytes;         /* what one table may keep whatever the others hold */
    size_t partials_bytes;            /* per task that pre-aggregates: then a commit is forced */
    size_t checkpoint_bytes;          /* changes on their way into a store: at least so much, and */
    size_t collected_bytes;           /* so much less what the tables hold */
    size_t pending_bytes;             /* output that waits for the commit, per worker: likewise */
    _Atomic size_t tables_held_bytes; /* by all tables, as their tasks last said */
};

void memory_init(struct memory *memory, size_t budget_bytes, uint32_t workers, uint32_t tasks, uint32_t stores,
                 uint32_t preaggregating);
/* The number of workers has changed; none of them is at work. */
void memory_set_workers(struct memory *memory, uint32_t workers);
/* A table that held *said holds now_bytes. Any thread; *said is the caller's. */
void memory_table_holds(struct memory *memory, size_t *said, size_t now_bytes);
/* How much a table that holds own_bytes may keep, and how much it may reach for a while (most). */
size_t memory_table_budget(const struct memory *memory, size_t own_bytes);
size_t memory_table_most(const struct memory *memory, size_t own_bytes);
/* How much changelog a checkpoint may collect before it writes: what the tables leave. */
size_t memory_checkpoint_bytes(const struct memory *memory);
/* The same for one of `workers` that restores a store before any table holds anything. */
size_t memory_restore_bytes(size_t budget_bytes, uint32_t workers);
/* Of a compaction of the log, when the app has its own: beside the budget. */
size_t memory_cleaner_bytes(size_t budget_bytes);
/* Of pages in one LMDB transaction. */
size_t memory_dirty_bytes(size_t budget_bytes);

#endif
