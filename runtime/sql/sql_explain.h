/* sql_explain.h: what a program's pipelines will be, told to people (text), to Graphviz (dot) and to programs (JSON; docs/explain.schema.json). */
#ifndef WEIR_SQL_EXPLAIN_H
#define WEIR_SQL_EXPLAIN_H

#include "runtime/sql/sql.h"

/* What a directory says of a topic that is there. */
struct explain_topic {
    int32_t partitions;
    char partitioned_by[256];    /* "" when nobody says */
    int64_t records, bytes;
};
struct explain {
    const struct sql_program *program;
    const weir_app *app;         /* that the program has built; NULL: steps alone are told */
    /* false: the topic is not there. NULL: no directory is looked at, and what depends on partitions is told with its condition. */
    bool (*look)(void *context, const char *topic, struct explain_topic *facts);
    void *context;
};
/* The planner's errors; memory that out lacks is found out by buf_ok. */
int sql_explain_as(const struct explain *explain, enum explain_format format, struct buf *out, struct diag *diag);

#endif
