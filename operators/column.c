/* column.c: the few things that all columns need: names and sizes of types, memory, the reject
 * list.
 *
 * A batch lives and dies with its arena, so nothing here is ever freed one by one. Values are left
 * uninitialised, because whoever asks for a column writes every row that it selects; null bytes are
 * zeroed, because most rows are not NULL and writers then only touch the others. Values are aligned
 * to 64 bytes, a cache line and the widest vector register, so that loops over plain arrays need no
 * peeling.
 *
 * A reject list grows by doubling inside the arena. The old array stays behind as waste, at most as
 * large as the list itself; a batch has at most BATCH_ROWS rows, so that this is bounded (a row may
 * be rejected once by each expression). Messages are formatted on the stack first: nearly all are
 * short, and a long one is cut rather than measured twice, on a character's boundary so that a dead
 * letter's header stays valid UTF-8 when the message quotes a value. */
#include "operators/column.h"

#include <stdarg.h>
#include <stdio.h>

enum { REJECT_MESSAGE_BYTES = 1024, REJECT_FIRST_CAPACITY = 16, COLUMN_ALIGN = 64 };

const char *col_type_name(enum col_type type)
{
    static const char *const names[COL_TYPE_COUNT] = {
        [COL_VARIANT] = "json",
        [COL_BOOLEAN] = "boolean",
        [COL_BIGINT] = "bigint",
        [COL_DOUBLE] = "double precision",
        [COL_NUMERIC] = "numeric",
        [COL_TEXT] = "text",
        [COL_TIMESTAMPTZ] = "timestamptz",
        [COL_INTERVAL] = "interval",
        [COL_BYTEA] = "bytea",
    };
    must((unsigned)type < COL_TYPE_COUNT);
    return names[type];
}

size_t col_type_bytes(enum col_type type)
{
    static const size_t bytes[COL_TYPE_COUNT] = {
        [COL_VARIANT] = sizeof(struct variant), [COL_BOOLEAN] = sizeof(uint8_t),
        [COL_BIGINT] = sizeof(int64_t),         [COL_DOUBLE] = sizeof(double),
        [COL_NUMERIC] = sizeof(struct numeric), [COL_TEXT] = sizeof(struct bytes),
        [COL_TIMESTAMPTZ] = sizeof(int64_t),    [COL_INTERVAL] = sizeof(int64_t),
        [COL_BYTEA] = sizeof(struct bytes),
    };
    must((unsigned)type < COL_TYPE_COUNT);
    return bytes[type];
}

int column_alloc(struct column *column, enum col_type type, uint32_t rows, bool with_nulls,
                 struct arena *arena)
{
    *column = (struct column){.type = type};
    column->data = arena_alloc_aligned(arena, (size_t)rows * col_type_bytes(type), COLUMN_ALIGN);
    if (column->data == NULL)
        return ERR_NOMEM;
    if (with_nulls && type != COL_VARIANT) {
        column->nulls = arena_alloc_aligned(arena, rows, COLUMN_ALIGN);
        if (column->nulls == NULL)
            return ERR_NOMEM;
        memset(column->nulls, 0, rows);
    }
    return 0;
}

/* One loop a width, so that each is a plain copy of that many bytes. */
#define GATHER(type)                                                                               \
    for (uint32_t i = 0; i < count; i++)                                                           \
    memcpy((type *)out->data + i, (const type *)in->data + rows[i], sizeof(type))

int column_gather(const struct column *in, const uint32_t *rows, uint32_t count,
                  struct arena *arena, struct column *out)
{
    *out = *in;
    if (in->constant)
        return 0;
    TRY(column_alloc(out, in->type, count, in->nulls != NULL, arena));
    switch (col_type_bytes(in->type)) {
    case 1:
        GATHER(uint8_t);
        break;
    case 8:
        GATHER(uint64_t);
        break;
    case sizeof(struct variant):
        GATHER(struct variant);
        break;
    case sizeof(struct numeric):
        GATHER(struct numeric);
        break;
    default:
        must(false && "a width of column");
    }
    for (uint32_t i = 0; out->nulls != NULL && i < count; i++)
        out->nulls[i] = in->nulls[rows[i]];
    return 0;
}

static int reject_grow(struct reject_list *list)
{
    uint32_t capacity = list->capacity == 0 ? REJECT_FIRST_CAPACITY : list->capacity * 2;
    struct reject *items = arena_alloc(list->arena, capacity * sizeof(*items));
    if (items == NULL)
        return ERR_NOMEM;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof(*items));
    list->items = items;
    list->capacity = capacity;
    return 0;
}

/* The largest length ≤ limit at which text may be cut without splitting a UTF-8 sequence. */
static size_t utf8_cut(const char *text, size_t limit)
{
    size_t at = limit;
    while (at > 0 && limit - at < 3 && ((uint8_t)text[at] & 0xC0) == 0x80)
        at--;
    return at;
}

int reject_add(struct reject_list *list, uint32_t row, const char *error_class, const char *format,
               ...)
{
    char text[REJECT_MESSAGE_BYTES + 1];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    must(length >= 0);
    if ((size_t)length >= sizeof(text) - 1)
        text[utf8_cut(text, sizeof(text) - 2)] = 0;

    if (list->count == list->capacity)
        TRY(reject_grow(list));
    const char *message = arena_text(list->arena, text);
    if (message == NULL)
        return ERR_NOMEM;
    list->items[list->count++] =
        (struct reject){.row = row, .error_class = error_class, .message = message};
    return 0;
}
