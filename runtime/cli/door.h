/* door.h: topics and groups, wherever they are: in a directory that the command has opened, or behind a server.
 *
 * A command opens a door and asks through it; what it prints is made of the same rows either way. Behind it is the embedded
 * log (door.c) or, over the Kafka protocol, a server (remote_topic.c, remote_group.c). What Kafka's protocol (as far as librdkafka 2.0 speaks it) does not tell
 * is -1, or "".
 *
 * One thread. Arrays that are given out are one malloc'ed block each: the caller frees it. Functions return 0 or an ERR_ code with diag. */
#ifndef WEIR_CLI_DOOR_H
#define WEIR_CLI_DOOR_H

#include "log/group.h"
#include "runtime/cli/reach.h"

struct door_topic {
    char name[250], id[23]; /* id "": not told */
    int32_t partitions;
    bool internal;
};
struct door_partition {
    int64_t start, stable, high_watermark;
    int64_t end, bytes;     /* -1: not told */
    int32_t segments;       /* -1: not told */
    char status[256];       /* "ok", or what is wrong with it */
};

/* Records of a partition that go: those below offset. */
struct door_cut {
    int32_t partition;
    int64_t offset;
};

struct acl_binding;
struct door;
struct door_ops {
    void (*close)(struct door *door);
    /* By name. */
    int (*topic_list)(struct door *door, struct door_topic **topics, size_t *count, struct diag *diag);
    /* ERR_NOT_FOUND names the nearest one. topic may be NULL. */
    int (*topic_find)(struct door *door, const char *name, struct door_topic *topic, struct diag *diag);
    /* The partitions of several topics: theirs one after the other. */
    int (*topic_partitions)(struct door *door, const struct door_topic *topics, size_t count, struct door_partition **rows, struct diag *diag);
    /* Each key that has a value; is_set: somebody has set it. */
    int (*topic_configs)(struct door *door, const char *name, void (*fn)(void *context, const char *key, const char *value, bool is_set),
                         void *context, struct diag *diag);
    int (*topic_create)(struct door *door, const char *name, int32_t partitions, const struct config_entry *entries, size_t count,
                        struct diag *diag);
    /* A value NULL gives a key its default back. */
    int (*topic_alter)(struct door *door, const char *name, const struct config_entry *entries, size_t count, struct diag *diag);
    int (*topic_grow)(struct door *door, const char *name, int32_t partitions, struct diag *diag);
    int (*topic_delete)(struct door *door, const char *name, struct diag *diag);
    /* The first record from then on; -1: none. */
    int (*topic_find_time)(struct door *door, const char *name, int32_t partition, int64_t timestamp_ms, int64_t *offset, struct diag *diag);
    int (*topic_delete_records)(struct door *door, const char *name, const struct door_cut *cuts, size_t count, struct diag *diag);
    /* What log/group.h says of the functions of these names. */
    int (*group_list)(struct door *door, char ***names, size_t *count, struct diag *diag);
    int (*group_lag)(struct door *door, const char *group, struct group_lag **rows, size_t *count, int64_t *total, struct group_info *info,
                     struct diag *diag);
    int (*group_reset)(struct door *door, const char *group, const struct group_reset *reset, struct group_reset_row **rows, size_t *count,
                       struct diag *diag);
    int (*group_delete)(struct door *door, const char *group, struct diag *diag);
    int (*group_delete_offsets)(struct door *door, const char *group, const char *topic, int32_t partition, struct diag *diag);
    /* The bindings that a filter fits, sorted. */
    int (*acl_list)(struct door *door, const struct acl_binding *filter, struct acl_binding **list, size_t *count, struct diag *diag);
    int (*acl_add)(struct door *door, const struct acl_binding *bindings, size_t count, struct diag *diag);
    int (*acl_delete)(struct door *door, const struct acl_binding *filter, size_t *count, struct diag *diag);
};
struct remote;
struct door {
    const struct door_ops *ops;
    struct log *log;       /* one of these two */
    struct remote *remote;
};

/* Finds out which way it goes and opens that. 0, or an exit code after a message. */
int door_open(const struct cli *cli, enum data_need need, struct door *door);
/* NULL-safe: a door that was not opened is closed. */
void door_close(struct door *door);
/* The directory, or the address that -b names: for messages. */
const char *door_text(const struct cli *cli, const struct door *door);
/* The effective value of a key as text; "" when it has none. */
int door_config(struct door *door, const char *topic, const char *key, char *value, size_t value_size, struct diag *diag);

/* door.c; remote_topic.c. */
extern const struct door_ops door_log_ops, door_remote_ops;

#endif
