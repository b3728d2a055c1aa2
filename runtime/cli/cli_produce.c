/* cli_produce.c: weir produce: lines from standard input become records of a topic.
 *
 *   read() → lines (line_reader) → key and timestamp of up to BATCH_ROWS lines (produce_fields) →
 * sink (sink.h: the embedded log, or a server) → finish
 *
 * A line is taken as it is; only --key and --timestamp look inside. The first line that cannot be
 * read ends the run with its number; the lines before it stay. When the log takes no more (a full
 * disk), lines that were read may still wait in the sink: then the first line that is not stored
 * is named, which is where to go on. Whatever the end (the last line, a
 * bad line, Ctrl-C) what was sent is on stable storage before the command exits. When the input
 * pauses, what was collected is appended, so that `tail -f | weir produce` is seen at once.
 *
 * The topic's configuration weir.partitioned.by says by which field the records are partitioned;
 * jobs that group by that field read the topic without re-keying and rely on it. So it is set when
 * the topic is empty and --key is given, and cleared before the first record that would make it
 * untrue is appended: another key field or none, a null key, a key that is no plain text. */
#include "runtime/base/clock.h"
#include "runtime/cli/line_reader.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/produce_fields.h"
#include "runtime/cli/sink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTITIONED_BY "weir.partitioned.by"

enum {
    FIELD_BYTES = 1024, /* of a field name in the configuration */
    LINGER_MS = 50,     /* a pause of the input that flushes */
    PROGRESS_MS = 200,
    BATCH_LINES_BYTES = 4 << 20,
    SINK_BATCH_BYTES = 256 << 10,
    /* A record's framing in a batch of its own, with room: batch header, lengths, deltas. */
    RECORD_OVERHEAD_BYTES = 128,
};

struct produce {
    const char *topic;
    const char *key_field, *timestamp_field; /* NULL: none */
    struct bytes separator;                  /* data NULL: none */
    bool empty_is_tombstone;
    struct door door;
    struct sink *sink;
    struct field_reader *fields;
    struct line_reader reader;
    bool has_partitioned_by, same_key_field; /* the configuration names a field; it is key_field */
    int64_t max_record_bytes, future_ms;
    struct bytes *lines; /* BATCH_ROWS of them: values */
    struct bytes *keys;  /* with a separator */
    int64_t *numbers;    /* of the lines in the input */
    struct line_fields *read;
    uint32_t line_count;
    int64_t record_count, record_bytes, blank_count, start_ns, last_progress_ms, input_bytes;
    bool shows_progress;
    int64_t first_lost;  /* the first line that was read and is not stored; 0: none */
    struct diag failure; /* why, when it is the log's doing */
};

static void note_lost(struct produce *p, int64_t line)
{
    if (p->first_lost == 0 || line < p->first_lost)
        p->first_lost = line;
}

static void lost(void *context, int64_t line, const struct diag *reason)
{
    struct produce *p = context;
    note_lost(p, line);
    if (reason != NULL && p->failure.code == 0)
        p->failure = *reason;
}

/* ---- the topic ---- */
static int set_partitioned_by(struct produce *p, const char *field, struct diag *diag)
{
    struct config_entry entry = {PARTITIONED_BY, field};
    TRY(p->door.ops->topic_alter(&p->door, p->topic, &entry, 1, diag));
    p->has_partitioned_by = p->same_key_field = field != NULL;
    return 0;
}

static int topic_is_empty(struct produce *p, const struct door_topic *topic, bool *empty,
                          struct diag *diag)
{
    struct door_partition *rows = NULL;
    *empty = true;
    int code = p->door.ops->topic_partitions(&p->door, topic, 1, &rows, diag);
    for (int32_t i = 0; i < topic->partitions && code == 0; i++)
        *empty = *empty && rows[i].end <= 0 && rows[i].high_watermark == 0;
    free(rows);
    return code;
}

static int64_t topic_number(struct produce *p, const char *key, int64_t fallback)
{
    char text[64];
    int64_t number;
    if (door_config(&p->door, p->topic, key, text, sizeof text, NULL) < 0 ||
        parse_integer(text, &number) < 0)
        return fallback;
    return number;
}

/* Whether the log gives records their time, so that nobody minds what the lines say. */
static bool topic_stamps(struct produce *p)
{
    char text[64];
    return door_config(&p->door, p->topic, "message.timestamp.type", text, sizeof text, NULL) ==
               0 &&
           strcmp(text, "LogAppendTime") == 0;
}

/* Apache Kafka does not know the key by which weir's jobs find out how a topic is partitioned: there the topic is made without it. */
static int create_topic(struct produce *p, int32_t partitions, struct diag *diag)
{
    struct config_entry entry = {PARTITIONED_BY, p->key_field};
    int code = p->door.ops->topic_create(&p->door, p->topic, partitions, &entry,
                                         p->key_field != NULL, diag);
    p->has_partitioned_by = p->same_key_field = p->key_field != NULL && code == 0;
    if (code == ERR_INVALID && p->key_field != NULL && p->door.remote != NULL)
        code = p->door.ops->topic_create(&p->door, p->topic, partitions, NULL, 0, diag);
    return code;
}

/* Whether the server is weir: its topics all have this key. */
static int knows_partitioned_by(struct produce *p, bool *knows, struct diag *diag)
{
    char text[16];
    int code = door_config(&p->door, p->topic, "weir.internal", text, sizeof text, diag);
    *knows = code == 0 && text[0] != '\0';
    return code;
}

/* Creates the topic or adjusts what its configuration says about its keys. asked: 0 when
 * --partitions was not given. */
static int prepare_topic(struct produce *p, int32_t asked, struct diag *diag)
{
    struct door_topic topic;
    int code = p->door.ops->topic_find(&p->door, p->topic, &topic, diag);
    if (code == ERR_NOT_FOUND)
        return create_topic(p, asked > 0 ? asked : 1, diag);
    TRY(code);
    if (topic.internal)
        return diag_set(diag, ERR_INVALID,
                        "topic %s is internal: a job made it for itself, and records that are not "
                        "its own would break the job",
                        p->topic);
    if (asked > 0 && asked != topic.partitions)
        return diag_set(diag, ERR_EXISTS,
                        "topic %s has %d partition%s, not %d: leave --partitions out", p->topic,
                        topic.partitions, topic.partitions == 1 ? "" : "s", asked);
    char field[FIELD_BYTES];
    bool empty, knows;
    TRY(knows_partitioned_by(p, &knows, diag));
    if (!knows)
        return 0;
    TRY(door_config(&p->door, p->topic, PARTITIONED_BY, field, sizeof field, diag));
    p->has_partitioned_by = field[0] != '\0';
    p->same_key_field =
        p->has_partitioned_by && p->key_field != NULL && strcmp(field, p->key_field) == 0;
    TRY(topic_is_empty(p, &topic, &empty, diag));
    if (empty && p->key_field != NULL && !p->same_key_field)
        return set_partitioned_by(p, p->key_field, diag);
    return 0;
}

/* ---- progress and summary ---- */
static double seconds_since(int64_t start_ns)
{
    return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static void grouped(int64_t number, char text[32])
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)number);
    char *to = text;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
}

static void show_progress(struct produce *p, bool at_once)
{
    if (!p->shows_progress || (!at_once && clock_mono_ms() - p->last_progress_ms < PROGRESS_MS))
        return;
    p->last_progress_ms = clock_mono_ms();
    double seconds = seconds_since(p->start_ns);
    char rows[32], rate[32], left[64] = "";
    grouped(p->record_count, rows);
    grouped((int64_t)((double)p->record_count / (seconds > 0 ? seconds : 1)), rate);
    if (p->input_bytes > 0 && p->reader.read_bytes > 0 && p->reader.read_bytes < p->input_bytes) {
        double done = (double)p->reader.read_bytes / (double)p->input_bytes;
        snprintf(left, sizeof left, "  %.0f %%  %.0f s left", done * 100, seconds / done - seconds);
    }
    fprintf(stderr, "\r\033[K%s: %s rows  %s rows/s%s", p->topic, rows, rate, left);
    fflush(stderr);
}

static void clear_progress(struct produce *p)
{
    if (p->shows_progress)
        fputs("\r\033[K", stderr);
}

static void show_summary(struct produce *p)
{
    double seconds = seconds_since(p->start_ns);
    double rate = seconds > 0 ? (double)p->record_count / seconds : 0;
    if (!terminal(STDERR_FILENO)) {
        fprintf(stderr,
                "{\"topic\":\"%s\",\"records\":%lld,\"bytes\":%lld,\"seconds\":%.3f,\"records_per_"
                "s\":%.0f,\"blank\":%lld}\n",
                p->topic, (long long)p->record_count, (long long)p->record_bytes, seconds, rate,
                (long long)p->blank_count);
        return;
    }
    char rows[32], blank[64] = "";
    grouped(p->record_count, rows);
    char per_second[32];
    grouped((int64_t)rate, per_second);
    if (p->blank_count > 0)
        snprintf(blank, sizeof blank, ", %lld blank lines skipped", (long long)p->blank_count);
    fprintf(stderr, "%s: %s records in %.1f s, %s/s%s\n", p->topic, rows, seconds, per_second,
            blank);
}

/* ---- lines ---- */
static int line_error(int64_t number, const struct diag *diag)
{
    message("line %lld: %s", (long long)number, diag->text);
    return EXIT_FAILED;
}

/* Splits key and value at the first separator. */
static int split_key(struct produce *p, uint32_t index, struct diag *diag)
{
    struct bytes line = p->lines[index];
    const uint8_t *at = memmem(line.data, line.size, p->separator.data, p->separator.size);
    if (at == NULL)
        return diag_set(diag, ERR_INVALID, "there is no separator between key and value");
    p->keys[index] = bytes_of(line.data, (size_t)(at - line.data));
    const uint8_t *value = at + p->separator.size;
    size_t size = (size_t)(line.data + line.size - value);
    p->lines[index] =
        size == 0 && p->empty_is_tombstone ? bytes_of(NULL, 0) : bytes_of(value, size);
    return 0;
}

static int send_line(struct produce *p, uint32_t index, const struct line_fields *fields,
                     struct diag *diag)
{
    struct bytes value = p->lines[index];
    if ((int64_t)(fields->key.size + value.size) > p->max_record_bytes)
        return diag_set(diag, ERR_TOO_LARGE,
                        "key and value have %zu bytes: max.message.bytes of the topic allows %lld",
                        fields->key.size + value.size, (long long)p->max_record_bytes);
    if (p->has_partitioned_by && !(p->same_key_field && fields->groups_by_key))
        TRY(set_partitioned_by(p, NULL, diag));
    TRY(p->sink->ops->send(p->sink, fields->timestamp_ms, fields->key, value, p->numbers[index],
                           diag));
    p->record_count++;
    p->record_bytes += (int64_t)value.size;
    return 0;
}

static int64_t latest_timestamp(const struct produce *p)
{
    int64_t now = clock_wall_ms();
    return p->future_ms > INT64_MAX - now ? INT64_MAX : now + p->future_ms;
}

/* How far the batch's lines can be taken: keys split, fields read. The number of good lines; diag
 * is about the next. */
static int read_lines(struct produce *p, struct diag *diag)
{
    uint32_t good = p->line_count;
    if (p->separator.data != NULL)
        for (uint32_t i = 0; i < good; i++)
            if (split_key(p, i, diag) < 0)
                good = i;
    if (p->fields == NULL || good == 0) {
        for (uint32_t i = 0; i < good; i++)
            p->read[i] = (struct line_fields){.timestamp_ms = INT64_MIN};
    } else {
        struct diag field_diag = {0};
        int code =
            field_reader_read(p->fields, p->lines, good, latest_timestamp(p), p->read, &field_diag);
        if (code < (int)good && diag != NULL)
            *diag = field_diag;
        TRY(code);
        good = (uint32_t)code;
    }
    if (p->separator.data != NULL)
        for (uint32_t i = 0; i < good; i++)
            p->read[i].key = p->keys[i];
    return (int)good;
}

/* Sends the collected lines. 0, or an exit code after a message. */
static int send_batch(struct produce *p)
{
    if (p->line_count == 0)
        return 0;
    struct diag diag = {0};
    int good = read_lines(p, &diag);
    for (int i = 0; i < good; i++) {
        struct diag send_diag = {0};
        int code = send_line(p, (uint32_t)i, &p->read[i], &send_diag);
        if (code == ERR_INVALID || code == ERR_TOO_LARGE) { /* it is the line */
            clear_progress(p);
            return line_error(p->numbers[i], &send_diag);
        }
        if (code < 0) { /* it is the log: told once it is known what is stored */
            note_lost(p, p->numbers[i]);
            p->failure = send_diag;
            return EXIT_FAILED;
        }
    }
    bool all = good == (int)p->line_count;
    if (!all)
        clear_progress(p);
    if (!all && good < 0)
        return failed(good, &diag);
    if (!all)
        return line_error(p->numbers[good], &diag);
    p->line_count = 0;
    show_progress(p, false);
    return 0;
}

/* Takes every whole line that has arrived. */
static int take_lines(struct produce *p)
{
    size_t batch_bytes = 0;
    struct bytes line;
    int code;
    while ((code = line_reader_next(&p->reader, &line)) > 0) {
        if (line.size == 0) {
            p->blank_count++;
            continue;
        }
        p->lines[p->line_count] = line;
        p->numbers[p->line_count++] = p->reader.line_count;
        batch_bytes += line.size;
        if (p->line_count < BATCH_ROWS && batch_bytes < BATCH_LINES_BYTES)
            continue;
        int exit_code = send_batch(p);
        if (exit_code != 0)
            return exit_code;
        batch_bytes = 0;
    }
    int exit_code = send_batch(p);
    if (exit_code != 0 || code == 0)
        return exit_code;
    struct diag diag;
    diag_set(&diag, code,
             "the line is longer than the %zu bytes that max.message.bytes of the topic allows",
             p->reader.limit_bytes);
    clear_progress(p);
    return line_error(p->reader.line_count + 1, &diag);
}

/* Waits until there is input. 1: there is; 0: the wait took longer than timeout_ms; -1: a signal
 * came. */
static int wait_for_input(int timeout_ms)
{
    for (;;) {
        struct pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupt_fd(), POLLIN, 0}};
        int ready = poll(fds, 2, timeout_ms);
        if (interrupted())
            return -1;
        if (ready == 0)
            return 0;
        if (ready > 0 && fds[0].revents != 0)
            return 1;
    }
}

/* Reads until there is enough for a good batch or the input pauses. 1 goes on, 0 ended or
 * interrupted, < 0 a failed read. */
static int gather(struct produce *p)
{
    int ready = wait_for_input(LINGER_MS);
    if (ready == 0) {
        /* A pause: what was sent so far becomes visible. */
        struct diag diag = {0};
        int code = p->sink->ops->hurry(p->sink, &diag);
        if (code < 0) {
            p->failure = diag;
            return code;
        }
        show_progress(p, true);
        ready = wait_for_input(-1);
    }
    while (ready > 0) {
        int code = line_reader_fill(&p->reader);
        if (code < 0) {
            clear_progress(p);
            message("cannot read the input: %s", code == ERR_NOMEM ? "no memory" : strerror(errno));
            return code;
        }
        if (p->reader.ended)
            return 0;
        if (line_reader_waiting(&p->reader) >= (1 << 20))
            return 1;
        ready = wait_for_input(0);
        if (ready == 0)
            return 1;
    }
    return 0;
}

/* What is still collected is stored, or given up: then the first line that is lost is known. */
static int settle(struct produce *p)
{
    struct diag diag = {0};
    int code = p->sink->ops->finish(p->sink, &diag);
    clear_progress(p);
    if (code < 0 && p->failure.code == 0)
        p->failure = diag;
    if (code < 0)
        code = p->sink->ops->give_up(p->sink, &p->failure, &diag);
    if (code < 0) {
        message("not everything that was read is stored: %s",
                diag.text[0] != '\0' ? diag.text : error_text(code));
        return EXIT_FAILED;
    }
    if (p->first_lost > 0) {
        message("line %lld is not stored: %s", (long long)p->first_lost,
                p->failure.code < 0 ? p->failure.text : "it was in a batch that was refused");
        hint(
            "the lines before it are stored; of those after it, lines for other partitions may be");
        hint_damage(p->failure.code, p->topic);
        return p->failure.code == ERR_TIMEOUT ? EXIT_UNREACHABLE : EXIT_FAILED;
    }
    return 0;
}

/* Everything from the first read to the flush. */
static int produce_lines(struct produce *p)
{
    int exit_code = 0, more = 1;
    while (more > 0 && exit_code == 0) {
        more = gather(p);
        exit_code = more < 0 ? EXIT_FAILED : take_lines(p);
    }
    int settled = settle(p);
    if (settled != 0)
        return settled;
    show_summary(p);
    return exit_code == 0 && interrupted() ? EXIT_INTERRUPTED : exit_code;
}

/* ---- the command ---- */
static int produce_open(struct produce *p, const struct cli *cli, int32_t partitions,
                        enum codec codec)
{
    struct diag diag = {0};
    int code = 0;
    if (p->key_field != NULL || p->timestamp_field != NULL)
        code = field_reader_create(p->key_field, p->timestamp_field, &p->fields, &diag);
    if (code < 0)
        return failed(code, &diag);
    int exit_code = door_open(cli, DATA_MAY_CREATE, &p->door);
    if (exit_code != 0)
        return exit_code;
    code = prepare_topic(p, partitions, &diag);
    if (code < 0)
        return failed(code, &diag);
    int64_t max_message = topic_number(p, "max.message.bytes", 100 << 20);
    p->future_ms = topic_stamps(p) ? INT64_MAX
                                   : topic_number(p, "message.timestamp.after.max.ms", 3600 * 1000);
    p->max_record_bytes =
        max_message > RECORD_OVERHEAD_BYTES ? max_message - RECORD_OVERHEAD_BYTES : 0;
    /* A whole batch must fit into max.message.bytes too: the log would refuse it with all its
     * records. */
    size_t batch_bytes = p->max_record_bytes > 0 && p->max_record_bytes < SINK_BATCH_BYTES
                             ? (size_t)p->max_record_bytes
                             : SINK_BATCH_BYTES;
    struct sink_options options = {.topic = p->topic,
                                   .codec = codec,
                                   .batch_bytes = batch_bytes,
                                   .max_message_bytes = max_message,
                                   .lost = lost,
                                   .context = p};
    code = sink_open(&p->door, &options, &p->sink, &diag);
    if (code < 0)
        return failed(code, &diag);
    p->lines = calloc(BATCH_ROWS, sizeof *p->lines);
    p->keys = calloc(BATCH_ROWS, sizeof *p->keys);
    p->numbers = calloc(BATCH_ROWS, sizeof *p->numbers);
    p->read = calloc(BATCH_ROWS, sizeof *p->read);
    bool ok = p->lines != NULL && p->keys != NULL && p->numbers != NULL && p->read != NULL &&
              line_reader_init(&p->reader, STDIN_FILENO,
                               (size_t)p->max_record_bytes + p->separator.size) == 0;
    return ok ? 0 : failed(ERR_NOMEM, NULL);
}

static void produce_close(struct produce *p)
{
    sink_close(p->sink);
    door_close(&p->door);
    field_reader_destroy(p->fields);
    line_reader_deinit(&p->reader);
    free(p->lines);
    free(p->keys);
    free(p->numbers);
    free(p->read);
}

/* --key-separator as typed; the two characters \t are a tab. */
static struct bytes separator_of(const char *text)
{
    return text != NULL && strcmp(text, "\\t") == 0 ? bytes_text("\t") : bytes_text(text);
}

static int64_t size_of_input(void)
{
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size
                                                                        : 0;
}

static int run_produce(struct cli *cli)
{
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    struct produce p = {
        .topic = cli->arguments[0],
        .key_field = flag_text(cli, "key"),
        .timestamp_field = flag_text(cli, "timestamp"),
        .separator = separator_of(flag_text(cli, "key-separator")),
        .empty_is_tombstone = flag_is_on(cli, "tombstones"),
        .start_ns = clock_mono_ns(),
        .input_bytes = size_of_input(),
        .shows_progress = terminal(STDERR_FILENO) && !terminal(STDIN_FILENO),
    };
    int64_t partitions;
    int exit_code = flag_number(cli, "partitions", 1, 10000, 0, &partitions);
    if (exit_code != 0)
        return exit_code;
    int codec = flag_choice(cli, "compression", codecs, 5, CODEC_LZ4);
    if (codec < 0)
        return EXIT_USAGE;
    if (p.key_field != NULL && p.separator.data != NULL)
        return usage_error(cli, "--key and --key-separator exclude each other");
    if (p.separator.data != NULL && p.separator.size == 0)
        return usage_error(cli, "--key-separator is empty");
    if (p.empty_is_tombstone && p.separator.data == NULL)
        return usage_error(cli, "--tombstones needs --key-separator");
    struct diag diag = {0};
    int code = topic_name_check(p.topic, &diag);
    if (code < 0)
        return failed(code, &diag);
    interrupt_install();
    exit_code = produce_open(&p, cli, (int32_t)partitions, (enum codec)codec);
    if (exit_code == 0)
        exit_code = produce_lines(&p);
    produce_close(&p);
    return exit_code;
}

static const struct flag produce_flags[] = {
    {"key", "FIELD", "the JSON field whose text is the record's key; a.b reads b of a", false, 0},
    {"key-separator", "S", "the key stands before the first S of the line (\\t is a tab)", false,
     0},
    {"tombstones", NULL,
     "with --key-separator: an empty value is a null value, which deletes the key", false, 0},
    {"timestamp", "FIELD",
     "the JSON field with the record's timestamp: epoch milliseconds or ISO 8601 [now]", false, 0},
    {"partitions", "N", "partitions of a topic that is created [1]", false, 0},
    {"compression", "CODEC", "none, gzip, snappy, lz4 or zstd [lz4]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_produce = {
    .noun = "produce",
    .reach = REACHES_KAFKA,
    .arguments = "TOPIC",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "append lines from standard input to a topic",
    .examples =
        "  weir produce orders --key customer --timestamp ts --partitions 4 < orders.ndjson\n"
        "  zcat events.ndjson.gz | weir produce events --key user.id\n"
        "  printf 'u1\\t{\"plan\":\"pro\"}\\n' | weir produce users --key-separator '\\t'\n",
    .details = "One record a line; the topic is created when it is missing. Records with a key go "
               "to the partition of the key\n"
               "(murmur2, as Kafka's clients do); a JSON null as key field gives a null key. Empty "
               "lines are skipped. A line whose\n"
               "key or timestamp cannot be read ends the run with its number and exit code 1; the "
               "lines before it stay. The command\n"
               "ends when all records are on stable storage. Piped, stderr ends with a JSON line: "
               "topic, records, bytes, seconds,\n"
               "records_per_s, blank.\n",
    .flags = produce_flags,
    .run = run_produce,
};
