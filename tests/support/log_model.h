/* log_model.h: the naive log that test_model.c holds the real one against: a ledger of what was asked for and answered.
 *
 * The ledger lies in memory that the parent shares with its children, who live in the log and die in it. It is written before and after each
 * call, so that after a death it tells what is certain (answered) and what may be so or not (asked). Nothing in it comes from the log but the
 * offsets it answered.
 *
 *   log_model.c         the ledger's own: chance, facts, batches made from facts, reading a partition back
 *   log_model_life.c    what a child does
 *   log_model_check.c   what the parent compares */
#ifndef WEIR_TESTS_LOG_MODEL_H
#define WEIR_TESTS_LOG_MODEL_H

#include "log/log.h"

#include <stdio.h>
#include <unistd.h>

enum {
    MODEL_PLAIN_PARTITIONS = 3,  /* of topic "m": cleanup.policy=delete */
    MODEL_KEYED_PARTITIONS = 2,  /* of topic "c": cleanup.policy=compact */
    MODEL_PARTITIONS = MODEL_PLAIN_PARTITIONS + MODEL_KEYED_PARTITIONS,
    MODEL_PRODUCERS = 2,         /* transactional */
    MODEL_WRITERS = 2,           /* idempotent */
    MODEL_KEYS = 6,
    MODEL_RECORDS = 4096,
    MODEL_BATCHES = 2048,
    MODEL_TXNS = 512,
    MODEL_PASSES = 64,
    MODEL_WINDOW = 5,            /* batches that an idempotent producer may send again */
    NOT_THERE = -2,
    UNKNOWN = -1
};

enum txn_fate { FATE_OPEN, FATE_ASKED, FATE_COMMITTED, FATE_ABORTED };

struct record_fact {
    int32_t partition, txn, batch; /* txn -1: plain */
    int32_t key;                   /* -1: none */
    bool tombstone;
    int64_t offset;                /* UNKNOWN until the append returned; NOT_THERE: it never was */
};
struct batch_fact {
    int32_t first, count;          /* records */
    int32_t codec, value_bytes;
    int64_t timestamp_ms;
};
struct txn_fact {
    enum txn_fate fate;
    int32_t producer;
    int64_t group_offset;          /* -1: none */
};
/* An idempotent producer in one partition. */
struct writer_fact {
    int16_t epoch;
    int32_t next_sequence;
    int32_t window[MODEL_WINDOW];  /* its last batches, oldest first */
    int32_t sequences[MODEL_WINDOW];
    int32_t count, certain;        /* the newest `certain` of them are known to the log for sure: sent in this life; one after a restart */
};
/* A compaction that was asked for. */
struct pass_fact {
    int64_t now_ms, delete_retention_ms;
    int64_t end[MODEL_PARTITIONS];   /* nothing above can have been part of it */
};
struct ledger {
    uint64_t random;
    int32_t record_count, txn_count, batch_count, pass_count;
    struct record_fact records[MODEL_RECORDS];
    struct batch_fact batches[MODEL_BATCHES];
    struct txn_fact txns[MODEL_TXNS];
    struct pass_fact passes[MODEL_PASSES];
    struct writer_fact writers[MODEL_WRITERS][MODEL_PARTITIONS];
    int64_t start[MODEL_PARTITIONS], start_asked[MODEL_PARTITIONS]; /* of delete-records */
    int64_t start_most[MODEL_PARTITIONS];                           /* retention may have moved it up to here; -1: it was not asked */
    int64_t cut_asked[MODEL_PARTITIONS];                            /* the end was to be cut off here; -1: it was not */
    bool cut_certain[MODEL_PARTITIONS];
    int32_t leader_epoch[MODEL_PARTITIONS];                         /* before that */
    int64_t group[MODEL_PRODUCERS];                                 /* last committed offset of group g<n> */
    int64_t next_group_offset;
    int32_t current[MODEL_PRODUCERS];                               /* open transaction, -1 none */
    int64_t shift_ms;                                               /* of the clock that ages are taken by */
    int64_t delete_retention_ms, retention_ms, retention_bytes;     /* as configured: of "c"; of "m" */
    bool compacted;                                                 /* "c" may have been compacted */
    char dir[512];
    bool clean;
};
extern struct ledger *ledger;
/* Over all sequences: so that a model which never gets to see a thing does not pass for one that sees nothing wrong. */
struct model_totals {
    int64_t segments_deleted, records_removed, tombstones_removed, markers_removed, retries, cuts;
};
extern struct model_totals *model_totals;

/* Empties the ledger for a new sequence in dir. */
void model_begin(uint64_t seed, const char *dir);
uint64_t model_random(void);
int32_t below(int32_t bound);
/* What keeps the keeper's thread and its long delays out. */
struct log_options model_options(void);
/* "m" or "c", and the partition in it. */
const char *model_topic(int32_t p);
int32_t model_index(int32_t p);

/* Writes count records into the ledger as one batch with unknown offsets; returns its number. */
int32_t model_note_batch(int32_t partition, int32_t txn, int32_t count);
void model_note_offsets(int32_t batch, int64_t base);
/* The batch's bytes, the same each time; malloc'ed. */
uint8_t *model_encode(int32_t batch, size_t *size);

struct seen_record {
    int64_t offset;
    int32_t id;              /* of its fact; the record was compared with it */
};
/* Every record that the isolation shows from start on, each of which must be a fact: right key, value and time. Offsets ascend. A sentence
 * about what is wrong into why and -1; else the count. seen has room for MODEL_RECORDS. */
int32_t model_read(struct partition *partition, int32_t p, int64_t start, enum isolation isolation, struct seen_record *seen, char why[256]);
/* Whether a reader of committed records may see it, by the ledger. */
bool model_is_visible(const struct record_fact *fact);

/* What the rules of compaction ask of partition p: shown[id]: a reader of committed records saw it. clean_end: what the log says it
 * compacted; forgotten: partition_tombstone_horizon. 0, or -1 with a sentence. */
int model_check_compacted(int32_t p, int64_t start, int64_t clean_end, int64_t forgotten, const bool *shown, char why[256]);

/* A life: opens ledger->dir, does random things, ends with or without closing. For fixture_child. */
int model_live(void *context);
int model_open_only(void *context);
/* Opens, compares everything with the ledger, and writes into it what became of what was only asked. Fails the test. */
void model_compare(void);

#endif
