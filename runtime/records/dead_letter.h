/* dead_letter.h: a record of <app>.dlq or <view>.late, taken apart: the source record as it was, and what went wrong.
 *
 * Everything is borrowed from the record. Any thread. */
#ifndef WEIR_RECORDS_DEAD_LETTER_H
#define WEIR_RECORDS_DEAD_LETTER_H

#include "log/log.h"

enum letter_kind {
    LETTER_FOREIGN, /* no letter of the engine's: somebody else wrote the record */
    LETTER_DEAD,    /* a source record that was rejected */
    LETTER_LATE,    /* a source record that a window did not take any more */
    LETTER_RESULT   /* a result that could not be expressed, or a row of a COPY's file: there is no source record */
};

struct dead_letter {
    enum letter_kind kind;
    struct bytes headers;                  /* the source record's own, encoded, byte for byte; of a row of a file its place there; of a foreign record all of them */
    int32_t header_count;
    struct bytes source_topic;             /* data NULL with LETTER_RESULT and LETTER_FOREIGN, as the next three mean nothing then */
    int32_t source_partition;
    int64_t source_offset, source_timestamp_ms;
    struct bytes element;                  /* which of the rows that the record was unnested to; data NULL: the record is the row */
    struct bytes stage;
    struct bytes error_class, error_message; /* of late rows: "late", and data NULL */
    struct bytes window_start, window_end; /* of late rows; else data NULL */
    int64_t lateness_ms;
    int64_t windows_taken;                 /* how many other windows took the row */
};

/* Never fails: what does not look like a letter is LETTER_FOREIGN. */
void dead_letter_read(const struct record *record, struct dead_letter *letter);
/* A part of the source record was applied: other rows of it, or the row in other windows. */
bool dead_letter_is_part(const struct dead_letter *letter);
/* Tells source records apart that lie at the same place of topics of one name: time, key, value and own headers. scratch is cleared first; ERR_NOMEM. */
int dead_letter_fingerprint(const struct record *record, const struct dead_letter *letter, struct buf *scratch, uint64_t *fingerprint);

#endif
