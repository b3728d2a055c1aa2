/* fuzz_csv_decode.c: the first byte says how many columns are declared, the rest is cut at 0xFF bytes
 * into records, each in memory of its exact size. A batch must decode to what each record decodes to
 * alone; rows that were accepted are written again (csv_encode.h), and that must decode to the same
 * values, as must what is written then. */
#include <stdlib.h>

#include "operators/csv_decode.h"
#include "operators/csv_encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS_MAX = 8, MAX_RECORDS = 128 };

static uint32_t split(const uint8_t *data, size_t size, struct bytes *docs)
{
    uint32_t count = 0;
    size_t start = 0;
    for (size_t at = 0; at <= size && count < MAX_RECORDS; at++)
        if (at == size || data[at] == 0xFF) {
            uint8_t *exact = malloc(at - start > 0 ? at - start : 1);
            must(exact != NULL);
            if (at > start)
                memcpy(exact, data + start, at - start);
            docs[count++] = bytes_of(exact, at - start);
            start = at + 1;
        }
    return count;
}

/* Decodes documents; rejected[row] says which were refused. */
static void decode(const struct bytes *docs, uint32_t count, uint32_t columns, struct arena *arena,
                   struct column *out, bool *rejected)
{
    struct reject_list rejects = {.arena = arena};
    must(csv_decode(docs, count, columns, arena, out, &rejects) == 0);
    for (uint32_t row = 0; row < count; row++)
        rejected[row] = false;
    for (uint32_t i = 0; i < rejects.count; i++) {
        must(!rejected[rejects.items[i].row]);
        rejected[rejects.items[i].row] = true;
    }
}

static void must_be_same(const struct column *a, uint32_t row, const struct column *b,
                         uint32_t other, uint32_t columns)
{
    for (uint32_t c = 0; c < columns; c++) {
        must(a[c].nulls[row] == b[c].nulls[other]);
        must(a[c].nulls[row] || bytes_equal(a[c].text[row], b[c].text[other]));
    }
}

static void check_row(const struct column *batch, uint32_t row, bool was_rejected,
                      const struct bytes *doc, uint32_t columns, struct arena *arena)
{
    struct column alone[COLUMNS_MAX], again[COLUMNS_MAX];
    bool rejected;
    decode(doc, 1, columns, arena, alone, &rejected);
    must(rejected == was_rejected);
    must_be_same(batch, row, alone, 0, columns);
    if (rejected)
        return;
    struct buf out;
    buf_init(&out, 0);
    csv_encode_row(&out, alone, columns, 0);
    must(buf_ok(&out));
    struct bytes written = bytes_of(out.size > 0 ? (const void *)out.data : "", out.size);
    decode(&written, 1, columns, arena, again, &rejected);
    must(!rejected);
    must_be_same(alone, 0, again, 0, columns);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes docs[MAX_RECORDS];
    struct column columns[COLUMNS_MAX];
    bool rejected[MAX_RECORDS];
    struct arena arena;
    if (size == 0)
        return 0;
    uint32_t column_count = 1 + data[0] % COLUMNS_MAX, count = split(data + 1, size - 1, docs);
    arena_init(&arena, 0);
    decode(docs, count, column_count, &arena, columns, rejected);
    for (uint32_t row = 0; row < count; row++)
        check_row(columns, row, rejected[row], &docs[row], column_count, &arena);
    arena_deinit(&arena);
    for (uint32_t i = 0; i < count; i++)
        free((void *)(uintptr_t)docs[i].data);
    return 0;
}
