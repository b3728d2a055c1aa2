/* test_http_user.c: the Authorization header taken apart: RFC 7617's own examples, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "runtime/http/http_internal.h"

static void test_right(void **state)
{
    (void)state;
    static const char *const right[][3] = {
        {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
        {"basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},
        {"BASIC   YTpi", "a", "b"},
        {"Basic YTo=", "a", ""},
        {"Basic Ojo6", "", "::"},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct http_user user;
        assert_true(http_user_read(right[i][0], &user));
        assert_string_equal(user.name, right[i][1]);
        assert_string_equal(user.password, right[i][2]);
    }
}

static void test_wrong(void **state)
{
    (void)state;
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Basic",
                                        "Basic ",
                                        "Basic YT",
                                        "Basic YTp",
                                        "Basic YTpi=",
                                        "Basic Y===",
                                        "Basic =Tpi",
                                        "Basic YTpi ",
                                        "Basic Y Tp",
                                        "Basic YWI=",
                                        "Basic YQA6",
                                        "Bearer YTpi",
                                        "BasicYTpi",
                                        "Basic Y\xc3pi",
                                        "Basic YT-_",
                                        "Basic YTo9YTpi=",
                                        "Basic YT==OmI=",
                                        "Basic \tYTpi",
                                        "Basic YTpi\n"};
    struct http_user user;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(http_user_read(wrong[i], &user));
    /* As long as it may be, and longer. */
    char header[6 + 4000 + 1] = "Basic ";
    memset(header + 6, 'O', 4000); /* "8\xe3\x8e" again and again: no colon */
    memcpy(header + 6, "YTpi", 4);
    for (size_t size = 4; size <= 4000; size += 4) {
        header[6 + size] = '\0';
        assert_true(http_user_read(header, &user) == (size / 4 * 3 < sizeof user.text));
        header[6 + size] = 'O';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
