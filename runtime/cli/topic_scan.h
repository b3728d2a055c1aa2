/* topic_scan.h: a walk over the committed records of a topic. One thread. */
#ifndef WEIR_CLI_TOPIC_SCAN_H
#define WEIR_CLI_TOPIC_SCAN_H

#include "log/log.h"

struct scan_place {
    const char *topic;
    int32_t partition;
};
/* 0 goes on, 1 ends the walk, negative fails it. The record is borrowed for the call. */
typedef int (*scan_fn)(void *context, const struct scan_place *place, const struct record *record, struct diag *diag);
/* Calls fn for each committed record below the ends that the partitions have now, partition after partition in offset order. 0, a negative code of fn or of
 * the reading, ERR_STOPPED after a signal (interrupt_install). */
int topic_scan(struct log *log, const struct topic_info *topic, scan_fn fn, void *context, struct diag *diag);

#endif
