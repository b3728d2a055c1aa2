/* kafka_session.h: who is at the other end of a connection, and how it says so (SASL).
 *
 *     NEW ── SaslHandshake ──▶ CHOSEN ── SaslAuthenticate … ──▶ DONE ── SaslHandshake ──▶ CHOSEN … (again, before the session's time is over)
 *                                │                                └── from then on session->principal is known, and never another one
 *                                └── wrong ──▶ the answer says so, and the connection ends
 *
 * A session belongs to its connection. The handlers of SaslHandshake and SaslAuthenticate change it while they run, and nothing that looks at it runs beside
 * them: requests of a connection run one at a time, and the only ones that others may pass, those that wait for a flush, do not look at it any more. */
#ifndef WEIR_KAFKA_SESSION_H
#define WEIR_KAFKA_SESSION_H

#include "log/kafka/kafka_scram.h"

enum sasl_mechanism { SASL_PLAIN = 0, SASL_SCRAM_SHA_256 = SCRAM_SHA_256, SASL_SCRAM_SHA_512 = SCRAM_SHA_512, SASL_MECHANISMS };

enum kafka_session_state { SESSION_NEW, SESSION_CHOSEN, SESSION_GOES_ON, SESSION_DONE };
struct kafka_session {
    char *principal;                 /* "User:alice"; NULL: not known */
    char *certificate;               /* the same by the certificate that the client has shown; NULL: it need not */
    enum kafka_session_state state;
    enum sasl_mechanism mechanism;   /* from CHOSEN on */
    bool may_say_password;           /* nobody can overhear it: PLAIN is among the mechanisms */
    bool is_raw;                     /* tokens come and go without headers: SaslHandshake version 0 */
    int64_t lifetime_ms;             /* how long an authentication is good for; 0: for ever */
    int64_t expires_ms;              /* clock_mono_ms; INT64_MAX: never */
    struct scram_exchange scram;     /* while it goes on */
};
void kafka_session_init(struct kafka_session *session);
void kafka_session_deinit(struct kafka_session *session);
/* Who it is: by SASL, else by its certificate; NULL: nobody knows. */
const char *kafka_session_principal(const struct kafka_session *session);

/* One token of the client's. MORE, DONE: out holds the answer. FAILED: message is what the client may know, reason is for the server's log; neither says whether there is such a user. */
enum sasl_result { SASL_MORE, SASL_DONE, SASL_FAILED };
struct sasl_answer {
    struct buf *out;
    const char *message; /* constant text */
    char reason[USER_NAME_BYTES + 160];
};
enum sasl_result kafka_session_take(struct kafka_session *session, struct log *log, struct bytes token, struct sasl_answer *answer);
/* The same question without a session: whether it is the user's password. False of a name that there is not, after the same steps. 0, or an ERR_ code: the users cannot be read. */
int kafka_check_password(struct log *log, const char *name, const char *password, bool *is_right, struct diag *diag);
/* The name on the wire; NULL: none with this number. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* Whether name is one that this session may use. */
bool kafka_session_finds(const struct kafka_session *session, struct bytes name, enum sasl_mechanism *mechanism);

#endif
