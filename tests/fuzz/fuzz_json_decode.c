/* fuzz_json_decode.c: the input is cut at 0xFF bytes into records (which 0xFF can never be part of,
 * since it is not UTF-8; the cut bytes themselves are dropped); the batch must decode to what each
 * record decodes to alone. Values that were accepted are touched to their last byte and printed
 * again, so that the sanitizers see every borrowed range. */
#include <stdlib.h>

#include "operators/json_encode.h"
#include "tests/support/decode_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct field_path fields[] = {
    {{"a"}, 1}, {{"b", "c"}, 2}, {{"b"}, 1}, {{"d", "e", "f"}, 3}, {{"\xC3\xA9"}, 1}};
enum { FIELDS = sizeof(fields) / sizeof(*fields), MAX_RECORDS = 512 };

static uint32_t split(const uint8_t *data, size_t size, struct bytes *docs)
{
    uint32_t count = 0;
    size_t start = 0;
    for (size_t at = 0; at <= size && count < MAX_RECORDS; at++)
        if (at == size || data[at] == 0xFF) {
            docs[count++] = bytes_of(data + start, at - start);
            start = at + 1;
        }
    return count;
}

static void print_all(const struct field_path *const *paths, const struct bytes *docs,
                      uint32_t count, struct arena *arena)
{
    struct json_decoder *decoder;
    struct column columns[FIELDS];
    struct reject_list rejects = {.arena = arena};
    must(json_decoder_create(paths, FIELDS, &decoder, NULL) == 0);
    must(json_decode(decoder, docs, count, true, arena, columns, &rejects) == 0);
    struct buf out;
    buf_init(&out, 0);
    for (uint32_t row = 0; row < count; row++)
        for (uint32_t path = 0; path < FIELDS; path++)
            json_encode_value(&out, &columns[path], row, false);
    must(buf_ok(&out));
    buf_deinit(&out);
    json_decoder_destroy(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t none;
    const struct field_path *paths[FIELDS];
    for (uint32_t i = 0; i < FIELDS; i++)
        paths[i] = &fields[i];
    struct bytes docs[MAX_RECORDS];
    uint32_t count = split(size > 0 ? data : &none, size, docs);
    struct arena arena;
    arena_init(&arena, 0);
    const char *found = decode_compare(paths, FIELDS, docs, count, &arena);
    if (found != NULL) {
        log_line('E', "%s", found);
        abort();
    }
    print_all(paths, docs, count, &arena);
    arena_deinit(&arena);
    return 0;
}
