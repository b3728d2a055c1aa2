/* expression_rows.h: evaluates an expression over one row of JSON fields and prints the result, for
 * tests that read like a table:
 *
 *   expect("quantity * unit_price", "quantity:3 unit_price:2.50", "7.50");
 *   expect("lower(x)", "x:5", "!type_mismatch");
 *
 * Fields are written as JSON tokens separated by blanks (texts have no blanks inside; write _ for
 * one). A field that is not given is missing. The result is NULL, !class of the row error, ?code
 * when it does not compile, or the value. */
#ifndef WEIR_TESTS_EXPRESSION_ROWS_H
#define WEIR_TESTS_EXPRESSION_ROWS_H

#include "operators/expr.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ROWS_FIELDS_MAX = 16 };

/* The variant of a JSON token; borrows its bytes. */
static inline struct variant rows_variant(char *token)
{
    size_t size = strlen(token);
    if (size == 0 || strcmp(token, "null") == 0)
        return (struct variant){.kind = VARIANT_NULL};
    if (strcmp(token, "true") == 0 || strcmp(token, "false") == 0)
        return (struct variant){.kind = token[0] == 't' ? VARIANT_TRUE : VARIANT_FALSE};
    if (token[0] == '"') {
        for (size_t i = 0; i < size; i++)
            token[i] = token[i] == '_' ? ' ' : token[i];
        return (struct variant){
            .data = (uint8_t *)token + 1, .size = (uint32_t)size - 2, .kind = VARIANT_TEXT};
    }
    if (token[0] == '{' || token[0] == '[')
        return (struct variant){
            .data = (uint8_t *)token, .size = (uint32_t)size, .kind = VARIANT_JSON};
    char *end;
    errno = 0;
    long long value = strtoll(token, &end, 10);
    if (*end == '\0' && errno == 0)
        return (struct variant){.i64 = value, .kind = VARIANT_INT};
    return (struct variant){
        .data = (uint8_t *)token, .size = (uint32_t)size, .kind = VARIANT_NUMBER};
}

static inline void rows_print(const struct column *c, uint32_t row, char *out, size_t size)
{
    uint32_t at = column_at(c, row);
    char text[128];
    if (column_is_null(c, row)) {
        snprintf(out, size, "NULL");
        return;
    }
    switch (c->type) {
    case COL_VARIANT: {
        const struct variant *v = &c->variant[at];
        if (v->kind == VARIANT_INT)
            snprintf(out, size, "json %" PRId64, v->i64);
        else if (v->kind <= VARIANT_TRUE)
            snprintf(out, size, "json %s", v->kind == VARIANT_TRUE ? "true" : "false");
        else
            snprintf(out, size, v->kind == VARIANT_TEXT ? "json \"%.*s\"" : "json %.*s",
                     (int)v->size, (const char *)v->data);
        break;
    }
    case COL_BOOLEAN:
        snprintf(out, size, "%s", c->boolean[at] ? "true" : "false");
        break;
    case COL_DOUBLE:
        snprintf(out, size, "%.17g", c->f64[at]);
        break;
    case COL_NUMERIC:
        snprintf(out, size, "%.*s", (int)numeric_print(c->numeric[at], text), text);
        break;
    case COL_TEXT:
        snprintf(out, size, "%.*s", (int)c->text[at].size, (const char *)c->text[at].data);
        break;
    case COL_TIMESTAMPTZ:
        snprintf(out, size, "%.*s", (int)time_format_iso(c->i64[at], text), text);
        break;
    default:
        snprintf(out, size, "%" PRId64 "%s", c->i64[at], c->type == COL_INTERVAL ? " ms" : "");
    }
}

static inline void rows_evaluate(const char *sql, const char *fields, char *out, size_t size)
{
    char list_sql[4096], copy[4096], *tokens[ROWS_FIELDS_MAX], *save = NULL;
    struct variant values[ROWS_FIELDS_MAX];
    struct column columns[ROWS_FIELDS_MAX], result;
    struct field_set *set = field_set_create();
    struct scope scope = field_set_scope(set);
    struct expr_list *list;
    struct diag diag = {0};
    snprintf(copy, sizeof copy, "%s", fields);
    snprintf(list_sql, sizeof list_sql, "(%s) AS r", sql);
    int rc = expr_parse_list(list_sql, &scope, &list, &diag);
    if (rc != 0) {
        must(rc == diag.code && diag.text[0] != '\0');
        snprintf(out, size, "?%d %s", rc, diag.text);
        field_set_destroy(set);
        return;
    }
    must(field_set_count(set) <= ROWS_FIELDS_MAX);
    for (uint32_t i = 0; i < field_set_count(set); i++) {
        values[i] = (struct variant){.kind = VARIANT_NULL};
        columns[i] = (struct column){.type = COL_VARIANT, .variant = &values[i]};
    }
    uint32_t token_count = 0;
    for (char *t = strtok_r(copy, " ", &save); t != NULL; t = strtok_r(NULL, " ", &save))
        tokens[token_count++] = t;
    for (uint32_t t = 0; t < token_count; t++) {
        char *colon = strchr(tokens[t], ':');
        *colon = '\0';
        for (uint32_t i = 0; i < field_set_count(set); i++) {
            if (strcmp(field_set_path(set, i)->parts[0], tokens[t]) == 0)
                values[i] = rows_variant(colon + 1);
        }
    }
    struct arena arena;
    arena_init(&arena, 0);
    struct reject_list rejects = {.arena = &arena};
    struct batch batch = {.row_count = 1,
                          .selected_count = 1,
                          .columns = columns,
                          .column_count = field_set_count(set),
                          .arena = &arena};
    must(expr_eval(list->exprs[0], &batch, &result, &rejects) == 0);
    must(rejects.count <= 1);
    if (rejects.count == 1)
        snprintf(out, size, "!%s", rejects.items[0].error_class);
    else
        rows_print(&result, 0, out, size);
    arena_deinit(&arena);
    expr_list_destroy(list);
    field_set_destroy(set);
}

static inline void expect_at(const char *sql, const char *fields, const char *expected, int line)
{
    char got[4096];
    rows_evaluate(sql, fields, got, sizeof got);
    /* For a refusal only the code is compared. */
    size_t size = expected[0] == '?' ? strlen(expected) : sizeof got;
    if (strncmp(got, expected, size) != 0) {
        print_error("line %d: %s {%s}: expected %s, got %s\n", line, sql, fields, expected, got);
        fail();
    }
}
#define expect(sql, fields, expected) expect_at(sql, fields, expected, __LINE__)

#endif
