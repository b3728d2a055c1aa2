/* interop_read.c: reads the segment files of one partition, whoever wrote them, with the log's own
 * decoders, and prints what they hold.
 *
 *   interop_read FILE.log…       in the order of their offsets
 *
 *   {"kind":"record","offset":…,"timestamp":…,"key":hex|null,"value":hex|null,"headers":[[name,hex|null]…],
 *    "fate":"plain"|"committed"|"aborted"|"open"}
 *
 * A transactional record's fate stands in the marker that follows it, so the files are walked
 * twice: first for the markers, then for the records. Offsets must ascend; compaction may have left
 * gaps between and inside batches, batches without records, and markers whose records are gone.
 * Anything that is not a whole valid batch is an error. */
#include "log/log.h"
#include "runtime/base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT_BYTES ((size_t)1 << 30)

struct span { /* records of a producer from first up to the marker */
    int64_t producer_id, marker_offset;
    bool commit;
};

struct reader {
    struct span *spans;
    size_t span_count, span_capacity;
    int64_t next_offset;
    struct buf plain;
    bool printing;
};

static void fail(const char *path, int64_t position, const char *why)
{
    fprintf(stderr, "interop_read: %s: byte %" PRId64 ": %s\n", path, position, why);
    exit(1);
}

/* ---- fates ---- */

static void add_span(struct reader *reader, const struct batch_header *header, bool commit)
{
    if (reader->span_count == reader->span_capacity) {
        reader->span_capacity = reader->span_capacity == 0 ? 64 : reader->span_capacity * 2;
        reader->spans = realloc(reader->spans, reader->span_capacity * sizeof *reader->spans);
        must(reader->spans != NULL);
    }
    reader->spans[reader->span_count++] =
        (struct span){header->producer_id, header->base_offset, commit};
}

/* Decided by the producer's first marker after the record. */
static const char *fate_of(const struct reader *reader, const struct batch_header *header)
{
    if ((header->attributes & BATCH_ATTR_TRANSACTIONAL) == 0)
        return "plain";
    for (size_t i = 0; i < reader->span_count; i++)
        if (reader->spans[i].producer_id == header->producer_id &&
            reader->spans[i].marker_offset > header->base_offset)
            return reader->spans[i].commit ? "committed" : "aborted";
    return "open";
}

/* ---- printing ---- */

static void print_hex(struct bytes data)
{
    if (data.data == NULL) {
        printf("null");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < data.size; i++)
        printf("%02x", data.data[i]);
    putchar('"');
}

static void print_record(const struct record *record, const char *fate)
{
    struct bytes headers = record->headers;
    printf("{\"kind\":\"record\",\"offset\":%" PRId64 ",\"timestamp\":%" PRId64 ",\"key\":",
           record->offset, record->timestamp_ms);
    print_hex(record->key);
    printf(",\"value\":");
    print_hex(record->value);
    printf(",\"headers\":[");
    for (int32_t i = 0; i < record->header_count; i++) {
        struct header header;
        if (header_take(&headers, &header) < 0)
            fail("a record", record->offset, "broken headers");
        printf("%s[\"%.*s\",", i > 0 ? "," : "", (int)header.key.size,
               (const char *)header.key.data);
        print_hex(header.value);
        printf("]");
    }
    printf("],\"fate\":\"%s\"}\n", fate);
}

/* ---- walking ---- */

static void read_batch(struct reader *reader, const char *path, int64_t position,
                       struct bytes batch, const struct batch_header *header)
{
    struct record_reader records;
    struct record record;
    struct diag diag = {0};
    if (header->base_offset < reader->next_offset)
        fail(path, position, "offsets do not ascend");
    reader->next_offset = batch_last_offset(header) + 1;
    if ((header->attributes & BATCH_ATTR_CONTROL) != 0) {
        int outcome = header->record_count > 0 ? control_batch_decode(batch) : 0;
        if (outcome < 0)
            fail(path, position, "a control batch that is no marker");
        if (!reader->printing && header->record_count > 0)
            add_span(reader, header, outcome == 1);
        return;
    }
    if (record_reader_open(&records, batch, BATCH_PLAIN_LIMIT_BYTES, &reader->plain, &diag) < 0)
        fail(path, position, diag.text);
    int rc;
    while ((rc = record_reader_next(&records, &record)) == 1)
        if (reader->printing)
            print_record(&record, fate_of(reader, header));
    if (rc < 0)
        fail(path, position, "a broken record");
}

static void read_segment(struct reader *reader, const char *path)
{
    char *data;
    size_t size;
    struct diag diag = {0};
    if (io_read_file(path, FILE_LIMIT_BYTES, &data, &size, &diag) < 0)
        fail(path, 0, diag.text);
    for (size_t at = 0; at < size;) {
        struct batch_header header;
        struct bytes rest = bytes_of(data + at, size - at);
        if (batch_parse_header(rest, &header, &diag) < 0)
            fail(path, (int64_t)at, diag.text);
        struct bytes batch = bytes_of(rest.data, (size_t)header.size_bytes);
        if (batch_check_crc(batch, &diag) < 0)
            fail(path, (int64_t)at, diag.text);
        read_batch(reader, path, (int64_t)at, batch, &header);
        at += batch.size;
    }
    free(data);
}

int main(int argc, char **argv)
{
    struct reader reader = {.printing = false};
    buf_init(&reader.plain, 0);
    for (int pass = 0; pass < 2; pass++) {
        reader.printing = pass == 1;
        reader.next_offset = 0;
        for (int i = 1; i < argc; i++)
            read_segment(&reader, argv[i]);
    }
    buf_deinit(&reader.plain);
    free(reader.spans);
    return fflush(stdout) == 0 ? 0 : 1;
}
