/* consume_format.h: a record as a line of text. Any thread, each with its own buffer. */
#ifndef WEIR_CLI_CONSUME_FORMAT_H
#define WEIR_CLI_CONSUME_FORMAT_H

#include "log/log.h"

enum consume_format { CONSUME_JSON, CONSUME_VALUE, CONSUME_KEY_VALUE };

/* Appends the record and a line feed. topic_json: the topic's name as a JSON string. */
void consume_put(struct buf *out, enum consume_format format, const char *topic_json, int32_t partition,
                 const struct record *record);

#endif
