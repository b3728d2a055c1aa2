/* kafka_session.c: SASL's tokens, without what carries them (kafka_sasl.c does).
 *
 *   PLAIN   authorisation identity, NUL, user, NUL, password; the first is empty or the user. Checked against any credential that there is of the user: no password is
 *           stored, so that it is salted as the credential was
 *   SCRAM   kafka_scram.h
 *
 * A user that does not exist, and one without a credential for the mechanism, go through the same steps with a credential that nothing fits. */
#include "log/kafka/kafka_session.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { PASSWORD_BYTES = 1024 };
static const char wrong[] = "Authentication failed: wrong user name or password";

static const char *const names[SASL_MECHANISMS] = {
    [SASL_PLAIN] = "PLAIN",
    [SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
    [SASL_SCRAM_SHA_512] = "SCRAM-SHA-512",
};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return mechanism < SASL_MECHANISMS ? names[mechanism] : NULL;
}

bool kafka_session_finds(const struct kafka_session *session, struct bytes name,
                         enum sasl_mechanism *mechanism)
{
    for (int i = 0; i < SASL_MECHANISMS; i++)
        if (bytes_equal(name, bytes_text(names[i]))) {
            *mechanism = (enum sasl_mechanism)i;
            return i != SASL_PLAIN || session->may_say_password;
        }
    return false;
}

void kafka_session_init(struct kafka_session *session)
{
    *session = (struct kafka_session){.expires_ms = INT64_MAX};
}

void kafka_session_deinit(struct kafka_session *session)
{
    scram_exchange_deinit(&session->scram);
    free(session->principal);
    free(session->certificate);
}

const char *kafka_session_principal(const struct kafka_session *session)
{
    return session->principal != NULL ? session->principal : session->certificate;
}

/* ---- ends ---- */

static enum sasl_result fail(struct kafka_session *session, struct sasl_answer *answer,
                             const char *message, const char *name, const char *why)
{
    char shown[USER_NAME_BYTES + 1];
    bool is_name = user_name_check(name, NULL) == 0;
    snprintf(shown, sizeof shown, "%s", name);
    /* It goes to a log that somebody reads at a terminal: what no user can have is shown as ASCII. */
    for (char *at = shown; *at != '\0' && !is_name; at++)
        if ((uint8_t)*at < ' ' || (uint8_t)*at >= 0x7f)
            *at = '?';
    session->state = SESSION_NEW;
    answer->message = message;
    snprintf(answer->reason, sizeof answer->reason, "%s of user '%s' failed: %.120s",
             names[session->mechanism], shown, why);
    return SASL_FAILED;
}

static enum sasl_result succeed(struct kafka_session *session, struct sasl_answer *answer,
                                const char *name)
{
    size_t size = strlen("User:") + strlen(name) + 1;
    char *principal = malloc(size);
    if (principal == NULL)
        return fail(session, answer, "There is no memory", name, "no memory");
    snprintf(principal, size, "User:%s", name);
    if (session->principal != NULL && strcmp(session->principal, principal) != 0) {
        free(principal);
        return fail(session, answer, "A session cannot become another user's", name,
                    "the connection is another user's");
    }
    if (session->principal == NULL)
        session->principal = principal;
    else
        free(principal);
    session->state = SESSION_DONE;
    session->expires_ms =
        session->lifetime_ms > 0 ? clock_mono_ms() + session->lifetime_ms : INT64_MAX;
    return SASL_DONE;
}

/* ---- users ---- */

/* The credential for a mechanism, or what stands in for it. */
static int find_credential(struct log *log, const char *name, enum scram_mechanism mechanism,
                           struct scram_credential *credential, bool *is_known, struct diag *diag)
{
    uint8_t secret[USER_SECRET_BYTES];
    struct user user = {0};
    int code = user_get(log, name, &user, diag);
    if (code < 0 && code != ERR_NOT_FOUND && code != ERR_INVALID)
        return code;
    *is_known = code == 0 && user.credentials[mechanism - 1].iterations > 0;
    if (*is_known)
        *credential = user.credentials[mechanism - 1];
    TRY(user_secret(log, secret, diag)); /* asked for in either case: it takes time, too */
    if (!*is_known)
        scram_pretend(mechanism, secret, name, credential);
    return 0;
}

/* ---- PLAIN ---- */

static bool take_text(struct bytes *rest, char *text, size_t size, bool is_last)
{
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, 0, rest->size) : NULL;
    if (is_last != (end == NULL))
        return false;
    size_t length = is_last ? rest->size : (size_t)(end - rest->data);
    if (length >= size)
        return false;
    memcpy(text, rest->data, length);
    text[length] = '\0';
    *rest = bytes_of(rest->data + length + !is_last, rest->size - length - !is_last);
    return true;
}

/* One that only has a credential for SHA-512 is checked with that. */
int kafka_check_password(struct log *log, const char *name, const char *password, bool *is_right,
                         struct diag *diag)
{
    struct scram_credential credential;
    enum scram_mechanism mechanism = SCRAM_SHA_256;
    struct user user;
    bool is_known;
    if (user_get(log, name, &user, NULL) == 0 &&
        user.credentials[SCRAM_SHA_256 - 1].iterations == 0)
        mechanism = SCRAM_SHA_512;
    TRY(find_credential(log, name, mechanism, &credential, &is_known, diag));
    bool fits = scram_is_password(mechanism, &credential, bytes_text(password));
    *is_right = fits && is_known;
    return 0;
}

static enum sasl_result take_plain(struct kafka_session *session, struct log *log,
                                   struct bytes token, struct sasl_answer *answer)
{
    char authorisation[USER_NAME_BYTES + 1], name[USER_NAME_BYTES + 1], password[PASSWORD_BYTES];
    struct diag diag = {0};
    bool is_right = false;
    if (!take_text(&token, authorisation, sizeof authorisation, false) ||
        !take_text(&token, name, sizeof name, false) ||
        !take_text(&token, password, sizeof password, true) || name[0] == '\0' ||
        password[0] == '\0')
        return fail(session, answer, "Invalid PLAIN token: it is not user and password", "",
                    "no user and password");
    if (authorisation[0] != '\0' && strcmp(authorisation, name) != 0)
        return fail(session, answer, "Authorization as somebody else is not supported", name,
                    "it wants to be somebody else");
    int code = kafka_check_password(log, name, password, &is_right, &diag);
    explicit_bzero(password, sizeof password);
    if (code < 0)
        return fail(session, answer, "The users cannot be read", name, diag.text);
    return is_right ? succeed(session, answer, name)
                    : fail(session, answer, wrong, name, "wrong user name or password");
}

/* ---- SCRAM ---- */

static enum sasl_result begin_scram(struct kafka_session *session, struct log *log,
                                    struct bytes token, struct sasl_answer *answer)
{
    struct scram_exchange *scram = &session->scram;
    char nonce[SCRAM_NONCE_BYTES];
    const char *reason = "no memory";
    struct diag diag = {0};
    scram_exchange_deinit(scram);
    scram_exchange_init(scram, (enum scram_mechanism)session->mechanism);
    if (scram_make_nonce(nonce) < 0)
        return fail(session, answer, "There is no randomness", "", "no random bytes");
    if (scram_read_first(scram, token, nonce, &reason) < 0)
        return fail(session, answer, "Invalid SCRAM message", scram->name, reason);
    if (find_credential(log, scram->name, scram->mechanism, &scram->credential, &scram->is_known,
                        &diag) < 0)
        return fail(session, answer, "The users cannot be read", scram->name, diag.text);
    if (scram_write_first(scram, answer->out) < 0)
        return fail(session, answer, "There is no memory", scram->name, reason);
    session->state = SESSION_GOES_ON;
    return SASL_MORE;
}

static enum sasl_result end_scram(struct kafka_session *session, struct bytes token,
                                  struct sasl_answer *answer)
{
    struct scram_exchange *scram = &session->scram;
    const char *reason = "no memory";
    int code = scram_finish(scram, token, answer->out, &reason);
    enum sasl_result result =
        code == 0 ? succeed(session, answer, scram->name)
        : code == ERR_FENCED
            ? fail(session, answer, wrong, scram->name, "wrong user name or password")
            : fail(session, answer, "Invalid SCRAM message", scram->name, reason);
    scram_exchange_deinit(scram);
    return result;
}

enum sasl_result kafka_session_take(struct kafka_session *session, struct log *log,
                                    struct bytes token, struct sasl_answer *answer)
{
    must(session->state == SESSION_CHOSEN || session->state == SESSION_GOES_ON);
    if (session->mechanism == SASL_PLAIN)
        return take_plain(session, log, token, answer);
    if (session->state == SESSION_CHOSEN)
        return begin_scram(session, log, token, answer);
    return end_scram(session, token, answer);
}
