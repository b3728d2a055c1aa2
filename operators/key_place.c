/* key_place.c: rows that lie where their key belongs, and those that do not (see key_place.h).
 *
 * A task that has one partition of a table can give a row of its stream what it ought to meet only
 * when both lie by the same bytes: murmur2 of the key's text, as Kafka's clients, weir produce --key
 * and weir_rekey choose partitions. Nothing else holds a topic to that, so each row of both sides is
 * asked. One that lies elsewhere is a dead letter: to look for its match here would find none, and
 * say so of a row that has one. */
#include "operators/key_place.h"

#include "operators/group_key.h"
#include "runtime/base/hash.h"

int32_t key_place(struct bytes key, int32_t partition_count)
{
    struct bytes text;
    uint64_t size;
    uint8_t kind;
    if (take_u8(&key, &kind) < 0 || kind == GROUP_KEY_NULL)
        return KEY_PLACE_ANY;
    if (kind != GROUP_KEY_TEXT || take_uvarint(&key, &size) < 0 ||
        take_bytes(&key, size, &text) < 0)
        return KEY_PLACE_NONE;
    return murmur2_partition(text.data, text.size, partition_count);
}

int key_place_check_row(const struct op_env *env, const char *table, struct op_call *call,
                        uint32_t row, struct bytes key)
{
    int32_t where = key_place(key, env->partition_count);
    if (where == env->partition || where == KEY_PLACE_ANY)
        return 0;
    if (where == KEY_PLACE_NONE)
        return reject_add(call->rejects, row, "misplaced",
                          "table %s is read by partition, and this key is no text, by whose bytes "
                          "records lie",
                          table);
    return reject_add(call->rejects, row, "misplaced",
                      "table %s is read by partition, and rows of this key belong in partition %d, "
                      "not %d",
                      table, (int)where, (int)env->partition);
}

int key_place_check(const struct op_env *env, const char *table, struct op_call *call,
                    const struct batch *batch, const struct bytes *keys)
{
    for (uint32_t i = 0; i < batch->selected_count; i++)
        TRY(key_place_check_row(env, table, call, batch_row(batch, i), keys[i]));
    return 0;
}
