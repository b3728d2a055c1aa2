/* state_format.h: how keys, values and the header of a store look in LMDB. Private to runtime/state.
 *
 * Byte by byte with the reasons: docs/formats-state.md. Pure functions over caller's memory; nothing
 * here knows LMDB. */
#ifndef WEIR_STATE_STATE_FORMAT_H
#define WEIR_STATE_STATE_FORMAT_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/state/state.h"

enum {
    STATE_KEY_MAX_BYTES = 64 << 10,
    STATE_VALUE_MAX_BYTES = 64 << 20,
    STORED_SHORT_MAX_BYTES = 480,      /* a stored key up to here is the (escaped) key itself */
    STORED_LONG_BYTES = 480 + 16,      /* above: its first 480 bytes and a 128-bit hash; LMDB's limit is 511 */
    STORED_CHECKSUM_BYTES = 4,
    STATE_HEADER_BYTES = 56,
    STATE_FORMAT_VERSION = 1,
    STATE_FEATURES_KNOWN = 0,          /* feature bits that this code understands */
};

/* A key as LMDB sees it. */
struct stored_key {
    uint8_t data[STORED_LONG_BYTES];
    uint16_t size;
};
static inline bool stored_is_long(size_t stored_size) { return stored_size > STORED_SHORT_MAX_BYTES; }

void stored_key_encode(struct bytes key, struct stored_key *stored);
/* Bytes that stored_value_encode writes for this key and value. */
size_t stored_value_size(size_t stored_key_size, size_t key_size, size_t value_size);
void stored_value_encode(size_t stored_key_size, struct bytes key, struct bytes value, uint8_t *out);
/* Splits what LMDB returned into the whole key and the value (both borrowed from the arguments) and verifies the checksum. ERR_CORRUPT. */
int stored_decode(struct bytes stored_key, struct bytes stored_value, struct bytes *key, struct bytes *value);
/* The whole key of a long entry without verifying the value. ERR_CORRUPT. */
int stored_long_key(struct bytes stored_value, struct bytes *key);

/* What the one record of the database "meta" says. */
struct state_header {
    uint64_t plan_hash;
    struct state_position position;
};
void state_header_encode(const struct state_header *header, uint8_t out[STATE_HEADER_BYTES]);
/* ERR_CORRUPT, or ERR_UNSUPPORTED for a newer version or an unknown feature bit. */
int state_header_decode(struct bytes in, struct state_header *header, struct diag *diag);

#endif
