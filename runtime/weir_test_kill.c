/* weir_test_kill.c: how an engine dies by kill -9 inside a process that lives on.
 *
 * What kill -9 leaves behind is what the process had handed to the kernel by then: files as they
 * were written so far, and nothing of what was in memory. So from the moment of death on no call
 * that would change a file is let through: base/io.h asks our hook before each of its own, and who
 * uses LMDB asks before it opens an environment and before each commit. Then the engine, which
 * still believes to be alive, is taken down along its ordinary paths of failure, which free all
 * memory and close all files, and cannot write.
 *
 * This is the same state of the files, not a similar one. One thread drives everything (no
 * flusher, no keeper: log_options.driven), so that nothing else is on its way to a file when a
 * place is passed. An LMDB transaction that is not committed has written nothing; pages of a
 * committed one are in the file before its commit returns. Closing descriptors and maps changes
 * nothing, and drops the locks, as the end of a process does. test_weir_test_kill.c proves it: for
 * each place the directory of an engine that died here is compared, byte for byte, with that of a
 * child process that ended at the same place.
 *
 * Rejected: a child process per life, killed for real (the job's functions would run in another
 * process than the test that made their context, and a case would cost a fork of all its memory);
 * a long jump out of the place (leaks, locked mutexes); a copy of the directory at the place (three
 * times the time, and a second engine would have to be closed well). */
#include "runtime/weir_test.h"

#include <errno.h>
#include <string.h>

#include "runtime/base/io.h"

/* In the order in which a life passes them, more or less; a test compares with the sources. */
static const char *const points[] = {
    /* the engine */
    "commit_before_append",
    "commit_between_outputs",
    "commit_before_progress",
    "commit_started",
    "commit_decided",
    "checkpoint_before",
    "checkpoint_slice",
    "restore_before",
    "close_before",
    "reset_before",
    "reset_begun",
    "reset_forgotten",
    "reset_cleared",
    "reset_before_end",
    "reset_ended",
    "state_before_commit",
    "state_after_commit",
    /* the log */
    "append.written",
    "flush.before",
    "flush.done",
    "decide.prepared",
    "decide.before",
    "decide.done",
    "decide.stable",
    "decide.finished",
    "decision.remove",
    "marker.commit",
    "marker.abort",
    "participants.before",
    "participants.after",
    "producer.open.before",
    "producer.open.fenced",
    "producer.open.after",
    "timeout.before",
    "timeout.fenced",
    "group.commit.before",
    "group.commit.done",
    "roll.created",
    "roll.done",
    "retention.rolled",
    "purge.begin",
    "purge.recorded",
    "purge.removed",
    "segment.renamed",
    "segment.unlinked",
    "snapshot.written",
    "snapshot.renamed",
    "snapshot.removed",
    "snapshot.done",
    "compact.written",
    "swap.begin",
    "swap.flushed",
    "swap.recorded",
    "swap.renamed",
    "swap.removed",
    "swap.done",
    "topic.create.recorded",
    "topic.create.directory",
    "topic.delete.begin",
    "topic.delete.recorded",
    "topic.delete.renamed",
    "topic.delete.removed",
    "topic.grow.begin",
    "topic.grow.directory",
    "topic.grow.recorded",
    "truncate.begin",
    "truncate.marked",
    "truncate.files",
    "truncate.shortened",
    "truncate.recorded",
    "truncate.removed",
    "import.written",
    "import.recorded",
    "recovery.begin",
    "recovery.abort",
    "recovery.marker",
    "recovery.flushed",
    "recovery.swap",
    "recovery.done",
    NULL,
};
_Static_assert(sizeof points / sizeof *points <= TEST_POINTS_MAX, "a counter for each point");

static int find_point(const char *name)
{
    for (int i = 0; points[i] != NULL; i++)
        if (strcmp(points[i], name) == 0)
            return i;
    return -1;
}

static void on_passing(void *context, const char *name)
{
    weir_test *test = context;
    int point = find_point(name);
    if (point < 0 || test->is_dead)
        return;
    test->passings[point]++;
    if (point == test->armed && --test->passings_left == 0)
        kill_now(test, points[point]);
}

static int on_call(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    const weir_test *test = context;
    (void)call;
    (void)path;
    (void)fd;
    (void)size;
    return test->is_dead ? EIO : 0;
}

void kill_begin(weir_test *test)
{
    test->armed = -1;
    io_set_fault(on_call, test);
    crash_hook(on_passing, test);
}

void kill_end(weir_test *test)
{
    kill_undo(test);
    crash_hook(NULL, NULL);
    io_set_fault(NULL, NULL);
}

void kill_now(weir_test *test, const char *where)
{
    test->is_dead = true;
    test->is_told = false;
    test->died_at = where;
    test->armed = -1;
    log_line_mute(true); /* it has nothing more to say */
}

void kill_undo(weir_test *test)
{
    test->is_dead = false;
    log_line_mute(false);
}

const char *const *weir_test_points(void)
{
    return points;
}

static int need_point(weir_test *test, const char *point)
{
    int index = point != NULL ? find_point(point) : -1;
    if (index < 0)
        return diag_set(&test->diag, ERR_INVALID,
                        "there is no place %s to be killed at: weir_test_points lists them",
                        point != NULL ? point : "NULL");
    return index;
}

int weir_test_kill_at(weir_test *test, const char *point, int64_t n)
{
    if (test == NULL)
        return ERR_INVALID;
    if (point == NULL) {
        test->armed = -1;
        return 0;
    }
    int index = need_point(test, point);
    if (index < 0)
        return index;
    if (n < 1)
        return diag_set(&test->diag, ERR_INVALID, "passings are counted from 1, not %lld",
                        (long long)n);
    test->armed = index;
    test->passings_left = n;
    return 0;
}

int64_t weir_test_passings(const weir_test *test, const char *point)
{
    int index = test != NULL && point != NULL ? find_point(point) : -1;
    return index < 0 ? ERR_INVALID : test->passings[index];
}
