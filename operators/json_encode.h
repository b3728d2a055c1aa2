/* json_encode.h: rows → JSON objects, and → canonical keys.
 *
 * Value: one object a row, columns in order, no white space: {"country":"France","revenue":12.50,"window_start":"2026-01-01T00:00:00.000Z"}.
 * bigint and numeric print exactly, unquoted; double prints the shortest text that reads back the same (no NaN/Infinity: null); timestamptz
 * ISO 8601 UTC with milliseconds (or epoch ms); text is escaped as JSON needs and no more (", \, control characters as \b \f \n \r \t or \u00XX);
 * variants print as they came (numbers by their raw token, objects and arrays raw); interval as ISO 8601 duration text in milliseconds, "PT1.500S"; bytea as "\\x" and
 * hexadecimal digits, as PostgreSQL does.
 * Key forms (architecture, section 8): a single text key without a window is the raw text, except NULL or text that starts with '{', which
 * use the object form; else the canonical object of the key columns in order. */
#ifndef WEIR_OPERATORS_JSON_ENCODE_H
#define WEIR_OPERATORS_JSON_ENCODE_H

#include "operators/column.h"

struct json_names;                 /* column names, escaped once: "\"name\":" */
struct json_names *json_names_create(const char *const *names, uint32_t count);
void json_names_destroy(struct json_names *names);

/* Appends the object of one row. columns[i] belongs to names[i]. epoch_ms: timestamps as numbers. */
void json_encode_row(struct buf *out, const struct json_names *names, const struct column *columns, uint32_t row, bool epoch_ms);
/* Appends one value. */
void json_encode_value(struct buf *out, const struct column *column, uint32_t row, bool epoch_ms);
/* Appends a key: raw text or canonical object as above; has_window tells that a window_start column is among the key columns. In keys, numbers are
 * canonical (trailing zeros off) and timestamps ISO. */
void json_encode_key(struct buf *out, const struct json_names *names, const struct column *columns, uint32_t row, bool has_window);
void json_escape(struct buf *out, struct bytes text);  /* with the quotes */

#endif
