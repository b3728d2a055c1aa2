/* weir_query.c: questions to views through weir.h.
 *
 * A weir_query is a question that is compiled and bound to its view, which it keeps open. Rows come one by one out of the
 * batches that query.c makes; values are taken out of columns into memory that lasts until the next row. */
#include <stdlib.h>
#include <string.h>

#include "operators/expr.h"
#include "operators/value.h"
#include "runtime/query.h"
#include "runtime/weir_view.h"

static const size_t MEMORY_BYTES = (size_t)256 << 20;

struct weir_query {
    weir_log *log;
    struct shared_view *view;
    struct query *query;
    const struct batch *batch; /* whose rows are given out; NULL: the next one is to be made */
    uint32_t next_row;
    bool is_started, has_ended;
    struct arena arena; /* of a row's values */
    struct value *values;
    weir_query_column *columns;
    char *explanation;
    struct diag diag;
};

static int fail(weir_query *query, int rc)
{
    if (rc < 0) {
        query->has_ended = true;
        if (query->diag.text[0] == '\0')
            diag_set(&query->diag, rc, "%s", error_text(rc));
    }
    return rc;
}

static weir_type type_of(enum col_type type)
{
    static const weir_type types[COL_TYPE_COUNT] = {[COL_VARIANT] = WEIR_JSON_VALUE,
                                                    [COL_BOOLEAN] = WEIR_BOOLEAN,
                                                    [COL_BIGINT] = WEIR_BIGINT,
                                                    [COL_DOUBLE] = WEIR_DOUBLE,
                                                    [COL_NUMERIC] = WEIR_NUMERIC,
                                                    [COL_TEXT] = WEIR_TEXT,
                                                    [COL_TIMESTAMPTZ] = WEIR_TIMESTAMP,
                                                    [COL_INTERVAL] = WEIR_INTERVAL,
                                                    [COL_BYTEA] = WEIR_BYTEA};
    return types[type];
}

static int list_columns(weir_query *query)
{
    uint32_t count = query_column_count(query->query);
    query->columns = calloc(count + 1, sizeof *query->columns);
    query->values = calloc(count + 1, sizeof *query->values);
    if (query->columns == NULL || query->values == NULL)
        return diag_set(&query->diag, ERR_NOMEM, "no memory for the columns of a question");
    for (uint32_t i = 0; i < count; i++)
        query->columns[i] = (weir_query_column){query_column_name(query->query, i),
                                                type_of(query_column_type(query->query, i))};
    return 0;
}

static int open_query(weir_query *query, const char *sql, const weir_query_options *options)
{
    static const weir_query_options defaults;
    if (options == NULL)
        options = &defaults;
    TRY(reserved_check(options->reserved, "weir_query_options", &query->diag));
    size_t memory = options->memory_bytes > 0 ? options->memory_bytes : MEMORY_BYTES;
    TRY(query_create(sql, strlen(sql), &query->query, &query->diag));
    TRY(shared_view_open(query->log, query_view(query->query), options->app, memory, &query->view,
                         &query->diag));
    TRY(query_bind(query->query, shared_view_reader(query->view), memory, &query->diag));
    return list_columns(query);
}

/* Several texts are parsed, the question's and those of the view: one stack for all of them. */
struct opening {
    weir_query *query;
    const char *sql;
    const weir_query_options *options;
    int rc;
};
static void open_job(void *job)
{
    struct opening *opening = job;
    opening->rc = open_query(opening->query, opening->sql, opening->options);
}

int weir_query_open(weir_log *log, const char *sql, const weir_query_options *options,
                    weir_query **result)
{
    if (result != NULL)
        *result = NULL;
    TRY(handle_need(log, "sql", sql));
    TRY(handle_need(log, "query", result));
    weir_query *query = calloc(1, sizeof *query);
    if (query == NULL)
        return handle_result(ERR_NOMEM, NULL);
    query->log = log;
    arena_init(&query->arena, 0);
    atomic_fetch_add(&log->queries, 1);
    struct opening opening = {query, sql, options, 0};
    int rc = expr_on_large_stack(open_job, &opening, &query->diag);
    rc = rc < 0 ? rc : opening.rc;
    if (rc < 0) {
        handle_result(rc, &query->diag);
        weir_query_close(query);
        return rc;
    }
    *result = query;
    return 0;
}

void weir_query_close(weir_query *query)
{
    if (query == NULL)
        return;
    query_destroy(query->query);
    shared_view_close(query->log, query->view);
    atomic_fetch_sub(&query->log->queries, 1);
    arena_deinit(&query->arena);
    free(query->values);
    free(query->columns);
    free(query->explanation);
    free(query);
}

const char *weir_query_error(const weir_query *query)
{
    return query != NULL ? query->diag.text : "";
}

size_t weir_query_columns(const weir_query *query, const weir_query_column **columns)
{
    *columns = query != NULL ? query->columns : NULL;
    return query != NULL ? query_column_count(query->query) : 0;
}

int weir_query_rewind(weir_query *query)
{
    if (query == NULL)
        return ERR_INVALID;
    query->batch = NULL;
    query->is_started = query->has_ended = false;
    query->diag = (struct diag){0};
    return 0;
}

/* 1: batch has a row at next_row; 0: there is none. */
static int next_batch(weir_query *query)
{
    if (!query->is_started) {
        query->diag = (struct diag){0};
        TRY(query_start(query->query, &query->diag));
    }
    query->is_started = true;
    if (query->batch != NULL && query->next_row < query->batch->selected_count)
        return 1;
    query->next_row = 0;
    return query_next(query->query, &query->batch, &query->diag);
}

int weir_query_next(weir_query *query, const weir_value **values)
{
    if (values != NULL)
        *values = NULL;
    if (query == NULL || values == NULL)
        return ERR_INVALID;
    if (query->has_ended)
        return query->diag.code < 0 ? query->diag.code : 0;
    int rc = next_batch(query);
    if (rc <= 0) {
        query->has_ended = true;
        return fail(query, rc);
    }
    uint32_t row = batch_row(query->batch, query->next_row++);
    arena_reset(&query->arena);
    for (uint32_t i = 0; i < query_column_count(query->query); i++)
        if (value_get(&query->batch->columns[i], row, &query->arena, &query->values[i]) < 0)
            return fail(query, ERR_NOMEM);
    *values = (const weir_value *)query->values;
    return 1;
}

int64_t weir_query_left_out(const weir_query *query, const char **reason)
{
    const char *ignored;
    reason = reason != NULL ? reason : &ignored;
    *reason = "";
    return query != NULL ? (int64_t)query_left_out(query->query, reason) : 0;
}

const char *weir_query_explain(weir_query *query)
{
    struct buf text;
    if (query == NULL || query->explanation != NULL)
        return query != NULL ? query->explanation : NULL;
    buf_init(&text, 0);
    query->diag = (struct diag){0};
    if (query_explain(query->query, &text, &query->diag) == 0) {
        buf_u8(&text, 0);
        query->explanation = buf_ok(&text) ? strdup((const char *)text.data) : NULL;
    }
    buf_deinit(&text);
    if (query->explanation == NULL && query->diag.code == 0)
        diag_set(&query->diag, ERR_NOMEM, "no memory for an explanation");
    return query->explanation;
}
