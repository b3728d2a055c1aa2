/* letter_json.h: letters as JSON. Any thread, each with its own buffer. */
#ifndef WEIR_RECORDS_LETTER_JSON_H
#define WEIR_RECORDS_LETTER_JSON_H

#include "runtime/records/letter_walk.h"

/* Appends the letter as an object: the source record as 'weir consume' shows it, and what went wrong. */
void letter_json_put(struct buf *out, const struct found_letter *found);
/* Appends an object from which the very same letter can be read again: {"replayed_to":…,"record":{…}}, the record as 'weir topic export' writes it. */
void letter_json_put_lossless(struct buf *out, const struct found_letter *found);
/* Appends a string, what is not UTF-8 in it as U+FFFD; NULL: null. */
void letter_json_text(struct buf *out, const char *text);

#endif
