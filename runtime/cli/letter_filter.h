/* letter_filter.h: which dead letters and late rows are asked for, and where they lie. Any thread. */
#ifndef WEIR_CLI_LETTER_FILTER_H
#define WEIR_CLI_LETTER_FILTER_H

#include "runtime/cli/cli.h"
#include "runtime/cli/dead_letter.h"

/* --class, --stage, --topic, --partition, --from, --until: NULL, -1 and the ends of time when they were not given. */
struct letter_filter {
    const char *error_class, *stage, *topic;
    int64_t partition;
    int64_t from_ms, until_ms; /* of the source record's timestamp: from <= it < until */
};
/* The same in the table of each command that has them. */
#define LETTER_FILTER_FLAGS                                                                                             \
    {"class", "CLASS", "only this error class; late rows are of class late", false, 0},                                \
        {"stage", "STAGE", "only what this stage rejected", false, 0},                                                 \
        {"topic", "TOPIC", "only records of this source topic", false, 0},                                             \
        {"partition", "N", "only records of this partition of their source", false, 0},                               \
        {"from", "TIME", "only records with this timestamp or a later one: @EPOCH_MS or ISO 8601", false, 0},          \
        {"until", "TIME", "only records with an earlier timestamp", false, 0}

/* 0 or EXIT_USAGE after a message. */
int letter_filter_parse(const struct cli *cli, struct letter_filter *filter);
bool letter_filter_takes(const struct letter_filter *filter, const struct record *record, const struct dead_letter *letter);

/* The topic that NAME means: a dead letter or late topic of that name, else NAME.dlq, else NAME.late. ERR_NOT_FOUND, with
 * a sentence; ERR_INVALID: there is such a topic and it is neither. */
int letter_topic_find(struct log *log, const char *name, struct topic_info *info, struct diag *diag);
/* Whether a topic's name is one of dead letters or of late rows. */
bool letter_topic_is(const char *name);

#endif
