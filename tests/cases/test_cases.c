/* test_cases.c: runs the files *.case of this folder: a pipeline, its input, and what must come
 * out, byte for byte.
 *
 *     # Sentences that say what the case shows.
 *     pipeline
 *       source events by ts            (by FIELD: event time; else the record's timestamp)
 *       source_csv events by ts: id bigint, ts text    (rows of CSV)
 *       source_text lines              (WEIR_PLAIN_TEXT; source_raw: WEIR_RAW)
 *       source_pairs events: a text    (a user's format, tests/support/job_formats.c)
 *       lateness 5s
 *       skew 1m                        (weir_max_future_skew)
 *       filter amount > 0
 *       check positive: amount > 0     (class: condition)
 *       map a, b + 1 AS c
 *       unnest items AS item
 *       branch 1: n < 0; n = 0         (which of them; its conditions)
 *       rekey user                     (before to)
 *       distinct 10s: id, user         (weir_distinct)
 *       keep web                       (a name for the stream so far)
 *       merge web phone                (the stream so far with those that were kept)
 *       latest id                      (a table of the latest row for each id)
 *       join users on uid: plan        (left join …; with a kept table: columns of it)
 *       join users: plan               (of a table: by the keys of both; left join …, full join …)
 *       meet paid within 1m 10m on id = order: id, ts => amount    (weir_join_within with a kept
 *                                      stream, from 1m before to 10m after; left meet …)
 *       filter_fn even: n              (functions of tests/support/job_functions.c)
 *       map_fn echo: n, t -> n bigint, t text
 *       flat_map_fn repeat: n, t -> i integer, t text
 *       group "user"
 *       window 10s                     (window 1h every 5m: hopping; session 30m;
 *                                      window 1 day in Europe/Berlin)
 *       aggregate count(*) AS n
 *       aggregate_fn span: x -> rows bigint, total numeric   (instead of aggregate)
 *       emit final
 *       to counts                      (to_csv counts: weir_to_as; to_json, to_text, to_raw, to_pairs)
 *     sql                              (instead of a pipeline: statements)
 *       CREATE TABLE …
 *     run
 *       partitions 1                   (of the sources; default: with 1 and with 3)
 *       topic valid 1                  (is there already, with so many partitions)
 *       close windows
 *       whole                          (no restart in the middle: halves of the inputs do not go
 *                                      together)
 *       partitioned by user            (weir.partitioned.by of the sources; records go by their
 * key) key user                       (records get the text of this field as their key) input
 * events
 *       {"user":"a","ts":0}            (prefixes: key=TEXT, time=MS of the record, partition=N;
 * (null) and (empty) are values)
 *       ----                           (the app runs on what is there, ends, and is started again
 * for what follows) output counts
 *       {"user":"a","window_start":"1970-01-01T00:00:00.000Z"} => {…}
 *     late counts
 *       1970-01-01T00:00:00.000Z .. 1970-01-01T00:00:10.000Z +500 => {…}
 *     dead letters
 *       json_malformed => {"user":
 *
 * An output topic of an aggregate with emit=changes, or of a join of two tables, is compared as the table that it is (the last
 * record of each key); every other topic as a multiset of records. Topics without a section must be
 * empty or missing: nothing is silent. \xNN in a line is a byte, <<text>>*N repeats text.
 *
 * Each case runs with batches of 1, 7 and 4096 rows, with 1 and 2 workers, on 1 and 3 partitions,
 * and once more cut in two by a restart in the middle of the input; all must give the same. Beyond
 * what the file says, every dead letter and late row must carry headers that lead to its source
 * record, of which it keeps key and value, the accounts of every stage and partition must close
 * (accounts.h), and `weir verify` must find every view as the records say, its store too, unless
 * functions in C decide it.
 *
 * Expected values are written by hand, or with PostgreSQL where arithmetic is involved; never taken
 * from weir's output. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/io.h"
#include "tests/support/accounts.h"
#include "tests/support/job.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"
#include "tests/support/verified.h"

enum { SECTIONS_MAX = 16, LINES_MAX = 512, CASES_MAX = 512, BATCH_VERIFIED = 7 };
#define RECORD_TIME_MS INT64_C(1700000000000)

enum section_kind { SECTION_INPUT, SECTION_OUTPUT, SECTION_LATE, SECTION_DEAD };

struct section {
    enum section_kind kind;
    char *topic;
    struct bytes lines[LINES_MAX];
    size_t line_count;
};

struct test_case {
    char *name, *text;
    struct job job;
    struct section sections[SECTIONS_MAX];
    size_t section_count;
    int32_t partitions; /* 0: both */
    bool close_windows, is_whole;
    char *partitioned_by, *key_field;
    char *made_topic; /* by hand, before the app first runs … */
    int32_t made_partitions;
    struct arena arena;
    struct buf sql;
};

struct variant {
    int32_t partitions;
    int threads, batch_rows;
    bool is_split; /* a restart in the middle of the input */
};

static void complain(const struct test_case *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(const struct test_case *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", test->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* ---- reading a case ---- */

static void must_parse(const struct test_case *test, bool ok, const char *line)
{
    if (!ok) {
        complain(test, "cannot read this line: %s", line);
        exit(2);
    }
}

/* "after" when text begins with word and a blank, else NULL. */
static char *after_word(char *text, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(text, word, size) != 0 || (text[size] != ' ' && text[size] != '\0'))
        return NULL;
    return text[size] == ' ' ? text + size + 1 : text + size;
}

static bool parse_duration(const char *text, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    *ms = strtoll(text, &end, 10);
    for (size_t i = 0; end != text && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *ms *= units[i].ms;
            return true;
        }
    return false;
}

/* \xNN and <<text>>*N */
static struct bytes unescape(struct arena *arena, const char *line)
{
    struct buf out;
    buf_init(&out, 0);
    while (*line != '\0') {
        unsigned byte;
        const char *end;
        if (line[0] == '\\' && line[1] == 'x' && sscanf(line + 2, "%2x", &byte) == 1) {
            buf_u8(&out, (uint8_t)byte);
            line += 4;
        } else if (strncmp(line, "<<", 2) == 0 && (end = strstr(line, ">>*")) != NULL) {
            char *rest;
            long times = strtol(end + 3, &rest, 10);
            for (long i = 0; i < times; i++)
                buf_append(&out, line + 2, (size_t)(end - line - 2));
            line = *rest == ';' ? rest + 1 : rest;
        } else {
            buf_u8(&out, (uint8_t)*line++);
        }
    }
    must(buf_ok(&out));
    struct bytes copy =
        arena_copy(arena, bytes_of(out.data != NULL ? out.data : (uint8_t *)"", out.size));
    buf_deinit(&out);
    return copy;
}

/* SIZE, SIZE every HOP, COUNT UNIT in ZONE */
static void parse_window(struct test_case *test, char *text)
{
    static const char *const units[] = {"", "hour", "day", "week", "month"};
    char *every = strstr(text, " every "), *zone = strstr(text, " in ");
    int64_t size, hop = 0;
    if (zone != NULL) {
        char *unit;
        *zone = '\0';
        size = strtoll(text, &unit, 10);
        for (hop = WEIR_MONTH; hop > 0 && strcmp(unit + 1, units[hop]) != 0;)
            hop--;
        must_parse(test, unit != text && hop > 0, text);
        job_add_window(&test->job, JOB_LOCAL, zone + 4, size, hop);
        return;
    }
    if (every != NULL) {
        *every = '\0';
        must_parse(test, parse_duration(every + 7, &hop), every + 7);
    }
    must_parse(test, parse_duration(text, &size), text);
    job_add_window(&test->job, every != NULL ? JOB_HOPPING : JOB_WINDOW, NULL, size, hop);
}

/* NAME within 1m 10m on … */
static void parse_meet(struct test_case *test, char *text, bool is_left)
{
    int64_t before = 0, after = 0;
    char *span = strstr(text, " within "), *until = NULL, *on = NULL;
    must_parse(test, span != NULL && (until = strchr(span + 8, ' ')) != NULL, text);
    must_parse(test, (on = strstr(until, " on ")) != NULL, text);
    *span = *until = *on = '\0';
    must_parse(test, parse_duration(span + 8, &before) && parse_duration(until + 1, &after), text);
    job_add_window(&test->job, JOB_WITHIN, on + 4, before, after);
    struct job_step *step = &test->job.steps[test->job.step_count - 1];
    step->second = text;
    step->third = is_left ? "left" : NULL;
}

/* The format that a word begins with. */
static weir_format parse_format(const struct test_case *test, const char *word)
{
    static const struct {
        const char *name;
        weir_format format;
    } formats[] = {{"json", WEIR_JSON},
                   {"csv", WEIR_CSV},
                   {"text", WEIR_PLAIN_TEXT},
                   {"raw", WEIR_RAW},
                   {"pairs", JOB_PAIRS}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strncmp(word, formats[i].name, strlen(formats[i].name)) == 0)
            return formats[i].format;
    must_parse(test, false, word);
    return 0;
}

static void parse_step(struct test_case *test, char *line)
{
    static const struct {
        const char *word;
        enum job_step_kind kind;
    } words[] = {{"source", JOB_SOURCE},
                 {"lateness", JOB_LATENESS},
                 {"skew", JOB_SKEW},
                 {"filter", JOB_FILTER},
                 {"check", JOB_CHECK},
                 {"map", JOB_MAP},
                 {"group", JOB_GROUP},
                 {"window", JOB_WINDOW},
                 {"session", JOB_SESSION},
                 {"aggregate", JOB_AGGREGATE},
                 {"emit", JOB_EMIT_FINAL},
                 {"to", JOB_TO},
                 {"to_json", JOB_TO},
                 {"to_csv", JOB_TO},
                 {"to_text", JOB_TO},
                 {"to_raw", JOB_TO},
                 {"to_pairs", JOB_TO},
                 {"unnest", JOB_UNNEST},
                 {"rekey", JOB_REKEY},
                 {"distinct", JOB_DISTINCT},
                 {"source_csv", JOB_SOURCE_AS},
                 {"source_text", JOB_SOURCE_AS},
                 {"source_raw", JOB_SOURCE_AS},
                 {"source_pairs", JOB_SOURCE_AS},
                 {"branch", JOB_BRANCH},
                 {"keep", JOB_KEEP},
                 {"merge", JOB_MERGE},
                 {"latest", JOB_LATEST},
                 {"join", JOB_JOIN},
                 {"left join", JOB_JOIN},
                 {"full join", JOB_JOIN},
                 {"meet", JOB_WITHIN},
                 {"left meet", JOB_WITHIN},
                 {"filter_fn", JOB_FILTER_FN},
                 {"map_fn", JOB_MAP_FN},
                 {"flat_map_fn", JOB_FLAT_MAP_FN},
                 {"aggregate_fn", JOB_AGGREGATE_FN}};
    char *rest = NULL, *second = NULL, *third = NULL;
    size_t i = 0;
    while (i < sizeof words / sizeof words[0] && (rest = after_word(line, words[i].word)) == NULL)
        i++;
    must_parse(test, rest != NULL, line);
    enum job_step_kind kind = words[i].kind;
    int64_t number = 0;
    if (kind == JOB_TO && line[2] == '_')
        number = parse_format(test, line + strlen("to_"));
    if (kind == JOB_SOURCE_AS) {
        number = parse_format(test, line + strlen("source_"));
        third = strstr(rest, ": ");
        if (third != NULL) {
            *third = '\0';
            third += 2;
        }
    }
    if ((kind == JOB_SOURCE || kind == JOB_SOURCE_AS) && (second = strstr(rest, " by ")) != NULL) {
        *second = '\0';
        second += 4;
    } else if (kind == JOB_JOIN) {
        char *on = strstr(rest, " on ");
        must_parse(test, (third = strstr(on != NULL ? on : rest, ": ")) != NULL, line);
        *third = '\0';
        second = rest;
        rest = on;
        if (on != NULL) {
            *on = '\0';
            rest = on + 4;
        }
        third += 2;
        number = line[0] == 'l'   ? WEIR_JOIN_LEFT
                 : line[0] == 'f' ? WEIR_JOIN_FULL
                                  : WEIR_JOIN_INNER;
    } else if (kind == JOB_WINDOW) {
        parse_window(test, rest);
        return;
    } else if (kind == JOB_WITHIN) {
        parse_meet(test, rest, line[0] == 'l');
        return;
    } else if (kind == JOB_LATENESS || kind == JOB_SKEW || kind == JOB_SESSION) {
        must_parse(test, parse_duration(rest, &number), line);
    } else if (kind == JOB_DISTINCT) {
        char *columns = strstr(rest, ": ");
        must_parse(test, columns != NULL, line);
        *columns = '\0';
        must_parse(test, parse_duration(rest, &number), line);
        rest = columns + 2;
    } else if (kind == JOB_BRANCH) {
        char *conditions = strstr(rest, ": ");
        must_parse(test, conditions != NULL, line);
        number = strtoll(rest, NULL, 10);
        rest = conditions + 2;
    } else if (kind == JOB_UNNEST) {
        must_parse(test, (second = strstr(rest, " AS ")) != NULL, line);
        *second = '\0';
        second += 4;
    } else if (kind == JOB_FILTER_FN || kind == JOB_MAP_FN || kind == JOB_FLAT_MAP_FN ||
               kind == JOB_AGGREGATE_FN) {
        char *list = strstr(rest, ": ");
        must_parse(test, list != NULL, line);
        *list = '\0';
        second = rest;
        rest = list + 2;
        if ((third = strstr(rest, " -> ")) != NULL) {
            *third = '\0';
            third += 4;
        }
    } else if (kind == JOB_CHECK) {
        char *condition = strstr(rest, ": ");
        must_parse(test, condition != NULL, line);
        *condition = '\0';
        second = rest;
        rest = condition + 2;
    }
    job_add(&test->job, kind, rest, second, number);
    test->job.steps[test->job.step_count - 1].third = third;
}

static void parse_run(struct test_case *test, char *line)
{
    char *rest;
    if ((rest = after_word(line, "partitions")) != NULL)
        test->partitions = (int32_t)strtol(rest, NULL, 10);
    else if (strcmp(line, "close windows") == 0)
        test->close_windows = true;
    else if (strcmp(line, "whole") == 0)
        test->is_whole = true;
    else if ((rest = after_word(line, "partitioned by")) != NULL)
        test->partitioned_by = rest;
    else if ((rest = after_word(line, "key")) != NULL)
        test->key_field = rest;
    else if ((rest = after_word(line, "topic")) != NULL) {
        char *partitions = strchr(rest, ' ');
        must_parse(test, partitions != NULL, line);
        *partitions = '\0';
        test->made_topic = rest;
        test->made_partitions = (int32_t)strtol(partitions + 1, NULL, 10);
    } else
        must_parse(test, false, line);
}

static struct section *parse_heading(struct test_case *test, char *line)
{
    static const struct {
        const char *word;
        enum section_kind kind;
    } words[] = {{"input", SECTION_INPUT},
                 {"output", SECTION_OUTPUT},
                 {"late", SECTION_LATE},
                 {"dead", SECTION_DEAD}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char *rest = after_word(line, words[i].word);
        if (rest == NULL)
            continue;
        must_parse(test, test->section_count < SECTIONS_MAX, line);
        struct section *section = &test->sections[test->section_count++];
        section->kind = words[i].kind;
        section->topic = rest;
        return section;
    }
    must_parse(test, false, line);
    return NULL;
}

static void parse_case(struct test_case *test)
{
    struct section *section = NULL;
    bool in_pipeline = false, in_sql = false;
    test->job.app = "case";
    buf_init(&test->sql, 0);
    for (char *line = test->text, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (line[0] != ' ') {
            in_pipeline = strcmp(line, "pipeline") == 0;
            in_sql = strcmp(line, "sql") == 0;
            section = in_pipeline || in_sql || strcmp(line, "run") == 0 ? NULL
                                                                        : parse_heading(test, line);
            continue;
        }
        must_parse(test, strncmp(line, "  ", 2) == 0, line);
        if (section != NULL) {
            must_parse(test, section->line_count < LINES_MAX, line);
            section->lines[section->line_count++] = unescape(&test->arena, line + 2);
        } else if (in_pipeline) {
            parse_step(test, line + 2);
        } else if (in_sql) {
            buf_printf(&test->sql, "%s\n", line + 2);
        } else {
            parse_run(test, line + 2);
        }
    }
    must(buf_ok(&test->sql));
    if (test->sql.size > 0)
        must_parse(test, job_set_sql(&test->job, (const char *)test->sql.data, test->sql.size) == 0,
                   "sql");
}

/* ---- input ---- */

struct input_record {
    int32_t partition;
    int64_t timestamp_ms;
    struct bytes key, value;
};

static bool take_prefix(struct bytes *in, const char *word, struct bytes *value)
{
    size_t size = strlen(word);
    if (in->size < size || memcmp(in->data, word, size) != 0)
        return false;
    const uint8_t *end = memchr(in->data, ' ', in->size);
    if (end == NULL)
        return false;
    *value = bytes_of(in->data + size, (size_t)(end - in->data) - size);
    *in = bytes_of(end + 1, in->size - (size_t)(end - in->data) - 1);
    return true;
}

/* The text of "field":"…" in a plain document; null when there is none. */
static struct bytes plain_field(struct bytes value, const char *field)
{
    char pattern[128];
    int size = snprintf(pattern, sizeof pattern, "\"%s\":\"", field);
    const uint8_t *at =
        value.data != NULL ? memmem(value.data, value.size, pattern, (size_t)size) : NULL;
    if (at == NULL)
        return (struct bytes){NULL, 0};
    at += size;
    const uint8_t *end = memchr(at, '"', (size_t)(value.data + value.size - at));
    return end == NULL ? (struct bytes){NULL, 0} : bytes_of(at, (size_t)(end - at));
}

static int64_t number_of(struct bytes text)
{
    char copy[32] = "";
    must(text.size < sizeof copy);
    memcpy(copy, text.data, text.size);
    return strtoll(copy, NULL, 10);
}

static struct input_record parse_record(const struct test_case *test, struct bytes line,
                                        size_t index, int32_t partitions)
{
    struct input_record record = {.partition = (int32_t)(index % (size_t)partitions),
                                  .timestamp_ms = RECORD_TIME_MS};
    struct bytes text, rest = line;
    bool has_key = false, has_place = false;
    for (;;) {
        if (take_prefix(&rest, "key=", &text)) {
            record.key = text;
            has_key = true;
        } else if (take_prefix(&rest, "time=", &text)) {
            record.timestamp_ms = number_of(text);
        } else if (take_prefix(&rest, "partition=", &text)) {
            record.partition = (int32_t)number_of(text);
            has_place = true;
        } else {
            break;
        }
    }
    record.value = bytes_equal(rest, bytes_text("(null)"))    ? (struct bytes){NULL, 0}
                   : bytes_equal(rest, bytes_text("(empty)")) ? bytes_of("", 0)
                                                              : rest;
    if (!has_key && test->key_field != NULL)
        record.key = plain_field(record.value, test->key_field);
    if (!has_place && test->partitioned_by != NULL && record.key.data != NULL)
        record.partition = -1;
    return record;
}

static void create_sources(const struct test_case *test, struct log *log, int32_t partitions)
{
    if (test->made_topic != NULL)
        must(topic_create(log, test->made_topic, test->made_partitions, NULL, 0, NULL) == 0);
    for (size_t i = 0; i < test->section_count; i++) {
        const struct section *section = &test->sections[i];
        if (section->kind != SECTION_INPUT)
            continue;
        struct diag diag;
        struct config_entry config = {"weir.partitioned.by", test->partitioned_by};
        if (topic_create(log, section->topic, partitions, &config, test->partitioned_by != NULL,
                         &diag) < 0) {
            complain(test, "%s", diag.text);
            exit(2);
        }
    }
}

/* Sends lines [from, to) of each source, one record a batch in offset order per partition. */
static void send_lines(const struct test_case *test, struct log *log, const struct section *section,
                       size_t from, size_t to, int32_t partitions)
{
    struct sender *sender;
    struct diag diag;
    must(sender_open(log, section->topic, NULL, &sender, &diag) == 0);
    for (size_t i = from; i < to; i++) {
        struct input_record record = parse_record(test, section->lines[i], i, partitions);
        int rc = sender_send(sender, record.partition, record.timestamp_ms, record.key,
                             record.value, (struct bytes){NULL, 0}, 0, &diag);
        if (rc < 0)
            complain(test, "line %zu: %s", i, diag.text);
        must(rc == 0);
    }
    must(sender_flush(sender, true, &diag) == 0);
    sender_close(sender);
}

/* ---- comparing ---- */

struct lines {
    struct bytes items[4 * LINES_MAX];
    size_t count;
};

static int compare_lines(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static void print_line(const char *what, struct bytes line)
{
    fprintf(stderr, "  %s ", what);
    for (size_t i = 0; i < line.size && i < 300; i++)
        if (line.data[i] < 32 || line.data[i] > 126)
            fprintf(stderr, "\\x%02x", line.data[i]);
        else
            fputc(line.data[i], stderr);
    fprintf(stderr, line.size > 300 ? "…\n" : "\n");
}

static bool same_lines(const struct test_case *test, const char *what, const char *topic,
                       const struct section *expected, struct lines *actual)
{
    struct bytes wanted[LINES_MAX];
    size_t wanted_count = expected != NULL ? expected->line_count : 0, a = 0, w = 0;
    bool same = true;
    if (wanted_count > 0) {
        memcpy(wanted, expected->lines, wanted_count * sizeof *wanted);
        qsort(wanted, wanted_count, sizeof *wanted, compare_lines);
    }
    if (actual->count > 0)
        qsort(actual->items, actual->count, sizeof *actual->items, compare_lines);
    while (a < actual->count || w < wanted_count) {
        int order = a == actual->count  ? 1
                    : w == wanted_count ? -1
                                        : bytes_compare(actual->items[a], wanted[w]);
        if (order == 0) {
            a++;
            w++;
            continue;
        }
        if (same)
            complain(test, "%s %s differs", what, topic);
        same = false;
        if (order < 0)
            print_line("came:  ", actual->items[a++]);
        else
            print_line("wanted:", wanted[w++]);
    }
    return same;
}

static void add_nullable(struct buf *out, struct bytes value, const char *when_null)
{
    if (value.data == NULL)
        buf_printf(out, "%s", when_null);
    else if (value.size == 0)
        buf_printf(out, "(empty)");
    else
        buf_append_bytes(out, value);
}

static void add_line(struct lines *lines, struct arena *arena, struct buf *text)
{
    must(lines->count < sizeof lines->items / sizeof lines->items[0] && buf_ok(text));
    lines->items[lines->count++] = arena_copy(arena, bytes_of(text->data, text->size));
    buf_clear(text);
}

/* The record that a dead letter or late row says it came from must be there and have the same key
 * and value. */
static bool leads_to_source(const struct test_case *test, struct log *log,
                            const struct topic_row *row)
{
    struct bytes topic = topic_row_header(row, "weir.source.topic");
    char name[250] = "";
    if (topic.data == NULL || topic.size >= sizeof name) {
        complain(test, "a row without weir.source.topic");
        return false;
    }
    memcpy(name, topic.data, topic.size);
    int32_t partition = (int32_t)topic_row_header_i64(row, "weir.source.partition");
    int64_t offset = topic_row_header_i64(row, "weir.source.offset");
    int64_t timestamp = topic_row_header_i64(row, "weir.source.timestamp");
    struct topic_rows source;
    topic_rows_init(&source);
    topic_rows_read_partition(log, name, partition, offset, READ_COMMITTED, &source, NULL);
    bool ok = source.count > 0 && source.items[0].offset == offset &&
              source.items[0].timestamp_ms == timestamp &&
              bytes_equal(source.items[0].key, row->key) &&
              bytes_equal(source.items[0].value, row->value) &&
              topic_row_header(row, "weir.stage").size > 0;
    topic_rows_deinit(&source);
    if (!ok)
        complain(test, "a row does not match its source record %s/%d offset %lld", name,
                 (int)partition, (long long)offset);
    return ok;
}

static void render(enum section_kind kind, const struct topic_row *row, struct buf *text)
{
    if (kind == SECTION_OUTPUT) {
        add_nullable(text, row->key, "null");
    } else if (kind == SECTION_DEAD) {
        add_nullable(text, topic_row_header(row, "weir.error.class"), "(no class)");
    } else {
        add_nullable(text, topic_row_header(row, "weir.window.start"), "(no start)");
        buf_printf(text, " .. ");
        add_nullable(text, topic_row_header(row, "weir.window.end"), "(no end)");
        buf_printf(text, " +%lld", (long long)topic_row_header_i64(row, "weir.lateness_ms"));
    }
    buf_printf(text, " => ");
    add_nullable(text, row->value, "(null)");
}

static bool check_topic(const struct test_case *test, struct log *log, enum section_kind kind,
                        const char *topic, const struct section *expected, int64_t *row_count)
{
    struct topic_rows rows;
    struct lines *lines = calloc(1, sizeof *lines);
    struct buf text;
    bool ok = true;
    must(lines != NULL);
    buf_init(&text, 0);
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    if (kind == SECTION_OUTPUT && job_topic_is_upsert(&test->job, topic))
        topic_rows_latest(&rows);
    for (size_t i = 0; i < rows.count; i++) {
        if (kind != SECTION_OUTPUT)
            ok = leads_to_source(test, log, &rows.items[i]) && ok;
        if (kind == SECTION_DEAD &&
            topic_row_header(&rows.items[i], "weir.error.message").size == 0) {
            complain(test, "a dead letter without a message");
            ok = false;
        }
        render(kind, &rows.items[i], &text);
        add_line(lines, &rows.arena, &text);
    }
    *row_count += (int64_t)rows.count;
    ok = same_lines(test,
                    kind == SECTION_OUTPUT ? "output"
                    : kind == SECTION_LATE ? "late rows of"
                                           : "dead letters in",
                    topic, expected, lines) &&
         ok;
    topic_rows_deinit(&rows);
    buf_deinit(&text);
    free(lines);
    return ok;
}

static const struct section *find_section(const struct test_case *test, enum section_kind kind,
                                          const char *topic)
{
    for (size_t i = 0; i < test->section_count; i++)
        if (test->sections[i].kind == kind &&
            (kind == SECTION_DEAD || strcmp(test->sections[i].topic, topic) == 0))
            return &test->sections[i];
    return NULL;
}

/* Every topic that the job writes is compared, also those without a section. */
static bool check_all(const struct test_case *test, const char *dir, const weir_progress *progress)
{
    struct log *log = topic_log_open(dir);
    int64_t outputs = 0, late = 0, dead = 0;
    bool ok = true;
    for (int i = 0; i < test->job.step_count; i++) {
        const struct job_step *step = &test->job.steps[i];
        char late_topic[260];
        if (step->kind != JOB_TO)
            continue;
        snprintf(late_topic, sizeof late_topic, "%s.late", step->text);
        ok = check_topic(test, log, SECTION_OUTPUT, step->text,
                         find_section(test, SECTION_OUTPUT, step->text), &outputs) &&
             ok;
        ok = check_topic(test, log, SECTION_LATE, late_topic,
                         find_section(test, SECTION_LATE, step->text), &late) &&
             ok;
    }
    ok = check_topic(test, log, SECTION_DEAD, "case.dlq", find_section(test, SECTION_DEAD, NULL),
                     &dead) &&
         ok;
    if (!accounts_close(log, test->job.app, false)) {
        complain(test, "accounts do not close");
        ok = false;
    }
    log_close(log);
    if (progress->rows_in + progress->rows_made !=
        progress->rows_applied + progress->rows_filtered + progress->rows_late +
            progress->rows_duplicate + progress->rows_dead + progress->rows_unmatched) {
        complain(test,
                 "sums do not close: in %lld + made %lld = applied %lld + filtered %lld + late "
                 "%lld + duplicate %lld + dead %lld + unmatched %lld",
                 (long long)progress->rows_in, (long long)progress->rows_made,
                 (long long)progress->rows_applied, (long long)progress->rows_filtered,
                 (long long)progress->rows_late, (long long)progress->rows_duplicate,
                 (long long)progress->rows_dead, (long long)progress->rows_unmatched);
        ok = false;
    }
    return ok;
}

/* ---- running ---- */

static bool run_app(const struct test_case *test, const char *dir, const struct variant *variant,
                    bool close_windows, weir_progress *sum)
{
    char error[1024] = "";
    weir_options options = {
        .data = dir,
        .threads = variant->threads,
        .batch_rows = variant->batch_rows,
        .until_end = true,
        .close_windows = close_windows,
    };
    weir_progress run;
    int rc = job_run(&test->job, &options, &run, error, sizeof error);
    if (rc < 0)
        complain(test, "the app failed: %s (%s)", error, weir_strerror(rc));
    sum->rows_in += run.rows_in;
    sum->rows_made += run.rows_made;
    sum->rows_applied += run.rows_applied;
    sum->rows_filtered += run.rows_filtered;
    sum->rows_late += run.rows_late;
    sum->rows_duplicate += run.rows_duplicate;
    sum->rows_dead += run.rows_dead;
    sum->rows_unmatched += run.rows_unmatched;
    return rc == 0;
}

static bool is_restart(const struct section *section, size_t line)
{
    return bytes_equal(section->lines[line], bytes_text("----"));
}

/* Sends the input up to each restart and runs the app on it. */
static bool run_rounds(const struct test_case *test, const char *dir, const struct variant *variant,
                       weir_progress *progress)
{
    size_t from[SECTIONS_MAX] = {0};
    bool ok = true, more = true;
    struct log *log = topic_log_open(dir);
    create_sources(test, log, variant->partitions);
    log_close(log);
    for (int round = 0; ok && more; round++) {
        bool is_cut = variant->is_split && round == 0;
        log = topic_log_open(dir);
        more = is_cut;
        for (size_t i = 0; i < test->section_count; i++) {
            const struct section *section = &test->sections[i];
            if (section->kind != SECTION_INPUT)
                continue;
            size_t to = from[i];
            while (to < section->line_count && !is_restart(section, to) &&
                   !(is_cut && to >= section->line_count / 2))
                to++;
            send_lines(test, log, section, from[i], to, variant->partitions);
            bool at_mark = to < section->line_count && is_restart(section, to);
            is_cut = is_cut && !at_mark;
            from[i] = to + at_mark;
            more = more || at_mark;
        }
        log_close(log);
        ok = run_app(test, dir, variant, test->close_windows && !is_cut, progress);
    }
    return ok;
}

/* By the second evaluator, which takes as long as a run: once for each way of cutting the input. */
static bool check_views(const struct test_case *test, const char *dir,
                        const struct variant *variant)
{
    bool ok = true;
    if (variant->batch_rows != BATCH_VERIFIED)
        return true;
    for (int i = 0; i < test->job.step_count; i++)
        if (test->job.steps[i].kind == JOB_TO)
            ok = view_is_verified(dir, test->job.app, test->job.steps[i].text) && ok;
    return ok;
}

static bool run_variant(const struct test_case *test, const struct variant *variant)
{
    char *dir = scratch_dir_create();
    weir_progress progress = {0};
    bool ok = run_rounds(test, dir, variant, &progress) && check_all(test, dir, &progress) &&
              check_views(test, dir, variant);
    if (!ok)
        complain(test, "with %d partition(s), %d thread(s), batches of %d row(s)%s",
                 (int)variant->partitions, variant->threads, variant->batch_rows,
                 variant->is_split ? ", restarted in the middle" : "");
    scratch_dir_remove(dir);
    return ok;
}

static void run_case(void **state)
{
    static const int32_t partition_counts[] = {1, 3};
    static const int batch_rows[] = {1, BATCH_VERIFIED, 4096};
    const struct test_case *test = *state;
    bool ok = true;
    for (size_t p = 0; p < 2; p++) {
        if (test->partitions != 0 && test->partitions != partition_counts[p])
            continue;
        for (int threads = 1; ok && threads <= 2; threads++) {
            for (size_t b = 0; ok && b < 3; b++)
                ok = run_variant(
                    test, &(struct variant){partition_counts[p], threads, batch_rows[b], false});
            if (!test->is_whole)
                ok = ok && run_variant(test, &(struct variant){partition_counts[p], threads,
                                                               BATCH_VERIFIED, true});
        }
    }
    assert_true(ok);
}

/* ---- finding cases ---- */

static struct test_case *load_case(const char *folder, const char *file)
{
    struct test_case *test = calloc(1, sizeof *test);
    char *path = scratch_path(folder, "%s", file);
    struct diag diag;
    size_t size;
    must(test != NULL);
    arena_init(&test->arena, 0);
    test->name = strdup(file);
    test->name[strlen(file) - strlen(".case")] = '\0';
    if (io_read_file(path, 1 << 20, &test->text, &size, &diag) < 0) {
        fprintf(stderr, "%s\n", diag.text);
        exit(2);
    }
    free(path);
    parse_case(test);
    return test;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

/* test_cases [TEXT]: only the cases whose name contains TEXT. */
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[CASES_MAX];
    size_t count = 0;
    const char *root = getenv("WEIR_SOURCE_DIR");
    char folder[4096];
    if (root != NULL)
        snprintf(folder, sizeof folder, "%s/tests/cases", root);
    else
        snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    scratch_dir_in_memory();
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        perror(folder);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *end = strrchr(entry->d_name, '.');
        if (end == NULL || strcmp(end, ".case") != 0 ||
            (argc > 1 && strstr(entry->d_name, argv[1]) == NULL))
            continue;
        must(count < CASES_MAX);
        struct test_case *test = load_case(folder, entry->d_name);
        tests[count++] = (struct CMUnitTest){test->name, run_case, NULL, NULL, test};
    }
    closedir(directory);
    qsort(tests, count, sizeof *tests, compare_names);
    int failures = _cmocka_run_group_tests("cases", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        struct test_case *test = tests[i].initial_state;
        free(test->name);
        free(test->text);
        arena_deinit(&test->arena);
        job_release(&test->job);
        buf_deinit(&test->sql);
        free(test);
    }
    return failures == 0 && count > 0 ? 0 : 1;
}
