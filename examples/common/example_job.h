/* example_job.h: what the examples that are jobs share: the command line, signals, and the line of figures at the
 * end.
 *
 *     struct job job = job_begin(argc, argv, &about);      reads the options; --help and mistakes
 * end the program weir_app *app = weir_app_open("revenue", &job.options); … the topology return
 * job_run(&job, app);                           runs, reports, closes; the exit code
 *
 * Exit codes: 0 the job reached its end, 1 it failed, 2 the command line is wrong, 130 it was
 * stopped by SIGINT or SIGTERM, after a last commit. */
#ifndef EXAMPLES_EXAMPLE_JOB_H
#define EXAMPLES_EXAMPLE_JOB_H

#include <weir.h>

struct job_about {
    const char *name;          /* of the program */
    const char *summary;       /* one line for --help */
    const char *const *stages; /* names that --stage takes, NULL at the end; NULL: the job has one
                                  stage and no such option */
};

struct job {
    const struct job_about *about;
    weir_options options;
    const char *stage; /* as given by --stage, or NULL for all */
};

struct job job_begin(int argc, char **argv, const struct job_about *about);

/* True when this run includes the stage. */
bool job_has_stage(const struct job *job, const char *stage);

/* Runs the app until its end, an error, SIGINT or SIGTERM, prints the figures on stderr and closes
 * it. */
int job_run(const struct job *job, weir_app *app);

#endif
