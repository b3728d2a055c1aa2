/* view_tail.h: what a changelog holds beyond a store, of each key the last change: sorted runs, which never change once they are made.
 *
 * A tail grows by runs, so that who took the runs it has at a time goes on seeing what was there then, whatever is added. Runs of like size are merged, and what the store
 * holds by then is dropped on the way: a look-up asks few runs (their sizes at least double), and memory is that of the keys that changed.
 *
 * Threads: a tail is used under its owner's lock; runs that were taken, by anybody. */
#ifndef WEIR_RUNTIME_VIEW_TAIL_H
#define WEIR_RUNTIME_VIEW_TAIL_H

#include "runtime/base/arena.h"
#include "runtime/base/error.h"

enum { TAIL_RUNS_MAX = 40 };

struct tail_entry {
    struct bytes key, value;          /* value.data NULL: it is gone */
    int64_t offset;                   /* of the record; later ones are right */
};
struct tail_run;
/* Older runs first. */
struct tail_runs {
    struct tail_run *items[TAIL_RUNS_MAX];
    uint32_t count;
};

struct view_tail {
    struct tail_runs runs;
    struct arena arena;               /* of what is held */
    struct tail_entry *held;          /* in the order of the changelog; of no run yet */
    size_t held_count, held_capacity;
};

/* A zeroed tail is empty. */
void view_tail_deinit(struct view_tail *tail);
/* Copies. ERR_NOMEM. */
int view_tail_hold(struct view_tail *tail, struct bytes key, struct bytes value, int64_t offset);
/* What is held below `end` becomes a run; entries below `stored` are in the store and dropped where that costs nothing. whole: all runs become one. ERR_NOMEM: the
 * tail is of no use any more. */
int view_tail_settle(struct view_tail *tail, int64_t end, int64_t stored, bool whole);
size_t view_tail_bytes(const struct view_tail *tail);

/* The tail's runs, for good. */
void tail_runs_take(const struct view_tail *tail, struct tail_runs *runs);
void tail_runs_give_back(struct tail_runs *runs);
/* The last change of a key; NULL: there is none. */
const struct tail_entry *tail_runs_find(const struct tail_runs *runs, struct bytes key);

/* The keys from one on, each once, with its last change. */
struct tail_walk {
    const struct tail_runs *runs;
    size_t next[TAIL_RUNS_MAX];
    const struct tail_entry *entry;   /* NULL: the end */
};
void tail_walk_begin(struct tail_walk *walk, const struct tail_runs *runs, struct bytes from);
void tail_walk_next(struct tail_walk *walk);

#endif
