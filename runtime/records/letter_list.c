/* letter_list.c: letters counted. There are as many groups as stages, times the few reasons that each has to refuse a row, so that they
 * are kept in a list and looked for from its end. */
#include "runtime/records/letter_list.h"

#include "runtime/records/letter_json.h"

#include <inttypes.h>
#include <stdlib.h>

static bool is_same(const char *text, struct bytes bytes)
{
    return bytes_equal(bytes_text(text), bytes.data != NULL ? bytes : bytes_text(""));
}

static char *copy_text(struct bytes bytes)
{
    return strndup(bytes.data != NULL ? (const char *)bytes.data : "", bytes.size);
}

static struct letter_group *make_group(struct letter_list *list)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct letter_group *groups = realloc(list->groups, capacity * sizeof *groups);
        if (groups == NULL)
            return NULL;
        list->groups = groups;
        list->capacity = capacity;
    }
    return &list->groups[list->count++];
}

struct letter_group *letter_list_take(struct letter_list *list, struct bytes topic,
                                      struct bytes stage, struct bytes error_class,
                                      struct bytes source)
{
    for (size_t i = list->count; i > 0; i--) {
        struct letter_group *group = &list->groups[i - 1];
        if (is_same(group->topic, topic) && is_same(group->stage, stage) &&
            is_same(group->error_class, error_class) && is_same(group->source, source))
            return group;
    }
    struct letter_group *group = make_group(list);
    if (group == NULL)
        return NULL;
    *group = (struct letter_group){.topic = copy_text(topic),
                                   .stage = copy_text(stage),
                                   .error_class = copy_text(error_class),
                                   .source = copy_text(source),
                                   .first_ms = INT64_MAX,
                                   .last_ms = INT64_MIN};
    bool is_whole = group->topic != NULL && group->stage != NULL && group->error_class != NULL &&
                    group->source != NULL;
    return is_whole ? group : NULL;
}

bool letter_group_has_partition(const struct letter_group *group, int partition)
{
    return partition < LETTER_PARTITIONS_MAX &&
           (group->partitions[partition / 8] >> partition % 8 & 1) != 0;
}

void letter_group_add_partition(struct letter_group *group, int partition)
{
    if (partition >= 0 && partition < LETTER_PARTITIONS_MAX)
        group->partitions[partition / 8] |= (uint8_t)(1u << partition % 8);
}

int letter_list_count(struct letter_list *list, const struct found_letter *found)
{
    const struct dead_letter *letter = found->letter;
    struct letter_group *group =
        letter_list_take(list, bytes_text(found->place->topic), letter->stage, letter->error_class,
                         letter->source_topic);
    if (group == NULL)
        return ERR_NOMEM;
    int64_t time_ms = letter_source(found->record, letter).timestamp_ms;
    group->records++;
    group->replayed += found->target != NULL;
    group->first_ms = time_ms < group->first_ms ? time_ms : group->first_ms;
    group->last_ms = time_ms > group->last_ms ? time_ms : group->last_ms;
    if (letter_has_source(letter))
        letter_group_add_partition(group, letter->source_partition);
    return 0;
}

static int compare_groups(const void *a, const void *b)
{
    const struct letter_group *left = a, *right = b;
    int order = strcmp(left->topic, right->topic);
    if (order == 0)
        order = (left->records < right->records) - (left->records > right->records);
    if (order == 0)
        order = strcmp(left->stage, right->stage);
    if (order == 0)
        order = strcmp(left->error_class, right->error_class);
    return order != 0 ? order : strcmp(left->source, right->source);
}

void letter_list_sort(struct letter_list *list)
{
    if (list->count > 0)
        qsort(list->groups, list->count, sizeof *list->groups, compare_groups);
}

void letter_list_deinit(struct letter_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->groups[i].topic);
        free(list->groups[i].stage);
        free(list->groups[i].error_class);
        free(list->groups[i].source);
    }
    free(list->groups);
    *list = (struct letter_list){.groups = NULL};
}

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    letter_json_text(out, text[0] != '\0' ? text : NULL);
}

void letter_group_json(struct buf *out, const struct letter_group *group)
{
    const char *comma = "";
    buf_printf(out, "{\"topic\":");
    letter_json_text(out, group->topic);
    put_member(out, "stage", group->stage);
    put_member(out, "class", group->error_class);
    put_member(out, "source", group->source);
    buf_printf(out, ",\"partitions\":[");
    for (int i = 0; i < LETTER_PARTITIONS_MAX; i++) {
        if (!letter_group_has_partition(group, i))
            continue;
        buf_printf(out, "%s%d", comma, i);
        comma = ",";
    }
    buf_printf(out,
               "],\"records\":%" PRId64 ",\"replayed\":%" PRId64 ",\"first\":%" PRId64
               ",\"last\":%" PRId64 "}",
               group->records, group->replayed, group->first_ms, group->last_ms);
}
