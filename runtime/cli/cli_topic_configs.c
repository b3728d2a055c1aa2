/* cli_topic_configs.c: weir topic configs: the configuration keys of a topic, from the log's own
 * table.
 *
 * Three forms of the same lines: text for people, a JSON object a line for programs, and markdown,
 * which is docs/configuration.md to the letter (a test compares them): so the document cannot say
 * anything that the code does not do. No data directory is needed. */
#include "runtime/cli/nouns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { VALUES_BYTES = 256, AMOUNT_BYTES = 64 };

/* ---- amounts as people say them ---- */

struct size {
    int64_t of;
    const char *one, *more;
};

static bool amount(int64_t number, const struct size *sizes, char text[AMOUNT_BYTES])
{
    for (; sizes->of != 0; sizes++)
        if (number >= sizes->of && number % sizes->of == 0) {
            int64_t count = number / sizes->of;
            snprintf(text, AMOUNT_BYTES, "%" PRId64 " %s", count,
                     count == 1 ? sizes->one : sizes->more);
            return true;
        }
    return false;
}

/* "7 days" for 604800000 ms, "1 GiB"; false: nothing to add to the number itself. */
static bool default_in_words(const struct config_key *key, char text[AMOUNT_BYTES])
{
    static const struct size times[] = {{86400000, "day", "days"},
                                        {3600000, "hour", "hours"},
                                        {60000, "minute", "minutes"},
                                        {1000, "second", "seconds"},
                                        {0, NULL, NULL}};
    static const struct size bytes[] = {
        {1 << 30, "GiB", "GiB"}, {1 << 20, "MiB", "MiB"}, {0, NULL, NULL}};
    int64_t number;
    if (key->unit == NULL || key->fallback == NULL || parse_integer(key->fallback, &number) < 0)
        return false;
    if (number == -1 || number == INT64_MAX) {
        snprintf(text, AMOUNT_BYTES, "no limit");
        return true;
    }
    return amount(number, strcmp(key->unit, "ms") == 0 ? times : bytes, text);
}

static const char *type_name(const struct config_key *key)
{
    static const char *const names[] = {
        [KIND_NUMBER] = "long",   [KIND_RATIO] = "double", [KIND_BOOL] = "boolean",
        [KIND_CHOICE] = "string", [KIND_POLICY] = "list",  [KIND_TEXT] = "string",
    };
    return names[key->kind];
}

static bool log_decides(const struct config_key *key)
{
    return strcmp(key->name, "segment.bytes") == 0 || strcmp(key->name, "segment.ms") == 0;
}

/* ---- text ---- */

/* Lines of at most 96 columns, four blanks in front. */
static void wrapped(const char *text)
{
    enum { COLUMNS = 96, INDENT = 4 };
    size_t column = 0;
    for (const char *at = text; *at != '\0';) {
        size_t word = strcspn(at, " ");
        if (column == 0 || column + 1 + word > COLUMNS) {
            buf_printf(&out, "%s%*s", column > 0 ? "\n" : "", INDENT, "");
            column = INDENT;
        } else {
            out_text(" ");
            column++;
        }
        buf_append(&out, at, word);
        column += word;
        at += word + strspn(at + word, " ");
    }
    out_text("\n");
}

static void text_line(const char *label, const char *text)
{
    char line[1024];
    snprintf(line, sizeof line, "%s%s", label, text);
    wrapped(line);
}

static void print_text(void)
{
    static const char *const titles[] = {
        [KEY_ACTS] = "Keys that the log or the engine acts on",
        [KEY_FIXED] = "Kafka's keys of which one value is true here: only that value is accepted",
        [KEY_REFUSED] = "Kafka's keys that are refused",
    };
    const struct config_key *key;
    int role = -1;
    for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
        char values[VALUES_BYTES], words[AMOUNT_BYTES];
        if ((int)key->role != role)
            buf_printf(&out, "%s%s\n\n", role >= 0 ? "\n" : "", titles[key->role]);
        role = (int)key->role;
        config_key_values(key, values, sizeof values);
        buf_printf(&out, "  %s", key->name);
        if (key->fallback != NULL)
            buf_printf(&out, "=%s", key->fallback);
        if (default_in_words(key, words))
            buf_printf(&out, "  (%s)", words);
        out_text("\n");
        if (key->role == KEY_ACTS)
            buf_printf(&out, "    %s%s%s\n", values, key->unit != NULL ? ", " : "",
                       key->unit != NULL ? key->unit : "");
        text_line("", key->help);
        if (key->differs != NULL)
            text_line("Differs from Kafka: ", key->differs);
    }
}

/* ---- json ---- */

static void json_member(const char *name, const char *text)
{
    buf_printf(&out, ",\"%s\":", name);
    if (text != NULL)
        out_json_text(text);
    else
        out_text("null");
}

static void print_json(void)
{
    static const char *const roles[] = {
        [KEY_ACTS] = "acts", [KEY_FIXED] = "fixed", [KEY_REFUSED] = "refused"};
    const struct config_key *key;
    for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
        char values[VALUES_BYTES];
        config_key_values(key, values, sizeof values);
        out_text("{\"key\":");
        out_json_text(key->name);
        json_member("role", roles[key->role]);
        json_member("type", key->role == KEY_ACTS ? type_name(key) : NULL);
        json_member("values", key->role == KEY_REFUSED ? NULL : values);
        if (key->role == KEY_ACTS && (key->kind == KIND_NUMBER || key->kind == KIND_RATIO))
            buf_printf(&out, ",\"min\":%" PRId64 ",\"max\":%" PRId64, key->min, key->max);
        json_member("unit", key->unit);
        json_member("default", key->fallback);
        json_member("help", key->help);
        json_member("differs", key->differs);
        out_text("}\n");
    }
}

/* ---- markdown ---- */

static const char introduction[] =
    "# Configuration of a topic\n"
    "\n"
    "This page is what `weir topic configs --format markdown` prints, from the table that the log "
    "itself checks values against.\n"
    "\n"
    "Keys that Kafka has keep Kafka's name, meaning, unit and default; where one differs, it is "
    "said, with the reason. Keys of weir's own begin with `weir.`. A topic stores only what was "
    "set; everything else has its default. Changes are durable when the command returns, and a "
    "running log acts on them with the next append, the next segment or the next pass of its "
    "house-keeper: nothing is opened again.\n"
    "\n"
    "```sh\n"
    "export PATH=\"$PWD/build/release:$PATH\" WEIR_DATA=shop\n"
    "weir topic create orders --config retention.ms=86400000 --config compression.type=zstd\n"
    "weir topic alter orders --config retention.bytes=1073741824 --unset compression.type\n"
    "weir topic describe orders --format text | grep -e retention -e compression\n"
    "```\n"
    "\n"
    "```text\n"
    "  compression.type=producer  (default)\n"
    "  delete.retention.ms=86400000  (default)\n"
    "  retention.bytes=1073741824\n"
    "  retention.ms=86400000\n"
    "```\n"
    "\n"
    "An unknown key, and a value that is not possible, are refused; nothing is accepted and then "
    "ignored.\n"
    "\n"
    "## Keys\n";

static const char aging[] =
    "\n"
    "## How long records stay\n"
    "\n"
    "`retention.ms` counts from when a segment was last written, by the clock of the log, and "
    "record timestamps play no part in it. That differs from Kafka, which compares the largest "
    "timestamp in a segment with the clock:\n"
    "\n"
    "- Events of last year that are loaded today stay for `retention.ms` from today. In Kafka they "
    "are removed within minutes, unless the topic's retention is changed first.\n"
    "- One record with a timestamp in the future does not keep its segment until then.\n"
    "- Records that are copied into another topic are young there.\n"
    "\n"
    "The active segment never goes: it is closed first, when it is old enough itself, so that a "
    "topic nobody writes to becomes empty in the end. What goes is always a whole segment, and "
    "always the oldest: a record stays between `retention.ms` and `retention.ms` plus the time its "
    "segment was written for, which `segment.ms` and `segment.bytes` bound. Records at or above "
    "the last stable offset never go.\n";

static const char fixed_title[] =
    "\n"
    "## Keys of Kafka that have one value here\n"
    "\n"
    "Tools and libraries set these. Only the value in the table is accepted: it says what is true "
    "of this log. Any other is refused with the reason, since it would promise something that "
    "nobody keeps.\n"
    "\n"
    "| key | value | why |\n"
    "| --- | --- | --- |\n";

static const char refused_title[] = "\n"
                                    "## Keys of Kafka that are refused\n"
                                    "\n"
                                    "| key | why |\n"
                                    "| --- | --- |\n";

static void markdown_key(const struct config_key *key)
{
    char values[VALUES_BYTES], words[AMOUNT_BYTES];
    config_key_values(key, values, sizeof values);
    buf_printf(&out, "\n### %s\n\n%s\n\n", key->name, key->help);
    buf_printf(&out, "- values: %s%s%s\n", values, key->unit != NULL ? ", in " : "",
               key->unit != NULL ? key->unit : "");
    if (key->fallback == NULL)
        out_text("- default: none\n");
    else if (default_in_words(key, words))
        buf_printf(&out, "- default: `%s` (%s)\n", key->fallback, words);
    else
        buf_printf(&out, "- default: `%s`\n", key->fallback);
    if (log_decides(key))
        out_text("- a program that opens the log may give it another default for all topics\n");
    if (key->differs != NULL)
        buf_printf(&out, "- differs from Kafka: %s\n", key->differs);
}

static void markdown_fixed(const struct config_key *key)
{
    buf_printf(&out, "| `%s` | %s%s%s | %s%s%s |\n", key->name, key->fallback[0] ? "`" : "",
               key->fallback[0] ? key->fallback : "(empty)", key->fallback[0] ? "`" : "", key->help,
               key->differs != NULL ? " " : "", key->differs != NULL ? key->differs : "");
}

static void print_markdown(void)
{
    const struct config_key *key;
    size_t i = 0;
    out_text(introduction);
    for (; (key = config_key_at(i)) != NULL && key->role == KEY_ACTS; i++)
        markdown_key(key);
    out_text(aging);
    out_text(fixed_title);
    for (; (key = config_key_at(i)) != NULL && key->role == KEY_FIXED; i++)
        markdown_fixed(key);
    out_text(refused_title);
    for (; (key = config_key_at(i)) != NULL; i++)
        buf_printf(&out, "| `%s` | %s |\n", key->name, key->help);
}

/* ---- the command ---- */

static int run_configs(struct cli *cli)
{
    static const char *const choices[] = {"text", "json", "markdown"};
    static void (*const print[])(void) = {print_text, print_json, print_markdown};
    int format =
        flag_choice(cli, "format", choices, 3, terminal(STDOUT_FILENO) ? FORMAT_TEXT : FORMAT_JSON);
    if (format < 0)
        return EXIT_USAGE;
    print[format]();
    return EXIT_OK;
}

static const struct flag configs_flags[] = {
    {"format", "FORMAT", "text, json or markdown [text on a terminal]", false, 0},
    {NULL, NULL, NULL, false, 0},
};

const struct command command_topic_configs = {
    .noun = "topic",
    .verb = "configs",
    .arguments = "",
    .summary = "the configuration keys of topics: values, defaults, what they do",
    .examples = "  weir topic configs\n"
                "  weir topic configs --format json | jq -r 'select(.role == \"acts\").key'\n",
    .details = "In a pipe: a JSON object a line. markdown is the page docs/configuration.md.\n",
    .flags = configs_flags,
    .no_data = true,
    .run = run_configs,
};
