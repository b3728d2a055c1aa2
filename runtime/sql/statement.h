/* statement.h: SQL statements as trees of our own, before names mean anything. sql_parse.c and its neighbours make them from
 * PostgreSQL's trees, and nothing else ever sees those.
 *
 * All of it is arena memory of the parse. Positions are byte offsets in the file's text, -1 where none is known. */
#ifndef WEIR_SQL_STATEMENT_H
#define WEIR_SQL_STATEMENT_H

#include "operators/syntax.h"
#include "runtime/copy/copy_syntax.h"

enum { FILE_BYTES_MAX = 1024 * 1024, STATEMENTS_MAX = 1000, SQL_COLUMNS_MAX = 1000, SELECT_DEPTH_MAX = 32, UNION_ARMS_MAX = 32, UNION_SOURCES_MAX = 64, JOINS_MAX = 16 };

struct sql_name {
    const char *text;
    int32_t at;
};

/* WITH (topic = 'user-events', …): value is the text, or the digits of a number. */
struct sql_option {
    struct sql_name key;
    const char *value;
};
struct option_list {
    struct sql_option *items;
    uint32_t count;
};

struct column_check {
    const char *error_class;     /* of rows that fail: the constraint's name, else "check" */
    struct syntax *condition;
    int32_t at;
    struct column_check *next;
};
struct column_definition {
    struct sql_name name;
    struct sql_type type;        /* COL_VARIANT for jsonb */
    struct field_path path;      /* in the record's JSON; the name unless OPTIONS (path '…') says otherwise */
    bool has_path, not_null, is_primary_key;
};

struct select;
enum from_kind { FROM_NONE, FROM_RELATION, FROM_SELECT };
enum window_call { CALL_NONE, CALL_TUMBLE, CALL_HOP, CALL_SESSION };
struct from_item {
    enum from_kind kind;
    struct sql_name relation;    /* FROM_RELATION */
    struct select *select;       /* FROM_SELECT */
    const char *alias;           /* NULL: none */
    int32_t at;
    enum window_call window;     /* tumble(relation, time, size), hop(relation, time, hop, size), session(relation, time, gap) */
    struct syntax *window_time;
    int64_t size_ms, hop_ms;     /* of a session the gap */
    struct join_item *joins;     /* what its rows meet, in order */
    uint32_t join_count;
};
/* [LEFT | FULL] JOIN relation AS alias ON … */
struct join_item {
    bool is_left, is_full;
    struct sql_name relation;
    const char *alias;           /* NULL: none */
    struct syntax *on;
};

struct select_item {
    struct syntax *syntax;       /* NULL: a star */
    const char *name;            /* given with AS */
    const char *star_of;         /* e.*; NULL for * alone */
    int32_t at;
};
/* WITH name AS (…): known inside its select alone. */
struct common_table {
    struct sql_name name;
    struct select *select;
};
struct select {
    int32_t at;
    struct select **arms;        /* UNION ALL: of these, and nothing below but tables counts; NULL: a plain SELECT */
    uint32_t arm_count;
    struct common_table *tables;
    uint32_t table_count;
    struct select_item *items;
    uint32_t item_count;
    struct from_item from;
    struct syntax *where, *having;
    struct syntax **groups;
    uint32_t group_count;
    struct syntax **distinct;    /* DISTINCT ON (…) */
    uint32_t distinct_count;
    bool is_positional;          /* whose columns go by their positions (INSERT): they need no names */
};

/* COPY t FROM 'file' WITH (…). */
struct copy_definition {
    struct sql_name file;
    enum copy_format format;
    enum copy_header header;
    uint8_t delimiter, quote, escape;
    const char *null_text;
    struct sql_name *force_null, *force_not_null;
    uint32_t force_null_count, force_not_null_count;
};

/* EXPLAIN (FORMAT …), and weir explain --format. */
enum explain_format { EXPLAIN_TEXT, EXPLAIN_DOT, EXPLAIN_JSON };
enum statement_kind { STATEMENT_TABLE, STATEMENT_VIEW, STATEMENT_MATERIALIZED_VIEW, STATEMENT_INSERT, STATEMENT_DROP, STATEMENT_COPY };
struct statement {
    enum statement_kind kind;
    const char *file_name, *file_text; /* where it stands; positions are in that text */
    const char *error;           /* what is wrong with it, and then nothing else of it counts but the name; NULL: nothing */
    struct sql_name name;        /* of what is created, or inserted into; text NULL: not known */
    struct option_list options;
    /* STATEMENT_TABLE */
    struct column_definition *columns;
    uint32_t column_count;
    struct column_check *checks; /* of columns and of the table, in the order written */
    /* others */
    struct select *select;
    struct copy_definition *copy; /* STATEMENT_COPY */
    struct sql_name *targets;    /* INSERT INTO t (a, b); COPY t (a, b); CREATE VIEW v (a, b); DROP … a, b */
    uint32_t target_count;
    enum statement_kind dropped; /* STATEMENT_DROP: what kind of statement made them */
    bool only_if;                /* CREATE … IF NOT EXISTS, DROP … IF EXISTS */
    bool replaces;               /* CREATE OR REPLACE VIEW */
    bool is_explained;           /* EXPLAIN of it: it is told what it would do, and does nothing */
    bool is_query;               /* EXPLAIN SELECT: a materialized view without a name of the user's */
    enum explain_format explain_format;
    struct statement *next;
};

/* Parses a file's text (NUL-terminated, size bytes before it) into *first, in order, those with errors among them. Negative: the text as a whole cannot be read (the
 * reason is in diag), or ERR_NOMEM. */
int sql_parse(const char *text, size_t size, struct arena *arena, struct statement **first, struct diag *diag);

/* The spelling of an enum statement_kind in messages. */
const char *statement_name(enum statement_kind kind);

#endif
