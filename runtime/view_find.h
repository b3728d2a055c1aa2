/* view_find.h: which views a data directory keeps state of, by name. */
#ifndef WEIR_RUNTIME_VIEW_FIND_H
#define WEIR_RUNTIME_VIEW_FIND_H

#include "runtime/store_view.h"

/* Finds the view that is called name: as its SQL statement calls it, or by its topic. app NULL: of any app, and then it must be one alone.
 * ERR_NOT_FOUND with the names there are; ERR_INVALID: several apps have it, with a list of them, or it is one view's name and another's topic; ERR_CORRUPT. dir: of one of its stores. */
struct view_place {
    struct store_view_names names;
    char dir[4096];
};
int view_find(const char *data, const char *name, const char *app, struct view_place *place, struct diag *diag);
/* What is said of a name that is one view's, which writes topic, and the topic of the view that is called other: ERR_INVALID. */
int view_told_twice(const char *name, const char *topic, const char *other, struct diag *diag);

#endif
