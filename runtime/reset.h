/* reset.h: starting views of an app anew: from the beginning of what they read, from an offset, or from a time.
 *
 * What there is to start anew is read off the app's progress records, so that no topology is needed: of each view the stages that read topics, and which views
 * write those topics. reset_survey finds that; reset_choose and the targets say what is wanted; reset_execute does it. A reset deletes internal
 * topics and stores, which cannot be one transaction, so it is written down first: reset_finish ends what was begun, here or at the next start.
 *
 * One thread; no app of this name runs. */
#ifndef WEIR_RUNTIME_RESET_H
#define WEIR_RUNTIME_RESET_H

#include "runtime/port.h"
#include "runtime/progress.h"

/* What follows <app>-<view>- in the names of the topics between two stages of a view. */
enum { RESET_BETWEEN = 2 };
extern const char *const reset_between[RESET_BETWEEN];

struct reset_view {
    char name[250];                   /* its output topic */
    bool is_chosen;
    bool is_table;                    /* its output is an upsert table */
    bool clears;                      /* its output's rows go: of a table with tombstones, else they are removed */
};

/* A stage that reads a topic which is not the app's own between two stages. */
struct reset_stage {
    char name[STAGE_NAME_BYTES];
    char topic[250];                  /* "": it does not exist any more */
    uint8_t topic_id[16];
    uint32_t view;
    int upstream;                     /* the view that writes the topic; -1 */
    enum progress_start start;
    int32_t partitions;               /* of the topic */
    struct reset_input {
        int64_t position;             /* committed; -1: none */
        int64_t target;               /* with START_AT_POSITION */
        const char *note;             /* for who plans the reset; NULL */
    } *inputs;                        /* by partition */
};

struct reset {
    struct port *port;
    const char *app, *data;           /* its name; the directory in which state/ lies */
    char progress_topic[250];
    struct progress_set *set;         /* what the progress topic holds; changed as the topic is */
    struct reset_view *views;
    uint32_t view_count;
    struct reset_stage *stages;
    uint32_t stage_count;
};

/* reset_plan.c. The texts and the set outlive it; deinit is allowed after any failure. */
int reset_init(struct reset *reset, struct port *port, const char *app, const char *data, struct progress_set *set, struct diag *diag);
void reset_deinit(struct reset *reset);
/* Fills views and stages from the records. */
int reset_survey(struct reset *reset, struct diag *diag);
/* Its number, or that of a new one; negative: no memory. */
int reset_add_view(struct reset *reset, const char *name, struct diag *diag);
/* The view reads this topic from now on: its stage that reads a topic (a new one when it has none) gets another one; with a name, beside other topics, by a stage of that
 * name. Nothing when the topic does not exist. */
int reset_set_source(struct reset *reset, uint32_t view, const char *topic, const char *name, struct diag *diag);
/* With each chosen view those that read its output are chosen: they begin behind what it has written so far. */
void reset_spread(struct reset *reset);

/* Calls fn for each stage of the view that may have a store, by its name and that of its changelog, until it returns other than 0, which is returned. */
int reset_each_store(const struct reset *reset, const char *view, int (*fn)(void *context, const char *stage, const char *changelog), void *context, struct diag *diag);

/* reset.c. Every chosen view is started anew. */
int reset_execute(struct reset *reset, struct diag *diag);
/* Ends resets whose beginning is written down. */
int reset_finish(struct reset *reset, struct diag *diag);

#endif
