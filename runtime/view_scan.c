/* view_scan.c: from stored pairs to rows (see view_scan.h).
 *
 * Keys of the state are window start, then group, so what is meant comes as spans of keys: a window by itself, or the same
 * piece of every window that there is. From one window the scan leaps to the next that exists, which costs one look-up, so
 * that the rows of one group are found by as many look-ups as there are open windows and without reading what lies between.
 *
 * Pairs are read some at a time into the caller's arena, made results of by the engine's own code, and those that the
 * view's condition does not show are dropped. A chunk begins at the key where the one before ended. Keys that share their
 * first 479 bytes lie in no order that could be gone on in: they are never parted. */
#include "runtime/view_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/view_closed.h"
#include "runtime/view_session.h"

enum {
    CHUNK_ROWS = 1024,
    CHUNK_BYTES = 1 << 20,
    SHARED_KEY_BYTES = 479,
    REASON_BYTES = 256,
    EMPTY_BYTES = 1 << 20
};

enum span_kind { SPAN_NONE, SPAN_RANGE, SPAN_POINTS };

struct view_scan {
    struct view_reader *reader;
    const struct view *view;
    const struct view_columns *columns;
    const struct view_access *access;
    size_t memory_bytes;
    int32_t partition; /* whose spans are read; the count of partitions: the state is done */
    bool is_begun;     /* this partition */
    int64_t next_window_ms, last_window_ms;
    bool has_windows_left;
    enum span_kind span;
    int64_t window_ms; /* of the span; WINDOW_NONE */
    uint32_t point;    /* the next one of SPAN_POINTS */
    struct buf from, to, scratch;
    bool to_is_end;
    /* CHUNK_ROWS and what may not be parted from them. In an arena of their own: their rows may hold
     * memory, which is given back before the next ones come, when the call's arena is empty. */
    struct group_item *items;
    uint32_t item_count, item_capacity;
    size_t item_bytes; /* as they are stored */
    struct arena items_arena;
    struct arena *arena; /* of the call */
    struct buf last_key;
    uint32_t room;
    struct buf behind; /* the first key of this partition that is not passed over; empty: none is */
    bool has_behind, is_closed_batch;
    struct view_mark closed_mark; /* begin behind it; partition −1: from the first on */
    struct view_closed *closed;
    bool is_closed_begun;
    uint64_t left_out;
    char reason[REASON_BYTES];
    struct diag *diag;
};

static int no_memory(struct diag *diag)
{
    return diag_set(diag, ERR_NOMEM, "no memory to read a view");
}

int view_scan_partition(struct view_reader *reader, struct bytes group_key, struct arena *arena,
                        struct buf *scratch)
{
    return group_partition(view_reader_view(reader)->group, group_key,
                           view_reader_partitions(reader), arena, scratch);
}

bool view_access_takes(const struct view_access *access, struct bytes group_key,
                       int64_t window_start_ms, bool is_windowed)
{
    if (is_windowed &&
        (window_start_ms < access->window_from_ms || window_start_ms > access->window_to_ms))
        return false;
    if (access->points == NULL)
        return bytes_compare(group_key, access->low) >= 0 &&
               (access->high.data == NULL || bytes_compare(group_key, access->high) < 0);
    for (uint32_t i = 0; i < access->point_count; i++)
        if (bytes_equal(access->points[i], group_key))
            return true;
    return false;
}

int view_scan_open(struct view_reader *reader, const struct view_columns *columns,
                   const struct view_access *access, size_t memory_bytes, struct view_scan **result,
                   struct diag *diag)
{
    struct view_scan *scan = calloc(1, sizeof *scan);
    *result = scan;
    if (scan == NULL)
        return no_memory(diag);
    arena_init(&scan->items_arena, 0);
    scan->closed_mark.partition = -1;
    scan->reader = reader;
    scan->view = view_reader_view(reader);
    scan->columns = columns;
    scan->access = access;
    scan->memory_bytes = memory_bytes;
    if (access->is_empty)
        scan->partition = view_reader_partitions(reader);
    scan->is_closed_begun =
        access->is_empty || !scan->view->is_windowed || access->part == WINDOWS_OPEN;
    return 0;
}

static void release_items(struct view_scan *scan)
{
    for (uint32_t i = 0; i < scan->item_count; i++)
        agg_row_release(scan->view->group->plan, (void *)(uintptr_t)scan->items[i].row);
    scan->item_count = scan->item_capacity = 0;
    scan->item_bytes = 0;
    scan->items = NULL;
    arena_reset(&scan->items_arena);
}

void view_scan_close(struct view_scan *scan)
{
    if (scan == NULL)
        return;
    release_items(scan);
    arena_deinit(&scan->items_arena);
    view_closed_close(scan->closed);
    buf_deinit(&scan->from);
    buf_deinit(&scan->to);
    buf_deinit(&scan->scratch);
    buf_deinit(&scan->last_key);
    buf_deinit(&scan->behind);
    free(scan);
}

uint64_t view_scan_left_out(const struct view_scan *scan, const char **reason)
{
    *reason = scan->reason;
    return scan->left_out;
}

/* ---- spans ---- */

static bool takes_all_groups(const struct view_access *access)
{
    return access->points == NULL && access->low.size == 0 && access->high.data == NULL;
}

static void put_window(struct buf *buf, int64_t window_ms)
{
    buf_be64(buf, (uint64_t)window_ms ^ (1ull << 63));
}

/* A span of keys begins behind the mark, where there is one in this partition. */
static void pass_over(struct view_scan *scan)
{
    if (!scan->has_behind || bytes_compare(bytes_of(scan->from.data, scan->from.size),
                                           bytes_of(scan->behind.data, scan->behind.size)) >= 0)
        return;
    buf_clear(&scan->from);
    buf_append(&scan->from, scan->behind.data, scan->behind.size);
}

/* The keys of a window that the access takes; WINDOW_NONE: the view has none. */
static void set_range(struct view_scan *scan, int64_t window_ms)
{
    const struct view_access *access = scan->access;
    scan->span = SPAN_RANGE;
    scan->window_ms = window_ms;
    buf_clear(&scan->from);
    buf_clear(&scan->to);
    scan->to_is_end = false;
    group_store_key(&scan->from, window_ms, access->low);
    if (access->high.data != NULL)
        group_store_key(&scan->to, window_ms, access->high);
    else if (window_ms != WINDOW_NONE && window_ms < INT64_MAX)
        put_window(&scan->to, window_ms + 1);
    else
        scan->to_is_end = true;
    pass_over(scan);
}

static void set_points(struct view_scan *scan, int64_t window_ms)
{
    scan->span = SPAN_POINTS;
    scan->window_ms = window_ms;
    scan->point = 0;
}

struct first_window {
    int64_t start_ms;
    bool found;
};
static int take_window(void *context, struct bytes key, struct bytes value)
{
    struct first_window *first = context;
    struct bytes group_key;
    (void)value;
    TRY(group_store_key_split(key, true, &first->start_ms, &group_key));
    first->found = true;
    return 1;
}

/* The first window at or after next_window_ms that the partition has: 1. */
static int find_window(struct view_scan *scan, int64_t *window_ms)
{
    uint8_t from[8];
    struct first_window first = {.found = false};
    if (scan->next_window_ms == scan->last_window_ms) { /* then there is nothing to find out */
        *window_ms = scan->next_window_ms;
        return 1;
    }
    store_be64(from, (uint64_t)scan->next_window_ms ^ (1ull << 63));
    int rc = view_reader_scan(scan->reader, scan->partition, bytes_of(from, 8),
                              (struct bytes){NULL, 0}, take_window, &first, scan->diag);
    *window_ms = first.start_ms;
    return rc < 0 ? rc : first.found && first.start_ms <= scan->last_window_ms;
}

/* What time has passed is closed, and in the state until the engine has come to it; a session, until its cell is a gap older than it has to be. */
static int pass_open(struct view_scan *scan)
{
    const struct window_spec *window = &scan->view->group->window;
    TRY(view_reader_prepare(scan->reader, scan->partition, scan->diag));
    int64_t watermark_ms = view_reader_time(scan->reader, scan->partition).watermark_ms;
    int64_t last_ms, before_ms = window_closed_before(window, watermark_ms);
    if (window->kind == WINDOW_SESSION)
        last_ms = watermark_ms < INT64_MIN + 2 * window->size_ms
                      ? INT64_MIN
                      : watermark_ms - 2 * window->size_ms;
    else
        last_ms = before_ms > INT64_MIN ? before_ms - 1 : INT64_MIN;
    if (last_ms < scan->last_window_ms)
        scan->last_window_ms = last_ms;
    return 0;
}

static int begin_partition(struct view_scan *scan)
{
    const struct view_access *access = scan->access;
    scan->is_begun = true;
    scan->has_windows_left = false;
    if (!scan->view->is_windowed) {
        if (access->points != NULL)
            set_points(scan, WINDOW_NONE);
        else
            set_range(scan, WINDOW_NONE);
        return 0;
    }
    scan->next_window_ms = access->window_from_ms;
    scan->last_window_ms = access->window_to_ms;
    if (scan->view->group->window.kind == WINDOW_SESSION) {
        TRY(view_reader_prepare(scan->reader, scan->partition, scan->diag));
        view_session_cells(scan->view, view_reader_time(scan->reader, scan->partition),
                           &scan->next_window_ms, &scan->last_window_ms);
    }
    if (access->part == WINDOWS_CLOSED)
        TRY(pass_open(scan));
    if (scan->has_behind && scan->behind.size >= 8) {
        int64_t first_ms = (int64_t)(load_be64(scan->behind.data) ^ (1ull << 63));
        scan->next_window_ms = first_ms > scan->next_window_ms ? first_ms : scan->next_window_ms;
    }
    scan->has_windows_left = scan->next_window_ms <= scan->last_window_ms;
    if (!takes_all_groups(access) || !scan->has_windows_left)
        return 0;
    set_range(scan, scan->next_window_ms); /* all windows in one */
    buf_clear(&scan->to);
    scan->to_is_end = scan->last_window_ms == INT64_MAX;
    if (!scan->to_is_end)
        put_window(&scan->to, scan->last_window_ms + 1);
    scan->has_windows_left = false;
    return 0;
}

/* 1: there is a span to read; 0: the state is done. */
static int next_span(struct view_scan *scan)
{
    while (scan->partition < view_reader_partitions(scan->reader)) {
        int64_t window_ms;
        if (!scan->is_begun) {
            TRY(begin_partition(scan));
            if (scan->span != SPAN_NONE)
                return 1;
        }
        int rc = scan->has_windows_left ? find_window(scan, &window_ms) : 0;
        TRY(rc);
        if (rc == 0) {
            scan->partition++;
            scan->is_begun = scan->has_behind = false;
            continue;
        }
        scan->has_windows_left = window_ms < scan->last_window_ms;
        scan->next_window_ms = window_ms + 1;
        if (scan->access->points != NULL)
            set_points(scan, window_ms);
        else
            set_range(scan, window_ms);
        return 1;
    }
    return 0;
}

/* ---- pairs ---- */

static int grow_items(struct view_scan *scan)
{
    uint32_t capacity = scan->item_capacity > 0 ? scan->item_capacity * 2 : 64;
    if (capacity > BATCH_ROWS)
        return diag_set(scan->diag, ERR_TOO_LARGE,
                        "more than %d groups of the view have keys that share their first %d bytes",
                        BATCH_ROWS, SHARED_KEY_BYTES);
    struct group_item *items = arena_alloc(&scan->items_arena, capacity * sizeof *items);
    if (items == NULL)
        return no_memory(scan->diag);
    if (scan->item_count > 0)
        memcpy(items, scan->items, scan->item_count * sizeof *items);
    scan->items = items;
    scan->item_capacity = capacity;
    return 0;
}

static void leave_out(struct view_scan *scan, const char *reason)
{
    if (scan->left_out++ == 0)
        snprintf(scan->reason, sizeof scan->reason, "%s", reason);
}

/* A stored pair as an item, unless it is no row: a value that count(DISTINCT) has seen, a cell in the
 * middle of a session. */
static int add_pair(struct view_scan *scan, struct bytes key, struct bytes value)
{
    const struct group_params *group = scan->view->group;
    struct group_item item;
    if (!store_view_is_row(value))
        return 0;
    if (scan->item_count == scan->item_capacity)
        TRY(grow_items(scan));
    void *row = arena_alloc(&scan->items_arena, agg_plan_row_bytes(group->plan));
    struct bytes copy = arena_copy(&scan->items_arena, key);
    if (row == NULL || copy.data == NULL)
        return no_memory(scan->diag);
    if (group_store_key_split(copy, scan->view->is_windowed, &item.window_start_ms, &item.key) < 0)
        return diag_set(scan->diag, ERR_CORRUPT, "a stored key does not decode");
    agg_row_init(group->plan, row);
    int rc = agg_decode(group->plan, row, value);
    if (rc < 0)
        rc = diag_set(scan->diag, rc, "a stored aggregate does not decode");
    else if (group->window.kind == WINDOW_SESSION)
        rc = view_session_compose(scan->reader, scan->partition, item.key, item.window_start_ms,
                                  row, &scan->items_arena, scan->diag);
    else
        rc = 1;
    if (rc <= 0) {
        agg_row_release(group->plan, row);
        return rc;
    }
    item.row = row;
    scan->items[scan->item_count++] = item;
    scan->item_bytes += key.size + value.size;
    return 0;
}

static bool is_full(const struct view_scan *scan)
{
    return scan->item_count >= scan->room || scan->item_bytes >= CHUNK_BYTES;
}

static bool must_not_part(const struct view_scan *scan, struct bytes key)
{
    return key.size >= SHARED_KEY_BYTES && scan->last_key.size >= SHARED_KEY_BYTES &&
           memcmp(key.data, scan->last_key.data, SHARED_KEY_BYTES) == 0;
}

static int range_pair(void *context, struct bytes key, struct bytes value)
{
    struct view_scan *scan = context;
    if (is_full(scan) && !must_not_part(scan, key)) {
        buf_clear(&scan->from);
        if (key.size > SHARED_KEY_BYTES) /* the first of a run, and perhaps not the lowest */
            key.size = SHARED_KEY_BYTES;
        buf_append_bytes(&scan->from, key);
        return buf_ok(&scan->from) ? 1 : no_memory(scan->diag);
    }
    buf_clear(&scan->last_key);
    if (key.size >= SHARED_KEY_BYTES)
        buf_append(&scan->last_key, key.data, SHARED_KEY_BYTES);
    return buf_ok(&scan->last_key) ? add_pair(scan, key, value) : no_memory(scan->diag);
}

static int read_range(struct view_scan *scan)
{
    struct bytes from = bytes_of(scan->from.data, scan->from.size),
                 to = scan->to_is_end ? (struct bytes){NULL, 0}
                                      : bytes_of(scan->to.data, scan->to.size);
    if (!buf_ok(&scan->from) || !buf_ok(&scan->to))
        return no_memory(scan->diag);
    buf_clear(&scan->scratch); /* `from` is written while it is read */
    buf_append_bytes(&scan->scratch, from);
    if (!buf_ok(&scan->scratch))
        return no_memory(scan->diag);
    from = bytes_of(from.size > 0 ? (const void *)scan->scratch.data : "", from.size);
    int rc =
        view_reader_scan(scan->reader, scan->partition, from, to, range_pair, scan, scan->diag);
    if (rc == 0)
        scan->span = SPAN_NONE;
    return rc < 0 ? rc : 0;
}

static int read_points(struct view_scan *scan)
{
    const struct view_access *access = scan->access;
    while (scan->point < access->point_count && !is_full(scan)) {
        struct bytes point = access->points[scan->point++], value;
        if (view_scan_partition(scan->reader, point, scan->arena, &scan->scratch) !=
            scan->partition)
            continue;
        buf_clear(&scan->from);
        group_store_key(&scan->from, scan->window_ms, point);
        if (!buf_ok(&scan->from))
            return no_memory(scan->diag);
        struct bytes key = bytes_of(scan->from.data, scan->from.size);
        if (scan->has_behind &&
            bytes_compare(key, bytes_of(scan->behind.data, scan->behind.size)) < 0)
            continue;
        int rc =
            view_reader_get(scan->reader, scan->partition, key, scan->arena, &value, scan->diag);
        if (rc == 1)
            rc = add_pair(scan, key, value);
        TRY(rc);
    }
    if (scan->point == access->point_count)
        scan->span = SPAN_NONE;
    return 0;
}

/* ---- rows ---- */

/* A window is open while a row may come that it takes; a session, while one may join it. */
static bool is_open(const struct view_scan *scan, int64_t start_ms, int64_t end_ms)
{
    const struct window_spec *window = &scan->view->group->window;
    int64_t watermark_ms = view_reader_time(scan->reader, scan->partition).watermark_ms;
    if (window->kind == WINDOW_SESSION)
        return watermark_ms == INT64_MIN || watermark_ms < end_ms + window->size_ms;
    return watermark_ms == INT64_MIN || watermark_ms < window_closes_at(window, start_ms);
}

static int mark_open(const struct view_scan *scan, const struct batch *results,
                     struct column *column)
{
    uint32_t groups = scan->view->group->groups->count;
    TRY(column_alloc(column, COL_BOOLEAN, results->row_count, false, scan->arena));
    for (uint32_t i = 0; i < results->selected_count; i++) {
        uint32_t row = batch_row(results, i);
        column->boolean[row] =
            is_open(scan, results->columns[groups].i64[row], results->columns[groups + 1].i64[row]);
    }
    return 0;
}

/* Results in the columns of the question. */
static int arrange(struct view_scan *scan, const struct batch *results, struct batch *batch)
{
    const struct view_columns *columns = scan->columns;
    struct column *to = arena_alloc(scan->arena, (columns->count + 1) * sizeof *to);
    uint16_t *selection =
        arena_alloc(scan->arena, (results->selected_count + 1) * sizeof *selection);
    if (to == NULL || selection == NULL)
        return no_memory(scan->diag);
    for (uint32_t i = 0; i < columns->count; i++) {
        if (!columns->items[i].is_open_mark)
            to[i] = results->columns[columns->items[i].result];
        else if (mark_open(scan, results, &to[i]) < 0)
            return no_memory(scan->diag);
    }
    uint32_t shown = 0;
    for (uint32_t i = 0; i < results->selected_count; i++) {
        uint32_t row = batch_row(results, i);
        if (group_is_shown(scan->view->group, results, row))
            selection[shown++] = (uint16_t)row;
    }
    *batch = (struct batch){.row_count = results->row_count,
                            .selection = selection,
                            .selected_count = shown,
                            .columns = to,
                            .column_count = columns->count,
                            .arena = scan->arena};
    return 0;
}

static int build_rows(struct view_scan *scan, struct batch *batch)
{
    struct reject_list rejects = {.arena = scan->arena};
    struct op_call call = {.arena = scan->arena, .rejects = &rejects, .diag = scan->diag};
    struct batch results;
    bool is_out[BATCH_ROWS] = {false}; /* several columns of a row may fail */
    int rc = group_build_results(scan->view->group, &call, scan->items, scan->item_count, &results);
    if (rc < 0)
        return diag_set(scan->diag, rc, "a stored aggregate does not give a result");
    for (uint32_t i = 0; i < rejects.count; i++) {
        if (!is_out[rejects.items[i].row])
            leave_out(scan, rejects.items[i].message);
        is_out[rejects.items[i].row] = true;
    }
    return arrange(scan, &results, batch);
}

/* 1: a batch from the state; 0: it has no more. */
static int next_of_state(struct view_scan *scan, struct batch *batch)
{
    for (;;) {
        int rc = scan->span != SPAN_NONE ? 1 : next_span(scan);
        if (rc <= 0)
            return rc;
        TRY(scan->span == SPAN_POINTS ? read_points(scan) : read_range(scan));
        *batch = (struct batch){.selected_count = 0};
        if (scan->item_count > 0)
            TRY(build_rows(scan, batch));
        if (batch->selected_count > 0 || scan->arena->used_bytes > EMPTY_BYTES ||
            scan->items_arena.used_bytes > EMPTY_BYTES)
            return 1;
        release_items(scan);
    }
}

int view_scan_next(struct view_scan *scan, uint32_t room, struct arena *arena, struct batch *batch,
                   struct diag *diag)
{
    release_items(scan);
    scan->arena = arena;
    scan->diag = diag;
    scan->room = room < 1 ? 1 : room > CHUNK_ROWS ? CHUNK_ROWS : room;
    int rc = next_of_state(scan, batch);
    if (rc < 0)
        release_items(scan);
    if (rc != 0)
        return rc;
    scan->is_closed_batch = true;
    if (!scan->is_closed_begun) {
        scan->is_closed_begun = true;
        TRY(view_closed_open(scan->reader, scan->columns, scan->access, scan->memory_bytes,
                             &scan->closed, diag));
        if (scan->closed_mark.partition >= 0)
            view_closed_begin_behind(scan->closed, scan->closed_mark.partition,
                                     scan->closed_mark.offset);
    }
    return scan->closed != NULL
               ? view_closed_next(scan->closed, arena, batch, &scan->left_out, scan->reason, diag)
               : 0;
}

/* ---- marks ---- */

/* The first key behind the one of a mark: of a key that it has not whole, behind all that begin with it. ERR_RANGE: there is none. */
static int key_behind(struct bytes key, struct buf *behind)
{
    buf_clear(behind);
    buf_append_bytes(behind, key);
    if (!buf_ok(behind))
        return ERR_NOMEM;
    if (key.size < STATE_ORDERED_BYTES) {
        buf_u8(behind, 0);
        return buf_ok(behind) ? 0 : ERR_NOMEM;
    }
    while (behind->size > 0 && behind->data[behind->size - 1] == 0xff)
        behind->size--;
    if (behind->size == 0)
        return ERR_RANGE;
    behind->data[behind->size - 1]++;
    return 0;
}

int view_scan_begin_behind(struct view_scan *scan, const struct view_mark *mark)
{
    int32_t partitions = view_reader_partitions(scan->reader);
    if (mark->is_closed) {
        scan->partition = partitions;
        scan->closed_mark.partition = mark->partition;
        scan->closed_mark.offset = mark->offset;
        return 0;
    }
    if (scan->partition == partitions) /* nothing of the state is meant */
        return 0;
    int rc = key_behind(bytes_of(mark->key.data, mark->key.size), &scan->behind);
    scan->has_behind = rc == 0;
    scan->partition = mark->partition < partitions ? mark->partition : partitions;
    if (rc == ERR_RANGE && scan->partition < partitions)
        scan->partition++;
    return rc == ERR_NOMEM ? rc : 0;
}

int view_scan_mark(const struct view_scan *scan, uint32_t row, struct view_mark *mark)
{
    mark->is_closed = scan->is_closed_batch;
    buf_clear(&mark->key);
    if (mark->is_closed) {
        view_closed_mark(scan->closed, row, &mark->partition, &mark->offset);
        return 0;
    }
    must(row < scan->item_count);
    mark->partition = scan->partition;
    group_store_key(&mark->key, scan->items[row].window_start_ms, scan->items[row].key);
    if (mark->key.size > STATE_ORDERED_BYTES)
        mark->key.size = STATE_ORDERED_BYTES;
    return buf_ok(&mark->key) ? 0 : ERR_NOMEM;
}

/* ---- what the state has ---- */

int view_state_has(struct view_reader *reader, int32_t partition, struct bytes group_key,
                   int64_t window_start_ms, struct arena *arena, struct diag *diag)
{
    const struct view *view = view_reader_view(reader);
    bool is_session = view->group->window.kind == WINDOW_SESSION;
    int64_t from_ms = window_start_ms, to_ms = window_start_ms;
    TRY(view_reader_prepare(reader, partition, diag));
    if (is_session)
        view_session_cells(view, view_reader_time(reader, partition), &from_ms, &to_ms);
    struct buf key;
    struct bytes value;
    int rc = 0;
    buf_init(&key, 0);
    /* Of a session that was carried on only the last cells of the range are left to look at. */
    int64_t gap = view->group->window.size_ms;
    for (int64_t at = from_ms; rc == 0 && at <= to_ms;) {
        buf_clear(&key);
        group_store_key(&key, at, group_key);
        rc = buf_ok(&key) ? view_reader_get(reader, partition, bytes_of(key.data, key.size), arena,
                                            &value, diag)
                          : no_memory(diag);
        if (rc == 1 && is_session) {
            int64_t first_ms = 0, last_ms;
            void *row = arena_alloc(arena, agg_plan_row_bytes(view->group->plan));
            if (row == NULL)
                rc = no_memory(diag);
            if (rc == 1) {
                agg_row_init(view->group->plan, row);
                rc = agg_decode(view->group->plan, row, value);
                if (rc == 0)
                    rc = group_session_times(view->group, row, &first_ms, &last_ms) &&
                         first_ms == window_start_ms;
                agg_row_release(view->group->plan, row);
            }
        }
        if (!is_session || to_ms - at < gap)
            break;
        at = at < to_ms - gap ? to_ms - gap : at + gap;
    }
    buf_deinit(&key);
    return rc;
}
