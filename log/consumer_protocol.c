/* consumer_protocol.c: Kafka's embedded consumer protocol ("consumer"), versions 0 to 3.
 *
 * All integers are big-endian; a string is u16 size, bytes; an array i32 count, elements; bytes are
 * i32 size (-1: null), bytes. Nothing is ever compact or tagged.
 *
 *   subscription          i16 version · array of topic string · user data bytes
 *     from version 1      array of owned {topic string, array of i32 partition}
 *     from version 2      i32 generation (-1: not known)
 *     from version 3      nullable string rack (i16 size, -1: null)
 *   assignment            i16 version · array of {topic string, array of i32 partition} · user data
 *                         bytes; the same in all versions
 *   user data of sticky   array of {topic string, array of i32 partition} · i32 generation (its
 *                         first version ended before the generation)
 *   of cooperative-sticky i32 generation
 *
 * Other clients' bytes come through here: a count is believed only as far as the bytes that are
 * left could hold so many of the smallest elements, and that much memory is what is taken. A newer
 * version is read as far as it is known, as Kafka does. */
#include "log/consumer_protocol.h"

#include <stdlib.h>
#include <string.h>

enum { STRING_MIN_BYTES = 2, TOPIC_MIN_BYTES = 2 + 4, PARTITION_BYTES = 4 };

/* ---- writing ---- */

static void put_string(struct buf *out, struct bytes text)
{
    must(text.size <= INT16_MAX);
    buf_be16(out, (uint16_t)text.size);
    buf_append_bytes(out, text);
}

static void put_nullable_bytes(struct buf *out, struct bytes bytes)
{
    buf_be32(out, bytes.data == NULL ? UINT32_MAX : (uint32_t)bytes.size);
    if (bytes.data != NULL)
        buf_append_bytes(out, bytes);
}

static bool same_topic(struct bytes a, struct bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static size_t run_length(const struct named_partition *partitions, size_t count)
{
    size_t length = 1;
    while (length < count && same_topic(partitions[length].topic, partitions[0].topic))
        length++;
    return length;
}

/* Runs of one topic become one entry. */
static void put_partitions(struct buf *out, const struct named_partition *partitions, size_t count)
{
    uint32_t topics = 0;
    for (size_t i = 0; i < count; i += run_length(partitions + i, count - i))
        topics++;
    buf_be32(out, topics);
    for (size_t i = 0; i < count;) {
        size_t length = run_length(partitions + i, count - i);
        put_string(out, partitions[i].topic);
        buf_be32(out, (uint32_t)length);
        for (size_t end = i + length; i < end; i++)
            buf_be32(out, (uint32_t)partitions[i].partition);
    }
}

void subscription_encode(struct buf *out, const struct subscription *subscription)
{
    must(subscription->version >= 0 && subscription->version <= CONSUMER_PROTOCOL_VERSION);
    buf_be16(out, (uint16_t)subscription->version);
    buf_be32(out, (uint32_t)subscription->topic_count);
    for (size_t i = 0; i < subscription->topic_count; i++)
        put_string(out, subscription->topics[i]);
    put_nullable_bytes(out, subscription->user_data);
    if (subscription->version >= 1)
        put_partitions(out, subscription->owned, subscription->owned_count);
    if (subscription->version >= 2)
        buf_be32(out, (uint32_t)subscription->generation);
    if (subscription->version >= 3 && subscription->rack.data == NULL)
        buf_be16(out, UINT16_MAX);
    else if (subscription->version >= 3)
        put_string(out, subscription->rack);
}

void member_assignment_encode(struct buf *out, const struct member_assignment *assignment)
{
    buf_be16(out, (uint16_t)assignment->version);
    put_partitions(out, assignment->partitions, assignment->partition_count);
    put_nullable_bytes(out, assignment->user_data);
}

void sticky_data_encode(struct buf *out, const struct named_partition *owned, size_t owned_count,
                        int32_t generation)
{
    put_partitions(out, owned, owned_count);
    buf_be32(out, (uint32_t)generation);
}

/* ---- reading ---- */

static int take_i32(struct bytes *in, int32_t *value)
{
    uint32_t raw;
    TRY(take_be32(in, &raw));
    *value = (int32_t)raw;
    return 0;
}

static int take_string(struct bytes *in, struct bytes *text)
{
    uint16_t size;
    TRY(take_be16(in, &size));
    if (size > INT16_MAX)
        return ERR_CORRUPT;
    return take_bytes(in, size, text);
}

static int take_nullable_string(struct bytes *in, struct bytes *text)
{
    if (in->size >= 2 && load_be16(in->data) == UINT16_MAX) {
        uint16_t null;
        *text = bytes_of(NULL, 0);
        return take_be16(in, &null);
    }
    return take_string(in, text);
}

static int take_nullable_bytes(struct bytes *in, struct bytes *bytes)
{
    int32_t size;
    TRY(take_i32(in, &size));
    if (size == -1) {
        *bytes = bytes_of(NULL, 0);
        return 0;
    }
    return size < 0 ? ERR_CORRUPT : take_bytes(in, (size_t)size, bytes);
}

/* The count of an array, if the bytes that are left can hold it. */
static int take_count(struct bytes *in, size_t element_bytes, size_t *count)
{
    int32_t raw;
    TRY(take_i32(in, &raw));
    if (raw < 0 || (size_t)raw > in->size / element_bytes)
        return ERR_CORRUPT;
    *count = (size_t)raw;
    return 0;
}

/* Walks the array once to count (out NULL), once to fill. */
static int walk_partitions(struct bytes *in, struct named_partition *out, size_t *total)
{
    size_t topics, count;
    *total = 0;
    TRY(take_count(in, TOPIC_MIN_BYTES, &topics));
    for (size_t t = 0; t < topics; t++) {
        struct bytes topic;
        TRY(take_string(in, &topic));
        TRY(take_count(in, PARTITION_BYTES, &count));
        for (size_t i = 0; i < count; i++) {
            int32_t partition;
            TRY(take_i32(in, &partition));
            if (out != NULL)
                out[*total] = (struct named_partition){topic, partition};
            ++*total;
        }
    }
    return 0;
}

static int take_partitions(struct bytes *in, struct named_partition **partitions, size_t *count)
{
    struct bytes ahead = *in;
    TRY(walk_partitions(&ahead, NULL, count));
    *partitions = malloc((*count + 1) * sizeof **partitions);
    if (*partitions == NULL)
        return ERR_NOMEM;
    return walk_partitions(in, *partitions, count);
}

static int take_topics(struct bytes *in, struct subscription *subscription)
{
    size_t count;
    TRY(take_count(in, STRING_MIN_BYTES, &count));
    subscription->topics = malloc((count + 1) * sizeof *subscription->topics);
    if (subscription->topics == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        TRY(take_string(in, &subscription->topics[i]));
    subscription->topic_count = count;
    return 0;
}

static int take_subscription(struct bytes in, struct subscription *subscription)
{
    uint16_t version;
    TRY(take_be16(&in, &version));
    if (version > INT16_MAX)
        return ERR_CORRUPT;
    subscription->version = (int16_t)version;
    TRY(take_topics(&in, subscription));
    TRY(take_nullable_bytes(&in, &subscription->user_data));
    if (version >= 1)
        TRY(take_partitions(&in, &subscription->owned, &subscription->owned_count));
    if (version >= 2)
        TRY(take_i32(&in, &subscription->generation));
    if (version >= 3)
        TRY(take_nullable_string(&in, &subscription->rack));
    return 0;
}

int subscription_decode(struct bytes in, struct subscription *subscription)
{
    *subscription = (struct subscription){.generation = -1};
    int rc = take_subscription(in, subscription);
    if (rc < 0)
        subscription_deinit(subscription);
    return rc;
}

void subscription_deinit(struct subscription *subscription)
{
    free(subscription->topics);
    free(subscription->owned);
    *subscription = (struct subscription){.generation = -1};
}

int member_assignment_decode(struct bytes in, struct member_assignment *assignment)
{
    uint16_t version;
    *assignment = (struct member_assignment){0};
    TRY(take_be16(&in, &version));
    if (version > INT16_MAX)
        return ERR_CORRUPT;
    assignment->version = (int16_t)version;
    int rc = take_partitions(&in, &assignment->partitions, &assignment->partition_count);
    if (rc == 0)
        rc = take_nullable_bytes(&in, &assignment->user_data);
    if (rc < 0)
        member_assignment_deinit(assignment);
    return rc;
}

void member_assignment_deinit(struct member_assignment *assignment)
{
    free(assignment->partitions);
    *assignment = (struct member_assignment){0};
}

int sticky_data_decode(struct bytes in, struct named_partition **owned, size_t *owned_count,
                       int32_t *generation)
{
    *owned = NULL;
    *owned_count = 0;
    *generation = -1;
    int rc = take_partitions(&in, owned, owned_count);
    if (rc == 0 && in.size > 0)
        rc = take_i32(&in, generation);
    if (rc < 0) {
        free(*owned);
        *owned = NULL;
        *owned_count = 0;
    }
    return rc;
}
