/* agg_least.h: min and max of rows that may be taken back: which value of a set is the first. Private to operators/.
 *
 * The set itself are pairs beside the group (counted.h); this is what the group's row has of it: the first value, in value_order.h's bytes. Between two
 * commits it may be lost: then the bytes say from where on the next one is to be looked for. */
#ifndef WEIR_OPERATORS_AGG_LEAST_H
#define WEIR_OPERATORS_AGG_LEAST_H

#include "operators/aggregate.h"

struct agg_least;
/* Of a call whose values are ordered (agg_call_values). */
struct agg_least *agg_row_least(const struct agg_plan *plan, void *row, uint32_t call);
/* The set has a value that it had not. Copies. ERR_NOMEM, ERR_TOO_LARGE. */
int agg_least_came(struct agg_least *least, struct bytes value, bool wants_max);
/* The set has that value no longer. */
void agg_least_went(struct agg_least *least, struct bytes value);
/* Whether the first value is to be looked for. *from: no value of the set comes before that one, which may be there itself. Valid until the next change. */
bool agg_least_is_lost(const struct agg_least *least, struct bytes *from);
/* What was found; data NULL: the set is empty. Copies. ERR_NOMEM, ERR_TOO_LARGE. */
int agg_least_found(struct agg_least *least, struct bytes value);

#endif
