/* test_producer_state.c: the rules for batches with sequence numbers, one by one, on a table
 * without files. The expected answers are those of Kafka's broker (ProducerAppendInfo,
 * ProducerStateEntry), written here by hand; the flood and the random case are compared with plain
 * arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "log/log_internal.h"

enum { DUPLICATE = 1 };

struct bench {
    struct topic topic;
    struct partition *partition;
    int64_t end, now;
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    strcpy(bench->topic.name, "orders");
    bench->partition = partition_new(&bench->topic, 3);
    bench->now = 1000;
    *state = bench;
    return bench->partition == NULL;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    partition_free(bench->partition);
    free(bench);
    return 0;
}

static struct batch_header header_of(int64_t id, int16_t epoch, int32_t first, int32_t count)
{
    return (struct batch_header){.producer_id = id,
                                 .producer_epoch = epoch,
                                 .base_sequence = first,
                                 .record_count = count,
                                 .last_offset_delta = count - 1};
}

/* As an append does it: check, then note. Gives the base offset when it is written or was. */
static int send(struct bench *bench, struct batch_header header, int64_t *offset)
{
    struct diag diag;
    int64_t original = -1;
    int rc = producer_state_check(bench->partition, &header, &original, &diag);
    if (rc == 0) {
        assert_int_equal(producer_state_reserve(bench->partition), 0);
        header.base_offset = bench->end;
        bench->end += header.last_offset_delta + 1;
        producer_state_note(bench->partition, &header, bench->now);
        original = header.base_offset;
    }
    if (offset != NULL)
        *offset = original;
    return rc;
}

static void expect(struct bench *bench, int64_t id, int16_t epoch, int32_t first, int32_t count,
                   int rc)
{
    assert_int_equal(send(bench, header_of(id, epoch, first, count), NULL), rc);
}

static void note_marker(struct bench *bench, int64_t id, int16_t epoch)
{
    struct batch_header header = header_of(id, epoch, -1, 1);
    header.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
    header.base_offset = bench->end++;
    assert_int_equal(producer_state_reserve(bench->partition), 0);
    producer_state_note(bench->partition, &header, bench->now);
}

/* ---- sequences ---- */

static void sequences_go_on_without_a_gap(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 0, 0, 3, 0);
    expect(bench, 7, 0, 3, 1, 0);
    expect(bench, 7, 0, 5, 1, ERR_SEQUENCE);
    expect(bench, 7, 0, 2, 1, ERR_SEQUENCE); /* inside a batch that is there */
    expect(bench, 7, 0, 3, 2, ERR_SEQUENCE); /* begins where one began, but is another */
    expect(bench, 7, 0, 4, 2, 0);
    assert_int_equal(bench->end, 6);
}

static void producers_do_not_see_each_other(void **state)
{
    struct bench *bench = *state;
    for (int64_t id = 0; id < 100; id++)
        expect(bench, id, 0, 0, (int32_t)id + 1, 0);
    for (int64_t id = 0; id < 100; id++)
        expect(bench, id, 0, (int32_t)id + 1, 1, 0);
    for (int64_t id = 0; id < 100; id++)
        expect(bench, id, 0, (int32_t)id + 1, 1, DUPLICATE);
}

static void a_retry_of_each_of_the_last_five_gets_its_offset(void **state)
{
    struct bench *bench = *state;
    int32_t first[8], count[8], sequence = 0;
    int64_t offsets[8], again;
    bench->end = 500;
    for (int i = 0; i < 8; i++) {
        expect(bench, 99, 0, i, 1, 0); /* somebody else, in between */
        first[i] = sequence;
        count[i] = i + 1;
        assert_int_equal(send(bench, header_of(7, 2, first[i], count[i]), &offsets[i]), 0);
        sequence += count[i];
    }
    int64_t end = bench->end;
    for (int i = 3; i < 8; i++) {
        assert_int_equal(send(bench, header_of(7, 2, first[i], count[i]), &again), DUPLICATE);
        assert_int_equal(again, offsets[i]);
    }
    assert_int_equal(bench->end, end);
}

static void a_retry_of_the_sixth_is_refused(void **state)
{
    struct bench *bench = *state;
    for (int32_t i = 0; i < 6; i++)
        expect(bench, 7, 0, i * 2, 2, 0);
    expect(bench, 7, 0, 0, 2, ERR_SEQUENCE);
    expect(bench, 7, 0, 2, 2, DUPLICATE);
}

static void the_sequence_wraps_between_batches(void **state)
{
    struct bench *bench = *state;
    int64_t offset, again;
    expect(bench, 7, 0, INT32_MAX - 1, 1, 0); /* not known: any sequence */
    assert_int_equal(send(bench, header_of(7, 0, INT32_MAX, 1), &offset), 0);
    expect(bench, 7, 0, 0, 1, 0);
    expect(bench, 7, 0, 1, 1, 0);
    assert_int_equal(send(bench, header_of(7, 0, INT32_MAX, 1), &again), DUPLICATE);
    assert_int_equal(again, offset);
}

static void the_sequence_wraps_inside_a_batch(void **state)
{
    struct bench *bench = *state;
    int64_t offset, again;
    expect(bench, 7, 0, INT32_MAX - 11, 10, 0); /* up to INT32_MAX - 2 */
    /* INT32_MAX - 1, INT32_MAX, 0, 1, 2 */
    assert_int_equal(send(bench, header_of(7, 0, INT32_MAX - 1, 5), &offset), 0);
    expect(bench, 7, 0, 2, 1, ERR_SEQUENCE);
    expect(bench, 7, 0, 3, 4, 0);
    assert_int_equal(send(bench, header_of(7, 0, INT32_MAX - 1, 5), &again), DUPLICATE);
    assert_int_equal(again, offset);
}

static void an_unknown_producer_may_begin_anywhere(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 3, 41, 2, 0);
    expect(bench, 7, 3, 43, 1, 0);
    expect(bench, 7, 3, 41, 2, DUPLICATE);
}

static void negative_numbers_are_refused(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 0, -1, 1, ERR_INVALID);
    expect(bench, 7, -1, 0, 1, ERR_INVALID);
    assert_int_equal(bench->partition->producers.count, 0);
}

/* ---- epochs ---- */

static void a_new_epoch_begins_at_zero(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 1, 0, 5, 0);
    expect(bench, 7, 2, 5, 1, ERR_SEQUENCE);
    expect(bench, 7, 2, 0, 5, 0); /* the same numbers as in the old epoch: no retry */
    assert_int_equal(bench->end, 10);
    expect(bench, 7, 2, 5, 1, 0);
}

static void a_stale_epoch_is_fenced(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 1, 0, 5, 0);
    expect(bench, 7, 2, 0, 1, 0);
    expect(bench, 7, 1, 5, 1, ERR_FENCED);
    expect(bench, 7, 1, 0, 5, ERR_FENCED); /* even what was written once */
    expect(bench, 7, 0, 0, 1, ERR_FENCED);
}

static void bug_16_a_marker_of_a_newer_epoch_fences_the_old_one(void **state)
{
    struct bench *bench = *state;
    struct batch_header data = header_of(7, 1, 0, 5);
    data.attributes = BATCH_ATTR_TRANSACTIONAL;
    assert_int_equal(send(bench, data, NULL), 0);
    note_marker(bench, 7, 2);
    expect(bench, 7, 1, 5, 1, ERR_FENCED);
    expect(bench, 7, 2, 5, 1, ERR_SEQUENCE);
    expect(bench, 7, 2, 0, 1, 0);
}

static void a_marker_of_the_same_epoch_changes_no_sequence(void **state)
{
    struct bench *bench = *state;
    expect(bench, 7, 1, 0, 5, 0);
    note_marker(bench, 7, 1);
    expect(bench, 7, 1, 0, 5, DUPLICATE);
    note_marker(bench, 7, 0); /* one that was late */
    expect(bench, 7, 1, 5, 1, 0);
}

static void what_is_no_part_of_an_open_transaction_waits_for_its_end(void **state)
{
    struct bench *bench = *state;
    struct batch_header data = header_of(7, 1, 0, 5);
    int64_t first, again;
    expect(bench, 7, 0, 0, 2, 0);
    data.attributes = BATCH_ATTR_TRANSACTIONAL;
    assert_int_equal(send(bench, data, &first), 0);
    expect(bench, 7, 1, 5, 1, ERR_STATE);
    expect(bench, 7, 2, 0, 1, ERR_STATE);    /* of a newer epoch, too */
    expect(bench, 7, 1, 6, 1, ERR_SEQUENCE); /* Kafka looks at sequences first */
    expect(bench, 7, 0, 2, 1, ERR_FENCED);
    expect(bench, 8, 0, 0, 1, 0); /* of another producer */
    assert_int_equal(send(bench, data, &again), 1);
    assert_int_equal(again, first);
    note_marker(bench, 7, 1);
    expect(bench, 7, 1, 5, 1, 0);
}

/* ---- forgetting ---- */

static void only_idle_producers_expire(void **state)
{
    struct bench *bench = *state;
    struct batch_header open = header_of(3, 0, 0, 1);
    open.attributes = BATCH_ATTR_TRANSACTIONAL;
    expect(bench, 1, 0, 0, 1, 0);
    expect(bench, 2, 0, 0, 1, 0);
    assert_int_equal(send(bench, open, NULL), 0);
    bench->now = 1500;
    expect(bench, 1, 0, 1, 1, 0);
    assert_int_equal(producer_state_expire(bench->partition, 1999, 1000), 0);
    assert_int_equal(producer_state_expire(bench->partition, 2000, 1000), 1);
    expect(bench, 1, 0, 9, 1, ERR_SEQUENCE);
    expect(bench, 3, 0, 9, 1, ERR_SEQUENCE);
    expect(bench, 2, 0, 9, 1, 0); /* forgotten: any sequence */
    bench->now = 2000;
    note_marker(bench, 3, 0);
    assert_int_equal(producer_state_expire(bench->partition, 9000, 1000), 3);
    assert_int_equal(bench->partition->producers.count, 0);
}

static void the_last_batch_of_a_live_producer_is_known(void **state)
{
    struct bench *bench = *state;
    int64_t first, second;
    assert_false(producer_state_is_last(bench->partition, 7, 0));
    assert_int_equal(send(bench, header_of(7, 0, 0, 3), &first), 0);
    assert_int_equal(send(bench, header_of(7, 0, 3, 2), &second), 0);
    assert_false(producer_state_is_last(bench->partition, 7, first + 2));
    assert_true(producer_state_is_last(bench->partition, 7, second + 1));
    assert_false(producer_state_is_last(bench->partition, 8, second + 1));
    producer_state_expire(bench->partition, INT64_MAX, 1000);
    assert_false(producer_state_is_last(bench->partition, 7, second + 1));
}

static void bug_19_a_flood_of_ids_stays_inside_the_limit(void **state)
{
    struct bench *bench = *state;
    struct batch_header open = header_of(0, 0, 0, 1);
    open.attributes = BATCH_ATTR_TRANSACTIONAL;
    assert_int_equal(send(bench, open, NULL), 0);
    expect(bench, 1, 0, 0, 1, 0);
    expect(bench, 2, 0, 0, 1, 0);
    for (int64_t id = 3; id < 5 * PRODUCERS_PER_PARTITION; id++) {
        bench->now++;
        expect(bench, id, 0, 0, 1, 0);
        if (id % 1000 == 0)
            expect(bench, 2, 0, (int32_t)(id / 1000), 1, 0); /* writes all the time */
    }
    const struct producer_table *table = &bench->partition->producers;
    assert_int_equal(table->count, PRODUCERS_PER_PARTITION);
    assert_int_equal(table->capacity, PRODUCERS_PER_PARTITION);
    expect(bench, 2, 0, 5000, 1, ERR_SEQUENCE); /* still known */
    expect(bench, 0, 0, 5000, 1, ERR_SEQUENCE); /* its transaction is open */
    expect(bench, 1, 0, 5000, 1, 0);            /* left long ago */
    for (int64_t id = 4 * PRODUCERS_PER_PARTITION + 10; id < 5 * PRODUCERS_PER_PARTITION; id++)
        expect(bench, id, 0, 0, 1, DUPLICATE);
}

/* ---- listing ---- */

static void producers_are_listed_with_their_transaction(void **state)
{
    struct bench *bench = *state;
    struct producer_info *list;
    size_t count;
    struct log log = {0};
    bench->partition->log = &log;
    bench->end = 100;
    expect(bench, 9, 4, INT32_MAX, 2, 0);
    bench->now = 2000;
    struct batch_header open = header_of(8, 1, 0, 3);
    open.attributes = BATCH_ATTR_TRANSACTIONAL;
    assert_int_equal(send(bench, open, NULL), 0);
    open.base_sequence = 3;
    assert_int_equal(send(bench, open, NULL), 0);
    assert_int_equal(partition_producers(bench->partition, &list, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].producer_id, 9);
    assert_int_equal(list[0].epoch, 4);
    assert_int_equal(list[0].last_sequence, 0);
    assert_int_equal(list[0].last_write_ms, 1000);
    assert_int_equal(list[0].txn_first_offset, -1);
    assert_int_equal(list[0].coordinator_epoch, -1);
    assert_int_equal(list[1].producer_id, 8);
    assert_int_equal(list[1].last_sequence, 5);
    assert_int_equal(list[1].last_write_ms, 2000);
    assert_int_equal(list[1].txn_first_offset, 102);
    free(list);
    note_marker(bench, 8, 2);
    assert_int_equal(partition_producers(bench->partition, &list, &count, NULL), 0);
    assert_int_equal(list[1].epoch, 2);
    assert_int_equal(list[1].last_sequence, -1);
    assert_int_equal(list[1].txn_first_offset, -1);
    assert_int_equal(list[1].coordinator_epoch, 0);
    free(list);
}

/* ---- against a model that keeps everything ---- */

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % bound);
}

enum { MODEL_PRODUCERS = 60, MODEL_STEPS = 40000 };

struct model {
    bool known;
    int16_t epoch;
    int sent;
    struct {
        int32_t first, last;
        int64_t offset;
    } history[MODEL_STEPS];
};

static int model_judge(const struct model *model, int16_t epoch, int32_t first, int32_t last,
                       int64_t *offset)
{
    if (!model->known)
        return 0;
    if (epoch < model->epoch)
        return ERR_FENCED;
    if (epoch > model->epoch)
        return first == 0 ? 0 : ERR_SEQUENCE;
    for (int i = model->sent > 5 ? model->sent - 5 : 0; i < model->sent; i++)
        if (model->history[i].first == first && model->history[i].last == last) {
            *offset = model->history[i].offset;
            return DUPLICATE;
        }
    int64_t next = (int64_t)model->history[model->sent - 1].last + 1;
    return first == (next > INT32_MAX ? 0 : next) ? 0 : ERR_SEQUENCE;
}

static void random_sends_agree_with_a_model(void **state)
{
    struct bench *bench = *state;
    struct model *models = calloc(MODEL_PRODUCERS, sizeof *models);
    int answers[4] = {0};
    for (int step = 0; step < MODEL_STEPS; step++) {
        int64_t id = random_below(MODEL_PRODUCERS);
        struct model *model = &models[id];
        int32_t count = 1 + (int32_t)random_below(4);
        int32_t first = (int32_t)random_below(3) == 0 ? INT32_MAX - (int32_t)random_below(6) : 0;
        int16_t epoch = (int16_t)(model->epoch + (random_below(40) == 0) - (random_below(40) == 0));
        if (epoch < 0)
            epoch = 0;
        if (model->known && random_below(10) != 0) {
            int back = (int)random_below(8);
            bool retry = random_below(2) == 0 && back < model->sent;
            int at = model->sent - 1 - (retry ? back : 0);
            int64_t next = (int64_t)model->history[at].last + 1;
            first = retry ? model->history[at].first : (int32_t)(next > INT32_MAX ? 0 : next);
            if (retry)
                count = (int32_t)(((int64_t)model->history[at].last - first + (INT64_C(1) << 31)) %
                                  (INT64_C(1) << 31)) +
                        1;
        }
        int32_t last = (int32_t)(((int64_t)first + count - 1) % (INT64_C(1) << 31));
        int64_t offset = -1, expected = -1;
        int want = model_judge(model, epoch, first, last, &expected);
        assert_int_equal(send(bench, header_of(id, epoch, first, count), &offset), want);
        answers[want == ERR_FENCED ? 2 : want == ERR_SEQUENCE ? 3 : want]++;
        if (want == DUPLICATE)
            assert_int_equal(offset, expected);
        if (want != 0)
            continue;
        if (!model->known || epoch != model->epoch)
            model->sent = 0;
        model->known = true;
        model->epoch = epoch;
        model->history[model->sent].first = first;
        model->history[model->sent].last = last;
        model->history[model->sent++].offset = offset;
        if (random_below(200) == 0) {
            /* All are forgotten, as after a day of silence. */
            producer_state_expire(bench->partition, INT64_MAX, 0);
            for (int i = 0; i < MODEL_PRODUCERS; i++)
                models[i].known = false;
        }
    }
    for (int i = 0; i < 4; i++)
        assert_true(answers[i] > 100);
    free(models);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sequences_go_on_without_a_gap),
        TEST(producers_do_not_see_each_other),
        TEST(a_retry_of_each_of_the_last_five_gets_its_offset),
        TEST(a_retry_of_the_sixth_is_refused),
        TEST(the_sequence_wraps_between_batches),
        TEST(the_sequence_wraps_inside_a_batch),
        TEST(an_unknown_producer_may_begin_anywhere),
        TEST(negative_numbers_are_refused),
        TEST(a_new_epoch_begins_at_zero),
        TEST(a_stale_epoch_is_fenced),
        TEST(bug_16_a_marker_of_a_newer_epoch_fences_the_old_one),
        TEST(a_marker_of_the_same_epoch_changes_no_sequence),
        TEST(what_is_no_part_of_an_open_transaction_waits_for_its_end),
        TEST(only_idle_producers_expire),
        TEST(the_last_batch_of_a_live_producer_is_known),
        TEST(bug_19_a_flood_of_ids_stays_inside_the_limit),
        TEST(producers_are_listed_with_their_transaction),
        TEST(random_sends_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
