/* task_letter.h: dead letters of a task that wait for its commit, because another task may tell of the same row (told.h). */
#ifndef WEIR_RUNTIME_TASK_LETTER_H
#define WEIR_RUNTIME_TASK_LETTER_H

#include "runtime/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct told_front;
struct letter {
    const struct told_front *front;   /* of the verdict; NULL: the task's alone */
    bool is_told;                     /* somebody else has told of the row: it is not sent */
    bool has_key, has_value;
    int32_t header_count;
    int64_t offset, timestamp_ms;     /* of the row; of the record */
    size_t key_size, value_size, headers_size; /* their bytes follow those of the letter before */
};
/* In the order in which they were found. */
struct letters {
    struct letter *items;
    uint32_t count, capacity;
    struct buf bytes;
};

struct task;
/* Keeps a record for the dead-letter topic; the sizes and flags are set here. ERR_NOMEM. */
int task_keep_letter(struct task *task, struct letter letter, struct bytes key, struct bytes value, struct bytes headers);
/* Adds those that nobody else has told of to the dead-letter out, and forgets all. */
int task_give_letters(struct task *task);
void letters_deinit(struct letters *letters);

#endif
