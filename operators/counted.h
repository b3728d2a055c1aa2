/* counted.h: values of rows that may be taken back: pairs with how many rows have them, behind count(DISTINCT), min and max. Private to operators/. */
#ifndef WEIR_OPERATORS_COUNTED_H
#define WEIR_OPERATORS_COUNTED_H

#include "operators/distinct.h"

/* Applies list->changes to the pairs of a table, and, when counts is set, what that makes of their groups' rows (else the table's groups are partials). A count below 0 is ERR_CORRUPT with a sentence. */
int counted_change(struct group_op *group, struct agg_table *table, struct op_call *call, struct pair_list *list, bool counts);
/* The same for n pairs that crossed a re-keying; list is empty and has room for them. */
int counted_merge(struct group_op *group, struct op_call *call, uint32_t n, const struct bytes *pairs, const struct bytes *values,
                  struct agg_entry *const *groups, struct pair_list *list);
/* Looks for the first values that were lost since the last commit, of n entries: groups are what they will be written as. */
int counted_settle(struct group_op *group, struct agg_entry *const *entries, uint32_t n, struct diag *diag);
/* How many rows have the value of a pair; in a partial how many more came than went. */
int64_t counted_rows(const struct agg_entry *pair);
/* Sets it to what a stored value says, whose front has been looked at. ERR_CORRUPT. */
int counted_set_rows(struct agg_entry *pair, struct bytes value);
/* Of an entry that is about to leave the table. */
void counted_forget(struct group_op *group, struct agg_entry *entry);

#endif
