/* fuzz_consumer_protocol.c: any bytes as a subscription, an assignment or sticky user data. What is
 * accepted is written again and must read the same. */
#include "log/consumer_protocol.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct subscription *first)
{
    struct buf out = {0};
    struct subscription copy = *first, second;
    if (copy.version > CONSUMER_PROTOCOL_VERSION)
        copy.version = CONSUMER_PROTOCOL_VERSION;
    subscription_encode(&out, &copy);
    must(subscription_decode(bytes_of(out.data, out.size), &second) == 0);
    must(second.topic_count == copy.topic_count && second.owned_count == copy.owned_count);
    must(second.generation == copy.generation && bytes_equal(second.rack, copy.rack));
    must(bytes_equal(second.user_data, copy.user_data));
    for (size_t i = 0; i < second.owned_count; i++)
        must(second.owned[i].partition == copy.owned[i].partition);
    subscription_deinit(&second);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct subscription subscription;
    if (subscription_decode(in, &subscription) == 0) {
        again(&subscription);
        subscription_deinit(&subscription);
    }
    struct member_assignment assignment;
    if (member_assignment_decode(in, &assignment) == 0)
        member_assignment_deinit(&assignment);
    struct named_partition *owned;
    size_t count;
    int32_t generation;
    if (sticky_data_decode(in, &owned, &count, &generation) == 0)
        free(owned);
    return 0;
}
