/* test_config.c: configuration keys: checked, merged, defaulted, stored. */
#include "log/log_internal.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int merge(struct config_set *set, const char *key, const char *value, struct diag *diag)
{
    struct config_entry entry = {key, value};
    return config_set_merge(set, &entry, 1, diag);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        int code;
    } cases[] = {
        {"cleanup.policy", "delete", 0},
        {"cleanup.policy", "compact", 0},
        {"cleanup.policy", "compact,delete", 0},
        {"cleanup.policy", "shred", ERR_INVALID},
        {"segment.bytes", "1048576", 0},
        {"segment.bytes", "255", ERR_INVALID},
        {"segment.bytes", "2147483648", ERR_INVALID},
        {"segment.bytes", "1e6", ERR_INVALID},
        {"segment.bytes", "", ERR_INVALID},
        {"segment.bytes", " 4096", ERR_INVALID},
        {"segment.ms", "1", 0},
        {"segment.ms", "0", ERR_INVALID},
        {"max.message.bytes", "0", 0},
        {"max.message.bytes", "-1", ERR_INVALID},
        {"max.message.bytes", "99999999999999999999", ERR_INVALID},
        {"message.timestamp.after.max.ms", "9223372036854775807", 0},
        {"weir.internal", "true", 0},
        {"weir.internal", "yes", ERR_INVALID},
        {"weir.partitioned.by", "user_id,x", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config_set set = {0};
        struct diag diag = {0};
        assert_int_equal(merge(&set, cases[i].key, cases[i].value, &diag), cases[i].code);
        if (cases[i].code < 0)
            assert_non_null(strstr(diag.text, cases[i].key));
        assert_int_equal(set.count, cases[i].code == 0);
        config_set_deinit(&set);
    }
}

static void test_unknown_key_has_a_hint(void **state)
{
    (void)state;
    struct config_set set = {0};
    struct diag diag = {0};
    assert_int_equal(merge(&set, "segment.byte", "4096", &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "did you mean segment.bytes"));
    assert_int_equal(merge(&set, "completely.different.thing", "1", &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "known are"));
    assert_int_equal(merge(&set, NULL, "1", &diag), ERR_INVALID);
}

static void test_merge_is_all_or_nothing(void **state)
{
    (void)state;
    struct config_set set = {0};
    struct config_entry good[] = {{"segment.bytes", "1000"}, {"segment.ms", "5"}};
    struct config_entry bad[] = {{"segment.bytes", "2000"}, {"segment.ms", "x"}};
    struct config_entry reset[] = {{"segment.bytes", NULL}, {"weir.internal", "true"}};
    struct log_options options = {.segment_bytes = 77777, .segment_ms = 88888};
    struct topic_config config;
    assert_int_equal(config_set_merge(&set, good, 2, NULL), 0);
    assert_int_equal(config_set_merge(&set, bad, 2, NULL), ERR_INVALID);
    config_effective(&set, &options, &config);
    assert_int_equal(config.segment_bytes, 1000);
    assert_int_equal(config.segment_ms, 5);
    assert_int_equal(config_set_merge(&set, reset, 2, NULL), 0);
    config_effective(&set, &options, &config);
    assert_int_equal(config.segment_bytes, 77777);
    assert_true(config.internal);
    assert_int_equal(config.max_message_bytes, 104857600);
    assert_int_equal(config.timestamp_after_max_ms, 3600000);
    config_set_deinit(&set);
}

static void test_texts(void **state)
{
    (void)state;
    struct config_set set = {0};
    struct log_options options = {.segment_bytes = 77777, .segment_ms = 88888};
    char value[64];
    bool is_set;
    assert_int_equal(config_text(&set, &options, "segment.bytes", value, sizeof value, &is_set), 0);
    assert_string_equal(value, "77777");
    assert_false(is_set);
    assert_int_equal(config_text(&set, &options, "cleanup.policy", value, sizeof value, &is_set),
                     0);
    assert_string_equal(value, "delete");
    assert_int_equal(
        config_text(&set, &options, "weir.partitioned.by", value, sizeof value, &is_set),
        ERR_NOT_FOUND);
    assert_int_equal(config_text(&set, &options, "nope", value, sizeof value, &is_set),
                     ERR_NOT_FOUND);
    assert_int_equal(merge(&set, "weir.partitioned.by", "user", NULL), 0);
    assert_int_equal(
        config_text(&set, &options, "weir.partitioned.by", value, sizeof value, &is_set), 0);
    assert_string_equal(value, "user");
    assert_true(is_set);
    assert_int_equal(config_text(&set, &options, "weir.partitioned.by", value, 3, &is_set),
                     ERR_TOO_LARGE);
    config_set_deinit(&set);
}

static void test_stored_form(void **state)
{
    (void)state;
    struct config_set set = {0}, again = {0};
    struct buf out = {0};
    assert_int_equal(merge(&set, "segment.ms", "5", NULL), 0);
    assert_int_equal(config_set_encode(&set, &out), 0);
    assert_int_equal(out.size, 15);
    assert_memory_equal(out.data,
                        "\0\12segment.ms\0\1"
                        "5",
                        15);
    assert_int_equal(config_set_decode(bytes_of(out.data, out.size), 1, &again), 0);
    assert_string_equal(again.pairs[0].value, "5");
    config_set_deinit(&again);
    for (size_t cut = 0; cut < out.size; cut++)
        assert_int_equal(config_set_decode(bytes_of(out.data, cut), 1, &again), ERR_CORRUPT);
    assert_int_equal(config_set_decode(bytes_of(out.data, out.size), 0, &again), ERR_CORRUPT);
    config_set_deinit(&set);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_unknown_key_has_a_hint),
        cmocka_unit_test(test_merge_is_all_or_nothing),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stored_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
