/* json_check.h: is this text JSON, does that object have this field. No memory is taken, nothing is copied.
 * Any thread. */
#ifndef WEIR_RECORDS_JSON_CHECK_H
#define WEIR_RECORDS_JSON_CHECK_H

#include "operators/expr.h"
#include "runtime/base/bytes.h"
#include "runtime/base/utf8.h"

enum { JSON_CHECK_DEPTH = 250 }; /* deeper counts as "not JSON": jq 1.6 stops at 256, Python near 990 */

/* One JSON value of RFC 8259 and nothing but white space around it: grammar, escapes, UTF-8. */
bool json_check(struct bytes text);
/* Appends a value that passed json_check without the white space outside its strings: one line. */
void json_put_one_line(struct buf *out, struct bytes text);
/* Whether a valid JSON object has the field: names are compared unescaped, the first of several counts, a path through
 * anything but objects leads nowhere. False for anything that is no object. */
bool json_has_field(struct bytes object, const struct field_path *path);

/* Parts of a value that passed json_check, as they stand, without a copy. */
/* The first member of this name. False: there is none, or it is no object. */
bool json_find_member(struct bytes object, const char *name, struct bytes *value);
/* The elements of an array, or the members of an object: begin with rest = the value. */
struct json_list {
    struct bytes rest;
    bool is_object;
};
bool json_list_next(struct json_list *list, struct bytes *value);

#endif
