/* expr_fold.c: what a literal decides while an expression is compiled.
 *
 * bind_fold computes nodes of literals alone. Here a literal among other arguments decides which of them
 * are ever looked at: AND, OR, CASE and COALESCE evaluate their arguments from left to right and stop
 * at the first that decides, so what stands behind a literal that does is never evaluated for any
 * row, and a literal that decides nothing need not be. What stands before it stays, since its
 * evaluation may fail, and a row for which it does is a bad row.
 *
 *   TRUE AND a → a        a AND TRUE AND b → a AND b      FALSE AND a → FALSE     a AND FALSE AND b → a AND FALSE
 *   CASE WHEN FALSE THEN a WHEN TRUE THEN b ELSE c END → b               COALESCE(NULL, a, 'x', b) → COALESCE(a, 'x')
 *
 * Names are resolved before: what is decoded does not depend on it. */
#include "operators/expr_nodes.h"

static bool is_literal(const struct node *node, bool value)
{
    return node != NULL && node_is_literal(node) && node->type == COL_BOOLEAN &&
           !node_is_null_literal(node) && (node->value.boolean[0] != 0) == value;
}

/* Its flag says that it is OR: then TRUE decides, and FALSE says nothing. */
void fold_logic(struct node **node)
{
    struct node *logic = *node;
    bool decisive = logic->flag;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < logic->arg_count; i++) {
        struct node *arg = logic->args[i];
        if (is_literal(arg, !decisive) && (kept > 0 || i + 1 < logic->arg_count))
            continue;
        logic->args[kept++] = arg;
        if (is_literal(arg, decisive))
            break;
    }
    logic->arg_count = kept;
    if (kept == 1)
        *node = logic->args[0];
}

/* args = operand or NULL, (when, then)…, else or NULL; one without an operand. */
int fold_case(struct binder *binder, struct node **node)
{
    struct node *choice = *node, *otherwise = choice->args[choice->arg_count - 1];
    uint32_t kept = 1;
    for (uint32_t i = 1; i + 1 < choice->arg_count; i += 2) {
        struct node *when = choice->args[i], *then = choice->args[i + 1];
        if (is_literal(when, true)) {
            otherwise = then;
            break;
        }
        if (is_literal(when, false) || (node_is_literal(when) && node_is_null_literal(when)))
            continue;
        choice->args[kept++] = when;
        choice->args[kept++] = then;
    }
    choice->args[kept++] = otherwise;
    choice->arg_count = kept;
    if (kept > 2)
        return 0;
    if (otherwise == NULL)
        return bind_null(binder, choice->type, choice->at, node);
    *node = otherwise;
    return 0;
}

void fold_coalesce(struct node **node)
{
    struct node *choice = *node;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < choice->arg_count; i++) {
        struct node *arg = choice->args[i];
        bool is_last = i + 1 == choice->arg_count;
        if (node_is_literal(arg) && node_is_null_literal(arg) && (kept > 0 || !is_last))
            continue;
        choice->args[kept++] = arg;
        if (node_is_literal(arg) && !node_is_null_literal(arg))
            break;
    }
    choice->arg_count = kept;
    if (kept == 1)
        *node = choice->args[0];
}
