/* kafka_add_offsets_to_txn.c: AddOffsetsToTxn (key 25, versions 0 to 4): a transaction will commit offsets of a group; it begins when none is open.
 *
 *   request   transactional id, producer id i64, epoch i16, group, tags
 *   response  throttle time i32, error i16, tags
 *
 * The offsets follow in TxnOffsetCommit, which takes none of a group that was not named here: one that comes late is not taken for one of the next
 * transaction. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"
#include "log/kafka/kafka_txn.h"

static enum kafka_error add(struct kafka_request *request, const struct kafka_producer *who,
                            const char *group)
{
    struct kafka_txn *txn;
    if (group_name_check(group, NULL) < 0)
        return KAFKA_INVALID_GROUP_ID;
    enum kafka_error error = kafka_txn_take(request, who, &txn);
    if (error != KAFKA_NONE)
        return error;
    error = kafka_check_group(request, group);
    if (error == KAFKA_NONE)
        error = kafka_txn_begin(request, txn);
    if (error == KAFKA_NONE)
        error = kafka_txn_add_group(txn, group);
    kafka_txn_give_back(request, txn);
    return error;
}

enum kafka_result kafka_handle_add_offsets_to_txn(struct kafka_request *request)
{
    struct kafka_producer who = kafka_read_producer(request);
    const char *group = kafka_read_text(request);
    wire_read_tags(&request->in);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    wire_write_i32(&request->writer, 0);
    wire_write_i16(&request->writer, (int16_t)add(request, &who, group));
    wire_write_tags(&request->writer);
    return KAFKA_ANSWER;
}
