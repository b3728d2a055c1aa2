/* consumer_protocol.h: what consumers put into a group's opaque bytes: subscriptions and assignments, byte for byte as Kafka's
 * clients do. The wire front-end never needs it but for looking (DescribeGroups is opaque, OffsetDelete asks who subscribes). */
#ifndef WEIR_LOG_CONSUMER_PROTOCOL_H
#define WEIR_LOG_CONSUMER_PROTOCOL_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"

enum { CONSUMER_PROTOCOL_VERSION = 3 }; /* the newest that is known and written */
#define CONSUMER_PROTOCOL_TYPE "consumer"

struct named_partition {
    struct bytes topic; /* text without a zero byte */
    int32_t partition;
};
struct subscription {
    int16_t version;
    struct bytes *topics;
    size_t topic_count;
    struct bytes user_data;           /* the assignor's; data NULL: null */
    struct named_partition *owned;    /* from version 1 on */
    size_t owned_count;
    int32_t generation;               /* from version 2 on; -1: not known */
    struct bytes rack;                /* from version 3 on; data NULL: null */
};
/* Writes all that the version has; owned partitions of one topic stand next to each other. Check buf_ok. */
void subscription_encode(struct buf *out, const struct subscription *subscription);
/* The texts are borrowed from in; the arrays are the caller's: subscription_deinit. A version above the newest is read as the newest, what follows is
 * passed over. ERR_CORRUPT, ERR_NOMEM: nothing is left to free. */
int subscription_decode(struct bytes in, struct subscription *subscription);
void subscription_deinit(struct subscription *subscription);

struct member_assignment {
    int16_t version;
    struct named_partition *partitions;
    size_t partition_count;
    struct bytes user_data;
};
void member_assignment_encode(struct buf *out, const struct member_assignment *assignment);
int member_assignment_decode(struct bytes in, struct member_assignment *assignment);
void member_assignment_deinit(struct member_assignment *assignment);

/* User data of the sticky assignors. sticky: what the member had, and of which generation; cooperative-sticky: the generation alone (its partitions
 * stand in the subscription). */
void sticky_data_encode(struct buf *out, const struct named_partition *owned, size_t owned_count, int32_t generation);
/* generation -1 when the older format has none. *owned is malloc'ed. */
int sticky_data_decode(struct bytes in, struct named_partition **owned, size_t *owned_count, int32_t *generation);

#endif
