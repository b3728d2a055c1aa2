/* aggregate.c: plans and rows of accumulators: layout, batches, encodings.
 *
 * A row is {int64 row count, slot of call 0, slot of call 1, …}. count(*) without a filter is the
 * row count itself and has no slot. Which functions work on a slot says its kind (agg_kind.h): sums
 * in agg_sum.c, min and max in agg_extreme.c, first and last in agg_edge.c, count(DISTINCT) in
 * distinct.c; here is what all of them share.
 *
 * Update goes column at a time: for each call one pass that picks the rows whose filter is true and
 * whose argument is not NULL (skipped when nothing can be left out, which is the usual case), then
 * one loop of the kind over plain arrays. A constant argument is an array of zeros as row numbers,
 * so that the kinds know nothing of constants.
 *
 * Merge checks the whole encoding before it changes anything: a damaged partial leaves the row as
 * it was.
 *
 * A plan of rows that may be taken back has kinds of its own (agg_retract.c, agg_least.c), and a row
 * count with a sign.
 *
 * Encoding (operators/README.md has the table): version byte 1, uvarint row count, then the slots'
 * own forms one after another, without names or lengths, since the plan says what follows. Of rows
 * that may be taken back: version byte 3 (2 is a pair's, distinct.c), varint row count. */
#include "operators/agg_function.h"
#include "operators/agg_kind.h"
#include "operators/agg_least.h"

#include <stdlib.h>

enum { ENCODING_VERSION = 1, NET_VERSION = 3, ROW_COUNT_BYTES = 8, AGG_CALLS_MAX = 1024 };

struct plan_call {
    const struct agg_kind *kind; /* NULL: count(*) without filter, which is the row count */
    uint32_t slot_offset;
    enum agg_values values;
    bool wants_max;
    bool is_function; /* of the user's: kind is NULL, see agg_plan.function */
};

struct agg_plan {
    size_t row_bytes;
    bool owns_heap, has_values, has_order;
    bool takes_back;                     /* rows have weights (agg_retract.c) */
    const struct agg_function *function; /* NULL: none */
    uint32_t function_offset;            /* of its slot */
    uint32_t function_call;              /* its first call */
    uint32_t call_count;
    struct plan_call calls[];
};

/* ---- plans ---- */

static const struct agg_kind *sum_kind(enum col_type type, bool average)
{
    switch (type) {
    case COL_BIGINT:
        return average ? &agg_kind_avg_bigint : &agg_kind_sum_bigint;
    case COL_NUMERIC:
        return average ? &agg_kind_avg_numeric : &agg_kind_sum_numeric;
    case COL_VARIANT:
        return average ? &agg_kind_avg_variant : &agg_kind_sum_variant;
    case COL_DOUBLE:
        return average ? &agg_kind_avg_double : &agg_kind_sum_double;
    default:
        return NULL;
    }
}

static const struct agg_kind *extreme_kind(enum col_type type)
{
    switch (type) {
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL:
        return &agg_kind_extreme_i64;
    case COL_BOOLEAN:
        return &agg_kind_extreme_boolean;
    case COL_DOUBLE:
        return &agg_kind_extreme_double;
    case COL_NUMERIC:
        return &agg_kind_extreme_numeric;
    case COL_TEXT:
        return &agg_kind_extreme_text;
    case COL_VARIANT:
        return &agg_kind_extreme_variant;
    default:
        return NULL;
    }
}

static const struct agg_kind *edge_kind(enum col_type type)
{
    switch (type) {
    case COL_BIGINT:
    case COL_TIMESTAMPTZ:
    case COL_INTERVAL:
        return &agg_kind_edge_i64;
    case COL_BOOLEAN:
        return &agg_kind_edge_boolean;
    case COL_DOUBLE:
        return &agg_kind_edge_double;
    case COL_NUMERIC:
        return &agg_kind_edge_numeric;
    case COL_TEXT:
        return &agg_kind_edge_text;
    case COL_BYTEA:
        return &agg_kind_edge_bytea;
    case COL_VARIANT:
        return &agg_kind_edge_variant;
    default:
        return NULL;
    }
}

/* The kind of a call and the type of its result; false when there is no such aggregate. */
static bool call_kind(const struct agg_call *call, const struct agg_kind **kind,
                      enum col_type *result_type)
{
    *result_type = COL_BIGINT;
    switch (call->func) {
    case AGG_COUNT_STAR:
        *kind = call->filter != NULL ? &agg_kind_count : NULL;
        return true;
    case AGG_COUNT:
        *kind = call->argument_type == COL_VARIANT ? &agg_kind_count_variant : &agg_kind_count;
        return true;
    case AGG_SUM:
    case AGG_AVG:
        *kind = sum_kind(call->argument_type, call->func == AGG_AVG);
        *result_type = call->argument_type == COL_DOUBLE ? COL_DOUBLE : COL_NUMERIC;
        return *kind != NULL;
    case AGG_MIN:
    case AGG_MAX:
        *kind = extreme_kind(call->argument_type);
        *result_type = call->argument_type;
        return *kind != NULL;
    case AGG_FIRST:
    case AGG_LAST:
        *kind = edge_kind(call->argument_type);
        *result_type = call->argument_type;
        return *kind != NULL;
    case AGG_COUNT_DISTINCT:
        *kind = &agg_kind_distinct;
        return true;
    case AGG_FUNCTION:
        *kind = NULL;
        *result_type = call->result_type;
        return true;
    }
    return false;
}

/* The kind of a call over rows that may be taken back; NULL for count(*), and false where what a
 * row brought cannot be taken back. */
static bool net_kind(const struct agg_kind **kind)
{
    static const struct agg_kind *const kinds[][2] = {
        {&agg_kind_count, &agg_kind_net_count},
        {&agg_kind_count_variant, &agg_kind_net_count_variant},
        {&agg_kind_sum_bigint, &agg_kind_net_sum_bigint},
        {&agg_kind_sum_numeric, &agg_kind_net_sum_numeric},
        {&agg_kind_sum_variant, &agg_kind_net_sum_variant},
        {&agg_kind_avg_bigint, &agg_kind_net_avg_bigint},
        {&agg_kind_avg_numeric, &agg_kind_net_avg_numeric},
        {&agg_kind_avg_variant, &agg_kind_net_avg_variant},
        {&agg_kind_distinct, &agg_kind_net_distinct},
        {&agg_kind_extreme_i64, &agg_kind_least_i64},
        {&agg_kind_extreme_boolean, &agg_kind_least_boolean},
        {&agg_kind_extreme_double, &agg_kind_least_double},
        {&agg_kind_extreme_numeric, &agg_kind_least_numeric},
        {&agg_kind_extreme_text, &agg_kind_least_text},
        {&agg_kind_extreme_variant, &agg_kind_least_variant},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (*kind == kinds[i][0]) {
            *kind = kinds[i][1];
            return true;
        }
    return *kind == NULL;
}

static int refuse_net(const struct agg_call *call, const char *name, struct diag *diag)
{
    bool is_double = call->func == AGG_SUM || call->func == AGG_AVG;
    if (is_double)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "%s(double precision) over a table: when a row changes, what the old one "
                        "added cannot be taken out exactly. Cast the argument: %s(x::numeric)",
                        name, name);
    if (call->func == AGG_FUNCTION)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "functions over a table: rows of a table change, and a function cannot "
                        "take back what it was given");
    return diag_set(diag, ERR_UNSUPPORTED,
                    "%s over a table: its rows are those that stand, whichever came %s, and one "
                    "that changes comes again. min and max of a column, of a time for example, "
                    "follow the rows that stand",
                    name, name);
}

static enum agg_values values_of(enum agg_func func, bool takes_back)
{
    if (func == AGG_COUNT_DISTINCT)
        return AGG_VALUES_COUNTED;
    return takes_back && (func == AGG_MIN || func == AGG_MAX) ? AGG_VALUES_ORDERED
                                                              : AGG_VALUES_NONE;
}

static void add_function(struct agg_plan *plan, const struct agg_function *function, uint32_t call)
{
    must(plan->function == NULL && function->state_bytes > 0 &&
         function->state_bytes <= AGG_STATE_MAX_BYTES);
    plan->function = function;
    plan->function_offset = (uint32_t)plan->row_bytes;
    plan->function_call = call;
    plan->row_bytes += agg_function_slot_bytes(function);
}

static int create_plan(const struct agg_call *calls, uint32_t call_count, bool takes_back,
                       struct agg_plan **out, struct diag *diag)
{
    *out = NULL;
    if (call_count > AGG_CALLS_MAX)
        return diag_set(diag, ERR_TOO_LARGE, "%u aggregates in one view; the limit is %d",
                        call_count, AGG_CALLS_MAX);
    struct agg_plan *plan = calloc(1, sizeof *plan + call_count * sizeof plan->calls[0]);
    if (plan == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for an aggregation plan");
    plan->call_count = call_count;
    plan->takes_back = takes_back;
    plan->row_bytes = ROW_COUNT_BYTES;
    for (uint32_t c = 0; c < call_count; c++) {
        static const char *const names[] = {"count", "count", "sum",  "avg",   "min",
                                            "max",   "first", "last", "count", "function"};
        struct plan_call *call = &plan->calls[c];
        enum col_type result_type;
        if (!call_kind(&calls[c], &call->kind, &result_type)) {
            free(plan);
            return diag_set(diag, ERR_INVALID, "%s(%s) does not exist; cast the argument",
                            names[calls[c].func], col_type_name(calls[c].argument_type));
        }
        must(result_type == calls[c].result_type);
        if (takes_back && (calls[c].func == AGG_FUNCTION || !net_kind(&call->kind))) {
            free(plan);
            return refuse_net(&calls[c], names[calls[c].func], diag);
        }
        call->slot_offset = (uint32_t)plan->row_bytes;
        call->wants_max = calls[c].func == AGG_MAX || calls[c].func == AGG_LAST;
        call->is_function = calls[c].func == AGG_FUNCTION;
        call->values = values_of(calls[c].func, takes_back);
        plan->has_values |= call->values != AGG_VALUES_NONE;
        plan->has_order |= call->values == AGG_VALUES_ORDERED;
        if (calls[c].function != NULL)
            add_function(plan, calls[c].function, c);
        if (call->kind != NULL) {
            plan->row_bytes += (call->kind->slot_bytes + 7u) & ~7u;
            plan->owns_heap |= call->kind->release != NULL;
        }
    }
    *out = plan;
    return 0;
}

int agg_plan_create(const struct agg_call *calls, uint32_t call_count, struct agg_plan **plan,
                    struct diag *diag)
{
    return create_plan(calls, call_count, false, plan, diag);
}

int agg_plan_create_net(const struct agg_call *calls, uint32_t call_count, struct agg_plan **plan,
                        struct diag *diag)
{
    return create_plan(calls, call_count, true, plan, diag);
}

bool agg_plan_takes_back(const struct agg_plan *plan)
{
    return plan->takes_back;
}

void agg_plan_destroy(struct agg_plan *plan)
{
    free(plan);
}

size_t agg_plan_row_bytes(const struct agg_plan *plan)
{
    return plan->row_bytes;
}

bool agg_plan_owns_heap(const struct agg_plan *plan)
{
    return plan->owns_heap;
}

bool agg_plan_has_values(const struct agg_plan *plan)
{
    return plan->has_values;
}

bool agg_plan_has_order(const struct agg_plan *plan)
{
    return plan->has_order;
}

enum agg_values agg_call_values(const struct agg_plan *plan, uint64_t call)
{
    return call < plan->call_count ? plan->calls[call].values : AGG_VALUES_NONE;
}

bool agg_call_wants_max(const struct agg_plan *plan, uint32_t call)
{
    return plan->calls[call].wants_max;
}

/* ---- rows ---- */

static void *slot_of(const struct plan_call *call, void *row)
{
    return (uint8_t *)row + call->slot_offset;
}

static const void *slot_of_const(const struct plan_call *call, const void *row)
{
    return (const uint8_t *)row + call->slot_offset;
}

static int64_t *row_count_of(void *row)
{
    return row;
}

void agg_row_init(const struct agg_plan *plan, void *row)
{
    memset(row, 0, plan->row_bytes);
}

void agg_row_release(const struct agg_plan *plan, void *row)
{
    if (!plan->owns_heap)
        return;
    for (uint32_t c = 0; c < plan->call_count; c++) {
        const struct plan_call *call = &plan->calls[c];
        if (call->kind != NULL && call->kind->release != NULL)
            call->kind->release(slot_of(call, row));
    }
}

size_t agg_row_heap_bytes(const struct agg_plan *plan, const void *row)
{
    size_t bytes = 0;
    for (uint32_t c = 0; plan->owns_heap && c < plan->call_count; c++) {
        const struct plan_call *call = &plan->calls[c];
        if (call->kind != NULL && call->kind->heap_bytes != NULL)
            bytes += call->kind->heap_bytes(slot_of_const(call, row));
    }
    return bytes;
}

int64_t agg_row_count(const void *row)
{
    return *(const int64_t *)row;
}

bool agg_row_i64(const struct agg_plan *plan, const void *row, uint32_t call, int64_t *value)
{
    must(call < plan->call_count && plan->calls[call].kind == &agg_kind_extreme_i64);
    return agg_extreme_i64(slot_of_const(&plan->calls[call], row), value);
}

void agg_row_set_i64(const struct agg_plan *plan, void *row, uint32_t call, bool is_set,
                     int64_t value)
{
    must(call < plan->call_count && plan->calls[call].kind == &agg_kind_extreme_i64);
    agg_extreme_set_i64(slot_of(&plan->calls[call], row), is_set, value);
}

void agg_row_count_distinct(const struct agg_plan *plan, void *row, uint32_t call, int64_t change)
{
    must(agg_call_values(plan, call) == AGG_VALUES_COUNTED);
    *(int64_t *)slot_of(&plan->calls[call], row) += change;
}

struct agg_least *agg_row_least(const struct agg_plan *plan, void *row, uint32_t call)
{
    must(agg_call_values(plan, call) == AGG_VALUES_ORDERED);
    return slot_of(&plan->calls[call], row);
}

const struct agg_function *agg_plan_function(const struct agg_plan *plan)
{
    return plan->function;
}

static struct agg_function_slot *function_slot(const struct agg_plan *plan, const void *row)
{
    return (struct agg_function_slot *)(uintptr_t)((const uint8_t *)row + plan->function_offset);
}

/* ---- batches ---- */

static const uint16_t zero_rows[BATCH_ROWS];

static inline bool filter_passes(const struct column *filter, uint32_t row)
{
    uint32_t at = column_at(filter, row);
    if (filter->type == COL_VARIANT)
        return filter->variant[at].kind == VARIANT_TRUE;
    return filter->boolean[at] != 0 && (filter->nulls == NULL || filter->nulls[at] == 0);
}

/* Room for the rows that one call takes, from the batch's arena, shared by the calls of one update.
 */
struct picked {
    void **rows;
    uint16_t *physical;
    uint16_t *batch_rows; /* for kinds that need a row's place; NULL until one does */
};

static int picked_alloc(struct picked *picked, const struct batch *batch, bool needs_place)
{
    if (needs_place && picked->batch_rows == NULL) {
        picked->batch_rows =
            arena_alloc(batch->arena, (batch->selected_count + 1) * sizeof *picked->batch_rows);
        if (picked->batch_rows == NULL)
            return ERR_NOMEM;
    }
    if (picked->rows != NULL)
        return 0;
    picked->rows = arena_alloc(batch->arena, (batch->selected_count + 1) * sizeof *picked->rows);
    picked->physical =
        arena_alloc(batch->arena, (batch->selected_count + 1) * sizeof *picked->physical);
    return picked->rows != NULL && picked->physical != NULL ? 0 : ERR_NOMEM;
}

/* Leaves out rows whose filter is not true and rows whose argument is NULL; returns how many stay.
 */
static uint32_t pick_rows(const struct batch *batch, const struct column *argument,
                          const struct column *filter, void *const *rows, struct picked *picked)
{
    const uint8_t *nulls = argument != NULL ? argument->nulls : NULL;
    bool constant = argument != NULL && argument->constant;
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i), at = constant ? 0 : row;
        if ((filter != NULL && !filter_passes(filter, row)) || (nulls != NULL && nulls[at] != 0))
            continue;
        picked->rows[count] = rows[i];
        if (picked->batch_rows != NULL)
            picked->batch_rows[count] = (uint16_t)row;
        picked->physical[count++] = (uint16_t)at;
    }
    return count;
}

static const struct column *present(const struct column *column)
{
    return column->data != NULL ? column : NULL;
}

static int update_call(const struct plan_call *call, const struct batch *batch,
                       const struct column *argument, const struct column *filter,
                       void *const *rows, struct picked *picked)
{
    struct agg_step step = {.rows = rows,
                            .physical = batch->selection,
                            .count = batch->selected_count,
                            .slot_offset = call->slot_offset,
                            .wants_max = call->wants_max,
                            .argument = argument,
                            .batch = batch,
                            .batch_rows = batch->selection};
    if (filter != NULL || (argument != NULL && argument->nulls != NULL)) {
        TRY(picked_alloc(picked, batch, call->kind->needs_place));
        step.count = pick_rows(batch, argument, filter, rows, picked);
        step.rows = picked->rows;
        step.physical = picked->physical;
        step.batch_rows = picked->batch_rows;
    } else if (argument != NULL && argument->constant) {
        step.physical = zero_rows;
    }
    return call->kind->update(&step);
}

int agg_update(const struct agg_plan *plan, const struct batch *batch,
               const struct column *arguments, const struct column *filters, void *const *rows)
{
    must(batch->selected_count <= BATCH_ROWS);
    struct picked picked = {0};
    must(batch->weights == NULL || plan->takes_back);
    if (__builtin_expect(batch->weights != NULL, 0))
        for (uint32_t i = 0; i < batch->selected_count; i++)
            *row_count_of(rows[i]) += batch->weights[batch_row(batch, i)];
    else
        for (uint32_t i = 0; i < batch->selected_count; i++)
            ++*row_count_of(rows[i]);
    for (uint32_t c = 0; c < plan->call_count; c++)
        if (plan->calls[c].kind != NULL && plan->calls[c].kind->update != NULL)
            TRY(update_call(&plan->calls[c], batch, present(&arguments[c]), present(&filters[c]),
                            rows, &picked));
    return 0;
}

int agg_update_function(const struct agg_plan *plan, struct op_call *call, struct batch *batch,
                        const struct column *arguments, void **rows, uint32_t *kept)
{
    return agg_function_update(plan->function, call, batch, arguments + plan->function_call, rows,
                               kept, plan->function_offset);
}

uint64_t agg_row_function_count(const struct agg_plan *plan, const void *row)
{
    return function_slot(plan, row)->added;
}

/* One mark per physical row, so that a row is rejected once however many calls refuse it. */
static int reject_once(struct reject_list *rejects, uint8_t **marks, const struct batch *batch,
                       uint32_t row, const char *error_class, const char *message)
{
    if (*marks == NULL)
        *marks = arena_zalloc(batch->arena, batch->row_count);
    if (*marks == NULL)
        return ERR_NOMEM;
    if ((*marks)[row] != 0)
        return 0;
    (*marks)[row] = 1;
    return reject_add(rejects, row, error_class, "%s", message);
}

static bool filter_is_boolean(const struct column *filter, uint32_t row)
{
    if (filter == NULL || filter->type != COL_VARIANT)
        return true;
    uint8_t kind = filter->variant[column_at(filter, row)].kind;
    return kind == VARIANT_NULL || kind == VARIANT_FALSE || kind == VARIANT_TRUE;
}

static int check_call(const struct plan_call *call, const struct batch *batch,
                      const struct column *argument, const struct column *filter,
                      struct reject_list *rejects, uint8_t **marks)
{
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        uint32_t row = batch_row(batch, i);
        const char *message = "FILTER needs a boolean", *error_class = NULL;
        if (!filter_is_boolean(filter, row))
            error_class = "type_mismatch";
        else if (call->kind->check != NULL && (filter == NULL || filter_passes(filter, row)) &&
                 !column_is_null(argument, row))
            error_class = call->kind->check(argument, column_at(argument, row), &message);
        if (error_class != NULL)
            TRY(reject_once(rejects, marks, batch, row, error_class, message));
    }
    return 0;
}

int agg_check(const struct agg_plan *plan, const struct batch *batch,
              const struct column *arguments, const struct column *filters,
              struct reject_list *rejects)
{
    uint8_t *marks = NULL;
    for (uint32_t c = 0; c < plan->call_count; c++) {
        const struct plan_call *call = &plan->calls[c];
        const struct column *filter = present(&filters[c]);
        if (call->kind != NULL &&
            (call->kind->check != NULL || (filter != NULL && filter->type == COL_VARIANT)))
            TRY(check_call(call, batch, present(&arguments[c]), filter, rejects, &marks));
    }
    return 0;
}

/* ---- encodings ---- */

void agg_put_wide(struct buf *out, const uint64_t limb[4])
{
    uint64_t sign = (uint64_t)((int64_t)limb[3] >> 63), z[4];
    for (int i = 3; i > 0; i--)
        z[i] = (limb[i] << 1 | limb[i - 1] >> 63) ^ sign;
    z[0] = limb[0] << 1 ^ sign;
    if ((z[1] | z[2] | z[3]) == 0) {
        buf_uvarint(out, z[0]);
        return;
    }
    while ((z[1] | z[2] | z[3]) != 0 || z[0] >= 0x80) {
        buf_u8(out, (uint8_t)(z[0] | 0x80));
        for (int i = 0; i < 3; i++)
            z[i] = z[i] >> 7 | z[i + 1] << 57;
        z[3] >>= 7;
    }
    buf_u8(out, (uint8_t)z[0]);
}

int agg_take_wide(struct bytes *in, uint64_t limb[4])
{
    uint64_t z[4] = {0};
    uint8_t byte = 0x80;
    for (uint32_t shift = 0; (byte & 0x80) != 0; shift += 7) {
        TRY(take_u8(in, &byte));
        uint64_t bits = byte & 0x7f;
        if (shift >= 256 || (shift > 249 && bits >> (256 - shift) != 0))
            return ERR_CORRUPT;
        z[shift / 64] |= bits << shift % 64;
        if (shift % 64 > 57 && shift / 64 < 3)
            z[shift / 64 + 1] |= bits >> (64 - shift % 64);
    }
    uint64_t sign = -(z[0] & 1);
    for (int i = 0; i < 3; i++)
        limb[i] = (z[i] >> 1 | z[i + 1] << 63) ^ sign;
    limb[3] = z[3] >> 1 ^ sign;
    return 0;
}

int agg_take_count(struct bytes *in, uint64_t limit, uint64_t *count)
{
    TRY(take_uvarint(in, count));
    return *count <= limit ? 0 : ERR_CORRUPT;
}

void agg_encode(const struct agg_plan *plan, const void *row, struct buf *out)
{
    buf_u8(out, plan->takes_back ? NET_VERSION : ENCODING_VERSION);
    if (plan->takes_back)
        buf_varint(out, agg_row_count(row));
    else
        buf_uvarint(out, (uint64_t)agg_row_count(row));
    for (uint32_t c = 0; c < plan->call_count; c++)
        if (plan->calls[c].kind != NULL)
            plan->calls[c].kind->encode(slot_of_const(&plan->calls[c], row), out);
    if (plan->function != NULL)
        agg_function_encode(plan->function, function_slot(plan, row), out);
}

static int take_row_count(const struct agg_plan *plan, struct bytes *in, uint64_t limit,
                          uint64_t *row_count)
{
    uint8_t version;
    int64_t net;
    TRY(take_u8(in, &version));
    if (version != (plan->takes_back ? NET_VERSION : ENCODING_VERSION))
        return ERR_CORRUPT;
    if (!plan->takes_back)
        return agg_take_count(in, limit, row_count);
    TRY(agg_take_net(in, &net));
    *row_count = (uint64_t)net;
    return 0;
}

/* Walks the encoding; row NULL: only checks it. */
static int merge_walk(const struct agg_plan *plan, void *row, struct bytes in, uint64_t limit)
{
    uint64_t row_count;
    TRY(take_row_count(plan, &in, limit, &row_count));
    for (uint32_t c = 0; c < plan->call_count; c++) {
        const struct plan_call *call = &plan->calls[c];
        if (call->kind != NULL)
            TRY(call->kind->merge(row != NULL ? slot_of(call, row) : NULL, &in, row_count,
                                  call->wants_max));
    }
    if (plan->function != NULL)
        TRY(agg_function_merge(plan->function, row != NULL ? function_slot(plan, row) : NULL, &in,
                               row_count));
    if (row != NULL)
        *row_count_of(row) = (int64_t)((uint64_t)*row_count_of(row) + row_count);
    return in.size == 0 ? 0 : ERR_CORRUPT;
}

int agg_merge_encoded(const struct agg_plan *plan, void *row, struct bytes encoded)
{
    uint64_t limit = (uint64_t)INT64_MAX - (uint64_t)agg_row_count(row);
    TRY(merge_walk(plan, NULL, encoded, limit));
    return merge_walk(plan, row, encoded, limit);
}

int agg_decode(const struct agg_plan *plan, void *row, struct bytes encoded)
{
    agg_row_release(plan, row);
    agg_row_init(plan, row);
    int rc = agg_merge_encoded(plan, row, encoded);
    if (rc < 0) {
        agg_row_release(plan, row);
        agg_row_init(plan, row);
    }
    return rc;
}

/* ---- results ---- */

int agg_result(const struct agg_plan *plan, const void *row, struct column *results, uint32_t at)
{
    int failure = 0;
    for (uint32_t c = 0; c < plan->call_count; c++) {
        const struct plan_call *call = &plan->calls[c];
        struct column *out = &results[c];
        int rc = 1;
        if (call->is_function)
            continue; /* agg_result_function */
        if (call->kind == NULL)
            out->i64[at] = agg_row_count(row);
        else
            rc = call->kind->result(slot_of_const(call, row), out, at);
        if (rc < 0)
            failure = rc;
        if (out->nulls != NULL)
            out->nulls[at] = rc != 1;
        if (rc != 1 && out->type == COL_VARIANT)
            out->variant[at] = (struct variant){.kind = VARIANT_NULL};
    }
    return failure;
}

int agg_result_function(const struct agg_plan *plan, struct op_call *call, const void *row,
                        struct column *results, uint32_t at)
{
    return agg_function_result(plan->function, call, function_slot(plan, row),
                               results + plan->function_call, at);
}
