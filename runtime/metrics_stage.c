/* metrics_stage.c: how long what a stage does takes, and how late it is, as histograms.
 *
 * A gauge shows the moment of a scrape; what lay between two scrapes is in histograms. They are of
 * a stage and not of its partitions, which would be sixteen buckets for each. Each commit is one
 * observation for every partition that it brought something, made by the worker when it is decided;
 * opening a partition is one. They begin with the process and go on when its app runs again, so
 * that they belong to the app's metrics and not to a run: a stage is known by its name and its
 * input. */
#include "runtime/metrics_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/run.h"

static const struct stage_family {
    const char *name, *help;
    enum histogram_scale scale;
} families[STAGE_HISTOGRAMS] = {
    [STAGE_COMMIT_LATENCY] = {"weir_stage_commit_latency_seconds",
                              "From the making of a commit that a stage has part in to its "
                              "decision.",
                              SCALE_OF_WORK},
    [STAGE_FLUSH] = {"weir_stage_flush_seconds",
                     "Of that, for flushing the stage's operators and closing windows.",
                     SCALE_OF_WORK},
    [STAGE_WATERMARK_DELAY] = {"weir_stage_watermark_delay_seconds",
                               "How far the watermark was behind the wall clock when a commit was "
                               "decided.",
                               SCALE_OF_DELAY},
    [STAGE_RESTORE] = {"weir_stage_restore_seconds",
                       "What opening a partition that keeps state took, its state restored.",
                       SCALE_OF_DELAY},
};

struct stage_metrics *stage_metrics_of(struct stage_metrics **list, const struct stage *stage)
{
    for (struct stage_metrics *known = *list; known != NULL; known = known->next)
        if (strcmp(known->name, stage->name) == 0 && strcmp(known->topic, stage->input_topic) == 0)
            return known;
    struct stage_metrics *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    memcpy(made->name, stage->name, sizeof made->name);
    memcpy(made->topic, stage->input_topic, sizeof made->topic);
    made->next = *list;
    *list = made;
    return made;
}

void stage_metrics_free(struct stage_metrics *list)
{
    while (list != NULL) {
        struct stage_metrics *next = list->next;
        free(list);
        list = next;
    }
}

void stage_metrics_put(struct buf *text, const struct run *run)
{
    for (int f = 0; f < STAGE_HISTOGRAMS; f++) {
        const struct stage_family *family = &families[f];
        openmetrics_head(text, family->name, "histogram", "seconds", family->help);
        for (uint32_t s = 0; s < run->plan->stage_count; s++) {
            const struct stage_metrics *stage = run->gauges[run->first_task[s]].stage;
            char labels[STAGE_NAME_BYTES + TOPIC_NAME_BYTES + 300];
            if (stage == NULL ||
                (f == STAGE_RESTORE && run->plan->stages[s].changelog_topic[0] == '\0'))
                continue;
            snprintf(labels, sizeof labels, "app=\"%s\",stage=\"%s\",topic=\"%s\"", run->app->name,
                     stage->name, stage->topic);
            histogram_put(text, &stage->histograms[f], family->scale, family->name, labels);
        }
    }
}

void metrics_observe(const struct task *task, enum stage_histogram what, double seconds)
{
    if (task->gauges != NULL && task->gauges->stage != NULL)
        histogram_observe(&task->gauges->stage->histograms[what], families[what].scale, seconds);
}

void metrics_committed(const struct task *task, double seconds)
{
    metrics_observe(task, STAGE_COMMIT_LATENCY, seconds);
    if (task->committed_watermark_ms != TIME_NONE)
        metrics_observe(task, STAGE_WATERMARK_DELAY,
                        (double)(clock_wall_ms() - task->committed_watermark_ms) / 1000);
}
