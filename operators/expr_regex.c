/* expr_regex.c: ~, ~*, !~ and !~*: whether a regular expression (operators/regex.h) matches somewhere in a text.
 *
 * A literal pattern is compiled once, when the expression is, and belongs to it; what is wrong with it is an error of
 * the source. A pattern that comes from a column is compiled for its row, and kept for the next row as long as it is the same one; what is
 * wrong with it rejects the row. */
#include "operators/expr_internal.h"
#include "operators/regex.h"

#include <stdlib.h>
#include <string.h>

struct regex_kept {
    struct regex *regex;
    struct regex_kept *next;
};

void regex_list_destroy(struct regex_kept *list)
{
    while (list != NULL) {
        struct regex_kept *next = list->next;
        regex_destroy(list->regex);
        free(list);
        list = next;
    }
}

/* What a column's patterns need in one evaluation. */
struct latest_pattern {
    struct regex *regex;
    struct bytes pattern;
};

static int compile_for_row(const struct node *node, struct eval *eval, struct bytes pattern,
                           struct latest_pattern *latest, uint32_t row, struct column *out)
{
    struct diag diag = {0};
    if (latest->regex != NULL && pattern.size == latest->pattern.size &&
        memcmp(pattern.data, latest->pattern.data, pattern.size) == 0)
        return 0;
    regex_destroy(latest->regex);
    latest->regex = NULL;
    latest->pattern = pattern;
    int rc = regex_compile(pattern, node->op, &latest->regex, &diag);
    if (rc == 0 || rc == ERR_NOMEM)
        return rc;
    char *hint = strstr(diag.text, "\nhint: ");
    if (hint != NULL)
        *hint = '\0';
    return eval_fail(eval, out, row, "invalid_argument", "%s", diag.text);
}

static int match_rows(const struct node *node, struct eval *eval, const struct column *arguments,
                      struct latest_pattern *latest, struct column *out)
{
    const uint8_t *nulls = out->nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls != NULL && nulls[row])
            continue;
        const struct regex *regex = node->regex;
        if (regex == NULL) {
            TRY(compile_for_row(node, eval, arguments[1].text[column_at(&arguments[1], row)],
                                latest, row, out));
            regex = latest->regex;
        }
        if (regex != NULL)
            out->boolean[row] =
                regex_matches(regex, arguments[0].text[column_at(&arguments[0], row)]) !=
                node->flag;
    }
    return 0;
}

/* op: without case; flag: negated. */
static int eval_regex(const struct node *node, struct eval *eval, struct column *out)
{
    struct column arguments[2], result;
    struct latest_pattern latest = {0};
    TRY(node_run(node->args[0], eval, &arguments[0]));
    TRY(node_run(node->args[1], eval, &arguments[1]));
    TRY(eval_alloc(eval, &result, COL_BOOLEAN, false));
    TRY(eval_merge_nulls(eval, arguments, 2, &result.nulls));
    int rc = match_rows(node, eval, arguments, &latest, &result);
    regex_destroy(latest.regex);
    *out = result;
    return rc;
}

static int keep(struct binder *binder, struct node *node, struct regex *regex)
{
    struct regex_kept *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        regex_destroy(regex);
        return ERR_NOMEM;
    }
    *kept = (struct regex_kept){regex, *binder->regexes};
    *binder->regexes = kept;
    node->regex = regex;
    return 0;
}

static int compile_literal(struct binder *binder, struct node *node)
{
    struct regex *regex;
    struct diag diag = {0};
    int rc = regex_compile(node->args[1]->value.text[0], node->op, &regex, &diag);
    if (rc == 0)
        return keep(binder, node, regex);
    if (rc == ERR_NOMEM)
        return rc;
    char *hint = strstr(diag.text, "\nhint: ");
    if (hint != NULL)
        *hint = '\0';
    return source_error(&binder->source, rc, node->args[1]->at,
                        hint != NULL ? hint + strlen("\nhint: ") : NULL, "%s", diag.text);
}

int bind_regex(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct node *node = node_new(binder, eval_regex, COL_BOOLEAN, syntax->at, 2);
    if (node == NULL)
        return ERR_NOMEM;
    *out = node;
    node->flag = syntax->text[0] == '!';
    node->op = syntax->text[strlen(syntax->text) - 1] == '*';
    node->name = syntax->text;
    for (uint32_t i = 0; i < 2; i++) {
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
        TRY(bind_coerce(binder, &node->args[i], COL_TEXT));
    }
    if (!node_is_literal(node->args[1]) || node_is_null_literal(node->args[1]))
        return 0;
    return compile_literal(binder, node);
}
