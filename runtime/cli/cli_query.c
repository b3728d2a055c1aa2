/* cli_query.c: weir query: rows of a view.
 *
 * The question is asked of the state that lies in the data directory, as of the last commit; nothing runs and nothing is
 * written. Rows go out as they come, one JSON object a line, or in a table for people, which is set anew every 1,000 rows as
 * its columns' widths must be known. */
#include <stdlib.h>
#include <unistd.h>

#include "operators/json_encode.h"
#include "operators/value_text.h"
#include "runtime/cli/nouns.h"
#include "runtime/query.h"
#include "runtime/weir_view.h"

enum { TABLE_ROWS = 1000, OUT_BYTES = 256 << 10 };

struct asking {
    weir_log *log;
    struct query *query;
    struct shared_view *view;
    size_t memory_bytes;
};

/* ---- rows ---- */

struct printer {
    struct query *query;
    bool is_json;
    struct json_names *names;
    const char **headers;
    char **owned; /* headers of numbers */
    struct table table;
    uint32_t table_rows;
    bool has_table;
    struct buf cell;
};

static bool is_number(enum col_type type)
{
    return type == COL_BIGINT || type == COL_DOUBLE || type == COL_NUMERIC;
}

static int printer_open(struct printer *printer, struct query *query, bool is_json)
{
    uint32_t count = query_column_count(query);
    *printer = (struct printer){.query = query, .is_json = is_json};
    printer->headers = calloc(count + 1, sizeof *printer->headers);
    printer->owned = calloc(count + 1, sizeof *printer->owned);
    if (printer->headers == NULL || printer->owned == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        printer->headers[i] = query_column_name(query, i);
        if (is_json || !is_number(query_column_type(query, i)))
            continue;
        struct buf header = {0};
        buf_printf(&header, ">%s", printer->headers[i]);
        buf_u8(&header, '\0');
        if (!buf_ok(&header))
            return ERR_NOMEM;
        printer->owned[i] = (char *)header.data;
        printer->headers[i] = printer->owned[i];
    }
    if (is_json)
        printer->names = json_names_create(printer->headers, count);
    return is_json && printer->names == NULL ? ERR_NOMEM : 0;
}

static void print_block(struct printer *printer)
{
    if (!printer->has_table)
        return;
    table_print(&printer->table, true);
    printer->has_table = false;
    printer->table_rows = 0;
}

static void printer_close(struct printer *printer)
{
    print_block(printer);
    for (uint32_t i = 0; printer->owned != NULL && i < query_column_count(printer->query); i++)
        free(printer->owned[i]);
    free(printer->owned);
    free(printer->headers);
    json_names_destroy(printer->names);
    buf_deinit(&printer->cell);
}

/* NULL as tables here show what is not there. */
static void add_cell(struct printer *printer, const struct column *column, uint32_t row)
{
    buf_clear(&printer->cell);
    if (column_is_null(column, row))
        buf_u8(&printer->cell, '-');
    else
        value_text(&printer->cell, column, row);
    size_t size = printer->cell.size;
    if (buf_ok(&printer->cell))
        table_cell(&printer->table, "%.*s", (int)size,
                   size > 0 ? (const char *)printer->cell.data : "");
    else
        printer->table.failed = true;
}

static void print_row(struct printer *printer, const struct batch *batch, uint32_t row)
{
    uint32_t count = query_column_count(printer->query);
    if (printer->is_json) {
        json_encode_row(&out, printer->names, batch->columns, row, false);
        buf_u8(&out, '\n');
        return;
    }
    if (!printer->has_table)
        table_init(&printer->table, printer->headers, (int)count);
    printer->has_table = true;
    for (uint32_t i = 0; i < count; i++)
        add_cell(printer, &batch->columns[i], row);
    if (++printer->table_rows == TABLE_ROWS)
        print_block(printer);
}

static int print_rows(struct asking *asking, bool is_json)
{
    struct diag diag = {0};
    struct printer printer;
    const struct batch *batch;
    int rc = printer_open(&printer, asking->query, is_json);
    if (rc == 0)
        rc = query_start(asking->query, &diag);
    while (rc == 0 && (rc = query_next(asking->query, &batch, &diag)) == 1 && !interrupted()) {
        for (uint32_t i = 0; i < batch->selected_count; i++)
            print_row(&printer, batch, batch_row(batch, i));
        rc = out.size < OUT_BYTES ? 0 : out_flush();
    }
    printer_close(&printer);
    const char *reason;
    uint64_t left_out = query_left_out(asking->query, &reason);
    if (left_out > 0)
        message("%llu row%s of the view cannot be expressed and %s left out: %s",
                (unsigned long long)left_out, left_out == 1 ? "" : "s",
                left_out == 1 ? "is" : "are", reason);
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
    const char *sql = cli->arguments[0];
    int code = query_create(sql, strlen(sql), &asking->query, &diag);
    if (code < 0)
        return ask_failed(code, &diag);
    int exit_code = data_open_handle(cli, DATA_MUST_EXIST, &asking->log);
    if (exit_code != 0)
        return exit_code;
    code = shared_view_open(asking->log, query_view(asking->query), flag_text(cli, "app"),
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

static int run_query(struct cli *cli)
{
    struct asking asking = {.log = NULL};
    struct diag diag = {0};
    int64_t memory_mb;
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    int exit_code = flag_number(cli, "memory", 1, 1 << 20, 256, &memory_mb);
    if (exit_code == 0)
        exit_code = data_check(cli, DATA_MUST_EXIST);
    if (exit_code != 0)
        return exit_code;
    asking.memory_bytes = (size_t)memory_mb << 20;
    interrupt_install();
    exit_code = open_asking(cli, &asking);
    if (exit_code == 0 && flag_is_on(cli, "explain")) {
        int code = query_explain(asking.query, &out, &diag);
        exit_code = code < 0 ? failed(code, &diag) : EXIT_OK;
    } else if (exit_code == 0) {
        exit_code = print_rows(&asking, format == FORMAT_JSON);
    }
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
        "are looked up and not scanned for: --explain says so. Nothing is written; no job may run "
        "on "
        "the\n"
        "directory meanwhile.\n",
    .flags = query_flags,
    .run = run_query,
};
