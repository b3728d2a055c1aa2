/* recovery_txn.c: what log_open does about transactions, after the tails are known.
 *
 *   1. Decided: meta has the decision, some markers may be missing. A partition that ends before a
 * decision's end has lost committed records and is stopped. Where no marker of the producer follows
 * the end, it is appended; not where a purge took the records away.
 *   2. Undecided: meta has participants. Transactions of clients stay open where they can
 * (recovery_open.c); the others are aborted. Each partition is read from its lower bound for records of
 * the producer that no marker follows; they get an abort marker, and an aborted range. A range is
 * also recorded where an abort marker stands already: the crash may have come between the two.
 *   3. Everything is flushed.
 *   4. One write to meta: aborted ranges in; decisions and participants out; the epoch of each
 * producer that had an undecided transaction goes up (it is fenced); flushed ends.
 *
 * A crash anywhere in between leaves meta as it was, and the markers written so far are found by
 * the next attempt.
 *
 * A log that is open for reading only does steps 1 and 2 in memory: nothing is appended, undecided
 * transactions stay open and hold the last stable offset.
 *
 * A stopped partition is left out, and what meta says about it stays there: the decision is not
 * forgotten while its partition waits for repair. Runs before any other thread exists. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading a partition's headers ---- */

static int32_t first_segment(const struct partition *partition, int64_t offset)
{
    int32_t at = partition->segment_count - 1;
    while (at > 0 && partition->segments[at]->base_offset > offset)
        at--;
    return at;
}

int partition_walk(struct partition *partition, int64_t from_offset, partition_walk_fn fn,
                   void *context, struct diag *diag)
{
    for (int32_t i = first_segment(partition, from_offset); i >= 0 && i < partition->segment_count;
         i++) {
        struct segment *segment = partition->segments[i];
        struct segment_scan scan;
        struct batch_header header;
        struct bytes batch;
        int64_t position = 0;
        struct diag why = {0};
        if (from_offset > segment->base_offset)
            position = index_find_offset(segment, segment->index, from_offset);
        int rc = segment_scan_open(&scan, segment, position, atomic_load(&segment->size_bytes),
                                   false, diag);
        while (rc == 0 && (rc = segment_scan_next(&scan, &header, &batch, &position, &why)) == 1) {
            rc = 0;
            if (batch_last_offset(&header) >= from_offset)
                rc = fn(context, &header);
        }
        segment_scan_close(&scan);
        if (rc == ERR_RANGE)
            rc = ERR_CORRUPT;
        if (rc == ERR_CORRUPT) {
            char path[LOG_PATH_BYTES];
            struct diag where;
            segment_path(segment, "log", path);
            diag_set(&where, ERR_CORRUPT, "%s is damaged near byte %" PRId64 ": %s", path, position,
                     why.text);
            return partition_stop(partition, ERR_CORRUPT, &where);
        }
        if (rc < 0 && diag != NULL)
            *diag = why;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- the work ---- */

struct recovery {
    struct log *log;
    struct meta_batch batch; /* what the last step writes */
    struct buf
        decisions; /* copies of key and value, so that no read transaction is open while we write */
    struct buf participants;
    struct buf fenced; /* int64_t producer ids */
    struct producer *survivors;
    uint64_t last_sequence;
    int64_t completed, aborted; /* markers written */
};

/* u32 key size, u32 value size, key, value. */
static int copy_entry(struct buf *out, struct bytes key, struct bytes value)
{
    buf_be32(out, (uint32_t)key.size);
    buf_be32(out, (uint32_t)value.size);
    buf_append_bytes(out, key);
    buf_append_bytes(out, value);
    return buf_ok(out) ? 0 : ERR_NOMEM;
}

static bool take_entry(struct bytes *in, struct bytes *key, struct bytes *value)
{
    uint32_t key_size, value_size;
    return take_be32(in, &key_size) == 0 && take_be32(in, &value_size) == 0 &&
           take_bytes(in, key_size, key) == 0 && take_bytes(in, value_size, value) == 0;
}

static int copy_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    (void)diag;
    return copy_entry(&((struct recovery *)context)->decisions, key, value);
}

static int copy_participants(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    (void)diag;
    return copy_entry(&((struct recovery *)context)->participants, key, value);
}

static bool is_usable(const struct partition *partition)
{
    return partition != NULL && atomic_load(&partition->status) == 0;
}

/* ---- decided ---- */

struct marker_search {
    int64_t producer_id;
    bool found;
};

static int look_for_marker(void *context, const struct batch_header *header)
{
    struct marker_search *search = context;
    search->found = header->producer_id == search->producer_id &&
                    (header->attributes & BATCH_ATTR_CONTROL) != 0;
    return search->found ? 1 : 0;
}

/* The reserve is for this: what was decided must be carried out, on a full disk too. */
static int append_marker(struct partition *partition, bool commit, int64_t producer_id,
                         int16_t epoch, int64_t *offset, struct diag *diag)
{
    int rc = partition_append_marker(partition, commit, producer_id, epoch, offset, diag);
    if (rc == ERR_FULL && reserve_release(partition->log))
        rc = partition_append_marker(partition, commit, producer_id, epoch, offset, diag);
    return rc;
}

/* Read-only: a commit counts without its marker; what was aborted is left out from memory. */
static int hide_aborted(struct partition *partition, const struct meta_decision *decision,
                        const struct meta_decision_part *part, struct diag *diag)
{
    struct aborted aborted = {decision->producer_id, part->first_offset, part->end_offset - 1};
    if (!decision->commit && partition_add_aborted(partition, &aborted) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for an aborted transaction");
    return 1;
}

/* 1: done; 0: the decision must stay. */
static int complete_part(struct recovery *recovery, const struct meta_decision *decision,
                         const struct meta_decision_part *part, struct diag *diag)
{
    struct partition *partition = log_find_place(recovery->log, &part->place);
    if (partition == NULL)
        return 1; /* the topic was deleted */
    if (!is_usable(partition))
        return 0;
    int64_t end = atomic_load(&partition->end_offset);
    if (end < part->end_offset) {
        struct diag why;
        char path[LOG_PATH_BYTES];
        partition_directory(partition, path);
        diag_set(&why, ERR_CORRUPT,
                 "%s ends at offset %" PRId64 ", but a committed transaction of producer %" PRId64
                 " reaches offset %" PRId64,
                 path, end, decision->producer_id, part->end_offset);
        partition_stop(partition, ERR_CORRUPT, &why);
        return 0;
    }
    /* Its records were purged, and its marker may have been as well. One more would decide about what the producer wrote since. */
    if (part->end_offset <= atomic_load(&partition->start_offset))
        return 1;
    struct marker_search search = {.producer_id = decision->producer_id};
    int rc = partition_walk(partition, part->end_offset, look_for_marker, &search, diag);
    if (rc == ERR_CORRUPT)
        return 0;
    TRY(rc);
    if (search.found)
        return 1;
    if (recovery->log->read_only)
        return hide_aborted(partition, decision, part, diag);
    int64_t offset;
    TRY(append_marker(partition, decision->commit, decision->producer_id, decision->epoch, &offset,
                      diag));
    recovery->completed++;
    crash_point("recovery.marker");
    return 1;
}

static int complete_decisions(struct recovery *recovery, struct diag *diag)
{
    struct bytes rest = bytes_of(recovery->decisions.data, recovery->decisions.size), key, value;
    while (take_entry(&rest, &key, &value)) {
        struct meta_decision decision;
        struct meta_decision_part part;
        bool all = true;
        if (meta_read_decision(key, value, &decision) < 0)
            return diag_set(diag, ERR_CORRUPT, "meta: a decision is damaged");
        if (decision.sequence > recovery->last_sequence)
            recovery->last_sequence = decision.sequence;
        uint64_t sequence = decision.sequence;
        while (meta_take_decision_part(&decision, &part) == 0) {
            int rc = complete_part(recovery, &decision, &part, diag);
            TRY(rc);
            all = all && rc == 1;
        }
        if (all)
            meta_delete_decision(&recovery->batch, sequence);
    }
    return 0;
}

/* ---- undecided ---- */

struct open_search {
    struct recovery *recovery;
    struct partition *partition;
    int64_t producer_id, first_offset; /* -1: nothing open */
    int16_t epoch;
    bool found_aborted;
};

static void put_range(struct open_search *search, int64_t marker)
{
    struct meta_place place = partition_place(search->partition);
    struct aborted aborted = {search->producer_id, search->first_offset, marker};
    meta_put_aborted(&search->recovery->batch, &place, &aborted);
    if (partition_add_aborted(search->partition, &aborted) < 0)
        search->recovery->batch.operations.failed = true;
}

/* The header of a control batch does not say which outcome it is: its record does. */
static int marker_outcome(struct partition *partition, int64_t offset)
{
    struct segment *segment = partition->segments[first_segment(partition, offset)];
    struct segment_scan scan;
    struct batch_header header;
    struct bytes batch;
    int64_t position = index_find_offset(segment, segment->index, offset);
    int rc =
        segment_scan_open(&scan, segment, position, atomic_load(&segment->size_bytes), true, NULL);
    while (rc == 0) {
        rc = segment_scan_next(&scan, &header, &batch, &position, NULL);
        if (rc == 1 && header.base_offset == offset) {
            rc = batch_check_crc(batch, NULL);
            rc = rc == 0 ? control_batch_decode(batch) : rc;
            break;
        }
        rc = rc == 1 ? 0 : ERR_CORRUPT;
    }
    segment_scan_close(&scan);
    return rc;
}

static int look_for_open(void *context, const struct batch_header *header)
{
    struct open_search *search = context;
    if (header->producer_id != search->producer_id ||
        (header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return 0;
    if ((header->attributes & BATCH_ATTR_CONTROL) == 0) {
        if (search->first_offset < 0)
            search->first_offset = header->base_offset;
        search->epoch = header->producer_epoch;
        return 0;
    }
    if (search->first_offset < 0)
        return 0;
    int outcome = marker_outcome(search->partition, header->base_offset);
    if (outcome < 0)
        return ERR_CORRUPT;
    if (outcome == 0) {
        put_range(search, header->base_offset);
        search->found_aborted = true;
    }
    search->first_offset = -1;
    return 0;
}

/* 1: had an undecided transaction; 0: had none; 2: the partition is stopped, look again next time.
 */
static int abort_part(struct recovery *recovery, const struct meta_participants *producer,
                      const struct meta_participant *part, struct diag *diag)
{
    struct partition *partition = log_find_place(recovery->log, &part->place);
    if (partition == NULL)
        return 0;
    if (!is_usable(partition))
        return 2;
    int64_t from = part->lower_bound, start = atomic_load(&partition->start_offset);
    struct open_search search = {.recovery = recovery,
                                 .partition = partition,
                                 .producer_id = producer->producer_id,
                                 .first_offset = -1,
                                 .epoch = producer->epoch};
    int rc = partition_walk(partition, from > start ? from : start, look_for_open, &search, diag);
    if (rc == ERR_CORRUPT)
        return 2;
    TRY(rc);
    if (search.first_offset >= 0 && recovery->log->read_only) {
        if (partition_open_txn(partition, search.producer_id, search.first_offset) < 0)
            return diag_set(diag, ERR_NOMEM, "no memory for a transaction");
        return 1;
    }
    if (search.first_offset >= 0) {
        int64_t marker;
        TRY(append_marker(partition, false, search.producer_id, search.epoch, &marker, diag));
        put_range(&search, marker);
        recovery->aborted++;
        crash_point("recovery.abort");
        return 1;
    }
    return search.found_aborted ? 1 : 0;
}

static int abort_undecided(struct recovery *recovery, struct diag *diag)
{
    struct bytes rest = bytes_of(recovery->participants.data, recovery->participants.size), key,
                 value;
    while (take_entry(&rest, &key, &value)) {
        struct meta_participants producer;
        struct meta_participant part;
        bool keep = false, fence = false;
        if (meta_read_participants(key, value, &producer) < 0)
            return diag_set(diag, ERR_CORRUPT, "meta: the participants of a producer are damaged");
        struct producer *survivor =
            survivors_find(recovery->survivors, producer.producer_id, producer.epoch);
        if (survivor != NULL) {
            int rc = survivors_attach(&recovery->survivors, survivor, producer, diag);
            TRY(rc);
            if (rc == 1)
                continue;
        }
        while (meta_take_participant(&producer, &part) == 0) {
            int rc = abort_part(recovery, &producer, &part, diag);
            TRY(rc);
            keep = keep || rc == 2;
            fence = fence || rc == 1;
        }
        if (!keep)
            meta_delete_participants(&recovery->batch, producer.producer_id);
        if (fence || keep)
            buf_append(&recovery->fenced, &producer.producer_id, sizeof producer.producer_id);
    }
    return buf_ok(&recovery->fenced) ? 0 : diag_set(diag, ERR_NOMEM, "no memory to recover");
}

/* ---- fencing ---- */

static bool is_fenced(const struct recovery *recovery, const struct meta_producer *producer)
{
    /* Of what was open before the crash the markers may be there and the records of offsets gone.
     */
    bool found = producer->outcome == TXN_OUTCOME_OPEN;
    for (size_t i = 0; !found && i < recovery->fenced.size; i += sizeof(int64_t))
        found = memcmp(recovery->fenced.data + i, &producer->producer_id, sizeof(int64_t)) == 0;
    return found && producer->epoch < INT16_MAX;
}

static int fence_one(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct recovery *recovery = context;
    struct meta_producer producer;
    (void)diag;
    TRY(meta_read_producer(value, &producer));
    if (key.size > META_TRANSACTIONAL_ID_BYTES)
        return ERR_CORRUPT;
    if (survivors_find(recovery->survivors, producer.producer_id, producer.epoch) != NULL)
        return 0;
    if (!is_fenced(recovery, &producer))
        return 0;
    char name[META_TRANSACTIONAL_ID_BYTES + 1];
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    producer.epoch++;
    producer.outcome =
        producer.outcome == TXN_OUTCOME_OPEN ? TXN_OUTCOME_CONTINUED : TXN_OUTCOME_NONE;
    producer.updated_ms = clock_wall_ms();
    meta_put_producer(&recovery->batch, name, &producer);
    return 0;
}

/* Flushed ends as of now, for all partitions that were flushed. */
static void put_flushed_ends(struct recovery *recovery)
{
    struct partition *partition = recovery->log->flusher.unrecorded;
    for (; partition != NULL; partition = partition->next_unrecorded)
        partition_put_record(partition, &partition->flushed, &recovery->batch);
}

static int recover(struct recovery *recovery, struct diag *diag)
{
    struct log *log = recovery->log;
    TRY(meta_scan(log->meta, META_DECISIONS, bytes_of(NULL, 0), copy_decision, recovery, diag));
    TRY(meta_scan(log->meta, META_PARTICIPANTS, bytes_of(NULL, 0), copy_participants, recovery,
                  diag));
    crash_point("recovery.begin");
    TRY(complete_decisions(recovery, diag));
    TRY(survivors_load(log, &recovery->survivors, diag));
    TRY(abort_undecided(recovery, diag));
    if (log->read_only)
        return 0;
    TRY(flusher_flush_all(log, diag));
    crash_point("recovery.flushed");
    TRY(meta_scan(log->meta, META_PRODUCERS, bytes_of(NULL, 0), fence_one, recovery, diag));
    put_flushed_ends(recovery);
    TRY(survivors_finish(log, recovery->survivors, &recovery->batch, diag));
    TRY(log_meta_apply_cleanup(log, &recovery->batch, diag));
    survivors_enlist(log, &recovery->survivors);
    crash_point("recovery.done");
    log->flusher.next_sequence = recovery->last_sequence + 1;
    if (recovery->completed > 0 || recovery->aborted > 0)
        log_line('I',
                 "%s: %" PRId64 " markers of decided transactions completed, %" PRId64
                 " parts of undecided ones aborted",
                 log->dir, recovery->completed, recovery->aborted);
    return 0;
}

int recover_transactions(struct log *log, struct diag *diag)
{
    struct recovery recovery = {.log = log};
    meta_batch_init(&recovery.batch);
    buf_init(&recovery.decisions, 0);
    buf_init(&recovery.participants, 0);
    buf_init(&recovery.fenced, 0);
    int rc = recover(&recovery, diag);
    survivors_free(&recovery.survivors);
    meta_batch_deinit(&recovery.batch);
    buf_deinit(&recovery.decisions);
    buf_deinit(&recovery.participants);
    buf_deinit(&recovery.fenced);
    return rc;
}
