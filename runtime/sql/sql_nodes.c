/* sql_nodes.c: what the handlers of PostgreSQL's nodes share: names, options, and the rule that
 * nothing is passed over.
 *
 * The rule is kept by the messages' own descriptors: a handler lists the fields that it looks at,
 * and any other that is set is an error which names it. A new clause of PostgreSQL's, or one that
 * nobody thought of, is so refused by default. In this tree a number, a text or a list is unset when
 * it is zero or empty; of an enum the first constant (value 1, after UNDEFINED) is what the grammar
 * puts in where nothing was written. */
#include "runtime/sql/sql_nodes.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *field, *clause, *hint;
} clauses[] = {
    {"inh_relations", "INHERITS", NULL},
    {"partspec", "PARTITION BY", "WITH (partitions = 4): records go by their key"},
    {"partbound", "PARTITION OF", NULL},
    {"tablespacename", "TABLESPACE", NULL},
    {"table_space_name", "TABLESPACE", NULL},
    {"access_method", "USING", NULL},
    {"on_conflict_clause", "ON CONFLICT", NULL},
    {"returning_list", "RETURNING", NULL},
    {"with_clause", "WITH", NULL},
    {"distinct_clause", "DISTINCT",
     "GROUP BY the columns; or DISTINCT ON (a, b) with within = '24 hours' in the statement's "
     "WITH, which gives the first row "
     "of each"},
    {"into_clause", "INTO", "INSERT INTO … SELECT writes rows to a topic"},
    {"window_clause", "WINDOW", "windows over time: FROM tumble(t, ts, INTERVAL '5 minutes')"},
    {"values_lists", "VALUES", "weir produce writes rows to a topic"},
    {"sort_clause", "ORDER BY", "a stream has no end that it could be sorted at"},
    {"limit_offset", "OFFSET", NULL},
    {"limit_count", "LIMIT", "a stream has no end: count first, then filter"},
    {"locking_clause", "FOR UPDATE", NULL},
    {"raw_default", "DEFAULT", "COALESCE(column, value) in the SELECT"},
    {"identity", "GENERATED AS IDENTITY", NULL},
    {"generated", "GENERATED", NULL},
    {"coll_clause", "COLLATE", "text is ordered by its bytes"},
    {"lateral", "LATERAL", NULL},
    {"ordinality", "WITH ORDINALITY", NULL},
    {"is_rowsfrom", "ROWS FROM", NULL},
    {"coldeflist", "a list of column definitions", NULL},
    {"skip_data", "WITH NO DATA", NULL},
    {"with_check_option", "WITH CHECK OPTION", NULL},
    {"recursive", "RECURSIVE", NULL},
    {"search_clause", "SEARCH", NULL},
    {"cycle_clause", "CYCLE", NULL},
    {"over", "OVER", "windows over time: FROM tumble(t, ts, INTERVAL '5 minutes')"},
    {"oncommit", "ON COMMIT", NULL},
    {"on_commit", "ON COMMIT", NULL},
    {"deferrable", "DEFERRABLE", NULL},
    {"initdeferred", "INITIALLY DEFERRED", NULL},
    {"group_distinct", "GROUP BY DISTINCT", NULL},
    {"behavior", "CASCADE", "drop what reads it first"},
    {"concurrent", "CONCURRENTLY", NULL},
    {"if_not_exists", "IF NOT EXISTS",
     "a file says what there is; running it twice changes nothing"},
    {"replace", "OR REPLACE", "change the statement itself"},
    {"catalogname", "a database's name", "write the table's name alone"},
    {"schemaname", "a schema", "write the table's name alone"},
    {"override", "OVERRIDING", NULL},
    {"defnamespace", "a namespace of options", NULL},
    {"indirection", "a subscript or field", NULL},
    {"conname", "a constraint's name", NULL},
};

static bool is_listed(const char *name, const char *list)
{
    size_t size = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + 1, name))
        if ((at == list || at[-1] == ' ') && (at[size] == '\0' || at[size] == ' '))
            return true;
    return false;
}

static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    const void *place = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count;
        memcpy(&count, base + field->quantifier_offset, sizeof count);
        return count > 0;
    }
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)place != NULL;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(char *const *)place;
        return text != NULL && text[0] != '\0';
    }
    case PROTOBUF_C_TYPE_ENUM:
        return *(const int *)place > 1;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)place != 0;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
        return *(const uint32_t *)place != 0;
    default:
        return true; /* a form of field that this tree does not have today */
    }
}

int nodes_refuse(struct parse *parse, int32_t location, const char *hint, const char *what)
{
    int32_t at = user_position(parse, location);
    return source_error(&parse->source, ERR_UNSUPPORTED, at < 0 ? parse->near : at, hint,
                        "%s is not supported", what);
}

int nodes_know(struct parse *parse, const ProtobufCMessage *message, const char *what,
               const char *known)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (strcmp(field->name, "location") == 0 || is_listed(field->name, known) ||
            !is_set(message, field))
            continue;
        const char *clause = field->name, *hint = NULL;
        for (size_t c = 0; c < sizeof clauses / sizeof clauses[0]; c++)
            if (strcmp(clauses[c].field, field->name) == 0) {
                clause = clauses[c].clause;
                hint = clauses[c].hint;
            }
        char sentence[160];
        snprintf(sentence, sizeof sentence, "%s in %s", clause, what);
        return nodes_refuse(parse, -1, hint, sentence);
    }
    return 0;
}

/* ---- names ---- */

int nodes_name(struct parse *parse, const char *text, int32_t location, struct sql_name *name)
{
    name->at = user_position(parse, location);
    if (name->at < 0)
        name->at = parse->near;
    if (strlen(text) > EXPR_NAME_BYTES_MAX)
        return source_error(&parse->source, ERR_TOO_LARGE, name->at, NULL,
                            "a name is longer than %d bytes", EXPR_NAME_BYTES_MAX);
    name->text = arena_text(parse->arena, text);
    return name->text != NULL ? 0 : ERR_NOMEM;
}

int nodes_relation(struct parse *parse, const PgQuery__RangeVar *range, struct sql_name *name)
{
    TRY(nodes_name(parse, range->relname, range->location, name));
    parse->near = name->at;
    if (range->relpersistence != NULL && strcmp(range->relpersistence, "p") != 0)
        return nodes_refuse(parse, range->location, "every table is a topic, which lasts",
                            "TEMPORARY or UNLOGGED");
    if (!range->inh)
        return nodes_refuse(parse, range->location, NULL, "ONLY");
    return nodes_know(parse, &range->base, "a table's name", "relname inh relpersistence alias");
}

int nodes_names(struct parse *parse, PgQuery__Node **nodes, size_t count, struct sql_name **names,
                uint32_t *name_count)
{
    *names = arena_zalloc(parse->arena, (count + 1) * sizeof **names);
    if (*names == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *text = string_of(nodes[i]);
        int32_t location = -1;
        if (nodes[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET) {
            TRY(nodes_know(parse, &nodes[i]->res_target->base, "a list of columns", "name"));
            text = nodes[i]->res_target->name;
            location = nodes[i]->res_target->location;
        }
        if (text == NULL)
            return refuse_node(parse, nodes[i]);
        TRY(nodes_name(parse, text, location, &(*names)[i]));
    }
    *name_count = (uint32_t)count;
    return 0;
}

/* ---- WITH (…), OPTIONS (…) ---- */

static int option_value(struct parse *parse, const struct sql_option *option,
                        const PgQuery__Node *node, char digits[16], const char **text)
{
    *text = node != NULL ? string_of(node) : NULL;
    if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_INTEGER) {
        snprintf(digits, 16, "%d", node->integer->ival);
        *text = digits;
    }
    if (*text != NULL)
        return 0;
    return source_error(&parse->source, ERR_INVALID, option->key.at, "write it as emit = 'changes'",
                        "the value of %s must be a text in quotes or a whole number",
                        option->key.text);
}

int nodes_options(struct parse *parse, PgQuery__Node **nodes, size_t count,
                  struct option_list *options)
{
    options->items = arena_zalloc(parse->arena, (count + 1) * sizeof *options->items);
    if (options->items == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct sql_option *option = &options->items[i];
        char digits[16];
        const char *text;
        if (nodes[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
            return refuse_node(parse, nodes[i]);
        const PgQuery__DefElem *element = nodes[i]->def_elem;
        TRY(nodes_name(parse, element->defname, element->location, &option->key));
        TRY(nodes_know(parse, &element->base, "an option", "defname arg"));
        TRY(option_value(parse, option, element->arg, digits, &text));
        for (size_t k = 0; k < i; k++)
            if (strcmp(options->items[k].key.text, option->key.text) == 0)
                return source_error(&parse->source, ERR_INVALID, option->key.at, NULL,
                                    "option %s is given twice", option->key.text);
        option->value = arena_text(parse->arena, text);
        if (option->value == NULL)
            return ERR_NOMEM;
    }
    options->count = (uint32_t)count;
    return 0;
}
