/* view_closed.c: windows that have closed (see view_closed.h).
 *
 * The state forgets a window when it closes; what it was is in the view's topic, under the key of each of its rows. Records of
 * one key lie in one partition, and the last of them is right. So the topic is read twice: first the keys, which say of
 * which rows a record is and where the last one of each lies; then those records' values. Keys that are not meant are not kept.
 *
 * Which of two halves a row belongs to must be the same question for both: a window that the state may not have any more
 * (closed_before) is the topic's; one that is being closed, over several commits, is the topic's where the state has let go of
 * it. Of sessions, whose cells close before they do, the state is asked by itself. */
#include "runtime/view_closed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/csv_decode.h"
#include "operators/group_key.h"
#include "operators/json_decode.h"
#include "operators/syntax.h"

enum { READ_ROWS = 512, REASON_BYTES = 256 };

/* Records → columns of the view's types. Intervals have a form of their own in JSON. */
struct typed_decoder {
    struct json_decoder *decoder; /* NULL: rows of CSV */
    struct expr_list *casts;
    const enum col_type *types;
    uint32_t count;
};

/* The last record of a key. */
struct last_record {
    struct hash128 hash;
    int64_t offset; /* −1: a tombstone */
};

struct view_closed {
    struct view_reader *reader;
    const struct view *view;
    const struct view_columns *columns;
    const struct view_access *access;
    size_t memory_bytes;
    struct typed_decoder keys, values;
    enum col_type *key_types, *value_types;
    int32_t partition, partition_count;
    bool *is_wanted; /* partitions; NULL: all */
    struct last_record *slots;
    size_t slot_count, used; /* slot_count: a power of two */
    struct port_reader *rows_reader;
    struct source_row *rows;
    int32_t behind_partition; /* rows up to behind_offset of it are passed over */
    int64_t behind_offset;
    int64_t *offsets;   /* of the rows that were given last, READ_ROWS of them */
    bool is_second;     /* pass */
    int64_t end;        /* of the partition */
    struct arena chunk; /* of the first pass */
    struct buf scratch;
    struct diag *diag;
};

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory to read the topic of a view");
}

/* ---- decoding ---- */

static const char *cast_type(enum col_type type)
{
    static const char *const names[] = {
        [COL_BOOLEAN] = "boolean", [COL_BIGINT] = "bigint", [COL_DOUBLE] = "double precision",
        [COL_NUMERIC] = "numeric", [COL_TEXT] = "text",     [COL_TIMESTAMPTZ] = "timestamptz",
        [COL_BYTEA] = "bytea"};
    return type < sizeof names / sizeof names[0] ? names[type] : NULL;
}

static int typed_open(struct typed_decoder *typed, const char *const *names,
                      const enum col_type *types, uint32_t count, bool is_csv, struct arena *arena,
                      struct diag *diag)
{
    struct field_path *paths = arena_zalloc(arena, (count + 1) * sizeof *paths);
    const struct field_path **list = arena_alloc(arena, (count + 1) * sizeof *list);
    enum col_type *variants = arena_zalloc(arena, (count + 1) * sizeof *variants);
    struct buf casts;
    if (paths == NULL || list == NULL || variants == NULL)
        return no_memory(diag);
    buf_init(&casts, 0);
    typed->types = types;
    typed->count = count;
    for (uint32_t i = 0; i < count; i++) {
        paths[i] = (struct field_path){.parts = {names[i]}, .count = 1};
        list[i] = &paths[i];
        variants[i] = is_csv ? COL_TEXT : COL_VARIANT;
        const char *type = is_csv && types[i] == COL_INTERVAL ? "interval" : cast_type(types[i]);
        buf_printf(&casts, "%s%s", i > 0 ? ", " : "", type != NULL ? "CAST(" : "");
        syntax_print_name(names[i], &casts);
        if (type != NULL)
            buf_printf(&casts, " AS %s)", type);
        buf_printf(&casts, " AS c%u", i);
    }
    buf_u8(&casts, 0);
    struct named_columns columns = {names, variants, count};
    struct scope scope = named_columns_scope(&columns);
    int rc = buf_ok(&casts) ? expr_parse_list((const char *)casts.data, &scope, &typed->casts, diag)
                            : no_memory(diag);
    buf_deinit(&casts);
    return rc < 0 || is_csv ? rc : json_decoder_create(list, count, &typed->decoder, diag);
}

static void typed_close(struct typed_decoder *typed)
{
    if (typed->decoder != NULL)
        json_decoder_destroy(typed->decoder);
    expr_list_destroy(typed->casts);
}

/* "PT1.500S" in milliseconds. */
static bool span_of(const struct variant *value, int64_t *span_ms)
{
    struct numeric seconds;
    if (value->kind != VARIANT_TEXT || value->size < 4 || memcmp(value->data, "PT", 2) != 0 ||
        value->data[value->size - 1] != 'S' ||
        numeric_parse(bytes_of(value->data + 2, value->size - 3), &seconds) < 0 ||
        seconds.scale > 3)
        return false;
    for (; seconds.scale < 3; seconds.scale++)
        seconds.coefficient *= 10;
    *span_ms = (int64_t)seconds.coefficient;
    return true;
}

static int type_spans(struct column *column, uint32_t rows, struct arena *arena)
{
    struct column typed;
    TRY(column_alloc(&typed, COL_INTERVAL, rows, true, arena));
    for (uint32_t i = 0; i < rows; i++)
        typed.nulls[i] = !span_of(&column->variant[column_at(column, i)], &typed.i64[i]);
    *column = typed;
    return 0;
}

/* A JSON value that CSV wrote as text is text: what it was is not known any more. */
static int type_texts(struct column *column, uint32_t rows, struct arena *arena)
{
    struct column typed;
    TRY(column_alloc(&typed, COL_VARIANT, rows, false, arena));
    for (uint32_t i = 0; i < rows; i++) {
        struct bytes text = column->text[column_at(column, i)];
        typed.variant[i] = (struct variant){.kind = VARIANT_NULL};
        if (!column_is_null(column, i))
            typed.variant[i] = (struct variant){
                .data = text.data, .size = (uint32_t)text.size, .kind = VARIANT_TEXT};
    }
    *column = typed;
    return 0;
}

/* docs[0…count) as typed columns; rows that do not decode leave the batch. */
static int typed_decode(const struct typed_decoder *typed, const struct bytes *docs, uint32_t count,
                        struct arena *arena, struct batch *batch, struct reject_list *rejects)
{
    struct column *raw = arena_zalloc(arena, (typed->count + 1) * sizeof *raw);
    struct column *columns = arena_zalloc(arena, (typed->count + 1) * sizeof *columns);
    uint32_t first = rejects->count;
    if (raw == NULL || columns == NULL)
        return ERR_NOMEM;
    TRY(typed->decoder != NULL
            ? json_decode(typed->decoder, docs, count, false, arena, raw, rejects)
            : csv_decode(docs, count, typed->count, arena, raw, rejects));
    *batch = (struct batch){.row_count = count,
                            .selected_count = count,
                            .columns = raw,
                            .column_count = typed->count,
                            .arena = arena};
    TRY(batch_drop_rejected(batch, rejects, first, arena));
    first = rejects->count;
    for (uint32_t i = 0; i < typed->count; i++) {
        TRY(expr_eval(typed->casts->exprs[i], batch, &columns[i], rejects));
        if (typed->types[i] == COL_INTERVAL && columns[i].type == COL_VARIANT)
            TRY(type_spans(&columns[i], count, arena));
        if (typed->types[i] == COL_VARIANT && columns[i].type == COL_TEXT)
            TRY(type_texts(&columns[i], count, arena));
    }
    batch->columns = columns;
    return batch_drop_rejected(batch, rejects, first, arena);
}

/* ---- opening ---- */

static int open_decoders(struct view_closed *closed, struct arena *arena, struct diag *diag)
{
    const struct view *view = closed->view;
    uint32_t keys = view->group->groups->count + 1, values = closed->columns->value_count;
    const struct store_view_names *view_names = view_reader_names(closed->reader);
    const char **names = arena_alloc(arena, (keys + values + 1) * sizeof *names);
    bool is_csv = strcmp(view_names->format, "csv") == 0;
    if (!is_csv && strcmp(view_names->format, "json") != 0)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "closed windows of %s are in its topic alone, whose records are %s, not "
                        "JSON or CSV\nhint: WHERE window_open asks the state; weir consume %s",
                        view_names->topic, view_names->format, view_names->topic);
    closed->key_types = calloc(keys + 1, sizeof *closed->key_types);
    closed->value_types = calloc(values + 1, sizeof *closed->value_types);
    if (names == NULL || closed->key_types == NULL || closed->value_types == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < keys; i++) { /* the groups, and window_start */
        names[i] = view->column_names[i];
        closed->key_types[i] = view->column_types[i];
    }
    TRY(typed_open(&closed->keys, names, closed->key_types, keys, false, arena, diag));
    for (uint32_t i = 0; i < values; i++) {
        names[i] = closed->columns->items[i].name;
        closed->value_types[i] = closed->columns->items[i].type;
    }
    return typed_open(&closed->values, names, closed->value_types, values, is_csv, arena, diag);
}

int view_closed_partition(struct view_reader *reader, struct bytes group_key, struct arena *arena,
                          struct buf *scratch, int32_t *partition, int32_t *count,
                          struct diag *diag)
{
    struct port_topic info;
    struct port *port = view_reader_port(reader);
    int rc = port->ops->topic_describe(port, view_reader_names(reader)->topic, &info, diag);
    *partition = -1;
    *count = 0;
    if (rc == ERR_NOT_FOUND)
        return 0;
    TRY(rc);
    *count = info.partitions;
    if (group_key.data != NULL)
        *partition = group_partition(view_reader_view(reader)->group, group_key, info.partitions,
                                     arena, scratch);
    return 0;
}

static int want_partitions(struct view_closed *closed, struct arena *arena, struct diag *diag)
{
    const struct view_access *access = closed->access;
    struct bytes none = {NULL, 0};
    int32_t partition;
    TRY(view_closed_partition(closed->reader, none, arena, &closed->scratch, &partition,
                              &closed->partition_count, diag));
    if (access->points == NULL)
        return 0;
    closed->is_wanted = calloc((size_t)closed->partition_count + 1, sizeof *closed->is_wanted);
    if (closed->is_wanted == NULL)
        return no_memory(diag);
    for (uint32_t i = 0; i < access->point_count && closed->partition_count > 0; i++)
        closed->is_wanted[group_partition(closed->view->group, access->points[i],
                                          closed->partition_count, arena, &closed->scratch)] = true;
    return 0;
}

/* 1: a window that is meant may have closed. */
int view_closed_is_needed(struct view_reader *reader, const struct view_access *access,
                          struct diag *diag)
{
    const struct window_spec *window = &view_reader_view(reader)->group->window;
    if (window->kind == WINDOW_SESSION)
        return 1;
    if (access->window_from_ms > INT64_MAX / 2) /* and then its end may be no number */
        return 0;
    for (int32_t i = 0; i < view_reader_partitions(reader); i++) {
        TRY(view_reader_prepare(reader, i, diag));
        struct view_time time = view_reader_time(reader, i);
        if (time.watermark_ms != INT64_MIN &&
            (access->window_from_ms < time.closed_before_ms ||
             window_closes_at(window, access->window_from_ms) <= time.watermark_ms))
            return 1;
    }
    return 0;
}

int view_closed_open(struct view_reader *reader, const struct view_columns *columns,
                     const struct view_access *access, size_t memory_bytes,
                     struct view_closed **result, struct diag *diag)
{
    struct view_closed *closed = calloc(1, sizeof *closed);
    *result = closed;
    if (closed == NULL)
        return no_memory(diag);
    closed->reader = reader;
    closed->view = view_reader_view(reader);
    closed->columns = columns;
    closed->access = access;
    closed->memory_bytes = memory_bytes;
    arena_init(&closed->chunk, 0);
    int needed = view_closed_is_needed(reader, access, diag);
    if (needed <= 0)
        return needed;
    closed->rows = malloc(READ_ROWS * sizeof *closed->rows);
    closed->offsets = malloc(READ_ROWS * sizeof *closed->offsets);
    closed->behind_partition = -1;
    if (closed->rows == NULL || closed->offsets == NULL)
        return no_memory(diag);
    TRY(want_partitions(closed, &closed->chunk, diag));
    return open_decoders(closed, &closed->chunk, diag);
}

void view_closed_close(struct view_closed *closed)
{
    if (closed == NULL)
        return;
    if (closed->rows_reader != NULL)
        view_reader_port(closed->reader)->ops->reader_close(closed->rows_reader);
    typed_close(&closed->keys);
    typed_close(&closed->values);
    free(closed->key_types);
    free(closed->value_types);
    free(closed->is_wanted);
    free(closed->slots);
    free(closed->rows);
    free(closed->offsets);
    arena_deinit(&closed->chunk);
    buf_deinit(&closed->scratch);
    free(closed);
}

void view_closed_begin_behind(struct view_closed *closed, int32_t partition, int64_t offset)
{
    closed->partition = closed->behind_partition = partition;
    closed->behind_offset = offset;
}

void view_closed_mark(const struct view_closed *closed, uint32_t row, int32_t *partition,
                      int64_t *offset)
{
    *partition = closed->partition;
    *offset = closed->offsets[row];
}

/* ---- the last record of each key ---- */

static struct last_record *slot_of(struct last_record *slots, size_t count, struct hash128 hash)
{
    size_t at = hash.low & (count - 1);
    while ((slots[at].hash.low != 0 || slots[at].hash.high != 0) &&
           (slots[at].hash.low != hash.low || slots[at].hash.high != hash.high))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static int grow_slots(struct view_closed *closed)
{
    size_t count = closed->slot_count > 0 ? closed->slot_count * 2 : 1024;
    if (count * sizeof *closed->slots > closed->memory_bytes)
        return diag_set(closed->diag, ERR_NOMEM,
                        "the closed windows of %s have more than %zu keys, and finding the last "
                        "record of each takes more than %zu MB\nhint: a condition on window_start "
                        "or on the group makes it less; WHERE window_open reads the state alone",
                        view_reader_names(closed->reader)->topic, closed->used,
                        closed->memory_bytes >> 20);
    struct last_record *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return no_memory(closed->diag);
    for (size_t i = 0; i < closed->slot_count; i++)
        if (closed->slots[i].hash.low != 0 || closed->slots[i].hash.high != 0)
            *slot_of(slots, count, closed->slots[i].hash) = closed->slots[i];
    free(closed->slots);
    closed->slots = slots;
    closed->slot_count = count;
    return 0;
}

static int note_record(struct view_closed *closed, const struct source_row *row)
{
    if (closed->used * 4 >= closed->slot_count * 3)
        TRY(grow_slots(closed));
    struct hash128 hash = hash128(row->key.data, row->key.size);
    struct last_record *slot = slot_of(closed->slots, closed->slot_count, hash);
    if (slot->hash.low == 0 && slot->hash.high == 0)
        closed->used++;
    slot->hash = hash;
    slot->offset = row->value.data != NULL ? row->offset : -1;
    return 0;
}

/* The groups and windows of rows by their keys; keys that are no view's leave the batch. */
static int decode_keys(struct view_closed *closed, const struct source_row *rows, uint32_t count,
                       struct arena *arena, struct batch *keys, struct bytes **groups,
                       struct reject_list *rejects)
{
    struct bytes *docs = arena_alloc(arena, (count + 1) * sizeof *docs);
    *groups = arena_zalloc(arena, (count + 1) * sizeof **groups);
    if (docs == NULL || *groups == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        docs[i] = rows[i].key.data != NULL ? rows[i].key : bytes_text("");
    TRY(typed_decode(&closed->keys, docs, count, arena, keys, rejects));
    struct bytes *selected = arena_alloc(arena, (count + 1) * sizeof *selected);
    if (selected == NULL)
        return ERR_NOMEM;
    TRY(group_key_encode_batch(keys, keys->columns, closed->keys.count - 1, selected));
    for (uint32_t i = 0; i < keys->selected_count; i++)
        (*groups)[batch_row(keys, i)] = selected[i];
    return 0;
}

static int64_t window_of(const struct view_closed *closed, const struct batch *keys, uint32_t row)
{
    const struct column *start = &keys->columns[closed->keys.count - 1];
    return column_is_null(start, row) ? INT64_MIN : start->i64[column_at(start, row)];
}

static int first_rows(struct view_closed *closed, uint32_t count)
{
    struct reject_list rejects = {.arena = &closed->chunk};
    struct batch keys;
    struct bytes *groups;
    arena_reset(&closed->chunk);
    if (decode_keys(closed, closed->rows, count, &closed->chunk, &keys, &groups, &rejects) < 0)
        return no_memory(closed->diag);
    for (uint32_t i = 0; i < keys.selected_count; i++) {
        uint32_t row = batch_row(&keys, i);
        if (view_access_takes(closed->access, groups[row], window_of(closed, &keys, row), true))
            TRY(note_record(closed, &closed->rows[row]));
    }
    return 0;
}

static int open_reader(struct view_closed *closed)
{
    struct port *port = view_reader_port(closed->reader);
    const char *topic = view_reader_names(closed->reader)->topic;
    struct port_range range;
    if (closed->rows_reader != NULL)
        port->ops->reader_close(closed->rows_reader);
    closed->rows_reader = NULL;
    TRY(port->ops->range(port, topic, closed->partition, &range, closed->diag));
    closed->end = range.stable;
    return port->ops->reader_open(port, topic, closed->partition, range.start, &closed->rows_reader,
                                  closed->diag);
}

/* Some rows of the partition that is read: their number; 0: it is at its end. */
static int read_rows(struct view_closed *closed)
{
    const struct port_ops *ops = view_reader_port(closed->reader)->ops;
    for (int64_t next = -1;;) {
        uint32_t count;
        int64_t before = next;
        TRY(ops->reader_read(closed->rows_reader, closed->rows, READ_ROWS, &count, &next,
                             closed->diag));
        if (count > 0 || next == before || next >= closed->end)
            return (int)count;
    }
}

static int first_pass(struct view_closed *closed)
{
    free(closed->slots);
    closed->slots = NULL;
    closed->slot_count = closed->used = 0;
    TRY(open_reader(closed));
    for (int count; (count = read_rows(closed)) != 0;) {
        TRY(count);
        TRY(first_rows(closed, (uint32_t)count));
    }
    return 0;
}

/* ---- rows ---- */

static bool is_last(const struct view_closed *closed, const struct source_row *row)
{
    if (closed->slot_count == 0 || row->key.data == NULL)
        return false;
    struct hash128 hash = hash128(row->key.data, row->key.size);
    const struct last_record *slot = slot_of(closed->slots, closed->slot_count, hash);
    return (slot->hash.low != 0 || slot->hash.high != 0) && slot->offset == row->offset;
}

/* 1: the row is of a window that the state does not have any more. */
static int is_closed(struct view_closed *closed, struct bytes group, int64_t window_ms,
                     struct arena *arena)
{
    const struct window_spec *window = &closed->view->group->window;
    int32_t partition = view_scan_partition(closed->reader, group, arena, &closed->scratch);
    TRY(view_reader_prepare(closed->reader, partition, closed->diag));
    struct view_time time = view_reader_time(closed->reader, partition);
    bool is_session = window->kind == WINDOW_SESSION;
    if (!is_session && window_ms < time.closed_before_ms)
        return 1;
    if (!is_session &&
        (time.watermark_ms == INT64_MIN || window_closes_at(window, window_ms) > time.watermark_ms))
        return 0;
    /* A record may be of a session that began after the commit that the state is as of: no row of it was late. */
    if (is_session && (time.watermark_ms == INT64_MIN || window_ms > time.watermark_ms ||
                       time.watermark_ms - window_ms < window->size_ms))
        return 0;
    int rc = view_state_has(closed->reader, partition, group, window_ms, arena, closed->diag);
    return rc < 0 ? rc : rc == 0;
}

struct closed_rows {
    uint32_t *rows; /* of closed->rows */
    struct bytes *values;
    uint32_t count;
};

static int choose_rows(struct view_closed *closed, uint32_t count, struct arena *arena,
                       const struct batch *keys, const struct bytes *groups,
                       struct closed_rows *chosen)
{
    chosen->rows = arena_alloc(arena, (count + 1) * sizeof *chosen->rows);
    chosen->values = arena_alloc(arena, (count + 1) * sizeof *chosen->values);
    chosen->count = 0;
    if (chosen->rows == NULL || chosen->values == NULL)
        return no_memory(closed->diag);
    for (uint32_t i = 0; i < keys->selected_count; i++) {
        uint32_t row = batch_row(keys, i);
        if (!is_last(closed, &closed->rows[row]) ||
            (closed->partition == closed->behind_partition &&
             closed->rows[row].offset <= closed->behind_offset))
            continue;
        int rc = is_closed(closed, groups[row], window_of(closed, keys, row), arena);
        TRY(rc);
        if (rc == 0)
            continue;
        closed->offsets[chosen->count] = closed->rows[row].offset;
        chosen->rows[chosen->count] = row;
        chosen->values[chosen->count++] = closed->rows[row].value;
    }
    return 0;
}

/* A hidden column, by the rows' keys; of a window's end what the window says. */
static int key_column(struct view_closed *closed, const struct view_column *wanted,
                      const struct closed_rows *chosen, const struct batch *keys,
                      struct arena *arena, struct column *column)
{
    const struct window_spec *window = &closed->view->group->window;
    if (wanted->key >= 0)
        return column_gather(&keys->columns[wanted->key], chosen->rows, chosen->count, arena,
                             column);
    TRY(column_alloc(column, COL_TIMESTAMPTZ, chosen->count, true, arena));
    for (uint32_t i = 0; i < chosen->count; i++) {
        int64_t start = window_of(closed, keys, chosen->rows[i]);
        column->i64[i] = wanted->key == KEY_WINDOW_START ? start : window_end(window, start);
        /* Where a session ended is in its record alone. */
        column->nulls[i] = wanted->key == KEY_WINDOW_END && window->kind == WINDOW_SESSION;
    }
    return 0;
}

static int arrange(struct view_closed *closed, const struct closed_rows *chosen,
                   const struct batch *keys, struct arena *arena, struct batch *batch)
{
    const struct view_columns *columns = closed->columns;
    struct column *to = arena_zalloc(arena, (columns->count + 1) * sizeof *to);
    if (to == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct view_column *column = &columns->items[i];
        if (i < columns->value_count) {
            to[i] = batch->columns[i];
        } else if (column->is_open_mark) {
            TRY(column_alloc(&to[i], COL_BOOLEAN, chosen->count, false, arena));
            memset(to[i].boolean, 0, chosen->count);
        } else {
            TRY(key_column(closed, column, chosen, keys, arena, &to[i]));
        }
    }
    batch->columns = to;
    batch->column_count = columns->count;
    return 0;
}

static int second_rows(struct view_closed *closed, uint32_t count, struct arena *arena,
                       struct batch *batch, uint64_t *left_out, char *reason)
{
    struct reject_list rejects = {.arena = arena};
    struct batch keys;
    struct bytes *groups;
    struct closed_rows chosen;
    *batch = (struct batch){.selected_count = 0};
    if (decode_keys(closed, closed->rows, count, arena, &keys, &groups, &rejects) < 0)
        return no_memory(closed->diag);
    TRY(choose_rows(closed, count, arena, &keys, groups, &chosen));
    uint32_t first = rejects.count;
    if (typed_decode(&closed->values, chosen.values, chosen.count, arena, batch, &rejects) < 0 ||
        arrange(closed, &chosen, &keys, arena, batch) < 0)
        return no_memory(closed->diag);
    if (*left_out == 0 && rejects.count > 0)
        snprintf(reason, REASON_BYTES, "%s", rejects.items[0].message);
    *left_out += first + (chosen.count - batch->selected_count);
    return 0;
}

/* The next partition whose keys have been gone over: 1. */
static int next_partition(struct view_closed *closed)
{
    for (; closed->partition < closed->partition_count; closed->partition++) {
        if (closed->is_wanted != NULL && !closed->is_wanted[closed->partition])
            continue;
        TRY(first_pass(closed));
        TRY(open_reader(closed));
        closed->is_second = true;
        return 1;
    }
    return 0;
}

int view_closed_next(struct view_closed *closed, struct arena *arena, struct batch *batch,
                     uint64_t *left_out, char *reason, struct diag *diag)
{
    closed->diag = diag;
    for (;;) {
        if (!closed->is_second) {
            int rc = next_partition(closed);
            if (rc <= 0)
                return rc;
        }
        int count = read_rows(closed);
        if (count > 0)
            TRY(second_rows(closed, (uint32_t)count, arena, batch, left_out, reason));
        if (count != 0)
            return count < 0 ? count : 1;
        closed->is_second = false;
        closed->partition++;
    }
}
