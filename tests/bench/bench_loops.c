/* bench_loops.c: the inner loops that every row passes, each by itself on fixed input, for counting
 * instructions.
 *
 * Not timed: on a shared machine time says little, while the number of instructions is the same
 * each time. test_loops.py runs this program under callgrind, which counts inside the functions
 * loop_… only, and compares with loops.json. One thread, no files, no clock. The input is the
 * documents of user-counts, ROUNDS batches of 4,096 rows over 2,000 users:
 *
 *   unpack   a batch of the log: decompress, walk the records
 *   decode   documents → columns of the fields user, ts and action
 *   filter   action = 'view'
 *   group    key, window, probe, count, over groups that are known already
 *   flush    changed groups → changelog records and result rows, as keys and values
 *   pack     these records → batches of the log: encode, compress, CRC
 *
 * Prints "loop rows" for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/record_batch.h"
#include "operators/grouping.h"
#include "operators/json_decode.h"
#include "runtime/base/error.h"
#include "tests/support/bench_users.h"

enum { USERS = 2000, ROUNDS = 4, FIELDS = 3, WINDOW_MS = 300000, PACK_BYTES = 256 << 10 };

#define LOOP __attribute__((noinline)) static int64_t

struct kept {
    struct bytes key, value;
};

struct loops {
    struct field_set *fields;
    struct scope scope;
    struct json_decoder *decoder;
    struct group_params group;
    struct filter_params filter;
    struct op_env env;
    struct op *aggregate, *filter_op;
    struct arena rows, results; /* of the input; of what flush gives */
    struct reject_list rejects;
    struct bytes packed[ROUNDS], docs[ROUNDS][BATCH_ROWS];
    struct column *columns[ROUNDS];
    int64_t *times[ROUNDS];
    struct kept *kept; /* changelog and result records of one flush */
    size_t kept_count;
    struct buf text;
};

static void keep(struct loops *l, struct bytes key, struct bytes value)
{
    must(l->kept_count < (size_t)4 * USERS);
    l->kept[l->kept_count++] =
        (struct kept){arena_copy(&l->results, key), arena_copy(&l->results, value)};
}

static int keep_change(void *context, struct bytes key, struct bytes value)
{
    keep(context, key, value);
    return 0;
}

static struct op_call call_of(struct loops *l, struct arena *arena)
{
    l->rejects = (struct reject_list){.arena = arena};
    return (struct op_call){.arena = arena, .rejects = &l->rejects};
}

/* ---- the loops ---- */

LOOP loop_unpack(struct loops *l, struct buf *plain)
{
    int64_t rows = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct record_reader reader;
        struct record record;
        must(record_reader_open(&reader, l->packed[round], 64 << 20, plain, NULL) == 0);
        while (record_reader_next(&reader, &record) == 1)
            rows += record.value.size > 0;
    }
    return rows;
}

LOOP loop_decode(struct loops *l)
{
    for (int round = 0; round < ROUNDS; round++)
        must(json_decode(l->decoder, l->docs[round], BATCH_ROWS, false, &l->rows, l->columns[round],
                         &l->rejects) == 0);
    must(l->rejects.count == 0);
    return (int64_t)ROUNDS * BATCH_ROWS;
}

static struct batch batch_of(struct loops *l, int round)
{
    return (struct batch){.row_count = BATCH_ROWS,
                          .selected_count = BATCH_ROWS,
                          .columns = l->columns[round],
                          .column_count = FIELDS,
                          .event_time_ms = l->times[round],
                          .arena = &l->rows};
}

LOOP loop_filter(struct loops *l)
{
    int64_t kept = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct batch in = batch_of(l, round), out = {0};
        struct op_call call = call_of(l, &l->rows);
        must(l->filter_op->type->process(l->filter_op, &call, &in, &out) == OP_DONE);
        kept += out.selected_count;
    }
    must(kept > ROUNDS * BATCH_ROWS / 5 && kept < ROUNDS * BATCH_ROWS / 3);
    return (int64_t)ROUNDS * BATCH_ROWS;
}

LOOP loop_group(struct loops *l)
{
    uint64_t applied = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct batch in = batch_of(l, round), out = {0};
        struct op_call call = call_of(l, &l->rows);
        must(l->aggregate->type->process(l->aggregate, &call, &in, &out) == OP_DONE);
        applied += call.applied_rows;
    }
    return (int64_t)applied;
}

static int64_t flush(struct loops *l)
{
    int rc = OP_MORE;
    int64_t rows = 0;
    while (rc == OP_MORE) {
        struct batch out = {0};
        struct op_call call = call_of(l, &l->results);
        rc = l->aggregate->type->flush(l->aggregate, &call, &out);
        for (uint32_t i = 0; i < out.selected_count; i++, rows++) {
            buf_clear(&l->text);
            json_encode_key(&l->text, l->group.key_names, out.columns, i, false);
            size_t key_size = l->text.size;
            json_encode_row(&l->text, l->group.key_names, out.columns, i, false);
            keep(l, bytes_of(l->text.data, key_size),
                 bytes_of(l->text.data + key_size, l->text.size - key_size));
        }
    }
    must(rc == OP_DONE);
    return rows;
}

LOOP loop_flush(struct loops *l)
{
    return flush(l);
}

LOOP loop_pack(struct loops *l, struct batch_builder *builder)
{
    struct bytes batch;
    for (size_t i = 0; i < l->kept_count; i++) {
        must(batch_builder_add(builder, 1, l->kept[i].key, l->kept[i].value,
                               (struct bytes){NULL, 0}, 0) == 0);
        if (batch_builder_bytes(builder) < PACK_BYTES && i + 1 < l->kept_count)
            continue;
        must(batch_builder_finish(builder, &batch) == 0);
        batch_builder_reset(builder);
    }
    return (int64_t)l->kept_count;
}

/* ---- around them ---- */

static void compile(struct loops *l)
{
    static const char *const names[FIELDS] = {"user", "ts", "action"};
    const struct field_path *paths[FIELDS];
    struct group_params *p = &l->group;
    l->fields = field_set_create();
    l->scope = field_set_scope(l->fields);
    for (int i = 0; i < FIELDS; i++)
        must(field_set_add(l->fields, names[i], NULL) == i);
    for (uint32_t i = 0; i < FIELDS; i++)
        paths[i] = field_set_path(l->fields, i);
    must(json_decoder_create(paths, FIELDS, &l->decoder, NULL) == 0);
    must(expr_parse_condition("action = 'view'", &l->scope, &l->filter.condition, NULL) == 0);
    must(expr_parse_list("\"user\"", &l->scope, &p->groups, NULL) == 0);
    p->group_names = (const char *const *)p->groups->names;
    p->group_types = calloc(p->groups->count, sizeof *p->group_types);
    must(p->group_types != NULL);
    p->group_types[0] = expr_type(p->groups->exprs[0]);
    struct named_columns columns = {p->group_names, p->group_types, p->groups->count};
    must(expr_parse_aggregates("count(*) AS events, sum(ts::bigint) AS total", &l->scope, &columns,
                               true, &p->aggregates, NULL) == 0);
    must(agg_plan_create(p->aggregates->calls, p->aggregates->call_count, &p->plan, NULL) == 0);
    p->key_names = json_names_create(p->group_names, p->groups->count);
    p->window = window_tumbling(WINDOW_MS);
}

static void open_operators(struct loops *l)
{
    l->env = (struct op_env){.changelog = keep_change,
                             .context = l,
                             .partition_count = 1,
                             .closed_before_ms = INT64_MIN,
                             .store_max_window_ms = INT64_MIN};
    must(op_create(op_type_find("aggregate"), &l->group, &l->env, &l->aggregate, NULL) == 0);
    must(op_create(op_type_find("filter"), &l->filter, &l->env, &l->filter_op, NULL) == 0);
}

static void make_input(struct loops *l, struct batch_builder *builder)
{
    struct bench_event event;
    for (int round = 0; round < ROUNDS; round++) {
        struct bytes batch;
        l->columns[round] = arena_zalloc(&l->rows, FIELDS * sizeof(struct column));
        l->times[round] = arena_alloc(&l->rows, BATCH_ROWS * sizeof(int64_t));
        for (int i = 0; i < BATCH_ROWS; i++) {
            bench_user_event(USERS, false, (int64_t)round * BATCH_ROWS + i, &event);
            l->docs[round][i] = arena_copy(&l->rows, bytes_of(event.text, event.size));
            l->times[round][i] = event.timestamp_ms;
            must(batch_builder_add(builder, event.timestamp_ms, bytes_of(event.key, event.key_size),
                                   l->docs[round][i], (struct bytes){NULL, 0}, 0) == 0);
        }
        must(batch_builder_finish(builder, &batch) == 0);
        l->packed[round] = arena_copy(&l->rows, batch);
        batch_builder_reset(builder);
    }
}

static void close_all(struct loops *l)
{
    op_destroy(l->aggregate);
    op_destroy(l->filter_op);
    json_names_destroy(l->group.key_names);
    agg_plan_destroy(l->group.plan);
    agg_list_destroy(l->group.aggregates);
    expr_list_destroy(l->group.groups);
    expr_destroy(l->filter.condition);
    free(l->group.group_types);
    json_decoder_destroy(l->decoder);
    field_set_destroy(l->fields);
    buf_deinit(&l->text);
    arena_deinit(&l->rows);
    arena_deinit(&l->results);
    free(l->kept);
    free(l);
}

int main(void)
{
    struct loops *l = calloc(1, sizeof *l);
    struct batch_builder builder;
    struct buf plain;
    must(l != NULL);
    l->kept = malloc((size_t)4 * USERS * sizeof *l->kept);
    must(l->kept != NULL);
    arena_init(&l->rows, 0);
    arena_init(&l->results, 0);
    buf_init(&l->text, 0);
    buf_init(&plain, 0);
    batch_builder_init(&builder, CODEC_LZ4);
    compile(l);
    open_operators(l);
    make_input(l, &builder);
    l->rejects = (struct reject_list){.arena = &l->rows};

    printf("unpack %lld\n", (long long)loop_unpack(l, &plain));
    printf("decode %lld\n", (long long)loop_decode(l));
    printf("filter %lld\n", (long long)loop_filter(l));
    for (int round = 0; round < ROUNDS; round++) { /* makes the groups known */
        struct batch in = batch_of(l, round), out = {0};
        struct op_call call = call_of(l, &l->rows);
        must(l->aggregate->type->process(l->aggregate, &call, &in, &out) == OP_DONE);
    }
    flush(l);
    l->kept_count = 0;
    printf("group %lld\n", (long long)loop_group(l));
    printf("flush %lld\n", (long long)loop_flush(l));
    printf("pack %lld\n", (long long)loop_pack(l, &builder));
    batch_builder_deinit(&builder);
    buf_deinit(&plain);
    close_all(l);
    return 0;
}
