/* cli_topic_import.c: weir topic import: records from NDJSON, or segments from files.
 *
 * NDJSON: the lines of weir topic export, or such as are made by hand (import_line.c). A record
 * goes to the partition that its line names; with --repartition, or without a partition in the
 * line, to that of its key. Offsets are given anew.
 *
 * A bad line ends the import, with its number. A topic that the import made is deleted again then,
 * so that there is all of it or nothing; a topic that was there keeps the records of the lines
 * before (batches are visible to readers once they are flushed; to take them back is not in a log's
 * power).
 *
 * Segments: topic_segments.c. */
#include "runtime/cli/import_line.h"
#include "runtime/cli/line_reader.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/topic_segments.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PARTITIONED_BY   "weir.partitioned.by"
#define LINE_LIMIT_BYTES ((size_t)1 << 30)

struct import {
    struct log *log;
    const char *topic;
    int fd;
    bool repartition, made;
    int64_t asked_partitions; /* 0: not said */
    int32_t partitions;
    struct sender *sender;
    struct line_reader reader;
    struct import_line line;
    int64_t records;
};

/* The topic, made where there is none. */
static int open_topic(struct import *i, struct diag *diag)
{
    struct topic_info info;
    char field[1024];
    int code = topic_describe(i->log, i->topic, &info, NULL);
    if (code == ERR_NOT_FOUND) {
        i->partitions = i->asked_partitions > 0 ? (int32_t)i->asked_partitions : 1;
        TRY(topic_create(i->log, i->topic, i->partitions, NULL, 0, diag));
        i->made = true;
        return 0;
    }
    TRY(topic_describe(i->log, i->topic, &info, diag));
    if (info.internal)
        return diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, and records that are not "
                        "its own would break the job",
                        i->topic);
    if (i->asked_partitions > 0 && i->asked_partitions != info.partitions)
        return diag_set(diag, ERR_EXISTS,
                        "topic %s has %d partition%s, not %" PRId64 ": leave --partitions out",
                        i->topic, info.partitions, info.partitions == 1 ? "" : "s",
                        i->asked_partitions);
    i->partitions = info.partitions;
    if (topic_config_get(i->log, i->topic, PARTITIONED_BY, field, sizeof field) == 0 &&
        field[0] != '\0') { /* lines say where they go: the promise cannot be kept */
        struct config_entry none = {PARTITIONED_BY, NULL};
        TRY(topic_alter(i->log, i->topic, &none, 1, diag));
    }
    return 0;
}

static int send_line(struct import *i, struct bytes text, struct diag *diag)
{
    struct import_line *line = &i->line;
    TRY(import_line_read(line, text, diag));
    int32_t partition = i->repartition ? -1 : line->partition;
    if (partition >= i->partitions)
        return diag_set(diag, ERR_RANGE,
                        "partition %d, but topic %s has %d: --partitions for a new topic, or "
                        "--repartition to go by the keys",
                        partition, i->topic, i->partitions);
    struct bytes headers = bytes_of(line->headers.data, line->headers.size);
    TRY(sender_send(i->sender, partition, line->timestamp_ms, line->key, line->value, headers,
                    line->header_count, diag));
    i->records++;
    return 0;
}

static int read_lines(struct import *i, struct diag *diag)
{
    struct bytes text;
    while (!i->reader.ended || line_reader_waiting(&i->reader) > 0) {
        int code;
        while ((code = line_reader_next(&i->reader, &text)) == 1)
            if (text.size > 0)
                TRY(send_line(i, text, diag));
        if (code == ERR_TOO_LARGE) {
            i->reader.line_count++;
            return diag_set(diag, ERR_TOO_LARGE, "over %zu bytes", LINE_LIMIT_BYTES);
        }
        if (interrupted())
            return diag_set(diag, ERR_STOPPED, "interrupted");
        if (!i->reader.ended && line_reader_fill(&i->reader) < 0)
            return diag_errno(diag, "cannot read the input");
    }
    return 0;
}

/* The first failure is reported; what was sent before it is stored, or gone with the topic. */
static int import_lines(struct import *i, struct diag *diag)
{
    struct diag why = {0}, late = {0};
    TRY(open_topic(i, diag));
    int code = sender_open(i->log, i->topic, NULL, &i->sender, &why);
    if (code == 0) {
        code = read_lines(i, &why);
        if (code < 0) {
            char text[sizeof why.text];
            snprintf(text, sizeof text, "%s", why.text);
            diag_set(&why, code, "line %" PRId64 ": %s", i->reader.line_count, text);
        }
        int flushed = sender_flush(i->sender, true, &late);
        if (code == 0 && flushed < 0) {
            code = flushed;
            diag_set(&why, code, "at or before line %" PRId64 ": %s", i->reader.line_count,
                     late.text[0] != '\0' ? late.text : error_text(code));
        }
        sender_close(i->sender);
    }
    if (code == 0)
        return 0;
    bool gone = i->made && topic_delete(i->log, i->topic, NULL) == 0;
    return diag_set(diag, code, "%s; %s", why.text,
                    gone      ? "the topic was not made"
                    : i->made ? "the topic stays, incomplete"
                              : "the topic keeps the records of the lines before");
}

static int open_input(struct import *i, const char *from, struct diag *diag)
{
    if (strcmp(from, "-") == 0) {
        i->fd = STDIN_FILENO;
        return 0;
    }
    i->fd = open(from, O_RDONLY | O_CLOEXEC);
    return i->fd >= 0 ? 0 : diag_errno(diag, "cannot read %s", from);
}

static int run_import(struct cli *cli)
{
    struct import i = {.topic = cli->arguments[0], .repartition = flag_is_on(cli, "repartition")};
    const char *from = flag_text(cli, "from");
    struct diag diag = {0};
    int exit_code = flag_number(cli, "partitions", 1, 10000, 0, &i.asked_partitions);
    if (exit_code != 0)
        return exit_code;
    const char *segments = flag_text(cli, "segments");
    if (segments != NULL &&
        (from != NULL || i.repartition || i.asked_partitions > 0 || segments[0] == '\0'))
        return usage_error(cli, "--segments DIR goes alone");
    if (segments != NULL)
        return topic_segments_import(cli, segments);
    if (from == NULL || from[0] == '\0')
        return usage_error(cli, "--from is missing: a FILE, or - for the standard input; or "
                                "--segments DIR");
    int code = topic_name_check(i.topic, &diag);
    if (code == 0)
        code = open_input(&i, from, &diag);
    if (code < 0)
        return failed(code, &diag);
    exit_code = data_open(cli, DATA_MAY_CREATE, &i.log);
    if (exit_code == 0) {
        interrupt_install();
        import_line_init(&i.line);
        code = line_reader_init(&i.reader, i.fd, LINE_LIMIT_BYTES);
        if (code == 0)
            code = import_lines(&i, &diag);
        line_reader_deinit(&i.reader);
        import_line_deinit(&i.line);
        log_close(i.log);
        if (code == 0)
            fprintf(stderr, "%s: %" PRId64 " records imported\n", i.topic, i.records);
        else /* a bad line is the input's fault, not the command line's */
            exit_code = failed(code == ERR_INVALID ? ERR_STATE : code, &diag);
        if (code < 0 && interrupted())
            exit_code = EXIT_INTERRUPTED;
    }
    if (i.fd != STDIN_FILENO)
        close(i.fd);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag import_flags[] = {
    {"from", "FILE", "a file of lines, or - for the standard input", false, 0},
    {"partitions", "N", "of a topic that is made [1]", false, 0},
    {"segments", "DIR", "instead of lines: segment files, Kafka's too", false, 0},
    {"repartition", NULL, "by each record's key, whatever partition its line names", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_import = {
    .noun = "topic",
    .verb = "import",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "add the records of an export, or segments, to a topic",
    .examples = "  weir topic import orders --from orders.ndjson --partitions 4\n"
                "  weir topic export orders --to - --data old | weir topic import orders --from - "
                "--repartition --partitions 16\n"
                "  weir topic import orders --segments /var/lib/kafka/copy-of-orders\n",
    .details =
        "The lines are those of 'weir topic export'; only \"value\" must be there. Keys, values, "
        "headers and times are kept, offsets are new.\nA bad line ends the import: a topic that "
        "it made goes again, one that was there keeps the lines before.\n"
        "--segments: DIR holds <topic>-<partition> directories of one topic, as 'weir topic export "
        "--segments' and Kafka make them. Offsets\nare kept, so the topic must have no records; "
        "all of it comes in, or nothing. A compacted topic is made first, with\n"
        "cleanup.policy=compact.\n",
    .flags = import_flags,
    .run = run_import,
};
