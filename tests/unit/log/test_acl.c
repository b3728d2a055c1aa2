/* test_acl.c: access lists: what a set of bindings allows, table by table, and against a naive evaluation of random ones; filters; bindings that are there again after a
 * restart, byte by byte as docs/formats-log.md says; changes that are not agreed to; readers beside a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/acl.h"
#include "log/log_internal.h"
#include "runtime/base/thread.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct acl_binding binding(const char *principal, enum acl_permission permission,
                                  enum acl_operation operation, enum acl_resource resource,
                                  enum acl_pattern pattern, const char *name)
{
    return (struct acl_binding){.resource = (uint8_t)resource,
                                .pattern = (uint8_t)pattern,
                                .operation = (uint8_t)operation,
                                .permission = (uint8_t)permission,
                                .name = name,
                                .principal = principal,
                                .host = "*"};
}

static int add(struct log *log, struct acl_binding b)
{
    return acl_change(log, &(struct acl_change){.add = &b, .add_count = 1}, NULL, NULL);
}

static bool may(struct log *log, const char *principal, const char *host,
                enum acl_resource resource, const char *name, enum acl_operation operation)
{
    struct acl_rules *rules = acl_rules_take(log);
    struct acl_rights rights = acl_rights_of(rules, principal, host, resource, bytes_text(name));
    acl_rules_give_back(rules);
    return acl_rights_may(rights, operation);
}

static bool alice(struct log *log, const char *topic, enum acl_operation operation)
{
    return may(log, "User:alice", "10.0.0.1", ACL_TOPIC, topic, operation);
}

/* ---- what is allowed ---- */

static void test_allowed(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    assert_null(acl_rules_take(log));
    assert_int_equal(
        add(log, binding("User:alice", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "orders")), 0);
    assert_true(alice(log, "orders", ACL_READ));
    assert_true(alice(log, "orders", ACL_DESCRIBE)); /* implied */
    assert_false(alice(log, "orders", ACL_WRITE));
    assert_false(alice(log, "orders", ACL_DESCRIBE_CONFIGS));
    assert_false(alice(log, "order", ACL_READ));
    assert_false(alice(log, "orders2", ACL_READ));
    assert_false(may(log, "User:bob", "10.0.0.1", ACL_TOPIC, "orders", ACL_READ));
    assert_false(may(log, "User:alice", "10.0.0.1", ACL_GROUP, "orders", ACL_READ));

    assert_int_equal(
        add(log, binding("User:alice", ACL_ALLOW, ACL_ALTER_CONFIGS, ACL_TOPIC, ACL_PREFIXED, "a")),
        0);
    assert_true(alice(log, "a", ACL_ALTER_CONFIGS));
    assert_true(alice(log, "ab", ACL_DESCRIBE_CONFIGS)); /* implied */
    assert_false(alice(log, "ab", ACL_DESCRIBE));
    assert_false(alice(log, "b", ACL_ALTER_CONFIGS));
    /* A prefix that is "*" is no wildcard. */
    assert_int_equal(
        add(log, binding("User:alice", ACL_ALLOW, ACL_CREATE, ACL_TOPIC, ACL_PREFIXED, "*")), 0);
    assert_false(alice(log, "x", ACL_CREATE));

    /* Everybody, every name; one denial beats them all. */
    assert_int_equal(add(log, binding("User:*", ACL_ALLOW, ACL_ALL, ACL_TOPIC, ACL_LITERAL, "*")),
                     0);
    assert_true(alice(log, "x", ACL_CREATE));
    assert_true(may(log, "User:bob", "1.1.1.1", ACL_TOPIC, "orders", ACL_ALTER_CONFIGS));
    assert_int_equal(
        add(log, binding("User:alice", ACL_DENY, ACL_READ, ACL_TOPIC, ACL_PREFIXED, "ord")), 0);
    assert_false(alice(log, "orders", ACL_READ));
    assert_true(alice(log, "orders", ACL_DESCRIBE)); /* a denial implies nothing */
    assert_true(alice(log, "or", ACL_READ));
    assert_int_equal(
        add(log, binding("User:*", ACL_DENY, ACL_ALL, ACL_TOPIC, ACL_LITERAL, "secret")), 0);
    for (int operation = ACL_READ; operation <= ACL_ALTER_CONFIGS; operation++)
        assert_false(alice(log, "secret", (enum acl_operation)operation));

    /* At one host. */
    struct acl_binding b =
        binding("User:alice", ACL_DENY, ACL_WRITE, ACL_TOPIC, ACL_LITERAL, "here");
    b.host = "10.0.0.1";
    assert_int_equal(add(log, b), 0);
    assert_false(may(log, "User:alice", "10.0.0.1", ACL_TOPIC, "here", ACL_WRITE));
    assert_true(may(log, "User:alice", "10.0.0.2", ACL_TOPIC, "here", ACL_WRITE));
    log_close(log);
    scratch_dir_remove(dir);
}

/* An address is one, however it is written: Java writes IPv6 out, and a socket for both kinds says ::ffff:10.0.0.1 of an IPv4 client. */
static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *bound, *asked;
    } same[] = {{"10.0.0.1", "::ffff:10.0.0.1"},
                {"::ffff:10.0.0.1", "10.0.0.1"},
                {"::FFFF:a00:1", "::ffff:10.0.0.1"},
                {"0:0:0:0:0:0:0:1", "::1"},
                {"2001:DB8:0:0::1", "2001:db8::1"}};
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    add(log, binding("User:*", ACL_ALLOW, ACL_ALL, ACL_TOPIC, ACL_LITERAL, "*"));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char topic[8];
        snprintf(topic, sizeof topic, "t%zu", i);
        struct acl_binding b = binding("User:u", ACL_DENY, ACL_READ, ACL_TOPIC, ACL_LITERAL, topic);
        b.host = same[i].bound;
        assert_true(may(log, "User:u", same[i].asked, ACL_TOPIC, topic, ACL_READ));
        assert_int_equal(add(log, b), 0);
        assert_false(may(log, "User:u", same[i].asked, ACL_TOPIC, topic, ACL_READ));
        assert_false(may(log, "User:u", same[i].bound, ACL_TOPIC, topic, ACL_READ));
        assert_true(may(log, "User:u", "::2", ACL_TOPIC, topic, ACL_READ));
        assert_true(may(log, "User:u", "10.0.0.2", ACL_TOPIC, topic, ACL_READ));
    }
    log_close(log);
    scratch_dir_remove(dir);
}

static void expect_somewhere(struct log *log, bool expected)
{
    struct acl_rules *rules = acl_rules_take(log);
    assert_int_equal(acl_may_any(rules, "User:alice", "::1", ACL_TOPIC, ACL_WRITE), expected);
    acl_rules_give_back(rules);
}

static void test_any(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    expect_somewhere(log, false);
    add(log, binding("User:alice", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "a"));
    add(log, binding("User:bob", ACL_ALLOW, ACL_WRITE, ACL_TOPIC, ACL_LITERAL, "a"));
    expect_somewhere(log, false);
    add(log, binding("User:alice", ACL_ALLOW, ACL_WRITE, ACL_TOPIC, ACL_PREFIXED, "shop-"));
    expect_somewhere(log, true);
    add(log, binding("User:alice", ACL_DENY, ACL_WRITE, ACL_TOPIC, ACL_LITERAL, "shop-"));
    expect_somewhere(log, true); /* that name is one of many */
    add(log, binding("User:*", ACL_DENY, ACL_WRITE, ACL_TOPIC, ACL_PREFIXED, "sh"));
    expect_somewhere(log, false);
    add(log, binding("User:*", ACL_ALLOW, ACL_ALL, ACL_TOPIC, ACL_LITERAL, "b"));
    expect_somewhere(log, true);
    add(log, binding("User:alice", ACL_DENY, ACL_WRITE, ACL_TOPIC, ACL_LITERAL, "b"));
    expect_somewhere(log, false);
    add(log, binding("User:*", ACL_ALLOW, ACL_WRITE, ACL_TOPIC, ACL_LITERAL, "*"));
    expect_somewhere(log, true);
    add(log, binding("User:*", ACL_DENY, ACL_ALL, ACL_TOPIC, ACL_LITERAL, "*"));
    expect_somewhere(log, false);
    log_close(log);
    scratch_dir_remove(dir);
}

/* ---- against a naive evaluation ---- */

static bool naive_fits(const struct acl_binding *b, const char *principal, const char *host,
                       const char *name)
{
    bool who = strcmp(b->principal, "User:*") == 0 || strcmp(b->principal, principal) == 0;
    bool where = strcmp(b->host, "*") == 0 || strcmp(b->host, host) == 0;
    bool what = b->pattern == ACL_PREFIXED
                    ? strncmp(name, b->name, strlen(b->name)) == 0
                    : strcmp(b->name, "*") == 0 || strcmp(b->name, name) == 0;
    return who && where && what;
}

static bool naive_implies(int granted, int asked)
{
    if (granted == asked || granted == ACL_ALL)
        return true;
    if (asked == ACL_DESCRIBE)
        return granted == ACL_READ || granted == ACL_WRITE || granted == ACL_DELETE ||
               granted == ACL_ALTER;
    return asked == ACL_DESCRIBE_CONFIGS && granted == ACL_ALTER_CONFIGS;
}

static bool naive_may(const struct acl_binding *list, size_t count, const char *principal,
                      const char *host, const char *name, int operation)
{
    bool allowed = false;
    for (size_t i = 0; i < count; i++) {
        const struct acl_binding *b = &list[i];
        if (!naive_fits(b, principal, host, name))
            continue;
        if (b->permission == ACL_DENY && (b->operation == operation || b->operation == ACL_ALL))
            return false;
        allowed |= b->permission == ACL_ALLOW && naive_implies(b->operation, operation);
    }
    return allowed;
}

static void test_naive(void **state)
{
    (void)state;
    static const char *const names[] = {"*", "a", "ab", "abc", "b", "bc"};
    static const char *const principals[] = {"User:*", "User:u", "User:v"};
    static const char *const hosts[] = {"*", "1.1.1.1", "::1"};
    uint64_t seed = 42;
    for (int round = 0; round < 60; round++) {
        char *dir = scratch_dir_create();
        struct log *log = fixture_open(dir);
        struct acl_binding list[24];
        size_t count = 1 + (size_t)(round % 24);
        for (size_t i = 0; i < count; i++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            uint64_t r = seed >> 20;
            list[i] = binding(principals[r % 3], r / 3 % 4 == 0 ? ACL_DENY : ACL_ALLOW,
                              (enum acl_operation)(ACL_ALL + r / 12 % 7), ACL_TOPIC,
                              r / 84 % 2 == 0 ? ACL_LITERAL : ACL_PREFIXED, names[r / 168 % 6]);
            list[i].host = hosts[r / 1008 % 3];
        }
        assert_int_equal(
            acl_change(log, &(struct acl_change){.add = list, .add_count = count}, NULL, NULL), 0);
        for (size_t n = 1; n < 6; n++)
            for (size_t p = 1; p < 3; p++)
                for (size_t h = 1; h < 3; h++)
                    for (int operation = ACL_READ; operation <= ACL_DESCRIBE; operation++)
                        assert_int_equal(
                            may(log, principals[p], hosts[h], ACL_TOPIC, names[n],
                                (enum acl_operation)operation),
                            naive_may(list, count, principals[p], hosts[h], names[n], operation));
        log_close(log);
        scratch_dir_remove(dir);
    }
}

/* ---- filters, life ---- */

static size_t matches(const struct acl_binding *list, size_t count, struct acl_binding filter)
{
    size_t found = 0;
    assert_int_equal(acl_filter_check(&filter, NULL), 0);
    for (size_t i = 0; i < count; i++)
        found += acl_filter_matches(&filter, &list[i]);
    return found;
}

static void test_filters(void **state)
{
    (void)state;
    struct acl_binding list[] = {
        binding("User:u", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "abc"),
        binding("User:u", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "*"),
        binding("User:u", ACL_DENY, ACL_WRITE, ACL_TOPIC, ACL_PREFIXED, "ab"),
        binding("User:v", ACL_ALLOW, ACL_READ, ACL_GROUP, ACL_PREFIXED, "abc"),
        binding("User:v", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "ab"),
    };
    const struct acl_binding all = {.resource = ACL_RESOURCE_ANY,
                                    .pattern = ACL_PATTERN_ANY,
                                    .operation = ACL_OPERATION_ANY,
                                    .permission = ACL_PERMISSION_ANY};
    struct acl_binding f = all;
    assert_int_equal(matches(list, 5, f), 5);
    f.name = "abc";
    assert_int_equal(matches(list, 5, f), 2);
    f.pattern = ACL_MATCH; /* what is about abc, however it says so */
    assert_int_equal(matches(list, 5, f), 4);
    f.resource = ACL_TOPIC;
    assert_int_equal(matches(list, 5, f), 3);
    f.pattern = ACL_LITERAL;
    assert_int_equal(matches(list, 5, f), 1);
    f = all;
    f.principal = "User:v";
    assert_int_equal(matches(list, 5, f), 2);
    f.operation = ACL_WRITE;
    assert_int_equal(matches(list, 5, f), 0);
    f = all;
    f.permission = ACL_DENY;
    assert_int_equal(matches(list, 5, f), 1);
    f = all;
    f.host = "1.1.1.1";
    assert_int_equal(matches(list, 5, f), 0);
}

static void test_checked(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), longest[ACL_NAME_BYTES + 2];
    struct log *log = fixture_open(dir);
    struct acl_binding good = binding("User:u", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "t");
    struct acl_binding bad[14];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = good;
    memset(longest, 'x', sizeof longest);
    longest[ACL_NAME_BYTES + 1] = '\0';
    bad[0].name = "";
    bad[1].name = longest;
    bad[2].name = NULL;
    bad[3].principal = "alice";
    bad[4].principal = "User:";
    bad[5].principal = "Group:g";
    bad[6].host = "example.org";
    bad[7].operation = ACL_OPERATION_ANY;
    bad[8].operation = ACL_IDEMPOTENT_WRITE; /* of the cluster */
    bad[9].resource = ACL_CLUSTER;           /* which has another name */
    bad[10].pattern = ACL_MATCH;
    bad[11].permission = ACL_PERMISSION_ANY;
    bad[12].resource = ACL_USER + 1;
    bad[13].principal = "User:\xff";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(add(log, bad[i]), ERR_INVALID);
    assert_null(acl_rules_take(log));
    assert_int_equal(add(log, good), 0);
    longest[ACL_NAME_BYTES] = '\0';
    good.name = longest;
    assert_int_equal(add(log, good), 0);
    log_close(log);
    scratch_dir_remove(dir);
}

static bool refuses(void *context, const struct acl_rules *after)
{
    *(size_t *)context = acl_rules_count(after);
    return false;
}

static void test_life(void **state)
{
    (void)state;
    static const uint8_t expected[] = "\x02\x04\x03\x02\x00\x02"
                                      "ab\x00\x06User:u\x00\x07"
                                      "1.2.3.4";
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct acl_binding b = binding("User:u", ACL_DENY, ACL_READ, ACL_TOPIC, ACL_PREFIXED, "ab");
    struct buf value = {0};
    struct acl_rules *before;
    size_t would_be = 99;
    b.host = "1.2.3.4";
    assert_int_equal(add(log, b), 0);
    assert_int_equal(add(log, b), 0); /* there already */
    assert_int_equal(
        add(log, binding("User:*", ACL_ALLOW, ACL_ALL, ACL_CLUSTER, ACL_LITERAL, "kafka-cluster")),
        0);
    assert_int_equal(meta_get(log->meta, META_ACLS, bytes_of("\0\0\0\x01", 4), &value, NULL), 0);
    assert_int_equal(value.size, sizeof expected - 1);
    assert_memory_equal(value.data, expected, value.size);
    log_close(log);
    log = fixture_open(dir);
    struct acl_rules *rules = acl_rules_take(log);
    assert_int_equal(acl_rules_count(rules), 2);
    assert_string_equal(acl_rules_at(rules, 0)->name, "ab");
    assert_string_equal(acl_rules_at(rules, 0)->host, "1.2.3.4");
    assert_string_equal(acl_rules_at(rules, 1)->principal, "User:*");

    struct acl_binding all = {.resource = ACL_RESOURCE_ANY,
                              .pattern = ACL_PATTERN_ANY,
                              .operation = ACL_OPERATION_ANY,
                              .permission = ACL_DENY};
    struct acl_change change = {
        .filters = &all, .filter_count = 1, .agrees = refuses, .context = &would_be};
    assert_int_equal(acl_change(log, &change, NULL, NULL), ERR_STATE);
    assert_int_equal(would_be, 1);
    assert_false(may(log, "User:u", "1.2.3.4", ACL_TOPIC, "abc", ACL_READ));
    change.agrees = NULL;
    assert_int_equal(acl_change(log, &change, &before, NULL), 0);
    assert_int_equal(acl_rules_count(before), 2);
    acl_rules_give_back(before);
    assert_int_equal(acl_rules_count(rules), 2); /* as they were when they were taken */
    acl_rules_give_back(rules);
    log_close(log);
    log = fixture_open(dir);
    rules = acl_rules_take(log);
    assert_int_equal(acl_rules_count(rules), 1);
    acl_rules_give_back(rules);

    /* A record that is cut is no right: the log is not opened. */
    struct meta_batch batch;
    meta_batch_init(&batch);
    meta_put(&batch, META_ACLS, bytes_of("\0\0\0\x09", 4), bytes_of(value.data, value.size - 1));
    assert_int_equal(meta_apply(log->meta, &batch, NULL), 0);
    meta_batch_deinit(&batch);
    assert_int_equal(acl_load(log, NULL), ERR_CORRUPT);
    log_close(log);
    buf_deinit(&value);
    scratch_dir_remove(dir);
}

/* ---- two threads ---- */

static void *change_again(void *context)
{
    struct log *log = context;
    struct acl_binding b = binding("User:u", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "t");
    struct acl_change give = {.add = &b, .add_count = 1}, take = {.filters = &b, .filter_count = 1};
    for (int i = 0; i < 50; i++) {
        must(acl_change(log, &give, NULL, NULL) == 0);
        must(acl_change(log, &take, NULL, NULL) == 0);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    pthread_t thread;
    add(log, binding("User:v", ACL_ALLOW, ACL_READ, ACL_TOPIC, ACL_LITERAL, "t"));
    assert_int_equal(thread_start(&thread, change_again, log), 0);
    for (int i = 0; i < 20000; i++)
        assert_true(may(log, "User:v", "::1", ACL_TOPIC, "t", ACL_READ));
    pthread_join(thread, NULL);
    assert_false(may(log, "User:u", "::1", ACL_TOPIC, "t", ACL_READ));
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_any),     cmocka_unit_test(test_naive),
        cmocka_unit_test(test_filters), cmocka_unit_test(test_checked),
        cmocka_unit_test(test_life),    cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
