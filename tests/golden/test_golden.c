/* test_golden.c: data directories that earlier versions wrote still open, and hold what they held.
 *
 * For each tests/golden/NAME.tar.gz a copy is opened, closed and opened again. Every record must be
 * there, byte for byte, as NAME.ndjson.gz says (decoded by tests/support/kafka_files.py when the
 * archive was made): read uncommitted shows all of them from the start offset on, read committed
 * those that are plain or whose transaction was committed. Beside them NAME.facts must hold:
 * topics, their configuration, starts and ends, group offsets, producers. Then the copy must still
 * take new records and transactions. */
#include "log/log.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINE_BYTES = 1 << 16, NAME_BYTES = 256 };

struct golden {
    char base[4096]; /* tests/golden/NAME */
    struct log *log;
};

/* Runs a shell command made from a format; ends the test when it fails. */
static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[3 * 4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && (size_t)length < sizeof command);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* ---- records ---- */

static void put_hex(struct buf *line, struct bytes data)
{
    if (data.data == NULL) {
        buf_printf(line, "null");
        return;
    }
    buf_printf(line, "\"");
    for (size_t i = 0; i < data.size; i++)
        buf_printf(line, "%02x", data.data[i]);
    buf_printf(line, "\"");
}

/* A record as the expected file spells it, without its fate. */
static void put_record(struct buf *line, const char *topic, int32_t partition,
                       const struct record *record)
{
    struct bytes headers = record->headers;
    buf_clear(line);
    buf_printf(line,
               "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%" PRId64 ",\"timestamp\":%" PRId64
               ",\"key\":",
               topic, partition, record->offset, record->timestamp_ms);
    put_hex(line, record->key);
    buf_printf(line, ",\"value\":");
    put_hex(line, record->value);
    buf_printf(line, ",\"headers\":[");
    for (int32_t i = 0; i < record->header_count; i++) {
        struct header header;
        assert_int_equal(header_take(&headers, &header), 0);
        buf_printf(line, "%s[\"%.*s\",", i > 0 ? "," : "", (int)header.key.size,
                   (const char *)header.key.data);
        put_hex(line, header.value);
        buf_printf(line, "]");
    }
    buf_printf(line, "],\"fate\":\"");
    assert_true(buf_ok(line));
}

/* The next expected line of the partition at or above start that the isolation shows; NULL: none.
 */
static char *next_expected(FILE *expected, const char *topic, int32_t partition, int64_t start,
                           enum isolation isolation)
{
    static char text[LINE_BYTES];
    char prefix[NAME_BYTES + 64];
    int length = snprintf(prefix, sizeof prefix,
                          "{\"topic\":\"%s\",\"partition\":%d,\"offset\":", topic, partition);
    while (fgets(text, sizeof text, expected) != NULL) {
        bool is_shown = isolation == READ_UNCOMMITTED ||
                        strstr(text, "\"fate\":\"plain\"") != NULL ||
                        strstr(text, "\"fate\":\"committed\"") != NULL;
        if (is_shown && strncmp(text, prefix, (size_t)length) == 0 && atoll(text + length) >= start)
            return text;
    }
    return NULL;
}

static void compare_partition(struct golden *golden, const char *topic, int32_t index,
                              enum isolation isolation, const char *expected_path,
                              int64_t *compared)
{
    struct partition *partition = fixture_partition(golden->log, topic, index);
    struct partition_offsets offsets;
    struct fetch fetch;
    struct fetch_reader reader;
    struct record record;
    struct buf line;
    struct diag diag = {0};
    FILE *expected = fopen(expected_path, "r");
    assert_non_null(expected);
    partition_offsets(partition, &offsets);
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    buf_init(&line, 0);
    for (int64_t at = offsets.start;; at = fetch.next_offset) {
        if (partition_fetch(partition, at, isolation, 1500, &fetch, &diag) < 0)
            fail_msg("%s-%d: %s", topic, index, diag.text);
        if (fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        while (fetch_reader_next(&reader, &record) == 1) {
            char *want = next_expected(expected, topic, index, offsets.start, isolation);
            put_record(&line, topic, index, &record);
            if (want == NULL || strncmp(want, (char *)line.data, line.size) != 0)
                fail_msg("%s-%d has\n%.*s\ninstead of\n%s", topic, index, (int)line.size,
                         (char *)line.data, want != NULL ? want : "the end");
            ++*compared;
        }
    }
    char *rest = next_expected(expected, topic, index, offsets.start, isolation);
    if (rest != NULL)
        fail_msg("%s-%d ends at %" PRId64 " without\n%s", topic, index, offsets.end, rest);
    fclose(expected);
    buf_deinit(&line);
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
}

static void compare_records(struct golden *golden, const char *expected_path)
{
    struct topic_info *topics;
    size_t count;
    int64_t compared = 0;
    assert_int_equal(topic_list(golden->log, &topics, &count), 0);
    assert_true(count > 0);
    for (size_t t = 0; t < count; t++)
        for (int32_t i = 0; i < topics[t].partitions; i++) {
            compare_partition(golden, topics[t].name, i, READ_UNCOMMITTED, expected_path,
                              &compared);
            compare_partition(golden, topics[t].name, i, READ_COMMITTED, expected_path, &compared);
        }
    free(topics);
    assert_true(compared > 200);
    print_message("%s: %" PRId64 " records compared\n", golden->base, compared);
}

/* ---- facts ---- */

static void check_group(struct golden *golden, const char *group, const char *topic,
                        int32_t partition, int64_t offset, const char *metadata)
{
    struct group_offset *offsets;
    size_t count, i = 0;
    assert_int_equal(group_describe(golden->log, group, &offsets, &count), 0);
    while (i < count && (strcmp(offsets[i].topic, topic) != 0 || offsets[i].partition != partition))
        i++;
    assert_true(i < count);
    assert_int_equal(offsets[i].offset, offset);
    assert_int_equal(offsets[i].metadata.size, strlen(metadata));
    assert_memory_equal(offsets[i].metadata.data, metadata, strlen(metadata));
    free(offsets);
}

/* A batch with these numbers was stored: sent again it gets the old offset, and nothing is appended. */
static void check_numbered(struct golden *golden, const char *topic, int64_t id, int epoch,
                           int sequence, int count, int64_t offset)
{
    struct partition *partition = fixture_partition(golden->log, topic, 0);
    struct partition_offsets before, after;
    size_t size;
    int64_t base = -1;
    uint8_t *batch = fixture_batch(0, count, 1, 1700000000000, &size);
    batch_set_producer(batch, id, (int16_t)epoch, sequence, false);
    partition_offsets(partition, &before);
    assert_int_equal(partition_append(partition, batch, size, &base, NULL), 0);
    partition_offsets(partition, &after);
    assert_int_equal(base, offset);
    assert_int_equal(after.end, before.end);
    free(batch);
}

/* The lines of make_golden; opening is 1 for the first opening of the copy. */
static void check_fact(struct golden *golden, const char *fact, int opening)
{
    char a[NAME_BYTES], b[NAME_BYTES], text[NAME_BYTES] = "";
    int64_t number;
    int partition, epoch, sequence, count;
    struct topic_info info;
    struct partition_offsets offsets;
    if (sscanf(fact, "topic %255s %d", a, &partition) == 2) {
        assert_int_equal(topic_describe(golden->log, a, &info, NULL), 0);
        assert_int_equal(info.partitions, partition);
    } else if (sscanf(fact, "config %255s %255s %255s", a, b, text) == 3) {
        char value[NAME_BYTES];
        assert_int_equal(topic_config_get(golden->log, a, b, value, sizeof value), 0);
        assert_string_equal(value, text);
    } else if (sscanf(fact, "start %255s %d %" SCNd64, a, &partition, &number) == 3) {
        partition_offsets(fixture_partition(golden->log, a, partition), &offsets);
        assert_int_equal(offsets.start, number);
    } else if (sscanf(fact, "end %255s %d %" SCNd64, a, &partition, &number) == 3) {
        partition_offsets(fixture_partition(golden->log, a, partition), &offsets);
        assert_true(offsets.end == number || offsets.end == number + 1); /* an abort marker */
        assert_int_equal(offsets.stable, offsets.end);
        assert_int_equal(partition_status(fixture_partition(golden->log, a, partition), NULL), 0);
    } else if (sscanf(fact, "group %255s %255s %d %" SCNd64 " %255[^\n]", a, b, &partition, &number,
                      text) >= 4) {
        check_group(golden, a, b, partition, number, text);
    } else if (sscanf(fact, "gone %255s", a) == 1) {
        assert_int_equal(topic_describe(golden->log, a, NULL, NULL), ERR_NOT_FOUND);
    } else if (sscanf(fact, "producer %255s %" SCNd64 " %d", a, &number, &partition) == 3) {
        /* Its open transaction was aborted with a newer epoch when the log was opened; each open of
         * the producer takes one more. */
        struct producer *producer;
        assert_int_equal(producer_open(golden->log, a, &producer, NULL), 0);
        assert_int_equal(producer_id(producer), number);
        assert_true(producer_epoch(producer) >= partition + 1 + opening);
        producer_close(producer);
    } else if (sscanf(fact, "numbered %255s %" SCNd64 " %d %d %d %d", a, &number, &epoch, &sequence,
                      &count, &partition) == 6) {
        check_numbered(golden, a, number, epoch, sequence, count, partition);
    } else {
        fail_msg("unknown fact: %s", fact);
    }
}

static void check_facts(struct golden *golden, int opening)
{
    char path[8192], fact[4 * NAME_BYTES];
    snprintf(path, sizeof path, "%s.facts", golden->base);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(fact, sizeof fact, file) != NULL)
        check_fact(golden, fact, opening);
    fclose(file);
}

/* ---- one archive ---- */

/* The old directory takes new records, also of a transaction, and keeps them. */
static void write_more(struct golden *golden, const char *dir)
{
    struct topic_info *topics;
    size_t count;
    struct producer *producer;
    struct partition_offsets before, after;
    assert_int_equal(topic_list(golden->log, &topics, &count), 0);
    struct partition *partition = fixture_partition(golden->log, topics[0].name, 0);
    partition_offsets(partition, &before);
    assert_int_equal(producer_open(golden->log, "golden-tx", &producer, NULL), 0);
    assert_int_equal(txn_begin(producer, NULL), 0);
    assert_int_equal(fixture_txn_append(producer, partition, 1, 2), before.end);
    assert_int_equal(txn_commit(producer, NULL), 0);
    assert_int_equal(fixture_append(partition, 1, 2), before.end + 3);
    producer_close(producer);
    log_close(golden->log);
    golden->log = fixture_open(dir);
    partition_offsets(fixture_partition(golden->log, topics[0].name, 0), &after);
    assert_int_equal(after.stable, before.end + 5);
    free(topics);
}

/* Producers of then are remembered, however long ago that was. */
static struct log *open_copy(const char *dir)
{
    return fixture_open_options(dir, &(struct log_options){.producer_expiry_ms = INT64_MAX});
}

static void open_golden(const char *base)
{
    struct golden golden;
    char *scratch = scratch_dir_create(), *dir = scratch_path(scratch, "data"),
         *expected = scratch_path(scratch, "expected.ndjson");
    snprintf(golden.base, sizeof golden.base, "%s", base);
    shell("tar --extract --gzip --file '%s.tar.gz' --directory '%s'", base, scratch);
    shell("gzip -dc '%s.ndjson.gz' >'%s'", base, expected);
    for (int opening = 0; opening < 2; opening++) {
        golden.log = open_copy(dir);
        compare_records(&golden, expected);
        check_facts(&golden, opening);
        log_close(golden.log);
    }
    golden.log = fixture_open(dir);
    write_more(&golden, dir);
    log_close(golden.log);
    free(expected);
    free(dir);
    scratch_dir_remove(scratch);
}

static void test_golden_directories(void **state)
{
    (void)state;
    const char *source = getenv("WEIR_SOURCE_DIR");
    char folder[2048];
    int opened = 0;
    snprintf(folder, sizeof folder, "%s/tests/golden", source != NULL ? source : ".");
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        char base[4096];
        char *suffix = strstr(entry->d_name, ".tar.gz");
        if (suffix == NULL)
            continue;
        snprintf(base, sizeof base, "%s/%.*s", folder, (int)(suffix - entry->d_name),
                 entry->d_name);
        open_golden(base);
        opened++;
    }
    closedir(stream);
    assert_true(opened > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_directories)};
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
