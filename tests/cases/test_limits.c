/* test_limits.c: rows that are too large for what a job makes of them. They become dead letters, whole, with a class; their neighbours
 * and the next run are unharmed. Expected values are counts that follow from the input, which is made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weir.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/topic_rows.h"

/* {"k":"a","z":"zzz…"} with a text of `size` bytes. */
static char *document(size_t size)
{
    char *text = malloc(size + 32);
    assert_non_null(text);
    size_t at = (size_t)sprintf(text, "{\"k\":\"a\",\"z\":\"");
    uint64_t seed = size;
    for (size_t i = 0; i < size; i++) { /* letters that do not compress to nothing */
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        text[at++] = (char)('a' + (seed >> 33) % 26);
    }
    memcpy(text + at, "\"}", 3);
    return text;
}

static void produce(const char *dir, const size_t *sizes, size_t count)
{
    struct log *log = topic_log_open(dir);
    struct sender *sender;
    topic_create(log, "in", 1, NULL, 0, NULL);
    assert_int_equal(sender_open(log, "in", NULL, &sender, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        char *text = document(sizes[i]);
        assert_int_equal(sender_send(sender, -1, INT64_MIN, bytes_of(NULL, 0), bytes_text(text), bytes_of(NULL, 0), 0, NULL), 0);
        free(text);
    }
    assert_int_equal(sender_flush(sender, true, NULL), 0);
    sender_close(sender);
    log_close(log);
}

static weir_app *open_app(const char *dir)
{
    return weir_app_open("limits", &(weir_options){.data = dir, .until_end = true, .checkpoint_interval_ms = 5,
                                                     .commit_interval_ms = WEIR_MINUTES(10)});
}

static void run(weir_app *app)
{
    if (weir_app_run(app) < 0)
        fail_msg("%s", weir_app_error(app));
    weir_app_close(app);
}

/* How many records of a topic there are, and how many of them carry this error class. */
static void expect_topic(const char *dir, const char *topic, size_t records, const char *error_class)
{
    struct log *log = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(log, topic, READ_COMMITTED, &rows);
    assert_int_equal(rows.count, records);
    for (size_t i = 0; error_class != NULL && i < rows.count; i++) {
        struct bytes found = topic_row_header(&rows.items[i], "weir.error.class");
        assert_true(bytes_equal(found, bytes_text(error_class)));
    }
    topic_rows_deinit(&rows);
    log_close(log);
}

static void long_texts_in_max(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 3 << 20, 1 << 20, 20};
    char *dir = scratch_dir_create();
    produce(dir, sizes, 4);
    for (int i = 0; i < 2; i++) { /* the second run starts from what the first left */
        weir_app *app = open_app(dir);
        weir_to(weir_aggregate(weir_group_by(weir_source(app, "in", WEIR_JSON, NULL), "k"), "max(z) AS z, count(*) AS n"), "out");
        run(app);
        expect_topic(dir, "limits.dlq", 1, "value_too_long");
        expect_topic(dir, "out", 1, NULL);
    }
    scratch_dir_remove(dir);
}

static void rows_that_outgrow_a_batch(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 70 << 20, 20};
    char *dir = scratch_dir_create();
    produce(dir, sizes, 3);
    weir_app *app = open_app(dir);
    weir_to(weir_map(weir_source(app, "in", WEIR_JSON, NULL), "k, z, z AS again"), "out");
    run(app);
    expect_topic(dir, "limits.dlq", 1, "row_too_long");
    expect_topic(dir, "out", 2, NULL);
    scratch_dir_remove(dir);
}

/* As large as the log takes: the dead letter is larger by its headers. */
static void the_largest_dead_letter(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, (100 << 20) - 200};
    char *dir = scratch_dir_create();
    produce(dir, sizes, 2);
    weir_app *app = open_app(dir);
    weir_to(weir_check(weir_source(app, "in", WEIR_JSON, NULL), "length(z) < 100", "too_long"), "out");
    run(app);
    struct log *log = topic_log_open(dir);
    struct topic_rows rows;
    topic_rows_init(&rows);
    topic_rows_read(log, "limits.dlq", READ_COMMITTED, &rows);
    assert_int_equal(rows.count, 1);
    assert_true(rows.items[0].value.size > sizes[1]);
    topic_rows_deinit(&rows);
    log_close(log);
    expect_topic(dir, "out", 1, NULL);
    scratch_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_texts_in_max),
        cmocka_unit_test(rows_that_outgrow_a_batch),
        cmocka_unit_test(the_largest_dead_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
