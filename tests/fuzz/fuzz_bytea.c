/* fuzz_bytea.c: texts that may spell bytes, in each of the forms: what was read is printed, and that
 * reads back the same; bytes that were not read from text survive the way there and back. */
#include <stdlib.h>

#include "operators/bytea.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*parse_fn)(struct bytes text, struct arena *arena, struct bytes *value);

/* Prints value and reads it again. */
static void there_and_back(struct bytes value, struct arena *arena)
{
    struct bytes back;
    size_t size = bytea_text_bytes(value.size);
    uint8_t *text = malloc(size);
    must(text != NULL);
    bytea_print(value, text);
    must(bytea_parse(bytes_of(text, size), arena, &back) == 0 && bytes_equal(back, value));
    must(bytea_parse_hex(bytes_of(text + 2, size - 2), arena, &back) == 0 &&
         bytes_equal(back, value));
    free(text);
    size = bytea_base64_bytes(value.size);
    text = malloc(size > 0 ? size : 1);
    must(text != NULL);
    bytea_base64(value, text);
    must(bytea_parse_base64(bytes_of(text, size), arena, &back) == 0 && bytes_equal(back, value));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const parse_fn parsers[] = {bytea_parse, bytea_parse_hex, bytea_parse_base64};
    struct arena arena;
    struct bytes value, text = bytes_of(size > 0 ? (const void *)data : "", size);
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof parsers / sizeof parsers[0]; i++) {
        int rc = parsers[i](text, &arena, &value);
        must(rc == 0 || rc == ERR_INVALID);
        if (rc == 0)
            there_and_back(value, &arena);
    }
    there_and_back(text, &arena);
    arena_deinit(&arena);
    return 0;
}
