/* verify_internal.h: what the files of partition_verify share: verify.c walks, verify_index.c and verify_txn.c check beside it. */
#ifndef WEIR_LOG_VERIFY_INTERNAL_H
#define WEIR_LOG_VERIFY_INTERNAL_H

#include "log/log_internal.h"


struct verify_note { /* a finding that waits until it is certain */
    enum verify_kind kind;
    int64_t position, offset;
    char *file, *text;
};
struct verify {
    struct partition *partition;
    struct verify_note *notes;
    size_t note_count, note_capacity;
    int64_t left_out;
    bool no_memory;
    struct verify_report report;

    /* as of the moment when the walk began */
    char directory[LOG_PATH_BYTES];
    struct partition_listing listing;
    struct leader_epochs epochs;
    struct meta_partition flushed;
    struct meta_segment *records; /* of closed segments, by base offset */
    size_t record_count, record_capacity;
    struct partition_offsets offsets;
    bool stopped;
    int64_t active_base, active_bytes; /* -1: no segment that takes appends */
    int32_t index_entries[2];          /* of the active one, in its files */
    uint64_t swaps;
};
/* One finding; file is a path or "meta". position and offset -1: none. */
void verify_say(struct verify *verify, enum verify_kind kind, const char *file, int64_t position, int64_t offset, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* What stands in one batch whose header and CRC are right: framing, offsets, times, headers of its records. gaps: compaction may have
 * taken records. ERR_CORRUPT with the reason; ERR_NOMEM. */
int verify_batch(struct bytes batch, const struct batch_header *header, bool gaps, struct buf *scratch, struct diag *why);

/* ---- verify_index.c ---- */
struct index_file_check {
    struct verify *verify;
    char path[LOG_PATH_BYTES];
    uint8_t *data;
    size_t entry_bytes;
    int64_t count, next, limit_entries, wrong;
    bool missing;
};
struct index_check { /* of one segment */
    struct index_file_check offsets, times;
    int64_t base_offset, batch_count, covered_to, due_missing;
    int64_t last_entry_offset, last_entry_place;
    int64_t last_time_offset, last_time_ms, largest_ms;
    int64_t damage_from, damage_to;
    bool closed, damaged;
};
/* limits: so many entries of .index and .timeindex were there when the walk began; -1: what is there. The caller calls index_check_end
 * once when this returned 0. */
int index_check_start(struct index_check *check, struct verify *verify, const char *log_path, int64_t base_offset, bool closed,
                      const int32_t limits[2], struct diag *diag);
void index_check_damage(struct index_check *check, int64_t from, int64_t to);
void index_check_batch(struct index_check *check, const struct batch_header *header, int64_t position);
void index_check_end(struct index_check *check);

/* ---- verify_txn.c ---- */
struct txn_check {
    struct verify *verify;
    struct txn_check_open { /* transactions whose marker did not come yet */
        int64_t producer_id, first_offset;
        int16_t epoch;
    } *open;
    size_t open_count, open_capacity;
    struct aborted *aborted; /* of meta; sorted by the marker's offset */
    bool *seen;
    size_t aborted_count, aborted_capacity, next_aborted;
    bool damaged;            /* a marker may be among what was not read */
};
int txn_check_start(struct txn_check *check, struct verify *verify, struct diag *diag);
int txn_check_batch(struct txn_check *check, const char *path, int64_t position, struct bytes batch, const struct batch_header *header,
                    struct diag *diag);
/* stable: the last stable offset when the walk began; -1: not known. */
int txn_check_end(struct txn_check *check, int64_t first_base, int64_t end_offset, int64_t stable, struct diag *diag);
void txn_check_deinit(struct txn_check *check);

#endif
