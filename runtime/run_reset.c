/* run_reset.c: what a run finds in the progress topic at its start, and what it starts anew.
 *
 * Three things make a run start views anew: from_beginning (all views of its topology),
 * on_change (those that must be rebuilt, evolve.c), and a reset that a crash left half done, which
 * is ended whether or not it is asked for again. Views that read the output of one that is started anew
 * are, too, and begin behind what it has written so far. The act itself is reset.c's. */
#include <stdlib.h>
#include <string.h>

#include "runtime/reset.h"
#include "runtime/run.h"

static int check_never_read(struct run *run, const char *topic, struct diag *diag)
{
    const struct port_ops *ops = run->port->ops;
    struct port_topic info;
    if (ops->topic_describe(run->port, topic, &info, NULL) < 0)
        return 0;
    for (int32_t p = 0; p < info.partitions; p++) {
        int64_t offset;
        TRY(ops->position(run->port, run->app->name, topic, p, &offset, diag));
        if (offset >= 0)
            return diag_set(diag, ERR_STATE,
                            "group %s has read %s-%d up to offset %lld, but the topic %s, "
                            "which says what came of it, is missing. "
                            "Start the app anew with from_beginning, or under another name",
                            run->app->name, topic, (int)p, (long long)offset,
                            run->plan->progress_topic);
    }
    return 0;
}

/* No progress topic: either the app never ran, or somebody deleted it, and starting over would give
 * every row a second time. The group's positions in the log's metadata tell which. */
static int check_never_ran(struct run *run, struct diag *diag)
{
    for (uint32_t i = 0; i < run->plan->view_count && !run->app->options.from_beginning; i++)
        for (const struct view *arm = &run->plan->views[i]; arm != NULL; arm = arm->next_arm)
            TRY(check_never_read(run, arm->source->text, diag));
    return 0;
}

int run_read_progress(struct run *run, struct diag *diag)
{
    struct port_topic info;
    progress_set_deinit(&run->progress);
    int rc = run->port->ops->topic_describe(run->port, run->plan->progress_topic, &info, NULL);
    if (rc == ERR_NOT_FOUND)
        return check_never_ran(run, diag);
    TRY(rc);
    return progress_load(run->port, run->plan->progress_topic, &run->progress, diag);
}

/* *any: something of the topology is started anew. */
static int choose_views(struct run *run, struct reset *reset, bool *any, struct diag *diag)
{
    const weir_options *options = &run->app->options;
    for (uint32_t i = 0; i < run->plan->view_count; i++) {
        const struct evolution *evolution = &run->evolutions[i];
        bool rebuild = evolution->change == WEIR_CHANGE_REBUILD && !options->from_beginning;
        if (!rebuild && !options->from_beginning)
            continue;
        int view = reset_add_view(reset, run->plan->views[i].sink->topic, diag);
        TRY(view);
        reset->views[view].is_chosen = *any = true;
        reset->views[view].clears = rebuild && options->on_change == WEIR_ON_CHANGE_REBUILD;
        if (evolution->change == WEIR_CHANGE_REBUILD)
            reset->views[view].is_table = evolution->takes_back;
    }
    return 0;
}

static int follow_arm(struct reset *reset, const struct view *arm, struct diag *diag)
{
    char name[STAGE_NAME_BYTES];
    int number = reset_add_view(reset, arm->sink->topic, diag);
    TRY(number);
    TRY(reset_add_view(reset, arm->source->text, diag) < 0 ? ERR_NOMEM : 0);
    plan_stage_name(arm, name);
    return reset_set_source(reset, (uint32_t)number, arm->source->text,
                            arm->lead->arm_count > 1 ? name : NULL, diag);
}

/* A view reads from now on what the topology says; that may be the output of a view that is started
 * anew. */
static int follow_topology(struct run *run, struct reset *reset, struct diag *diag)
{
    for (uint32_t i = 0; i < run->plan->view_count; i++)
        for (const struct view *arm = &run->plan->views[i]; arm != NULL; arm = arm->next_arm)
            if (arm->upstream >= 0)
                TRY(follow_arm(reset, arm, diag));
    return 0;
}

int run_end_resets(struct run *run, struct diag *diag)
{
    struct reset reset;
    bool any = false;
    for (uint32_t i = 0; i < run->progress.count; i++)
        any |= run->progress.items[i].is_reset;
    if (!any)
        return 0;
    TRY(reset_init(&reset, run->port, run->app->name, run->app->data, &run->progress, diag));
    int rc = reset_finish(&reset, diag);
    reset_deinit(&reset);
    return rc;
}

/* Nothing else can be done about an app that is not this one. */
static int warn_reader(void *context, const char *group, bool of_app)
{
    const struct weir_app *app = context;
    if (of_app && strcmp(group, app->name) != 0)
        log_line('W',
                 "app %s reads a topic of app %s whose rows are made anew: reset it too ('weir app "
                 "reset %s'), or its results are of old and new rows",
                 group, app->name, group);
    return 0;
}

static int warn_readers(struct run *run, const struct reset *reset, struct diag *diag)
{
    for (uint32_t i = 0; i < reset->view_count; i++) {
        struct diag why = {.code = 0};
        if (!reset->views[i].is_chosen)
            continue;
        int rc =
            run->port->ops->readers(run->port, reset->views[i].name, warn_reader, run->app, &why);
        if (rc < 0 && rc != ERR_NOT_FOUND) { /* a topic that is not there has no readers */
            *diag = why;
            return rc;
        }
    }
    return 0;
}

int run_reset(struct run *run, struct diag *diag)
{
    struct reset reset;
    struct port_topic info;
    bool any = false;
    TRY(reset_init(&reset, run->port, run->app->name, run->app->data, &run->progress, diag));
    int rc = reset_survey(&reset, diag);
    if (rc == 0)
        rc = choose_views(run, &reset, &any, diag);
    /* Without the topic there is no old life that could be told from a new one. */
    if (rc == 0 && any &&
        run->port->ops->topic_describe(run->port, reset.progress_topic, &info, NULL) == 0)
        rc = follow_topology(run, &reset, diag);
    if (rc == 0 && any) {
        reset_spread(&reset);
        rc = warn_readers(run, &reset, diag);
        if (rc == 0)
            rc = reset_execute(&reset, diag);
    }
    reset_deinit(&reset);
    return rc;
}
