/* state_format.c: encoder beside decoder for what a store keeps in LMDB.
 *
 * Keys. LMDB compares keys with memcmp and refuses empty ones and those over 511 bytes; callers may
 * use any bytes up to 64 KiB.
 *   escape   a key that is empty or begins with 0x00 gets one 0x00 in front. That keeps the order:
 *            escaped keys all begin with 0x00 and compare among themselves as before, all others
 *            begin with something larger. Other keys cost nothing.
 *   long     an escaped key over 480 bytes is stored as its first 480 bytes and the XXH3-128 of the
 *            whole key, 496 bytes; the whole key stands in the value. The sizes alone tell long
 *            from short, so no short key can look like a long one. The order between a long and a
 *            short key is exact (they differ within 480 bytes, or the short one is a prefix); only
 *            long keys that share their first 480 bytes are ordered by hash.
 *
 * Values carry a 32-bit checksum over key and value: LMDB's pages have none. The key takes part, so
 * that a value that ended up under another key is found too.
 *
 *   stored value:  0  4  checksum, big-endian
 *                  4  4  size of the whole key, big-endian   (long keys only)
 *                  8  n  the whole key                       (long keys only)
 *                     m  the value
 *
 *   header:        0  8  "weirstat"
 *                  8  4  format version, big-endian: 1
 *                 12  4  feature bits: 0; an unknown bit is refused
 *                 16  8  plan hash
 *                 24 16  topic id of the changelog
 *                 40  8  next changelog offset to apply
 *                 48  8  XXH3-64 of bytes 0 … 47 */
#include "runtime/state/state_format.h"

#include "runtime/base/hash.h"

static const char header_magic[8] = {'w', 'e', 'i', 'r', 's', 't', 'a', 't'};

enum { LONG_KEY_SIZE_BYTES = 4, HEADER_CHECKED_BYTES = STATE_HEADER_BYTES - 8 };

void stored_key_encode(struct bytes key, struct stored_key *stored)
{
    must(key.size <= STATE_KEY_MAX_BYTES);
    size_t escape = key.size == 0 || key.data[0] == 0x00;
    size_t kept = key.size;
    _Static_assert(STATE_ORDERED_BYTES + 1 <= STORED_SHORT_MAX_BYTES,
                   "also escaped a key is short");
    stored->data[0] = 0x00; /* overwritten when there is no escape */
    if (escape + key.size > STORED_SHORT_MAX_BYTES) {
        kept = STORED_SHORT_MAX_BYTES - escape;
        struct hash128 hash = hash128(key.data, key.size);
        store_be64(stored->data + STORED_SHORT_MAX_BYTES, hash.high);
        store_be64(stored->data + STORED_SHORT_MAX_BYTES + 8, hash.low);
        stored->size = STORED_LONG_BYTES;
    } else {
        stored->size = (uint16_t)(escape + key.size);
    }
    if (kept > 0)
        memcpy(stored->data + escape, key.data, kept);
}

static uint32_t pair_checksum(struct bytes key, struct bytes value)
{
    /* The odd multiplier keeps key and value from cancelling out when they are equal. */
    uint64_t mixed = hash64(value.data, value.size);
    mixed ^= hash64(key.data, key.size) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(mixed ^ mixed >> 32);
}

size_t stored_value_size(size_t stored_key_size, size_t key_size, size_t value_size)
{
    size_t size = STORED_CHECKSUM_BYTES + value_size;
    return stored_is_long(stored_key_size) ? size + LONG_KEY_SIZE_BYTES + key_size : size;
}

void stored_value_encode(size_t stored_key_size, struct bytes key, struct bytes value, uint8_t *out)
{
    store_be32(out, pair_checksum(key, value));
    out += STORED_CHECKSUM_BYTES;
    if (stored_is_long(stored_key_size)) {
        store_be32(out, (uint32_t)key.size);
        memcpy(out + LONG_KEY_SIZE_BYTES, key.data, key.size);
        out += LONG_KEY_SIZE_BYTES + key.size;
    }
    if (value.size > 0)
        memcpy(out, value.data, value.size);
}

static int split_long(struct bytes stored_value, struct bytes *key, struct bytes *value)
{
    uint32_t checksum, key_size;
    TRY(take_be32(&stored_value, &checksum));
    TRY(take_be32(&stored_value, &key_size));
    TRY(take_bytes(&stored_value, key_size, key));
    *value = stored_value;
    return key_size <= STATE_KEY_MAX_BYTES ? 0 : ERR_CORRUPT;
}

int stored_long_key(struct bytes stored_value, struct bytes *key)
{
    struct bytes value;
    return split_long(stored_value, key, &value);
}

int stored_decode(struct bytes stored_key, struct bytes stored_value, struct bytes *key,
                  struct bytes *value)
{
    if (stored_key.size == 0 || stored_value.size < STORED_CHECKSUM_BYTES)
        return ERR_CORRUPT;
    uint32_t checksum = load_be32(stored_value.data);
    if (stored_is_long(stored_key.size)) {
        TRY(split_long(stored_value, key, value));
    } else {
        size_t escape = stored_key.data[0] == 0x00;
        *key = bytes_of(stored_key.data + escape, stored_key.size - escape);
        *value = bytes_of(stored_value.data + STORED_CHECKSUM_BYTES,
                          stored_value.size - STORED_CHECKSUM_BYTES);
    }
    return checksum == pair_checksum(*key, *value) ? 0 : ERR_CORRUPT;
}

void state_header_encode(const struct state_header *header, uint8_t out[STATE_HEADER_BYTES])
{
    memcpy(out, header_magic, sizeof header_magic);
    store_be32(out + 8, STATE_FORMAT_VERSION);
    store_be32(out + 12, 0);
    store_be64(out + 16, header->plan_hash);
    memcpy(out + 24, header->position.topic_id, sizeof header->position.topic_id);
    store_be64(out + 40, (uint64_t)header->position.offset);
    store_be64(out + HEADER_CHECKED_BYTES, hash64(out, HEADER_CHECKED_BYTES));
}

int state_header_decode(struct bytes in, struct state_header *header, struct diag *diag)
{
    if (in.size < 16 || memcmp(in.data, header_magic, sizeof header_magic) != 0)
        return diag_set(diag, ERR_CORRUPT, "the header is not that of a weir state store");
    uint32_t version = load_be32(in.data + 8), features = load_be32(in.data + 12);
    /* The version comes before the checksum: a newer format may have a longer header. */
    if (version != STATE_FORMAT_VERSION && in.size != STATE_HEADER_BYTES)
        return diag_set(diag, ERR_UNSUPPORTED, "format version %u, this weir knows %d", version,
                        STATE_FORMAT_VERSION);
    if (in.size != STATE_HEADER_BYTES ||
        load_be64(in.data + HEADER_CHECKED_BYTES) != hash64(in.data, HEADER_CHECKED_BYTES))
        return diag_set(diag, ERR_CORRUPT, "the header's checksum does not match");
    if (version != STATE_FORMAT_VERSION || (features & ~(uint32_t)STATE_FEATURES_KNOWN) != 0)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "format version %u with feature bits 0x%x, this weir knows version %d",
                        version, features, STATE_FORMAT_VERSION);
    header->plan_hash = load_be64(in.data + 16);
    memcpy(header->position.topic_id, in.data + 24, sizeof header->position.topic_id);
    header->position.offset = (int64_t)load_be64(in.data + 40);
    return 0;
}
