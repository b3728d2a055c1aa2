/* format.c: the table of formats (see format.h).
 *
 * JSON comes first and costs what it cost without a table: one call through a pointer a batch. CSV
 * and text are short enough to stand here; what they read from bytes is in operators/.
 *
 * What is no value, by format: a record without a value (a tombstone) is a dead letter where rows
 * have fields or several columns, and NULL where the value itself is the column. So text and raw
 * outputs write NULL as a record without a value, and JSON and CSV always write one. */
#include "runtime/format.h"

#include <stdlib.h>

#include "operators/csv_decode.h"
#include "operators/csv_encode.h"
#include "operators/json_encode.h"
#include "operators/json_token.h"
#include "operators/value_text.h"
#include "runtime/plan.h"

static int collect_values(const struct decoding *d, struct bytes **docs)
{
    *docs = arena_alloc(d->arena, (d->count + 1) * sizeof **docs);
    if (*docs == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < d->count; i++)
        (*docs)[i] = d->rows[i].value;
    return 0;
}

/* ---- JSON ---- */

struct json_state {
    struct json_decoder *decoder;
    uint32_t *places; /* which column each of the decoder's fields is, when operators fill columns
                         between them; else NULL */
    uint32_t count;
};

static void close_json(void *state)
{
    struct json_state *json = state;
    if (json == NULL)
        return;
    if (json->decoder != NULL)
        json_decoder_destroy(json->decoder);
    free(json->places);
    free(json);
}

/* The fields that an event holds, and their places among all columns. */
static int list_fields(struct json_state *json, const struct view *view,
                       const struct field_path **paths)
{
    uint32_t fields = field_set_count(view->fields);
    json->places = malloc(fields * sizeof *json->places);
    if (json->places == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < fields; i++) {
        paths[json->count] = field_set_path(view->fields, i);
        json->places[json->count] = i;
        json->count += paths[json->count]->count > 0;
    }
    if (json->count == fields) {
        free(json->places);
        json->places = NULL;
    }
    return 0;
}

static int open_json(const struct view *view, void **state, struct diag *diag)
{
    uint32_t fields = field_set_count(view->fields);
    if (fields == 0)
        return 0;
    struct json_state *json = calloc(1, sizeof *json);
    const struct field_path **paths = calloc(fields, sizeof *paths);
    int rc = json != NULL && paths != NULL ? list_fields(json, view, paths) : ERR_NOMEM;
    if (rc == 0)
        rc = json_decoder_create(paths, json->count, &json->decoder, diag);
    else
        diag_set(diag, rc, "no memory for a decoder");
    free(paths);
    if (rc < 0) {
        close_json(json);
        return rc;
    }
    *state = json;
    return 0;
}

/* Fields are decoded side by side; columns that operators fill stand between them and are NULL until
 * then. */
static int decode_between(struct decoding *d, const struct json_state *json,
                          const struct bytes *docs)
{
    static const struct variant null;
    struct column *decoded = arena_alloc(d->arena, (json->count + 1) * sizeof *decoded);
    if (decoded == NULL)
        return ERR_NOMEM;
    TRY(json_decode(json->decoder, docs, d->count, false, d->arena, decoded, d->rejects));
    for (uint32_t i = 0; i < field_set_count(d->view->fields); i++)
        d->columns[i] = (struct column){
            .type = COL_VARIANT, .constant = true, .variant = (struct variant *)(uintptr_t)&null};
    for (uint32_t i = 0; i < json->count; i++)
        d->columns[json->places[i]] = decoded[i];
    return 0;
}

static int decode_json(struct decoding *d)
{
    const struct json_state *json = d->state;
    struct bytes *docs;
    if (json == NULL)
        return 0; /* nothing of an event is read */
    TRY(collect_values(d, &docs));
    return json->places == NULL
               ? json_decode(json->decoder, docs, d->count, false, d->arena, d->columns, d->rejects)
               : decode_between(d, json, docs);
}

static int encode_json(struct encoding *e, uint32_t row)
{
    json_encode_row(e->out, e->view->value_names, e->columns, row, e->view->sink->output.epoch_ms);
    return 0;
}

/* ---- CSV ---- */

static int decode_csv(struct decoding *d)
{
    struct bytes *docs;
    TRY(collect_values(d, &docs));
    return csv_decode(docs, d->count, d->view->declared->count, d->arena, d->columns, d->rejects);
}

static int encode_csv(struct encoding *e, uint32_t row)
{
    csv_encode_row(e->out, e->columns, e->count, row);
    return 0;
}

/* ---- text and raw: key and value as they are ---- */

static int take_whole(struct decoding *d, enum col_type type)
{
    struct column *keys = &d->columns[0], *values = &d->columns[1];
    TRY(column_alloc(keys, COL_BYTEA, d->count, true, d->arena));
    TRY(column_alloc(values, type, d->count, true, d->arena));
    for (uint32_t i = 0; i < d->count; i++) {
        keys->text[i] = d->rows[i].key;
        keys->nulls[i] = d->rows[i].key.data == NULL;
        values->text[i] = d->rows[i].value;
        values->nulls[i] = d->rows[i].value.data == NULL;
    }
    return 0;
}

static int decode_raw(struct decoding *d)
{
    return take_whole(d, COL_BYTEA);
}

static int decode_text(struct decoding *d)
{
    struct column *values = &d->columns[1];
    TRY(take_whole(d, COL_TEXT));
    for (uint32_t i = 0; i < d->count; i++) {
        struct bytes value = values->text[i];
        size_t bad = value.data != NULL ? json_find_bad_utf8(value.data, value.size) : 0;
        if (__builtin_expect(bad == value.size, 1))
            continue;
        values->nulls[i] = 1;
        TRY(reject_add(d->rejects, i, "text_utf8",
                       "the bytes are not valid UTF-8, at byte %zu of %zu", bad, value.size));
    }
    return 0;
}

static int encode_text(struct encoding *e, uint32_t row)
{
    e->is_null = column_is_null(e->columns, row);
    if (!e->is_null)
        value_text(e->out, e->columns, row);
    return 0;
}

static int encode_raw(struct encoding *e, uint32_t row)
{
    e->is_null = column_is_null(e->columns, row);
    if (!e->is_null)
        buf_append_bytes(e->out, e->columns->text[column_at(e->columns, row)]);
    return 0;
}

/* ---- the table ---- */

const struct format format_json = {
    .name = "json",
    .number = WEIR_JSON,
    .has_fields = true,
    .open = open_json,
    .close = close_json,
    .decode = decode_json,
    .encode = encode_json,
};
static const struct format format_csv = {
    .name = "csv",
    .number = WEIR_CSV,
    .is_text = true,
    .decode = decode_csv,
    .encode = encode_csv,
};
static const struct format format_text = {
    .name = "text",
    .number = WEIR_PLAIN_TEXT,
    .columns = "key bytea, value text",
    .decode = decode_text,
    .is_single = true,
    .encode = encode_text,
};
static const struct format format_raw = {
    .name = "raw",
    .number = WEIR_RAW,
    .columns = "key bytea, value bytea",
    .decode = decode_raw,
    .is_single = true,
    .is_bytes = true,
    .encode = encode_raw,
};
static const struct format *const formats[] = {&format_json, &format_csv, &format_text,
                                               &format_raw};

const struct format *format_find(const struct weir_app *app, int number)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i]->number == number)
            return formats[i];
    return format_of_user(app, number, NULL);
}

const struct format *format_named(const struct weir_app *app, const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return format_of_user(app, 0, name);
}

/* ---- decoding ---- */

uint32_t format_column_count(const struct view *view)
{
    return view->declared != NULL ? view->declared->count : field_set_count(view->fields);
}

int format_open(const struct view *view, void **state, struct diag *diag)
{
    const struct format *format = view->source->format;
    *state = NULL;
    return format->open != NULL ? format->open(view, state, diag) : 0;
}

void format_close(const struct view *view, void *state)
{
    const struct format *format = view->source->format;
    if (format->close != NULL)
        format->close(state);
}

/* A column's value as an event time is read from it (task_time.c): an integer or a text. */
static struct variant time_of(const struct column *column, uint32_t row)
{
    if (column_is_null(column, row))
        return (struct variant){.kind = VARIANT_NULL};
    row = column_at(column, row);
    if (column->type == COL_VARIANT)
        return column->variant[row];
    if (column->type != COL_TEXT)
        return (struct variant){.i64 = column->i64[row], .kind = VARIANT_INT};
    return (struct variant){.data = column->text[row].data,
                            .size = (uint32_t)column->text[row].size,
                            .kind = VARIANT_TEXT};
}

static int add_times(struct decoding *d)
{
    const struct view *view = d->view;
    struct column *times = &d->columns[view->declared->count];
    TRY(column_alloc(times, COL_VARIANT, d->count, false, d->arena));
    for (uint32_t i = 0; i < d->count; i++)
        times->variant[i] = time_of(&d->columns[view->time_column], i);
    return 0;
}

int format_decode(struct decoding *d)
{
    const struct view *view = d->view;
    TRY(view->source->format->decode(d));
    return view->declared != NULL && view->time_column >= 0 ? add_times(d) : 0;
}

int format_decode_table(struct decoding *d)
{
    struct reject_list *rejects = d->rejects, found = {.arena = d->arena};
    d->rejects = &found;
    int rc = format_decode(d);
    d->rejects = rejects;
    TRY(rc);
    for (uint32_t i = 0; i < found.count; i++)
        if (d->rows[found.items[i].row].value.data != NULL)
            TRY(reject_add(rejects, found.items[i].row, found.items[i].error_class, "%s",
                           found.items[i].message));
    return 0;
}
