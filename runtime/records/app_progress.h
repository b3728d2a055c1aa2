/* app_progress.h: what the apps of a directory have recorded of themselves. One thread. */
#ifndef WEIR_RECORDS_APP_PROGRESS_H
#define WEIR_RECORDS_APP_PROGRESS_H

#include "runtime/progress.h"
#include "runtime/records/topic_scan.h"

/* Reads <app>-progress; stop may be NULL. ERR_NOT_FOUND: there is no such topic. The caller calls progress_set_deinit, also after an error. */
int app_progress_read(struct log *log, const char *app, const struct scan_stop *stop, struct progress_set *set, struct diag *diag);
/* The app whose progress topic this is. False: it is none. */
bool app_progress_topic(const struct topic_info *topic, char app[250]);

#endif
