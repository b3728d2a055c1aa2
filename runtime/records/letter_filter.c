/* letter_filter.c: the filters of the dlq commands, and the topics that they look into.
 *
 * What is filtered by is the source record: its topic and partition, its timestamp, the stage that
 * rejected it and why. Offsets of the letters themselves mean nothing to who looks for a record. */
#include "runtime/records/letter_filter.h"

#include "runtime/base/clock.h"
#include "runtime/records/integer_text.h"

#include <stdio.h>

/* ---- filters ---- */

int letter_time_parse(const char *text, int64_t *time_ms)
{
    return text[0] == '@' ? parse_integer(text + 1, time_ms)
                          : time_parse_iso(bytes_text(text), time_ms);
}

static bool is_text(const char *wanted, struct bytes text)
{
    return wanted == NULL || (text.data != NULL && bytes_equal(bytes_text(wanted), text));
}

bool letter_filter_takes(const struct letter_filter *filter, const struct record *record,
                         const struct dead_letter *letter)
{
    bool has_source = letter->source_topic.data != NULL;
    int64_t time_ms = has_source ? letter->source_timestamp_ms : record->timestamp_ms;
    return is_text(filter->error_class, letter->error_class) &&
           is_text(filter->stage, letter->stage) && is_text(filter->topic, letter->source_topic) &&
           (filter->partition < 0 ||
            (has_source && letter->source_partition == filter->partition)) &&
           time_ms >= filter->from_ms &&
           (time_ms < filter->until_ms || filter->until_ms == INT64_MAX);
}

/* ---- topics ---- */

static bool ends_with(const char *name, const char *ending)
{
    size_t size = strlen(name), ending_size = strlen(ending);
    return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

bool letter_topic_is(const char *name)
{
    return ends_with(name, ".dlq") || ends_with(name, ".late");
}

int letter_topic_find(struct log *log, const char *name, struct topic_info *info, struct diag *diag)
{
    static const char *const endings[] = {".dlq", ".late"};
    struct diag unused = {0};
    if (letter_topic_is(name) && topic_describe(log, name, info, &unused) == 0)
        return 0;
    for (size_t i = 0; i < 2; i++) {
        char full[512];
        int size = snprintf(full, sizeof full, "%s%s", name, endings[i]);
        if (size < (int)sizeof full && topic_describe(log, full, info, &unused) == 0)
            return 0;
    }
    if (topic_describe(log, name, info, &unused) == 0)
        return diag_set(diag, ERR_INVALID,
                        "topic %s holds neither dead letters nor late rows: such topics are named "
                        "APP.dlq and VIEW.late",
                        name);
    return diag_set(diag, ERR_NOT_FOUND,
                    "there are no dead letters of '%s': no topic %s.dlq, and no %s.late", name,
                    name, name);
}
