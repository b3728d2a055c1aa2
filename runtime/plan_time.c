/* plan_time.c: how stages that read other stages' topics know what time it is.
 *
 * The rows of a topic, in offset order, are time enough where each partition has a single writer
 * that reads a single partition of its own. Where rows of several come together in one partition
 * (weir_rekey, weir_merge, a topic with fewer partitions than its writers), one source may be a day
 * ahead of another, and by the order in the topic all rows of the second one would be late. There
 *
 *   - each row carries how far its own source had come when it was read (TIME_HEADER): the watermark
 *     at its place, less no lateness. Its verdict follows from that, so it is the same however the
 *     writers' commits fell, and in every replay;
 *   - the time at which windows close is the least that any writer has come to, told by the writers'
 *     progress records with the ends up to which it covers their records, as behind a re-keying. No
 *     row that a writer will write has a header below what its record says.
 *
 * That needs the reader's event time to be the one that the writer went by: the same field, kept as
 * it is. Where it is another one, rows of the topic decide as before.
 *
 * Final results are simpler: what an aggregating stage will write belongs to windows that it has not
 * closed, so that its closing cursor is a bound for everything to come, when the reader goes by
 * window_start or window_end. No row is late then. Sessions have no such bound.
 *
 * A stage that reads such a topic and writes rows hands the question on: who reads its topic has the
 * same sources mixed in one partition. */
#include <string.h>

#include "runtime/format.h"
#include "runtime/plan.h"

int32_t stage_only_output(const struct stage *stage, int32_t partition)
{
    bool is_rows = stage->output == OUTPUT_PASS || stage->output == OUTPUT_ROWS;
    bool stays = (is_rows && stage->view->rekey == NULL && stage->input != INPUT_CROSSED) ||
                 (stage->output == OUTPUT_VIEW && stage->input == INPUT_PARTIALS);
    if (stage->output_partitions == 1)
        return 0;
    return stays && stage->output_partitions == stage->partitions ? partition : -1;
}

/* Whether each partition that these stages write has rows of one partition of one source. */
static bool is_apart(const struct stage *writers, uint32_t count)
{
    const struct stage *writer = &writers[0];
    if (count > 1 || writer->time != TIME_OF_ROWS || writer->input == INPUT_CROSSED ||
        writer->input == INPUT_SIDES)
        return false;
    if (writer->partitions == 1)
        return true;
    /* Groups that were not re-keyed lie where the topic's own keys put them, results as well. */
    bool is_direct = writer->output == OUTPUT_VIEW && writer->input == INPUT_ROWS;
    return writer->output_partitions == writer->partitions &&
           (is_direct || stage_only_output(writer, 0) >= 0);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Rows keep their event time: what the reader takes as such is what the writer went by. */
static bool keeps_time(const struct view *writer, const struct weir_stream *reader)
{
    const char *field = reader->extra;
    if (field == NULL)
        return writer->source->extra == NULL; /* records keep their timestamps */
    if (!writer->is_mapped)
        return same_text(writer->source->extra, field) &&
               same_text(writer->source->name, reader->name) &&
               writer->source->format == reader->format;
    if (writer->is_time == NULL || writer->format != reader->format ||
        reader->format != &format_json || strchr(field, '.') != NULL)
        return false;
    for (uint32_t i = 0; i < writer->column_count; i++)
        if (strcmp(writer->column_names[i], field) == 0)
            return writer->is_time[i];
    return false;
}

static bool is_window_end(const char *name)
{
    return strcmp(name, "window_start") == 0 || strcmp(name, "window_end") == 0;
}

/* The field of a result holds one of the ends of its window, untouched. */
static bool is_window(const struct view *writer, const char *field)
{
    const struct expr_list *select = writer->group->select;
    uint32_t column;
    for (uint32_t i = 0; select != NULL && i < select->count; i++)
        if (strcmp(select->names[i], field) == 0)
            return expr_is_column(select->exprs[i], &column) &&
                   is_window_end(writer->column_names[column]);
    return select == NULL && is_window_end(field);
}

static bool gives_closed_windows(const struct view *writer, const struct weir_stream *reader)
{
    return writer->is_windowed && writer->group->emit_final &&
           writer->group->window.kind != WINDOW_SESSION && reader->extra != NULL &&
           writer->format == &format_json && reader->format == &format_json &&
           is_window(writer, reader->extra);
}

static enum stage_time time_of(const struct plan *plan, const struct stage *stage)
{
    if (stage->input != INPUT_ROWS || stage->upstream < 0)
        return TIME_OF_ROWS;
    const struct stage *writers = &plan->stages[stage->upstream];
    const struct weir_stream *reader = stage->view->source;
    if (is_apart(writers, stage->upstream_count))
        return TIME_OF_ROWS;
    if (writers[0].output == OUTPUT_VIEW)
        return gives_closed_windows(writers[0].view, reader) ? TIME_OF_CLOSING : TIME_OF_ROWS;
    for (uint32_t i = 0; i < stage->upstream_count; i++)
        if (!keeps_time(writers[i].view, reader))
            return TIME_OF_ROWS;
    return TIME_OF_WRITERS;
}

/* Whether somebody goes by the time of this stage: it closes windows, it is a side of a join, or a
 * reader of its rows asks. */
static bool is_needed(const struct plan *plan, const struct stage *stage)
{
    if (stage->view->is_windowed || (stage->output == OUTPUT_SIDES && stage->view->keyed == NULL))
        return true;
    for (uint32_t i = 0; i < plan->stage_count; i++)
        if (plan->stages[i].time != TIME_OF_ROWS &&
            plan->stages[i].upstream == (int)stage->first_arm)
            return true;
    return false;
}

void plan_settle_time(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->stage_count; i++) /* upstream first: what it says is handed on */
        plan->stages[i].time = time_of(plan, &plan->stages[i]);
    for (uint32_t i = plan->stage_count; i-- > 0;) {
        struct stage *stage = &plan->stages[i];
        if (stage->time != TIME_OF_ROWS && !is_needed(plan, stage))
            stage->time = TIME_OF_ROWS;
    }
    for (uint32_t i = 0; i < plan->stage_count; i++) {
        const struct stage *reader = &plan->stages[i];
        for (uint32_t w = 0; reader->time != TIME_OF_ROWS && w < reader->upstream_count; w++) {
            struct stage *writer = &plan->stages[(uint32_t)reader->upstream + w];
            writer->tells_ends = true;
            writer->tells_time |= reader->time == TIME_OF_WRITERS;
        }
    }
}
