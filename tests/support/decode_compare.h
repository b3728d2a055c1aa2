/* decode_compare.h: a batch of documents must decode to what each of them decodes to alone. */
#ifndef WEIR_TESTS_DECODE_COMPARE_H
#define WEIR_TESTS_DECODE_COMPARE_H

#include "operators/json_decode.h"

/* What became of one row: its values as text, or its error. */
struct decoded_row {
    const char *error_class, *message; /* NULL: good */
    struct column *columns;
    uint32_t row;
};
/* Finds the row's reject, if it has one. */
struct decoded_row decoded_row(struct column *columns, const struct reject_list *rejects,
                               uint32_t row);
bool variants_equal(const struct variant *a, const struct variant *b);

/* Decodes docs[0…count) as one batch and one by one, with decoders of their own; NULL when all rows
 * agree, else what differs (arena text). */
const char *decode_compare(const struct field_path *const *paths, uint32_t path_count,
                           const struct bytes *docs, uint32_t count, struct arena *arena);

#endif
