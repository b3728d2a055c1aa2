/* cli_serve.c: weir serve: the log in a data directory, for Kafka clients and over HTTP, and pipelines of SQL files beside them, until a
 * signal.
 *
 * The work is log/kafka's, runtime/http's and the engine's; here addresses are read, judged and announced, and the three are started on one log and
 * ended in turn. HTTP comes first and goes last: while state is restored it is what says how far that is. Nobody is asked for a
 * password, so an address that other machines reach is taken only from somebody who says that this is meant (--allow-remote).
 *
 * What has gone wrong with a pipeline is tried again for as long as the server runs, since clients do not stop using the log
 * for it; what is wrong with the files is an exit code before anything listens. */
#include "log/kafka/kafka_access.h"
#include "log/kafka/kafka_server.h"
#include "log/kafka/kafka_session.h"
#include "log/user.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/sql_run.h"
#include "runtime/http/http.h"
#include "runtime/weir_handle.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SUPER_USERS_MAX = 32, COPY_AGAIN_FIRST_MS = 1000, COPY_AGAIN_MOST_MS = 60000 };

struct address {
    char host[256];
    int64_t port;
};

/* HOST:PORT, [HOST]:PORT. */
static bool address_parse(const char *text, int64_t least_port, struct address *address)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || parse_integer(colon + 1, &address->port) < 0 ||
        address->port < least_port || address->port > 65535)
        return false;
    size_t size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof address->host)
        return false;
    memcpy(address->host, text, size);
    address->host[size] = '\0';
    if (strcmp(address->host, "localhost") == 0)
        snprintf(address->host, sizeof address->host, "127.0.0.1");
    return true;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* IPv6 addresses in brackets, as they are typed. */
static void address_text(const char *host, int64_t port, char *text, size_t size)
{
    bool brackets = strchr(host, ':') != NULL;
    snprintf(text, size, "%s%s%s:%" PRId64, brackets ? "[" : "", host, brackets ? "]" : "", port);
}

/* An address that a flag gives, or its default. is_guarded: who connects there is encrypted and must say who it is. 0 or EXIT_USAGE. */
static int parse_address(const struct cli *cli, const char *flag, const char *fallback,
                         bool is_guarded, struct address *address)
{
    const char *text = flag_text(cli, flag);
    struct in6_addr six;
    struct in_addr four;
    text = text != NULL ? text : fallback;
    if (!address_parse(text, 0, address))
        return usage_error(cli, "--%s is HOST:PORT, not '%s'", flag, text);
    if (inet_pton(AF_INET, address->host, &four) != 1 &&
        inet_pton(AF_INET6, address->host, &six) != 1)
        return usage_error(cli, "--%s takes a numeric address or localhost, not '%s'", flag,
                           address->host);
    if (is_loopback(address->host) || is_guarded || flag_is_on(cli, "allow-remote"))
        return 0;
    message("%s can be reached from other machines, and there is no authentication there: whoever "
            "connects may read and write everything",
            text);
    hint(
        strcmp(flag, "kafka") == 0
            ? "--tls-cert, --tls-key and --auth let in those who have a user alone; --allow-remote "
              "lets everybody in"
            : "add --allow-remote if that is what you want");
    return EXIT_USAGE;
}

struct serving {
    struct address kafka_address, http_address, advertised;
    struct kafka_server_options kafka_options;
    char *super_users[SUPER_USERS_MAX];
    int super_user_count;
    struct kafka_stats kafka_stats; /* shown over HTTP */
    weir_options options;           /* of the app */
    weir_log *log;
    struct sql_program *program;
    weir_app *app; /* NULL: no files */
    int64_t answer_memory_mib;
    struct http *http;
    struct kafka_server *kafka;
    pthread_mutex_t
        check_mutex; /* one password is checked at a time: it is a processor's work for milliseconds, and anybody may ask for it */
};

/* 0 or EXIT_USAGE. */
static int parse_tls(const struct cli *cli, struct kafka_tls_options *tls)
{
    *tls = (struct kafka_tls_options){.certificate = flag_text(cli, "tls-cert"),
                                      .key = flag_text(cli, "tls-key"),
                                      .client_ca = flag_text(cli, "tls-client-ca")};
    static const char *const principals[] = {"dn", "cn"};
    int principal = flag_choice(cli, "tls-principal", principals, 2, 0);
    if (principal < 0)
        return EXIT_USAGE;
    tls->names_by_common_name = principal == 1;
    if ((tls->certificate == NULL) != (tls->key == NULL))
        return usage_error(cli, "--tls-cert and --tls-key go together");
    if (flag_is_on(cli, "auth") && flag_is_on(cli, "no-auth"))
        return usage_error(cli, "--auth and --no-auth do not go together");
    if (tls->client_ca != NULL && tls->certificate == NULL)
        return usage_error(cli, "--tls-client-ca needs --tls-cert and --tls-key");
    return 0;
}

/* How many may connect, and how long they may take. 0 or EXIT_USAGE. */
static int parse_limits(const struct cli *cli, struct kafka_server_options *options)
{
    int64_t all, each;
    int code = flag_number(cli, "connections", 1, 1000000, 0, &all);
    if (code == 0)
        code = flag_number(cli, "connections-per-address", 1, 1000000, 0, &each);
    if (code == 0)
        code = flag_number(cli, "idle-timeout", 1, INT32_MAX, 0, &options->idle_ms);
    if (code == 0)
        code = flag_number(cli, "request-timeout", 1, INT32_MAX, 0, &options->request_ms);
    if (code == 0)
        code = flag_number(cli, "handshake-timeout", 1, INT32_MAX, 0, &options->handshake_ms);
    if (code != 0)
        return code;
    options->connections = (int32_t)all;
    options->connections_per_address = (int32_t)each;
    return 0;
}

/* As principals: "alice" is "User:alice". 0 or EXIT_USAGE. */
static int parse_super_users(const struct cli *cli, struct serving *serving)
{
    const char *name;
    for (int at = 0; (name = flag_next(cli, "super-user", &at)) != NULL;) {
        bool is_whole = strncmp(name, "User:", 5) == 0;
        if (serving->super_user_count == SUPER_USERS_MAX || strlen(name) > ACL_PRINCIPAL_BYTES)
            return usage_error(cli, "there are at most %d super users, with names of %d bytes",
                               SUPER_USERS_MAX, ACL_PRINCIPAL_BYTES);
        char **principal = &serving->super_users[serving->super_user_count];
        if (asprintf(principal, "%s%s", is_whole ? "" : "User:", name) < 0)
            return failed(ERR_NOMEM, NULL);
        serving->super_user_count++;
    }
    return 0;
}

static int parse(const struct cli *cli, struct serving *serving)
{
    const char *where = flag_text(cli, "advertise");
    struct address *advertised = &serving->advertised;
    int64_t partitions, delay_ms, lifetime_ms;
    struct kafka_tls_options tls;
    int code = parse_tls(cli, &tls);
    if (code == 0)
        code = parse_address(cli, "kafka", "127.0.0.1:9092",
                             tls.client_ca != NULL ||
                                 (tls.certificate != NULL && flag_is_on(cli, "auth")),
                             &serving->kafka_address);
    if (code == 0)
        code = parse_address(cli, "http", "127.0.0.1:9644", false, &serving->http_address);
    if (code != 0)
        return code;
    if (where != NULL && !address_parse(where, 1, advertised))
        return usage_error(cli, "--advertise is HOST:PORT, not '%s'", where);
    code = flag_number(cli, "partitions", 1, 10000, 1, &partitions);
    if (code == 0)
        code = flag_number(cli, "rebalance-delay", 0, 300000, 0, &delay_ms);
    if (code == 0)
        code = flag_number(cli, "session-lifetime", 0, INT32_MAX, 0, &lifetime_ms);
    if (code == 0)
        code = flag_number(cli, "answer-memory", 32, 1 << 20, HTTP_ANSWERS_MIB,
                           &serving->answer_memory_mib);
    if (code == 0)
        code = sql_run_options(cli, &serving->options);
    if (code == 0)
        code = parse_super_users(cli, serving);
    if (code != 0)
        return code;
    serving->kafka_options = (struct kafka_server_options){
        .host = serving->kafka_address.host,
        .port = (int32_t)serving->kafka_address.port,
        .advertised_host = where != NULL ? advertised->host : NULL,
        .advertised_port = where != NULL ? (int32_t)advertised->port : 0,
        .refuses_new_topics = flag_is_on(cli, "no-auto-create"),
        .new_topic_partitions = (int32_t)partitions,
        .rebalance_delay_ms = (int32_t)delay_ms,
        .tls = tls,
        .requires_users = flag_is_on(cli, "auth"),
        .session_lifetime_ms = lifetime_ms,
        .super_users = (const char *const *)serving->super_users,
        .super_user_count = (size_t)serving->super_user_count,
        .stats = &serving->kafka_stats,
    };
    return parse_limits(cli, &serving->kafka_options);
}

/* ---- the pipelines ---- */

static void on_progress(void *context, const struct weir_progress *progress)
{
    struct serving *serving = context;
    (void)progress;
    if (interrupted())
        weir_app_stop(serving->app);
}

static bool is_written(const struct sql_program *program, const char *topic)
{
    for (const struct relation *r = program->relations; r != NULL; r = r->next)
        if (r->kind == RELATION_RESULT && strcmp(r->topic, topic) == 0)
            return true;
    return false;
}

/* A pipeline reads a topic, as a client does that subscribes to one: what is missing is made. */
static int make_sources(const struct serving *serving)
{
    if (serving->kafka_options.refuses_new_topics)
        return 0;
    for (const struct relation *r = serving->program->relations; r != NULL; r = r->next) {
        int32_t partitions =
            r->partitions > 0 ? r->partitions : serving->kafka_options.new_topic_partitions;
        if (r->kind != RELATION_TABLE || r->topic == NULL ||
            is_written(serving->program, r->topic) ||
            weir_topic_describe(serving->log, r->topic, NULL) != WEIR_ENOTFOUND)
            continue;
        int code = weir_topic_create(serving->log, r->topic, partitions, NULL, 0);
        if (code < 0 && code != WEIR_EEXISTS) {
            message("%s", weir_log_error());
            return EXIT_FAILED;
        }
    }
    return 0;
}

static int open_pipelines(const struct cli *cli, struct serving *serving)
{
    weir_failure_options again = {.policy = WEIR_FAILURE_RETRY, .retries = -1};
    serving->options.log = serving->log;
    serving->options.progress = on_progress;
    serving->options.progress_context = serving;
    int exit_code = copy_files_run(cli, serving->program, &serving->options, COPY_PREPARE,
                                   serving->kafka_options.new_topic_partitions);
    if (exit_code == 0)
        exit_code = make_sources(serving);
    if (exit_code != 0 || sql_job_pipelines(serving->program) == 0)
        return exit_code;
    exit_code = sql_run_open(cli, serving->program, &serving->options, &serving->app);
    if (exit_code == 0 && weir_on_failure(serving->app, NULL, &again) < 0)
        exit_code = failed(ERR_INVALID, NULL);
    return exit_code;
}

/* ---- listening ---- */

static void announce(const struct serving *serving, const char *name, const char *text)
{
    struct diag diag = {0};
    if (log_announce(serving->log->log, name, text, &diag) < 0)
        message("%s", diag.text); /* only who finds the directory held misses it */
}

/* To commands that find the directory held, then to who started us. */
static void announce_all(const struct serving *serving)
{
    static const char *const security[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
    const struct kafka_server_options *options = &serving->kafka_options;
    char kafka[300], http[300];
    address_text(serving->kafka_address.host, kafka_server_port(serving->kafka), kafka,
                 sizeof kafka);
    address_text(serving->http_address.host, http_port(serving->http), http, sizeof http);
    announce(serving, "http", http);
    announce(serving, "security",
             security[(options->tls.certificate != NULL) + 2 * options->requires_users]);
    announce(serving, "kafka", kafka);
    buf_printf(&out, "listening on %s\nhttp on %s\n", kafka, http);
    out_flush(); /* who started us may not read it */
}

static int listen_failed(int code, const struct diag *diag, const char *flag)
{
    int exit_code = failed(code, diag);
    if (code == ERR_BUSY)
        hint("something else listens there: name another port with --%s, or 0 for any", flag);
    return exit_code;
}

/* A directory that has users is not open to those who are none, unless somebody says so. */
static int decide_on_users(const struct cli *cli, struct serving *serving)
{
    struct diag diag = {0};
    char **names;
    size_t count;
    int code = user_list(serving->log->log, &names, &count, &diag);
    free(names);
    if (code < 0)
        return failed(code, &diag);
    if (count == 0 && serving->kafka_options.requires_users) {
        message("--auth, and %s has no users: nobody could connect", data_directory(cli));
        hint("'weir user add NAME' makes one");
        return EXIT_USAGE;
    }
    serving->kafka_options.requires_users = count > 0 && !flag_is_on(cli, "no-auth");
    struct stat info;
    if (count > 0 && stat(data_directory(cli), &info) == 0 && (info.st_mode & (S_IROTH | S_IXOTH)))
        log_line('W', "%s has users, and everybody on this machine may look into it: chmod 700 %s",
                 data_directory(cli), data_directory(cli));
    return 0;
}

/* Over HTTP, the same as over the Kafka protocol. */
static bool may_do(void *context, const char *user, const char *host, enum http_thing thing,
                   const char *name, enum http_action action)
{
    static const enum acl_resource resources[] = {
        [HTTP_CLUSTER] = ACL_CLUSTER, [HTTP_TOPIC] = ACL_TOPIC, [HTTP_GROUP] = ACL_GROUP};
    static const enum acl_operation operations[] = {[HTTP_DESCRIBE] = ACL_DESCRIBE,
                                                    [HTTP_DESCRIBE_CONFIGS] = ACL_DESCRIBE_CONFIGS,
                                                    [HTTP_READ] = ACL_READ,
                                                    [HTTP_ALTER] = ACL_ALTER};
    const struct serving *serving = context;
    char principal[USER_NAME_BYTES + 8];
    snprintf(principal, sizeof principal, "User:%s", user != NULL ? user : "ANONYMOUS");
    return kafka_access_allows(
        serving->log->log, &serving->kafka_options, principal, host, resources[thing],
        bytes_text(thing == HTTP_CLUSTER ? ACL_CLUSTER_NAME : name), operations[action]);
}

/* Over HTTP; what cannot be read is nobody's. */
static bool may_enter(void *context, const char *name, const char *password)
{
    struct serving *serving = context;
    struct diag diag = {0};
    bool is_right = false;
    pthread_mutex_lock(&serving->check_mutex);
    int code = kafka_check_password(serving->log->log, name, password, &is_right, &diag);
    pthread_mutex_unlock(&serving->check_mutex);
    if (code < 0)
        log_line('W', "http: the users cannot be read: %s", diag.text);
    return code == 0 && is_right;
}

static int start_listening(const struct cli *cli, struct serving *serving)
{
    struct diag diag = {0};
    struct http_options http = {.host = serving->http_address.host,
                                .port = (int32_t)serving->http_address.port,
                                .is_remote_allowed = flag_is_on(cli, "allow-remote"),
                                .log = serving->log,
                                .app = serving->app,
                                .answer_limit_bytes = serving->answer_memory_mib << 20,
                                .metrics = kafka_stats_text,
                                .metrics_context = &serving->kafka_stats};
    http.may = may_do;
    http.may_enter_context = serving;
    if (serving->kafka_options.requires_users)
        http.may_enter = may_enter;
    int code = http_start(&http, &serving->http, &diag);
    if (code < 0)
        return listen_failed(code, &diag, "http");
    code = kafka_server_start(serving->log->log, &serving->kafka_options, &serving->kafka, &diag);
    if (code < 0)
        return listen_failed(code, &diag, "kafka");
    announce_all(serving);
    return 0;
}

static void wait_for_signal(void)
{
    struct pollfd fd = {interrupt_fd(), POLLIN, 0};
    while (!interrupted()) {
        poll(&fd, 1, -1);
        interrupt_clear();
    }
}

/* What stands in COPY statements. Clients use the log meanwhile, and may delete a topic that is being written: as with a pipeline that fails, it is told and tried again. 0, or
 * EXIT_INTERRUPTED. */
static int copy(const struct cli *cli, const struct serving *serving)
{
    int32_t partitions = serving->kafka_options.new_topic_partitions;
    enum copy_mode mode = COPY_WRITE;
    int64_t delay_ms = COPY_AGAIN_FIRST_MS;
    for (;;) {
        int exit_code = copy_files_run(cli, serving->program, &serving->options, mode, partitions);
        if (exit_code == 0 && mode == COPY_WRITE)
            return 0; /* also when a signal has come: the pipelines end by themselves, and say what they did */
        if (exit_code == EXIT_INTERRUPTED || interrupted())
            return EXIT_INTERRUPTED;
        if (exit_code == 0) {
            mode = COPY_WRITE;
            continue;
        }
        struct pollfd fd = {interrupt_fd(), POLLIN, 0};
        hint("it is tried again in %" PRId64 " s", delay_ms / 1000);
        poll(&fd, 1, (int)delay_ms);
        delay_ms = delay_ms * 2 < COPY_AGAIN_MOST_MS ? delay_ms * 2 : COPY_AGAIN_MOST_MS;
        mode = COPY_PREPARE; /* it makes what is missing */
    }
}

static int serve(const struct cli *cli, struct serving *serving)
{
    int exit_code = 0;
    if (serving->program != NULL)
        exit_code = copy(cli, serving);
    if (exit_code != 0)
        return exit_code == EXIT_INTERRUPTED ? 0 : exit_code;
    if (serving->app == NULL) {
        wait_for_signal();
        return 0;
    }
    int code = weir_app_run(serving->app);
    if (code < 0)
        message("%s", weir_app_error(serving->app));
    else
        sql_run_summary(serving->app);
    return sql_run_exit(code);
}

static void end(struct serving *serving)
{
    if (serving->kafka != NULL)
        kafka_server_stop(serving->kafka);
    signal(SIGHUP, SIG_IGN); /* which the Kafka server gave back to the system */
    http_stop(serving->http);
    weir_app_close(serving->app);
    sql_program_destroy(serving->program);
    if (serving->log != NULL)
        weir_log_close(serving->log);
    for (int i = 0; i < serving->super_user_count; i++)
        free(serving->super_users[i]);
}

static int run_serve(struct cli *cli)
{
    struct serving serving = {.check_mutex = PTHREAD_MUTEX_INITIALIZER};
    int exit_code = parse(cli, &serving);
    signal(SIGHUP,
           SIG_IGN); /* until the Kafka server takes it: what it would read again is not read yet */
    if (exit_code == 0 && cli->argument_count > 0)
        exit_code = sql_run_load(cli, &serving.program);
    if (exit_code == 0)
        exit_code = data_open_handle(cli, DATA_MAY_CREATE, &serving.log);
    if (exit_code == 0)
        exit_code = decide_on_users(cli, &serving);
    if (exit_code == 0) {
        interrupt_install();
        exit_code = serving.program != NULL ? open_pipelines(cli, &serving) : 0;
    }
    if (exit_code == 0)
        exit_code = start_listening(cli, &serving);
    if (exit_code == 0)
        exit_code = serve(cli, &serving);
    end(&serving);
    return exit_code;
}

static const struct flag serve_flags[] = {
    {"kafka", "HOST:PORT", "where Kafka clients connect; port 0: any [127.0.0.1:9092]", false, 0},
    {"http", "HOST:PORT", "where HTTP is answered; port 0: any [127.0.0.1:9644]", false, 0},
    {"advertise", "HOST:PORT", "where clients are sent [the address they reached]", false, 0},
    {"allow-remote", NULL, "listen where other machines can connect, without authentication", false,
     0},
    {"tls-cert", "FILE",
     "PEM: Kafka clients connect with TLS, and this is the server's certificate", false, 0},
    {"tls-key", "FILE", "PEM: its private key", false, 0},
    {"tls-client-ca", "FILE", "PEM: Kafka clients must show a certificate that this CA has signed",
     false, 0},
    {"tls-principal", "WHAT",
     "of a client's certificate: dn, its whole subject, or cn, its common name [dn]", false, 0},
    {"auth", NULL, "clients must say who they are: 'weir user add' [when there are users]", false,
     0},
    {"no-auth", NULL, "nobody is asked, although there are users", false, 0},
    {"super-user", "NAME", "may do everything, whatever 'weir acl' says; may be repeated", true, 0},
    {"session-lifetime", "MS", "how often a client must authenticate again; 0: never [0]", false,
     0},
    {"no-auto-create", NULL, "a topic that a client names and that is missing is an error", false,
     0},
    {"partitions", "N", "of topics that are created so [1]", false, 0},
    {"rebalance-delay", "MS", "how long an empty group waits for more members after the first [0]",
     false, 0},
    {"connections", "N", "at most so many at once [10000, or what 'ulimit -n' leaves]", false, 0},
    {"connections-per-address", "N", "the same from one address [seven eighths of those]", false,
     0},
    {"idle-timeout", "MS", "a connection that asks for nothing ends [600000]", false, 0},
    {"request-timeout", "MS",
     "in which a request must arrive whole, and a response be taken [60000]", false, 0},
    {"answer-memory", "MIB",
     "of answers over HTTP together, of more than 1 MiB each, until they are taken [256]", false,
     0},
    {"handshake-timeout", "MS",
     "of new connections: TLS, users, the first request [10000, 30000, 30000]", false, 0},
    SQL_RUN_FLAGS,
    {NULL, NULL, NULL, false, 0},
};

#ifdef __SANITIZE_THREAD__
/* libuv closes descriptors by system calls of its own, which ThreadSanitizer does not see: a directory that is opened with such a number
 * afterwards is taken for the socket that it was, and closing it for a race. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:closedir\n";
}
#endif

const struct command command_serve = {
    .noun = "serve",
    .arguments = "[FILE.sql…]",
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary =
        "let Kafka clients and HTTP use the log of a data directory, and run pipelines on it",
    .examples =
        "  weir serve\n"
        "  weir serve orders.sql\n"
        "  weir serve tables.sql views.sql --app shop --threads 2\n"
        "  weir serve --data /var/lib/weir --kafka 127.0.0.1:9192 --http 127.0.0.1:9744\n"
        "  weir serve --tls-cert server.pem --tls-key server.key\n"
        "  weir serve --kafka 0.0.0.0:9092 --advertise log.example.org:9092 --tls-cert server.pem "
        "--tls-key server.key --auth\n"
        "  weir serve --kafka 0.0.0.0:9092 --advertise log.example.org:9092 --allow-remote\n",
    .details = "Prints 'listening on HOST:PORT' when Kafka clients can connect, then 'http on "
               "HOST:PORT', and ends with SIGINT or SIGTERM: what was\n"
               "asked for is answered, pipelines commit what they have, the log is flushed and "
               "closed, exit code 0. SIGHUP lets it read its\n"
               "certificate again, and ends nothing. What Kafka clients can do:\n"
               "docs/kafka.md; metrics and the JSON API: docs/http.md. The pipelines of the files "
               "run as under 'weir run', with these differences:\n"
               "a topic that they read and that is missing is created, and a pipeline that fails "
               "is tried again until it works.\n",
    .flags = serve_flags,
    .run = run_serve,
};
