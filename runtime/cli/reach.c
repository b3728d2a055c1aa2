/* reach.c: see reach.h.
 *
 * Whether a directory is served is in its LOCK, which names the addresses of the process that holds it (log_find_server). An address that
 * stands for all of the machine's (0.0.0.0, ::) is no place to connect to: the loopback address is. What the server says there of its
 * security decides what a client does: TLS where it speaks TLS, a user where it asks for one, and no password to one that does not ask.
 *
 * Who can write LOCK decides whom a password is said to. So a name that comes from the environment, for every command, is not said to the server of a directory that another user
 * (but root) can write; one that is typed is meant for this directory. */
#include "runtime/cli/reach.h"

#include "runtime/http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000 };

const char *reach_text(const struct reach *reach, char text[2048])
{
    if (reach->directory == NULL)
        snprintf(text, 2048, "%s", reach->kafka);
    else
        snprintf(text, 2048, "%s, which process %ld serves on %s", reach->directory, reach->pid,
                 reach->kafka);
    return text;
}

void reach_forget(struct reach *reach)
{
    forget_password(reach->password);
}

/* ---- a directory or a server ---- */

/* The flag that names a server (-b, --server), or --data. What it says, NULL for the directory; EXIT_USAGE when it cannot be told which is meant. */
static int choose(const struct cli *cli, const char *flag, const char *spelt, const char **server)
{
    char variable[64];
    const char *text = flag_text(cli, flag), *dir = flag_text(cli, "data");
    bool text_typed = flag_is_typed(cli, flag), dir_typed = flag_is_typed(cli, "data");
    *server = NULL;
    if (text == NULL || (dir_typed && !text_typed))
        return 0;
    flag_variable(flag, variable);
    if (dir != NULL && text_typed && dir_typed)
        return usage_error(
            cli, "%s and --data do not go together: one names a server, the other a directory",
            spelt);
    if (dir != NULL && text_typed == dir_typed)
        return usage_error(cli, "%s and WEIR_DATA are both set: say which with %s or --data",
                           variable, spelt);
    *server = text;
    return 0;
}

/* HOST, HOST:PORT or [HOST]:PORT, size bytes of it. What is no port librdkafka takes for another one. */
static bool is_place(const char *text, size_t size)
{
    const char *bracket = memchr(text, ']', size), *end = text + size;
    const char *colon = memchr(bracket != NULL ? bracket : text, ':',
                               (size_t)(end - (bracket != NULL ? bracket : text)));
    int64_t port = 0;
    if (size == 0 || colon == text || (text[0] == '[') != (bracket != NULL))
        return false;
    if (colon == NULL)
        return bracket == NULL || bracket + 1 == end;
    for (const char *at = colon + 1; at < end && port <= 65535; at++)
        port = *at >= '0' && *at <= '9' ? port * 10 + (*at - '0') : 65536;
    return port > 0 && port <= 65535;
}

/* Places with commas between them. */
static bool is_list(const char *text)
{
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!is_place(text, size))
            return false;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

static void connectable(const char *address, char *text, size_t size)
{
    static const char *const all[][2] = {{"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}};
    const char *from = "", *to = "";
    for (size_t i = 0; i < 2; i++)
        if (strncmp(address, all[i][0], strlen(all[i][0])) == 0) {
            from = all[i][0];
            to = all[i][1];
        }
    snprintf(text, size, "%s%s", to, address + strlen(from));
}

/* ---- who asks ---- */

static int read_user(const struct cli *cli, struct reach *reach)
{
    bool is_of_another = flag_exists(cli, "user-password-file");
    const char *flag = is_of_another ? "user-password-file" : "password-file";
    const char *file = flag_text(cli, flag);
    if (file == NULL && is_of_another) /* that variable says who asks, whatever the command makes */
        file = getenv("WEIR_PASSWORD_FILE");
    const char *address = reach->kafka[0] != '\0' ? reach->kafka : reach->http;
    reach->user = flag_text(cli, "user");
    if (reach->user == NULL) {
        message("%s lets in users alone", address);
        hint("--user NAME says who you are; --%s FILE saves typing the password", flag);
        return EXIT_USAGE;
    }
    return file != NULL && file[0] != '\0' ? read_password(file, reach->user, reach->password)
                                           : ask_password(reach->user, flag, reach->password);
}

/* What the flags say of TLS; is_told: the server's own word. */
static int read_tls(const struct cli *cli, bool is_told, struct reach *reach)
{
    reach->ca = flag_text(cli, "tls-ca");
    reach->certificate = flag_text(cli, "client-cert");
    reach->key = flag_text(cli, "client-key");
    if ((reach->certificate == NULL) != (reach->key == NULL))
        return usage_error(cli, "--client-cert and --client-key go together");
    if (!is_told)
        reach->uses_tls = flag_is_on(cli, "tls") || reach->ca != NULL || reach->certificate != NULL;
    return 0;
}

static int read_mechanism(const struct cli *cli, struct reach *reach)
{
    static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"};
    int chosen = 0;
    if (cli->command->reach == REACHES_KAFKA)
        chosen = flag_choice(cli, "sasl-mechanism", mechanisms, 3, 0);
    if (chosen >= 0)
        reach->mechanism = mechanisms[chosen];
    return chosen < 0 ? EXIT_USAGE : 0;
}

/* security: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; "": nobody has told, the flags decide. */
static int read_security(const struct cli *cli, const char *security, struct reach *reach)
{
    int64_t timeout_ms;
    bool is_told = security[0] != '\0', has_user = flag_text(cli, "user") != NULL;
    int exit_code = flag_number(cli, "timeout", 1, 3600 * 1000, TIMEOUT_MS, &timeout_ms);
    reach->timeout_ms = (int)timeout_ms;
    reach->uses_tls = strstr(security, "SSL") != NULL;
    if (exit_code == 0 && cli->command->reach == REACHES_KAFKA)
        exit_code = read_tls(cli, is_told, reach);
    if (exit_code != 0 || (is_told ? strncmp(security, "SASL_", 5) != 0 : !has_user))
        return exit_code;
    exit_code = read_mechanism(cli, reach);
    return exit_code != 0 ? exit_code : read_user(cli, reach);
}

/* HOST:PORT of --server; a port that is missing is the usual one. */
static int reach_http(const struct cli *cli, const char *address, struct reach *reach)
{
    const char *colon = strrchr(address, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    int size = has_port ? snprintf(reach->http, sizeof reach->http, "%s", address)
                        : snprintf(reach->http, sizeof reach->http, "%s:%d", address, HTTP_PORT);
    if (!is_place(address, strlen(address)) || size >= (int)sizeof reach->http ||
        strpbrk(address, " \t\r\n/@?#,\\") != NULL)
        return usage_error(cli, "--server is HOST:PORT, not '%s'", address);
    reach->way = REACH_SERVER;
    return read_security(cli, "", reach);
}

/* Whether somebody else could have written what is in it. */
static bool is_of_others(const char *directory)
{
    struct stat info;
    return stat(directory, &info) != 0 || (info.st_uid != geteuid() && info.st_uid != 0) ||
           (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* The server that LOCK names, before it is told anything. */
static int check_trust(const struct cli *cli, const char *security, const struct reach *reach)
{
    bool asks_who = strncmp(security, "SASL_", 5) == 0;
    if (!asks_who || flag_text(cli, "user") == NULL || flag_is_typed(cli, "user") ||
        !is_of_others(reach->directory))
        return 0;
    message("other users can write %s: the name and password of the environment are not said to "
            "the address in it",
            reach->directory);
    hint("--user NAME, typed, says that they are meant for it");
    return EXIT_USAGE;
}

int reach_find(const struct cli *cli, enum data_need need, struct reach *reach)
{
    const char *brokers = NULL, *server_address = NULL;
    struct log_server server;
    *reach = (struct reach){.way = REACH_DIRECTORY};
    int exit_code = 0;
    if (cli->command->reach == REACHES_KAFKA)
        exit_code = choose(cli, "bootstrap", "-b", &brokers);
    if (cli->command->reach == REACHES_HTTP)
        exit_code = choose(cli, "server", "--server", &server_address);
    if (exit_code != 0)
        return exit_code;
    if (server_address != NULL)
        return reach_http(cli, server_address, reach);
    if (brokers != NULL) {
        if (strpbrk(brokers, " \t\r\n/") != NULL || !is_list(brokers) ||
            strlen(brokers) >= sizeof reach->kafka)
            return usage_error(cli, "-b is HOST:PORT[,HOST:PORT…], not '%s'", brokers);
        reach->way = REACH_SERVER;
        snprintf(reach->kafka, sizeof reach->kafka, "%s", brokers);
        return read_security(cli, "", reach);
    }
    exit_code = data_check(cli, need);
    reach->directory = data_directory(cli);
    if (exit_code != 0 || !log_find_server(reach->directory, &server))
        return exit_code;
    reach->way = REACH_SERVER;
    reach->pid = server.pid;
    connectable(server.kafka, reach->kafka, sizeof reach->kafka);
    connectable(server.http, reach->http, sizeof reach->http);
    exit_code = check_trust(cli, server.security, reach);
    return exit_code != 0 ? exit_code : read_security(cli, server.security, reach);
}
