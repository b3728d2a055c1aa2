/* value.c: values between columns and functions that a user wrote (see value.h).
 *
 * Going out, nothing can be wrong but memory: a JSON field is handed over by the type of what the
 * row holds, as expressions treat it. Coming back, everything can be: types that do not fit the
 * declared column, numbers that are none, text that is not UTF-8, JSON that is not JSON. Each is
 * refused here, with a sentence for the row's dead letter, since a column is trusted by everything
 * behind it. */
#include "operators/value.h"

#include <math.h>
#include <stdio.h>

#include "operators/bytea.h"
#include "operators/expr_internal.h"
#include "operators/json_token.h"
#include "operators/json_value.h"
#include "runtime/base/clock.h"

const char *value_type_name(enum value_type type)
{
    static const char *const names[VALUE_TYPE_COUNT] = {
        "NULL",     "boolean", "bigint", "double precision", "numeric", "text", "timestamptz",
        "interval", "json",    "bytea",
    };
    return (unsigned)type < VALUE_TYPE_COUNT ? names[type] : "unknown";
}

/* ---- out ---- */

static void set_text(struct value *value, enum value_type type, const void *data, size_t size)
{
    value->type = type;
    value->text.data = size > 0 ? data : "";
    value->text.size = size;
}

static void get_variant(const struct variant *from, struct value *value)
{
    switch ((enum variant_kind)from->kind) {
    case VARIANT_NULL:
        return;
    case VARIANT_FALSE:
    case VARIANT_TRUE:
        value->type = VALUE_BOOLEAN;
        value->boolean = from->kind == VARIANT_TRUE;
        return;
    case VARIANT_INT:
        value->type = VALUE_BIGINT;
        value->i64 = from->i64;
        return;
    case VARIANT_NUMBER:
        set_text(value, VALUE_NUMERIC, from->data, from->size);
        return;
    case VARIANT_TEXT:
        set_text(value, VALUE_TEXT, from->data, from->size);
        return;
    case VARIANT_JSON:
        set_text(value, VALUE_JSON, from->data, from->size);
        return;
    }
    must(false && "a kind of variant");
}

static int get_numeric(struct numeric number, struct arena *arena, struct value *value)
{
    char text[NUMERIC_TEXT_BYTES];
    size_t size = numeric_print(number, text);
    struct bytes copy = arena_copy(arena, bytes_of(text, size));
    if (copy.data == NULL)
        return ERR_NOMEM;
    set_text(value, VALUE_NUMERIC, copy.data, copy.size);
    return 0;
}

int value_get(const struct column *column, uint32_t row, struct arena *arena, struct value *value)
{
    *value = (struct value){.type = VALUE_NULL};
    if (column_is_null(column, row))
        return 0;
    row = column_at(column, row);
    switch (column->type) {
    case COL_VARIANT:
        get_variant(&column->variant[row], value);
        return 0;
    case COL_BOOLEAN:
        value->type = VALUE_BOOLEAN;
        value->boolean = column->boolean[row] != 0;
        return 0;
    case COL_DOUBLE:
        value->type = VALUE_DOUBLE;
        value->f64 = column->f64[row];
        return 0;
    case COL_NUMERIC:
        return get_numeric(column->numeric[row], arena, value);
    case COL_TEXT:
    case COL_BYTEA:
        set_text(value, column->type == COL_TEXT ? VALUE_TEXT : VALUE_BYTEA, column->text[row].data,
                 column->text[row].size);
        return 0;
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL:
        value->type = column->type == COL_BIGINT        ? VALUE_BIGINT
                      : column->type == COL_TIMESTAMPTZ ? VALUE_TIMESTAMP
                                                        : VALUE_INTERVAL;
        value->i64 = column->i64[row];
        return 0;
    case COL_TYPE_COUNT:
        break;
    }
    must(false && "a type of column");
    return 0;
}

/* ---- in ---- */

struct putting {
    const struct value *value;
    struct column *column;
    uint32_t row;
    struct arena *arena;
    const char **problem;
};

static int refuse(struct putting *p, const char *sentence)
{
    *p->problem = sentence;
    return ERR_INVALID;
}

static int refuse_type(struct putting *p)
{
    char text[100];
    snprintf(text, sizeof text, "a %s was given for a column of type %s",
             value_type_name(p->value->type), col_type_name(p->column->type));
    *p->problem = arena_text(p->arena, text);
    return *p->problem != NULL ? ERR_INVALID : ERR_NOMEM;
}

/* Text that a user's function made, in memory that outlives the call. */
static int take_text(struct putting *p, struct bytes *text)
{
    const struct value *value = p->value;
    if (value->text.data == NULL && value->text.size > 0)
        return refuse(p, "a text without data was given");
    if (value->text.size > EXPR_VALUE_BYTES_MAX)
        return refuse(p, "a text of more than 16 MiB was given");
    *text = arena_copy(p->arena,
                       bytes_of(value->text.size > 0 ? value->text.data : "", value->text.size));
    return text->data != NULL ? 0 : ERR_NOMEM;
}

static int take_utf8(struct putting *p, struct bytes *text)
{
    TRY(take_text(p, text));
    if (json_find_bad_utf8(text->data, text->size) != text->size)
        return refuse(p, "a text was given that is not valid UTF-8");
    return 0;
}

static int take_numeric(struct putting *p, struct numeric *number)
{
    struct bytes text = {(const uint8_t *)p->value->text.data, p->value->text.size};
    int rc = text.data == NULL ? ERR_INVALID : numeric_parse(text, number);
    if (rc == ERR_RANGE)
        return refuse(p, "a numeric of more than 38 digits was given");
    return rc < 0 ? refuse(p, "a text that is not a number was given as numeric") : 0;
}

static int put_variant_text(struct putting *p, struct variant *to, enum variant_kind kind,
                            const char *text, size_t size)
{
    struct bytes copy = arena_copy(p->arena, bytes_of(text, size));
    if (copy.data == NULL)
        return ERR_NOMEM;
    *to = (struct variant){.data = copy.data, .size = (uint32_t)size, .kind = (uint8_t)kind};
    return 0;
}

static int put_variant_bytes(struct putting *p, struct variant *to)
{
    const struct value *value = p->value;
    if (value->text.data == NULL && value->text.size > 0)
        return refuse(p, "bytes without data were given");
    size_t size = bytea_text_bytes(value->text.size);
    if (size > EXPR_VALUE_BYTES_MAX)
        return refuse(p, "more than 8 MiB of bytes were given as JSON");
    uint8_t *text = arena_alloc_aligned(p->arena, size, 1);
    if (text == NULL)
        return ERR_NOMEM;
    bytea_print(bytes_of(value->text.data, value->text.size), text);
    *to = (struct variant){.data = text, .size = (uint32_t)size, .kind = VARIANT_TEXT};
    return 0;
}

static int put_variant(struct putting *p)
{
    const struct value *value = p->value;
    struct variant *to = &p->column->variant[p->row];
    struct numeric number;
    struct bytes text;
    char printed[NUMERIC_TEXT_BYTES];
    switch (value->type) {
    case VALUE_BOOLEAN:
        to->kind = value->boolean ? VARIANT_TRUE : VARIANT_FALSE;
        return 0;
    case VALUE_BIGINT:
        *to = (struct variant){.i64 = value->i64, .kind = VARIANT_INT};
        return 0;
    case VALUE_DOUBLE:
        if (!isfinite(value->f64))
            return refuse(p, "a number that is not finite was given, which JSON does not have");
        return put_variant_text(p, to, VARIANT_NUMBER, printed, double_print(value->f64, printed));
    case VALUE_NUMERIC:
        TRY(take_numeric(p, &number));
        return put_variant_text(p, to, VARIANT_NUMBER, printed, numeric_print(number, printed));
    case VALUE_TEXT:
        TRY(take_utf8(p, &text));
        *to =
            (struct variant){.data = text.data, .size = (uint32_t)text.size, .kind = VARIANT_TEXT};
        return 0;
    case VALUE_TIMESTAMP:
        return put_variant_text(p, to, VARIANT_TEXT, printed, time_format_iso(value->i64, printed));
    case VALUE_BYTEA:
        return put_variant_bytes(p, to);
    case VALUE_JSON:
        TRY(take_text(p, &text));
        if (!json_value_check(text))
            return refuse(p, "a text that is not JSON was given as JSON");
        return json_value_read(text, p->arena, to);
    default:
        return refuse_type(p);
    }
}

static int put_typed(struct putting *p)
{
    const struct value *value = p->value;
    struct column *to = p->column;
    enum value_type given = value->type;
    uint32_t row = p->row;
    if (to->type == COL_BOOLEAN && given == VALUE_BOOLEAN) {
        to->boolean[row] = value->boolean;
    } else if ((to->type == COL_BIGINT && given == VALUE_BIGINT) ||
               (to->type == COL_TIMESTAMPTZ && given == VALUE_TIMESTAMP) ||
               (to->type == COL_INTERVAL && given == VALUE_INTERVAL)) {
        to->i64[row] = value->i64;
    } else if (to->type == COL_DOUBLE && (given == VALUE_DOUBLE || given == VALUE_BIGINT)) {
        to->f64[row] = given == VALUE_DOUBLE ? value->f64 : (double)value->i64;
    } else if (to->type == COL_NUMERIC && given == VALUE_BIGINT) {
        to->numeric[row] = numeric_from_i64(value->i64);
    } else if (to->type == COL_NUMERIC && given == VALUE_NUMERIC) {
        return take_numeric(p, &to->numeric[row]);
    } else if (to->type == COL_TEXT && given == VALUE_TEXT) {
        return take_utf8(p, &to->text[row]);
    } else if (to->type == COL_BYTEA && (given == VALUE_BYTEA || given == VALUE_TEXT)) {
        return take_text(p, &to->text[row]);
    } else {
        return refuse_type(p);
    }
    return 0;
}

static void set_null(struct column *column, uint32_t row)
{
    memset((uint8_t *)column->data + row * col_type_bytes(column->type), 0,
           col_type_bytes(column->type));
    if (column->type != COL_VARIANT)
        column->nulls[row] = 1;
}

int value_put(const struct value *value, struct column *column, uint32_t row, struct arena *arena,
              const char **problem)
{
    struct putting p = {value, column, row, arena, problem};
    must(!column->constant && (column->type == COL_VARIANT || column->nulls != NULL));
    if ((unsigned)value->type >= VALUE_TYPE_COUNT) {
        set_null(column, row);
        return refuse(&p, "a value of no known type was given");
    }
    if (value->type == VALUE_NULL) {
        set_null(column, row);
        return 0;
    }
    int rc = column->type == COL_VARIANT ? put_variant(&p) : put_typed(&p);
    if (rc < 0)
        set_null(column, row);
    return rc;
}
