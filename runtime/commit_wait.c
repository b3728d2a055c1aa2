/* commit_wait.c: see commit_wait.h. Workers do not wait, since rows go on beside their commits; what happens before they begin does. */
#include "runtime/commit_wait.h"

#include "runtime/waker.h"

enum { COMMIT_PENDING = 1 };

struct decision {
    struct waker waker;
    atomic_int code;
};
static void decided(void *context, int code)
{
    struct decision *decision = context;
    waker_answer(&decision->waker, &decision->code, code < 0 ? code : 0);
}

int commit_and_wait(struct port *port, struct port_txn *txn, struct diag *diag)
{
    struct decision decision;
    waker_init(&decision.waker);
    atomic_init(&decision.code, COMMIT_PENDING);
    int rc = port->ops->txn_commit(txn, decided, &decision, diag);
    while (rc == 0 && atomic_load(&decision.code) == COMMIT_PENDING)
        if (!port->ops->drive(port))
            waker_wait(&decision.waker, 1000);
    if (rc == 0)
        rc = atomic_load(&decision.code);
    waker_deinit(&decision.waker);
    return rc;
}
