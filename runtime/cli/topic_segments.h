/* topic_segments.h: a topic as directories of segments: weir topic export --segments, import --segments. */
#ifndef WEIR_CLI_TOPIC_SEGMENTS_H
#define WEIR_CLI_TOPIC_SEGMENTS_H

#include "runtime/cli/cli.h"

/* Each returns an exit code, after a message when it failed. */
int topic_segments_export(struct cli *cli, const char *directory);
int topic_segments_import(struct cli *cli, const char *directory);

#endif
