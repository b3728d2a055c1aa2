/* test_grouping.c: operators through their contract, above all the grouping ones over a real store.
 *
 * The test is the runtime: it makes batches, drains flush and advance, keeps what goes to the
 * changelog and applies it to the store when it pleases. Results are compared with hand-written
 * lines "window/group=count,sum", or with a naive model of counts and sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/grouping.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

enum { NO_WATERMARK = 1, COMMIT_LOOPS = 1000 };

/* A group operator with what the runtime would give it. */
struct harness {
    char *dir;
    struct field_set *fields;
    struct group_params params;
    struct op_env env;
    struct op *op;
    struct arena arena;
    struct reject_list rejects;
    struct op_call call;
    struct pairs changelog;
    size_t followed; /* of it: applied to the store */
    int64_t commit_number;
    struct buf out; /* printed results */
    size_t out_rows;
    struct diag diag;
};

static int keep_change(void *context, struct bytes key, struct bytes value)
{
    pairs_add(&((struct harness *)context)->changelog, key, value);
    return 0;
}

static void begin_call(struct harness *h)
{
    arena_reset(&h->arena);
    h->rejects = (struct reject_list){.arena = &h->arena};
    h->call = (struct op_call){.arena = &h->arena, .rejects = &h->rejects, .diag = &h->diag};
}

static void compile_params(struct harness *h, const char *groups, int64_t window_ms,
                           bool emit_final)
{
    struct group_params *p = &h->params;
    h->fields = field_set_create();
    struct scope scope = field_set_scope(h->fields);
    assert_int_equal(field_set_add(h->fields, "k", NULL), 0);
    assert_int_equal(field_set_add(h->fields, "x", NULL), 1);
    assert_int_equal(expr_parse_list(groups, &scope, &p->groups, NULL), 0);
    p->group_names = (const char *const *)p->groups->names;
    p->group_types = calloc(p->groups->count, sizeof *p->group_types);
    for (uint32_t i = 0; i < p->groups->count; i++)
        p->group_types[i] = expr_type(p->groups->exprs[i]);
    struct named_columns columns = {p->group_names, p->group_types, p->groups->count};
    assert_int_equal(expr_parse_aggregates("count(*) AS n, sum(x::bigint) AS total", &scope,
                                           &columns, window_ms > 0, &p->aggregates, NULL),
                     0);
    assert_int_equal(
        agg_plan_create(p->aggregates->calls, p->aggregates->call_count, &p->plan, NULL), 0);
    p->key_names = json_names_create(p->group_names, p->groups->count);
    if (window_ms > 0)
        p->window = window_tumbling(window_ms);
    p->emit_final = emit_final;
}

static struct harness *open_harness(const char *groups, int64_t window_ms, bool emit_final)
{
    struct harness *h = calloc(1, sizeof *h);
    assert_non_null(h);
    arena_init(&h->arena, 0);
    pairs_init(&h->changelog);
    buf_init(&h->out, 0);
    compile_params(h, groups, window_ms, emit_final);
    h->dir = scratch_dir_create();
    char *path = scratch_path(h->dir, "store");
    assert_int_equal(state_open(path, 1, NULL, &h->env.state, NULL), 0);
    free(path);
    h->env.changelog = keep_change;
    h->env.context = h;
    h->env.partition_count = 1;
    h->env.closed_before_ms = INT64_MIN;
    h->env.store_max_window_ms = INT64_MIN;
    return h;
}
static void open_op(struct harness *h, const char *type)
{
    assert_int_equal(op_create(op_type_find(type), &h->params, &h->env, &h->op, NULL), 0);
}
static struct harness *open_aggregate(const char *groups, int64_t window_ms, bool emit_final)
{
    struct harness *h = open_harness(groups, window_ms, emit_final);
    open_op(h, "aggregate");
    return h;
}
static void close_harness(struct harness *h)
{
    op_destroy(h->op);
    state_close(h->env.state);
    json_names_destroy(h->params.key_names);
    agg_plan_destroy(h->params.plan);
    agg_list_destroy(h->params.aggregates);
    expr_list_destroy(h->params.groups);
    free(h->params.group_types);
    field_set_destroy(h->fields);
    pairs_deinit(&h->changelog);
    buf_deinit(&h->out);
    arena_deinit(&h->arena);
    scratch_dir_remove(h->dir);
    free(h);
}

/* ---- rows in ---- */

struct row {
    const char *key; /* NULL: JSON null */
    int64_t x, ts, watermark;
};

static void push(struct harness *h, const struct row *rows, uint32_t count)
{
    begin_call(h);
    struct column *columns = arena_alloc(&h->arena, 2 * sizeof *columns);
    int64_t *times = arena_alloc(&h->arena, count * sizeof *times),
            *marks = arena_alloc(&h->arena, count * sizeof *marks);
    assert_int_equal(column_alloc(&columns[0], COL_VARIANT, count, false, &h->arena), 0);
    assert_int_equal(column_alloc(&columns[1], COL_VARIANT, count, false, &h->arena), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes key = bytes_text(rows[i].key);
        columns[0].variant[i] =
            (struct variant){.data = key.data,
                             .size = (uint32_t)key.size,
                             .kind = key.data != NULL ? VARIANT_TEXT : VARIANT_NULL};
        columns[1].variant[i] = (struct variant){.i64 = rows[i].x, .kind = VARIANT_INT};
        times[i] = rows[i].ts;
        marks[i] = rows[i].watermark == NO_WATERMARK ? INT64_MIN : rows[i].watermark;
    }
    struct batch batch = {.row_count = count,
                          .selected_count = count,
                          .columns = columns,
                          .column_count = 2,
                          .event_time_ms = times,
                          .watermark_ms = marks,
                          .arena = &h->arena},
                 out = {0};
    int rc = h->op->type->process(h->op, &h->call, &batch, &out);
    if (rc != OP_DONE)
        fail_msg("process: %s", h->diag.text);
}
static void push_one(struct harness *h, const char *key, int64_t x, int64_t ts)
{
    push(h, &(struct row){key, x, ts, NO_WATERMARK}, 1);
}

/* ---- results out ---- */

static void print_results(struct harness *h, const struct batch *out)
{
    uint32_t groups = h->params.groups->count,
             windows = h->params.window.kind != WINDOW_ABSENT ? 2 : 0;
    h->out_rows += out->selected_count;
    for (uint32_t i = 0; i < out->selected_count; i++) {
        uint32_t row = batch_row(out, i);
        const struct column *total = &out->columns[groups + windows + 1];
        char text[64] = "null";
        if (!column_is_null(total, row))
            text[numeric_print(total->numeric[column_at(total, row)], text)] = '\0';
        if (windows > 0)
            buf_printf(&h->out, "%" PRId64 "/", out->columns[groups].i64[row]);
        if (column_is_null(&out->columns[0], row))
            buf_printf(&h->out, "null");
        else
            buf_append(&h->out, out->columns[0].variant[row].data,
                       out->columns[0].variant[row].size);
        buf_printf(&h->out, "=%" PRId64 ",%s ", out->columns[groups + windows].i64[row], text);
    }
}

static void commit(struct harness *h)
{
    int rc = OP_MORE;
    op_group_commit_number(h->op, ++h->commit_number);
    for (int i = 0; rc == OP_MORE && i < COMMIT_LOOPS; i++) {
        struct batch out = {0};
        begin_call(h);
        rc = h->op->type->flush(h->op, &h->call, &out);
        print_results(h, &out);
    }
    assert_int_equal(rc, OP_DONE);
}

static int advance(struct harness *h, int64_t watermark_ms)
{
    int rc = OP_MORE;
    for (int i = 0; rc == OP_MORE && i < COMMIT_LOOPS; i++) {
        struct batch out = {0};
        begin_call(h);
        rc = h->op->type->advance(h->op, &h->call, watermark_ms, &out);
        print_results(h, &out);
    }
    return rc;
}

static void assert_out(struct harness *h, const char *expected)
{
    buf_u8(&h->out, 0);
    assert_string_equal((const char *)h->out.data, expected);
    buf_clear(&h->out);
    h->out_rows = 0;
}

/* The store follows all that was committed so far. */
static void follow(struct harness *h)
{
    struct state_position position = {.topic_id = {1}, .offset = (int64_t)h->changelog.count};
    assert_int_equal(state_apply_begin(h->env.state, NULL), 0);
    for (; h->followed < h->changelog.count; h->followed++)
        assert_int_equal(state_apply_put(h->env.state, h->changelog.items[h->followed].key,
                                         h->changelog.items[h->followed].value, NULL),
                         0);
    assert_int_equal(state_apply_commit(h->env.state, &position, false, NULL), 0);
    assert_int_equal(state_renew(h->env.state, NULL), 0);
}

/* A restart: what the progress record would carry, and a store that has everything. */
static void restart(struct harness *h)
{
    struct state_statistics statistics;
    follow(h);
    h->env.closed_before_ms = op_group_closed_before(h->op);
    h->env.store_max_window_ms =
        h->params.window.kind != WINDOW_ABSENT ? op_group_max_window(h->op) : INT64_MAX;
    assert_int_equal(state_stat(h->env.state, &statistics, NULL), 0);
    h->env.store_may_have = statistics.entries > 0;
    op_destroy(h->op);
    open_op(h, "aggregate");
}

/* ---- closing ---- */

static void test_windows_close_in_time_order(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 1000, true);
    static const struct row rows[] = {{"b", 1, 3500, NO_WATERMARK},  {"b", 2, 0, NO_WATERMARK},
                                      {"a", 3, 999, NO_WATERMARK},   {"z", 4, -1, NO_WATERMARK},
                                      {"a", 5, -2000, NO_WATERMARK}, {"b", 6, 999, NO_WATERMARK},
                                      {"c", 7, 1000, NO_WATERMARK},  {NULL, 8, 1999, NO_WATERMARK}};
    push(h, rows, 8);
    assert_int_equal(h->call.applied_rows, 8);
    commit(h);
    assert_out(h, ""); /* final: nothing before the window closes */
    assert_int_equal(h->changelog.count, 7);
    assert_int_equal(advance(h, 1999), OP_DONE); /* [1000, 2000) is open */
    assert_out(h, "-2000/a=1,5 -1000/z=1,4 0/a=1,3 0/b=2,8 ");
    assert_int_equal(h->changelog.count, 11);
    for (size_t i = 7; i < 11; i++)
        assert_null(h->changelog.items[i].value.data); /* tombstones */
    assert_int_equal(advance(h, 2000), OP_DONE);
    assert_out(h, "1000/null=1,8 1000/c=1,7 ");
    assert_true(op_group_closed_before(h->op) == 1001 && op_group_max_window(h->op) == 3000);
    assert_int_equal(advance(h, INT64_MAX), OP_DONE);
    assert_out(h, "3000/b=1,1 ");
    assert_int_equal(op_group_entries(h->op), 0);
    assert_int_equal(advance(h, INT64_MAX), OP_DONE);
    assert_out(h, "");
    close_harness(h);
}

static void test_store_keys(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 1000, false);
    static const uint8_t at_zero[] = {0x80, 0, 0, 0, 0, 0, 0, 0, 5, 1, 'a'},
                         before[] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc, 0x18, 5, 1, 'a'};
    /* Version, one row; sum of bigint: one value, varint 5. The count is the rows. */
    static const uint8_t value[] = {1, 1, 1, 10};
    push_one(h, "a", 5, 1);
    push_one(h, "a", 5, -1);
    commit(h);
    assert_int_equal(h->changelog.count, 2);
    assert_true(bytes_equal(h->changelog.items[0].key, bytes_of(at_zero, sizeof at_zero)));
    assert_true(bytes_equal(h->changelog.items[1].key, bytes_of(before, sizeof before)));
    assert_true(bytes_equal(h->changelog.items[0].value, bytes_of(value, sizeof value)));
    int64_t start;
    struct bytes key;
    assert_int_equal(group_store_key_split(bytes_of(before, sizeof before), true, &start, &key), 0);
    assert_true(start == -1000 && bytes_equal(key, bytes_of("\x05\x01"
                                                            "a",
                                                            3)));
    assert_int_equal(group_store_key_split(bytes_of(before, 7), true, &start, &key), ERR_CORRUPT);
    assert_int_equal(group_store_key_split(bytes_of(before, 7), false, &start, &key), 0);
    assert_true(start == WINDOW_NONE && key.size == 7);
    close_harness(h);
}

/* 5 windows of 30,000 groups: more than one commit may close, and the limit lies inside a window.
 * What happens between the two commits must not matter. */
enum between { GO_ON, EVICT, RESTART };

static void close_in_two_commits(enum between between)
{
    enum { WINDOWS = 5, GROUPS = 30000, ALL = WINDOWS * GROUPS };
    struct harness *h = open_aggregate("k", 1000, true);
    struct state_statistics statistics;
    static char names[BATCH_ROWS][16];
    static struct row rows[BATCH_ROWS];
    for (int w = 0; w < WINDOWS; w++)
        for (int from = 0; from < GROUPS; from += BATCH_ROWS) {
            int n = GROUPS - from < BATCH_ROWS ? GROUPS - from : BATCH_ROWS;
            for (int i = 0; i < n; i++) {
                snprintf(names[i], sizeof names[i], "g%06d", from + i);
                rows[i] = (struct row){names[i], 1, w * 1000, NO_WATERMARK};
            }
            push(h, rows, (uint32_t)n);
        }
    commit(h);
    assert_int_equal(h->changelog.count, ALL);
    assert_int_equal(advance(h, WINDOWS * 1000), OP_AGAIN);
    size_t first = h->out_rows;
    assert_in_range(first, GROUP_CLOSE_ROWS_PER_COMMIT,
                    GROUP_CLOSE_ROWS_PER_COMMIT + BATCH_ROWS - 1);
    assert_true(op_group_closed_before(h->op) ==
                2001); /* three whole windows, and some of the fourth */
    assert_int_equal(advance(h, WINDOWS * 1000), OP_AGAIN); /* until the next commit */
    assert_int_equal(h->out_rows, first);
    if (between == EVICT) {
        follow(h);
        op_group_evict(h->op, h->commit_number, 0);
    } else if (between == RESTART) {
        restart(h);
        assert_int_equal(op_group_entries(h->op), 0);
    }
    commit(h);
    assert_int_equal(h->out_rows, first);
    assert_int_equal(advance(h, WINDOWS * 1000), OP_DONE);
    assert_int_equal(h->out_rows, ALL);
    assert_int_equal(h->changelog.count, 2 * ALL); /* one tombstone each */
    follow(h);
    assert_int_equal(state_stat(h->env.state, &statistics, NULL), 0);
    assert_int_equal(statistics.entries, 0);
    assert_int_equal(op_group_entries(h->op), 0);
    close_harness(h);
}

static void test_closing_is_cut_into_commits(void **state)
{
    (void)state;
    close_in_two_commits(GO_ON);
    close_in_two_commits(EVICT);
    close_in_two_commits(RESTART);
}

static void test_windows_of_the_store_close_too(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 1000, true);
    push_one(h, "b", 1, 0);
    push_one(h, "d", 2, 0);
    push_one(h, "x", 3, 1000);
    push_one(h, "y", 4, 5000);
    commit(h);
    restart(h);
    assert_int_equal(op_group_entries(h->op), 0);
    push_one(h, "c", 10, 1);    /* new, in a window of the store */
    push_one(h, "d", 20, 1);    /* known to the store */
    push_one(h, "a", 30, 3000); /* a window that only the table has */
    commit(h);
    assert_int_equal(advance(h, 4000), OP_DONE);
    assert_out(h, "0/b=1,1 0/c=1,10 0/d=2,22 1000/x=1,3 3000/a=1,30 ");
    /* The tombstones are on their way; the store still shows what was closed. */
    commit(h);
    assert_int_equal(advance(h, 4500), OP_DONE);
    assert_out(h, "");
    restart(h);
    assert_int_equal(advance(h, 4500), OP_DONE);
    assert_out(h, "");
    assert_int_equal(advance(h, 6000), OP_DONE);
    assert_out(h, "5000/y=1,4 ");
    follow(h);
    struct state_statistics statistics;
    assert_int_equal(state_stat(h->env.state, &statistics, NULL), 0);
    assert_int_equal(statistics.entries, 0);
    close_harness(h);
}

/* ---- forgetting ---- */

static void test_what_is_not_stored_stays(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 0, false);
    push_one(h, "a", 1, 0);
    op_group_evict(h->op, INT64_MAX, 0); /* never written: dirty */
    assert_int_equal(op_group_entries(h->op), 1);
    commit(h);
    op_group_evict(h->op, 0, 0); /* written by commit 1; the store holds 0 */
    assert_int_equal(op_group_entries(h->op), 1);
    follow(h);
    push_one(h, "a", 1, 0);
    op_group_evict(h->op, 1, 0); /* changed since */
    assert_int_equal(op_group_entries(h->op), 1);
    commit(h);
    assert_out(h, "a=1,1 a=2,2 ");
    push_one(h, "b", 1, 0);
    follow(h);
    op_group_evict(h->op, 2, 0); /* a goes, b is dirty */
    assert_int_equal(op_group_entries(h->op), 1);
    push_one(h, "a", 5, 0);
    commit(h);
    assert_out(h, "b=1,1 a=3,7 ");
    op_group_evict(h->op, INT64_MAX, SIZE_MAX); /* under the target: nothing goes */
    assert_int_equal(op_group_entries(h->op), 2);
    close_harness(h);
}

/* Random rows, commits, checkpoints, evictions and restarts against counts and sums. */
static void run_random(int64_t window_ms, uint64_t seed)
{
    enum { KEYS = 60, WINDOWS = 4, STEPS = 3000 };
    struct harness *h = open_aggregate("k", window_ms, false);
    static int64_t counts[WINDOWS][KEYS], sums[WINDOWS][KEYS];
    static bool changed[WINDOWS][KEYS];
    memset(counts, 0, sizeof counts);
    memset(sums, 0, sizeof sums);
    memset(changed, 0, sizeof changed);
    int64_t stored = 0;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t r = seed >> 33;
        if (r % 10 < 7) {
            char name[16];
            int key = (int)(r / 10 % KEYS), w = window_ms > 0 ? (int)(r / 1000 % WINDOWS) : 0;
            int64_t x = (int64_t)(r % 1999) - 999;
            snprintf(name, sizeof name, "k%d", key);
            push_one(h, name, x, w * 1000 + 17);
            counts[w][key]++;
            sums[w][key] += x;
            changed[w][key] = true;
            continue;
        }
        size_t expected = 0;
        buf_u8(&h->out, ' '); /* so that each line stands between blanks */
        commit(h);
        for (int w = 0; w < WINDOWS; w++)
            for (int key = 0; key < KEYS; key++) {
                char line[128];
                if (!changed[w][key])
                    continue;
                changed[w][key] = false;
                expected++;
                int size = window_ms > 0
                               ? snprintf(line, sizeof line, " %d/k%d=%" PRId64 ",%" PRId64 " ",
                                          w * 1000, key, counts[w][key], sums[w][key])
                               : snprintf(line, sizeof line, " k%d=%" PRId64 ",%" PRId64 " ", key,
                                          counts[w][key], sums[w][key]);
                if (memmem(h->out.data, h->out.size, line, (size_t)size) == NULL)
                    fail_msg("step %d: no %s in %.*s", step, line, (int)h->out.size,
                             (const char *)h->out.data);
            }
        assert_int_equal(h->out_rows, expected);
        buf_clear(&h->out);
        h->out_rows = 0;
        if (r % 10 == 7) {
            follow(h);
            stored = h->commit_number;
        }
        if (r % 10 == 8)
            op_group_evict(h->op, stored, 0);
        if (r % 100 == 99) {
            restart(h);
            stored = h->commit_number;
        }
    }
    close_harness(h);
}
static void test_forgetting_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_random(0, seed);
        run_random(1000, seed);
    }
}

/* ---- rows that are not applied ---- */

static void test_late_rows(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 1000, false);
    static const struct row rows[] = {
        {"a", 1, 999, 999},  /* the window ends above */
        {"a", 1, 999, 1000}, /* … at the watermark */
        {"a", 1, 999, 999},  /* each row by its own */
        {"a", 1, -1, 2500},  {"a", 1, INT64_MAX, 0}, {"a", 1, INT64_MIN, INT64_MIN}};
    push(h, rows, 6);
    assert_int_equal(h->call.applied_rows, 2);
    assert_int_equal(h->call.late_count, 2);
    assert_true(h->call.late[0].row == 1 && h->call.late[0].window_start_ms == 0 &&
                h->call.late[0].window_end_ms == 1000 && h->call.late[0].lateness_ms == 0);
    assert_true(h->call.late[1].row == 3 && h->call.late[1].window_start_ms == -1000 &&
                h->call.late[1].window_end_ms == 0 && h->call.late[1].lateness_ms == 2500);
    assert_int_equal(h->rejects.count, 2);
    assert_string_equal(h->rejects.items[0].error_class, "event_time_range");
    assert_true(h->rejects.items[0].row == 4 && h->rejects.items[1].row == 5);
    commit(h);
    assert_out(h, "0/a=2,2 ");
    /* The table's own time decides nothing. */
    assert_int_equal(advance(h, 10000), OP_DONE);
    push(h, &(struct row){"a", 1, 5000, 5999}, 1);
    assert_int_equal(h->call.late_count, 0);
    close_harness(h);
}

static void test_limits(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 1000, false);
    char *longest = malloc(GROUP_KEY_MAX_BYTES + 2);
    assert_non_null(longest);
    memset(longest, 'k', GROUP_KEY_MAX_BYTES + 1);
    /* A text takes its kind, three bytes of size (over 16,383), and itself. */
    longest[GROUP_KEY_MAX_BYTES - 3] = '\0';
    struct row rows[] = {
        {"a", 1, 0, NO_WATERMARK}, {longest, 2, 0, NO_WATERMARK}, {"b", 3, 1000, NO_WATERMARK}};
    push(h, rows, 3);
    assert_int_equal(h->call.applied_rows, 2);
    assert_int_equal(h->rejects.count, 1);
    assert_true(h->rejects.items[0].row == 1);
    assert_string_equal(h->rejects.items[0].error_class, "group_too_long");
    commit(h);
    assert_out(h, "0/a=1,1 1000/b=1,3 ");
    longest[GROUP_KEY_MAX_BYTES - 4] = '\0';
    push(h, rows + 1, 1);
    assert_int_equal(h->call.applied_rows, 1);
    commit(h);
    follow(h); /* and a store takes it */
    free(longest);
    close_harness(h);
}

static void test_placement(void **state)
{
    (void)state;
    struct harness *h = open_harness("k", 1000, false);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct row rows[6];
    uint32_t here = 0;
    h->env.check_placement = true;
    h->env.partition_count = 3;
    h->env.partition = 1;
    open_op(h, "aggregate");
    for (int i = 0; i < 6; i++) {
        rows[i] = (struct row){names[i], 1, 0, NO_WATERMARK};
        here += murmur2_partition(names[i], 1, 3) == 1;
    }
    assert_true(here > 0 && here < 6);
    push(h, rows, 6);
    assert_int_equal(h->call.applied_rows, here);
    assert_int_equal(h->rejects.count, 6 - here);
    for (uint32_t i = 0; i < h->rejects.count; i++) {
        assert_string_equal(h->rejects.items[i].error_class, "misplaced");
        assert_true(murmur2_partition(names[h->rejects.items[i].row], 1, 3) != 1);
    }
    close_harness(h);
}

/* ---- re-keying ---- */

/* What preaggregate gives, cut anywhere, merges to what aggregate gives. */
static void test_partials(void **state)
{
    (void)state;
    struct harness *source = open_harness("k", 1000, true), *target = open_harness("k", 1000, true);
    open_op(source, "preaggregate");
    open_op(target, "merge");
    for (int part = 0; part < 3; part++) {
        push_one(source, "a", 10 + part, 0);
        push_one(source, "b", 20, part * 1000);
        push_one(source, "a", 1, 0);
        op_group_commit_number(source->op, part + 1);
        struct batch out, ignored;
        begin_call(source);
        assert_int_equal(source->op->type->flush(source->op, &source->call, &out), OP_MORE);
        assert_int_equal(out.selected_count, 2);
        begin_call(target);
        assert_int_equal(target->op->type->process(target->op, &target->call, &out, &ignored),
                         OP_DONE);
        begin_call(source);
        assert_int_equal(source->op->type->flush(source->op, &source->call, &out), OP_DONE);
        assert_int_equal(op_group_entries(source->op), 0);
    }
    assert_int_equal(source->changelog.count, 0);
    commit(target);
    assert_int_equal(advance(target, 2000), OP_DONE);
    assert_out(target, "0/a=6,36 0/b=1,20 1000/b=1,20 ");
    /* A partial for a closed window is our own mistake, never dropped in silence. */
    struct batch out, ignored;
    push_one(source, "a", 1, 500);
    begin_call(source);
    assert_int_equal(source->op->type->flush(source->op, &source->call, &out), OP_MORE);
    begin_call(target);
    assert_int_equal(target->op->type->process(target->op, &target->call, &out, &ignored),
                     ERR_STATE);
    close_harness(source);
    close_harness(target);
}

/* More changed groups than a batch has rows. */
static void test_flush_in_batches(void **state)
{
    (void)state;
    struct harness *h = open_aggregate("k", 0, false);
    static char names[BATCH_ROWS][16];
    static struct row rows[BATCH_ROWS];
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < BATCH_ROWS; i++) {
            snprintf(names[i], sizeof names[i], "%d.%d", part, i);
            rows[i] = (struct row){names[i], i, 0, NO_WATERMARK};
        }
        push(h, rows, part < 2 ? BATCH_ROWS : 1);
    }
    commit(h);
    assert_int_equal(h->out_rows, 2 * BATCH_ROWS + 1);
    assert_int_equal(h->changelog.count, 2 * BATCH_ROWS + 1);
    h->out_rows = 0;
    commit(h);
    assert_int_equal(h->out_rows, 0);
    assert_int_equal(advance(h, INT64_MAX), OP_DONE); /* no windows: time does nothing */
    assert_int_equal(op_group_entries(h->op), 2 * BATCH_ROWS + 1);
    close_harness(h);
}

/* The partition is that of the text that a record key would have, whatever the window. */
static void assert_partition(const char *groups, struct variant k, struct variant x,
                             const char *text)
{
    struct harness *h = open_harness(groups, 1000, false);
    struct column inputs[2] = {{.type = COL_VARIANT, .variant = &k},
                               {.type = COL_VARIANT, .variant = &x}},
                  columns[2];
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = inputs,
                          .column_count = 2,
                          .arena = &h->arena};
    struct buf scratch = {0};
    struct bytes key;
    begin_call(h);
    for (uint32_t i = 0; i < h->params.groups->count; i++)
        assert_int_equal(expr_eval(h->params.groups->exprs[i], &batch, &columns[i], &h->rejects),
                         0);
    assert_int_equal(h->rejects.count, 0);
    assert_int_equal(group_key_encode_batch(&batch, columns, h->params.groups->count, &key), 0);
    assert_int_equal(group_partition(&h->params, key, 9973, &h->arena, &scratch),
                     murmur2_partition(text, strlen(text), 9973));
    assert_int_equal(group_partition(&h->params, key, 1, &h->arena, &scratch), 0);
    buf_deinit(&scratch);
    close_harness(h);
}
static struct variant text_of(const char *text)
{
    return (struct variant){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .kind = VARIANT_TEXT};
}
static void test_partition(void **state)
{
    (void)state;
    struct variant null = {.kind = VARIANT_NULL}, five = {.i64 = 5, .kind = VARIANT_INT},
                   yes = {.kind = VARIANT_TRUE};
    struct variant price = {.data = (const uint8_t *)"1.50", .size = 4, .kind = VARIANT_NUMBER};
    assert_partition("k", text_of("north"), null, "north");
    assert_partition("k::text AS k", text_of("north"), null, "north");
    assert_partition("k", text_of(""), null, "");
    assert_partition("k", text_of("{x"), null, "{\"k\":\"{x\"}");
    assert_partition("k", null, null, "{\"k\":null}");
    assert_partition("k", five, null, "{\"k\":5}");
    assert_partition("k", yes, null, "{\"k\":true}");
    assert_partition("k", price, null, "{\"k\":1.5}");
    assert_partition("k::numeric AS k", price, null, "{\"k\":1.5}");
    assert_partition("k, x AS \"a\"\"b\"", text_of("n\"o"), five,
                     "{\"k\":\"n\\\"o\",\"a\\\"b\":5}");
    assert_partition("k::timestamptz AS k", text_of("1970-01-01T00:00:01Z"), null,
                     "{\"k\":\"1970-01-01T00:00:01.000Z\"}");
}

/* ---- op.h, op.c ---- */

static void test_window_start(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 1000, 3600000, 86400000, INT64_MAX / 2, INT64_MAX};
    static const int64_t times[] = {INT64_MIN,
                                    INT64_MIN + 1,
                                    INT64_MIN + 999,
                                    INT64_MIN + 86400000,
                                    -86400001,
                                    -86400000,
                                    -1001,
                                    -1000,
                                    -999,
                                    -2,
                                    -1,
                                    0,
                                    1,
                                    999,
                                    1000,
                                    1001,
                                    86399999,
                                    INT64_MAX - 86400000,
                                    INT64_MAX - 1001,
                                    INT64_MAX - 1000,
                                    INT64_MAX - 1,
                                    INT64_MAX};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
            __int128 time = times[t], size = sizes[s];
            __int128 expected = (time >= 0 ? time / size : -((-time + size - 1) / size)) * size;
            bool fits = expected >= INT64_MIN && expected + size <= INT64_MAX;
            int64_t start = 7;
            assert_true(window_start_of(times[t], sizes[s], &start) == fits);
            assert_true(!fits || start == (int64_t)expected);
        }
    int64_t start;
    assert_true(window_start_of(-1, 1000, &start) && start == -1000);
    assert_true(window_start_of(-1000, 1000, &start) && start == -1000);
}

static void test_drop_rejected(void **state)
{
    (void)state;
    static const uint16_t selection[] = {1, 3, 4, 7, 9}, expected[] = {1, 7};
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {.row_count = 10, .selection = selection, .selected_count = 5};
    assert_int_equal(batch_drop_rejected(&batch, &rejects, 0, &arena), 0);
    assert_ptr_equal(batch.selection, selection);
    static const uint32_t rows[] = {7, 9, 3, 9, 4, 5}; /* the first was dealt with before */
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(reject_add(&rejects, rows[i], "class", "row %u", rows[i]), 0);
    assert_int_equal(batch_drop_rejected(&batch, &rejects, 1, &arena), 0);
    assert_int_equal(batch.selected_count, 2);
    assert_memory_equal(batch.selection, expected, sizeof expected);
    batch = (struct batch){.row_count = 3, .selected_count = 3}; /* no selection: all rows */
    rejects.count = 0;
    assert_int_equal(reject_add(&rejects, 1, "class", "x"), 0);
    assert_int_equal(batch_drop_rejected(&batch, &rejects, 0, &arena), 0);
    assert_true(batch.selected_count == 2 && batch.selection[0] == 0 && batch.selection[1] == 2);
    arena_deinit(&arena);
}

/* Rows: true, false, NULL, a value that does not compare. */
static void run_condition(const char *type, const char *expected, const char *classes)
{
    struct variant values[] = {{.i64 = 1, .kind = VARIANT_INT},
                               {.i64 = -1, .kind = VARIANT_INT},
                               {.kind = VARIANT_NULL},
                               text_of("x")};
    struct column column = {.type = COL_VARIANT, .variant = values};
    struct arena arena;
    char kept[16] = "", rejected[64] = "";
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct op_call call = {.arena = &arena, .rejects = &rejects};
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct filter_params params = {.error_class = "negative", .text = "k > 0"};
    struct op_env env = {0};
    struct op *op;
    assert_int_equal(expr_parse_condition("k > 0", &scope, &params.condition, NULL), 0);
    assert_int_equal(op_create(op_type_find(type), &params, &env, &op, NULL), 0);
    struct batch batch = {.row_count = 4,
                          .selected_count = 4,
                          .columns = &column,
                          .column_count = 1,
                          .arena = &arena},
                 out = {0};
    assert_int_equal(op->type->process(op, &call, &batch, &out), OP_DONE);
    for (uint32_t i = 0; i < out.selected_count; i++)
        kept[i] = (char)('0' + batch_row(&out, i));
    for (uint32_t i = 0; i < rejects.count; i++)
        snprintf(rejected + strlen(rejected), sizeof rejected - strlen(rejected), "%u:%s ",
                 rejects.items[i].row, rejects.items[i].error_class);
    assert_string_equal(kept, expected);
    assert_string_equal(rejected, classes);
    assert_ptr_equal(out.columns, &column);
    op_destroy(op);
    expr_destroy(params.condition);
    field_set_destroy(fields);
    arena_deinit(&arena);
}

static void test_filter_and_check(void **state)
{
    (void)state;
    run_condition("filter", "0", "3:type_mismatch ");
    run_condition("check", "02", "3:type_mismatch 1:negative ");
    assert_null(op_type_find("sort"));
    assert_true(op_type_find("merge")->flush != NULL && op_type_find("map")->flush == NULL);
}

static void test_map(void **state)
{
    (void)state;
    struct variant values[] = {{.i64 = 4, .kind = VARIANT_INT},
                               {.i64 = 0, .kind = VARIANT_INT},
                               {.i64 = 2, .kind = VARIANT_INT}};
    struct column column = {.type = COL_VARIANT, .variant = values};
    static const int64_t times[] = {1, 2, 3};
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct op_call call = {.arena = &arena, .rejects = &rejects};
    struct field_set *fields = field_set_create();
    struct scope scope = field_set_scope(fields);
    struct map_params params;
    struct op_env env = {0};
    struct op *op;
    assert_int_equal(expr_parse_list("k, 8 / k::bigint AS q", &scope, &params.list, NULL), 0);
    assert_int_equal(op_create(op_type_find("map"), &params, &env, &op, NULL), 0);
    struct batch batch = {.row_count = 3,
                          .selected_count = 3,
                          .columns = &column,
                          .column_count = 1,
                          .event_time_ms = times,
                          .arena = &arena},
                 out = {0};
    assert_int_equal(op->type->process(op, &call, &batch, &out), OP_DONE);
    assert_true(out.column_count == 2 && out.selected_count == 2 && batch_row(&out, 1) == 2 &&
                out.event_time_ms == times);
    assert_true(out.columns[1].i64[0] == 2 && out.columns[1].i64[2] == 4);
    assert_true(rejects.count == 1 && rejects.items[0].row == 1);
    assert_string_equal(rejects.items[0].error_class, "division_by_zero");
    op_destroy(op);
    expr_list_destroy(params.list);
    field_set_destroy(fields);
    arena_deinit(&arena);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_close_in_time_order),
        cmocka_unit_test(test_store_keys),
        cmocka_unit_test(test_closing_is_cut_into_commits),
        cmocka_unit_test(test_windows_of_the_store_close_too),
        cmocka_unit_test(test_what_is_not_stored_stays),
        cmocka_unit_test(test_forgetting_changes_nothing),
        cmocka_unit_test(test_late_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_partials),
        cmocka_unit_test(test_flush_in_batches),
        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_window_start),
        cmocka_unit_test(test_drop_rejected),
        cmocka_unit_test(test_filter_and_check),
        cmocka_unit_test(test_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
