/* cli_consume.c: weir consume: the records of a topic on standard output.
 *
 * It reads through a source (source.h), of the embedded log or of a server: with --group as a member of the group, so
 * that several of them share the topic's partitions; with --partition as a reader of that one. Each assigned partition
 * is a cursor: the position to print next and, when the command ends by itself, the end it had at the
 * start. A round reads every partition as far as it goes, one after the other. That alone is --until-end. To follow, the
 * rounds repeat: one poll() waits for the source, for Ctrl-C, and for the reader of our output to go away.
 *
 * With --group the positions start at the group's committed offsets and are committed once the
 * lines are written, not before: at each flush (at most once a second), when a partition goes to
 * somebody else, and at the end. A crash in between prints lines again, it never loses one. */
#include "runtime/base/clock.h"
#include "runtime/records/consume_format.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/source.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_BYTES = 256 << 10, GROUP_COMMIT_MS = 1000 };

enum from_kind { FROM_BEGINNING, FROM_END, FROM_OFFSET, FROM_TIME };
struct from {
    enum from_kind kind;
    int64_t number;
};

struct cursor {
    int32_t index;
    int64_t position;           /* the offset to read next */
    int64_t until;              /* INT64_MAX: follow */
    int64_t written, committed; /* position as of the last flush; as of the last group commit */
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
    struct door door;
    struct source *source;
    struct cursor *cursors; /* of the assigned partitions, by number */
    int32_t cursor_count;
    bool changed; /* cursors came or went during a poll */
    int64_t last_commit_ms;
    bool damaged; /* a partition could not be read */
    int damage;   /* and this was the code, the last if they differ */
    bool output_gone;
    int code; /* of a callback that failed */
    struct diag diag;
};

/* ---- where to start ---- */
static int start_at(struct consume *c, struct cursor *cursor, int64_t start, int64_t end,
                    struct diag *diag)
{
    switch (c->from.kind) {
    case FROM_BEGINNING:
        cursor->position = start;
        return 0;
    case FROM_END:
        cursor->position = end;
        return 0;
    case FROM_OFFSET:
        cursor->position = c->from.number > start ? c->from.number : start;
        return 0;
    case FROM_TIME:
        TRY(c->source->ops->find_time(c->source, cursor->index, c->from.number, &cursor->position,
                                      diag));
        if (cursor->position < 0)
            cursor->position = end;
        return 0;
    }
    return 0;
}

static int start_cursor(struct consume *c, struct cursor *cursor, struct diag *diag)
{
    int64_t start, end, committed = -1;
    TRY(c->source->ops->bounds(c->source, cursor->index, &start, &end, diag));
    cursor->until = c->until_end ? end : INT64_MAX;
    if (c->group != NULL)
        TRY(c->source->ops->committed(c->source, cursor->index, &committed, diag));
    if (committed < 0) {
        TRY(start_at(c, cursor, start, end, diag));
    } else {
        cursor->position = committed;
        if (cursor->position < start) {
            message("%s-%d: offsets %lld to %lld are gone: group %s goes on at %lld", c->topic,
                    cursor->index, (long long)cursor->position, (long long)start - 1, c->group,
                    (long long)start);
            cursor->position = start;
        }
    }
    cursor->written = cursor->position;
    cursor->committed = committed >= 0 ? committed : cursor->position;
    return c->source->ops->begin(c->source, cursor->index, cursor->position, diag);
}

static int compare_cursors(const void *a, const void *b)
{
    const struct cursor *left = a, *right = b;
    return (left->index > right->index) - (left->index < right->index);
}

/* Partitions came: each gets a cursor, and waits for its turn. */
static void assigned(void *context, struct source *source, const int32_t *partitions, size_t count)
{
    struct consume *c = context;
    c->source = source;
    c->changed = true;
    struct cursor *cursors =
        realloc(c->cursors, ((size_t)c->cursor_count + count) * sizeof *cursors);
    if (cursors == NULL) {
        c->code = diag_set(&c->diag, ERR_NOMEM, "no memory for %zu partitions", count);
        return;
    }
    c->cursors = cursors;
    for (size_t i = 0; i < count && c->code == 0; i++) {
        struct cursor *cursor = &c->cursors[c->cursor_count++];
        *cursor = (struct cursor){.index = partitions[i]};
        c->code = start_cursor(c, cursor, &c->diag);
    }
    qsort(c->cursors, (size_t)c->cursor_count, sizeof *c->cursors, compare_cursors);
}

/* ---- what was written ---- */
static int commit_offsets(struct consume *c, struct diag *diag)
{
    struct group_offset *offsets = calloc((size_t)c->cursor_count + 1, sizeof *offsets);
    if (offsets == NULL)
        return diag_set(diag, ERR_NOMEM, "no memory for %d offsets", c->cursor_count);
    size_t count = 0;
    for (int32_t i = 0; i < c->cursor_count; i++) {
        struct cursor *cursor = &c->cursors[i];
        if (cursor->written == cursor->committed)
            continue;
        struct group_offset *offset = &offsets[count++];
        snprintf(offset->topic, sizeof offset->topic, "%s", c->topic);
        offset->partition = cursor->index;
        offset->offset = cursor->written;
        cursor->committed = cursor->written;
    }
    int code = count > 0 ? c->source->ops->commit(c->source, offsets, count, diag) : 0;
    free(offsets);
    return code;
}

static int commit_written(struct consume *c)
{
    struct diag diag = {0};
    int code = commit_offsets(c, &diag);
    return code < 0 ? failed(code, &diag) : 0;
}

static void drop_cursors(struct consume *c, const int32_t *partitions, size_t count)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < c->cursor_count; i++) {
        bool goes = false;
        for (size_t k = 0; k < count; k++)
            goes |= partitions[k] == c->cursors[i].index;
        if (!goes)
            c->cursors[kept++] = c->cursors[i];
    }
    c->cursor_count = kept;
    c->changed = true;
}

/* Partitions go to somebody else: what was written of them is committed before. */
static void revoked(void *context, struct source *source, const int32_t *partitions, size_t count)
{
    struct consume *c = context;
    (void)source;
    if (c->group != NULL && c->code == 0)
        c->code = commit_offsets(c, &c->diag);
    drop_cursors(c, partitions, count);
}

static void lost(void *context, struct source *source, const int32_t *partitions, size_t count)
{
    (void)source;
    drop_cursors(context, partitions, count);
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

/* Prints records of the cursor's partition. 0 or an exit code. */
static int print_records(struct consume *c, struct cursor *cursor, const struct record *records,
                         int64_t count)
{
    for (int64_t i = 0; i < count && !is_over(c); i++) {
        const struct record *record = &records[i];
        if (record->offset >= cursor->until) {
            cursor->position = cursor->until;
            break;
        }
        consume_put(&out, c->format, c->topic_json, cursor->index, record);
        cursor->position = record->offset + 1;
        c->left--;
        if (out.size < OUT_BYTES && buf_ok(&out))
            continue;
        int exit_code = flush(c);
        if (exit_code != 0)
            return exit_code;
    }
    return 0;
}

static void give_up(struct consume *c, struct cursor *cursor, const struct diag *diag, int code)
{
    message("%s-%d at offset %lld: %s", c->topic, cursor->index, (long long)cursor->position,
            diag->text[0] != '\0' ? diag->text : error_text(code));
    cursor->ended = c->damaged = true;
    c->damage = code;
}

/* The next records of a partition. 1: there may be more; 0: that is all for now; a negative code; exit codes go to *exit_code. */
static int read_once(struct consume *c, struct cursor *cursor, int *exit_code, struct diag *diag)
{
    const struct record *records;
    int64_t position = cursor->position, next = position;
    int64_t count = c->source->ops->read(c->source, cursor->index, position, &records, &next, diag);
    if (c->code < 0)
        *diag = c->diag;
    if (c->code < 0 || c->changed)
        return c->code;
    if (count == ERR_TIMEOUT)
        return ERR_TIMEOUT;
    if (count < 0) {
        give_up(c, cursor, diag, (int)count);
        return 0;
    }
    if (count > 0) {
        *exit_code = print_records(c, cursor, records, count);
        return 1;
    }
    /* What is left, if anything, holds no record for us: markers, aborted ones. */
    cursor->position = next < cursor->until ? next : cursor->until;
    return cursor->position > position;
}

/* Reads a partition as far as it goes now. 0, an exit code, or a negative code. */
static int read_partition(struct consume *c, int32_t i)
{
    struct diag diag = {0};
    c->changed = false;
    while (!c->changed && !c->cursors[i].ended && !is_over(c)) {
        struct cursor *cursor = &c->cursors[i];
        int exit_code = 0;
        if (cursor->position >= cursor->until) {
            cursor->ended = true;
            break;
        }
        int more = read_once(c, cursor, &exit_code, &diag);
        if (more < 0)
            return failed(more, &diag);
        if (exit_code != 0 || more == 0)
            return exit_code;
    }
    return 0;
}

/* Waits for a record, a signal, or the end of whoever reads our output. */
static void wait_for_records(struct consume *c)
{
    struct pollfd fds[3] = {{interrupt_fd(), POLLIN, 0},
                            {STDOUT_FILENO, 0, 0},
                            {c->source->ops->fd(c->source), POLLIN, 0}};
    poll(fds, 3, GROUP_COMMIT_MS);
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        c->output_gone = true;
}

static bool all_ended(const struct consume *c)
{
    for (int32_t i = 0; i < c->cursor_count; i++)
        if (!c->cursors[i].ended)
            return false;
    return c->cursor_count > 0;
}

/* Keeps the membership going. 0 or an exit code. */
static int take_part(struct consume *c)
{
    struct diag diag = {0};
    c->changed = false;
    int code = c->source->ops->take_part(c->source, &diag);
    if (c->code < 0)
        return failed(c->code, &c->diag);
    return code < 0 ? failed(code, &diag) : 0;
}

static int consume_records(struct consume *c)
{
    int exit_code = take_part(c);
    while (exit_code == 0 && !is_over(c) && !all_ended(c)) {
        interrupt_clear();
        for (int32_t i = 0; i < c->cursor_count && exit_code == 0 && !is_over(c); i++)
            exit_code = read_partition(c, i);
        if (exit_code == 0)
            exit_code = flush(c);
        bool waits = !c->until_end || c->cursor_count == 0; /* for records, or for partitions */
        if (exit_code == 0 && waits && !is_over(c) && !all_ended(c))
            wait_for_records(c);
        if (exit_code == 0 && !is_over(c))
            exit_code = take_part(c);
    }
    if (exit_code == 0)
        exit_code = flush(c);
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
    if (c->code == 0)
        c->code = ERR_STOPPED; /* all is committed: revoked must not say more */
    source_close(c->source);
    free(c->cursors);
    door_close(&c->door);
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
    exit_code = door_open(cli, DATA_MUST_EXIST, &c.door);
    if (exit_code != 0)
        return exit_code;
    struct source_options options = {.topic = c.topic,
                                     .group = c.group,
                                     .only = (int32_t)only,
                                     .isolation = c.isolation,
                                     .assigned = assigned,
                                     .revoked = revoked,
                                     .lost = lost,
                                     .context = &c};
    struct diag diag = {0};
    struct source *source = NULL;
    int code = source_open(&c.door, &options, &source, &diag);
    c.source = source;
    if (code < 0) {
        exit_code = failed(code, &diag);
        if (code == ERR_NOT_FOUND)
            hint("'weir topic list' shows the topics of %s", door_text(cli, &c.door));
    } else {
        exit_code = consume_records(&c);
        if (c.door.log != NULL)
            hint_damage(c.damage, c.topic);
    }
    consume_close(&c);
    return exit_code;
}

static const struct flag consume_flags[] = {
    {"from", "WHERE", "beginning, end, an OFFSET, or @EPOCH_MS: records from then on [beginning]",
     false, 0},
    {"until-end", NULL, "stop at the end that the topic has now", false, 0},
    {"max", "N", "stop after N records", false, 0},
    {"group", "G",
     "share the topic as a member of group G: start at its offsets, commit what was printed", false,
     0},
    {"partition", "N", "only this partition", false, 0},
    {"format", "FORMAT", "json, value or key-value [json]", false, 0},
    {"uncommitted", NULL, "records of undecided and aborted transactions too", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_consume = {
    .noun = "consume",
    .reach = REACHES_KAFKA,
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
