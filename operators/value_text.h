/* value_text.h: values as plain text, as the formats that have only text write them. Stateless; any thread. */
#ifndef WEIR_OPERATORS_VALUE_TEXT_H
#define WEIR_OPERATORS_VALUE_TEXT_H

#include "operators/column.h"

/* Appends a value that is not NULL: text as it is, numbers and booleans as in JSON (of doubles also NaN, Infinity and -Infinity), timestamptz as ISO 8601 in UTC with
 * milliseconds, interval and bytea as in PostgreSQL, JSON fields by what they hold. Casts from text read each of them back. */
void value_text(struct buf *out, const struct column *column, uint32_t row);
/* Whether the value, which is not NULL, is text already (JSON too); *text borrows it. */
bool value_is_text(const struct column *column, uint32_t row, struct bytes *text);

#endif
