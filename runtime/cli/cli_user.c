/* cli_user.c: weir user add, password, list, delete: who may connect to a directory when it is served.
 *
 * A user gets a credential for each SCRAM mechanism, made of one password; PLAIN is checked against the same. What is stored and what cannot be made of it is
 * log/user.h's, the cryptography log/kafka/kafka_scram.h's; this file reads a password and prints names. Of a directory that is served the server does what is done
 * (served_users.h): the password stays here, what is made of it goes there. */
#include "log/kafka/kafka_scram.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/read_password.h"
#include "runtime/cli/served_users.h"
#include "runtime/records/user_json.h"

#include <stdlib.h>

/* Where the users are: in a directory, or behind the server that has it (then log is NULL). */
struct users {
    struct log *log;
    struct http_client *client;
    struct reach reach;
};

static int open_users(const struct cli *cli, enum data_need need, struct users *users)
{
    users->log = NULL;
    int exit_code = http_reach(cli, need, &users->reach, &users->client);
    if (exit_code == 0 && users->client != NULL)
        interrupt_install();
    else if (exit_code == 0)
        exit_code = data_open(cli, need, &users->log);
    return exit_code;
}

static void close_users(struct users *users)
{
    http_leave(&users->reach, users->client);
    if (users->log != NULL)
        log_close(users->log);
}

/* ---- add, password ---- */

static int make_user(const char *password, int32_t iterations, struct user *user)
{
    *user = (struct user){.credentials = {{0}}};
    for (int i = 0; i < SCRAM_MECHANISMS; i++)
        TRY(scram_make((enum scram_mechanism)(i + 1), bytes_text(password), iterations,
                       &user->credentials[i]));
    return 0;
}

/* The name is looked up before a password is asked for. */
static int check_user(struct users *users, const char *name, bool is_new)
{
    struct user user;
    struct diag diag = {0};
    bool is_there = false;
    int code = user_name_check(name, &diag);
    if (code == 0 && users->client != NULL) {
        int exit_code = served_user_find(users->client, name, &is_there);
        if (exit_code != 0)
            return exit_code;
        code = is_there ? 0 : diag_set(&diag, ERR_NOT_FOUND, "there is no user %s", name);
    } else if (code == 0) {
        code = user_get(users->log, name, &user, &diag);
    }
    if (code == 0 && is_new) {
        message("there is a user %s", name);
        hint("'weir user password %s' sets another password", name);
        return EXIT_FAILED;
    }
    if (code == ERR_NOT_FOUND && is_new)
        return 0;
    if (code == 0)
        return 0;
    int exit_code = failed(code, &diag);
    if (code == ERR_NOT_FOUND)
        hint("'weir user add %s' makes one", name);
    return exit_code;
}

static int store_user(const struct cli *cli, struct users *users, const struct user *user,
                      bool is_new)
{
    struct diag diag = {0};
    if (users->client == NULL) {
        int code = user_put(users->log, cli->arguments[0], user, &diag);
        return code < 0 ? failed(code, &diag) : 0;
    }
    int exit_code = served_user_put(users->client, cli->arguments[0], user, is_new);
    if (exit_code == 0 && users->reach.user == NULL)
        hint("the server asks nobody who he is until it is started again");
    return exit_code;
}

/* Whose password a variable names is the one who asks, where somebody is asked. */
static int put_user(const struct cli *cli, struct users *users, int32_t iterations, bool is_new)
{
    char password[PASSWORD_BYTES_MAX + 1];
    struct user user;
    bool is_named = flag_is_typed(cli, "password-file") || users->reach.user == NULL;
    int exit_code = read_password(is_named ? flag_text(cli, "password-file") : NULL,
                                  cli->arguments[0], password);
    if (exit_code == 0) {
        int code = make_user(password, iterations, &user);
        exit_code = code < 0 ? failed(code, NULL) : store_user(cli, users, &user, is_new);
    }
    forget_password(password);
    return exit_code;
}

static int set_password(const struct cli *cli, bool is_new)
{
    struct users users;
    int64_t iterations;
    int exit_code = flag_number(cli, "iterations", SCRAM_ITERATIONS, SCRAM_ITERATIONS_MAX,
                                SCRAM_ITERATIONS, &iterations);
    if (exit_code != 0)
        return exit_code;
    exit_code = open_users(cli, is_new ? DATA_MAY_CREATE : DATA_MUST_EXIST, &users);
    if (exit_code == 0)
        exit_code = check_user(&users, cli->arguments[0], is_new);
    if (exit_code == 0)
        exit_code = put_user(cli, &users, (int32_t)iterations, is_new);
    close_users(&users);
    return exit_code;
}

static int run_add(struct cli *cli)
{
    return set_password(cli, true);
}

static int run_password(struct cli *cli)
{
    return set_password(cli, false);
}

/* ---- list ---- */

static int list_users(struct log *log, bool json, struct diag *diag)
{
    char **names;
    size_t count;
    int code = user_list(log, &names, &count, diag);
    for (size_t i = 0; code == 0 && i < count; i++) {
        struct user user;
        if (!json) {
            buf_visible(&out, names[i], "");
            buf_u8(&out, '\n');
            continue;
        }
        code = user_get(log, names[i], &user, diag);
        if (code == 0) {
            user_put_json(&out, names[i], &user);
            buf_u8(&out, '\n');
        }
    }
    free(names);
    return code;
}

static int run_list(struct cli *cli)
{
    struct users users;
    struct diag diag = {0};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    int exit_code = open_users(cli, DATA_MUST_EXIST, &users), code = 0;
    if (exit_code == 0 && users.client != NULL)
        exit_code = served_user_list(users.client, format == FORMAT_JSON);
    else if (exit_code == 0)
        code = list_users(users.log, format == FORMAT_JSON, &diag);
    close_users(&users);
    return code < 0 ? failed(code, &diag) : exit_code;
}

/* ---- delete ---- */

static int delete_user(struct log *log, const char *name)
{
    struct diag diag = {0};
    int code = user_delete(log, name, &diag);
    if (code == 0)
        return 0;
    int exit_code = failed(code, &diag);
    hint("'weir user list' shows the users");
    return exit_code;
}

static int run_delete(struct cli *cli)
{
    struct users users;
    int exit_code = open_users(cli, DATA_MUST_EXIST, &users);
    for (int i = 0; i < cli->argument_count && exit_code == 0; i++)
        exit_code = users.client != NULL ? served_user_delete(users.client, cli->arguments[i])
                                         : delete_user(users.log, cli->arguments[i]);
    close_users(&users);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag password_flags[] = {
    {"password-file", "FILE", "its first line is the password [standard input, or asked for]",
     false, 0},
    {"iterations", "N", "how often it is hashed, 4096 to 16384: more is slower to guess [4096]",
     false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag list_flags[] = {
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_user_add = {
    .noun = "user",
    .verb = "add",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "let somebody connect to 'weir serve'",
    .examples = "  weir user add alice\n"
                "  weir user add billing --password-file /run/secrets/billing\n"
                "  pass show weir/billing | weir user add billing\n",
    .details = "Asks for a password, twice and without showing it; in a pipe it is the first line "
               "of standard input. Clients authenticate with\n"
               "SCRAM-SHA-256, SCRAM-SHA-512 or, with TLS or from this machine, PLAIN. The "
               "password is not stored: docs/security.md.\n",
    .flags = password_flags,
    .reach = REACHES_HTTP,
    .run = run_add,
};
const struct command command_user_password = {
    .noun = "user",
    .verb = "password",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "set another password",
    .examples = "  weir user password alice\n",
    .details = "Connections that are open stay open.\n",
    .flags = password_flags,
    .reach = REACHES_HTTP,
    .run = run_password,
};
const struct command command_user_list = {
    .noun = "user",
    .verb = "list",
    .arguments = "",
    .summary = "who may connect",
    .examples = "  weir user list\n"
                "  weir user list --format json\n",
    .details = "A name a line; --format json: an object a line.\n",
    .flags = list_flags,
    .reach = REACHES_HTTP,
    .run = run_list,
};
const struct command command_user_delete = {
    .noun = "user",
    .verb = "delete",
    .arguments = "NAME…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "they may not connect any more",
    .examples = "  weir user delete alice\n",
    .details = "",
    .flags = NULL,
    .reach = REACHES_HTTP,
    .run = run_delete,
};
