/* remote_group.h: groups behind a server: what door.h says of group_list, group_lag, … One thread. */
#ifndef WEIR_CLI_REMOTE_GROUP_H
#define WEIR_CLI_REMOTE_GROUP_H

#include "runtime/cli/door.h"

int remote_group_list(struct door *door, char ***names, size_t *count, struct diag *diag);
int remote_group_lag(struct door *door, const char *group, struct group_lag **rows, size_t *count, int64_t *total, struct group_info *info,
                     struct diag *diag);
int remote_group_reset(struct door *door, const char *group, const struct group_reset *reset, struct group_reset_row **rows, size_t *count,
                       struct diag *diag);
int remote_group_delete(struct door *door, const char *group, struct diag *diag);
int remote_group_delete_offsets(struct door *door, const char *group, const char *topic, int32_t partition, struct diag *diag);

#endif
