/* http_client.c: see http_client.h. libcurl speaks HTTP; what is decided here is how long and how much.
 *
 *   how long   a connection has the --timeout of every command; an answer that is due soon as long again as the server takes at most to make one. Of what takes
 *              longer (a replay, a verification) nothing is known but that the connection stands: a server that dies closes it.
 *   how much   ANSWER_BYTES: pages are smaller by far.
 *   Ctrl-C     ends the wait at once, and the connection with it, which the server takes as the end of the question.
 *
 * No proxy of the environment is asked, since the server is here or was named; no redirection is followed, since a password goes to nobody else. An
 * answer is checked to be JSON before anything looks into it. */
#include "runtime/cli/http_client.h"

#include "runtime/base/clock.h"
#include "runtime/records/json_check.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ANSWER_BYTES = 64 << 20,
    ANSWER_MS = 15000, /* what a server needs at most for an answer that is due soon */
    LOOK_MS = 1000,
};

struct http_client {
    const struct reach *reach;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    struct buf url, body;
    char error[CURL_ERROR_SIZE];
    const char *method; /* of the next question; NULL: GET or POST */
    long status;
    bool is_by_hand;   /* the last answer's hint: for who asks by hand */
    struct diag *told; /* NULL: stderr is */
};

/* ---- addresses ---- */

void http_path(struct buf *target, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    must(size >= 0 && size < (int)sizeof text); /* texts of ours */
    buf_append(target, text, (size_t)size);
}

static void put_escaped(struct buf *target, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        bool is_plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                        (*at >= '0' && *at <= '9') || strchr("-._~", *at) != NULL;
        if (is_plain)
            buf_u8(target, (uint8_t)*at);
        else
            buf_printf(target, "%%%02X", (unsigned char)*at);
    }
}

void http_path_part(struct buf *target, const char *text)
{
    buf_u8(target, '/');
    put_escaped(target, text);
}

void http_path_argument(struct buf *target, const char *name, const char *text)
{
    if (text == NULL)
        return;
    bool is_first = target->size == 0 || memchr(target->data, '?', target->size) == NULL;
    buf_printf(target, "%c%s=", is_first ? '?' : '&', name);
    put_escaped(target, text);
}

void http_path_number(struct buf *target, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    http_path_argument(target, name, text);
}

/* ---- the connection ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_client *client = context;
    size_t bytes = size * count;
    buf_append(&client->body, data, bytes);
    return buf_ok(&client->body) ? bytes : 0;
}

static bool set_options(struct http_client *client)
{
    const struct reach *reach = client->reach;
    CURL *easy = client->easy;
    bool is_set =
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)reach->timeout_ms) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->error) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, client) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers) == CURLE_OK;
    if (is_set && reach->user != NULL)
        is_set = curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) == CURLE_OK &&
                 curl_easy_setopt(easy, CURLOPT_USERNAME, reach->user) == CURLE_OK &&
                 curl_easy_setopt(easy, CURLOPT_PASSWORD, reach->password) == CURLE_OK;
    return is_set;
}

int http_client_open(const struct reach *reach, struct http_client **result)
{
    struct http_client *client = calloc(1, sizeof *client);
    *result = client;
    if (client == NULL)
        return failed(ERR_NOMEM, NULL);
    if (reach->http[0] == '\0') {
        message("process %ld serves %s, but not over HTTP, which this command goes by", reach->pid,
                reach->directory);
        return EXIT_UNREACHABLE;
    }
    buf_init(&client->body, ANSWER_BYTES);
    client->reach = reach;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return failed(ERR_NOMEM, NULL);
    client->easy = curl_easy_init();
    client->multi = curl_multi_init();
    /* "Expect: 100-continue" would make the server wait for a body that is a few bytes long. */
    client->headers = curl_slist_append(NULL, "Expect:");
    if (client->easy == NULL || client->multi == NULL || client->headers == NULL ||
        !set_options(client))
        return failed(ERR_NOMEM, NULL);
    return 0;
}

int http_reach(const struct cli *cli, enum data_need need, struct reach *reach,
               struct http_client **client)
{
    *client = NULL;
    int exit_code = reach_find(cli, need, reach);
    return exit_code == 0 && reach->way == REACH_SERVER ? http_client_open(reach, client)
                                                        : exit_code;
}

void http_leave(struct reach *reach, struct http_client *client)
{
    http_client_close(client);
    reach_forget(reach);
}

void http_client_close(struct http_client *client)
{
    if (client == NULL)
        return;
    if (client->easy != NULL)
        curl_easy_cleanup(client->easy);
    if (client->multi != NULL)
        curl_multi_cleanup(client->multi);
    curl_slist_free_all(client->headers);
    buf_deinit(&client->url);
    buf_deinit(&client->body);
    free(client);
}

/* ---- a question ---- */

static void say(struct http_client *client, int exit_code, const char *text, const char *advice)
{
    if (client->told != NULL) {
        diag_set(client->told,
                 exit_code == EXIT_UNREACHABLE ? ERR_TIMEOUT
                 : exit_code == EXIT_USAGE     ? ERR_INVALID
                                               : ERR_IO,
                 "%s", text);
        return;
    }
    message("%s", text);
    if (advice != NULL)
        hint("%s", advice);
}

static int unreachable(struct http_client *client, const char *why)
{
    const struct reach *reach = client->reach;
    char text[1024], advice[400];
    if (reach->directory != NULL)
        snprintf(text, sizeof text,
                 "process %ld, which serves %.200s, does not answer on http://%s: %s", reach->pid,
                 reach->directory, reach->http, why);
    else
        snprintf(text, sizeof text, "http://%s does not answer: %s", reach->http, why);
    snprintf(advice, sizeof advice,
             "--timeout MS waits longer; whether it is well: curl http://%s/livez", reach->http);
    say(client, EXIT_UNREACHABLE, text, advice);
    return EXIT_UNREACHABLE;
}

/* What it answers is not what weir answers. */
static int odd(struct http_client *client, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "http://%s %s", client->reach->http, what);
    say(client, EXIT_FAILED, text, NULL);
    return EXIT_FAILED;
}

/* The transfer has ended: how. */
static int take_result(struct http_client *client, CURLcode code)
{
    if (code == CURLE_WRITE_ERROR)
        return odd(client, "answers more than 64 MiB");
    if (code != CURLE_OK)
        return unreachable(client,
                           client->error[0] != '\0' ? client->error : curl_easy_strerror(code));
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &client->status);
    return 0;
}

static int wait_for_it(struct http_client *client, enum http_patience patience)
{
    int64_t until_ms = clock_mono_ms() + client->reach->timeout_ms + ANSWER_MS;
    struct curl_waitfd signals = {.fd = interrupt_fd(), .events = CURL_WAIT_POLLIN};
    for (;;) {
        int running = 0, left;
        if (curl_multi_perform(client->multi, &running) != CURLM_OK)
            return failed(ERR_NOMEM, NULL);
        const CURLMsg *told = curl_multi_info_read(client->multi, &left);
        if (told != NULL)
            return take_result(client, told->data.result);
        if (interrupted())
            return EXIT_INTERRUPTED;
        if (patience == HTTP_SOON && clock_mono_ms() > until_ms)
            return unreachable(client, "the answer does not come");
        curl_multi_poll(client->multi, &signals, 1, LOOK_MS, NULL);
    }
}

static bool is_json(const struct http_client *client)
{
    const char *type = NULL;
    curl_easy_getinfo(client->easy, CURLINFO_CONTENT_TYPE, &type);
    return type != NULL && strncmp(type, "application/json", 16) == 0;
}

/* What the server says that it is. */
static int refused(struct http_client *client, struct bytes answer)
{
    char *error = NULL, *advice = NULL;
    if (is_json(client) && json_check(answer)) {
        error = http_answer_text(answer, "error");
        advice = http_answer_text(answer, "hint");
    }
    int exit_code = client->status == 400 || client->status == 413 || client->status == 414
                        ? EXIT_USAGE
                    : client->status == 503 ? EXIT_UNREACHABLE
                                            : EXIT_FAILED;
    client->is_by_hand = advice != NULL && strncmp(advice, "GET /", 5) == 0;
    if (error != NULL)
        say(client, exit_code, error, client->is_by_hand ? NULL : advice);
    else
        exit_code = odd(client, "does not answer as weir does");
    free(error);
    free(advice);
    return exit_code;
}

static int set_question(struct http_client *client, const struct buf *target, struct bytes body)
{
    CURL *easy = client->easy;
    buf_clear(&client->url);
    buf_clear(&client->body);
    client->status = 0;
    client->error[0] = '\0';
    buf_printf(&client->url, "http://%s", client->reach->http);
    buf_append(&client->url, target->data, target->size);
    buf_u8(&client->url, '\0');
    if (!buf_ok(target) || !buf_ok(&client->url) ||
        curl_easy_setopt(easy, CURLOPT_URL, (const char *)client->url.data) != CURLE_OK)
        return failed(ERR_NOMEM, NULL);
    if (curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, client->method) != CURLE_OK)
        return failed(ERR_NOMEM, NULL);
    client->method = NULL;
    if (body.data == NULL)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK ? 0 : EXIT_FAILED;
    bool is_set =
        curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)body.data) == CURLE_OK;
    return is_set ? 0 : EXIT_FAILED;
}

/* Asks and waits; whatever the answer is. */
static int ask(struct http_client *client, const struct buf *target, struct bytes body,
               enum http_patience patience)
{
    int exit_code = set_question(client, target, body);
    if (exit_code != 0)
        return exit_code;
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK)
        return failed(ERR_NOMEM, NULL);
    exit_code = wait_for_it(client, patience);
    curl_multi_remove_handle(client->multi, client->easy);
    return exit_code;
}

void http_client_method(struct http_client *client, const char *method)
{
    client->method = method;
}

void http_client_tell(struct http_client *client, struct diag *diag)
{
    client->told = diag;
}

bool http_client_can(struct http_client *client, const struct buf *target, struct bytes body)
{
    struct diag unused = {0}, *told = client->told;
    client->told = &unused;
    bool can = ask(client, target, body, HTTP_SOON) == 0 && client->status == 200;
    client->told = told;
    return can;
}

int http_client_ask(struct http_client *client, const struct buf *target, struct bytes body,
                    enum http_patience patience, struct bytes *answer)
{
    int exit_code = ask(client, target, body, patience);
    if (exit_code != 0)
        return exit_code;
    *answer = bytes_of(client->body.size > 0 ? client->body.data : (const uint8_t *)"",
                       client->body.size);
    if (client->status != 200)
        return refused(client, *answer);
    return is_json(client) && !json_check(*answer) ? odd(client, "answers what is no JSON") : 0;
}

int http_client_status(const struct http_client *client)
{
    return (int)client->status;
}

bool http_client_missed(const struct http_client *client)
{
    return client->status == 404 && client->is_by_hand;
}

/* ---- answers ---- */

static json_t *load_member(struct bytes object, const char *name)
{
    struct bytes value;
    if (!json_find_member(object, name, &value))
        return NULL;
    return json_loadb((const char *)value.data, value.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

char *http_answer_text(struct bytes object, const char *name)
{
    json_t *value = load_member(object, name);
    char *text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
    json_decref(value);
    return text;
}

int64_t http_answer_number(struct bytes object, const char *name, int64_t fallback)
{
    json_t *value = load_member(object, name);
    int64_t number = json_is_integer(value) ? json_integer_value(value) : fallback;
    json_decref(value);
    return number;
}

bool http_answer_truth(struct bytes object, const char *name)
{
    struct bytes value;
    return json_find_member(object, name, &value) && bytes_equal(value, bytes_text("true"));
}

struct json_list http_answer_list(struct bytes object, const char *name)
{
    struct json_list list = {.rest = {(const uint8_t *)"", 0}};
    (void)json_find_member(object, name, &list.rest);
    return list;
}
