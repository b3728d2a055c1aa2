/* log_model_life.c: what a child of the model does in one life: appends, plain, in transactions, numbered by idempotent producers; rolls, delete-records,
 * passes of retention and compaction with a moved clock, changed configuration, a topic that comes and goes.
 *
 * The ledger is written before each call, as asked, and after it, as answered: the child may die at any crash point in between. What can be
 * said at once is expected at once; the parent compares the rest. A failed expectation is exit code 3 and a line. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/log_fixture.h"
#include "tests/support/log_model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATIONS = 24, HOUR_MS = 3600 * 1000, WAIT_MS = 10000, FIRST_WRITER_ID = 1000000 };

struct life {
    struct log *log;
    struct partition *partitions[MODEL_PARTITIONS];
    struct producer *producers[MODEL_PRODUCERS];
};

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__, #condition);          \
            _exit(3);                                                                              \
        }                                                                                          \
    } while (0)

/* rc must be 0. */
static void expect_ok(int rc, const struct diag *diag, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "in the child: %s: %s\n", what, diag->text);
    _exit(3);
}

/* ---- appends ---- */

static void do_append(struct life *life)
{
    int32_t p = below(MODEL_PARTITIONS), count = 1 + below(4);
    int32_t batch = model_note_batch(p, -1, count);
    int64_t base;
    size_t size;
    struct diag diag = {0};
    uint8_t *bytes = model_encode(batch, &size);
    expect_ok(partition_append(life->partitions[p], bytes, size, &base, &diag), &diag, "append");
    free(bytes);
    model_note_offsets(batch, base);
    if (below(3) == 0)
        EXPECT(partition_wait(life->partitions[p], base + count, WAIT_MS) == 0);
}

/* ---- idempotent producers ---- */

static int send_numbered(struct life *life, int32_t w, int32_t p, int32_t batch, int16_t epoch,
                         int32_t sequence, int64_t *base)
{
    size_t size;
    uint8_t *bytes = model_encode(batch, &size);
    batch_set_producer(bytes, FIRST_WRITER_ID + w, epoch, sequence, false);
    int rc = partition_append(life->partitions[p], bytes, size, base, NULL);
    free(bytes);
    return rc;
}

/* The end of the partition before an append that must not happen. */
static int64_t end_of(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.end;
}

static void remember(struct writer_fact *writer, int32_t batch, int32_t sequence)
{
    if (writer->count == MODEL_WINDOW) {
        memmove(writer->window, writer->window + 1, (MODEL_WINDOW - 1) * sizeof *writer->window);
        memmove(writer->sequences, writer->sequences + 1,
                (MODEL_WINDOW - 1) * sizeof *writer->sequences);
        writer->count--;
    }
    writer->window[writer->count] = batch;
    writer->sequences[writer->count++] = sequence;
}

static void send_new(struct life *life, struct writer_fact *writer, int32_t w, int32_t p)
{
    int32_t count = 1 + below(3), sequence = writer->next_sequence;
    int32_t batch = model_note_batch(p, -1, count);
    int64_t base;
    remember(writer, batch, sequence);
    writer->next_sequence += count;
    EXPECT(send_numbered(life, w, p, batch, writer->epoch, sequence, &base) == 0);
    model_note_offsets(batch, base);
    if (writer->certain < writer->count)
        writer->certain++;
}

/* What was sent before comes to nothing new: the same offset; or, of batches before the newest one, after a restart, a refusal. */
static void send_again(struct life *life, struct writer_fact *writer, int32_t w, int32_t p)
{
    int32_t back = below(writer->count), at = writer->count - 1 - back;
    const struct batch_fact *batch = &ledger->batches[writer->window[at]];
    int64_t end = end_of(life->partitions[p]), base = -1;
    int rc =
        send_numbered(life, w, p, writer->window[at], writer->epoch, writer->sequences[at], &base);
    if (rc == ERR_SEQUENCE && back >= writer->certain)
        return;
    EXPECT(rc == 0);
    EXPECT(base == ledger->records[batch->first].offset);
    EXPECT(end_of(life->partitions[p]) == end);
    model_totals->retries++;
}

/* A batch that may not be taken, sent with an epoch and a sequence. */
static void send_refused(struct life *life, int32_t w, int32_t p, int16_t epoch, int32_t sequence,
                         int code)
{
    struct ledger *kept = ledger;
    int32_t batches = kept->batch_count, records = kept->record_count;
    int64_t end = end_of(life->partitions[p]), base;
    int32_t batch = model_note_batch(p, -1, 1);
    EXPECT(send_numbered(life, w, p, batch, epoch, sequence, &base) == code);
    EXPECT(end_of(life->partitions[p]) == end);
    kept->batch_count = batches;
    kept->record_count = records;
}

static void do_numbered(struct life *life)
{
    int32_t w = below(MODEL_WRITERS), p = below(MODEL_PARTITIONS), what = below(10);
    struct writer_fact *writer = &ledger->writers[w][p];
    if (writer->count == 0 || what < 5) {
        send_new(life, writer, w, p);
    } else if (what < 7) {
        send_again(life, writer, w, p);
    } else if (what < 8) {
        send_refused(life, w, p, writer->epoch, writer->next_sequence + 1 + below(3), ERR_SEQUENCE);
    } else if (what < 9 && writer->epoch > 0) {
        send_refused(life, w, p, (int16_t)(writer->epoch - 1), writer->next_sequence, ERR_FENCED);
    } else {
        send_refused(life, w, p, (int16_t)(writer->epoch + 1), 1 + below(3), ERR_SEQUENCE);
        writer->epoch++;
        writer->next_sequence = writer->count = writer->certain = 0;
        send_new(life, writer, w, p);
    }
}

/* ---- transactions ---- */

static void do_producer_open(struct life *life, int32_t n)
{
    char name[8];
    struct producer *old = life->producers[n];
    int32_t open = ledger->current[n];
    snprintf(name, sizeof name, "tx%d", n);
    EXPECT(producer_open(life->log, name, &life->producers[n], NULL) == 0);
    if (open >= 0)
        ledger->txns[open].fate = FATE_ABORTED;
    ledger->current[n] = -1;
    if (old == NULL)
        return;
    /* The old handle is fenced, whatever it tries. */
    size_t size;
    uint8_t *batch = fixture_batch(0, 1, 1, clock_wall_ms(), &size);
    EXPECT(txn_append(old, life->partitions[0], batch, size, NULL, NULL) == ERR_FENCED);
    EXPECT(txn_commit(old, NULL) == ERR_FENCED);
    free(batch);
    producer_close(old);
}

static void append_in_txn(struct life *life, struct producer *producer, int32_t t)
{
    int32_t p = below(MODEL_PARTITIONS), count = 1 + below(3);
    int32_t batch = model_note_batch(p, t, count);
    struct partition_offsets offsets;
    struct diag diag = {0};
    int64_t base;
    size_t size;
    uint8_t *bytes = model_encode(batch, &size);
    expect_ok(txn_append(producer, life->partitions[p], bytes, size, &base, &diag), &diag,
              "txn_append");
    free(bytes);
    model_note_offsets(batch, base);
    partition_offsets(life->partitions[p], &offsets);
    EXPECT(offsets.stable <= base); /* nobody may read it yet */
}

static void end_txn(struct producer *producer, int32_t n, int32_t t)
{
    int32_t end = below(8);
    struct diag diag = {0};
    if (end < 4) {
        ledger->txns[t].fate = FATE_ASKED;
        expect_ok(txn_commit(producer, &diag), &diag, "txn_commit");
        ledger->txns[t].fate = FATE_COMMITTED;
        if (ledger->txns[t].group_offset >= 0)
            ledger->group[n] = ledger->txns[t].group_offset;
        ledger->current[n] = -1;
    } else if (end < 6) {
        expect_ok(txn_abort(producer, &diag), &diag, "txn_abort");
        ledger->txns[t].fate = FATE_ABORTED;
        ledger->current[n] = -1;
    }
}

static void do_txn_step(struct life *life)
{
    int32_t n = below(MODEL_PRODUCERS), t = ledger->current[n];
    struct producer *producer = life->producers[n];
    if (producer == NULL) {
        do_producer_open(life, n);
        return;
    }
    if (t < 0) {
        EXPECT(txn_begin(producer, NULL) == 0);
        must(ledger->txn_count < MODEL_TXNS);
        t = ledger->txn_count++;
        ledger->txns[t] = (struct txn_fact){FATE_OPEN, n, -1};
        ledger->current[n] = t;
        if (below(2) == 0)
            EXPECT(txn_participate(producer, life->partitions, MODEL_PARTITIONS, NULL) == 0);
    }
    for (int32_t i = below(4); i >= 0; i--)
        append_in_txn(life, producer, t);
    if (below(2) == 0) {
        char group[8];
        struct group_offset offset = {
            .topic = "m", .partition = 0, .offset = ledger->next_group_offset++};
        snprintf(group, sizeof group, "g%d", n);
        EXPECT(txn_add_offsets(producer, group, &offset, 1, NULL) == 0);
        ledger->txns[t].group_offset = offset.offset;
    }
    end_txn(producer, n, t);
}

/* ---- administration ---- */

static void do_purge(struct life *life)
{
    int32_t p = below(MODEL_PARTITIONS);
    struct partition_offsets offsets;
    partition_offsets(life->partitions[p], &offsets);
    if (offsets.stable <= offsets.start)
        return;
    int64_t to = offsets.start + below((int32_t)(offsets.stable - offsets.start)) / 2;
    ledger->start_asked[p] = to;
    EXPECT(partition_purge(life->partitions[p], to, NULL) == 0);
    ledger->start[p] = to;
}

static void do_roll(struct life *life)
{
    struct diag diag = {0};
    expect_ok(partition_roll(life->partitions[below(MODEL_PARTITIONS)], &diag), &diag, "roll");
}

static void do_side_topic(struct life *life)
{
    if (topic_describe(life->log, "side", NULL, NULL) == 0) {
        EXPECT(topic_delete(life->log, "side", NULL) == 0);
        return;
    }
    EXPECT(topic_create(life->log, "side", 2, NULL, 0, NULL) == 0);
    struct partition *partition;
    EXPECT(partition_get(life->log, "side", 1, &partition, NULL) == 0);
    EXPECT(fixture_append(partition, 1, 1) == 0);
}

static void alter(struct life *life, const char *topic, const char *key, int64_t value)
{
    char text[24];
    struct config_entry entry = {key, text};
    struct diag diag = {0};
    snprintf(text, sizeof text, "%" PRId64, value);
    expect_ok(topic_alter(life->log, topic, &entry, 1, &diag), &diag, key);
}

static void alter_text(struct life *life, const char *topic, const char *key, const char *value)
{
    struct config_entry entry = {key, value};
    struct diag diag = {0};
    expect_ok(topic_alter(life->log, topic, &entry, 1, &diag), &diag, key);
}

static int64_t configured(struct life *life, const char *topic, const char *key)
{
    char text[32];
    EXPECT(topic_config_get(life->log, topic, key, text, sizeof text) == 0);
    return atoll(text);
}

/* The child may have died while a key was being changed: either value is right then. */
static void read_configuration(struct life *life)
{
    ledger->retention_ms = configured(life, "m", "retention.ms");
    ledger->retention_bytes = configured(life, "m", "retention.bytes");
    ledger->delete_retention_ms = configured(life, "c", "delete.retention.ms");
}

static void do_alter(struct life *life)
{
    static const char *const codecs[] = {"producer", "lz4", "zstd", "uncompressed"};
    const char *topic = below(2) == 0 ? "m" : "c";
    switch (below(6)) {
    case 0:
        alter(life, topic, "segment.bytes", 400 + below(3000));
        break;
    case 1:
        alter_text(life, topic, "compression.type", codecs[below(4)]);
        break;
    case 2:
        alter(life, "m", "retention.ms", below(2) == 0 ? -1 : HOUR_MS);
        break;
    case 3:
        alter(life, "m", "retention.bytes", below(2) == 0 ? -1 : 1000 + below(4000));
        break;
    case 4:
        alter(life, "c", "delete.retention.ms", below(2) == 0 ? 0 : HOUR_MS);
        break;
    default:
        alter(life, "c", "min.compaction.lag.ms", below(3) == 0 ? HOUR_MS : 0);
        break;
    }
    read_configuration(life);
}

/* ---- passes ---- */

/* Time goes on for whoever asks how old things are. */
static int64_t move_clock(void)
{
    if (below(2) == 0)
        ledger->shift_ms += (1 + below(3)) * (int64_t)HOUR_MS;
    return clock_wall_ms() + ledger->shift_ms;
}

static void note_pass(struct life *life, int64_t now_ms)
{
    struct pass_fact pass = {.now_ms = now_ms, .delete_retention_ms = ledger->delete_retention_ms};
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
        struct partition_offsets offsets;
        partition_offsets(life->partitions[p], &offsets);
        pass.end[p] = offsets.end;
    }
    must(ledger->pass_count < MODEL_PASSES);
    ledger->passes[ledger->pass_count++] = pass;
    ledger->compacted = true;
}

static void wait_for_all(struct life *life)
{
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++)
        EXPECT(partition_wait(life->partitions[p], end_of(life->partitions[p]), WAIT_MS) == 0);
}

static void check_keyed(struct life *life)
{
    static struct seen_record seen[MODEL_RECORDS];
    static bool shown[MODEL_RECORDS];
    char why[256];
    for (int32_t p = MODEL_PLAIN_PARTITIONS; p < MODEL_PARTITIONS; p++) {
        struct partition *partition = life->partitions[p];
        struct partition_offsets offsets;
        memset(shown, 0, sizeof shown);
        partition_offsets(partition, &offsets);
        int32_t count = model_read(partition, p, offsets.start, READ_COMMITTED, seen, why);
        for (int32_t i = 0; i < count; i++)
            shown[seen[i].id] = true;
        /* What cannot be read yet is no business of the rules. */
        for (int32_t id = 0; id < ledger->record_count; id++)
            shown[id] = shown[id] || ledger->records[id].offset >= offsets.stable;
        pthread_mutex_lock(&partition->purge_mutex);
        int64_t clean_end = partition->cleaned.clean_end;
        pthread_mutex_unlock(&partition->purge_mutex);
        if (count < 0 ||
            model_check_compacted(p, offsets.start, clean_end,
                                  partition_tombstone_horizon(partition), shown, why) < 0) {
            fprintf(stderr, "in the child: c-%d: %s\n", model_index(p), why);
            _exit(3);
        }
    }
}

static void add_report(const struct keeper_report *report)
{
    model_totals->segments_deleted += report->segments_deleted;
    model_totals->records_removed += report->records_removed;
    model_totals->tombstones_removed += report->tombstones_removed;
    model_totals->markers_removed += report->markers_removed;
}

/* Compaction, whether it is due or not. */
static void do_clean(struct life *life)
{
    struct keeper_report report = {0};
    struct diag diag = {0};
    if (below(2) == 0)
        wait_for_all(life);
    int64_t now_ms = move_clock();
    note_pass(life, now_ms);
    expect_ok(topic_clean(life->log, "c", now_ms, &report, &diag), &diag, "topic_clean");
    check_keyed(life);
    add_report(&report);
}

/* What retention may have taken of m, as it is configured. */
static void check_retained(struct life *life, int32_t p, const struct partition_offsets *before,
                           bool quiet)
{
    struct partition_offsets after;
    struct partition_files files;
    bool by_time = ledger->retention_ms >= 0 && ledger->shift_ms >= ledger->retention_ms;
    partition_offsets(life->partitions[p], &after);
    partition_files(life->partitions[p], &files);
    EXPECT(after.start >= before->start && after.start <= after.stable);
    if (!by_time && ledger->retention_bytes < 0)
        EXPECT(after.start == before->start);
    if (!by_time && after.start > before->start)
        EXPECT(files.bytes >= ledger->retention_bytes);
    if (by_time && quiet && ledger->shift_ms > ledger->retention_ms)
        EXPECT(after.start == after.end && files.bytes == 0);
    ledger->start[p] = ledger->start_asked[p] = after.start;
    ledger->start_most[p] = -1;
}

/* A pass of everything: retention over m, compaction of what is due in c, expiry. */
static void do_keep_house(struct life *life)
{
    struct partition_offsets before[MODEL_PARTITIONS];
    struct keeper_report report = {0};
    struct diag diag = {0};
    bool quiet = below(2) == 0;
    if (quiet)
        wait_for_all(life);
    for (int32_t n = 0; n < MODEL_PRODUCERS; n++)
        quiet = quiet && ledger->current[n] < 0;
    int64_t now_ms = move_clock();
    note_pass(life, now_ms);
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
        partition_offsets(life->partitions[p], &before[p]);
        if (p < MODEL_PLAIN_PARTITIONS)
            ledger->start_most[p] = before[p].stable;
    }
    expect_ok(log_keep_house(life->log, now_ms, &report, &diag), &diag, "log_keep_house");
    for (int32_t p = 0; p < MODEL_PLAIN_PARTITIONS; p++)
        check_retained(life, p, &before[p], quiet);
    check_keyed(life);
    add_report(&report);
}

/* Cuts the end of a partition off, as the next opening will have done it. Nothing is appended to it in this life any more. */
static void do_truncate(struct life *life)
{
    int32_t p = below(MODEL_PARTITIONS);
    struct partition_offsets offsets;
    struct truncation planned, done;
    struct diag diag = {0};
    for (int32_t n = 0; n < MODEL_PRODUCERS; n++)
        if (ledger->current[n] >= 0)
            return;
    wait_for_all(life);
    partition_offsets(life->partitions[p], &offsets);
    int64_t to = offsets.start + below((int32_t)(offsets.end - offsets.start) + 1);
    ledger->leader_epoch[p] = partition_leader_epoch(life->partitions[p]);
    int rc = partition_truncate(life->partitions[p], to, false, &planned, &diag);
    if (rc == ERR_RANGE)
        return; /* inside the batch that the start lies in */
    expect_ok(rc, &diag, "truncate");
    /* Where compaction left a gap the cut may be at either of its ends. */
    EXPECT(planned.offset >= offsets.start &&
           (planned.offset <= to || p >= MODEL_PLAIN_PARTITIONS));
    if (planned.batches == 0)
        return;
    ledger->cut_asked[p] = planned.offset;
    expect_ok(partition_truncate(life->partitions[p], to, true, &done, &diag), &diag, "truncate");
    EXPECT(done.offset == planned.offset);
    ledger->cut_certain[p] = true;
}

/* ---- a life ---- */

static void make_topics(struct life *life)
{
    char bytes[16];
    struct config_entry plain[] = {{"segment.bytes", bytes}, {"retention.ms", "-1"}};
    struct config_entry keyed[] = {{"segment.bytes", bytes},
                                   {"cleanup.policy", "compact"},
                                   {"min.cleanable.dirty.ratio", "0.2"},
                                   {"delete.retention.ms", "0"}};
    struct diag diag = {0};
    snprintf(bytes, sizeof bytes, "%d", 400 + below(3000));
    if (topic_describe(life->log, "m", NULL, NULL) < 0)
        expect_ok(topic_create(life->log, "m", MODEL_PLAIN_PARTITIONS, plain, 2, &diag), &diag,
                  "m");
    if (topic_describe(life->log, "c", NULL, NULL) < 0)
        expect_ok(topic_create(life->log, "c", MODEL_KEYED_PARTITIONS, keyed, 4, &diag), &diag,
                  "c");
}

static void open_life(struct life *life)
{
    struct log_options options = model_options();
    struct diag diag = {0};
    options.flush_interval_ms = 1 + below(20);
    if (below(4) == 0)
        options.cleaner_memory_bytes = 1; /* the least there is */
    expect_ok(log_open(ledger->dir, &options, &life->log, &diag), &diag, "log_open");
    make_topics(life);
    read_configuration(life);
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++)
        EXPECT(partition_get(life->log, model_topic(p), model_index(p), &life->partitions[p],
                             NULL) == 0);
    /* A snapshot keeps the newest batch of a producer; older ones are known only while the log is open. */
    for (int32_t w = 0; w < MODEL_WRITERS; w++)
        for (int32_t p = 0; p < MODEL_PARTITIONS; p++)
            if (ledger->writers[w][p].certain > 1)
                ledger->writers[w][p].certain = 1;
}

int model_live(void *context)
{
    static const struct {
        int32_t weight;
        void (*fn)(struct life *life);
    } operations[] = {
        {6, do_append}, {8, do_txn_step},   {5, do_numbered}, {2, do_purge},      {2, do_roll},
        {2, do_clean},  {1, do_keep_house}, {1, do_alter},    {1, do_side_topic},
    };
    enum { WEIGHTS = 6 + 8 + 5 + 2 + 2 + 2 + 1 + 1 + 1 };
    struct life life = {0};
    (void)context;
    open_life(&life);
    for (int32_t i = below(OPERATIONS); i >= 0; i--) {
        int32_t what = below(WEIGHTS + 1);
        size_t at = 0;
        if (what == WEIGHTS) {
            do_producer_open(&life, below(MODEL_PRODUCERS));
            continue;
        }
        while (what >= operations[at].weight)
            what -= operations[at++].weight;
        operations[at].fn(&life);
    }
    if (below(5) == 0)
        do_truncate(&life);
    if (!ledger->clean)
        return 0; /* _exit: as good as kill -9 */
    log_close(life.log);
    return 0;
}

/* Opens and is gone: meant to crash during recovery. */
int model_open_only(void *context)
{
    struct life life = {0};
    (void)context;
    open_life(&life);
    return 0;
}
