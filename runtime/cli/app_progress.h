/* app_progress.h: what the apps of a directory have recorded of themselves. One thread. */
#ifndef WEIR_CLI_APP_PROGRESS_H
#define WEIR_CLI_APP_PROGRESS_H

#include "log/log.h"
#include "runtime/progress.h"

/* Reads <app>-progress. ERR_NOT_FOUND: there is no such topic. The caller calls progress_set_deinit, also after an error. */
int app_progress_read(struct log *log, const char *app, struct progress_set *set, struct diag *diag);
/* The app whose progress topic this is. False: it is none. */
bool app_progress_topic(const struct topic_info *topic, char app[250]);

#endif
