/* replay_notes.h: what 'weir dlq replay' has written back, as the topic weir.dlq-replayed tells. One thread. */
#ifndef WEIR_RECORDS_REPLAY_NOTES_H
#define WEIR_RECORDS_REPLAY_NOTES_H

#include "runtime/records/topic_scan.h"

#define REPLAY_NOTES_TOPIC "weir.dlq-replayed"

struct replay_notes;

/* A source record: which one, by its place and its fingerprint (dead_letter.h). */
struct replayed {
    struct bytes topic;
    int32_t partition;
    int64_t offset;
    uint64_t fingerprint;
};

/* Reads the topic (stop may be NULL); none is as if it were empty. ERR_CORRUPT names the record that cannot be read. */
int replay_notes_open(struct log *log, const struct scan_stop *stop, struct replay_notes **notes, struct diag *diag);
void replay_notes_close(struct replay_notes *notes);
/* Whether the record was written to the topic that now has this name (a deleted one's notes do not count). */
bool replay_notes_have(const struct replay_notes *notes, const char *target, const struct replayed *record);
/* A topic that the record was written to and that still exists; NULL: to none. */
const char *replay_notes_target(const struct replay_notes *notes, const struct replayed *record);
/* Notes that the record goes to the topic; nothing is written. ERR_NOMEM. */
enum {
    REPLAY_NOTED,        /* it is new */
    REPLAY_NOTED_NOW,    /* it was noted since replay_notes_open */
    REPLAY_NOTED_BEFORE  /* an earlier replay wrote it */
};
int replay_notes_add(struct replay_notes *notes, const struct topic_info *target, const struct replayed *record);
/* Makes the topic when there is none. Durable. */
int replay_notes_create(struct log *log, struct diag *diag);
/* Sends every note that was changed. */
int replay_notes_send(struct replay_notes *notes, struct sender *sender, struct diag *diag);

#endif
