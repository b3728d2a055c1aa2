/* copy_mark.h: the record of <app>-progress that says how far a COPY has come: written in each transaction that holds rows of its file.
 *
 * Key: "copy/<topic>/<file>", the file as the statement names it. Value: a JSON object (docs/formats-engine.md). */
#ifndef WEIR_COPY_MARK_H
#define WEIR_COPY_MARK_H

#include "runtime/copy/copy_file.h"

struct copy_mark {
    bool is_there, is_done;
    uint8_t topic_id[16];        /* the rows went with a topic of another id */
    uint64_t meaning;            /* of the statement: how the file is read */
    struct copy_stamp stamp;     /* of the file */
    int64_t position, lines;     /* in the file, behind the rows that are written */
    struct hash128 hash;         /* of the bytes before position; of a copy that is done, of all */
    int64_t rows, dead;          /* that came out of those bytes: written, and refused */
    int64_t time_ms;             /* timestamp of rows that say none */
};

bool copy_mark_is_key(struct bytes key);
void copy_mark_key(struct buf *key, const char *topic, const char *file);
void copy_mark_encode(struct buf *value, const struct copy_mark *mark);
/* ERR_CORRUPT with the reason. */
int copy_mark_decode(struct bytes key, struct bytes value, struct copy_mark *mark, struct diag *diag);

#endif
