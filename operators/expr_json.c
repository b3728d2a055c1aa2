/* expr_json.c: ->, ->>, #> and #>>: into a JSON value.
 *
 *     item -> 'price'      the value under a key: JSON
 *     item ->> 'sku'       the same as text, without quotes
 *     item -> 0, item -> -1   an element of an array, from the front or from the end
 *     item #> '{parts,0,sku}'   what a path of keys and places leads to: JSON; #>> as text
 *
 * As in PostgreSQL, what is not there, or is asked of a value of another kind, is NULL; a JSON null
 * is NULL as well, as everywhere in weir. Fields of an event itself are better written as dotted
 * names (customer.city): those the decoder finds on its way, while these operators read the value's
 * text again. They are for values that no path leads to: the elements that unnest makes, and what
 * users' functions give. */
#include "operators/expr_internal.h"
#include "operators/json_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* ---- paths ---- */

struct json_path {
    uint32_t count;
    struct json_step {
        struct bytes key;
        bool is_place; /* it reads as a number, so it leads into arrays, too */
        int64_t place;
    } steps[];
};

enum { PATH_STEPS_MAX = 256 };

/* One element of PostgreSQL's text form of an array: bare, or in double quotes with backslashes. Copied without them to the arena. false: it is none. */
static bool path_step(const char **at, const char *end, uint8_t *out, struct json_step *step)
{
    const char *from = *at;
    bool is_quoted = from < end && *from == '"';
    size_t size = 0, kept = 0; /* kept: blanks behind it are not the element's */
    for (from += is_quoted; from < end; from++) {
        if (is_quoted ? *from == '"' : *from == ',' || *from == '}')
            break;
        if (*from == '"' || *from == '{')
            return false;
        bool is_escaped = *from == '\\';
        if (is_escaped && ++from == end)
            return false;
        out[size++] = (uint8_t)*from;
        if (is_quoted || is_escaped || strchr(" \t\n\r\v\f", *from) == NULL)
            kept = size;
    }
    if (from == end)
        return false;
    *at = from + is_quoted;
    step->key = bytes_of(out, kept);
    return is_quoted || (kept > 0 && !(kept == 4 && strncasecmp((char *)out, "null", 4) == 0));
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && strchr(" \t\n\r\v\f", *at) != NULL)
        at++;
    return at;
}

static void read_place(struct json_step *step)
{
    char text[24], *end;
    if (step->key.size == 0 || step->key.size >= sizeof text)
        return;
    memcpy(text, step->key.data, step->key.size);
    text[step->key.size] = '\0';
    errno = 0;
    long long place = strtoll(text, &end, 10);
    step->is_place = *end == '\0' && errno == 0 && place >= INT32_MIN && place <= INT32_MAX;
    step->place = place;
}

/* '{a,0,"b c"}'. NULL in *path when it is not such a text. */
static int path_parse(struct arena *arena, struct bytes text, struct json_path **path)
{
    const char *at = (const char *)text.data, *end = at + text.size;
    struct json_path *made =
        arena_zalloc(arena, sizeof *made + PATH_STEPS_MAX * sizeof *made->steps);
    uint8_t *room = arena_alloc(arena, text.size + 1);
    *path = NULL;
    if (made == NULL || room == NULL)
        return ERR_NOMEM;
    at = skip_blanks(at, end);
    if (at == end || *at++ != '{')
        return 0;
    at = skip_blanks(at, end);
    if (at < end && *at == '}') {
        *path = skip_blanks(at + 1, end) == end ? made : NULL;
        return 0;
    }
    while (made->count < PATH_STEPS_MAX) {
        struct json_step *step = &made->steps[made->count++];
        at = skip_blanks(at, end);
        if (!path_step(&at, end, room, step))
            return 0;
        room += step->key.size;
        read_place(step);
        at = skip_blanks(at, end);
        if (at < end && *at == '}') {
            *path = skip_blanks(at + 1, end) == end ? made : NULL;
            return 0;
        }
        if (at == end || *at++ != ',')
            return 0;
    }
    return 0;
}

static int json_follow(struct row_call *call, const union scalar *args, union scalar *result)
{
    const struct json_path *path = call->node->path;
    const struct variant *v = &args[0].variant;
    if (path->count == 0) {
        *result = args[0];
        return SCALAR_VALUE;
    }
    if (v->kind != VARIANT_JSON)
        return SCALAR_NULL;
    struct bytes text = bytes_of(v->data, v->size);
    int rc = 1;
    for (uint32_t i = 0; i < path->count && rc == 1; i++) {
        const struct json_step *step = &path->steps[i];
        if (text.size > 0 && text.data[0] == '[')
            rc = step->is_place ? json_value_element(text, step->place, &text) : 0;
        else
            rc = json_value_member(text, step->key, call->eval->run->arena, &text);
    }
    return found(call, rc, text, result);
}

static int bind_path(struct binder *binder, struct node *node)
{
    struct json_path *path = NULL;
    const struct node *text = node->args[1];
    if (node_is_literal(text) && !node_is_null_literal(text) &&
        (text->type == COL_TEXT || text->type == TYPE_UNKNOWN))
        TRY(path_parse(binder->arena, text->value.text[0], &path));
    if (path == NULL)
        return source_error(&binder->source, ERR_INVALID, text->at,
                            "write value #>> '{customer,address,0}'",
                            "operator %s takes a path, a text in braces", node->name);
    node->path = path;
    node->scalar = json_follow;
    return 0;
}

/* ---- binding ---- */

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
    if (syntax->text[0] == '#') {
        TRY(bind_path(binder, node));
        return strcmp(syntax->text, "#>>") == 0 ? bind_cast(binder, out, &text, syntax->at) : 0;
    }
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
