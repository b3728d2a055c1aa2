/* expr_like.c: LIKE and ILIKE.
 *
 * A literal pattern is classified once: no wildcard at all, one % at the end, at the start, or at
 * both ends become a comparison, a prefix, a suffix or a search; anything else is matched by the
 * general walk. That walk keeps only the last % to come back to, so it needs no recursion and no
 * memory; _ steps over one character. ILIKE maps both sides to lower case first, as PostgreSQL does
 * for UTF-8. The escape character is the backslash; a pattern that ends in it is a row error, as in
 * PostgreSQL. */
#include "operators/expr_text.h"

enum like_kind { LIKE_EXACT, LIKE_PREFIX, LIKE_SUFFIX, LIKE_CONTAINS, LIKE_GENERAL, LIKE_BROKEN };

struct like_pattern {
    enum like_kind kind;
    struct bytes text; /* the fixed part, unescaped; for LIKE_GENERAL the pattern */
};

static bool ends_in_escape(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.data[i] == '\\' && ++i == pattern.size)
            return true;
    }
    return false;
}

/* ---- The walk ---- */

static bool like_match(struct bytes text, struct bytes pattern)
{
    const uint8_t *t = text.data, *t_end = t + text.size;
    const uint8_t *p = pattern.data, *p_end = p + pattern.size;
    const uint8_t *again_p = NULL, *again_t = NULL;
    while (t < t_end) {
        if (p < p_end && *p == '%') {
            again_p = ++p;
            again_t = t;
            continue;
        }
        if (p < p_end && *p == '_') {
            t += utf8_size(*t);
            p++;
            continue;
        }
        if (p < p_end) {
            bool escape = *p == '\\';
            if (p[escape] == *t) {
                p += 1 + escape;
                t++;
                continue;
            }
        }
        if (again_p == NULL)
            return false;
        p = again_p;
        again_t += utf8_size(*again_t);
        t = again_t;
    }
    while (p < p_end && *p == '%')
        p++;
    return p == p_end && t == t_end;
}

/* ---- Literal patterns ---- */

/* The pattern between from and to without escapes; false when a wildcard is left in it. */
static bool fixed_part(struct bytes pattern, size_t from, size_t to, uint8_t *out, size_t *size)
{
    *size = 0;
    for (size_t i = from; i < to; i++) {
        uint8_t c = pattern.data[i];
        if (c == '%' || c == '_')
            return false;
        if (c == '\\')
            c = pattern.data[++i];
        out[(*size)++] = c;
    }
    return true;
}

static bool last_is_percent(struct bytes pattern)
{
    size_t i = 0, last = 0;
    while (i < pattern.size) {
        last = i;
        i += pattern.data[i] == '\\' ? 2 : 1;
    }
    return pattern.size > 0 && pattern.data[last] == '%';
}

static int pattern_make(struct binder *binder, struct bytes pattern, struct like_pattern **out)
{
    struct like_pattern *like = arena_zalloc(binder->arena, sizeof *like);
    uint8_t *fixed = arena_alloc(binder->arena, pattern.size + 1);
    if (like == NULL || fixed == NULL)
        return ERR_NOMEM;
    *out = like;
    like->text = pattern;
    if (ends_in_escape(pattern)) {
        like->kind = LIKE_BROKEN;
        return 0;
    }
    bool head = pattern.size > 0 && pattern.data[0] == '%', tail = last_is_percent(pattern);
    size_t from = head, to = pattern.size - tail, size;
    if (to < from)
        to = from;
    if (!fixed_part(pattern, from, to, fixed, &size)) {
        like->kind = LIKE_GENERAL;
        return 0;
    }
    like->kind = head && tail ? LIKE_CONTAINS
                 : head       ? LIKE_SUFFIX
                 : tail       ? LIKE_PREFIX
                              : LIKE_EXACT;
    like->text = bytes_of(fixed, size);
    return 0;
}

static bool pattern_match(const struct like_pattern *like, struct bytes text)
{
    struct bytes fixed = like->text;
    switch (like->kind) {
    case LIKE_EXACT:
        return text.size == fixed.size && memcmp(text.data, fixed.data, fixed.size) == 0;
    case LIKE_PREFIX:
        return text.size >= fixed.size && memcmp(text.data, fixed.data, fixed.size) == 0;
    case LIKE_SUFFIX:
        return text.size >= fixed.size &&
               memcmp(text.data + text.size - fixed.size, fixed.data, fixed.size) == 0;
    case LIKE_CONTAINS:
        return memmem(text.data, text.size, fixed.data, fixed.size) != NULL;
    default:
        return like_match(text, fixed);
    }
}

/* ---- Evaluation ---- */

static int like_broken(struct eval *eval, struct column *out, uint32_t row)
{
    return eval_fail(eval, out, row, "invalid_argument",
                     "LIKE pattern must not end with the escape character");
}

static int like_row(const struct node *node, struct eval *eval, struct bytes text,
                    struct bytes pattern, uint32_t row, struct column *out)
{
    struct arena *arena = eval->run->arena;
    bool matches;
    if (node->op)
        TRY(text_change_case(arena, text, false, &text));
    if (node->pattern != NULL) {
        if (node->pattern->kind == LIKE_BROKEN)
            return like_broken(eval, out, row);
        matches = pattern_match(node->pattern, text);
    } else {
        if (node->op)
            TRY(text_change_case(arena, pattern, false, &pattern));
        if (ends_in_escape(pattern))
            return like_broken(eval, out, row);
        matches = like_match(text, pattern);
    }
    out->boolean[row] = matches != node->flag;
    return 0;
}

static int eval_like(const struct node *node, struct eval *eval, struct column *out)
{
    struct column c[2], result;
    TRY(node_run(node->args[0], eval, &c[0]));
    TRY(node_run(node->args[1], eval, &c[1]));
    TRY(eval_alloc(eval, &result, COL_BOOLEAN, false));
    TRY(eval_merge_nulls(eval, c, 2, &result.nulls));
    const uint8_t *nulls = result.nulls;
    for (uint32_t i = 0; i < eval->count; i++) {
        uint32_t row = row_at(eval->rows, i);
        if (nulls == NULL || !nulls[row])
            TRY(like_row(node, eval, c[0].text[column_at(&c[0], row)],
                         c[1].text[column_at(&c[1], row)], row, &result));
    }
    *out = result;
    return 0;
}

/* op: ILIKE; flag: NOT. */
int bind_like(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct node *node = node_new(binder, eval_like, COL_BOOLEAN, syntax->at, 2);
    if (node == NULL)
        return ERR_NOMEM;
    *out = node;
    node->flag = syntax->negated;
    node->op = syntax->insensitive;
    for (uint32_t i = 0; i < 2; i++) {
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
        TRY(bind_coerce(binder, &node->args[i], COL_TEXT));
    }
    if (!node_is_literal(node->args[1]) || node_is_null_literal(node->args[1]))
        return 0;
    struct bytes pattern = node->args[1]->value.text[0];
    struct like_pattern *like;
    if (node->op)
        TRY(text_change_case(binder->arena, pattern, false, &pattern));
    TRY(pattern_make(binder, pattern, &like));
    node->pattern = like;
    return 0;
}
