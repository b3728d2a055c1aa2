/* cli_consume.c: weir consume: the records of a topic on standard output.
 *
 * Each partition is a cursor: the position to read next and, when the command ends by itself, the
 * end it had at the start. A round reads every partition as far as it goes, one after the other;
 * that alone is --until-end. To follow, the rounds repeat: a partition watcher wakes the poll()
 * that also waits for Ctrl-C and notices when the reader of our output goes away.
 *
 * With --group the positions start at the group's committed offsets and are committed once the
 * lines are written, not before: at each flush (at most once a second) and at the end. A crash in
 * between prints lines again, it never loses one. */
#include "runtime/base/clock.h"
#include "runtime/cli/consume_format.h"
#include "runtime/cli/nouns.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FETCH_BYTES = 1 << 20, OUT_BYTES = 256 << 10, GROUP_COMMIT_MS = 1000 };

enum from_kind { FROM_BEGINNING, FROM_END, FROM_OFFSET, FROM_TIME };
struct from {
    enum from_kind kind;
    int64_t number;
};

struct cursor {
    struct partition *partition;
    int32_t index;
    int64_t position;           /* the offset to read next */
    int64_t until;              /* INT64_MAX: follow */
    int64_t written, committed; /* position as of the last flush; as of the last group commit */
    int watch_id;               /* -1: none */
    bool ended;
};

struct consume {
    const char *topic, *group;
    char topic_json[260];
    enum consume_format format;
    enum isolation isolation;
    struct from from;
    bool until_end;
    int64_t left; /* records still to print; INT64_MAX: no limit */
    struct log *log;
    struct cursor *cursors;
    int32_t cursor_count;
    struct fetch fetch;
    struct fetch_reader reader;
    int64_t last_commit_ms;
    bool damaged; /* a partition could not be read */
    bool output_gone;
};

/* ---- where to start ---- */
static int64_t bound_of(const struct consume *c, const struct cursor *cursor,
                        struct partition_offsets *offsets)
{
    partition_offsets(cursor->partition, offsets);
    return c->isolation == READ_COMMITTED ? offsets->stable : offsets->high_watermark;
}

static int start_at(struct consume *c, struct cursor *cursor,
                    const struct partition_offsets *offsets, int64_t bound, struct diag *diag)
{
    int64_t found_ms;
    switch (c->from.kind) {
    case FROM_BEGINNING:
        cursor->position = offsets->start;
        return 0;
    case FROM_END:
        cursor->position = bound;
        return 0;
    case FROM_OFFSET:
        cursor->position = c->from.number > offsets->start ? c->from.number : offsets->start;
        return 0;
    case FROM_TIME:
        TRY(partition_find_time(cursor->partition, c->from.number, &cursor->position, &found_ms,
                                diag));
        if (cursor->position < 0)
            cursor->position = bound;
        return 0;
    }
    return 0;
}

static int start_cursor(struct consume *c, struct cursor *cursor, struct diag *diag)
{
    struct partition_offsets offsets;
    int64_t bound = bound_of(c, cursor, &offsets);
    cursor->until = c->until_end ? bound : INT64_MAX;
    struct group_offset committed = {.offset = -1};
    if (c->group != NULL)
        TRY(group_fetch(c->log, c->group, c->topic, cursor->index, &committed));
    if (committed.offset < 0) {
        TRY(start_at(c, cursor, &offsets, bound, diag));
    } else {
        cursor->position = committed.offset;
        if (cursor->position < offsets.start) {
            message("%s-%d: offsets %lld to %lld are gone: group %s goes on at %lld", c->topic,
                    cursor->index, (long long)committed.offset, (long long)offsets.start - 1,
                    c->group, (long long)offsets.start);
            cursor->position = offsets.start;
        }
    }
    cursor->written = cursor->position;
    cursor->committed = committed.offset >= 0 ? committed.offset : cursor->position;
    return 0;
}

static int open_cursors(struct consume *c, int32_t only, struct diag *diag)
{
    struct topic_info info;
    TRY(topic_describe(c->log, c->topic, &info, diag));
    if (only >= info.partitions)
        return diag_set(diag, ERR_RANGE, "topic %s has partitions 0 to %d, not %d", c->topic,
                        info.partitions - 1, only);
    c->cursor_count = only >= 0 ? 1 : info.partitions;
    c->cursors = calloc((size_t)c->cursor_count, sizeof *c->cursors);
    if (c->cursors == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %d partitions", c->cursor_count);
    for (int32_t i = 0; i < c->cursor_count; i++)
        c->cursors[i] = (struct cursor){.index = only >= 0 ? only : i, .watch_id = -1};
    for (int32_t i = 0; i < c->cursor_count; i++) {
        struct cursor *cursor = &c->cursors[i];
        TRY(partition_get(c->log, c->topic, cursor->index, &cursor->partition, diag));
        TRY(start_cursor(c, cursor, diag));
        if (!c->until_end)
            cursor->watch_id = partition_watch(cursor->partition, interrupt_wake, NULL);
    }
    return 0;
}

/* ---- what was written ---- */
static int commit_written(struct consume *c)
{
    struct group_offset *offsets = calloc((size_t)c->cursor_count, sizeof *offsets);
    if (offsets == NULL)
        return failed(ERR_NOMEM, NULL);
    size_t count = 0;
    for (int32_t i = 0; i < c->cursor_count; i++) {
        struct cursor *cursor = &c->cursors[i];
        if (cursor->written == cursor->committed)
            continue;
        struct group_offset *offset = &offsets[count++];
        snprintf(offset->topic, sizeof offset->topic, "%s", c->topic);
        offset->partition = cursor->index;
        offset->offset = cursor->written;
        offset->commit_time_ms = clock_wall_ms();
        cursor->committed = cursor->written;
    }
    struct diag diag = {0};
    int code = count > 0 ? group_commit(c->log, c->group, offsets, count, &diag) : 0;
    free(offsets);
    return code < 0 ? failed(code, &diag) : 0;
}

/* 0; an exit code after a message. Sets output_gone when nobody reads any more. */
static int flush(struct consume *c)
{
    int code = out_flush();
    if (code == ERR_STOPPED)
        c->output_gone = true;
    if (code < 0)
        return code == ERR_STOPPED ? 0 : EXIT_FAILED;
    for (int32_t i = 0; i < c->cursor_count; i++)
        c->cursors[i].written = c->cursors[i].position;
    if (c->group == NULL || clock_mono_ms() - c->last_commit_ms < GROUP_COMMIT_MS)
        return 0;
    c->last_commit_ms = clock_mono_ms();
    return commit_written(c);
}

/* ---- reading ---- */
static bool is_over(const struct consume *c)
{
    return c->left == 0 || c->output_gone || interrupted();
}

/* Prints the fetched records. 0, an exit code, or a negative code of the fetch's bytes. */
static int print_fetched(struct consume *c, struct cursor *cursor)
{
    struct record record;
    int more;
    fetch_reader_start(&c->reader, &c->fetch, cursor->position);
    while (!is_over(c) && (more = fetch_reader_next(&c->reader, &record)) != 0) {
        TRY(more);
        if (record.offset >= cursor->until)
            break;
        consume_put(&out, c->format, c->topic_json, cursor->index, &record);
        cursor->position = record.offset + 1;
        c->left--;
        if (out.size < OUT_BYTES && buf_ok(&out))
            continue;
        int exit_code = flush(c);
        if (exit_code != 0)
            return exit_code;
    }
    if (!is_over(c))
        cursor->position =
            c->fetch.next_offset < cursor->until ? c->fetch.next_offset : cursor->until;
    return 0;
}

/* Reads a partition as far as it goes now. */
static int read_partition(struct consume *c, struct cursor *cursor)
{
    struct partition_offsets offsets;
    struct diag diag = {0};
    while (!cursor->ended && !is_over(c)) {
        int64_t bound = bound_of(c, cursor, &offsets);
        if (cursor->position >= cursor->until) {
            cursor->ended = true;
            break;
        }
        if (cursor->position >= bound) {
            /* Nothing new; but a stopped partition will never have any. */
            int status = partition_status(cursor->partition, &diag);
            if (status == 0)
                return 0;
            failed(status, &diag);
            cursor->ended = c->damaged = true;
            break;
        }
        int64_t before = cursor->position;
        int code = partition_fetch(cursor->partition, cursor->position, c->isolation, FETCH_BYTES,
                                   &c->fetch, &diag);
        if (code == 0)
            code = print_fetched(c, cursor);
        if (code > 0)
            return code;
        if (code < 0) {
            message("%s-%d at offset %lld: %s", c->topic, cursor->index,
                    (long long)cursor->position,
                    diag.text[0] != '\0' ? diag.text : error_text(code));
            cursor->ended = c->damaged = true;
        } else if (cursor->position == before && !is_over(c)) {
            return 0;
        }
    }
    return 0;
}

/* Waits for a record, a signal, or the end of whoever reads our output. */
static void wait_for_records(struct consume *c)
{
    struct pollfd fds[2] = {{interrupt_fd(), POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
    poll(fds, 2, c->group != NULL ? GROUP_COMMIT_MS : -1);
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        c->output_gone = true;
}

static bool all_ended(const struct consume *c)
{
    for (int32_t i = 0; i < c->cursor_count; i++)
        if (!c->cursors[i].ended)
            return false;
    return true;
}

static int consume_records(struct consume *c)
{
    while (!is_over(c) && !all_ended(c)) {
        interrupt_clear();
        for (int32_t i = 0; i < c->cursor_count && !is_over(c); i++) {
            int exit_code = read_partition(c, &c->cursors[i]);
            if (exit_code != 0)
                return exit_code;
        }
        int exit_code = flush(c);
        if (exit_code != 0)
            return exit_code;
        if (!c->until_end && !is_over(c) && !all_ended(c))
            wait_for_records(c);
    }
    int exit_code = flush(c);
    if (exit_code == 0 && c->group != NULL)
        exit_code = commit_written(c);
    if (exit_code == 0 && c->damaged)
        exit_code = EXIT_FAILED;
    return exit_code == 0 && interrupted() && !c->output_gone ? EXIT_INTERRUPTED : exit_code;
}

/* ---- the command ---- */
static int parse_from(const struct cli *cli, struct from *from)
{
    const char *text = flag_text(cli, "from");
    *from = (struct from){.kind = FROM_BEGINNING};
    if (text == NULL || strcmp(text, "beginning") == 0)
        return 0;
    if (strcmp(text, "end") == 0) {
        from->kind = FROM_END;
        return 0;
    }
    from->kind = text[0] == '@' ? FROM_TIME : FROM_OFFSET;
    if (parse_integer(text + (text[0] == '@'), &from->number) == 0 &&
        (from->kind == FROM_TIME || from->number >= 0))
        return 0;
    return usage_error(cli, "--from is beginning, end, an OFFSET or @EPOCH_MS, not '%s'", text);
}

static int parse_flags(struct consume *c, const struct cli *cli, int64_t *only)
{
    static const char *const formats[] = {"json", "value", "key-value"};
    c->topic = cli->arguments[0];
    c->group = flag_text(cli, "group");
    c->until_end = flag_is_on(cli, "until-end");
    c->isolation = flag_is_on(cli, "uncommitted") ? READ_UNCOMMITTED : READ_COMMITTED;
    int format = flag_choice(cli, "format", formats, 3, CONSUME_JSON);
    if (format < 0)
        return EXIT_USAGE;
    c->format = (enum consume_format)format;
    int exit_code = parse_from(cli, &c->from);
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &c->left);
    if (exit_code == 0)
        exit_code = flag_number(cli, "partition", 0, 9999, -1, only);
    if (exit_code == 0 && c->group != NULL && c->group[0] == '\0')
        exit_code = usage_error(cli, "--group is empty");
    struct diag diag = {0};
    int code = exit_code == 0 ? topic_name_check(c->topic, &diag) : 0;
    return code < 0 ? failed(code, &diag) : exit_code;
}

static void consume_close(struct consume *c)
{
    for (int32_t i = 0; i < c->cursor_count && c->cursors != NULL; i++)
        if (c->cursors[i].watch_id >= 0)
            partition_unwatch(c->cursors[i].partition, c->cursors[i].watch_id);
    free(c->cursors);
    fetch_reader_deinit(&c->reader);
    fetch_deinit(&c->fetch);
    log_close(c->log);
}

static int run_consume(struct cli *cli)
{
    struct consume c = {0};
    int64_t only;
    int exit_code = parse_flags(&c, cli, &only);
    if (exit_code != 0)
        return exit_code;
    snprintf(c.topic_json, sizeof c.topic_json, "\"%s\"", c.topic);
    interrupt_install();
    exit_code = data_open(cli, DATA_MUST_EXIST, &c.log);
    if (exit_code != 0)
        return exit_code;
    fetch_init(&c.fetch);
    fetch_reader_init(&c.reader);
    struct diag diag = {0};
    int code = open_cursors(&c, (int32_t)only, &diag);
    if (code < 0) {
        exit_code = failed(code, &diag);
        if (code == ERR_NOT_FOUND)
            hint("'weir topic list' shows the topics of %s", data_directory(cli));
    } else {
        exit_code = consume_records(&c);
    }
    consume_close(&c);
    return exit_code;
}

static const struct flag consume_flags[] = {
    {"from", "WHERE", "beginning, end, an OFFSET, or @EPOCH_MS: records from then on [beginning]",
     false, 0},
    {"until-end", NULL, "stop at the end that the topic has now", false, 0},
    {"max", "N", "stop after N records", false, 0},
    {"group", "G", "start at the offsets that group G committed, and commit what was printed",
     false, 0},
    {"partition", "N", "only this partition", false, 0},
    {"format", "FORMAT", "json, value or key-value [json]", false, 0},
    {"uncommitted", NULL, "records of undecided and aborted transactions too", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_consume = {
    .noun = "consume",
    .arguments = "TOPIC",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "print the records of a topic",
    .examples = "  weir consume orders --until-end --format value | head\n"
                "  weir consume orders --from @1291191960000 --max 10\n"
                "  weir consume hourly-revenue --group report --until-end\n",
    .details = "Follows the topic unless --until-end or --max ends it; partition after partition "
               "where it ends by itself.\n"
               "--format json prints an object a line: topic, partition, offset, timestamp, key, "
               "value, headers. A value that is\n"
               "JSON stands as it is, other text is a string, and what is not UTF-8 is base64 "
               "(\"encoding\":\"base64\"). value prints\n"
               "the value's bytes (null for a tombstone), key-value the key, a tab and the value. "
               "With --group, --from holds for\n"
               "partitions that the group has no offset for.\n",
    .flags = consume_flags,
    .run = run_consume,
};
