/* test_leader_epoch.c: the checkpoint file, as Kafka writes it, and what epochs answer. */
#include "log/log_internal.h"
#include "runtime/base/io.h"
#include "tests/support/scratch_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_cuts_and_file(void **state)
{
    (void)state;
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "leader-epoch-checkpoint"), *text;
    size_t size;
    struct leader_epochs epochs;
    assert_int_equal(leader_epochs_read(dir, &epochs, NULL), 0);
    assert_int_equal(epochs.count, 0);
    assert_int_equal(leader_epoch_latest(&epochs), 0);
    assert_int_equal(leader_epoch_at(&epochs, 99), 0);
    assert_int_equal(leader_epochs_cut(&epochs, 100), 0);
    assert_int_equal(leader_epochs_cut(&epochs, 250), 0);
    assert_int_equal(leader_epochs_write(dir, &epochs, NULL), 0);
    assert_int_equal(io_read_file(path, 100, &text, &size, NULL), 0);
    assert_string_equal(text, "0\n3\n0 0\n1 100\n2 250\n");
    free(text);
    leader_epochs_deinit(&epochs);
    assert_int_equal(leader_epochs_read(dir, &epochs, NULL), 0);
    assert_int_equal(leader_epoch_at(&epochs, 0), 0);
    assert_int_equal(leader_epoch_at(&epochs, 99), 0);
    assert_int_equal(leader_epoch_at(&epochs, 100), 1);
    assert_int_equal(leader_epoch_at(&epochs, 250), 2);
    assert_int_equal(leader_epochs_cut(&epochs, 120), 0); /* epoch 2 is gone, 3 takes over */
    assert_int_equal(leader_epoch_latest(&epochs), 3);
    assert_int_equal(leader_epoch_at(&epochs, 119), 1);
    assert_int_equal(leader_epoch_at(&epochs, 120), 3);
    assert_int_equal(leader_epochs_cut(&epochs, 0), 0); /* nothing is left of any */
    assert_int_equal(epochs.count, 1);
    assert_int_equal(leader_epoch_at(&epochs, 0), 4);
    leader_epochs_deinit(&epochs);
    free(path);
    scratch_dir_remove(dir);
}

/* The cases of Kafka's LeaderEpochFileCache.endOffsetFor. */
static void test_end_of_an_epoch(void **state)
{
    (void)state;
    struct leader_epochs epochs = {0};
    int64_t end;
    assert_int_equal(leader_epoch_end(&epochs, 0, 70, &end), 0);
    assert_int_equal(end, 70);
    assert_int_equal(leader_epoch_end(&epochs, 1, 70, &end), -1);
    assert_int_equal(end, -1);
    assert_int_equal(leader_epochs_add(&epochs, 2, 10), 0);
    assert_int_equal(leader_epochs_add(&epochs, 5, 40), 0);
    assert_int_equal(leader_epoch_end(&epochs, 5, 70, &end), 5);
    assert_int_equal(end, 70);
    assert_int_equal(leader_epoch_end(&epochs, 2, 70, &end), 2);
    assert_int_equal(end, 40);
    assert_int_equal(leader_epoch_end(&epochs, 4, 70, &end), 2);
    assert_int_equal(end, 40);
    assert_int_equal(leader_epoch_end(&epochs, 1, 70, &end), 1);
    assert_int_equal(end, 10);
    assert_int_equal(leader_epoch_end(&epochs, 6, 70, &end), -1);
    assert_int_equal(leader_epoch_end(&epochs, -1, 70, &end), -1);
    leader_epochs_deinit(&epochs);
}

static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "1\n0\n",
                                      "0\n",
                                      "0\n1\n",
                                      "0\n1\n0 0",
                                      "0\n0\n0 0\n",
                                      "0\n2\n1 0\n1 5\n",
                                      "0\n2\n1 9\n2 5\n",
                                      "0\n1\n-1 0\n",
                                      "0\n1\n99999999999 0\n",
                                      "0\n1\n1 99999999999999999999\n",
                                      "0\n-1\n",
                                      "x"};
    char *dir = scratch_dir_create(), *path = scratch_path(dir, "leader-epoch-checkpoint");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct leader_epochs epochs;
        assert_int_equal(io_write_file(path, bad[i], strlen(bad[i]), NULL), 0);
        assert_int_equal(leader_epochs_read(dir, &epochs, NULL), ERR_CORRUPT);
        assert_int_equal(epochs.count, 0);
    }
    free(path);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts_and_file),
        cmocka_unit_test(test_end_of_an_epoch),
        cmocka_unit_test(test_damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
