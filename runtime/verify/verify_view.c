/* verify_view.c: the way of a verification (see README.md): which view, what it reads, the rows, the
 * results, what is compared.
 *
 * The engine stands still meanwhile, since it needs the data directory for itself. So the committed
 * input positions, the output topic, the changelog and the store all say the same moment: that of
 * the last commit of each task. Everything is computed as of then.
 *
 * The plan is the engine's: texts to typed expressions, names of topics and stages. It is placed on
 * the topics through a door that creates nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/agg_function.h"
#include "operators/function.h"
#include "runtime/app_views.h"
#include "runtime/verify/verify_parts.h"

enum { READ_ROWS = 256, LOOK_EVERY = 1024 };

void verify_tell(struct verify *v, const struct verify_difference *difference)
{
    v->report->differences++;
    v->options->each(v->options->context, difference);
}

void verify_tell_output(struct verify *v, const char *kind, int32_t partition, int64_t offset,
                        struct bytes key, struct bytes expected, struct bytes found,
                        const char *text)
{
    struct verify_difference difference = {.kind = kind,
                                           .where = "output",
                                           .topic = v->final->output_topic,
                                           .partition = partition,
                                           .offset = offset,
                                           .key = key,
                                           .expected = expected,
                                           .found = found,
                                           .text = text};
    verify_tell(v, &difference);
}

int verify_no_memory(struct verify *v)
{
    return diag_set(v->diag, ERR_NOMEM, "no memory to verify %s: its results are kept in memory",
                    v->options->view);
}

int verify_look(struct verify *v)
{
    if (v->looks++ % LOOK_EVERY != 0)
        return 0;
    int64_t most = v->options->memory_bytes > 0 ? v->options->memory_bytes : VERIFY_MEMORY_BYTES;
    if (verify_held() - v->held_before > most)
        return diag_set(v->diag, ERR_TOO_LARGE,
                        "%s cannot be verified in %lld MiB of memory: what its rows come to is "
                        "kept there until it is compared",
                        v->options->view, (long long)(most >> 20));
    return v->options->is_stopped != NULL && v->options->is_stopped(v->options->context)
               ? ERR_STOPPED
               : 0;
}

static int read_rows(struct verify *v, struct port_reader *reader, int64_t from, int64_t to,
                     int (*each)(void *context, const struct source_row *row), void *context)
{
    struct source_row rows[READ_ROWS];
    uint32_t count;
    int64_t next = from, before;
    do {
        before = next;
        TRY(v->port->ops->reader_read(reader, rows, READ_ROWS, &count, &next, v->diag));
        for (uint32_t i = 0; i < count; i++) {
            if (rows[i].offset >= to)
                return 0;
            int rc = verify_look(v);
            if (rc == 0)
                rc = each(context, &rows[i]);
            if (rc != 0)
                return rc < 0 ? rc : 0;
        }
    } while (next < to && next != before);
    return 0;
}

int verify_read(struct verify *v, const char *topic, int32_t partition, int64_t from, int64_t to,
                int (*each)(void *context, const struct source_row *row), void *context)
{
    struct port_reader *reader;
    if (from >= to)
        return 0;
    TRY(v->port->ops->reader_open(v->port, topic, partition, from, &reader, v->diag));
    int rc = read_rows(v, reader, from, to, each, context);
    v->port->ops->reader_close(reader);
    return rc;
}

int verify_read_unread(struct verify *v, const struct stage *stage,
                       int (*each)(void *context, const struct source_row *row), void *context)
{
    for (int32_t p = 0; p < stage->partitions; p++) {
        const struct progress *progress = progress_set_find(&v->progress, stage->name, p);
        struct port_range range;
        TRY(v->port->ops->range(v->port, stage->input_topic, p, &range, v->diag));
        int64_t from = range.start;
        if (progress != NULL && !progress->is_begin && !progress->is_reset &&
            progress->position > from)
            from = progress->position;
        TRY(verify_read(v, stage->input_topic, p, from, range.stable, each, context));
    }
    return 0;
}

int verify_output_range(struct verify *v, int32_t partition, struct port_range *range)
{
    int64_t from = INT64_MAX;
    const char *topic = v->final->output_topic;
    TRY(v->port->ops->range(v->port, topic, partition, range, v->diag));
    for (uint32_t i = 0; i < v->progress.count; i++) {
        const struct progress *progress = &v->progress.items[i];
        bool is_writer = false;
        for (uint32_t s = 0; s < v->writer_count; s++)
            is_writer |= strcmp(progress->stage, v->writers[s].name) == 0;
        if (!is_writer || progress->is_begin || progress->is_reset)
            continue;
        int64_t its =
            (uint32_t)partition < progress->from_count ? progress->output_from[partition] : 0;
        from = its < from ? its : from;
    }
    if (from != INT64_MAX && from > range->start)
        range->start = from;
    return 0;
}

/* ---- which view ---- */

int verify_find_app(const char *data, const char *view, char app[250], struct diag *diag)
{
    return app_views_find(data, view, app, diag);
}

int verify_find_topic(const char *data, const char *app, const char *view, char topic[250],
                      struct diag *diag)
{
    return app_views_topic(data, app, view, topic, diag);
}

static int no_topic(struct port *port, const char *topic, int32_t partitions,
                    const struct port_setting *settings, size_t setting_count, struct diag *diag)
{
    (void)port;
    (void)partitions;
    (void)settings;
    (void)setting_count;
    return diag_set(diag, ERR_NOT_FOUND,
                    "topic %s, which the app writes, does not exist: nothing can be compared",
                    topic);
}

/* Placing makes the topics that are missing; here a missing one is an error. */
static int place(struct verify *v)
{
    const struct port_ops *ops = v->port->ops;
    struct port_ops only_looks = *ops;
    only_looks.topic_create = no_topic;
    v->port->ops = &only_looks;
    int rc = plan_place(v->plan, v->port, v->diag);
    v->port->ops = ops;
    return rc;
}

static int find_view(struct verify *v)
{
    for (uint32_t i = 0; i < v->plan->view_count && v->view == NULL; i++)
        if (strcmp(v->plan->views[i].sink->topic, v->options->view) == 0)
            v->view = &v->plan->views[i];
    return v->view != NULL ? 0
                           : diag_set(v->diag, ERR_NOT_FOUND, "app %s has no view %s",
                                      v->options->app, v->options->view);
}

static int find_stages(struct verify *v)
{
    for (uint32_t i = 0; i < v->plan->stage_count; i++) {
        const struct stage *stage = &v->plan->stages[i];
        if (stage->view->lead != v->view && stage->view != v->view->joined)
            continue;
        if (stage->input == INPUT_SIDES)
            v->met = stage;
        if (stage->input == INPUT_PARTIALS)
            v->is_rekeyed = true;
        if (stage->input == INPUT_CROSSED)
            v->crossed = stage;
        if (v->sources == NULL)
            v->sources = stage;
        v->final = stage;
    }
    must(v->sources != NULL);
    bool is_of_all = !v->is_rekeyed && v->crossed == NULL && v->met == NULL;
    v->writers = is_of_all ? v->sources : v->final;
    v->writer_count = is_of_all ? v->sources->arm_count : 1;
    return 0;
}

static int refuse(struct verify *v, const char *what, const char *name)
{
    return diag_set(v->diag, ERR_UNSUPPORTED,
                    "%s cannot be recomputed from its records: %s %s of the app's program decides "
                    "what becomes of them",
                    v->options->view, what, name);
}

static int check_steps(struct verify *v, const struct view *arm)
{
    static const char *const known[] = {"filter",    "check",       "map",        "rekey", "unnest",
                                        "peek",      "distinct",    "join",       "keyed", "latest",
                                        "join_side", "join_within", "join_tables"};
    for (uint32_t i = 0; i < arm->op_count; i++) {
        const char *name = arm->ops[i].type->name;
        bool is_known = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            is_known |= strcmp(name, known[k]) == 0;
        const char *end = strrchr(name, '_');
        if (!is_known && end != NULL && strcmp(end, "_fn") == 0)
            return refuse(v, "the function",
                          ((const struct function_params *)arm->ops[i].params)->name);
        if (!is_known)
            return diag_set(v->diag, ERR_UNSUPPORTED,
                            "%s cannot be verified: it has a step that verify does not recompute "
                            "(%s)",
                            v->options->view, name);
    }
    return 0;
}

/* What is decided in C is nowhere in the records. */
static int check_arms(struct verify *v)
{
    if (v->view->joined != NULL)
        TRY(check_steps(v, v->view->joined));
    for (const struct view *arm = v->view; arm != NULL; arm = arm->next_arm) {
        const struct format *formats[] = {arm->source->format, arm->format};
        TRY(check_steps(v, arm));
        for (uint32_t t = 0; t < arm->table_count; t++)
            TRY(check_steps(v, &arm->tables[t]->rows));
        for (size_t i = 0; i < 2; i++)
            if (format_of_user(v->app, 0, formats[i]->name) != NULL)
                return refuse(v, "the format", formats[i]->name);
        if (arm->group != NULL && arm->group->function != NULL)
            return refuse(v, "the aggregate function", arm->group->function->params->name);
    }
    return 0;
}

/* In which order rows came behind a de-duplication is not known, nor what they met there. */
static int check_tables(struct verify *v)
{
    if (v->crossed == NULL || v->crossed->table_count == 0)
        return 0;
    return diag_set(v->diag, ERR_UNSUPPORTED,
                    "%s cannot be verified: it joins with a table behind a de-duplication whose "
                    "rows meet in other partitions, and when they came there is not written down",
                    v->options->view);
}

/* A view that was started anew, and has not run since, has nothing to be compared with. */
static int check_progress(struct verify *v)
{
    for (uint32_t i = 0; i < v->progress.count; i++) {
        const struct progress *progress = &v->progress.items[i];
        char name[sizeof progress->view];
        progress_view(progress, name);
        if (strcmp(name, v->options->view) != 0)
            continue;
        if (progress->is_reset)
            return diag_set(v->diag, ERR_STATE,
                            "%s is being started anew: run %s, which ends that, and verify then",
                            v->options->view, v->options->app);
        if (!progress->is_begin && progress->plan_hash != v->view->plan_hash &&
            progress->state_hash != v->view->state_hash)
            return diag_set(v->diag, ERR_STATE,
                            "%s has changed since it last committed: run %s, and verify then",
                            v->options->view, v->options->app);
    }
    return 0;
}

static int open_view(struct verify *v)
{
    TRY(app_views_open(v->options->data, v->options->app, v->options->view, &v->app, &v->plan,
                       v->diag));
    TRY(find_view(v));
    TRY(check_arms(v));
    TRY(place(v));
    TRY(find_stages(v));
    TRY(check_tables(v));
    TRY(progress_load(v->port, v->plan->progress_topic, &v->progress, v->diag));
    TRY(check_progress(v));
    const struct group_params *group = v->view->group;
    v->report->is_rows = group == NULL;
    if (group == NULL)
        return 0;
    v->report->is_final = group->emit_final;
    v->report->is_windowed = v->view->is_windowed;
    v->calls =
        group->window.kind == WINDOW_SESSION ? group->session_call : group->aggregates->call_count;
    return 0;
}

/* ---- accounts and time ---- */

static void tell_progress(struct verify *v, const struct stage *stage, int32_t partition,
                          const char *kind, const char *expected, const char *found,
                          const char *text)
{
    struct verify_difference difference = {.kind = kind,
                                           .where = "progress",
                                           .topic = stage->name,
                                           .partition = partition,
                                           .offset = -1,
                                           .expected = bytes_text(expected),
                                           .found = bytes_text(found),
                                           .text = text};
    verify_tell(v, &difference);
}

/* Where it is not known which rows came first, only that some were dropped. */
static void join_fates(struct counts *counts)
{
    counts->applied +=
        counts->duplicate + counts->filtered + counts->dead + counts->unmatched - counts->rows_made;
    counts->duplicate = counts->filtered = counts->dead = counts->unmatched = 0;
    counts->rows_made = 0;
}

void verify_counts(struct verify *v, const struct stage *stage, int32_t partition,
                   const struct counts *expected_counts, const struct progress *progress, bool few)
{
    struct counts ours = *expected_counts, theirs = progress->counts;
    ours.out = theirs.out; /* of results one a commit: nobody can know how many */
    if (few) {
        join_fates(&ours);
        join_fates(&theirs);
    }
    for (int i = 0; i < COUNT_FIELDS; i++) {
        char expected[24], found[24], text[80];
        int64_t a = *counts_field(&ours, i), b = *counts_field(&theirs, i);
        if (a == b)
            continue;
        snprintf(expected, sizeof expected, "%" PRId64, a);
        snprintf(found, sizeof found, "%" PRId64, b);
        snprintf(text, sizeof text, "the account of rows: %s", count_names[i]);
        tell_progress(v, stage, partition, "count", expected, found, text);
    }
}

static void compare_times(const struct verify_source *source)
{
    const struct progress *progress = source->progress;
    char expected[24], found[24];
    /* A stage of rows may go by its writers' time because a reader of it asks. */
    bool is_known = source->stage->time == TIME_OF_ROWS &&
                    (source->arm->upstream < 0 || source->arm->is_windowed);
    if (!is_known || progress->watermark_ms == source->watermark_ms)
        return;
    snprintf(expected, sizeof expected, "%" PRId64, source->watermark_ms);
    snprintf(found, sizeof found, "%" PRId64, progress->watermark_ms);
    tell_progress(source->verify, source->stage, source->partition, "time", expected, found,
                  "the watermark");
}

static void take_counts(struct verify_outcome *report, const struct counts *counts)
{
    report->rows_read += counts->rows_in;
    report->made += counts->rows_made;
    report->applied += counts->applied;
    report->duplicate += counts->duplicate;
    report->unmatched += counts->unmatched;
    report->filtered += counts->filtered;
    report->late += counts->late;
    report->dead += counts->dead;
}

/* ---- the rows ---- */

/* Behind a re-keying no window closes before all sources have passed it. */
static void take_time(struct verify *v, const struct verify_source *source)
{
    if (source->stage->time != TIME_OF_ROWS)
        v->knows_time = false;
    if (source->watermark_ms < v->lowest_ms)
        v->lowest_ms = source->watermark_ms;
    if (!v->is_rekeyed && source->stage == v->final)
        v->times_ms[source->partition] = source->watermark_ms;
}

/* What becomes of the rows behind the steps. */
static int run_steps(struct verify *v, struct verify_source *source)
{
    if (v->crossed != NULL && !v->is_second)
        return verify_source_run(source, verify_cross_row, v);
    if (v->tables != NULL) {
        TRY(verify_source_run(source, verify_tables_row, v));
        return verify_tables_take(source);
    }
    if (source->arm->keyed != NULL) {
        TRY(verify_source_run(source, verify_table_row, v));
        return verify_table_finish(source);
    }
    return verify_source_run(source, v->rows != NULL ? verify_rows_row : verify_group_row, v);
}

static void judge_source(struct verify *v, const struct verify_source *source)
{
    struct counts counts = source->counts;
    if (v->crossed != NULL || v->met != NULL)
        counts.applied = 0; /* they go on */
    take_counts(v->report, &counts);
    take_time(v, source);
    if (source->progress == NULL)
        return;
    if (!source->is_compacted && !verify_joins_are_compacted(source))
        verify_counts(v, source->stage, source->partition, &source->counts, source->progress,
                      false);
    compare_times(source);
}

static int run_source(struct verify *v, const struct stage *stage, int32_t partition)
{
    struct verify_source source;
    int rc = verify_source_open(&source, v, stage, partition);
    if (rc == 0)
        rc = run_steps(v, &source);
    if (rc == 0 && !v->is_second)
        judge_source(v, &source);
    verify_source_close(&source);
    return rc;
}

static int run_all(struct verify *v)
{
    v->source_number = 0;
    for (uint32_t i = 0; i < v->sources->arm_count; i++)
        for (int32_t p = 0; p < v->sources[i].partitions; p++)
            TRY(run_source(v, &v->sources[i], p));
    return 0;
}

static int run_sources(struct verify *v)
{
    v->lowest_ms = INT64_MAX;
    v->knows_time = true;
    v->times_ms = calloc((size_t)v->final->partitions + 1, sizeof *v->times_ms);
    if (v->times_ms == NULL)
        return verify_no_memory(v);
    if (v->met != NULL && v->view->keyed != NULL) {
        TRY(verify_tables_open(v));
        TRY(run_all(v));
        return verify_tables_finish(v);
    }
    if (v->met != NULL) {
        TRY(verify_within_open(v));
        TRY(run_all(v));
        return verify_within_finish(v);
    }
    if (v->crossed == NULL)
        return run_all(v);
    TRY(verify_cross_open(v));
    TRY(run_all(v));
    TRY(verify_cross_decide(v));
    v->is_second = true;
    TRY(run_all(v));
    verify_cross_counts(v);
    return 0;
}

/* The stage behind a re-keying must not be ahead of what its sources say. */
static void compare_merged_time(struct verify *v)
{
    for (int32_t p = 0; v->is_rekeyed && v->knows_time && p < v->final->partitions; p++) {
        const struct progress *progress = progress_set_find(&v->progress, v->final->name, p);
        char expected[24], found[24];
        if (progress == NULL || progress->is_begin || progress->is_reset ||
            progress->watermark_ms <= v->lowest_ms)
            continue;
        snprintf(expected, sizeof expected, "%" PRId64, v->lowest_ms);
        snprintf(found, sizeof found, "%" PRId64, progress->watermark_ms);
        tell_progress(v, v->final, p, "time", expected, found,
                      "the watermark is ahead of the slowest source partition's");
    }
}

static int verify_groups(struct verify *v)
{
    TRY(run_sources(v));
    compare_merged_time(v);
    TRY(verify_waiting(v));
    TRY(verify_groups_finish(v));
    TRY(verify_output(v));
    return verify_state(v);
}

static int verify_all_rows(struct verify *v)
{
    if (v->view->keyed != NULL) {
        TRY(run_sources(v));
        TRY(verify_table_output(v));
        return v->tables != NULL ? verify_tables_state(v) : 0;
    }
    TRY(verify_rows_open(v));
    TRY(run_sources(v));
    return verify_rows_finish(v);
}

static void close_view(struct verify *v)
{
    if (v->view != NULL && v->view->group != NULL)
        verify_groups_deinit(v);
    verify_rows_close(v);
    verify_cross_close(v);
    verify_within_close(v);
    verify_tables_close(v);
    verify_table_output_close(v);
    free(v->times_ms);
    progress_set_deinit(&v->progress);
    plan_destroy(v->plan);
    weir_app_close(v->app);
    arena_deinit(&v->arena);
    buf_deinit(&v->key);
    buf_deinit(&v->value);
    buf_deinit(&v->row);
    buf_deinit(&v->text);
    buf_deinit(&v->scratch);
}

int verify_view(const struct verify_options *options, struct port *port,
                struct verify_outcome *report, struct diag *diag)
{
    struct verify v = {.options = options, .port = port, .report = report, .diag = diag};
    *report = (struct verify_outcome){0};
    v.held_before = verify_held();
    arena_init(&v.arena, 0);
    int rc = open_view(&v);
    if (rc == 0)
        rc = v.view->group != NULL ? verify_groups(&v) : verify_all_rows(&v);
    close_view(&v);
    must(verify_held() == v.held_before); /* what was counted in was counted out */
    return rc < 0 && rc != ERR_STOPPED && diag->text[0] == '\0'
               ? diag_set(diag, rc, "%s cannot be verified: %s", options->view, error_text(rc))
               : rc;
}
