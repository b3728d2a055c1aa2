/* sql_parse.c: a file's text to statements.
 *
 * PostgreSQL's scanner cuts the text at its semicolons, then each statement is parsed by itself: an error in one does not hide
 * those of the others, and what recursion costs is bounded by the longest statement that is permitted (32 KiB, as one
 * expression) and not by the file (1 MiB). All of it runs on one thread with a large stack. What comes out is our own
 * tree, no deeper than EXPR_DEPTH_MAX; everything behind this file may recurse on any stack.
 *
 * Other systems have spellings of their own for what weir does. Where a statement does not parse, those are looked for in its
 * words, and the hint shows weir's. */
#include "runtime/sql/sql_nodes.h"

#include <ctype.h>
#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *statement_name(enum statement_kind kind)
{
    static const char *const names[] = {"CREATE TABLE", "CREATE VIEW", "CREATE MATERIALIZED VIEW",
                                        "INSERT INTO", "DROP", "COPY"};
    return names[kind];
}

/* ---- foreign spellings ---- */

static const struct {
    const char *words; /* as they stand in the text, in upper case, one blank between */
    const char *hint;
} spellings[] = {
    {"CREATE STREAM", "CREATE TABLE t (…) WITH (topic = '…') reads a topic; CREATE MATERIALIZED "
                      "VIEW and INSERT INTO write one"},
    {"CREATE SINK",
     "INSERT INTO t SELECT …, or CREATE MATERIALIZED VIEW v WITH (topic = '…') AS SELECT …"},
    {"CREATE SOURCE", "CREATE TABLE t (…) WITH (topic = '…')"},
    {"CREATE FUNCTION", "C functions are for the C library: weir_map_fn, weir_aggregate_fn"},
    {"WINDOW TUMBLING",
     "SELECT …, window_start FROM tumble(t, ts, INTERVAL '5 minutes') GROUP BY …, window_start"},
    {"WINDOW HOPPING",
     "FROM hop(t, ts, INTERVAL '1 minute', INTERVAL '5 minutes') … GROUP BY …, window_start"},
    {"WINDOW SESSION", "FROM session(t, ts, INTERVAL '30 minutes') … GROUP BY …, window_start"},
    {"TABLE(TUMBLE", "FROM tumble(t, ts, INTERVAL '5 minutes') … GROUP BY …, window_start"},
    {"TABLE(HOP",
     "FROM hop(t, ts, INTERVAL '1 minute', INTERVAL '5 minutes') … GROUP BY …, window_start"},
    {"TABLE(SESSION", "FROM session(t, ts, INTERVAL '30 minutes') … GROUP BY …, window_start"},
    {"DESCRIPTOR(", "FROM tumble(t, ts, INTERVAL '5 minutes'): the column stands alone"},
    {"EMIT CHANGES", "CREATE MATERIALIZED VIEW v WITH (emit = 'changes') AS SELECT …"},
    {"EMIT FINAL", "CREATE MATERIALIZED VIEW v WITH (emit = 'final') AS SELECT …"},
    {"EMIT ON WINDOW CLOSE", "CREATE MATERIALIZED VIEW v WITH (emit = 'final') AS SELECT …"},
    {"WATERMARK FOR", "WITH (event_time = 'ts', lateness = '30 seconds')"},
    {"GRACE PERIOD", "WITH (lateness = '30 seconds') on the table"},
    {"PARTITION BY", "WITH (partitions = 4); grouping re-keys by itself"},
    {"STRUCT<", "a nested field is a column: page text OPTIONS (path 'properties.page')"},
    {" STRING", "the type is text"},
    {" VARCHAR", "the type is text"},
    {" DOUBLE", "the type is double precision"},
};

/* In upper case, white space as one blank and none around parentheses, quoted parts left out. */
static void squeeze(const char *text, size_t size, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\'' || c == '"') {
            while (++i < size && text[i] != c)
                ;
            c = '?';
        }
        if (isspace((unsigned char)c)) {
            if (n > 0 && out[n - 1] != ' ' && out[n - 1] != '(')
                out[n++] = ' ';
            continue;
        }
        if (c == '(' && n > 0 && out[n - 1] == ' ')
            n--;
        out[n++] = (char)toupper((unsigned char)c);
    }
    out[n] = '\0';
}

static const char *foreign_hint(const char *text, size_t size)
{
    const char *hint = NULL;
    char *words = malloc(size + 1);
    if (words == NULL)
        return NULL;
    squeeze(text, size, words);
    for (size_t i = 0; hint == NULL && i < sizeof spellings / sizeof spellings[0]; i++)
        if (strstr(words, spellings[i].words) != NULL)
            hint = spellings[i].hint;
    free(words);
    return hint;
}

/* ---- one statement ---- */

static int read_view(struct parse *parse, const PgQuery__ViewStmt *view,
                     struct statement *statement)
{
    TRY(nodes_relation(parse, view->view, &statement->name));
    statement->replaces = view->replace;
    TRY(nodes_know(parse, &view->base, "CREATE VIEW", "view query aliases options replace"));
    TRY(nodes_names(parse, view->aliases, view->n_aliases, &statement->targets,
                    &statement->target_count));
    TRY(nodes_options(parse, view->options, view->n_options, &statement->options));
    return nodes_select(parse, view->query, &statement->select);
}

static int read_create_as(struct parse *parse, const PgQuery__CreateTableAsStmt *create,
                          struct statement *statement)
{
    const PgQuery__IntoClause *into = create->into;
    if (create->objtype != PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW)
        return nodes_refuse(parse, -1, "CREATE MATERIALIZED VIEW v AS SELECT …",
                            "CREATE TABLE … AS");
    TRY(nodes_relation(parse, into->rel, &statement->name));
    statement->only_if = create->if_not_exists;
    TRY(nodes_know(parse, &create->base, "CREATE MATERIALIZED VIEW",
                   "query into objtype if_not_exists"));
    TRY(nodes_know(parse, &into->base, "CREATE MATERIALIZED VIEW", "rel col_names options"));
    TRY(nodes_names(parse, into->col_names, into->n_col_names, &statement->targets,
                    &statement->target_count));
    TRY(nodes_options(parse, into->options, into->n_options, &statement->options));
    return nodes_select(parse, create->query, &statement->select);
}

static int read_insert(struct parse *parse, const PgQuery__InsertStmt *insert,
                       struct statement *statement)
{
    TRY(nodes_relation(parse, insert->relation, &statement->name));
    TRY(nodes_know(parse, &insert->base, "INSERT", "relation cols select_stmt"));
    TRY(nodes_names(parse, insert->cols, insert->n_cols, &statement->targets,
                    &statement->target_count));
    return nodes_select(parse, insert->select_stmt, &statement->select);
}

/* DROP VIEW a, b. PostgreSQL gives each name as a list of its parts, and no places. */
static int read_drop(struct parse *parse, const PgQuery__DropStmt *drop,
                     struct statement *statement)
{
    switch (drop->remove_type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
        statement->dropped = STATEMENT_TABLE;
        break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
        statement->dropped = STATEMENT_VIEW;
        break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
        statement->dropped = STATEMENT_MATERIALIZED_VIEW;
        break;
    default:
        return nodes_refuse(parse, -1, "DROP TABLE, DROP VIEW and DROP MATERIALIZED VIEW are",
                            "DROP of this");
    }
    TRY(nodes_know(parse, &drop->base, "DROP", "objects remove_type missing_ok"));
    statement->only_if = drop->missing_ok;
    statement->targets =
        arena_zalloc(parse->arena, (drop->n_objects + 1) * sizeof *statement->targets);
    if (statement->targets == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < drop->n_objects; i++) {
        const PgQuery__Node *object = drop->objects[i];
        const char *name =
            object->node_case == PG_QUERY__NODE__NODE_LIST && object->list->n_items == 1
                ? string_of(object->list->items[0])
                : NULL;
        if (name == NULL)
            return nodes_refuse(parse, -1, "write the table's name alone", "a schema in DROP");
        TRY(nodes_name(parse, name, -1, &statement->targets[statement->target_count++]));
    }
    return 0;
}

static const struct {
    PgQuery__Node__NodeCase node;
    const char *what, *hint;
} refused[] = {
    {PG_QUERY__NODE__NODE_SELECT_STMT, "SELECT by itself",
     "CREATE MATERIALIZED VIEW keeps its result; INSERT INTO … SELECT writes its rows to a topic"},
    {PG_QUERY__NODE__NODE_UPDATE_STMT, "UPDATE",
     "produce the row's new version: the latest of a key holds"},
    {PG_QUERY__NODE__NODE_DELETE_STMT, "DELETE", "produce a record with the key and no value"},
    {PG_QUERY__NODE__NODE_INDEX_STMT, "CREATE INDEX", NULL},
    {PG_QUERY__NODE__NODE_TRANSACTION_STMT, "a transaction",
     "every commit of a pipeline is one, exactly once, by itself"},
    {PG_QUERY__NODE__NODE_VARIABLE_SET_STMT, "SET", "settings are flags of weir run"},
};

static int refuse_statement(struct parse *parse, const PgQuery__Node *node)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (refused[i].node == node->node_case)
            return nodes_refuse(parse, -1, refused[i].hint, refused[i].what);
    return refuse_node(parse, node);
}

static int read_statement(struct parse *parse, PgQuery__Node *node, void *into);

/* EXPLAIN (FORMAT json): the only option; a plan that has not run has no times, and none has costs. */
static int read_explain_options(struct parse *parse, const PgQuery__ExplainStmt *explain,
                                struct statement *statement)
{
    static const char *const formats[] = {
        [EXPLAIN_TEXT] = "text", [EXPLAIN_DOT] = "dot", [EXPLAIN_JSON] = "json"};
    struct option_list options = {.count = 0};
    for (size_t i = 0; i < explain->n_options; i++) {
        const PgQuery__Node *node = explain->options[i];
        const PgQuery__DefElem *option =
            node->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? node->def_elem : NULL;
        if (option == NULL || strcmp(option->defname, "format") != 0)
            return nodes_refuse(parse, option != NULL ? option->location : -1,
                                option != NULL && strcmp(option->defname, "analyze") == 0
                                    ? "weir top and weir run --metrics tell what runs"
                                    : "EXPLAIN (FORMAT text), json and dot",
                                "this option of EXPLAIN");
    }
    TRY(nodes_options(parse, explain->options, explain->n_options, &options));
    for (uint32_t f = EXPLAIN_TEXT; options.count > 0; f++) {
        if (f > EXPLAIN_JSON)
            return source_error(&parse->source, ERR_INVALID, options.items[0].key.at,
                                "text, json or dot", "'%s' is no format of EXPLAIN",
                                options.items[0].value);
        statement->explain_format = (enum explain_format)f;
        if (strcmp(options.items[0].value, formats[f]) == 0)
            break;
    }
    return 0;
}

/* A SELECT is what a materialized view of it would be. */
static int read_explain(struct parse *parse, const PgQuery__ExplainStmt *explain,
                        struct statement *statement)
{
    TRY(nodes_know(parse, &explain->base, "EXPLAIN", "query options"));
    TRY(read_explain_options(parse, explain, statement));
    statement->is_explained = true;
    switch (explain->query->node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
        statement->kind = STATEMENT_MATERIALIZED_VIEW;
        statement->is_query = true;
        statement->name = (struct sql_name){"select", -1};
        return nodes_select(parse, explain->query, &statement->select);
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
    case PG_QUERY__NODE__NODE_INSERT_STMT:
        return read_statement(parse, explain->query, statement);
    default:
        return nodes_refuse(parse, -1, "SELECT, CREATE MATERIALIZED VIEW and INSERT have a plan",
                            "EXPLAIN of this statement");
    }
}

static int read_statement(struct parse *parse, PgQuery__Node *node, void *into)
{
    struct statement *statement = into;
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
        return read_explain(parse, node->explain_stmt, statement);
    case PG_QUERY__NODE__NODE_CREATE_STMT:
        statement->kind = STATEMENT_TABLE;
        return nodes_create_table(parse, node->create_stmt, statement);
    case PG_QUERY__NODE__NODE_VIEW_STMT:
        statement->kind = STATEMENT_VIEW;
        return read_view(parse, node->view_stmt, statement);
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
        statement->kind = STATEMENT_MATERIALIZED_VIEW;
        return read_create_as(parse, node->create_table_as_stmt, statement);
    case PG_QUERY__NODE__NODE_INSERT_STMT:
        statement->kind = STATEMENT_INSERT;
        return read_insert(parse, node->insert_stmt, statement);
    case PG_QUERY__NODE__NODE_DROP_STMT:
        statement->kind = STATEMENT_DROP;
        return read_drop(parse, node->drop_stmt, statement);
    case PG_QUERY__NODE__NODE_COPY_STMT:
        statement->kind = STATEMENT_COPY;
        return nodes_copy(parse, node->copy_stmt, statement);
    default:
        return refuse_statement(parse, node);
    }
}

/* ---- the file ---- */

struct parse_file {
    const char *text;
    struct arena *arena;
    struct statement **end;
    struct diag *diag;
    int rc;
};

/* Comments and white space before a statement are not what a message should point at. */
static int32_t skip_blank(const char *text, int32_t at, int32_t end)
{
    for (;;) {
        while (at < end && isspace((unsigned char)text[at]))
            at++;
        if (at + 1 < end && text[at] == '-' && text[at + 1] == '-') {
            while (at < end && text[at] != '\n')
                at++;
        } else if (at + 1 < end && text[at] == '/' && text[at + 1] == '*') {
            int depth = 0;
            do {
                if (at + 1 < end && text[at] == '/' && text[at + 1] == '*') {
                    depth++;
                    at += 2;
                } else if (at + 1 < end && text[at] == '*' && text[at + 1] == '/') {
                    depth--;
                    at += 2;
                } else {
                    at++;
                }
            } while (depth > 0 && at < end);
        } else {
            return at;
        }
    }
}

static int syntax_failed(const struct parse *parse, const char *text, const PgQueryError *error)
{
    if (parse_was_too_deep(error->message))
        return source_error(&parse->source, ERR_TOO_LARGE, parse->near, NULL,
                            "the statement is nested too deeply");
    int32_t at = cursor_position(parse, text, error->cursorpos);
    return source_error(&parse->source, ERR_INVALID, at < 0 ? parse->near : at,
                        foreign_hint(text, strlen(text)), "%s", error->message);
}

int nodes_parse(struct parse *parse, const char *text, nodes_read *read, void *into)
{
    PgQueryProtobufParseResult result = pg_query_parse_protobuf(text);
    PgQuery__ParseResult *tree = NULL;
    int rc = ERR_NOMEM;
    if (result.error != NULL) {
        rc = syntax_failed(parse, text, result.error);
    } else {
        tree = pg_query__parse_result__unpack(NULL, result.parse_tree.len,
                                              (const uint8_t *)result.parse_tree.data);
        if (tree != NULL)
            rc = tree->n_stmts == 1
                     ? read(parse, tree->stmts[0]->stmt, into)
                     : source_error(&parse->source, ERR_INVALID, parse->near, NULL,
                                    "one statement is expected, and a semicolon behind it");
    }
    if (tree != NULL)
        pg_query__parse_result__free_unpacked(tree, NULL);
    pg_query_free_protobuf_parse_result(result);
    return rc;
}

static int parse_one(struct parse_file *file, int32_t start, int32_t end)
{
    struct diag diag = {0};
    struct parse parse = {.source = {file->text, &diag}, .arena = file->arena};
    start = skip_blank(file->text, start, end);
    if (start == end)
        return 0;
    struct statement *statement = arena_zalloc(file->arena, sizeof *statement);
    char *text = strndup(file->text + start, (size_t)(end - start));
    int rc = ERR_NOMEM;
    parse.shift = -start;
    parse.near = start;
    if (statement != NULL && text != NULL)
        rc = end - start > EXPR_TEXT_BYTES_MAX
                 ? source_error(&parse.source, ERR_TOO_LARGE, start, NULL,
                                "a statement is longer than %d bytes", EXPR_TEXT_BYTES_MAX)
                 : nodes_parse(&parse, text, read_statement, statement);
    free(text);
    if (rc < 0 && rc != ERR_NOMEM) {
        statement->error = arena_text(file->arena, diag.text);
        rc = statement->error != NULL ? 0 : ERR_NOMEM;
    }
    if (rc == 0) {
        *file->end = statement;
        file->end = &statement->next;
    }
    return rc;
}

/* What the scanner takes for no statement: one without its semicolon, parentheses that never close, a word alone. The
 * parser says what is wrong with it. */
static int parse_rest(struct parse_file *file, int32_t start, int32_t end)
{
    int32_t at;
    while ((at = skip_blank(file->text, start, end)) < end && file->text[at] == ';')
        start = at + 1;
    return parse_one(file, at, end);
}

static int parse_all(struct parse_file *file, const PgQuerySplitResult *split)
{
    int32_t done = 0;
    for (int i = 0; i < split->n_stmts; i++) {
        int32_t start = split->stmts[i]->stmt_location;
        TRY(parse_rest(file, done, start));
        done = start + split->stmts[i]->stmt_len;
        TRY(parse_one(file, start, done));
    }
    return parse_rest(file, done, (int32_t)strlen(file->text));
}

static void parse_file(void *argument)
{
    struct parse_file *file = argument;
    struct parse parse = {.source = {file->text, file->diag}, .near = -1};
    PgQuerySplitResult split = pg_query_split_with_scanner(file->text);
    if (split.error != NULL)
        file->rc = syntax_failed(&parse, file->text, split.error);
    else if (split.n_stmts > STATEMENTS_MAX)
        file->rc =
            source_error(&parse.source, ERR_TOO_LARGE, split.stmts[STATEMENTS_MAX]->stmt_location,
                         "one pipeline a file is easier to change",
                         "a file has at most %d statements", STATEMENTS_MAX);
    else
        file->rc = parse_all(file, &split);
    pg_query_free_split_result(split);
}

int nodes_check_text(const char *text, size_t size, struct diag *diag)
{
    struct source source = {text, diag};
    size_t bad;
    if (size > FILE_BYTES_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "the file has more than %d bytes, which is the limit",
                        FILE_BYTES_MAX);
    size_t end = strlen(text);
    if (end < size)
        return source_error(&source, ERR_INVALID, (int32_t)end, "is it a text file?",
                            "there is a NUL byte");
    if (!parse_utf8_valid((const uint8_t *)text, size, &bad))
        return diag_set(diag, ERR_INVALID, "the text is not valid UTF-8 at byte %zu", bad);
    return 0;
}

int sql_parse(const char *text, size_t size, struct arena *arena, struct statement **first,
              struct diag *diag)
{
    struct parse_file file = {.text = text, .arena = arena, .end = first, .diag = diag};
    *first = NULL;
    TRY(nodes_check_text(text, size, diag));
    TRY(expr_on_large_stack(parse_file, &file, diag));
    return file.rc;
}
