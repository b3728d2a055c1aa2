/* csv_decode.h: one row of comma-separated values a record (RFC 4180) → columns of text. Stateless; any thread. */
#ifndef WEIR_OPERATORS_CSV_DECODE_H
#define WEIR_OPERATORS_CSV_DECODE_H

#include "operators/column.h"

/* Decodes docs[0 … count) (count ≤ BATCH_ROWS) into columns[0 … column_count), COL_TEXT with nulls, from the arena; text borrows from docs unless it holds doubled quotes. An empty
 * field is NULL, and "" an empty text, as in PostgreSQL's COPY. One line end at the end of a record is allowed. Bad rows go to rejects: "csv_malformed" (with the byte position),
 * "csv_columns" (another number of fields), "csv_utf8", "value_null"; their values are NULL. ERR_NOMEM. */
int csv_decode(const struct bytes *docs, uint32_t count, uint32_t column_count, struct arena *arena, struct column *columns,
               struct reject_list *rejects);

#endif
