/* cli_topic.c: weir topic create, list, describe, alter, delete.
 *
 * Lists are for people on a terminal (a table) and for programs in a pipe: `topic list` gives a
 * name a line, `topic describe` a JSON object a line; --format text|json decides otherwise. */
#include "runtime/cli/nouns.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONFIG_MAX = 64 };

struct totals {
    int64_t records, bytes;
};

/* ---- configuration ---- */
struct config {
    struct config_entry entries[CONFIG_MAX];
    char *copies[CONFIG_MAX];
    size_t count;
};

static void config_free(struct config *config)
{
    for (size_t i = 0; i < config->count; i++)
        free(config->copies[i]);
}

static int config_add(const struct cli *cli, struct config *config, const char *text,
                      bool has_value)
{
    if (config->count == CONFIG_MAX)
        return usage_error(cli, "more than %d configuration keys", CONFIG_MAX);
    char *copy = strdup(text);
    if (copy == NULL)
        return failed(ERR_NOMEM, NULL);
    config->copies[config->count] = copy;
    char *value = has_value ? strchr(copy, '=') : NULL;
    if (value != NULL)
        *value++ = '\0';
    config->entries[config->count++] = (struct config_entry){copy, value};
    if (copy[0] == '\0' || (has_value && value == NULL))
        return usage_error(cli, "--config is KEY=VALUE, not '%s'", text);
    return 0;
}

/* --config K=V …, and --unset K … where the command has it. */
static int config_read(const struct cli *cli, struct config *config, bool with_unset)
{
    const char *text;
    for (int at = 0; (text = flag_next(cli, "config", &at)) != NULL;) {
        int exit_code = config_add(cli, config, text, true);
        if (exit_code != 0)
            return exit_code;
    }
    for (int at = 0; with_unset && (text = flag_next(cli, "unset", &at)) != NULL;) {
        int exit_code = config_add(cli, config, text, false);
        if (exit_code != 0)
            return exit_code;
    }
    return 0;
}

/* Sums over the partitions; records are offsets between start and high watermark. */
static int topic_totals(struct log *log, const struct topic_info *info, struct totals *totals,
                        struct diag *diag)
{
    *totals = (struct totals){0};
    for (int32_t i = 0; i < info->partitions; i++) {
        struct partition *partition;
        TRY(partition_get(log, info->name, i, &partition, diag));
        struct partition_offsets offsets;
        struct partition_files files;
        partition_offsets(partition, &offsets);
        partition_files(partition, &files);
        totals->records += offsets.high_watermark - offsets.start;
        totals->bytes += files.bytes;
    }
    return 0;
}

/* ---- create, alter, delete ---- */
static int run_create(struct cli *cli)
{
    struct diag diag = {0};
    const char *name = cli->arguments[0];
    int code = topic_name_check(name, &diag);
    if (code < 0)
        return failed(code, &diag);
    int64_t partitions;
    int exit_code = flag_number(cli, "partitions", 1, 10000, 1, &partitions);
    struct config config = {.count = 0};
    if (exit_code == 0)
        exit_code = config_read(cli, &config, false);
    struct log *log = NULL;
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MAY_CREATE, &log);
    if (exit_code == 0) {
        code = topic_create(log, name, (int32_t)partitions, config.entries, config.count, &diag);
        exit_code = code < 0 ? failed(code, &diag) : 0;
        if (exit_code == 0 && terminal(STDERR_FILENO))
            fprintf(stderr, "created topic %s: %lld partition%s\n", name, (long long)partitions,
                    partitions == 1 ? "" : "s");
        log_close(log);
    }
    config_free(&config);
    return exit_code;
}

/* What growth means to those who use the topic. */
static void warn_growth(struct log *log, const struct topic_info *info)
{
    char field[256];
    struct totals totals;
    if (topic_totals(log, info, &totals, NULL) == 0 && totals.records > 0)
        message("warning: keys move: from now on a record may go to another partition than earlier "
                "records of its key");
    if (topic_config_get(log, info->name, "weir.partitioned.by", field, sizeof field) == 0 &&
        field[0] != '\0')
        message("warning: weir.partitioned.by=%s no longer holds and is reset", field);
}

/* The configuration is checked and set first, so that a refused key leaves the partitions alone. */
static int alter_topic(struct log *log, const char *name, const struct config *config,
                       int64_t partitions, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(log, name, &info, diag));
    if (partitions > 0 && info.internal)
        return diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, with as many partitions "
                        "as its input has",
                        name);
    if (partitions > 0 && partitions <= info.partitions)
        return topic_grow(log, name, (int32_t)partitions, diag); /* says why not */
    if (config->count > 0)
        TRY(topic_alter(log, name, config->entries, config->count, diag));
    if (partitions == 0)
        return 0;
    warn_growth(log, &info);
    return topic_grow(log, name, (int32_t)partitions, diag);
}

static int run_alter(struct cli *cli)
{
    struct config config = {.count = 0};
    int64_t partitions;
    int exit_code = flag_number(cli, "partitions", 1, 10000, 0, &partitions);
    if (exit_code == 0)
        exit_code = config_read(cli, &config, true);
    if (exit_code == 0 && config.count == 0 && partitions == 0)
        exit_code =
            usage_error(cli, "nothing to alter: --config KEY=VALUE, --unset KEY or --partitions N");
    struct log *log = NULL;
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code == 0) {
        struct diag diag = {0};
        int code = alter_topic(log, cli->arguments[0], &config, partitions, &diag);
        exit_code = code < 0 ? failed(code, &diag) : 0;
        log_close(log);
    }
    config_free(&config);
    return exit_code;
}

static int run_delete(struct cli *cli)
{
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    /* All must exist before the first goes. */
    struct diag diag = {0};
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = topic_describe(log, cli->arguments[i], NULL, &diag);
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = topic_delete(log, cli->arguments[i], &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    log_close(log);
    return exit_code;
}

/* ---- list ---- */
enum list_form { LIST_TABLE, LIST_NAMES, LIST_JSON };

static void list_row(enum list_form form, struct table *table, const struct topic_info *info,
                     const struct totals *totals)
{
    char id[23];
    uuid_text(info->id, id);
    switch (form) {
    case LIST_NAMES:
        buf_printf(&out, "%s\n", info->name);
        break;
    case LIST_JSON:
        out_text("{\"topic\":");
        out_json_text(info->name);
        buf_printf(
            &out,
            ",\"id\":\"%s\",\"partitions\":%d,\"records\":%lld,\"bytes\":%lld,\"internal\":%s}\n",
            id, info->partitions, (long long)totals->records, (long long)totals->bytes,
            info->internal ? "true" : "false");
        break;
    case LIST_TABLE:
        table_cell(table, "%s", info->name);
        table_cell(table, "%d", info->partitions);
        table_cell(table, "%lld", (long long)totals->records);
        table_cell(table, "%lld", (long long)totals->bytes);
        break;
    }
}

static int run_list(struct cli *cli)
{
    static const char *const headers[] = {"TOPIC", ">PARTITIONS", ">RECORDS", ">BYTES"};
    int format =
        flag_choice(cli, "format", format_choices, 2, terminal(STDOUT_FILENO) ? FORMAT_TEXT : 2);
    if (format < 0)
        return EXIT_USAGE;
    enum list_form form = format == FORMAT_JSON   ? LIST_JSON
                          : format == FORMAT_TEXT ? LIST_TABLE
                                                  : LIST_NAMES;
    struct log *log;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    struct topic_info *topics = NULL;
    size_t count = 0;
    struct diag diag = {0};
    struct table table;
    table_init(&table, headers, 4);
    int code = topic_list(log, &topics, &count);
    for (size_t i = 0; code == 0 && i < count; i++) {
        struct totals totals = {0};
        if (form != LIST_NAMES)
            code = topic_totals(log, &topics[i], &totals, &diag);
        if (code == 0)
            list_row(form, &table, &topics[i], &totals);
    }
    table_print(&table, form == LIST_TABLE);
    free(topics);
    log_close(log);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

/* ---- describe ---- */
struct describe {
    struct log *log;
    struct topic_info info;
    bool json, first;
};

static void config_json(void *context, const char *key, const char *value, bool is_set)
{
    struct describe *d = context;
    (void)is_set;
    out_text(d->first ? "" : ",");
    d->first = false;
    out_json_text(key);
    out_text(":");
    out_json_text(value);
}

static void config_line(void *context, const char *key, const char *value, bool is_set)
{
    (void)context;
    /* What cannot be otherwise is no news. */
    if (is_set || config_key_find(key)->role == KEY_ACTS)
        buf_printf(&out, "  %s=%s%s\n", key, value, is_set ? "" : "  (default)");
}

static void set_key_json(void *context, const char *key, const char *value, bool is_set)
{
    struct describe *d = context;
    (void)value;
    if (!is_set)
        return;
    out_text(d->first ? "" : ",");
    d->first = false;
    out_json_text(key);
}

static int partition_row(struct describe *d, struct table *table, int32_t index, struct diag *diag)
{
    struct partition *partition;
    TRY(partition_get(d->log, d->info.name, index, &partition, diag));
    struct partition_offsets offsets;
    struct partition_files files;
    struct diag status = {0};
    partition_offsets(partition, &offsets);
    partition_files(partition, &files);
    int code = partition_status(partition, &status);
    if (d->json) {
        buf_printf(&out,
                   "%s{\"partition\":%d,\"start_offset\":%lld,\"last_stable_offset\":%lld,\"high_"
                   "watermark\":%lld,"
                   "\"end_offset\":%lld,\"bytes\":%lld,\"segments\":%d,\"status\":",
                   index > 0 ? "," : "", index, (long long)offsets.start, (long long)offsets.stable,
                   (long long)offsets.high_watermark, (long long)offsets.end,
                   (long long)files.bytes, files.segments);
        out_json_text(code < 0 ? status.text : "ok");
        out_text("}");
        return 0;
    }
    table_cell(table, "%d", index);
    table_cell(table, "%lld", (long long)offsets.start);
    table_cell(table, "%lld", (long long)offsets.stable);
    table_cell(table, "%lld", (long long)offsets.high_watermark);
    table_cell(table, "%lld", (long long)files.bytes);
    table_cell(table, "%d", files.segments);
    table_cell(table, "%s", code < 0 ? status.text : "ok");
    return 0;
}

static int describe_topic(struct describe *d, const char *name, struct diag *diag)
{
    static const char *const headers[] = {">PARTITION", ">START",    ">STABLE", ">HIGH-WATERMARK",
                                          ">BYTES",     ">SEGMENTS", "STATUS"};
    TRY(topic_describe(d->log, name, &d->info, diag));
    char id[23];
    uuid_text(d->info.id, id);
    struct table table;
    table_init(&table, headers, 7);
    if (d->json) {
        out_text("{\"topic\":");
        out_json_text(name);
        buf_printf(&out, ",\"id\":\"%s\",\"internal\":%s,\"partitions\":[", id,
                   d->info.internal ? "true" : "false");
    } else {
        buf_printf(&out, "%s  id %s, %d partition%s%s\n", name, id, d->info.partitions,
                   d->info.partitions == 1 ? "" : "s", d->info.internal ? ", internal" : "");
    }
    int code = 0;
    for (int32_t i = 0; i < d->info.partitions && code == 0; i++)
        code = partition_row(d, &table, i, diag);
    table_print(&table, !d->json);
    TRY(code);
    d->first = true;
    if (!d->json)
        return topic_config_each(d->log, name, config_line, d);
    out_text("],\"config\":{");
    TRY(topic_config_each(d->log, name, config_json, d));
    out_text("},\"config_set\":[");
    d->first = true;
    TRY(topic_config_each(d->log, name, set_key_json, d));
    out_text("]}\n");
    return 0;
}

static int run_describe(struct cli *cli)
{
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    struct describe d = {.json = format == FORMAT_JSON};
    int exit_code = data_open(cli, DATA_MUST_EXIST, &d.log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    for (int i = 0; i < cli->argument_count && exit_code == 0; i++) {
        if (i > 0 && !d.json)
            out_text("\n");
        int code = describe_topic(&d, cli->arguments[i], &diag);
        if (code < 0)
            exit_code = failed(code, &diag);
    }
    log_close(d.log);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag create_flags[] = {
    {"partitions", "N", "1 to 10000 [1]", false, 0},
    {"config", "K=V", "a configuration key", true, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag alter_flags[] = {
    {"config", "K=V", "sets a configuration key", true, 0},
    {"unset", "K", "gives a configuration key its default back", true, 0},
    {"partitions", "N", "more partitions than it has, at most 10000; keys move", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag format_flags[] = {
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

#define CONFIG_KEYS "weir topic configs lists the configuration keys.\n"

const struct command command_topic_create = {
    .noun = "topic",
    .verb = "create",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "make a topic",
    .examples = "  weir topic create orders --partitions 4\n"
                "  weir topic create users --config cleanup.policy=compact\n",
    .details = "A name has 1 to 249 of the characters A-Z a-z 0-9 . _ - and is neither . nor .. by "
               "itself.\n" CONFIG_KEYS,
    .flags = create_flags,
    .run = run_create,
};
const struct command command_topic_list = {
    .noun = "topic",
    .verb = "list",
    .arguments = "",
    .summary = "the topics",
    .examples = "  weir topic list\n"
                "  weir topic list --format json\n",
    .details = "In a pipe: a name a line.\n",
    .flags = format_flags,
    .run = run_list,
};
const struct command command_topic_describe = {
    .noun = "topic",
    .verb = "describe",
    .arguments = "NAME…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "partitions, offsets, sizes and configuration of topics",
    .examples = "  weir topic describe orders\n"
                "  weir topic describe orders --format json\n",
    .details = "In a pipe: a JSON object a line.\n",
    .flags = format_flags,
    .run = run_describe,
};
const struct command command_topic_alter = {
    .noun = "topic",
    .verb = "alter",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "change a topic's configuration, or give it more partitions",
    .examples = "  weir topic alter orders --config segment.bytes=268435456\n"
                "  weir topic alter orders --unset segment.bytes\n"
                "  weir topic alter orders --partitions 8\n",
    .details = "Records stay where they are when partitions are added, but a key's later records "
               "may go elsewhere: whoever relies on a\nkey's order, or on weir.partitioned.by "
               "(which is reset), must know. There is no way to fewer.\n" CONFIG_KEYS,
    .flags = alter_flags,
    .run = run_alter,
};
const struct command command_topic_delete = {
    .noun = "topic",
    .verb = "delete",
    .arguments = "NAME…",
    .min_arguments = 1,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "remove topics with all their records",
    .examples = "  weir topic delete orders\n",
    .details = "There is no way back. Offsets that groups committed for the topic go with it.\n",
    .flags = NULL,
    .run = run_delete,
};
