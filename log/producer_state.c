/* producer_state.c: what a partition knows about the producers that number their batches.
 *
 * A producer that does not hear an answer sends its batch again. So that the log holds it once, the
 * producer numbers its records per partition (sequence: 0 to 2147483647, then 0 again), and the
 * partition keeps, per producer id, the epoch and the last PRODUCER_BATCHES batches: that is how
 * many a client has in flight at most. The rules are Kafka's:
 *
 *   epoch below the known one           ERR_FENCED
 *   the same first and last sequence    a retry: success with the offset of the first time
 *   epoch above the known one           must begin at sequence 0, else ERR_SEQUENCE
 *   first sequence = last known + 1     goes on
 *   anything else                       ERR_SEQUENCE
 *   a producer that is not known        any sequence: what was known of it has expired
 *   all is well, but a transaction      ERR_STATE for a batch that is not transactional: committed
 *   of it is open here                  readers would take it for part of the transaction
 *
 * A marker of a newer epoch (a transaction that was ended in its producer's stead) raises the epoch
 * as well, so that what the old one still has on the way is refused here.
 *
 * Producers are forgotten when they wrote nothing for log_options.producer_expiry_ms, by the clock
 * of this machine: timestamps of records say nothing about when they came. An id costs its sender
 * nothing, so that the number kept is limited too (PRODUCERS_PER_PARTITION); whoever wrote the
 * longest time ago leaves first, and those with an open transaction last.
 *
 * The entries lie in one array that grows; they are found through a hash table of chains and stand
 * in a list in the order of their last write, oldest first. Links are indexes into the array.
 * Everything is under partition.mutex. The table outlives a restart through snapshot.c. */
#include "log/log_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1, FIRST_CAPACITY = 8 };

/* ---- the table ---- */

static uint32_t slot_of(const struct producer_table *table, int64_t producer_id)
{
    /* Ids come in blocks of neighbours: the multiplication spreads them (Fibonacci hashing). */
    uint64_t mixed = (uint64_t)producer_id * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(mixed >> 32) & (uint32_t)(table->capacity - 1);
}

struct producer_entry *producer_table_find(const struct producer_table *table, int64_t producer_id)
{
    if (table->count == 0)
        return NULL;
    int32_t at = table->heads[slot_of(table, producer_id)];
    while (at != NONE && table->entries[at].producer_id != producer_id)
        at = table->entries[at].next;
    return at == NONE ? NULL : &table->entries[at];
}

static void list_unlink(struct producer_table *table, struct producer_entry *entry)
{
    if (entry->older != NONE)
        table->entries[entry->older].newer = entry->newer;
    else
        table->oldest = entry->newer;
    if (entry->newer != NONE)
        table->entries[entry->newer].older = entry->older;
    else
        table->newest = entry->older;
}

static void list_append(struct producer_table *table, struct producer_entry *entry)
{
    int32_t at = (int32_t)(entry - table->entries);
    entry->older = table->newest;
    entry->newer = NONE;
    if (table->newest != NONE)
        table->entries[table->newest].newer = at;
    else
        table->oldest = at;
    table->newest = at;
}

/* Takes an entry out; its place goes to the list of free ones. */
static void forget(struct producer_table *table, struct producer_entry *entry)
{
    int32_t at = (int32_t)(entry - table->entries);
    int32_t *link = &table->heads[slot_of(table, entry->producer_id)];
    while (*link != at)
        link = &table->entries[*link].next;
    *link = entry->next;
    list_unlink(table, entry);
    entry->next = table->unused;
    table->unused = at;
    table->count--;
}

static int grow(struct producer_table *table)
{
    int32_t capacity = table->capacity == 0 ? FIRST_CAPACITY : table->capacity * 2;
    struct producer_entry *entries =
        realloc(table->entries, (size_t)capacity * sizeof *table->entries);
    if (entries == NULL)
        return ERR_NOMEM;
    table->entries = entries;
    int32_t *heads = realloc(table->heads, (size_t)capacity * sizeof *heads);
    if (heads == NULL)
        return ERR_NOMEM;
    table->heads = heads;
    for (int32_t i = 0; i < capacity; i++)
        heads[i] = NONE;
    if (table->capacity == 0)
        table->oldest = table->newest = table->unused = NONE;
    int32_t first = table->capacity;
    table->capacity = capacity;
    /* It grows only when every place is taken, so that all old entries are in use. */
    for (int32_t i = 0; i < first; i++) {
        uint32_t slot = slot_of(table, entries[i].producer_id);
        entries[i].next = heads[slot];
        heads[slot] = i;
    }
    for (int32_t i = capacity - 1; i >= first; i--) {
        entries[i].next = table->unused;
        table->unused = i;
    }
    return 0;
}

static void evict_one(struct producer_table *table)
{
    int32_t at = table->oldest;
    while (at != NONE && table->entries[at].txn_first_offset >= 0)
        at = table->entries[at].newer;
    forget(table, &table->entries[at != NONE ? at : table->oldest]);
}

/* The new entry of an unknown producer. There is room: producer_state_reserve came before. */
static struct producer_entry *add(struct producer_table *table, int64_t producer_id)
{
    if (table->count == PRODUCERS_PER_PARTITION)
        evict_one(table);
    must(table->unused != NONE);
    int32_t at = table->unused;
    struct producer_entry *entry = &table->entries[at];
    table->unused = entry->next;
    *entry = (struct producer_entry){
        .producer_id = producer_id, .epoch = -1, .coordinator_epoch = -1, .txn_first_offset = -1};
    uint32_t slot = slot_of(table, producer_id);
    entry->next = table->heads[slot];
    table->heads[slot] = at;
    list_append(table, entry);
    table->count++;
    return entry;
}

void producer_table_deinit(struct producer_table *table)
{
    free(table->entries);
    free(table->heads);
    *table = (struct producer_table){0};
}

/* ---- the rules ---- */

static int32_t last_sequence(const struct batch_header *header)
{
    /* The deltas of a batch are never negative, so that this wraps from 2147483647 to 0. */
    return (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->last_offset_delta) &
                     INT32_MAX);
}

static const struct producer_batch *newest_batch(const struct producer_entry *entry)
{
    return entry->batch_count == 0 ? NULL : &entry->batches[entry->newest];
}

static int32_t next_sequence(const struct producer_entry *entry)
{
    const struct producer_batch *batch = newest_batch(entry);
    return batch == NULL ? 0 : (int32_t)(((uint32_t)batch->last_sequence + 1) & INT32_MAX);
}

static const struct producer_batch *find_batch(const struct producer_entry *entry, int32_t first,
                                               int32_t last)
{
    for (int i = 0; i < entry->batch_count; i++)
        if (entry->batches[i].first_sequence == first && entry->batches[i].last_sequence == last)
            return &entry->batches[i];
    return NULL;
}

static int refuse_sequence(const struct partition *partition, const struct batch_header *header,
                           int32_t expected, struct diag *diag)
{
    return diag_set(diag, ERR_SEQUENCE,
                    "producer %" PRId64 " with epoch %d sends sequence %" PRId32
                    " to %s-%d where %" PRId32 " was expected",
                    header->producer_id, header->producer_epoch, header->base_sequence,
                    partition->topic->name, partition->index, expected);
}

static int check_known(const struct partition *partition, const struct producer_entry *entry,
                       const struct batch_header *header, int64_t *base_offset, struct diag *diag)
{
    if (header->producer_epoch < entry->epoch)
        return diag_set(diag, ERR_FENCED,
                        "producer %" PRId64 " with epoch %d is fenced: %s-%d knows epoch %d",
                        header->producer_id, header->producer_epoch, partition->topic->name,
                        partition->index, entry->epoch);
    if (header->producer_epoch > entry->epoch)
        return header->base_sequence == 0 ? 0 : refuse_sequence(partition, header, 0, diag);
    const struct producer_batch *batch =
        find_batch(entry, header->base_sequence, last_sequence(header));
    if (batch != NULL) {
        *base_offset = batch->last_offset - header->last_offset_delta;
        return 1;
    }
    int32_t expected = next_sequence(entry);
    return header->base_sequence == expected ? 0
                                             : refuse_sequence(partition, header, expected, diag);
}

int producer_state_check(struct partition *partition, const struct batch_header *header,
                         int64_t *base_offset, struct diag *diag)
{
    if (header->producer_epoch < 0 || header->base_sequence < 0)
        return diag_set(diag, ERR_INVALID,
                        "a batch of producer %" PRId64
                        " for %s-%d has epoch %d and sequence %" PRId32,
                        header->producer_id, partition->topic->name, partition->index,
                        header->producer_epoch, header->base_sequence);
    const struct producer_entry *entry =
        producer_table_find(&partition->producers, header->producer_id);
    if (entry == NULL)
        return 0;
    int rc = check_known(partition, entry, header, base_offset, diag);
    if (rc == 0 && entry->txn_first_offset >= 0 &&
        (header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        rc = diag_set(diag, ERR_STATE,
                      "a batch of producer %" PRId64
                      " for %s-%d is not transactional, and its transaction is open there",
                      header->producer_id, partition->topic->name, partition->index);
    return rc;
}

int producer_state_reserve(struct partition *partition)
{
    struct producer_table *table = &partition->producers;
    return table->count < table->capacity || table->count == PRODUCERS_PER_PARTITION ? 0
                                                                                     : grow(table);
}

static void push_batch(struct producer_entry *entry, const struct batch_header *header)
{
    entry->newest = (uint8_t)((entry->newest + 1) % PRODUCER_BATCHES);
    if (entry->batch_count < PRODUCER_BATCHES)
        entry->batch_count++;
    if (entry->batch_count == 1)
        entry->newest = 0;
    entry->batches[entry->newest] = (struct producer_batch){
        header->base_sequence, last_sequence(header), batch_last_offset(header)};
}

void producer_state_note(struct partition *partition, const struct batch_header *header,
                         int64_t now_ms)
{
    struct producer_table *table = &partition->producers;
    struct producer_entry *entry = producer_table_find(table, header->producer_id);
    if (entry == NULL) {
        entry = add(table, header->producer_id);
    } else {
        list_unlink(table, entry);
        list_append(table, entry);
    }
    bool is_marker = (header->attributes & BATCH_ATTR_CONTROL) != 0;
    /* A marker may come late, of an epoch that is over: it ends the transaction and no more. */
    if (is_marker ? header->producer_epoch > entry->epoch
                  : header->producer_epoch != entry->epoch) {
        entry->epoch = header->producer_epoch;
        entry->batch_count = 0;
    }
    entry->last_write_ms = now_ms;
    if (is_marker) {
        entry->txn_first_offset = -1;
        entry->coordinator_epoch = entry->coordinator_epoch < 0 ? 0 : entry->coordinator_epoch;
        return;
    }
    push_batch(entry, header);
    if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) != 0 && entry->txn_first_offset < 0)
        entry->txn_first_offset = header->base_offset;
}

bool producer_state_is_last(struct partition *partition, int64_t producer_id, int64_t last_offset)
{
    pthread_mutex_lock(&partition->mutex);
    const struct producer_entry *entry = producer_table_find(&partition->producers, producer_id);
    const struct producer_batch *batch = entry == NULL ? NULL : newest_batch(entry);
    bool is_last = batch != NULL && batch->last_offset == last_offset;
    pthread_mutex_unlock(&partition->mutex);
    return is_last;
}

int32_t producer_state_expire(struct partition *partition, int64_t now_ms, int64_t expiry_ms)
{
    struct producer_table *table = &partition->producers;
    int32_t expired = 0;
    pthread_mutex_lock(&partition->mutex);
    int32_t at = table->count == 0 ? NONE : table->oldest;
    while (at != NONE) {
        struct producer_entry *entry = &table->entries[at];
        if (now_ms - entry->last_write_ms < expiry_ms)
            break; /* the rest wrote later */
        at = entry->newer;
        if (entry->txn_first_offset >= 0)
            continue;
        forget(table, entry);
        expired++;
    }
    pthread_mutex_unlock(&partition->mutex);
    return expired;
}

/* ---- whole tables ---- */

const struct producer_entry *producer_state_each(const struct partition *partition,
                                                 const struct producer_entry *after)
{
    const struct producer_table *table = &partition->producers;
    int32_t at = after != NULL ? after->newer : table->count == 0 ? NONE : table->oldest;
    return at == NONE ? NULL : &table->entries[at];
}

int producer_state_load(struct partition *partition, const struct producer_entry *loaded)
{
    struct producer_table *table = &partition->producers;
    if (producer_table_find(table, loaded->producer_id) != NULL)
        return ERR_CORRUPT;
    if (producer_state_reserve(partition) < 0)
        return ERR_NOMEM;
    struct producer_entry *entry = add(table, loaded->producer_id);
    entry->epoch = loaded->epoch;
    entry->coordinator_epoch = loaded->coordinator_epoch;
    entry->last_write_ms = loaded->last_write_ms;
    entry->txn_first_offset = loaded->txn_first_offset;
    entry->batch_count = loaded->batch_count;
    entry->newest = loaded->newest;
    memcpy(entry->batches, loaded->batches, sizeof entry->batches);
    return 0;
}

int partition_producers(struct partition *partition, struct producer_info **list, size_t *count,
                        struct diag *diag)
{
    size_t filled = 0;
    *list = NULL;
    *count = 0;
    TRY(partition_readable(partition, diag));
    pthread_mutex_lock(&partition->mutex);
    size_t needed = (size_t)partition->producers.count;
    struct producer_info *infos = malloc((needed + 1) * sizeof *infos); /* never malloc(0) */
    const struct producer_entry *entry = NULL;
    while (infos != NULL && (entry = producer_state_each(partition, entry)) != NULL) {
        const struct producer_batch *batch = newest_batch(entry);
        infos[filled++] =
            (struct producer_info){.producer_id = entry->producer_id,
                                   .epoch = entry->epoch,
                                   .last_sequence = batch != NULL ? batch->last_sequence : -1,
                                   .last_write_ms = entry->last_write_ms,
                                   .coordinator_epoch = entry->coordinator_epoch,
                                   .txn_first_offset = entry->txn_first_offset};
    }
    pthread_mutex_unlock(&partition->mutex);
    if (infos == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory to list %zu producers", needed);
    *list = infos;
    *count = filled;
    return 0;
}
