/* aggregate.h: accumulators of the aggregate functions: update from columns, merge partials, encode, decode, result.
 *
 * A plan lays the accumulators of all calls of one view side by side in a fixed-size block ("row"). min/max of text and json own
 * heap bytes through the row's owner (agg_row_release frees them). Values are absolute and mergeable, so the same encoding serves
 * changelog records, partials that cross a re-keying, and LMDB. Order of updates never changes the result (sums of double may differ in
 * the last bits). One thread owns the rows of one table; a plan is immutable and shared.
 * Infinite and NaN doubles are rejected by agg_check ("numeric_out_of_range"), as are JSON numbers of more than 38 digits. */
#ifndef WEIR_OPERATORS_AGGREGATE_H
#define WEIR_OPERATORS_AGGREGATE_H

#include "operators/column.h"
#include "operators/expr.h"

struct agg_plan;
int agg_plan_create(const struct agg_call *calls, uint32_t call_count, struct agg_plan **plan, struct diag *diag);
/* The same over rows that may be taken back: batches have weights, row counts and partials a sign (agg_retract.c). ERR_UNSUPPORTED: an aggregate that what it was given cannot be
 * taken from (first, last, sums of double precision, functions). */
int agg_plan_create_net(const struct agg_call *calls, uint32_t call_count, struct agg_plan **plan, struct diag *diag);
bool agg_plan_takes_back(const struct agg_plan *plan);
void agg_plan_destroy(struct agg_plan *plan);
size_t agg_plan_row_bytes(const struct agg_plan *plan);   /* a multiple of 8; the first 8 bytes are the int64 row count of the group */

void agg_row_init(const struct agg_plan *plan, void *row);
void agg_row_release(const struct agg_plan *plan, void *row);
/* Heap memory that the row owns (texts of min and max, sums of numbers with over 19 decimals), malloc's share estimated; always 0 unless the plan owns heap. */
size_t agg_row_heap_bytes(const struct agg_plan *plan, const void *row);
bool agg_plan_owns_heap(const struct agg_plan *plan);
int64_t agg_row_count(const void *row);                    /* rows applied to this group */
/* The value of a min or max over bigint; false when it has none. And sets it, or takes it away. */
bool agg_row_i64(const struct agg_plan *plan, const void *row, uint32_t call, int64_t *value);
void agg_row_set_i64(const struct agg_plan *plan, void *row, uint32_t call, bool is_set, int64_t value);
/* What keeps the values of a call beside the group, which agg_update leaves to the owner of those (distinct.h, counted.h). */
enum agg_values {
    AGG_VALUES_NONE,    /* nothing: the row is all there is, or there is no such call */
    AGG_VALUES_COUNTED, /* count(DISTINCT): how many values there are */
    AGG_VALUES_ORDERED, /* min and max of rows that may be taken back: which is the first (agg_least.h) */
};
enum agg_values agg_call_values(const struct agg_plan *plan, uint64_t call);
bool agg_plan_has_values(const struct agg_plan *plan);     /* of any call */
bool agg_plan_has_order(const struct agg_plan *plan);      /* of a call that needs it */
bool agg_call_wants_max(const struct agg_plan *plan, uint32_t call);
void agg_row_count_distinct(const struct agg_plan *plan, void *row, uint32_t call, int64_t change);
/* Adds the selected rows of batch: rows[i] is the accumulator row of the i-th selected row. arguments[c]/filters[c] are the evaluated argument and
 * filter of call c (data NULL where the call has none). Column-at-a-time: one tight loop per call. A row whose value cannot be aggregated (sum of
 * a text variant; min over mixed kinds is ordered by kind, then value) must have been rejected before by agg_check. ERR_NOMEM, ERR_RANGE. */
int agg_update(const struct agg_plan *plan, const struct batch *batch, const struct column *arguments, const struct column *filters, void *const *rows);
/* Rejects rows that agg_update could not take (class "type_mismatch" …): call before the group is looked up; rejected rows must be deselected. */
int agg_check(const struct agg_plan *plan, const struct batch *batch, const struct column *arguments, const struct column *filters, struct reject_list *rejects);
/* A function that the user wrote (agg_function.h), which works row by row and may refuse one; NULL: the plan has none. */
struct agg_function;
struct op_call;
const struct agg_function *agg_plan_function(const struct agg_plan *plan);
/* Comes before agg_update: rows that the function refuses are rejected and leave batch and rows; kept[i]: which of the rows the i-th one that stays was. */
int agg_update_function(const struct agg_plan *plan, struct op_call *call, struct batch *batch, const struct column *arguments, void **rows, uint32_t *kept);
/* Rows that the function took. */
uint64_t agg_row_function_count(const struct agg_plan *plan, const void *row);
/* Merges an encoded partial into row. ERR_CORRUPT (the row is as before), ERR_NOMEM (the row must be thrown away). */
int agg_merge_encoded(const struct agg_plan *plan, void *row, struct bytes encoded);
/* Appends the absolute encoding: version byte, uvarint row count, then per call a compact form (docs: operators/README.md). */
void agg_encode(const struct agg_plan *plan, const void *row, struct buf *out);
int agg_decode(const struct agg_plan *plan, void *row, struct bytes encoded);   /* into an initialised row, replacing its value; an empty row on failure */
/* Writes the results of row into value `at` of results[call] (columns allocated by the caller with agg_call.result_type and nulls). sum/min/max/avg of no
 * value is NULL. Text borrows from the row. A sum that does not fit 38 digits (or a double sum that overflowed): ERR_RANGE (the caller dead-letters the group's output); that
 * result is NULL then, the others are written. */
int agg_result(const struct agg_plan *plan, const void *row, struct column *results, uint32_t at);

/* The results of the plan's function, which agg_result leaves out. ERR_INVALID: the row `at` was rejected. */
int agg_result_function(const struct agg_plan *plan, struct op_call *call, const void *row, struct column *results, uint32_t at);

#endif
