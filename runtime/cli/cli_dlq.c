/* cli_dlq.c: weir dlq list and show: what was rejected, why, and what came too late.
 *
 * Dead letters are in <app>.dlq, late rows in <view>.late. list counts them by stage, class and
 * source; show prints them: the source record as it was, and beside it what the engine added
 * (dead_letter.h). Both say what was written back to its source already (replay_notes.h); that is
 * cli_dlq_replay.c's. Nothing here changes anything. */
#include "runtime/base/clock.h"
#include "runtime/cli/app_progress.h"
#include "runtime/cli/consume_format.h"
#include "runtime/cli/json_check.h"
#include "runtime/cli/letter_filter.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/replay_notes.h"
#include "runtime/cli/topic_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_BYTES = 256 << 10, SHOWN_VALUE_BYTES = 2000, PARTITION_BITS = 10000 };

/* ---- list ---- */

/* Letters of one topic that differ in neither stage, class nor source topic. */
struct letter_group {
    const char *topic; /* of the letters */
    char *stage, *error_class, *source;
    int64_t records, replayed, first_ms, last_ms;
    uint8_t partitions[PARTITION_BITS / 8];
};
struct listing {
    struct letter_filter filter;
    struct replay_notes *notes;
    struct buf scratch;
    struct letter_group *groups;
    size_t count, capacity;
};

static bool is_same(const char *text, struct bytes bytes)
{
    return bytes_equal(bytes_text(text), bytes.data != NULL ? bytes : bytes_text(""));
}

static char *copy_text(struct bytes bytes)
{
    return strndup(bytes.data != NULL ? (const char *)bytes.data : "", bytes.size);
}

static struct letter_group *find_group(const struct listing *listing, const char *topic,
                                       const struct dead_letter *letter)
{
    for (size_t i = 0; i < listing->count; i++) {
        struct letter_group *group = &listing->groups[i];
        if (group->topic == topic && is_same(group->stage, letter->stage) &&
            is_same(group->error_class, letter->error_class) &&
            is_same(group->source, letter->source_topic))
            return group;
    }
    return NULL;
}

/* NULL: no memory. */
static struct letter_group *take_group(struct listing *listing, const char *topic,
                                       const struct dead_letter *letter)
{
    struct letter_group *group = find_group(listing, topic, letter);
    if (group != NULL)
        return group;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 16 : listing->capacity * 2;
        struct letter_group *groups = realloc(listing->groups, capacity * sizeof *groups);
        if (groups == NULL)
            return NULL;
        listing->groups = groups;
        listing->capacity = capacity;
    }
    group = &listing->groups[listing->count++];
    *group = (struct letter_group){.topic = topic,
                                   .stage = copy_text(letter->stage),
                                   .error_class = copy_text(letter->error_class),
                                   .source = copy_text(letter->source_topic),
                                   .first_ms = INT64_MAX,
                                   .last_ms = INT64_MIN};
    bool is_whole = group->stage != NULL && group->error_class != NULL && group->source != NULL;
    return is_whole ? group : NULL;
}

static bool has_source(const struct dead_letter *letter)
{
    return letter->source_topic.data != NULL;
}

/* The topic that the letter's record was written back to. ERR_NOMEM; *target NULL: to none. */
static int replayed_to(const struct replay_notes *notes, const struct record *record,
                       const struct dead_letter *letter, struct buf *scratch, const char **target)
{
    struct replayed source = {letter->source_topic, letter->source_partition, letter->source_offset,
                              0};
    *target = NULL;
    if (!has_source(letter))
        return 0;
    TRY(dead_letter_fingerprint(record, letter, scratch, &source.fingerprint));
    *target = replay_notes_target(notes, &source);
    return 0;
}

static int count_letter(void *context, const struct scan_place *place, const struct record *record,
                        struct diag *diag)
{
    struct listing *listing = context;
    struct dead_letter letter;
    const char *target;
    dead_letter_read(record, &letter);
    if (!letter_filter_takes(&listing->filter, record, &letter))
        return 0;
    struct letter_group *group = take_group(listing, place->topic, &letter);
    if (group == NULL ||
        replayed_to(listing->notes, record, &letter, &listing->scratch, &target) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory for the list of dead letters");
    int64_t time_ms = has_source(&letter) ? letter.source_timestamp_ms : record->timestamp_ms;
    group->records++;
    group->replayed += target != NULL;
    group->first_ms = time_ms < group->first_ms ? time_ms : group->first_ms;
    group->last_ms = time_ms > group->last_ms ? time_ms : group->last_ms;
    if (has_source(&letter))
        group->partitions[letter.source_partition / 8] |=
            (uint8_t)(1u << letter.source_partition % 8);
    return 0;
}

static bool has_partition(const struct letter_group *group, int partition)
{
    return partition < PARTITION_BITS &&
           (group->partitions[partition / 8] >> partition % 8 & 1) != 0;
}

/* "0-3,7", with json "[0,1,2,3,7]". */
static void put_partitions(struct buf *text, const struct letter_group *group, bool json)
{
    const char *comma = "";
    if (json)
        buf_u8(text, '[');
    for (int i = 0; i < PARTITION_BITS; i++) {
        int last = i;
        if (!has_partition(group, i))
            continue;
        while (!json && has_partition(group, last + 1))
            last++;
        buf_printf(text, "%s%d", comma, i);
        if (last > i)
            buf_printf(text, "-%d", last);
        comma = ",";
        i = last;
    }
    if (json)
        buf_u8(text, ']');
}

static void put_member(const char *name, const char *text)
{
    buf_printf(&out, ",\"%s\":", name);
    if (text[0] != '\0')
        out_json_text(text);
    else
        out_text("null");
}

static void list_json(const struct letter_group *group)
{
    out_text("{\"topic\":");
    out_json_text(group->topic);
    put_member("stage", group->stage);
    put_member("class", group->error_class);
    put_member("source", group->source);
    out_text(",\"partitions\":");
    put_partitions(&out, group, true);
    buf_printf(&out,
               ",\"records\":%" PRId64 ",\"replayed\":%" PRId64 ",\"first\":%" PRId64
               ",\"last\":%" PRId64 "}\n",
               group->records, group->replayed, group->first_ms, group->last_ms);
}

static void list_row(struct table *table, const struct letter_group *group)
{
    char first[40], last[40];
    struct buf partitions = {0};
    time_format_iso(group->first_ms, first);
    time_format_iso(group->last_ms, last);
    put_partitions(&partitions, group, false);
    table_cell(table, "%s", group->topic);
    table_cell(table, "%s", group->stage[0] != '\0' ? group->stage : "-");
    table_cell(table, "%s", group->error_class[0] != '\0' ? group->error_class : "-");
    table_cell(table, "%s", group->source[0] != '\0' ? group->source : "-");
    table_cell(table, "%.*s", (int)partitions.size,
               partitions.size > 0 ? (const char *)partitions.data : "");
    table_cell(table, "%" PRId64, group->records);
    table_cell(table, "%" PRId64, group->replayed);
    table_cell(table, "%s", first);
    table_cell(table, "%s", last);
    out.failed = out.failed || partitions.failed;
    buf_deinit(&partitions);
}

/* By topic, then the largest group first. */
static int compare_groups(const void *a, const void *b)
{
    const struct letter_group *left = a, *right = b;
    int order = strcmp(left->topic, right->topic);
    if (order == 0)
        order = (left->records < right->records) - (left->records > right->records);
    if (order == 0)
        order = strcmp(left->stage, right->stage);
    if (order == 0)
        order = strcmp(left->error_class, right->error_class);
    return order != 0 ? order : strcmp(left->source, right->source);
}

static void print_groups(const struct listing *listing, int64_t max, bool json)
{
    static const char *const headers[] = {"TOPIC",    "STAGE",     "CLASS", "SOURCE", "PARTITIONS",
                                          ">RECORDS", ">REPLAYED", "FIRST", "LAST"};
    struct table table;
    table_init(&table, headers, 9);
    for (size_t i = 0; i < listing->count && (int64_t)i < max; i++) {
        if (json)
            list_json(&listing->groups[i]);
        else
            list_row(&table, &listing->groups[i]);
    }
    table_print(&table, !json && listing->count > 0);
}

/* Whether the topic is the app's: <app>.dlq, or that of the late rows of one of its views. */
static bool is_of_app(const char *topic, const char *app, const struct progress_set *set)
{
    char name[600], view[250];
    snprintf(name, sizeof name, "%s.dlq", app);
    bool is_found = strcmp(name, topic) == 0;
    for (uint32_t i = 0; i < set->count && !is_found; i++) {
        progress_view(&set->items[i], view);
        snprintf(name, sizeof name, "%s.late", view);
        is_found = strcmp(name, topic) == 0;
    }
    return is_found;
}

static int list_topics(struct log *log, struct listing *listing, const char *app,
                       struct topic_info *topics, size_t count, struct diag *diag)
{
    struct progress_set set = {0};
    int code = app != NULL ? app_progress_read(log, app, &set, diag) : 0;
    if (code == ERR_NOT_FOUND)
        diag_set(diag, code, "app %s never ran here", app);
    for (size_t i = 0; code == 0 && i < count; i++)
        if (letter_topic_is(topics[i].name) &&
            (app == NULL || is_of_app(topics[i].name, app, &set)))
            code = topic_scan(log, &topics[i], count_letter, listing, diag);
    progress_set_deinit(&set);
    return code;
}

static void listing_deinit(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->groups[i].stage);
        free(listing->groups[i].error_class);
        free(listing->groups[i].source);
    }
    free(listing->groups);
    buf_deinit(&listing->scratch);
    replay_notes_close(listing->notes);
}

/* An interrupted walk needs no sentence. */
static int scan_failed(int code, const struct diag *diag)
{
    return code == ERR_STOPPED && interrupted() ? EXIT_INTERRUPTED : failed(code, diag);
}

static int default_format(void)
{
    return terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON;
}

static int run_list(struct cli *cli)
{
    struct listing listing = {0};
    struct topic_info *topics = NULL;
    struct diag diag = {0};
    struct log *log;
    size_t count = 0;
    int64_t max;
    int format = flag_choice(cli, "format", format_choices, 2, default_format());
    int exit_code = format < 0 ? EXIT_USAGE : letter_filter_parse(cli, &listing.filter);
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &max);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    int code = replay_notes_open(log, &listing.notes, &diag);
    if (code == 0)
        code = topic_list(log, &topics, &count);
    if (code == 0)
        code = list_topics(log, &listing, flag_text(cli, "app"), topics, count, &diag);
    if (code == 0 && listing.count > 0)
        qsort(listing.groups, listing.count, sizeof *listing.groups, compare_groups);
    if (code == 0)
        print_groups(&listing, max, format == FORMAT_JSON);
    else
        exit_code = scan_failed(code, &diag);
    listing_deinit(&listing);
    free(topics);
    log_close(log);
    return exit_code;
}

/* ---- show ---- */

struct showing {
    struct letter_filter filter;
    struct replay_notes *notes;
    struct buf scratch;
    int64_t left;
    bool json;
};

static void put_bytes_member(const char *name, struct bytes bytes)
{
    buf_printf(&out, ",\"%s\":", name);
    consume_put_bytes(&out, bytes);
}

/* The source record: what the letter's key, value and own headers make. */
static struct record source_record(const struct record *record, const struct dead_letter *letter)
{
    struct record source = *record;
    source.headers = letter->headers;
    source.header_count = letter->header_count;
    if (has_source(letter))
        source.timestamp_ms = letter->source_timestamp_ms;
    return source;
}

static void show_json(const struct scan_place *place, const struct record *record,
                      const struct dead_letter *letter, const char *target)
{
    const struct record source = source_record(record, letter);
    buf_printf(&out,
               "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%" PRId64 ",\"timestamp\":%" PRId64
               ",",
               place->topic, place->partition, record->offset, source.timestamp_ms);
    consume_put_content(&out, &source);
    put_bytes_member("stage", letter->stage);
    put_bytes_member("class", letter->error_class);
    if (letter->kind == LETTER_DEAD || letter->kind == LETTER_RESULT)
        put_bytes_member("message", letter->error_message);
    if (has_source(letter)) {
        out_text(",\"source\":{\"topic\":");
        consume_put_bytes(&out, letter->source_topic);
        buf_printf(&out, ",\"partition\":%d,\"offset\":%" PRId64, letter->source_partition,
                   letter->source_offset);
        if (letter->element.data != NULL)
            put_bytes_member("element", letter->element);
        out_text("}");
    }
    if (letter->kind == LETTER_LATE) {
        out_text(",\"window\":{\"start\":");
        consume_put_bytes(&out, letter->window_start);
        put_bytes_member("end", letter->window_end);
        buf_printf(&out, "},\"lateness_ms\":%" PRId64, letter->lateness_ms);
        if (letter->windows_taken > 0)
            buf_printf(&out, ",\"windows_taken\":%" PRId64, letter->windows_taken);
    }
    put_member("replayed_to", target != NULL ? target : "");
    out_text("}\n");
}

/* Bytes as they can stand on a screen, cut when they are many; base64 where they are no text. */
static void put_shown(struct bytes bytes)
{
    if (bytes.data == NULL) {
        out_text("null");
        return;
    }
    size_t shown = bytes.size < SHOWN_VALUE_BYTES ? bytes.size : SHOWN_VALUE_BYTES;
    while (shown < bytes.size && shown > 0 && (bytes.data[shown] & 0xc0) == 0x80)
        shown--; /* not inside a character */
    struct bytes cut = bytes_of(bytes.data, shown);
    if (!utf8_check(cut) || memchr(cut.data, '\0', cut.size) != NULL) {
        consume_put_bytes(&out, cut);
    } else {
        char *text = copy_text(cut);
        if (text != NULL)
            buf_visible(&out, text, "\t");
        out.failed = out.failed || text == NULL;
        free(text);
    }
    if (shown < bytes.size)
        buf_printf(&out, " … %zu bytes", bytes.size);
}

static void show_line(const char *name, struct bytes bytes)
{
    buf_printf(&out, "  %-9s", name);
    put_shown(bytes);
    out_text("\n");
}

static void show_headers(const struct record *source)
{
    struct bytes rest = source->headers;
    struct header header;
    for (int32_t i = 0; i < source->header_count && header_take(&rest, &header) == 0; i++) {
        buf_printf(&out, "  %-9s", i == 0 ? "headers" : "");
        put_shown(header.key);
        out_text(": ");
        put_shown(header.value);
        out_text("\n");
    }
}

static void show_late(const struct dead_letter *letter)
{
    out_text("  window   ");
    put_shown(letter->window_start);
    out_text(" to ");
    put_shown(letter->window_end);
    buf_printf(&out, ", closed %" PRId64 " ms before", letter->lateness_ms);
    if (letter->windows_taken > 0)
        buf_printf(&out, "; %" PRId64 " other windows took the row", letter->windows_taken);
    out_text("\n");
}

static void show_text(const struct scan_place *place, const struct record *record,
                      const struct dead_letter *letter, const char *target)
{
    const struct record source = source_record(record, letter);
    const char *bold = color_on(STDOUT_FILENO) ? "\033[1m" : "";
    const char *plain = color_on(STDOUT_FILENO) ? "\033[0m" : "";
    char time[40];
    time_format_iso(source.timestamp_ms, time);
    buf_printf(&out, "%s%s-%d %" PRId64 "%s  %s  ", bold, place->topic, place->partition,
               record->offset, plain, time);
    put_shown(letter->kind == LETTER_FOREIGN ? bytes_text("not written by weir")
                                             : letter->error_class);
    out_text("\n");
    if (letter->kind == LETTER_DEAD || letter->kind == LETTER_RESULT)
        show_line("error", letter->error_message);
    if (letter->kind == LETTER_LATE)
        show_late(letter);
    if (letter->stage.data != NULL)
        show_line("stage", letter->stage);
    if (has_source(letter)) {
        buf_printf(&out, "  source   %.*s-%d %" PRId64, (int)letter->source_topic.size,
                   (const char *)letter->source_topic.data, letter->source_partition,
                   letter->source_offset);
        if (letter->element.data != NULL) {
            out_text(", row ");
            put_shown(letter->element);
        }
        if (target != NULL)
            buf_printf(&out, ", replayed to %s", target);
        out_text("\n");
    }
    show_line("key", source.key);
    show_headers(&source);
    show_line("value", source.value);
}

static int show_letter(void *context, const struct scan_place *place, const struct record *record,
                       struct diag *diag)
{
    struct showing *showing = context;
    struct dead_letter letter;
    const char *target;
    if (showing->left == 0)
        return 1;
    dead_letter_read(record, &letter);
    if (!letter_filter_takes(&showing->filter, record, &letter))
        return 0;
    if (replayed_to(showing->notes, record, &letter, &showing->scratch, &target) < 0)
        return diag_set(diag, ERR_NOMEM, "no memory to show a dead letter");
    if (showing->json)
        show_json(place, record, &letter, target);
    else
        show_text(place, record, &letter, target);
    showing->left--;
    return out.size < OUT_BYTES || out_flush() == 0 ? 0 : 1;
}

static int run_show(struct cli *cli)
{
    struct showing showing = {0};
    struct topic_info info;
    struct diag diag = {0};
    struct log *log;
    int format = flag_choice(cli, "format", format_choices, 2, default_format());
    int exit_code = format < 0 ? EXIT_USAGE : letter_filter_parse(cli, &showing.filter);
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &showing.left);
    if (exit_code == 0)
        exit_code = data_open(cli, DATA_MUST_EXIST, &log);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    showing.json = format == FORMAT_JSON;
    int code = letter_topic_find(log, cli->arguments[0], &info, &diag);
    if (code == 0)
        code = replay_notes_open(log, &showing.notes, &diag);
    if (code == 0)
        code = topic_scan(log, &info, show_letter, &showing, &diag);
    if (code < 0) {
        exit_code = scan_failed(code, &diag);
        if (code == ERR_NOT_FOUND)
            hint("'weir dlq list' shows what there is");
    }
    replay_notes_close(showing.notes);
    buf_deinit(&showing.scratch);
    log_close(log);
    return exit_code;
}

/* ---- the table ---- */
static const struct flag list_flags[] = {
    {"app", "NAME", "only the topics of this app [all]", false, 0},
    LETTER_FILTER_FLAGS,
    {"max", "N", "at most N lines", false, 0},
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
static const struct flag show_flags[] = {
    LETTER_FILTER_FLAGS,
    {"max", "N", "at most N records", false, 0},
    {"format", "FORMAT", "text or json [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_dlq_list = {
    .noun = "dlq",
    .verb = "list",
    .arguments = "",
    .summary = "dead letters and late rows, counted by stage and reason",
    .examples = "  weir dlq list\n"
                "  weir dlq list --app orders --from 2026-01-31 --format json\n"
                "  weir dlq list --class not_null --topic orders\n",
    .details = "Dead letters are in the topics APP.dlq, late rows in VIEW.late. PARTITIONS are "
               "those of the source, FIRST and LAST the\n"
               "timestamps of its records. REPLAYED are those that 'weir dlq replay' has written "
               "back.\n",
    .flags = list_flags,
    .run = run_list,
};
const struct command command_dlq_show = {
    .noun = "dlq",
    .verb = "show",
    .arguments = "APP|TOPIC",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "rejected and late records, and what went wrong",
    .examples = "  weir dlq show orders --max 10\n"
                "  weir dlq show orders --class not_null --format json | jq -c .value\n"
                "  weir dlq show revenue-per-day.late\n",
    .details =
        "APP means APP.dlq (where there is none, a view's VIEW.late); a topic is named in full. "
        "key, value and headers are those of\n"
        "the source record, without what weir added; topic, partition and offset say where the "
        "letter lies, source where the record\n"
        "lay. Values that are not UTF-8 are base64, as in 'weir consume'.\n",
    .flags = show_flags,
    .run = run_show,
};
