/* accounts.h: the accounts of an app, checked against the log itself and not against what the engine says of itself. */
#ifndef WEIR_TESTS_ACCOUNTS_H
#define WEIR_TESTS_ACCOUNTS_H

#include "log/log.h"
#include "tests/support/topic_rows.h"

/* Of every stage and partition in <app>-progress:
 *   - rows in + made = applied + filtered + late + duplicate + dead,
 *   - rows in = records of the input topic below the position (unless they were removed, or the stage reads partials),
 *   - dead = dead letters that name the stage and the partition as where they come from, and of rows of the same input that other stages told of
 *     at most those,
 *   - late = different source records in late topics that name the stage and the partition.
 * was_reset: the app was started from_beginning once, so that these two topics hold more than the counts say. Prints what differs. */
bool accounts_close(struct log *log, const char *app, bool was_reset);

/* What the progress records say of a view: the sum over partitions of its stage, or of the one that sends its partials. */
struct account_sum {
    int64_t in, made, applied, filtered, late, dead;
};
void accounts_read(struct log *log, const char *app, struct topic_rows *progress);   /* init included; topic_rows_deinit frees */
void accounts_of(const struct topic_rows *progress, const char *view, struct account_sum *sum);

#endif
