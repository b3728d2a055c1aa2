/* metrics_text.h: OpenMetrics text, sample by sample. Nothing is copied; one thread. */
#ifndef WEIR_CLI_METRICS_TEXT_H
#define WEIR_CLI_METRICS_TEXT_H

#include "runtime/base/bytes.h"

enum { METRIC_LABELS_MAX = 16 };
struct metric_label {
    struct bytes name, value; /* the value as it stands, escapes and all */
};
struct metric_sample {
    struct bytes name;
    struct metric_label labels[METRIC_LABELS_MAX];
    int label_count;
    double value;
};
struct metrics_text {
    struct bytes rest;
    int line;      /* of what is read next, from 1 */
    bool is_ended; /* "# EOF" was there */
};

void metrics_text_start(struct metrics_text *text, struct bytes bytes);
/* 1: a sample, borrowed from the bytes; 0: the end; ERR_CORRUPT with the line that is none, or what follows "# EOF". */
int metrics_text_next(struct metrics_text *text, struct metric_sample *sample, struct diag *diag);
/* The label's value; data NULL: there is none. */
struct bytes metric_label(const struct metric_sample *sample, const char *name);

#endif
