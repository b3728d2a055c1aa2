/* cli_query.c: weir query: rows of a view.
 *
 * The question is asked of the state that lies in the data directory, as of the last commit; nothing runs and nothing is
 * written. Of a directory that is served, its server is asked (served_query.h). Rows go out as they come (row_printer.h). */
#include <stdlib.h>
#include <unistd.h>

#include "runtime/cli/nouns.h"
#include "runtime/cli/row_printer.h"
#include "runtime/cli/served_query.h"
#include "runtime/query.h"
#include "runtime/weir_view.h"

enum { OUT_BYTES = 256 << 10 };

struct asking {
    weir_log *log;
    struct query *query;
    struct shared_view *view;
    size_t memory_bytes;
};

/* ---- rows ---- */

static bool is_number(enum col_type type)
{
    return type == COL_BIGINT || type == COL_DOUBLE || type == COL_NUMERIC;
}

static int open_printer(struct row_printer *printer, const struct query *query, bool is_json)
{
    uint32_t count = query_column_count(query);
    const char **names = calloc(count + 1, sizeof *names);
    bool *numbers = calloc(count + 1, sizeof *numbers);
    int code = names == NULL || numbers == NULL ? ERR_NOMEM : 0;
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        names[i] = query_column_name(query, i);
        numbers[i] = is_number(query_column_type(query, i));
    }
    *printer = (struct row_printer){.is_json = is_json};
    if (code == 0)
        code = row_printer_open(printer, is_json, names, numbers, count);
    free(names);
    free(numbers);
    return code;
}

static int print_rows(struct asking *asking, bool is_json)
{
    struct diag diag = {0};
    struct row_printer printer;
    const struct batch *batch;
    int rc = open_printer(&printer, asking->query, is_json);
    if (rc == 0)
        rc = query_start(asking->query, &diag);
    while (rc == 0 && (rc = query_next(asking->query, &batch, &diag)) == 1 && !interrupted()) {
        for (uint32_t i = 0; i < batch->selected_count; i++)
            row_printer_columns(&printer, batch->columns, batch_row(batch, i));
        rc = out.size < OUT_BYTES ? 0 : out_flush();
    }
    row_printer_close(&printer);
    const char *reason;
    uint64_t left_out = query_left_out(asking->query, &reason);
    row_printer_left_out(left_out, reason);
    if (rc < 0 && rc != ERR_STOPPED) {
        failed(rc, &diag);
        return EXIT_FAILED;
    }
    return interrupted() ? EXIT_INTERRUPTED : EXIT_OK;
}

/* ---- the question ---- */

static int ask_failed(int code, const struct diag *diag)
{
    failed(code, diag);
    return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_NOT_FOUND ||
                   code == ERR_TOO_LARGE
               ? EXIT_USAGE
               : EXIT_FAILED;
}

/* A view that is only a stream of rows, or any topic, has no state to ask. */
static void hint_topic(const struct asking *asking)
{
    const char *name = query_view(asking->query);
    if (topic_describe(asking->log->log, name, NULL, NULL) == 0)
        hint("%s is a topic: 'weir consume %s' prints its records; a view with GROUP BY has state",
             name, name);
}

static int open_asking(struct cli *cli, struct asking *asking)
{
    struct diag diag = {0};
    int exit_code = data_open_handle(cli, DATA_MUST_EXIST, &asking->log);
    if (exit_code != 0)
        return exit_code;
    int code = shared_view_open(asking->log, query_view(asking->query), flag_text(cli, "app"),
                                asking->memory_bytes, &asking->view, &diag);
    if (code < 0) {
        exit_code = ask_failed(code, &diag);
        if (code == ERR_NOT_FOUND)
            hint_topic(asking);
        return exit_code;
    }
    code = query_bind(asking->query, shared_view_reader(asking->view), asking->memory_bytes, &diag);
    return code < 0 ? ask_failed(code, &diag) : 0;
}

static void close_asking(struct asking *asking)
{
    query_destroy(asking->query);
    if (asking->log == NULL)
        return;
    shared_view_close(asking->log, asking->view);
    weir_log_close(asking->log);
}

static int query_directory(struct cli *cli, struct asking *asking, bool is_json)
{
    struct diag diag = {0};
    int exit_code = open_asking(cli, asking);
    if (exit_code == 0 && flag_is_on(cli, "explain")) {
        int code = query_explain(asking->query, &out, &diag);
        exit_code = code < 0 ? failed(code, &diag) : EXIT_OK;
    } else if (exit_code == 0) {
        exit_code = print_rows(asking, is_json);
    }
    return exit_code;
}

static int ask(struct cli *cli, struct asking *asking, int64_t memory_mb, bool is_json)
{
    struct http_client *client;
    struct reach reach;
    int exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0 && client != NULL) {
        const struct served_query query = {.sql = cli->arguments[0],
                                           .view = query_view(asking->query),
                                           .app = flag_text(cli, "app"),
                                           .memory_mb =
                                               flag_text(cli, "memory") != NULL ? memory_mb : 0,
                                           .is_json = is_json,
                                           .explains = flag_is_on(cli, "explain")};
        exit_code = served_query(client, &query);
    } else if (exit_code == 0) {
        exit_code = query_directory(cli, asking, is_json);
    }
    http_leave(&reach, client);
    return exit_code;
}

static int run_query(struct cli *cli)
{
    struct asking asking = {.log = NULL};
    struct diag diag = {0};
    const char *sql = cli->arguments[0];
    int64_t memory_mb;
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    int exit_code = flag_number(cli, "memory", 1, 1 << 20, 256, &memory_mb);
    if (exit_code != 0)
        return exit_code;
    asking.memory_bytes = (size_t)memory_mb << 20;
    interrupt_install();
    int code = query_create(sql, strlen(sql), &asking.query, &diag);
    exit_code =
        code < 0 ? ask_failed(code, &diag) : ask(cli, &asking, memory_mb, format == FORMAT_JSON);
    close_asking(&asking);
    return exit_code;
}

static const struct flag query_flags[] = {
    {"app", "NAME", "whose view it is, when several apps have one of that name", false, 0},
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {"explain", NULL, "say what would be read, and read nothing", false, 0},
    {"memory", "MB",
     "for what a store is behind its changelog, and for each of ORDER BY, GROUP BY and the keys of "
     "closed windows [256]",
     false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_query = {
    .noun = "query",
    .arguments = "SQL",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "rows of a materialized view, as of its last commit",
    .examples =
        "  weir query \"SELECT * FROM hourly WHERE shop = 'harbour' ORDER BY window_start\"\n"
        "  weir query 'SELECT shop, sum(revenue) AS revenue FROM \"hourly-revenue\" GROUP BY "
        "shop'\n"
        "  weir query \"SELECT * FROM hourly WHERE window_open\"\n"
        "  weir query \"SELECT * FROM hourly WHERE shop = 'harbour'\" --explain\n",
    .details =
        "A view is named by its topic or as its CREATE MATERIALIZED VIEW calls it; a name with "
        "other "
        "characters\n"
        "than letters, digits and _ stands in double quotes. Columns are those of the topic's "
        "records, and\n"
        "window_open: true while rows may still come for the window. Conditions on the group and "
        "on "
        "window_start\n"
        "are looked up and not scanned for: --explain says so. Nothing is written. Of a directory "
        "that 'weir serve'\n"
        "holds the server answers while its jobs run, with 64 MB at most.\n",
    .flags = query_flags,
    .reach = REACHES_HTTP,
    .run = run_query,
};
