/* expression_table.h: reads tests/unit/operators/data/expressions.tsv, PostgreSQL's own results for
 * a few hundred expressions over a table of eight rows (tests/support/expressions_from_postgres.sh
 * fills it). */
#ifndef WEIR_TESTS_EXPRESSION_TABLE_H
#define WEIR_TESTS_EXPRESSION_TABLE_H

#include "operators/expr.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { TABLE_ROWS = 8, TABLE_COLUMNS_MAX = 16, TABLE_EXPRESSIONS_MAX = 2000 };

struct table_expression {
    char *sql;
    char *results[TABLE_ROWS];
};
struct expression_table {
    char *names[TABLE_COLUMNS_MAX];
    enum col_type types[TABLE_COLUMNS_MAX];
    char *values[TABLE_COLUMNS_MAX][TABLE_ROWS];
    uint32_t column_count;
    struct table_expression *expressions;
    uint32_t expression_count;
    char *text;
};

static inline enum col_type table_type(const char *name)
{
    static const struct {
        const char *name;
        enum col_type type;
    } types[] = {{"bigint", COL_BIGINT},    {"numeric", COL_NUMERIC},
                 {"float8", COL_DOUBLE},    {"text", COL_TEXT},
                 {"boolean", COL_BOOLEAN},  {"timestamptz", COL_TIMESTAMPTZ},
                 {"interval", COL_INTERVAL}, {"bytea", COL_BYTEA}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    }
    must(false);
    return COL_TEXT;
}

/* Splits a line at tabs, in place; returns the number of fields. */
static inline uint32_t table_split(char *line, char **fields, uint32_t max)
{
    uint32_t count = 0;
    for (char *at = line; at != NULL && count < max;) {
        fields[count++] = at;
        at = strchr(at, '\t');
        if (at != NULL)
            *at++ = '\0';
    }
    return count;
}

static inline void table_read(struct expression_table *table, const char *beside_file)
{
    char path[4096], *fields[TABLE_ROWS + 3];
    const char *slash = strrchr(beside_file, '/');
    snprintf(path, sizeof path, "%.*s/data/expressions.tsv", (int)(slash - beside_file),
             beside_file);
    FILE *file = fopen(path, "r");
    must(file != NULL);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    table->text = malloc(size + 1);
    must(table->text != NULL && fread(table->text, 1, size, file) == size);
    table->text[size] = '\0';
    fclose(file);
    table->expressions = calloc(TABLE_EXPRESSIONS_MAX, sizeof *table->expressions);
    must(table->expressions != NULL);
    for (char *line = table->text, *next; *line != '\0'; line = next) {
        char *end = strchr(line, '\n');
        next = end != NULL ? end + 1 : line + strlen(line);
        if (end != NULL)
            *end = '\0';
        uint32_t count = table_split(line, fields, TABLE_ROWS + 3);
        if (strcmp(fields[0], "#column") == 0) {
            uint32_t c = table->column_count++;
            must(c < TABLE_COLUMNS_MAX && count == TABLE_ROWS + 3);
            table->names[c] = fields[1];
            table->types[c] = table_type(fields[2]);
            memcpy(table->values[c], fields + 3, sizeof table->values[c]);
        } else if (count == TABLE_ROWS + 1) {
            must(table->expression_count < TABLE_EXPRESSIONS_MAX);
            struct table_expression *e = &table->expressions[table->expression_count++];
            e->sql = fields[0];
            memcpy(e->results, fields + 1, sizeof e->results);
        }
    }
}

static inline void table_free(struct expression_table *table)
{
    free(table->expressions);
    free(table->text);
}

/* "[-]HH:MM:SS[.fraction]" in ms. */
static inline int64_t table_interval(const char *text)
{
    int hours, minutes;
    double seconds;
    bool negative = text[0] == '-';
    must(sscanf(text + negative, "%d:%d:%lf", &hours, &minutes, &seconds) == 3);
    int64_t ms = ((int64_t)hours * 60 + minutes) * 60000 + (int64_t)(seconds * 1000 + 0.5);
    return negative ? -ms : ms;
}

/* "\x48656c" as the bytes that it spells. */
static inline struct bytes table_bytes(const char *text, struct arena *arena)
{
    size_t size = strlen(text) / 2 - 1;
    uint8_t *bytes = arena_alloc(arena, size + 1);
    must(bytes != NULL && text[0] == '\\' && text[1] == 'x');
    for (size_t i = 0; i < size; i++)
        must(sscanf(text + 2 + 2 * i, "%2hhx", &bytes[i]) == 1);
    return bytes_of(bytes, size);
}

/* Fills rows values of a column with the table's, over and over. */
static inline void table_column(const struct expression_table *table, uint32_t c, uint32_t rows,
                                struct column *column, struct arena *arena)
{
    must(column_alloc(column, table->types[c], rows, true, arena) == 0);
    for (uint32_t row = 0; row < rows; row++) {
        const char *value = table->values[c][row % TABLE_ROWS];
        if (strcmp(value, "\\N") == 0) {
            column->nulls[row] = 1;
            continue;
        }
        switch (table->types[c]) {
        case COL_BOOLEAN:
            column->boolean[row] = value[0] == 't';
            break;
        case COL_DOUBLE:
            column->f64[row] = strtod(value, NULL);
            break;
        case COL_NUMERIC:
            must(numeric_parse(bytes_text(value), &column->numeric[row]) == 0);
            break;
        case COL_TEXT:
            column->text[row] = bytes_text(value);
            break;
        case COL_BYTEA:
            column->text[row] = table_bytes(value, arena);
            break;
        case COL_TIMESTAMPTZ:
            must(time_parse_iso(bytes_text(value), &column->i64[row]) == 0);
            break;
        case COL_INTERVAL:
            column->i64[row] = table_interval(value);
            break;
        default:
            column->i64[row] = strtoll(value, NULL, 10);
        }
    }
}

#endif
