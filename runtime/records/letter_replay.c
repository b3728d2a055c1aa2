/* letter_replay.c: source records of dead letters and late rows, written back ('weir dlq replay', and the same over HTTP).
 *
 *   topic_scan ► dead_letter_read ► filter ► replay_notes_add ► replay_route_send ─┐
 *                                                     replay_notes_send ──────────┴► txn_commit
 *
 * Each record is written once, however often the command runs, with whatever filters, and wherever it
 * is killed: the records and the notes of them (replay_notes.h) are one transaction, and the notes are
 * read after the producer was opened, which ends the transaction of a replay that was killed. Without
 * execute the same walk counts and writes nothing.
 *
 * What is not written, and counted: a result that could not be expressed has no source record; a
 * record of which a part was applied (it was unnested, or hopping windows took it) would count twice in
 * that part, so it takes partly_applied; a record that several letters are of goes once. */
#include "runtime/records/letter_replay.h"

#include "runtime/base/io.h"
#include "runtime/records/replay_notes.h"

#include <stdio.h>

/* ---- the walk ---- */

/* False, and counted: there is nothing that could be written, or should. */
static bool is_replayable(struct letter_replay *r, const struct dead_letter *letter)
{
    struct replay_counts *c = &r->counts;
    c->foreign += letter->kind == LETTER_FOREIGN;
    c->without_source += letter->kind == LETTER_RESULT;
    if (letter->source_topic.data == NULL)
        return false;
    bool is_left_out = dead_letter_is_part(letter) && !r->partly_applied;
    c->parts += is_left_out;
    return !is_left_out;
}

static int find_route(struct letter_replay *r, const struct dead_letter *letter,
                      struct replay_route **route, struct diag *diag)
{
    char name[250];
    snprintf(name, sizeof name, "%.*s", (int)letter->source_topic.size,
             (const char *)letter->source_topic.data);
    return replay_route_find(&r->routes, r->to != NULL ? r->to : name, route, diag);
}

/* Counts the record, and sends it where that was asked for. */
static int take(struct letter_replay *r, struct replay_route *route, const struct record *record,
                const struct dead_letter *letter, struct diag *diag)
{
    int32_t partition = replay_route_partition(route, record, letter, r->by_key);
    route->records[partition]++;
    r->counts.records++;
    r->counts.late += letter->kind == LETTER_LATE;
    r->left--;
    return r->execute ? replay_route_send(&r->routes, route, partition, record, letter, diag) : 0;
}

static int replay_letter(void *context, const struct scan_place *place, const struct record *record,
                         struct diag *diag)
{
    struct letter_replay *r = context;
    struct dead_letter letter;
    struct replay_route *route;
    (void)place;
    dead_letter_read(record, &letter);
    if (!letter_filter_takes(&r->filter, record, &letter))
        return 0;
    if (r->left == 0)
        return 1;
    r->counts.matched++;
    if (!is_replayable(r, &letter))
        return 0;
    struct replayed source = {letter.source_topic, letter.source_partition, letter.source_offset,
                              0};
    if (dead_letter_fingerprint(record, &letter, &r->scratch, &source.fingerprint) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to replay a dead letter");
    TRY(find_route(r, &letter, &route, diag));
    bool is_elsewhere = replay_notes_target(r->notes, &source) != NULL;
    int noted = replay_notes_add(r->notes, &route->topic, &source);
    if (noted < 0)
        return diag_set(diag, noted, "no memory for the notes of a replay");
    r->counts.before += noted == REPLAY_NOTED_BEFORE;
    r->counts.repeated += noted == REPLAY_NOTED_NOW;
    if (noted != REPLAY_NOTED)
        return 0;
    r->counts.elsewhere += is_elsewhere;
    return take(r, route, record, &letter, diag);
}

static int walk(struct letter_replay *r, struct diag *diag)
{
    TRY(replay_notes_open(r->log, r->stop, &r->notes, diag));
    int code = topic_scan(r->log, &r->letters, NULL, r->stop, replay_letter, r, diag);
    return code < 0 ? code : 0;
}

/* ---- the transaction ---- */

static int write_notes(struct letter_replay *r, struct diag *diag)
{
    struct sender_options options = {.producer = r->routes.producer};
    struct sender *sender;
    TRY(sender_open(r->log, REPLAY_NOTES_TOPIC, &options, &sender, diag));
    int code = replay_notes_send(r->notes, sender, diag);
    if (code == 0)
        code = sender_flush(sender, false, diag);
    sender_close(sender);
    return code;
}

static int write_all(struct letter_replay *r, struct diag *diag)
{
    TRY(walk(r, diag));
    TRY(replay_routes_flush(&r->routes, diag));
    crash_point("replay_written");
    TRY(write_notes(r, diag));
    crash_point("replay_noted");
    return 0;
}

static int execute(struct letter_replay *r, struct diag *diag)
{
    struct producer *producer;
    struct diag unused = {0};
    TRY(replay_notes_create(r->log, diag));
    crash_point("replay_before");
    TRY(producer_open(r->log, REPLAY_NOTES_TOPIC, &producer, diag));
    r->routes.producer = producer;
    int code = txn_begin(producer, diag);
    if (code == 0) {
        code = write_all(r, diag);
        if (code == 0)
            code = txn_commit(producer, diag);
        else
            txn_abort(producer, &unused); /* code says more */
    }
    if (code == 0)
        crash_point("replay_committed");
    replay_routes_close_senders(&r->routes);
    producer_close(producer);
    return code;
}

int letter_replay_run(struct letter_replay *r, const char *name, struct diag *diag)
{
    struct replay_route *route;
    r->routes.log = r->log;
    TRY(letter_topic_find(r->log, name, &r->letters, diag));
    if (r->to != NULL && strcmp(r->to, r->letters.name) == 0)
        return diag_set(diag, ERR_INVALID, "%s cannot be replayed to itself", r->to);
    if (r->to != NULL)
        TRY(replay_route_find(&r->routes, r->to, &route, diag));
    return r->execute ? execute(r, diag) : walk(r, diag);
}

void letter_replay_deinit(struct letter_replay *r)
{
    replay_routes_deinit(&r->routes);
    replay_notes_close(r->notes);
    buf_deinit(&r->scratch);
    r->notes = NULL;
}
