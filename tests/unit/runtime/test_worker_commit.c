/* test_worker_commit.c: what a row costs on its way to the disk: the flushes between its arrival and the moment its result may be
 * read, in their order. The driver's engine runs in one thread, so that the order is the program's; flushes that the log does side by side
 * follow each other here, and are told apart by their files: each is flushed once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/base/io.h"
#include "runtime/weir.h"

/* What was flushed since the last look: a partition's directory name for each file of one, "meta" for each write to meta. */
static char flushed[1024];

static void note(const char *name, size_t size)
{
    size_t used = strlen(flushed);
    assert_true(used + size + 2 < sizeof flushed);
    snprintf(flushed + used, sizeof flushed - used, "%s%.*s", used > 0 ? " " : "", (int)size, name);
}

static int note_flush(void *context, enum io_call call, const char *path, int fd, size_t *size)
{
    char link[64], name[512] = "";
    (void)context;
    (void)path;
    (void)size;
    if (call == IO_COMMIT && path != NULL && strstr(path, "/meta") != NULL)
        note("meta", 4);
    if (call != IO_FDATASYNC)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, name, sizeof name - 1) <= 0 || strstr(name, "/topics/") == NULL ||
        strstr(name, ".log") == NULL)
        return 0;
    const char *partition = strstr(name, "/topics/") + strlen("/topics/");
    note(partition, strcspn(partition, "/"));
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The flushes before the first write to meta, sorted, since their order among each other says nothing; then the rest. */
static void expect_flushes(const char *before, const char *from_meta_on)
{
    char copy[sizeof flushed], sorted[sizeof flushed] = "";
    char *names[32], *rest = strstr(flushed, "meta");
    size_t count = 0;
    assert_non_null(rest);
    assert_string_equal(rest, from_meta_on);
    snprintf(copy, sizeof copy, "%.*s", (int)(rest - flushed), flushed);
    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " "))
        names[count++] = name;
    qsort(names, count, sizeof *names, compare);
    for (size_t i = 0; i < count; i++) {
        strcat(sorted, i > 0 ? " " : "");
        strcat(sorted, names[i]);
    }
    assert_string_equal(sorted, before);
    flushed[0] = '\0';
}

static void send_and_run(weir_test *test, int n)
{
    char value[64];
    snprintf(value, sizeof value, "{\"user\":\"u%d\",\"n\":%d}", n % 3, n);
    assert_int_equal(weir_test_send(test, "events", 0, 0, NULL, value), 0);
    assert_int_equal(weir_test_run(test), 0);
}

/* One flush for the row, one for all that its commit writes, side by side, and one write to meta: no more in a row. */
static void test_flushes_of_a_row(void **state)
{
    (void)state;
    weir_app *app = weir_app_open("shop", NULL);
    weir_test *test;
    weir_stream *users = weir_group_by(weir_source(app, "events", WEIR_JSON, NULL), "\"user\"");
    assert_int_equal(weir_to(weir_aggregate(users, "count(*) AS events"), "counts"), 0);
    assert_int_equal(weir_test_open(app, NULL, &test), 0);
    for (int n = 0; n < 3; n++)
        send_and_run(test, n); /* files are made, positions begin */
    for (int n = 3; n < 20; n++) {
        /* The markers of the commit before are flushed, and the second in which flushed ends are recorded is not over. */
        assert_int_equal(weir_test_advance(test, 10), 0);
        assert_int_equal(weir_test_run(test), 0);
        flushed[0] = '\0';
        io_set_fault(note_flush, NULL);
        send_and_run(test, n);
        io_set_fault(NULL, NULL);
        expect_flushes("counts-0 events-0 shop-counts-changelog-0 shop-progress-0", "meta");
    }
    assert_int_equal(weir_test_close(test), 0);
    weir_app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flushes_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
