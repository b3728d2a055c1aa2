/* cli_help.c: help texts from the tables of commands and flags: examples first, then what there is.
 */
#include "runtime/cli/cli.h"

#include <stdio.h>
#include <unistd.h>

static const char *bold(void)
{
    return color_on(STDOUT_FILENO) ? "\033[1m" : "";
}
static const char *plain(void)
{
    return color_on(STDOUT_FILENO) ? "\033[0m" : "";
}

static void spelling(const struct command *command, char text[128])
{
    snprintf(text, 128, "%s%s%s%s%s", command->noun, command->verb != NULL ? " " : "",
             command->verb != NULL ? command->verb : "", command->arguments[0] != '\0' ? " " : "",
             command->arguments);
}

/* A printf width counts bytes: the one that makes text this wide on the screen. */
static int padded(const char *text, int width)
{
    return width + (int)strlen(text) - text_width(text);
}

void help_overview(void)
{
    buf_printf(&out,
               "weir: a log of events and the jobs that read it, in one directory\n"
               "\n"
               "%sExamples%s\n"
               "  weir produce orders --key customer --partitions 4 < orders.ndjson\n"
               "  weir consume orders --until-end | head\n"
               "  weir consume orders --from end --format value\n"
               "  weir topic list\n"
               "  weir group describe revenue\n"
               "  weir serve orders.sql\n"
               "  weir topic list -b 127.0.0.1:9092\n"
               "\n"
               "%sCommands%s\n",
               bold(), plain(), bold(), plain());
    for (int i = 0; commands[i] != NULL; i++) {
        char text[128];
        spelling(commands[i], text);
        buf_printf(&out, "  %-*s %s\n", padded(text, 30), text, commands[i]->summary);
    }
    buf_printf(
        &out,
        "  %-30s %s\n"
        "\n"
        "Data is in ./weir-data, or where --data DIR or WEIR_DATA says. Of a directory that "
        "'weir serve' holds its server is asked;\n"
        "-b HOST:PORT names one, or Apache Kafka, for topics, records, groups and access lists, "
        "--server HOST:PORT one's HTTP for\n"
        "query, state, verify, dlq and top. Every flag has a variable: --until-end is "
        "WEIR_UNTIL_END.\n"
        "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 unreachable or timed out, 4 "
        "verify found something, 130 interrupted.\n"
        "'weir help COMMAND' says more.\n",
        "help [COMMAND]", "examples and flags of a command");
}

void help_noun(const char *noun, bool to_stderr)
{
    struct buf text = {0};
    for (int i = 0; commands[i] != NULL; i++)
        if (strcmp(commands[i]->noun, noun) == 0) {
            char words[128];
            spelling(commands[i], words);
            buf_printf(&text, "  weir %-*s %s\n", padded(words, 30), words, commands[i]->summary);
        }
    buf_printf(&text, "'weir help %s VERB' says more.\n", noun);
    if (!buf_ok(&text))
        failed(ERR_NOMEM, NULL);
    else if (to_stderr)
        fwrite(text.data, 1, text.size, stderr);
    else
        buf_append(&out, text.data, text.size);
    buf_deinit(&text);
}

static void flag_line(const struct flag *flag)
{
    char spelt[96], variable[64], letter[8] = "";
    if (flag->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", flag->letter);
    snprintf(spelt, sizeof spelt, "%s--%s%s%s%s", letter, flag->name,
             flag->argument != NULL ? " " : "", flag->argument != NULL ? flag->argument : "",
             flag->repeats ? " …" : "");
    buf_printf(&out, "  %-*s %s", padded(spelt, 28), spelt, flag->help);
    flag_variable(flag->name, variable);
    if (strcmp(flag->name, "help") != 0)
        buf_printf(&out, " (%s)", variable);
    buf_u8(&out, '\n');
}

/* -b is a flag of every command that has --data, so that the others can say why they do not take it. */
static bool is_hidden(const struct command *command, const struct flag *flag)
{
    return flag->letter == 'b' && command->reach != REACHES_KAFKA;
}

static void flag_lines(const struct command *command)
{
    const struct flag *tables[FLAG_TABLES_MAX];
    int count = flag_tables(command, tables);
    for (int i = 0; i < count; i++)
        for (const struct flag *flag = tables[i]; flag->name != NULL; flag++)
            if (!is_hidden(command, flag))
                flag_line(flag);
}

void help_command(const struct command *command)
{
    char text[128];
    spelling(command, text);
    buf_printf(&out, "weir %s [FLAGS]: %s\n\n%sExamples%s\n%s\n%sFlags%s\n", text, command->summary,
               bold(), plain(), command->examples, bold(), plain());
    flag_lines(command);
    if (command->details[0] != '\0')
        buf_printf(&out, "\n%s", command->details);
}
