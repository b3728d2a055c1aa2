/* kafka_scram.h: SCRAM (RFC 5802, RFC 7677), the server's side: credentials made of passwords, passwords checked against them, and the exchange of
 * four messages in which a client proves that it knows one without saying it. No sockets, no log: a test speaks to it in the RFC's own words. */
#ifndef WEIR_KAFKA_SCRAM_H
#define WEIR_KAFKA_SCRAM_H

#include "log/user.h"

/* A credential with a salt of its own. ERR_NOMEM, ERR_IO (no randomness). */
int scram_make(enum scram_mechanism mechanism, struct bytes password, int32_t iterations, struct scram_credential *credential);
/* The same from a password that the client has salted, as Kafka's tools send it. ERR_INVALID: a size that cannot be. */
int scram_from_salted(enum scram_mechanism mechanism, struct bytes salt, struct bytes salted, int32_t iterations,
                      struct scram_credential *credential);
/* Whether it is the password, in a time that does not depend on where it differs. */
bool scram_is_password(enum scram_mechanism mechanism, const struct scram_credential *credential, struct bytes password);
/* What stands in for a user that does not exist: no password fits it, and it is the same each time. */
void scram_pretend(enum scram_mechanism mechanism, const uint8_t secret[USER_SECRET_BYTES], const char *name, struct scram_credential *credential);

/* ---- the exchange: scram_first, scram_final ---- */
enum { SCRAM_NONCE_BYTES = 33, SCRAM_CLIENT_NONCE_BYTES = 256 };
struct scram_exchange {
    enum scram_mechanism mechanism;
    char name[USER_NAME_BYTES + 1];
    struct scram_credential credential; /* of the user, or pretended: put there between the two */
    bool is_known;                      /* it is the user's */
    struct buf auth_message;            /* client-first-bare , server-first */
    size_t first_bare_size;
    char nonce[SCRAM_CLIENT_NONCE_BYTES + SCRAM_NONCE_BYTES];
    char binding[8];                    /* base64 of the GS2 header that the client began with */
};
void scram_exchange_init(struct scram_exchange *exchange, enum scram_mechanism mechanism);
void scram_exchange_deinit(struct scram_exchange *exchange);
/* Text that nobody can guess: 24 random bytes in base64. ERR_IO. */
int scram_make_nonce(char nonce[SCRAM_NONCE_BYTES]);
/* Reads the client's first message: who it says it is, in exchange->name. server_nonce: what the server adds to the client's, shorter than SCRAM_NONCE_BYTES.
 * ERR_INVALID with a reason (constant text). */
int scram_read_first(struct scram_exchange *exchange, struct bytes message, const char *server_nonce, const char **reason);
/* Writes the server's first message, with exchange->credential. ERR_NOMEM. */
int scram_write_first(struct scram_exchange *exchange, struct buf *out);
/* Reads the client's last message and, when its proof is right, writes the server's. ERR_INVALID with a reason: the message makes no sense; ERR_FENCED: it does not know
 * the password, or there is no such user. */
int scram_finish(struct scram_exchange *exchange, struct bytes message, struct buf *out, const char **reason);

#endif
