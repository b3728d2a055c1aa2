/* kafka_tls.c: TLS by OpenSSL, between the loop's sockets and requests.
 *
 * OpenSSL would rather have the socket. It gets a BIO of ours instead, which reads from the bytes that the loop has just read and writes to a buffer that the
 * loop sends: no copy on the way in, nothing that stays allocated for a connection that is idle (OpenSSL's own memory BIOs keep the largest buffer
 * that they ever had), and the loop's limits and times hold for TLS as for plain connections.
 *
 * What came is always taken whole: OpenSSL keeps the beginning of a record whose rest has not come, at most 16 KiB and a header, and gives everything
 * else out at once. So the plain text of one read is at most what was read and one record, whatever a client sends.
 *
 * TLS 1.2 and 1.3, no renegotiation, no compression, no resumption: connections of Kafka clients live for hours, and a ticket would be one more secret.
 * With a client CA every client must show a certificate that it signed, which is not over; who it is beyond that
 * SASL says (kafka_session.h).
 *
 * Errors: OpenSSL's queue belongs to the thread, is cleared before each call and read after one that failed. A reason is a sentence about the client, since
 * that is what stands in the server's log: "closed the connection of 10.0.0.7:51312: it does not speak TLS". */
#include "log/kafka/kafka_tls.h"

#define ERR_STATE openssl_err_state /* OpenSSL's type has the name of a code of ours */
#include <openssl/err.h>
#include <openssl/ssl.h>
#undef ERR_STATE
#include <stdlib.h>

enum { RECORD_BYTES = 16384, RECORD_EXTRA_BYTES = 64, TLS_HANDSHAKE_TYPE = 22 };

struct kafka_tls {
    SSL_CTX *context;
    BIO_METHOD *method;
};
struct kafka_tls_session {
    SSL *ssl;
    struct bytes in; /* not taken yet of what came */
    struct buf out;
    bool ready, has_begun;
};

/* ---- the BIO ---- */

static int take_in(BIO *bio, char *data, int size)
{
    struct kafka_tls_session *session = BIO_get_data(bio);
    size_t count = (size_t)size < session->in.size ? (size_t)size : session->in.size;
    BIO_clear_retry_flags(bio);
    if (count == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(data, session->in.data, count);
    session->in = bytes_of(session->in.data + count, session->in.size - count);
    return (int)count;
}

static int put_out(BIO *bio, const char *data, int size)
{
    struct kafka_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_append(&session->out, data, (size_t)size);
    return buf_ok(&session->out) ? size : -1;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int create_bio(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
    if (method == NULL)
        return NULL;
    BIO_meth_set_create(method, create_bio);
    BIO_meth_set_read(method, take_in);
    BIO_meth_set_write(method, put_out);
    BIO_meth_set_ctrl(method, control);
    return method;
}

/* ---- the server's part ---- */

/* The first that OpenSSL complained about. */
static const char *first_complaint(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    return text != NULL ? text : "no reason given";
}

static int refuse_file(const char *what, const char *path, struct diag *diag)
{
    unsigned long error = ERR_peek_error();
    if (ERR_GET_LIB(error) == ERR_LIB_SYS) /* its file could not be opened */
        return diag_set(diag, ERR_INVALID, "%s %s: %s", what, path,
                        strerror(ERR_GET_REASON(error)));
    return diag_set(diag, ERR_INVALID, "%s %s: %s", what, path, first_complaint());
}

/* A key with a password would ask for it at the terminal: there is nobody. */
static int no_password(char *text, int size, int writes, void *context)
{
    (void)text, (void)size, (void)writes, (void)context;
    return -1;
}

static void warn_of_time(SSL_CTX *context, const char *path)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        log_line('W', "kafka: the certificate in %s has expired: clients will refuse it", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        log_line('W', "kafka: the certificate in %s is not valid yet: clients will refuse it",
                 path);
}

static int load_own(SSL_CTX *context, const struct kafka_tls_options *options, struct diag *diag)
{
    SSL_CTX_set_default_passwd_cb(context, no_password);
    if (SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1)
        return refuse_file("the certificate", options->certificate, diag);
    if (SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1)
        return refuse_file("the private key", options->key, diag);
    if (SSL_CTX_check_private_key(context) != 1)
        return diag_set(diag, ERR_INVALID, "the private key %s is not that of the certificate %s",
                        options->key, options->certificate);
    warn_of_time(context, options->certificate);
    return 0;
}

static int load_client_ca(SSL_CTX *context, const char *path, struct diag *diag)
{
    if (SSL_CTX_load_verify_file(context, path) != 1)
        return refuse_file("the client CA", path, diag);
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(path));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int set_up(SSL_CTX *context, const struct kafka_tls_options *options, struct diag *diag)
{
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return diag_set(diag, ERR_INVALID, "OpenSSL has no TLS 1.2 here");
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    int rc = load_own(context, options, diag);
    if (rc == 0 && options->client_ca != NULL)
        rc = load_client_ca(context, options->client_ca, diag);
    return rc;
}

/* What sessions are made from. */
static int make_context(const struct kafka_tls_options *options, SSL_CTX **context,
                        struct diag *diag)
{
    ERR_clear_error();
    *context = SSL_CTX_new(TLS_server_method());
    int rc = *context == NULL ? diag_set(diag, ERR_NOMEM, "no memory for TLS")
                              : set_up(*context, options, diag);
    if (rc < 0) {
        SSL_CTX_free(*context);
        *context = NULL;
    }
    return rc;
}

int kafka_tls_create(const struct kafka_tls_options *options, struct kafka_tls **tls,
                     struct diag *diag)
{
    struct kafka_tls *made = calloc(1, sizeof *made);
    *tls = NULL;
    if (made != NULL)
        made->method = make_method();
    int rc = made == NULL || made->method == NULL ? diag_set(diag, ERR_NOMEM, "no memory for TLS")
                                                  : make_context(options, &made->context, diag);
    if (rc < 0) {
        kafka_tls_destroy(made);
        return rc;
    }
    *tls = made;
    return 0;
}

int kafka_tls_reload(struct kafka_tls *tls, const struct kafka_tls_options *options,
                     struct diag *diag)
{
    SSL_CTX *context;
    TRY(make_context(options, &context, diag));
    SSL_CTX_free(tls->context); /* the sessions that were made from it keep it */
    tls->context = context;
    return 0;
}

void kafka_tls_destroy(struct kafka_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls);
}

/* ---- a session ---- */

struct kafka_tls_session *kafka_tls_session_create(struct kafka_tls *tls)
{
    struct kafka_tls_session *session = calloc(1, sizeof *session);
    BIO *bio = session != NULL ? BIO_new(tls->method) : NULL;
    if (bio != NULL)
        session->ssl = SSL_new(tls->context);
    if (bio == NULL || session->ssl == NULL) {
        BIO_free(bio);
        free(session);
        return NULL;
    }
    BIO_set_data(bio, session);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_accept_state(session->ssl);
    return session;
}

void kafka_tls_session_destroy(struct kafka_tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    buf_deinit(&session->out);
    free(session);
}

/* Why OpenSSL gave up, in words about the client. */
static int give_up(const struct kafka_tls_session *session, struct diag *diag)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    if (!buf_ok(&session->out) || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
        return diag_set(diag, ERR_NOMEM, "no memory for TLS");
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return diag_set(diag, ERR_CORRUPT, "it showed no certificate, and every client must");
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return diag_set(diag, ERR_CORRUPT, "its certificate is refused: %s",
                        X509_verify_cert_error_string(SSL_get_verify_result(session->ssl)));
    if (reason >= SSL_AD_REASON_OFFSET) /* an alert that it sent */
        return diag_set(diag, ERR_CORRUPT, "it ended the TLS handshake: %s", first_complaint());
    return diag_set(diag, ERR_CORRUPT, "%s failed: %s",
                    session->ready ? "TLS" : "the TLS handshake", first_complaint());
}

/* 0: it goes on when more has come, or is over. */
static int shake_hands(struct kafka_tls_session *session, struct diag *diag)
{
    if (!session->has_begun && session->in.size > 0 && session->in.data[0] != TLS_HANDSHAKE_TYPE)
        return diag_set(diag, ERR_CORRUPT,
                        "it does not speak TLS, and this port does (security.protocol is SSL or "
                        "SASL_SSL)");
    session->has_begun = true;
    int result = SSL_do_handshake(session->ssl);
    session->ready = result == 1;
    if (session->ready || SSL_get_error(session->ssl, result) == SSL_ERROR_WANT_READ)
        return 0;
    return give_up(session, diag);
}

int kafka_tls_read(struct kafka_tls_session *session, struct bytes sealed, struct buf *plain,
                   struct diag *diag)
{
    session->in = sealed;
    ERR_clear_error();
    if (!session->ready)
        TRY(shake_hands(session, diag));
    while (session->ready) {
        size_t count = 0;
        uint8_t *at = buf_reserve(plain, RECORD_BYTES);
        if (at == NULL)
            return diag_set(diag, ERR_NOMEM, "no memory");
        int result = SSL_read_ex(session->ssl, at, RECORD_BYTES, &count);
        if (result == 1) {
            plain->size += count;
            continue;
        }
        int error = SSL_get_error(session->ssl, result);
        if (error == SSL_ERROR_ZERO_RETURN)
            return ERR_STOPPED;
        return error == SSL_ERROR_WANT_READ ? 0 : give_up(session, diag);
    }
    return 0;
}

void kafka_tls_take_words(struct kafka_tls_session *session, struct buf *words)
{
    *words = session->out;
    session->out = (struct buf){0};
}

int kafka_tls_write(struct kafka_tls_session *session, struct bytes plain, struct buf *sealed)
{
    size_t written = 0, records = plain.size / RECORD_BYTES + 1;
    must(session->ready && plain.size > 0);
    ERR_clear_error();
    buf_reserve(&session->out, plain.size + records * RECORD_EXTRA_BYTES);
    int result = SSL_write_ex(session->ssl, plain.data, plain.size, &written);
    kafka_tls_take_words(session, sealed);
    return result == 1 && written == plain.size && buf_ok(sealed) ? 0 : ERR_NOMEM;
}

void kafka_tls_say_end(struct kafka_tls_session *session)
{
    ERR_clear_error();
    if (session->ready)
        SSL_shutdown(session->ssl);
}

bool kafka_tls_is_ready(const struct kafka_tls_session *session)
{
    return session->ready;
}

/* The subject's text, or that of its last common name, appended. False: there is none, or no memory. */
static bool put_name(BIO *text, const X509_NAME *subject, bool is_common)
{
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB; /* UTF-8 stays */
    if (!is_common)
        return X509_NAME_entry_count(subject) > 0 &&
               X509_NAME_print_ex(text, subject, 0, flags) >= 0;
    int at = -1, last = -1;
    while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
        last = at;
    unsigned char *utf8 = NULL;
    int size = last < 0 ? -1
                        : ASN1_STRING_to_UTF8(
                              &utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    bool put = size > 0 && BIO_write(text, utf8, size) == size;
    OPENSSL_free(utf8);
    return put;
}

char *kafka_tls_principal(const struct kafka_tls_session *session, bool is_common)
{
    X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    BIO *text = certificate != NULL ? BIO_new(BIO_s_mem()) : NULL;
    char *name = NULL, *data;
    if (text == NULL)
        return NULL;
    if (BIO_puts(text, "User:") > 0 &&
        put_name(text, X509_get_subject_name(certificate), is_common)) {
        long size = BIO_get_mem_data(text, &data);
        if (size > 0 && memchr(data, 0, (size_t)size) == NULL)
            name = strndup(data, (size_t)size);
    }
    BIO_free(text);
    return name;
}
