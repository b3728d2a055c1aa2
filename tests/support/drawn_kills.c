/* drawn_kills.c: see the header. */
#include "tests/support/drawn_kills.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { KILLS_MAX = 50 };

void ok(weir_test *test, int rc)
{
    if (rc != 0)
        fail_msg("%d: %s", rc, weir_test_error(test));
}

static const char *draw_point(uint32_t (*draw)(uint32_t n))
{
    const char *const *points = weir_test_points();
    uint32_t count = 0;
    while (points[count] != NULL)
        count++;
    return points[draw(count)];
}

void run_through_kills(weir_test *test, uint32_t (*draw)(uint32_t n))
{
    ok(test, weir_test_flush(test)); /* a kill in the middle of it would cut the input */
    if (draw(3) == 0)
        ok(test, weir_test_kill_at(test, draw_point(draw), 1 + (int64_t)draw(3)));
    int rc = weir_test_run(test);
    while (rc == WEIR_TEST_KILLED) {
        do
            rc = weir_test_restart(test, NULL);
        while (rc == WEIR_TEST_KILLED);
        ok(test, rc);
        rc = weir_test_run(test);
    }
    ok(test, rc);
    ok(test, weir_test_kill_at(test, NULL, 1));
    if (draw(6) == 0) {
        ok(test, weir_test_kill(test));
        ok(test, weir_test_restart(test, NULL));
    }
}

bool call_through_kills(weir_test *test, enum driven_call what, int *kills)
{
    for (int tries = 0; tries < KILLS_MAX; tries++) {
        int rc = what == DRIVEN_STEP  ? weir_test_step(test, NULL)
                 : what == DRIVEN_RUN ? weir_test_run(test)
                                      : weir_test_finish(test, what == DRIVEN_CLOSE);
        *kills += rc == WEIR_TEST_KILLED;
        if (rc == WEIR_TEST_KILLED)
            rc = weir_test_restart(test, NULL);
        else if (rc == 0)
            return true;
        if (rc != 0) {
            fprintf(stderr, "driven: %s (%d)\n", weir_test_error(test), rc);
            return false;
        }
    }
    return false;
}
