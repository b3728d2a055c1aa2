/* verified.h: what `weir verify` says of a view, in a process. */
#ifndef WEIR_TESTS_VERIFIED_H
#define WEIR_TESTS_VERIFIED_H

#include <stdbool.h>

/* The view is identical to its recomputation, or cannot be recomputed (functions in C). Differences go to stderr. */
bool view_is_verified(const char *dir, const char *app, const char *view);
/* The same of a view that can be. */
bool view_is_identical(const char *dir, const char *app, const char *view);

#endif
