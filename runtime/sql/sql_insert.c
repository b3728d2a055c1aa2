/* sql_insert.c: INSERT INTO … SELECT: rows into a declared table, or into a topic that nothing declares.
 *
 * A table's own rules hold for what is written into it, so that its readers find good rows alone: the
 * SELECT's columns are cast to the table's, then judged by NOT NULL and CHECK, then named as the record's
 * fields. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <string.h>

/* Which column of the table the i-th of the SELECT goes into. */
int target_column(struct compile_file *file, const struct statement *insert,
                  const struct relation *table, uint32_t i, uint32_t *column)
{
    *column = i;
    if (insert->target_count == 0)
        return 0;
    for (uint32_t c = 0; c < table->column_count; c++)
        if (strcmp(table->columns[c].name, insert->targets[i].text) == 0) {
            *column = c;
            return 0;
        }
    return source_error(&file->source, ERR_NOT_FOUND, insert->targets[i].at, NULL,
                        "column \"%s\" does not exist in %s", insert->targets[i].text, table->name);
}

/* As PostgreSQL's assignment: numbers go into numbers, any type into itself. */
static bool is_assignable(enum col_type from, enum col_type to)
{
    bool numbers = (from == COL_BIGINT || from == COL_NUMERIC || from == COL_DOUBLE) &&
                   (to == COL_BIGINT || to == COL_NUMERIC || to == COL_DOUBLE);
    return from == to || numbers || to == COL_VARIANT;
}

/* What the table's columns get, under their names; NULL for those that nothing was given. */
static int assign_columns(struct compile_file *file, const struct statement *insert,
                          const struct relation *table, struct relation *result)
{
    struct arena *arena = &file->program->arena;
    uint32_t given = result->column_count;
    struct target_list targets = {
        .items = arena_zalloc(arena, (table->column_count + 1) * sizeof *targets.items),
        .count = table->column_count};
    if (targets.items == NULL)
        return ERR_NOMEM;
    if (given != (insert->target_count > 0 ? insert->target_count : table->column_count))
        return source_error(&file->source, ERR_INVALID, insert->name.at, NULL,
                            "the SELECT has %u columns, and %u are inserted into %s", given,
                            insert->target_count > 0 ? insert->target_count : table->column_count,
                            table->name);
    for (uint32_t i = 0; i < given; i++) {
        uint32_t c;
        TRY(target_column(file, insert, table, i, &c));
        const struct column_definition *to = table->columns[c].definition;
        const struct relation_column *from = &result->columns[i];
        if (targets.items[c].syntax != NULL)
            return source_error(&file->source, ERR_INVALID, insert->targets[i].at, NULL,
                                "column \"%s\" is inserted twice", to->name.text);
        if (!is_assignable(from->type, (enum col_type)to->type.type))
            return source_error(&file->source, ERR_INVALID, insert->name.at,
                                "write a cast in the SELECT",
                                "column \"%s\" is %s, and the SELECT gives %s", to->name.text,
                                to->type.name, from->type_name);
        struct syntax *value =
            cast_for(arena, table, c, syntax_column(arena, from->name, to->name.at), &to->type);
        if (value == NULL)
            return ERR_NOMEM;
        targets.items[c] = (struct target){value, to->name.text, to->name.at};
    }
    for (uint32_t c = 0; c < table->column_count; c++) {
        struct syntax null = {.kind = SYNTAX_NULL, .at = -1}, *value = targets.items[c].syntax;
        if (value == NULL)
            value = cast_to(arena, syntax_copy(arena, &null), &table->columns[c].definition->type);
        if (value == NULL)
            return ERR_NOMEM;
        targets.items[c] = (struct target){value, table->columns[c].name, -1};
    }
    return add_step(file, result, STEP_MAP, text_of_targets(arena, &targets), NULL);
}

/* The record's fields, where they are not named as the columns. */
int name_fields(struct compile_file *file, const struct statement *insert,
                const struct relation *table, struct relation *result)
{
    struct arena *arena = &file->program->arena;
    bool differs = false;
    struct target_list targets = {
        .items = arena_zalloc(arena, (table->column_count + 1) * sizeof *targets.items),
        .count = table->column_count};
    if (targets.items == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < table->column_count; c++) {
        const struct column_definition *column = table->columns[c].definition;
        if (column->path.count != 1 && table->format == WEIR_JSON)
            return source_error(&file->source, ERR_UNSUPPORTED, insert->name.at,
                                "a path of one name: OPTIONS (path 'page')",
                                "column \"%s\" of %s is a nested field, which cannot be written",
                                column->name.text, table->name);
        for (uint32_t k = 0; k < c; k++)
            if (strcmp(targets.items[k].name, column->path.parts[0]) == 0)
                return source_error(
                    &file->source, ERR_INVALID, insert->name.at, "a record has each field once",
                    "two columns of %s are the field \"%s\"", table->name, column->path.parts[0]);
        differs |= strcmp(column->path.parts[0], column->name.text) != 0;
        targets.items[c] =
            (struct target){syntax_column(arena, column->name.text, -1), column->path.parts[0], -1};
        if (targets.items[c].syntax == NULL)
            return ERR_NOMEM;
    }
    return differs ? add_step(file, result, STEP_MAP, text_of_targets(arena, &targets), NULL) : 0;
}

/* Rows of a table of the latest rows get its key as theirs, so that each replaces the one before it. */
static int key_rows(struct compile_file *file, const struct statement *insert,
                    const struct relation *table, struct relation *result)
{
    struct arena *arena = &file->program->arena;
    struct target_list key = {.items = arena_zalloc(arena, table->key_count * sizeof *key.items)};
    if (key.items == NULL)
        return ERR_NOMEM;
    if (table->format != WEIR_JSON && table->format != WEIR_CSV)
        return source_error(&file->source, ERR_UNSUPPORTED, insert->name.at, "format = 'json'",
                            "%s %s, whose record is one value, is not supported",
                            statement_name(insert->kind), table->name);
    for (uint32_t k = 0; k < table->key_count; k++) {
        const struct column_definition *column = table->columns[table->keys[k]].definition;
        const char *field = table->format == WEIR_CSV ? column->name.text : column->path.parts[0];
        key.items[key.count++] = (struct target){syntax_column(arena, field, -1), field, -1};
        if (key.items[key.count - 1].syntax == NULL)
            return ERR_NOMEM;
    }
    result->partitioned_by = text_of_targets(arena, &key);
    result->is_compacted = true;
    return result->partitioned_by != NULL ? 0 : ERR_NOMEM;
}

/* Rows of a table that says by what its records lie get that column as their key. */
int place_rows(struct compile_file *file, const struct statement *insert,
               const struct relation *table, struct relation *result)
{
    struct buf text;
    if (table->key_count > 0)
        return key_rows(file, insert, table, result);
    if (table->partitioned_by == NULL)
        return 0;
    if (table->format != WEIR_JSON)
        return source_error(&file->source, ERR_UNSUPPORTED, insert->name.at, "format = 'json'",
                            "%s %s, whose records lie by a column of another format than "
                            "JSON, is not supported",
                            statement_name(insert->kind), table->name);
    buf_init(&text, 0);
    syntax_print_name(table->partitioned_by, &text); /* a nested field was refused */
    buf_u8(&text, 0);
    result->partitioned_by =
        buf_ok(&text) ? arena_text(&file->program->arena, (const char *)text.data) : NULL;
    buf_deinit(&text);
    return result->partitioned_by != NULL ? 0 : ERR_NOMEM;
}

static int insert_into_table(struct compile_file *file, const struct statement *insert,
                             const struct relation *table, struct relation *result)
{
    if (table->statement->kind == STATEMENT_INSERT)
        return source_error(&file->source, ERR_EXISTS, insert->name.at, NULL,
                            "two statements write topic %s", table->topic);
    if (table->statement->kind != STATEMENT_TABLE)
        return source_error(&file->source, ERR_INVALID, insert->name.at, NULL,
                            "%s is a view: its own SELECT says what it holds", table->name);
    result->topic = table->topic;
    TRY(assign_columns(file, insert, table, result));
    TRY(table_checks(file, table->statement, table, result));
    TRY(name_fields(file, insert, table, result));
    result->columns = table->columns;
    result->column_count = table->column_count;
    result->format = table->format;
    result->partitions = table->partitions;
    result->epoch_ms = table->epoch_ms;
    result->retention_ms = table->retention_ms;
    result->fails_on_bad_row = table->fails_on_bad_row;
    TRY(place_rows(file, insert, table, result));
    return format_columns(file, insert, result);
}

int compile_insert(struct compile_file *file, const struct statement *insert)
{
    struct relation *result = relation_new(file, RELATION_RESULT, insert);
    const struct relation *table = relation_find(file, insert->name.text);
    if (result == NULL)
        return ERR_NOMEM;
    insert->select->is_positional = table != NULL;
    TRY(plan_select(file, insert->select, NULL, 0, result));
    TRY(check_stream(file, insert, result));
    if (result->is_grouped)
        return source_error(&file->source, ERR_UNSUPPORTED, insert->select->at,
                            "CREATE MATERIALIZED VIEW keeps groups and writes their results",
                            "INSERT of a grouped SELECT is not supported");
    if (table != NULL)
        TRY(insert_into_table(file, insert, table, result));
    else if (insert->target_count > 0)
        return source_error(&file->source, ERR_NOT_FOUND, insert->name.at,
                            "CREATE TABLE declares the columns", "table \"%s\" does not exist",
                            insert->name.text);
    else
        TRY(option_topic(file, insert, &result->topic));
    TRY(check_writers(file, insert, result));
    TRY(check_cycle(file, insert, result));
    relation_keep(file, result);
    return table != NULL ? 0 : add_reader(file, result);
}
