/* sql_build.c: relations to calls of weir.h's builder: what SQL says and what C says end in the same topologies, with the
 * same plan hashes. */
#include "runtime/sql/sql.h"

#include <inttypes.h>

static weir_stream *build_source(const struct relation *table, weir_app *app)
{
    weir_stream *stream = table->source_columns != NULL
                              ? weir_source_columns(app, table->topic, table->format,
                                                    table->source_columns, table->event_time)
                              : weir_source(app, table->topic, table->format, table->event_time);
    if (table->partitioned_by != NULL)
        stream = weir_partitioned_by(stream, table->partitioned_by);
    if (table->partitions > 0)
        stream = weir_partitions(stream, table->partitions);
    if (table->lateness_ms >= 0)
        stream = weir_lateness(stream, table->lateness_ms);
    if (table->skew_ms >= 0)
        stream = weir_max_future_skew(stream, table->skew_ms);
    if (table->idle_ms >= 0)
        stream = weir_idle_close(stream, table->idle_ms);
    return stream;
}

static weir_stream *build_rows(const struct relation *relation, weir_app *app);

static weir_stream *build_within(const struct step *step, weir_app *app, weir_stream *stream)
{
    const weir_within within = {.kind = step->is_left ? WEIR_JOIN_LEFT : WEIR_JOIN_INNER,
                                .on_left = step->text,
                                .on_right = step->right_text,
                                .columns_left = step->left_columns,
                                .columns_right = step->columns,
                                .before_ms = step->before_ms,
                                .after_ms = step->after_ms};
    return weir_join_within(stream, build_rows(step->table, app), &within);
}

static weir_stream *build_step(const struct relation *relation, const struct step *step,
                               weir_app *app, weir_stream *stream)
{
    switch (step->kind) {
    case STEP_MAP:
        return weir_map(stream, step->text);
    case STEP_FILTER:
        return weir_filter(stream, step->text);
    case STEP_CHECK:
        return weir_check(stream, step->text, step->error_class);
    case STEP_DISTINCT:
        return weir_distinct(stream, step->text, step->size_ms);
    case STEP_GROUP:
        return weir_group_by(stream, step->text);
    case STEP_TUMBLE:
        return weir_tumbling(stream, step->size_ms);
    case STEP_HOP:
        return weir_hopping(stream, step->size_ms, step->hop_ms);
    case STEP_SESSION:
        return weir_session(stream, step->size_ms);
    case STEP_AGGREGATE:
        stream = weir_aggregate(stream, step->text);
        return relation->emit_final ? weir_emit(stream, WEIR_EMIT_FINAL) : stream;
    case STEP_LATEST:
        stream = weir_latest(stream, step->text);
        return relation->by_partition ? weir_table_partitioned(stream) : stream;
    case STEP_JOIN:
        return weir_join(stream, build_rows(step->table, app),
                         step->is_full   ? WEIR_JOIN_FULL
                         : step->is_left ? WEIR_JOIN_LEFT
                                         : WEIR_JOIN_INNER,
                         step->is_of_tables ? NULL : step->text, step->columns);
    case STEP_WITHIN:
        return build_within(step, app, stream);
    }
    return NULL;
}

static weir_stream *build_union(const struct relation *relation, weir_app *app)
{
    weir_stream *streams[UNION_ARMS_MAX];
    for (uint32_t i = 0; i < relation->arm_count; i++)
        streams[i] = build_rows(relation->arms[i], app);
    return weir_merge(streams, relation->arm_count);
}

static weir_stream *build_rows(const struct relation *relation, weir_app *app)
{
    weir_stream *stream = relation->arm_count > 0  ? build_union(relation, app)
                          : relation->base != NULL ? build_rows(relation->base, app)
                                                   : build_source(relation, app);
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        stream = build_step(relation, step, app, stream);
    return stream;
}

/* Whether any of the tables that a result is made of, or goes into, wants the first bad row to end it. */
static bool fails_on_bad_row(const struct relation *relation)
{
    if (relation->fails_on_bad_row)
        return true;
    for (uint32_t i = 0; i < relation->arm_count; i++)
        if (fails_on_bad_row(relation->arms[i]))
            return true;
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        if (step->table != NULL && fails_on_bad_row(step->table))
            return true;
    return relation->base != NULL && fails_on_bad_row(relation->base);
}

static int build_result(const struct relation *result, weir_app *app)
{
    weir_output_options output = {.partitions = result->partitions,
                                  .compacts = result->is_compacted,
                                  .epoch_ms = result->epoch_ms,
                                  .retention_ms = result->retention_ms};
    weir_stream *stream = build_rows(result, app);
    if (result->partitioned_by != NULL)
        stream = weir_rekey(stream, result->partitioned_by);
    TRY(result->format != WEIR_JSON ? weir_to_as(stream, result->topic, result->format)
                                    : weir_to(stream, result->topic));
    TRY(weir_output(app, result->topic, &output));
    return fails_on_bad_row(result) ? weir_on_bad_row(app, result->topic, WEIR_BAD_ROW_FAIL) : 0;
}

int sql_build(const struct sql_program *program, weir_app *app)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT) {
            TRY(build_result(r, app));
            TRY(topology_name_sink(app, r->topic, r->name));
            if (r->partitions_like != NULL)
                TRY(topology_spread_sink(app, r->topic, r->partitions_like));
        }
    return 0;
}

int sql_build_copy(const struct sql_copy *copy, weir_app *app)
{
    return build_result(copy->result, app);
}
