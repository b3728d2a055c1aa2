/* expr_name.c: what an expression is called without AS, and when two are the same. Both only look
 * at syntax. */
#include "operators/expr_internal.h"

/* PostgreSQL's rule: a column's or function's own name, also under a cast. Where PostgreSQL would
 * say ?column? or take a type's name for it, there is none: an output column deserves a name that
 * somebody chose. */
const char *syntax_name(const struct syntax *syntax)
{
    switch (syntax->kind) {
    case SYNTAX_COLUMN:
        return syntax->path.parts[syntax->path.count - 1];
    case SYNTAX_CALL:
    case SYNTAX_AGGREGATE:
        return syntax->text;
    case SYNTAX_CAST:
        return syntax->args[0]->kind == SYNTAX_CASE ? NULL : syntax_name(syntax->args[0]);
    case SYNTAX_COALESCE:
        return "coalesce";
    case SYNTAX_NULLIF:
        return "nullif";
    case SYNTAX_GREATEST:
        return "greatest";
    case SYNTAX_LEAST:
        return "least";
    case SYNTAX_CASE: {
        const struct syntax *otherwise = syntax->args[syntax->arg_count - 1];
        const char *name =
            otherwise != NULL && otherwise->kind != SYNTAX_CASE ? syntax_name(otherwise) : NULL;
        return name != NULL ? name : "case";
    }
    default:
        return NULL;
    }
}

static bool text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool path_equal(const struct field_path *a, const struct field_path *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (strcmp(a->parts[i], b->parts[i]) != 0)
            return false;
    }
    return true;
}

static bool shape_equal(const struct syntax *a, const struct syntax *b)
{
    return a->kind == b->kind && a->arg_count == b->arg_count && a->index == b->index &&
           a->test == b->test && a->negated == b->negated && a->insensitive == b->insensitive &&
           a->symmetric == b->symmetric && a->truth == b->truth && a->star == b->star &&
           a->distinct == b->distinct && text_equal(a->text, b->text) &&
           path_equal(&a->path, &b->path) && a->type.type == b->type.type &&
           a->type.integer_bytes == b->type.integer_bytes &&
           a->type.precision == b->type.precision && a->type.scale == b->type.scale;
}

bool syntax_equal(const struct syntax *a, const struct syntax *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (!shape_equal(a, b) || !syntax_equal(a->filter, b->filter))
        return false;
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (!syntax_equal(a->args[i], b->args[i]))
            return false;
    }
    return true;
}
