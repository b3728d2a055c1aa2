/* json_value.h: JSON text as a value that somebody holds: is it JSON, what lies under this key, which elements does that array have.
 *
 * For values that are already in a column (struct variant of kind VARIANT_JSON: the raw text of an object or array, which the decoder has
 * checked) and for what users' functions give. Bounds are checked at every byte, so that the text needs no padding and may be anything.
 * Any thread. */
#ifndef WEIR_OPERATORS_JSON_VALUE_H
#define WEIR_OPERATORS_JSON_VALUE_H

#include "operators/column.h"

/* One JSON value of RFC 8259, at most 1,024 levels deep, in UTF-8, with nothing but white space around it. */
bool json_value_check(struct bytes text);
/* The value that a checked text is: numbers and literals by value, strings unescaped into the arena (or borrowed when nothing is escaped),
 * objects and arrays raw and borrowed. ERR_NOMEM; ERR_INVALID: the text is not JSON after all. */
int json_value_read(struct bytes text, struct arena *arena, struct variant *value);

/* The elements of an array, one after the other. begin: ERR_INVALID when the text is not an array. next: 1 and an element (raw, without white
 * space around it), 0 after the last, ERR_INVALID when the text is not JSON. */
struct json_elements {
    const uint8_t *at, *end;
    bool is_first;
};
int json_elements_begin(struct json_elements *elements, struct bytes array);
int json_elements_next(struct json_elements *elements, struct bytes *element);
/* The value under a key of an object; of equal keys the first counts, as everywhere. 1: found; 0: not there, or the text is not an object;
 * ERR_NOMEM (an escaped key is unescaped into the arena); ERR_INVALID. */
int json_value_member(struct bytes object, struct bytes key, struct arena *arena, struct bytes *value);
/* The element of an array at index, from 0, or from the end when negative (−1 is the last). 1: found; 0: not there, or not an array. */
int json_value_element(struct bytes array, int64_t index, struct bytes *value);

#endif
