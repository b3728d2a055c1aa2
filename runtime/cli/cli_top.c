/* cli_top.c: weir top: what apps are doing, again and again.
 *
 * A running app holds its directory, so it is looked at through the metrics file that it keeps
 * (weir run --metrics FILE): a reading each time the file is a new one, rates from the last two; what runs
 * in a server, through that server's /metrics, a reading each interval. A directory that nobody holds is read once, since nothing moves in it.
 *
 * On a terminal a screen is kept up to date, until q or a signal; piped, each reading is lines of
 * JSON. --once ends after one reading with rates: of a file that is being kept it waits for the next one,
 * at most as long as two take. */
#include "runtime/base/clock.h"
#include "runtime/cli/http_client.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/top_screen.h"
#include "runtime/cli/top_view.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    KEPT_NS =
        3000000000, /* a file that is older is not being kept: runtime/metrics.c writes each second */
    ONCE_WAIT_MS = 3000,
    ONCE_LOOK_MS = 20,
};

struct top {
    const char *path; /* of the metrics file; NULL: a server is asked, or a directory was read */
    struct http_client *client; /* NULL: none is asked */
    struct top_view view;
    struct top_reading now, before;
    bool is_json, has_before;
    int64_t interval_ms;
};

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- readings ---- */

/* What a server tells now. A server without pipelines tells nothing of apps. */
static int read_server(struct top *top, struct top_reading *reading, struct diag *diag)
{
    struct buf target = {0};
    struct bytes text;
    http_path(&target, "/metrics");
    http_client_tell(top->client, diag);
    int exit_code = http_client_ask(top->client, &target, bytes_of(NULL, 0), HTTP_SOON, &text);
    buf_deinit(&target);
    if (exit_code != 0)
        return exit_code == EXIT_INTERRUPTED ? ERR_STOPPED : diag->code;
    int code = top_reading_text(text, reading, diag);
    if (code == ERR_INVALID) /* the time is all there is */
        reading->time_ns = wall_ns();
    return code == ERR_INVALID ? 0 : code;
}

/* Reads the file when it is another one than that of the last reading; asks the server in any case. */
static int renew(struct top *top, struct diag *diag)
{
    struct top_reading reading;
    if (top->client != NULL) {
        int code = read_server(top, &reading, diag);
        if (code < 0)
            return code == ERR_STOPPED ? 0 : code;
    } else if (top->now.time_ns != 0 && top_reading_file_time(top->path) == top->now.time_ns) {
        return 0;
    } else {
        TRY(top_reading_file(top->path, &reading, diag));
    }
    top_reading_deinit(&top->before);
    top->before = top->now;
    top->has_before = top->before.time_ns != 0;
    top->now = reading;
    top_reading_rates(&top->now, top->has_before ? &top->before : NULL);
    return 0;
}

/* A file that nobody has written for a while has no rates: what it says is over. */
static bool is_kept(const struct top *top)
{
    return wall_ns() - top->now.time_ns < KEPT_NS;
}

static int put_view(struct top *top, struct buf *text)
{
    top->view.now_ns = wall_ns();
    top->view.is_live = top->has_before && is_kept(top);
    if (top->path != NULL && top->has_before && !is_kept(top)) {
        top->has_before = false;
        top_reading_rates(&top->now, NULL);
    }
    return top->is_json ? top_view_json(&top->view, &top->now, text)
                        : top_view_text(&top->view, &top->now, text);
}

static int print_view(struct top *top)
{
    int code = put_view(top, &out);
    return code < 0 ? failed(code, NULL) : EXIT_OK;
}

/* ---- the ways to look ---- */

static void wait_ms(int64_t ms)
{
    struct pollfd fds[2] = {{interrupt_fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    bool has_keys = terminal(STDIN_FILENO) && terminal(STDOUT_FILENO);
    poll(fds, has_keys ? 2 : 1, (int)ms);
    interrupt_clear();
}

static int look_once(struct top *top)
{
    struct diag diag = {0};
    int code = renew(top, &diag);
    int64_t until_ms = clock_mono_ms() + ONCE_WAIT_MS;
    while (code == 0 && !top->has_before && is_kept(top) && clock_mono_ms() < until_ms &&
           !interrupted()) {
        struct pollfd fd = {interrupt_fd(), POLLIN, 0};
        int64_t rest_ms = top->interval_ms < ONCE_WAIT_MS / 2 ? top->interval_ms : ONCE_WAIT_MS / 2;
        poll(&fd, 1, top->client != NULL ? (int)rest_ms : ONCE_LOOK_MS);
        code = renew(top, &diag);
    }
    if (code < 0)
        return failed(code, &diag);
    return interrupted() ? EXIT_INTERRUPTED : print_view(top);
}

/* True: the key ends it. */
static bool take_key(struct top *top, char key)
{
    if (key == 'p')
        top->view.by_partition = !top->view.by_partition;
    if (key == 's')
        top->view.sort = (enum top_sort)((top->view.sort + 1) % TOP_SORTS);
    return key == 'q' || key == 'Q' || key == 4; /* Ctrl-D */
}

static int show(struct top *top, const char *trouble)
{
    struct buf text = {0};
    top_screen_size(&top->view.width, &top->view.height);
    if (trouble[0] != '\0')
        top->view.height--;
    int code = put_view(top, &text);
    if (code == 0 && trouble[0] != '\0')
        buf_printf(&text, "%.*s\n", top->view.width, trouble);
    if (code == 0)
        code = top_screen_show(bytes_of(text.data, text.size));
    buf_deinit(&text);
    return code;
}

/* A file that is gone for a moment (the app starts again) is waited for, and said. */
static int keep_screen(struct top *top)
{
    struct diag diag = {0};
    int code = 0;
    bool is_over = false;
    while (code == 0 && !is_over && !interrupted()) {
        diag.text[0] = '\0';
        renew(top, &diag);
        code = show(top, diag.text);
        if (code == 0 && !interrupted())
            wait_ms(top->interval_ms);
        for (char key = top_screen_key(); key != 0; key = top_screen_key())
            is_over |= take_key(top, key);
    }
    top_screen_close();
    if (code == ERR_NOMEM)
        return failed(code, NULL);
    return code == ERR_IO ? EXIT_FAILED : interrupted() ? EXIT_INTERRUPTED : EXIT_OK;
}

/* Each new reading, for a pipe or a terminal that shows no screen. */
static int keep_lines(struct top *top)
{
    struct diag diag = {0};
    int64_t shown_ns = 0;
    for (;;) {
        int code = renew(top, &diag);
        if (code < 0)
            return failed(code, &diag);
        if (top->now.time_ns != shown_ns) {
            shown_ns = top->now.time_ns;
            int exit_code = print_view(top);
            if (exit_code != EXIT_OK)
                return exit_code;
            code = out_flush();
            if (code < 0)
                return code == ERR_STOPPED ? EXIT_OK : EXIT_FAILED;
        }
        if (!interrupted())
            wait_ms(top->interval_ms);
        if (interrupted())
            return EXIT_INTERRUPTED;
    }
}

static int look_again_and_again(struct top *top, bool once)
{
    struct diag diag = {0};
    interrupt_install();
    if (once)
        return look_once(top);
    int code = renew(top, &diag); /* a wrong name is an error, not a screen */
    if (code < 0) {
        int exit_code = failed(code, &diag);
        if (top->client == NULL)
            hint("'weir run FILE.sql --metrics FILE' keeps one");
        return exit_code;
    }
    return !top->is_json && top_screen_open() ? keep_screen(top) : keep_lines(top);
}

static int look_at_directory(struct cli *cli, struct top *top)
{
    struct log *log;
    struct diag diag = {0};
    char source[300];
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0) {
        hint("a running app is looked at through its metrics: weir run FILE.sql --metrics FILE; "
             "weir top --metrics FILE");
        return exit_code;
    }
    int code = top_reading_directory(log, top->view.app, &top->now, &diag);
    log_close(log);
    snprintf(source, sizeof source, "directory %s", data_directory(cli));
    top->view.source = source;
    if (code == 0 && !top->is_json && terminal(STDOUT_FILENO))
        top_screen_size(&top->view.width, &top->view.height);
    top->view.height = 0; /* what does not fit scrolls */
    exit_code = code < 0 ? failed(code, &diag) : print_view(top);
    top->view.source = NULL;
    return exit_code;
}

static int look_at_server_or_directory(struct cli *cli, struct top *top)
{
    struct reach reach;
    char source[320];
    int exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &top->client);
    if (exit_code == 0 && top->client != NULL) {
        snprintf(source, sizeof source, "http://%s", reach.http);
        top->view.source = source;
        exit_code = look_again_and_again(top, flag_is_on(cli, "once"));
        top->view.source = NULL;
    } else if (exit_code == 0) {
        exit_code = look_at_directory(cli, top);
    }
    http_leave(&reach, top->client);
    top->client = NULL;
    return exit_code;
}

/* ---- the command ---- */

static int parse(struct cli *cli, struct top *top)
{
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    int sort = flag_choice(cli, "sort", top_sort_names, TOP_SORTS, TOP_SORT_NAME);
    if (format < 0 || sort < 0)
        return EXIT_USAGE;
    top->is_json = format == FORMAT_JSON;
    top->path = flag_text(cli, "metrics");
    top->view = (struct top_view){.app = flag_text(cli, "app"),
                                  .by_partition = flag_is_on(cli, "partitions"),
                                  .sort = (enum top_sort)sort,
                                  .color = color_on(STDOUT_FILENO)};
    return flag_number(cli, "interval", 100, 3600000, 1000, &top->interval_ms);
}

static int run_top(struct cli *cli)
{
    struct top top = {0};
    char source[300];
    int exit_code = parse(cli, &top);
    if (exit_code == 0 && flag_text(cli, "bootstrap") != NULL)
        exit_code = data_check(cli, DATA_MAY_CREATE);
    if (exit_code != 0)
        return exit_code;
    if (top.path != NULL) {
        snprintf(source, sizeof source, "%s", top.path);
        top.view.source = source;
        exit_code = look_again_and_again(&top, flag_is_on(cli, "once"));
    } else {
        exit_code = look_at_server_or_directory(cli, &top);
    }
    top_reading_deinit(&top.now);
    top_reading_deinit(&top.before);
    return exit_code;
}

static const struct flag top_flags[] = {
    {"metrics", "FILE", "the metrics file of a running app (weir run --metrics FILE)", false, 0},
    {"once", NULL, "one reading, with rates, then end", false, 0},
    {"interval", "MS", "how often to look [1000]", false, 0},
    {"app", "NAME", "only this app [all]", false, 0},
    {"partitions", NULL, "a line for each partition, not for each stage", false, 0},
    {"sort", "BY", "name, rate, lag, busy or state [name]", false, 0},
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_top = {
    .noun = "top",
    .arguments = "",
    .summary = "what apps are doing: rates, lag, watermarks, state, commit latency",
    .examples = "  weir run orders.sql --metrics weir.prom & weir top --metrics weir.prom\n"
                "  weir top --metrics weir.prom --once --format json | jq 'select(.kind == "
                "\"stage\")'\n"
                "  weir top --data weir-data --partitions --sort lag\n",
    .details =
        "A running app is looked at through the file that --metrics of 'weir run' (or "
        "weir_options.metrics) keeps. Without --metrics the\n"
        "pipelines of the server of the data directory are (or of --server); a directory that "
        "nobody holds is read once: positions, lag, watermarks, counts "
        "and "
        "stores as of the last commit, without\n"
        "rates. Keys: q ends, p shows partitions, s sorts by the next of name, rate, lag, busy, "
        "state.\n"
        "IN/S, OUT/S and BUSY (of one worker's time) are between the last two readings, LATE and "
        "DEAD since the app was started first,\n"
        "LAG is what the input holds behind the position, DELAY how far the watermark is behind "
        "the "
        "clock, GROUPS are in memory, STORED\n"
        "and STATE (bytes) in the store, BEHIND what the store has not taken in yet.\n",
    .flags = top_flags,
    .reach = REACHES_HTTP,
    .run = run_top,
};
