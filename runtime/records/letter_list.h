/* letter_list.h: dead letters and late rows, counted by topic, stage, class and source topic. One thread. */
#ifndef WEIR_RECORDS_LETTER_LIST_H
#define WEIR_RECORDS_LETTER_LIST_H

#include "runtime/records/letter_walk.h"

enum { LETTER_PARTITIONS_MAX = 10000 };

/* Letters of one topic that differ in neither stage, class nor source topic; "": it is not known. */
struct letter_group {
    char *topic; /* of the letters */
    char *stage, *error_class, *source;
    int64_t records, replayed, first_ms, last_ms; /* times of the source records */
    uint8_t partitions[LETTER_PARTITIONS_MAX / 8]; /* of the source: a bit each */
};
struct letter_list {
    struct letter_group *groups;
    size_t count, capacity;
};
/* The group of these names; a new one is empty. NULL: no memory. */
struct letter_group *letter_list_take(struct letter_list *list, struct bytes topic, struct bytes stage, struct bytes error_class, struct bytes source);
/* Counts a letter. ERR_NOMEM. */
int letter_list_count(struct letter_list *list, const struct found_letter *found);
/* By topic, then the largest group first. */
void letter_list_sort(struct letter_list *list);
void letter_list_deinit(struct letter_list *list);
bool letter_group_has_partition(const struct letter_group *group, int partition);
void letter_group_add_partition(struct letter_group *group, int partition);
/* Appends the group as a JSON object. */
void letter_group_json(struct buf *out, const struct letter_group *group);

#endif
