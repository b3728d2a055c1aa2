/* letter_walk.h: dead letters and late rows, one after the other: those that a filter takes, and where each was written back to. One thread. */
#ifndef WEIR_RECORDS_LETTER_WALK_H
#define WEIR_RECORDS_LETTER_WALK_H

#include "runtime/records/letter_filter.h"
#include "runtime/records/topic_scan.h"

/* A letter, where it lies, and the topic that its record was written back to (NULL: to none). All is borrowed for the call. */
struct found_letter {
    const struct scan_place *place;
    const struct record *record;
    const struct dead_letter *letter;
    const char *target;
};
/* 0 goes on, 1 ends the walk before this letter, negative fails it. */
typedef int (*letter_fn)(void *context, const struct found_letter *found, struct diag *diag);

struct replay_notes;
struct letter_walk {
    struct log *log;
    struct letter_filter filter;  /* its texts outlive the walk */
    const struct scan_stop *stop; /* may be NULL */
    letter_fn each;
    void *context;
    struct replay_notes *notes;   /* of letter_walk_open */
    struct buf scratch;
};
/* Reads what was written back so far. close in any case. */
int letter_walk_open(struct letter_walk *walk, struct diag *diag);
void letter_walk_close(struct letter_walk *walk);
/* Walks through one topic; as topic_scan. */
int letter_walk_topic(struct letter_walk *walk, const struct topic_info *topic, struct scan_from *from, struct diag *diag);
/* Walks through all topics of an app (NULL: of all apps) in the order of their names, from one on. topic: where it begins ("": at the first) and where it has ended. */
int letter_walk_topics(struct letter_walk *walk, const char *app, char topic[250], struct scan_from *from, struct diag *diag);

/* The source record: what the letter's key, value and own headers make. */
struct record letter_source(const struct record *record, const struct dead_letter *letter);
/* Whether it lay in a topic. */
bool letter_has_source(const struct dead_letter *letter);

#endif
