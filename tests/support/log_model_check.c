/* log_model_check.c: what the parent compares after each life of the model, and how it decides what became of that which
 * was only asked for when the child died.
 *
 * The order: starts; every partition read uncommitted, which settles whether batches are there (each as a whole); read committed;
 * transactions that were being committed (committed in all partitions with the group offset, or in none); then what had to be
 * shown was shown, and nothing else; group offsets; producers' numbers; and every file verified. */
#include "log/log_internal.h"
#include "tests/support/log_fixture.h"
#include "tests/support/log_model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct seen_record seen[MODEL_RECORDS];

/* Delete-records answered, or was asked and may have happened; retention may have gone anywhere up to what it was allowed. */
static void settle_start(struct partition *partition, int32_t p)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    assert_int_equal(offsets.stable, offsets.end);
    if (ledger->start_most[p] >= 0) {
        assert_true(offsets.start >= ledger->start[p] && offsets.start <= ledger->start_most[p]);
    } else if (offsets.start != ledger->start_asked[p]) {
        assert_int_equal(offsets.start, ledger->start[p]);
    }
    ledger->start[p] = ledger->start_asked[p] = offsets.start;
    ledger->start_most[p] = -1;
}

/* A fact's offset as it was found; at: where it was seen, NOT_THERE. */
static void settle_record(int32_t id, int64_t at, int64_t before, int64_t start)
{
    struct record_fact *fact = &ledger->records[id];
    bool later_of_batch = id > 0 && ledger->records[id - 1].batch == fact->batch;
    bool may_be_compacted = ledger->compacted && fact->key >= 0;
    if (fact->offset == UNKNOWN) {
        if (later_of_batch && at != (before == NOT_THERE ? NOT_THERE : before + 1))
            fail_msg("record %d is at %" PRId64 ", the one before it at %" PRId64
                     ": a batch is there as a whole or not",
                     id, at, before);
        fact->offset = at;
    } else if (fact->offset >= start && (at != NOT_THERE || !may_be_compacted)) {
        if (at != fact->offset)
            fail_msg("record %d is at %" PRId64 " instead of %" PRId64, id, at, fact->offset);
    } else if (at != NOT_THERE) {
        fail_msg("record %d is at %" PRId64 ", where nothing can be", id, at);
    }
}

static void check_uncommitted(struct partition *partition, int32_t p, int64_t start)
{
    static int64_t at[MODEL_RECORDS];
    char why[256];
    int32_t count = model_read(partition, p, start, READ_UNCOMMITTED, seen, why);
    if (count < 0)
        fail_msg("partition %d: %s", p, why);
    for (int32_t id = 0; id < ledger->record_count; id++)
        at[id] = NOT_THERE;
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(at[seen[i].id], NOT_THERE); /* nothing twice */
        at[seen[i].id] = seen[i].offset;
    }
    for (int32_t id = 0; id < ledger->record_count; id++)
        if (ledger->records[id].partition == p)
            settle_record(id, at[id], id > 0 ? at[id - 1] : NOT_THERE, start);
}

/* Notes which records of partition p are shown. */
static void read_committed(struct partition *partition, int32_t p, int64_t start, bool *shown)
{
    char why[256];
    int32_t count = model_read(partition, p, start, READ_COMMITTED, seen, why);
    if (count < 0)
        fail_msg("partition %d: %s", p, why);
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(ledger->records[seen[i].id].offset, seen[i].offset);
        shown[seen[i].id] = true;
    }
}

/* ---- transactions ---- */

static enum txn_fate found_fate(struct log *log, int32_t t, const bool *shown)
{
    const struct txn_fact *txn = &ledger->txns[t];
    if (txn->group_offset >= 0) {
        struct group_offset offset;
        char group[8];
        snprintf(group, sizeof group, "g%d", txn->producer);
        assert_int_equal(group_fetch(log, group, "m", 0, &offset), 0);
        return offset.offset == txn->group_offset ? FATE_COMMITTED : FATE_ABORTED;
    }
    for (int32_t id = 0; id < ledger->record_count; id++)
        if (ledger->records[id].txn == t && shown[id] &&
            ledger->records[id].offset >= ledger->start[ledger->records[id].partition])
            return FATE_COMMITTED;
    return FATE_ABORTED;
}

/* What became of the transactions that were being committed. */
static void settle_asked(struct log *log, const bool *shown)
{
    for (int32_t t = 0; t < ledger->txn_count; t++) {
        struct txn_fact *txn = &ledger->txns[t];
        if (txn->fate == FATE_OPEN)
            txn->fate = FATE_ABORTED;
        if (txn->fate != FATE_ASKED)
            continue;
        txn->fate = found_fate(log, t, shown);
        if (txn->fate == FATE_COMMITTED && txn->group_offset >= 0)
            ledger->group[txn->producer] = txn->group_offset;
    }
    for (int32_t n = 0; n < MODEL_PRODUCERS; n++)
        ledger->current[n] = -1;
}

/* ---- what must be shown ---- */

static void check_shown(const bool *shown)
{
    for (int32_t id = 0; id < ledger->record_count; id++) {
        const struct record_fact *fact = &ledger->records[id];
        bool expected = fact->offset >= ledger->start[fact->partition] && model_is_visible(fact);
        if (shown[id] == expected || (expected && fact->key >= 0))
            continue; /* of a compacted topic: see below */
        fail_msg("record %d at %" PRId64 " of partition %d, transaction %d: %s", id, fact->offset,
                 fact->partition, fact->txn, expected ? "is missing" : "must not be shown");
    }
}

static void check_compacted(struct log *log, const bool *shown)
{
    char why[256];
    for (int32_t p = MODEL_PLAIN_PARTITIONS; p < MODEL_PARTITIONS; p++) {
        struct partition *partition = fixture_partition(log, "c", model_index(p));
        if (model_check_compacted(p, ledger->start[p], partition->cleaned.clean_end,
                                  partition_tombstone_horizon(partition), shown, why) < 0)
            fail_msg("c-%d: %s", model_index(p), why);
    }
}

static void check_groups(struct log *log)
{
    for (int32_t n = 0; n < MODEL_PRODUCERS; n++) {
        struct group_offset offset;
        char group[8];
        snprintf(group, sizeof group, "g%d", n);
        assert_int_equal(group_fetch(log, group, "m", 0, &offset), 0);
        assert_int_equal(offset.offset, ledger->group[n]);
    }
}

/* A numbered batch that never came has not used its numbers. */
static void settle_writers(void)
{
    for (int32_t w = 0; w < MODEL_WRITERS; w++)
        for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
            struct writer_fact *writer = &ledger->writers[w][p];
            if (writer->count == 0)
                continue;
            const struct batch_fact *newest = &ledger->batches[writer->window[writer->count - 1]];
            if (ledger->records[newest->first].offset == NOT_THERE)
                writer->next_sequence = writer->sequences[--writer->count];
            writer->certain = writer->count > 0 ? 1 : 0;
        }
}

/* ---- files ---- */

static void report_finding(void *context, const struct verify_finding *finding)
{
    (void)context;
    print_message("%s: byte %" PRId64 ": %s\n", finding->file, finding->position, finding->text);
}

static void verify_partition(struct partition *partition)
{
    struct verify_report report = {0};
    struct diag diag = {0};
    if (partition_verify(partition, report_finding, NULL, &report, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(report.findings, 0);
}

/* ---- the end cut off ---- */

/* Whether it was: the leader epoch goes up then. What lay beyond is gone, and with it what the partition knew of who numbers his batches
 * (a new epoch is right whatever is left of that). */
static bool settle_cut(struct partition *partition, int32_t p)
{
    int64_t cut = ledger->cut_asked[p];
    bool happened = cut >= 0 && partition_leader_epoch(partition) > ledger->leader_epoch[p];
    assert_true(happened || !ledger->cut_certain[p]);
    ledger->cut_asked[p] = -1;
    ledger->cut_certain[p] = false;
    if (!happened)
        return false;
    model_totals->cuts++;
    for (int32_t id = 0; id < ledger->record_count; id++)
        if (ledger->records[id].partition == p && ledger->records[id].offset >= cut)
            ledger->records[id].offset = NOT_THERE;
    for (int32_t w = 0; w < MODEL_WRITERS; w++) {
        struct writer_fact *writer = &ledger->writers[w][p];
        writer->epoch++;
        writer->next_sequence = writer->count = writer->certain = 0;
    }
    return true;
}

/* The cut may have taken the newest records of a key whose older ones had been compacted away: those stay away. */
static void forget_compacted(int32_t p, const bool *shown)
{
    for (int32_t id = 0; id < ledger->record_count; id++)
        if (ledger->records[id].partition == p && ledger->records[id].key >= 0 && !shown[id] &&
            model_is_visible(&ledger->records[id]))
            ledger->records[id].offset = NOT_THERE;
}

/* ---- all of it ---- */

static void compare_topic(struct log *log, const char *topic, bool *shown)
{
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
        if (strcmp(model_topic(p), topic) != 0)
            continue;
        struct partition *partition = fixture_partition(log, topic, model_index(p));
        struct diag diag = {0};
        if (partition_status(partition, &diag) < 0)
            fail_msg("partition %d: %s", p, diag.text);
        settle_start(partition, p);
        bool was_cut = settle_cut(partition, p);
        check_uncommitted(partition, p, ledger->start[p]);
        read_committed(partition, p, ledger->start[p], shown);
        if (was_cut)
            forget_compacted(p, shown);
        if (below(4) == 0)
            verify_partition(partition);
    }
}

void model_compare(void)
{
    static bool shown[MODEL_RECORDS];
    struct log_options options = model_options();
    struct log *log = fixture_open_options(ledger->dir, &options);
    bool has_plain = topic_describe(log, "m", NULL, NULL) == 0;
    bool has_keyed = topic_describe(log, "c", NULL, NULL) == 0;
    memset(shown, 0, sizeof shown);
    if (has_plain)
        compare_topic(log, "m", shown);
    if (has_keyed)
        compare_topic(log, "c", shown);
    if (!has_plain || !has_keyed)
        assert_int_equal(ledger->record_count, 0);
    settle_asked(log, shown);
    check_shown(shown);
    settle_writers();
    if (has_keyed)
        check_compacted(log, shown);
    if (has_plain)
        check_groups(log);
    log_close(log);
}
