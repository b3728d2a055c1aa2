/* http_rows.c: the rows of a view by key and by range.
 *
 * Rows are asked for by the engine of POST /api/v1/query: what the address says becomes a SELECT (view_select.c), so that types, ranges and what need not
 * be read are the same. But pages go on behind a row and not behind a number of them: a cursor is the place of the last row, and what comes or goes before it
 * shifts nothing. A row that is there throughout is shown once; a window that closes between two pages may be shown open, and again as it closed. */
#include <stdlib.h>
#include <string.h>

#include "operators/json_encode.h"
#include "runtime/http/http_internal.h"
#include "runtime/query.h"
#include "runtime/view_reader.h"
#include "runtime/view_scan.h"
#include "runtime/view_select.h"
#include "runtime/weir_view.h"

enum { VIEW_MB = 64, VIEW_TRIES = 3 };

struct page {
    struct http_exchange *exchange;
    struct shared_view *view;
    struct query *query;
    struct json_names *names;
    struct view_mark begin, last, next; /* begin.partition −1: at the first row */
    int64_t left;
    bool has_more;
};

/* As a cursor: 0 and the key, or 1 and the offset. */
static void put_cursor(struct json *json, const struct view_mark *mark)
{
    struct buf place;
    buf_init(&place, 0);
    buf_u8(&place, mark->is_closed);
    if (mark->is_closed)
        buf_be64(&place, (uint64_t)mark->offset);
    else
        buf_append(&place, mark->key.data, mark->key.size);
    http_cursor_put(json, "next_cursor", mark->partition, bytes_of(place.data, place.size));
    json->text->failed |= !buf_ok(&place);
    buf_deinit(&place);
}

static bool take_cursor(struct http_exchange *exchange, struct view_mark *mark)
{
    struct buf place;
    buf_init(&place, 0);
    bool is_good = http_argument_cursor(exchange, &mark->partition, &place);
    if (is_good && mark->partition >= 0) {
        mark->is_closed = place.size > 0 && place.data[0] == 1;
        is_good = place.size > 0 && place.data[0] <= 1 && (!mark->is_closed || place.size == 9);
        if (!is_good)
            http_fail(exchange, 400, NULL, "cursor is next_cursor of the page before");
        else if (mark->is_closed)
            mark->offset = (int64_t)load_be64(place.data + 1);
        else
            buf_append(&mark->key, place.data + 1, place.size - 1);
    }
    buf_deinit(&place);
    return is_good;
}

static bool is_same_place(const struct view_mark *a, const struct view_mark *b)
{
    return a->partition == b->partition && a->is_closed == b->is_closed && !a->is_closed &&
           bytes_equal(bytes_of(a->key.data, a->key.size), bytes_of(b->key.data, b->key.size));
}

static int put_batch(struct page *page, const struct batch *batch, struct diag *diag)
{
    struct http_exchange *exchange = page->exchange;
    for (uint32_t i = 0; i < batch->selected_count; i++) {
        if (query_mark(page->query, i, &page->next) < 0)
            return diag_set(diag, ERR_NOMEM, "no memory for rows of a view");
        bool is_full = page->left == 0 || exchange->out.size > HTTP_PAGE_BYTES;
        if (is_full && !is_same_place(&page->last, &page->next)) {
            page->has_more = true;
            return 0;
        }
        page->left -= page->left > 0;
        struct view_mark swap = page->last;
        page->last = page->next;
        page->next = swap;
        json_raw(&exchange->json, "", 0);
        json_encode_row(&exchange->out, page->names, batch->columns, batch_row(batch, i), false);
        TRY(http_take_room(exchange, diag));
    }
    return 0;
}

static int put_rows(struct page *page, int64_t limit, struct diag *diag)
{
    struct http_exchange *exchange = page->exchange;
    const struct batch *batch;
    int rc = 0;
    page->left = limit;
    page->has_more = false;
    page->last.partition = -1;
    while (!page->has_more && (rc = query_next(page->query, &batch, diag)) == 1) {
        if (http_is_over(exchange))
            return diag_set(diag, ERR_TIMEOUT,
                            "the rows take longer than %d s\nhint: ask for a key or a range",
                            HTTP_ANSWER_MS / 1000);
        TRY(put_batch(page, batch, diag));
    }
    return rc < 0 ? rc : 0;
}

static int put_page(struct page *page, int64_t limit, struct diag *diag)
{
    struct json *json = &page->exchange->json;
    const char *reason = NULL;
    buf_clear(&page->exchange->out);
    *json = (struct json){.text = &page->exchange->out};
    TRY(query_start(page->query, diag));
    if (page->begin.partition >= 0 && query_begin_behind(page->query, &page->begin) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for rows of a view");
    json_begin(json, '{');
    json_name(json, "rows");
    json_begin(json, '[');
    TRY(put_rows(page, limit, diag));
    json_end(json, ']');
    uint64_t left_out = query_left_out(page->query, &reason);
    json_member_int(json, "left_out", (int64_t)left_out);
    json_member_text(json, "left_out_reason", left_out > 0 ? reason : NULL);
    if (page->has_more) {
        put_cursor(json, &page->last);
    } else {
        json_name(json, "next_cursor");
        json_null(json);
    }
    json_end(json, '}');
    return 0;
}

static int make_query(struct page *page, struct diag *diag)
{
    struct view_reader *reader = shared_view_reader(page->view);
    struct http_exchange *exchange = page->exchange;
    struct view_wanted wanted = {.key = http_argument(exchange, "key"),
                                 .key_from = http_argument(exchange, "key_from"),
                                 .key_to = http_argument(exchange, "key_to"),
                                 .from = http_argument(exchange, "from"),
                                 .to = http_argument(exchange, "to"),
                                 .open = http_argument(exchange, "open")};
    struct buf sql;
    buf_init(&sql, 0);
    int rc = view_select(view_reader_view(reader), exchange->parameters[0], &wanted, &sql, diag);
    if (rc == 0)
        rc = query_create((const char *)sql.data, sql.size, &page->query, diag);
    if (rc == 0)
        rc = query_bind(page->query, reader, (size_t)VIEW_MB << 20, diag);
    buf_deinit(&sql);
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? ERR_INVALID : rc;
    page->names = http_query_names(page->query);
    return page->names != NULL ? 0 : ERR_NOMEM;
}

static int answer(struct page *page, int64_t limit, struct diag *diag)
{
    struct http_exchange *exchange = page->exchange;
    int rc =
        http_open_view(exchange, exchange->parameters[0], (size_t)VIEW_MB << 20, &page->view, diag);
    if (rc != 0)
        return rc;
    TRY(make_query(page, diag));
    for (int i = 0;; i++) {
        rc = put_page(page, limit, diag);
        if (rc >= 0 || !view_reader_is_lost(shared_view_reader(page->view)) || i == VIEW_TRIES)
            return rc;
    }
}

void http_get_rows(struct http_exchange *exchange)
{
    struct http *http = exchange->http;
    struct page page = {.exchange = exchange};
    struct diag diag = {0};
    int64_t limit;
    if (!http_argument_limit(exchange, &limit) || !take_cursor(exchange, &page.begin)) {
        buf_deinit(&page.begin.key);
        return;
    }
    if (atomic_fetch_add(&http->questions, 1) < HTTP_QUESTIONS) {
        int rc = answer(&page, limit, &diag);
        json_names_destroy(page.names);
        query_destroy(page.query);
        shared_view_close(http->log, page.view);
        if (rc < 0)
            http_fail_code(exchange, rc, diag.text);
    } else {
        http_fail(exchange, 503, "ask again", "%d questions are being answered", HTTP_QUESTIONS);
    }
    atomic_fetch_sub(&http->questions, 1);
    buf_deinit(&page.begin.key);
    buf_deinit(&page.last.key);
    buf_deinit(&page.next.key);
}
