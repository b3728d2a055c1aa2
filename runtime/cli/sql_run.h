/* sql_run.h: what weir run and weir serve share: a job of SQL files, from the flags to an app that may run, and to what is said of it. */
#ifndef WEIR_CLI_SQL_RUN_H
#define WEIR_CLI_SQL_RUN_H

#include "runtime/cli/copy_files.h"

/* The flags of both, in the table of each. */
#define SQL_RUN_FLAGS                                                                              \
    {"app", "NAME",                                                                                \
     "names the positions, the state and the internal topics [the first file's name]", false, 0},  \
        {"threads", "N", "workers [1]", false, 0},                                                 \
        {"metrics", "FILE", "keep OpenMetrics text in FILE", false, 0},                            \
        {"commit-interval", "MS", "from one commit to the next [100]", false, 0},                  \
        {"memory", "MB", "budget of the process for state and buffers [256]", false, 0},           \
        {"rebuild", "VIEW",                                                                        \
         "build it anew when its statement now means something else, which is an error without "   \
         "this; all: each that must be",                                                           \
         true, 0},                                                                                 \
        COPY_FILES_FLAGS,                                                                          \
        {"from-beginning", NULL, "forget this app's positions and state, and replay", false, 0}
/* What they say. 0 or EXIT_USAGE after a message. */
int sql_run_options(const struct cli *cli, weir_options *options);
/* sql_job_load of files that have something to run: pipelines, copies, or plans to tell. */
int sql_run_load(struct cli *cli, struct sql_program **program);
/* The app of a program, with what the expression compiler and the planner say of the whole. NULL after a message. */
weir_app *sql_run_app(const struct cli *cli, const struct sql_program *program, const weir_options *options);
/* The same, and compares the job with what it was when it last ran: what --rebuild names will be rebuilt. 0, or an exit code after messages. */
int sql_run_open(const struct cli *cli, const struct sql_program *program, weir_options *options, weir_app **app);
/* The exit code of weir_app_run's. */
int sql_run_exit(int code);
/* The JSON line at the end, on stderr. */
void sql_run_summary(weir_app *app);

#endif
