/* random_lives.c: see the header. Processes are forked with seeds far apart, and each stops by itself
 * after some failures. */
#include "tests/support/random_lives.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "tests/support/kill_ledger.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/fork_child.h"

enum { LIFE_LIMIT_S = 120, JOBS_MAX = 64 };

/* A job that does not come to its end is a failure too, and the life must be known. */
static volatile uint64_t running_seed;
static const char *volatile running_name;
static void give_up(int number)
{
    char text[96];
    (void)number;
    int size = snprintf(text, sizeof text, "no end after %d s: %s=%llu\n", LIFE_LIMIT_S,
                        running_name, (unsigned long long)running_seed);
    must(write(STDERR_FILENO, text, (size_t)size) == size);
    abort();
}

void random_life_begins(const struct random_lives *lives, uint64_t seed)
{
    running_seed = seed;
    running_name = lives->life_name;
    signal(SIGALRM, give_up);
    alarm(LIFE_LIMIT_S);
}

static int try_lives(const struct random_lives *lives, uint64_t seed, long count)
{
    struct chance chance = {seed};
    int failures = 0;
    for (long i = 0; i < count && failures < lives->failures_max; i++)
        failures += lives->try_life(chance_next(&chance) >> 1, (i + 1) * lives->cases_a_life);
    return failures;
}

static long number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

int random_lives_run(const struct random_lives *lives)
{
    const char *only = getenv(lives->life_name), *seed_text = getenv("WEIR_RANDOM_SEED");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_wall_ms();
    if (only != NULL)
        return lives->try_life(strtoull(only, NULL, 10), lives->cases_a_life);
    long cases = number_from(lives->cases_name, lives->cases);
    long jobs = number_from("WEIR_RANDOM_JOBS", 1);
    must(jobs >= 1 && jobs <= JOBS_MAX);
    long count = (cases + lives->cases_a_life * jobs - 1) / (lives->cases_a_life * jobs);
    fprintf(stderr, "WEIR_RANDOM_SEED=%llu, %ld cases\n", (unsigned long long)seed,
            count * jobs * lives->cases_a_life);
    pid_t children[JOBS_MAX];
    for (long job = 1; job < jobs; job++) {
        children[job] = fork_child();
        must(children[job] >= 0);
        if (children[job] == 0)
            _exit(try_lives(lives, seed + (uint64_t)job * 1000003, count) != 0);
    }
    int failures = try_lives(lives, seed, count);
    for (long job = 1; job < jobs; job++) {
        int status;
        must(waitpid(children[job], &status, 0) == children[job]);
        failures += status != 0;
    }
    return failures;
}

void random_lives_prepare(void)
{
    scratch_dir_in_memory();
    /* Each opening of LMDB asks for 2 MiB of zeros and touches little of them: as a mapping they
     * cost nothing, from the heap they are cleared each time, which was a third of all. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
}
