/* import_line.h: a line of weir topic export, read back. One thread. */
#ifndef WEIR_CLI_IMPORT_LINE_H
#define WEIR_CLI_IMPORT_LINE_H

#include "log/log.h"

struct import_line {
    int32_t partition;      /* -1: the line does not say */
    int64_t timestamp_ms;   /* INT64_MIN: the line does not say */
    struct bytes key, value;
    struct buf headers;     /* encoded */
    int32_t header_count;
    struct buf text;        /* what key and value point into */
};
void import_line_init(struct import_line *line);
void import_line_deinit(struct import_line *line);
/* ERR_INVALID with what is wrong; ERR_NOMEM. The result is valid until the next call. */
int import_line_read(struct import_line *line, struct bytes json, struct diag *diag);

#endif
