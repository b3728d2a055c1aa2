/* kafka_txn.c: the transaction coordinator, as far as it is not the log's.
 *
 * The log has transactions, epochs, timeouts and fencing, and keeps their outcomes (producer_keep_outcome). What is left is to find the handle for a
 * transactional id, and to say in Kafka's words what stands in the way:
 *
 *   the client's (producer id, epoch)         answer
 *   are those of the record                   it goes on, after a restart with producer_resume
 *   another producer id                       INVALID_PRODUCER_ID_MAPPING
 *   the epoch before one that recovery gave   INVALID_PRODUCER_ID_MAPPING: its transaction is aborted, it asks for a new epoch and goes on (KIP-360). An abort that it
 *                                             asks for is no error: Java's producer would wait for ever for one that succeeds
 *   another epoch                             PRODUCER_FENCED, or INVALID_PRODUCER_EPOCH in versions that do not know it
 *   a decision is under way                   CONCURRENT_TRANSACTIONS: it asks again
 *
 * A transaction survives the end of the server, but not of the machine (log/recovery_open.c): then it is aborted, and the client told so by an error that aborts and does not end
 * it. What was decided stays decided: the outcome is in the same write as the decision, and EndTxn that is sent again finds it there. Which groups a transaction of before a restart
 * has named is not kept: it may commit offsets of any.
 *
 * Transactional ids of clients have a prefix in the log (CLIENT_TRANSACTIONAL_ID), so that none is an app's.
 *
 * An entry is made when an id is named and goes when nobody holds it and it has no handle. A handle that nobody has used for a while, and has no
 * transaction, is closed; the next request resumes it. The thread that opens them looks for that each minute (kafka_workers.c), and with each new epoch at some of the entries, so that
 * clients that take a new id each time do not fill memory. To resume one may wait for another that is being opened (the log has one lock for both), so that at most
 * RESUMING requests do, and a worker is left for others. One mutex for each entry is held while a request works on it, over writes to meta too: requests of one
 * producer come one after the other anyway. A new epoch may take long, for what the one before left open is aborted first: who else comes to the entry meanwhile is
 * told so (COORDINATOR_LOAD_IN_PROGRESS, which clients retry) and holds no worker up. Who is told of a decision (end_done) comes from a thread of the log and takes end_mutex alone, which nobody
 * holds while he waits for the log. */
#include "log/kafka/kafka_txn.h"
#include "runtime/base/clock.h"
#include "runtime/base/hash.h"

#include <stdlib.h>

enum {
    BUCKETS = 1024,
    IDLE_MS = 600000,
    SWEEP_BUCKETS = 64,      /* that a new epoch looks through */
    SWEEP_MOST = 8,          /* handles that it closes: each may be a write to meta */
    RESUMING = 2,            /* threads that may wait to resume one at the same time */
    GROUPS_BYTES = 64 << 10, /* of names of one transaction */
};

struct kafka_txn {
    struct kafka_txn *next; /* in its bucket; txns.mutex, as the three that follow */
    int32_t references;
    bool is_opening; /* or being closed: nobody else gets it */
    int64_t used_ms;
    pthread_mutex_t mutex;     /* all below; without references, txns.mutex */
    struct producer *producer; /* NULL: none is open here */
    bool commits;              /* what was asked of the transaction that is being decided */
    struct buf groups;         /* names with their zero bytes */
    bool takes_any_group; /* the open transaction is of before a restart, and so are the names */
    char name[];          /* in the log */
};
struct kafka_txns {
    struct log *log;
    pthread_mutex_t mutex;
    struct kafka_txn *buckets[BUCKETS];
    size_t next_bucket;  /* to be swept */
    atomic_int resuming; /* threads */
    pthread_mutex_t end_mutex;
    pthread_cond_t ended;
    int32_t ending; /* end_mutex; how many end_done will be called */
};

/* ---- entries ---- */

struct kafka_txns *kafka_txns_create(struct log *log)
{
    struct kafka_txns *txns = calloc(1, sizeof *txns);
    if (txns == NULL)
        return NULL;
    txns->log = log;
    pthread_mutex_init(&txns->mutex, NULL);
    pthread_mutex_init(&txns->end_mutex, NULL);
    pthread_cond_init(&txns->ended, NULL);
    return txns;
}

static void free_txn(struct kafka_txn *txn)
{
    pthread_mutex_destroy(&txn->mutex);
    buf_deinit(&txn->groups);
    free(txn);
}

void kafka_txns_destroy(struct kafka_txns *txns)
{
    pthread_mutex_lock(&txns->end_mutex);
    while (txns->ending > 0)
        pthread_cond_wait(&txns->ended, &txns->end_mutex);
    pthread_mutex_unlock(&txns->end_mutex);
    for (size_t i = 0; i < BUCKETS; i++)
        while (txns->buckets[i] != NULL) {
            struct kafka_txn *txn = txns->buckets[i];
            txns->buckets[i] = txn->next;
            free_txn(txn);
        }
    pthread_cond_destroy(&txns->ended);
    pthread_mutex_destroy(&txns->end_mutex);
    pthread_mutex_destroy(&txns->mutex);
    free(txns);
}

static struct kafka_txn **bucket_of(struct kafka_txns *txns, const char *name)
{
    return &txns->buckets[hash64(name, strlen(name)) % BUCKETS];
}

/* The entry of the name, with a reference. NULL: no memory, or somebody opens it, unless he is the one who will (opens). */
static struct kafka_txn *refer(struct kafka_txns *txns, const char *name, bool opens, bool *is_busy)
{
    struct kafka_txn **bucket = bucket_of(txns, name);
    pthread_mutex_lock(&txns->mutex);
    struct kafka_txn *txn = *bucket;
    while (txn != NULL && strcmp(txn->name, name) != 0)
        txn = txn->next;
    *is_busy = txn != NULL && txn->is_opening;
    if (*is_busy)
        txn = NULL;
    else if (txn == NULL && (txn = calloc(1, sizeof *txn + strlen(name) + 1)) != NULL) {
        memcpy(txn->name, name, strlen(name) + 1);
        pthread_mutex_init(&txn->mutex, NULL);
        buf_init(&txn->groups, 0);
        txn->next = *bucket;
        *bucket = txn;
    }
    if (txn != NULL) {
        txn->references++;
        txn->used_ms = clock_mono_ms();
        txn->is_opening = opens;
    }
    pthread_mutex_unlock(&txns->mutex);
    return txn;
}

static void let_go(struct kafka_txns *txns, struct kafka_txn *txn)
{
    struct kafka_txn **link = bucket_of(txns, txn->name);
    pthread_mutex_unlock(&txn->mutex);
    pthread_mutex_lock(&txns->mutex);
    bool last = --txn->references == 0 && txn->producer == NULL;
    while (last && *link != txn)
        link = &(*link)->next;
    if (last)
        *link = txn->next;
    pthread_mutex_unlock(&txns->mutex);
    if (last)
        free_txn(txn);
}

/* The same by who has opened it, or closed it. */
static void let_others_in(struct kafka_txns *txns, struct kafka_txn *txn)
{
    pthread_mutex_lock(&txns->mutex);
    txn->is_opening = false;
    pthread_mutex_unlock(&txns->mutex);
    let_go(txns, txn);
}

/* As the log knows a client's name. False: no text, or no memory. */
static bool name_in_log(struct bytes id, struct buf *name)
{
    buf_printf(name, "%s", CLIENT_TRANSACTIONAL_ID);
    buf_append_bytes(name, id);
    buf_u8(name, 0);
    return id.size > 0 && memchr(id.data, 0, id.size) == NULL && buf_ok(name);
}

/* The entry for a client's name, its mutex held. */
static enum kafka_error enter(struct kafka_request *request, struct bytes id, bool opens,
                              struct kafka_txn **txn)
{
    struct buf name = {0};
    enum kafka_error error = KAFKA_INVALID_REQUEST;
    bool is_busy;
    *txn = NULL;
    if (name_in_log(id, &name)) {
        *txn = refer(request->txns, (const char *)name.data, opens, &is_busy);
        error = *txn != NULL ? KAFKA_NONE
                : is_busy    ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS
                             : KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    buf_deinit(&name);
    if (*txn != NULL)
        pthread_mutex_lock(&(*txn)->mutex);
    return error;
}

void kafka_txn_give_back(struct kafka_request *request, struct kafka_txn *txn)
{
    let_go(request->txns, txn);
}

struct producer *kafka_txn_producer(struct kafka_txn *txn)
{
    return txn->producer;
}

/* ---- errors ---- */

/* A version that is older than the code has the one before it. */
static enum kafka_error fenced(const struct kafka_request *request)
{
    enum { INIT_PRODUCER_ID = 22, ADD_PARTITIONS = 24, END_TXN = 26 };
    int16_t key = request->api->key;
    bool knows = (key == INIT_PRODUCER_ID && request->version >= 4) ||
                 (key >= ADD_PARTITIONS && key <= END_TXN && request->version >= 2);
    return knows ? KAFKA_PRODUCER_FENCED : KAFKA_INVALID_PRODUCER_EPOCH;
}

enum kafka_error kafka_txn_error_of(struct kafka_request *request, int code)
{
    switch (code) {
    case ERR_OK:
        return KAFKA_NONE;
    case ERR_FENCED:
        return fenced(request);
    case ERR_STATE: /* of what is asked for here: it is being decided */
    case ERR_FULL:  /* it is decided, and its markers wait for room */
        return KAFKA_CONCURRENT_TRANSACTIONS;
    case ERR_INVALID:
        return KAFKA_INVALID_REQUEST;
    default:
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
}

/* ---- who asks ---- */

struct kafka_producer kafka_read_producer(struct kafka_request *request)
{
    struct kafka_producer who = {.transactional_id = wire_read_string(&request->in)};
    who.producer_id = wire_read_i64(&request->in);
    who.epoch = wire_read_i16(&request->in);
    return who;
}

/* Who has the epoch before, and nobody came in between: its open transaction ended with the process, or it has asked for this epoch and not had the answer. */
static bool has_epoch_before(const struct producer_record *record, const struct kafka_producer *who)
{
    return record->outcome == TXN_OUTCOME_CONTINUED && record->producer_id == who->producer_id &&
           who->epoch == record->epoch - 1;
}

/* A handle for the entry, at what the record says. For a transaction that is open there is one, which nobody waits for. */
static int reopen(struct kafka_request *request, struct kafka_txn *txn,
                  const struct producer_record *record, struct diag *diag)
{
    int code = ERR_BUSY, waiting = record->outcome == TXN_OUTCOME_OPEN ? 0 : 1;
    if (atomic_fetch_add(&request->txns->resuming, waiting) < RESUMING || waiting == 0)
        code = producer_resume(request->log, txn->name, record->producer_id, record->epoch,
                               &txn->producer, diag);
    atomic_fetch_sub(&request->txns->resuming, waiting);
    txn->takes_any_group = code == 0 && producer_outcome(txn->producer) == TXN_OUTCOME_OPEN;
    return code;
}

/* The entry has no handle: after a restart, or a long silence. */
static enum kafka_error resume(struct kafka_request *request, struct kafka_txn *txn,
                               const struct kafka_producer *who)
{
    struct producer_record record;
    struct diag diag = {0};
    int code = producer_lookup(request->log, txn->name, &record, &diag);
    if (code == ERR_NOT_FOUND)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (code < 0)
        return kafka_txn_error_of(request, code);
    if (record.producer_id != who->producer_id || has_epoch_before(&record, who))
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (record.epoch != who->epoch)
        return fenced(request);
    code = reopen(request, txn, &record, &diag);
    if (code == ERR_BUSY)
        return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    if (code < 0)
        log_line('W', "kafka: %s: %s", request->peer_host, diag.text);
    return kafka_txn_error_of(request, code);
}

enum kafka_error kafka_txn_take(struct kafka_request *request, const struct kafka_producer *who,
                                struct kafka_txn **txn)
{
    enum kafka_error error = kafka_check_txn(request, who->transactional_id);
    *txn = NULL;
    if (error == KAFKA_NONE)
        error = enter(request, who->transactional_id, false, txn);
    if (error != KAFKA_NONE)
        return error;
    struct producer *producer = (*txn)->producer;
    if (producer == NULL)
        error = resume(request, *txn, who);
    else if (producer_id(producer) != who->producer_id)
        error = KAFKA_INVALID_PRODUCER_ID_MAPPING;
    else if (producer_epoch(producer) != who->epoch || producer_is_fenced(producer))
        error = fenced(request);
    if (error != KAFKA_NONE) {
        let_go(request->txns, *txn);
        *txn = NULL;
    }
    return error;
}

bool kafka_txn_is_over(struct kafka_request *request, const struct kafka_producer *who)
{
    struct producer_record record;
    struct buf name = {0};
    bool is_over = name_in_log(who->transactional_id, &name) &&
                   producer_lookup(request->log, (const char *)name.data, &record, NULL) == 0 &&
                   has_epoch_before(&record, who);
    buf_deinit(&name);
    return is_over;
}

/* ---- a new epoch ---- */

/* An entry that nobody has used for a while and that has a handle without a transaction, its mutex held. *buckets: how many are looked through yet. */
static struct kafka_txn *take_idle(struct kafka_txns *txns, int64_t before_ms, int *buckets)
{
    struct kafka_txn *found = NULL;
    pthread_mutex_lock(&txns->mutex);
    while (*buckets > 0) {
        found = txns->buckets[txns->next_bucket];
        while (found != NULL && (found->references > 0 || found->used_ms > before_ms ||
                                 producer_outcome(found->producer) == TXN_OUTCOME_OPEN))
            found = found->next;
        if (found != NULL)
            break;
        txns->next_bucket = (txns->next_bucket + 1) % BUCKETS;
        --*buckets;
    }
    if (found != NULL) {
        found->references++;
        found->is_opening = true;
    }
    pthread_mutex_unlock(&txns->mutex);
    if (found != NULL)
        pthread_mutex_lock(&found->mutex);
    return found;
}

/* False: there may be more. */
static bool sweep(struct kafka_txns *txns, int buckets, int most)
{
    int64_t before_ms = clock_mono_ms() - IDLE_MS;
    for (int i = 0; i < most; i++) {
        struct kafka_txn *txn = take_idle(txns, before_ms, &buckets);
        if (txn == NULL)
            return true;
        producer_close(txn->producer);
        txn->producer = NULL;
        let_others_in(txns, txn);
    }
    return false;
}

bool kafka_txns_sweep(struct kafka_txns *txns)
{
    return sweep(txns, BUCKETS, SWEEP_MOST);
}

/* Whether the one who presents an epoch may have a new one (KIP-360). */
static enum kafka_error judge(struct kafka_request *request, struct kafka_txn *txn,
                              const struct kafka_producer *who)
{
    struct producer_record record;
    if (who->producer_id < 0)
        return KAFKA_NONE;
    int code = producer_lookup(request->log, txn->name, &record, NULL);
    if (code == ERR_NOT_FOUND) /* forgotten, after days: nobody else has come */
        return KAFKA_NONE;
    if (code < 0)
        return kafka_txn_error_of(request, code);
    bool is_newest = record.producer_id == who->producer_id && record.epoch == who->epoch;
    return is_newest || has_epoch_before(&record, who) ? KAFKA_NONE : fenced(request);
}

static int open_anew(struct kafka_request *request, struct kafka_txn *txn,
                     const struct kafka_producer *who, int32_t timeout_ms)
{
    struct producer *producer;
    struct diag diag = {0};
    int code = producer_open_kept(request->log, txn->name, timeout_ms, who->producer_id >= 0,
                                  &producer, &diag);
    if (code < 0) {
        log_line('W', "kafka: no producer id for %s: %s", request->peer_host, diag.text);
        return code;
    }
    producer_close(txn->producer); /* fenced, and without a transaction */
    txn->producer = producer;
    buf_clear(&txn->groups);
    txn->takes_any_group = false;
    return 0;
}

enum kafka_error kafka_txn_open(struct kafka_request *request, const struct kafka_producer *who,
                                int32_t timeout_ms, int64_t *id, int16_t *epoch)
{
    struct kafka_txn *txn;
    enum kafka_error error = kafka_check_txn(request, who->transactional_id);
    if (error != KAFKA_NONE)
        return error;
    sweep(request->txns, SWEEP_BUCKETS, SWEEP_MOST);
    error = enter(request, who->transactional_id, true, &txn);
    if (error != KAFKA_NONE)
        return error;
    error = judge(request, txn, who);
    if (error == KAFKA_NONE)
        error = kafka_txn_error_of(request, open_anew(request, txn, who, timeout_ms));
    if (error == KAFKA_NONE) {
        *id = producer_id(txn->producer);
        *epoch = producer_epoch(txn->producer);
    }
    let_others_in(request->txns, txn);
    return error;
}

/* ---- the transaction ---- */

enum kafka_error kafka_txn_begin(struct kafka_request *request, struct kafka_txn *txn)
{
    int code = producer_outcome(txn->producer) == TXN_OUTCOME_OPEN
                   ? txn_participate(txn->producer, NULL, 0, NULL) /* not while it is decided */
                   : txn_begin(txn->producer, NULL);
    return kafka_txn_error_of(request, code);
}

bool kafka_txn_has_group(const struct kafka_txn *txn, const char *group)
{
    for (size_t at = 0; at < txn->groups.size;) {
        const char *name = (const char *)txn->groups.data + at;
        if (strcmp(name, group) == 0)
            return true;
        at += strlen(name) + 1;
    }
    return txn->takes_any_group;
}

enum kafka_error kafka_txn_add_group(struct kafka_txn *txn, const char *group)
{
    if (kafka_txn_has_group(txn, group))
        return KAFKA_NONE;
    size_t before = txn->groups.size, more = strlen(group) + 1;
    if (before + more > GROUPS_BYTES)
        return KAFKA_POLICY_VIOLATION;
    buf_append(&txn->groups, group, more);
    if (buf_ok(&txn->groups))
        return KAFKA_NONE;
    txn->groups.failed = false;
    txn->groups.size = before;
    return KAFKA_COORDINATOR_NOT_AVAILABLE;
}

/* ---- its end ---- */

struct ending { /* request->state of a request that waits for a decision; freed by end_done */
    struct kafka_txns *txns;
    struct kafka_request *request; /* end_mutex; NULL: forgotten */
    bool commit;
    void (*done)(struct kafka_request *request, enum kafka_error error);
};

static enum kafka_error outcome_error(struct kafka_request *request, bool commit, int code)
{
    if (code == ERR_FENCED || code == 0)
        return kafka_txn_error_of(request, code);
    if (log_status(request->log, NULL) < 0)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    /* A commit for which there was no room is an abort; an error that clients abort on, and go on after. */
    return commit ? KAFKA_INVALID_PRODUCER_ID_MAPPING : KAFKA_CONCURRENT_TRANSACTIONS;
}

static void end_done(void *context, int code)
{
    struct ending *ending = context;
    struct kafka_txns *txns = ending->txns;
    pthread_mutex_lock(&txns->end_mutex);
    struct kafka_request *request = ending->request;
    if (request != NULL)
        request->state = NULL;
    if (request != NULL && kafka_request_take_call(request)) {
        ending->done(request, outcome_error(request, ending->commit, code));
        kafka_request_called(request);
    }
    txns->ending--;
    pthread_cond_broadcast(&txns->ended);
    pthread_mutex_unlock(&txns->end_mutex);
    free(ending);
}

/* The transaction ends all the same. The loop and a worker may both forget: the second finds nothing. */
static void forget(struct kafka_request *request)
{
    pthread_mutex_lock(&request->txns->end_mutex);
    struct ending *ending = request->state;
    if (ending != NULL)
        ending->request = NULL;
    request->state = NULL; /* who ends it frees it */
    pthread_mutex_unlock(&request->txns->end_mutex);
}

static void count_ending(struct kafka_txns *txns, int32_t change)
{
    pthread_mutex_lock(&txns->end_mutex);
    txns->ending += change;
    pthread_mutex_unlock(&txns->end_mutex);
}

enum kafka_error kafka_txn_end(struct kafka_request *request, struct kafka_txn *txn, bool commit,
                               void (*done)(struct kafka_request *request, enum kafka_error error))
{
    struct ending *ending = malloc(sizeof *ending);
    if (ending == NULL)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    *ending = (struct ending){request->txns, request, commit, done};
    request->state = ending;
    request->forget = forget;
    count_ending(request->txns, 1);
    txn->commits = commit;
    int code = commit ? txn_commit_start(txn->producer, end_done, ending, NULL)
                      : txn_abort_start(txn->producer, end_done, ending, NULL);
    if (code == 0) {
        buf_clear(&txn->groups);
        txn->takes_any_group = false;
        return KAFKA_NONE;
    }
    count_ending(request->txns, -1);
    request->state = NULL;
    free(ending);
    return kafka_txn_error_of(request, code);
}

/* ---- looking ---- */

static const char *state_of(const struct producer_record *record)
{
    switch (record->outcome) {
    case TXN_OUTCOME_COMMITTED:
        return "CompleteCommit";
    case TXN_OUTCOME_ABORTED:
        return "CompleteAbort";
    case TXN_OUTCOME_OPEN:
        return "Ongoing";
    case TXN_OUTCOME_NONE:
    case TXN_OUTCOME_CONTINUED:
        break;
    }
    return "Empty";
}

/* txn NULL: nobody has it, or it is being opened; then what is durable is all that is known. */
static enum kafka_error look(struct kafka_request *request, const char *name, struct kafka_txn *txn,
                             struct kafka_txn_view *view)
{
    struct producer_record record;
    struct txn_description description;
    int code = producer_lookup(request->log, name, &record, NULL);
    if (code == ERR_NOT_FOUND)
        return KAFKA_TRANSACTIONAL_ID_NOT_FOUND;
    if (code < 0)
        return kafka_txn_error_of(request, code);
    *view = (struct kafka_txn_view){.state = state_of(&record),
                                    .producer_id = record.producer_id,
                                    .began_ms = -1,
                                    .epoch = record.epoch,
                                    .timeout_ms = record.timeout_ms};
    if (record.outcome == TXN_OUTCOME_OPEN)
        view->began_ms = record.updated_ms;
    if (txn != NULL && txn->producer == NULL && record.outcome == TXN_OUTCOME_OPEN)
        (void)reopen(request, txn, &record, NULL);
    if (txn == NULL || txn->producer == NULL)
        return KAFKA_NONE;
    code = txn_describe(txn->producer, &description, NULL);
    if (code < 0)
        return kafka_txn_error_of(request, code);
    view->partitions = description.partitions;
    view->partition_count = description.partition_count;
    view->began_ms = description.began_ms;
    if (description.phase == TXN_IS_BEING_DECIDED) /* fenced: by the clock, which commits nothing */
        view->state =
            txn->commits && !producer_is_fenced(txn->producer) ? "PrepareCommit" : "PrepareAbort";
    return KAFKA_NONE;
}

enum kafka_error kafka_txn_look(struct kafka_request *request, struct bytes id,
                                struct kafka_txn_view *view)
{
    struct buf name = {0};
    bool is_busy = false;
    enum kafka_error error = kafka_check_txn(request, id);
    *view = (struct kafka_txn_view){0};
    if (error != KAFKA_NONE)
        return error;
    error = KAFKA_INVALID_REQUEST;
    if (name_in_log(id, &name)) {
        const char *text = (const char *)name.data;
        struct kafka_txn *txn = refer(request->txns, text, false, &is_busy);
        if (txn != NULL)
            pthread_mutex_lock(&txn->mutex);
        error = txn != NULL || is_busy ? look(request, text, txn, view)
                                       : KAFKA_COORDINATOR_NOT_AVAILABLE;
        if (txn != NULL)
            let_go(request->txns, txn);
    }
    buf_deinit(&name);
    return error;
}
