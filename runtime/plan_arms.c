/* plan_arms.c: a stream whose rows come from several sources (weir_merge), taken apart into arms.
 *
 * The builder's nodes form a graph: from weir_to upwards each step has one parent, a merge has
 * several. Every way up to a source is an arm: a chain like that of any other stream, whose merges
 * do nothing. It is compiled as a view of its own, with the steps behind the merge, since the same
 * name may be another field in each source. So nothing behind the plan knows of merges: an arm's
 * stage decodes, filters and times its rows as if it were alone, and writes where the others write.
 *
 * Behind a merge all rows must have the same columns, by name and type and in the same order: what
 * the first arm has there is kept, and any other arm is compared with it before a step behind the
 * merge is compiled.
 *
 * What the state means depends on all arms and their order, so that the hashes of a view are made of
 * those of its arms. With a single arm they are the arm's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/hash.h"
#include "runtime/format.h"
#include "runtime/plan_compile.h"

enum { ARMS_MAX = 64 };

/* ---- the ways up ---- */

struct walk {
    struct weir_stream *steps[COMPILE_CHAIN_MAX]; /* from weir_to up to where the walk is */
    uint32_t
        within; /* how many steps there are with a join of two streams or tables; 0: none has come */
    unsigned side;
    struct arm_chains *chains;
    const char *topic;
    struct diag *diag;
};

static int add_chain(struct walk *walk, uint32_t count)
{
    struct arm_chains *chains = walk->chains;
    if (chains->count == ARMS_MAX)
        return diag_set(walk->diag, ERR_TOO_LARGE,
                        "stream to %s: more than %d ways lead to it from its sources", walk->topic,
                        ARMS_MAX);
    struct arm_chain *grown = realloc(chains->items, (chains->count + 1) * sizeof *grown);
    if (grown == NULL)
        return compile_no_memory(walk->diag);
    chains->items = grown;
    struct arm_chain *chain = &grown[chains->count++];
    chain->count = count;
    chain->within = walk->within > 0 ? count - walk->within : 0;
    chain->side = walk->side;
    for (uint32_t i = 0; i < count; i++)
        chain->steps[i] = walk->steps[count - 1 - i];
    return 0;
}

static int walk_up(struct walk *walk, struct weir_stream *node, uint32_t depth);

/* Both sides of a join. Of one behind another the builder has said that it cannot be. */
static int walk_sides(struct walk *walk, struct weir_stream *join, uint32_t depth)
{
    must(walk->within == 0);
    walk->within = depth;
    walk->side = WITHIN_LEFT;
    TRY(walk_up(walk, join->parent, depth));
    walk->side = WITHIN_RIGHT;
    TRY(walk_up(walk, join->table, depth));
    walk->within = 0;
    return 0;
}

static int walk_up(struct walk *walk, struct weir_stream *node, uint32_t depth)
{
    for (;; node = node->parent) {
        if (depth == COMPILE_CHAIN_MAX)
            return diag_set(walk->diag, ERR_TOO_LARGE, "stream to %s: more than %d steps",
                            walk->topic, PLAN_MAX_OPS);
        walk->steps[depth++] = node;
        if (node->kind == NODE_WITHIN || node->kind == NODE_JOIN_TABLES)
            return walk_sides(walk, node, depth);
        if (node->kind == NODE_MERGE)
            break;
        if (node->parent == NULL)
            return add_chain(walk, depth);
    }
    for (uint32_t i = 0; i < node->merged_count; i++)
        TRY(walk_up(walk, node->merged[i], depth));
    return 0;
}

int arm_chains_find(const struct sink *sink, struct arm_chains *chains, struct diag *diag)
{
    struct walk walk = {.chains = chains, .topic = sink->topic, .diag = diag};
    return walk_up(&walk, sink->stream, 0);
}

void arm_chains_deinit(struct arm_chains *chains)
{
    for (uint32_t i = 0; i < chains->shape_count; i++) {
        struct arm_shape *shape = &chains->shapes[i];
        for (uint32_t c = 0; c < shape->count; c++)
            free(shape->names[c]);
        free(shape->names);
        free(shape->types);
    }
    free(chains->shapes);
    free(chains->items);
    *chains = (struct arm_chains){0};
}

/* ---- the same columns ---- */

/* The columns that rows have at this place: those of steps, else those that unnesting added to the
 * fields of a source. */
static uint32_t column_count(const struct compile *c)
{
    return c->columns.names != NULL ? c->columns.count : c->made_count;
}
static const char *column_name(const struct compile *c, uint32_t i)
{
    return c->columns.names != NULL ? c->columns.names[i] : c->made[i].name;
}
static enum col_type column_type(const struct compile *c, uint32_t i)
{
    return c->columns.names != NULL ? c->columns.types[i] : c->made[i].type;
}

static int keep_shape(struct arm_chains *chains, const struct compile *c,
                      const struct weir_stream *merge)
{
    struct arm_shape *grown =
        realloc(chains->shapes, (chains->shape_count + 1) * sizeof *chains->shapes);
    if (grown == NULL)
        return compile_no_memory(c->diag);
    chains->shapes = grown;
    struct arm_shape *shape = &grown[chains->shape_count++];
    uint32_t count = column_count(c);
    *shape = (struct arm_shape){.merge = merge,
                                .source = c->view->source,
                                .has_columns = c->columns.names != NULL,
                                .names = calloc(count + 1, sizeof *shape->names),
                                .types = calloc(count + 1, sizeof *shape->types)};
    if (shape->names == NULL || shape->types == NULL)
        return compile_no_memory(c->diag);
    for (; shape->count < count; shape->count++) {
        shape->names[shape->count] = strdup(column_name(c, shape->count));
        shape->types[shape->count] = column_type(c, shape->count);
        if (shape->names[shape->count] == NULL)
            return compile_no_memory(c->diag);
    }
    return 0;
}

static int differ(const struct view *arm, const struct weir_stream *first, const char *how,
                  struct diag *diag)
{
    return diag_set(diag, ERR_INVALID,
                    "stream to %s: weir_merge: the rows of %s and of %s differ: %s\nhint: give all "
                    "of them the same columns in the same order with weir_map",
                    arm->sink->topic, first->text, arm->source->text, how);
}

static int compare_shape(const struct compile *c, const struct arm_shape *shape)
{
    char how[400];
    uint32_t count = column_count(c);
    const char *first = shape->source->text, *second = c->view->source->text;
    if (shape->has_columns != (c->columns.names != NULL)) {
        snprintf(how, sizeof how,
                 "those of %.120s have declared columns, those of %.120s any field",
                 shape->has_columns ? first : second, shape->has_columns ? second : first);
        return differ(c->view, shape->source, how, c->diag);
    }
    for (uint32_t i = 0; i < count && i < shape->count; i++) {
        bool same_name = strcmp(shape->names[i], column_name(c, i)) == 0;
        if (same_name && shape->types[i] == column_type(c, i))
            continue;
        snprintf(how, sizeof how, "column %u is %.64s %s in the first and %.64s %s in the second",
                 (unsigned)i + 1, shape->names[i], col_type_name(shape->types[i]),
                 column_name(c, i), col_type_name(column_type(c, i)));
        return differ(c->view, shape->source, how, c->diag);
    }
    if (shape->count != count) {
        bool is_first = shape->count > count;
        snprintf(how, sizeof how, "only those of %.120s have a column %.64s",
                 is_first ? first : second,
                 is_first ? shape->names[count] : column_name(c, shape->count));
        return differ(c->view, shape->source, how, c->diag);
    }
    return 0;
}

int arm_chains_pass_merge(struct arm_chains *chains, const struct compile *c,
                          const struct weir_stream *merge)
{
    for (uint32_t i = 0; i < chains->shape_count; i++)
        if (chains->shapes[i].merge == merge)
            return compare_shape(c, &chains->shapes[i]);
    return keep_shape(chains, c, merge);
}

/* ---- the view of them ---- */

int plan_arm_add(struct view *lead, uint32_t arm, struct view **result, struct diag *diag)
{
    struct view *view = lead;
    if (arm > 0) {
        struct view **end = &lead->next_arm;
        while (*end != NULL)
            end = &(*end)->next_arm;
        view = *end = calloc(1, sizeof *view);
        if (view == NULL)
            return compile_no_memory(diag);
    }
    view->sink = lead->sink;
    view->lead = lead;
    view->arm = arm;
    view->upstream = -1;
    lead->arm_count = arm + 1;
    *result = view;
    return 0;
}

/* Rows that were only filtered keep their bytes: one topic is not to hold two formats. */
static int check_formats(const struct view *lead, struct diag *diag)
{
    for (const struct view *arm = lead->next_arm; arm != NULL; arm = arm->next_arm) {
        char how[200];
        if (arm->format == lead->format)
            continue;
        snprintf(how, sizeof how, "the first are written as %.64s and the second as %.64s",
                 lead->format->name, arm->format->name);
        return differ(arm, lead->source, how, diag);
    }
    return 0;
}

int plan_arms_finish(struct view *lead, struct diag *diag)
{
    struct buf plan, state;
    if (lead->arm_count == 1)
        return 0;
    TRY(check_formats(lead, diag));
    buf_init(&plan, 0);
    buf_init(&state, 0);
    for (const struct view *arm = lead; arm != NULL; arm = arm->next_arm) {
        buf_be64(&plan, arm->plan_hash);
        buf_be64(&state, arm->state_hash);
    }
    bool ok = buf_ok(&plan) && buf_ok(&state);
    uint64_t plan_hash = hash64(plan.data, plan.size);
    uint64_t state_hash = hash64(state.data, state.size) | 1;
    for (struct view *arm = lead; arm != NULL; arm = arm->next_arm) {
        arm->plan_hash = plan_hash;
        arm->state_hash = state_hash;
    }
    if (lead->joined != NULL) {
        lead->joined->plan_hash = plan_hash;
        lead->joined->state_hash = state_hash;
    }
    buf_deinit(&plan);
    buf_deinit(&state);
    return ok ? 0 : compile_no_memory(diag);
}

/* ---- names ---- */

/* An arm is named by its source. When several arms read one topic, the second one has :2 behind it. */
void plan_stage_name(const struct view *arm, char name[STAGE_NAME_BYTES])
{
    const struct view *lead = arm->lead;
    unsigned number = 1;
    if (lead->arm_count == 1) {
        snprintf(name, STAGE_NAME_BYTES, "%s", arm->sink->topic);
        return;
    }
    for (const struct view *other = lead; other != arm; other = other->next_arm)
        number += strcmp(other->source->text, arm->source->text) == 0;
    int size = snprintf(name, STAGE_NAME_BYTES, "%s:%s", arm->sink->topic, arm->source->text);
    if (number > 1)
        size += snprintf(name + size, STAGE_NAME_BYTES - (size_t)size, ":%u", number);
    must(size > 0 && size < STAGE_NAME_BYTES);
}

bool plan_is_stage_of(const struct view *view, const char *stage_name)
{
    const char *topic = view->sink->topic;
    size_t size = strlen(topic);
    return strncmp(stage_name, topic, size) == 0 &&
           (stage_name[size] == '\0' || stage_name[size] == ':' ||
            strcmp(stage_name + size, "-repartition") == 0 ||
            strcmp(stage_name + size, "-distinct") == 0);
}

bool plan_is_final(const struct view *view)
{
    if (view->lead->joined != NULL)
        return view->lead->keyed == NULL;
    return view->group != NULL ? view->group->emit_final
                               : view->keyed == NULL && plan_keeps_rows(view);
}

bool plan_keeps_rows(const struct view *view)
{
    for (uint32_t i = 0; i < view->op_count; i++)
        if (view->ops[i].type->save != NULL)
            return true;
    return false;
}

/* Topics' names have no colons. */
int plan_changelog_name(const char *app, const char *stage, char name[TOPIC_NAME_BYTES],
                        struct diag *diag)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%s-", app);
    for (const char *at = stage; *at != '\0'; at++)
        buf_printf(&text, *at == ':' ? "-from-" : "%c", *at);
    buf_printf(&text, "-changelog");
    buf_u8(&text, 0);
    bool fits = text.size < TOPIC_NAME_BYTES;
    if (buf_ok(&text) && fits)
        memcpy(name, text.data, text.size);
    int rc = !buf_ok(&text) ? diag_set(diag, ERR_NOMEM, "no memory for the plan")
             : fits         ? 0
                            : diag_set(diag, ERR_TOO_LARGE,
                                       "the name of the changelog of stage %s is too long: give its "
                                               "output, or the app, a shorter one",
                                       stage);
    buf_deinit(&text);
    return rc;
}
