/* fuzz_record_batch.c: any bytes as a record batch. They are parsed, validated, decompressed and
 * iterated as the log would do with a stranger's batch. The fuzzer cannot guess a CRC-32C, so the
 * bytes are also tried with the length and the CRC made right. Checked beside memory safety: what
 * batch_validate accepts can be read to its end, and holds what it says. */
#include <stdlib.h>
#include "log/record_batch.h"

enum { LIMIT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_headers(const struct record *record)
{
    struct bytes headers = record->headers;
    struct header header;
    for (int32_t i = 0; i < record->header_count && header_take(&headers, &header) == 0; i++)
        must(header.key.data != NULL);
}

/* Returns the number of records read, or a negative code. */
static int64_t read_records(struct bytes batch, struct buf *plain)
{
    struct record_reader reader;
    struct record record;
    int64_t count = 0;
    int rc;
    TRY(record_reader_open(&reader, batch, LIMIT_BYTES, plain, NULL));
    while ((rc = record_reader_next(&reader, &record)) == 1) {
        must(record.offset >= reader.header.base_offset &&
             record.offset <= batch_last_offset(&reader.header));
        read_headers(&record);
        count++;
    }
    return rc < 0 ? rc : count;
}

static void try_batch(struct bytes batch)
{
    struct buf scratch = {0};
    struct batch_header header;
    struct diag diag = {0};
    int rc = batch_validate(batch, LIMIT_BYTES, &scratch, &diag);
    must(rc == 0 || diag.code == rc);
    if (rc == 0) {
        must(batch_parse_header(batch, &header, NULL) == 0);
        must(read_records(batch, &scratch) == header.record_count);
    } else if (batch_parse_header(batch, &header, NULL) == 0) {
        (void)batch_check_crc(batch, NULL);
        (void)read_records(batch, &scratch);
        (void)control_batch_decode(batch);
    }
    buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_batch(bytes_of(data, size));
    if (size < BATCH_HEADER_BYTES)
        return 0;
    uint8_t *copy = malloc(size); /* exact, so that a read past the end is seen */
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    store_be32(copy + 8, (uint32_t)size - BATCH_OVERHEAD_BYTES);
    copy[16] = 2;
    batch_set_producer(copy, (int64_t)load_be64(copy + 43), (int16_t)load_be16(copy + 51),
                       (int32_t)load_be32(copy + 53), (copy[22] & BATCH_ATTR_TRANSACTIONAL) != 0);
    try_batch(bytes_of(copy, size));
    free(copy);
    return 0;
}
