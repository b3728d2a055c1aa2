/* sink.c: see sink.h: opening one, and the embedded log's, which is a sender (log/log.h) whose tags are the numbers of lines. */
#include "runtime/cli/sink.h"

#include <stdlib.h>

struct log_sink {
    struct sink base;
    struct sender *sender;
};

static struct sender *sender_of(struct sink *sink)
{
    return ((struct log_sink *)sink)->sender;
}

/* The sender's report of a batch. */
static void batch_left(void *context, struct sent_batch *sent, const struct diag *reason)
{
    struct log_sink *s = context;
    if (reason != NULL && sent->record_count > 0)
        s->base.options.lost(s->base.options.context, (int64_t)sent->tags[0], NULL);
    sent_batch_free(sent);
}

static int send_record(struct sink *sink, int64_t timestamp_ms, struct bytes key,
                       struct bytes value, int64_t line, struct diag *diag)
{
    return sender_send_tagged(sender_of(sink), -1, timestamp_ms, key, value, bytes_of(NULL, 0), 0,
                              (uint64_t)line, diag);
}

static int hurry(struct sink *sink, struct diag *diag)
{
    return sender_flush(sender_of(sink), false, diag);
}

static int finish(struct sink *sink, struct diag *diag)
{
    return sender_flush(sender_of(sink), true, diag);
}

static int give_up(struct sink *sink, const struct diag *reason, struct diag *diag)
{
    sender_discard(sender_of(sink), reason);
    return sender_wait(sender_of(sink), -1, diag); /* what was appended before */
}

static void close_sink(struct sink *sink)
{
    if (sender_of(sink) != NULL)
        sender_close(sender_of(sink));
    free(sink);
}

static const struct sink_ops log_sink_ops = {
    .send = send_record,
    .hurry = hurry,
    .finish = finish,
    .give_up = give_up,
    .close = close_sink,
};

void sink_close(struct sink *sink)
{
    if (sink != NULL)
        sink->ops->close(sink);
}

int sink_open(struct door *door, const struct sink_options *options, struct sink **sink,
              struct diag *diag)
{
    *sink = NULL;
    if (door->remote != NULL)
        return remote_sink_open(door, options, sink, diag);
    struct log_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a sender");
    s->base = (struct sink){&log_sink_ops, *options};
    struct sender_options sending = {.codec = options->codec,
                                     .codec_is_set = true,
                                     .batch_bytes = options->batch_bytes,
                                     .appended = batch_left,
                                     .keep_tags = true,
                                     .context = s};
    int code = sender_open(door->log, options->topic, &sending, &s->sender, diag);
    if (code == 0)
        *sink = &s->base;
    else
        close_sink(&s->base);
    return code;
}
