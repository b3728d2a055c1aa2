/* sql_options.c: WITH (…): which options a statement has, and their values.
 *
 * Each statement lists what it knows, and any other name is an error with the nearest of those. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <string.h>

const struct sql_option *option_find(const struct option_list *options, const char *name)
{
    for (uint32_t i = 0; i < options->count; i++)
        if (strcmp(options->items[i].key.text, name) == 0)
            return &options->items[i];
    return NULL;
}

/* Those that the contract names and this version does not have. */
static const char *const later[] = {"on_error", "partitions", "partitioned_by",
                                    "within",   "format",     "timestamps"};

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
        for (size_t k = 0; k < sizeof later / sizeof later[0]; k++)
            if (strcmp(later[k], key->text) == 0)
                return source_error(&file->source, ERR_UNSUPPORTED, key->at, NULL,
                                    "option %s of %s is not supported", key->text,
                                    statement_name(statement->kind));
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
