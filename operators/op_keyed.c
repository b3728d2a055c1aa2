/* op_keyed.c: where a stream of rows becomes a table: from here on there is one row for each key.
 *
 * The operator passes rows on as they are and lists, for whoever keeps the table, which came by and
 * what their keys are, in the order of their topic. Rows that do not come out at the end of the
 * chain were left out by a condition on the table: their keys have no row any more. Those that were
 * rejected behind it changed nothing.
 *
 * A record without a value removes the row of its record key. It has no columns and so is not among
 * the selected rows, but among the records that the batch came from; its key is text, read as the
 * types of the key's columns with SQL's own casts. Where a key's only column is uncast, "5" may have
 * been a number or a text, and it is both that go.
 *
 * Of a table that is read by partition, rows that belong in another one are dead letters (key_place.c).
 *
 * A key with a NULL in it is no key: the row is a dead letter, as is a record without a value whose
 * key is none. But results of groups have such keys, since NULLs form one group: where the app itself
 * writes the topic as a table, it is a key as any other. */
#include "operators/group_key.h"
#include "operators/join.h"
#include "operators/json_value.h"
#include "operators/key_place.h"
#include "operators/row_table.h"

struct keyed_op {
    struct op op;
    struct table_changes changes;
    bool has_changes;
};

static int reject_nulls(const struct keyed_params *params, struct op_call *call,
                        const struct batch *in, const struct column *columns)
{
    for (uint32_t k = 0; k < params->key->count && !params->takes_nulls; k++)
        for (uint32_t i = 0; i < in->selected_count; i++)
            if (column_is_null(&columns[k], batch_row(in, i)))
                TRY(reject_add(call->rejects, batch_row(in, i), "primary_key",
                               "column \"%s\" of the key is null", params->key->names[k]));
    return 0;
}

/* The keys of the selected rows, without those rows that belong in another partition. */
static int check_places(const struct keyed_op *keyed, struct op_call *call, struct batch *batch,
                        const struct column *columns, struct bytes *keys)
{
    const struct keyed_params *params = keyed->op.params;
    uint32_t first = call->rejects->count;
    TRY(key_place_check(keyed->op.env, params->placed_table, call, batch, keys));
    if (call->rejects->count == first)
        return 0;
    TRY(batch_drop_rejected(batch, call->rejects, first, call->arena));
    return group_key_encode_batch(batch, columns, params->key->count, keys);
}

/* A key that no store can hold would stop the job at every start, so its row is a dead letter. */
static int encode_keys(const struct keyed_params *params, struct op_call *call, struct batch *batch,
                       const struct column *columns, struct bytes *keys)
{
    uint32_t first = call->rejects->count;
    TRY(group_key_encode_batch(batch, columns, params->key->count, keys));
    for (uint32_t i = 0; i < batch->selected_count; i++)
        if (__builtin_expect(keys[i].size > ROW_KEY_MAX_BYTES, 0))
            TRY(reject_add(call->rejects, batch_row(batch, i), "key_too_long",
                           "the row's key takes %zu bytes; the limit is %d", keys[i].size,
                           ROW_KEY_MAX_BYTES));
    if (call->rejects->count == first)
        return 0;
    TRY(batch_drop_rejected(batch, call->rejects, first, call->arena));
    return group_key_encode_batch(batch, columns, params->key->count, keys);
}

/* ---- records without a value ---- */

/* The record's key as values of the key's columns, uncast: a JSON object by name, else the text of
 * the only one. 0: it is none. */
static int split_record_key(const struct keyed_params *params, struct bytes key,
                            struct arena *arena, struct variant *values)
{
    if (params->key->count == 1 && (key.size == 0 || key.data[0] != '{')) {
        *values =
            (struct variant){.data = key.data, .size = (uint32_t)key.size, .kind = VARIANT_TEXT};
        return 1;
    }
    if (!json_value_check(key))
        return 0;
    for (uint32_t i = 0; i < params->key->count; i++) {
        struct bytes text;
        int rc = json_value_member(key, bytes_text(params->key->names[i]), arena, &text);
        if (rc <= 0)
            return rc == ERR_NOMEM ? rc : 0;
        TRY(json_value_read(text, arena, &values[i]));
        if (values[i].kind == VARIANT_NULL && !params->takes_nulls)
            return 0;
    }
    return 1;
}

/* 0: the values are not of the key's types. */
static int encode_values(const struct keyed_params *params, const struct variant *values,
                         struct arena *arena, struct bytes *key)
{
    const struct expr_list *list = params->record_key;
    struct reject_list rejects = {.arena = arena};
    struct column *columns = arena_zalloc(arena, (2 * (size_t)list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        columns[i] = (struct column){.type = COL_VARIANT,
                                     .variant = (struct variant *)(uintptr_t)&values[i]};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = list->count,
                          .arena = arena};
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], &batch, &columns[list->count + i], &rejects));
    if (rejects.count > 0)
        return 0;
    TRY(group_key_encode_batch(&batch, columns + list->count, list->count, key));
    return key->size <= ROW_KEY_MAX_BYTES; /* else there is no row of it */
}

/* The keys that a record without a value names: 0, 1 or 2. */
static int removed_keys(const struct keyed_params *params, struct bytes record_key,
                        struct arena *arena, struct bytes keys[2])
{
    struct variant number, *values = arena_zalloc(arena, params->key->count * sizeof *values);
    int count = 0;
    if (values == NULL)
        return ERR_NOMEM;
    if (record_key.data == NULL)
        return 0;
    int rc = split_record_key(params, record_key, arena, values);
    if (rc <= 0)
        return rc;
    if (params->key->count == 1 && values->kind == VARIANT_TEXT &&
        expr_type(params->key->exprs[0]) == COL_VARIANT && json_value_check(record_key) &&
        json_value_read(record_key, arena, &number) == 0) {
        rc = encode_values(params, &number, arena, &keys[count]);
        TRY(rc);
        count += rc;
    }
    rc = encode_values(params, values, arena, &keys[count]);
    TRY(rc);
    return count + rc;
}

static int list_removal(struct keyed_op *keyed, struct op_call *call, const struct batch *in,
                        uint32_t row)
{
    const struct keyed_params *params = keyed->op.params;
    struct bytes keys[2];
    int count = removed_keys(params, in->source[row].key, call->arena, keys);
    TRY(count);
    if (params->placed_table != NULL && count > 0) /* the last one is the text */
        TRY(key_place_check_row(keyed->op.env, params->placed_table, call, row, keys[count - 1]));
    for (int i = 0; i < count; i++)
        keyed->changes.items[keyed->changes.count++] =
            (struct table_change){.row = row, .is_removal = true, .key = keys[i]};
    return count > 0 ? 0
                     : reject_add(call->rejects, row, "primary_key",
                                  "a record without a value removes the row of its key, and this "
                                  "key names none");
}

/* ---- all of them ---- */

/* keys: of the selected rows of in. */
static int list_changes(struct keyed_op *keyed, struct op_call *call, const struct batch *in,
                        const struct bytes *keys)
{
    uint32_t next = 0;
    keyed->changes.count = 0;
    keyed->changes.items =
        arena_alloc(call->arena, (2 * (size_t)in->row_count + 1) * sizeof *keyed->changes.items);
    if (keyed->changes.items == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < in->row_count; row++)
        if (next < in->selected_count && batch_row(in, next) == row)
            keyed->changes.items[keyed->changes.count++] =
                (struct table_change){.row = row, .key = keys[next++]};
        else if (in->source[row].value.data == NULL)
            TRY(list_removal(keyed, call, in, row));
    keyed->has_changes = true;
    return 0;
}

static int keyed_process(struct op *op, struct op_call *call, const struct batch *in,
                         struct batch *out)
{
    struct keyed_op *keyed = (struct keyed_op *)op;
    const struct keyed_params *params = op->params;
    uint32_t first = call->rejects->count;
    struct column *columns = arena_alloc(call->arena, (params->key->count + 1) * sizeof *columns);
    must(in->is_table && in->source != NULL && in->made_from == NULL);
    if (columns == NULL)
        return ERR_NOMEM;
    *out = *in;
    for (uint32_t k = 0; k < params->key->count; k++)
        TRY(expr_eval(params->key->exprs[k], in, &columns[k], call->rejects));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    first = call->rejects->count;
    TRY(reject_nulls(params, call, out, columns));
    TRY(batch_drop_rejected(out, call->rejects, first, call->arena));
    struct bytes *keys = arena_alloc(call->arena, ((size_t)out->selected_count + 1) * sizeof *keys);
    if (keys == NULL)
        return ERR_NOMEM;
    TRY(encode_keys(params, call, out, columns, keys));
    if (params->placed_table != NULL)
        TRY(check_places(keyed, call, out, columns, keys));
    TRY(list_changes(keyed, call, out, keys));
    out->changes = &keyed->changes;
    return 0;
}

const struct table_changes *keyed_changes(const struct op *op)
{
    const struct keyed_op *keyed = (const struct keyed_op *)op;
    return keyed->has_changes ? &keyed->changes : NULL;
}

void keyed_begin(struct op *op)
{
    ((struct keyed_op *)op)->has_changes = false;
}

const struct op_type op_keyed_type = {
    .name = "keyed",
    .size_bytes = sizeof(struct keyed_op),
    .process = keyed_process,
    .gives_changes = true,
};
