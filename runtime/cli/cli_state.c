/* cli_state.c: weir state list, get, scan: a look into the stores of jobs.
 *
 * A store is a view's table of groups, one LMDB environment a partition,
 * DIR/state/<app>/<store>-<partition>; APP/STORE names all its partitions. store_view.h turns pairs
 * into rows, from the description that the engine keeps beside the data. A store holds what its
 * last checkpoint saw; the changelog has the rest, and "behind" says how many records that are. The
 * log is opened too: that takes the lock, so no job changes the store meanwhile. Of a directory that is
 * served, its server is asked (served_state.h). */
#include "runtime/cli/nouns.h"
#include "runtime/cli/served_state.h"
#include "runtime/store_look.h"
#include "runtime/weir_handle.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- list ---- */
static const char *const list_headers[] = {"APP",    "STORE",     ">PARTITION", ">ENTRIES",
                                           ">BYTES", "CHANGELOG", ">POSITION",  ">BEHIND"};

struct listing {
    struct table table;
    bool json;
};

static void put_json(const struct store_name *name, const struct store_description *store)
{
    out_text("{\"app\":");
    out_json_text(name->app);
    out_text(",\"store\":");
    out_json_text(name->store);
    buf_printf(&out,
               ",\"partition\":%d,\"entries\":%llu,\"bytes\":%llu,\"changelog\":", name->partition,
               (unsigned long long)store->entries, (unsigned long long)store->bytes);
    if (store->changelog[0] != '\0')
        out_json_text(store->changelog);
    else
        out_text("null");
    buf_printf(&out, ",\"changelog_offset\":%lld,\"behind\":%lld}\n", (long long)store->position,
               (long long)store->behind);
}

static void put_store(void *context, const struct store_name *name,
                      const struct store_description *store)
{
    struct listing *listing = context;
    struct table *table = &listing->table;
    if (listing->json) {
        put_json(name, store);
        return;
    }
    table_cell(table, "%s", name->app);
    table_cell(table, "%s", name->store);
    table_cell(table, "%d", name->partition);
    table_cell(table, "%llu", (unsigned long long)store->entries);
    table_cell(table, "%llu", (unsigned long long)store->bytes);
    table_cell(table, "%s", store->changelog[0] != '\0' ? store->changelog : "-");
    table_cell(table, "%lld", (long long)store->position);
    table_cell(table, "%lld", (long long)store->behind);
}

static int list_store(weir_log *log, const struct store_name *name, struct listing *listing,
                      struct diag *diag)
{
    struct store_look *look;
    struct store_description store;
    TRY(store_look_open(log, name, &look, diag));
    int code = store_look_describe(log, look, &store, diag);
    store_look_close(log, look);
    TRY(code);
    put_store(listing, name, &store);
    return 0;
}

static int list_directory(struct cli *cli, struct listing *listing)
{
    weir_log *log;
    struct store_names names = {0};
    struct diag diag = {0};
    int exit_code = data_open_handle(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    int code = store_names_read(data_directory(cli), &names, &diag);
    /* One store that cannot be read does not hide the others. */
    for (size_t i = 0; code == 0 && i < names.count; i++) {
        struct diag store_diag = {0};
        int store_code = list_store(log, &names.items[i], listing, &store_diag);
        if (store_code < 0)
            exit_code = failed(store_code, &store_diag);
    }
    if (code < 0)
        exit_code = failed(code, &diag);
    store_names_free(&names);
    weir_log_close(log);
    return exit_code == EXIT_USAGE ? EXIT_FAILED : exit_code;
}

static int run_list(struct cli *cli)
{
    struct listing listing;
    struct http_client *client;
    struct reach reach;
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    interrupt_install();
    listing.json = format == FORMAT_JSON;
    table_init(&listing.table, list_headers, 8);
    int exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    bool is_reached = exit_code == 0;
    if (is_reached)
        exit_code = client != NULL ? served_state_list(client, put_store, &listing)
                                   : list_directory(cli, &listing);
    http_leave(&reach, client);
    table_print(&listing.table, is_reached && exit_code <= EXIT_FAILED && format == FORMAT_TEXT);
    return exit_code;
}

/* ---- get and scan ---- */
struct look {
    weir_log *log;
    struct store_names all;
    const struct store_name **chosen;
    size_t count;
    int64_t left;             /* rows still to print */
    struct store_look *store; /* the one that is scanned */
};

/* The partitions of APP/STORE, only one of them unless only is negative. */
static int choose_stores(struct look *look, const char *what, int64_t only, struct diag *diag)
{
    const char *slash = strchr(what, '/');
    look->chosen = calloc(look->all.count + 1, sizeof(struct store_name *));
    if (look->chosen == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for the names of stores");
    for (size_t i = 0; i < look->all.count; i++) {
        const struct store_name *name = &look->all.items[i];
        bool same = strlen(name->app) == (size_t)(slash - what) &&
                    strncmp(name->app, what, (size_t)(slash - what)) == 0 &&
                    strcmp(name->store, slash + 1) == 0;
        if (same && (only < 0 || name->partition == only))
            look->chosen[look->count++] = name;
    }
    if (look->count > 0)
        return 0;
    if (only >= 0)
        return diag_set(diag, ERR_NOT_FOUND, "there is no store %s with a partition %lld", what,
                        (long long)only);
    return diag_set(diag, ERR_NOT_FOUND, "there is no store %s", what);
}

/* Which store is meant. 0 or EXIT_USAGE after a message. */
static int parse_store(const struct cli *cli, struct served_store *store)
{
    const char *what = cli->arguments[0], *slash = strchr(what, '/');
    if (slash == NULL || slash == what || slash[1] == '\0' || strchr(slash + 1, '/') != NULL)
        return usage_error(cli, "a store is named APP/STORE, not '%s'", what);
    store->what = what;
    return flag_number(cli, "partition", 0, 9999, -1, &store->partition);
}

static int look_open(struct look *look, const struct cli *cli, const struct served_store *store)
{
    int exit_code = data_open_handle(cli, DATA_MUST_EXIST, &look->log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = store_names_read(data_directory(cli), &look->all, &diag);
    if (code == 0)
        code = choose_stores(look, store->what, store->partition, &diag);
    if (code == 0)
        return 0;
    exit_code = failed(code, &diag);
    if (code == ERR_NOT_FOUND)
        hint("'weir state list' shows the stores");
    return exit_code;
}

static void look_close(struct look *look)
{
    free(look->chosen);
    store_names_free(&look->all);
    if (look->log != NULL)
        weir_log_close(look->log);
}

static int print_pair(struct store_view *view, struct bytes key, struct bytes value,
                      struct diag *diag)
{
    TRY(store_view_json(view, key, value, &out, diag));
    buf_u8(&out, '\n');
    return 0;
}

/* 1 when it was there. */
static int get_from(weir_log *log, const struct store_name *name, const char *text,
                    struct diag *diag)
{
    struct store_look *store;
    TRY(store_look_open(log, name, &store, diag));
    struct arena arena;
    arena_init(&arena, 0);
    struct buf key = {0};
    struct bytes value;
    int code = store_view_key(store_look_view(store), text, &key, diag);
    if (code == 0)
        code = state_reader_get(store_look_reader(store), bytes_of(key.data, key.size), &arena,
                                &value, diag);
    if (code == 1) {
        int printed = print_pair(store_look_view(store), bytes_of(key.data, key.size), value, diag);
        code = printed < 0 ? printed : 1;
    }
    buf_deinit(&key);
    arena_deinit(&arena);
    store_look_close(log, store);
    return code;
}

static int get_in_directory(struct cli *cli, const struct served_store *store)
{
    struct look look = {0};
    struct diag diag = {0};
    int exit_code = look_open(&look, cli, store);
    int code = 0;
    for (size_t i = 0; exit_code == 0 && code == 0 && i < look.count; i++)
        code = get_from(look.log, look.chosen[i], cli->arguments[1], &diag);
    if (exit_code == 0 && code < 0)
        exit_code = failed(code, &diag);
    if (exit_code == 0 && code == 0) {
        message("%s has no entry %s", cli->arguments[0], cli->arguments[1]);
        exit_code = EXIT_FAILED;
    }
    look_close(&look);
    return exit_code;
}

static int run_get(struct cli *cli)
{
    struct served_store store;
    struct http_client *client;
    struct reach reach;
    int exit_code = parse_store(cli, &store);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL ? served_state_get(client, &store, cli->arguments[1])
                                   : get_in_directory(cli, &store);
    http_leave(&reach, client);
    return exit_code;
}

static int scan_pair(void *context, struct bytes key, struct bytes value)
{
    struct look *look = context;
    struct diag diag = {0};
    if (look->left == 0 || interrupted())
        return 1;
    if (!store_look_shows(look->store, value))
        return 0;
    int code = print_pair(store_look_view(look->store), key, value, &diag);
    if (code < 0)
        failed(code, &diag);
    TRY(code);
    look->left--;
    return out.size < (256 << 10) || out_flush() == 0 ? 0 : 1;
}

static int scan_directory(struct cli *cli, const struct served_store *store, int64_t max)
{
    struct look look = {.left = max};
    int exit_code = look_open(&look, cli, store);
    int code = 0;
    for (size_t i = 0; exit_code == 0 && code == 0 && i < look.count; i++) {
        struct diag diag = {0};
        code = store_look_open(look.log, look.chosen[i], &look.store, &diag);
        if (code == 0) {
            code = state_reader_scan(store_look_reader(look.store), bytes_of("", 0),
                                     bytes_of(NULL, 0), scan_pair, &look, &diag);
            store_look_close(look.log, look.store);
        }
        if (code < 0)
            exit_code = diag.text[0] != '\0' ? failed(code, &diag) : EXIT_FAILED;
    }
    look_close(&look);
    return exit_code == 0 && interrupted() ? EXIT_INTERRUPTED : exit_code;
}

static int run_scan(struct cli *cli)
{
    struct served_store store;
    struct http_client *client;
    struct reach reach;
    int64_t max;
    int exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &max);
    if (exit_code == 0)
        exit_code = parse_store(cli, &store);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL ? served_state_scan(client, &store, max)
                                   : scan_directory(cli, &store, max);
    http_leave(&reach, client);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag list_flags[] = {
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag get_flags[] = {
    {"partition", "N", "only this partition", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag scan_flags[] = {
    {"max", "N", "stop after N rows", false, 0},
    {"partition", "N", "only this partition", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_state_list = {
    .noun = "state",
    .verb = "list",
    .arguments = "",
    .summary = "the stores of jobs",
    .examples = "  weir state list\n",
    .details = "POSITION is the offset of the changelog that the store has reached, BEHIND how "
               "many records follow it there.\n",
    .flags = list_flags,
    .reach = REACHES_HTTP,
    .run = run_list,
};
const struct command command_state_get = {
    .noun = "state",
    .verb = "get",
    .arguments = "APP/STORE KEY",
    .min_arguments = 2,
    .max_arguments = 2,
    .summary = "one row of a store",
    .examples = "  weir state get plans/users-by-plan pro\n"
                "  weir state get user-counts/user-counts "
                "'{\"user\":\"21\",\"window_start\":\"2016-02-29T01:05:00.000Z\"}'\n",
    .details = "A key is spelt as the output topic's keys are: the text of a single text column, "
               "else a JSON object of the group\n"
               "columns, with window_start when there are windows.\n",
    .flags = get_flags,
    .reach = REACHES_HTTP,
    .run = run_get,
};
const struct command command_state_scan = {
    .noun = "state",
    .verb = "scan",
    .arguments = "APP/STORE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "the rows of a store",
    .examples = "  weir state scan revenue/hourly-revenue --max 10\n",
    .details = "A JSON object a line, partition after partition, in the order of the store's keys: "
               "by window, then by group. Of\nsteps that keep rows, a distinct or a join, what "
               "they keep.\n",
    .flags = scan_flags,
    .reach = REACHES_HTTP,
    .run = run_scan,
};
