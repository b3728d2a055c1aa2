/* test_http_target.c: targets as RFC 3986 has them, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "runtime/http/http_internal.h"

static int code_of(const char *text)
{
    struct http_target target;
    struct diag diag = {.code = 0};
    int code = http_target_parse(text, &target, &diag);
    http_target_deinit(&target);
    assert_true(code == 0 || diag.text[0] != '\0');
    return code;
}

static void a_target_is_taken_apart(void **state)
{
    (void)state;
    struct http_target target;
    assert_int_equal(
        http_target_parse("/api/a%2Fb%20+/%e2%82%ac?x=1%262&y=a+b&z&&w=c=d", &target, NULL), 0);
    assert_int_equal(target.segment_count, 3);
    assert_string_equal(target.segments[0], "api");
    assert_string_equal(target.segments[1], "a/b +");
    assert_string_equal(target.segments[2], "\xe2\x82\xac");
    static const struct http_argument wanted[] = {
        {"x", "1&2"}, {"y", "a b"}, {"z", ""}, {"w", "c=d"}};
    assert_int_equal(target.argument_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(target.arguments[i].name, wanted[i].name);
        assert_string_equal(target.arguments[i].value, wanted[i].value);
    }
    http_target_deinit(&target);
    assert_int_equal(http_target_parse("/", &target, NULL), 0);
    assert_int_equal(target.segment_count, 0);
    http_target_deinit(&target);
}

static void what_is_no_target_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "a",    "*",       "http://x/", "//",    "/a//b",   "/%",         "/%1",
        "/%g0",      "/%0g", "/%00",    "/%0A",      "/%7f",  "/%80",    "/%ed%a0%80", "/?=x",
        "/?a=1&a=2", "/?%",  "/?a=%00", "/?a=%c3",   "/?a&a", "/a%\x01", "/\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(code_of(bad[i]), ERR_INVALID);
    assert_int_equal(code_of("/1/2/3/4/5/6/7/8"), 0);
    assert_int_equal(code_of("/1/2/3/4/5/6/7/8/9"), ERR_TOO_LARGE);
    assert_int_equal(code_of("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p"), 0);
    assert_int_equal(code_of("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q"), ERR_TOO_LARGE);
}

static void length_has_a_limit(void **state)
{
    (void)state;
    char *text = malloc(HTTP_TARGET_BYTES + 2);
    memset(text, 'a', HTTP_TARGET_BYTES + 1);
    text[0] = '/';
    text[HTTP_TARGET_BYTES + 1] = '\0';
    assert_int_equal(code_of(text), ERR_TOO_LARGE);
    text[HTTP_TARGET_BYTES] = '\0';
    assert_int_equal(code_of(text), 0);
    free(text);
}

static void any_bytes_are_judged(void **state)
{
    (void)state;
    static const char parts[] = "/%?&=+.aF09\x80\xc3\xa4\x01 ";
    uint64_t draw = 9644;
    for (int round = 0; round < 200000; round++) {
        char text[24];
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        size_t size = draw >> 33 & 15;
        text[0] = '/';
        for (size_t i = 1; i <= size; i++) {
            draw = draw * 6364136223846793005u + 1442695040888963407u;
            text[i] = parts[(draw >> 33) % (sizeof parts - 1)];
        }
        text[size + 1] = '\0';
        (void)code_of(text);
    }
}

static void routes_are_found_by_method_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *path, *parameter, *allow;
    } asked[] = {
        {"GET", "/", "/", NULL, NULL},
        {"HEAD", "/livez", "/livez", NULL, NULL},
        {"GET", "/api/v1/topics", "/api/v1/topics", NULL, NULL},
        {"GET", "/api/v1/topics/a%2Fb", "/api/v1/topics/{topic}", "a/b", NULL},
        {"POST", "/api/v1/pipelines/p/pause", "/api/v1/pipelines/{topic}/pause", "p", NULL},
        {"GET", "/api/v1/pipelines/p/pause", NULL, NULL, "POST"},
        {"PUT", "/livez", NULL, NULL, "GET, HEAD"},
        {"GET", "/api/v1/topics/a/b", NULL, NULL, NULL},
        {"GET", "/api/v1", NULL, NULL, NULL},
        {"GET", "/livezz", NULL, NULL, NULL},
        {"DELETE", "/api/v1/users/a", "/api/v1/users/{user}", "a", NULL},
        {"GET", "/api/v1/users/a", NULL, NULL, "PUT, DELETE"},
        {"GET", "/live", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct http_target target;
        const char *parameters[HTTP_SEGMENTS_MAX] = {NULL};
        char allow[HTTP_ALLOW_BYTES];
        assert_int_equal(http_target_parse(asked[i].target, &target, NULL), 0);
        const struct http_route *route =
            http_route_find(asked[i].method, &target, parameters, allow);
        assert_int_equal(route != NULL, asked[i].path != NULL);
        if (route != NULL)
            assert_string_equal(route->path, asked[i].path);
        if (asked[i].parameter != NULL)
            assert_string_equal(parameters[0], asked[i].parameter);
        if (asked[i].allow != NULL)
            assert_string_equal(allow, asked[i].allow);
        http_target_deinit(&target);
    }
}

static void routes_say_who_may_have_them(void **state)
{
    (void)state;
    for (const struct http_route *route = http_routes; route->method != NULL; route++) {
        bool names = route->access == HTTP_OF_TOPIC || route->access == HTTP_OF_GROUP;
        bool acts = names || route->access == HTTP_OF_CLUSTER;
        if (route->access == HTTP_UNSAID || acts != (route->action != HTTP_NOTHING) ||
            (names && strchr(route->path, '{') == NULL))
            fail_msg("%s %s does not say who may have it", route->method, route->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_taken_apart),
        cmocka_unit_test(what_is_no_target_is_refused),
        cmocka_unit_test(length_has_a_limit),
        cmocka_unit_test(any_bytes_are_judged),
        cmocka_unit_test(routes_are_found_by_method_and_path),
        cmocka_unit_test(routes_say_who_may_have_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
