/* truncate.c: cuts the end of a partition off.
 *
 * The way out when damage stopped a partition: nothing here decides by itself that flushed records
 * may go (P9), but an operator may. In two halves:
 *
 *   planning     now, with the log open: the partition's files are read from its start. Everything
 *                below the cut must be right. The cut lies at a batch boundary. Transactions that
 *                are open there get a marker: the outcome that lies beyond the cut, or that meta
 *                knows, else an abort. The plan is written to meta, and the partition stops.
 *   the cut      when the log is opened next, before anything else looks at the partition. Every
 *                step can be done again, so a crash anywhere is finished by the next opening:
 *                  1. segments, indexes and snapshots beyond it are removed
 *                  2. the file that it lies in is shortened, its indexes are built again
 *                  3. a new file begins at the cut, with the markers
 *                  4. the leader epoch checkpoint gets an entry
 *                  5. one transaction in meta: segment records, flushed end, aborted ranges,
 *                     decisions without their part here, and the plan is gone
 *
 * Why not at once: a partition in use has readers, a flusher, a keeper, hints and caches that know
 * its end. Opening starts from the files alone, and so there is one way, and it is the tested one.
 *
 * Batches that are appended later reuse offsets that others had. The leader epoch tells them apart:
 * it goes up with each cut (leader_epoch.c). State that was made from what is gone does not notice
 * by itself: the engine refuses a store that is ahead of its changelog, and a group's committed
 * offset beyond the end is out of range. */
#include "log/verify_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- planning ---- */

struct plan {
    struct partition *partition;
    char directory[LOG_PATH_BYTES];
    struct partition_listing listing;
    struct leader_epochs epochs;
    struct buf scratch;
    int64_t asked;
    struct truncation *result;
    struct meta_truncation *cut;

    bool is_cut;                                   /* the walk is beyond the cut */
    int64_t expected;                              /* offset of the next batch; -1: unknown */
    int64_t last_base, last_position, last_max_ms; /* the file that was walked to here */
    bool gaps;
    bool *undecided; /* of each marker: no outcome yet */
};

/* The transactions that are open where the walk is; beyond the cut the list stands still. */
static struct meta_truncation_marker *find_open(struct plan *plan, int64_t producer_id)
{
    for (uint32_t i = 0; i < plan->cut->count; i++)
        if (plan->cut->markers[i].producer_id == producer_id)
            return &plan->cut->markers[i];
    return NULL;
}

static int note_below(struct plan *plan, const struct batch_header *header, struct diag *diag)
{
    struct meta_truncation_marker *open = find_open(plan, header->producer_id);
    if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return 0;
    if ((header->attributes & BATCH_ATTR_CONTROL) != 0) {
        if (open != NULL)
            *open = plan->cut->markers[--plan->cut->count];
    } else if (open != NULL) {
        open->epoch = header->producer_epoch;
    } else if (plan->cut->count == TRUNCATION_MARKERS) {
        return diag_set(diag, ERR_TOO_LARGE,
                        "more than %d transactions are open at offset %" PRId64, TRUNCATION_MARKERS,
                        header->base_offset);
    } else {
        plan->cut->markers[plan->cut->count++] = (struct meta_truncation_marker){
            header->producer_id, header->base_offset, header->producer_epoch, false};
    }
    return 0;
}

/* The first marker beyond the cut is the outcome of what is open there. */
static void note_beyond(struct plan *plan, const struct batch_header *header, struct bytes batch)
{
    struct meta_truncation_marker *open = find_open(plan, header->producer_id);
    plan->result->batches++;
    if (open == NULL || !plan->undecided[open - plan->cut->markers] ||
        (header->attributes & BATCH_ATTR_CONTROL) == 0)
        return;
    int outcome = control_batch_decode(batch);
    if (outcome < 0)
        return;
    open->commit = outcome == 1;
    plan->undecided[open - plan->cut->markers] = false;
}

/* Here the partition will end. */
static void set_cut(struct plan *plan, int64_t offset)
{
    plan->is_cut = true;
    plan->cut->offset = offset;
    plan->cut->segment_base = plan->last_base;
    plan->cut->position = plan->last_position;
    plan->cut->segment_end = offset;
    plan->cut->max_timestamp_ms = plan->last_max_ms;
    plan->cut->flags = plan->gaps ? META_SEGMENT_COMPACTED : 0;
    for (uint32_t i = 0; i < plan->cut->count; i++)
        plan->undecided[i] = true;
}

static int damage(struct plan *plan, const char *path, int64_t position, const char *why,
                  struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT,
                    "%s is damaged at byte %" PRId64 ", below offset %" PRId64
                    ": %s. The last right batch ends at offset %" PRId64,
                    path, position, plan->asked, why, plan->expected);
}

/* Where the cut before this batch lies: in the gap before it, if there is one. */
static int64_t cut_offset(const struct plan *plan, const struct batch_header *header)
{
    if (plan->last_position == 0)
        return plan->last_base; /* nothing of this file stays */
    return plan->gaps && header->base_offset > plan->asked ? plan->asked : header->base_offset;
}

static int take_batch(struct plan *plan, const char *path, const struct batch_header *header,
                      struct bytes batch, int64_t position, struct diag *diag)
{
    struct diag why = {0};
    if (plan->is_cut) {
        note_beyond(plan, header, batch);
        plan->result->end = batch_last_offset(header) + 1;
        return 0;
    }
    bool right =
        plan->gaps ? header->base_offset >= plan->expected : header->base_offset == plan->expected;
    if (right && batch_last_offset(header) >= plan->asked) {
        set_cut(plan, cut_offset(plan, header));
        return take_batch(plan, path, header, batch, position, diag);
    }
    if (!right)
        diag_set(&why, ERR_CORRUPT, "offset %" PRId64 " where %" PRId64 " was expected",
                 header->base_offset, plan->expected);
    if (!right || verify_batch(batch, header, plan->gaps, &plan->scratch, &why) < 0)
        return damage(plan, path, position, why.text, diag);
    plan->expected = batch_last_offset(header) + 1;
    plan->last_position = position + header->size_bytes;
    if (header->max_timestamp_ms > plan->last_max_ms)
        plan->last_max_ms = header->max_timestamp_ms;
    return note_below(plan, header, diag);
}

static int walk_file(struct plan *plan, const char *path, struct diag *diag)
{
    struct file_walk walk;
    struct batch_header header;
    struct bytes batch;
    int64_t position;
    int rc = file_walk_open(&walk, path, -1, diag);
    while (rc == 0) {
        struct diag why = {0};
        rc = file_walk_next(&walk, &header, &batch, &position, &why);
        if (rc == 0)
            break;
        if (rc == 1) {
            rc = take_batch(plan, path, &header, batch, position, diag);
        } else if (rc == ERR_CORRUPT) {
            if (!plan->is_cut && plan->expected == plan->asked)
                set_cut(plan, plan->asked); /* here the damage is, and here the cut shall be */
            rc = plan->is_cut ? file_walk_resync(&walk, plan->asked, diag)
                              : damage(plan, path, position, why.text, diag);
        } else if (diag != NULL) {
            *diag = why;
        }
    }
    file_walk_close(&walk);
    return rc;
}

struct record_search {
    int64_t base_offset;
    struct meta_segment record;
    bool found, swapping;
};

static int look_at_record(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct record_search *search = context;
    struct meta_place place;
    struct meta_segment record;
    (void)diag;
    TRY(meta_read_segment(key, value, &place, &record));
    search->swapping = search->swapping || (record.flags & META_SEGMENT_SWAPPING) != 0;
    if (record.base_offset == search->base_offset) {
        search->record = record;
        search->found = true;
    }
    return 0;
}

static int find_record(struct plan *plan, int64_t base, struct record_search *search,
                       struct diag *diag)
{
    struct meta_place place = partition_place(plan->partition);
    uint8_t prefix[META_PLACE_BYTES];
    *search = (struct record_search){.base_offset = base};
    meta_encode_place(prefix, &place);
    TRY(meta_scan(plan->partition->log->meta, META_SEGMENTS, bytes_of(prefix, sizeof prefix),
                  look_at_record, search, diag));
    return search->swapping
               ? diag_set(diag, ERR_STATE,
                          "a compaction of %s-%d has not ended; open the log again first",
                          plan->partition->topic->name, plan->partition->index)
               : 0;
}

/* A file that begins beyond where the one before ended: the hole may be the place of the cut. */
static int enter_file(struct plan *plan, const struct partition_file *file, const char *path,
                      struct diag *diag)
{
    struct record_search search;
    bool is_first = plan->last_base < 0;
    bool is_hole =
        is_first ? file->base_offset > plan->expected : file->base_offset != plan->expected;
    if (!plan->is_cut && file->base_offset >= plan->asked && plan->expected == plan->asked &&
        (!is_first || is_hole))
        set_cut(plan, plan->asked);
    if (plan->is_cut)
        return 0;
    if (is_hole)
        return damage(plan, path, 0, "the segment does not begin where the one before ends", diag);
    TRY(find_record(plan, file->base_offset, &search, diag));
    plan->gaps = search.found && (search.record.flags & META_SEGMENT_COMPACTED) != 0;
    plan->expected = file->base_offset;
    plan->last_base = file->base_offset;
    plan->last_position = 0;
    plan->last_max_ms = INT64_MIN;
    return 0;
}

static int walk_files(struct plan *plan, struct diag *diag)
{
    for (size_t i = 0; i < plan->listing.count; i++) {
        const struct partition_file *file = &plan->listing.files[i];
        char path[LOG_PATH_BYTES + 300];
        struct record_search search;
        if (file->kind != FILE_LOG)
            continue;
        snprintf(path, sizeof path, "%s/%s", plan->directory, file->name);
        TRY(enter_file(plan, file, path, diag));
        TRY(walk_file(plan, path, diag));
        TRY(find_record(plan, file->base_offset, &search, diag));
        if (!plan->is_cut && plan->gaps)
            plan->expected = search.record.end_offset; /* a gap may end the file */
    }
    return 0;
}

/* What meta knows of transactions whose marker was not found. */
static int look_at_range(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct plan *plan = context;
    struct meta_place place;
    struct aborted range;
    (void)diag;
    TRY(meta_read_aborted(key, value, &place, &range));
    struct meta_truncation_marker *open = find_open(plan, range.producer_id);
    if (open != NULL && range.first_offset <= open->first_offset &&
        range.last_offset >= plan->cut->offset)
        plan->undecided[open - plan->cut->markers] = false; /* aborted, as it says already */
    return 0;
}

static bool is_same(const struct meta_place *a, const struct meta_place *b)
{
    return a->partition == b->partition && memcmp(&a->topic, &b->topic, sizeof a->topic) == 0;
}

static int look_at_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct plan *plan = context;
    struct meta_place place = partition_place(plan->partition);
    struct meta_decision decision;
    struct meta_decision_part part;
    (void)diag;
    TRY(meta_read_decision(key, value, &decision));
    while (meta_take_decision_part(&decision, &part) == 0) {
        if (!is_same(&part.place, &place) || part.end_offset <= plan->cut->offset)
            continue;
        struct meta_truncation_marker *open = find_open(plan, decision.producer_id);
        if (open != NULL && part.first_offset <= open->first_offset) {
            open->commit = decision.commit;
            plan->undecided[open - plan->cut->markers] = false;
        }
        plan->result->decisions += decision.commit;
    }
    return 0;
}

static int ask_meta(struct plan *plan, struct diag *diag)
{
    struct meta *meta = plan->partition->log->meta;
    struct meta_place place = partition_place(plan->partition);
    uint8_t prefix[META_PLACE_BYTES];
    meta_encode_place(prefix, &place);
    TRY(meta_scan(meta, META_ABORTED, bytes_of(prefix, sizeof prefix), look_at_range, plan, diag));
    TRY(meta_scan(meta, META_DECISIONS, bytes_of(NULL, 0), look_at_decision, plan, diag));
    for (uint32_t i = 0; i < plan->cut->count; i++) {
        plan->result->committed += plan->cut->markers[i].commit;
        plan->result->aborted += !plan->cut->markers[i].commit;
    }
    return 0;
}

static int check_range(struct plan *plan, struct diag *diag)
{
    struct partition *partition = plan->partition;
    int64_t start = atomic_load(&partition->start_offset);
    if (plan->asked < start)
        return diag_set(diag, ERR_RANGE,
                        "cannot cut %s-%d at offset %" PRId64 ": it begins at %" PRId64,
                        partition->topic->name, partition->index, plan->asked, start);
    return 0;
}

static int make_plan(struct plan *plan, struct diag *diag)
{
    struct partition *partition = plan->partition;
    int64_t start = atomic_load(&partition->start_offset);
    TRY(check_range(plan, diag));
    partition_directory(partition, plan->directory);
    int rc = partition_listing_read(plan->directory, &plan->listing, diag);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    TRY(leader_epochs_read(plan->directory, &plan->epochs, diag));
    plan->cut->segment_base = plan->last_base = -1;
    plan->expected = start;
    TRY(walk_files(plan, diag));
    if (!plan->is_cut && plan->expected == plan->asked) {
        plan->result->end = plan->expected;
        set_cut(plan, plan->asked);
    }
    if (!plan->is_cut)
        return diag_set(diag, ERR_RANGE,
                        "cannot cut %s-%d at offset %" PRId64 ": it ends at %" PRId64,
                        partition->topic->name, partition->index, plan->asked, plan->expected);
    if (plan->cut->offset < start)
        return diag_set(diag, ERR_RANGE,
                        "the batch that holds offset %" PRId64 " begins at %" PRId64
                        ", below the start offset %" PRId64 ": cut at a later one",
                        plan->asked, plan->cut->offset, start);
    plan->cut->leader_epoch = leader_epoch_latest(&plan->epochs);
    if (atomic_load(&partition->leader_epoch) > plan->cut->leader_epoch)
        plan->cut->leader_epoch = atomic_load(&partition->leader_epoch);
    plan->cut->leader_epoch++;
    if (plan->result->end < plan->cut->offset)
        plan->result->end = plan->cut->offset;
    plan->result->offset = plan->cut->offset;
    plan->result->leader_epoch = plan->cut->leader_epoch;
    return ask_meta(plan, diag);
}

/* Bytes of all files beyond the cut. */
static void count_bytes(struct plan *plan)
{
    plan->result->bytes = 0;
    for (size_t i = 0; i < plan->listing.count; i++) {
        const struct partition_file *file = &plan->listing.files[i];
        if (file->kind != FILE_LOG || file->base_offset < plan->cut->segment_base)
            continue;
        plan->result->bytes += file->size_bytes;
        if (file->base_offset == plan->cut->segment_base)
            plan->result->bytes -= plan->cut->position;
    }
}

static int plan_cut(struct partition *partition, int64_t offset, struct meta_truncation *cut,
                    struct truncation *result, struct diag *diag)
{
    struct plan plan = {.partition = partition, .asked = offset, .result = result, .cut = cut};
    *result = (struct truncation){0};
    memset(cut, 0, sizeof *cut);
    plan.undecided = calloc(TRUNCATION_MARKERS, sizeof *plan.undecided);
    int rc = plan.undecided != NULL ? make_plan(&plan, diag)
                                    : diag_set(diag, ERR_NOMEM, "no memory to plan a truncation");
    if (rc == 0)
        count_bytes(&plan);
    free(plan.undecided);
    buf_deinit(&plan.scratch);
    leader_epochs_deinit(&plan.epochs);
    partition_listing_deinit(&plan.listing);
    return rc;
}

static int record_cut(struct partition *partition, const struct meta_truncation *cut,
                      struct diag *diag)
{
    struct meta_batch batch;
    struct meta_place place = partition_place(partition);
    meta_batch_init(&batch);
    meta_put_truncation(&batch, &place, cut);
    int rc = log_meta_apply_cleanup(partition->log, &batch, diag);
    meta_batch_deinit(&batch);
    return rc;
}

/* Nobody appends any more; so what is planned now is what will be cut. */
static int stop_and_record(struct partition *partition, int64_t offset, struct meta_truncation *cut,
                           struct truncation *result, struct diag *diag)
{
    struct diag why;
    bool nothing = result->offset == result->end && result->bytes == 0 &&
                   partition_status(partition, NULL) == 0;
    if (nothing)
        return 0;
    diag_set(&why, ERR_STOPPED,
             "%s-%d is to be cut at offset %" PRId64 "; that happens when the log is opened next",
             partition->topic->name, partition->index, result->offset);
    pthread_mutex_lock(&partition->mutex);
    (void)partition_stop(partition, ERR_STOPPED, &why);
    pthread_mutex_unlock(&partition->mutex);
    TRY(plan_cut(partition, offset, cut, result, diag));
    return record_cut(partition, cut, diag);
}

int partition_truncate(struct partition *partition, int64_t offset, bool execute,
                       struct truncation *truncation, struct diag *diag)
{
    if (atomic_load(&partition->deleted))
        return partition_readable(partition, diag);
    if (execute)
        TRY(log_status(partition->log, diag));
    struct meta_truncation *cut = malloc(sizeof *cut); /* a thousand markers */
    if (cut == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to plan a truncation");
    pthread_mutex_lock(&partition->purge_mutex);
    int rc = swap_settle(partition, diag);
    if (rc == 0)
        rc = plan_cut(partition, offset, cut, truncation, diag);
    if (rc == 0 && execute)
        rc = stop_and_record(partition, offset, cut, truncation, diag);
    pthread_mutex_unlock(&partition->purge_mutex);
    free(cut);
    return rc;
}

/* ---- epochs ---- */

int32_t partition_leader_epoch(const struct partition *partition)
{
    return atomic_load(&partition->leader_epoch);
}

int partition_epoch_end(struct partition *partition, int32_t epoch, int32_t *found_epoch,
                        int64_t *end_offset, struct diag *diag)
{
    char directory[LOG_PATH_BYTES];
    struct leader_epochs epochs;
    TRY(partition_readable(partition, diag));
    partition_directory(partition, directory);
    TRY(leader_epochs_read(directory, &epochs, diag));
    *found_epoch =
        leader_epoch_end(&epochs, epoch, atomic_load(&partition->end_offset), end_offset);
    leader_epochs_deinit(&epochs);
    return 0;
}
