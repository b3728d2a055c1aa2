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
/* Adds to `to` what a good row of a declared table is. */
int table_checks(struct compile_file *file, const struct statement *statement, const struct relation *table, struct relation *to);
/* One writer a topic, and nobody who reads what he writes. */
int check_writers(struct compile_file *file, const struct statement *statement, const struct relation *result);
int check_cycle(struct compile_file *file, const struct statement *statement, const struct relation *result);
/* The rows of a result as a table, for the statements behind it. */
int add_reader(struct compile_file *file, const struct relation *result);

/* sql_insert.c */
int compile_insert(struct compile_file *file, const struct statement *insert);

/* sql_options.c. NULL: the option is not there. */
const struct sql_option *option_find(const struct option_list *options, const char *name);
/* Refuses what is not among `known`. */
int options_check(struct compile_file *file, const struct statement *statement, const char *const *known, uint32_t known_count);
/* An interval of 0 or more; -1: not there. */
int option_span(struct compile_file *file, const struct option_list *options, const char *name, int64_t *span_ms);
/* The topic's name: the relation's own unless WITH says otherwise. */
int option_topic(struct compile_file *file, const struct statement *statement, const char **topic);

#endif
