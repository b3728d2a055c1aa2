/* cli_group.c: weir group list, describe, reset, delete, delete-offsets: what consumer groups committed.
 *
 * describe has the columns of Kafka's kafka-consumer-groups: the end of the log is the high
 * watermark, the lag what lies between the committed offset and it, "-" stands for no committed
 * offset and for no owner. reset shows what it would do and does it only with --execute. What groups
 * are and how offsets are set anew is log/group.h's, or a server's; this file reads flags and prints. */
#include "runtime/cli/door.h"
#include "runtime/cli/nouns.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- list ---- */
static int run_list(struct cli *cli)
{
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    struct door door;
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    char **groups = NULL;
    size_t count = 0;
    struct diag diag = {0};
    int code = door.ops->group_list(&door, &groups, &count, &diag);
    for (size_t i = 0; code == 0 && i < count; i++) {
        if (format == FORMAT_JSON) {
            out_text("{\"group\":");
            out_json_text(groups[i]);
            out_text("}\n");
        } else {
            buf_visible(&out, groups[i], "");
            buf_u8(&out, '\n');
        }
    }
    free(groups);
    door_close(&door);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

/* ---- describe ---- */
static const char *const describe_headers[] = {
    "GROUP", "TOPIC",       ">PARTITION", ">CURRENT-OFFSET", ">LOG-END-OFFSET",
    ">LAG",  "CONSUMER-ID", "HOST",       "CLIENT-ID"};
enum { DESCRIBE_COLUMNS = sizeof describe_headers / sizeof describe_headers[0] };

static void number_or(char text[24], int64_t number, const char *none)
{
    if (number < 0)
        snprintf(text, 24, "%s", none);
    else
        snprintf(text, 24, "%lld", (long long)number);
}

static void out_json_or_null(const char *key, const char *text)
{
    buf_printf(&out, ",\"%s\":", key);
    if (text != NULL)
        out_json_text(text);
    else
        out_text("null");
}

static void describe_json(const char *group, const struct group_lag *row,
                          const struct group_info *info, int64_t total)
{
    char current[24], lag[24];
    number_or(current, row->committed, "null");
    number_or(lag, row->lag, "null");
    out_text("{\"group\":");
    out_json_text(group);
    out_text(",\"topic\":");
    out_json_text(row->topic);
    buf_printf(&out, ",\"partition\":%d,\"current_offset\":%s,\"log_end_offset\":%lld,\"lag\":%s",
               row->partition, current, (long long)row->end, lag);
    out_json_or_null("consumer_id", row->member_id);
    out_json_or_null("host", row->host);
    out_json_or_null("client_id", row->client_id);
    buf_printf(&out, ",\"state\":\"%s\",\"total_lag\":%lld}\n", group_state_text(info->state),
               (long long)total);
}

static void describe_row(struct table *table, const char *group, const struct group_lag *row)
{
    char current[24], lag[24];
    number_or(current, row->committed, "-");
    number_or(lag, row->lag, "-");
    table_cell(table, "%s", group);
    table_cell(table, "%s", row->topic);
    table_cell(table, "%d", row->partition);
    table_cell(table, "%s", current);
    table_cell(table, "%lld", (long long)row->end);
    table_cell(table, "%s", lag);
    table_cell(table, "%s", row->member_id != NULL ? row->member_id : "-");
    table_cell(table, "%s", row->host != NULL ? row->host : "-");
    table_cell(table, "%s", row->client_id != NULL ? row->client_id : "-");
}

/* The totals come after the table; with json every object has its group's. */
static int describe_group(struct door *door, const char *group, struct table *table,
                          struct buf *totals, bool json, struct diag *diag)
{
    struct group_lag *rows;
    struct group_info info;
    size_t count;
    int64_t total;
    int code = door->ops->group_lag(door, group, &rows, &count, &total, &info, diag);
    for (size_t i = 0; i < count && code == 0; i++) {
        if (json)
            describe_json(group, &rows[i], &info, total);
        else
            describe_row(table, group, &rows[i]);
    }
    if (code == 0) {
        buf_visible(totals, group, "");
        buf_printf(totals, ": %s, %zu members, total lag %lld\n", group_state_text(info.state),
                   info.member_count, (long long)total);
    }
    free(rows);
    return code;
}

static void hint_groups(int code)
{
    if (code == ERR_NOT_FOUND)
        hint("'weir group list' shows the groups");
}

static int run_describe(struct cli *cli)
{
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    struct door door;
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    struct table table;
    struct buf totals = {0};
    table_init(&table, describe_headers, DESCRIBE_COLUMNS);
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code =
            describe_group(&door, cli->arguments[i], &table, &totals, format == FORMAT_JSON, &diag);
    bool as_text = format == FORMAT_TEXT && table.cell_count > 0;
    table_print(&table, as_text);
    if (as_text) {
        out_text("\n");
        buf_append(&out, totals.data, totals.size);
    }
    buf_deinit(&totals);
    if (code < 0) {
        exit_code = failed(code, &diag);
        hint_groups(code);
    }
    door_close(&door);
    return exit_code;
}

/* ---- reset ---- */
static int parse_to(const struct cli *cli, struct group_reset *reset)
{
    const char *text = flag_text(cli, "to");
    if (text == NULL)
        return usage_error(cli, "--to is missing: beginning, end, an OFFSET, @EPOCH_MS, +N or -N");
    if (strcmp(text, "beginning") == 0 || strcmp(text, "end") == 0) {
        reset->to = text[0] == 'b' ? GROUP_RESET_EARLIEST : GROUP_RESET_LATEST;
        return 0;
    }
    bool shifts = text[0] == '+' || text[0] == '-';
    reset->to = text[0] == '@' ? GROUP_RESET_TIME : shifts ? GROUP_RESET_SHIFT : GROUP_RESET_OFFSET;
    const char *digits = text + (text[0] == '@' || text[0] == '+');
    bool signed_twice = text[0] == '+' && (digits[0] == '+' || digits[0] == '-');
    if (!signed_twice && parse_integer(digits, &reset->number) == 0)
        return 0;
    return usage_error(cli, "--to is beginning, end, an OFFSET, @EPOCH_MS, +N or -N, not '%s'",
                       text);
}

static void reset_json(const char *group, const struct group_reset_row *row, bool executed)
{
    char old[24];
    number_or(old, row->old_offset, "null");
    out_text("{\"group\":");
    out_json_text(group);
    out_text(",\"topic\":");
    out_json_text(row->topic);
    buf_printf(&out,
               ",\"partition\":%d,\"current_offset\":%s,\"new_offset\":%lld,"
               "\"wanted_offset\":%lld,\"executed\":%s}\n",
               row->partition, old, (long long)row->new_offset, (long long)row->wanted_offset,
               executed ? "true" : "false");
}

static void reset_row(struct table *table, const char *group, const struct group_reset_row *row)
{
    char old[24];
    number_or(old, row->old_offset, "-");
    table_cell(table, "%s", group);
    table_cell(table, "%s", row->topic);
    table_cell(table, "%d", row->partition);
    table_cell(table, "%s", old);
    table_cell(table, "%lld", (long long)row->new_offset);
}

static int reset_group(struct door *door, const char *group, const struct group_reset *reset,
                       bool json, struct diag *diag)
{
    static const char *const headers[] = {"GROUP", "TOPIC", ">PARTITION", ">CURRENT-OFFSET",
                                          ">NEW-OFFSET"};
    struct group_reset_row *rows;
    struct table table;
    size_t count;
    TRY(door->ops->group_reset(door, group, reset, &rows, &count, diag));
    table_init(&table, headers, 5);
    for (size_t i = 0; i < count; i++) {
        if (json)
            reset_json(group, &rows[i], reset->execute);
        else
            reset_row(&table, group, &rows[i]);
    }
    table_print(&table, !json);
    for (size_t i = 0; i < count; i++)
        if (rows[i].new_offset != rows[i].wanted_offset)
            message("%s-%d has no offset %lld: the nearest that exists is %lld", rows[i].topic,
                    rows[i].partition, (long long)rows[i].wanted_offset,
                    (long long)rows[i].new_offset);
    free(rows);
    return 0;
}

/* --topic or --all-topics, --partition, --to. 0 or EXIT_USAGE. */
static int parse_reset(const struct cli *cli, struct group_reset *reset)
{
    int64_t only = -1;
    bool all = flag_is_on(cli, "all-topics");
    *reset = (struct group_reset){.topic = flag_text(cli, "topic"),
                                  .execute = flag_is_on(cli, "execute")};
    if (all == (reset->topic != NULL))
        return usage_error(cli, all ? "--topic and --all-topics do not go together"
                                    : "--topic is missing (or --all-topics)");
    int exit_code = parse_to(cli, reset);
    if (exit_code == 0)
        exit_code = flag_number(cli, "partition", 0, 9999, -1, &only);
    if (exit_code == 0 && all && only >= 0)
        exit_code = usage_error(cli, "--partition needs --topic");
    reset->partition = (int32_t)only;
    return exit_code;
}

static int run_reset(struct cli *cli)
{
    struct group_reset reset;
    struct door door;
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    int exit_code = parse_reset(cli, &reset);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = reset_group(&door, cli->arguments[0], &reset, format == FORMAT_JSON, &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    else if (!reset.execute)
        hint("nothing was changed: --execute does it");
    door_close(&door);
    return exit_code;
}

/* ---- delete ---- */
static int run_delete(struct cli *cli)
{
    struct door door;
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = door.ops->group_delete(&door, cli->arguments[i], &diag);
    if (code < 0) {
        exit_code = failed(code, &diag);
        hint_groups(code);
    }
    door_close(&door);
    return exit_code;
}

/* ---- delete-offsets ---- */
static int run_delete_offsets(struct cli *cli)
{
    const char *topic = flag_text(cli, "topic");
    int64_t only;
    struct door door;
    if (topic == NULL)
        return usage_error(cli, "--topic is missing");
    int exit_code = flag_number(cli, "partition", 0, 9999, -1, &only);
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code =
        door.ops->group_delete_offsets(&door, cli->arguments[0], topic, (int32_t)only, &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    door_close(&door);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag format_flags[] = {
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag delete_offsets_flags[] = {
    {"topic", "TOPIC", "the topic whose offsets are forgotten", false, 0},
    {"partition", "N", "only this partition", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag reset_flags[] = {
    {"topic", "TOPIC", "the topic whose offsets are set", false, 0},
    {"partition", "N", "only this partition", false, 0},
    {"all-topics", NULL, "every topic that the group has offsets in", false, 0},
    {"to", "WHERE",
     "beginning, end, an OFFSET, @EPOCH_MS: the first record from then on, +N or -N: so many "
     "records further or back",
     false, 0},
    {"execute", NULL, "do it; without it only what would change is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_group_list = {
    .noun = "group",
    .reach = REACHES_KAFKA,
    .verb = "list",
    .arguments = "",
    .summary = "the consumer groups",
    .examples = "  weir group list\n",
    .details = "A name a line; --format json: an object a line.\n",
    .flags = format_flags,
    .run = run_list,
};
const struct command command_group_describe = {
    .noun = "group",
    .reach = REACHES_KAFKA,
    .verb = "describe",
    .arguments = "GROUP…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "committed offsets and lag",
    .examples = "  weir group describe revenue\n"
                "  weir group describe revenue --format json\n",
    .details = "LOG-END-OFFSET is the high watermark, LAG what lies between it and the committed "
               "offset. CONSUMER-ID, HOST\nand CLIENT-ID name the member that reads the partition. "
               "The line after the table adds the lags up;\n--format json has that sum in each "
               "object (total_lag).\n",
    .flags = format_flags,
    .run = run_describe,
};
const struct command command_group_reset = {
    .noun = "group",
    .reach = REACHES_KAFKA,
    .verb = "reset",
    .arguments = "GROUP",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "set committed offsets (a dry run unless --execute)",
    .examples = "  weir group reset report --topic orders --to beginning\n"
                "  weir group reset report --topic orders --to @1291191960000 --execute\n"
                "  weir group reset report --all-topics --to -100 --execute\n",
    .details =
        "An offset that does not exist becomes the nearest that does, and a line on stderr says "
        "so. A group with members is\nrefused: stop them first.\n",
    .flags = reset_flags,
    .run = run_reset,
};
const struct command command_group_delete = {
    .noun = "group",
    .reach = REACHES_KAFKA,
    .verb = "delete",
    .arguments = "GROUP…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "forget the committed offsets of groups",
    .examples = "  weir group delete report\n",
    .details = "",
    .flags = NULL,
    .run = run_delete,
};
const struct command command_group_delete_offsets = {
    .noun = "group",
    .reach = REACHES_KAFKA,
    .verb = "delete-offsets",
    .arguments = "GROUP",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "forget what a group committed in one topic",
    .examples = "  weir group delete-offsets report --topic orders\n"
                "  weir group delete-offsets report --topic orders --partition 3\n",
    .details = "",
    .flags = delete_offsets_flags,
    .run = run_delete_offsets,
};
