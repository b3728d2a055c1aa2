/* cli_dlq_replay.c: weir dlq replay: what runtime/records/letter_replay.c does, asked for and told. Without
 * --execute the same walk counts and writes nothing. */
#include "runtime/cli/letter_flags.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/served_letters.h"
#include "runtime/records/letter_replay.h"
#include "runtime/records/replay_notes.h"

#include <inttypes.h>

/* ---- what is said ---- */

static void put_routes(const struct letter_replay *r, bool json)
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
    table_print(&table, !json && r->counts.records > 0);
}

static void put_totals_json(const struct letter_replay *r)
{
    const struct replay_counts *c = &r->counts;
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

static void put_totals(const struct letter_replay *r)
{
    const struct replay_counts *c = &r->counts;
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
static void say_readers(const struct letter_replay *r)
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

static void say_what_follows(const struct letter_replay *r)
{
    if (r->counts.records > 0)
        say_readers(r);
    if (r->counts.late > 0)
        hint("late rows are late again unless the lateness of %s allows them by now",
             r->to != NULL ? r->to : "their source");
    else if (r->counts.records > 0)
        hint("the records come in behind all that was read since: one whose window has closed by "
             "now is a late row");
    hint("nothing was written: --execute does it");
}

/* ---- the command ---- */

static int parse(struct cli *cli, struct letter_replay *r)
{
    int exit_code = letter_flags_parse(cli, &r->filter);
    r->to = flag_text(cli, "to");
    r->by_key = flag_is_on(cli, "by-key");
    r->partly_applied = flag_is_on(cli, "partly-applied");
    r->execute = flag_is_on(cli, "execute");
    r->stop = &interrupt_stop;
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &r->left);
    return exit_code;
}

static int replay_failed(const struct letter_replay *r, int code, const struct diag *diag)
{
    if (code == ERR_STOPPED && interrupted())
        return EXIT_INTERRUPTED;
    int exit_code = failed(code, diag);
    if (code == ERR_NOT_FOUND && r->letters.name[0] == '\0')
        hint("'weir dlq list' shows what there is");
    else if (code == ERR_NOT_FOUND)
        hint("nothing was written: make the topic ('weir topic create'), or choose other letters "
             "or another target");
    return exit_code;
}

static void print(const struct letter_replay *r, bool json)
{
    put_routes(r, json);
    if (json)
        put_totals_json(r);
    else
        put_totals(r);
    if (!r->execute)
        say_what_follows(r);
}

static int replay_directory(struct cli *cli, struct letter_replay *r)
{
    struct diag diag = {0};
    int exit_code = data_open(cli, DATA_MUST_EXIST, &r->log);
    if (exit_code != 0)
        return exit_code;
    int code = letter_replay_run(r, cli->arguments[0], &diag);
    if (code < 0)
        exit_code = replay_failed(r, code, &diag);
    log_close(r->log);
    return exit_code;
}

static int run_replay(struct cli *cli)
{
    struct letter_replay r = {.log = NULL};
    struct http_client *client;
    struct reach reach;
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    int exit_code = format < 0 ? EXIT_USAGE : parse(cli, &r);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL ? served_letters_replay(client, cli->arguments[0], &r)
                                   : replay_directory(cli, &r);
    http_leave(&reach, client);
    if (exit_code == 0)
        print(&r, format == FORMAT_JSON);
    letter_replay_deinit(&r);
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
    .reach = REACHES_HTTP,
    .run = run_replay,
};
