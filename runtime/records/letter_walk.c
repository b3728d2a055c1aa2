/* letter_walk.c: the way that all who look at letters take: each record of a topic read as a letter, asked whether the filter
 * takes it, and looked up among the notes of what was written back.
 *
 * Topics are walked in the order of their names and letters in that of their offsets, so that a walk can end anywhere and go
 * on there: HTTP does so, page by page. A letter that comes meanwhile lies behind it. */
#include "runtime/records/letter_walk.h"

#include "runtime/records/app_progress.h"
#include "runtime/records/replay_notes.h"

#include <stdio.h>
#include <stdlib.h>

bool letter_has_source(const struct dead_letter *letter)
{
    return letter->source_topic.data != NULL;
}

struct record letter_source(const struct record *record, const struct dead_letter *letter)
{
    struct record source = *record;
    source.headers = letter->headers;
    source.header_count = letter->header_count;
    if (letter_has_source(letter))
        source.timestamp_ms = letter->source_timestamp_ms;
    return source;
}

int letter_walk_open(struct letter_walk *walk, struct diag *diag)
{
    return replay_notes_open(walk->log, walk->stop, &walk->notes, diag);
}

void letter_walk_close(struct letter_walk *walk)
{
    replay_notes_close(walk->notes);
    buf_deinit(&walk->scratch);
    walk->notes = NULL;
}

/* The topic that the letter's record was written back to. ERR_NOMEM; *target NULL: to none. */
static int find_target(struct letter_walk *walk, const struct record *record,
                       const struct dead_letter *letter, const char **target)
{
    struct replayed source = {letter->source_topic, letter->source_partition, letter->source_offset,
                              0};
    *target = NULL;
    if (!letter_has_source(letter))
        return 0;
    TRY(dead_letter_fingerprint(record, letter, &walk->scratch, &source.fingerprint));
    *target = replay_notes_target(walk->notes, &source);
    return 0;
}

static int take_record(void *context, const struct scan_place *place, const struct record *record,
                       struct diag *diag)
{
    struct letter_walk *walk = context;
    struct dead_letter letter;
    struct found_letter found = {place, record, &letter, NULL};
    dead_letter_read(record, &letter);
    if (!letter_filter_takes(&walk->filter, record, &letter))
        return 0;
    if (find_target(walk, record, &letter, &found.target) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to look at a dead letter");
    return walk->each(walk->context, &found, diag);
}

int letter_walk_topic(struct letter_walk *walk, const struct topic_info *topic,
                      struct scan_from *from, struct diag *diag)
{
    return topic_scan(walk->log, topic, from, walk->stop, take_record, walk, diag);
}

/* ---- all topics ---- */

/* Whether the topic is the app's: <app>.dlq, or that of the late rows of one of its views. */
static bool is_of_app(const char *topic, const char *app, const struct progress_set *set)
{
    char name[600], view[250];
    if (app == NULL)
        return true;
    snprintf(name, sizeof name, "%s.dlq", app);
    bool is_found = strcmp(name, topic) == 0;
    for (uint32_t i = 0; i < set->count && !is_found; i++) {
        progress_view(&set->items[i], view);
        snprintf(name, sizeof name, "%s.late", view);
        is_found = strcmp(name, topic) == 0;
    }
    return is_found;
}

static int compare_topics(const void *a, const void *b)
{
    return strcmp(((const struct topic_info *)a)->name, ((const struct topic_info *)b)->name);
}

static int walk_listed(struct letter_walk *walk, const char *app, const struct progress_set *set,
                       char topic[250], struct scan_from *from, struct diag *diag)
{
    struct topic_info *topics = NULL;
    size_t count = 0;
    int code = topic_list(walk->log, &topics, &count);
    if (code == 0 && count > 0)
        qsort(topics, count, sizeof *topics, compare_topics);
    for (size_t i = 0; code == 0 && i < count; i++) {
        int order = strcmp(topics[i].name, topic);
        if (order < 0 || !letter_topic_is(topics[i].name) || !is_of_app(topics[i].name, app, set))
            continue;
        if (order > 0)
            *from = (struct scan_from){0, 0};
        snprintf(topic, 250, "%s", topics[i].name);
        code = letter_walk_topic(walk, &topics[i], from, diag);
    }
    free(topics);
    return code;
}

int letter_walk_topics(struct letter_walk *walk, const char *app, char topic[250],
                       struct scan_from *from, struct diag *diag)
{
    struct progress_set set = {0};
    int code = app != NULL ? app_progress_read(walk->log, app, walk->stop, &set, diag) : 0;
    if (code == ERR_NOT_FOUND)
        diag_set(diag, code, "app %s never ran here", app);
    if (code == 0)
        code = walk_listed(walk, app, &set, topic, from, diag);
    progress_set_deinit(&set);
    return code;
}
