/* cli_dlq.c: weir dlq list and show: what was rejected, why, and what came too late.
 *
 * Dead letters are in <app>.dlq, late rows in <view>.late. list counts them by stage, class and
 * source (letter_list.h); show prints them: the source record as it was, and beside it what the engine added
 * (dead_letter.h). Both say what was written back to its source already (replay_notes.h); that is
 * cli_dlq_replay.c's. Nothing here changes anything. */
#include "runtime/base/clock.h"
#include "runtime/base/utf8.h"
#include "runtime/cli/letter_flags.h"
#include "runtime/cli/nouns.h"
#include "runtime/cli/served_letters.h"
#include "runtime/records/consume_format.h"
#include "runtime/records/letter_json.h"
#include "runtime/records/letter_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_BYTES = 256 << 10, SHOWN_VALUE_BYTES = 2000 };

/* ---- list ---- */

/* "0-3,7" */
static void put_partitions(struct buf *text, const struct letter_group *group)
{
    const char *comma = "";
    for (int i = 0; i < LETTER_PARTITIONS_MAX; i++) {
        int last = i;
        if (!letter_group_has_partition(group, i))
            continue;
        while (letter_group_has_partition(group, last + 1))
            last++;
        buf_printf(text, "%s%d", comma, i);
        if (last > i)
            buf_printf(text, "-%d", last);
        comma = ",";
        i = last;
    }
}

static void list_row(struct table *table, const struct letter_group *group)
{
    char first[40], last[40];
    struct buf partitions = {0};
    time_format_iso(group->first_ms, first);
    time_format_iso(group->last_ms, last);
    put_partitions(&partitions, group);
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

static void print_groups(const struct letter_list *list, int64_t max, bool json)
{
    static const char *const headers[] = {"TOPIC",    "STAGE",     "CLASS", "SOURCE", "PARTITIONS",
                                          ">RECORDS", ">REPLAYED", "FIRST", "LAST"};
    struct table table;
    table_init(&table, headers, 9);
    for (size_t i = 0; i < list->count && (int64_t)i < max; i++) {
        if (json) {
            letter_group_json(&out, &list->groups[i]);
            buf_u8(&out, '\n');
        } else {
            list_row(&table, &list->groups[i]);
        }
    }
    table_print(&table, !json && list->count > 0);
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

static int count_letter(void *list, const struct found_letter *found, struct diag *diag)
{
    return letter_list_count(list, found) == 0
               ? 0
               : diag_set(diag, ERR_NOMEM, "no memory for the list of dead letters");
}

static int list_directory(struct cli *cli, const struct letter_filter *filter,
                          struct letter_list *list)
{
    struct letter_walk walk = {
        .filter = *filter, .stop = &interrupt_stop, .each = count_letter, .context = list};
    struct scan_from from = {0, 0};
    struct diag diag = {0};
    char topic[250] = "";
    int exit_code = data_open(cli, DATA_MUST_EXIST, &walk.log);
    if (exit_code != 0)
        return exit_code;
    int code = letter_walk_open(&walk, &diag);
    if (code == 0)
        code = letter_walk_topics(&walk, flag_text(cli, "app"), topic, &from, &diag);
    letter_walk_close(&walk);
    log_close(walk.log);
    return code < 0 ? scan_failed(code, &diag) : 0;
}

static int run_list(struct cli *cli)
{
    struct letter_filter filter;
    struct letter_list list = {.groups = NULL};
    struct http_client *client;
    struct reach reach;
    int64_t max;
    int format = flag_choice(cli, "format", format_choices, 2, default_format());
    int exit_code = format < 0 ? EXIT_USAGE : letter_flags_parse(cli, &filter);
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &max);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL
                        ? served_letters_count(client, flag_text(cli, "app"), &filter, &list)
                        : list_directory(cli, &filter, &list);
    http_leave(&reach, client);
    letter_list_sort(&list);
    if (exit_code == 0)
        print_groups(&list, max, format == FORMAT_JSON);
    letter_list_deinit(&list);
    return exit_code;
}

/* ---- show ---- */

struct showing {
    int64_t left;
    bool json;
};

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
        char *text = strndup((const char *)cut.data, cut.size);
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

static void show_text(const struct found_letter *found)
{
    const struct scan_place *place = found->place;
    const struct dead_letter *letter = found->letter;
    const struct record source = letter_source(found->record, letter);
    const char *bold = color_on(STDOUT_FILENO) ? "\033[1m" : "";
    const char *plain = color_on(STDOUT_FILENO) ? "\033[0m" : "";
    char time[40];
    time_format_iso(source.timestamp_ms, time);
    buf_printf(&out, "%s%s-%d %" PRId64 "%s  %s  ", bold, place->topic, place->partition,
               found->record->offset, plain, time);
    put_shown(letter->kind == LETTER_FOREIGN ? bytes_text("not written by weir")
                                             : letter->error_class);
    out_text("\n");
    if (letter->kind == LETTER_DEAD || letter->kind == LETTER_RESULT)
        show_line("error", letter->error_message);
    if (letter->kind == LETTER_LATE)
        show_late(letter);
    if (letter->stage.data != NULL)
        show_line("stage", letter->stage);
    if (letter_has_source(letter)) {
        buf_printf(&out, "  source   %.*s-%d %" PRId64, (int)letter->source_topic.size,
                   (const char *)letter->source_topic.data, letter->source_partition,
                   letter->source_offset);
        if (letter->element.data != NULL) {
            out_text(", row ");
            put_shown(letter->element);
        }
        if (found->target != NULL)
            buf_printf(&out, ", replayed to %s", found->target);
        out_text("\n");
    }
    show_line("key", source.key);
    show_headers(&source);
    show_line("value", source.value);
}

static int show_letter(void *context, const struct found_letter *found, struct diag *diag)
{
    struct showing *showing = context;
    (void)diag;
    if (showing->left == 0)
        return 1;
    if (showing->json) {
        letter_json_put(&out, found);
        buf_u8(&out, '\n');
    } else {
        show_text(found);
    }
    showing->left--;
    return out.size < OUT_BYTES || out_flush() == 0 ? 0 : 1;
}

static int show_directory(struct cli *cli, const struct letter_filter *filter,
                          struct showing *showing)
{
    struct letter_walk walk = {
        .filter = *filter, .stop = &interrupt_stop, .each = show_letter, .context = showing};
    struct topic_info info;
    struct diag diag = {0};
    int exit_code = data_open(cli, DATA_MUST_EXIST, &walk.log);
    if (exit_code != 0)
        return exit_code;
    int code = letter_topic_find(walk.log, cli->arguments[0], &info, &diag);
    if (code == 0)
        code = letter_walk_open(&walk, &diag);
    if (code == 0)
        code = letter_walk_topic(&walk, &info, NULL, &diag);
    if (code < 0) {
        exit_code = scan_failed(code, &diag);
        if (code == ERR_NOT_FOUND)
            hint("'weir dlq list' shows what there is");
    }
    letter_walk_close(&walk);
    log_close(walk.log);
    return exit_code;
}

static int run_show(struct cli *cli)
{
    struct letter_filter filter;
    struct showing showing = {0};
    struct http_client *client;
    struct reach reach;
    int format = flag_choice(cli, "format", format_choices, 2, default_format());
    int exit_code = format < 0 ? EXIT_USAGE : letter_flags_parse(cli, &filter);
    if (exit_code == 0)
        exit_code = flag_number(cli, "max", 0, INT64_MAX, INT64_MAX, &showing.left);
    if (exit_code != 0)
        return exit_code;
    interrupt_install();
    showing.json = format == FORMAT_JSON;
    exit_code = http_reach(cli, DATA_MUST_EXIST, &reach, &client);
    if (exit_code == 0)
        exit_code = client != NULL ? served_letters_show(client, cli->arguments[0], &filter,
                                                         show_letter, &showing)
                                   : show_directory(cli, &filter, &showing);
    http_leave(&reach, client);
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
    .reach = REACHES_HTTP,
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
    .reach = REACHES_HTTP,
    .run = run_show,
};
