/* agg_kind.h: what one kind of accumulator provides to aggregate.c. Private to operators/agg*.
 *
 * A plan maps each call to a kind and an offset in the row. A kind is one table of functions over its slot; a slot whose bytes are all zero
 * is an accumulator that has seen nothing, so that a row is initialised with memset. Slots are 8-byte aligned, hence no
 * __int128 in them. */
#ifndef WEIR_OPERATORS_AGG_KIND_H
#define WEIR_OPERATORS_AGG_KIND_H

#include "operators/aggregate.h"

/* One call on one batch, after rows that the filter or a NULL leaves out are gone. */
struct agg_step {
    void *const *rows;             /* accumulator rows */
    const uint16_t *physical;      /* index into the argument per row; NULL: k itself */
    uint32_t count;
    uint32_t slot_offset;
    bool wants_max;                /* max rather than min, last rather than first */
    const struct column *argument; /* NULL for count(*) */
    const struct batch *batch;     /* where the rows are from; for kinds with needs_place */
    const uint16_t *batch_rows;    /* row of the batch; NULL: k itself. Unlike physical it is not 0 for a constant argument */
};
static inline void *step_slot(const struct agg_step *step, uint32_t k) { return (uint8_t *)step->rows[k] + step->slot_offset; }
/* physical is a local of the caller and does not change in its loop, so that the compilers make two loops of one. */
static inline uint32_t step_at(const uint16_t *physical, uint32_t k) { return physical != NULL ? physical[k] : k; }

struct agg_kind {
    uint32_t slot_bytes;
    bool needs_place; /* update reads step->batch and step->batch_rows */
    /* Adds step->count values. ERR_NOMEM. NULL: another part of the operator counts (distinct.h). */
    int (*update)(const struct agg_step *step);
    /* Why a value of a row cannot be taken ("type_mismatch", …) with a message, or NULL. A kind that takes everything has no check. */
    const char *(*check)(const struct column *argument, uint32_t at, const char **message);
    void (*encode)(const void *slot, struct buf *out);
    /* Takes one encoded partial of at most row_count values off the front of in and merges it; slot NULL: only checks it. ERR_CORRUPT, ERR_NOMEM. */
    int (*merge)(void *slot, struct bytes *in, uint64_t row_count, bool wants_max);
    /* Writes value `at` of out. 1: written; 0: NULL; ERR_RANGE. */
    int (*result)(const void *slot, struct column *out, uint32_t at);
    /* NULL for kinds without heap memory. */
    void (*release)(void *slot);
    size_t (*heap_bytes)(const void *slot);
};

extern const struct agg_kind agg_kind_count, agg_kind_count_variant;
extern const struct agg_kind agg_kind_sum_bigint, agg_kind_sum_numeric, agg_kind_sum_variant, agg_kind_sum_double;
extern const struct agg_kind agg_kind_avg_bigint, agg_kind_avg_numeric, agg_kind_avg_variant, agg_kind_avg_double;
extern const struct agg_kind agg_kind_extreme_i64, agg_kind_extreme_boolean, agg_kind_extreme_double, agg_kind_extreme_numeric,
    agg_kind_extreme_text, agg_kind_extreme_variant;
extern const struct agg_kind agg_kind_edge_i64, agg_kind_edge_boolean, agg_kind_edge_double, agg_kind_edge_numeric, agg_kind_edge_text, agg_kind_edge_bytea,
    agg_kind_edge_variant;
extern const struct agg_kind agg_kind_distinct;
/* Of rows that may be taken back (agg_retract.c): they go by the batch's weights. */
extern const struct agg_kind agg_kind_net_count, agg_kind_net_count_variant, agg_kind_net_distinct;
extern const struct agg_kind agg_kind_net_sum_bigint, agg_kind_net_sum_numeric, agg_kind_net_sum_variant;
extern const struct agg_kind agg_kind_net_avg_bigint, agg_kind_net_avg_numeric, agg_kind_net_avg_variant;
/* The same for min and max (agg_least.c). */
extern const struct agg_kind agg_kind_least_i64, agg_kind_least_boolean, agg_kind_least_double, agg_kind_least_numeric, agg_kind_least_text, agg_kind_least_variant;

/* A text in a heap block that grows; all zero: none. */
struct agg_text {
    uint8_t *data; /* NULL: no value */
    uint32_t size, capacity;
};
/* Copies. ERR_NOMEM, ERR_TOO_LARGE. */
int agg_text_keep(struct agg_text *text, struct bytes value);
void agg_text_release(void *text);
size_t agg_text_heap_bytes(const void *text);
static inline bool agg_kind_has_bytes(uint64_t variant_kind) { return variant_kind >= VARIANT_NUMBER; }

/* The value of a slot of agg_kind_extreme_i64; false when it has none. */
bool agg_extreme_i64(const void *slot, int64_t *value);
void agg_extreme_set_i64(void *slot, bool is_set, int64_t value);
/* Zigzag LEB128 of a 256-bit two's complement number: 1 to 37 bytes; numbers that fit int64 look like buf_varint's. ERR_CORRUPT. */
void agg_put_wide(struct buf *out, const uint64_t limb[4]);
int agg_take_wide(struct bytes *in, uint64_t limb[4]);
/* A count of values: ERR_CORRUPT when over limit. */
int agg_take_count(struct bytes *in, uint64_t limit, uint64_t *count);
/* What rows came to that may be taken back: below 0 in a partial that takes back more than it brings. ERR_CORRUPT. */
int agg_take_net(struct bytes *in, int64_t *count);
/* Exact sums of numerics are two: of the addends with at most so many digits after the point, and of the others (agg_sum.c). */
enum { AGG_COARSE_SCALE_MAX = 19 };
/* One of them, of count addends at most. ERR_CORRUPT. */
int agg_take_sum(struct bytes *in, uint8_t scale, uint64_t count, struct numeric_sum *sum);
/* True when malloc's bookkeeping for a block is estimated. */
static inline size_t agg_block_bytes(size_t size) { return size == 0 ? 0 : (size + 8 + 15) / 16 * 16; }
/* True when every JSON number with this token is a numeric; cheap for short tokens without exponent. */
bool agg_number_fits(const struct variant *value);
/* The numeric of a VARIANT_INT or of a VARIANT_NUMBER that fits. */
struct numeric agg_variant_numeric(const struct variant *value);

#endif
