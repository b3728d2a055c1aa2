/* sql_copy_plan.c: COPY … FROM: the rows of a file as rows of a declared table.
 *
 * A file is a topic that nobody keeps: its fields are columns of text, in the order of the statement's list, and a line of JSON is a record. What follows is what INSERT does with the rows
 * of a SELECT: they are cast to the table's columns, judged by NOT NULL and CHECK, named as the record's fields and given the table's key. A line of JSON for a table of JSON is
 * judged in the same way, and then kept byte for byte, as weir produce keeps it. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/hash.h"

static const struct relation *find_table(struct compile_file *file,
                                         const struct statement *statement, int *rc)
{
    const struct relation *table = relation_find(file, statement->name.text);
    *rc = 0;
    for (uint32_t i = 0; table == NULL && i < file->broken_count; i++)
        if (strcmp(file->broken[i], statement->name.text) == 0)
            *rc = ERR_INVALID; /* it was told */
    if (table == NULL && *rc == 0)
        *rc = source_error(&file->source, ERR_NOT_FOUND, statement->name.at,
                           statement_below(file, statement->name.text) != NULL
                               ? "it stands further down: write it before"
                               : "CREATE TABLE declares its columns",
                           "table \"%s\" does not exist", statement->name.text);
    else if (table != NULL &&
             (table->kind != RELATION_TABLE || table->statement->kind != STATEMENT_TABLE))
        *rc = source_error(&file->source, ERR_INVALID, statement->name.at,
                           "COPY writes to what CREATE TABLE declares",
                           "%s is no table: its own statement says what it holds", table->name);
    return table;
}

/* One file is copied into a table once, whatever is in it. */
static int check_file(struct compile_file *file, const struct statement *statement,
                      const struct relation *table)
{
    for (const struct sql_copy *copy = file->program->copies; copy != NULL; copy = copy->next)
        if (strcmp(copy->table->topic, table->topic) == 0 &&
            strcmp(copy->statement->copy->file.text, statement->copy->file.text) == 0)
            return source_error(&file->source, ERR_EXISTS, statement->copy->file.at, NULL,
                                "'%s' is copied into topic %s twice", statement->copy->file.text,
                                table->topic);
    return 0;
}

/* ---- the file's fields ---- */

/* *field_of: by column of the table, which field of the file it is; UINT32_MAX: none. */
static int choose_fields(struct compile_file *file, const struct statement *statement,
                         const struct relation *table, struct sql_copy *copy, uint32_t **field_of)
{
    struct arena *arena = &file->program->arena;
    const char **names = arena_zalloc(arena, (table->column_count + 1) * sizeof *names);
    *field_of = arena_alloc(arena, (table->column_count + 1) * sizeof **field_of);
    if (names == NULL || *field_of == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < table->column_count; c++)
        (*field_of)[c] = UINT32_MAX;
    copy->column_names = names;
    copy->column_count =
        statement->target_count > 0 ? statement->target_count : table->column_count;
    for (uint32_t i = 0; i < copy->column_count; i++) {
        uint32_t c;
        TRY(target_column(file, statement, table, i, &c));
        const struct column_definition *column = table->columns[c].definition;
        int32_t at = statement->target_count > 0 ? statement->targets[i].at : statement->name.at;
        if ((*field_of)[c] != UINT32_MAX)
            return source_error(&file->source, ERR_INVALID, at, NULL,
                                "column \"%s\" is copied twice", column->name.text);
        if (column->type.type == COL_VARIANT)
            return source_error(&file->source, ERR_UNSUPPORTED, at,
                                "a file with a JSON object a line can be copied with FORMAT json",
                                "column \"%s\" is jsonb, which no field of a line can be",
                                column->name.text);
        (*field_of)[c] = i;
        names[i] = column->name.text;
    }
    return 0;
}

static int mark_fields(struct compile_file *file, const struct sql_copy *copy,
                       const struct sql_name *names, uint32_t count, const bool **marked)
{
    bool *marks = arena_zalloc(&file->program->arena, copy->column_count + 1);
    if (marks == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t c = 0;
        while (c < copy->column_count && strcmp(copy->column_names[c], names[i].text) != 0)
            c++;
        if (c == copy->column_count)
            return source_error(&file->source, ERR_NOT_FOUND, names[i].at, NULL,
                                "column \"%s\" is not among those that are copied", names[i].text);
        marks[c] = true;
    }
    *marked = count > 0 ? marks : NULL;
    return 0;
}

/* "a text, b text": what a row of the file is before its casts. */
static int declare_fields(struct compile_file *file, const struct sql_copy *copy,
                          struct relation *rows)
{
    struct buf text;
    buf_init(&text, 0);
    for (uint32_t i = 0; i < copy->column_count; i++) {
        buf_printf(&text, "%s", i > 0 ? ", " : "");
        syntax_print_name(copy->column_names[i], &text);
        buf_printf(&text, " text");
    }
    buf_u8(&text, 0);
    rows->source_columns =
        buf_ok(&text) ? arena_text(&file->program->arena, (const char *)text.data) : NULL;
    buf_deinit(&text);
    return rows->source_columns != NULL ? 0 : ERR_NOMEM;
}

/* ---- rows ---- */

/* Where a column's value comes from. */
static struct syntax *column_value(struct arena *arena, const struct relation *rows,
                                   const uint32_t *field_of, uint32_t c)
{
    static const struct syntax null = {.kind = SYNTAX_NULL, .at = -1};
    if (field_of == NULL)
        return format_place(arena, rows, c);
    return field_of[c] == UINT32_MAX ? syntax_copy(arena, &null)
                                     : syntax_column(arena, rows->columns[c].name, -1);
}

static int cast_columns(struct compile_file *file, const struct relation *table,
                        const uint32_t *field_of, struct relation *rows)
{
    struct arena *arena = &file->program->arena;
    struct target_list targets = {
        .items = arena_zalloc(arena, (table->column_count + 1) * sizeof *targets.items),
        .count = table->column_count};
    if (targets.items == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < table->column_count; c++) {
        const struct column_definition *column = table->columns[c].definition;
        struct syntax *value =
            cast_for(arena, table, c, column_value(arena, rows, field_of, c), &column->type);
        if (value == NULL)
            return ERR_NOMEM;
        targets.items[c] = (struct target){value, column->name.text, -1};
    }
    return add_step(file, rows, STEP_MAP, text_of_targets(arena, &targets), NULL);
}

/* The rows of the file, as the table's columns. */
static int file_rows(struct compile_file *file, const struct statement *statement,
                     const struct relation *table, struct sql_copy *copy, struct relation **out)
{
    struct arena *arena = &file->program->arena;
    struct relation *rows = relation_new(file, RELATION_TABLE, table->statement);
    bool is_json = statement->copy->format == COPY_JSON;
    uint32_t *field_of = NULL;
    char topic[OUTPUT_NAME_MAX + 16];
    if (rows == NULL)
        return ERR_NOMEM;
    snprintf(topic, sizeof topic, "%s.copy", table->topic); /* no topic: what stands for the file */
    rows->topic = arena_text(arena, topic);
    rows->columns = table->columns;
    rows->column_count = table->column_count;
    rows->time_column = table->time_column;
    rows->format = is_json ? WEIR_JSON : WEIR_CSV;
    *out = rows;
    if (rows->topic == NULL)
        return ERR_NOMEM;
    if (is_json &&
        (statement->target_count > 0 || (table->format != WEIR_JSON && table->format != WEIR_CSV)))
        return source_error(
            &file->source, ERR_INVALID, statement->name.at, NULL,
            statement->target_count > 0
                ? "a list of columns is not for FORMAT json, whose fields have names"
                : "FORMAT json has fields, and a record of %s is one value",
            table->name);
    if (!is_json) {
        TRY(choose_fields(file, statement, table, copy, &field_of));
        TRY(declare_fields(file, copy, rows));
    }
    return cast_columns(file, table, field_of, rows);
}

/* A row without its key has no place in a table. */
static int check_keys(struct compile_file *file, const struct relation *table,
                      struct relation *result)
{
    for (uint32_t k = 0; k < table->key_count; k++) {
        const struct column_definition *column = table->columns[table->keys[k]].definition;
        struct syntax test = {.kind = SYNTAX_NULL_TEST, .arg_count = 1, .negated = true};
        struct syntax *value = syntax_column(&file->program->arena, column->name.text, -1);
        struct step *step;
        test.args = &value;
        if (value == NULL)
            return ERR_NOMEM;
        if (column->not_null)
            continue;
        TRY(add_step(file, result, STEP_CHECK, text_of_syntax(&file->program->arena, &test),
                     &step));
        step->error_class = "not_null";
    }
    return 0;
}

/* The key of lines that are kept as they are: columns under the names of their fields. */
static int place_lines(struct compile_file *file, const struct statement *statement,
                       const struct relation *table, struct sql_copy *copy)
{
    struct arena *arena = &file->program->arena;
    const struct sql_option *by = option_find(&table->statement->options, "partitioned_by");
    struct target_list key = {.items =
                                  arena_zalloc(arena, (table->key_count + 1) * sizeof *key.items)};
    char path[512];
    if (key.items == NULL)
        return ERR_NOMEM;
    for (uint32_t c = 0; c < table->column_count; c++) {
        const struct column_definition *column = table->columns[c].definition;
        bool is_key =
            table->key_count == 0 && by != NULL && strcmp(by->value, column->name.text) == 0;
        for (uint32_t k = 0; k < table->key_count; k++)
            is_key |= table->keys[k] == c;
        if (!is_key)
            continue;
        if (column->path.count > 1 && table->key_count > 1)
            return source_error(&file->source, ERR_UNSUPPORTED, statement->name.at,
                                "a path of one name: OPTIONS (path 'page')",
                                "column \"%s\" of %s is a nested field, which cannot be part of a "
                                "record's key",
                                column->name.text, table->name);
        path_print(&column->path, path, sizeof path);
        copy->partitioned_by = column->type.type == COL_TEXT ? arena_text(arena, path) : NULL;
        key.items[key.count++] = (struct target){
            syntax_column(arena, column->name.text, -1),
            column->path.count == 1 ? column->path.parts[0] : column->name.text, -1};
        if (key.items[key.count - 1].syntax == NULL)
            return ERR_NOMEM;
    }
    if (key.count != 1)
        copy->partitioned_by = NULL;
    if (key.count > 0)
        copy->result->partitioned_by = text_of_targets(arena, &key);
    copy->result->is_compacted = table->key_count > 0;
    return key.count > 0 && copy->result->partitioned_by == NULL ? ERR_NOMEM : 0;
}

/* ---- what the statement means ---- */

static void put_names(struct buf *text, const struct sql_name *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buf_printf(text, "%s\n", names[i].text);
    buf_u8(text, 0);
}

static int find_meaning(const struct statement *statement, struct sql_copy *copy)
{
    const struct copy_definition *how = statement->copy;
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%d %d %d %d %d %s\n", (int)how->format, (int)how->header,
               (int)how->delimiter, (int)how->quote, (int)how->escape, how->null_text);
    for (uint32_t i = 0; i < copy->column_count; i++)
        buf_printf(&text, "%s\n", copy->column_names[i]);
    put_names(&text, how->force_null, how->force_null_count);
    put_names(&text, how->force_not_null, how->force_not_null_count);
    copy->meaning = buf_ok(&text) ? hash64(text.data, text.size) : 0;
    int rc = buf_ok(&text) ? 0 : ERR_NOMEM;
    buf_deinit(&text);
    return rc;
}

static int set_output(struct compile_file *file, const struct statement *statement,
                      struct sql_copy *copy)
{
    struct relation *result = copy->result;
    const struct relation *table = copy->table;
    TRY(table_checks(file, table->statement, table, result));
    TRY(check_keys(file, table, result));
    if (!copy->passes_rows)
        TRY(name_fields(file, statement, table, result));
    result->topic = table->topic;
    result->columns = table->columns;
    result->column_count = table->column_count;
    result->time_column = table->time_column;
    result->format = table->format;
    result->partitions = table->partitions;
    result->epoch_ms = table->epoch_ms;
    result->retention_ms = table->retention_ms;
    result->fails_on_bad_row = table->fails_on_bad_row;
    TRY(copy->passes_rows ? place_lines(file, statement, table, copy)
                          : place_rows(file, statement, table, result));
    return format_columns(file, statement, result);
}

int compile_copy(struct compile_file *file, const struct statement *statement)
{
    const struct copy_definition *how = statement->copy;
    struct sql_copy *copy = arena_zalloc(&file->program->arena, sizeof *copy);
    struct relation *rows;
    int rc;
    const struct relation *table = find_table(file, statement, &rc);
    TRY(rc);
    if (copy == NULL)
        return ERR_NOMEM;
    copy->statement = statement;
    copy->table = table;
    copy->passes_rows = how->format == COPY_JSON && table->format == WEIR_JSON;
    TRY(check_file(file, statement, table));
    TRY(file_rows(file, statement, table, copy, &rows));
    TRY(mark_fields(file, copy, how->force_null, how->force_null_count, &copy->force_null));
    TRY(mark_fields(file, copy, how->force_not_null, how->force_not_null_count,
                    &copy->force_not_null));
    copy->result = relation_new(file, RELATION_RESULT, statement);
    if (copy->result == NULL)
        return ERR_NOMEM;
    copy->result->base = rows;
    TRY(set_output(file, statement, copy));
    TRY(find_meaning(statement, copy));
    *file->program->copies_end = copy;
    file->program->copies_end = &copy->next;
    return 0;
}
