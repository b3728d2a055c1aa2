/* op.c: the table of operators and the life of an instance.
 *
 * Adding an operator is one new file op_<name>.c and one line here. Names are what plans and
 * metrics print, so they never change their meaning. */
#include <stdlib.h>
#include <string.h>

#include "operators/op.h"

extern const struct op_type op_filter_type, op_check_type, op_map_type, op_filter_fn_type,
    op_map_fn_type, op_flat_map_fn_type, op_unnest_type, op_peek_type, op_rekey_type, op_keyed_type,
    op_join_type, op_latest_type, op_distinct_type, op_join_side_type, op_join_within_type,
    op_join_tables_type, op_preaggregate_type, op_aggregate_type, op_merge_type;

static const struct op_type *const op_table[] = {
    &op_filter_type,       /* keeps rows for which a condition is true */
    &op_check_type,        /* rejects rows for which a condition is false */
    &op_map_type,          /* new columns from expressions */
    &op_filter_fn_type,    /* keeps rows for which a user's function says so */
    &op_map_fn_type,       /* new columns from a user's function */
    &op_flat_map_fn_type,  /* any number of rows for one, from a user's function */
    &op_unnest_type,       /* a row for each element of a JSON array */
    &op_rekey_type,        /* the columns of a new record key */
    &op_keyed_type,        /* where rows become a table, one for each key */
    &op_join_type,         /* the columns of a table's row beside those of each row */
    &op_latest_type,       /* rows of a table as what they change, with weights */
    &op_distinct_type,     /* of the rows with one key the first, within a time */
    &op_join_side_type,    /* rows on their way to a join of two streams */
    &op_join_within_type,  /* pairs of rows of two streams, with a store */
    &op_join_tables_type,  /* rows of two tables with equal keys, with a store */
    &op_peek_type,         /* shows rows to a user's function */
    &op_preaggregate_type, /* rows → one partial per group and commit, before a re-keying */
    &op_aggregate_type,    /* rows → results, with a store */
    &op_merge_type,        /* partials → results, with a store */
};

const struct op_type *op_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof op_table / sizeof op_table[0]; i++)
        if (strcmp(op_table[i]->name, name) == 0)
            return op_table[i];
    return NULL;
}

int op_create(const struct op_type *type, const void *params, struct op_env *env,
              struct op **result, struct diag *diag)
{
    must(type->size_bytes >= sizeof(struct op));
    struct op *op = calloc(1, type->size_bytes);
    if (op == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for operator %s", type->name);
    op->type = type;
    op->params = params;
    op->env = env;
    if (type->save != NULL)
        op->number = env->row_keepers++;
    int rc = type->open != NULL ? type->open(op, env, diag) : 0;
    if (rc < 0) {
        op_destroy(op);
        return rc;
    }
    *result = op;
    return 0;
}

void op_destroy(struct op *op)
{
    if (op == NULL)
        return;
    if (op->type->close != NULL)
        op->type->close(op);
    free(op);
}

int late_add(struct op_call *call, const struct late_row *late)
{
    if (call->late_count == call->late_capacity) {
        uint32_t capacity = call->late_capacity > 0 ? call->late_capacity * 2 : 64;
        struct late_row *grown = arena_alloc(call->arena, capacity * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        if (call->late_count > 0)
            memcpy(grown, call->late, call->late_count * sizeof *grown);
        call->late = grown;
        call->late_capacity = capacity;
    }
    call->late[call->late_count++] = *late;
    return 0;
}

/* Rejected rows carry physical indices in the order in which they were found, which is not sorted
 * when several expressions were evaluated: a byte map over the rows finds them in one pass. */
int batch_drop_rejected(struct batch *batch, const struct reject_list *rejects, uint32_t first,
                        struct arena *arena)
{
    if (rejects->count == first)
        return 0;
    uint8_t *gone = arena_zalloc(arena, batch->row_count + 1);
    uint16_t *kept = arena_alloc(arena, (batch->selected_count + 1) * sizeof *kept);
    if (gone == NULL || kept == NULL)
        return ERR_NOMEM;
    for (uint32_t i = first; i < rejects->count; i++)
        gone[rejects->items[i].row] = 1;
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        kept[count] = (uint16_t)row;
        count += !gone[row];
    }
    batch->selection = kept;
    batch->selected_count = count;
    return 0;
}
