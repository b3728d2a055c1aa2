/* agg_function.c: accumulators that the user's C functions keep (see agg_function.h).
 *
 * Encoding: uvarint number of rows added; when it is not 0, the state: the memory as it is, or, with
 * functions for it, uvarint size and what encode wrote. Memory as it is has the byte order and the
 * padding of the machine; a data directory stays on machines of one kind anyway (LMDB's files do),
 * and padding is zero because a state is zeroed before init sees it and is only ever copied whole.
 *
 * add works on a copy of the state, which replaces the state when the row was taken: a function that
 * gives up half way through has changed nothing. merge cannot refuse: what it makes of two states may
 * say so in result.
 *
 * Partials are merged in the order in which they arrive, and rows are added in the order in which
 * their partition is read: as for every other accumulator, only a function for which neither order
 * matters gives the same result in every run. weir.h says so. */
#include "operators/agg_function.h"

#include <stdio.h>

#include "operators/agg_kind.h"

struct state {
    _Alignas(16) uint8_t bytes[AGG_STATE_MAX_BYTES];
};

static void state_init(const struct agg_function *function, void *state)
{
    memset(state, 0, function->state_bytes);
    if (function->init != NULL)
        function->init(function, state);
}

/* ---- rows ---- */

/* 0, ERR_INVALID (rejected) or ERR_NOMEM. */
static int add_row(const struct agg_function *function, struct function_call *call,
                   const struct column *arguments, const struct batch *batch, uint32_t row,
                   struct agg_function_slot *slot, struct value *values)
{
    struct state copy;
    for (uint32_t i = 0; i < function->argument_count; i++)
        TRY(value_get(&arguments[i], row, call->op->arena, &values[i]));
    if (slot->added == 0)
        state_init(function, copy.bytes);
    else
        memcpy(copy.bytes, slot->state, function->state_bytes);
    call->message[0] = '\0';
    call->has_failed = call->is_out_of_memory = false;
    call->event_time_ms = batch->event_time_ms != NULL ? batch->event_time_ms[row] : INT64_MIN;
    if (function->add(function, call, copy.bytes, values) < 0 || call->has_failed)
        return function_reject(call, row);
    memcpy(slot->state, copy.bytes, function->state_bytes);
    slot->added++;
    return 0;
}

int agg_function_update(const struct agg_function *function, struct op_call *op,
                        struct batch *batch, const struct column *arguments, void **rows,
                        uint32_t *kept, uint32_t slot_offset)
{
    struct function_call call = {.op = op, .params = function->params};
    struct value *values = arena_alloc(op->arena, (function->argument_count + 1) * sizeof *values);
    uint16_t *selection = arena_alloc(op->arena, (batch->selected_count + 1) * sizeof *selection);
    uint32_t count = 0;
    if (values == NULL || selection == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        void *slot = (uint8_t *)rows[i] + slot_offset;
        int rc = add_row(function, &call, arguments, batch, row, slot, values);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc < 0)
            continue;
        rows[count] = rows[i];
        kept[count] = i;
        selection[count++] = (uint16_t)row;
    }
    if (count == batch->selected_count)
        return 0;
    batch->selection = selection;
    batch->selected_count = count;
    return 0;
}

/* ---- encoding ---- */

void agg_function_encode(const struct agg_function *function, const struct agg_function_slot *slot,
                         struct buf *out)
{
    buf_uvarint(out, slot->added);
    if (slot->added == 0)
        return;
    if (function->encode == NULL) {
        buf_append(out, slot->state, function->state_bytes);
        return;
    }
    uint8_t bytes[AGG_STATE_ENCODED_MAX_BYTES];
    size_t size = function->encode(function, slot->state, bytes, sizeof bytes);
    if (size > sizeof bytes) {
        out->failed = true;
        return;
    }
    buf_uvarint(out, size);
    buf_append(out, bytes, size);
}

static int take_state(const struct agg_function *function, struct bytes *in, struct state *state)
{
    uint64_t size = function->state_bytes;
    struct bytes bytes;
    if (function->decode != NULL)
        TRY(take_uvarint(in, &size));
    if (size > AGG_STATE_ENCODED_MAX_BYTES)
        return ERR_CORRUPT;
    TRY(take_bytes(in, size, &bytes));
    if (function->decode == NULL) {
        memcpy(state->bytes, bytes.data, size);
        return 0;
    }
    memset(state->bytes, 0, function->state_bytes);
    return function->decode(function, state->bytes, bytes.data, size) < 0 ? ERR_CORRUPT : 0;
}

int agg_function_merge(const struct agg_function *function, struct agg_function_slot *slot,
                       struct bytes *in, uint64_t row_count)
{
    uint64_t added;
    struct state other;
    TRY(agg_take_count(in, row_count, &added));
    if (added == 0)
        return 0;
    TRY(take_state(function, in, &other));
    if (slot == NULL)
        return 0;
    if (slot->added == 0)
        memcpy(slot->state, other.bytes, function->state_bytes);
    else
        function->merge(function, slot->state, other.bytes);
    slot->added += added;
    return 0;
}

/* ---- results ---- */

int agg_function_result(const struct agg_function *function, struct op_call *op,
                        const struct agg_function_slot *slot, struct column *results, uint32_t at)
{
    struct function_call call = {.op = op, .params = function->params, .event_time_ms = INT64_MIN};
    const struct column_list *list = function->params->results;
    struct value *values = arena_zalloc(op->arena, (list->count + 1) * sizeof *values);
    if (values == NULL)
        return ERR_NOMEM;
    if (function->result(function, &call, slot->state, values) < 0 || call.has_failed)
        return function_reject(&call, at);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *problem = NULL;
        int rc = value_put(&values[i], &results[i], at, op->arena, &problem);
        if (rc == ERR_INVALID) {
            snprintf(call.message, sizeof call.message, "%s: %s", list->names[i], problem);
            return function_reject(&call, at);
        }
        TRY(rc);
    }
    return 0;
}
