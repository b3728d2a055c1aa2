/* app_progress.c: an app's progress topic, read from a log that is open for a command. The engine reads
 * it through its port (progress_load.c); what a record means is progress.h's for both. */
#include "runtime/records/app_progress.h"

#include <stdio.h>

static int apply(void *context, const struct scan_place *place, const struct record *record,
                 struct diag *diag)
{
    (void)place;
    return progress_set_apply(context, record->key, record->value, diag);
}

int app_progress_read(struct log *log, const char *app, const struct scan_stop *stop,
                      struct progress_set *set, struct diag *diag)
{
    char topic[600];
    struct topic_info info;
    *set = (struct progress_set){0};
    snprintf(topic, sizeof topic, "%s-progress", app);
    TRY(topic_describe(log, topic, &info, diag));
    return topic_scan(log, &info, NULL, stop, apply, set, diag);
}

bool app_progress_topic(const struct topic_info *topic, char app[250])
{
    static const char ending[] = "-progress";
    size_t size = strlen(topic->name), ending_size = sizeof ending - 1;
    if (!topic->internal || size <= ending_size ||
        strcmp(topic->name + size - ending_size, ending) != 0)
        return false;
    snprintf(app, 250, "%.*s", (int)(size - ending_size), topic->name);
    return true;
}
