/* served_state.c: see served_state.h. A job may run in the server: each page is of the store as it is then. */
#include "runtime/cli/served_state.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 1000, OUT_BYTES = 256 << 10 };

static int ask_page(struct http_client *client, struct buf *target, char **cursor,
                    struct bytes *answer)
{
    http_path_number(target, "limit", PAGE);
    http_path_argument(target, "cursor", *cursor);
    free(*cursor);
    *cursor = NULL;
    int exit_code = http_client_ask(client, target, bytes_of(NULL, 0), HTTP_SOON, answer);
    buf_deinit(target);
    if (exit_code == 0)
        *cursor = http_answer_text(*answer, "next_cursor");
    return exit_code;
}

/* ---- the list ---- */

static int give_store(struct bytes object,
                      void (*each)(void *context, const struct store_name *name,
                                   const struct store_description *store),
                      void *context)
{
    struct store_description store = {
        .entries = (uint64_t)http_answer_number(object, "entries", 0),
        .bytes = (uint64_t)http_answer_number(object, "bytes", 0),
        .position = http_answer_number(object, "changelog_offset", 0),
        .behind = http_answer_number(object, "behind", 0),
    };
    struct store_name name = {.app = http_answer_text(object, "app"),
                              .store = http_answer_text(object, "store"),
                              .partition = (int32_t)http_answer_number(object, "partition", 0)};
    char *changelog = http_answer_text(object, "changelog");
    char *error = http_answer_text(object, "error");
    snprintf(store.changelog, sizeof store.changelog, "%s", changelog != NULL ? changelog : "");
    if (error != NULL)
        message("%s", error);
    else if (name.app != NULL && name.store != NULL)
        each(context, &name, &store);
    int exit_code = error != NULL ? EXIT_FAILED : 0;
    free(name.app);
    free(name.store);
    free(changelog);
    free(error);
    return exit_code;
}

int served_state_list(struct http_client *client,
                      void (*each)(void *context, const struct store_name *name,
                                   const struct store_description *store),
                      void *context)
{
    char *cursor = NULL;
    int result = 0, exit_code;
    do {
        struct buf target = {0};
        struct bytes answer, object;
        http_path(&target, "/api/v1/state");
        exit_code = ask_page(client, &target, &cursor, &answer);
        struct json_list stores =
            exit_code == 0 ? http_answer_list(answer, "stores") : (struct json_list){{NULL, 0}, 0};
        while (exit_code == 0 && json_list_next(&stores, &object))
            if (give_store(object, each, context) != 0)
                result = EXIT_FAILED;
    } while (exit_code == 0 && cursor != NULL);
    free(cursor);
    return exit_code != 0 ? exit_code : result;
}

/* ---- rows ---- */

static void put_store(struct buf *target, const struct served_store *store)
{
    const char *slash = strchr(store->what, '/'); /* the caller has looked */
    char app[256];
    snprintf(app, sizeof app, "%.*s", (int)(slash - store->what), store->what);
    http_path(target, "/api/v1/state");
    http_path_part(target, app);
    http_path_part(target, slash + 1);
    if (store->partition >= 0)
        http_path_number(target, "partition", store->partition);
}

/* 1: it is enough. */
static int print_rows(struct bytes answer, int64_t *left)
{
    struct json_list rows = http_answer_list(answer, "rows");
    struct bytes row;
    while (*left > 0 && !interrupted() && json_list_next(&rows, &row)) {
        buf_append_bytes(&out, row);
        buf_u8(&out, '\n');
        --*left;
        if (out.size >= OUT_BYTES && out_flush() != 0)
            return 1;
    }
    return *left == 0;
}

static void hint_stores(const struct http_client *client)
{
    if (http_client_missed(client))
        hint("'weir state list' shows the stores");
}

int served_state_get(struct http_client *client, const struct served_store *store, const char *key)
{
    struct buf target = {0};
    struct bytes answer;
    int64_t left = INT64_MAX;
    put_store(&target, store);
    http_path_argument(&target, "key", key);
    int exit_code = http_client_ask(client, &target, bytes_of(NULL, 0), HTTP_SOON, &answer);
    buf_deinit(&target);
    if (exit_code == 0)
        print_rows(answer, &left);
    else
        hint_stores(client);
    return exit_code;
}

int served_state_scan(struct http_client *client, const struct served_store *store, int64_t max)
{
    char *cursor = NULL;
    int exit_code, is_over = 0;
    do {
        struct buf target = {0};
        struct bytes answer;
        put_store(&target, store);
        exit_code = ask_page(client, &target, &cursor, &answer);
        if (exit_code == 0)
            is_over = print_rows(answer, &max);
    } while (exit_code == 0 && !is_over && cursor != NULL && !interrupted());
    free(cursor);
    if (exit_code != 0)
        hint_stores(client);
    return exit_code == 0 && interrupted() ? EXIT_INTERRUPTED : exit_code;
}
