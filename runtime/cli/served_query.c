/* served_query.c: see served_query.h. Rows come in pages of many, each as of the latest commit when it is asked for: few views need more than one. */
#include "runtime/cli/served_query.h"

#include "runtime/cli/row_printer.h"
#include "runtime/http/http.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 100000, COLUMNS_MAX = 2000, OUT_BYTES = 256 << 10 };

static char *string_of(struct bytes value)
{
    struct buf object = {0};
    buf_printf(&object, "{\"s\":");
    buf_append_bytes(&object, value);
    buf_u8(&object, '}');
    char *text = buf_ok(&object) ? http_answer_text(bytes_of(object.data, object.size), "s") : NULL;
    buf_deinit(&object);
    return text;
}

static bool is_number(const char *type)
{
    return strcmp(type, "bigint") == 0 || strcmp(type, "double precision") == 0 ||
           strcmp(type, "numeric") == 0;
}

static int open_printer(struct row_printer *printer, const struct served_query *query,
                        struct bytes answer)
{
    struct json_list columns = http_answer_list(answer, "columns");
    struct json_list types = http_answer_list(answer, "types");
    char **names = calloc(COLUMNS_MAX + 1, sizeof *names);
    bool *numbers = calloc(COLUMNS_MAX + 1, sizeof *numbers);
    uint32_t count = 0;
    struct bytes name, type;
    int code = names == NULL || numbers == NULL ? ERR_NOMEM : 0;
    while (code == 0 && count < COLUMNS_MAX && json_list_next(&columns, &name)) {
        char *text = json_list_next(&types, &type) ? string_of(type) : NULL;
        names[count] = string_of(name);
        numbers[count] = !query->is_json && text != NULL && is_number(text);
        free(text);
        code = names[count++] == NULL ? ERR_NOMEM : 0;
    }
    if (code == 0)
        code =
            row_printer_open(printer, query->is_json, (const char *const *)names, numbers, count);
    for (uint32_t i = 0; names != NULL && i < count; i++)
        free(names[i]);
    free(names);
    free(numbers);
    return code;
}

/* 1: nobody reads any more. */
static int print_rows(struct row_printer *printer, struct bytes answer)
{
    struct json_list rows = http_answer_list(answer, "rows");
    struct bytes row;
    while (!interrupted() && json_list_next(&rows, &row)) {
        row_printer_object(printer, row);
        if (out.size >= OUT_BYTES && out_flush() != 0)
            return 1;
    }
    return 0;
}

static void put_target(struct buf *target, const struct served_query *query, bool explains)
{
    http_path(target, "/api/v1/query");
    http_path_argument(target, "app", query->app);
    if (query->memory_mb > 0 && query->memory_mb < HTTP_QUESTION_MB) /* it has no more to give */
        http_path_number(target, "memory", query->memory_mb);
    http_path_argument(target, "explain", explains ? "true" : NULL);
}

/* A view that is only a stream of rows, or any topic, has no state to ask. */
static void hint_topic(struct http_client *client, const char *view)
{
    struct buf target = {0};
    http_path(&target, "/api/v1/topics");
    http_path_part(&target, view);
    if (http_client_can(client, &target, bytes_of(NULL, 0)))
        hint("%s is a topic: 'weir consume %s' prints its records; a view with GROUP BY has state",
             view, view);
    buf_deinit(&target);
}

/* Of a question that is one, and of which a row went wrong: EXIT_FAILED. */
static int judge(struct http_client *client, const struct served_query *query)
{
    struct buf target = {0};
    put_target(&target, query, true);
    bool is_good = http_client_can(client, &target, bytes_text(query->sql));
    buf_deinit(&target);
    return is_good ? EXIT_FAILED : EXIT_USAGE;
}

static int ask(struct http_client *client, const struct served_query *query, const char *cursor,
               struct bytes *answer)
{
    struct buf target = {0};
    put_target(&target, query, query->explains);
    http_path_number(&target, "limit", PAGE);
    http_path_argument(&target, "cursor", cursor);
    int exit_code = http_client_ask(client, &target, bytes_text(query->sql), HTTP_SOON, answer);
    buf_deinit(&target);
    if (exit_code == EXIT_USAGE)
        return judge(client, query);
    if (exit_code == 0 || http_client_status(client) != 404)
        return exit_code;
    hint_topic(client, query->view);
    return EXIT_USAGE;
}

static int explain(struct bytes answer)
{
    char *text = http_answer_text(answer, "explain");
    if (text != NULL)
        out_text(text);
    free(text);
    return 0;
}

int served_query(struct http_client *client, const struct served_query *query)
{
    struct row_printer printer = {.is_json = true};
    char cursor[24] = "";
    int64_t next = -1, left_out = 0;
    char *reason = NULL;
    bool is_open = false, is_over = false;
    int exit_code = 0;
    do {
        struct bytes answer;
        exit_code = ask(client, query, next >= 0 ? cursor : NULL, &answer);
        if (exit_code != 0 || query->explains) {
            exit_code = exit_code == 0 ? explain(answer) : exit_code;
            break;
        }
        if (!is_open && open_printer(&printer, query, answer) < 0)
            exit_code = failed(ERR_NOMEM, NULL);
        is_open = true;
        is_over = exit_code != 0 || print_rows(&printer, answer) != 0;
        left_out = http_answer_number(answer, "left_out", 0);
        free(reason);
        reason = http_answer_text(answer, "left_out_reason");
        next = http_answer_number(answer, "next_cursor", -1);
        snprintf(cursor, sizeof cursor, "%lld", (long long)next);
    } while (!is_over && next >= 0 && !interrupted());
    if (is_open)
        row_printer_close(&printer);
    row_printer_left_out((uint64_t)left_out, reason != NULL ? reason : "");
    free(reason);
    return exit_code == 0 && interrupted() ? EXIT_INTERRUPTED : exit_code;
}
