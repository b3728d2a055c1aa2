/* test_fetch_reader.c: fetches assembled by hand, as partition_fetch would bring them: what a
 * reader sees of control batches, aborted and interleaved transactions, emptied and compacted
 * batches, and from an offset in the middle. The random case is compared with a model that marks
 * each offset as visible or not when it writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log/log.h"
#include "runtime/base/hash.h"

static uint64_t random_state = 0xDA3E39CB94B95BDBu;

static size_t random_below(size_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % bound);
}

/* A log under construction. */
struct script {
    struct fetch fetch;
    int64_t end;
};

static void script_init(struct script *script, int64_t start)
{
    fetch_init(&script->fetch);
    script->end = start;
}

/* Appends a batch of count records whose values are their offsets; producer -1: not transactional.
 */
static void data(struct script *script, int count, int64_t producer, enum codec codec)
{
    struct batch_builder builder;
    struct bytes batch;
    batch_builder_init(&builder, codec);
    for (int i = 0; i < count; i++) {
        char value[64];
        snprintf(value, sizeof value, "%lld and some text to compress", (long long)script->end + i);
        assert_int_equal(batch_builder_add(&builder, 1000 + i, bytes_of(NULL, 0), bytes_text(value),
                                           bytes_of(NULL, 0), 0),
                         0);
    }
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    if (producer >= 0)
        batch_set_producer(builder.batch.data, producer, 0, -1, true);
    batch_set_base(builder.batch.data, script->end, 0);
    buf_append_bytes(&script->fetch.bytes, batch);
    script->end += count;
    batch_builder_deinit(&builder);
}

static void marker(struct script *script, bool commit, int64_t producer)
{
    uint8_t batch[78];
    control_batch_encode(commit, producer, 0, 0, 5000, batch);
    batch_set_base(batch, script->end++, 0);
    buf_append(&script->fetch.bytes, batch, sizeof batch);
}

/* An abort whose first data batch was at first: the marker and the entry. */
static void abort_from(struct script *script, int64_t producer, int64_t first)
{
    struct fetch *fetch = &script->fetch;
    if (fetch->aborted_count == fetch->aborted_capacity) {
        fetch->aborted_capacity = fetch->aborted_capacity * 2 + 4;
        fetch->aborted =
            realloc(fetch->aborted, fetch->aborted_capacity * sizeof fetch->aborted[0]);
        assert_non_null(fetch->aborted);
    }
    size_t at = fetch->aborted_count++;
    for (; at > 0 && fetch->aborted[at - 1].first_offset > first; at--)
        fetch->aborted[at] = fetch->aborted[at - 1];
    fetch->aborted[at] = (struct aborted){producer, first, script->end};
    marker(script, false, producer);
}

/* A batch that compaction emptied: count offsets, no records. */
static void emptied(struct script *script, int count)
{
    uint8_t batch[BATCH_HEADER_BYTES] = {0};
    store_be64(batch, (uint64_t)script->end);
    store_be32(batch + 8, sizeof batch - BATCH_OVERHEAD_BYTES);
    batch[16] = 2;
    store_be32(batch + 23, (uint32_t)count - 1);
    store_be32(batch + 17, crc32c(batch + 21, sizeof batch - 21));
    buf_append(&script->fetch.bytes, batch, sizeof batch);
    script->end += count;
}

/* Reads everything from an offset and prints the offsets: "3 4 7 ". */
static void read_offsets(const struct script *script, int64_t from, struct buf *text)
{
    struct fetch_reader reader;
    struct record record;
    int rc;
    buf_clear(text);
    fetch_reader_init(&reader);
    fetch_reader_start(&reader, &script->fetch, from);
    while ((rc = fetch_reader_next(&reader, &record)) == 1) {
        char expected[64];
        snprintf(expected, sizeof expected, "%lld and some text to compress",
                 (long long)record.offset);
        assert_true(bytes_equal(record.value, bytes_text(expected)));
        buf_printf(text, "%lld ", (long long)record.offset);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(fetch_reader_next(&reader, &record), 0); /* stays at the end */
    fetch_reader_deinit(&reader);
    buf_u8(text, 0);
}

static void expect_offsets(const struct script *script, int64_t from, const char *expected)
{
    struct buf text = {0};
    read_offsets(script, from, &text);
    assert_string_equal((char *)text.data, expected);
    buf_deinit(&text);
}

static void nothing_was_fetched(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 5);
    expect_offsets(&script, 5, "");
    fetch_deinit(&script.fetch);
}

static void plain_batches_of_every_codec(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 10);
    for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
        data(&script, 2, -1, (enum codec)codec);
    expect_offsets(&script, 10, "10 11 12 13 14 15 16 17 18 19 ");
    expect_offsets(&script, 0, "10 11 12 13 14 15 16 17 18 19 ");
    fetch_deinit(&script.fetch);
}

static void reading_starts_inside_a_batch(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 0);
    data(&script, 3, -1, CODEC_NONE);
    data(&script, 4, -1, CODEC_LZ4);
    expect_offsets(&script, 1, "1 2 3 4 5 6 ");
    expect_offsets(&script, 3, "3 4 5 6 ");
    expect_offsets(&script, 5, "5 6 ");
    expect_offsets(&script, 6, "6 ");
    expect_offsets(&script, 7, "");
    fetch_deinit(&script.fetch);
}

static void control_and_emptied_batches_are_not_data(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 0);
    marker(&script, true, 7);
    data(&script, 1, 7, CODEC_NONE);
    marker(&script, true, 7);
    emptied(&script, 5);
    data(&script, 1, -1, CODEC_NONE);
    marker(&script, false, 7);
    expect_offsets(&script, 0, "1 8 ");
    fetch_deinit(&script.fetch);
}

static void aborted_data_is_not_seen(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 100);
    data(&script, 2, 1, CODEC_NONE); /* 100 101 aborted */
    data(&script, 1, 2, CODEC_NONE); /* 102 committed */
    data(&script, 1, -1, CODEC_LZ4); /* 103 no transaction */
    data(&script, 1, 1, CODEC_LZ4);  /* 104 aborted */
    abort_from(&script, 1, 100);     /* 105 */
    marker(&script, true, 2);        /* 106 */
    data(&script, 1, 1, CODEC_NONE); /* 107 the same producer, its next transaction */
    marker(&script, true, 1);        /* 108 */
    expect_offsets(&script, 100, "102 103 107 ");
    expect_offsets(&script, 103, "103 107 ");
    script.fetch.aborted_count = 0; /* as read uncommitted */
    expect_offsets(&script, 100, "100 101 102 103 104 107 ");
    fetch_deinit(&script.fetch);
}

static void a_producers_data_outside_of_transactions_is_seen(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 0);
    data(&script, 1, 1, CODEC_NONE);
    size_t plain_at = script.fetch.bytes.size;
    data(&script, 1, 1, CODEC_NONE);
    batch_set_producer(script.fetch.bytes.data + plain_at, 1, 0, 0, false); /* idempotent only */
    abort_from(&script, 1, 0);
    expect_offsets(&script, 0, "1 ");
    fetch_deinit(&script.fetch);
}

static void an_abort_may_begin_before_the_fetch_and_end_after_it(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 50);
    data(&script, 2, 9, CODEC_NONE);
    data(&script, 1, 8, CODEC_NONE);
    struct aborted around[] = {{9, 3, 1000}, {8, 53, 60}};
    script.fetch.aborted = malloc(sizeof around);
    memcpy(script.fetch.aborted, around, sizeof around);
    script.fetch.aborted_count = script.fetch.aborted_capacity = 2;
    expect_offsets(&script, 50, "52 ");
    fetch_deinit(&script.fetch);
}

static void batches_are_handed_out_whole(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 0);
    data(&script, 3, 1, CODEC_NONE);
    abort_from(&script, 1, 0);
    data(&script, 3, -1, CODEC_LZ4);
    marker(&script, true, 1);
    data(&script, 2, -1, CODEC_NONE);
    struct fetch_reader reader;
    struct batch_header header;
    struct bytes batch;
    struct record record;
    fetch_reader_init(&reader);
    fetch_reader_start(&reader, &script.fetch, 5);
    assert_int_equal(fetch_reader_next_batch(&reader, &batch, &header), 1);
    assert_int_equal(header.base_offset, 4); /* whole, although 5 was asked for */
    assert_int_equal(batch.size, header.size_bytes);
    assert_true(batch.data > script.fetch.bytes.data &&
                batch.data < script.fetch.bytes.data + script.fetch.bytes.size);
    assert_int_equal(fetch_reader_next(&reader, &record), 1); /* goes on behind it */
    assert_int_equal(record.offset, 8);
    assert_int_equal(fetch_reader_next_batch(&reader, &batch, &header), 0);
    /* A reader is used again, whatever state the last walk left it in. */
    fetch_reader_start(&reader, &script.fetch, 6);
    assert_int_equal(fetch_reader_next(&reader, &record), 1);
    assert_int_equal(record.offset, 6);
    fetch_reader_start(&reader, &script.fetch, 0);
    assert_int_equal(fetch_reader_next(&reader, &record), 1);
    assert_int_equal(record.offset, 4);
    fetch_reader_deinit(&reader);
    fetch_deinit(&script.fetch);
}

static void cut_and_broken_bytes_are_corrupt(void **state)
{
    (void)state;
    struct script script;
    script_init(&script, 0);
    data(&script, 2, -1, CODEC_NONE);
    size_t first = script.fetch.bytes.size;
    data(&script, 40, -1, CODEC_LZ4);
    size_t whole = script.fetch.bytes.size;
    struct fetch_reader reader;
    struct record record;
    fetch_reader_init(&reader);
    for (size_t size = 1; size < whole; size++) {
        int rc;
        script.fetch.bytes.size = size;
        fetch_reader_start(&reader, &script.fetch, 0);
        while ((rc = fetch_reader_next(&reader, &record)) == 1)
            ;
        assert_int_equal(rc, size == first ? 0 : ERR_CORRUPT);
    }
    script.fetch.bytes.size = whole;
    script.fetch.bytes.data[first + 61] ^= 0xff; /* the magic of the lz4 frame */
    fetch_reader_start(&reader, &script.fetch, 0);
    assert_int_equal(fetch_reader_next(&reader, &record), 1);
    assert_int_equal(fetch_reader_next(&reader, &record), 1);
    assert_int_equal(fetch_reader_next(&reader, &record), ERR_CORRUPT);
    fetch_reader_deinit(&reader);
    fetch_deinit(&script.fetch);
}

/* Interleaved transactions of several producers; visible[] says what a committed reader must see.
 */
static void random_histories_match_a_model(void **state)
{
    (void)state;
    enum { PRODUCERS = 4, OFFSETS = 4000 };
    static bool visible[OFFSETS];
    static int64_t owner[OFFSETS];
    struct buf text = {0}, expected = {0};
    for (int round = 0; round < 100; round++) {
        struct script script;
        int64_t first[PRODUCERS]; /* of the open transaction; -1: none */
        script_init(&script, 0);
        memset(visible, 0, sizeof visible);
        for (int p = 0; p < PRODUCERS; p++)
            first[p] = -1;
        for (int step = 0; step < 150 || script.end == 0; step++) {
            size_t p = random_below(PRODUCERS);
            int64_t at = script.end;
            size_t what = random_below(10);
            if (what < 6) {
                bool transactional = what < 5;
                data(&script, 1 + (int)random_below(3), transactional ? (int64_t)p : -1,
                     random_below(2) == 0 ? CODEC_NONE : CODEC_LZ4);
                if (transactional && first[p] < 0)
                    first[p] = at;
                for (int64_t i = at; i < script.end; i++) {
                    visible[i] = true;
                    owner[i] = transactional ? (int64_t)p : -1;
                }
            } else if (what == 6) {
                emptied(&script, 1 + (int)random_below(4));
            } else if (first[p] >= 0 && what == 7) {
                marker(&script, true, (int64_t)p);
                first[p] = -1;
            } else if (first[p] >= 0) {
                for (int64_t i = first[p]; i < at; i++)
                    if (owner[i] == (int64_t)p)
                        visible[i] = false;
                abort_from(&script, (int64_t)p, first[p]);
                first[p] = -1;
            }
        }
        int64_t from = (int64_t)random_below((size_t)script.end);
        buf_clear(&expected);
        for (int64_t i = from; i < script.end; i++)
            if (visible[i])
                buf_printf(&expected, "%lld ", (long long)i);
        buf_u8(&expected, 0);
        read_offsets(&script, from, &text);
        assert_string_equal((char *)text.data, (char *)expected.data);
        fetch_deinit(&script.fetch);
    }
    buf_deinit(&text);
    buf_deinit(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_was_fetched),
        cmocka_unit_test(plain_batches_of_every_codec),
        cmocka_unit_test(reading_starts_inside_a_batch),
        cmocka_unit_test(control_and_emptied_batches_are_not_data),
        cmocka_unit_test(aborted_data_is_not_seen),
        cmocka_unit_test(a_producers_data_outside_of_transactions_is_seen),
        cmocka_unit_test(an_abort_may_begin_before_the_fetch_and_end_after_it),
        cmocka_unit_test(batches_are_handed_out_whole),
        cmocka_unit_test(cut_and_broken_bytes_are_corrupt),
        cmocka_unit_test(random_histories_match_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
