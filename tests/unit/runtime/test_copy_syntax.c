/* test_copy_syntax.c: rows and fields of COPY's formats, against what PostgreSQL reads out of the same bytes (data/copy.tsv, made by
 * tests/support/copy_from_postgres.sh). PostgreSQL gives a whole file up for one bad row, so where it does, here at least one row is bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/copy/copy_syntax.h"

static const char *const names[] = {"a", "b"};
static const bool first[] = {true, false}, second[] = {false, true};
/* In the order of OPTIONS of the script. */
static const struct copy_syntax dialects[] = {
    {COPY_CSV, COPY_HEADER_NONE, ',', '"', '"', "", 2, names, NULL, NULL},
    {COPY_CSV, COPY_HEADER_NONE, ';', '\'', '\\', "", 2, names, NULL, NULL},
    {COPY_CSV, COPY_HEADER_NONE, ',', '"', '"', "N", 2, names, NULL, NULL},
    {COPY_TEXT, COPY_HEADER_NONE, '\t', '"', '"', "\\N", 2, names, NULL, NULL},
    {COPY_TEXT, COPY_HEADER_NONE, ',', '"', '"', "", 2, names, NULL, NULL},
    {COPY_CSV, COPY_HEADER_NONE, ',', '"', '\\', "", 2, names, NULL, NULL},
    {COPY_CSV, COPY_HEADER_NONE, ',', '"', '"', "", 2, names, first, second},
};

static void put_field(struct buf *out, struct bytes field)
{
    if (field.data == NULL)
        buf_printf(out, "-");
    for (size_t i = 0; i < field.size; i++)
        buf_printf(out, "%02x", field.data[i]);
}

/* The end of the row at the front, found with ever more bytes in sight: those of a window that grows. */
static size_t end_of_row(const struct copy_syntax *syntax, struct bytes data, size_t step,
                         bool *is_open, size_t *size)
{
    struct copy_scan scan = {0};
    size_t taken = 0;
    for (size_t seen = step; taken == 0 && seen < data.size; seen += step)
        taken = copy_row_end(syntax, bytes_of(data.data, seen), false, &scan, size);
    if (taken == 0)
        taken = copy_row_end(syntax, data, true, &scan, size);
    *is_open = scan.in_quotes;
    return taken;
}

/* The rows of a file as the data have them; "!" where something is wrong with it. */
static void read_file(const struct copy_syntax *syntax, struct bytes data, size_t step,
                      struct buf *out)
{
    struct arena arena;
    arena_init(&arena, 0);
    buf_clear(out);
    buf_printf(out, "=");
    while (data.size > 0) {
        struct copy_problem problem;
        struct bytes fields[2];
        size_t size;
        bool is_open;
        size_t taken = end_of_row(syntax, data, step, &is_open, &size);
        struct bytes row = bytes_of(data.data, size);
        if (copy_row_ends_file(syntax, row))
            break;
        if (is_open || copy_row_fields(syntax, row, &arena, fields, &problem) < 0) {
            buf_clear(out);
            buf_printf(out, "!");
            break;
        }
        buf_printf(out, out->size > 1 ? ";" : "");
        put_field(out, fields[0]);
        buf_printf(out, ",");
        put_field(out, fields[1]);
        data = bytes_of(data.data + taken, data.size - taken);
    }
    buf_u8(out, 0);
    arena_deinit(&arena);
}

static size_t from_hex(const char *text, uint8_t *bytes)
{
    size_t size = 0;
    for (unsigned byte; sscanf(text + 2 * size, "%2x", &byte) == 1; size++)
        bytes[size] = (uint8_t)byte;
    return size;
}

static void test_as_postgres(void **state)
{
    (void)state;
    char path[512], line[1024], hex[512], wanted[512];
    uint8_t bytes[256];
    struct buf out;
    int files = 0;
    const char *source = getenv("WEIR_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/unit/runtime/data/copy.tsv", source ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    buf_init(&out, 0);
    for (; fgets(line, sizeof line, file) != NULL; files++) {
        unsigned dialect;
        char *at = strchr(line, '\t');
        assert_int_equal(sscanf(line, "%u", &dialect), 1);
        assert_true(dialect < sizeof dialects / sizeof dialects[0] && at != NULL);
        char *tab = strchr(at + 1, '\t');
        snprintf(hex, sizeof hex, "%.*s", (int)(tab - at - 1), at + 1);
        snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(tab + 1, "\n"), tab + 1);
        size_t size = from_hex(hex, bytes);
        uint8_t *exact = malloc(size + 1); /* what is read beyond it is found out */
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        exact = realloc(exact, size > 0 ? size : 1);
        for (size_t step = 1; step < 40; step += 13) {
            read_file(&dialects[dialect], bytes_of(exact, size), step, &out);
            if (strcmp((const char *)out.data, wanted) != 0)
                fail_msg("dialect %u, file %s: %s, and PostgreSQL says %s", dialect, hex,
                         (const char *)out.data, wanted);
        }
        free(exact);
    }
    fclose(file);
    buf_deinit(&out);
    assert_true(files > 3000);
}

/* What PostgreSQL's files of one table do not show. */
static void test_problems(void **state)
{
    static const struct {
        int dialect;
        const char *row, *error_class, *message;
    } rows[] = {
        {0, "a", "copy_columns", "nothing is there for column \"b\""},
        {0, "a,b,c", "copy_columns", "there is more behind the last column \"b\""},
        {0, "a,\xff", "copy_utf8", "the row is not valid UTF-8"},
        {0, "a,\"b", "copy_malformed", "a quote is never closed"},
        {0, "a\r,b", "copy_malformed", "a carriage return outside of quotes"},
        {3, "a\r\tb", "copy_malformed", "a carriage return inside of a line"},
        {3, "a\t\\377", "copy_utf8", "escapes give what is no UTF-8 text in column \"b\""},
        {3, "a\t\\0", "copy_utf8", "escapes give what is no UTF-8 text in column \"b\""},
    };
    struct arena arena;
    struct bytes fields[2];
    struct copy_problem problem;
    (void)state;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(copy_row_fields(&dialects[rows[i].dialect], bytes_text(rows[i].row),
                                         &arena, fields, &problem),
                         ERR_INVALID);
        assert_string_equal(problem.error_class, rows[i].error_class);
        assert_string_equal(problem.message, rows[i].message);
    }
    assert_int_equal(copy_row_check(bytes_of("a\0b", 3), &problem), ERR_INVALID);
    assert_string_equal(problem.message, "there is a NUL byte");
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_postgres),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
