/* utf8.h: is this text UTF-8. No memory is taken but by utf8_repair. Any thread. */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include "runtime/base/bytes.h"

/* The size of the well-formed UTF-8 sequence at the front of size > 0 bytes; 0 when there is none. */
size_t utf8_sequence(const uint8_t *text, size_t size);
bool utf8_check(struct bytes text);
/* Appends the text with U+FFFD for each byte that belongs to no sequence. */
void utf8_repair(struct buf *out, struct bytes text);

#endif
