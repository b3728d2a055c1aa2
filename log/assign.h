/* assign.h: Kafka's assignors: which member of a group reads which partition. Pure functions: no group, no log, no clock.
 *
 * Topics are numbers here: 0, 1, … in the order of their names. All partitions stand in one row, by topic and partition; the result
 * names the owner of each. */
#ifndef WEIR_LOG_ASSIGN_H
#define WEIR_LOG_ASSIGN_H

#include "log/consumer.h"

struct assign_partition {
    uint32_t topic;
    int32_t partition;
};
struct assign_member {
    const char *id, *instance_id;          /* instance_id NULL: dynamic */
    const uint32_t *topics;                /* that it subscribes to, ascending */
    size_t topic_count;
    const struct assign_partition *owned;  /* what it read before, for the sticky ones; topics and partitions that do not exist are passed over */
    size_t owned_count;
    int32_t generation;                    /* when it read them; -1: not known */
};
struct assign_problem {
    const int32_t *partition_counts;       /* of each topic */
    size_t topic_count;
    const struct assign_member *members;
    size_t member_count;
};
size_t assign_row_size(const struct assign_problem *problem); /* partitions in all */
/* owners: assign_row_size entries; each becomes a member's number, or -1: nobody subscribes to it, or (cooperative-sticky) its old owner has to give it up
 * first. 0; ERR_NOMEM; ERR_INVALID: no such assignor. */
int assign_partitions(enum assignor assignor, const struct assign_problem *problem, int32_t *owners);

/* Kafka's name; NULL for ASSIGN_NONE and others. */
const char *assignor_name(enum assignor assignor);
enum assignor assignor_named(const char *name); /* ASSIGN_NONE: none of them */

/* ---- shared by assign.c and assign_sticky.c ---- */
bool assign_subscribes(const struct assign_member *member, uint32_t topic);
/* Where each topic begins in the row, and the row's size last; malloc'ed, NULL: no memory. */
size_t *assign_row_starts(const struct assign_problem *problem);
/* SIZE_MAX: there is no such partition. */
size_t assign_row_place(const struct assign_problem *problem, const size_t *starts, const struct assign_partition *p);
/* The sticky assignors' result before cooperation. */
int assign_sticky(const struct assign_problem *problem, int32_t *owners);

#endif
