/* cli_log.c: weir log describe: what lies in the data directory, partition by partition.
 *
 * The place where damage shows: a stopped partition has its reason, with file and byte, under the
 * table (in json: in its object). Times are of records (first, last) and of the broker's own clock
 * (last write), which is what retention goes by. */
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct describe {
    struct log *log;
    bool json, with_segments;
    struct table table;
    struct buf reasons; /* lines about stopped partitions */
    int64_t topics, partitions, stopped, segments, bytes, other_bytes;
};

/* ISO 8601, UTC, milliseconds; "-" for none. */
static void time_text(int64_t ms, char text[40])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    int rest = (int)(ms - (int64_t)seconds * 1000);
    struct tm parts;
    char date[32];
    if (ms == INT64_MIN)
        snprintf(text, 40, "-");
    else if (gmtime_r(&seconds, &parts) == NULL ||
             strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        snprintf(text, 40, "%" PRId64, ms);
    else
        snprintf(text, 40, "%s.%03dZ", date, rest);
}

static void json_time(const char *name, int64_t ms)
{
    buf_printf(&out, ms == INT64_MIN ? ",\"%s\":null" : ",\"%s\":%" PRId64, name, ms);
}

static void json_segments(const struct partition_description *d)
{
    out_text(",\"segment_list\":[");
    for (size_t i = 0; i < d->segment_count; i++) {
        const struct segment_description *s = &d->segments[i];
        buf_printf(&out, "%s{\"base_offset\":%" PRId64, i > 0 ? "," : "", s->base_offset);
        buf_printf(&out, s->end_offset < 0 ? ",\"end_offset\":null" : ",\"end_offset\":%" PRId64,
                   s->end_offset);
        buf_printf(&out, ",\"bytes\":%" PRId64, s->bytes);
        json_time("first_timestamp", s->first_timestamp_ms);
        json_time("last_timestamp", s->max_timestamp_ms);
        json_time("last_write", s->last_write_ms);
        buf_printf(&out, ",\"active\":%s}", s->active ? "true" : "false");
    }
    out_text("]");
}

static void json_partition(const struct describe *describe, const char *topic, int32_t index,
                           const struct partition_description *d)
{
    out_text("{\"topic\":");
    out_json_text(topic);
    buf_printf(&out, ",\"partition\":%d,\"status\":", index);
    out_json_text(d->status < 0 ? "stopped" : "ok");
    out_text(",\"reason\":");
    if (d->status < 0)
        out_json_text(d->reason.text);
    else
        out_text("null");
    buf_printf(&out,
               ",\"bytes\":%" PRId64 ",\"other_bytes\":%" PRId64 ",\"segments\":%zu"
               ",\"start_offset\":%" PRId64 ",\"last_stable_offset\":%" PRId64
               ",\"high_watermark\":%" PRId64 ",\"end_offset\":%" PRId64,
               d->bytes, d->other_bytes, d->segment_count, d->offsets.start, d->offsets.stable,
               d->offsets.high_watermark, d->offsets.end);
    json_time("first_timestamp", d->first_timestamp_ms);
    json_time("last_timestamp", d->max_timestamp_ms);
    json_time("last_write", d->last_write_ms);
    if (describe->with_segments)
        json_segments(d);
    out_text("}\n");
}

static void segment_rows(struct table *table, const char *topic, int32_t index,
                         const struct partition_description *d)
{
    for (size_t i = 0; i < d->segment_count; i++) {
        const struct segment_description *s = &d->segments[i];
        char first[40], last[40], written[40];
        time_text(s->first_timestamp_ms, first);
        time_text(s->max_timestamp_ms, last);
        time_text(s->last_write_ms, written);
        table_cell(table, "%s", topic);
        table_cell(table, "%d", index);
        table_cell(table, "%020" PRId64 ".log%s", s->base_offset, s->active ? " (active)" : "");
        table_cell(table, "%" PRId64, s->bytes);
        if (s->end_offset < 0)
            table_cell(table, "-");
        else
            table_cell(table, "%" PRId64, s->end_offset);
        table_cell(table, "%s", first);
        table_cell(table, "%s", last);
        table_cell(table, "%s", written);
    }
}

static void partition_row(struct table *table, const char *topic, int32_t index,
                          const struct partition_description *d)
{
    char first[40], last[40], written[40];
    time_text(d->first_timestamp_ms, first);
    time_text(d->max_timestamp_ms, last);
    time_text(d->last_write_ms, written);
    table_cell(table, "%s", topic);
    table_cell(table, "%d", index);
    table_cell(table, "%s", d->status < 0 ? "STOPPED" : "ok");
    table_cell(table, "%" PRId64, d->bytes);
    table_cell(table, "%zu", d->segment_count);
    table_cell(table, "%" PRId64, d->offsets.start);
    table_cell(table, "%" PRId64, d->offsets.stable);
    table_cell(table, "%" PRId64, d->offsets.high_watermark);
    table_cell(table, "%" PRId64, d->offsets.end);
    table_cell(table, "%s", first);
    table_cell(table, "%s", last);
    table_cell(table, "%s", written);
}

static int describe_partition(struct describe *describe, const char *topic, int32_t index,
                              struct diag *diag)
{
    struct partition *partition;
    struct partition_description d = {0};
    TRY(partition_get(describe->log, topic, index, &partition, diag));
    int code = partition_describe(partition, &d, diag);
    if (code == 0) {
        if (describe->json)
            json_partition(describe, topic, index, &d);
        else if (describe->with_segments)
            segment_rows(&describe->table, topic, index, &d);
        else
            partition_row(&describe->table, topic, index, &d);
        if (d.status < 0)
            buf_printf(&describe->reasons, "%s-%d is stopped: %s\n", topic, index, d.reason.text);
        describe->partitions++;
        describe->stopped += d.status < 0;
        describe->segments += (int64_t)d.segment_count;
        describe->bytes += d.bytes;
        describe->other_bytes += d.other_bytes;
    }
    partition_description_deinit(&d);
    return code;
}

static int describe_topic(struct describe *describe, const char *name, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(describe->log, name, &info, diag));
    describe->topics++;
    for (int32_t i = 0; i < info.partitions; i++)
        TRY(describe_partition(describe, name, i, diag));
    return 0;
}

static int describe_named(struct describe *describe, const struct cli *cli, struct diag *diag)
{
    if (cli->argument_count > 0) {
        for (int i = 0; i < cli->argument_count; i++) /* all must exist before any is shown */
            TRY(topic_describe(describe->log, cli->arguments[i], NULL, diag));
        for (int i = 0; i < cli->argument_count; i++)
            TRY(describe_topic(describe, cli->arguments[i], diag));
        return 0;
    }
    struct topic_info *topics = NULL;
    size_t count = 0;
    int code = topic_list(describe->log, &topics, &count);
    for (size_t i = 0; i < count && code == 0; i++)
        code = describe_topic(describe, topics[i].name, diag);
    free(topics);
    return code;
}

static void put_totals(const struct describe *d)
{
    if (d->json) {
        buf_printf(&out,
                   "{\"totals\":{\"topics\":%" PRId64 ",\"partitions\":%" PRId64
                   ",\"stopped\":%" PRId64 ",\"segments\":%" PRId64 ",\"bytes\":%" PRId64
                   ",\"other_bytes\":%" PRId64 "}}\n",
                   d->topics, d->partitions, d->stopped, d->segments, d->bytes, d->other_bytes);
        return;
    }
    buf_append(&out, d->reasons.data, d->reasons.size);
    buf_printf(&out,
               "topics %" PRId64 ", partitions %" PRId64 " (stopped %" PRId64 "), segments %" PRId64
               ", bytes %" PRId64 " and %" PRId64 " of indexes and other files\n",
               d->topics, d->partitions, d->stopped, d->segments, d->bytes, d->other_bytes);
}

static int run_describe(struct cli *cli)
{
    static const char *const headers[] = {"TOPIC",     ">PARTITION", "STATUS",  ">BYTES",
                                          ">SEGMENTS", ">START",     ">STABLE", ">HIGH-WATERMARK",
                                          ">END",      "FIRST",      "LAST",    "LAST-WRITE"};
    static const char *const segment_headers[] = {"TOPIC", ">PARTITION", "SEGMENT", ">BYTES",
                                                  ">END",  "FIRST",      "LAST",    "LAST-WRITE"};
    int format = flag_choice(cli, "format", format_choices, 2, FORMAT_TEXT);
    if (format < 0)
        return EXIT_USAGE;
    struct describe describe = {.json = format == FORMAT_JSON,
                                .with_segments = flag_is_on(cli, "segments")};
    int exit_code = data_open(cli, DATA_MUST_EXIST, &describe.log);
    if (exit_code != 0)
        return exit_code;
    struct diag diag = {0};
    if (describe.with_segments)
        table_init(&describe.table, segment_headers, 8);
    else
        table_init(&describe.table, headers, 12);
    buf_init(&describe.reasons, 0);
    int code = describe_named(&describe, cli, &diag);
    table_print(&describe.table, !describe.json && code == 0);
    if (code == 0)
        put_totals(&describe);
    buf_deinit(&describe.reasons);
    log_close(describe.log);
    return code < 0 ? failed(code, &diag) : EXIT_OK;
}

/* ---- the table ---- */
static const struct flag describe_flags[] = {
    {"segments", NULL, "a row per segment", false, 0},
    {"format", "FORMAT", "text or json [text]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_log_describe = {
    .noun = "log",
    .verb = "describe",
    .arguments = "[TOPIC…]",
    .min_arguments = 0,
    .max_arguments = CLI_ARGUMENTS_MAX,
    .summary = "bytes, segments, offsets, times and damage of partitions",
    .examples = "  weir log describe\n"
                "  weir log describe orders --segments\n"
                "  weir log describe --format json | jq 'select(.status == \"stopped\")'\n",
    .details =
        "FIRST is the time of the first record in the oldest segment, LAST the largest record "
        "time, "
        "LAST-WRITE the clock's\n"
        "time of the last append. BYTES counts .log files. A partition that damage stopped is "
        "STOPPED, and its reason, with\n"
        "file and byte, follows the table. json: an object per partition, then one of totals; "
        "times are epoch milliseconds.\n",
    .flags = describe_flags,
    .run = run_describe,
};
