/* sql_options.c: WITH (…): which options a statement has, and their values.
 *
 * Each statement lists what it knows, and any other name is an error with the nearest of those. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sql_option *option_find(const struct option_list *options, const char *name)
{
    for (uint32_t i = 0; i < options->count; i++)
        if (strcmp(options->items[i].key.text, name) == 0)
            return &options->items[i];
    return NULL;
}

int options_check(struct compile_file *file, const struct statement *statement,
                  const char *const *known, uint32_t known_count)
{
    const struct option_list *options = &statement->options;
    for (uint32_t i = 0; i < options->count; i++) {
        const struct sql_name *key = &options->items[i].key;
        bool is_known = false;
        for (uint32_t k = 0; k < known_count; k++)
            is_known |= strcmp(known[k], key->text) == 0;
        if (is_known)
            continue;
        char hint[128];
        const char *close = closest_name(key->text, known, known_count);
        snprintf(hint, sizeof hint, "did you mean %s?", close != NULL ? close : "");
        return source_error(&file->source, ERR_INVALID, key->at, close != NULL ? hint : NULL,
                            "%s has no option %s", statement_name(statement->kind), key->text);
    }
    return 0;
}

int option_span(struct compile_file *file, const struct option_list *options, const char *name,
                int64_t *span_ms)
{
    const struct sql_option *option = option_find(options, name);
    *span_ms = -1;
    if (option == NULL)
        return 0;
    if (interval_parse(bytes_text(option->value), span_ms) < 0 || *span_ms < 0)
        return source_error(&file->source, ERR_INVALID, option->key.at, "lateness = '30 seconds'",
                            "'%s' is no interval of 0 or more", option->value);
    return 0;
}

/* The topic's name: the relation's own unless WITH says otherwise. */
int option_topic(struct compile_file *file, const struct statement *statement, const char **topic)
{
    const struct sql_option *option = option_find(&statement->options, "topic");
    *topic = option != NULL ? option->value : statement->name.text;
    if (topology_name_is_good(*topic, OUTPUT_NAME_MAX))
        return 0;
    return source_error(&file->source, ERR_INVALID,
                        option != NULL ? option->key.at : statement->name.at,
                        option != NULL ? NULL : "WITH (topic = '…') gives it another name",
                        "'%s' cannot name a topic: 1 to 130 characters of [A-Za-z0-9._-]", *topic);
}

int option_word(struct compile_file *file, const struct option_list *options, const char *name,
                const char *const *words, uint32_t count, uint32_t *index)
{
    const struct sql_option *option = option_find(options, name);
    char hint[128] = "";
    *index = 0;
    if (option == NULL)
        return 0;
    for (; *index < count; ++*index)
        if (strcmp(words[*index], option->value) == 0)
            return 0;
    for (uint32_t i = 0; i < count; i++)
        snprintf(hint + strlen(hint), sizeof hint - strlen(hint), "%s'%s'",
                 i == 0           ? ""
                 : i + 1 == count ? " or "
                                  : ", ",
                 words[i]);
    return source_error(&file->source, ERR_INVALID, option->key.at, hint, "%s = '%s' is not known",
                        name, option->value);
}

int option_count(struct compile_file *file, const struct option_list *options, const char *name,
                 int32_t most, int32_t *count)
{
    const struct sql_option *option = option_find(options, name);
    char *end;
    *count = 0;
    if (option == NULL)
        return 0;
    long number = strtol(option->value, &end, 10);
    if (*end != '\0' || end == option->value || number < 1 || number > most)
        return source_error(&file->source, ERR_INVALID, option->key.at, NULL,
                            "%s = %s is not a number from 1 to %d", name, option->value, (int)most);
    *count = (int32_t)number;
    return 0;
}

int option_retention(struct compile_file *file, const struct option_list *options,
                     int64_t *retention_ms)
{
    const struct sql_option *option = option_find(options, "retention");
    *retention_ms = 0;
    if (option == NULL)
        return 0;
    *retention_ms = -1;
    if (strcmp(option->value, "forever") == 0)
        return 0;
    if (interval_parse(bytes_text(option->value), retention_ms) == 0 && *retention_ms > 0)
        return 0;
    return source_error(&file->source, ERR_INVALID, option->key.at,
                        "retention = '7 days', or 'forever'", "'%s' is no interval of more than 0",
                        option->value);
}

/* Whether a statement writes the table's topic. */
static bool is_written(const struct sql_program *program, const struct relation *table)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && strcmp(r->topic, table->topic) == 0)
            return true;
    for (const struct sql_copy *copy = program->copies; copy != NULL; copy = copy->next)
        if (strcmp(copy->table->topic, table->topic) == 0)
            return true;
    return false;
}

int options_check_use(struct compile_file *file, const struct relation *relation)
{
    static const char *const of_writers[] = {"timestamps", "retention"};
    const struct statement *statement = relation->statement;
    if (relation->kind != RELATION_TABLE || statement == NULL ||
        statement->kind != STATEMENT_TABLE || is_written(file->program, relation))
        return 0;
    for (size_t i = 0; i < sizeof of_writers / sizeof of_writers[0]; i++) {
        const struct sql_option *option = option_find(&statement->options, of_writers[i]);
        if (option == NULL)
            continue;
        file->source.sql = statement->file_text;
        return source_error(&file->source, ERR_INVALID, option->key.at,
                            "it belongs where an INSERT or COPY writes, or a materialized view",
                            "option %s of %s means nothing: no statement writes it", of_writers[i],
                            relation->name);
    }
    return 0;
}
