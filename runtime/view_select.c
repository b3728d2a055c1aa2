/* view_select.c: conditions of an address as a SELECT (see view_select.h).
 *
 * Values become literals without a type, which get that of the column that they are compared with, as in SQL; times are made ISO 8601. Only columns of the key
 * are taken: those are what need not be scanned for. */
#include "runtime/view_select.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/syntax.h"
#include "runtime/base/clock.h"

struct asked {
    const struct view *view;
    struct buf *sql;
    bool has_condition;
    struct diag *diag;
};

static void put_and(struct asked *asked)
{
    buf_printf(asked->sql, asked->has_condition ? " AND " : " WHERE ");
    asked->has_condition = true;
}

/* A literal without a type has that of what it is compared with. */
static void put_literal(struct asked *asked, const char *text)
{
    buf_u8(asked->sql, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buf_u8(asked->sql, '\'');
        buf_u8(asked->sql, (uint8_t)*text);
    }
    buf_u8(asked->sql, '\'');
}

static int put_time(struct asked *asked, const char *name, const char *text)
{
    int64_t time_ms;
    char iso[40], *end;
    long long number = strtoll(text, &end, 10);
    if (text[0] != '\0' && *end == '\0')
        time_ms = number;
    else if (time_parse_iso(bytes_text(text), &time_ms) < 0)
        return diag_set(asked->diag, ERR_INVALID,
                        "%s is a time, ISO 8601 or epoch milliseconds, not '%.100s'", name, text);
    iso[time_format_iso(time_ms, iso)] = '\0';
    put_literal(asked, iso);
    return 0;
}

static int put_value(struct asked *asked, const char *name, enum col_type type, const json_t *value)
{
    char number[64];
    switch (json_typeof(value)) {
    case JSON_STRING:
        if (type == COL_TIMESTAMPTZ)
            return put_time(asked, name, json_string_value(value));
        put_literal(asked, json_string_value(value));
        return 0;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        if (type == COL_TIMESTAMPTZ)
            return put_time(asked, name, number);
        buf_printf(asked->sql, "%s", number);
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_printf(asked->sql, "%s", json_is_true(value) ? "true" : "false");
        return 0;
    default:
        return diag_set(asked->diag, ERR_INVALID,
                        "%s is a text, a whole number, true or false; another number is written as "
                        "a text",
                        name);
    }
}

/* One column of the key, by name. */
static int put_condition(struct asked *asked, const char *name, const char *comparison,
                         const json_t *value)
{
    const struct view *view = asked->view;
    uint32_t count = view->group->groups->count + (view->is_windowed ? 1 : 0), i = 0;
    while (i < count && strcmp(view->column_names[i], name) != 0)
        i++;
    if (i == count)
        return diag_set(asked->diag, ERR_INVALID,
                        "%.200s is no column of the view's key\nhint: GET /api/v1/views/%s has "
                        "them, as key",
                        name, view->sink->topic);
    put_and(asked);
    syntax_print_name(name, asked->sql);
    if (json_is_null(value)) {
        buf_printf(asked->sql, " IS NULL");
        return 0;
    }
    buf_printf(asked->sql, " %s ", comparison);
    return put_value(asked, name, view->column_types[i], value);
}

static int put_object(struct asked *asked, const char *argument, const char *comparison,
                      const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    const char *name;
    json_t *value;
    int rc = json_is_object(object)
                 ? 0
                 : diag_set(asked->diag, ERR_INVALID, "%s is no JSON object: %s", argument,
                            object == NULL ? error.text : "it is an array");
    if (rc == 0 && comparison[0] != '=' && json_object_size(object) != 1)
        rc = diag_set(asked->diag, ERR_INVALID, "%s names one column", argument);
    if (rc == 0)
        json_object_foreach(object, name, value)
        {
            rc = put_condition(asked, name, comparison, value);
            if (rc < 0)
                break;
        }
    json_decref(object);
    return rc;
}

/* A JSON object of columns, or the text of the only one. */
static int put_key(struct asked *asked, const char *argument, const char *comparison,
                   const char *text)
{
    if (text == NULL)
        return 0;
    if (text[0] == '{')
        return put_object(asked, argument, comparison, text);
    if (asked->view->group->groups->count != 1)
        return diag_set(asked->diag, ERR_INVALID,
                        "%s is a JSON object of columns of the key: the view is grouped by %u",
                        argument, asked->view->group->groups->count);
    json_t *value = json_string(text);
    int rc = value != NULL ? put_condition(asked, asked->view->column_names[0], comparison, value)
                           : diag_set(asked->diag, ERR_INVALID, "%s is not UTF-8", argument);
    json_decref(value);
    return rc;
}

static int put_bound(struct asked *asked, const char *argument, const char *comparison,
                     const char *text)
{
    if (text == NULL)
        return 0;
    if (!asked->view->is_windowed)
        return diag_set(asked->diag, ERR_INVALID, "%s is for views with windows", argument);
    put_and(asked);
    buf_printf(asked->sql, "window_start %s ", comparison);
    return put_time(asked, argument, text);
}

static int put_open(struct asked *asked, const char *open)
{
    if (open == NULL)
        return 0;
    if (strcmp(open, "true") != 0 && strcmp(open, "false") != 0)
        return diag_set(asked->diag, ERR_INVALID, "open is true or false, not '%.100s'", open);
    if (!asked->view->is_windowed)
        return diag_set(asked->diag, ERR_INVALID, "open is for views with windows");
    put_and(asked);
    buf_printf(asked->sql, "%swindow_open", open[0] == 't' ? "" : "NOT ");
    return 0;
}

int view_select(const struct view *view, const char *name, const struct view_wanted *wanted,
                struct buf *sql, struct diag *diag)
{
    struct asked asked = {.view = view, .sql = sql, .diag = diag};
    buf_printf(sql, "SELECT * FROM ");
    syntax_print_name(name, sql);
    TRY(put_key(&asked, "key", "=", wanted->key));
    TRY(put_key(&asked, "key_from", ">=", wanted->key_from));
    TRY(put_key(&asked, "key_to", "<", wanted->key_to));
    TRY(put_bound(&asked, "from", ">=", wanted->from));
    TRY(put_bound(&asked, "to", "<", wanted->to));
    TRY(put_open(&asked, wanted->open));
    return buf_ok(sql) ? 0 : diag_set(diag, ERR_NOMEM, "no memory for a question");
}
