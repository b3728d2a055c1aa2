/* test_user.c: users in meta: changes of two threads; what is put is there again after a restart, byte by byte as docs/formats-log.md says; names; a record that makes no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/log_internal.h"
#include "log/user.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <stdlib.h>
#include <string.h>

static struct user drawn(uint8_t seed, bool sha_256, bool sha_512)
{
    struct user user = {.credentials = {{0}}};
    for (int i = 0; i < SCRAM_MECHANISMS; i++) {
        struct scram_credential *c = &user.credentials[i];
        if (!(i == 0 ? sha_256 : sha_512))
            continue;
        c->iterations = 4096 + seed;
        c->salt_size = 3;
        c->key_size = i == 0 ? 32 : 64;
        memset(c->salt, seed, c->salt_size);
        memset(c->stored_key, seed + 1, c->key_size);
        memset(c->server_key, seed + 2, c->key_size);
    }
    return user;
}

static void expect_users(struct log *log, const char *expected)
{
    char **names, text[200] = "";
    size_t count;
    assert_int_equal(user_list(log, &names, &count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        strcat(strcat(text, names[i]), " ");
    free(names);
    assert_string_equal(text, expected);
}

static void test_life(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct user one = drawn(1, true, true), two = drawn(9, false, true), got;
    uint8_t secret[USER_SECRET_BYTES], again[USER_SECRET_BYTES];
    expect_users(log, "");
    assert_int_equal(user_secret(log, secret, NULL), 0);
    expect_users(log, "");
    assert_int_equal(user_put(log, "zoe", &two, NULL), 0);
    assert_int_equal(user_put(log, "al ice", &two, NULL), 0);
    assert_int_equal(user_put(log, "al ice", &one, NULL), 0);
    log_close(log);
    log = fixture_open(dir);
    expect_users(log, "al ice zoe ");
    assert_int_equal(user_get(log, "al ice", &got, NULL), 0);
    assert_memory_equal(&got, &one, sizeof got);
    assert_int_equal(user_get(log, "zoe", &got, NULL), 0);
    assert_memory_equal(&got, &two, sizeof got);
    assert_int_equal(user_get(log, "zo", &got, NULL), ERR_NOT_FOUND);
    assert_int_equal(user_secret(log, again, NULL), 0);
    assert_memory_equal(secret, again, sizeof secret);
    assert_int_equal(user_delete(log, "zoe", NULL), 0);
    assert_int_equal(user_delete(log, "zoe", NULL), ERR_NOT_FOUND);
    expect_users(log, "al ice ");
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_record(void **state)
{
    (void)state;
    static const uint8_t expected[] = "\x01\x01\x00\x00\x10\x01\x03\x01\x01\x01\x20";
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct user user = drawn(1, true, false);
    struct buf value = {0};
    struct meta_batch batch;
    assert_int_equal(user_put(log, "a", &user, NULL), 0);
    assert_int_equal(meta_get(log->meta, META_USERS, bytes_text("a"), &value, NULL), 0);
    assert_int_equal(value.size, 11 + 64);
    assert_memory_equal(value.data, expected, 11);
    assert_int_equal(value.data[11], 2);
    assert_int_equal(value.data[11 + 32], 3);
    /* Every record that is cut, and one that goes on. */
    for (size_t size = 0; size <= value.size + 1; size++) {
        uint8_t bytes[80] = {0};
        memcpy(bytes, value.data, value.size);
        meta_batch_init(&batch);
        meta_put(&batch, META_USERS, bytes_text("a"), bytes_of(bytes, size));
        assert_int_equal(meta_apply(log->meta, &batch, NULL), 0);
        meta_batch_deinit(&batch);
        assert_int_equal(user_get(log, "a", &user, NULL), size == value.size ? 0 : ERR_CORRUPT);
    }
    buf_deinit(&value);
    log_close(log);
    scratch_dir_remove(dir);
}

static void test_names(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), longest[USER_NAME_BYTES + 2];
    struct log *log = fixture_open(dir);
    struct user user = drawn(1, true, true), none = {.credentials = {{0}}};
    static const char *const bad[] = {"",     "a:b",  "a\nb",        "\x7f",
                                      "\xff", "\xc3", "\xc2\x9b[2J", "\xed\xa0\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(user_put(log, bad[i], &user, NULL), ERR_INVALID);
    memset(longest, 'x', sizeof longest);
    longest[USER_NAME_BYTES + 1] = '\0';
    assert_int_equal(user_put(log, longest, &user, NULL), ERR_INVALID);
    longest[USER_NAME_BYTES] = '\0';
    assert_int_equal(user_put(log, longest, &user, NULL), 0);
    assert_int_equal(user_put(log, "ü,=x", &user, NULL), 0);
    assert_int_equal(user_put(log, "a", &none, NULL), ERR_INVALID);
    log_close(log);
    scratch_dir_remove(dir);
}

/* Each of two threads has a credential of one user, and finds it as it left it. */
enum { CHANGES = 100 };
struct changer {
    struct log *log;
    int mechanism;
    bool is_lost;
    int32_t was;
};

static int count_up(void *context, struct user *user)
{
    struct changer *changer = context;
    struct user more = drawn(1, true, true);
    struct scram_credential *c = &user->credentials[changer->mechanism - 1];
    changer->is_lost |= c->iterations != changer->was;
    *c = more.credentials[changer->mechanism - 1];
    c->iterations = ++changer->was;
    return 0;
}

static void *change_often(void *context)
{
    struct changer *changer = context;
    for (int i = 0; i < CHANGES; i++)
        changer->is_lost |= user_change(changer->log, "a", count_up, changer, NULL) < 0;
    return NULL;
}

static int take_all(void *context, struct user *user)
{
    (void)context;
    *user = (struct user){.credentials = {{0}}};
    return 0;
}

static int take_none(void *context, struct user *user)
{
    (void)context, (void)user;
    return ERR_FENCED;
}

static void test_changes(void **state)
{
    (void)state;
    char *dir = scratch_dir_create();
    struct log *log = fixture_open(dir);
    struct changer one = {.log = log, .mechanism = SCRAM_SHA_256};
    struct changer two = {.log = log, .mechanism = SCRAM_SHA_512};
    struct user user;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, change_often, &two), 0);
    change_often(&one);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(one.is_lost || two.is_lost);
    assert_int_equal(user_change(log, "a", take_none, NULL, NULL), ERR_FENCED);
    assert_int_equal(user_get(log, "a", &user, NULL), 0);
    assert_int_equal(user.credentials[0].iterations, CHANGES);
    assert_int_equal(user.credentials[1].iterations, CHANGES);
    assert_int_equal(user_change(log, "a", take_all, NULL, NULL), 0);
    assert_int_equal(user_get(log, "a", &user, NULL), ERR_NOT_FOUND);
    assert_int_equal(user_change(log, "a:", take_all, NULL, NULL), ERR_INVALID);
    log_close(log);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
