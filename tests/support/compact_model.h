/* compact_model.h: a naive model of a compacted partition, and a log that does what it notes.
 *
 * The model is a list of facts: every record that was appended, with its offset, time, key, value and what became of its transaction. What
 * compaction may and must do follows from the facts alone. It may lie in shared memory, so that a child process that crashes leaves it behind.
 * Failures end the test through cmocka's assertions. */
#ifndef WEIR_TESTS_COMPACT_MODEL_H
#define WEIR_TESTS_COMPACT_MODEL_H

#include "log/log_internal.h"

enum {
    FACT_LIMIT = 6000,
    TXN_LIMIT = 1500,
    PRODUCERS = 3,
    RETENTION_MS = 1000,
    IDEMPOTENT_ID = 900001 /* far above what the log itself gives out */
};

enum fate { FATE_PLAIN, FATE_OPEN, FATE_COMMITTED, FATE_ABORTED };

struct fact {
    int64_t offset, timestamp_ms;
    int32_t key,
        value;   /* key -1: none; value -1: a tombstone; else the number that is in its text */
    int32_t txn; /* -1: none */
    bool has_header;
    int64_t stamped_ms; /* of a tombstone: the first pass that kept it; 0: none yet */
};
struct txn {
    enum fate fate;
    int64_t producer_id, marker; /* -1: not yet */
};
struct model {
    uint64_t random;
    int32_t keys; /* how many there are */
    int32_t fact_count, txn_count, next_value;
    int64_t end; /* the next offset */
    struct fact facts[FACT_LIMIT];
    struct txn txns[TXN_LIMIT];
    int32_t open[PRODUCERS];           /* transaction; -1: none */
    int64_t last_batch[PRODUCERS + 1]; /* last offset of each producer's newest batch */
    int64_t producer_ids[PRODUCERS + 1];
    int32_t sequence; /* of the idempotent one */
    int64_t now_ms, time_ms;
};
struct world {
    char *dir;
    int64_t memory_bytes; /* cleaner_memory_bytes */
    struct log *log;
    struct partition *partition;
    struct producer *producers[PRODUCERS];
};


extern struct model *model;

void model_start(uint64_t seed, int32_t keys);
int32_t model_below(int32_t bound);
/* A pass at model->now_ms ended: tombstones below its end are stamped. */
void model_note_pass(int64_t clean_end);

/* The topic "t" of one partition, compacted; made in a log of its own. */
void world_make_topic(const char *dir, const char *segment_bytes, const char *retention_ms);
void world_open(struct world *world);
void world_open_producers(struct world *world);
/* Open transactions are aborted by that: end them first. */
void world_close(struct world *world);
void world_append(struct world *world, bool idempotent);
void world_append_txn(struct world *world, int32_t p);
void world_end_txn(struct world *world, int32_t p, bool commit);
/* Random operations, then a wait until all of it is durable and recorded. */
void world_write(struct world *world, int32_t operations);
void world_wait_recorded(struct partition *partition);
/* A pass at model->now_ms that must succeed. */
void world_clean(struct world *world);
int64_t world_cleaned_end(struct partition *partition);
/* strict: no pass was interrupted since the last one that ended. */
void world_verify(struct partition *partition, bool strict, bool every_offset);
void world_verify_times(struct partition *partition);

#endif
