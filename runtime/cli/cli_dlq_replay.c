/* cli_dlq_replay.c: weir dlq replay: source records of dead letters and late rows, written back.
 *
 *   topic_scan ► dead_letter_read ► filter ► replay_notes_add ► replay_route_send ─┐
 *                                                     replay_notes_send ──────────┴► txn_commit
 *
 * Each record is written once, however often the command runs, with whatever filters, and wherever it
 * is killed: the records and the notes of them (replay_notes.h) are one transaction, and the notes are
 * read after the producer was opened, which ends the transaction of a replay that was killed. Without
 * --execute the same walk counts and writes nothing.
 *
 * What is not written, and counted: a result that could not be expressed has no source record; a
 * record of which a part was applied (it was unnested, or hopping windows took it) would count twice in
 * that part, so it takes --partly-applied; a record that several letters are of goes once. */
#include "runtime/base/io.h"
#include "runtime/cli/letter_filter.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/replay_notes.h"
#include "runtime/cli/replay_route.h"
#include "runtime/cli/topic_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct counted {
    int64_t matched;          /* letters that the filters take */
    int64_t records;          /* written, or to be */
    int64_t before, repeated; /* written by an earlier replay; by this one, for another letter */
    int64_t parts, without_source, foreign; /* left out, each for its reason */
    int64_t elsewhere; /* of records: an earlier replay wrote them to another topic */
    int64_t late;      /* of records: late rows */
};
struct replay {
    struct log *log;
    struct topic_info letters;
    struct letter_filter filter;
    const char *to; /* NULL: each to its source */
    bool by_key, partly_applied, execute;
    int64_t left;
    struct replay_notes *notes;
    struct replay_routes routes;
    struct buf scratch;
    struct counted counted;
};

/* ---- the walk ---- */

/* False, and counted: there is nothing that could be written, or should. */
static bool is_replayable(struct replay *r, const struct dead_letter *letter)
{
    struct counted *c = &r->counted;
    c->foreign += letter->kind == LETTER_FOREIGN;
    c->without_source += letter->kind == LETTER_RESULT;
    if (letter->source_topic.data == NULL)
        return false;
    bool is_left_out = dead_letter_is_part(letter) && !r->partly_applied;
    c->parts += is_left_out;
    return !is_left_out;
}

static int find_route(struct replay *r, const struct dead_letter *letter,
                      struct replay_route **route, struct diag *diag)
{
    char name[250];
    snprintf(name, sizeof name, "%.*s", (int)letter->source_topic.size,
             (const char *)letter->source_topic.data);
    return replay_route_find(&r->routes, r->to != NULL ? r->to : name, route, diag);
}

/* Counts the record, and sends it where that was asked for. */
static int take(struct replay *r, struct replay_route *route, const struct record *record,
                const struct dead_letter *letter, struct diag *diag)
{
    int32_t partition = replay_route_partition(route, record, letter, r->by_key);
    route->records[partition]++;
    r->counted.records++;
    r->counted.late += letter->kind == LETTER_LATE;
    r->left--;
    return r->execute ? replay_route_send(&r->routes, route, partition, record, letter, diag) : 0;
}

static int replay_letter(void *context, const struct scan_place *place, const struct record *record,
                         struct diag *diag)
{
    struct replay *r = context;
    struct dead_letter letter;
    struct replay_route *route;
    (void)place;
    dead_letter_read(record, &letter);
    if (!letter_filter_takes(&r->filter, record, &letter))
        return 0;
    if (r->left == 0)
        return 1;
    r->counted.matched++;
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
    r->counted.before += noted == REPLAY_NOTED_BEFORE;
    r->counted.repeated += noted == REPLAY_NOTED_NOW;
    if (noted != REPLAY_NOTED)
        return 0;
    r->counted.elsewhere += is_elsewhere;
    return take(r, route, record, &letter, diag);
}

static int walk(struct replay *r, struct diag *diag)
{
    TRY(replay_notes_open(r->log, &r->notes, diag));
    return topic_scan(r->log, &r->letters, replay_letter, r, diag);
}

/* ---- the transaction ---- */

static int write_notes(struct replay *r, struct diag *diag)
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

static int write_all(struct replay *r, struct diag *diag)
{
    TRY(walk(r, diag));
    TRY(replay_routes_flush(&r->routes, diag));
    crash_point("replay_written");
    TRY(write_notes(r, diag));
    crash_point("replay_noted");
    return 0;
}

static int execute(struct replay *r, struct diag *diag)
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

/* ---- what is said ---- */

static void put_routes(const struct replay *r, bool json)
{
    static const char *const headers[] = {"FROM", "TO", ">PARTITION", ">RECORDS"};
    struct table table;
    table_init(&table, headers, 4);
    for (size_t i = 0; i < r->routes.count; i++) {
        const struct replay_route *route = r->routes.items[i];
        for (int32_t p = 0; p < route->topic.partitions; p++) {
            if (route->records[p] == 0)
                continue;
            if (json) {
                buf_printf(&out,
                           "{\"from\":\"%s\",\"to\":\"%s\",\"partition\":%d,\"records\":%" PRId64
                           ",\"executed\":%s}\n",
                           r->letters.name, route->topic.name, p, route->records[p],
                           r->execute ? "true" : "false");
                continue;
            }
            table_cell(&table, "%s", r->letters.name);
            table_cell(&table, "%s", route->topic.name);
            table_cell(&table, "%d", p);
            table_cell(&table, "%" PRId64, route->records[p]);
        }
    }
    table_print(&table, !json && r->counted.records > 0);
}

static void put_totals_json(const struct replay *r)
{
    const struct counted *c = &r->counted;
    buf_printf(&out,
               "{\"totals\":{\"matched\":%" PRId64 ",\"records\":%" PRId64
               ",\"replayed_before\":%" PRId64 ",\"repeated\":%" PRId64
               ",\"partly_applied\":%" PRId64 ",\"without_source\":%" PRId64 ",\"foreign\":%" PRId64
               ",\"replayed_elsewhere\":%" PRId64 ",\"executed\":%s}}\n",
               c->matched, c->records, c->before, c->repeated, c->parts, c->without_source,
               c->foreign, c->elsewhere, r->execute ? "true" : "false");
}

static void put_count(int64_t count, const char *text)
{
    if (count > 0)
        buf_printf(&out, "  %" PRId64 " %s\n", count, text);
}

static void put_totals(const struct replay *r)
{
    const struct counted *c = &r->counted;
    buf_printf(&out, "%" PRId64 " record%s %s, of %" PRId64 " letter%s\n", c->records,
               c->records == 1 ? "" : "s", r->execute ? "written" : "to write", c->matched,
               c->matched == 1 ? "" : "s");
    put_count(c->before, "replayed before: not written again");
    put_count(c->repeated, "of the same record as another letter: it goes once");
    put_count(c->parts, "partly applied (--partly-applied writes them)");
    put_count(c->without_source,
              "without a source record: the result of a group, or a row of a file");
    put_count(c->foreign, "not written by weir");
    put_count(c->elsewhere, "of the records were replayed to another topic before");
}

/* Every reader of the topic sees a record again, also one that took it the first time. */
static void say_readers(const struct replay *r)
{
    for (size_t i = 0; i < r->routes.count; i++) {
        const struct replay_route *route = r->routes.items[i];
        struct buf names = {0};
        for (size_t k = 0; k < route->reader_count; k++)
            buf_printf(&names, "%s%s %s", k > 0 ? ", " : "",
                       route->readers[k].of_app ? "app" : "group", route->readers[k].group);
        if (route->reader_count > 0 && buf_ok(&names))
            hint("%s is read by %.*s: who took a record before (the first time, or in a rebuild) "
                 "takes it again",
                 route->topic.name, (int)names.size, (const char *)names.data);
        buf_deinit(&names);
    }
}

static void say_what_follows(const struct replay *r)
{
    if (r->counted.records > 0)
        say_readers(r);
    if (r->counted.late > 0)
        hint("late rows are late again unless the lateness of %s allows them by now",
             r->to != NULL ? r->to : "their source");
    else if (r->counted.records > 0)
        hint("the records come in behind all that was read since: one whose window has closed by "
             "now is a late row");
    hint("nothing was written: --execute does it");
}

/* ---- the command ---- */

static int parse(struct cli *cli, struct replay *r)
{
    int exit_code = letter_filter_parse(cli, &r->filter);
    r->to = flag_text(cli, "to");
    r->by_key = flag_is_on(cli, "by-key");
    r->partly_applied = flag_is_on(cli, "partly-applied");
    r->execute = flag_is_on(cli, "execute");
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &r->left);
    return exit_code;
}

static int replay(struct replay *r, const char *name, struct diag *diag)
{
    struct replay_route *route;
    TRY(letter_topic_find(r->log, name, &r->letters, diag));
    if (r->to != NULL && strcmp(r->to, r->letters.name) == 0)
        return diag_set(diag, ERR_INVALID, "%s cannot be replayed to itself", r->to);
    if (r->to != NULL)
        TRY(replay_route_find(&r->routes, r->to, &route, diag));
    return r->execute ? execute(r, diag) : walk(r, diag);
}

static int replay_failed(const struct replay *r, int code, const struct diag *diag)
{
    if (code == ERR_STOPPED && interrupted())
        return EXIT_INTERRUPTED;
    int exit_code = failed(code, diag);
    if (code == ERR_NOT_FOUND && r->letters.name[0] == '\0')
        hint("'weir dlq list' shows what there is");
    else if (code == ERR_NOT_FOUND)
        hint("nothing was written: make the topic ('weir topic create'), choose others with "
             "--topic, or another target with --to");
    return exit_code;
}

static int run_replay(struct cli *cli)
{
    struct replay r = {0};
    struct diag diag = {0};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    int exit_code = format < 0 ? EXIT_USAGE : parse(cli, &r);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &r.log);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    r.routes.log = r.log;
    int code = replay(&r, cli->arguments[0], &diag);
    if (code < 0) {
        exit_code = replay_failed(&r, code, &diag);
    } else {
        put_routes(&r, format == FORMAT_JSON);
        if (format == FORMAT_JSON)
            put_totals_json(&r);
        else
            put_totals(&r);
        if (!r.execute)
            say_what_follows(&r);
    }
    replay_routes_deinit(&r.routes);
    replay_notes_close(r.notes);
    buf_deinit(&r.scratch);
    log_close(r.log);
    return exit_code;
}

static const struct flag replay_flags[] = {
    {"to", "TOPIC", "write to this topic [each record to its source topic]", false, 0},
    LETTER_FILTER_FLAGS,
    {"max", "N", "write at most N records; the next replay goes on behind them", false, 0},
    {"by-key", NULL, "records with a key go to the partition of the key, not to the one they had",
     false, 0},
    {"partly-applied", NULL, "also records of which a part was applied, which then counts twice",
     false, 0},
    {"execute", NULL, "do it; without it only what would be written is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_dlq_replay = {
    .noun = "dlq",
    .verb = "replay",
    .arguments = "APP|TOPIC",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "write rejected records back to their topic (a dry run unless --execute)",
    .examples = "  weir dlq replay orders --class not_null\n"
                "  weir dlq replay orders --class not_null --execute\n"
                "  weir dlq replay revenue-per-day.late --to orders-of-yesterday --execute\n",
    .details =
        "The source record's key, value, headers and timestamp are written as they were, to the "
        "partition that the record had; with\n"
        "--to another topic to that of its key, without a key to the number it had, modulo the "
        "partitions. All in one transaction,\n"
        "with a note of each record in " REPLAY_NOTES_TOPIC ": a record goes to a topic once, "
        "however often and with whatever filters it is\n"
        "replayed. The letters stay.\n"
        "Records come in behind all that was read since, and every reader of the topic sees them "
        "again. A record whose window has\n"
        "closed by now is late, so late rows are late again unless the source's lateness allows "
        "them. A job that was rebuilt, or reset to\n"
        "before the records, has read them by itself: replayed, they would count twice.\n",
    .flags = replay_flags,
    .run = run_replay,
};
