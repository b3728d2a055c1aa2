/* coordinator_internal.h: what coordinator.c, rebalance.c and group_clock.c share. All of it under the coordinator's mutex. */
#ifndef WEIR_LOG_COORDINATOR_INTERNAL_H
#define WEIR_LOG_COORDINATOR_INTERNAL_H

#include "log/group_table.h"

#include <pthread.h>

struct coordinator {
    pthread_mutex_t mutex;
    struct coordinator_options options;
    struct group_table table;
    int64_t next_deadline_ms; /* nothing is due before */
    bool changed;             /* some group is */
};

/* ---- coordinator.c ---- */
/* now + delay; the next tick is not later. */
int64_t coordinator_deadline(struct coordinator *c, int64_t delay_ms);
/* The member lives: its session begins anew. */
void coordinator_touch(struct coordinator *c, struct member *member);
/* The group, brought into memory if need be. NULL: no memory. */
struct group *coordinator_group(struct coordinator *c, const char *name);
/* Frees the memory of a group that holds nothing that could not be loaded again. */
void coordinator_forget_idle(struct coordinator *c, struct group *group);
/* The member that a request names; group NULL: there is none. */
enum group_error group_find_member(const struct group *group, const struct group_member *who, struct member **member);

/* ---- rebalance.c ---- */
void group_answer_join(struct member *member, const struct join_response *response);
void group_fail_join(struct member *member, enum group_error error);
void group_answer_sync(struct group *group, struct member *member, enum group_error error);
struct join_response group_current_generation(const struct group *group, const struct member *member);
/* Answers a member that is in the current generation; with all members when it leads. */
void group_answer_current(struct group *group, struct member *member, bool skip_assignment);
/* Answers what the member has parked with the error and forgets it. */
void group_remove_member(struct group *group, struct member *member, enum group_error error);
/* Begins the join phase unless it runs, and ends it when nobody is missing. */
void group_rebalance(struct coordinator *c, struct group *group, int32_t initial_delay_ms);
void group_try_complete_join(struct coordinator *c, struct group *group);
/* Takes over what the leader decided; who is not named gets an empty assignment. */
enum group_error group_take_assignments(struct group *group, const struct sync_request *request);
/* Hands the assignments to those that wait for them. */
void group_become_stable(struct coordinator *c, struct group *group);

#endif
