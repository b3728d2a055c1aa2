/* sql_compile.c: statements to relations, one after the other, each seeing those before it.
 *
 * A table's rows are a record's JSON with its declared columns cast out of it; what breaks a cast, NOT NULL or a CHECK is a
 * dead letter before any query sees it, so that whether a row is good never depends on who asks. All declared
 * columns are judged for the same reason, whichever are used.
 *
 * What a statement writes can be read by those behind it: as a topic, through its own name. A statement with an error is
 * left out, and so are, without a word, those that read what it would have made. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- relations ---- */

struct relation *relation_new(struct compile_file *file, enum relation_kind kind,
                              const struct statement *statement)
{
    struct relation *relation = arena_zalloc(&file->program->arena, sizeof *relation);
    if (relation == NULL)
        return NULL;
    relation->kind = kind;
    relation->name = statement->name.text;
    relation->statement = statement;
    relation->time_column = -1;
    relation->lateness_ms = relation->skew_ms = relation->idle_ms = -1;
    relation->format = WEIR_JSON;
    return relation;
}

void relation_keep(struct compile_file *file, struct relation *relation)
{
    *file->program->end = relation;
    file->program->end = &relation->next;
}

const struct relation *relation_find(const struct compile_file *file, const char *name)
{
    for (const struct relation *r = file->program->relations; r != NULL; r = r->next)
        if (strcmp(r->name, name) == 0)
            return r;
    return NULL;
}

int check_name(struct compile_file *file, const struct statement *statement)
{
    if (relation_find(file, statement->name.text) == NULL)
        return 0;
    return source_error(&file->source, ERR_EXISTS, statement->name.at, NULL,
                        "\"%s\" is defined twice", statement->name.text);
}

/* ---- views ---- */

/* CREATE VIEW v (a, b) AS …: other names for the columns. */
static int rename_columns(struct compile_file *file, const struct statement *statement,
                          struct relation *relation)
{
    struct arena *arena = &file->program->arena;
    if (statement->target_count == 0)
        return 0;
    if (statement->target_count != relation->column_count)
        return source_error(&file->source, ERR_INVALID, statement->name.at, NULL,
                            "%u names for %u columns", statement->target_count,
                            relation->column_count);
    if (relation->is_grouped)
        return source_error(&file->source, ERR_UNSUPPORTED, statement->name.at,
                            "name the columns with AS in the SELECT",
                            "a list of names behind a grouped view's is not supported");
    struct target_list targets = {
        .items = arena_zalloc(arena, relation->column_count * sizeof *targets.items),
        .count = relation->column_count};
    if (targets.items == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct sql_name *name = &statement->targets[i];
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(statement->targets[k].text, name->text) == 0)
                return source_error(&file->source, ERR_INVALID, statement->name.at, NULL,
                                    "two columns are named \"%s\"", name->text);
        targets.items[i] = (struct target){
            syntax_column(arena, relation->columns[i].name, name->at), name->text, name->at};
        if (targets.items[i].syntax == NULL)
            return ERR_NOMEM;
        relation->columns[i].name = name->text;
    }
    return add_step(file, relation, STEP_MAP, text_of_targets(arena, &targets), NULL);
}

/* Whether DISTINCT ON stands anywhere in a SELECT. */
static bool has_distinct(const struct select *select)
{
    for (uint32_t i = 0; i < select->arm_count; i++)
        if (has_distinct(select->arms[i]))
            return true;
    for (uint32_t i = 0; i < select->table_count; i++)
        if (has_distinct(select->tables[i].select))
            return true;
    return select->distinct_count > 0 ||
           (select->from.kind == FROM_SELECT && has_distinct(select->from.select));
}

static int check_within(struct compile_file *file, const struct statement *statement)
{
    const struct sql_option *within = option_find(&statement->options, "within");
    if (within == NULL || has_distinct(statement->select))
        return 0;
    return source_error(&file->source, ERR_INVALID, within->key.at, "SELECT DISTINCT ON (id) …",
                        "within is for a SELECT with DISTINCT ON");
}

static int compile_view(struct compile_file *file, const struct statement *statement)
{
    static const char *const known[] = {"within"};
    struct relation *view = relation_new(file, RELATION_VIEW, statement);
    if (view == NULL)
        return ERR_NOMEM;
    TRY(check_name(file, statement));
    TRY(options_check(file, statement, known, sizeof known / sizeof known[0]));
    TRY(plan_select(file, statement->select, NULL, 0, view));
    TRY(check_within(file, statement));
    TRY(rename_columns(file, statement, view));
    relation_keep(file, view);
    return 0;
}

/* ---- what is written ---- */

/* One writer a topic, and nobody who reads what he writes. */
int check_writers(struct compile_file *file, const struct statement *statement,
                  const struct relation *result)
{
    for (const struct relation *r = file->program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && strcmp(r->topic, result->topic) == 0)
            return source_error(&file->source, ERR_EXISTS, statement->name.at, NULL,
                                "two statements write topic %s", result->topic);
    return 0;
}

int check_stream(struct compile_file *file, const struct statement *statement,
                 const struct relation *result)
{
    if (result->key_count == 0)
        return 0;
    return source_error(&file->source, ERR_UNSUPPORTED, statement->select->at,
                        "CREATE MATERIALIZED VIEW writes them, each under its key",
                        "INSERT of the rows of a table of the latest rows is not supported");
}

/* Who reads the topic finds the key in its columns. */
static int check_keys(struct compile_file *file, const struct statement *statement,
                      const struct relation *result)
{
    for (uint32_t k = 0; k < result->key_count; k++)
        if (result->keys[k] == UINT32_MAX)
            return source_error(&file->source, ERR_INVALID, statement->select->at,
                                "select it, under any name",
                                "%s is a table whose key is \"%s\", which is not among its columns",
                                statement->name.text, result->key_names[k]);
    return 0;
}

static bool reads_topic(const struct sql_program *program, const struct relation *relation,
                        const char *topic, uint32_t depth);

static bool joins_topic(const struct sql_program *program, const struct relation *relation,
                        const char *topic, uint32_t depth)
{
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        if (step->table != NULL && reads_topic(program, step->table, topic, depth))
            return true;
    return false;
}

/* The same of what a result is made of: its own topic is not read. */
static bool reads_source(const struct sql_program *program, const struct relation *result,
                         const char *topic, uint32_t depth)
{
    if (joins_topic(program, result, topic, depth))
        return true;
    if (result->base != NULL)
        return reads_topic(program, result->base, topic, depth);
    for (uint32_t i = 0; i < result->arm_count; i++)
        if (reads_topic(program, result->arms[i], topic, depth))
            return true;
    return false;
}

/* Whether any of the topics that a relation's rows come from is this one, directly or through what this file writes. */
static bool reads_topic(const struct sql_program *program, const struct relation *relation,
                        const char *topic, uint32_t depth)
{
    if (depth > STATEMENTS_MAX || joins_topic(program, relation, topic, depth))
        return true;
    for (uint32_t i = 0; i < relation->arm_count; i++)
        if (reads_topic(program, relation->arms[i], topic, depth))
            return true;
    if (relation->arm_count > 0)
        return false;
    if (relation->base != NULL)
        return reads_topic(program, relation->base, topic, depth);
    if (strcmp(relation->topic, topic) == 0)
        return true;
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && strcmp(r->topic, relation->topic) == 0)
            return reads_source(program, r, topic, depth + 1);
    return false;
}

bool sql_result_reads(const struct sql_program *program, const struct relation *result,
                      const char *topic)
{
    return reads_source(program, result, topic, 0);
}

int check_cycle(struct compile_file *file, const struct statement *statement,
                const struct relation *result)
{
    if (!sql_result_reads(file->program, result, result->topic))
        return 0;
    return source_error(&file->source, ERR_INVALID, statement->name.at, NULL,
                        "%s would read what it writes (topic %s)", statement->name.text,
                        result->topic);
}

const char *const *names_of_targets(struct arena *arena, const struct target_list *targets)
{
    const char **names = arena_alloc(arena, (targets->count + 1) * sizeof *names);
    for (uint32_t i = 0; names != NULL && i < targets->count; i++)
        names[i] = targets->items[i].name;
    return names;
}

static uint32_t column_of(const struct relation *table, const char *name)
{
    for (uint32_t i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

/* The key of the rows of a table, as they are written. */
static int key_of_rows(struct arena *arena, const struct relation *result, struct target_list *key)
{
    key->items = arena_zalloc(arena, (result->key_count + 1) * sizeof *key->items);
    if (key->items == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < result->key_count; k++) {
        const char *name = result->columns[result->keys[k]].name;
        key->items[key->count++] =
            (struct target){syntax_column(arena, name, -1), result->key_names[k], -1};
        if (key->items[k].syntax == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

/* Results that change are a table of the latest one of each group, and the rows of a table are one. */
static int key_results(struct compile_file *file, const struct relation *result,
                       struct relation *table)
{
    struct arena *arena = &file->program->arena;
    struct target_list key = result->result_key;
    if (result->key_count > 0)
        TRY(key_of_rows(arena, result, &key));
    else if (!result->is_grouped || result->emit_final)
        return 0;
    if (key.count == 0)
        return 0;
    table->keys = arena_zalloc(arena, key.count * sizeof *table->keys);
    table->key_names = names_of_targets(arena, &key);
    if (table->keys == NULL || table->key_names == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < key.count; k++)
        table->keys[k] = column_of(table, key.items[k].syntax->path.parts[0]);
    table->key_count = key.count;
    return add_step(file, table, STEP_LATEST, text_of_targets(arena, &key), NULL);
}

int add_reader(struct compile_file *file, const struct relation *result)
{
    struct arena *arena = &file->program->arena;
    struct relation *table = relation_new(file, RELATION_TABLE, result->statement);
    struct target_list targets = {
        .items = arena_zalloc(arena, (result->column_count + 1) * sizeof *targets.items),
        .count = result->column_count};
    if (table == NULL || targets.items == NULL)
        return ERR_NOMEM;
    table->topic = result->topic;
    table->columns = result->columns;
    table->column_count = result->column_count;
    table->time_column = result->time_column;
    table->format = result->format;
    table->is_grouped = result->is_grouped;
    table->emit_final = result->emit_final;
    TRY(format_columns(file, result->statement, table));
    for (uint32_t i = 0; i < result->column_count; i++) {
        const struct relation_column *column = &result->columns[i];
        struct sql_type type = {.type = (uint8_t)column->type, .name = col_type_name(column->type)};
        struct syntax *value = cast_to(arena, format_place(arena, table, i), &type);
        if (value == NULL)
            return ERR_NOMEM;
        targets.items[i] = (struct target){value, column->name, -1};
    }
    if (table->time_column >= 0)
        table->event_time = result->columns[result->time_column].name;
    TRY(add_step(file, table, STEP_MAP, text_of_targets(arena, &targets), NULL));
    TRY(key_results(file, result, table));
    relation_keep(file, table);
    return 0;
}

static int compile_materialized(struct compile_file *file, const struct statement *statement)
{
    static const char *const known[] = {"topic",      "emit",      "partitions", "format",
                                        "timestamps", "retention", "within"};
    struct relation *result = relation_new(file, RELATION_RESULT, statement);
    if (result == NULL)
        return ERR_NOMEM;
    TRY(check_name(file, statement));
    TRY(options_check(file, statement, known, sizeof known / sizeof known[0]));
    TRY(option_topic(file, statement, &result->topic));
    TRY(options_of_topic(file, statement, result));
    const struct sql_option *emit = option_find(&statement->options, "emit");
    if (emit != NULL && strcmp(emit->value, "changes") != 0 && strcmp(emit->value, "final") != 0)
        return source_error(&file->source, ERR_INVALID, emit->key.at, "emit = 'changes' or 'final'",
                            "'%s' is no way to emit results", emit->value);
    result->emit_final = emit != NULL && strcmp(emit->value, "final") == 0;
    TRY(plan_select(file, statement->select, NULL, 0, result));
    TRY(check_within(file, statement));
    TRY(rename_columns(file, statement, result));
    TRY(format_columns(file, statement, result));
    if (!statement->is_query)
        TRY(check_keys(file, statement, result));
    if (result->emit_final &&
        (statement->select->arm_count > 0 || statement->select->from.window == CALL_NONE))
        return source_error(&file->source, ERR_INVALID, emit->key.at,
                            "FROM tumble(t, ts, INTERVAL '5 minutes') gives rows windows",
                            "emit = 'final' needs windows: a group without one never ends");
    TRY(check_writers(file, statement, result));
    TRY(check_cycle(file, statement, result));
    relation_keep(file, result);
    return statement->is_query ? 0 : add_reader(file, result);
}

/* ---- the statements ---- */

int compile_statement(struct compile_file *file, const struct statement *statement)
{
    bool is_there = statement->name.text != NULL && statement->kind != STATEMENT_INSERT &&
                    statement->kind != STATEMENT_COPY && relation_find(file, statement->name.text) != NULL;
    if (is_there && statement->only_if)
        return 0;
    if (is_there && statement->replaces)
        TRY(drop_relation(file, &statement->name, statement->kind));
    switch (statement->kind) {
    case STATEMENT_TABLE:
        return compile_table(file, statement);
    case STATEMENT_VIEW:
        return compile_view(file, statement);
    case STATEMENT_MATERIALIZED_VIEW:
        return compile_materialized(file, statement);
    case STATEMENT_INSERT:
        return compile_insert(file, statement);
    case STATEMENT_DROP:
        return compile_drop(file, statement);
    case STATEMENT_COPY:
        return compile_copy(file, statement);
    }
    return 0;
}
