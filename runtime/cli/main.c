/* main.c: the weir command: a table of commands, and the way from words to one of them.
 *
 *   weir [FLAGS] NOUN VERB [ARGUMENTS] [FLAGS]      or      weir [FLAGS] VERB …
 *
 * A command is one entry of a table and one function; each noun has its file. Flags may stand
 * anywhere, so the noun and the verb are the first words that are neither a flag nor a flag's
 * value; only the global flags and those that say where the data is are known before them, which is enough to step
 * over values. Exit codes are those of cli.h. */
#include "runtime/cli/cli.h"
#include "runtime/cli/nouns.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct command *const commands[] = {
    &command_run,            &command_check,
    &command_explain,        &command_verify,
    &command_query,
    &command_serve,
    &command_produce,        &command_consume,
    &command_topic_create,   &command_topic_list,
    &command_topic_describe, &command_topic_alter,
    &command_topic_delete,   &command_topic_delete_records,
    &command_topic_clean,    &command_topic_configs,
    &command_topic_verify,   &command_topic_truncate,
    &command_topic_export,   &command_topic_import,
    &command_log_describe,   &command_group_list,
    &command_group_describe, &command_group_reset,
    &command_group_delete, &command_group_delete_offsets,   &command_state_list,
    &command_state_get,      &command_state_scan,
    &command_app_reset,
    &command_dlq_list,       &command_dlq_show,
    &command_dlq_replay,
    &command_user_add,       &command_user_password,
    &command_user_list,      &command_user_delete,
    &command_acl_add,        &command_acl_list,
    &command_acl_delete,
    &command_top,
    &command_version,        NULL,
};

/* True when word is a flag that may stand before the noun and takes the next word as its value. */
static bool takes_next_word(const char *word)
{
    const struct flag *tables[] = {flags_global, flags_data, flags_user, flags_http, flags_kafka};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct flag *flag = tables[t]; flag->name != NULL; flag++) {
            if (flag->argument == NULL)
                continue;
            if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, flag->name) == 0)
                return true;
            if (flag->letter != 0 && word[0] == '-' && word[1] == flag->letter && word[2] == '\0')
                return true;
        }
    return false;
}

/* The index of the next word at or after from that is no flag; count when there is none. */
static int next_word(const char *const *words, int count, int from)
{
    for (int i = from; i < count; i++) {
        if (words[i][0] != '-' || words[i][1] == '\0')
            return i;
        if (takes_next_word(words[i]))
            i++;
    }
    return count;
}

static bool is_noun(const char *word)
{
    for (int i = 0; commands[i] != NULL; i++)
        if (strcmp(commands[i]->noun, word) == 0)
            return true;
    return false;
}

static bool has_verbs(const char *noun)
{
    for (int i = 0; commands[i] != NULL; i++)
        if (strcmp(commands[i]->noun, noun) == 0)
            return commands[i]->verb != NULL;
    return false;
}

static const struct command *find(const char *noun, const char *verb)
{
    for (int i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];
        if (strcmp(command->noun, noun) == 0 &&
            (command->verb == NULL || (verb != NULL && strcmp(command->verb, verb) == 0)))
            return command;
    }
    return NULL;
}

/* Names what was probably meant, else lists what there is. */
static int unknown_word(const char *word, const char *noun)
{
    const char *candidates[64];
    int count = 0;
    for (int i = 0; commands[i] != NULL; i++) {
        if (noun != NULL && (strcmp(commands[i]->noun, noun) != 0 || commands[i]->verb == NULL))
            continue;
        const char *candidate = noun != NULL ? commands[i]->verb : commands[i]->noun;
        if (count == 0 || strcmp(candidates[count - 1], candidate) != 0)
            candidates[count++] = candidate;
    }
    if (noun == NULL)
        candidates[count++] = "help";
    message("'%s%s%s' is not a weir command", noun != NULL ? noun : "", noun != NULL ? " " : "",
            word);
    const char *near = suggest(word, candidates, count);
    if (near != NULL) {
        hint("did you mean 'weir %s%s%s'?", noun != NULL ? noun : "", noun != NULL ? " " : "",
             near);
        return EXIT_USAGE;
    }
    char list[512] = "";
    for (int i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 0 ? ", " : "",
                 candidates[i]);
    hint("there is: %s", list);
    return EXIT_USAGE;
}

/* `weir help [NOUN [VERB]]`, and the same spelt `weir NOUN [VERB] --help`. */
static int show_help(const char *noun, const char *verb)
{
    if (noun == NULL || strcmp(noun, "help") == 0) {
        help_overview();
        return out_finish(EXIT_OK);
    }
    if (!is_noun(noun))
        return unknown_word(noun, NULL);
    const struct command *command = find(noun, verb);
    if (command != NULL)
        help_command(command);
    else if (verb != NULL)
        return unknown_word(verb, noun);
    else
        help_noun(noun, false);
    return out_finish(EXIT_OK);
}

static bool asks_for_help(const char *const *words, int count)
{
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            return true;
    return false;
}

/* Moves the words of the command's name out of the way: what is left are flags and arguments. */
static int without(const char **words, int count, int index)
{
    for (int i = index; i + 1 < count; i++)
        words[i] = words[i + 1];
    return count - 1;
}

static int run(const struct command *command, const char **words, int count)
{
    struct cli cli = {.command = command};
    int code = flags_parse(&cli, words, count);
    if (code == 0 && !color_set(flag_text(&cli, "color")))
        code = usage_error(&cli, "--color is auto, always or never, not '%s'",
                           flag_text(&cli, "color"));
    if (code == 0)
        code = out_finish(command->run(&cli));
    flags_release(&cli);
    return code;
}

/* A standard descriptor that is closed would be the next file's that is opened: messages would go into LOCK, or into records. So it
 * is taken, by something that cannot be used the way it would be: reading and writing there fail. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    /* A closed pipe is an error of write(), seen where the output is written. */
    signal(SIGPIPE, SIG_IGN);
    const char *words[256];
    int count = 0;
    if (argc - 1 > (int)(sizeof words / sizeof *words)) {
        message("more than %zu words on the command line", sizeof words / sizeof *words);
        return EXIT_USAGE;
    }
    for (int i = 1; i < argc; i++)
        words[count++] = argv[i];
    color_set(NULL);

    int at = next_word(words, count, 0);
    const char *noun = at < count ? words[at] : NULL;
    if (noun == NULL) {
        if (count == 1 && (strcmp(words[0], "--version") == 0 || strcmp(words[0], "-V") == 0))
            return run(&command_version, words, 0);
        if (count == 0 || asks_for_help(words, count))
            return show_help(NULL, NULL);
        message("a command is missing");
        hint("weir help");
        return EXIT_USAGE;
    }
    int verb_at = next_word(words, count, at + 1);
    const char *verb = verb_at < count ? words[verb_at] : NULL;
    if (strcmp(noun, "help") == 0) {
        int third = verb == NULL ? count : next_word(words, count, verb_at + 1);
        return show_help(verb, third < count ? words[third] : NULL);
    }
    if (asks_for_help(words, count))
        return show_help(noun, verb);
    if (!is_noun(noun))
        return unknown_word(noun, NULL);
    if (verb == NULL && has_verbs(noun)) {
        message("'weir %s' needs a verb", noun);
        help_noun(noun, true);
        return EXIT_USAGE;
    }
    const struct command *command = find(noun, verb);
    if (command == NULL)
        return unknown_word(verb, noun);
    if (command->verb != NULL)
        count = without(words, count, verb_at);
    count = without(words, count, at);
    return run(command, words, count);
}
