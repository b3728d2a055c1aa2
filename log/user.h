/* user.h: who may connect to a log that is served: names, and what proves them (SCRAM credentials, RFC 5802). In meta, beside the log that
 * they are for, so that a copy of the directory has its users, too. No password is stored, nor anything that can be used in its place: from a stored key and a
 * server key nobody can authenticate, only check who does.
 *
 * The log neither makes nor checks credentials, which takes cryptography that it does not have (log/kafka/kafka_scram.h); it keeps them.
 *
 * Threads: any thread may call any of these. What is written is durable on return, and is seen by whoever authenticates from then on. */
#ifndef WEIR_LOG_USER_H
#define WEIR_LOG_USER_H

#include "log/log.h"

enum scram_mechanism { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 }; /* Kafka's numbers */
enum {
    SCRAM_MECHANISMS = 2,
    SCRAM_SALT_BYTES = 64,     /* longest */
    SCRAM_KEY_BYTES = 64,      /* of SHA-512; SHA-256 takes the first 32 */
    USER_NAME_BYTES = 255,     /* longest */
    USER_SECRET_BYTES = 32,
    SCRAM_ITERATIONS = 4096,       /* least, and default */
    SCRAM_ITERATIONS_MAX = 16384,  /* most, as in Kafka */
};
const char *scram_name(enum scram_mechanism mechanism); /* "SCRAM-SHA-256" */
size_t scram_key_size(enum scram_mechanism mechanism);
struct scram_credential {
    int32_t iterations; /* 0: there is none */
    size_t salt_size, key_size;
    uint8_t salt[SCRAM_SALT_BYTES], stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
};
struct user {
    struct scram_credential credentials[SCRAM_MECHANISMS]; /* by mechanism − 1 */
};

/* A name has 1 to USER_NAME_BYTES bytes of UTF-8, no control characters and no colon (which HTTP cannot carry). 0 or ERR_INVALID. */
int user_name_check(const char *name, struct diag *diag);
/* ERR_NOT_FOUND. */
int user_get(struct log *log, const char *name, struct user *user, struct diag *diag);
/* Makes or replaces. A user without any credential is ERR_INVALID. */
int user_put(struct log *log, const char *name, const struct user *user, struct diag *diag);
int user_delete(struct log *log, const char *name, struct diag *diag); /* ERR_NOT_FOUND */
/* Reads a user (nothing in it: there is none), lets change() change it and writes what became of it; a user without any credential is deleted. Nobody else's user_change comes in
 * between. What change() returns below 0 is returned, and nothing is written. */
int user_change(struct log *log, const char *name, int (*change)(void *context, struct user *user), void *context, struct diag *diag);
/* Sorted names, one block for free(). */
int user_list(struct log *log, char ***names, size_t *count, struct diag *diag);
/* Random bytes that are this log's and nobody's: what is made up about users that do not exist is made from them, so that it is the same each time. */
int user_secret(struct log *log, uint8_t secret[USER_SECRET_BYTES], struct diag *diag);

#endif
