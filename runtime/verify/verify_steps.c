/* verify_steps.c: a row's way through the steps of its view (see verify_parts.h).
 *
 * A row at a time: each step gives none, one, or, where arrays are unnested, several, and calls the
 * next one for each. What has become of a row is counted where it is known. Steps that keep
 * something are in files of their own: verify_repeat.c, verify_cross.c, verify_join.c, verify_table.c, verify_within.c. */
#include "operators/json_value.h"
#include "runtime/verify/verify_parts.h"

static void count_fate(struct verify_walk *walk, enum fate fate)
{
    struct counts *counts = walk->counts;
    counts->applied += fate == FATE_APPLIED;
    counts->filtered += fate == FATE_FILTERED;
    counts->late += fate == FATE_LATE;
    counts->dead += fate == FATE_DEAD;
    counts->duplicate += fate == FATE_DUPLICATE;
    counts->unmatched += fate == FATE_UNMATCHED;
}

int verify_walk_end(struct verify_walk *walk, enum fate fate)
{
    count_fate(walk, fate);
    walk->fate = fate;
    return 0;
}

/* A row behind the steps of its task. */
static int end_steps(struct verify_walk *walk, const struct batch *batch)
{
    struct verify_row row = walk->row;
    enum fate fate = FATE_APPLIED;
    row.batch = batch;
    row.place.order = walk->order++;
    TRY(walk->end(walk->context, &row, &fate));
    return verify_walk_end(walk, fate);
}

/* Rows that meet elsewhere come by twice: they are listed, and, once it is known what became of each,
 * they go on where they met. */
static int step_cross(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    struct verify *v = walk->source->verify;
    enum fate fate;
    if (!v->is_second)
        return end_steps(walk, batch);
    struct verify_row row = walk->row;
    struct counts *counts = walk->counts;
    verify_cross_next(v, &walk->row, &fate, &walk->counts);
    int rc = 0;
    if (walk->counts != NULL)
        rc =
            fate == FATE_APPLIED ? verify_walk(walk, batch, step + 1) : verify_walk_end(walk, fate);
    walk->row = row;
    walk->counts = counts;
    return rc;
}

static int step_distinct(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    struct verify_source *source = walk->source;
    const struct distinct_params *params = source->arm->ops[step].params;
    struct verify_row row = walk->row;
    struct hash128 name;
    enum fate fate;
    bool is_repeat;
    if (source->verify->crossed != NULL)
        return step_cross(walk, batch, step);
    row.batch = batch;
    TRY(verify_repeat_name(source->verify, params, &row, &name, &fate));
    if (fate != FATE_APPLIED)
        return verify_walk_end(walk, fate);
    TRY(verify_repeat_is(source, params, name, row.time_ms, &is_repeat));
    return is_repeat ? verify_walk_end(walk, FATE_DUPLICATE) : verify_walk(walk, batch, step + 1);
}

static int step_filter(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct filter_params *params = walk->source->arm->ops[step].params;
    uint16_t selection[1];
    uint32_t count = 0, before = walk->rejects.count;
    TRY(expr_filter(params->condition, batch, selection, &count, &walk->rejects));
    if (walk->rejects.count > before)
        return verify_walk_end(walk, FATE_DEAD);
    return count == 0 ? verify_walk_end(walk, FATE_FILTERED) : verify_walk(walk, batch, step + 1);
}

/* As in PostgreSQL, NULL passes. */
static int step_check(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct filter_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count;
    struct column column;
    struct cell cell;
    TRY(expr_eval(params->condition, batch, &column, &walk->rejects));
    if (walk->rejects.count > before)
        return verify_walk_end(walk, FATE_DEAD);
    cell_read(&cell, &column, 0);
    bool is_false = !cell.is_null && (cell.type == COL_VARIANT ? cell.variant.kind == VARIANT_FALSE
                                                               : cell.boolean == 0);
    return is_false ? verify_walk_end(walk, FATE_DEAD) : verify_walk(walk, batch, step + 1);
}

/* New columns, in place of the old ones or behind them. */
static int step_columns(struct verify_walk *walk, const struct batch *batch, uint32_t step,
                        uint32_t kept_count)
{
    const struct map_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count, count = kept_count + params->list->count;
    struct batch out = *batch;
    out.columns = arena_alloc(&walk->source->arena, (count + 1) * sizeof *out.columns);
    if (out.columns == NULL)
        return ERR_NOMEM;
    if (kept_count > 0)
        memcpy(out.columns, batch->columns, kept_count * sizeof *out.columns);
    for (uint32_t i = 0; i < params->list->count; i++)
        TRY(expr_eval(params->list->exprs[i], batch, &out.columns[kept_count + i], &walk->rejects));
    out.column_count = count;
    return walk->rejects.count > before ? verify_walk_end(walk, FATE_DEAD)
                                        : verify_walk(walk, &out, step + 1);
}

static int walk_element(struct verify_walk *walk, const struct batch *batch, uint32_t step,
                        struct bytes text)
{
    const struct unnest_params *params = walk->source->arm->ops[step].params;
    struct arena *arena = &walk->source->arena;
    uint32_t column = params->column;
    uint32_t count = batch->column_count > column ? batch->column_count : column + 1;
    struct batch out = *batch;
    out.columns = arena_alloc(arena, (count + 1) * sizeof *out.columns);
    if (out.columns == NULL)
        return ERR_NOMEM;
    memcpy(out.columns, batch->columns, batch->column_count * sizeof *out.columns);
    out.column_count = count;
    TRY(column_alloc(&out.columns[column], COL_VARIANT, 1, false, arena));
    int rc = json_value_read(text, arena, &out.columns[column].variant[0]);
    if (rc == ERR_NOMEM)
        return rc;
    return rc < 0 ? verify_walk_end(walk, FATE_DEAD) : verify_walk(walk, &out, step + 1);
}

static int walk_elements(struct verify_walk *walk, const struct batch *batch, uint32_t step,
                         struct bytes array)
{
    struct json_elements elements;
    struct bytes text;
    int64_t count = 0;
    int rc;
    if (json_elements_begin(&elements, array) < 0)
        return verify_walk_end(walk, FATE_DEAD);
    for (; (rc = json_elements_next(&elements, &text)) > 0; count++)
        TRY(walk_element(walk, batch, step, text));
    if (rc < 0) {
        count++;
        TRY(verify_walk_end(walk, FATE_DEAD));
    }
    walk->counts->rows_made += count > 0 ? count - 1 : 0;
    return count == 0 ? verify_walk_end(walk, FATE_FILTERED) : 0;
}

static int step_unnest(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct unnest_params *params = walk->source->arm->ops[step].params;
    uint32_t before = walk->rejects.count;
    struct column arrays;
    struct cell cell;
    TRY(expr_eval(params->array, batch, &arrays, &walk->rejects));
    if (walk->rejects.count > before)
        return verify_walk_end(walk, FATE_DEAD);
    cell_read(&cell, &arrays, 0);
    if (cell.is_null)
        return verify_walk_end(walk, FATE_FILTERED);
    if (cell.variant.kind != VARIANT_JSON)
        return verify_walk_end(walk, FATE_DEAD);
    return walk_elements(walk, batch, step, bytes_of(cell.variant.data, cell.variant.size));
}

int verify_walk(struct verify_walk *walk, const struct batch *batch, uint32_t step)
{
    const struct view *arm = walk->source->arm;
    if (step == arm->op_count)
        return end_steps(walk, batch);
    const char *name = arm->ops[step].type->name;
    if (strcmp(name, "filter") == 0)
        return step_filter(walk, batch, step);
    if (strcmp(name, "check") == 0)
        return step_check(walk, batch, step);
    if (strcmp(name, "map") == 0)
        return step_columns(walk, batch, step, 0);
    if (strcmp(name, "rekey") == 0)
        return step_columns(walk, batch, step, batch->column_count);
    if (strcmp(name, "distinct") == 0)
        return step_distinct(walk, batch, step);
    if (strcmp(name, "join") == 0)
        return verify_join_step(walk, batch, step);
    if (strcmp(name, "join_side") == 0)
        return verify_side_step(walk, batch, step);
    if (strcmp(name, "keyed") == 0)
        return verify_keyed_step(walk, batch, step);
    if (strcmp(name, "latest") == 0)
        return verify_walk(walk, batch, step + 1); /* its table is what the walk ends in */
    if (strcmp(name, "unnest") == 0)
        return step_unnest(walk, batch, step);
    must(strcmp(name, "peek") == 0); /* verify_view.c has refused the others */
    return verify_walk(walk, batch, step + 1);
}
