/* kafka_sasl.c: SaslHandshake (key 17, versions 0 and 1), SaslAuthenticate (key 36, versions 0 to 2), and the tokens that stand alone on the wire.
 *
 *   SaslHandshake     request   mechanism
 *                     response  error i16, mechanisms [string]
 *   SaslAuthenticate  request   token bytes, tags
 *                     response  error i16, error message (nullable), token bytes, v1+: session lifetime ms i64 (0: for ever), tags
 *
 * After version 0 of SaslHandshake tokens come as a size and so many bytes, without any header, and are answered so, until the client is authenticated; kafka-python 2.0
 * still does it that way. There is no place for an error then: the connection ends, as with Kafka.
 *
 * Who fails has the answer FAILED_MS after a worker took the token, parked, so that guessing takes time and no thread, and how long its check took does not show: a user may have
 * more iterations than a name that does not exist. Then the connection ends. A token is wiped when it has been read, since PLAIN's holds the password. What tokens say:
 * kafka_session.c. */
#include "log/kafka/kafka_handlers.h"
#include "log/kafka/kafka_session.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <string.h>

enum { FAILED_MS = 100 };

/* ---- SaslHandshake ---- */

static void write_mechanisms(struct kafka_request *request)
{
    struct wire_writer *w = &request->writer;
    enum sasl_mechanism found;
    int32_t count = 0;
    for (int i = 0; i < SASL_MECHANISMS; i++)
        count += kafka_session_finds(
            request->session, bytes_text(sasl_mechanism_name((enum sasl_mechanism)i)), &found);
    wire_write_array(w, count);
    for (int i = 0; i < SASL_MECHANISMS; i++) {
        const char *name = sasl_mechanism_name((enum sasl_mechanism)i);
        if (kafka_session_finds(request->session, bytes_text(name), &found))
            wire_write_text(w, name);
    }
}

enum kafka_result kafka_handle_sasl_handshake(struct kafka_request *request)
{
    struct kafka_session *session = request->session;
    struct bytes name = wire_read_string(&request->in);
    enum sasl_mechanism mechanism;
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    bool is_known = kafka_session_finds(session, name, &mechanism);
    bool is_time = session->state == SESSION_NEW || session->state == SESSION_DONE;
    bool is_other = session->principal != NULL && is_known && mechanism != session->mechanism;
    wire_write_i16(&request->writer, !is_known              ? KAFKA_UNSUPPORTED_SASL_MECHANISM
                                     : !is_time || is_other ? KAFKA_ILLEGAL_SASL_STATE
                                                            : KAFKA_NONE);
    write_mechanisms(request);
    if (is_known && is_time && !is_other) {
        session->mechanism = mechanism;
        session->state = SESSION_CHOSEN;
        session->is_raw = request->version == 0;
        return KAFKA_ANSWER;
    }
    request->reason = !is_known ? "it asks for a SASL mechanism that it may not use here"
                                : "SaslHandshake out of order";
    return KAFKA_LAST;
}

/* ---- SaslAuthenticate ---- */

struct refusal {
    enum kafka_error error;
    struct sasl_answer answer;
};

static void write_answer(struct kafka_request *request, enum kafka_error error, const char *message,
                         const struct buf *token)
{
    struct wire_writer *w = &request->writer;
    const struct kafka_session *session = request->session;
    wire_write_i16(w, (int16_t)error);
    wire_write_text(w, message);
    wire_write_bytes(w, bytes_of(token != NULL && token->size > 0 ? (void *)token->data : "",
                                 token != NULL ? token->size : 0));
    if (request->version >= 1)
        wire_write_i64(w, session->state == SESSION_DONE ? session->lifetime_ms : 0);
    wire_write_tags(w);
}

/* When the time is over, or the server stops. */
static enum kafka_result refuse(struct kafka_request *request)
{
    const struct refusal *refusal = request->state;
    request->reason = refusal->answer.reason;
    if (request->api->key == KAFKA_SASL_TOKEN)
        return KAFKA_CLOSE;
    write_answer(request, refusal->error, refusal->answer.message, NULL);
    return KAFKA_LAST;
}

static enum kafka_result refuse_later(struct kafka_request *request, const struct refusal *refusal,
                                      int64_t began_ms)
{
    struct refusal *kept = arena_alloc(&request->arena, sizeof *kept);
    if (kept == NULL)
        return KAFKA_CLOSE;
    *kept = *refusal;
    request->state = kept;
    request->park = (struct kafka_park){.deadline_ms = began_ms + FAILED_MS, .resume = refuse};
    return KAFKA_PARK;
}

static enum kafka_result out_of_order(struct kafka_request *request)
{
    struct refusal refusal = {.error = KAFKA_ILLEGAL_SASL_STATE};
    refusal.answer.message = "SaslAuthenticate comes after SaslHandshake";
    snprintf(refusal.answer.reason, sizeof refusal.answer.reason, "SaslAuthenticate out of order");
    return refuse_later(request, &refusal, clock_mono_ms());
}

/* Takes a token of the request's frame, which is wiped. */
static enum sasl_result take_token(struct kafka_request *request, struct bytes token,
                                   struct sasl_answer *answer)
{
    enum sasl_result result = kafka_session_take(request->session, request->log, token, answer);
    if (token.size > 0)
        explicit_bzero(request->frame_memory.data + (token.data - request->frame.data), token.size);
    return result;
}

static bool expects_token(const struct kafka_session *session)
{
    return session->state == SESSION_CHOSEN || session->state == SESSION_GOES_ON;
}

enum kafka_result kafka_handle_sasl_authenticate(struct kafka_request *request)
{
    struct buf token = {0};
    int64_t began_ms = clock_mono_ms();
    struct refusal refusal = {.error = KAFKA_SASL_AUTHENTICATION_FAILED, .answer.out = &token};
    struct bytes said = wire_read_bytes(&request->in);
    wire_read_tags(&request->in);
    if (!wire_read_ok(&request->in))
        return KAFKA_CLOSE;
    if (!expects_token(request->session) || request->session->is_raw)
        return out_of_order(request);
    enum sasl_result result = take_token(request, said, &refusal.answer);
    if (result != SASL_FAILED)
        write_answer(request, KAFKA_NONE, NULL, &token);
    buf_deinit(&token);
    return result != SASL_FAILED ? KAFKA_ANSWER : refuse_later(request, &refusal, began_ms);
}

enum kafka_result kafka_handle_sasl_token(struct kafka_request *request)
{
    int64_t began_ms = clock_mono_ms();
    struct refusal refusal = {.error = KAFKA_SASL_AUTHENTICATION_FAILED,
                              .answer.out = &request->out};
    if (!expects_token(request->session))
        return KAFKA_CLOSE;
    enum sasl_result result = take_token(request, request->frame, &refusal.answer);
    if (result == SASL_DONE)
        request->session->is_raw = false;
    return result != SASL_FAILED ? KAFKA_ANSWER : refuse_later(request, &refusal, began_ms);
}
