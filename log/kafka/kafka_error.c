/* kafka_error.c: ERR_ codes as Kafka's error codes. A code that a client cannot do anything about becomes KAFKA_STORAGE_ERROR, which clients
 * retry: the log's own line on stderr says what is wrong. */
#include "log/kafka/kafka_error.h"
#include "runtime/base/error.h"

enum kafka_error kafka_error_of(int code)
{
    switch (code) {
    case ERR_OK:
        return KAFKA_NONE;
    case ERR_NOT_FOUND:
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case ERR_RANGE:
        return KAFKA_OFFSET_OUT_OF_RANGE;
    case ERR_EXISTS:
        return KAFKA_TOPIC_ALREADY_EXISTS;
    case ERR_TOO_LARGE:
        return KAFKA_MESSAGE_TOO_LARGE;
    case ERR_INVALID:
        return KAFKA_INVALID_RECORD;
    case ERR_UNSUPPORTED:
        return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
    case ERR_SEQUENCE:
        return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    case ERR_FENCED:
        return KAFKA_INVALID_PRODUCER_EPOCH;
    case ERR_STATE:
        return KAFKA_INVALID_TXN_STATE;
    case ERR_TIMEOUT:
        return KAFKA_REQUEST_TIMED_OUT;
    case ERR_MEMBER:
        return KAFKA_UNKNOWN_MEMBER_ID;
    case ERR_REBALANCE:
        return KAFKA_REBALANCE_IN_PROGRESS;
    default:
        return KAFKA_STORAGE_ERROR;
    }
}
