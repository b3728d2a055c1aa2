/* store_list.c: the stores of a data directory (see store_list.h). */
#include "runtime/store_list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void store_names_free(struct store_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].app);
        free(names->items[i].store);
        free(names->items[i].path);
    }
    free(names->items);
}

static int names_add(struct store_names *names, const char *app, const char *store,
                     int32_t partition, const char *path)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        struct store_name *items = realloc(names->items, capacity * sizeof *items);
        if (items == NULL)
            return ERR_NOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    struct store_name *name = &names->items[names->count++];
    *name = (struct store_name){strdup(app), strdup(store), partition, strdup(path)};
    return name->app != NULL && name->store != NULL && name->path != NULL ? 0 : ERR_NOMEM;
}

/* "<store>-<partition>" cut at its last dash. */
static bool split_partition(char *name, int32_t *partition)
{
    char *dash = strrchr(name, '-'), *end;
    if (dash == NULL || !isdigit((unsigned char)dash[1]))
        return false;
    errno = 0;
    long long number = strtoll(dash + 1, &end, 10);
    if (*end != '\0' || errno != 0 || number > INT32_MAX)
        return false;
    *dash = '\0';
    *partition = (int32_t)number;
    return true;
}

static int read_app(struct store_names *names, const char *state_dir, const char *app,
                    struct diag *diag)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", state_dir, app);
    if (length >= (int)sizeof path)
        return diag_set(diag, ERR_INVALID, "the path of the data directory is too long");
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOTDIR ? 0 : diag_errno(diag, "cannot read %s", path);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(dir)) != NULL;) {
        char name[NAME_MAX + 1], full[PATH_MAX];
        int32_t partition;
        snprintf(name, sizeof name, "%s", entry->d_name);
        int size = snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && size < (int)sizeof full && split_partition(name, &partition))
            code = names_add(names, app, name, partition, full);
    }
    closedir(dir);
    return code < 0 ? diag_set(diag, code, "no memory for the names of stores") : 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct store_name *x = a, *y = b;
    int order = strcmp(x->app, y->app);
    if (order == 0)
        order = strcmp(x->store, y->store);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

int store_names_read(const char *data_dir, struct store_names *names, struct diag *diag)
{
    char state_dir[PATH_MAX];
    int length = snprintf(state_dir, sizeof state_dir, "%s/state", data_dir);
    if (length >= (int)sizeof state_dir)
        return diag_set(diag, ERR_INVALID, "the path of the data directory is too long");
    DIR *dir = opendir(state_dir);
    if (dir == NULL)
        return errno == ENOENT ? 0 : diag_errno(diag, "cannot read %s", state_dir);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            code = read_app(names, state_dir, entry->d_name, diag);
    closedir(dir);
    if (names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    return code;
}
