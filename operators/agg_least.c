/* agg_least.c: min and max of rows that may be taken back.
 *
 * When the row with the least value goes, the least of the others is the answer, so the others have
 * to be there: as pairs of the group and a value, each with a count (counted.c). The group's row
 * keeps the first value of its set alone. It is what results and stores show, and it says of most
 * changes that they change nothing: a value that comes behind the first, or goes from behind it.
 *
 * When the first one goes, the slot is lost: its bytes stay, as the place behind which the next one
 * must be. It is looked for once, before the group is written (counted_settle), however many values
 * went since. If one comes that is not behind that place, it is the first, and nothing is looked
 * for. A slot that is written is never lost.
 *
 * Encoding: uvarint 0 when the set is empty, else size + 1 of the value's bytes; the bytes as
 * value_order.h has them. In partials it is always 0: what they bring are pairs. */
#include "operators/agg_least.h"

#include "operators/agg_kind.h"
#include "operators/value_order.h"
#include "runtime/base/utf8.h"

enum least_state { LEAST_NONE, LEAST_FOUND, LEAST_LOST };

struct agg_least {
    struct agg_text value; /* in front: all there is to release and to measure */
    uint64_t state;        /* enum least_state */
};

static struct bytes value_of(const struct agg_least *least)
{
    return bytes_of(least->value.data, least->value.size);
}

int agg_least_came(struct agg_least *least, struct bytes value, bool wants_max)
{
    if (least->state != LEAST_NONE) {
        int order = bytes_compare(value, value_of(least));
        if (wants_max ? order < 0 : order > 0)
            return 0;
    }
    return agg_least_found(least, value);
}

void agg_least_went(struct agg_least *least, struct bytes value)
{
    if (least->state == LEAST_FOUND && bytes_equal(value, value_of(least)))
        least->state = LEAST_LOST;
}

bool agg_least_is_lost(const struct agg_least *least, struct bytes *from)
{
    *from = value_of(least);
    return least->state == LEAST_LOST;
}

int agg_least_found(struct agg_least *least, struct bytes value)
{
    least->state = value.data != NULL ? LEAST_FOUND : LEAST_NONE;
    return value.data != NULL ? agg_text_keep(&least->value, value) : 0;
}

/* ---- the kinds ---- */

static void least_encode(const void *memory, struct buf *out)
{
    const struct agg_least *least = memory;
    must(least->state != LEAST_LOST);
    buf_uvarint(out, least->state == LEAST_FOUND ? (uint64_t)least->value.size + 1 : 0);
    if (least->state == LEAST_FOUND)
        buf_append_bytes(out, value_of(least));
}

/* A value of that type, or ERR_CORRUPT. */
static int check_value(struct bytes value, enum col_type type)
{
    struct numeric place; /* no value is larger */
    struct column column = {.type = type, .data = &place};
    TRY(value_order_take(value, &column, 0));
    bool is_text = type == COL_TEXT || (type == COL_VARIANT && value.data[0] > VARIANT_NUMBER);
    return !is_text || utf8_check(value) ? 0 : ERR_CORRUPT;
}

static int least_merge(void *memory, struct bytes *in, bool wants_max, enum col_type type)
{
    uint64_t size;
    struct bytes value;
    TRY(take_uvarint(in, &size));
    if (size == 0)
        return 0;
    TRY(take_bytes(in, size - 1, &value));
    return memory != NULL ? agg_least_came(memory, value, wants_max) : check_value(value, type);
}

static int least_result(const void *memory, struct column *out, uint32_t at)
{
    const struct agg_least *least = memory;
    if (least->state == LEAST_NONE)
        return 0;
    must(least->state == LEAST_FOUND);
    TRY(value_order_take(value_of(least), out, at));
    return 1;
}

#define MERGE(name, type)                                                                          \
    static int name(void *memory, struct bytes *in, uint64_t row_count, bool wants_max)            \
    {                                                                                              \
        (void)row_count;                                                                           \
        return least_merge(memory, in, wants_max, type);                                           \
    }
MERGE(merge_i64, COL_BIGINT)
MERGE(merge_boolean, COL_BOOLEAN)
MERGE(merge_double, COL_DOUBLE)
MERGE(merge_numeric, COL_NUMERIC)
MERGE(merge_text, COL_TEXT)
MERGE(merge_variant, COL_VARIANT)

static const char *double_check(const struct column *argument, uint32_t at, const char **message)
{
    return agg_kind_extreme_double.check(argument, at, message);
}
static const char *variant_check(const struct column *argument, uint32_t at, const char **message)
{
    return agg_kind_extreme_variant.check(argument, at, message);
}

#define LEAST_KIND(check_fn, merge_fn)                                                             \
    {                                                                                              \
        .slot_bytes = sizeof(struct agg_least), .check = check_fn, .encode = least_encode,         \
        .merge = merge_fn, .result = least_result, .release = agg_text_release,                    \
        .heap_bytes = agg_text_heap_bytes                                                          \
    }
const struct agg_kind agg_kind_least_i64 = LEAST_KIND(NULL, merge_i64);
const struct agg_kind agg_kind_least_boolean = LEAST_KIND(NULL, merge_boolean);
const struct agg_kind agg_kind_least_double = LEAST_KIND(double_check, merge_double);
const struct agg_kind agg_kind_least_numeric = LEAST_KIND(NULL, merge_numeric);
const struct agg_kind agg_kind_least_text = LEAST_KIND(NULL, merge_text);
const struct agg_kind agg_kind_least_variant = LEAST_KIND(variant_check, merge_variant);
