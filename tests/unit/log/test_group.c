/* test_group.c: committed offsets of groups. */
#include "log/group.h"
#include "log/log_internal.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void commit_one(struct log *log, const char *group, const char *topic, int32_t partition,
                       int64_t offset)
{
    struct group_offset entry = {
        .partition = partition, .offset = offset, .metadata = bytes_text("note")};
    snprintf(entry.topic, sizeof entry.topic, "%s", topic);
    assert_int_equal(group_commit(log, group, &entry, 1, NULL), 0);
}

static void test_commit_and_fetch(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct group_offset offset;
    fixture_topic(log, "t", 2, NULL);
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, -1);
    commit_one(log, "g", "t", 0, 5);
    commit_one(log, "g", "t", 0, 7);
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, 7);
    struct buf metadata = {0};
    assert_int_equal(group_fetch_metadata(log, "g", "t", 0, &offset, &metadata), 0);
    assert_true(bytes_equal(offset.metadata, bytes_text("note")));
    buf_deinit(&metadata);
    assert_string_equal(offset.topic, "t");
    assert_true(offset.commit_time_ms > 1600000000000);
    assert_int_equal(group_fetch(log, "g", "t", 1, &offset), 0);
    assert_int_equal(offset.offset, -1);
    assert_int_equal(group_fetch(log, "g", "none", 0, &offset), ERR_NOT_FOUND);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_refused(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), name[402];
    struct log *log = fixture_open(dir);
    struct group_offset good = {.topic = "t", .partition = 0, .offset = 1},
                        unknown = {.topic = "x"}, outside = {.topic = "t", .partition = 1},
                        negative = {.topic = "t", .offset = -1};
    memset(name, 'g', sizeof name);
    name[401] = '\0';
    fixture_topic(log, "t", 1, NULL);
    assert_int_equal(group_commit(log, "", &good, 1, NULL), ERR_INVALID);
    assert_int_equal(group_commit(log, name, &good, 1, NULL), ERR_INVALID);
    name[400] = '\0';
    assert_int_equal(group_commit(log, name, &good, 1, NULL), 0);
    assert_int_equal(group_commit(log, "g", &unknown, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(group_commit(log, "g", &outside, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(group_commit(log, "g", &negative, 1, NULL), ERR_INVALID);
    struct group_offset two[] = {good, unknown};
    assert_int_equal(group_commit(log, "g", two, 2, NULL), ERR_NOT_FOUND);
    struct group_offset found;
    assert_int_equal(group_fetch(log, "g", "t", 0, &found), 0);
    assert_int_equal(found.offset, -1); /* all or nothing */
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_list_describe_delete(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), **groups;
    struct log *log = fixture_open(dir);
    struct group_offset *offsets;
    size_t count;
    fixture_topic(log, "b", 3, NULL);
    fixture_topic(log, "a", 1, NULL);
    assert_int_equal(group_list(log, &groups, &count), 0);
    assert_int_equal(count, 0);
    free(groups);
    commit_one(log, "g", "b", 2, 1);
    commit_one(log, "g", "b", 0, 2);
    commit_one(log, "g", "a", 0, 3);
    commit_one(log, "g2", "a", 0, 4); /* a longer name with the same beginning */
    commit_one(log, "G", "a", 0, 5);
    assert_int_equal(group_list(log, &groups, &count), 0);
    assert_int_equal(count, 3);
    assert_string_equal(groups[0], "G");
    assert_string_equal(groups[1], "g");
    assert_string_equal(groups[2], "g2");
    free(groups);
    assert_int_equal(group_describe(log, "g", &offsets, &count), 0);
    assert_int_equal(count, 3);
    assert_string_equal(offsets[0].topic, "a");
    assert_int_equal(offsets[1].partition, 0);
    assert_int_equal(offsets[2].partition, 2);
    assert_int_equal(offsets[2].offset, 1);
    free(offsets);
    assert_int_equal(topic_delete(log, "b", NULL), 0);
    assert_int_equal(group_describe(log, "g", &offsets, &count), 0);
    assert_int_equal(count, 1);
    free(offsets);
    assert_int_equal(group_delete(log, "g", NULL), 0);
    assert_int_equal(group_delete(log, "g", NULL), ERR_NOT_FOUND);
    assert_int_equal(group_describe(log, "g", &offsets, &count), ERR_NOT_FOUND);
    assert_int_equal(group_describe(log, "g2", &offsets, &count), 0);
    free(offsets);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_and_fetch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_list_describe_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
