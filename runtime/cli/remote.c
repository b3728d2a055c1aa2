/* remote.c: see remote.h.
 *
 * librdkafka waits for ever for servers that may come back; a command does not.
 * So the first thing is a question that any server answers (metadata, of
 * nothing): while it is out, an error that will not go away by itself ends the
 * wait at once, which are a refused connection, a refused login and a failed
 * handshake. Later a server that has gone away is waited for, since it may be
 * back in a moment.
 *
 * Why a connection ended librdkafka knows best: its last words about it are
 * kept and go into the message. */
#include "runtime/cli/remote.h"

#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SLICE_MS = 100,   /* how long a wait lasts before errors and signals are looked at */
    ANSWER_MS = 2000, /* what a server that is back has for an answer */
};

/* ---- what a handle reports ---- */

static bool is_refusal(int error)
{
    return error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL;
}

/* Does not go away by itself. "All brokers are down" is told once, before or after the error that
 * brought the last of them down. */
static bool is_lasting(const struct remote *remote)
{
    return is_refusal(remote->fault) || remote->down_since_ms != 0;
}

static void on_error(rd_kafka_t *handle, int error, const char *reason, void *opaque)
{
    struct remote *remote = opaque;
    (void)handle;
    bool sums_up = error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    if (sums_up && remote->down_since_ms == 0)
        remote->down_since_ms = clock_mono_ms();
    if (sums_up ? remote->fault != 0 : is_refusal(remote->fault))
        return; /* it says less than what is known */
    remote->fault = error;
    snprintf(remote->fault_text, sizeof remote->fault_text, "%s", reason);
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    (void)level;
    (void)facility;
    (void)text;
}

static int out_of_reach(struct remote *remote, struct diag *diag)
{
    char where[2048];
    reach_text(&remote->reach, where);
    int code = remote->fault == RD_KAFKA_RESP_ERR__AUTHENTICATION ? ERR_STATE : ERR_TIMEOUT;
    if (remote->fault_text[0] == '\0')
        return diag_set(diag, code, "no answer from %s within %d ms", where,
                        remote->reach.timeout_ms);
    return diag_set(diag, code, "%s %s: %s", code == ERR_STATE ? "not let in by" : "cannot reach",
                    where, remote->fault_text);
}

int remote_check(struct remote *remote, rd_kafka_t *handle, struct diag *diag)
{
    rd_kafka_poll(handle, 0);
    if (remote->fault == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        return out_of_reach(remote, diag);
    if (remote->down_since_ms == 0 ||
        clock_mono_ms() - remote->down_since_ms < remote->reach.timeout_ms)
        return 0;
    /* librdkafka tells when the last server is gone, not when one is back. */
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(handle, 0, NULL, &metadata, ANSWER_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return out_of_reach(remote, diag);
    rd_kafka_metadata_destroy(metadata);
    remote->down_since_ms = 0;
    remote->fault = 0;
    remote->fault_text[0] = '\0';
    return 0;
}

int remote_error(struct remote *remote, rd_kafka_resp_err_t error, const char *what,
                 const char *text, struct diag *diag)
{
    static const struct {
        rd_kafka_resp_err_t error;
        int code;
    } codes[] = {
        {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERR_NOT_FOUND},
        {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERR_NOT_FOUND},
        {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ERR_NOT_FOUND},
        {RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND, ERR_NOT_FOUND},
        {RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, ERR_EXISTS},
        {RD_KAFKA_RESP_ERR_INVALID_CONFIG, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_INVALID_REQUEST, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_INVALID_RECORD, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, ERR_INVALID},
        {RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP, ERR_BUSY},
        {RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC, ERR_BUSY},
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERR_TOO_LARGE},
        {RD_KAFKA_RESP_ERR__TIMED_OUT, ERR_TIMEOUT},
        {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, ERR_TIMEOUT},
        {RD_KAFKA_RESP_ERR__TRANSPORT, ERR_TIMEOUT},
        {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ERR_TIMEOUT},
        {RD_KAFKA_RESP_ERR__WAIT_COORD, ERR_TIMEOUT},
        {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, ERR_TIMEOUT},
    };
    int code = ERR_STATE;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].error == error)
            code = codes[i].code;
    if (code == ERR_TIMEOUT)
        return out_of_reach(remote, diag);
    if (text != NULL && strcmp(text, rd_kafka_err2str(error)) != 0)
        return diag_set(diag, code, "%s", text); /* the server's own words */
    return diag_set(diag, code, "%s: %s", what, rd_kafka_err2str(error));
}

/* ---- handles ---- */

void remote_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        must_failed(__FILE__, __LINE__, text);
}

static void set_number(rd_kafka_conf_t *conf, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    remote_set(conf, name, text);
}

/* What the user typed may be wrong: a file that is not there. */
static int set_typed(rd_kafka_conf_t *conf, const char *name, const char *value, struct diag *diag)
{
    char text[512];
    if (value == NULL ||
        rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return 0;
    return diag_set(diag, ERR_INVALID, "%s", text);
}

rd_kafka_conf_t *remote_conf(struct remote *remote, struct diag *diag)
{
    static const char *const protocols[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};
    const struct reach *reach = &remote->reach;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int64_t setup_ms = reach->timeout_ms < 1000 ? 1000 : reach->timeout_ms;
    remote_set(conf, "client.id", "weir");
    remote_set(conf, "security.protocol",
               protocols[reach->uses_tls + 2 * (reach->mechanism != NULL)]);
    set_number(conf, "socket.timeout.ms", setup_ms);
    set_number(conf, "socket.connection.setup.timeout.ms", setup_ms);
    remote_set(conf, "socket.nagle.disable", "true");
    remote_set(conf, "reconnect.backoff.max.ms", "1000");
    rd_kafka_conf_set_opaque(conf, remote);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    int code = set_typed(conf, "bootstrap.servers", reach->kafka, diag);
    if (code == 0)
        code = set_typed(conf, "ssl.ca.location", reach->ca, diag);
    if (code == 0)
        code = set_typed(conf, "ssl.certificate.location", reach->certificate, diag);
    if (code == 0)
        code = set_typed(conf, "ssl.key.location", reach->key, diag);
    if (code == 0 && reach->mechanism != NULL) {
        remote_set(conf, "sasl.mechanism", reach->mechanism);
        remote_set(conf, "sasl.username", reach->user);
        remote_set(conf, "sasl.password", reach->password);
    }
    if (code == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

int remote_create(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **handle,
                  struct diag *diag)
{
    char text[512];
    *handle = rd_kafka_new(type, conf, text, sizeof text);
    if (*handle != NULL)
        return 0;
    rd_kafka_conf_destroy(conf);
    return diag_set(diag, ERR_INVALID, "%s", text);
}

/* A handle that asks. */
static int create_asking(struct remote *remote, const char *isolation, rd_kafka_t **handle,
                         struct diag *diag)
{
    rd_kafka_conf_t *conf = remote_conf(remote, diag);
    if (conf == NULL)
        return ERR_INVALID;
    remote_set(conf, "isolation.level", isolation);
    return remote_create(RD_KAFKA_CONSUMER, conf, handle, diag);
}

/* Until somebody answers. An answer that comes after its question was given up counts for nothing,
 * so that each question has twice the time of the one before: a server far away needs more than a
 * slice, and one that is not there or lets nobody in is found out at once. */
static int connect_there(struct remote *remote, struct diag *diag)
{
    const struct rd_kafka_metadata *metadata;
    int64_t until_ms = clock_mono_ms() + remote->reach.timeout_ms;
    for (int64_t wait_ms = SLICE_MS; !interrupted(); wait_ms *= 2) {
        int64_t left_ms = until_ms - clock_mono_ms();
        if (wait_ms > left_ms)
            wait_ms = left_ms > SLICE_MS ? left_ms : SLICE_MS;
        rd_kafka_resp_err_t error =
            rd_kafka_metadata(remote->handle, 0, NULL, &metadata, (int)wait_ms);
        rd_kafka_poll(remote->handle, 0);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(metadata);
            remote->fault = 0; /* of an address that does not answer while another does */
            remote->down_since_ms = 0;
            remote->fault_text[0] = '\0';
            return 0;
        }
        if (is_lasting(remote) || clock_mono_ms() >= until_ms)
            return out_of_reach(remote, diag);
    }
    return diag_set(diag, ERR_STOPPED, "interrupted");
}

static void hint_at_security(const struct remote *remote)
{
    const struct reach *reach = &remote->reach;
    if (remote->fault == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        hint("--user and --password-file say who you are, --sasl-mechanism how");
    else if (strstr(remote->fault_text, "unexpected eof") != NULL ||
             strstr(remote->fault_text, "wrong version number") != NULL)
        hint("does this port speak TLS? Without --tls, --tls-ca and --client-cert it is spoken to "
             "without");
    else if (remote->fault == RD_KAFKA_RESP_ERR__SSL ||
             strstr(remote->fault_text, "SSL routines") != NULL)
        hint("--tls-ca FILE names the CA that signed the server's certificate; "
             "--client-cert and "
             "--client-key what to show to a server that asks");
    else if (reach->directory != NULL)
        hint("if process %ld has just ended, try again", reach->pid);
    else if (!reach->uses_tls || reach->mechanism == NULL)
        hint("is it running, and is this its address? --tls for a server that "
             "speaks TLS, --user "
             "NAME for one that asks who you are");
}

int remote_open(const struct reach *reach, struct remote **remote)
{
    struct diag diag = {0};
    *remote = calloc(1, sizeof **remote);
    if (*remote == NULL)
        return failed(ERR_NOMEM, NULL);
    (*remote)->reach = *reach;
    int code = create_asking(*remote, "read_uncommitted", &(*remote)->handle, &diag);
    if (code == 0)
        code = connect_there(*remote, &diag);
    if (code == 0)
        return 0;
    int exit_code = EXIT_INTERRUPTED;
    if (code != ERR_STOPPED) {
        exit_code = failed(code, &diag);
        if (code != ERR_INVALID)
            hint_at_security(*remote);
    }
    remote_close(*remote);
    *remote = NULL;
    return exit_code;
}

void remote_close(struct remote *remote)
{
    if (remote == NULL)
        return;
    if (remote->committed != NULL)
        rd_kafka_destroy(remote->committed);
    if (remote->handle != NULL)
        rd_kafka_destroy(remote->handle);
    reach_forget(&remote->reach);
    free(remote);
}

/* ---- requests ---- */

int remote_begin(struct remote *remote, rd_kafka_admin_op_t operation, struct remote_call *call,
                 struct diag *diag)
{
    char text[512];
    *call = (struct remote_call){.queue = rd_kafka_queue_new(remote->handle),
                                 .options = rd_kafka_AdminOptions_new(remote->handle, operation)};
    if (rd_kafka_AdminOptions_set_request_timeout(call->options, remote->reach.timeout_ms, text,
                                                  sizeof text) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return diag_set(diag, ERR_INVALID, "%s", text);
}

int remote_wait(struct remote *remote, struct remote_call *call, const char *what,
                struct diag *diag)
{
    while ((call->event = rd_kafka_queue_poll(call->queue, SLICE_MS)) == NULL) {
        TRY(remote_check(remote, remote->handle, diag));
        if (interrupted())
            return diag_set(diag, ERR_STOPPED, "interrupted");
    }
    rd_kafka_resp_err_t error = rd_kafka_event_error(call->event);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return remote_error(remote, error, what, rd_kafka_event_error_string(call->event), diag);
}

void remote_end(struct remote_call *call)
{
    if (call->event != NULL)
        rd_kafka_event_destroy(call->event);
    rd_kafka_AdminOptions_destroy(call->options);
    rd_kafka_queue_destroy(call->queue);
}

/* ---- questions ---- */

int remote_metadata(struct remote *remote, bool all, const struct rd_kafka_metadata **metadata,
                    struct diag *diag)
{
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(remote->handle, all, NULL, metadata, remote->reach.timeout_ms);
    rd_kafka_poll(remote->handle, 0);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR
               ? 0
               : remote_error(remote, error, "the topics", NULL, diag);
}

/* A partition that has just been made, or whose leader is changing: a moment
 * later it has one. */
static bool is_passing(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
           error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           error == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH;
}

/* One try. wanted keeps what is asked for. */
static rd_kafka_resp_err_t try_offsets(struct remote *remote, rd_kafka_t *handle,
                                       const rd_kafka_topic_partition_list_t *wanted,
                                       rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = wanted->elems[i].offset;
        list->elems[i].err = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(handle, list, remote->reach.timeout_ms);
    for (int i = 0; i < list->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        if (is_passing(list->elems[i].err))
            error = list->elems[i].err;
    return error;
}

int remote_offsets(struct remote *remote, enum isolation isolation,
                   rd_kafka_topic_partition_list_t *list, struct diag *diag)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_t *handle = remote->handle;
    rd_kafka_resp_err_t error;
    if (list->cnt == 0)
        return 0;
    if (isolation == READ_COMMITTED && remote->committed == NULL)
        TRY(create_asking(remote, "read_committed", &remote->committed, diag));
    if (isolation == READ_COMMITTED)
        handle = remote->committed;
    int64_t until_ms = clock_mono_ms() + remote->reach.timeout_ms;
    rd_kafka_topic_partition_list_t *wanted = rd_kafka_topic_partition_list_copy(list);
    while (is_passing(error = try_offsets(remote, handle, wanted, list)) && !interrupted() &&
           clock_mono_ms() < until_ms) {
        rd_kafka_poll(handle, SLICE_MS);
        if (rd_kafka_metadata(handle, 1, NULL, &metadata, remote->reach.timeout_ms) ==
            RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_metadata_destroy(metadata); /* the handle has taken the leaders from it */
    }
    rd_kafka_topic_partition_list_destroy(wanted);
    rd_kafka_poll(handle, 0);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? 0
                                               : remote_error(remote, error, "offsets", NULL, diag);
}
