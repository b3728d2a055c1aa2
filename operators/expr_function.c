/* expr_function.c: calls: which function a name and its arguments mean, and || and concat.
 *
 * Functions stand in three tables (text, math, time), one entry each, with a signature of a letter
 * per argument. Of the entries of a name the first whose letters accept the arguments is taken; the
 * tables list exact types before wider ones. Whoever adds a function writes its scalar_fn and a
 * line in the table; names, argument checks, conversions, NULLs and error positions are done here.
 *
 * Functions that read the clock, a random source or the session are refused by name: a replay of
 * the log must give the same results. */
#include "operators/expr_nodes.h"

#include <stdio.h>

static const struct function *const tables[] = {text_functions, math_functions, time_functions,
                                                bytea_functions};

static const struct {
    const char *name, *hint;
} refused_functions[] = {
    {"now", "a replay must give the same result; use the event's own time"},
    {"clock_timestamp", "a replay must give the same result; use the event's own time"},
    {"statement_timestamp", "a replay must give the same result; use the event's own time"},
    {"transaction_timestamp", "a replay must give the same result; use the event's own time"},
    {"random", "a replay must give the same result"},
    {"gen_random_uuid", "a replay must give the same result"},
    {"timezone", "times are UTC; add or subtract an interval"},
    {"like_escape", "the escape character of LIKE is the backslash"},
    {"regexp_replace", "replace(text, from, to) replaces fixed text"},
    {"regexp_match", "text ~ 'pattern' says whether it matches"},
    {"similar_to_escape", "use LIKE"},
    {"array_agg", "aggregates: count, sum, avg, min, max, first, last"},
    {"string_agg", "aggregates: count, sum, avg, min, max, first, last"},
    {"bool_and", "min(CASE WHEN … THEN 1 ELSE 0 END)"},
    {"bool_or", "max(CASE WHEN … THEN 1 ELSE 0 END)"},
};

bool is_aggregate_name(const char *name)
{
    static const char *const names[] = {"count", "sum", "avg", "min", "max", "first", "last"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* ---- Signatures ---- */

static uint8_t letter_type(char letter)
{
    switch (letter) {
    case 't':
    case '*':
        return COL_TEXT;
    case 'i':
    case 'f':
    case 'g':
    case 'e':
    case 'h':
    case 'u':
        return COL_BIGINT;
    case 'y':
        return COL_BYTEA;
    case 'n':
        return COL_NUMERIC;
    case 'd':
        return COL_DOUBLE;
    case 'N':
        return TYPE_NUMBER;
    case 'z':
        return COL_TIMESTAMPTZ;
    case 'v':
        return COL_INTERVAL;
    default:
        must(letter == 'b');
        return COL_BOOLEAN;
    }
}

static bool of_bytes(char letter)
{
    return letter == 'h' || letter == 'u';
}

static bool is_field(char letter)
{
    return strchr("fgehu", letter) != NULL;
}

static bool accepts(char letter, const struct node *arg)
{
    uint8_t type = arg->type;
    if (letter == '*')
        return true;
    if (is_field(letter))
        return type == TYPE_UNKNOWN || type == COL_TEXT;
    if (type == TYPE_UNKNOWN)
        return letter != 'N';
    if (type == letter_type(letter))
        return true;
    switch (type) {
    case COL_BIGINT:
        return letter == 'n' || letter == 'd';
    case COL_NUMERIC:
        return letter == 'd';
    case TYPE_NUMBER:
        return letter == 'n' || letter == 'd' || letter == 'i';
    case COL_VARIANT:
        return letter != 'z' && letter != 'v' && letter != 'y';
    default:
        return false;
    }
}

static bool signature_fits(const char *letters, const struct node *const *args, uint32_t count)
{
    if (letters[0] == '*')
        return count > 0;
    if (strlen(letters) != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!accepts(letters[i], args[i]))
            return false;
    }
    return true;
}

static void print_signature(const struct function *function, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s(", function->name);
    for (const char *letter = function->signature + 2; *letter != '\0' && used < size; letter++) {
        const char *name = *letter == '*'      ? "any, …"
                           : of_bytes(*letter) ? "'name'"
                           : is_field(*letter) ? "'field'"
                                               : type_name(letter_type(*letter));
        used += (size_t)snprintf(text + used, size - used, "%s%s",
                                 letter == function->signature + 2 ? "" : ", ", name);
    }
    if (used < size)
        snprintf(text + used, size - used, ")");
}

/* ---- Errors ---- */

static int unknown_function(struct binder *binder, const struct syntax *syntax)
{
    const char *names[128] = {"count",  "sum",      "avg",   "min", "max",     "coalesce",
                              "nullif", "greatest", "least", "mod", "extract", "trim"};
    uint32_t count = 12;
    char hint[160];
    for (size_t i = 0; i < sizeof refused_functions / sizeof refused_functions[0]; i++) {
        if (strcmp(refused_functions[i].name, syntax->text) == 0)
            return source_error(&binder->source, ERR_UNSUPPORTED, syntax->at,
                                refused_functions[i].hint, "function %s is not supported",
                                syntax->text);
    }
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct function *f = tables[t]; f->name != NULL; f++) {
            if (count < sizeof names / sizeof names[0])
                names[count++] = f->name;
        }
    }
    const char *close = closest_name(syntax->text, names, count);
    if (close != NULL)
        snprintf(hint, sizeof hint, "did you mean \"%s\"?", close);
    return source_error(&binder->source, ERR_INVALID, syntax->at, close != NULL ? hint : NULL,
                        "function %s does not exist", syntax->text);
}

static int no_signature(struct binder *binder, const struct syntax *syntax,
                        const struct node *const *args)
{
    char given[256] = "", hint[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < syntax->arg_count && used < sizeof given; i++)
        used += (size_t)snprintf(given + used, sizeof given - used, "%s%s", i > 0 ? ", " : "",
                                 type_name(args[i]->type));
    used = 0;
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct function *f = tables[t]; f->name != NULL; f++) {
            char one[128];
            if (strcmp(f->name, syntax->text) != 0 || strchr(f->signature + 2, 'N') != NULL)
                continue;
            print_signature(f, one, sizeof one);
            if (used + strlen(one) + 4 < sizeof hint)
                used += (size_t)snprintf(hint + used, sizeof hint - used, "%s%s",
                                         used > 0 ? " or " : "", one);
        }
    }
    return source_error(&binder->source, ERR_INVALID, syntax->at, hint,
                        "function %s does not take (%s)", syntax->text, given);
}

/* ---- Binding ---- */

static const char *names_hint(char letter)
{
    switch (letter) {
    case 'h':
        return "forms: hex, base64, escape";
    case 'u':
        return "text is UTF8";
    case 'e':
        return "an interval has the field epoch, its length in seconds";
    default:
        return "fields: year, quarter, month, week, day, hour, minute, second, …; extract also has "
               "dow, doy, epoch";
    }
}

/* date_trunc('day', …): the field is read once, here. */
static int bind_field(struct binder *binder, char letter, struct node **arg)
{
    char name[32];
    if (!node_is_literal(*arg) || node_is_null_literal(*arg))
        return source_error(&binder->source, ERR_UNSUPPORTED, (*arg)->at, "write it as a literal",
                            "%s must be a literal",
                            of_bytes(letter) ? "this name" : "the field of a time");
    struct bytes text = (*arg)->value.text[0];
    snprintf(name, sizeof name, "%.*s", clip(text, sizeof name - 1), (const char *)text.data);
    int field = of_bytes(letter) ? bytea_name_find(name, letter) : time_field_find(name, letter);
    if (field < 0)
        return source_error(&binder->source, ERR_INVALID, (*arg)->at, names_hint(letter),
                            "\"%s\" is not %s", name,
                            letter == 'h'   ? "a form of bytes as text"
                            : letter == 'u' ? "an encoding that can be taken here"
                                            : "a field that can be taken here");
    struct node *literal = node_new(binder, eval_literal, COL_BIGINT, (*arg)->at, 0);
    if (literal == NULL)
        return ERR_NOMEM;
    literal->value = (struct column){.type = COL_BIGINT, .constant = true};
    literal->value.i64 = arena_alloc(binder->arena, sizeof(int64_t));
    if (literal->value.i64 == NULL)
        return ERR_NOMEM;
    literal->value.i64[0] = field;
    *arg = literal;
    return 0;
}

/* Any value as text; inside concat PostgreSQL writes booleans as t and f, everywhere else as true
 * and false. */
static int short_boolean(struct row_call *call, const union scalar *args, union scalar *result)
{
    (void)call;
    result->text = bytes_text(args[0].boolean ? "t" : "f");
    return SCALAR_VALUE;
}

static int bind_any_text(struct binder *binder, struct node **arg)
{
    static const struct sql_type text = {.type = COL_TEXT, .name = "text"};
    if ((*arg)->type == COL_BOOLEAN) {
        struct node *node = node_new(binder, eval_scalar, COL_TEXT, (*arg)->at, 1);
        if (node == NULL)
            return ERR_NOMEM;
        node->args[0] = *arg;
        node->scalar = short_boolean;
        *arg = node;
        return bind_fold(binder, arg);
    }
    return bind_cast(binder, arg, &text, (*arg)->at);
}

static int bind_function(struct binder *binder, const struct syntax *syntax,
                         const struct function *function, struct node *node)
{
    const char *letters = function->signature + 2;
    node->type = letter_type(function->signature[0]);
    node->eval = function->sees_nulls ? eval_scalar_nulls : eval_scalar;
    node->scalar = function->call;
    node->name = function->name;
    for (uint32_t i = 0; i < syntax->arg_count; i++) {
        char letter = letters[0] == '*' ? '*' : letters[i];
        if (letter == '*')
            TRY(bind_any_text(binder, &node->args[i]));
        else if (is_field(letter))
            TRY(bind_field(binder, letter, &node->args[i]));
        else
            TRY(bind_coerce(binder, &node->args[i], letter_type(letter)));
    }
    return 0;
}

static int check_plain_call(struct binder *binder, const struct syntax *syntax)
{
    if (is_aggregate_name(syntax->text))
        return source_error(
            &binder->source, ERR_INVALID, syntax->at,
            "aggregates stand in the select list of a GROUP BY, not inside each other",
            "aggregate function %s is not allowed here", syntax->text);
    if (syntax->star || syntax->distinct || syntax->filter != NULL)
        return source_error(&binder->source, ERR_INVALID, syntax->at, NULL,
                            "%s is not an aggregate: *, DISTINCT and FILTER do not apply",
                            syntax->text);
    return 0;
}

static bool function_known(const char *name)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct function *f = tables[t]; f->name != NULL; f++) {
            if (strcmp(f->name, name) == 0)
                return true;
        }
    }
    return false;
}

/* The first entry that accepts the arguments. */
static const struct function *function_find(const char *name, const struct node *const *args,
                                            uint32_t count)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct function *f = tables[t]; f->name != NULL; f++) {
            if (strcmp(f->name, name) == 0 && signature_fits(f->signature + 2, args, count))
                return f;
        }
    }
    return NULL;
}

static int bind_mod(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct syntax operation = *syntax;
    operation.kind = SYNTAX_OPERATOR;
    operation.text = "%";
    return bind_arithmetic(binder, &operation, out);
}

/* try(expression): NULL where it cannot be computed. It has the expression's type. */
static int bind_try(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    struct node *node = node_new(binder, eval_try, COL_TEXT, syntax->at, 1);
    if (node == NULL)
        return ERR_NOMEM;
    TRY(bind_syntax(binder, syntax->args[0], &node->args[0]));
    node->type = node->args[0]->type;
    *out = node;
    return 0;
}

int bind_call(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    TRY(check_plain_call(binder, syntax));
    if (strcmp(syntax->text, "try") == 0 && syntax->arg_count == 1)
        return bind_try(binder, syntax, out);
    if (strcmp(syntax->text, "mod") == 0 && syntax->arg_count == 2)
        return bind_mod(binder, syntax, out);
    if (is_record_function(syntax->text))
        return bind_record(binder, syntax, out);
    if (!function_known(syntax->text))
        return unknown_function(binder, syntax);
    struct node *node = node_new(binder, NULL, COL_TEXT, syntax->at, syntax->arg_count);
    if (node == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < syntax->arg_count; i++)
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
    const struct node *const *args = (const struct node *const *)node->args;
    const struct function *function = function_find(syntax->text, args, syntax->arg_count);
    if (function == NULL)
        return no_signature(binder, syntax, args);
    *out = node;
    return bind_function(binder, syntax, function, node);
}

/* ---- || ---- */

static int concat_two(struct row_call *call, struct bytes a, struct bytes b, union scalar *result)
{
    if (a.size + b.size > EXPR_VALUE_BYTES_MAX)
        return scalar_fail(call, "out_of_range", "a text is longer than %d bytes",
                           EXPR_VALUE_BYTES_MAX);
    uint8_t *text = arena_alloc_aligned(call->eval->run->arena, a.size + b.size + 1, 1);
    if (text == NULL)
        return ERR_NOMEM;
    memcpy(text, a.data, a.size);
    memcpy(text + a.size, b.data, b.size);
    result->text = bytes_of(text, a.size + b.size);
    return SCALAR_VALUE;
}

static int concat_texts(struct row_call *call, const union scalar *args, union scalar *result)
{
    return concat_two(call, args[0].text, args[1].text, result);
}

/* The text of a JSON value beside ||, as written casts give it. */
static struct bytes variant_text(const struct variant *v, char *digits)
{
    switch (v->kind) {
    case VARIANT_INT:
        return bytes_of(digits, (size_t)sprintf(digits, "%lld", (long long)v->i64));
    case VARIANT_FALSE:
        return bytes_text("false");
    case VARIANT_TRUE:
        return bytes_text("true");
    default:
        return bytes_of(v->data, v->size);
    }
}

/* Two JSON values: one of them must be a text, as PostgreSQL asks of the operands' types. */
static int concat_variants(struct row_call *call, const union scalar *args, union scalar *result)
{
    char a_digits[24], b_digits[24];
    const struct variant *a = &args[0].variant, *b = &args[1].variant;
    if (a->kind != VARIANT_TEXT && b->kind != VARIANT_TEXT)
        return scalar_fail(call, "type_mismatch", "|| needs a text, not %s",
                           variant_describe(a, (char[80]){0}));
    return concat_two(call, variant_text(a, a_digits), variant_text(b, b_digits), result);
}

int bind_concat_operator(struct binder *binder, const struct syntax *syntax, struct node **out)
{
    static const struct sql_type text = {.type = COL_TEXT, .name = "text"};
    struct node *node = node_new(binder, eval_scalar, COL_TEXT, syntax->at, syntax->arg_count);
    if (node == NULL)
        return ERR_NOMEM;
    *out = node;
    node->name = "||";
    for (uint32_t i = 0; i < 2; i++)
        TRY(bind_syntax(binder, syntax->args[i], &node->args[i]));
    uint8_t a = node->args[0]->type, b = node->args[1]->type;
    bool a_text = a == COL_TEXT || a == TYPE_UNKNOWN, b_text = b == COL_TEXT || b == TYPE_UNKNOWN;
    bool a_json = a == COL_VARIANT, b_json = b == COL_VARIANT;
    if ((a == COL_BYTEA && (b == COL_BYTEA || b == TYPE_UNKNOWN)) ||
        (a == TYPE_UNKNOWN && b == COL_BYTEA)) {
        node->type = COL_BYTEA;
        node->scalar = concat_texts;
        TRY(bind_coerce(binder, &node->args[0], COL_BYTEA));
        return bind_coerce(binder, &node->args[1], COL_BYTEA);
    }
    if (!a_text && !b_text && !a_json && !b_json)
        return source_error(&binder->source, ERR_INVALID, syntax->at,
                            "write a cast: value::text || …", "operator || does not take %s and %s",
                            type_name(a), type_name(b));
    node->scalar = a_text || b_text ? concat_texts : concat_variants;
    for (uint32_t i = 0; i < 2; i++) {
        if (a_text || b_text)
            TRY(bind_cast(binder, &node->args[i], &text, node->args[i]->at));
        else
            TRY(bind_coerce(binder, &node->args[i], COL_VARIANT));
    }
    return 0;
}
