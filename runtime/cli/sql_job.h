/* sql_job.h: what weir check, explain and run share: the SQL files that they are given, the job's name, and what has become of its
 * views since they last ran. */
#ifndef WEIR_CLI_SQL_JOB_H
#define WEIR_CLI_SQL_JOB_H

#include "runtime/cli/cli.h"
#include "runtime/sql/sql.h"

/* The program of the command's arguments. 0, or an exit code after messages; then *program may be set all the same. */
int sql_job_load(struct cli *cli, struct sql_program **program);
uint32_t sql_job_pipelines(const struct sql_program *program);
/* --app, or the first file's name: shop.sql → shop; what is not allowed in a name becomes '-'. */
enum { SQL_JOB_NAME_BYTES = 101 };
void sql_job_name(const struct cli *cli, char name[SQL_JOB_NAME_BYTES]);
/* Says what is wrong with the program as a whole, before the app's sentence: the file, when there is one only. */
void sql_job_message(const struct cli *cli, const char *text);

/* Whether all that must be rebuilt is named by --rebuild (a view, its topic, or all), or reads what is. EXIT_USAGE after messages, with what to do. *rebuilds: something
 * must be. */
int sql_job_admit(const struct cli *cli, const struct sql_program *program, const weir_view_plan *views, size_t count, bool *rebuilds);
/* "unchanged", …: how a weir_change is spelled. */
const char *sql_job_change(weir_change change);
#endif
