/* cli_group.c: weir group list, describe, reset, delete: the offsets that consumer groups
 * committed.
 *
 * describe has the columns of Kafka's kafka-consumer-groups: the end of the log is the high
 * watermark, the lag what lies between the committed offset and it, "-" stands for no committed
 * offset. reset shows what it would do and does it only with
 * --execute. */
#include "runtime/base/clock.h"
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
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    char **groups = NULL;
    size_t count = 0;
    int code = group_list(log, &groups, &count);
    for (size_t i = 0; code == 0 && i < count; i++) {
        if (format == FORMAT_JSON) {
            out_text("{\"group\":");
            out_json_text(groups[i]);
            out_text("}\n");
        } else {
            buf_printf(&out, "%s\n", groups[i]);
        }
    }
    free(groups);
    log_close(log);
    return code < 0 ? failed(code, NULL) : EXIT_OK;
}

/* ---- describe ---- */
static const char *const describe_headers[] = {"GROUP",           "TOPIC",           ">PARTITION",
                                               ">CURRENT-OFFSET", ">LOG-END-OFFSET", ">LAG"};

static void number_or(char text[24], int64_t number, const char *none)
{
    if (number < 0)
        snprintf(text, 24, "%s", none);
    else
        snprintf(text, 24, "%lld", (long long)number);
}

static int describe_partition(struct log *log, const char *group, const char *topic, int32_t index,
                              struct table *table, bool json, struct diag *diag)
{
    struct partition *partition;
    TRY(partition_get(log, topic, index, &partition, diag));
    struct partition_offsets offsets;
    partition_offsets(partition, &offsets);
    struct group_offset committed = {.offset = -1};
    TRY(group_fetch(log, group, topic, index, &committed));
    int64_t lag = -1;
    if (committed.offset >= 0)
        lag = offsets.high_watermark > committed.offset ? offsets.high_watermark - committed.offset
                                                        : 0;
    char current_text[24], lag_text[24];
    number_or(current_text, committed.offset, json ? "null" : "-");
    number_or(lag_text, lag, json ? "null" : "-");
    if (json) {
        out_text("{\"group\":");
        out_json_text(group);
        out_text(",\"topic\":");
        out_json_text(topic);
        buf_printf(&out,
                   ",\"partition\":%d,\"current_offset\":%s,\"log_end_offset\":%lld,\"lag\":%s}\n",
                   index, current_text, (long long)offsets.high_watermark, lag_text);
        return 0;
    }
    table_cell(table, "%s", group);
    table_cell(table, "%s", topic);
    table_cell(table, "%d", index);
    table_cell(table, "%s", current_text);
    table_cell(table, "%lld", (long long)offsets.high_watermark);
    table_cell(table, "%s", lag_text);
    return 0;
}

/* Every partition of every topic that the group has an offset in; offsets are sorted by topic. */
static int describe_group(struct log *log, const char *group, struct table *table, bool json,
                          struct diag *diag)
{
    struct group_offset *offsets = NULL;
    size_t count = 0;
    int code = group_describe(log, group, &offsets, &count);
    if (code < 0)
        return diag_set(diag, code,
                        code == ERR_NOT_FOUND ? "there is no group %s" : "cannot read group %s",
                        group);
    for (size_t i = 0; i < count && code == 0; i++) {
        if (i > 0 && strcmp(offsets[i].topic, offsets[i - 1].topic) == 0)
            continue;
        struct topic_info info;
        code = topic_describe(log, offsets[i].topic, &info, diag);
        for (int32_t p = 0; code == 0 && p < info.partitions; p++)
            code = describe_partition(log, group, offsets[i].topic, p, table, json, diag);
    }
    free(offsets);
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
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    struct table table;
    table_init(&table, describe_headers, 6);
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = describe_group(log, cli->arguments[i], &table, format == FORMAT_JSON, &diag);
    table_print(&table, format == FORMAT_TEXT && table.cell_count > 0);
    if (code < 0) {
        exit_code = failed(code, &diag);
        hint_groups(code);
    }
    log_close(log);
    return exit_code;
}

/* ---- reset ---- */
enum to_kind { TO_BEGINNING, TO_END, TO_OFFSET, TO_TIME };
struct reset {
    struct log *log;
    const char *group, *topic;
    enum to_kind kind;
    int64_t number;
    bool execute, json;
    struct group_offset *offsets;
    size_t count;
};

static int parse_to(const struct cli *cli, struct reset *r)
{
    const char *text = flag_text(cli, "to");
    if (text == NULL)
        return usage_error(cli, "--to is missing: beginning, end, an OFFSET or @EPOCH_MS");
    if (strcmp(text, "beginning") == 0 || strcmp(text, "end") == 0) {
        r->kind = text[0] == 'b' ? TO_BEGINNING : TO_END;
        return 0;
    }
    r->kind = text[0] == '@' ? TO_TIME : TO_OFFSET;
    if (parse_integer(text + (text[0] == '@'), &r->number) == 0 &&
        (r->kind == TO_TIME || r->number >= 0))
        return 0;
    return usage_error(cli, "--to is beginning, end, an OFFSET or @EPOCH_MS, not '%s'", text);
}

/* The new offset of a partition: an OFFSET outside what exists becomes the nearer end. */
static int reset_offset(const struct reset *r, struct partition *partition, int64_t *offset,
                        struct diag *diag)
{
    struct partition_offsets offsets;
    int64_t found_ms;
    partition_offsets(partition, &offsets);
    *offset = r->number;
    if (r->kind == TO_TIME)
        TRY(partition_find_time(partition, r->number, offset, &found_ms, diag));
    if (r->kind == TO_END || (r->kind == TO_TIME && *offset < 0) ||
        *offset > offsets.high_watermark)
        *offset = offsets.high_watermark;
    if (r->kind == TO_BEGINNING || *offset < offsets.start)
        *offset = offsets.start;
    return 0;
}

static void reset_row(const struct reset *r, struct table *table, int32_t index, int64_t old,
                      int64_t new)
{
    char old_text[24];
    number_or(old_text, old, r->json ? "null" : "-");
    if (r->json) {
        out_text("{\"group\":");
        out_json_text(r->group);
        out_text(",\"topic\":");
        out_json_text(r->topic);
        buf_printf(&out,
                   ",\"partition\":%d,\"current_offset\":%s,\"new_offset\":%lld,\"executed\":%s}\n",
                   index, old_text, (long long)new, r->execute ? "true" : "false");
        return;
    }
    table_cell(table, "%s", r->group);
    table_cell(table, "%s", r->topic);
    table_cell(table, "%d", index);
    table_cell(table, "%s", old_text);
    table_cell(table, "%lld", (long long)new);
}

static int reset_partition(struct reset *r, struct table *table, int32_t index, struct diag *diag)
{
    struct partition *partition;
    TRY(partition_get(r->log, r->topic, index, &partition, diag));
    struct group_offset old = {.offset = -1};
    TRY(group_fetch(r->log, r->group, r->topic, index, &old));
    struct group_offset *new = &r->offsets[r->count++];
    snprintf(new->topic, sizeof new->topic, "%s", r->topic);
    new->partition = index;
    new->commit_time_ms = clock_wall_ms();
    TRY(reset_offset(r, partition, &new->offset, diag));
    reset_row(r, table, index, old.offset, new->offset);
    return 0;
}

static int reset_group(struct reset *r, int64_t only, struct diag *diag)
{
    static const char *const headers[] = {"GROUP", "TOPIC", ">PARTITION", ">CURRENT-OFFSET",
                                          ">NEW-OFFSET"};
    struct topic_info info;
    TRY(topic_describe(r->log, r->topic, &info, diag));
    if (only >= info.partitions)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %lld", r->topic,
                        info.partitions - 1, (long long)only);
    r->offsets = calloc((size_t)info.partitions, sizeof *r->offsets);
    if (r->offsets == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %d offsets", info.partitions);
    struct table table;
    table_init(&table, headers, 5);
    int code = 0;
    for (int32_t i = 0; i < info.partitions && code == 0; i++)
        if (only < 0 || only == i)
            code = reset_partition(r, &table, i, diag);
    if (code == 0 && r->execute)
        code = group_commit(r->log, r->group, r->offsets, r->count, diag);
    if (table.cell_count % 5 == 0)
        table_print(&table, !r->json);
    return code;
}

static int run_reset(struct cli *cli)
{
    struct reset r = {.group = cli->arguments[0],
                      .topic = flag_text(cli, "topic"),
                      .execute = flag_is_on(cli, "execute")};
    int64_t only;
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    r.json = format == FORMAT_JSON;
    int exit_code = r.topic == NULL ? usage_error(cli, "--topic is missing") : parse_to(cli, &r);
    if (exit_code == 0)
        exit_code = flag_number(cli, "partition", 0, 9999, -1, &only);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &r.log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = reset_group(&r, only, &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    else if (!r.execute)
        hint("nothing was changed: --execute does it");
    free(r.offsets);
    log_close(r.log);
    return exit_code;
}

/* ---- delete ---- */
static int run_delete(struct cli *cli)
{
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = group_delete(log, cli->arguments[i], &diag);
    if (code < 0) {
        exit_code = failed(code, &diag);
        hint_groups(code);
    }
    log_close(log);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag format_flags[] = {
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag reset_flags[] = {
    {"topic", "TOPIC", "the topic whose offsets are set", false, 0},
    {"partition", "N", "only this partition", false, 0},
    {"to", "WHERE", "beginning, end, an OFFSET, or @EPOCH_MS: the first record from then on", false,
     0},
    {"execute", NULL, "do it; without it only what would change is shown", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_group_list = {
    .noun = "group",
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
    .verb = "describe",
    .arguments = "GROUP…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "committed offsets and lag",
    .examples = "  weir group describe revenue\n"
                "  weir group describe revenue --format json\n",
    .details = "LOG-END-OFFSET is the high watermark, LAG what lies between it and the committed "
               "offset.\n",
    .flags = format_flags,
    .run = run_describe,
};
const struct command command_group_reset = {
    .noun = "group",
    .verb = "reset",
    .arguments = "GROUP",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "set committed offsets (a dry run unless --execute)",
    .examples = "  weir group reset report --topic orders --to beginning\n"
                "  weir group reset report --topic orders --to @1291191960000 --execute\n",
    .details = "",
    .flags = reset_flags,
    .run = run_reset,
};
const struct command command_group_delete = {
    .noun = "group",
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
