/* state_private.h: what state.c (environment, snapshots), state_read.c (reading), state_batch.c (changes), state_sort.c (their order) and state_apply.c (writing) share.
 *
 * Who owns what:
 *   constant after open   path, environment, database handles, limits, registry identity
 *   link lock             who else reads (state_reader.c), and with it the right to change the map
 *   reading lock          snapshot and everything about it, and the right to change the map: the reading
 *                         thread holds it for the length of one call, the applying thread while it grows
 *   applying thread       batch, failed */
#ifndef WEIR_STATE_STATE_PRIVATE_H
#define WEIR_STATE_STATE_PRIVATE_H

#include <lmdb.h>
#include <pthread.h>
#include <sys/types.h>
#include "runtime/state/state.h"
#include "runtime/state/state_format.h"
#include "runtime/state/state_tree.h"

/* One put or delete, in a block; the stored key and the stored value follow. */
struct apply_record {
    uint32_t value_size, room;       /* bytes of the value, and how many fit */
    uint16_t key_size;
    bool deletes;
    uint8_t bytes[];
};

/* Memory for records. A reference counts units of 8 bytes over blocks of 2 MiB; a record that is larger has a block of its own. */
struct record_block {
    uint8_t *data;
    size_t size_bytes;
};
enum { RECORD_UNIT_BYTES = 8, RECORD_BLOCK_UNITS = 1 << 18 };

/* What is sorted: 12 bytes of the key, taken after the prefix that all keys share, decide nearly every comparison without
 * touching the record. */
struct apply_order {
    uint64_t high;
    uint32_t low, record;
};

struct apply_slot {
    uint32_t tag;                    /* upper half of the stored key's hash */
    uint32_t place;                  /* 1 + index in order; 0: empty */
};

struct apply_batch {
    bool open;
    struct record_block *blocks;     /* the records; the last block is used_bytes full */
    uint32_t block_count, block_capacity;
    size_t used_bytes, full_bytes;   /* full_bytes: of the blocks before the last */
    struct apply_order *order;       /* in the order of the calls until sorted */
    size_t count, capacity;          /* less capacity is in use than counted: what was never written takes no memory */
    struct apply_slot *slots;        /* finds a key's record again; useless once order is sorted */
    uint32_t slots_log2;
    size_t shared_prefix_bytes;      /* of all stored keys so far */
    size_t stored_bytes;             /* keys and values as LMDB will hold them */
};

struct state_link;
struct state {
    char *path;
    MDB_env *env;
    MDB_dbi data, meta, unnamed;
    size_t map_limit_bytes, page_bytes, dirty_limit_bytes;
    uint64_t plan_hash, stored_hash; /* stored_hash: of one that was there when it was opened */
    bool read_only;
    dev_t device;
    ino_t inode;
    struct state *next_open;         /* the registry of open stores, under its own lock */
    struct state_link *link;         /* to others that read it */
    bool is_ready;                   /* others may find it; under the registry's lock */
    uint32_t owners;                 /* of a read-only handle: who opened it; under the registry's lock */

    pthread_mutex_t reading;         /* recursive: a scan's callback may call state_get */
    MDB_txn *snapshot;               /* NULL until the first read, then kept and renewed */
    bool snapshot_live;
    uint32_t scans_running;
    struct state_position position;  /* as of the last snapshot */
    struct tree tree;                /* the pairs in it */
    bool map_lost;                   /* a failed remap left nothing to read from */

    struct apply_batch batch;
    bool failed;                     /* a commit or flush failed: no more writes through this handle */
};

/* Translates an LMDB or errno code: fills diag with "what PATH: reason" and returns an ERR_ code. */
int state_error(const struct state *state, struct diag *diag, int lmdb_code, const char *what);
/* Commits and flushes, unless the fault hook says no or nothing is to be flushed; LMDB codes. txn is gone either way. */
int state_commit(struct state *state, MDB_txn *txn);
int state_sync(struct state *state);
/* Reads the header inside a transaction. */
int state_read_header(struct state *state, MDB_txn *txn, struct state_header *header, struct diag *diag);
/* state_read.c: in a transaction. */
int state_get_in(struct state *state, MDB_txn *txn, struct bytes key, struct arena *arena, struct bytes *value, struct diag *diag);
/* pause (may be NULL) is called every STATE_PAUSE_PAIRS pairs; negative: the transaction is gone, and the scan ends with that. */
enum { STATE_PAUSE_PAIRS = 4096 };
int state_scan_in(struct state *state, MDB_txn *txn, struct bytes from, struct bytes to, int (*fn)(void *context, struct bytes key, struct bytes value), void *context,
                  int (*pause)(void *context), void *pause_context, struct diag *diag);
int state_stat_in(struct state *state, MDB_txn *txn, struct state_statistics *statistics, struct diag *diag);
/* state_reader.c. The link lives until the last one lets go of it. */
struct state_link *state_link_create(struct state *state);
struct state_link *state_link_hold(struct state_link *link);
/* No reader begins or reads until resume; their snapshots are gone (is_end: and so is the store). */
void state_link_stop(struct state_link *link, bool is_end);
void state_link_resume(struct state_link *link);
void state_link_drop(struct state_link *link);
/* Ends snapshots that are older than STATE_READER_MS. */
void state_link_expire(struct state_link *link);
/* state.c: the link of the store in this directory that is open in this process, held; NULL: none is. */
struct state_link *state_find_link(const char *dir);
/* Makes sure that there is a snapshot. Under the reading lock. */
int state_snapshot_take(struct state *state, struct diag *diag);
/* Enlarges the map to hold at least wanted_bytes (doubling, cut at the limit); waits for a running read and drops the snapshot. Only the
 * applying thread, outside a transaction. ERR_FULL when the map is at its limit already. */
int state_grow(struct state *state, size_t wanted_bytes, struct diag *diag);
/* Pages at the end that were allocated and freed again in one transaction are never written; the file is lengthened over them, so that
 * a file shorter than its last page always means damage. After a commit. */
int state_fill_up(struct state *state, struct diag *diag);
static inline struct apply_record *state_record(const struct apply_batch *batch, const struct apply_order *item)
{
    return (struct apply_record *)(void *)(batch->blocks[item->record / RECORD_BLOCK_UNITS].data +
                                           (size_t)(item->record % RECORD_BLOCK_UNITS) * RECORD_UNIT_BYTES);
}
void state_batch_drop(struct apply_batch *batch);
void state_batch_drop_slots(struct apply_batch *batch);
/* Sorts the batch by key, one record a key. ERR_NOMEM, ERR_UNSUPPORTED (see state_check_long_key). */
int state_batch_sort(struct state *state, struct diag *diag);
/* ERR_UNSUPPORTED when the record of a long key and another stored value of the same stored key are of different keys. */
int state_check_long_key(const struct state *state, const struct apply_record *record, struct bytes other_value, struct diag *diag);

#endif
