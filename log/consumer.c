/* consumer.c: the embedded consumer: opening, polling, committing, positions.
 *
 * A poll steps the membership (consumer_member.c), then brings records (consumer_source.c), then, if there
 * are none, waits on one descriptor. Everything that may change that writes to it: appended records, the
 * coordinator's answers, consumer_wake. signalled spares the write when the descriptor is readable
 * already; it is cleared after the read and before the consumer looks again, so nothing is missed.
 *
 * How long it waits is bounded by the coordinator's next deadline, its own heartbeat and the caller's
 * timeout: with every member waiting that way, somebody is always there when a session ends. */
#include "log/consumer_internal.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SESSION_TIMEOUT_MS = 45000,
    REBALANCE_TIMEOUT_MS = 300000,
    HEARTBEAT_INTERVAL_MS = 3000,
    FETCH_MAX_BYTES = 1 << 20,
    POLL_MAX_RECORDS = 500,
    OFFSET_RETRY_MS = 20,
    DRIVEN_WAIT_MS =
        50 /* on a driven log: then it is looked again, since other timers may be due */
};

const char *consumer_intern(struct consumer *c, const char *text, size_t size)
{
    for (size_t i = 0; i < c->name_count; i++)
        if (strlen(c->names[i]) == size && memcmp(c->names[i], text, size) == 0)
            return c->names[i];
    if (c->name_count == c->name_capacity) {
        size_t capacity = c->name_capacity == 0 ? 8 : c->name_capacity * 2;
        char **names = realloc(c->names, capacity * sizeof(char *));
        if (names == NULL)
            return NULL;
        c->names = names;
        c->name_capacity = capacity;
    }
    char *copy = strndup(text, size);
    if (copy != NULL)
        c->names[c->name_count++] = copy;
    return copy;
}

void consumer_signal(struct consumer *c)
{
    uint64_t one = 1;
    int before = errno; /* consumer_wake may interrupt anything */
    if (!atomic_exchange(&c->signalled, true) && write(c->event_fd, &one, sizeof one) < 0) {
        /* it is readable: the counter is at its end */
    }
    errno = before;
}

/* true: something was signalled. */
static bool take_signal(struct consumer *c)
{
    uint64_t count;
    bool readable = read(c->event_fd, &count, sizeof count) > 0;
    return atomic_exchange(&c->signalled, false) || readable;
}

/* ---- opening ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int take_topics(struct consumer *c, const struct consumer_options *options,
                       struct diag *diag)
{
    c->topics = calloc(options->topic_count + 1, sizeof(const char *));
    if (c->topics == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < options->topic_count; i++) {
        TRY(topic_describe(c->log, options->topics[i], NULL, diag));
        const char *name = consumer_intern(c, options->topics[i], strlen(options->topics[i]));
        if (name == NULL)
            return ERR_NOMEM;
        bool twice = false;
        for (size_t k = 0; k < c->topic_count; k++)
            twice |= c->topics[k] == name;
        if (!twice)
            c->topics[c->topic_count++] = name;
    }
    qsort(c->topics, c->topic_count, sizeof(const char *), compare_text);
    c->options.topics = c->topics;
    c->options.topic_count = c->topic_count;
    return 0;
}

static int take_partitions(struct consumer *c, const struct consumer_options *options,
                           struct diag *diag)
{
    struct topic_partition *list = calloc(options->partition_count + 1, sizeof *list);
    c->options.partitions = list;
    if (list == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < options->partition_count; i++) {
        struct partition *partition;
        const char *topic = options->partitions[i].topic;
        TRY(partition_get(c->log, topic, options->partitions[i].partition, &partition, diag));
        list[i] = (struct topic_partition){consumer_intern(c, topic, strlen(topic)),
                                           options->partitions[i].partition};
        if (list[i].topic == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

static int take_text(struct consumer *c, const char **text, const char *without)
{
    if (*text == NULL)
        *text = without;
    if (*text == NULL)
        return 0;
    *text = consumer_intern(c, *text, strlen(*text));
    return *text != NULL ? 0 : ERR_NOMEM;
}

static void take_defaults(struct consumer_options *o)
{
    if (o->session_timeout_ms <= 0)
        o->session_timeout_ms = SESSION_TIMEOUT_MS;
    if (o->rebalance_timeout_ms <= 0)
        o->rebalance_timeout_ms = REBALANCE_TIMEOUT_MS;
    if (o->heartbeat_interval_ms <= 0)
        o->heartbeat_interval_ms = HEARTBEAT_INTERVAL_MS;
    if (o->heartbeat_interval_ms > o->session_timeout_ms / 3) /* else it would be late */
        o->heartbeat_interval_ms = o->session_timeout_ms / 3 > 0 ? o->session_timeout_ms / 3 : 1;
    if (o->max_bytes == 0)
        o->max_bytes = FETCH_MAX_BYTES;
    if (o->max_records == 0)
        o->max_records = POLL_MAX_RECORDS;
    if (o->assignors[0] == ASSIGN_NONE) {
        o->assignors[0] = ASSIGN_RANGE;
        o->assignors[1] = ASSIGN_COOPERATIVE_STICKY;
    }
}

static int check_options(const struct consumer_options *o, struct diag *diag)
{
    if ((o->topic_count > 0) == (o->partition_count > 0))
        return diag_set(diag, ERR_INVALID, "a consumer reads topics or partitions: name either");
    if (o->group != NULL)
        TRY(group_name_check(o->group, diag));
    if (o->instance_id != NULL && (o->instance_id[0] == '\0' || strlen(o->instance_id) > 249))
        return diag_set(diag, ERR_INVALID, "an instance id has 1 to 249 bytes");
    if (o->reset < RESET_EARLIEST || o->reset > RESET_ERROR)
        return diag_set(diag, ERR_INVALID, "there is no reset policy %d", (int)o->reset);
    for (int i = 0; i < ASSIGNORS_MAX; i++)
        if (o->assignors[i] != ASSIGN_NONE && assignor_name(o->assignors[i]) == NULL)
            return diag_set(diag, ERR_INVALID, "there is no assignor %d", (int)o->assignors[i]);
    return 0;
}

static int take_options(struct consumer *c, const struct consumer_options *options,
                        struct diag *diag)
{
    TRY(check_options(options, diag));
    c->options = *options;
    c->options.topics = NULL;
    c->options.partitions = NULL;
    take_defaults(&c->options);
    c->cooperative = true;
    for (int i = 0; i < ASSIGNORS_MAX; i++)
        c->cooperative &= c->options.assignors[i] == ASSIGN_NONE ||
                          c->options.assignors[i] == ASSIGN_COOPERATIVE_STICKY;
    c->member = options->group != NULL && options->topic_count > 0;
    TRY(take_text(c, &c->options.group, NULL));
    TRY(take_text(c, &c->options.client_id, "weir"));
    TRY(take_text(c, &c->options.instance_id, NULL));
    TRY(take_topics(c, options, diag));
    TRY(take_partitions(c, options, diag));
    c->out = calloc(c->options.max_records, sizeof *c->out);
    c->member_id = strdup("");
    return c->out != NULL && c->member_id != NULL ? 0 : ERR_NOMEM;
}

static void consumer_free(struct consumer *c)
{
    for (size_t i = 0; i < CONSUMER_PLAIN_BUFFERS; i++)
        buf_deinit(&c->plain[i]);
    fetch_reader_deinit(&c->batches);
    fetch_deinit(&c->fetch);
    answer_clear(&c->answer);
    pthread_mutex_destroy(&c->answer_mutex);
    if (c->event_fd >= 0)
        close(c->event_fd);
    for (size_t i = 0; i < c->name_count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->topics);
    free((void *)(uintptr_t)c->options.partitions);
    free(c->sources.items);
    free(c->assignment);
    free(c->previous.items);
    free(c->group_topics);
    free(c->topic_sizes);
    free(c->member_id);
    free(c->out);
    free(c);
}

static void keep_no_sources(struct consumer *c)
{
    for (size_t i = 0; i < c->sources.count; i++)
        c->sources.items[i]->keep = false;
    consumer_drop_sources(c);
}

int consumer_open(struct log *log, const struct consumer_options *options,
                  struct consumer **consumer, struct diag *diag)
{
    *consumer = NULL;
    struct consumer *c = calloc(1, sizeof *c);
    if (c == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for a consumer");
    c->log = log;
    c->generation = c->previous.generation = -1;
    c->next_heartbeat_ms = INT64_MIN;
    pthread_mutex_init(&c->answer_mutex, NULL);
    fetch_init(&c->fetch);
    fetch_reader_init(&c->batches);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = c->event_fd < 0 ? diag_errno(diag, "cannot make an event descriptor for a consumer")
                             : take_options(c, options, diag);
    if (rc == 0 && !c->member)
        rc = lone_open(c, diag);
    if (rc < 0) {
        if (rc == ERR_NOMEM)
            diag_set(diag, rc, "no memory for a consumer");
        keep_no_sources(c);
        consumer_free(c);
        return rc;
    }
    *consumer = c;
    return 0;
}

void consumer_close(struct consumer *c)
{
    if (c == NULL)
        return;
    c->in_call = true;
    if (c->member) {
        member_leave(c);
    } else if (c->sources.count > 0) {
        for (size_t i = 0; i < c->sources.count; i++)
            c->sources.items[i]->keep = false;
        consumer_tell(c, c->options.revoked, false);
    }
    keep_no_sources(c);
    consumer_free(c);
}

/* ---- polling ---- */

void consumer_wake(struct consumer *c)
{
    atomic_store(&c->woken, true);
    consumer_signal(c);
}

int consumer_fd(const struct consumer *c)
{
    return c->event_fd;
}

void consumer_wait(struct consumer *c, int64_t left_ms, int64_t next_ms)
{
    int64_t wait = left_ms;
    if (next_ms != INT64_MAX) {
        int64_t until = next_ms - coordinator_now(c->log->coordinator);
        if (until < 0)
            until = 0;
        if (wait < 0 || until < wait)
            wait = until;
    }
    struct pollfd fd = {c->event_fd, POLLIN, 0};
    if (c->log->options.driven) { /* nobody else is there who could end the wait */
        if (!log_drive(c->log) && wait > 0)
            clock_sleep_until(clock_mono_ns() +
                              (wait < DRIVEN_WAIT_MS ? wait : DRIVEN_WAIT_MS) * 1000000);
        wait = 0;
    }
    if (poll(&fd, 1, wait < 0 || wait > INT32_MAX ? -1 : (int)wait) > 0)
        take_signal(c);
}

static int64_t poll_once(struct consumer *c, int64_t *next_ms, struct diag *diag)
{
    TRY(c->member ? member_step(c, next_ms, diag) : lone_step(c, next_ms, diag));
    return consumer_collect(c, diag);
}

int64_t consumer_poll(struct consumer *c, int32_t timeout_ms,
                      const struct consumer_record **records, struct diag *diag)
{
    *records = c->out;
    if (c->in_call)
        return diag_set(diag, ERR_STATE, "a consumer's callback must not poll it");
    int64_t end = timeout_ms >= 0 ? clock_mono_ms() + timeout_ms : 0;
    c->in_call = true;
    int64_t count;
    for (bool again = false;;) {
        int64_t next_ms = INT64_MAX, left_ms = -1;
        count = poll_once(c, &next_ms, diag);
        if (atomic_exchange(&c->woken, false) || count != 0)
            break;
        again = !again && take_signal(c);
        if (again) /* while it looked: it looks again, also without time left */
            continue;
        if (timeout_ms >= 0) {
            left_ms = end - clock_mono_ms();
            if (left_ms <= 0)
                break;
        }
        if (c->waits_for_offset && (left_ms < 0 || left_ms > OFFSET_RETRY_MS))
            left_ms = OFFSET_RETRY_MS;
        consumer_wait(c, left_ms, next_ms);
    }
    c->in_call = false;
    return count;
}

/* ---- committing ---- */

void consumer_member(const struct consumer *c, struct group_member *member)
{
    *member = (struct group_member){c->member_id, c->options.instance_id, c->generation};
}

static void note_committed(struct consumer *c, const struct group_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct source *source = sources_find(&c->sources, offsets[i].topic, offsets[i].partition);
        if (source != NULL)
            source->committed = offsets[i].offset;
    }
}

static int commit_offsets(struct consumer *c, const struct group_offset *offsets, size_t count,
                          struct diag *diag)
{
    struct group_member member;
    consumer_member(c, &member);
    if (c->member && c->generation < 0)
        return diag_set(diag, ERR_MEMBER, "this consumer is no member of group %s",
                        c->options.group);
    int rc = group_commit_member(c->log, c->options.group, c->member ? &member : NULL, offsets,
                                 count, diag);
    if (rc == 0)
        note_committed(c, offsets, count);
    else if (rc == ERR_MEMBER || rc == ERR_REBALANCE || rc == ERR_FENCED)
        c->next_heartbeat_ms = INT64_MIN; /* the next poll asks what is the matter */
    return rc;
}

static int commit_positions(struct consumer *c, struct diag *diag)
{
    struct group_offset *offsets = calloc(c->sources.count + 1, sizeof *offsets);
    size_t count = 0;
    if (offsets == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %zu offsets", c->sources.count);
    for (size_t i = 0; i < c->sources.count; i++) {
        const struct source *source = c->sources.items[i];
        if (source->position == NO_POSITION || source->position == source->committed ||
            atomic_load(&source->partition->deleted))
            continue;
        memcpy(offsets[count].topic, source->topic, strlen(source->topic) + 1);
        offsets[count].partition = source->index;
        offsets[count++].offset = source->position;
    }
    int rc = count > 0 ? commit_offsets(c, offsets, count, diag) : 0;
    free(offsets);
    return rc;
}

int consumer_commit(struct consumer *c, const struct group_offset *offsets, size_t count,
                    struct diag *diag)
{
    if (c->options.group == NULL)
        return diag_set(diag, ERR_STATE, "a consumer without a group commits nothing");
    return offsets != NULL ? commit_offsets(c, offsets, count, diag) : commit_positions(c, diag);
}

int consumer_committed(struct consumer *c, const char *topic, int32_t partition,
                       struct group_offset *offset, struct buf *metadata, struct diag *diag)
{
    struct buf unwanted = {0};
    if (c->options.group == NULL)
        return diag_set(diag, ERR_STATE, "a consumer without a group commits nothing");
    int rc = group_fetch_metadata(c->log, c->options.group, topic, partition, offset,
                                  metadata != NULL ? metadata : &unwanted);
    if (metadata == NULL)
        offset->metadata = bytes_of(NULL, 0);
    buf_deinit(&unwanted);
    return rc < 0 ? diag_set(diag, rc, "no offset of %s-%d in group %s: %s", topic, (int)partition,
                             c->options.group, error_text(rc))
                  : 0;
}

/* ---- positions ---- */

static int find_source(struct consumer *c, const char *topic, int32_t partition,
                       struct source **source, struct diag *diag)
{
    *source = sources_find(&c->sources, topic, partition);
    return *source != NULL ? 0
                           : diag_set(diag, ERR_NOT_FOUND, "%s-%d is not assigned to this consumer",
                                      topic, (int)partition);
}

int consumer_position(struct consumer *c, const char *topic, int32_t partition, int64_t *offset,
                      struct diag *diag)
{
    struct source *source;
    TRY(find_source(c, topic, partition, &source, diag));
    TRY(source_locate(c, source, diag));
    *offset = source->position;
    return 0;
}

int consumer_seek(struct consumer *c, const char *topic, int32_t partition, int64_t offset,
                  struct diag *diag)
{
    struct source *source;
    struct partition_offsets offsets;
    TRY(find_source(c, topic, partition, &source, diag));
    if (offset < CONSUMER_BEGINNING)
        return diag_set(diag, ERR_INVALID, "there is no offset %lld", (long long)offset);
    partition_offsets(source->partition, &offsets);
    source->position = offset == CONSUMER_BEGINNING ? offsets.start
                       : offset == CONSUMER_END     ? source_end(c, source)
                                                    : offset;
    source->status = 0;
    consumer_forget_fetch(c, source);
    return 0;
}

int consumer_seek_time(struct consumer *c, const char *topic, int32_t partition,
                       int64_t timestamp_ms, struct diag *diag)
{
    struct source *source;
    int64_t offset, found_ms;
    TRY(find_source(c, topic, partition, &source, diag));
    TRY(partition_find_time(source->partition, timestamp_ms, &offset, &found_ms, diag));
    return consumer_seek(c, topic, partition, offset >= 0 ? offset : CONSUMER_END, diag);
}

static int set_paused(struct consumer *c, const char *topic, int32_t partition, bool paused,
                      struct diag *diag)
{
    struct source *source;
    TRY(find_source(c, topic, partition, &source, diag));
    source->paused = paused;
    return 0;
}

int consumer_pause(struct consumer *c, const char *topic, int32_t partition, struct diag *diag)
{
    return set_paused(c, topic, partition, true, diag);
}

int consumer_resume(struct consumer *c, const char *topic, int32_t partition, struct diag *diag)
{
    return set_paused(c, topic, partition, false, diag);
}

int consumer_partition_status(struct consumer *c, const char *topic, int32_t partition,
                              struct diag *diag)
{
    struct source *source;
    TRY(find_source(c, topic, partition, &source, diag));
    if (source->status != 0 && diag != NULL)
        *diag = source->why;
    return source->status;
}

void consumer_assignment(const struct consumer *c, const struct topic_partition **partitions,
                         size_t *count)
{
    *partitions = c->assignment;
    *count = c->sources.count;
}
