/* test_utf8.c: the ranges of RFC 3629, each at its ends, and text that is mended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/base/utf8.h"

static void each_range_has_its_ends(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "z\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xc3\x28"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_check(bytes_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_check(bytes_text(bad[i])));
}

static void what_is_none_is_replaced(void **state)
{
    (void)state;
    struct buf out = {0};
    utf8_repair(&out, bytes_text("a\xff"
                                 "b\xc3\xa4\xe2\x82"));
    buf_u8(&out, '\0');
    assert_string_equal((const char *)out.data, "a\xef\xbf\xbd"
                                                "b\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_range_has_its_ends),
        cmocka_unit_test(what_is_none_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
