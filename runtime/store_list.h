/* store_list.h: the stores of a data directory, by the names of their directories: DIR/state/<app>/<store>-<partition>. */
#ifndef WEIR_RUNTIME_STORE_LIST_H
#define WEIR_RUNTIME_STORE_LIST_H

#include <stddef.h>

#include "runtime/base/error.h"

struct store_name {
    char *app, *store;
    int32_t partition;
    char *path;
};
struct store_names {
    struct store_name *items;
    size_t count, capacity;
};
/* Every store, sorted by app, store and partition; none when no job ever ran. names is zeroed before, and freed after a failure too. */
int store_names_read(const char *data_dir, struct store_names *names, struct diag *diag);
void store_names_free(struct store_names *names);

#endif
