/* drawn_kills.h: runs a driven engine through kills at places that are drawn. */
#ifndef WEIR_TESTS_DRAWN_KILLS_H
#define WEIR_TESTS_DRAWN_KILLS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/weir.h"

/* Writes what was sent, then runs until all is read: one time in three with a kill at a crash point, after which the engine is started again; one time in six it is killed once more when it has
 * nothing to do. draw(n) gives a number below n. Fails the test with the engine's error. */
void run_through_kills(weir_test *test, uint32_t (*draw)(uint32_t n));

/* One step, all there is to do, or the end of what is there, with windows closed or not: again and again while the engine dies in it, each time raising *kills. False after what went
 * wrong went to stderr. */
enum driven_call { DRIVEN_STEP, DRIVEN_RUN, DRIVEN_FINISH, DRIVEN_CLOSE };
bool call_through_kills(weir_test *test, enum driven_call what, int *kills);

/* Fails the test with the engine's error unless rc is 0. */
void ok(weir_test *test, int rc);

#endif
