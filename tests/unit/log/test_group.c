/* test_group.c: committed offsets of groups. */
#include "log/group.h"
#include "log/log_internal.h"
#include "runtime/base/clock.h"
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

/* ---- metadata ---- */

static void test_metadata_limit(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *text = malloc(4097);
    struct log *log = fixture_open(dir);
    struct group_offset offset = {.topic = "t", .offset = 1}, *offsets;
    struct buf metadata = {0};
    size_t count;
    memset(text, 'm', 4097);
    fixture_topic(log, "t", 2, NULL);
    offset.metadata = bytes_of(text, 4097);
    assert_int_equal(group_commit(log, "g", &offset, 1, NULL), ERR_TOO_LARGE);
    offset.metadata = bytes_of(text, 4096);
    assert_int_equal(group_commit(log, "g", &offset, 1, NULL), 0);
    commit_one(log, "g", "t", 1, 2);
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(group_fetch_metadata(log, "g", "t", 0, &offset, &metadata), 0);
    assert_int_equal(offset.metadata.size, 4096);
    assert_memory_equal(offset.metadata.data, text, 4096);
    assert_int_equal(group_describe(log, "g", &offsets, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(offsets[0].metadata.size, 4096);
    assert_memory_equal(offsets[0].metadata.data, text, 4096);
    assert_true(bytes_equal(offsets[1].metadata, bytes_text("note")));
    free(offsets);
    buf_deinit(&metadata);
    free(text);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- members beside standalone commits ---- */

static void on_join(void *context, const struct join_response *response)
{
    struct group_member *member = context;
    assert_int_equal(response->error, GROUP_OK);
    member->member_id = strdup(response->member_id);
    member->generation = response->generation;
}

static void on_sync(void *context, const struct sync_response *response)
{
    (void)context;
    assert_int_equal(response->error, GROUP_OK);
}

/* One member of group g that subscribes to topics "t" and is assigned t-1, as a client's bytes say it. */
static struct group_member make_member(struct log *log)
{
    static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
    static const uint8_t assignment[] = {0, 0, 0, 0, 0, 1, 0,    1,    't',  0,   0,
                                         0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff};
    struct group_member member = {0};
    struct join_protocol protocol = {"range", bytes_of(subscription, sizeof subscription)};
    struct join_request join = {.group = "g",
                                .member_id = "",
                                .client_id = "client",
                                .host = "/10.0.0.1",
                                .protocol_type = "consumer",
                                .session_timeout_ms = 10000,
                                .protocols = &protocol,
                                .protocol_count = 1};
    coordinator_join(log->coordinator, &join, on_join, &member);
    struct sync_assignment given = {member.member_id, bytes_of(assignment, sizeof assignment)};
    struct sync_request sync = {
        .group = "g", .member = member, .assignments = &given, .assignment_count = 1};
    coordinator_sync(log->coordinator, &sync, on_sync, NULL);
    return member;
}

static void drop_member(struct log *log, struct group_member *member)
{
    assert_int_equal(coordinator_leave(log->coordinator, "g", member), GROUP_OK);
    free((char *)(uintptr_t)member->member_id);
}

static void test_members_keep_others_out(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct group_offset offset = {.topic = "t", .partition = 1, .offset = 1};
    struct group_reset reset = {.topic = "t", .partition = -1, .execute = true};
    struct group_reset_row *rows;
    size_t count;
    fixture_topic(log, "t", 2, NULL);
    fixture_topic(log, "u", 1, NULL);
    commit_one(log, "g", "t", 0, 3);
    commit_one(log, "g", "u", 0, 3);
    struct group_member member = make_member(log);
    assert_int_equal(group_commit(log, "g", &offset, 1, NULL), ERR_MEMBER);
    assert_int_equal(group_commit_member(log, "g", &member, &offset, 1, NULL), 0);
    assert_int_equal(group_reset_offsets(log, "g", &reset, &rows, &count, NULL), ERR_BUSY);
    reset.execute = false;
    assert_int_equal(group_reset_offsets(log, "g", &reset, &rows, &count, NULL), ERR_BUSY);
    assert_int_equal(group_delete(log, "g", NULL), ERR_BUSY);
    assert_int_equal(group_delete_offsets(log, "g", "t", -1, NULL), ERR_BUSY);
    assert_int_equal(group_delete_offsets(log, "g", "u", -1, NULL), 0); /* nobody reads it */
    assert_int_equal(group_delete_offsets(log, "g", "u", -1, NULL), ERR_NOT_FOUND);
    member.generation++;
    assert_int_equal(group_commit_member(log, "g", &member, &offset, 1, NULL), ERR_MEMBER);
    drop_member(log, &member);
    assert_int_equal(group_delete_offsets(log, "g", "t", 0, NULL), 0);
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, -1);
    assert_int_equal(group_fetch(log, "g", "t", 1, &offset), 0);
    assert_int_equal(offset.offset, 1);
    assert_int_equal(group_delete(log, "g", NULL), 0);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_info_and_lag(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), **names;
    struct log *log = fixture_open(dir);
    struct group_lag *rows;
    struct group_info info;
    size_t count;
    int64_t total;
    fixture_topic(log, "t", 3, NULL);
    struct partition *partition = fixture_partition(log, "t", 1);
    fixture_append(partition, 0, 10);
    fixture_append(fixture_partition(log, "t", 2), 0, 4);
    partition_wait(partition, 10, -1);
    partition_wait(fixture_partition(log, "t", 2), 4, -1);
    assert_int_equal(group_info(log, "g", &info, NULL), ERR_NOT_FOUND);
    assert_int_equal(group_lag(log, "g", &rows, &count, &total, NULL), ERR_NOT_FOUND);
    struct group_member member = make_member(log);
    assert_int_equal(group_lag(log, "g", &rows, &count, &total, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(rows[1].committed, -1);
    assert_int_equal(rows[1].lag, -1);
    assert_string_equal(rows[1].member_id, member.member_id);
    assert_string_equal(rows[1].client_id, "client");
    assert_string_equal(rows[1].host, "/10.0.0.1");
    assert_null(rows[0].member_id);
    assert_int_equal(total, 0);
    free(rows);
    assert_int_equal(group_info(log, "g", &info, NULL), 0);
    assert_int_equal(info.state, GROUP_STABLE);
    assert_string_equal(group_state_text(info.state), "Stable");
    assert_int_equal(info.generation, 1);
    assert_int_equal(info.member_count, 1);
    assert_string_equal(info.assignor, "range");
    assert_int_equal(group_list(log, &names, &count), 0); /* members alone make a group */
    assert_int_equal(count, 1);
    free(names);
    struct group_offset offsets[] = {
        {.topic = "t", .partition = 1, .offset = 7, .metadata = bytes_text("m")},
        {.topic = "t", .partition = 2, .offset = 99}};
    assert_int_equal(group_commit_member(log, "g", &member, offsets, 2, NULL), 0);
    drop_member(log, &member);
    assert_int_equal(group_lag(log, "g", &rows, &count, &total, NULL), 0);
    assert_int_equal(rows[1].lag, 3);
    assert_int_equal(rows[1].end, 10);
    assert_true(bytes_equal(rows[1].metadata, bytes_text("m")));
    assert_int_equal(rows[2].lag, 0); /* not below 0 */
    assert_null(rows[1].member_id);
    assert_int_equal(total, 3);
    free(rows);
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(group_info(log, "g", &info, NULL), 0);
    assert_int_equal(info.state, GROUP_EMPTY);
    assert_int_equal(info.generation, 2);
    assert_true(info.empty_since_ms > 1600000000000);
    assert_string_equal(info.protocol_type, "consumer");
    assert_int_equal(info.offset_count, 2);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- reset ---- */

static struct log *reset_log;
static char reset_text[256];

/* The rows as "t-0 old>wanted>new …", or the error. */
static const char *reset_to(const char *topic, int32_t partition, enum group_reset_to to,
                            int64_t number, bool execute)
{
    struct group_reset reset = {topic, partition, to, number, execute};
    struct group_reset_row *rows;
    size_t count, used = 0;
    int rc = group_reset_offsets(reset_log, "g", &reset, &rows, &count, NULL);
    if (rc < 0)
        return error_text(rc);
    reset_text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(reset_text + used, sizeof reset_text - used,
                                 "%s%s-%d %" PRId64 ">%" PRId64 ">%" PRId64, i > 0 ? " " : "",
                                 rows[i].topic, rows[i].partition, rows[i].old_offset,
                                 rows[i].wanted_offset, rows[i].new_offset);
    free(rows);
    return reset_text;
}

static void test_reset(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = reset_log = fixture_open(dir);
    struct group_offset offset;
    fixture_topic(log, "t", 2, NULL);
    fixture_topic(log, "u", 1, NULL);
    struct partition *partition = fixture_partition(log, "t", 0);
    for (int i = 0; i < 10; i++)
        fixture_append_sized(partition, i, 1, 10, 1000 + i);
    partition_wait(partition, 10, -1);
    assert_int_equal(partition_purge(partition, 2, NULL), 0);
    assert_string_equal(reset_to(NULL, -1, GROUP_RESET_EARLIEST, 0, false),
                        error_text(ERR_NOT_FOUND));
    assert_string_equal(reset_to("t", -1, GROUP_RESET_EARLIEST, 0, false), "t-0 -1>2>2 t-1 -1>0>0");
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, -1); /* a dry run */
    commit_one(log, "g", "t", 0, 5);
    commit_one(log, "g", "u", 0, 0);
    assert_string_equal(reset_to("t", 0, GROUP_RESET_LATEST, 0, false), "t-0 5>10>10");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_OFFSET, 7, false), "t-0 5>7>7");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_OFFSET, 70, false), "t-0 5>70>10");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_OFFSET, 1, false), "t-0 5>1>2");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_TIME, 1006, false), "t-0 5>6>6");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_TIME, 9999, false), "t-0 5>10>10");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_SHIFT, 3, false), "t-0 5>8>8");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_SHIFT, -4, false), "t-0 5>1>2");
    assert_string_equal(reset_to("t", 0, GROUP_RESET_SHIFT, INT64_MAX, false),
                        "t-0 5>9223372036854775807>10");
    assert_string_equal(reset_to("t", 1, GROUP_RESET_SHIFT, 1, false), error_text(ERR_STATE));
    assert_string_equal(reset_to("t", 2, GROUP_RESET_LATEST, 0, false), error_text(ERR_RANGE));
    assert_string_equal(reset_to("x", 0, GROUP_RESET_LATEST, 0, false), error_text(ERR_NOT_FOUND));
    assert_string_equal(reset_to(NULL, -1, GROUP_RESET_LATEST, 0, true),
                        "t-0 5>10>10 t-1 -1>0>0 u-0 0>0>0");
    log_close(log);
    log = reset_log = fixture_open(dir);
    assert_int_equal(group_fetch(log, "g", "t", 0, &offset), 0);
    assert_int_equal(offset.offset, 10);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- expiry ---- */

enum { DAY_MS = 24 * 3600 * 1000 };

static int64_t committed_at(struct log *log, const char *group, int32_t partition)
{
    struct group_offset offset;
    assert_int_equal(group_fetch(log, group, "t", partition, &offset), 0);
    return offset.offset;
}

static size_t expire(struct log *log, int64_t now_ms)
{
    size_t removed;
    assert_int_equal(groups_expire(log, now_ms, &removed, NULL), 0);
    return removed;
}

static void test_expiry(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), **names;
    struct log *log = fixture_open(dir);
    int64_t now = clock_wall_ms(), day = DAY_MS;
    size_t count;
    fixture_topic(log, "t", 3, NULL);
    struct group_offset offsets[] = {
        {.topic = "t", .partition = 0, .offset = 1, .commit_time_ms = now - 8 * day},
        {.topic = "t", .partition = 1, .offset = 2, .commit_time_ms = now - 6 * day},
        {.topic = "t",
         .partition = 2,
         .offset = 3,
         .commit_time_ms = now - 80 * day,
         .of_app = true}};
    /* standalone: each offset by itself, those of an app never */
    assert_int_equal(group_commit(log, "s", offsets, 3, NULL), 0);
    /* a group with members: none; after they left: from then on */
    struct group_member member = make_member(log);
    assert_int_equal(group_commit_member(log, "g", &member, offsets, 2, NULL), 0);
    assert_int_equal(expire(log, now), 1);
    assert_int_equal(committed_at(log, "s", 0), -1);
    assert_int_equal(committed_at(log, "s", 1), 2);
    assert_int_equal(committed_at(log, "s", 2), 3);
    assert_int_equal(committed_at(log, "g", 0), 1);
    assert_int_equal(expire(log, now + 30 * day), 1); /* s-1 */
    drop_member(log, &member);
    assert_int_equal(expire(log, now + 6 * day), 0);
    log_close(log);
    log = fixture_open(dir);
    assert_int_equal(expire(log, now + 6 * day), 0);
    assert_int_equal(committed_at(log, "g", 0), 1);
    struct keeper_report report = {0};
    assert_int_equal(log_keep_house(log, now + 8 * day, &report, NULL), 0);
    assert_int_equal(report.offsets_expired, 2);
    assert_int_equal(committed_at(log, "g", 0), -1);
    assert_int_equal(committed_at(log, "s", 2), 3);
    assert_int_equal(group_list(log, &names, &count), 0); /* nothing is left of g */
    assert_int_equal(count, 1);
    free(names);
    log_close(log);
    scratch_dir_remove(dir);
}

static int die_with_a_member(void *context)
{
    struct log *log = fixture_open(context);
    struct group_offset offset = {
        .topic = "t", .partition = 0, .offset = 9, .commit_time_ms = 1000};
    struct group_member member = make_member(log);
    if (groups_store(log, NULL) < 0 || group_commit_member(log, "g", &member, &offset, 1, NULL) < 0)
        return 1;
    return group_commit_member(log, "g", &member, &offset, 1, NULL); /* crashes */
}

static void test_group_of_a_dead_process_is_empty_from_when_it_is_found(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    int64_t now = clock_wall_ms(), day = DAY_MS;
    fixture_topic(log, "t", 1, NULL);
    log_close(log);
    assert_int_equal(fixture_child(die_with_a_member, dir, "group.commit.done:2"), 137);
    log = fixture_open(dir);
    assert_int_equal(committed_at(log, "g", 0), 9);
    assert_int_equal(expire(log, now), 0);
    assert_int_equal(expire(log, now + 6 * day), 0);
    assert_int_equal(expire(log, now + 7 * day), 1);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_and_fetch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_list_describe_delete),
        cmocka_unit_test(test_metadata_limit),
        cmocka_unit_test(test_members_keep_others_out),
        cmocka_unit_test(test_info_and_lag),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_group_of_a_dead_process_is_empty_from_when_it_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
