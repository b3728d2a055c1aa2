/* The limit sees every document and every asked field, in whatever order documents list them, also
 * over many windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "operators/json_decode.h"

enum { PADDING = 64 };

static int64_t limit(const struct field_path *const *paths, uint32_t count, const struct buf *text,
                     uint64_t *sum)
{
    *sum = 0;
    uint8_t *padded = calloc(1, text->size + PADDING);
    memcpy(padded, text->data, text->size);
    int64_t documents = json_parse_limit(paths, count, padded, text->size, sum);
    free(padded);
    return documents;
}

static void all_documents_and_fields_are_seen(void **state)
{
    (void)state;
    static const struct field_path paths[] = {{{"b"}, 1}, {{"a"}, 1}, {{"n", "x"}, 2}};
    const struct field_path *list[] = {&paths[0], &paths[1], &paths[2]};
    struct buf text = {0};
    uint64_t sum, expected = 0;
    for (int i = 0; i < 20000; i++) { /* 1.5 MB: many windows */
        char a[16], b[16], x[16];
        size_t sizes =
            (size_t)(sprintf(a, "%d", i) + sprintf(b, "\"%d\"", i * 7) + sprintf(x, "%d.5", i));
        if (i % 3 == 0)
            buf_printf(&text, "{\"a\":%s,\"skipped\":[1,2,{\"a\":3}],\"b\":%s,\"n\":{\"x\":%s}}\n",
                       a, b, x);
        else
            buf_printf(&text, "{\"n\":{\"y\":0,\"x\":%s},\"b\":%s,\"a\":%s}\n", x, b, a);
        expected += sizes;
    }
    assert_int_equal(20000, limit(list, 3, &text, &sum));
    assert_int_equal(expected, sum);
    buf_deinit(&text);
}

static void a_document_larger_than_a_window(void **state)
{
    (void)state;
    static const struct field_path path = {{"a"}, 1};
    const struct field_path *list[] = {&path};
    struct buf text = {0};
    uint64_t sum;
    buf_printf(&text, "{\"a\":12345}\n{\"long\":\"%0500000d\",\"a\":12}\n{\"a\":1}\n", 0);
    assert_int_equal(3, limit(list, 1, &text, &sum));
    assert_int_equal(8, sum);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_documents_and_fields_are_seen),
        cmocka_unit_test(a_document_larger_than_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
