/* pairs.h: lists of (key, value) to compare: what a topic, a store or a model holds. */
#ifndef WEIR_TESTS_PAIRS_H
#define WEIR_TESTS_PAIRS_H

#include "runtime/base/arena.h"
#include "tests/support/topic_rows.h"

struct pair {
    struct bytes key, value;
};
struct pairs {
    struct pair *items;
    size_t count, capacity;
    struct arena arena;
};
void pairs_init(struct pairs *pairs);
void pairs_deinit(struct pairs *pairs);
void pairs_add(struct pairs *pairs, struct bytes key, struct bytes value);   /* copies */
void pairs_add_text(struct pairs *pairs, const char *key, const char *value);
void pairs_add_rows(struct pairs *pairs, const struct topic_rows *rows);
/* As multisets; sorts both. A difference is printed with the first few on each side. */
bool pairs_same(const char *what, struct pairs *expected, struct pairs *actual);

/* The pairs of a store directory (state_open read only, state_scan) and the position that it stands at. False when there is no such directory. */
struct state_position;
bool pairs_add_store(struct pairs *pairs, const char *dir, struct state_position *position);

#endif
