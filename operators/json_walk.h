/* json_walk.h: reads the asked fields of JSON objects by walking simdjson's index of tokens. For
 * json_decode.cc alone.
 *
 * A walk belongs to one decoder and one thread. */
#ifndef WEIR_OPERATORS_JSON_WALK_H
#define WEIR_OPERATORS_JSON_WALK_H

#include "operators/column.h"
#include "operators/expr.h"

enum { WALK_MAX_DEPTH = 1024 }; /* of nested objects and arrays, the document itself included */

/* A position in the index: base[*cursor] is a token's first byte. */
typedef const uint32_t *walk_cursor;

/* Why a document is refused: class, sentence (json_not_object: what it is instead), and the byte
 * where it shows, which may lie behind the document's end when something is missing there. */
struct walk_failure {
    const char *error_class, *reason;
    const uint8_t *at;
};
extern const char walk_empty_document[]; /* the reason of a document without a token */

struct walk_node;
struct json_walk {
    struct walk_node *nodes; /* the trie of paths; nodes[0] is the root */
    uint32_t node_count;
    uint64_t stamp; /* of the current document */
    /* The caller sets before a document: */
    const uint8_t *base;     /* positions count from here */
    struct arena *arena;     /* for unescaped text */
    struct variant **values; /* per path: its column */
    uint32_t row;            /* of the columns that the document fills */
    /* After a failure: */
    bool out_of_memory;
    struct walk_failure failure;
};

/* same_as[i] receives the first path that is equal to path i; values are written for that one only.
 * ERR_NOMEM (deinit is still due). Every path has 1 to 8 parts. */
int walk_init(struct json_walk *walk, const struct field_path *const *paths, uint32_t path_count,
              uint32_t *same_as);
void walk_deinit(struct json_walk *walk);
/* Reads the document whose first token is at x and which ends before position end. Returns the
 * first token of the next one, or NULL with out_of_memory or failure set; some values of the row
 * may have been written then. */
walk_cursor walk_document(struct json_walk *walk, walk_cursor x, uint32_t end);

#endif
