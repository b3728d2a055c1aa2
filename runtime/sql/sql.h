/* sql.h: SQL files, from text to the same topologies that the C library builds.
 *
 *   text ──sql_parse.c──▶ statements ──sql_compile.c──▶ relations ──sql_build.c──▶ weir_app
 *
 * A program is what one or several files say, with every name and type resolved: immutable, shared by any number of apps and threads. */
#ifndef WEIR_SQL_SQL_H
#define WEIR_SQL_SQL_H

#include "runtime/app.h"
#include "runtime/sql/statement.h"

/* What a relation is to who reads it. */
enum relation_kind {
    RELATION_TABLE,              /* a topic, read as rows */
    RELATION_VIEW,               /* a name for a SELECT over another relation */
    RELATION_RESULT              /* what a statement writes to a topic: an INSERT's rows, a materialized view's results */
};

struct relation_column {
    const char *name;
    enum col_type type;
    const char *type_name;       /* as the user would spell it */
    const struct column_definition *definition; /* of a table */
};

/* One call of the builder. */
enum step_kind { STEP_MAP, STEP_FILTER, STEP_CHECK, STEP_GROUP, STEP_TUMBLE, STEP_HOP, STEP_SESSION, STEP_AGGREGATE, STEP_LATEST, STEP_JOIN, STEP_DISTINCT, STEP_WITHIN };
struct step {
    enum step_kind kind;
    const char *text;            /* condition or select list */
    const char *error_class;     /* STEP_CHECK */
    int64_t size_ms, hop_ms;     /* STEP_DISTINCT: size_ms is within */
    const struct relation *table; /* STEP_JOIN; text is what equals its key. STEP_WITHIN: the stream on the right */
    const char *columns;         /* STEP_JOIN, STEP_WITHIN: that rows get of it */
    const char *right_text, *left_columns; /* STEP_WITHIN: what of the right equals text; the columns that rows keep */
    int64_t before_ms, after_ms; /* STEP_WITHIN: the right row's time BETWEEN the left one's - before AND + after */
    uint32_t owner;              /* STEP_JOIN, STEP_WITHIN: which relation of FROM it brings */
    bool is_left, is_full;
    bool is_of_tables;           /* STEP_JOIN: what stands left is a table as well; text is its key, which equals the other one's */
    struct step *next;
};

struct relation {
    enum relation_kind kind;
    const char *name;
    const struct statement *statement; /* NULL: a SELECT inside another one */
    struct relation_column *columns;
    uint32_t column_count;
    uint32_t hidden_count;       /* its last columns are not in * */
    uint32_t *keys;              /* of a table of the latest rows, and of what only filters or maps one: the columns of its key, UINT32_MAX for one that is left out */
    const char *const *key_names; /* of the same columns: what records' keys call them */
    uint32_t key_count;          /* 0: a stream */
    struct target_list result_key; /* of grouped results: the columns that hold their record key, under the names that those have there; empty: not all are selected */
    int32_t time_column;         /* that holds the event time; -1: none does */
    const struct relation *base; /* whose rows the steps work on; NULL: those of topic */
    struct relation **arms;      /* UNION ALL: whose rows come together, and then the steps work on; NULL: base or topic */
    uint32_t arm_count;
    uint32_t source_count;       /* with arms: how many topics' rows come together, those of arms of arms among them */
    struct step *steps;
    const char *topic;           /* read (RELATION_TABLE) or written */
    const char *event_time;      /* RELATION_TABLE: the field's path; NULL: the record's timestamp */
    int64_t lateness_ms, skew_ms, idle_ms; /* RELATION_TABLE; -1: the default */
    weir_format format;          /* of the topic that is read or written */
    const char *source_columns;  /* RELATION_TABLE of a format whose columns are declared: these; NULL: it has fields */
    const char *partitioned_by;  /* RELATION_TABLE: the field that is said to place its records; RELATION_RESULT: the select list that rows are re-keyed by. NULL: none */
    uint32_t placed_column;      /* 1 + the column by whose text its rows lie in partitions; 0: nobody says */
    bool by_partition;           /* RELATION_TABLE with keys: who joins with it reads its own partition of it (join = 'partitioned') */
    int32_t partitions;          /* of the topic; 0: nothing is said */
    const char *partitions_like; /* RELATION_RESULT: as many as this topic has; NULL: as said, or as its source has */
    bool nulls_bad_casts;        /* RELATION_TABLE: on_error = 'null' */
    bool fails_on_bad_row;       /* on_error = 'fail' */
    bool is_compacted;           /* RELATION_RESULT: rows of a table of the latest rows */
    bool epoch_ms;               /* RELATION_RESULT */
    int64_t retention_ms;        /* RELATION_RESULT; -1: for ever, 0: nothing is said */
    bool is_grouped, emit_final;
    bool is_own;                 /* RELATION_RESULT, and the RELATION_TABLE that reads it: made by no statement of the user's, for rows that need a topic (sql_own_topic.c) */
    const struct relation *rows_of; /* is_own: the view that they are the rows of; NULL: part of a SELECT */
    struct relation *next;
};

/* COPY: the rows of a file as those of a table. */
struct sql_copy {
    const struct statement *statement;
    const struct relation *table;
    struct relation *result;     /* RELATION_RESULT over the rows of the file: what INSERT of them would be */
    const char *const *column_names; /* of the file's fields, in their order */
    const bool *force_null, *force_not_null; /* by field */
    uint32_t column_count;
    bool passes_rows;            /* a line of JSON is a record of the table as it is */
    const char *partitioned_by;  /* passes_rows: the field that rows have as their key; NULL: none, or several */
    uint64_t meaning;            /* of the statement: how the file is read */
    struct sql_copy *next;
};

/* EXPLAIN of a statement: what it would make, which nobody else sees. */
struct explained {
    const struct statement *statement;
    struct relation *relations;
    struct explained *next;
};

struct sql_program {
    struct arena arena;
    struct relation *relations, **end; /* in the order of the files */
    struct explained *explained, **explained_end;
    struct sql_copy *copies, **copies_end;
    uint32_t error_count;
};

/* A file: its name, for messages, and what is in it. */
struct sql_text {
    const char *name, *text;
    size_t size;
};

/* Everything that can be known before anything runs, of several files as if they were one: each sees what stands in those before it. *program is made also when there are errors (error_count), for who wants to look at what is right. Negative:
 * ERR_INVALID when there is an error, ERR_NOMEM. tell gets each error's file and text. The texts are copied. */
int sql_compile_files(const struct sql_text *texts, uint32_t count, void (*tell)(void *context, const char *name, const char *text), void *context,
                      struct sql_program **program);
/* The same of one text. */
int sql_compile(const char *text, size_t size, void (*tell)(void *context, const char *text), void *context, struct sql_program **program);
void sql_program_destroy(struct sql_program *program);
/* Builds what the program writes with weir.h's functions. The app's first error is left in the app, as with any builder. */
int sql_build(const struct sql_program *program, weir_app *app);
/* The same of one COPY, alone: a pipeline that is run over its file. */
int sql_build_copy(const struct sql_copy *copy, weir_app *app);
/* Whether what a statement writes is made of this topic's rows, directly or through what others of the program write. */
bool sql_result_reads(const struct sql_program *program, const struct relation *result, const char *topic);
/* Whether who joins with the table reads its own partition of it. */
bool relation_is_by_partition(const struct relation *table);
/* What would be built, as text for people. */
void sql_explain(const struct sql_program *program, struct buf *out);

#endif
