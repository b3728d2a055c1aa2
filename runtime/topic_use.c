/* topic_use.c: the one place that knows with which settings an app's topics are made (see topic_use.h).
 *
 * A topic that is there is taken as it is: whoever made it has said how long it keeps what is in it. */
#include "runtime/topic_use.h"

#include <stdio.h>

static const struct use {
    bool internal;
    struct port_setting settings[3];
    size_t setting_count;
} uses[] = {
    [USE_STREAM] = {.internal = false},
    [USE_TABLE] = {false, {{"cleanup.policy", "compact"}}, 1},
    [USE_ASIDE] = {false, {{"retention.ms", "-1"}}, 1},
    [USE_REPARTITION] = {true, {{"retention.ms", "-1"}, {"segment.bytes", "67108864"}}, 2},
    [USE_CHANGELOG] = {true, {{"cleanup.policy", "compact"}, {"segment.bytes", "67108864"}}, 2},
    [USE_PROGRESS] = {true, {{"cleanup.policy", "compact"}, {"segment.bytes", "4194304"}}, 2},
};

/* What weir_output asks of a topic that the app makes. */
static size_t add_retention(const struct weir_output_options *output, enum topic_use topic_use,
                            char number[24], struct port_setting settings[2])
{
    if (output == NULL || output->retention_ms == 0)
        return 0;
    snprintf(number, 24, "%lld", (long long)output->retention_ms);
    settings[0] = (struct port_setting){"retention.ms", number};
    settings[1] = (struct port_setting){"cleanup.policy",
                                        topic_use == USE_TABLE ? "compact,delete" : "delete"};
    return 2;
}

int topic_ensure(struct port *port, const char *topic, int32_t partitions, enum topic_use topic_use,
                 const char *partitioned_by, const struct weir_output_options *output,
                 struct port_topic *info, struct diag *diag)
{
    const struct port_ops *ops = port->ops;
    const struct use *use = &uses[topic_use];
    bool internal = use->internal;
    int rc = ops->topic_describe(port, topic, info, NULL);
    if (rc == ERR_NOT_FOUND) {
        /* What the engine adds to a record (headers of dead letters, new columns) must not make it
         * too large for its topic. */
        struct port_setting settings[6] = {{"max.message.bytes", "1073741824"}};
        size_t count = 1;
        if (internal)
            settings[count++] = (struct port_setting){"weir.internal", "true"};
        if (partitioned_by != NULL)
            settings[count++] = (struct port_setting){"weir.partitioned.by", partitioned_by};
        char number[24];
        size_t own = add_retention(output, topic_use, number, &settings[count]);
        count += own;
        for (size_t i = 0; i < use->setting_count && own == 0; i++)
            settings[count++] = use->settings[i];
        TRY(ops->topic_create(port, topic, partitions, settings, count, diag));
        rc = ops->topic_describe(port, topic, info, diag);
    }
    TRY(rc);
    if (!internal && info->internal)
        return diag_set(
            diag, ERR_INVALID,
            "topic %s is an app's internal topic and cannot be written to: choose another name",
            topic);
    if (internal && info->partitions != partitions)
        return diag_set(diag, ERR_STATE,
                        "internal topic %s has %d partitions, but its stage now has %d: the source "
                        "topic was changed. Start the stage anew with from_beginning",
                        topic, (int)info->partitions, (int)partitions);
    return 0;
}
