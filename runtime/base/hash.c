/* hash.c: the three hashes of weir, each for one purpose.
 *
 *   XXH3      our own tables in memory: fastest, no meaning outside the process or its files
 *   murmur2   which partition a key belongs to: must agree bit for bit with Kafka's Java clients,
 * because weir and foreign producers write to the same topics CRC-32C   the checksum of a record
 * batch, by the carry-less multiply code of ISA-L (several GB/s)
 *
 * xxHash is compiled into this file (XXH_INLINE_ALL) instead of linked: libpg_query exports XXH
 * symbols of its own, and two libraries that define the same names must not meet at link time.
 *
 * ISA-L's crc32_iscsi takes the register as it is and does not invert at the end, hence the
 * 0xFFFFFFFF and the ~. Its length is an int, so large ranges go in pieces. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/base/hash.h"

#include <isa-l/crc.h>
#include "runtime/base/error.h"

enum { CRC_PIECE_BYTES = 1 << 30 };

uint64_t hash64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

struct hash128 hash128(const void *data, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(data, size);
    return (struct hash128){.low = hash.low64, .high = hash.high64};
}

/* The state is xxHash's own, which wants more alignment than malloc gives. */
struct hash_stream *hash_stream_create(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        XXH3_128bits_reset(state);
    return (struct hash_stream *)state;
}

void hash_stream_add(struct hash_stream *stream, const void *data, size_t size)
{
    XXH3_128bits_update((XXH3_state_t *)stream, data, size);
}

struct hash128 hash_stream_get(const struct hash_stream *stream)
{
    XXH128_hash_t hash = XXH3_128bits_digest((const XXH3_state_t *)stream);
    return (struct hash128){.low = hash.low64, .high = hash.high64};
}

void hash_stream_destroy(struct hash_stream *stream)
{
    XXH3_freeState((XXH3_state_t *)stream);
}

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t murmur2(const void *data, size_t size)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = data;
    uint32_t h = 0x9747b28cu ^ (uint32_t)size;
    size_t left = size;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t k = load_le32(p) * m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    switch (left) {
    case 3:
        h ^= (uint32_t)p[2] << 16;
        /* fall through */
    case 2:
        h ^= (uint32_t)p[1] << 8;
        /* fall through */
    case 1:
        h = (h ^ p[0]) * m;
        break;
    default:
        break;
    }
    h = (h ^ (h >> 13)) * m;
    return h ^ (h >> 15);
}

int32_t murmur2_partition(const void *data, size_t size, int32_t partition_count)
{
    must(partition_count > 0);
    return (int32_t)(murmur2(data, size) & 0x7fffffff) % partition_count;
}

uint32_t crc32c(const void *data, size_t size)
{
    /* ISA-L's prototype lacks const; it only reads. */
    unsigned char *p = (unsigned char *)(uintptr_t)data;
    uint32_t state = 0xFFFFFFFF;
    while (size > CRC_PIECE_BYTES) {
        state = crc32_iscsi(p, CRC_PIECE_BYTES, state);
        p += CRC_PIECE_BYTES;
        size -= CRC_PIECE_BYTES;
    }
    return size > 0 ? ~crc32_iscsi(p, (int)size, state) : ~state;
}
