/* produce_fields.h: record key and timestamp out of fields of JSON lines. One thread uses a reader. */
#ifndef WEIR_CLI_PRODUCE_FIELDS_H
#define WEIR_CLI_PRODUCE_FIELDS_H

#include "operators/column.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

struct line_fields {
    struct bytes key;        /* data NULL: a null key; valid until the next read */
    int64_t timestamp_ms;    /* INT64_MIN when no timestamp field was asked for */
    bool groups_by_key;      /* the record lies where a job that groups by the field expects it: see produce_fields.c */
};

struct field_reader;
/* key_path, timestamp_path: dotted field names, or NULL. ERR_INVALID with diag. */
int field_reader_create(const char *key_path, const char *timestamp_path, struct field_reader **reader, struct diag *diag);
void field_reader_destroy(struct field_reader *reader);
/* Reads count ≤ BATCH_ROWS lines into fields. Returns how many were read before the first bad one; when that is less than
 * count, diag tells what is wrong with the line of that index. Timestamps over latest_ms are bad. Negative: ERR_NOMEM. */
int field_reader_read(struct field_reader *reader, const struct bytes *lines, uint32_t count, int64_t latest_ms,
                      struct line_fields *fields, struct diag *diag);

#endif
