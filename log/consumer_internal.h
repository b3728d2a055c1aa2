/* consumer_internal.h: what consumer.c (the public functions), consumer_member.c (the membership) and consumer_source.c (partitions and their
 * records) share. Owner: the consumer's thread; what other threads touch is marked. */
#ifndef WEIR_LOG_CONSUMER_INTERNAL_H
#define WEIR_LOG_CONSUMER_INTERNAL_H

#include "log/assign.h"
#include "log/consumer.h"
#include "log/coordinator.h"
#include "log/log_internal.h"

enum { CONSUMER_PLAIN_BUFFERS = 16 }; /* compressed batches that one poll may span */
#define NO_POSITION INT64_C(-1)       /* not looked up yet */

/* An assigned partition. */
struct source {
    const char *topic; /* interned */
    int32_t index;
    struct partition *partition;
    int watch_id;      /* negative: none */
    int64_t position;  /* of the next record to return */
    int64_t committed; /* position as of the last commit */
    bool paused;
    bool from_start;   /* appeared while the consumer ran: read from its first record */
    bool keep;         /* while an assignment is compared with another */
    int status;        /* why it is left out; 0: it is not */
    struct diag why;
};
struct sources { /* by topic and partition */
    struct source **items;
    size_t count, capacity;
};

/* What the coordinator said; filled in whatever thread completes the join or sync. */
struct answer {
    bool ready;
    enum group_error error;
    int32_t generation;
    char *member_id, *leader, *protocol;
    struct join_member *members; /* copies */
    size_t member_count;
    struct buf assignment;
};

struct assign_name {
    const char *topic; /* interned */
    int32_t partition;
};

enum member_state {
    MEMBER_OUT,     /* has to join */
    MEMBER_JOINING, /* its join is parked or answered */
    MEMBER_SYNCING,
    MEMBER_STABLE,
    MEMBER_FENCED   /* for good */
};

struct consumer {
    struct log *log;
    struct consumer_options options; /* with the defaults; its texts are interned */
    bool member;                     /* group and topics: it takes part in the group protocol */
    bool cooperative;                /* all its assignors are */
    char **names;                    /* interned texts */
    size_t name_count, name_capacity;
    const char **topics;             /* subscribed, sorted */
    size_t topic_count;

    bool in_call;                    /* a poll or close runs: callbacks must not poll */
    int event_fd;
    atomic_bool signalled;           /* any thread: event_fd is readable */
    atomic_bool woken;               /* any thread: consumer_wake */
    atomic_bool rebalancing;         /* coordinator: the group shares anew */

    /* membership */
    enum member_state state;
    char *member_id;                 /* "" before the first join */
    int32_t generation;              /* -1: none */
    bool leads, rejoin;
    int64_t next_heartbeat_ms;       /* of the coordinator's clock; also the look at the topics */
    pthread_mutex_t answer_mutex;
    struct answer answer;            /* answer_mutex */
    int32_t *topic_sizes;            /* leader: partitions of the group's topics when it assigned */
    const char **group_topics;
    size_t group_topic_count;
    struct {                         /* what the sticky assignor is told: the last assignment */
        struct assign_name *items;
        size_t count;
        int32_t generation;          /* -1: none */
    } previous;

    /* reading */
    struct sources sources;
    struct topic_partition *assignment; /* as consumer_assignment shows it; from sources.capacity on room for the list of a callback */
    size_t next_source;
    bool waits_for_offset;           /* a transaction that adds one is open: ask again soon */
    struct source *reading;          /* whose fetch is not used up; NULL: none */
    struct fetch fetch;
    struct fetch_reader batches;
    struct record_reader records;
    bool in_batch;
    int64_t read_from;
    struct buf plain[CONSUMER_PLAIN_BUFFERS];
    size_t plain_used;
    struct consumer_record *out;
};

/* ---- consumer.c ---- */
/* A copy of text that lives as long as the consumer; equal texts are one. NULL: no memory. */
const char *consumer_intern(struct consumer *consumer, const char *text, size_t size);
void consumer_signal(struct consumer *consumer);
/* Until something happens, next_ms (of the coordinator's clock) comes, or left_ms are over (-1: no limit). */
void consumer_wait(struct consumer *consumer, int64_t left_ms, int64_t next_ms);

/* ---- consumer_source.c ---- */
struct source *sources_find(const struct sources *sources, const char *topic, int32_t index);
/* ERR_NOT_FOUND: no such partition; ERR_NOMEM. */
int consumer_add_source(struct consumer *consumer, const char *topic, int32_t index, struct source **source, struct diag *diag);
/* Removes those with keep false. */
void consumer_drop_sources(struct consumer *consumer);
/* Sets position when it is not known: the committed offset, or the reset policy. ERR_RANGE under RESET_ERROR. */
int source_locate(struct consumer *consumer, struct source *source, struct diag *diag);
int64_t source_end(const struct consumer *consumer, const struct source *source);
/* Forgets what was fetched from the source. */
void consumer_forget_fetch(struct consumer *consumer, const struct source *source);
/* Up to max_records of the next source that has some. Returns the count, 0, or the error of a source that has just failed. */
int64_t consumer_collect(struct consumer *consumer, struct diag *diag);
/* Makes assignment and the order of reading fit the sources. */
void consumer_sources_changed(struct consumer *consumer);

/* ---- consumer_member.c ---- */
void answer_clear(struct answer *answer);
/* Goes as far as it can without waiting. Sets *next_ms to when it must be called again (of the coordinator's clock). */
int member_step(struct consumer *consumer, int64_t *next_ms, struct diag *diag);
/* Calls the revoked or lost callback for everything, leaves. */
void member_leave(struct consumer *consumer);
/* A lone reader's sources: they are there from the start. */
int lone_open(struct consumer *consumer, struct diag *diag);
/* Tells of them at first, then of those of topics that grew. */
int lone_step(struct consumer *consumer, int64_t *next_ms, struct diag *diag);
/* Calls fn, if there is one, with the sources whose keep is as said, if there are any. */
void consumer_tell(struct consumer *consumer, consumer_partitions_fn fn, bool keep);

/* ---- consumer_assign.c ---- */
/* This member's metadata for an assignor. */
int member_subscription(const struct consumer *consumer, enum assignor assignor, struct buf *out);
/* The leader's work: everybody's assignment, encoded one after the other into bytes; given[i].assignment points into them. *given is malloc'ed. */
int member_assign_all(struct consumer *consumer, const struct answer *answer, struct buf *bytes, struct sync_assignment **given);
/* Whether topics of the group have more or fewer partitions than when this leader assigned them. */
bool member_topics_changed(const struct consumer *consumer);

#endif
