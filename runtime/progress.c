/* progress.c: encodes and decodes progress records (see progress.h).
 *
 * JSON, since a person who looks for a stuck watermark reads this topic with weir consume, and
 * since it is written once per task and commit, not per record. jansson's integers are 64 bits. A
 * time that was never set is null. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/copy/copy_mark.h"
#include "runtime/join_cut.h"
#include "runtime/progress_parts.h"

const char *const count_names[COUNT_FIELDS] = {"in",        "made", "applied",   "filtered", "late",
                                               "duplicate", "dead", "unmatched", "out"};
_Static_assert(sizeof(struct counts) == COUNT_FIELDS * sizeof(int64_t), "count_names lists all");

void counts_add(struct counts *sum, const struct counts *counts, int sign)
{
    struct counts addend = *counts;
    for (int i = 0; i < COUNT_FIELDS; i++)
        *counts_field(sum, i) += sign * *counts_field(&addend, i);
}

void progress_view(const struct progress *progress, char view[250])
{
    static const char suffix[] = "-repartition";
    size_t size, cut = sizeof suffix - 1;
    if (progress->view[0] != '\0') {
        memcpy(view, progress->view, strlen(progress->view) + 1);
        return;
    }
    snprintf(view, sizeof progress->view, "%.*s", (int)sizeof progress->view - 1, progress->stage);
    size = strlen(view);
    if (progress->end_count > 0 && size > cut && strcmp(view + size - cut, suffix) == 0)
        view[size - cut] = '\0';
}

void progress_key(const struct progress *progress, struct buf *key)
{
    buf_printf(key, "%s/%d", progress->stage, (int)progress->partition);
}

static void put_time(struct buf *value, const char *name, int64_t time_ms)
{
    if (time_ms == TIME_NONE)
        buf_printf(value, ",\"%s\":null", name);
    else
        buf_printf(value, ",\"%s\":%lld", name, (long long)time_ms);
}

static void put_offsets(struct buf *value, const char *name, const int64_t *offsets, uint32_t count)
{
    buf_printf(value, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(value, "%s%lld", i > 0 ? "," : "", (long long)offsets[i]);
    buf_u8(value, ']');
}

/* What an older reader would take for something else: where a stage begins that was started anew. */
static void put_start(const struct progress *p, struct buf *value)
{
    static const char *const starts[] = {
        [START_AT_BEGINNING] = "", [START_AT_POSITION] = "position", [START_BEHIND] = "behind"};
    if (p->is_begin)
        buf_printf(value, ",\"begin\":true");
    if (p->is_table)
        buf_printf(value, ",\"table\":true");
    if (p->is_reset && p->start != START_AT_BEGINNING)
        buf_printf(value, ",\"start\":\"%s\"", starts[p->start]);
    if (p->is_reset && p->clears)
        buf_printf(value, ",\"clear\":true");
}

void progress_encode(const struct progress *p, struct buf *value)
{
    bool is_new = p->is_begin || (p->is_reset && (p->start != START_AT_BEGINNING || p->clears));
    buf_printf(value, "{\"version\":%d,\"reset\":%s,\"plan\":\"%016llx\"", is_new ? 2 : 1,
               p->is_reset ? "true" : "false", (unsigned long long)p->plan_hash);
    put_start(p, value);
    if (p->view[0] != '\0' && strcmp(p->view, p->stage) != 0)
        buf_printf(value, ",\"view\":\"%s\"", p->view);
    if (p->reads_partials)
        buf_printf(value, ",\"partials\":true");
    if (p->state_hash != 0)
        buf_printf(value, ",\"state\":\"%016llx\",\"final\":%s", (unsigned long long)p->state_hash,
                   p->is_final ? "true" : "false");
    progress_put_id(value, "input", p->input_id);
    buf_printf(value, ",\"position\":%lld", (long long)p->position);
    if (p->first >= 0 && !p->is_reset && !p->is_begin)
        buf_printf(value, ",\"first\":%lld", (long long)p->first);
    put_time(value, "watermark", p->watermark_ms);
    put_time(value, "max_event_time", p->max_event_ms);
    put_time(value, "closed_before", p->closed_before_ms);
    put_time(value, "max_window", p->max_window_ms);
    progress_put_id(value, "changelog", p->changelog_id);
    buf_printf(value, ",\"changelog_end\":%lld", (long long)p->changelog_end);
    struct counts counts = p->counts;
    for (int i = 0; i < COUNT_FIELDS; i++)
        buf_printf(value, "%s\"%s\":%lld", i == 0 ? ",\"rows\":{" : ",", count_names[i],
                   (long long)*counts_field(&counts, i));
    buf_u8(value, '}');
    buf_printf(value, ",\"output_partitions\":%d", (int)p->output_partitions);
    put_offsets(value, "ends", p->ends, p->end_count);
    if (p->from_count > 0 && !p->is_reset && !p->is_begin)
        put_offsets(value, "output_from", p->output_from, p->from_count);
    progress_put_tables(value, p->tables, p->table_count);
    buf_u8(value, '}');
}

static int64_t get_time(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : TIME_NONE;
}
static int64_t get_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static int decode_key(struct bytes key, struct progress *p)
{
    char text[sizeof p->stage + 16];
    if (key.size == 0 || key.size >= sizeof text)
        return ERR_CORRUPT;
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    char *slash = strrchr(text, '/');
    if (slash == NULL || slash - text >= (ptrdiff_t)sizeof p->stage ||
        sscanf(slash + 1, "%d", &p->partition) != 1)
        return ERR_CORRUPT;
    *slash = '\0';
    memcpy(p->stage, text, (size_t)(slash - text) + 1);
    return 0;
}

static int decode_offsets(const json_t *list, int64_t **offsets, uint32_t *count)
{
    *offsets = malloc((json_array_size(list) + 1) * sizeof **offsets);
    if (*offsets == NULL)
        return ERR_NOMEM;
    for (*count = 0; *count < json_array_size(list); ++*count)
        (*offsets)[*count] = json_integer_value(json_array_get(list, *count));
    return 0;
}

static int decode_start(const json_t *object, struct progress *p)
{
    const char *view = json_string_value(json_object_get(object, "view"));
    const char *start = json_string_value(json_object_get(object, "start"));
    if (view != NULL && strlen(view) >= sizeof p->view)
        return ERR_CORRUPT;
    if (view != NULL)
        memcpy(p->view, view, strlen(view) + 1);
    if (start != NULL && strcmp(start, "position") != 0 && strcmp(start, "behind") != 0)
        return ERR_CORRUPT;
    p->start = start == NULL     ? START_AT_BEGINNING
               : start[0] == 'p' ? START_AT_POSITION
                                 : START_BEHIND;
    p->reads_partials = json_is_true(json_object_get(object, "partials"));
    p->is_begin = json_is_true(json_object_get(object, "begin"));
    p->clears = json_is_true(json_object_get(object, "clear"));
    p->is_table = json_is_true(json_object_get(object, "table"));
    return 0;
}

static int decode_value(const json_t *object, struct progress *p)
{
    const char *plan = json_string_value(json_object_get(object, "plan"));
    unsigned long long hash;
    int64_t version = get_number(object, "version");
    if (version < 1 || version > 2 || plan == NULL || sscanf(plan, "%llx", &hash) != 1)
        return ERR_CORRUPT;
    TRY(decode_start(object, p));
    p->plan_hash = hash;
    const char *state = json_string_value(json_object_get(object, "state"));
    if (state != NULL && sscanf(state, "%llx", &hash) != 1)
        return ERR_CORRUPT;
    p->state_hash = state != NULL ? hash : 0;
    p->is_final = json_is_true(json_object_get(object, "final"));
    p->is_reset = json_is_true(json_object_get(object, "reset"));
    TRY(progress_get_id(object, "input", p->input_id));
    TRY(progress_get_id(object, "changelog", p->changelog_id));
    p->position = get_number(object, "position");
    const json_t *first = json_object_get(object, "first");
    p->first = json_is_integer(first) ? json_integer_value(first) : -1;
    p->watermark_ms = get_time(object, "watermark");
    p->max_event_ms = get_time(object, "max_event_time");
    p->closed_before_ms = get_time(object, "closed_before");
    p->max_window_ms = get_time(object, "max_window");
    p->changelog_end = get_number(object, "changelog_end");
    p->output_partitions = (int32_t)get_number(object, "output_partitions");
    const json_t *rows = json_object_get(object, "rows");
    for (int i = 0; i < COUNT_FIELDS; i++)
        *counts_field(&p->counts, i) = get_number(rows, count_names[i]);
    TRY(progress_get_tables(object, &p->tables, &p->table_count));
    TRY(decode_offsets(json_object_get(object, "output_from"), &p->output_from, &p->from_count));
    return decode_offsets(json_object_get(object, "ends"), &p->ends, &p->end_count);
}

int progress_decode(struct bytes key, struct bytes value, struct progress *progress,
                    struct diag *diag)
{
    memset(progress, 0, sizeof *progress);
    json_error_t error;
    json_t *object = json_loadb((const char *)value.data, value.size, 0, &error);
    int rc = object == NULL || decode_key(key, progress) < 0 ? ERR_CORRUPT
                                                             : decode_value(object, progress);
    json_decref(object);
    if (rc < 0) {
        progress_deinit(progress);
        return diag_set(diag, rc, "a progress record does not decode (key %.*s)",
                        (int)(key.size < 100 ? key.size : 100), (const char *)key.data);
    }
    return 0;
}

void progress_deinit(struct progress *progress)
{
    free(progress->ends);
    free(progress->output_from);
    free(progress->tables);
    progress->ends = progress->output_from = NULL;
    progress->tables = NULL;
    progress->end_count = progress->from_count = progress->table_count = 0;
}

/* Memory that holds count offsets, or more. */
static int make_room(int64_t **offsets, uint32_t count, uint32_t wanted)
{
    if (count >= wanted && *offsets != NULL)
        return 0;
    int64_t *larger = realloc(*offsets, ((size_t)wanted + 1) * sizeof *larger);
    if (larger == NULL)
        return ERR_NOMEM;
    *offsets = larger;
    return 0;
}

int progress_copy(struct progress *to, const struct progress *from, struct diag *diag)
{
    if (make_room(&to->ends, to->end_count, from->end_count) < 0 ||
        make_room(&to->output_from, to->from_count, from->from_count) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for a progress record");
    if (to->table_count < from->table_count) {
        struct progress_table *tables =
            realloc(to->tables, (size_t)from->table_count * sizeof *tables);
        if (tables == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a progress record");
        to->tables = tables;
    }
    struct progress own = *to; /* its memory is used again */
    *to = *from;
    to->ends = own.ends;
    to->output_from = own.output_from;
    to->tables = own.tables;
    if (from->end_count > 0)
        memcpy(to->ends, from->ends, from->end_count * sizeof *to->ends);
    if (from->from_count > 0)
        memcpy(to->output_from, from->output_from, from->from_count * sizeof *to->output_from);
    if (from->table_count > 0)
        memcpy(to->tables, from->tables, from->table_count * sizeof *to->tables);
    return 0;
}

void progress_set_deinit(struct progress_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        progress_deinit(&set->items[i]);
    free(set->items);
    for (uint32_t i = 0; i < set->cut_count; i++)
        join_cut_deinit(&set->cuts[i]);
    free(set->cuts);
    free(set->markers);
    *set = (struct progress_set){0};
}

static struct progress *find(const struct progress_set *set, const char *stage, int32_t partition)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].partition == partition && strcmp(set->items[i].stage, stage) == 0)
            return &set->items[i];
    return NULL;
}

int progress_set_put(struct progress_set *set, const struct progress *progress, struct diag *diag)
{
    struct progress *slot = find(set, progress->stage, progress->partition);
    if (slot == NULL) {
        if (set->count == set->capacity) {
            uint32_t capacity = set->capacity ? set->capacity * 2 : 16;
            struct progress *grown = realloc(set->items, capacity * sizeof *grown);
            if (grown == NULL)
                return diag_set(diag, ERR_NOMEM, "no memory for progress records");
            set->items = grown;
            set->capacity = capacity;
        }
        slot = &set->items[set->count++];
    } else {
        progress_deinit(slot);
    }
    *slot = *progress;
    return 0;
}

void progress_set_remove(struct progress_set *set, struct bytes key)
{
    struct progress named = {0};
    if (decode_key(key, &named) < 0)
        return;
    struct progress *slot = find(set, named.stage, named.partition);
    if (slot == NULL)
        return;
    progress_deinit(slot);
    *slot = set->items[--set->count];
}

const struct progress *progress_set_find(const struct progress_set *set, const char *stage,
                                         int32_t partition)
{
    return find(set, stage, partition);
}

const struct progress *progress_set_begin(const struct progress_set *set, const char *view,
                                          const uint8_t input_id[16], int32_t partition)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct progress *item = &set->items[i];
        char name[sizeof item->view];
        progress_view(item, name);
        if (item->is_begin && item->partition == partition && strcmp(name, view) == 0 &&
            memcmp(item->input_id, input_id, 16) == 0)
            return item;
    }
    return NULL;
}

static struct time_marker *find_marker(const struct progress_set *set,
                                       const struct time_marker *named)
{
    for (uint32_t i = 0; i < set->marker_count; i++)
        if (set->markers[i].offset == named->offset &&
            set->markers[i].partition == named->partition &&
            strcmp(set->markers[i].stage, named->stage) == 0)
            return &set->markers[i];
    return NULL;
}

static int apply_marker(struct progress_set *set, struct bytes key, struct bytes value,
                        struct diag *diag)
{
    struct time_marker marker;
    if (value.data == NULL) {
        TRY(time_marker_decode_key(key, &marker, diag));
        struct time_marker *gone = find_marker(set, &marker);
        if (gone != NULL)
            *gone = set->markers[--set->marker_count];
        return 0;
    }
    TRY(time_marker_decode(key, value, &marker, diag));
    struct time_marker *slot = find_marker(set, &marker);
    if (slot == NULL && set->marker_count == set->marker_capacity) {
        uint32_t capacity = set->marker_capacity ? set->marker_capacity * 2 : 16;
        struct time_marker *grown = realloc(set->markers, capacity * sizeof *grown);
        if (grown == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for time markers");
        set->markers = grown;
        set->marker_capacity = capacity;
    }
    if (slot == NULL)
        slot = &set->markers[set->marker_count++];
    *slot = marker;
    return 0;
}

/* Cuts are many, and are looked at once: each task takes the last of every offset (task_cut.c). */
static int apply_cut(struct progress_set *set, struct bytes key, struct bytes value,
                     struct diag *diag)
{
    if (set->cut_count == set->cut_capacity) {
        uint32_t capacity = set->cut_capacity ? set->cut_capacity * 2 : 16;
        struct join_cut *grown = realloc(set->cuts, capacity * sizeof *grown);
        if (grown == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory for a join's cuts");
        set->cuts = grown;
        set->cut_capacity = capacity;
    }
    TRY(join_cut_decode(key, value, &set->cuts[set->cut_count], diag));
    set->cut_count++;
    return 0;
}

int progress_set_apply(struct progress_set *set, struct bytes key, struct bytes value,
                       struct diag *diag)
{
    struct progress progress;
    if (time_marker_is_key(key))
        return apply_marker(set, key, value, diag);
    if (join_cut_is_key(key))
        return apply_cut(set, key, value, diag);
    if (copy_mark_is_key(key))
        return 0; /* of no task */
    if (value.data == NULL) {
        progress_set_remove(set, key);
        return 0;
    }
    TRY(progress_decode(key, value, &progress, diag));
    return progress_set_put(set, &progress, diag);
}
