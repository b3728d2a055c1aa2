/* wire_read.h: Kafka's primitive types, read from a request. A reader is over bytes that somebody else owns; what it gives out is borrowed
 * from them. The first thing that is not right makes it fail for good: everything read after that is zero or empty, so that a decoder reads all
 * of a structure and asks wire_read_ok once, before it believes any of it.
 *
 * Nothing is allocated here, and no count leaves that the bytes which remain cannot hold: a caller may take memory for as many items as
 * wire_read_array says. Flexible versions (compact lengths, tagged fields) are a property of the reader, not of the call. */
#ifndef WEIR_KAFKA_WIRE_READ_H
#define WEIR_KAFKA_WIRE_READ_H

#include "log/log.h"

struct wire_reader {
    struct bytes rest;
    bool flexible;
    const char *reason; /* why it failed; NULL: it did not. Constant text */
};

static inline struct wire_reader wire_reader_over(struct bytes bytes, bool flexible)
{
    return (struct wire_reader){.rest = bytes, .flexible = flexible};
}
static inline bool wire_read_ok(const struct wire_reader *reader) { return reader->reason == NULL; }
/* What was read means nothing: the first reason stays. */
void wire_read_fail(struct wire_reader *reader, const char *reason);

int8_t wire_read_i8(struct wire_reader *reader);
int16_t wire_read_i16(struct wire_reader *reader);
int32_t wire_read_i32(struct wire_reader *reader);
int64_t wire_read_i64(struct wire_reader *reader);
bool wire_read_bool(struct wire_reader *reader);          /* any byte but 0 is true, as in Kafka */
uint32_t wire_read_uvarint(struct wire_reader *reader);   /* at most 5 bytes */
struct uuid wire_read_uuid(struct wire_reader *reader);
/* Text as it stands, not checked for UTF-8. Null fails; of the nullable one it is data NULL. */
struct bytes wire_read_string(struct wire_reader *reader);
struct bytes wire_read_nullable_string(struct wire_reader *reader);
struct bytes wire_read_bytes(struct wire_reader *reader);
struct bytes wire_read_nullable_bytes(struct wire_reader *reader);
/* The number of items that follow. item_bytes: what the smallest item takes in this version, at least 1; a count that the rest cannot hold fails. Null
 * fails; of the nullable one it is -1. After a failure 0. */
int32_t wire_read_array(struct wire_reader *reader, size_t item_bytes);
int32_t wire_read_nullable_array(struct wire_reader *reader, size_t item_bytes);
/* The end of a structure: passes over its tagged fields; nothing in other versions. */
void wire_read_tags(struct wire_reader *reader);
/* The header's client id, which has a 16-bit length in all versions. */
struct bytes wire_read_client_id(struct wire_reader *reader);

#endif
