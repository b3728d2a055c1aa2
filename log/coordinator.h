/* coordinator.h: who is a member of which group, and how the members agree on a generation: Kafka's classic group protocol
 * as a state machine. No thread, no socket, no file: time comes in through now_ms and coordinator_tick, requests through the
 * functions below, answers go out through callbacks.
 *
 *     Empty → PreparingRebalance → CompletingRebalance → Stable;   any → Empty when the last member is gone
 *
 *   event                            rule
 *   join, first members of a group   the join phase lasts initial_rebalance_delay_ms, again for each join in it, at most the rebalance timeout
 *   end of the join phase            all members have joined, or the longest rebalance timeout is over: dynamic members that are missing
 *                                    are removed, generation + 1, the protocol is voted for, the leader gets all metadata
 *   join of a Stable group           a follower with unchanged protocols gets its generation again; anything else begins a rebalance
 *   sync                             held until the leader's; who has not synced after the rebalance timeout is removed
 *   heartbeat                        REBALANCE_IN_PROGRESS says: join again
 *   session timeout, leave           the member is removed, rebalance. No session expires while its join or sync is parked
 *   static member (instance id)      a new member with a known instance id takes the old one's place; Stable and with the same protocol
 *                                    selected there is no rebalance; the old member id is fenced
 *
 * Member metadata and assignments are bytes that it hands on: consumer_protocol.c knows what they mean to consumers.
 *
 * Threads: any thread may call; one mutex guards all and is held only over memory operations. done and rebalancing are called with it
 * held: they must be quick and must not call the coordinator (or take a lock over which somebody calls it). It is taken after
 * every other lock but those that the callbacks take and LMDB's (load). done is called exactly once for each join and sync, at once or later,
 * unless coordinator_forget or coordinator_orphan came first. */
#ifndef WEIR_LOG_COORDINATOR_H
#define WEIR_LOG_COORDINATOR_H

#include "log/group.h"

/* Kafka's error codes. */
enum group_error {
    GROUP_NO_MEMORY = -1, /* UNKNOWN_SERVER_ERROR on the wire */
    GROUP_OK = 0,
    GROUP_NOT_AVAILABLE = 15, /* COORDINATOR_NOT_AVAILABLE: there is no room for what it brings; clients ask again */
    GROUP_ILLEGAL_GENERATION = 22,
    GROUP_INCONSISTENT_PROTOCOL = 23,
    GROUP_INVALID_GROUP_ID = 24,
    GROUP_UNKNOWN_MEMBER_ID = 25,
    GROUP_INVALID_SESSION_TIMEOUT = 26,
    GROUP_REBALANCE_IN_PROGRESS = 27,
    GROUP_NON_EMPTY_GROUP = 68,
    GROUP_ID_NOT_FOUND = 69,
    GROUP_MEMBER_ID_REQUIRED = 79,
    GROUP_MAX_SIZE_REACHED = 81,
    GROUP_FENCED_INSTANCE_ID = 82
};
const char *group_error_text(enum group_error error);
/* The ERR_ code for callers of this process: 22, 25 → ERR_MEMBER, 27 → ERR_REBALANCE, 82 → ERR_FENCED, 68 → ERR_BUSY … */
int group_error_code(enum group_error error);

struct group_stored { /* what is kept of a group across restarts */
    int32_t generation;
    int64_t empty_since_ms;                /* epoch ms; -1: it had members, or never had any */
    char protocol_type[256], protocol[256];
};
struct coordinator_options {
    int64_t (*now_ms)(void);               /* monotonic; NULL: clock_mono_ms */
    int32_t session_timeout_min_ms;        /* bounds of joins that are not embedded; 0: 6 s, 30 min */
    int32_t session_timeout_max_ms;
    int32_t group_max_size;                /* 0: no limit */
    size_t memory_bytes;                   /* of what all members say of themselves, and are given; 0: 256 MiB. Embedded ones have room in any case */
    /* Called when a group is named that is not in memory, under the mutex: 0, or ERR_NOT_FOUND. NULL: nothing is kept. */
    int (*load)(void *context, const char *group, struct group_stored *stored);
    void *context;
};
struct coordinator;
struct coordinator *coordinator_create(const struct coordinator_options *options); /* NULL: no memory */
void coordinator_destroy(struct coordinator *coordinator); /* parked requests are forgotten */
/* Tests: another clock from now on. */
void coordinator_set_clock(struct coordinator *coordinator, int64_t (*now_ms)(void));
int64_t coordinator_now(struct coordinator *coordinator);

/* ---- requests ---- */
struct join_protocol {
    const char *name;
    struct bytes metadata;
};
struct join_request {
    const char *group, *member_id;        /* "": a new member */
    const char *instance_id;              /* NULL: dynamic */
    const char *client_id, *host, *protocol_type;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;         /* ≤ 0 (JoinGroup v0 has none): the session timeout */
    int32_t initial_rebalance_delay_ms;
    const struct join_protocol *protocols; /* by preference */
    size_t protocol_count;
    bool member_id_required;              /* v4+: a new dynamic member first gets its id (79) and joins again with it */
    bool can_skip_assignment;             /* v9+: a static leader that comes back may be told not to assign */
    bool embedded;                        /* a member of this process: no bounds for its session timeout */
    /* Called when the group of this member begins a rebalance that it must join; NULL: heartbeats tell. Same context as done. */
    void (*rebalancing)(void *context);
};
struct join_member {
    const char *member_id, *instance_id;
    struct bytes metadata;
};
struct join_response { /* borrowed for the call */
    enum group_error error;
    int32_t generation;                   /* -1 on an error */
    const char *protocol_type, *protocol, *leader, *member_id;
    bool skip_assignment;
    const struct join_member *members;    /* for the leader; none for the others */
    size_t member_count;
};
void coordinator_join(struct coordinator *coordinator, const struct join_request *request,
                      void (*done)(void *context, const struct join_response *response), void *context);

struct sync_assignment {
    const char *member_id;
    struct bytes assignment;
};
struct sync_request {
    const char *group;
    struct group_member member;
    const char *protocol_type, *protocol;     /* NULL (before v5): not compared */
    const struct sync_assignment *assignments; /* of the leader */
    size_t assignment_count;
};
struct sync_response { /* borrowed for the call */
    enum group_error error;
    const char *protocol_type, *protocol;
    struct bytes assignment;              /* never NULL data; empty on an error */
};
void coordinator_sync(struct coordinator *coordinator, const struct sync_request *request,
                      void (*done)(void *context, const struct sync_response *response), void *context);

enum group_error coordinator_heartbeat(struct coordinator *coordinator, const char *group, const struct group_member *member);
/* member_id "" with an instance id: the static member of that name. generation is not looked at. */
enum group_error coordinator_leave(struct coordinator *coordinator, const char *group, const struct group_member *member);
/* Parked requests and rebalancing calls with this context will not be answered any more. */
void coordinator_forget(struct coordinator *coordinator, const char *group, void *context);
/* The same for who lost its connection and may come back on another: what it has asked for stays asked for, and is answered to nobody. So the
 * others do not wait for a member to join that has joined; it is removed when its session is over. */
void coordinator_orphan(struct coordinator *coordinator, const char *group, void *context);

/* Takes and gives back the right to write the group's offsets. Between the two no generation begins, so what is written is what the next
 * owner finds. member NULL or without a generation: a standalone writer, who is refused while there are members (nobody: with UNKNOWN_MEMBER_ID). Counts as a heartbeat. */
enum group_error coordinator_commit_begin(struct coordinator *coordinator, const char *group, const struct group_member *member);
/* The same for offsets that count when a transaction is committed. A member may give them while its generation waits for the leader's assignment, too (as
 * with Kafka, whose clients take REBALANCE_IN_PROGRESS there for the end of their producer): who gets the partition waits for the transaction. */
enum group_error coordinator_txn_commit_begin(struct coordinator *coordinator, const char *group, const struct group_member *member);
void coordinator_commit_end(struct coordinator *coordinator, const char *group);

/* Does what time demands; returns when it wants to be called again (as now_ms; INT64_MAX: nothing waits). Cheap when nothing is due. */
int64_t coordinator_tick(struct coordinator *coordinator);

/* ---- looking ---- */
struct member_view {
    const char *member_id, *instance_id, *client_id, *host;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct bytes metadata, assignment;    /* metadata: of the selected protocol; empty outside Completing and Stable */
};
struct group_view {
    const char *name;
    enum group_state state;
    int32_t generation;
    int64_t empty_since_ms;               /* epoch ms; -1: has members or never had any */
    const char *protocol_type, *protocol, *leader; /* "": none */
    const struct member_view *members;
    size_t member_count;
};
/* Calls fn with the group as it is, borrowed, under the mutex. ERR_NOT_FOUND: nobody ever joined it; ERR_NOMEM; else fn's result. */
typedef int (*group_view_fn)(void *context, const struct group_view *group);
int coordinator_view(struct coordinator *coordinator, const char *group, group_view_fn fn, void *context);
/* All that are in memory, in the order of names. A result of fn other than 0 ends it and is returned. */
int coordinator_view_all(struct coordinator *coordinator, group_view_fn fn, void *context);
bool coordinator_has_members(struct coordinator *coordinator, const char *group);

/* Forgets an Empty group. NON_EMPTY_GROUP, ID_NOT_FOUND (not in memory). */
enum group_error coordinator_delete(struct coordinator *coordinator, const char *group);

/* What is worth keeping across restarts: calls fn for every group that changed since it was last taken (no members are shown). A result
 * of fn other than 0 ends it, that group and those after it stay changed. */
int coordinator_take_changes(struct coordinator *coordinator, group_view_fn fn, void *context);
/* What was taken is stored, or it is not and will be shown again. */
void coordinator_settle(struct coordinator *coordinator, const char *group, bool stored);
bool coordinator_has_changes(struct coordinator *coordinator);

#endif
