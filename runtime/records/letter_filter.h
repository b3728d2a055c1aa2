/* letter_filter.h: which dead letters and late rows are asked for, and where they lie. Any thread. */
#ifndef WEIR_RECORDS_LETTER_FILTER_H
#define WEIR_RECORDS_LETTER_FILTER_H

#include "runtime/records/dead_letter.h"

/* --class, --stage, --topic, --partition, --from, --until: NULL, -1 and the ends of time when they were not given. */
struct letter_filter {
    const char *error_class, *stage, *topic;
    int64_t partition;
    int64_t from_ms, until_ms; /* of the source record's timestamp: from <= it < until */
};
/* @EPOCH_MS or ISO 8601. ERR_INVALID, ERR_RANGE. */
int letter_time_parse(const char *text, int64_t *time_ms);
bool letter_filter_takes(const struct letter_filter *filter, const struct record *record, const struct dead_letter *letter);

/* The topic that NAME means: a dead letter or late topic of that name, else NAME.dlq, else NAME.late. ERR_NOT_FOUND, with
 * a sentence; ERR_INVALID: there is such a topic and it is neither. */
int letter_topic_find(struct log *log, const char *name, struct topic_info *info, struct diag *diag);
/* Whether a topic's name is one of dead letters or of late rows. */
bool letter_topic_is(const char *name);

#endif
