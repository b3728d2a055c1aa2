/* consume_format.h: a record as a line of text. Any thread, each with its own buffer. */
#ifndef WEIR_RECORDS_CONSUME_FORMAT_H
#define WEIR_RECORDS_CONSUME_FORMAT_H

#include "log/log.h"

enum consume_format { CONSUME_JSON, CONSUME_VALUE, CONSUME_KEY_VALUE };

/* Appends the record and a line feed. topic_json: the topic's name as a JSON string. */
void consume_put(struct buf *out, enum consume_format format, const char *topic_json, int32_t partition,
                 const struct record *record);
/* Appends what the json format has of the record itself: "key":…,"value":…,"headers":…, and "encoding", "key_encoding" where they are needed. */
void consume_put_content(struct buf *out, const struct record *record);
/* Appends bytes as a JSON string, or as null; as {"base64":"…"} when they are not UTF-8. */
void consume_put_bytes(struct buf *out, struct bytes bytes);
/* Appends the record as a line from which the very same record can be made again (weir topic export):
 *   {"partition":0,"offset":7,"timestamp":1291191960000,"key":"17850","value":"…","headers":[["name","value"],["name",null]]}
 * A key, value, or header's name or value is a string of its bytes, null, or {"base64":"…"} when it is not UTF-8. */
void consume_put_lossless(struct buf *out, int32_t partition, const struct record *record);

#endif
