/* json_check.h: is this text JSON, is it UTF-8, does that object have this field. No memory is taken, nothing is copied.
 * Any thread. */
#ifndef WEIR_CLI_JSON_CHECK_H
#define WEIR_CLI_JSON_CHECK_H

#include "operators/expr.h"
#include "runtime/base/bytes.h"

enum { JSON_CHECK_DEPTH = 250 }; /* deeper counts as "not JSON": jq 1.6 stops at 256, Python near 990 */

/* The size of the well-formed UTF-8 sequence at the front of size > 0 bytes; 0 when there is none. */
size_t utf8_sequence(const uint8_t *text, size_t size);
bool utf8_check(struct bytes text);

/* One JSON value of RFC 8259 and nothing but white space around it: grammar, escapes, UTF-8. */
bool json_check(struct bytes text);
/* Appends a value that passed json_check without the white space outside its strings: one line. */
void json_put_one_line(struct buf *out, struct bytes text);
/* Whether a valid JSON object has the field: names are compared unescaped, the first of several counts, a path through
 * anything but objects leads nowhere. False for anything that is no object. */
bool json_has_field(struct bytes object, const struct field_path *path);

#endif
