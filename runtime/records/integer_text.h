/* integer_text.h: integers that are spelt as text. Any thread. */
#ifndef WEIR_RECORDS_INTEGER_TEXT_H
#define WEIR_RECORDS_INTEGER_TEXT_H

#include "runtime/base/error.h"

/* Whole text → integer, with a sign perhaps. ERR_INVALID, ERR_RANGE. */
int parse_integer(const char *text, int64_t *value);

#endif
