/* cli_verify.c: weir verify VIEW: is what the engine has left what the records say?
 *
 * The work is runtime/verify's; this file opens the directory, prints the first differences and the
 * totals. Nothing is written. The log is opened as for any command: what a crash left undecided is
 * brought to its end first, so that the view is checked as of its last commit. The server of a directory that is
 * served does the same work, with the job held meanwhile, and what it answers is printed here. */
#include "runtime/base/clock.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/served_verify.h"
#include "runtime/port.h"
#include "runtime/records/difference_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { DIFFERENCES_SHOWN = 10, MEMORY_MAX_MIB = 1 << 24 };

struct shown {
    bool json;
    int64_t left;
};

/* What others wrote must neither break lines nor speak to the terminal. */
static void put_visible(const char *name, struct bytes bytes)
{
    struct buf text;
    if (bytes.data == NULL)
        return;
    buf_init(&text, 0);
    buf_append_bytes(&text, bytes);
    buf_u8(&text, '\0');
    buf_printf(&out, "  %-9s", name);
    if (buf_ok(&text))
        buf_visible(&out, (const char *)text.data, "");
    buf_u8(&out, '\n');
    buf_deinit(&text);
}

static void put_text(const struct verify_difference *difference)
{
    buf_printf(&out, "%s in the %s, ", difference->kind, difference->where);
    buf_visible(&out, difference->topic, "");
    buf_printf(&out, "-%d", (int)difference->partition);
    if (difference->offset >= 0)
        buf_printf(&out, " at offset %" PRId64, difference->offset);
    buf_printf(&out, ": %s\n", difference->text);
    put_visible("key", difference->key);
    put_visible("expected", difference->expected);
    put_visible("found", difference->found);
}

static void put_difference(void *context, const struct verify_difference *difference)
{
    struct shown *shown = context;
    if (shown->left == 0)
        return;
    shown->left--;
    if (shown->json) {
        difference_json_put(&out, difference);
        buf_u8(&out, '\n');
    } else {
        put_text(difference);
    }
    (void)out_flush();
}

/* ---- totals ---- */

static void put_json_totals(const char *app, const char *view, const struct verify_outcome *r,
                            double seconds)
{
    out_text("{\"totals\":{\"app\":");
    out_json_text(app);
    out_text(",\"view\":");
    out_json_text(view);
    buf_printf(&out,
               ",\"rows_read\":%" PRId64 ",\"rows_made\":%" PRId64 ",\"applied\":%" PRId64
               ",\"filtered\":%" PRId64 ",\"late\":%" PRId64 ",\"duplicate\":%" PRId64
               ",\"unmatched\":%" PRId64 ",\"dead\":%" PRId64 ",\"undecided\":%" PRId64,
               r->rows_read, r->made, r->applied, r->filtered, r->late, r->duplicate, r->unmatched,
               r->dead, r->undecided);
    if (!r->is_rows)
        buf_printf(&out,
                   ",\"results\":%" PRId64 ",\"closed\":%" PRId64 ",\"open\":%" PRId64
                   ",\"waiting\":%" PRId64 ",\"inexpressible\":%" PRId64 ",\"states\":%" PRId64,
                   r->groups, r->closed, r->open, r->waiting, r->inexpressible, r->states);
    if (r->is_of_tables)
        buf_printf(&out, ",\"waiting\":%" PRId64 ",\"states\":%" PRId64, r->waiting, r->states);
    buf_printf(&out,
               ",\"records\":%" PRId64 ",\"compared\":%" PRId64 ",\"differences\":%" PRId64
               ",\"seconds\":%.3f}}\n",
               r->records, r->compared, r->differences, seconds);
}

static void put_text_totals(const char *view, const struct verify_outcome *r)
{
    buf_printf(&out,
               "rows: %" PRId64 " read, %" PRId64 " applied, %" PRId64 " filtered, %" PRId64
               " late, %" PRId64 " dead",
               r->rows_read, r->applied, r->filtered, r->late, r->dead);
    if (r->duplicate > 0)
        buf_printf(&out, ", %" PRId64 " duplicate", r->duplicate);
    if (r->unmatched > 0)
        buf_printf(&out, ", %" PRId64 " without a match", r->unmatched);
    out_text("\n");
    if (r->undecided > 0)
        buf_printf(&out,
                   "undecided: %" PRId64 " rows that repeat others of other partitions; each of "
                   "them may have been the first\n",
                   r->undecided);
    if (!r->is_rows) {
        buf_printf(&out, "results: %" PRId64, r->groups);
        if (r->is_windowed)
            buf_printf(&out, ", %" PRId64 " of closed windows, %" PRId64 " of open ones", r->closed,
                       r->open);
        if (r->waiting > 0)
            buf_printf(&out, ", %" PRId64 " with rows that are not merged yet", r->waiting);
        if (r->inexpressible > 0)
            buf_printf(&out, ", %" PRId64 " without a value", r->inexpressible);
        out_text("\n");
    }
    if (r->is_of_tables && r->waiting > 0)
        buf_printf(&out, "waiting: %" PRId64 " changes that are not joined yet\n", r->waiting);
    buf_printf(&out, "compared: %" PRId64 " with %" PRId64 " records of the output topic",
               r->compared, r->records);
    if (!r->is_rows || r->is_of_tables)
        buf_printf(&out, ", %" PRId64 " with the store", r->states);
    out_text("\n");
    if (r->differences == 0)
        buf_printf(&out, "%s: identical\n", view);
    else
        buf_printf(&out, "%s: %" PRId64 " difference%s\n", view, r->differences,
                   r->differences == 1 ? "" : "s");
}

/* ---- the command ---- */

static int open_port(const struct cli *cli, struct port **port)
{
    struct port_log_options options = {.keeper_interval_ms = -1, .must_exist = true};
    struct diag diag = {0};
    int code = port_log_open(data_directory(cli), &options, port, &diag);
    if (code == 0)
        return 0;
    int exit_code = failed(code, &diag);
    if (code == ERR_BUSY)
        hint("a directory is used by one process at a time: stop that one first");
    return exit_code;
}

static int find_app(const struct cli *cli, struct served_verify *asked)
{
    struct diag diag = {0};
    if (asked->app != NULL) {
        snprintf(asked->found_app, sizeof asked->found_app, "%s", asked->app);
        return 0;
    }
    int code = verify_find_app(data_directory(cli), asked->view, asked->found_app, &diag);
    return code < 0 ? failed(code, &diag) : 0;
}

static bool is_stopped(void *unused)
{
    (void)unused;
    return interrupted();
}

static int compare(const struct cli *cli, struct served_verify *asked, struct port *port)
{
    struct diag diag = {0};
    int found =
        verify_find_topic(data_directory(cli), asked->found_app, asked->view, asked->topic, &diag);
    if (found < 0)
        return failed(found, &diag);
    struct verify_options options = {.data = data_directory(cli),
                                     .app = asked->found_app,
                                     .view = asked->topic,
                                     .memory_bytes = asked->memory_mib << 20,
                                     .each = asked->each,
                                     .context = asked->context,
                                     .is_stopped = is_stopped};
    int code = verify_view(&options, port, &asked->outcome, &diag);
    if (code == ERR_STOPPED && interrupted())
        return EXIT_INTERRUPTED;
    int exit_code = code < 0 ? failed(code, &diag) : 0;
    if (code == ERR_TOO_LARGE)
        hint("give it more with --memory MIB");
    return exit_code;
}

static int verify_directory(const struct cli *cli, struct served_verify *asked)
{
    struct port *port;
    int64_t begin_ns = clock_mono_ns();
    int exit_code = open_port(cli, &port);
    if (exit_code != 0)
        return exit_code;
    exit_code = find_app(cli, asked);
    if (exit_code == 0)
        exit_code = compare(cli, asked, port);
    asked->seconds = (double)(clock_mono_ns() - begin_ns) / 1e9;
    port->ops->close(port);
    return exit_code;
}

static int run_verify(struct cli *cli)
{
    struct shown shown = {0};
    struct served_verify asked = {.app = flag_text(cli, "app"),
                                  .view = cli->arguments[0],
                                  .each = put_difference,
                                  .context = &shown};
    struct http_client *client;
    struct reach reach;
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    shown.json = format == FORMAT_JSON;
    int exit_code = flag_number(cli, "max", 0, INT64_MAX, DIFFERENCES_SHOWN, &shown.left);
    if (exit_code == 0)
        exit_code = flag_number(cli, "memory", 1, MEMORY_MAX_MIB, VERIFY_MEMORY_BYTES >> 20,
                                &asked.memory_mib);
    if (exit_code != 0)
        return exit_code;
    asked.max = shown.left;
    interrupt_install();
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL ? served_verify(client, &asked) : verify_directory(cli, &asked);
    http_leave(&reach, client);
    if (exit_code != 0)
        return exit_code;
    if (shown.json)
        put_json_totals(asked.found_app, asked.topic, &asked.outcome, asked.seconds);
    else
        put_text_totals(asked.topic, &asked.outcome);
    return asked.outcome.differences > 0 ? EXIT_FOUND : EXIT_OK;
}

/* ---- the table ---- */
static const struct flag verify_flags[] = {
    {"app", "NAME", "the app that the view belongs to [the only one that has it]", false, 0},
    {"max", "N", "show at most so many differences [10]; all are counted", false, 0},
    {"memory", "MIB", "what the results may take [1024]; a view that needs more is refused", false,
     0},
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_verify = {
    .noun = "verify",
    .arguments = "VIEW",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "recompute a view from its source topics and compare",
    .examples = "  weir verify hourly-revenue\n"
                "  weir verify hourly-revenue --app shops --max 100\n",
    .details =
        "The records that the view has read, up to its last commit, are evaluated again by other "
        "and simpler code, and what comes of them\nis compared with the output topic, the store, "
        "and the accounts of rows. A difference is a wrong value, a key that no row\nyields, a "
        "second final result, a record in a wrong partition, a row that is missing. Of windows "
        "that are still open the\nresults as of the commit are compared, where the view emits "
        "changes. Exit code 4 when there are differences. Nothing is\nchanged; results are kept in "
        "memory, about 600 bytes each (--memory).\n",
    .flags = verify_flags,
    .reach = REACHES_HTTP,
    .run = run_verify,
};
