/* kafka_describe_transactions.c: DescribeTransactions (key 65, version 0): what transactional ids are doing.
 *
 *   request   [transactional id], tags
 *   response  throttle time i32, states {error i16, transactional id, state, timeout i32, begun i64 (epoch ms), producer id i64, epoch i16,
 *             topics {name, [index i32], tags}, tags}, tags
 *
 * State is a word: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort. The partitions are those that were added to the transaction that is open. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_txn.h"

#include <stdlib.h>

static size_t same_topic(const struct kafka_txn_view *view, size_t from)
{
    size_t end = from;
    while (end < view->partition_count &&
           strcmp(view->partitions[end].topic, view->partitions[from].topic) == 0)
        end++;
    return end - from;
}

/* Those that the client may know of. */
static void keep_allowed(struct kafka_request *request, struct kafka_txn_view *view)
{
    size_t kept = 0;
    for (size_t i = 0; i < view->partition_count; i++)
        if (kafka_check_topic(request, bytes_text(view->partitions[i].topic)) == KAFKA_NONE)
            view->partitions[kept++] = view->partitions[i];
    view->partition_count = kept;
}

static void write_topics(struct wire_writer *w, const struct kafka_txn_view *view)
{
    int32_t topics = 0;
    for (size_t i = 0; i < view->partition_count; i += same_topic(view, i))
        topics++;
    wire_write_array(w, topics);
    for (size_t i = 0, count; i < view->partition_count; i += count) {
        count = same_topic(view, i);
        wire_write_text(w, view->partitions[i].topic);
        wire_write_array(w, (int32_t)count);
        for (size_t p = i; p < i + count; p++)
            wire_write_i32(w, view->partitions[p].partition);
        wire_write_tags(w);
    }
}

static void answer_one(struct kafka_request *request, struct bytes id)
{
    struct wire_writer *w = &request->writer;
    struct kafka_txn_view view;
    enum kafka_error error = kafka_txn_look(request, id, &view);
    if (error != KAFKA_NONE)
        view = (struct kafka_txn_view){
            .state = "", .producer_id = -1, .began_ms = -1, .epoch = -1, .timeout_ms = 0};
    if (request->access.asks)
        keep_allowed(request, &view);
    wire_write_i16(w, (int16_t)error);
    wire_write_string(w, id);
    wire_write_text(w, view.state);
    wire_write_i32(w, view.timeout_ms);
    wire_write_i64(w, view.began_ms);
    wire_write_i64(w, view.producer_id);
    wire_write_i16(w, view.epoch);
    write_topics(w, &view);
    wire_write_tags(w);
    free(view.partitions);
}

enum kafka_result kafka_handle_describe_transactions(struct kafka_request *request)
{
    struct wire_reader *in = &request->in;
    int32_t count = wire_read_array(in, 1);
    wire_write_i32(&request->writer, 0);
    wire_write_array(&request->writer, count);
    for (int32_t i = 0; i < count && wire_read_ok(in) && buf_ok(&request->out); i++) {
        struct bytes id = wire_read_string(in);
        if (wire_read_ok(in))
            answer_one(request, id);
    }
    wire_read_tags(in);
    wire_write_tags(&request->writer);
    return wire_read_ok(in) ? KAFKA_ANSWER : KAFKA_CLOSE;
}
