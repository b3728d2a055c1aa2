/* copy_files.h: the COPY statements of SQL files, on their way to runtime/copy: what check, run and serve do with them. */
#ifndef WEIR_CLI_COPY_FILES_H
#define WEIR_CLI_COPY_FILES_H

#include "runtime/cli/sql_job.h"
#include "runtime/copy/copy.h"

/* The flag of those who copy. */
#define COPY_FILES_FLAGS                                                                           \
    {"changed-copy", "WHAT",                                                                       \
     "when the file of a COPY is another one than was copied: keep what was copied, or copy all "  \
     "of it again [an error]",                                                                     \
     false, 0}

uint32_t copy_files_count(const struct sql_program *program);
/* That each COPY can be planned and its file be read, where no directory is looked at. 0 or EXIT_USAGE after messages. */
int copy_files_check(const struct sql_program *program);
/* What is to be done, done as far as mode says, and told: on stdout what COPY_LOOK finds, on stderr what was copied. new_partitions: of topics of which nobody says how many; 0: 1.
 * 0, or an exit code after messages. */
int copy_files_run(const struct cli *cli, const struct sql_program *program, const weir_options *options, enum copy_mode mode, int32_t new_partitions);

#endif
