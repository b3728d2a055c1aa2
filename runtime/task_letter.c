/* task_letter.c: see task_letter.h. */
#include "runtime/task_letter.h"

#include <stdlib.h>

#include "runtime/task.h"

static int grow(struct letters *letters)
{
    uint32_t capacity = letters->capacity > 0 ? letters->capacity * 2 : 16;
    struct letter *grown = realloc(letters->items, capacity * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    letters->items = grown;
    letters->capacity = capacity;
    return 0;
}

int task_keep_letter(struct task *task, struct letter letter, struct bytes key, struct bytes value,
                     struct bytes headers)
{
    struct letters *letters = &task->letters;
    if (letters->count == letters->capacity)
        TRY(grow(letters));
    letter.has_key = key.data != NULL;
    letter.has_value = value.data != NULL;
    letter.key_size = letter.has_key ? key.size : 0;
    letter.value_size = letter.has_value ? value.size : 0;
    letter.headers_size = headers.size;
    if (letter.has_key)
        buf_append_bytes(&letters->bytes, key);
    if (letter.has_value)
        buf_append_bytes(&letters->bytes, value);
    buf_append_bytes(&letters->bytes, headers);
    if (!buf_ok(&letters->bytes))
        return ERR_NOMEM;
    letters->items[letters->count++] = letter;
    task->pending_bytes += letter.key_size + letter.value_size + letter.headers_size + 16;
    return 0;
}

static struct bytes part(const uint8_t *bytes, size_t size, bool is_there)
{
    return is_there ? bytes_of(size > 0 ? (const void *)bytes : "", size) : (struct bytes){NULL, 0};
}

int task_give_letters(struct task *task)
{
    struct letters *letters = &task->letters;
    const uint8_t *at = letters->bytes.data;
    for (uint32_t i = 0; i < letters->count; i++) {
        const struct letter *letter = &letters->items[i];
        size_t size = letter->key_size + letter->value_size + letter->headers_size;
        if (!letter->is_told)
            TRY(task->port->ops->out_add(
                task->dead, letter->timestamp_ms, part(at, letter->key_size, letter->has_key),
                part(at + letter->key_size, letter->value_size, letter->has_value),
                part(at + letter->key_size + letter->value_size, letter->headers_size, true),
                letter->header_count, task->diag));
        at += size;
    }
    letters->count = 0;
    buf_clear(&letters->bytes);
    return 0;
}

void letters_deinit(struct letters *letters)
{
    free(letters->items);
    buf_deinit(&letters->bytes);
    *letters = (struct letters){0};
}
