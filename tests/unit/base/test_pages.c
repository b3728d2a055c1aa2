/* test_pages.c: large blocks are zeroed, aligned, whole, and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/pages.h"

static void blocks_are_zeroed_and_whole(void **unused)
{
    static const size_t sizes[] = {1,
                                   4096,
                                   PAGES_MIN_BYTES - 1,
                                   PAGES_MIN_BYTES,
                                   PAGES_MIN_BYTES + 1,
                                   5 * PAGES_MIN_BYTES + 7};
    (void)unused;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int again = 0; again < 2; again++) { /* the second time maybe where the first was */
            uint8_t *block = pages_alloc(sizes[s]);
            assert_non_null(block);
            if (sizes[s] >= PAGES_MIN_BYTES)
                assert_int_equal((uintptr_t)block % PAGES_MIN_BYTES, 0);
            for (size_t at = 0; at < sizes[s]; at += at + 1000 < sizes[s] ? 1000 : 1)
                assert_int_equal(block[at], 0);
            memset(block, 0xff, sizes[s]);
            pages_free(block, sizes[s]);
        }
    pages_free(NULL, 0);
    pages_free(NULL, PAGES_MIN_BYTES);
}

static size_t mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages;
}

static void nothing_is_kept(void **unused)
{
    (void)unused;
    size_t before = mapped_pages();
    for (int i = 0; i < 200; i++)
        pages_free(pages_alloc(3 * PAGES_MIN_BYTES + 1), 3 * PAGES_MIN_BYTES + 1);
    assert_true(mapped_pages() < before + 2 * PAGES_MIN_BYTES / 4096);
}

static void what_cannot_be_had_is_null(void **unused)
{
    (void)unused;
    assert_null(pages_alloc(SIZE_MAX - 5));
    assert_null(pages_alloc(SIZE_MAX / 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_whole),
        cmocka_unit_test(nothing_is_kept),
        cmocka_unit_test(what_cannot_be_had_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
