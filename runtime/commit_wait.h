/* commit_wait.h: a transaction's decision, waited for. */
#ifndef WEIR_RUNTIME_COMMIT_WAIT_H
#define WEIR_RUNTIME_COMMIT_WAIT_H

#include "runtime/port.h"

/* Asks for the decision of the open transaction and returns when it is made; of a log without threads it takes their steps. */
int commit_and_wait(struct port *port, struct port_txn *txn, struct diag *diag);

#endif
