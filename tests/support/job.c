/* job.c: see the header. The builder functions of weir.h are called one by one, as a program would.
 */
#include "tests/support/job.h"

#include "runtime/sql/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/error.h"

void job_add(struct job *job, enum job_step_kind kind, const char *text, const char *second,
             int64_t number)
{
    must(job->step_count < JOB_STEPS_MAX);
    job->steps[job->step_count++] =
        (struct job_step){.kind = kind, .text = text, .second = second, .number = number};
}

void job_add_window(struct job *job, enum job_step_kind kind, const char *text, int64_t number,
                    int64_t other)
{
    job_add(job, kind, text, NULL, number);
    job->steps[job->step_count - 1].other = other;
}

static weir_stream *take_branch(weir_stream *stream, const char *text, int64_t branch)
{
    char copy[1024];
    const char *conditions[8];
    weir_stream *branches[9];
    size_t count = 0;
    must(strlen(text) < sizeof copy);
    strcpy(copy, text);
    for (char *rest = NULL, *one = strtok_r(copy, ";", &rest); one != NULL;
         one = strtok_r(NULL, ";", &rest)) {
        must(count < 8);
        conditions[count++] = one;
    }
    must(branch >= 0 && branch <= (int64_t)count);
    return weir_branch(stream, conditions, count, branches) == 0 ? branches[branch] : NULL;
}

void job_add_function(struct job *job, enum job_step_kind kind, const char *list,
                      const char *function, const char *columns)
{
    job_add(job, kind, list, function, 0);
    job->steps[job->step_count - 1].third = columns;
}

static weir_stream *source_as(weir_app *app, const struct job_step *step, weir_format pairs)
{
    weir_format format = step->number == JOB_PAIRS ? pairs : (weir_format)step->number;
    return step->third != NULL
               ? weir_source_columns(app, step->text, format, step->third, step->second)
               : weir_source(app, step->text, format, step->second);
}

/* Streams that were kept by name. */
struct kept {
    const char *names[JOB_KEPT_MAX];
    weir_stream *streams[JOB_KEPT_MAX];
    int count;
};

static weir_stream *keep(struct kept *kept, const char *name, weir_stream *stream)
{
    must(kept->count < JOB_KEPT_MAX);
    kept->names[kept->count] = name;
    kept->streams[kept->count++] = stream;
    return stream;
}

static weir_stream *find_kept(const struct kept *kept, const char *name)
{
    for (int i = kept->count - 1; i >= 0; i--)
        if (strcmp(kept->names[i], name) == 0)
            return kept->streams[i];
    must(false && "a stream of that name was kept");
    return NULL;
}

static weir_stream *merge(const struct kept *kept, weir_stream *stream, const char *names)
{
    char copy[1024];
    weir_stream *streams[JOB_KEPT_MAX + 1] = {stream};
    size_t count = 1;
    must(strlen(names) < sizeof copy);
    strcpy(copy, names);
    for (char *rest = NULL, *one = strtok_r(copy, " ", &rest); one != NULL;
         one = strtok_r(NULL, " ", &rest)) {
        must(count <= JOB_KEPT_MAX);
        streams[count++] = find_kept(kept, one);
    }
    return weir_merge(streams, count);
}

/* "keys = keys: columns => columns" */
static weir_stream *join_within(const struct kept *kept, weir_stream *stream,
                                const struct job_step *step)
{
    char copy[1024];
    static const char *const marks[] = {" = ", ": ", " => "};
    char *parts[4] = {copy};
    must(strlen(step->text) < sizeof copy);
    strcpy(copy, step->text);
    for (int i = 0; i < 3; i++) {
        parts[i + 1] = strstr(parts[i], marks[i]);
        must(parts[i + 1] != NULL);
        *parts[i + 1] = '\0';
        parts[i + 1] += strlen(marks[i]);
    }
    return weir_join_within(
        stream, find_kept(kept, step->second),
        &(weir_within){.kind = step->third != NULL ? WEIR_JOIN_LEFT : WEIR_JOIN_INNER,
                       .on_left = parts[0],
                       .on_right = parts[1],
                       .columns_left = parts[2],
                       .columns_right = parts[3],
                       .before_ms = step->number,
                       .after_ms = step->other});
}

static weir_stream *apply(weir_app *app, struct kept *kept, weir_stream *stream,
                          const struct job_step *step, weir_format pairs)
{
    switch (step->kind) {
    case JOB_KEEP:
        return keep(kept, step->text, stream);
    case JOB_MERGE:
        return merge(kept, stream, step->text);
    case JOB_LATEST:
        return weir_latest(stream, step->text);
    case JOB_JOIN:
        return weir_join(stream, find_kept(kept, step->second), (weir_join_kind)step->number,
                         step->text, step->third);
    case JOB_WITHIN:
        return join_within(kept, stream, step);
    case JOB_SOURCE:
        return weir_source(app, step->text, WEIR_JSON, step->second);
    case JOB_LATENESS:
        return weir_lateness(stream, step->number);
    case JOB_IDLE:
        return weir_idle_close(stream, step->number);
    case JOB_SKEW:
        return weir_max_future_skew(stream, step->number);
    case JOB_FILTER:
        return weir_filter(stream, step->text);
    case JOB_CHECK:
        return weir_check(stream, step->text, step->second);
    case JOB_MAP:
        return weir_map(stream, step->text);
    case JOB_GROUP:
        return weir_group_by(stream, step->text);
    case JOB_WINDOW:
        return weir_tumbling(stream, step->number);
    case JOB_HOPPING:
        return weir_hopping(stream, step->number, step->other);
    case JOB_SESSION:
        return weir_session(stream, step->number);
    case JOB_LOCAL:
        return weir_tumbling_in(stream, step->number, (weir_unit)step->other, step->text);
    case JOB_AGGREGATE:
        return weir_aggregate(stream, step->text);
    case JOB_EMIT_FINAL:
        return weir_emit(stream, WEIR_EMIT_FINAL);
    case JOB_FILTER_FN:
        return weir_filter_fn(stream, step->second, step->text, job_filter_function(step->second),
                              NULL);
    case JOB_MAP_FN:
        return weir_map_fn(stream, step->second, step->text, step->third,
                           job_map_function(step->second), NULL);
    case JOB_FLAT_MAP_FN:
        return weir_flat_map_fn(stream, step->second, step->text, step->third,
                                job_flat_map_function(step->second), NULL);
    case JOB_SOURCE_AS:
        return source_as(app, step, pairs);
    case JOB_DISTINCT:
        return weir_distinct(stream, step->text, step->number);
    case JOB_REKEY:
        return weir_rekey(stream, step->text);
    case JOB_BRANCH:
        return take_branch(stream, step->text, step->number);
    case JOB_AGGREGATE_FN:
        return weir_aggregate_fn(stream, step->second, step->text, step->third,
                                 job_aggregate_functions(step->second), NULL);
    case JOB_PEEK:
        return weir_peek(stream, step->text, job_peek_function(step->second), NULL);
    case JOB_UNNEST:
        return weir_unnest(stream, step->text, step->second);
    case JOB_TO:
        if (step->number != 0)
            weir_to_as(stream, step->text,
                       step->number == JOB_PAIRS ? pairs : (weir_format)step->number);
        else
            weir_to(stream, step->text);
        return NULL;
    }
    return NULL;
}

static void tell_error(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "%s\n", text);
}

/* Its changes are those of either side, in no order. */
static bool joins_tables(const struct relation *relation)
{
    for (; relation != NULL; relation = relation->base)
        for (const struct step *step = relation->steps; step != NULL; step = step->next)
            if (step->is_of_tables)
                return true;
    return false;
}

int job_set_sql(struct job *job, const char *text, size_t size)
{
    int rc = sql_compile(text, size, tell_error, NULL, &job->sql);
    for (const struct relation *r = rc == 0 ? job->sql->relations : NULL; r != NULL; r = r->next) {
        if (r->kind != RELATION_RESULT)
            continue;
        job_add(job, JOB_SOURCE, "", NULL, 0);
        if (r->is_grouped || joins_tables(r))
            job_add(job, JOB_AGGREGATE, "", NULL, 0);
        if (r->emit_final)
            job_add(job, JOB_EMIT_FINAL, NULL, NULL, 0);
        job_add(job, JOB_TO, r->topic, NULL, 0);
    }
    return rc;
}

void job_release(struct job *job)
{
    sql_program_destroy(job->sql);
    job->sql = NULL;
}

void job_build(const struct job *job, weir_app *app)
{
    weir_stream *stream = NULL;
    weir_format pairs = 0;
    struct kept kept = {.count = 0};
    if (job->sql != NULL) {
        (void)sql_build(job->sql, app); /* an error is the app's */
        return;
    }
    for (int i = 0; i < job->step_count; i++) {
        const struct job_step *step = &job->steps[i];
        bool names_format = step->kind == JOB_SOURCE_AS || step->kind == JOB_TO;
        if (names_format && step->number == JOB_PAIRS && pairs == 0)
            pairs = job_add_pairs(app);
        stream = apply(app, &kept, stream, step, pairs);
    }
}

int job_run(const struct job *job, const weir_options *options, weir_progress *progress,
            char *error, size_t error_size)
{
    weir_app *app = weir_app_open(job->app, options);
    must(app != NULL);
    job_build(job, app);
    int rc = weir_app_run(app);
    if (progress != NULL)
        weir_app_progress(app, progress);
    if (error != NULL)
        snprintf(error, error_size, "%s", weir_app_error(app));
    weir_app_close(app);
    return rc;
}

bool job_topic_is_upsert(const struct job *job, const char *topic)
{
    bool is_aggregate = false, is_final = false, is_table = false, is_joined = false;
    for (int i = 0; i < job->step_count; i++) {
        const struct job_step *step = &job->steps[i];
        if (step->kind == JOB_SOURCE || step->kind == JOB_SOURCE_AS)
            is_aggregate = is_final = is_table = is_joined = false;
        is_joined |= step->kind == JOB_JOIN && is_table;
        is_table |= step->kind == JOB_LATEST;
        is_aggregate |= step->kind == JOB_AGGREGATE || step->kind == JOB_AGGREGATE_FN;
        is_final |= step->kind == JOB_EMIT_FINAL;
        if (step->kind == JOB_TO && strcmp(step->text, topic) == 0)
            return is_joined || (is_aggregate && !is_final);
    }
    return false;
}
