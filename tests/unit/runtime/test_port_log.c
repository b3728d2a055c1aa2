/* test_port_log.c: the door over the embedded log: runs of rows, what readers pass over, outs,
 * transactions, positions.
 *
 * The log is filled through log.h first where a test needs control over batches, then opened again
 * through the door. Values are numbers in order, so what must come out is known without asking the
 * code. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "log/log.h"
#include "runtime/base/clock.h"
#include "runtime/port.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

enum { ROWS_MAX = 4096, SMALL_BATCHES = 200, SMALL_ROWS = 3, LARGE_ROWS = 5000, WAIT_SECONDS = 60 };

static const struct bytes none = {NULL, 0};

static int set_up(void **state)
{
    *state = scratch_dir_create();
    return 0;
}
static int tear_down(void **state)
{
    scratch_dir_remove(*state);
    return 0;
}

static struct port *open_port(const char *dir)
{
    struct port *port;
    struct diag diag = {0};
    if (port_log_open(dir, NULL, &port, &diag) < 0)
        fail_msg("port_log_open: %s", diag.text);
    return port;
}

/* One batch of numbers [first, first + count) in the codec. */
static void append_numbers(struct partition *partition, int64_t first, int32_t count,
                           enum codec codec)
{
    struct batch_builder builder;
    struct bytes batch;
    char text[32];
    batch_builder_init(&builder, codec);
    for (int32_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%" PRId64, first + i);
        assert_int_equal(batch_builder_add(&builder, 1000 + first + i, bytes_text(text),
                                           bytes_text(text), none, 0),
                         0);
    }
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    uint8_t *copy = malloc(batch.size);
    assert_non_null(copy);
    memcpy(copy, batch.data, batch.size);
    assert_int_equal(partition_append(partition, copy, batch.size, NULL, NULL), 0);
    free(copy);
    batch_builder_deinit(&builder);
}

/* Row i of a run must be number first + i; all of them are looked at after the whole run was read.
 */
static void check_numbers(const struct source_row *rows, uint32_t count, int64_t first)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, first + i);
        assert_true(rows[i].offset == first + i && rows[i].timestamp_ms == 1000 + first + i);
        assert_true(bytes_equal(rows[i].key, bytes_text(text)) &&
                    bytes_equal(rows[i].value, bytes_text(text)));
        assert_int_equal(rows[i].header_count, 0);
    }
}

/* ---- reading ---- */

static void read_numbers(struct port *port, uint32_t max_rows, int64_t end)
{
    struct port_reader *reader;
    struct source_row rows[ROWS_MAX];
    int64_t at = 0, next;
    uint32_t count, longest = 0;
    assert_int_equal(port->ops->reader_open(port, "t", 0, 0, &reader, NULL), 0);
    for (;;) {
        assert_int_equal(port->ops->reader_read(reader, rows, max_rows, &count, &next, NULL), 0);
        if (next == at)
            break;
        assert_true(count <= max_rows && next == at + count);
        check_numbers(rows, count, at);
        at = next;
        longest = count > longest ? count : longest;
    }
    assert_int_equal(count, 0);
    assert_true(at == end);
    assert_true(longest == max_rows);
    port->ops->reader_close(reader);
}

/* Many small batches, compressed and not, then a large one: every run length gives the same rows,
 * and runs cross batches. */
static void test_runs(void **state)
{
    const char *dir = *state;
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    int64_t at = 0;
    for (int i = 0; i < SMALL_BATCHES; i++, at += SMALL_ROWS)
        append_numbers(partition, at, SMALL_ROWS, i % 3 == 0 ? CODEC_NONE : CODEC_LZ4);
    append_numbers(partition, at, LARGE_ROWS, CODEC_LZ4);
    append_numbers(partition, at + LARGE_ROWS, LARGE_ROWS, CODEC_NONE);
    at += 2 * LARGE_ROWS;
    log_close(log);
    struct port *port = open_port(dir);
    read_numbers(port, 1, at);
    read_numbers(port, 7, at);
    read_numbers(port, ROWS_MAX, at);
    port->ops->close(port);
}

static void test_small_batches_make_one_run(void **state)
{
    const char *dir = *state;
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    for (int64_t i = 0; i < 60; i++)
        append_numbers(fixture_partition(log, "t", 0), 2 * i, 2,
                       i % 2 == 0 ? CODEC_NONE : CODEC_LZ4);
    log_close(log);
    struct port *port = open_port(dir);
    struct port_reader *reader;
    struct source_row rows[ROWS_MAX];
    uint32_t count;
    int64_t next;
    assert_int_equal(port->ops->reader_open(port, "t", 0, 0, &reader, NULL), 0);
    assert_int_equal(port->ops->reader_read(reader, rows, ROWS_MAX, &count, &next, NULL), 0);
    assert_int_equal(count, 120);
    check_numbers(rows, count, 0);
    port->ops->reader_close(reader);
    port->ops->close(port);
}

static void test_position_within_a_batch(void **state)
{
    const char *dir = *state;
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, NULL);
    append_numbers(fixture_partition(log, "t", 0), 0, 10, CODEC_LZ4);
    append_numbers(fixture_partition(log, "t", 0), 10, 10, CODEC_NONE);
    log_close(log);
    struct port *port = open_port(dir);
    for (int64_t from = 0; from <= 20; from++) {
        struct port_reader *reader;
        struct source_row rows[32];
        uint32_t count;
        int64_t next;
        assert_int_equal(port->ops->reader_open(port, "t", 0, from, &reader, NULL), 0);
        assert_int_equal(port->ops->reader_read(reader, rows, 32, &count, &next, NULL), 0);
        assert_true(count == 20 - from && next == 20);
        check_numbers(rows, count, from);
        port->ops->reader_close(reader);
    }
    port->ops->close(port);
}

/* Offsets: 0–2 committed, 3 marker, 4–6 aborted, 7 marker, 8–9 plain, 10–12 aborted, 13 marker. */
static void append_mixture(const char *dir)
{
    struct log *log = fixture_open(dir);
    struct producer *producer;
    fixture_topic(log, "t", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    assert_int_equal(producer_open(log, "x", &producer, NULL), 0);
    for (int round = 0; round < 3; round++) {
        if (round == 2)
            assert_true(fixture_append(partition, 8, 2) == 8);
        assert_int_equal(txn_begin(producer, NULL), 0);
        assert_true(fixture_txn_append(producer, partition, round == 0 ? 0 : 100, 3) >= 0);
        assert_int_equal(round == 0 ? txn_commit(producer, NULL) : txn_abort(producer, NULL), 0);
    }
    producer_close(producer);
    log_close(log);
}

static void test_aborted_and_markers_are_passed_over(void **state)
{
    static const int64_t expected[] = {0, 1, 2, 8, 9};
    append_mixture(*state);
    struct port *port = open_port(*state);
    for (uint32_t max_rows = 1; max_rows < 8; max_rows++) {
        struct port_reader *reader;
        struct source_row rows[8];
        uint32_t count, seen = 0;
        int64_t at = 0, next;
        assert_int_equal(port->ops->reader_open(port, "t", 0, 0, &reader, NULL), 0);
        for (;; at = next) {
            assert_int_equal(port->ops->reader_read(reader, rows, max_rows, &count, &next, NULL),
                             0);
            for (uint32_t i = 0; i < count; i++, seen++) {
                assert_true(seen < 5 && rows[i].offset == expected[seen] &&
                            rows[i].value.data[0] == '0' + expected[seen]);
                assert_true(rows[i].offset < next);
            }
            assert_true(next >= at);
            if (next == at)
                break;
        }
        assert_int_equal(seen, 5);
        assert_true(at == 14); /* behind the last marker, although no row is there */
        port->ops->reader_close(reader);
    }
    port->ops->close(port);
}

/* ---- writing ---- */

struct decision {
    sem_t done;
    int code;
};
static void decided(void *context, int code)
{
    struct decision *decision = context;
    decision->code = code;
    sem_post(&decision->done);
}
static void wait_for(sem_t *semaphore)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    int rc;
    while ((rc = sem_timedwait(semaphore, &until)) < 0 && errno == EINTR)
        ;
    assert_int_equal(rc, 0);
}
static int commit(struct port *port, struct port_txn *txn)
{
    struct decision decision = {.code = 1};
    sem_init(&decision.done, 0, 0);
    int rc = port->ops->txn_commit(txn, decided, &decision, NULL);
    if (rc == 0) {
        wait_for(&decision.done);
        rc = decision.code;
    }
    sem_destroy(&decision.done);
    return rc;
}

struct writer {
    struct port *port;
    struct port_txn *txn;
    struct port_out *out;
};
static void writer_open(struct writer *writer, const char *dir)
{
    struct port *port = writer->port = open_port(dir);
    assert_int_equal(port->ops->topic_create(port, "t", 1, NULL, 0, NULL), 0);
    assert_int_equal(port->ops->out_open(port, "t", 0, &writer->out, NULL), 0);
    assert_int_equal(port->ops->txn_open(port, "w", &writer->txn, NULL), 0);
    assert_int_equal(port->ops->txn_participate(writer->txn, &writer->out, 1, NULL), 0);
}
static void writer_close(struct writer *writer)
{
    writer->port->ops->txn_close(writer->txn);
    writer->port->ops->out_close(writer->out);
    writer->port->ops->close(writer->port);
}
static void writer_add(struct writer *writer, const char *value)
{
    assert_int_equal(
        writer->port->ops->out_add(writer->out, 5, none, bytes_text(value), none, 0, NULL), 0);
}
/* Sends what the out holds; the end offset. */
static int64_t writer_send(struct writer *writer)
{
    int64_t end = -1;
    assert_int_equal(writer->port->ops->txn_begin(writer->txn, NULL), 0);
    assert_int_equal(writer->port->ops->txn_send(writer->txn, writer->out, &end, NULL), 0);
    assert_int_equal(writer->port->ops->out_records(writer->out), 0);
    return end;
}
static uint32_t read_some(struct port *port, struct port_reader *reader, struct source_row *rows,
                          uint32_t max_rows)
{
    uint32_t count;
    int64_t next;
    assert_int_equal(port->ops->reader_read(reader, rows, max_rows, &count, &next, NULL), 0);
    return count;
}

static void test_round_trip(void **state)
{
    /* Kafka's encoding: varint size (zigzag, so twice), name, varint size or -1, value. */
    static const char encoded[] = "\x06"
                                  "abc"
                                  "\x04"
                                  "xy"
                                  "\x02"
                                  "k"
                                  "\x01"
                                  "\x00\x00";
    struct bytes headers = bytes_of(encoded, 12);
    struct writer w;
    struct port_reader *reader;
    struct source_row rows[8];
    struct port_range range;
    struct buf built = {0};
    writer_open(&w, *state);
    port_header_add(&built, "abc", bytes_text("xy"));
    port_header_add(&built, "k", none);
    port_header_add(&built, "", bytes_of("", 0));
    assert_true(bytes_equal(bytes_of(built.data, built.size), headers));
    buf_deinit(&built);
    assert_int_equal(
        w.port->ops->out_add(w.out, 42, bytes_text("key"), bytes_text("value"), headers, 3, NULL),
        0);
    assert_int_equal(w.port->ops->out_add(w.out, -7, none, bytes_of("", 0), none, 0, NULL), 0);
    assert_int_equal(w.port->ops->out_add(w.out, 0, bytes_of("", 0), none, none, 0, NULL), 0);
    assert_int_equal(w.port->ops->out_records(w.out), 3);
    assert_true(w.port->ops->out_bytes(w.out) >= 20);
    assert_int_equal(w.port->ops->reader_open(w.port, "t", 0, 0, &reader, NULL), 0);
    assert_int_equal(writer_send(&w), 3);
    assert_int_equal(read_some(w.port, reader, rows, 8), 0); /* not decided yet */
    assert_int_equal(commit(w.port, w.txn), 0);
    assert_int_equal(w.port->ops->settled_range(w.port, "t", 0, &range, NULL), 0);
    assert_true(range.start == 0 && range.stable == 4); /* with the marker */
    assert_int_equal(read_some(w.port, reader, rows, 8), 3);
    assert_true(rows[0].offset == 0 && rows[0].timestamp_ms == 42 && rows[0].header_count == 3);
    assert_true(bytes_equal(rows[0].headers, headers));
    assert_true(bytes_equal(rows[0].key, bytes_text("key")) &&
                bytes_equal(rows[0].value, bytes_text("value")));
    assert_true(rows[1].timestamp_ms == -7 && rows[1].key.data == NULL &&
                rows[1].value.data != NULL && rows[1].value.size == 0);
    assert_true(rows[2].key.data != NULL && rows[2].key.size == 0 && rows[2].value.data == NULL);
    writer_add(&w, "next");
    assert_int_equal(writer_send(&w), 5); /* offset 3 is the marker of the first one */
    assert_int_equal(commit(w.port, w.txn), 0);
    assert_int_equal(read_some(w.port, reader, rows, 8), 1);
    assert_true(rows[0].offset == 4);
    w.port->ops->reader_close(reader);
    writer_close(&w);
}

static void test_abort_and_fence(void **state)
{
    struct writer w;
    struct port_reader *reader;
    struct port_txn *newer;
    struct source_row rows[8];
    writer_open(&w, *state);
    writer_add(&w, "gone");
    assert_int_equal(writer_send(&w), 1);
    assert_int_equal(w.port->ops->txn_abort(w.txn, NULL), 0);
    writer_add(&w, "fenced");
    assert_int_equal(writer_send(&w), 3);
    assert_int_equal(w.port->ops->txn_open(w.port, "w", &newer, NULL), 0);
    assert_int_equal(commit(w.port, w.txn), ERR_FENCED);
    assert_int_equal(w.port->ops->reader_open(w.port, "t", 0, 0, &reader, NULL), 0);
    assert_int_equal(read_some(w.port, reader, rows, 8), 0);
    w.port->ops->reader_close(reader);
    w.port->ops->txn_close(newer);
    writer_close(&w);
}

/* Batches as they lie in the log: record counts. */
static void test_large_record_travels_alone(void **state)
{
    static const int32_t expected[] = {2, 1, 1, 2};
    enum { LARGE = 300 << 10 };
    struct writer w;
    char *large = malloc(LARGE + 1);
    assert_non_null(large);
    memset(large, 'x', LARGE);
    large[LARGE] = '\0';
    writer_open(&w, *state);
    const char *const values[] = {"a", "b", large, large, "c", "d"};
    for (size_t i = 0; i < 6; i++)
        writer_add(&w, values[i]);
    assert_int_equal(w.port->ops->out_records(w.out), 6);
    assert_int_equal(writer_send(&w), 6);
    assert_int_equal(commit(w.port, w.txn), 0);
    writer_close(&w);
    struct log *log = fixture_open(*state);
    struct fetch fetch;
    struct fetch_reader reader;
    struct bytes batch;
    struct batch_header header;
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    assert_int_equal(
        partition_fetch(fixture_partition(log, "t", 0), 0, READ_COMMITTED, 4 << 20, &fetch, NULL),
        0);
    fetch_reader_start(&reader, &fetch, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fetch_reader_next_batch(&reader, &batch, &header), 1);
        assert_int_equal(header.record_count, expected[i]);
    }
    assert_int_equal(fetch_reader_next_batch(&reader, &batch, &header), 0);
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    log_close(log);
    free(large);
}

struct watcher {
    sem_t woken;
    atomic_int count;
};
static void wake(void *context)
{
    struct watcher *watcher = context;
    atomic_fetch_add(&watcher->count, 1);
    sem_post(&watcher->woken);
}

static void test_watch(void **state)
{
    struct writer w;
    struct watcher watcher;
    struct port_range range;
    atomic_init(&watcher.count, 0);
    sem_init(&watcher.woken, 0, 0);
    writer_open(&w, *state);
    int id = w.port->ops->watch(w.port, "t", 0, wake, &watcher, NULL);
    assert_true(id >= 0);
    writer_add(&w, "1");
    writer_send(&w);
    assert_int_equal(commit(w.port, w.txn), 0);
    wait_for(&watcher.woken);
    assert_int_equal(w.port->ops->settled_range(w.port, "t", 0, &range, NULL), 0);
    w.port->ops->unwatch(w.port, "t", 0, id);
    int before = atomic_load(&watcher.count);
    writer_add(&w, "2");
    writer_send(&w);
    assert_int_equal(commit(w.port, w.txn), 0);
    assert_int_equal(w.port->ops->settled_range(w.port, "t", 0, &range, NULL), 0);
    assert_true(range.stable == 4);
    writer_close(&w);
    assert_int_equal(atomic_load(&watcher.count), before);
    sem_destroy(&watcher.woken);
}

/* ---- the rest ---- */

static void test_purge(void **state)
{
    struct log *log = fixture_open(*state);
    fixture_topic(log, "t", 1, NULL);
    append_numbers(fixture_partition(log, "t", 0), 0, 10, CODEC_LZ4);
    log_close(log);
    struct port *port = open_port(*state);
    struct port_range range;
    struct port_reader *reader;
    struct source_row rows[16];
    uint32_t count;
    int64_t next;
    assert_int_equal(port->ops->purge(port, "t", 0, 11, NULL), ERR_RANGE);
    assert_int_equal(port->ops->purge(port, "t", 0, 6, NULL), 0);
    assert_int_equal(port->ops->range(port, "t", 0, &range, NULL), 0);
    assert_true(range.start == 6 && range.stable == 10);
    assert_int_equal(port->ops->reader_open(port, "t", 0, 5, &reader, NULL), 0);
    assert_int_equal(port->ops->reader_read(reader, rows, 16, &count, &next, NULL), ERR_RANGE);
    port->ops->reader_close(reader);
    assert_int_equal(port->ops->reader_open(port, "t", 0, 6, &reader, NULL), 0);
    assert_int_equal(read_some(port, reader, rows, 16), 4);
    check_numbers(rows, 4, 6);
    port->ops->reader_close(reader);
    port->ops->close(port);
}

static int64_t position_of(struct port *port, int32_t partition)
{
    int64_t offset = 99;
    assert_int_equal(port->ops->position(port, "group", "t", partition, &offset, NULL), 0);
    return offset;
}

static void test_position(void **state)
{
    struct writer w;
    writer_open(&w, *state);
    const struct port_ops *ops = w.port->ops;
    struct port_position position = {.topic = "t", .partition = 0, .offset = 17};
    assert_int_equal(position_of(w.port, 0), -1);
    for (int round = 0; round < 3; round++) {
        position.offset = 17 + round;
        assert_int_equal(ops->txn_begin(w.txn, NULL), 0);
        assert_int_equal(ops->txn_positions(w.txn, "group", &position, 1, NULL), 0);
        assert_int_equal(round == 1 ? ops->txn_abort(w.txn, NULL) : commit(w.port, w.txn), 0);
        assert_int_equal(position_of(w.port, 0), round == 2 ? 19 : 17);
    }
    assert_int_equal(position_of(w.port, 1), -1);
    writer_close(&w);
}

static void test_topics(void **state)
{
    struct port *port = open_port(*state);
    struct port_topic first, second;
    struct port_range range;
    struct diag diag = {0};
    struct port_setting by = {"weir.partitioned.by", "customer.id"};
    assert_int_equal(port->ops->topic_describe(port, "orders", &first, &diag), ERR_NOT_FOUND);
    assert_int_equal(port->ops->range(port, "orders", 0, &range, &diag), ERR_NOT_FOUND);
    assert_int_equal(port->ops->topic_create(port, "orders", 3, &by, 1, NULL), 0);
    assert_int_equal(port->ops->topic_create(port, "orders", 3, &by, 1, &diag), ERR_EXISTS);
    assert_int_equal(port->ops->topic_describe(port, "orders", &first, NULL), 0);
    assert_int_equal(first.partitions, 3);
    assert_string_equal(first.partitioned_by, "customer.id");
    assert_true(port->ops->range(port, "orders", 3, &range, &diag) < 0);
    assert_int_equal(port->ops->topic_delete(port, "orders", NULL), 0);
    assert_int_equal(port->ops->topic_create(port, "orders", 2, NULL, 0, NULL), 0);
    assert_int_equal(port->ops->topic_describe(port, "orders", &second, NULL), 0);
    assert_memory_not_equal(first.id, second.id, 16);
    assert_string_equal(second.partitioned_by, "");
    port->ops->close(port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        TEST(test_runs),
        TEST(test_small_batches_make_one_run),
        TEST(test_position_within_a_batch),
        TEST(test_aborted_and_markers_are_passed_over),
        TEST(test_round_trip),
        TEST(test_abort_and_fence),
        TEST(test_large_record_travels_alone),
        TEST(test_watch),
        TEST(test_purge),
        TEST(test_position),
        TEST(test_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
