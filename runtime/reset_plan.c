/* reset_plan.c: what an app's progress records say about its views, and what a reset of some of them
 * takes in (see reset.h).
 *
 * A record names its stage, its view and the id of the topic that the stage reads. A topic that
 * carries the name of a view is that view's output. That gives the graph of views without the
 * program that built it, so that 'weir app reset' works on a directory alone. A view that is not in
 * today's topology but reads what another one writes is part of it: its rows would be of two lives.
 *
 * Partitions are the topic's, not the records': one that had no rows when the stage last committed
 * has no record, and begins at its target like the others. */
#include "runtime/reset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"

const char *const reset_between[RESET_BETWEEN] = {"repartition", "distinct"};

int reset_init(struct reset *reset, struct port *port, const char *app, const char *data,
               struct progress_set *set, struct diag *diag)
{
    *reset = (struct reset){.port = port, .app = app, .data = data, .set = set};
    int size = snprintf(reset->progress_topic, sizeof reset->progress_topic, "%s-progress", app);
    return size > 0 && (size_t)size < sizeof reset->progress_topic
               ? 0
               : diag_set(diag, ERR_INVALID, "the name of the app is too long");
}

void reset_deinit(struct reset *reset)
{
    for (uint32_t i = 0; i < reset->stage_count; i++)
        free(reset->stages[i].inputs);
    free(reset->stages);
    free(reset->views);
    reset->views = NULL;
    reset->stages = NULL;
    reset->view_count = reset->stage_count = 0;
}

/* ---- views and stages ---- */

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory to plan a reset");
}

int reset_add_view(struct reset *reset, const char *name, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->view_count; i++)
        if (strcmp(reset->views[i].name, name) == 0)
            return (int)i;
    struct reset_view *grown = realloc(reset->views, (reset->view_count + 1) * sizeof *grown);
    if (grown == NULL)
        return no_memory(diag);
    reset->views = grown;
    grown[reset->view_count] = (struct reset_view){.is_chosen = false};
    snprintf(grown[reset->view_count].name, sizeof grown->name, "%s", name);
    return (int)reset->view_count++;
}

static struct reset_stage *find_stage(const struct reset *reset, uint32_t view,
                                      const uint8_t topic_id[16])
{
    for (uint32_t i = 0; i < reset->stage_count; i++)
        if (reset->stages[i].view == view && memcmp(reset->stages[i].topic_id, topic_id, 16) == 0)
            return &reset->stages[i];
    return NULL;
}

static struct reset_stage *add_stage(struct reset *reset, const char *name, uint32_t view)
{
    struct reset_stage *grown = realloc(reset->stages, (reset->stage_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    reset->stages = grown;
    struct reset_stage *stage = &grown[reset->stage_count++];
    *stage = (struct reset_stage){.view = view, .upstream = -1};
    snprintf(stage->name, sizeof stage->name, "%s", name);
    return stage;
}

/* The committed position of a view in a partition; that at which it is to begin; -1: neither. */
static int64_t position_of(const struct reset *reset, const struct reset_stage *stage,
                           int32_t partition)
{
    const char *view = reset->views[stage->view].name;
    const struct progress *begin = progress_set_begin(reset->set, view, stage->topic_id, partition);
    for (uint32_t i = 0; i < reset->set->count; i++) {
        const struct progress *item = &reset->set->items[i];
        char name[250];
        progress_view(item, name);
        if (item->partition == partition && !item->is_begin && !item->is_reset &&
            strcmp(name, view) == 0 && memcmp(item->input_id, stage->topic_id, 16) == 0)
            return item->position;
    }
    return begin != NULL ? begin->position : -1;
}

/* Of the topic that it has; one that is gone has no partitions. */
static int set_inputs(struct reset *reset, struct reset_stage *stage, struct diag *diag)
{
    struct port_topic info;
    free(stage->inputs);
    stage->inputs = NULL;
    stage->partitions = 0;
    if (stage->topic[0] == '\0')
        return 0;
    TRY(reset->port->ops->topic_describe(reset->port, stage->topic, &info, diag));
    stage->inputs = calloc((size_t)info.partitions + 1, sizeof *stage->inputs);
    if (stage->inputs == NULL)
        return no_memory(diag);
    stage->partitions = info.partitions;
    for (int32_t p = 0; p < info.partitions; p++)
        stage->inputs[p].position = position_of(reset, stage, p);
    return 0;
}

int reset_set_source(struct reset *reset, uint32_t view, const char *topic, const char *name,
                     struct diag *diag)
{
    struct reset_stage *stage = NULL;
    struct port_topic info;
    char made[300];
    int rc = reset->port->ops->topic_describe(reset->port, topic, &info, NULL);
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (find_stage(reset, view, info.id) != NULL)
        return 0;
    for (uint32_t i = 0; name == NULL && i < reset->stage_count; i++)
        if (reset->stages[i].view == view)
            stage = &reset->stages[i];
    /* No stage has the made name: how the view will be placed is not known yet. */
    snprintf(made, sizeof made, "%s::begin", reset->views[view].name);
    if (stage == NULL && (stage = add_stage(reset, name != NULL ? name : made, view)) == NULL)
        return no_memory(diag);
    snprintf(stage->topic, sizeof stage->topic, "%s", topic);
    memcpy(stage->topic_id, info.id, sizeof info.id);
    stage->upstream = -1;
    return set_inputs(reset, stage, diag);
}

/* Records from before it was kept: the merging stage of a view that has a -repartition stage. */
static bool reads_partials(const struct reset *reset, const struct progress *progress,
                           const char *view)
{
    char first[300], other[250];
    if (progress->reads_partials || strcmp(progress->stage, view) != 0)
        return progress->reads_partials;
    snprintf(first, sizeof first, "%s-repartition", view);
    for (uint32_t i = 0; i < reset->set->count; i++) {
        const struct progress *item = &reset->set->items[i];
        progress_view(item, other);
        if (strcmp(item->stage, first) == 0 && strcmp(other, view) == 0 && !item->is_begin)
            return true;
    }
    return false;
}

static int take_record(struct reset *reset, const struct progress *progress, struct diag *diag)
{
    static const uint8_t none[16];
    char name[250];
    progress_view(progress, name);
    int view = reset_add_view(reset, name, diag);
    TRY(view);
    reset->views[view].is_table |=
        progress->is_table ||
        (memcmp(progress->changelog_id, none, 16) != 0 && !progress->is_final);
    if (reads_partials(reset, progress, name) ||
        find_stage(reset, (uint32_t)view, progress->input_id) != NULL)
        return 0;
    struct reset_stage *stage = add_stage(reset, progress->stage, (uint32_t)view);
    if (stage == NULL)
        return no_memory(diag);
    memcpy(stage->topic_id, progress->input_id, sizeof stage->topic_id);
    int rc = reset->port->ops->topic_name(reset->port, stage->topic_id, stage->topic, NULL);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return diag_set(diag, rc, "cannot list the topics: %s", error_text(rc));
    if (rc == ERR_NOT_FOUND)
        stage->topic[0] = '\0';
    return set_inputs(reset, stage, diag);
}

int reset_survey(struct reset *reset, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->set->count; i++)
        TRY(take_record(reset, &reset->set->items[i], diag));
    return 0;
}

/* ---- what belongs together ---- */

static int view_that_writes(const struct reset *reset, const char *topic)
{
    for (uint32_t i = 0; i < reset->view_count && topic[0] != '\0'; i++)
        if (strcmp(reset->views[i].name, topic) == 0)
            return (int)i;
    return -1;
}

void reset_spread(struct reset *reset)
{
    bool any = true;
    for (uint32_t i = 0; i < reset->stage_count; i++)
        reset->stages[i].upstream = view_that_writes(reset, reset->stages[i].topic);
    while (any) {
        any = false;
        for (uint32_t i = 0; i < reset->stage_count; i++) {
            struct reset_stage *stage = &reset->stages[i];
            struct reset_view *view = &reset->views[stage->view];
            if (stage->upstream < 0 || stage->upstream == (int)stage->view ||
                !reset->views[stage->upstream].is_chosen)
                continue;
            stage->start = START_BEHIND;
            if (view->is_chosen)
                continue;
            any = view->is_chosen = true;
            view->clears = reset->views[stage->upstream].clears;
        }
    }
}

/* Those that the records name, and the view itself, of which they may say nothing any more. */
int reset_each_store(const struct reset *reset, const char *view,
                     int (*fn)(void *context, const char *stage, const char *changelog),
                     void *context, struct diag *diag)
{
    char changelog[TOPIC_NAME_BYTES];
    TRY(plan_changelog_name(reset->app, view, changelog, diag));
    int rc = fn(context, view, changelog);
    for (uint32_t i = 0; rc == 0 && i < reset->set->count; i++) {
        const struct progress *item = &reset->set->items[i];
        char name[250];
        bool is_known = strcmp(item->stage, view) == 0;
        for (uint32_t j = 0; j < i && !is_known; j++)
            is_known = strcmp(reset->set->items[j].stage, item->stage) == 0;
        progress_view(item, name);
        if (is_known || strcmp(name, view) != 0 || item->stage[0] == '\0')
            continue;
        TRY(plan_changelog_name(reset->app, item->stage, changelog, diag));
        rc = fn(context, item->stage, changelog);
    }
    return rc;
}
