/* decode_compare.c: a batch of documents must decode to what each of them decodes to alone: the
 * same values, the same class and the same message. Both a unit test and a fuzz target use it;
 * neither knows what is right, only that neighbours must not matter. */
#include "tests/support/decode_compare.h"

#include <stdio.h>
#include <stdlib.h>

struct decoded_row decoded_row(struct column *columns, const struct reject_list *rejects,
                               uint32_t row)
{
    struct decoded_row found = {.columns = columns, .row = row};
    for (uint32_t i = 0; i < rejects->count; i++)
        if (rejects->items[i].row == row) {
            must(found.error_class == NULL); /* a row is rejected once */
            found.error_class = rejects->items[i].error_class;
            found.message = rejects->items[i].message;
        }
    return found;
}

bool variants_equal(const struct variant *a, const struct variant *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == VARIANT_INT)
        return a->i64 == b->i64;
    return a->kind < VARIANT_NUMBER ||
           (a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0));
}

static const char *difference(const struct decoded_row *a, const struct decoded_row *b,
                              uint32_t path_count, struct arena *arena)
{
    char text[512];
    if ((a->error_class == NULL) != (b->error_class == NULL) ||
        (a->error_class != NULL &&
         (strcmp(a->error_class, b->error_class) != 0 || strcmp(a->message, b->message) != 0))) {
        snprintf(text, sizeof(text), "row %u: %s (%.150s) in a batch, %s (%.150s) alone", a->row,
                 a->error_class ? a->error_class : "good", a->message ? a->message : "",
                 b->error_class ? b->error_class : "good", b->message ? b->message : "");
        return arena_text(arena, text);
    }
    for (uint32_t path = 0; path < path_count; path++) {
        const struct variant *left = &a->columns[path].variant[a->row],
                             *right = &b->columns[path].variant[b->row];
        if (!variants_equal(left, right) ||
            (a->error_class != NULL && left->kind != VARIANT_NULL)) {
            snprintf(text, sizeof(text), "row %u: field %u is of kind %d in a batch, %d alone",
                     a->row, path, left->kind, right->kind);
            return arena_text(arena, text);
        }
    }
    return NULL;
}

const char *decode_compare(const struct field_path *const *paths, uint32_t path_count,
                           const struct bytes *docs, uint32_t count, struct arena *arena)
{
    struct json_decoder *together, *singly;
    must(json_decoder_create(paths, path_count, &together, NULL) == 0);
    must(json_decoder_create(paths, path_count, &singly, NULL) == 0);
    struct column *columns = arena_alloc(arena, (path_count + 1) * sizeof(*columns));
    struct column *alone = arena_alloc(arena, (path_count + 1) * sizeof(*alone));
    must(columns != NULL && alone != NULL);
    struct reject_list rejects = {.arena = arena};
    const char *found = NULL;
    must(json_decode(together, docs, count, false, arena, columns, &rejects) == 0);
    for (uint32_t i = 0; i < count && found == NULL; i++) {
        struct reject_list own = {.arena = arena};
        must(json_decode(singly, &docs[i], 1, false, arena, alone, &own) == 0);
        struct decoded_row left = decoded_row(columns, &rejects, i),
                           right = decoded_row(alone, &own, 0);
        found = difference(&left, &right, path_count, arena);
    }
    json_decoder_destroy(together);
    json_decoder_destroy(singly);
    return found;
}
