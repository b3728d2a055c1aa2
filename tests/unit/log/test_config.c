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
        {"cleanup.policy", "delete,compact", 0},
        {"cleanup.policy", "compact, delete", 0},
        {"cleanup.policy", "compact,delete,compact", ERR_INVALID},
        {"cleanup.policy", "delete,delete", ERR_INVALID},
        {"cleanup.policy", "compact,", ERR_INVALID},
        {"cleanup.policy", "compact delete", ERR_INVALID},
        {"cleanup.policy", "compactdelete", ERR_INVALID},
        {"cleanup.policy", "", ERR_INVALID},
        {"segment.bytes", "256", 0},
        {"segment.bytes", "2147483647", 0},
        {"segment.bytes", "+4096", ERR_INVALID},
        {"segment.bytes", "\t4096", ERR_INVALID},
        {"segment.index.bytes", "11", ERR_INVALID},
        {"segment.index.bytes", "12", 0},
        {"retention.ms", "-1", 0},
        {"retention.ms", "-2", ERR_INVALID},
        {"retention.bytes", "-1", 0},
        {"retention.bytes", "-2", ERR_INVALID},
        {"retention.bytes", "9223372036854775808", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "0", 0},
        {"min.cleanable.dirty.ratio", "1", 0},
        {"min.cleanable.dirty.ratio", "1.0", 0},
        {"min.cleanable.dirty.ratio", ".25", 0},
        {"min.cleanable.dirty.ratio", "1.01", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "-0.1", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "nan", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "0x1", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "0,5", ERR_INVALID},
        {"min.cleanable.dirty.ratio", ".", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "", ERR_INVALID},
        {"min.cleanable.dirty.ratio", "0.1234567890123456", ERR_INVALID},
        {"max.compaction.lag.ms", "0", ERR_INVALID},
        {"max.compaction.lag.ms", "1", 0},
        {"min.compaction.lag.ms", "0", 0},
        {"delete.retention.ms", "0", 0},
        {"compression.type", "producer", 0},
        {"compression.type", "uncompressed", 0},
        {"compression.type", "gzip", 0},
        {"compression.type", "snappy", 0},
        {"compression.type", "lz4", 0},
        {"compression.type", "zstd", 0},
        {"compression.type", "none", ERR_INVALID},
        {"compression.type", "gzip snappy", ERR_INVALID},
        {"compression.type", "", ERR_INVALID},
        {"message.timestamp.type", "CreateTime", 0},
        {"message.timestamp.type", "LogAppendTime", 0},
        {"message.timestamp.type", "createtime", ERR_INVALID},
        {"message.timestamp.before.max.ms", "0", 0},
        /* What Kafka's tools and Kafka Streams set, where it is true here; the rest is refused. */
        {"min.insync.replicas", "1", 0},
        {"min.insync.replicas", "2", ERR_INVALID},
        {"unclean.leader.election.enable", "false", 0},
        {"unclean.leader.election.enable", "true", ERR_INVALID},
        {"preallocate", "true", ERR_INVALID},
        {"index.interval.bytes", "4096", 0},
        {"index.interval.bytes", "8192", ERR_INVALID},
        {"flush.messages", "1", ERR_INVALID},
        {"follower.replication.throttled.replicas", "", 0},
        {"follower.replication.throttled.replicas", "*", ERR_INVALID},
        {"message.format.version", "3.0", ERR_INVALID},
        {"message.timestamp.difference.max.ms", "5", ERR_INVALID},
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
    assert_non_null(strstr(diag.text, "the nearest is segment.bytes."));
    assert_int_equal(merge(&set, "retenton.ms", "4096", &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "the nearest is retention.ms."));
    assert_int_equal(merge(&set, "completely.different.thing", "1", &diag), ERR_INVALID);
    assert_non_null(strstr(diag.text, "weir topic configs"));
    assert_null(strstr(diag.text, "nearest")); /* nothing is near: no key is named at random */
    assert_int_equal(merge(&set, "x", "1", &diag), ERR_INVALID);
    assert_null(strstr(diag.text, "nearest"));
    assert_int_equal(merge(&set, NULL, "1", &diag), ERR_INVALID);
}

/* Kafka 4.0's documented defaults, but for those whose difference the table gives a reason for. */
static void test_defaults(void **state)
{
    (void)state;
    struct config_set set = {0};
    struct log_options options = {.segment_bytes = 1 << 30, .segment_ms = 604800000};
    struct topic_config config;
    config_effective(&set, &options, &config);
    assert_int_equal(config.segment_bytes, 1073741824);
    assert_int_equal(config.segment_ms, 604800000);
    assert_int_equal(config.segment_index_bytes, 10485760);
    assert_int_equal(config.timestamp_before_max_ms, INT64_MAX);
    assert_int_equal(config.timestamp_after_max_ms, 3600000);
    assert_int_equal(config.retention_ms, 604800000);
    assert_int_equal(config.retention_bytes, -1);
    assert_int_equal(config.min_compaction_lag_ms, 0);
    assert_int_equal(config.max_compaction_lag_ms, INT64_MAX);
    assert_int_equal(config.delete_retention_ms, 86400000);
    assert_true(config.min_cleanable_dirty_ratio == 0.5);
    assert_int_equal(config.compression, COMPRESSION_PRODUCER);
    assert_false(config.log_append_time);
    assert_true(config.deletes);
    assert_false(config.compacted);
    assert_false(config.internal);
    assert_int_equal(config.max_message_bytes, 104857600); /* Kafka: 1048588 */
    assert_non_null(config_key_find("max.message.bytes")->differs);
}

static void test_effective(void **state)
{
    (void)state;
    static const struct config_entry entries[] = {
        {"cleanup.policy", "compact,delete"},
        {"compression.type", "zstd"},
        {"message.timestamp.type", "LogAppendTime"},
        {"min.cleanable.dirty.ratio", "0.125"},
        {"retention.ms", "1"},
        {"retention.bytes", "2"},
        {"min.compaction.lag.ms", "3"},
        {"max.compaction.lag.ms", "4"},
        {"delete.retention.ms", "5"},
        {"message.timestamp.before.max.ms", "6"},
        {"message.timestamp.after.max.ms", "7"},
        {"segment.index.bytes", "800"},
    };
    struct config_set set = {0};
    struct log_options options = {0};
    struct topic_config config;
    assert_int_equal(
        config_set_merge(&set, entries, sizeof entries / sizeof *entries, &(struct diag){0}), 0);
    config_effective(&set, &options, &config);
    assert_true(config.deletes && config.compacted && config.log_append_time);
    assert_int_equal(config.compression, CODEC_ZSTD);
    assert_true(config.min_cleanable_dirty_ratio == 0.125);
    assert_int_equal(config.retention_ms, 1);
    assert_int_equal(config.retention_bytes, 2);
    assert_int_equal(config.min_compaction_lag_ms, 3);
    assert_int_equal(config.max_compaction_lag_ms, 4);
    assert_int_equal(config.delete_retention_ms, 5);
    assert_int_equal(config.timestamp_before_max_ms, 6);
    assert_int_equal(config.timestamp_after_max_ms, 7);
    assert_int_equal(config.segment_index_bytes, 800);
    config_set_deinit(&set);
}

/* Every line of the table is complete, its default is one of its values, and a fixed key takes its
 * default and nothing else. */
static void test_the_table_is_whole(void **state)
{
    (void)state;
    const struct config_key *key, *before = NULL;
    for (size_t i = 0; (key = config_key_at(i)) != NULL; before = key, i++) {
        struct config_set set = {0};
        struct diag diag = {0};
        char values[256];
        assert_ptr_equal(config_key_find(key->name), key);
        assert_true(before == NULL || before->role < key->role ||
                    (before->role == key->role && strcmp(before->name, key->name) < 0));
        assert_true(key->help != NULL && strlen(key->help) > 10);
        config_key_values(key, values, sizeof values);
        assert_true(values[0] != '\0' && strlen(values) < sizeof values - 1);
        if (key->fallback != NULL)
            assert_int_equal(merge(&set, key->name, key->fallback, &diag), 0);
        if (key->role != KEY_ACTS || key->kind != KIND_TEXT) {
            assert_int_equal(merge(&set, key->name, "surprise", &diag), ERR_INVALID);
            assert_non_null(strstr(diag.text, key->name));
        }
        if (key->role == KEY_REFUSED)
            assert_null(key->fallback);
        config_set_deinit(&set);
    }
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

/* What another version stored and this one would refuse has no effect, and what it does not know
 * stays as it is. */
static void test_stored_by_another_version(void **state)
{
    (void)state;
    static const char stored[] = "\0\12segment.ms\0\5never\0\15segment.bytes\0\1"
                                 "7\0\14retention.ms\0\2-9\0\12future.key\0\1x";
    struct config_set set;
    struct log_options options = {.segment_bytes = 77777, .segment_ms = 88888};
    struct topic_config config;
    struct buf out = {0};
    char value[64];
    bool is_set;
    assert_int_equal(config_set_decode(bytes_of(stored, sizeof stored - 1), 4, &set), 0);
    config_effective(&set, &options, &config);
    assert_int_equal(config.segment_ms, 88888);
    assert_int_equal(config.segment_bytes, 77777);
    assert_int_equal(config.retention_ms, 604800000);
    assert_int_equal(config_text(&set, &options, "segment.ms", value, sizeof value, &is_set), 0);
    assert_string_equal(value, "88888");
    assert_false(is_set);
    assert_int_equal(config_text(&set, &options, "future.key", value, sizeof value, &is_set),
                     ERR_NOT_FOUND);
    assert_int_equal(config_set_encode(&set, &out), 0);
    assert_int_equal(out.size, sizeof stored - 1);
    assert_memory_equal(out.data, stored, sizeof stored - 1);
    assert_int_equal(merge(&set, "future.key", "y", NULL), ERR_INVALID);
    assert_int_equal(merge(&set, "future.key", NULL, NULL), 0);
    assert_int_equal(set.count, 3);
    config_set_deinit(&set);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_unknown_key_has_a_hint),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_effective),
        cmocka_unit_test(test_the_table_is_whole),
        cmocka_unit_test(test_merge_is_all_or_nothing),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stored_form),
        cmocka_unit_test(test_stored_by_another_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
