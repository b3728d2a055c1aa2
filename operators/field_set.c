/* field_set.c: the two scopes that come with the compiler: JSON fields, and named columns.
 *
 * A field set accepts every name. Each new path becomes the next column, so that several
 * expressions compiled against one set share columns and the decoder reads each field once; this is
 * also the list that the decoder is given. Paths are kept in a list and searched one by one: an
 * event has tens of fields, and the set is only searched while compiling. The number of fields is
 * bounded. */
#include "operators/expr_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIELDS_MAX = 1024, PATH_PARTS_MAX = 8, DOTTED_BYTES_MAX = 1024 };

struct field_set {
    struct arena arena;
    struct field_path *paths;
    uint32_t count, capacity;
};

struct field_set *field_set_create(void)
{
    struct field_set *fields = calloc(1, sizeof *fields);
    if (fields != NULL)
        arena_init(&fields->arena, 0);
    return fields;
}

void field_set_destroy(struct field_set *fields)
{
    if (fields == NULL)
        return;
    arena_deinit(&fields->arena);
    free(fields->paths);
    free(fields);
}

uint32_t field_set_count(const struct field_set *fields)
{
    return fields->count;
}

const struct field_path *field_set_path(const struct field_set *fields, uint32_t index)
{
    must(index < fields->count);
    return &fields->paths[index];
}

static bool path_equal(const struct field_path *a, const struct field_path *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->parts[i], b->parts[i]) != 0)
            return false;
    }
    return true;
}

static int append_path(struct field_set *fields, const struct field_path *path)
{
    if (fields->count == fields->capacity) {
        uint32_t capacity = fields->capacity == 0 ? 16 : fields->capacity * 2;
        struct field_path *paths = realloc(fields->paths, capacity * sizeof *paths);
        if (paths == NULL)
            return ERR_NOMEM;
        fields->paths = paths;
        fields->capacity = capacity;
    }
    struct field_path *copy = &fields->paths[fields->count];
    *copy = (struct field_path){.count = path->count};
    for (uint32_t i = 0; i < path->count; i++) {
        copy->parts[i] = arena_text(&fields->arena, path->parts[i]);
        if (copy->parts[i] == NULL)
            return ERR_NOMEM;
    }
    return (int)fields->count++;
}

static int field_set_resolve(void *context, const struct field_path *path, enum col_type *type,
                             struct diag *diag)
{
    struct field_set *fields = context;
    *type = COL_VARIANT;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (path_equal(&fields->paths[i], path))
            return (int)i;
    }
    if (fields->count >= FIELDS_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "more than %d fields are read", FIELDS_MAX);
    int index = append_path(fields, path);
    return index >= 0 ? index : diag_set(diag, ERR_NOMEM, "no memory for a field's name");
}

struct scope field_set_scope(struct field_set *fields)
{
    return (struct scope){.resolve = field_set_resolve, .context = fields};
}

int field_set_add_made(struct field_set *fields, struct diag *diag)
{
    const struct field_path none = {.count = 0};
    if (fields->count >= FIELDS_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "more than %d fields are read", FIELDS_MAX);
    int index = append_path(fields, &none);
    return index >= 0 ? index : diag_set(diag, ERR_NOMEM, "no memory for a column");
}

int field_set_add(struct field_set *fields, const char *dotted_path, struct diag *diag)
{
    char copy[DOTTED_BYTES_MAX];
    struct field_path path = {.count = 0};
    enum col_type type;
    size_t size = strnlen(dotted_path, sizeof copy);
    if (size >= sizeof copy)
        return diag_set(diag, ERR_TOO_LARGE, "a field's path is longer than %d bytes",
                        DOTTED_BYTES_MAX - 1);
    memcpy(copy, dotted_path, size + 1);
    for (char *part = copy; part != NULL;) {
        char *dot = strchr(part, '.');
        if (dot != NULL)
            *dot++ = '\0';
        if (part[0] == '\0')
            return diag_set(diag, ERR_INVALID, "the path \"%.100s\" has an empty part",
                            dotted_path);
        if (path.count == PATH_PARTS_MAX)
            return diag_set(diag, ERR_TOO_LARGE, "the path \"%.100s\" has more than %d parts",
                            dotted_path, PATH_PARTS_MAX);
        path.parts[path.count++] = part;
        part = dot;
    }
    return field_set_resolve(fields, &path, &type, diag);
}

/* ---- Named columns ---- */

void path_print(const struct field_path *path, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < path->count && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "." : "", path->parts[i]);
}

static int named_columns_resolve(void *context, const struct field_path *path, enum col_type *type,
                                 struct diag *diag)
{
    const struct named_columns *columns = context;
    char name[DOTTED_BYTES_MAX];
    path_print(path, name, sizeof name);
    for (uint32_t i = 0; i < columns->count; i++) {
        if (strcmp(columns->names[i], name) == 0) {
            *type = columns->types[i];
            return (int)i;
        }
    }
    const char *close = closest_name(name, columns->names, columns->count);
    if (close != NULL)
        return diag_set(diag, ERR_NOT_FOUND,
                        "column \"%.200s\" does not exist\nhint: did you mean \"%.200s\"?", name,
                        close);
    return diag_set(diag, ERR_NOT_FOUND, "column \"%.200s\" does not exist", name);
}

struct scope named_columns_scope(const struct named_columns *columns)
{
    return (struct scope){.resolve = named_columns_resolve, .context = (void *)(uintptr_t)columns};
}
