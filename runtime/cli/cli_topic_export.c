/* cli_topic_export.c: weir topic export: a topic's records as NDJSON, or its segments as files.
 *
 * NDJSON: what a reader of committed records sees, partition by partition in offset order, each as
 * a line from which the very same record can be made (consume_format.h). It ends where each
 * partition ended when the command began. A file is written beside its name and takes the name when
 * it is complete and on the disk; so a failed export leaves nothing.
 *
 * Of a directory that is served, and with -b, the records come from the server as a reader gets them (source.h): which of them, and their lines, are the same.
 *
 * Segments: topic_segments.c. */
#include "runtime/base/clock.h"
#include "runtime/base/io.h"
#include "runtime/records/consume_format.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/remote.h"
#include "runtime/cli/source.h"
#include "runtime/cli/topic_segments.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FETCH_BYTES = 4 << 20, WRITE_BYTES = 1 << 20, WAIT_MS = 100 };

/* What is exported of a partition of a server. */
struct span {
    int64_t position, end;
};

struct export
{
    struct door door;
    const char *topic;
    const char *path; /* NULL: stdout */
    char *partial;    /* path.partial */
    int fd;
    int64_t position; /* in the file */
    int64_t records;
    bool stopped;       /* nobody reads the output any more */
    int64_t only;       /* partition; -1: all */
    struct span *spans; /* by partition; of a server */
    int32_t span_count;
    int code; /* of the callback that makes them */
    struct diag diag;
};

static int write_out(struct export *e, struct diag *diag)
{
    if (e->path == NULL) {
        int code = out_flush();
        e->stopped = code == ERR_STOPPED;
        return code == ERR_IO ? diag_set(diag, ERR_IO, "the output could not be written") : 0;
    }
    if (!buf_ok(&out))
        return diag_set(diag, ERR_NOMEM, "no memory for the output");
    int code = io_pwrite(e->fd, out.data, out.size, e->position, diag);
    e->position += (int64_t)out.size;
    buf_clear(&out);
    return code;
}

static int put_fetch(struct export *e, struct fetch_reader *reader, int32_t index, int64_t end,
                     struct diag *diag)
{
    struct record record;
    int code;
    while ((code = fetch_reader_next(reader, &record)) == 1 && record.offset < end) {
        consume_put_lossless(&out, index, &record);
        e->records++;
        if (out.size >= WRITE_BYTES || !buf_ok(&out))
            TRY(write_out(e, diag));
        if (e->stopped)
            return 0;
    }
    return code < 0 ? diag_set(diag, code,
                               "%s-%d: a batch cannot be decoded; 'weir topic verify' says more",
                               e->topic, index)
                    : 0;
}

static int export_partition(struct export *e, int32_t index, struct diag *diag)
{
    struct partition *partition;
    struct partition_offsets offsets;
    struct fetch fetch;
    struct fetch_reader reader;
    TRY(partition_get(e->door.log, e->topic, index, &partition, diag));
    partition_offsets(partition, &offsets);
    fetch_init(&fetch);
    fetch_reader_init(&reader);
    int code = partition_status(partition, diag);
    for (int64_t at = offsets.start; code == 0 && at < offsets.stable && !e->stopped;) {
        code = interrupted() ? diag_set(diag, ERR_STOPPED, "interrupted") : 0;
        if (code == 0)
            code = partition_fetch(partition, at, READ_COMMITTED, FETCH_BYTES, &fetch, diag);
        if (code < 0 || fetch.next_offset == at)
            break;
        fetch_reader_start(&reader, &fetch, at);
        code = put_fetch(e, &reader, index, offsets.stable, diag);
        at = fetch.next_offset;
    }
    fetch_reader_deinit(&reader);
    fetch_deinit(&fetch);
    return code;
}

/* ---- from a server ---- */

/* Where each partition begins and ends now. */
static void assigned(void *context, struct source *source, const int32_t *partitions, size_t count)
{
    struct export *e = context;
    for (size_t i = 0; i < count && e->code == 0; i++) {
        int32_t index = partitions[i];
        if (index >= e->span_count) {
            struct span *spans = realloc(e->spans, ((size_t)index + 1) * sizeof *spans);
            if (spans == NULL) {
                e->code = diag_set(&e->diag, ERR_NOMEM, "no memory for %d partitions", index + 1);
                return;
            }
            e->spans = spans;
            while (e->span_count <= index)
                e->spans[e->span_count++] = (struct span){0, 0};
        }
        struct span *span = &e->spans[index];
        e->code = source->ops->bounds(source, index, &span->position, &span->end, &e->diag);
        if (e->code == 0 && span->position < span->end)
            e->code = source->ops->begin(source, index, span->position, &e->diag);
    }
}

static int put_records(struct export *e, int32_t index, const struct record *records, int64_t count,
                       struct diag *diag)
{
    struct span *span = &e->spans[index];
    for (int64_t i = 0; i < count && !e->stopped; i++) {
        if (records[i].offset >= span->end) {
            span->position = span->end;
            return 0;
        }
        consume_put_lossless(&out, index, &records[i]);
        e->records++;
        span->position = records[i].offset + 1;
        if (out.size >= WRITE_BYTES || !buf_ok(&out))
            TRY(write_out(e, diag));
    }
    return 0;
}

static int export_span(struct export *e, struct source *source, int32_t index, struct diag *diag)
{
    struct span *span = &e->spans[index];
    int64_t patience_ms = e->door.remote->reach.timeout_ms, moved_ms = clock_mono_ms();
    while (span->position < span->end && !e->stopped) {
        const struct record *records;
        int64_t before = span->position, next = before;
        if (interrupted())
            return diag_set(diag, ERR_STOPPED, "interrupted");
        TRY(source->ops->take_part(source, diag));
        int64_t count = source->ops->read(source, index, before, &records, &next, diag);
        if (count < 0)
            return (int)count;
        TRY(put_records(e, index, records, count, diag));
        if (count == 0)
            span->position = next; /* markers, aborted records */
        if (span->position > before) {
            moved_ms = clock_mono_ms();
            continue;
        }
        if (clock_mono_ms() - moved_ms > patience_ms)
            return diag_set(diag, ERR_TIMEOUT,
                            "%s-%d: the records from offset %" PRId64 " on do not come", e->topic,
                            index, before);
        clock_sleep_until(clock_mono_ns() + (int64_t)WAIT_MS * 1000000);
    }
    return 0;
}

static int export_served(struct export *e, struct diag *diag)
{
    struct source *source = NULL;
    struct source_options options = {.topic = e->topic,
                                     .only = (int32_t)e->only,
                                     .isolation = READ_COMMITTED,
                                     .assigned = assigned,
                                     .context = e};
    int code = source_open(&e->door, &options, &source, diag);
    if (code == 0 && e->code < 0) {
        *diag = e->diag;
        code = e->code;
    }
    for (int32_t i = 0; code == 0 && i < e->span_count && !e->stopped; i++)
        code = export_span(e, source, i, diag);
    source_close(source);
    free(e->spans);
    return code < 0 ? code : write_out(e, diag);
}

/* ---- from the directory ---- */

static int export_topic(struct export *e, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(e->door.log, e->topic, &info, diag));
    if (e->only >= info.partitions)
        return diag_set(diag, ERR_NOT_FOUND, "topic %s has partitions 0 to %d, not %" PRId64,
                        e->topic, info.partitions - 1, e->only);
    for (int32_t i = 0; i < info.partitions && !e->stopped; i++)
        if (e->only < 0 || i == e->only)
            TRY(export_partition(e, i, diag));
    return write_out(e, diag);
}

/* ---- the file ---- */

static int file_begin(struct export *e, struct diag *diag)
{
    if (e->path == NULL)
        return 0;
    if (access(e->path, F_OK) == 0)
        return diag_set(diag, ERR_EXISTS, "%s exists already: name another file, or remove it",
                        e->path);
    if (asprintf(&e->partial, "%s.partial", e->path) < 0) {
        e->partial = NULL;
        return diag_set(diag, ERR_NOMEM, "no memory for a file's name");
    }
    return io_open(e->partial, O_WRONLY | O_CREAT | O_TRUNC, 0644, &e->fd, diag);
}

/* The name is taken without replacing a file that appeared meanwhile. */
static int file_end(struct export *e, struct diag *diag)
{
    if (e->path == NULL)
        return 0;
    TRY(io_fdatasync(e->fd, diag));
    if (link(e->partial, e->path) != 0)
        return diag_errno(diag, "cannot name the export %s", e->path);
    (void)unlink(e->partial);
    return 0;
}

static int export_ndjson(struct export *e, struct diag *diag)
{
    int code = file_begin(e, diag);
    if (code == 0)
        code = e->door.remote != NULL ? export_served(e, diag) : export_topic(e, diag);
    if (code == 0)
        code = file_end(e, diag);
    if (code < 0 && e->fd >= 0)
        (void)unlink(e->partial);
    if (e->fd >= 0)
        io_close(e->fd);
    free(e->partial);
    return code;
}

static int run_export(struct cli *cli)
{
    struct export e = {.topic = cli->arguments[0], .fd = -1};
    const char *to = flag_text(cli, "to");
    int exit_code = flag_number(cli, "partition", 0, 9999, -1, &e.only);
    if (exit_code != 0)
        return exit_code;
    const char *segments = flag_text(cli, "segments");
    if (segments != NULL && (to != NULL || e.only >= 0 || segments[0] == '\0'))
        return usage_error(cli, "--segments DIR goes alone");
    if (segments != NULL && flag_text(cli, "bootstrap") != NULL &&
        (flag_is_typed(cli, "bootstrap") || !flag_is_typed(cli, "data")))
        return usage_error(cli, "--segments copies files of a directory: it does not take -b");
    if (segments != NULL)
        return topic_segments_export(cli, segments);
    if (to == NULL || to[0] == '\0')
        return usage_error(cli, "--to is missing: a FILE, or - for the standard output; or "
                                "--segments DIR");
    e.path = strcmp(to, "-") == 0 ? NULL : to;
    exit_code = door_open(cli, DATA_MUST_EXIST, &e.door);
    if (exit_code != 0) {
        door_close(&e.door);
        return exit_code;
    }
    struct diag diag = {0};
    interrupt_install();
    int code = export_ndjson(&e, &diag);
    if (code < 0)
        buf_clear(&out);
    bool is_served = e.door.remote != NULL;
    door_close(&e.door);
    if (code < 0 && interrupted())
        return EXIT_INTERRUPTED;
    if (code < 0) {
        int exit_failed = failed(code, &diag);
        if (!is_served)
            hint_damage(code, e.topic);
        return exit_failed;
    }
    if (!e.stopped)
        fprintf(stderr, "%s: %" PRId64 " records exported\n", e.topic, e.records);
    return EXIT_OK;
}

/* ---- the table ---- */
static const struct flag export_flags[] = {
    {"to", "FILE", "a new file, or - for the standard output", false, 0},
    {"partition", "N", "only this partition", false, 0},
    {"segments", "DIR", "instead of lines: Kafka's segment files, into a new directory", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_export = {
    .noun = "topic",
    .verb = "export",
    .arguments = "NAME",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "write a topic's records to a file",
    .examples = "  weir topic export orders --to orders.ndjson\n"
                "  weir topic export orders --to - | gzip > orders.ndjson.gz\n"
                "  weir topic export orders --segments copy\n",
    .details =
        "A line per committed record: "
        "{\"partition\",\"offset\",\"timestamp\",\"key\",\"value\",\"headers\"}. "
        "Keys, values and headers are strings\nof their bytes, null, or {\"base64\":\"…\"} when "
        "they are not UTF-8; headers are [name, value] pairs. 'weir topic import' makes the\n"
        "very same records of them. Nothing is left of an export that fails.\n",
    .flags = export_flags,
    .reach = REACHES_KAFKA,
    .run = run_export,
};
