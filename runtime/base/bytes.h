/* bytes.h: borrowed byte ranges, growable buffers, big- and little-endian loads and stores, varints.
 * Depends on libc and error.h. Nothing here is shared between threads. */
#ifndef WEIR_BASE_BYTES_H
#define WEIR_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "runtime/base/error.h"

/* A pointer and a length; always borrowed. data == NULL is "null" (differs from empty: data != NULL, size 0). */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}
static inline struct bytes bytes_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.data == NULL) == (b.data == NULL) &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* memcmp order, shorter first on a tie. */
int bytes_compare(struct bytes a, struct bytes b);

/* A growable buffer. Zero-initialise (or buf_init) before use; buf_deinit frees. limit 0 = no limit.
 * The first failed growth sets failed and later calls do nothing: check once with buf_ok. */
struct buf {
    uint8_t *data;
    size_t size, capacity, limit;
    bool failed;
};
void buf_init(struct buf *buf, size_t limit);
void buf_deinit(struct buf *buf);
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}
static inline bool buf_ok(const struct buf *buf) { return !buf->failed; }
/* Makes room for more_bytes after size and returns where they go, or NULL (failed set). Does not change size. */
uint8_t *buf_reserve(struct buf *buf, size_t more_bytes);
void buf_append(struct buf *buf, const void *data, size_t size);
static inline void buf_append_bytes(struct buf *buf, struct bytes b) { buf_append(buf, b.data, b.size); }
static inline void buf_u8(struct buf *buf, uint8_t value)
{
    uint8_t *at = buf->size < buf->capacity && !buf->failed ? buf->data + buf->size : buf_reserve(buf, 1);
    if (at == NULL)
        return;
    *at = value;
    buf->size++;
}
void buf_be16(struct buf *buf, uint16_t value);
void buf_be32(struct buf *buf, uint32_t value);
void buf_be64(struct buf *buf, uint64_t value);
void buf_varint(struct buf *buf, int64_t value);   /* zigzag LEB128, as in Kafka records */
void buf_uvarint(struct buf *buf, uint64_t value); /* plain LEB128 */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Checked reading from the front of a range: each returns 0 and advances in, or ERR_CORRUPT when too few bytes are
 * left (or a varint is over 10 bytes) and leaves in as it was. */
static inline int take_u8(struct bytes *in, uint8_t *value)
{
    if (in->size < 1)
        return ERR_CORRUPT;
    *value = *in->data;
    in->data++;
    in->size--;
    return 0;
}
int take_be16(struct bytes *in, uint16_t *value);
int take_be32(struct bytes *in, uint32_t *value);
int take_be64(struct bytes *in, uint64_t *value);
int take_varint(struct bytes *in, int64_t *value);
int take_uvarint(struct bytes *in, uint64_t *value);
int take_bytes(struct bytes *in, size_t size, struct bytes *value);

static inline uint16_t load_be16(const void *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t load_be32(const void *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t load_be64(const void *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline void store_be16(void *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
static inline void store_be32(void *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline void store_be64(void *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }

#endif
