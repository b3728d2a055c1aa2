/* csv_encode.h: rows → comma-separated values (RFC 4180), one record a row. Stateless; any thread. */
#ifndef WEIR_OPERATORS_CSV_ENCODE_H
#define WEIR_OPERATORS_CSV_ENCODE_H

#include "operators/column.h"

/* Appends one row: values in order with commas between them, without a line end. NULL is nothing and an empty text is "", as in PostgreSQL's COPY, so that csv_decode.h gives back
 * what was written. Quoted is what must be: an empty text, and one that holds a comma, a quote (which is doubled), a line feed or a carriage return. */
void csv_encode_row(struct buf *out, const struct column *columns, uint32_t count, uint32_t row);

#endif
