/* test_producer_model.c: producers that send, send again, send late and out of order, in epochs that are bumped,
 * to a log that is killed, opened again and forgets them; against a model that keeps every batch.
 *
 * The model is a list of what was accepted, in the order in which it was, and Kafka's rules over it, without a
 * table, a window or a file. What must hold at any time: an acknowledged batch is in the log once, at the
 * offset that was answered, and the log holds nothing else but what was under way at a kill.
 *
 * Each life runs in a child that dies by _exit at a random crash point, or at its end without closing anything;
 * the child writes what it tries and what it was answered to a ledger, and the parent replays that into the model.
 * First seed: the argument; number of sequences: WEIR_PRODUCER_SEQUENCES. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

enum { PRODUCERS = 5, LIVES = 6, STEPS = 60, BATCH_LIMIT = LIVES * STEPS, EXPIRY_MS = 1000000 };

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % bound);
}

/* ---- the model ---- */

struct sent {
    int64_t id, offset, value, written_ms;
    int16_t epoch;
    int32_t first, count;
};

struct model {
    struct sent log[BATCH_LIMIT]; /* what is in the log */
    int32_t count;
    int64_t end, now_ms;
    /* what each producer will send next */
    int16_t epoch[PRODUCERS];
    int32_t next[PRODUCERS];
};

/* The last batches of a producer's newest epoch, newest first; from before it was forgotten only with all. */
static int32_t window(const struct model *model, int64_t id, bool all, const struct sent **found,
                      int32_t limit)
{
    int64_t later_ms = model->now_ms;
    int32_t count = 0;
    for (int32_t i = model->count - 1; i >= 0 && count < limit; i--) {
        const struct sent *sent = &model->log[i];
        if (sent->id != id)
            continue;
        if (!all && later_ms - sent->written_ms >= EXPIRY_MS)
            break;
        later_ms = sent->written_ms;
        if (count > 0 && sent->epoch != found[0]->epoch)
            break;
        found[count++] = sent;
    }
    return count;
}

static int32_t add_sequence(int32_t sequence, int64_t count)
{
    return (int32_t)(((int64_t)sequence + count) % (INT64_C(1) << 31));
}

/* 0: it will be written; 1: it was, at *offset; an error. */
static int judge(const struct model *model, const struct sent *sent, bool all, int64_t *offset)
{
    const struct sent *last[5];
    int32_t count = window(model, sent->id, all, last, 5);
    if (count == 0)
        return 0;
    if (sent->epoch < last[0]->epoch)
        return ERR_FENCED;
    if (sent->epoch > last[0]->epoch)
        return sent->first == 0 ? 0 : ERR_SEQUENCE;
    for (int32_t i = 0; i < count; i++)
        if (last[i]->first == sent->first && last[i]->count == sent->count) {
            *offset = last[i]->offset;
            return 1;
        }
    return sent->first == add_sequence(last[0]->first, last[0]->count) ? 0 : ERR_SEQUENCE;
}

static void accept(struct model *model, struct sent sent, int64_t offset)
{
    assert_int_equal(offset, model->end);
    sent.offset = offset;
    sent.written_ms = model->now_ms;
    model->log[model->count++] = sent;
    model->end += sent.count;
    int producer = (int)(sent.id - 1000);
    model->epoch[producer] = sent.epoch;
    model->next[producer] = add_sequence(sent.first, sent.count);
}

/* ---- what is sent ---- */

static struct sent random_batch(const struct model *model, int64_t value)
{
    int producer = (int)random_below(PRODUCERS);
    const struct sent *last[8];
    struct sent sent = {.id = 1000 + producer,
                        .value = value,
                        .epoch = model->epoch[producer],
                        .first = model->next[producer],
                        .count = 1 + (int32_t)random_below(4)};
    int32_t known = window(model, sent.id, false, last, 8);
    uint32_t kind = random_below(20);
    if (kind < 7 && known > 0) { /* once more: one of the last, or one too old */
        const struct sent *again = last[random_below((uint32_t)known)];
        sent.first = again->first;
        sent.count = again->count;
        sent.value = again->value;
        sent.epoch = again->epoch;
    } else if (kind == 7) {
        sent.first = add_sequence(sent.first, 1 + random_below(3)); /* one got lost before it */
    } else if (kind == 8) {
        sent.epoch++;
        sent.first = 0;
    } else if (kind == 9) {
        sent.epoch++; /* forgot to begin anew */
    } else if (kind == 10 && sent.epoch > 0) {
        sent.epoch--;
    } else if (kind == 11 && known == 0) {
        sent.first = INT32_MAX - (int32_t)random_below(5);
    }
    return sent;
}

static int64_t append(struct partition *partition, const struct sent *sent)
{
    size_t size;
    int64_t offset = -1;
    uint8_t *batch = fixture_batch(sent->value, sent->count, random_below(300), 1000, &size);
    batch_set_producer(batch, sent->id, sent->epoch, sent->first, false);
    int rc = partition_append(partition, batch, size, &offset, NULL);
    free(batch);
    return rc < 0 ? rc : offset;
}

/* ---- one life ---- */

static int64_t test_now;

static int64_t moved_clock(void)
{
    return test_now;
}

struct life {
    const char *dir, *ledger;
    const struct model *model; /* as the life begins; the child has its own copy */
    uint64_t seed;
    int32_t steps;
    int64_t first_value;
};

struct entry { /* of the ledger: what was tried, then what was answered */
    struct sent sent;
    int64_t answer, now_ms;
    int32_t answered, durable;
};

static void write_entry(FILE *ledger, const struct entry *entry)
{
    if (fwrite(entry, sizeof *entry, 1, ledger) != 1 || fflush(ledger) != 0)
        _exit(3);
}

static struct log *open_it(const char *dir)
{
    static const struct log_options options = {.keeper_interval_ms = -1,
                                               .producer_expiry_ms = EXPIRY_MS};
    return fixture_open_options(dir, &options);
}

static int live(void *context)
{
    struct life *life = context;
    static struct model model;
    model = *life->model;
    random_state = life->seed;
    struct log *log = open_it(life->dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    FILE *ledger = fopen(life->ledger, "wb");
    for (int32_t i = 0; i < life->steps; i++) {
        if (random_below(40) == 0)
            (void)snapshot_take(partition, 0, NULL);
        struct entry entry = {.sent = random_batch(&model, life->first_value + i * 10),
                              .now_ms = test_now};
        model.now_ms = test_now;
        write_entry(ledger, &entry);
        entry.answer = append(partition, &entry.sent);
        entry.answered = 1;
        if (entry.answer >= 0 && random_below(3) == 0)
            entry.durable =
                partition_wait(partition, entry.answer + entry.sent.count, -1) == 0 ? 1 : 0;
        write_entry(ledger, &entry);
        int64_t ignored;
        if (judge(&model, &entry.sent, false, &ignored) == 0)
            accept(&model, entry.sent, entry.answer);
    }
    if (random_below(2) == 0)
        log_close(log);
    return 0;
}

/* ---- what the log must hold ---- */

static void check_answer(struct model *model, const struct entry *entry)
{
    int64_t offset = -1;
    model->now_ms = entry->now_ms;
    int want = judge(model, &entry->sent, false, &offset);
    /* What was forgotten may be found again when the log is opened: then it is a retry after all. */
    if (want == ERR_SEQUENCE && entry->answer >= 0)
        want = judge(model, &entry->sent, true, &offset);
    if (want < 0)
        assert_int_equal(entry->answer, want);
    else if (want == 1)
        assert_int_equal(entry->answer, offset);
    else
        accept(model, entry->sent, entry->answer);
}

static void replay(struct model *model, const char *ledger)
{
    struct entry tried, answered;
    FILE *file = fopen(ledger, "rb");
    while (file != NULL && fread(&tried, sizeof tried, 1, file) == 1) {
        if (fread(&answered, sizeof answered, 1, file) == 1) {
            check_answer(model, &answered);
            continue;
        }
        /* Killed on the way: it is in the log or it is not; that shows when it is read. */
        int64_t offset;
        model->now_ms = tried.now_ms;
        if (judge(model, &tried.sent, false, &offset) == 0) {
            struct sent sent = tried.sent;
            sent.value = -1 - sent.value; /* perhaps */
            accept(model, sent, model->end);
        }
    }
    if (file != NULL)
        fclose(file);
}

static void undo_last(struct model *model)
{
    const struct sent *last[1];
    struct sent gone = model->log[--model->count];
    int producer = (int)(gone.id - 1000);
    model->end -= gone.count;
    if (window(model, gone.id, true, last, 1) == 1) {
        model->epoch[producer] = last[0]->epoch;
        model->next[producer] = add_sequence(last[0]->first, last[0]->count);
    }
}

/* kill -9 takes no written page away: all answered batches are there, once, in order. */
static void check_log(struct model *model, const char *dir)
{
    struct log *log = open_it(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    if (model->count > 0 && model->log[model->count - 1].value < 0) {
        struct sent *last = &model->log[model->count - 1];
        if (offsets.end == model->end)
            last->value = -1 - last->value;
        else
            undo_last(model);
    }
    assert_int_equal(offsets.end, model->end);
    assert_int_equal(partition_wait(partition, model->end, -1), 0);
    struct fixture_record *records;
    int64_t count = fixture_read(partition, 0, READ_UNCOMMITTED, 1 << 24, &records), at = 0;
    assert_int_equal(count, model->end);
    for (int32_t i = 0; i < model->count; i++)
        for (int32_t r = 0; r < model->log[i].count; r++, at++) {
            assert_int_equal(records[at].offset, model->log[i].offset + r);
            assert_int_equal(records[at].value, model->log[i].value + r);
        }
    free(records);
    log_close(log);
}

/* When a batch was written is known from the file's time after a restart. Files have the system's: the
 * test's clock goes elsewhere. */
static void set_file_times(const char *dir)
{
    char *path = scratch_path(dir, "topics/t-0");
    DIR *stream = opendir(path);
    struct timespec at = {test_now / 1000, 0}, times[2] = {at, at};
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        (void)utimensat(dirfd(stream), entry->d_name, times, 0);
    closedir(stream);
    free(path);
}

/* Long silence: everybody is forgotten. */
static void let_all_expire(const char *dir)
{
    struct log *log = open_it(dir);
    struct partition *partition = fixture_partition(log, "t", 0);
    test_now += 2 * EXPIRY_MS;
    producer_state_expire(partition, test_now, EXPIRY_MS);
    assert_int_equal(partition->producers.count, 0);
    assert_true(snapshot_take(partition, 0, NULL) == 0);
    log_close(log);
}

static int kills;

static void run_sequence(uint64_t seed)
{
    static const char *const points[] = {
        "append.written",   "flush.before",  "flush.done",       "decide.done",  "snapshot.written",
        "snapshot.renamed", "snapshot.done", "snapshot.removed", "roll.created", "roll.done"};
    char *dir = scratch_dir_create();
    char *ledger = scratch_path(dir, "ledger");
    struct model *model = calloc(1, sizeof *model);
    test_now = 1800000000000;
    struct log *log = open_it(dir);
    fixture_topic(log, "t", 1, "6000");
    log_close(log);
    for (int i = 0; i < LIVES; i++) {
        random_state = (seed * LIVES + (uint64_t)i + 1) * UINT64_C(0x9E3779B97F4A7C15);
        char point[64];
        snprintf(point, sizeof point, "%s:%u", points[random_below(sizeof points / sizeof *points)],
                 1 + random_below(40));
        struct life life = {.dir = dir,
                            .ledger = ledger,
                            .model = model,
                            .seed = random_state,
                            .steps = STEPS,
                            .first_value = (i * STEPS + 1) * 10};
        model->now_ms = test_now;
        unlink(ledger);
        int status = fixture_child(live, &life, random_below(4) == 0 ? NULL : point);
        assert_true(status == 137 || status == 0);
        kills += status == 137;
        replay(model, ledger);
        set_file_times(dir);
        check_log(model, dir);
        if (random_below(3) == 0)
            let_all_expire(dir);
    }
    free(model);
    free(ledger);
    scratch_dir_remove(dir);
}

static uint64_t first_seed = 1;

static void test_producers_against_the_model(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_PRODUCER_SEQUENCES");
    uint64_t count = text != NULL ? strtoull(text, NULL, 10) : 60;
    clock_wall_replace(moved_clock);
    for (uint64_t seed = first_seed; seed < first_seed + count; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        run_sequence(seed);
    }
    clock_wall_replace(NULL);
    assert_true(count < 10 || kills > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 10);
    scratch_dir_in_memory(); /* kill -9 takes no written page away, wherever it is */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_against_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
