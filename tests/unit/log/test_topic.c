/* test_topic.c: names, creation, configuration, deletion, and what a restart makes of them. */
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <sys/stat.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_names(void **state)
{
    (void)state;
    char long_name[251];
    memset(long_name, 'a', sizeof long_name);
    long_name[250] = '\0';
    static const char *const good[] = {"a", "A.b_c-9", "...", "-"}, *const bad[] = {
                                                                        "",         ".",    "..",
                                                                        "a/b",      "../x", "a b",
                                                                        "\xc3\xa4", "a\n"};
    struct diag diag;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(topic_name_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        diag.text[0] = '\0';
        assert_int_equal(topic_name_check(bad[i], &diag), ERR_INVALID);
        assert_true(diag.text[0] != '\0');
    }
    assert_int_equal(topic_name_check(NULL, NULL), ERR_INVALID);
    assert_int_equal(topic_name_check(long_name, NULL), ERR_INVALID);
    long_name[249] = '\0';
    assert_int_equal(topic_name_check(long_name, NULL), 0);
}

/* RFC 4648 section 10 vectors do not have 16 bytes; these two are from Python's
 * base64.urlsafe_b64encode. */
static void test_uuid_text(void **state)
{
    (void)state;
    struct uuid id;
    char text[23];
    memset(id.bytes, 0xff, 16);
    uuid_text(id, text);
    assert_string_equal(text, "_____________________w");
    for (int i = 0; i < 16; i++)
        id.bytes[i] = (uint8_t)i;
    uuid_text(id, text);
    assert_string_equal(text, "AAECAwQFBgcICQoLDA0ODw");
}

static void test_create_describe_list(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), name[250];
    struct log *log = fixture_open(dir);
    struct diag diag = {0};
    struct topic_info info, *list;
    size_t count;
    struct config_entry internal = {"weir.internal", "true"}, wrong = {"segment.bytez", "1"};
    fixture_topic(log, "zeta", 2, NULL);
    assert_int_equal(topic_create(log, "alpha", 1, &internal, 1, NULL), 0);
    memset(name, 'n', 249);
    name[249] = '\0';
    fixture_topic(log, name, 1, NULL);
    assert_int_equal(fixture_append(fixture_partition(log, name, 0), 1, 1), 0);
    assert_int_equal(topic_create(log, "zeta", 1, NULL, 0, &diag), ERR_EXISTS);
    assert_int_equal(topic_create(log, "x", 0, NULL, 0, &diag), ERR_INVALID);
    assert_int_equal(topic_create(log, "x", 10001, NULL, 0, &diag), ERR_INVALID);
    assert_int_equal(topic_create(log, "x/y", 1, NULL, 0, &diag), ERR_INVALID);
    assert_int_equal(topic_create(log, "x", 1, &wrong, 1, &diag), ERR_INVALID);
    assert_int_equal(topic_describe(log, "zetta", &info, &diag), ERR_NOT_FOUND);
    assert_non_null(strstr(diag.text, "did you mean zeta"));
    struct partition *partition;
    assert_int_equal(partition_get(log, "zeta", 2, &partition, &diag), ERR_NOT_FOUND);
    for (int reopened = 0; reopened < 2; reopened++) {
        assert_int_equal(topic_describe(log, "alpha", &info, NULL), 0);
        assert_true(info.internal);
        assert_int_equal(info.partitions, 1);
        assert_int_equal(topic_list(log, &list, &count), 0);
        assert_int_equal(count, 3);
        assert_string_equal(list[0].name, "alpha");
        assert_string_equal(list[2].name, "zeta");
        free(list);
        log_close(log);
        log = fixture_open(dir);
    }
    log_close(log);
    scratch_dir_remove(dir);
}

static void count_key(void *context, const char *key, const char *value, bool is_set)
{
    (void)value;
    if (is_set)
        assert_string_equal(key, "segment.bytes");
    ++*(int *)context;
}

static void test_alter(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), value[64];
    struct log *log = fixture_open(dir);
    fixture_topic(log, "t", 1, "1000");
    struct config_entry set = {"segment.bytes", "5000"}, reset = {"segment.bytes", NULL},
                        bad = {"segment.bytes", "x"};
    assert_int_equal(topic_alter(log, "t", &set, 1, NULL), 0);
    assert_int_equal(topic_alter(log, "t", &bad, 1, NULL), ERR_INVALID);
    assert_int_equal(topic_alter(log, "u", &set, 1, NULL), ERR_NOT_FOUND);
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(topic_config_get(log, "t", "segment.bytes", value, sizeof value), 0);
    assert_string_equal(value, "5000");
    int count = 0, with_default = 0;
    for (size_t i = 0; config_key_at(i) != NULL; i++)
        with_default += config_key_at(i)->fallback != NULL;
    assert_int_equal(topic_config_each(log, "t", count_key, &count), 0);
    assert_int_equal(count, with_default); /* weir.partitioned.by has neither value nor default */
    assert_int_equal(topic_alter(log, "t", &reset, 1, NULL), 0);
    assert_int_equal(topic_config_get(log, "t", "segment.bytes", value, sizeof value), 0);
    assert_string_equal(value, "1073741824");
    assert_int_equal(topic_config_get(log, "t", "weir.partitioned.by", value, sizeof value),
                     ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

/* A topic of the same name is another topic: no records, no group offsets, another id. */
static void test_delete_and_recreate(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *topics = scratch_path(dir, "topics"), command[600];
    struct log *log = fixture_open(dir);
    struct topic_info before, after;
    struct group_offset offset = {.topic = "t", .partition = 1, .offset = 5};
    fixture_topic(log, "t", 2, NULL);
    struct partition *old = fixture_partition(log, "t", 1);
    assert_int_equal(fixture_append(old, 1, 5), 0);
    assert_int_equal(group_commit(log, "g", &offset, 1, NULL), 0);
    assert_int_equal(topic_describe(log, "t", &before, NULL), 0);
    assert_int_equal(topic_delete(log, "t", NULL), 0);
    assert_int_equal(topic_delete(log, "t", NULL), ERR_NOT_FOUND);
    assert_int_equal(fixture_append(old, 9, 1), ERR_NOT_FOUND);
    assert_int_equal(partition_wait(old, 100, -1), ERR_NOT_FOUND);
    struct fixture_record *records;
    assert_int_equal(fixture_read(old, 0, READ_COMMITTED, 100, &records), ERR_NOT_FOUND);
    snprintf(command, sizeof command, "test -z \"$(ls '%s')\"", topics);
    assert_int_equal(system(command), 0);
    fixture_topic(log, "t", 2, NULL);
    for (int reopened = 0; reopened < 2; reopened++) {
        assert_int_equal(topic_describe(log, "t", &after, NULL), 0);
        assert_memory_not_equal(&before.id, &after.id, sizeof before.id);
        assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED), "");
        assert_int_equal(group_fetch(log, "g", "t", 1, &offset), 0);
        assert_int_equal(offset.offset, -1);
        log_close(log);
        log = fixture_open(dir);
    }
    log_close(log);
    free(topics);
    scratch_dir_remove(dir);
}

static int delete_in_child(void *context)
{
    struct log *log = fixture_open(context);
    topic_delete(log, "t", NULL);
    log_close(log);
    return 0;
}

static void test_crash_while_deleting(void **state)
{
    (void)state;
    static const struct {
        const char *at;
        bool gone;
    } cases[] = {{"topic.delete.begin", false},
                 {"topic.delete.recorded", true},
                 {"topic.delete.renamed", true},
                 {"topic.delete.renamed:2", true},
                 {"topic.delete.removed", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = scratch_dir_create(), command[600];
        struct log *log = fixture_open(dir);
        fixture_topic(log, "t", 2, NULL);
        fixture_topic(log, "keep", 1, NULL);
        assert_int_equal(fixture_append(fixture_partition(log, "t", 0), 1, 3), 0);
        log_close(log);
        assert_int_equal(fixture_child(delete_in_child, dir, cases[i].at), 137);
        log = fixture_open(dir);
        assert_int_equal(topic_describe(log, "t", NULL, NULL), cases[i].gone ? ERR_NOT_FOUND : 0);
        assert_int_equal(topic_describe(log, "keep", NULL, NULL), 0);
        snprintf(command, sizeof command, "test $(ls '%s/topics' | wc -l) = %d", dir,
                 cases[i].gone ? 1 : 3);
        assert_int_equal(system(command), 0);
        if (!cases[i].gone)
            assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED),
                                "1 2 3");
        log_close(log);
        scratch_dir_remove(dir);
    }
}

static int create_in_child(void *context)
{
    struct log *log = fixture_open(context);
    topic_create(log, "t", 3, NULL, 0, NULL);
    log_close(log);
    return 0;
}

/* Whole or not there. */
static void test_crash_while_creating(void **state)
{
    (void)state;
    static const char *const at[] = {"topic.create.recorded", "topic.create.directory:2"};
    for (size_t i = 0; i < 2; i++) {
        char *dir = scratch_dir_create();
        assert_int_equal(fixture_child(create_in_child, dir, at[i]), 137);
        struct log *log = fixture_open(dir);
        for (int32_t p = 0; p < 3; p++)
            assert_int_equal(fixture_append(fixture_partition(log, "t", p), p, 1), 0);
        log_close(log);
        scratch_dir_remove(dir);
    }
}

static void test_foreign_directory_in_the_way(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "topics/t-1"),
         *file = scratch_path(path, "x");
    struct diag diag = {0};
    log_close(fixture_open(dir));
    assert_int_equal(mkdir(path, 0755), 0);
    fclose(fopen(file, "w"));
    struct log *log = fixture_open(dir);
    assert_int_equal(topic_create(log, "t", 2, NULL, 0, &diag), ERR_EXISTS);
    assert_non_null(strstr(diag.text, "t-1"));
    assert_int_equal(topic_describe(log, "t", NULL, NULL), ERR_NOT_FOUND);
    assert_int_equal(access(file, F_OK), 0);
    log_close(log);
    free(path);
    free(file);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_uuid_text),
        cmocka_unit_test(test_create_describe_list),
        cmocka_unit_test(test_alter),
        cmocka_unit_test(test_delete_and_recreate),
        cmocka_unit_test(test_crash_while_deleting),
        cmocka_unit_test(test_crash_while_creating),
        cmocka_unit_test(test_foreign_directory_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
