/* sql_own_topic.c: rows that are written to a topic of their own, where what comes behind them must begin at one: rows of two streams or tables that have met, and rows that are to meet a table which is
 * read by partition.
 *
 * The rows of a join of two streams come from a topic in which both sides are mixed, so that groups, DISTINCT ON, another join and UNION ALL
 * behind it read the topic of its results (docs/decisions/joins-judge-at-the-source.md); so do groups over a view of two tables, and another
 * join with it (docs/decisions/two-tables-meet-by-key.md). A user of the C library writes that topic and
 * reads it; here it is done for them. The topic is <name>-joined: of a view over a join the view's name, so that all who
 * group its rows share it, and of a join inside a statement that statement's. It is a pipeline as any other,
 * seen in EXPLAIN, checked when the file changes, named in --rebuild.
 *
 * Rows of that topic say how far their sources had come, and none that has met is behind that: its lateness is 0, so that windows
 * behind it close as soon as those of the sources would.
 *
 * Rows that meet a table by partition, and do not lie by its key, are written to <name>-rekeyed under what equals that key, in as many partitions as the table's topic has. They may be as
 * late there as at their sources.
 *
 * A view may never be read in a way that wants its topic, or be dropped: what nothing reads is taken away again, at the end of
 * the program or with the statement. */
#include "runtime/sql/sql_compile.h"

#include <stdio.h>
#include <string.h>

/* ---- what has met ---- */

static bool is_met_here(const struct relation *relation)
{
    for (const struct step *step = relation->steps; step != NULL; step = step->next)
        if (step->kind == STEP_WITHIN || step->is_of_tables)
            return true;
    return false;
}

bool rows_have_met(const struct relation *relation)
{
    return is_met_here(relation) || (relation->base != NULL && rows_have_met(relation->base));
}

/* ---- the topic ---- */

static bool is_written(const struct sql_program *program, const char *topic)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (strcmp(r->name, topic) == 0 ||
            (r->kind == RELATION_RESULT && strcmp(r->topic, topic) == 0))
            return true;
    return false;
}

/* orders-joined, orders-joined-2, … */
static const char *topic_name(const struct compile_file *file, const char *of, const char *what)
{
    char name[2 * EXPR_NAME_BYTES_MAX + 40];
    snprintf(name, sizeof name, "%.*s-%s", EXPR_NAME_BYTES_MAX, of, what);
    for (unsigned i = 2; is_written(file->program, name); i++)
        snprintf(name, sizeof name, "%.*s-%s-%u", EXPR_NAME_BYTES_MAX, of, what, i);
    return arena_text(&file->program->arena, name);
}

/* The rows as what a statement writes; *reader: who reads them. */
static int write_topic(struct compile_file *file, struct relation *rows, const char *of,
                       const char *what, struct relation **reader)
{
    rows->kind = RELATION_RESULT;
    rows->format = WEIR_JSON;
    rows->is_own = true;
    rows->name = rows->topic = topic_name(file, of, what);
    if (rows->topic == NULL)
        return ERR_NOMEM;
    if (!topology_name_is_good(rows->topic, OUTPUT_NAME_MAX))
        return source_error(&file->source, ERR_INVALID, file->current->name.at,
                            "a name of letters, digits, _, - and . can",
                            "rows are written to a topic of their own here, and '%s' cannot name "
                            "one",
                            rows->topic);
    relation_keep(file, rows);
    struct relation **place = file->program->end;
    TRY(add_reader(file, rows));
    (*place)->name = rows->name;
    (*place)->is_own = true;
    if (rows->time_column >= 0)
        (*place)->lateness_ms = 0;
    (*place)->rows_of = rows->rows_of;
    *reader = *place;
    return 0;
}

static const struct relation *find_reader(const struct compile_file *file,
                                          const struct relation *view)
{
    const struct relation *found = NULL;
    for (const struct relation *r = file->program->relations; r != NULL && found == NULL;
         r = r->next)
        if (r->is_own && r->kind == RELATION_TABLE && r->rows_of == view)
            found = r;
    return found;
}

/* Of two tables: their rows are read from the topic by it. */
static int check_view_key(struct compile_file *file, const struct relation *view)
{
    for (uint32_t k = 0; k < view->key_count; k++)
        if (view->keys[k] == UINT32_MAX)
            return source_error(&file->source, ERR_UNSUPPORTED, file->current->select->at,
                                "keep it in the view's columns",
                                "view %s does not have the key of its table, by which its rows are "
                                "read",
                                view->name);
    return 0;
}

/* The rows of a view, or of a SELECT inside this statement, out of their topic. */
static int read_topic(struct compile_file *file, const struct relation **relation)
{
    const struct relation *view = *relation, *reader = find_reader(file, view);
    struct arena *arena = &file->program->arena;
    TRY(check_view_key(file, view));
    if (reader == NULL) {
        struct relation *rows = relation_over(arena, view);
        if (rows == NULL)
            return ERR_NOMEM;
        rows->statement = view->statement != NULL ? view->statement : file->current;
        rows->rows_of = view;
        struct relation *own;
        TRY(write_topic(file, rows, rows->statement->name.text, "joined", &own));
        reader = own;
    }
    struct relation *named = relation_over(arena, reader);
    if (named == NULL)
        return ERR_NOMEM;
    named->name = view->name;
    *relation = named;
    return 0;
}

int own_topic(struct compile_file *file, const struct relation **relation)
{
    const struct relation *rows = *relation;
    if (!rows_have_met(rows))
        return 0;
    if (is_met_here(rows))
        return read_topic(file, relation);
    /* What is behind the join reads the topic, so that all who read the same join have one. */
    struct relation *over = arena_alloc(&file->program->arena, sizeof *over);
    if (over == NULL)
        return ERR_NOMEM;
    *over = *rows;
    *relation = over;
    return own_topic(file, &over->base);
}

/* ---- inside a SELECT ---- */

/* The columns that are used, under the names that rows have them by. */
static int list_used(struct compile_file *file, const struct select_scope *scope,
                     struct relation *rows)
{
    struct arena *arena = &file->program->arena;
    struct target_list targets = {
        .items = arena_zalloc(arena, (scope->row_count + 1) * sizeof *targets.items)};
    rows->columns = arena_zalloc(arena, (scope->row_count + 1) * sizeof *rows->columns);
    if (targets.items == NULL || rows->columns == NULL)
        return ERR_NOMEM;
    rows->time_column = -1;
    for (uint32_t i = 0; i < scope->row_count; i++) {
        if (!scope->columns[i].is_used)
            continue;
        if ((int32_t)i == scope->relation->time_column)
            rows->time_column = (int32_t)targets.count;
        rows->columns[targets.count] = (struct relation_column){
            .name = scope->names[i],
            .type = scope->types[i],
            .type_name = scope->columns[i].type_name,
        };
        targets.items[targets.count] =
            (struct target){syntax_column(arena, scope->names[i], -1), scope->names[i], -1};
        if (targets.items[targets.count++].syntax == NULL)
            return ERR_NOMEM;
    }
    rows->column_count = targets.count;
    return add_step(file, rows, STEP_MAP, text_of_targets(arena, &targets), NULL);
}

/* The rows of a SELECT, as far as it is planned, with the columns that are used. */
static struct relation *rows_so_far(struct compile_file *file, const struct select_scope *scope,
                                    const struct relation *out)
{
    struct relation *rows = relation_new(file, RELATION_RESULT, file->current);
    if (rows == NULL)
        return NULL;
    rows->base = out->base;
    rows->steps = out->steps;
    return list_used(file, scope, rows) == 0 ? rows : NULL;
}

/* They are written, and out goes on with what reads them. */
static int pass_topic(struct compile_file *file, struct relation *rows, const char *what,
                      struct relation *out, struct relation **reader)
{
    TRY(write_topic(file, rows, file->current->name.text, what, reader));
    out->base = *reader;
    out->steps = NULL;
    return 0;
}

int own_topic_of_rows(struct compile_file *file, const struct select_scope *scope,
                      struct relation *out)
{
    struct relation *rows = rows_so_far(file, scope, out), *reader;
    return rows == NULL ? ERR_NOMEM : pass_topic(file, rows, "joined", out, &reader);
}

/* ---- by the key of a table ---- */

/* How late rows may be, and how far ahead: as their sources say, the widest of them. */
static void widest_spans(const struct relation *relation, int64_t *lateness_ms, int64_t *skew_ms)
{
    for (uint32_t i = 0; i < relation->arm_count; i++)
        widest_spans(relation->arms[i], lateness_ms, skew_ms);
    if (relation->arm_count == 0 && relation->base != NULL) {
        widest_spans(relation->base, lateness_ms, skew_ms);
    } else if (relation->arm_count == 0) {
        int64_t lateness = relation->lateness_ms >= 0 ? relation->lateness_ms : WEIR_SECONDS(30);
        int64_t skew = relation->skew_ms >= 0 ? relation->skew_ms : WEIR_HOURS(1);
        *lateness_ms = lateness > *lateness_ms ? lateness : *lateness_ms;
        *skew_ms = skew > *skew_ms ? skew : *skew_ms;
    }
}

int own_topic_by(struct compile_file *file, const struct select_scope *scope, const char *column,
                 const char *like, struct relation *out)
{
    struct arena *arena = &file->program->arena;
    struct relation *rows = rows_so_far(file, scope, out), *reader;
    struct target key = {syntax_column(arena, column, -1), column, -1};
    struct target_list keys = {.items = &key, .count = 1};
    int64_t lateness_ms = -1, skew_ms = -1;
    if (rows == NULL || key.syntax == NULL)
        return ERR_NOMEM;
    widest_spans(rows->base, &lateness_ms, &skew_ms);
    rows->partitioned_by = text_of_targets(arena, &keys);
    rows->partitions_like = like;
    if (rows->partitioned_by == NULL)
        return ERR_NOMEM;
    TRY(pass_topic(file, rows, "rekeyed", out, &reader));
    reader->partitioned_by = column;
    reader->lateness_ms = lateness_ms;
    reader->skew_ms = skew_ms;
    return 0;
}

int own_topic_of_steps(struct compile_file *file, const struct select_scope *scope,
                       struct relation *out)
{
    struct step **place = &out->steps;
    while (*place != NULL && (*place)->kind != STEP_WITHIN)
        place = &(*place)->next;
    while (*place != NULL && ((*place)->kind == STEP_WITHIN || (*place)->kind == STEP_FILTER))
        place = &(*place)->next;
    struct step *rest = *place;
    if (rest == NULL || rest->kind == STEP_MAP)
        return 0;
    *place = NULL;
    TRY(own_topic_of_rows(file, scope, out));
    out->steps = rest;
    return 0;
}

/* ---- what nothing reads ---- */

static bool is_read(const struct sql_program *program, const struct relation *rows)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && !r->is_own && sql_result_reads(program, r, rows->topic))
            return true;
    return false;
}

void own_topics_forget(struct sql_program *program, const struct statement *statement)
{
    struct relation **place = &program->relations;
    while (*place != NULL) {
        bool is_asked = (*place)->is_own && (statement == NULL || (*place)->statement == statement);
        if (is_asked && !is_read(program, *place))
            *place = (*place)->next;
        else
            place = &(*place)->next;
    }
    program->end = place;
}
