/* http_letters.c: dead letters and late rows: counted, and shown (runtime/records).
 *
 * Both walk through the topics as they lie there now, while pipelines write behind. A page ends when it is full, and when half of an answer's time
 * is over, wherever it is then: next_cursor says where the next one begins, so that a topic of any size is walked through in answers of bounded
 * time, and a filter that takes nothing for long gives pages with nothing in them. Counts of several pages are to be added. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/http/http_internal.h"
#include "runtime/http/http_letters.h"
#include "runtime/records/letter_json.h"
#include "runtime/records/letter_list.h"
#include "runtime/weir_handle.h"

enum { PAGE_BYTES = 8 << 20, GROUPS_MAX = 1000 };

struct letters {
    struct http_exchange *exchange;
    struct letter_walk walk;
    struct scan_stop stop;
    int64_t walk_until_ns;
    char topic[250]; /* the page begins here, and has ended here */
    struct scan_from from;
    struct letter_list list;
    int64_t left;
    bool is_lossless;
};

/* ---- arguments ---- */

static bool take_time(struct http_exchange *exchange, const char *name, int64_t fallback,
                      int64_t *time_ms)
{
    const char *text = http_argument(exchange, name);
    *time_ms = fallback;
    if (text == NULL || letter_time_parse(text, time_ms) == 0)
        return true;
    http_fail(exchange, 400, NULL, "%s is @EPOCH_MS or ISO 8601, not '%.100s'", name, text);
    return false;
}

bool http_letter_filter(struct http_exchange *exchange, struct letter_filter *filter)
{
    *filter = (struct letter_filter){.error_class = http_argument(exchange, "class"),
                                     .stage = http_argument(exchange, "stage"),
                                     .topic = http_argument(exchange, "topic")};
    return http_argument_number(exchange, "partition", 0, INT32_MAX, -1, &filter->partition) &&
           take_time(exchange, "from", INT64_MIN, &filter->from_ms) &&
           take_time(exchange, "until", INT64_MAX, &filter->until_ms);
}

/* "TOPIC:PARTITION:OFFSET"; of one topic "PARTITION:OFFSET". */
static bool take_cursor(struct letters *letters, bool has_topic)
{
    const char *text = http_argument(letters->exchange, "cursor"), *rest = text;
    if (text == NULL)
        return true;
    size_t size = has_topic ? strcspn(text, ":") : 0;
    if (has_topic && size < sizeof letters->topic && text[size] == ':') {
        snprintf(letters->topic, sizeof letters->topic, "%.*s", (int)size, text);
        rest = text + size + 1;
    }
    int end = 0;
    bool is_whole = (!has_topic || rest != text) && strlen(rest) < 32 &&
                    sscanf(rest, "%9" SCNd32 ":%19" SCNd64 "%n", &letters->from.partition,
                           &letters->from.offset, &end) == 2 &&
                    rest[end] == '\0' && letters->from.partition >= 0 && letters->from.offset >= 0;
    if (!is_whole)
        http_fail(letters->exchange, 400, "it is next_cursor of the page before",
                  "cursor is none: '%.100s'", text);
    return is_whole;
}

/* ---- the walk ---- */

static bool is_over(void *context)
{
    const struct letters *letters = context;
    return http_is_over(letters->exchange) || clock_mono_ns() > letters->walk_until_ns;
}

static bool letters_begin(struct letters *letters, struct http_exchange *exchange, letter_fn each,
                          bool has_topic)
{
    letters->exchange = exchange;
    letters->stop = (struct scan_stop){is_over, letters};
    letters->walk_until_ns = clock_mono_ns() + (int64_t)HTTP_ANSWER_MS / 2 * 1000000;
    letters->walk.log = exchange->http->log->log;
    letters->walk.stop = &letters->stop;
    letters->walk.each = each;
    letters->walk.context = letters;
    return http_letter_filter(exchange, &letters->walk.filter) && take_cursor(letters, has_topic);
}

/* Of a walk that has ended early a page is left: 1. */
static int page_end(const struct letters *letters, int code)
{
    bool is_cut = code == ERR_STOPPED && !http_is_over(letters->exchange);
    return is_cut ? 1 : code;
}

static void put_cursor(struct letters *letters, bool has_more, bool has_topic)
{
    char cursor[300];
    snprintf(cursor, sizeof cursor, "%s%s%" PRId32 ":%" PRId64, has_topic ? letters->topic : "",
             has_topic ? ":" : "", letters->from.partition, letters->from.offset);
    json_member_text(&letters->exchange->json, "next_cursor", has_more ? cursor : NULL);
}

static void put_raw(struct http_exchange *exchange)
{
    json_raw(&exchange->json, "", 0); /* the comma */
}

/* ---- counted ---- */

static int count_letter(void *context, const struct found_letter *found, struct diag *diag)
{
    struct letters *letters = context;
    if (letters->list.count >= GROUPS_MAX)
        return 1;
    return letter_list_count(&letters->list, found) == 0
               ? 0
               : diag_set(diag, ERR_NOMEM, "no memory for the list of dead letters");
}

static int count_letters(struct letters *letters, struct diag *diag)
{
    TRY(letter_walk_open(&letters->walk, diag));
    return page_end(letters,
                    letter_walk_topics(&letters->walk, http_argument(letters->exchange, "app"),
                                       letters->topic, &letters->from, diag));
}

void http_get_letters(struct http_exchange *exchange)
{
    struct json *json = &exchange->json;
    struct letters letters = {.left = 0};
    struct diag diag = {.code = 0};
    if (!letters_begin(&letters, exchange, count_letter, true))
        return;
    int code = count_letters(&letters, &diag);
    if (code < 0) {
        http_fail_code(exchange, code, diag.text);
    } else {
        letter_list_sort(&letters.list);
        json_begin(json, '{');
        json_name(json, "dead_letters");
        json_begin(json, '[');
        for (size_t i = 0; i < letters.list.count; i++) {
            put_raw(exchange);
            letter_group_json(&exchange->out, &letters.list.groups[i]);
        }
        json_end(json, ']');
        put_cursor(&letters, code == 1, true);
        json_end(json, '}');
    }
    letter_list_deinit(&letters.list);
    letter_walk_close(&letters.walk);
}

/* ---- shown ---- */

static int put_letter(void *context, const struct found_letter *found, struct diag *diag)
{
    struct letters *letters = context;
    struct http_exchange *exchange = letters->exchange;
    if (letters->left == 0 || exchange->out.size > PAGE_BYTES)
        return 1;
    letters->left--;
    put_raw(exchange);
    if (letters->is_lossless)
        letter_json_put_lossless(&exchange->out, found);
    else
        letter_json_put(&exchange->out, found);
    return http_take_room(exchange, diag);
}

static int show_letters(struct letters *letters, const struct topic_info *topic, struct diag *diag)
{
    struct json *json = &letters->exchange->json;
    TRY(letter_walk_open(&letters->walk, diag));
    json_begin(json, '{');
    json_member_text(json, "topic", topic->name);
    json_name(json, "letters");
    json_begin(json, '[');
    int code = page_end(letters, letter_walk_topic(&letters->walk, topic, &letters->from, diag));
    json_end(json, ']');
    put_cursor(letters, code == 1, false);
    json_end(json, '}');
    return code;
}

void http_fail_letters(struct http_exchange *exchange, int code, const char *text)
{
    http_fail_code(exchange, code, text);
    if (code == ERR_NOT_FOUND)
        http_fail(exchange, 404, "GET /api/v1/dead-letters lists what there is", "%s", text);
}

void http_get_letters_of(struct http_exchange *exchange)
{
    struct letters letters = {.left = 0};
    struct topic_info topic;
    struct diag diag = {.code = 0};
    if (!letters_begin(&letters, exchange, put_letter, false) ||
        !http_argument_limit(exchange, &letters.left) ||
        !http_argument_truth(exchange, "lossless", false, &letters.is_lossless))
        return;
    const char *name = exchange->parameters[0];
    int code = letter_topic_find(letters.walk.log, name, &topic, &diag);
    if (!http_may(exchange, HTTP_TOPIC, code == 0 ? topic.name : name, HTTP_READ))
        http_refuse(exchange, "read dead letters of", name);
    else if (code == 0)
        code = show_letters(&letters, &topic, &diag);
    if (code < 0 && exchange->status == 200)
        http_fail_letters(exchange, code, diag.text);
    letter_walk_close(&letters.walk);
}
