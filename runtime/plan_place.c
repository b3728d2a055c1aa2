/* plan_place.c: lays the views of a plan over the topics that exist (see plan.h).
 *
 * Views are placed upstream first, so that a topic which this app writes exists, with its partition
 * count, before the stage that reads it is placed. Re-keying is skipped when all rows of a group
 * are known to lie in one partition: there is one partition only, or the topic's own metadata says
 * that murmur2 of the group's field chose the partition (then each row is checked). A missing
 * source topic is an error that names the command which creates it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"

struct place {
    struct plan *plan;
    struct port *port;
    struct diag *diag;
    int *stage_of_view; /* the stage that writes the view's topic; -1: not placed yet */
};

static void set_name(char name[TOPIC_NAME_BYTES], const char *format, const char *a, const char *b,
                     const char *c)
{
    int size = snprintf(name, TOPIC_NAME_BYTES, format, a, b, c);
    /* Names of apps and outputs are bounded where they enter (topology.c), so that this holds. */
    must(size > 0 && size < TOPIC_NAME_BYTES);
}

static int describe_source(struct place *place, const struct view *view, struct port_topic *info)
{
    int rc = place->port->ops->topic_describe(place->port, view->source->text, info, place->diag);
    if (rc != ERR_NOT_FOUND)
        return rc;
    return diag_set(place->diag, ERR_NOT_FOUND,
                    "source topic %s does not exist in %s. Create it and fill it with: weir "
                    "produce %s --data %s < events.ndjson",
                    view->source->text, place->plan->app->data, view->source->text,
                    place->plan->app->data);
}

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
static const struct use {
    bool internal;
    struct port_setting settings[3];
    size_t setting_count;
} uses[] = {
    [USE_STREAM] = {.internal = false},
    [USE_TABLE] = {false, {{"cleanup.policy", "compact"}}, 1},
    [USE_ASIDE] = {false, {{"retention.ms", "-1"}}, 1},
    [USE_REPARTITION] = {true, {{"retention.ms", "-1"}, {"segment.bytes", "67108864"}}, 2},
    [USE_CHANGELOG] = {true, {{"cleanup.policy", "compact"}, {"segment.bytes", "67108864"}}, 2},
    [USE_PROGRESS] = {true, {{"cleanup.policy", "compact"}, {"segment.bytes", "4194304"}}, 2},
};

/* Makes a topic unless it is there. An internal one's partition count must then be `partitions`;
 * the others must not be internal, since rows in, say, another app's progress would be the end of
 * that app. */
static int ensure_placed_topic(struct place *place, const char *topic, int32_t partitions,
                               enum topic_use topic_use, const char *partitioned_by,
                               struct port_topic *info)
{
    const struct port_ops *ops = place->port->ops;
    const struct use *use = &uses[topic_use];
    bool internal = use->internal;
    int rc = ops->topic_describe(place->port, topic, info, NULL);
    if (rc == ERR_NOT_FOUND) {
        /* What the engine adds to a record (headers of dead letters, new columns) must not make it
         * too large for its topic. */
        struct port_setting settings[6] = {{"max.message.bytes", "1073741824"}};
        size_t count = 1;
        if (internal)
            settings[count++] = (struct port_setting){"weir.internal", "true"};
        if (partitioned_by != NULL)
            settings[count++] = (struct port_setting){"weir.partitioned.by", partitioned_by};
        for (size_t i = 0; i < use->setting_count; i++)
            settings[count++] = use->settings[i];
        TRY(ops->topic_create(place->port, topic, partitions, settings, count, place->diag));
        rc = ops->topic_describe(place->port, topic, info, place->diag);
    }
    TRY(rc);
    if (!internal && info->internal)
        return diag_set(
            place->diag, ERR_INVALID,
            "topic %s is an app's internal topic and cannot be written to: choose another name",
            topic);
    if (internal && info->partitions != partitions)
        return diag_set(place->diag, ERR_STATE,
                        "internal topic %s has %d partitions, but its stage now has %d: the source "
                        "topic was changed. Start the stage anew with from_beginning",
                        topic, (int)info->partitions, (int)partitions);
    return 0;
}

static int ensure_topic(struct place *place, const char *topic, int32_t partitions,
                        enum topic_use topic_use, struct port_topic *info)
{
    return ensure_placed_topic(place, topic, partitions, topic_use, NULL, info);
}

static struct stage *add_stage(struct place *place, const struct view *view, enum stage_input input)
{
    struct stage *stage = &place->plan->stages[place->plan->stage_count++];
    stage->view = view;
    stage->input = input;
    stage->upstream = -1;
    stage->plan_hash = view->plan_hash;
    stage->state_hash = view->state_hash;
    return stage;
}

static void add_group_op(struct stage *stage, const char *name)
{
    stage->ops[stage->op_count++] = (struct op_spec){op_type_find(name), stage->view->group};
}

static void set_source(struct place *place, struct stage *stage, const struct view *view,
                       const struct port_topic *info)
{
    set_name(stage->input_topic, "%s", view->source->text, NULL, NULL);
    memcpy(stage->input_id, info->id, sizeof stage->input_id);
    stage->partitions = info->partitions;
    stage->upstream = view->upstream >= 0 ? place->stage_of_view[view->upstream] : -1;
    memcpy(stage->ops, view->ops, sizeof view->ops);
    stage->op_count = view->op_count;
}

static int set_late(struct place *place, struct stage *stage)
{
    struct port_topic info;
    if (!stage->view->is_windowed)
        return 0;
    set_name(stage->late_topic, "%s.late", stage->view->sink->topic, NULL, NULL);
    return ensure_topic(place, stage->late_topic, stage->partitions, USE_ASIDE, &info);
}

static int set_output(struct place *place, struct stage *stage)
{
    const struct view *view = stage->view;
    struct port_topic info;
    bool is_table = view->group != NULL && !view->group->emit_final;
    set_name(stage->output_topic, "%s", view->sink->topic, NULL, NULL);
    TRY(ensure_placed_topic(place, stage->output_topic, stage->partitions,
                            is_table ? USE_TABLE : USE_STREAM, view->rekey_field, &info));
    if (view->rekey != NULL && info.partitioned_by[0] != '\0' &&
        (view->rekey_field == NULL || strcmp(info.partitioned_by, view->rekey_field) != 0))
        return diag_set(place->diag, ERR_STATE,
                        "topic %s is partitioned by %s, and weir_rekey would put rows elsewhere: "
                        "write to another topic",
                        stage->output_topic, info.partitioned_by);
    stage->output_partitions = info.partitions;
    place->stage_of_view[view - place->plan->views] = (int)(stage - place->plan->stages);
    return 0;
}

static int set_store(struct place *place, struct stage *stage)
{
    struct port_topic info;
    set_name(stage->changelog_topic, "%s-%s-changelog", place->plan->app->name,
             stage->view->sink->topic, NULL);
    TRY(ensure_topic(place, stage->changelog_topic, stage->partitions, USE_CHANGELOG, &info));
    memcpy(stage->changelog_id, info.id, sizeof stage->changelog_id);
    return 0;
}

static bool groups_lie_right(const struct view *view, const struct port_topic *info)
{
    return info->partitions == 1 ||
           (view->group_field != NULL && strcmp(info->partitioned_by, view->group_field) == 0);
}

bool plan_must_rekey(const struct view *view, const struct port_topic *source)
{
    return view->group != NULL && !groups_lie_right(view, source);
}

static int place_rekeyed(struct place *place, const struct view *view,
                         const struct port_topic *source)
{
    struct port_topic info;
    struct stage *first = add_stage(place, view, INPUT_ROWS);
    set_source(place, first, view, source);
    set_name(first->name, "%s-repartition", view->sink->topic, NULL, NULL);
    set_name(first->output_topic, "%s-%s-repartition", place->plan->app->name, view->sink->topic,
             NULL);
    first->output = OUTPUT_PARTIALS;
    add_group_op(first, "preaggregate");
    TRY(ensure_topic(place, first->output_topic, source->partitions, USE_REPARTITION, &info));
    first->output_partitions = info.partitions;
    TRY(set_late(place, first));

    struct stage *second = add_stage(place, view, INPUT_PARTIALS);
    set_name(second->name, "%s", view->sink->topic, NULL, NULL);
    set_name(second->input_topic, "%s", first->output_topic, NULL, NULL);
    memcpy(second->input_id, info.id, sizeof second->input_id);
    second->partitions = info.partitions;
    second->upstream = (int)(first - place->plan->stages);
    second->output = OUTPUT_VIEW;
    add_group_op(second, "merge");
    TRY(set_store(place, second));
    return set_output(place, second);
}

static int place_view(struct place *place, const struct view *view)
{
    struct port_topic source;
    TRY(describe_source(place, view, &source));
    if (source.partitions > place->plan->dlq_partitions)
        place->plan->dlq_partitions = source.partitions;
    if (plan_must_rekey(view, &source))
        return place_rekeyed(place, view, &source);
    struct stage *stage = add_stage(place, view, INPUT_ROWS);
    set_source(place, stage, view, &source);
    set_name(stage->name, "%s", view->sink->topic, NULL, NULL);
    stage->output = view->group != NULL ? OUTPUT_VIEW : view->is_mapped ? OUTPUT_ROWS : OUTPUT_PASS;
    if (view->group != NULL) {
        stage->check_placement = source.partitions > 1;
        add_group_op(stage, "aggregate");
        TRY(set_store(place, stage));
    }
    TRY(set_late(place, stage));
    return set_output(place, stage);
}

static int place_all(struct place *place)
{
    struct plan *plan = place->plan;
    for (uint32_t placed = 0; placed < plan->view_count;)
        for (uint32_t i = 0; i < plan->view_count; i++) {
            const struct view *view = &plan->views[i];
            if (place->stage_of_view[i] >= 0 ||
                (view->upstream >= 0 && place->stage_of_view[view->upstream] < 0))
                continue;
            TRY(place_view(place, view));
            placed++;
        }
    return 0;
}

int plan_place(struct plan *plan, struct port *port, struct diag *diag)
{
    struct port_topic info;
    struct place place = {plan, port, diag, NULL};
    free(plan->stages);
    plan->stage_count = 0;
    plan->stages = calloc(2 * (size_t)plan->view_count + 1, sizeof *plan->stages);
    place.stage_of_view = calloc(plan->view_count + 1, sizeof *place.stage_of_view);
    int rc = plan->stages == NULL || place.stage_of_view == NULL
                 ? diag_set(diag, ERR_NOMEM, "no memory for the plan")
                 : 0;
    for (uint32_t i = 0; rc == 0 && i < plan->view_count; i++)
        place.stage_of_view[i] = -1;
    /* Sources first: a missing one is an error before anything is created. */
    for (uint32_t i = 0; rc == 0 && i < plan->view_count; i++)
        if (plan->views[i].upstream < 0)
            rc = describe_source(&place, &plan->views[i], &info);
    if (rc == 0)
        rc = place_all(&place);
    if (rc == 0)
        rc = ensure_topic(&place, plan->progress_topic, 1, USE_PROGRESS, &info);
    if (rc == 0)
        rc = ensure_topic(&place, plan->dlq_topic, plan->dlq_partitions, USE_ASIDE, &info);
    if (rc == 0)
        plan->dlq_partitions = info.partitions;
    free(place.stage_of_view);
    return rc;
}
