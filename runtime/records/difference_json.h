/* difference_json.h: a difference that a verification found, as JSON. Any thread, each with its own buffer. */
#ifndef WEIR_RECORDS_DIFFERENCE_JSON_H
#define WEIR_RECORDS_DIFFERENCE_JSON_H

#include "runtime/verify/verify.h"

/* Appends an object. Texts end at a zero byte; what is not UTF-8 in them comes out as U+FFFD. */
void difference_json_put(struct buf *out, const struct verify_difference *difference);

#endif
