/* kafka_transport.c: what lies between a connection's socket and its requests when it speaks TLS. Loop thread.
 *
 *     socket ─▶ kafka_transport_open ─▶ plain bytes, as if they had been read          (kafka_frames_take)
 *     socket ◀─ kafka_transport_seal ◀─ a response, sealed in place before it is sent
 *     socket ◀─ say_words                 what TLS itself has to say: the handshake, new keys, the end
 *
 * A session is made when the first byte has come: who connects and says nothing costs no more than without TLS. The handshake has TLS_HANDSHAKE_MS from the
 * connection's beginning; what comes meanwhile is worked on by a strangers' thread, and nothing more is read until that is done. What TLS wants to send counts like responses, so that a client that asks and does not read is cut off after WRITE_MS, or
 * when TLS_WORDS_BYTES wait. Sealing happens in the loop's thread, one response after the other: beside all that is booked there is never more than one
 * response twice. */
#include "log/kafka/kafka_internal.h"
#include "runtime/base/clock.h"

#include <stdlib.h>

struct words {
    uv_write_t write;
    struct kafka_connection *connection;
    struct buf bytes;
};

static void on_said(uv_write_t *write, int status)
{
    struct words *words = write->data;
    struct kafka_connection *c = words->connection;
    size_t size = words->bytes.size;
    buf_deinit(&words->bytes);
    free(words);
    c->out_bytes -= size;
    c->words_bytes -= size;
    kafka_peer_use(c, SHARE_RESPONSES, -(int64_t)size);
    kafka_deadlines_sent(c);
    if (c->closing)
        return; /* its handles are still open: it is freed when they are not */
    if (status < 0)
        kafka_connection_close(c, NULL);
    else
        kafka_connection_step(c);
}

static void say_words(struct kafka_connection *c)
{
    struct words *words = calloc(1, sizeof *words);
    if (words == NULL) {
        kafka_connection_close(c, "no memory");
        return;
    }
    kafka_tls_take_words(c->tls, &words->bytes);
    size_t size = words->bytes.size;
    if (size == 0) {
        free(words);
        return;
    }
    words->connection = c;
    words->write.data = words;
    if (c->out_bytes == 0)
        c->sent_ms = clock_mono_ms();
    c->out_bytes += size;
    c->words_bytes += size;
    kafka_peer_use(c, SHARE_RESPONSES, (int64_t)size);
    uv_buf_t bytes = uv_buf_init((char *)words->bytes.data, (unsigned)size);
    if (uv_write(&words->write, (uv_stream_t *)&c->socket, &bytes, 1, on_said) == 0) {
        if (c->words_bytes > TLS_WORDS_BYTES)
            kafka_connection_close(c, "it does not take what TLS has to say");
        return;
    }
    c->out_bytes -= size;
    c->words_bytes -= size;
    kafka_peer_use(c, SHARE_RESPONSES, -(int64_t)size);
    buf_deinit(&words->bytes);
    free(words);
    kafka_connection_close(c, NULL);
}

bool kafka_transport_is_ready(const struct kafka_connection *c)
{
    return c->server->tls == NULL || c->is_secure;
}

bool kafka_transport_may_read(struct kafka_connection *c)
{
    if (kafka_transport_is_ready(c))
        return true;
    if (c->shake != NULL)
        return false;
    if (c->has_handshake || kafka_peer_begin_handshake(c))
        return true;
    kafka_peer_wait(c, WAIT_HANDSHAKE);
    return false;
}

/* ---- the handshake ---- */

struct kafka_shake {          /* what came, while a strangers' thread has it */
    struct kafka_chore chore; /* the first */
    struct kafka_connection *connection;
    struct buf in, plain;
    int code;
    struct diag diag;
    atomic_bool abandoned; /* nobody waits for it any more */
    struct kafka_shake *next;
};

static void free_shake(struct kafka_shake *shake)
{
    buf_deinit(&shake->in);
    buf_deinit(&shake->plain);
    free(shake);
}

/* In a strangers' thread. */
static void shake_hands(struct kafka_chore *chore, struct buf *scratch)
{
    struct kafka_shake *shake = (struct kafka_shake *)(void *)chore;
    struct kafka_connection *c = shake->connection;
    struct kafka_server *server = c->server;
    (void)scratch;
    if (!atomic_load(&shake->abandoned))
        shake->code = kafka_tls_read(c->tls, bytes_of(shake->in.data, shake->in.size),
                                     &shake->plain, &shake->diag);
    pthread_mutex_lock(&server->done_mutex);
    shake->next = server->shaken;
    server->shaken = shake;
    pthread_mutex_unlock(&server->done_mutex);
    uv_async_send(&server->wake);
}

/* False: no memory. */
static bool begin_shake(struct kafka_connection *c, struct bytes sealed)
{
    struct kafka_shake *shake = calloc(1, sizeof *shake);
    if (shake == NULL)
        return false;
    buf_append_bytes(&shake->in, sealed);
    if (!buf_ok(&shake->in)) {
        free_shake(shake);
        return false;
    }
    shake->connection = c;
    shake->chore = (struct kafka_chore){.peer = c->peer, .run = shake_hands};
    c->shake = shake;
    kafka_strangers_push(&c->server->workers.strangers, &shake->chore);
    return true;
}

/* What TLS made of something that came. Empty: nothing, or the connection is closed. */
static struct bytes look_at(struct kafka_connection *c, int code, const struct buf *plain,
                            const struct diag *diag)
{
    if (code == ERR_STOPPED && c->size_have == 0 && plain->size == 0) {
        kafka_connection_close(c, NULL);
        return bytes_of("", 0);
    }
    say_words(c); /* of a session that failed, too: an alert tells the client why */
    if (!c->closing && code < 0 && code != ERR_STOPPED)
        kafka_connection_close(c, diag->text);
    return c->closing ? bytes_of("", 0) : bytes_of(plain->data, plain->size);
}

static void take_back(struct kafka_shake *shake)
{
    struct kafka_connection *c = shake->connection;
    c->shake = NULL;
    if (c->closing) {
        kafka_transport_end(c);
        kafka_connection_free_when_over(c);
        return;
    }
    c->is_secure = kafka_tls_is_ready(c->tls);
    if (c->is_secure && c->session.certificate == NULL) /* before the first request */
        c->session.certificate =
            kafka_tls_principal(c->tls, c->server->options.tls.names_by_common_name);
    if (c->is_secure)
        kafka_peer_end_handshake(c);
    struct bytes bytes = look_at(c, shake->code, &shake->plain, &shake->diag);
    if (!c->closing)
        kafka_frames_take(c, bytes);
    if (!c->closing)
        kafka_connection_step(c);
}

void kafka_transport_take_back(struct kafka_server *server)
{
    pthread_mutex_lock(&server->done_mutex);
    struct kafka_shake *shake = server->shaken, *next;
    server->shaken = NULL;
    pthread_mutex_unlock(&server->done_mutex);
    for (; shake != NULL; shake = next) {
        next = shake->next;
        take_back(shake);
        free_shake(shake);
    }
}

/* ---- bytes ---- */

struct bytes kafka_transport_open(struct kafka_connection *c, struct bytes sealed)
{
    struct buf *plain = &c->server->plain;
    struct diag diag = {0};
    if (c->tls == NULL)
        c->tls = kafka_tls_session_create(c->server->tls);
    if (c->tls == NULL || (!c->is_secure && !begin_shake(c, sealed))) {
        kafka_connection_close(c, "no memory for TLS");
        return bytes_of("", 0);
    }
    if (!c->is_secure)
        return bytes_of("", 0);
    buf_clear(plain);
    int code = kafka_tls_read(c->tls, sealed, plain, &diag);
    plain->failed = false;
    return look_at(c, code, plain, &diag);
}

bool kafka_transport_seal(struct kafka_connection *c, struct buf *response)
{
    struct buf sealed = {0};
    if (c->tls == NULL)
        return true;
    int code = kafka_tls_write(c->tls, bytes_of(response->data, response->size), &sealed);
    buf_deinit(response);
    *response = sealed;
    return code == 0;
}

void kafka_transport_end(struct kafka_connection *c)
{
    struct buf words = {0};
    if (c->shake != NULL) { /* somebody has the session */
        atomic_store(&c->shake->abandoned, true);
        return;
    }
    kafka_peer_end_handshake(c);
    if (c->tls == NULL)
        return;
    kafka_tls_say_end(c->tls);
    kafka_tls_take_words(c->tls, &words);
    uv_buf_t bytes = uv_buf_init((char *)words.data, (unsigned)words.size);
    if (words.size > 0 && !uv_is_closing((uv_handle_t *)&c->socket) &&
        c->out_bytes == 0) /* what still waits to be sent is lost, and this with it */
        uv_try_write((uv_stream_t *)&c->socket, &bytes, 1);
    buf_deinit(&words);
    kafka_tls_session_destroy(c->tls);
    c->tls = NULL;
}
