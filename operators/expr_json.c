/* expr_json.c: -> and ->>: into a JSON value.
 *
 *     item -> 'price'      the value under a key: JSON
 *     item ->> 'sku'       the same as text, without quotes
 *     item -> 0, item -> -1   an element of an array, from the front or from the end
 *
 * As in PostgreSQL, what is not there, or is asked of a value of another kind, is NULL; a JSON null
 * is NULL as well, as everywhere in weir. Fields of an event itself are better written as dotted
 * names (customer.city): those the decoder finds on its way, while these operators read the value's
 * text again. They are for values that no path leads to: the elements that unnest makes, and what
 * users' functions give. */
#include "operators/expr_internal.h"
#include "operators/json_value.h"

static int fail_json(struct row_call *call)
{
    return scalar_fail(call, "json_malformed", "the value is not JSON");
}

/* What was found (rc of the search) as a value. */
static int found(struct row_call *call, int rc, struct bytes text, union scalar *result)
{
    if (rc == 1)
        rc = json_value_read(text, call->eval->run->arena, &result->variant);
    else if (rc == 0)
        return SCALAR_NULL;
    if (rc == ERR_INVALID)
        return fail_json(call);
    if (rc < 0)
        return rc;
    return result->variant.kind == VARIANT_NULL ? SCALAR_NULL : SCALAR_VALUE;
}

static int json_member(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    struct bytes text;
    if (v->kind != VARIANT_JSON)
        return SCALAR_NULL;
    int rc =
        json_value_member(bytes_of(v->data, v->size), args[1].text, call->eval->run->arena, &text);
    return found(call, rc, text, result);
}

static int json_element(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct variant *v = &args[0].variant;
    struct bytes text;
    if (v->kind != VARIANT_JSON)
        return SCALAR_NULL;
    int rc = json_value_element(bytes_of(v->data, v->size), args[1].i64, &text);
    return found(call, rc, text, result);
}

int bind_json_operator(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    static const struct sql_type text = {.type = COL_TEXT, .name = "text"};
    struct node *node = node_new(binder, eval_scalar, COL_VARIANT, syntax->at, 2);
    if (node == NULL)
        return ERR_NOMEM;
    *out = node;
    node->name = syntax->text;
    for (uint32_t i = 0; i < 2; i++)
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
    uint8_t left = node->args[0]->type, right = node->args[1]->type;
    if (left != COL_VARIANT)
        return source_error(&binder->source, ERR_INVALID, syntax->at,
                            "a field of the event, an element of weir_unnest or a jsonb column "
                            "stands on its left",
                            "operator %s takes a JSON value, not %s", syntax->text,
                            type_name(left));
    if (right != COL_BIGINT && right != COL_TEXT && right != TYPE_UNKNOWN)
        return source_error(&binder->source, ERR_INVALID, syntax->at,
                            "write value -> 'key' or value -> 0",
                            "operator %s takes a key (text) or a place (bigint), not %s",
                            syntax->text, type_name(right));
    node->scalar = right == COL_BIGINT ? json_element : json_member;
    if (right != COL_BIGINT)
        TRY(bind_coerce(binder, &node->args[1], COL_TEXT));
    return strcmp(syntax->text, "->>") == 0 ? bind_cast(binder, out, &text, syntax->at) : 0;
}
