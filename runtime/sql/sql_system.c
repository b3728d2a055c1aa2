/* sql_system.c: _key, _topic, _partition, _offset, _timestamp, _headers: what a record has beside its value, as columns of the table that reads it.
 *
 * They are there for a SELECT over the table itself and cost nothing until one names them: then the table's map, for this SELECT alone, gets those that are
 * named, out of sight of *. A view passes them on when it selects them. */
#include "runtime/sql/sql_scope.h"

#include <string.h>

static const struct {
    const char *name, *call; /* call NULL: the topic's name */
    enum col_type type;
    const char *type_name;
} system_columns[] = {
    {"_key", "record_key", COL_TEXT, "text"},
    {"_topic", NULL, COL_TEXT, "text"},
    {"_partition", "record_partition", COL_BIGINT, "integer"},
    {"_offset", "record_offset", COL_BIGINT, "bigint"},
    {"_timestamp", "record_timestamp", COL_TIMESTAMPTZ, "timestamptz"},
    {"_headers", "record_headers", COL_VARIANT, "jsonb"},
};
enum { SYSTEM_COLUMNS = sizeof system_columns / sizeof system_columns[0] };

static bool names(const struct syntax *syntax, const char *alias, const char *name)
{
    if (syntax == NULL)
        return false;
    if (syntax->kind == SYNTAX_COLUMN && syntax->path.count <= 2 &&
        strcmp(syntax->path.parts[syntax->path.count - 1], name) == 0 &&
        (syntax->path.count == 1 || alias == NULL || strcmp(syntax->path.parts[0], alias) == 0))
        return true;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        if (names(syntax->args[i], alias, name))
            return true;
    return names(syntax->filter, alias, name);
}

bool select_names(const struct select *select, const char *alias, const char *name)
{
    bool found = names(select->where, alias, name) || names(select->having, alias, name);
    for (uint32_t i = 0; i < select->item_count; i++)
        found |= names(select->items[i].syntax, alias, name);
    for (uint32_t i = 0; i < select->group_count; i++)
        found |= names(select->groups[i], alias, name);
    for (uint32_t i = 0; i < select->distinct_count; i++)
        found |= names(select->distinct[i], alias, name);
    for (uint32_t i = 0; i < select->from.join_count; i++)
        found |= names(select->from.joins[i].on, alias, name);
    return found;
}

static bool has_column(const struct relation *relation, const char *name)
{
    for (uint32_t i = 0; i < relation->column_count; i++)
        if (strcmp(relation->columns[i].name, name) == 0)
            return true;
    return false;
}

static struct syntax *value_of(struct arena *arena, const struct relation *table, uint32_t column)
{
    struct syntax *syntax = arena_zalloc(arena, sizeof *syntax);
    if (syntax == NULL)
        return NULL;
    const char *call = system_columns[column].call;
    syntax->kind = call != NULL ? SYNTAX_CALL : SYNTAX_STRING;
    syntax->at = -1;
    syntax->text = call != NULL ? call : table->topic;
    return syntax;
}

/* The table's own map, and behind it what is named. */
static int add_to_map(struct compile_file *file, struct relation *table,
                      const struct target_list *named)
{
    struct arena *arena = &file->program->arena;
    struct step *map = arena_alloc(arena, sizeof *map);
    const char *more = text_of_targets(arena, named);
    if (map == NULL || more == NULL)
        return ERR_NOMEM;
    *map = *table->steps;
    size_t size = strlen(map->text) + strlen(more) + 3;
    char *text = arena_alloc(arena, size);
    if (text == NULL)
        return ERR_NOMEM;
    size_t used = strlen(map->text);
    memcpy(text, map->text, used);
    memcpy(text + used, ", ", 2);
    memcpy(text + used + 2, more, strlen(more) + 1);
    map->text = text;
    table->steps = map;
    return 0;
}

int system_columns_add(struct compile_file *file, const struct select *select,
                       const struct relation **relation)
{
    struct arena *arena = &file->program->arena;
    const struct relation *table = *relation;
    struct target items[SYSTEM_COLUMNS];
    struct target_list named = {.items = items};
    if (table->kind != RELATION_TABLE || table->steps == NULL || table->steps->kind != STEP_MAP)
        return 0;
    struct relation *with = arena_alloc(arena, sizeof *with);
    struct relation_column *columns =
        arena_zalloc(arena, (table->column_count + SYSTEM_COLUMNS) * sizeof *columns);
    if (with == NULL || columns == NULL)
        return ERR_NOMEM;
    *with = *table;
    memcpy(columns, table->columns, table->column_count * sizeof *columns);
    with->columns = columns;
    for (uint32_t c = 0; c < SYSTEM_COLUMNS; c++) {
        const char *name = system_columns[c].name;
        if (!select_names(select, NULL, name) || has_column(table, name))
            continue;
        columns[with->column_count++] = (struct relation_column){name, system_columns[c].type,
                                                                 system_columns[c].type_name, NULL};
        with->hidden_count++;
        items[named.count] = (struct target){value_of(arena, table, c), name, -1};
        if (items[named.count++].syntax == NULL)
            return ERR_NOMEM;
    }
    if (named.count == 0)
        return 0;
    *relation = with;
    return add_to_map(file, with, &named);
}
