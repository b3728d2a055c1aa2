/* function.c: what the operators that call users' functions share (see function.h).
 *
 * A function is called once a row, through one pointer: the price of leaving SQL, a few dozen
 * nanoseconds. Its arguments are a select list, evaluated for the whole batch first, so that a JSON
 * field that only the function reads is decoded like any other. Whatever the function does to a row
 * stays with that row: an error, a value of the wrong type, a text that is not UTF-8 makes a dead
 * letter of class "function", with the function's name and its own message. */
#include "operators/function.h"

#include <stdio.h>

void function_fail(struct function_call *call, const char *message)
{
    snprintf(call->message, sizeof call->message, "%s", message != NULL ? message : "");
}

int function_arguments_eval(const struct function_params *params, struct op_call *op,
                            const struct batch *in, struct batch *out,
                            struct function_arguments *arguments)
{
    uint32_t first = op->rejects->count, count = params->arguments->count;
    *out = *in;
    arguments->columns = arena_alloc(op->arena, (count + 1) * sizeof *arguments->columns);
    arguments->values = arena_alloc(op->arena, (count + 1) * sizeof *arguments->values);
    if (arguments->columns == NULL || arguments->values == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        TRY(expr_eval(params->arguments->exprs[i], in, &arguments->columns[i], op->rejects));
    return batch_drop_rejected(out, op->rejects, first, op->arena);
}

int function_reject(struct function_call *call, uint32_t row)
{
    TRY(reject_add(call->op->rejects, row, "function", "%s: %s", call->params->name,
                   call->message[0] != '\0' ? call->message : "the function refused the row"));
    return ERR_INVALID;
}

int function_invoke(struct function_call *call, const struct function_arguments *arguments,
                    const struct batch *in, uint32_t row, struct value *results)
{
    const struct function_params *params = call->params;
    for (uint32_t i = 0; i < params->arguments->count; i++)
        TRY(value_get(&arguments->columns[i], row, call->op->arena, &arguments->values[i]));
    call->message[0] = '\0';
    call->has_failed = call->is_out_of_memory = false;
    call->given_count = 0;
    call->event_time_ms = in->event_time_ms != NULL ? in->event_time_ms[row] : INT64_MIN;
    int answer = params->invoke(params, call, arguments->values, results);
    if (call->is_out_of_memory)
        return ERR_NOMEM;
    return answer < 0 || call->has_failed ? function_reject(call, row) : answer;
}

int function_columns_alloc(const struct column_list *list, uint32_t rows, struct arena *arena,
                           struct column **columns)
{
    *columns = arena_alloc(arena, (list->count + 1) * sizeof **columns);
    if (*columns == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(column_alloc(&(*columns)[i], list->types[i], rows, true, arena));
    return 0;
}

/* Twice the room for given rows. */
static int grow_given(struct function_call *call)
{
    const struct column_list *list = call->params->results;
    uint32_t capacity = call->given_capacity > 0 ? call->given_capacity * 2 : 64;
    struct column *grown;
    TRY(function_columns_alloc(list, capacity, call->op->arena, &grown));
    for (uint32_t i = 0; i < list->count && call->given_count > 0; i++) {
        memcpy(grown[i].data, call->given[i].data,
               call->given_count * col_type_bytes(list->types[i]));
        if (grown[i].nulls != NULL)
            memcpy(grown[i].nulls, call->given[i].nulls, call->given_count);
    }
    call->given = grown;
    call->given_capacity = capacity;
    return 0;
}

static int refuse_given(struct function_call *call, const char *column, const char *problem)
{
    if (!call->has_failed)
        snprintf(call->message, sizeof call->message, "%s%s%s", column, column[0] ? ": " : "",
                 problem);
    call->has_failed = true;
    return ERR_INVALID;
}

int function_give(struct function_call *call, const struct value *values)
{
    const struct column_list *list = call->params != NULL ? call->params->results : NULL;
    const char *problem = NULL;
    if (list == NULL)
        return refuse_given(call, "", "only a flat-map function gives rows");
    if (call->given_count == FUNCTION_ROWS_MAX)
        return refuse_given(call, "", "the function gave more than 65536 rows for one");
    int rc = call->given_count == call->given_capacity ? grow_given(call) : 0;
    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        if (call->given[i].nulls != NULL)
            call->given[i].nulls[call->given_count] = 0;
        rc = value_put(&values[i], &call->given[i], call->given_count, call->op->arena, &problem);
        if (rc == ERR_INVALID)
            return refuse_given(call, list->names[i], problem);
    }
    call->is_out_of_memory |= rc < 0;
    call->given_count += rc == 0;
    return rc;
}

int function_write(struct function_call *call, const void *data, size_t size)
{
    if (call->out == NULL)
        return refuse_given(call, "", "only a format's encode writes");
    if (size > FUNCTION_VALUE_BYTES_MAX || call->out->size > FUNCTION_VALUE_BYTES_MAX - size)
        return refuse_given(call, "", "the format wrote more than 16 MiB");
    buf_append(call->out, data, size);
    return 0;
}
