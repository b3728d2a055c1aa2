/* test_copy_file.c: the file of a COPY: rows over the edges of its pieces, where a copy goes on, and files that change under it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/copy/copy_file.h"

enum { MOST = 512 };
static const char *const names[] = {"a"};
static const struct copy_syntax csv = {
    COPY_CSV, COPY_HEADER_NONE, ',', '"', '"', "", 1, names, NULL, NULL};
static char path[] = "/tmp/weir-copy-XXXXXX";

static void write_file(const char *mode, const void *data, size_t size)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Row i is quoted, has as many bytes as chance says, and a line end among them in every seventh. */
static size_t make_row(unsigned *seed, uint32_t i, char *row)
{
    static const size_t sizes[] = {0, 1, 30, 1000, 70000, (1 << 20) + 3};
    *seed = *seed * 1103515245 + 12345;
    size_t size = sizes[(*seed >> 16) % (i % 50 == 0 ? 6 : 4)];
    row[0] = '"';
    memset(row + 1, 'a' + (int)(i % 26), size);
    if (i % 7 == 0 && size > 0)
        row[1] = '\n';
    row[size + 1] = '"';
    row[size + 2] = '\n';
    return size + 3;
}

/* Reads on to the end and checks each row beside the ones that were made. Returns how many there were. */
static uint32_t check_rows(struct copy_file *file, uint32_t from, unsigned *seed, int64_t *line,
                           uint32_t stop_after)
{
    static struct copy_row rows[MOST];
    char *made = malloc((1 << 20) + 16);
    uint32_t count, i = from;
    struct diag diag = {0};
    do {
        assert_int_equal(copy_file_read(file, &csv, rows, MOST, &count, &diag), 0);
        for (uint32_t r = 0; r < count; r++, i++) {
            size_t size = make_row(seed, i, made);
            assert_true(bytes_equal(rows[r].text, bytes_of(made, size - 1)));
            assert_int_equal(rows[r].line, *line);
            *line += 1 + (i % 7 == 0 && size > 3);
        }
    } while (count > 0 && i < stop_after);
    free(made);
    return i;
}

static void test_rows_and_where_they_go_on(void **state)
{
    enum { ROWS = 3000 };
    char *row = malloc((1 << 20) + 16);
    struct diag diag = {0};
    struct copy_file *file;
    struct hash128 half, all, whole;
    unsigned seed = 1;
    int64_t line = 1;
    (void)state;
    write_file("w", "", 0);
    for (uint32_t i = 0; i < ROWS; i++)
        write_file("a", row, make_row(&seed, i, row));
    seed = 1;
    assert_int_equal(copy_file_open(path, &file, &diag), 0);
    uint32_t seen = check_rows(file, 0, &seed, &line, ROWS / 2);
    assert_true(seen >= ROWS / 2 && seen < ROWS);
    half = copy_file_hash(file);
    int64_t position = copy_file_position(file), lines = copy_file_lines(file);
    copy_file_close(file);

    assert_int_equal(copy_file_open(path, &file, &diag), 0);
    assert_int_equal(copy_file_resume(file, position, lines, half, &diag), 0);
    assert_int_equal(check_rows(file, seen, &seed, &line, UINT32_MAX), ROWS);
    all = copy_file_hash(file);
    assert_int_equal(copy_file_position(file), copy_file_stamp(file).size);
    assert_int_equal(copy_file_hash_all(file, &whole, &diag), 0);
    assert_true(all.low == whole.low && all.high == whole.high);
    copy_file_close(file);

    half.low ^= 1;
    assert_int_equal(copy_file_open(path, &file, &diag), 0);
    assert_int_equal(copy_file_resume(file, position, lines, half, &diag), ERR_STATE);
    assert_int_equal(copy_file_resume(file, INT64_MAX, lines, half, &diag), ERR_STATE);
    copy_file_close(file);
    free(row);
}

/* Somebody writes on, or cuts it off, between two pieces of it. */
static void test_a_file_that_is_written(void **state)
{
    static struct copy_row rows[MOST];
    struct diag diag = {0};
    struct copy_file *file;
    uint32_t count = 1;
    int rc = 0;
    (void)state;
    for (int shorter = 0; shorter < 2; shorter++) {
        write_file("w", "", 0);
        for (int i = 0; i < 3000; i++) {
            char line[1001];
            memset(line, 'x', 1000);
            line[1000] = '\n';
            write_file("a", line, sizeof line);
        }
        assert_int_equal(copy_file_open(path, &file, &diag), 0);
        assert_int_equal(copy_file_read(file, &csv, rows, MOST, &count, &diag), 0);
        assert_int_equal(count, MOST);
        if (shorter)
            assert_int_equal(truncate(path, 2000000), 0);
        else
            write_file("a", "more\n", 5);
        do
            rc = copy_file_read(file, &csv, rows, MOST, &count, &diag);
        while (rc == 0 && count > 0);
        assert_int_equal(rc, ERR_STATE);
        assert_non_null(strstr(diag.text, "was changed while it was read"));
        copy_file_close(file);
    }
}

/* What is behind the end that is written stays behind it, wherever a copy goes on: the rows before it may be committed alone. */
static void test_an_end_that_is_written(void **state)
{
    static const char text[] = "a\nb\n\\.\nc\n";
    static struct copy_row rows[MOST];
    struct diag diag = {0};
    struct copy_file *file;
    uint32_t count;
    (void)state;
    write_file("w", text, sizeof text - 1);
    for (uint32_t most = 1; most <= 3; most++) {
        int64_t position = 0, lines = 0, seen = 0;
        struct hash128 hash;
        do { /* a life for each read */
            assert_int_equal(copy_file_open(path, &file, &diag), 0);
            if (position > 0)
                assert_int_equal(copy_file_resume(file, position, lines, hash, &diag), 0);
            assert_int_equal(copy_file_read(file, &csv, rows, most, &count, &diag), 0);
            hash = copy_file_hash(file);
            position = copy_file_position(file);
            lines = copy_file_lines(file);
            seen += count;
            copy_file_close(file);
        } while (count > 0);
        assert_int_equal(seen, 2);
        assert_int_equal(position, 4);
        assert_int_equal(lines, 2);
    }
}

/* A mark says what the file of its stamp holds, and not what somebody has made of it since. */
static void test_a_hash_of_what_was_opened(void **state)
{
    struct diag diag = {0};
    struct copy_file *file;
    struct hash128 hash;
    (void)state;
    write_file("w", "a\nb\n", 4);
    assert_int_equal(copy_file_open(path, &file, &diag), 0);
    assert_int_equal(copy_file_hash_all(file, &hash, &diag), 0);
    write_file("a", "c\n", 2);
    assert_int_equal(copy_file_hash_all(file, &hash, &diag), ERR_STATE);
    copy_file_close(file);
}

/* The last row had no line end when it was read, and is longer now. */
static void test_a_row_that_goes_on(void **state)
{
    static struct copy_row rows[MOST];
    struct diag diag = {0};
    struct copy_file *file;
    uint32_t count;
    (void)state;
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        write_file("w", goes_on ? "a\nb" : "a\nb\n", goes_on ? 3 : 4);
        assert_int_equal(copy_file_open(path, &file, &diag), 0);
        assert_int_equal(copy_file_read(file, &csv, rows, MOST, &count, &diag), 0);
        assert_int_equal(count, 2);
        struct hash128 hash = copy_file_hash(file);
        int64_t position = copy_file_position(file);
        copy_file_close(file);
        for (int more = 0; more < 2; more++) {
            assert_int_equal(copy_file_open(path, &file, &diag), 0);
            assert_int_equal(copy_file_resume(file, position, goes_on ? 1 : 2, hash, &diag),
                             goes_on && more ? ERR_STATE : 0);
            copy_file_close(file);
            write_file("a", "c\n", 2);
        }
    }
}

/* Years that nanoseconds of 64 bits do not reach. */
static void test_a_time_far_away(void **state)
{
    const struct timespec times[2] = {{13569465600, 1}, {13569465600, 1}};
    struct diag diag = {0};
    struct copy_file *file;
    (void)state;
    write_file("w", "a\n", 2);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(copy_file_open(path, &file, &diag), 0);
    assert_int_equal(copy_file_stamp(file).size, 2);
    copy_file_close(file);
}

static void test_no_file(void **state)
{
    struct diag diag = {0};
    struct copy_file *file;
    (void)state;
    assert_int_equal(copy_file_open("/tmp", &file, &diag), ERR_INVALID);
    assert_null(file);
    assert_true(copy_file_open("/nonexistent/file", &file, &diag) < 0);
    assert_null(file);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_and_where_they_go_on),
        cmocka_unit_test(test_a_file_that_is_written),
        cmocka_unit_test(test_an_end_that_is_written),
        cmocka_unit_test(test_a_hash_of_what_was_opened),
        cmocka_unit_test(test_a_row_that_goes_on),
        cmocka_unit_test(test_a_time_far_away),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
