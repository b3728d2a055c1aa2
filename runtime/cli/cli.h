/* cli.h: what the files of the weir command share: commands and their flags, messages, output, the data directory.
 *
 * A command is a noun and a verb (or a verb alone), a table of flags and one function. main.c finds the command, flags.c
 * reads its flags from the command line and the environment, the function does the work and returns an exit code.
 * The command runs in one thread; handles that it opens may start threads of their own. */
#ifndef WEIR_CLI_CLI_H
#define WEIR_CLI_CLI_H

#include "log/log.h"
#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/records/integer_text.h"
#include "runtime/records/topic_scan.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,       /* usage or configuration */
    EXIT_UNREACHABLE = 3, /* unreachable or timed out */
    EXIT_FOUND = 4,       /* verify found something */
    EXIT_INTERRUPTED = 130,
};

/* ---- commands and flags ---- */
struct flag {
    const char *name;     /* without the dashes; its variable is WEIR_ + upper case, - as _ */
    const char *argument; /* placeholder in help; NULL: a switch */
    const char *help;
    bool repeats;         /* every occurrence counts; the variable holds values apart by white space */
    char letter;          /* 0: none */
};

/* Which servers a command can go to instead of opening a directory (reach.h): each way has its flags. */
enum command_reach {
    REACHES_NOTHING, /* it works on the files of a directory */
    REACHES_HTTP,    /* the HTTP of the process that serves the directory */
    REACHES_KAFKA,   /* the Kafka protocol: that process, or whatever -b names */
};

struct cli;
struct command {
    const char *noun, *verb; /* verb NULL: a verb alone, spelt in noun */
    const char *arguments;   /* "TOPIC" as help spells them; "" for none */
    int min_arguments, max_arguments;
    const char *summary;     /* half a line */
    const char *details;     /* lines of help after the flags; "" for none */
    const char *examples;    /* lines; shown first */
    const struct flag *flags; /* ended by a NULL name; NULL: none of its own */
    bool no_data;            /* takes neither --data nor -b */
    enum command_reach reach;
    int (*run)(struct cli *cli);
};
/* Every command, in help's order, ended by a NULL noun. */
extern const struct command *const commands[];

enum { CLI_ARGUMENTS_MAX = 64, CLI_VALUES_MAX = 128 };
struct cli_value {
    const struct flag *flag;
    const char *text;      /* "" for a switch that is on */
};
struct cli {
    const struct command *command;
    const char *arguments[CLI_ARGUMENTS_MAX];
    int argument_count;
    struct cli_value values[CLI_VALUES_MAX];
    int value_count;
    int typed_count;       /* how many of them come from the command line: the first ones */
    char *owned[CLI_VALUES_MAX]; /* copies that values point into */
    int owned_count;
    bool help;             /* --help was among the words */
};

/* cli_flags.c. Reads words[0…count) and then the environment. 0, or EXIT_USAGE after a message. */
int flags_parse(struct cli *cli, const char *const *words, int count);
void flags_release(struct cli *cli);
extern const struct flag flags_global[]; /* --help, --color */
extern const struct flag flags_data[];   /* --data, -b */
extern const struct flag flags_user[];   /* of commands that reach a server: who asks, how long they wait */
extern const struct flag flags_user_apart[]; /* the same of those whose own --password-file is of somebody else */
extern const struct flag flags_http[];   /* of those that do it over HTTP alone */
extern const struct flag flags_kafka[];  /* of those that do it over the Kafka protocol: TLS and SASL */
/* The tables that hold for a command, in the order of help: their number. */
enum { FLAG_TABLES_MAX = 5 };
int flag_tables(const struct command *command, const struct flag *tables[FLAG_TABLES_MAX]);
/* Whether the command takes it. */
bool flag_exists(const struct cli *cli, const char *name);
/* The last value of a flag that the command declares; NULL when it was not given. */
const char *flag_text(const struct cli *cli, const char *name);
bool flag_is_on(const struct cli *cli, const char *name);
/* Whether it stands on the command line, and not only in its variable. */
bool flag_is_typed(const struct cli *cli, const char *name);
/* The next value of a repeated flag: start with *at = 0; NULL at the end. */
const char *flag_next(const struct cli *cli, const char *name, int *at);
/* A whole number from min to max. 0 and *value (fallback when not given), or EXIT_USAGE after a message. */
int flag_number(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *value);
/* One of the words of choices ("json value"), as its index; fallback when not given. -1 after a message. */
int flag_choice(const struct cli *cli, const char *name, const char *const *choices, int count, int fallback);
/* WEIR_… of a flag. */
void flag_variable(const char *name, char variable[64]);

/* cli_help.c */
void help_overview(void);                            /* on stdout */
void help_noun(const char *noun, bool to_stderr);    /* the verbs of a noun */
void help_command(const struct command *command);

/* cli_suggest.c: the candidate nearest to word when it is near enough to be a slip; NULL otherwise. */
const char *suggest(const char *word, const char *const *candidates, int count);

/* ---- messages (stderr) and output (stdout): cli_output.c ---- */
/* Sets what --color asks for: "auto", "always", "never"; false when it is none of them. */
bool color_set(const char *choice);
bool color_on(int fd);
bool terminal(int fd);
/* "weir: …" on stderr. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* message() + EXIT_USAGE, and where to read more. */
int usage_error(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints diag's sentence (or the code's text) and gives the exit code that belongs to a negative code. */
int failed(int code, const struct diag *diag);
/* What to do about a partition that is damaged; nothing for other codes. */
void hint_damage(int code, const char *topic);

/* Standard output, buffered; one per process. */
extern struct buf out;
void out_text(const char *text);
/* Writes what is buffered. 0; ERR_STOPPED: nobody reads any more (say nothing, end); ERR_IO after a message. */
/* Appends text with control characters as \xNN, but for those that are allowed: what others chose to
 * call a group must neither break lines nor speak to the terminal. */
void buf_visible(struct buf *buf, const char *text, const char *allowed);
int out_flush(void);
/* The last flush of a command: code unless the flush fails for another reason than a closed pipe. */
int out_finish(int exit_code);
/* A JSON string, with quotes; bytes that are not UTF-8 come out as U+FFFD. */
void out_json_text(const char *text);

/* Columns that text takes on a screen: its code points, which is right for the names and numbers of our tables. */
int text_width(const char *text);

/* A table: cells are added row by row, then printed in columns as wide as they need. */
struct table {
    const char *const *headers; /* a header that starts with '>' is of numbers: right-aligned */
    int column_count;
    char **cells;
    size_t cell_count, capacity;
    bool failed;
};
void table_init(struct table *table, const char *const *headers, int column_count);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints to out and frees the cells. */
void table_print(struct table *table, bool with_header);

enum { FORMAT_TEXT = 0, FORMAT_JSON = 1 };
extern const char *const format_choices[2]; /* "text", "json" */

/* ---- the data directory: cli_data.c ---- */
enum data_need { DATA_MUST_EXIST, DATA_MAY_CREATE };
const char *data_directory(const struct cli *cli);
/* Refuses -b where the command does not take it and, with DATA_MUST_EXIST, a directory that is not there. 0 or an exit code after a
 * message. */
int data_check(const struct cli *cli, enum data_need need);
/* The same, then opens the log. */
int data_open(const struct cli *cli, enum data_need need, struct log **log);
/* The same as the library's handle. */
struct weir_log;
int data_open_handle(const struct cli *cli, enum data_need need, struct weir_log **log);

/* ---- SIGINT and SIGTERM: cli_interrupt.c ---- */
/* Once or more often. From now on the first signal is noted, one that comes seconds later ends the process with 130 at once. */
void interrupt_install(void);
bool interrupted(void);
/* The same for what is asked between pieces of work. */
extern const struct scan_stop interrupt_stop;
/* Readable after a signal or a wake. */
int interrupt_fd(void);
/* Makes interrupt_fd readable; from any thread, also as a partition watcher. */
void interrupt_wake(void *unused);
/* Takes the readiness away (a noted signal stays noted). */
void interrupt_clear(void);

#endif
