/* verified.c: `weir verify` from a test (see verified.h). */
#include "tests/support/verified.h"

#include <stdio.h>

#include "runtime/port.h"
#include "runtime/verify/verify.h"

struct told {
    const char *view;
    int count;
};

static void tell(void *context, const struct verify_difference *difference)
{
    enum { TOLD_MAX = 5 };
    struct told *told = context;
    if (told->count++ >= TOLD_MAX)
        return;
    fprintf(stderr, "verify %s: %s in the %s, %s-%d at %lld: %s\n", told->view, difference->kind,
            difference->where, difference->topic, (int)difference->partition,
            (long long)difference->offset, difference->text);
    fprintf(stderr, "    key      %.*s\n    expected %.*s\n    found    %.*s\n",
            (int)difference->key.size, (const char *)difference->key.data,
            (int)difference->expected.size, (const char *)difference->expected.data,
            (int)difference->found.size, (const char *)difference->found.data);
}

static int verify(const char *dir, const char *app, const char *view,
                  struct verify_outcome *outcome)
{
    struct port_log_options log = {.keeper_interval_ms = -1, .must_exist = true};
    struct told told = {.view = view};
    struct verify_options options = {
        .data = dir, .app = app, .view = view, .each = tell, .context = &told};
    struct diag diag = {0};
    struct port *port;
    int rc = port_log_open(dir, &log, &port, &diag);
    if (rc == 0) {
        rc = verify_view(&options, port, outcome, &diag);
        port->ops->close(port);
    }
    if (rc < 0 && rc != ERR_UNSUPPORTED)
        fprintf(stderr, "verify %s: %s\n", view, diag.text);
    return rc;
}

bool view_is_verified(const char *dir, const char *app, const char *view)
{
    struct verify_outcome outcome;
    int rc = verify(dir, app, view, &outcome);
    return rc == ERR_UNSUPPORTED || (rc == 0 && outcome.differences == 0);
}

bool view_is_identical(const char *dir, const char *app, const char *view)
{
    struct verify_outcome outcome;
    return verify(dir, app, view, &outcome) == 0 && outcome.differences == 0;
}
