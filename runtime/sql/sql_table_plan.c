/* sql_table_plan.c: CREATE TABLE: how a topic's records become good rows.
 *
 * The declared columns are cast out of a record by one map, then judged by NOT NULL and CHECK. Formats differ in where a column is: in
 * a field of JSON, in its place among a record's comma-separated values, in the value (or key) as a whole; behind the map nobody sees
 * a difference. What does not cast is a bad row; with on_error = 'null' it is a NULL, which NOT NULL and CHECK then judge as any. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <string.h>

/* ---- formats ---- */

static const char *const format_words[] = {"json", "csv", "text",
                                           "raw"}; /* weir.h's numbers, from 1 */

struct syntax *format_place(struct arena *arena, const struct relation *relation, uint32_t i)
{
    const struct relation_column *column = &relation->columns[i];
    bool is_whole = relation->format == WEIR_PLAIN_TEXT || relation->format == WEIR_RAW;
    struct syntax *syntax =
        syntax_column(arena, is_whole ? "value" : column->name,
                      column->definition != NULL ? column->definition->name.at : -1);
    if (syntax != NULL && column->definition != NULL && relation->format != WEIR_CSV)
        syntax->path = column->definition->path;
    if (syntax != NULL && is_whole && column->type == COL_TEXT &&
        strcmp(syntax->path.parts[0], "key") == 0)
        *syntax = (struct syntax){.kind = SYNTAX_CALL, .at = syntax->at, .text = "record_key"};
    return syntax;
}

static int check_place(struct compile_file *file, const struct relation *relation, uint32_t i)
{
    const struct column_definition *column = relation->columns[i].definition;
    const char *word = format_words[relation->format - 1];
    bool is_csv = relation->format == WEIR_CSV;
    if (column == NULL)
        return 0; /* what a statement wrote is read as it was written */
    if (column->type.type == COL_VARIANT)
        return source_error(&file->source, ERR_INVALID, column->name.at, "declare it as text",
                            "column %s is jsonb, and a record of format %s is not JSON",
                            column->name.text, word);
    if (is_csv && column->has_path)
        return source_error(&file->source, ERR_INVALID, column->name.at,
                            "columns stand in the order of the record's",
                            "column %s has a path, and a record of format csv has no names",
                            column->name.text);
    const char *part = column->path.parts[0];
    if (is_csv ||
        (column->path.count == 1 && (strcmp(part, "value") == 0 || strcmp(part, "key") == 0)))
        return 0;
    return source_error(&file->source, ERR_INVALID, column->name.at,
                        "OPTIONS (path 'value') gives value another name",
                        "a record of format %s has value and key, and no %s", word, part);
}

/* One column, and of a type that its bytes can be. */
static int check_single(struct compile_file *file, const struct statement *statement,
                        const struct relation *relation)
{
    enum col_type type = relation->column_count > 0 ? relation->columns[0].type : COL_TEXT;
    if (relation->format != WEIR_PLAIN_TEXT && relation->format != WEIR_RAW)
        return 0;
    if (relation->column_count != 1)
        return source_error(&file->source, ERR_INVALID, statement->name.at, NULL,
                            "a record of format %s holds one column, and %s has %u",
                            format_words[relation->format - 1], relation->name,
                            relation->column_count);
    if (relation->format == WEIR_RAW && type != COL_TEXT && type != COL_BYTEA)
        return source_error(&file->source, ERR_INVALID, statement->name.at, "write a cast",
                            "a record of format raw holds bytea or text, and %s is %s",
                            relation->columns[0].name, relation->columns[0].type_name);
    return 0;
}

int format_columns(struct compile_file *file, const struct statement *statement,
                   struct relation *relation)
{
    struct buf text;
    if (relation->kind == RELATION_RESULT)
        return check_single(file, statement, relation);
    if (relation->format == WEIR_JSON)
        return 0;
    for (uint32_t i = 0; i < relation->column_count; i++)
        TRY(check_place(file, relation, i));
    if (relation->format != WEIR_CSV)
        return 0;
    buf_init(&text, 0);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        buf_printf(&text, "%s", i > 0 ? ", " : "");
        syntax_print_name(relation->columns[i].name, &text);
        buf_printf(&text, " text"); /* cast by the table's map, as those of any format */
    }
    buf_u8(&text, 0);
    relation->source_columns =
        buf_ok(&text) ? arena_text(&file->program->arena, (const char *)text.data) : NULL;
    buf_deinit(&text);
    return relation->source_columns != NULL ? 0 : ERR_NOMEM;
}

int options_of_topic(struct compile_file *file, const struct statement *statement,
                     struct relation *relation)
{
    static const char *const times[] = {"iso", "epoch_ms"};
    const struct option_list *options = &statement->options;
    uint32_t word;
    TRY(option_word(file, options, "format", format_words, 4, &word));
    relation->format = (weir_format)word + WEIR_JSON;
    TRY(option_word(file, options, "timestamps", times, 2, &word));
    relation->epoch_ms = word == 1;
    if (relation->epoch_ms && relation->format != WEIR_JSON)
        return source_error(&file->source, ERR_UNSUPPORTED,
                            option_find(options, "timestamps")->key.at,
                            "(extract(epoch FROM ts) * 1000)::bigint in the SELECT",
                            "timestamps = 'epoch_ms' is for JSON");
    TRY(option_count(file, options, "partitions", PARTITIONS_MAX, &relation->partitions));
    return option_retention(file, options, &relation->retention_ms);
}

/* ---- columns ---- */

struct syntax *cast_to(struct arena *arena, struct syntax *syntax, const struct sql_type *type)
{
    if (syntax == NULL || type->type == COL_VARIANT)
        return syntax;
    struct syntax *cast = arena_zalloc(arena, sizeof *cast);
    if (cast == NULL || (cast->args = arena_alloc(arena, sizeof *cast->args)) == NULL)
        return NULL;
    cast->kind = SYNTAX_CAST;
    cast->at = syntax->at;
    cast->type = *type;
    cast->args[0] = syntax;
    cast->arg_count = 1;
    return cast;
}

struct syntax *cast_for(struct arena *arena, const struct relation *table, uint32_t column,
                        struct syntax *syntax, const struct sql_type *type)
{
    struct syntax *cast = cast_to(arena, syntax, type);
    /* What always casts needs no attempt; a row whose event time cannot be read has no place in any window. */
    if (cast == NULL || !table->nulls_bad_casts || type->type == COL_VARIANT ||
        type->type == COL_TEXT || (int32_t)column == table->time_column)
        return cast;
    struct syntax *attempt = arena_zalloc(arena, sizeof *attempt);
    if (attempt == NULL || (attempt->args = arena_alloc(arena, sizeof *attempt->args)) == NULL)
        return NULL;
    attempt->kind = SYNTAX_CALL;
    attempt->at = cast->at;
    attempt->text = "try";
    attempt->args[0] = cast;
    attempt->arg_count = 1;
    return attempt;
}

static int table_time(struct compile_file *file, const struct statement *statement,
                      struct relation *table)
{
    const struct sql_option *option = option_find(&statement->options, "event_time");
    if (option == NULL)
        return 0;
    for (uint32_t i = 0; i < statement->column_count; i++) {
        const struct column_definition *column = &statement->columns[i];
        if (strcmp(column->name.text, option->value) != 0)
            continue;
        if (column->type.type != COL_TIMESTAMPTZ)
            return source_error(&file->source, ERR_INVALID, column->name.at,
                                "declare it as timestamptz",
                                "the event time %s must be a timestamptz, not %s",
                                column->name.text, column->type.name);
        char path[512];
        if (table->format == WEIR_CSV)
            snprintf(path, sizeof path, "%s", column->name.text);
        else
            path_print(&column->path, path, sizeof path);
        table->time_column = (int32_t)i;
        table->event_time = arena_text(&file->program->arena, path);
        return table->event_time != NULL ? 0 : ERR_NOMEM;
    }
    return source_error(&file->source, ERR_NOT_FOUND, option->key.at, NULL,
                        "the event time \"%s\" is not a column of %s", option->value,
                        statement->name.text);
}

static int table_columns(struct compile_file *file, const struct statement *statement,
                         struct relation *table)
{
    struct arena *arena = &file->program->arena;
    struct target_list targets = {
        .items = arena_zalloc(arena, (statement->column_count + 1) * sizeof *targets.items),
        .count = statement->column_count};
    table->columns = arena_zalloc(arena, (statement->column_count + 1) * sizeof *table->columns);
    if (targets.items == NULL || table->columns == NULL)
        return ERR_NOMEM;
    table->column_count = statement->column_count;
    for (uint32_t i = 0; i < statement->column_count; i++) {
        const struct column_definition *column = &statement->columns[i];
        table->columns[i] = (struct relation_column){
            column->name.text, (enum col_type)column->type.type, column->type.name, column};
    }
    TRY(table_time(file, statement, table));
    TRY(format_columns(file, statement, table));
    for (uint32_t i = 0; i < statement->column_count; i++) {
        const struct column_definition *column = &statement->columns[i];
        struct syntax *value =
            cast_for(arena, table, i, format_place(arena, table, i), &column->type);
        if (value == NULL)
            return ERR_NOMEM;
        targets.items[i] = (struct target){value, column->name.text, column->name.at};
    }
    return add_step(file, table, STEP_MAP, text_of_targets(arena, &targets), NULL);
}

static int add_check(struct compile_file *file, struct relation *to, const char *error_class,
                     const struct syntax *condition)
{
    struct step *step;
    TRY(add_step(file, to, STEP_CHECK, text_of_syntax(&file->program->arena, condition), &step));
    step->error_class = error_class;
    return 0;
}

/* What a good row of a declared table is. names: scope over its columns. */
int table_checks(struct compile_file *file, const struct statement *statement,
                 const struct relation *table, struct relation *to)
{
    struct arena *arena = &file->program->arena;
    struct select_scope scope;
    struct expr *expr;
    TRY(scope_open(&scope, file, table, NULL, false));
    struct named_columns columns = scope_columns(&scope);
    struct scope input = named_columns_scope(&columns);
    for (uint32_t i = 0; i < statement->column_count; i++) {
        if (!statement->columns[i].not_null)
            continue;
        struct syntax test = {.kind = SYNTAX_NULL_TEST, .arg_count = 1, .negated = true};
        struct syntax *column = syntax_column(arena, statement->columns[i].name.text, -1);
        test.args = &column;
        if (column == NULL)
            return ERR_NOMEM;
        TRY(add_check(file, to, "not_null", &test));
    }
    for (const struct column_check *check = statement->checks; check != NULL; check = check->next) {
        struct syntax *condition = syntax_copy(arena, check->condition);
        if (condition == NULL)
            return ERR_NOMEM;
        TRY(scope_resolve(&scope, condition));
        TRY(expr_of_syntax(condition, true, &file->source, &input, &expr));
        expr_destroy(expr);
        TRY(add_check(file, to, check->error_class, condition));
    }
    return 0;
}

/* The field whose text places the table's records. */
static int table_placement(struct compile_file *file, const struct statement *statement,
                           struct relation *table)
{
    const struct sql_option *option = option_find(&statement->options, "partitioned_by");
    char path[512];
    if (option == NULL)
        return 0;
    uint32_t i = 0;
    while (i < statement->column_count &&
           strcmp(statement->columns[i].name.text, option->value) != 0)
        i++;
    if (i == statement->column_count)
        return source_error(&file->source, ERR_NOT_FOUND, option->key.at, NULL,
                            "partitioned_by: \"%s\" is not a column of %s", option->value,
                            statement->name.text);
    const struct column_definition *column = &statement->columns[i];
    if (column->type.type != COL_TEXT)
        return source_error(
            &file->source, ERR_INVALID, column->name.at, "records lie by the bytes of a text",
            "partitioned_by: column %s is %s, and not text", column->name.text, column->type.name);
    if (table->format == WEIR_CSV)
        snprintf(path, sizeof path, "%s", column->name.text);
    else
        path_print(&column->path, path, sizeof path);
    table->placed_column = i + 1;
    table->partitioned_by = arena_text(&file->program->arena, path);
    return table->partitioned_by != NULL ? 0 : ERR_NOMEM;
}

/* The name under which a column of the key stands in a record's key that is an object of several. */
static const char *key_name(const struct relation *table, const struct column_definition *column)
{
    return table->format == WEIR_JSON && column->path.count == 1 ? column->path.parts[0]
                                                                 : column->name.text;
}

/* PRIMARY KEY: of the rows with one key the latest counts. */
static int table_key(struct compile_file *file, const struct statement *statement,
                     struct relation *table)
{
    struct arena *arena = &file->program->arena;
    struct target_list key = {
        .items = arena_zalloc(arena, (statement->column_count + 1) * sizeof *key.items)};
    table->keys = arena_zalloc(arena, (statement->column_count + 1) * sizeof *table->keys);
    if (key.items == NULL || table->keys == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < statement->column_count; i++) {
        const struct column_definition *column = &statement->columns[i];
        if (!column->is_primary_key)
            continue;
        if (column->type.type == COL_VARIANT || column->type.type == COL_DOUBLE)
            return source_error(&file->source, ERR_INVALID, column->name.at,
                                "text, a whole number or numeric",
                                "a column of PRIMARY KEY cannot be %s", column->type.name);
        if (table->partitioned_by != NULL)
            return source_error(&file->source, ERR_INVALID, column->name.at, NULL,
                                "PRIMARY KEY says by what records lie: partitioned_by is one "
                                "too many");
        key.items[key.count] = (struct target){syntax_column(arena, column->name.text, -1),
                                               key_name(table, column), -1};
        if (key.items[key.count].syntax == NULL)
            return ERR_NOMEM;
        for (uint32_t k = 0; k < key.count; k++)
            if (strcmp(key.items[k].name, key.items[key.count].name) == 0)
                return source_error(&file->source, ERR_INVALID, column->name.at, NULL,
                                    "two columns of PRIMARY KEY are the field \"%s\"",
                                    key.items[k].name);
        table->keys[key.count++] = i;
    }
    table->key_count = key.count;
    table->key_names = names_of_targets(arena, &key);
    if (table->key_names == NULL)
        return ERR_NOMEM;
    return key.count == 0 ? 0
                          : add_step(file, table, STEP_LATEST, text_of_targets(arena, &key), NULL);
}

/* How the table gets to who joins with it. */
static int table_join(struct compile_file *file, const struct statement *statement,
                      struct relation *table)
{
    static const char *const words[] = {"broadcast", "partitioned"};
    const struct sql_option *option = option_find(&statement->options, "join");
    uint32_t word;
    TRY(option_word(file, &statement->options, "join", words, 2, &word));
    if (option == NULL)
        return 0;
    if (table->key_count == 0)
        return source_error(&file->source, ERR_INVALID, option->key.at, "PRIMARY KEY",
                            "option join says how a table gets to the rows that look it up, and %s "
                            "is a stream",
                            table->name);
    table->by_partition = word == 1;
    if (table->by_partition &&
        (table->key_count > 1 || table->columns[table->keys[0]].type != COL_TEXT))
        return source_error(&file->source, ERR_UNSUPPORTED, option->key.at, "join = 'broadcast'",
                            "join = 'partitioned' needs a PRIMARY KEY of one text column, by whose "
                            "bytes records lie");
    return 0;
}

static int table_errors(struct compile_file *file, const struct statement *statement,
                        struct relation *table)
{
    static const char *const words[] = {"dlq", "null", "fail"};
    uint32_t word;
    TRY(option_word(file, &statement->options, "on_error", words, 3, &word));
    table->nulls_bad_casts = word == 1;
    table->fails_on_bad_row = word == 2;
    return 0;
}

int compile_table(struct compile_file *file, const struct statement *statement)
{
    static const char *const known[] = {
        "topic",          "event_time", "lateness", "max_future_skew", "idle_close", "partitions",
        "partitioned_by", "on_error",   "format",   "timestamps",      "retention",  "join"};
    struct relation *table = relation_new(file, RELATION_TABLE, statement);
    if (table == NULL)
        return ERR_NOMEM;
    TRY(check_name(file, statement));
    TRY(options_check(file, statement, known, sizeof known / sizeof known[0]));
    TRY(option_topic(file, statement, &table->topic));
    TRY(option_span(file, &statement->options, "lateness", &table->lateness_ms));
    TRY(option_span(file, &statement->options, "max_future_skew", &table->skew_ms));
    TRY(option_span(file, &statement->options, "idle_close", &table->idle_ms));
    TRY(options_of_topic(file, statement, table));
    TRY(table_errors(file, statement, table));
    TRY(table_columns(file, statement, table));
    TRY(table_placement(file, statement, table));
    TRY(table_checks(file, statement, table, table));
    TRY(table_key(file, statement, table));
    TRY(table_join(file, statement, table));
    relation_keep(file, table);
    return 0;
}
