/* cli_topic_verify.c: weir topic verify: reads all of a topic and says what is wrong.
 *
 * Findings go to stdout, a line each, as they are found: file, byte, offset, what. The exit code is
 * 4 when there was one, so that a script needs no parsing. On a terminal the rate is shown at the
 * end; in json the last line holds the totals. */
#include "runtime/base/clock.h"
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct check {
    struct log *log;
    bool json;
    struct verify_report report;
    int64_t partitions;
};

static const char *kind_text(enum verify_kind kind)
{
    static const char *const texts[] = {[VERIFY_RECORDS] = "records",
                                        [VERIFY_INDEX] = "index",
                                        [VERIFY_FILES] = "files",
                                        [VERIFY_META] = "meta"};
    return texts[kind];
}

static void put_json(const struct verify_finding *finding)
{
    out_text("{\"topic\":");
    out_json_text(finding->topic);
    buf_printf(&out, ",\"partition\":%d,\"kind\":\"%s\",\"file\":", finding->partition,
               kind_text(finding->kind));
    out_json_text(finding->file);
    buf_printf(&out, finding->position < 0 ? ",\"byte\":null" : ",\"byte\":%" PRId64,
               finding->position);
    buf_printf(&out, finding->offset < 0 ? ",\"offset\":null" : ",\"offset\":%" PRId64,
               finding->offset);
    out_text(",\"text\":");
    out_json_text(finding->text);
    out_text("}\n");
}

static void put_text(const struct verify_finding *finding)
{
    buf_printf(&out, "%s-%d  %s  %s", finding->topic, finding->partition, kind_text(finding->kind),
               finding->file);
    if (finding->position >= 0)
        buf_printf(&out, "  byte %" PRId64, finding->position);
    if (finding->offset >= 0)
        buf_printf(&out, "  offset %" PRId64, finding->offset);
    buf_printf(&out, ": %s\n", finding->text);
}

static void put_finding(void *context, const struct verify_finding *finding)
{
    const struct check *check = context;
    if (check->json)
        put_json(finding);
    else
        put_text(finding);
    (void)out_flush();
}

static int verify_topic(struct check *check, const char *name, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(check->log, name, &info, diag));
    for (int32_t i = 0; i < info.partitions; i++) {
        struct partition *partition;
        TRY(partition_get(check->log, name, i, &partition, diag));
        TRY(partition_verify(partition, put_finding, check, &check->report, diag));
        check->partitions++;
    }
    return 0;
}

static int verify_named(struct check *check, const struct cli *cli, struct diag *diag)
{
    if (!flag_is_on(cli, "all")) {
        for (int i = 0; i < cli->argument_count; i++) /* all must exist before any is read */
            TRY(topic_describe(check->log, cli->arguments[i], NULL, diag));
        for (int i = 0; i < cli->argument_count; i++)
            TRY(verify_topic(check, cli->arguments[i], diag));
        return 0;
    }
    struct topic_info *topics = NULL;
    size_t count = 0;
    int code = topic_list(check->log, &topics, &count);
    for (size_t i = 0; i < count && code == 0; i++)
        code = verify_topic(check, topics[i].name, diag);
    free(topics);
    return code;
}

static void put_totals(const struct check *check, int64_t duration_ns)
{
    const struct verify_report *r = &check->report;
    double seconds = (double)duration_ns / 1e9, rate = (double)r->bytes / 1e6 / seconds;
    if (check->json)
        buf_printf(&out,
                   "{\"totals\":{\"partitions\":%" PRId64 ",\"segments\":%" PRId64
                   ",\"batches\":%" PRId64 ",\"records\":%" PRId64 ",\"bytes\":%" PRId64
                   ",\"findings\":%" PRId64 ",\"seconds\":%.3f,\"mb_per_s\":%.0f}}\n",
                   check->partitions, r->segments, r->batches, r->records, r->bytes, r->findings,
                   seconds, rate);
    else
        buf_printf(&out,
                   "partitions %" PRId64 ", segments %" PRId64 ", batches %" PRId64
                   ", records %" PRId64 ", bytes %" PRId64 ": findings %" PRId64
                   "  (%.3f s, %.0f MB/s)\n",
                   check->partitions, r->segments, r->batches, r->records, r->bytes, r->findings,
                   seconds, rate);
}

static int run_verify(struct cli *cli)
{
    struct check check = {0};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    check.json = format == FORMAT_JSON;
    if ((cli->argument_count > 0) == flag_is_on(cli, "all"))
        return usage_error(cli, "name the topics to verify, or say --all");
    int exit_code = data_open(cli, DATA_MUST_EXIST, &check.log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int64_t begin = clock_mono_ns();
    int code = verify_named(&check, cli, &diag);
    if (code == 0)
        put_totals(&check, clock_mono_ns() - begin);
    log_close(check.log);
    if (code < 0)
        return failed(code, &diag);
    return check.report.findings > 0 ? EXIT_FOUND : EXIT_OK;
}

/* ---- the table ---- */
static const struct flag verify_flags[] = {
    {"all", NULL, "every topic, internal ones too", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_verify = {
    .noun = "topic",
    .verb = "verify",
    .arguments = "[NAME…]",
    .min_arguments = 0,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "read topics to their last byte and say what is wrong",
    .examples = "  weir topic verify orders\n"
                "  weir topic verify --all --format json | jq 'select(.kind == \"records\")'\n",
    .details =
        "Checked: every batch (CRC, framing, offsets, times), continuity over all files, indexes, "
        "transactions, what is recorded\nabout the files, and that every file is the log's. "
        "Nothing is changed. Kinds: records (data is wrong or gone), index\n(searches take longer; "
        "built again when used), files (missing, or nobody's), meta (what is recorded disagrees).\n"
        "Exit code 4 when there are findings.\n",
    .flags = verify_flags,
    .run = run_verify,
};
