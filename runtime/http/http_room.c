/* http_room.c: the memory that answers may have together, from their first byte until clients have taken them.
 *
 * A page is limited, and so are connections; their product is gigabytes. So an answer that becomes larger than HTTP_SMALL_BYTES gets room for a whole page from
 * one account, or waits for it for a moment, with little in hand; those that would wait with half of an answer would wait for each other.
 * What finds no room is given up, and is 503. An answer that is ready keeps what it takes. Handlers ask behind each row, and
 * http_answer at the end, for those that have no rows. Small answers take nothing, so that health is told however full it is: what
 * is in memory beyond the account is HTTP_SMALL_BYTES and a row of each connection.
 *
 * Memory that was given back has to be gone, too: a block beyond LARGE_BLOCK_BYTES the C library always gets from the system, by itself, and returns
 * when it is freed, and what was not written to of it is not there; smaller ones it may keep for the thread that had them. */
#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"

enum {
    PAGE_ROOM_BYTES = HTTP_PAGE_BYTES + HTTP_SMALL_BYTES,
    WAIT_MS = 1000,
    LARGE_BLOCK_BYTES = 32 << 20
};

/* So many bytes for the exchange, in place of what it has. */
static bool take(struct http_exchange *exchange, int64_t bytes, int64_t until_ns)
{
    struct http *http = exchange->http;
    int64_t more = bytes - exchange->room_bytes;
    pthread_mutex_lock(&http->room_mutex);
    while (more > 0 && http->answer_bytes + more > http->answer_limit_bytes &&
           clock_mono_ns() < until_ns && !atomic_load(&http->is_stopping))
        clock_cond_wait(&http->room_left, &http->room_mutex, until_ns);
    bool is_there = more <= 0 || http->answer_bytes + more <= http->answer_limit_bytes;
    http->answer_bytes += is_there ? more : 0;
    if (more < 0)
        pthread_cond_broadcast(&http->room_left);
    pthread_mutex_unlock(&http->room_mutex);
    exchange->room_bytes = is_there ? bytes : exchange->room_bytes;
    return is_there;
}

int http_take_room(struct http_exchange *exchange, struct diag *diag)
{
    int64_t size = (int64_t)exchange->out.size;
    bool is_first = exchange->room_bytes == 0, is_there;
    if (size <= (is_first ? HTTP_SMALL_BYTES : exchange->room_bytes))
        return 0;
    if (is_first && size <= PAGE_ROOM_BYTES)
        is_there = take(exchange, PAGE_ROOM_BYTES, clock_mono_ns() + (int64_t)WAIT_MS * 1000000);
    else
        is_there = take(exchange, size + HTTP_SMALL_BYTES, 0);
    if (is_there && exchange->out.capacity <= LARGE_BLOCK_BYTES)
        buf_reserve(&exchange->out, LARGE_BLOCK_BYTES + HTTP_SMALL_BYTES);
    if (is_there)
        return 0;
    return diag_set(diag, ERR_NOMEM,
                    "answers that are being made, or that clients have not taken yet, have %lld "
                    "MiB together\nhint: ask again, or for a smaller page",
                    (long long)(exchange->http->answer_limit_bytes >> 20));
}

void http_settle_room(struct http_exchange *exchange)
{
    int64_t size = (int64_t)exchange->out.size;
    if (exchange->room_bytes > size)
        take(exchange, size > HTTP_SMALL_BYTES ? size : 0, 0);
}

void http_leave_room(struct http_exchange *exchange)
{
    if (exchange->room_bytes > 0)
        take(exchange, 0, 0);
}
