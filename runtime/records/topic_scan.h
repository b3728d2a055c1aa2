/* topic_scan.h: a walk over the committed records of a topic. One thread. */
#ifndef WEIR_RECORDS_TOPIC_SCAN_H
#define WEIR_RECORDS_TOPIC_SCAN_H

#include "log/log.h"

struct scan_place {
    const char *topic;
    int32_t partition;
};
/* Asked between fetches: true ends the work with ERR_STOPPED. A NULL one never does. */
struct scan_stop {
    bool (*is_asked)(void *context);
    void *context;
};
/* Where a walk begins and, behind it, where it has ended: at the record that fn answered 1 to or failed with, or that had not been looked at yet. */
struct scan_from {
    int32_t partition;
    int64_t offset;
};
/* 0 goes on, 1 ends the walk, negative fails it. The record is borrowed for the call. */
typedef int (*scan_fn)(void *context, const struct scan_place *place, const struct record *record, struct diag *diag);
/* Calls fn for each committed record below the ends that the partitions have when the walk comes to them, partition after partition in offset order. from and stop
 * may be NULL. 0: to the end; 1: fn has ended it; a negative code of fn or of the reading; ERR_STOPPED. */
int topic_scan(struct log *log, const struct topic_info *topic, struct scan_from *from, const struct scan_stop *stop, scan_fn fn, void *context,
               struct diag *diag);

#endif
