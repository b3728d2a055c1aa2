/* served_users.c: see served_users.h. HTTP is not encrypted: a password is salted and hashed before anything of it is sent, as Kafka's own tool does. */
#include "runtime/cli/served_users.h"

#include "runtime/records/user_json.h"

#include <stdlib.h>

enum { PAGE = 1000 };

/* ---- what there is ---- */

int served_user_find(struct http_client *client, const char *name, bool *is_there)
{
    struct buf target = {0};
    struct bytes answer, object;
    http_path(&target, "/api/v1/users");
    http_path_argument(&target, "user", name);
    int exit_code = http_client_ask(client, &target, bytes_of(NULL, 0), HTTP_SOON, &answer);
    buf_deinit(&target);
    if (exit_code != 0)
        return exit_code;
    struct json_list list = http_answer_list(answer, "users");
    *is_there = json_list_next(&list, &object);
    return 0;
}

static void print_page(struct bytes answer, bool json)
{
    struct json_list list = http_answer_list(answer, "users");
    struct bytes object;
    while (json_list_next(&list, &object)) {
        char *name = json ? NULL : http_answer_text(object, "user");
        if (json)
            buf_append_bytes(&out, object);
        else if (name != NULL)
            buf_visible(&out, name, "");
        buf_u8(&out, '\n');
        free(name);
    }
}

int served_user_list(struct http_client *client, bool json)
{
    char *cursor = NULL;
    int exit_code;
    do {
        struct buf target = {0};
        struct bytes answer;
        http_path(&target, "/api/v1/users");
        http_path_number(&target, "limit", PAGE);
        http_path_argument(&target, "cursor", cursor);
        free(cursor);
        cursor = NULL;
        exit_code = http_client_ask(client, &target, bytes_of(NULL, 0), HTTP_SOON, &answer);
        buf_deinit(&target);
        if (exit_code == 0) {
            print_page(answer, json);
            cursor = http_answer_text(answer, "next_cursor");
        }
    } while (exit_code == 0 && cursor != NULL);
    free(cursor);
    return exit_code;
}

/* ---- changes ---- */

static int change(struct http_client *client, const char *method, struct buf *target,
                  struct bytes body)
{
    struct bytes answer;
    http_client_method(client, method);
    int exit_code = http_client_ask(client, target, body, HTTP_SOON, &answer);
    buf_deinit(target);
    return exit_code;
}

int served_user_put(struct http_client *client, const char *name, const struct user *user,
                    bool is_new)
{
    struct buf target = {0}, body = {0};
    user_put_credentials(&body, user);
    http_path(&target, "/api/v1/users");
    http_path_part(&target, name);
    http_path_argument(&target, "new", is_new ? "true" : "false");
    int exit_code = buf_ok(&body) ? change(client, "PUT", &target, bytes_of(body.data, body.size))
                                  : failed(ERR_NOMEM, NULL);
    buf_deinit(&body);
    return exit_code;
}

int served_user_delete(struct http_client *client, const char *name)
{
    struct buf target = {0};
    http_path(&target, "/api/v1/users");
    http_path_part(&target, name);
    int exit_code = change(client, "DELETE", &target, bytes_of(NULL, 0));
    if (http_client_status(client) == 404)
        hint("'weir user list' shows the users");
    return exit_code;
}
