/* weir_reset.c: weir_app_reset: where pipelines of an app are to begin, what that takes with it, and
 * the act (reset.h).
 *
 * All that is asked is checked before anything is written, so that a dry run and the act give the
 * same answer. A target that does not exist is refused, not moved to the nearest offset as for a
 * consumer group: what would be missing is missing in results, where nobody sees it. A time is no such
 * target: there is a first record from then on, or none yet. */
#include "runtime/reset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weir_handle.h"

/* What goes with a pipeline's reset. Gathered once: others may use the log meanwhile. */
struct effect {
    const char *view, *kind, *effect; /* the first of the reset, the others constant */
    char name[600];
    int64_t records;
};
struct request {
    struct reset reset;
    struct effect *effects;
    size_t effect_count;
    struct progress_set set;
    const weir_app_reset_options *options;
};

/* ---- what is asked ---- */

static int check_options(const weir_app_reset_options *options, struct diag *diag)
{
    TRY(reserved_check(options->reserved, "weir_app_reset_options", diag));
    if (options->to == WEIR_RESET_BY_SHIFT)
        return diag_set(diag, ERR_UNSUPPORTED,
                        "an app is reset to the beginning, the end, offsets or a time");
    if ((int)options->to < 0 || options->to > WEIR_RESET_BY_SHIFT)
        return diag_set(diag, ERR_INVALID, "to %d is not one of enum weir_reset_to",
                        (int)options->to);
    if ((int)options->outputs < 0 || options->outputs > WEIR_OUTPUTS_KEEP)
        return diag_set(diag, ERR_INVALID, "outputs %d is not one of enum weir_outputs",
                        (int)options->outputs);
    if (options->to == WEIR_RESET_TO_OFFSET ? options->offsets == NULL || options->offset_count == 0
                                            : options->offset_count > 0)
        return diag_set(diag, ERR_INVALID,
                        "offsets go with WEIR_RESET_TO_OFFSET, and that with offsets");
    return 0;
}

static int choose(struct request *request, struct diag *diag)
{
    struct reset *reset = &request->reset;
    const char *topic = request->options->topic;
    bool any = false;
    for (uint32_t i = 0; i < reset->view_count; i++) {
        struct reset_view *view = &reset->views[i];
        view->is_chosen = topic == NULL || strcmp(view->name, topic) == 0;
        view->clears = request->options->outputs == WEIR_OUTPUTS_CLEAR;
        any |= view->is_chosen;
    }
    if (!any)
        return topic != NULL
                   ? diag_set(diag, ERR_NOT_FOUND, "no pipeline of app %s has written topic %s",
                              reset->app, topic)
                   : diag_set(diag, ERR_NOT_FOUND, "app %s has nothing to forget: it never ran",
                              reset->app);
    reset_spread(reset);
    return 0;
}

/* ---- targets ---- */

/* The offset that is asked for a partition; used[i]: some stage has it. */
static const weir_offset *find_offset(const weir_app_reset_options *options, const char *topic,
                                      int32_t partition, bool *used)
{
    for (size_t i = 0; i < options->offset_count; i++) {
        const weir_offset *offset = &options->offsets[i];
        if (offset->topic == NULL || offset->partition != partition ||
            strcmp(offset->topic, topic) != 0)
            continue;
        used[i] = true;
        return offset;
    }
    return NULL;
}

static int set_offset(const struct request *request, struct reset_stage *stage, int32_t partition,
                      const struct port_range *range, bool *used, struct diag *diag)
{
    const weir_offset *offset = find_offset(request->options, stage->topic, partition, used);
    if (offset == NULL)
        return diag_set(diag, ERR_INVALID,
                        "no offset is given for %s-%d, which %s reads: each partition needs one "
                        "(it has %lld to %lld)",
                        stage->topic, (int)partition, request->reset.views[stage->view].name,
                        (long long)range->start, (long long)range->stable);
    if (offset->offset < range->start)
        return diag_set(diag, ERR_RANGE,
                        "%s-%d starts at offset %lld: the records from %lld on were removed "
                        "(retention.ms, retention.bytes or delete-records). Begin at %lld, or at "
                        "the beginning",
                        stage->topic, (int)partition, (long long)range->start,
                        (long long)offset->offset, (long long)range->start);
    if (offset->offset > range->stable)
        return diag_set(diag, ERR_RANGE, "%s-%d ends at offset %lld, before %lld", stage->topic,
                        (int)partition, (long long)range->stable, (long long)offset->offset);
    stage->inputs[partition].target = offset->offset;
    return 0;
}

static int set_time(const struct request *request, struct reset_stage *stage, int32_t partition,
                    const struct port_range *range, bool *any, struct diag *diag)
{
    struct reset_input *input = &stage->inputs[partition];
    int64_t offset;
    TRY(request->reset.port->ops->offset_at(request->reset.port, stage->topic, partition,
                                            request->options->number, &offset, diag));
    bool found = offset >= 0 && offset < range->stable;
    *any |= found;
    input->target = found ? offset : range->stable;
    if (!found)
        input->note = "no record is as new: it begins with the next one";
    else if (offset == range->start && range->start > 0)
        input->note = "records before it were removed: some may have been as new";
    return 0;
}

static int set_target(const struct request *request, struct reset_stage *stage, int32_t partition,
                      bool *any, bool *used, struct diag *diag)
{
    const struct port *port = request->reset.port;
    struct reset_input *input = &stage->inputs[partition];
    struct port_range range;
    TRY(port->ops->range(request->reset.port, stage->topic, partition, &range, diag));
    input->target = range.stable;
    if (stage->start == START_BEHIND) {
        input->note = "the end of what lies there: it begins with the first row of the new life";
        return 0;
    }
    stage->start = START_AT_POSITION;
    *any |= request->options->to != WEIR_RESET_TO_TIME;
    switch (request->options->to) {
    case WEIR_RESET_TO_OFFSET:
        return set_offset(request, stage, partition, &range, used, diag);
    case WEIR_RESET_TO_TIME:
        return set_time(request, stage, partition, &range, any, diag);
    case WEIR_RESET_TO_EARLIEST: /* also if more of it goes before the app runs */
        stage->start = START_AT_BEGINNING;
        input->target = range.start;
        if (range.start > 0)
            input->note = "the records before it were removed";
        return 0;
    default:
        return 0;
    }
}

static int set_targets(struct request *request, bool *used, struct diag *diag)
{
    struct reset *reset = &request->reset;
    bool any = false;
    for (uint32_t s = 0; s < reset->stage_count; s++) {
        struct reset_stage *stage = &reset->stages[s];
        if (!reset->views[stage->view].is_chosen)
            continue;
        if (stage->topic[0] == '\0')
            return diag_set(diag, ERR_NOT_FOUND,
                            "the topic that %s has read was deleted: run it with from_beginning",
                            reset->views[stage->view].name);
        for (int32_t p = 0; p < stage->partitions; p++)
            TRY(set_target(request, stage, p, &any, used, diag));
    }
    if (!any)
        return diag_set(diag, ERR_RANGE,
                        "no source has a record with a timestamp of %lld or later: to begin with "
                        "what comes next, reset to the end",
                        (long long)request->options->number);
    for (size_t i = 0; i < request->options->offset_count; i++)
        if (!used[i])
            return diag_set(diag, ERR_INVALID,
                            "no pipeline that starts anew reads %s-%d from an offset of your "
                            "choice: leave it out",
                            request->options->offsets[i].topic != NULL
                                ? request->options->offsets[i].topic
                                : "(NULL)",
                            (int)request->options->offsets[i].partition);
    return 0;
}

/* ---- the plan ---- */

static int64_t count_records(const struct request *request, const char *topic, int32_t *partitions)
{
    const struct port_ops *ops = request->reset.port->ops;
    struct port_topic info;
    struct port_range range;
    int64_t records = 0;
    *partitions = 0;
    if (ops->topic_describe(request->reset.port, topic, &info, NULL) < 0)
        return -1;
    *partitions = info.partitions;
    for (int32_t p = 0; p < info.partitions; p++)
        if (ops->range(request->reset.port, topic, p, &range, NULL) == 0)
            records += range.stable - range.start;
    return records;
}

static int add_effect(struct request *request, const char *view, const char *kind, const char *name,
                      const char *effect, int64_t records)
{
    struct effect *grown = realloc(request->effects, (request->effect_count + 1) * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    request->effects = grown;
    struct effect *added = &grown[request->effect_count++];
    *added = (struct effect){.view = view, .kind = kind, .effect = effect, .records = records};
    snprintf(added->name, sizeof added->name, "%s", name);
    return 0;
}

static const char *output_effect(const struct request *request, const struct reset_view *view)
{
    switch (request->options->outputs) {
    case WEIR_OUTPUTS_CLEAR:
        return view->is_table ? "each row gets a tombstone" : "its records are removed";
    case WEIR_OUTPUTS_KEEP:
        return view->is_table ? "stays; new rows replace those with their keys"
                              : "stays; new rows come behind";
    default:
        return "must be said: clear or keep";
    }
}

struct reading {
    struct request *request;
    const struct reset_view *view;
};
/* Rows that it has had are of the old life, those to come of the new one. */
static int add_reader(void *context, const char *group, bool of_app)
{
    const struct reading *reading = context;
    if (strcmp(group, reading->request->reset.app) == 0)
        return 0;
    return add_effect(reading->request, reading->view->name, "reader", group,
                      of_app ? "an app: reset it too, or its results are of both lives"
                             : "a consumer group: gets the new rows behind the old ones",
                      0);
}

static const char is_made_anew[] = "is deleted and made anew";

static int add_store(void *context, const char *stage, const char *changelog)
{
    const struct reading *reading = context;
    const char *view = reading->view->name;
    char directory[600];
    int32_t partitions;
    int64_t records = count_records(reading->request, changelog, &partitions);
    if (records < 0)
        return 0;
    snprintf(directory, sizeof directory, "state/%s/%s", reading->request->reset.app, stage);
    TRY(add_effect(reading->request, view, "state", directory, is_made_anew, partitions));
    return add_effect(reading->request, view, "changelog", changelog, is_made_anew, records);
}

static int gather_effects(struct request *request, const struct reset_view *view, struct diag *diag)
{
    const struct port_ops *ops = request->reset.port->ops;
    const char *app = request->reset.app;
    struct reading reading = {request, view};
    char name[600];
    int32_t partitions;
    int64_t records;
    TRY(reset_each_store(&request->reset, view->name, add_store, &reading, diag));
    for (size_t i = 0; i < RESET_BETWEEN; i++) {
        snprintf(name, sizeof name, "%s-%s-%s", app, view->name, reset_between[i]);
        if ((records = count_records(request, name, &partitions)) >= 0)
            TRY(add_effect(request, view->name, "repartition", name, is_made_anew, records));
    }
    if ((records = count_records(request, view->name, &partitions)) < 0)
        return 0;
    TRY(add_effect(request, view->name, "output", view->name, output_effect(request, view),
                   records));
    return ops->readers(request->reset.port, view->name, add_reader, &reading, diag);
}

static int gather_all(struct request *request, struct diag *diag)
{
    const struct reset *reset = &request->reset;
    int rc = 0;
    for (uint32_t v = 0; rc == 0 && v < reset->view_count; v++)
        if (reset->views[v].is_chosen)
            rc = gather_effects(request, &reset->views[v], diag);
    return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory for the plan of a reset") : rc;
}

struct layout {
    weir_app_reset_plan *plan;
    char *text;
    size_t text_bytes; /* while it is measured: plan NULL */
    size_t row_count, effect_count;
};

static const char *lay_text(struct layout *layout, const char *text)
{
    layout->text_bytes += strlen(text) + 1;
    return layout->plan != NULL ? block_text(&layout->text, text) : NULL;
}

static void lay_row(const struct request *request, const struct reset_stage *stage,
                    int32_t partition, struct layout *layout)
{
    const struct reset_input *input = &stage->inputs[partition];
    struct port_range range = {.start = -1, .stable = -1};
    weir_app_reset_row row = {.topic = lay_text(layout, request->reset.views[stage->view].name),
                              .source = lay_text(layout, stage->topic),
                              .partition = partition,
                              .old_offset = input->position,
                              .new_offset = input->target,
                              .note = lay_text(layout, input->note != NULL ? input->note : "")};
    (void)request->reset.port->ops->range(request->reset.port, stage->topic, partition, &range,
                                          NULL);
    row.start_offset = range.start;
    row.end_offset = range.stable;
    if (layout->plan != NULL)
        layout->plan->rows[layout->row_count] = row;
    layout->row_count++;
}

static void lay_effect(const struct effect *effect, struct layout *layout)
{
    weir_app_reset_effect laid = {.topic = lay_text(layout, effect->view),
                                  .kind = lay_text(layout, effect->kind),
                                  .name = lay_text(layout, effect->name),
                                  .effect = lay_text(layout, effect->effect),
                                  .records = effect->records};
    if (layout->plan != NULL)
        layout->plan->effects[layout->effect_count] = laid;
    layout->effect_count++;
}

static void lay_all(const struct request *request, struct layout *layout)
{
    const struct reset *reset = &request->reset;
    layout->row_count = layout->effect_count = layout->text_bytes = 0;
    for (size_t i = 0; i < request->effect_count; i++)
        lay_effect(&request->effects[i], layout);
    for (uint32_t v = 0; v < reset->view_count; v++)
        for (uint32_t s = 0; s < reset->stage_count; s++)
            for (int32_t p = 0; reset->views[v].is_chosen && reset->stages[s].view == v &&
                                p < reset->stages[s].partitions;
                 p++)
                lay_row(request, &reset->stages[s], p, layout);
}

static int lay_out(struct request *request, weir_app_reset_plan **plan, struct diag *diag)
{
    struct layout layout = {.plan = NULL};
    TRY(gather_all(request, diag));
    lay_all(request, &layout);
    size_t row_bytes = layout.row_count * sizeof(weir_app_reset_row);
    size_t effect_bytes = layout.effect_count * sizeof(weir_app_reset_effect);
    layout.plan = calloc(1, sizeof *layout.plan + row_bytes + effect_bytes + layout.text_bytes + 1);
    if (layout.plan == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the plan of a reset");
    layout.plan->rows = (weir_app_reset_row *)(layout.plan + 1);
    layout.plan->effects = (weir_app_reset_effect *)((char *)layout.plan->rows + row_bytes);
    layout.text = (char *)layout.plan->effects + effect_bytes;
    lay_all(request, &layout);
    layout.plan->row_count = layout.row_count;
    layout.plan->effect_count = layout.effect_count;
    *plan = layout.plan;
    return 0;
}

/* ---- the act ---- */

static int need_outputs(const struct request *request, struct diag *diag)
{
    const struct reset *reset = &request->reset;
    int32_t partitions;
    for (uint32_t i = 0; i < reset->view_count; i++)
        if (reset->views[i].is_chosen && request->options->outputs == WEIR_OUTPUTS_UNSAID &&
            count_records(request, reset->views[i].name, &partitions) > 0)
            return diag_set(diag, ERR_INVALID,
                            "topic %s holds rows of the pipeline's old life: say whether outputs "
                            "are cleared or kept",
                            reset->views[i].name);
    return 0;
}

/* What a crash left half done is ended first: then positions are what they are. */
static int read_progress(struct request *request, struct diag *diag)
{
    struct reset *reset = &request->reset;
    struct port_topic info;
    bool begun = false;
    int rc = reset->port->ops->topic_describe(reset->port, reset->progress_topic, &info, NULL);
    if (rc < 0)
        return rc == ERR_NOT_FOUND
                   ? diag_set(diag, rc, "app %s never ran on this log: topic %s is missing",
                              reset->app, reset->progress_topic)
                   : diag_set(diag, rc, "topic %s: %s", reset->progress_topic, error_text(rc));
    TRY(progress_load(reset->port, reset->progress_topic, &request->set, diag));
    for (uint32_t i = 0; i < request->set.count; i++)
        begun |= request->set.items[i].is_reset;
    if (begun && request->options->execute) {
        TRY(reset_finish(reset, diag));
        reset_deinit(reset);
    }
    return reset_survey(reset, diag);
}

/* Behind what a pipeline begins that reads another one's topic is known only now. */
static void tell_begins(const struct request *request, weir_app_reset_plan *plan)
{
    const struct reset *reset = &request->reset;
    for (size_t i = 0; i < plan->row_count; i++)
        for (uint32_t s = 0; s < reset->stage_count; s++) {
            const struct reset_stage *stage = &reset->stages[s];
            weir_app_reset_row *row = &plan->rows[i];
            const struct progress *begin =
                progress_set_begin(reset->set, row->topic, stage->topic_id, row->partition);
            if (stage->start == START_BEHIND && begin != NULL &&
                strcmp(stage->topic, row->source) == 0)
                row->new_offset = begin->position;
        }
}

static int plan_and_act(struct request *request, bool *used, weir_app_reset_plan **plan,
                        struct diag *diag)
{
    TRY(read_progress(request, diag));
    TRY(choose(request, diag));
    TRY(set_targets(request, used, diag));
    if (!request->options->execute)
        return plan != NULL ? lay_out(request, plan, diag) : 0;
    TRY(need_outputs(request, diag));
    if (plan != NULL)
        TRY(lay_out(request, plan, diag)); /* before what it tells of is gone */
    TRY(reset_execute(&request->reset, diag));
    if (plan != NULL)
        tell_begins(request, *plan);
    return 0;
}

int weir_app_reset(weir_log *log, const char *app, const weir_app_reset_options *options,
                   weir_app_reset_plan **plan)
{
    struct diag diag = {.code = 0};
    struct request request = {.options = options};
    struct port *port = NULL;
    if (plan != NULL)
        *plan = NULL;
    TRY(handle_need(log, "app", app));
    TRY(handle_need(log, "options", options));
    int rc = check_options(options, &diag);
    bool *used = rc == 0 ? calloc(options->offset_count + 1, sizeof *used) : NULL;
    if (rc == 0 && used == NULL)
        rc = diag_set(&diag, ERR_NOMEM, "no memory for a reset");
    if (rc == 0)
        rc = port_log_share(log, app, &port, &diag);
    if (rc == 0)
        rc = reset_init(&request.reset, port, app, weir_log_dir(log), &request.set, &diag);
    if (rc == 0)
        rc = plan_and_act(&request, used, plan, &diag);
    if (rc < 0 && plan != NULL) {
        free(*plan);
        *plan = NULL;
    }
    reset_deinit(&request.reset);
    free(request.effects);
    progress_set_deinit(&request.set);
    if (port != NULL)
        port->ops->close(port);
    free(used);
    return handle_result(rc, &diag);
}
