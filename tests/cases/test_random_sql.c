/* test_random_sql.c: drawn files of SQL on drawn input against a model that computes row by row (see
 * tests/support/drawn_sql.h).
 *
 * A case is a file: tables with types, NOT NULL, CHECK, paths and options; views, CTEs, SELECTs in
 * FROM, UNION ALL, DISTINCT ON, joins with a table of the latest rows; INSERTs and materialized views,
 * with windows, HAVING and FILTER, that later statements read. Several files share a life
 * (tests/support/drawn_life.h): one app, driven through rounds of input, restarts and kills. What its
 * topics hold, late rows and dead letters by result and class among them, is compared with the model.
 *
 * A file that differs is run again alone, with fewer rows as long as it still differs, and printed.
 *
 * WEIR_RANDOM_SQL_CASES (200), WEIR_RANDOM_SEED (drawn from the clock), WEIR_RANDOM_SQL_LIFE (run this
 * life only), WEIR_RANDOM_JOBS (processes that share the cases: 1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/error.h"
#include "tests/support/drawn_life.h"
#include "tests/support/random_lives.h"

enum { CASES = 200, FAILURES_MAX = 3, SHRINK_ATTEMPTS = 120 };

static int try_life(uint64_t seed, long tried);
static const struct random_lives lives = {.cases_name = "WEIR_RANDOM_SQL_CASES",
                                          .life_name = "WEIR_RANDOM_SQL_LIFE",
                                          .cases = CASES,
                                          .cases_a_life = SQL_LIFE_FILES,
                                          .failures_max = FAILURES_MAX,
                                          .try_life = try_life};

static unsigned run_life(struct sql_life *life)
{
    random_life_begins(&lives, life->seed);
    return sql_life_run(life);
}

/* ---- what is left of a file that differs ---- */

static void take_out(struct drawn_relation *table, int from, int size)
{
    memmove(&table->inputs[from], &table->inputs[from + size],
            (size_t)(table->input_count - from - size) * sizeof table->inputs[0]);
    table->input_count -= size;
}

static void shrink_table(struct sql_life *life, struct drawn_relation *table, int *attempts)
{
    size_t bytes = (size_t)table->input_count * sizeof table->inputs[0];
    struct drawn_input *kept = malloc(bytes + 1);
    must(kept != NULL);
    for (int size = table->input_count; size > 0; size /= 2)
        for (int from = 0; from + size <= table->input_count && *attempts > 0;) {
            int count = table->input_count;
            memcpy(kept, table->inputs, (size_t)count * sizeof *kept);
            take_out(table, from, size);
            --*attempts;
            if (run_life(life) != 0)
                continue;
            memcpy(table->inputs, kept, (size_t)count * sizeof *kept);
            table->input_count = count;
            from += size;
        }
    free(kept);
}

/* The file moves to the first place, where a life of one file looks for it. */
static void report(struct sql_life *life, int which)
{
    struct drawn_file other = life->files[0];
    int attempts = SHRINK_ATTEMPTS;
    life->files[0] = life->files[which];
    life->files[which] = other;
    life->file_count = 1;
    struct drawn_file *file = &life->files[0];
    if (run_life(life) != 0)
        for (int i = 0; i < file->relation_count; i++)
            if (file->relations[i]->form == FORM_TABLE && file->relations[i]->writer == NULL)
                shrink_table(life, file->relations[i], &attempts);
    fprintf(stderr, "what is left of it, when it runs alone (%d rounds%s%s):\n", life->rounds,
            life->is_timed ? ", by time" : "", life->closes_windows ? ", windows closed" : "");
    drawn_file_describe(file);
    if (run_life(life) == 0)
        fprintf(stderr, "it agrees when it runs alone\n");
    life->file_count = SQL_LIFE_FILES;
}

/* The first file that differs is shown in full: the others may differ for the same reason. */
static int try_life(uint64_t seed, long tried)
{
    static struct sql_life life;
    sql_life_draw(&life, seed);
    unsigned failed = run_life(&life);
    if (failed != 0) {
        int which = 0;
        while ((failed & 1u << which) == 0)
            which++;
        fprintf(stderr, "WEIR_RANDOM_SQL_LIFE=%llu differs, file %d, among the first %ld\n",
                (unsigned long long)seed, which, tried);
        report(&life, which);
    }
    sql_life_free(&life);
    return failed != 0;
}

/* ---- tests ---- */

static void drawn_files_match_the_model(void **state)
{
    (void)state;
    assert_int_equal(random_lives_run(&lives), 0);
}

int main(void)
{
    random_lives_prepare();
    const struct CMUnitTest tests[] = {cmocka_unit_test(drawn_files_match_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
