/* topic_use.h: topics that an app makes, and what each kind of them is for. Any thread. */
#ifndef WEIR_RUNTIME_TOPIC_USE_H
#define WEIR_RUNTIME_TOPIC_USE_H

#include "runtime/app.h"
#include "runtime/port.h"

/* What the app's own topics are for, and so how long they keep what is in them. Nothing goes before
 * its reader has it, and rows that were put aside are never dropped: who looks at them decides. */
enum topic_use {
    USE_STREAM, /* final results and mapped rows: kept as the log's defaults say, as any topic */
    USE_TABLE,  /* results that are upserts: the last row of each key stays */
    USE_ASIDE,  /* late rows and dead letters: kept for ever */
    USE_REPARTITION, /* between two stages: the engine removes what the second one has committed */
    USE_CHANGELOG,   /* of a store */
    USE_PROGRESS     /* small records, one a task and commit, and read whole at each start */
};

/* Makes a topic unless it is there. An internal one's partition count must then be `partitions`; the others must not be internal, since rows in, say, another app's
 * progress would be the end of that app. partitioned_by and output (what weir_output asks for) may be NULL. ERR_STATE, ERR_INVALID; the log's errors. */
int topic_ensure(struct port *port, const char *topic, int32_t partitions, enum topic_use topic_use, const char *partitioned_by,
                 const struct weir_output_options *output, struct port_topic *info, struct diag *diag);

#endif
