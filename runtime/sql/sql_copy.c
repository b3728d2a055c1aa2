/* sql_copy.c: COPY t FROM 'file': what is read, and how its bytes are rows.
 *
 * Both of PostgreSQL's spellings of options end in the same list, and so do the rules: each is PostgreSQL's own, with its reason in the
 * hint where that is not plain. FORMAT json is weir's: a JSON value a line, as weir produce takes them. */
#include "runtime/sql/sql_nodes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refuse_ways(struct parse *parse, const PgQuery__CopyStmt *copy)
{
    if (copy->query != NULL)
        return nodes_refuse(parse, -1, "INSERT INTO … SELECT writes rows to a topic",
                            "COPY of a query");
    if (!copy->is_from)
        return nodes_refuse(parse, -1, "weir consume TOPIC --until-end --format value > FILE",
                            "COPY … TO");
    if (copy->is_program)
        return nodes_refuse(parse, -1, "PROGRAM | weir produce TOPIC", "COPY … FROM PROGRAM");
    if (copy->filename == NULL || copy->filename[0] == '\0')
        return nodes_refuse(parse, -1, "weir produce TOPIC < FILE", "COPY … FROM STDIN");
    if (copy->where_clause != NULL)
        return nodes_refuse(parse, -1,
                            "a CHECK of the table, whose rows are then dead letters; or WHERE in "
                            "the view that reads it",
                            "WHERE in COPY");
    return 0;
}

/* PostgreSQL's tree has no place for the file's name: it stands behind the table's. */
static int read_file_name(struct parse *parse, const char *name, struct copy_definition *copy)
{
    const char *from = parse->source.sql + parse->near, *found = strstr(from, name);
    copy->file.at = parse->near;
    if (found != NULL && found > from && found[-1] == '\'')
        copy->file.at = (int32_t)(found - 1 - parse->source.sql);
    if (strlen(name) > 4000)
        return source_error(&parse->source, ERR_TOO_LARGE, copy->file.at, NULL,
                            "a file's name is longer than 4000 bytes");
    copy->file.text = arena_text(parse->arena, name);
    return copy->file.text != NULL ? 0 : ERR_NOMEM;
}

/* ---- options ---- */

/* An option under its reader's eyes. */
struct copy_option {
    struct parse *parse;
    struct copy_definition *copy;
    const PgQuery__DefElem *element;
    int32_t at;
};

static int wrong(const struct copy_option *option, const char *hint, const char *sentence)
{
    return source_error(&option->parse->source, ERR_INVALID, option->at, hint, "COPY: %s %s",
                        option->element->defname, sentence);
}

static int option_text(const struct copy_option *option, const char **text)
{
    *text = option->element->arg != NULL ? string_of(option->element->arg) : NULL;
    return *text != NULL ? 0 : wrong(option, NULL, "needs a text in quotes");
}

/* One byte that no line end is. */
static int option_byte(const struct copy_option *option, uint8_t *byte)
{
    const char *text;
    TRY(option_text(option, &text));
    if (strlen(text) != 1 || (uint8_t)text[0] >= 0x80 || text[0] == '\n' || text[0] == '\r')
        return wrong(option, "E'\\t' is a tab", "must be a single one-byte character");
    *byte = (uint8_t)text[0];
    return 0;
}

static int only_csv(const struct copy_option *option)
{
    return option->copy->format == COPY_CSV ? 0 : wrong(option, "FORMAT csv", "is for FORMAT csv");
}

static int read_format(const struct copy_option *option)
{
    const char *text;
    TRY(option_text(option, &text));
    if (strcmp(text, "csv") == 0)
        option->copy->format = COPY_CSV;
    else if (strcmp(text, "json") == 0)
        option->copy->format = COPY_JSON;
    else if (strcmp(text, "text") != 0)
        return source_error(&option->parse->source, ERR_UNSUPPORTED, option->at,
                            "csv, text, or json for a JSON object a line",
                            "COPY: format \"%s\" is not supported", text);
    return 0;
}

static int read_delimiter(const struct copy_option *option)
{
    struct copy_definition *copy = option->copy;
    TRY(option_byte(option, &copy->delimiter));
    if (copy->format == COPY_TEXT &&
        strchr("\\.abcdefghijklmnopqrstuvwxyz0123456789", copy->delimiter) != NULL)
        return wrong(option, "as in PostgreSQL: what a backslash may stand before",
                     "of FORMAT text cannot be this character");
    return copy->format != COPY_JSON ? 0 : wrong(option, NULL, "is not for FORMAT json");
}

static int read_null(const struct copy_option *option)
{
    const char *text;
    TRY(option_text(option, &text));
    if (option->copy->format == COPY_JSON)
        return wrong(option, NULL, "is not for FORMAT json");
    if (strpbrk(text, "\r\n") != NULL)
        return wrong(option, NULL, "cannot hold a line end");
    option->copy->null_text = arena_text(option->parse->arena, text);
    return option->copy->null_text != NULL ? 0 : ERR_NOMEM;
}

static int read_quote(const struct copy_option *option)
{
    TRY(only_csv(option));
    return option_byte(option, &option->copy->quote);
}

static int read_escape(const struct copy_option *option)
{
    TRY(only_csv(option));
    return option_byte(option, &option->copy->escape);
}

static int read_header(const struct copy_option *option)
{
    static const struct {
        const char *word;
        enum copy_header header;
    } words[] = {{"true", COPY_HEADER_SKIPPED}, {"on", COPY_HEADER_SKIPPED},
                 {"1", COPY_HEADER_SKIPPED},    {"false", COPY_HEADER_NONE},
                 {"off", COPY_HEADER_NONE},     {"0", COPY_HEADER_NONE},
                 {"match", COPY_HEADER_MATCHES}};
    const PgQuery__Node *arg = option->element->arg;
    const char *text = arg != NULL ? string_of(arg) : "true";
    char digits[16];
    if (option->copy->format == COPY_JSON)
        return wrong(option, NULL, "is not for FORMAT json");
    if (arg != NULL && arg->node_case == PG_QUERY__NODE__NODE_INTEGER) {
        snprintf(digits, sizeof digits, "%d", arg->integer->ival);
        text = digits;
    } else if (arg != NULL && arg->node_case == PG_QUERY__NODE__NODE_BOOLEAN) {
        text = arg->boolean->boolval ? "true" : "false";
    }
    for (size_t i = 0; text != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i].word) == 0) {
            option->copy->header = words[i].header;
            return 0;
        }
    return wrong(option, NULL, "is true, false or match");
}

static int read_encoding(const struct copy_option *option)
{
    const char *text;
    TRY(option_text(option, &text));
    if (strcasecmp(text, "utf8") == 0 || strcasecmp(text, "utf-8") == 0)
        return 0;
    return source_error(&option->parse->source, ERR_UNSUPPORTED, option->at,
                        "iconv -t UTF-8 makes a file of it that is",
                        "COPY: encoding '%s' is not supported, but UTF8 is", text);
}

static int read_columns(const struct copy_option *option, struct sql_name **names, uint32_t *count)
{
    const PgQuery__Node *arg = option->element->arg;
    TRY(only_csv(option));
    if (arg == NULL || arg->node_case != PG_QUERY__NODE__NODE_LIST)
        return wrong(option, NULL, "needs a list of columns");
    return nodes_names(option->parse, arg->list->items, arg->list->n_items, names, count);
}

static int read_force_null(const struct copy_option *option)
{
    return read_columns(option, &option->copy->force_null, &option->copy->force_null_count);
}

static int read_force_not_null(const struct copy_option *option)
{
    return read_columns(option, &option->copy->force_not_null, &option->copy->force_not_null_count);
}

static const struct {
    const char *name;
    int (*read)(const struct copy_option *option);
    const char *hint; /* read NULL: why it is not there */
} known[] = {
    {"format", read_format, NULL},
    {"delimiter", read_delimiter, NULL},
    {"null", read_null, NULL},
    {"header", read_header, NULL},
    {"quote", read_quote, NULL},
    {"escape", read_escape, NULL},
    {"encoding", read_encoding, NULL},
    {"force_null", read_force_null, NULL},
    {"force_not_null", read_force_not_null, NULL},
    {"freeze", NULL, "rows are seen when their transaction is committed"},
    {"force_quote", NULL, "it is of COPY … TO"},
};

static int read_option(struct copy_option *option, bool wants_format)
{
    const char *name = option->element->defname;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        if (known[i].read == NULL)
            return source_error(&option->parse->source, ERR_UNSUPPORTED, option->at, known[i].hint,
                                "COPY: option %s is not supported", name);
        return (known[i].read == read_format) == wants_format ? known[i].read(option) : 0;
    }
    return source_error(&option->parse->source, ERR_INVALID, option->at,
                        "format, header, delimiter, null, quote, escape, encoding, force_null and "
                        "force_not_null are",
                        "COPY has no option %s", name);
}

/* What other options may be depends on FORMAT, wherever it stands. */
static int read_options(struct parse *parse, const PgQuery__CopyStmt *copy,
                        struct copy_definition *definition)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < copy->n_options; i++) {
            if (copy->options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
                return refuse_node(parse, copy->options[i]);
            struct copy_option option = {parse, definition, copy->options[i]->def_elem, -1};
            option.at = user_position(parse, option.element->location);
            TRY(nodes_know(parse, &option.element->base, "an option", "defname arg"));
            for (size_t k = 0; k < i; k++)
                if (strcmp(copy->options[k]->def_elem->defname, option.element->defname) == 0)
                    return wrong(&option, NULL, "is given twice");
            TRY(read_option(&option, pass == 0));
        }
        bool is_csv = definition->format == COPY_CSV;
        if (pass == 0) {
            definition->delimiter = is_csv ? ',' : '\t';
            definition->null_text = is_csv ? "" : "\\N";
            definition->quote = '"';
        }
    }
    return 0;
}

/* What would leave it open what a byte means. */
static int check_bytes(struct parse *parse, const struct copy_definition *copy)
{
    const char *problem = NULL;
    if (copy->format == COPY_CSV && copy->delimiter == copy->quote)
        problem = "delimiter and quote must differ";
    else if (copy->format == COPY_CSV && strchr(copy->null_text, copy->quote) != NULL)
        problem = "the quote cannot stand in null";
    else if (copy->format != COPY_JSON && strchr(copy->null_text, copy->delimiter) != NULL)
        problem = "the delimiter cannot stand in null";
    return problem == NULL
               ? 0
               : source_error(&parse->source, ERR_INVALID, parse->near, NULL, "COPY: %s", problem);
}

int nodes_copy(struct parse *parse, const PgQuery__CopyStmt *copy, struct statement *statement)
{
    struct copy_definition *definition = arena_zalloc(parse->arena, sizeof *definition);
    if (definition == NULL)
        return ERR_NOMEM;
    TRY(refuse_ways(parse, copy));
    TRY(nodes_relation(parse, copy->relation, &statement->name));
    TRY(nodes_know(parse, &copy->base, "COPY", "relation attlist is_from filename options"));
    TRY(nodes_names(parse, copy->attlist, copy->n_attlist, &statement->targets,
                    &statement->target_count));
    TRY(read_file_name(parse, copy->filename, definition));
    TRY(read_options(parse, copy, definition));
    if (definition->escape == 0)
        definition->escape = definition->quote;
    statement->copy = definition;
    return check_bytes(parse, definition);
}
