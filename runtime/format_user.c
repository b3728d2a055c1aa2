/* format_user.c: formats that a program brings along (weir_format_add).
 *
 * A user's format is an entry like weir's own (format.h), kept by the app. Its functions are called
 * row by row, as all functions of users are, and with the same promises: a row's values by value, an
 * answer, a sentence by weir_call_error. What decode gives is checked against the declared columns
 * before anything sees it, so that a format that errs makes a dead letter and never a damaged batch.
 * The functions are code, which a plan hash cannot see: the format's name stands for them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/function.h"
#include "runtime/format.h"
#include "runtime/plan.h"

enum { NUMBER_FIRST = 1000 };

struct user_format {
    struct format format;
    weir_format_functions functions;
    void *context;
    struct user_format *next;
};

static const struct user_format *user_of(const struct format *format)
{
    return (const struct user_format *)format;
}

/* What both directions need of columns, for one batch. */
struct user_columns {
    weir_column *columns;
    weir_value *values;
};

static weir_type type_of(enum col_type type)
{
    static const weir_type types[COL_TYPE_COUNT] = {
        [COL_VARIANT] = WEIR_JSON_VALUE,    [COL_BOOLEAN] = WEIR_BOOLEAN,
        [COL_BIGINT] = WEIR_BIGINT,         [COL_DOUBLE] = WEIR_DOUBLE,
        [COL_NUMERIC] = WEIR_NUMERIC,       [COL_TEXT] = WEIR_TEXT,
        [COL_TIMESTAMPTZ] = WEIR_TIMESTAMP, [COL_INTERVAL] = WEIR_INTERVAL,
        [COL_BYTEA] = WEIR_BYTEA,
    };
    return types[type];
}

static int list_columns(char *const *names, const enum col_type *types, uint32_t count,
                        struct arena *arena, struct user_columns *user)
{
    user->columns = arena_alloc(arena, (count + 1) * sizeof *user->columns);
    user->values = arena_alloc(arena, (count + 1) * sizeof *user->values);
    if (user->columns == NULL || user->values == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        user->columns[i] = (weir_column){.name = names[i], .type = type_of(types[i])};
    return 0;
}

/* ---- decode ---- */

static weir_value bytes_value(struct bytes bytes)
{
    weir_value value = {.type = bytes.data != NULL ? WEIR_BYTEA : WEIR_NULL};
    value.text.data = (const char *)bytes.data;
    value.text.size = bytes.size;
    return value;
}

static void set_nulls(struct column *columns, const struct column_list *list, uint32_t row)
{
    const weir_value null = {.type = WEIR_NULL};
    const char *problem;
    for (uint32_t i = 0; i < list->count; i++)
        must(value_put((const struct value *)&null, &columns[i], row, NULL, &problem) == 0);
}

static int refuse_record(struct decoding *d, uint32_t row, const char *column, const char *problem)
{
    set_nulls(d->columns, d->view->declared, row);
    return reject_add(d->rejects, row, "decode", "%s: %s%s%s", d->view->source->format->name,
                      column, column[0] != '\0' ? ": " : "", problem);
}

static int put_values(struct decoding *d, uint32_t row, const weir_value *values)
{
    const struct column_list *list = d->view->declared;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *problem = NULL;
        int rc =
            value_put((const struct value *)&values[i], &d->columns[i], row, d->arena, &problem);
        if (rc == ERR_INVALID)
            return refuse_record(d, row, list->names[i], problem);
        TRY(rc);
    }
    return 0;
}

static int decode_user(struct decoding *d)
{
    const struct user_format *user = user_of(d->view->source->format);
    const struct column_list *list = d->view->declared;
    struct user_columns about;
    TRY(list_columns(list->names, list->types, list->count, d->arena, &about));
    for (uint32_t i = 0; i < list->count; i++)
        TRY(column_alloc(&d->columns[i], list->types[i], d->count, true, d->arena));
    for (uint32_t row = 0; row < d->count; row++) {
        const struct source_row *record = &d->rows[row];
        struct function_call call = {.event_time_ms = record->timestamp_ms};
        weir_value key = bytes_value(record->key), value = bytes_value(record->value);
        memset(about.values, 0, list->count * sizeof *about.values);
        int answer = user->functions.decode(user->context, (weir_call *)&call, &key, &value,
                                            about.columns, list->count, about.values);
        if (answer < 0 || call.has_failed)
            TRY(refuse_record(d, row, "",
                              call.message[0] != '\0' ? call.message
                                                      : "the format refused the record"));
        else
            TRY(put_values(d, row, about.values));
    }
    return 0;
}

/* ---- encode ---- */

static int refuse_row(struct encoding *e, const char *message)
{
    char text[FUNCTION_MESSAGE_BYTES + 128];
    snprintf(text, sizeof text, "%s: %s", e->view->format->name,
             message[0] != '\0' ? message : "the format refused the row");
    e->problem = arena_text(e->arena, text);
    return e->problem != NULL ? ERR_INVALID : ERR_NOMEM;
}

/* The columns' names and types are the same for all rows of a batch. */
static int begin_user(struct encoding *e)
{
    const struct view *view = e->view;
    if (e->state != NULL)
        return 0;
    struct user_columns *about = arena_alloc(e->arena, sizeof *about);
    if (about == NULL)
        return ERR_NOMEM;
    TRY(list_columns(view->column_names + view->first_value, view->column_types + view->first_value,
                     e->count, e->arena, about));
    e->state = about;
    return 0;
}

static int encode_user(struct encoding *e, uint32_t row)
{
    const struct user_format *user = user_of(e->view->format);
    struct function_call call = {.event_time_ms = INT64_MIN, .out = e->out};
    TRY(begin_user(e));
    const struct user_columns *about = e->state;
    for (uint32_t i = 0; i < e->count; i++)
        TRY(value_get(&e->columns[i], row, e->arena, (struct value *)&about->values[i]));
    int answer = user->functions.encode(user->context, (weir_call *)&call, about->columns, e->count,
                                        about->values);
    if (answer < 0 || call.has_failed)
        return refuse_row(e, call.message);
    e->is_null = answer == 1;
    return 0;
}

int weir_call_write(weir_call *call, const void *data, size_t size)
{
    if (call == NULL || (data == NULL && size > 0))
        return ERR_INVALID;
    return function_write((struct function_call *)call, data, size);
}

/* ---- the app's list ---- */

const struct format *format_of_user(const struct weir_app *app, int number, const char *name)
{
    for (const struct user_format *user = app->formats; user != NULL; user = user->next)
        if (name != NULL ? strcmp(user->format.name, name) == 0 : user->format.number == number)
            return &user->format;
    return NULL;
}

void format_release(struct weir_app *app)
{
    while (app->formats != NULL) {
        struct user_format *user = app->formats;
        app->formats = user->next;
        free((void *)(uintptr_t)user->format.name);
        free(user);
    }
}

static int check_format(struct weir_app *app, const char *name,
                        const weir_format_functions *functions)
{
    if (!topology_function_name_is_good(name))
        return topology_fail(app, ERR_INVALID,
                             "weir_format_add: a format's name is 1 to 100 printable ASCII "
                             "characters, such as \"pairs-1\"");
    if (format_named(app, name) != NULL)
        return topology_fail(app, ERR_EXISTS, "weir_format_add: there is a format %s already",
                             name);
    if (functions == NULL || (functions->decode == NULL && functions->encode == NULL))
        return topology_fail(app, ERR_INVALID, "weir_format_add %s: needs a function", name);
    for (size_t i = 0; i < sizeof functions->reserved / sizeof functions->reserved[0]; i++)
        if (functions->reserved[i] != 0)
            return topology_fail(app, ERR_INVALID,
                                 "weir_format_add %s: reserved words are not zero", name);
    return 0;
}

weir_format weir_format_add(weir_app *app, const char *name, const weir_format_functions *functions,
                            void *context)
{
    if (app == NULL || app->error != 0 || check_format(app, name, functions) < 0)
        return 0;
    struct user_format *user = calloc(1, sizeof *user);
    char *copy = strdup(name);
    if (user == NULL || copy == NULL) {
        free(user);
        free(copy);
        topology_fail(app, ERR_NOMEM, "no memory for the topology");
        return 0;
    }
    *user = (struct user_format){
        .format = {.name = copy,
                   .number = app->formats != NULL ? app->formats->format.number + 1 : NUMBER_FIRST,
                   .decode = functions->decode != NULL ? decode_user : NULL,
                   .encode = functions->encode != NULL ? encode_user : NULL},
        .functions = *functions,
        .context = context,
        .next = app->formats,
    };
    app->formats = user;
    return user->format.number;
}
