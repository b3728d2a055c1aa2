/* plan_place.c: lays the views of a plan over the topics that exist (see plan.h).
 *
 * Views are placed upstream first, so that a topic which this app writes exists, with its partition
 * count, before the stage that reads it is placed. Re-keying is skipped when all rows of a group
 * are known to lie in one partition: there is one partition only, or the topic's own metadata says
 * that murmur2 of the group's field chose the partition (then each row is checked). The groups of
 * several arms meet behind a re-keying in any case. A missing source topic is an error that names
 * the command which creates it. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan.h"
#include "runtime/topic_use.h"

struct place {
    struct plan *plan;
    struct port *port;
    struct diag *diag;
    int *stage_of_view;       /* the first stage that writes the view's topic; -1: not placed yet */
    uint32_t *stages_of_view; /* how many do */
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

static int check_partitions(struct place *place, const char *topic, int32_t there, int32_t wanted)
{
    if (wanted == 0 || there == wanted)
        return 0;
    return diag_set(
        place->diag, ERR_STATE,
        "topic %s has %d partition%s, and its pipeline says %d: say what it has, or let "
        "the pipeline make another topic",
        topic, (int)there, there == 1 ? "" : "s", (int)wanted);
}

static int ensure_topic(struct place *place, const char *topic, int32_t partitions,
                        enum topic_use topic_use, struct port_topic *info)
{
    return topic_ensure(place->port, topic, partitions, topic_use, NULL, NULL, info, place->diag);
}

static struct stage *add_stage(struct place *place, const struct view *view, enum stage_input input)
{
    struct stage *stage = &place->plan->stages[place->plan->stage_count++];
    stage->view = view;
    stage->input = input;
    stage->upstream = -1;
    stage->first_arm = (uint32_t)(stage - place->plan->stages);
    stage->arm_count = 1;
    stage->plan_hash = view->plan_hash;
    stage->state_hash = view->state_hash;
    return stage;
}

static void add_group_op(struct stage *stage, const char *name)
{
    stage->ops[stage->op_count++] = (struct op_spec){op_type_find(name), stage->view->group};
}

static void set_source(struct place *place, struct stage *stage, const struct port_topic *info)
{
    const struct view *view = stage->view;
    plan_stage_name(view, stage->name);
    set_name(stage->input_topic, "%s", view->source->text, NULL, NULL);
    memcpy(stage->input_id, info->id, sizeof stage->input_id);
    stage->partitions = info->partitions;
    if (view->upstream >= 0) {
        stage->upstream = place->stage_of_view[view->upstream];
        stage->upstream_count = place->stages_of_view[view->upstream];
    }
}

static int not_by_partition(const struct place *place, const struct stage *stage,
                            const struct table *table, const char *why)
{
    return diag_set(place->diag, ERR_STATE,
                    "stream to %s cannot read table %s by partition: %s. Re-key the stream "
                    "into a topic that lies as the table does and join there (weir_rekey), or let "
                    "each task read all of the table (in SQL: join = 'broadcast')",
                    stage->view->sink->topic, table->rows.source->text, why);
}

/* A task has the rows that it can ask for when the stream lies by what they are compared with, in as
 * many partitions as the table, which is said to lie by its key: rows of both are checked one by one. */
static int check_by_partition(const struct place *place, const struct stage *stage,
                              const struct table *table, const struct port_topic *info)
{
    const struct view *view = stage->view;
    struct port_topic source;
    char why[700];
    if (stage->input != INPUT_ROWS)
        return stage->partitions == 1 && info->partitions == 1
                   ? 0
                   : not_by_partition(place, stage, table, "its rows meet elsewhere before");
    TRY(place->port->ops->topic_describe(place->port, view->source->text, &source, place->diag));
    if (source.partitions != info->partitions) {
        snprintf(why, sizeof why, "topic %.249s has %d partitions, and %.249s has %d",
                 view->source->text, (int)source.partitions, table->rows.source->text,
                 (int)info->partitions);
        return not_by_partition(place, stage, table, why);
    }
    const char *by =
        view->source->partitioned_by != NULL ? view->source->partitioned_by : source.partitioned_by;
    if (info->partitions == 1 ||
        (table->stream_field != NULL && strcmp(by, table->stream_field) == 0))
        return 0;
    snprintf(why, sizeof why, "topic %.249s is not said to lie by %.249s", view->source->text,
             table->stream_field != NULL ? table->stream_field : "what is compared with its key");
    return not_by_partition(place, stage, table, why);
}

/* The view's operators from `first` up to `end`, and the topics of the tables that they join with. */
static int set_ops(struct place *place, struct stage *stage, uint32_t first, uint32_t end)
{
    const struct view *view = stage->view;
    stage->first_op = first;
    stage->op_count = end - first;
    memcpy(stage->ops, view->ops + first, stage->op_count * sizeof *stage->ops);
    for (uint32_t t = 0; t < view->table_count; t++) {
        const struct view *rows = &view->tables[t]->rows;
        struct port_topic info;
        if (view->tables[t]->join_op < first)
            stage->first_table = t + 1;
        if (view->tables[t]->join_op < first || view->tables[t]->join_op >= end)
            continue;
        struct stage_table *table = &stage->tables[stage->table_count++];
        TRY(describe_source(place, rows, &info));
        memcpy(table->id, info.id, sizeof table->id);
        table->partitions = info.partitions;
        table->by_partition = view->tables[t]->by_partition;
        if (table->by_partition)
            TRY(check_by_partition(place, stage, view->tables[t], &info));
        table->upstream = rows->upstream >= 0 ? place->stage_of_view[rows->upstream] : -1;
    }
    return 0;
}

static int set_late(struct place *place, struct stage *stage, int32_t partitions)
{
    struct port_topic info;
    const struct view *view = stage->view;
    bool is_distinct = view->distinct != NULL && stage->first_op <= view->distinct_op &&
                       view->distinct_op < stage->first_op + stage->op_count;
    bool is_windowed = view->is_windowed && stage->output != OUTPUT_CROSSING;
    bool has_time = stage->output == OUTPUT_SIDES && view->keyed == NULL;
    if (!is_windowed && !is_distinct && !has_time)
        return 0;
    set_name(stage->late_topic, "%s.late", stage->view->sink->topic, NULL, NULL);
    return ensure_topic(place, stage->late_topic, partitions, USE_ASIDE, &info);
}

static int set_output(struct place *place, struct stage *stage, int32_t partitions)
{
    const struct view *view = stage->view;
    struct port_topic info;
    bool is_table = plan_gives_changes(view);
    set_name(stage->output_topic, "%s", view->sink->topic, NULL, NULL);
    const struct weir_output_options *output = &view->sink->output;
    is_table |= output->compacts;
    if (view->sink->partitions_like != NULL) {
        TRY(place->port->ops->topic_describe(place->port, view->sink->partitions_like, &info,
                                             place->diag));
        partitions = info.partitions;
    }
    TRY(topic_ensure(
        place->port, stage->output_topic, output->partitions > 0 ? output->partitions : partitions,
        is_table ? USE_TABLE : USE_STREAM, view->rekey_field, output, &info, place->diag));
    if (view->rekey != NULL && info.partitioned_by[0] != '\0' &&
        (view->rekey_field == NULL || strcmp(info.partitioned_by, view->rekey_field) != 0))
        return diag_set(place->diag, ERR_STATE,
                        "topic %s is partitioned by %s, and weir_rekey would put rows elsewhere: "
                        "write to another topic",
                        stage->output_topic, info.partitioned_by);
    stage->output_partitions = info.partitions;
    ptrdiff_t number = view->lead - place->plan->views;
    if (place->stages_of_view[number]++ == 0)
        place->stage_of_view[number] = (int)(stage - place->plan->stages);
    return 0;
}

/* The changelog's name has the stage's in it, of an arm view-from-source. */
static int set_store(struct place *place, struct stage *stage)
{
    struct port_topic info;
    char name[TOPIC_NAME_BYTES];
    TRY(plan_changelog_name(place->plan->app->name, stage->name, name, place->diag));
    for (const struct stage *other = place->plan->stages; other < stage; other++)
        if (strcmp(other->changelog_topic, name) == 0)
            return diag_set(place->diag, ERR_INVALID,
                            "the states of stages %s and %s would both be kept in topic %s: give "
                            "one of their outputs another name",
                            other->name, stage->name, name);
    memcpy(stage->changelog_topic, name, sizeof name);
    TRY(ensure_topic(place, stage->changelog_topic, stage->partitions, USE_CHANGELOG, &info));
    memcpy(stage->changelog_id, info.id, sizeof stage->changelog_id);
    return 0;
}

/* Of a stage whose operators on rows keep some. */
static int set_row_store(struct place *place, struct stage *stage)
{
    for (uint32_t i = 0; i < stage->op_count; i++)
        if (stage->ops[i].type->save != NULL)
            return set_store(place, stage);
    return 0;
}

static bool groups_lie_right(const struct view *view, const struct port_topic *info)
{
    return info->partitions == 1 ||
           (view->group_field != NULL &&
            strcmp(view->source->partitioned_by != NULL ? view->source->partitioned_by
                                                        : info->partitioned_by,
                   view->group_field) == 0);
}

bool plan_must_rekey(const struct view *view, const struct port_topic *source)
{
    return view->group != NULL &&
           (view->lead->arm_count > 1 || plan_keeps_rows(view) || !groups_lie_right(view, source));
}

bool plan_must_cross(const struct view *view, const struct port_topic *source)
{
    return view->distinct != NULL && (view->lead->arm_count > 1 || source->partitions > 1);
}

/* A source stage for each arm, which all end together. With `crosses`, the steps before the distinct
 * operator alone. */
static int add_arms(struct place *place, const struct view *lead, bool crosses,
                    struct stage **first, int32_t *partitions)
{
    struct port_topic source;
    *first = NULL;
    *partitions = 0;
    for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm) {
        TRY(describe_source(place, arm, &source));
        struct stage *stage = add_stage(place, arm, INPUT_ROWS);
        *first = *first == NULL ? stage : *first;
        stage->first_arm = (uint32_t)(*first - place->plan->stages);
        stage->arm_count = lead->arm_count;
        set_source(place, stage, &source);
        TRY(set_ops(place, stage, 0, crosses ? arm->distinct_op : arm->op_count));
        if (source.partitions > *partitions)
            *partitions = source.partitions;
    }
    if (*partitions > place->plan->dlq_partitions)
        place->plan->dlq_partitions = *partitions;
    return 0;
}

/* The stage of a view that reads what `count` stages from `first` on write to an internal topic. */
static struct stage *add_behind(struct place *place, const struct stage *first, uint32_t count,
                                enum stage_input input, const struct port_topic *info)
{
    struct stage *stage = add_stage(place, first->view->lead, input);
    set_name(stage->name, "%s", stage->view->sink->topic, NULL, NULL);
    memcpy(stage->input_topic, first->output_topic, sizeof stage->input_topic);
    memcpy(stage->input_id, info->id, sizeof stage->input_id);
    stage->partitions = info->partitions;
    stage->upstream = (int)(first - place->plan->stages);
    stage->upstream_count = count;
    return stage;
}

/* An internal topic between two stages, <app>-<view>-<what>, which `count` stages from `first` on
 * write. */
static int set_between(struct place *place, struct stage *first, uint32_t count, const char *what,
                       enum stage_output output, int32_t partitions, struct port_topic *info)
{
    char topic[TOPIC_NAME_BYTES];
    set_name(topic, "%s-%s-%s", place->plan->app->name, first->view->sink->topic, what);
    TRY(ensure_topic(place, topic, partitions, USE_REPARTITION, info));
    for (struct stage *stage = first; stage < first + count; stage++) {
        memcpy(stage->output_topic, topic, sizeof topic);
        stage->output = output;
        stage->output_partitions = info->partitions;
        stage->tells_ends = true;
    }
    return 0;
}

/* Partial sums of what the stages read, and the stage that merges them. */
static int place_rekeyed(struct place *place, struct stage *first, uint32_t count,
                         int32_t partitions)
{
    struct port_topic info;
    TRY(set_between(place, first, count, "repartition", OUTPUT_PARTIALS, partitions, &info));
    for (struct stage *stage = first; stage < first + count; stage++) {
        if (stage->view->lead->arm_count == 1 || stage->input == INPUT_CROSSED)
            set_name(stage->name, "%s-repartition", stage->view->sink->topic, NULL, NULL);
        TRY(set_row_store(place, stage));
        TRY(set_late(place, stage, partitions));
        add_group_op(stage, "preaggregate");
    }
    struct stage *second = add_behind(place, first, count, INPUT_PARTIALS, &info);
    second->output = OUTPUT_VIEW;
    add_group_op(second, "merge");
    TRY(set_store(place, second));
    return set_output(place, second, second->partitions);
}

static int place_rows(struct place *place, struct stage *first, uint32_t count, int32_t partitions)
{
    for (struct stage *stage = first; stage < first + count; stage++) {
        stage->output = stage->view->keyed != NULL ? OUTPUT_TABLE
                        : stage->view->is_mapped   ? OUTPUT_ROWS
                                                   : OUTPUT_PASS;
        TRY(set_row_store(place, stage));
        TRY(set_late(place, stage, partitions));
        TRY(set_output(place, stage, partitions));
    }
    return 0;
}

/* The steps before the distinct operator, and the stage that goes on with it. */
static int place_crossed(struct place *place, const struct view *view, struct stage **stage,
                         int32_t *partitions)
{
    struct port_topic info;
    struct stage *first;
    TRY(add_arms(place, view, true, &first, partitions));
    TRY(set_between(place, first, view->arm_count, "distinct", OUTPUT_CROSSING, *partitions,
                    &info));
    for (struct stage *arm = first; arm < first + view->arm_count; arm++) {
        if (view->arm_count == 1)
            set_name(arm->name, "%s-distinct", view->sink->topic, NULL, NULL);
        TRY(set_row_store(place, arm));
        arm->ops[arm->op_count++] =
            (struct op_spec){op_type_find("rekey"), &arm->view->distinct->key};
    }
    *stage = add_behind(place, first, view->arm_count, INPUT_CROSSED, &info);
    return set_ops(place, *stage, view->distinct_op, view->op_count);
}

/* Both sides of a join of two streams or tables, and the stage where they meet. */
static int place_joined(struct place *place, const struct view *view)
{
    struct port_topic info;
    struct stage *first;
    int32_t partitions;
    TRY(add_arms(place, view, false, &first, &partitions));
    TRY(set_between(place, first, view->arm_count, "repartition", OUTPUT_SIDES, partitions, &info));
    for (struct stage *arm = first; arm < first + view->arm_count; arm++) {
        TRY(set_row_store(place, arm));
        TRY(set_late(place, arm, partitions));
    }
    struct stage *second = add_behind(place, first, view->arm_count, INPUT_SIDES, &info);
    second->view = view->joined;
    second->output = view->joined->keyed != NULL ? OUTPUT_TABLE : OUTPUT_ROWS;
    TRY(set_ops(place, second, 0, view->joined->op_count));
    TRY(set_store(place, second));
    return set_output(place, second, second->partitions);
}

static int place_view(struct place *place, const struct view *view)
{
    struct port_topic source;
    struct stage *stage;
    int32_t partitions;
    uint32_t count = view->arm_count;
    if (view->joined != NULL)
        return place_joined(place, view);
    TRY(describe_source(place, view, &source));
    if (plan_must_cross(view, &source)) {
        TRY(place_crossed(place, view, &stage, &partitions));
        count = 1;
    } else {
        TRY(add_arms(place, view, false, &stage, &partitions));
    }
    if (view->group == NULL)
        return place_rows(place, stage, count, partitions);
    if (plan_must_rekey(view, &source))
        return place_rekeyed(place, stage, count, partitions);
    stage->output = OUTPUT_VIEW;
    stage->check_placement = partitions > 1;
    add_group_op(stage, "aggregate");
    TRY(set_store(place, stage));
    TRY(set_late(place, stage, partitions));
    return set_output(place, stage, partitions);
}

/* Another view that is to be placed writes the topic. */
static bool is_to_come(const struct place *place, const char *topic)
{
    for (uint32_t i = 0; topic != NULL && i < place->plan->view_count; i++)
        if (place->stage_of_view[i] < 0 && strcmp(place->plan->views[i].sink->topic, topic) == 0)
            return true;
    return false;
}

/* What it reads of this app, and what it goes by, has been placed. */
static bool can_be_placed(const struct place *place, const struct view *view)
{
    if (is_to_come(place, view->sink->partitions_like))
        return false;
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm) {
        if (arm->upstream >= 0 && place->stage_of_view[arm->upstream] < 0)
            return false;
        for (uint32_t t = 0; t < arm->table_count; t++) {
            int upstream = arm->tables[t]->rows.upstream;
            if (upstream >= 0 && place->stage_of_view[upstream] < 0)
                return false;
        }
    }
    return true;
}

static int place_all(struct place *place)
{
    struct plan *plan = place->plan;
    for (uint32_t placed = 0; placed < plan->view_count;)
        for (uint32_t i = 0; i < plan->view_count; i++) {
            const struct view *view = &plan->views[i];
            if (place->stage_of_view[i] >= 0 || !can_be_placed(place, view))
                continue;
            TRY(place_view(place, view));
            placed++;
        }
    return 0;
}

/* A missing source is an error before anything is created, and so is a topic with another number of
 * partitions than was asked for. */
static int check_source(struct place *place, const struct view *view)
{
    struct port_topic info;
    if (view->upstream >= 0)
        return 0;
    TRY(describe_source(place, view, &info));
    return check_partitions(place, view->source->text, info.partitions, view->source->partitions);
}

static int check_topics(struct place *place)
{
    struct port_topic info;
    for (uint32_t i = 0; i < place->plan->view_count; i++) {
        const struct view *lead = &place->plan->views[i];
        for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm) {
            TRY(check_source(place, arm));
            for (uint32_t t = 0; t < arm->table_count; t++)
                TRY(check_source(place, &arm->tables[t]->rows));
        }
        if (lead->sink->output.partitions > 0 &&
            place->port->ops->topic_describe(place->port, lead->sink->topic, &info, NULL) == 0)
            TRY(check_partitions(place, lead->sink->topic, info.partitions,
                                 lead->sink->output.partitions));
    }
    return 0;
}

static int begin_place(struct place *place)
{
    struct plan *plan = place->plan;
    size_t most = 2 * (size_t)plan->view_count; /* what crosses, and partial sums */
    for (uint32_t i = 0; i < plan->view_count; i++)
        most += plan->views[i].arm_count;
    free(plan->stages);
    plan->stage_count = 0;
    plan->stages = calloc(most + 1, sizeof *plan->stages);
    place->stage_of_view = calloc(plan->view_count + 1, sizeof *place->stage_of_view);
    place->stages_of_view = calloc(plan->view_count + 1, sizeof *place->stages_of_view);
    if (plan->stages == NULL || place->stage_of_view == NULL || place->stages_of_view == NULL)
        return diag_set(place->diag, ERR_NOMEM, "no memory for the plan");
    for (uint32_t i = 0; i < plan->view_count; i++)
        place->stage_of_view[i] = -1;
    return 0;
}

int plan_place(struct plan *plan, struct port *port, struct diag *diag)
{
    struct port_topic info;
    struct place place = {.plan = plan, .port = port, .diag = diag};
    int rc = begin_place(&place);
    if (rc == 0)
        rc = check_topics(&place);
    if (rc == 0)
        rc = place_all(&place);
    if (rc == 0)
        rc = ensure_topic(&place, plan->progress_topic, 1, USE_PROGRESS, &info);
    if (rc == 0)
        rc = ensure_topic(&place, plan->dlq_topic, plan->dlq_partitions, USE_ASIDE, &info);
    if (rc == 0) {
        plan->dlq_partitions = info.partitions;
        plan_settle_time(plan);
        plan_settle_reads(plan);
    }
    free(place.stage_of_view);
    free(place.stages_of_view);
    return rc;
}
