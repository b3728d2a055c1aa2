/* evolve.c: what has become of a view since it last ran, and what follows for its state.
 *
 * Each task's progress record keeps two hashes of its view (plan.c) and the id of the topic that it
 * reads. They are compared before anything is placed or opened:
 *
 *   unchanged   the texts are the same
 *   reusable    the texts differ, and the state means what it meant: laid out anew, other columns
 *               computed from the same calls, changes → final, another error class
 *   rebuild     the state means something else now, or that of a view whose output it reads. It is
 *               forgotten, with its changelog, and made again from the beginning of the source, or
 *               from the first row of the new life of the view that it reads. The rows of the old
 *               plan go: of an upsert table they are taken back (tombstones), since the new one need
 *               not have their keys; of a stream they are removed
 *   refused     what must be rebuilt but cannot be: the source's beginning is gone, or the source is
 *               another topic of the same name
 *
 * A view that must be rebuilt is rebuilt when the app asks for it (weir_options.on_change), with those
 * that read it and no others; else the run is refused with the reason. Nothing is ever mixed. What
 * becomes of the output is part of the reset (reset.c), which a crash does not leave half done. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/run.h"

static bool is_of_view(const struct view *view, const struct progress *progress)
{
    char name[sizeof progress->view];
    progress_view(progress, name);
    return strcmp(name, view->sink->topic) == 0;
}

struct history {
    uint32_t records;
    bool was_rekeyed, same_texts, same_meaning, was_final;
    bool had_store, knows_final, was_table;
    /* Topics of another id than the one that was read, or that the view was reset to; "": none. */
    char other_source[TOPIC_NAME_BYTES], other_begin[TOPIC_NAME_BYTES];
};

/* Of a view that was re-keyed, what reads its own repartition topic; older records do not say. */
static bool reads_partials(const struct view *view, const struct progress *progress, bool rekeyed)
{
    return progress->reads_partials || (rekeyed && strcmp(progress->stage, view->sink->topic) == 0);
}

/* Whether a view is known to have written partials: a stage of another name than its own, which says
 * where what it wrote ended. */
static bool was_rekeyed(const struct view *view, const struct progress *progress)
{
    return progress->reads_partials ||
           (progress->end_count > 0 && strcmp(progress->stage, view->sink->topic) != 0);
}

/* The arm's source is not the topic that its records say they read. Of a view with several arms those
 * are found by their names; of one that had several once, their records say nothing of this one. */
static bool has_other_source(const struct run *run, const struct view *arm,
                             const struct port_topic *source, bool rekeyed)
{
    char name[STAGE_NAME_BYTES];
    plan_stage_name(arm, name);
    for (uint32_t i = 0; i < run->progress.count; i++) {
        const struct progress *item = &run->progress.items[i];
        if (!is_of_view(arm, item) || item->is_reset || item->is_begin ||
            (arm->lead->arm_count > 1
                 ? strcmp(item->stage, name) != 0
                 : reads_partials(arm, item, rekeyed) || strchr(item->stage, ':') != NULL))
            continue;
        if (memcmp(item->input_id, source->id, 16) != 0)
            return true;
    }
    return false;
}

static bool is_a_source(const struct view *view, const struct port_topic *sources,
                        const uint8_t input_id[16])
{
    for (uint32_t i = 0; i < view->arm_count; i++)
        if (memcmp(sources[i].id, input_id, 16) == 0)
            return true;
    return false;
}

static void read_history(const struct run *run, const struct view *view,
                         const struct port_topic *sources, struct history *history)
{
    static const uint8_t none[16];
    *history = (struct history){.same_texts = true, .same_meaning = true};
    for (uint32_t i = 0; i < run->progress.count; i++) {
        const struct progress *item = &run->progress.items[i];
        if (!is_of_view(view, item) || item->is_reset)
            continue;
        if (item->is_begin) {
            if (item->position >= 0 && !is_a_source(view, sources, item->input_id))
                snprintf(history->other_begin, sizeof history->other_begin, "%s",
                         view->source->text);
            continue;
        }
        history->records++;
        history->was_rekeyed |= was_rekeyed(view, item);
        history->same_texts &= item->plan_hash == view->plan_hash;
        history->same_meaning &=
            item->plan_hash == view->plan_hash || item->state_hash == view->state_hash;
        history->was_final |= item->is_final;
        history->was_table |= item->is_table;
        history->knows_final |= item->state_hash != 0;
        history->had_store |= memcmp(item->changelog_id, none, 16) != 0;
    }
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm)
        if (has_other_source(run, arm, &sources[arm->arm], history->was_rekeyed))
            snprintf(history->other_source, sizeof history->other_source, "%s", arm->source->text);
}

static void say(struct evolution *evolution, weir_change change, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct evolution *evolution, weir_change change, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    evolution->change = change;
    vsnprintf(evolution->reason, sizeof evolution->reason, format, arguments);
    va_end(arguments);
}

/* Of a view of rows with several sources some may keep a state of their own, and others none. */
static bool any_is_final(const struct view *view)
{
    bool is_final = false;
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm)
        is_final |= plan_is_final(arm);
    return is_final;
}

static void compare(const struct run *run, const struct view *view,
                    const struct port_topic *sources, struct evolution *evolution)
{
    struct history history;
    bool is_final = any_is_final(view);
    read_history(run, view, sources, &history);
    *evolution = (struct evolution){.change = WEIR_CHANGE_NEW};
    if (history.records == 0 && history.other_begin[0] != '\0')
        say(evolution, WEIR_CHANGE_REFUSED,
            "it was reset to offsets of another topic than the present %s", history.other_begin);
    if (history.records == 0)
        return;
    evolution->change = WEIR_CHANGE_NONE;
    evolution->takes_back =
        history.was_table ||
        (history.had_store && !(history.knows_final ? history.was_final : is_final));
    if (history.other_source[0] != '\0' && history.same_meaning)
        say(evolution, WEIR_CHANGE_REFUSED,
            "topic %s was deleted and created again since %s last read it", history.other_source,
            view->sink->topic);
    else if (!history.same_meaning)
        say(evolution, WEIR_CHANGE_REBUILD,
            "its source, conditions, groups, window or aggregates have changed");
    else if (view->group != NULL && history.was_rekeyed != plan_must_rekey(view, &sources[0]))
        say(evolution, WEIR_CHANGE_REBUILD,
            "topic %s is partitioned by other keys than before: its groups lie elsewhere",
            view->source->text);
    else if (history.was_final && !is_final)
        say(evolution, WEIR_CHANGE_REBUILD,
            "it emitted final results and is to emit changes: open windows without new rows would "
            "be missing");
    else if (!history.same_texts)
        say(evolution, WEIR_CHANGE_REUSABLE,
            "its state means what it meant; rows written before stay as they are");
}

static bool is_rebuilt(const struct run *run, int view)
{
    return view >= 0 && run->evolutions[view].change == WEIR_CHANGE_REBUILD;
}

/* The first source that has lost its beginning; NULL: none has. One that is the output of a view that
 * is rebuilt is read from where its new life begins, and needs no beginning of its own. */
static const char *first_missing(const struct run *run, const struct view *view,
                                 const struct port_topic *sources)
{
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm)
        for (int32_t p = 0; !is_rebuilt(run, arm->upstream) && p < sources[arm->arm].partitions;
             p++) {
            struct port_range range;
            if (run->port->ops->range(run->port, arm->source->text, p, &range, NULL) == 0 &&
                range.start > 0)
                return arm->source->text;
        }
    return NULL;
}

/* What must be rebuilt, and cannot be without mixing or losing something. */
static void check_rebuild(const struct run *run, const struct view *view,
                          const struct port_topic *sources, struct evolution *evolution)
{
    const char *missing = first_missing(run, view, sources);
    char why[sizeof evolution->reason];
    snprintf(why, sizeof why, "%.300s", evolution->reason);
    if (missing != NULL)
        say(evolution, WEIR_CHANGE_REFUSED,
            "%s; and topic %s has lost its beginning: what was made of it cannot be rebuilt", why,
            missing);
}

/* Who reads a view that is rebuilt is rebuilt: its rows are of the old life. */
static void spread_rebuilds(const struct run *run)
{
    const struct plan *plan = run->plan;
    for (uint32_t round = 0; round < plan->view_count; round++)
        for (uint32_t i = 0; i < plan->view_count; i++)
            for (const struct view *arm = &plan->views[i]; arm != NULL; arm = arm->next_arm) {
                struct evolution *evolution = &run->evolutions[i];
                if (is_rebuilt(run, arm->upstream) && (evolution->change == WEIR_CHANGE_NONE ||
                                                       evolution->change == WEIR_CHANGE_REUSABLE))
                    say(evolution, WEIR_CHANGE_REBUILD, "it reads the rows of %s, which is rebuilt",
                        arm->source->text);
            }
}

/* Judges a view by its sources. One that is missing is said where stages are placed; one that the
 * app is to make has no rows yet. */
static int judge(struct run *run, uint32_t number,
                 void (*judgement)(const struct run *run, const struct view *view,
                                   const struct port_topic *sources, struct evolution *evolution),
                 struct diag *diag)
{
    const struct view *view = &run->plan->views[number];
    struct port_topic *sources = calloc(view->arm_count, sizeof *sources);
    bool is_whole = true;
    if (sources == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the plan");
    for (const struct view *arm = view; arm != NULL && is_whole; arm = arm->next_arm)
        is_whole = run->port->ops->topic_describe(run->port, arm->source->text, &sources[arm->arm],
                                                  NULL) == 0 ||
                   arm->upstream >= 0;
    if (is_whole)
        judgement(run, view, sources, &run->evolutions[number]);
    free(sources);
    return 0;
}

int run_evolve(struct run *run, struct diag *diag)
{
    const struct plan *plan = run->plan;
    free(run->evolutions);
    run->evolutions = calloc(plan->view_count + 1, sizeof *run->evolutions);
    if (run->evolutions == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the plan");
    for (uint32_t i = 0; i < plan->view_count; i++)
        TRY(judge(run, i, compare, diag));
    spread_rebuilds(run);
    for (uint32_t i = 0; i < plan->view_count; i++)
        if (is_rebuilt(run, (int)i))
            TRY(judge(run, i, check_rebuild, diag));
    return 0;
}

int run_admit_changes(struct run *run, struct diag *diag)
{
    for (uint32_t i = 0; i < run->plan->view_count; i++) {
        const struct evolution *evolution = &run->evolutions[i];
        bool rebuild = evolution->change == WEIR_CHANGE_REBUILD;
        if (evolution->change != WEIR_CHANGE_REFUSED &&
            !(rebuild && run->app->options.on_change == WEIR_ON_CHANGE_REFUSE))
            continue;
        return diag_set(diag, ERR_STATE,
                        "stage %s of app %s has changed since it last ran: %s. Start it anew with "
                        "%sfrom_beginning, or under another app name",
                        run->plan->views[i].sink->topic, run->app->name, evolution->reason,
                        rebuild ? "on_change = WEIR_ON_CHANGE_REBUILD or " : "");
    }
    return 0;
}

/* ---- weir_app_plan ---- */

static weir_view_plan *copy_plans(const struct run *run)
{
    uint32_t count = run->plan->view_count;
    size_t size = (size_t)count * sizeof(weir_view_plan) + 1;
    for (uint32_t i = 0; i < count; i++)
        size += strlen(run->plan->views[i].sink->topic) + strlen(run->evolutions[i].reason) + 2;
    weir_view_plan *plans = calloc(1, size);
    if (plans == NULL)
        return NULL;
    char *text = (char *)(plans + count);
    for (uint32_t i = 0; i < count; i++) {
        const char *topic = run->plan->views[i].sink->topic, *reason = run->evolutions[i].reason;
        plans[i].change = run->evolutions[i].change;
        plans[i].topic = memcpy(text, topic, strlen(topic) + 1);
        text += strlen(text) + 1;
        plans[i].reason = memcpy(text, reason, strlen(reason) + 1);
        text += strlen(text) + 1;
    }
    return plans;
}

int weir_app_plan(weir_app *app, weir_view_plan **views, size_t *count)
{
    struct run run;
    if (app == NULL || views == NULL || count == NULL)
        return ERR_INVALID;
    *views = NULL;
    *count = 0;
    if (app->error != 0)
        return app->error;
    int rc = run_look(&run, app);
    if (rc == 0)
        rc = run_evolve(&run, &run.diag);
    if (rc == 0 && (*views = copy_plans(&run)) == NULL)
        rc = diag_set(&run.diag, ERR_NOMEM, "no memory for the plan");
    if (rc == 0)
        *count = run.plan->view_count;
    return run_close(&run, rc);
}
