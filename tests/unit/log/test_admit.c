/* test_admit.c: what becomes of a producer's batch before it is stored: refused with the right
 * code, stored byte for byte, or written anew with the same records. Each property is tried on
 * every way into a partition. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MINUTE_MS = 60000 };

struct setup {
    char *dir;
    struct log *log;
    struct partition *p;
    struct producer *producer; /* NULL: partition_append */
};

static void begin(struct setup *s, bool transactional, const struct config_entry *config,
                  size_t config_count)
{
    struct diag diag = {0};
    s->dir = scratch_dir_create();
    /* What is tried here does not depend on when the disk has it. */
    s->log = fixture_open_options(s->dir, &(struct log_options){.durability = DURABILITY_OS});
    s->producer = NULL;
    if (topic_create(s->log, "t", 1, config, config_count, &diag) < 0)
        fail_msg("%s", diag.text);
    s->p = fixture_partition(s->log, "t", 0);
    if (transactional)
        assert_int_equal(producer_open(s->log, "writer", &s->producer, &diag), 0);
}

static void end(struct setup *s)
{
    producer_close(s->producer);
    log_close(s->log);
    scratch_dir_remove(s->dir);
}

/* The ways in. A transaction that got nothing is aborted. */
static int append(struct setup *s, uint8_t *batch, size_t size, struct diag *diag)
{
    *diag = (struct diag){0};
    if (s->producer == NULL)
        return partition_append(s->p, batch, size, NULL, diag);
    assert_int_equal(txn_begin(s->producer, diag), 0);
    int rc = txn_append(s->producer, s->p, batch, size, NULL, diag);
    assert_int_equal(rc == 0 ? txn_commit(s->producer, NULL) : txn_abort(s->producer, NULL), 0);
    return rc;
}

static void set(struct setup *s, const char *key, const char *value)
{
    struct config_entry entry = {key, value};
    struct diag diag = {0};
    if (topic_alter(s->log, "t", &entry, 1, &diag) < 0)
        fail_msg("%s", diag.text);
}

/* ---- batches ---- */

struct expected {
    const char *key, *value; /* NULL: null */
    int64_t timestamp_ms;
    int32_t header_count;
};

static struct bytes nullable(const char *text)
{
    return text != NULL ? bytes_text(text) : bytes_of(NULL, 0);
}

/* *size bytes, malloc'ed. */
static uint8_t *build(const struct expected *records, int32_t count, enum codec codec, size_t *size)
{
    struct batch_builder builder;
    struct bytes batch;
    batch_builder_init(&builder, codec);
    for (int32_t i = 0; i < count; i++) {
        struct buf headers = {0};
        for (int32_t h = 0; h < records[i].header_count; h++)
            headers_add(&headers, h % 2 == 0 ? "even" : "odd",
                        h % 3 == 0 ? bytes_of(NULL, 0) : bytes_text("x"));
        assert_int_equal(batch_builder_add(&builder, records[i].timestamp_ms,
                                           nullable(records[i].key), nullable(records[i].value),
                                           bytes_of(headers.data, headers.size),
                                           records[i].header_count),
                         0);
        buf_deinit(&headers);
    }
    assert_int_equal(batch_builder_finish(&builder, &batch), 0);
    uint8_t *copy = malloc(batch.size);
    assert_non_null(copy);
    memcpy(copy, batch.data, batch.size);
    *size = batch.size;
    batch_builder_deinit(&builder);
    return copy;
}

enum { MIXED_COUNT = 200 };
/* Compressible, with nulls, empty texts, headers and times that go back and forth. */
static const struct expected *mixed(void)
{
    static struct expected records[MIXED_COUNT];
    static char keys[MIXED_COUNT][16], values[MIXED_COUNT][80];
    int64_t now = clock_wall_ms();
    for (int i = 0; i < MIXED_COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%d", i % 17);
        snprintf(values[i], sizeof values[i], "{\"number\":%d,\"text\":\"the same again\"}", i);
        records[i] = (struct expected){i % 5 == 0 ? "" : keys[i],
                                       i % 7 == 0   ? NULL
                                       : i % 7 == 1 ? ""
                                                    : values[i],
                                       now - (i * 7919) % 1000, i % 4};
    }
    return records;
}

static int64_t largest_time(const struct expected *records, int32_t count)
{
    int64_t largest = INT64_MIN;
    for (int32_t i = 0; i < count; i++)
        if (records[i].timestamp_ms > largest)
            largest = records[i].timestamp_ms;
    return largest;
}

/* Reads the batch at offset and checks that it is whole and holds the records. log_append_time: all
 * have the header's time. */
static struct batch_header check_stored(struct setup *s, int64_t offset,
                                        const struct expected *records, int32_t count,
                                        bool log_append_time)
{
    struct fetch fetch;
    struct record_reader reader;
    struct record record;
    struct batch_header header;
    struct buf plain = {0};
    struct diag diag = {0};
    fetch_init(&fetch);
    assert_int_equal(partition_wait(s->p, offset + count, -1), 0);
    if (partition_fetch(s->p, offset, READ_UNCOMMITTED, 1, &fetch, &diag) < 0)
        fail_msg("%s", diag.text);
    struct bytes batch = bytes_of(fetch.bytes.data, fetch.bytes.size);
    assert_int_equal(batch_parse_header(batch, &header, &diag), 0);
    batch.size = (size_t)header.size_bytes; /* a marker may have come with it */
    if (batch_validate(batch, BATCH_PLAIN_LIMIT_BYTES, &plain, &diag) < 0)
        fail_msg("what was stored is no valid batch: %s", diag.text);
    assert_int_equal(record_reader_open(&reader, batch, BATCH_PLAIN_LIMIT_BYTES, &plain, &diag), 0);
    assert_int_equal(header.base_offset, offset);
    assert_int_equal(header.base_timestamp_ms, records[0].timestamp_ms);
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(record_reader_next(&reader, &record), 1);
        assert_int_equal(record.offset, offset + i);
        assert_true(bytes_equal(record.key, nullable(records[i].key)));
        assert_true(bytes_equal(record.value, nullable(records[i].value)));
        assert_int_equal(record.header_count, records[i].header_count);
        assert_int_equal(record.timestamp_ms,
                         log_append_time ? header.max_timestamp_ms : records[i].timestamp_ms);
        for (int32_t h = 0; h < record.header_count; h++) {
            struct header one;
            assert_int_equal(header_take(&record.headers, &one), 0);
            assert_true(bytes_equal(one.key, bytes_text(h % 2 == 0 ? "even" : "odd")));
            assert_true(bytes_equal(one.value, h % 3 == 0 ? bytes_of(NULL, 0) : bytes_text("x")));
        }
    }
    assert_int_equal(record_reader_next(&reader, &record), 0);
    buf_deinit(&plain);
    fetch_deinit(&fetch);
    return header;
}

/* ---- compression.type ---- */

static const char *const type_names[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};

static void codecs(bool transactional)
{
    struct setup s;
    struct diag diag;
    begin(&s, transactional, NULL, 0);
    const struct expected *records = mixed();
    int64_t offset = 0;
    int64_t sender = 4000; /* another for each batch: from one it would be a retry */
    for (int from = CODEC_NONE; from <= CODEC_ZSTD; from++)
        for (int to = COMPRESSION_PRODUCER; to <= CODEC_ZSTD; to++) {
            set(&s, "compression.type", to < 0 ? "producer" : type_names[to]);
            size_t size;
            uint8_t *batch = build(records, MIXED_COUNT, (enum codec)from, &size);
            if (!transactional)
                batch_set_producer(batch, ++sender, 2, 77, false);
            if (append(&s, batch, size, &diag) < 0)
                fail_msg("%s", diag.text);
            free(batch);
            struct batch_header header = check_stored(&s, offset, records, MIXED_COUNT, false);
            assert_int_equal(header.attributes & BATCH_ATTR_CODEC, to < 0 ? from : to);
            assert_int_equal(header.max_timestamp_ms, largest_time(records, MIXED_COUNT));
            assert_int_equal((header.attributes & BATCH_ATTR_TRANSACTIONAL) != 0, transactional);
            assert_int_equal(header.producer_id, transactional ? producer_id(s.producer) : sender);
            assert_int_equal(header.producer_epoch, transactional ? 0 : 2);
            if (!transactional)
                assert_int_equal(header.base_sequence, 77);
            if (to < 0 || to == from)
                assert_int_equal(header.size_bytes, size);
            offset += MIXED_COUNT + transactional; /* a marker follows */
        }
    end(&s);
}

static void test_codecs(void **state)
{
    (void)state;
    codecs(false);
}

static void test_codecs_in_a_transaction(void **state)
{
    (void)state;
    codecs(true);
}

/* The codec that the topic names is used even where it does not help, as Kafka does. */
static void test_codec_that_does_not_shrink(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    struct config_entry config = {"compression.type", "zstd"};
    begin(&s, false, &config, 1);
    const struct expected tiny = {"k", "v", clock_wall_ms(), 0};
    size_t size;
    uint8_t *batch = build(&tiny, 1, CODEC_NONE, &size);
    assert_int_equal(append(&s, batch, size, &diag), 0);
    struct batch_header header = check_stored(&s, 0, &tiny, 1, false);
    assert_int_equal(header.attributes & BATCH_ATTR_CODEC, CODEC_ZSTD);
    assert_true((size_t)header.size_bytes > size);
    free(batch);
    end(&s);
}

/* Batches far larger and far smaller than those before them, through the memory of one thread. */
static void test_large_and_small_in_turn(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    size_t size;
    enum { LARGE_BYTES = 9 << 20 };
    struct config_entry config = {"compression.type", "gzip"};
    char *text = malloc(LARGE_BYTES + 1);
    assert_non_null(text);
    memset(text, 'x', LARGE_BYTES);
    text[LARGE_BYTES] = '\0';
    begin(&s, false, &config, 1);
    for (int i = 0; i < 4; i++) {
        const struct expected record = {"k", i % 2 == 0 ? text : "v", clock_wall_ms(), 1};
        uint8_t *batch = build(&record, 1, i < 2 ? CODEC_NONE : CODEC_LZ4, &size);
        assert_int_equal(append(&s, batch, size, &diag), 0);
        struct batch_header header = check_stored(&s, i, &record, 1, false);
        assert_true(header.size_bytes < 100000);
        free(batch);
    }
    free(text);
    end(&s);
}

/* max.message.bytes counts what is stored. */
static void test_size_limit(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    char limit[32];
    size_t size;
    for (int transactional = 0; transactional <= 1; transactional++) {
        begin(&s, transactional, NULL, 0);
        const struct expected *records = mixed();
        uint8_t *batch = build(records, MIXED_COUNT, CODEC_NONE, &size);
        snprintf(limit, sizeof limit, "%zu", size - 1);
        set(&s, "max.message.bytes", limit);
        assert_int_equal(append(&s, batch, size, &diag), ERR_TOO_LARGE);
        assert_non_null(strstr(diag.text, "max.message.bytes"));
        snprintf(limit, sizeof limit, "%zu", size);
        set(&s, "max.message.bytes", limit);
        assert_int_equal(append(&s, batch, size, &diag), 0);
        /* What came is too large, what is stored is not; then to the byte. */
        struct partition_offsets offsets;
        set(&s, "compression.type", "gzip");
        snprintf(limit, sizeof limit, "%zu", size / 2);
        set(&s, "max.message.bytes", limit);
        partition_offsets(s.p, &offsets);
        assert_int_equal(append(&s, batch, size, &diag), 0);
        struct batch_header header = check_stored(&s, offsets.end, records, MIXED_COUNT, false);
        snprintf(limit, sizeof limit, "%d", header.size_bytes);
        set(&s, "max.message.bytes", limit);
        assert_int_equal(append(&s, batch, size, &diag), 0);
        snprintf(limit, sizeof limit, "%d", header.size_bytes - 1);
        set(&s, "max.message.bytes", limit);
        partition_offsets(s.p, &offsets);
        assert_int_equal(append(&s, batch, size, &diag), ERR_TOO_LARGE);
        /* Small enough as it came, too large plain. */
        free(batch);
        batch = build(records, MIXED_COUNT, CODEC_GZIP, &size);
        set(&s, "compression.type", "uncompressed");
        snprintf(limit, sizeof limit, "%zu", size);
        set(&s, "max.message.bytes", limit);
        assert_int_equal(append(&s, batch, size, &diag), ERR_TOO_LARGE);
        struct partition_offsets after;
        partition_offsets(s.p, &after);
        assert_int_equal(after.end, offsets.end);
        free(batch);
        end(&s);
    }
}

/* ---- timestamps ---- */

static int append_times(struct setup *s, const int64_t *times, int32_t count, struct diag *diag)
{
    struct expected records[8];
    size_t size;
    for (int32_t i = 0; i < count; i++)
        records[i] = (struct expected){"k", "v", times[i], 0};
    uint8_t *batch = build(records, count, CODEC_NONE, &size);
    int rc = append(s, batch, size, diag);
    free(batch);
    return rc;
}

static void test_time_limits(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    for (int transactional = 0; transactional <= 1; transactional++) {
        struct config_entry config[] = {{"message.timestamp.after.max.ms", "600000"}};
        begin(&s, transactional, config, 1);
        int64_t now = clock_wall_ms();
        int64_t soon = now + 9 * MINUTE_MS, late = now + 11 * MINUTE_MS;
        int64_t recent = now - 9 * MINUTE_MS, old = now - 11 * MINUTE_MS;
        assert_int_equal(append_times(&s, (int64_t[]){old, now, 0, soon}, 4, &diag), 0);
        assert_int_equal(append_times(&s, (int64_t[]){now, late, now}, 3, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.text, "message.timestamp.after.max.ms"));
        assert_int_equal(append_times(&s, &(int64_t){INT64_MAX}, 1, &diag), ERR_INVALID);
        /* The other end, from the next append on. One record in the middle is enough. */
        set(&s, "message.timestamp.before.max.ms", "600000");
        assert_int_equal(append_times(&s, (int64_t[]){now, recent, soon}, 3, &diag), 0);
        assert_int_equal(append_times(&s, (int64_t[]){now, old, now}, 3, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.text, "message.timestamp.before.max.ms"));
        assert_int_equal(append_times(&s, &(int64_t){INT64_MIN}, 1, &diag), ERR_INVALID);
        assert_int_equal(append_times(&s, (int64_t[]){now, -1}, 2, &diag), 0); /* -1: none */
        /* With LogAppendTime nobody asks. */
        set(&s, "message.timestamp.type", "LogAppendTime");
        assert_int_equal(append_times(&s, (int64_t[]){old, late}, 2, &diag), 0);
        set(&s, "message.timestamp.type", NULL);
        set(&s, "message.timestamp.before.max.ms", NULL);
        assert_int_equal(append_times(&s, &old, 1, &diag), 0);
        set(&s, "message.timestamp.after.max.ms", "9223372036854775807");
        assert_int_equal(append_times(&s, (int64_t[]){INT64_MIN, INT64_MAX}, 2, &diag), 0);
        end(&s);
    }
}

static int64_t noon(void)
{
    return 1700000000000;
}

/* With a clock that stands still the limits hold to the millisecond, and the stamp is its time. */
static void test_time_limits_to_the_millisecond(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    struct config_entry config[] = {{"message.timestamp.after.max.ms", "5"},
                                    {"message.timestamp.before.max.ms", "3"}};
    begin(&s, false, config, 2);
    clock_wall_replace(noon);
    int64_t now = noon();
    assert_int_equal(append_times(&s, (int64_t[]){now, now - 3, now + 5}, 3, &diag), 0);
    assert_int_equal(append_times(&s, (int64_t[]){now, now + 6}, 2, &diag), ERR_INVALID);
    assert_int_equal(append_times(&s, (int64_t[]){now, now - 4}, 2, &diag), ERR_INVALID);
    set(&s, "message.timestamp.after.max.ms", "0");
    set(&s, "message.timestamp.before.max.ms", "0");
    assert_int_equal(append_times(&s, (int64_t[]){now, now}, 2, &diag), 0);
    assert_int_equal(append_times(&s, &(int64_t){now + 1}, 1, &diag), ERR_INVALID);
    assert_int_equal(append_times(&s, &(int64_t){now - 1}, 1, &diag), ERR_INVALID);
    set(&s, "message.timestamp.type", "LogAppendTime");
    assert_int_equal(append_times(&s, (int64_t[]){5, 6}, 2, &diag), 0);
    const struct expected stamped[] = {{"k", "v", 5, 0}, {"k", "v", 6, 0}};
    assert_int_equal(check_stored(&s, 5, stamped, 2, true).max_timestamp_ms, now);
    clock_wall_replace(NULL);
    end(&s);
}

static void test_log_append_time(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    size_t size;
    for (int transactional = 0; transactional <= 1; transactional++)
        for (int to = COMPRESSION_PRODUCER; to <= CODEC_ZSTD; to++) {
            struct config_entry config[] = {
                {"message.timestamp.type", "LogAppendTime"},
                {"compression.type", to < 0 ? "producer" : type_names[to]}};
            begin(&s, transactional, config, 2);
            const struct expected *records = mixed();
            int64_t offset = 0, last = clock_wall_ms();
            for (int i = 0; i < 3; i++, offset += MIXED_COUNT + transactional) {
                uint8_t *batch = build(records, MIXED_COUNT, CODEC_LZ4, &size);
                assert_int_equal(append(&s, batch, size, &diag), 0);
                struct batch_header header = check_stored(&s, offset, records, MIXED_COUNT, true);
                assert_true((header.attributes & BATCH_ATTR_LOG_APPEND_TIME) != 0);
                assert_true(header.max_timestamp_ms >= last &&
                            header.max_timestamp_ms <= clock_wall_ms());
                last = header.max_timestamp_ms;
                free(batch);
            }
            /* The time index knows the time of the append, too. */
            int64_t found, found_ms;
            assert_int_equal(partition_find_time(s.p, last + 1, &found, &found_ms, &diag), 0);
            assert_true(found == -1 || transactional);
            end(&s);
        }
}

/* An append that failed after the stamp is tried again with the same bytes, by then perhaps in a
 * topic that wants the producer's times. */
static void test_a_stamp_is_taken_back(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    size_t size;
    for (int transactional = 0; transactional <= 1; transactional++) {
        begin(&s, transactional, NULL, 0);
        const struct expected *records = mixed();
        uint8_t *batch = build(records, MIXED_COUNT, CODEC_LZ4, &size);
        for (int i = 0; i < 2; i++) {
            int64_t offset = i * (MIXED_COUNT + transactional);
            batch_set_time(batch, true, clock_wall_ms() + 5 * MINUTE_MS);
            if (i == 1)
                set(&s, "compression.type", "gzip");
            assert_int_equal(append(&s, batch, size, &diag), 0);
            struct batch_header header = check_stored(&s, offset, records, MIXED_COUNT, false);
            assert_int_equal(header.attributes & BATCH_ATTR_LOG_APPEND_TIME, 0);
            assert_int_equal(header.max_timestamp_ms, largest_time(records, MIXED_COUNT));
        }
        free(batch);
        /* What the stamp hid is still looked at. */
        const struct expected late = {"k", "v", clock_wall_ms() + 70 * MINUTE_MS, 0};
        batch = build(&late, 1, CODEC_NONE, &size);
        batch_set_time(batch, true, clock_wall_ms());
        assert_int_equal(append(&s, batch, size, &diag), ERR_INVALID);
        free(batch);
        end(&s);
    }
}

/* ---- keys ---- */

static void test_compacted_topics_want_keys(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    int64_t now = clock_wall_ms();
    const struct expected keyed[] = {{"a", "1", now, 0}, {"", "2", now, 1}, {"c", NULL, now, 0}};
    const struct expected holed[] = {{"a", "1", now, 0}, {NULL, "2", now, 0}, {"c", "3", now, 0}};
    size_t keyed_size, holed_size;
    for (int transactional = 0; transactional <= 1; transactional++)
        for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
            begin(&s, transactional, NULL, 0);
            uint8_t *with = build(keyed, 3, (enum codec)codec, &keyed_size);
            uint8_t *without = build(holed, 3, (enum codec)codec, &holed_size);
            assert_int_equal(append(&s, without, holed_size, &diag), 0);
            set(&s, "cleanup.policy", codec % 2 == 0 ? "compact" : "compact,delete");
            assert_int_equal(append(&s, without, holed_size, &diag), ERR_INVALID);
            assert_non_null(strstr(diag.text, "record 1 of a batch for t-0 has no key"));
            assert_int_equal(append(&s, with, keyed_size, &diag), 0);
            set(&s, "cleanup.policy", "delete");
            assert_int_equal(append(&s, without, holed_size, &diag), 0);
            free(with);
            free(without);
            end(&s);
        }
}

/* Records that had to be read for the keys are checked in full: no broken one is stored. */
static void test_broken_records(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    size_t size;
    static const struct config_entry configs[] = {{"cleanup.policy", "compact"},
                                                  {"compression.type", "lz4"},
                                                  {"message.timestamp.before.max.ms", "1000000"}};
    int64_t now = clock_wall_ms();
    const struct expected records[] = {{"a", "1", now, 0}, {"b", "2", now, 0}};
    for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
        begin(&s, false, &configs[c], 1);
        uint8_t *good = build(records, 2, CODEC_NONE, &size);
        for (size_t at = BATCH_HEADER_BYTES; at < size; at++)
            for (int bit = 0; bit < 8; bit++) {
                uint8_t *batch = malloc(size);
                assert_non_null(batch);
                memcpy(batch, good, size);
                batch[at] ^= (uint8_t)(1 << bit);
                batch_set_producer(batch, -1, -1, -1, false); /* a CRC that is right */
                int rc = append(&s, batch, size, &diag);
                assert_true(rc == 0 || rc == ERR_CORRUPT || rc == ERR_INVALID);
                struct record_reader reader;
                struct record record;
                int read = record_reader_open(&reader, bytes_of(good, size), size, NULL, NULL);
                reader.rest = bytes_of(batch + BATCH_HEADER_BYTES, size - BATCH_HEADER_BYTES);
                while (read >= 0 && (read = record_reader_next(&reader, &record)) == 1)
                    ;
                if (read < 0)
                    assert_int_equal(rc, ERR_CORRUPT);
                free(batch);
            }
        free(good);
        end(&s);
    }
}

static void test_refused_headers(void **state)
{
    (void)state;
    struct setup s;
    struct diag diag;
    size_t size;
    const struct expected records[] = {{"a", "1", clock_wall_ms(), 0}, {"b", "2", 5, 0}};
    begin(&s, false, NULL, 0);
    static const struct {
        int at;
        uint8_t value;
        int code;
    } cases[] = {
        {16, 1, ERR_CORRUPT},                  /* magic */
        {22, BATCH_ATTR_CONTROL, ERR_INVALID}, /* only the log writes these */
        {22, BATCH_ATTR_DELETE_HORIZON, ERR_INVALID},
        {22, BATCH_ATTR_TRANSACTIONAL, ERR_INVALID}, /* txn_append's */
        {22, 5, ERR_UNSUPPORTED},                    /* a codec that is none */
        {22, 7, ERR_UNSUPPORTED},
        {26, 2, ERR_INVALID}, /* last offset delta: three offsets, two records */
        {26, 0, ERR_CORRUPT}, /* fewer offsets than records */
        {60, 1, ERR_INVALID}, /* one record for two offsets */
        {11, 0, ERR_CORRUPT}, /* length */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *batch = build(records, 2, CODEC_NONE, &size);
        batch[cases[i].at] = cases[i].value;
        if (cases[i].at > 20)
            store_be32(batch + 17, crc32c(batch + 21, size - 21));
        assert_int_equal(append(&s, batch, size, &diag), cases[i].code);
        assert_true(diag.text[0] != '\0');
        free(batch);
    }
    uint8_t *batch = build(records, 2, CODEC_NONE, &size);
    batch_set_producer(batch, 9, 0, -1, false);
    assert_int_equal(append(&s, batch, size, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "sequence -1"));
    struct partition_offsets offsets;
    partition_offsets(s.p, &offsets);
    assert_int_equal(offsets.end, 0);
    free(batch);
    end(&s);
}

/* One bit that is wrong anywhere behind the CRC is found on every way into a partition, whatever
 * the topic does with batches, and nothing of the batch is stored. */
static void bug_06_every_append_path_checks_the_crc(void **state)
{
    (void)state;
    static const struct config_entry configs[] = {
        {"cleanup.policy", "delete"},
        {"cleanup.policy", "compact"},
        {"compression.type", "zstd"},
        {"compression.type", "uncompressed"},
        {"message.timestamp.type", "LogAppendTime"},
        {"message.timestamp.before.max.ms", "100000000"},
    };
    struct setup s;
    struct diag diag;
    size_t size;
    int64_t now = clock_wall_ms();
    const struct expected records[] = {{"a", "some text", now, 1}, {"b", "2", now, 0}};
    for (int transactional = 0; transactional <= 1; transactional++)
        for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
            begin(&s, transactional, &configs[c], 1);
            uint8_t *batch = build(records, 2, CODEC_NONE, &size);
            for (size_t at = 17; at < size; at++) {
                batch[at] ^= 0x10;
                assert_true(append(&s, batch, size, &diag) < 0);
                if (at < 21 || at >= BATCH_HEADER_BYTES) /* no field is wrong but the CRC */
                    assert_int_equal(diag.code, ERR_CORRUPT);
                batch[at] ^= 0x10;
            }
            struct partition_offsets offsets;
            partition_offsets(s.p, &offsets);
            assert_int_equal(offsets.end, 0);
            assert_int_equal(append(&s, batch, size, &diag), 0);
            free(batch);
            end(&s);
        }
}

/* ---- altered while it runs ---- */

struct writer {
    struct setup *s;
    int64_t appended;
    atomic_bool stop;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    const struct expected record = {"k", "a value that is a value that is a value", 1000, 0};
    size_t size;
    struct diag diag;
    while (!atomic_load(&writer->stop)) {
        uint8_t *batch = build(&record, 1, CODEC_NONE, &size);
        must(partition_append(writer->s->p, batch, size, NULL, &diag) == 0);
        writer->appended++;
        free(batch);
    }
    return NULL;
}

/* Keys change under a writer: each batch is stored by one set of values, and read back whole. */
static void test_alter_under_a_writer(void **state)
{
    (void)state;
    struct setup s;
    begin(&s, false, NULL, 0);
    struct writer writer = {.s = &s};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int i = 0; i < 60; i++) {
        set(&s, "compression.type", type_names[i % 5]);
        set(&s, "message.timestamp.type", i % 2 == 0 ? "LogAppendTime" : "CreateTime");
        set(&s, "segment.bytes", i % 3 == 0 ? "1000" : "100000");
        set(&s, "segment.index.bytes", i % 3 == 0 ? "12" : "1000");
    }
    atomic_store(&writer.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct fixture_record *read;
    assert_int_equal(partition_wait(s.p, writer.appended, -1), 0);
    assert_int_equal(fixture_read(s.p, 0, READ_COMMITTED, 100000, &read), writer.appended);
    free(read);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_codecs_in_a_transaction),
        cmocka_unit_test(test_codec_that_does_not_shrink),
        cmocka_unit_test(test_large_and_small_in_turn),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_time_limits),
        cmocka_unit_test(test_time_limits_to_the_millisecond),
        cmocka_unit_test(test_log_append_time),
        cmocka_unit_test(test_a_stamp_is_taken_back),
        cmocka_unit_test(test_compacted_topics_want_keys),
        cmocka_unit_test(test_broken_records),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(bug_06_every_append_path_checks_the_crc),
        cmocka_unit_test(test_alter_under_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
