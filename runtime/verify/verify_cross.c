/* verify_cross.c: rows of a de-duplication whose source has several partitions (see verify_parts.h).
 *
 * Rows of one key meet in one task, behind a topic that the engine removes what it has read of. In
 * which order rows of different partitions came there is written down nowhere, so it cannot be
 * followed. But mostly it decides nothing:
 *
 *   rows whose near ones all come of one partition of one source are judged in their order there;
 *   of near ones that are all the same, in every column and in time, one is kept, and which is no
 *   matter.
 *
 * What is left are clusters of rows that differ and come of different partitions: each of them may
 * have been the first. They are undecided, and what they are looked for in says which it was.
 *
 * The sources are read twice. The first time each row is listed by key, time, and a hash of all
 * that it carries. Then it is decided what became of each, and the second time they go on, or not,
 * in the order in which they were listed. Rows that the task has not read yet are still in the
 * topic: they are the last ones that their partition has sent there. */
#include <stdlib.h>

#include "operators/group_key.h"
#include "runtime/verify/verify_parts.h"

enum verdict { KEPT, REPEATS, LATE, DEAD, WAITS, UNDECIDED };

struct candidate {
    struct hash128 key, content;
    int64_t time_ms;
    uint32_t source; /* verify_source.number */
    int32_t partition;
    uint32_t cluster;
    uint8_t verdict; /* enum verdict */
    bool is_anyones;
};

struct verify_cross {
    struct candidate *rows; /* in the order of the sources */
    size_t count, capacity, next;
    uint32_t *order; /* by key and time */
    uint32_t *cluster_sizes;
    uint32_t cluster_count;
    struct counts *counts; /* by partition of the task */
    bool *is_undecided;
};

int verify_cross_open(struct verify *v)
{
    size_t partitions = (size_t)v->crossed->partitions;
    v->cross = calloc(1, sizeof *v->cross);
    if (v->cross == NULL)
        return verify_no_memory(v);
    v->cross->counts = calloc(partitions + 1, sizeof *v->cross->counts);
    v->cross->is_undecided = calloc(partitions + 1, sizeof *v->cross->is_undecided);
    return v->cross->counts != NULL && v->cross->is_undecided != NULL ? 0 : verify_no_memory(v);
}

void verify_cross_close(struct verify *v)
{
    if (v->cross == NULL)
        return;
    if (v->cross->rows != NULL)
        verify_let_go(v->cross->capacity * sizeof *v->cross->rows);
    free(v->cross->rows);
    free(v->cross->order);
    free(v->cross->cluster_sizes);
    free(v->cross->counts);
    free(v->cross->is_undecided);
    free(v->cross);
}

/* ---- the first time ---- */

static struct candidate *add_candidate(struct verify_cross *cross)
{
    if (cross->count == cross->capacity) {
        size_t capacity = cross->capacity > 0 ? cross->capacity * 2 : 1024;
        struct candidate *grown = capacity < UINT32_MAX
                                      ? verify_grow(cross->rows, cross->capacity * sizeof *grown,
                                                    capacity * sizeof *grown)
                                      : NULL;
        if (grown == NULL)
            return NULL;
        cross->rows = grown;
        cross->capacity = capacity;
    }
    return &cross->rows[cross->count++];
}

static void put_bytes(struct buf *out, struct bytes bytes)
{
    buf_be64(out, bytes.data == NULL ? UINT64_MAX : bytes.size);
    buf_append_bytes(out, bytes);
}

/* Among rows of one time first and last go by where they came from. */
static bool asks_for_place(const struct group_params *group)
{
    for (uint32_t c = 0; c < group->aggregates->call_count; c++)
        if (group->aggregates->calls[c].func == AGG_FIRST ||
            group->aggregates->calls[c].func == AGG_LAST)
            return true;
    return false;
}

/* What tells one row from another behind the crossing, beside its columns. */
static void put_record(struct verify *v, const struct verify_row *row)
{
    const struct view *view = v->view;
    struct buf *out = &v->scratch;
    buf_be64(out, (uint64_t)row->time_ms);
    if (view->is_windowed && row->watermark_ms > row->time_ms)
        buf_be64(out, (uint64_t)row->watermark_ms); /* its window may have ended */
    if (view->group != NULL && asks_for_place(view->group))
        buf_be64(out, row->source->number);
    if (view->group != NULL)
        return;
    put_bytes(out, view->rekey == NULL ? row->record->key : (struct bytes){NULL, 0});
    put_bytes(out, view->is_mapped ? (struct bytes){NULL, 0} : row->record->value);
    put_bytes(out, verify_headers(row->record->headers));
}

static int hash_content(struct verify *v, const struct verify_row *row, struct hash128 *hash)
{
    buf_clear(&v->scratch);
    put_record(v, row);
    for (uint32_t i = 0; i < row->batch->column_count; i++) {
        struct cell cell;
        buf_u8(&v->scratch, (uint8_t)row->batch->columns[i].type);
        if (row->batch->columns[i].data == NULL)
            continue;
        cell_read(&cell, &row->batch->columns[i], 0);
        if (cell_put(&cell, &v->scratch, &row->source->arena) < 0)
            return verify_no_memory(v);
    }
    *hash = hash128(v->scratch.data, v->scratch.size);
    return buf_ok(&v->scratch) ? 0 : verify_no_memory(v);
}

/* Where rows of its key meet: by the key as the topic's records have it. */
static int find_partition(struct verify *v, const struct distinct_params *params,
                          const struct verify_row *row, int32_t *partition, bool *is_good)
{
    const struct expr_list *list = params->key.list;
    struct reject_list rejects = {.arena = &row->source->arena};
    struct column *columns = arena_zalloc(&row->source->arena, (list->count + 1) * sizeof *columns);
    if (columns == NULL)
        return verify_no_memory(v);
    for (uint32_t i = 0; i < list->count; i++)
        TRY(expr_eval(list->exprs[i], row->batch, &columns[i], &rejects));
    *is_good = rejects.count == 0;
    buf_clear(&v->text);
    if (*is_good)
        group_key_encode(&v->text, columns, list->count, 0);
    *partition = murmur2_partition(v->text.data, v->text.size, v->crossed->partitions);
    return buf_ok(&v->text) ? 0 : verify_no_memory(v);
}

int verify_cross_row(void *verify, const struct verify_row *row, enum fate *fate)
{
    struct verify *v = verify;
    const struct distinct_params *params = row->source->arm->distinct;
    struct candidate found = {.source = row->source->number, .time_ms = row->time_ms};
    enum fate its;
    bool is_good = false;
    *fate = FATE_DEAD;
    TRY(find_partition(v, params, row, &found.partition, &is_good));
    if (!is_good)
        return 0;
    TRY(verify_repeat_name(v, params, row, &found.key, &its));
    TRY(hash_content(v, row, &found.content));
    found.verdict = its == FATE_LATE ? LATE : its == FATE_DEAD ? DEAD : KEPT;
    struct candidate *row_of = add_candidate(v->cross);
    if (row_of == NULL)
        return verify_no_memory(v);
    *row_of = found;
    *fate = FATE_APPLIED; /* of the task that reads it: it was sent */
    return 0;
}

/* ---- what the task has not read ---- */

struct unread {
    struct verify *v;
    struct verify_map counts; /* by source and partition; the value is a number */
    int32_t partition;
};

static struct hash128 way_name(uint32_t source, int32_t partition)
{
    uint64_t way = (uint64_t)source << 32 | (uint32_t)partition;
    return hash128(&way, sizeof way);
}

/* The sources were opened arm by arm, partition by partition. */
static bool source_number(const struct verify *v, uint64_t arm, uint64_t partition,
                          uint32_t *number)
{
    *number = 0;
    if (arm >= v->sources->arm_count || partition >= (uint64_t)v->sources[arm].partitions)
        return false;
    for (uint64_t i = 0; i < arm; i++)
        *number += (uint32_t)v->sources[i].partitions;
    *number += (uint32_t)partition;
    return true;
}

static int take_unread(void *context, const struct source_row *record)
{
    struct unread *unread = context;
    struct verify *v = unread->v;
    struct bytes in = record->value;
    uint64_t hash, arm, partition;
    uint8_t version;
    uint32_t number;
    if (take_u8(&in, &version) < 0 || take_be64(&in, &hash) < 0 || take_uvarint(&in, &arm) < 0 ||
        take_uvarint(&in, &partition) < 0 || !source_number(v, arm, partition, &number))
        return diag_set(v->diag, ERR_CORRUPT, "the record at offset %lld of %s-%d is no row of it",
                        (long long)record->offset, v->crossed->input_topic, (int)unread->partition);
    struct verify_entry *entry =
        verify_map_at(&unread->counts, way_name(number, unread->partition));
    if (entry == NULL)
        return verify_no_memory(v);
    entry->value = (void *)((uintptr_t)entry->value + 1);
    return 0;
}

static int count_unread(struct unread *unread)
{
    struct verify *v = unread->v;
    for (int32_t p = 0; p < v->crossed->partitions; p++) {
        const struct progress *progress = progress_set_find(&v->progress, v->crossed->name, p);
        struct port_range range;
        TRY(v->port->ops->range(v->port, v->crossed->input_topic, p, &range, v->diag));
        int64_t from = range.start;
        if (progress != NULL && !progress->is_begin && !progress->is_reset &&
            progress->position > from)
            from = progress->position;
        unread->partition = p;
        TRY(verify_read(v, v->crossed->input_topic, p, from, range.stable, take_unread, unread));
    }
    return 0;
}

static int leave_unread(struct verify *v)
{
    struct unread unread = {.v = v};
    int rc = count_unread(&unread);
    for (size_t i = v->cross->count; rc == 0 && i-- > 0;) {
        struct candidate *row = &v->cross->rows[i];
        struct verify_entry *entry =
            verify_map_find(&unread.counts, way_name(row->source, row->partition));
        if (entry == NULL || entry->value == NULL)
            continue;
        entry->value = (void *)((uintptr_t)entry->value - 1);
        row->verdict = WAITS;
    }
    verify_map_deinit(&unread.counts);
    return rc;
}

/* ---- who was first ---- */

static int compare_index(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int compare_names(struct hash128 a, struct hash128 b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return (a.low > b.low) - (a.low < b.low);
}

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct candidate *rows = context;
    const struct candidate *x = &rows[*(const uint32_t *)a], *y = &rows[*(const uint32_t *)b];
    int order = compare_names(x->key, y->key);
    if (order == 0)
        order = (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
    return order != 0 ? order : compare_index(a, b);
}

/* The rows of a cluster in the order of their source. */
static int judge_in_order(struct verify *v, uint32_t *rows, size_t count)
{
    struct kept_times kept = {0};
    int rc = 0;
    qsort(rows, count, sizeof *rows, compare_index);
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct candidate *row = &v->cross->rows[rows[i]];
        if (kept_times_near(&kept, row->time_ms, v->view->distinct->within_ms))
            row->verdict = REPEATS;
        else
            rc = kept_times_add(&kept, row->time_ms);
    }
    kept_times_deinit(&kept);
    return rc < 0 ? verify_no_memory(v) : 0;
}

static int judge_cluster(struct verify *v, uint32_t *rows, size_t count)
{
    struct verify_cross *cross = v->cross;
    const struct candidate *first = &cross->rows[rows[0]];
    bool is_one_source = true, is_one_row = true;
    for (size_t i = 1; i < count; i++) {
        const struct candidate *row = &cross->rows[rows[i]];
        is_one_source &= row->source == first->source;
        is_one_row &= compare_names(row->content, first->content) == 0;
    }
    for (size_t i = 0; i < count; i++)
        cross->rows[rows[i]].is_anyones = !is_one_source;
    if (is_one_source || is_one_row)
        return judge_in_order(v, rows, count);
    for (size_t i = 0; i < count; i++) {
        struct candidate *row = &cross->rows[rows[i]];
        row->verdict = UNDECIDED;
        row->cluster = cross->cluster_count;
        cross->is_undecided[row->partition] = true;
    }
    v->report->undecided += (int64_t)count;
    cross->cluster_sizes[cross->cluster_count++] = (uint32_t)count;
    return 0;
}

/* Rows further apart than within_ms, with nothing between, have nothing to do with each other. */
static int judge_clusters(struct verify *v, size_t count)
{
    const struct candidate *rows = v->cross->rows;
    uint32_t *order = v->cross->order;
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count; to++) {
            const struct candidate *before = &rows[order[to - 1]], *row = &rows[order[to]];
            if (compare_names(row->key, before->key) != 0 ||
                row->time_ms - before->time_ms > v->view->distinct->within_ms)
                break;
        }
        TRY(judge_cluster(v, order + from, to - from));
        TRY(verify_look(v));
    }
    return 0;
}

int verify_cross_decide(struct verify *v)
{
    struct verify_cross *cross = v->cross;
    size_t count = 0;
    TRY(leave_unread(v));
    cross->order = calloc(cross->count + 1, sizeof *cross->order);
    cross->cluster_sizes = calloc(cross->count + 1, sizeof *cross->cluster_sizes);
    if (cross->order == NULL || cross->cluster_sizes == NULL)
        return verify_no_memory(v);
    for (size_t i = 0; i < cross->count; i++)
        if (cross->rows[i].verdict == KEPT)
            cross->order[count++] = (uint32_t)i;
    qsort_r(cross->order, count, sizeof *cross->order, compare_rows, cross->rows);
    return judge_clusters(v, count);
}

/* ---- the second time ---- */

void verify_cross_next(struct verify *v, struct verify_row *row, enum fate *fate,
                       struct counts **counts)
{
    static const enum fate fates[] = {[KEPT] = FATE_APPLIED,
                                      [REPEATS] = FATE_DUPLICATE,
                                      [LATE] = FATE_LATE,
                                      [DEAD] = FATE_DEAD,
                                      [UNDECIDED] = FATE_APPLIED};
    struct verify_cross *cross = v->cross;
    must(cross->next < cross->count); /* what was read is read again */
    const struct candidate *found = &cross->rows[cross->next++];
    *counts = NULL;
    if (found->verdict == WAITS)
        return;
    *fate = fates[found->verdict];
    *counts = &cross->counts[found->partition];
    (*counts)->rows_in++;
    row->stage = v->crossed;
    row->partition = found->partition;
    row->is_undecided = found->verdict == UNDECIDED;
    row->cluster = found->cluster;
    row->is_anyones = found->is_anyones;
}

uint32_t verify_cross_cluster(const struct verify *v, uint32_t cluster)
{
    return v->cross->cluster_sizes[cluster];
}

void verify_cross_counts(struct verify *v)
{
    for (int32_t p = 0; p < v->crossed->partitions; p++) {
        const struct progress *progress = progress_set_find(&v->progress, v->crossed->name, p);
        struct counts *counts = &v->cross->counts[p];
        v->report->applied += counts->applied;
        v->report->filtered += counts->filtered;
        v->report->late += counts->late;
        v->report->dead += counts->dead;
        v->report->duplicate += counts->duplicate;
        v->report->unmatched += counts->unmatched;
        v->report->made += counts->rows_made;
        if (progress != NULL && !progress->is_begin && !progress->is_reset)
            verify_counts(v, v->crossed, p, counts, progress, v->cross->is_undecided[p]);
    }
}
