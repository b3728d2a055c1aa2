/* kafka_tls.h: TLS between a connection's socket and its requests: bytes in, bytes out, no sockets. What is around it: kafka_connection.c.
 *
 * A struct kafka_tls is the server's part (certificate, key, whose clients may come) and belongs to one thread, the loop's; a session belongs to one thread at a
 * time. */
#ifndef WEIR_KAFKA_TLS_H
#define WEIR_KAFKA_TLS_H

#include "log/log.h"

struct kafka_tls;
struct kafka_tls_session;

struct kafka_tls_options {
    const char *certificate; /* a PEM file: the server's certificate, then those between it and the root */
    const char *key;         /* a PEM file: its private key, not encrypted */
    bool names_by_common_name; /* of a client's certificate; false: by its whole subject */
    const char *client_ca;   /* a PEM file: who signs the certificates that clients must show; NULL: they need none */
};

/* Reads the files. ERR_INVALID with a sentence: one that cannot be read, is no such file, or does not fit the other; ERR_NOMEM. */
int kafka_tls_create(const struct kafka_tls_options *options, struct kafka_tls **tls, struct diag *diag);
/* Reads them again: sessions that are made from now on have what they say, those that there are keep what they have. Any error: nothing has changed. In the thread that makes
 * sessions. */
int kafka_tls_reload(struct kafka_tls *tls, const struct kafka_tls_options *options, struct diag *diag);
void kafka_tls_destroy(struct kafka_tls *tls); /* NULL is allowed */

/* NULL: no memory. */
struct kafka_tls_session *kafka_tls_session_create(struct kafka_tls *tls);
void kafka_tls_session_destroy(struct kafka_tls_session *session); /* NULL is allowed */

/* Takes what came from the socket and appends to plain what it says, which is never longer than what came and one record (16 KiB). Afterwards there
 * may be words of TLS's own to send (kafka_tls_take_words). 0; ERR_STOPPED: the client ended the session, nothing more will come; ERR_CORRUPT with a
 * sentence: the connection must end; ERR_NOMEM. */
int kafka_tls_read(struct kafka_tls_session *session, struct bytes sealed, struct buf *plain, struct diag *diag);
/* Appends to sealed what goes to the socket for plain, after any words of TLS's own. The handshake must be over. 0; ERR_NOMEM. */
int kafka_tls_write(struct kafka_tls_session *session, struct bytes plain, struct buf *sealed);
/* What TLS itself wants to send (handshake, alerts, new keys), moved to words, which is empty otherwise. */
void kafka_tls_take_words(struct kafka_tls_session *session, struct buf *words);
/* Says that nothing more will be sent: one more word. */
void kafka_tls_say_end(struct kafka_tls_session *session);

/* "User:" and the name of the client's certificate: its subject as RFC 2253 writes it ("CN=alice,O=shop"), or with is_common its common name alone. For free(). NULL: it has shown
 * no certificate, or one without such a name; or no memory. */
char *kafka_tls_principal(const struct kafka_tls_session *session, bool is_common);

/* The handshake is over, and the client has shown what it must. */
bool kafka_tls_is_ready(const struct kafka_tls_session *session);

#endif
