/* join_cut.c: records of how far tables were read when rows of a stream met them (see join_cut.h).
 *
 * What a row is joined with depends on how far the table was read before it, which in a live run is
 * a matter of when records arrived. So each commit that read a table on says so, in the same
 * transaction as the results: a replay, or whoever checks the results, has the same order again. A
 * commit in which no table moved writes nothing, and one in which only tables moved writes over what
 * the one before it said of the same offset. Cuts go when the records of the stream that they
 * are about are gone. */
#include "runtime/join_cut.h"
#include "runtime/progress_parts.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "cut/";

bool join_cut_is_key(struct bytes key)
{
    return progress_place_is(key, prefix);
}

void join_cut_key(struct buf *key, const char *stage, int32_t partition, int64_t offset)
{
    progress_put_place(key, prefix, stage, partition, offset);
}

void join_cut_value(struct buf *value, const struct join_cut *cut)
{
    buf_printf(value, "{\"version\":1");
    progress_put_id(value, "input", cut->input_id);
    buf_printf(value, ",\"partition\":%d,\"offset\":%lld", (int)cut->partition,
               (long long)cut->offset);
    if (cut->by_time)
        buf_printf(value, ",\"end\":%lld", (long long)cut->end);
    for (uint32_t i = 0; cut->by_time && i < cut->table_count; i++)
        buf_printf(value, i == 0 ? ",\"begins\":[%lld" : ",%lld", (long long)cut->begins[i]);
    if (cut->by_time && cut->table_count > 0)
        buf_u8(value, ']');
    progress_put_tables(value, cut->tables, cut->table_count);
    buf_u8(value, '}');
}

static int damaged(struct bytes key, struct diag *diag)
{
    return diag_set(diag, ERR_CORRUPT, "a cut of a join does not decode (key %.*s)",
                    (int)(key.size < 100 ? key.size : 100), (const char *)key.data);
}

static int decode_begins(const json_t *object, struct join_cut *cut)
{
    const json_t *begins = json_object_get(object, "begins");
    if (json_array_size(begins) != cut->table_count)
        return ERR_CORRUPT;
    cut->begins = malloc((cut->table_count + 1) * sizeof *cut->begins);
    if (cut->begins == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < cut->table_count; i++)
        cut->begins[i] = json_integer_value(json_array_get(begins, i));
    return 0;
}

int join_cut_decode(struct bytes key, struct bytes value, struct join_cut *cut, struct diag *diag)
{
    json_error_t error;
    memset(cut, 0, sizeof *cut);
    if (progress_get_place(key, prefix, cut->stage, &cut->partition, &cut->offset) < 0)
        return damaged(key, diag);
    cut->is_gone = value.data == NULL;
    if (cut->is_gone)
        return 0;
    json_t *object = json_loadb((const char *)value.data, value.size, 0, &error);
    const json_t *end = json_object_get(object, "end");
    bool is_good = json_integer_value(json_object_get(object, "version")) == 1 &&
                   progress_get_id(object, "input", cut->input_id) == 0;
    int rc = is_good ? progress_get_tables(object, &cut->tables, &cut->table_count) : ERR_CORRUPT;
    cut->by_time = json_is_integer(end);
    cut->end = json_integer_value(end);
    if (rc == 0 && cut->by_time)
        rc = decode_begins(object, cut);
    json_decref(object);
    if (rc == 0)
        return 0;
    join_cut_deinit(cut);
    return rc == ERR_NOMEM ? diag_set(diag, rc, "no memory for a join's cuts") : damaged(key, diag);
}

void join_cut_deinit(struct join_cut *cut)
{
    free(cut->tables);
    free(cut->begins);
    cut->tables = NULL;
    cut->begins = NULL;
    cut->table_count = 0;
}

/* ---- those of a task ---- */

static int compare_cuts(const void *a, const void *b)
{
    const struct join_cut *x = *(const struct join_cut *const *)a;
    const struct join_cut *y = *(const struct join_cut *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x < y ? -1 : x > y; /* as they stand in the topic */
}

uint32_t join_cuts_of_task(const struct progress_set *set, const char *stage, int32_t partition,
                           const struct join_cut **cuts)
{
    uint32_t count = 0, kept = 0;
    for (uint32_t i = 0; i < set->cut_count; i++)
        if (set->cuts[i].partition == partition && strcmp(set->cuts[i].stage, stage) == 0)
            cuts[count++] = &set->cuts[i];
    if (count > 1)
        qsort(cuts, count, sizeof *cuts, compare_cuts);
    for (uint32_t i = 0; i < count; i++)
        if (i + 1 == count || cuts[i + 1]->offset != cuts[i]->offset)
            cuts[kept++] = cuts[i];
    return kept;
}

bool join_cut_fits(const struct join_cut *cut, const struct stage *stage, int32_t partition)
{
    uint32_t at = 0;
    if (memcmp(cut->input_id, stage->input_id, 16) != 0)
        return false;
    for (uint32_t t = 0; t < stage->table_count; t++)
        for (int32_t i = 0; i < stage_table_inputs(&stage->tables[t]); i++, at++)
            if (at >= cut->table_count || cut->tables[at].number != t ||
                cut->tables[at].partition !=
                    stage_table_partition(&stage->tables[t], partition, i) ||
                memcmp(cut->tables[at].id, stage->tables[t].id, 16) != 0)
                return false;
    return at == cut->table_count;
}

/* ---- the list of a task ---- */

void join_cuts_deinit(struct join_cuts *cuts)
{
    for (uint32_t i = 0; i < cuts->count; i++)
        free(cuts->items[i].positions);
    free(cuts->items);
    free(cuts->gone);
    *cuts = (struct join_cuts){0};
}

int join_cuts_add(struct join_cuts *cuts, const struct cut_step *step, struct diag *diag)
{
    struct cut_step *last = cuts->count > 0 ? &cuts->items[cuts->count - 1] : NULL;
    must(last == NULL || last->offset <= step->offset);
    if (last != NULL && last->offset == step->offset) {
        free(last->positions);
        *last = *step;
        return 0;
    }
    if (cuts->count == cuts->capacity) {
        uint32_t capacity = cuts->capacity != 0 ? cuts->capacity * 2 : 8;
        struct cut_step *grown = realloc(cuts->items, capacity * sizeof *grown);
        if (grown == NULL) {
            free(step->positions);
            return diag_set(diag, ERR_NOMEM, "no memory for a join's cuts");
        }
        cuts->items = grown;
        cuts->capacity = capacity;
    }
    cuts->items[cuts->count++] = *step;
    return 0;
}

void join_cuts_pass(struct join_cuts *cuts)
{
    struct cut_step *step = &cuts->items[cuts->next++];
    free(step->positions);
    step->positions = NULL;
}

int join_cuts_forget(struct join_cuts *cuts, int64_t offset, struct diag *diag)
{
    if (cuts->gone_count == cuts->gone_capacity) {
        uint32_t capacity = cuts->gone_capacity != 0 ? cuts->gone_capacity * 2 : 8;
        int64_t *grown = realloc(cuts->gone, capacity * sizeof *grown);
        if (grown == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a join's cuts");
        cuts->gone = grown;
        cuts->gone_capacity = capacity;
    }
    cuts->gone[cuts->gone_count++] = offset;
    return 0;
}

int join_cuts_drop_before(struct join_cuts *cuts, int64_t offset, struct diag *diag)
{
    uint32_t count =
        cuts->count > JOIN_CUTS_MAX ? cuts->count - JOIN_CUTS_MAX + JOIN_CUTS_MAX / 8 : 0;
    while (count + 1 < cuts->next && cuts->items[count + 1].offset <= offset)
        count++;
    if (count > cuts->next)
        count = cuts->next;
    for (uint32_t i = 0; i < count; i++)
        TRY(join_cuts_forget(cuts, cuts->items[i].offset, diag));
    if (count == 0)
        return 0; /* there may be no list at all */
    memmove(cuts->items, cuts->items + count, (cuts->count - count) * sizeof *cuts->items);
    cuts->count -= count;
    cuts->next -= count;
    return 0;
}
