/* store_rows.c: the pairs of a store in which operators keep rows, as `weir state` prints them (see
 * store_view.h).
 *
 * A pair's key begins with the number of its operator among those of the stage that keep rows. What
 * follows is the operator's own: of distinct the key's columns and an event time, of a join the
 * key's and the table's columns. */
#include "operators/group_key.h"
#include "operators/join.h"
#include "operators/json_encode.h"
#include "operators/row_codec.h"
#include "runtime/store_view.h"
#include "runtime/plan.h"

static int corrupt(struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT, "a stored row does not decode");
}

static const struct op_spec *keeper_of(const struct view *view, uint32_t first, uint32_t count,
                                       uint8_t number)
{
    for (uint32_t i = first; i < first + count && i < view->op_count; i++)
        if (view->ops[i].type->save != NULL && number-- == 0)
            return &view->ops[i];
    return NULL;
}

static void print_column(struct buf *out, const char *name, const struct column *column)
{
    buf_u8(out, ',');
    json_escape(out, bytes_text(name));
    buf_u8(out, ':');
    json_encode_value(out, column, 0, false);
}

/* Key columns by their names; group_key.h says what they are. */
static int print_key(struct buf *out, const struct expr_list *list, struct bytes key,
                     struct arena *arena, struct diag *diag)
{
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(column_alloc(&columns[i], COL_VARIANT, 1, false, arena));
    if (group_key_decode(key, columns, list->count, 0, arena) < 0)
        return corrupt(diag);
    for (uint32_t i = 0; i < list->count; i++)
        print_column(out, list->names[i], &columns[i]);
    return 0;
}

static int print_distinct(struct buf *out, const struct distinct_params *params, struct bytes key,
                          struct bytes value, struct arena *arena, struct diag *diag)
{
    struct column time;
    buf_printf(out, "{\"operator\":\"distinct\"");
    TRY(print_key(out, params->key.list, key, arena, diag));
    TRY(column_alloc(&time, COL_TIMESTAMPTZ, 1, false, arena));
    if (value.size != sizeof(int64_t))
        return corrupt(diag);
    time.i64[0] = (int64_t)load_be64(value.data);
    print_column(out, "event_time", &time);
    buf_u8(out, '}');
    return 0;
}

static int print_columns(struct buf *out, const struct expr_list *list, const enum col_type *types,
                         struct bytes row, struct arena *arena, struct diag *diag)
{
    struct column *columns = arena_zalloc(arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(column_alloc(&columns[i], types[i], 1, types[i] != COL_VARIANT, arena));
    if (row_decode(row, columns, list->count, 0) < 0)
        return corrupt(diag);
    for (uint32_t i = 0; i < list->count; i++)
        print_column(out, list->names[i], &columns[i]);
    return 0;
}

static int print_join(struct buf *out, const struct view *view, const struct join_params *params,
                      struct bytes key, struct bytes value, struct arena *arena, struct diag *diag)
{
    const struct table *table = view->tables[params->side];
    const struct keyed_params *keyed = table->rows.ops[table->rows.keyed_op].params;
    buf_printf(out, "{\"operator\":\"join\",\"table\":");
    json_escape(out, bytes_text(params->table));
    TRY(print_key(out, keyed->key, key, arena, diag));
    TRY(print_columns(out, table->columns, params->types, value, arena, diag));
    buf_u8(out, '}');
    return 0;
}

/* A row of one of two tables that are joined (op_join_tables.c). */
static int print_side(struct buf *out, const struct view *view, struct bytes key,
                      struct bytes value, struct arena *arena, struct diag *diag)
{
    int64_t timestamp_ms;
    uint8_t side;
    if (take_u8(&key, &side) < 0 || side > 1 || take_varint(&value, &timestamp_ms) < 0)
        return corrupt(diag);
    const struct view *arm = side == JOIN_TABLES_LEFT ? view->lead : view->lead->next_arm;
    const struct map_params *map = arm->ops[arm->op_count - 1].params;
    buf_printf(out, "{\"operator\":\"join_tables\",\"table\":");
    json_escape(out, bytes_text(arm->source->text));
    buf_printf(out, ",\"key\":{");
    size_t start = out->size;
    TRY(print_key(out, arm->keyed->key, key, arena, diag));
    if (buf_ok(out) && out->size > start) { /* the first comma */
        memmove(out->data + start, out->data + start + 1, out->size - start - 1);
        out->size--;
    }
    buf_u8(out, '}');
    TRY(print_columns(out, map->list, view->join_tables->types[side], value, arena, diag));
    buf_u8(out, '}');
    return 0;
}

int store_rows_json(const struct view *view, uint32_t first, uint32_t count, struct bytes key,
                    struct bytes value, struct arena *arena, struct buf *out, struct diag *diag)
{
    enum { HEAD_BYTES = 9 }; /* row_table.h */
    if (key.size < HEAD_BYTES)
        return corrupt(diag);
    const struct op_spec *keeper = keeper_of(view, first, count, key.data[0]);
    struct bytes rest = bytes_of(key.data + HEAD_BYTES, key.size - HEAD_BYTES);
    if (keeper == NULL)
        return corrupt(diag);
    if (keeper->params == view->distinct)
        return print_distinct(out, keeper->params, rest, value, arena, diag);
    if (view->join_tables != NULL)
        return print_side(out, view, rest, value, arena, diag);
    if (view->within != NULL)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "the rows of a join of two streams are kept in chunks that weir state does "
                        "not show: read the topic %s",
                        view->sink->topic);
    return print_join(out, view, keeper->params, rest, value, arena, diag);
}
