/* test_decider.c: the write of decisions beside the flush of records: who waits for what, and what is seen when. The gate
 * holds a decision at its commit to meta, as long as the test looks. */
#include "log/log_internal.h"
#include "runtime/base/clock.h"
#include "tests/support/io_gate.h"
#include "tests/support/log_fixture.h"
#include "tests/support/scratch_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START_MS INT64_C(1767225600000)

enum { PATIENCE_MS = 20000 };

struct scene {
    char *dir;
    struct log *log;
    struct partition *plain, *result, *other;
    struct producer *first, *second;
    atomic_int answers;
    int codes[2]; /* in the order they came in */
};

static void open_scene(struct scene *scene, char *dir, bool driven)
{
    struct log_options options = {.keeper_interval_ms = -1, .driven = driven};
    *scene = (struct scene){.dir = dir};
    if (driven)
        clock_virtual_start(START_MS);
    scene->log = fixture_open_options(scene->dir, &options);
    fixture_topic(scene->log, "t", 3, NULL);
    scene->plain = fixture_partition(scene->log, "t", 0);
    scene->result = fixture_partition(scene->log, "t", 1);
    scene->other = fixture_partition(scene->log, "t", 2);
    assert_int_equal(producer_open(scene->log, "first", &scene->first, NULL), 0);
    assert_int_equal(producer_open(scene->log, "second", &scene->second, NULL), 0);
    assert_int_equal(txn_begin(scene->first, NULL), 0);
    assert_int_equal(txn_begin(scene->second, NULL), 0);
    assert_int_equal(txn_participate(scene->first, &scene->result, 1, NULL), 0);
    assert_int_equal(txn_participate(scene->second, &scene->other, 1, NULL), 0);
    for (int i = 0; i < IO_COMMIT + 1; i++)
        io_gate.passed[i] = 0;
    io_set_fault(io_gate_hook, NULL);
}

static void close_scene(struct scene *scene)
{
    io_set_fault(NULL, NULL);
    producer_close(scene->first);
    producer_close(scene->second);
    log_close(scene->log);
    clock_virtual_stop();
    scratch_dir_remove(scene->dir);
}

static void note_answer(void *context, int code)
{
    struct scene *scene = context;
    pthread_mutex_lock(&io_gate.mutex);
    scene->codes[atomic_fetch_add(&scene->answers, 1)] = code;
    pthread_cond_broadcast(&io_gate.moved);
    pthread_mutex_unlock(&io_gate.mutex);
}

static void await_answers(struct scene *scene, int count)
{
    pthread_mutex_lock(&io_gate.mutex);
    while (atomic_load(&scene->answers) < count)
        pthread_cond_wait(&io_gate.moved, &io_gate.mutex);
    pthread_mutex_unlock(&io_gate.mutex);
}

static int64_t stable(struct partition *partition)
{
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    return offsets.stable;
}

/* The decision waits for its disk: records of others are acknowledged all the same, and so are those of the next
 * transaction flushed; of the first nothing is seen. */
static void test_records_do_not_wait_for_decisions(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, scratch_dir_create(), false);
    io_gate_set(IO_COMMIT, true);
    assert_int_equal(fixture_txn_append(scene.first, scene.result, 1, 1), 0);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    io_gate_wait_held(IO_COMMIT);
    for (int i = 0; i <= ROUND_COUNT; i++) { /* they take no place in its queue */
        assert_int_equal(fixture_append(scene.plain, i, 1), i);
        assert_int_equal(partition_wait(scene.plain, i + 1, PATIENCE_MS), 0);
    }
    assert_int_equal(fixture_txn_append(scene.second, scene.other, 2, 1), 0);
    assert_int_equal(txn_commit_start(scene.second, note_answer, &scene, NULL), 0);
    assert_int_equal(partition_wait(scene.other, 1, PATIENCE_MS), 0);
    assert_int_equal(stable(scene.result), 0);
    assert_int_equal(stable(scene.other), 0);
    assert_int_equal(atomic_load(&scene.answers), 0);
    io_gate_set(IO_COMMIT, false);
    await_answers(&scene, 2);
    assert_int_equal(scene.codes[0], 0);
    assert_int_equal(scene.codes[1], 0);
    assert_string_equal(fixture_values(scene.result, READ_COMMITTED), "1");
    assert_string_equal(fixture_values(scene.other, READ_COMMITTED), "2");
    close_scene(&scene);
}

static void wake(void *context)
{
    struct scene *scene = context;
    pthread_mutex_lock(&io_gate.mutex);
    if (stable(scene->result) == 1)
        atomic_fetch_add(&scene->answers, 1);
    pthread_cond_broadcast(&io_gate.moved);
    pthread_mutex_unlock(&io_gate.mutex);
}

/* The marker is written after its reader was woken: held back, it keeps nobody from reading. */
static void test_readers_do_not_wait_for_markers(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, scratch_dir_create(), false);
    int watch = partition_watch(scene.result, wake, &scene);
    assert_int_equal(fixture_txn_append(scene.first, scene.result, 1, 1), 0);
    io_gate_set(IO_PWRITE, true);
    assert_int_equal(txn_commit_start(scene.first, NULL, NULL, NULL), 0);
    await_answers(&scene, 1);
    assert_string_equal(fixture_values(scene.result, READ_COMMITTED), "1");
    io_gate_wait_held(IO_PWRITE);
    io_gate_set(IO_PWRITE, false);
    partition_unwatch(scene.result, watch);
    close_scene(&scene);
}

/* Closing waits for what was handed over. */
static void test_close_decides_what_waits(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, scratch_dir_create(), false);
    io_gate_set(IO_COMMIT, true);
    assert_int_equal(fixture_txn_append(scene.first, scene.result, 1, 1), 0);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    io_gate_wait_held(IO_COMMIT);
    assert_int_equal(fixture_txn_append(scene.second, scene.other, 2, 1), 0);
    assert_int_equal(txn_commit_start(scene.second, note_answer, &scene, NULL), 0);
    io_gate_set(IO_COMMIT, false);
    io_set_fault(NULL, NULL);
    producer_close(scene.first);
    producer_close(scene.second);
    log_close(scene.log);
    assert_int_equal(atomic_load(&scene.answers), 2);
    scene.log = fixture_open(scene.dir);
    assert_string_equal(fixture_values(fixture_partition(scene.log, "t", 1), READ_COMMITTED), "1");
    assert_string_equal(fixture_values(fixture_partition(scene.log, "t", 2), READ_COMMITTED), "2");
    log_close(scene.log);
    scratch_dir_remove(scene.dir);
}

/* What a commit costs: each file that it wrote to is flushed once, and one write to meta decides; the markers of the one
 * before go with them. In a driven log whose clock stands still nothing else happens meanwhile. */
static void test_flushes_of_a_commit(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, scratch_dir_create(), true);
    struct partition *both[] = {scene.result, scene.other};
    assert_int_equal(txn_participate(scene.first, both, 2, NULL), 0);
    for (int i = 0; i < 5; i++) {
        int flushes = io_gate_passed(IO_FDATASYNC), writes = io_gate_passed(IO_COMMIT);
        if (i > 0)
            assert_int_equal(txn_begin(scene.first, NULL), 0);
        assert_int_equal(fixture_txn_append(scene.first, scene.result, i, 1), 2 * i);
        assert_int_equal(fixture_txn_append(scene.first, scene.other, i, 1), 2 * i);
        assert_int_equal(txn_commit(scene.first, NULL), 0);
        assert_int_equal(io_gate_passed(IO_FDATASYNC) - flushes, 2);
        assert_int_equal(io_gate_passed(IO_COMMIT) - writes, 1);
        assert_int_equal(stable(scene.result), 2 * i + 1);
    }
    close_scene(&scene);
}

/* ---- killed with a decision under way and another behind it ---- */

struct death {
    char *dir;
    const char *point; /* its next passing; NULL: while the first decision is not written yet */
    const char *result, *other; /* what is committed afterwards */
};

static int die(void *context)
{
    const struct death *death = context;
    struct scene scene;
    open_scene(&scene, death->dir, false);
    io_gate_set(IO_COMMIT, true);
    assert_int_equal(fixture_txn_append(scene.first, scene.result, 1, 1), 0);
    assert_int_equal(txn_commit_start(scene.first, note_answer, &scene, NULL), 0);
    io_gate_wait_held(IO_COMMIT);
    assert_int_equal(fixture_append(scene.plain, 3, 1), 0);
    assert_int_equal(partition_wait(scene.plain, 1, PATIENCE_MS), 0); /* acknowledged */
    assert_int_equal(fixture_txn_append(scene.second, scene.other, 2, 1), 0);
    assert_int_equal(txn_commit_start(scene.second, note_answer, &scene, NULL), 0);
    assert_int_equal(partition_wait(scene.other, 1, PATIENCE_MS), 0); /* flushed, and handed over */
    if (death->point == NULL)
        return 137;
    setenv("WEIR_CRASH_AT", death->point, 1);
    crash_point_rearm();
    io_gate_set(IO_COMMIT, false);
    await_answers(&scene, 2);
    return 0;
}

static void test_killed_between_two_decisions(void **state)
{
    (void)state;
    static const struct death deaths[] = {
        {NULL, NULL, "", ""},
        {NULL, "decide.done:1", "1", ""},
        {NULL, "decide.stable:1", "1", ""},
        {NULL, "marker.commit:1", "1", ""},
        {NULL, "decide.finished:1", "1", ""},
        {NULL, "decide.before:1", "1", ""},
        {NULL, "decide.done:2", "1", "2"},
        {NULL, "decide.stable:2", "1", "2"},
        {NULL, "marker.commit:2", "1", "2"},
    };
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
        struct death death = deaths[i];
        death.dir = scratch_dir_create();
        assert_int_equal(fixture_child(die, &death, NULL), 137);
        struct log *log = fixture_open(death.dir);
        assert_string_equal(fixture_values(fixture_partition(log, "t", 0), READ_COMMITTED), "3");
        assert_string_equal(fixture_values(fixture_partition(log, "t", 1), READ_COMMITTED),
                            death.result);
        assert_string_equal(fixture_values(fixture_partition(log, "t", 2), READ_COMMITTED),
                            death.other);
        log_close(log);
        scratch_dir_remove(death.dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_do_not_wait_for_decisions),
        cmocka_unit_test(test_readers_do_not_wait_for_markers),
        cmocka_unit_test(test_close_decides_what_waits),
        cmocka_unit_test(test_flushes_of_a_commit),
        cmocka_unit_test(test_killed_between_two_decisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
