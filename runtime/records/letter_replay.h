/* letter_replay.h: source records of dead letters and late rows, written back to their topics: each once. One thread. */
#ifndef WEIR_RECORDS_LETTER_REPLAY_H
#define WEIR_RECORDS_LETTER_REPLAY_H

#include "runtime/records/letter_filter.h"
#include "runtime/records/replay_route.h"
#include "runtime/records/topic_scan.h"

struct replay_notes;
struct replay_counts {
    int64_t matched;          /* letters that the filters take */
    int64_t records;          /* written, or to be */
    int64_t before, repeated; /* written by an earlier replay; by this one, for another letter */
    int64_t parts, without_source, foreign; /* left out, each for its reason */
    int64_t elsewhere;        /* of records: an earlier replay wrote them to another topic */
    int64_t late;             /* of records: late rows */
};
struct letter_replay {
    /* what is asked for; texts are borrowed */
    struct log *log;
    struct letter_filter filter;
    const char *to;           /* NULL: each to its source */
    bool by_key, partly_applied, execute;
    int64_t left;             /* how many records at most */
    const struct scan_stop *stop; /* may be NULL */
    /* what comes of it */
    struct topic_info letters; /* name "": the topic was not found */
    struct replay_routes routes;
    struct replay_counts counts;
    /* its own */
    struct replay_notes *notes;
    struct buf scratch;
};
/* Writes what is asked for of the letters that NAME means (letter_topic_find) in one transaction, or (without execute) only counts it. All or nothing: a
 * failure, and ERR_STOPPED, leave nothing written. Who executes is the only one: another one on the same log ends its transaction. deinit in any case. */
int letter_replay_run(struct letter_replay *replay, const char *name, struct diag *diag);
void letter_replay_deinit(struct letter_replay *replay);

#endif
