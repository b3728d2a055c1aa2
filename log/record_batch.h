/* record_batch.h: Kafka's record batch v2, written and read. Stored batch = wire batch.
 *
 *   offset size field                                   offset size field
 *   0      8    base_offset (log sets)                  27     8    base_timestamp
 *   8      4    batch_length = bytes after this field   35     8    max_timestamp
 *   12     4    partition_leader_epoch (log sets)       43     8    producer_id (-1 none)
 *   16     1    magic = 2                               51     2    producer_epoch
 *   17     4    CRC-32C of bytes 21…end                 53     4    base_sequence
 *   21     2    attributes                              57     4    record count
 *   23     4    last_offset_delta                       61     …    records, compressed as one block
 *   attributes: 0–2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
 *
 * All integers big-endian. Source: Kafka 3.9 record format. Nothing here keeps state between calls but what the caller owns. */
#ifndef WEIR_LOG_RECORD_BATCH_H
#define WEIR_LOG_RECORD_BATCH_H

#include "log/compress.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum {
    BATCH_HEADER_BYTES = 61,
    BATCH_OVERHEAD_BYTES = 12, /* base_offset + batch_length */
    BATCH_ATTR_CODEC = 0x07,
    BATCH_ATTR_LOG_APPEND_TIME = 0x08,
    BATCH_ATTR_TRANSACTIONAL = 0x10,
    BATCH_ATTR_CONTROL = 0x20,
    BATCH_ATTR_DELETE_HORIZON = 0x40,
};
#define BATCH_PLAIN_LIMIT_BYTES (256u << 20) /* default cap of a decompressed batch */

struct batch_header {
    int64_t base_offset;
    int32_t size_bytes;         /* of the whole batch: batch_length + 12 */
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms, max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};
static inline int64_t batch_last_offset(const struct batch_header *h) { return h->base_offset + h->last_offset_delta; }

/* Reads the header at the front of in. 0, or ERR_CORRUPT with the reason in diag. ERR_RANGE when in ends before the
 * batch does (a torn tail or a cut read). Checks magic, sizes and counts against what is there; not the CRC.
 * With ERR_RANGE the header is filled when all of its 61 bytes were there. */
int batch_parse_header(struct bytes in, struct batch_header *header, struct diag *diag);
/* Checks the CRC of a whole batch whose header was parsed. */
int batch_check_crc(struct bytes batch, struct diag *diag);
/* Everything a log must check before it appends a foreign batch: header, CRC, record framing (decompressed within
 * limit_bytes), consecutive offset deltas from 0, count. scratch is reused. */
int batch_validate(struct bytes batch, size_t limit_bytes, struct buf *scratch, struct diag *diag);
/* Patches base_offset and leader epoch in place (outside the CRC). */
void batch_set_base(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/* Patches producer fields and the transactional bit of a finished batch in place and recomputes the CRC. */
void batch_set_producer(uint8_t *batch, int64_t producer_id, int16_t epoch, int32_t base_sequence, bool transactional);
/* Says in place whose times a finished batch has, CRC recomputed. log_append_time: every record has max_timestamp_ms (attribute bit 3);
 * else each has its own, and max_timestamp_ms is their maximum. The records themselves stay untouched. */
void batch_set_time(uint8_t *batch, bool log_append_time, int64_t max_timestamp_ms);
/* The same batch with its records in another codec, into out (cleared first). records: the plain block of batch's records. Codec bits,
 * length and CRC change, nothing else; also when the result is larger. ERR_NOMEM, ERR_TOO_LARGE. */
int batch_recode(struct bytes batch, struct bytes records, enum codec codec, struct buf *out);

/* One record, borrowed from the batch's plain bytes. key.data / value.data NULL = null. */
struct record {
    int64_t offset;
    int64_t timestamp_ms;
    struct bytes key, value;
    struct bytes headers;      /* the encoded headers after the count, byte for byte */
    int32_t header_count;
};
struct header {
    struct bytes key, value;   /* value.data NULL = null */
};
/* Takes the next header off headers. 0 or ERR_CORRUPT. */
int header_take(struct bytes *headers, struct header *header);

/* Iterates the records of one batch. */
struct record_reader {
    struct batch_header header;
    struct bytes rest;         /* plain bytes not read yet */
    int32_t index;             /* of the next record */
};
/* batch: one whole batch; plain: reused buffer that receives the decompressed records and must outlive the records
 * (an uncompressed batch is read in place). CRC is not checked here. */
int record_reader_open(struct record_reader *reader, struct bytes batch, size_t limit_bytes, struct buf *plain, struct diag *diag);
/* 1 = a record, 0 = end, ERR_CORRUPT. */
int record_reader_next(struct record_reader *reader, struct record *record);

/* Appends one encoded record to out. ERR_NOMEM, ERR_TOO_LARGE (> 1 GiB in all): then nothing was appended, and out stays usable. */
int record_encode(struct buf *out, int64_t timestamp_delta, int32_t offset_delta, struct bytes key, struct bytes value, struct bytes headers,
                  int32_t header_count);
/* Appends to out a whole batch with header's fields but for its size and CRC, and with records: encoded, header->record_count of them. They
 * are compressed with the codec that the attributes name when that makes them smaller, else stored plain. ERR_NOMEM, ERR_TOO_LARGE,
 * ERR_UNSUPPORTED. */
int batch_assemble(const struct batch_header *header, struct bytes records, struct buf *out);

/* Builds one batch. Records are added in order; finish compresses and returns the whole batch. */
struct batch_builder {
    struct buf records;        /* encoded, plain */
    struct buf batch;          /* the finished batch */
    int64_t base_timestamp_ms, max_timestamp_ms;
    int32_t record_count;
    enum codec codec;
    bool is_fast;              /* codec_compress_fast; false after init */
};
void batch_builder_init(struct batch_builder *builder, enum codec codec);
void batch_builder_deinit(struct batch_builder *builder);
void batch_builder_reset(struct batch_builder *builder);
/* Adds a record. headers: already encoded, header_count of them (see headers_add). ERR_NOMEM, ERR_TOO_LARGE (> 1 GiB in all). */
int batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms, struct bytes key, struct bytes value,
                      struct bytes headers, int32_t header_count);
/* Encoded size so far, before compression: use it to cut batches. */
static inline size_t batch_builder_bytes(const struct batch_builder *builder) { return builder->records.size; }
/* The finished batch with base_offset 0, no producer; borrowed until reset. A batch that compression does not shrink is
 * stored plain. */
int batch_builder_finish(struct batch_builder *builder, struct bytes *batch);
/* The same, appended to out, which is as it was when that fails. */
int batch_builder_finish_to(const struct batch_builder *builder, struct buf *out);
/* Appends one encoded header to out. */
void headers_add(struct buf *out, const char *key, struct bytes value);

/* A control batch of one marker: commit or abort. Key {i16 0, i16 type: 0 abort, 1 commit}, value {i16 0, i32 coordinator
 * epoch}; 78 bytes in all. */
void control_batch_encode(bool commit, int64_t producer_id, int16_t producer_epoch, int32_t coordinator_epoch,
                          int64_t timestamp_ms, uint8_t out[78]);
/* 1 commit, 0 abort, ERR_CORRUPT. */
int control_batch_decode(struct bytes batch);

#endif
