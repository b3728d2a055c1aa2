/* reach.h: which way a command goes to the data that it was asked for.
 *
 *   -b HOST:PORT[,…]                   over the Kafka protocol, to 'weir serve' or to Apache Kafka
 *   --server HOST:PORT                 over HTTP, for what the Kafka protocol has no word for: views, state, dead letters
 *   --data DIR, which is served        through the process that serves it; DIR/LOCK says where that listens
 *   --data DIR                         it opens the directory itself
 *
 * What is typed counts more than what the environment says; both ways at once is a usage error. A command says in its table
 * (cli.h, enum command_reach) which servers it can talk to, and has the flags for it then: --user, --password-file and --timeout, and for
 * the Kafka protocol -b, --sasl-mechanism, --tls, --tls-ca, --client-cert and --client-key.
 *
 * A directory that is held by a process that does not serve it (a job, another command, a server that does not listen yet) counts as
 * one to open: opening it says who has it. So does one whose server starts or ends in between.
 *
 * One thread. */
#ifndef WEIR_CLI_REACH_H
#define WEIR_CLI_REACH_H

#include "runtime/cli/cli.h"
#include "runtime/cli/read_password.h"

enum reach_way { REACH_DIRECTORY, REACH_SERVER };

struct reach {
    enum reach_way way;
    const char *directory; /* --data; NULL with -b and --server */
    long pid;              /* of the process that serves the directory; 0 with -b and --server */
    char kafka[1024];      /* HOST:PORT[,…]; "" for REACH_DIRECTORY and --server */
    char http[300];        /* HOST:PORT where the same process answers HTTP; "" with -b */
    int timeout_ms;        /* how long a server that does not answer is waited for */
    bool uses_tls;         /* for the Kafka protocol: HTTP is never encrypted */
    const char *ca, *certificate, *key; /* PEM files; NULL: the system's, none, none */
    const char *mechanism;              /* of SASL, "SCRAM-SHA-256"; NULL: the server asks nobody who it is */
    const char *user;                   /* NULL: nobody */
    char password[PASSWORD_BYTES_MAX + 1]; /* of user */
};

/* Decides, and reads the password where one is needed (it may ask at the terminal). 0, or an exit code after a message. The texts
 * point into cli's flags. End it with reach_forget, whatever it returned. */
int reach_find(const struct cli *cli, enum data_need need, struct reach *reach);
/* So that the password does not stay in memory. */
void reach_forget(struct reach *reach);
/* "127.0.0.1:9092" or "shop, which process 4711 serves on 127.0.0.1:9092": for messages. */
const char *reach_text(const struct reach *reach, char text[2048]);

#endif
