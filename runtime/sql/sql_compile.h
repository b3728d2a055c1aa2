/* sql_compile.h: what the files that turn statements into relations share. */
#ifndef WEIR_SQL_COMPILE_H
#define WEIR_SQL_COMPILE_H

#include "runtime/sql/sql_scope.h"

/* sql_compile.c. Compiles one statement, behind those before it. Negative with the sentence in file->diag, or without one where it was told already. */
int compile_statement(struct compile_file *file, const struct statement *statement);
struct relation *relation_new(struct compile_file *file, enum relation_kind kind, const struct statement *statement);
void relation_keep(struct compile_file *file, struct relation *relation);
/* The first relation of a name; NULL: there is none. */
const struct relation *relation_find(const struct compile_file *file, const char *name);
/* A value of a type, made of a tree: cast to it. jsonb takes any value. NULL: no memory. */
struct syntax *cast_to(struct arena *arena, struct syntax *syntax, const struct sql_type *type);
/* The same, as the table wants it: with on_error = 'null' a value that does not cast is NULL. */
struct syntax *cast_for(struct arena *arena, const struct relation *table, uint32_t column, struct syntax *syntax, const struct sql_type *type);
/* That nothing has the name which a statement gives. */
int check_name(struct compile_file *file, const struct statement *statement);
/* sql_table_plan.c */
int compile_table(struct compile_file *file, const struct statement *statement);
/* Whether a record of the relation's format can hold its columns; what it is read by. */
int format_columns(struct compile_file *file, const struct statement *statement, struct relation *relation);
/* Where the i-th column is in a record. */
struct syntax *format_place(struct arena *arena, const struct relation *relation, uint32_t i);
/* Adds to `to` what a good row of a declared table is. */
int table_checks(struct compile_file *file, const struct statement *statement, const struct relation *table, struct relation *to);
/* One writer a topic, and nobody who reads what he writes. */
int check_writers(struct compile_file *file, const struct statement *statement, const struct relation *result);
int check_cycle(struct compile_file *file, const struct statement *statement, const struct relation *result);
/* A statement that writes needs rows that come. */
int check_stream(struct compile_file *file, const struct statement *statement, const struct relation *result);
/* The rows of a result as a table, for the statements behind it. */
int add_reader(struct compile_file *file, const struct relation *result);

/* sql_drop.c. Takes away what this kind of statement made under a name that there is. */
int drop_relation(struct compile_file *file, const struct sql_name *name, enum statement_kind kind);
int compile_drop(struct compile_file *file, const struct statement *drop);
/* sql_insert.c */
int compile_insert(struct compile_file *file, const struct statement *insert);
/* Which column of the table the i-th that is written goes into. */
int target_column(struct compile_file *file, const struct statement *insert, const struct relation *table, uint32_t i, uint32_t *column);
/* The last steps of rows that are a table's: the record's fields, where they are not named as the columns; the record's key, where the table says what that is. */
int name_fields(struct compile_file *file, const struct statement *insert, const struct relation *table, struct relation *result);
int place_rows(struct compile_file *file, const struct statement *insert, const struct relation *table, struct relation *result);
/* sql_copy_plan.c */
int compile_copy(struct compile_file *file, const struct statement *statement);

/* sql_options.c. NULL: the option is not there. */
const struct sql_option *option_find(const struct option_list *options, const char *name);
/* Refuses what is not among `known`. */
int options_check(struct compile_file *file, const struct statement *statement, const char *const *known, uint32_t known_count);
/* An interval of 0 or more; -1: not there. */
int option_span(struct compile_file *file, const struct option_list *options, const char *name, int64_t *span_ms);
/* The topic's name: the relation's own unless WITH says otherwise. */
int option_topic(struct compile_file *file, const struct statement *statement, const char **topic);
/* partitions, format, timestamps, retention, of a table or of what is written. */
int options_of_topic(struct compile_file *file, const struct statement *statement, struct relation *relation);
int option_count(struct compile_file *file, const struct option_list *options, const char *name, int32_t most, int32_t *count);
/* 0: not there; -1: for ever. */
int option_retention(struct compile_file *file, const struct option_list *options, int64_t *retention_ms);
/* At the end of the program: an option that would change nothing is an error. */
int options_check_use(struct compile_file *file, const struct relation *relation);
/* One of the words, as its index; 0 when it is not there. */
int option_word(struct compile_file *file, const struct option_list *options, const char *name, const char *const *words, uint32_t count, uint32_t *index);

#endif
