/* cli_topic_clean.c: weir topic clean: one pass of house-keeping, now.
 *
 * What the log does for itself in the background (retention, compaction, expiry), done at once for the named topics or for
 * all, with a line per topic that says what went. Compaction is done whether it is due or not. Configuration decides what may
 * go, as in the background: there is nothing here that removes more. */
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *name, *header;
    size_t offset;
} fields[] = {
#define FIELD(name, header)                                                                        \
    {                                                                                              \
#name, header, offsetof(struct keeper_report, name)                                        \
    }
    FIELD(segments_deleted, ">SEGMENTS-DELETED"),
    FIELD(bytes_deleted, ">BYTES-DELETED"),
    FIELD(partitions_compacted, ">COMPACTED"),
    FIELD(bytes_read, ">BYTES-READ"),
    FIELD(bytes_written, ">BYTES-WRITTEN"),
    FIELD(records_kept, ">KEPT"),
    FIELD(records_removed, ">REMOVED"),
    FIELD(tombstones_removed, ">TOMBSTONES"),
    FIELD(markers_removed, ">MARKERS"),
    FIELD(keyless_removed, ">KEYLESS"),
    FIELD(duration_ns, NULL),
#undef FIELD
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields, COLUMN_COUNT = FIELD_COUNT };

static int64_t field_of(const struct keeper_report *report, size_t i)
{
    int64_t value;
    memcpy(&value, (const char *)report + fields[i].offset, sizeof value);
    return value;
}

static void put_report(struct table *table, bool json, const char *topic,
                       const struct keeper_report *report)
{
    if (!json) {
        table_cell(table, "%s", topic);
        for (size_t i = 0; i < FIELD_COUNT; i++)
            if (fields[i].header != NULL)
                table_cell(table, "%" PRId64, field_of(report, i));
        return;
    }
    out_text("{\"topic\":");
    out_json_text(topic);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        buf_printf(&out, ",\"%s\":%" PRId64, fields[i].name, field_of(report, i));
    out_text("}\n");
}

static int clean_one(struct log *log, const char *topic, struct table *table, bool json)
{
    struct keeper_report report = {0};
    struct diag diag = {0};
    int code = topic_clean(log, topic, 0, &report, &diag);
    if (code == ERR_NOT_FOUND)
        return failed(code, &diag);
    put_report(table, json, topic, &report); /* what was done, also when something failed */
    return code < 0 ? failed(code, &diag) : 0;
}

static int clean_all(struct log *log, const struct cli *cli, struct table *table, bool json)
{
    struct topic_info *topics = NULL;
    size_t count = 0;
    int exit_code = 0;
    for (int i = 0; exit_code == 0 && i < cli->argument_count; i++)
        exit_code = clean_one(log, cli->arguments[i], table, json);
    if (cli->argument_count > 0)
        return exit_code;
    if (topic_list(log, &topics, &count) < 0)
        return failed(ERR_NOMEM, NULL);
    for (size_t i = 0; i < count; i++) {
        int code = clean_one(log, topics[i].name, table, json);
        exit_code = exit_code == 0 ? code : exit_code; /* the others are cleaned all the same */
    }
    free(topics);
    return exit_code;
}

static int run_topic_clean(struct cli *cli)
{
    const char *headers[COLUMN_COUNT] = {"TOPIC"};
    int columns = 1;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].header != NULL)
            headers[columns++] = fields[i].header;
    int format = flag_choice(cli, "format", format_choices, 2,
                             terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    struct log *log;
    struct table table;
    int exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    int code = log_status(log, &diag);
    table_init(&table, headers, columns);
    exit_code = code < 0 ? failed(code, &diag) : clean_all(log, cli, &table, format == FORMAT_JSON);
    table_print(&table, format != FORMAT_JSON);
    log_close(log);
    return exit_code;
}

static const struct flag topic_clean_flags[] = {
    {"format", "FORMAT", "text or json [text on a terminal, else json]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_clean = {
    .noun = "topic",
    .verb = "clean",
    .arguments = "[NAME …]",
    .min_arguments = 0,
    .max_arguments = 1000,
    .summary = "apply retention and compaction now, and say what went",
    .examples = "  weir topic clean\n"
                "  weir topic clean orders --format json\n",
    .details =
        "A running process does this by itself. Retention removes whole segments by "
        "retention.ms (from when they were last\nwritten) and retention.bytes; compaction keeps "
        "the last record of each key. Without NAME all topics are cleaned.\n",
    .flags = topic_clean_flags,
    .run = run_topic_clean,
};
