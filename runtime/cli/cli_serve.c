/* cli_serve.c: weir serve: the log in a data directory, for Kafka clients, until a signal.
 *
 * The work is log/kafka's; here an address is read, judged and announced. Nobody is asked for a password, so an address that
 * other machines reach is taken only from somebody who says that this is meant (--allow-remote). */
#include "log/kafka/kafka_server.h"
#include "runtime/cli/nouns.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

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

static int parse(const struct cli *cli, struct address *address, struct address *advertised,
                 struct kafka_server_options *options)
{
    const char *text = flag_text(cli, "kafka"), *where = flag_text(cli, "advertise");
    struct in6_addr six;
    struct in_addr four;
    int64_t partitions, connections, delay_ms;
    text = text != NULL ? text : "127.0.0.1:9092";
    if (!address_parse(text, 0, address))
        return usage_error(cli, "--kafka is HOST:PORT, not '%s'", text);
    if (inet_pton(AF_INET, address->host, &four) != 1 &&
        inet_pton(AF_INET6, address->host, &six) != 1)
        return usage_error(cli, "--kafka takes a numeric address or localhost, not '%s'",
                           address->host);
    if (where != NULL && !address_parse(where, 1, advertised))
        return usage_error(cli, "--advertise is HOST:PORT, not '%s'", where);
    if (!is_loopback(address->host) && !flag_is_on(cli, "allow-remote")) {
        message("%s can be reached from other machines, and there is no authentication: whoever "
                "connects may read and write everything",
                text);
        hint("add --allow-remote if that is what you want");
        return EXIT_USAGE;
    }
    int code = flag_number(cli, "partitions", 1, 10000, 1, &partitions);
    if (code == 0)
        code = flag_number(cli, "connections", 1, 1000000, 0, &connections);
    if (code == 0)
        code = flag_number(cli, "rebalance-delay", 0, 300000, 0, &delay_ms);
    if (code != 0)
        return code;
    *options = (struct kafka_server_options){
        .host = address->host,
        .port = (int32_t)address->port,
        .advertised_host = where != NULL ? advertised->host : NULL,
        .advertised_port = where != NULL ? (int32_t)advertised->port : 0,
        .refuses_new_topics = flag_is_on(cli, "no-auto-create"),
        .new_topic_partitions = (int32_t)partitions,
        .connections = (int32_t)connections,
        .rebalance_delay_ms = (int32_t)delay_ms,
    };
    return 0;
}

static void announce(struct log *log, const char *host, int64_t port)
{
    char text[300];
    struct diag diag = {0};
    address_text(host, port, text, sizeof text);
    if (log_announce(log, "kafka", text, &diag) < 0)
        message("%s", diag.text); /* only who finds the directory held misses it */
    out_text("listening on ");
    out_text(text);
    out_text("\n");
    out_flush(); /* who started us may not read it */
}

static void wait_for_signal(void)
{
    struct pollfd fd = {interrupt_fd(), POLLIN, 0};
    while (!interrupted()) {
        poll(&fd, 1, -1);
        interrupt_clear();
    }
}

static int run_serve(struct cli *cli)
{
    struct kafka_server_options options;
    struct address address, advertised;
    struct kafka_server *server;
    struct log *log;
    struct diag diag = {0};
    int exit_code = parse(cli, &address, &advertised, &options);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MAY_CREATE, &log);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    int code = kafka_server_start(log, &options, &server, &diag);
    if (code < 0) {
        exit_code = failed(code, &diag);
        if (code == ERR_BUSY)
            hint("something else listens there: name another port with --kafka, or 0 for any");
    } else {
        announce(log, address.host, kafka_server_port(server));
        wait_for_signal();
        kafka_server_stop(server);
    }
    log_close(log);
    return exit_code;
}

static const struct flag serve_flags[] = {
    {"kafka", "HOST:PORT", "where to listen; port 0: any [127.0.0.1:9092]", false, 0},
    {"advertise", "HOST:PORT", "where clients are sent [the address they reached]", false, 0},
    {"allow-remote", NULL, "listen where other machines can connect, without authentication", false,
     0},
    {"no-auto-create", NULL, "a topic that a client names and that is missing is an error", false,
     0},
    {"partitions", "N", "of topics that are created so [1]", false, 0},
    {"rebalance-delay", "MS", "how long an empty group waits for more members after the first [0]",
     false, 0},
    {"connections", "N", "at most so many at once [10000, or what 'ulimit -n' leaves]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_serve = {
    .noun = "serve",
    .arguments = "",
    .summary = "let Kafka clients use the log of a data directory",
    .examples =
        "  weir serve\n"
        "  weir serve --data /var/lib/weir --kafka 127.0.0.1:9192\n"
        "  weir serve --kafka 0.0.0.0:9092 --advertise log.example.org:9092 --allow-remote\n",
    .details = "Prints 'listening on HOST:PORT' when clients can connect, and ends with SIGINT or "
               "SIGTERM: "
               "what was asked for is answered,\n"
               "the log is flushed and closed, exit code 0. What clients can do: docs/kafka.md.\n",
    .flags = serve_flags,
    .run = run_serve,
};
