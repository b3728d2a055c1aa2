/* metrics_stage.h: histograms of stages, all partitions of one together, for metrics.c. */
#ifndef WEIR_RUNTIME_METRICS_STAGE_H
#define WEIR_RUNTIME_METRICS_STAGE_H

#include "runtime/metrics.h"
#include "runtime/openmetrics.h"
#include "runtime/plan.h"

struct stage_metrics {
    struct stage_metrics *next;
    char name[STAGE_NAME_BYTES], topic[TOPIC_NAME_BYTES]; /* of the stage and of its input */
    struct histogram histograms[STAGE_HISTOGRAMS];
};
/* Those of a stage, from the list or added to it, where they stay until stage_metrics_free. NULL: no memory. */
struct stage_metrics *stage_metrics_of(struct stage_metrics **list, const struct stage *stage);
void stage_metrics_free(struct stage_metrics *list);
/* The families, with the stages of a run that is attached. */
void stage_metrics_put(struct buf *text, const struct run *run);

#endif
