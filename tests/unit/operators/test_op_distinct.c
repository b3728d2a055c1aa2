/* test_op_distinct.c: the distinct operator against a list that never forgets.
 *
 * Random rows with few keys, times to and fro, and watermarks as sources have them: each row's own, behind
 * which the task's time follows some rows later. Batches are cut, commits made, the store followed,
 * memory given back and the instance closed and opened again at random; none of it may change what becomes of a row.
 * In the end what is kept must be what can still be near a row, and nothing that cannot by a bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/op.h"
#include "tests/support/scratch_dir.h"

enum {
    ROWS = 3000,
    KEYS = 6,
    LIVES = 60,
    BATCH_MOST = 64,
    BEHIND = 40, /* rows by which the task's time is behind a row's own at most */
    RECORDS_MAX = 4 * ROWS,
};

struct life {
    uint64_t random;
    char *dir;
    struct arena arena;
    struct distinct_params params;
    struct op_env env;
    struct op *op;
    int64_t commits, position;
    struct record {
        uint8_t *key, *value;
        size_t key_bytes, value_bytes;
    } records[RECORDS_MAX]; /* of the changelog; up to committed */
    size_t record_count, committed, followed;
    int64_t times_ms[ROWS], watermarks_ms[ROWS];
    int keys[ROWS];
    char fates[ROWS], wanted[ROWS]; /* k: kept, d: duplicate, l: late */
    int64_t time_ms;                /* the task's */
};

static uint32_t draw(struct life *life, uint32_t below)
{
    life->random ^= life->random << 13;
    life->random ^= life->random >> 7;
    life->random ^= life->random << 17;
    return (uint32_t)((life->random >> 11) % below);
}

/* ---- the list ---- */

static void judge(struct life *life)
{
    int64_t within_ms = life->params.within_ms;
    for (int i = 0; i < ROWS; i++) {
        life->wanted[i] = life->times_ms[i] + within_ms <= life->watermarks_ms[i] ? 'l' : 'k';
        for (int j = 0; j < i && life->wanted[i] == 'k'; j++)
            if (life->wanted[j] == 'k' && life->keys[i] == life->keys[j] &&
                llabs(life->times_ms[i] - life->times_ms[j]) <= within_ms)
                life->wanted[i] = 'd';
    }
}

static void draw_rows(struct life *life)
{
    int64_t now_ms = -5000, high_ms = INT64_MIN, spread_ms = life->params.within_ms * 3;
    int64_t lateness_ms = draw(life, 3) == 0 ? 0 : (int64_t)draw(life, (uint32_t)spread_ms);
    for (int i = 0; i < ROWS; i++) {
        now_ms += draw(life, (uint32_t)life->params.within_ms / 20 + 2);
        life->times_ms[i] = now_ms - (int64_t)draw(life, (uint32_t)spread_ms);
        life->keys[i] = (int)draw(life, KEYS);
        if (life->times_ms[i] - lateness_ms > high_ms)
            high_ms = life->times_ms[i] - lateness_ms;
        life->watermarks_ms[i] = high_ms;
    }
}

/* ---- the operator ---- */

static int add_record(void *context, struct bytes key, struct bytes value)
{
    struct life *life = context;
    assert_true(life->record_count < RECORDS_MAX);
    struct record *record = &life->records[life->record_count++];
    *record = (struct record){malloc(key.size + 1), NULL, key.size, value.size};
    memcpy(record->key, key.data, key.size);
    if (value.data != NULL) {
        record->value = malloc(value.size + 1);
        memcpy(record->value, value.data, value.size);
    }
    return 0;
}

static void forget_records(struct life *life, size_t from)
{
    while (life->record_count > from) {
        free(life->records[--life->record_count].key);
        free(life->records[life->record_count].value);
    }
}

static void follow(struct life *life)
{
    const struct state_position position = {.topic_id = {1}, .offset = (int64_t)life->committed};
    assert_int_equal(state_apply_begin(life->env.state, NULL), 0);
    for (size_t i = life->followed; i < life->committed; i++) {
        const struct record *record = &life->records[i];
        assert_int_equal(state_apply_put(life->env.state, bytes_of(record->key, record->key_bytes),
                                         bytes_of(record->value, record->value_bytes), NULL),
                         0);
    }
    assert_int_equal(state_apply_commit(life->env.state, &position, false, NULL), 0);
    assert_int_equal(state_renew(life->env.state, NULL), 0);
    life->followed = life->committed;
}

static void open_op(struct life *life)
{
    char *path = scratch_path(life->dir, "state");
    struct state_statistics statistics;
    struct state *state;
    assert_int_equal(state_open(path, 1, NULL, &state, NULL), 0);
    free(path);
    life->env = (struct op_env){.state = state, .changelog = add_record, .context = life};
    follow(life);
    assert_int_equal(state_stat(state, &statistics, NULL), 0);
    life->env.store_may_have = statistics.entries > 0;
    assert_int_equal(
        op_create(op_type_find("distinct"), &life->params, &life->env, &life->op, NULL), 0);
}

static void close_op(struct life *life)
{
    op_destroy(life->op);
    state_close(life->env.state);
}

static void process(struct life *life, int from, int count)
{
    struct reject_list rejects = {.arena = &life->arena};
    struct op_call call = {.arena = &life->arena, .rejects = &rejects};
    struct bytes texts[BATCH_MOST];
    char names[BATCH_MOST][8];
    struct column column = {.type = COL_TEXT, .text = texts};
    struct batch in = {.row_count = (uint32_t)count,
                       .selected_count = (uint32_t)count,
                       .columns = &column,
                       .column_count = 1,
                       .event_time_ms = life->times_ms + from,
                       .watermark_ms = life->watermarks_ms + from,
                       .arena = &life->arena};
    struct batch out = {0};
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "k%d", life->keys[from + i]);
        texts[i] = bytes_text(names[i]);
        life->fates[from + i] = 'd';
    }
    arena_reset(&life->arena);
    assert_int_equal(life->op->type->process(life->op, &call, &in, &out), OP_DONE);
    assert_int_equal(rejects.count, 0);
    assert_int_equal(out.selected_count + call.late_count + call.duplicate_rows, count);
    for (uint32_t i = 0; i < out.selected_count; i++)
        life->fates[from + (int)batch_row(&out, i)] = 'k';
    for (uint32_t i = 0; i < call.late_count; i++) {
        const struct late_row *late = &call.late[i];
        int row = from + (int)late->row;
        life->fates[row] = 'l';
        assert_true(late->counts && late->window_start_ms == life->times_ms[row]);
        assert_true(late->window_end_ms == life->times_ms[row] + life->params.within_ms);
        assert_true(late->lateness_ms == life->watermarks_ms[row] - late->window_end_ms);
    }
}

/* What the task knows of time is what some row before had. */
static void commit(struct life *life, int rows)
{
    int known = rows - 1 - (int)draw(life, BEHIND);
    struct op_call call = {.arena = &life->arena};
    struct batch out = {0};
    if (known >= 0 && life->watermarks_ms[known] > life->time_ms)
        life->time_ms = life->watermarks_ms[known];
    arena_reset(&life->arena);
    while (life->op->type->advance(life->op, &call, life->time_ms, &out) == OP_AGAIN)
        ;
    assert_int_equal(out.selected_count, 0);
    assert_int_equal(life->op->type->save(life->op, life->commits++, NULL), 0);
    life->committed = life->record_count;
    life->position = rows;
}

static int count_entry(void *context, struct bytes key, struct bytes value)
{
    struct life *life = context;
    int64_t within_ms = life->params.within_ms, time_ms = (int64_t)load_be64(value.data);
    (void)key;
    assert_int_equal(value.size, 8);
    assert_true(time_ms >= life->time_ms - 3 * within_ms); /* a bucket wide */
    life->position--;
    return 0;
}

/* After the last row, when all time has passed that the task will see. */
static void assert_kept(struct life *life)
{
    int64_t within_ms = life->params.within_ms;
    commit(life, ROWS);
    follow(life);
    int needed = 0;
    for (int i = 0; i < ROWS; i++)
        needed += life->wanted[i] == 'k' && life->times_ms[i] > life->time_ms - 2 * within_ms;
    life->position = 0;
    assert_int_equal(state_scan(life->env.state, (struct bytes){NULL, 0}, (struct bytes){NULL, 0},
                                count_entry, life, NULL),
                     0);
    assert_true(-life->position >= needed);
}

static void live(uint64_t seed)
{
    struct life *life = calloc(1, sizeof *life);
    const char *const names[] = {"k"};
    const enum col_type types[] = {COL_TEXT};
    struct named_columns columns = {names, types, 1};
    struct scope scope = named_columns_scope(&columns);
    assert_non_null(life);
    life->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    life->time_ms = INT64_MIN;
    life->dir = scratch_dir_create();
    arena_init(&life->arena, 0);
    assert_int_equal(expr_parse_list("k", &scope, &life->params.key.list, NULL), 0);
    life->params.within_ms = 1 + draw(life, 2000);
    draw_rows(life);
    judge(life);
    open_op(life);
    for (int at = 0; at < ROWS;) {
        int count = 1 + (int)draw(life, BATCH_MOST);
        count = count < ROWS - at ? count : ROWS - at;
        process(life, at, count);
        at += count;
        uint32_t what = draw(life, 12);
        if (what < 5)
            commit(life, at);
        if (what < 2)
            follow(life);
        if (what == 0)
            life->op->type->evict(life->op, life->commits - 1, draw(life, 2) ? 0 : 5000);
        if (what == 11) { /* a crash: the rows since the last commit come again */
            close_op(life);
            forget_records(life, life->committed);
            open_op(life);
            at = (int)life->position;
        }
    }
    assert_memory_equal(life->fates, life->wanted, ROWS);
    assert_kept(life);
    close_op(life);
    forget_records(life, 0);
    expr_list_destroy(life->params.key.list);
    arena_deinit(&life->arena);
    scratch_dir_remove(life->dir);
    free(life);
}

static void test_random_lives(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= LIVES; seed++)
        live(seed);
}

int main(void)
{
    scratch_dir_in_memory();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
