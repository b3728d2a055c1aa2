/* column_list.h: columns that somebody declares: "shop text, amount numeric(10,2), tags jsonb". For functions' results and for formats
 * that carry no types of their own.
 *
 * Types are those that a cast can name, and jsonb. What a type says beyond its column's type (the range of integer, the digits of
 * numeric(10,2)) is a cast that the planner adds behind whoever fills the columns. */
#ifndef WEIR_OPERATORS_COLUMN_LIST_H
#define WEIR_OPERATORS_COLUMN_LIST_H

#include "operators/expr.h"

struct column_list {
    uint32_t count;
    char **names;
    enum col_type *types;
    struct expr_list *casts;   /* over columns of these types, or of text when asked so; NULL: none of them would change anything */
};
/* from_text: the columns will be filled with text, which the casts read; jsonb is refused then. ERR_INVALID, ERR_UNSUPPORTED, ERR_EXISTS (a name
 * twice), ERR_NOMEM. */
int column_list_parse(const char *declared, bool from_text, struct column_list **list, struct diag *diag);
void column_list_destroy(struct column_list *list);

#endif
