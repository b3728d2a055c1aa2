/* http_query.c: POST /api/v1/query: a SELECT over a view, as `weir query` asks it; the body is its text.
 *
 * Rows are those of the view's state as of its last commit, of a job that runs in this server as of its latest, written by the encoder that writes the
 * view's topic, so that numbers are exact. A page is limit rows, or 16 MiB of them; the cursor is how many went before, and the question is asked again for each
 * page: nothing is kept between requests. Questions take memory, so that few are asked at once. A running job may take away what a question
 * reads, when a store must move; nothing was sent yet, so that it is asked again. */
#include <stdlib.h>

#include "operators/json_encode.h"
#include "runtime/http/http_internal.h"
#include "runtime/query.h"
#include "runtime/view_reader.h"
#include "runtime/weir_view.h"

enum { TRIES = 3, ROWS_MAX = 100000 };

struct question {
    struct query *query;
    struct shared_view *view;
    struct json_names *names;
    size_t memory_bytes;
    int64_t skip, left;
    bool has_more;
};

struct json_names *http_query_names(const struct query *query)
{
    uint32_t count = query_column_count(query);
    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        names[i] = query_column_name(query, i);
    struct json_names *made = json_names_create(names, count);
    free(names);
    return made;
}

/* 1: it was answered. */
static int open_question(struct http_exchange *exchange, struct question *question,
                         struct diag *diag)
{
    TRY(query_create((const char *)exchange->body.data, exchange->body.size, &question->query,
                     diag));
    int rc = http_open_view(exchange, query_view(question->query), question->memory_bytes,
                            &question->view, diag);
    if (rc != 0)
        return rc;
    rc = query_bind(question->query, shared_view_reader(question->view), question->memory_bytes,
                    diag);
    if (rc < 0) /* a column that is not there is no address that is not there */
        return rc == ERR_NOT_FOUND ? ERR_INVALID : rc;
    question->names = http_query_names(question->query);
    return question->names != NULL ? 0 : ERR_NOMEM;
}

static void close_question(struct http_exchange *exchange, struct question *question)
{
    json_names_destroy(question->names);
    query_destroy(question->query);
    shared_view_close(exchange->http->log, question->view);
}

static void put_columns(struct json *json, const struct query *query)
{
    json_name(json, "columns");
    json_begin(json, '[');
    for (uint32_t i = 0; i < query_column_count(query); i++)
        json_text(json, query_column_name(query, i));
    json_end(json, ']');
    json_name(json, "types");
    json_begin(json, '[');
    for (uint32_t i = 0; i < query_column_count(query); i++)
        json_text(json, col_type_name(query_column_type(query, i)));
    json_end(json, ']');
}

static int put_batch(struct http_exchange *exchange, struct question *question,
                     const struct batch *batch, struct diag *diag)
{
    for (uint32_t i = 0; i < batch->selected_count && !question->has_more; i++) {
        if (question->skip > 0) {
            question->skip--;
        } else if (question->left == 0 || exchange->out.size > HTTP_PAGE_BYTES) {
            question->has_more = true;
        } else {
            question->left--;
            json_raw(&exchange->json, "", 0);
            json_encode_row(&exchange->out, question->names, batch->columns, batch_row(batch, i),
                            false);
            TRY(http_take_room(exchange, diag));
        }
    }
    return 0;
}

static int put_rows(struct http_exchange *exchange, struct question *question, struct diag *diag)
{
    const struct batch *batch;
    int rc = 0;
    json_name(&exchange->json, "rows");
    json_begin(&exchange->json, '[');
    while (!question->has_more && (rc = query_next(question->query, &batch, diag)) == 1) {
        if (http_is_over(exchange))
            return diag_set(diag, ERR_TIMEOUT,
                            "the question takes longer than %d s\n"
                            "hint: ask for a key or a range of them, or 'weir query'",
                            HTTP_ANSWER_MS / 1000);
        TRY(put_batch(exchange, question, batch, diag));
    }
    json_end(&exchange->json, ']');
    return rc < 0 ? rc : 0;
}

/* From the first row on. */
static int ask(struct http_exchange *exchange, struct question *question, int64_t skip,
               int64_t limit, struct diag *diag)
{
    struct json *json = &exchange->json;
    const char *reason = NULL;
    buf_clear(&exchange->out);
    exchange->json = (struct json){.text = &exchange->out};
    question->skip = skip;
    question->left = limit;
    question->has_more = false;
    TRY(query_start(question->query, diag));
    json_begin(json, '{');
    put_columns(json, question->query);
    TRY(put_rows(exchange, question, diag));
    uint64_t left_out = query_left_out(question->query, &reason);
    json_member_int(json, "left_out", (int64_t)left_out);
    json_member_text(json, "left_out_reason", left_out > 0 ? reason : NULL);
    json_name(json, "next_cursor");
    if (question->has_more)
        json_int(json, skip + limit - question->left);
    else
        json_null(json);
    json_end(json, '}');
    return 0;
}

static int explain(struct http_exchange *exchange, struct question *question, struct diag *diag)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = query_explain(question->query, &text, diag);
    json_begin(&exchange->json, '{');
    json_name(&exchange->json, "explain");
    json_bytes(&exchange->json, text.data, text.size);
    json_end(&exchange->json, '}');
    rc = rc == 0 && !buf_ok(&text) ? ERR_NOMEM : rc;
    buf_deinit(&text);
    return rc;
}

static int answer(struct http_exchange *exchange, struct question *question, int64_t skip,
                  int64_t limit, bool wants_plan, struct diag *diag)
{
    int rc = open_question(exchange, question, diag);
    if (rc != 0)
        return rc;
    if (wants_plan)
        return explain(exchange, question, diag);
    for (int i = 0;; i++) {
        rc = ask(exchange, question, skip, limit, diag);
        if (rc >= 0 || !view_reader_is_lost(shared_view_reader(question->view)) || i == TRIES)
            return rc;
    }
}

void http_post_query(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct question question = {.query = NULL};
    struct diag diag = {.code = 0};
    int64_t limit, from, memory_mb;
    bool wants_plan;
    if (!http_argument_number(exchange, "limit", 1, ROWS_MAX, HTTP_PAGE, &limit) ||
        !http_argument_number(exchange, "cursor", 0, INT32_MAX, 0, &from) ||
        !http_argument_number(exchange, "memory", 1, HTTP_QUESTION_MB, HTTP_QUESTION_MB,
                              &memory_mb) ||
        !http_argument_truth(exchange, "explain", false, &wants_plan))
        return;
    if (exchange->body.size == 0) {
        http_fail(exchange, 400, "POST its text: curl -d 'SELECT …'", "a SELECT is missing");
        return;
    }
    if (atomic_fetch_add(&http->questions, 1) < HTTP_QUESTIONS) {
        question.memory_bytes = (size_t)memory_mb << 20;
        int rc = answer(exchange, &question, from, limit, wants_plan, &diag);
        close_question(exchange, &question);
        if (rc < 0)
            http_fail_code(exchange, rc, diag.text);
    } else {
        http_fail(exchange, 503, "ask again", "%d questions are being answered", HTTP_QUESTIONS);
    }
    atomic_fetch_sub(&http->questions, 1);
}
