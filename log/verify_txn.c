/* verify_txn.c: whether transactions in a partition's batches and in meta agree.
 *
 *   a transactional batch, and a marker, has a producer and an epoch; a marker decodes
 *   a marker's epoch is not older than that of the data it ends
 *   an abort marker that ends data has its range in meta, and a range has its marker and its data
 *   what begins below the last stable offset was ended, by a marker or by a decision in meta that
 *   still waits for its marker
 *
 * What a purge or compaction took away may have been the data of a marker: that is no finding. */
#include "log/verify_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int load_range(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct txn_check *check = context;
    struct meta_place place;
    struct aborted range;
    TRY(meta_read_aborted(key, value, &place, &range));
    if (check->aborted_count == check->aborted_capacity) {
        size_t capacity = check->aborted_capacity == 0 ? 16 : check->aborted_capacity * 2;
        struct aborted *list = realloc(check->aborted, capacity * sizeof *list);
        if (list == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for aborted transactions");
        check->aborted = list;
        check->aborted_capacity = capacity;
    }
    check->aborted[check->aborted_count++] = range;
    return 0;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct aborted *left = a, *right = b;
    return (left->last_offset > right->last_offset) - (left->last_offset < right->last_offset);
}

int txn_check_start(struct txn_check *check, struct verify *verify, struct diag *diag)
{
    struct meta_place place = partition_place(verify->partition);
    uint8_t prefix[META_PLACE_BYTES];
    *check = (struct txn_check){.verify = verify};
    meta_encode_place(prefix, &place);
    TRY(meta_scan(verify->partition->log->meta, META_ABORTED, bytes_of(prefix, sizeof prefix),
                  load_range, check, diag));
    if (check->aborted_count > 1)
        qsort(check->aborted, check->aborted_count, sizeof *check->aborted, compare_ranges);
    check->seen = calloc(check->aborted_count + 1, sizeof *check->seen);
    return check->seen != NULL ? 0 : diag_set(diag, ERR_NOMEM, "no memory for transactions");
}

static struct txn_check_open *find_open(struct txn_check *check, int64_t producer_id)
{
    for (size_t i = 0; i < check->open_count; i++)
        if (check->open[i].producer_id == producer_id)
            return &check->open[i];
    return NULL;
}

static int note_data(struct txn_check *check, const struct batch_header *header, struct diag *diag)
{
    struct txn_check_open *open = find_open(check, header->producer_id);
    if (open != NULL) {
        open->epoch = header->producer_epoch;
        return 0;
    }
    if (check->open_count == check->open_capacity) {
        size_t capacity = check->open_capacity == 0 ? 16 : check->open_capacity * 2;
        struct txn_check_open *list = realloc(check->open, capacity * sizeof *list);
        if (list == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for open transactions");
        check->open = list;
        check->open_capacity = capacity;
    }
    check->open[check->open_count++] =
        (struct txn_check_open){header->producer_id, header->base_offset, header->producer_epoch};
    return 0;
}

/* The range of meta whose marker this is. */
static bool take_range(struct txn_check *check, int64_t producer_id, int64_t first, int64_t marker)
{
    while (check->next_aborted < check->aborted_count &&
           check->aborted[check->next_aborted].last_offset < marker)
        check->next_aborted++;
    for (size_t i = check->next_aborted;
         i < check->aborted_count && check->aborted[i].last_offset == marker; i++)
        if (check->aborted[i].producer_id == producer_id) {
            check->seen[i] = true;
            return first < 0 || check->aborted[i].first_offset <= first;
        }
    return false;
}

static void note_marker(struct txn_check *check, const char *path, int64_t position,
                        struct bytes batch, const struct batch_header *header)
{
    int outcome = control_batch_decode(batch);
    struct txn_check_open *open = find_open(check, header->producer_id);
    int64_t first = open != NULL ? open->first_offset : -1;
    if (outcome < 0)
        verify_say(check->verify, VERIFY_RECORDS, path, position, header->base_offset,
                   "a control batch is neither a commit nor an abort marker");
    if (open != NULL && header->producer_epoch < open->epoch)
        verify_say(check->verify, VERIFY_RECORDS, path, position, header->base_offset,
                   "a marker of producer %" PRId64 " has epoch %d, the records it ends have %d",
                   header->producer_id, header->producer_epoch, open->epoch);
    bool in_meta = take_range(check, header->producer_id, first, header->base_offset);
    if (outcome == 0 && open != NULL && !in_meta && !check->damaged &&
        header->base_offset >= check->verify->offsets.start)
        verify_say(check->verify, VERIFY_META, path, position, header->base_offset,
                   "producer %" PRId64 "'s records from offset %" PRId64
                   " on are aborted by this marker, but meta does not say so",
                   header->producer_id, first);
    if (outcome == 1 && in_meta)
        verify_say(check->verify, VERIFY_META, path, position, header->base_offset,
                   "meta calls producer %" PRId64 "'s transaction aborted, its marker committed",
                   header->producer_id);
    if (open != NULL)
        *open = check->open[--check->open_count];
}

int txn_check_batch(struct txn_check *check, const char *path, int64_t position, struct bytes batch,
                    const struct batch_header *header, struct diag *diag)
{
    bool control = (header->attributes & BATCH_ATTR_CONTROL) != 0;
    bool transactional = (header->attributes & BATCH_ATTR_TRANSACTIONAL) != 0;
    if (header->producer_id < -1 || ((control || transactional) && header->producer_id < 0) ||
        (header->producer_id >= 0 && header->producer_epoch < 0))
        verify_say(check->verify, VERIFY_RECORDS, path, position, header->base_offset,
                   "a batch has producer %" PRId64 " with epoch %d", header->producer_id,
                   header->producer_epoch);
    else if (header->producer_id >= 0 && !control && header->base_sequence < 0)
        verify_say(check->verify, VERIFY_RECORDS, path, position, header->base_offset,
                   "a batch of producer %" PRId64 " has sequence %d", header->producer_id,
                   header->base_sequence);
    if (control)
        note_marker(check, path, position, batch, header);
    else if (transactional && header->record_count > 0)
        return note_data(check, header, diag);
    return 0;
}

/* ---- at the end ---- */

struct decision_search {
    struct meta_place place;
    int64_t producer_id;
    bool found;
};

static int look_at_decision(void *context, struct bytes key, struct bytes value, struct diag *diag)
{
    struct decision_search *search = context;
    struct meta_decision decision;
    struct meta_decision_part part;
    (void)diag;
    TRY(meta_read_decision(key, value, &decision));
    while (decision.producer_id == search->producer_id &&
           meta_take_decision_part(&decision, &part) == 0)
        search->found = search->found || memcmp(&part.place.topic, &search->place.topic,
                                                sizeof part.place.topic) == 0;
    return 0;
}

struct marker_search {
    int64_t producer_id;
    bool found;
};

static int look_at_batch(void *context, const struct batch_header *header)
{
    struct marker_search *search = context;
    search->found = header->producer_id == search->producer_id &&
                    (header->attributes & BATCH_ATTR_CONTROL) != 0;
    return search->found;
}

/* Decided, and the marker on its way: in meta still, or appended since the walk began. */
static int is_decided(struct txn_check *check, const struct txn_check_open *open,
                      int64_t end_offset, bool *decided, struct diag *diag)
{
    struct partition *partition = check->verify->partition;
    struct decision_search in_meta = {partition_place(partition), open->producer_id, false};
    struct marker_search in_file = {open->producer_id, false};
    TRY(meta_scan(partition->log->meta, META_DECISIONS, bytes_of(NULL, 0), look_at_decision,
                  &in_meta, diag));
    if (!in_meta.found && atomic_load(&partition->end_offset) > end_offset) {
        int rc = partition_walk(partition, end_offset, look_at_batch, &in_file, diag);
        if (rc < 0)
            return rc;
    }
    *decided = in_meta.found || in_file.found;
    return 0;
}

int txn_check_end(struct txn_check *check, int64_t first_base, int64_t end_offset, int64_t stable,
                  struct diag *diag)
{
    for (size_t i = 0; i < check->aborted_count && !check->damaged; i++)
        if (!check->seen[i] && check->aborted[i].last_offset >= first_base &&
            check->aborted[i].last_offset < end_offset)
            verify_say(check->verify, VERIFY_META, "meta", -1, check->aborted[i].last_offset,
                       "meta has an aborted transaction of producer %" PRId64
                       " from offset %" PRId64 " to a marker at %" PRId64 ", which is not there",
                       check->aborted[i].producer_id, check->aborted[i].first_offset,
                       check->aborted[i].last_offset);
    for (size_t i = 0; i < check->open_count && !check->damaged; i++) {
        bool decided = true;
        if (check->open[i].first_offset < stable)
            TRY(is_decided(check, &check->open[i], end_offset, &decided, diag));
        if (!decided)
            verify_say(check->verify, VERIFY_RECORDS, "meta", -1, check->open[i].first_offset,
                       "producer %" PRId64 "'s transaction from offset %" PRId64
                       " on has no end, but lies below the last stable offset %" PRId64,
                       check->open[i].producer_id, check->open[i].first_offset, stable);
    }
    return 0;
}

void txn_check_deinit(struct txn_check *check)
{
    free(check->open);
    free(check->aborted);
    free(check->seen);
}
