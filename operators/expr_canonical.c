/* expr_canonical.c: what a text means, as bytes: two texts with the same bytes are the same
 * expression.
 *
 * The syntax tree is written in prefix form, every field that binding looks at, none that it does not
 * (positions, spaces, letter case of keywords and unquoted names, needless parentheses). So a text
 * that was only laid out anew gives the same bytes, and one that says anything else does not. Lengths
 * stand before texts, so that no text can look like another one's structure.
 *
 * For a select list with aggregates only the calls count, in the order in which they are first
 * written: they are what accumulators are kept for. What is computed from them, and how the columns
 * are named, is decided anew for each row that is emitted. The bytes are hashed and stored as a hash
 * (plan.c); their form may change only together with the formats of states. */
#include "operators/expr_internal.h"

#include <string.h>

enum { CALLS_MAX = 256 };

static void put_text(struct buf *out, const char *text)
{
    buf_uvarint(out, text != NULL ? strlen(text) + 1 : 0);
    if (text != NULL)
        buf_append(out, text, strlen(text));
}

static void put_flags(struct buf *out, const struct syntax *syntax)
{
    buf_u8(out, (uint8_t)(syntax->negated | syntax->insensitive << 1 | syntax->symmetric << 2 |
                          syntax->truth << 3 | syntax->star << 4 | syntax->distinct << 5));
}

static void put_syntax(struct buf *out, const struct syntax *syntax)
{
    buf_u8(out, syntax != NULL);
    if (syntax == NULL)
        return;
    buf_u8(out, (uint8_t)syntax->kind);
    put_text(out, syntax->text);
    put_flags(out, syntax);
    buf_uvarint(out, (uint64_t)syntax->test);
    buf_uvarint(out, syntax->path.count);
    for (uint32_t i = 0; i < syntax->path.count; i++)
        put_text(out, syntax->path.parts[i]);
    if (syntax->kind == SYNTAX_CAST) {
        buf_u8(out, syntax->type.type);
        buf_u8(out, syntax->type.integer_bytes);
        buf_varint(out, syntax->type.precision);
        buf_varint(out, syntax->type.scale);
    }
    buf_uvarint(out, syntax->arg_count);
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        put_syntax(out, syntax->args[i]);
    put_syntax(out, syntax->filter);
}

static void put_list(struct buf *out, const struct target_list *targets)
{
    buf_uvarint(out, targets->count);
    for (uint32_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        put_text(out, target->name != NULL ? target->name : syntax_name(target->syntax));
        put_syntax(out, target->syntax);
    }
}

struct calls {
    const struct syntax *items[CALLS_MAX];
    uint32_t count;
};

static void collect(struct calls *calls, const struct syntax *syntax)
{
    if (syntax == NULL)
        return;
    if (syntax->kind != SYNTAX_CALL || !is_aggregate_name(syntax->text)) {
        for (uint32_t i = 0; i < syntax->arg_count; i++)
            collect(calls, syntax->args[i]);
        return;
    }
    for (uint32_t i = 0; i < calls->count; i++)
        if (syntax_equal(calls->items[i], syntax))
            return;
    if (calls->count < CALLS_MAX) /* more are refused when the list is compiled */
        calls->items[calls->count++] = syntax;
}

static void put_calls(struct buf *out, const struct target_list *targets)
{
    struct calls calls = {.count = 0};
    for (uint32_t i = 0; i < targets->count; i++)
        collect(&calls, targets->items[i].syntax);
    buf_uvarint(out, calls.count);
    for (uint32_t i = 0; i < calls.count; i++)
        put_syntax(out, calls.items[i]);
}

int expr_canonical(const char *sql, bool calls_only, struct buf *out, struct diag *diag)
{
    struct arena arena;
    struct target_list targets;
    arena_init(&arena, 0);
    int rc = syntax_parse(sql, &arena, &targets, diag);
    if (rc == 0 && calls_only)
        put_calls(out, &targets);
    else if (rc == 0)
        put_list(out, &targets);
    arena_deinit(&arena);
    return rc == 0 && !buf_ok(out) ? diag_set(diag, ERR_NOMEM, "no memory for an expression") : rc;
}
