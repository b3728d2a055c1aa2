/* bytes.c: growable buffers and checked reading; the small loads and stores are inline in the
 * header.
 *
 * A buf grows by doubling, so that appending n bytes costs O(n) in all, and never passes its limit.
 * A failed growth is remembered instead of returned: an encoder appends twenty fields and asks
 * buf_ok once, and after a failure nothing is written any more, so that the bytes before it stay a
 * prefix of what was meant.
 *
 * The take_ functions read what came from outside. Each checks what is left first and moves the
 * front only on success, so that a parser may try one reading and fall back to another.
 *
 * Varints are LEB128, at most 10 bytes; a tenth byte that carries more than the 64th bit is
 * refused, so that a value is never silently cut. Longer-than-needed encodings (0x80 0x00) are
 * accepted, as Kafka does. */
#include "runtime/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 64, VARINT_MAX_BYTES = 10 };

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order < 0 ? -1 : 1;
    if (a.size != b.size)
        return a.size < b.size ? -1 : 1;
    /* Null sorts before empty, so that 0 means bytes_equal. */
    return (a.data != NULL) - (b.data != NULL);
}

/* ---- growable buffers ---- */

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.limit = buf->limit};
}

static bool buf_grow(struct buf *buf, size_t needed)
{
    size_t limit = buf->limit != 0 ? buf->limit : SIZE_MAX / 2;
    if (needed > limit)
        return false;
    size_t capacity = buf->capacity != 0 ? buf->capacity : BUF_FIRST_BYTES;
    while (capacity < needed)
        capacity *= 2; /* needed ≤ SIZE_MAX / 2: no overflow */
    if (capacity > limit)
        capacity = limit;
    uint8_t *data = realloc(buf->data, capacity);
    if (data == NULL)
        return false;
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

uint8_t *buf_reserve(struct buf *buf, size_t more_bytes)
{
    if (__builtin_expect(buf->failed, 0))
        return NULL;
    /* A buffer without memory grows even for 0 bytes: NULL is kept for failure. */
    if (__builtin_expect(more_bytes > buf->capacity - buf->size || buf->data == NULL, 0)) {
        if (more_bytes > SIZE_MAX / 2 - buf->size || !buf_grow(buf, buf->size + more_bytes)) {
            buf->failed = true;
            return NULL;
        }
    }
    return buf->data + buf->size;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    uint8_t *at = buf_reserve(buf, size);
    if (at == NULL)
        return;
    memcpy(at, data, size);
    buf->size += size;
}

void buf_be16(struct buf *buf, uint16_t value)
{
    uint8_t encoded[2];
    store_be16(encoded, value);
    buf_append(buf, encoded, sizeof encoded);
}

void buf_be32(struct buf *buf, uint32_t value)
{
    uint8_t encoded[4];
    store_be32(encoded, value);
    buf_append(buf, encoded, sizeof encoded);
}

void buf_be64(struct buf *buf, uint64_t value)
{
    uint8_t *at = buf_reserve(buf, sizeof value);
    if (at == NULL)
        return;
    store_be64(at, value);
    buf->size += sizeof value;
}

void buf_varint(struct buf *buf, int64_t value)
{
    buf_uvarint(buf, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void buf_uvarint(struct buf *buf, uint64_t value)
{
    uint8_t encoded[VARINT_MAX_BYTES];
    bool has_room = buf->capacity - buf->size >= sizeof encoded && !buf->failed;
    uint8_t *begin = has_room ? buf->data + buf->size : encoded, *at = begin;
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    if (has_room)
        buf->size += (size_t)(at - begin);
    else
        buf_append(buf, encoded, (size_t)(at - begin));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t room = buf->failed ? 0 : buf->capacity - buf->size;
    int wanted =
        vsnprintf(room > 0 ? (char *)buf->data + buf->size : NULL, room, format, arguments);
    va_end(arguments);
    if (wanted < 0) {
        buf->failed = true;
    } else if ((size_t)wanted < room) {
        buf->size += (size_t)wanted;
    } else {
        /* vsnprintf wants room for its NUL, which is not counted in size; with a limit that ends
         * right after the text there is none, so the text goes through memory of its own. */
        char *text = malloc((size_t)wanted + 1);
        if (text == NULL)
            buf->failed = true;
        else if (vsnprintf(text, (size_t)wanted + 1, format, again) == wanted)
            buf_append(buf, text, (size_t)wanted);
        else
            buf->failed = true;
        free(text);
    }
    va_end(again);
}

/* ---- checked reading ---- */

static void advance(struct bytes *in, size_t size)
{
    in->data += size;
    in->size -= size;
}

int take_be16(struct bytes *in, uint16_t *value)
{
    if (in->size < 2)
        return ERR_CORRUPT;
    *value = load_be16(in->data);
    advance(in, 2);
    return 0;
}

int take_be32(struct bytes *in, uint32_t *value)
{
    if (in->size < 4)
        return ERR_CORRUPT;
    *value = load_be32(in->data);
    advance(in, 4);
    return 0;
}

int take_be64(struct bytes *in, uint64_t *value)
{
    if (in->size < 8)
        return ERR_CORRUPT;
    *value = load_be64(in->data);
    advance(in, 8);
    return 0;
}

int take_varint(struct bytes *in, int64_t *value)
{
    uint64_t zigzag;
    TRY(take_uvarint(in, &zigzag));
    *value = (int64_t)((zigzag >> 1) ^ (~(zigzag & 1) + 1));
    return 0;
}

int take_uvarint(struct bytes *in, uint64_t *value)
{
    uint64_t result = 0;
    size_t limit = in->size < VARINT_MAX_BYTES ? in->size : VARINT_MAX_BYTES;
    for (size_t i = 0; i < limit; i++) {
        uint8_t byte = in->data[i];
        if (i == VARINT_MAX_BYTES - 1 && byte > 1)
            return ERR_CORRUPT;
        result |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value = result;
            advance(in, i + 1);
            return 0;
        }
    }
    return ERR_CORRUPT;
}

int take_bytes(struct bytes *in, size_t size, struct bytes *value)
{
    if (in->size < size)
        return ERR_CORRUPT;
    *value = bytes_of(in->data, size);
    advance(in, size);
    return 0;
}
