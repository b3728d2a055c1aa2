/* sql_explain.c: EXPLAIN: each pipeline with its sources, its steps, the topics that it makes, and what crosses between partitions.
 *
 * The steps are the builder's calls (sql_build.c); which topics there are beside the output, and whether groups lie where their rows are, is
 * the planner's rule (plan_place.c), asked with what a directory knows of the sources. Without a directory the answer has its
 * condition: nothing is guessed. */
#include "runtime/sql/sql_explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "operators/json_encode.h"
#include "runtime/plan.h"

/* ---- what the planner makes of it ---- */

/* What is told, and the plan of the app. */
struct telling {
    const struct explain *asked;
    const struct plan *plan;
};

enum crossing { CROSSES_NEVER, CROSSES_ALWAYS, CROSSES_UNLESS_PLACED };
static const char *const crossing_names[] = {"never", "always", "unless_placed"};

static const struct view *view_of(const struct telling *telling, const struct relation *result)
{
    for (uint32_t i = 0; telling->plan != NULL && i < telling->plan->view_count; i++)
        if (strcmp(telling->plan->views[i].sink->topic, result->topic) == 0)
            return &telling->plan->views[i];
    return NULL;
}

static bool look(const struct telling *telling, const char *topic, struct explain_topic *facts)
{
    return telling->asked->look != NULL &&
           telling->asked->look(telling->asked->context, topic, facts);
}

/* What is known of the source decides; a rule that holds for one partition and for many holds whatever there will be. */
static enum crossing ask(const struct telling *telling, const struct view *view,
                         bool (*rule)(const struct view *view, const struct port_topic *source))
{
    struct explain_topic facts;
    struct port_topic source = {.partitions = 1};
    if (look(telling, view->source->text, &facts)) {
        source.partitions = facts.partitions;
        snprintf(source.partitioned_by, sizeof source.partitioned_by, "%s", facts.partitioned_by);
        return rule(view, &source) ? CROSSES_ALWAYS : CROSSES_NEVER;
    }
    bool of_one = rule(view, &source);
    source.partitions = 2;
    bool of_two = rule(view, &source);
    return of_one && of_two ? CROSSES_ALWAYS : of_two ? CROSSES_UNLESS_PLACED : CROSSES_NEVER;
}

static void repartition_name(const struct telling *telling, const struct relation *result,
                             char name[TOPIC_NAME_BYTES])
{
    snprintf(name, TOPIC_NAME_BYTES, "%s-%s-repartition", telling->plan->app->name, result->topic);
}

static bool has_late_rows(const struct view *view)
{
    return view->is_windowed || view->distinct != NULL || view->within != NULL;
}

static bool has_state(const struct view *view)
{
    return view->group != NULL || plan_keeps_rows(view) || view->joined != NULL;
}

static void explain_span(struct buf *out, const char *what, int64_t span_ms)
{
    if (span_ms >= 0)
        buf_printf(out, ", %s %" PRId64 " ms", what, span_ms);
}

static void explain_source(const struct relation *table, int indent, struct buf *out)
{
    buf_printf(out, "%*ssource %s", indent, "", table->topic);
    if (table->event_time != NULL)
        buf_printf(out, " by %s", table->event_time);
    explain_span(out, "lateness", table->lateness_ms);
    explain_span(out, "max_future_skew", table->skew_ms);
    explain_span(out, "idle_close", table->idle_ms);
    buf_printf(out, "\n");
}

static const char *const step_names[] = {
    [STEP_MAP] = "map",         [STEP_FILTER] = "filter",       [STEP_CHECK] = "check",
    [STEP_GROUP] = "group",     [STEP_TUMBLE] = "tumbling",     [STEP_HOP] = "hopping",
    [STEP_SESSION] = "session", [STEP_AGGREGATE] = "aggregate", [STEP_LATEST] = "latest",
    [STEP_JOIN] = "join",       [STEP_DISTINCT] = "distinct",   [STEP_WITHIN] = "join_within"};

static void explain_rows(const struct relation *relation, int indent, struct buf *out);

/* What is equal and how far apart; then how the right rows come, further in. */
static void explain_within(const struct step *step, int indent, struct buf *out)
{
    buf_printf(out,
               "%s by %s = %s, %" PRId64 " ms before to %" PRId64 " ms after, with %s and %s of:\n",
               step->table->name, step->text, step->right_text, step->before_ms, step->after_ms,
               step->left_columns, step->columns);
    explain_rows(step->table, indent + 2, out);
}

static void explain_step(const struct relation *relation, const struct step *step, int indent,
                         struct buf *out)
{
    buf_printf(out, "%*s%s%s ", indent, "",
               step->is_full   ? "full "
               : step->is_left ? "left "
                               : "",
               step_names[step->kind]);
    if (step->kind == STEP_WITHIN) {
        explain_within(step, indent, out);
        return;
    }
    if (step->kind == STEP_JOIN)
        buf_printf(out, "%s by ", step->table->name);
    if (step->kind == STEP_CHECK)
        buf_printf(out, "%s: ", step->error_class);
    if (step->kind == STEP_TUMBLE || step->kind == STEP_SESSION)
        buf_printf(out, "%" PRId64 " ms", step->size_ms);
    if (step->kind == STEP_DISTINCT)
        buf_printf(out, "within %" PRId64 " ms: ", step->size_ms);
    if (step->kind == STEP_HOP)
        buf_printf(out, "%" PRId64 " ms every %" PRId64 " ms", step->size_ms, step->hop_ms);
    buf_printf(out, "%s", step->text);
    if (step->kind == STEP_JOIN)
        buf_printf(out, ": %s%s", step->columns,
                   relation_is_by_partition(step->table) ? ", by partition" : "");
    if (step->kind == STEP_AGGREGATE)
        buf_printf(out, ", emit %s", relation->emit_final ? "final" : "changes");
    buf_printf(out, "\n");
}

static void explain_rows(const struct relation *relation, int indent, struct buf *out)
{
    for (uint32_t i = 0; i < relation->arm_count; i++)
        explain_rows(relation->arms[i], indent, out);
    if (relation->arm_count > 0)
        buf_printf(out, "%*smerge %u\n", indent, "", relation->arm_count);
    else if (relation->base != NULL)
        explain_rows(relation->base, indent, out);
    else
        explain_source(relation, indent, out);
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        explain_step(relation, step, indent, out);
}

/* ---- text ---- */

/* Whether some source of the other pipeline is read as this one is (plan_read.c): then one read does for both. */
static bool reads_too(const struct view *other, const struct view *arm)
{
    bool reads = false;
    for (; other != NULL && !reads; other = other->next_arm)
        reads = plan_reads_alike(other, arm);
    return reads;
}

/* The n-th of the pipelines that share the read of an arm of this one; NULL: no more. */
static const struct view *read_with(const struct telling *telling, const struct view *view,
                                    const struct view *arm, uint32_t n)
{
    for (uint32_t i = 0; i < telling->plan->view_count; i++)
        if (&telling->plan->views[i] != view && reads_too(&telling->plan->views[i], arm) &&
            n-- == 0)
            return &telling->plan->views[i];
    return NULL;
}

static const char *name_of(const struct view *view)
{
    return view->sink->name != NULL ? view->sink->name : view->sink->topic;
}

static void explain_reads(const struct telling *telling, const struct view *view, struct buf *out)
{
    const struct view *other;
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm) {
        for (uint32_t n = 0; (other = read_with(telling, view, arm, n)) != NULL; n++) {
            if (n == 0)
                buf_printf(out, "  one read of %s for this and", arm->source->text);
            buf_printf(out, "%s %s", n > 0 ? "," : "", name_of(other));
        }
        if (read_with(telling, view, arm, 0) != NULL)
            buf_printf(out, "\n");
    }
}

/* How a table gets to the tasks, and what is known of its size. */
static void explain_table(const struct telling *telling, const struct view *view,
                          const struct table *table, struct buf *out)
{
    const char *topic = table->rows.source->text;
    struct explain_topic facts;
    buf_printf(out, "  table %s: each task keeps %s of it", topic,
               table->by_partition ? "its own partition" : "all");
    if (look(telling, topic, &facts))
        buf_printf(out, " (%" PRId64 " records, %" PRId64 " bytes, %d partitions)", facts.records,
                   facts.bytes, (int)facts.partitions);
    if (!table->by_partition && look(telling, view->source->text, &facts) && facts.partitions > 1)
        buf_printf(out, ", %d times", (int)facts.partitions);
    buf_printf(out, "\n");
}

static void explain_topics(const struct telling *telling, const struct relation *result,
                           const struct view *view, struct buf *out)
{
    char name[TOPIC_NAME_BYTES];
    struct explain_topic facts;
    enum crossing crossing = ask(telling, view, plan_must_rekey);
    repartition_name(telling, result, name);
    explain_reads(telling, view, out);
    if (crossing != CROSSES_NEVER) {
        buf_printf(out, "  re-keyed through %s", name);
        if (crossing == CROSSES_UNLESS_PLACED)
            buf_printf(out, ", unless %s has one partition%s%s", view->source->text,
                       view->group_field != NULL ? " or lies by " : "",
                       view->group_field != NULL ? view->group_field : "");
        buf_printf(out, ": what each commit adds to a group crosses once more");
        if (look(telling, view->source->text, &facts))
            buf_printf(out, " (%s: %" PRId64 " records, %" PRId64 " bytes, %d partitions)",
                       view->source->text, facts.records, facts.bytes, (int)facts.partitions);
        buf_printf(out, "\n");
    }
    if (view->join_tables != NULL)
        buf_printf(
            out,
            "  changes of both tables cross %s, by their keys; the latest row of each is kept\n",
            name);
    else if (view->joined != NULL)
        buf_printf(out,
                   "  rows of both sides cross %s, by what is equal; each is kept until nothing "
                   "can meet it\n",
                   name);
    if (view->distinct != NULL && ask(telling, view, plan_must_cross) != CROSSES_NEVER)
        buf_printf(out, "  rows cross once more, to meet those of their key%s\n",
                   ask(telling, view, plan_must_cross) == CROSSES_ALWAYS
                       ? ""
                       : ", unless the source has one partition");
    for (uint32_t t = 0; t < view->table_count; t++)
        explain_table(telling, view, view->tables[t], out);
    if (has_state(view))
        buf_printf(out, "  state in changelogs %s-%s-…\n", telling->plan->app->name, result->topic);
    if (has_late_rows(view))
        buf_printf(out, "  late rows to %s.late\n", result->topic);
    buf_printf(out, "  bad rows %s%s\n", view->sink->fails_on_bad_row ? "end the run" : "to ",
               view->sink->fails_on_bad_row ? "" : telling->plan->dlq_topic);
}

static const char *const copy_formats[] = {
    [COPY_TEXT] = "text", [COPY_CSV] = "csv", [COPY_JSON] = "json"};

/* The steps between the fields of a file's rows and the record. */
static void explain_copy_steps(const struct relation *relation, struct buf *out)
{
    if (relation->base != NULL)
        explain_copy_steps(relation->base, out);
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        explain_step(relation, step, 2, out);
}

static void explain_copy(const struct telling *telling, const struct sql_copy *copy,
                         struct buf *out)
{
    const struct copy_definition *how = copy->statement->copy;
    const struct relation *result = copy->result;
    buf_printf(out, "copy %s\n  file %s, %s%s", copy->table->name, how->file.text,
               copy_formats[how->format], how->header != COPY_HEADER_NONE ? " with a header" : "");
    for (uint32_t i = 0; i < copy->column_count; i++)
        buf_printf(out, "%s%s", i > 0 ? ", " : ": ", copy->column_names[i]);
    buf_printf(out, "\n");
    explain_copy_steps(result, out);
    if (result->partitioned_by != NULL)
        buf_printf(out, "  key %s\n", result->partitioned_by);
    buf_printf(out, "  to %s, once, before pipelines begin\n", result->topic);
    if (result->fails_on_bad_row)
        buf_printf(out, "  bad rows end the run\n");
    else if (telling->asked->app != NULL)
        buf_printf(out, "  bad rows to %s.dlq\n", telling->asked->app->name);
}

static void explain_text(const struct telling *telling, struct buf *out)
{
    bool is_first = true;
    for (const struct sql_copy *copy = telling->asked->program->copies; copy != NULL;
         copy = copy->next) {
        buf_printf(out, "%s", is_first ? "" : "\n");
        explain_copy(telling, copy, out);
        is_first = false;
    }
    for (const struct relation *r = telling->asked->program->relations; r != NULL; r = r->next) {
        if (r->kind != RELATION_RESULT)
            continue;
        buf_printf(out, "%s%s\n", is_first ? "" : "\n", r->name);
        explain_rows(r, 2, out);
        if (r->statement->is_query)
            buf_printf(out, "  gives (");
        else
            buf_printf(out, "  to %s (", r->topic);
        for (uint32_t i = 0; i < r->column_count; i++)
            buf_printf(out, "%s%s %s", i > 0 ? ", " : "", r->columns[i].name,
                       r->columns[i].type_name);
        buf_printf(out, ")\n");
        const struct view *view = view_of(telling, r);
        if (view != NULL)
            explain_topics(telling, r, view, out);
        is_first = false;
    }
}

/* ---- dot ---- */

static void put_label(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_u8(out, '\\');
        if (*text == '\n')
            buf_printf(out, "\\l");
        else
            buf_u8(out, (uint8_t)*text);
    }
}

static void put_topic(const char *topic, struct buf *out)
{
    buf_printf(out, "  \"topic ");
    put_label(out, topic);
    buf_printf(out, "\" [label=\"");
    put_label(out, topic);
    buf_printf(out, "\", shape=cylinder];\n");
}

static void put_edges(const struct relation *relation, const char *result, struct buf *out)
{
    for (uint32_t i = 0; i < relation->arm_count; i++)
        put_edges(relation->arms[i], result, out);
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        if (step->table != NULL)
            put_edges(step->table, result, out);
    if (relation->arm_count > 0)
        return;
    if (relation->base != NULL) {
        put_edges(relation->base, result, out);
        return;
    }
    put_topic(relation->topic, out);
    buf_printf(out, "  \"topic ");
    put_label(out, relation->topic);
    buf_printf(out, "\" -> \"view ");
    put_label(out, result);
    buf_printf(out, "\"%s;\n", relation->key_count > 0 ? " [label=\"table\", style=dashed]" : "");
}

static void put_pipeline(const struct telling *telling, const struct relation *result,
                         struct buf *out)
{
    struct buf steps;
    const struct view *view = view_of(telling, result);
    buf_init(&steps, 0);
    buf_printf(&steps, "%s\n", result->name);
    explain_rows(result, 2, &steps);
    if (view != NULL && ask(telling, view, plan_must_rekey) != CROSSES_NEVER)
        buf_printf(&steps, "  re-keyed%s\n",
                   ask(telling, view, plan_must_rekey) == CROSSES_ALWAYS ? "" : " unless placed");
    buf_u8(&steps, 0);
    buf_printf(out, "  \"view ");
    put_label(out, result->name);
    buf_printf(out, "\" [shape=box, label=\"");
    put_label(out, buf_ok(&steps) ? (const char *)steps.data : "");
    buf_printf(out, "\"];\n");
    put_edges(result, result->name, out);
    put_topic(result->topic, out);
    buf_printf(out, "  \"view ");
    put_label(out, result->name);
    buf_printf(out, "\" -> \"topic ");
    put_label(out, result->topic);
    buf_printf(out, "\";\n");
    buf_deinit(&steps);
}

static void put_copy_node(const struct sql_copy *copy, struct buf *out)
{
    const char *file = copy->statement->copy->file.text;
    buf_printf(out, "  \"file ");
    put_label(out, file);
    buf_printf(out, "\" [label=\"");
    put_label(out, file);
    buf_printf(out, "\", shape=note];\n");
    put_topic(copy->result->topic, out);
    buf_printf(out, "  \"file ");
    put_label(out, file);
    buf_printf(out, "\" -> \"topic ");
    put_label(out, copy->result->topic);
    buf_printf(out, "\" [label=\"copy\"];\n");
}

static void explain_dot(const struct telling *telling, struct buf *out)
{
    buf_printf(out, "digraph weir {\n  rankdir=LR;\n  node [fontname=\"monospace\"];\n");
    for (const struct sql_copy *copy = telling->asked->program->copies; copy != NULL;
         copy = copy->next)
        put_copy_node(copy, out);
    for (const struct relation *r = telling->asked->program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT)
            put_pipeline(telling, r, out);
    buf_printf(out, "}\n");
}

/* ---- JSON ---- */

static void put_name(struct buf *out, const char *name)
{
    buf_printf(out, "\"%s\":", name);
}

static void put_string(struct buf *out, const char *name, const char *text)
{
    put_name(out, name);
    if (text == NULL)
        buf_printf(out, "null");
    else
        json_escape(out, bytes_text(text));
}

static void put_count(struct buf *out, const char *name, int64_t number, bool is_known)
{
    put_name(out, name);
    if (is_known)
        buf_printf(out, "%" PRId64, number);
    else
        buf_printf(out, "null");
}

static void put_next_string(struct buf *out, const char *name, const char *text)
{
    buf_u8(out, ',');
    put_string(out, name, text);
}

static void put_next_count(struct buf *out, const char *name, int64_t number, bool is_known)
{
    buf_u8(out, ',');
    put_count(out, name, number, is_known);
}

static const char *format_name(weir_format format)
{
    static const char *const names[] = {"json", "csv", "text", "raw"};
    return names[format - WEIR_JSON];
}

static void put_source(const struct telling *telling, const struct relation *table, struct buf *out)
{
    struct explain_topic facts = {0};
    bool is_there = look(telling, table->topic, &facts);
    buf_printf(out, "{");
    put_string(out, "topic", table->topic);
    put_next_string(out, "format", format_name(table->format));
    put_next_string(out, "event_time", table->event_time);
    put_next_count(out, "lateness_ms", table->lateness_ms, table->lateness_ms >= 0);
    put_next_count(out, "max_future_skew_ms", table->skew_ms, table->skew_ms >= 0);
    put_next_count(out, "idle_close_ms", table->idle_ms, table->idle_ms >= 0);
    put_next_count(out, "partitions", facts.partitions, is_there);
    put_next_string(out, "partitioned_by",
                    table->partitioned_by != NULL                 ? table->partitioned_by
                    : is_there && facts.partitioned_by[0] != '\0' ? facts.partitioned_by
                                                                  : NULL);
    put_next_count(out, "records", facts.records, is_there);
    put_next_count(out, "bytes", facts.bytes, is_there);
    buf_printf(out, "}");
}

static void put_steps(const struct telling *telling, const struct relation *relation,
                      bool *is_first, struct buf *out);

/* {"source":{…},"steps":[…]}, or of UNION ALL {"merge":[…],"steps":[…]}. */
static void put_rows(const struct telling *telling, const struct relation *relation,
                     struct buf *out)
{
    const struct relation *root = relation;
    bool is_first = true;
    while (root->arm_count == 0 && root->base != NULL)
        root = root->base;
    buf_printf(out, root->arm_count > 0 ? "{\"merge\":[" : "{\"source\":");
    for (uint32_t i = 0; i < root->arm_count; i++) {
        buf_printf(out, i > 0 ? "," : "");
        put_rows(telling, root->arms[i], out);
    }
    if (root->arm_count > 0)
        buf_printf(out, "]");
    else
        put_source(telling, root, out);
    buf_printf(out, ",\"steps\":[");
    put_steps(telling, relation, &is_first, out);
    buf_printf(out, "]}");
}

static void put_step(const struct telling *telling, const struct relation *relation,
                     const struct step *step, struct buf *out)
{
    buf_printf(out, "{");
    put_string(out, "step", step_names[step->kind]);
    put_next_string(out, "text", step->text);
    if (step->kind == STEP_CHECK) {
        put_next_string(out, "class", step->error_class);
    }
    if (step->size_ms > 0)
        buf_printf(out, ",\"size_ms\":%" PRId64, step->size_ms);
    if (step->hop_ms > 0)
        buf_printf(out, ",\"hop_ms\":%" PRId64, step->hop_ms);
    if (step->kind == STEP_AGGREGATE)
        buf_printf(out, ",\"emit\":\"%s\"", relation->emit_final ? "final" : "changes");
    if (step->kind == STEP_WITHIN) {
        put_next_string(out, "right_text", step->right_text);
        put_next_string(out, "left_columns", step->left_columns);
        put_next_count(out, "before_ms", step->before_ms, true);
        put_next_count(out, "after_ms", step->after_ms, true);
    }
    if (step->table != NULL) {
        buf_printf(out, ",\"kind\":\"%s\",",
                   step->is_full   ? "full"
                   : step->is_left ? "left"
                                   : "inner");
        put_string(out, "columns", step->columns);
        if (step->kind == STEP_JOIN && relation_is_by_partition(step->table))
            buf_printf(out, ",\"by_partition\":true");
        buf_printf(out, step->kind == STEP_WITHIN ? ",\"right\":" : ",\"table\":");
        put_rows(telling, step->table, out);
    }
    buf_printf(out, "}");
}

static void put_steps(const struct telling *telling, const struct relation *relation,
                      bool *is_first, struct buf *out)
{
    if (relation->arm_count == 0 && relation->base != NULL)
        put_steps(telling, relation->base, is_first, out);
    for (const struct step *step = relation->steps; step != NULL; step = step->next) {
        buf_printf(out, *is_first ? "" : ",");
        *is_first = false;
        put_step(telling, relation, step, out);
    }
}

static void put_output(const struct relation *result, struct buf *out)
{
    buf_printf(out, "\"output\":{");
    put_string(out, "topic", result->topic);
    put_next_string(out, "format", format_name(result->format));
    buf_printf(out, ",\"holds\":\"%s\",",
               result->is_grouped ? (result->emit_final ? "final results" : "changes") : "rows");
    put_count(out, "partitions", result->partitions, result->partitions > 0);
    put_next_string(out, "key", result->partitioned_by);
    buf_printf(out, ",\"columns\":[");
    for (uint32_t i = 0; i < result->column_count; i++) {
        buf_printf(out, i > 0 ? ",{" : "{");
        put_string(out, "name", result->columns[i].name);
        put_next_string(out, "type", result->columns[i].type_name);
        buf_printf(out, "}");
    }
    buf_printf(out, "]}");
}

/* [{"topic":…,"with":[…]}, …] */
static void put_reads(const struct telling *telling, const struct view *view, struct buf *out)
{
    const struct view *other;
    bool is_first = true;
    buf_printf(out, ",\"shared_reads\":[");
    for (const struct view *arm = view; arm != NULL; arm = arm->next_arm) {
        if (read_with(telling, view, arm, 0) == NULL)
            continue;
        buf_printf(out, is_first ? "{" : ",{");
        is_first = false;
        put_string(out, "topic", arm->source->text);
        buf_printf(out, ",\"with\":[");
        for (uint32_t n = 0; (other = read_with(telling, view, arm, n)) != NULL; n++) {
            buf_printf(out, n > 0 ? "," : "");
            json_escape(out, bytes_text(name_of(other)));
        }
        buf_printf(out, "]}");
    }
    buf_printf(out, "]");
}

static void put_topics(const struct telling *telling, const struct relation *result,
                       const struct view *view, struct buf *out)
{
    char name[TOPIC_NAME_BYTES];
    enum crossing crossing =
        view->joined != NULL ? CROSSES_ALWAYS : ask(telling, view, plan_must_rekey);
    repartition_name(telling, result, name);
    buf_printf(out, ",\"repartition\":{\"when\":\"%s\",", crossing_names[crossing]);
    put_string(out, "topic", crossing != CROSSES_NEVER ? name : NULL);
    put_next_string(out, "field", view->group_field);
    buf_printf(out, "},\"state\":%s,", has_state(view) ? "true" : "false");
    snprintf(name, sizeof name, "%s.late", result->topic);
    put_string(out, "late", has_late_rows(view) ? name : NULL);
    put_next_string(out, "bad_rows",
                    view->sink->fails_on_bad_row ? NULL : telling->plan->dlq_topic);
    put_reads(telling, view, out);
}

static void put_copy(const struct telling *telling, const struct sql_copy *copy, struct buf *out)
{
    const struct copy_definition *how = copy->statement->copy;
    const struct relation *result = copy->result;
    char dead[TOPIC_NAME_BYTES];
    snprintf(dead, sizeof dead, "%s.dlq",
             telling->asked->app != NULL ? telling->asked->app->name : "");
    buf_printf(out, "{");
    put_string(out, "table", copy->table->name);
    put_next_string(out, "file", how->file.text);
    put_next_string(out, "format", copy_formats[how->format]);
    buf_printf(out, ",\"header\":%s,\"columns\":[",
               how->header != COPY_HEADER_NONE ? "true" : "false");
    for (uint32_t i = 0; i < copy->column_count; i++) {
        buf_printf(out, i > 0 ? "," : "");
        json_escape(out, bytes_text(copy->column_names[i]));
    }
    buf_printf(out, "],");
    put_string(out, "topic", result->topic);
    put_next_string(out, "key", result->partitioned_by);
    put_next_string(out, "bad_rows",
                    result->fails_on_bad_row || telling->asked->app == NULL ? NULL : dead);
    buf_printf(out, "}");
}

static void explain_json(const struct telling *telling, struct buf *out)
{
    bool is_first = true;
    const weir_app *app = telling->asked->app;
    buf_printf(out, "{");
    put_string(out, "app", app != NULL ? app->name : NULL);
    buf_printf(out, ",\"copies\":[");
    for (const struct sql_copy *copy = telling->asked->program->copies; copy != NULL;
         copy = copy->next) {
        buf_printf(out, copy == telling->asked->program->copies ? "" : ",");
        put_copy(telling, copy, out);
    }
    buf_printf(out, "],\"pipelines\":[");
    for (const struct relation *r = telling->asked->program->relations; r != NULL; r = r->next) {
        if (r->kind != RELATION_RESULT)
            continue;
        const struct view *view = view_of(telling, r);
        buf_printf(out, is_first ? "{" : ",{");
        is_first = false;
        put_string(out, "name", r->name);
        buf_printf(out, ",\"rows\":");
        put_rows(telling, r, out);
        buf_printf(out, ",");
        put_output(r, out);
        if (view != NULL)
            put_topics(telling, r, view, out);
        buf_printf(out, "}");
    }
    buf_printf(out, "]}\n");
}

int sql_explain_as(const struct explain *explain, enum explain_format format, struct buf *out,
                   struct diag *diag)
{
    struct plan *plan = NULL;
    bool is_empty = true;
    for (const struct relation *r = explain->program->relations; r != NULL; r = r->next)
        is_empty &= r->kind != RELATION_RESULT;
    if (explain->app != NULL && !is_empty)
        TRY(plan_compile(explain->app, &plan, diag));
    const struct telling telling = {explain, plan};
    if (format == EXPLAIN_JSON)
        explain_json(&telling, out);
    else if (format == EXPLAIN_DOT)
        explain_dot(&telling, out);
    else
        explain_text(&telling, out);
    if (plan != NULL)
        plan_destroy(plan);
    return 0;
}

void sql_explain(const struct sql_program *program, struct buf *out)
{
    const struct explain explain = {.program = program};
    (void)sql_explain_as(&explain, EXPLAIN_TEXT, out, NULL); /* nothing is planned */
}
