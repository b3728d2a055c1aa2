/* json_decode.h: JSON objects → columns of variants, only the asked fields (simdjson On-Demand behind a C face).
 *
 * One forward pass per object; of duplicate keys the first wins; escaped keys are matched unescaped; fields that nothing asked for
 * are not validated. Dotted paths read nested objects (a path through a non-object is NULL). Fast path: all documents of a batch lie
 * in one padded buffer and are parsed in simdjson's streaming mode; on any error, or when a document does not match its record's
 * bounds exactly, the batch is redone record by record, so that a bad row never costs its neighbours.
 * A decoder is used by one thread at a time. */
#ifndef WEIR_OPERATORS_JSON_DECODE_H
#define WEIR_OPERATORS_JSON_DECODE_H

#include "operators/column.h"
#include "operators/expr.h"

struct json_decoder;
int json_decoder_create(const struct field_path *const *paths, uint32_t path_count, struct json_decoder **decoder, struct diag *diag);
void json_decoder_destroy(struct json_decoder *decoder);

/* Decodes docs[0…count) (count ≤ BATCH_ROWS; a null document is a row of NULLs only when null_is_row, else rejected as "value_null") into columns[path],
 * each a COL_VARIANT column of count values from the arena. Text without escapes and raw tokens borrow from arena copies of the
 * documents. Bad rows go to rejects with class "json_malformed" (message: simdjson's reason and the byte position),
 * "json_not_object", "json_utf8", "json_too_deep", "json_number" (a token like 1.2.3 or 01 in an asked field); their values are NULL.
 * Empty documents are malformed. A document is the whole record: trailing bytes other than white space are malformed.
 * 0 or ERR_NOMEM. */
int json_decode(struct json_decoder *decoder, const struct bytes *docs, uint32_t count, bool null_is_row, struct arena *arena,
                struct column *columns, struct reject_list *rejects);

/* The fastest that simdjson alone can walk the asked fields of the same documents (streaming mode, one thread): the limit that
 * benchmarks are measured against. ndjson: documents separated by line feeds, with SIMDJSON_PADDING (64) readable bytes behind size.
 * Returns the number of documents, adds a checksum of what it saw to *sum so that nothing is optimised away. */
int64_t json_parse_limit(const struct field_path *const *paths, uint32_t path_count, const uint8_t *ndjson, size_t size, uint64_t *sum);

#endif
