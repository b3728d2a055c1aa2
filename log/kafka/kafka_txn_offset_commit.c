/* kafka_txn_offset_commit.c: TxnOffsetCommit (key 28, versions 0 to 4): offsets of a group that count when the transaction is committed.
 *
 *   request   transactional id, group, producer id i64, epoch i16, v3+: generation i32, member id, instance id (nullable); topics {name, partitions
 *             {index i32, offset i64, v2+: leader epoch i32, metadata (nullable), tags}, tags}, tags
 *   response  throttle time i32, topics {name, partitions {index i32, error i16, tags}, tags}, tags
 *
 * From version 3 on the committer says which member of which generation it is, and the group refuses one that is not any more; without that (older versions, or nobody) the
 * epoch is all that fences. Until the transaction is decided OffsetFetch says that the offsets are not stable. */
#include "log/coordinator.h"
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_member.h"
#include "log/kafka/kafka_offsets.h"
#include "log/kafka/kafka_txn.h"

struct txn_commit {
    struct kafka_group_member who;
    struct kafka_producer producer;
    struct kafka_txn *txn;
    bool holds_generation; /* until the offsets are added */
};

static enum kafka_error write_offsets(void *context, struct kafka_request *request,
                                      const struct group_offset *offsets, size_t count)
{
    const struct txn_commit *c = context;
    struct producer *producer = kafka_txn_producer(c->txn);
    int code = txn_add_offsets(producer, c->who.group, offsets, count, NULL);
    if (code == ERR_FENCED)
        return kafka_txn_error_of(request, code);
    return code == ERR_STATE ? KAFKA_INVALID_TXN_STATE : kafka_group_error_of(code);
}

static struct txn_commit read_head(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    struct txn_commit c = {.producer.transactional_id = wire_read_string(in)};
    c.who.group = kafka_read_text(request);
    c.producer.producer_id = wire_read_i64(in);
    c.producer.epoch = wire_read_i16(in);
    c.who.member = (struct group_member){.member_id = "", .generation = -1};
    if (request->version >= 3) {
        c.who.member.generation = wire_read_i32(in);
        c.who.member.member_id = kafka_read_text(request);
        c.who.member.instance_id = kafka_read_nullable_text(request);
    }
    return c;
}

/* What the group says to the one who commits. */
static enum kafka_error hold_generation(struct kafka_request *request, struct txn_commit *c)
{
    const struct group_member *member = &c->who.member;
    if (member->generation < 0 && member->member_id[0] == '\0' && member->instance_id == NULL)
        return KAFKA_NONE;
    enum group_error error =
        coordinator_txn_commit_begin(log_coordinator(request->log), c->who.group, member);
    c->holds_generation = error == GROUP_OK;
    return (enum kafka_error)error;
}

/* Whose epoch a restart took is a member of nothing: of all errors for that the one after which clients abort and go on. */
static enum kafka_error take(struct kafka_request *request, struct txn_commit *c)
{
    if (group_name_check(c->who.group, NULL) < 0)
        return KAFKA_INVALID_GROUP_ID;
    enum kafka_error error = kafka_txn_take(request, &c->producer, &c->txn);
    if (error == KAFKA_INVALID_PRODUCER_ID_MAPPING)
        return KAFKA_UNKNOWN_MEMBER_ID;
    if (error == KAFKA_NONE)
        error = kafka_check_group(request, c->who.group);
    if (error == KAFKA_NONE && !kafka_txn_has_group(c->txn, c->who.group))
        return KAFKA_INVALID_TXN_STATE;
    return error == KAFKA_NONE ? hold_generation(request, c) : error;
}

enum kafka_result kafka_handle_txn_offset_commit(struct kafka_request *request)
{
    struct txn_commit c = read_head(request);
    struct kafka_offsets offsets = {
        .request = request, .epoch_since = 2, .write = write_offsets, .context = &c};
    if (!kafka_offsets_begin(&offsets))
        return KAFKA_CLOSE;
    offsets.refusal = take(request, &c);
    wire_write_i32(&request->writer, 0);
    kafka_offsets_commit(&offsets);
    if (c.holds_generation)
        coordinator_commit_end(log_coordinator(request->log), c.who.group);
    if (c.txn != NULL)
        kafka_txn_give_back(request, c.txn);
    return KAFKA_ANSWER;
}
