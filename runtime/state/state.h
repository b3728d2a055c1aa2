/* state.h: one task's store: an LMDB environment that follows a changelog.
 *
 * The store is a materialised prefix of its changelog partition: the position (changelog topic id, next offset) is written in the
 * same LMDB transaction as the data, so the store is never newer than what was applied (P3), a crash needs no wipe, and replay
 * from the position is idempotent. The only writer is state_apply (checkpoint and restore are the same act); the task's thread
 * only reads, through snapshots of at most a second.
 *
 * Threads: one reading thread (state_get, state_get_many, state_scan, state_renew) and one applying thread (state_apply_*) may work at the same time.
 * Keys are any bytes up to 64 KiB and sort by memcmp: LMDB allows 511 bytes, so a longer one is stored under its first bytes and a
 * 128-bit hash, with the whole key in the value (only keys that share their first 480 bytes are then ordered by hash, not by memcmp). Values up to 64 MiB carry a checksum; a mismatch is ERR_CORRUPT with the key in diag.
 * The map starts small and grows (doubling) when it fills, with no live transaction.
 * Formats byte by byte: docs/formats-state.md. */
#ifndef WEIR_STATE_STATE_H
#define WEIR_STATE_STATE_H

#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct state;

/* Keys of at most so many bytes are in order among themselves; longer ones too, but for those that begin with the same so many bytes. */
enum { STATE_ORDERED_BYTES = 479 };

struct state_position {
    uint8_t topic_id[16];      /* of the changelog topic; all zero: none yet */
    int64_t offset;            /* the next changelog offset to apply */
};

struct state_options {
    size_t map_bytes;          /* first map size; 0: 16 MiB */
    size_t map_limit_bytes;    /* 0: 64 GiB; ERR_FULL beyond */
    size_t dirty_limit_bytes;  /* malloc'ed pages of one LMDB transaction; 0: 64 MiB; at least 1 MiB */
    bool must_exist;           /* for the CLI: do not create */
    bool read_only;            /* for the CLI */
};

/* Opens or creates DIR (parents too). An unreadable or foreign directory is ERR_CORRUPT with the path; the caller may delete it (state_destroy)
 * and rebuild from the changelog. plan_hash identifies the layout of keys and values: a store with another one is ERR_STATE
 * (read_only with plan_hash 0 takes any). A newer format is ERR_UNSUPPORTED, a second handle in one process ERR_BUSY,
 * unless both are read_only: then it is the same one, and closed as often. */
int state_open(const char *dir, uint64_t plan_hash, const struct state_options *options, struct state **state, struct diag *diag);
void state_close(struct state *state);
int state_destroy(const char *dir, struct diag *diag);      /* removes the directory of a closed store; none is fine; ERR_STATE when other files are in it */

/* As of the reader's snapshot. */
void state_position(struct state *state, struct state_position *position);
/* Starts a new snapshot if the store changed since; cheap otherwise. Call at least once a second while reading. */
int state_renew(struct state *state, struct diag *diag);
/* Gives up the snapshot (nothing pins old pages); the next get or scan takes a new one. */
void state_release(struct state *state);
/* 1: found, value copied into arena; 0: not there; negative: error. */
int state_get(struct state *state, struct bytes key, struct arena *arena, struct bytes *value, struct diag *diag);
/* The same for many: values[i].data NULL when keys[i] is not there. Several times faster than one by one where the store is larger than the
 * processor's caches. 0 or an error; values are then undefined. */
int state_get_many(struct state *state, const struct bytes *keys, size_t count, struct arena *arena, struct bytes *values, struct diag *diag);
/* Calls fn for the pairs with from ≤ key < to in key order (to.data NULL: to the end); key and value are borrowed for the call. fn may call state_get, no other state function. fn returns 0 to
 * go on, 1 to stop, negative to fail. Returns fn's last non-zero value or 0. */
int state_scan(struct state *state, struct bytes from, struct bytes to, int (*fn)(void *context, struct bytes key, struct bytes value),
               void *context, struct diag *diag);
struct state_statistics {
    uint64_t entries, used_bytes, map_bytes;
};
int state_stat(struct state *state, struct state_statistics *statistics, struct diag *diag);

/* Applying: collects puts and deletes (a null value deletes; the last one of a key wins), then writes them sorted, with the position in the same LMDB transaction. A batch
 * that would change more than dirty_limit_bytes of pages is cut, in key order, into several transactions, the position in the last one: a crash in between
 * leaves some keys newer than the position (never newer than what was applied), and replay from it gives the same store.
 * state_apply_begin → state_apply_put* → state_apply_commit or _abort. Nothing is visible before commit. Memory is bounded by the caller, who commits
 * every so many bytes (state_apply_bytes). An empty store is written with MDB_APPEND. crash points: state_before_commit, state_after_commit. */
int state_apply_begin(struct state *state, struct diag *diag);
int state_apply_put(struct state *state, struct bytes key, struct bytes value, struct diag *diag);   /* copies; value.data NULL deletes */
struct state_change {
    struct bytes key, value;
};
/* The same for many, in order; faster than one by one. On failure some have been collected. */
int state_apply_puts(struct state *state, const struct state_change *changes, size_t count, struct diag *diag);
size_t state_apply_bytes(const struct state *state);
/* position must not be behind the stored one for the same topic id (ERR_STATE). durable: fsync (mdb_env_sync) before return; else NOMETASYNC's promise:
 * a power cut may undo the last commit, never corrupt. The batch is gone afterwards, on failure too. After a failed write or flush (not ERR_STATE, ERR_NOMEM,
 * ERR_UNSUPPORTED, nor ERR_FULL at the map's limit) the handle takes no more applies (ERR_STOPPED): close and open again. */
int state_apply_commit(struct state *state, const struct state_position *position, bool durable, struct diag *diag);
void state_apply_abort(struct state *state);

#endif
