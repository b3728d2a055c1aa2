/* expr_text.h: what LIKE shares with the text functions. */
#ifndef WEIR_OPERATORS_EXPR_TEXT_H
#define WEIR_OPERATORS_EXPR_TEXT_H

#include "operators/expr_internal.h"

/* Bytes of the character that starts with this byte. */
size_t utf8_size(uint8_t first);
/* lower or upper, into the arena; the size stays the same. ERR_NOMEM. */
int text_change_case(struct arena *arena, struct bytes text, bool upper, struct bytes *out);

#endif
