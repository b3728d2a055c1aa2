/* letter_flags.h: the flags of the dlq commands that say which letters are asked for. */
#ifndef WEIR_CLI_LETTER_FLAGS_H
#define WEIR_CLI_LETTER_FLAGS_H

#include "runtime/cli/cli.h"
#include "runtime/records/letter_filter.h"

/* In the table of each command that has them. */
#define LETTER_FILTER_FLAGS                                                                                             \
    {"class", "CLASS", "only this error class; late rows are of class late", false, 0},                                \
        {"stage", "STAGE", "only what this stage rejected", false, 0},                                                 \
        {"topic", "TOPIC", "only records of this source topic", false, 0},                                             \
        {"partition", "N", "only records of this partition of their source", false, 0},                               \
        {"from", "TIME", "only records with this timestamp or a later one: @EPOCH_MS or ISO 8601", false, 0},          \
        {"until", "TIME", "only records with an earlier timestamp", false, 0}

/* 0 or EXIT_USAGE after a message. The filter's texts are the flags'. */
int letter_flags_parse(const struct cli *cli, struct letter_filter *filter);

#endif
