/* random_json.h: random JSON text, and random damage to it. Deterministic by seed. */
#ifndef WEIR_TESTS_RANDOM_JSON_H
#define WEIR_TESTS_RANDOM_JSON_H

#include "runtime/base/bytes.h"

struct random_json {
    uint64_t state; /* not 0 */
};
uint32_t random_json_below(struct random_json *random, uint32_t limit);
/* Appends a string with its quotes: plain text, escapes of all kinds, surrogate pairs, raw UTF-8.
 */
void random_json_string(struct random_json *random, struct buf *out);
/* Appends any value; nested ones end at `depth` levels. */
void random_json_value(struct random_json *random, struct buf *out, int depth);
/* Appends an object of the keys in random order, some left out, in random spelling (escapes) and
 * spacing. */
void random_json_object(struct random_json *random, struct buf *out, const char *const *keys,
                        uint32_t key_count);
/* Replaces, drops or inserts a few bytes from position `first` on. */
void random_json_damage(struct random_json *random, struct buf *text, size_t first);

#endif
