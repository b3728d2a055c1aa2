/* group_table.h: the groups that coordinator.c works on, and their members: memory and look-up, no protocol. Owner: the
 * coordinator's mutex. */
#ifndef WEIR_LOG_GROUP_TABLE_H
#define WEIR_LOG_GROUP_TABLE_H

#include "log/coordinator.h"

#define NO_DEADLINE INT64_MAX

enum { GROUP_PROTOCOLS_MOST = 32 }; /* that one member lists: every member's are compared with every other's, under the mutex of all groups */

struct member_protocol {
    char *name;
    struct bytes metadata; /* owned */
};
struct parked_join {
    void (*done)(void *context, const struct join_response *response);
    void *context;
};
struct parked_sync {
    void (*done)(void *context, const struct sync_response *response);
    void *context;
};
struct member {
    char *id, *instance_id, *client_id, *host; /* instance_id NULL: dynamic */
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct member_protocol *protocols;
    size_t protocol_count;
    size_t text_bytes, protocol_bytes; /* that it takes, without its assignment */
    struct buf assignment;
    int64_t session_deadline_ms;
    bool is_new;              /* has not finished its first join */
    bool synced;              /* of the current generation */
    struct parked_join join;  /* done NULL: not joining */
    struct parked_sync sync;
    void (*rebalancing)(void *context);
    void *rebalancing_context;
};
struct pending_member { /* has got its id and not come back with it */
    char *id;
    int64_t deadline_ms;
};
struct group {
    struct group_table *table;
    char *name;
    enum group_state state;
    int32_t generation;
    char *protocol_type, *protocol; /* NULL: none */
    struct member **members;        /* in the order of joining */
    size_t member_count, member_capacity;
    struct member *leader;
    struct pending_member *pending;
    size_t pending_count, pending_capacity;
    int64_t join_deadline_ms;       /* end of the join phase */
    bool initial;                   /* the join phase of an Empty group: it lasts until join_deadline_ms */
    bool joined_more;               /* somebody joined since the initial delay was last extended */
    int32_t initial_delay_ms;
    int64_t initial_left_ms;
    int64_t sync_deadline_ms;
    int32_t commits;                /* between coordinator_commit_begin and _end */
    int64_t empty_since_ms;
    bool changed;                   /* since coordinator_take_changes */
};

struct group_table {
    struct group **groups; /* by name */
    size_t count, capacity;
    size_t bytes, bytes_most; /* of members, and of ids that were given out */
};
struct group *group_find(const struct group_table *table, const char *name);
/* NULL: no memory. */
struct group *group_add(struct group_table *table, const char *name);
void group_remove(struct group_table *table, struct group *group);
void group_table_deinit(struct group_table *table);

struct member *group_member_find(const struct group *group, const char *id);
struct member *group_instance_find(const struct group *group, const char *instance_id);
/* A member that holds copies of what the request says; id is taken over. NULL: no memory (id is freed). Not in the group yet. */
struct member *member_create(char *id, const struct join_request *request);
void member_free(struct member *member);
/* What a member takes that says this of itself, at most. */
size_t join_bytes(const struct join_request *request);
/* Whether there is room for so much more. */
bool group_table_has_room(const struct group_table *table, size_t bytes);
/* Makes protocols, timeouts and the rebalancing call those of the request. GROUP_NO_MEMORY leaves it as it was. */
enum group_error member_update(struct member *member, const struct join_request *request, void *context);
/* The same of one that is in the group. */
enum group_error group_update_member(struct group *group, struct member *member, const struct join_request *request, void *context);
/* GROUP_NO_MEMORY. */
enum group_error group_assign(struct group *group, struct member *member, struct bytes assignment);
bool member_matches(const struct member *member, const struct join_request *request);
struct bytes member_metadata(const struct member *member, const char *protocol);
/* Puts it at the end; the first one leads. GROUP_NO_MEMORY. */
enum group_error group_append(struct group *group, struct member *member);
/* Takes it out and frees it; the oldest of the others leads if it led. */
void group_drop(struct group *group, struct member *member);

bool group_is_pending(const struct group *group, const char *id);
enum group_error group_add_pending(struct group *group, const char *id, int64_t deadline_ms);
void group_drop_pending(struct group *group, const char *id);
/* Those whose time is over. */
void group_expire_pending(struct group *group, int64_t now_ms);

/* Whether a member with these protocols could join the others. One of more than GROUP_PROTOCOLS_MOST can join nobody. */
bool group_supports(const struct group *group, const struct join_request *request);
/* The protocol that every member lists and most prefer (ties: the first member's order); NULL: none. */
const char *group_select_protocol(const struct group *group);
int32_t group_rebalance_timeout(const struct group *group);
size_t group_joined_count(const struct group *group);

#endif
