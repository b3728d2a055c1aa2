/* test_counted.c: min, max and count(DISTINCT) of rows that are taken back, over a real store, against
 * a model that is an array of rows.
 *
 * Two tasks in front of a re-keying and one behind it, driven through the operators' contract: rows
 * change at random, partials arrive in pieces and in any order that keeps each task's own, commits
 * fall between them, the store follows or does not, everything that may be forgotten is forgotten,
 * and the task behind is started again. Values are a list in the order that the engine's README
 * gives, written by hand, so that the model compares places in it and nothing else: numbers that are
 * equal and print differently, texts, texts longer than what a store keeps in order. Groups too are
 * short and long. When all has arrived, results and state are what the rows give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/counted.h"
#include "tests/support/draw.h"
#include "tests/support/pairs.h"
#include "tests/support/scratch_dir.h"

enum { TASKS = 2, ROWS = 24, GROUPS = 5, LONG_BYTES = 520, COMMIT_LOOPS = 1000, TEXT_BYTES = 4096 };

/* Ascending. same: values that count(DISTINCT) takes for one have the same number. */
static const struct item {
    uint8_t kind;
    int64_t i64;
    const char *text;
    int long_bytes; /* of letters in front of the text */
    int same;
} items[] = {
    {VARIANT_FALSE, 0, "false", 0, 0},
    {VARIANT_TRUE, 0, "true", 0, 1},
    {VARIANT_INT, INT64_MIN, "-9223372036854775808", 0, 2},
    {VARIANT_NUMBER, 0, "-1e3", 0, 3},
    {VARIANT_NUMBER, 0, "-7.5", 0, 4},
    {VARIANT_NUMBER, 0, "-7.25", 0, 5},
    {VARIANT_INT, 0, "0", 0, 6},
    {VARIANT_NUMBER, 0, "0.00000000000000000000000000000000000001", 0, 7},
    {VARIANT_INT, 1, "1", 0, 8},
    {VARIANT_NUMBER, 0, "1.0", 0, 8},
    {VARIANT_NUMBER, 0, "1e0", 0, 8},
    {VARIANT_NUMBER, 0, "1.05", 0, 9},
    {VARIANT_INT, 2, "2", 0, 10},
    {VARIANT_INT, 255, "255", 0, 11},
    {VARIANT_INT, 256, "256", 0, 12},
    {VARIANT_NUMBER, 0, "99999999999999999999999999999999999999", 0, 13},
    {VARIANT_TEXT, 0, "", 0, 14},
    {VARIANT_TEXT, 0, "a", 0, 15},
    {VARIANT_TEXT, 0, "a", LONG_BYTES, 16},
    {VARIANT_TEXT, 0, "aa", LONG_BYTES, 17},
    {VARIANT_TEXT, 0, "ab", LONG_BYTES, 18},
    {VARIANT_TEXT, 0, "b", LONG_BYTES, 19},
    {VARIANT_TEXT, 0, "ab", 0, 20},
    {VARIANT_TEXT, 0, "b", 0, 21},
    {VARIANT_JSON, 0, "[1]", 0, 22},
    {VARIANT_JSON, 0, "{\"a\":1}", 0, 23},
};
enum { ITEMS = sizeof items / sizeof items[0], NO_ITEM = -1 };

struct model_row {
    bool is_there, flag;
    int group, item; /* item NO_ITEM: NULL */
};

/* Rows or partials of one task on their way. */
struct change {
    struct model_row row;
    int8_t weight;
};
struct task {
    struct op *op;
    struct op_env env;
    struct change changes[2 * ROWS];
    uint32_t change_count;
    struct pairs partials;
    size_t arrived; /* of them */
};

struct world {
    char *dir;
    struct field_set *fields;
    struct group_params params;
    struct json_names *names;
    struct task tasks[TASKS];
    struct op_env env;
    struct op *merge;
    struct pairs changelog;
    size_t followed;
    int64_t commit_number; /* of the next one */
    int64_t stored_commit; /* the last one that the store has; −1: none */
    struct arena arena;
    struct reject_list rejects;
    struct op_call call;
    struct diag diag;
    struct model_row rows[ROWS];
    char *results[GROUPS]; /* NULL: gone */
};

/* The text of a value, with the letters in front. */
static size_t item_text(const struct item *item, char *text)
{
    memset(text, 'a', (size_t)item->long_bytes);
    strcpy(text + item->long_bytes, item->text);
    return strlen(text);
}

/* Two groups are long; of these one is longer than what a store keeps in order. */
static size_t group_text(int group, char *text)
{
    static const int sizes[GROUPS] = {1, 1, 2, 100, 600};
    memset(text, 'g', (size_t)sizes[group]);
    text[sizes[group] - 1] = (char)('0' + group);
    text[sizes[group]] = '\0';
    return (size_t)sizes[group];
}

/* ---- the operators ---- */

static int keep_change(void *context, struct bytes key, struct bytes value)
{
    pairs_add(&((struct world *)context)->changelog, key, value);
    return 0;
}

static int no_change(void *context, struct bytes key, struct bytes value)
{
    (void)context;
    (void)key;
    (void)value;
    fail_msg("a task in front of a re-keying has no changelog");
    return 0;
}

static struct op_call *begin_call(struct world *w)
{
    arena_reset(&w->arena);
    w->rejects = (struct reject_list){.arena = &w->arena};
    w->call = (struct op_call){.arena = &w->arena, .rejects = &w->rejects, .diag = &w->diag};
    return &w->call;
}

static void compile(struct world *w)
{
    static const char list[] = "count(*) AS n, count(DISTINCT x) AS d, min(x) AS low, "
                               "max(x) AS high, max(x) FILTER (WHERE f) AS flagged";
    static const char *const names[] = {"k", "n", "d", "low", "high", "flagged"};
    struct group_params *p = &w->params;
    w->fields = field_set_create();
    struct scope scope = field_set_scope(w->fields);
    const char *columns[] = {"k", "x", "f"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(field_set_add(w->fields, columns[i], NULL), i);
    assert_int_equal(expr_parse_list("k", &scope, &p->groups, NULL), 0);
    p->group_names = (const char *const *)p->groups->names;
    p->group_types = calloc(1, sizeof *p->group_types);
    p->group_types[0] = COL_VARIANT;
    struct named_columns groups = {p->group_names, p->group_types, 1};
    assert_int_equal(expr_parse_aggregates(list, &scope, &groups, false, &p->aggregates, NULL), 0);
    assert_int_equal(
        agg_plan_create_net(p->aggregates->calls, p->aggregates->call_count, &p->plan, NULL), 0);
    p->key_names = json_names_create(p->group_names, 1);
    w->names = json_names_create(names, 6);
}

static void open_merge(struct world *w)
{
    assert_int_equal(op_create(op_type_find("merge"), &w->params, &w->env, &w->merge, NULL), 0);
    op_group_commit_number(w->merge, w->commit_number);
}

static struct world *open_world(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    arena_init(&w->arena, 0);
    pairs_init(&w->changelog);
    compile(w);
    w->dir = scratch_dir_create();
    char *path = scratch_path(w->dir, "store");
    assert_int_equal(state_open(path, 1, NULL, &w->env.state, NULL), 0);
    free(path);
    w->env.changelog = keep_change;
    w->env.context = w;
    w->env.partition_count = 1;
    w->env.closed_before_ms = INT64_MIN;
    w->env.store_max_window_ms = INT64_MAX;
    w->stored_commit = -1;
    open_merge(w);
    for (int i = 0; i < TASKS; i++) {
        struct task *task = &w->tasks[i];
        task->env = (struct op_env){.changelog = no_change, .partition_count = 1};
        pairs_init(&task->partials);
        assert_int_equal(
            op_create(op_type_find("preaggregate"), &w->params, &task->env, &task->op, NULL), 0);
    }
    return w;
}

static void close_world(struct world *w)
{
    op_destroy(w->merge);
    for (int i = 0; i < TASKS; i++) {
        op_destroy(w->tasks[i].op);
        pairs_deinit(&w->tasks[i].partials);
    }
    for (int g = 0; g < GROUPS; g++)
        free(w->results[g]);
    state_close(w->env.state);
    json_names_destroy(w->names);
    json_names_destroy(w->params.key_names);
    agg_plan_destroy(w->params.plan);
    agg_list_destroy(w->params.aggregates);
    expr_list_destroy(w->params.groups);
    free(w->params.group_types);
    field_set_destroy(w->fields);
    pairs_deinit(&w->changelog);
    arena_deinit(&w->arena);
    scratch_dir_remove(w->dir);
    free(w);
}

/* ---- in front of the re-keying ---- */

static struct variant text_variant(struct world *w, const char *text)
{
    struct bytes copy = arena_copy(&w->arena, bytes_of(text, strlen(text)));
    return (struct variant){.data = copy.data, .size = (uint32_t)copy.size, .kind = VARIANT_TEXT};
}

static struct variant item_variant(struct world *w, int item)
{
    char text[LONG_BYTES + 64];
    if (item == NO_ITEM)
        return (struct variant){.kind = VARIANT_NULL};
    item_text(&items[item], text);
    struct variant value = text_variant(w, text);
    value.kind = items[item].kind;
    if (value.kind < VARIANT_NUMBER)
        value = (struct variant){.i64 = items[item].i64, .kind = items[item].kind};
    return value;
}

/* What has changed goes into the task's accumulators. */
static void send_changes(struct world *w, struct task *task)
{
    struct op_call *call = begin_call(w);
    struct column columns[3];
    struct batch out, batch = {.row_count = task->change_count,
                               .selected_count = task->change_count,
                               .columns = columns,
                               .column_count = 3,
                               .arena = &w->arena};
    int8_t *weights = arena_alloc(&w->arena, task->change_count + 1);
    batch.weights = weights;
    for (int c = 0; c < 3; c++)
        assert_int_equal(
            column_alloc(&columns[c], COL_VARIANT, task->change_count, false, &w->arena), 0);
    for (uint32_t i = 0; i < task->change_count; i++) {
        char group[TEXT_BYTES];
        const struct model_row *row = &task->changes[i].row;
        group_text(row->group, group);
        columns[0].variant[i] = text_variant(w, group);
        columns[1].variant[i] = item_variant(w, row->item);
        columns[2].variant[i] = (struct variant){.kind = row->flag ? VARIANT_TRUE : VARIANT_FALSE};
        weights[i] = task->changes[i].weight;
    }
    if (task->change_count > 0)
        assert_int_equal(task->op->type->process(task->op, call, &batch, &out), OP_DONE);
    assert_int_equal(w->rejects.count, 0);
    task->change_count = 0;
}

/* A commit of the task: its partials are on their way. */
static void send_partials(struct world *w, struct task *task)
{
    struct batch out;
    int rc = OP_MORE;
    send_changes(w, task);
    for (int loops = 0; rc == OP_MORE && loops < COMMIT_LOOPS; loops++) {
        rc = task->op->type->flush(task->op, begin_call(w), &out);
        assert_in_range(rc, OP_DONE, OP_MORE);
        for (uint32_t i = 0; rc == OP_MORE && i < out.row_count; i++)
            pairs_add(&task->partials, out.columns[0].text[i], out.columns[2].text[i]);
    }
    assert_int_equal(rc, OP_DONE);
}

static void note(struct task *task, const struct model_row *row, int8_t weight)
{
    if (row->is_there)
        task->changes[task->change_count++] = (struct change){*row, weight};
}

static void change_row(struct world *w)
{
    uint32_t number = draw(ROWS);
    struct task *task = &w->tasks[number % TASKS];
    struct model_row *row = &w->rows[number];
    if (task->change_count + 2 > 2 * ROWS)
        send_changes(w, task);
    note(task, row, -1);
    *row = (struct model_row){.is_there = draw(3) != 0,
                              .flag = draw(2) != 0,
                              .group = (int)draw(GROUPS),
                              .item = draw(8) == 0 ? NO_ITEM : (int)draw(ITEMS)};
    note(task, row, 1);
}

/* ---- behind it ---- */

/* Some of what is on its way from one task. */
static void arrive(struct world *w, struct task *task, size_t most)
{
    struct batch out = {0};
    size_t left = task->partials.count - task->arrived;
    uint32_t n = (uint32_t)(left < most ? left : most);
    struct op_call *call = begin_call(w);
    struct column columns[3];
    if (n == 0)
        return;
    for (int c = 0; c < 3; c++)
        assert_int_equal(
            column_alloc(&columns[c], c == 1 ? COL_BIGINT : COL_TEXT, n, false, &w->arena), 0);
    for (uint32_t i = 0; i < n; i++) {
        const struct pair *partial = &task->partials.items[task->arrived++];
        columns[0].text[i] = partial->key;
        columns[1].i64[i] = WINDOW_NONE;
        columns[2].text[i] = partial->value;
    }
    struct batch batch = {.row_count = n,
                          .selected_count = n,
                          .columns = columns,
                          .column_count = 3,
                          .arena = &w->arena};
    int rc = w->merge->type->process(w->merge, call, &batch, &out);
    if (rc != OP_DONE)
        fail_msg("%s", w->diag.text);
}

static int group_number(const struct column *column, uint32_t row)
{
    struct bytes text = bytes_of(column->variant[row].data, column->variant[row].size);
    for (int g = 0; g < GROUPS; g++) {
        char name[TEXT_BYTES];
        if (bytes_equal(text, bytes_of(name, group_text(g, name))))
            return g;
    }
    fail_msg("a result of no group");
    return 0;
}

static void take_results(struct world *w, const struct batch *out)
{
    for (uint32_t i = 0; i < out->selected_count; i++) {
        uint32_t row = batch_row(out, i);
        int g = group_number(&out->columns[0], row);
        struct buf text;
        free(w->results[g]);
        w->results[g] = NULL;
        if (out->is_gone)
            continue;
        buf_init(&text, 0);
        json_encode_row(&text, w->names, out->columns, row, false);
        w->results[g] = strndup((const char *)text.data, text.size);
        buf_deinit(&text);
    }
}

static void commit(struct world *w)
{
    struct batch out;
    int rc = OP_MORE;
    for (int loops = 0; rc == OP_MORE && loops < COMMIT_LOOPS; loops++) {
        rc = w->merge->type->flush(w->merge, begin_call(w), &out);
        if (rc < 0)
            fail_msg("%s", w->diag.text);
        if (rc == OP_MORE)
            take_results(w, &out);
    }
    assert_int_equal(rc, OP_DONE);
    op_group_commit_number(w->merge, ++w->commit_number);
}

static void follow(struct world *w)
{
    struct state_position position = {.topic_id = {1}, .offset = (int64_t)w->changelog.count};
    assert_int_equal(state_apply_begin(w->env.state, NULL), 0);
    for (; w->followed < w->changelog.count; w->followed++) {
        const struct pair *change = &w->changelog.items[w->followed];
        assert_int_equal(state_apply_put(w->env.state, change->key, change->value, NULL), 0);
    }
    assert_int_equal(state_apply_commit(w->env.state, &position, false, NULL), 0);
    assert_int_equal(state_renew(w->env.state, NULL), 0);
    w->stored_commit = w->commit_number - 1;
}

/* After a commit: what may happen then. */
static void pass_time(struct world *w)
{
    if (draw(2) == 0)
        follow(w);
    if (draw(2) == 0)
        op_group_evict(w->merge, w->stored_commit, 0);
    if (draw(6) == 0) {
        follow(w);
        w->env.store_may_have = true;
        op_destroy(w->merge);
        open_merge(w);
    }
}

/* ---- what the rows give ---- */

static void print_item(struct buf *out, int item)
{
    char text[LONG_BYTES + 64];
    if (item == NO_ITEM) {
        buf_printf(out, "null");
        return;
    }
    item_text(&items[item], text);
    buf_printf(out, items[item].kind == VARIANT_TEXT ? "\"%s\"" : "%s", text);
}

static void assert_group(const struct world *w, int g)
{
    int n = 0, distinct = 0, low = NO_ITEM, high = NO_ITEM, flagged = NO_ITEM;
    bool seen[ITEMS] = {false};
    char name[TEXT_BYTES];
    struct buf text;
    for (int i = 0; i < ROWS; i++) {
        const struct model_row *row = &w->rows[i];
        if (!row->is_there || row->group != g)
            continue;
        n++;
        if (row->item == NO_ITEM)
            continue;
        distinct += !seen[items[row->item].same];
        seen[items[row->item].same] = true;
        low = low == NO_ITEM || row->item < low ? row->item : low;
        high = row->item > high ? row->item : high;
        if (row->flag && row->item > flagged)
            flagged = row->item;
    }
    if (n == 0) {
        assert_null(w->results[g]);
        return;
    }
    buf_init(&text, 0);
    group_text(g, name);
    buf_printf(&text, "{\"k\":\"%s\",\"n\":%d,\"d\":%d,\"low\":", name, n, distinct);
    print_item(&text, low);
    buf_printf(&text, ",\"high\":");
    print_item(&text, high);
    buf_printf(&text, ",\"flagged\":");
    print_item(&text, flagged);
    buf_printf(&text, "}");
    buf_u8(&text, 0);
    assert_non_null(w->results[g]);
    assert_string_equal(w->results[g], (const char *)text.data);
    buf_deinit(&text);
}

static int count_key(void *context, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(int *)context;
    return 0;
}

/* When no row is left, nothing is: neither groups nor values. */
static void assert_store(struct world *w)
{
    int stored = 0, rows = 0;
    follow(w);
    assert_int_equal(state_scan(w->env.state, (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                                count_key, &stored, NULL),
                     0);
    for (int i = 0; i < ROWS; i++)
        rows += w->rows[i].is_there;
    assert_true((rows == 0) == (stored == 0));
}

static void settle(struct world *w)
{
    for (int t = 0; t < TASKS; t++) {
        send_partials(w, &w->tasks[t]);
        arrive(w, &w->tasks[t], SIZE_MAX);
    }
    commit(w);
    for (int g = 0; g < GROUPS; g++)
        assert_group(w, g);
    assert_store(w);
}

static void remove_all(struct world *w)
{
    for (int i = 0; i < ROWS; i++) {
        struct task *task = &w->tasks[i % TASKS];
        if (task->change_count == 2 * ROWS)
            send_changes(w, task);
        note(task, &w->rows[i], -1);
        w->rows[i].is_there = false;
    }
}

static void sets_are_those_of_the_rows(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        seed = round;
        struct world *w = open_world();
        for (int turn = 0; turn < 120; turn++) {
            for (uint32_t n = draw(6); n > 0; n--)
                change_row(w);
            struct task *task = &w->tasks[draw(TASKS)];
            if (draw(2) == 0)
                send_partials(w, task);
            arrive(w, &w->tasks[draw(TASKS)], 1 + draw(9));
            if (draw(3) == 0) {
                commit(w);
                pass_time(w);
            }
            if (draw(20) == 0)
                settle(w);
        }
        settle(w);
        remove_all(w);
        settle(w);
        close_world(w);
    }
}

/* ---- damage ---- */

/* Values that went before they came, and such that are none, are refused and not counted. */
static void damaged_partials_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t size;
        const char *says;
    } partials[] = {
        {"\x04\x03\x01", 3, "delete the state directory"}, /* −1 */
        {"\x04\x03", 2, "does not decode"},
        {"\x02\x03", 2, "does not decode"},
        {"\x04\x02\x02", 3, "does not decode"}, /* not the group's size */
    };
    for (size_t i = 0; i < sizeof partials / sizeof partials[0]; i++) {
        struct world *w = open_world();
        struct batch out;
        struct op_call *call = begin_call(w);
        struct column columns[3];
        for (int c = 0; c < 3; c++)
            assert_int_equal(
                column_alloc(&columns[c], c == 1 ? COL_BIGINT : COL_TEXT, 1, false, &w->arena), 0);
        columns[0].text[0] = bytes_of("\x05\x01g\x02\x01", 5); /* group "g", call 2, false */
        columns[1].i64[0] = WINDOW_NONE;
        columns[2].text[0] = bytes_of(partials[i].value, partials[i].size);
        struct batch batch = {.row_count = 1,
                              .selected_count = 1,
                              .columns = columns,
                              .column_count = 3,
                              .arena = &w->arena};
        assert_int_equal(w->merge->type->process(w->merge, call, &batch, &out), ERR_CORRUPT);
        assert_non_null(strstr(w->diag.text, partials[i].says));
        close_world(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sets_are_those_of_the_rows),
                                       cmocka_unit_test(damaged_partials_are_refused)};
    scratch_dir_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
