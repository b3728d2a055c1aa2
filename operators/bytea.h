/* bytea.h: bytes as text, in PostgreSQL's two forms. Stateless; any thread. */
#ifndef WEIR_OPERATORS_BYTEA_H
#define WEIR_OPERATORS_BYTEA_H

#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

/* The form that is written: \x and two hexadecimal digits a byte. */
static inline size_t bytea_text_bytes(size_t size) { return 2 + 2 * size; }
void bytea_print(struct bytes value, uint8_t *text);
void bytea_hex(struct bytes value, uint8_t *digits);   /* without the \x */

/* Reads what bytea_print wrote (blanks between bytes allowed), and the older form: bytes as they are, \\ for a backslash, \ooo for any byte in octal. Into arena memory, or
 * borrowed from text when nothing has to be read. ERR_INVALID, ERR_NOMEM. */
int bytea_parse(struct bytes text, struct arena *arena, struct bytes *value);
/* Digits alone, with blanks between bytes. */
int bytea_parse_hex(struct bytes digits, struct arena *arena, struct bytes *value);

/* Base 64 (RFC 4648 with padding), a line feed behind each 76 characters when more follow, as PostgreSQL writes it. */
size_t bytea_base64_bytes(size_t size);
void bytea_base64(struct bytes value, uint8_t *text);
/* White space is skipped. ERR_INVALID: another character, or wrong padding. */
int bytea_parse_base64(struct bytes text, struct arena *arena, struct bytes *value);

#endif
