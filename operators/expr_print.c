/* expr_print.c: from a tree back to SQL.
 *
 * The text parses to an equal tree (syntax_equal), so that whoever changed names in a tree can hand it to a
 * function that takes texts. It is fully parenthesised rather than pretty: precedence is not worth a table
 * here. What PostgreSQL's grammar has a form of its own for but keeps as a call (EXTRACT, SUBSTRING … FROM) is printed
 * as the call, under pg_catalog where the bare name is a keyword. */
#include "operators/expr.h"
#include "operators/syntax.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>
#include <string.h>

struct keyword_job {
    const char *word;
    bool as_function, is_keyword;
};

static void look_up(void *argument)
{
    struct keyword_job *job = argument;
    PgQueryScanResult result = pg_query_scan(job->word);
    if (result.error == NULL) {
        PgQuery__ScanResult *scan =
            pg_query__scan_result__unpack(NULL, result.pbuf.len, (const uint8_t *)result.pbuf.data);
        if (scan != NULL && scan->n_tokens == 1) {
            PgQuery__KeywordKind kind = scan->tokens[0]->keyword_kind;
            job->is_keyword =
                kind != PG_QUERY__KEYWORD_KIND__NO_KEYWORD &&
                kind != PG_QUERY__KEYWORD_KIND__UNRESERVED_KEYWORD &&
                !(job->as_function && kind == PG_QUERY__KEYWORD_KIND__TYPE_FUNC_NAME_KEYWORD);
        }
        if (scan != NULL)
            pg_query__scan_result__free_unpacked(scan, NULL);
    }
    pg_query_free_scan_result(result);
}

/* Whether PostgreSQL's scanner takes the word for a keyword that cannot name a column, or, with
 * as_function, a function. The scanner, too, keeps something for each thread that calls it. */
static bool is_keyword(const char *word, bool as_function)
{
    struct keyword_job job = {word, as_function,
                              true}; /* what cannot be scanned is better quoted */
    (void)expr_on_large_stack(look_up, &job, NULL);
    return job.is_keyword;
}

static bool is_plain(const char *name)
{
    if (!(*name >= 'a' && *name <= 'z') && *name != '_')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static void print_quoted(const char *text, char quote, struct buf *out)
{
    buf_u8(out, (uint8_t)quote);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == quote)
            buf_u8(out, (uint8_t)quote);
        buf_u8(out, (uint8_t)*c);
    }
    buf_u8(out, (uint8_t)quote);
}

void syntax_print_name(const char *name, struct buf *out)
{
    if (is_plain(name) && !is_keyword(name, false))
        buf_printf(out, "%s", name);
    else
        print_quoted(name, '"', out);
}

static void print_list(const struct syntax *syntax, uint32_t first, const char *between,
                       struct buf *out)
{
    for (uint32_t i = first; i < syntax->arg_count; i++) {
        if (i > first)
            buf_printf(out, "%s", between);
        syntax_print(syntax->args[i], out);
    }
}

static void print_column(const struct syntax *syntax, struct buf *out)
{
    for (uint32_t i = 0; i < syntax->path.count; i++) {
        if (i > 0)
            buf_u8(out, '.');
        syntax_print_name(syntax->path.parts[i], out);
    }
}

static void print_call(const struct syntax *syntax, struct buf *out)
{
    if (!is_plain(syntax->text)) {
        print_quoted(syntax->text, '"', out);
    } else {
        buf_printf(out, is_keyword(syntax->text, true) ? "pg_catalog.%s" : "%s", syntax->text);
    }
    buf_printf(out, syntax->star ? "(*" : syntax->distinct ? "(DISTINCT " : "(");
    print_list(syntax, 0, ", ", out);
    buf_u8(out, ')');
    if (syntax->filter != NULL) {
        buf_printf(out, " FILTER (WHERE ");
        syntax_print(syntax->filter, out);
        buf_u8(out, ')');
    }
}

static void print_case(const struct syntax *syntax, struct buf *out)
{
    const struct syntax *otherwise = syntax->args[syntax->arg_count - 1];
    buf_printf(out, "CASE");
    if (syntax->args[0] != NULL) {
        buf_u8(out, ' ');
        syntax_print(syntax->args[0], out);
    }
    for (uint32_t i = 1; i + 1 < syntax->arg_count; i += 2) {
        buf_printf(out, " WHEN ");
        syntax_print(syntax->args[i], out);
        buf_printf(out, " THEN ");
        syntax_print(syntax->args[i + 1], out);
    }
    if (otherwise != NULL) {
        buf_printf(out, " ELSE ");
        syntax_print(otherwise, out);
    }
    buf_printf(out, " END");
}

static void print_cast(const struct syntax *syntax, struct buf *out)
{
    buf_printf(out, "CAST(");
    syntax_print(syntax->args[0], out);
    buf_printf(out, " AS %s", syntax->type.name);
    if (syntax->type.precision > 0)
        buf_printf(out, "(%d, %d)", syntax->type.precision, syntax->type.scale);
    buf_u8(out, ')');
}

/* operand, a word or two, then the other arguments. */
static void print_infix(const struct syntax *syntax, const char *words, const char *between,
                        struct buf *out)
{
    syntax_print(syntax->args[0], out);
    buf_printf(out, syntax->arg_count > 1 ? " %s " : " %s", words);
    print_list(syntax, 1, between, out);
}

static void print_named(const struct syntax *syntax, const char *name, struct buf *out)
{
    buf_printf(out, "%s(", name);
    print_list(syntax, 0, ", ", out);
    buf_u8(out, ')');
}

static void print_in(const struct syntax *syntax, struct buf *out)
{
    print_infix(syntax, syntax->negated ? "NOT IN (" : "IN (", ", ", out);
    buf_u8(out, ')');
}

static const char *boolean_test(const struct syntax *syntax)
{
    static const char *const words[][2] = {
        {"IS TRUE", "IS NOT TRUE"}, {"IS FALSE", "IS NOT FALSE"}, {"IS UNKNOWN", "IS NOT UNKNOWN"}};
    return words[syntax->test][syntax->negated];
}

static const char *between_words(const struct syntax *syntax)
{
    if (syntax->symmetric)
        return syntax->negated ? "NOT BETWEEN SYMMETRIC" : "BETWEEN SYMMETRIC";
    return syntax->negated ? "NOT BETWEEN" : "BETWEEN";
}

static const char *like_words(const struct syntax *syntax)
{
    if (syntax->insensitive)
        return syntax->negated ? "NOT ILIKE" : "ILIKE";
    return syntax->negated ? "NOT LIKE" : "LIKE";
}

/* What stands in parentheses of its own. */
static void print_operation(const struct syntax *syntax, struct buf *out)
{
    buf_u8(out, '(');
    switch (syntax->kind) {
    case SYNTAX_OPERATOR:
        if (syntax->arg_count == 1) {
            buf_printf(out, "%s ", syntax->text);
            print_list(syntax, 0, "", out);
        } else {
            print_infix(syntax, syntax->text, "", out);
        }
        break;
    case SYNTAX_AND:
        print_list(syntax, 0, " AND ", out);
        break;
    case SYNTAX_OR:
        print_list(syntax, 0, " OR ", out);
        break;
    case SYNTAX_NOT:
        buf_printf(out, "NOT ");
        print_list(syntax, 0, "", out);
        break;
    case SYNTAX_NULL_TEST:
        print_infix(syntax, syntax->negated ? "IS NOT NULL" : "IS NULL", "", out);
        break;
    case SYNTAX_BOOLEAN_TEST:
        print_infix(syntax, boolean_test(syntax), "", out);
        break;
    case SYNTAX_DISTINCT:
        print_infix(syntax, syntax->negated ? "IS NOT DISTINCT FROM" : "IS DISTINCT FROM", "", out);
        break;
    case SYNTAX_BETWEEN:
        print_infix(syntax, between_words(syntax), " AND ", out);
        break;
    case SYNTAX_LIKE:
        print_infix(syntax, like_words(syntax), "", out);
        break;
    default:
        print_in(syntax, out);
        break;
    }
    buf_u8(out, ')');
}

void syntax_print(const struct syntax *syntax, struct buf *out)
{
    switch (syntax->kind) {
    case SYNTAX_NULL:
        buf_printf(out, "NULL");
        break;
    case SYNTAX_BOOLEAN:
        buf_printf(out, syntax->truth ? "true" : "false");
        break;
    case SYNTAX_NUMBER:
        buf_printf(out, syntax->text[0] == '-' ? "(%s)" : "%s", syntax->text);
        break;
    case SYNTAX_STRING:
        print_quoted(syntax->text, '\'', out);
        break;
    case SYNTAX_COLUMN:
        print_column(syntax, out);
        break;
    case SYNTAX_CASE:
        print_case(syntax, out);
        break;
    case SYNTAX_COALESCE:
        print_named(syntax, "COALESCE", out);
        break;
    case SYNTAX_NULLIF:
        print_named(syntax, "NULLIF", out);
        break;
    case SYNTAX_GREATEST:
        print_named(syntax, "GREATEST", out);
        break;
    case SYNTAX_LEAST:
        print_named(syntax, "LEAST", out);
        break;
    case SYNTAX_CAST:
        print_cast(syntax, out);
        break;
    case SYNTAX_CALL:
        print_call(syntax, out);
        break;
    case SYNTAX_AGGREGATE:
        must(false); /* agg_list.c's own, which nobody prints */
        break;
    default:
        print_operation(syntax, out);
        break;
    }
}
