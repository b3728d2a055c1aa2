/* cli_state.c: weir state list, get, scan: a look into the stores of jobs.
 *
 * A store is a view's table of groups, one LMDB environment a partition,
 * DIR/state/<app>/<store>-<partition>; APP/STORE names all its partitions. store_view.h turns pairs
 * into rows, from the description that the engine keeps beside the data. A store holds what its
 * last checkpoint saw; the changelog has the rest, and "behind" says how many records that are. The
 * log is opened too: that takes the lock, so no job changes the store meanwhile. */
#include "runtime/cli/nouns.h"
#include "runtime/state/state.h"
#include "runtime/store_view.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct store_name {
    char *app, *store;
    int32_t partition;
    char *path;
};
struct store_names {
    struct store_name *items;
    size_t count, capacity;
};

/* ---- finding stores ---- */
static void names_free(struct store_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].app);
        free(names->items[i].store);
        free(names->items[i].path);
    }
    free(names->items);
}

static int names_add(struct store_names *names, const char *app, const char *store,
                     int32_t partition, const char *path)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        struct store_name *items = realloc(names->items, capacity * sizeof *items);
        if (items == NULL)
            return ERR_NOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    struct store_name *name = &names->items[names->count++];
    *name = (struct store_name){strdup(app), strdup(store), partition, strdup(path)};
    return name->app != NULL && name->store != NULL && name->path != NULL ? 0 : ERR_NOMEM;
}

/* "<store>-<partition>" cut at its last dash. */
static bool split_partition(char *name, int32_t *partition)
{
    char *dash = strrchr(name, '-');
    int64_t number;
    if (dash == NULL || !isdigit((unsigned char)dash[1]) || parse_integer(dash + 1, &number) < 0 ||
        number > INT32_MAX)
        return false;
    *dash = '\0';
    *partition = (int32_t)number;
    return true;
}

static int read_app(struct store_names *names, const char *state_dir, const char *app,
                    struct diag *diag)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", state_dir, app);
    if (length >= (int)sizeof path)
        return diag_set(diag, ERR_INVALID, "the path of the data directory is too long");
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOTDIR ? 0 : diag_errno(diag, "cannot read %s", path);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(dir)) != NULL;) {
        char name[NAME_MAX + 1], full[PATH_MAX];
        int32_t partition;
        snprintf(name, sizeof name, "%s", entry->d_name);
        int size = snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && size < (int)sizeof full && split_partition(name, &partition))
            code = names_add(names, app, name, partition, full);
    }
    closedir(dir);
    return code < 0 ? diag_set(diag, code, "no memory for the names of stores") : 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct store_name *x = a, *y = b;
    int order = strcmp(x->app, y->app);
    if (order == 0)
        order = strcmp(x->store, y->store);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* Every store of the directory, sorted; none when no job ever ran. */
static int read_names(const char *data_dir, struct store_names *names, struct diag *diag)
{
    char state_dir[PATH_MAX];
    int length = snprintf(state_dir, sizeof state_dir, "%s/state", data_dir);
    if (length >= (int)sizeof state_dir)
        return diag_set(diag, ERR_INVALID, "the path of the data directory is too long");
    DIR *dir = opendir(state_dir);
    if (dir == NULL)
        return errno == ENOENT ? 0 : diag_errno(diag, "cannot read %s", state_dir);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            code = read_app(names, state_dir, entry->d_name, diag);
    closedir(dir);
    if (names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    return code;
}

/* ---- an open store ---- */
struct store {
    const struct store_name *name;
    struct store_view *view;
    struct state *state;
};

static int store_open(const struct store_name *name, struct store *store, struct diag *diag)
{
    *store = (struct store){.name = name};
    struct state_options options = {.must_exist = true, .read_only = true};
    TRY(store_view_open_any(name->path, &store->view, diag));
    int code =
        state_open(name->path, store_view_state_hash(store->view), &options, &store->state, diag);
    if (code == ERR_STATE)
        code = state_open(name->path, store_view_plan_hash(store->view), &options, &store->state,
                          diag);
    if (code < 0)
        store_view_close(store->view);
    return code;
}

static void store_close(struct store *store)
{
    state_close(store->state);
    store_view_close(store->view);
}

/* ---- list ---- */
static const char *const list_headers[] = {"APP",    "STORE",     ">PARTITION", ">ENTRIES",
                                           ">BYTES", "CHANGELOG", ">POSITION",  ">BEHIND"};

struct changelog {
    char topic[250]; /* "" when it is gone or none was followed yet */
    int64_t behind;
};

static int find_changelog(struct log *log, const struct state_position *position, int32_t partition,
                          struct changelog *changelog, struct diag *diag)
{
    *changelog = (struct changelog){.topic = ""};
    struct topic_info *topics = NULL;
    size_t count = 0;
    TRY(topic_list(log, &topics, &count));
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        if (memcmp(topics[i].id.bytes, position->topic_id, sizeof position->topic_id) != 0)
            continue;
        memcpy(changelog->topic, topics[i].name, sizeof changelog->topic);
        struct partition *handle;
        struct partition_offsets offsets;
        code = partition_get(log, topics[i].name, partition, &handle, diag);
        if (code == 0) {
            partition_offsets(handle, &offsets);
            changelog->behind =
                offsets.stable > position->offset ? offsets.stable - position->offset : 0;
        }
    }
    free(topics);
    return code;
}

static int list_store(struct log *log, const struct store_name *name, struct table *table,
                      bool json, struct diag *diag)
{
    struct store store;
    TRY(store_open(name, &store, diag));
    struct state_statistics statistics;
    struct state_position position;
    struct changelog changelog = {.behind = 0};
    state_position(store.state, &position);
    int code = state_stat(store.state, &statistics, diag);
    if (code == 0)
        code = find_changelog(log, &position, name->partition, &changelog, diag);
    store_close(&store);
    TRY(code);
    if (json) {
        out_text("{\"app\":");
        out_json_text(name->app);
        out_text(",\"store\":");
        out_json_text(name->store);
        buf_printf(&out, ",\"partition\":%d,\"entries\":%llu,\"bytes\":%llu,\"changelog\":",
                   name->partition, (unsigned long long)statistics.entries,
                   (unsigned long long)statistics.used_bytes);
        if (changelog.topic[0] != '\0')
            out_json_text(changelog.topic);
        else
            out_text("null");
        buf_printf(&out, ",\"changelog_offset\":%lld,\"behind\":%lld}\n",
                   (long long)position.offset, (long long)changelog.behind);
        return 0;
    }
    table_cell(table, "%s", name->app);
    table_cell(table, "%s", name->store);
    table_cell(table, "%d", name->partition);
    table_cell(table, "%llu", (unsigned long long)statistics.entries);
    table_cell(table, "%llu", (unsigned long long)statistics.used_bytes);
    table_cell(table, "%s", changelog.topic[0] != '\0' ? changelog.topic : "-");
    table_cell(table, "%lld", (long long)position.offset);
    table_cell(table, "%lld", (long long)changelog.behind);
    return 0;
}

static int run_list(struct cli *cli)
{
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    struct store_names names = {0};
    struct table table;
    table_init(&table, list_headers, 8);
    struct diag diag = {0};
    int code = read_names(data_directory(cli), &names, &diag);
    /* One store that cannot be read does not hide the others. */
    for (size_t i = 0; code == 0 && i < names.count; i++) {
        struct diag store_diag = {0};
        int store_code =
            list_store(log, &names.items[i], &table, format == FORMAT_JSON, &store_diag);
        if (store_code < 0)
            exit_code = failed(store_code, &store_diag);
    }
    table_print(&table, format == FORMAT_TEXT);
    if (code < 0)
        exit_code = failed(code, &diag);
    names_free(&names);
    log_close(log);
    return exit_code == EXIT_USAGE ? EXIT_FAILED : exit_code;
}

/* ---- get and scan ---- */
struct look {
    struct log *log;
    struct store_names all;
    const struct store_name **chosen;
    size_t count;
    int64_t left;       /* rows still to print */
    struct store store; /* the one that is scanned */
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

static int look_open(struct look *look, const struct cli *cli)
{
    const char *what = cli->arguments[0], *slash = strchr(what, '/');
    if (slash == NULL || slash == what || slash[1] == '\0' || strchr(slash + 1, '/') != NULL)
        return usage_error(cli, "a store is named APP/STORE, not '%s'", what);
    int64_t only;
    int exit_code = flag_number(cli, "partition", 0, 9999, -1, &only);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &look->log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = read_names(data_directory(cli), &look->all, &diag);
    if (code == 0)
        code = choose_stores(look, what, only, &diag);
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
    names_free(&look->all);
    if (look->log != NULL)
        log_close(look->log);
}

static int print_pair(struct store_view *view, struct bytes key, struct bytes value,
                      struct diag *diag)
{
    TRY(store_view_json(view, key, value, &out, diag));
    buf_u8(&out, '\n');
    return 0;
}

/* 1 when it was there. */
static int get_from(const struct store_name *name, const char *text, struct diag *diag)
{
    struct store store;
    TRY(store_open(name, &store, diag));
    struct arena arena;
    arena_init(&arena, 0);
    struct buf key = {0};
    struct bytes value;
    int code = store_view_key(store.view, text, &key, diag);
    if (code == 0)
        code = state_get(store.state, bytes_of(key.data, key.size), &arena, &value, diag);
    if (code == 1) {
        int printed = print_pair(store.view, bytes_of(key.data, key.size), value, diag);
        code = printed < 0 ? printed : 1;
    }
    buf_deinit(&key);
    arena_deinit(&arena);
    store_close(&store);
    return code;
}

static int run_get(struct cli *cli)
{
    struct look look = {0};
    int exit_code = look_open(&look, cli);
    int code = 0;
    struct diag diag = {0};
    for (size_t i = 0; exit_code == 0 && code == 0 && i < look.count; i++)
        code = get_from(look.chosen[i], cli->arguments[1], &diag);
    if (exit_code == 0 && code < 0)
        exit_code = failed(code, &diag);
    if (exit_code == 0 && code == 0) {
        message("%s has no entry %s", cli->arguments[0], cli->arguments[1]);
        exit_code = EXIT_FAILED;
    }
    look_close(&look);
    return exit_code;
}

static int scan_pair(void *context, struct bytes key, struct bytes value)
{
    struct look *look = context;
    struct diag diag = {0};
    if (look->left == 0 || interrupted())
        return 1;
    if (!store_view_has_rows(look->store.view) && !store_view_is_row(value))
        return 0;
    int code = print_pair(look->store.view, key, value, &diag);
    if (code < 0)
        failed(code, &diag);
    TRY(code);
    look->left--;
    return out.size < (256 << 10) || out_flush() == 0 ? 0 : 1;
}

static int run_scan(struct cli *cli)
{
    struct look look = {0};
    int exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &look.left);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    exit_code = look_open(&look, cli);
    int code = 0;
    for (size_t i = 0; exit_code == 0 && code == 0 && i < look.count; i++) {
        struct diag diag = {0};
        code = store_open(look.chosen[i], &look.store, &diag);
        if (code == 0) {
            code = state_scan(look.store.state, bytes_of("", 0), bytes_of(NULL, 0), scan_pair,
                              &look, &diag);
            store_close(&look.store);
        }
        if (code < 0)
            exit_code = diag.text[0] != '\0' ? failed(code, &diag) : EXIT_FAILED;
    }
    look_close(&look);
    return exit_code == 0 && interrupted() ? EXIT_INTERRUPTED : exit_code;
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
               "by window, then by group. Of\nsteps that keep rows, a distinct or a join, what they keep.\n",
    .flags = scan_flags,
    .run = run_scan,
};
