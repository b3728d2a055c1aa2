/* cli_topic.c: weir topic create, list, describe, alter, delete, in a directory or behind a server (door.h).
 *
 * Lists are for people on a terminal (a table) and for programs in a pipe: `topic list` gives a
 * name a line, `topic describe` a JSON object a line; --format text|json decides otherwise. What a server does not tell
 * is "-", in JSON null. */
#include "runtime/cli/door.h"
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
static struct totals sum_up(const struct door_partition *rows, int32_t count)
{
    struct totals totals = {0};
    for (int32_t i = 0; i < count; i++) {
        totals.records += rows[i].high_watermark - rows[i].start;
        totals.bytes = rows[i].bytes < 0 || totals.bytes < 0 ? -1 : totals.bytes + rows[i].bytes;
    }
    return totals;
}

/* A number that may not be told. */
static void told_or(char text[24], int64_t number, const char *none)
{
    if (number < 0)
        snprintf(text, 24, "%s", none);
    else
        snprintf(text, 24, "%lld", (long long)number);
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
    struct door door;
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MAY_CREATE, &door);
    if (exit_code == 0) {
        code = door.ops->topic_create(&door, name, (int32_t)partitions, config.entries,
                                      config.count, &diag);
        exit_code = code < 0 ? failed(code, &diag) : 0;
        if (exit_code == 0 && terminal(STDERR_FILENO))
            fprintf(stderr, "created topic %s: %lld partition%s\n", name, (long long)partitions,
                    partitions == 1 ? "" : "s");
        door_close(&door);
    }
    config_free(&config);
    return exit_code;
}

/* What growth means to those who use the topic. */
static void warn_growth(struct door *door, const struct door_topic *topic)
{
    char field[256];
    struct door_partition *rows = NULL;
    if (door->ops->topic_partitions(door, topic, 1, &rows, NULL) == 0 &&
        sum_up(rows, topic->partitions).records > 0)
        message("warning: keys move: from now on a record may go to another partition than earlier "
                "records of its key");
    if (door_config(door, topic->name, "weir.partitioned.by", field, sizeof field, NULL) == 0 &&
        field[0] != '\0')
        message("warning: weir.partitioned.by=%s no longer holds and is reset", field);
    free(rows);
}

/* The configuration is checked and set first, so that a refused key leaves the partitions alone. */
static int alter_topic(struct door *door, const char *name, const struct config *config,
                       int64_t partitions, struct diag *diag)
{
    struct door_topic topic;
    TRY(door->ops->topic_find(door, name, &topic, diag));
    if (partitions > 0 && topic.internal)
        return diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, with as many partitions "
                        "as its input has",
                        name);
    if (partitions > 0 && partitions <= topic.partitions)
        return door->ops->topic_grow(door, name, (int32_t)partitions, diag); /* says why not */
    if (config->count > 0)
        TRY(door->ops->topic_alter(door, name, config->entries, config->count, diag));
    if (partitions == 0)
        return 0;
    warn_growth(door, &topic);
    return door->ops->topic_grow(door, name, (int32_t)partitions, diag);
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
    struct door door;
    if (exit_code == 0)
        exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code == 0) {
        struct diag diag = {0};
        int code = alter_topic(&door, cli->arguments[0], &config, partitions, &diag);
        exit_code = code < 0 ? failed(code, &diag) : 0;
        door_close(&door);
    }
    config_free(&config);
    return exit_code;
}

static int run_delete(struct cli *cli)
{
    struct door door;
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    /* All must exist before the first goes. */
    struct diag diag = {0};
    int code = 0;
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = door.ops->topic_find(&door, cli->arguments[i], NULL, &diag);
    for (int i = 0; i < cli->argument_count && code == 0; i++)
        code = door.ops->topic_delete(&door, cli->arguments[i], &diag);
    if (code < 0)
        exit_code = failed(code, &diag);
    door_close(&door);
    return exit_code;
}

static void out_id(const char *id)
{
    if (id[0] != '\0')
        out_json_text(id);
    else
        out_text("null");
}

/* ---- list ---- */
enum list_form { LIST_TABLE, LIST_NAMES, LIST_JSON };

static void list_json(const struct door_topic *topic, const struct totals *totals)
{
    char bytes[24];
    told_or(bytes, totals->bytes, "null");
    out_text("{\"topic\":");
    out_json_text(topic->name);
    out_text(",\"id\":");
    out_id(topic->id);
    buf_printf(&out, ",\"partitions\":%d,\"records\":%lld,\"bytes\":%s,\"internal\":%s}\n",
               topic->partitions, (long long)totals->records, bytes,
               topic->internal ? "true" : "false");
}

static void list_row(enum list_form form, struct table *table, const struct door_topic *topic,
                     const struct totals *totals)
{
    char bytes[24];
    switch (form) {
    case LIST_NAMES:
        buf_printf(&out, "%s\n", topic->name);
        break;
    case LIST_JSON:
        list_json(topic, totals);
        break;
    case LIST_TABLE:
        told_or(bytes, totals->bytes, "-");
        table_cell(table, "%s", topic->name);
        table_cell(table, "%d", topic->partitions);
        table_cell(table, "%lld", (long long)totals->records);
        table_cell(table, "%s", bytes);
        break;
    }
}

static int list_topics(struct door *door, enum list_form form, struct diag *diag)
{
    static const char *const headers[] = {"TOPIC", ">PARTITIONS", ">RECORDS", ">BYTES"};
    struct door_topic *topics = NULL;
    struct door_partition *rows = NULL;
    struct table table;
    size_t count = 0, at = 0;
    table_init(&table, headers, 4);
    int code = door->ops->topic_list(door, &topics, &count, diag);
    if (code == 0 && form != LIST_NAMES)
        code = door->ops->topic_partitions(door, topics, count, &rows, diag);
    for (size_t i = 0; code == 0 && i < count; i++) {
        struct totals totals = {0};
        if (form != LIST_NAMES)
            totals = sum_up(rows + at, topics[i].partitions);
        at += (size_t)topics[i].partitions;
        list_row(form, &table, &topics[i], &totals);
    }
    table_print(&table, form == LIST_TABLE);
    free(rows);
    free(topics);
    return code;
}

static int run_list(struct cli *cli)
{
    int format =
        flag_choice(cli, "format", format_choices, 2, terminal(STDOUT_FILENO) ? FORMAT_TEXT : 2);
    if (format < 0)
        return EXIT_USAGE;
    enum list_form form = format == FORMAT_JSON   ? LIST_JSON
                          : format == FORMAT_TEXT ? LIST_TABLE
                                                  : LIST_NAMES;
    struct door door;
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = list_topics(&door, form, &diag);
    door_close(&door);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

/* ---- describe ---- */
struct describe {
    struct door *door;
    struct door_topic topic;
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
    const struct config_key *known = config_key_find(key);
    /* What cannot be otherwise is no news. */
    if (is_set || known == NULL || known->role == KEY_ACTS)
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

static void partition_json(const struct door_partition *row, int32_t index)
{
    char end[24], bytes[24], segments[24];
    told_or(end, row->end, "null");
    told_or(bytes, row->bytes, "null");
    told_or(segments, row->segments, "null");
    buf_printf(&out,
               "%s{\"partition\":%d,\"start_offset\":%lld,\"last_stable_offset\":%lld,\"high_"
               "watermark\":%lld,\"end_offset\":%s,\"bytes\":%s,\"segments\":%s,\"status\":",
               index > 0 ? "," : "", index, (long long)row->start, (long long)row->stable,
               (long long)row->high_watermark, end, bytes, segments);
    out_json_text(row->status);
    out_text("}");
}

static void partition_cells(struct table *table, const struct door_partition *row, int32_t index)
{
    char bytes[24], segments[24];
    told_or(bytes, row->bytes, "-");
    told_or(segments, row->segments, "-");
    table_cell(table, "%d", index);
    table_cell(table, "%lld", (long long)row->start);
    table_cell(table, "%lld", (long long)row->stable);
    table_cell(table, "%lld", (long long)row->high_watermark);
    table_cell(table, "%s", bytes);
    table_cell(table, "%s", segments);
    table_cell(table, "%s", row->status);
}

static void describe_head(const struct describe *d)
{
    const struct door_topic *topic = &d->topic;
    if (d->json) {
        out_text("{\"topic\":");
        out_json_text(topic->name);
        out_text(",\"id\":");
        out_id(topic->id);
        buf_printf(&out, ",\"internal\":%s,\"partitions\":[", topic->internal ? "true" : "false");
    } else {
        buf_printf(&out, "%s  id %s, %d partition%s%s\n", topic->name,
                   topic->id[0] != '\0' ? topic->id : "-", topic->partitions,
                   topic->partitions == 1 ? "" : "s", topic->internal ? ", internal" : "");
    }
}

static int describe_configs(struct describe *d, struct diag *diag)
{
    const char *name = d->topic.name;
    d->first = true;
    if (!d->json)
        return d->door->ops->topic_configs(d->door, name, config_line, d, diag);
    out_text("],\"config\":{");
    TRY(d->door->ops->topic_configs(d->door, name, config_json, d, diag));
    out_text("},\"config_set\":[");
    d->first = true;
    TRY(d->door->ops->topic_configs(d->door, name, set_key_json, d, diag));
    out_text("]}\n");
    return 0;
}

static int describe_topic(struct describe *d, const char *name, struct diag *diag)
{
    static const char *const headers[] = {">PARTITION", ">START",    ">STABLE", ">HIGH-WATERMARK",
                                          ">BYTES",     ">SEGMENTS", "STATUS"};
    struct door_partition *rows = NULL;
    struct table table;
    TRY(d->door->ops->topic_find(d->door, name, &d->topic, diag));
    table_init(&table, headers, 7);
    int code = d->door->ops->topic_partitions(d->door, &d->topic, 1, &rows, diag);
    if (code == 0)
        describe_head(d);
    for (int32_t i = 0; i < d->topic.partitions && code == 0; i++) {
        if (d->json)
            partition_json(&rows[i], i);
        else
            partition_cells(&table, &rows[i], i);
    }
    table_print(&table, !d->json && code == 0);
    free(rows);
    return code < 0 ? code : describe_configs(d, diag);
}

static int run_describe(struct cli *cli)
{
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    struct door door;
    struct describe d = {.door = &door, .json = format == FORMAT_JSON};
    int exit_code = door_open(cli, DATA_MUST_EXIST, &door);
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
    door_close(&door);
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
    .reach = REACHES_KAFKA,
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
    .reach = REACHES_KAFKA,
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
    .reach = REACHES_KAFKA,
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
    .reach = REACHES_KAFKA,
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
    .reach = REACHES_KAFKA,
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
