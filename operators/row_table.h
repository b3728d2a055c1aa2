/* row_table.h: rows by key, as an operator on rows keeps them over its task's store: the table side of a join, what a de-duplication has seen.
 *
 * A task has one store; each operator of its chain that keeps rows has a number (its place among those, from 0), which begins every key that
 * it writes: [1 byte number][8 bytes big-endian bucket, sign flipped][key]. A bucket is a time in milliseconds that the owner rounds as it likes, so that what has become
 * too old is a range at the front; ROW_BUCKET_NONE for rows that do not grow old. Values are the owner's bytes.
 *
 * An entry in memory is authoritative while it is there; what is not there is asked of the store (op_env.state), many keys in one call. What was put or removed since
 * the last commit goes to the changelog in row_table_save, each key once, and is held until the store has followed that commit; row_table_evict forgets such
 * entries, and those that only say that the store has nothing. One thread owns a table. */
#ifndef WEIR_OPERATORS_ROW_TABLE_H
#define WEIR_OPERATORS_ROW_TABLE_H

#include "runtime/base/arena.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

#define ROW_BUCKET_NONE INT64_MIN
enum { ROW_KEY_MAX_BYTES = 60000 };     /* with its head a key of the store */

struct op_env;
struct row_table;
/* env outlives the table. ERR_NOMEM. */
int row_table_create(const struct op_env *env, uint8_t number, struct row_table **table);
void row_table_destroy(struct row_table *table);
/* Finds n keys, which may repeat; values[i].data is NULL where there is none. Values are valid until the next put to, or eviction of, the table. buckets NULL: ROW_BUCKET_NONE
 * for all. ERR_NOMEM, or what the store says. */
int row_table_get_many(struct row_table *table, uint32_t n, const int64_t *buckets_ms, const struct bytes *keys, struct bytes *values, struct diag *diag);
/* Copies both; value must not be one that the table gave. value.data NULL removes the row; a removed row that was never committed leaves nothing behind. ERR_NOMEM, ERR_TOO_LARGE (the key), or what the store
 * says: nothing has changed. */
int row_table_put(struct row_table *table, int64_t bucket_ms, struct bytes key, struct bytes value, struct diag *diag);
/* Calls each for the rows whose bucket is below before_ms, bucket by bucket (in no order within one), and removes them; at most `most` a call. Returns 1 when there are more, 0 when
 * none is left. each may be NULL; value is borrowed for the call; each must not touch the table. Costs nothing when no bucket is so old. */
int row_table_expire(struct row_table *table, int64_t before_ms, uint32_t most, int (*each)(void *context, int64_t bucket_ms, struct bytes key, struct bytes value), void *context,
                     struct diag *diag);
/* Gives what has changed since the last call to env->changelog, in no particular order (a removed row: a tombstone), as part of this commit. */
int row_table_save(struct row_table *table, int64_t commit_number, struct diag *diag);
size_t row_table_bytes(const struct row_table *table);     /* memory in use */
size_t row_table_entries(const struct row_table *table);
/* Forgets entries that commits up to stored_commit wrote and those that say "none", the longest unused first as far as that is cheap, until at most target_bytes are used. */
void row_table_evict(struct row_table *table, int64_t stored_commit, size_t target_bytes);

#endif
