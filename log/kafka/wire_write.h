/* wire_write.h: Kafka's primitive types, written into a response. The counterpart of wire_read.h: the same words, the same table of types
 * (wire_read.c). A writer appends to a struct buf, which remembers its first failure and its limit: ask buf_ok once, at the end. */
#ifndef WEIR_KAFKA_WIRE_WRITE_H
#define WEIR_KAFKA_WIRE_WRITE_H

#include "log/log.h"

struct wire_writer {
    struct buf *out;
    bool flexible;
};

static inline void wire_write_i8(struct wire_writer *writer, int8_t value) { buf_u8(writer->out, (uint8_t)value); }
static inline void wire_write_i16(struct wire_writer *writer, int16_t value) { buf_be16(writer->out, (uint16_t)value); }
static inline void wire_write_i32(struct wire_writer *writer, int32_t value) { buf_be32(writer->out, (uint32_t)value); }
static inline void wire_write_i64(struct wire_writer *writer, int64_t value) { buf_be64(writer->out, (uint64_t)value); }
static inline void wire_write_bool(struct wire_writer *writer, bool value) { buf_u8(writer->out, value ? 1 : 0); }
static inline void wire_write_uuid(struct wire_writer *writer, struct uuid id) { buf_append(writer->out, id.bytes, sizeof id.bytes); }
/* data NULL is null: the caller knows whether the field may be. A string over 32767 bytes fails the buffer: none of ours is. */
void wire_write_string(struct wire_writer *writer, struct bytes value);
void wire_write_text(struct wire_writer *writer, const char *text); /* NULL: null */
void wire_write_bytes(struct wire_writer *writer, struct bytes value);
/* The length of bytes alone: who calls it appends as many to out. */
void wire_write_bytes_size(struct wire_writer *writer, size_t size);
void wire_write_array(struct wire_writer *writer, int32_t count);   /* -1: null */
/* The end of a structure: no tagged fields. */
void wire_write_tags(struct wire_writer *writer);
/* The same with one field of two bytes. */
void wire_write_tag_i16(struct wire_writer *writer, uint8_t tag, int16_t value);

#endif
