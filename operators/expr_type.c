/* expr_type.c: the types that a cast can name, and those that it cannot, each with what to write
 * instead. */
#include "operators/expr_parse.h"

static const struct {
    const char *pg_name;
    struct sql_type type;
    const char *hint; /* not NULL: refused */
} type_table[] = {
    {"bool", {COL_BOOLEAN, 0, 0, 0, "boolean"}, NULL},
    {"int2", {COL_BIGINT, 2, 0, 0, "smallint"}, NULL},
    {"int4", {COL_BIGINT, 4, 0, 0, "integer"}, NULL},
    {"int8", {COL_BIGINT, 8, 0, 0, "bigint"}, NULL},
    {"float8", {COL_DOUBLE, 0, 0, 0, "double precision"}, NULL},
    {"numeric", {COL_NUMERIC, 0, 0, 0, "numeric"}, NULL},
    {"text", {COL_TEXT, 0, 0, 0, "text"}, NULL},
    {"timestamptz", {COL_TIMESTAMPTZ, 0, 0, 0, "timestamp with time zone"}, NULL},
    {"interval", {COL_INTERVAL, 0, 0, 0, "interval"}, NULL},
    {"bytea", {COL_BYTEA, 0, 0, 0, "bytea"}, NULL},
    {"float4", {0}, "use double precision, or numeric for exact values"},
    {"varchar", {0}, "use text"},
    {"bpchar", {0}, "use text"},
    {"name", {0}, "use text"},
    {"timestamp", {0}, "use timestamptz (times without a zone are read as UTC)"},
    {"date", {0}, "use date_trunc('day', …), which gives a timestamptz"},
    {"time", {0}, "use interval"},
    {"timetz", {0}, "use interval"},
    {"json", {0}, "a field of a JSON object is written as a dotted name: customer.address.city"},
    {"jsonb", {0}, "a field of a JSON object is written as a dotted name: customer.address.city"},
};

static int typmod_integer(const PgQuery__Node *node, int32_t *value)
{
    if (node->node_case != PG_QUERY__NODE__NODE_A_CONST ||
        node->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL)
        return ERR_INVALID;
    *value = node->a_const->ival->ival;
    return 0;
}

static int numeric_typmod(struct parse *parse, const PgQuery__TypeName *name, int32_t at,
                          struct sql_type *type)
{
    if (name->n_typmods > 2 || typmod_integer(name->typmods[0], &type->precision) != 0 ||
        (name->n_typmods == 2 && typmod_integer(name->typmods[1], &type->scale) != 0))
        return source_error(&parse->source, ERR_INVALID, at, "numeric(18,2)",
                            "numeric takes a precision and a scale");
    if (type->precision < 1 || type->precision > NUMERIC_MAX_DIGITS)
        return source_error(&parse->source, ERR_INVALID, at, NULL,
                            "the precision of numeric must be between 1 and %d",
                            NUMERIC_MAX_DIGITS);
    if (type->scale < 0 || type->scale > type->precision)
        return source_error(&parse->source, ERR_INVALID, at, NULL,
                            "the scale of numeric must be between 0 and its precision");
    return 0;
}

int type_from_name(struct parse *parse, const PgQuery__TypeName *name, int32_t at,
                   struct sql_type *type)
{
    int32_t type_at = user_position(parse, name->location);
    if (type_at >= 0)
        at = type_at;
    const char *spelled = name->n_names > 0 ? string_of(name->names[name->n_names - 1]) : NULL;
    bool system_type =
        name->n_names == 1 || (name->n_names == 2 && string_of(name->names[0]) != NULL &&
                               strcmp(string_of(name->names[0]), "pg_catalog") == 0);
    if (spelled == NULL || !system_type || name->setof || name->pct_type)
        return source_error(&parse->source, ERR_UNSUPPORTED, at, NULL,
                            "this type is not supported");
    if (name->n_array_bounds > 0)
        return source_error(&parse->source, ERR_UNSUPPORTED, at, NULL, "arrays are not supported");
    for (size_t i = 0; i < sizeof type_table / sizeof type_table[0]; i++) {
        if (strcmp(type_table[i].pg_name, spelled) != 0)
            continue;
        if (type_table[i].hint != NULL)
            return source_error(&parse->source, ERR_UNSUPPORTED, at, type_table[i].hint,
                                "type %s is not supported", spelled);
        *type = type_table[i].type;
        if (name->n_typmods > 0 && type->type == COL_NUMERIC)
            return numeric_typmod(parse, name, at, type);
        if (name->n_typmods > 0)
            return source_error(
                &parse->source, ERR_UNSUPPORTED, at,
                type->type == COL_INTERVAL ? "write the units inside: INTERVAL '5 minutes'" : NULL,
                "a modifier of type %s is not supported", type->name);
        return 0;
    }
    return source_error(&parse->source, ERR_UNSUPPORTED, at,
                        "types: boolean, smallint, integer, bigint, double precision, numeric, "
                        "text, timestamptz, interval, bytea",
                        "type %s is not supported", spelled);
}
