/* decide.c: how transactions end. The first step runs on a flusher's thread, the others on the
 * decider's, when the round's flush is over.
 *
 *            before the flush    after the flush             after that              then
 *            (prepare)           (collect → meta)            (settle)                (finish)
 *   commit   room for markers    decision, group offsets,    last stable offset      markers are
 *            reserved            participants of the next    moves                   appended, done(0)
 *   abort    abort markers       aborted ranges,             aborted list, then      done
 *            appended            participants                last stable offset
 *                                                            moves
 *
 * A commit is decided by the write to meta: from then on it is complete, whatever happens to its
 * markers; recovery appends the missing ones. Its decision stays in meta until all markers lie
 * below the flushed end. An abort writes its markers first, so that the flush of the same round
 * covers them and the aborted range that meta gets never speaks of offsets that a power cut could
 * take away and others could use again.
 *
 * A commit that cannot be (fenced, a stopped partition, no room) becomes an abort in the same
 * round; done gets the reason once the abort is through. What a full disk keeps from being finished
 * is deferred: answered now, tried again every RETRY_INTERVAL_MS, and the producer answers ERR_FULL
 * to its next txn_begin meanwhile. Nothing is lost by that: the last stable offset stays in front
 * of an unfinished abort.
 *
 * A participant without records of this transaction gets no marker. One whose topic was deleted, or
 * that was stopped, is left out. */
#include "log/log_internal.h"
#include "runtime/base/io.h"

#include <stdlib.h>

enum { NO_MARKER_YET = -1, NO_MARKER_EVER = -2 };

/* ---- prepare ---- */

static void become_abort(struct producer *producer, int reason)
{
    producer->wants_commit = false;
    producer->answer = reason;
}

static int reserve_markers(struct producer *producer, struct diag *diag)
{
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        struct partition *partition = part->partition;
        if (part->first_offset < 0 || atomic_load(&partition->deleted))
            continue;
        pthread_mutex_lock(&partition->mutex);
        int rc = partition_writable(partition, diag);
        if (rc == 0)
            rc = segment_reserve(partition->active, MARKER_ROOM_BYTES, diag);
        pthread_mutex_unlock(&partition->mutex);
        TRY(rc);
    }
    return 0;
}

/* Appends the markers that are missing; the first failure is returned, the others are tried all the
 * same. */
static int append_markers(struct producer *producer, bool commit)
{
    int failure = 0;
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        struct diag diag;
        if (part->first_offset < 0 || part->marker_offset != NO_MARKER_YET)
            continue;
        if (partition_readable(part->partition, NULL) < 0) {
            part->marker_offset = NO_MARKER_EVER;
            continue;
        }
        int rc = partition_append_marker(part->partition, commit, producer->id,
                                         producer->marker_epoch, &part->marker_offset, &diag);
        if (commit)
            crash_point("marker.commit");
        else
            crash_point("marker.abort");
        if (rc < 0) {
            part->marker_offset = NO_MARKER_YET;
            if (failure == 0 && !producer->told_waiting) /* once, however often it is tried */
                log_line('W', "a transaction's marker for %s-%d has to wait: %s",
                         part->partition->topic->name, part->partition->index, diag.text);
            producer->told_waiting = true;
            failure = failure == 0 ? rc : failure;
        }
    }
    return failure;
}

bool decide_wants_sync(const struct producer *producer)
{
    /* With durability=os a commit waits for no flush; an abort does, see above. */
    return producer->log->options.durability == DURABILITY_COMMIT || !producer->wants_commit;
}

/* They are the round's since it was collected, but for those that no memory was left for; a commit that became an abort wants
 * their flush. */
static int add_targets(struct round *round, struct producer *producer)
{
    struct flusher *flusher = &round->log->flusher;
    bool sync = decide_wants_sync(producer);
    int rc = 0;
    pthread_mutex_lock(&flusher->mutex);
    for (uint32_t i = 0; i < producer->participant_count; i++)
        if (producer->participants[i].first_offset >= 0)
            rc =
                round_has_target(round, producer->participants[i].partition, sync) ? rc : ERR_NOMEM;
    pthread_mutex_unlock(&flusher->mutex);
    return rc;
}

static void prepare(struct round *round, struct producer *producer)
{
    struct diag diag = {0};
    /* Without its mutex: whoever handed it over has that still, and this thread would wait for it. Who is fenced from here on is
     * found by decide_collect. */
    if (atomic_load(&producer->fenced) && producer->wants_commit && !producer->decided)
        become_abort(producer, ERR_FENCED);
    producer->failure = 0;
    if (producer->decided)
        return; /* only markers are missing */
    if (producer->wants_commit) {
        int rc = reserve_markers(producer, &diag);
        if (rc < 0) {
            log_line('W', "a transaction of producer %lld is aborted: %s", (long long)producer->id,
                     diag.text);
            become_abort(producer, rc);
        }
    }
    if (!producer->wants_commit)
        producer->failure = append_markers(producer, false);
    if (producer->failure == 0)
        producer->failure = add_targets(round, producer);
}

void decide_prepare(struct round *round)
{
    for (struct producer *p = round->requests; p != NULL; p = p->next_request)
        prepare(round, p);
    crash_point("decide.prepared");
}

/* ---- collect ---- */

/* Deleted partitions leave the set; the others start from here. */
static void renew_participants(struct producer *producer, struct meta_batch *batch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        if (atomic_load(&part->partition->deleted))
            part->marker_offset = NO_MARKER_EVER;
        else
            kept++;
        part->lower_bound = atomic_load(&part->partition->end_offset);
    }
    if (producer->participant_count == 0)
        return;
    if (kept == 0 || producer->fenced || producer->closed) {
        meta_delete_participants(batch, producer->id);
        return;
    }
    struct meta_participant *list = malloc(kept * sizeof *list);
    if (list == NULL) {
        batch->operations.failed = true;
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < producer->participant_count && count < kept; i++) {
        struct participant *part = &producer->participants[i];
        if (!atomic_load(&part->partition->deleted))
            list[count++] =
                (struct meta_participant){partition_place(part->partition), part->lower_bound};
    }
    meta_put_participants(batch, producer->id, producer->epoch, list, count);
    free(list);
}

/* Whether the record is to say how it ends, for producers that may ask after a crash: unless a newer epoch has the record. That is so when the clock ends it, which
 * takes the record before; an opener waits for its end before he does. So the decision and the record never say different things, whoever fences the producer at
 * this moment, and no restart finds a transaction open that was aborted. */
static bool must_be_recorded(const struct producer *producer)
{
    return producer->keeps_outcome && producer->marker_epoch == producer->epoch;
}

static void collect_outcome(struct decide_pass *pass, struct producer *producer,
                            enum txn_outcome outcome)
{
    pthread_mutex_lock(&producer->mutex);
    if (must_be_recorded(producer)) {
        producer_put_outcome(producer, outcome, &pass->batch);
        pass->decides = true;
    }
    pthread_mutex_unlock(&producer->mutex);
}

/* Offsets that were put aside for a restart are committed with this write, or gone. */
static void collect_put_aside(struct decide_pass *pass, const struct producer *producer)
{
    if (!producer->keeps_outcome || producer->offsets.count == 0)
        return;
    meta_delete_txn_offsets(&pass->batch, producer->id, producer->epoch, &producer->offsets);
    pass->decides = true;
}

static void collect_commit(struct decide_pass *pass, struct producer *producer)
{
    struct meta_decision_part *parts =
        malloc((producer->participant_count + 1) * sizeof *parts); /* never malloc(0) */
    struct meta_decision decision = {.sequence = pass->log->flusher.next_sequence,
                                     .producer_id = producer->id,
                                     .epoch = producer->epoch,
                                     .commit = true};
    if (parts == NULL) {
        pass->batch.operations.failed = true;
        return;
    }
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        if (part->first_offset >= 0 && !atomic_load(&part->partition->deleted))
            parts[decision.count++] = (struct meta_decision_part){
                partition_place(part->partition), part->first_offset, part->end_offset};
    }
    producer->sequence = 0;
    if (decision.count > 0) {
        producer->sequence = pass->log->flusher.next_sequence++;
        meta_put_decision(&pass->batch, &decision, parts);
    }
    free(parts);
    if (decision.count > 0 || producer->offsets.count > 0) {
        meta_batch_join(&pass->batch, &producer->offsets);
        collect_put_aside(pass, producer);
        renew_participants(producer, &pass->batch);
        pass->decides = true;
    }
}

static void collect_abort(struct decide_pass *pass, struct producer *producer)
{
    bool any = false;
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        if (part->first_offset < 0 || part->marker_offset < 0)
            continue;
        struct meta_place place = partition_place(part->partition);
        struct aborted aborted = {producer->id, part->first_offset, part->marker_offset};
        meta_put_aborted(&pass->batch, &place, &aborted);
        any = true;
    }
    if (any) {
        renew_participants(producer, &pass->batch);
        pass->decides = true;
    }
    collect_put_aside(pass, producer);
}

void decide_collect(struct decide_pass *pass)
{
    for (struct producer *p = pass->requests; p != NULL; p = p->next_request) {
        if (p->decided || p->failure < 0)
            continue;
        pthread_mutex_lock(&p->mutex);
        bool late = p->fenced && p->wants_commit;
        pthread_mutex_unlock(&p->mutex);
        if (late) {
            become_abort(p, ERR_FENCED);
            p->failure = ERR_FENCED; /* its abort is the next round's */
        } else if (p->wants_commit) {
            collect_commit(pass, p);
            collect_outcome(pass, p, TXN_OUTCOME_COMMITTED);
        } else {
            collect_abort(pass, p);
            collect_outcome(pass, p, TXN_OUTCOME_ABORTED);
        }
    }
}

/* ---- finish ---- */

/* The transaction is over: the producer is its owner's again. */
static void release_request(struct producer *producer, int code)
{
    void (*done)(void *, int) = NULL;
    void *context = NULL;
    pthread_mutex_lock(&producer->mutex);
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        producer->participants[i].first_offset = -1;
        producer->participants[i].marker_offset = NO_MARKER_YET;
        producer->participants[i].is_named = false;
    }
    producer->outcome =
        producer->wants_commit && code == 0 ? TXN_OUTCOME_COMMITTED : TXN_OUTCOME_ABORTED;
    meta_batch_clear(&producer->offsets);
    producer_count_offsets(producer, false);
    producer->decided = false;
    producer->told_waiting = false;
    producer->state = TXN_NONE;
    if (!producer->answered) {
        producer->answered = true;
        producer->answer = code;
        done = producer->done;
        context = producer->done_context;
    }
    pthread_cond_broadcast(&producer->quiet);
    pthread_mutex_unlock(&producer->mutex);
    if (done != NULL)
        done(context, code);
    producer_release(producer);
}

/* It cannot be finished now: its owner is told, the flusher keeps it. */
static void defer_request(struct flusher *flusher, struct producer *producer, int code)
{
    void (*done)(void *, int) = NULL;
    void *context = NULL;
    pthread_mutex_lock(&producer->mutex);
    if (!producer->answered) {
        producer->answered = true;
        producer->answer = code;
        done = producer->done;
        context = producer->done_context;
        pthread_cond_broadcast(&producer->quiet);
    }
    pthread_mutex_unlock(&producer->mutex);
    pthread_mutex_lock(&flusher->mutex);
    producer->next_request = flusher->deferred;
    flusher->deferred = producer;
    pthread_mutex_unlock(&flusher->mutex);
    flusher_wake(flusher, LANE_COMMITS); /* it has a time to wait for now */
    if (done != NULL)
        done(context, code);
}

/* A decision is kept in mind until its markers are flushed. Without memory for that, recovery
 * removes it one day. */
static void remember_decision(struct flusher *flusher, const struct producer *producer)
{
    struct decided *decided =
        malloc(sizeof *decided + producer->participant_count * sizeof(struct decided_part));
    if (decided == NULL)
        return;
    decided->sequence = producer->sequence;
    decided->count = 0;
    for (uint32_t i = 0; i < producer->participant_count; i++)
        if (producer->participants[i].first_offset >= 0 &&
            producer->participants[i].marker_offset >= 0)
            decided->parts[decided->count++] = (struct decided_part){
                producer->participants[i].partition, producer->participants[i].marker_offset + 1};
    pthread_mutex_lock(&flusher->mutex);
    decided->next = flusher->decided;
    flusher->decided = decided;
    pthread_mutex_unlock(&flusher->mutex);
    if (decided->count == 0)
        flusher_wake(flusher, LANE_TAILS); /* no marker did that */
}

static void close_everywhere(struct producer *producer)
{
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        if (part->first_offset < 0)
            continue;
        pthread_mutex_lock(&part->partition->mutex);
        partition_close_txn(part->partition, producer->id);
        pthread_mutex_unlock(&part->partition->mutex);
    }
}

static bool has_records(const struct producer *producer)
{
    for (uint32_t i = 0; i < producer->participant_count; i++)
        if (producer->participants[i].first_offset >= 0)
            return true;
    return false;
}

/* Whether meta must hear of its end before it is over. */
static bool must_be_applied(const struct producer *producer)
{
    return has_records(producer) || must_be_recorded(producer);
}

/* What happened to the request: its end is durable, or else why it is not. */
static bool is_through(const struct producer *producer, int code)
{
    return producer->decided || (producer->failure == 0 && code == 0);
}

static void settle_abort(struct producer *producer)
{
    for (uint32_t i = 0; i < producer->participant_count; i++) {
        struct participant *part = &producer->participants[i];
        if (part->first_offset < 0 || part->marker_offset < 0)
            continue;
        struct aborted aborted = {producer->id, part->first_offset, part->marker_offset};
        pthread_mutex_lock(&part->partition->list_mutex);
        int rc = partition_add_aborted(part->partition, &aborted);
        pthread_mutex_unlock(&part->partition->list_mutex);
        if (rc < 0) {
            /* Without its entry the records would count as committed: nobody may read on. */
            struct diag diag;
            diag_set(&diag, rc, "no memory for an aborted transaction");
            partition_stop(part->partition, rc, &diag);
        }
    }
    close_everywhere(producer);
}

void decide_settle(struct decide_pass *pass, int code)
{
    for (struct producer *p = pass->requests; p != NULL; p = p->next_request) {
        if (p->decided || !is_through(p, code))
            continue;
        if (!p->wants_commit) {
            settle_abort(p);
            continue;
        }
        p->decided = true;
        close_everywhere(p);
        crash_point("decide.stable");
    }
}

static void finish_commit(struct flusher *flusher, struct producer *producer)
{
    if (append_markers(producer, true) < 0) {
        defer_request(flusher, producer, 0);
        return;
    }
    if (producer->sequence != 0)
        remember_decision(flusher, producer);
    release_request(producer, 0);
}

/* It is neither committed nor aborted yet. */
static void finish_failed(struct flusher *flusher, struct producer *producer, int code)
{
    if (producer->failure == ERR_FENCED && !producer->answered) {
        producer->failure = 0;
        flusher_submit(producer); /* becomes an abort in the next round */
    } else if (producer->failure < 0) {
        defer_request(flusher, producer, producer->failure);
    } else if (producer->wants_commit && must_be_applied(producer)) {
        become_abort(producer, code); /* meta has no room: undecided */
        flusher_submit(producer);
    } else if (must_be_applied(producer)) {
        defer_request(flusher, producer, code);
    } else if (producer->wants_commit) {
        release_request(producer, code); /* group offsets alone */
    } else {
        release_request(producer, producer->answer);
    }
}

void decide_finish(struct decide_pass *pass, int code)
{
    struct flusher *flusher = &pass->log->flusher;
    struct producer *next;
    for (struct producer *p = pass->requests; p != NULL; p = next) {
        next = p->next_request;
        if (!is_through(p, code))
            finish_failed(flusher, p, code);
        else if (p->decided)
            finish_commit(flusher, p);
        else
            release_request(p, p->answer);
    }
    pass->requests = NULL;
    crash_point("decide.finished");
}

void decide_fail_all(struct producer *requests, int code)
{
    struct producer *next;
    for (struct producer *p = requests; p != NULL; p = next) {
        next = p->next_request;
        release_request(p, p->wants_commit || p->answer == 0 ? code : p->answer);
    }
}

/* ---- decisions that are history ---- */

static bool is_history(const struct decided *decided)
{
    for (uint32_t i = 0; i < decided->count; i++) {
        struct partition *partition = decided->parts[i].partition;
        if (partition_readable(partition, NULL) == 0 &&
            atomic_load(&partition->flushed_end) < decided->parts[i].marker_end)
            return false;
    }
    return true;
}

void decided_collect(struct flusher *flusher, struct meta_batch *batch)
{
    for (struct decided *d = flusher->decided; d != NULL; d = d->next) {
        d->removed = is_history(d);
        if (d->removed)
            meta_delete_decision(batch, d->sequence);
    }
    crash_point("decision.remove");
}

void decided_forget(struct flusher *flusher)
{
    struct decided **link = &flusher->decided;
    pthread_mutex_lock(&flusher->mutex);
    while (*link != NULL) {
        struct decided *decided = *link;
        if (!decided->removed) {
            link = &decided->next;
            continue;
        }
        *link = decided->next;
        free(decided);
    }
    pthread_mutex_unlock(&flusher->mutex);
}
