/* cli_data.c: the data directory that a command works on. One process holds it at a time
 * (DIR/LOCK), so a command opens it, works and closes it. Commands that only read do not create
 * one: a mistyped path must not look like an empty log. */
#include "runtime/cli/cli.h"

#include "runtime/weir_handle.h"

#include <errno.h>
#include <sys/stat.h>

const char *data_directory(const struct cli *cli)
{
    const char *dir = flag_text(cli, "data");
    return dir != NULL ? dir : "weir-data";
}

int data_check(const struct cli *cli, enum data_need need)
{
    if (flag_text(cli, "bootstrap") != NULL && cli->command->reach != REACHES_KAFKA &&
        (flag_is_typed(cli, "bootstrap") || !flag_is_typed(cli, "data"))) {
        if (cli->command->reach == REACHES_HTTP) {
            message("this command asks a server over HTTP: it does not take -b");
            hint("use --server HOST:PORT, or --data DIR, instead of -b (or unset WEIR_BOOTSTRAP)");
            return EXIT_USAGE;
        }
        message("this command works on the files of a data directory: it does not take -b");
        hint("use --data DIR instead of -b (or unset WEIR_BOOTSTRAP)");
        return EXIT_USAGE;
    }
    const char *dir = data_directory(cli);
    if (dir[0] == '\0')
        return usage_error(cli, "--data is empty");
    struct stat status;
    if (stat(dir, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return 0;
        message("%s is not a directory", dir);
        return EXIT_FAILED;
    }
    if (errno != ENOENT) {
        message("cannot read the data directory %s: %s", dir, strerror(errno));
        return EXIT_FAILED;
    }
    if (need == DATA_MAY_CREATE)
        return 0;
    message("there is no data directory %s", dir);
    hint("name it with --data DIR or WEIR_DATA; 'weir produce TOPIC' and 'weir topic create NAME' "
         "make a new one");
    return EXIT_FAILED;
}

/* What asks and administers does only what it says; retention and compaction in the background are for who writes. */
static struct log_options options_for(enum data_need need)
{
    bool must_exist = need == DATA_MUST_EXIST;
    return (struct log_options){.must_exist = must_exist,
                                .keeper_interval_ms = must_exist ? -1 : 0};
}

int data_open(const struct cli *cli, enum data_need need, struct log **log)
{
    int exit_code = data_check(cli, need);
    if (exit_code != 0)
        return exit_code;
    struct log_options options = options_for(need);
    struct diag diag = {0};
    int code = log_open(data_directory(cli), &options, log, &diag);
    if (code == 0)
        return 0;
    exit_code = failed(code, &diag);
    if (code == ERR_BUSY)
        hint("a directory is used by one process at a time: stop that one first");
    if (code == ERR_NOT_FOUND || code == ERR_INVALID)
        hint("name the directory with --data DIR or WEIR_DATA");
    if (code == ERR_CORRUPT)
        hint("the whole log depends on it: put the directory back from a copy");
    return exit_code;
}

int data_open_handle(const struct cli *cli, enum data_need need, struct weir_log **log)
{
    int exit_code = data_check(cli, need);
    if (exit_code != 0)
        return exit_code;
    struct log_options options = options_for(need);
    int code = handle_open(data_directory(cli), &options, log);
    if (code == 0)
        return 0;
    message("%s", weir_log_error());
    if (code == ERR_BUSY)
        hint("a directory is used by one process at a time: stop the app first");
    return EXIT_FAILED;
}
