/* cli_flags.c: a command's flags, from the command line and from the environment.
 *
 * Spellings: --name VALUE, --name=VALUE, -b VALUE, -bVALUE, --switch, --switch=false; "--" ends the
 * flags, a lone "-" is an argument. A value that looks like a flag must be written with "=", so
 * that a forgotten value is noticed. The last of several wins, except for a flag that repeats. What
 * the command line does not give is looked up as WEIR_NAME; an empty variable is unset, a switch
 * takes true/false, yes/no, on/off, 1/0. A flag that a command does not know is an error with the
 * nearest one. */
#include "runtime/cli/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const struct flag flags_global[] = {
    {"help", NULL, "show this help", false, 'h'},
    {"color", "WHEN", "auto, always or never [auto; NO_COLOR is honoured]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
const struct flag flags_data[] = {
    {"data", "DIR", "the data directory [./weir-data]", false, 0},
    {"bootstrap", "HOST:PORT,…", "'weir serve', or Apache Kafka, instead of a directory", false,
     'b'},
    {NULL, NULL, NULL, false, 0},
};
const struct flag flags_user[] = {
    {"user", "NAME", "who you are, where the server asks", false, 0},
    {"password-file", "FILE", "its first line is the password [asked for at the terminal]", false,
     0},
    {"timeout", "MS", "how long a server that does not answer is waited for [10000]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
const struct flag flags_user_apart[] = {
    {"user", "NAME", "who you are, where the server asks", false, 0},
    {"user-password-file", "FILE",
     "its first line is your own password [WEIR_PASSWORD_FILE; asked for]", false, 0},
    {"timeout", "MS", "how long a server that does not answer is waited for [10000]", false, 0},
    {NULL, NULL, NULL, false, 0},
};
const struct flag flags_http[] = {
    {"server", "HOST:PORT", "the HTTP of a running server instead of a directory", false, 0},
    {NULL, NULL, NULL, false, 0},
};
const struct flag flags_kafka[] = {
    {"sasl-mechanism", "NAME", "SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN [SCRAM-SHA-256]", false, 0},
    {"tls", NULL, "speak TLS [where a served directory says so]", false, 0},
    {"tls-ca", "FILE", "PEM: the CA that signed the server's certificate [the system's]", false, 0},
    {"client-cert", "FILE", "PEM: the certificate to show, where the server asks for one", false,
     0},
    {"client-key", "FILE", "PEM: its private key", false, 0},
    {NULL, NULL, NULL, false, 0},
};

void flag_variable(const char *name, char variable[64])
{
    snprintf(variable, 64, "WEIR_%s", name);
    for (char *c = variable; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static bool has_flag(const struct flag *flags, const char *name)
{
    while (flags != NULL && flags->name != NULL && strcmp(flags->name, name) != 0)
        flags++;
    return flags != NULL && flags->name != NULL;
}

int flag_tables(const struct command *command, const struct flag *tables[FLAG_TABLES_MAX])
{
    int count = 0;
    if (command->flags != NULL)
        tables[count++] = command->flags;
    if (!command->no_data)
        tables[count++] = flags_data;
    if (command->reach >= REACHES_HTTP)
        tables[count++] = has_flag(command->flags, "password-file") ? flags_user_apart : flags_user;
    if (command->reach == REACHES_HTTP)
        tables[count++] = flags_http;
    if (command->reach == REACHES_KAFKA)
        tables[count++] = flags_kafka;
    tables[count++] = flags_global;
    return count;
}

static const struct flag *find_flag(const struct command *command, const char *name, size_t size,
                                    char letter)
{
    const struct flag *tables[FLAG_TABLES_MAX];
    int count = flag_tables(command, tables);
    for (int t = 0; t < count; t++)
        for (const struct flag *flag = tables[t]; flag->name != NULL; flag++)
            if (letter != 0 ? flag->letter == letter
                            : strlen(flag->name) == size && memcmp(flag->name, name, size) == 0)
                return flag;
    return NULL;
}

static int unknown_flag(const struct cli *cli, const char *word)
{
    const char *names[64];
    int count = 0;
    const struct flag *tables[FLAG_TABLES_MAX];
    int table_count = flag_tables(cli->command, tables);
    for (int t = 0; t < table_count; t++)
        for (const struct flag *flag = tables[t]; flag->name != NULL; flag++)
            names[count++] = flag->name;
    char plain[128];
    snprintf(plain, sizeof plain, "%s", word + strspn(word, "-"));
    plain[strcspn(plain, "=")] = '\0';
    const char *near = suggest(plain, names, count);
    if (near == NULL)
        return usage_error(cli, "unknown flag '%s'", word);
    message("unknown flag '%s'", word);
    hint("did you mean '--%s'?", near);
    return EXIT_USAGE;
}

static int add_value(struct cli *cli, const struct flag *flag, const char *text)
{
    if (cli->value_count == CLI_VALUES_MAX)
        return usage_error(cli, "more than %d flags", CLI_VALUES_MAX);
    cli->values[cli->value_count++] = (struct cli_value){flag, text};
    return 0;
}

/* 1 on, 0 off, -1 neither. */
static int truth(const char *text)
{
    static const char *const on[] = {"1", "true", "yes", "on"}, *const off[] = {"0", "false", "no",
                                                                                "off"};
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(text, on[i]) == 0)
            return 1;
        if (strcasecmp(text, off[i]) == 0)
            return 0;
    }
    return -1;
}

/* Takes the flag at words[*at], and its value from the same or the next word. */
static int take_flag(struct cli *cli, const char *const *words, int count, int *at)
{
    const char *word = words[*at], *value = NULL;
    const struct flag *flag;
    if (word[1] == '-') {
        size_t size = strcspn(word + 2, "=");
        flag = find_flag(cli->command, word + 2, size, 0);
        if (word[2 + size] == '=')
            value = word + 2 + size + 1;
    } else {
        flag = find_flag(cli->command, NULL, 0, word[1]);
        if (flag != NULL && word[2] != '\0')
            value = word + 2;
        if (flag != NULL && flag->argument == NULL && value != NULL)
            flag = NULL; /* -hx */
    }
    if (flag == NULL)
        return unknown_flag(cli, word);
    if (flag->argument == NULL) {
        int on = value == NULL ? 1 : truth(value);
        if (on < 0)
            return usage_error(cli, "--%s is a switch: it takes no value, or true or false",
                               flag->name);
        return add_value(cli, flag, on == 1 ? "" : NULL);
    }
    if (value == NULL) {
        if (*at + 1 >= count || strncmp(words[*at + 1], "--", 2) == 0)
            return usage_error(cli, "--%s needs a value: --%s %s", flag->name, flag->name,
                               flag->argument);
        value = words[++*at];
    }
    return add_value(cli, flag, value);
}

static const struct cli_value *last_value(const struct cli *cli, const struct flag *flag)
{
    for (int i = cli->value_count - 1; i >= 0; i--)
        if (cli->values[i].flag == flag)
            return &cli->values[i];
    return NULL;
}

/* Splits the variable of a repeated flag at white space into values of their own. */
static int add_words(struct cli *cli, const struct flag *flag, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return failed(ERR_NOMEM, NULL);
    cli->owned[cli->owned_count++] = copy;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " \t\r\n", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r\n", &rest)) {
        int code = add_value(cli, flag, word);
        if (code != 0)
            return code;
    }
    return 0;
}

static int read_environment(struct cli *cli)
{
    const struct flag *tables[FLAG_TABLES_MAX];
    int table_count = flag_tables(cli->command, tables);
    for (int t = 0; t < table_count; t++)
        for (const struct flag *flag = tables[t]; flag->name != NULL; flag++) {
            char variable[64];
            flag_variable(flag->name, variable);
            const char *text = getenv(variable);
            if (text == NULL || text[0] == '\0' || last_value(cli, flag) != NULL ||
                flag->letter == 'h')
                continue;
            int code = 0;
            if (flag->argument == NULL) {
                int on = truth(text);
                if (on < 0)
                    return usage_error(cli, "%s is true or false, not '%s'", variable, text);
                code = add_value(cli, flag, on == 1 ? "" : NULL);
            } else {
                code = flag->repeats ? add_words(cli, flag, text) : add_value(cli, flag, text);
            }
            if (code != 0)
                return code;
        }
    return 0;
}

int flags_parse(struct cli *cli, const char *const *words, int count)
{
    bool flags_ended = false;
    for (int i = 0; i < count; i++) {
        const char *word = words[i];
        if (!flags_ended && strcmp(word, "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && word[0] == '-' && word[1] != '\0') {
            int code = take_flag(cli, words, count, &i);
            if (code != 0)
                return code;
        } else if (cli->argument_count < CLI_ARGUMENTS_MAX) {
            cli->arguments[cli->argument_count++] = word;
        } else {
            return usage_error(cli, "more than %d arguments", CLI_ARGUMENTS_MAX);
        }
    }
    const struct command *command = cli->command;
    if (cli->argument_count < command->min_arguments)
        return usage_error(cli, "an argument is missing: weir %s%s%s %s", command->noun,
                           command->verb != NULL ? " " : "",
                           command->verb != NULL ? command->verb : "", command->arguments);
    if (cli->argument_count > command->max_arguments)
        return usage_error(cli, "unexpected argument '%s'", cli->arguments[command->max_arguments]);
    cli->typed_count = cli->value_count;
    return read_environment(cli);
}

void flags_release(struct cli *cli)
{
    for (int i = 0; i < cli->owned_count; i++)
        free(cli->owned[i]);
    cli->owned_count = 0;
}

bool flag_exists(const struct cli *cli, const char *name)
{
    return find_flag(cli->command, name, strlen(name), 0) != NULL;
}

const char *flag_text(const struct cli *cli, const char *name)
{
    const struct flag *flag = find_flag(cli->command, name, strlen(name), 0);
    must(flag != NULL);
    const struct cli_value *value = last_value(cli, flag);
    return value != NULL ? value->text : NULL;
}

bool flag_is_on(const struct cli *cli, const char *name)
{
    return flag_text(cli, name) != NULL;
}

bool flag_is_typed(const struct cli *cli, const char *name)
{
    for (int i = 0; i < cli->typed_count; i++)
        if (strcmp(cli->values[i].flag->name, name) == 0)
            return true;
    return false;
}

const char *flag_next(const struct cli *cli, const char *name, int *at)
{
    const struct flag *flag = find_flag(cli->command, name, strlen(name), 0);
    must(flag != NULL && flag->repeats);
    while (*at < cli->value_count) {
        const struct cli_value *value = &cli->values[(*at)++];
        if (value->flag == flag)
            return value->text;
    }
    return NULL;
}

int flag_number(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t fallback,
                int64_t *value)
{
    const char *text = flag_text(cli, name);
    *value = fallback;
    if (text == NULL)
        return 0;
    if (parse_integer(text, value) < 0 || *value < min || *value > max)
        return usage_error(cli, "--%s is a whole number from %lld to %lld, not '%s'", name,
                           (long long)min, (long long)max, text);
    return 0;
}

int flag_choice(const struct cli *cli, const char *name, const char *const *choices, int count,
                int fallback)
{
    const char *text = flag_text(cli, name);
    if (text == NULL)
        return fallback;
    char list[256] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(text, choices[i]) == 0)
            return i;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                 i == 0           ? ""
                 : i + 1 == count ? " or "
                                  : ", ",
                 choices[i]);
    }
    usage_error(cli, "--%s is %s, not '%s'", name, list, text);
    return -1;
}
