/* cli_app.c: weir app reset: pipelines of an app begin again, at the beginning, an offset or a time.
 *
 * What that means is weir_app_reset's (weir.h); this file reads flags and prints. It shows what it
 * would do and does it only with --execute, as whatever takes something away. */
#include "runtime/cli/nouns.h"
#include "runtime/weir_handle.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- flags ---- */

enum { OFFSETS_MAX = CLI_VALUES_MAX };
struct request {
    weir_app_reset_options options;
    weir_offset offsets[OFFSETS_MAX];
    char *topics[OFFSETS_MAX]; /* copies that the offsets point to */
};

static void release(struct request *request)
{
    for (size_t i = 0; i < request->options.offset_count; i++)
        free(request->topics[i]);
}

/* TOPIC-PARTITION=OFFSET: a topic may have - and digits in its name, so it is read from the end. */
static int parse_offset(const struct cli *cli, const char *text, struct request *request)
{
    size_t i = request->options.offset_count;
    char *copy = strdup(text);
    char *equals = copy != NULL ? strrchr(copy, '=') : NULL;
    int64_t partition = -1, offset = -1;
    if (equals != NULL)
        *equals = '\0';
    char *dash = equals != NULL ? strrchr(copy, '-') : NULL;
    if (dash == NULL || dash == copy || parse_integer(dash + 1, &partition) != 0 || partition < 0 ||
        partition > 9999 || parse_integer(equals + 1, &offset) != 0 || offset < 0) {
        free(copy);
        return usage_error(cli, "--offset is TOPIC-PARTITION=OFFSET, not '%s'", text);
    }
    *dash = '\0';
    request->topics[i] = copy;
    request->offsets[i] = (weir_offset){copy, (int32_t)partition, offset, NULL};
    request->options.offset_count++;
    request->options.offsets = request->offsets;
    return 0;
}

static int parse_to(const struct cli *cli, const char *text, weir_app_reset_options *options)
{
    options->to = WEIR_RESET_TO_TIME;
    if (text[0] == '@' && parse_integer(text + 1, &options->number) == 0)
        return 0;
    if (strcmp(text, "beginning") != 0 && strcmp(text, "end") != 0)
        return usage_error(cli, "--to is beginning, end or @EPOCH_MS, not '%s'", text);
    options->to = text[0] == 'b' ? WEIR_RESET_TO_EARLIEST : WEIR_RESET_TO_LATEST;
    return 0;
}

static int parse(const struct cli *cli, struct request *request)
{
    static const char *const outputs[] = {"clear", "keep"};
    const char *to = flag_text(cli, "to"), *offset;
    int at = 0, exit_code = 0;
    int choice = flag_choice(cli, "outputs", outputs, 2, 2);
    if (choice < 0)
        return EXIT_USAGE;
    request->options.outputs = choice == 0   ? WEIR_OUTPUTS_CLEAR
                               : choice == 1 ? WEIR_OUTPUTS_KEEP
                                             : WEIR_OUTPUTS_UNSAID;
    request->options.topic = flag_text(cli, "topic");
    request->options.execute = flag_is_on(cli, "execute");
    while (exit_code == 0 && (offset = flag_next(cli, "offset", &at)) != NULL)
        exit_code = parse_offset(cli, offset, request);
    if (exit_code != 0)
        return exit_code;
    if ((to != NULL) == (request->options.offset_count > 0))
        return usage_error(cli, to != NULL ? "--to and --offset do not go together"
                                           : "--to is missing: beginning, end or @EPOCH_MS (or "
                                             "--offset TOPIC-PARTITION=OFFSET for each partition)");
    if (to != NULL)
        return parse_to(cli, to, &request->options);
    request->options.to = WEIR_RESET_TO_OFFSET;
    return 0;
}

/* ---- output ---- */

static void offset_text(char text[24], int64_t offset, const char *none)
{
    if (offset < 0)
        snprintf(text, 24, "%s", none);
    else
        snprintf(text, 24, "%lld", (long long)offset);
}

static void key_text(const char *key, const char *text)
{
    buf_printf(&out, "\"%s\":", key);
    out_json_text(text);
    out_text(",");
}

static void print_json(const weir_app_reset_plan *plan, bool executed)
{
    const char *done = executed ? "true" : "false";
    for (size_t i = 0; i < plan->row_count; i++) {
        const weir_app_reset_row *row = &plan->rows[i];
        char old[24];
        offset_text(old, row->old_offset, "null");
        out_text("{");
        key_text("pipeline", row->topic);
        key_text("source", row->source);
        key_text("note", row->note);
        buf_printf(&out,
                   "\"partition\":%d,\"current_offset\":%s,\"new_offset\":%lld,\"start_offset\":"
                   "%lld,\"end_offset\":%lld,\"executed\":%s}\n",
                   (int)row->partition, old, (long long)row->new_offset,
                   (long long)row->start_offset, (long long)row->end_offset, done);
    }
    for (size_t i = 0; i < plan->effect_count; i++) {
        const weir_app_reset_effect *effect = &plan->effects[i];
        out_text("{");
        key_text("pipeline", effect->topic);
        key_text("kind", effect->kind);
        key_text("name", effect->name);
        key_text("effect", effect->effect);
        buf_printf(&out, "\"records\":%lld,\"executed\":%s}\n", (long long)effect->records, done);
    }
}

static void print_rows(const weir_app_reset_plan *plan)
{
    static const char *const headers[] = {
        "PIPELINE",    "SOURCE",          ">PARTITION", ">CURRENT-OFFSET",
        ">NEW-OFFSET", ">LOG-END-OFFSET", "NOTE"};
    struct table table;
    table_init(&table, headers, 7);
    for (size_t i = 0; i < plan->row_count; i++) {
        const weir_app_reset_row *row = &plan->rows[i];
        char old[24];
        offset_text(old, row->old_offset, "-");
        table_cell(&table, "%s", row->topic);
        table_cell(&table, "%s", row->source);
        table_cell(&table, "%d", (int)row->partition);
        table_cell(&table, "%s", old);
        table_cell(&table, "%lld", (long long)row->new_offset);
        table_cell(&table, "%lld", (long long)row->end_offset);
        table_cell(&table, "%s", row->note);
    }
    table_print(&table, true);
}

static void print_effects(const weir_app_reset_plan *plan)
{
    static const char *const headers[] = {"PIPELINE", "WHAT", "NAME", "EFFECT"};
    struct table table;
    table_init(&table, headers, 4);
    for (size_t i = 0; i < plan->effect_count; i++) {
        const weir_app_reset_effect *effect = &plan->effects[i];
        table_cell(&table, "%s", effect->topic);
        table_cell(&table, "%s", effect->kind);
        table_cell(&table, "%s", effect->name);
        table_cell(&table, "%s", effect->effect);
    }
    out_text("\n");
    table_print(&table, true);
}

/* ---- the command ---- */

static int run_reset(struct cli *cli)
{
    struct request request = {.options = {.execute = false}};
    weir_app_reset_plan *plan = NULL;
    weir_log *log = NULL;
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    int exit_code = format < 0 ? EXIT_USAGE : parse(cli, &request);
    if (exit_code == 0)
        exit_code = data_open_handle(cli, DATA_MUST_EXIST, &log);
    if (exit_code == 0 && weir_app_reset(log, cli->arguments[0], &request.options, &plan) < 0) {
        message("%s", weir_log_error());
        exit_code = EXIT_FAILED;
    }
    if (exit_code == 0 && format == FORMAT_JSON) {
        print_json(plan, request.options.execute);
    } else if (exit_code == 0) {
        print_rows(plan);
        print_effects(plan);
    }
    if (exit_code == 0 && !request.options.execute)
        hint("nothing was changed: --execute does it");
    weir_free(plan);
    if (log != NULL)
        weir_log_close(log);
    release(&request);
    return exit_code;
}

static const struct flag reset_flags[] = {
    {"to", "WHERE", "beginning, end, or @EPOCH_MS: the first record from then on", false, 0},
    {"offset", "TOPIC-PARTITION=OFFSET",
     "instead of --to: where it begins in this partition; once for each partition of the sources",
     true, 0},
    {"topic", "TOPIC",
     "only the pipeline that writes this topic, and those that read its output [all]", false, 0},
    {"outputs", "WHAT",
     "clear: old rows go from the output topics; keep: they stay, and new ones come behind them. "
     "Needed to execute",
     false, 0},
    {"execute", NULL, "do it; without it only what would change is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_app_reset = {
    .noun = "app",
    .verb = "reset",
    .arguments = "APP",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "forget a job's state and begin again somewhere (a dry run unless --execute)",
    .examples = "  weir app reset revenue --to beginning\n"
                "  weir app reset revenue --to @1291191960000 --outputs clear --execute\n"
                "  weir app reset revenue --topic hourly-revenue --offset orders-0=120 --offset "
                "orders-1=80 --outputs keep --execute\n",
    .details = "The job must not run. When it is started again it rebuilds its state and its "
               "results from there on, and from nothing\nbefore: begin a window and a lateness "
               "earlier than the first result that must be whole. An offset that does not exist\n"
               "is refused. Late rows and dead letters stay.\n",
    .flags = reset_flags,
    .run = run_reset,
};
