/* wire_write.c: Kafka's primitive types, written. The table of types stands in wire_read.c; test_wire.c has vectors for both. */
#include "log/kafka/wire_write.h"

/* A length or a count, -1 for null. */
static void write_length(struct wire_writer *writer, int64_t length, bool is_short)
{
    if (length > (is_short ? INT16_MAX : INT32_MAX - 1)) {
        writer->out->failed = true;
        return;
    }
    if (writer->flexible)
        buf_uvarint(writer->out, (uint64_t)(length + 1));
    else if (is_short)
        wire_write_i16(writer, (int16_t)length);
    else
        wire_write_i32(writer, (int32_t)length);
}

void wire_write_string(struct wire_writer *writer, struct bytes value)
{
    write_length(writer, value.data == NULL ? -1 : (int64_t)value.size, true);
    if (value.data != NULL)
        buf_append_bytes(writer->out, value);
}

void wire_write_text(struct wire_writer *writer, const char *text)
{
    wire_write_string(writer, bytes_text(text));
}

void wire_write_bytes(struct wire_writer *writer, struct bytes value)
{
    write_length(writer, value.data == NULL ? -1 : (int64_t)value.size, false);
    if (value.data != NULL)
        buf_append_bytes(writer->out, value);
}

void wire_write_bytes_size(struct wire_writer *writer, size_t size)
{
    write_length(writer, (int64_t)size, false);
}

void wire_write_array(struct wire_writer *writer, int32_t count)
{
    write_length(writer, count, false);
}

void wire_write_tags(struct wire_writer *writer)
{
    if (writer->flexible)
        buf_u8(writer->out, 0);
}

void wire_write_tag_i16(struct wire_writer *writer, uint8_t tag, int16_t value)
{
    must(writer->flexible && tag < 128);
    buf_u8(writer->out, 1);
    buf_u8(writer->out, tag);
    buf_u8(writer->out, sizeof value);
    buf_be16(writer->out, (uint16_t)value);
}
